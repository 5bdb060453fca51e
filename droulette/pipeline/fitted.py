"""Fits of pictures, in the place of a network's predictions where they are good, or without any network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from droulette.devices import workers
from droulette.fitting import posterior
from droulette.fitting.family import Family, count_masses
from droulette.fitting.observation import Observation
from droulette.fitting.search import Found, find
from droulette.fitting.starts import interleaved, nearest_in_columns
from droulette.observing import Observation as Observed
from droulette.physics.convolution import fwhm
from droulette.physics.instrument import Kernel
from droulette.pipeline.batching import slices
from droulette.pipeline.populations import Population
from droulette.quantities import AMPLITUDE

STARTS = 15
FEWEST_AT_ONCE, MOST_AT_ONCE = 16, 128  # pictures: Python takes as long for a few that are tried again as for many
PARTS = 8  # of fewer pictures, for cores to share; however many there are, so that fits are the same on all machines
DRAWS = 1000
FEW_PICTURES = 4  # of which each is searched and sampled thoroughly, in up to 30 s
LEAST_OF_IMAGE = 0.01  # share of the draws that makes another image of the source a possible reference point
WHITE = 255.0
BRIGHT = 0.999  # quantile of an observation's light that is shown as white
STRONGEST = 5.0  # standard deviations that are shown black and white
LARGEST_ROUNDING = 0.5  # grey levels
ROUGH = 100  # effective draws, below which the 95 % intervals of 12 of 2,000 fits held 54 to 70 % of the true values
SMOOTHED = 3  # px, over which light is averaged that tells its own Poisson noise
SHARES = (0.6827, 0.95)  # of the draws, within `std:…` and `half95:…`

Say = Callable[[str], None]


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
        variance = (noise / level) ** 2 + poisson / level * np.maximum(_smooth(light), 0.0)
        psf = np.array([width]) if kernel is None else Kernel(kernel)
        found.append(Observation(light[None], variance[None] ** -0.5, psf))
    return found


def exposure(found: Observed, size: int, column: int, row: int, psf: np.ndarray | float | None = None) -> Observation:
    """The size × size pixels of an observation about one of its own, with the noise that each has by the noise map.

    Nothing is known of bad pixels, and of those beyond the picture's edge. psf: in place of the observation's, a kernel
    or a full width in px.
    """
    noise = found.noise_map
    if noise is None:
        noise = np.sqrt(found.noise**2 + found.poisson * np.maximum(_smooth(found.values), 0.0))
    height, width = found.values.shape
    rows, columns = (np.arange(size) - size // 2 + place for place in (row, column))
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    cut = np.ix_(np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1))
    known = inside & ~found.bad[cut]
    return measured(found.values[cut], noise[cut], known, found.psf if psf is None else psf)


def measured(light: np.ndarray, noise: np.ndarray, known: np.ndarray, psf: np.ndarray | float | None) -> Observation:
    """A picture (N, N), with its noise and what is known of it, the brightest of it about as bright as white.

    psf: a kernel, or a full width in px.
    """
    light = np.where(known, light, 0.0)
    level = max(float(np.quantile(light, BRIGHT)), 1e-300) / WHITE
    weights = np.where(known, level / np.where(known, noise, 1.0), 0.0)
    about = Kernel(psf) if isinstance(psf, np.ndarray) else np.array([psf or 0.0])
    return Observation((light / level)[None], weights[None], about)


def without_cusps(observation: Observation, family: Family, coordinates: np.ndarray) -> Observation:
    """The same without the pixels about the middle of each lens, (B, P).

    A galaxy's light rises to its middle so steeply that what a pixel there holds depends on how it was drawn.
    """
    _, x, y, _ = family.lens_light(coordinates)
    kernel = isinstance(observation.psf, Kernel)
    widths = np.full(len(x), fwhm(observation.psf.values)) if kernel else observation.psf
    axis = np.arange(observation.size) - observation.size // 2
    distance2 = (axis - x[:, None, None]) ** 2 + (axis[:, None] + y[:, None, None]) ** 2
    hidden = distance2 < (1.0 + widths[:, None, None]) ** 2
    return replace(observation, weights=np.where(hidden, 0.0, observation.weights))


def _smooth(light: np.ndarray) -> np.ndarray:
    """The mean over SMOOTHED px along each axis."""
    window = np.ones(SMOOTHED) / SMOOTHED
    for axis in (0, 1):
        light = np.apply_along_axis(np.convolve, axis, light, window, mode="same")
    return light


def _of_several_lenses(family: str) -> bool:
    """Of a fit's family, as `Family` writes it: of 100 pictures of two SIEs, 95 % intervals held 92 % of the truths."""
    return count_masses(family.partition(",")[0].split("+")) > 1


