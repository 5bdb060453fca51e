"""What the controls of the page say, as one value, and the scene that it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from droulette.api import models
from droulette.api.scene import Scene
from droulette.errors import UserError
from droulette.instruments import PRESETS as TELESCOPES
from droulette.parameters.simulation import Position
from droulette.physics.lenses import Lens
from droulette.physics.sources import Source
from droulette.quantities import INSTRUMENT, Quantity, find
from droulette.registry import LENSES, SOURCES

DRAWING, CUSTOM = "none: a drawing", "PSF and noise"
INSTRUMENTS = (DRAWING, CUSTOM, *TELESCOPES)
STEPS = 300  # of a slider, at least
# INSTRUMENT says what may be given; sliders need a range that is of use. Lengths are px, a grey level is a count.
_OF_INSTRUMENTS = {quantity.name: quantity for quantity in INSTRUMENT}
PSF_AND_NOISE = (
    replace(_OF_INSTRUMENTS["psf_fwhm"], column="psffwhm", unit="px", default=(0, 12)),
    replace(_OF_INSTRUMENTS["noise"], meaning="standard deviation of the noise", unit="grey levels", default=(0, 40)),
)
SIGNAL_TO_NOISE = (
    replace(
        _OF_INSTRUMENTS["signal_to_noise"],
        meaning="signal-to-noise ratio of the lensed source",
        column="signaltonoise",
        default=(5, 500),
    ),
)

Values = Mapping[str, float]


@dataclass(frozen=True)
class Settings:
    """One position of all controls.

    lens, source: names of models, of a lens also a sum such as SIE+Shear. lens_values, source_values: their parameters
    by name. position: of the source, px. instrument: of INSTRUMENTS, with instrument_values. seed: of the noise.
    """

    lens: str = "SIE"
    lens_values: Values = field(default_factory=dict)
    source: str = "SersicEllipsoid"
    source_values: Values = field(default_factory=dict)
    position: tuple[float, float] = (14.0, 6.0)
    instrument: str = DRAWING
    instrument_values: Values = field(default_factory=dict)
    seed: int = 0
    nterms: int = 5
    imagesize: int = 256
    centred: bool = False

    def scene(self) -> Scene:
        """The scene. Parameters without a value have the middle of their default range.

        Raises:
            UserError: a scene that cannot be.
        """
        return Scene(
            models.lens(self.lens, **complete(LENSES[self.lens].parameters, self.lens_values)),
            models.source(self.source, **complete(SOURCES[self.source].parameters, self.source_values)),
            self.position,
            self._instrument(),
            centred=self.centred,
            imagesize=self.imagesize,
            nterms=self.nterms,
        )

    def physical_lens(self) -> Lens:
        """The lens of `droulette.physics`, a batch of one."""
        model = LENSES[self.lens]
        return model(*(np.array([float(v)]) for v in complete(model.parameters, self.lens_values).values()))

    def physical_source(self) -> Source:
        """The source of `droulette.physics`, likewise."""
        model = SOURCES[self.source]
        return model(*(np.array([float(v)]) for v in complete(model.parameters, self.source_values).values()))

    def _instrument(self) -> models.Instrument | None:
        if self.instrument == DRAWING:
            return None
        values = complete(instrument_quantities(self.instrument), self.instrument_values)
        if self.instrument == CUSTOM:
            return models.instrument(psf="gaussian", seed=self.seed, **values)
        return models.instrument(self.instrument, seed=self.seed, **values)


def of_scene(scene: Scene) -> Settings:
    """The settings that draw this scene.

    Raises:
        UserError: something in it has no control.
    """
    row = scene.row()
    if "cluster" in row or "/" in row["source"]:
        raise UserError("found a cluster or constellation, expected one lens at the origin and one source")
    for model in (LENSES[row["lens"]], SOURCES[row["source"]]):
        if model.not_numbers:
            raise UserError(f"found {model.names[0]}, whose file has no slider, expected a model of numbers")
    if scene.lens_light is not None or scene.neighbours or scene.model != "Raytrace" or scene.sampled:
        raise UserError(
            "found lens light, neighbours, Roulette or sampled, expected a ray-traced picture of the source alone"
        )
    size = scene.cropsize or scene.imagesize
    if size != scene.imagesize or (scene.sampling, scene.supersampling) != ("exact", 1):
        raise UserError("found cropsize, nearest or supersampling, expected a picture of the whole canvas")
    drawing = Settings(
        lens=row["lens"],
        lens_values={q.name: row[q.column] for q in LENSES[row["lens"]].parameters},
        source=row["source"],
        source_values={q.name: row[q.column] for q in SOURCES[row["source"]].parameters},
        position=scene.position,
        nterms=scene.nterms,
        imagesize=scene.imagesize,
        centred=scene.centred,
    )
    return drawing if scene.instrument is None else _with_instrument(drawing, row)


def _with_instrument(drawing: Settings, row: Mapping[str, object]) -> Settings:
    """The settings whose instrument has just the columns of this row."""
    for name in INSTRUMENTS[1:]:
        values = {q.name: float(row[q.column]) for q in instrument_quantities(name) if q.column in row}
        found = replace(drawing, instrument=name, instrument_values=values, seed=int(row["noiseseed"]))
        if found.scene().row() == row:
            return found
    raise UserError(
        "found an [instrument] that no sliders give, expected a telescope's preset, or Gaussian PSF and noise"
    )


# ---------------------------------------------------------------- what there is to choose


def lens_names() -> list[str]:
    """The models that are a lens on their own and that numbers describe, each once; a map is none of them."""
    return _names(LENSES, lambda model: not model.perturbation and not model.not_numbers)


def added_names() -> list[str]:
    """The models that may be added to a lens: perturbations first."""
    return [*_names(LENSES, lambda model: model.perturbation), *lens_names()]


def source_names() -> list[str]:
    """The sources that numbers describe; a picture file as a source is none of them."""
    return _names(SOURCES, lambda model: not model.not_numbers)


def _names(known: Mapping[str, type], wanted) -> list[str]:
    return list(dict.fromkeys(model.names[0] for model in known.values() if wanted(model)))


def instrument_quantities(name: str) -> tuple[Quantity, ...]:
    """What has a slider for an instrument of that name."""
    return {DRAWING: (), CUSTOM: PSF_AND_NOISE}.get(name, SIGNAL_TO_NOISE)


def position_quantities() -> tuple[Quantity, Quantity]:
    """x and y of the source, with the range in which [position] draws them."""
    fields = Position.model_fields
    found = [(find(axis), fields[axis].default) for axis in "xy"]
    return tuple(replace(quantity, default=(drawn.low, drawn.high)) for quantity, drawn in found)


# ---------------------------------------------------------------- numbers


@dataclass(frozen=True)
class Range:
    """Of a slider."""

    start: float
    end: float
    step: float

    @property
    def decimals(self) -> int:
        return max(0, -math.floor(math.log10(self.step)))


def slider_range(quantity: Quantity, value: float | None = None) -> Range:
    """The default range and as much again on both sides, within the quantity's limits; an angle's range as it is.

    value: that the slider must be able to show.
    """
    low, high = quantity.default
    width = 0.0 if quantity.unit == "°" else high - low
    start = low - width if quantity.least is None else max(quantity.least, low - width)
    end = high + width if quantity.le is None else min(quantity.le, high + width)
    if value is not None:
        start, end = min(start, value), max(end, value)
    step = _round_step((end - start) / STEPS)
    step = max(1.0, step) if quantity.whole else step
    decimals = max(0, -math.floor(math.log10(step)))
    first, last = round(math.ceil(start / step - 1e-9) * step, decimals), math.floor(end / step + 1e-9) * step
    return Range(first if value is None or first <= value else value, round(last, decimals), step)


def _round_step(width: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is no more."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= width * (1 + 1e-9))


def middle(quantity: Quantity) -> float:
    """The middle of the default range, as a slider can show it; 0 where that range is around it."""
    low, high = quantity.default
    decimals = slider_range(quantity).decimals
    return 0.0 if low == -high else round((low + high) / 2, decimals)


def complete(quantities: tuple[Quantity, ...], values: Values) -> dict[str, float]:
    """A value for each of the quantities."""
    return {q.name: values.get(q.name, middle(q)) for q in quantities}


# ---------------------------------------------------------------- presets

_GALAXY = {"sigma": 10.0, "sigma2": 7.0, "theta": 40.0, "n_sersic": 1.0, "luminosity": 38.0}
_LENS = {"einstein_radius": 40.0, "axis_ratio": 0.7, "orientation": 30.0}
_SMALL = {"sigma": 4.0, "n_sersic": 1.0, "luminosity": 8.0}
SCENES: dict[str, Settings] = {
    "Arc": Settings(lens_values=_LENS, source_values=_GALAXY),
    "Einstein ring": Settings(
        lens="SIS", lens_values={"einstein_radius": 50.0}, source="Spherical", source_values={"sigma": 8.0},
        position=(1.0, 0.0), nterms=10,
    ),
    "Four images": Settings(
        lens_values=_LENS | {"einstein_radius": 55.0, "axis_ratio": 0.55}, source="SersicSphere", source_values=_SMALL,
        position=(2.0, 3.0), nterms=8,
    ),
    "Fold arc": Settings(
        lens_values=_LENS | {"einstein_radius": 55.0, "axis_ratio": 0.5}, source="SersicSphere",
        source_values=_SMALL | {"sigma": 6.0, "luminosity": 16.0}, position=(7.0, -12.0), nterms=8,
    ),
    "External shear": Settings(
        lens="SIE+Shear", lens_values=_LENS | {"gamma1": 0.1, "gamma2": -0.06}, source_values=_GALAXY,
        position=(10.0, -8.0),
    ),
    "Weak lensing": Settings(
        lens="NFW", lens_values={"einstein_radius": 20.0, "scale_radius": 150.0}, source="Spherical",
        source_values={"sigma": 14.0}, position=(60.0, 20.0), nterms=3,
    ),
    "Through a telescope": Settings(
        lens_values=_LENS, source_values=_GALAXY, instrument="euclid-vis",
        instrument_values={"signal_to_noise": 150.0},
    ),
}  # fmt: skip


def parts(lens: str) -> Iterator[str]:
    """The names that a lens's name is a sum of."""
    return (part.strip() for part in lens.split("+"))
