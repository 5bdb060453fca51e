"""Train a network on two splits of a dataset and write it as one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from droulette.devices import choose_device, choose_precision, fabric_on
from droulette.errors import UserError
from droulette.learning import backbones, fit, metrics, model_file
from droulette.learning.calibration import Calibration
from droulette.learning.checkpoint import Checkpoint, code, fingerprint
from droulette.learning.limits import Limit
from droulette.learning.novelty import Novelty
from droulette.learning.observed import Facts, Known, conditions
from droulette.learning.scaling import SCALINGS
from droulette.learning.screen import Screen, features
from droulette.learning.symmetry import Group, Laws
from droulette.parameters import trained_distribution
from droulette.pipeline.fresh import (
    FreshPictures,
    calibration_rows,
    novelty_rows,
    out_of_distribution_views,
    rows_to_measure,
)
from droulette.pipeline.pictures import is_observed, picture_size, read_views
from droulette.pipeline.targets import read_targets

if TYPE_CHECKING:
    import pandas as pd

    from droulette.parameters import Parameters

T = TypeVar("T")
Progress = Callable[[int, str], Callable[[int], object]]


def train(
    params: Parameters,
    model_path: str | Path,
    *,
    log: Callable[[dict[str, float]], None] = lambda metrics: None,
    progress: Progress = lambda total, doing: lambda done: None,
    say: Callable[[str], None] = print,
) -> model_file.Model | None:
    """Train as [dataset], [settings], [hyperparameters] and [training] say, and write the best epoch's model.

    A run that was stopped goes on after its last finished epoch, whose state lies beside the model's file.
    Of several processes, which torchrun started, the first writes, logs and gives the model, and the others nothing.

    log: called after each epoch with its metrics. progress: gives, for a number of pictures and what is done
    with them, a function that is called with the number of pictures just done.

    Raises:
        UserError: what is wrong with files, columns, backbone, weights or device, before the first step.
    """
    settings, training = params.settings, params.training
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    backbones.check(settings.model)
    paths = [params.dataset.training.filename, params.dataset.validation.filename]
    tables = [read_targets(path) for path in paths]
    columns = _check(tables, paths, training.out_parameters)
    directory = params.dataset.directory
    size = picture_size(directory, tables[0]["filename"].iloc[0], paths[0])
    observed = is_observed(directory, tables[0]["filename"].iloc[0], paths[0])
    targets = tables[0][columns].to_numpy()
    laws = Laws.of(columns)
    judge = metrics.Judge(targets, SCALINGS[training.scaling].fit(targets, columns), training.loss)
    recipe = fit.Recipe(
        epochs=training.num_epochs,
        patience=training.patience,
        learning_rate=params.hyperparameters.learning_rate,
        batch_size=params.hyperparameters.batch_size,
        weight_decay=params.hyperparameters.weight_decay,
        schedule=training.schedule,
        seed=settings.seed,
    )
    fabric = fabric_on(device, precision)
    if not fabric.is_global_zero:
        progress, say = (lambda total, doing: lambda done: None), (lambda text: None)
    with fit.reproducible(settings.seed):
        network = backbones.build(settings.model, columns, settings.weights, size, observed).to(device)
        group = Group.of(laws, 1)
        if training.augmentation:
            group = Group.of(laws, network.preprocessing.turns, network.preprocessing.zooms)
            if len(group.turns) < 2 * network.preprocessing.turns:
                turns = f"{len(group.turns)} of {2 * network.preprocessing.turns} turns"
                say(f"augmentation: {turns} are defined on these columns")
        reading = progress(sum(map(len, tables)), "reading")
        splits, facts = [], []
        preprocessings = [network.preprocessing, Facts()] if observed else [network.preprocessing]
        for path, table in zip(paths, tables, strict=True):
            options = {"table": path, "size": size, "device": device, "progress": reading}
            views, *read = read_views(directory, list(table["filename"]), preprocessings, **options)
            splits.append(fit.Split(views, table[columns].to_numpy()))
            facts += read
        if training.fresh_pictures:
            pictures = FreshPictures(params, columns, len(targets), size, network.preprocessing, judge.scaling, device)
            say("training pictures are drawn as they are needed")
        else:
            pictures = fit.Stored(splits[0], judge.scaling, laws, group, settings.seed, device)
        start = [weights.cpu().numpy() for weights in network.state_dict().values()]
        data = [array for split in splits for array in (split.views, split.targets)]
        recipe_of = (settings.model, columns, training.scaling, training.loss, recipe, precision, device.type)
        drawn_by = training.fresh_pictures and pictures.drawn_by()
        key = fingerprint((*recipe_of, fabric.world_size, code(), drawn_by), group, *start, *data)
        checkpoint = Checkpoint(f"{model_path}.checkpoint", key)
        network = fit.fit(
            network,
            pictures,
            splits[1],
            judge,
            laws,
            group,
            recipe,
            fabric,
            checkpoint=checkpoint,
            log=log,
            progress=progress(training.num_epochs * len(targets), "training"),
        )
    if not fabric.is_global_zero:
        return None
    if training.half_weights:  # what is measured below is to be of the weights that are kept
        network.load_state_dict(model_file.in_16_bits(network.state_dict()))
    symmetries = training.symmetries if training.augmentation else 1
    trained = model_file.Model(
        network,
        settings.model,
        tuple(columns),
        judge.scaling,
        loss=training.loss,
        input_size=size,
        symmetries=symmetries,
        device=device,
        precision=precision,
        distribution=trained_distribution(params),
    )
    others, further = (), ()
    if observed and training.fresh_pictures:
        say("drawing more pictures, and some of other kinds, to measure what the model knows")
        more, known = novelty_rows(params, network.preprocessing, columns, device)
        splits[1] = fit.Split.of([splits[1], more])
        facts[1] = np.concatenate([facts[1], known])
        has_screen = hasattr(network, "describe")
        measured = progress(rows_to_measure(params, has_screen), "measuring")
        further = _counted(calibration_rows(params, network.preprocessing, columns, device), measured)
        if has_screen:
            others = _counted(out_of_distribution_views(params, network.preprocessing, device), measured)
    trained = complete(trained, *splits, facts, others, further)
    model_file.save(trained, model_path, training.half_weights)
    checkpoint.remove()
    return trained


def complete(
    model: model_file.Model,
    training: fit.Split,
    validation: fit.Split,
    facts: Sequence[np.ndarray] = (),
    others: Iterable[tuple[int, np.ndarray]] = (),
    further: Iterable[tuple[fit.Split, np.ndarray]] = (),
) -> model_file.Model:
    """What a trained network has to be told of its own errors, and of what it knows.

    facts: (n, 6), of the two splits' pictures with noise. others: number of the kind, and views, of
    pictures of other kinds. further: rows on
    which errors are measured too, and the facts of their pictures; some at a time, both.
    """
    unlike: dict[int, list[np.ndarray]] = {}
    for kind, views in others:
        unlike.setdefault(kind, []).append(features(model.network, views))
    like = []
    scaled, variance = model.predict_scaled(validation.views)
    model = replace(model, limit=Limit.fit(model.scaling, scaled, validation.targets))
    errors = [(validation.targets, *model.in_units(scaled, variance))]
    under = [conditions(validation.views, facts[1])] if facts else []
    for rows, of_rows in further:
        under.append(conditions(rows.views, of_rows))
        errors.append((rows.targets, *model.in_units(*model.predict_scaled(rows.views))))
        facts = (*facts, of_rows)
        if unlike:
            like.append(features(model.network, rows.views))
    true, predicted, deviation = map(np.concatenate, zip(*errors, strict=True))
    calibration = Calibration.fit(true, predicted, deviation, np.concatenate(under) if under else None)
    novelty = Novelty.fit(model.network.preprocessing, training.views, validation.views)
    known = Known.of(np.concatenate(facts)) if facts else None
    screen = None
    if unlike:
        kinds = [np.concatenate(parts) for parts in unlike.values()]
        screen = Screen.fit(np.concatenate(like), features(model.network, validation.views), kinds)
    return replace(model, calibration=calibration, novelty=novelty, known=known, screen=screen)


def _counted(
    parts: Iterable[tuple[T, np.ndarray]], measured: Callable[[int], object]
) -> Iterator[tuple[T, np.ndarray]]:
    """The parts, whose rows are counted when the next part is asked for."""
    for part in parts:
        yield part
        measured(len(part[1]))


def _check(tables: list[pd.DataFrame], paths: list[str], out_parameters: int | None) -> list[str]:
    """The target columns, which both tables have, and which vary."""
    columns = list(tables[0].columns[1:])
    _check_columns(columns, paths[0], list(tables[1].columns[1:]), paths[1])
    if out_parameters not in (None, len(columns)):
        expected = f"{len(columns)}, the target columns of {paths[0]}"
        raise UserError(f"training.out-parameters: found {out_parameters}, expected {expected}")
    targets = tables[0][columns].to_numpy()
    if len(targets) < 2:
        raise UserError(f"{paths[0]}: found {len(targets)} row, expected at least 2")
    constant = (targets == targets[0]).all(axis=0)
    if constant.any():
        column = columns[int(np.argmax(constant))]
        raise UserError(f"{paths[0]}: column {column}: all rows have the same value; a target must vary")
    return columns


def _check_columns(expected: list[str], source: str | Path, found: list[str], path: str | Path) -> None:
    if missing := [column for column in expected if column not in found]:
        raise UserError(f"{path}: found no column {missing[0]!r}, expected the columns of {source}")
    if more := [column for column in found if column not in expected]:
        raise UserError(f"{path}: found column {more[0]!r}, expected only the columns of {source}")
    if found != expected:
        raise UserError(f"{path}: found the columns in another order, expected that of {source}")
