"""From drawn rows to what fits know of a distribution: its family, and the coordinates of its scenes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from droulette.errors import UserError
from droulette.fitting.family import Family
from droulette.physics.mappings import Raytrace
from droulette.physics.scene import Scene
from droulette.pipeline.scenes import groups, lens_batch, normalise, source_batch


def family_and_coordinates(rows: pd.DataFrame, roulette: pd.DataFrame, name: str) -> tuple[Family, np.ndarray]:
    """The family of the rows of a dataset table, and their coordinates (n, P) in the frames of their pictures.

    roulette: the rows of their roulette table, which says where the middles of the pictures are.

    Raises:
        UserError: rows of several kinds of lens or source, for which there is no one family.
    """
    frame = normalise(rows, name)
    kinds = list(groups(frame, name))
    if len(kinds) != 1:
        raise UserError(f"{name}: found {len(kinds)} kinds of lens and source, expected one, to be fitted as a family")
    kind = kinds[0][0]
    lens, source = lens_batch(frame, kind, name), source_batch(frame, kind, name)
    scene = Scene(Raytrace(lens, *frame[["x", "y"]].to_numpy(np.float64).T), source)
    family = Family.of(scene)
    middle = roulette[["centreX", "centreY"]].to_numpy(np.float64).T
    return family, family.coordinates(family.values_of(scene, *middle))
