"""What another experiment, branch, tag or commit reached, read through DVC."""

from __future__ import annotations

import io
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from droulette.errors import UserError


@dataclass(frozen=True)
class Other:
    """columns: None where neither the cache nor the remote has that table. curves: as `Results` has them."""

    name: str
    parameters: dict
    measured: dict
    columns: pd.DataFrame | None
    curves: dict[str, pd.DataFrame]


def read(name: str, parameters: str, metrics: Path) -> Other:
    """Read an experiment's files. parameters, metrics: the file and the folder, as they are called in the repository.

    Raises:
        UserError: no such experiment, or one without an evaluation.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    try:
        there = DVCFileSystem(rev=name)
        tables = tomllib.loads(there.read_text(parameters))
        measured = json.loads(there.read_text(str(metrics / "evaluate.json")))
        folder = (metrics / "train" / "plots" / "metrics").as_posix()
        logged = sorted(there.find(folder)) if there.exists(folder) else []
        curves = {}
        for path in (path for path in logged if path.endswith(".tsv")):
            table = pd.read_csv(io.StringIO(there.read_text(path)), sep="\t")
            number = path.partition(f"{folder}/")[2].removesuffix(".tsv")
            curves[number] = table.set_axis(["step", "value"], axis="columns")
    except SCMError as error:
        expected = "an experiment of `dvc exp show`, a branch, a tag or a commit"
        raise UserError(f"--compare: found no {name!r}, expected {expected}") from error
    except FileNotFoundError as error:
        raise UserError(f"--compare: {name} has no {metrics / 'evaluate.json'}, expected an evaluated one") from error
    except (DvcException, ValueError) as error:
        raise UserError(f"--compare: {name} cannot be read: {error}") from error
    return Other(name, tables, measured, _columns(there, str(metrics / "plots" / "columns.csv")), curves)


def _columns(there, path: str) -> pd.DataFrame | None:
    from dvc.exceptions import DvcException
    from dvc_data.index.index import DataIndexDirError

    try:
        return pd.read_csv(io.StringIO(there.read_text(path)))
    except (OSError, DvcException, DataIndexDirError):  # of an experiment that was made elsewhere and not pulled
        return None


def flat(tables: dict, prefix: str = "") -> dict[str, object]:
    """Dotted keys and their values."""
    found: dict[str, object] = {}
    for key, value in tables.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def changes(parameters: dict, others: list[Other]) -> list[tuple[str, list]]:
    """The keys whose values differ anywhere, each with its value here and in the others."""
    runs = [flat(parameters), *(flat(other.parameters) for other in others)]
    keys = sorted(set().union(*runs))
    rows = [(key, [run.get(key, "—") for run in runs]) for key in keys]
    return [(key, values) for key, values in rows if any(value != values[0] for value in values)]
