"""Lenses, sources and instruments by their names and numbers."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
import pandas as pd

from droulette.errors import UserError
from droulette.physics.amplitudes import convergence_and_shear
from droulette.pipeline.scenes import NEIGHBOUR_COLUMNS, Kind, constituent_text, lens_batch
from droulette.quantities import CONSTELLATION, INSTRUMENT_COLUMNS, Quantity, find
from droulette.registry import LENSES, SOURCES, Models

# What a model needs beside numbers: the argument, its column in dataset.csv, and its default.
FILES: dict[str, tuple[tuple[str, str, object], ...]] = {
    "picture": (("image", "image", None),),
    "maps": (("map", "map", None), ("map_quantity", "mapquantity", "convergence"), ("map_pixel", "mappixel", 1.0)),
    "galaxies": (("galaxy", "galaxy", None),),
}
OF_LENS_LIGHT = {"lightratio", "lightradius", "lightaxisratio", "lightorientation", "lightsersic", "lightshare"}
OF_INSTRUMENT = {"psf", *(quantity.column for quantity in INSTRUMENT_COLUMNS)} - OF_LENS_LIGHT


@dataclass(frozen=True)
class Part:
    """One model with its parameters, and the place of its origin, px. files: columns of an Image, a Galaxy or a Map."""

    name: str
    parameters: Mapping[str, float]
    x: float = 0.0
    y: float = 0.0
    files: Mapping[str, object] = field(default_factory=dict)

    @property
    def centred(self) -> bool:
        return self.x == self.y == 0

    def __str__(self) -> str:
        place = {} if self.centred else {"x": self.x, "y": self.y}
        named = {**self.parameters, **self.files, **place}
        return ", ".join([repr(self.name), *(f"{name}={value!r}" for name, value in named.items())])


@dataclass(frozen=True, repr=False)
class _Sum:
    parts: tuple[Part, ...]

    def __repr__(self) -> str:
        return " + ".join(f"{type(self).__name__.lower()}({part})" for part in self.parts)


class Lens(_Sum):
    """A lens, or a sum of lenses; made by `lens`.

    Coordinates are px of the lens plane, x to the right and y up. They may be arrays of any shape; results have it.
    """

    def __add__(self, other: Lens) -> Lens:
        if not isinstance(other, Lens):
            return NotImplemented
        return Lens((*self.parts, *other.parts))

    @cached_property
    def physical(self):
        """The lens of `droulette.physics`, a batch of one."""
        frame = pd.DataFrame([self.columns()])
        part = self.parts[0].name if self._single is None else self._single.name
        names = (part,) if "lens" in frame else tuple(one.name for one in self.parts)
        return lens_batch(frame, Kind("Raytrace", False, names, "cluster" in frame, (), False), "lens")

    def potential(self, x, y) -> np.ndarray:
        """ψ(x, y), px²."""
        return self._at(lambda x, y: [self.physical.potential(x, y)], x, y)[0]

    def deflection(self, x, y) -> tuple[np.ndarray, np.ndarray]:
        """∇ψ(x, y), px: the point (x, y) of the lens plane shows the point (x, y) − ∇ψ of the source plane."""
        return self._at(self.physical.deflection, x, y)

    def convergence(self, x, y) -> np.ndarray:
        """κ(x, y)."""
        return self._at(lambda x, y: convergence_and_shear(self.physical, x, y), x, y)[0]

    def shear(self, x, y) -> np.ndarray:
        """γ₁ + iγ₂ at (x, y)."""
        _, gamma1, gamma2 = self._at(lambda x, y: convergence_and_shear(self.physical, x, y), x, y)
        return gamma1 + 1j * gamma2

    def _at(self, formula, x, y) -> tuple[np.ndarray, ...]:
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        with np.errstate(all="ignore"):
            values = formula(x.ravel(), y.ravel())
        return tuple((value + np.zeros(x.size)).reshape(x.shape)[()] for value in values)

    @cached_property
    def _single(self) -> Part | None:
        """The whole as one model, where all parts have one origin."""
        if not all(part.centred for part in self.parts):
            return None
        if len(self.parts) == 1:
            return self.parts[0]
        files = [part.files for part in self.parts if part.files]
        whole = "+".join(part.name for part in self.parts)
        if whole not in LENSES or len(files) > 1 or any("+" in part.name for part in self.parts):
            return None
        values: dict[str, float] = {}
        for part, names in zip(self.parts, LENSES[whole].names_of_parts, strict=True):
            of_part = [part.parameters[quantity.name] for quantity in LENSES[part.name].parameters]
            for name, value in zip(names, of_part, strict=True):
                if values.setdefault(name, value) != value:  # a quantity that the sum's parts share
                    return None
        return Part(LENSES[whole].names[0], values, files=files[0] if files else {})

    def columns(self) -> dict[str, object]:
        """Of a row of dataset.csv: those of a single lens at the origin, else the text `cluster`."""
        if (single := self._single) is not None:
            quantities = LENSES[single.name].parameters
            return {
                "lens": single.name,
                **{q.column: single.parameters[q.name] for q in quantities},
                **single.files,
            }
        texts = []
        for part in self.parts:
            numbers = [part.x, part.y, *(part.parameters[q.name] for q in LENSES[part.name].parameters)]
            texts.append(constituent_text(part.name, numbers))
        return {"cluster": ";".join(texts)}


class Source(_Sum):
    """A source, or a sum of sources (a constellation); made by `source`."""

    def __add__(self, other: Source) -> Source:
        if not isinstance(other, Source):
            return NotImplemented
        return Source((*self.parts, *other.parts))

    def columns(self) -> dict[str, object]:
        """Of a row of dataset.csv."""
        first = self.parts[0]
        if len(self.parts) == 1 and first.centred:
            parameters = {q.column: first.parameters[q.name] for q in SOURCES[first.name].parameters}
            return {"source": first.name, **parameters, **first.files}
        texts = []
        for part in self.parts:
            numbers = [part.x, part.y, *(part.parameters.get(name, 1.0) for name in CONSTELLATION[2:])]
            texts.append(constituent_text(part.name, numbers))
        return {"source": ";".join(texts)}


@dataclass(frozen=True)
class Instrument:
    """What takes a picture, as columns of dataset.csv; made by `instrument`."""

    columns: Mapping[str, object]


@dataclass(frozen=True)
class LensLight:
    """The lens galaxy's own light, as columns of dataset.csv; made by `lens_light`."""

    columns: Mapping[str, float]


