"""The same pictures fitted by lenstronomy's particle swarm and simplex: χ², errors, seconds.

    PYTHONPATH=.peers python benchmarks/fit_beside_lenstronomy.py experiments/sie/cpu.toml [--rows 10]

Both are told the noise, the point spread function and the family, SIE and Sérsic. lenstronomy begins with the scene of
5,000 drawn ones that looks most like the picture, untuned; ours with up to fifteen such. Errors are of parameters that
both define alike (axis ratio, Sérsic index, places of lens and source), in units of their Cramér-Rao bound.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from fit import FIRST, LIBRARY, drawn, observed

from droulette import parameters
from droulette.fitting.bound import covariance, fisher
from droulette.fitting.observation import Observation
from droulette.fitting.optimise import Prior
from droulette.fitting.search import find
from droulette.fitting.starts import Library
from droulette.pipeline.populations import family_and_coordinates

COMPARED = ("lens1.axis_ratio", "source.n_sersic", "lens1.x", "lens1.y", "source.x", "source.y")
STEP = 1e-4
PARTICLES, SWARM_STEPS, SIMPLEX_STEPS = 60, 60, 1500


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("toml")
    options.add_argument("--rows", type=int, default=10)
    options.set_defaults(noise=3.0, fwhm=3.53, as_drawn=False)
    args = options.parse_args()
    params = parameters.load(args.toml)
    family, known = family_and_coordinates(*drawn(params, 0, LIBRARY, args)[:2], args.toml)
    rows, table, pictures = drawn(params, FIRST, FIRST + args.rows, args)
    _, true = family_and_coordinates(rows, table, args.toml)
    observation = observed(pictures, args)
    library = Library.of(family, known, observation.size)
    starts = library.nearest(observation, 15)
    truth = family.values(true)
    least = deviations(observation, family, true)

    begin = time.perf_counter()
    found = find(observation, family, starts, Prior.of(known))
    ours = time.perf_counter() - begin
    values = family.values(found.minimum.coordinates)
    report("droulette", found.minimum.chi2 / found.pixels, errors(values, truth, least), ours / args.rows)
    chi2, peer = [], []
    begin = time.perf_counter()
    for row in range(args.rows):
        start = {name: float(value[0]) for name, value in family.values(starts[row, :1]).items()}
        value, light = by_lenstronomy(observation.pictures[row], start, args)
        chi2.append((((observation.pictures[row] - light) / args.noise) ** 2).mean())
        peer.append(value)
    seconds = (time.perf_counter() - begin) / args.rows
    values = {name: np.array([value[name] for value in peer]) for name in COMPARED}
    report("lenstronomy", np.array(chi2), errors(values, truth, least), seconds)


def report(name: str, chi2: np.ndarray, error: np.ndarray, seconds: float) -> None:
    print(f"{name}: χ² a pixel {' '.join(f'{x:.3f}' for x in chi2)}; below 1.02: {(chi2 < 1.02).sum()} of {len(chi2)}")
    medians = ", ".join(f"{column} {x:.2f}" for column, x in zip(COMPARED, np.median(error, axis=1), strict=True))
    print(f"  median |error| / bound: {medians}; {seconds:.2f} s a picture")


def errors(values: dict, truth: dict, least: dict) -> np.ndarray:
    return np.stack([abs(values[name] - truth[name]) / least[name] for name in COMPARED])


def deviations(observation: Observation, family, true: np.ndarray) -> dict[str, np.ndarray]:
    """The bound of the parameters that are compared."""
    matrix = covariance(fisher(observation, family, true))
    found = {}
    for name in COMPARED:
        slopes = np.empty_like(true)
        for k in range(true.shape[1]):
            move = np.zeros(true.shape[1])
            move[k] = STEP
            slopes[:, k] = (family.values(true + move)[name] - family.values(true - move)[name]) / (2 * STEP)
        found[name] = np.sqrt(np.einsum("bp,bpq,bq->b", slopes, matrix, slopes))
    return found


def by_lenstronomy(picture: np.ndarray, start: dict[str, float], args) -> tuple[dict[str, float], np.ndarray]:
    """The best fit's parameters by our names, and its picture. Rows of lenstronomy's pictures go up."""
    from lenstronomy.Util.param_util import ellipticity2phi_q, phi_q2_ellipticity
    from lenstronomy.Workflow.fitting_sequence import FittingSequence

    size = len(picture)
    upwards = picture[::-1]
    # Row 0 of the turned picture is our last one, at y = N/2 − (N − 1).
    data = {
        "image_data": upwards, "background_rms": args.noise, "exposure_time": 1e12, "ra_at_xy_0": -size / 2,
        "dec_at_xy_0": size / 2 - (size - 1), "transform_pix2angle": np.eye(2),
    }  # fmt: skip
    psf = {"psf_type": "GAUSSIAN", "fwhm": args.fwhm, "pixel_size": 1.0, "truncation": 6 / 2.355}
    bands = [[data, psf, {"supersampling_factor": 1, "supersampling_convolution": False}]]
    model = {"lens_model_list": ["SIE"], "source_light_model_list": ["SERSIC"]}
    # Ours gives the direction of the minor axis, and θ_E on the intermediate axis as lenstronomy's.
    e1, e2 = phi_q2_ellipticity(np.deg2rad(start["lens1.orientation"] + 90), start["lens1.axis_ratio"])
    wide = 0.3 * start["lens1.einstein_radius"] + 1
    lens = [
        {"theta_E": start["lens1.einstein_radius"], "e1": e1, "e2": e2, "center_x": start["lens1.x"],
         "center_y": start["lens1.y"]},
        {"theta_E": wide, "e1": 0.15, "e2": 0.15, "center_x": wide, "center_y": wide},
        {},
        {"theta_E": 0.5, "e1": -0.85, "e2": -0.85, "center_x": -size, "center_y": -size},
        {"theta_E": 150, "e1": 0.85, "e2": 0.85, "center_x": size, "center_y": size},
    ]  # fmt: skip
    source = [
        {"R_sersic": start["source.sigma"], "n_sersic": start["source.n_sersic"], "center_x": start["source.x"],
         "center_y": start["source.y"]},
        {"R_sersic": 5, "n_sersic": 0.7, "center_x": wide, "center_y": wide},
        {},
        {"R_sersic": 1, "n_sersic": 0.5, "center_x": -size, "center_y": -size},
        {"R_sersic": 80, "n_sersic": 6.5, "center_x": size, "center_y": size},
    ]  # fmt: skip
    sequence = FittingSequence(
        {"multi_band_list": bands, "multi_band_type": "multi-linear"}, model, {}, {"source_marg": False},
        {"lens_model": [[one] for one in lens], "source_model": [[one] for one in source]}, verbose=False,
    )  # fmt: skip
    sequence.fit_sequence(
        [
            ["PSO", {"sigma_scale": 1.0, "n_particles": PARTICLES, "n_iterations": SWARM_STEPS}],
            ["SIMPLEX", {"n_iterations": SIMPLEX_STEPS, "method": "Nelder-Mead"}],
        ]
    )
    best = sequence.best_fit()
    from lenstronomy.ImSim.MultiBand.multi_linear import MultiLinear

    image = MultiLinear(bands, model).image_linear_solve(**{k: best[k] for k in ("kwargs_lens", "kwargs_source")})[0][0]
    lens, source = best["kwargs_lens"][0], best["kwargs_source"][0]
    _, ratio = ellipticity2phi_q(lens["e1"], lens["e2"])
    values = {
        "lens1.axis_ratio": ratio, "source.n_sersic": source["n_sersic"], "lens1.x": lens["center_x"],
        "lens1.y": lens["center_y"], "source.x": source["center_x"], "source.y": source["center_y"],
    }  # fmt: skip
    return values, image[::-1]


if __name__ == "__main__":
    main()
