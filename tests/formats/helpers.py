"""What the lenses and sources here do at points of the sky, and random ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from droulette.formats import Component
from droulette.physics.lenses import LENSES
from droulette.physics.sources import SOURCES

FIXTURES = Path(__file__).parent / "fixtures"
SCALE = 0.05  # arcsec of a pixel


def fixture(name: str) -> dict:
    return json.loads((FIXTURES / f"{name}.json").read_text())


def _columns(parts: Sequence[Component]) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """(B, 1) places and parameters of parts of one model."""
    x, y = (np.array([[getattr(part, axis)] for part in parts], np.float64) for axis in "xy")
    return x, y, {key: np.array([[part.parameters[key]] for part in parts], np.float64) for key in parts[0].parameters}


def deflections(parts: Sequence[Component], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(2, B, …) arcsec, of lenses of one model, at x and y, arcsec."""
    cx, cy, values = _columns(parts)
    return SCALE * np.stack(LENSES[parts[0].name](**values).deflection(x / SCALE - cx, y / SCALE - cy))


def brightness(parts: Sequence[Component], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(B, …) grey levels, of sources of one model, at x and y, arcsec."""
    cx, cy, values = _columns(parts)
    return SOURCES[parts[0].name](**values).brightness(x / SCALE - cx, y / SCALE - cy)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of vectors (2, …) over the length of the expected one."""
    return float(np.max(np.hypot(*(found - expected)) / np.hypot(*expected)))


def random_lens(name: str, rng: np.random.Generator) -> Component:
    """Of sizes like those of pictures here, in px of SCALE."""
    ranges = {
        "einstein_radius": (6, 40), "axis_ratio": (0.3, 0.97), "orientation": (0, 180), "slope": (1.4, 2.6),
        "scale_radius": (10, 200), "core_radius": (0.2, 5), "cut_radius": (20, 100), "gamma1": (-0.1, 0.1),
        "gamma2": (-0.1, 0.1), "kappa_ext": (-0.1, 0.1), "a3": (-0.05, 0.05), "b3": (-0.05, 0.05),
        "a4": (-0.05, 0.05), "b4": (-0.05, 0.05),
    }  # fmt: skip
    values = {quantity.name: rng.uniform(*ranges[quantity.name]) for quantity in LENSES[name].parameters}
    return Component(name, *rng.uniform(-10, 10, 2), values)


def random_source(name: str, rng: np.random.Generator) -> Component:
    ranges = {"sigma": (2, 20), "sigma2": (2, 20), "theta": (0, 180), "n_sersic": (0.5, 6), "luminosity": (1, 20)}
    values = {quantity.name: rng.uniform(*ranges[quantity.name]) for quantity in SOURCES[name].parameters}
    return Component(name, *rng.uniform(-10, 10, 2), values)


def same(found: Component, expected: Component, tolerance: float = 1e-10) -> bool:
    """Whether two parts are the same, their numbers to `tolerance`, angles of axes without their direction."""
    assert found.name == expected.name and found.parameters.keys() == expected.parameters.keys()
    pairs = [(found.x, expected.x), (found.y, expected.y)]
    for key, value in expected.parameters.items():
        other = found.parameters[key]
        if key in ("orientation", "theta"):
            other = value + (other - value + 90) % 180 - 90
        pairs.append((other, value))
    return all(abs(a - b) <= tolerance * max(1e-3, abs(b)) for a, b in pairs)
