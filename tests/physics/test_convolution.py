"""Pictures through a point spread function: SciPy's, and exact, so that every library gives the same bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from psfs import moffat_kernel
from scipy.signal import fftconvolve

from droulette.physics import convolution
from droulette.physics.batches import move
from droulette.physics.convolution import (
    Moffat,
    blur,
    convolve,
    convolve_moffats,
    fwhm,
    gaussian_kernels,
)

RNG = np.random.default_rng(0)


def expected(picture: np.ndarray, kernel: np.ndarray, size: int) -> np.ndarray:
    """The middle of a picture, convolved."""
    most = len(kernel) // 2
    border = (len(picture) - size) // 2 - most
    found = fftconvolve(picture, kernel, mode="valid")
    return found[border : border + size, border : border + size]


def patchy(count: int, side: int, rng=RNG) -> np.ndarray:
    """Dark pictures with a bright patch, single bright pixels and a slope."""
    pictures = np.zeros((count, side, side))
    for picture in pictures:
        top, left = rng.integers(0, side, 2)
        picture[top : top + side // 3, left : left + side // 4] = rng.uniform(0, 255)
        picture[:: max(1, side // 5), side // 2] = rng.uniform(0, 255)
        picture += np.linspace(0, rng.uniform(0, 9), side)
        picture[: side // 6] = 0
    return pictures


def of_sum_1(kernel: np.ndarray) -> np.ndarray:
    return kernel / kernel.sum()


def outer(kernels: np.ndarray, row: int) -> np.ndarray:
    """A Gaussian's kernel, (2 most + 1)²."""
    line = np.concatenate([kernels[row, :0:-1], kernels[row]])
    return np.outer(line, line)


# ---------------------------------------------------------------- kernels


@pytest.mark.parametrize("width", [0.7, 1.0, 2.35, 5.0, 17.0])
def test_gaussian_is_the_normal_distribution_of_its_width(width):
    kernels, radii = gaussian_kernels(np.array([width]))
    k = np.arange(kernels.shape[1])
    shape = 2.0 ** (-((2 * k / width) ** 2))  # one half at half the width
    total = shape[0] + 2 * shape[1:].sum()
    np.testing.assert_allclose(kernels[0], shape / total, rtol=1e-11, atol=1e-15)
    assert radii[0] >= 6 * width / 2.3549
    assert kernels[0, 0] + 2 * math.fsum(kernels[0, 1:]) == pytest.approx(1, abs=1e-15)


def test_gaussian_does_not_depend_on_its_neighbours():
    widths = np.array([0.0, 3.0, 9.0, 0.01])
    together, radii = gaussian_kernels(widths)
    for row, width in enumerate(widths):
        alone, radius = gaussian_kernels(np.array([width]))
        assert radius[0] == radii[row]
        np.testing.assert_array_equal(together[row, : radius[0] + 1], alone[0])
        assert not together[row, radius[0] + 1 :].any()


def test_moffat_is_its_formula():
    profile, radius = Moffat(np.array([4.0]), np.array([3.0])), 24
    (quarter,) = convolution._moffat_quarters(profile.fwhm, profile.beta, profile.radii())  # before it is rounded
    np.testing.assert_allclose(quarter, moffat_kernel(4.0, 3.0, radius)[radius:, radius:], rtol=1e-12)
    assert quarter[0, 2] == pytest.approx(quarter[0, 0] / 2, rel=1e-12)


@pytest.mark.parametrize("width", [0.0, 1e-9, 1e-3])
def test_moffat_of_no_width_leaves_the_picture(width):
    (kernel,) = Moffat(np.array([width]), np.array([3.0])).kernels()
    middle = len(kernel) // 2
    assert kernel[middle, middle] == 1
    assert kernel.sum() == 1


def test_moffats_together_are_those_alone_on_every_device():
    profiles = Moffat(np.array([0.0, 0.7, 5.2, 2.0, 60.0]), np.array([3.0, 2.5, 1.2, 40.0, 4.0]))
    kernels, radii = profiles.kernels(), profiles.radii()
    assert kernels.shape == (5, 257, 257)
    np.testing.assert_array_equal(move(profiles, "cpu").kernels().numpy(), kernels)
    for row, radius in enumerate(radii):
        inner = slice(128 - radius, 129 + radius)
        alone = profiles[row : row + 1].kernels()[0]
        np.testing.assert_array_equal(alone, kernels[row, inner, inner])
        formula = moffat_kernel(profiles.fwhm[row], profiles.beta[row], radius)
        np.testing.assert_allclose(alone, formula, rtol=0, atol=3 * 2.0**-26)
        assert alone.sum() == 1
        assert profiles.widths()[row] == pytest.approx(fwhm(formula), rel=1e-9)
        assert profiles[row : row + 1].widths()[0] == profiles.widths()[row]


