"""Tables of targets: a file name and the numbers to be learnt, one row a picture."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from droulette import files
from droulette.errors import UserError
from droulette.quantities import amplitude_columns as amplitude_columns

if TYPE_CHECKING:
    import pandas as pd


def read_targets(path: str | Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV's `filename` and those columns of numbers; all columns of it where none are given.

    Raises:
        UserError: no such file; a column missing, with the nearest that there is; a value that is no finite
            number; a file name that is none, or there twice.
    """
    import pandas as pd

    table = files.read_csv(path)
    for column in ["filename", *columns]:
        if column not in table:
            nearest = difflib.get_close_matches(column, list(table.columns), 1, cutoff=0)[0]
            raise UserError(f"{path}: found no column {column!r}, expected it; nearest: {nearest!r}")
    columns = list(columns) or [column for column in table.columns if column != "filename"]
    if not columns:
        raise UserError(f"{path}: found only the column 'filename', expected columns of targets")

    names = table["filename"]
    bad = np.array([not isinstance(name, str) for name in names])
    if (bad := bad | names.duplicated().to_numpy()).any():
        row = int(bad.argmax())
        found = repr(names.iloc[row])
        raise UserError(f"{path}: row {row + 1}, column filename: found {found}, expected a name that no other row has")
    found = {"filename": names}
    for column in columns:
        values = files.numbers(table[column])
        if (bad := ~np.isfinite(values)).any():
            row = int(bad.argmax())
            value = table[column].iloc[row]
            found_value = repr(value) if isinstance(value, str) else str(value)
            where = f"{path}: row {row + 1}, column {column}"
            raise UserError(f"{where}: found {found_value}, expected a finite number")
        found[column] = values
    return pd.DataFrame(found)
