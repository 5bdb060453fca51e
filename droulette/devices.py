"""Device selection. Another device than was asked for is never taken silently."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from queue import SimpleQueue
from typing import TYPE_CHECKING

from droulette.errors import UserError
from droulette.processes import launched

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric


def cores() -> int:
    """Processor cores that this process may use: its part, where torchrun started several on this machine."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, found // launched().local)


@contextmanager
def workers(count: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Threads, by default one for each core, whose linear algebra starts no threads of its own.

    Two of its own for each of two of ours would wait for each other: a fifth of the processor's time of a fit.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(count or cores()) as threads:
        yield threads


def choose_device(name: str) -> torch.device:
    """ "auto" is the first CUDA device where there is one, else the processor.

    Of several processes on a machine, each has a CUDA device of its own.

    Raises:
        UserError: "cuda" where there is no CUDA, an unknown device, or fewer CUDA devices than processes.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    team = launched()
    if team.local > 1 and name.startswith("cuda:"):
        raise UserError(f"settings.device: found {name!r} for {team.local} processes, expected 'cuda' or 'auto'")
    if team.local > 1 and name == "cuda":
        name = f"cuda:{os.environ['LOCAL_RANK']}"
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


def choose_precision(name: str, device: torch.device) -> str:
    """Fabric's name of the arithmetic; "auto" is bfloat16 where the device computes in it, else float32."""
    import torch

    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        checks = (getattr(torch.cpu, f"_is_{kind}_supported", None) for kind in ("avx512_bf16", "amx_tile"))
        fast = any(check() for check in checks if check)
    return "bf16-mixed" if fast else "32-true"


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context of Fabric's precision of that name. Loading Fabric itself takes two seconds of each prediction."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed")


def fabric_on(device: torch.device, precision: str = "32-true") -> Fabric:
    """Lightning Fabric, which knows devices, precisions and processes, on one device a process."""
    import logging

    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would announce each precision
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    team = launched()
    if team.count == 1:
        index = [device.index or 0] if device.type == "cuda" else 1
        return Fabric(accelerator=device.type, devices=index, precision=precision)
    nodes = team.count // team.local
    fabric = Fabric(accelerator=device.type, devices=team.local, num_nodes=nodes, strategy="ddp", precision=precision)
    fabric.launch()
    return fabric


@contextmanager
def stream_of(device: str) -> Iterator[None]:
    """One of two CUDA streams, as soon as one is free: while a thread computes, what the other made is copied back.

    More would fill the card with what each of them keeps. On the processor nothing is waited for, nor by a thread that
    has such a stream already.
    """
    if not device.startswith("cuda"):
        yield
        return
    import torch

    if torch.cuda.current_stream(device) != torch.cuda.default_stream(device):
        yield
        return
    free = _streams(device)
    stream = free.get()
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        free.put(stream)


@cache
def _streams(device: str) -> SimpleQueue:
    import torch

    free: SimpleQueue = SimpleQueue()
    for _ in range(2):
        free.put(torch.cuda.Stream(device))
    return free


def drawing_device(name: str) -> str:
    """The device that draws: as `choose_device` has it, but where there is no GPU without loading PyTorch.

    Raises:
        UserError: see `choose_device`.
    """
    if name == "cpu" or (name == "auto" and not _nvidia_devices()):
        return "cpu"
    return str(choose_device(name))


def _nvidia_devices() -> int:
    """The number of devices that NVIDIA's driver has for this process; 0 where there is no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    return count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0
