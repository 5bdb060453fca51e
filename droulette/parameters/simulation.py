"""Parameters of the simulation: what is drawn, from which distributions, and how the pictures are made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import create_model, model_validator

from droulette.parameters.reading import (
    Checked,
    Distribution,
    Drawn,
    Names,
    OptionalFileName,
    Table,
    conflict,
    key,
    mismatch,
    number,
)
from droulette.physics.lenses import LENSES
from droulette.physics.sources import SOURCES
from droulette.quantities import BUILT_IN, CHI, INSTRUMENT, LENS, LENS_LIGHT, LONGEST, NEIGHBOURS, SOURCE, Quantity
from droulette.registry import Models
from droulette.registry import read_installed as read_installed

MODELS = {"Raytrace": "Raytrace", "Roulette": "Roulette"}
# Name: simulation model, lens, sampled.
CONFIGS = {
    "rs": ("Raytrace", "SIS", False),
    "raysie": ("Raytrace", "SIE", False),
    "fs": ("Roulette", "SIS", False),
    "rousie": ("Roulette", "SIE", False),
    "p": ("Raytrace", "PM", False),
    "r": ("Roulette", "PM", False),
    "pss": ("Raytrace", "SIS", True),
    "sraysie": ("Raytrace", "SIE", True),
    "ss": ("Roulette", "SIS", True),
    "srousie": ("Roulette", "SIE", True),
}
MAX_NTERMS = 20
MAX_SEED = 2**32 - 1
MOST_NEIGHBOURS = 20

# Keys of CosmoSim 3.x that have another place here, and those that may only ask for what is done anyway.
MOVED = {"management.mask": "simulator.mask", "r-relativemax": "position.r-relativemax"}
_PLAIN = "pictures have no annotation"
_ONE = "each row gives one picture"
NEUTRAL: dict[str, tuple[Any, str]] = {
    "simulator.xireference": (True, "the amplitudes are those at the apparent position"),
    "lens.amplitudefile": (None, "no such file: amplitudes are computed from the potential"),
    "lens.cluster": (None, "[cluster] count, or a CSV with a column cluster"),
    "annotation.reflines": (False, _PLAIN),
    "annotation.criticalcurves": (False, _PLAIN),
    "management.showmask": (False, _PLAIN),
    "management.join": (False, _ONE),
    "management.family": (False, _ONE),
    "management.psiplot": (False, _ONE),
    "management.kappaplot": (False, _ONE),
    "management.apparent": (False, _ONE),
    "management.actual": (False, _ONE),
}


def names_of(models: Models) -> dict[str, str]:
    """Each spelling of a model's name, and the usual one."""
    return {name: model.names[0] for name, model in models.items()}


def constellation_sources() -> list[str]:
    """The sources that may be part of a constellation, whose text has a place for the quantities that all share."""
    return [name for name, model in SOURCES.items() if {*model.parameters} <= {*SOURCE} and not model.not_numbers]


def constituents() -> list[str]:
    """The lenses that may be part of a cluster, whose text has no place for files."""
    return [name for name, model in LENSES.items() if not model.not_numbers]


def constellation(text: str) -> str:
    """Check `mode/x/y/sigma/sigma2/theta/n_sersic/luminosity;…`. Raises ValueError."""
    known = constellation_sources()
    for part in text.split(";"):
        mode, *numbers = part.split("/")
        if mode not in known or len(numbers) != 2 + len(SOURCE):
            raise ValueError
        values = [number(float(x)) for x in numbers]
        if min(values[2:4]) <= 0:
            raise ValueError
    return text


def lens_sum(text: str) -> str:
    """Check `SIE+Shear`, and give it as the models themselves are called. Raises ValueError."""
    if "+" not in text or text not in LENSES:
        raise ValueError
    return LENSES[text].names[0]


def _radius(value: Any) -> float | str:
    if isinstance(value, str):
        if value == "einsteinR":
            return value
        raise ValueError
    if not 0 <= number(value) <= LONGEST:
        raise ValueError
    return number(value)


