"""The elliptical power law."""
