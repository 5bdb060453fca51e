"""Amplitudes of any order against arbitrary precision, their laws, and what low orders must be."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scenes import LENSES, Random, numbers

from droulette.physics.amplitudes import amplitudes, convergence_and_shear, critical_radius, orders
from droulette.physics.lenses import SIE, SIS, Cluster, Lens, PointMass

HIGHEST = 10


def exact_potential(lens: Lens, x: mp.mpf, y: mp.mpf) -> mp.mpf:
    """ψ of the first lens of a batch as printed in the literature, in mpmath's precision."""
    theta = None if isinstance(lens, Cluster) else mp.mpf(lens.einstein_radius[0].item())
    if isinstance(lens, Cluster):
        centres = zip(lens.lenses, lens.x, lens.y, strict=True)
        return mp.fsum(exact_potential(k, x - cx[0].item(), y - cy[0].item()) for k, cx, cy in centres)
    radius = mp.sqrt(x * x + y * y)
    if isinstance(lens, PointMass):
        return theta**2 * mp.log(radius)
    f = mp.mpf(lens.axis_ratio[0].item()) if isinstance(lens, SIE) else mp.mpf(1)
    if f == 1:
        return theta * radius
    angle = mp.radians(mp.mpf(lens.orientation[0].item()))
    u, v = x * mp.cos(angle) + y * mp.sin(angle), y * mp.cos(angle) - x * mp.sin(angle)
    f_prime = mp.sqrt(1 - f * f)
    return theta * mp.sqrt(f) / f_prime * (u * mp.asinh(f_prime * u / (f * radius)) + v * mp.asin(f_prime * v / radius))


def exact_amplitudes(lens: Lens, x: float, y: float) -> dict[str, list[float]]:
    """All α and β up to HIGHEST: Fourier coefficients of forward differences with a step of 1e-20."""
    with mp.workdps(20 * (HIGHEST + 1) + 40):
        count, step = 2 * (HIGHEST + 2), mp.mpf(10) ** -20
        steps = [k * step for k in range(HIGHEST + 2)]
        angles = [2 * mp.pi * k / count for k in range(count)]
        derivatives = []
        for cos, sin in ((mp.cos(angle), mp.sin(angle)) for angle in angles):
            values = [exact_potential(lens, x + t * cos, y + t * sin) for t in steps]
            derivatives.append([mp.difference(values, n) / step**n for n in range(HIGHEST + 2)])
        result: dict[str, list[float]] = {"alpha": [], "beta": []}
        for m, s in orders(HIGHEST):
            for name, wave in (("alpha", mp.cos), ("beta", mp.sin)):
                terms = (d[m + 1] * wave(s * a) for d, a in zip(derivatives, angles, strict=True))
                result[name].append(float(-mp.fsum(terms) * (2 if s else 1) / count))
        return result


def examples() -> dict[str, Lens]:
    cluster = Cluster(
        (SIS(numbers(11.0)), SIE(numbers(17.3), numbers(0.35), numbers(71.0)), PointMass(numbers(8.1))),
        (numbers(-7.0), numbers(4.5), numbers(0.3)),
        (numbers(2.2), numbers(9.1), numbers(-12.0)),
    )
    sies = {f"SIE {f:g}": SIE(numbers(23.7), numbers(f), numbers(33.0)) for f in (0.1, 0.5, 0.9, 0.999999, 1.0)}
    return {"PM": PointMass(numbers(19.1)), "SIS": SIS(numbers(31.4)), "cluster": cluster} | sies


@pytest.mark.parametrize("name", examples())
@pytest.mark.parametrize("point", [(27.3, -11.9), (-1.4, 2.3), (0.0, 40.0)])
def test_amplitudes_to_order_10_equal_arbitrary_precision_derivatives(name, point):
    lens = examples()[name]
    alpha, beta = amplitudes(lens, numbers(point[0]), numbers(point[1]), HIGHEST)
    exact = exact_amplitudes(lens, *point)
    for order in range(HIGHEST + 1):
        terms = [k for k, (m, _) in enumerate(orders(HIGHEST)) if m == order]
        largest = max(abs(exact[kind][k]) for kind in exact for k in terms)
        for k in terms:
            assert abs(alpha[k].item() - exact["alpha"][k]) <= 1e-9 * largest
            assert abs(beta[k].item() - exact["beta"][k]) <= 1e-9 * largest


