"""World coordinates: the pixel scale, places on the sky, and directions from north through east."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from droulette.errors import UserError

if TYPE_CHECKING:
    from astropy.io import fits
    from astropy.wcs import WCS

    from droulette.observing.observation import Observation

SQUARE = 0.01  # relative difference of a pixel's sides that is worth a warning
STEP = 0.5  # px to either side, over which a direction is measured


def read_wcs(header: fits.Header) -> WCS | None:
    """The two celestial axes of a header; None where it has none, or none that can be used."""
    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS

    try:
        with warnings.catch_warnings(action="ignore"):
            found = WCS(header, naxis=2) if header.get("NAXIS", 2) == 2 else WCS(header).celestial
            if not found.has_celestial:
                return None
            middle = np.array(found.wcs.crpix) - 1
            place = found.pixel_to_world(*middle)
            if not isinstance(place, SkyCoord):  # an axis that astropy does not know
                return None
            is_known = np.isfinite([place.icrs.ra.deg, place.icrs.dec.deg]).all()
            is_usable = is_known and abs(np.linalg.det(found.pixel_scale_matrix)) > 0
    except Exception:  # a header's cards may be of any kind, and a picture without coordinates is still a picture
        return None
    return found if is_usable else None


def pixel_scale(wcs: WCS) -> tuple[float, float]:
    """(side of a pixel in arcsec, by its area; length of the longer side over that of the shorter)."""
    from astropy.wcs.utils import proj_plane_pixel_area, proj_plane_pixel_scales

    sides = proj_plane_pixel_scales(wcs)
    return float(np.sqrt(proj_plane_pixel_area(wcs)) * 3600), float(max(sides) / min(sides))


def sky(observation: Observation, column: float, row: float) -> tuple[float, float]:
    """(right ascension, declination), degrees, ICRS, of a place in `observation.values`, whose rows count from above.

    Raises:
        UserError: the picture has no world coordinates.
    """
    place = _place(observation, column, len(observation.values) - 1 - row)
    return float(place.ra.deg), float(place.dec.deg)


def position_angle(observation: Observation, angle: float) -> float:
    """Degrees from north through east, from 0 to 360, of a direction at the object.

    angle: of the direction, degrees counter-clockwise from the picture's x axis; x to the right, y up.

    Raises:
        UserError: the picture has no world coordinates.
    """
    column, row = observation.centre
    across, up = STEP * np.cos(np.radians(angle)), STEP * np.sin(np.radians(angle))
    height = len(observation.values) - 1 - row
    start = _place(observation, column - across, height - up)
    end = _place(observation, column + across, height + up)
    return float(start.position_angle(end).deg)


def _place(observation: Observation, column: float, row: float):
    """SkyCoord of a pixel; row from below."""
    if observation.wcs is None:
        raise UserError(f"{observation.name}: found no world coordinates, expected a celestial WCS in its header")
    return observation.wcs.pixel_to_world(column, row).icrs
