"""What is fitted: a family of scenes, such as one SIE with a Sérsic source, or two lenses with their places.

Everything is in the frame of the picture: px from its middle, x to the right and y up. So a lens has a place there,
which nobody tells the fit, and the reference point ξ₀ comes out as tables give it, xiX and xiY.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from droulette.fitting.coordinates import Block, Scaled, Values, blocks_of, of_place
from droulette.physics.amplitudes import amplitudes, orders
from droulette.physics.arrays import Array, namespace
from droulette.physics.instrument import LensLight
from droulette.physics.lens_equation import apparent_position, solved
from droulette.physics.lenses import LENSES, Cluster
from droulette.physics.mappings import Raytrace
from droulette.physics.scene import FAINT_LEVELS, Scenes
from droulette.physics.sources import SOURCES
from droulette.quantities import AMPLITUDE, Quantity


def count_masses(lenses: Iterable[str]) -> int:
    """How many of these lens models are no perturbations; names that are none do not count."""
    return sum(name in LENSES and not LENSES[name].perturbation for name in lenses)


@dataclass(frozen=True)
class Family:
    """Scenes of these lens models, each at a place of its own, and of one source model.

    Perturbations, a shear for example, have no place: theirs is that of the first lens that is none, whose Einstein
    radius they share as well: a multipole's strength is a share of it.
    The parameters are named `lens1.einstein_radius`, `lens1.x`, …, `source.sigma`, …, `source.x`, `source.y`.

    light: whether the lens's own light is fitted too: a Sérsic ellipsoid about the lens, `light.sigma`, …, and the
    level of the background that is left in the picture, `sky`, which the wings of that light are easily taken for.
    """

    lenses: tuple[str, ...]
    source: str
    light: bool = False

    def __str__(self) -> str:
        return f"{'+'.join(self.lenses)}, {self.source}" + (" and lens light" if self.light else "")

    @classmethod
    def of(cls, scene: Scenes) -> Family:
        """The family of raytraced scenes."""
        lenses = [lens for lens, _, _ in scene.mapping.lens.parts()]
        return cls(tuple(type(lens).__name__ for lens in lenses), type(scene.source).__name__)

    @cached_property
    def blocks(self) -> list[Block]:
        found: list[Block] = []
        for number, name in enumerate(self.lenses, start=1):
            found += blocks_of(f"lens{number}.", self._own(number))
            if number == self._host or not LENSES[name].perturbation:
                found += of_place(f"lens{number}.")
        found += [*blocks_of("source.", SOURCES[self.source].parameters), *of_place("source.")]
        return [*found, *blocks_of("light.", LensLight.parameters), Scaled(("sky",), 1.0)] if self.light else found

    @cached_property
    def _host(self) -> int:
        """The number of the first lens that is no perturbation; 1 where there is none."""
        return next((k for k, name in enumerate(self.lenses, start=1) if not LENSES[name].perturbation), 1)

    @property
    def masses(self) -> int:
        """How many lenses there are that are no perturbations, or 1."""
        return max(1, count_masses(self.lenses))

    def _own(self, number: int) -> tuple[Quantity, ...]:
        """The parameters of a lens that it does not share with the first one."""
        model, host = LENSES[self.lenses[number - 1]], LENSES[self.lenses[self._host - 1]]
        shared = "einstein_radius" if model.perturbation and not host.perturbation else ""
        return tuple(quantity for quantity in model.parameters if quantity.name != shared)

    @cached_property
    def names(self) -> list[str]:
        """Those of the parameters, in the order of the blocks."""
        return [name for block in self.blocks for name in block.names]

    @property
    def size(self) -> int:
        """P, how many parameters and coordinates there are."""
        return len(self.names)

    @cached_property
    def quantities(self) -> dict[str, Quantity]:
        """Each parameter of a model, by its name here; places are not among them."""
        of_lenses = {f"lens{k}.": self._own(k) for k in range(1, len(self.lenses) + 1)}
        of_all = of_lenses | {"source.": SOURCES[self.source].parameters}
        of_all |= {"light.": LensLight.parameters} if self.light else {}
        return {prefix + q.name: q for prefix, parameters in of_all.items() for q in parameters}

    def coordinates(self, values: Values) -> Array:
        """(B, P) of parameters, (B,) each."""
        columns = [column for block in self.blocks for column in block.forth(values)]
        return namespace(columns[0]).stack(columns, axis=1)

    def values(self, coordinates: Array) -> Values:
        """The parameters, (B,) each, of coordinates (B, P)."""
        found, start = {}, 0
        for block in self.blocks:
            end = start + len(block.names)
            found |= block.back([coordinates[:, k] for k in range(start, end)])
            start = end
        return found

    def values_of(self, scene: Scenes, middle_x: Array, middle_y: Array) -> Values:
        """The parameters of scenes of this family, in the frame of pictures whose middles are at these px."""
        found = {"source.x": scene.mapping.eta_x - middle_x, "source.y": scene.mapping.eta_y - middle_y}
        for number, (lens, x, y) in enumerate(scene.mapping.lens.parts(), start=1):
            found |= {f"lens{number}.x": x - middle_x, f"lens{number}.y": y - middle_y}
            found |= {f"lens{number}.{q.name}": getattr(lens, q.name) for q in lens.parameters}
        found |= {f"source.{q.name}": getattr(scene.source, q.name) for q in scene.source.parameters}
        return {name: found[name] for name in self.names}

    def scene(self, coordinates: Array, pixel: Array | float = 1.0) -> Scenes:
        """The scenes to draw, unrounded. pixel: px that a pixel of the drawing is wide, of all or (B,)."""
        values = self._in_pixels_of(self.values(coordinates), pixel)
        lens, eta_x, eta_y = self._lens(values)
        kind = SOURCES[self.source]
        source = kind(**{q.name: values[f"source.{q.name}"] for q in kind.parameters})
        return Scenes(Raytrace(lens, eta_x, eta_y), source, coordinates[:, 0] * 0.0 + FAINT_LEVELS[0])

    def lens_light(
        self, coordinates: Array, pixel: Array | float = 1.0
    ) -> tuple[LensLight, Array, Array, Array] | None:
        """The lenses' own light, its place x and y, and the level of the background, (B,) each."""
        if not self.light:
            return None
        values = self._in_pixels_of(self.values(coordinates), pixel)
        light = LensLight(*(values[f"light.{q.name}"] for q in LensLight.parameters))
        return light, values[f"lens{self._host}.x"], values[f"lens{self._host}.y"], values["sky"]

    def _in_pixels_of(self, values: Values, pixel: Array | float) -> Values:
        if isinstance(pixel, float) and pixel == 1.0:
            return values
        power = {name: quantity.length for name, quantity in self.quantities.items()} | {"sky": 0}
        return {name: value * pixel ** -power.get(name, 1) for name, value in values.items()}

    def _lens(self, values: Values) -> tuple[Cluster, Array, Array]:
        lenses, x, y = [], [], []
        host = f"lens{self._host}."
        for number, name in enumerate(self.lenses, start=1):
            of_host = {q.name: values.get(host + q.name) for q in LENSES[name].parameters}
            own = {q.name: values[f"lens{number}.{q.name}"] for q in self._own(number)}
            lenses.append(LENSES[name](**(of_host | own)))
            place = f"lens{number}." if f"lens{number}.x" in values else host
            x.append(values[f"{place}x"])
            y.append(values[f"{place}y"])
        return Cluster(tuple(lenses), tuple(x), tuple(y)), values["source.x"], values["source.y"]

    @cached_property
    def turns(self) -> tuple[tuple[int, bool], ...]:
        """Quarters of a turn and mirrors (y → −y) under which it is known what becomes of the parameters."""
        known = all(q.spin is not None or q.unit == "°" for q in self.quantities.values())
        return (
            tuple((quarters, mirror) for mirror in (False, True) for quarters in range(4)) if known else ((0, False),)
        )

    def turned(self, values: Values, quarters: int, mirror: bool) -> Values:
        """The parameters of the scenes mirrored, and then turned counter-clockwise."""
        found = dict(values)
        for name, quantity in self.quantities.items():
            if quantity.unit == "°":
                found[name] = (-values[name] if mirror else values[name]) + 90.0 * quarters
        for x, y, spin in self._vectors():
            cos, sin = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[quarters * spin % 4]
            upwards = -values[y] if mirror else values[y]
            found[x], found[y] = values[x] * cos - upwards * sin, values[x] * sin + upwards * cos
        return found

    def _vectors(self) -> Iterator[tuple[str, str, int]]:
        """The names of two components, and their spin."""
        for name in self.names:
            if name.endswith(".x"):
                yield name, name[:-1] + "y", 1
        for name, quantity in self.quantities.items():
            if quantity.spin and not quantity.odd:
                yield name, name.split(".")[0] + "." + quantity.partner, quantity.spin

    def targets(self, coordinates: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
        """(B, C): amplitudes, reference points and source parameters, by the names of their columns in tables.

        A row whose reference point is not found is NaN.
        """
        values = self.values(coordinates)
        lens, *eta = self._lens(values)
        xi = apparent_position(lens, *eta)
        nterms = max([int(match[2]) for column in columns if (match := AMPLITUDE.fullmatch(column))], default=0)
        with np.errstate(all="ignore"):
            alpha, beta = amplitudes(lens, *xi, nterms)
            known = solved(lens, *xi, *eta)
        table = {"xiX": xi[0], "xiY": xi[1]}
        table |= {q.column: values[name] for name, q in self.quantities.items() if name.startswith("source.")}
        for (m, s), a, b in zip(orders(nterms), alpha, beta, strict=True):
            table |= {f"alpha[{m}][{s}]": a, f"beta[{m}][{s}]": b}
        found = np.stack([table[column] for column in columns], axis=1)
        return np.where(known[:, None], found, np.nan)
