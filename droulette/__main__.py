"""`droulette NAME …`: every command by one name."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module

from droulette import __version__, commands
from droulette.errors import UserError, cli, leave

# Name: the module, whose `parser()` and `main(argv)` it is, and what it does.
COMMANDS: dict[str, tuple[str, str]] = {
    "generate": ("droulette.datagen", "make pictures and their amplitudes, from a distribution or a table"),
    "split": ("droulette.split", "split a dataset into training, validation and testing"),
    "train": ("droulette.train", "train a network, as params.toml says"),
    "evaluate": ("droulette.evaluate", "measure a trained network, as params.toml says"),
    "predict": ("droulette.predict", "predict amplitudes of your own pictures, with a trained model"),
    "report": ("droulette.report", "make a page that shows a dataset, a model and its errors"),
    "explore": ("droulette.explore", "a page with sliders: a lens, its picture and its roulette simulation"),
    "metrics": ("droulette.metrics", "print what an evaluation found"),
    "convert": ("droulette.formats.__main__", "convert scenes from and to COOLEST files"),
    "doctor": ("droulette.doctor", "what is installed, what is missing, and what to type next"),
    "completion": ("droulette.completion", "print what makes a shell complete these commands"),
}


def usage() -> str:
    lines = [f"  {name:12}{meaning}" for name, (_, meaning) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: droulette COMMAND [OPTION …]",
            "",
            "Recover roulette amplitudes of gravitational lenses from pictures.",
            "",
            *lines,
            "",
            "droulette COMMAND --help explains a command, with examples. dvc repro runs the whole pipeline.",
        ]
    )


@cli
def main(argv: list[str] | None = None) -> int:
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name in ("-V", "--version"):
        print(f"droulette {__version__}")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        expected = close[0] if close else f"one of {', '.join(COMMANDS)}"
        raise UserError(f"droulette: found {name[:80]!r}, expected {expected}")
    commands.typed = f"droulette {name}"
    return import_module(COMMANDS[name][0]).main(rest)


def run() -> None:
    """What the console script calls."""
    leave(main())


if __name__ == "__main__":
    run()
