"""From parameters to a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from droulette.commands import bar, dataset_of

if TYPE_CHECKING:
    from droulette.parameters import Parameters


def train_by(params: Parameters, source: str, model: str | Path, logs: str | Path) -> None:
    """Train as the tables [dataset], [settings], [hyperparameters] and [training] of the file `source` say.

    model: the file to write. logs: the folder for the metrics of each epoch.
    """
    from droulette.pipeline.training import train

    dataset = dataset_of(params, source, "training", "validation")
    with _logger(logs) as log:
        train(
            dataset.training.filename,
            dataset.validation.filename,
            dataset.directory,
            model,
            **_values(params.settings, "model", "weights", "device", "precision", "seed"),
            **_values(params.hyperparameters, "learning_rate", "batch_size", "weight_decay"),
            **_values(params.training, "num_epochs", "patience", "out_parameters", "schedule"),
            **_values(params.training, "loss", "scaling", "augmentation", "symmetries"),
            log=log,
            progress=bar,
        )


def _values(table, *names: str) -> dict:
    return {name: getattr(table, name) for name in names}


@contextmanager
def _logger(folder: str | Path) -> Iterator[Callable[[dict[str, float]], None]]:
    """A function that logs an epoch's metrics with DVCLive, and prints them in one line."""
    try:
        from dvclive import Live
        from scmrepo.exceptions import SCMError
    except ImportError:
        print("dvclive is not installed: training without logs")
        yield _print_epoch
        return
    live, tried = None, False

    def start() -> Live | None:
        nonlocal tried
        if tried:
            return None
        tried = True
        try:
            return Live(str(folder), save_dvc_exp=False, dvcyaml=None)
        except SCMError as error:  # a repository without a commit
            print(f"dvclive: {error}: training without logs")
            return None

    def log(metrics: dict[str, float]) -> None:
        nonlocal live
        _print_epoch(metrics)
        # Not before the first epoch: it empties the folder, and what is wrong with the files is said by then.
        live = live or start()
        if live is None:
            return
        live.step = metrics["epoch"]
        for name, value in metrics.items():
            if name != "epoch":
                live.log_metric(name, value)
        live.make_summary()

    try:
        yield log
    finally:
        if live:
            live.end()


def _print_epoch(metrics: dict[str, float]) -> None:
    from tqdm import tqdm

    tqdm.write(", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
