"""Modules of the user's that a TOML file names: they define lens and source models, and are run when it is read."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from droulette.errors import UserError
from droulette.parameters.reading import Checked, Table, key

_run: dict[Path, bytes] = {}  # each module with the text that was run


def _paths(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name.endswith(".py") for name in value):
        raise ValueError
    for name in value:
        try:
            inside = Path(name).resolve().is_relative_to(Path().resolve())
        except (OSError, RuntimeError) as error:  # a name too long, links in a circle
            raise ValueError from error
        if Path(name).is_absolute() or not inside:
            raise ValueError
    return tuple(value)


class Extensions(Table):
    """Code of yours."""

    modules: Annotated[
        tuple[str, ...], Checked(_paths, "list of strings", "a list of .py files below the working folder")
    ] = key((), "files that define lens and source models, with `droulette.physics.own`; they are run")


def run_modules(modules: tuple[str, ...]) -> None:
    """Run each module, unless the same text was run before.

    Raises:
        UserError: there is no such file, or it raises an exception; with the line.
    """
    for name in modules:
        path = Path(name).resolve()
        try:
            text = path.read_bytes()
        except OSError as error:
            raise UserError(f"{name}: cannot be read: {error.strerror or error}") from error
        if _run.get(path) == text:
            continue
        module = ModuleType(f"droulette extension {path}")
        module.__file__ = str(path)
        sys.modules[module.__name__] = module  # dataclasses look there for the names in annotations
        try:
            exec(compile(text, name, "exec"), module.__dict__)
        except (Exception, SystemExit) as error:  # a module that ends the process would leave no word
            raise UserError(f"{name}:{_line(error, name)} {type(error).__name__}: {error}") from error
        _run[path] = text


def _line(error: BaseException, name: str) -> str:
    """Where in the module the error arose."""
    if isinstance(error, SyntaxError):
        return f" line {error.lineno}:"
    lines, trace = [], error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == name:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f" line {lines[-1]}:" if lines else ""
