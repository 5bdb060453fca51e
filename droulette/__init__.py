"""Recover roulette amplitudes of gravitational lenses from pictures, reproducibly."""

__version__ = "0.3.0"

_LATE = {"predict_pictures": "droulette.pipeline.own_predictions"}


def __getattr__(name: str):
    """What needs PyTorch is imported when it is first used."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)
