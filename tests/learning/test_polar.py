"""`polar` turns its output exactly as far as its view is turned."""

import numpy as np
import pytest
import torch

from droulette.learning.polar import Polar, _Every
from droulette.learning.symmetry import Laws, Motions

COLUMNS = ["sigma", "xiX", "xiY", "alpha[1][0]", "alpha[1][2]", "beta[1][2]", "alpha[2][3]", "beta[2][3]"]


def network(columns=COLUMNS, size: int = 64) -> Polar:
    torch.manual_seed(0)
    made = Polar(Laws.of(columns), size, widths=(8, 16, 16), rows=32, columns=64, hidden=16, maps=4).eval()
    for parameter in made.parameters():  # biases too, which begin at or near zero
        parameter.data += 0.05 * torch.randn_like(parameter)
    return made


def output(made: Polar, views: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        return tuple(part.double().numpy() for part in made(views).chunk(2, 1))


@pytest.mark.parametrize("degrees", [22.5, 90.0, 247.5])
def test_output_turns_with_the_view(degrees):
    made = network()
    views = torch.rand(3, 1, 32, 64)
    motions = Motions(np.full(3, degrees), np.zeros(3, bool), np.ones(3))
    mean, log_variance = output(made, views)
    turned_mean, turned_log_variance = output(made, made.preprocessing.move(views, motions))
    np.testing.assert_allclose(turned_mean, Laws.of(COLUMNS).turn(mean, motions), atol=1e-5)
    np.testing.assert_allclose(turned_log_variance, log_variance, atol=1e-5)
    assert np.abs(turned_mean - mean).max() > 1e-3


def test_a_high_spin_is_resolved():
    columns = ["alpha[20][21]", "beta[20][21]"]
    made = network(columns)
    views, one = torch.rand(2, 1, 32, 64), Motions(np.full(2, 360 / 32), np.zeros(2, bool), np.ones(2))
    turned = output(made, made.preprocessing.move(views, one))[0]
    np.testing.assert_allclose(turned, Laws.of(columns).turn(output(made, views)[0], one), atol=1e-5)


@pytest.mark.parametrize(
    "columns", [["theta"], ["alpha[0][1]"], ["sigma"], ["theta", "beta[1][2]", "sigma", "xiY", "xiX"]]
)
def test_columns_without_a_partner_or_a_law_are_given_too(columns):
    made = network(columns)
    mean, log_variance = output(made, torch.rand(2, 1, 32, 64))
    assert mean.shape == log_variance.shape == (2, len(columns))
    assert np.abs(mean[0] - mean[1]).min() > 0


def test_the_spread_does_not_train_the_body():
    made = network().train()
    made(torch.rand(4, 1, 32, 64))[:, len(COLUMNS) :].sum().backward()
    assert all(parameter.grad is None or parameter.grad.abs().max() == 0 for parameter in made.body.parameters())
    assert made.head.spread[0].weight.grad.abs().max() > 0


def test_the_gradient_of_a_short_cut_is_that_of_slices_and_lies_channels_last():
    gradients = []
    for pick in (lambda x: _Every.apply(x, 2, 3), lambda x: x[:, :, ::2, ::3]):
        x = torch.rand(2, 4, 7, 8).to(memory_format=torch.channels_last).requires_grad_()
        y = pick(x)
        assert torch.equal(y, x[:, :, ::2, ::3])
        # Not x.grad, which PyTorch lays as x lies.
        gradients += torch.autograd.grad(y, x, torch.arange(2.0 * 4 * 4 * 3).view(2, 4, 4, 3))
    assert torch.equal(*gradients)
    assert gradients[0].is_contiguous(memory_format=torch.channels_last)


def test_both_components_of_a_vector_have_the_same_variance_wherever_they_stand():
    _, log_variance = output(network(["xiX", "beta[1][2]", "sigma", "xiY", "alpha[1][2]"]), torch.rand(3, 1, 32, 64))
    np.testing.assert_array_equal(log_variance[:, 0], log_variance[:, 3])
    np.testing.assert_array_equal(log_variance[:, 1], log_variance[:, 4])
    assert (log_variance[:, 0] != log_variance[:, 1]).all() and (log_variance[:, 0] != log_variance[:, 2]).all()


def test_what_is_written_for_the_compiler_is_the_same_network():
    results = []
    for compile_it in (False, True):
        made = network().train().to(memory_format=torch.channels_last)
        run = torch.compile(made, backend="aot_eager") if compile_it else made
        views = torch.rand(4, 1, 32, 64, generator=torch.Generator().manual_seed(1))
        made.zero_grad()
        output = run(views)
        output.square().sum().backward()
        gradients = [parameter.grad for parameter in made.parameters() if parameter.grad is not None]
        results.append([output.detach(), *gradients])
    for written, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, written, rtol=1e-4, atol=1e-5)
