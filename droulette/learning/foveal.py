"""`foveal`: a small residual network that sees the middle of the picture sharply and the rest coarsely.

A lensed arc is small and centred, but may reach far out: the middle 64 x 64 pixels are kept whole, the middle
128 x 128 averaged by 2, 256 x 256 by 4, and so on until the picture is covered. Each level is one channel.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

FOVEA = 64


def levels(input_size: int) -> int:
    """Number of levels that cover a picture of `input_size` pixels."""
    return max(1, math.ceil(math.log2(input_size / FOVEA)) + 1)


def foveate(pictures: torch.Tensor, count: int) -> torch.Tensor:
    """pictures: (B, 1, N, N), brightness 0..1 -> (B, count + 2, 64, 64): sqrt of brightness, then x and y.

    The square root evens out the photon noise's scale and lifts the faint arcs.
    """
    half, size = pictures.shape[-1] // 2, pictures.shape[-1]
    found = []
    for level in range(count):
        reach = FOVEA // 2 << level
        before, after = reach - half, reach - (size - half)
        inner = functional.pad(pictures, (before, after, before, after))  # crops where it is negative
        found.append(functional.avg_pool2d(inner, 1 << level))
    seen = torch.cat(found, 1).sqrt()
    axis = torch.linspace(-1, 1, FOVEA, device=seen.device, dtype=seen.dtype)
    grid = torch.stack(torch.meshgrid(axis, -axis, indexing="xy"))
    return torch.cat([seen, grid.expand(len(seen), -1, -1, -1)], 1)


class Residual(nn.Module):
    """Two 3 x 3 convolutions with group normalisation around a short cut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.convolution1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(8, outputs)
        self.convolution2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(8, outputs)
        whole = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if whole else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norm1(self.convolution1(x)))
        return functional.relu(self.norm2(self.convolution2(y)) + self.shortcut(x))


class Foveal(nn.Module):
    """pictures: (B, 1, N, N), brightness 0..1 -> (B, outputs)."""

    head_name = "head"

    def __init__(self, outputs: int, input_size: int, *, widths: tuple[int, ...], depths: tuple[int, ...]):
        super().__init__()
        self.levels = levels(input_size)
        stem = [
            nn.Conv2d(self.levels + 2, widths[0] // 2, 3, 2, 1, bias=False),
            nn.GroupNorm(8, widths[0] // 2),
            nn.ReLU(),
            nn.Conv2d(widths[0] // 2, widths[0], 3, 2, 1, bias=False),
            nn.GroupNorm(8, widths[0]),
            nn.ReLU(),
        ]
        body, inputs = [], widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for block in range(depth):
                body.append(Residual(inputs, width, 2 if stage and not block else 1))
                inputs = width
        self.body = nn.Sequential(*stem, *body)
        self.head = nn.Linear(inputs, outputs)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        seen = foveate(pictures, self.levels).contiguous(memory_format=torch.channels_last)
        return self.head(self.body(seen).mean((2, 3)))
