"""Rows of a batch: lenses, sources and scenes are frozen dataclasses of (B,) tensors."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")


def take(batch: T, rows: Tensor, trailing: int = 0) -> T:
    """Pick rows: every tensor (B,) within `batch` becomes (len(rows), 1, …, 1) with `trailing` ones."""
    if isinstance(batch, Tensor):
        return batch[rows].reshape(len(rows), *(1,) * trailing)
    if isinstance(batch, tuple):
        return tuple(take(item, rows, trailing) for item in batch)
    if is_dataclass(batch):
        return replace(
            batch, **{f.name: take(getattr(batch, f.name), rows, trailing) for f in fields(batch) if f.init}
        )
    return batch  # shared by all rows: a picture, a map, a number


def move(batch: T, device) -> T:
    """The same batch on another device."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, tuple):
        return tuple(move(item, device) for item in batch)
    if is_dataclass(batch):
        return replace(batch, **{f.name: move(getattr(batch, f.name), device) for f in fields(batch) if f.init})
    return batch
