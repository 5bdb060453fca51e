"""COOLEST files: lens models and observations as JSON (Galan et al. 2023, JOSS 8, 5567).

Its lengths are arcsec, x to the right and y up, about an origin that is ours. Its angles φ of major axes run from y,
counter-clockwise: the orientation here, of the minor axis of a mass, is its φ. Its radii of ellipses are √(ab), so that
θ_E is ours. Its brightness is per square arcsec; one unit of flux in a pixel is `grey` grey levels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from droulette import __version__, files
from droulette.errors import UserError
from droulette.formats import profiles
from droulette.formats.description import Component, Description, check_pixel_scale, converted
from droulette.formats.lenstronomy import sersic_b
from droulette.formats.profiles import Light, mass

REDSHIFTS = (0.5, 2.0)  # of lens and source: files need them, and lengths here do not
MOST_BYTES = 100_000_000

# ---------------------------------------------------------------- mass


def _sie(theta_E, q, phi, center_x, center_y):
    return Component("SIE", center_x, center_y, {"einstein_radius": theta_E, **mass(_ratio(q), phi + 90)})


def _pemd(gamma, theta_E, q, phi, center_x, center_y):
    given = {"einstein_radius": theta_E, **mass(_ratio(q), phi + 90), "slope": gamma}
    return Component("EPL", center_x, center_y, given)


def _external_shear(gamma_ext, phi_ext):
    angle = math.radians(2 * (phi_ext + 90))
    return Component("Shear", 0.0, 0.0, {"gamma1": gamma_ext * math.cos(angle), "gamma2": gamma_ext * math.sin(angle)})


def _convergence_sheet(kappa_s):
    return Component("Convergence", 0.0, 0.0, {"kappa_ext": kappa_s})


def _ratio(q: float) -> float:
    if not 0 < q <= 1:
        raise ValueError(f"found q = {q:g}, expected a number in (0, 1]")
    return q


MASS = {"SIE": _sie, "PEMD": _pemd, "ExternalShear": _external_shear, "ConvergenceSheet": _convergence_sheet}


def _ellipse(part: Component) -> dict[str, float]:
    """Of an isothermal lens or a power law."""
    given = part.parameters
    q, phi = given.get("axis_ratio", 1.0), _phi(given.get("orientation", 0.0))
    return {"theta_E": given["einstein_radius"], "q": q, "phi": phi, "center_x": part.x, "center_y": part.y}


def _phi(angle: float) -> float:
    """The same axis in (−90, 90]."""
    return 90 - (90 - angle) % 180


def _of_shear(part: Component) -> dict[str, float]:
    first, second = part.parameters["gamma1"], part.parameters["gamma2"]
    angle = math.degrees(math.atan2(second, first)) / 2
    return {"gamma_ext": math.hypot(first, second), "phi_ext": _phi(angle - 90)}


OURS = {
    "SIS": lambda part: ("SIE", _ellipse(part)),
    "SIE": lambda part: ("SIE", _ellipse(part)),
    "EPL": lambda part: ("PEMD", {"gamma": part.parameters["slope"], **_ellipse(part)}),
    "Shear": lambda part: ("ExternalShear", _of_shear(part)),
    "Convergence": lambda part: ("ConvergenceSheet", {"kappa_s": part.parameters["kappa_ext"]}),
}
FIELDS = ("Shear", "Convergence")  # which COOLEST keeps at the origin, in an entity of their own

# ---------------------------------------------------------------- light


def _sersic(s, grey, I_eff, theta_eff, n, q, phi, center_x, center_y):
    level, x, y = I_eff * grey * s * s, center_x / s, center_y / s
    return profiles.source(Light.sersic(x, y, level, theta_eff / s, n, sersic_b(n), _ratio(q), (phi + 90) % 180))


LIGHT = {"Sersic": _sersic}


def _of_source(part: Component, s: float, grey: float) -> dict[str, float]:
    light = profiles.light(part)
    if not 0.5 <= light.n <= 10:
        raise ValueError(f"found a Sérsic index of {light.n:g}, expected 0.5 to 10")
    radius, level = light.half_light(sersic_b(light.n))
    place = {"center_x": light.x * s, "center_y": light.y * s}
    shape = {"q": light.q, "phi": _phi(light.angle - 90)}
    return {"I_eff": level / (grey * s * s), "theta_eff": radius * s, "n": light.n, **shape, **place}


# ---------------------------------------------------------------- reading


def read(path: str | Path, grey: float = 1.0) -> Description:
    """The scene of a COOLEST file: its masses, the light of its source, its pixels, its PSF and noise.

    | COOLEST | here |
    |---|---|
    | SIE, PEMD | SIE, EPL: θ_E = theta_E, f = q, orientation = φ, slope = gamma |
    | ExternalShear, ConvergenceSheet | Shear: γ₁ + iγ₂ = −gamma_ext exp(2i phi_ext); Convergence |
    | Sersic | SersicEllipsoid as lenstronomy's, with amp = I_eff and φ + 90°; SersicSphere where q = 1 |
    | instrument, observation | keys of the table [instrument] |

    What has no place here, the light of the lens for example, is named in `notes`.

    Raises:
        UserError: not a COOLEST file, a profile without counterpart, a parameter without value, several lens planes.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path}: found {path.stat().st_size} bytes, expected at most {MOST_BYTES}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON file: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {type(content).__name__}, expected a COOLEST object")
    return parse(content, str(path), grey, path.parent)


