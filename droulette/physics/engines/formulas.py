"""From a formula to source code that compilers take.

A formula is any code on numbers: a lens's deflection, a source's brightness, … It is run once on `Symbol`s, which
record its operations one by one, in order. Written down again as straight-line code, they compute the same bits: in
loops over 256 pixels, for Numba (`loops.py`), and in C++ for one pixel, for CUDA's compiler (`cuda.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH = 256  # pixels of a loop
X, Y, DX, DY, HIT, LEVEL, STRETCH, TOTAL, SCRATCH = range(9)  # rows of the work buffer, (n, WIDTH)
LONGEST = 30  # operations of a loop: a Sérsic profile in one long loop takes twice the time


class NotAFormula(Exception):
    """Code that does more than to compute with its numbers."""


@dataclass(frozen=True)
class Formula:
    """loops: source code of `formula(constants, work)`. cpp: of the body of a C++ function of one pixel, which has
    `constants`, and a number for each row in `work`.

    places: which of the numbers that it was given are its constants. tables: which of the tables it looks up; their
    addresses are further constants, the bits of an int64 in a float64. rows: of the work buffer.
    """

    loops: str
    cpp: str
    places: tuple[int, ...]
    tables: tuple[int, ...]
    rows: int


class Symbol:
    """A number of a formula: its kind is float, int (the bits of a float) or bool."""

    __array_ufunc__ = None  # NumPy leaves `number * symbol` to us
    dtype = "float64"

    def __init__(self, code: Recorder, name: str, kind: type, varies: bool) -> None:
        self.code, self.name, self.kind, self.varies = code, name, kind, varies

    def __array_namespace__(self) -> type[Functions]:
        return Functions

    def view(self, kind: str) -> Symbol:
        return self.code.add(f"to_{kind}({{}})", {"int64": int, "float64": float}[kind], self)

    def __pow__(self, power: int) -> Symbol:
        if not isinstance(power, int) or power < 1:
            raise TypeError(f"a formula has whole powers of at least 1, not {power!r}")
        result = self
        for _ in range(power - 1):
            result = result * self
        return result

    def __invert__(self) -> Symbol:
        return self.code.add("not {}", bool, self)

    def __neg__(self) -> Symbol:
        return self.code.add("-{}", float, self)

    def __abs__(self) -> Symbol:
        return self.code.add("abs({})", float, self)

    def __bool__(self) -> bool:
        raise TypeError("a formula cannot branch on a number; use `where`")


class SymbolTable:
    """In place of a `Table` where a formula is recorded."""

    def __init__(self, name: Symbol) -> None:
        self.name = name

    def at(self, place: Symbol) -> Symbol:
        return place.code.add("look({}, {})", float, self.name, place)


def _binary(sign: str, of: type | None, reflected: bool = False) -> Callable[[Symbol, object], Symbol]:
    def apply(self: Symbol, other: object) -> Symbol:
        if not isinstance(other, Symbol | int | float):
            return NotImplemented
        pair = (other, self) if reflected else (self, other)
        return self.code.add(f"{{}} {sign} {{}}", of or self.kind, *pair)

    return apply


for _name, _sign, _kind in (
    *(("add", "+", None), ("sub", "-", None), ("mul", "*", None), ("truediv", "/", None)),
    *(("lshift", "<<", None), ("rshift", ">>", None), ("and", "&", None), ("or", "|", None), ("xor", "^", None)),
    *(("lt", "<", bool), ("le", "<=", bool), ("gt", ">", bool), ("ge", ">=", bool), ("eq", "==", bool)),
):
    setattr(Symbol, f"__{_name}__", _binary(_sign, _kind))
    if _kind is None:
        setattr(Symbol, f"__r{_name}__", _binary(_sign, _kind, reflected=True))


class Functions:
    """The functions that formulas take from their namespace, for `Symbol`s."""

    int64, float64 = "int64", "float64"

    @staticmethod
    def astype(x: Symbol, kind: str) -> Symbol:
        raise TypeError("a formula with whole numbers; numbers of a table are looked up by `Table.at`")

    @staticmethod
    def sqrt(x: Symbol) -> Symbol:
        return x.code.add("sqrt({})", float, x)

    @staticmethod
    def floor(x: Symbol) -> Symbol:
        return x.code.add("np.floor({})", float, x)

    @staticmethod
    def where(condition: Symbol, a: Symbol | float, b: Symbol | float) -> Symbol:
        return condition.code.add("{1} if {0} else {2}", float, condition, a, b)


# Operations as Numba takes them, and as C++ has them where that is another way.
IN_CPP = {
    "np.floor({})": "floor({})",
    "abs({})": "fabs({})",
    "{1} if {0} else {2}": "{0} ? {1} : {2}",
    "not {}": "!{}",
    "look({}, {})": "reinterpret_cast<const double*>(to_int64({}))[static_cast<int>({})]",
}
CPP_KINDS = {float: "double", int: "long long", bool: "bool"}
WRAPS = ("{} + {}", "{} - {}", "{} * {}", "{} << {}")  # beyond 63 bits, which C++ has of numbers without a sign alone


@dataclass(frozen=True)
class _Line:
    result: Symbol
    form: str
    numbers: tuple[Symbol | float, ...]

    @property
    def takes(self) -> list[Symbol]:
        return [number for number in self.numbers if isinstance(number, Symbol)]

    def text(self) -> str:
        return f"{self.result.name} = {self.form.format(*map(_text, self.numbers))}"

    def cpp(self) -> str:
        value = IN_CPP.get(self.form, self.form)
        if self.result.kind is int and self.form in WRAPS:
            value = "static_cast<long long>(" + value.replace("{}", "static_cast<unsigned long long>({})") + ")"
        return f"const {CPP_KINDS[self.result.kind]} {self.result.name} = {value.format(*map(_cpp, self.numbers))};"


class Recorder:
    """The operations of one formula; the same operation on the same numbers is recorded once."""

    def __init__(self) -> None:
        self.lines: list[_Line] = []
        self.known: dict[tuple, Symbol] = {}

    def input(self, name: str, varies: bool) -> Symbol:
        return Symbol(self, name, float, varies)

    def add(self, form: str, kind: type, *numbers: Symbol | float) -> Symbol:
        key = (form, *map(_text, numbers))
        if key not in self.known:
            varies = any(isinstance(number, Symbol) and number.varies for number in numbers)
            self.known[key] = Symbol(self, f"t{len(self.lines)}", kind, varies)
            self.lines.append(_Line(self.known[key], form, numbers))
        return self.known[key]


def _text(number: Symbol | float) -> str:
    if isinstance(number, Symbol):
        return number.name
    if isinstance(number, float) and not math.isfinite(number):
        return f"math.{number}" if number > 0 else f"(-math.{-number})" if number < 0 else "math.nan"
    text = repr(float(number) if isinstance(number, float) else int(number))
    return f"({text})" if number < 0 else text


def _cpp(number: Symbol | float) -> str:
    """A number as C++ reads it."""
    if isinstance(number, float) and not math.isfinite(number):
        return "NOT_A_NUMBER" if math.isnan(number) else "INFINITE" if number > 0 else "(-INFINITE)"
    return _text(number)


# ---------------------------------------------------------------- source code


def record(
    function: Callable[..., Sequence[Symbol | float]],
    numbers: int,
    inputs: Sequence[int],
    outputs: Sequence[int],
    width: int = WIDTH,
    tables: int = 0,
) -> Formula:
    """The code that reads the rows `inputs` of the work buffer, and puts what the function returns into `outputs`.

    function: takes a list of `numbers` numbers that are the same for all pixels of a picture, and of `tables` tables;
    then the numbers of the input rows.
    """
    code = Recorder()
    constants = [code.input(f"c{k}", varies=False) for k in range(numbers)]
    shared = [code.input(f"table{k}", varies=False) for k in range(tables)]
    pixels = [code.input(f"p{row}", varies=True) for row in inputs]
    try:
        results = function([*constants, *map(SymbolTable, shared)], *pixels)
    except (TypeError, AttributeError, ValueError, IndexError) as error:
        raise NotAFormula(str(error)) from error
    needed = _needed(code.lines, results)
    lines = [line for line in code.lines if line.result.name in needed]
    places = tuple(k for k, constant in enumerate(constants) if constant.name in needed)
    looked_up = tuple(k for k, table in enumerate(shared) if table.name in needed)
    constants, shared = [constants[place] for place in places], [shared[k] for k in looked_up]
    cpp = _in_cpp([*constants, *shared], pixels, lines, outputs, results)
    once = [line for line in lines if not line.result.varies]
    loops = _split([line for line in lines if line.result.varies])
    rows = _Rows(loops, results)
    text = [
        "def formula(constants, work):",
        f"    constants = numbers(constants, 1, {max(1, len(places) + len(looked_up))})",
        f"    work = numbers(work, {rows.count}, {WIDTH})",
        *(f"    {constant.name} = constants[0, {k}]" for k, constant in enumerate([*constants, *shared])),
        *(f"    {line.text()}" for line in once),
    ]
    for number, loop in enumerate(loops):
        text.append(f"    for i in range({width}):")
        text += [f"        p{row} = work[{row}, i]" for row in inputs]
        text += [f"        {name} = {rows.load(name)}" for name in rows.read(number)]
        text += [f"        {line.text()}" for line in loop]
        text += [f"        {rows.store(name)}" for name in rows.written(number)]
    text += [f"        work[{row}, i] = {_text(value)}" for row, value in zip(outputs, results, strict=True)]
    return Formula("\n".join(text) + "\n", cpp, places, looked_up, rows.count)


def _in_cpp(
    constants: list[Symbol], pixels: list[Symbol], lines: list[_Line], outputs: Sequence[int], results: Sequence
) -> str:
    text = [f"const double {constant.name} = constants[{k}];" for k, constant in enumerate(constants)]
    text += [f"const double {pixel.name} = work[{pixel.name[1:]}];" for pixel in pixels]
    text += [line.cpp() for line in lines]
    text += [f"work[{row}] = {_cpp(value)};" for row, value in zip(outputs, results, strict=True)]
    return "".join(f"    {line}\n" for line in text)


def _needed(lines: list[_Line], results: Sequence[Symbol | float]) -> set[str]:
    """Names of what the results are made from."""
    needed = {result.name for result in results if isinstance(result, Symbol)}
    for line in reversed(lines):
        if line.result.name in needed:
            needed |= {taken.name for taken in line.takes}
    return needed


def _split(lines: list[_Line]) -> list[list[_Line]]:
    """Loops of at most LONGEST operations, cut where the fewest numbers have to be kept for the next one."""
    last_use = {taken.name: place for place, line in enumerate(lines) for taken in line.takes}

    def kept_at(cut: int) -> int:
        return sum(last_use.get(line.result.name, -1) >= cut for line in lines[:cut])

    loops, start = [], 0
    while len(lines) - start > LONGEST:
        cut = min(range(start + LONGEST, start + LONGEST // 2, -1), key=kept_at)
        loops.append(lines[start:cut])
        start = cut
    return [*loops, lines[start:]]


class _Rows:
    """The rows of the work buffer in which one loop leaves its results for those that follow."""

    def __init__(self, loops: list[list[_Line]], results: Sequence[Symbol | float]) -> None:
        self.made = {line.result.name: k for k, loop in enumerate(loops) for line in loop}
        self.kinds = {line.result.name: line.result.kind for loop in loops for line in loop}
        self.uses: dict[str, set[int]] = {}
        for number, loop in enumerate(loops):
            for line in loop:
                self._use(number, line.takes)
        self._use(len(loops) - 1, [result for result in results if isinstance(result, Symbol)])
        self.place: dict[str, int] = {}
        free: list[int] = []
        self.count = SCRATCH
        for number in range(len(loops)):
            free += [self.place[name] for name in self.read(number) if max(self.uses[name]) == number]
            for name in self.written(number):
                if not free:
                    free.append(self.count)
                    self.count += 1
                self.place[name] = free.pop()

    def _use(self, number: int, symbols: Sequence[Symbol]) -> None:
        for symbol in symbols:
            if self.made.get(symbol.name, number) < number:
                self.uses.setdefault(symbol.name, set()).add(number)

    def read(self, number: int) -> list[str]:
        return [name for name, uses in self.uses.items() if number in uses]

    def written(self, number: int) -> list[str]:
        return [name for name in self.uses if self.made[name] == number]

    def load(self, name: str) -> str:
        value = f"work[{self.place[name]}, i]"
        return {bool: f"{value} != 0.0", int: f"to_int64({value})", float: value}[self.kinds[name]]

    def store(self, name: str) -> str:
        value = {bool: f"1.0 if {name} else 0.0", int: f"to_float64({name})", float: name}[self.kinds[name]]
        return f"work[{self.place[name]}, i] = {value}"
