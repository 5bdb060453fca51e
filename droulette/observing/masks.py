"""Masks that the user hands in: a FITS picture, not 0 where bad, or a DS9 region file, bad inside."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from droulette.errors import UserError
from droulette.observing.fits_files import QUALITY, is_fits, read_plane, split_choice

if TYPE_CHECKING:
    from astropy.wcs import WCS

LARGEST = 10_000_000  # bytes of a region file


def read_mask(text: str | Path, shape: tuple[int, int], wcs: WCS | None) -> tuple[np.ndarray, list[str]]:
    """(H, W) bool, rows from below, and warnings. Raises UserError for what fits no picture of this shape."""
    path, _ = split_choice(text)
    if not is_fits(path):
        return _regions(path, shape, wcs)
    plane = read_plane(text, (QUALITY,))
    if plane.array.shape != shape:
        found = "×".join(map(str, plane.array.shape[::-1]))
        raise UserError(f"{plane.label}: found a mask of {found} pixels, expected {shape[1]}×{shape[0]}")
    return np.nan_to_num(plane.array, nan=1) != 0, []


def _regions(path: Path, shape: tuple[int, int], wcs: WCS | None) -> tuple[np.ndarray, list[str]]:
    from regions import Regions, SkyRegion

    if path.suffix.lower() != ".reg":
        raise UserError(f"{path}: not a mask: expected a FITS picture or a DS9 region file, NAME.reg")
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path}: found more than {LARGEST // 1_000_000} MB, expected a DS9 region file")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = Regions.parse(path.read_text(encoding="utf-8"), format="ds9")
    except Exception as error:  # the parser answers foreign text with errors of every family
        raise UserError(f"{path}: not a DS9 region file that can be read: {error}") from error
    said = [f"{path}: {one.message}" for one in caught]
    if not len(found):
        reason = f": {caught[0].message}" if caught else ""
        raise UserError(f"{path}: found no region, expected at least one{reason}")
    mask = np.zeros(shape, bool)
    for region in found:
        if isinstance(region, SkyRegion):
            if wcs is None:
                raise UserError(f"{path}: found a region on the sky, but the picture has no world coordinates")
            region = region.to_pixel(wcs)
        try:
            inside = region.to_mask(mode="center").to_image(shape)
        except NotImplementedError:
            said.append(f"{path}: {type(region).__name__} has no inside and was left out")
            continue
        if inside is not None:  # None: all of it lies outside the picture
            mask[inside > 0] = region.meta.get("include", True)
    return mask, said
