"""Train a network on two parts of a dataset and write it as one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from droulette import files
from droulette.errors import UserError
from droulette.learning import backbones, fit, metrics, model_file
from droulette.learning.scaling import SCALINGS
from droulette.learning.symmetry import symmetries
from droulette.pipeline.pictures import read_pictures, read_targets


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
    progress: Callable[[int, str], Callable[[int], object]] = lambda total, unit: lambda done: None,
    say: Callable[[str], None] = print,
) -> model_file.Model:
    """Read the parts, train, and write the best epoch's model.

    training, validation: CSVs of file names and target columns. directory: the folder of their pictures.
    log: called after each epoch with its metrics. progress: makes, for a total, a function to call with steps done.

    Raises:
        UserError: anything that is wrong with the files, the columns, the backbone or the device, before training.
    """
    chosen = fit.choose_device(device)
    backbones.check(model)
    names, columns, targets = read_targets(training)
    validation_names, validation_columns, validation_targets = read_targets(validation)
    if validation_columns != columns:
        odd = next((c for c in [*columns, *validation_columns] if (c in columns) != (c in validation_columns)), None)
        found = f"column {odd!r} in one of them alone" if odd else "the columns in another order"
        raise UserError(f"{validation}: found {found}, expected the columns of {training}")
    if out_parameters not in (None, len(columns)):
        raise UserError(
            f"training.out-parameters: found {out_parameters}, expected {len(columns)}, the columns of {training}"
        )
    if len(targets) < 2:
        raise UserError(f"{training}: found {len(targets)} row, expected at least 2")
    if (constant := (targets == targets[0]).all(axis=0)).any():
        column = columns[int(constant.argmax())]
        raise UserError(f"{training}: column {column}: found the same value in every row, expected it to vary")

    seen = progress(len(names) + len(validation_names), "picture")
    pictures = read_pictures(directory, names, table=training, seen=seen)
    size = pictures.shape[-1]
    validation_pictures = read_pictures(directory, validation_names, table=validation, size=size, seen=seen)

    found = symmetries(columns) if augmentation else symmetries(columns)[:1]
    if augmentation and len(found) < 8:
        say(f"augmentation: {len(found)} of 8 symmetries are defined on these columns")
    judge = metrics.Judge(targets, SCALINGS[scaling].fit(targets), loss)
    with fit.reproducible(seed):
        network = backbones.build(model, len(columns), weights, size).to(chosen)
        network = fit.fit(
            network,
            fit.Part(pictures, targets),
            fit.Part(validation_pictures, validation_targets),
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
            seen=progress(num_epochs * len(names), "picture"),
        )
    trained = model_file.Model(network, model, tuple(columns), judge.scaling, loss, size, chosen)
    model_file.save(trained, model_path)
    return trained


def write_history(path: str | Path, epochs: list[dict[str, float]]) -> None:
    """Write the epochs' metrics, one row each."""
    import pandas as pd

    files.write_csv(pd.DataFrame(epochs), path)
