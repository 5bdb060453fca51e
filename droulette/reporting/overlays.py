"""Lens, reference point, critical curves and circle of convergence, in the frame of a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from droulette.physics.batches import take
from droulette.physics.critical_curves import critical_curves
from droulette.physics.mappings import convergence_radius
from droulette.pipeline.scenes import groups, lens_batch, normalise


@dataclass(frozen=True)
class Overlay:
    """What is drawn over one picture: px, x to the right and y up, the origin at its middle pixel.

    lenses: (K, 2) centres. reference: (2,) ξ₀. radius: of the circle about ξ₀ in which the roulette series converges.
    critical: closed curves, (M, 2) each.
    """

    lenses: np.ndarray
    reference: np.ndarray
    radius: float
    critical: list[np.ndarray]


def overlays(
    lenses: pd.DataFrame, roulette: pd.DataFrame, *, centred: bool, name: str = "dataset.csv"
) -> list[Overlay]:
    """The overlay of each row. centred: the picture's middle is its centre of light, not the origin of the lens plane.

    Raises:
        UserError: a lens that is none.
    """
    frame = normalise(lenses.reset_index(drop=True).assign(source="Spherical", sigma=1.0), name)
    light = roulette[["centreX", "centreY"]].to_numpy()
    origin = roulette[["lensX", "lensY"]].to_numpy() + (0 if centred else light)
    references = roulette[["xiX", "xiY"]].to_numpy() + (0 if centred else light)
    found: list[Overlay | None] = [None] * len(frame)
    for kind, rows in groups(frame, name):
        batch = lens_batch(frame.iloc[rows], replace(kind, sampled=False), name)
        radii = convergence_radius(batch, *(references - origin)[rows].T)
        for place, row in enumerate(rows):
            lens = take(batch, np.array([place]))
            centres = np.array([(x[0], y[0]) for x, y in lens.centres()]) + origin[row]
            critical = [curve + origin[row] for curve in critical_curves(lens)]
            found[row] = Overlay(centres, references[row], float(radii[place]), critical)
    return found
