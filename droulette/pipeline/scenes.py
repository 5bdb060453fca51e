"""From rows of a table to lenses, sources and scenes.

Rows of one *kind* (the same simulation model, lens constituents and source) share formulas and go into a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from droulette import files, quantities
from droulette.errors import UserError
from droulette.parameters.simulation import CONFIGS, MODELS, constellation_sources, constituents
from droulette.physics.amplitudes import critical_radius
from droulette.physics.elementary import cosine_and_sine
from droulette.physics.galaxies import Galaxy
from droulette.physics.lenses import LENSES, Cluster, Lens
from droulette.physics.sampled import Sampled
from droulette.physics.sources import SOURCES, Constellation, Image, Picture, Source
from droulette.pipeline.galaxies import galaxy_rows
from droulette.pipeline.maps import map_rows
from droulette.pipeline.picture_files import is_below_working_folder as is_below_working_folder
from droulette.pipeline.picture_files import path_below, read_picture
from droulette.quantities import AMPLITUDE as AMPLITUDE
from droulette.quantities import CONSTELLATION, Quantity

MOST_CONSTITUENTS = 1000  # of a cluster or a constellation
NEIGHBOUR = "Sersic"  # begins a neighbour's text
# Its numbers, and the columns whose ranges they have.
NEIGHBOUR_COLUMNS = ("x", "y", "lightratio", "lightradius", "lightaxisratio", "lightorientation", "lightsersic")


@dataclass(frozen=True)
class Kind:
    """What the rows of one batch have in common."""

    model: str
    sampled: bool
    lenses: tuple[str, ...]  # one name for a single lens, several for a cluster
    cluster: bool
    sources: tuple[str, ...]
    constellation: bool
    psf: str | None = None  # none, gaussian, moffat or a file's name; None: no instrument
    subhaloes: tuple[str, ...] = ()
    neighbours: int = 0


def parameters_of(kind: type[Lens] | type[Source]) -> tuple[Quantity, ...]:
    """The parameters of a lens or source that a table gives, in the order of a cluster string."""
    return kind.parameters


def source_columns(names: Iterable[str]) -> list[str]:
    """The columns of a roulette table that describe sources of those names or constellations."""
    single = [name for name in names if "/" not in str(name)]
    described = [*quantities.SOURCE, *SOURCES.parameters(single)]
    return ["source", "image", "galaxy", "x", "y", *(quantity.column for quantity in described)]


def constituent_text(name: str, numbers: Iterable[float]) -> str:
    """`name/x/y/…`, of which the texts of clusters and constellations consist. numbers: x, y, then the parameters'."""
    return "/".join([name, *map(repr, numbers)])


def normalise(
    frame: pd.DataFrame, name: str, default_model: str = "Raytrace", default_lens: str | None = None
) -> pd.DataFrame:
    """The table with `model`, `lens` and `sampled` filled in from `config` and CosmoSim's spellings mended.

    Its index is that of the file's rows, from 0, which error messages name.

    Raises:
        UserError: a row without a lens, a source or a position, or with an unknown name in one of them.
    """
    old = "einsteinR" in frame and "einsteinradius" not in frame
    frame = frame.rename(columns={"einsteinR": "einsteinradius"}) if old else frame.copy(deep=False)
    if "config" in frame:
        unknown = ~frame["config"].isin(CONFIGS)
        if unknown.any():
            raise _row_error(name, unknown, frame["config"], "config", f"one of {', '.join(CONFIGS)}")
        for column, k in (("model", 0), ("lens", 1), ("sampled", 2)):
            frame[column] = [CONFIGS[config][k] for config in frame["config"]]
    if "model" not in frame:
        frame["model"] = default_model
    if "sampled" not in frame:
        frame["sampled"] = False
    if "cluster" not in frame and "lens" not in frame:
        if default_lens is None:
            raise UserError(f"{name}: found no column 'lens', 'config' or 'cluster', expected one of them")
        frame["lens"] = default_lens
    if not set(frame["model"].unique()) <= set(MODELS):
        raise _row_error(name, ~frame["model"].isin(MODELS), frame["model"], "model", "Raytrace or Roulette")
    if "source" not in frame:
        raise UserError(f"{name}: found no column 'source', expected it")
    if not {"x", "y"} <= set(frame):
        if not {"R", "phi"} <= set(frame):
            raise UserError(f"{name}: found no columns 'x' and 'y' nor 'R' and 'phi', expected a source position")
        cos, sin = cosine_and_sine(column_of_numbers(frame, "phi", name))
        radius = column_of_numbers(frame, "R", name)
        frame["x"], frame["y"] = radius * cos, radius * sin
    for axis in ("x", "y"):
        values = column_of_numbers(frame, axis, name)
        if frame[axis].dtype != values.dtype:
            frame[axis] = values
    return frame


