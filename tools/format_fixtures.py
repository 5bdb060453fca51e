"""What lenstronomy, PyAutoLens and COOLEST say of their own profiles: `python tools/format_fixtures.py tests/formats`

It writes fixtures/lenstronomy.json, fixtures/pyautolens.json and fixtures/coolest-*.json, which the tests compare with
where those packages are missing. The tests with the packages draw their random profiles from here too.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Random = np.random.Generator

# ---------------------------------------------------------------- random profiles, lengths in arcsec


def _centre(rng: Random, x: str = "center_x", y: str = "center_y") -> dict[str, float]:
    return {x: rng.uniform(-0.5, 0.5), y: rng.uniform(-0.5, 0.5)}


def _ellipticity(rng: Random) -> tuple[float, float]:
    q, angle = rng.uniform(0.3, 0.97), rng.uniform(0, math.pi)
    e = (1 - q) / (1 + q)
    return e * math.cos(2 * angle), e * math.sin(2 * angle)


def _e1e2(rng: Random) -> dict[str, float]:
    return dict(zip(("e1", "e2"), _ellipticity(rng), strict=True))


def _pjaffe(rng: Random) -> dict[str, float]:
    return {"sigma0": rng.uniform(1.5, 20), "Ra": rng.uniform(0.01, 0.5), "Rs": rng.uniform(1, 5)}


def _multipole(rng: Random) -> dict[str, Any]:
    m = int(rng.integers(3, 5))
    return {"m": m, "a_m": rng.uniform(0.001, 0.1), "phi_m": rng.uniform(-math.pi / m, math.pi / m)}


LENSTRONOMY: dict[str, Callable[[Random], dict[str, Any]]] = {
    "POINT_MASS": lambda r: {"theta_E": r.uniform(0.3, 2), **_centre(r)},
    "SIS": lambda r: {"theta_E": r.uniform(0.3, 2), **_centre(r)},
    "SIE": lambda r: {"theta_E": r.uniform(0.3, 2), **_e1e2(r), **_centre(r)},
    "EPL": lambda r: {"theta_E": r.uniform(0.3, 2), "gamma": r.uniform(1.4, 2.6), **_e1e2(r), **_centre(r)},
    "SPP": lambda r: {"theta_E": r.uniform(0.3, 2), "gamma": r.uniform(1.4, 2.6), **_centre(r)},
    "NFW": lambda r: {"Rs": r.uniform(0.5, 10), "alpha_Rs": r.uniform(0.3, 2), **_centre(r)},
    "NFW_ELLIPSE_POTENTIAL": lambda r: {
        "Rs": r.uniform(0.5, 10), "alpha_Rs": r.uniform(0.3, 2), **_e1e2(r), **_centre(r)
    },
    "HERNQUIST": lambda r: {"sigma0": r.uniform(0.2, 2), "Rs": r.uniform(0.3, 3), **_centre(r)},
    "PJAFFE": lambda r: {**_pjaffe(r), **_centre(r)},
    "PJAFFE_ELLIPSE_POTENTIAL": lambda r: {**_pjaffe(r), **_e1e2(r), **_centre(r)},
    "SHEAR": lambda r: {"gamma1": r.uniform(-0.1, 0.1), "gamma2": r.uniform(-0.1, 0.1), **_centre(r, "ra_0", "dec_0")},
    "SHEAR_GAMMA_PSI": lambda r: {
        "gamma_ext": r.uniform(0.001, 0.1), "psi_ext": r.uniform(-1, 1), **_centre(r, "ra_0", "dec_0")
    },
    "CONVERGENCE": lambda r: {"kappa": r.uniform(-0.1, 0.1), **_centre(r, "ra_0", "dec_0")},
    "MULTIPOLE": lambda r: {**_multipole(r), **_centre(r)},
}  # fmt: skip
LENSTRONOMY_LIGHT: dict[str, Callable[[Random], dict[str, Any]]] = {
    "SERSIC": lambda r: {
        "amp": r.uniform(1, 100), "R_sersic": r.uniform(0.1, 1), "n_sersic": r.uniform(0.4, 6), **_centre(r)
    },
    "SERSIC_ELLIPSE": lambda r: {
        "amp": r.uniform(1, 100), "R_sersic": r.uniform(0.1, 1), "n_sersic": r.uniform(0.4, 6), **_e1e2(r), **_centre(r)
    },
    "GAUSSIAN": lambda r: {"amp": r.uniform(1, 100), "sigma": r.uniform(0.1, 1), **_centre(r)},
    "GAUSSIAN_ELLIPSE": lambda r: {"amp": r.uniform(1, 100), "sigma": r.uniform(0.1, 1), **_e1e2(r), **_centre(r)},
}  # fmt: skip


def _yx(rng: Random) -> dict[str, Any]:
    return {"centre": (rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5))}


def _ell_comps(rng: Random) -> dict[str, Any]:
    return {"ell_comps": _ellipticity(rng)}


def _dpie(rng: Random) -> dict[str, float]:
    return {"ra": rng.uniform(0.01, 0.3), "rs": rng.uniform(2, 5), "b0": rng.uniform(1, 3)}


def _multipole_comps(rng: Random) -> dict[str, Any]:
    comps = (rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05))
    return {
        "m": int(rng.integers(3, 5)),
        "einstein_radius": rng.uniform(0.3, 2),
        "slope": 2.0,
        "multipole_comps": comps,
    }


PYAUTOLENS: dict[str, Callable[[Random], dict[str, Any]]] = {
    "PointMass": lambda r: {**_yx(r), "einstein_radius": r.uniform(0.3, 2)},
    "IsothermalSph": lambda r: {**_yx(r), "einstein_radius": r.uniform(0.3, 2)},
    "Isothermal": lambda r: {**_yx(r), **_ell_comps(r), "einstein_radius": r.uniform(0.3, 2)},
    "PowerLaw": lambda r: {
        **_yx(r), **_ell_comps(r), "einstein_radius": r.uniform(0.3, 2), "slope": r.uniform(1.4, 2.6)
    },
    "PowerLawIntermediate": lambda r: {
        **_yx(r), **_ell_comps(r), "einstein_radius": r.uniform(0.3, 2), "slope": r.uniform(1.4, 2.6)
    },
    "PowerLawSph": lambda r: {**_yx(r), "einstein_radius": r.uniform(0.3, 2), "slope": r.uniform(1.4, 2.6)},
    "NFWSph": lambda r: {**_yx(r), "kappa_s": r.uniform(0.1, 1), "scale_radius": r.uniform(0.5, 10)},
    "dPIEPotentialSph": lambda r: {**_yx(r), **_dpie(r)},
    "dPIEMassB0Sph": lambda r: {**_yx(r), **_dpie(r)},
    "ExternalShear": lambda r: {"gamma_1": r.uniform(-0.1, 0.1), "gamma_2": r.uniform(-0.1, 0.1)},
    "MassSheet": lambda r: {**_yx(r), "kappa": r.uniform(-0.1, 0.1)},
    "PowerLawMultipole": lambda r: {**_yx(r), **_multipole_comps(r)},
}  # fmt: skip
PYAUTOLENS_LIGHT: dict[str, Callable[[Random], dict[str, Any]]] = {
    "Sersic": lambda r: {
        **_yx(r), **_ell_comps(r), "intensity": r.uniform(1, 100), "effective_radius": r.uniform(0.1, 1),
        "sersic_index": r.uniform(0.5, 6),
    },
    "SersicSph": lambda r: {
        **_yx(r), "intensity": r.uniform(1, 100), "effective_radius": r.uniform(0.1, 1),
        "sersic_index": r.uniform(0.5, 6),
    },
    "Exponential": lambda r: {
        **_yx(r), **_ell_comps(r), "intensity": r.uniform(1, 100), "effective_radius": r.uniform(0.1, 1)
    },
    "DevVaucouleurs": lambda r: {
        **_yx(r), **_ell_comps(r), "intensity": r.uniform(1, 100), "effective_radius": r.uniform(0.1, 1)
    },
    "Gaussian": lambda r: {**_yx(r), **_ell_comps(r), "intensity": r.uniform(1, 100), "sigma": r.uniform(0.1, 1)},
    "GaussianSph": lambda r: {**_yx(r), "intensity": r.uniform(1, 100), "sigma": r.uniform(0.1, 1)},
}  # fmt: skip


def points(rng: Random, count: int | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """x and y, arcsec, not near a centre: lenstronomy's SIE has a core of 1e-10″, which would show there."""
    radius, angle = rng.uniform(1.0, 4.0, count), rng.uniform(0, 2 * math.pi, count)
    return radius * np.cos(angle), radius * np.sin(angle)


