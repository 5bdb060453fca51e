"""Seeded tables of lenses and sources: one row a picture, from which alone the picture can be drawn again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from droulette.parameters.simulation import CONFIGS, Cluster, Lens, Position, Source, Subhaloes
from droulette.physics.elementary import angle_in_degrees, cosine_and_sine, exp, log
from droulette.physics.lenses import LENSES
from droulette.physics.sources import SOURCES
from droulette.pipeline.draw_instrument import neighbours_of, observed_columns
from droulette.pipeline.galaxies import galaxies_of
from droulette.pipeline.maps import maps_of
from droulette.pipeline.scenes import constituent_text, critical_radii, parameters_of
from droulette.pipeline.streams import Streams
from droulette.quantities import CHI, LENS, SOURCE

if TYPE_CHECKING:
    from droulette.parameters import Parameters

RETRIES = 64  # of rows whose source fell on the origin


def draw_table(params: Parameters, start: int = 0, stop: int | None = None) -> pd.DataFrame:
    """Draw the rows from `start` up to `stop`, by default all `params.simulator.size` of them.

    Columns: index, filename, model, lens or cluster, source and position.

    Lengths are in pixels, angles in degrees, counter-clockwise from x. With `config`, the columns `config`,
    `model`, `lens` and, if any is so, `sampled` say the same. The row of a cluster has a column `cluster`,
    `SIS/x/y/θ_E;SIE/x/y/θ_E/f/orientation;…`, in place of those of a single lens.
    """
    simulator = params.simulator
    stop = simulator.size if stop is None else stop
    streams = Streams(simulator.seed, start, stop)
    columns: dict[str, object] = {
        "index": np.arange(start + 1, stop + 1),
        "filename": [f"image-{row:06}.png" for row in range(start + 1, stop + 1)],
    }
    models = streams.choose("simulator.model", simulator.model)
    sampled = np.full(streams.size, simulator.sampled)
    config = None
    if simulator.config:
        config = streams.choose("simulator.config", simulator.config)
        models = _lookup(config, {name: CONFIGS[name][0] for name in CONFIGS})
        sampled |= _lookup(config, {name: CONFIGS[name][2] for name in CONFIGS}).astype(bool)
        if not params.cluster.count.high:  # it names a single lens
            columns["config"] = config
    columns["model"] = models
    if simulator.sampled or any(CONFIGS[name][2] for name in simulator.config or ()):
        columns["sampled"] = sampled

    if params.cluster.count.high:
        columns["cluster"], reach = _clusters(streams, params.lens, params.cluster, config)
    else:
        columns |= _lens(streams, params.lens, config)
        reach = columns["einsteinradius"]

    if params.subhaloes.given:
        columns["subhaloes"] = _subhaloes(streams, params.subhaloes, reach)

    # The source and the lens's last columns, in CosmoSim's order.
    x, y, radius, phi = _position(streams, columns, reach, params.source, params.position)
    source = params.source
    columns["source"] = streams.choose("source.mode", source.profiles)
    if source.image is not None:
        columns["image"] = source.image
    if source.galaxies is not None:
        columns["galaxy"] = streams.choose("source.galaxies", galaxies_of(source.galaxies))
    columns |= {"R": radius, "phi": phi}
    single = [mode for mode in source.mode if "/" not in mode]
    for quantity in (*SOURCE, *SOURCES.parameters(single)):
        columns[quantity.column] = streams.draw(f"source.{quantity.key}", getattr(source, quantity.key))
    columns |= {"x": x, "y": y, CHI.column: streams.draw(f"lens.{CHI.key}", getattr(params.lens, CHI.key))}
    if params.instrument.given:
        columns |= observed_columns(streams, params.instrument, params.lens_light, columns)
    if params.neighbours.given:
        columns["neighbours"] = neighbours_of(streams, params.neighbours, reach)
    return pd.DataFrame(columns)  # at once: a column set alone costs pandas 0.2 ms


def _lookup(names: np.ndarray, table: dict) -> np.ndarray:
    return np.array([table[name] for name in names], dtype=object)


def _lens(streams: Streams, lens: Lens, config: np.ndarray | None, constituent: str = "") -> dict[str, np.ndarray]:
    """Columns of a single lens, or of one constituent of a cluster."""
    if config is None:
        mode = streams.choose(f"lens.mode{constituent}", lens.mode)
        own = LENSES.parameters(lens.mode)
    else:
        mode = _lookup(config, {name: CONFIGS[name][1] for name in CONFIGS})
        own = []
    columns = {"lens": mode}
    if config is None and any("maps" in LENSES[name].not_numbers for name in lens.mode):
        columns["map"] = streams.choose("lens.map", maps_of(lens.map))
        columns["mapquantity"] = np.full(streams.size, lens.map_quantity, dtype=object)
        columns["mappixel"] = np.full(streams.size, lens.map_pixel)
    for quantity in (*LENS, *own):
        columns[quantity.column] = streams.draw(f"lens.{quantity.key}{constituent}", lens.distribution(quantity))
    return columns


def _subhaloes(streams: Streams, small: Subhaloes, einstein: np.ndarray) -> list[str]:
    """Their texts, as those of clusters; "" where there are none. einstein: "einsteinR" of each row, px."""
    count = streams.draw("subhaloes.count", small.count)
    if small.poisson:
        count = streams.poisson("subhaloes.number", count)
    texts: list[list[str]] = [[] for _ in range(streams.size)]
    for k in range(1, int(count.max(initial=0)) + 1):
        cos, sin = cosine_and_sine(360 * streams.uniform(f"subhaloes.angle#{k}"))
        distance = np.sqrt(streams.uniform(f"subhaloes.distance#{k}")) * small.radius * einstein
        mass = _power_law(streams.uniform(f"subhaloes.mass#{k}"), small.mass_min, small.mass_max, small.mass_slope)
        columns = {"einsteinradius": einstein * np.sqrt(mass)}
        for quantity in (*LENS[1:], *LENSES.parameters(small.mode)):
            columns[quantity.column] = streams.draw(f"subhaloes.{quantity.key}#{k}", getattr(small, quantity.key))
        mode = streams.choose(f"subhaloes.mode#{k}", small.mode)
        _add_constituents(texts, count >= k, mode, distance * cos, distance * sin, columns)
    return [";".join(text) for text in texts]


def _power_law(u: np.ndarray, low: float, high: float, slope: float) -> np.ndarray:
    """u, uniform in [0, 1), mapped to the density ∝ m^−slope on [low, high]."""
    power = 1.0 - slope
    if abs(power) < 1e-9:
        return low * exp(u * math.log(high / low))
    a, b = low**power, high**power
    return np.clip(exp(log(a + (b - a) * u) / power), low, high)


def _add_constituents(
    texts: list[list[str]], there: np.ndarray, mode: np.ndarray, x: np.ndarray, y: np.ndarray, columns: dict
) -> None:
    """Add `name/x/y/…` with the columns that the model has to the text of each row in which it is there."""
    names = _lookup(mode, {name: LENSES[name].__name__ for name in set(mode)})
    numbers = {name: column.tolist() for name, column in columns.items()}
    place = [x.tolist(), y.tolist()]
    of_model = {name: [*place, *(numbers[q.column] for q in parameters_of(LENSES[name]))] for name in set(names)}
    for row, name in enumerate(names):
        if there[row]:
            texts[row].append(constituent_text(name, [column[row] for column in of_model[name]]))


def _clusters(
    streams: Streams, lens: Lens, cluster: Cluster, config: np.ndarray | None
) -> tuple[list[str], np.ndarray]:
    """Cluster strings, and how far each reaches: the largest of |c_k| + θ_k, in pixels."""
    count = streams.draw("cluster.count", cluster.count).astype(int)
    constituents: list[list[str]] = [[] for _ in range(streams.size)]
    reach = np.zeros(streams.size)
    for k in range(1, count.max() + 1):
        one = _lens(streams, lens, config, f"#{k}")
        theta = one["einsteinradius"]
        cos, sin = cosine_and_sine(360 * streams.uniform(f"cluster.angle#{k}"))
        distance = streams.uniform(f"cluster.distance#{k}") * cluster.maxrelativelocation * theta
        there = count >= k
        reach = np.where(there, np.maximum(reach, distance + theta), reach)
        _add_constituents(constituents, there, one.pop("lens"), distance * cos, distance * sin, one)
    return [";".join(text) for text in constituents], reach


def _position(
    streams: Streams, columns: dict, reach: np.ndarray, source: Source, position: Position
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y, R (pixels) and phi (degrees) of the source; `columns` say the lens, `reach` is "einsteinR"."""
    if source.position == "cartesian":
        x, y = _off_origin(streams, position)
        return x, y, np.sqrt(x * x + y * y), angle_in_degrees(x, y)
    phi = streams.draw("position.phi", position.phi)
    if source.position == "polar":
        low = _bound(position.r_min, reach, reach)
        high = _bound(position.r_max, reach, 2.5 * low)
    else:
        limit = reach
        if source.position == "critical" and position.r is None:
            limit = critical_radii(pd.DataFrame(columns), phi)
        low = _bound(position.r_min, reach, np.ones_like(reach))
        high = position.r_relativemax * limit
    low = np.minimum(low, high)
    u = streams.uniform("position.r")
    radius = low + (high - low) * u
    if position.r is not None:
        options = np.stack([_bound(r, reach, reach) for r in position.r])
        radius = options[np.floor(u * len(options)).astype(int), np.arange(len(u))]
    cos, sin = cosine_and_sine(phi)
    return radius * cos, radius * sin, radius, phi


def _bound(value: float | str | None, reach: np.ndarray, default: np.ndarray) -> np.ndarray:
    if value is None:
        return default
    return reach if value == "einsteinR" else np.full_like(reach, value)


def _off_origin(streams: Streams, position: Position) -> tuple[np.ndarray, np.ndarray]:
    """x and y, drawn again where both are 0: there the source has a ring and no direction."""
    x, y = streams.draw("position.x", position.x), streams.draw("position.y", position.y)
    if position.x.fixed and position.y.fixed:
        return x, y
    for attempt in range(1, RETRIES + 1):
        origin = (x == 0) & (y == 0)
        if not origin.any():
            break
        x = np.where(origin, streams.draw(f"position.x~{attempt}", position.x), x)
        y = np.where(origin, streams.draw(f"position.y~{attempt}", position.y), y)
    return x, y
