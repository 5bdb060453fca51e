"""Fits of a user's pictures, and of their observations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from droulette.fitting.observation import Observation as Exposure
from droulette.learning.model_file import Model
from droulette.learning.observed import FACTS
from droulette.pipeline import fitted, lens_free
from droulette.pipeline.observed_predictions import Prepared
from droulette.pipeline.populations import distribution_to_fit, populations

Say = Callable[[str], None]


def fits_of(
    fit: bool | str | Path | None, family: str | None, model: Model, prepared: np.ndarray, facts: np.ndarray | None,
    observed: list[Prepared] | None, table: pd.DataFrame, names: list[str], samples: int | None, say: Say, warn: Say,
) -> fitted.Fits:  # fmt: skip
    """Fit pictures as a model was given them. fit, family: see `user_predictions.predict_pictures`.

    prepared: (n, N, N) pictures, with (n, 6) facts of those with noise, which are `observed`. table: the network's
    predictions. samples: draws of each fit; None: `fitted.DRAWS`.

    Raises:
        UserError: a family that cannot be fitted, or a model that does not know its families.
    """
    free = family == lens_free.NONE
    toml = None if isinstance(fit, bool) else fit
    params, scenes = distribution_to_fit(
        toml, None if free else family, model.distribution, model.input_size, observed is not None
    )
    kinds = populations(params, scenes, model.input_size)
    if observed is None or facts is None:
        whole = fitted.drawings(prepared)
        observations = [whole[[k]] for k in range(len(prepared))]
    else:
        made = fitted.exposures(prepared, facts, [None] * len(prepared))
        observations = [_exposure(one, about, warn) for one, about in zip(observed, made, strict=True)]
    columns = [column for column in table if f"std:{column}" in table]
    known, count = observed is None, samples or fitted.DRAWS
    if free:
        fits = lens_free.fit_lens_free(observations, table, kinds, brightness_known=known, count=count)
    else:
        fits = fitted.fit(observations, kinds, columns, table, brightness_known=known, count=count)
    fits.tell(names, "the network's answer is kept", say, warn)
    return fits


def _exposure(prepared: Prepared, made: Exposure, warn: Say) -> Exposure:
    """An observation with its noise map, mask and PSF; `made` of the network's input where it has none of them."""
    found = prepared.observation
    if found is None:
        return made
    if prepared.scale != 1:
        warn(f"{found.name}: fitted as sampled anew, where the noise of neighbours is no longer independent")
        return made
    size = prepared.picture.shape[-1]
    width = prepared.facts[FACTS.index("psf_fwhm")]
    return fitted.exposure(found, size, int(prepared.column), int(prepared.row), width if found.psf is None else None)
