"""What a dataset will take in bytes and seconds, from a sample of it that is drawn and encoded but not written."""

from __future__ import annotations

import io
import math
import time
from typing import TYPE_CHECKING

import pandas as pd

from droulette import files
from droulette.devices import cores, drawing_device
from droulette.pipeline.dataset import count_rows, drawn_chunks, read_chunks
from droulette.pipeline.generate import Drawing, generate_chunks
from droulette.processes import ALONE

if TYPE_CHECKING:
    from droulette.parameters import Parameters

SAMPLE = 512  # rows
FIRST = 16  # rows that are drawn before the clock runs, since formulas may be compiled first


class Counting:
    """A writer that keeps nothing."""

    def __init__(self) -> None:
        self.sizes: list[int] = []  # several threads may append to a list

    def keep(self, position: int, filename: str, png: bytes) -> None:
        self.sizes.append(len(png))


def estimate(
    params: Parameters,
    source: str,
    *,
    table: str | None = None,
    dataset: object,
    pictures: object,
    roulette: object,
    workers: int | None = None,
) -> str:
    """A line that says what `generate_dataset` with the same arguments would take; nothing is written."""
    begin = time.perf_counter()
    drawing = Drawing.of(params.simulator, params.instrument.depth)
    options = {"name": source, "workers": workers, "device": drawing_device(params.settings.device)}
    if table is None:
        rows = params.simulator.size
        sample = next(drawn_chunks(params, range(rows), SAMPLE))
    else:
        rows = count_rows(params, table, drawing, ALONE)
        step = math.ceil(rows / SAMPLE)
        sample = pd.concat(chunk[chunk.index % step == 0] for chunk in read_chunks(params, table))
    list(generate_chunks([sample.head(FIRST)], drawing, Counting() if pictures else None, **options))
    ready = time.perf_counter()
    counted = Counting()
    (amplitudes,) = generate_chunks([sample], drawing, counted if pictures else None, **options)
    text = io.BytesIO()
    for frame, wanted in ((sample, dataset), (amplitudes, roulette)):
        if wanted:
            files.append_csv(frame, text, header=False)
    share = rows / len(sample)
    seconds = ready - begin + share * (time.perf_counter() - ready)
    sizes = sum(counted.sizes) * share, text.tell() * share
    said = f"about {_readable(sum(sizes))} (pictures {_readable(sizes[0])}, tables {_readable(sizes[1])})"
    return (
        f"dry run: {rows} pictures of {drawing.size}×{drawing.size}: {said} and {seconds:.3g} s "
        f"with {workers or cores()} threads; nothing is written"
    )


def _readable(count: float) -> str:
    """Bytes in a unit that leaves one to three digits before the point."""
    power = min(4, int(math.log10(max(count, 1)) // 3))
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
