"""From drawn rows to what fits know of a distribution: its families, and the coordinates of their scenes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from droulette.errors import UserError
from droulette.fitting.family import Family
from droulette.physics.lenses import LENSES
from droulette.physics.mappings import Raytrace
from droulette.physics.scene import Scene
from droulette.physics.sources import SOURCES
from droulette.pipeline.scenes import Kind, groups, lens_batch, normalise, source_batch


def families(rows: pd.DataFrame, roulette: pd.DataFrame, name: str) -> list[tuple[np.ndarray, Family, np.ndarray]]:
    """The places of the rows of each kind of a dataset table, their family, and their coordinates (n, P) in the frames
    of their pictures.

    roulette: the rows of their roulette table, which says where the middles of the pictures are.

    Raises:
        UserError: rows that no family describes.
    """
    frame = normalise(rows, name)
    found = []
    for kind, places in groups(frame, name):
        _check(kind, name)
        some = frame.iloc[places]
        lens, source = lens_batch(some, kind, name), source_batch(some, kind, name)
        scene = Scene(Raytrace(lens, *some[["x", "y"]].to_numpy(np.float64).T), source)
        family = Family.of(scene)
        middle = roulette[["centreX", "centreY"]].to_numpy(np.float64)[places].T
        found.append((places, family, family.coordinates(family.values_of(scene, *middle))))
    return found


def family_and_coordinates(rows: pd.DataFrame, roulette: pd.DataFrame, name: str) -> tuple[Family, np.ndarray]:
    """The family and the coordinates of rows that are all of one kind.

    Raises:
        UserError: rows of several kinds of lens or source, for which there is no one family; see also `families`.
    """
    found = families(rows, roulette, name)
    if len(found) != 1:
        raise UserError(f"{name}: found {len(found)} kinds of lens and source, expected one, to be fitted as a family")
    return found[0][1:]


def _check(kind: Kind, name: str) -> None:
    """Raises UserError: scenes that are not described by numbers alone."""
    if kind.sampled or kind.model != "Raytrace":
        raise UserError(f"{name}: found a sampled lens or roulettes, expected raytraced pictures, to be fitted")
    if kind.constellation:
        raise UserError(f"{name}: found a constellation of sources, expected a single source, to be fitted")
    for model in (*(LENSES[lens] for lens in kind.lenses), *(SOURCES[source] for source in kind.sources)):
        if model.not_numbers:
            found = f"found {model.names[0]}, which needs files"
            raise UserError(f"{name}: {found}, expected a {model.kind} described by numbers alone, to be fitted")
