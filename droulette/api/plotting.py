"""A scene on Matplotlib's axes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from droulette.api.scene import Scene

MARGIN = 99.7  # percentile of an observed picture that is white


class Shown(Figure):
    """A figure that a notebook shows, whether or not pyplot is in use."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png")
        return stream.getvalue()


def plot(scene: Scene, axis, size: int | None, picture: np.ndarray | None) -> Figure:
    """See `Scene.plot`."""
    alone = axis is None
    if alone:
        axis = Shown(figsize=(5.5, 5), layout="constrained").add_subplot()
    picture = scene.picture(size) if picture is None else picture
    extent = scene.extent(len(picture))
    white = 255.0 if picture.dtype == np.uint8 else max(float(np.percentile(picture, MARGIN)), 1e-300)
    axis.imshow(np.sqrt(np.clip(picture / white, 0, 1)), cmap="magma", vmin=0, vmax=1, extent=extent)
    curves = {
        "critical curve": (scene.critical_curves(), {"color": "white", "lw": 1}),
        "caustic": (scene.caustics(), {"color": "gold", "lw": 1, "ls": "--"}),
    }
    for label, (lines, style) in curves.items():
        for number, line in enumerate(lines):
            axis.plot(*line.T, label=None if number else label, **style)
    x, y, radius = scene.circle_of_convergence
    phi = np.linspace(0, 2 * np.pi, 200)
    style = {"color": "deepskyblue", "ls": ":", "lw": 1.2}
    axis.plot(x + radius * np.cos(phi), y + radius * np.sin(phi), label="circle of convergence", **style)
    axis.plot(x, y, "o", color="deepskyblue", ms=5, label="reference point ξ₀")
    axis.plot(*scene.position, "*", color="gold", ms=8, label="source η")
    axis.set(xlim=extent[:2], ylim=extent[2:], xlabel="x, px", ylabel="y, px")
    if alone:
        axis.legend(loc="lower right", fontsize=7, framealpha=0.7)
    return axis.figure
