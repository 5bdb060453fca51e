"""A training step as fused kernels and one CUDA graph, where the time that this takes comes back within the run."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

STEPS = 5000  # fewer gain less than the 20 to 60 s of compilation


def compiled(network: nn.Module, device: torch.device, steps: int, processes: int = 1) -> nn.Module:
    """The network, compiled for a training of so many steps on the device, or as it is where that does not pay.

    It is the same network, with the same parameters. What comes out differs in its last digits, but not from run to
    run: the compiler is kept from choosing kernels by their time. Without a working compiler nothing is compiled.
    """
    if device.type != "cuda" or steps < STEPS or not _works(device):
        return network
    # A graph holds the addresses of the gradients, which several processes exchange in buffers of their own.
    options = {"deterministic": True, "triton.cudagraphs": processes == 1}
    return torch.compile(network, dynamic=False, options=options)


def whole_batches(network: nn.Module, whole: bool) -> AbstractContextManager:
    """Within it a compiled network works as compiled on a whole batch, and as it was written on another."""
    if whole or not hasattr(network, "_orig_mod"):
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _works(device: torch.device) -> bool:
    """Whether there is all that PyTorch compiles with: Triton, a C compiler, Python's headers."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(8, device=device))
    except Exception:  # each missing part has an error of its own
        return False
    return True
