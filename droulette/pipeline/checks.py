"""Rows that cannot be drawn are refused in one line that names the first of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from droulette.errors import UserError
from droulette.physics.lenses import Lens
from droulette.pipeline.scenes import groups, lens_batch, normalise, source_batch
from droulette.quantities import amplitude_columns


def check_rows(chunks: Iterable[pd.DataFrame], name: str, imagesize: int, nterms: int = 0) -> int:
    """Raise `UserError` for the first row that cannot be drawn, that has no amplitudes up to order m = nterms, or whose
    file name is not a plain one of its own.

    Returns: the number of rows.
    """
    seen: set[str] = set()
    for chunk in chunks:
        frame = normalise(chunk, name)
        check_filenames(frame, name, seen)
        for kind, rows in groups(frame, name):
            part = frame.iloc[rows]
            lens = lens_batch(part, replace(kind, sampled=False), name, imagesize)
            check_order(part, name, lens, nterms)
            source_batch(part, kind, name)
    return len(seen)


def check_filenames(frame: pd.DataFrame, name: str, seen: set[str]) -> None:
    """Raise unless every row names one plain .png file that is not among those `seen`, and add them."""
    if "filename" not in frame:
        raise UserError(f"{name}: found no column 'filename', expected it")
    for label, filename in frame["filename"].items():
        plain = isinstance(filename, str) and Path(filename).name == filename and "\\" not in filename
        if not plain or not filename.lower().endswith(".png") or filename.startswith(".") or "\0" in filename:
            raise UserError(
                f"{name}: row {label + 1}, column filename: found {str(filename)[:80]!r}, "
                "expected a plain name that ends in .png, without folders"
            )
        if filename in seen:
            found = f"found {filename!r} a second time, expected each once"
            raise UserError(f"{name}: row {label + 1}, column filename: {found}")
        seen.add(filename)


def check_order(frame: pd.DataFrame, name: str, lens: Lens, nterms: int) -> None:
    """Raise `UserError` where a lens has no amplitudes of that order."""
    for part, _, _ in lens.parts():
        if part.most_order is not None and nterms > part.most_order:
            found = f"found nterms = {nterms} for a lens {type(part).__name__}, expected at most {part.most_order}"
            raise UserError(f"{name}: row {frame.index[0] + 1}: {found}")


def check_solved(frame: pd.DataFrame, name: str, solved: np.ndarray) -> None:
    """Raise `UserError` for the first row whose reference point was not found."""
    if solved.all():
        return
    row = int(np.flatnonzero(~solved)[0])
    source = f"({frame['x'].iloc[row]:g}, {frame['y'].iloc[row]:g})"
    where = f"{name}: row {frame.index[row] + 1}"
    raise UserError(f"{where}: the lens equation has no solution for the source at {source}")


def check_finite(frame: pd.DataFrame, name: str, alpha: np.ndarray, beta: np.ndarray, nterms: int) -> None:
    """Raise `UserError` for the first row one of whose amplitudes is not a finite number."""
    finite = np.isfinite(alpha).all(axis=0) & np.isfinite(beta).all(axis=0)
    if finite.all():
        return
    row = int(np.flatnonzero(~finite)[0])
    values = np.stack([alpha[:, row], beta[:, row]], axis=1).ravel()
    place = int(np.flatnonzero(~np.isfinite(values))[0])
    found = f"found {amplitude_columns(nterms)[place]} = {values[place]:g}"
    raise UserError(f"{name}: row {frame.index[row] + 1}: {found}, expected a finite amplitude")
