"""Fits of test pictures: how far from the bound they end, whether their intervals hold, and how long they take.

    python benchmarks/fit.py experiments/sie/cpu.toml [--rows 200] [--first 1000000] [--noise 3] [--as-drawn]
    python benchmarks/fit.py experiments/cluster2/cpu.toml --family SIE [--rows 100] [--fwhm 1.5]

The distribution's rows are drawn with normal noise and a Gaussian point spread function, or as 8-bit pictures. Each is
fitted from the most similar of 5,000 other rows; no network takes part. Errors are in units of the Cramér-Rao bound,
with derivatives taken at the true scene; `bound` itself stands for truths with errors drawn from it.

With `--family` the pictures are fitted as scenes of another family than theirs: how often χ² finds that out, and how
far off the amplitudes are of those fits that pass for good ones.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.preprocessing import QuantileTransformer

from droulette import parameters
from droulette.devices import cores, workers
from droulette.fitting import posterior
from droulette.fitting.bound import bound
from droulette.fitting.observation import Observation
from droulette.fitting.optimise import Prior
from droulette.fitting.search import find
from droulette.fitting.starts import Library
from droulette.learning.metrics import r2
from droulette.pipeline.draw import draw_table
from droulette.pipeline.fitted import ROUGH, SHARES, parts
from droulette.pipeline.generate import Drawing, draw_in_memory
from droulette.pipeline.populations import distribution_to_fit, family_and_coordinates

LIBRARY = 5000
STARTS = 40
DRAWS = 1000
SKY = 12.0  # counts/s
ROUNDING = 12**-0.5  # grey levels: the standard deviation of what is lost by rounding, of which the bound is
LARGEST_ROUNDING = 0.5  # with which fits are judged: faint neighbours are rounded the same way, not independently


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("toml")
    options.add_argument("--rows", type=int, default=200)
    options.add_argument("--first", type=int, default=1_000_000, help="row of the distribution")
    options.add_argument("--noise", type=float, default=3.0, help="grey levels")
    options.add_argument("--fwhm", type=float, default=3.53, help="px")
    options.add_argument("--family", help="LENS, LENS,SOURCE or a TOML file: fitted in place of the true one")
    options.add_argument("--as-drawn", action="store_true", help="8-bit pictures, without noise and PSF")
    options.add_argument("--threads", type=int, default=cores())
    options.add_argument("--normal", action="store_true", help="no importance sampling")
    options.add_argument("--save", help="NPZ file for what was found")
    args = options.parse_args()
    params = parameters.load(args.toml)
    of_library = params
    if args.family:
        tables, size = parameters.distribution(params), Drawing.of(params.simulator).size
        of_library, _ = distribution_to_fit(None, args.family, tables, size, observed=False)
    library_rows, library_table, _ = drawn(of_library, 0, LIBRARY, args)
    rows, table, pictures = drawn(params, args.first, args.first + args.rows, args)
    family, known = family_and_coordinates(library_rows, library_table, args.toml)
    true_family, true = family_and_coordinates(rows, table, args.toml)
    columns = tuple(c for c in params.problem.variables if c in table)
    columns += tuple(c for c in table if c.startswith(("alpha", "beta")) and table[c].any())
    observation = observed(pictures, args)

    begin = time.perf_counter()
    library = Library.of(family, known, observation.size)
    prior = Prior.of(known)
    ready = time.perf_counter()

    def fit(part: slice):
        some, clock = observation[part], [time.thread_time()]
        one = find(some, family, library.nearest(some, STARTS), prior)
        clock.append(time.thread_time())
        drawings = posterior.draws(one, DRAWS) if args.normal else posterior.sampled(some, family, one, prior, DRAWS)
        clock.append(time.thread_time())
        middle, halves = posterior.intervals(drawings.targets(family, columns), SHARES)
        clock.append(time.thread_time())
        return one, drawings, middle, halves, np.diff(clock)

    with workers(args.threads) as threads:
        found, drawings, middles, halves, clocks = zip(*threads.map(fit, parts(args.rows)), strict=True)
    done = time.perf_counter()
    middle, half = np.concatenate(middles), np.concatenate(halves, axis=1)

    targets = true_family.targets(true, columns)
    costs = observation.squares_at(true_family, true[:, None])[:, 0]
    if not args.family:
        costs = costs + prior.costs(true[:, None])[:, 0]
    above = np.concatenate([one.minimum.cost for one in found]) - costs
    sure = replace(observation, weights=observation.weights * (LARGEST_ROUNDING / ROUNDING if args.as_drawn else 1))
    least = np.sqrt(np.einsum("bcc->bc", bound(sure, true_family, true, columns)))
    scale = QuantileTransformer(n_quantiles=1000, output_distribution="normal", subsample=None)
    scale.fit(library_table[list(columns)].to_numpy())
    good = np.concatenate([one.good for one in found])
    chi2 = np.concatenate([one.minimum.chi2 for one in found])
    pixels = observation.pixels()
    deviations = abs(middle - targets) / np.maximum(half[0], 1e-300)
    ratio = np.median(abs(middle - targets) / least, axis=0) / stats.norm.ppf(0.75)
    drawn_errors = targets + least * np.random.default_rng(0).standard_normal(least.shape)
    of_family = f"{true_family} fitted as {family}" if args.family else f"{family}"
    print(f"{args.toml}: {args.rows} rows, {of_family}, " + kind_of_picture(args))
    print(f"library of {LIBRARY}: {ready - begin:.1f} s")
    effective = np.concatenate([one.effective for one in drawings])
    errors = abs(middle - targets) / np.maximum(targets.std(axis=0), 1e-300)
    sound = good & (effective >= ROUGH)

    def held(rows: np.ndarray) -> str:
        inside = abs(middle - targets) < half
        return ", ".join(f"{one[rows].mean():.1%}" for one in inside) if rows.any() else "-"

    found_out = {"found out by χ²": f"{1 - good.mean():.1%}"}
    if args.family and good.any() and not good.all():
        found_out |= {
            "median error, deviations of the true values: of good fits": f"{np.median(errors[good]):.3f}",
            "the same of the others": f"{np.median(errors[~good]):.3f}",
        }
    lines = (found_out if args.family else {}) | {
        "good fits": f"{good.mean():.1%}",
        "χ² a pixel, median, 95 %, most": " ".join(f"{x:.4f}" for x in np.quantile(chi2 / pixels, (0.5, 0.95, 1))),
        "error / bound, median over columns": f"{np.median(ratio):.3f} ({ratio.min():.2f} to {ratio.max():.2f})",
        "r2_quantile (errors drawn from the bound)": pair(scale.transform, targets, middle, drawn_errors),
        "the same without rows that are no good fits": pair(
            scale.transform, targets[good], middle[good], drawn_errors[good]
        ),
        "r2 (errors drawn from the bound)": pair(lambda x: x, targets, middle, drawn_errors),
        "in 68 %, in 95 %": held(np.ones(len(good), bool)),
        f"good fits with {ROUGH} effective draws; in 68 %, in 95 %": f"{sound.mean():.1%}; {held(sound)}",
        "beyond six deviations: rows; columns with more than 1 %": f"{(deviations > 6).any(axis=1).mean():.1%}; "
        f"{((deviations > 6).mean(axis=0) > 0.01).sum()} of {len(columns)}",
        "rows that end above the true scene's χ²: all; good fits": f"{(above > 0).mean():.1%}; "
        f"{((above > 0) & good).mean():.1%}",
        "rows with several solutions": f"{np.mean(np.concatenate([one.solutions for one in drawings]) > 1):.1%}",
        "effective draws, median, least": f"{np.median(effective):.0f}, {effective.min():.0f}",
        f"pictures a second, {args.threads} threads": f"{args.rows / (done - ready):.1f}",
        "the processor's time of fits, draws, amplitudes, ms": ", ".join(
            f"{t / args.rows * 1e3:.1f}" for t in np.sum(clocks, axis=0)
        ),
    }
    for name, value in lines.items():
        print(f"  {name:58} {value}")
    if args.save:
        np.savez(
            args.save, true=true, targets=targets, middle=middle, half=half, least=least, good=good, chi2=chi2,
            coordinates=np.concatenate([one.minimum.coordinates for one in found]), library=known, above=above,
            effective=effective,
        )  # fmt: skip


def pair(scale, targets: np.ndarray, *others: np.ndarray) -> str:
    if len(targets) < 2:
        return "-"
    values = [r2(scale(targets), scale(other)).mean() for other in others]
    return f"{values[0]:.4f} ({values[1]:.4f})"


def kind_of_picture(args: argparse.Namespace) -> str:
    return "8 bits, as drawn" if args.as_drawn else f"noise {args.noise:g}, PSF {args.fwhm:g} px"


def drawn(params, start: int, stop: int, args: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Rows of the distribution, their roulette table and their pictures."""
    rows = draw_table(params, start, stop).reset_index(drop=True)
    if not args.as_drawn:
        rows = rows.assign(
            psf="gaussian" if args.fwhm else "none", psffwhm=args.fwhm, background=SKY, pedestal=0.0,
            noise=args.noise, electrons=0.0, noiseseed=5.0, centringX=0.0, centringY=0.0,
        )  # fmt: skip
    with ThreadPoolExecutor(1) as helpers:
        pictures, _, table = draw_in_memory(rows, Drawing.of(params.simulator), args.toml, "cpu", helpers)
    return rows, table, np.asarray(pictures, np.float64)


def observed(pictures: np.ndarray, args: argparse.Namespace) -> Observation:
    deviation = LARGEST_ROUNDING if args.as_drawn else args.noise
    weights, psf = np.full_like(pictures, 1 / deviation), np.full(len(pictures), 0.0 if args.as_drawn else args.fwhm)
    whole = Observation(pictures, weights, psf)
    return replace(whole, ceiling=255.0, alike=True) if args.as_drawn else whole


if __name__ == "__main__":
    main()
