"""COOLEST files to tables and TOML files, and rows of tables to COOLEST files: `python -m droulette.formats`"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from droulette import commands
from droulette.commands import LOG, speaking
from droulette.errors import UserError, cli, leave

EXAMPLES = """
python -m droulette.formats coolest.json --csv lens.csv
python -m droulette.formats coolest.json --toml scene.toml --brightness 100
python -m droulette.formats dataset.csv --row 3 --coolest scene.json --pixel-scale 0.05
"""
NOTES = (
    "What a file has and the other cannot hold is named on stderr. A lens or source without counterpart is an error.\n"
    "docs/formats.md lists what becomes what."
)


def parser() -> argparse.ArgumentParser:
    options = commands.parser("formats", "Convert scenes from and to COOLEST files.", EXAMPLES, NOTES)
    add = options.add_argument
    add("scene", metavar="FILE", help="COOLEST file (.json), or table of lenses (.csv)")
    add("--csv", metavar="FILE", help="table of one row to write, for droulette.datagen --csvfile")
    add("--toml", metavar="FILE", help="TOML file to write, for droulette.datagen --toml; it has PSF and noise too")
    add("--coolest", metavar="FILE", help="COOLEST file to write")
    add("--row", type=int, default=1, metavar="N", help="of a table, counted from 1 (default: 1)")
    add("--pixel-scale", type=float, metavar="S", help="side of a table's pixel, arcsec (default: column pixelscale)")
    add("--size", type=int, metavar="N", help="side of a table's picture, px, for --coolest")
    add(
        "--brightness",
        type=float,
        default=1.0,
        metavar="F",
        help="grey levels of one unit of flux in a pixel (default: 1)",
    )
    add(
        "--redshifts",
        type=_redshifts,
        default=(0.5, 2.0),
        metavar="LENS,SOURCE",
        help="written by --coolest; lengths do not depend on them (default: 0.5,2)",
    )
    return options


def _redshifts(text: str) -> tuple[float, float]:
    try:
        lens, source = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected two numbers LENS,SOURCE") from None
    return lens, source


@cli
def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    if not (args.csv or args.toml or args.coolest):
        raise UserError("found none of --csv, --toml and --coolest, expected what is to be written")
    if not (math.isfinite(args.brightness) and args.brightness > 0):
        raise UserError(f"--brightness: found {args.brightness:g}, expected a positive number")
    if args.size is not None and args.size < 1:
        raise UserError(f"--size: found {args.size}, expected at least 1")
    from dataclasses import replace

    from droulette import files
    from droulette.formats import coolest
    from droulette.pipeline import descriptions

    with speaking(args):
        if Path(args.scene).suffix.lower() == ".csv":
            scene = descriptions.scene_of(files.read_csv(args.scene), args.row, args.scene, args.pixel_scale)
            scene = replace(scene, size=args.size)
        else:
            scene = coolest.read(args.scene, args.brightness)
        for note in scene.notes:
            LOG.warning("%s: %s", args.scene, note)
        if args.csv:
            if scene.instrument:
                LOG.warning("%s: PSF and noise are left out of a table; --toml has them", args.scene)
            files.write_csv(descriptions.table_of(scene), args.csv)
        if args.toml:
            text = descriptions.toml_of(scene)
            with files.atomic_write(args.toml) as partial:
                partial.write_text(text, encoding="utf-8")
        if args.coolest:
            coolest.write(scene, args.coolest, args.redshifts, args.brightness)


if __name__ == "__main__":
    leave(main())