@dataclass(frozen=True)
class Neighbour:
    """Another galaxy in the picture, by NEIGHBOUR_COLUMNS; made by `neighbour`."""

    columns: Mapping[str, float]


def lens(name: str, *, x: float = 0.0, y: float = 0.0, **parameters: float | str) -> Lens:
    """A lens by the name of its model. Lenses are added with `+`.

    Args:
        name: "SIE", "PM", "SIS", …, or a sum about one origin, "SIE+Shear"; docs/conventions.md lists them.
        x, y: origin of the lens, px from the origin of the lens plane.
        parameters: all that the model has, for example einstein_radius (px), axis_ratio (minor over major axis) and
            orientation (degrees, direction of the minor axis of the mass, counter-clockwise from x). Of a Map, map is
            a file below the working folder; map_quantity and map_pixel as in the TOML table [lens].

    Raises:
        UserError: an unknown name or parameter, a missing one, or a number out of its range.
    """
    return Lens((_part(LENSES, "lens", name, x, y, parameters),))


def source(name: str, *, x: float = 0.0, y: float = 0.0, **parameters: float | str) -> Source:
    """A light profile by the name of its model. Sources are added with `+`.

    Args:
        name: "Spherical", "Ellipsoid", "SersicSphere", "SersicEllipsoid", "Triangle", "Image", …
        x, y: place in a sum of sources, px from the common centre. Where the whole is, `Scene` says.
        parameters: all that the model has, for example sigma (px: standard deviation or half-light radius), n_sersic
            and luminosity. Of an Image, image is a file below the working folder; of a Galaxy, galaxy is.

    Raises:
        UserError: as `lens`.
    """
    return Source((_part(SOURCES, "source", name, x, y, parameters),))


def instrument(preset: str | None = None, *, seed: int = 0, **keys: float | str | bool) -> Instrument:
    """A telescope's camera: point spread function, background and noise.

    Args:
        preset: a name of docs/instruments.md, "euclid-vis" or "hst" for example; keys that are given replace its own.
        seed: of the noise, and of what a preset gives as a range.
        keys: those of the TOML table [instrument] with _ in place of -, for example magnitude of the source,
            signal_to_noise, exposure (s), psf_fwhm (px, or arcsec with psf_unit="arcsec").

    Raises:
        UserError: an unknown preset or key, or a value out of its range.
    """
    from droulette import parameters
    from droulette.parameters.simulation import LensLight as NoLight
    from droulette.pipeline.draw_instrument import observed_columns
    from droulette.pipeline.streams import Streams

    table = {name.replace("_", "-"): value for name, value in keys.items()}
    table |= {} if preset is None else {"preset": preset}
    table = table or {"psf": "none"}
    params = parameters.parse({"instrument": table}, "instrument")
    columns = observed_columns(Streams(seed, 0, 1), params.instrument, NoLight(), {})
    return Instrument(MappingProxyType({name: column[0] for name, column in columns.items()}))


def lens_light(
    flux_ratio: float,
    radius: float,
    *,
    axis_ratio: float = 1.0,
    orientation: float = 0.0,
    n_sersic: float = 4.0,
    share: float = 1.0,
) -> LensLight:
    """The lens galaxy's own light: a Sérsic ellipsoid at the origin, in a picture that an instrument takes.

    Args:
        flux_ratio: its light over that of the lensed source.
        radius: half-light radius, px.
        axis_ratio, orientation: of its ellipse; degrees, direction of the minor axis.
        share: of the light that is left in the picture; the noise stays.
    """
    columns = {
        "lightratio": flux_ratio, "lightradius": radius, "lightaxisratio": axis_ratio,
        "lightorientation": orientation, "lightsersic": n_sersic, "lightshare": share,
    }  # fmt: skip
    for name, value in columns.items():
        columns[name] = _number("lens_light", name, find(name), value)
    return LensLight(MappingProxyType(columns))


