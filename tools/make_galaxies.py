"""Write data/galaxies: 24 made-up galaxies, 96×96 px in 16-bit grey, with no noise.

python tools/make_galaxies.py [FOLDER [EACH]]

Spirals, barred spirals, discs with a bulge, rings, mergers and irregulars, for tests and first steps; real ones are in
GalSim's COSMOS catalogue. The light is a sum of Sérsic profiles and Gaussian clumps, seen at an inclination and blurred
by 1 px. Seeded: the same files each time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE, FINE = 96, 3  # px, and points of a pixel along each axis
STEPS = 4095  # grey levels above black; fewer bits pack better
KINDS = ("spiral", "barred", "disc", "ring", "merger", "irregular")
EACH = 4  # of a kind; more are others of the same kinds beside these


class Canvas:
    """Light in the plane of a galaxy, whose picture shows it inclined and turned."""

    def __init__(self, random: np.random.Generator, least_ratio: float = 0.35, off: float = 0.0) -> None:
        step = (np.arange(SIDE * FINE) + 0.5) / FINE - SIDE / 2
        angle, turn = random.uniform(0, 2 * np.pi, 2)
        x, y = step - off * np.cos(turn), step[:, None] - off * np.sin(turn)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        self.x, self.y = u, v / random.uniform(least_ratio, 0.95)
        self.radius, self.angle = np.hypot(self.x, self.y), np.arctan2(self.y, self.x)
        self.random = random

    def sersic(self, size: float, index: float, flux: float, ratio: float = 1.0) -> np.ndarray:
        b = 1.992 * index - 0.3271
        profile = np.exp(-b * ((np.hypot(self.x, self.y / ratio) + 0.3) / size) ** (1 / index))
        return flux * profile / profile.sum()

    def clumps(self, weight: np.ndarray, count: int, flux: float) -> np.ndarray:
        """Gaussian clumps in places drawn from `weight`."""
        places = self.random.choice(weight.size, count, p=(weight / weight.sum()).ravel())
        total = np.zeros_like(weight)
        for place, size, share in zip(
            places, self.random.uniform(0.6, 1.8, count), self.random.pareto(1.5, count) + 0.3, strict=True
        ):
            x, y = self.x.flat[place], self.y.flat[place]
            total += min(share, 6) * np.exp(-0.5 * ((self.x - x) ** 2 + (self.y - y) ** 2) / size**2) / size**2
        return flux * total / total.sum()

    def arms(self, start: float, width: float) -> np.ndarray:
        """How much light there is of two to four logarithmic arms, from `start` px on, 0…1."""
        count, pitch = self.random.choice([2, 2, 3, 4]), np.radians(self.random.uniform(14, 26))
        phase = self.angle - np.log((self.radius + 1e-3) / start) / np.tan(pitch) + self.random.uniform(0, 2 * np.pi)
        phase = phase + 0.25 * ndimage.gaussian_filter(self.random.normal(size=phase.shape), 12) * 40
        crest = np.exp((np.cos(count * phase) - 1) / width)
        return crest / (1 + np.exp(-(self.radius - start) / 1.5))


def spiral(canvas: Canvas) -> np.ndarray:
    random = canvas.random
    size = random.uniform(10, 13)
    disc, arms = canvas.sersic(size, 1, 1), canvas.arms(random.uniform(3, 5), random.uniform(0.5, 1.0))
    armed = disc * arms
    bulge = canvas.sersic(random.uniform(1.8, 3), random.uniform(2, 3), random.uniform(0.1, 0.3), 0.85)
    return 0.35 * disc + 0.9 * armed / armed.sum() + bulge + canvas.clumps(armed, 45, 0.25)


def barred(canvas: Canvas) -> np.ndarray:
    random = canvas.random
    length = random.uniform(7, 10)
    disc, arms = canvas.sersic(random.uniform(11, 14), 1, 1), canvas.arms(length, random.uniform(0.4, 0.8))
    armed = disc * arms
    bar = canvas.sersic(length * 0.75, 0.5, 0.25, 0.25)
    bulge = canvas.sersic(2, 2, 0.12)
    return 0.35 * disc + 0.75 * armed / armed.sum() + bar + bulge + canvas.clumps(armed, 35, 0.2)


def disc(canvas: Canvas) -> np.ndarray:
    random = canvas.random
    whole = canvas.sersic(random.uniform(8, 12), 1, 1)
    return whole + canvas.sersic(random.uniform(2, 4), random.uniform(2.5, 4), random.uniform(0.3, 1.0), 0.8)


def ring(canvas: Canvas) -> np.ndarray:
    random = canvas.random
    radius, width = random.uniform(13, 18), random.uniform(1.8, 3)
    light = np.exp(-0.5 * ((canvas.radius - radius) / width) ** 2)
    light = light * (1 + 0.5 * np.cos(canvas.angle - random.uniform(0, 6)))
    centre = canvas.sersic(random.uniform(3, 5), 2, random.uniform(0.3, 0.6))
    return light / light.sum() + centre + canvas.sersic(11, 1, 0.4) + canvas.clumps(light, 40, 0.3)


def merger(canvas: Canvas) -> np.ndarray:
    random = canvas.random
    other = Canvas(random, off=random.uniform(9, 15))
    light = spiral(canvas) + random.uniform(0.3, 0.8) * disc(other)
    along = np.minimum(canvas.radius / 30, 2)
    off = np.angle(np.exp(1j * (canvas.angle - random.uniform(0, 2 * np.pi) - random.uniform(0.8, 1.4) * along)))
    tail = np.exp(-0.5 * (off * canvas.radius / (1.5 + 2 * along)) ** 2) * np.exp(-1.5 * along)
    tail = tail / (1 + np.exp(-(canvas.radius - 9) / 2)) / (1 + np.exp((canvas.radius - 34) / 2))
    return light + 0.3 * tail / tail.sum()


def irregular(canvas: Canvas) -> np.ndarray:
    random = canvas.random
    body = canvas.sersic(random.uniform(7, 10), 0.8, 1)
    rough = ndimage.gaussian_filter(random.normal(size=body.shape), 9)
    uneven = body * np.exp(1.1 * rough / rough.std())
    return 0.3 * body + 0.6 * uneven / uneven.sum() + canvas.clumps(uneven, 30, 0.5)


def picture(kind: str, number: int) -> np.ndarray:
    """(SIDE, SIDE), 0…1."""
    canvas = Canvas(np.random.default_rng([KINDS.index(kind), number]))
    light = {"spiral": spiral, "barred": barred, "disc": disc, "ring": ring, "merger": merger, "irregular": irregular}
    levels = ndimage.gaussian_filter(light[kind](canvas), 1.0 * FINE)
    levels = levels.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))
    levels = np.maximum(levels - np.median(levels[[0, -1]]), 0.0)
    return levels / levels.max()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "data/galaxies")
    each = int(sys.argv[2]) if len(sys.argv) > 2 else EACH
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        for number in range(1, each + 1):
            levels = np.rint(STEPS * picture(kind, number)).astype(np.uint16) * (65536 // (STEPS + 1))
            Image.fromarray(levels).save(folder / f"{kind}-{number}.png", optimize=True)


if __name__ == "__main__":
    main()
