"""Lens, reference point, critical curves and circle of convergence, in the frame of a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from droulette.physics.amplitudes import convergence_and_shear
from droulette.physics.batches import take
from droulette.physics.lenses import Lens
from droulette.pipeline.scenes import groups, lens_batch, normalise

WIDER = 3  # times that the field is doubled in which a curve is followed
COARSE, FINE = 65, 161  # points a side: to find the curves, and to draw them


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
        for place, row in enumerate(rows):
            lens = take(batch, np.array([place]))
            centres = np.array([(x[0], y[0]) for x, y in lens.centres()]) + origin[row]
            radius = float(np.hypot(*(centres - references[row]).T).min())
            critical = [curve + origin[row] for curve in critical_curves(lens)]
            found[row] = Overlay(centres, references[row], radius, critical)
    return found


def critical_curves(lens: Lens) -> list[np.ndarray]:
    """The curves of one lens on which det A = (1 − κ)² − γ² vanishes, (M, 2) px about the origin of the lens plane."""
    masses = [part for part in lens.parts() if not part[0].perturbation]
    if not masses:
        return []
    centres = np.array([(x[0], y[0]) for _, x, y in masses])
    reach = 1.05 * sum(part.reach()[0] for part, _, _ in masses)
    for _ in range(WIDER):
        low, high = centres.min(axis=0) - reach, centres.max(axis=0) + reach
        coarse = _zeros(lens, low, high, COARSE)
        if all((curve[0] == curve[-1]).all() for curve in coarse):  # else it ends at the border
            break
        reach *= 2
    if not coarse:
        return []
    around = np.concatenate([centres, *coarse])
    margin = 2 * (high - low) / COARSE
    return _zeros(lens, around.min(axis=0) - margin, around.max(axis=0) + margin, FINE)


@np.errstate(all="ignore")  # at a lens centre there is nothing to find
def _zeros(lens: Lens, low: np.ndarray, high: np.ndarray, count: int) -> list[np.ndarray]:
    from contourpy import contour_generator

    x, y = (np.linspace(low[axis], high[axis], count) for axis in (0, 1))
    grid_x, grid_y = (grid.ravel() for grid in np.meshgrid(x, y))
    everywhere = take(lens, np.zeros(len(grid_x), int))
    kappa, gamma1, gamma2 = convergence_and_shear(everywhere, grid_x, grid_y)
    determinant = ((1 - kappa) ** 2 - gamma1**2 - gamma2**2).reshape(count, count)
    return contour_generator(x, y, np.ma.masked_invalid(np.arctan(determinant))).lines(0.0)
