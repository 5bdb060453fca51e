"""Choose the target columns of a roulette table and share its rows out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from droulette.errors import UserError


def amplitude_columns(first: int, last: int) -> list[str]:
    """`alpha[m][s]`, `beta[m][s]` for m = first..last, s = (m+1) mod 2, ..., m+1 in steps of 2."""
    orders = [(m, s) for m in range(first, last + 1) for s in range((m + 1) % 2, m + 2, 2)]
    return [f"{kind}[{m}][{s}]" for m, s in orders for kind in ("alpha", "beta")]


def choose_columns(table: pd.DataFrame, columns: Sequence[str], *, name: str) -> pd.DataFrame:
    """The file names and those columns of the table called `name`.

    Raises:
        UserError: a column is missing, with the nearest that there is; or holds something else than numbers.
    """
    for column in ["filename", *columns]:
        if column not in table:
            nearest = difflib.get_close_matches(column, list(table.columns), 1, cutoff=0)[0]
            raise UserError(f"{name}: found no column {column!r}, expected it; nearest: {nearest!r}")
    for column in columns:
        numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
        if (bad := ~np.isfinite(numbers)).any():
            row = int(bad.argmax())
            found = table[column].iloc[row]
            raise UserError(f"{name}: row {row + 1}, column {column}: found {found!r}, expected a finite number")
    return table[["filename", *columns]]


def share_out(rows: int, sizes: Mapping[str, float | int | None], *, name: str) -> dict[str, int]:
    """Rows of each part: a share below 1 of `rows` (rounded down) or a count; one None takes the rest.

    Raises:
        UserError: more rows asked for than there are, or none left for a part.
    """
    counts = {part: int(rows * n) if n is not None and n < 1 else n for part, n in sizes.items()}
    left = rows - sum(count for count in counts.values() if count is not None)
    rest = [part for part, count in counts.items() if count is None]
    if left < 0:
        raise UserError(f"{name}: found {rows} rows, expected at least {rows - left} for the parts' sizes")
    if len(rest) > 1:
        raise UserError(f"dataset.{rest[1]}.size: found none, expected one, since {rest[0]}'s is left out too")
    counts |= {part: left for part in rest}
    for part, count in counts.items():
        if count < 1:
            raise UserError(f"{name}: found {rows} rows, which leave none for dataset.{part}")
    return counts


def split(
    table: pd.DataFrame, sizes: Mapping[str, float | int | None], *, seed: int, shuffle: bool, name: str
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Share a table of `filename` and target columns out.

    sizes: by part, in the order in which the parts take their rows; the first one's constant columns are
    dropped from all, since a network can neither learn nor fail at them.
    Returns: the parts, and the columns that were dropped.
    """
    counts = share_out(len(table), sizes, name=name)
    order = np.random.default_rng(seed).permutation(len(table)) if shuffle else np.arange(len(table))
    ends = np.cumsum(list(counts.values()))
    parts = {
        part: table.iloc[order[end - count : end]]
        for (part, count), end in zip(counts.items(), ends, strict=True)
    }
    first = parts[next(iter(parts))]
    dropped = [c for c in table.columns if c != "filename" and (first[c] == first[c].iloc[0]).all()]
    if len(dropped) == len(table.columns) - 1:
        raise UserError(f"{name}: found every target column constant in the training rows, expected one that varies")
    return {part: rows.drop(columns=dropped) for part, rows in parts.items()}, dropped
