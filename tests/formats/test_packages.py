"""lenstronomy's and PyAutoLens's lenses and sources against ours: with the packages, and with what they said."""

from __future__ import annotations

import math

import format_fixtures as packages
import numpy as np
import pytest
from helpers import SCALE, brightness, deflections, error, fixture, random_lens, random_source, same

from droulette.errors import UserError
from droulette.formats import Component, lenstronomy, profiles, pyautolens

SCENES = 1000
POINTS = 20
FAINT = 1e-6  # of the brightest of a scene's points: below, numbers are all rounding

# ---------------------------------------------------------------- what the packages said


def cases(package: str, what: str) -> list[tuple[str, dict]]:
    return [pytest.param(package, case, id=f"{package}-{case['name']}") for case in fixture(package)[what]]


def arguments(case: dict) -> dict:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in case["kwargs"].items()}


@pytest.mark.parametrize(
    ("package", "case"), [*cases("lenstronomy", "deflections"), *cases("pyautolens", "deflections")]
)
def test_deflections_are_those_that_a_package_gave(package, case):
    if package == "lenstronomy":
        parts = lenstronomy.to_lens([case["name"]], [arguments(case)], SCALE)
    else:
        parts = pyautolens.to_lens([(case["name"], arguments(case))], SCALE)
    found = deflections(parts, np.array([case["x"]]), np.array([case["y"]]))[:, 0]
    assert error(found, np.array(case["values"])) < 1e-9


@pytest.mark.parametrize(("package", "case"), [*cases("lenstronomy", "brightness"), *cases("pyautolens", "brightness")])
def test_brightness_is_that_which_a_package_gave(package, case):
    expected = np.array(case["values"])
    if package == "lenstronomy":
        parts = lenstronomy.to_sources([case["name"]], [arguments(case)], SCALE)
        expected = expected * SCALE**2  # a pixel has the light of its area
    else:
        parts = pyautolens.to_sources([(case["name"], arguments(case))], SCALE)
    found = brightness(parts, np.array([case["x"]]), np.array([case["y"]]))[0]
    bright = expected > FAINT
    np.testing.assert_allclose(found[bright], expected[bright], rtol=1e-9)
    assert (found[~bright] < 2 * FAINT).all()


# ---------------------------------------------------------------- with the packages


@pytest.mark.parametrize("name", packages.LENSTRONOMY)
def test_lenstronomys_lenses(name):
    pytest.importorskip("lenstronomy", reason="lenstronomy is not installed: requirements-bench.txt has it")
    rng = np.random.default_rng(1)
    given = [packages.LENSTRONOMY[name](rng) for _ in range(SCENES)]
    x, y = packages.points(rng, (SCENES, POINTS))
    parts = [lenstronomy.to_lens([name], [kwargs], SCALE)[0] for kwargs in given]
    said = np.stack([packages.lenstronomy_deflection(name, *rest) for rest in zip(given, x, y, strict=True)], axis=1)
    for model in sorted({part.name for part in parts}):
        rows = [k for k, part in enumerate(parts) if part.name == model]
        assert error(deflections([parts[k] for k in rows], x[rows], y[rows]), said[:, rows]) < 1e-9


@pytest.mark.parametrize("name", [name for name in lenstronomy.OURS if name not in ("PM", "dPIE", "EllipticaldPIE")])
def test_our_lenses_in_lenstronomy(name):
    pytest.importorskip("lenstronomy", reason="lenstronomy is not installed: requirements-bench.txt has it")
    rng = np.random.default_rng(2)
    parts = [random_lens(name, rng) for _ in range(SCENES)]
    x, y = packages.points(rng, (SCENES, POINTS))
    made = [lenstronomy.from_lens([part], SCALE) for part in parts]
    said = [
        packages.lenstronomy_deflection(m[0][0], m[1][0], *at)
        for m, at in zip(made, zip(x, y, strict=True), strict=True)
    ]
    assert error(deflections(parts, x, y), np.stack(said, axis=1)) < 1e-9


@pytest.mark.parametrize("name", packages.PYAUTOLENS)
def test_pyautolens_lenses(name):
    pytest.importorskip("autogalaxy", reason="PyAutoLens is not installed")
    rng = np.random.default_rng(3)
    given = [packages.PYAUTOLENS[name](rng) for _ in range(SCENES)]
    x, y = packages.points(rng, (SCENES, POINTS))
    parts = [pyautolens.to_lens([(name, kwargs)], SCALE)[0] for kwargs in given]
    said = np.stack([packages.pyautolens_deflection(name, *rest) for rest in zip(given, x, y, strict=True)], axis=1)
    for model in sorted({part.name for part in parts}):
        rows = [k for k, part in enumerate(parts) if part.name == model]
        assert error(deflections([parts[k] for k in rows], x[rows], y[rows]), said[:, rows]) < 1e-9


