"""`polar`: a residual network on the log-polar picture that turns its output exactly as far as the scene is turned.

Convolutions are circular along the angle, so that turning the scene shifts every layer; the components of the last
layer along cos sφ and sin sφ turn like a vector of spin s, and (α_s, β_s) are linear in them, with coefficients that
depend on what does not turn at all. (Of turns finer than the last layer's columns this holds approximately; training
sees all turns.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from droulette.learning.observed import ObservedPolar
from droulette.learning.preprocessing import LogPolar
from droulette.learning.symmetry import Laws

ROWS, COLUMNS = 64, 128  # radii and angles of the view
GROUP = 16  # channels that are normalised together


class _Wrap(torch.autograd.Function):
    """Continue the columns by one on either side; autograd's own way back through slices costs a third of a step."""

    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        return torch.cat([x[..., -1:], x, x[..., :1]], -1)

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        inner = gradient[..., 1:-1].clone(memory_format=torch.preserve_format)
        inner[..., -1] += gradient[..., 0]
        inner[..., 0] += gradient[..., -1]
        return inner


class _Every(torch.autograd.Function):
    """Rows and columns in steps; autograd's own gradient of it lies channels-first, and slows what it is added to."""

    @staticmethod
    def forward(context, x: Tensor, rows: int, columns: int) -> Tensor:
        context.shape, context.steps = x.shape, (rows, columns)
        return x[:, :, ::rows, ::columns]

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None, None]:
        rows, columns = context.steps
        layout = {"dtype": gradient.dtype, "device": gradient.device, "memory_format": torch.channels_last}
        whole = torch.empty(context.shape, **layout).zero_()
        whole[:, :, ::rows, ::columns] = gradient
        return whole, None, None


def _wrap(x: Tensor) -> Tensor:
    return torch.cat([x[..., -1:], x, x[..., :1]], -1) if torch.compiler.is_compiling() else _Wrap.apply(x)


def _every(x: Tensor, rows: int, columns: int) -> Tensor:
    return x[:, :, ::rows, ::columns] if torch.compiler.is_compiling() else _Every.apply(x, rows, columns)


