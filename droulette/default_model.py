"""The model that predicts where nobody names one: the pipeline's own, or else the one that the repository brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from droulette.errors import UserError

PIPELINE = "models/model.safetensors"
BOX = "models/telescope.safetensors"
REPOSITORY = Path(__file__).parents[1]


def default_model(say: Callable[[str], None] = lambda line: None) -> Path:
    """The first that is there. say: told which it is.

    Raises:
        UserError: none is there; the command that brings one.
    """
    for path, whose in (
        (Path(PIPELINE), "the pipeline's"),
        (Path(BOX), "the repository's, docs/box.md"),
        (REPOSITORY / BOX, "the repository's, docs/box.md"),
    ):
        if path.is_file():
            say(f"model: {path}, {whose}")
            return path
    raise UserError(f"--model: found neither {PIPELINE} nor {BOX}, expected one: type `dvc pull {BOX}`")
