"""How well test rows are predicted whose reference point lies in the picture, and whose does not.

    python benchmarks/outside.py experiments/cluster4

After `dvc repro experiments/cluster4/dvc.yaml`. The mean over the columns of 1 − (mean square error of the rows)/
(variance of all test rows), on the quantile scale: over all rows that is `r2_quantile`.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import numpy as np
from measure import report

from droulette.files import read_csv
from droulette.learning.metrics import Judge
from droulette.learning.scaling import StandardScaling


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--size", default="cpu", help="the experiment's TOML file")
    args = options.parse_args()
    tables = tomllib.loads((args.folder / f"{args.size}.toml").read_text())
    half = tables["simulator"]["cropsize"] / 2
    training, test = (read_csv(args.folder / f"data/{part}.csv") for part in ("training", "testing"))
    predicted = read_csv(args.folder / "metrics/predictions/testing.csv")
    assert (predicted["filename"] == test["filename"]).all()
    columns = [column for column in predicted if column != "filename" and not column.startswith("std:")]
    true, fitted = (frame[columns].to_numpy(float) for frame in (test, training))
    quantiles = Judge(fitted, StandardScaling.fit(fitted, columns)).quantiles
    scaled = quantiles.transform(true)
    error = (quantiles.transform(predicted[columns].to_numpy(float)) - scaled) ** 2 / scaled.var(axis=0)
    reach = test[["xiX", "xiY"]].abs().max(axis=1).to_numpy()
    rows = {"all": reach >= 0, "in the picture": reach <= half, "outside": reach > half}
    rows |= {
        f"outside by less than {part:g} of its half side": (reach > half) & (reach <= (1 + part) * half)
        for part in (0.25, 0.5)
    }
    report(
        "Where the reference point lies",
        ["rows whose reference point lies", "share", "1 − error/variance of all"],
        [[name, f"{some.mean():.1%}", f"{1 - np.mean(error[some]):.3f}"] for name, some in rows.items() if some.any()],
        f"{args.folder}, {len(test)} test rows, {len(columns)} columns.",
    )


if __name__ == "__main__":
    main()
