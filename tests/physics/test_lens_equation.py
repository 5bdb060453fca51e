"""The reference point ξ₀ solves the lens equation, and is the solution that plain iteration reaches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from random_scenes import LENSES, Random, numbers

from droulette.physics.amplitudes import amplitudes, critical_radius
from droulette.physics.batches import take
from droulette.physics.lens_equation import apparent_position, residual
from droulette.physics.lenses import SIE, SIS, CentredLens, Cluster, PointMass
from droulette.physics.sampled import Sampled
from droulette.physics.series import sqrt


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


# ---------------------------------------------------------------- where the iteration leaps, or stands still

DISTANCES = (0.0, 1e-12, 1e-9, 1e-6, 1e-3)
COUNT = 400


@dataclass(frozen=True)
class Softened(CentredLens):
    einstein_radius: np.ndarray
    core: np.ndarray

    def potential(self, x, y):
        return self.einstein_radius * sqrt(x * x + y * y + self.core**2)


def lens_of(kind: str, random: Random):
    if kind == "flat SIE":
        return SIE(random.uniform(2.5, 75), 10 ** random.uniform(-3, 0), random.uniform(0, 180))
    if kind == "almost round SIE":
        return SIE(random.uniform(2.5, 75), 1 - 10 ** random.uniform(-9, -2), random.uniform(0, 180))
    if kind == "Softened":
        return Softened(random.uniform(2.5, 75), random.uniform(0.1, 5))
    if kind == "cluster of point masses":
        parts = random.lens("PM"), random.lens("SIE"), random.lens("PM")
        return Cluster(parts, *(tuple(random.uniform(-30, 30) for _ in parts) for _ in range(2)))
    return random.lens(kind, (2.5, 75))


KINDS = (*LENSES, "flat SIE", "almost round SIE", "Softened", "cluster of point masses")


def assert_solved(lens, eta_x: np.ndarray, eta_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    xi = apparent_position(lens, eta_x, eta_y)
    assert np.isfinite(xi).all()
    assert np.hypot(*residual(lens, *xi, eta_x, eta_y)).max() < 1e-9
    for found in amplitudes(lens, *xi, 4):
        assert np.isfinite(found).all()
    return xi


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("kind", KINDS)
def test_sources_beside_each_centre_have_a_reference_point(kind, distance):
    random = Random(21, COUNT)
    lens, angle = lens_of(kind, random), random.uniform(0, 2 * np.pi)
    for cx, cy in lens.centres():
        assert_solved(lens, cx + distance * np.cos(angle), cy + distance * np.sin(angle))


@pytest.mark.parametrize("kind", KINDS)
def test_sources_on_axes_and_far_away_have_a_reference_point(kind):
    random, zero = Random(22, COUNT), np.zeros(COUNT)
    lens = lens_of(kind, random)
    assert_solved(lens, random.uniform(-60, 60), zero)
    assert_solved(lens, zero, random.uniform(-60, 60))
    assert_solved(lens, random.uniform(-5000, 5000), random.uniform(-90_000, 90_000))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("flat SIE", "almost round SIE")])
def test_sources_on_caustics_have_a_reference_point(kind):
    random = Random(23, COUNT)
    lens, phi = lens_of(kind, random), random.uniform(0, 360)
    radius = critical_radius(lens, phi, np.full(COUNT, 400.0))
    rows = np.flatnonzero(radius > 0)
    assert len(rows) > COUNT / 3 and np.isfinite(radius).all()
    lens, x, y = take(lens, rows), *(radius * wave(np.deg2rad(phi)) for wave in (np.cos, np.sin))
    dx, dy = lens.deflection(x[rows], y[rows])
    assert_solved(lens, x[rows] - dx, y[rows] - dy)


def test_a_point_mass_beside_its_source_has_the_closed_solution():
    eta = np.array([1e-12, 1e-9, 1e-6, 1e-3, 1.0, 50.0])
    x, y = assert_solved(PointMass(np.full(6, 30.0)), eta, np.zeros(6))
    np.testing.assert_allclose(x, (eta + np.sqrt(eta**2 + 4 * 30.0**2)) / 2, rtol=1e-14)
    assert x[1] == pytest.approx(30.0000000005, abs=1e-12) and not y.any()


def test_what_has_no_solution_is_not_a_number():
    class Nothing(Softened):
        def deflection(self, x, y):
            return x + 1.0, y * 0.0  # ξ − ∇ψ(ξ) is −1 in x everywhere

    found = apparent_position(Nothing(np.full(2, 5.0), np.full(2, 1.0)), np.array([3.0, -1.0]), np.zeros(2))
    assert np.isnan(found[0][0]) and np.isfinite(found[0][1])
