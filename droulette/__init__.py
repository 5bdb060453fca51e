"""Recover roulette amplitudes of gravitational lenses from pictures, reproducibly."""

__version__ = "0.3.0"

# What `import droulette as dr` offers is imported when it is first used.
_LATE = {
    "Amplitudes": "droulette.api.amplitudes",
    "Scene": "droulette.api.scene",
    "UserError": "droulette.errors",
    "draw": "droulette.api.datasets",
    "fit": "droulette.api.fits",
    "instrument": "droulette.api.models",
    "lens": "droulette.api.models",
    "lens_light": "droulette.api.models",
    "load_model": "droulette.api.datasets",
    "neighbour": "droulette.api.models",
    "predict": "droulette.predict",
    "predict_pictures": "droulette.pipeline.user_predictions",
    "source": "droulette.api.models",
    "split_dataset": "droulette.api.datasets",
    "train_model": "droulette.api.datasets",
    "weak_lensing": "droulette.api.amplitudes",
}


def __getattr__(name: str):
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(_LATE[name])
    return module if _LATE[name] == f"{__name__}.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATE])
