"""The state of a training after an epoch: in memory, and in a file that a killed run is gone on from."""

from __future__ import annotations

import copy
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from droulette import files

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class State:
    """Everything that the next epoch depends on.

    epoch: finished ones. waited: epochs since the best. best: the weights of the epoch with the least loss.
    history: what was logged.
    """

    def __init__(self, network, optimiser, rates) -> None:
        self.parts = {"network": network.module, "optimiser": optimiser, "rates": rates}
        self.epoch, self.waited, self.best_loss, self.best = 0, 0, float("inf"), None
        self.history: list[dict[str, float]] = []

    def record(self, entry: dict[str, float], loss: float) -> None:
        """Note an epoch's metrics and its validation loss."""
        self.history.append(entry)
        self.waited += 1
        if loss < self.best_loss:
            self.waited, self.best_loss = 0, loss
            self.best = copy.deepcopy(self.parts["network"].state_dict())


NUMBERS = ("epoch", "waited", "best_loss", "best", "history")


class Checkpoint:
    """A file for one training, which `key` names: another training does not go on from it."""

    def __init__(self, path: str | Path, key: str) -> None:
        self.path, self.key = Path(path), key

    def keep(self, state: State) -> None:
        content = {name: getattr(state, name) for name in NUMBERS}
        content |= {name: part.state_dict() for name, part in state.parts.items()}
        packed = io.BytesIO()  # PyTorch does not say what went wrong with a file: a full disk
        torch.save(content | {"key": self.key}, packed)
        with files.atomic_write(self.path) as partial:
            partial.write_bytes(packed.getbuffer())

    def restore(self, state: State, fabric: Fabric) -> None:
        """Bring the state to the last epoch that was kept of this training, if one was, in all processes alike."""
        content = fabric.broadcast(self._content() if fabric.is_global_zero else None)
        if content is None:
            return
        for name, part in state.parts.items():
            part.load_state_dict(content[name])
        for name in NUMBERS:
            setattr(state, name, content[name])

    def _content(self) -> dict | None:
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            return content if content["key"] == self.key else None
        except Exception:  # not there, or not whole: then the training begins anew
            return None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def fingerprint(*parts: object) -> str:
    """A hash of arrays and of whatever else has a text, in this order."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(repr((part.shape, part.dtype)).encode())
            for start in range(0, len(part) if part.ndim else 1, 1024):
                found.update((part[start : start + 1024] if part.ndim else part).tobytes())
        else:
            found.update(repr(part).encode())
    return found.hexdigest()


def code() -> str:
    """A hash of this package's text: a training goes on in the code that it began in, or begins anew."""
    return fingerprint(*(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
