"""What each quantity of a scene is, said once: its names, range, unit and symbol, and how it follows the scene.

TOML keys, checks of tables, symmetries, limits of predictions, labels and docs/toml.md are made from it. A lens or
source model describes its own parameters in place, by `parameter`; they are entered here with the model.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

LONGEST = 1_000_000  # px, of lengths in TOML files and tables
WIDEST = 1_000_000  # degrees
AMPLITUDE = re.compile(r"(alpha|beta)\[(\d{1,2})\]\[(\d{1,2})\]")


@dataclass(frozen=True)
class Quantity:
    """A number that describes a scene.

    name: of a model's field. key, also: in TOML. column, older: in tables.
    default: (low, high), from which it is drawn where TOML says nothing; with `rate`, truncated exponential.
    gt, ge, le: what TOML files and tables may give. smallest: what a prediction is raised to before it is drawn.
    whole: whether it is a whole number.
    fitted: whether it is fitted to the picture where a model does not predict it.
    spin: how many times as far as the scene it turns: 0 for a scalar, None where its behaviour is not known.
    partner, odd: the column of a vector's other component, and whether a mirror (y → −y) flips the sign of this one.
    length: the power of length in its unit, by which it grows with the scene.
    """

    name: str
    meaning: str
    unit: str = ""
    default: tuple[float, float] | None = None
    rate: float = 0.0
    gt: float | None = None
    ge: float | None = None
    le: float | None = None
    key: str = ""
    also: tuple[str, ...] = ()
    column: str = ""
    older: str = ""
    symbol: str = ""
    tex: str = ""
    spin: int | None = None
    partner: str = ""
    odd: bool = False
    length: int = 0
    smallest: float | None = None
    fitted: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        for name in ("key", "column"):
            if not getattr(self, name):
                object.__setattr__(self, name, self.name)

    def allows(self, values: Any) -> Any:
        """Which of an array's values are within the limits."""
        fine = values == values
        for limit, inside in ((self.gt, values.__gt__), (self.ge, values.__ge__), (self.le, values.__le__)):
            if limit is not None:
                fine = fine & inside(limit)
        return fine & (values % 1 == 0) if self.whole else fine

    @property
    def interval(self) -> str:
        """The limits in mathematical notation."""
        lowest = self.gt if self.ge is None else self.ge
        left = "[" if self.gt is None else "("
        low = -inf if lowest is None else lowest
        high = inf if self.le is None else self.le
        return f"{left}{low:g}, {high:g}]"

    @property
    def least(self) -> float | None:
        """`smallest`; where the model does not say it, the included limit, or a hundredth into the default range."""
        if self.smallest is not None:
            return self.smallest
        if self.gt is not None and self.default is not None:
            return self.gt + (self.default[0] - self.gt) / 100
        return self.ge

    @property
    def caption(self) -> str:
        """The first words of its meaning, and its unit."""
        words = re.split("[:;]", self.meaning)[0]
        return f"{words}, {self.unit}" if self.unit else words


# ---------------------------------------------------------------- those of the built-in models and of tables

# The fields of lenses that several models share, in the order of their columns.
LENS = (
    Quantity(
        "einstein_radius", "Einstein radius θ_E", "px", (10, 50), gt=0, le=LONGEST,
        key="einstein", also=("einsteinradius",), column="einsteinradius", older="einsteinR",
        symbol="θ_E", tex=r"\theta_E", spin=0, length=1,
    ),
    Quantity(
        "axis_ratio", "axis ratio f of an elliptical lens; 1 is round", "", (0.3, 0.9), gt=0, le=1,
        key="ellipseratio", column="ellipseratio", symbol="f", tex="f", spin=0,
    ),
    Quantity(
        "orientation", "direction of the minor axis of the mass, counter-clockwise from x", "°", (0, 180),
        ge=-WIDEST, le=WIDEST,
    ),
)  # fmt: skip
CHI = Quantity(
    "chi", "distance ratio; a column without effect, because lengths are angles", "%", (50, 50), ge=0, le=100
)
# The fields of sources that several models share, in the order of a constellation's text.
SOURCE = (
    Quantity(
        "sigma", "size σ: standard deviation, half-light radius or circumradius", "px", (1, 60), gt=0, le=LONGEST,
        symbol="σ", tex=r"\sigma", spin=0, length=1,
    ),
    Quantity(
        "sigma2", "size σ₂ along the second axis", "px", (1, 40), gt=0, le=LONGEST,
        symbol="σ₂", tex=r"\sigma_2", spin=0, length=1,
    ),
    Quantity("theta", "rotation, counter-clockwise", "°", (0, 179), ge=-WIDEST, le=WIDEST),
    Quantity(  # at n ≤ 0.164 the b of the Sérsic profile is not positive
        "n_sersic", "Sérsic index", "", (1, 5), gt=0.17, le=100, symbol="n", tex="n", spin=0, smallest=0.2, fitted=True,
    ),
    Quantity(  # grows with the area that it lights
        "luminosity",
        "luminosity of Sérsic profiles. With `luminosity-lambda` λ (default 2) it is min + (max − min)·x; x in [0, 1] "
        "has the density λ e^(−λx) / (1 − e^(−λ)); 0 is uniform",
        "", (1, 20), rate=2, gt=0, le=10**12, symbol="L", tex="L", spin=0, length=2, smallest=1e-6, fitted=True,
    ),
)  # fmt: skip
CONSTELLATION = ("x", "y", *(quantity.name for quantity in SOURCE))  # the numbers of one source in that text


