"""Pictures as an instrument takes them: light, point spread function, background and noise, in this order.

A picture's unit is a count a second, or any other in which the noise is given. The brightness of the source is in grey
levels first, of which each is worth `factor` counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from droulette.physics import convolution, noise
from droulette.physics.arrays import Array, is_numpy, like, namespace, on_a_card, to_numpy
from droulette.physics.batches import leaves, rebuild
from droulette.physics.convolution import Moffat
from droulette.physics.elementary import rint, sqrt, where
from droulette.physics.engines import compiled, programs
from droulette.physics.mappings import Unlensed
from droulette.physics.noise import FEW, Noise
from droulette.physics.rendering import on_cuda, render
from droulette.physics.scene import FAINT_LEVELS, Scenes
from droulette.physics.sources import Constellation, SersicEllipsoid

FAINT = 0.02  # standard deviations of the background's noise, below which the source's light is left out
FAINT_WITHOUT_NOISE = 2.0**-6  # grey levels
FINEST_FRAME = 2.0**-20  # px, of which a frame's middle is a multiple, so that coordinates are exact however it is cut
LIGHT_CORE = 0.25  # px: radius within which lens light is smoothed; the pixels could not follow its cusp
SHARPEST = 2.0**-6  # grey levels, in which light is counted for a signal-to-noise ratio, or in wider steps


class LensLight(SersicEllipsoid):
    """A galaxy's own light, not lensed: a Sérsic ellipsoid, of the lens at the origin."""

    def brightness(self, dx: Array, dy: Array) -> Array:
        u = (dx * self.cos + dy * self.sin) * (1.0 / self.sigma2)
        v = (dy * self.cos - dx * self.sin) * (1.0 / self.sigma)
        return self._light(u * u + v * v + LIGHT_CORE**2 / (self.sigma * self.sigma2))


