"""Memory that training frees and takes again."""

import platform
import resource
from pathlib import Path

import pytest
import torch

from droulette.learning import memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not GNU's C library")
PAGES = 2**26 // resource.getpagesize()  # of a tensor of 64 MiB


def faults(repeats: int) -> int:
    """Pages that the system filled while tensors of 64 MiB were made and freed in turn."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(repeats):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_freed_memory_is_used_again():
    assert faults(4) > 3 * PAGES
    with memory.kept():
        faults(10)  # glibc may lay several freed blocks of one size aside before it uses one again
        assert faults(4) < PAGES


def test_it_is_given_back_at_the_end():
    with memory.kept():
        torch.ones(2**24)
        within = resident()
    assert resident() < within - 0.9 * PAGES
