"""Rows of a batch: lenses, sources and scenes are frozen dataclasses of (B,) arrays, nested as they need.

Arrays are NumPy's on the CPU and PyTorch's on CUDA; the formulas are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TypeVar

from droulette.physics.arrays import Array, is_array, namespace
from droulette.physics.tables import Table

T = TypeVar("T")


def leaves(batch) -> Iterator[Array]:
    """All arrays of a batch, in the order in which `rebuild` wants them back."""
    return _every(batch, is_array)


def tables(batch) -> Iterator[Table]:
    """All tables of a batch, in the order in which `rebuild` comes to them."""
    return _every(batch, lambda item: isinstance(item, Table))


def _every(batch, wanted: Callable[[object], bool]) -> Iterator:
    if wanted(batch):
        yield batch
    elif isinstance(batch, tuple):
        for item in batch:
            yield from _every(item, wanted)
    elif is_dataclass(batch):
        for name in _names(type(batch)):
            yield from _every(getattr(batch, name), wanted)


@cache
def _names(kind: type) -> tuple[str, ...]:
    """Of a dataclass's fields."""
    return tuple(field.name for field in fields(kind))


def rebuild(batch: T, replacements: Iterator[Array], shared: Callable = lambda item: item) -> T:
    """The same batch with other arrays; what is no array (a table, a number) is `shared` by all rows.

    Derived fields are taken over like the others: `__post_init__` does not run again.
    """
    if is_array(batch):
        return next(replacements)
    if isinstance(batch, tuple):
        return tuple(rebuild(item, replacements, shared) for item in batch)
    if is_dataclass(batch):
        new = object.__new__(type(batch))
        for name in _names(type(batch)):
            object.__setattr__(new, name, rebuild(getattr(batch, name), replacements, shared))
        return new
    return shared(batch)


def structure(batch) -> object:
    """What two batches have in common whose arrays take part in the same formulas."""
    if is_array(batch):
        return "array"
    if isinstance(batch, Table):
        return "table"
    if isinstance(batch, tuple):
        return tuple(map(structure, batch))
    if is_dataclass(batch):
        return type(batch), tuple(structure(getattr(batch, name)) for name in _names(type(batch)))
    return batch


def take(batch: T, rows: Array | slice, trailing: int = 0) -> T:
    """Pick rows: every array (B,) within `batch` becomes (rows, 1, …, 1) with `trailing` ones."""
    picked = (array[rows] for array in leaves(batch))
    return rebuild(batch, (array.reshape(-1, *(1,) * trailing) for array in picked))


def taker(batch: T) -> Callable[[Array, int], T]:
    """`take` for many choices of rows from one batch: its numbers lie in one table and are picked at once."""
    arrays = list(leaves(batch))
    numbers = [array for array in arrays if array.dtype == namespace(array).float64]
    table = namespace(numbers[0]).stack(numbers) if numbers else None
    is_number = [any(array is number for number in numbers) for array in arrays]

    def pick(rows: Array, trailing: int = 0) -> T:
        shape = (len(rows), *(1,) * trailing)
        picked = iter(table[:, rows].reshape(len(numbers), *shape) if table is not None else ())
        pairs = zip(arrays, is_number, strict=True)
        return rebuild(batch, (next(picked) if number else a[rows].reshape(shape) for a, number in pairs))

    return pick


def move(batch: T, device) -> T:
    """The same batch as PyTorch tensors on a device."""
    import torch

    def to_device(array: Array):
        return torch.as_tensor(array).to(device)

    def shared(item):
        return item.to(device) if hasattr(item, "to") else item

    return rebuild(batch, map(to_device, leaves(batch)), shared)
