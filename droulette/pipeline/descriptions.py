"""Scenes as plain data from rows of a table, and tables and TOML files of a scene."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from droulette import quantities
from droulette.errors import UserError, one_line
from droulette.formats.description import Component, Description
from droulette.parameters import parse
from droulette.parameters.simulation import constellation_sources
from droulette.physics.lenses import LENSES
from droulette.physics.sources import SOURCES
from droulette.pipeline import scenes


def scene_of(frame: pd.DataFrame, row: int, name: str, pixel_scale: float | None = None) -> Description:
    """The scene of a row of a table of lenses, counted from 1.

    pixel_scale: arcsec; left out: the row's column `pixelscale`.

    Raises:
        UserError: no such row, a row that cannot be drawn, or no pixel scale.
    """
    if not 1 <= row <= len(frame):
        raise UserError(f"{name}: found {len(frame)} rows, expected a row {row}")
    frame = frame.reset_index(drop=True).iloc[row - 1 : row]
    given = frame.iloc[0]
    if pixel_scale is None:
        pixel_scale = _number(given, "pixelscale")
        if not pixel_scale:
            raise UserError(f"{name}: row {row}: found no column pixelscale, expected it or --pixel-scale")
    frame = scenes.normalise(frame, name)
    kind, _ = next(scenes.groups(frame, name))
    lens = scenes.lens_batch(frame, replace(kind, sampled=False), name)
    source = scenes.source_batch(frame, kind, name)
    place = float(frame["x"].iloc[0]), float(frame["y"].iloc[0])
    lenses = tuple(_part(*part, (0.0, 0.0)) for part in lens.parts())
    sources = tuple(_part(*part, place) for part in source.parts())
    keys: dict[str, Any] = {}
    notes = [f"row {row}: {said}" for said in _not_said(kind, given, keys)]
    return Description(lenses, sources, pixel_scale, None, keys, tuple(notes))


def _part(model: Any, x: Any, y: Any, origin: tuple[float, float]) -> Component:
    values = {quantity.name: getattr(model, quantity.name).item() for quantity in model.parameters}
    x, y = np.asarray(x, np.float64).item(), np.asarray(y, np.float64).item()
    return Component(type(model).names[0], origin[0] + x, origin[1] + y, values)


def _number(row: pd.Series, column: str) -> float:
    """0 where there is none."""
    value = row.get(column)
    return float(value) if isinstance(value, int | float | np.number) and np.isfinite(value) else 0.0


def _not_said(kind: scenes.Kind, row: pd.Series, keys: dict[str, Any]) -> list[str]:
    """What a scene does not hold of a row; what it does of the instrument is added to `keys`."""
    said = []
    if kind.model != "Raytrace":
        said.append(f"the simulation model {kind.model} is left out")
    if kind.sampled:
        said.append("the lens is exact here, not sampled")
    if kind.psf == "gaussian":
        keys |= {"psf": "gaussian", "psf-fwhm": _number(row, "psffwhm")}
    elif kind.psf not in (None, "none"):
        said.append(f"the PSF {kind.psf} is left out")
    if _number(row, "noise"):
        keys["noise"] = _number(row, "noise")
    for column, meaning in (
        ("electrons", "Poisson noise"),
        ("pedestal", "the background"),
        ("lightratio", "the light of the lens"),
        ("counts", "the source's brightness in column counts"),
        ("signaltonoise", "the source's brightness in column signaltonoise"),
    ):
        if _number(row, column):
            said.append(f"{meaning} is left out")
    if kind.neighbours:
        said.append(f"{kind.neighbours} neighbours are left out")
    return said


# ---------------------------------------------------------------- tables


def table_of(scene: Description) -> pd.DataFrame:
    """A table of one row, which `droulette.datagen` draws. Its pictures have no instrument.

    Raises:
        UserError: no lens or no source, or a number out of its range.
    """
    _check(scene)
    row: dict[str, Any] = {"index": 0, "filename": "image-0.png", "model": "Raytrace"}
    if len(scene.lenses) == 1 and _at_origin(scene.lenses[0]):
        row |= {"lens": scene.lenses[0].name, **_columns(scene.lenses[0], LENSES)}
    else:
        row["cluster"] = ";".join(_text(part, LENSES[part.name].parameters) for part in scene.lenses)
    if len(scene.sources) == 1:
        source = scene.sources[0]
        row |= {"source": source.name, "x": source.x, "y": source.y, **_columns(source, SOURCES)}
    else:
        row |= {"source": _constellation(scene), "x": 0.0, "y": 0.0}
    frame = pd.DataFrame([row])
    scene_of(frame, 1, "scene", scene.pixel_scale)
    return frame


def _check(scene: Description) -> None:
    if not scene.lenses or not scene.sources:
        found = f"{len(scene.lenses)} lenses and {len(scene.sources)} sources"
        raise UserError(f"scene: found {found}, expected at least one of each")
    for parts, models in ((scene.lenses, LENSES), (scene.sources, SOURCES)):
        for part in parts:
            if part.name not in models:
                raise UserError(f"scene: found {part.name}, expected one of {', '.join(models)}")
            if models[part.name].not_numbers:
                raise UserError(f"scene: found {part.name}, whose file a scene does not hold, expected another model")


def _at_origin(part: Component) -> bool:
    return (part.x, part.y) == (0.0, 0.0)


def _columns(part: Component, models: Any) -> dict[str, float]:
    return {quantity.column: float(part.parameters[quantity.name]) for quantity in models[part.name].parameters}


def _text(part: Component, fields: tuple[quantities.Quantity, ...]) -> str:
    """`SIE/x/y/θ_E/f/orientation`; a field that the part has not is 1."""
    numbers = (part.x, part.y, *(part.parameters.get(quantity.name, 1.0) for quantity in fields))
    return scenes.constituent_text(part.name, map(float, numbers))


def _constellation(scene: Description) -> str:
    for part in scene.sources:
        if part.name not in constellation_sources():
            expected = ", ".join(constellation_sources())
            raise UserError(f"scene: found {part.name} among several sources, expected {expected}")
    return ";".join(_text(part, quantities.SOURCE) for part in scene.sources)


# ---------------------------------------------------------------- TOML


def toml_of(scene: Description) -> str:
    """A TOML file whose distribution is this scene, for `droulette.datagen --toml`; with its instrument.

    Its lens is the sum of the scene's, at the origin.

    Raises:
        UserError: a lens elsewhere, no lens or source, or a number out of its range.
    """
    _check(scene)
    for number, part in enumerate(scene.lenses, 1):
        if not _at_origin(part):
            found = f"{part.name} at ({part.x:g}, {part.y:g}) px"
            raise UserError(
                f"lens {number}: found {found}, expected it at the origin; a table (--csv) may have it there"
            )
    tables: dict[str, dict[str, Any]] = {"simulator": {"size": 1}}
    if scene.size:
        tables["simulator"]["imagesize"] = scene.size
    tables |= _lens_tables(scene.lenses)
    if len(scene.sources) == 1:
        source = scene.sources[0]
        keys = {q.key: float(source.parameters[q.name]) for q in SOURCES[source.name].parameters}
        tables["source"] = {"mode": source.name, "position": "cartesian", **keys}
        tables["position"] = {"x": source.x, "y": source.y}
    else:
        tables["source"] = {"mode": _constellation(scene), "position": "cartesian"}
        tables["position"] = {"x": 0.0, "y": 0.0}
    if scene.instrument:
        tables["instrument"] = {"pixel-scale": scene.pixel_scale, **scene.instrument}
    parse(_nested(tables), "scene")
    blocks = [
        "\n".join([f"[{name}]", *(f"{k} = {_value(v)}" for k, v in keys.items())]) for name, keys in tables.items()
    ]
    notes = "".join(f"# {one_line(note)}\n" for note in scene.notes)
    return f"{notes}# A pixel is {scene.pixel_scale!r} arcsec.\n\n" + "\n\n".join(blocks) + "\n"


def _lens_tables(parts: tuple[Component, ...]) -> dict[str, dict[str, Any]]:
    """[lens], and a table for each part of a sum whose quantities an earlier one has too."""
    if len(parts) == 1:
        keys = {q.key: float(parts[0].parameters[q.name]) for q in LENSES[parts[0].name].parameters}
        return {"lens": {"mode": parts[0].name, **keys}}
    total = LENSES["+".join(part.name for part in parts)]
    by_name = {quantity.name: quantity for quantity in total.parameters}
    tables: dict[str, dict[str, Any]] = {"lens": {"mode": total.names[0]}}
    for part, model, names in zip(parts, total.models, total.names_of_parts, strict=True):
        for quantity, name in zip(model.parameters, names, strict=True):
            *table, key = by_name[name].key.split(".")
            keys = tables.setdefault(".".join(["lens", *table]), {})
            value = float(part.parameters[quantity.name])
            if keys.setdefault(key, value) != value:
                found = f"{part.name} of {quantity.name} = {value:g}, {keys[key]:g} before"
                raise UserError(f"scene: found {found}, expected the same; a table (--csv) may have both")
    return tables


def _nested(tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, keys in tables.items():
        table = nested
        for part in name.split("."):
            table = table.setdefault(part, {})
        table.update(keys)
    return nested


def _value(value: Any) -> str:
    """A TOML value: a number, or a text in quotes."""
    if isinstance(value, str):
        return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in value) + '"'
    return repr(value)
