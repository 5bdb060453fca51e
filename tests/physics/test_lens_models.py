"""The power law, halos and perturbations: potentials in arbitrary precision, printed formulas, laws, engines."""

from __future__ import annotations

import math
from functools import lru_cache

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scenes import ALONE, PERTURBATIONS, SUMS, Random, numbers
from test_rendering import every_pixel

from droulette.physics.amplitudes import amplitudes, convergence_and_shear, critical_radius, orders
from droulette.physics.batches import move
from droulette.physics.engines import programs
from droulette.physics.halos import (
    NFW,
    PJAFFE,
    EllipticalNFW,
    EllipticalPJAFFE,
    Hernquist,
    alpha_at_scale_radius,
    hernquist_sigma0,
    pjaffe_sigma0,
)
from droulette.physics.lens_equation import apparent_position, residual, solved
from droulette.physics.lenses import LENSES as MODELS
from droulette.physics.lenses import Cluster, Lens
from droulette.physics.mappings import Raytrace
from droulette.physics.perturbations import Convergence, Multipole3, Multipole4, Shear
from droulette.physics.power_law import EPL
from droulette.physics.rendering import centre_of_light, render
from droulette.physics.scene import Sampling, Scenes
from droulette.physics.sources import Spherical

EACH = (*ALONE, *PERTURBATIONS)
HIGHEST = 10
POINTS = 20  # of the circle on which a potential is evaluated

# ---------------------------------------------------------------- potentials in arbitrary precision


def exact_potential(lens: Lens):
    """ψ of the first lens of a batch, of mpmath's complex numbers, as it is printed in the literature."""
    values = {q.name: mp.mpf(getattr(lens, q.name)[0].item()) for q in lens.parameters}
    theta, f = values.get("einstein_radius"), values.get("axis_ratio", mp.mpf(1))
    angle = mp.radians(values.get("orientation", mp.mpf(0)))

    def turned(x, y):
        return x * mp.cos(angle) + y * mp.sin(angle), y * mp.cos(angle) - x * mp.sin(angle)

    def squared(x, y):
        u, v = turned(x, y)
        return 2 * (u * u + f * f * v * v) / (1 + f * f)

    def power_law(x, y):  # Tessore & Metcalf (2015), eqs. 13, 15 and 29
        t, q = values["slope"] - 1, (1 - f) / (1 + f)
        b, (u, v) = theta * mp.sqrt(f), turned(x, y)
        square = u * u + f * f * v * v
        terms = angular_terms(t, q)

        def alpha(i):
            z = f * v + i * u
            return z * mp.polyval(terms, z / (f * v - i * u))

        scale = 2 / (1 + f) * (b * b / square) ** (t / 2)
        return scale * ((v - 1j * u) * alpha(1j) + (v + 1j * u) * alpha(-1j)) / 2 / (2 - t)

    def rounded(radial):
        return lambda x, y: radial(squared(x, y))

    def multipole(m):
        def potential(x, y):
            plus, minus, radius = (x + 1j * y) ** m, (x - 1j * y) ** m, mp.sqrt(x * x + y * y)
            wave = values[f"a{m}"] * (plus + minus) / 2 + values[f"b{m}"] * (plus - minus) / 2j
            return theta * wave / radius ** (m - 1) / (1 - m * m)

        return potential

    match lens:
        case EPL():
            return power_law
        case NFW() | EllipticalNFW():
            scale = values["scale_radius"]
            mass = normalised(lambda x: 4 * (mp.log(x / 2) + arc(x)) / x, theta / scale)
            return rounded(lambda square: mass * theta * scale * nfw_shape(mp.sqrt(square) / scale))
        case Hernquist():
            scale = values["scale_radius"]
            mass = normalised(lambda x: 2 * x * (1 - arc(x)) / (x * x - 1), theta / scale)
            return rounded(
                lambda square: mass * theta * scale * (mp.log(square / scale**2 / 4) + 2 * arc(mp.sqrt(square) / scale))
            )
        case PJAFFE() | EllipticalPJAFFE():
            core, cut = values["core_radius"], mp.mpf(lens.cut[0].item())
            return rounded(jaffe_potential(theta, core, cut))
        case Multipole3() | Multipole4():
            return multipole(lens.m)
        case Shear():
            return lambda x, y: values["gamma1"] * (x * x - y * y) / 2 + values["gamma2"] * x * y
        case Convergence():
            return lambda x, y: values["kappa_ext"] * (x * x + y * y) / 2
    raise AssertionError(lens)


