"""Memory that training frees and takes again."""

import platform
import resource

import pytest
import torch

from droulette.learning import memory


def faults(repeats: int) -> int:
    """Pages that the system filled while tensors of 64 MiB were made and freed in turn."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(repeats):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not GNU's C library")
def test_freed_memory_is_used_again_and_given_back_at_the_end():
    pages = 2**26 // resource.getpagesize()
    assert faults(4) > 3 * pages
    with memory.kept():
        assert faults(4) < 2 * pages
    assert faults(4) > 3 * pages
