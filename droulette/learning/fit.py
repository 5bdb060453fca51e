"""The training loop: one page, read from top to bottom."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from droulette.errors import UserError
from droulette.learning import metrics
from droulette.learning.symmetry import Symmetry

Seen = Callable[[int], object]  # called with the number of pictures just done
BATCH = 64  # of pictures, where nothing is trained


@dataclass(frozen=True)
class Part:
    """pictures: (n, N, N) uint8; targets: (n, C), columns' units."""

    pictures: np.ndarray
    targets: np.ndarray


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Same seed, same weights, byte for byte on one machine; leaves torch's own settings as they were."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; cuBLAS asks for it
    was = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was)


def as_input(pictures: np.ndarray, device: torch.device) -> torch.Tensor:
    """(B, N, N) uint8 -> (B, 1, N, N) float32, brightness 0..1, on the device."""
    return torch.from_numpy(np.array(pictures)).to(device)[:, None].float() / 255


@torch.no_grad()
def predict_scaled(
    network: nn.Module, pictures: np.ndarray, device: torch.device, seen: Seen = lambda pictures: None
) -> np.ndarray:
    """pictures: (n, N, N) uint8 -> the network's output for each, (n, C) float32 on the trained scale.

    The batch is always the same, since the last bits of a float32 sum may depend on it.
    """
    network.eval()
    outputs = []
    for start in range(0, len(pictures), BATCH):
        batch = as_input(pictures[start : start + BATCH], device)
        outputs.append(network(batch).float().cpu())
        seen(len(batch))
    return torch.cat(outputs).numpy()


def fit(
    network: nn.Module,
    training: Part,
    validation: Part,
    judge: metrics.Judge,
    *,
    symmetries: list[Symmetry],
    epochs: int,
    patience: int,
    learning_rate: float,
    batch_size: int,
    weight_decay: float,
    schedule: str,
    seed: int,
    device: torch.device,
    precision: str = "32-true",
    log: Callable[[dict[str, float]], None] = lambda metrics: None,
    seen: Seen = lambda pictures: None,
) -> nn.Module:
    """Train the network in place and leave in it the weights of the epoch with the least validation loss.

    judge: holds the scale and the loss that is trained, and measures each epoch on the validation part.
    symmetries: one of them, drawn for each picture anew, is applied to it and its targets.
    patience: stop after so many epochs without a better validation loss.
    schedule: "constant" or "onecycle" (rises to learning_rate, then falls to 0).
    log: called after each epoch with its metrics. seen: called after each batch with its number of pictures.
    """
    from lightning_fabric import Fabric

    index = [device.index or 0] if device.type == "cuda" else 1
    fabric = Fabric(accelerator=device.type, devices=index, precision=precision)
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    network, optimiser = fabric.setup(network.to(memory_format=torch.channels_last), optimiser)

    # Targets under each symmetry, on the trained scale, so that a batch costs an index: (symmetries, n, C)
    tables = np.stack([judge.scaling.transform(s.of_targets(training.targets)) for s in symmetries])
    tables = tables.astype(np.float32)
    count, generator = len(training.targets), np.random.default_rng(seed)
    # A last batch of one picture has no variance, which batch normalisation needs.
    starts = [start for start in range(0, count, batch_size) if start == 0 or count - start > 1]
    if schedule == "onecycle":
        steps = epochs * len(starts)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps)
    else:
        rates = torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1)

    best_loss, best, waited = float("inf"), None, 0
    for epoch in range(1, epochs + 1):
        network.train()
        order, losses = generator.permutation(count), []
        for start in starts:
            rows = order[start : start + batch_size]
            drawn = generator.integers(len(symmetries), size=len(rows))
            pairs = zip(drawn, rows, strict=True)
            turned = np.stack([symmetries[s].of_picture(training.pictures[row]) for s, row in pairs])
            targets = torch.from_numpy(tables[drawn, rows]).to(device)

            output = network(as_input(turned, device))
            loss = metrics.elementwise(output - targets, judge.loss).mean()
            optimiser.zero_grad()
            fabric.backward(loss)
            optimiser.step()
            rate = rates.get_last_lr()[0]
            rates.step()
            losses.append(loss.detach())
            seen(len(rows))

        output = predict_scaled(network, validation.pictures, device)
        if not np.isfinite(output).all():
            break
        predicted = judge.scaling.inverse(output)
        reached = metrics.mean(judge.columns(validation.targets, predicted))
        train_loss = torch.stack(losses).mean().item()
        validation_metrics = {f"validation/{name}": value for name, value in reached.items()}
        log({"epoch": epoch, "train/loss": train_loss, **validation_metrics, "learning_rate": rate})

        if reached["loss"] < best_loss:
            best_loss, waited = reached["loss"], 0
            best = copy.deepcopy(network.module.state_dict())
        elif (waited := waited + 1) >= patience:
            break
    if best is None:
        raise UserError(f"hyperparameters.learning-rate: at {learning_rate} training diverged, expected less")
    network.module.load_state_dict(best)
    return network.module