def test_amplitudes_of_a_cluster_are_the_sum_of_its_shifted_lenses():
    draw = Random(1, 50)
    cluster, (x, y) = draw.lens("cluster"), draw.in_disc(30, 90)
    alpha, beta = amplitudes(cluster, x, y, 6)
    parts = [
        amplitudes(lens, x - cx, y - cy, 6) for lens, cx, cy in zip(cluster.lenses, cluster.x, cluster.y, strict=True)
    ]
    np.testing.assert_allclose(alpha, sum(a for a, _ in parts), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(beta, sum(b for _, b in parts), rtol=1e-10, atol=1e-14)


def rotated(lens: Lens, degrees: float) -> Lens:
    if isinstance(lens, SIE):
        return SIE(lens.einstein_radius, lens.axis_ratio, lens.orientation + degrees)
    if isinstance(lens, Cluster):
        centres = [turn(x, y, degrees) for x, y in lens.centres()]
        return Cluster(tuple(rotated(part, degrees) for part in lens.lenses), *zip(*centres, strict=True))
    return lens


def turn(x, y, degrees):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return x * cos - y * sin, x * sin + y * cos


def mirrored(lens: Lens) -> Lens:
    if isinstance(lens, SIE):
        return SIE(lens.einstein_radius, lens.axis_ratio, -lens.orientation)
    if isinstance(lens, Cluster):
        return Cluster(tuple(map(mirrored, lens.lenses)), lens.x, tuple(-y for y in lens.y))
    return lens


def assert_same_amplitudes(found, expected) -> None:
    """To 1e-9 of the largest of each order."""
    order = np.array([m for m, _ in orders(5)])
    for m in range(6):
        scale = abs(np.concatenate([expected[0][order == m], expected[1][order == m]])).max()
        for one, other in zip(found, expected, strict=True):
            assert (abs((one - other)[order == m]) <= 1e-9 * scale).all()


scenes = st.tuples(st.sampled_from(LENSES), st.integers(0, 10_000))


@settings(max_examples=40, deadline=None)
@given(scenes, st.floats(-360, 360))
def test_rotating_the_scene_rotates_each_amplitude_s_times_as_far(scene, degrees):
    draw = Random(scene[1], 1)
    lens, (x, y) = draw.lens(scene[0]), draw.in_disc(60, 120)
    s = np.array([s for _, s in orders(5)])[:, None]
    alpha, beta = amplitudes(lens, x, y, 5)
    angle = np.deg2rad(s * np.float64(degrees))
    expected = alpha * np.cos(angle) - beta * np.sin(angle), alpha * np.sin(angle) + beta * np.cos(angle)
    assert_same_amplitudes(amplitudes(rotated(lens, degrees), *turn(x, y, degrees), 5), expected)


@settings(max_examples=40, deadline=None)
@given(scenes)
def test_mirroring_the_scene_flips_the_sign_of_every_beta(scene):
    draw = Random(scene[1], 1)
    lens, (x, y) = draw.lens(scene[0]), draw.in_disc(60, 120)
    alpha, beta = amplitudes(lens, x, y, 5)
    assert_same_amplitudes(amplitudes(mirrored(lens), x, -y, 5), (alpha, -beta))


@pytest.mark.parametrize("kind", LENSES)
def test_order_0_is_minus_the_deflection_and_order_1_minus_convergence_and_shear(kind):
    draw = Random(2, 100)
    lens, (x, y) = draw.lens(kind), draw.in_disc(60, 120)
    alpha, beta = amplitudes(lens, x, y, 1)
    dx, dy = lens.deflection(x, y)
    np.testing.assert_allclose(alpha[0], -dx, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(beta[0], -dy, rtol=1e-12, atol=1e-12)

    h = 1e-4
    (xx, yx), (xx_, yx_) = lens.deflection(x + h, y), lens.deflection(x - h, y)
    (xy, yy), (xy_, yy_) = lens.deflection(x, y + h), lens.deflection(x, y - h)
    psi_xx, psi_xy, psi_yy = (xx - xx_) / (2 * h), (xy - xy_) / (2 * h), (yy - yy_) / (2 * h)
    np.testing.assert_allclose((yx - yx_) / (2 * h), psi_xy, rtol=0, atol=1e-8)
    for found, expected in (
        (-alpha[1], (psi_xx + psi_yy) / 2),
        (-alpha[2], (psi_xx - psi_yy) / 2),
        (-beta[2], psi_xy),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_convergence_is_the_known_one_of_each_lens():
    draw = Random(3, 100)
    x, y = draw.in_disc(3, 90)
    pm, sis, sie = draw.lens("PM"), draw.lens("SIS"), draw.lens("SIE")
    angle = np.deg2rad(sie.orientation)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    f = sie.axis_ratio
    for lens, kappa in (
        (pm, np.zeros_like(x)),
        (sis, sis.einstein_radius / (2 * np.hypot(x, y))),
        (sie, sie.einstein_radius * np.sqrt(f) / (2 * np.hypot(u, f * v))),
    ):
        np.testing.assert_allclose(convergence_and_shear(lens, x, y)[0], kappa, rtol=1e-9, atol=1e-9)


def test_critical_radius_is_the_closed_one_of_pm_sis_and_sie():
    draw = Random(4, 30)
    phi = draw.uniform(0, 360)
    pm, sis, sie = draw.lens("PM"), draw.lens("SIS"), draw.lens("SIE")
    f, angle = sie.axis_ratio, np.deg2rad(phi - sie.orientation)
    for lens, radius, reach in (
        (pm, pm.einstein_radius, 2 * pm.einstein_radius),
        (sis, sis.einstein_radius, 2 * sis.einstein_radius),
        # κ = ½ where √(u² + f²v²) = θ_E √f
        (
            sie,
            sie.einstein_radius * np.sqrt(f) / np.hypot(np.cos(angle), f * np.sin(angle)),
            1.1 * sie.einstein_radius / np.sqrt(f),
        ),
    ):
        np.testing.assert_allclose(critical_radius(lens, phi, reach), radius, rtol=1e-9, atol=1e-9)


def test_critical_radius_is_found_where_the_search_falls_on_a_singular_centre():
    small = Cluster((SIS(numbers(0.1)),), (numbers(64.0),), (numbers(0.0),))
    assert critical_radius(small, numbers(0.0), numbers(128.0)).item() == pytest.approx(64.1, abs=1e-9)


def test_critical_radius_is_0_where_the_ray_crosses_no_critical_curve():
    aside = Cluster((SIS(numbers(3.0)),), (numbers(50.0),), (numbers(0.0),))
    assert critical_radius(aside, numbers(90.0), numbers(100.0)).item() == 0
    assert critical_radius(aside, numbers(0.0), numbers(100.0)).item() == pytest.approx(53, abs=1e-9)
