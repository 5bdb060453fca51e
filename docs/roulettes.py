"""Draw the pictures of docs/roulettes.md: `python docs/roulettes.py [folder]`, by default docs/images."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from droulette.physics.amplitudes import amplitudes, orders
from droulette.physics.lens_equation import apparent_position
from droulette.physics.lenses import SIE
from droulette.physics.mappings import Raytrace, Roulette, convergence_radius
from droulette.physics.rendering import Scenes, render
from droulette.physics.sources import Spherical
from droulette.pipeline.scenes import critical_radii

matplotlib.use("agg")
import matplotlib.pyplot as plt

SIZE = 200  # px, of each picture
EINSTEIN, AXIS_RATIO, ORIENTATION = 40.0, 0.6, 30.0
ETA = 16.0, 8.0  # px, the source's place
SIGMA = 6.0
NTERMS = 12
LIGHT = {"color": "white", "lw": 0.9}
CIRCLE = {"color": "cyan", "lw": 0.9, "ls": "--"}


def one(*values: float) -> list[np.ndarray]:
    return [np.array([value]) for value in values]


def draw(scene: Scenes) -> np.ndarray:
    """(SIZE, SIZE) grey levels of a batch of one scene, about the origin."""
    zero = np.zeros(1)
    return render(scene, SIZE, zero, zero, supersampling=2)[0]


def show(axis, picture: np.ndarray, title: str = "") -> None:
    half = SIZE / 2
    extent = (-half - 0.5, half - 0.5, -half + 0.5, half + 0.5)  # pixel (i, j) is x = j − N/2, y = N/2 − i
    axis.imshow(np.sqrt(picture / 255), cmap="magma", vmin=0, vmax=1, extent=extent)
    axis.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    axis.set_title(title, fontsize=10)


def save(figure, folder: Path, name: str) -> None:
    figure.savefig(folder / name, dpi=100, metadata={"Software": None})  # the same bytes each time
    plt.close(figure)


def critical_curve() -> tuple[np.ndarray, np.ndarray]:
    phi = np.arange(0.0, 361.0)
    row = {"lens": "SIE", "einsteinradius": EINSTEIN, "ellipseratio": AXIS_RATIO, "orientation": ORIENTATION}
    radius = critical_radii(pd.DataFrame([row] * len(phi)), phi)
    return radius * np.cos(np.deg2rad(phi)), radius * np.sin(np.deg2rad(phi))


def circle(axis, x: float, y: float, radius: float, **style) -> None:
    phi = np.linspace(0, 2 * np.pi, 200)
    axis.plot(x + radius * np.cos(phi), y + radius * np.sin(phi), **CIRCLE | style)


def draw_lensing(folder: Path, lens: SIE, source: Spherical, xi: tuple) -> None:
    """The source as it is, and as the lens shows it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
    no_lens = Roulette.from_amplitudes(*one(*ETA), np.zeros((1, 1)), np.zeros((1, 1)), 0)
    show(left, draw(Scenes(no_lens, source)), "source plane: the galaxy as it is")
    x, y = critical_curve()
    dx, dy = lens.deflection(x, y)
    left.plot(x - dx, y - dy, **LIGHT, label="caustic")
    left.plot(*ETA, "o", color="cyan", ms=4, label="η, the source's place")
    show(right, draw(Scenes(Raytrace(lens, *one(*ETA)), source)), "image plane: what is seen")
    right.plot(x, y, **LIGHT, label="critical curve")
    right.plot(0, 0, "+", color="white", ms=8, label="lens")
    right.plot(*xi, "o", color="cyan", ms=4, label="ξ₀, the reference point")
    for axis in (left, right):
        axis.legend(loc="lower left", fontsize=8, framealpha=0.7)
    save(figure, folder, "lensing.png")


def draw_modes(folder: Path, source: Spherical) -> None:
    """A round source seen through one amplitude each."""
    shown = [(1, 0), (1, 2), (2, 1), (2, 3), (3, 0), (3, 2), (3, 4)]
    strength = {1: 0.4, 2: 0.02, 3: 0.0014}  # px^{1−m}: as strong as shows well
    figure, axes = plt.subplots(2, 4, figsize=(9, 4.9), layout="constrained")
    known = orders(3)
    for axis, mode in zip(axes.flat, [None, *shown], strict=True):
        alpha, beta = np.zeros((len(known), 1)), np.zeros((len(known), 1))
        title = "no lens"
        if mode:
            alpha[known.index(mode)] = -strength[mode[0]]
            m, s = ("⁰¹²³"[mode[0]], "₀₁₂₃₄"[mode[1]])
            names = {(1, 0): "convergence", (1, 2): "shear", (2, 1): "flexion", (2, 3): "flexion"}
            title = f"α{m}{s}" + (f", {names[mode]}" if mode in names else "")
        show(axis, draw(Scenes(Roulette.from_amplitudes(*one(0, 0), alpha, beta, 3), source)), title)
        axis.set(xlim=(-40, 40), ylim=(-40, 40))
    save(figure, folder, "modes.png")


def draw_orders(folder: Path, lens: SIE, source: Spherical, xi: tuple) -> None:
    """The roulette expansion about ξ₀, cut off at growing orders, beside the raytraced picture."""
    alpha, beta = amplitudes(lens, *one(*xi), NTERMS)
    radius = float(convergence_radius(lens, *one(*xi))[0])
    figure, axes = plt.subplots(2, 3, figsize=(9, 6.3), layout="constrained")
    for axis, nterms in zip(axes.flat, (1, 2, 3, 5, NTERMS, None), strict=True):
        title = "raytraced: the lens itself"
        mapping = Raytrace(lens, *one(*ETA))
        if nterms:
            title = f"roulettes up to m = {nterms}"
            count = len(orders(nterms))
            mapping = Roulette.from_amplitudes(*one(*xi), alpha[:count], beta[:count], nterms)
        show(axis, draw(Scenes(mapping, source)), title)
        axis.plot(*xi, "o", color="cyan", ms=3)
        circle(axis, *xi, radius)
    save(figure, folder, "orders.png")


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0] if arguments else "docs/images")
    lens, source = SIE(*one(EINSTEIN, AXIS_RATIO, ORIENTATION)), Spherical(*one(SIGMA))
    xi = tuple(float(value[0]) for value in apparent_position(lens, *one(*ETA)))
    draw_lensing(folder, lens, source, xi)
    draw_modes(folder, Spherical(*one(8.0)))
    draw_orders(folder, lens, source, xi)


if __name__ == "__main__":
    main(sys.argv[1:])
