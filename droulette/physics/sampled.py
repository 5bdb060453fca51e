"""Lenses known only as a map: ψ on the pixel grid, differentiated numerically there."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from droulette.physics.lenses import Lens
from droulette.physics.series import Series

HALF_WIDTH = 5  # px: derivatives come from the polynomial through (2·5 + 1)² grid points


class PotentialMap:
    """ψ of B lenses on an N×N pixel grid, (B, N, N), and its gradient there.

    Pixel (i, j) is x = j − N/2, y = N/2 − i. The gradient is that of the polynomial through 2·HALF_WIDTH + 1
    neighbours along each axis (of fewer near the border, where the stencil would leave the map).
    """

    def __init__(self, lens: Lens, count: int, size: int, device) -> None:
        steps = torch.arange(size, dtype=torch.float64, device=device) - size / 2
        x, y = steps[None, None, :], -steps[None, :, None]
        # A singular lens has its centre on a pixel of the grid; its potential is finite, its formula 0/0.
        x = torch.where((x == 0) & (y == 0), 1e-9, x.expand(count, size, size))
        self.size = size
        self.psi = lens.potential(x, y.expand(count, size, size))
        self.psi_x = _differentiate(self.psi)
        self.psi_y = -_differentiate(self.psi.transpose(1, 2)).transpose(1, 2)


def _differentiate(values: Tensor) -> Tensor:
    """d/dj along the last axis."""
    weights = _central_weights(min(HALF_WIDTH, (values.shape[-1] - 1) // 2))
    half = len(weights) // 2
    (result,) = torch.gradient(values, dim=-1)
    middle = sum(w * values[..., k : values.shape[-1] - 2 * half + k] for k, w in enumerate(weights))
    result[..., half:-half] = middle
    return result


def _central_weights(half: int) -> list[float]:
    """Weights w_k with f′(0) ≈ Σ w_k f(k − half), exact for polynomials of degree 2·half."""
    nodes = torch.arange(-half, half + 1, dtype=torch.float64)
    powers = nodes[None, :] ** torch.arange(2 * half + 1, dtype=torch.float64)[:, None]
    target = torch.zeros(2 * half + 1, dtype=torch.float64)
    target[1] = 1
    return torch.linalg.solve(powers, target).tolist()


@dataclass(frozen=True)
class Sampled(Lens):
    """The lens of row `index` of a potential map.

    Deflections between pixels are interpolated bilinearly in the gradient's maps; higher derivatives come from
    the polynomial through the pixels around the point.
    """

    index: Tensor
    centre_x: tuple[Tensor, ...]
    centre_y: tuple[Tensor, ...]
    map: PotentialMap = field(repr=False)

    @classmethod
    def of(cls, lens: Lens, count: int, size: int, device="cpu") -> Sampled:
        """Sample B = count lenses with (B,) parameters on a size × size grid."""
        from droulette.physics.batches import take

        rows = torch.arange(count, device=device)
        xs, ys = zip(*lens.centres(), strict=True)
        return cls(rows, tuple(xs), tuple(ys), PotentialMap(take(lens, rows, 2), count, size, device))

    def centres(self) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.centre_x, self.centre_y, strict=True))

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x, y, index = torch.broadcast_tensors(x, y, self.index)
        last = self.map.size - 1
        column, row = (x + self.map.size / 2).clamp(0, last), (self.map.size / 2 - y).clamp(0, last)
        left, top = column.floor().clamp(max=last - 1), row.floor().clamp(max=last - 1)
        a, b, i, j = column - left, row - top, top.long(), left.long()
        result = []
        for values in (self.map.psi_x, self.map.psi_y):
            upper = values[index, i, j] * (1 - a) + values[index, i, j + 1] * a
            lower = values[index, i + 1, j] * (1 - a) + values[index, i + 1, j + 1] * a
            result.append(upper * (1 - b) + lower * b)
        return result[0], result[1]

    def potential(self, x, y):
        start_x, start_y = (x.c[0], y.c[0]) if isinstance(x, Series) else (x, y)
        start_x, start_y, index = torch.broadcast_tensors(start_x, start_y, self.index)
        half, size = HALF_WIDTH, self.map.size
        column = (start_x + size / 2).round().clamp(half, size - 1 - half)
        row = (size / 2 - start_y).round().clamp(half, size - 1 - half)
        across = _lagrange(x - (column - size / 2), half)
        up = _lagrange(y - (size / 2 - row), half)
        i, j = row.long(), column.long()
        total = 0.0
        for q in range(2 * half + 1):
            line = 0.0
            for p in range(2 * half + 1):
                line = across[p] * self.map.psi[index, i - (q - half), j + (p - half)] + line
            total = up[q] * line + total
        return total


def _lagrange(t, half: int) -> list:
    """The 2·half + 1 polynomials that are 1 at one of −half…half and 0 at the others, at t."""
    nodes = range(-half, half + 1)
    basis = []
    for node in nodes:
        value = 1.0
        for other in nodes:
            if other != node:
                value = (t - float(other)) * (1.0 / (node - other)) * value
        basis.append(value)
    return basis
