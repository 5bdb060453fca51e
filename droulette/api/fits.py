"""Scenes fitted to a picture, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from droulette import parameters
from droulette.api.amplitudes import Amplitudes
from droulette.errors import UserError
from droulette.fitting.observation import Observation
from droulette.observing import observe
from droulette.pipeline import fitted
from droulette.pipeline.populations import distribution_to_fit, populations
from droulette.quantities import amplitude_columns

SIDES = 4  # px, of which a picture's side is a multiple


@dataclass(frozen=True)
class Fit:
    """A scene fitted to a picture.

    good: whether noise explains what the fit leaves. converged: whether it came to an end. chi2: of `pixels` pixels.
    table: one row: the reference point (px from the picture's middle), amplitudes and source parameters, their standard
    deviations `std:…`, and half the widths of their 95 % intervals, `half95:…`.
    samples: draws of the posterior, a row each. picture, model: (N, N), grey levels; residuals: what is left, in
    standard deviations of the noise. middle: (column, row) of the file's pixel that positions are counted from.
    image_share: of the draws, whose reference point is the image at the table's ξ; the others lie about other_image.
    """

    family: str
    good: bool
    converged: bool
    chi2: float
    pixels: int
    table: pd.DataFrame
    samples: pd.DataFrame
    picture: np.ndarray
    model: np.ndarray
    residuals: np.ndarray
    middle: tuple[int, int]
    image_share: float
    other_image: tuple[float, float] | None
    made: fitted.Fits

    @property
    def amplitudes(self) -> Amplitudes:
        return Amplitudes.from_row(self.table.iloc[0])

    def write(self, folder: str | Path, stem: str = "picture") -> None:
        """Picture, fit and residuals as STEM-fit.png and STEM-fit.fits."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.made.write(folder, [stem])


def fit(
    picture: str | Path | np.ndarray,
    family: str | Mapping[str, Any] = "SIE+Shear,SersicEllipsoid",
    *,
    noise: str | Path | float | np.ndarray | None = None,
    psf: str | Path | float | np.ndarray | None = None,
    mask: str | Path | np.ndarray | None = None,
    at: tuple[float, float] | None = None,
    size: int | None = None,
    nterms: int = 2,
    samples: int = 1000,
) -> Fit:
    """Fit a lens, a source and, of a telescope's picture, the lens's own light. No network takes part.

    Args:
        picture: FITS file, or a square array (N, N), rows from above: uint8 of a drawing without noise, or floats.
        family: `LENS,SOURCE`, the name of a TOML file with the distribution of such scenes, or its tables.
        noise: FITS file; or, of an array, the standard deviation in each pixel, a number or (N, N).
        psf: FITS file; or, of an array, the full width at half maximum, px, or a kernel (h, h) of an odd side.
        mask: FITS or region file; or, of an array, (N, N), true where pixels are bad.
        at: (column, row) of the lens in a FITS file; None: the light about its middle.
        size: side of what is fitted, px; None: the FITS picture's shorter side.
        nterms: highest order m of the amplitudes.
        samples: how many draws of the posterior.

    Raises:
        UserError: what is wrong with the picture or the family.
    """
    array = isinstance(picture, np.ndarray)
    drawing = array and picture.dtype == np.uint8 and noise is None
    if array:
        observation, middle = _of_array(picture, noise, psf, mask), (picture.shape[1] // 2, picture.shape[0] // 2)
    else:
        for name, given in (("noise", noise), ("psf", psf), ("mask", mask)):
            if not isinstance(given, (str, Path, type(None))):
                raise UserError(f"{name}: found {type(given).__name__}, expected a file, as the picture is one")
        found = observe(picture, noise=noise, psf=psf, mask=mask, at=at)
        side = size or min(found.values.shape) // SIDES * SIDES
        middle = round(found.centre[0]), round(found.centre[1])
        width = found.psf_fwhm if found.psf is None else None
        observation = fitted.exposure(found, side, *middle, width)
    if isinstance(family, Mapping):
        params, name = parameters.parse(family, "family"), "family"
    else:
        params, name = distribution_to_fit(None, family, None, observation.size, not drawing)
    kinds = populations(params, name, observation.size)
    source = [quantity.column for name, quantity in kinds[0].family.quantities.items() if name.startswith("source.")]
    columns = [*source, "xiX", "xiY", *amplitude_columns(nterms)]
    made = fitted.fit([observation], kinds, columns, brightness_known=drawing, count=samples)
    about = made.table.iloc[0]
    values = [name for name in made.table if not name.startswith("fit:")]
    share = float(about["fit:image_share"])
    other = None if share == 1 else (float(about["fit:other_xiX"]), float(about["fit:other_xiY"]))
    return Fit(
        about["fit:family"], bool(about["fit:good"]), bool(about["fit:converged"]), float(about["fit:chi2"]),
        int(about["fit:pixels"]), made.table[values], pd.DataFrame(made.samples[0], columns=list(made.columns)),
        *made.pictures[0], middle, share, other, made,
    )  # fmt: skip


def _of_array(picture: np.ndarray, noise, psf, mask) -> Observation:
    if picture.ndim != 2 or picture.shape[0] != picture.shape[1]:
        raise UserError(f"picture: found an array of shape {picture.shape}, expected a square, (N, N)")
    for name, given in (("noise", noise), ("psf", psf), ("mask", mask)):
        if isinstance(given, (str, Path)):
            raise UserError(f"{name}: found a file beside an array, expected numbers")
    if noise is None:
        if picture.dtype != np.uint8:
            raise UserError(
                "noise: found none beside an array of floats, expected its standard deviation in each pixel"
            )
        return fitted.drawings(picture[None])
    noise = np.broadcast_to(np.asarray(noise, np.float64), picture.shape)
    known = np.isfinite(picture) & np.isfinite(noise) & (noise > 0)
    if mask is not None:
        known &= ~np.broadcast_to(np.asarray(mask, bool), picture.shape)
    if not known.any():
        raise UserError("picture: found no pixel of a finite value and noise that is not masked")
    return fitted.measured(picture, noise, known, psf / psf.sum() if isinstance(psf, np.ndarray) else psf)
