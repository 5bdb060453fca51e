"""The training loop: one page, read from top to bottom."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import nn

from droulette.errors import UserError
from droulette.learning import compilation, metrics
from droulette.learning.checkpoint import Checkpoint, State
from droulette.learning.prediction import predict_scaled
from droulette.learning.symmetry import Group, Laws, Motions

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")
Seen = Callable[[int], object]  # called with the number of pictures just done


@dataclass(frozen=True)
class Part:
    """views: (n, *shape), as the network's eye has them; targets: (n, C), columns' units."""

    views: np.ndarray
    targets: np.ndarray


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
    schedule: str = "constant"
    seed: int = 0


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
    training: Part,
    validation: Part,
    judge: metrics.Judge,
    laws: Laws,
    group: Group,
    recipe: Recipe,
    fabric: Fabric,
    *,
    checkpoint: Checkpoint | None = None,
    log: Callable[[dict[str, float]], None] = lambda metrics: None,
    seen: Seen = lambda pictures: None,
) -> nn.Module:
    """Train the network and leave in it the weights of the epoch with the least validation loss.

    judge: holds the scale and the loss that is trained, and measures each epoch on the validation part.
    group: of these motions one, drawn for each picture anew, is applied to it and its targets.
    checkpoint: where the state after each epoch is kept, and what is gone on from.
    fabric: of several processes each works on its part of every batch, which has `recipe.batch_size` pictures in all;
    the first alone measures, keeps and logs.
    log: called after each epoch with its metrics. seen: called after each batch with its number of pictures.
    """
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    count, processes, first = len(training.targets), fabric.world_size, fabric.is_global_zero
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
            seen(count)

    while state.epoch < recipe.epochs and state.waited < recipe.patience:
        network.train()
        generator = np.random.default_rng([recipe.seed, state.epoch])
        torch.manual_seed(int(generator.integers(2**32)) + fabric.global_rank)  # of dropout
        losses = []
        share = slice(fabric.global_rank, None, processes)
        batches = _batches(training, starts, recipe.batch_size, share, group, laws, judge, generator, fabric.device)
        for views, motions, targets, in_all in ahead(batches):
            views = network.eye.move(views.to(fabric.device, non_blocking=True), motions)
            targets = targets.to(fabric.device, non_blocking=True)
            with compilation.whole_batches(compiled, in_all == recipe.batch_size):
                mean, log_variance = network(views).float().chunk(2, 1)
            part = processes * len(views) / in_all  # 1 but in a batch that the processes cannot share out equally
            loss = metrics.elementwise(mean - targets, judge.loss).mean()
            optimiser.zero_grad()
            fabric.backward(part * (loss + metrics.likelihood((mean - targets).detach(), log_variance).mean()))
            optimiser.step()
            rate = rates.get_last_lr()[0]
            rates.step()
            losses.append(loss.detach())
            seen(in_all if first else 0)

        state.epoch += 1
        output = None
        if first:
            output, _ = predict_scaled(network, validation.views, laws, judge.scaling, group.some(1), fabric)
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


def _batches(
    part: Part,
    starts: list[int],
    batch_size: int,
    share: slice,
    group: Group,
    laws: Laws,
    judge: metrics.Judge,
    generator: np.random.Generator,
    device: torch.device,
) -> Iterator[tuple[torch.Tensor, Motions, torch.Tensor, int]]:
    """An epoch in random order, and of each batch a share, and how many pictures all shares have.

    A share is views, the motions they are to be given, and the moved scenes' scaled targets; where the device is
    CUDA, they lie in memory from which it fetches them while it works.
    """
    order = generator.permutation(len(part.targets))
    for start in starts:
        rows = order[start : start + batch_size]
        motions, in_all = group.draw(generator, len(rows))[share], len(rows)
        rows = rows[share]
        targets = judge.scaling.transform(laws.move(part.targets[rows], motions))
        arrays = [torch.from_numpy(array) for array in (part.views[rows], targets.astype(np.float32))]
        views, targets = [array.pin_memory() for array in arrays] if device.type == "cuda" else arrays
        yield views, motions, targets, in_all


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each made in another thread while the one before is worked on."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item
