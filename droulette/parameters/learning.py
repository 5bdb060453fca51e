"""Parameters of the learning: which columns are learnt, from which rows, by which model, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from droulette.parameters.reading import Checked, FileName, OptionalFileName, Table, conflict, found, key, mismatch

MAX_NTERMS = 20
MAX_SEED = 2**32 - 1
MAX_COUNT = 1_000_000
PARTS = ("training", "validation", "testing")

_SWEEP = "settings.model alone; a sweep is `dvc exp run --queue -S 'settings.model=…,…'`"
_ARRAY = "single values; a sweep is `dvc exp run --queue -S 'hyperparameters.learning-rate=…,…'`"
# Keys of droulette 0.2.1's batch files.
NEUTRAL: dict[str, tuple[Any, str]] = {
    "settings.models": (None, _SWEEP),
    "hyperparameters.array": (None, _ARRAY),
    "output.dirbase": (None, "output.directory; `dvc exp run` keeps experiments apart"),
}


def _size(value: Any) -> int | float:
    if isinstance(value, float) and 0 < value < 1:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10**9:
        return value
    raise ValueError


def _orders(value: Any) -> tuple[int, int]:
    ends = value if isinstance(value, list) else [0, value]
    if len(ends) != 2 or not all(isinstance(m, int) and not isinstance(m, bool) for m in ends):
        raise ValueError
    if not 0 <= ends[0] <= ends[1] <= MAX_NTERMS:
        raise ValueError
    return ends[0], ends[1]


def _columns(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValueError
    if len(set(value)) < len(value):
        raise ValueError
    return tuple(value)


def _device(value: Any) -> str:
    if isinstance(value, str) and len(value) < 16:
        kind, _, index = value.partition(":")
        if value in ("auto", "cpu", "cuda") or (kind == "cuda" and index.isascii() and index.isdigit()):
            return value
    raise ValueError


_ORDERS = f"a whole number in [0, {MAX_NTERMS}], or [min, max] of such"
Size = Annotated[int | float | None, Checked(_size, "share or count", "a share in (0, 1) or a count of at least 1")]
Orders = Annotated[tuple[int, int] | None, Checked(_orders, "whole number or [min, max]", _ORDERS)]
Columns = Annotated[tuple[str, ...], Checked(_columns, "list of strings", "a list of different column names")]
Device = Annotated[str, Checked(_device, "string", "auto, cpu, cuda, or cuda:0, cuda:1, …")]


class Problem(Table):
    """What the network learns."""

    filename: FileName = key(..., "CSV file of all rows, as `generate` wrote it")
    variables: Columns = key((), "columns to learn, before the amplitudes")
    nterms: Orders = key(
        None, "orders of the amplitudes to learn: up to this, or from min to max; default: no amplitudes"
    )
    seed: int = key(0, "seed of the shuffling", ge=0, le=MAX_SEED)
    shuffle: bool = key(True, "shuffle the rows before they are split; false keeps file order")
    lenses: OptionalFileName = key(None, "CSV file of the lenses, from `generate`; needed by `hold-out`")
    hold_out: Columns = key(
        (),
        "lens models, as in the column `lens`, or galaxies, as in the column `galaxy` (`*` stands for any text); all "
        "their rows become testing rows, and none is trained on",
    )
    dataset: OptionalFileName = key(None, "droulette 0.2.1's key: a TOML file whose keys this file overrides")

    @model_validator(mode="after")
    def _something(self) -> Problem:
        if not self.variables and self.nterms is None:
            raise conflict("variables and nterms are both missing; name at least one column to learn", "variables")
        if self.hold_out and self.lenses is None:
            raise conflict("missing; hold-out needs the CSV file of the lenses", "lenses")
        return self


class SplitFile(Table):
    """A part of the rows: for training, for the decision when to stop, for the final metrics."""

    filename: FileName = key(..., "CSV file of the part")
    size: Size = key(None, "share of the rows, or their number; one part without a size takes the rest")
    predictionfile: OptionalFileName = key(
        None, "CSV file of the predictions, in `output.directory`; left out: named for the part"
    )


class Dataset(Table):
    """The pictures, and the parts into which the rows are split."""

    directory: OptionalFileName = key(None, "folder of the pictures")
    training: SplitFile | None = key(None, "")
    validation: SplitFile | None = key(None, "")
    testing: SplitFile | None = key(None, "")
    roulette: OptionalFileName = key(None, "droulette 0.2.1's folder of resimulations; no effect, none are stored")

    @property
    def parts(self) -> dict[str, SplitFile]:
        """The parts that there are, by name."""
        return {name: part for name in PARTS if (part := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _possible(self) -> Dataset:
        parts = self.parts
        names: dict[str, str] = {}
        for name, part in parts.items():
            if part.filename in names:
                expected = f"another file than {names[part.filename]}'s"
                raise mismatch(found(part.filename), expected, f"{name}.filename")
            names[part.filename] = name
        rest = [name for name, part in parts.items() if part.size is None]
        if len(rest) > 1 and len(rest) < len(parts):
            raise conflict(f"missing; only one part may leave it out, and {rest[0]} does too", f"{rest[-1]}.size")
        shares = {name: part.size for name, part in parts.items() if isinstance(part.size, float)}
        total = sum(shares.values())
        if total > 1 + 1e-9:
            raise mismatch(f"shares that sum to {total:g}", "at most 1", f"{list(shares)[-1]}.size")
        if shares and rest and total > 1 - 1e-9:
            raise conflict("no rows are left for this part; make the shares of the others smaller", f"{rest[0]}.size")
        return self


class Settings(Table):
    """Network and device."""

    device: Device = key(
        "auto", "where the network runs; `auto` is the first CUDA device, or the processor if there is none"
    )
    model: str = key("polar", "`polar`, or the name of a torchvision classification model", min_length=1)
    weights: str = key("", "initial weights: none, `pretrained` for torchvision's own, or a file")
    seed: int = key(0, "seed of initial weights, batches and augmentation", ge=0, le=MAX_SEED)
    precision: Literal["auto", "32-true", "bf16-mixed"] = key(
        "auto", "arithmetic of the network; `auto` is `bf16-mixed` if the device computes in bfloat16"
    )
    problem: OptionalFileName = key(None, "droulette 0.2.1's key: a TOML file whose keys this file overrides")


class Hyperparameters(Table):
    """The optimiser."""

    learning_rate: float = key(1e-3, "learning rate; its maximum with `onecycle`", gt=0, le=1000)
    batch_size: int = key(64, "pictures per step", ge=1, le=MAX_COUNT)
    weight_decay: float = key(1e-4, "weight decay", ge=0, le=1000)


class Training(Table):
    """The training loop."""

    num_epochs: int = key(12, "largest number of epochs", ge=1, le=MAX_COUNT)
    patience: int = key(10, "stop after this many epochs without a better validation loss", ge=1, le=MAX_COUNT)
    out_parameters: int | None = key(None, "number of outputs, checked against the columns", ge=1, le=MAX_COUNT)
    schedule: Literal["constant", "onecycle"] = key("constant", "how the learning rate changes")
    loss: Literal["mse", "huber"] = key("mse", "loss on the scaled targets")
    scaling: Literal["radial", "quantile", "standard"] = key(
        "radial",
        "`quantile` maps each target to a normal distribution by its quantiles; `radial` does the same, but maps "
        "vectors by the quantiles of their length; `standard` uses mean and deviation",
    )
    fresh_pictures: bool = key(
        False,
        "render new training pictures when they are needed, from rows after the dataset's last; an epoch has as many "
        "as the training file",
    )
    half_weights: bool = key(False, "round the trained weights to 16 bits: a file of half the size")
    augmentation: bool = key(True, "turn and mirror pictures and amplitudes: exact symmetries of the scene")
    symmetries: int = key(4, "predictions are means over this many turned and mirrored pictures", ge=1, le=256)


class Evaluation(Table):
    """The final evaluation."""

    lenses: OptionalFileName = key(
        None, "CSV file of the lenses, from `generate`; for metrics by bands of Einstein radius"
    )
    resimulations: int = key(500, "pictures resimulated in each part", ge=0, le=10_000_000)
    examples: int = key(6, "pictures shown beside their resimulations", ge=0, le=1000)


class Fit(Table):
    """Fits of test pictures, beside the network, and the bound that no unbiased estimate passes. Left out: none."""

    rows: int = key(0, "test rows that are fitted; needs evaluation.lenses", ge=0, le=10_000_000)
    family: str | None = key(
        None,
        "in place of the families that the model was trained on: `SIE+Shear,SersicSphere`, or a TOML file; "
        "`none`: roulettes without a lens",
    )


class Output(Table):
    """Where `python -m droulette.model` writes."""

    directory: OptionalFileName = key(None, "folder of the predictions and metrics")
    model: OptionalFileName = key(None, "file of the trained model")


def check_together(problem: Problem | None, dataset: Dataset | None, size: int | None, nterms: int | None) -> None:
    """What one table allows and another forbids. Raises `mismatch` with the dotted key.

    `size`, `nterms`: of the simulation, where the same file describes it.
    """
    if problem is None:
        return
    if nterms is not None and problem.nterms is not None and problem.nterms[1] > nterms:
        raise mismatch(str(problem.nterms[1]), f"at most simulator.nterms = {nterms}", "problem.nterms")
    parts = dataset.parts if dataset else {}
    rest = [name for name, part in parts.items() if part.size is None]
    if len(rest) > 1:
        raise mismatch("no size", f"one, since {rest[0]}'s is left out too", f"dataset.{rest[-1]}.size")
    sizes = {name: part.size for name, part in parts.items() if part.size is not None}
    if size is not None and sizes:
        wanted = sum(int(size * n) if isinstance(n, float) else n for n in sizes.values())
        if wanted + len(rest) > size:
            rows = f"{wanted} rows in the parts with a size" + (", and none for the rest" if rest else "")
            raise mismatch(rows, f"no more than simulator.size = {size}", f"dataset.{list(sizes)[-1]}.size")
