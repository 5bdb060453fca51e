"""A scene: one lens, one source behind it, and what takes the picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from droulette import files
from droulette.api.amplitudes import Amplitudes
from droulette.api.models import (
    OF_INSTRUMENT,
    OF_LENS_LIGHT,
    Instrument,
    Lens,
    LensLight,
    Neighbour,
    Source,
    lens_of_row,
    source_of_row,
)
from droulette.errors import UserError
from droulette.parameters.simulation import MAX_NTERMS
from droulette.physics import critical_curves
from droulette.physics.amplitudes import amplitudes
from droulette.physics.lens_equation import apparent_position
from droulette.physics.lens_equation import solved as is_solved
from droulette.physics.mappings import convergence_radius
from droulette.pipeline.checks import check_order
from droulette.pipeline.generate import Drawing, draw_in_memory
from droulette.pipeline.resimulate import resimulate
from droulette.pipeline.scenes import (
    NEIGHBOUR,
    constituent_text,
    groups,
    lens_batch,
    neighbours_batch,
    normalise,
    source_batch,
)
from droulette.quantities import AMPLITUDE, LENS, Quantity, amplitude_columns
from droulette.registry import LENSES, SOURCES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "scene"  # what error messages call the row


class Circle(NamedTuple):
    """Centre and radius, px."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True, repr=False)
