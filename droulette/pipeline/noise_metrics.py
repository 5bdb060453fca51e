"""How predictions of pictures with noise depend on the noise and the point spread function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from droulette.learning import metrics
from droulette.learning.observed import FACTS, Facts, Light
from droulette.pipeline.evaluated import EvaluatedSplit, order_of, rows_of, with_targets
from droulette.pipeline.pictures import read_views
from droulette.pipeline.resimulate import resimulate

MOST = 2000  # rows of a part whose signal-to-noise ratio is measured
BINS = 4  # of noise, and of the width of the point spread function
CURVE = 10  # points of a curve against the signal-to-noise ratio
LEAST = 5  # rows of such a point, and of a cell whose R² the report shows
REACH = 5  # standard deviations, at which the colours of residuals end

Pair = tuple[metrics.Scaled, metrics.Scaled]  # true and predicted values of a split
Covered = Callable[[str, np.ndarray], dict[str, float]]  # of some rows of a part: shares inside their intervals


@dataclass(frozen=True)
class NoiseTables:
    """pictures: of the test rows, see `about_pictures`. bands, grid: None where there is nothing to tell apart."""

    pictures: pd.DataFrame
    bands: pd.DataFrame | None
    grid: pd.DataFrame | None


def grey_levels_of_noise(facts: np.ndarray) -> np.ndarray:
    """facts: (n, 6), see `FACTS` → the standard deviation of the background's noise, in grey levels: white / 255."""
    white = facts[:, FACTS.index("white")]
    return facts[:, FACTS.index("noise")] * 255 / np.where(white > 0, white, 255.0)


def about_pictures(split: EvaluatedSplit) -> pd.DataFrame:
    """Of each picture the noise in grey levels, the width of its PSF in px, and the pixel scale in arcsec, or 0.

    Beside them stands the signal-to-noise ratio where it was measured, which is of the first MOST rows.
    """
    table = pd.DataFrame(
        {
            "filename": list(split.table["filename"]),
            "noise": grey_levels_of_noise(split.facts),
            "psf_fwhm": split.facts[:, FACTS.index("psf_fwhm")],
            "pixel_scale": split.facts[:, FACTS.index("pixel_scale")],
        }
    )
    if split.signal_to_noise is not None:
        table["signal_to_noise"] = pd.Series(split.signal_to_noise)
    return table


def by_noise_and_psf(
    splits: dict[str, EvaluatedSplit], pairs: dict[str, Pair], judge: metrics.Judge, covered: Covered
) -> pd.DataFrame | None:
    """R² and coverage on a grid of BINS × BINS, with equally many training rows in each row and in each column.

    Rows beyond the outer edges count to the outer bins. None: the training rows have all the same noise or PSF.
    """
    axes = {name: (grey_levels_of_noise(split.facts), _widths(split)) for name, split in splits.items()}
    noise_edges, psf_edges = (_edges(values) for values in axes["training"])
    if len(noise_edges) < 3 or len(psf_edges) < 3:
        return None
    rows = []
    for name, (true, predicted) in pairs.items():
        noise_bin, psf_bin = _bin(axes[name][0], noise_edges), _bin(axes[name][1], psf_edges)
        for i in range(len(noise_edges) - 1):
            for j in range(len(psf_edges) - 1):
                inside = (noise_bin == i) & (psf_bin == j)
                if inside.sum() < 2:  # a share of a variance needs one
                    continue
                reached = metrics.mean(judge.compare(true[inside], predicted[inside]))
                about = {
                    "part": name,
                    "noise_from": noise_edges[i],
                    "noise_to": noise_edges[i + 1],
                    "psf_from": psf_edges[j],
                    "psf_to": psf_edges[j + 1],
                    "rows": int(inside.sum()),
                    "r2_quantile": reached["r2_quantile"],
                    "r2": reached["r2"],
                }
                rows.append(about | covered(name, inside))
    return pd.DataFrame(rows)


def _widths(split: EvaluatedSplit) -> np.ndarray:
    return split.facts[:, FACTS.index("psf_fwhm")]


def _edges(values: np.ndarray) -> np.ndarray:
    """Quantiles; fewer where a few values are all there are."""
    return np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)))


def _bin(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def error_curves(split: EvaluatedSplit, columns: tuple[str, ...]) -> pd.DataFrame:
    """The median error at signal-to-noise ratios, for each order of the amplitudes, and for what is none.

    An error is |predicted − true| / standard deviation of the column's true values. The points have equally many rows.

    Returns:
        Columns order, signal_to_noise (the median of a point's rows) and error.
    """
    measured = np.flatnonzero(np.isfinite(split.signal_to_noise) & (split.signal_to_noise > 0))
    ratio = split.signal_to_noise[measured]
    deviation = split.true.std(axis=0)
    error = np.abs(split.predicted - split.true)[measured] / np.where(deviation > 0, deviation, 1.0)
    points = max(1, min(CURVE, len(measured) // LEAST))
    parts = np.array_split(np.argsort(ratio, kind="stable"), points)
    of_column = np.array([order_of(column) for column in columns])
    rows = []
    for order in dict.fromkeys(of_column):
        for part in parts:
            if len(part):
                some = error[np.ix_(part, np.flatnonzero(of_column == order))]
                rows.append({"order": order, "signal_to_noise": np.median(ratio[part]), "error": np.median(some)})
    return pd.DataFrame(rows, columns=["order", "signal_to_noise", "error"])


def residuals_of(
    split: EvaluatedSplit,
    rows: np.ndarray,
    columns: Sequence[str],
    table: pd.DataFrame,
    directory: str | Path,
    *,
    name: str,
    kinds: Sequence[str] = ("true", "predicted"),
    **options,
) -> dict[str, np.ndarray]:
    """What the roulette simulations of the true and of the predicted amplitudes leave of the pictures of some rows.

    columns, table, options: as for `resimulate_split`. name: of the table.

    Returns:
        (len(rows), N, N) float32 of each of the `kinds`, in standard deviations of the noise.
    """
    filenames = split.table["filename"].iloc[rows]
    size = split.pictures.shape[-1]
    preprocessings = [Light(size), Facts()]
    light, facts = read_views(directory, list(filenames), preprocessings, table=name, size=size)
    about = rows_of(filenames, table, name)
    found = {}
    for kind in kinds:
        values = getattr(split, kind)[rows]
        replaced = with_targets(about, columns, values)
        model = resimulate(replaced, size, counts=True, name=name, **options)
        found[kind] = in_deviations(light, model, facts)
    return found


def in_deviations(light: np.ndarray, model: np.ndarray, facts: np.ndarray) -> np.ndarray:
    """What a model leaves of pictures, in standard deviations of their noise; in grey levels where there is no noise.

    light, model: (k, N, N) above the background. facts: (k, 6).

    Returns:
        (k, N, N) float32.
    """
    noise, poisson, white = (facts[:, FACTS.index(name), None, None] for name in ("noise", "poisson", "white"))
    variance = noise * noise + poisson * np.maximum(model, 0)
    variance = np.where(variance > 0, variance, (np.where(white > 0, white, 255.0) / 255) ** 2)
    return ((light - model) / np.sqrt(variance)).astype(np.float32)


def chi2(residual: np.ndarray) -> np.ndarray:
    """(k, N, N) in standard deviations → χ² of a pixel, in the mean, (k,)."""
    return np.square(residual, dtype=np.float64).mean(axis=(1, 2))


def three_digits(value: float) -> str:
    """A number to three digits, without an exponent where it is large."""
    short = f"{value:.3g}"
    return f"{float(short):,.0f}" if abs(value) >= 1000 else short
