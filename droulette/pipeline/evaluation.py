"""Predict the splits of a dataset with a trained model, and measure the predictions and their resimulations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from droulette import files
from droulette.devices import choose_device, choose_precision
from droulette.learning import metrics, model_file
from droulette.learning.calibration import coverage
from droulette.learning.model_file import Model
from droulette.learning.moments import LinearModel
from droulette.pipeline import plots
from droulette.pipeline.evaluated import (
    EvaluatedSplit,
    picture_errors,
    prediction_table,
    read_split,
    resimulate_split,
    rows_of,
)
from droulette.pipeline.scenes import AMPLITUDE, einstein_radii
from droulette.pipeline.targets import read_targets

if TYPE_CHECKING:
    from droulette.parameters.learning import Dataset, Evaluation, Settings
    from droulette.parameters.simulation import Simulator

Progress = Callable[[int, str], Callable[[int], object]]
Pair = tuple[metrics.Scaled, metrics.Scaled]  # true and predicted values of a split

# What matters first, by its short name in metrics/summary.json, and where it stands in a split's metrics.
SUMMARY = {
    "r2_quantile": ("r2_quantile",),
    "r2": ("r2",),
    "picture_error": ("pictures", "predicted_true"),
    "mae": ("mae",),
    "coverage68": ("coverage68",),
    "coverage95": ("coverage95",),
}
BANDS = 5  # of Einstein radius, with equally many training rows


def evaluate(
    dataset: Dataset,
    evaluation: Evaluation,
    simulator: Simulator,
    settings: Settings,
    *,
    model_path: str | Path,
    output: str | Path,
    roulette: str | Path | None = None,
    progress: Progress = lambda total, doing: lambda done: None,
    say: Callable[[str], None] = print,
) -> dict:
    """Write predictions/*.csv, plots/, summary.json and evaluate.json into the folder `output`.

    Returns what evaluate.json holds.

    dataset: its pictures and splits. The training split's means and quantiles are the measure, and the testing
    split is plotted. evaluation: without `lenses` there are no bands of Einstein radius. simulator: how the pictures
    were drawn, for the resimulations. settings: device and precision.
    roulette: the table with the columns that a resimulation needs and the model does not predict. Without it
    no picture is resimulated.

    Raises:
        UserError: what is wrong with the model, the tables or the pictures.
    """
    output, device = Path(output), choose_device(settings.device)
    model = model_file.load(model_path, device, choose_precision(settings.precision, device))
    paths = {name: split.filename for name, split in dataset.parts.items()}
    tables = {name: read_targets(path, model.columns) for name, path in paths.items()}
    names = {name: list(table["filename"]) for name, table in tables.items()}
    count = evaluation.resimulations if roulette is not None else 0
    amplitudes = files.read_csv(roulette, required=["filename"]) if count else None
    if count:
        for filenames in names.values():  # before the long work: each has a row
            rows_of(filenames[:count], amplitudes, roulette)
    radii = {}
    if evaluation.lenses is not None:
        lenses = files.read_csv(evaluation.lenses, required=["filename"])
        for name, filenames in names.items():
            radii[name] = einstein_radii(rows_of(filenames, lenses, evaluation.lenses), str(evaluation.lenses))

    every = sum(map(len, tables.values()))
    seen, predicted = progress(every, "reading"), progress(every, "predicting")
    splits = {
        name: read_split(table, dataset.directory, paths[name], model, count, seen, predicted)
        for name, table in tables.items()
    }
    if count:
        drawn = progress(3 * sum(min(count, len(table)) for table in tables.values()), "resimulating")
        means = splits["training"].true.mean(axis=0)
        for split in splits.values():
            resimulate_split(
                split,
                model.columns,
                amplitudes,
                means,
                count,
                sampling=simulator.sampling,
                supersampling=simulator.supersampling,
                canvas=simulator.imagesize,
                device=str(device),
                name=str(roulette),
                progress=drawn,
            )
    else:
        say("no pictures are resimulated")

    judge = metrics.Judge(splits["training"].true, model.scaling, model.loss)
    pairs = {name: (judge.scaled(split.true), judge.scaled(split.predicted)) for name, split in splits.items()}
    measured, columns = measure(splits, pairs, judge, model)
    bands = by_band(pairs, radii, judge) if radii else None
    for name, split in splits.items():
        path = output / "predictions" / (dataset.parts[name].predictionfile or f"{name}.csv")
        files.write_csv(prediction_table(model, names[name], split.predicted, split.deviation), path)
    plots.write(output / "plots", splits["testing"], model, columns, by_order(columns), bands, evaluation.examples)
    write_json(summary(measured["testing"]), output / "summary.json")
    write_json(measured, output / "evaluate.json")  # the last: with it, the evaluation is whole
    return measured


def write_json(metrics: dict, path: Path) -> None:
    with files.atomic_write(path) as partial:
        partial.write_text(json.dumps(metrics, indent=2) + "\n")


def summary(measured: dict) -> dict[str, float]:
    """Of a split's metrics the SUMMARY, as far as they were measured."""
    chosen = {}
    for name, path in SUMMARY.items():
        value = measured
        for key in path:
            value = value.get(key, {})
        if isinstance(value, float):
            chosen[name] = value
    return chosen


def measure(
    splits: dict[str, EvaluatedSplit], pairs: dict[str, Pair], judge: metrics.Judge, model: Model
) -> tuple[dict, pd.DataFrame]:
    """Every metric of every split beside its baselines: means for JSON, and a row for each split and column."""
    training = splits["training"]
    linear = LinearModel(training.features, training.true, model.scaling)
    means, rows = {}, []
    for name, split in splits.items():
        true, predicted = pairs[name]
        by_column = judge.compare(true, predicted)
        baselines = {
            "baseline": judge.baseline(true),
            "linear": judge.compare(true, judge.scaled(linear.predict(split.features))),
        }
        means[name] = metrics.mean(by_column)
        if model.calibration:
            shares = coverage(split.true, split.predicted, split.deviation, split.reach)
            covered = {"coverage68": shares[0], "coverage95": shares[1]}
            by_column |= covered
            means[name] |= metrics.mean(covered)
        if split.resimulated:
            means[name] |= {"pictures": picture_errors(split, "predicted")}
        for label, baseline in baselines.items():
            means[name][label] = metrics.mean(baseline)
            by_column |= {f"{label}_{metric}": values for metric, values in baseline.items()}
        if split.resimulated:
            means[name]["baseline"] |= {"pictures": picture_errors(split, "baseline")}
        rows.append(pd.DataFrame({"part": name, "column": model.columns, **by_column}))
    return means, pd.concat(rows, ignore_index=True)


def by_order(columns: pd.DataFrame) -> pd.DataFrame:
    """The means of the columns' metrics for each order m of the amplitudes, and for what is none."""
    matches = columns["column"].map(AMPLITUDE.fullmatch)
    order = ["other" if match is None else f"m = {match[2]}" for match in matches]
    table = columns.assign(order=order).drop(columns="column")
    return table.groupby(["part", "order"], sort=False).mean().reset_index()


def by_band(pairs: dict[str, Pair], radii: dict[str, np.ndarray], judge: metrics.Judge) -> pd.DataFrame:
    """The metrics' means over the columns in BANDS of Einstein radius. radii: (n,) px of each split's rows."""
    edges = np.quantile(radii["training"], np.linspace(0, 1, BANDS + 1))
    rows = []
    for name, (true, predicted) in pairs.items():
        band = np.clip(np.searchsorted(edges, radii[name], side="right") - 1, 0, BANDS - 1)
        for k in range(BANDS):
            inside = band == k
            if inside.sum() < 2:  # a share of a variance needs one
                continue
            about = {"part": name, "band": k + 1, "from": edges[k], "to": edges[k + 1], "rows": int(inside.sum())}
            reached = metrics.mean(judge.compare(true[inside], predicted[inside]))
            baseline = metrics.mean(judge.baseline(true[inside]))
            rows.append(about | reached | {f"baseline_{metric}": value for metric, value in baseline.items()})
    return pd.DataFrame(rows)
