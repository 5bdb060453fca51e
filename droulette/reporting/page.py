"""A report as one HTML page that needs no other file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from droulette.pipeline import noise_metrics
from droulette.reporting import comparison, figures, images
from droulette.reporting.comparison import Other
from droulette.reporting.overlays import Overlay, overlays
from droulette.reporting.results import Results, versions

GALLERY = 12
PLACES = {"best": 0.0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "worst": 1.0}
METRICS = {
    "r2_quantile": "R², quantile scale",
    "r2": "R², pixels",
    "mae": "mean absolute error",
    "median_relative_error": "median relative error",
    "coverage68": "inside 68 % interval",
    "coverage95": "inside 95 % interval",
    "pictures.predicted_true": "picture error",
}
DIGITS = 4


def page(results: Results, others: Sequence[Other] = (), *, centred: bool) -> str:
    """The page's HTML. centred: pictures are centred on their light."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("droulette", "reporting/template"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip

    def text(name: str) -> str:
        return environment.loader.get_source(environment, name)[0]

    worst_last = np.argsort(results.differences, kind="stable")
    best = {name: int(worst_last[round(share * (len(worst_last) - 1))]) for name, share in PLACES.items()}
    return environment.get_template("page.html.j2").render(
        results=results,
        others=others,
        metrics=METRICS,
        table=metrics_table(results.measured),
        compared=[("this", results.measured), *((other.name, other.measured) for other in others)],
        changes=comparison.changes(results.parameters, list(others)),
        number=number,
        look_up=look_up,
        flat=comparison.flat,
        written=written,
        gallery=gallery(results.radii[: len(results.split.pictures)]),
        resimulations=best,
        fits=fit_lines(results),
        most=noise_metrics.MOST,
        least=noise_metrics.LEAST,
        versions=versions(),
        weights=sum(weight.numel() for weight in results.model.network.parameters()),
        style=Markup(text("page.css") + (text("noise.css") if results.noise else "")),
        script=Markup(text("page.js") + (text("noise.js") if results.noise else "")),
        grid=noise_grid(results.noise.grid) if results.noise and results.noise.grid is not None else None,
        plotly=Markup(get_plotlyjs()),
        data={"pictures": rows(results, centred=centred), "figures": plots(results, others), "themes": themes()},
    )


def plots(results: Results, others: Sequence[Other]) -> dict[str, dict[str, dict]]:
    """Plotly's JSON of each figure: by the name of its place on the page, and of its choices where it has some."""
    tables = {other.name: other.columns for other in others if other.columns is not None}
    found = {
        "curves": figures.curves(results.curves, {other.name: other.curves for other in others}),
        "scores": {"": figures.scores(results.columns, tables)},
        "groups": figures.groups(results),
        "against": figures.against(results),
        "calibration": {"": figures.calibration(results)},
        "coverages": {"": figures.coverages(results.columns)},
    }
    found |= {f"errors:{name}": choices for name, choices in figures.errors(results).items()}
    if results.noise is not None:
        found["histograms"] = figures.histograms(results.noise.pictures)
        against = figures.error_against_noise(results)
        if against is not None:
            found["noise"] = {"": against}
    return {place: {name: plain(figure) for name, figure in some.items()} for place, some in found.items()}


def plain(figure: go.Figure) -> dict:
    """A figure as Plotly's JavaScript reads it; a screen needs no more than single precision."""
    for trace in figure.data:
        for axis in ("x", "y"):
            if getattr(trace[axis], "dtype", None) == np.float64:
                trace[axis] = trace[axis].astype(np.float32)
    return json.loads(figure.to_json())


def themes() -> dict[str, dict]:
    """A Plotly template each for light and dark pages."""
    colours = {
        "light": ("#1f2328", "#d8dee4", ["#0b62c4", "#d4570a", "#1a7f4b", "#8a3ffc", "#b3266b", "#6b6b00"]),
        "dark": ("#e6edf3", "#3a424c", ["#6cb2ff", "#ff9d5c", "#56d391", "#c29bff", "#ff86bd", "#d6d65c"]),
    }
    found = {}
    for name, (text, grid, colorway) in colours.items():
        axis = {"gridcolor": grid, "linecolor": grid, "zerolinecolor": grid, "automargin": True, "ticks": ""}
        label = {"bgcolor": "#ffffff" if name == "light" else "#161b22", "font": {"color": text}}
        layout = {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "colorway": colorway}
        font = {"color": text, "family": "system-ui, sans-serif", "size": 13}
        found[name] = {"layout": layout | {"font": font, "xaxis": axis, "yaxis": axis, "hoverlabel": label}}
    return found


