"""How far the sources of a dataset stand out from the noise of their pictures."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from droulette.devices import cores, stream_of
from droulette.physics.arrays import to_numpy
from droulette.physics.batches import move
from droulette.physics.instrument import frame as frame_of
from droulette.physics.instrument import take
from droulette.physics.mappings import Raytrace
from droulette.physics.rendering import Scenes
from droulette.pipeline.batching import observed_at_once, pictures_at_once, slices
from droulette.pipeline.instruments import instrument_batch
from droulette.pipeline.resimulate import largest_order, scene_of_amplitudes
from droulette.pipeline.scenes import Kind, column_of_numbers, groups, lens_batch, normalise, source_batch

if TYPE_CHECKING:
    from droulette.parameters.simulation import Simulator


def signal_to_noise(
    lenses: pd.DataFrame,
    roulette: pd.DataFrame,
    simulator: Simulator,
    size: int,
    *,
    device: str = "cpu",
    names: tuple[str, str] = ("dataset.csv", "roulette.csv"),
    progress: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """√Σ (light of the source / deviation of the background's noise)² over the pixels of each picture.

    The light is drawn anew, through the point spread function and without noise, the lens's light and neighbours. It
    cannot be measured in the picture: Σ over N² pixels of noise alone scatters by √2 N, more than the light of faint
    sources.

    lenses, roulette: the same n rows of these tables, called `names` in messages. size: of a picture, px.

    Returns:
        (n,) float64; infinite where there is no noise.
    """
    others = [column for column in lenses if column.startswith("light") or column == "neighbours"]
    rows = lenses.reset_index(drop=True).drop(columns=others)
    rows["brightness"] = column_of_numbers(roulette, "brightness", names[1])
    rows = normalise(rows, names[0])
    middle = np.stack([column_of_numbers(roulette, f"centre{axis}", names[1]) for axis in "XY"])
    middle = frame_of(middle)
    found = np.zeros(len(rows))

    def measure(kind: Kind, few: np.ndarray) -> None:
        part = rows.iloc[few]
        scene, centre = scene_of(part, kind, few)
        instrument = instrument_batch(part, kind, names[0])
        deviation = instrument.deviation()
        pedestal = instrument.pedestal
        with stream_of(device):
            if device != "cpu":
                scene, instrument, centre = (move(item, device) for item in (scene, instrument, centre))
            options = {"canvas": simulator.imagesize, "supersampling": simulator.supersampling, "noisy": False}
            picture, _ = take(scene, instrument, size, *centre, **options)
            light = to_numpy(picture) - pedestal[:, None, None]
        total = np.sqrt((light * light).sum(axis=(1, 2)))
        with np.errstate(divide="ignore", invalid="ignore"):
            found[few] = np.where(total > 0, total / deviation, 0.0)
        progress(len(few))

    def scene_of(part: pd.DataFrame, kind: Kind, few: np.ndarray) -> tuple[Scenes, np.ndarray]:
        if kind.model == "Roulette":  # its table's frame has the centre of light at the origin
            some = roulette.iloc[few].reset_index(drop=True)
            return scene_of_amplitudes(some, kind, largest_order(roulette.columns), names[1]), np.zeros((2, len(few)))
        eta = part["x"].to_numpy(np.float64, copy=True), part["y"].to_numpy(np.float64, copy=True)
        lens = lens_batch(part, kind, names[0], simulator.imagesize)
        return Scenes(Raytrace(lens, *eta), source_batch(part, kind, names[0])), middle[:, few]

    at_once = observed_at_once(size) if device == "cpu" else pictures_at_once(size, simulator.imagesize, device)
    kinds, batches = [], []
    for kind, of_kind in groups(rows, names[0]):
        for few in slices(len(of_kind), at_once):
            kinds.append(kind)
            batches.append(of_kind[few])
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(measure, kinds, batches))
    return found
