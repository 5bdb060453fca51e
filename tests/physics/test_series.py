"""Taylor series of the functions that potentials are made of, against mpmath's."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

from droulette.physics.series import Series, exp, log, log1p, power, solve, sqrt, where

ORDER = 12
FUNCTIONS = {
    "exp": (exp, mp.exp),
    "log": (log, mp.log),
    "log1p": (log1p, mp.log1p),
    "square root": (sqrt, mp.sqrt),
    "power": (lambda x: power(x, np.array([-0.73])), lambda x: mp.power(x, mp.mpf(-0.73))),
}


def taylor(function, start: float) -> list[float]:
    with mp.workdps(60):
        return [float(value) for value in mp.taylor(function, mp.mpf(start), ORDER)]


def curve(start: float) -> Series:
    """start + 0.7t − 0.2t² + 0.05t³."""
    return Series([np.array([value]) for value in (start, 0.7, -0.2, 0.05)] + [0.0] * (ORDER - 3))


def numbers(series: Series) -> list[float]:
    return [float(np.squeeze(value)) for value in series.c]


@pytest.mark.parametrize("start", [0.03, 0.9, 14.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_coefficients_are_those_of_arbitrary_precision(name, start):
    ours, exact = FUNCTIONS[name]
    expected = taylor(lambda t: exact(start + 0.7 * t - 0.2 * t**2 + 0.05 * t**3), 0)
    np.testing.assert_allclose(numbers(ours(curve(start))), expected, rtol=1e-11)


def test_composition_takes_the_derivatives_of_any_function():
    start = 0.4
    derivatives = [np.array([value]) for value in taylor(mp.tanh, start)]
    expected = taylor(lambda t: mp.tanh(start + 0.7 * t - 0.2 * t**2 + 0.05 * t**3), 0)
    np.testing.assert_allclose(numbers(curve(start).compose(derivatives)), expected, rtol=1e-9)


def test_derivative_is_that_of_the_polynomial():
    assert numbers(curve(3.0).derivative())[:4] == pytest.approx([0.7, -0.4, 0.15, 0.0])


def test_solution_of_a_linear_system_is_the_known_one():
    """w₁′ = −c w₂, w₂′ = c w₁ + b: a circle run through at the speed c, here 1 + 2t, with a push b = 0 or exp."""
    zero = Series([0.0] * (ORDER + 1))
    speed = Series.line(np.array([1.0]), 2.0, ORDER)
    cos, sin = solve([np.array([1.0]), np.array([0.0])], [[zero, -speed], [speed, zero]], [zero, zero])
    np.testing.assert_allclose(numbers(cos), taylor(lambda t: mp.cos(t + t * t), 0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(numbers(sin), taylor(lambda t: mp.sin(t + t * t), 0), rtol=1e-12, atol=1e-15)
    push = exp(Series.line(np.array([0.0]), 1.0, ORDER))
    (grown,) = solve([np.array([2.0])], [[Series([1.0] + [0.0] * ORDER)]], [push])
    np.testing.assert_allclose(numbers(grown), taylor(lambda t: (2 + t) * mp.exp(t), 0), rtol=1e-12)


def test_where_takes_each_row_from_one_of_two_series():
    rows = np.array([0.5, 3.0])
    a, b = exp(Series.line(rows, 1.0, 4)), log(Series.line(rows, 1.0, 4))
    mixed = where(rows > 1.0, a, b)
    for one, first, second in zip(mixed.c, a.c, b.c, strict=True):
        assert one.tolist() == [second[0], first[1]]
