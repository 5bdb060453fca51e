"""PyAutoLens's (PyAutoGalaxy's) mass and light profiles: their class's name with its arguments, or the objects.

Its lengths are arcsec, ours px of `pixel_scale` arcsec; its places are (y, x), y up. With e = (1 − q) / (1 + q) its
`ell_comps` are (e sin 2φ, e cos 2φ), φ the direction of the major axis, which is our orientation + 90°. Its Einstein
radius of an ellipse is another: θ_E here = √q (2 / (1 + q))^(1/(γ−1)) einstein_radius, which has the same mass
everywhere. Its intensity is counts in a pixel; a count in a pixel is `grey` grey levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from droulette.errors import UserError
from droulette.formats import profiles
from droulette.formats.description import Component, check_pixel_scale, converted
from droulette.formats.profiles import Light, einstein_radius, ellipse, ellipticity, major_axis, mass

Profile = tuple[str, dict[str, Any]]  # the class's name, and the arguments that make it


def plain(profile: Any) -> Profile:
    """(name, arguments) of a PyAutoLens profile object, or of such a pair.

    Raises:
        UserError: a class that is not known here.
    """
    if isinstance(profile, tuple | list):
        name, arguments = profile
        return name, dict(arguments)
    name = type(profile).__name__
    name = {"dPIEMassSph": "dPIEMassB0Sph"}.get(name, name)  # of which it is a kind, by a velocity dispersion
    convert = LENSES.get(name) or SOURCES.get(name)
    if convert is None:
        expected = ", ".join([*LENSES, *SOURCES])
        raise UserError(f"PyAutoLens: found {name}, which has no counterpart, expected one of {expected}")
    others = 1 if name in LENSES else 2
    code = convert.__code__
    return name, {argument: getattr(profile, argument) for argument in code.co_varnames[others : code.co_argcount]}


# ---------------------------------------------------------------- lenses


def to_lens(mass_profiles: Iterable[Any], pixel_scale: float) -> tuple[Component, ...]:
    """The lenses here of PyAutoLens's mass profiles.

    | PyAutoLens | here |
    |---|---|
    | PointMass, IsothermalSph | PointMass, SIS: θ_E = einstein_radius |
    | Isothermal, PowerLaw | SIE, EPL: θ_E = √q (2 / (1 + q))^(1/(γ−1)) einstein_radius, slope = slope |
    | PowerLawIntermediate, PowerLawSph | EPL: θ_E = einstein_radius |
    | NFWSph, NFW with ell_comps = (0, 0) | NFW: scale_radius; θ_E solves 4 κ_s R_s g(x) / x = θ_E, x = θ_E / R_s |
    | dPIEPotentialSph, dPIEMassB0Sph | PJAFFE: core_radius = ra, cut_radius = rs; θ_E solves α(θ_E) = θ_E |
    | dPIEPotential with ell_comps = (0, 0) | PJAFFE, likewise |
    | ExternalShear, MassSheet | Shear at the origin: gamma1, gamma2; Convergence |
    | PowerLawMultipole, m = 3 or 4, slope 2 | Multipole3, Multipole4: b = multipole_comps[0], a = multipole_comps[1] |

    `Isothermal` itself takes q = 0.99999 for rounder ellipses. The deflection of an elliptical `dPIEPotential` has a
    curl, so that no potential gives it.

    Raises:
        UserError: a profile without counterpart, or of wrong arguments, or one that has no Einstein radius.
    """
    check_pixel_scale(pixel_scale)
    found = []
    for number, profile in enumerate(mass_profiles, 1):
        part = converted(LENSES, *plain(profile), f"PyAutoLens: mass profile {number}", None)
        found.append(part.scaled(1 / pixel_scale))
    return tuple(found)


def _factor(q: float, slope: float) -> float:
    """The Einstein radius here over PyAutoLens's."""
    return math.sqrt(q) * (2 / (1 + q)) ** (1 / (slope - 1))


def _shape(ell_comps: tuple[float, float]) -> tuple[float, float]:
    across, along = ell_comps
    return ellipse(along, across)


def _point_mass(_, centre=(0.0, 0.0), einstein_radius=1.0):
    return Component("PointMass", centre[1], centre[0], {"einstein_radius": einstein_radius})


def _isothermal_sph(_, centre=(0.0, 0.0), einstein_radius=1.0):
    return Component("SIS", centre[1], centre[0], {"einstein_radius": einstein_radius})