# ---------------------------------------------------------------- the packages


def lenstronomy_deflection(name: str, kwargs: dict, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from lenstronomy.LensModel.lens_model import LensModel

    return LensModel([name]).alpha(x, y, [kwargs])


def lenstronomy_brightness(name: str, kwargs: dict, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Per square arcsec."""
    from lenstronomy.LightModel.light_model import LightModel

    return LightModel([name]).surface_brightness(x, y, [kwargs])


def pyautolens_deflection(name: str, kwargs: dict, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import autogalaxy as ag

    grid = ag.Grid2DIrregular(np.stack([y, x], axis=1))
    found = np.asarray(getattr(ag.mp, name)(**kwargs).deflections_yx_2d_from(grid=grid))
    return found[:, 1], found[:, 0]


def pyautolens_brightness(name: str, kwargs: dict, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    import autogalaxy as ag

    grid = ag.Grid2DIrregular(np.stack([y, x], axis=1))
    return np.asarray(getattr(ag.lp, name)(**kwargs).image_2d_from(grid=grid))


def lenstronomy_picture(lens: tuple, source: tuple, size: int, scale: float) -> np.ndarray:
    """(N, N) counts of lenstronomy's ImageModel, on the pixels of a picture here; lens, source: names and kwargs."""
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    data = ImageData(
        image_data=np.zeros((size, size)),
        ra_at_xy_0=-size / 2 * scale,
        dec_at_xy_0=(-size / 2 + 1) * scale,
        transform_pix2angle=np.eye(2) * scale,
    )
    model = ImageModel(data, PSF(psf_type="NONE"), LensModel(lens[0]), LightModel(source[0]))
    return model.image(kwargs_lens=lens[1], kwargs_source=source[1])[::-1]


# ---------------------------------------------------------------- COOLEST files, written by coolest itself


def coolest_object(masses: list, lights: list, fields: list, lens_light: bool = False, size: int = 48) -> Any:
    """A COOLEST object of (type, parameters) of the lens, the source and a mass field."""
    from coolest.template.lazy import (
        CoordinatesOrigin,
        Galaxy,
        GaussianPSF,
        Instrument,
        LensingEntityList,
        LightModel,
        MassField,
        MassModel,
        Observation,
        PixelatedRegularGrid,
        UniformGaussianNoise,
    )
    from coolest.template.standard import COOLEST

    def filled(model, given):
        for profile, (_, values) in zip(model, given, strict=True):
            for key, value in values.items():
                profile.parameters[key].set_point_estimate(value)
        return model

    mass = filled(MassModel(*(kind for kind, _ in masses)), masses)
    light = filled(LightModel(*(kind for kind, _ in lights)), lights)
    own = filled(LightModel("Sersic"), lights[:1]) if lens_light else None
    entities = [Galaxy("a source", 1.5, light_model=light), Galaxy("a lens", 0.5, mass_model=mass, light_model=own)]
    if fields:
        entities.append(MassField("outside", 0.5, mass_model=filled(MassModel(*(kind for kind, _ in fields)), fields)))
    half = size / 2 * 0.1
    pixels = PixelatedRegularGrid(
        field_of_view_x=(-half, half), field_of_view_y=(-half, half), num_pix_x=size, num_pix_y=size
    )
    return COOLEST(
        "MOCK",
        CoordinatesOrigin(),
        LensingEntityList(*entities),
        Observation(pixels=pixels, noise=UniformGaussianNoise(2.0)),
        Instrument(0.1, psf=GaussianPSF(1.5)),
    )


FILES = {
    "coolest-sie": (
        [("SIE", {"theta_E": 1.2, "q": 0.7, "phi": 20.0, "center_x": 0.05, "center_y": -0.1})],
        [("Sersic", {
            "I_eff": 6000.0, "theta_eff": 0.3, "n": 1.5, "q": 0.6, "phi": -35.0, "center_x": 0.1, "center_y": -0.05,
        })],
        [("ExternalShear", {"gamma_ext": 0.06, "phi_ext": -70.0})],
    ),
    "coolest-pemd": (
        [
            ("PEMD", {
                "gamma": 2.2, "theta_E": 1.1, "q": 0.8, "phi": -60.0, "center_x": -0.1, "center_y": 0.03,
            }),
            ("PEMD", {
                "gamma": 1.9, "theta_E": 0.3, "q": 0.9, "phi": 80.0, "center_x": 1.0, "center_y": 0.7,
            }),
        ],
        [
            ("Sersic", {
                "I_eff": 4000.0, "theta_eff": 0.25, "n": 1.0, "q": 0.8, "phi": 10.0, "center_x": 0.0, "center_y": 0.1,
            }),
            ("Sersic", {
                "I_eff": 2000.0, "theta_eff": 0.2, "n": 4.0, "q": 1.0, "phi": 0.0, "center_x": -0.2, "center_y": 0.1,
            }),
        ],
        [("ExternalShear", {"gamma_ext": 0.05, "phi_ext": 40.0}), ("ConvergenceSheet", {"kappa_s": -0.04})],
    ),
}  # fmt: skip


def coolest_deflection(content: Any, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By coolest's own API, for which an SIE is a PEMD of slope 2."""
    from coolest.api.profiles import mass

    total_x, total_y = np.zeros_like(x), np.zeros_like(y)
    for entity in content.lensing_entities:
        for profile in entity.mass_model:
            values = {key: parameter.point_estimate.value for key, parameter in profile.parameters.items()}
            kind, extra = ("PEMD", {"gamma": 2.0}) if profile.type == "SIE" else (profile.type, {})
            dx, dy = getattr(mass, kind)().deflection(x, y, **values, **extra)
            total_x, total_y = total_x + dx, total_y + dy
    return total_x, total_y


def coolest_brightness(content: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the source, per square arcsec, by coolest's own API."""
    from coolest.api.profiles import light

    total = np.zeros_like(x)
    for profile in max(content.lensing_entities, key=lambda entity: entity.redshift).light_model:
        values = {key: parameter.point_estimate.value for key, parameter in profile.parameters.items()}
        total = total + light.Sersic().evaluate_surface_brightness(x, y, **values)
    return total


# ---------------------------------------------------------------- fixtures


def _cases(profiles: dict, evaluate: Callable, rng: Random) -> list[dict[str, Any]]:
    cases = []
    for name, draw in profiles.items():
        for _ in range(3):
            kwargs = draw(rng)
            x, y = points(rng, 4)
            values = np.array(evaluate(name, kwargs, x, y)).tolist()
            cases.append({"name": name, "kwargs": kwargs, "x": x.tolist(), "y": y.tolist(), "values": values})
    return cases


def main(folder: Path) -> None:
    import autogalaxy
    import coolest
    import lenstronomy
    from coolest.template.json import JSONSerializer

    folder = folder.resolve() / "fixtures"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20)
    lens = ["SIE", "SHEAR"], [{"theta_E": 0.9, "e1": 0.1, "e2": -0.12}, {"gamma1": 0.03, "gamma2": -0.05}]
    source = ["SERSIC_ELLIPSE"], [{
        "amp": 9000.0, "R_sersic": 0.25, "n_sersic": 1.2, "e1": 0.15, "e2": 0.1, "center_x": 0.12, "center_y": 0.05,
    }]  # fmt: skip
    picture = lenstronomy_picture(lens, source, 32, 0.1).round(4).tolist()
    fixtures = {
        "lenstronomy": {
            "version": lenstronomy.__version__,
            "deflections": _cases(LENSTRONOMY, lenstronomy_deflection, rng),
            "brightness": _cases(LENSTRONOMY_LIGHT, lenstronomy_brightness, rng),
            "picture": {"pixel_scale": 0.1, "lens": lens, "source": source, "counts": picture},
        },
        "pyautolens": {
            "version": autogalaxy.__version__,
            "deflections": _cases(PYAUTOLENS, pyautolens_deflection, rng),
            "brightness": _cases(PYAUTOLENS_LIGHT, pyautolens_brightness, rng),
        },
    }
    evaluated: dict[str, Any] = {"version": coolest.__version__}
    for name, given in FILES.items():
        content = coolest_object(*given, lens_light=name == "coolest-sie")
        JSONSerializer(str(folder / name), content).dump_simple()
        x, y = points(rng, 20)
        evaluated[name] = {
            "x": x.tolist(),
            "y": y.tolist(),
            "deflection": np.array(coolest_deflection(content, x, y)).tolist(),
            "brightness": coolest_brightness(content, x, y).tolist(),
        }
    fixtures["coolest"] = evaluated
    for name, fixture in fixtures.items():
        (folder / f"{name}.json").write_text(json.dumps(fixture) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
