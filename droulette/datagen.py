"""Draw a dataset: `python -m droulette.datagen --toml dataset.toml --csvfile dataset.csv --outfile roulette.csv
--directory images -C`, or, without --toml, draw the rows of an existing --csvfile."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from droulette import files
from droulette.errors import UserError, cli

if TYPE_CHECKING:
    import pandas as pd

    from droulette.parameters import Parameters


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m droulette.datagen",
        description="Draw pictures of lensed galaxies with their lens table and roulette amplitudes.",
        epilog="Options given here override the TOML file. Exit status 2 and one line for what is wrong in a file.",
    )
    add = options.add_argument
    add("--toml", metavar="FILE", help="distribution to draw from; without it the rows of --csvfile are drawn")
    add("-i", "--csvfile", metavar="FILE", help="lens table: written with --toml, read without")
    add("-o", "--outfile", metavar="FILE", help="table of reference points and amplitudes to write")
    add("-D", "--directory", default=".", metavar="FOLDER", help="where the pictures go (default: here)")
    add(
        "-C",
        "--centred",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="shift each picture's centre of light to its middle",
    )
    add(
        "-M",
        "--mask",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="blank a Roulette picture outside its circle of convergence",
    )
    add("-Z", "--imagesize", type=int, metavar="N", help="canvas, px")
    add("-z", "--cropsize", type=int, metavar="N", help="picture, px; the whole canvas by default")
    add("-n", "--nterms", type=int, metavar="N", help="highest order m of the amplitudes")
    add("--sampling", choices=["exact", "nearest"], help="nearest is CosmoSim's, pixel for pixel")
    add("--supersampling", type=int, metavar="N", help="rays per pixel and axis")
    add("--size", type=int, metavar="N", help="number of rows to draw from --toml")
    add("--seed", type=int, metavar="N", help="of the table drawn from --toml")
    add("--device", help="auto (default), cpu, cuda or cuda:N")
    add("--workers", type=int, metavar="N", help="threads; by default one a core")
    return options


@cli
def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    from droulette.parameters import load

    if args.toml is None and args.csvfile is None:
        raise UserError("found neither --toml nor --csvfile, expected a distribution or a table to draw")
    if args.workers is not None and args.workers < 1:
        raise UserError(f"--workers: found {args.workers}, expected at least 1")
    simulator = (
        "size",
        "seed",
        "nterms",
        "imagesize",
        "cropsize",
        "centred",
        "sampling",
        "supersampling",
        "mask",
    )
    overrides = {f"simulator.{key}": getattr(args, key) for key in simulator}
    params = load(args.toml, overrides | {"settings.device": args.device})
    if args.toml is None:
        frame = files.read_csv(args.csvfile, required=["filename"])
        name = args.csvfile
    else:
        from droulette.pipeline.draw import draw_table

        frame, name = draw_table(params), args.toml
    table = draw_pictures(frame, params, Path(args.directory), name=name, workers=args.workers)
    if args.toml is not None and args.csvfile:
        files.write_csv(frame, args.csvfile)
    if args.outfile:
        files.write_csv(table, args.outfile)


def draw_pictures(
    frame: pd.DataFrame, params: Parameters, directory: Path, *, name: str, workers: int | None = None
) -> pd.DataFrame:
    """Draw a table's pictures into a folder, all or none, with a progress bar; return the roulette table."""
    from tqdm import tqdm

    from droulette.devices import choose_device
    from droulette.pipeline.generate import Drawing, generate

    simulator = params.simulator
    drawing = Drawing(**{field: getattr(simulator, field) for field in Drawing.__dataclass_fields__})
    if "model" not in frame:
        frame = frame.assign(model=simulator.model[0])
    if not {"lens", "cluster", "config"} & set(frame):
        frame = frame.assign(lens=params.lens.mode[0])
    device = str(choose_device(params.settings.device))
    bar = tqdm(total=len(frame), desc="drawing", unit="picture", disable=None)
    with bar, files.atomic_folder(directory) as partial:
        return generate(frame, drawing, partial, name=name, workers=workers, device=device, progress=bar.update)


if __name__ == "__main__":
    raise SystemExit(main())