def parse(
    content: Mapping[str, Any], name: str = "COOLEST", grey: float = 1.0, folder: str | Path | None = None
) -> Description:
    """The scene of the content of a COOLEST file, as `read`. name: for errors. folder: where its FITS files are."""
    _check_brightness(grey)
    instrument = _get(content, "instrument", dict, name)
    s = _number(instrument, "pixel_size", f"{name}: instrument")
    check_pixel_scale(s)
    entities = _get(content, "lensing_entities", list, name)
    lenses, sources, notes = _entities(entities, s, grey, name)
    observation = content.get("observation")
    try:
        size, keys, more = _observation(observation if isinstance(observation, dict) else {}, instrument, s, grey)
        if endless := [key for key, value in keys.items() if isinstance(value, float) and not math.isfinite(value)]:
            raise ValueError(f"{endless[0]} = {keys[endless[0]]}")
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        expected = "expected what COOLEST has there"
        raise UserError(f"{name}: instrument or observation: found {str(error)[:80]!r}, {expected}") from error
    if folder is not None and keys.get("psf", "gaussian") != "gaussian":
        keys["psf"] = str(Path(folder) / keys["psf"])
    return Description(lenses, sources, s, size, keys, (*notes, *more))


def _check_brightness(grey: float) -> None:
    if not (math.isfinite(grey) and grey > 0):
        raise UserError(f"brightness: found {grey:g}, expected a positive number")


def _get(table: Mapping, key: str, kind: type, where: str) -> Any:
    value = table.get(key)
    if not isinstance(value, kind):
        wanted = {dict: "a table", list: "a list", str: "a text"}[kind]
        raise UserError(f"{where}: found {key} = {str(value)[:80]}, expected {wanted}")
    return value


def _number(table: Mapping, key: str, where: str) -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise UserError(f"{where}: found {key} = {str(value)[:80]}, expected a finite number")
    return float(value)


