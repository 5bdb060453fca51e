"""How the target columns follow when the scene is turned, mirrored or enlarged, by their names.

Rotating the scene by δ rotates (α_s, β_s) as a vector by s·δ and every position by δ; mirroring y → −y flips the
sign of every β and of every position's y; enlarging it by λ, at the same brightness, multiplies lengths by λ and
α^m, β^m by λ^{1−m}, since they are derivatives of order m + 1 of a potential in squared lengths. These laws are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from droulette import quantities


@dataclass(frozen=True)
class Motions:
    """n similarities of the scene: first y → −y where `mirror`, then a turn counter-clockwise, then `zoom` times.

    degrees, zoom: (n,), mirror: (n,) bool.
    """

    degrees: np.ndarray
    mirror: np.ndarray
    zoom: np.ndarray

    def __len__(self) -> int:
        return len(self.degrees)

    def __getitem__(self, places) -> Motions:
        return Motions(self.degrees[places], self.mirror[places], self.zoom[places])

    def repeat(self, count: int) -> Motions:
        """Of a single one, `count` times."""
        return self[np.zeros(count, int)]


@dataclass(frozen=True)
class Laws:
    """The C columns: invariant ones (spin 0), components of vectors, and ones whose behaviour is not known.

    spin: (C,) how many times as far as the scene a column's vector turns; −1 where it is not known.
    second: (C,) whether it is the vector's second component, whose sign a mirror flips.
    partner: (C,) the column with the other component; −1 where there is none.
    length: (C,) the power of length in its unit.
    """

    spin: np.ndarray
    second: np.ndarray
    partner: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[str]) -> Laws:
        place = {column: k for k, column in enumerate(columns)}
        spins, seconds, others, lengths = zip(*map(_behaviour, columns), strict=True)
        partner = [place.get(other, -1) for other in others]
        return cls(np.array(spins), np.array(seconds), np.array(partner), np.array(lengths))

    @property
    def pairs(self) -> list[tuple[int, int, int]]:
        """(first, second, spin) of each vector that has both components."""
        firsts = np.flatnonzero((self.spin > 0) & ~self.second & (self.partner >= 0))
        return [(int(k), int(self.partner[k]), int(self.spin[k])) for k in firsts]

    @property
    def lone(self) -> np.ndarray:
        """(C,) components whose vector's other component is not among the columns."""
        return (self.spin > 0) & (self.partner < 0)

    def allow(self, degrees: float, mirror: bool = False, zoom: float = 1.0) -> bool:
        """Whether the moved scene's columns are known from the columns there are; nothing to do always is."""
        if degrees % 360 == 0 and not mirror and zoom == 1:
            return True
        needs_other = np.abs(np.sin(np.deg2rad(self.spin * degrees))) > 1e-9
        return not (self.lone & needs_other).any() and bool((self.spin >= 0).all())

    def move(self, targets: np.ndarray, motions: Motions) -> np.ndarray:
        """The targets of the moved scenes. targets: (n, C), columns' units → (n, C)."""
        return self.turn(targets, motions) * motions.zoom[:, None] ** self.length

    def turn(self, vectors: np.ndarray, motions: Motions) -> np.ndarray:
        """The same without the zoom, on any scale that is odd and the same for both components of a vector."""
        vectors = np.where(motions.mirror[:, None] & self.second, -vectors, vectors)
        angle = np.deg2rad(np.maximum(self.spin, 0) * motions.degrees[:, None])
        across = np.where(self.partner >= 0, vectors[:, self.partner], 0.0)
        return vectors * np.cos(angle) + across * np.sin(angle) * np.where(self.second, 1, -1)

    def turn_back(self, vectors: np.ndarray, motions: Motions) -> np.ndarray:
        """Undo `turn`; a mirror followed by a turn undoes itself."""
        degrees = np.where(motions.mirror, motions.degrees, -motions.degrees)
        return self.turn(vectors, Motions(degrees, motions.mirror, motions.zoom))

    def mix(self, variances: np.ndarray, motions: Motions) -> np.ndarray:
        """Variances of independent components after a turn: (n, C)."""
        angle = np.deg2rad(np.maximum(self.spin, 0) * motions.degrees[:, None])
        across = np.where(self.partner >= 0, variances[:, self.partner], variances)
        return variances * np.cos(angle) ** 2 + across * np.sin(angle) ** 2


def _behaviour(column: str) -> tuple[int, bool, str, int]:
    """spin, whether the second component, name of the other one, and power of length; spin −1 if not known."""
    quantity = quantities.find(column)
    if quantity is None or quantity.spin is None:
        return -1, False, "", 0
    return quantity.spin, quantity.odd, quantity.partner, quantity.length


@dataclass(frozen=True)
class Group:
    """The motions that a view can be given and the columns allow: turns and mirrors, and zooms.

    turns: without zoom; first the identity. zooms: (Z,), 1 among them.
    """

    turns: Motions
    zooms: np.ndarray

    @classmethod
    def of(cls, laws: Laws, turns: int, zooms: Sequence[float] = (1.0,)) -> Group:
        """All multiples of 1/turns of a full turn, with and without mirror, and the zooms, that the columns allow."""
        found = [
            (360 * k / turns, mirror)
            for mirror in (False, True)
            for k in range(turns)
            if laws.allow(360 * k / turns, mirror)
        ]
        degrees, mirror = map(np.array, zip(*found, strict=True))
        allowed = [zoom for zoom in zooms if laws.allow(0, zoom=zoom)]
        return cls(Motions(degrees, mirror, np.ones(len(degrees))), np.array(allowed))

    def some(self, count: int) -> Motions:
        """`count` of the turns, evenly spread, or all if there are fewer."""
        every = len(self.turns)
        places = np.unique(np.arange(count) * every // count) if count < every else np.arange(every)
        return self.turns[places]

    def draw(self, generator: np.random.Generator, count: int) -> Motions:
        """`count` of the motions at random, with repetition."""
        turns = self.turns[generator.integers(len(self.turns), size=count)]
        return Motions(turns.degrees, turns.mirror, generator.choice(self.zooms, size=count))
