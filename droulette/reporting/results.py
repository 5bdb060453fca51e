"""What a report shows, read from the files that the stages wrote."""

from __future__ import annotations

import hashlib
import json
import platform
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from droulette import __version__, files
from droulette.errors import UserError
from droulette.learning import model_file
from droulette.learning.model_file import Model
from droulette.pipeline.evaluated import EvaluatedSplit, picture_differences, rows_of, with_targets
from droulette.pipeline.noise_metrics import NoiseTables, residuals_of
from droulette.pipeline.pictures import is_observed, read_pictures
from droulette.pipeline.resimulate import resimulate
from droulette.pipeline.scenes import einstein_radii
from droulette.pipeline.targets import read_targets

if TYPE_CHECKING:
    from droulette.parameters.simulation import Simulator

PACKAGES = ("torch", "torchvision", "numpy", "numba", "scikit-learn", "pandas", "dvc", "dvclive", "plotly")


@dataclass(frozen=True)
class Files:
    """Where the stages wrote. metrics: the folder of evaluate.json, train/, plots/ and predictions/."""

    parameters: str | Path
    pictures: str | Path
    testing: str | Path
    roulette: str | Path
    lenses: str | Path
    model: str | Path
    metrics: Path
    predictions: str = "testing.csv"


@dataclass(frozen=True)
class Results:
    """A trained and evaluated model.

    split: the testing split of n rows, of which the first k have pictures and resimulations. roulette, lenses: its rows
    of those tables. radii: (n,) Einstein radii, px. differences: (k,) of the resimulation of the predictions from that
    of the true amplitudes, mean |grey level| / 255. curves: step and value of each logged number. measured: what
    evaluate.json holds; columns, orders, bands, families, fits: what metrics/plots holds.

    Of pictures with noise: noise: the tables of metrics/plots. residuals: (k, N, N), what the simulation of the
    predictions leaves of the pictures, in standard deviations of their noise.
    """

    parameters: dict
    model: Model
    split: EvaluatedSplit
    roulette: pd.DataFrame
    lenses: pd.DataFrame
    radii: np.ndarray
    differences: np.ndarray
    curves: dict[str, pd.DataFrame]
    measured: dict
    columns: pd.DataFrame
    orders: pd.DataFrame
    bands: pd.DataFrame | None
    hashes: dict[str, str]
    families: pd.DataFrame | None = None
    fits: pd.DataFrame | None = None
    noise: NoiseTables | None = None
    residuals: np.ndarray | None = None


def read(where: Files, pictures: int, simulator: Simulator) -> Results:
    """Read the files, and resimulate the first `pictures` of the test rows.

    simulator: how the pictures were drawn.

    Raises:
        UserError: a file that is missing, or not what the stages write; predictions of other rows.
    """
    model = model_file.load(where.model)
    table = read_targets(where.testing, model.columns)
    names = list(table["filename"])
    path = where.metrics / "predictions" / where.predictions
    spreads = [f"std:{column}" for column in model.columns]
    found = read_targets(path, [*model.columns, *spreads])
    if list(found["filename"]) != names:
        raise UserError(f"{path}: the rows differ from those of {where.testing}; run `dvc repro evaluate`")
    roulette = rows_of(names, files.read_csv(where.roulette, ["filename"]), where.roulette)
    lenses = rows_of(names, files.read_csv(where.lenses, ["filename"]), where.lenses)

    shown = read_pictures(where.pictures, names[:pictures], table=where.testing, size=model.input_size)
    true, predicted = table[list(model.columns)].to_numpy(), found[list(model.columns)].to_numpy()
    deviation, no_features = found[spreads].to_numpy(), np.empty((len(table), 0))
    split = EvaluatedSplit(table, true, predicted, deviation, no_features, np.asarray(shown))
    rows = roulette.iloc[:pictures]
    for kind, values in (("true", true), ("predicted", predicted)):
        replaced = with_targets(rows, model.columns, values[:pictures])
        split.resimulated[kind] = resimulate(
            replaced,
            model.input_size,
            sampling=simulator.sampling,
            supersampling=simulator.supersampling,
            canvas=simulator.imagesize,
            name=str(where.roulette),
        )

    plots = where.metrics / "plots"
    measured = read_json(where.metrics / "evaluate.json")
    fitted = "fit" in measured.get("testing", {})
    noise, residuals = None, None
    if "psf" in roulette and is_observed(where.pictures, names[0], where.testing):
        noise = read_noise(plots)
        ratio = noise.pictures.get("signal_to_noise")
        split.signal_to_noise = None if ratio is None else ratio.dropna().to_numpy(np.float64)
        residuals = residuals_of(
            split,
            np.arange(len(shown)),
            model.columns,
            roulette,
            where.pictures,
            kinds=("predicted",),
            sampling=simulator.sampling,
            supersampling=simulator.supersampling,
            canvas=simulator.imagesize,
            name=str(where.roulette),
        )["predicted"]
    return Results(
        parameters=tomllib.loads(Path(where.parameters).read_text()),
        model=model,
        split=split,
        roulette=roulette,
        lenses=lenses,
        radii=einstein_radii(lenses, str(where.lenses)),
        differences=picture_differences(split)["predicted_true"],
        curves=read_curves(where.metrics / "train" / "plots" / "metrics"),
        measured=measured,
        columns=files.read_csv(plots / "columns.csv", ["part", "column", "r2", "r2_quantile"]),
        orders=files.read_csv(plots / "orders.csv", ["part", "order", "r2_quantile"]),
        bands=_table_if_there(plots / "bands.csv", ["part", "band"]),
        hashes={str(name): md5(name) for name in (where.model, where.lenses, where.roulette, where.testing, path)},
        families=_table_if_there(plots / "families.csv", ["part", "lens", "rows"]),
        fits=files.read_csv(plots / "fit.csv", ["by", "name", "rows", "efficiency"]) if fitted else None,
        noise=noise,
        residuals=residuals,
    )


def _table_if_there(path: Path, columns: list[str]) -> pd.DataFrame | None:
    return files.read_csv(path, columns) if path.is_file() else None


def read_noise(plots: Path) -> NoiseTables:
    """The tables of the noise and the point spread function in metrics/plots. Raises UserError."""
    pictures = files.read_csv(plots / "instrument.csv", ["filename", "noise", "psf_fwhm", "pixel_scale"])
    bands = _table_if_there(plots / "noise.csv", ["part", "band", "from", "to", "r2_quantile"])
    grid = _table_if_there(plots / "noise_psf.csv", ["part", "noise_from", "psf_from", "r2_quantile", "rows"])
    return NoiseTables(pictures, bands, grid)


def read_curves(folder: Path) -> dict[str, pd.DataFrame]:
    """DVCLive's logged numbers by name, such as validation/r2: columns step and value."""
    curves = {}
    for path in sorted(folder.rglob("*.tsv")):
        table = pd.read_csv(path, sep="\t")
        curves[path.relative_to(folder).with_suffix("").as_posix()] = table.set_axis(["step", "value"], axis="columns")
    return curves


def read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; `dvc repro` writes it") from error
    except ValueError as error:
        raise UserError(f"{path}: not the JSON of an evaluation: {error}") from error


def md5(path: str | Path) -> str:
    """A file's content hash, the one that dvc.lock names it by."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """What the report was made with."""
    about = {"droulette": __version__, "Python": platform.python_version()}
    return about | {package: version(package) for package in packages}
