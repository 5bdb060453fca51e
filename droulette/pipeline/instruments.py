"""From rows of a table to the instruments that take their pictures."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from droulette.errors import UserError
from droulette.physics import convolution
from droulette.physics.convolution import LARGEST_KERNEL, Moffat
from droulette.physics.instrument import Instrument, Kernel, LensLight
from droulette.physics.noise import Noise
from droulette.physics.sources import Constellation
from droulette.pipeline.scenes import Kind, column_of_numbers, is_below_working_folder, neighbours_batch

COLUMNS = (  # those that a resimulation needs
    "pixelscale", "psf", "psffwhm", "moffatbeta", "background", "pedestal", "noise", "electrons", "brightness",
    "lightflux", "lightradius", "lightaxisratio", "lightorientation", "lightsersic", "lightshare",
    "neighbours", "sourceflux",
)  # fmt: skip


def instrument_batch(frame: pd.DataFrame, kind: Kind, name: str, light: np.ndarray | None = None) -> Instrument:
    """What takes the pictures of rows that all have `kind`.

    light: (B,) grey levels of the lensed source in all, of which the light of the lens and of neighbours is a multiple;
    None: the columns `lightflux`, the lens's own, and `sourceflux` say it.
    """

    def numbers(column: str) -> np.ndarray:
        return column_of_numbers(frame, column, name)

    def numbers_or(column: str, default: float) -> np.ndarray:
        return numbers(column) if column in frame else np.full(len(frame), default)

    row = numbers("index") if "index" in frame else frame.index.to_numpy(np.float64) + 1
    noise = Noise(numbers("noise"), numbers("electrons"), row, numbers_or("noiseseed", 0.0))
    counts = numbers("brightness") if "brightness" in frame else None
    shines = "lightradius" in frame or kind.neighbours > 0
    return Instrument(
        psf=psf_batch(frame, kind, name),
        background=numbers("background"),
        pedestal=numbers("pedestal"),
        noise=noise,
        factor=counts,
        counts=numbers("counts") if "counts" in frame and counts is None else None,
        signal_to_noise=numbers("signaltonoise") if "signaltonoise" in frame and counts is None else None,
        light=_light(frame, name, light),
        share=numbers("lightshare") if "lightshare" in frame else None,
        light_x=numbers("lensX") if light is None and shines else None,
        light_y=numbers("lensY") if light is None and shines else None,
        neighbours=_neighbours(frame, kind, name, light),
    )


def _light(frame: pd.DataFrame, name: str, light: np.ndarray | None) -> LensLight | None:
    if "lightradius" not in frame:
        return None
    if light is None:
        flux = column_of_numbers(frame, "lightflux", name)
    else:
        flux = column_of_numbers(frame, "lightratio", name) * light
    shape = ("lightradius", "lightaxisratio", "lightorientation", "lightsersic")
    return _galaxy(flux, *(column_of_numbers(frame, column, name) for column in shape))


def _galaxy(
    flux: np.ndarray, radius: np.ndarray, ratio: np.ndarray, orientation: np.ndarray, sersic: np.ndarray
) -> LensLight:
    """Light that is not lensed. flux: grey levels in all."""
    root = np.sqrt(ratio)
    # Half-light semi-axes: the minor one, along the direction that `orientation` gives, is σ₂'s.
    luminosity = np.maximum(flux, 1e-9) / 1000
    return LensLight(
        sigma=radius / root, sigma2=radius * root, theta=orientation, n_sersic=sersic, luminosity=luminosity
    )


def _neighbours(frame: pd.DataFrame, kind: Kind, name: str, light: np.ndarray | None) -> Constellation | None:
    beside = neighbours_batch(frame, kind, name)
    if not beside:
        return None
    light = column_of_numbers(frame, "sourceflux", name) if light is None else light
    x, y, ratios, *shape = zip(*(numbers.values() for numbers in beside), strict=True)
    galaxies = [_galaxy(ratio * light, *of_one) for ratio, *of_one in zip(ratios, *shape, strict=True)]
    return Constellation(tuple(galaxies), x, y)


def psf_batch(frame: pd.DataFrame, kind: Kind, name: str) -> np.ndarray | Kernel | Moffat:
    """The point spread functions of rows that all have `kind`, see `Instrument.psf`."""
    if kind.psf == "none":
        return np.zeros(len(frame))
    if kind.psf == "gaussian":
        return column_of_numbers(frame, "psffwhm", name)
    if kind.psf == "moffat":
        return Moffat(column_of_numbers(frame, "psffwhm", name), column_of_numbers(frame, "moffatbeta", name))
    return Kernel(read_kernel(kind.psf, f"{name}: column psf"))


@lru_cache(maxsize=256)
def read_kernel(path: str, where: str) -> np.ndarray:
    """A point spread function of a FITS file: (h, h), h odd, of sum 1, y down. Raises `UserError`."""
    from astropy.io import fits

    if Path(path).is_absolute() or ".." in Path(path).parts or not is_below_working_folder(Path(path)):
        raise UserError(f"{where}: found {path[:80]!r}, expected a path below the working folder")
    try:
        with warnings.catch_warnings(action="ignore"), fits.open(path, memmap=False) as opened:
            array = next((np.array(hdu.data, np.float64) for hdu in opened if hdu.is_image and hdu.shape), None)
    except Exception as error:  # astropy answers foreign bytes with errors of every family
        raise UserError(f"{path}: not a FITS file that can be read: {str(error)[:200]}") from error
    if array is None or array.ndim != 2:
        raise UserError(f"{path}: found no picture in this FITS file, expected a point spread function")
    height, width = array.shape
    if height != width or height % 2 == 0 or height > LARGEST_KERNEL:
        expected = f"a square of an odd side of at most {LARGEST_KERNEL}"
        raise UserError(f"{path}: found a point spread function of {width}×{height} pixels, expected {expected}")
    if not np.isfinite(array).all() or not array.sum() > 0:
        raise UserError(f"{path}: found no positive sum of finite numbers, expected a point spread function")
    return np.ascontiguousarray(array[::-1] / math.fsum(array.ravel()))


def widths(psf: np.ndarray | Kernel | Moffat, count: int) -> np.ndarray:
    """(B,) px: the full width at half maximum that networks are told."""
    if isinstance(psf, Kernel):
        return np.full(count, convolution.fwhm(psf.values))
    return psf.widths() if isinstance(psf, Moffat) else psf