def _entities(
    entities: list, s: float, grey: float, name: str
) -> tuple[tuple[Component, ...], tuple[Component, ...], list[str]]:
    """Lenses, sources and notes. The source is what lies furthest; where no redshifts differ, galaxies without mass."""
    notes: list[str] = []
    lenses: list[Component] = []
    sources: list[Component] = []
    redshifts = [_redshift(entity, f"{name}: lensing_entities {k}") for k, entity in enumerate(entities, 1)]
    known = [redshift for redshift in redshifts if redshift is not None]
    furthest = max(known) if len(set(known)) > 1 else None
    planes = set()
    for number, (entity, redshift) in enumerate(zip(entities, redshifts, strict=True), 1):
        title = f"{entity.get('name', number)}"[:80]
        where = f"{name}: {title}"
        masses, lights = _profiles(entity, "mass_model", where), _profiles(entity, "light_model", where)
        is_source = redshift == furthest if furthest is not None and redshift is not None else not masses
        if is_source and masses:
            notes.append(f"{title}: its mass is left out: there is nothing behind it")
        if is_source:
            for kind, given, place in lights:
                sources.append(converted(LIGHT, kind, given, place, s, grey))
            continue
        if masses and entity["type"] == "Galaxy":
            planes.add(redshift)
        for kind, given, place in masses:
            lenses.append(converted(MASS, kind, given, place).scaled(1 / s))
        notes.extend(f"{title}: its light, {kind}, is left out" for kind, _, _ in lights)
    if len(planes) > 1:
        found = ", ".join(str(redshift) for redshift in sorted(planes, key=str))
        raise UserError(f"{name}: found lenses at the redshifts {found}, expected one lens plane")
    return tuple(lenses), tuple(sources), notes


def _redshift(entity: Any, where: str) -> float | None:
    if not isinstance(entity, dict) or entity.get("type") not in ("Galaxy", "MassField"):
        raise UserError(f"{where}: found {str(entity)[:80]}, expected one of type Galaxy or MassField")
    return None if entity.get("redshift") is None else _number(entity, "redshift", where)


def _profiles(entity: Mapping, model: str, where: str) -> list[tuple[str, dict[str, float], str]]:
    """(type, parameters, place for errors) of each profile of a galaxy's mass or light; light without any is none."""
    if entity.get(model) is None:
        return []
    found = []
    for number, profile in enumerate(_get(entity, model, list, where), 1):
        place = f"{where}: {model} {number}"
        if not isinstance(profile, dict):
            raise UserError(f"{place}: found {str(profile)[:80]}, expected a table")
        kind = _get(profile, "type", str, place)
        given = _get(profile, "parameters", dict, place)
        values = {}
        if kind in MASS or kind in LIGHT:
            for key, parameter in given.items():
                estimate = parameter.get("point_estimate") if isinstance(parameter, dict) else None
                value = estimate.get("value") if isinstance(estimate, dict) else None
                if value is not None:  # the converter misses it, unless it is of a lens's light, which is left out
                    values[key] = value
        found.append((kind, values, place))
    return found


def _observation(
    observation: Mapping, instrument: Mapping, s: float, grey: float
) -> tuple[int | None, dict[str, Any], list[str]]:
    """Size of the picture, keys of [instrument] and notes. A grey level is a count a second there."""
    keys: dict[str, Any] = {}
    notes: list[str] = []
    size = _size(observation.get("pixels"), s, notes)
    psf = instrument.get("psf") or {}
    match psf.get("type"):
        case None:
            pass
        case "GaussianPSF":
            if psf.get("fwhm"):
                keys |= {"psf": "gaussian", "psf-fwhm": float(psf["fwhm"])}
        case "PixelatedPSF" if _file(psf.get("pixels")):
            keys["psf"] = _file(psf["pixels"])
            side = _pixel_size(psf["pixels"])
            if side and not math.isclose(side, s, rel_tol=1e-6):
                notes.append(f"psf: its pixels are {side:g}″, those of the picture {s:g}″; it is taken as it is")
        case kind:
            notes.append(f"psf: {kind} is left out")
    noise = observation.get("noise") or {}
    match noise.get("type"):
        case None:
            pass
        case "UniformGaussianNoise":
            keys["noise"] = grey * float(noise.get("std_dev", 0.0))
        case "InstrumentalNoise" if isinstance(observation.get("exposure_time"), int | float):
            _instrumental(noise, observation, instrument, grey, keys, notes)
        case kind:
            path = _file(noise.get("noise_map")) or _file(noise.get("wht_map"))
            notes.append(f"noise: {kind} is left out" + (f" ({path})" if path else ""))
    return size, keys, notes


