"""When a training is compiled, and that it goes on without a compiler."""

import pytest
import torch
from torch import nn

from droulette.learning import compilation

CUDA = torch.device("cuda")


def test_the_processor_and_a_short_training_are_not_compiled(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda *args, **options: pytest.fail("compiled"))
    network = nn.Linear(2, 2)
    assert compilation.compiled(network, torch.device("cpu"), 10**9) is network
    assert compilation.compiled(network, CUDA, compilation.STEPS - 1) is network


def test_without_a_working_compiler_the_network_stays_as_it_is():
    network = nn.Linear(2, 2)
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device, and perhaps a compiler")
    assert compilation.compiled(network, CUDA, 10**9) is network


def test_another_batch_than_a_whole_one_is_not_compiled_for():
    runs = []

    def backend(graph, inputs):
        def run(*args):
            runs.append(len(args[-1]))
            return graph(*args)

        return run

    network = torch.compile(nn.Linear(2, 2), backend=backend)
    for count in (4, 3, 4):
        with compilation.whole_batches(network, count == 4):
            assert network(torch.ones(count, 2)).shape == (count, 2)
    assert len(runs) == 2


def test_a_network_that_is_not_compiled_takes_any_batch():
    with compilation.whole_batches(nn.Linear(2, 2), False) as nothing:
        assert nothing is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_card_a_long_training_is_compiled_to_the_same_network():
    network = nn.Linear(2, 2).to(CUDA)
    made = compilation.compiled(network, CUDA, compilation.STEPS)
    assert made._orig_mod is network
    x = torch.ones(4, 2, device=CUDA)
    torch.testing.assert_close(made(x), network(x))
