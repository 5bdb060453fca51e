"""Train a network on two parts of a dataset and write it as one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from droulette.devices import choose_device, choose_precision, fabric_on
from droulette.errors import UserError
from droulette.learning import backbones, fit, memory, metrics, model_file
from droulette.learning.calibration import Calibration
from droulette.learning.checkpoint import Checkpoint, code, fingerprint
from droulette.learning.limits import Limit
from droulette.learning.novelty import Novelty
from droulette.learning.scaling import SCALINGS
from droulette.learning.symmetry import Group, Laws
from droulette.pipeline.pictures import picture_size, read_pictures
from droulette.pipeline.targets import read_targets

Progress = Callable[[int, str], Callable[[int], object]]


def train(
    training: str | Path,
    validation: str | Path,
    directory: str | Path,
    model_path: str | Path,
    *,
    model: str,
    weights: str = "",
    device: str = "auto",
    precision: str = "auto",
    seed: int = 0,
    learning_rate: float,
    batch_size: int,
    weight_decay: float,
    num_epochs: int,
    patience: int,
    out_parameters: int | None = None,
    schedule: str = "constant",
    loss: str = "mse",
    scaling: str = "radial",
    augmentation: bool = True,
    symmetries: int = 1,
    log: Callable[[dict[str, float]], None] = lambda metrics: None,
    progress: Progress = lambda total, doing: lambda done: None,
    say: Callable[[str], None] = print,
) -> model_file.Model | None:
    """Read the parts, train, and write the best epoch's model.

    A run that was stopped goes on after its last finished epoch, whose state lies beside the model's file.
    Of several processes, which torchrun started, the first writes, logs and gives the model, and the others nothing.

    training, validation: CSVs of file names and target columns. directory: the folder of their pictures.
    log: called after each epoch with its metrics. progress: gives, for a number of pictures and what is done
    with them, a function that is called with the number of pictures just done.

    Raises:
        UserError: what is wrong with files, columns, backbone, weights or device, before the first step.
    """
    chosen = choose_device(device)
    precision = choose_precision(precision, chosen)
    backbones.check(model)
    read = {path: read_targets(path) for path in (training, validation)}
    columns = list(read[training].columns[1:])
    _check_columns(columns, training, list(read[validation].columns[1:]), validation)
    if out_parameters not in (None, len(columns)):
        expected = f"{len(columns)}, the target columns of {training}"
        raise UserError(f"training.out-parameters: found {out_parameters}, expected {expected}")
    targets = read[training][columns].to_numpy()
    if len(targets) < 2:
        raise UserError(f"{training}: found {len(targets)} row, expected at least 2")
    if (constant := (targets == targets[0]).all(axis=0)).any():
        column = columns[int(constant.argmax())]
        raise UserError(f"{training}: column {column}: found one value in all rows, expected it to vary")

    size = picture_size(directory, read[training]["filename"].iloc[0], training)
    laws = Laws.of(columns)
    judge = metrics.Judge(targets, SCALINGS[scaling].fit(targets, columns), loss)
    recipe = fit.Recipe(num_epochs, patience, learning_rate, batch_size, weight_decay, schedule, seed)
    fabric = fabric_on(chosen, precision)
    if not fabric.is_global_zero:
        progress, say = (lambda total, doing: lambda done: None), (lambda text: None)
    with fit.reproducible(seed), memory.kept():
        network = backbones.build(model, columns, weights, size).to(chosen)
        group = Group.of(laws, network.eye.turns, network.eye.zooms) if augmentation else Group.of(laws, 1)
        if augmentation and len(group.turns) < 2 * network.eye.turns:
            say(f"augmentation: {len(group.turns)} of {2 * network.eye.turns} turns are defined on these columns")
        seen = progress(sum(map(len, read.values())), "reading")
        parts = []
        for path, table in read.items():
            options = {"table": path, "size": size, "eye": network.eye, "device": chosen, "seen": seen}
            views = read_pictures(directory, list(table["filename"]), **options)
            parts.append(fit.Part(views, table[columns].to_numpy()))
        start = [weights.cpu().numpy() for weights in network.state_dict().values()]
        data = [array for part in parts for array in (part.views, part.targets)]
        about = (model, columns, scaling, loss, recipe, precision, chosen.type, fabric.world_size, code())
        key = fingerprint(about, group, *start, *data)
        checkpoint = Checkpoint(f"{model_path}.checkpoint", key)
        network = fit.fit(
            network,
            *parts,
            judge,
            laws,
            group,
            recipe,
            fabric,
            checkpoint=checkpoint,
            log=log,
            seen=progress(num_epochs * len(targets), "training"),
        )
    if not fabric.is_global_zero:
        return None
    symmetries = symmetries if augmentation else 1
    trained = model_file.Model(network, model, tuple(columns), judge.scaling, loss, size, symmetries, chosen, precision)
    scaled, variance = trained.predict_scaled(parts[1].views)
    trained = replace(trained, limit=Limit.fit(judge.scaling, scaled, parts[1].targets))
    calibration = Calibration.fit(parts[1].targets, *trained.in_units(scaled, variance))
    novelty = Novelty.fit(network.eye, *(part.views for part in parts))
    trained = replace(trained, calibration=calibration, novelty=novelty)
    model_file.save(trained, model_path)
    checkpoint.remove()
    return trained


def _check_columns(expected: list[str], source: str | Path, found: list[str], path: str | Path) -> None:
    if missing := [column for column in expected if column not in found]:
        raise UserError(f"{path}: found no column {missing[0]!r}, expected the columns of {source}")
    if more := [column for column in found if column not in expected]:
        raise UserError(f"{path}: found column {more[0]!r}, expected only the columns of {source}")
    if found != expected:
        raise UserError(f"{path}: found the columns in another order, expected that of {source}")
