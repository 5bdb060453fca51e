"""Memory that training frees and takes again."""

import resource

import numpy as np
import pytest

from droulette.learning import memory


def faults(repeats: int) -> int:
    """Pages that the system filled while arrays of 64 MiB were made and freed in turn."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(repeats):
        np.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_freed_memory_is_used_again_and_given_back_at_the_end():
    pages = 2**26 // resource.getpagesize()
    if faults(4) < 2 * pages:
        pytest.skip("this C library keeps what is freed anyway")
    with memory.kept():
        assert faults(4) < 2 * pages
    assert faults(4) > 3 * pages
