"""Pictures convolved with the point spread function of an instrument, to the same bits on every device.

A Gaussian is applied along the lines and then across, its taps in one order. Any other kernel goes through the fast
Fourier transform on whole numbers: picture and kernel are rounded to so many bits that the transform's rounding errors
stay below one half, and so the sums are exact, whatever library or device makes them. Compiled loops make the same sums
of small even kernels in less time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.fft import next_fast_len

from droulette.physics.arrays import Array, is_numpy, like, namespace, to_numpy
from droulette.physics.elementary import exp, log, rint, where
from droulette.physics.engines import compiled

FWHM = 2 * math.sqrt(2 * math.log(2))  # of a Gaussian, in standard deviations
REACH = 6.0  # standard deviations, beyond which a Gaussian is 0: it holds all but 1e-8 of the light
PICTURE_BITS = 22
KERNEL_BITS = 14, 12  # of its larger and its smaller part
SUM_BITS = 50  # of the sums of its weights
LARGEST_KERNEL = 257  # px
WIDEST_IN_LOOPS = 40  # px, radius of an even kernel, beyond which transforms take less time than compiled loops
MOFFAT_REACH = 6  # full widths at half maximum, to which a Moffat profile is drawn
LN_2 = math.log(2)
WIDTH_STEPS = 40
NARROWEST = 1e-6  # px: a narrower profile is one pixel all the same


def gaussian_kernels(fwhm: np.ndarray, reach: float = REACH) -> tuple[np.ndarray, np.ndarray]:
    """Gaussians of B full widths at half maximum, px, sampled at the pixels and normalised; 0 leaves the picture.

    reach: standard deviations, beyond which they are 0.

    Returns:
        (B, most + 1) weights of the middle pixel and those on one side of it, and (B,) int64 radii.
    """
    sigma = np.asarray(fwhm, np.float64) / FWHM
    radii = np.ceil(reach * sigma).astype(np.int64)
    k = np.arange(radii.max(initial=0) + 1.0)
    weights = exp(k**2 * (-0.5 / np.maximum(sigma, 1e-9)[:, None] ** 2))
    weights = np.where(k <= radii[:, None], weights, 0.0)
    total = np.zeros(len(weights))
    for column in weights[:, :0:-1].T:  # the smallest first
        total = total + column
    weights = weights / (weights[:, 0] + 2 * total)[:, None]
    return np.ascontiguousarray(weights), radii


@dataclass(frozen=True)
class Moffat:
    """Moffat profiles (1 + (r/α)²)^−β of B rows, sampled at the pixels, of sum 1 (Moffat 1969, A&A 3, 455).

    Their weights are rounded as `convolve` needs them, and even still.

    fwhm: (B,) px, their full widths at half maximum. beta: (B,).
    """

    fwhm: Array
    beta: Array

    def __getitem__(self, rows) -> Moffat:
        return Moffat(self.fwhm[rows], self.beta[rows])

    def radii(self) -> np.ndarray:
        """(B,) int64: to how many px each is drawn, along either axis."""
        reach = np.ceil(MOFFAT_REACH * to_numpy(self.fwhm))
        return np.minimum(reach, LARGEST_KERNEL // 2).astype(np.int64)

    def kernels(self) -> Array:
        """(B, h, h), h = 2 max(`radii`) + 1."""
        return _mirrored(self.quarters() * 2.0 ** -sum(KERNEL_BITS))

    def quarters(self) -> Array:
        """(B, max(`radii`) + 1, the same) whole numbers, from the middle on: weights in units of 2⁻²⁶."""
        return _whole_quarters(_moffat_quarters(self.fwhm, self.beta, self.radii()))

    def widths(self) -> np.ndarray:
        """(B,): `fwhms` of the kernels."""
        found, radii = np.empty(len(self.fwhm)), self.radii()
        for radius in np.unique(radii):
            rows = radii == radius
            rings = _Rings(2 * int(radius) + 1)
            found[rows] = rings.fwhms(rings.pixels * _moffat(rings.r2, self.fwhm[rows, None], self.beta[rows, None]))
        return found


def _moffat_quarters(fwhm: Array, beta: Array, radii: np.ndarray) -> Array:
    """(B, max(radii) + 1, the same), from the middle on."""
    xp, most = namespace(fwhm), int(radii.max(initial=0))
    k = xp.arange(most + 1, dtype=xp.float64, **like(fwhm))
    inside = xp.asarray((np.arange(most + 1) <= radii[:, None]) * 1.0, **like(fwhm))
    quarter = _moffat(k**2 + (k**2)[:, None], fwhm[:, None, None], beta[:, None, None])
    quarter = quarter * inside[:, None, :] * inside[:, :, None]
    lines = total = 0.0
    for place in range(most, 0, -1):  # the faintest first, and in one order on every device
        lines = lines + quarter[:, :, place]
    lines = 2.0 * lines + quarter[:, :, 0]
    for place in range(most, 0, -1):
        total = total + lines[:, place]
    return quarter / (2.0 * total + lines[:, 0])[:, None, None]


def _mirrored(quarters: Array) -> Array:
    xp, most = namespace(quarters), quarters.shape[1] - 1
    places = xp.abs(xp.arange(-most, most + 1, **like(quarters)))
    return xp.take(xp.take(quarters, places, axis=1), places, axis=2)


def _whole_quarters(quarters: Array) -> Array:
    """Even kernels, from the middle on, in units of 2⁻²⁶, rounded to whole numbers; mirrored, their sum is 1 exactly.

    What is left over goes to the middle, of weights on the axes twice, and of others four times.
    """
    xp, side = namespace(quarters), quarters.shape[1]
    fine = xp.astype(rint(quarters * 2.0**SUM_BITS), xp.int64)
    inner = _rounded_one_by_one(fine[:, 1:, 1:].reshape(len(fine), (side - 1) ** 2))
    axes = _rounded_one_by_one(xp.concat([fine[:, 0, 1:], fine[:, 1:, 0]], axis=1))
    middle = (1 << sum(KERNEL_BITS)) - 4 * xp.sum(inner, axis=1) - 2 * xp.sum(axes, axis=1)
    first = xp.concat([middle[:, None], axes[:, : side - 1]], axis=1)[:, None]
    others = xp.concat([axes[:, side - 1 :, None], inner.reshape(len(fine), side - 1, side - 1)], axis=2)
    return xp.astype(xp.concat([first, others], axis=1), xp.float64)


def _rounded_one_by_one(fine: Array) -> Array:
    """Weights (B, n), int64 in units of 2⁻⁵⁰ → in units of 2⁻²⁶: what rounding takes from one goes to the next."""
    xp, bits = namespace(fine), SUM_BITS - sum(KERNEL_BITS)
    # Sums of whole numbers are the same in any order, which a card chooses.
    sums = (xp.cumulative_sum(fine, axis=1) + (1 << (bits - 1))) >> bits
    return sums - xp.concat([sums[:, :1] * 0, sums[:, :-1]], axis=1)


def _moffat(r2: Array, fwhm: Array, beta: Array) -> Array:
    wide = where(fwhm < NARROWEST, NARROWEST, fwhm)
    return exp(-beta * log(1.0 + r2 * ((exp(LN_2 / beta) - 1.0) * 4 / (wide * wide))))


def fwhm(kernel: np.ndarray) -> float:
    """The one of a kernel (h, h), see `fwhms`."""
    return float(fwhms(kernel[None])[0])


def fwhms(kernels: np.ndarray) -> np.ndarray:
    """Full widths at half maximum, (B,) px, of the round Gaussians that fit kernels (B, h, h) best under their weight.

    The variance of a Gaussian weight under which the kernel and that Gaussian, on the same pixels, have the same second
    moment: of a Gaussian its own width, of others that of their core (Bernstein & Jarvis 2002, AJ 123, 583, eq. 3-13).
    """
    rings = _Rings(kernels.shape[1])
    return rings.fwhms(rings.sums(kernels))


class _Rings:
    """The pixels of h × h that are equally far from the middle. r2: (n,) px². pixels: (n,), how many there are."""

    def __init__(self, side: int) -> None:
        k2 = (np.arange(side) - side // 2) ** 2
        self.r2, ring, counts = np.unique(k2 + k2[:, None], return_inverse=True, return_counts=True)
        self.pixels = counts.astype(np.float64)
        self._order, self._start = np.argsort(ring, axis=None, kind="stable"), np.cumsum(counts) - counts
        self._widest = math.log(side**2)

    def sums(self, kernels: np.ndarray) -> np.ndarray:
        """(B, n), the light of each."""
        return np.add.reduceat(kernels.reshape(len(kernels), -1)[:, self._order], self._start, axis=1)

    def fwhms(self, light: np.ndarray) -> np.ndarray:
        """(B,) of light (B, n), see `fwhms`."""
        low, high = np.full(len(light), math.log(1e-3)), np.full(len(light), self._widest)
        for _ in range(WIDTH_STEPS):
            middle = (low + high) / 2
            weight = np.exp(self.r2 * (-0.5 / np.exp(middle))[:, None])
            narrower = self._second_moment(light * weight) > self._second_moment(self.pixels * weight * weight)
            low, high = np.where(narrower, middle, low), np.where(narrower, high, middle)
        return FWHM * np.sqrt(np.exp(low))

    def _second_moment(self, light: np.ndarray) -> np.ndarray:
        total = light.sum(axis=1)
        return np.where(total > 0, (light * self.r2).sum(axis=1) / np.where(total > 0, total, 1.0), 0.0)


def blur(pictures: Array, kernels: np.ndarray, radii: np.ndarray, size: int) -> Array:
    """Convolve pictures with the kernels of `gaussian_kernels`.

    pictures: (B, n, n) float64, n = size + 2 most: what lies around the result.

    Returns:
        (B, size, size).
    """
    if is_numpy(pictures):
        return compiled.blur(np.ascontiguousarray(pictures), kernels, radii, size)
    xp, most = namespace(pictures), kernels.shape[1] - 1
    weights = xp.asarray(kernels, **like(pictures))[:, :, None, None]
    lines = weights[:, 0] * pictures[:, :, most : most + size]
    for k in range(1, most + 1):
        pairs = pictures[:, :, most - k : most - k + size] + pictures[:, :, most + k : most + k + size]
        lines = lines + weights[:, k] * pairs
    blurred = weights[:, 0] * lines[:, most : most + size]
    for k in range(1, most + 1):
        pairs = lines[:, most - k : most - k + size] + lines[:, most + k : most + k + size]
        blurred = blurred + weights[:, k] * pairs
    return blurred


def convolve(pictures: Array, kernel: Array, size: int) -> Array:
    """Convolve pictures with a kernel, (h, h), or one each, (B, h, h), h odd, of sum 1; see `blur`, most = (h − 1) / 2.

    Exact sums of a picture rounded to 2⁻²² of its maximum and a kernel rounded to 2⁻²⁶.
    """
    xp = namespace(pictures)
    kernels = xp.asarray(kernel if kernel.ndim == 3 else kernel[None], **like(pictures))
    width = kernels.shape[1]
    side = next_fast_len(pictures.shape[1], real=True)
    forth, back = _transforms(pictures, side)
    pictures = _within_reach(pictures, kernels)
    above = xp.max(pictures.reshape(len(pictures), -1), axis=1)
    scale = _powers_of_two(to_numpy(above))
    scale = xp.asarray(scale, **like(pictures))[:, None, None]
    whole = rint(pictures * scale)
    fourier = forth(whole)
    total = 0.0
    for part, unit in _parts(kernels):
        # Pixel (most, most) of the picture is the result's first: what wraps around falls beyond the result.
        filtered = forth(part) * fourier
        sums = rint(back(filtered)[:, width - 1 : width - 1 + size, width - 1 : width - 1 + size])
        total = sums * unit + total
    return total / scale


def convolve_moffats(pictures: Array, profiles: Moffat, size: int) -> Array:
    """`convolve` with the kernels of Moffat profiles."""
    most = int(profiles.radii().max(initial=0))
    if is_numpy(pictures) and most <= WIDEST_IN_LOOPS:
        unit = 2.0 ** -sum(KERNEL_BITS)
        return compiled.convolve(np.ascontiguousarray(pictures), profiles.quarters(), size, PICTURE_BITS) * unit
    return convolve(pictures, profiles.kernels(), size)


def _within_reach(pictures: Array, kernels: Array) -> Array:
    """Pictures without what no weight of their kernels reaches: it must not decide how the rest is rounded."""
    xp, most = namespace(pictures), kernels.shape[1] // 2
    weights = kernels != 0.0
    used = to_numpy(xp.any(weights, axis=1) | xp.any(weights, axis=2))
    cut = most - (used * np.abs(np.arange(-most, most + 1))).max(axis=1)
    if not cut.any():
        return pictures
    place = np.arange(pictures.shape[1])
    inside = (np.minimum(place, place[::-1]) >= cut[:, None]).astype(np.float64)
    inside = xp.asarray(inside, **like(pictures))
    return pictures * inside[:, :, None] * inside[:, None, :]


def _transforms(pictures: Array, side: int) -> tuple[Callable, Callable]:
    """The real Fourier transform of pictures continued by 0 to side², and back."""
    if is_numpy(pictures):
        module, shape = scipy.fft, {"s": (side, side), "axes": (1, 2)}
    else:
        import torch

        module, shape = torch.fft, {"s": (side, side), "dim": (1, 2)}
    return (lambda x: module.rfft2(x, **shape)), (lambda x: module.irfft2(x, **shape))


def _powers_of_two(above: np.ndarray) -> np.ndarray:
    """What brings each maximum to less than 2²², (B,)."""
    _, exponent = np.frexp(above)
    return np.where(above > 0, np.ldexp(1.0, PICTURE_BITS - exponent), 1.0)


def _parts(kernels: Array) -> list[tuple[Array, float]]:
    """Kernels (K, h, h) as two whole-numbered ones, each with its unit; together their sum is 1 exactly.

    What rounding takes from a weight goes to the next one, so that the many faint ones of a wide kernel lose nothing.
    """
    xp = namespace(kernels)
    fine, bits = sum(KERNEL_BITS), KERNEL_BITS[1]
    flat = xp.astype(rint(kernels.reshape(len(kernels), -1) * 2.0**SUM_BITS), xp.int64)
    whole = xp.astype(_rounded_one_by_one(flat), xp.float64).reshape(kernels.shape)
    high = rint(whole * 2.0**-bits)
    return [(high, 2.0 ** (bits - fine)), (whole - high * 2.0**bits, 2.0**-fine)]
