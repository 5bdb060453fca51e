"""Predict the parts of a dataset with a trained model, and measure them and their resimulations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from droulette import files
from droulette.devices import choose_device, choose_precision
from droulette.errors import UserError
from droulette.learning import metrics, model_file
from droulette.learning.calibration import coverage
from droulette.learning.model_file import Model
from droulette.learning.moments import LinearModel, Moments
from droulette.pipeline import prediction
from droulette.pipeline.pictures import read_pictures, see_pictures
from droulette.pipeline.resimulate import resimulate
from droulette.pipeline.scenes import AMPLITUDE, einstein_radii
from droulette.pipeline.targets import read_targets
from droulette.quantities import least

Progress = Callable[[int, str], Callable[[int], object]]

PAIRS = ("predicted_true", "predicted_raytraced", "true_raytraced")
BASELINES = ("baseline", "linear")  # always the training part's means; a linear model on moments of the picture
# What matters first, by its short name in metrics/summary.json, and where it stands in a part's metrics.
SUMMARY = {
    "r2_quantile": ("r2_quantile",),
    "r2": ("r2",),
    "picture_error": ("pictures", "predicted_true"),
    "mae": ("mae",),
    "coverage68": ("coverage68",),
    "coverage95": ("coverage95",),
}
BANDS = 5  # of Einstein radius, with equally many rows of the training part


@dataclass
class Part:
    """One part, read and predicted.

    table: n rows of filename and targets. true, predicted, deviation, linear: (n, C), columns' units. pictures:
    (k, N, N) uint8, the first k, and resimulated: the same rows, from the true, predicted and baseline amplitudes.
    """

    table: pd.DataFrame
    true: np.ndarray
    predicted: np.ndarray
    deviation: np.ndarray
    features: np.ndarray
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
    lenses: str | Path | None = None,
    resimulations: int = 500,
    examples: int = 6,
    sampling: str = "exact",
    supersampling: int = 1,
    canvas: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress = lambda total, doing: lambda done: None,
    say: Callable[[str], None] = print,
) -> dict:
    """Write predictions/*.csv, plots/, summary.json and evaluate.json into the folder `output`.

    Returns what evaluate.json holds.

    parts: CSV by name: training, whose means and quantiles are the measure, testing, which is plotted, and
    others. directory: the folder of their pictures. prediction_files: other names than that of the part.
    roulette: the table with the rest of what a resimulation needs; there is none where it is None.
    lenses: the dataset table, whose Einstein radii the rows are sorted by; they are not where it is None.
    sampling, supersampling, canvas: as the pictures were drawn, see `resimulate`.

    Raises:
        UserError: what is wrong with the model, the tables or the pictures.
    """
    from droulette.pipeline import plots

    output, chosen = Path(output), choose_device(device)
    model = model_file.load(model_path, chosen, choose_precision(precision, chosen))
    tables = {name: read_targets(path, model.columns) for name, path in parts.items()}
    count = resimulations if roulette is not None else 0
    rest = files.read_csv(roulette, required=["filename"]) if count else None
    sizes = files.read_csv(lenses, required=["filename"]) if lenses is not None else None
    for source, table in ((roulette, rest), (lenses, sizes)):
        for part in tables.values() if table is not None else ():
            rows_of(part["filename"][: count if table is rest else None], table, source)

    every = sum(map(len, tables.values()))
    seen, judged = progress(every, "reading"), progress(every, "predicting")
    read = {
        name: read_part(table, directory, parts[name], model, count, seen, judged) for name, table in tables.items()
    }
    if count:
        means = read["training"].true.mean(axis=0)
        drawn = progress(3 * sum(min(count, len(table)) for table in tables.values()), "resimulating")
        how = {"sampling": sampling, "supersampling": supersampling, "canvas": canvas}
        options = how | {"device": str(chosen), "progress": drawn}
        for part in read.values():
            resimulate_part(part, model.columns, rest, means, count, name=str(roulette), **options)
    else:
        say("no pictures are resimulated")

    reached, columns = measure(read, model)
    for name, part in read.items():
        path = output / "predictions" / ((prediction_files or {}).get(name) or f"{name}.csv")
        names = list(part.table["filename"])
        files.write_csv(prediction.as_table(model, names, part.predicted, part.deviation), path)
    radii = (
        {} if sizes is None else {n: einstein_radii(rows_of(t["filename"], sizes, lenses)) for n, t in tables.items()}
    )
    bands = by_band(read, radii, model) if radii else None
    plots.write(output / "plots", read["testing"], model, columns, by_order(columns), bands, examples)
    write_json(summary(reached["testing"]), output / "summary.json")
    write_json(reached, output / "evaluate.json")  # the last: with it, the evaluation is whole
    return reached


def write_json(metrics: dict, path: Path) -> None:
    with files.atomic_write(path) as partial:
        partial.write_text(json.dumps(metrics, indent=2) + "\n")


def summary(reached: dict) -> dict[str, float]:
    """Of a part's metrics the SUMMARY, as far as they were measured."""
    found = {}
    for name, path in SUMMARY.items():
        value = reached
        for key in path:
            value = value.get(key, {})
        if isinstance(value, float):
            found[name] = value
    return found


def read_part(
    table: pd.DataFrame,
    directory: str | Path,
    name: str | Path,
    model: Model,
    count: int,
    seen: Callable[[int], object],
    judged: Callable[[int], object],
) -> Part:
    """Read a part's pictures and predict them; keep the first `count` pictures themselves."""
    filenames = list(table["filename"])
    options = {"table": name, "size": model.input_size}
    eyes, device = [model.network.eye, Moments(model.input_size)], str(model.device)
    views, features = see_pictures(directory, filenames, eyes, device=device, seen=seen, **options)
    predicted, deviation = model.predict(views, judged)
    pictures = read_pictures(directory, filenames[: max(count, 1)], **options)
    return Part(table, table[list(model.columns)].to_numpy(), predicted, deviation, features, pictures)


def measure(parts: dict[str, Part], model: Model) -> tuple[dict, pd.DataFrame]:
    """Every metric of every part beside its baselines: means for JSON, and a row for each part and column."""
    training = parts["training"]
    judge = metrics.Judge(training.true, model.scaling, model.loss)
    linear = LinearModel(training.features, training.true, model.scaling)
    means, rows = {}, []
    for name, part in parts.items():
        reached = judge.columns(part.true, part.predicted)
        beside = (judge.baseline(part.true), judge.columns(part.true, linear.predict(part.features)))
        means[name] = metrics.mean(reached)
        if model.calibration:
            shares = coverage(part.true, part.predicted, part.deviation, model.calibration.reach())
            reached |= {"coverage68": shares[0], "coverage95": shares[1]}
            means[name] |= metrics.mean({key: reached[key] for key in ("coverage68", "coverage95")})
        if part.resimulated:
            means[name] |= {"pictures": picture_errors(part, "predicted")}
        for label, baseline in zip(BASELINES, beside, strict=True):
            means[name][label] = metrics.mean(baseline)
            reached |= {f"{label}_{metric}": values for metric, values in baseline.items()}
        if part.resimulated:
            means[name]["baseline"] |= {"pictures": picture_errors(part, "baseline")}
        rows.append(pd.DataFrame({"part": name, "column": model.columns, **reached}))
    return means, pd.concat(rows, ignore_index=True)


def by_order(columns: pd.DataFrame) -> pd.DataFrame:
    """The means of the columns' metrics for each order m of the amplitudes, and for what is none."""
    matches = columns["column"].map(AMPLITUDE.fullmatch)
    order = ["other" if match is None else f"m = {match[2]}" for match in matches]
    return (
        columns.assign(order=order).drop(columns="column").groupby(["part", "order"], sort=False).mean().reset_index()
    )


def by_band(parts: dict[str, Part], radii: dict[str, np.ndarray], model: Model) -> pd.DataFrame:
    """The metrics' means over the columns in BANDS of Einstein radius. radii: (n,) px of each part's rows."""
    training = parts["training"]
    judge = metrics.Judge(training.true, model.scaling, model.loss)
    edges = np.quantile(radii["training"], np.linspace(0, 1, BANDS + 1))
    rows = []
    for name, part in parts.items():
        band = np.clip(np.searchsorted(edges, radii[name], side="right") - 1, 0, BANDS - 1)
        for k in range(BANDS):
            inside = band == k
            if inside.sum() < 2:  # a share of a variance needs one
                continue
            reached = metrics.mean(judge.columns(part.true[inside], part.predicted[inside]))
            baseline = metrics.mean(judge.baseline(part.true[inside]))
            about = {"part": name, "band": k + 1, "from": edges[k], "to": edges[k + 1], "rows": int(inside.sum())}
            rows.append(about | reached | {f"baseline_{metric}": value for metric, value in baseline.items()})
    return pd.DataFrame(rows)


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
        rows[kind] = with_targets(true, columns, values)
    size = part.pictures.shape[-1]
    part.resimulated = {kind: resimulate(table, size, **options) for kind, table in rows.items()}


def with_targets(table: pd.DataFrame, columns: Sequence[str], values: np.ndarray) -> pd.DataFrame:
    """A roulette table with other values, (n, C), in its target columns, such as can be drawn."""
    replaced = pd.DataFrame(values, columns=list(columns), index=table.index)
    for column, smallest in least(columns).items():  # a source has a size, which a regression need not know
        replaced[column] = replaced[column].clip(lower=smallest)
    return table.assign(**replaced)


def picture_errors(part: Part, of: str) -> dict[str, float]:
    """The means of `picture_differences`, and the median of the first."""
    differences = picture_differences(part, of)
    means = {pair: float(values.mean()) for pair, values in differences.items()}
    return means | {"median_predicted_true": float(np.median(differences["predicted_true"]))}


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