def _radii(value: Any) -> tuple[float | str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError
    return tuple(map(_radius, values))


def _drawn(quantity: Quantity) -> tuple[Any, Any]:
    """The type and the field of a key that draws a quantity."""
    kind = Drawn(quantity.gt, quantity.ge, quantity.le, whole=quantity.whole, rate=quantity.rate > 0)
    default = Distribution(*quantity.default, rate=quantity.rate, whole=quantity.whole)
    field = key(default, quantity.meaning, quantity.unit, also=quantity.also, alias=quantity.key)
    return Annotated[Distribution, kind], field


def with_parameters(table: type[Table], models: Models, shared: tuple[Quantity, ...]) -> type[Table]:
    """The table, with a key for each quantity that models share and for each parameter of their own."""
    keys = {quantity.key: _drawn(quantity) for quantity in (*shared, *models.parameters())}
    return create_model(table.__name__, __base__=table, __doc__=table.__doc__, **keys)


def own_parameters() -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
    """Those that single lens and source models have."""
    return tuple(LENSES.parameters()), tuple(SOURCES.parameters())


def parameters_of_parts(modes: Any) -> tuple[Quantity, ...]:
    """What the parts of sums have for themselves: of `SIE+NFW` the keys of the table [lens.NFW]."""
    sums = [mode for mode in (modes if isinstance(modes, list) else [modes]) if isinstance(mode, str) and "+" in mode]
    return tuple(quantity for quantity in LENSES.parameters(sums) if "." in quantity.key)


def lens_table(of_parts: tuple[Quantity, ...] = ()) -> type[Lens]:
    table = with_parameters(Lens, LENSES, (*LENS, CHI))
    parts: dict[str, dict[str, Any]] = {}
    for quantity in of_parts:
        part, key_of_part = quantity.key.split(".")
        parts.setdefault(part, {})[key_of_part] = _drawn(replace(quantity, key=key_of_part))
    tables = {
        part: create_model(part, __base__=Table, __doc__=f"The part {part}.", **keys) for part, keys in parts.items()
    }
    return create_model(
        table.__name__, __base__=table, __doc__=table.__doc__,
        **{part: (of_part, key(of_part(), "")) for part, of_part in tables.items()},
    )  # fmt: skip


def source_table() -> type[Source]:
    return with_parameters(Source, SOURCES, SOURCE)


def _within(quantity: Quantity) -> Any:
    return Annotated[Distribution, Drawn(quantity.gt, quantity.ge, quantity.le)]


Coordinate, Direction = _within(BUILT_IN["x"]), _within(BUILT_IN["phi"])
_RADIUS = f'a number in [0, {LONGEST:_}] or "einsteinR"'
Radius = Annotated[float | str | None, Checked(_radius, "number or string", _RADIUS)]
Radii = Annotated[tuple[float | str, ...] | None, Checked(_radii, "number, string or list", f"{_RADIUS}, or a list")]


class Simulator(Table):
    """How many pictures, and how each is made."""

    size: int = key(
        10_000, "number of rows and pictures; the default is 1 if all rows would be the same", ge=1, le=10_000_000
    )
    seed: int = key(0, "seed of the table; the same seed gives the same table", ge=0, le=MAX_SEED)
    nterms: int = key(5, "highest order m of the amplitudes", ge=0, le=MAX_NTERMS)
    imagesize: int = key(512, "side of the canvas", "px", ge=1, le=16_384)
    cropsize: int | None = key(None, "side of the picture; left out: imagesize", "px", ge=1, le=16_384)
    centred: bool = key(False, "shift the picture's centre of light to the middle before cropping")
    sampling: Literal["exact", "nearest"] = key(
        "exact",
        "`exact` evaluates the source where the ray meets it; `nearest` takes the nearest pixel, like CosmoSim",
    )
    supersampling: int = key(1, "each pixel is the mean of this many rays squared; with `exact`", ge=1, le=16)
    model: Annotated[tuple[str, ...], Names(MODELS)] = key(("Raytrace",), "simulation model", also=["models"])
    config: Annotated[tuple[str, ...] | None, Names({name: name for name in CONFIGS})] = key(
        None,
        "names simulation model and lens together, instead of `model` and `lens.mode`",
        also=["configs"],
    )
    sampled: bool = key(False, "take the lens potential from its values on the pixel grid")
    storage: Literal["png", "parquet"] = key("png", "pictures as one PNG file each, or packed into Parquet shards")
    shard_size: int = key(1000, "pictures in a shard; with `parquet`", ge=1, le=1_000_000)
    mask: bool = key(False, "make pixels outside the circle of convergence black; with `Roulette`")

    @model_validator(mode="after")
    def _possible(self) -> Simulator:
        if self.cropsize is not None and self.cropsize > self.imagesize:
            raise mismatch(str(self.cropsize), f"at most imagesize = {self.imagesize}", key="cropsize")
        if self.supersampling > 1 and self.sampling == "nearest":
            raise mismatch(str(self.supersampling), 'sampling = "exact", or 1', key="supersampling")
        if self.config and "model" in self.model_fields_set:
            _agree(self.config, 0, self.model, "model", "config")
        return self


class Lens(Table):
    """The lens, or each constituent of a cluster."""  # its other keys: `lens_table`

    mode: Annotated[
        tuple[str, ...], Names(lambda: names_of(LENSES), lens_sum, ", or a sum of them, SIE+Shear for example")
    ] = key(("SIS",), "lens model, or the sum of several", also=["modes"])
    map: OptionalFileName = key(
        None, "for `mode` `Map`: a square map of the lens (FITS or NPY), or a folder of maps; each row samples one"
    )
    map_quantity: Literal["convergence", "potential"] = key("convergence", "quantity of `map`: κ or ψ")
    map_pixel: float = key(
        1.0,
        "side of a map's pixel; ψ is in the square of this unit. No effect for a map of κ",
        gt=0,
        le=LONGEST,
    )

    def distribution(self, quantity: Quantity) -> Distribution:
        """Of which a quantity of a lens, or of a part of a sum, is drawn."""
        table = self
        for name in quantity.key.split("."):
            table = getattr(table, name)
        return table

    @model_validator(mode="after")
    def _has_map(self) -> Lens:
        if any("Map" in mode.split("+") for mode in self.mode) and self.map is None:
            raise conflict('missing; mode = "Map" needs the file or folder of the map', "map")
        return self


class Cluster(Table):
    """Several lenses in one: the sum of their potentials."""

    count: Annotated[Distribution, Drawn(ge=0, le=100, whole=True)] = key(
        Distribution(0, 0, whole=True), "number of constituents; 0: a single lens at the origin"
    )
    maxrelativelocation: float = key(
        1.2, "largest distance of each constituent from the origin, in units of its θ_E", "θ_E", ge=0, le=1000
    )

    @model_validator(mode="after")
    def _all_clusters(self) -> Cluster:
        if self.count.low == 0 < self.count.high:
            raise mismatch(f"{self.count}", "0 alone, or numbers of at least 1", key="count")
        return self


class Subhaloes(Table):
    """Small lenses that are added to each lens, in the column `subhaloes`. Without this table there are none."""

    mode: Annotated[tuple[str, ...], Names(lambda: {name: LENSES[name].names[0] for name in constituents()})] = key(
        ("SIS",), "model of a subhalo"
    )
    count: Annotated[Distribution, Drawn(ge=0, le=100)] = key(Distribution(10, 10), "number of subhaloes, or its mean")
    poisson: bool = key(True, "sample the number from a Poisson distribution of mean `count`; false: it is `count`")
    mass_min: float = key(
        1e-3, "least mass within a subhalo's Einstein radius, divided by that within the lens's", gt=0
    )
    mass_max: float = key(1e-1, "greatest mass, in the same unit", gt=0, le=1)
    mass_slope: float = key(1.9, "β of the mass function dN/dm ∝ m^−β", ge=-10, le=10)
    radius: float = key(2.0, 'they lie within this many "einsteinR" of the origin, uniformly', gt=0, le=1000)

    @property
    def given(self) -> bool:
        """Whether the file has this table."""
        return bool(self.model_fields_set)

    @model_validator(mode="after")
    def _possible(self) -> Subhaloes:
        if self.mass_min > self.mass_max:
            raise mismatch(f"{self.mass_min:g}", f"at most mass-max = {self.mass_max:g}", key="mass-min")
        return self


def subhaloes_table() -> type[Subhaloes]:
    """With the keys of lens models but `einstein`, which follows from the mass."""
    keys = {quantity.key: _drawn(quantity) for quantity in (*LENS[1:], *LENSES.parameters())}
    return create_model(Subhaloes.__name__, __base__=Subhaloes, __doc__=Subhaloes.__doc__, **keys)


class Source(Table):
    """The galaxy behind the lens."""  # its other keys: `source_table`

    mode: Annotated[
        tuple[str, ...], Names(lambda: names_of(SOURCES), constellation, ", or mode/x/y/σ/σ₂/theta/n/L;…")
    ] = key(("Ellipsoid",), "light profile, or a constellation of several", also=["modes"])
    lightprofile: Literal["Gaussian", "Sersic"] | None = key(
        None, "CosmoSim's key: makes the spheres and ellipsoids of `mode` Gaussian or Sérsic"
    )
    image: OptionalFileName = key(None, "for `mode` `Image`: picture file of the source")
    galaxies: OptionalFileName = key(
        None,
        "for `mode` `Galaxy`: a folder of pictures (PNG, TIFF, FITS or NPY), a FITS cube, or a COSMOS catalogue of "
        "GalSim; each row samples one galaxy",
    )
    position: Literal["cartesian", "polar", "relative", "critical"] = key(
        "cartesian", "how [position] places the source"
    )

    @model_validator(mode="after")
    def _has_image(self) -> Source:
        if "Image" in self.mode and self.image is None:
            raise conflict('missing; mode = "Image" needs the file name of the picture', "image")
        if "Galaxy" in self.mode and self.galaxies is None:
            raise conflict('missing; mode = "Galaxy" needs the folder or file of the galaxies', "galaxies")
        return self

    @property
    def profiles(self) -> tuple[str, ...]:
        """`mode` with `lightprofile` applied."""
        turned = {
            "Sersic": {"Spherical": "SersicSphere", "Ellipsoid": "SersicEllipsoid"},
            "Gaussian": {"SersicSphere": "Spherical", "SersicEllipsoid": "Ellipsoid"},
        }.get(self.lightprofile, {})
        return tuple(turned.get(mode, mode) for mode in self.mode)


class Position(Table):
    """Position of the source; `source.position` says which keys count."""

    x: Coordinate = key(Distribution(-100, 100), "`cartesian`: to the right", "px")
    y: Coordinate = key(Distribution(-100, 100), "`cartesian`: up", "px")
    phi: Direction = key(
        Distribution(0, 360), "not `cartesian`: direction from the origin, counter-clockwise from x", "°"
    )
    r: Radii = key(None, "fixed distance from the origin, instead of `r-min` and `r-max`", "px")
    r_min: Radius = key(
        None,
        'least distance; default: "einsteinR" for `polar`, 1 for `relative` and `critical`. It is lowered to the '
        'greatest if that is smaller. "einsteinR" is θ_E; for a cluster, the largest of |c_k| + θ_k',
        "px",
    )
    r_max: Radius = key(None, "`polar`: greatest distance; default: 2.5 × the least", "px")
    r_relativemax: float = key(
        1.2,
        '`relative`: largest distance over "einsteinR"; `critical`: over the critical radius at phi',
        gt=0,
        le=1000,
    )

    @model_validator(mode="after")
    def _possible(self) -> Position:
        for name, bound in (("r-min", self.r_min), ("r-max", self.r_max)):
            if self.r is not None and bound is not None:
                raise conflict("cannot be combined with r; remove one of them", name)
        if isinstance(self.r_min, float) and isinstance(self.r_max, float) and self.r_min > self.r_max:
            raise mismatch(f"{self.r_min:g}", f"at most r-max = {self.r_max:g}", key="r-min")
        return self


PSFS = ("none", "gaussian", "moffat")


def _drawn_if_given(quantity: Quantity) -> tuple[Any, Any]:
    """The type and the field of a key that may be left out."""
    kind = Drawn(quantity.gt, quantity.ge, quantity.le)
    return Annotated[Distribution | None, kind], key(None, quantity.meaning, quantity.unit, alias=quantity.key)


class _Instrument(Table):
    """Point spread function, background and noise. Without this table, pictures are 8-bit grey and noiseless."""

    preset: str | None = key(None, "name from docs/instruments.md; it sets all keys that are left out here")
    psf: OptionalFileName = key(
        None,
        "point spread function: none, gaussian, moffat, a FITS file, or a folder of FITS files; each row samples one",
    )
    psf_unit: Literal["px", "arcsec"] = key("px", "unit of `psf-fwhm`; `arcsec` needs `pixel-scale`")
    subtract_background: bool = key(True, "subtract the background from the picture")
    depth: Literal["uint16", "float32"] = key(
        "uint16", "pixel values: 16 bits with one scale per picture, or 32-bit floats; `float32` needs `parquet`"
    )

    @property
    def given(self) -> bool:
        """Whether the file has this table."""
        return bool(self.model_fields_set)

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("preset"), str):
            return from_preset(data["preset"], data)
        return data

    @model_validator(mode="after")
    def _possible(self) -> _Instrument:
        if not self.given:
            return self
        needs = (
            ("psf-unit", self.psf_unit == "arcsec" and self.psf_fwhm, ("pixel-scale",)),
            ("sky-brightness", self.sky_brightness, ("zero-point", "pixel-scale")),
            ("magnitude", self.magnitude, ("zero-point",)),
            ("read-noise", self.read_noise, ("exposure",)),
            ("exposures", self.exposures, ("exposure",)),
            ("gain", self.gain, ("exposure",)),
        )
        for name, used, others in needs:
            for other in others:
                if used and getattr(self, other.replace("-", "_")) is None:
                    raise conflict(f"missing; {name} needs it", other)
        if self.psf in ("gaussian", "moffat") and self.psf_fwhm is None:
            raise conflict(f'missing; psf = "{self.psf}" needs the width of the profile', "psf-fwhm")
        if self.psf == "moffat" and self.moffat_beta is None:
            raise conflict('missing; psf = "moffat" needs the exponent of the profile', "moffat-beta")
        if self.psf not in ("gaussian", "moffat") and self.psf_fwhm is not None:
            raise conflict(f"needs psf = gaussian or moffat; psf is {self.psf or 'none'}", "psf-fwhm")
        if self.psf != "moffat" and self.moffat_beta is not None:
            raise conflict(f"needs psf = moffat; psf is {self.psf or 'none'}", "moffat-beta")
        for one, other in (("background", "sky_brightness"), ("magnitude", "signal_to_noise")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise conflict(f"cannot be combined with {one}; remove one of them", other.replace("_", "-"))
        if self.signal_to_noise is not None and self.noise is None and self.exposure is None:
            raise conflict("needs noise or exposure; both are missing", "signal-to-noise")
        return self


Instrument = create_model(
    "Instrument",
    __base__=_Instrument,
    __doc__=_Instrument.__doc__,
    **{quantity.name: _drawn_if_given(quantity) for quantity in INSTRUMENT},
)

_LIGHT_DEFAULTS = {
    "flux_ratio": (0.0, 5.0),
    "radius": (0.3, 1.2),
    "n_sersic": (2.0, 5.0),
    "axis_ratio_scatter": (0.1, 0.1),
    "orientation_scatter": (10.0, 10.0),
    "share": (1.0, 1.0),
}


_NEIGHBOUR_DEFAULTS = {
    "flux_ratio": (0.1, 2.0),
    "radius": (1.0, 6.0),
    "axis_ratio": (0.4, 1.0),
    "n_sersic": (0.7, 4.0),
}


def _drawn_by_default(quantity: Quantity, defaults: dict[str, tuple[float, float]]) -> tuple[Any, Any]:
    kind = Drawn(quantity.gt, quantity.ge, quantity.le)
    default = Distribution(*defaults[quantity.name])
    return Annotated[Distribution, kind], key(default, quantity.meaning, quantity.unit, alias=quantity.key)


class _LensLight(Table):
    """Light of the lens galaxy, a Sérsic ellipsoid; with [instrument] and a single lens. Default: no light."""

    @property
    def given(self) -> bool:
        """Whether the file has this table."""
        return bool(self.model_fields_set)


LensLight = create_model(
    "LensLight",
    __base__=_LensLight,
    __doc__=_LensLight.__doc__,
    **{quantity.name: _drawn_by_default(quantity, _LIGHT_DEFAULTS) for quantity in LENS_LIGHT},
)


class _Neighbours(Table):
    """Other galaxies in the picture, Sérsic ellipsoids that are not lensed; with [instrument]. Default: none."""

    count: Annotated[Distribution, Drawn(ge=0, le=MOST_NEIGHBOURS)] = key(
        Distribution(1, 1), "number of neighbours, or its mean"
    )
    poisson: bool = key(True, "sample the number from a Poisson distribution of mean `count`; false: it is `count`")
    distance_min: Radius = key("einsteinR", "least distance from the origin of the lens", "px")
    distance_max: float = key(
        64.0, "greatest, or the least if that is more; they lie uniformly in the area between", "px", gt=0, le=LONGEST
    )

    @property
    def given(self) -> bool:
        """Whether the file has this table."""
        return bool(self.model_fields_set)

    @model_validator(mode="after")
    def _possible(self) -> _Neighbours:
        if isinstance(self.distance_min, float) and self.distance_min > self.distance_max:
            expected = f"at most distance-max = {self.distance_max:g}"
            raise mismatch(f"{self.distance_min:g}", expected, key="distance-min")
        return self


Neighbours = create_model(
    "Neighbours",
    __base__=_Neighbours,
    __doc__=_Neighbours.__doc__,
    **{quantity.name: _drawn_by_default(quantity, _NEIGHBOUR_DEFAULTS) for quantity in NEIGHBOURS},
)


def from_preset(name: str, data: dict) -> dict:
    """The keys of a table with those of a preset laid under them. Raises `mismatch`: no such preset."""
    from droulette.instruments import keys_of

    try:
        preset = keys_of(name)
    except KeyError as error:
        raise mismatch(f"{name!r}", f"one of {error.args[0]}", key="preset") from None
    hidden = {key.removesuffix("-min").removesuffix("-max") for key in data}
    if hidden & {"noise", "background", "sky-brightness"}:  # the sky, given another way
        hidden |= {"background", "sky-brightness"}
    if "psf" in hidden:
        hidden |= {"psf-fwhm", "psf-unit", "moffat-beta"}
    if "psf-fwhm" in hidden:
        hidden |= {"psf-unit"}
    kept = {key: value for key, value in preset.items() if key.removesuffix("-min").removesuffix("-max") not in hidden}
    return kept | data


def check_observed(
    instrument: Instrument, light: LensLight, neighbours: Neighbours, simulator: Simulator, cluster: Cluster,
    source: Source,
) -> None:  # fmt: skip
    """What an instrument needs of the other tables. Raises `mismatch` with the dotted key."""
    for name, table in (("lens_light", light), ("neighbours", neighbours)):
        if table.given and not instrument.given:
            raise conflict("needs the table [instrument], which is missing", name)
    if light.given and cluster.count.high:
        raise conflict("cannot be combined with a cluster; it needs a single lens", "lens_light")
    if not instrument.given:
        return
    if simulator.sampling != "exact":
        raise mismatch(f"{simulator.sampling!r}", "exact, which [instrument] needs", "simulator.sampling")
    if instrument.depth == "float32" and simulator.storage != "parquet":
        raise mismatch("'float32'", 'storage = "parquet" in [simulator]', "instrument.depth")
    if instrument.magnitude is not None:
        parts = [part.split("/", 1)[0].strip() for profile in source.profiles for part in profile.split(";")]
        without = [name for name in parts if not _has_flux(name)]
        if without:
            why = f"cannot be combined with source.mode = {without[0]}, whose light is unknown; use signal-to-noise"
            raise conflict(why, "instrument.magnitude")


def _has_flux(name: str) -> bool:
    from droulette.physics.sources import Source as Base

    return SOURCES[name].flux is not Base.flux


def check_together(simulator: Simulator, lens: Lens, cluster: Cluster, source: Source, position: Position) -> None:
    """What one table allows and another forbids. Raises `mismatch` with the dotted key."""
    if simulator.config and "mode" in lens.model_fields_set:
        _agree(simulator.config, 1, lens.mode, "lens.mode", "simulator.config")
    for name in lens.mode if not simulator.config else ():
        most = LENSES[name].most_order
        if most is not None and simulator.nterms > most:
            raise mismatch(str(simulator.nterms), f"at most {most} with the lens {name}", "simulator.nterms")
        if cluster.count.high and LENSES[name].not_numbers:
            raise mismatch(f"{name}, which cannot be in a cluster", f"one of {', '.join(constituents())}", "lens.mode")
    r_min, r_max, einstein = position.r_min, position.r_max, lens.einstein
    if source.position == "polar":
        if isinstance(r_max, float) and r_min in (None, "einsteinR") and r_max < einstein.high and not position.r:
            expected = f"at least the largest Einstein radius, {einstein.high:g}"
            raise mismatch(f"{r_max:g}", expected, "position.r-max")
        if r_max == "einsteinR" and isinstance(r_min, float) and r_min > einstein.low:
            expected = f"at most the smallest Einstein radius, {einstein.low:g}"
            raise mismatch(f"{r_min:g}", expected, "position.r-min")
    if source.position == "relative" and isinstance(r_min, float) and not cluster.count.high:
        limit = position.r_relativemax * einstein.high
        if r_min > limit:
            raise mismatch(f"{r_min:g}", f"at most r-relativemax × θ_E = {limit:g}", "position.r-min")


def is_one_scene(tables: Any) -> bool:
    """Whether all rows of these tables are the same but for noise: no quantity that is drawn has two values."""
    simulator, lens, source = tables.simulator, tables.lens, tables.source
    if len(simulator.model) > 1 or simulator.config or tables.cluster.count.high or tables.subhaloes.given:
        return False
    if tables.neighbours.given:
        return False
    if len(lens.mode) > 1 or len(source.profiles) > 1:
        return False
    several = "Map" in lens.mode[0].split("+") and not Path(lens.map).is_file()
    if several or source.mode[0] == "Galaxy":  # of which a file may hold several
        return False
    drawn = [lens.distribution(quantity) for quantity in LENSES[lens.mode[0]].parameters]
    (profile,) = source.profiles
    if "/" not in profile:
        drawn += [getattr(source, quantity.key) for quantity in SOURCES[profile].parameters]
    return (
        all(_is_single(one) for one in drawn) and _is_one_place(source, tables.position) and _is_one_instrument(tables)
    )


def _is_single(distribution: Distribution | None) -> bool:
    return distribution is None or (distribution.fixed and not distribution.choices)


def _is_one_place(source: Source, position: Position) -> bool:
    if source.position == "cartesian":
        return _is_single(position.x) and _is_single(position.y)
    return _is_single(position.phi) and position.r is not None and len(position.r) == 1


def _is_one_instrument(tables: Any) -> bool:
    instrument, light = tables.instrument, tables.lens_light
    if instrument.given:
        if not all(_is_single(getattr(instrument, quantity.name)) for quantity in INSTRUMENT):
            return False
        if instrument.psf not in (None, *PSFS) and Path(instrument.psf).is_dir():
            return False
        if instrument.centring_error is not None and instrument.centring_error.high > 0:
            return False
    if light.given:
        scatter = light.axis_ratio_scatter.high + light.orientation_scatter.high
        return scatter == 0 and all(_is_single(getattr(light, quantity.name)) for quantity in LENS_LIGHT)
    return True


def _agree(configs: tuple[str, ...], place: int, given: tuple[str, ...], name: str, key: str) -> None:
    """A config names model and lens; where the file names them too, it must not say otherwise."""
    for config in configs:
        if CONFIGS[config][place] not in given:
            found = f"{config}, which is {CONFIGS[config][place]}"
            raise mismatch(found, f"a config of {name} = {', '.join(given)}, or no {name}", key)
