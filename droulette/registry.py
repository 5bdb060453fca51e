"""The lens and source models there are, by name. They are looked up at use, so that one may be defined at any time."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import logging
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from droulette import quantities
from droulette.physics.arrays import is_array, is_numpy
from droulette.quantities import Quantity

if TYPE_CHECKING:
    from droulette.physics.sums import Sum

LOG = logging.getLogger("droulette")
SHARED = {"lens": quantities.LENS, "source": quantities.SOURCE}
OTHER_COLUMNS = ("index", "filename", "config", "model", "sampled", "lens", "cluster", "source", "image")
OTHER_COLUMNS += ("galaxy", "map", "mapquantity", "mappixel")
OTHER_KEYS = ("mode", "modes", "lightprofile", "position", "galaxies", "map-quantity", "map-pixel")
OTHER_KEYS += tuple(key for q in quantities.LENS for key in (q.key, *q.also))
BUILT_IN = (
    "droulette.physics.lenses",
    "droulette.physics.power_law",
    "droulette.physics.halos",
    "droulette.physics.perturbations",
    "droulette.physics.maps",
    "droulette.physics.sources",
    "droulette.physics.galaxies",
)


class Models(Mapping):
    """The models of a kind: each name, and each other spelling of it, with its class."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.classes: dict[str, type] = {}

    def __getitem__(self, name: str) -> type:
        if self.kind == "lens" and isinstance(name, str) and "+" in name:
            return self._sum(name)
        read_folder()
        if name not in self.classes:
            read_installed()
        return self.classes[name]

    def __iter__(self) -> Iterator[str]:
        read_folder()
        # In one order, whichever module was imported first: columns and lists of names follow it.
        rank = {module: place for place, module in enumerate(BUILT_IN)}
        return iter(sorted(self.classes, key=lambda name: rank.get(self.classes[name].__module__, len(rank))))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _sum(self, name: str) -> Sum:
        from droulette.physics.sums import MOST_PARTS, Sum

        names = [part.strip() for part in name.split("+")]
        if len(names) > MOST_PARTS:
            raise KeyError(name)
        return Sum(tuple(self[part] for part in names))

    def parameters(self, models: Iterable[str] | None = None) -> list[Quantity]:
        """Those that the models of these names, or all, have for themselves, each once."""
        names = self if models is None else [name for name in models if name in self]
        every = {q.name: q for name in names for q in self[name].parameters if q not in SHARED[self.kind]}
        return list(every.values())


LENSES, SOURCES = Models("lens"), Models("source")


def model(cls: type) -> type:
    """Make a subclass of `Lens` or `Source` a frozen dataclass whose numbers become arrays, and enter it by its name.

    A second model of that name replaces the first, unless that is one of droulette's own. A class attribute `names`
    gives several names, the usual one first. `cls.parameters` are then its quantities, in order.

    Raises:
        ValueError: a name that is taken, a field that is neither known nor a `parameter`.
    """
    kind = cls.kind
    known, other = (LENSES, SOURCES) if kind == "lens" else (SOURCES, LENSES)
    cls.names = cls.__dict__.get("names", (cls.__name__,))
    for name in cls.names:
        if name in known.classes and known.classes[name].__module__ in BUILT_IN and cls.__module__ not in BUILT_IN:
            raise ValueError(f"{name}: there is a {kind} model of that name")
    cls = dataclasses.dataclass(frozen=True)(cls)
    cls.parameters = tuple(_parameters(cls, kind))
    replaced = {known.classes.get(name) for name in cls.names} - {None}
    remaining = {c for models in (LENSES, SOURCES) for c in models.classes.values()} - replaced
    for quantity in cls.parameters:
        _check_column(f"{cls.__name__}.{quantity.name}", quantity, kind, remaining)
    if replaced:
        LOG.info("%s model %s: this definition replaces the earlier one", kind, cls.__name__)
    cls.__init__ = _taking_numbers(cls.__init__)
    known.classes = {n: c for n, c in known.classes.items() if c not in replaced} | dict.fromkeys(cls.names, cls)
    quantities.OF_MODELS.clear()
    for models in (known, other):
        own = [q for c in models.classes.values() for q in c.parameters if q not in SHARED[models.kind]]
        quantities.OF_MODELS.update({q.column: q for q in own})
    return cls


def _parameters(cls: type, kind: str) -> Iterator[Quantity]:
    shared = {quantity.name: quantity for quantity in SHARED[kind]}
    fields = [field for field in dataclasses.fields(cls) if field.init and field.name not in cls.not_numbers]
    if kind == "lens" and not cls.perturbation and (not fields or fields[0].name != "einstein_radius"):
        expected = "the first field of a lens is einstein_radius, the length that it scales with"
        raise ValueError(f"{cls.__name__}: {expected}")
    for field in fields:
        if field.name in shared:
            yield shared[field.name]
        elif "quantity" in field.metadata:
            yield dataclasses.replace(field.metadata["quantity"], name=field.name, key=field.name, column=field.name)
        else:
            raise ValueError(f"{cls.__name__}.{field.name}: expected a parameter(…), or one of {', '.join(shared)}")


def _check_column(place: str, quantity: Quantity, kind: str, others: set[type]) -> None:
    if quantity in SHARED[kind]:
        return
    same_name = {q for c in others for q in c.parameters if q.name == quantity.name}
    fields = {q.name for shared in SHARED.values() for q in shared}
    taken = {*OTHER_COLUMNS, *OTHER_KEYS, *quantities.BUILT_IN, *fields}
    of_other_kind = {q for c in others if c.kind != kind for q in c.parameters}
    if quantity.name in taken or same_name - {quantity} or same_name & of_other_kind:
        raise ValueError(f"{place}: there is another column of that name")


def _taking_numbers(init):
    """An `__init__` that makes float64 arrays of numbers: of the shape of the first field that is an array, or (1,)."""

    @functools.wraps(init)
    def with_arrays(self, *args, **named) -> None:
        like = next((value for value in (*args, *named.values()) if is_array(value)), np.zeros(1))
        init(self, *(_array(v, like) for v in args), **{name: _array(v, like) for name, v in named.items()})

    return with_arrays


def _array(value, like):
    if isinstance(value, int | float | np.number):
        return like * 0.0 + value
    return value.astype(np.float64) if is_numpy(value) and value.dtype.kind in "iu" else value


@functools.cache
def read_folder() -> None:
    """Import the modules of the built-in models and every module in `droulette/physics/own`, once."""
    from droulette.physics import own

    for name in BUILT_IN:
        importlib.import_module(name)
    for module in pkgutil.iter_modules(own.__path__):
        importlib.import_module(f"{own.__name__}.{module.name}")


@functools.cache
def read_installed() -> None:
    """Import the models of installed packages, the entry points `droulette.models`, once.

    Finding them takes 0.1 s, so that this is done for a name or key that is not known otherwise.
    """
    from importlib.metadata import entry_points

    for entry in entry_points(group="droulette.models"):
        try:
            entry.load()
        except Exception as error:  # of another package: the names that it would add stay unknown
            LOG.warning("%s: its models are left out: %s: %s", entry.value, type(error).__name__, error)
