"""The lens-free fit of pictures: a network's amplitudes made better without any family of lenses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from droulette.devices import workers
from droulette.errors import UserError
from droulette.fitting import posterior
from droulette.fitting.belief import Belief, from_logarithms, to_logarithms
from droulette.fitting.observation import Observation
from droulette.fitting.roulette import RouletteFit, fit_roulette, limits_of
from droulette.pipeline.fitted import DRAWS, SHARES, Fits
from droulette.pipeline.populations import UNKNOWN_BRIGHTNESS, Population

NONE = "none"  # the family that is none


def fit_lens_free(
    observations: Sequence[Observation],
    predictions: pd.DataFrame,
    populations: Sequence[Population],
    *,
    brightness_known: bool,
    count: int = DRAWS,
    progress: Callable[[int], object] = lambda pictures: None,
) -> Fits:
    """Fit a roulette and a source to each picture, with a network's predictions as prior.

    predictions: with the deviations `std:…`, taken as independent. populations: of the distribution, which say what
    kind the source is, and what is known of those of its parameters that the network does not predict.
    progress: called with a number of pictures after each fit.

    Raises:
        UserError: the distribution has several kinds of sources, or light of the lens; the network lacks something.
    """
    columns = tuple(c for c in predictions if f"std:{c}" in predictions)
    of_source, source = belief_of_source(populations, brightness_known)
    orders = {c[c.index("[") + 1] for c in columns if "[" in c} - {"0"}
    if not {"xiX", "xiY"} <= set(columns) or len(orders) < 2:
        found = f"a model of {', '.join(columns)}"
        raise UserError(
            f"--family none: found {found}, expected xiX, xiY and amplitudes of two orders m ≥ 1 among them"
        )

    def fit(row: int) -> RouletteFit:
        about = predictions.iloc[row]
        mean, deviation = ([float(about[name + c]) for c in columns] for name in ("", "std:"))
        prior = Belief.independent(columns, mean, deviation).beside(of_source)
        found = fit_roulette(observations[row], prior, source=source)
        progress(1)
        return found

    with workers() as threads:
        fits = list(threads.map(fit, range(len(observations))))
    samples = np.stack([one.draws(count)[:, [one.columns.index(c) for c in columns]] for one in fits])
    pictures = [_planes(observation, one) for observation, one in zip(observations, fits, strict=True)]
    return Fits(_described(fits, samples, columns), columns, samples, pictures, np.full(len(fits), np.nan))


def belief_of_source(populations: Sequence[Population], brightness_known: bool) -> tuple[Belief, str]:
    """Of a source's parameters, as the distribution draws them, and what kind it is. Raises UserError."""
    families = [one.family for one in populations]
    if any(family.light for family in families):
        raise UserError("--family none: found light of the lens in the distribution, expected none: it is not fitted")
    kinds = sorted({family.source for family in families})
    if len(kinds) > 1:
        raise UserError(f"--family none: found sources of several kinds, {', '.join(kinds)}, expected one")
    quantities = {name: q for name, q in families[0].quantities.items() if name.startswith("source.")}
    values = [one.family.values(one.coordinates) for one in populations]
    draws = np.stack([np.concatenate([some[name] for some in values]) for name in quantities], axis=1)
    columns = tuple(q.column for q in quantities.values())
    belief = Belief.of_draws(columns, draws)
    if brightness_known or "luminosity" not in columns:
        return belief, kinds[0]
    limits = limits_of(columns, kinds[0])
    mean, spread = to_logarithms(belief, limits)
    place = columns.index("luminosity")
    spread[place, place] += UNKNOWN_BRIGHTNESS**2
    return from_logarithms(columns, mean, spread, limits), kinds[0]


def _planes(observation: Observation, fit: RouletteFit) -> np.ndarray:
    """(3, N, N): the picture; in the circle also the fitted scene, and what is left in deviations of the noise."""
    scenes = replace(fit.scenes, x=0.0, y=0.0)
    ((_, light),) = observation.drawn(scenes, fit.coordinates[None])
    axis = np.arange(observation.size) - observation.size / 2
    inside = np.hypot(axis - fit.x, -axis[:, None] - fit.y) < fit.radius
    drawn = np.where(inside, light[0, 0], 0.0)
    left = np.where(inside, observation.left(drawn[None])[0], 0.0)
    return np.stack([observation.pictures[0], drawn, left])


def _described(fits: Sequence[RouletteFit], samples: np.ndarray, columns: tuple[str, ...]) -> pd.DataFrame:
    middle, halves = posterior.intervals(samples, SHARES)
    table = {
        "fit:family": NONE,
        "fit:good": [one.good for one in fits],
        "fit:converged": [one.converged for one in fits],
        "fit:chi2": [one.chi2 for one in fits],
        "fit:pixels": [one.pixels for one in fits],
        "fit:probability": [one.probability for one in fits],
        "fit:radius": [one.radius for one in fits],
    }
    for k, column in enumerate(columns):
        table[column] = middle[:, k]
        table[f"std:{column}"], table[f"half95:{column}"] = halves[:, :, k]
    return pd.DataFrame(table)
