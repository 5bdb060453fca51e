"""lenstronomy's `lens_model_list` with `kwargs_lens`, and `source_light_model_list` with `kwargs_source`.

Its lengths are arcsec, ours px of `pixel_scale` arcsec. Its coordinates (x, y) are ours, x to the right and y up; where
its RA grows to the left, as in its COOLEST interface, they are mirrored. Its ellipticity is e = (1 − q) / (1 + q),
e1 + i e2 = e exp(2iφ), φ the direction of the major axis, which is our orientation + 90°. Its Einstein radius of an
ellipse is ours, θ_E = √(ab). Its amplitudes are counts per square arcsec; a count in a pixel is `grey` grey levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from droulette.errors import UserError
from droulette.formats import profiles
from droulette.formats.description import Component, check_pixel_scale, converted
from droulette.formats.profiles import Light, einstein_radius, ellipse, ellipticity, major_axis, mass
from droulette.physics.halos import alpha_at_scale_radius, hernquist_sigma0, pjaffe_sigma0

Profiles = tuple[list[str], list[dict[str, Any]]]

# ---------------------------------------------------------------- lenses


def to_lens(
    lens_model_list: Iterable[str], kwargs_lens: Iterable[Mapping], pixel_scale: float
) -> tuple[Component, ...]:
    """The lenses here of lenstronomy's.

    | lenstronomy | here |
    |---|---|
    | POINT_MASS, SIS | PointMass, SIS: θ_E = theta_E |
    | SIE, EPL, EPL_NUMBA, SPP | SIE, EPL: θ_E = theta_E, f = q, slope = gamma |
    | NFW, NFW_ELLIPSE_POTENTIAL | NFW, EllipticalNFW: scale_radius = Rs; θ_E solves α(θ_E) = θ_E |
    | HERNQUIST | Hernquist, likewise |
    | PJAFFE, PJAFFE_ELLIPSE_POTENTIAL | PJAFFE, EllipticalPJAFFE: core_radius = Ra, cut_radius = Rs, likewise |
    | SHEAR, SHEAR_GAMMA_PSI, CONVERGENCE | Shear, Convergence, at (ra_0, dec_0) |
    | MULTIPOLE, m = 3 or 4 | θ_E of the first lens in the list, or 1″; a + ib = a_m / θ_E exp(i m phi_m) |

    Raises:
        UserError: a profile without counterpart, or of wrong arguments, or one that has no Einstein radius.
    """
    check_pixel_scale(pixel_scale)
    found: list[Component] = []
    for number, (name, given) in enumerate(_paired(lens_model_list, kwargs_lens, "kwargs_lens"), 1):
        radii = [part.parameters["einstein_radius"] for part in found if "einstein_radius" in part.parameters]
        unit = radii[0] if radii else 1.0
        found.append(converted(LENSES, name, given, f"lenstronomy: lens {number}", unit))
    return tuple(part.scaled(1 / pixel_scale) for part in found)


def _paired(names: Iterable[str], arguments: Iterable[Mapping], what: str) -> list[tuple[str, Mapping]]:
    names, arguments = list(names), list(arguments)
    if len(names) != len(arguments):
        raise UserError(f"lenstronomy: found {len(names)} names and {len(arguments)} {what}, expected as many")
    return list(zip(names, arguments, strict=True))


def _point_mass(unit, theta_E, center_x=0.0, center_y=0.0):
    return Component("PointMass", center_x, center_y, {"einstein_radius": theta_E})


def _sis(unit, theta_E, center_x=0.0, center_y=0.0):
    return Component("SIS", center_x, center_y, {"einstein_radius": theta_E})


def _sie(unit, theta_E, e1, e2, center_x=0.0, center_y=0.0):
    return Component("SIE", center_x, center_y, {"einstein_radius": theta_E, **mass(*ellipse(e1, e2))})


def _epl(unit, theta_E, gamma, e1, e2, center_x=0.0, center_y=0.0):
    shape = mass(*ellipse(e1, e2))
    return Component("EPL", center_x, center_y, {"einstein_radius": theta_E, **shape, "slope": gamma})


def _spp(unit, theta_E, gamma, center_x=0.0, center_y=0.0):
    return _epl(unit, theta_E, gamma, 0.0, 0.0, center_x, center_y)


def _nfw(unit, Rs, alpha_Rs, center_x=0.0, center_y=0.0):
    radius = einstein_radius(lambda r: alpha_Rs / Rs * profiles.nfw(r / Rs), Rs)
    return Component("NFW", center_x, center_y, {"einstein_radius": radius, "scale_radius": Rs})


def _elliptical_nfw(unit, Rs, alpha_Rs, e1, e2, center_x=0.0, center_y=0.0):
    round_one = _nfw(unit, Rs, alpha_Rs, center_x, center_y)
    return Component("EllipticalNFW", center_x, center_y, {**round_one.parameters, **mass(*ellipse(e1, e2))})


def _hernquist(unit, sigma0, Rs, center_x=0.0, center_y=0.0):
    # The deflection at R_s is 2/3 σ₀ R_s.
    radius = einstein_radius(lambda r: 2 / 3 * sigma0 * profiles.hernquist(r / Rs), Rs)
    return Component("Hernquist", center_x, center_y, {"einstein_radius": radius, "scale_radius": Rs})


def _pjaffe(unit, sigma0, Ra, Rs, center_x=0.0, center_y=0.0):
    core, cut = sorted((Ra, Rs))
    radius = einstein_radius(lambda r: 2 * sigma0 * core * profiles.pjaffe(r, core, cut), cut)
    given = {"einstein_radius": radius, "core_radius": core, "cut_radius": cut}
    return Component("PJAFFE", center_x, center_y, given)


def _elliptical_pjaffe(unit, sigma0, Ra, Rs, e1, e2, center_x=0.0, center_y=0.0):
    round_one = _pjaffe(unit, sigma0, Ra, Rs, center_x, center_y)
    return Component("EllipticalPJAFFE", center_x, center_y, {**round_one.parameters, **mass(*ellipse(e1, e2))})


def _shear(unit, gamma1, gamma2, ra_0=0.0, dec_0=0.0):
    return Component("Shear", ra_0, dec_0, {"gamma1": gamma1, "gamma2": gamma2})


def _shear_by_angle(unit, gamma_ext, psi_ext, ra_0=0.0, dec_0=0.0):
    return _shear(unit, gamma_ext * math.cos(2 * psi_ext), gamma_ext * math.sin(2 * psi_ext), ra_0, dec_0)


def _convergence(unit, kappa, ra_0=0.0, dec_0=0.0):
    return Component("Convergence", ra_0, dec_0, {"kappa_ext": kappa})


def _multipole(unit, m, a_m, phi_m, center_x=0.0, center_y=0.0, r_E=1.0):
    if m not in (3, 4):
        raise ValueError(f"found m = {m:g}, expected 3 or 4")
    a, b = a_m / unit * math.cos(m * phi_m), a_m / unit * math.sin(m * phi_m)
    return Component(f"Multipole{m:.0f}", center_x, center_y, {"einstein_radius": unit, f"a{m:.0f}": a, f"b{m:.0f}": b})


LENSES = {
    "POINT_MASS": _point_mass,
    "SIS": _sis,
    "SIE": _sie,
    "EPL": _epl,
    "EPL_NUMBA": _epl,
    "SPP": _spp,
    "NFW": _nfw,
    "NFW_ELLIPSE_POTENTIAL": _elliptical_nfw,
    "HERNQUIST": _hernquist,
    "PJAFFE": _pjaffe,
    "PJAFFE_ELLIPSE_POTENTIAL": _elliptical_pjaffe,
    "SHEAR": _shear,
    "SHEAR_GAMMA_PSI": _shear_by_angle,
    "CONVERGENCE": _convergence,
    "MULTIPOLE": _multipole,
}


def from_lens(lenses: Iterable[Component], pixel_scale: float) -> Profiles:
    """(lens_model_list, kwargs_lens) of lenses here: the table of `to_lens`, read from right to left.

    alpha_Rs and σ₀ are what `droulette.physics.halos` says: `alpha_at_scale_radius`, `hernquist_sigma0` and
    `pjaffe_sigma0`.

    Raises:
        UserError: a lens without counterpart.
    """
    check_pixel_scale(pixel_scale)
    names, arguments = [], []
    for number, part in enumerate(lenses, 1):
        part = part.scaled(pixel_scale)
        if part.name not in OURS:
            expected = ", ".join(OURS)
            raise UserError(f"lens {number}: found {part.name}, which lenstronomy has not, expected one of {expected}")
        name, given = OURS[part.name](part.parameters)
        place = ("ra_0", "dec_0") if part.name in ("Shear", "Convergence") else ("center_x", "center_y")
        names.append(name)
        arguments.append({**given, place[0]: part.x, place[1]: part.y})
    return names, arguments


def _e1e2(given: Mapping) -> dict[str, float]:
    e1, e2 = ellipticity(*major_axis(given))
    return {"e1": e1, "e2": e2}


def _of_nfw(given: Mapping) -> dict[str, float]:
    scale = given["scale_radius"]
    return {"Rs": scale, "alpha_Rs": alpha_at_scale_radius(given["einstein_radius"], scale).item()}


def _of_hernquist(given: Mapping) -> dict[str, float]:
    scale = given["scale_radius"]
    return {"sigma0": hernquist_sigma0(given["einstein_radius"], scale).item(), "Rs": scale}


def _of_pjaffe(given: Mapping) -> dict[str, float]:
    core, cut = given["core_radius"], given["cut_radius"]
    if core == 0:
        raise UserError("PJAFFE: found a core radius of 0, for which lenstronomy's sigma0 is infinite, expected more")
    return {"sigma0": pjaffe_sigma0(given["einstein_radius"], core, cut).item(), "Ra": core, "Rs": cut}


def _of_multipole(given: Mapping, m: int) -> dict[str, float]:
    a, b = given[f"a{m:.0f}"], given[f"b{m:.0f}"]
    return {"m": m, "a_m": given["einstein_radius"] * math.hypot(a, b), "phi_m": math.atan2(b, a) / m}


OURS = {
    "PM": lambda given: ("POINT_MASS", {"theta_E": given["einstein_radius"]}),
    "PointMass": lambda given: ("POINT_MASS", {"theta_E": given["einstein_radius"]}),
    "SIS": lambda given: ("SIS", {"theta_E": given["einstein_radius"]}),
    "SIE": lambda given: ("SIE", {"theta_E": given["einstein_radius"], **_e1e2(given)}),
    "EPL": lambda given: ("EPL", {"theta_E": given["einstein_radius"], "gamma": given["slope"], **_e1e2(given)}),
    "NFW": lambda given: ("NFW", _of_nfw(given)),
    "EllipticalNFW": lambda given: ("NFW_ELLIPSE_POTENTIAL", {**_of_nfw(given), **_e1e2(given)}),
    "Hernquist": lambda given: ("HERNQUIST", _of_hernquist(given)),
    "PJAFFE": lambda given: ("PJAFFE", _of_pjaffe(given)),
    "dPIE": lambda given: ("PJAFFE", _of_pjaffe(given)),
    "EllipticalPJAFFE": lambda given: ("PJAFFE_ELLIPSE_POTENTIAL", {**_of_pjaffe(given), **_e1e2(given)}),
    "EllipticaldPIE": lambda given: ("PJAFFE_ELLIPSE_POTENTIAL", {**_of_pjaffe(given), **_e1e2(given)}),
    "Shear": lambda given: ("SHEAR", dict(given)),
    "Convergence": lambda given: ("CONVERGENCE", {"kappa": given["kappa_ext"]}),
    "Multipole3": lambda given: ("MULTIPOLE", _of_multipole(given, 3)),
    "Multipole4": lambda given: ("MULTIPOLE", _of_multipole(given, 4)),
}

# ---------------------------------------------------------------- sources


def sersic_b(n: float) -> float:
    """lenstronomy's b of a Sérsic profile, 1.9992 n − 0.3271; here it is 1.992 n − 0.3271."""
    return 1.9992 * n - 0.3271


