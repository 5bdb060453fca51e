"""Observations converted to the input of a model of noisy pictures, and its answers taken back to the sky."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from droulette import quantities
from droulette.default_model import BOX
from droulette.errors import UserError
from droulette.learning.model_file import Model
from droulette.learning.observed import FACTS, Known
from droulette.observing import Observation, observe, position_angle, sky
from droulette.observing.fits_files import is_fits, split_choice
from droulette.pipeline import depth, user_pictures
from droulette.pipeline.pictures import make_views
from droulette.pipeline.user_pictures import resampling

SAME_SCALE = 0.01  # relative difference of pixel scales that is not worth another sampling
WHITE = 0.999  # quantile of the light that is shown as white
EIGHT_BITS = 255.0
EMPTY = 0.5  # share of equal pixels from which a picture has a background without noise
NOISE_OF_DRAWING = 0.02  # of the brightest pixel
WORDS = {
    "noise": "noise of {value:.3g} in the picture's units",
    "psf_fwhm": "PSF of a full width of {value:.3g} px",
    "pixel_scale": "pixel scale of {value:.3g} arcsec",
}

DEVIATIONS = 2.0  # of the distance that a model was trained with
PLACES = ("xi", "lens", "releta")  # columns of positions in a picture's frame
DECIDED = ("xi", "alpha[0]", "beta[0]", "alpha[1]", "beta[1]")  # columns whose answers are compared

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """An observation in the pixels and the size of a model's pictures.

    observation: None of a picture that `generate` made.
    picture: (N, N) float32. facts: (6,), of FACTS. column, row: of the observation's pixel that is the picture's
    middle. scale: pixels of the model to one of the observation. pixel_scale: arcsec of the model's, or None.
    seen: what the network is shown, where it is not `picture`: about the place where the object was looked for, with
    its neighbours, of a model that knows them.
    other: what the network might be shown as well: with outlying light taken the other way, as the object's or as a
    neighbour's; or about the centre of light. None: it makes no difference.
    """

    observation: Observation | None
    picture: np.ndarray
    facts: np.ndarray
    column: float
    row: float
    scale: float
    pixel_scale: float | None
    seen: Prepared | None = None
    other: Prepared | None = None

    @property
    def shown(self) -> Prepared:
        """What the network is shown."""
        return self.seen or self


def prepare(
    picture: str | Path | np.ndarray,
    name: str,
    model: Model,
    *,
    noise: str | Path | None,
    psf: str | Path | None,
    mask: str | Path | None,
    at: tuple[float, float] | None,
    pixel_scale: float | None,
    unit: float,
    say: Say,
    warn: Say,
) -> Prepared:
    """Read an observation and bring it to the pixels and the size of the model's.

    picture: FITS, or what `user_pictures.read` reads; the unit of the latter is not known.
    pixel_scale: of the picture in the model's pixels; None: by both of their world coordinates. unit: what one of the
    picture's units is in those of the training pictures.

    Raises:
        UserError: what cannot be read.
    """
    if (made := _made_here(picture, model.input_size)) is not None:
        _warn_of_unknown(name, made.facts, model.known, warn)
        return made
    if is_array := isinstance(picture, np.ndarray) or not is_fits(split_choice(picture)[0]):
        picture = _values(picture, name, warn)
    files = {"noise": noise, "psf": psf, "mask": mask}
    found = observe(picture, **files, at=at, name=name)
    if is_array and unit == 1:
        unit = float(np.sqrt(np.prod(_range(model.known, "noise")))) / found.noise
        found.steps.append("its unit is not known: taken such that the model knows its noise")
    trained = _trained_scale(model.known)
    scale = pixel_scale or 1.0
    if pixel_scale is None and trained and found.pixel_scale and abs(found.pixel_scale / trained - 1) > SAME_SCALE:
        scale = found.pixel_scale / trained
        found.steps.append(f"sampled anew from {found.pixel_scale:.4g} to {trained:.4g} arcsec a pixel")
    made = _in_pixels_of(model, found, scale, unit)
    farthest = _known_distance(model)
    if farthest is not None:
        column, row = found.middle
        found.steps.append(f"the network sees neighbours too, about column {column:g}, row {row:g}")
    say(f"{found.name}: " + ", ".join(found.steps))
    for line in found.warnings:
        warn(f"{found.name}: {line}")
    if found.psf_fwhm is None:
        low, high = _range(model.known, "psf_fwhm")
        if high > low + 0.2 or low > 0.2:
            width = made.facts[FACTS.index("psf_fwhm")]
            warn(f"{found.name}: its PSF is not known: taken as {width:.2g} px, give --psf")
    _warn_of_unknown(found.name, made.facts, model.known, warn)
    if farthest is not None:
        whole = replace(found, values=found.whole)
        seen = _in_pixels_of(model, replace(whole, centre=found.middle), scale, unit)
        off = np.hypot(*np.subtract(found.centre, found.middle)) * scale
        return replace(made, seen=seen, other=_in_pixels_of(model, whole, scale, unit) if off > farthest else None)
    if found.outlying_pixels is None or not found.outlying_pixels.any():
        return made
    other = observe(picture, **files, at=at, name=name, outlying=not _takes_outlying(found))
    return replace(made, other=_in_pixels_of(model, other, scale, unit))


def stacked(observed: list[Prepared]) -> tuple[np.ndarray, np.ndarray]:
    """Their pictures, (n, N, N), and facts, (n, 6)."""
    return np.stack([one.picture for one in observed]), np.stack([one.facts for one in observed])


def _known_distance(model: Model) -> float | None:
    """Px from the middle of a picture to the object's centre of light that a model of pictures with neighbours knows.

    None: it does not know neighbours.
    """
    if "neighbours" not in (model.distribution or {}):
        return None
    instrument = model.distribution.get("instrument", {})
    errors = [np.max(value) for key, value in instrument.items() if key.startswith("centring-error")]
    return DEVIATIONS * float(max(errors, default=0.0))


def _takes_outlying(found: Observation) -> bool:
    """Whether outlying light is the object's."""
    return bool((found.outlying_pixels & found.object_pixels).any())


