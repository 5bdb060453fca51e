"""Halos of dark matter and galaxies: NFW, dual pseudo-isothermal, Hernquist."""
