"""A trained model as one safetensors file: weights and scaling as tensors, the rest as JSON metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from droulette import __version__, files, quantities
from droulette.devices import autocast
from droulette.errors import UserError
from droulette.learning import backbones, metrics
from droulette.learning.calibration import Calibration
from droulette.learning.limits import Limit
from droulette.learning.novelty import Novelty
from droulette.learning.observed import Known, conditions
from droulette.learning.parallel import by_rows
from droulette.learning.prediction import predict_scaled
from droulette.learning.scaling import SCALINGS, Scaling, arrays, spread
from droulette.learning.screen import Screen
from droulette.learning.symmetry import Group, Laws

FORMAT = 2
LARGEST_INPUT = 1 << 14
MOST_COLUMNS = 10_000
MOST_SCALING = 1 << 26  # numbers of an array of the scaling


@dataclass(frozen=True)
class Model:
    """A network and what is needed to read its output.

    columns: names of its C outputs. input_size: N of the pictures (N, N) that it was trained on. symmetries: under
    how many turns each picture is looked at. precision: Fabric's name of the arithmetic. calibration, novelty,
    limit: None before they are known. known, screen: of pictures with noise, what noise and
    PSF those trained on had, and what tells other kinds of pictures. distribution: the tables of the TOML file that
    its training pictures were drawn from, None where these were not drawn.
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
    limit: Limit | None = None
    known: Known | None = None
    screen: Screen | None = None
    distribution: dict[str, dict] | None = None

    def unlikeness(self, views: np.ndarray) -> np.ndarray:
        """(n,): above 1, a picture is unlike those trained on; NaN where the model cannot tell."""
        found = self.novelty.score(self.network.preprocessing, views) if self.novelty else np.full(len(views), np.nan)
        return np.fmax(found, self.screen.score(self.network, views)) if self.screen else found

    def predict(
        self,
        views: np.ndarray,
        progress: Callable[[int], object] = lambda pictures: None,
        facts: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations, (n, C), columns' units.

        views: (n, *shape), by `network.preprocessing`. facts: (n, 6), of pictures with noise, see `observed`.
        """
        return self.in_units(*self.predict_scaled(views, progress), conditions(views, facts))

    def reach(self, views: np.ndarray, facts: np.ndarray | None = None) -> np.ndarray:
        """(C,) or (n, C): so many times the standard deviation are half a 95 % interval."""
        if self.calibration is None:
            return np.full(len(self.columns), 1.96)
        return self.calibration.reach(conditions(views, facts))

    def predict_scaled(
        self, views: np.ndarray, progress: Callable[[int], object] = lambda pictures: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same before it is brought to the columns' units: means and variances on the trained scale."""
        laws = Laws.of(self.columns)
        turns = Group.of(laws, self.network.preprocessing.turns).some(self.symmetries)
        precise = partial(autocast, self.device, self.precision)
        return predict_scaled(self.network, views, laws, self.scaling, turns, self.device, precise, progress)

    def in_units(
        self, scaled: np.ndarray, variance: np.ndarray, conditions: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances on the trained scale → means and standard deviations in the columns' units.

        conditions: (n, K), see `observed.conditions`.
        """
        mean, deviation = by_rows(self._in_units, scaled, variance)
        return mean, self.calibration.deviation(deviation, conditions) if self.calibration else deviation

    def _in_units(self, scaled: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.limit:
            scaled = self.limit.cut(self.scaling, scaled)
        deviation = spread(self.scaling, scaled, np.sqrt(variance))
        return self.scaling.inverse(scaled), deviation


def save(model: Model, path: str | Path, half: bool = False) -> None:
    """Write the model; the same model gives the same bytes. half: its weights in 16 bits, to which they are rounded."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    weights = model.network.state_dict()
    weights = in_16_bits(weights) if half else weights
    tensors = {f"network.{k}": v.detach().cpu().contiguous() for k, v in weights.items()}
    tensors |= {f"scaling.{k}": torch.from_numpy(np.array(v, order="C")) for k, v in arrays(model.scaling).items()}
    if model.calibration:
        kept = arrays(model.calibration)
        kept = kept if len(model.calibration.knots) else {"widths": kept["widths"]}
        tensors |= {f"calibration.{k}": torch.from_numpy(np.array(v, order="C")) for k, v in kept.items()}
    if model.limit:
        tensors["limit.most"] = torch.from_numpy(np.array(model.limit.most, np.float64))
    if model.known:
        tensors |= {f"known.{k}": torch.from_numpy(np.array(v, order="C")) for k, v in arrays(model.known).items()}
    if model.screen:
        tensors |= {f"screen.{k}": torch.from_numpy(np.array(v, order="C")) for k, v in arrays(model.screen).items()}
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
    if model.known:
        about["observed"] = True
    if model.distribution:
        about["distribution"] = model.distribution
    if described := quantities.behaviours(model.columns):
        about["quantities"] = described
    with files.atomic_write(path) as partial:
        try:
            # One key: safetensors writes several in an order of chance.
            save_file(tensors, partial, metadata={"droulette": json.dumps(about)})
        except SafetensorError as error:  # a full disk
            raise OSError(None, str(error), str(path)) from error


def in_16_bits(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}


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
            return _model(json.loads(metadata["droulette"]), opened, torch.device(device), precision)
    except SafetensorError as error:
        raise UserError(f"{path}: not a whole safetensors file: {error}") from error
    except OSError:
        raise
    except Exception as error:  # metadata of an untrusted file may raise anything
        found = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise UserError(f"{path}: not a droulette model: {found}") from error


def _model(about: dict, opened, device: torch.device, precision: str) -> Model:
    """opened: a safetensors file, of which only those tensors are read that have the shapes they must have."""
    if about["format"] != FORMAT:
        raise ValueError(f"found format {about['format']!r}, expected {FORMAT}")
    columns, size, symmetries = tuple(about["columns"]), about["input_size"], about["symmetries"]
    if not (0 < len(columns) <= MOST_COLUMNS and all(isinstance(c, str) for c in columns)):
        raise ValueError(f"its columns are no list of 1 to {MOST_COLUMNS} names")
    if len(set(columns)) < len(columns):
        raise ValueError("its columns are no list of different names")
    if not (isinstance(size, int) and 0 < size <= LARGEST_INPUT):
        raise ValueError(f"its input size is {size}")
    if not (isinstance(symmetries, int) and 0 < symmetries <= 4096):
        raise ValueError(f"its number of symmetries is {symmetries}")
    if (loss := about["loss"]) not in metrics.LOSSES:
        raise ValueError(f"its loss is {loss!r}")
    quantities.remember(columns, about.get("quantities", {}))
    backbones.check(about["backbone"])
    with torch.random.fork_rng():  # its first weights are random, but nobody else's numbers change
        network = backbones.build(about["backbone"], columns, "", size, about.get("observed") is True)
    state = network.state_dict()
    network.load_state_dict(_under("network.", opened, {name: tuple(own.shape) for name, own in state.items()}))
    scaling = SCALINGS[about["scaling"]](**_under("scaling.", opened, None))
    _check_scaling(scaling, columns)
    calibration = Calibration(**found) if (found := _under("calibration.", opened, None)) else None
    if calibration:
        calibration.check(len(columns))
    most = _under("limit.", opened, {"most": ()}).get("most")
    if most is not None and not most > 0:
        raise ValueError("its limit is not above 0")
    limit = Limit(most) if most is not None else None
    novelty = Novelty(**found) if (found := _under("novelty.", opened, None)) else None
    if novelty:
        novelty.check()
    known = Known(**found) if (found := _under("known.", opened, None)) else None
    if known:
        known.check()
    screen = Screen(**found) if (found := _under("screen.", opened, None)) else None
    if screen:
        screen.check()
    if (known is None) == (about.get("observed") is True):
        raise ValueError("it does not say what noise it knows")
    distribution = about.get("distribution")
    tables = [distribution, *distribution.values()] if isinstance(distribution, dict) else []
    if distribution is not None and not (tables and all(isinstance(table, dict) for table in tables)):
        raise ValueError("the distribution that it was trained on is no tables")
    network = network.to(device, memory_format=torch.channels_last).eval()
    about_it = (about["backbone"], columns, scaling, loss, size, symmetries, device, precision)
    return Model(network, *about_it, calibration, novelty, limit, known, screen, distribution)


def _check_scaling(scaling: Scaling, columns: tuple[str, ...]) -> None:
    """A scaling of finite numbers, that takes this number of columns and gives it back."""
    if not all(np.isfinite(a).all() for a in arrays(scaling).values()):
        raise ValueError("its scaling holds what is no number")
    for first, second, _ in Laws.of(columns).pairs if scaling.kind == "radial" else ():
        if first not in scaling.first or second not in scaling.second:
            raise ValueError("its scaling is not one of its columns")
    try:
        middle = scaling.inverse(np.zeros((1, len(columns))))
        fits = middle.shape == (1, len(columns)) and np.isfinite(middle).all()
    except (IndexError, ValueError) as error:
        raise ValueError("its scaling is not one of its columns") from error
    if not fits:
        raise ValueError("its scaling is not one of its columns")


def _under(prefix: str, opened, shapes: dict[str, tuple[int, ...]] | None) -> dict:
    """The tensors of that prefix, which must have these shapes and be finite; as arrays, but for the network's."""
    found = {}
    for name in filter(lambda name: name.startswith(prefix), opened.keys()):
        short, shape = name.removeprefix(prefix), tuple(opened.get_slice(name).get_shape())
        if shapes is not None and shapes.get(short) != shape:
            raise ValueError(f"found {name!r} of shape {shape}, expected {shapes.get(short, 'none')}")
        if shapes is None and math.prod(shape) > MOST_SCALING:
            raise ValueError(f"found {name!r} of shape {shape}, expected at most {MOST_SCALING} numbers")
        tensor = opened.get_tensor(name)
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name!r} holds what is no number")
        found[short] = tensor if prefix == "network." else tensor.numpy()
    return found
