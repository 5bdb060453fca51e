"""How well a model of pictures with noise does, noise by noise and PSF by PSF, and what it warns of.

    python benchmarks/noise.py FOLDER --rows 500 --noise 0 1 3 10 --psf 0 1.5 3

FOLDER: a pipeline's, with params.toml and models/model.safetensors. The rows are of another seed than the dataset's;
each cell draws the same scenes. noise in counts, psf as the standard deviation of a Gaussian, px.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from droulette.learning import metrics, model_file
from droulette.learning.calibration import coverage
from droulette.learning.model_file import Model
from droulette.learning.scaling import SCALINGS
from droulette.parameters import load
from droulette.physics.convolution import FWHM
from droulette.pipeline.batching import slices
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, draw_in_memory
from droulette.pipeline.pictures import make_views
from droulette.pipeline.targets import read_targets

AT_ONCE = 256
OTHER_ROWS = {"simulator.seed": 1_000_003}


def draw(params, model: Model, rows: int):
    """Views, facts and true columns of the first rows of the distribution."""
    drawing = Drawing.of(params.simulator)
    views, facts, true = [], [], []
    with ThreadPoolExecutor(2) as helpers:
        for part in slices(rows, AT_ONCE):
            frame = draw_table(params, part.start, part.stop)
            pictures, told, table = draw_in_memory(frame, drawing, "rows", "cpu", helpers)
            views.append(make_views(model.network.preprocessing, pictures, "cpu", told))
            facts.append(told)
            true.append(table[list(model.columns)].to_numpy())
    return np.concatenate(views), np.concatenate(facts), np.concatenate(true)


def cell(noise: float | None, psf: float | None) -> dict[str, str | float]:
    """What to override for one noise, counts, and one Gaussian PSF of standard deviation psf, px; None: as it is."""
    found: dict[str, str | float] = {}
    if noise is not None:
        found |= {"instrument.noise": noise}
    if psf is not None:
        found |= {"instrument.psf": "gaussian", "instrument.psf-fwhm": psf * FWHM}
    return found


def judge_of(training: Path, model: Model) -> metrics.Judge:
    """R² on the scale of the targets that the model was trained on."""
    targets = read_targets(training, model.columns)[list(model.columns)].to_numpy()
    return metrics.Judge(targets, SCALINGS["quantile"].fit(targets, list(model.columns)), model.loss)


def measured(model: Model, judge: metrics.Judge, rows) -> str:
    """r2_quantile, r2 and the shares of truths within the 68 % and 95 % intervals: the middle of a table's line."""
    views, facts, true = rows
    predicted, deviation = model.predict(views, facts=facts)
    found = metrics.mean(judge.compare(judge.scaled(true), judge.scaled(predicted)))
    shares = coverage(true, predicted, deviation, model.reach(views, facts)).mean(axis=1)
    return f"{found['r2_quantile']:.3f} | {found['r2']:.3f} | {shares[0]:.1%} | {shares[1]:.1%}"


def warned_of(model: Model, rows) -> str:
    """Shares of pictures that are warned of, and that are unlike the trained ones."""
    views, facts, _ = rows
    unlike = model.unlikeness(views) > 1
    unknown = np.array([bool(model.known.outside(row)) for row in facts])
    return f"{(unlike | unknown).mean():.1%} | {unlike.mean():.1%}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--params", default="params.toml")
    options.add_argument("--model", default="models/model.safetensors")
    options.add_argument("--rows", type=int, default=500)
    options.add_argument("--noise", type=float, nargs="*", default=[0, 1, 3, 10])
    options.add_argument("--psf", type=float, nargs="*", default=[0, 1.5, 3])
    options.add_argument(
        "--novel", action="store_true", help="what is beyond: twice the noise, twice the PSF, lens light"
    )
    args = options.parse_args()
    path = args.folder / args.params
    model = model_file.load(args.folder / args.model)
    judge = judge_of(args.folder / load(path).dataset.training.filename, model)

    def measure(name: str, noise: float | None, psf: float | None, **more) -> None:
        rows = draw(load(path, cell(noise, psf) | OTHER_ROWS | more), model, args.rows)
        print(f"| {name} | {measured(model, judge, rows)} | {warned_of(model, rows)} |", flush=True)

    print(
        "| pictures | r2_quantile | r2 | 68 % hold | 95 % hold | warned of | as unlike |\n|---|---|---|---|---|---|---|"
    )
    measure("as trained", None, None)
    for noise in args.noise:
        for psf in args.psf:
            measure(f"noise {noise:g}, PSF {psf:g}", noise, psf)
    if args.novel:
        params = load(path)
        most = params.instrument.noise and params.instrument.noise.high
        if most:
            measure("twice the noise", 2 * most, None)
        widest = params.instrument.psf_fwhm and params.instrument.psf_fwhm.high
        if widest:
            measure("twice the PSF", None, None, **{"instrument.psf-fwhm": 2 * widest})
        for ratio in (0.3, 1, 3):
            measure(f"lens light, {ratio:g} of the source's", None, None, **{"lens_light.flux-ratio": ratio})


if __name__ == "__main__":
    main()