def _vector(first: str, second: str, meaning: str, limit: int | None = None, symbol: str = "", tex: str = ""):
    """The components of a position, to the right and up, px."""
    for name, other, axis in ((first, second, "x"), (second, first, "y")):
        yield Quantity(
            name, f"{meaning}, {axis}", "px", ge=None if limit is None else -limit, le=limit,
            symbol=symbol and f"{symbol} {axis}", tex=tex and f"{tex}_{axis}",
            spin=1, partner=other, odd=axis == "y", length=1,
        )  # fmt: skip


POSITIONS = (
    *_vector("x", "y", "position of the source", LONGEST),
    *_vector("xiX", "xiY", "reference point", 10 * LONGEST, "ξ₀", r"\xi"),
    *_vector("lensX", "lensY", "origin of the lens plane"),
    *_vector("centreX", "centreY", "centre of light"),
    *_vector("reletaX", "reletaY", "source from the centre of light"),
    *_vector("offsetX", "offsetY", "residual of the reference point"),
    Quantity("R", "distance of the source from the origin", "px", spin=0, length=1),
    Quantity("phi", "direction of the source, counter-clockwise from x", "°", ge=-WIDEST, le=WIDEST),
)

# Of an instrument, as [instrument] gives them …
PIXEL_SCALE = Quantity(
    "pixel_scale", "size of a pixel on the sky", "″", gt=0, le=1000, key="pixel-scale", column="pixelscale"
)
INSTRUMENT = (
    PIXEL_SCALE,
    Quantity("psf_fwhm", "full width of the point spread function at half its maximum; 0: none", "", ge=0, le=1000,
             key="psf-fwhm", column="psffwhm"),
    Quantity("moffat_beta", "exponent β of a Moffat profile", "", gt=1, le=100, key="moffat-beta", column="moffatbeta"),
    Quantity("background", "sky background in a pixel", "counts/s", ge=0, le=10**12),
    Quantity("sky_brightness", "the same as a surface brightness; needs zero-point and pixel-scale", "mag/″²",
             ge=-50, le=50, key="sky-brightness"),
    Quantity("noise", "standard deviation of normal noise in a pixel", "counts/s", ge=0, le=10**12),
    Quantity("exposure", "time of an exposure; left out: no Poisson noise", "s", gt=0, le=10**9),
    Quantity("exposures", "number of exposures that are added", "", gt=0, le=10**6),
    Quantity("gain", "electrons per count", "", gt=0, le=10**6),
    Quantity("read_noise", "read noise of an exposure", "electrons", ge=0, le=10**6, key="read-noise"),
    Quantity("zero_point", "magnitude of one count per second", "mag", ge=-50, le=100, key="zero-point"),
    Quantity("magnitude", "magnitude of the unlensed source; needs zero-point. Default: a grey level is a count",
             "mag", ge=-50, le=100),
    Quantity("signal_to_noise", "√Σ (lensed source / standard deviation of the background's noise)²; it sets the "
             "source's brightness", "", gt=0, le=10**9, key="signal-to-noise"),
    Quantity("centring_error", "standard deviation, along each axis, of the distance between the picture's middle "
             "and the centre of light", "px", ge=0, le=1000, key="centring-error"),
)  # fmt: skip
LENS_LIGHT = (
    Quantity("flux_ratio", "light of the lens divided by that of the lensed source, counted in grey levels of at most "
             "255", "", ge=0, le=10**6, key="flux-ratio"),
    Quantity("radius", "half-light radius divided by the Einstein radius", "θ_E", gt=0, le=1000),
    Quantity("n_sersic", "Sérsic index", "", gt=0.17, le=100, key="n-sersic"),
    Quantity("axis_ratio_scatter", "standard deviation of the difference between the axis ratios of light and mass", "",
             ge=0, le=1, key="axis-ratio-scatter"),
    Quantity("orientation_scatter", "standard deviation of the angle between light and mass", "°", ge=0, le=90,
             key="orientation-scatter"),
    Quantity("share", "share of the lens light that stays in the picture; the noise of subtracted light stays too", "",
             ge=0, le=1),
)  # fmt: skip
NEIGHBOURS = (
    Quantity(
        "flux_ratio",
        "light of each divided by that of the lensed source, counted in grey levels of at most 255",
        "",
        ge=0,
        le=10**6,
        key="flux-ratio",
    ),
    Quantity("radius", "half-light radius", "px", gt=0, le=LONGEST),
    Quantity("axis_ratio", "axis ratio", "", gt=0, le=1, key="axis-ratio"),
    Quantity("n_sersic", "Sérsic index", "", gt=0.17, le=100, key="n-sersic"),
)
# … and as a row of dataset.csv gives them.
INSTRUMENT_COLUMNS = (
    PIXEL_SCALE,
    Quantity("psffwhm", "full width of the point spread function at half its maximum", "px", ge=0, le=1000),
    Quantity("moffatbeta", "exponent β of a Moffat profile", gt=1, le=100),
    Quantity("background", "sky background in a pixel", "counts/s", ge=0, le=10**12),
    Quantity("pedestal", "background that is left in the picture", "counts/s", ge=0, le=10**12),
    Quantity("noise", "standard deviation of the normal noise", "counts/s", ge=0, le=10**12),
    Quantity("electrons", "electrons of one count a second in all exposures; 0: no Poisson noise", ge=0, le=10**18),
    Quantity("counts", "counts a second of the source, not lensed", "counts/s", gt=0, le=10**18),
    Quantity("signaltonoise", "signal-to-noise ratio of the lensed source", gt=0, le=10**9),
    Quantity("centringX", "from the centre of light to the middle of the picture, x", "px", ge=-10**5, le=10**5),
    Quantity("centringY", "from the centre of light to the middle of the picture, y", "px", ge=-10**5, le=10**5),
    Quantity("noiseseed", "seed of the noise", ge=0, le=2**32 - 1),
    Quantity("index", "row of the dataset, of which the noise is", ge=0, le=2**32 - 1),
    Quantity("lightratio", "light of the lens divided by that of the lensed source", ge=0, le=10**6),
    Quantity("lightflux", "light of the lens in all", "grey levels", ge=0, le=10**18),
    Quantity("lightradius", "half-light radius of the lens's light", "px", gt=0, le=LONGEST),
    Quantity("lightaxisratio", "axis ratio of the lens's light", gt=0, le=1),
    Quantity("lightorientation", "orientation of the lens's light", "°", ge=-WIDEST, le=WIDEST),
    Quantity("lightsersic", "Sérsic index of the lens's light", gt=0.17, le=100),
    Quantity("lightshare", "of the lens's light that is left in the picture", ge=0, le=1),
    Quantity("sourceflux", "light of the lensed source in all", "grey levels", ge=0, le=10**18),
    Quantity("brightness", "counts a second of a grey level", "counts/s", gt=0, le=10**18),
)  # fmt: skip

