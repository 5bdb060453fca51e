"""What the page shows of a scene, and of a picture that was dropped on it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from droulette.api.amplitudes import Amplitudes, weak_lensing
from droulette.api.scene import NAME, Scene
from droulette.errors import UserError
from droulette.exploring.settings import DRAWING, Settings
from droulette.physics import critical_curves
from droulette.physics import scene as physics
from droulette.physics.amplitudes import amplitudes
from droulette.physics.lens_equation import apparent_position, solved
from droulette.physics.lenses import Lens
from droulette.physics.mappings import Raytrace, Roulette, convergence_radius
from droulette.physics.rendering import centre_of_light, render
from droulette.pipeline.generate import Drawing, draw_in_memory
from droulette.pipeline.resimulate import resimulate
from droulette.quantities import amplitude_columns

WHITE = 99.7  # percentile of an observed picture that is shown white
DIFFERENCE = 64  # grey levels at which a difference has its full colour
STEP = 0.06  # of the grid for critical curves, in reaches of the lens
POLISHING = 1  # step of Newton's method: critical curves are then within a few thousandths of a px
CIRCLE = np.linspace(0, 2 * np.pi, 181)
Lines = list[np.ndarray]


@dataclass(frozen=True)
class View:
    """Three pictures side by side, what is drawn over them, and what is told of them.

    picture, roulette: (N, N) uint8, as they are shown. difference: (N, N), picture − roulette in their grey levels; not
    clipped, of an observed picture.
    middle: (x, y) px of the lens plane that is the middle of the pictures.
    lines, points: by what they are, (M, 2) px of the lens plane.
    row: amplitudes by the names of their columns, with xiX and xiY; of a prediction with standard deviations.
    said: further facts, by name.
    """

    picture: np.ndarray
    roulette: np.ndarray
    difference: np.ndarray
    middle: tuple[float, float]
    lines: dict[str, Lines]
    points: dict[str, np.ndarray]
    row: Mapping[str, float]
    said: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    title: str = "Picture"

    @property
    def amplitudes(self) -> Amplitudes:
        return Amplitudes.from_row(self.row)

    @property
    def facts(self) -> dict[str, str]:
        """What is told in words, by name."""
        mean = f"{float(np.abs(self.difference).mean() / 255):.2%} of white"
        return {"mean difference": mean} | self.said | _lensing(self.row)


class Curves:
    """Critical curves and caustics of one lens, kept while only the source moves."""

    def __init__(self) -> None:
        self._of: object = None
        self._found: tuple[Lines, Lines] = ([], [])

    def of(self, lens: Lens, name: object) -> tuple[Lines, Lines]:
        """name: what tells this lens from others."""
        if name != self._of:
            critical = critical_curves.critical_curves(lens, _step(lens), POLISHING)
            self._found = critical, critical_curves.caustics(lens, critical)
            self._of = name
        return self._found


def _step(lens: Lens) -> float | None:
    """Of the grid on which critical curves are looked for, px: a ninth of the default one's points are enough."""
    reach = sum(float(part.reach()[0]) for part, _, _ in lens.parts() if not part.perturbation)
    return STEP * reach or None


def of_settings(settings: Settings, curves: Curves | None = None) -> View:
    """Draw a scene, its roulette simulation and its curves.

    curves: keeps those of the last lens.

    Raises:
        UserError: a scene that cannot be drawn.
    """
    observed = settings.instrument != DRAWING
    picture, roulette, row = _observed(settings.scene()) if observed else _drawing(settings)
    lens = settings.physical_lens()
    middle = np.array([row["centreX"], row["centreY"]])
    reference = np.array([row["xiX"], row["xiY"]]) + middle
    radius = float(convergence_radius(lens, *reference[:, None])[0])
    critical, caustics = (curves or Curves()).of(lens, (settings.lens, settings.lens_values))
    lines = {"critical": critical, "caustic": caustics, "circle": _circle(reference, radius)}
    centres = np.array([(x[0], y[0]) for x, y in lens.centres()])
    points = {"lens": centres, "reference": reference[None], "source": np.array([settings.position])}
    said = {"reference point ξ₀": f"({reference[0]:.2f}, {reference[1]:.2f}) px"}
    said |= {"radius of convergence": f"{radius:.2f} px"} if np.isfinite(radius) else {}
    notes = () if picture.any() else ("The picture is black: no light of the source reaches it.",)
    difference = picture - roulette
    shown = _grey(picture), _grey(roulette)
    return View(*shown, difference, tuple(middle.tolist()), lines, points, row, said, notes)


