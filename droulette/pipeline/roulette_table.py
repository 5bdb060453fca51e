"""What is found of a dataset's rows, and the table that it makes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from droulette.physics.amplitudes import orders
from droulette.physics.sources import SOURCES
from droulette.pipeline.instruments import COLUMNS
from droulette.pipeline.scenes import source_columns
from droulette.quantities import amplitude_columns


class Results:
    """Reference points ξ₀, their residuals, centres of light and amplitudes of n rows, filled in as they are found."""

    def __init__(self, count: int, nterms: int) -> None:
        self.xi = np.zeros((2, count))
        self.offset = np.zeros((2, count))
        self.centre = np.zeros((2, count))
        self.alpha = np.zeros((len(orders(nterms)), count))
        self.beta = np.zeros((len(orders(nterms)), count))
        self.factor = np.ones(count)
        self.light = np.zeros(count)  # of the lens
        self.source_light = np.zeros(count)

    def table(self, frame: pd.DataFrame, nterms: int) -> pd.DataFrame:
        """The roulette table of the dataset table's rows."""
        # A column must not hang on the sources in this chunk.
        named = ["filename", *source_columns(SOURCES)]
        eta = np.stack([frame["x"], frame["y"]]).astype(np.float64)
        pairs = {
            "lens": 0.0 - self.centre,
            "centre": self.centre,
            "releta": eta - self.centre,
            "offset": self.offset,
            "xi": self.xi - self.centre,
        }
        amplitudes = np.stack([self.alpha, self.beta], axis=1).reshape(-1, len(frame))
        names = [f"{name}{axis}" for name in pairs for axis in "XY"] + amplitude_columns(nterms)
        numbers = pd.DataFrame(np.concatenate([*pairs.values(), amplitudes]).T, frame.index, names)
        if "psf" in frame:
            named += COLUMNS
            frame = frame.assign(brightness=self.factor)
            if "lightratio" in frame:
                frame = frame.assign(lightflux=self.light)
            if "neighbours" in frame:
                frame = frame.assign(sourceflux=self.source_light)
        place = {column: k for k, column in enumerate(frame)}
        kept = frame.take([place[column] for column in named if column in place], axis=1)  # a fifth of the time by name
        return pd.concat([kept, numbers], axis=1)