class Convolution(nn.Module):
    """3 × 3, circular along the columns, with zeros beyond the first and last row."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)):
        super().__init__()
        self.inner = nn.Conv2d(inputs, outputs, 3, stride, (1, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(_wrap(x))


class Norm(nn.GroupNorm):
    """Of each picture by itself: most of a view is black, and of a batch's mean a few bright pictures would decide."""

    def __init__(self, channels: int):
        super().__init__(max(1, channels // GROUP), channels)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            return super().forward(x)
        # The compiler would copy channels-last features to channels-first ones for PyTorch's own, and back.
        groups = x.unflatten(1, (self.num_groups, -1)).float()
        variance, mean = torch.var_mean(groups, (2, 3, 4), correction=0, keepdim=True)
        groups = (groups - mean) * torch.rsqrt(variance + self.eps)
        y = groups.flatten(1, 2) * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(x.dtype)


class Residual(nn.Module):
    """Two convolutions around a short cut."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)):
        super().__init__()
        self.convolution1, self.norm1 = Convolution(inputs, outputs, stride), Norm(outputs)
        self.convolution2, self.norm2 = Convolution(outputs, outputs), Norm(outputs)
        whole = inputs == outputs and stride == (1, 1)
        self.shortcut = nn.Identity() if whole else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.convolution1(x)))
        # Not a convolution with a stride: oneDNN 3.x writes past its memory in the backward pass of some such.
        x = x if self.stride == (1, 1) else _every(x, *self.stride)
        return functional.relu(self.norm2(self.convolution2(y)) + self.shortcut(x))


class SpinHead(nn.Module):
    """From features on a circle, (B, F, K), to the columns, each by its spin, and their log variances: (B, 2C).

    A vector of spin s is Σ_k g_k p_k(f_s), where f_s are the features' components along cos sφ and sin sφ, p_k
    linear maps, and g_k functions of f_0 alone. Where the behaviour of a column is not known it depends on all f_s.
    """

    def __init__(self, laws: Laws, features: int, places: int, hidden: int, maps: int):
        super().__init__()
        self.scalars = [k for k, s in enumerate(laws.spin) if s == 0]
        self.unknown = [k for k, s in enumerate(laws.spin) if s < 0]
        self.vectors = [k for k, s in enumerate(laws.spin) if s > 0]
        orders = sorted({0, *(laws.spin[self.vectors].tolist()), *(range(4) if self.unknown else ())})
        # Both components of a vector have the same coefficients, and the same variance.
        alike = {tuple(sorted({k, int(laws.partner[k])} - {-1})): None for k in self.vectors}
        groups = {k: n for n, group in enumerate(alike) for k in group}
        group = [groups[k] for k in self.vectors]
        order = [orders.index(int(laws.spin[k])) for k in self.vectors]
        self.turning = sorted(set(order))
        component = [2 * self.turning.index(o) + int(laws.second[k]) for k, o in zip(self.vectors, order, strict=True)]
        angle = 2 * math.pi * torch.arange(places) / places * torch.tensor(orders)[:, None]
        waves = torch.stack([angle.cos(), angle.sin()], 1) / places  # (S, 2, K)
        self.register_buffer("waves", waves, persistent=False)

        self.invariants = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.maps = nn.ModuleDict({str(k): nn.Linear(features, maps, bias=False) for k in self.turning})
        self.gates = nn.Linear(hidden, len(alike) * maps) if alike else None
        self.plain = nn.Linear(hidden, len(self.scalars)) if self.scalars else None
        self.rest = (
            nn.Sequential(
                nn.Linear(2 * features * len(orders), hidden), nn.ReLU(), nn.Linear(hidden, len(self.unknown))
            )
            if self.unknown
            else None
        )
        spreads = len(self.scalars) + len(alike) + len(self.unknown)
        self.spread = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, spreads))
        first = len(self.scalars)
        last = first + len(alike)
        spread_of = [*range(first), *(first + n for n in group), *range(last, last + len(self.unknown))]
        made = [*self.scalars, *self.vectors, *self.unknown]
        restore = [made.index(k) for k in range(len(made))]
        # Picked by one operation each: autograd takes longer over a loop's slices than over all of the head's sums.
        picked = {
            "group": group,
            "component": component,
            "restore": restore,
            "spread_of": [spread_of[k] for k in restore],
        }
        for name, places in picked.items():
            self.register_buffer(name, torch.tensor(places, dtype=torch.long), persistent=False)

    def strengths(self, features: Tensor) -> Tensor:
        """(B, F) of all orders: what does not change when the scene is turned."""
        waves = torch.einsum("bfk,sck->scbf", features, self.waves)
        turning = waves[1:].square().sum(1).sqrt()
        return torch.cat([waves[0, 0], turning.permute(1, 0, 2).flatten(1)], 1)

    def forward(self, features: Tensor) -> Tensor:
        components = torch.einsum("bfk,sck->scbf", features, self.waves).unbind()
        hidden = self.invariants(components[0][0])
        parts = [self.plain(hidden)] if self.scalars else []
        if self.vectors:
            turning = torch.stack([components[k] for k in self.turning]).flatten(1, 2)
            maps = torch.stack([layer.weight.T for layer in self.maps.values()])
            mapped = torch.bmm(turning, maps).view(2 * len(maps), len(hidden), -1)  # cos and sin of each order
            gates = self.gates(hidden).view(len(hidden), -1, mapped.shape[-1]).transpose(0, 1)
            vectors = mapped.index_select(0, self.component) * gates.index_select(0, self.group)
            parts.append(vectors.sum(2).T)
        if self.unknown:
            parts.append(self.rest(torch.cat([of[k] for k in range(2) for of in components], 1)))
        # The mean is not to be bent by how easily its error is guessed.
        spread = self.spread(hidden.detach())
        parts = torch.cat(parts, 1)
        return torch.cat([parts.index_select(1, self.restore), spread.index_select(1, self.spread_of)], 1)


class Polar(nn.Module):
    """views: (B, 1, rows, columns) of `LogPolar`, or (B, 3, rows, columns) of `ObservedPolar` → (B, 2C): the columns,
    scaled, and their log variances.
    """

    head_name = "head"

    def __init__(
        self,
        laws: Laws,
        input_size: int,
        *,
        widths: tuple[int, ...],
        rows: int = ROWS,
        columns: int = COLUMNS,
        hidden: int = 256,
        maps: int = 16,
        observed: bool = False,
    ):
        super().__init__()
        self.preprocessing = (ObservedPolar if observed else LogPolar)(input_size, rows, columns)
        self.register_buffer("radius", torch.linspace(-1, 1, rows)[None, None, :, None], persistent=False)
        layers = [Convolution(self.preprocessing.shape[0] + 1, widths[0], (2, 2)), Norm(widths[0]), nn.ReLU()]
        inputs, rows, columns = widths[0], rows // 2, columns // 2
        fewest = 16 if laws.spin.max(initial=0) < 8 else 64  # columns that still resolve the highest spin
        for k, width in enumerate(widths):
            stride = (1, 1) if k == 0 else (2, 2 if columns > fewest else 1)
            layers.append(Residual(inputs, width, stride))
            inputs, rows, columns = width, math.ceil(rows / stride[0]), math.ceil(columns / stride[1])
        self.body = nn.Sequential(*layers)
        self.head = SpinHead(laws, inputs * rows, columns, hidden, maps)

    def describe(self, views: Tensor) -> Tensor:
        """(B, F) of views: features that do not change when the scene is turned."""
        return self.head.strengths(self._features(views).float().flatten(1, 2))

    def _features(self, views: Tensor) -> Tensor:
        x = torch.cat([views.float(), self.radius.expand(len(views), -1, -1, views.shape[-1])], 1)
        return self.body(x.contiguous(memory_format=torch.channels_last))

    def forward(self, views: Tensor) -> Tensor:
        features = self._features(views)
        with torch.autocast(features.device.type, enabled=False):  # small, and it decides the last digits
            return self.head(features.float().flatten(1, 2))
