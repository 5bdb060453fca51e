"""A CUDA device for machines without one: tensors that say they lie on `cuda:0`, and are computed by the processor.

What it shows: that everything which an operation takes was brought to the device, and comes back from it where NumPy is
to have it. It does not show what CUDA's own arithmetic gives, nor gradients: autograd asks the driver.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

MAY_MIX = {  # copies, and indices, which may lie on the processor
    torch.ops.aten._to_copy.default,
    torch.ops.aten.copy_.default,
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put_.default,
}

# CUDA's square root is rounded correctly, PyTorch's on the processor is off by a last digit in 1 % of cases.
INSTEAD = {torch.ops.aten.sqrt.default: lambda x: torch.from_numpy(np.asarray(np.sqrt(x.numpy())))}


class There(torch.Tensor):
    """A tensor on the device; `here` has its values."""

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        layout = {"strides": here.stride(), "storage_offset": here.storage_offset()}
        return torch.Tensor._make_wrapper_subclass(cls, here.shape, dtype=here.dtype, device="cuda:0", **layout)

    def __init__(self, here: torch.Tensor) -> None:
        self.here = here

    def __repr__(self) -> str:
        return f"There({self.here!r})"

    def record_stream(self, stream: Stream) -> None:
        assert stream is DEFAULT

    def new_tensor(self, *args) -> There:  # PyTorch fills the new tensor's memory itself
        return There(self.here.new_tensor(*args))

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Cuda(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


def compute(operation, args: tuple, kwargs: dict):
    """An operation on tensors of one device; those without dimensions may lie on the processor, as with CUDA."""
    tensors = [item for item in tree_leaves((args, kwargs)) if isinstance(item, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, There)]
    if there and operation not in MAY_MIX and any(t.dim() for t in tensors if not isinstance(t, There)):
        raise RuntimeError(f"{operation}: found tensors on two devices")
    device = kwargs.get("device")
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map_only(There, lambda tensor: tensor.here, (args, kwargs))
    found = INSTEAD.get(operation, operation)(*args, **kwargs)
    if not (there if device is None else torch.device(device).type == "cuda"):
        return found
    known = {id(tensor.here): tensor for tensor in there}  # what was changed in place
    return tree_map_only(torch.Tensor, lambda t: known[id(t)] if id(t) in known else There(t), found)


class Stream:
    """One in which all work is done when it is asked for."""

    def __init__(self, device: str) -> None:
        self.device = device

    def synchronize(self) -> None:
        pass


DEFAULT, CURRENT = Stream("cuda"), threading.local()


@contextlib.contextmanager
def in_stream(stream: Stream) -> Iterator[None]:
    before = getattr(CURRENT, "stream", DEFAULT)
    CURRENT.stream = stream
    try:
        yield
    finally:
        CURRENT.stream = before


@contextlib.contextmanager
def simulated(monkeypatch) -> Iterator[None]:
    """Within the block the device "cuda" is simulated, also in threads that are started there."""
    torch._C._ensureCUDADeviceGuardSet()  # where there is no driver: one that does nothing, as fake tensors have it
    without_cudnn = torch.backends.cudnn.flags(enabled=False)  # whose operations the processor lacks
    run = threading.Thread.run

    def run_there(thread: threading.Thread) -> None:
        with torch.no_grad(), Cuda():  # each thread has modes of its own
            run(thread)

    with monkeypatch.context() as patch, without_cudnn, torch.no_grad(), Cuda():
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(torch.cuda, "Stream", Stream)
        patch.setattr(torch.cuda, "stream", in_stream)
        patch.setattr(torch.cuda, "current_stream", lambda device: getattr(CURRENT, "stream", DEFAULT))
        patch.setattr(torch.cuda, "default_stream", lambda device: DEFAULT)
        patch.setattr(threading.Thread, "run", run_there)
        yield
