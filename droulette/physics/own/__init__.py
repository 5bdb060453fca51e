"""Your own lens and source models: every module in this folder is read when a model is first asked for.

docs/own-lens.md and docs/own-source.md each show one.
"""

from droulette.quantities import parameter
from droulette.registry import model

__all__ = ["model", "parameter"]
