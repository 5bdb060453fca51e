"""Importance sampling of distributions whose moments are known."""

from __future__ import annotations

import numpy as np
import pytest

from droulette.fitting import posterior
from droulette.fitting.posterior import Chain

BEND, WIDTH = 1.0, 0.5


def bent(points: np.ndarray) -> np.ndarray:
    """−2 ln of a banana: x normal, y = BEND x² and WIDTH of noise."""
    x, y = points.T
    return x**2 + ((y - BEND * x**2) / WIDTH) ** 2


def two(points: np.ndarray) -> np.ndarray:
    """−2 ln of two normal distributions, a third about −5 and two thirds about 5."""
    near, far = (-0.5 * ((points - middle) ** 2).sum(axis=1) for middle in (-5.0, 5.0))
    return -2 * np.logaddexp(np.log(1 / 3) + near, np.log(2 / 3) + far)


def run(chain: Chain, cost, rounds: int) -> Chain:
    rng = np.random.default_rng(7)
    for _ in range(rounds):
        points = chain.propose(400, rng)
        chain.learn(points, cost(points))
    return chain


@pytest.fixture
def whole_likelihood(monkeypatch):
    monkeypatch.setattr(posterior, "ROUGH_POWER", 1.0)


def test_a_bent_posterior_has_its_moments(whole_likelihood):
    curvature = np.diag([1.0, WIDTH**-2])
    chain = run(Chain.about(np.zeros((1, 2)), curvature[None], np.ones(1)), bent, 8)
    assert chain.effective > 300
    drawn = chain.drawn(4000, np.random.default_rng(1))
    # y has mean BEND and variance 2 BEND² + WIDTH²; tolerances are three deviations of 300 draws.
    np.testing.assert_allclose(drawn.mean(axis=0), [0, BEND], atol=0.27)
    np.testing.assert_allclose(drawn.var(axis=0), [1, 2 * BEND**2 + WIDTH**2], rtol=0.5)


def test_the_effective_number_tells_of_a_proposal_that_misses():
    curvature = np.diag([400.0, 400.0])  # errors thought a twentieth of what they are
    chain = run(Chain.about(np.zeros((1, 2)), curvature[None], np.ones(1)), bent, 1)
    first = chain.effective
    assert first < 100
    assert run(chain, bent, 9).effective > 4 * first


def test_several_solutions_have_their_shares(whole_likelihood):
    middles, curvatures = np.array([[-5.0, -5.0], [5.0, 5.0]]), np.stack([np.eye(2), np.eye(2)])
    chain = run(Chain.about(middles, curvatures, np.array([0.5, 0.5])), two, 3)
    drawn = chain.drawn(3000, np.random.default_rng(1))
    assert abs((drawn[:, 0] < 0).mean() - 1 / 3) < 0.1


def test_a_posterior_that_is_not_normal_is_drawn_with_a_wider_likelihood():
    chain = run(Chain.about(np.zeros((1, 2)), np.eye(2)[None], np.ones(1)), lambda at: (at**2).sum(axis=1), 4)
    drawn = chain.drawn(4000, np.random.default_rng(1))
    np.testing.assert_allclose(drawn.var(axis=0), 1 / posterior.ROUGH_POWER, rtol=0.2)


def test_draws_of_too_few_effective_ones_are_no_single_point():
    curvature = np.diag([1e4, 1e4])  # errors thought a hundredth of what they are
    chain = run(Chain.about(np.zeros((1, 2)), curvature[None], np.ones(1)), lambda at: -1e4 * at[:, 0], 1)
    assert chain.effective < 5
    drawn = chain.drawn(1000, np.random.default_rng(1))
    _, times = np.unique(drawn, axis=0, return_counts=True)
    assert chain.weights.max() > 0.5 and times.max() < 200
