"""From TOML text to frozen, checked tables; and from what is wrong in it to one line.

A table is a pydantic model, a key is a field, and a field says all there is to know about its key: default,
range, unit, meaning and other spellings. The error lines and `docs/toml.md` are both made from that.
"""

from __future__ import annotations

import datetime
import difflib
import math
import re
import tomllib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from droulette.errors import UserError

MAX_BYTES = 1 << 20  # a parameter file has a few kB; more is another file given by mistake
MAX_DOTS = 100  # of a key: tomllib's time grows with their square


# ---------------------------------------------------------------- values


@dataclass(frozen=True)
class Distribution:
    """A number, drawn: uniform on [low, high], or one of `choices`, or truncated exponential with `rate`.

    `rate` λ > 0 draws x in [0, 1] with density λ e^{-λx} / (1 - e^{-λ}) and returns low + (high - low) x.
    `whole` draws whole numbers, both ends included.
    """

    low: float
    high: float
    choices: tuple[float, ...] = ()
    rate: float = 0.0
    whole: bool = False

    @property
    def fixed(self) -> bool:
        return self.low == self.high

    def __str__(self) -> str:
        if self.choices:
            return f"[{', '.join(f'{choice:g}' for choice in self.choices)}]"
        return f"{self.low:g}" if self.fixed else f"{self.low:g} to {self.high:g}"


def mismatch(found: str, expected: str, key: str = "", suffix: str = "") -> PydanticCustomError:
    """The error of a key: of the field being checked, its `-min` or `-max` (`suffix`), or another (`key`)."""
    context = {"found": found, "expected": expected, "key": key, "suffix": suffix}
    return PydanticCustomError("mismatch", "{found}, {expected}", context)


def conflict(says: str, key: str = "") -> PydanticCustomError:
    """The error of keys that do not go together, or of one that is missing: what is wrong, and what to do."""
    return PydanticCustomError("mismatch", "{says}", {"says": says, "key": key})


