"""Your own lens and source models: every module in this folder is read, and its `model`s are known to TOML and CSV.

docs/own-lens.md and docs/own-source.md each show one. Where the folder is empty, nothing is imported.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass

# The built-in models' fields: their keys, ranges and columns are there already.
KNOWN = {
    "lens": ("einstein_radius", "axis_ratio", "orientation"),
    "source": ("sigma", "sigma2", "theta", "n_sersic", "luminosity"),
}
TAKEN = {
    *("index", "filename", "config", "model", "sampled", "lens", "cluster", "source", "image", "x", "y", "R", "phi"),
    *("einsteinradius", "einsteinR", "einstein", "ellipseratio", "chi", "mode", "modes", "lightprofile", "position"),
}


@dataclass(frozen=True)
class Parameter:
    """A number of a model: drawn from `default`, (low, high), where TOML says nothing; gt, ge, le: its range."""

    default: tuple[float, float]
    meaning: str
    unit: str
    gt: float | None
    ge: float | None
    le: float | None

    @property
    def range(self) -> tuple[float, float, bool]:
        """Lowest and highest value, and whether the lowest is included."""
        low = self.gt if self.ge is None else self.ge
        return -math.inf if low is None else low, math.inf if self.le is None else self.le, self.gt is None


MODELS: dict[str, dict[str, dict[str, Parameter]]] = {"lens": {}, "source": {}}  # kind, model, parameter


def parameter(low: float, high: float, meaning: str, unit: str = "", *, gt=None, ge=None, le=None) -> dataclasses.Field:
    """A field that no built-in model has. Its name is its key in [lens] or [source], and its column in dataset.csv."""
    return dataclasses.field(metadata={"parameter": Parameter((low, high), meaning, unit, gt, ge, le)})


def model(cls: type) -> type:
    """Make a subclass of `Lens` or `Source` a frozen dataclass, and enter it by its name.

    Raises:
        ValueError: a name that is taken, a field that is neither known nor a `parameter`.
    """
    from droulette.physics.lenses import LENSES, Lens
    from droulette.physics.sources import SOURCES

    kind, known = ("lens", LENSES) if issubclass(cls, Lens) else ("source", SOURCES)
    cls, name = dataclass(frozen=True)(cls), cls.__name__
    if name in known:
        raise ValueError(f"{name}: there is a {kind} model of that name")
    fields = [field for field in dataclasses.fields(cls) if field.init]
    if kind == "lens" and (not fields or fields[0].name != "einstein_radius"):
        raise ValueError(f"{name}: the first field of a lens is einstein_radius, the length that it scales with")
    own = {field.name: field.metadata.get("parameter") for field in fields if field.name not in KNOWN[kind]}
    others = parameters("source" if kind == "lens" else "lens").keys() | {*KNOWN["lens"], *KNOWN["source"]}
    for field, described in own.items():
        if described is None:
            raise ValueError(f"{name}.{field}: expected a parameter(…), or one of {', '.join(KNOWN[kind])}")
        if field in TAKEN | others or parameters(kind).get(field, described) != described:
            raise ValueError(f"{name}.{field}: there is another column of that name")
    MODELS[kind][name], known[name] = own, cls
    return cls


def parameters(kind: str) -> dict[str, Parameter]:
    """Those of all own models of a kind, "lens" or "source", by name."""
    return {name: described for own in MODELS[kind].values() for name, described in own.items()}


def columns(kind: str, models: Iterable[str]) -> list[str]:
    """The own parameters of the models of those names, each once."""
    return list(dict.fromkeys(column for name in models for column in MODELS[kind].get(name, ())))


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
