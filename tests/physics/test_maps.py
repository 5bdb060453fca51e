"""Lenses that are maps, beside closed forms of the lenses that made the maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from mapped import grid, mapped_scene, random_map, softened
from random_scenes import Random

from droulette.physics.amplitudes import amplitudes, convergence_and_shear, orders
from droulette.physics.arrays import Array
from droulette.physics.batches import take
from droulette.physics.lens_equation import apparent_position, residual, solved
from droulette.physics.lenses import CentredLens
from droulette.physics.maps import MOST_ORDER, Map, MappedPotential, MapRows, NoEinsteinRadius
from droulette.physics.series import Series, sqrt

SIZE, B, CORE, Q = 200, 20.0, 5.0, 0.8


@dataclass(frozen=True)
class Softened(CentredLens):
    """ψ = b √(x² + y²/q² + c²)."""

    einstein_radius: Array
    core: float
    q: float

    def potential(self, x, y):
        return self.einstein_radius * sqrt(x * x + y * y * (1 / self.q**2) + self.core**2)


def own_size(one: MappedPotential, count: int) -> Map:
    """A map as it is: neither stretched nor turned."""
    return Map(np.full(count, one.einstein_radius), np.zeros(count), MapRows.of([one], np.zeros(count, int)))


def errors_by_order(one: MappedPotential, lens: CentredLens, x: np.ndarray, y: np.ndarray) -> list[float]:
    """The median over points of |found − expected| / |expected|, as vectors of all amplitudes of an order."""
    found, expected = (np.stack(amplitudes(a, x, y, MOST_ORDER)) for a in (own_size(one, len(x)), lens))
    errors = []
    for order in range(MOST_ORDER + 1):
        of_order = [k for k, (m, _) in enumerate(orders(MOST_ORDER)) if m == order]
        off, size = (np.sqrt((a[:, of_order] ** 2).sum(axis=(0, 1))) for a in (found - expected, expected))
        errors.append(float(np.median(off / size)))
    return errors


def test_amplitudes_of_a_map_of_the_potential_are_those_of_its_lens():
    x, y = Random(1, 300).in_disc(8, 60)
    lens = Softened(np.full(300, B), CORE, Q)
    errors = errors_by_order(MappedPotential.of_potential(softened(SIZE, B, CORE, Q)[0]), lens, x, y)
    assert (np.array(errors) < [1e-11, 1e-9, 1e-7, 1e-5, 1e-4, 3e-3]).all()


def test_amplitudes_of_a_map_of_the_convergence_are_those_of_its_lens():
    """A lens whose mass is all in the map: the difference of two softened ones, and what is left beyond is little."""
    x, y = Random(2, 300).in_disc(8, 40)
    kappa = softened(SIZE, 3 * B, CORE, Q)[1] - softened(SIZE, 3 * B, 16.0, Q)[1]

    @dataclass(frozen=True)
    class Difference(CentredLens):
        einstein_radius: Array

        def potential(self, x, y):
            rr = x * x + y * y * (1 / Q**2)
            return self.einstein_radius * (sqrt(rr + CORE**2) - sqrt(rr + 16.0**2))

    errors = errors_by_order(MappedPotential.of_convergence(kappa), Difference(np.full(300, 3 * B)), x, y)
    assert (np.array(errors) < [3e-3, 3e-3, 1e-3, 1e-3, 1e-3, 3e-3]).all()


def test_deflection_of_a_gaussian_mass_has_nothing_around_it():
    """α = M (1 − exp(−R²/2s²)) / R, in the map, around it and beyond the grid."""
    x, y = grid(128)
    sigma, kappa0 = 10.0, 2.0
    one = MappedPotential.of_convergence(kappa0 * np.exp(-(x * x + y * y) / (2 * sigma**2)))
    mass = 2 * kappa0 * sigma**2
    for low, high, most in ((0, 50, 1e-5), (50, 64, 1e-7), (64, 200, 0.015), (200, 1e5, 2e-3)):
        px, py = Random(3, 200).in_disc(low, high)
        radius = np.hypot(px, py)
        expected = mass * (1 - np.exp(-(radius**2) / (2 * sigma**2))) / radius
        along_x, along_y = own_size(one, 200).deflection(px, py)
        outwards = (along_x * px + along_y * py) / radius
        assert (abs(outwards / expected - 1) < most).all()
        assert (abs(along_x * py - along_y * px) / radius < most * expected).all()


@pytest.mark.parametrize("what", [0, 1])
def test_einstein_radius_is_that_of_the_circle_with_a_mean_convergence_of_1(what):
    """α = b R / √(R² + c²) is R at √(b² − c²)."""
    make = (MappedPotential.of_potential, MappedPotential.of_convergence)[what]
    one = make(softened(SIZE, B, CORE)[what])
    assert one.einstein_radius == pytest.approx(np.sqrt(B**2 - CORE**2), rel=(1e-9, 2e-5)[what])


@pytest.mark.parametrize("values", [np.full((64, 64), 0.1), np.zeros((64, 64)), np.full((64, 64), 30.0)])
def test_a_map_without_an_einstein_radius_is_refused(values):
    with pytest.raises(NoEinsteinRadius):
        MappedPotential.of_convergence(values)


def test_a_stretched_and_turned_map_is_the_stretched_and_turned_lens():
    """s² ψ(ξ/s): the softened lens of s b and s c, whose minor axis points to `orientation`."""
    one, s, turn = MappedPotential.of_potential(softened(SIZE, B, CORE, 1 / Q)[0]), 1.7, 25.0
    lens = Map(np.full(50, s * one.einstein_radius), np.full(50, turn), MapRows.of([one], np.zeros(50, int)))
    x, y = Random(4, 50).in_disc(5, 100)
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    u, v = x * cos + y * sin, y * cos - x * sin
    root = np.sqrt(u * u + v * v * Q**2 + (s * CORE) ** 2)
    along_u, along_v = s * B * u / root, s * B * v * Q**2 / root
    expected = along_u * cos - along_v * sin, along_u * sin + along_v * cos
    np.testing.assert_allclose(lens.deflection(x, y), expected, rtol=0, atol=1e-6)


def test_deflection_is_the_gradient_of_the_potential_to_rounding():
    random = Random(5, 2000)
    lens = random_map(random)
    for low, high in ((0, 60), (60, 500)):
        x, y = random.in_disc(low, high)
        found = lens.deflection(x, y)
        along_x = lens.potential(Series.line(x, 1.0, 1), Series.line(y, 0.0, 1)).c[1]
        along_y = lens.potential(Series.line(x, 0.0, 1), Series.line(y, 1.0, 1)).c[1]
        np.testing.assert_allclose(found, (along_x, along_y), rtol=0, atol=2e-12)


def test_bounds_of_the_curvature_hold_and_are_not_idle():
    random = Random(6, 4000)
    lens = random_map(random)
    x, y = random.in_disc(0, 90)
    for distance in (0.5, 6.4, 12.0, 60.0):
        bound = lens.curvature(x, y, distance)
        worst = 0.0
        for _ in range(12):
            dx, dy = random.in_disc(0, distance)
            kappa, gamma1, gamma2 = convergence_and_shear(lens, x + dx, y + dy)
            worst = np.maximum(worst, abs(kappa) + np.hypot(gamma1, gamma2))
        assert (worst <= bound * (1 + 1e-9)).all()
        assert distance > 12 or np.median(bound / worst) < 6


def test_reference_points_are_found():
    random = Random(7, 1500)
    lens = random_map(random, (5, 50))
    eta = random.in_disc(0.1, 60)
    xi = apparent_position(lens, *eta)
    assert solved(lens, *xi, *eta).all()
    assert np.hypot(*residual(lens, *xi, *eta)).max() < 1e-9


def test_rows_do_not_depend_on_their_batch():
    lens = random_map(Random(8, 6))
    x, y = Random(9, 6).in_disc(0, 40)
    together = np.stack(lens.deflection(x, y))
    for k in range(6):
        one = np.array([k])
        np.testing.assert_array_equal(np.stack(take(lens, one).deflection(x[one], y[one])), together[:, one])


def test_derivatives_by_what_a_scene_has_are_those_of_differences():
    scene = mapped_scene(10, 1)
    lens, source = scene.mapping.lens, scene.source
    values = np.array(
        [
            *(lens.einstein_radius, lens.orientation, scene.mapping.eta_x, scene.mapping.eta_y),
            *(source.sigma, source.theta, source.luminosity),
        ]
    )[:, 0]
    x, y = (torch.linspace(-25, 30, 41, dtype=torch.float64) for _ in range(2))

    def total(numbers: torch.Tensor) -> torch.Tensor:
        from droulette.physics.batches import move

        theta, orientation, eta_x, eta_y, sigma, turn, luminosity = (n[None, None, None] for n in numbers)
        mass = Map(theta, orientation, move(lens.maps, "cpu"))
        light = type(source)(sigma, turn, luminosity, move(source.galaxies, "cpu"), torch.tensor(source.mirror))
        dx, dy = mass.deflection(x[None, :, None], y[None, None, :])
        return light.brightness(x[None, :, None] - eta_x - dx, y[None, None, :] - eta_y - dy).sum()

    numbers = torch.tensor(values, requires_grad=True)
    (found,) = torch.autograd.grad(total(numbers), numbers)
    for k, value in enumerate(values):
        step = 1e-5 * max(1.0, abs(value))
        ends = [
            total(torch.tensor(np.where(np.arange(len(values)) == k, v, values))) for v in (value - step, value + step)
        ]
        assert found[k].item() == pytest.approx((ends[1] - ends[0]).item() / (2 * step), rel=1e-4, abs=1e-3)
