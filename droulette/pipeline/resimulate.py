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
from droulette.physics.arrays import Array, to_numpy
from droulette.physics.batches import move
from droulette.physics.instrument import take
from droulette.physics.mappings import Roulette
from droulette.physics.rendering import Scenes, render
from droulette.pipeline.batching import observed_at_once, pictures_at_once, slices
from droulette.pipeline.instruments import instrument_batch
from droulette.pipeline.scenes import AMPLITUDE, Kind, groups, source_batch


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
    counts: bool = False,
    progress: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """Draw each row of a roulette table in its own frame, whose origin is the centre of light.

    Args:
        table: source columns, xiX, xiY and amplitudes; an amplitude column that is missing counts as 0.
        canvas: the `imagesize` of the pictures that were cropped to this one; see `Sampling`.
        counts: of pictures that an instrument takes, give the light above the background as it is.

    Returns:
        (n, imagesize, imagesize) uint8; with `counts` float32, in the unit of the pictures.
    """
    nterms = largest_order(table.columns)
    same = {"model": "Roulette", "sampled": False, "lens": "SIS"}
    kept = table.reset_index(drop=True).drop(columns=list(same), errors="ignore")
    frame = pd.concat([kept, pd.DataFrame(same, kept.index)], axis=1)  # into many columns pandas is slow to insert
    pictures = np.zeros((len(frame), imagesize, imagesize), np.float32 if counts else np.uint8)

    def draw(kind: Kind, rows: np.ndarray) -> None:
        scene = scene_of_amplitudes(frame.iloc[rows], kind, nterms, name)
        middle = np.zeros(len(rows))
        with stream_of(device):
            if device != "cpu":
                scene = move(scene, device)
                middle = move(middle, device)
            if kind.psf is None:
                options = {"sampling": sampling, "supersampling": supersampling, "canvas": canvas}
                pictures[rows] = to_numpy(render(scene, imagesize, middle, middle, **options))
            else:
                pictures[rows] = observed(frame.iloc[rows], scene, kind, middle)
        progress(len(rows))

    def observed(part: pd.DataFrame, scene: Scenes, kind: Kind, middle: Array) -> np.ndarray:
        """Grey levels or counts, without noise, through the point spread function and with the lens's light."""
        instrument = instrument_batch(part, kind, name)
        instrument = move(instrument, device) if device != "cpu" else instrument
        options = {"canvas": canvas, "supersampling": supersampling, "noisy": False}
        picture, factor = take(scene, instrument, imagesize, middle, middle, **options)
        light = picture - instrument.pedestal[:, None, None]
        if counts:
            return to_numpy(light)
        levels = np.rint(to_numpy(light / factor[:, None, None]))
        return np.clip(levels, 0, 255).astype(np.uint8)

    at_once = pictures_at_once(imagesize, canvas or imagesize, device)
    if "psf" in frame and device == "cpu":
        at_once = observed_at_once(imagesize)
    kinds, batches = [], []
    for kind, rows in groups(frame, name):
        for part in slices(len(rows), at_once):
            kinds.append(kind)
            batches.append(rows[part])
    with ThreadPoolExecutor(workers or cores()) as pool:
        list(pool.map(draw, kinds, batches))
    return pictures


def scene_of_amplitudes(part: pd.DataFrame, kind: Kind, nterms: int, name: str) -> Scenes:
    """The scenes of rows of one kind, from their amplitudes."""
    alpha = np.stack([_column(part, f"alpha[{m}][{s}]", name) for m, s in orders(nterms)])
    beta = np.stack([_column(part, f"beta[{m}][{s}]", name) for m, s in orders(nterms)])
    xi = _column(part, "xiX", name), _column(part, "xiY", name)
    return Scenes(Roulette.from_amplitudes(*xi, alpha, beta, nterms), source_batch(part, kind, name))


def _column(part: pd.DataFrame, label: str, name: str) -> np.ndarray:
    """(n,) float64, 0 where there is no such column. Raises `UserError` for what is no finite number."""
    if label not in part:
        return np.zeros(len(part))
    values = files.numbers(part[label])
    wrong = ~np.isfinite(values)
    if wrong.any():
        row = part.iloc[int(wrong.argmax())]
        found = f"found {str(row[label])[:80]!r} in column {label}, expected a finite number"
        raise UserError(f"{name}: {str(row.get('filename'))[:80]}: {found}")
    return values
