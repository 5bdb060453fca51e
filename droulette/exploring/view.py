"""What the page shows of a scene, and of a picture that was dropped on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from droulette.api.amplitudes import Amplitudes, weak_lensing
from droulette.api.models import Lens
from droulette.api.scene import NAME, Scene
from droulette.physics import critical_curves
from droulette.physics.mappings import convergence_radius
from droulette.pipeline.generate import Drawing, draw_in_memory
from droulette.pipeline.resimulate import resimulate

WHITE = 99.7  # percentile of an observed picture that is shown white
DIFFERENCE = 64  # grey levels at which a difference has its full colour
STEP = 0.04  # of the grid for critical curves, in reaches of the lens
CIRCLE = np.linspace(0, 2 * np.pi, 181)
Lines = list[np.ndarray]


@dataclass(frozen=True)
class View:
    """Three pictures side by side, what is drawn over them, and tables.

    picture, roulette: (N, N) uint8, as they are shown. difference: (N, N) int16, picture − roulette, grey levels.
    middle: (x, y) px of the lens plane that is the middle of the pictures.
    lines, points: by what they are, (M, 2) px of the lens plane.
    amplitudes: at `reference`. facts: what else is told, by name.
    """

    picture: np.ndarray
    roulette: np.ndarray
    middle: tuple[float, float]
    lines: dict[str, Lines]
    points: dict[str, np.ndarray]
    amplitudes: Amplitudes
    facts: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    titles: tuple[str, str] = ("Picture", "Roulette simulation")

    @property
    def difference(self) -> np.ndarray:
        return self.picture.astype(np.int16) - self.roulette


class Curves:
    """Critical curves and caustics of one lens, kept while only the source moves."""

    def __init__(self) -> None:
        self._columns: dict[str, object] = {}
        self._found: tuple[Lines, Lines] = ([], [])

    def of(self, lens: Lens) -> tuple[Lines, Lines]:
        if lens.columns() != self._columns:
            critical = critical_curves.critical_curves(lens.physical, _step(lens.physical))
            self._found = critical, critical_curves.caustics(lens.physical, critical)
            self._columns = lens.columns()
        return self._found


def _step(lens) -> float | None:
    """Of the grid on which critical curves are looked for, px: a quarter of the default one's points are enough."""
    reach = sum(float(part.reach()[0]) for part, _, _ in lens.parts() if not part.perturbation)
    return STEP * reach or None


def of_scene(scene: Scene, curves: Curves | None = None) -> View:
    """Draw a scene, its roulette simulation and its curves.

    curves: keeps those of the last lens.

    Raises:
        UserError: a scene that cannot be drawn.
    """
    drawing = Drawing(imagesize=scene.imagesize, centred=scene.centred, nterms=scene.nterms)
    with ThreadPoolExecutor(1) as helpers:
        pictures, _, table = draw_in_memory(pd.DataFrame([scene.row()]), drawing, NAME, "cpu", helpers)
    observed = scene.instrument is not None
    size = scene.imagesize
    roulettes = resimulate(table, size, canvas=size, workers=1, name=NAME, counts=observed)
    picture, roulette = _grey(pictures[0], roulettes[0]) if observed else (pictures[0], roulettes[0])

    row = table.iloc[0]
    middle = np.array([row["centreX"], row["centreY"]])
    reference = np.array([row["xiX"], row["xiY"]]) + middle
    lens = scene.lens.physical
    radius = float(convergence_radius(lens, *reference[:, None])[0])
    critical, caustics = (curves or Curves()).of(scene.lens)
    lines = {"critical": critical, "caustic": caustics, "circle": _circle(reference, radius)}
    centres = np.array([(x[0], y[0]) for x, y in lens.centres()])
    points = {"lens": centres, "reference": reference[None], "source": np.array([scene.position])}
    notes = () if pictures[0].any() else ("The picture is black: no light of the source reaches it.",)
    facts = {"ξ₀": f"({reference[0]:.2f}, {reference[1]:.2f}) px"}
    facts |= {"radius of convergence": f"{radius:.2f} px"} if np.isfinite(radius) else {}
    facts |= lensing_facts(table)
    facts["mean difference"] = f"{difference_of(picture, roulette):.2%} of white"
    amplitudes = Amplitudes.from_row(row.to_dict())
    return View(picture, roulette, tuple(middle.tolist()), lines, points, amplitudes, facts, notes)


def lensing_facts(table: pd.DataFrame) -> dict[str, str]:
    """Convergence, shear and flexion of the first row of a table of amplitudes, with errors where it has them."""
    if "alpha[1][0]" not in table:
        return {}
    found = weak_lensing(table).iloc[0]

    def said(name: str) -> str:
        error = f" ± {found[f'std:{name}']:.1g}" if f"std:{name}" in found else ""
        return f"{found[name]:.4g}{error}"

    facts = {"κ": said("kappa"), "γ": f"{said('gamma1')}, {said('gamma2')}"}
    if "F1" in found and "G2" in found:
        facts |= {"F": f"{said('F1')}, {said('F2')} px⁻¹", "G": f"{said('G1')}, {said('G2')} px⁻¹"}
    return facts


def difference_of(picture: np.ndarray, roulette: np.ndarray) -> float:
    """The mean difference of grey levels, as a share of 255."""
    return float(np.abs(picture.astype(np.int16) - roulette).mean() / 255)


def _grey(picture: np.ndarray, roulette: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts as grey levels of one scale for both."""
    white = max(float(np.percentile(picture, WHITE)), 1e-300)
    return tuple(np.clip(np.rint(one * (255 / white)), 0, 255).astype(np.uint8) for one in (picture, roulette))


def _circle(middle: np.ndarray, radius: float) -> Lines:
    if not np.isfinite(radius):
        return []
    return [middle + radius * np.stack([np.cos(CIRCLE), np.sin(CIRCLE)], axis=1)]
