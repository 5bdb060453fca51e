"""The roulette amplitudes of one picture, and the convergence, shear and flexion that they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from droulette.errors import UserError
from droulette.physics.weak_lensing import FACTORS
from droulette.quantities import AMPLITUDE


class Flexion(NamedTuple):
    """F = F₁ + iF₂ and G = G₁ + iG₂, px⁻¹."""

    F: complex
    G: complex


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """Roulette amplitudes about a reference point.

    table: one row for each (m, s), its index; columns alpha and beta, and for predictions alpha_std and beta_std, their
        standard deviations. The unit is px^{1−m}.
    reference_point: (2,) px, x and y; NaN where it is not known.

    Convergence, shear and flexion follow the convention of Bacon, Goldberg, Rowe & Taylor 2006 (MNRAS 365, 414).
    Each has a twin that ends in `_std`: its standard deviation, None where the amplitudes have none; of a complex
    number, the real part's and i times the imaginary part's.
    """

    table: pd.DataFrame
    reference_point: np.ndarray

    @classmethod
    def from_row(cls, row: Mapping[str, float]) -> Amplitudes:
        """Those of a row of roulette.csv or of a table of predictions."""
        columns = list(row.keys())
        found = [match for match in map(AMPLITUDE.fullmatch, map(str, columns)) if match]
        if not found:
            raise UserError("found no amplitude columns such as alpha[1][0], expected a row that has them")
        orders = sorted({(int(match[2]), int(match[3])) for match in found})
        prefixes = {"": ""} | ({"_std": "std:"} if any(f"std:{match[0]}" in row for match in found) else {})
        data = {
            f"{kind}{suffix}": [
                float(row.get(f"{prefix}{kind}[{m}][{s}]", 0.0 if s == 0 else np.nan)) for m, s in orders
            ]
            for suffix, prefix in prefixes.items()
            for kind in ("alpha", "beta")
        }
        index = pd.MultiIndex.from_tuples(orders, names=["m", "s"])
        point = np.array([float(row.get(name, np.nan)) for name in ("xiX", "xiY")])
        return cls(pd.DataFrame(data, index), point)

    @property
    def nterms(self) -> int:
        """The highest order m."""
        return int(self.table.index.get_level_values("m").max())

    def columns(self) -> dict[str, float]:
        """As columns of roulette.csv: `alpha[m][s]` and `beta[m][s]`."""
        kinds = ("alpha", "beta")
        return {f"{kind}[{m}][{s}]": value for kind in kinds for (m, s), value in self.table[kind].items()}

    @property
    def alpha(self) -> dict[int, dict[int, float]]:
        """`alpha[m][s]`, px^{1−m}."""
        return self._nested("alpha")

    @property
    def beta(self) -> dict[int, dict[int, float]]:
        """`beta[m][s]`, px^{1−m}."""
        return self._nested("beta")

    def _nested(self, column: str) -> dict[int, dict[int, float]]:
        values: dict[int, dict[int, float]] = {}
        for (m, s), value in self.table[column].items():
            values.setdefault(m, {})[s] = value
        return values

    @property
    def convergence(self) -> float:
        """κ at the reference point."""
        return self._of("kappa")

    @property
    def shear(self) -> complex:
        """γ = γ₁ + iγ₂ at the reference point."""
        return complex(self._of("gamma1"), self._of("gamma2"))

    @property
    def flexion(self) -> Flexion:
        """F = ∂*γ = ∂κ and G = ∂γ at the reference point, with ∂ = ∂₁ + i∂₂, px⁻¹."""
        return Flexion(complex(self._of("F1"), self._of("F2")), complex(self._of("G1"), self._of("G2")))

    @property
    def convergence_std(self) -> float | None:
        return self._of("kappa", std=True) if self._has_std else None

    @property
    def shear_std(self) -> complex | None:
        return complex(self._of("gamma1", std=True), self._of("gamma2", std=True)) if self._has_std else None

    @property
    def flexion_std(self) -> Flexion | None:
        if not self._has_std:
            return None
        f1, f2, g1, g2 = (self._of(name, std=True) for name in ("F1", "F2", "G1", "G2"))
        return Flexion(complex(f1, f2), complex(g1, g2))

    @property
    def _has_std(self) -> bool:
        return "alpha_std" in self.table

    def _of(self, name: str, std: bool = False) -> float:
        column, factor = FACTORS[name]
        match = AMPLITUDE.fullmatch(column)
        place = int(match[2]), int(match[3])
        if place not in self.table.index:
            found = f"found amplitudes up to m = {self.nterms} without {column}"
            raise UserError(f"{name}: {found}, expected those of m = {place[0]}")
        value = float(self.table.loc[place, match[1] + ("_std" if std else "")])
        return abs(factor) * value if std else factor * value


def weak_lensing(table: pd.DataFrame) -> pd.DataFrame:
    """Convergence, shear and flexion of each row of a table of amplitudes or predictions.

    Returns:
        columns kappa, gamma1, gamma2, F1, F2, G1, G2 (F and G in px⁻¹) as far as the table has their amplitudes, and
        `std:…` of each whose amplitude has one; conventions as `Amplitudes`.
    """
    columns = {}
    for name, (column, factor) in FACTORS.items():
        if column in table:
            columns[name] = factor * table[column]
        if f"std:{column}" in table:
            columns[f"std:{name}"] = abs(factor) * table[f"std:{column}"]
    if not columns:
        raise UserError("found no amplitudes of m = 1 or 2, expected a column such as alpha[1][0]")
    return pd.DataFrame(columns, table.index)
