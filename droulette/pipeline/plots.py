"""Pictures of an evaluation, for `dvc plots`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import erf

from droulette import files
from droulette.learning.calibration import SHARES
from droulette.learning.model_file import Model
from droulette.pipeline.evaluated import EvaluatedSplit, picture_differences
from droulette.pipeline.noise_metrics import REACH, NoiseTables, chi2, error_curves, three_digits
from droulette.quantities import label

CLIP = 0.02  # share of the true values cut off at either end of an axis: a few tiny lenses would fill it all


def write(
    directory: str | Path,
    testing: EvaluatedSplit,
    model: Model,
    columns: pd.DataFrame,
    orders: pd.DataFrame,
    bands: pd.DataFrame | None,
    examples: np.ndarray,
    *,
    families: pd.DataFrame | None = None,
    noise: NoiseTables | None = None,
    residuals: dict[str, np.ndarray] | None = None,
) -> None:
    """Write the tables of columns, orders, bands and lens families as CSV, and figures of the test rows as PNG.

    examples: rows of the gallery. noise: of pictures with noise; residuals: then of the examples, see `residuals_of`.
    """
    import matplotlib

    matplotlib.use("Agg")
    directory = Path(directory)
    files.write_csv(columns, directory / "columns.csv")
    files.write_csv(orders, directory / "orders.csv")
    if bands is not None:
        files.write_csv(bands, directory / "bands.csv")
    if families is not None:
        files.write_csv(families, directory / "families.csv")
    _save(predicted_against_true(testing, model.columns, columns), directory / "predicted_against_true.png")
    _save(scores(columns), directory / "columns.png")
    if model.calibration:
        _save(calibration(testing, model), directory / "calibration.png")
    if len(examples):
        drawn = observed_gallery(testing, examples, residuals) if residuals else gallery(testing, examples)
        _save(drawn, directory / "gallery.png")
    if noise is not None:
        _write_noise(directory, testing, model, noise)


def _write_noise(directory: Path, testing: EvaluatedSplit, model: Model, noise: NoiseTables) -> None:
    files.write_csv(noise.pictures, directory / "instrument.csv")
    if noise.grid is not None:
        files.write_csv(noise.grid, directory / "noise_psf.csv")
    if noise.bands is None:
        return
    files.write_csv(noise.bands, directory / "noise.csv")
    curves = error_curves(testing, model.columns)
    if len(curves):
        _save(error_against_noise(curves), directory / "noise.png")


def predicted_against_true(split: EvaluatedSplit, columns: tuple[str, ...], table: pd.DataFrame):
    """One panel a column: predicted against true values, each in the column's units, with its R²."""
    from matplotlib.figure import Figure

    across = min(6, len(columns))
    down = -(-len(columns) // across)
    figure = Figure(figsize=(2.3 * across, 2.4 * down), layout="constrained", dpi=110)
    r2 = table[table["part"] == "testing"].set_index("column")["r2_quantile"]
    for k, column in enumerate(columns):
        axes = figure.add_subplot(down, across, k + 1)
        true, predicted = split.true[:, k], split.predicted[:, k]
        low, high = np.quantile(true, [CLIP, 1 - CLIP])
        low, high = (low, high) if high > low else (low - 1, high + 1)
        axes.plot([low, high], [low, high], color="tab:orange", linewidth=1)
        axes.plot(true, predicted, ".", markersize=1.5, alpha=min(1, 300 / len(true) ** 0.75))
        axes.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
        axes.set_title(f"{label(column)}   {r2[column]:.2f}", fontsize=10)
        axes.tick_params(labelsize=7)
        axes.locator_params(nbins=4)
        axes.ticklabel_format(style="sci", scilimits=(-2, 3), useMathText=True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_offset_text().set_fontsize(7)
    figure.supxlabel("true")
    figure.supylabel("predicted")
    title = f"Testing part, {len(split.true)} pictures; beside each name its R² on the quantile scale"
    figure.suptitle(title, fontsize=11)
    return figure


def scores(table: pd.DataFrame):
    """R² of each column of the test rows, in units and on the quantile scale."""
    from matplotlib.figure import Figure

    testing = table[table["part"] == "testing"]
    figure = Figure(figsize=(7, 0.8 + 0.27 * len(testing)), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    place = np.arange(len(testing))
    axes.barh(place - 0.2, testing["r2_quantile"].clip(-0.1), 0.4, label="quantile scale")
    axes.barh(place + 0.2, testing["r2"].clip(-0.1), 0.4, label="units of the column")
    axes.set_yticks(place, [label(column) for column in testing["column"]])
    axes.invert_yaxis()
    axes.set(xlim=(-0.1, 1), xlabel="R² of the testing part (0: no better than the mean)")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 1.2 / len(testing)), ncols=2, frameon=False)
    return figure


def calibration(split: EvaluatedSplit, model: Model):
    """How many errors lie within so many predicted standard deviations, column by column, and what was promised."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.6), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    widths = np.linspace(0, 4, 161)
    ratio = np.abs(split.predicted - split.true) / np.maximum(split.deviation, 1e-300)
    for k in range(ratio.shape[1]):
        share = np.searchsorted(np.sort(ratio[:, k]), widths) / len(ratio)
        axes.plot(widths, share, color="tab:blue", alpha=0.35, linewidth=0.9, label=None if k else "each column")
    share = np.searchsorted(np.sort(ratio, axis=None), widths) / ratio.size
    axes.plot(widths, share, color="tab:blue", linewidth=2.2, label="all columns")
    axes.plot(widths, erf(widths / np.sqrt(2)), color="black", linestyle=":", label="normal distribution")
    reach = split.reach
    for share, where in zip(SHARES, (1.0, float(np.mean(reach))), strict=True):
        axes.plot([0, where, where], [share, share, 0], color="tab:orange", linewidth=1)
        axes.annotate(f"{share:.0%}", (0, share), xytext=(4, 3), textcoords="offset points", color="tab:orange")
    axes.set(xlim=(0, 4), ylim=(0, 1), xlabel="error / predicted standard deviation", ylabel="share of pictures below")
    axes.set_title("Testing part: how often errors stay within their intervals", fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    return figure


def error_against_noise(curves: pd.DataFrame):
    """The median error of each order of amplitudes against the signal-to-noise ratio. curves: see `error_curves`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.6), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    for order, curve in curves.groupby("order", sort=False):
        axes.plot(curve["signal_to_noise"], curve["error"], marker=".", label=order)
    axes.set(xscale="log", xlabel="signal-to-noise ratio", ylim=(0, None))
    axes.set_ylabel("median |error| / standard deviation of the true values")
    axes.set_title("Testing part: errors of pictures with more or less noise", fontsize=11)
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    return figure


