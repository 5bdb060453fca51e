"""The TOML reference, from the models: `python -m droulette.parameters.reference > docs/toml.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from droulette import parameters
from droulette.parameters import NEUTRAL
from droulette.parameters.reading import Drawn, Table, found, interval, keys, kind_of, spellings, table_of, words
from droulette.parameters.simulation import CONFIGS, MOVED

HEAD = """\
# The TOML tables

<!-- Made by `python -m droulette.parameters.reference > docs/toml.md`; edit droulette/parameters instead. -->

You may leave out every key whose default is not *required*. There are three ways to give a *sampled number* `k`:

* `k`: one value for all rows.
* `k-min` and `k-max`: uniform between the two. If you give only one, the other has its default.
* `k` as a list: each row samples one of the values. The same holds for a list of strings.

An unknown key, a wrong type or a value out of range is an error. It names the nearest key, or what was expected.
"""
LAMBDA = interval("a number", ge=0, le=1000)  # as `Drawn` checks it


def reference() -> str:
    """The reference as Markdown."""
    return "\n".join([HEAD, *_tables(), *_configs(), *_older(), ""])


def _tables() -> Iterator[str]:
    headings: dict[type[Table], list[str]] = {}
    for name, table in _walk(parameters.Parameters, ""):
        headings.setdefault(table, []).append(f"`[{name}]`")
    for table, names in headings.items():
        yield f"\n## {', '.join(names)}\n\n{table.__doc__.strip()}\n"
        yield "| key | type | default | expected | unit | meaning |\n|---|---|---|---|---|---|"
        yield from (_row(name, field) for name, field in keys(table) if table_of(field) is None)


def _walk(model: type[Table], prefix: str) -> Iterator[tuple[str, type[Table]]]:
    for name, field in keys(model):
        if table := table_of(field):
            yield prefix + name, table
            yield from _walk(table, f"{prefix}{name}.")


def _row(name: str, field: FieldInfo) -> str:
    names = ", ".join(f"`{spelling}`" for spelling in spellings(name, field))
    type_, expected = words(field)
    if "-lambda" in getattr(kind_of(field), "suffixes", ()):
        expected += f"; `{name}-lambda`: {LAMBDA}"
    unit = field.json_schema_extra["unit"]
    cells = [names, type_, _default(field), expected, unit, field.description]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    default: Any = field.default
    if default is PydanticUndefined or default is ...:
        return "*required*"
    if default is None:
        return "none"
    if isinstance(kind_of(field), Drawn):
        return str(default)
    if isinstance(default, tuple):
        return ", ".join(f"`{name}`" for name in default) or "`[]`"
    return f"`{found(default)}`".replace("'", '"')


def _configs() -> Iterator[str]:
    yield "\n## The names of `simulator.config`\n"
    yield "| name | `model` | `lens` | sampled |\n|---|---|---|---|"
    for name, (model, lens, sampled) in CONFIGS.items():
        yield f"| `{name}` | {model} | {lens} | {'yes' if sampled else 'no'} |"


def _older() -> Iterator[str]:
    yield "\n## Keys of CosmoSim 3.x and droulette 0.2.1\n"
    yield "Accepted unchanged, like the second spellings above:\n"
    yield "| key | here |\n|---|---|"
    yield from (f"| `{old}` | `{new}` |" for old, new in MOVED.items())
    yield from (f"| `{key} = {found(value)}` | {why} |" for key, (value, why) in NEUTRAL.items() if value is not None)
    yield "\nErrors that say what to do instead:\n"
    yield "| key | instead |\n|---|---|"
    yield from (f"| `{key}` | {why} |" for key, (value, why) in NEUTRAL.items() if value is None)


if __name__ == "__main__":
    print(reference(), end="")
