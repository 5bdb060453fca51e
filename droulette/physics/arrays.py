"""Arrays of NumPy, on the CPU, and of PyTorch, on any device, under the one interface of the array API standard."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or torch.Tensor


def is_numpy(x: object) -> bool:
    return isinstance(x, np.ndarray | np.generic)


def on_a_card(x: Array) -> bool:
    return is_tensor(x) and x.device.type != "cpu"


def is_array(x: object) -> bool:
    return isinstance(x, np.ndarray) or is_tensor(x)


def is_tensor(x: object) -> bool:
    """Whether x is a tensor of PyTorch, which is not imported for the question."""
    return hasattr(type(x), "__torch_function__")


def namespace(x: Array) -> Any:
    """The module whose functions take arrays like x. NumPy 2 follows the standard; PyTorch needs a compatible layer."""
    if is_numpy(x):
        return np
    if is_tensor(x):
        import array_api_compat.torch

        return array_api_compat.torch
    return np if isinstance(x, int | float) else x.__array_namespace__()


def like(x: Array) -> dict[str, Any]:
    """Keywords that make a new array on the device of x."""
    return {"device": x.device} if is_tensor(x) else {}


def to_numpy(x: Array) -> np.ndarray:
    return x if is_numpy(x) else x.cpu().numpy()