def examples_of(split: EvaluatedSplit, count: int) -> np.ndarray:
    """Rows from the best resimulation to the worst; none where nothing was resimulated."""
    if not (split.resimulated and count):
        return np.empty(0, int)
    error = picture_differences(split)["predicted_true"]
    order = np.argsort(error, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))]


def gallery(split: EvaluatedSplit, rows: np.ndarray):
    """Pictures of rows side by side with their resimulations, brightness on a square-root scale."""
    from matplotlib.figure import Figure

    error = picture_differences(split)["predicted_true"]
    figure = Figure(figsize=(8.4, 2.15 * len(rows) + 0.3), layout="constrained", dpi=110)
    titles = ("raytraced", "roulette, true amplitudes", "roulette, predicted", "predicted − true")
    for down, row in enumerate(rows):
        true, predicted = split.resimulated["true"][row], split.resimulated["predicted"][row]
        change = predicted.astype(float) - true
        shown = (split.pictures[row], true, predicted, change)
        for across, (title, picture) in enumerate(zip(titles, shown, strict=True)):
            axes = figure.add_subplot(len(rows), 4, 4 * down + across + 1)
            if across < 3:
                axes.imshow(np.sqrt(picture / 255), cmap="gray", vmin=0, vmax=1)
            else:
                axes.imshow(change, cmap="RdBu_r", vmin=-255, vmax=255)
            axes.set(xticks=[], yticks=[])
            if down == 0:
                axes.set_title(title, fontsize=10)
            if across == 0:
                axes.set_ylabel(f"{split.table['filename'].iloc[row]}\nerror {error[row]:.4f}", fontsize=8)
    figure.suptitle("Testing part, from the best prediction to the worst", fontsize=11)
    return figure


def observed_gallery(split: EvaluatedSplit, rows: np.ndarray, residuals: dict[str, np.ndarray]):
    """Pictures of rows, their models and what these leave in standard deviations of the noise."""
    from matplotlib.figure import Figure

    error = picture_differences(split)["predicted_true"]
    figure = Figure(figsize=(10.4, 2.2 * len(rows) + 0.7), layout="constrained", dpi=110)
    grid = figure.subplots(len(rows), 5, squeeze=False)
    titles = ("data", "model, predicted amplitudes", "data − model", "model, true amplitudes", "data − model")
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=10)
    for k, (line, row) in enumerate(zip(grid, rows, strict=True)):
        _show(line[0], split.pictures[row])
        line[0].set_ylabel(f"{split.table['filename'].iloc[row]}\nerror {error[row]:.4f}", fontsize=8)
        for place, kind in ((1, "predicted"), (3, "true")):
            _show(line[place], split.resimulated[kind][row])
            left = residuals[kind][k]
            drawn = line[place + 1].imshow(left, cmap="RdBu_r", vmin=-REACH, vmax=REACH)
            line[place + 1].set_xlabel(f"χ² of a pixel {three_digits(chi2(left[None])[0])}", fontsize=8)
            line[place + 1].set(xticks=[], yticks=[])
    label = "data − model, in standard deviations of the noise"
    figure.colorbar(
        drawn, ax=grid, orientation="horizontal", label=label, shrink=0.5, aspect=40, pad=0.01, extend="both"
    )
    figure.suptitle("Testing part, from the best prediction to the worst; models are roulette simulations", fontsize=11)
    return figure


def _show(axes, picture: np.ndarray) -> None:
    """picture: (N, N) uint8."""
    axes.imshow(np.sqrt(picture / 255), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])


def _save(figure, path: Path) -> None:
    with files.atomic_write(path) as partial:
        # Without the version of matplotlib, the same evaluation gives the same bytes.
        figure.savefig(partial, format="png", metadata={"Software": None})
