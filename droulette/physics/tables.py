"""Tables of numbers that formulas look up: a user's picture, the coefficients of a map."""

from __future__ import annotations

import numpy as np

from droulette.physics.arrays import Array, is_numpy

LARGEST = 2**31 - 1  # numbers, which 32-bit places tell apart


class Table:
    """float64 numbers in one line, shared by all rows of a batch. Several maps lie in it one after the other.

    A formula clips its places, so that none is outside; NaN is none.
    """

    def __init__(self, numbers: Array) -> None:
        """numbers: of any shape, kept line after line."""
        self.numbers = np.ascontiguousarray(numbers, np.float64).ravel()
        if len(self.numbers) > LARGEST:
            raise ValueError(f"a table of {len(self.numbers)} numbers")

    def at(self, place: Array) -> Array:
        """The numbers at these places, whole float64 numbers from 0 on."""
        return self.numbers[place.astype(np.int64) if is_numpy(place) else place.long()]

    def to(self, device) -> Table:
        import torch

        moved = object.__new__(type(self))
        moved.__dict__.update(self.__dict__)
        moved.numbers = torch.as_tensor(self.numbers).to(device)
        return moved
