"""Fits of test pictures, beside the network's predictions and the bound that no unbiased estimate passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from droulette import files
from droulette.errors import UserError
from droulette.fitting.bound import bound
from droulette.fitting.family import Family
from droulette.fitting.observation import Observation
from droulette.learning import metrics
from droulette.learning.calibration import coverage
from droulette.learning.model_file import Model
from droulette.learning.observed import Facts, Light
from droulette.physics.convolution import Moffat
from droulette.physics.instrument import Kernel
from droulette.pipeline import fitted
from droulette.pipeline.evaluated import EvaluatedSplit, order_of, prediction_table, rows_of
from droulette.pipeline.instruments import psf_batch
from droulette.pipeline.lens_free import NONE, fit_lens_free
from droulette.pipeline.pictures import read_pictures, read_views
from droulette.pipeline.populations import Population, distribution_to_fit, families, populations, with_light
from droulette.pipeline.scenes import groups, normalise

if TYPE_CHECKING:
    from droulette.parameters.learning import Fit

ROUNDING = 12**-0.5  # grey levels: the standard deviation of what is lost by rounding, of which the bound is
FAINTEST = 1e-9  # luminosity of the lens's light that is none
MEDIAN = 0.6745  # median |error| over the standard deviation, of a normal distribution

Truth = list[tuple[np.ndarray, Family, np.ndarray]]


@dataclass(frozen=True)
class FittedRows:
    """The first n rows of the testing split, fitted.

    columns: C of the model's, with their `places` among them. least: (n, C), standard deviations of the bound; NaN
    where there is none. network, fit: predictions with the deviations and 95 % intervals, as `Fits.merged` has them.
    speed: pictures a second.
    """

    columns: tuple[str, ...]
    places: np.ndarray
    least: np.ndarray
    network: pd.DataFrame
    fit: pd.DataFrame
    speed: float

    def __len__(self) -> int:
        return len(self.least)


@dataclass(frozen=True)
class Fitting:
    """What is needed to fit the first test rows: the families, and the true scenes of these rows.

    lenses, roulette: the rows of both tables. name: of the table of `lenses`. free: whether roulettes are fitted, see
    `lens_free`, and no families.
    """

    populations: list[Population]
    known: Truth
    lenses: pd.DataFrame
    roulette: pd.DataFrame
    name: str
    free: bool

    @classmethod
    def of(
        cls, fit: Fit, model: Model, filenames: list[str], lenses: str | None, roulette: str | Path | None, *,
        observed: bool,
    ) -> Fitting:  # fmt: skip
        """Raises UserError: what is missing, before the long work."""
        for path, key in ((lenses, "evaluation.lenses"), (roulette, "problem.filename")):
            if path is None:
                raise UserError(f"fit.rows: found no {key}, expected the table of the rows that are fitted")
        free = fit.family == NONE
        family = None if free else fit.family
        if model.distribution is None and family is None:
            expected = "another model" if free else "fit.family"
            raise UserError(f"fit.rows: this model does not say what it was trained on, expected {expected}")
        params, name = distribution_to_fit(None, family, model.distribution, model.input_size, observed)
        both = [rows_of(filenames, files.read_csv(path, required=["filename"]), path) for path in (lenses, roulette)]
        known = truth(*both, str(lenses))
        return cls(populations(params, name, model.input_size), known, *both, str(lenses), free)

    def measured(
        self, testing: EvaluatedSplit, true: metrics.Scaled, judge: metrics.Judge, model: Model,
        directory: str | Path, bands: np.ndarray, progress: Callable[[int, str], Callable[[int], object]],
    ) -> tuple[dict, pd.DataFrame]:  # fmt: skip
        """Fit the rows, and measure the fits, see `measure_fits`. true, bands: of the whole split."""
        count = len(self.lenses)
        fitted_rows = progress(count if self.free else count * len(self.populations), "fitting")
        arguments = (testing, model, self.populations, self.known, self.lenses, self.roulette, directory)
        found = fit_rows(*arguments, name=self.name, free=self.free, progress=fitted_rows)
        return measure_fits(found, true[:count], judge, bands[:count])


def truth(lenses: pd.DataFrame, roulette: pd.DataFrame, name: str) -> Truth:
    """The true scenes of rows: places of each kind, its family and coordinates in grey levels of the scene.

    lenses, roulette: the same rows of both tables. Raises UserError: scenes that are not described by numbers.
    """
    found = []
    for places, family, coordinates in families(lenses.drop(columns="psf", errors="ignore"), roulette, name):
        if "lightflux" not in roulette:
            found.append((places, family, coordinates))
            continue
        left = roulette["lightflux"].to_numpy() * lenses["lightshare"].to_numpy() / 1000
        lit = left[places] > FAINTEST
        found.append((places[~lit], family, coordinates[~lit]))
        with_its_light, all_of_it = with_light(family, coordinates[lit], lenses.iloc[places[lit]])
        all_of_it[:, with_its_light.names.index("light.luminosity")] = np.log(left[places[lit]])
        found.append((places[lit], with_its_light, all_of_it))
    return [one for one in found if len(one[0])]


def fit_rows(
    split: EvaluatedSplit,
    model: Model,
    populations: list[Population],
    known: Truth,
    lenses: pd.DataFrame,
    roulette: pd.DataFrame,
    directory: str | Path,
    *,
    name: str,
    free: bool,
    progress: Callable[[int], object],
) -> FittedRows:
    """Fit the pictures of the first rows of a split.

    known, lenses, roulette: of these rows, see `truth`. name, free: see `Fitting`.
    """
    count = len(lenses)
    filenames = list(split.table["filename"].iloc[:count])
    if split.facts is None:
        whole = fitted.drawings(read_pictures(directory, filenames, table=name, size=model.input_size))
        observations, levels = [whole[[k]] for k in range(count)], np.ones(count)
        sure = [replace(one, weights=one.weights * (fitted.LARGEST_ROUNDING / ROUNDING)) for one in observations]
    else:
        preprocessings = [Light(model.input_size), Facts()]
        light, facts = read_views(directory, filenames, preprocessings, table=name, size=model.input_size)
        facts = facts.copy()
        facts[:, 0] = 0.0  # light has no background any more
        observations = sure = fitted.exposures(light, facts, kernels(roulette, name))
        levels = facts[:, -1] / fitted.WHITE / roulette["brightness"].to_numpy()
    deviation = split.deviation[:count]
    network = prediction_table(model, filenames, split.predicted[:count], deviation)
    half = np.broadcast_to(split.reach, split.true.shape)[:count] * deviation
    network = network.join(pd.DataFrame(half, columns=[f"half95:{column}" for column in model.columns]))
    begin = time.perf_counter()
    options = {"brightness_known": split.facts is None, "progress": progress}
    if free:
        fits = fit_lens_free(observations, network, populations, **options)
    else:
        fits = fitted.fit(observations, populations, model.columns, network, **options)
    speed = count / (time.perf_counter() - begin)
    places = np.array([model.columns.index(column) for column in fits.columns])
    least = np.full((count, len(places)), np.nan)
    for rows, family, coordinates in known:
        least[rows] = _bounds(sure, levels, rows, family, coordinates, fits.columns)
    return FittedRows(fits.columns, places, least, network, fits.merged(network), speed)


def kernels(roulette: pd.DataFrame, name: str) -> list[np.ndarray | None]:
    """The point spread function of each row; None of a Gaussian one, whose width is known."""
    frame = normalise(roulette.assign(lens="SIS", einsteinradius=1.0, x=0.0, y=0.0), name)
    found: list[np.ndarray | None] = [None] * len(frame)
    for kind, rows in groups(frame, name):
        psf = psf_batch(frame.iloc[rows], kind, name)
        if isinstance(psf, Kernel | Moffat):
            each = psf.kernels() if isinstance(psf, Moffat) else [psf.values] * len(rows)
            for row, kernel in zip(rows, each, strict=True):
                found[row] = kernel
    return found


def _bounds(
    observations: list[Observation], levels: np.ndarray, rows: np.ndarray, family: Family, coordinates: np.ndarray,
    columns: tuple[str, ...],
) -> np.ndarray:  # fmt: skip
    """(k, C): standard deviations of the bound. levels: grey levels of the scene to one of the observation."""
    coordinates = coordinates.copy()
    for name in ("source.luminosity", "light.luminosity"):
        if name in family.names:
            coordinates[:, family.names.index(name)] -= np.log(levels[rows])
    found = np.full((len(rows), len(columns)), np.nan)
    for k, row in enumerate(rows):
        with np.errstate(all="ignore"):
            variance = np.diagonal(bound(observations[row], family, coordinates[k : k + 1], columns)[0])
            found[k] = np.sqrt(np.where(variance > 0, variance, np.nan))
    return found


def efficiency(error: np.ndarray, least: np.ndarray) -> float:
    """The median |error| over the bound's deviation, in units in which an estimate that reaches the bound has 1."""
    ratio = error / least
    ratio = ratio[np.isfinite(ratio)]
    return float(np.median(ratio) / MEDIAN) if len(ratio) else float("nan")


