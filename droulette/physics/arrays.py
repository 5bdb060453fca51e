"""Arrays of NumPy, on the CPU, and of PyTorch, on any device, under the one interface of the array API standard."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or torch.Tensor


def is_numpy(x: object) -> bool:
    return isinstance(x, np.ndarray | np.generic)


def on_a_card(x: Array) -> bool:
    return not is_numpy(x) and x.device.type != "cpu"


def is_array(x: object) -> bool:
    torch = sys.modules.get("torch")
    return isinstance(x, np.ndarray) or (torch is not None and isinstance(x, torch.Tensor))


def namespace(x: Array) -> Any:
    """The module whose functions take arrays like x. NumPy 2 follows the standard; PyTorch needs a compatible layer."""
    if is_numpy(x):
        return np
    import array_api_compat.torch

    return array_api_compat.torch


def like(x: Array) -> dict[str, Any]:
    """Keywords that make a new array on the device of x."""
    return {} if is_numpy(x) else {"device": x.device}


def to_numpy(x: Array) -> np.ndarray:
    return x if is_numpy(x) else x.cpu().numpy()
