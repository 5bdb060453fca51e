"""Which device does the work: never quietly another one than was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from droulette.errors import UserError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """ "auto" is the first CUDA device where there is one, else the processor.

    Raises:
        UserError: "cuda" where there is no CUDA, or an unknown device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        expected = "'auto', 'cpu', 'cuda' or 'cuda:N'"
        raise UserError(f"settings.device: found {name!r}, expected {expected}") from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UserError(
            f"settings.device: found {name!r}, but this machine has {count} CUDA devices;"
            ' use `--device cpu` or device = "auto"'
        )
    return device