class Scene:
    """A lens, a source behind it, and how the picture is taken.

    Lengths are px and angles degrees, counter-clockwise from x; x is to the right, y up, and the origin is that of the
    lens plane. Pixel (row i, column j) of an N×N picture is the point x = j − N/2, y = N/2 − i about the middle of
    the picture, `frame`.

    Args:
        lens, source: made by `lens` and `source`.
        position: (x, y) of the source, px.
        instrument: made by `instrument`; None: the picture is a drawing in 8-bit grey.
        lens_light: made by `lens_light`; with an instrument.
        neighbours: each made by `neighbour`; with an instrument.
        centred: the picture's middle is its centre of light; otherwise it is the origin of the lens plane.
        imagesize: side of the canvas, px, whose light is seen and whose centre of light counts.
        cropsize: side of the picture, px; None: the canvas.
        nterms: highest order m of the amplitudes.
        model: "Raytrace", or "Roulette" for a picture that is a roulette simulation.
        sampled: the lens's potential is known on the pixels only.
        sampling, supersampling, mask: as in the TOML table [simulator].
    """

    lens: Lens
    source: Source
    position: tuple[float, float] = (0.0, 0.0)
    instrument: Instrument | None = None
    lens_light: LensLight | None = None
    centred: bool = False
    imagesize: int = 512
    cropsize: int | None = None
    nterms: int = 5
    model: str = "Raytrace"
    sampled: bool = False
    sampling: str = "exact"
    supersampling: int = 1
    mask: bool = False
    neighbours: tuple[Neighbour, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in (("lens", Lens), ("source", Source)):
            if not isinstance(getattr(self, name), kind):
                raise UserError(f"{name}: found {str(getattr(self, name))[:80]!r}, expected a droulette.{name}(…)")
        beside = self.neighbours
        if not isinstance(beside, tuple | list) or not all(isinstance(one, Neighbour) for one in beside):
            raise UserError(f"neighbours: found {str(beside)[:80]!r}, expected a list of droulette.neighbour(…)")
        object.__setattr__(self, "neighbours", tuple(beside))
        for name in ("lens_light", "neighbours"):
            if getattr(self, name) and self.instrument is None:
                raise UserError(f"{name}: found no instrument, expected one that takes the picture")
        frame = normalise(pd.DataFrame([self.row()]), NAME)
        for kind, _ in groups(frame, NAME):  # what cannot be drawn is said here
            lens_batch(frame, replace(kind, sampled=False), NAME)
            source_batch(frame, kind, NAME)

    def __repr__(self) -> str:
        given = [(one.name, getattr(self, one.name)) for one in fields(self) if getattr(self, one.name) != one.default]
        return f"Scene({', '.join(f'{name}={value!r}' for name, value in given)})"

    # ------------------------------------------------------------ pictures

    def picture(self, size: int | None = None, *, seed: int | None = None) -> np.ndarray:
        """Draw the picture.

        Args:
            size: side, px; by default `cropsize`, or else `imagesize`.
            seed: of the noise that an instrument adds; by default the instrument's.

        Returns:
            (size, size) uint8 grey levels; with an instrument float32, counts/s above the subtracted background.
        """
        pictures, _, _ = self._drawn(size, {} if seed is None else {"noiseseed": seed})
        return pictures[0]

    def resimulate(self, nterms: int | None = None, size: int | None = None) -> np.ndarray:
        """Draw the picture again from its amplitudes alone, in the frame of `picture`.

        Args:
            nterms: highest order m; by default the scene's.
            size: side, px, as in `picture`.

        Returns:
            (size, size) uint8; with an instrument float32, counts/s, without noise.
        """
        found = self.amplitudes(nterms)
        pictures, _, table = self._drawn(size)
        kept = {name: table[name].iloc[0] for name in table if not AMPLITUDE.fullmatch(name)}
        table = pd.DataFrame([kept | found.columns()])
        how = {"sampling": self.sampling, "supersampling": self.supersampling, "counts": self.instrument is not None}
        side = pictures.shape[-1]
        return resimulate(table, side, canvas=max(side, self.imagesize), workers=1, name=NAME, **how)[0]

    def _drawn(
        self, size: int | None = None, changed: Mapping[str, object] | None = None
    ) -> tuple[np.ndarray, np.ndarray | None, pd.DataFrame]:
        """The picture in a batch of one, and its row of roulette.csv. changed: columns of its row of dataset.csv."""
        size = self.cropsize or self.imagesize if size is None else size
        if not isinstance(size, int | np.integer) or size < 1:
            raise UserError(f"size: found {str(size)[:80]}, expected a whole number of at least 1")
        drawing = Drawing(
            imagesize=max(int(size), self.imagesize),
            cropsize=int(size),
            centred=self.centred,
            nterms=self.nterms if self.model == "Roulette" else 0,
            sampling=self.sampling,
            supersampling=self.supersampling,
            mask=self.mask,
        )
        frame = pd.DataFrame([self.row() | dict(changed or {})])
        with ThreadPoolExecutor(1) as helpers:
            return draw_in_memory(frame, drawing, NAME, "cpu", helpers)

    @cached_property
    def frame(self) -> tuple[float, float]:
        """(x, y) of the picture's middle, px: the centre of light where it is `centred`, otherwise (0, 0)."""
        if not self.centred and self.instrument is None:
            return 0.0, 0.0
        table = self._drawn()[2]
        return float(table["centreX"].iloc[0]), float(table["centreY"].iloc[0])

    def extent(self, size: int | None = None) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the picture in px of the lens plane, as Matplotlib's `imshow` takes them."""
        half, (x, y) = (size or self.cropsize or self.imagesize) / 2, self.frame
        return x - half - 0.5, x + half - 0.5, y - half + 0.5, y + half + 0.5

    # ------------------------------------------------------------ lensing

    @cached_property
    def _physical(self):
        """The lens of `droulette.physics`, a batch of one."""
        if not self.sampled:
            return self.lens.physical
        frame = normalise(pd.DataFrame([self.row()]), NAME)
        kind, _ = next(groups(frame, NAME))
        return lens_batch(frame, kind, NAME, self.imagesize)

    @cached_property
    def reference_point(self) -> tuple[float, float]:
        """ξ₀, where the source is seen: (x, y), px. It solves the lens equation η = ξ₀ − ∇ψ(ξ₀).

        Raises:
            UserError: no solution was found.
        """
        eta = [np.array([float(value)]) for value in self.position]
        xi = apparent_position(self._physical, *eta)
        if not is_solved(self._physical, *xi, *eta).all():
            raise UserError(f"{NAME}: the lens equation has no solution for the source at {self.position}")
        return float(xi[0][0]), float(xi[1][0])

    def amplitudes(self, nterms: int | None = None) -> Amplitudes:
        """The roulette amplitudes at the reference point, up to order m = nterms; by default the scene's."""
        nterms = self.nterms if nterms is None else nterms
        if isinstance(nterms, bool) or not isinstance(nterms, int | np.integer) or not 0 <= nterms <= MAX_NTERMS:
            raise UserError(f"nterms: found {str(nterms)[:80]}, expected a whole number in [0, {MAX_NTERMS}]")
        check_order(pd.DataFrame(index=[0]), NAME, self._physical, nterms)
        xi = self.reference_point
        alpha, beta = amplitudes(self._physical, *(np.array([value]) for value in xi), nterms)
        values = np.stack([alpha[:, 0], beta[:, 0]], axis=1).ravel()
        named = dict(zip(amplitude_columns(nterms), values.tolist(), strict=True))
        return Amplitudes.from_row(named | {"xiX": xi[0], "xiY": xi[1]})

    def critical_curves(self, step: float | None = None) -> list[np.ndarray]:
        """The critical curves, det A = 0: (M, 2) px each, the longest first.

        step: of the grid on which they are looked for, px; a smaller curve is missed.
        """
        return critical_curves.critical_curves(self._physical, step)

    def caustics(self, step: float | None = None) -> list[np.ndarray]:
        """The critical curves in the source plane: (M, 2) px each, in the order of `critical_curves`.

        The cut of a singular isothermal lens is no caustic, and not among them.
        """
        return critical_curves.caustics(self._physical, self.critical_curves(step))

    @property
    def circle_of_convergence(self) -> Circle:
        """Where the roulette series converges: about ξ₀, as far as the nearest centre of the lens, px."""
        xi = self.reference_point
        radius = convergence_radius(self._physical, *(np.array([value]) for value in xi))
        return Circle(*xi, float(radius[0]))

    def plot(self, axis=None, *, size: int | None = None, picture: np.ndarray | None = None) -> Figure:
        """The picture with its critical curves, caustics, circle of convergence, reference point and source.

        Args:
            axis: of Matplotlib, to plot on; None: a figure of its own with a legend, which a notebook shows and
                `savefig` saves.
            size: side of the picture, px.
            picture: another picture of the scene, such as `resimulate()`.
        """
        from droulette.api.plotting import plot

        return plot(self, axis, size, picture)

    # ------------------------------------------------------------ tables and files

    def row(self) -> dict[str, object]:
        """The scene as a row of dataset.csv."""
        x, y = (float(value) for value in self.position)
        row = {"index": 1, "filename": "scene.png", "model": self.model}
        row |= {"sampled": True} if self.sampled else {}
        row |= self.lens.columns() | self.source.columns() | {"x": x, "y": y}
        for extra in (self.instrument, self.lens_light):
            row |= {} if extra is None else extra.columns
        if self.neighbours:
            row["neighbours"] = ";".join(constituent_text(NEIGHBOUR, one.columns.values()) for one in self.neighbours)
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, object], **drawing) -> Scene:
        """The scene of a row of dataset.csv, of this program's or CosmoSim's.

        drawing: arguments of `Scene` that a row does not say, such as centred and imagesize.
        """
        frame = normalise(pd.DataFrame([dict(row)]), "row")
        one = frame.iloc[0].to_dict()
        observed = {name: one[name] for name in frame if name in OF_INSTRUMENT} if "psf" in one else None
        light = {name: one[name] for name in frame if name in OF_LENS_LIGHT} if "lightratio" in one else None
        kind, _ = next(groups(frame, "row"))
        beside = [
            {name: float(value[0]) for name, value in one.items()} for one in neighbours_batch(frame, kind, "row")
        ]
        return cls(
            lens_of_row(one),
            source_of_row(one),
            (float(one["x"]), float(one["y"])),
            observed and Instrument(MappingProxyType(observed)),
            light and LensLight(MappingProxyType(light)),
            model=one["model"],
            sampled=bool(one["sampled"]),
            neighbours=tuple(Neighbour(MappingProxyType(columns)) for columns in beside),
            **drawing,
        )

    @classmethod
    def from_toml(cls, toml: str | Path | Mapping, row: int = 0) -> Scene:
        """The scene of a TOML file or of its tables as a dictionary; of a distribution, the row of that number."""
        from droulette.api.datasets import read
        from droulette.pipeline.draw import draw_table

        params = read(toml)
        simulator = params.simulator
        if not 0 <= row < simulator.size:
            raise UserError(f"row: found {row}, expected one of 0 to {simulator.size - 1}")
        names = ("imagesize", "cropsize", "centred", "nterms", "sampling", "supersampling", "mask")
        drawing = {name: getattr(simulator, name) for name in names}
        return cls.from_row(draw_table(params, row, row + 1).iloc[0], **drawing)

    def to_toml(self, path: str | Path | None = None) -> str:
        """The scene as TOML text, which `droulette generate` and `from_toml` take; with a path, also written there.

        Raises:
            UserError: the scene has something that no TOML says: lenses at different places, lens light whose shape is
                not the lens's, or neighbours.
        """
        text = "\n".join(
            "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items()), ""])
            for name, table in self._tables().items()
        )
        if path is not None:
            with files.atomic_write(path) as partial:
                partial.write_text(text)
        return text

    def _tables(self) -> dict[str, dict[str, object]]:
        row = self.row()
        if "cluster" in row:
            raise UserError(
                "to_toml: found lenses at different places, expected one origin; a table's `row()` holds them"
            )
        if self.neighbours:
            raise UserError("to_toml: found neighbours, whose places no TOML says; a table's `row()` holds them")
        simulator = {"size": 1, "nterms": self.nterms, "imagesize": self.imagesize}
        if self.cropsize is not None:
            simulator["cropsize"] = self.cropsize
        simulator |= {"model": self.model, "centred": self.centred, "sampling": self.sampling}
        simulator |= {"supersampling": self.supersampling, "mask": self.mask}
        simulator |= {"sampled": True} if self.sampled else {}
        lens: dict[str, object] = {"mode": row["lens"]} | _keys(LENSES[row["lens"]].parameters, row)
        source: dict[str, object] = {"mode": row["source"], "position": "cartesian"}
        if "/" not in row["source"]:
            source |= _keys(SOURCES[row["source"]].parameters, row)
        for table, key, column in (
            (source, "image", "image"),
            (source, "galaxies", "galaxy"),
            (lens, "map", "map"),
            (lens, "map-quantity", "mapquantity"),
            (lens, "map-pixel", "mappixel"),
        ):
            table |= {key: row[column]} if column in row else {}
        tables = {"simulator": simulator, "lens": lens, "source": source}
        tables["position"] = {"x": row["x"], "y": row["y"]}
        if self.instrument is not None:
            tables["simulator"]["seed"] = int(row.get("noiseseed", 0))
            tables["instrument"] = _instrument_table(self.instrument.columns)
        if self.lens_light is not None:
            tables["lens_light"] = _light_table(row)
        return tables