BUILT_IN = {quantity.column: quantity for quantity in (*LENS, CHI, *SOURCE, *POSITIONS, *INSTRUMENT_COLUMNS)}
BUILT_IN |= {quantity.older: quantity for quantity in LENS if quantity.older}
OF_MODELS: dict[str, Quantity] = {}  # by column; kept by the registry of models
REMEMBERED: dict[str, Quantity] = {}  # of networks that were read, where the lens or source itself is not defined


# ---------------------------------------------------------------- look-up


def find(column: str) -> Quantity | None:
    """What a column of a table is; None where nothing is known of it."""
    if match := AMPLITUDE.fullmatch(column):
        return _amplitude(column, match[1], match[2], match[3])
    part, dot, rest = column.partition(".")
    if dot:
        quantity = BUILT_IN.get(rest) or OF_MODELS.get(rest)
        return quantity and in_part(part, quantity)
    return BUILT_IN.get(column) or OF_MODELS.get(column) or REMEMBERED.get(column)


def in_part(part: str, quantity: Quantity) -> Quantity:
    """The quantity of one part of a sum of lenses, where another part has it too: `NFW.einsteinradius`."""
    names = {name: f"{part}.{getattr(quantity, name)}" for name in ("name", "key", "column")}
    if quantity.partner:
        names["partner"] = f"{part}.{quantity.partner}"
    if quantity.symbol:
        names["symbol"] = f"{quantity.symbol} {part}"
    meaning = f"{quantity.meaning}, of the part {part}"
    return replace(quantity, **names, meaning=meaning, also=(), older="", tex="")


