"""The eight exact symmetries of the pixel grid, acting on pictures and on the target columns by their names.

Rotating the scene by delta rotates (alpha_s, beta_s) as a vector by s*delta and every position by delta;
mirroring y -> -y flips the sign of every beta and of every position's y. With quarter turns all of these are
signed permutations of the columns, so that augmented targets are exact.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

AMPLITUDE = re.compile(r"(alpha|beta)\[(\d+)\]\[(\d+)\]")
POSITIONS = ("xi", "lens", "centre", "releta", "offset")
SCALARS = {"sigma", "sigma2", "n_sersic", "luminosity", "einsteinradius", "einsteinR", "ellipseratio", "R"}


@dataclass(frozen=True)
class Symmetry:
    """First y -> -y where `mirror`, then `turns` quarter turns counter-clockwise.

    On targets: new column c = sign[c] * old column source[c].
    """

    turns: int
    mirror: bool
    source: np.ndarray
    sign: np.ndarray

    def of_targets(self, targets: np.ndarray) -> np.ndarray:
        """targets: (n, C), columns' units -> (n, C)."""
        return targets[:, self.source] * self.sign

    def of_picture(self, picture: np.ndarray) -> np.ndarray:
        """picture: (N, N), pixel (i, j) at x = j - N/2, y = N/2 - i -> (N, N), a view where it can be.

        The row y = N/2 has no partner inside the picture; it takes the place of its own image.
        """
        if self.mirror:
            picture = _mirror(picture)
        for _ in range(self.turns):
            picture = _mirror(picture.T)  # (x, y) -> (-y, -x) -> (-y, x)
        return picture


def _mirror(picture: np.ndarray) -> np.ndarray:
    """y -> -y takes row i to N - i, and so leaves row 0; a plain flip would move the origin by a pixel."""
    return np.concatenate([picture[:1], picture[:0:-1]])


def symmetries(columns: Sequence[str]) -> list[Symmetry]:
    """Those of the eight symmetries that are well defined on these columns; the first is the identity.

    Columns that are no amplitude, position or scalar (an angle, say) leave the identity alone, and so does
    half of a pair (alpha[0][1] without beta[0][1]) with the symmetries that would need the other half.
    """
    found = []
    for mirror in (False, True):
        for turns in range(4):
            images = [_image(column, turns, mirror) for column in columns]
            if all(image is not None and image[0] in columns for image in images):
                source, sign = zip(*images, strict=True)
                indices = np.array([list(columns).index(name) for name in source])
                found.append(Symmetry(turns, mirror, indices, np.array(sign, float)))
            elif not found:  # the identity needs no knowledge of the columns
                found.append(Symmetry(0, False, np.arange(len(columns)), np.ones(len(columns))))
    return found


def _image(column: str, turns: int, mirror: bool) -> tuple[str, int] | None:
    """The (column, sign) that this column's new value is taken from; None where that is not known."""
    if column in SCALARS:
        return column, 1
    if match := AMPLITUDE.fullmatch(column):
        kind, m, s = match[1], match[2], int(match[3])
        pair, spin, second = (f"alpha[{m}][{s}]", f"beta[{m}][{s}]"), s, kind == "beta"
    elif column in ("x", "y"):
        pair, spin, second = ("x", "y"), 1, column == "y"
    elif column[:-1] in POSITIONS and column[-1] in "XY":
        pair, spin, second = (column[:-1] + "X", column[:-1] + "Y"), 1, column[-1] == "Y"
    else:
        return None
    # (a, b) -> mirror -> (a, -b) -> rotation by an angle of (spin * turns) quarters
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][spin * turns % 4]
    flip = -1 if mirror else 1
    row = (sine, cosine * flip) if second else (cosine, -sine * flip)
    return (pair[0], row[0]) if row[0] else (pair[1], row[1])
