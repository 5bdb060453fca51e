"""A picture's time with each lens model, the one of docs/own-lens.md among them.

    python benchmarks/models.py [--pictures 256] [--repeats 5]

256², exact sampling, a Gaussian source, one core.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import numpy as np

from droulette.physics.lenses import LENSES
from droulette.physics.mappings import Raytrace
from droulette.physics.rendering import render
from droulette.physics.scene import Scenes
from droulette.physics.sources import Spherical

SIZE = 256
PAGE = Path(__file__).parents[1] / "docs" / "own-lens.md"


def scene(name: str, count: int) -> Scenes:
    random = np.random.default_rng(1)
    model = LENSES[name]
    drawn = [random.uniform(*quantity.default, count) for quantity in model.parameters]
    x, y = random.uniform(-20, 20, (2, count))
    return Scenes(Raytrace(model(*drawn), x, y), Spherical(random.uniform(2, 20, count)))


def seconds(name: str, count: int) -> float:
    """Of one picture."""
    centres = np.zeros(count)
    drawn = scene(name, count)
    start = time.perf_counter()
    render(drawn, SIZE, centres, centres)
    return (time.perf_counter() - start) / count


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=256)
    options.add_argument("--repeats", type=int, default=5)
    arguments = options.parse_args()
    exec(re.search(r"```python [^\n]*\n(.*?)```", PAGE.read_text(), re.DOTALL)[1], {"__name__": "__main__"})
    for name in dict.fromkeys(model.names[0] for model in LENSES.values()):
        seconds(name, 1)  # compiles
        best = min(seconds(name, arguments.pictures) for _ in range(arguments.repeats))
        print(f"{name}: {1e3 * best:.2f} ms")


if __name__ == "__main__":
    main()