def neighbour(
    x: float,
    y: float,
    flux_ratio: float,
    radius: float,
    *,
    axis_ratio: float = 1.0,
    orientation: float = 0.0,
    n_sersic: float = 1.0,
) -> Neighbour:
    """Another galaxy in a picture that an instrument takes: a Sérsic ellipsoid that is not lensed.

    Args:
        x, y: its place, px from the origin of the lens plane.
        flux_ratio: its light over that of the lensed source.
        radius: half-light radius, px.
        axis_ratio, orientation: of its ellipse; degrees, direction of the minor axis.
    """
    numbers = (x, y, flux_ratio, radius, axis_ratio, orientation, n_sersic)
    columns = {c: _number("neighbour", c, find(c), value) for c, value in zip(NEIGHBOUR_COLUMNS, numbers, strict=True)}
    return Neighbour(MappingProxyType(columns))


def _part(models: Models, kind: str, name: str, x: float, y: float, given: Mapping[str, float | str]) -> Part:
    if not isinstance(name, str) or name not in models:
        expected = _nearest(str(name), models)
        raise UserError(f"{kind}: found {str(name)[:80]!r}, expected {expected}")
    model = models[name]
    known = {quantity.name: quantity for quantity in model.parameters}
    files = {}
    for key, column, default in (entry for needed in model.not_numbers for entry in FILES[needed]):
        files[column] = given.get(key, default)
        if files[column] is None:
            raise UserError(f"{name}: found no {key}, expected a file's name")
        given = {other: value for other, value in given.items() if other != key}
    for key in given:
        if key not in known:
            spelt = {q.column: q.name for q in known.values()} | {q.key: q.name for q in known.values()}
            raise UserError(
                f"{name}: {key}: found an unknown parameter, expected {spelt.get(key) or _nearest(key, known)}"
            )
    if missing := [key for key in known if key not in given]:
        raise UserError(f"{name}: found no {missing[0]}, expected the parameters {', '.join(known)}")
    place = _number(name, "x", find("x"), x), _number(name, "y", find("y"), y)
    values = {key: _number(name, key, quantity, given[key]) for key, quantity in known.items()}
    return Part(model.names[0], MappingProxyType(values), *place, MappingProxyType(files))


def _number(owner: str, key: str, quantity: Quantity, value: object) -> float:
    """A float. Raises `UserError`: no finite number, or out of the quantity's range."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, (bool, str)) or not math.isfinite(number) or not quantity.allows(np.float64(number)):
        raise UserError(f"{owner}: {key}: found {str(value)[:80]}, expected a number in {quantity.interval}")
    return number


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return close[0] if close else f"one of {', '.join(known)}"


# ---------------------------------------------------------------- from the columns of a row


def lens_of_row(row: Mapping[str, object]) -> Lens:
    """The lens of a normalised row of dataset.csv, its subhaloes as further parts."""
    cluster, small = row.get("cluster"), row.get("subhaloes")
    if isinstance(cluster, str) and cluster:
        parts = list(_constituents(LENSES, cluster))
    else:
        parts = [_of_columns(LENSES, "lens", row["lens"], row)]
    if isinstance(small, str) and small:
        parts += _constituents(LENSES, small)
    return Lens(tuple(parts))


def source_of_row(row: Mapping[str, object]) -> Source:
    """The source of a normalised row of dataset.csv."""
    text = str(row["source"])
    if "/" not in text:
        return Source((_of_columns(SOURCES, "source", text, row),))
    parts = []
    for one in text.split(";"):
        name, x, y, *numbers = one.split("/")
        known = [quantity.name for quantity in SOURCES[name.strip()].parameters]
        values = dict(zip(CONSTELLATION[2:], map(float, numbers), strict=False))
        parts.append(_part(SOURCES, "source", name.strip(), float(x), float(y), {key: values[key] for key in known}))
    return Source(tuple(parts))


def _of_columns(models: Models, kind: str, name: object, row: Mapping[str, object]) -> Part:
    if name not in models:
        return _part(models, kind, str(name), 0.0, 0.0, {})
    model = models[name]
    given = {q.name: row[q.column] for q in model.parameters if q.column in row}
    for key, column, _ in (entry for needed in model.not_numbers for entry in FILES[needed]):
        if column in row:
            given[key] = row[column]
    return _part(models, kind, str(name), 0.0, 0.0, given)


def _constituents(models: Models, text: str) -> Iterator[Part]:
    for one in text.split(";"):
        name, *numbers = (cell.strip() for cell in one.split("/"))
        keys = ["x", "y", *(q.name for q in models[name].parameters)] if name in models else ["x", "y"]
        if len(numbers) < len(keys):
            raise UserError(f"row: found {one[:80]!r}, expected {name} and {len(keys)} numbers")
        given = dict(zip(keys, map(float, numbers), strict=False))
        yield _part(models, "lens", name, given.pop("x"), given.pop("y"), given)
