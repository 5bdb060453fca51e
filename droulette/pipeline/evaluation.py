"""Predict the parts of a dataset with a trained model, and measure them and their resimulations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from droulette import files
from droulette.devices import choose_device
from droulette.errors import UserError
from droulette.learning import metrics, model_file
from droulette.learning.model_file import Model
from droulette.pipeline import prediction
from droulette.pipeline.pictures import read_pictures
from droulette.pipeline.resimulate import resimulate
from droulette.pipeline.targets import read_targets

Progress = Callable[[int, str], Callable[[int], object]]

SMALLEST = {"sigma": 1e-2, "sigma2": 1e-2, "n_sersic": 0.2, "luminosity": 1e-6}
PAIRS = ("predicted_true", "predicted_raytraced", "true_raytraced")


@dataclass
class Part:
    """One part, read and predicted.

    table: n rows of filename and targets. true, predicted: (n, C), columns' units. pictures: (n, N, N) uint8.
    resimulated: (k, N, N) uint8 of the first k rows, from the true, predicted and baseline amplitudes.
    """

    table: pd.DataFrame
    true: np.ndarray
    predicted: np.ndarray
    pictures: np.ndarray
    resimulated: dict[str, np.ndarray] = field(default_factory=dict)


def evaluate(
    parts: dict[str, str | Path],
    directory: str | Path,
    model_path: str | Path,
    output: str | Path,
    *,
    prediction_files: Mapping[str, str | None] | None = None,
    roulette: str | Path | None = None,
    resimulations: int = 500,
    examples: int = 6,
    sampling: str = "exact",
    supersampling: int = 1,
    device: str = "auto",
    progress: Progress = lambda total, doing: lambda done: None,
    say: Callable[[str], None] = print,
) -> dict:
    """Write predictions/*.csv, plots/ and evaluate.json into the folder `output`; return what the JSON holds.

    parts: CSV by name: training, whose means and quantiles are the measure, testing, which is plotted, and
    others. directory: the folder of their pictures. prediction_files: other names than that of the part.
    roulette: the table with the rest of what a resimulation needs; there is none where it is None.

    Raises:
        UserError: what is wrong with the model, the tables or the pictures.
    """
    from droulette.pipeline import plots

    output, chosen = Path(output), choose_device(device)
    model = model_file.load(model_path, chosen)
    tables = {name: read_targets(path, model.columns) for name, path in parts.items()}
    count = resimulations if roulette is not None else 0
    rest = files.read_csv(roulette, required=["filename"]) if count else None
    for table in tables.values() if count else ():
        rows_of(table["filename"][:count], rest, roulette)

    seen, read = progress(sum(map(len, tables.values())), "predicting"), {}
    for name, table in tables.items():
        pictures = read_pictures(directory, list(table["filename"]), table=parts[name], size=model.input_size)
        predicted = model.predict(pictures, seen)
        read[name] = Part(table, table[list(model.columns)].to_numpy(), predicted, pictures)
    if count:
        means = read["training"].true.mean(axis=0)
        seen = progress(3 * sum(min(count, len(table)) for table in tables.values()), "resimulating")
        options = {
            "sampling": sampling,
            "supersampling": supersampling,
            "device": str(chosen),
            "progress": seen,
        }
        for part in read.values():
            resimulate_part(part, model.columns, rest, means, count, name=str(roulette), **options)
    else:
        say("no pictures are resimulated")

    reached, columns = measure(read, model)
    for name, part in read.items():
        path = output / "predictions" / ((prediction_files or {}).get(name) or f"{name}.csv")
        files.write_csv(prediction.as_table(model, list(part.table["filename"]), part.predicted), path)
    plots.write(output / "plots", read["testing"], model.columns, columns, examples)
    with files.atomic_write(output / "evaluate.json") as partial:  # the last: with it, the evaluation is whole
        partial.write_text(json.dumps(reached, indent=2) + "\n")
    for name, values in reached.items():
        pairs = ((metric, values[metric], values["baseline"][metric]) for metric in metrics.NAMES)
        say(f"{name}: " + ", ".join(f"{metric} {v:.3g} (baseline {b:.3g})" for metric, v, b in pairs))
    return reached


def measure(parts: dict[str, Part], model: Model) -> tuple[dict, pd.DataFrame]:
    """Every metric of every part beside its baseline: means for JSON, and a row for each part and column."""
    judge = metrics.Judge(parts["training"].true, model.scaling, model.loss)
    means, rows = {}, []
    for name, part in parts.items():
        reached, baseline = judge.columns(part.true, part.predicted), judge.baseline(part.true)
        means[name] = metrics.mean(reached) | {"baseline": metrics.mean(baseline)}
        if part.resimulated:
            means[name] |= {"pictures": picture_errors(part, "predicted")}
            means[name]["baseline"] |= {"pictures": picture_errors(part, "baseline")}
        named = reached | {f"baseline_{metric}": values for metric, values in baseline.items()}
        rows.append(pd.DataFrame({"part": name, "column": model.columns, **named}))
    return means, pd.concat(rows, ignore_index=True)


def rows_of(filenames: Sequence[str], table: pd.DataFrame, name: str | Path) -> pd.DataFrame:
    """The rows of these pictures in a table, called `name`, with a column `filename`. Raises UserError."""
    rows = table.drop_duplicates("filename").set_index("filename", drop=False)
    if missing := [filename for filename in filenames if filename not in rows.index]:
        raise UserError(f"{name}: found no row of {missing[0]!r}, expected one")
    return rows.loc[list(filenames)].reset_index(drop=True)


def resimulate_part(
    part: Part, columns: Sequence[str], table: pd.DataFrame, means: np.ndarray, count: int, **options
) -> None:
    """Draw the first `count` pictures of the part from their true, predicted and baseline target columns.

    table: all rows, for the columns that the network does not predict. means: (C,), columns' units: the
    baseline's prediction. options: those of `resimulate`.
    """
    true = rows_of(part.table["filename"][:count], table, options["name"])
    rows = {"true": true}
    for kind, values in (("predicted", part.predicted[:count]), ("baseline", np.tile(means, (len(true), 1)))):
        replaced = pd.DataFrame(values, columns=list(columns))
        for column, least in SMALLEST.items():  # a source has a size, which a regression need not know
            if column in columns:
                replaced[column] = replaced[column].clip(lower=least)
        rows[kind] = true.assign(**replaced)
    size = part.pictures.shape[-1]
    part.resimulated = {kind: resimulate(table, size, **options) for kind, table in rows.items()}


def picture_errors(part: Part, of: str) -> dict[str, float]:
    """The means of `picture_differences`."""
    return {pair: float(values.mean()) for pair, values in picture_differences(part, of).items()}


def picture_differences(part: Part, of: str = "predicted") -> dict[str, np.ndarray]:
    """Mean absolute grey-level difference / 255 of each picture, (k,), for each pair of: the resimulation of
    the predictions (or of another kind, `of`), that of the true amplitudes, and the picture itself."""
    predicted, true = part.resimulated[of], part.resimulated["true"]
    raytraced = part.pictures[: len(true)]
    pairs = ((predicted, true), (predicted, raytraced), (true, raytraced))
    return {label: difference(*pair) for label, pair in zip(PAIRS, pairs, strict=True)}


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(k, N, N) uint8 twice -> mean absolute difference / 255 of each, (k,)."""
    pairs = zip(first, second, strict=True)  # one by one: an int16 copy of all would be large
    return np.array([np.abs(a.astype(np.int16) - b).mean() / 255 for a, b in pairs])
