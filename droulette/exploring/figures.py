"""The three pictures with their axes and what is drawn over them."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Range1d
from bokeh.plotting import figure

from droulette.exploring.view import DIFFERENCE, View

SIDE = 300  # screen px
AXES = "#7d8590"  # read on white and on black
# What may be drawn over a picture: colour, dashes; and what it is called.
LINES = {
    "critical": ("#ffb000", "solid", "critical curves"),
    "caustic": ("#7ee787", "dashed", "caustics"),
    "circle": ("#4cc9f0", "dotted", "circle of convergence"),
    "contour": ("#ff7ab6", "solid", "contours of a prediction"),
}
POINTS = {
    "lens": ("#ffffff", "cross", "centres of the lens"),
    "reference": ("#4cc9f0", "circle", "reference point ξ₀"),
    "source": ("#7ee787", "star", "source η"),
}

SIGNS = {"solid": "──", "dashed": "╌╌", "dotted": "┈┈", "cross": "+", "circle": "○", "star": "☆"}  # in a key


def key_style() -> str:
    """CSS that sets the sign of each line and point before its label in a group of check boxes."""
    rule = "label:nth-of-type({}) span::before {{ content: '{}'; color: {}; }}"
    shown = enumerate([*LINES.values(), *POINTS.values()], start=1)
    return "\n".join(rule.format(number, SIGNS[form], colour) for number, (colour, form, _) in shown)


def _table(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """(256,) uint32: what Bokeh takes for a colour, bytes red, green, blue, opaque."""
    colours = np.stack([red, green, blue, np.full(256, 255)], axis=1)
    return np.ascontiguousarray(np.rint(colours).astype(np.uint8)).view(np.uint32)[:, 0]


_GREY = _table(*(np.arange(256.0),) * 3)
_SIGNED = np.arange(256.0)[:, None] - 128  # black in the middle
_RED, _BLUE = np.clip(_SIGNED[:, 0] / 127, 0, 1), np.clip(-_SIGNED[:, 0] / 127, 0, 1)
_DIVERGING = _table(255 * _RED + 70 * _BLUE, 110 * _RED + 160 * _BLUE, 80 * _RED + 255 * _BLUE)


def grey(picture: np.ndarray) -> np.ndarray:
    """(N, N) uint32 of a picture (N, N) uint8, as Bokeh draws it: the lowest row first."""
    return _GREY[picture[::-1]]


def diverging(difference: np.ndarray) -> np.ndarray:
    """The same of differences of grey levels: red where the picture is brighter, blue where it is darker."""
    levels = np.rint(np.clip(difference[::-1] * (127 / DIFFERENCE), -127, 127)).astype(np.int16) + 128
    return _DIVERGING[levels]


# One message brings a whole frame, so that the browser paints it once.
_UNPACK = """
if (!frame.data.picture) return;
const column = (name) => frame.data[name][0];
const [x, y, side] = [column("x"), column("y"), column("side")];
for (const [range, start] of [[x_range, x], [y_range, y]]) {
  const end = start + side;
  if (range.reset_start == start && range.reset_end == end) continue;  // it may be zoomed
  range.setv({start, end, reset_start: start, reset_end: end});
}
const pictures = ["picture", "roulette", "difference"].map((name) => [name, [column(name)]]);
images.data = {...Object.fromEntries(pictures), x: [x], y: [y], side: [side]};
const [xs, ys, colour, dash] = column("lines");
lines.data = {xs, ys, colour, dash};
const [at_x, at_y, point_colour, marker] = column("points");
points.data = {x: at_x, y: at_y, colour: point_colour, marker};
"""


class Figures:
    """Three Bokeh figures of one frame. shown: the names of LINES and POINTS that are drawn."""

    def __init__(self, shown: set[str]) -> None:
        self.shown = shown
        self._view: View | None = None
        self.frame = ColumnDataSource(name="frame")
        # What the browser makes of a frame is not sent back.
        self._x, self._y = (Range1d(-128, 128, syncable=False) for _ in "xy")
        columns = (
            ("images", ("picture", "roulette", "difference", "x", "y", "side")),
            ("lines", ("xs", "ys", "colour", "dash")),
            ("points", ("x", "y", "colour", "marker")),
        )
        self._parts = {
            name: ColumnDataSource({key: [] for key in keys}, name=name, syncable=False) for name, keys in columns
        }
        models = {"frame": self.frame, "x_range": self._x, "y_range": self._y, **self._parts}
        self.unpack = CustomJS(args=models, code=_UNPACK)
        self.frame.js_on_change("data", self.unpack)
        self.all = [self._figure(name) for name in ("picture", "roulette", "difference")]

    def _figure(self, name: str):
        first = name == "picture"
        plot = figure(
            name=name, frame_width=SIDE, frame_height=SIDE, x_range=self._x, y_range=self._y,
            tools="pan,wheel_zoom,box_zoom,reset,save", toolbar_location="above", toolbar_inner=True,
            background_fill_color="black", border_fill_color=None, outline_line_color=None,
            min_border_left=46 if first else 8, min_border_right=8, min_border_bottom=26,
        )  # fmt: skip
        plot.toolbar.logo = None
        plot.toolbar.autohide = True
        plot.grid.visible = False
        plot.axis.visible = first  # axes take a tenth of the browser's time for a frame
        for axis in plot.axis:
            axis.update(
                axis_line_color=None, major_tick_in=0, major_tick_line_color=AXES, minor_tick_line_color=None,
                major_label_text_color=AXES, axis_label=None,
            )  # fmt: skip
        plot.image_rgba(name, x="x", y="y", dw="side", dh="side", source=self._parts["images"])
        if name != "difference":
            plot.multi_line("xs", "ys", color="colour", line_dash="dash", line_width=1.6, source=self._parts["lines"])
            points = plot.scatter(
                "x", "y", marker="marker", line_color="colour", fill_color=None, size=11, line_width=2,
                source=self._parts["points"],
            )  # fmt: skip
            points.nonselection_glyph = None
        plot.add_tools(HoverTool(tooltips=[("x, y", "$x{0.0}, $y{0.0} px")], renderers=[], point_policy="follow_mouse"))
        return plot

    def show(self, view: View) -> None:
        """Draw a view in place of the one before."""
        self._view = view
        self.show_layers()

    def show_layers(self) -> None:
        """Draw the view with those lines and points that are to be shown."""
        view = self._view
        if view is None:
            return
        size, (x, y) = len(view.picture), view.middle
        lines = [(line, *LINES[name][:2]) for name in view.lines if name in self.shown for line in view.lines[name]]
        points = [
            (*at, *POINTS[name][:2]) for name in view.points if name in self.shown for at in view.points[name].tolist()
        ]
        columns = {
            "picture": grey(view.picture),
            "roulette": grey(view.roulette),
            "difference": diverging(view.difference),
            "x": x - size / 2 - 0.5,
            "y": y - size / 2 + 0.5,
            "side": size,
            "lines": [
                [line[:, 0].tolist() for line, _, _ in lines],
                [line[:, 1].tolist() for line, _, _ in lines],
                [colour for _, colour, _ in lines],
                [dash for _, _, dash in lines],
            ],
            "points": [[point[k] for point in points] for k in range(4)],
        }
        self.frame.data = {name: [value] for name, value in columns.items()}
