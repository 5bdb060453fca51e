"""Your own backbones: every module in this folder is read, and each `backbone` in it is known by its name.

docs/own-backbone.md shows one. Where the folder is empty, nothing is imported.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable


def backbone(build: Callable) -> Callable:
    """Enter a function that makes a network, by its name, beside torchvision's classification models."""
    from torchvision.models._api import register_model

    return register_model()(build)


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