def _drawing(settings: Settings) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Picture and roulette simulation in 8-bit grey, (N, N) int16, and the row of roulette.csv.

    `Scene` goes by way of tables and takes three times as long: 33 ms of a core for 256², and this 10 ms.
    """
    lens, size, order = settings.physical_lens(), settings.imagesize, settings.nterms
    eta = tuple(np.array([float(value)]) for value in settings.position)
    xi = apparent_position(lens, *eta)
    if not solved(lens, *xi, *eta).all():
        raise UserError(f"found no solution of the lens equation for the source at {settings.position}")
    alpha, beta = amplitudes(lens, *xi, order)
    source = settings.physical_source()
    scene = physics.Scenes(Raytrace(lens, *eta), source)
    zero = np.zeros(1)
    centre = centre_of_light(scene, size) if settings.centred else (zero, zero)
    seen = [xi[axis] - centre[axis] for axis in (0, 1)]
    series = physics.Scenes(Roulette.from_amplitudes(*seen, alpha, beta, order), source)
    picture, roulette = render(scene, size, *centre)[0], render(series, size, zero, zero)[0]
    values = np.stack([alpha[:, 0], beta[:, 0]], axis=1).ravel().tolist()
    row = dict(zip(amplitude_columns(order), values, strict=True))
    row |= {f"xi{name}": float(at[0]) for name, at in zip("XY", seen, strict=True)}
    row |= {f"centre{name}": float(at[0]) for name, at in zip("XY", centre, strict=True)}
    return picture.astype(np.int16), roulette.astype(np.int16), row


def _observed(scene: Scene) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """The same of a picture that an instrument takes: float64, in grey levels of which white is 255."""
    size = scene.imagesize
    drawing = Drawing(imagesize=size, centred=scene.centred, nterms=scene.nterms)
    with ThreadPoolExecutor(1) as helpers:
        pictures, _, table = draw_in_memory(pd.DataFrame([scene.row()]), drawing, NAME, "cpu", helpers)
    roulettes = resimulate(table, size, canvas=size, workers=1, name=NAME, counts=True)
    scale = 255 / max(float(np.percentile(pictures[0], WHITE)), 1e-300)
    row = {name: value for name, value in table.iloc[0].items() if isinstance(value, float)}
    return pictures[0] * scale, roulettes[0] * scale, row


def _lensing(row: Mapping[str, float]) -> dict[str, str]:
    """Convergence, shear and flexion, with errors where there are some."""
    if "alpha[1][0]" not in row:
        return {}
    found = weak_lensing(pd.DataFrame([dict(row)])).iloc[0]

    def said(name: str) -> str:
        if f"std:{name}" in found:
            return f"{found[name]:.3g} ± {found[f'std:{name}']:.1g}"
        return f"{found[name]:.4g}"

    facts = {"convergence κ": said("kappa"), "shear γ₁": said("gamma1"), "shear γ₂": said("gamma2")}
    for name, label in (("F1", "F₁"), ("F2", "F₂"), ("G1", "G₁"), ("G2", "G₂")):
        if name in found:
            facts[f"flexion {label}"] = f"{said(name)} px⁻¹"
    return facts


def _grey(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _circle(middle: np.ndarray, radius: float) -> Lines:
    if not np.isfinite(radius):
        return []
    return [middle + radius * np.stack([np.cos(CIRCLE), np.sin(CIRCLE)], axis=1)]
