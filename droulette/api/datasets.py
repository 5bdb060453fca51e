"""Datasets and models from the tables of a TOML file, or from the same tables as a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from droulette import files, parameters
from droulette.datagen import load_simulation
from droulette.devices import cores, drawing_device
from droulette.physics.arrays import to_numpy
from droulette.pipeline.dataset import generate_dataset
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, draw_in_memory

if TYPE_CHECKING:
    from droulette.learning.model_file import Model
    from droulette.parameters import Parameters

Tables = str | Path | Mapping[str, Any]


@dataclass(frozen=True)
class Dataset:
    """What `draw` drew.

    lenses: one row a picture, the columns of dataset.csv: lens, source and position.
    amplitudes: one row a picture, the columns of roulette.csv: reference point and amplitudes.
    pictures: (n, N, N) uint8, or float32 in counts/s where an instrument takes them; None where they are in `folder`.
    """

    lenses: pd.DataFrame
    amplitudes: pd.DataFrame
    pictures: np.ndarray | None = None
    folder: Path | None = None


def read(toml: Tables, **simulator: object) -> Parameters:
    """The parameters of a TOML file or of its tables. simulator: keys of [simulator] that replace the file's."""
    given = {f"simulator.{key}": value for key, value in simulator.items()}
    if isinstance(toml, Mapping):
        tables = {name: dict(table) if isinstance(table, Mapping) else table for name, table in toml.items()}
        for key, value in simulator.items():
            if value is not None:
                tables.setdefault("simulator", {})[key] = value
        return parameters.parse(tables)
    return load_simulation(str(toml), given)


def draw(
    toml: Tables,
    size: int | None = None,
    *,
    folder: str | Path | None = None,
    seed: int | None = None,
    device: str = "auto",
) -> Dataset:
    """Draw a dataset from a distribution.

    Args:
        toml: file with the tables [simulator], [lens], [source] …, or these tables as a dictionary.
        size: number of pictures, in place of the file's.
        folder: where dataset.csv, roulette.csv and images/ are written; None: all stays in memory.
        seed: in place of the file's.
        device: that draws: auto, cpu, cuda or cuda:N.

    Raises:
        UserError: what is wrong with the tables.
    """
    params = read(toml, size=size, seed=seed)
    source = "parameters" if isinstance(toml, Mapping) else str(toml)
    if folder is not None:
        folder = Path(folder)
        dataset, roulette = folder / "dataset.csv", folder / "roulette.csv"
        chosen = params.settings.model_copy(update={"device": device})
        params = params.model_copy(update={"settings": chosen})
        generate_dataset(params, source, dataset=dataset, pictures=folder / "images", roulette=roulette)
        return Dataset(files.read_csv(dataset), files.read_csv(roulette), folder=folder)
    lenses = draw_table(params)
    drawing = Drawing.of(params.simulator, params.instrument.depth)
    with ThreadPoolExecutor(cores()) as helpers:
        pictures, _, amplitudes = draw_in_memory(lenses, drawing, source, drawing_device(device), helpers)
    return Dataset(lenses, amplitudes, to_numpy(pictures))


def split_dataset(toml: Tables) -> None:
    """Share a dataset's rows out between training, validation and testing, as [problem] and [dataset] say."""
    from droulette.split import split_by

    params, source = _load(toml)
    split_by(params, source)


def train_model(
    toml: Tables,
    model: str | Path = "models/model.safetensors",
    *,
    log: Callable[[dict[str, float]], None] = lambda metrics: None,
) -> Model:
    """Train a model as [dataset], [settings], [hyperparameters] and [training] say, and write it.

    Args:
        toml: file, or its tables as a dictionary.
        model: the file to write.
        log: called after each epoch with its metrics.
    """
    from droulette.pipeline.training import train

    params, _ = _load(toml)
    return train(params, model, log=log)


def load_model(path: str | Path | None = None, device: str = "auto") -> Model:
    """A trained model, for `predict`. path: None: the pipeline's or else the repository's. device: auto, cpu, cuda or
    cuda:N.

    Raises:
        UserError: no such file, or one that is no model.
    """
    from droulette.default_model import default_model
    from droulette.devices import choose_device
    from droulette.learning import model_file

    return model_file.load(default_model() if path is None else path, choose_device(device))


def _load(toml: Tables) -> tuple[Parameters, str]:
    if isinstance(toml, Mapping):
        return parameters.parse(toml), "parameters"
    return parameters.load(toml), str(toml)
