"""The training loop on a small known problem: where a spot is, in pictures of 16 x 16 pixels."""

import numpy as np
import pytest
import torch
from torch import nn

from droulette.errors import UserError
from droulette.learning import fit, metrics
from droulette.learning.scaling import SCALINGS
from droulette.learning.symmetry import symmetries

COLUMNS = ["xiX", "xiY", "sigma"]


def spots(count: int, seed: int) -> fit.Part:
    rng = np.random.default_rng(seed)
    targets = np.column_stack([rng.uniform(-4, 4, (count, 2)), rng.uniform(1, 3, count)])
    i, j = np.mgrid[:16, :16]
    x, y, sigma = targets.T[..., None, None]
    pictures = 255 * np.exp(-((j - 8 - x) ** 2 + (8 - i - y) ** 2) / (2 * sigma**2))
    return fit.Part(pictures.round().astype(np.uint8), targets)


def network() -> nn.Module:
    layers = [nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.05), nn.Linear(256, 3))


def train(seed: int = 0, training: fit.Part | None = None, **options):
    """A trained network, and the metrics of its epochs."""
    training, validation = training or spots(512, 1), spots(128, 2)
    judge = metrics.Judge(training.targets, SCALINGS["quantile"].fit(training.targets))
    epochs = []
    defaults = {"epochs": 6, "patience": 6, "learning_rate": 1e-2, "batch_size": 32, "weight_decay": 1e-4}
    defaults |= {"schedule": "onecycle", "symmetries": symmetries(COLUMNS), "device": torch.device("cpu")}
    with fit.reproducible(seed):
        trained = fit.fit(network(), training, validation, judge, seed=seed, log=epochs.append, **defaults | options)
    return trained, epochs, judge, validation


def bytes_of(trained: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in trained.state_dict().values()]


def test_a_known_problem_is_learnt():
    _, epochs, _, _ = train()
    assert epochs[-1]["validation/r2"] > 0.9
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, 7))


def test_turned_pictures_with_unturned_targets_are_not_learnt():
    """That augmentation turns both alike is what the first test rests on."""
    wrong = [type(s)(s.turns, s.mirror, np.arange(3), np.ones(3)) for s in symmetries(COLUMNS)]
    _, epochs, _, _ = train(symmetries=wrong)
    assert epochs[-1]["validation/r2"] < 0.5


def test_the_same_seed_gives_the_same_weights_byte_for_byte():
    trained = []
    for seed in (0, 0, 1):
        torch.rand(1)  # what the program drew before is of no importance
        trained.append(train(seed, epochs=2)[0])
    first, again, other = trained
    assert bytes_of(first) == bytes_of(again)
    assert bytes_of(first) != bytes_of(other)


def test_the_surrounding_program_draws_no_other_numbers_for_it():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_shuffled_labels_teach_nothing():
    part = spots(512, 1)
    shuffled = fit.Part(part.pictures, part.targets[np.random.default_rng(0).permutation(512)])
    trained, _, judge, _ = train(training=shuffled)
    testing = spots(256, 3)
    predicted = judge.scaling.inverse(fit.predict_scaled(trained, testing.pictures, torch.device("cpu")))
    assert metrics.mean(judge.columns(testing.targets, predicted))["r2"] <= 0.05


def test_training_stops_after_patience_and_keeps_the_best_epoch():
    # A rate that breaks the network after a good start: later epochs are worse than the best one.
    trained, epochs, judge, validation = train(learning_rate=0.05, schedule="constant", epochs=40, patience=3)
    losses = [epoch["validation/loss"] for epoch in epochs]
    best = int(np.argmin(losses))
    assert len(losses) == min(40, best + 1 + 3) < 40
    predicted = judge.scaling.inverse(fit.predict_scaled(trained, validation.pictures, torch.device("cpu")))
    reached = metrics.mean(judge.columns(validation.targets, predicted))["loss"]
    assert np.isclose(reached, losses[best]) and not np.isclose(reached, losses[-1])


def test_divergence_is_said():
    with pytest.raises(UserError, match=r"hyperparameters\.learning-rate: .* diverged"):
        train(learning_rate=1e20, schedule="constant")