def number(value: Any) -> float:
    """A finite number as TOML has them; `true` is none. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    try:
        value = float(value)
    except OverflowError:
        raise ValueError from None
    if not math.isfinite(value):
        raise ValueError
    return value


# ---------------------------------------------------------------- kinds of key


class Kind:
    """What may stand behind a key. `parse` raises ValueError for what is not as `expected` says."""

    type: str
    expected: str
    suffixes: tuple[str, ...] = ("",)

    def parse(self, value: Any) -> Any:
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)


@dataclass(frozen=True)
class Given:
    """The values that the file gives for one drawn number, by suffix, and the default of the rest."""

    values: Mapping[str, Any]
    default: Distribution | None


class Drawn(Kind):
    """A number `k`; or `k-min` and `k-max`, uniform; or a list, of which one is drawn."""

    def __init__(self, gt=None, ge=None, le=None, whole: bool = False, rate: bool = False):
        self.gt, self.ge, self.le, self.whole = gt, ge, le, whole
        self.type = "sampled whole number" if whole else "sampled number"
        self.expected = interval("a whole number" if whole else "a number", gt, ge, None, le)
        self.suffixes = ("", "-min", "-max", "-lambda") if rate else ("", "-min", "-max")

    def parse(self, given: Given) -> Distribution:
        values, default = given.values, given.default
        if default is None:
            default = self._without_default(values)
        rate = self._rate(values["-lambda"]) if "-lambda" in values else default.rate
        if "" in values:
            value = values[""]
            if value == []:
                raise mismatch(found(value), self.expected)
            choices = tuple(self._number(x, "") for x in (value if isinstance(value, list) else [value]))
            several = choices if len(set(choices)) > 1 else ()
            return Distribution(min(choices), max(choices), several, rate, self.whole)
        low, high = (
            self._number(values[suffix], suffix) if suffix in values else end
            for suffix, end in (("-min", default.low), ("-max", default.high))
        )
        if low > high:
            if "-min" in values:
                default = "" if "-max" in values else "default "
                expected = f"at most {high:g}, the {default}maximum"
                raise mismatch(found(values["-min"]), expected, suffix="-min")
            raise mismatch(found(values["-max"]), f"at least {low:g}, the default minimum", suffix="-max")
        return Distribution(low, high, rate=rate, whole=self.whole)

    def _without_default(self, values: Mapping[str, Any]) -> Distribution:
        """A stand-in. Raises `mismatch` unless the values are whole by themselves."""
        for given, missing in (("-min", "-max"), ("-max", "-min")):
            if given in values and missing not in values:
                raise mismatch(f"{given} alone", "-min and -max, or one number", suffix=given)
        return Distribution(0.0, 0.0)

    def _number(self, value: Any, suffix: str) -> float:
        try:
            x = number(value)
            inside = (
                (self.gt is None or x > self.gt)
                and (self.ge is None or x >= self.ge)
                and (self.le is None or x <= self.le)
            )
            if inside and (not self.whole or isinstance(value, int)):
                return x
        except ValueError:
            pass
        raise mismatch(found(value), self.expected, suffix=suffix)

    def _rate(self, value: Any) -> float:
        expected = interval("a number", None, 0, None, 1000)
        try:
            if 0 <= number(value) <= 1000:
                return number(value)
        except ValueError:
            pass
        raise mismatch(found(value), expected, suffix="-lambda")


class Names(Kind):
    """A name or a list of names, of which one is drawn; `known` maps each spelling to the canonical name.

    `known` may be a function that returns the mapping: it is asked at each use.
    `other` takes a string that is not known, and returns it or raises ValueError.
    """

    type = "string or list of strings"

    def __init__(
        self,
        known: Mapping[str, str] | Callable[[], Mapping[str, str]],
        other: Callable[[str], str] | None = None,
        more: str = "",
    ):
        self._known, self.other, self.more = known, other, more

    @property
    def known(self) -> Mapping[str, str]:
        return self._known() if callable(self._known) else self._known

    @property
    def expected(self) -> str:
        return "one or a list of " + ", ".join(self.known) + self.more

    def parse(self, value: Any) -> tuple[str, ...]:
        names = value if isinstance(value, list | tuple) else [value]
        if not names:
            raise ValueError
        return tuple(self._name(name) for name in names)

    def _name(self, name: Any) -> str:
        if isinstance(name, str):
            if name in self.known:
                return self.known[name]
            if self.other:
                try:
                    return self.other(name)
                except ValueError:
                    pass
        raise mismatch(found(name), self.expected)


class Checked(Kind):
    """Any other kind: a function that returns the value or raises ValueError, and words for it."""

    def __init__(self, parse: Callable[[Any], Any], type: str, expected: str):
        self.parse, self.type, self.expected = parse, type, expected


def key(default: Any, description: str, unit: str = "", also: Sequence[str] = (), **constraints: Any) -> Any:
    """A field with its entry in the reference; `also`: other spellings; `constraints`: ge, gt, le, alias."""
    extra = {"unit": unit, "also": list(also)}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def _file_name(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError
    return value


_FILE_NAME = Checked(_file_name, "string", "a file name")
FileName = Annotated[str, _FILE_NAME]
OptionalFileName = Annotated[str | None, _FILE_NAME]


# ---------------------------------------------------------------- tables


class Table(BaseModel):
    """A TOML table: frozen, no unknown keys, no conversions (`"3"` and `true` are no numbers)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        alias_generator=lambda name: name.replace("_", "-"),
    )

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: Any) -> Any:
        """Bring every key to its first spelling, and `k`, `k-min`, `k-max` together."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for alias, field in keys(cls):
            kind = kind_of(field)
            suffixes = kind.suffixes if kind else ("",)
            used = [s for s in spellings(alias, field) if any(s + suffix in data for suffix in suffixes)]
            if len(used) > 1:
                raise conflict(f"another spelling of {used[0]}, which is given too; remove one of them", used[1])
            if not used:
                continue
            values = {suffix: data.pop(used[0] + suffix) for suffix in suffixes if used[0] + suffix in data}
            for suffix in ("-min", "-max"):
                if "" in values and suffix in values:
                    raise conflict(f"cannot be combined with {used[0]}; remove one of them", used[0] + suffix)
            data[alias] = Given(values, field.default) if isinstance(kind, Drawn) else values[""]
        return data


def as_toml(table: Table) -> dict[str, Any]:
    """The keys that a checked table was given, as a TOML file would give them to the same effect."""
    found: dict[str, Any] = {}
    for name in sorted(table.model_fields_set):
        field, value = type(table).model_fields[name], getattr(table, name)
        alias = field.alias
        if isinstance(value, Table):
            found[alias] = as_toml(value)
        elif isinstance(value, Distribution):
            found |= {alias + suffix: given for suffix, given in _keys_of(value, kind_of(field)).items()}
        elif value is not None:
            found[alias] = list(value) if isinstance(value, tuple) else value
    return found


def _keys_of(value: Distribution, kind: Kind) -> dict[str, Any]:
    """The values of a drawn number by their suffixes."""
    type_ = int if value.whole else float
    rate = {"-lambda": value.rate} if "-lambda" in kind.suffixes else {}
    if value.choices:
        return {"": [type_(choice) for choice in value.choices]} | rate
    ends = {"": type_(value.low)} if value.fixed else {"-min": type_(value.low), "-max": type_(value.high)}
    return ends | rate


def keys(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Keys of a table in their TOML spelling."""
    for field in model.model_fields.values():
        yield field.alias, field


