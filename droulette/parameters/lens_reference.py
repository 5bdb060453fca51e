"""The page of lenses: `python -m droulette.parameters.lens_reference > docs/lenses.md`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from droulette.physics.lenses import LENSES, Lens
from droulette.quantities import Quantity

HEAD = """\
# Lenses

<!-- Made by `python -m droulette.parameters.lens_reference > docs/lenses.md`; edit the models' docstrings instead. -->

A lens is its potential ψ. Deflection ∇ψ, convergence κ = ½ ∇²ψ, shear, reference point and amplitudes follow from it.
Lengths are pixels; angles are degrees, counter-clockwise from x. In formulas R² = x² + y², and (u, v) are the
coordinates rotated by −orientation, so that u runs along the minor axis of the mass. θ_E is the Einstein radius.

`lens.mode` names the model. Keys of `[lens]` give the range of each parameter; a column of `dataset.csv` has its value.
Each picture shows a source behind the lens, with critical curves in white and caustics in blue.
`python docs/lenses.py` draws them. [Formats](formats.md) has the conversions to other programs.
"""

SUMS = """
## Sums

`lens.mode = "EPL+Shear"` is the sum of two potentials about one origin, and `["SIE+Shear", "NFW+Shear"]` draws one of
two sums for each row. A parameter that an earlier part of the sum has too gets a table of its own:

```toml
[lens]
mode = "SIE+NFW"
einstein-max = 30

[lens.NFW]                   # in dataset.csv: NFW.einsteinradius
einstein-min = 5
einstein-max = 10
```

A second part of the same model is numbered, as `SIE2` in `SIE+SIE`. The perturbations above take the Einstein radius
of the lens that they are added to. A sum may be part of a cluster, too: a string
`SIE+Shear/x/y/θ_E/f/orientation/γ₁/γ₂` has the parameters of the parts in their order, each once.

## Subhaloes

`[subhaloes]` adds small lenses to each lens, [as many and as massive](toml.md) as it says. Their column `subhaloes` in
`dataset.csv` has the same strings as the column `cluster`. The mass m of a subhalo is relative to the mass of the lens
within θ_E, so that the Einstein radius of the subhalo is θ_E √m.
"""


def page() -> str:
    """The page as Markdown."""
    models = list(dict.fromkeys(LENSES.values()))
    lenses = [model for model in models if model.__module__.startswith("droulette.") and not model.perturbation]
    added = [model for model in models if model.__module__.startswith("droulette.") and model.perturbation]
    parts = [HEAD, *_sections(lenses), "\n## Perturbations\n\nThey are added to a lens, as in `SIE+Shear`."]
    return "\n".join([*parts, *_sections(added), SUMS])


def _sections(models: list[type[Lens]]) -> Iterator[str]:
    for model in models:
        name, *others = model.names
        also = f" ({', '.join(f'`{other}`' for other in others)})" if others else ""
        yield f"\n### `{name}`{also}\n\n![{name}](images/lenses/{name}.png)\n\n{inspect.getdoc(model)}\n"
        yield "| key | column | symbol | default | allowed | unit | meaning |\n|---|---|---|---|---|---|---|"
        yield from (_row(quantity) for quantity in model.parameters)


def _row(quantity: Quantity) -> str:
    low, high = quantity.default or (None, None)
    default = "" if low is None else f"{low:g}" if low == high else f"{low:g} to {high:g}"
    cells = [f"`{quantity.key}`", f"`{quantity.column}`", quantity.symbol, default, quantity.interval, quantity.unit]
    return "| " + " | ".join([*cells, quantity.meaning.replace("|", "\\|")]) + " |"


if __name__ == "__main__":
    print(page(), end="")
