"""Your own backbones: every module in this folder is read, and what it enters by `register_model` is known by name.

docs/own-backbone.md shows one.
"""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
