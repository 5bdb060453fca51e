"""Importance sampling of distributions whose moments are known."""

from __future__ import annotations

import numpy as np
import pytest

from droulette.fitting import posterior
from droulette.fitting.optimise import Minimum, Prior
from droulette.fitting.posterior import THOROUGH, USUAL, Chain
from droulette.fitting.search import Found

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


class Bent:
    """In the place of a mosaic: χ² of numbers, each pair of which is a banana."""

    at_once = 0

    def __getitem__(self, rows) -> Bent:
        return self

    def squares_at(self, family, points: np.ndarray) -> np.ndarray:
        Bent.at_once = max(Bent.at_once, points.shape[1])
        pairs = points.reshape(-1, 2)
        return bent(pairs).reshape(*points.shape[:2], -1).sum(axis=2)


@pytest.mark.parametrize("effort, within", [(USUAL, 1.1), (THOROUGH, 0.5)])
def test_a_thorough_sample_is_nearer_to_a_bent_posterior(monkeypatch, whole_likelihood, effort, within):
    size = 6
    monkeypatch.setattr(posterior, "mosaic", lambda *about: Bent())
    curvature = np.tile(np.diag([1.0, WIDTH**-2] * (size // 2)), (1, 1, 1))
    minimum = Minimum(np.zeros((1, size)), np.zeros(1), np.zeros(1), curvature, np.array([True]), np.array([5]))
    found = Found(minimum, np.array([100]), np.array([0.5]), np.array([0.5]), ())
    nothing = Prior(np.zeros(size), np.zeros((size, size)))
    drawn = posterior.sampled(None, None, found, nothing, 4000, seed=1, effort=effort)
    assert drawn.effective[0] >= effort.enough
    assert Bent.at_once <= posterior.AT_ONCE
    means = drawn.coordinates[0].mean(axis=0)
    np.testing.assert_allclose(means, [0, BEND] * (size // 2), atol=within)


def test_intervals_about_the_medians_hold_their_shares():
    values = np.random.default_rng(0).exponential(size=(2, 4001, 3))
    values[1, :1000, 2] = np.nan
    middle, halves = posterior.intervals(values, (0.6827, 0.95))
    np.testing.assert_allclose(middle, np.log(2), atol=0.06)
    for half, share in zip(halves, (0.6827, 0.95), strict=True):
        inside = (abs(values - middle[:, None]) <= half[:, None]).sum(axis=1) / (~np.isnan(values)).sum(axis=1)
        np.testing.assert_allclose(inside, share, atol=1e-3)
    # Of e^−x beyond its median, 0.05 are further up than −ln 0.05.
    np.testing.assert_allclose(halves[1], -np.log(0.05) - np.log(2), rtol=0.08)