def spellings(alias: str, field: FieldInfo) -> list[str]:
    return [alias, *(field.json_schema_extra or {}).get("also", [])]


def kind_of(field: FieldInfo) -> Kind | None:
    return next((item for item in field.metadata if isinstance(item, Kind)), None)


def table_of(field: FieldInfo | None) -> type[Table] | None:
    """The model of a key that is a table."""
    if field is None:
        return None
    options = get_args(field.annotation) or (field.annotation,)
    return next((t for t in options if isinstance(t, type) and issubclass(t, Table)), None)


def field_of(model: type[BaseModel] | None, name: str) -> FieldInfo | None:
    """The field that a TOML key belongs to, in whichever spelling, `-min` and `-max` included."""
    for alias, field in keys(model) if model else ():
        if name in all_spellings(alias, field):
            return field
    return None


def all_spellings(alias: str, field: FieldInfo) -> list[str]:
    kind = kind_of(field)
    return [s + suffix for s in spellings(alias, field) for suffix in (kind.suffixes if kind else ("",))]


# ---------------------------------------------------------------- words


def interval(noun: str, gt=None, ge=None, lt=None, le=None) -> str:
    low, high = (gt if ge is None else ge), (lt if le is None else le)
    if low is None and high is None:
        return noun
    if high is None:
        return f"{noun} above {low}" if ge is None else f"{noun} of at least {low}"
    left = "(-inf" if low is None else f"({low:_}" if ge is None else f"[{low:_}"
    right = f"{high:_})" if le is None else f"{high:_}]"
    return f"{noun} in {left}, {right}"


def words(field: FieldInfo) -> tuple[str, str]:
    """The type of a key, and what is expected of its value."""
    if kind := kind_of(field):
        return kind.type, kind.expected
    if table_of(field):
        return "table", "a table"
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(t for t in get_args(annotation) if t is not type(None))
    if get_origin(annotation) is Literal:
        return "string", "one of " + ", ".join(get_args(annotation))
    noun, type_ = {bool: ("true or false", "boolean"), int: ("a whole number", "whole number")}.get(
        annotation, ("a number", "number") if annotation is float else ("a string", "string")
    )
    limits = {}
    for item in field.metadata:
        for name, constraint in vars(annotated_types).items():
            if name in ("Gt", "Ge", "Lt", "Le") and isinstance(item, constraint):
                limits[name.lower()] = getattr(item, name.lower())
    return type_, interval(noun, **limits)


def found(value: Any) -> str:
    """A short, printable form of a value from TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        shown = ", ".join("[…]" if isinstance(x, list) else found(x) for x in value[:4])
        return f"[{shown}{', …' if len(value) > 4 else ''}]"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…'"


def readable(name: str) -> str:
    text = name if name.isprintable() and name else repr(name)
    return text if len(text) <= 100 else text[:99] + "…"


def nearest(name: str, known: Sequence[str]) -> str:
    """What was expected in the place of an unknown key: the nearest known one, or all."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return close[0] if close else "one of " + ", ".join(known)