def _isothermal(_, centre=(0.0, 0.0), ell_comps=(0.0, 0.0), einstein_radius=1.0):
    q, angle = _shape(ell_comps)
    return Component(
        "SIE", centre[1], centre[0], {"einstein_radius": _factor(q, 2.0) * einstein_radius, **mass(q, angle)}
    )


def _power_law(_, centre=(0.0, 0.0), ell_comps=(0.0, 0.0), einstein_radius=1.0, slope=2.0):
    q, _angle = _shape(ell_comps)
    return _power_law_intermediate(_, centre, ell_comps, _factor(q, slope) * einstein_radius, slope)


def _power_law_intermediate(_, centre=(0.0, 0.0), ell_comps=(0.0, 0.0), einstein_radius=1.0, slope=2.0):
    given = {"einstein_radius": einstein_radius, **mass(*_shape(ell_comps)), "slope": slope}
    return Component("EPL", centre[1], centre[0], given)


def _power_law_sph(_, centre=(0.0, 0.0), einstein_radius=1.0, slope=2.0):
    return _power_law_intermediate(_, centre, (0.0, 0.0), einstein_radius, slope)


def _nfw_sph(_, centre=(0.0, 0.0), kappa_s=0.05, scale_radius=1.0):
    strength = 4 * kappa_s * (1 - math.log(2))
    radius = einstein_radius(lambda r: strength * profiles.nfw(r / scale_radius), scale_radius)
    return Component("NFW", centre[1], centre[0], {"einstein_radius": radius, "scale_radius": scale_radius})


def _nfw(_, centre=(0.0, 0.0), ell_comps=(0.0, 0.0), kappa_s=0.05, scale_radius=1.0):
    if tuple(ell_comps) != (0.0, 0.0):
        raise ValueError(
            "found an elliptical mass, expected ell_comps = (0, 0): EllipticalNFW's potential is elliptical"
        )
    return _nfw_sph(_, centre, kappa_s, scale_radius)


def _dpie_sph(_, centre=(0.0, 0.0), ra=0.1, rs=2.0, b0=1.0):
    core, cut = sorted((ra, rs))
    radius = einstein_radius(lambda r: b0 * rs / cut * profiles.pjaffe(r, core, cut), cut)
    return Component(
        "PJAFFE", centre[1], centre[0], {"einstein_radius": radius, "core_radius": core, "cut_radius": cut}
    )


def _dpie_potential(_, centre=(0.0, 0.0), ell_comps=(0.0, 0.0), ra=0.1, rs=2.0, b0=1.0):
    if tuple(ell_comps) != (0.0, 0.0):
        raise ValueError("found a deflection that is no gradient of a potential, expected ell_comps = (0, 0)")
    return _dpie_sph(_, centre, ra, rs, b0)


def _external_shear(_, gamma_1=0.0, gamma_2=0.0):
    return Component("Shear", 0.0, 0.0, {"gamma1": gamma_1, "gamma2": gamma_2})


def _mass_sheet(_, centre=(0.0, 0.0), kappa=0.0):
    return Component("Convergence", centre[1], centre[0], {"kappa_ext": kappa})


def _multipole(_, m=4, centre=(0.0, 0.0), einstein_radius=1.0, slope=2.0, multipole_comps=(0.0, 0.0)):
    if m not in (3, 4) or slope != 2:
        raise ValueError(f"found m = {m:g} and slope = {slope:g}, expected m = 3 or 4 and slope = 2")
    given = {"einstein_radius": einstein_radius, f"a{m:.0f}": multipole_comps[1], f"b{m:.0f}": multipole_comps[0]}
    return Component(f"Multipole{m:.0f}", centre[1], centre[0], given)


LENSES = {
    "PointMass": _point_mass,
    "IsothermalSph": _isothermal_sph,
    "Isothermal": _isothermal,
    "PowerLaw": _power_law,
    "PowerLawIntermediate": _power_law_intermediate,
    "PowerLawSph": _power_law_sph,
    "NFWSph": _nfw_sph,
    "NFW": _nfw,
    "dPIEPotentialSph": _dpie_sph,
    "dPIEMassB0Sph": _dpie_sph,
    "dPIEPotential": _dpie_potential,
    "ExternalShear": _external_shear,
    "MassSheet": _mass_sheet,
    "PowerLawMultipole": _multipole,
}


