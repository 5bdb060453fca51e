"""The metrics of a training's epochs: printed, and logged with DVCLive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvclive import Live


@contextmanager
def epoch_log(folder: str | Path) -> Iterator[Callable[[dict[str, float]], None]]:
    """A function that logs an epoch's metrics with DVCLive, and prints them in one line.

    A machine that only trains, a borrowed card's say, may have no DVC: there the metrics are printed alone.
    """
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
