"""An interval holds what its formula gives at every point of the intervals that it is made from, and no much more."""

import numpy as np
import pytest

from droulette.physics.intervals import Interval
from droulette.physics.series import asinh, atan, exp, log, log1p, power, sqrt

COUNT, POINTS = 200, 41
FORMULAS = {
    "sum": lambda x, y: x + y - 2.0,
    "difference": lambda x, y: 3.0 - x - y,
    "product": lambda x, y: x * y,
    "square": lambda x, y: x * x,
    "cube": lambda x, y: x**3,
    "fourth power": lambda x, y: x**4,
    "quotient": lambda x, y: x / (y * y + 1.0),
    "inverse": lambda x, y: 2.0 / (x * x + 0.5),
    "root": lambda x, y: sqrt(x * x),
    "logarithm": lambda x, y: log(x * x + 0.1),
    "exponential": lambda x, y: exp(x),
    "logarithm of 1 + x": lambda x, y: log1p(x * x),
    "power": lambda x, y: power(x * x + 0.1, -0.7),
    "arc tangent": lambda x, y: atan(x),
    "inverse hyperbolic sine": lambda x, y: asinh(y),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_an_interval_holds_all_values_and_both_ends_are_reached(name):
    rng, formula = np.random.default_rng(1), FORMULAS[name]
    ends = np.sort(rng.uniform(-3, 3, (2, 2, COUNT)), axis=1)  # of x and y; many hold 0
    found = formula(*(Interval(low, high) for low, high in ends))
    share = np.linspace(0, 1, POINTS)[:, None]
    x, y = (low + (high - low) * share for low, high in ends)
    values = formula(x[:, None], y[None, :])
    rounding = 1e-12 * (1 + np.abs(values))
    assert (values >= found.low - rounding).all() and (values <= found.high + rounding).all()
    spread = values.reshape(-1, COUNT).max(0) - values.reshape(-1, COUNT).min(0)
    assert np.median((found.high - found.low) / spread) < 1.2


def test_where_a_formula_may_be_singular_there_is_no_bound():
    across_zero = Interval(np.array([-1.0, 1.0]), np.array([1.0, 2.0]))
    for made in (1.0 / across_zero, log(across_zero), (1.0 / across_zero) * 0.0 + across_zero):
        assert np.isnan([made.low[0], made.high[0]]).all()
        assert np.isfinite([made.low[1], made.high[1]]).all()
