"""What all tests share."""

import contextlib

import pytest
from hypothesis import settings

# Machines differ in speed; what is tested is the result.
settings.register_profile("droulette", deadline=None)
settings.load_profile("droulette")


@pytest.fixture
def cuda(monkeypatch) -> contextlib.AbstractContextManager:
    """Within `with cuda:` there is a device "cuda": the machine's own, or else a simulated one."""
    import torch

    if torch.cuda.is_available():
        return contextlib.nullcontext()
    from simulated_cuda import simulated

    return simulated(monkeypatch)
