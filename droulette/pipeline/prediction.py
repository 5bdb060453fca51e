"""A trained model's output as a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from droulette.learning.model_file import Model


def as_table(model: Model, filenames: list[str], predicted: np.ndarray, deviation: np.ndarray) -> pd.DataFrame:
    """Predictions as a part's table: filename, the model's columns, and their standard deviations as `std:…`."""
    frame = pd.DataFrame(predicted, columns=list(model.columns))
    frame = frame.join(pd.DataFrame(deviation, columns=[f"std:{column}" for column in model.columns]))
    frame.insert(0, "filename", filenames)
    return frame
