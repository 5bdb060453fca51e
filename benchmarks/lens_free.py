"""The lens-free fit of test pictures: how much nearer than its prior it ends, whether its intervals hold, how long.

    python benchmarks/lens_free.py params.toml --model models/model.safetensors [--rows 100] [--family sie.toml]
    python benchmarks/lens_free.py params.toml --synthetic 0.3

The prior is a network's prediction with its standard deviations, without correlations; or, with --synthetic, the truth
with errors of a share of the root mean square of each order's amplitudes, which tests the fit alone. That of what the
network does not predict of the source is the distribution's. Errors are beside the prior's and the Cramér-Rao bound
of the true family. A fit that is not good leaves the prior as it is. --family fits scenes of another distribution too.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from scipy import stats

from droulette import parameters
from droulette.fitting import posterior
from droulette.fitting.belief import Belief
from droulette.fitting.bound import bound
from droulette.fitting.observation import Observation
from droulette.fitting.optimise import Prior
from droulette.fitting.roulette import fit_roulette
from droulette.fitting.search import find
from droulette.fitting.starts import Library
from droulette.pipeline.draw import draw_table
from droulette.pipeline.fitted import SHARES, exposures
from droulette.pipeline.generate import Drawing, draw_in_memory
from droulette.pipeline.pictures import make_views
from droulette.pipeline.populations import family_and_coordinates
from droulette.quantities import AMPLITUDE

FIRST = 3_000_000  # row, from which the pictures to fit are drawn
KNOWN = 5000  # rows that tell what the distribution is
STARTS = 15
DRAWS = 1000
PLACE = 3.0  # px, a synthetic prior's deviation of ξ₀
REACH = 1.959964


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("toml", help="with [instrument], a Gaussian PSF")
    options.add_argument("--model")
    options.add_argument("--synthetic", type=float, default=0.3)
    options.add_argument("--rows", type=int, default=100)
    options.add_argument("--first", type=int, default=FIRST)
    options.add_argument("--radius", type=float, help="px, of the circle; left out: chosen for each picture")
    options.add_argument("--family", help="TOML of scenes that are fitted beside")
    options.add_argument("--save", help="CSV file: a row for each picture and column")
    args = options.parse_args()
    params = parameters.load(args.toml)
    known, _, _, _ = drawn(params, 0, KNOWN, args.toml, pictures=False)
    rows, table, pictures, facts = drawn(params, args.first, args.first + args.rows, args.toml)
    family, true = family_and_coordinates(rows.drop(columns="psf"), table, args.toml)
    observations = exposures(pictures, facts, [None] * len(rows))
    if args.model:
        columns, mean, deviation = predicted(args.model, pictures, facts)
    else:
        columns, mean, deviation = synthetic(table, args.synthetic)
    targets = table[list(columns)].to_numpy(np.float64)
    of_source = Belief.of_draws(("n_sersic", "luminosity"), known[["n_sersic", "luminosity"]].to_numpy(np.float64))

    begin = time.perf_counter()
    fits = []
    for one, middle, wide in zip(observations, mean, deviation, strict=True):
        prior = Belief.independent(columns, middle, wide).beside(of_source)
        fits.append(fit_roulette(one, prior, radius=args.radius))
    seconds = (time.perf_counter() - begin) / len(rows)
    good = np.array([fit.good for fit in fits])
    after = [fit.belief.among(columns) for fit in fits]
    fitted = np.where(good[:, None], [one.mean for one in after], mean)
    width = np.where(good[:, None], [one.deviation for one in after], deviation)
    whole = Observation(pictures, np.concatenate([one.weights for one in observations]), facts[:, 3])
    least = np.sqrt(np.einsum("bcc->bc", bound(whole, family, true, columns)))

    print(f"{args.toml}: {len(rows)} rows, {family}, prior: {args.model or f'synthetic, {args.synthetic:g}'}")
    print(f"  good fits {good.mean():.1%}; {seconds:.2f} s a picture")
    for name, values in {
        "χ² a pixel of good fits": [fit.chi2_per_pixel for fit in fits if fit.good],
        "radius of the circle, px": [fit.radius for fit in fits],
        "pixels": [fit.pixels for fit in fits],
        "foretold radius of convergence, px": [fit.convergence for fit in fits],
    }.items():
        print(f"  {name:40} " + " ".join(f"{x:.3f}" for x in np.quantile(values, (0.05, 0.5, 0.95))))
    report("lens-free, good fits", columns, targets, fitted, width, mean, deviation, least, good)
    report("lens-free or prior, all rows", columns, targets, fitted, width, mean, deviation, least, good | True)
    if args.save:
        save(args.save, columns, good, fits, targets=targets, fitted=fitted, width=width, prior=mean,
             prior_width=deviation, bound=least)  # fmt: skip
    if args.family:
        beside(args.family, observations, columns, targets, mean, deviation, least, good, fitted, width)


def beside(toml, observations, columns, targets, mean, deviation, least, good_free, free, free_width) -> None:
    """The same pictures fitted as another family."""
    params = parameters.load(toml)
    rows, table, _, _ = drawn(params, 0, KNOWN, toml, pictures=False)
    family, known = family_and_coordinates(rows.drop(columns="psf", errors="ignore"), table, toml)
    library, prior = Library.of(family, known, observations[0].size), Prior.of(known)
    begin, good, middle, width = time.perf_counter(), [], [], []
    for one in observations:
        found = find(one, family, library.nearest(one, STARTS), prior)
        draws = posterior.draws(found, DRAWS)
        values, halves = posterior.intervals(draws.targets(family, columns), SHARES[:1])
        good.append(found.good[0])
        middle.append(values[0])
        width.append(halves[0, 0])
    good, middle, width = np.array(good), np.array(middle), np.array(width)
    seconds = (time.perf_counter() - begin) / len(observations)
    print(f"as {family}: χ² tells of {1 - good.mean():.1%} of the rows; {seconds:.2f} s a picture")
    report(f"{family}, all rows", columns, targets, middle, width, mean, deviation, least, good | True)
    if good.any():
        report(
            f"{family}, rows of which χ² does not tell", columns, targets, middle, width, mean, deviation, least, good
        )
    if (~good & good_free).any():
        rest = ~good & good_free
        report("lens-free where χ² tells", columns, targets, free, free_width, mean, deviation, least, rest)


def report(name, columns, targets, fitted, width, mean, deviation, least, rows) -> None:
    """By order: median errors over the prior's and over the bound's, and the share of truths in the intervals."""
    print(f"  {name}: {rows.sum()} rows")
    print(f"    {'':8} error / prior's   / bound's   prior's / bound's   in 68 %  in 95 %   prior: 68 %  95 %")
    error, before = abs(fitted - targets)[rows], abs(mean - targets)[rows]
    orders = np.array([order_of(column) for column in columns])
    for order in dict.fromkeys(orders):
        of = orders == order
        at_bound = np.median(least[rows][:, of] * stats.norm.ppf(0.75), axis=0)
        ratio = np.median(np.median(error[:, of], axis=0) / np.median(before[:, of], axis=0))
        over = np.median(np.median(error[:, of], axis=0) / at_bound)
        over_before = np.median(np.median(before[:, of], axis=0) / at_bound)
        inside = [(error[:, of] < reach * width[rows][:, of]).mean() for reach in (1, REACH)]
        inside += [(before[:, of] < reach * deviation[rows][:, of]).mean() for reach in (1, REACH)]
        print(f"    {order:8} {ratio:15.3f} {over:11.2f} {over_before:19.2f}   "
              f"{inside[0]:8.1%} {inside[1]:8.1%} {inside[2]:12.1%} {inside[3]:6.1%}")  # fmt: skip


def order_of(column: str) -> str:
    match = AMPLITUDE.fullmatch(column)
    return f"m = {match[2]}" if match else "ξ₀" if column.startswith("xi") else column


def drawn(params, start: int, stop: int, name: str, pictures: bool = True):
    """Rows of the distribution, their roulette table, their pictures and the facts of these."""
    rows = draw_table(params, start, stop).reset_index(drop=True)
    drawing = Drawing.of(params.simulator, params.instrument.depth if params.instrument else "uint16")
    if not pictures:
        from droulette.pipeline.generate import generate_chunks

        (table,) = generate_chunks([rows.drop(columns="psf", errors="ignore")], drawing, None, name=name)
        return rows, table, None, None
    with ThreadPoolExecutor(1) as helpers:
        found, facts, table = draw_in_memory(rows, drawing, name, "cpu", helpers)
    return rows, table, np.asarray(found, np.float64), facts


def predicted(path: str, pictures: np.ndarray, facts: np.ndarray) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """A network's columns, means and standard deviations."""
    import torch

    from droulette.learning import model_file

    model = model_file.load(path, torch.device("cpu"))
    views = make_views(model.network.preprocessing, pictures.astype(np.float32), "cpu", facts)
    return model.columns, *model.predict(views, facts=facts)