# ---------------------------------------------------------------- reading


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        UserError: no such file, larger than 1 MiB, not UTF-8, not TOML (with the line).
    """
    path = Path(path)
    try:
        if not path.exists():
            raise UserError(f"{path}: no such file")
        if not path.is_file():
            raise UserError(f"{path}: found no regular file, expected a TOML file")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UserError(f"{readable(str(path))}: cannot be read: {error}") from error
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: found more than 1 MiB, expected a TOML file of a few kB")
    if max(part.count(b".") for part in re.split(rb"[\n=,{\[]", data)) > MAX_DOTS:
        raise UserError(f"{path}: found a key of more than {MAX_DOTS} parts, expected one or two")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise UserError(f"{path}: line {line}: found byte 0x{byte:02x}, expected UTF-8 text") from error
    except ValueError as error:  # TOMLDecodeError, and an integer too long to convert
        raise UserError(f"{path}: not TOML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UserError(f"{path}: not TOML: nested too deeply") from error


def translate(
    tables: dict[str, Any], source: str, moved: Mapping[str, str], neutral: Mapping[str, tuple[Any, str]]
) -> dict[str, Any]:
    """Older tools' keys: rename the `moved`, drop the `neutral` where they ask for what is done anyway.

    Raises:
        UserError: a neutral key asks for something else.
    """
    tables = {name: dict(table) if isinstance(table, dict) else table for name, table in tables.items()}
    for old, new in moved.items():
        table, name = _holder(tables, old)
        if name in table:
            target, target_name = new.split(".")
            place = tables.setdefault(target, {})
            if not isinstance(place, dict):
                continue  # validation says what is wrong with it
            if target_name in place:
                raise UserError(f"{source}: {old}: another spelling of {new}, which is given too; remove one of them")
            place[target_name] = table.pop(name)
    for dotted, (value, why) in neutral.items():
        table, name = _holder(tables, dotted)
        if name in table:
            given = table.pop(name)
            if value is None or given is not value:
                expected = why if value is None else f"{found(value)}: {why}"
                raise UserError(f"{source}: {dotted}: found {found(given)}, expected {expected}")
    emptied = {dotted.split(".")[0] for dotted in (*moved, *neutral)}
    return {name: table for name, table in tables.items() if table != {} or name not in emptied}


def _holder(tables: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    """The dictionary that holds a dotted key of one or two parts, and its name there."""
    *above, name = dotted.split(".")
    table = tables.get(above[0], {}) if above else tables
    return (table if isinstance(table, dict) else {}), name


def merge(model: type[Table] | None, over: dict[str, Any], under: dict[str, Any]) -> dict[str, Any]:
    """Lay one set of tables over another; a key given above hides its other spellings below."""
    hidden = set()
    for name in over:
        if field := field_of(model, name):
            bare, every = spellings(field.alias, field), all_spellings(field.alias, field)
            hidden |= set(every if name in bare else bare) - {name}
    merged = {name: value for name, value in under.items() if name not in hidden}
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(value, dict) and isinstance(below, dict):
            value = merge(table_of(field_of(model, name)), value, below)
        merged[name] = value
    return merged


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Tables from dotted keys; a value of None is left out."""
    tables: dict[str, Any] = {}
    for name, value in dotted.items():
        if value is not None:
            *above, last = name.split(".")
            table = tables
            for part in above:
                table = table.setdefault(part, {})
            table[last] = value
    return tables


Model = TypeVar("Model", bound=Table)


def build(model: type[Model], layers: Layers) -> Model:
    """Check the layers of tables, the topmost first, and make them one model.

    Raises:
        UserError: the first thing that is wrong, with the name of the layer that says so.
    """
    tables: dict[str, Any] = {}
    for _, layer in layers:
        tables = merge(model, tables, layer)
    try:
        return model.model_validate(tables)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise UserError(_line(model, layers, tables, detail)) from error


Layers = Sequence[tuple[str, dict[str, Any]]]


def _line(model: type[Table], layers: Layers, tables: dict, detail: Mapping[str, Any]) -> str:
    context = detail.get("ctx", {}) if detail["type"] == "mismatch" else {}
    loc = [*detail["loc"], *(context["key"].split(".") if context.get("key") else ())]
    suffix = context.get("suffix", "")
    owner: type[Table] | None = model
    field, path, given = None, [], tables
    for part in map(str, loc):
        field = field_of(owner, part)
        if field is None:
            return _unknown(owner, layers, path, part, given)
        # Name the key in the spelling that the file uses.
        options = [s + suffix for s in spellings(field.alias, field)]
        typed = next((s for s in (part, *options) if isinstance(given, dict) and s in given), part)
        path.append(typed)
        given = given.get(typed) if isinstance(given, dict) else None
        owner = table_of(field)
        if owner is None:
            break
    dotted = ".".join(map(readable, path))
    if "says" in context:
        return f"{_source(layers, path)}: {dotted}: {context['says']}"
    expected = context.get("expected") or (words(field)[1] if field else "tables")
    if detail["type"] == "missing":
        return f"{_source(layers, path)}: {dotted}: missing, expected {expected}"
    what = context.get("found") or found(detail["input"])
    return f"{_source(layers, path)}: {dotted + ': ' if path else ''}found {what}, expected {expected}"


def _unknown(owner: type[Table] | None, layers: Layers, path: list[str], name: str, given: Any) -> str:
    known = [s for alias, field in keys(owner) for s in all_spellings(alias, field)] if owner else []
    what = "table" if isinstance(given, dict) and isinstance(given.get(name), dict) else "key"
    where = "".join(f"{readable(part)}." for part in path)
    expected = nearest(name, known)
    if not expected.startswith("one of "):
        expected = where + expected
    source = _source(layers, [*path, name])
    return f"{source}: {where}{readable(name)}: found an unknown {what}, expected {expected}"


def _source(layers: Layers, path: Sequence[str]) -> str:
    """The topmost layer that has a path, else the file that has most of it."""

    def depth(layer: tuple[str, dict]) -> int:
        count, tables = 0, layer[1]
        for part in path:
            if not isinstance(tables, dict) or part not in tables:
                break
            tables, count = tables[part], count + 1
        return count

    whole = next((layer for layer in layers if depth(layer) == len(path)), None) if path else None
    return (whole or max(layers[1:] or layers, key=depth))[0]