def _in_pixels_of(model: Model, found: Observation, scale: float, unit: float) -> Prepared:
    size = model.input_size
    column, row = found.centre
    if scale == 1:
        column, row = float(round(column)), float(round(row))  # no pixel is cut, and so the noise stays as it is
    picture, deviation = _window(found, size, scale, column, row)
    width = np.mean(_range(model.known, "psf_fwhm")) if found.psf_fwhm is None else found.psf_fwhm * scale
    model_scale = found.pixel_scale / scale if found.pixel_scale else None
    white = float(np.quantile(picture, WHITE))
    facts = np.array(
        [0.0, deviation * unit, found.poisson * unit, width, model_scale or 0.0, max(white, 1e-300) * unit]
    )
    return Prepared(found, (picture * unit).astype(np.float32), facts, column, row, scale, model_scale)


def _values(picture: str | Path | np.ndarray, name: str, warn: Say) -> np.ndarray:
    """(H, W), the light of a picture that is no FITS file, to which noise is added where it has none."""
    given = user_pictures.of_array(picture, name) if isinstance(picture, np.ndarray) else user_pictures.read(picture)
    values = given.values
    if given.white == EIGHT_BITS:
        warn(
            f"{name}: a picture for the screen, whose light may be stretched, cut off or compressed: "
            "trust a FITS file more"
        )
    most = np.unique(values, return_counts=True)[1].max()
    if most > EMPTY * values.size:
        share = NOISE_OF_DRAWING
        warn(f"{name}: it has no noise, which the model does not know: {share:.0%} of its brightest pixel was added")
        values = values + np.random.default_rng(0).normal(0, share * values.max(), values.shape)
    return values


