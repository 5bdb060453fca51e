"""Lenses that are maps: the files that rows name, and the columns that name them."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pandas as pd

from droulette import files
from droulette.errors import UserError
from droulette.physics.maps import LARGEST, SMALLEST, MappedPotential, MapRows, NoEinsteinRadius
from droulette.pipeline.picture_files import FITS, NUMPY, Recent, files_of, path_below, read_levels

CONVERGENCE, POTENTIAL = "convergence", "potential"
_recent = Recent(1 << 30)  # bytes: a map of 256² pixels takes 2.8 MB, of 1024² 45 MB
_lock = threading.Lock()  # each map is prepared once


def maps_of(text: str) -> tuple[str, ...]:
    """What a row's column `map` may say. Raises `UserError`: a file or folder that is not there."""
    return files_of(text, (*FITS, *NUMPY), "lens.map")


def map_rows(frame: pd.DataFrame, name: str) -> MapRows:
    """The maps of rows, which all have one. Raises `UserError`."""
    for column in ("map", "mapquantity", "mappixel"):
        if column not in frame:
            raise UserError(f"{name}: found no column {column!r}, expected it for the lens Map")
    pixel = files.numbers(frame["mappixel"])
    rows = list(zip(frame["map"].astype(str), frame["mapquantity"].astype(str), pixel.tolist(), strict=True))
    kinds = sorted(set(rows))
    for path, quantity, side in kinds:
        if quantity not in (CONVERGENCE, POTENTIAL) or not 0 < side < np.inf:
            found = f"found mapquantity {quantity[:80]!r} and mappixel {side:g} for {path[:80]}"
            raise UserError(f"{name}: {found}, expected convergence or potential, and a number above 0")
    with _lock:
        maps = [_recent.get(kind, partial(_prepared, *kind, f"{name}: column map")) for kind in kinds]
    place = {kind: k for k, kind in enumerate(kinds)}
    return MapRows.of(maps, np.array([place[row] for row in rows]))


def _prepared(text: str, quantity: str, pixel: float, where: str) -> MappedPotential:
    path = path_below(text, where)
    values = read_levels(path)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not SMALLEST <= len(values) <= LARGEST:
        found = "×".join(map(str, values.shape[::-1]))
        raise UserError(f"{path}: found {found} numbers, expected a square of {SMALLEST} to {LARGEST} pixels a side")
    try:
        if quantity == CONVERGENCE:
            return MappedPotential.of_convergence(values)
        return MappedPotential.of_potential(values / pixel**2)
    except NoEinsteinRadius:
        expected = "one, by which the map is brought to einstein_radius"
        found = f"found no circle about the middle of this map of the {quantity} with a mean convergence of 1"
        raise UserError(f"{path}: {found}, expected {expected}") from None