def rows(results: Results, *, centred: bool) -> list[dict]:
    """What the page knows of each row that has a picture."""
    split, count = results.split, len(results.split.pictures)
    lenses, roulette = results.lenses.iloc[:count], results.roulette.iloc[:count]
    drawn = overlays(lenses, roulette, centred=centred)
    facts = lenses.drop(columns=["index", "filename"], errors="ignore")
    found = []
    for row, overlay in enumerate(drawn):
        true, predicted = (split.resimulated[kind][row] for kind in ("true", "predicted"))
        found.append(
            {
                "filename": str(split.table["filename"].iloc[row]),
                "error": number(results.differences[row]),
                "size": int(split.pictures.shape[-1]),
                "raytraced": images.grey(split.pictures[row]),
                "true": images.grey(true),
                "predicted": images.grey(predicted),
                "difference": images.difference(predicted, true),
                "overlay": outline(overlay),
                "facts": [[key, number(value)] for key, value in facts.iloc[row].items() if not _missing(value)],
                "targets": [
                    [figures.symbol(column), *map(number, values)]
                    for column, *values in zip(
                        results.model.columns, split.true[row], split.predicted[row], split.deviation[row], strict=True
                    )
                ],
            }
        )
    if results.residuals is not None:
        chi2 = noise_metrics.chi2(results.residuals)
        for row, known in enumerate(found):
            known["residual"] = images.residual(results.residuals[row])
            known["chi2"] = number(chi2[row])
    return found


def noise_grid(grid: pd.DataFrame) -> dict[str, list]:
    """The testing part's table of noise and PSF, as the page lays it out.

    columns: ends of the bins of PSF. rows: ends of each bin of noise, and for each column a dictionary of metrics,
    or None where there are no such pictures.
    """
    testing = grid[grid["part"] == "testing"]
    columns = sorted(set(zip(grid["psf_from"], grid["psf_to"], strict=True)))
    rows = []
    for ends in sorted(set(zip(grid["noise_from"], grid["noise_to"], strict=True))):
        line = testing[testing["noise_from"] == ends[0]]
        cells = {row["psf_from"]: row for row in line.to_dict("records")}
        rows.append((ends, [cells.get(low) for low, _ in columns]))
    return {"columns": columns, "rows": rows}


def fit_lines(results: Results) -> list[tuple[str, dict]]:
    """Each line of the fits' table: its name, and the metrics of the fit and of the network."""
    if results.fits is None:
        return []
    whole = results.measured["testing"]["fit"]
    first = whole | {f"network_{metric}": value for metric, value in whole["network"].items()}
    words = {"column": figures.symbol, "order": "order {}".format, "band": "band {}".format}
    rest = [(words[line["by"]](line["name"]), line) for line in results.fits.to_dict("records")]
    return [("all columns", first), *rest]


def outline(overlay: Overlay) -> dict:
    """An overlay as lists of x and y, to a tenth of a pixel; several curves are one line with gaps."""
    turn = np.linspace(0, 2 * np.pi, 73)
    circle = overlay.reference + overlay.radius * np.column_stack([np.cos(turn), np.sin(turn)])
    critical: list[list] = []
    for curve in overlay.critical:
        thinned = curve[:: max(1, len(curve) // 80)]
        critical += [*thinned.round(1).tolist(), curve[-1].round(1).tolist(), [None, None]]
    lines = {"critical": critical, "circle": circle.round(1).tolist(), "lenses": overlay.lenses.round(1).tolist()}
    lines["reference"] = [overlay.reference.round(1).tolist()]
    return {name: [list(axis) for axis in zip(*points, strict=True)] or [[], []] for name, points in lines.items()}


def gallery(radii: np.ndarray) -> list[int]:
    """Rows from the smallest to the largest lens."""
    order = np.argsort(radii, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, min(GALLERY, len(order))).round().astype(int))].tolist()


def metrics_table(measured: dict) -> list[tuple[str, dict]]:
    """Each part and its metrics, and the baselines of the test rows."""
    last = measured["testing"]
    beside = [("testing, linear model", last.get("linear", {})), ("testing, training part's means", last["baseline"])]
    return [*measured.items(), *beside]


def look_up(values: dict, dotted: str) -> float | None:
    found = values
    for key in dotted.split("."):
        found = found.get(key, {})
    return found if isinstance(found, float) else None


def number(value: object) -> str:
    """A number to DIGITS digits with a true minus; other values as they are."""
    if value is None:
        return "—"
    if isinstance(value, float | np.floating):
        return f"{value:.{DIGITS}g}".replace("-", "−")
    return str(value)


def written(value: object) -> str:
    """A parameter as TOML has it, but lists without their brackets."""
    if isinstance(value, list):
        return ", ".join(map(written, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _missing(value: object) -> bool:
    return bool(pd.isna(value)) or value == ""


def write(html: str, path: str | Path) -> None:
    from droulette import files

    with files.atomic_write(path) as partial:
        partial.write_text(html, encoding="utf-8")