def _made_here(path: str | Path | np.ndarray, size: int) -> Prepared | None:
    """A picture that `generate` made, with what it says of itself; None: it is something else."""
    if isinstance(path, np.ndarray) or not (path := Path(path)).is_file():
        return None
    data = path.read_bytes() if path.stat().st_size <= depth.longest(size) else b""
    picture = np.zeros((size, size), np.float32)
    if not depth.is_observed(data[: depth.LONGEST_HEAD]) or (about := depth.decode(data, picture)) is None:
        return None
    scale = about.pixel_scale or None
    return Prepared(None, picture, about.table()[0], size / 2, size / 2, 1.0, scale)


def _warn_of_unknown(name: str, facts: np.ndarray, known: Known, warn: Say) -> None:
    for fact, value, low, high in known.outside(facts):
        trained = f"{low:.3g} to {high:.3g}" if high > low else f"{low:.3g}"
        more = "; if only its unit differs from the training pictures', give --unit" if fact == "noise" else ""
        found = WORDS[fact].format(value=value)
        warn(f"{name}: {found}, and the model knows {trained}: do not trust its amplitudes{more}")


def _trained_scale(known: Known) -> float | None:
    low, high = _range(known, "pixel_scale")
    return high if high > 0 and high / max(low, 1e-300) < 1 + SAME_SCALE else None


def _range(known: Known, name: str) -> tuple[float, float]:
    k = FACTS.index(name)
    return float(known.least[k]), float(known.greatest[k])