def measure_fits(
    found: FittedRows, true: metrics.Scaled, judge: metrics.Judge, bands: np.ndarray
) -> tuple[dict, pd.DataFrame]:
    """The metrics of the fits beside the network's on the same rows: for JSON; and a row for each column, each order
    of the amplitudes, and each band.

    true: of these rows, all columns of the model. bands: (n,), of each row, from 1.
    """
    kinds = {"fit": found.fit, "network": found.network}
    names = [column for column in found.network if f"std:{column}" in found.network]
    scaled = {kind: judge.scaled(table[names].to_numpy()) for kind, table in kinds.items()}
    every, whole = np.arange(len(found)), np.arange(len(found.columns))

    def measured(rows: np.ndarray, columns: np.ndarray) -> dict[str, dict[str, float]]:
        result = {}
        places = found.places[columns]
        for kind, table in kinds.items():
            compared = judge.compare(true[rows], scaled[kind][rows])
            one = {metric: float(np.mean(values[places])) for metric, values in compared.items()}
            of_columns = [found.columns[k] for k in columns]
            deviation = table[[f"std:{c}" for c in of_columns]].to_numpy()[rows]
            half = table[[f"half95:{c}" for c in of_columns]].to_numpy()[rows]
            predicted, truly = table[of_columns].to_numpy()[rows], true.units[np.ix_(rows, places)]
            shares = coverage(truly, predicted, deviation, half / np.maximum(deviation, 1e-300))
            one |= {"coverage68": float(np.mean(shares[0])), "coverage95": float(np.mean(shares[1]))}
            one["efficiency"] = efficiency(abs(predicted - truly), found.least[np.ix_(rows, columns)])
            result[kind] = one
        return result

    of_all = measured(every, whole)
    about = of_all["fit"] | {
        "good": float(found.fit["fit:good"].mean()),
        "converged": float(found.fit["fit:converged"].mean()),
        "rows": len(found),
        "pictures_per_second": found.speed,
        "network": of_all["network"],
    }
    lines = []
    orders = np.array([order_of(column) for column in found.columns])
    parts = [("column", column, every, whole[[k]]) for k, column in enumerate(found.columns)]
    parts += [("order", order, every, np.flatnonzero(orders == order)) for order in dict.fromkeys(orders)]
    parts += [("band", str(band), np.flatnonzero(bands == band), whole) for band in np.unique(bands)]
    for by, name, rows, columns in parts:
        if len(rows) < 2:  # a share of a variance needs one
            continue
        values = measured(rows, columns)
        line = {"by": by, "name": name, "rows": len(rows)} | values["fit"]
        lines.append(line | {f"network_{metric}": value for metric, value in values["network"].items()})
    return about, pd.DataFrame(lines)
