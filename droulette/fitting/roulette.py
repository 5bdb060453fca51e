"""The lens-free fit: a source and the roulette's own amplitudes fitted to a picture, with no family of lenses.

Around the reference point ξ₀ the picture is B(u), B the source's brightness and u(r) the roulette's polynomial. It is
the lens's picture only where the series converges, and, cut off at order M, only where what is left out is below the
noise. So pixels in a circle about ξ₀ are fitted, and the lens's other images are not.

What is left out is foretold from the amplitudes: with A_m = √Σ_s (α² + β²), the displacement of order m is about
A_m r^m / m!, and these are nearly a geometric series in r / D, D the radius of convergence. The first orders after the
last one that is asked for are fitted too, about 0 and as wide as the series foretells: their doubt becomes doubt of
the others. Orders after those say where the circle has to end.

A picture of a round source tells |u| only. So (u, σ) and (λu, λσ) look the same, the mass sheet: the prior alone tells
them apart. So do nearly those with other signs of the eigenvalues of A = 1 − ∇∇ψ. But ξ₀ is where ξ → η + ∇ψ(ξ) comes
to rest, which it does only where all eigenvalues of ∇∇ψ are between −1 and 1: A is positive definite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, stats

from droulette.fitting.belief import Belief, from_logarithms, to_logarithms
from droulette.fitting.bound import covariance
from droulette.fitting.observation import Observation
from droulette.fitting.optimise import Minimum, Prior, minimise
from droulette.physics.amplitudes import orders
from droulette.physics.arrays import Array
from droulette.physics.elementary import exp
from droulette.physics.mappings import Roulette
from droulette.physics.scene import FAINT_LEVELS, Scenes
from droulette.physics.sources import SOURCES
from droulette.quantities import AMPLITUDE

MORE_ORDERS = 2  # that are fitted beside those of the prior
TOLERATED = 4.0  # Σ (what is left out / noise)² over the circle
WIDEST = 0.8  # of the radius of convergence
FIRST_ORDER = ("alpha[1][0]", "alpha[1][2]", "beta[1][2]")
NARROWEST = 4.0  # px
MARGIN = 2  # px, from the circle to the edge of what is drawn
DOUBT = 0.3  # share of the light that is no evidence in the first fit, so that bright cores count less
FIRST_ITERATIONS, ITERATIONS = 15, 40
SMALLER = 0.7  # of its radius, the circle in which a fit is tried again that was not good
TRIALS = 4
WIDE = 4  # px, the side of squares in which neighbours miss alike if the model is wrong
LEAST_PROBABILITY = 1e-3  # of a χ² as large as that, below which a fit is not good
MOVED = 0.05  # of its radius, by which ξ₀ must have left the circle's middle for a second fit about the new place
SMOOTHED = 2.0  # px, deviation of a Gaussian, before the brightest place is looked for
KNOWN = 0.1  # of their deviations, to which ξ₀ and A are known where a fit begins
LEAST_EIGENVALUE = 0.02  # of A where a fit begins
STEP = 0.25  # px in the source plane, by which its brightness is differentiated


@dataclass(frozen=True)
class RouletteScenes:
    """Roulette scenes of one picture, in coordinates in which the prior is normal, about 0 with unit deviations.

    mean: (C,), roots: (C, P) of the columns, those with limits (C,) as ln(x − limit): mean + roots · coordinates.
    x, y: of the drawn window's middle, px in the picture's frame.
    """

    columns: tuple[str, ...]
    limits: np.ndarray
    mean: np.ndarray
    roots: np.ndarray
    source: str
    x: float = 0.0
    y: float = 0.0

    @classmethod
    def of(cls, belief: Belief, source: str) -> RouletteScenes:
        limits = limits_of(belief.columns, source)
        mean, spread = to_logarithms(belief, limits)
        scale = np.sqrt(np.diag(spread)) + 1e-300
        values, vectors = np.linalg.eigh(spread / scale[:, None] / scale)
        roots = scale[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))
        return cls(belief.columns, limits, mean, roots, source)

    @property
    def size(self) -> int:
        return self.roots.shape[1]

    @property
    def nterms(self) -> int:
        return largest_order(self.columns)

    def values(self, coordinates: Array) -> dict[str, Array]:
        """The columns, (B,) each, of coordinates (B, P)."""
        every = coordinates @ self.roots.T + self.mean
        found = {}
        for k, (column, limit) in enumerate(zip(self.columns, self.limits, strict=True)):
            found[column] = every[:, k] if math.isnan(limit) else limit + exp(every[:, k])
        return found

    def place(self, coordinates: np.ndarray) -> np.ndarray:
        """(2,): ξ₀ of coordinates (1, P), px in the picture's frame."""
        values = self.values(coordinates)
        return np.array([values["xiX"][0], values["xiY"][0]])

    def jacobian(self, coordinates: np.ndarray) -> np.ndarray:
        """(2, 2): A at ξ₀, of coordinates (1, P)."""
        values = self.values(coordinates)
        alpha0, alpha2, beta2 = (values[name][0] if name in values else 0.0 for name in FIRST_ORDER)
        return np.array([[1 + alpha0 + alpha2, beta2], [beta2, 1 + alpha0 - alpha2]])

    def likeliest(self, known: dict[str, float], share: float) -> np.ndarray:
        """(1, P): the prior's mean if these columns without limits are known to a share of their deviations."""
        places = [self.columns.index(name) for name in known]
        roots = self.roots[places]
        spread = roots @ roots.T
        spread = spread + np.diag(share**2 * np.diag(spread) + 1e-300)
        return (roots.T @ np.linalg.solve(spread, np.array(list(known.values())) - self.mean[places]))[None]

    def lens_light(self, coordinates: Array, pixel: float = 1.0) -> None:
        """There is no lens."""

    def scene(self, coordinates: Array, pixel: float = 1.0) -> Scenes:
        """The scenes to draw, unrounded."""
        if pixel != 1.0:
            raise ValueError(f"roulette scenes in pixels of {pixel} px")
        values, nterms = self.values(coordinates), self.nterms
        zero = coordinates[:, 0] * 0.0
        alpha = [values.get(f"alpha[{m}][{s}]", zero) for m, s in orders(nterms)]
        beta = [values.get(f"beta[{m}][{s}]", zero) for m, s in orders(nterms)]
        mapping = Roulette.from_amplitudes(values["xiX"] - self.x, values["xiY"] - self.y, alpha, beta, nterms)
        kind = SOURCES[self.source]
        source = kind(**{q.name: values[q.column] for q in kind.parameters})
        return Scenes(mapping, source, zero + FAINT_LEVELS[0])


