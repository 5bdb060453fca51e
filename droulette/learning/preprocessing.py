"""Preprocessing: the view of a picture that a network is given, and the same view after a motion of the scene.

The view of a picture is made once and kept. Each epoch moves it by another motion. Pixel (i, j) of an
N×N picture is the point x = j − N/2, y = N/2 − i.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from droulette.learning.symmetry import Motions


class Preprocessing(Protocol):
    """Makes views of pictures, and moves views as a motion of the scene would.

    turns: how many rotations of a view there are, 360°/turns apart. zooms: enlargements to learn from, 1 included.
    shape, dtype: of a view.
    """

    turns: int
    zooms: tuple[float, ...]
    shape: tuple[int, ...]
    dtype: np.dtype

    def views(self, pictures: Tensor, facts: Tensor | None = None) -> Tensor:
        """pictures: (B, N, N), uint8, or float32 with facts (B, 6), see `observed` → views: (B, *shape)."""

    def move(self, views: Tensor, motions: Motions) -> Tensor:
        """Views of the moved scenes, one motion each."""


class WholePicture:
    """The picture as it is, (N, N) uint8, in quarter turns."""

    turns = 4
    zooms = (1.0,)
    dtype = np.dtype(np.uint8)

    def __init__(self, size: int) -> None:
        self.shape = (size, size)

    def views(self, pictures: Tensor, facts: Tensor | None = None) -> Tensor:
        return pictures

    def move(self, views: Tensor, motions: Motions) -> Tensor:
        kinds = 2 * (np.rint(motions.degrees / 90).astype(int) % 4) + motions.mirror
        turned = torch.empty_like(views)
        for kind in np.unique(kinds):
            rows = torch.from_numpy(np.flatnonzero(kinds == kind)).to(views.device)
            some = _mirror(views[rows]) if kind % 2 else views[rows]
            for _ in range(kind // 2):
                some = _mirror(some.transpose(-2, -1))  # (x, y) → (−y, −x) → (−y, x)
            turned[rows] = some
        return turned


def _mirror(pictures: Tensor) -> Tensor:
    """y → −y takes row i to N − i, and so leaves row 0; a plain flip would move the origin by a pixel.

    The row y = N/2 has no partner inside the picture; it takes the place of its own image.
    """
    return torch.cat([pictures[..., :1, :], pictures[..., 1:, :].flip(-2)], -2)


class LogPolar:
    """The square root of the brightness on circles about the origin, (1, rows, columns) float16.

    The radii, from INNER to the picture's corners, are evenly spaced in their logarithm, so that lenses of all sizes
    have the same relative sharpness; the angles are evenly spaced, column k at 360°·k/columns. A turn of the
    scene is then a shift along the columns, and an enlargement one along the rows. Each point is interpolated in the
    picture or, where the points lie more than a pixel apart, in the picture halved, quartered, … as often as it takes
    (a mipmap).
    """

    INNER = 0.7  # px
    LEVELS = 4
    ZOOM = 2  # rows by which a view is shifted at most, in or out
    dtype = np.dtype(np.float16)

    def __init__(self, size: int, rows: int, columns: int) -> None:
        self.turns, self.shape = columns, (1, rows, columns)
        self.growth = growth = (size / math.sqrt(2) / self.INNER) ** (1 / (rows - 1))
        self.zooms = tuple(growth**k for k in range(-self.ZOOM, self.ZOOM + 1))
        radius = self.INNER * growth ** torch.arange(rows, dtype=torch.float64)[:, None]
        angle = 2 * math.pi * torch.arange(columns, dtype=torch.float64) / columns
        # In units of the picture's half side, from edge to edge, as grid_sample has it; pixel j is at j + ½.
        x, y = (radius * angle.cos() + 0.5) / (size / 2), (0.5 - radius * angle.sin()) / (size / 2)
        self.grid = torch.stack([x, y], -1).float()[None]
        apart = radius * max(2 * math.pi / columns, math.log(growth))
        level = apart.clamp_min(1).log2().clamp_max(self.LEVELS - 1)
        self.weights = [(1 - (level - k).abs()).clamp_min(0).float() for k in range(self.LEVELS)]

    def views(self, pictures: Tensor, facts: Tensor | None = None) -> Tensor:
        return self.sample(pictures[:, None].float() / 255).clamp_min(0).sqrt().half()

    def sample(self, pictures: Tensor) -> Tensor:
        """The values at the points, (B, 1, rows, columns), of pictures (B, 1, N, N)."""
        picture, total = pictures, 0.0
        grid = self.grid.to(picture.device).expand(len(picture), -1, -1, -1)
        for k, weight in enumerate(self.weights):
            if k:
                odd = picture.shape[-1] % 2
                picture = functional.avg_pool2d(functional.pad(picture, (0, odd, 0, odd)), 2)
            scale = picture.shape[-1] * 2**k / pictures.shape[-1]  # an odd side was padded, to the right and below
            sampled = functional.grid_sample(picture, (grid + 1) / scale - 1, padding_mode="zeros", align_corners=False)
            total = total + sampled * weight.to(picture.device)
        return total

    def move(self, views: Tensor, motions: Motions) -> Tensor:
        turns, device = self.turns, views.device
        shift = torch.from_numpy(np.rint(motions.degrees * turns / 360).astype(int)).to(device)[:, None]
        mirror = torch.from_numpy(motions.mirror).to(device)[:, None]
        columns = torch.arange(turns, device=device) - shift
        columns = torch.where(mirror, -columns, columns) % turns
        moved = views.gather(3, columns[:, None, None, :].expand(-1, *views.shape[1:-1], -1))
        if (motions.zoom == 1).all():
            return moved
        growth = torch.from_numpy(np.rint(np.log(motions.zoom) / math.log(self.growth)).astype(int)).to(device)
        rows = (torch.arange(self.shape[1], device=device) - growth[:, None]).clamp(0, self.shape[1] - 1)
        return moved.gather(2, rows[:, None, :, None].expand(-1, views.shape[1], -1, views.shape[3]))