def _instrumental(
    noise: Mapping, observation: Mapping, instrument: Mapping, grey: float, keys: dict[str, Any], notes: list[str]
) -> None:
    """Noise that follows from the exposure; one unit of flux is an electron a second, which is `grey` counts."""
    keys["exposure"] = float(observation["exposure_time"])
    if grey != 1:
        keys["gain"] = 1 / grey
    if noise.get("with_readout_noise", True) and instrument.get("readout_noise"):
        keys["read-noise"] = float(instrument["readout_noise"])
    sky, zero = observation.get("mag_sky_brightness"), observation.get("mag_zero_point")
    if noise.get("with_sky_shot_noise", True) and sky is not None and zero is not None:
        keys |= {"zero-point": float(zero) + 2.5 * math.log10(grey), "sky-brightness": float(sky)}
    if not noise.get("with_target_shot_noise", True):
        notes.append("noise: here the target's photons have shot noise too")


def _size(pixels: Any, s: float, notes: list[str]) -> int | None:
    if not isinstance(pixels, dict) or not pixels.get("num_pix_x"):
        return None
    width, height = int(pixels["num_pix_x"]), int(pixels.get("num_pix_y", 0))
    if width != height:
        notes.append(f"the picture of {width} × {height} px is drawn as a square")
    if _file(pixels):
        notes.append(f"the observed picture {_file(pixels)} is not read")
    # Pixel (i, j) here is at x = j − N/2, y = N/2 − i.
    left, low = (float(pixels[key][0]) / s for key in ("field_of_view_x", "field_of_view_y"))
    off = left + width / 2 + 0.5, low + height / 2 - 0.5
    if max(map(abs, off)) > 1e-6:
        notes.append(f"the middles of the file's pixels lie ({off[0]:g}, {off[1]:g}) px from those drawn here")
    return max(width, height)


def _file(grid: Any) -> str | None:
    """The FITS file of a grid."""
    if not isinstance(grid, dict) or not isinstance(grid.get("fits_file"), dict):
        return None
    return grid["fits_file"].get("path")


def _pixel_size(grid: Mapping) -> float:
    if not grid.get("num_pix_x"):
        return 0.0
    left, right = grid["field_of_view_x"]
    return abs(right - left) / grid["num_pix_x"]


# ---------------------------------------------------------------- writing


def write(scene: Description, path: str | Path, redshifts: tuple[float, float] = REDSHIFTS, grey: float = 1.0) -> None:
    """Write a scene as a COOLEST file, which `coolest` reads without change. Raises as `document` does."""
    text = json.dumps(document(scene, redshifts, grey), indent=2, ensure_ascii=False)
    with files.atomic_write(path) as partial:
        partial.write_text(f"{text}\n", encoding="utf-8")