def _place(about: dict, prefix: str) -> str:
    return f"({about[prefix + 'X']:.1f}, {about[prefix + 'Y']:.1f})"


@dataclass(frozen=True)
class Fits:
    """What fits of n pictures found.

    table: n rows: of `fit:…`, and of the columns with their deviations. samples: (n, M, C), draws of the columns.
    pictures: of each, (3, N, N): the picture and the fitted scene, grey levels, and what is left, deviations of the
    noise. evidence: (n,), ln of the probability of the picture, by Laplace's approximation, but for a constant.
    """

    table: pd.DataFrame
    columns: tuple[str, ...]
    samples: np.ndarray
    pictures: list[np.ndarray]
    evidence: np.ndarray

    @property
    def good(self) -> np.ndarray:
        return self.table["fit:good"].to_numpy(bool)

    def tell(self, names: Sequence[str], otherwise: str, say: Say, warn: Say) -> None:
        """How good each fit is, in a line. otherwise: what is done where it is not good."""
        for name, one in zip(names, self.table.to_dict("records"), strict=True):
            found = f"{one['fit:family']}, χ² {one['fit:chi2'] / max(one['fit:pixels'], 1):.4g} a pixel"
            if one["fit:good"] and one.get("fit:effective", ROUGH) < ROUGH:
                warn(f"{name}: fitted as {found}: a good fit, but its intervals are rough and often too narrow")
            elif one["fit:good"] and _of_several_lenses(one["fit:family"]):
                warn(f"{name}: fitted as {found}: a good fit, but intervals of several lenses are often too narrow")
            elif one["fit:good"]:
                say(f"{name}: fitted as {found}: a good fit")
            elif one["fit:converged"]:
                warn(f"{name}: no good fit as {found}, more than noise: {otherwise}")
            else:
                warn(f"{name}: no good fit as {found}, which did not converge: {otherwise}")
            if one["fit:good"] and one.get("fit:image_share", 1.0) < 1:
                at, other = (_place(one, prefix) for prefix in ("xi", "fit:other_xi"))
                warn(f"{name}: ξ is at {at} px in {one['fit:image_share']:.0%} of the draws, else about {other} px")

    def write(self, folder: Path, stems: Sequence[str]) -> None:
        """The pictures side by side, STEM-fit.png, and as planes of a cube, STEM-fit.fits."""
        from astropy.io import fits

        for stem, planes, (_, about) in zip(stems, self.pictures, self.table.iterrows(), strict=True):
            shown = np.sqrt(np.clip(planes[:2], 0.0, WHITE) * WHITE)
            left = np.clip(0.5 + planes[2] / (2 * STRONGEST), 0.0, 1.0) * WHITE
            side_by_side = np.rint(np.concatenate([*shown, left], axis=1)).astype(np.uint8)
            Image.fromarray(side_by_side).save(folder / f"{stem}-fit.png")
            cube = fits.PrimaryHDU(planes[:, ::-1].astype(np.float32))  # rows of FITS files go up
            cube.header["PLANES"] = "picture, fit, residuals / noise"
            cube.header["FAMILY"] = about["fit:family"]
            cube.header["CHI2"], cube.header["PIXELS"] = about["fit:chi2"], about["fit:pixels"]
            cube.header["GOOD"] = bool(about["fit:good"]), "whether noise explains what is left"
            cube.writeto(folder / f"{stem}-fit.fits")

    def samples_table(self, names: Sequence[str]) -> pd.DataFrame:
        """The draws of good fits: a row for each, with the name of its picture."""
        good, count = self.good, self.samples.shape[1]
        table = pd.DataFrame(self.samples[good].reshape(-1, len(self.columns)), columns=list(self.columns))
        table.insert(0, "filename", np.repeat(np.array(names, object)[good], count))
        return table

    def merged(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """The predictions, those of good fits in their place, and what is to be said of each fit.

        Intervals of 95 %, `half95:…`, are put in the place of those that there are.
        """
        table = predictions.copy()
        good, fitted = self.good, self.table.set_axis(predictions.index)
        for column in self.columns:
            for name in (column, f"std:{column}", f"half95:{column}"):
                if name in table:
                    table.loc[good, name] = fitted.loc[good, name]
        described = [name for name in fitted if name.startswith("fit:") and name not in table]
        return pd.concat([table, fitted[described]], axis=1)


def fit(
    observations: Sequence[Observation],
    populations: Sequence[Population],
    columns: Sequence[str],
    predictions: pd.DataFrame | None = None,
    *,
    brightness_known: bool,
    count: int = DRAWS,
    progress: Callable[[int], object] = lambda pictures: None,
) -> Fits:
    """Fit each picture with each family, and take the family of the most evidence, a good fit before others.

    columns: those wanted, of which any that a family does not have is left out. predictions: a network's, with the
    deviations `std:…`; fits then begin with the scenes that look like the picture and with those that the network
    thinks of in turns. count: draws of each posterior. progress: called with a number of pictures after each fit.
    """
    columns = tuple(c for c in columns if all(_is_target(one.family, c) for one in populations))
    found = []
    for population in populations:
        near = None if predictions is None else _predicted(population, predictions, columns)
        found.append(_of_family(observations, population, columns, near, brightness_known, count, progress))
    return found[0] if len(found) == 1 else best(found)


def _predicted(population: Population, predictions: pd.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
    """(B, STARTS): of the drawn scenes those nearest to what a network predicts."""
    shared = [c for c in columns if c in population.table and f"std:{c}" in predictions]
    return nearest_in_columns(
        population.table[shared].to_numpy(np.float64),
        predictions[shared].to_numpy(np.float64),
        predictions[[f"std:{c}" for c in shared]].to_numpy(np.float64),
        STARTS,
    )


def _of_family(
    observations: Sequence[Observation], population: Population, columns: tuple[str, ...], near: np.ndarray | None,
    brightness_known: bool, count: int, progress: Callable[[int], object],
) -> Fits:  # fmt: skip
    family, prior = population.family, population.prior(brightness_known)
    normalisation = 0.5 * np.linalg.slogdet(prior.precision)[1]
    thorough = len(observations) <= FEW_PICTURES
    effort = posterior.THOROUGH if thorough else posterior.USUAL

    def fit_some(rows: slice) -> tuple[Found, np.ndarray, np.ndarray, pd.DataFrame]:
        some = observations[rows.start] if rows.stop - rows.start == 1 else _together(observations[rows])
        starts = population.starts(some, STARTS, brightness_known)
        if near is not None:
            predicted = population.coordinates[near[rows]]
            starts = interleaved(starts, predicted if brightness_known else population.lit(some, predicted))
        found = find(some, family, starts, prior, thorough=thorough)
        if family.light:
            some = without_cusps(some, family, found.minimum.coordinates)
            found = find(some, family, found.minimum.coordinates[:, None], prior)
        drawn = posterior.sampled(some, family, found, prior, count, effort=effort)
        left = some.left(found.light)
        progress(rows.stop - rows.start)
        values = drawn.targets(family, columns)
        described = _described(found, drawn, values, columns, family)
        planes = np.stack([some.pictures, found.light, left], axis=1, dtype=np.float32, casting="same_kind")
        return found, values, planes, described

    alike = all(isinstance(one.psf, np.ndarray) and one.size == observations[0].size for one in observations)
    with workers() as threads:
        results = list(threads.map(fit_some, parts(len(observations)) if alike else slices(len(observations), 1)))
    samples = np.concatenate([values for _, values, *_ in results])
    table = pd.concat([described for *_, described in results], ignore_index=True)
    minima = [found.minimum for found, *_ in results]
    evidence = [normalisation - 0.5 * (one.cost + np.linalg.slogdet(one.normal)[1]) for one in minima]
    pictures = [planes for *_, shown, _ in results for planes in shown]
    return Fits(table, columns, samples, pictures, np.concatenate(evidence))


def parts(count: int) -> list[slice]:
    """Pictures that are fitted together."""
    return slices(count, min(MOST_AT_ONCE, max(FEWEST_AT_ONCE, math.ceil(count / PARTS))))


def best(found: Sequence[Fits]) -> Fits:
    """Of fits of the same pictures with several families, for each picture the best."""
    good = np.stack([one.good for one in found])
    evidence = np.stack([one.evidence for one in found])
    chosen = np.where(good.any(axis=0), np.where(good, evidence, -np.inf).argmax(axis=0), evidence.argmax(axis=0))
    rows = list(enumerate(chosen))
    table = pd.concat([found[k].table.iloc[[row]] for row, k in rows])
    samples = np.stack([found[k].samples[row] for row, k in rows])
    pictures = [found[k].pictures[row] for row, k in rows]
    return Fits(table, found[0].columns, samples, pictures, np.array([evidence[k, row] for row, k in rows]))


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


def _described(
    found: Found, drawn: posterior.Draws, values: np.ndarray, columns: tuple[str, ...], family: Family
) -> pd.DataFrame:
    middle, halves = posterior.intervals(values, SHARES)
    table = {
        "fit:family": str(family),
        "fit:good": found.good,
        "fit:converged": found.minimum.converged,
        "fit:chi2": found.minimum.chi2,
        "fit:pixels": found.pixels,
        "fit:probability": np.minimum(found.probability, found.of_brightest).clip(0, 1),
        "fit:solutions": drawn.solutions,
        "fit:effective": np.rint(drawn.effective),
    }
    for k, column in enumerate(columns):
        table[column] = middle[:, k]
        table[f"std:{column}"], table[f"half95:{column}"] = halves[:, :, k]
    if {"xiX", "xiY"} <= set(columns):
        places = [columns.index(name) for name in ("xiX", "xiY")]
        share, other = images(values[:, :, places], middle[:, places])
        table |= {"fit:image_share": share, "fit:other_xiX": other[:, 0], "fit:other_xiY": other[:, 1]}
    return pd.DataFrame(table)


def images(xi: np.ndarray, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether the draws of a reference point lie at several images of the source: two groups, further apart than
    the 95 % interval of the larger one is wide.

    xi: (B, M, 2) draws, px. middle: (B, 2), their medians.

    Returns:
        (B,), the share of the draws in the group of the median, and (B, 2), the median of the others; NaN for none.
    """
    shares, others = np.ones(len(xi)), np.full((len(xi), 2), np.nan)
    for row, (draws, about) in enumerate(zip(xi, middle, strict=True)):
        draws = draws[np.isfinite(draws).all(axis=1)]
        least = max(1, math.ceil(LEAST_OF_IMAGE * len(draws)))
        if len(draws) < 2 * least:
            continue
        axis = np.linalg.eigh(np.cov((draws - about).T))[1][:, -1]
        along = (draws - about) @ axis
        ascending = np.sort(along)
        cut = least + int(np.argmax(np.diff(ascending)[least - 1 : len(draws) - least]))
        below, above = ascending[:cut], ascending[cut:]
        low, high = np.quantile(max(below, above, key=len), (0.025, 0.975))
        if above[0] - below[-1] > high - low:
            apart = along > below[-1] if len(below) > len(above) else along <= below[-1]
            shares[row], others[row] = 1 - apart.mean(), np.median(draws[apart], axis=0)
    return shares, others
