"""Lens simulation as pure functions of tensors: no files, no tables, no network.

Angles are in degrees, counter-clockwise from x; lengths are in pixels; y points up.
"""
