"""exp, log, … are right to the last digits, and the same in every kind of array."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import torch

from droulette.physics import elementary

RNG = np.random.default_rng(0)
RATIOS = {"atan_ratio": mp.atan, "atanh_ratio": mp.atanh}


def symmetric(low: float, high: float, count: int = 1500) -> np.ndarray:
    """Of both signs, their size uniform in its logarithm."""
    return 10 ** RNG.uniform(low, high, count) * RNG.choice([-1, 1], count)


CASES = {
    "exp": (mp.exp, np.concatenate([RNG.uniform(-700, 700, 1500), symmetric(-12, 1)])),
    "log": (mp.log, np.concatenate([10 ** RNG.uniform(-300, 300, 1500), RNG.uniform(0.5, 2, 1500)])),
    "log1p": (mp.log1p, np.concatenate([symmetric(-12, -0.01), RNG.uniform(0, 50, 500)])),
    "atan": (mp.atan, np.concatenate([symmetric(-10, 10), RNG.uniform(-3, 3, 1500)])),
    "asinh": (mp.asinh, symmetric(-10, 6)),
    "atan_ratio": (mp.atan, symmetric(-10, 10)),
    "atanh_ratio": (mp.atanh, np.concatenate([symmetric(-10, -1e-6), RNG.uniform(-1, 1, 1500)])),
}


@pytest.mark.parametrize("name", CASES)
def test_function_is_within_four_units_in_the_last_place(name):
    exact, arguments = CASES[name]
    function = getattr(elementary, name)
    found = function(arguments, np.ones_like(arguments)) if name in RATIOS else function(arguments)
    with mp.workdps(40):
        for x, value in zip(arguments.tolist(), found.tolist(), strict=True):
            true = exact(mp.mpf(x))
            assert abs(mp.mpf(value) - true) <= 4 * np.spacing(abs(float(true))), x


def test_cosine_and_sine_are_right_and_exact_at_right_angles():
    degrees = np.concatenate([RNG.uniform(-720, 720, 2000), symmetric(-9, 3)])
    with mp.workdps(40):
        for function, values in zip((mp.cos, mp.sin), elementary.cosine_and_sine(degrees), strict=True):
            for x, value in zip(degrees.tolist(), values.tolist(), strict=True):
                true = function(mp.mpf(x) * mp.pi / 180)
                assert abs(mp.mpf(value) - true) <= 2 * np.spacing(abs(float(true))), x
    cos, sin = elementary.cosine_and_sine(np.arange(-360.0, 361, 90))
    assert cos.tolist() == [1, 0, -1, 0, 1, 0, -1, 0, 1]
    assert sin.tolist() == [0, 1, 0, -1, 0, 1, 0, -1, 0]


def test_angle_is_that_of_the_direction():
    degrees = np.concatenate([np.arange(0.0, 360, 45), RNG.uniform(0, 360, 500)])
    cos, sin = elementary.cosine_and_sine(degrees)
    np.testing.assert_allclose(elementary.angle_in_degrees(7 * cos, 7 * sin), degrees, rtol=1e-14, atol=1e-13)
    assert elementary.angle_in_degrees(np.zeros(1), np.zeros(1)).item() == 0


def test_log_gamma_is_right():
    x = RNG.uniform(0.34, 200, 2000)
    expected = [float(mp.loggamma(value)) for value in x.tolist()]
    np.testing.assert_allclose(elementary.log_gamma(x), expected, rtol=1e-14, atol=1e-14)


def test_ends_are_finite_and_nan_stays():
    assert elementary.exp(np.array([-np.inf, -1e4])).max() < 1e-300
    assert np.isfinite(elementary.exp(np.array([np.inf]))).all()
    assert np.isfinite(elementary.log(np.array([0.0, np.inf]))).all()
    for function in (elementary.exp, elementary.atan):
        assert np.isnan(function(np.array([np.nan]))).all()


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_bits_are_those_of_any_other_kind_and_size_of_array(count):
    for name, (_, arguments) in CASES.items():
        function = getattr(elementary, name)
        ones = (np.ones(len(arguments)),) if name in RATIOS else ()
        together = function(arguments, *ones)
        some = [x[:count] for x in (arguments, *ones)]
        np.testing.assert_array_equal(function(*some), together[:count])
        np.testing.assert_array_equal(function(*map(torch.from_numpy, some)).numpy(), together[:count])
    degrees = np.arange(-400.0, 400, 0.37)[:count]
    waves = elementary.cosine_and_sine(torch.from_numpy(degrees))
    np.testing.assert_array_equal(torch.stack(waves).numpy(), elementary.cosine_and_sine(degrees))
