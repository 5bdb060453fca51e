"""Roulette amplitudes of a user's pictures: `python -m droulette.predict picture.png …`"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from droulette import commands
from droulette.commands import LOG, speaking
from droulette.default_model import BOX, PIPELINE
from droulette.errors import UserError, cli, leave

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """
python -m droulette.predict picture.png
python -m droulette.predict *.fits --pixel-scale 0.5 --white 1200 --output predictions.csv
python -m droulette.predict data.fits --noise noise_map.fits --psf psf.fits
python -m droulette.predict *.png --fit --output predictions.csv --samples 1000 --residuals fits
python -m droulette.predict data.fits --noise noise_map.fits --psf psf.fits --family EPL+Shear
python -m droulette.predict survey.tif --crop 300 --at 812,440 --resimulate resimulated
"""
NOTES = (
    "Each picture is made 8-bit grey, scaled, shifted to its centre of light and cropped like the training pictures;\n"
    "what was done is said on stderr. The table has each amplitude's standard deviation as std:…, and the column\n"
    "novelty (a terminal shows it as lines): above 1, the picture is unlike anything in the training set."
)


def parser() -> argparse.ArgumentParser:
    options = commands.parser(
        "predict", "Roulette amplitudes of your own pictures, by a trained model.", EXAMPLES, NOTES
    )
    add = options.add_argument
    add("pictures", nargs="*", metavar="FILE", help="PNG, JPEG, TIFF, FITS or NPY; 8 or 16 bits or float; any size")
    add("--model", metavar="FILE", help=f"default: {PIPELINE} or else {BOX}")
    add("-o", "--output", metavar="FILE", help="CSV file to write; left out: standard output")
    add("--resimulate", metavar="FOLDER", help="draw there what the network saw, and the amplitudes it predicts")
    add("--source", default="SersicSphere", help="kind of galaxy that --resimulate draws (default: %(default)s)")
    add(
        "--pixel-scale",
        type=float,
        metavar="S",
        default=1.0,
        help="one pixel of the picture in training pixels (default: 1)",
    )
    add("--crop", type=int, metavar="N", help="take the middle N×N pixels of the picture first")
    add(
        "--at",
        type=_place,
        metavar="COLUMN,ROW",
        help="pixel that becomes the middle (default: the picture's middle)",
    )
    add(
        "--centre",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="shift the centre of light to the middle, as for a model of centred pictures",
    )
    add(
        "--black",
        type=float,
        metavar="VALUE",
        default=0.0,
        help="value that becomes grey level 0 (default: 0)",
    )
    add(
        "--white",
        type=float,
        metavar="VALUE",
        help="value that becomes grey level 255 (default: 255 or 65535 for 8 and 16 bits, 1 or 255 for floats up to "
        "that, else, and in FITS, the brightest pixel)",
    )
    add("--noise", metavar="FILE", help="FITS file of the noise: standard deviations, variances or weights")
    add("--psf", metavar="FILE", help="FITS file of the point spread function")
    add("--mask", metavar="FILE", help="FITS file, not 0 where pixels are bad, or DS9 region file around bad pixels")
    add(
        "--unit",
        type=float,
        metavar="F",
        default=1.0,
        help="what one of the picture's units is in those of the training pictures, counts/s (default: 1)",
    )
    add(
        "--fit",
        nargs="?",
        const=True,
        metavar="TOML",
        help="fit scenes of the families that the model was trained on to each picture, or those of a distribution",
    )
    add(
        "--family",
        metavar="LENS[,SOURCE]",
        help="the same of another family, EPL+Shear,SersicEllipsoid for example; none: the roulette without a lens",
    )
    add("--samples", type=int, metavar="N", help="write N draws of each fit to OUTPUT-samples.csv")
    add("--residuals", metavar="FOLDER", help="write each picture, its fit and what is left there, as PNG and FITS")
    add("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    add("--seed", type=int, help="taken as by the other commands; draws nothing")
    return options


def readable(table: pd.DataFrame) -> str:
    """The table as somebody reads it: a block for each picture, a line for each column."""
    columns = [name.removeprefix("std:") for name in table if name.startswith("std:")]
    blocks = []
    for row in table.to_dict("records"):
        lines = [f"{name:14}{row[name]:>12.4g} ± {row[f'std:{name}']:.2g}" for name in columns]
        blocks.append("\n".join([f"{row['filename']}, novelty {row['novelty']:.2g}", *lines]) + "\n")
    return "\n".join(blocks)


def _place(text: str) -> tuple[float, float]:
    column, row = map(float, text.split(","))
    return column, row


@cli
def main(argv: list[str] | None = None) -> None:
    options = parser()
    args = options.parse_args(argv)
    if isinstance(args.fit, str) and not args.fit.lower().endswith(".toml"):  # --fit FILE: the file is a picture
        args.pictures, args.fit = [*args.pictures, args.fit], True
    if not args.pictures:
        options.error("the following arguments are required: FILE")
    with speaking(args, prints_result=True):
        from droulette import files
        from droulette.pipeline.user_predictions import predict_pictures

        samples = None
        if args.samples is not None:
            if args.samples < 2 or not args.output:
                raise UserError(f"--samples: found {args.samples}, expected at least 2, and --output beside it")
            output = Path(args.output)
            samples = args.samples, output.with_name(f"{output.stem}-samples.csv")
        table = predict_pictures(
            args.pictures,
            args.model,
            resimulation=args.resimulate,
            source=args.source,
            fit=args.fit,
            family=args.family,
            residuals=args.residuals,
            samples=samples,
            device=args.device,
            say=LOG.info,
            warn=LOG.warning,
            **{name: getattr(args, name) for name in ("pixel_scale", "crop", "at", "centre", "black", "white")},
            **{name: getattr(args, name) for name in ("noise", "psf", "mask", "unit")},
        )
        if args.output:
            files.write_csv(table, args.output)
        else:
            print(readable(table), end="") if sys.stdout.isatty() else table.to_csv(sys.stdout, index=False)


class _Callable(ModuleType):
    """This module as a function, `droulette.predict(pictures)`; the command has had its name for longer."""

    def __call__(self, *args, **named) -> pd.DataFrame:
        from droulette.pipeline.user_predictions import predict_pictures

        named.setdefault("warn", lambda line: warnings.warn(line, stacklevel=4))  # at the caller's line
        return predict_pictures(*args, **named)


if __name__ == "__main__":
    leave(main())
else:
    sys.modules[__name__].__class__ = _Callable
