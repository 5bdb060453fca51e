"""A trained model as one safetensors file: weights and scaling as tensors, the rest as JSON metadata."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from droulette import __version__, files
from droulette.errors import UserError
from droulette.learning import backbones, fit, metrics
from droulette.learning.scaling import SCALINGS, Scaling, arrays

FORMAT = 1
LARGEST_INPUT = 1 << 14


@dataclass(frozen=True)
class Model:
    """A network and what is needed to read its output.

    columns: names of its C outputs. input_size: N of the pictures (N, N) that it was trained on.
    """

    network: nn.Module
    backbone: str
    columns: tuple[str, ...]
    scaling: Scaling
    loss: str
    input_size: int
    device: torch.device

    def predict(self, pictures: np.ndarray, seen: fit.Seen = lambda pictures: None) -> np.ndarray:
        """pictures: (n, N, N) uint8 -> (n, C) float64, columns' units."""
        return self.scaling.inverse(fit.predict_scaled(self.network, pictures, self.device, seen))


def save(model: Model, path: str | Path) -> None:
    """Write the model; the same model gives the same bytes."""
    from safetensors.torch import save_file

    tensors = {f"network.{k}": v.detach().cpu().contiguous() for k, v in model.network.state_dict().items()}
    tensors |= {f"scaling.{k}": torch.from_numpy(np.array(v, order="C")) for k, v in arrays(model.scaling).items()}
    about = {
        "format": FORMAT,
        "droulette": __version__,
        "backbone": model.backbone,
        "columns": list(model.columns),
        "scaling": model.scaling.kind,
        "loss": model.loss,
        "input_size": model.input_size,
    }
    with files.atomic_write(path) as partial:
        # One key: safetensors writes several in an order of chance.
        save_file(tensors, partial, metadata={"droulette": json.dumps(about)})


def load(path: str | Path, device: torch.device | str = "cpu") -> Model:
    """Read a model. Nothing in the file is run: it is tensors, and names looked up among those we know.

    Raises:
        UserError: no such file, or not a model that `save` wrote.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such model file; expected one written by training")
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path}: not a whole safetensors file: {error}") from error
    try:
        about = json.loads(metadata["droulette"])
        if about["format"] != FORMAT:
            raise ValueError(f"found format {about['format']!r}, expected {FORMAT}")
        columns, size = tuple(about["columns"]), about["input_size"]
        if not (columns and all(isinstance(column, str) for column in columns)):
            raise ValueError("its columns are no list of names")
        if not (isinstance(size, int) and 0 < size <= LARGEST_INPUT):
            raise ValueError(f"its input size is {size}")
        backbones.check(about["backbone"])
        with torch.random.fork_rng():  # its first weights are random, but nobody else's numbers change
            network = backbones.build(about["backbone"], len(columns), "", size)
        network.load_state_dict(_under("network.", tensors))
        state = {name: tensor.numpy() for name, tensor in _under("scaling.", tensors).items()}
        if not all(a.shape[-1:] in ((), (len(columns),)) and np.isfinite(a).all() for a in state.values()):
            raise ValueError("its scaling is not one of its columns")
        scaling = SCALINGS[about["scaling"]](**state)
        if (loss := about["loss"]) not in metrics.LOSSES:
            raise ValueError(f"its loss is {loss!r}")
    except (KeyError, TypeError, ValueError, RuntimeError, UserError) as error:
        found = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not a droulette model: {found}") from error
    device = torch.device(device)
    network = network.to(device, memory_format=torch.channels_last).eval()
    return Model(network, about["backbone"], columns, scaling, loss, size, device)


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
