"""One visitor's page: controls, pictures, tables, and what happens when one of them changes."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from bokeh.document import Document, without_document_lock
from bokeh.events import DocumentReady
from bokeh.models import Button, CheckboxGroup, Column, ColumnDataSource, CustomJS, Div, InlineStyleSheet, Row, Spinner
from jinja2 import Template

from droulette.errors import UserError, one_line
from droulette.exploring import dropped, view
from droulette.exploring.controls import TEMPLATE, Controls
from droulette.exploring.figures import LINES, POINTS, Figures, key_style
from droulette.exploring.saving import FORMATS
from droulette.exploring.settings import Settings
from droulette.exploring.view import View

LOG = logging.getLogger("droulette")
LAYERS = {**LINES, **POINTS}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PATIENCE = 0.4  # s, after which the page says that something is being drawn
REST = 150  # ms
PIXEL_SCALE = 0.05  # arcsec, unless a telescope says it
SAVE = """
const [name, text] = [source.data.name[0], source.data.base64[0]];
const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const link = document.createElement("a");
link.href = URL.createObjectURL(new Blob([bytes]));
link.download = name;
link.click();
setTimeout(() => URL.revokeObjectURL(link.href), 10000);
"""


class Page:
    """The page in a Bokeh document.

    first: the settings that it opens with. model: the file of the network for dropped pictures.
    worker: a thread that draws, for all pages.
    """

    def __init__(self, document: Document, first: Settings, model: Path, worker: ThreadPoolExecutor) -> None:
        self._document, self._model, self._worker = document, model, worker
        self._curves = view.Curves()
        self._wanted: Callable[[], View] | None = None
        self._is_drawing = False
        self._tables: Any = None

        self.figures = Figures(shown={*LAYERS})
        self.titles = [Div(name=f"title_{k}", text=" ") for k in range(3)]
        self.message, self.facts, self.amplitudes = (Div(name=name) for name in ("message", "facts", "amplitudes"))
        self.saved = ColumnDataSource({"name": [], "base64": []}, name="saved")
        self.saved.js_on_change("data", CustomJS(args={"source": self.saved}, code=SAVE))
        self.dropped = ColumnDataSource({"name": [], "base64": []}, name="dropped")
        self.dropped.on_change("data", lambda attr, old, new: self._drop(new))
        self.controls = Controls(first, self._draw_scene)
        self.pixel_scale = Spinner(
            title="pixel of a COOLEST file, arcsec", value=PIXEL_SCALE, low=1e-6, step=0.01, name="pixel_scale",
            stylesheets=[self.controls.style],
        )  # fmt: skip
        self._lay_out()
        self._draw_scene()

    # ------------------------------------------------------------ drawing

    def _draw_scene(self) -> None:
        settings = self.controls.settings()
        self._want(lambda: view.of_settings(settings, self._curves))

    def _want(self, make: Callable[[], View]) -> None:
        """Draw this next. While one view is drawn, only the last that was asked for waits."""
        self._wanted = make
        if not self._is_drawing:
            self._is_drawing = True
            self._document.add_next_tick_callback(self._draw)

    @without_document_lock
    async def _draw(self) -> None:
        try:
            while (make := self._wanted) is not None:
                self._wanted = None
                drawn = asyncio.get_running_loop().run_in_executor(self._worker, _tried, make)
                done, _ = await asyncio.wait([drawn], timeout=PATIENCE)
                if not done:
                    wait = "Drawing … a lens or source that is new to this machine takes some seconds at first."
                    self._document.add_next_tick_callback(partial(self._say, [wait]))
                self._document.add_next_tick_callback(partial(self._show, await drawn))
        finally:
            self._is_drawing = False

    def _show(self, found: View | UserError) -> None:
        if isinstance(found, UserError):
            self._say([str(found)], "error")
            return
        self._say(list(found.notes))
        self.figures.show(found)
        texts = (found.title, "Roulette simulation", "Difference")
        for title, text in zip(self.titles, texts, strict=True):
            _set(title, f"<h2>{escape(text)}</h2>")
        if self._tables is not None:
            self._document.remove_timeout_callback(self._tables)
        self._tables = self._document.add_timeout_callback(partial(self._show_tables, found), REST)

    def _show_tables(self, found: View) -> None:
        """Tables cost the browser more than pictures do, and wait for a rest in a slider's drag."""
        self._tables = None
        _set(self.facts, _facts(found.facts))
        _set(self.amplitudes, _amplitudes(found))

    def _say(self, lines: list[str], kind: str = "note") -> None:
        _set(self.message, "".join(f'<p class="{kind}">{escape(one_line(line))}</p>' for line in lines))

    # ------------------------------------------------------------ files

    def _drop(self, data: dict[str, Any]) -> None:
        try:
            names, texts = list(data["name"]), list(data["base64"])
            content = dropped.decode(texts[0])
        except (UserError, KeyError, IndexError, TypeError) as error:
            self._say([str(error)], "error")
            return
        name = one_line(str(names[0]) if names else "picture")[:80]
        self.controls.leave_preset()
        self._want(lambda: dropped.predict(content, name, self._model))

    def _save(self, label: str) -> None:
        try:
            file = FORMATS[label](self.controls.settings().scene(), float(self.pixel_scale.value))
        except UserError as error:
            self._say([str(error)], "error")
            return
        self._say([f"{file.name}: {note}" for note in file.notes])
        self.saved.data = {"name": [file.name], "base64": [base64.b64encode(file.content).decode()]}

    # ------------------------------------------------------------ layout

    def _lay_out(self) -> None:
        controls = self.controls
        layers = CheckboxGroup(
            labels=[label for _, _, label in LAYERS.values()], active=list(range(len(LAYERS))), name="layers",
            stylesheets=[controls.style, InlineStyleSheet(css=key_style())],
        )  # fmt: skip
        layers.on_change("active", lambda attr, old, new: self._show_layers(new))
        save = []
        for label in FORMATS:
            button = Button(label=label, name=f"save_{label}", stylesheets=[controls.style])
            button.on_click(partial(self._save, label))
            save.append(button)
        columns = controls.columns
        roots = {
            "choice": [controls.preset],
            "lens": [controls.lens, controls.added, columns["lens"]],
            "source": [controls.source, columns["source"], columns["position"]],
            "instrument": [controls.instrument, columns["instrument"]],
            "order": [controls.nterms, controls.imagesize, controls.centred],
            "layers": [layers],
        }
        for name, children in roots.items():
            self._document.add_root(Column(*children, name=f"root_{name}", sizing_mode="stretch_width"))
        self._document.add_root(Column(Row(*save), self.pixel_scale, name="root_save"))
        for model in (*self.figures.all, *self.titles, self.message, self.facts, self.amplitudes):
            self._document.add_root(model)
        for data in (self.saved, self.dropped, self.figures.frame):
            self._document.add_root(data)
        self._document.js_on_event(DocumentReady, CustomJS(code="fit()"))
        self._document.js_on_event(DocumentReady, self.figures.unpack)  # of a frame that was drawn before
        self._document.title = "droulette explore"
        self._document.template = Template((TEMPLATE / "page.html").read_text(), autoescape=False)
        self._document.template_variables.update(
            css=(TEMPLATE / "page.css").read_text(),
            script=(TEMPLATE / "page.js").read_text(),
            most_bytes=dropped.MOST_BYTES,
            full_colour=view.DIFFERENCE,
        )
        divs = (*self.titles, self.message, self.facts, self.amplitudes)
        for div in divs:
            div.update(stylesheets=[controls.style], sizing_mode="stretch_width")

    def _show_layers(self, active: list[int]) -> None:
        self.figures.shown = {name for number, name in enumerate(LAYERS) if number in active}
        self.figures.show_layers()


