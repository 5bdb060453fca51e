"""Tables of numbers that formulas look up: the pixels of a picture, the coefficients of a map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from droulette.physics.arrays import Array, is_array, namespace
from droulette.physics.elementary import where


class Table:
    """(K,) float64 numbers that all rows of a batch share."""

    def __init__(self, values: Array) -> None:
        self.values = np.ascontiguousarray(values, np.float64).ravel() if isinstance(values, np.ndarray) else values

    def at(self, index: Array) -> Array:
        """The numbers at places 0…K − 1, given as whole float64 numbers; the caller sees to it that they are."""
        xp = namespace(index)
        return self.values[xp.astype(index, xp.int64)]

    def to(self, device: Any) -> Table:
        import torch

        return Table(torch.as_tensor(self.values).to(device))


def tables(batch: Any) -> Iterator[Table]:
    """All tables of a batch, in the order in which `rebuild` meets them."""
    if isinstance(batch, Table):
        yield batch
    elif isinstance(batch, tuple):
        for item in batch:
            yield from tables(item)
    elif is_dataclass(batch) and not is_array(batch):
        for field in fields(batch):
            yield from tables(getattr(batch, field.name))


def clipped_place(place: Array, last: Array | float) -> Array:
    """A place in a row of numbers, within 0…last; NaN becomes 0."""
    place = where(place > 0.0, place, 0.0)
    return where(place > last, last, place)