def to_sources(
    source_light_model_list: Iterable[str], kwargs_source: Iterable[Mapping], pixel_scale: float, grey: float = 1.0
) -> tuple[Component, ...]:
    """The sources here of lenstronomy's SERSIC, SERSIC_ELLIPSE, GAUSSIAN and GAUSSIAN_ELLIPSE.

    With b lenstronomy's and b′ ours, σσ₂ = R² (b′/b)^2n, R = R_sersic / pixel_scale; axes R √q and R / √q, the longer
    one along φ. The luminosity is the flux / 1000: 2π n e^b b^−2n Γ(2n) amp R_sersic² / 1000. A Gaussian is the Sérsic
    profile of n = ½, since Spherical and Ellipsoid have the brightness 255 in their middle.

    Raises:
        UserError: a profile without counterpart, or of wrong arguments.
    """
    check_pixel_scale(pixel_scale)
    found = []
    for number, (name, given) in enumerate(_paired(source_light_model_list, kwargs_source, "kwargs_source"), 1):
        found.append(converted(SOURCES, name, given, f"lenstronomy: source {number}", pixel_scale, grey))
    return tuple(found)


def _sersic(s, grey, amp, R_sersic, n_sersic, center_x=0.0, center_y=0.0):
    return _sersic_ellipse(s, grey, amp, R_sersic, n_sersic, 0.0, 0.0, center_x, center_y)


