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
    order_of,
    picture_errors,
    prediction_table,
    read_split,
    resimulate_split,
    rows_of,
)
from droulette.pipeline.noise_metrics import (
    MOST,
    Covered,
    NoiseTables,
    Pair,
    about_pictures,
    by_noise_and_psf,
    residuals_of,
)
from droulette.pipeline.pictures import is_observed
from droulette.pipeline.scenes import einstein_radii
from droulette.pipeline.signal_to_noise import signal_to_noise
from droulette.pipeline.targets import read_targets

if TYPE_CHECKING:
    from droulette.parameters.learning import Dataset, Evaluation, Fit, Settings
    from droulette.parameters.simulation import Simulator

Progress = Callable[[int, str], Callable[[int], object]]

# What matters first, by its short name in metrics/summary.json, and where it stands in a split's metrics.
SUMMARY = {
    "r2_quantile": ("r2_quantile",),
    "r2": ("r2",),
    "picture_error": ("pictures", "predicted_true"),
    "mae": ("mae",),
    "coverage68": ("coverage68",),
    "coverage95": ("coverage95",),
    "fit_efficiency": ("fit", "efficiency"),
}
BANDS = 5  # of Einstein radius and of the signal-to-noise ratio, with equally many training rows


def evaluate(
    dataset: Dataset,
    evaluation: Evaluation,
    simulator: Simulator,
    settings: Settings,
    *,
    model_path: str | Path,
    output: str | Path,
    roulette: str | Path | None = None,
    fit: Fit | None = None,
    progress: Progress = lambda total, doing: lambda done: None,
    say: Callable[[str], None] = print,
) -> dict:
    """Write predictions/*.csv, plots/, summary.json and evaluate.json into the folder `output`.

    Returns what evaluate.json holds.

    dataset: its pictures and splits. The training split's means and quantiles are the measure, and the testing
    split is plotted. evaluation: without `lenses` there are no bands of Einstein radius. simulator: how the pictures
    were drawn, for the resimulations. settings: device and precision.
    roulette: the table with the columns that a resimulation needs and the model does not predict. Without it
    no picture is resimulated. fit: how many rows of the testing split are fitted as well, and as what.

    Raises:
        UserError: what is wrong with the model, the tables or the pictures.
    """
    output, device = Path(output), choose_device(settings.device)
    model = model_file.load(model_path, device, choose_precision(settings.precision, device))
    paths = {name: split.filename for name, split in dataset.parts.items()}
    tables = {name: read_targets(path, model.columns) for name, path in paths.items()}
    names = {name: list(table["filename"]) for name, table in tables.items()}
    count = evaluation.resimulations if roulette is not None else 0
    observed = is_observed(dataset.directory, names["training"][0], paths["training"])
    amplitudes = files.read_csv(roulette, required=["filename"]) if count or (observed and roulette) else None
    redrawn = observed and amplitudes is not None and "psf" in amplitudes  # the table says how to draw them
    noise_measured = redrawn and evaluation.lenses is not None
    needed = max(count, MOST if noise_measured else 0)
    if needed:
        for filenames in names.values():  # before the long work: each has a row
            rows_of(filenames[:needed], amplitudes, roulette)
    radii, families = {}, {}
    if evaluation.lenses is not None:
        lenses = files.read_csv(evaluation.lenses, required=["filename"])
        for name, filenames in names.items():
            rows = rows_of(filenames, lenses, evaluation.lenses)
            radii[name] = einstein_radii(rows, str(evaluation.lenses))
            if "lens" in rows:
                families[name] = rows["lens"].to_numpy()

    fitting = None
    if fit is not None and fit.rows:
        from droulette.pipeline import evaluated_fits  # SciPy's statistics take a second to load

        some = names["testing"][: fit.rows]
        fitting = evaluated_fits.Fitting.of(fit, model, some, evaluation.lenses, roulette, observed=observed)
    every = sum(map(len, tables.values()))
    reading, predicting = progress(every, "reading"), progress(every, "predicting")
    splits = {
        name: read_split(table, dataset.directory, paths[name], model, count, reading, predicting)
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

    if noise_measured:
        measuring = progress(sum(min(MOST, len(table)) for table in tables.values()), "measuring signal to noise")
        for name, split in splits.items():
            some = names[name][:MOST]
            split.signal_to_noise = signal_to_noise(
                rows_of(some, lenses, evaluation.lenses),
                rows_of(some, amplitudes, roulette),
                simulator,
                model.input_size,
                device=str(device),
                names=(str(evaluation.lenses), str(roulette)),
                progress=measuring,
            )

    judge = metrics.Judge(splits["training"].true, model.scaling, model.loss)
    pairs = {name: (judge.scaled(split.true), judge.scaled(split.predicted)) for name, split in splits.items()}
    measured, columns = measure(splits, pairs, judge, model)

    fits = None
    if fitting is not None:
        of_testing = 1 + band_of(radii["testing"], radii["training"])
        arguments = (splits["testing"], pairs["testing"][0], judge, model, dataset.directory, of_testing)
        measured["testing"]["fit"], fits = fitting.measured(*arguments, progress)

    def covered(name: str, rows: np.ndarray) -> dict[str, float]:
        return metrics.mean(covered_columns(splits[name], model, rows)) if model.calibration else {}

    bands = by_band(pairs, radii, judge) if radii else None
    for name, split in splits.items():
        path = output / "predictions" / (dataset.parts[name].predictionfile or f"{name}.csv")
        files.write_csv(prediction_table(model, names[name], split.predicted, split.deviation), path)
    testing = splits["testing"]
    residuals = {}
    examples = plots.examples_of(testing, evaluation.examples)
    if redrawn and len(examples):
        residuals = residuals_of(
            testing,
            examples,
            model.columns,
            amplitudes,
            dataset.directory,
            sampling=simulator.sampling,
            supersampling=simulator.supersampling,
            canvas=simulator.imagesize,
            device=str(device),
            name=str(roulette),
        )
    plots.write(
        output / "plots",
        testing,
        model,
        columns,
        by_order(columns),
        bands,
        examples,
        families=by_family(pairs, families, judge, covered),
        noise=noise_tables(splits, pairs, judge, covered) if observed else None,
        residuals=residuals,
    )
    if fits is not None:
        files.write_csv(fits, output / "plots" / "fit.csv")
    write_json(summary(measured["testing"]), output / "summary.json")
    write_json(measured, output / "evaluate.json")  # the last: with it, the evaluation is whole
    return measured


def noise_tables(
    splits: dict[str, EvaluatedSplit], pairs: dict[str, Pair], judge: metrics.Judge, covered: Covered
) -> NoiseTables:
    """What depends on the noise and the point spread function."""
    bands = None
    ratios = {name: split.signal_to_noise for name, split in splits.items()}
    if ratios["training"] is not None and np.isfinite(ratios["training"]).any():
        bands = by_band(pairs, ratios, judge, covered)
    grid = by_noise_and_psf(splits, pairs, judge, covered)
    return NoiseTables(about_pictures(splits["testing"]), bands, grid)


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
            covered = covered_columns(split, model)
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


def covered_columns(split: EvaluatedSplit, model: Model, rows: np.ndarray | slice = slice(None)) -> dict:
    """The shares of rows inside the 68 % and 95 % intervals of each column, (C,), of a calibrated model."""
    values = (split.true[rows], split.predicted[rows], split.deviation[rows])
    reach = np.broadcast_to(split.reach, split.true.shape)[rows]
    shares = coverage(*values, reach)
    return {"coverage68": shares[0], "coverage95": shares[1]}


def by_order(columns: pd.DataFrame) -> pd.DataFrame:
    """The means of the columns' metrics for each order m of the amplitudes, and for what is none."""
    table = columns.assign(order=columns["column"].map(order_of)).drop(columns="column")
    return table.groupby(["part", "order"], sort=False).mean().reset_index()


def band_edges(training: np.ndarray) -> np.ndarray:
    """(BANDS + 1,) of a quantity, with equally many training rows between two of them."""
    return np.quantile(training[np.isfinite(training)], np.linspace(0, 1, BANDS + 1))


def band_of(values: np.ndarray, training: np.ndarray) -> np.ndarray:
    """(n,): the number of each value's band, from 0."""
    return np.clip(np.searchsorted(band_edges(training), values, side="right") - 1, 0, BANDS - 1)


def by_band(
    pairs: dict[str, Pair],
    values: dict[str, np.ndarray],
    judge: metrics.Judge,
    covered: Covered = lambda name, rows: {},
) -> pd.DataFrame:
    """The metrics' means over the columns in BANDS of a quantity, with equally many training rows.

    values: of the first rows of each split; the infinite ones count to the last band. covered: gives further metrics.
    """
    edges = band_edges(values["training"])
    rows = []
    for name, (true, predicted) in pairs.items():
        band = band_of(values[name], values["training"])
        for k in range(BANDS):
            inside = np.flatnonzero(band == k)
            if len(inside) < 2:  # a share of a variance needs one
                continue
            about = {"part": name, "band": k + 1, "from": edges[k], "to": edges[k + 1], "rows": len(inside)}
            reached = metrics.mean(judge.compare(true[inside], predicted[inside])) | covered(name, inside)
            baseline = metrics.mean(judge.baseline(true[inside]))
            rows.append(about | reached | {f"baseline_{metric}": value for metric, value in baseline.items()})
    return pd.DataFrame(rows)


def by_family(
    pairs: dict[str, Pair], families: dict[str, np.ndarray], judge: metrics.Judge, covered: Covered
) -> pd.DataFrame | None:
    """The metrics' means over the columns for each lens model of each split; None where there is only one.

    R² is 1 − the mean square error over the variance of all rows of the split: some columns are constant in a model,
    as the convergence of a point mass is. families: the lens model of each row.
    """
    every = sorted({family for names in families.values() for family in names})
    if len(every) < 2:
        return None
    rows = []
    for name, (true, predicted) in pairs.items():
        for family in every:
            inside = np.flatnonzero(families[name] == family)
            if len(inside) < 2:  # a share of a variance needs one
                continue
            reached = judge.compare(true[inside], predicted[inside])
            for metric, scale in (("r2", "units"), ("r2_quantile", "quantiles")):
                values, error = getattr(true, scale), getattr(predicted, scale) - getattr(true, scale)
                reached[metric] = 1 - (error[inside] ** 2).mean(axis=0) / values.var(axis=0)
            rows.append(
                {"part": name, "lens": family, "rows": len(inside)} | metrics.mean(reached) | covered(name, inside)
            )
    return pd.DataFrame(rows)
