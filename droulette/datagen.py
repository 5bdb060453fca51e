"""Draw a dataset: `python -m droulette.datagen --toml dataset.toml --csvfile dataset.csv --outfile roulette.csv
--directory images -C`, or, without --toml, draw the rows of an existing --csvfile."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from droulette import commands
from droulette.commands import speaking
from droulette.errors import UserError, cli, leave

if TYPE_CHECKING:
    from droulette.parameters import Parameters

MOST = {"simulator.size": 10_000_000, "simulator.nterms": 20}  # with which every [dataset] and [problem] agrees

EXAMPLES = """
python -m droulette.datagen --toml dataset.toml --csvfile dataset.csv --outfile roulette.csv --directory images -C
python -m droulette.datagen --toml dataset.toml --size 100000 --dry-run
python -m droulette.datagen --csvfile dataset.csv --directory again -C -Z 512 -z 256
"""


def parser() -> argparse.ArgumentParser:
    options = commands.parser(
        "datagen",
        "Draw pictures of lensed galaxies with their lens table and roulette amplitudes.",
        EXAMPLES,
        "Options given here override the TOML file. Exit status 2 and one line for what is wrong in a file.",
    )
    add = options.add_argument
    add("--toml", metavar="FILE", help="distribution to sample; without it, the rows of --csvfile are rendered")
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
    add("--storage", choices=["png", "parquet"], help="a file a picture (default), or packed into Parquet shards")
    add("--size", type=int, metavar="N", help="number of rows to sample from --toml")
    add("--seed", type=int, metavar="N", help="seed of the table sampled from --toml")
    add("--device", help="auto (default), cpu, cuda or cuda:N")
    add("--no-pictures", dest="pictures", action="store_false", help="tables only")
    add("--workers", type=int, metavar="N", help="threads; by default one a core")
    add("--dry-run", action="store_true", help="make a few pictures in memory, say what all would take; write nothing")
    return options


@cli
def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    if args.toml is None and args.csvfile is None:
        raise UserError("--toml and --csvfile are both missing; give a distribution or a table")
    for option, other in (("toml", "csv"), ("csv", "toml")):
        given = args.toml if option == "toml" else args.csvfile
        if given is not None and given.lower().endswith(f".{other}"):
            takes = "--csvfile takes a table" if other == "csv" else "--toml takes a distribution"
            raise UserError(f"{given}: found a .{other} file, expected a .{option} file here; {takes}")
    if args.workers is not None and args.workers < 1:
        raise UserError(f"--workers: found {args.workers}, expected at least 1")
    simulator = (
        "storage",
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
    with speaking(args):
        params = load_simulation(args.toml, overrides | {"settings.device": args.device})
        source = args.toml or args.csvfile
        options = {
            "table": args.csvfile if args.toml is None else None,
            "dataset": args.csvfile if args.toml is not None else None,
            "pictures": args.directory if args.pictures else None,
            "roulette": args.outfile,
            "workers": args.workers,
        }
        if args.dry_run:
            from droulette.pipeline.estimate import estimate

            print(estimate(params, source, **options))
        else:
            from droulette.pipeline.dataset import generate_dataset

            generate_dataset(params, source, **options, progress=commands.progress_bar)


def load_simulation(toml: str | None, overrides: dict[str, Any]) -> Parameters:
    """The file's parameters under the overrides. A size or order given there need not do for the file's own split."""
    from droulette.parameters import load

    with suppress(UserError):
        return load(toml, overrides)
    given = {name: most for name, most in MOST.items() if overrides.get(name) is not None}
    own = load(None, {name: overrides[name] for name in given}).simulator
    params = load(toml, overrides | given)
    update = {field: getattr(own, field) for field in own.model_fields_set}
    return params.model_copy(update={"simulator": params.simulator.model_copy(update=update)})


if __name__ == "__main__":
    leave(main())