@pytest.mark.parametrize("name", [name for name in pyautolens.OURS if name not in ("PM", "dPIE")])
def test_our_lenses_in_pyautolens(name):
    pytest.importorskip("autogalaxy", reason="PyAutoLens is not installed")
    rng = np.random.default_rng(4)
    parts = [random_lens(name, rng) for _ in range(SCENES)]
    if name == "Shear":
        parts = [Component(name, 0.0, 0.0, part.parameters) for part in parts]
    x, y = packages.points(rng, (SCENES, POINTS))
    made = [pyautolens.from_lens([part], SCALE)[0] for part in parts]
    said = [packages.pyautolens_deflection(*m, *at) for m, at in zip(made, zip(x, y, strict=True), strict=True)]
    assert error(deflections(parts, x, y), np.stack(said, axis=1)) < 1e-9


def test_objects_of_pyautolens_are_read():
    ag = pytest.importorskip("autogalaxy", reason="PyAutoLens is not installed")
    rng = np.random.default_rng(5)
    for kind, draws, convert in (
        (ag.mp, packages.PYAUTOLENS, pyautolens.to_lens),
        (ag.lp, packages.PYAUTOLENS_LIGHT, pyautolens.to_sources),
    ):
        for name, draw in draws.items():
            kwargs = draw(rng)
            assert convert([getattr(kind, name)(**kwargs)], SCALE) == convert([(name, kwargs)], SCALE)
    dispersion = ag.mp.dPIEMassSph(sigma=250.0, r_core=0.1, r_cut=10.0)
    found = deflections(pyautolens.to_lens([dispersion], SCALE), np.array([[1.0]]), np.array([[0.5]]))
    said = np.asarray(dispersion.deflections_yx_2d_from(ag.Grid2DIrregular([(0.5, 1.0)])))[0]
    assert error(found[:, 0, 0], said[::-1]) < 1e-9


@pytest.mark.parametrize("package", ["lenstronomy", "pyautolens"])
def test_sources_are_as_bright_as_the_packages(package):
    name_of_package = {"pyautolens": "autogalaxy"}.get(package, package)
    pytest.importorskip(name_of_package, reason=f"{package} is not installed")
    rng = np.random.default_rng(6)
    area = SCALE**2 if package == "lenstronomy" else 1.0
    if package == "lenstronomy":
        draws, evaluate = packages.LENSTRONOMY_LIGHT, packages.lenstronomy_brightness
    else:
        draws, evaluate = packages.PYAUTOLENS_LIGHT, packages.pyautolens_brightness

    def compare(part, name, kwargs, x, y):
        said = evaluate(name, kwargs, x, y) * area
        found = brightness([part], x[None], y[None])[0]
        bright = said > FAINT * said.max()
        np.testing.assert_allclose(found[bright], said[bright], rtol=1e-9)

    for name, draw in draws.items():
        for _ in range(SCENES):
            kwargs, (x, y) = draw(rng), rng.uniform(-1.5, 1.5, (2, POINTS))
            if package == "lenstronomy":
                (part,) = lenstronomy.to_sources([name], [kwargs], SCALE)
            else:
                (part,) = pyautolens.to_sources([(name, kwargs)], SCALE)
            compare(part, name, kwargs, x, y)
    for name in ("Spherical", "Ellipsoid", "SersicSphere", "SersicEllipsoid"):
        for _ in range(SCENES):
            part, (x, y) = random_source(name, rng), rng.uniform(-1.5, 1.5, (2, POINTS))
            if package == "lenstronomy":
                (theirs,), (kwargs,) = lenstronomy.from_sources([part], SCALE)
            else:
                ((theirs, kwargs),) = pyautolens.from_sources([part], SCALE)
            compare(part, theirs, kwargs, x, y)


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("name", [name for name in lenstronomy.OURS if name not in ("PM", "dPIE", "EllipticaldPIE")])
def test_lenses_come_back(name):
    """By each package that has them. A multipole alone takes 1″ for its Einstein radius: its first lens gives that."""
    rng = np.random.default_rng(7)
    for _ in range(100):
        part = random_lens(name, rng)
        first = Component("SIS", 0.0, 0.0, {"einstein_radius": part.parameters.get("einstein_radius", 1.0)})
        assert same(lenstronomy.to_lens(*lenstronomy.from_lens([first, part], SCALE), SCALE)[1], part)
        if name in pyautolens.OURS:
            part = Component(name, 0.0, 0.0, part.parameters) if name == "Shear" else part
            assert same(pyautolens.to_lens(pyautolens.from_lens([part], SCALE), SCALE)[0], part)


