"""Draw a dataset: `python -m droulette.datagen --toml dataset.toml --csvfile dataset.csv --outfile roulette.csv
--directory images -C`, or, without --toml, draw the rows of an existing --csvfile."""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from droulette import commands, files
from droulette.commands import LOG, speaking
from droulette.errors import UserError, cli, leave
from droulette.processes import together

if TYPE_CHECKING:
    import pandas as pd

    from droulette.parameters import Parameters
    from droulette.processes import Team

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
    add("--dry-run", action="store_true", help="draw a sample in memory, and say what all would take; write nothing")
    return options


@cli
def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
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
    with speaking(args):
        draw_dataset(
            _parameters(args.toml, overrides | {"settings.device": args.device}),
            args.toml or args.csvfile,
            table=args.csvfile if args.toml is None else None,
            dataset=args.csvfile if args.toml is not None else None,
            pictures=args.directory if args.pictures else None,
            roulette=args.outfile,
            workers=args.workers,
            dry_run=args.dry_run,
        )


def _parameters(toml: str | None, overrides: dict[str, Any]) -> Parameters:
    """The file's, under the overrides. A size or order given there need not do for the file's own split."""
    from droulette.parameters import load

    with suppress(UserError):
        return load(toml, overrides)
    given = {name: most for name, most in MOST.items() if overrides[name] is not None}
    own = load(None, {name: overrides[name] for name in given}).simulator
    params = load(toml, overrides | given)
    update = {field: getattr(own, field) for field in own.model_fields_set}
    return params.model_copy(update={"simulator": params.simulator.model_copy(update=update)})


def draw_dataset(
    params: Parameters,
    source: str,
    *,
    table: str | None = None,
    dataset: str | Path | None,
    pictures: str | Path | None,
    roulette: str | Path | None,
    workers: int | None = None,
    dry_run: bool = False,
) -> None:
    """Draw the rows of a distribution, or of an existing `table`: all files or none, with a progress bar.

    Processes that torchrun started share the rows out, and write the files that one alone would write.

    source: the file that the parameters or the rows come from. dataset: CSV file for the rows that were drawn.
    pictures: folder for PNG files or shards. roulette: CSV file for reference points and amplitudes. None: not written.
    dry_run: write nothing, and print what it would take.
    """
    begin = time.perf_counter()
    from droulette.devices import drawing_device
    from droulette.pipeline.estimate import estimate
    from droulette.pipeline.generate import CHUNK, Drawing, check_rows, generate_chunks, rows_together
    from droulette.pipeline.storage import writer

    simulator = params.simulator
    drawing = Drawing(**{field: getattr(simulator, field) for field in Drawing.__dataclass_fields__})
    device = drawing_device(params.settings.device)
    with ExitStack() as stack:  # what is entered first is finished last: with the amplitudes, the dataset is whole
        team = stack.enter_context(together())
        rows = simulator.size
        if table is not None:
            checked = check_rows(_read_chunks(params, table, CHUNK), table, drawing.imagesize) if team.first else 0
            rows = team.tell(checked)
        LOG.debug("%s: %d rows of %d×%d px on %s", source, rows, drawing.size, drawing.size, device)
        if dry_run:
            kept = {"pictures": pictures is not None, "dataset": dataset is not None, "roulette": roulette is not None}
            options = {"name": source, "workers": workers, "device": device, "begin": begin}
            print(estimate(_sample(params, table, rows), rows, drawing, kept, simulator.storage, **options))
            return
        own = team.share(rows, simulator.shard_size if simulator.storage == "parquet" else 1)
        if table is None:
            chunks = _drawn_chunks(params, own, rows_together(workers, device, pictures is not None))
        else:  # of which pandas finds the kind of a column chunk by chunk: that must not hang on the machine
            chunks = _own(own, _read_chunks(params, table, CHUNK))
        roulette_rows = stack.enter_context(_csv_writer(roulette, team))
        dataset_rows = stack.enter_context(_csv_writer(dataset, team))
        storage = (pictures, simulator.storage, simulator.shard_size, team)
        keep = stack.enter_context(writer(*storage)) if pictures else None
        bar = stack.enter_context(commands.progress_bar(len(own), "drawing", shown=team.first))
        options = {"first": own.start, "workers": workers, "device": device, "progress": bar.update}
        for result in generate_chunks(_written(chunks, dataset_rows), drawing, keep, name=source, **options):
            roulette_rows.append(result)


def _drawn_chunks(params: Parameters, own: range, rows: int) -> Iterator[pd.DataFrame]:
    from droulette.pipeline.draw import draw_table

    return (draw_table(params, start, min(start + rows, own.stop)) for start in own[::rows])


def _written(chunks: Iterator[pd.DataFrame], rows: _Rows) -> Iterator[pd.DataFrame]:
    """The chunks, each of which is written when the next is asked for: while its pictures are drawn."""
    for chunk in chunks:
        yield chunk
        rows.append(chunk)
    rows.sync()


def _own(own: range, chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Of the chunks of a whole table, those rows."""
    for chunk in chunks:
        part = chunk.loc[own.start : own.stop - 1]  # pandas' slices of labels have their end in them
        if len(part):
            yield part


def _sample(params: Parameters, table: str | None, rows: int) -> pd.DataFrame:
    """At most SAMPLE rows from all over the table."""
    import pandas as pd

    from droulette.pipeline.draw import draw_table
    from droulette.pipeline.estimate import SAMPLE, places

    if table is None:
        parts = [draw_table(params, start, stop) for start, stop in places(rows)]
    else:
        step = -(-rows // SAMPLE)
        parts = [frame[frame.index % step == 0] for frame in _read_chunks(params, table, 4096)]
    return pd.concat(parts)


def _read_chunks(params: Parameters, table: str, rows: int) -> Iterator[pd.DataFrame]:
    for frame in files.read_csv_chunks(table, rows, required=["filename"]):
        if "model" not in frame:
            frame["model"] = params.simulator.model[0]
        if not {"lens", "cluster", "config"} & set(frame):
            frame["lens"] = params.lens.mode[0]
        yield frame


@dataclass
class _Rows:
    """Rows of a table, one part of it after the other, for an open file, if there is to be one."""

    stream: BinaryIO | None
    header: bool = False

    def append(self, frame: pd.DataFrame) -> None:
        if self.stream:
            files.append_csv(frame, self.stream, header=self.header)
            self.header = False

    def sync(self) -> None:
        """Have all on the disk, for which `atomic_write` need not wait then."""
        if self.stream:
            self.stream.flush()
            os.fsync(self.stream.fileno())


@contextmanager
def _csv_writer(path: str | Path | None, team: Team) -> Iterator[_Rows]:
    """What appends to the file.

    Of a team, each process writes its rows beside the file, and the first puts them together in order.
    """
    if path is None:
        yield _Rows(None)
        return
    with files.atomic_write(path) if team.first else nullcontext() as partial, ExitStack() as stack:
        parts = [Path(f"{team.tell(partial)}{number or ''}") for number in range(team.count)]
        own = parts[team.rank]
        stack.callback(own.unlink, missing_ok=True) if not team.first else None
        with own.open("wb") as stream:
            yield _Rows(stream, header=team.first)
        team.wait()
        if team.first and team.count > 1:
            with own.open("ab") as stream:
                for part in parts[1:]:
                    with part.open("rb") as other:
                        shutil.copyfileobj(other, stream)
        team.wait()


if __name__ == "__main__":
    gc.set_threshold(100_000)  # nothing in a thousand modules becomes garbage: looking costs a tenth of the start
    leave(main())
