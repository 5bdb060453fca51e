"""Train a network on two parts of a dataset and write it as one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from droulette.devices import choose_device
from droulette.errors import UserError
from droulette.learning import backbones, fit, metrics, model_file
from droulette.learning.scaling import SCALINGS
from droulette.learning.symmetry import symmetries
from droulette.pipeline.pictures import read_pictures
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
    precision: str = "32-true",
    seed: int = 0,
    learning_rate: float,
    batch_size: int,
    weight_decay: float,
    num_epochs: int,
    patience: int,
    out_parameters: int | None = None,
    schedule: str = "constant",
    loss: str = "mse",
    scaling: str = "quantile",
    augmentation: bool = True,
    log: Callable[[dict[str, float]], None] = lambda metrics: None,
    progress: Progress = lambda total, doing: lambda done: None,
    say: Callable[[str], None] = print,
) -> model_file.Model:
    """Read the parts, train, and write the best epoch's model.

    training, validation: CSVs of file names and target columns. directory: the folder of their pictures.
    log: called after each epoch with its metrics. progress: gives, for a number of pictures and what is done
    with them, a function that is called with the number of pictures just done.

    Raises:
        UserError: what is wrong with files, columns, backbone, weights or device, before the first step.
    """
    chosen = choose_device(device)
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

    seen = progress(sum(map(len, read.values())), "reading")
    pictures, size = {}, None
    for path, table in read.items():
        pictures[path] = read_pictures(directory, list(table["filename"]), table=path, size=size, seen=seen)
        size = pictures[path].shape[-1]

    found = symmetries(columns) if augmentation else symmetries(columns)[:1]
    if augmentation and len(found) < 8:
        say(f"augmentation: {len(found)} of 8 symmetries are defined on these columns")
    judge = metrics.Judge(targets, SCALINGS[scaling].fit(targets), loss)
    with fit.reproducible(seed):
        network = backbones.build(model, len(columns), weights, size).to(chosen)
        network = fit.fit(
            network,
            *(fit.Part(pictures[path], table[columns].to_numpy()) for path, table in read.items()),
            judge,
            symmetries=found,
            epochs=num_epochs,
            patience=patience,
            learning_rate=learning_rate,
            batch_size=batch_size,
            weight_decay=weight_decay,
            schedule=schedule,
            seed=seed,
            device=chosen,
            precision=precision,
            log=log,
            seen=progress(num_epochs * len(targets), "training"),
        )
    trained = model_file.Model(network, model, tuple(columns), judge.scaling, loss, size, chosen)
    model_file.save(trained, model_path)
    return trained


def _check_columns(expected: list[str], source: str | Path, found: list[str], path: str | Path) -> None:
    if missing := [column for column in expected if column not in found]:
        raise UserError(f"{path}: found no column {missing[0]!r}, expected the columns of {source}")
    if more := [column for column in found if column not in expected]:
        raise UserError(f"{path}: found column {more[0]!r}, expected only the columns of {source}")
    if found != expected:
        raise UserError(f"{path}: found the columns in another order, expected that of {source}")
