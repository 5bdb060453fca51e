"""Pictures from roulette amplitudes alone, with no lens."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from droulette import files
from droulette.devices import cores, stream_of
from droulette.errors import UserError
from droulette.physics.amplitudes import orders
from droulette.physics.arrays import to_numpy
from droulette.physics.batches import move
from droulette.physics.mappings import Roulette
from droulette.physics.rendering import Scene, render
from droulette.pipeline.scenes import AMPLITUDE, groups, source_batch

PICTURES_AT_ONCE = 8
PICTURES_ON_A_CARD = 256


def largest_order(columns) -> int:
    """The largest m among the amplitude columns.

    Raises:
        UserError: there is none.
    """
    found = [int(match[2]) for match in map(AMPLITUDE.fullmatch, columns) if match]
    if not found:
        raise UserError("found no amplitude columns such as alpha[1][0], expected them for resimulation")
    return max(found)


def resimulate(
    table: pd.DataFrame,
    imagesize: int,
    *,
    sampling: str = "exact",
    supersampling: int = 1,
    canvas: int | None = None,
    workers: int | None = None,
    device: str = "cpu",
    name: str = "roulette.csv",
    progress: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """Draw each row of a roulette table in its own frame, whose origin is the centre of light.

    Args:
        table: source columns, xiX, xiY and amplitudes; an amplitude column that is missing counts as 0.
        canvas: the `imagesize` of the pictures that were cropped to this one; see `Sampling`.

    Returns:
        (n, imagesize, imagesize) uint8.
    """
    nterms = largest_order(table.columns)
    frame = table.reset_index(drop=True).assign(model="Roulette", sampled=False, lens="SIS")
    pictures = np.zeros((len(frame), imagesize, imagesize), np.uint8)
    how = {"sampling": sampling, "supersampling": supersampling, "canvas": canvas}

    def column(part: pd.DataFrame, label: str) -> np.ndarray:
        if label not in part:
            return np.zeros(len(part))
        values = files.numbers(part[label])
        if (bad := ~np.isfinite(values)).any():
            row = part.iloc[int(bad.argmax())]
            found = f"found {str(row[label])[:80]!r} in column {label}, expected a finite number"
            raise UserError(f"{name}: {str(row.get('filename'))[:80]}: {found}")
        return values

    def draw(batch) -> None:
        kind, rows = batch
        part = frame.iloc[rows]
        alpha = np.stack([column(part, f"alpha[{m}][{s}]") for m, s in orders(nterms)])
        beta = np.stack([column(part, f"beta[{m}][{s}]") for m, s in orders(nterms)])
        mapping = Roulette.from_amplitudes(column(part, "xiX"), column(part, "xiY"), alpha, beta, nterms)
        scene, zero = Scene(mapping, source_batch(part, kind, name)), np.zeros(len(rows))
        with stream_of(device):
            if device != "cpu":
                scene, zero = move(scene, device), move(zero, device)
            pictures[rows] = to_numpy(render(scene, imagesize, zero, zero, **how))
        progress(len(rows))

    at_once = PICTURES_AT_ONCE if device == "cpu" else PICTURES_ON_A_CARD
    batches = [
        (kind, rows[start : start + at_once])
        for kind, rows in groups(frame, name)
        for start in range(0, len(rows), at_once)
    ]
    with ThreadPoolExecutor(workers or cores()) as pool:
        list(pool.map(draw, batches))
    return pictures