@dataclass(frozen=True)
class RouletteFit:
    """What the fit of one picture found.

    columns: of the prior. coordinates: (P,) of the scenes, with their covariance (P, P).
    chi2: of the pixels. prior_chi2: of the coordinates, in the prior's deviations. pixels: how many. freedom: these
    less the parameters that they determine. probability: of a χ² this large where the model is true, the lesser of
    that of the pixels and that of squares of them. positive: whether A is positive definite.
    x, y, radius: of the circle of these pixels, px in the picture's frame. convergence: the foretold radius, px.
    """

    columns: tuple[str, ...]
    scenes: RouletteScenes
    coordinates: np.ndarray
    covariance: np.ndarray
    chi2: float
    prior_chi2: float
    pixels: int
    freedom: float
    probability: float
    converged: bool
    positive: bool
    x: float
    y: float
    radius: float
    convergence: float

    @property
    def good(self) -> bool:
        return self.converged and self.positive and self.probability > LEAST_PROBABILITY

    @property
    def chi2_per_pixel(self) -> float:
        return self.chi2 / self.pixels

    @property
    def belief(self) -> Belief:
        """Of the prior's columns, afterwards."""
        scenes = self.scenes
        mean = scenes.mean + scenes.roots @ self.coordinates
        spread = scenes.roots @ self.covariance @ scenes.roots.T
        return from_logarithms(scenes.columns, mean, spread, scenes.limits).among(self.columns)

    def draws(self, count: int, seed: int = 0) -> np.ndarray:
        """(count, C): draws of the same."""
        values, vectors = np.linalg.eigh(self.covariance)
        unit = np.random.default_rng(seed).standard_normal((count, len(values)))
        drawn = self.scenes.values(self.coordinates + (unit * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
        return np.stack([drawn[column] for column in self.columns], axis=1)


@dataclass(frozen=True)
class Growth:
    """How displacements grow: that of order m is about size · (r / radius)^m px at r px from ξ₀."""

    size: float
    radius: float

    @classmethod
    def of(cls, belief: Belief) -> Growth:
        """A straight line through ln(A_m / m!) of the orders m ≥ 1.

        Raises:
            ValueError: of fewer than two orders there is no line.
        """
        squares: dict[int, float] = {}
        for column, mean, variance in zip(belief.columns, belief.mean, np.diag(belief.covariance), strict=True):
            if (match := AMPLITUDE.fullmatch(column)) and int(match[2]) >= 1:
                squares[int(match[2])] = squares.get(int(match[2]), 0.0) + mean**2 + variance
        if len(squares) < 2:
            raise ValueError(f"found amplitudes of orders {sorted(squares)}, expected two orders m ≥ 1")
        m = np.array(sorted(squares))
        logs = [0.5 * math.log(squares[k]) - math.lgamma(k + 1) for k in m]
        slope, start = np.polyfit(m, logs, 1)
        return cls(math.exp(start), math.exp(-slope))

    def amplitude(self, m: int) -> float:
        """A_m, px^{1−m}."""
        return self.size * math.factorial(m) / self.radius**m

    def beyond(self, m: int, r: np.ndarray) -> np.ndarray:
        """The displacement of all orders above m, px."""
        share = np.minimum(r / self.radius, 0.999)
        return self.size * share ** (m + 1) / (1 - share)


def limits_of(columns: tuple[str, ...], source: str) -> np.ndarray:
    """(C,): below which a parameter of the source cannot fall; NaN where it can, or is none."""
    lowest = {}
    for quantity in SOURCES[source].parameters:
        low = quantity.gt if quantity.gt is not None else quantity.ge
        lowest[quantity.column] = math.nan if low is None or low < 0 else low
    return np.array([lowest.get(column, math.nan) for column in columns])


def largest_order(columns: tuple[str, ...]) -> int:
    """The largest m of amplitudes among the columns."""
    return max(int(match[2]) for match in map(AMPLITUDE.fullmatch, columns) if match)


def with_more_orders(belief: Belief, growth: Growth, count: int) -> Belief:
    """With the amplitudes of the next orders, about 0, as large as the series foretells, in no direction."""
    last = largest_order(belief.columns)
    columns, deviations = [], []
    for m, s in orders(last + count):
        if m > last:
            names = [f"alpha[{m}][{s}]", f"beta[{m}][{s}]"][: 2 if s else 1]
            columns += names
            deviations += [growth.amplitude(m) / math.sqrt(m + 2)] * len(names)
    return belief.beside(Belief.independent(columns, np.zeros(len(columns)), deviations))


def fit_roulette(
    observation: Observation, prior: Belief, *, source: str = "SersicSphere", radius: float | None = None
) -> RouletteFit:
    """Fit a roulette and a source to the part of a picture about ξ₀.

    observation: of one picture, without the lens's light.
    prior: of xiX, xiY, of all parameters of the source, and of amplitudes of two orders m ≥ 1 or more; amplitudes that
    are missing are 0. Others, such as alpha[0][1], learn from those that they are correlated with.
    radius: of the circle, px; left out: as large as what is left out allows, and smaller where the fit is not good.

    Raises:
        ValueError: a column is missing.
    """
    needed = {"xiX", "xiY", *(q.column for q in SOURCES[source].parameters)}
    if missing := sorted(needed - set(prior.columns)):
        raise ValueError(f"prior: found no {', '.join(missing)}, expected them")
    growth = Growth.of(prior)
    scenes = RouletteScenes.of(with_more_orders(prior, growth, MORE_ORDERS), source)
    start = _start(observation, scenes)
    found = None
    for _ in range(TRIALS):
        place = scenes.place(start)
        largest = _radius(observation, scenes, start, growth, place)
        if found and found.positive and not found.good:
            largest = min(largest, max(NARROWEST, SMALLER * found.radius))
        window = _window(observation, scenes, place, radius or largest)
        minimum = _minimum(*window, start)
        tried = _described(*window, minimum, place, radius or largest, growth, prior.columns)
        if found and found.good:
            return tried if tried.good else found
        found = tried
        if not found.positive:
            start = _upright(scenes, minimum.coordinates)
        elif found.good:
            start = minimum.coordinates
            if np.hypot(*(scenes.place(start) - place)) < MOVED * found.radius:
                return found
        elif radius is not None:
            return found
    return found


def _upright(scenes: RouletteScenes, at: np.ndarray) -> np.ndarray:
    """(1, P): the prior's mean if ξ₀ is known, and A is what it is here but for the signs of its eigenvalues."""
    eigenvalues, axes = np.linalg.eigh(scenes.jacobian(at))
    a = axes @ np.diag(np.maximum(abs(eigenvalues), LEAST_EIGENVALUE)) @ axes.T
    first = (0.5 * (a[0, 0] + a[1, 1]) - 1, 0.5 * (a[0, 0] - a[1, 1]), a[0, 1])
    known = dict(zip(("xiX", "xiY"), scenes.place(at), strict=True))
    known |= {name: value for name, value in zip(FIRST_ORDER, first, strict=True) if name in scenes.columns}
    return scenes.likeliest(known, KNOWN)


def _start(observation: Observation, scenes: RouletteScenes) -> np.ndarray:
    """(1, P): the prior's mean if ξ₀ is where the picture is brightest, near where it is thought to be.

    A lens keeps the surface brightness: the middle of a source is the brightest place of each of its images.
    """
    size = observation.size
    x, y = np.arange(size)[None] - size / 2, size / 2 - np.arange(size)[:, None]
    places = [scenes.columns.index(name) for name in ("xiX", "xiY")]
    roots, middle = scenes.roots[places], scenes.mean[places]
    spread = roots @ roots.T + np.eye(2)
    away = np.stack(np.broadcast_arrays(x - middle[0], y - middle[1]))
    likely = np.exp(-0.5 * np.einsum("iab,ij,jab->ab", away, np.linalg.inv(spread), away))
    light = ndimage.gaussian_filter(np.where(observation.weights[0] > 0, observation.pictures[0], 0.0), SMOOTHED)
    at = np.unravel_index(np.argmax(light * likely), light.shape)
    brightest = ndimage.maximum_filter(light, 3)
    while light[at] < brightest[at]:  # uphill
        rows, columns = (slice(max(0, k - 1), k + 2) for k in at)
        step = np.unravel_index(np.argmax(light[rows, columns]), light[rows, columns].shape)
        at = rows.start + step[0], columns.start + step[1]
    known = {"xiX": at[1] - size / 2, "xiY": size / 2 - at[0]}
    return _upright(scenes, scenes.likeliest(known, KNOWN))


def _radius(
    observation: Observation, scenes: RouletteScenes, at: np.ndarray, growth: Growth, place: np.ndarray
) -> float:
    """Of the largest circle about the place in which what the series leaves out is tolerated, px."""
    size = observation.size
    x, y = np.arange(size)[None] - size / 2, size / 2 - np.arange(size)[:, None]
    scene = scenes.scene(at)
    mapping, source = scene.mapping, scene.source
    with np.errstate(all="ignore"):
        u, v = mapping.offset(x, y)
        slope_x = source.brightness(u + STEP, v) - source.brightness(u - STEP, v)
        slope_y = source.brightness(u, v + STEP) - source.brightness(u, v - STEP)
        slope = np.nan_to_num(np.hypot(slope_x, slope_y) / (2 * STEP))
    r = np.hypot(x - place[0], y - place[1])
    missed = (slope * growth.beyond(scenes.nterms, r) * observation.weights[0]).ravel() ** 2
    order = np.argsort(r, axis=None)
    inside = np.searchsorted(missed[order].cumsum(), TOLERATED)
    reach = r.ravel()[order[min(inside, r.size - 1)]]
    return float(np.clip(reach, NARROWEST, max(NARROWEST, WIDEST * growth.radius)))


def _window(
    observation: Observation, scenes: RouletteScenes, place: np.ndarray, radius: float
) -> tuple[Observation, RouletteScenes]:
    """The pixels in a circle, in a window that is not much larger, and the scenes in its frame."""
    size, half = observation.size, math.ceil(radius) + MARGIN
    column, row = math.floor(place[0] + 0.5) + size // 2, size // 2 - math.floor(place[1] + 0.5)
    pad = half + max(0, half - column, half - row, column - size, row - size)
    inside = (slice(row - half + pad, row + half + pad), slice(column - half + pad, column + half + pad))
    weights = np.pad(observation.weights[0], pad)[inside]
    middle = column - size / 2, size / 2 - row
    x, y = np.arange(-half, half)[None] + middle[0], middle[1] - np.arange(-half, half)[:, None]
    weights = np.where(np.hypot(x - place[0], y - place[1]) < radius, weights, 0.0)
    seen = np.where(weights > 0, np.pad(observation.pictures[0], pad)[inside], 0.0)
    about = replace(observation, pictures=seen[None], weights=weights[None])
    return about, replace(scenes, x=middle[0], y=middle[1])


def _minimum(observation: Observation, scenes: RouletteScenes, start: np.ndarray) -> Minimum:
    unit = Prior(np.zeros(scenes.size), np.eye(scenes.size))
    seen = observation.weights > 0
    variance = 1 / np.where(seen, observation.weights, 1.0) ** 2 + (DOUBT * observation.pictures) ** 2
    doubted = replace(observation, weights=np.where(seen, variance**-0.5, 0.0))
    first = minimise(doubted, scenes, start, unit, FIRST_ITERATIONS)
    return minimise(observation, scenes, first.coordinates, unit, ITERATIONS)


def _described(
    observation: Observation, scenes: RouletteScenes, minimum: Minimum, place: np.ndarray, radius: float,
    growth: Growth, columns: tuple[str, ...],
) -> RouletteFit:  # fmt: skip
    left = observation.residuals(scenes, minimum.coordinates).reshape(observation.pictures.shape)[0]
    pixels = int(observation.pixels()[0])
    spread = covariance(minimum.normal)[0]
    determined = scenes.size - np.trace(spread)  # Σ 1 − posterior / prior, which is of unit deviations
    freedom = max(1.0, pixels - determined)
    chi2 = float(minimum.chi2[0])
    few = len(left) // WIDE
    squares = (few, WIDE, few, WIDE)
    cut = slice(0, few * WIDE)
    sums = left[cut, cut].reshape(squares).sum(axis=(1, 3))
    known = (observation.weights[0, cut, cut] > 0).reshape(squares).sum(axis=(1, 3))
    number = max(1.0, (known > 0).sum() - determined)
    of_squares = float((sums**2 / np.maximum(known, 1)).sum())
    chance = stats.chi2.sf(chi2, freedom)
    if not observation.alike:
        chance = min(1.0, 2 * min(chance, stats.chi2.sf(of_squares, number)))
    return RouletteFit(
        columns=columns,
        scenes=scenes,
        coordinates=minimum.coordinates[0],
        covariance=spread,
        chi2=chi2,
        prior_chi2=float(minimum.cost[0] - chi2),
        pixels=pixels,
        freedom=freedom,
        probability=float(chance),
        converged=bool(minimum.converged[0]),
        positive=bool((np.linalg.eigvalsh(scenes.jacobian(minimum.coordinates)) > 0).all()),
        x=float(place[0]),
        y=float(place[1]),
        radius=radius,
        convergence=growth.radius,
    )
