"""A trained model as one safetensors file: weights and scaling as tensors, the rest as JSON metadata."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from droulette import __version__, files
from droulette.devices import fabric_on
from droulette.errors import UserError
from droulette.learning import backbones, metrics
from droulette.learning.calibration import Calibration
from droulette.learning.novelty import Novelty
from droulette.learning.prediction import predict_scaled
from droulette.learning.scaling import SCALINGS, Scaling, arrays, spread
from droulette.learning.symmetry import Group, Laws

FORMAT = 2
LARGEST_INPUT = 1 << 14


@dataclass(frozen=True)
class Model:
    """A network and what is needed to read its output.

    columns: names of its C outputs. input_size: N of the pictures (N, N) that it was trained on. symmetries: under
    how many turns each picture is looked at. precision: Fabric's name of the arithmetic. calibration, novelty: None
    before they are known.
    """

    network: nn.Module
    backbone: str
    columns: tuple[str, ...]
    scaling: Scaling
    loss: str
    input_size: int
    symmetries: int
    device: torch.device
    precision: str = "32-true"
    calibration: Calibration | None = None
    novelty: Novelty | None = None

    def predict(
        self, views: np.ndarray, seen: Callable[[int], object] = lambda pictures: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """views: (n, *shape), as `network.eye` has them → means and standard deviations, (n, C), columns' units."""
        laws = Laws.of(self.columns)
        turns = Group.of(laws, self.network.eye.turns).some(self.symmetries)
        fabric = fabric_on(self.device, self.precision)
        scaled, variance = predict_scaled(self.network, views, laws, self.scaling, turns, fabric, seen)
        deviation = spread(self.scaling, scaled, np.sqrt(variance))
        if self.calibration:
            deviation = self.calibration.deviation(deviation)
        return self.scaling.inverse(scaled), deviation


def save(model: Model, path: str | Path) -> None:
    """Write the model; the same model gives the same bytes."""
    from safetensors.torch import save_file

    tensors = {f"network.{k}": v.detach().cpu().contiguous() for k, v in model.network.state_dict().items()}
    tensors |= {f"scaling.{k}": torch.from_numpy(np.array(v, order="C")) for k, v in arrays(model.scaling).items()}
    if model.calibration:
        tensors["calibration.widths"] = torch.from_numpy(np.array(model.calibration.widths, order="C"))
    if model.novelty:
        tensors |= {f"novelty.{k}": torch.from_numpy(np.array(v, order="C")) for k, v in arrays(model.novelty).items()}
    about = {
        "format": FORMAT,
        "droulette": __version__,
        "backbone": model.backbone,
        "columns": list(model.columns),
        "scaling": model.scaling.kind,
        "loss": model.loss,
        "input_size": model.input_size,
        "symmetries": model.symmetries,
    }
    with files.atomic_write(path) as partial:
        # One key: safetensors writes several in an order of chance.
        save_file(tensors, partial, metadata={"droulette": json.dumps(about)})


def load(path: str | Path, device: torch.device | str = "cpu", precision: str = "32-true") -> Model:
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
        model = _model(json.loads(metadata["droulette"]), tensors, torch.device(device), precision)
    except (KeyError, TypeError, ValueError, RuntimeError, UserError) as error:
        found = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not a droulette model: {found}") from error
    return model


def _model(about: dict, tensors: dict[str, torch.Tensor], device: torch.device, precision: str) -> Model:
    if about["format"] != FORMAT:
        raise ValueError(f"found format {about['format']!r}, expected {FORMAT}")
    columns, size, symmetries = tuple(about["columns"]), about["input_size"], about["symmetries"]
    if not (columns and all(isinstance(column, str) for column in columns) and len(set(columns)) == len(columns)):
        raise ValueError("its columns are no list of different names")
    if not (isinstance(size, int) and 0 < size <= LARGEST_INPUT):
        raise ValueError(f"its input size is {size}")
    if not (isinstance(symmetries, int) and 0 < symmetries <= 4096):
        raise ValueError(f"its number of symmetries is {symmetries}")
    if (loss := about["loss"]) not in metrics.LOSSES:
        raise ValueError(f"its loss is {loss!r}")
    backbones.check(about["backbone"])
    with torch.random.fork_rng():  # its first weights are random, but nobody else's numbers change
        network = backbones.build(about["backbone"], columns, "", size)
    network.load_state_dict(_under("network.", tensors))
    scaling = SCALINGS[about["scaling"]](**_arrays("scaling.", tensors))
    _check_scaling(scaling, columns)
    widths = tensors["calibration.widths"].numpy() if "calibration.widths" in tensors else None
    if widths is not None and not (widths.shape == (2, len(columns)) and (widths > 0).all()):
        raise ValueError("its calibration is not one of its columns")
    novelty = Novelty(**found) if (found := _arrays("novelty.", tensors)) else None
    if novelty:
        novelty.check()
    network = network.to(device, memory_format=torch.channels_last).eval()
    calibration = Calibration(widths) if widths is not None else None
    about_it = (about["backbone"], columns, scaling, loss, size, symmetries, device, precision)
    return Model(network, *about_it, calibration, novelty)


def _check_scaling(scaling: Scaling, columns: tuple[str, ...]) -> None:
    """A scaling of finite numbers, that takes this number of columns and gives it back."""
    if not all(np.isfinite(a).all() for a in arrays(scaling).values()):
        raise ValueError("its scaling holds what is no number")
    for first, second, _ in Laws.of(columns).pairs if scaling.kind == "radial" else ():
        if first not in scaling.first or second not in scaling.second:
            raise ValueError("its scaling is not one of its columns")
    try:
        fits = scaling.inverse(np.zeros((1, len(columns)))).shape == (1, len(columns))
    except (IndexError, ValueError) as error:
        raise ValueError("its scaling is not one of its columns") from error
    if not fits:
        raise ValueError("its scaling is not one of its columns")


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _arrays(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in _under(prefix, tensors).items()}