def synthetic(table: pd.DataFrame, share: float) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """The truth with errors, as `predicted` gives it."""
    columns = ["sigma", "xiX", "xiY", *(c for c in table if AMPLITUDE.fullmatch(c) and table[c].any())]
    true = table[columns].to_numpy(np.float64)
    deviation = np.empty_like(true)
    for k, column in enumerate(columns):
        match = AMPLITUDE.fullmatch(column)
        alike = [j for j, c in enumerate(columns) if match and (m := AMPLITUDE.fullmatch(c)) and m[2] == match[2]]
        deviation[:, k] = share * np.sqrt((true[:, alike or [k]] ** 2).mean(axis=1))
    deviation[:, 1:3] = PLACE
    return tuple(columns), true + deviation * np.random.default_rng(0).standard_normal(true.shape), deviation


def save(path: str, columns, good, fits, **values: np.ndarray) -> None:
    count = len(good)
    table = {"row": np.repeat(np.arange(count), len(columns)), "column": list(columns) * count}
    table |= {name: value.ravel() for name, value in values.items()}
    table["good"] = np.repeat(good, len(columns))
    for name in ("chi2_per_pixel", "pixels", "probability", "radius", "convergence", "prior_chi2"):
        table[name] = np.repeat([getattr(fit, name) for fit in fits], len(columns))
    pd.DataFrame(table).to_csv(path, index=False)


if __name__ == "__main__":
    main()
