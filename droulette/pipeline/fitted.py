"""A network's predictions made better by fits of the pictures, where these are good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from droulette import parameters
from droulette.devices import cores
from droulette.errors import UserError
from droulette.fitting import posterior
from droulette.fitting.family import Family
from droulette.fitting.observation import Observation
from droulette.fitting.optimise import Prior
from droulette.fitting.search import Found, find
from droulette.fitting.starts import Library, interleaved, nearest_in_columns
from droulette.physics.instrument import Kernel
from droulette.pipeline.batching import slices
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, generate_chunks
from droulette.pipeline.populations import family_and_coordinates
from droulette.quantities import AMPLITUDE

DRAWN = 5000  # scenes of the distribution, among which starts are looked for
STARTS = 15
AT_ONCE = 16  # pictures
DRAWS = 1000
WHITE = 255.0
STRONGEST = 5.0  # standard deviations that are shown black and white
LARGEST_ROUNDING = 0.5  # grey levels
SMOOTHED = 3  # px, over which light is averaged that tells its own Poisson noise
UNKNOWN_BRIGHTNESS = 3.0  # deviation of ln(luminosity), where an observation's unit of light is its own
SHARES = (0.5, 0.15866, 0.84134, 0.025, 0.975)


@dataclass(frozen=True)
class Population:
    """Scenes of a distribution: their family, coordinates (n, P), roulette table, and sketches."""

    family: Family
    coordinates: np.ndarray
    table: pd.DataFrame
    library: Library

    @classmethod
    def drawn(cls, toml: str | Path, size: int) -> Population:
        """The first rows of the distribution of a TOML file. size: N of the pictures that will be fitted.

        Raises:
            UserError: a distribution of several kinds of lens or source, or of pictures of another size.
        """
        params = parameters.load(toml)
        drawing = Drawing.of(params.simulator)
        if drawing.size != size:
            found = f"{toml}: found pictures of {drawing.size}×{drawing.size} pixels"
            raise UserError(f"{found}, expected {size}×{size}, which the model takes")
        rows = draw_table(params, 0, DRAWN).reset_index(drop=True)
        rows = rows.drop(columns="psf", errors="ignore")  # without it, no instrument takes them
        (table,) = generate_chunks([rows], drawing, None, name=str(toml))
        family, coordinates = family_and_coordinates(rows, table, str(toml))
        return cls(family, coordinates, table, Library.of(family, coordinates, size))

    def prior(self, brightness_known: bool) -> Prior:
        prior = Prior.of(self.coordinates)
        if brightness_known or "source.luminosity" not in self.family.names:
            return prior
        place = self.family.names.index("source.luminosity")
        wider = np.linalg.inv(prior.precision)
        wider[place, place] += UNKNOWN_BRIGHTNESS**2
        return replace(prior, precision=np.linalg.inv(wider))


def drawings(pictures: np.ndarray) -> Observation:
    """8-bit pictures (B, N, N) as they are drawn, without noise."""
    weights = np.full(pictures.shape, 1 / LARGEST_ROUNDING)
    return Observation(pictures.astype(np.float64), weights, np.zeros(len(pictures)), ceiling=WHITE, alike=True)


def exposures(pictures: np.ndarray, facts: np.ndarray, kernels: Sequence[np.ndarray | None]) -> list[Observation]:
    """Pictures with noise (B, N, N), one by one. facts: (B, 6), see `FACTS`. kernels: of PSFs that are known."""
    found = []
    for picture, fact, kernel in zip(pictures.astype(np.float64), facts, kernels, strict=True):
        background, noise, poisson, width, _, white = fact
        level = white / WHITE
        light = (picture - background) / level
        window = np.ones(SMOOTHED) / SMOOTHED
        smooth = light
        for axis in (0, 1):
            smooth = np.apply_along_axis(np.convolve, axis, smooth, window, mode="same")
        variance = (noise / level) ** 2 + poisson / level * np.maximum(smooth, 0.0)
        psf = np.array([width]) if kernel is None else Kernel(kernel)
        found.append(Observation(light[None], variance[None] ** -0.5, psf))
    return found


@dataclass(frozen=True)
class Fits:
    """What fits of n pictures found.

    table: n rows: of `fit:…`, and of the columns with their deviations. samples: (n, M, C), draws of the columns.
    pictures: (n, 3, N, N): the picture and the fitted scene, grey levels, and what is left, deviations of the noise.
    """

    table: pd.DataFrame
    columns: tuple[str, ...]
    samples: np.ndarray
    pictures: np.ndarray

    def write(self, folder: Path, stems: Sequence[str]) -> None:
        """The pictures side by side, STEM-fit.png, and as planes of a cube, STEM-fit.fits."""
        from astropy.io import fits

        for stem, planes in zip(stems, self.pictures, strict=True):
            shown = np.sqrt(np.clip(planes[:2], 0.0, WHITE) * WHITE)
            left = np.clip(0.5 + planes[2] / (2 * STRONGEST), 0.0, 1.0) * WHITE
            side_by_side = np.rint(np.concatenate([*shown, left], axis=1)).astype(np.uint8)
            Image.fromarray(side_by_side).save(folder / f"{stem}-fit.png")
            cube = fits.PrimaryHDU(planes[:, ::-1].astype(np.float32))  # rows of FITS files go up
            cube.header["PLANES"] = "picture, fit, residuals / noise"
            cube.writeto(folder / f"{stem}-fit.fits")


def fit_predictions(
    observations: Sequence[Observation],
    predictions: pd.DataFrame,
    population: Population,
    *,
    brightness_known: bool,
    count: int = DRAWS,
    progress: Callable[[int], object] = lambda pictures: None,
) -> Fits:
    """Fit pictures, from the scenes that look like them and those that the network thinks of.

    predictions: the network's, with the deviations `std:…`. count: draws of each posterior.
    """
    family = population.family
    columns = tuple(c for c in predictions if f"std:{c}" in predictions and _is_target(family, c))
    shared = [c for c in columns if c in population.table]
    near = nearest_in_columns(
        population.table[shared].to_numpy(np.float64),
        predictions[shared].to_numpy(np.float64),
        predictions[[f"std:{c}" for c in shared]].to_numpy(np.float64),
        STARTS,
    )
    prior = population.prior(brightness_known)

    def fit(rows: slice) -> tuple[Found, np.ndarray, np.ndarray]:
        some = observations[rows.start] if rows.stop - rows.start == 1 else _together(observations[rows])
        looks = population.library.nearest(some, STARTS)
        found = find(some, family, interleaved(looks, population.coordinates[near[rows]]), prior)
        drawn = posterior.draws(found, count)
        light = np.concatenate([light[:, 0] for _, light in some.drawn(family, found.minimum.coordinates)])
        left = (some.pictures - light) * some.weights
        progress(rows.stop - rows.start)
        return found, drawn.targets(family, columns), np.stack([some.pictures, light, left], axis=1)

    alike = all(isinstance(one.psf, np.ndarray) for one in observations)
    parts = slices(len(observations), AT_ONCE if alike else 1)
    with ThreadPoolExecutor(cores()) as threads:
        results = list(threads.map(fit, parts))
    samples = np.concatenate([values for _, values, _ in results])
    tables = [_described(found, values, columns) for found, values, _ in results]
    table = pd.concat(tables, ignore_index=True).set_axis(predictions.index)
    return Fits(table, columns, samples, np.concatenate([shown for *_, shown in results]))


def _is_target(family: Family, column: str) -> bool:
    of_source = {q.column for name, q in family.quantities.items() if name.startswith("source.")}
    return column in ("xiX", "xiY") or column in of_source or AMPLITUDE.fullmatch(column) is not None


def _together(observations: Sequence[Observation]) -> Observation:
    """Several of one picture each, all with Gaussian PSFs."""
    first = observations[0]
    if len(observations) == 1:
        return first
    arrays = {
        field.name: np.concatenate([getattr(one, field.name) for one in observations])
        for field in fields(Observation)
        if isinstance(getattr(first, field.name), np.ndarray)
    }
    return replace(first, **arrays)


def _described(found: Found, values: np.ndarray, columns: tuple[str, ...]) -> pd.DataFrame:
    weights = np.full(values.shape[:2], 1 / values.shape[1])
    middle, low, high, lowest, highest = posterior.quantiles(values, weights, SHARES)
    table = {
        "fit:good": found.good,
        "fit:chi2": found.minimum.chi2,
        "fit:pixels": found.pixels,
        "fit:probability": np.minimum(found.probability, found.of_brightest).clip(0, 1),
        "fit:solutions": [len(posterior.solutions(found, row)[2]) for row in range(len(found.pixels))],
    }
    for k, column in enumerate(columns):
        table[column] = middle[:, k]
        table[f"std:{column}"] = 0.5 * (high - low)[:, k]
        table[f"half95:{column}"] = 0.5 * (highest - lowest)[:, k]
    return pd.DataFrame(table)


def samples_table(names: Sequence[str], fits: Fits) -> pd.DataFrame:
    """The draws of good fits: a row for each, with the name of its picture."""
    good = fits.table["fit:good"].to_numpy()
    count = fits.samples.shape[1]
    table = pd.DataFrame(fits.samples[good].reshape(-1, len(fits.columns)), columns=list(fits.columns))
    table.insert(0, "filename", np.repeat(np.array(names, object)[good], count))
    return table


def merged(predictions: pd.DataFrame, fits: Fits) -> pd.DataFrame:
    """The predictions, those of good fits in their place, and what is to be said of each fit."""
    table = predictions.copy()
    good = fits.table["fit:good"].to_numpy()
    for column in fits.columns:
        for name in (column, f"std:{column}", f"half95:{column}"):
            if name in table:
                table.loc[good, name] = fits.table.loc[good, name]
    described = [name for name in fits.table if name.startswith("fit:")]
    return pd.concat([table, fits.table[described]], axis=1)
