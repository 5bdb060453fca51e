"""Draw docs/images/lenses/*.png, a picture of each lens model: `python docs/lenses.py`."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from droulette.physics.batches import take
from droulette.physics.lenses import LENSES, Lens
from droulette.physics.mappings import Raytrace
from droulette.physics.maps import MappedPotential, MapRows
from droulette.physics.rendering import render
from droulette.physics.scene import Scenes
from droulette.physics.sources import SersicEllipsoid
from droulette.reporting.overlays import critical_curves

matplotlib.use("agg")
import matplotlib.pyplot as plt

SIZE = 256  # px
FOLDER = Path("docs/images/lenses")
SHOWN = {  # where the middle of the default range shows little
    "einstein_radius": 55.0,
    "axis_ratio": 0.7,
    "orientation": 115.0,
    "slope": 1.8,
    "gamma1": 0.08,
    "gamma2": 0.05,
    "kappa_ext": 0.1,
    "a3": 0.05,
    "b3": 0.0,
    "a4": 0.05,
    "b4": 0.0,
}


def example(name: str) -> Lens:
    """One lens of the model; a perturbation is added to an SIS."""
    model = LENSES[f"SIS+{name}" if LENSES[name].perturbation else name]
    shown = SHOWN | ({"axis_ratio": 0.9} if name.startswith("Elliptical") else {})  # of the potential
    values = [shown.get(q.name, q.default and sum(q.default) / 2) for q in model.parameters]
    numbers = {q.name: np.array([value], float) for q, value in zip(model.parameters, values, strict=True)}
    return model(**numbers, **({"maps": merging()} if model.not_numbers else {}))


def merging() -> MapRows:
    """A map of κ: two halos and a bridge."""
    y, x = np.mgrid[-64:65, -64:65].astype(float)
    kappa = 9 / np.hypot(np.hypot(x + 12, y - 5), 3) + 5 / np.hypot(np.hypot(x - 16, y + 8), 3)
    return MapRows.of([MappedPotential.of_convergence(kappa)], np.array([0]))


def draw(name: str) -> None:
    lens, zero = example(name), np.zeros(1)
    source = SersicEllipsoid(*(np.array([value]) for value in (16.0, 11.0, 40.0, 1.0, 60.0)))
    eta = np.array([14.0]), np.array([5.0])
    picture = render(Scenes(Raytrace(lens, *eta), source), SIZE, zero, zero)[0]
    figure = plt.figure(figsize=(3.2, 3.2))
    axes = figure.add_axes([0, 0, 1, 1])
    half = SIZE / 2
    axes.imshow(np.sqrt(picture / 255), cmap="magma", extent=(-half - 0.5, half - 0.5, -half + 0.5, half + 0.5))
    for curve in critical_curves(lens):
        there = take(lens, np.zeros(len(curve), int))
        dx, dy = there.deflection(*curve.T)
        axes.plot(*curve.T, color="white", linewidth=1)
        axes.plot(curve[:, 0] - dx, curve[:, 1] - dy, color="deepskyblue", linewidth=1)
    axes.set(xlim=(-half, half), ylim=(-half, half))
    axes.axis("off")
    figure.savefig(FOLDER / f"{name}.png", dpi=80, pil_kwargs={"optimize": True})
    plt.close(figure)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for model in dict.fromkeys(LENSES.values()):
        draw(model.names[0])