@pytest.mark.parametrize("width", [0.5, 1.0, 1.5, 2.0, 3.7, 8.0, 20.0])
def test_fwhm_of_a_gaussian_is_its_own(width):
    kernels, _ = gaussian_kernels(np.array([width]))
    assert fwhm(outer(kernels, 0)) == pytest.approx(width, rel=0.01)


def test_fwhm_of_a_moffat_is_nearly_its_own_and_of_odd_kernels_finite():
    for width in (1.5, 4.0):
        assert width < fwhm(moffat_kernel(width, 3.0, 24)) < 1.2 * width
    delta = np.zeros((5, 5))
    delta[2, 2] = 1
    assert 0 <= fwhm(delta) < 0.5
    for kernel in (np.ones((1, 1)), np.ones((9, 9)) / 81, -delta, np.roll(delta, 2, axis=0)):
        assert np.isfinite(fwhm(kernel))


# ---------------------------------------------------------------- beside SciPy


def test_gaussians_are_those_of_scipy():
    size, widths = 61, np.array([0.0, 0.4, 1.0, 2.5, 7.0])
    kernels, radii = gaussian_kernels(widths)
    pictures = patchy(5, size + 2 * (kernels.shape[1] - 1))
    blurred = blur(pictures, kernels, radii, size)
    for row, picture in enumerate(pictures):
        found = expected(picture, outer(kernels, row), size)
        np.testing.assert_allclose(blurred[row], found, rtol=0, atol=1e-6 * picture.max())


