"""Fits from drawn starts: they find the scene, say so where they do not, and their draws hold the truth."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from fit_scenes import COLUMNS, FAMILY, SIZE, coordinates, light, observed

from droulette.fitting import posterior, search
from droulette.fitting.family import Family
from droulette.fitting.optimise import Minimum, Prior
from droulette.fitting.search import Found, find
from droulette.fitting.starts import Library

COUNT = 30
TRUE = coordinates(COUNT, seed=11)
DRAWN = coordinates(2000, seed=12)
PRIOR = Prior.of(DRAWN)
OBSERVATION = observed(TRUE)


@pytest.fixture(scope="module")
def found() -> Found:
    library = Library.of(FAMILY, DRAWN, SIZE)
    return find(OBSERVATION, FAMILY, library.nearest(OBSERVATION, 12), PRIOR)


def test_a_drawn_scene_is_the_nearest_to_its_own_picture():
    library = Library.of(FAMILY, DRAWN[:200], SIZE)
    quarters, mirror = 3, True
    turned = FAMILY.coordinates(FAMILY.turned(FAMILY.values(DRAWN[:20]), quarters, mirror))
    about = observed(turned)
    nearest = library.nearest(about, 1)[:, 0]
    assert (abs(nearest - turned).max(axis=1) < 1e-6).mean() > 0.8  # noise may find one as near


def test_fits_reach_the_truth(found):
    assert found.good.mean() > 0.9
    away = found.minimum.coordinates - TRUE
    squares = np.einsum("bp,bpq,bq->b", away, found.minimum.normal, away)[found.good]
    # χ² with ten degrees of freedom: median 9.3, and 29.6 is exceeded once in a thousand times.
    assert 7 < np.median(squares) < 13
    assert (squares < 30).mean() > 0.9


def test_intervals_of_draws_hold_their_shares(found):
    drawn = posterior.draws(found, 400)
    values = drawn.targets(FAMILY, COLUMNS)
    low, high = posterior.quantiles(values, (0.1587, 0.8413))
    targets = FAMILY.targets(TRUE, COLUMNS)
    share = ((low < targets) & (targets < high))[found.good].mean()
    assert 0.55 < share < 0.8


def test_samples_are_about_the_minimum_where_the_posterior_is_normal(found):
    rows = np.flatnonzero(found.good)[:4]
    few = Found(found.minimum[rows], found.pixels[rows], found.probability[rows], found.of_brightest[rows])
    drawn = posterior.sampled(OBSERVATION[rows], FAMILY, few, PRIOR, 600)
    assert (drawn.effective > 200).all()
    deviation = np.sqrt(np.einsum("bpp->bp", np.linalg.inv(few.minimum.normal)))
    assert (abs(drawn.coordinates.mean(axis=1) - few.minimum.coordinates) < 0.6 * deviation).all()


def test_another_family_is_found_out_by_chi2():
    two = light(TRUE[:5]) + light(coordinates(5, seed=21))
    about = observed(TRUE[:5])
    about = type(about)(about.pictures - light(TRUE[:5]) + two, about.weights, about.psf)
    library = Library.of(FAMILY, DRAWN, SIZE)
    found = find(about, FAMILY, library.nearest(about, 3), PRIOR)
    assert (found.probability < 1e-6).all()
    assert not found.good.any()


def test_solutions_are_weighted_by_their_evidence():
    size = 2
    normal = np.stack([np.eye(size), 4 * np.eye(size)])
    ends = Minimum(
        np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([100.0, 101.0]), np.array([100.0, 101.0]), normal,
        np.array([True, True]), np.array([5, 5]),
    )  # fmt: skip
    found = Found(ends[[0]], np.array([100]), np.array([0.5]), np.array([0.5]), ((np.array([0, 0]), ends),))
    places, _, shares = posterior.solutions(found, 0)
    np.testing.assert_array_equal(places, ends.coordinates)
    ratio = np.exp(-0.5) / 4  # of e^(−χ² / 2) and of the volumes
    np.testing.assert_allclose(shares, np.array([1, ratio]) / (1 + ratio))


def test_good_fits_are_tried_again_where_they_are_to_be_sure(monkeypatch):
    fits = mock.Mock(side_effect=search.approached)
    monkeypatch.setattr(search, "approached", fits)
    assert find(OBSERVATION[:1], FAMILY, TRUE[:1, None], PRIOR).good.all() and fits.call_count == 1
    assert find(OBSERVATION[:1], FAMILY, TRUE[:1, None], PRIOR, thorough=True).good.all()
    assert fits.call_count == 2 + search.SURE_ROUNDS


def test_rows_to_be_sure_of_are_all_tried_again():
    ends = Minimum(np.zeros((3, 1)), *np.full((2, 3), 100.0), np.ones((3, 1, 1)), np.ones(3, bool), np.ones(3))
    good = search.Found(ends, np.full(3, 100), np.full(3, 0.5), np.array([0.5, 1e-9, 0.5]))
    assert good.wanting(0).tolist() == good.wanting(5).tolist() == [1]
    first = [good.wanting(round, sure=4).tolist() for round in range(4)]
    assert first == [[0, 1, 2]] * 4 and good.wanting(4, sure=4).tolist() == [1]
    assert [Family(lenses, "SersicSphere").masses for lenses in (("SIE", "Shear"), ("SIE", "SIE"))] == [1, 2]


def test_quantiles_are_those_of_the_draws_that_are_numbers():
    values = np.random.default_rng(0).standard_normal((3, 40, 2))
    values[0, ::3, 0] = values[1, :, 1] = np.nan
    shares = (0.5, 0.025, 0.84134)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="All-NaN"):
        expected = np.nanquantile(values, shares, axis=1, method="hazen")
    np.testing.assert_allclose(posterior.quantiles(values, shares), expected)


@pytest.mark.parametrize(
    "chance, good, more",
    [
        (1.0, True, 0),
        (0.1, True, search.DOUBTFUL_ROUNDS),
        (1e-4, False, search.BAD_ROUNDS),
        (1e-9, False, search.ROUNDS),
    ],
)
def test_a_fit_whose_brightest_pixels_are_odd_is_tried_again_and_not_for_ever(monkeypatch, chance, good, more):
    monkeypatch.setattr(search, "_least_chance", lambda residuals, light: np.full(len(light), chance / 2))
    fits = mock.Mock(side_effect=search.approached)
    monkeypatch.setattr(search, "approached", fits)
    found = find(OBSERVATION[:1], FAMILY, TRUE[:1, None], PRIOR)
    assert found.good.all() == good and found.of_brightest[0] == chance
    assert fits.call_count == 1 + more
    assert len(found.tried) == 1  # the others end there again


def test_only_what_ends_elsewhere_and_as_low_is_promising():
    best = Minimum(
        np.zeros((4, 1)), *np.full((2, 4), 100.0), np.ones((4, 1, 1)), np.array([1, 1, 1, 0], bool), np.ones(4)
    )
    at = np.array([[1.0], [3.0], [3.0], [1.0]])
    cost = np.array([90.0, 120.0, 140.0, 110.0])
    near = Minimum(at, cost, cost, np.ones((4, 1, 1)), np.ones(4, bool), np.ones(4))
    np.testing.assert_array_equal(search._promising(near, best), [1, 3])


def test_a_good_fit_that_came_a_winding_way_begins_again_near_by(monkeypatch):
    fits, sketches = (mock.Mock(side_effect=f) for f in (search.approached, search._smooth_minima))
    monkeypatch.setattr(search, "approached", fits)
    monkeypatch.setattr(search, "_smooth_minima", sketches)
    rows = slice(3, 6)
    usual = find(OBSERVATION[rows], FAMILY, TRUE[rows, None], PRIOR)
    taken = sorted(usual.minimum.iterations)
    assert usual.good.all() and taken[-1] > taken[-2]
    fits.reset_mock()
    sketches.reset_mock()
    monkeypatch.setattr(search, "WINDING", taken[-1])
    found = find(OBSERVATION[rows], FAMILY, TRUE[rows, None], PRIOR)
    again = [len(call.args[2]) for call in fits.call_args_list]
    assert again == [3] + [1] * search.WINDING_ROUNDS  # the one row that took as many, from one place each time
    assert [len(call.args[2]) for call in sketches.call_args_list] == [3] + [0] * search.WINDING_ROUNDS
    np.testing.assert_allclose(found.minimum.cost, usual.minimum.cost, atol=0.1)
