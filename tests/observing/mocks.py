"""FITS files of skies that the tests know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

SIZE = 81
NOISE = 0.5


def spot(column: float, row: float, width: float, peak: float, size: int = SIZE) -> np.ndarray:
    """A Gaussian, (size, size); width: its standard deviation, px."""
    rows, columns = np.mgrid[:size, :size]
    return peak * np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * width**2))


def noise(seed: int = 0, size: int = SIZE, sigma: float = NOISE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, (size, size))


def galaxy(seed: int = 0) -> np.ndarray:
    """Rows from above; about column 42, row 37."""
    return spot(42, 37, 3, 20) + noise(seed)


def images(seed: int = 0) -> np.ndarray:
    """An arc and its counter image, 12 px from the middle of the picture to the right, and 7 px to the left."""
    return spot(52, 40, 2.5, 20) + spot(33, 40, 1.5, 10) + noise(seed)


def write(path: Path, values: np.ndarray, **cards) -> Path:
    """The only picture of a file. values: rows from above."""
    hdu = fits.PrimaryHDU(np.ascontiguousarray(values[::-1]))
    hdu.header.update(cards)
    hdu.writeto(path)
    return path


def write_many(path: Path, planes: dict[str, np.ndarray], **cards) -> Path:
    """Extensions by their names; `SCI,2` is version 2. values: rows from above."""
    found = [fits.PrimaryHDU()]
    for key, values in planes.items():
        name, _, version = key.partition(",")
        hdu = fits.ImageHDU(np.ascontiguousarray(values[::-1]), name=name, ver=int(version or 1))
        hdu.header.update(cards)
        found.append(hdu)
    fits.HDUList(found).writeto(path)
    return path


def sky_cards(matrix: np.ndarray, ra: float = 150.1, dec: float = 2.2, size: int = SIZE) -> dict:
    """Cards of a tangential WCS about the middle pixel. matrix: (2, 2) degrees a pixel."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crpix = (size + 1) / 2, (size + 1) / 2
    wcs.wcs.crval = ra, dec
    wcs.wcs.cd = matrix
    return dict(wcs.to_header())