@lru_cache
def angular_terms(t: mp.mpf, q: mp.mpf) -> list[mp.mpf]:
    """Of the series of 2F1(1, t/2; 2 − t/2; −q z) in z, the highest power first."""
    terms = [mp.mpf(1)]
    while abs(terms[-1]) > mp.eps:
        n = len(terms)
        terms.append(-q * (2 * n - (2 - t)) / (2 * n + (2 - t)) * terms[-1])
    return terms[::-1]


def normalised(deflection, x: mp.mpf) -> mp.mpf:
    """What a deflection is multiplied with to be 1 at x."""
    return 1 / deflection(x)


def arc(x):
    """arcosh(1/x) / √(1 − x²), as the analytic function that it is."""
    root = mp.sqrt(1 - x * x)
    return mp.atanh(root) / root if root else mp.mpf(1)


def nfw_shape(x):
    return 2 * (mp.log(x / 2) ** 2 - (1 - x * x) * arc(x) ** 2)


def jaffe_potential(theta, core, cut):
    """Elíasdóttir et al. (2007), eqs. A20 and A26."""
    at = [mp.sqrt(theta**2 + radius**2) for radius in (core, cut)]
    scale = theta / (theta / (core + at[0]) - theta / (cut + at[1]))

    def radial(square):
        inner, outer = mp.sqrt(square + core**2), mp.sqrt(square + cut**2)
        return -scale * (outer - inner + core * mp.log(core + inner) - cut * mp.log(cut + outer))

    return radial


