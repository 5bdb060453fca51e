"""The reference point ξ₀ solves the lens equation, and is the solution that plain iteration reaches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scenes import LENSES, Random, numbers
from scipy.optimize import brentq, minimize

from droulette.physics import lens_equation, series
from droulette.physics.amplitudes import amplitudes, convergence_and_shear
from droulette.physics.arrays import Array
from droulette.physics.batches import move, take
from droulette.physics.lens_equation import apparent_position, residual, solved
from droulette.physics.lenses import SIE, SIS, CentredLens, Cluster, PointMass
from droulette.physics.sampled import Sampled

NEAR = (0.0, 1e-300, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3)  # px


def sources_near(draw: Random, lens) -> tuple[np.ndarray, np.ndarray]:
    """Positions uniform in angle and in radius up to 1.2 θ_E."""
    theta = lens.lenses[0].einstein_radius if isinstance(lens, Cluster) else lens.einstein_radius
    x, y = draw.in_disc(0, 1.2)
    return x * theta, y * theta


def furthest_miss(lens, xi, eta) -> float:
    return np.hypot(*residual(lens, *xi, *eta)).max().item()


@pytest.mark.parametrize("kind", LENSES)
def test_residual_is_below_a_billionth_of_a_pixel_on_10_000_random_rows(kind):
    draw = Random(5, 2500)  # of each of four kinds of lens
    lens = draw.lens(kind, (2.5, 75))
    eta = sources_near(draw, lens)
    assert furthest_miss(lens, apparent_position(lens, *eta), eta) < 1e-9


@pytest.mark.parametrize("parts", ["PM PM", "SIS SIS SIS SIS", "PM SIE SIS"])
def test_residual_is_below_a_billionth_of_a_pixel_for_clusters_of_any_kind(parts):
    draw = Random(6, 1000)
    lenses = tuple(draw.lens(kind, (3, 75)) for kind in parts.split())
    x, y = zip(*(sources_near(draw, lens) for lens in lenses), strict=True)
    cluster, eta = Cluster(lenses, x, y), draw.in_disc(0, 90)
    assert furthest_miss(cluster, apparent_position(cluster, *eta), eta) < 1e-9


@pytest.mark.parametrize("kind", LENSES)
def test_sampled_lens_has_a_reference_point_too(kind):
    draw = Random(7, 8)
    lens = draw.lens(kind, (10, 30), (0.3, 1))
    sampled, eta = Sampled.of(lens, 8, 256), draw.in_disc(5, 30)
    xi = apparent_position(sampled, *eta)
    assert furthest_miss(sampled, xi, eta) < 1e-9
    assert np.hypot(*(a - b for a, b in zip(xi, apparent_position(lens, *eta), strict=True))).max() < 0.2


@pytest.mark.parametrize("kind", LENSES)
def test_reference_point_is_where_plain_fixed_point_iteration_from_eta_goes(kind):
    draw = Random(5, 300)
    lens = draw.lens(kind, (2.5, 75))
    eta = sources_near(draw, lens)
    if kind == "PM":  # plain iteration takes (θ_E/η) steps, too many for sources all but behind the mass
        eta = tuple(np.where(np.hypot(*eta) < 0.01 * lens.einstein_radius, 5.0, axis) for axis in eta)
    xi = apparent_position(lens, *eta)
    x, y = eta
    for _ in range(5000):
        dx, dy = lens.deflection(x, y)
        x, y = eta[0] + dx, eta[1] + dy
    np.testing.assert_allclose(np.stack([x, y]), np.stack(xi), rtol=0, atol=1e-6)


def test_cluster_whose_plain_iteration_steps_to_and_fro_for_ever_has_a_reference_point():
    masses = tuple(PointMass(numbers(theta)) for theta in (60.3890, 43.6071, 54.4504))
    cluster = Cluster(
        masses,
        (numbers(-0.0404), numbers(-2.6513), numbers(-31.5398)),
        (numbers(-0.2475), numbers(-37.5861), numbers(19.8976)),
    )
    eta = numbers(-1.5310), numbers(-0.5296)
    assert furthest_miss(cluster, apparent_position(cluster, *eta), eta) < 1e-9


def test_source_behind_the_lens_centre_appears_on_the_positive_x_axis():
    zero = numbers(0.0)
    theta = numbers(20.0)
    for lens in (SIS(theta), PointMass(theta), SIE(theta, numbers(1.0), numbers(30.0))):
        x, y = apparent_position(lens, zero, zero)
        assert x.item() == pytest.approx(20, abs=1e-9)
        assert y.item() == pytest.approx(0, abs=1e-9)
    elliptic = SIE(numbers(20.0), numbers(0.4), numbers(30.0))
    xi = apparent_position(elliptic, zero, zero)
    assert np.isfinite(np.stack(xi)).all()
    assert furthest_miss(elliptic, xi, (zero, zero)) < 1e-9
    aside = Cluster((SIS(numbers(20.0)),), (numbers(3.0),), (numbers(-4.0),))
    x, y = apparent_position(aside, numbers(3.0), numbers(-4.0))
    assert (x.item(), y.item()) == (pytest.approx(23, abs=1e-9), pytest.approx(-4, abs=1e-9))


def test_reference_point_of_a_row_does_not_depend_on_the_rows_beside_it():
    draw = Random(8, 40)
    lens, eta = draw.lens("cluster"), draw.in_disc(0, 40)
    together = np.stack(apparent_position(lens, *eta))
    for row in range(0, 40, 7):
        one = np.array([row])
        alone = apparent_position(take(lens, one), eta[0][one], eta[1][one])
        assert np.array_equal(np.stack(alone)[:, 0], together[:, row])


# ---------------------------------------------------------------- where the iteration itself does not arrive


@dataclass(frozen=True)
class Softened(CentredLens):
    """A lens that is known by its potential alone: an isothermal sphere with a core."""

    einstein_radius: Array
    core: Array

    def potential(self, x, y):
        return self.einstein_radius * series.sqrt(x * x + y * y + self.core**2)


def angles_of(seed: int, count: int) -> np.ndarray:
    """Radians: along the axes and diagonals, and a random one for every two of them."""
    rng = np.random.default_rng(seed)
    on_axis = rng.integers(0, 8, count) * (np.pi / 4)
    return np.where(np.arange(count) % 3 == 0, rng.uniform(0, 2 * np.pi, count), on_axis)


def hard_lens(kind: str, seed: int, count: int):
    """Lenses of a kind, or a cluster of kinds; half of the angles of SIEs are multiples of 45°."""
    draw = Random(seed, count)

    def one(kind: str):
        theta = draw.uniform(2, 75)
        if kind == "PM":
            return PointMass(theta)
        if kind == "SIS":
            return SIS(theta)
        if kind == "softened":
            return Softened(theta, 10 ** draw.uniform(-4, 1.5))
        ratio = np.where(np.arange(count) % 5 == 0, 1.0, 10 ** draw.uniform(-3, 0))
        return SIE(theta, ratio, np.degrees(angles_of(seed, count)))

    lenses = tuple(one(kind) for kind in kind.split())
    if len(lenses) == 1:
        return lenses[0]
    x, y = zip(*(draw.in_disc(0, 60) for _ in lenses), strict=True)
    return Cluster(lenses, x, y)


def assert_solved(lens, eta) -> None:
    """Finite, below a billionth of a pixel, and with amplitudes."""
    xi = apparent_position(lens, *eta)
    assert np.isfinite(np.stack(xi)).all()
    assert furthest_miss(lens, xi, eta) < 1e-9
    assert solved(lens, *xi, *eta).all()
    assert np.isfinite(np.stack(amplitudes(lens, *xi, 4))).all()


COMPILED = ("PM", "SIS", "SIE", "PM PM", "SIS SIS SIS", "SIE PM", "PM SIE SIS", "PM PM PM PM")
kinds = st.sampled_from(COMPILED)
seeds = st.integers(0, 10**6)


@settings(max_examples=60, deadline=None)
@given(kinds, seeds, st.sampled_from(NEAR))
def test_sources_near_each_lens_centre_have_reference_points(kind, seed, distance):
    lens = hard_lens(kind, seed, 10)
    for cx, cy in lens.centres():
        angle = angles_of(seed, 10)
        assert_solved(lens, (cx + distance * np.cos(angle), cy + distance * np.sin(angle)))


@settings(max_examples=40, deadline=None)
@given(kinds, seeds, st.sampled_from((0.0, 1e-12, 1e-9, 1e-6, 1e-3)))
def test_sources_on_caustics_have_reference_points(kind, seed, distance):
    rows, lens, eta = on_caustics(hard_lens(kind, seed, 15), seed)
    if len(rows):
        assert_solved(lens, tuple(axis + distance * np.random.default_rng(seed).normal(size=len(rows)) for axis in eta))


@settings(max_examples=40, deadline=None)
@given(kinds, seeds, st.sampled_from((1e-9, 1e-3, 1.0, 40.0, 1e4)))
def test_sources_on_the_axes_have_reference_points(kind, seed, reach):
    lens = hard_lens(kind, seed, 10)
    along, zero = np.random.default_rng(seed).uniform(-reach, reach, 10), np.zeros(10)
    assert_solved(lens, (along, zero))
    assert_solved(lens, (zero, along))


@pytest.mark.parametrize("kind", ["softened", "softened PM"])
@pytest.mark.parametrize("distance", [0.0, 1e-9, 1e-3])
def test_lenses_known_by_their_potential_alone_have_reference_points_near_centres_and_caustics(kind, distance):
    lens, angle = hard_lens(kind, 3, 10), angles_of(3, 10)
    for cx, cy in lens.centres():
        assert_solved(lens, (cx + distance * np.cos(angle), cy + distance * np.sin(angle)))
    rows, on_caustic, eta = on_caustics(lens, 3)
    assert len(rows) > 2
    assert_solved(on_caustic, tuple(axis + distance for axis in eta))


def on_caustics(lens, seed: int):
    """Rows that have a critical curve on a ray from a centre, their lenses, and the source of a point of it."""
    count = len(lens.centres()[0][0])
    angle, which = angles_of(seed + 1, count), np.random.default_rng(seed).integers(0, len(lens.centres()))
    cx, cy = lens.centres()[which]

    def place(radius):
        return cx + radius * np.cos(angle), cy + radius * np.sin(angle)

    def is_inside(radius):
        kappa, gamma1, gamma2 = convergence_and_shear(lens, *place(radius))
        return (1 - kappa) ** 2 - gamma1**2 - gamma2**2 < 0

    low, high = np.zeros(count), np.zeros(count)
    for radius in np.geomspace(1e-3, 500, 100):
        inside = is_inside(np.full(count, radius))
        low = np.where(inside, radius, low)
        high = np.where(inside, 1.2 * radius, high)
    crossed = low > 0
    for _ in range(80):
        middle = 0.5 * (low + high)
        inside = is_inside(middle)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    (rows,) = np.nonzero(crossed)
    lens, x, y = take(lens, rows), *(axis[rows] for axis in place(low))
    dx, dy = lens.deflection(x, y)
    return rows, lens, (x - dx, y - dy)


@pytest.mark.parametrize("distance", [1e-300, 1e-12, 1e-9, 1e-6, 1e-3])
def test_source_near_a_point_mass_appears_at_the_larger_root_in_its_direction(distance):
    theta, angle = 30.0, angles_of(1, 9)
    eta = distance * np.cos(angle), distance * np.sin(angle)
    xi = apparent_position(PointMass(np.full(9, theta)), *eta)
    radius = 0.5 * (distance + np.sqrt(distance**2 + 4 * theta**2))
    np.testing.assert_allclose(np.hypot(*xi), radius, rtol=0, atol=1e-11)
    # Around the ring the equation holds to distance·angle, so that only a small residual fixes the direction.
    if distance >= 1e-6:
        np.testing.assert_allclose(np.stack(xi), radius * np.stack([np.cos(angle), np.sin(angle)]), atol=1e-3)
    exact = brentq(lambda r: r - theta**2 / r - distance, 29, 31, xtol=1e-13)
    assert radius == pytest.approx(exact, abs=1e-12)


def test_source_a_billionth_of_a_pixel_beside_a_point_mass_appears_on_its_side_of_the_ring():
    x, y = apparent_position(PointMass(numbers(30.0)), numbers(1e-9), numbers(0.0))
    assert x.item() == pytest.approx(30.0000000005, abs=1e-12)
    assert y.item() == 0


def test_reference_point_of_a_cluster_is_a_minimum_of_the_arrival_time():
    cluster = Cluster(
        (PointMass(numbers(40.0)), SIS(numbers(20.0))),
        (numbers(3.0), numbers(-25.0)),
        (numbers(-4.0), numbers(10.0)),
    )
    eta = numbers(3.0 + 6e-10), numbers(-4.0 - 8e-10)
    xi = np.concatenate(apparent_position(cluster, *eta))

    def arrival_time(point):
        x, y = numbers(point[0]), numbers(point[1])
        return (0.5 * ((x - eta[0]) ** 2 + (y - eta[1]) ** 2) - cluster.potential(x, y)).item()

    found = minimize(
        arrival_time, xi + numbers(0.3, -0.2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12}
    )
    np.testing.assert_allclose(found.x, xi, atol=1e-4)


@pytest.mark.parametrize("kind", COMPILED)
def test_hard_rows_have_the_same_reference_points_in_every_engine(kind, monkeypatch):
    lens, angle = hard_lens(kind, 4, 8), angles_of(4, 8)
    cx, cy = lens.centres()[-1]
    eta = cx + 1e-9 * np.cos(angle), cy + 1e-9 * np.sin(angle)
    compiled = np.stack(apparent_position(lens, *eta))
    in_torch = apparent_position(move(lens, "cpu"), *map(torch.from_numpy, eta))
    np.testing.assert_array_equal(torch.stack(in_torch).numpy(), compiled)
    monkeypatch.setattr(lens_equation, "is_numpy", lambda _: False)  # nothing compiled
    np.testing.assert_array_equal(np.stack(apparent_position(lens, *eta)), compiled)


def test_row_without_a_solution_is_told_by_solved():
    lens, eta = PointMass(numbers(30.0, 30.0, np.nan)), (numbers(1.0, np.inf, 1.0), numbers(0.0, 0.0, 0.0))
    xi = apparent_position(lens, *eta)
    assert solved(lens, *xi, *eta).tolist() == [True, False, False]


def test_centre_of_a_singular_lens_is_no_solution():
    zero, theta = numbers(0.0), numbers(20.0)
    assert not solved(SIS(theta), zero, zero, zero, zero).any()
    assert solved(Softened(numbers(1.0), numbers(2.0)), zero, zero, zero, zero).all()


@pytest.mark.parametrize("distance", [0.0, 1e-9, 1e-3, 100.0])
@pytest.mark.parametrize("kind", LENSES)
def test_sampled_lens_has_reference_points_near_its_centre_and_beyond_its_map(kind, distance):
    draw = Random(7, 8)
    lens = Sampled.of(draw.lens(kind, (10, 30), (0.3, 1)), 8, 128)
    angle = angles_of(6, 8)
    eta = distance * np.cos(angle), distance * np.sin(angle)
    assert furthest_miss(lens, apparent_position(lens, *eta), eta) < 1e-9


def test_sampled_cluster_with_a_centre_on_a_pixel_has_a_potential_everywhere():
    parts = tuple(SIE(numbers(theta), numbers(0.5), numbers(30.0)) for theta in (20.0, 10.0))
    lens = Sampled.of(Cluster(parts, (numbers(3.0), numbers(-7.0)), (numbers(-4.0), numbers(5.0))), 1, 64)
    assert np.isfinite(lens.map.psi.numbers).all()
    assert_solved(lens, (numbers(1.0), numbers(2.0)))