def _amplitude(column: str, kind: str, m: str, s: str) -> Quantity:
    """α^m_s and β^m_s are derivatives of order m + 1 of a potential in squared lengths."""
    other = {"alpha": "beta", "beta": "alpha"}[kind]
    symbol = {"alpha": "α", "beta": "β"}[kind] + m.translate(_UP) + s.translate(_DOWN)
    return Quantity(
        column, "roulette amplitude", f"px^{1 - int(m)}", symbol=symbol, tex=rf"\{kind}^{{{m}}}_{{{s}}}",
        spin=int(s), partner=f"{other}[{m}][{s}]", odd=kind == "beta", length=1 - int(m),
    )  # fmt: skip


_UP, _DOWN = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"), str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def symbol(column: str) -> str:
    """A column's name as the field writes it, where it has a symbol: α²₁ for alpha[2][1]."""
    quantity = find(column)
    return quantity.symbol if quantity and quantity.symbol else column


def label(column: str) -> str:
    """The same for Matplotlib."""
    quantity = find(column)
    if quantity and quantity.tex:
        return f"${quantity.tex}$"
    return symbol(column)


def least(columns: Iterable[str]) -> dict[str, float]:
    """The smallest value at which a scene can be drawn, for each column that has one."""
    found = {column: find(column) for column in columns}
    return {c: quantity.least for c, quantity in found.items() if quantity and quantity.least is not None}


def amplitude_columns(*ends: int) -> list[str]:
    """`alpha[m][s]`, `beta[m][s]` for m = 0…last or first…last, and s = (m + 1) mod 2, …, m + 1 in steps of 2."""
    first, last = ends if len(ends) == 2 else (0, *ends)
    orders = [(m, s) for m in range(first, last + 1) for s in range((m + 1) % 2, m + 2, 2)]
    return [f"{kind}[{m}][{s}]" for m, s in orders for kind in ("alpha", "beta")]


# ---------------------------------------------------------------- in the file of a network


def _behaviour(quantity: Quantity | None) -> list | None:
    if quantity is None or quantity.spin is None:
        return None
    return [quantity.spin, quantity.partner, quantity.odd, quantity.length]


def behaviours(columns: Iterable[str]) -> dict[str, list]:
    """How the parameters of users' models among the columns follow the scene: spin, partner, odd and length."""
    found = {c: _behaviour(find(c)) for c in columns if c in OF_MODELS or c in REMEMBERED}
    return {column: behaviour for column, behaviour in found.items() if behaviour is not None}


def remember(columns: Iterable[str], trained: dict[str, list]) -> None:
    """Take over the `behaviours` that a network was trained with.

    Raises:
        ValueError: they are none, or a column's model says something else.
    """
    for column in columns:
        behaviour = trained.get(column)
        if column in OF_MODELS and _behaviour(OF_MODELS[column]) != behaviour:
            raise ValueError(f"its column {column!r} follows the scene otherwise than that of the model defined here")
        if behaviour is None or column in BUILT_IN or AMPLITUDE.fullmatch(column):
            continue
        spin, partner, odd, length = behaviour
        if not (type(spin) is type(length) is int and 0 <= spin <= 99 and abs(length) <= 99):
            raise ValueError(f"the behaviour of its column {column!r} is {behaviour}")
        REMEMBERED[column] = Quantity(column, "", spin=spin, partner=str(partner), odd=bool(odd), length=length)


# ---------------------------------------------------------------- parameters of a model


def parameter(low: float, high: float, meaning: str, unit: str = "", **about: Any) -> Any:
    """A field of a lens or source that no other model has, drawn from low…high where TOML says nothing.

    Its name is its key in [lens] or [source], and its column in dataset.csv. about: any of a `Quantity`'s other fields.
    """
    return dataclasses.field(metadata={"quantity": Quantity("", meaning, unit, (low, high), **about)})
