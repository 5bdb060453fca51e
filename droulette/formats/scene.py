"""A scene as plain data: lenses and sources by name, each with its place and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from droulette.errors import UserError

LENGTHS = ("einstein_radius", "scale_radius", "core_radius", "cut_radius", "sigma", "sigma2")


@dataclass(frozen=True)
class Part:
    """A lens or a source.

    name: of the model, as in the columns `lens` and `source`. x, y: its place, px. parameters: by the names of the
    model's fields; lengths in px, angles in degrees counter-clockwise from x.
    """

    name: str
    x: float
    y: float
    parameters: Mapping[str, float]

    def scaled(self, factor: float) -> Part:
        """The same with each length multiplied."""
        longer = {name: value * factor for name, value in self.parameters.items() if name in LENGTHS}
        return Part(self.name, self.x * factor, self.y * factor, {**self.parameters, **longer})


@dataclass(frozen=True)
class Scene:
    """Lenses and sources on a picture whose pixels have sides of `pixel_scale` arcsec.

    size: of the picture, px; None where it is not known. instrument: keys of the TOML table [instrument].
    notes: what a file said that has no place here, one line each.
    """

    lenses: tuple[Part, ...]
    sources: tuple[Part, ...]
    pixel_scale: float
    size: int | None = None
    instrument: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def noting(self, *lines: str) -> Scene:
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *lines))


def check_pixel_scale(pixel_scale: float) -> None:
    """Raise `UserError` unless it is a positive number."""
    if not (np.isfinite(pixel_scale) and pixel_scale > 0):
        raise UserError(f"pixel scale: found {pixel_scale!r}, expected a positive number of arcsec")


def converted(
    converters: Mapping[str, Callable[..., Any]], name: str, arguments: Mapping[str, Any], where: str, *others: Any
) -> Any:
    """Call the converter of a profile's name with `others` and the profile's arguments.

    Raises:
        UserError: there is no converter of that name, an argument is missing or one too many, or is no finite number.
    """
    if name not in converters:
        raise UserError(f"{where}: found {name}, which has no counterpart, expected one of {', '.join(converters)}")
    for key, value in arguments.items():
        try:
            is_finite = not isinstance(value, str) and np.isfinite(np.asarray(value, dtype=np.float64)).all()
        except (TypeError, ValueError):
            is_finite = False
        if not is_finite:
            raise UserError(f"{where}: {name}: found {key} = {value!r}, expected finite numbers")
    convert = converters[name]
    code = convert.__code__
    every = code.co_varnames[len(others) : code.co_argcount]
    needed = every[: len(every) - len(convert.__defaults__ or ())]
    if unknown := [key for key in arguments if key not in every]:
        raise UserError(f"{where}: {name}: found {unknown[0]}, expected {', '.join(every)}")
    if missing := [key for key in needed if key not in arguments]:
        raise UserError(f"{where}: {name}: found no {missing[0]}, expected it")
    try:
        return convert(*others, **arguments)
    except ValueError as error:
        raise UserError(f"{where}: {name}: {error}") from None