def document(scene: Description, redshifts: tuple[float, float] = REDSHIFTS, grey: float = 1.0) -> dict[str, Any]:
    """The content of a COOLEST file: the table of `read`, read from right to left; an SIS is an SIE of q = 1.

    Gaussians, Spherical and Ellipsoid, become Sérsic profiles of n = ½. redshifts: of lens and source.

    Raises:
        UserError: a lens or source without counterpart; Shear or Convergence whose place is not the origin.
    """
    s = scene.pixel_scale
    check_pixel_scale(s)
    _check_brightness(grey)
    if not 0 <= redshifts[0] < redshifts[1] < math.inf:
        raise UserError(f"redshifts: found {redshifts[0]:g} and {redshifts[1]:g}, expected the lens before the source")
    bodies, fields, lights = [], [], []
    for number, part in enumerate(scene.lenses, 1):
        if part.name not in OURS:
            expected = ", ".join(OURS)
            raise UserError(f"lens {number}: found {part.name}, which COOLEST has not, expected one of {expected}")
        if part.name in FIELDS and (part.x, part.y) != (0.0, 0.0):
            raise UserError(f"lens {number}: found {part.name} at ({part.x:g}, {part.y:g}), expected it at the origin")
        (fields if part.name in FIELDS else bodies).append(OURS[part.name](part.scaled(s)))
    for number, part in enumerate(scene.sources, 1):
        try:
            lights.append(("Sersic", _of_source(part, s, grey)))
        except ValueError as error:
            raise UserError(f"source {number}: {error}") from None
    entities = [
        _entity(0, "Galaxy", "lens", redshifts[0], bodies, ()),
        _entity(1, "Galaxy", "source", redshifts[1], (), lights),
    ]
    if fields:
        entities.append(_entity(2, "MassField", "external", redshifts[0], fields, None))
    return {
        "coordinates_origin": {"dec": "+00d00m00s", "ra": "00h00m00s"},
        "cosmology": None,
        "instrument": {"band": "", "name": "", "pixel_size": s, "psf": _psf(scene), "readout_noise": 0.0},
        "lensing_entities": entities,
        "meta": {"droulette.__version__": __version__},
        "mode": "MOCK",
        "observation": {
            "exposure_time": None,
            "mag_sky_brightness": None,
            "mag_zero_point": None,
            "noise": _noise(scene, grey),
            "pixels": _grid(scene.size or 0, s),
        },
        "standard": "COOLEST",
    }


def _entity(
    place: int, kind: str, name: str, redshift: float, masses: Iterable[tuple], lights: Iterable[tuple] | None
) -> dict[str, Any]:
    ours = f"{place}-{kind.lower()}"
    found = {"mass_model": [_profile(f"{ours}-mass-{k}", *given) for k, given in enumerate(masses)]}
    if lights is not None:
        found["light_model"] = [_profile(f"{ours}-light-{k}", *given) for k, given in enumerate(lights)]
    return {**found, "name": name, "redshift": redshift, "type": kind}


def _profile(place: str, kind: str, parameters: Mapping[str, float]) -> dict[str, Any]:
    found = {}
    for name, value in parameters.items():
        point = {"value": float(value)}
        found[name] = {"id": f"{place}-{kind}-{name}", "point_estimate": point, "prior": {"type": None}}
    return {"id": f"{place}-{kind}", "parameters": found, "type": kind}


def _psf(scene: Description) -> dict[str, Any]:
    psf = scene.instrument.get("psf")
    if others := [key for key in scene.instrument if key not in ("psf", "psf-fwhm", "noise")]:
        raise UserError(f"instrument: found {others[0]}, which is not written, expected psf, psf-fwhm or noise")
    if psf == "gaussian":
        return {"description": None, "fwhm": scene.instrument["psf-fwhm"], "type": "GaussianPSF"}
    if psf in (None, "none"):
        return {"description": None, "type": None}
    raise UserError(f"psf: found {psf}, which COOLEST has not or which needs its file, expected none or gaussian")


def _noise(scene: Description, grey: float) -> dict[str, Any]:
    if "noise" in scene.instrument:
        return {"std_dev": scene.instrument["noise"] / grey, "type": "UniformGaussianNoise"}
    return {"type": None}


def _grid(size: int, s: float) -> dict[str, Any]:
    """The pixels of a picture here, of which (i, j) is at x = j − N/2, y = N/2 − i."""
    left, low = (-size / 2 - 0.5) * s, (-size / 2 + 0.5) * s
    across, up = ([left, left + size * s], [low, low + size * s]) if size else ([0, 0], [0, 0])
    return {
        "field_of_view_x": across,
        "field_of_view_y": up,
        "fits_file": {"path": None},
        "num_pix_x": size,
        "num_pix_y": size,
    }
