"""Sources that are pictures of galaxies: the files that rows name, and their names."""

from __future__ import annotations

import threading
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from droulette.errors import UserError
from droulette.physics.galaxies import LARGEST, SMALLEST, GalaxyRows, NoLight, Portrait
from droulette.pipeline.picture_files import FITS, NUMPY, Recent, files_of, path_below, read_levels

if TYPE_CHECKING:
    from astropy.io import fits

PICTURES = (".png", ".tif", ".tiff")
FILENAME, HDU = "GAL_FILENAME", "GAL_HDU"  # columns of GalSim's catalogues
_recent = Recent(1 << 28)  # bytes: a galaxy of 96² pixels takes 43 kB
_lock = threading.Lock()  # files are read by one thread at a time


def galaxies_of(text: str) -> tuple[str, ...]:
    """What a row's column `galaxy` may say: a file, or `file#k`, the k-th galaxy of a cube or a catalogue, from 1 on.

    All galaxies of a catalogue are as likely; its column WEIGHT is not read.
    """
    names = files_of(text, (*PICTURES, *FITS, *NUMPY), "source.galaxies")
    if len(names) == 1 and Path(text).is_file():
        count = _count(Path(text))
        if count is not None:
            return tuple(f"{text}#{k}" for k in range(1, count + 1))
    return names


def galaxy_rows(frame: pd.DataFrame, name: str) -> GalaxyRows:
    """The galaxies of rows, which all have one. Raises `UserError`."""
    if "galaxy" not in frame:
        raise UserError(f"{name}: found no column 'galaxy', expected it for the source Galaxy")
    rows = frame["galaxy"].astype(str).tolist()
    names = tuple(sorted(set(rows)))
    place = {text: k for k, text in enumerate(names)}
    with _lock:
        galaxies = [_recent.get(text, partial(_prepared, text, f"{name}: column galaxy")) for text in names]
    return GalaxyRows.of(galaxies, np.array([place[row] for row in rows]))


def _count(path: Path) -> int | None:
    """The galaxies of a catalogue or a cube; None of a file with a single picture."""
    catalogue = _catalogue(path)
    if catalogue is not None:
        return len(catalogue[0])
    levels = _levels(path)
    return len(levels) if levels.ndim == 3 else None


def _prepared(text: str, where: str) -> Portrait:
    path_text, _, number = text.rpartition("#")
    chosen = number.isdecimal()  # or else "#" is part of a file's name
    path = path_below(path_text if chosen else text, where)
    levels = _one(path, text, number) if chosen else _levels(path)
    if levels.ndim != 2 or not min(levels.shape) >= SMALLEST or max(levels.shape) > LARGEST:
        found = "×".join(map(str, levels.shape[::-1]))
        raise UserError(f"{text}: found {found} numbers, expected a picture of {SMALLEST} to {LARGEST} pixels a side")
    try:
        return Portrait.of(levels)
    except NoLight:
        raise UserError(f"{text}: found nothing brighter than the picture's border, expected a galaxy") from None


def _one(path: Path, text: str, number: str) -> np.ndarray:
    catalogue = _catalogue(path)
    count = len(catalogue[0]) if catalogue else _count(path)
    k = int(number) if len(number) < 10 else 0
    if not 1 <= k <= (count or 0):
        raise UserError(f"{text[:200]}: found no such galaxy, expected #1 to #{count or 0}")
    if catalogue is None:
        return _levels(path)[k - 1]
    filename, hdu = catalogue[0][k - 1], catalogue[1][k - 1]
    if Path(filename).name != filename:
        raise UserError(f"{path}: found {FILENAME} {filename[:80]!r}, expected a plain name, of a file beside it")
    return _stamp(path_below(str(path.parent / filename), str(path)), int(hdu))


@lru_cache(maxsize=8)
def _levels(path: Path) -> np.ndarray:
    return read_levels(path)


@lru_cache(maxsize=8)
def _catalogue(path: Path) -> tuple[list[str], list[int]] | None:
    """Each galaxy's file and the number of its HDU; None: the file is no catalogue. Raises `UserError`: no file."""
    from droulette.observing.fits_files import is_fits, open_fits

    if not is_fits(path):
        return None
    with open_fits(path) as opened:
        for hdu in opened:
            names = set(hdu.columns.names) if hasattr(hdu, "columns") else set()
            if {FILENAME, HDU} <= names:
                return [str(x).strip() for x in hdu.data[FILENAME]], [int(x) for x in hdu.data[HDU]]
    return None


def _stamp(path: Path, number: int) -> np.ndarray:
    from droulette.observing.fits_files import check_size

    try:
        hdu = _opened(path)[number]
        shape = hdu.shape if hdu.is_image else ()
        check_size(shape, f"{path}[{number}]")
        levels = np.array(hdu.data, np.float64)
    except UserError:
        raise
    except Exception as error:  # astropy answers foreign bytes with errors of every family
        raise UserError(f"{path}[{number}]: not a picture that can be read: {str(error)[:200]}") from error
    if not np.isfinite(levels).all():
        raise UserError(f"{path}[{number}]: found NaN or infinity, expected finite numbers")
    return levels


@lru_cache(maxsize=8)
def _opened(path: Path) -> fits.HDUList:
    """Open for good: to find the last of a thousand HDUs takes a second."""
    from astropy.io import fits

    from droulette.observing.fits_files import check_unpacked

    check_unpacked(path)
    return fits.open(path, memmap=True)