def _window(found: Observation, size: int, scale: float, column: float, row: float) -> tuple[np.ndarray, float]:
    """(N, N) about that pixel, and the deviation of its noise. What was not observed has noise of the same strength."""
    height, width = found.values.shape
    noise = np.random.default_rng(0).normal(0, found.noise, (size, size))
    hidden = found.bad & (found.values == 0)
    if scale == 1:
        top, left = int(row) - size // 2, int(column) - size // 2
        rows, columns = np.arange(size) + top, np.arange(size) + left
        inside = np.ix_((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
        there = np.ix_(rows[(rows >= 0) & (rows < height)], columns[(columns >= 0) & (columns < width)])
        picture = noise
        picture[inside] = np.where(hidden[there], noise[inside], found.values[there])
        return picture, found.noise
    down = resampling(height, row, size, scale)
    across = resampling(width, column, size, scale)
    picture = down @ found.values @ across.T
    covered = (down @ (~hidden).astype(float) @ across.T) > 0.5
    kept = [np.mean((weights**2).sum(axis=1)[weights.any(axis=1)]) for weights in (down, across)]
    share = np.sqrt(kept[0] * kept[1])  # of the noise that is left in means of pixels
    deviation = found.noise * float(share)
    return np.where(covered, picture, noise * share), deviation


def warn_of_others(observed: list[Prepared], model: Model, predicted: pd.DataFrame, reach: np.ndarray, warn: Say):
    """Warn where the answer would be another if light far from the middle were taken otherwise, or the middle itself.

    predicted: of these, with standard deviations as `std:…`, see `in_own_frames`. reach: see `Model.reach`.
    """
    rows = [k for k, one in enumerate(observed) if one.other is not None]
    if not rows:
        return
    others = [observed[k].other for k in rows]
    pictures, facts = stacked(others)
    views = make_views(model.network.preprocessing, pictures, str(model.device), facts)
    answers, _ = model.predict(views, facts=facts)
    columns = [k for k, name in enumerate(model.columns) if name.startswith(DECIDED)]
    for k, other, answer in zip(rows, others, answers, strict=True):
        one, row = observed[k], predicted.iloc[k]
        moved = _moved(other, one)
        if any(
            abs(answer[c] + moved.get(name := model.columns[c], 0.0) - row[name]) > row[f"std:{name}"] * reach[k, c]
            for c in columns
        ):
            warn(f"{one.observation.name}: {_why_another(one)}")


def _why_another(one: Prepared) -> str:
    """Why the network might be shown something else, of which its answer is another."""
    if one.seen is not None:
        column, row = (f"{place:.0f}" for place in one.observation.middle)
        far = np.hypot(one.column - one.seen.column, one.row - one.seen.row)
        found = f"column {column}, row {row}, where the lens is expected, is {far:.0f} px from the centre of light"
        return f"{found}, about which the answer would be another: give the place of the lens (--at)"
    taken = _takes_outlying(one.observation)
    ways = ("an image of the source", "a neighbour")
    this, that = ways if taken else ways[::-1]
    advice = "mask it (--mask) if it is another galaxy" if taken else "if it is an image cut a larger picture out"
    return f"light at the picture's rim is taken as {this}; as {that} the answer would be another: {advice}"


def _moved(seen: Prepared, one: Prepared) -> dict[str, float]:
    """What positions in the frame of one picture are more in that of another, px, by column."""
    x, y = (seen.column - one.column) * one.scale, (one.row - seen.row) * one.scale
    return {f"{name}{axis}": by for name in PLACES for axis, by in (("X", x), ("Y", y))}


def in_own_frames(table: pd.DataFrame, observed: list[Prepared]) -> pd.DataFrame:
    """A table of predictions of what the network was shown, with positions from the middles of `observed`."""
    moved = pd.DataFrame([_moved(one.shown, one) for one in observed], index=table.index)
    columns = [column for column in moved if column in table]
    return table.assign(**{column: table[column] + moved[column] for column in columns})


def on_the_sky(table: pd.DataFrame, observed: list[Prepared], reach: pd.DataFrame) -> pd.DataFrame:
    """The table of predictions with what follows from the observations. reach: see `Model.reach`, as a table.

    Added are, where they are known:
    `half95:…`: half the width of each column's 95 % interval, in its unit.
    `middle_column`, `middle_row`: the picture's pixel that positions are counted from, from 0 at its upper left.
    `arcsec_per_px`, and `arcsec:…` and `arcsec:std:…` of each column that has a length in its unit.
    `xi_ra`, `xi_dec`: the reference point on the sky, degrees.
    `pa:…`: the position angle of each vector, degrees north through east.
    """
    columns = [name.removeprefix("std:") for name in table if name.startswith("std:")]
    rows = []
    for (_, row), (_, far), one in zip(table.iterrows(), reach.iterrows(), observed, strict=True):
        added: dict[str, float] = {f"half95:{c}": row[f"std:{c}"] * far[c] for c in columns}
        added |= {"middle_column": one.column, "middle_row": one.row}
        if one.pixel_scale:
            added["arcsec_per_px"] = one.pixel_scale
            for column in columns:
                quantity = quantities.find(column)
                if quantity and quantity.length:
                    unit = one.pixel_scale**quantity.length
                    added |= {
                        f"arcsec:{column}": row[column] * unit,
                        f"arcsec:std:{column}": row[f"std:{column}"] * unit,
                    }
        if one.observation is not None and one.observation.wcs is not None:
            added |= _directions(row, columns, one)
        rows.append(added)
    return pd.concat([table, pd.DataFrame(rows, index=table.index)], axis=1)


def _directions(row: pd.Series, columns: list[str], one: Prepared) -> dict[str, float]:
    found: dict[str, float] = {}
    if {"xiX", "xiY"} <= set(columns):
        place = one.column + row["xiX"] / one.scale, one.row - row["xiY"] / one.scale
        found["xi_ra"], found["xi_dec"] = sky(one.observation, *place)
    for column in columns:
        quantity = quantities.find(column)
        if quantity and quantity.spin and not quantity.odd and quantity.partner in columns:
            angle = np.degrees(np.arctan2(row[quantity.partner], row[column])) / quantity.spin
            found[f"pa:{column}"] = position_angle(one.observation, float(angle)) % (360 / quantity.spin)
    return found


def check_options(model: Model, **given: object) -> None:
    """Raises UserError: options that are for pictures with noise, and a model that knows none."""
    for option, value in given.items():
        if value not in (None, 1.0) and model.known is None:
            raise UserError(
                f"--{option}: this model was trained on drawings without noise; for a telescope's picture choose "
                f"another, such as --model {BOX}"
            )
