"""Choose the target columns of a roulette table and share its rows out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from droulette import files
from droulette.errors import UserError
from droulette.pipeline.targets import amplitude_columns, read_targets

Size = float | int | None


def split_file(
    path: str | Path,
    parts: Mapping[str, tuple[str | Path, Size]],
    *,
    variables: Sequence[str] = (),
    nterms: tuple[int, int] | None = None,
    seed: int = 0,
    shuffle: bool = True,
    held_out: Collection[str] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Share the rows of a roulette table out into CSVs of `filename` and target columns.

    parts: file and size of each, in the order in which they take their rows; see `split`.
    variables, nterms: the targets: columns by name, and the amplitudes of orders nterms[0] to nterms[1].
    held_out: file names of rows that join the testing rows, beyond its size.

    Raises:
        UserError: see `read_targets` and `split`.
    """
    if held_out and "testing" not in parts:
        raise UserError(
            "problem.hold-out: found no table [dataset.testing], expected one for the rows that are held out"
        )
    for name, (output, _) in parts.items():
        if Path(output).resolve() == Path(path).resolve():
            raise UserError(
                f"dataset.{name}.filename: found {str(output)!r}, the table that is split; expected another"
            )
    columns = list(variables)
    columns += [c for c in amplitude_columns(*nterms) if c not in columns] if nterms else []
    sizes = {name: size for name, (_, size) in parts.items()}
    table = read_targets(path, columns)
    held = table["filename"].isin(held_out or ())
    rows, dropped = split(table[~held], sizes, seed=seed, shuffle=shuffle, name=str(path))
    if held_out:
        more = table[held].drop(columns=dropped)
        rows["testing"] = pd.concat([rows["testing"], more])
        say(f"{path}: held out for testing: {len(more)} rows")
    if dropped:
        say(f"{path}: dropped, constant in the training rows: {', '.join(dropped)}")
    for name, (output, _) in parts.items():
        files.write_csv(rows[name], output)
        say(f"{output}: {len(rows[name])} rows, {rows[name].shape[1] - 1} columns")


def held_out(path: str | Path, names: Collection[str]) -> set[str]:
    """File names of the rows with one of these lens models or galaxies. Raises UserError: no row has one of them.

    names: as the columns `lens` and `galaxy` have them; * stands for any text.
    """
    table = files.read_csv(path, required=["filename", "lens"])
    columns = [table[column].astype(str) for column in ("lens", "galaxy") if column in table]
    held = np.zeros(len(table), bool)
    for name in names:
        found = [text for text in set().union(*columns) if fnmatchcase(text, name)]
        if not found:
            known = ", ".join(sorted(set(columns[0])))
            raise UserError(f"problem.hold-out: found {name!r}, expected a lens or a galaxy of {path}: {known}")
        for column in columns:
            held |= column.isin(found).to_numpy()
    return set(table["filename"][held])


def split(
    table: pd.DataFrame, sizes: Mapping[str, Size], *, seed: int, shuffle: bool, name: str
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Share the rows of a table of `filename` and target columns out.

    sizes: see `share_out`. The first part is trained on, and the columns that are constant in it are dropped
    from all, since a network can neither learn nor fail at them.

    Returns: the parts, and the columns that were dropped.
    """
    counts = share_out(len(table), sizes, name=name)
    order = np.random.default_rng(seed).permutation(len(table)) if shuffle else np.arange(len(table))
    ends = np.cumsum(list(counts.values()))
    parts = {
        part: table.iloc[order[end - count : end]] for (part, count), end in zip(counts.items(), ends, strict=True)
    }
    first = next(iter(parts.values())).drop(columns="filename")
    dropped = [column for column in first if (first[column] == first[column].iloc[0]).all()]
    if len(dropped) == first.shape[1]:
        raise UserError(f"{name}: found all targets constant in the training rows, expected one that varies")
    return {part: rows.drop(columns=dropped) for part, rows in parts.items()}, dropped


def share_out(rows: int, sizes: Mapping[str, Size], *, name: str) -> dict[str, int]:
    """Rows of each part: a share below 1 of `rows`, rounded down, or a count; one None takes the rest.

    Raises:
        UserError: more rows asked for than there are, none left for a part, or two parts without a size.
    """
    # 1e-9: 0.29 * 100 is 28.999999999999996
    counts = {part: int(rows * n + 1e-9) if n is not None and n < 1 else n for part, n in sizes.items()}
    left = rows - sum(count for count in counts.values() if count is not None)
    rest = [part for part, count in counts.items() if count is None]
    if left < 0:
        raise UserError(f"{name}: found {rows} rows, expected at least {rows - left} for the parts' sizes")
    if len(rest) > 1:
        raise UserError(f"dataset.{rest[1]}.size: found none, expected one, as {rest[0]} has none either")
    counts |= dict.fromkeys(rest, left)
    for part, count in counts.items():
        if count < 1:
            raise UserError(f"{name}: found {rows} rows, which leave none for dataset.{part}")
    return counts
