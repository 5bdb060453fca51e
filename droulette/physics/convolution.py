"""Pictures convolved with the point spread function of an instrument, to the same bits on every device.

A Gaussian is applied along the lines and then across, its taps in one order. Any other kernel goes through the fast
Fourier transform on whole numbers: picture and kernel are rounded to so many bits that the transform's rounding errors
stay below one half, and so the sums are exact, whatever library or device makes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.fft
from scipy.fft import next_fast_len

from droulette.physics.arrays import Array, is_numpy, like, namespace, to_numpy
from droulette.physics.elementary import exp, log, rint
from droulette.physics.engines import compiled

FWHM = 2 * math.sqrt(2 * math.log(2))  # of a Gaussian, in standard deviations
REACH = 6.0  # standard deviations, beyond which a Gaussian is 0: it holds all but 1e-8 of the light
PICTURE_BITS = 22
KERNEL_BITS = 14, 12  # of its larger and its smaller part
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


def moffat_kernel(fwhm: float, beta: float, radius: int) -> np.ndarray:
    """(1 + (r/α)²)^−β with the width `fwhm` px, sampled at (2 radius + 1)² pixels, of sum 1 (Moffat 1969)."""
    k = np.arange(-radius, radius + 1.0)
    r2 = k**2 + (k**2)[:, None]
    inverse = (exp(log(np.array([2.0])) / beta) - 1.0) * 4 / max(fwhm, NARROWEST) ** 2
    kernel = exp(-beta * log(1.0 + r2 * inverse))
    return kernel / math.fsum(kernel.ravel())


def fwhm(kernel: np.ndarray) -> float:
    """Full width at half maximum, px, of the round Gaussian that fits a kernel (h, h) best under its own weight.

    The variance of a Gaussian weight under which the kernel and that Gaussian, on the same pixels, have the same second
    moment: of a Gaussian its own width, of others that of their core (Bernstein & Jarvis 2002, AJ 123, 583, eq. 3-13).
    """
    k = np.arange(len(kernel)) - len(kernel) // 2
    r2 = k**2 + (k**2)[:, None]

    def second_moment(values: np.ndarray) -> float:
        total = values.sum()
        return float((values * r2).sum() / total) if total > 0 else 0.0

    low, high = math.log(1e-3), math.log(len(kernel) ** 2)
    for _ in range(WIDTH_STEPS):
        middle = (low + high) / 2
        weight = np.exp(r2 * (-0.5 / math.exp(middle)))
        if second_moment(kernel * weight) > second_moment(weight * weight):
            low = middle
        else:
            high = middle
    return FWHM * math.sqrt(math.exp(low))


def reaches(kernels: np.ndarray) -> np.ndarray:
    """(K,) px: how far from the middle of kernels (K, h, h) the last weight is that is not 0."""
    most = kernels.shape[1] // 2
    distance = np.abs(np.arange(-most, most + 1))
    used = (kernels != 0).any(axis=1) | (kernels != 0).any(axis=2)
    return (used * distance).max(axis=1)


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


def convolve(pictures: Array, kernel: np.ndarray, size: int) -> Array:
    """Convolve pictures with a kernel, (h, h), or one each, (B, h, h), h odd, of sum 1; see `blur`, most = (h − 1) / 2.

    Exact sums of a picture rounded to 2⁻²² of its maximum and a kernel rounded to 2⁻²⁶.
    """
    xp = namespace(pictures)
    kernels = kernel if kernel.ndim == 3 else kernel[None]
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
        filtered = forth(xp.asarray(part, **like(pictures))) * fourier
        sums = rint(back(filtered)[:, width - 1 : width - 1 + size, width - 1 : width - 1 + size])
        total = sums * unit + total
    return total / scale


def _within_reach(pictures: Array, kernels: np.ndarray) -> Array:
    """Pictures without what no weight of their kernels reaches: it must not decide how the rest is rounded."""
    cut = kernels.shape[1] // 2 - reaches(kernels)
    if not cut.any():
        return pictures
    place = np.arange(pictures.shape[1])
    inside = (np.minimum(place, place[::-1]) >= cut[:, None]).astype(np.float64)
    inside = namespace(pictures).asarray(inside, **like(pictures))
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


def _parts(kernel: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Kernels (K, h, h) as two whole-numbered ones, each with its unit; together their sum is 1 exactly.

    What rounding takes from a weight goes to the next one, so that the many faint ones of a wide kernel lose nothing.
    """
    fine, bits = 2.0 ** sum(KERNEL_BITS), KERNEL_BITS[1]
    sums = np.rint(np.cumsum(kernel.reshape(len(kernel), -1), axis=1) * fine)
    whole = np.diff(sums, axis=1, prepend=0.0).reshape(kernel.shape)
    high = np.rint(whole / 2**bits)
    return [(high, 2.0**bits / fine), (whole - high * 2**bits, 1 / fine)]