def from_lens(lenses: Iterable[Component], pixel_scale: float) -> list[Profile]:
    """PyAutoLens's (class name, arguments) of lenses here: the table of `to_lens`, read from right to left.

    κ_s = 1 / (4 g(x) / x²), x = θ_E / R_s; b₀ = θ_E / α₁, α₁ the deflection at θ_E for b₀ = 1.

    Raises:
        UserError: a lens without counterpart, or a Shear whose place is not the origin.
    """
    check_pixel_scale(pixel_scale)
    found = []
    for number, part in enumerate(lenses, 1):
        part = part.scaled(pixel_scale)
        if part.name not in OURS:
            expected = ", ".join(OURS)
            raise UserError(f"lens {number}: found {part.name}, which PyAutoLens has not, expected one of {expected}")
        name, given = OURS[part.name](part.parameters)
        if name == "ExternalShear":
            if (part.x, part.y) != (0.0, 0.0):
                raise UserError(f"lens {number}: found Shear at ({part.x:g}″, {part.y:g}″), expected it at the origin")
            found.append((name, given))
        else:
            found.append((name, {"centre": (part.y, part.x), **given}))
    return found


def _ell_comps(q: float, angle: float) -> tuple[float, float]:
    along, across = ellipticity(q, angle)
    return across, along


def _of_ellipse(given: Mapping, slope: float) -> dict[str, Any]:
    q, angle = major_axis(given)
    return {"ell_comps": _ell_comps(q, angle), "einstein_radius": given["einstein_radius"] / _factor(q, slope)}


def _of_nfw(given: Mapping) -> dict[str, float]:
    scale = given["scale_radius"]
    mean = 4 * (1 - math.log(2)) * profiles.nfw(given["einstein_radius"] / scale)
    return {"kappa_s": 1 / mean, "scale_radius": scale}


def _of_pjaffe(given: Mapping) -> dict[str, float]:
    core, cut = given["core_radius"], given["cut_radius"]
    return {"ra": core, "rs": cut, "b0": 1 / profiles.pjaffe(given["einstein_radius"], core, cut)}


def _of_multipole(given: Mapping, m: int) -> dict[str, Any]:
    comps = (given[f"b{m:.0f}"], given[f"a{m:.0f}"])
    return {"m": m, "einstein_radius": given["einstein_radius"], "slope": 2.0, "multipole_comps": comps}


OURS = {
    "PM": lambda given: ("PointMass", dict(given)),
    "PointMass": lambda given: ("PointMass", dict(given)),
    "SIS": lambda given: ("IsothermalSph", dict(given)),
    "SIE": lambda given: ("Isothermal", _of_ellipse(given, 2.0)),
    "EPL": lambda given: ("PowerLaw", {**_of_ellipse(given, given["slope"]), "slope": given["slope"]}),
    "NFW": lambda given: ("NFWSph", _of_nfw(given)),
    "PJAFFE": lambda given: ("dPIEPotentialSph", _of_pjaffe(given)),
    "dPIE": lambda given: ("dPIEPotentialSph", _of_pjaffe(given)),
    "Shear": lambda given: ("ExternalShear", {"gamma_1": given["gamma1"], "gamma_2": given["gamma2"]}),
    "Convergence": lambda given: ("MassSheet", {"kappa": given["kappa_ext"]}),
    "Multipole3": lambda given: ("PowerLawMultipole", _of_multipole(given, 3)),
    "Multipole4": lambda given: ("PowerLawMultipole", _of_multipole(given, 4)),
}

# ---------------------------------------------------------------- sources


def sersic_b(n: float) -> float:
    """PyAutoLens's b of a Sérsic profile: the series of Ciotti & Bertin (1999, A&A 352, 447)."""
    terms = (4 / (405 * n), 46 / (25515 * n**2), 131 / (1148175 * n**3), -2194697 / (30690717750 * n**4))
    return 2 * n - 1 / 3 + sum(terms)


def to_sources(light_profiles: Iterable[Any], pixel_scale: float, grey: float = 1.0) -> tuple[Component, ...]:
    """The sources here of PyAutoLens's Sersic, Exponential, DevVaucouleurs and Gaussian, and of each with …Sph.

    With b PyAutoLens's and b′ ours, σσ₂ = R² (b′/b)^2n, R = effective_radius / pixel_scale; axes R √q and R / √q, the
    longer one along φ. The luminosity is the flux / 1000: 2π n e^b b^−2n Γ(2n) intensity R² / 1000. A Gaussian is the
    Sérsic profile of n = ½; its sigma is that of the minor axis, σ / q of the major axis.

    Raises:
        UserError: a profile without counterpart, or of wrong arguments.
    """
    check_pixel_scale(pixel_scale)
    found = []
    for number, profile in enumerate(light_profiles, 1):
        found.append(converted(SOURCES, *plain(profile), f"PyAutoLens: light profile {number}", pixel_scale, grey))
    return tuple(found)