@pytest.mark.parametrize("name", packages.LENSTRONOMY)
def test_lenstronomys_arguments_come_back(name):
    rng = np.random.default_rng(8)
    for _ in range(100):
        given = packages.LENSTRONOMY[name](rng)
        (back,), (found,) = lenstronomy.from_lens(lenstronomy.to_lens([name], [given], SCALE), SCALE)
        if name == "SHEAR_GAMMA_PSI":
            size, angle = given.pop("gamma_ext"), 2 * given.pop("psi_ext")
            given |= {"gamma1": size * math.cos(angle), "gamma2": size * math.sin(angle)}
        elif name == "SPP":
            given |= {"e1": 0.0, "e2": 0.0}
        else:
            assert back == name
        assert found == pytest.approx(given, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("name", packages.PYAUTOLENS)
def test_pyautolens_arguments_come_back(name):
    rng = np.random.default_rng(9)
    for _ in range(100):
        given = packages.PYAUTOLENS[name](rng)
        parts = pyautolens.to_lens([(name, given)], SCALE)
        ((back, found),) = pyautolens.from_lens(parts, SCALE)
        if name in ("PowerLawIntermediate", "PowerLawSph", "dPIEMassB0Sph"):
            assert back == {"dPIEMassB0Sph": "dPIEPotentialSph"}.get(name, "PowerLaw")
            assert all(same(*both) for both in zip(pyautolens.to_lens([(back, found)], SCALE), parts, strict=True))
            continue
        assert back == name and found.keys() == given.keys()
        for key, value in given.items():
            assert found[key] == pytest.approx(value, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("name", ["SersicSphere", "SersicEllipsoid"])
def test_sources_come_back(name):
    rng = np.random.default_rng(10)
    for _ in range(100):
        part = random_source(name, rng)
        swapped = part
        if name == "SersicEllipsoid" and part.parameters["sigma"] > part.parameters["sigma2"]:  # the longer one is σ₂
            axes = {"sigma": part.parameters["sigma2"], "sigma2": part.parameters["sigma"]}
            swapped = Component(
                name, part.x, part.y, {**part.parameters, **axes, "theta": part.parameters["theta"] + 90}
            )
        grey = rng.uniform(0.1, 10)
        assert same(lenstronomy.to_sources(*lenstronomy.from_sources([part], SCALE, grey), SCALE, grey)[0], swapped)
        assert same(pyautolens.to_sources(pyautolens.from_sources([part], SCALE, grey), SCALE, grey)[0], swapped)


def test_a_luminosity_is_the_light_of_all_pixels():
    """1000 luminosities are the sum of the grey levels, as lenstronomy's amp of a Gaussian is."""
    (part,) = lenstronomy.to_sources(["GAUSSIAN"], [{"amp": 5000.0, "sigma": 0.4}], SCALE)
    x, y = np.meshgrid(*2 * [np.arange(-100, 101) * SCALE])
    assert brightness([part], x[None], y[None]).sum() == pytest.approx(5000, rel=1e-9)
    assert part.parameters["luminosity"] == pytest.approx(5)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("names", "arguments", "message"),
    [
        (["TNFW"], [{}], "lens 1: found TNFW, which has no counterpart, expected one of POINT_MASS, "),
        (["SIS", "SIE"], [{"theta_E": 1.0}], "found 2 names and 1 kwargs_lens, expected as many"),
        (["SIS"], [{"theta_E": 1.0, "e1": 0.1}], "lens 1: SIS: found e1, expected theta_E, center_x, center_y"),
        (["SIE"], [{"theta_E": 1.0, "e1": 0.1}], "lens 1: SIE: found no e2, expected it"),
        (["SIS"], [{"theta_E": math.nan}], "lens 1: SIS: found theta_E = nan, expected a finite number"),
        (["SIS"], [{"theta_E": [1.0]}], r"lens 1: SIS: found theta_E = \[1.0\], expected a finite number"),
        (["NFW"], [{"Rs": 0.0, "alpha_Rs": 1.0}], "NFW: found Rs = 0.0, alpha_Rs = 1.0, expected numbers that have a"),
        (["SIS"], [{"theta_E": "1"}], "lens 1: SIS: found theta_E = '1', expected a finite number"),
        (
            ["SIE"],
            [{"theta_E": 1.0, "e1": 0.8, "e2": 0.8}],
            "SIE: found an ellipticity of 1.13137, expected less than 1",
        ),
        (["MULTIPOLE"], [{"m": 2, "a_m": 0.1, "phi_m": 0.0}], "MULTIPOLE: found m = 2, expected 3 or 4"),
        (
            ["PJAFFE"],
            [{"sigma0": 0.8, "Ra": 0.1, "Rs": 2.0}],
            "PJAFFE: found no Einstein radius: .* at most 0.8, expected more",
        ),
        (["NFW"], [{"Rs": 1.0, "alpha_Rs": 0.0}], "NFW: found no Einstein radius"),
    ],
)
def test_what_lenstronomy_has_and_we_have_not_is_refused(names, arguments, message):
    with pytest.raises(UserError, match=message):
        lenstronomy.to_lens(names, arguments, SCALE)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (("NFW", {"ell_comps": (0.1, 0.0)}), "mass profile 1: NFW: found an elliptical mass"),
        (("dPIEPotential", {"ell_comps": (0.1, 0.0)}), "found a deflection that is no gradient"),
        (("gNFW", {}), "mass profile 1: found gNFW, which has no counterpart, expected one of PointMass, "),
        (
            ("PowerLawMultipole", {"m": 4, "slope": 2.1}),
            "found m = 4 and slope = 2.1, expected m = 3 or 4 and slope = 2",
        ),
        (("Isothermal", {"centre": 0.0}), "Isothermal: found centre = 0.0, expected two finite numbers"),
        (("PowerLaw", {"slope": 1.0}), "PowerLaw: found slope = 1.0, expected numbers that have a finite result"),
        (object(), "found object, which has no counterpart"),
    ],
)
def test_what_pyautolens_has_and_we_have_not_is_refused(profile, message):
    with pytest.raises(UserError, match=message):
        pyautolens.to_lens([profile], SCALE)


