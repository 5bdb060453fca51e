"""Lenses and sources in the words of other packages: COOLEST files, lenstronomy and PyAutoLens.

None of these packages is needed: their parameters are plain data, and so is a scene here.
"""

from __future__ import annotations

from droulette.formats.description import Component, Description

__all__ = ["Component", "Description"]