def _sersic_ellipse(s, grey, amp, R_sersic, n_sersic, e1, e2, center_x=0.0, center_y=0.0):
    level, b, shape = amp * grey * s * s, sersic_b(n_sersic), ellipse(e1, e2)
    return profiles.source(Light.sersic(center_x / s, center_y / s, level, R_sersic / s, n_sersic, b, *shape))


def _gaussian(s, grey, amp, sigma, center_x=0.0, center_y=0.0):
    return _gaussian_ellipse(s, grey, amp, sigma, 0.0, 0.0, center_x, center_y)


def _gaussian_ellipse(s, grey, amp, sigma, e1, e2, center_x=0.0, center_y=0.0):
    return profiles.source(Light.gaussian(center_x / s, center_y / s, amp * grey, sigma / s, *ellipse(e1, e2)))


SOURCES = {
    "SERSIC": _sersic,
    "SERSIC_ELLIPSE": _sersic_ellipse,
    "GAUSSIAN": _gaussian,
    "GAUSSIAN_ELLIPSE": _gaussian_ellipse,
}


def from_sources(sources: Iterable[Component], pixel_scale: float, grey: float = 1.0) -> Profiles:
    """(source_light_model_list, kwargs_source) of sources here.

    Spherical and Ellipsoid become GAUSSIAN and GAUSSIAN_ELLIPSE, Sérsic profiles SERSIC and SERSIC_ELLIPSE.

    Raises:
        UserError: a source without counterpart.
    """
    check_pixel_scale(pixel_scale)
    s, names, arguments = pixel_scale, [], []
    for number, part in enumerate(sources, 1):
        try:
            light = profiles.light(part)
        except ValueError as error:
            raise UserError(f"source {number}: {error}") from None
        if part.name.startswith("Sersic"):
            name = "SERSIC" if part.name == "SersicSphere" else "SERSIC_ELLIPSE"
            radius, level = light.half_light(sersic_b(light.n))
            given = {"amp": level / (grey * s * s), "R_sersic": radius * s, "n_sersic": light.n}
        else:
            name = "GAUSSIAN" if part.name in ("Spherical", "s") else "GAUSSIAN_ELLIPSE"
            given = {"amp": light.flux / grey, "sigma": light.scale / math.sqrt(2) * s}
        if name.endswith("ELLIPSE"):
            given["e1"], given["e2"] = ellipticity(light.q, light.angle)
        names.append(name)
        arguments.append({**given, "center_x": light.x * s, "center_y": light.y * s})
    return names, arguments