def _sersic(s, grey, centre=(0.0, 0.0), ell_comps=(0.0, 0.0), intensity=0.1, effective_radius=0.6, sersic_index=4.0):
    x, y, n = centre[1] / s, centre[0] / s, sersic_index
    shape = _shape(ell_comps)
    return profiles.source(Light.sersic(x, y, intensity * grey, effective_radius / s, n, sersic_b(n), *shape))


def _sersic_sph(s, grey, centre=(0.0, 0.0), intensity=0.1, effective_radius=0.6, sersic_index=4.0):
    return _sersic(s, grey, centre, (0.0, 0.0), intensity, effective_radius, sersic_index)


def _exponential(s, grey, centre=(0.0, 0.0), ell_comps=(0.0, 0.0), intensity=0.1, effective_radius=0.6):
    return _sersic(s, grey, centre, ell_comps, intensity, effective_radius, 1.0)


def _exponential_sph(s, grey, centre=(0.0, 0.0), intensity=0.1, effective_radius=0.6):
    return _sersic(s, grey, centre, (0.0, 0.0), intensity, effective_radius, 1.0)


def _de_vaucouleurs(s, grey, centre=(0.0, 0.0), ell_comps=(0.0, 0.0), intensity=0.1, effective_radius=0.6):
    return _sersic(s, grey, centre, ell_comps, intensity, effective_radius, 4.0)


def _de_vaucouleurs_sph(s, grey, centre=(0.0, 0.0), intensity=0.1, effective_radius=0.6):
    return _sersic(s, grey, centre, (0.0, 0.0), intensity, effective_radius, 4.0)


def _gaussian(s, grey, centre=(0.0, 0.0), ell_comps=(0.0, 0.0), intensity=0.1, sigma=1.0):
    q, angle = _shape(ell_comps)
    flux = intensity * grey * 2 * math.pi * (sigma / s) ** 2 / q
    return profiles.source(Light.gaussian(centre[1] / s, centre[0] / s, flux, sigma / s / math.sqrt(q), q, angle))


def _gaussian_sph(s, grey, centre=(0.0, 0.0), intensity=0.1, sigma=1.0):
    return _gaussian(s, grey, centre, (0.0, 0.0), intensity, sigma)


SOURCES = {
    "Sersic": _sersic,
    "SersicSph": _sersic_sph,
    "Exponential": _exponential,
    "ExponentialSph": _exponential_sph,
    "DevVaucouleurs": _de_vaucouleurs,
    "DevVaucouleursSph": _de_vaucouleurs_sph,
    "Gaussian": _gaussian,
    "GaussianSph": _gaussian_sph,
}


def from_sources(sources: Iterable[Component], pixel_scale: float, grey: float = 1.0) -> list[Profile]:
    """PyAutoLens's (class name, arguments) of sources here.

    Spherical and Ellipsoid become GaussianSph and Gaussian, Sérsic profiles SersicSph and Sersic.

    Raises:
        UserError: a source without counterpart.
    """
    check_pixel_scale(pixel_scale)
    s, found = pixel_scale, []
    for number, part in enumerate(sources, 1):
        try:
            light = profiles.light(part)
        except ValueError as error:
            raise UserError(f"source {number}: {error}") from None
        given = {"centre": (light.y * s, light.x * s)}
        if part.name not in ("SersicSphere", "Spherical", "s"):
            given["ell_comps"] = _ell_comps(light.q, light.angle)
        if part.name.startswith("Sersic"):
            radius, level = light.half_light(sersic_b(light.n))
            given |= {"intensity": level / grey, "effective_radius": radius * s, "sersic_index": light.n}
        else:
            given |= {"intensity": light.peak / grey, "sigma": light.scale / math.sqrt(2) * s * math.sqrt(light.q)}
        kind = "Sersic" if part.name.startswith("Sersic") else "Gaussian"
        found.append((kind if "ell_comps" in given else f"{kind}Sph", given))
    return found
