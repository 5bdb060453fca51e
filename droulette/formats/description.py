"""A scene as plain data: lenses and sources by name, each with its place and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from droulette.errors import UserError

PAIRS = ("centre", "ell_comps", "multipole_comps")  # arguments of two numbers
LENGTHS = ("einstein_radius", "scale_radius", "core_radius", "cut_radius", "sigma", "sigma2")


@dataclass(frozen=True)
class Component:
    """A lens or a source.

    name: of the model, as in the columns `lens` and `source`. x, y: its place, px. parameters: by the names of the
    model's fields; lengths in px, angles in degrees counter-clockwise from x.
    """

    name: str
    x: float
    y: float
    parameters: Mapping[str, float]

    def scaled(self, factor: float) -> Component:
        """The same with each length multiplied."""
        longer = {name: value * factor for name, value in self.parameters.items() if name in LENGTHS}
        return Component(self.name, self.x * factor, self.y * factor, {**self.parameters, **longer})


@dataclass(frozen=True)
class Description:
    """Lenses and sources on a picture whose pixels have sides of `pixel_scale` arcsec.

    size: of the picture, px; None where it is not known. instrument: keys of the TOML table [instrument].
    notes: what a file said that has no place here, one line each.
    """

    lenses: tuple[Component, ...]
    sources: tuple[Component, ...]
    pixel_scale: float
    size: int | None = None
    instrument: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def noting(self, *lines: str) -> Description:
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *lines))


def check_pixel_scale(pixel_scale: float) -> None:
    """Raise `UserError` unless it is a positive number."""
    if not (np.isfinite(pixel_scale) and pixel_scale > 0):
        raise UserError(f"pixel scale: found {pixel_scale!r}, expected a positive number of arcsec")


def converted(
    converters: Mapping[str, Callable[..., Component]],
    name: str,
    arguments: Mapping[str, Any],
    where: str,
    *others: Any,
) -> Component:
    """Call the converter of a profile's name with `others` and the profile's arguments.

    Raises:
        UserError: there is no converter of that name, an argument is missing, one too many or no finite number, or what
            they give is not finite.
    """
    if name not in converters:
        raise UserError(f"{where}: found {name}, which has no counterpart, expected one of {', '.join(converters)}")
    where = f"{where}: {name}"
    convert = converters[name]
    code = convert.__code__
    every = code.co_varnames[len(others) : code.co_argcount]
    needed = every[: len(every) - len(convert.__defaults__ or ())]
    if unknown := [key for key in arguments if key not in every]:
        raise UserError(f"{where}: found {unknown[0]}, expected {', '.join(every)}")
    if missing := [key for key in needed if key not in arguments]:
        raise UserError(f"{where}: found no {missing[0]}, expected it")
    numbers = {key: _numbers(value, key, where) for key, value in arguments.items()}
    try:
        part = convert(*others, **numbers)
    except ArithmeticError:
        raise UserError(f"{where}: found {_listed(numbers)}, expected numbers that have a finite result") from None
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    if not np.isfinite([part.x, part.y, *part.parameters.values()]).all():
        raise UserError(f"{where}: found {_listed(numbers)}, expected numbers that have a finite result")
    return part


def _numbers(value: Any, key: str, where: str) -> float | tuple[float, ...]:
    shape, expected = ((2,), "two finite numbers") if key in PAIRS else ((), "a finite number")
    try:
        found = np.asarray(value)
        is_number = found.dtype.kind in "iuf" and found.shape == shape and np.isfinite(found).all()
    except (TypeError, ValueError, OverflowError):
        is_number = False
    if not is_number:
        raise UserError(f"{where}: found {key} = {repr(value)[:80]}, expected {expected}")
    return tuple(found.astype(np.float64).tolist()) if shape else float(found)


def _listed(numbers: Mapping[str, float | tuple[float, ...]]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in numbers.items())