def _keys(quantities: Iterable[Quantity], row: Mapping[str, object]) -> dict[str, object]:
    """The keys of these quantities, whole numbers as such; `NFW.einstein` is a key of the table NFW."""
    found: dict[str, object] = {}
    for quantity in quantities:
        value = row[quantity.column]
        found[quantity.key] = int(value) if quantity.whole else value
    return found


def _toml(value: object) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _instrument_table(columns: Mapping[str, object]) -> dict[str, object]:
    """[instrument] that draws these columns."""
    if any(columns.get(name, 0.0) for name in ("centringX", "centringY")):
        raise UserError("to_toml: found a picture whose middle misses the centre of light, expected none")
    psf = columns["psf"]
    table: dict[str, object] = {"psf": psf}
    table |= {"pixel-scale": columns["pixelscale"]} if "pixelscale" in columns else {}
    table |= {"psf-fwhm": columns["psffwhm"]} if psf in ("gaussian", "moffat") else {}
    table |= {"moffat-beta": columns["moffatbeta"]} if psf == "moffat" else {}
    table |= {"background": columns["background"], "noise": columns["noise"]}
    table["subtract-background"] = columns["pedestal"] == 0
    if columns["electrons"]:
        table["exposure"] = columns["electrons"]  # with a gain of 1
    if "counts" in columns:
        table |= {"zero-point": 0.0, "magnitude": -2.5 * float(np.log10(columns["counts"]))}
    if "signaltonoise" in columns:
        table["signal-to-noise"] = columns["signaltonoise"]
    return table


def _light_table(row: Mapping[str, object]) -> dict[str, object]:
    """[lens_light] that draws these columns."""
    elliptical = any(quantity.name == "axis_ratio" for quantity in LENSES[row["lens"]].parameters)
    _, ratio, orientation = (row.get(quantity.column) for quantity in LENS)
    same = row["lightaxisratio"] == (ratio if elliptical else 1.0)
    if not same or (elliptical and row["lightorientation"] != orientation):
        raise UserError("to_toml: found lens light of another shape than the lens's mass, expected the same")
    return {
        "flux-ratio": row["lightratio"],
        "radius": row["lightradius"] / row["einsteinradius"],
        "n-sersic": row["lightsersic"],
        "axis-ratio-scatter": 0.0,
        "orientation-scatter": 0.0,
        "share": row["lightshare"],
    }
