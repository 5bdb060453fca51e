"""Sums of lenses about one origin, by name: `SIE+Shear`, `EPL+Shear+Multipole4`."""

from __future__ import annotations

from typing import Any

from droulette.physics.arrays import Array
from droulette.physics.lenses import Cluster, Lens
from droulette.quantities import Quantity, in_part

MOST_PARTS = 20


class Sum:
    """The model of such a sum. As a lens class is, it is called with the numbers of its `parameters`, in their order or
    by name, and with what a part has beside numbers.

    A quantity that an earlier part has too is named after this part: `NFW.einsteinradius` in `SIE+NFW`, and
    `SIE2.einsteinradius` in `SIE+SIE`. Perturbations share the Einstein radius of the first part that has one.
    """

    kind = "lens"

    def __init__(self, models: tuple[type[Lens], ...]) -> None:
        self.models = models
        self.names = ("+".join(model.names[0] for model in models),)
        self.__name__ = "+".join(model.__name__ for model in models)
        self.perturbation = all(model.perturbation for model in models)
        self.not_numbers = tuple(dict.fromkeys(name for model in models for name in model.not_numbers))
        orders = [model.most_order for model in models if model.most_order is not None]
        self.most_order = min(orders, default=None)
        known: dict[str, Quantity] = {}
        owners: dict[str, type[Lens]] = {}
        self.names_of_parts: list[list[str]] = []  # of each part's parameters, as `parameters` calls them
        for place, model in enumerate(models):
            prefix = model.names[0]
            if model in models[:place]:
                prefix += str(models[: place + 1].count(model))
            names = []
            for quantity in model.parameters:
                owner = owners.get(quantity.name)
                shared = owner and quantity.name == "einstein_radius" and (model.perturbation or owner.perturbation)
                own = in_part(prefix, quantity) if owner and not shared else quantity
                known.setdefault(own.name, own)
                owners.setdefault(own.name, model)
                names.append(own.name)
            self.names_of_parts.append(names)
        self.parameters = tuple(known.values())

    def __call__(self, *values: Array, **named: Any) -> Cluster:
        of_name = dict(zip((quantity.name for quantity in self.parameters), values, strict=False)) | named
        lenses = []
        for model, names in zip(self.models, self.names_of_parts, strict=True):
            numbers = {q.name: of_name[name] for q, name in zip(model.parameters, names, strict=True)}
            lenses.append(model(**numbers, **{name: of_name[name] for name in model.not_numbers}))
        zero = of_name[self.parameters[0].name] * 0.0
        return Cluster(tuple(lenses), (zero,) * len(lenses), (zero,) * len(lenses))
