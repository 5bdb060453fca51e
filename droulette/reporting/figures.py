"""Results as Plotly figures, without colours of their own where the page's dark and light templates have some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.special import erf

from droulette.learning.calibration import SHARES
from droulette.pipeline.noise_metrics import error_curves, three_digits
from droulette.pipeline.plots import CLIP
from droulette.quantities import BUILT_IN, symbol
from droulette.reporting.results import Results

Curves = Mapping[str, pd.DataFrame]

GREY = "#888888"  # readable on white and on black
RATIO = "signal-to-noise ratio"
BARS = 30  # of a histogram
BINS = 10  # with equally many rows of the test rows
NUMBERS = {"loss": "loss", "r2_quantile": "R², quantile scale", "r2": "R², pixels", "mae": "mean absolute error"}


def curves(
    logged: Mapping[str, pd.DataFrame], others: Mapping[str, Mapping[str, pd.DataFrame]]
) -> dict[str, go.Figure]:
    """A figure for each number that was logged while training, of this model and dashed of the others."""
    found: dict[str, go.Figure] = {}
    for run, tables in ({"": logged} | dict(others)).items():
        for name, table in tables.items():
            part, _, number = name.rpartition("/")
            figure = found.setdefault(number, _figure("epoch", NUMBERS.get(number, number.replace("_", " "))))
            figure.add_scatter(
                x=table["step"], y=table["value"], mode="lines+markers", line_dash="dash" if run else "solid",
                name=", ".join(filter(None, [part or number.replace("_", " "), run])),
            )  # fmt: skip
    for figure in found.values():
        figure.update_layout(showlegend=len(figure.data) > 1)
    return dict(sorted(found.items(), key=lambda item: [*NUMBERS, item[0]].index(item[0])))


def scores(columns: pd.DataFrame, others: Mapping[str, pd.DataFrame]) -> go.Figure:
    """R² of each column of the test rows."""
    testing = columns[columns["part"] == "testing"].iloc[::-1]
    names = [symbol(column) for column in testing["column"]]
    figure = _figure("R² of the testing part", "")
    for other, table in others.items():
        table = table[table["part"] == "testing"].set_index("column")["r2_quantile"]
        figure.add_bar(y=names, x=table.reindex(testing["column"]), name=f"quantile scale, {other}", orientation="h")
    figure.add_bar(y=names, x=testing["r2"], name="pixels", orientation="h")
    figure.add_bar(y=names, x=testing["r2_quantile"], name="quantile scale", orientation="h")
    if "linear_r2_quantile" in testing:
        marker = {"symbol": "line-ns-open", "color": GREY, "size": 9, "line": {"width": 2}}
        figure.add_scatter(
            y=names, x=testing["linear_r2_quantile"], name="linear model, quantile scale", mode="markers", marker=marker
        )
    figure.update_xaxes(range=[-0.1, 1])
    figure.update_layout(barmode="group", bargap=0.25, hovermode="y unified", legend_traceorder="reversed")
    figure.update_yaxes(tickmode="linear")
    return figure


def groups(results: Results) -> dict[str, go.Figure]:
    """R² on the quantile scale by order, band of Einstein radius, lens model and noise, beside baselines."""
    tables = {"order of the amplitudes": (results.orders, lambda row: row["order"])}
    if results.bands is not None:
        label = BUILT_IN["einsteinradius"].caption
        tables[label] = (results.bands, lambda row: f"{row['from']:.3g}–{row['to']:.3g}")
    if results.families is not None:
        tables["lens model"] = (results.families, lambda row: row["lens"])
    if results.noise is not None and results.noise.bands is not None:
        tables[RATIO] = (results.noise.bands, lambda row: f"{three_digits(row['from'])}–{three_digits(row['to'])}")
    found = {}
    for title, (table, label) in tables.items():
        testing = table[table["part"] == "testing"]
        figure = _figure(title, "R², quantile scale")
        names = {"r2_quantile": "network", "linear_r2_quantile": "linear model", "baseline_r2_quantile": "means"}
        for column, name in names.items():
            if column in testing:
                figure.add_bar(x=testing.apply(label, axis=1), y=testing[column], name=name)
        figure.update_xaxes(type="category")
        figure.update_yaxes(range=[-0.5, 1])
        found[title] = figure
    return found


def against(results: Results) -> dict[str, go.Figure]:
    """Predicted against true of each column: the rows that have pictures, with their 68 % and 95 % intervals."""
    split, reach = results.split, _reach(results)
    count, found = len(split.pictures), {}
    for k, column in enumerate(results.model.columns):
        true, predicted, deviation = (a[:count, k] for a in (split.true, split.predicted, split.deviation))
        low, high = np.quantile(split.true[:, k], [CLIP, 1 - CLIP])
        low, high = (low, high) if high > low else (low - 1, high + 1)
        figure = _figure(f"{symbol(column)}, true", f"{symbol(column)}, predicted")
        figure.add_scatter(x=[low, high], y=[low, high], mode="lines", line={"color": GREY, "width": 1}, name="equal")
        figure.data[0].hoverinfo = "skip"
        for name, width, thickness in (("95 % interval", deviation * reach[k], 0.4), ("68 % interval", deviation, 1.2)):
            figure.add_scatter(
                x=true, y=predicted, mode="markers", name=name, hoverinfo="skip",
                marker={"symbol": "line-ns-open", "size": 5, "color": GREY, "line": {"width": 2 * thickness}},
                error_y={"array": width, "thickness": thickness, "width": 0, "color": "rgba(136,136,136,0.55)"},
            )  # fmt: skip
        figure.add_scatter(
            x=true, y=predicted, mode="markers", marker={"size": 6, "opacity": 0.8}, name="picture",
            customdata=np.arange(count), text=_names(split), hovertext=[f"± {width:.2g}" for width in deviation],
            hovertemplate="%{text}<br>true %{x:.4g}<br>predicted %{y:.4g} %{hovertext}<extra></extra>",
        )  # fmt: skip
        figure.update_xaxes(range=[low, high])
        figure.update_yaxes(range=[low, high])
        found[symbol(column)] = figure
    return found


def errors(results: Results) -> dict[str, dict[str, go.Figure]]:
    """Of each property of a row, and each measure of its error, the error against the property.

    Points are the rows with pictures; the line is the median of all rows of the test rows, in BINS of the property,
    the band from the 16th to the 84th percentile.
    """
    split = results.split
    measures = {"picture error": results.differences, "all columns, of the mean error": _relative(results)}
    for k, column in enumerate(results.model.columns):
        measures[symbol(column)] = np.abs(split.predicted - split.true)[:, k]
    found: dict[str, dict[str, go.Figure]] = {}
    for label, values in _properties(results).items():
        found[label] = {}
        for measure, size in measures.items():
            title = measure if measure not in map(symbol, results.model.columns) else f"|error| of {measure}"
            figure = _figure(label, title)
            _add_percentiles(figure, values[: len(size)], size)
            shown = min(len(split.pictures), len(size))
            figure.add_scatter(
                x=values[:shown], y=size[:shown], mode="markers", marker={"size": 5, "opacity": 0.6}, name="picture",
                customdata=np.arange(shown), text=_names(split)[:shown],
                hovertemplate="%{text}<br>%{x:.3g}, error %{y:.3g}<extra></extra>",
            )  # fmt: skip
            figure.update_yaxes(type="log", range=_decades(size), dtick="D2")
            figure.update_layout(showlegend=False)
            found[label][measure] = figure
    return found


def calibration(results: Results) -> go.Figure:
    """How many errors lie within so many predicted standard deviations: each column, all, and a normal distribution."""
    split = results.split
    widths = np.linspace(0, 4, 81)
    ratio = np.abs(split.predicted - split.true) / np.maximum(split.deviation, 1e-300)
    below = (ratio[None] <= widths[:, None, None]).mean(axis=1)
    figure = _figure("|error| / predicted standard deviation", "share of rows below")
    for k, column in enumerate(results.model.columns):
        figure.add_scatter(
            x=widths, y=below[:, k], mode="lines", line={"color": "rgba(136,136,136,0.45)", "width": 1},
            name=symbol(column), legendgroup="column", showlegend=False,
        )  # fmt: skip
    figure.add_scatter(x=widths, y=below.mean(axis=1), mode="lines", line_width=3, name="all columns")
    normal = erf(widths / np.sqrt(2))
    figure.add_scatter(x=widths, y=normal, mode="lines", line={"dash": "dot", "width": 2}, name="normal distribution")
    for share in SHARES:
        label = {"annotation_text": f"{share:.0%}", "annotation_position": "top left"}  # where no curve is
        figure.add_hline(share, line={"color": GREY, "width": 1, "dash": "dash"}, **label)
    figure.update_xaxes(range=[0, 4])
    figure.update_yaxes(range=[0, 1.02])
    return figure


def coverages(columns: pd.DataFrame) -> go.Figure:
    """The share of the rows of each column within its intervals."""
    testing = columns[columns["part"] == "testing"]
    figure = _figure("share within the interval", "")
    for share in SHARES:
        if (column := f"coverage{share * 100:.0f}") in testing:
            names = [symbol(name) for name in testing["column"]]
            figure.add_scatter(y=names, x=testing[column], mode="markers", name=f"{share:.0%} interval")
            figure.add_vline(share, line={"color": GREY, "width": 1, "dash": "dash"})
    figure.update_xaxes(range=[0.5, 1])
    figure.update_yaxes(autorange="reversed", tickmode="linear")
    return figure


def histograms(pictures: pd.DataFrame) -> dict[str, go.Figure]:
    """Noise, PSF, pixel scale and signal-to-noise ratio of pictures, see `about_pictures`, as far as they are known."""
    labels = {
        "noise": "standard deviation of the noise, grey levels",
        "psf_fwhm": "full width of the PSF at half maximum, px",
        "pixel_scale": "pixel scale, arcsec",
        "signal_to_noise": RATIO,
    }
    found = {}
    for column, label in labels.items():
        values = pictures[column].to_numpy(np.float64) if column in pictures else np.empty(0)
        values = values[np.isfinite(values)]
        logarithmic = column == "signal_to_noise"
        if logarithmic:
            values = values[values > 0]
        if not len(values) or (column == "pixel_scale" and not values.any()):
            continue
        values = np.log10(values) if logarithmic else values
        low, high = values.min(), values.max()
        if low == high:  # a bar in the middle
            low, high = low - 0.1 * (abs(low) or 1), high + 0.1 * (abs(high) or 1)
        counts, edges = np.histogram(values, bins=BARS + 1, range=(low, high))
        figure = _figure(label, "pictures")
        figure.add_scatter(
            x=10**edges if logarithmic else edges, y=[*counts.tolist(), 0], mode="lines", line_shape="hv",
            fill="tozeroy", name="pictures", hovertemplate="from %{x:.3g}: %{y}<extra></extra>",
        )  # fmt: skip
        if logarithmic:
            figure.update_xaxes(type="log")
        figure.update_layout(showlegend=False)
        found[label] = figure
    return found


def error_against_noise(results: Results) -> go.Figure | None:
    """The median error of each order of amplitudes against the signal-to-noise ratio, where that was measured."""
    if results.split.signal_to_noise is None:
        return None
    table = error_curves(results.split, results.model.columns)
    figure = _figure(RATIO, "median |error| / standard deviation of the true values")
    for order, curve in table.groupby("order", sort=False):
        figure.add_scatter(
            x=curve["signal_to_noise"], y=curve["error"], mode="lines+markers", name=order,
            hovertemplate="%{x:.3g}: %{y:.3g}",
        )  # fmt: skip
    figure.update_xaxes(type="log")
    figure.update_yaxes(rangemode="tozero")
    return figure


def _figure(x: str, y: str) -> go.Figure:
    # The page's own template stands in for Plotly's default, which would be stored in each figure.
    return go.Figure(layout={"template": "none", "xaxis": {"title": x}, "yaxis": {"title": y}})


def _reach(results: Results) -> np.ndarray:
    """(C,): so many standard deviations are the 95 % interval."""
    calibrated = results.model.calibration
    return calibrated.reach() if calibrated else np.full(len(results.model.columns), 1.96)


def _relative(results: Results) -> np.ndarray:
    """(n,): the mean over the columns of a row's |error|, each as a multiple of its column's mean."""
    error = np.abs(results.split.predicted - results.split.true)
    return (error / np.maximum(error.mean(axis=0), 1e-300)).mean(axis=1)


def _properties(results: Results) -> dict[str, np.ndarray]:
    """(n,) of each property that all rows have as a number."""
    found = {BUILT_IN["einsteinradius"].caption: results.radii}
    for column, table in (("ellipseratio", results.lenses), ("sigma", results.roulette)):
        values = (
            pd.to_numeric(table[column], errors="coerce").to_numpy(float) if column in table else np.array([np.nan])
        )
        if np.isfinite(values).all():
            found[BUILT_IN[column].caption] = values
    return found


def _add_percentiles(figure: go.Figure, values: np.ndarray, size: np.ndarray) -> None:
    order = np.argsort(values, kind="stable")
    bins = [rows for rows in np.array_split(order, BINS) if len(rows)]
    middle = [values[rows].mean() for rows in bins]
    low, median, high = np.array([np.percentile(size[rows], [16, 50, 84]) for rows in bins]).T
    figure.add_scatter(x=middle, y=low, mode="lines", line_width=0, name="16 %", hoverinfo="skip")
    band = {"fill": "tonexty", "fillcolor": "rgba(136,136,136,0.25)"}
    figure.add_scatter(x=middle, y=high, mode="lines", line_width=0, name="84 %", hoverinfo="skip", **band)
    line = {"width": 3, "color": GREY}
    figure.add_scatter(x=middle, y=median, mode="lines", line=line, name="median", hovertemplate="median %{y:.3g}")


def _decades(size: np.ndarray) -> list[float]:
    """Ends of a logarithmic axis that leave out the smallest of errors, which are accidents."""
    positive = size[size > 0]
    if not len(positive):
        return [-1, 1]
    return [float(np.log10(np.quantile(positive, 0.01)) - 0.1), float(np.log10(positive.max()) + 0.1)]


def _names(split) -> Sequence[str]:
    return list(split.table["filename"][: len(split.pictures)])