def _row_error(name: str, wrong: pd.Series, values: pd.Series, column: str, expected: str) -> UserError:
    position = int(np.flatnonzero(np.asarray(wrong))[0])
    found = values.iloc[position]
    found = found.item() if isinstance(found, np.generic) else found
    return UserError(f"{name}: row {values.index[position] + 1}, column {column}: found {found!r}, expected {expected}")


def column_of_numbers(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """A column as float64, every value finite and in its range."""
    if column not in frame:
        raise UserError(f"{name}: found no column {column!r}, expected it for {_needed_by(frame, column)}")
    values = files.numbers(frame[column])
    quantity = quantities.find(column)
    fine = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        fine &= quantity.allows(values) if quantity else True
    if not fine.all():
        expected = f"a{' whole' * quantity.whole} number in {quantity.interval}" if quantity else "a finite number"
        raise _row_error(name, ~fine, frame[column], column, expected)
    return values


def _needed_by(frame: pd.DataFrame, column: str) -> str:
    what = (
        frame["lens"]
        if column in [quantity.column for quantity in (*quantities.LENS, *LENSES.parameters())] and "lens" in frame
        else frame.get("source")
    )
    return f"{what.iloc[0]}" if what is not None else "this table"


def groups(frame: pd.DataFrame, name: str) -> Iterator[tuple[Kind, np.ndarray]]:
    """Each kind of a normalised table with the positions of its rows, in the order of first appearance."""
    columns = [
        frame[column].tolist() if column in frame else [None] * len(frame)
        for column in ("model", "sampled", "cluster", "lens", "source", "psf", "subhaloes", "neighbours")
    ]
    of_cells: dict[tuple, list[int]] = {}  # rows that look alike; of a cluster, the numbers differ too
    for position, cells in enumerate(zip(*columns, strict=True)):
        of_cells.setdefault(cells, []).append(position)
    known: dict[tuple, Kind] = {}
    of_kind: dict[Kind, list[int]] = {}
    for cells, positions in of_cells.items():
        kind = _kind(cells, known, f"{name}: row {frame.index[positions[0]] + 1}")
        of_kind.setdefault(kind, []).extend(positions)
    for kind, positions in of_kind.items():
        yield kind, np.sort(positions)


def _kind(cells: tuple, known: dict[tuple, Kind], where: str) -> Kind:
    """The kind of a row with those cells; `known` holds kinds that were checked before, by what decides them."""
    model, sampled, members, single, source, psf, small, beside = cells
    has_cluster = isinstance(members, str) and members != ""
    has_subhaloes = isinstance(small, str) and small != ""
    has_constellation = "/" in str(source)
    lenses = _names(members) if has_cluster else (single,)
    sources = _names(source) if has_constellation else (source,)
    if not (psf is None or (isinstance(psf, str) and psf)):
        raise UserError(f"{where}, column psf: found {psf!r}, expected none, gaussian, moffat or a file's name")
    subhaloes = _names(small) if has_subhaloes else ()
    neighbours = _names(beside) if isinstance(beside, str) and beside else ()
    _check_names(neighbours, (NEIGHBOUR,), f"{where}, column neighbours")
    key = (model, bool(sampled), lenses, has_cluster, sources, has_constellation, psf, subhaloes, len(neighbours))
    if key not in known:
        _check_lenses(lenses, f"{where}, column {'cluster' if has_cluster else 'lens'}", has_cluster)
        _check_lenses(subhaloes, f"{where}, column subhaloes", True)
        _check_names(sources, constellation_sources() if has_constellation else SOURCES, f"{where}, column source")
        known[key] = Kind(*key)
    return known[key]


def _check_lenses(names: tuple, where: str, constituent: bool) -> None:
    _check_names(names, LENSES, where)
    for name in names:
        if constituent and LENSES[name].not_numbers:
            raise UserError(f"{where}: found {name!r}, expected one of {', '.join(constituents())}")


def _check_names(names: tuple, known: Collection[str], where: str) -> None:
    if len(names) > MOST_CONSTITUENTS:
        raise UserError(f"{where}: found {len(names)} constituents, expected at most {MOST_CONSTITUENTS}")
    for name in names:
        if name not in known:
            raise UserError(f"{where}: found {name!r}, expected one of {', '.join(known)}")


def _names(constituents: str) -> tuple[str, ...]:
    return tuple(part.split("/", 1)[0].strip() for part in constituents.split(";"))


def lens_batch(frame: pd.DataFrame, kind: Kind, name: str, canvas: int = 512) -> Lens:
    """The lenses of rows that all have `kind`, parameters (B,) float64 on the CPU.

    Args:
        canvas: size of the pixel grid of a sampled lens.
    """
    if kind.cluster:
        lens: Lens = _sum_of(frame["cluster"], kind.lenses, "cluster", name)
    else:
        model = LENSES[kind.lenses[0]]
        lens = model(**_fields(model, frame, name))
    if kind.subhaloes:
        subhaloes = _sum_of(frame["subhaloes"], kind.subhaloes, "subhaloes", name)
        zero = np.zeros(len(frame))
        lens = Cluster((lens, *subhaloes.lenses), (zero, *subhaloes.x), (zero, *subhaloes.y))
    return Sampled.of(lens, len(frame), canvas) if kind.sampled else lens


def _sum_of(texts: pd.Series, names: tuple[str, ...], column: str, table: str) -> Cluster:
    """The lenses of a column of texts `SIS/x/y/θ_E;…`, whose names are `names` in every row."""
    models = [LENSES[name] for name in names]
    numbers = _constituents(texts, names, [2 + len(parameters_of(model)) for model in models], column, table)
    lenses = []
    for model, values in zip(models, numbers, strict=True):
        keys = ("x", "y", *(quantity.column for quantity in parameters_of(model)))
        for key, of_rows in zip(keys, values, strict=True):
            _check_range(texts, of_rows, key, column, table)
        lenses.append(model(*values[2:]))
    return Cluster(tuple(lenses), tuple(v[0] for v in numbers), tuple(v[1] for v in numbers))


def neighbours_batch(frame: pd.DataFrame, kind: Kind, name: str) -> list[dict[str, np.ndarray]]:
    """The numbers of the neighbours of rows that all have `kind`: (B,) each, by NEIGHBOUR_COLUMNS."""
    if not kind.neighbours:
        return []
    names, counts = (NEIGHBOUR,) * kind.neighbours, [len(NEIGHBOUR_COLUMNS)] * kind.neighbours
    found = _constituents(frame["neighbours"], names, counts, "neighbours", name)
    for numbers in found:
        for column, values in zip(NEIGHBOUR_COLUMNS, numbers, strict=True):
            _check_range(frame["neighbours"], values, column, "neighbours", name)
    return [dict(zip(NEIGHBOUR_COLUMNS, numbers, strict=True)) for numbers in found]


def _check_range(texts: pd.Series, values: np.ndarray, key: str, column: str, name: str) -> None:
    quantity = quantities.find(key)
    fine = quantity.allows(values)
    if not fine.all():
        position = int(np.flatnonzero(~fine)[0])
        raise UserError(
            f"{name}: row {texts.index[position] + 1}, column {column}: "
            f"found {key} {values[position]:g} in {texts.iloc[position][:80]!r}, "
            f"expected a number in {quantity.interval}"
        )


def _constituents(
    texts: pd.Series, names: tuple[str, ...], counts: list[int], column: str, name: str
) -> list[list[np.ndarray]]:
    """`name/number/…;…` as one list of (B,) arrays for each constituent."""
    table = np.empty((len(texts), sum(counts)))
    for row, (label, text) in enumerate(texts.items()):
        parts = [part.split("/")[1:] for part in text.split(";")]
        try:
            table[row] = [float(number) for part, n in zip(parts, counts, strict=True) for number in _exactly(part, n)]
        except ValueError:
            wanted = ";".join(f"{n} and {count} numbers" for n, count in zip(names, counts, strict=True))
            raise UserError(
                f"{name}: row {label + 1}, column {column}: found {text[:80]!r}, expected {wanted}"
            ) from None
        if not np.isfinite(table[row]).all():
            raise UserError(f"{name}: row {label + 1}, column {column}: found {text[:80]!r}, expected finite numbers")
    result, start = [], 0
    for count in counts:
        result.append([np.ascontiguousarray(table[:, start + k]) for k in range(count)])
        start += count
    return result


def _exactly(part: list[str], count: int) -> list[str]:
    if len(part) < count:
        raise ValueError
    return part[:count]  # CosmoSim's constellations may carry numbers that their mode does not use


def source_batch(frame: pd.DataFrame, kind: Kind, name: str) -> Source:
    """The sources of rows that all have `kind`, parameters (B,) float64 on the CPU."""
    if kind.constellation:
        fields = [[quantity.name for quantity in parameters_of(SOURCES[n])] for n in kind.sources]
        counts = [1 + max(map(CONSTELLATION.index, names)) for names in fields]
        numbers = _constituents(frame["source"], kind.sources, counts, "source", name)
        sources = []
        for source_name, names, values in zip(kind.sources, fields, numbers, strict=True):
            named = dict(zip(CONSTELLATION, values, strict=False))
            for field in ("x", "y", *names):
                _check_range(frame["source"], named[field], field, "source", name)
            sources.append(SOURCES[source_name](**{field: named[field] for field in names}))
        return Constellation(tuple(sources), tuple(v[0] for v in numbers), tuple(v[1] for v in numbers))
    kind_of_source = SOURCES[kind.sources[0]]
    return kind_of_source(**_fields(kind_of_source, frame, name))


def _fields(model: type[Lens] | type[Source], frame: pd.DataFrame, name: str) -> dict:
    """What a lens or source is made of: its numbers, and what it needs of the files that the rows name."""
    fields = {q.name: column_of_numbers(frame, q.column, name) for q in parameters_of(model)}
    if model is Image:
        fields["picture"] = _picture(frame, name)
    elif "maps" in model.not_numbers:
        fields["maps"] = map_rows(frame, name)
    elif model is Galaxy:
        fields["galaxies"] = galaxy_rows(frame, name)
    return fields


def _picture(frame: pd.DataFrame, name: str) -> Picture:
    if "image" not in frame or frame["image"].nunique() != 1:
        raise UserError(f"{name}: source Image needs a column 'image' that names one picture file")
    path = path_below(str(frame["image"].iloc[0]), f"{name}: column image")
    return Picture(read_picture(path, lambda picture: picture.convert("L")))


def einstein_radii(frame: pd.DataFrame, name: str = "dataset.csv") -> np.ndarray:
    """(n,) px: each row's Einstein radius, without subhaloes; of a sum of lenses, the sum of its parts'."""
    frame = normalise(frame.assign(source="Spherical", sigma=1.0), name)
    radii = np.empty(len(frame))
    for kind, rows in groups(frame, name):
        lens = lens_batch(frame.iloc[rows], replace(kind, sampled=False, subhaloes=()), name)
        radii[rows] = sum(part.einstein_radius for part, _, _ in _masses(lens))
    return radii


def _masses(lens: Lens) -> list[tuple[Lens, np.ndarray, np.ndarray]]:
    """The parts of a lens that are no perturbation."""
    return [part for part in lens.parts() if not part[0].perturbation]


def critical_radii(frame: pd.DataFrame, phi: np.ndarray, name: str = "[lens]") -> np.ndarray:
    """Distance in px from the origin to each row's outermost critical curve at angle phi (degrees).

    Where the ray crosses none, the largest reach of a part, |c_k| + θ_k, stands in.
    """
    frame = frame.reset_index(drop=True).assign(model="Raytrace", sampled=False, source="Spherical")
    radii = np.empty(len(frame))
    for kind, rows in groups(frame, name):
        lens = lens_batch(frame.iloc[rows], replace(kind, subhaloes=()), name)
        reach, fallback, total = np.zeros(len(rows)), np.zeros(len(rows)), np.zeros(len(rows))
        for part, cx, cy in _masses(lens):
            distance = np.sqrt(cx**2 + cy**2)
            fallback = np.maximum(fallback, distance + part.einstein_radius)
            reach = np.maximum(reach, distance + part.reach())
            total = total + part.einstein_radius
        found = critical_radius(lens, np.asarray(phi, np.float64)[rows], 1.05 * (reach + 2 * total))
        radii[rows] = np.where(found > 0, found, fallback)
    return radii
