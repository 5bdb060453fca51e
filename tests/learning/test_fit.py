"""The training loop on a small known problem: where a spot is, in pictures of 16 x 16 pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from droulette.devices import fabric_on
from droulette.errors import UserError
from droulette.learning import fit, metrics
from droulette.learning.backbones import Heads
from droulette.learning.checkpoint import Checkpoint
from droulette.learning.prediction import predict_scaled
from droulette.learning.preprocessing import WholePicture
from droulette.learning.scaling import SCALINGS
from droulette.learning.symmetry import Group, Laws

COLUMNS = ["xiX", "xiY", "sigma"]
LAWS = Laws.of(COLUMNS)


def spots(count: int, seed: int) -> fit.Split:
    rng = np.random.default_rng(seed)
    targets = np.column_stack([rng.uniform(-4, 4, (count, 2)), rng.uniform(1, 3, count)])
    i, j = np.mgrid[:16, :16]
    x, y, sigma = targets.T[..., None, None]
    pictures = 255 * np.exp(-((j - 8 - x) ** 2 + (8 - i - y) ** 2) / (2 * sigma**2))
    return fit.Split(pictures.round().astype(np.uint8), targets)


class Network(nn.Module):
    """A few layers that see whole pictures of 16 × 16 pixels."""

    def __init__(self):
        super().__init__()
        self.preprocessing = WholePicture(16)
        layers = [nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten()]
        self.body = nn.Sequential(*layers, nn.Dropout(0.05))
        self.heads = Heads(nn.Linear(256, 3), nn.Linear(256, 3))

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        return self.heads(self.body(views[:, None].float() / 255))


RECIPE = fit.Recipe(
    epochs=6, patience=6, learning_rate=1e-2, batch_size=32, weight_decay=1e-4, schedule="onecycle", seed=0
)


def train(seed: int = 0, training: fit.Split | None = None, laws: Laws = LAWS, log=None, checkpoint=None, **recipe):
    """A trained network, and the metrics of its epochs."""
    training, validation = training or spots(512, 1), spots(128, 2)
    judge = metrics.Judge(training.targets, SCALINGS["radial"].fit(training.targets, COLUMNS))
    epochs = []
    options = {"log": log or epochs.append, "checkpoint": checkpoint}
    settings = replace(RECIPE, seed=seed, **recipe)
    with fit.reproducible(seed):
        group, fabric = Group.of(LAWS, 4), fabric_on(torch.device("cpu"))
        rows = fit.Stored(training, judge.scaling, laws, group, seed, torch.device("cpu"))
        trained = fit.fit(Network(), rows, validation, judge, laws, group, settings, fabric, **options)
    return trained, epochs, judge, validation


def predicted(trained: nn.Module, part: fit.Split, judge: metrics.Judge, count: int = 1) -> np.ndarray:
    turns, fabric = Group.of(LAWS, 4).some(count), fabric_on(torch.device("cpu"))
    return judge.scaling.inverse(
        predict_scaled(trained, part.views, LAWS, judge.scaling, turns, fabric.device, fabric.autocast)[0]
    )


def bytes_of(trained: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in trained.state_dict().values()]


def test_a_known_problem_is_learnt():
    _, epochs, _, _ = train()
    assert epochs[-1]["validation/r2"] > 0.9
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, 7))


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_one_cycle_of_few_steps_is_trained_too(epochs):
    _, ended, _, _ = train(training=spots(32, 1), epochs=epochs)
    assert len(ended) == epochs


def test_turned_pictures_with_unturned_targets_are_not_learnt():
    """That augmentation turns both alike is what the first test rests on."""
    still = replace(LAWS, spin=np.zeros_like(LAWS.spin), second=np.zeros_like(LAWS.second))
    _, epochs, _, _ = train(laws=still)
    assert epochs[-1]["validation/r2"] < 0.5


def test_predictions_of_turned_pictures_are_turned_back_before_they_are_averaged():
    trained, _, judge, validation = train()
    one, eight = (metrics.r2(validation.targets, predicted(trained, validation, judge, n)).mean() for n in (1, 8))
    assert eight > one > 0.9


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
    shuffled = fit.Split(part.views, part.targets[np.random.default_rng(0).permutation(512)])
    trained, _, judge, _ = train(training=shuffled)
    testing = spots(256, 3)
    assert metrics.mean(judge.columns(testing.targets, predicted(trained, testing, judge)))["r2"] <= 0.05


def test_training_stops_after_patience_and_keeps_the_best_epoch():
    # A rate that breaks the network after a good start: later epochs are worse than the best one.
    trained, epochs, judge, validation = train(learning_rate=0.05, schedule="constant", epochs=40, patience=3)
    losses = [epoch["validation/loss"] for epoch in epochs]
    best = int(np.argmin(losses))
    assert len(losses) == min(40, best + 1 + 3) < 40
    found = predicted(trained, validation, judge)
    reached = metrics.mean(judge.columns(validation.targets, found))["loss"]
    assert np.isclose(reached, losses[best]) and not np.isclose(reached, losses[-1])


def test_divergence_is_said():
    with pytest.raises(UserError, match=r"hyperparameters\.learning-rate: .* diverged"):
        train(learning_rate=1e20, schedule="constant")


class Killed(Exception):
    pass


@pytest.mark.parametrize("finished", [1, 3])
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, finished):
    unbroken, epochs, _, _ = train()
    log = []

    def die(entry):
        log.append(entry)
        if len(log) == finished:
            raise Killed

    checkpoint = Checkpoint(tmp_path / "checkpoint", "this training")
    with pytest.raises(Killed):
        train(log=die, checkpoint=checkpoint)
    resumed, again, _, _ = train(checkpoint=checkpoint)
    assert bytes_of(resumed) == bytes_of(unbroken)
    assert again == epochs  # what was logged before the kill is logged again, as its files may be gone


@pytest.mark.parametrize("fault", ["another training's", "half", "no file of weights"])
def test_a_checkpoint_that_is_not_this_trainings_is_not_gone_on_from(tmp_path, fault):
    path = tmp_path / "checkpoint"
    train(epochs=1, checkpoint=Checkpoint(path, "another" if fault == "another training's" else "this"))
    if fault == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if fault == "no file of weights":
        path.write_text("nothing")
    _, epochs, _, _ = train(epochs=2, checkpoint=Checkpoint(path, "this"))
    assert [entry["epoch"] for entry in epochs] == [1, 2]


def test_the_predicted_spread_is_that_of_the_errors():
    rng = np.random.default_rng(0)
    part = spots(2048, 4)
    noisy = fit.Split(part.views, part.targets + rng.normal(size=(2048, 3)) * [0.2, 0.2, 0.5])
    trained, _, judge, _ = train(training=noisy, epochs=8)
    turns, fabric = Group.of(LAWS, 4).some(1), fabric_on(torch.device("cpu"))
    found, variance = predict_scaled(trained, noisy.views, LAWS, judge.scaling, turns, fabric.device, fabric.autocast)
    error = found - judge.scaling.transform(noisy.targets)
    np.testing.assert_allclose(np.sqrt(variance.mean(axis=0)), error.std(axis=0), rtol=0.15)
