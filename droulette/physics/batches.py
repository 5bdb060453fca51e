"""Rows of a batch: lenses, sources and scenes are frozen dataclasses of (B,) tensors, nested as they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def leaves(batch) -> Iterator[Tensor]:
    """All tensors of a batch, in the order in which `rebuild` wants them back."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, tuple):
        for item in batch:
            yield from leaves(item)
    elif is_dataclass(batch):
        for field in fields(batch):
            yield from leaves(getattr(batch, field.name))


def rebuild(batch: T, replacements: Iterator[Tensor]) -> T:
    """The same batch with other tensors; what is no tensor (a picture, a map, a number) is shared by all rows.

    Derived fields are taken over like the others: `__post_init__` does not run again.
    """
    if isinstance(batch, Tensor):
        return next(replacements)
    if isinstance(batch, tuple):
        return tuple(rebuild(item, replacements) for item in batch)
    if is_dataclass(batch):
        new = object.__new__(type(batch))
        for field in fields(batch):
            object.__setattr__(new, field.name, rebuild(getattr(batch, field.name), replacements))
        return new
    return batch


def take(batch: T, rows: Tensor, trailing: int = 0) -> T:
    """Pick rows: every tensor (B,) within `batch` becomes (len(rows), 1, …, 1) with `trailing` ones."""
    return taker(batch)(rows, trailing)


def taker(batch: T) -> Callable[[Tensor, int], T]:
    """`take` for many choices of rows from one batch: its numbers lie in one table and are picked at once."""
    tensors = list(leaves(batch))
    numbers = [tensor for tensor in tensors if tensor.is_floating_point()]
    table = torch.stack(numbers) if numbers else None

    def pick(rows: Tensor, trailing: int = 0) -> T:
        shape = (len(rows), *(1,) * trailing)
        picked = iter(table[:, rows].reshape(len(numbers), *shape).unbind() if table is not None else ())
        return rebuild(batch, (next(picked) if t.is_floating_point() else t[rows].reshape(shape) for t in tensors))

    return pick


def move(batch: T, device) -> T:
    """The same batch on another device."""
    return rebuild(batch, (tensor.to(device) for tensor in leaves(batch)))
