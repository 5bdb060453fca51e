"""What a network says of views: the mean over several symmetries, on the trained scale."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import nn

from droulette.learning.scaling import RadialScaling, Scaling
from droulette.learning.symmetry import Laws, Motions

BATCH = 128  # always the same, since the last bits of a sum may depend on it
BYTES_ON_A_CARD = (
    1 << 24
)  # of views: a card needs many pictures to be busy, 1,024 of `polar`'s and 256 whole ones of 256²


@torch.no_grad()
def predict_scaled(
    network: nn.Module,
    views: np.ndarray,
    laws: Laws,
    scaling: Scaling,
    turns: Motions,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager],
    progress: Callable[[int], object] = lambda pictures: None,
) -> tuple[np.ndarray, np.ndarray]:
    """views: (n, *shape) → means and variances of the columns on the trained scale, (n, C) float64 each.

    turns: each picture is looked at under all of these, and what is said of it turned back and averaged.
    """
    network = getattr(network, "module", network)
    network.eval()
    on_a_card = device.type == "cuda"
    at_once = max(16, BYTES_ON_A_CARD // views[0].nbytes) if on_a_card else BATCH
    means, variances = [], []
    for start in range(0, len(views), at_once):
        batch = torch.from_numpy(np.array(views[start : start + at_once])).to(device)
        mean = variance = 0.0
        for k in range(len(turns)):
            motions = turns[[k]].repeat(len(batch))
            with autocast():
                output = network(network.preprocessing.move(batch, motions))
            found, log_variance = (part.numpy() for part in output.double().cpu().chunk(2, 1))
            mean = mean + _turn_back(found, laws, scaling, motions) / len(turns)
            variance = variance + laws.mix(np.exp(np.clip(log_variance, -30, 30)), motions) / len(turns)
        means.append(mean)
        variances.append(variance)
        progress(len(batch))
    return np.concatenate(means), np.concatenate(variances)


def _turn_back(scaled: np.ndarray, laws: Laws, scaling: Scaling, motions: Motions) -> np.ndarray:
    """On the radial scale vectors turn as they are; on others, whose components differ, in the columns' units."""
    if not (motions.degrees.any() or motions.mirror.any()):
        return scaled
    if isinstance(scaling, RadialScaling) and not laws.lone.any():
        return laws.turn_back(scaled, motions)
    return scaling.transform(laws.turn_back(scaling.inverse(scaled), motions))