@pytest.mark.parametrize(
    ("convert", "part", "message"),
    [
        (pyautolens.from_lens, ("Hernquist", {}), "lens 1: found Hernquist, which PyAutoLens has not"),
        (
            pyautolens.from_lens,
            ("Shear", {"gamma1": 0.1, "gamma2": 0.0}),
            "found Shear at .*, expected it at the origin",
        ),
        (lenstronomy.from_lens, ("Map", {}), "lens 1: found Map, which lenstronomy has not"),
        (
            lenstronomy.from_lens,
            ("PJAFFE", {"einstein_radius": 9.0, "core_radius": 0.0, "cut_radius": 9.0}),
            "core radius of 0",
        ),
        (lenstronomy.from_sources, ("Triangle", {}), "source 1: found source Triangle, which has no counterpart"),
        (pyautolens.from_sources, ("Image", {}), "source 1: found source Image, which has no counterpart"),
    ],
)
def test_what_we_have_and_a_package_has_not_is_refused(convert, part, message):
    with pytest.raises(UserError, match=message):
        convert([Component(part[0], 1.0, 0.0, part[1])], SCALE)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_a_pixel_scale_is_positive(scale):
    with pytest.raises(UserError, match=r"pixel scale: found .*, expected a positive number of arcsec"):
        lenstronomy.to_lens([], [], scale)


def test_an_einstein_radius_is_where_the_mean_convergence_is_1():
    """Of a faint halo, it is exponentially small: by mpmath."""
    import mpmath as mp

    (part,) = lenstronomy.to_lens(["NFW"], [{"Rs": 1.0, "alpha_Rs": 0.013}], 1.0)
    with mp.workdps(120):
        x = mp.mpf(part.parameters["einstein_radius"])
        mean = (mp.log(x / 2) + mp.acosh(1 / x) / mp.sqrt(1 - x**2)) / x**2 / (1 - mp.log(2)) * mp.mpf(0.013)
        assert x < 1e-15 and abs(mean - 1) < 1e-12
    assert profiles.nfw(1.0) == profiles.hernquist(1.0) == 1