KERNELS = {
    "moffat": moffat_kernel(3.0, 2.5, 18),
    "uneven": of_sum_1(RNG.uniform(0, 1, (9, 9)) ** 4),
    "one-sided": of_sum_1(np.triu(np.ones((7, 7)))),
    "almost a point": of_sum_1(np.pad([[1.0]], 12) + 1e-7),
    "a point": np.pad([[1.0]], 3),
    "flat": np.ones((129, 129)) / 129**2,
    "negative parts": of_sum_1(np.pad([[1.0]], 6) + RNG.normal(0, 0.01, (13, 13))),
    "one pixel": np.ones((1, 1)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_those_of_scipy(name):
    kernel, size = KERNELS[name], 48
    pictures = patchy(3, size + len(kernel) - 1)
    for picture, found in zip(pictures, convolve(pictures, kernel, size), strict=True):
        np.testing.assert_allclose(found, expected(picture, kernel, size), rtol=0, atol=1e-6 * picture.max())


@settings(max_examples=25)
@given(
    radius=st.integers(0, 64),
    size=st.integers(1, 40),
    cusp=st.floats(0, 6),
    power=st.integers(1, 8),
    seed=st.integers(0, 2**32),
)
def test_random_kernels_and_cusps_are_those_of_scipy(radius, size, cusp, power, seed):
    rng = np.random.default_rng(seed)
    kernel = of_sum_1(rng.uniform(1e-3, 1, (2 * radius + 1, 2 * radius + 1)) ** power)
    picture = patchy(1, size + 2 * radius, rng)
    picture[0, len(picture[0]) // 2, len(picture[0]) // 2] = 10**cusp
    found = convolve(picture, kernel, size)[0]
    np.testing.assert_allclose(found, expected(picture[0], kernel, size), rtol=0, atol=1e-6 * picture.max())


def test_light_from_outside_the_result_comes_in_and_the_kernel_is_not_mirrored():
    kernel = np.zeros((5, 5))
    kernel[2, 0] = 1.0  # moves light two pixels to the left
    picture = np.zeros((1, 14, 14))
    picture[0, 7, 12] = 8.0  # two pixels to the right of the result
    found = convolve(picture, kernel, 10)[0]
    assert found[5, 8] == pytest.approx(8.0)
    assert np.count_nonzero(found) == 1


def test_sum_of_light_is_kept():
    size = 64
    kernels, radii = gaussian_kernels(np.array([4.0]))
    for kernel in (None, moffat_kernel(3.0, 3.0, 11)):
        most = kernels.shape[1] - 1 if kernel is None else 11
        picture = np.zeros((1, size + 2 * most, size + 2 * most))
        picture[0, most + 20 : most + 40, most + 25 : most + 35] = RNG.uniform(0, 255, (20, 10))
        found = blur(picture, kernels, radii, size) if kernel is None else convolve(picture, kernel, size)
        assert found.sum() == pytest.approx(picture.sum(), rel=1e-7)


# ---------------------------------------------------------------- the same bits


def test_gaussians_have_the_same_bits_in_torch_alone_and_with_more_around_them():
    size, widths = 37, np.array([0.0, 1.0, 2.5, 7.0])
    kernels, radii = gaussian_kernels(widths)
    most = kernels.shape[1] - 1
    pictures = patchy(4, size + 2 * most)
    together = blur(pictures, kernels, radii, size)
    np.testing.assert_array_equal(blur(torch.from_numpy(pictures), kernels, radii, size).numpy(), together)
    for row, width in enumerate(widths):
        kernel, radius = gaussian_kernels(np.array([width]))
        cut = most - radius[0]
        inner = pictures[row : row + 1, cut : len(pictures[row]) - cut, cut : len(pictures[row]) - cut]
        np.testing.assert_array_equal(blur(np.ascontiguousarray(inner), kernel, radius, size)[0], together[row])


@pytest.mark.parametrize("size", [1, 23, 64])
def test_kernels_have_the_same_bits_in_torch_alone_and_with_other_paddings(size, monkeypatch):
    kernels = np.stack([moffat_kernel(width, 2.5, 14) for width in (1.0, 2.0, 3.0)])
    pictures = patchy(3, size + 28)
    pictures[1] *= 1e4
    together = convolve(pictures, kernels, size)
    np.testing.assert_array_equal(convolve(torch.from_numpy(pictures), kernels, size).numpy(), together)
    for row in range(3):
        one = slice(row, row + 1)
        np.testing.assert_array_equal(convolve(pictures[one], kernels[row], size)[0], together[row])
    for more in (0, 1, 7):
        monkeypatch.setattr(convolution, "next_fast_len", lambda side, real, more=more: side + more)
        np.testing.assert_array_equal(convolve(pictures, kernels, size), together)


@pytest.mark.parametrize("size", [1, 37])
def test_compiled_loops_convolve_moffats_to_the_bits_of_the_transforms(size):
    profiles = Moffat(np.append(0.0, RNG.uniform(0, 6.5, 6)), RNG.uniform(1.2, 6, 7))
    kernels, most = profiles.kernels(), int(profiles.radii().max())
    assert most <= convolution.WIDEST_IN_LOOPS
    pictures = patchy(7, size + 2 * most)
    pictures[2], pictures[4] = 0.0, pictures[4] * 1e5
    found = convolve_moffats(pictures, profiles, size)
    np.testing.assert_array_equal(found, convolve(pictures, kernels, size))
    there = convolve_moffats(torch.from_numpy(pictures), move(profiles, "cpu"), size)
    np.testing.assert_array_equal(there.numpy(), found)


def test_a_kernel_with_zeros_around_it_gives_the_same_bits_whatever_shines_out_there():
    kernel, size = moffat_kernel(2.0, 3.0, 6), 30
    picture = patchy(1, size + 2 * 15)
    inner = np.ascontiguousarray(picture[:, 9:-9, 9:-9])
    alone = convolve(inner, kernel, size)
    picture[0, 2, 2] = 1e6  # beyond the kernel's reach
    wide = np.stack([np.pad(kernel, 9)])
    np.testing.assert_array_equal(convolve(picture, wide, size), alone)
    np.testing.assert_array_equal(convolve(torch.from_numpy(picture), wide, size).numpy(), alone)


SATURATED = {
    "flat": lambda side: np.ones((side, side)),
    "noise": lambda side: RNG.uniform(0.9, 1, (side, side)),
    "checkered": lambda side: RNG.integers(0, 2, (side, side)).astype(float),
}
LARGEST = {
    "flat": np.ones((257, 257)),
    "random": RNG.uniform(0, 1, (257, 257)),
    "sparse": (RNG.uniform(size=(257, 257)) < 0.5) * 1.0,
}


@pytest.mark.parametrize("light", SATURATED)
@pytest.mark.parametrize("kernel", LARGEST)
def test_sums_of_saturated_pictures_and_the_largest_kernels_are_exact(kernel, light):
    """Beside Python's whole numbers, at some pixels."""
    size, weights = 256, of_sum_1(LARGEST[kernel])
    picture = SATURATED[light](size + 256)
    picture *= np.nextafter(4.0, 0) / picture.max()
    whole = np.rint(picture * 2.0**20).astype(np.int64)
    assert whole.max() == 2**22
    exact = sum((part[0] * unit * 2.0**26).astype(np.int64) for part, unit in convolution._parts(weights[None]))
    assert exact.sum() == 2**26
    assert np.abs(exact - weights * 2.0**26).max() <= 1
    for found in (convolve(picture[None], weights, size), convolve(torch.from_numpy(picture[None]), weights, size)):
        for i, j in RNG.integers(0, size, (40, 2)):
            total = int((whole[i : i + 257, j : j + 257] * exact[::-1, ::-1]).sum())
            assert total < 2**50
            assert int(np.asarray(found)[0, i, j] * 2.0**46) == total


def test_black_pictures_stay_black():
    pictures = np.zeros((2, 20, 20))
    pictures[1, 10, 10] = 5.0
    found = convolve(pictures, moffat_kernel(2.0, 3.0, 5), 10)
    assert not found[0].any() and found[1].any()