class Kernel:
    """A point spread function on the pixels, shared by all rows: (h, h), h odd, of sum 1."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values


@dataclass(frozen=True)
class Gaussians:
    """Gaussian point spread functions on the pixels, see `convolution.gaussian_kernels`."""

    weights: np.ndarray
    radii: np.ndarray

    @classmethod
    def of(cls, fwhm: np.ndarray, reach: float = convolution.REACH) -> Gaussians:
        if not fwhm.any():
            return cls(np.ones((len(fwhm), 1)), np.zeros(len(fwhm), np.int64))
        return cls(*convolution.gaussian_kernels(fwhm, reach))

    def __getitem__(self, rows) -> Gaussians:
        return Gaussians(self.weights[rows], self.radii[rows])


@dataclass(frozen=True)
class Instrument:
    """What takes B pictures; all arrays (B,) float64.

    psf: full width of a Gaussian point spread function at half its maximum, px, 0 for none; or a kernel for all rows;
    or Moffat profiles.
    background: counts a second in each pixel. pedestal: what of it is left in the picture.
    noise: see `Noise`; its normal part holds all that is not Poisson.
    factor: counts of a grey level. counts: of the unlensed source in all, a second. signal_to_noise:
    √Σ (source / background's deviation)², to which the source's brightness is brought. None, all three: a grey level
    is a count.
    light: of the lens, brightness in grey levels. light_x, light_y: the lens's place, px; None: the origin.
    share: of the light that is left in the picture.
    neighbours: other galaxies, of places relative to the lens.
    """

    psf: Array | Kernel | Moffat
    background: Array
    pedestal: Array
    noise: Noise
    factor: Array | None = None
    counts: Array | None = None
    signal_to_noise: Array | None = None
    light: LensLight | None = None
    share: Array | None = None
    light_x: Array | None = None
    light_y: Array | None = None
    neighbours: Constellation | None = None

    def rows(self, rows: slice) -> Instrument:
        """Some of them."""
        psf = self.psf if isinstance(self.psf, Kernel) else self.psf[rows]
        others = replace(self, psf=None)
        return replace(rebuild(others, (array[rows] for array in leaves(others))), psf=psf)

    def not_lensed(self, name: str, faintest: Array) -> Scenes:
        """The light of the lens or of its neighbours, made once. name: of the field."""
        made = self.__dict__.setdefault("_not_lensed", {})
        if name not in made:
            made[name] = Scenes(Unlensed(), getattr(self, name), faintest)
        return made[name]

    def kinds_of_noise(self) -> tuple[Callable, ...]:
        """The formulas of the noise that these pictures have."""
        made = self.__dict__.setdefault("_kinds", [])
        if not made:
            kinds = []
            if (self.noise.electrons > 0.0).any():
                fewest = float((self.background * self.noise.electrons).min())
                many = fewest >= FEW and not self._darkens()
                kinds.append(noise.add_many_photons if many else noise.add_photons)
            if (self.noise.deviation > 0.0).any():
                kinds.append(noise.add_noise)
            made.append(tuple(kinds))
        return made[0]

    def _darkens(self) -> bool:
        """Whether the point spread function may make pixels darker than the background."""
        return isinstance(self.psf, Kernel) and bool((self.psf.values < 0.0).any())

    def deviation(self) -> Array:
        """(B,): the standard deviation of the background's noise."""
        return deviation(self.noise, self.background)

    def faintest(self, factor: Array | None) -> Array:
        """(B,) of FAINT_LEVELS: what source light is left out. factor: counts of a grey level; None: not known yet."""
        if factor is None:
            return self.background * 0.0 + FAINT_WITHOUT_NOISE
        wanted = FAINT * self.deviation() / factor
        wanted = where(wanted > 0.0, wanted, FAINT_WITHOUT_NOISE)
        faintest = wanted * 0.0 + FAINT_LEVELS[0]
        for level in FAINT_LEVELS[1:]:
            faintest = where(wanted >= level, level, faintest)
        return faintest


def deviation(noise: Noise, background: Array) -> Array:
    poisson = where(noise.electrons > 0.0, background / where(noise.electrons > 0.0, noise.electrons, 1.0), 0.0)
    return sqrt(noise.deviation * noise.deviation + poisson)


def frame(middle: Array) -> Array:
    """The middle of a frame, px, as it is drawn."""
    return rint(middle / FINEST_FRAME) * FINEST_FRAME


def take(
    scene: Scenes,
    instrument: Instrument,
    size: int,
    centre_x: Array,
    centre_y: Array,
    *,
    rows: slice = slice(None),
    canvas: int | None = None,
    supersampling: int = 1,
    noisy: bool = True,
) -> tuple[Array, Array]:
    """Pictures of size × size pixels about the given centres, which are multiples of FINEST_FRAME.

    rows: which of the B scenes and instruments; `observable` scenes are drawn in parts at no cost.
    centre_x, centre_y: (K,) px, of those rows.
    canvas: side of what is lit, px: light from outside the picture comes in, and from outside the canvas none.

    Returns:
        (K, size, size) float64 in counts a second, and (K,) the counts of a grey level.
    """
    scene = scene if scene.faintest is not None else observable(scene, instrument)
    about = instrument.rows(rows)
    where_to = (rows, size, centre_x, centre_y, canvas or size, supersampling)
    picture = blurred(scene, about.psf, *where_to)
    factor = _factor(scene, instrument)
    if factor is None:
        strength = _strength(picture)
        factor = about.signal_to_noise * about.deviation() / (strength + 1e-300)
        factor = where(strength > 0.0, factor, 1.0)
    else:
        factor = factor[rows]
    wide = factor[:, None, None]
    if instrument.factor is not None or instrument.counts is not None or instrument.signal_to_noise is not None:
        picture *= wide
    hidden = None
    if about.light_x is not None:
        where_to = (rows, size, centre_x - about.light_x, centre_y - about.light_y, *where_to[4:])
    if instrument.light is not None:
        light = wide * blurred(instrument.not_lensed("light", scene.faintest), about.psf, *where_to)
        picture = picture + light
        hidden = (1.0 - about.share)[:, None, None] * light
    if instrument.neighbours is not None:
        picture = picture + wide * blurred(instrument.not_lensed("neighbours", scene.faintest), about.psf, *where_to)
    picture = _counted(picture, instrument, about, rows, noisy)
    return (picture if hidden is None else picture - hidden), factor


def observable(scene: Scenes, instrument: Instrument) -> Scenes:
    """The scenes, to be drawn as light that is neither rounded nor clipped."""
    return replace(scene, faintest=instrument.faintest(_factor(scene, instrument)))


def _factor(scene: Scenes, instrument: Instrument) -> Array | None:
    """(B,) counts of a grey level; None where they are to be found from a signal-to-noise ratio."""
    if instrument.factor is not None:
        return instrument.factor
    if instrument.counts is not None:
        return instrument.counts / scene.source.flux()
    return None if instrument.signal_to_noise is not None else instrument.background * 0.0 + 1.0


def _strength(light: Array) -> Array:
    """(B,): √Σ light² of pictures, in steps so wide that the sum is of whole numbers below 2⁵³, and so exact."""
    xp = namespace(light)
    flat = light.reshape(len(light), -1)
    bits = (53 - math.ceil(math.log2(flat.shape[1]))) // 2
    _, exponent = np.frexp(to_numpy(xp.max(flat, axis=1)))
    step = xp.asarray(np.maximum(np.ldexp(1.0, exponent - bits), SHARPEST), **like(light))
    steps = rint(flat / step[:, None])
    return sqrt(xp.sum(steps * steps, axis=1)) * step


def blurred(
    scene: Scenes, psf: Array | Kernel | Moffat | Gaussians, rows: slice, size: int, centre_x: Array, centre_y: Array,
    canvas: int, supersampling: int,
) -> Array:  # fmt: skip
    """The light of some rows of scenes through their point spread functions, which are of these rows; see `take`."""
    if not isinstance(psf, Kernel | Moffat | Gaussians):
        psf = Gaussians.of(to_numpy(psf))
    if isinstance(psf, Kernel):
        most = len(psf.values) // 2
    elif isinstance(psf, Moffat):
        most = int(psf.radii().max())
    else:
        most = psf.weights.shape[1] - 1
    around = size + 2 * most
    side = min(around, max(size, canvas - (canvas - size) % 2))
    picture = render(scene, side, centre_x, centre_y, rows=rows, supersampling=supersampling, canvas=canvas)
    if side < around:
        xp, pad = namespace(picture), (around - side) // 2
        padded = xp.zeros((len(picture), around, around), dtype=xp.float64, **like(picture))
        padded[:, pad : pad + side, pad : pad + side] = picture
        picture = padded
    if most == 0:
        return picture
    if isinstance(psf, Gaussians):
        return convolution.blur(picture, psf.weights, psf.radii, size)
    if isinstance(psf, Moffat):
        return convolution.convolve_moffats(picture, psf, size)
    return convolution.convolve(picture, psf.values, size)


def _counted(picture: Array, instrument: Instrument, about: Instrument, rows: slice, noisy: bool) -> Array:
    """Light with the background and its noise, less what is subtracted of the background. about: of these rows."""
    added, subtracted = about.background, about.background - about.pedestal
    kinds = instrument.kinds_of_noise() if noisy else ()
    if kinds and is_numpy(picture) and (program := programs.of_noise(instrument.noise, kinds)):
        compiled.expose(program, picture, added, subtracted, rows.start or 0)
        return picture
    picture += added[:, None, None]
    if kinds:
        picture = _noisy(picture, about.noise, kinds)
    picture -= subtracted[:, None, None]
    return picture


def _noisy(picture: Array, noise: Noise, kinds: tuple[Callable, ...]) -> Array:
    """With the noise of a detector, pairs of pixels sharing their random numbers."""
    if on_a_card(picture) and on_cuda().add_noise(noise, kinds, picture := picture.contiguous()):
        return picture
    xp, shape = namespace(picture), picture.shape
    flat = picture.reshape(shape[0], -1)
    half = (flat.shape[1] + 1) // 2
    number = xp.arange(half, dtype=xp.float64, **like(flat))[None]
    first, second = flat[:, :half], xp.zeros((shape[0], half), dtype=xp.float64, **like(flat))
    second[:, : flat.shape[1] - half] = flat[:, half:]
    wide = Noise(*(value[:, None] for value in leaves(noise)))
    with np.errstate(all="ignore"):
        for kind in kinds:
            first, second = kind(wide, number, first, second)
    return xp.concat([first, second[:, : flat.shape[1] - half]], axis=1).reshape(shape)