def _tried(make: Callable[[], View]) -> View | UserError:
    try:
        return make()
    except UserError as error:
        return error
    except Exception:  # a page that stands still would say nothing
        LOG.exception("the page could not be drawn")
        return UserError("this could not be drawn: the terminal says why")


def _set(div: Div, text: str) -> None:
    if div.text != text:
        div.text = text


def _facts(facts: dict[str, str]) -> str:
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in facts.items())
    return f"<dl>{rows}</dl>"


def _value(row: pd.Series, kind: str, s: int) -> str:
    """α or β, with its standard deviation if it is a prediction."""
    if f"{kind}_std" not in row or (kind == "beta" and s == 0):
        return f"{row[kind]:.6g}"
    return f"{row[kind]:.3g} ± {row[f'{kind}_std']:.1g}"


def _amplitudes(found: View) -> str:
    table = found.amplitudes.table
    rows = []
    for (m, s), row in table.iterrows():
        cells = [_value(row, kind, s) for kind in ("alpha", "beta")]
        unit = {0: "", 1: "px"}.get(1 - m, f"px{str(1 - m).translate(_RAISED)}")
        rows.append(f"<tr><th>{m}</th><th>{s}</th><td>{'</td><td>'.join(cells)}</td><td>{unit}</td></tr>")
    head = "<tr><th>m</th><th>s</th><th>α</th><th>β</th><th>unit</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
