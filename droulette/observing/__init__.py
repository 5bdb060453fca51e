"""What a telescope took: FITS pictures with their noise, PSF, masks and coordinates."""

from __future__ import annotations

from droulette.observing.coordinates import position_angle, sky
from droulette.observing.observation import Observation, observe

__all__ = ["Observation", "observe", "position_angle", "sky"]
