"""Pictures of a lens that is a map, and of a galaxy's picture as the source, on one core; beside lenstronomy's.

    python benchmarks/tables.py [--pictures 64] [--repeats 5]

lenstronomy 1.14.2's lens and light `INTERPOL` take the same map, its derivatives given, and the same picture.
Both draw 256×256 px with one ray a pixel. The deviation is that of the deflection from the lens that made the map.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from measure import in_turn, peers, report

from droulette.physics.galaxies import Galaxy, GalaxyRows, Portrait
from droulette.physics.lenses import SIE
from droulette.physics.mappings import Raytrace
from droulette.physics.maps import Map, MappedPotential, MapRows
from droulette.physics.rendering import Scenes, render
from droulette.physics.sources import SersicEllipsoid

SIZE, MAP = 256, 256
B, CORE, Q = 30.0, 4.0, 0.8  # of ψ = b √(x² + y²/q² + c²)


def lens_map() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The places of pixels along an axis, and ψ with its derivatives."""
    step = np.arange(MAP) - (MAP - 1) / 2
    x, y = step[None, :], step[:, None]
    q2 = 1 / Q**2
    root = np.sqrt(x * x + y * y * q2 + CORE**2)
    maps = {"f_": B * root, "f_x": B * x / root, "f_y": B * y * q2 / root}
    maps["f_xx"] = B / root - B * x * x / root**3
    maps["f_yy"] = B * q2 / root - B * (y * q2) ** 2 / root**3
    maps["f_xy"] = -B * x * y * q2 / root**3
    return step, maps


def picture() -> np.ndarray:
    y, x = np.mgrid[:96, :96] - 47.5
    return np.exp(-np.hypot(x, 1.5 * y) / 6) * (1.3 + np.cos(2 * np.arctan2(y, x) - np.hypot(x, y) / 4))


def ours(count: int, random: np.random.Generator) -> dict:
    angle, radius = random.uniform(0, 2 * np.pi, count), random.uniform(2, 40, count)
    eta = radius * np.cos(angle), radius * np.sin(angle)
    zero = np.zeros(count)
    _, maps = lens_map()
    one = MappedPotential.of_potential(maps["f_"])
    lens = Map(zero + one.einstein_radius, zero, MapRows.of([one], np.zeros(count, int)))
    sersic = SersicEllipsoid(zero + 8, zero + 5, zero + 30, zero + 1.5, zero + 30)
    galaxy = Galaxy(zero + 8, zero + 30, zero + 30, GalaxyRows.of([Portrait.of(picture())], np.zeros(count, int)), zero)
    sie = SIE(zero + 30, zero + 0.7, zero + 90)
    return {
        "lens map, Sérsic source": lambda: render(Scenes(Raytrace(lens, *eta), sersic), SIZE, zero, zero),
        "SIE, galaxy's picture": lambda: render(Scenes(Raytrace(sie, *eta), galaxy), SIZE, zero, zero),
        "deflection": lens.deflection,
    }


def lenstronomys() -> dict:
    from lenstronomy.Data.pixel_grid import PixelGrid
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    half = (SIZE - 1) / 2
    grid = PixelGrid(SIZE, SIZE, np.eye(2), -half, -half)
    step, maps = lens_map()
    mapped = [{"grid_interp_x": step, "grid_interp_y": step, **maps}]
    sie = [{"theta_E": 30, "e1": 0.17, "e2": 0.0, "center_x": 0, "center_y": 0}]
    sersic = [{"amp": 1, "R_sersic": 6.3, "n_sersic": 1.5, "e1": 0.1, "e2": 0.1, "center_x": 9, "center_y": 12}]
    galaxy = [{"image": picture(), "amp": 1, "center_x": 9, "center_y": 12, "phi_G": 0.5, "scale": 1.0}]

    def model(lens: str, light: str) -> ImageModel:
        return ImageModel(grid, PSF("NONE"), LensModel([lens]), LightModel([light]))

    with_map, with_picture = model("INTERPOL", "SERSIC_ELLIPSE"), model("SIE", "INTERPOL")
    return {
        "lens map, Sérsic source": lambda: with_map.image(mapped, sersic, unconvolved=True),
        "SIE, galaxy's picture": lambda: with_picture.image(sie, galaxy, unconvolved=True),
        "deflection": lambda x, y: LensModel(["INTERPOL"]).alpha(x, y, mapped),
    }


def deviation(deflection) -> float:
    """The median over points within 100 px, px."""
    random = np.random.default_rng(2)
    x, y = random.uniform(-70, 70, (2, 64))
    root = np.sqrt(x * x + y * y / Q**2 + CORE**2)
    found = deflection(x, y)
    return float(np.median(np.hypot(found[0] - B * x / root, found[1] - B * y / Q**2 / root)))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=64, help="at least 64")
    options.add_argument("--repeats", type=int, default=5)
    args = options.parse_args()
    try:
        import lenstronomy  # noqa: F401
    except ImportError:
        peers("lenstronomy")
    mine, theirs = ours(args.pictures, np.random.default_rng(1)), lenstronomys()
    rows = []
    for case in list(mine)[:2]:
        seconds = in_turn({"droulette": mine[case], "lenstronomy": theirs[case]}, args.repeats)
        speed, other = args.pictures / seconds["droulette"], 1 / seconds["lenstronomy"]
        rows.append([case, f"{speed:,.0f}", f"{other:,.1f}", f"{speed / other:,.0f}"])
    off = deviation(ours(64, np.random.default_rng(1))["deflection"]), deviation(theirs["deflection"])
    report(
        "Maps and pictures of galaxies",
        ["pictures a second", "droulette", "lenstronomy", "times as many"],
        rows,
        f"The map's deflections are off by {off[0]:.1e} and {off[1]:.1e} px (median).",
    )


if __name__ == "__main__":
    main()