def exact_amplitudes(lens: Lens, x: float, y: float, radius: float) -> dict[str, list[float]]:
    """All α and β up to HIGHEST, by Cauchy's integral over a circle of complex steps along half of the directions."""
    result: dict[str, list[float]] = {"alpha": [], "beta": []}
    with mp.workdps(60):
        potential, count, radius = exact_potential(lens), HIGHEST + 2, mp.mpf(radius)
        angles = [mp.pi * k / count for k in range(count)]
        derivatives = []
        for angle in angles:
            # ψ is real on the real line: its values on the lower half of the circle are conjugates of these.
            steps = [radius * mp.expjpi(mp.mpf(2 * k) / POINTS) for k in range(POINTS // 2 + 1)]
            values = [potential(x + step * mp.cos(angle), y + step * mp.sin(angle)) for step in steps]
            coefficients = []
            for n in range(HIGHEST + 2):
                waves = [(value * mp.expjpi(-mp.mpf(2 * k * n) / POINTS)).real for k, value in enumerate(values)]
                coefficients.append((2 * mp.fsum(waves) - waves[0] - waves[-1]) / POINTS / radius**n)
            derivatives.append(coefficients)
        for m, s in orders(HIGHEST):
            for name, wave in (("alpha", mp.cos), ("beta", mp.sin)):
                terms = [d[m + 1] * wave(s * a) for d, a in zip(derivatives, angles, strict=True)]
                result[name].append(float(-mp.factorial(m + 1) * mp.fsum(terms) * (2 if s else 1) / count))
    return result


def epl(f: float, slope: float) -> EPL:
    return EPL(numbers(23.7), numbers(f), numbers(33.0), numbers(slope))


POWER_LAWS = {f"EPL {f:g} {slope:g}": epl(f, slope) for f, slope in (
    (0.1, 2.0), (0.1, 1.2), (0.1, 2.8), (0.6, 1.8), (0.6, 2.0), (0.6, 2.9), (0.6, 1.05), (0.6, 2.999), (0.9, 2.2),
    (0.999999, 1.9), (1.0, 2.0), (1.0, 2.3),
)}  # fmt: skip
OTHERS = {
    "EllipticalNFW": EllipticalNFW(numbers(23.7), numbers(0.6), numbers(33.0), numbers(40.0)),
    "EllipticalPJAFFE": EllipticalPJAFFE(numbers(23.7), numbers(0.6), numbers(33.0), numbers(1.5), numbers(60.0)),
    "PJAFFE": PJAFFE(numbers(23.7), numbers(4.0), numbers(50.0)),
    "PJAFFE reversed": PJAFFE(numbers(23.7), numbers(50.0), numbers(4.0)),
    "PJAFFE of equal radii": PJAFFE(numbers(23.7), numbers(10.0), numbers(10.0)),
    "PJAFFE without a core": PJAFFE(numbers(23.7), numbers(0.0), numbers(50.0)),
    "Shear": Shear(numbers(0.07), numbers(-0.04)),
    "Convergence": Convergence(numbers(-0.08)),
    "Multipole3": Multipole3(numbers(23.7), numbers(0.03), numbers(-0.05)),
    "Multipole4": Multipole4(numbers(23.7), numbers(-0.02), numbers(0.04)),
}
# R / r_s: at and beside the scale radius, and where formulas change
SCALED = (1e-6, 1e-3, 0.4, 0.5 - 1e-9, 0.5, 0.7, 0.99, 1 - 1e-7, 1.0, 1 + 1e-9, 1 + 1e-7, 1.05, 1.6, 2.5, 8.0, 1e3)


def assert_exact_amplitudes(lens: Lens, x: float, y: float) -> None:
    f = getattr(lens, "axis_ratio", numbers(1.0)).item()
    exact = exact_amplitudes(lens, x, y, 0.01 * f * math.hypot(x, y))
    alpha, beta = amplitudes(lens, numbers(x), numbers(y), HIGHEST)
    for order in range(HIGHEST + 1):
        terms = [k for k, (m, _) in enumerate(orders(HIGHEST)) if m == order]
        if lens.regular and order > 1:  # their potentials are of the second degree
            assert all(alpha[k].item() == beta[k].item() == 0 for k in terms)
            continue
        largest = max(abs(exact[kind][k]) for kind in exact for k in terms)
        for k in terms:
            assert abs(alpha[k].item() - exact["alpha"][k]) <= 1e-9 * largest, (order, k)
            assert abs(beta[k].item() - exact["beta"][k]) <= 1e-9 * largest, (order, k)


@pytest.mark.parametrize("point", [(27.3, -11.9), (-1.4, 2.3), (0.0, 40.0)])
@pytest.mark.parametrize("name", [*POWER_LAWS, *OTHERS])
def test_amplitudes_to_order_10_equal_arbitrary_precision_derivatives(name, point):
    assert_exact_amplitudes((POWER_LAWS | OTHERS)[name], *point)


@pytest.mark.parametrize("scaled", SCALED)
@pytest.mark.parametrize("model", [NFW, Hernquist])
def test_amplitudes_are_right_on_both_sides_of_the_scale_radius_at_it_and_far_from_it(model, scaled):
    lens = model(numbers(23.7), numbers(16.0))
    assert_exact_amplitudes(lens, 16.0 * scaled * 0.8, 16.0 * scaled * 0.6)


@pytest.mark.parametrize("name", [*POWER_LAWS, *OTHERS, "NFW", "Hernquist"])
def test_potential_is_the_printed_formula(name):
    halos = {kind: MODELS[kind](numbers(23.7), numbers(16.0)) for kind in ("NFW", "Hernquist")}
    lens, rng = (POWER_LAWS | OTHERS | halos)[name], np.random.default_rng(4)
    with mp.workdps(40):
        exact = exact_potential(lens)
        for x, y in rng.normal(0, 20, (10, 2)):
            # A potential has no zero level: two differ by a constant.
            expected = exact(mp.mpf(x), mp.mpf(y)) - exact(mp.mpf(3), mp.mpf(4))
            found = lens.potential(numbers(x), numbers(y)) - lens.potential(numbers(3.0), numbers(4.0))
            assert found.item() == pytest.approx(float(mp.re(expected)), rel=1e-11, abs=1e-11)


# ---------------------------------------------------------------- printed formulas


def printed_convergence(lens: Lens, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    square = x * x + y * y
    match lens:
        case EPL():
            angle = np.deg2rad(lens.orientation)
            u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            ratio = lens.einstein_radius * np.sqrt(lens.axis_ratio) / np.hypot(u, lens.axis_ratio * v)
            return (3 - lens.slope) / 2 * ratio ** (lens.slope - 1)
        case NFW():  # Bartelmann (1996), A&A 313, 697
            inside = np.sqrt(square) / lens.scale_radius
            density = lens_constant(lens.einstein_radius, alpha_at_scale_radius, lens.scale_radius)
            return 2 * density * (1 - mp_arc(inside)) / (inside**2 - 1)
        case Hernquist():  # Keeton (2001), eq. 47
            inside, sigma0 = square / lens.scale_radius**2, hernquist_sigma0(lens.einstein_radius, lens.scale_radius)
            return sigma0 / (inside - 1) ** 2 * ((2 + inside) * mp_arc(np.sqrt(inside)) - 3)
        case PJAFFE():
            core, cut = lens.core_radius, lens.cut_radius
            sigma0 = pjaffe_sigma0(lens.einstein_radius, core, cut)
            return sigma0 * core * cut / (cut - core) * (1 / np.sqrt(core**2 + square) - 1 / np.sqrt(cut**2 + square))
        case Shear():
            return 0 * x
        case Convergence():
            return 0 * x + lens.kappa_ext
    a, b = lens.components()
    phi = np.arctan2(y, x)
    return lens.einstein_radius / (2 * np.sqrt(square)) * (a * np.cos(lens.m * phi) + b * np.sin(lens.m * phi))


def lens_constant(theta, conversion, scale):
    """ρ₀ r_s of lenstronomy's NFW: alpha_Rs = 4 ρ₀ r_s² (1 − ln 2)."""
    return conversion(theta, scale) / (4 * scale * (1 - math.log(2)))


def mp_arc(x: np.ndarray) -> np.ndarray:
    return np.array([float(mp.re(arc(mp.mpf(value)))) for value in x])


@pytest.mark.parametrize("kind", [k for k in EACH if not k.startswith("Elliptical")])
def test_convergence_is_the_printed_one(kind):
    draw = Random(3, 60)
    lens, (x, y) = draw.lens(kind), draw.in_disc(3, 90)
    found = convergence_and_shear(lens, x, y)[0]
    np.testing.assert_allclose(found, printed_convergence(lens, x, y), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["EllipticalNFW", "EllipticalPJAFFE"])
def test_elliptical_lens_has_the_potential_of_the_round_one_at_a_stretched_point(kind):
    """As lenstronomy's `transform_e1e2_square_average` takes it, with the major axis along orientation + 90°."""
    draw = Random(4, 60)
    lens, (x, y) = draw.lens(kind), draw.in_disc(3, 90)
    given = {q.name: getattr(lens, q.name) for q in lens.parameters if q.name not in ("axis_ratio", "orientation")}
    round_lens = MODELS[kind.removeprefix("Elliptical")](**given)
    phi, e = np.deg2rad(lens.orientation + 90), (1 - lens.axis_ratio**2) / (1 + lens.axis_ratio**2)
    along, across = x * np.cos(phi) + y * np.sin(phi), y * np.cos(phi) - x * np.sin(phi)
    expected = round_lens.potential(along * np.sqrt(1 - e), across * np.sqrt(1 + e))
    np.testing.assert_allclose(lens.potential(x, y), expected, rtol=1e-12)


def test_power_law_of_slope_2_is_the_sie():
    draw = Random(5, 500)
    sie, (x, y) = draw.lens("SIE"), draw.in_disc(0.1, 100)
    power_law = EPL(sie.einstein_radius, sie.axis_ratio, sie.orientation, x * 0.0 + 2.0)
    np.testing.assert_allclose(power_law.potential(x, y), sie.potential(x, y), rtol=1e-12)
    for one, other in zip(power_law.deflection(x, y), sie.deflection(x, y), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * sie.einstein_radius.max())


@pytest.mark.parametrize("f, error", [(0.1, 2e-13), (0.05, 1e-9), (0.02, 1e-5), (0.01, 1e-3)])
def test_deflection_of_a_flat_power_law_is_as_exact_as_it_says(f, error):
    draw = Random(6, 40)
    (x, y), slope = draw.in_disc(1, 60), draw.uniform(1.1, 2.9)
    u_only = np.arange(40) % 4 == 0  # on the minor axis, where the series converges most slowly
    x, y = np.where(u_only, np.hypot(x, y), x), np.where(u_only, 0.0, y)
    lens = EPL(x * 0.0 + 20.0, x * 0.0 + f, x * 0.0, slope)
    found = lens.deflection(x, y)
    for k in range(40):
        t, z = slope[k] - 1, mp.mpc(f * y[k], x[k])
        series = mp.hyp2f1(1, t / 2, 2 - t / 2, -(1 - f) / (1 + f) * z / z.conjugate())
        exact = 2 / (1 + f) * (20 * math.sqrt(f) / abs(z)) ** t * z * series
        assert abs(complex(found[1][k], found[0][k]) - complex(exact)) <= error * abs(exact)


def test_round_power_law_is_the_closed_one():
    draw = Random(7, 200)
    (x, y), slope = draw.in_disc(0.1, 100), draw.uniform(1.05, 2.95)
    theta, radius = draw.uniform(5, 40), np.hypot(x, y)
    for f in (1.0, 1 - 1e-15, 1 - 1e-9):
        dx, dy = EPL(theta, x * 0.0 + f, draw.uniform(0, 180), slope).deflection(x, y)
        expected = theta * (theta / radius) ** (slope - 2)
        np.testing.assert_allclose((dx * x + dy * y) / radius, expected, rtol=1e-8 if f < 1 - 1e-12 else 1e-13)


@pytest.mark.parametrize("kind", ["NFW", "Hernquist", "PJAFFE"])
def test_a_round_halo_deflects_by_its_einstein_radius_there(kind):
    draw = Random(8, 300)
    lens = draw.lens(kind, (0.01, 400))
    angle = draw.uniform(0, 6.3)
    dx, dy = lens.deflection(lens.einstein_radius * np.cos(angle), lens.einstein_radius * np.sin(angle))
    np.testing.assert_allclose(np.hypot(dx, dy), lens.einstein_radius, rtol=1e-13)


@pytest.mark.parametrize("model", [NFW, Hernquist])
@pytest.mark.parametrize("scaled", (*SCALED, 1e7))
def test_deflection_of_a_halo_is_exact_near_its_centre_its_scale_radius_and_far_away(model, scaled):
    lens = model(numbers(23.7), numbers(16.0))
    with mp.workdps(60):
        x, xe = mp.mpf(scaled), mp.mpf(23.7) / 16

        def shape(x):
            if model is NFW:
                return (mp.log(x / 2) + arc(x)) / x
            return mp.mpf(1) / 3 if x == 1 else x * (1 - arc(x)) / (x * x - 1)

        expected = mp.mpf(23.7) * shape(x) / shape(xe)
    assert lens.deflection(numbers(16 * scaled), numbers(0.0))[0].item() == pytest.approx(
        float(mp.re(expected)), rel=1e-12
    )


# ---------------------------------------------------------------- what holds for each


@pytest.mark.parametrize("kind", (*EACH, *SUMS))
def test_closed_deflection_is_the_gradient_of_the_potential(kind):
    draw = Random(1, 2000)
    lens, (x, y) = draw.lens(kind), draw.in_disc(1, 120)
    for part, _, _ in lens.parts():
        h = 1e-3
        ends = [part.potential(x + a, y + b) for a, b in ((h, 0), (-h, 0), (0, h), (0, -h))]
        differences = (ends[0] - ends[1]) / (2 * h), (ends[2] - ends[3]) / (2 * h)
        for closed, derived, other in zip(part.deflection(x, y), Lens.deflection(part, x, y), differences, strict=True):
            np.testing.assert_allclose(closed, derived, rtol=1e-11, atol=1e-11)
            np.testing.assert_allclose(closed, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", EACH)
def test_deflection_is_0_at_the_centre(kind):
    lens, zero = Random(2, 5).lens(kind), np.zeros(5)
    assert all((axis == 0).all() for axis in lens.deflection(zero, zero))


@pytest.mark.parametrize("kind", ["PJAFFE", "EllipticalPJAFFE", "Shear", "Convergence"])
def test_smooth_lenses_have_amplitudes_at_their_centre(kind):
    lens, zero = Random(2, 5).lens(kind), np.zeros(5)
    assert np.isfinite(np.stack(amplitudes(lens, zero, zero, HIGHEST))).all()
    if kind == "PJAFFE":
        core, cut = lens.core_radius, lens.cut_radius
        sigma0 = pjaffe_sigma0(lens.einstein_radius, core, cut)
        np.testing.assert_allclose(convergence_and_shear(lens, zero, zero)[0], sigma0, rtol=1e-9)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from((*EACH, *SUMS)), st.integers(0, 10_000), st.floats(0.1, 20))
def test_curvature_bounds_every_second_derivative_within_the_distance(kind, seed, distance):
    draw = Random(seed, 1)
    lens, (x, y) = draw.lens(kind), draw.in_disc(0, 80)
    bound = lens.curvature(x, y, distance)
    assert not np.isnan(bound).any()
    dx, dy = Random(seed, 400).in_disc(0, distance)
    count = np.zeros(400)
    wide = type(lens) if not isinstance(lens, Cluster) else None
    lens = wide(*(getattr(lens, q.name) + count for q in lens.parameters)) if wide else lens
    kappa, gamma1, gamma2 = convergence_and_shear(lens, x + dx, y + dy)
    assert (abs(kappa) + np.hypot(gamma1, gamma2) <= bound * (1 + 1e-9)).all()


@pytest.mark.parametrize("kind", ALONE)
def test_curvature_bound_is_not_idle(kind):
    draw = Random(9, 300)
    lens, (x, y) = draw.lens(kind, axis_ratio=(0.5, 1)), draw.in_disc(5, 80)
    kappa, gamma1, gamma2 = convergence_and_shear(lens, x, y)
    assert np.median(lens.curvature(x, y, 0.0) / (abs(kappa) + np.hypot(gamma1, gamma2))) < 1.6


@pytest.mark.parametrize("kind", ALONE)
def test_critical_curves_end_at_the_reach_on_the_major_axis(kind):
    draw = Random(10, 12)
    lens = draw.lens(kind)
    major = lens.orientation + 90 if hasattr(lens, "orientation") else draw.uniform(0, 360)
    reach = lens.reach()
    np.testing.assert_allclose(critical_radius(lens, major, 1.2 * reach), reach, rtol=1e-9)
    for phi in range(0, 180, 30):
        assert (critical_radius(lens, numbers(*[phi] * 12), 1.2 * reach, steps=64) <= reach * (1 + 1e-9)).all()


# ---------------------------------------------------------------- laws


def changed(lens: Lens, degrees: float = 0.0, mirror: bool = False, factor: float = 1.0) -> Lens:
    """The lens of the turned, mirrored (y → −y) or stretched scene, by what its parameters say of themselves."""
    values = {}
    given = {q.name: getattr(lens, q.name) for q in lens.parameters}
    for quantity in lens.parameters:
        value = given[quantity.name]
        if quantity.name == "orientation":
            value = value + degrees if not mirror else -value
        elif quantity.spin:
            angle, other = math.radians(quantity.spin * degrees), given[quantity.partner]
            sign = 1 if quantity.odd else -1
            value = value * math.cos(angle) + sign * other * math.sin(angle)
            value = -value if mirror and quantity.odd else value
        values[quantity.name] = value * factor**quantity.length
    return type(lens)(**values)


def turn(x, y, degrees):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return x * cos - y * sin, x * sin + y * cos


def assert_same_amplitudes(found, expected) -> None:
    """To 1e-9 of the largest of each order."""
    order = np.array([m for m, _ in orders(5)])
    for m in range(6):
        scale = abs(np.concatenate([expected[0][order == m], expected[1][order == m]])).max()
        for one, other in zip(found, expected, strict=True):
            assert (abs((one - other)[order == m]) <= 1e-9 * scale + 1e-25).all()


scenes = st.tuples(st.sampled_from(EACH), st.integers(0, 10_000))


def drawn(scene) -> tuple[Lens, tuple[np.ndarray, np.ndarray]]:
    draw = Random(scene[1], 1)
    return draw.lens(scene[0]), draw.in_disc(5, 120)


@settings(max_examples=80, deadline=None)
@given(scenes, st.floats(-360, 360))
def test_rotating_the_scene_rotates_each_amplitude_s_times_as_far(scene, degrees):
    lens, (x, y) = drawn(scene)
    s = np.array([s for _, s in orders(5)])[:, None]
    alpha, beta = amplitudes(lens, x, y, 5)
    angle = np.deg2rad(s * np.float64(degrees))
    expected = alpha * np.cos(angle) - beta * np.sin(angle), alpha * np.sin(angle) + beta * np.cos(angle)
    assert_same_amplitudes(amplitudes(changed(lens, degrees), *turn(x, y, degrees), 5), expected)


@settings(max_examples=80, deadline=None)
@given(scenes)
def test_mirroring_the_scene_flips_the_sign_of_every_beta(scene):
    lens, (x, y) = drawn(scene)
    alpha, beta = amplitudes(lens, x, y, 5)
    assert_same_amplitudes(amplitudes(changed(lens, mirror=True), x, -y, 5), (alpha, -beta))


@settings(max_examples=80, deadline=None)
@given(scenes, st.floats(0.01, 100))
def test_stretching_the_scene_takes_each_amplitude_to_its_power_of_length(scene, factor):
    lens, (x, y) = drawn(scene)
    alpha, beta = amplitudes(lens, x, y, 5)
    power = np.array([factor ** (1.0 - m) for m, _ in orders(5)])[:, None]
    found = amplitudes(changed(lens, factor=factor), x * factor, y * factor, 5)
    assert_same_amplitudes(tuple(part / power for part in found), (alpha, beta))


# ---------------------------------------------------------------- reference points


@pytest.mark.parametrize("kind", (*EACH, *SUMS))
def test_residual_is_below_a_billionth_of_a_pixel_on_10_000_random_rows(kind):
    draw = Random(5, 10_000 if not kind.startswith("Multipole") else 2000)
    lens = draw.lens(kind, (2.5, 75))
    (x, y), theta = draw.in_disc(0, 1.2), draw.uniform(2.5, 75)
    eta = x * theta, y * theta
    xi = apparent_position(lens, *eta)
    assert solved(lens, *xi, *eta).all()
    assert np.hypot(*residual(lens, *xi, *eta)).max() < 1e-9


@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-6, 1e-3])
@pytest.mark.parametrize("kind", (*ALONE, *SUMS))
def test_sources_near_the_centre_have_reference_points(kind, distance):
    draw = Random(11, 40)
    lens, angle = draw.lens(kind, (2.5, 75)), draw.uniform(0, 6.3)
    eta = distance * np.cos(angle), distance * np.sin(angle)
    xi = apparent_position(lens, *eta)
    assert solved(lens, *xi, *eta).all()
    assert np.isfinite(np.stack(amplitudes(lens, *xi, 4))).all()


def test_shear_and_convergence_alone_are_a_linear_map():
    draw = Random(12, 500)
    eta, zero = draw.in_disc(0, 90), np.zeros(500)
    gamma, phi, kappa = draw.uniform(0, 0.4), draw.uniform(0, 6.3), draw.uniform(-0.5, 0.5)
    gamma1, gamma2 = gamma * np.cos(phi), gamma * np.sin(phi)
    lens = Cluster((Shear(gamma1, gamma2), Convergence(kappa)), (zero, zero), (zero, zero))
    found = np.stack(apparent_position(lens, *eta))
    matrix = np.array([[1 - kappa - gamma1, -gamma2], [-gamma2, 1 - kappa + gamma1]])
    expected = np.linalg.solve(np.moveaxis(matrix, -1, 0), np.stack(eta, 1)[..., None])[..., 0].T
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", (*EACH, *SUMS))
def test_reference_points_are_the_same_numbers_in_every_engine(kind):
    draw = Random(13, 20)
    lens, eta = draw.lens(kind, (2.5, 75)), draw.in_disc(0.5, 60)
    compiled = np.stack(apparent_position(lens, *eta))
    in_torch = apparent_position(move(lens, "cpu"), *map(torch.from_numpy, eta))
    np.testing.assert_array_equal(torch.stack(in_torch).numpy(), compiled)


# ---------------------------------------------------------------- engines


@pytest.mark.parametrize("sampling, rays", [("exact", 1), ("exact", 2), ("nearest", 1)])
@pytest.mark.parametrize("kind", (*EACH, *SUMS))
def test_pictures_are_the_same_bytes_in_every_engine_and_by_every_pixel(kind, sampling, rays):
    draw = Random(14, 3)
    scene = Scenes(Raytrace(draw.lens(kind, (5, 30)), *draw.in_disc(1, 30)), Spherical(draw.uniform(2, 12)))
    assert programs.of_scene(scene, Sampling(sampling, rays, 100)) is not None

    def draw_by(scene):
        centre = centre_of_light(scene, 100, sampling=sampling, supersampling=rays)
        picture = render(scene, 101, *centre, sampling=sampling, supersampling=rays, canvas=100)
        return [np.asarray(array) for array in (*centre, picture)]

    compiled, in_torch = draw_by(scene), draw_by(move(scene, "cpu"))
    for one, other in zip(compiled, in_torch, strict=True):
        np.testing.assert_array_equal(one, other)
    assert compiled[2].max() > 0
    if sampling == "exact":
        centre = np.array(compiled[:2])
        np.testing.assert_array_equal(compiled[2], every_pixel(scene, 101, *centre, sub=rays))


@pytest.mark.parametrize("kind", EACH)
def test_bytes_do_not_depend_on_the_batch(kind):
    draw = Random(15, 64)
    lens, (x, y) = draw.lens(kind), draw.in_disc(1, 60)
    together = np.stack([*lens.deflection(x, y), *amplitudes(lens, x, y, 6)[0]])
    for k in (0, 5, 63):
        alone = type(lens)(*(getattr(lens, q.name)[k : k + 1] for q in lens.parameters))
        one = np.stack([*alone.deflection(x[k : k + 1], y[k : k + 1]), *amplitudes(alone, x[k:][:1], y[k:][:1], 6)[0]])
        np.testing.assert_array_equal(one[:, 0], together[:, k])


@pytest.mark.parametrize("kind", EACH)
def test_derivatives_by_every_parameter_are_those_of_differences(kind):
    draw = Random(16, 1)
    lens, eta, sigma = draw.lens(kind), draw.in_disc(3, 9), draw.uniform(4, 9)
    model = type(lens)
    values = np.concatenate([*(getattr(lens, q.name) for q in lens.parameters), *eta, sigma])

    def light(values) -> torch.Tensor:
        *given, eta_x, eta_y, size = (value[:, None, None] for value in values)
        scene = Scenes(Raytrace(model(*given), eta_x, eta_y), Spherical(size))
        x, y = (torch.linspace(-25, 30, 41, dtype=torch.float64) for _ in range(2))
        return scene.source.brightness(*scene.mapping.offset(x[None, :, None], y[None, None, :])).sum()

    tensors = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in values]
    total = light(tensors)
    for k, gradient in enumerate(torch.autograd.grad(total, tensors)):
        ends = []
        step = 1e-5 * max(1.0, abs(values[k]))
        for moved in (values[k] - step, values[k] + step):
            shifted = values.copy()
            shifted[k] = moved
            ends.append(light([torch.tensor([value], dtype=torch.float64) for value in shifted]).item())
        expected = (ends[1] - ends[0]) / (2 * step)
        assert gradient.item() == pytest.approx(expected, rel=1e-5, abs=1e-6 * (1 + abs(total.item()))), k


def test_derivatives_are_numbers_at_the_places_where_formulas_change():
    """At the scale radius, at half of it and around: no branch that is not taken gives NaN."""
    at = torch.tensor([0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 30.0], dtype=torch.float64) * 16
    for model in (NFW, Hernquist):
        scale = torch.full_like(at, 16.0, requires_grad=True)
        theta = torch.full_like(at, 16.0, requires_grad=True)
        dx, _ = model(theta, scale).deflection(at, at * 0.0)
        gradients = torch.autograd.grad(dx.sum(), [theta, scale])
        assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_each_perturbation_is_one_and_shares_its_quantities():
    assert all(MODELS[kind].perturbation for kind in PERTURBATIONS)
    assert not any(MODELS[kind].perturbation for kind in ALONE)
    shared: dict[str, set] = {}
    for kind in EACH:
        for quantity in MODELS[kind].parameters:
            shared.setdefault(quantity.name, set()).add(quantity)
    assert all(len(quantities) == 1 for quantities in shared.values())
    assert MODELS["dPIE"] is PJAFFE and MODELS["EllipticaldPIE"] is EllipticalPJAFFE
