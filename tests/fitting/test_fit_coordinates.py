"""Coordinates without bounds: there and back, and limits that are never passed."""

from __future__ import annotations

import numpy as np
import pytest

from droulette.fitting.coordinates import Above, Between, Ellipse, Scaled, TwoAxes, block_of
from droulette.quantities import Quantity

RNG = np.random.default_rng(3)
BLOCKS = {
    "scaled": (Scaled(("a",), 10.0), {"a": RNG.normal(size=50) * 30}),
    "above": (Above(("a",), 0.17), {"a": RNG.uniform(0.2, 6, 50)}),
    "between": (Between(("a",), 1.0, 3.0), {"a": RNG.uniform(1.01, 2.99, 50)}),
    "ellipse": (Ellipse(("q", "phi")), {"q": RNG.uniform(0.05, 0.99, 50), "phi": RNG.uniform(0, 180, 50)}),
    "axes": (
        TwoAxes(("s", "s2", "theta")),
        {"s": RNG.uniform(3, 9, 50), "s2": RNG.uniform(0.5, 2.9, 50), "theta": RNG.uniform(0, 180, 50)},
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_parameters_come_back(name):
    block, values = BLOCKS[name]
    back = block.back(block.forth(values))
    for key in values:
        np.testing.assert_allclose(back[key], values[key], rtol=1e-9, atol=1e-9)


def test_two_axes_the_other_way_round_are_the_same_ellipse():
    block = BLOCKS["axes"][0]
    one = block.forth({"s": np.array([2.0]), "s2": np.array([5.0]), "theta": np.array([20.0])})
    other = block.forth({"s": np.array([5.0]), "s2": np.array([2.0]), "theta": np.array([110.0])})
    np.testing.assert_allclose(one, other, atol=1e-12)


def test_far_coordinates_stay_within_the_limits():
    quantity = Quantity("slope", "", default=(1.5, 2.5), gt=1.0, le=3.0)
    far = block_of("", quantity).back([np.array([-30.0, 30.0])])["slope"]
    assert quantity.allows(far).all()
    positive = Quantity("length", "", "px", (1, 60), gt=0, le=1_000_000)
    assert isinstance(block_of("", positive), Above)
    assert block_of("", positive).back([np.array([-300.0])])["length"] > 0
