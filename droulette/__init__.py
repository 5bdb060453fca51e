"""Recover roulette amplitudes of gravitational lenses from pictures, reproducibly."""

__version__ = "0.3.0"
