"""A split of a dataset with its predictions and resimulations: what is measured, drawn and shown in the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from droulette.errors import UserError
from droulette.learning.model_file import Model
from droulette.learning.moments import Moments
from droulette.learning.observed import Facts
from droulette.pipeline.pictures import is_observed, read_pictures, read_views
from droulette.pipeline.resimulate import resimulate
from droulette.quantities import AMPLITUDE, least

PAIRS = ("predicted_true", "predicted_raytraced", "true_raytraced")


@dataclass
class EvaluatedSplit:
    """The training, validation or testing rows, read and predicted.

    table: n rows of filename and targets. true, predicted, deviation: (n, C), columns' units. features: (n, F),
    moments of the pictures. pictures: (k, N, N) uint8, of the first k rows.
    reach: (C,) or (n, C), see `Model.reach`. resimulated: pictures of the same rows
    from the true, predicted and baseline amplitudes, by these names.

    Of pictures with noise: facts: (n, 6), see `FACTS`. signal_to_noise: of the first rows, where it was measured.
    """

    table: pd.DataFrame
    true: np.ndarray
    predicted: np.ndarray
    deviation: np.ndarray
    features: np.ndarray
    pictures: np.ndarray
    reach: np.ndarray | float = 1.96
    resimulated: dict[str, np.ndarray] = field(default_factory=dict)
    facts: np.ndarray | None = None
    signal_to_noise: np.ndarray | None = None


def read_split(
    table: pd.DataFrame,
    directory: str | Path,
    name: str | Path,
    model: Model,
    count: int,
    reading: Callable[[int], object],
    predicting: Callable[[int], object],
) -> EvaluatedSplit:
    """Read the pictures of a table and predict them; keep the first `count` pictures themselves.

    name: what the table is called in messages. reading, predicting: called with the number of pictures just done.
    """
    filenames = list(table["filename"])
    options = {"table": name, "size": model.input_size}
    preprocessings = [model.network.preprocessing, Moments(model.input_size)]
    if is_observed(directory, filenames[0], name):
        preprocessings.append(Facts())
    views, features, *known = read_views(
        directory, filenames, preprocessings, device=str(model.device), progress=reading, **options
    )
    facts = known[0] if known else None
    means, deviations = model.predict(views, predicting, facts)
    pictures = read_pictures(directory, filenames[: max(count, 1)], **options)
    true = table[list(model.columns)].to_numpy()
    reach = model.reach(views, facts)
    return EvaluatedSplit(table, true, means, deviations, features, pictures, reach, facts=facts)


def order_of(column: str) -> str:
    """The order m of an amplitude's column, as "m = 2", and "other" for a column that is none."""
    match = AMPLITUDE.fullmatch(column)
    return "other" if match is None else f"m = {match[2]}"


def prediction_table(
    model: Model, filenames: Sequence[str], predicted: np.ndarray, deviation: np.ndarray
) -> pd.DataFrame:
    """Predictions as a table: filename, the model's columns, and their standard deviations as `std:…`."""
    frame = pd.DataFrame(predicted, columns=list(model.columns))
    frame = frame.join(pd.DataFrame(deviation, columns=[f"std:{column}" for column in model.columns]))
    frame.insert(0, "filename", list(filenames))
    return frame


def rows_of(filenames: Sequence[str], table: pd.DataFrame, name: str | Path) -> pd.DataFrame:
    """The rows of these pictures in a table, called `name`, with a column `filename`. Raises UserError."""
    rows = table.drop_duplicates("filename").set_index("filename", drop=False)
    if missing := [filename for filename in filenames if filename not in rows.index]:
        raise UserError(f"{name}: found no row of {missing[0]!r}, expected one")
    return rows.loc[list(filenames)].reset_index(drop=True)


def resimulate_split(
    split: EvaluatedSplit, columns: Sequence[str], table: pd.DataFrame, means: np.ndarray, count: int, **options
) -> None:
    """Draw the first `count` pictures of the split from their true, predicted and baseline target columns.

    table: all rows, for the columns that the network does not predict. means: (C,), columns' units: the
    baseline's prediction. options: those of `resimulate`.
    """
    true = rows_of(split.table["filename"][:count], table, options["name"])
    rows = {
        "true": true,
        "predicted": with_targets(true, columns, split.predicted[:count]),
        "baseline": with_targets(true, columns, np.tile(means, (len(true), 1))),
    }
    size = split.pictures.shape[-1]
    split.resimulated = {kind: resimulate(table, size, **options) for kind, table in rows.items()}


def with_targets(table: pd.DataFrame, columns: Sequence[str], values: np.ndarray) -> pd.DataFrame:
    """A roulette table with other values, (n, C), in its target columns, such as can be drawn."""
    replaced = pd.DataFrame(values, columns=list(columns), index=table.index)
    for column, smallest in least(columns).items():  # a source has a size, which a regression need not know
        replaced[column] = replaced[column].clip(lower=smallest)
    return table.assign(**replaced)


def picture_differences(split: EvaluatedSplit, kind: str = "predicted") -> dict[str, np.ndarray]:
    """Mean absolute grey-level difference / 255 of each picture, (k,), for each of PAIRS.

    The pairs are of three pictures: the resimulation of this `kind`, that of the true amplitudes, and the picture.
    """
    predicted, true = split.resimulated[kind], split.resimulated["true"]
    raytraced = split.pictures[: len(true)]
    pairs = ((predicted, true), (predicted, raytraced), (true, raytraced))
    return {label: difference(*pair) for label, pair in zip(PAIRS, pairs, strict=True)}


def picture_errors(split: EvaluatedSplit, kind: str) -> dict[str, float]:
    """The means of `picture_differences`, and the median of the first."""
    differences = picture_differences(split, kind)
    means = {pair: float(values.mean()) for pair, values in differences.items()}
    return means | {"median_predicted_true": float(np.median(differences["predicted_true"]))}


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(k, N, N) uint8 twice -> mean absolute difference / 255 of each, (k,)."""
    pairs = zip(first, second, strict=True)  # one by one: an int16 copy of all would be large
    return np.array([np.abs(a.astype(np.int16) - b).mean() / 255 for a, b in pairs])
