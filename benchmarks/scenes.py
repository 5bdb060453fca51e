"""The scenes that the benchmarks draw: one SIE and a SersicSphere each, of the published experiments' distribution."""

from __future__ import annotations

import pandas as pd

from droulette import parameters
from droulette.physics.lenses import SIE
from droulette.physics.mappings import Raytrace
from droulette.physics.rendering import Scenes
from droulette.physics.sources import SersicSphere
from droulette.pipeline.draw import draw_table

TOML = """
[simulator]
size = {rows}
seed = 1
nterms = {nterms}
model = "Raytrace"
imagesize = {imagesize}
cropsize = {cropsize}
centred = true
[lens]
mode = "SIE"
einstein-min = {e[0]}
einstein-max = {e[1]}
ellipseratio-min = 0.1
ellipseratio-max = 0.9
orientation-min = 0
orientation-max = 180
[source]
mode = "SersicSphere"
sigma-min = {s[0]}
sigma-max = {s[1]}
n_sersic-min = 1
n_sersic-max = 5
luminosity-min = 20
luminosity-max = 80
position = "relative"
[position]
phi-min = 0
phi-max = 360
r-relativemax = 1.2
"""


def toml(rows: int, nterms: int = 4, cropsize: int = 256) -> str:
    """Scaled to pictures of `cropsize` pixels, on a canvas of twice as many."""
    scale = cropsize / 256
    lengths = {"e": (2.5 * scale, 75 * scale), "s": (5 * scale, 50 * scale)}
    return TOML.format(rows=rows, nterms=nterms, imagesize=2 * cropsize, cropsize=cropsize, **lengths)


def table(rows: int) -> pd.DataFrame:
    import tomllib

    return draw_table(parameters.parse(tomllib.loads(toml(rows))))


def scene(frame: pd.DataFrame) -> Scenes:
    """The rows of a table, as one batch."""

    def column(name: str):
        return frame[name].to_numpy(float, copy=True)

    lens = SIE(column("einsteinradius"), column("ellipseratio"), column("orientation"))
    source = SersicSphere(column("sigma"), column("n_sersic"), column("luminosity"))
    return Scenes(Raytrace(lens, column("x"), column("y")), source)
