"""Draw a dataset: `python -m droulette.datagen --toml dataset.toml --csvfile dataset.csv --outfile roulette.csv
--directory images -C`, or, without --toml, draw the rows of an existing --csvfile."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from droulette import files
from droulette.errors import UserError, cli, leave

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
    add("--storage", choices=["png", "parquet"], help="a file a picture (default), or packed into Parquet shards")
    add("--size", type=int, metavar="N", help="number of rows to draw from --toml")
    add("--seed", type=int, metavar="N", help="of the table drawn from --toml")
    add("--device", help="auto (default), cpu, cuda or cuda:N")
    add("--no-pictures", dest="pictures", action="store_false", help="tables only")
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
    params = load(args.toml, overrides | {"settings.device": args.device})
    draw_dataset(
        params,
        args.toml or args.csvfile,
        table=args.csvfile if args.toml is None else None,
        dataset=args.csvfile if args.toml is not None else None,
        pictures=args.directory if args.pictures else None,
        roulette=args.outfile,
        workers=args.workers,
    )


def draw_dataset(
    params: Parameters,
    source: str,
    *,
    table: str | None = None,
    dataset: str | Path | None,
    pictures: str | Path | None,
    roulette: str | Path | None,
    workers: int | None = None,
) -> None:
    """Draw the rows of a distribution, or of an existing `table`: all files or none, with a progress bar.

    source: the file that the parameters or the rows come from. dataset: CSV file for the rows that were drawn.
    pictures: folder for PNG files or shards. roulette: CSV file for reference points and amplitudes. None: not written.
    """
    from tqdm import tqdm

    from droulette.devices import drawing_device
    from droulette.physics import kernels
    from droulette.pipeline.generate import CHUNK, Drawing, check_rows, generate_chunks
    from droulette.pipeline.storage import writer

    simulator = params.simulator
    drawing = Drawing(**{field: getattr(simulator, field) for field in Drawing.__dataclass_fields__})
    device = drawing_device(params.settings.device)
    if table is None:
        chunks, rows = _drawn_chunks(params, CHUNK), simulator.size
    else:
        chunks = _read_chunks(params, table, CHUNK)
        rows = check_rows(_read_chunks(params, table, CHUNK), table, drawing.imagesize)
    if device == "cpu":
        kernels.prepare(rows)
    with ExitStack() as stack:  # what is entered first is finished last: with the amplitudes, the dataset is whole
        write_roulette = stack.enter_context(_csv_writer(roulette))
        write_dataset = stack.enter_context(_csv_writer(dataset))
        storage = (pictures, simulator.storage, simulator.shard_size)
        keep = stack.enter_context(writer(*storage)) if pictures else None
        bar = stack.enter_context(tqdm(total=rows, desc="drawing", unit="picture", disable=None))
        options = {"name": source, "workers": workers, "device": device, "progress": bar.update}
        for result in generate_chunks(map(write_dataset, chunks), drawing, keep, **options):
            write_roulette(result)


def _drawn_chunks(params: Parameters, rows: int) -> Iterator[pd.DataFrame]:
    from droulette.pipeline.draw import draw_table

    size = params.simulator.size
    return (draw_table(params, start, min(start + rows, size)) for start in range(0, size, rows))


def _read_chunks(params: Parameters, table: str, rows: int) -> Iterator[pd.DataFrame]:
    for frame in files.read_csv_chunks(table, rows, required=["filename"]):
        if "model" not in frame:
            frame["model"] = params.simulator.model[0]
        if not {"lens", "cluster", "config"} & set(frame):
            frame["lens"] = params.lens.mode[0]
        yield frame


@contextmanager
def _csv_writer(path: str | Path | None) -> Iterator[Callable[[pd.DataFrame], pd.DataFrame]]:
    """A function that appends a table to the file, if there is to be one, and returns it."""
    if path is None:
        yield lambda frame: frame
        return
    with files.atomic_write(path) as partial, partial.open("wb") as stream:

        def append(frame: pd.DataFrame) -> pd.DataFrame:
            files.append_csv(frame, stream, header=stream.tell() == 0)
            return frame

        yield append


if __name__ == "__main__":
    gc.set_threshold(100_000)  # nothing in a thousand modules becomes garbage: looking costs a tenth of the start
    leave(main())
