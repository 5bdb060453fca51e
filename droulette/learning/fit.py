"""The training loop: one page, read from top to bottom."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from droulette.errors import UserError
from droulette.learning import compilation, metrics
from droulette.learning.checkpoint import Checkpoint, State
from droulette.learning.prediction import predict_scaled
from droulette.learning.scaling import Scaling
from droulette.learning.symmetry import Group, Laws, Motions

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")
Progress = Callable[[int], object]  # called with the number of pictures just done


@dataclass(frozen=True)
class Split:
    """Rows in memory. views: (n, *shape), by the network's preprocessing; targets: (n, C), columns' units."""

    views: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[Split]) -> Split:
        """The rows of several splits."""
        views, targets = zip(*((one.views, one.targets) for one in parts), strict=True)
        return cls(np.concatenate(views), np.concatenate(targets))


class Batch(NamedTuple):
    """One process's share of a batch of `in_all` pictures.

    targets: (n, C), scaled. motions: to be given to the views; None leaves them as they are.
    """

    views: torch.Tensor
    motions: Motions | None
    targets: torch.Tensor
    in_all: int


class Pictures(Protocol):
    """What is learnt from. count: pictures of an epoch."""

    count: int

    def batches(self, epoch: int, starts: list[int], size: int, share: slice) -> Iterator[Batch]:
        """A share of each batch of an epoch, counted from 0: `size` pictures from each of its `starts` on."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    patience: stop after so many epochs without a better validation loss.
    schedule: "constant", or "onecycle": rises to learning_rate, then falls to 0.
    """

    epochs: int
    patience: int
    learning_rate: float
    batch_size: int
    weight_decay: float
    schedule: str
    seed: int


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Same seed, same weights, byte for byte on one machine; leaves torch's own settings as they were."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; cuBLAS asks for it
    settings = torch.utils.deterministic
    was = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        settings.fill_uninitialized_memory = False  # a tenth of a step, and nothing here reads what it has not written
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was[0])
            settings.fill_uninitialized_memory = was[1]


def fit(
    network: nn.Module,
    training: Pictures,
    validation: Split,
    judge: metrics.Judge,
    laws: Laws,
    group: Group,
    recipe: Recipe,
    fabric: Fabric,
    *,
    checkpoint: Checkpoint | None = None,
    log: Callable[[dict[str, float]], None] = lambda metrics: None,
    progress: Progress = lambda pictures: None,
) -> nn.Module:
    """Train the network and leave in it the weights of the epoch with the least validation loss.

    judge: holds the scale and the loss that is trained, and measures each epoch on the validation part.
    group: the turns of which validation takes the first.
    checkpoint: where the state after each epoch is kept, and what is gone on from.
    fabric: of several processes each works on its part of every batch, which has `recipe.batch_size` pictures in all;
    the first alone measures, keeps and logs.
    log: called after each epoch with its metrics. progress: called after each batch with its number of pictures.
    """
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    count, processes, first = training.count, fabric.world_size, fabric.is_global_zero
    # A last batch of one picture a process has no variance, which batch normalisation needs.
    starts = [start for start in range(0, count, recipe.batch_size) if start == 0 or count - start >= 2 * processes]
    steps = recipe.epochs * len(starts)
    network = network.to(memory_format=torch.channels_last)
    compiled = compilation.compiled(network, fabric.device, steps, processes)
    network, optimiser = fabric.setup(compiled, optimiser)
    if recipe.schedule == "onecycle":
        rising = min(max(0.2, 2 / steps), 0.99)  # a rise of one of five steps would have no length to divide by
        rates = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, recipe.learning_rate, total_steps=steps, pct_start=rising
        )
    else:
        rates = torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1)
    state = State(network, optimiser, rates)
    if checkpoint:
        checkpoint.restore(state, fabric)
        for entry in state.history if first else ():
            log(entry)
            progress(count)

    while state.epoch < recipe.epochs and state.waited < recipe.patience:
        network.train()
        torch.manual_seed(int(_generator(recipe.seed, state.epoch).integers(2**32)) + fabric.global_rank)  # of dropout
        losses = []
        share = slice(fabric.global_rank, None, processes)
        for batch in ahead(training.batches(state.epoch, starts, recipe.batch_size, share)):
            views = batch.views.to(fabric.device, non_blocking=True)
            if batch.motions is not None:
                views = network.preprocessing.move(views, batch.motions)
            targets = batch.targets.to(fabric.device, non_blocking=True)
            with compilation.whole_batches(compiled, batch.in_all == recipe.batch_size):
                mean, log_variance = network(views).float().chunk(2, 1)
            part = processes * len(views) / batch.in_all  # 1 but where the processes cannot share a batch out equally
            loss = metrics.elementwise(mean - targets, judge.loss).mean()
            optimiser.zero_grad()
            fabric.backward(part * (loss + metrics.likelihood((mean - targets).detach(), log_variance).mean()))
            optimiser.step()
            rate = rates.get_last_lr()[0]
            rates.step()
            losses.append(loss.detach())
            progress(batch.in_all if first else 0)

        state.epoch += 1
        output = None
        if first:
            output, _ = predict_scaled(
                network, validation.views, laws, judge.scaling, group.some(1), fabric.device, fabric.autocast
            )
        output = fabric.broadcast(output)
        if not np.isfinite(output).all():
            break
        reached = metrics.mean(judge.columns(validation.targets, judge.scaling.inverse(output)))
        loss = fabric.all_reduce(torch.stack(losses).mean())
        entry = {"epoch": state.epoch, "train/loss": loss.item()}
        entry |= {f"validation/{name}": value for name, value in reached.items()} | {"learning_rate": rate}
        state.record(entry, reached["loss"])
        if checkpoint and first:
            checkpoint.keep(state)
        if first:
            log(entry)
    if state.best is None:
        raise UserError(f"hyperparameters.learning-rate: at {recipe.learning_rate} training diverged, expected less")
    network.module.load_state_dict(state.best)
    return network.module


@dataclass(frozen=True)
class Stored:
    """The rows of a split, in a new random order each epoch.

    group: of these motions one, drawn for each picture anew, is applied to it and, by the laws, to its targets.
    """

    rows: Split
    scaling: Scaling
    laws: Laws
    group: Group
    seed: int
    device: torch.device

    @property
    def count(self) -> int:
        return len(self.rows.targets)

    def batches(self, epoch: int, starts: list[int], size: int, share: slice) -> Iterator[Batch]:
        generator = _generator(self.seed, epoch)
        generator.integers(2**32)  # the seed of dropout
        order = generator.permutation(self.count)
        for start in starts:
            every = order[start : start + size]
            motions, rows = self.group.draw(generator, len(every))[share], every[share]
            targets = self.scaling.transform(self.laws.move(self.rows.targets[rows], motions))
            arrays = [torch.from_numpy(array) for array in (self.rows.views[rows], targets.astype(np.float32))]
            if self.device.type == "cuda":  # which fetches from such memory while it works
                arrays = [array.pin_memory() for array in arrays]
            yield Batch(arrays[0], motions, arrays[1], len(every))


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch])


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each made in another thread while the one before is worked on."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item
