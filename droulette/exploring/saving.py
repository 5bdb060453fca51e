"""Files of a scene. Another format is another entry of FORMATS, and has its button on the page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from droulette.api.scene import NAME, Scene
from droulette.pipeline.generate import Drawing, generate


def toml(scene: Scene) -> bytes:
    """A TOML file that `droulette.datagen` draws."""
    return scene.to_toml().encode()


def png(scene: Scene) -> bytes:
    """The picture's file, as `droulette.datagen` writes it: 8 bits, or 16 with an instrument."""
    drawing = Drawing(imagesize=scene.imagesize, centred=scene.centred, nterms=scene.nterms)
    row = scene.row()
    with tempfile.TemporaryDirectory() as folder:
        generate(pd.DataFrame([row]), drawing, Path(folder), name=NAME, workers=1)
        return (Path(folder) / str(row["filename"])).read_bytes()


# What the button is called, the file's name, and what makes its bytes.
FORMATS: dict[str, tuple[str, Callable[[Scene], bytes]]] = {
    "TOML": ("scene.toml", toml),
    "PNG": ("scene.png", png),
}
