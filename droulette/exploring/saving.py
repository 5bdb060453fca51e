"""Files of a scene. Another format is another entry of FORMATS, and has its button on the page."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from droulette.api.scene import NAME, Scene
from droulette.formats import coolest
from droulette.pipeline.descriptions import scene_of
from droulette.pipeline.generate import Drawing, generate


@dataclass(frozen=True)
class File:
    """name: that the browser saves it by. notes: what a reader of the file should know, a line each."""

    name: str
    content: bytes
    notes: tuple[str, ...] = ()


def toml(scene: Scene, pixel_scale: float) -> File:
    """A TOML file that `droulette generate` draws."""
    return File("scene.toml", scene.to_toml().encode())


def coolest_json(scene: Scene, pixel_scale: float) -> File:
    """A COOLEST file. pixel_scale: side of a pixel, arcsec, where the scene's instrument does not say it.

    Raises:
        UserError: a lens or source that COOLEST has not.
    """
    row = scene.row()
    pixel_scale = float(row.get("pixelscale", pixel_scale))
    plain = replace(scene_of(pd.DataFrame([row]), 1, NAME, pixel_scale), size=scene.imagesize)
    notes = [f"A pixel is {pixel_scale:g} arcsec in the file.", *(note.removeprefix("row 1: ") for note in plain.notes)]
    notes += ["Its pixels are about the lens, not about the centre of light."] if scene.centred else []
    return File("scene.json", json.dumps(coolest.document(plain), indent=2, ensure_ascii=False).encode(), tuple(notes))


def png(scene: Scene, pixel_scale: float) -> File:
    """The picture's file, as `droulette generate` writes it: 8 bits, or 16 with an instrument."""
    drawing = Drawing(imagesize=scene.imagesize, centred=scene.centred, nterms=scene.nterms)
    row = scene.row()
    with tempfile.TemporaryDirectory() as folder:
        generate(pd.DataFrame([row]), drawing, Path(folder), name=NAME, workers=1)
        return File("scene.png", (Path(folder) / str(row["filename"])).read_bytes())


# What is on the button, and what makes the file of a scene and of the side of its pixels in arcsec.
FORMATS: dict[str, Callable[[Scene, float], File]] = {"TOML": toml, "COOLEST": coolest_json, "PNG": png}
