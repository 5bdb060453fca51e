"""Typed, checked, immutable parameters: the one place where TOML is read."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import create_model, model_validator

from droulette.errors import UserError
from droulette.parameters import learning, reading, simulation
from droulette.parameters.extensions import Extensions, run_modules
from droulette.parameters.reading import Layers, Table, conflict, key

NEUTRAL = simulation.NEUTRAL | learning.NEUTRAL


class Tables(Table, defer_build=True):
    """All tables of a TOML file; an absent one has its defaults, `problem` and `dataset` are None.

    `Parameters` is this with the keys in [lens] and [source] of the models that there are.
    """

    simulator: simulation.Simulator = key(simulation.Simulator(), "")
    lens: simulation.Lens = key(simulation.Lens(), "")
    cluster: simulation.Cluster = key(simulation.Cluster(), "")
    subhaloes: simulation.Subhaloes = key(simulation.Subhaloes(), "")
    source: simulation.Source = key(simulation.Source(), "")
    position: simulation.Position = key(simulation.Position(), "")
    instrument: simulation.Instrument = key(simulation.Instrument(), "")
    lens_light: simulation.LensLight = key(simulation.LensLight(), "", alias="lens_light")
    neighbours: simulation.Neighbours = key(simulation.Neighbours(), "")
    problem: learning.Problem | None = key(None, "")
    dataset: learning.Dataset | None = key(None, "")
    settings: learning.Settings = key(learning.Settings(), "")
    hyperparameters: learning.Hyperparameters = key(learning.Hyperparameters(), "")
    training: learning.Training = key(learning.Training(), "")
    evaluation: learning.Evaluation = key(learning.Evaluation(), "")
    fit: learning.Fit = key(learning.Fit(), "")
    output: learning.Output = key(learning.Output(), "")
    extensions: Extensions = key(Extensions(), "")

    @model_validator(mode="after")
    def _together(self) -> Tables:
        simulation.check_together(self.simulator, self.lens, self.cluster, self.source, self.position)
        simulation.check_observed(
            self.instrument, self.lens_light, self.neighbours, self.simulator, self.cluster, self.source
        )
        drawn = self.simulator if "size" in self.simulator.model_fields_set else None
        learning.check_together(self.problem, self.dataset, drawn and drawn.size, drawn and drawn.nterms)
        if self.training.fresh_pictures and self.problem and self.problem.hold_out:
            raise conflict("cannot be combined with problem.hold-out; remove one of them", "training.fresh-pictures")
        return self


class _Code(Table):
    """What is read before all else, since the code decides which names and keys the other tables may have."""

    extensions: Extensions = key(Extensions(), "")


if TYPE_CHECKING:
    Parameters = Tables


def __getattr__(name: str) -> type[Tables]:
    if name != "Parameters":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _current()


def _current(layers: Layers = ()) -> type[Tables]:
    """The tables with the keys of the models that there are now, and of the sums of lenses that the layers name."""
    lenses = [tables["lens"] for _, tables in layers if isinstance(tables.get("lens"), dict)]
    modes = next((table[name] for table in lenses for name in ("mode", "modes") if name in table), ())
    return _with_keys(simulation.parameters_of_parts(modes), *simulation.own_parameters())


@lru_cache(maxsize=8)
def _with_keys(of_parts: tuple, *own: tuple) -> type[Tables]:
    """of_parts, own: the parameters that decide the keys."""
    lens, source, subhaloes = simulation.lens_table(of_parts), simulation.source_table(), simulation.subhaloes_table()
    return create_model(
        "Parameters", __base__=Tables, __doc__=Tables.__doc__,
        lens=(lens, key(lens(), "")), source=(source, key(source(), "")), subhaloes=(subhaloes, key(subhaloes(), "")),
    )  # fmt: skip


def load(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> Parameters:
    """Read a TOML file, with those that its settings.problem and problem.dataset name laid under it.

    `overrides` are dotted keys in TOML spelling, laid over the file; those with the value None are left out.
    Without a `path` they are all there is.

    Raises:
        UserError: one line with file, key, what was found and what was expected.
    """
    layers = [("command line", reading.nested(overrides or {}))]
    if path is not None:
        layers.append(_layer(str(path)))
        for table, name in (("settings", "problem"), ("problem", "dataset")):
            source, tables = next(
                ((s, t) for s, t in layers if isinstance(t.get(table), dict) and name in t[table]), (None, {})
            )
            below = tables.get(table, {}).get(name)
            if isinstance(below, str) and below:
                try:
                    layers.append(_layer(below))
                except UserError as error:
                    raise UserError(f"{source}: {table}.{name}: {error}") from error
    return _build(layers)


def parse(tables: Mapping[str, Any], source: str = "parameters") -> Parameters:
    """Check tables that were read already. Raises UserError."""
    return _build([(source, _translate(dict(tables), source))])


def _build(layers: Layers) -> Parameters:
    code = [(name, {"extensions": tables["extensions"]} if "extensions" in tables else {}) for name, tables in layers]
    run_modules(reading.build(_Code, code).extensions.modules)
    try:
        params = reading.build(_current(layers), layers)
    except UserError:  # unless an installed package knows the name or key
        simulation.read_installed()
        params = reading.build(_current(layers), layers)
    if "size" in params.simulator.model_fields_set or not simulation.is_one_scene(params):
        return params
    return params.model_copy(update={"simulator": params.simulator.model_copy(update={"size": 1})})


DRAWING = ("simulator", "lens", "cluster", "subhaloes", "source", "position", "instrument", "lens_light", "neighbours")
AS_STORED = ("size", "seed", "storage", "shard-size")  # what decides no scene


def distribution(params: Parameters) -> dict[str, dict[str, Any]] | None:
    """The tables that say which scenes are drawn and how, as a TOML file would; None where none describes a scene."""
    given = [name for name in DRAWING if name in params.model_fields_set]
    if not {"lens", "cluster", "source"} & {*given}:
        return None
    tables = {name: reading.as_toml(getattr(params, name)) for name in given}
    for name in AS_STORED:
        tables.get("simulator", {}).pop(name, None)
    return {name: table for name, table in tables.items() if table}


def trained_distribution(params: Parameters) -> dict[str, dict[str, Any]] | None:
    """The same of the training rows alone: without the lens models that `problem.hold-out` keeps for testing."""
    tables = distribution(params)
    held = params.problem.hold_out if params.problem else ()
    if tables and held and "mode" in tables.get("lens", {}):
        modes = [mode for mode in tables["lens"]["mode"] if not any(fnmatchcase(mode, name) for name in held)]
        tables["lens"] = tables["lens"] | {"mode": modes}
    return tables


def is_key(dotted: str) -> bool:
    """Whether a TOML file may have this key, `lens.einstein-min` for example."""
    table: type[Table] | None = _current()
    for name in dotted.split("."):
        field = reading.field_of(table, name)
        if field is None:
            return False
        table = reading.table_of(field)
    return True


def _layer(path: str) -> tuple[str, dict[str, Any]]:
    return path, _translate(reading.read_toml(path), path)


def _translate(tables: dict[str, Any], source: str) -> dict[str, Any]:
    return reading.translate(tables, source, simulation.MOVED, NEUTRAL)


__all__ = ["Parameters", "Tables", "distribution", "load", "parse", "trained_distribution"]
