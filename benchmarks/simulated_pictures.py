"""Flux and noise beside lenstronomy's `SimulationAPI`: one scene, many noises, a space and a ground instrument.

    PYTHONPATH=.peers python benchmarks/simulated_pictures.py --pictures 1000

An unlensed SersicSphere, n = 1, of a given magnitude, Gaussian PSF. Printed: ratios ours / theirs of the mean picture's
light, of the variance of the sky, and of the variance in the brightest pixels.
"""

from __future__ import annotations

import argparse

import numpy as np
from lenstronomy.SimulationAPI.sim_api import SimAPI

from droulette.instruments import PRESETS, keys_of
from droulette.parameters import parse
from droulette.physics.arrays import to_numpy
from droulette.pipeline.depth import About
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, draw_in_memory

SIZE = 64
SIGMA = 5.0  # px, half-light radius


def ours(name: str, magnitude: float, count: int) -> np.ndarray:
    """(count, SIZE, SIZE): one scene with new noise each time."""
    keys = {k: v for k, v in keys_of(name).items() if not k.startswith("psf-fwhm") and k != "moffat-beta"}
    keys |= {"psf": "gaussian", "psf-fwhm": width(name), "magnitude": magnitude}
    tables = {
        "simulator": {"size": count, "imagesize": SIZE, "nterms": 1, "supersampling": 4},
        "lens": {"mode": "SIS", "einsteinradius": 1e-6},
        "source": {"mode": "SersicSphere", "sigma": SIGMA, "n_sersic": 1.0, "luminosity": 5.0},
        "position": {"x": -0.5, "y": 0.5},
        "instrument": keys,
    }
    params = parse(tables)
    from concurrent.futures import ThreadPoolExecutor

    found = []
    with ThreadPoolExecutor(2) as helpers:
        for start in range(0, count, 250):
            frame = draw_table(params, start, min(start + 250, count))
            pictures, facts, _ = draw_in_memory(frame, Drawing.of(params.simulator), "rows", "cpu", helpers)
            found.append(to_numpy(pictures))
    print(f"  ours: noise {About.of(facts).noise[0]:.5g} counts/s")
    return np.concatenate(found).astype(np.float64)


def width(name: str) -> float:
    return PRESETS[name].typical_fwhm


def theirs(name: str, magnitude: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Their picture without noise, and (count, SIZE, SIZE) with."""
    preset = PRESETS[name]
    band = {
        "read_noise": preset.read_noise, "pixel_scale": preset.pixel_scale, "ccd_gain": 1.0,
        "exposure_time": preset.exposure, "sky_brightness": preset.sky_brightness,
        "magnitude_zero_point": preset.zero_point, "num_exposures": preset.exposures, "seeing": width(name),
        "psf_type": "GAUSSIAN", "truncation": 6,
    }  # fmt: skip
    api = SimAPI(SIZE, band, {"source_light_model_list": ["SERSIC"]})
    radius = SIGMA * preset.pixel_scale
    # Our pixel (i, j) is the point j − N/2, N/2 − i: the middle of theirs is at (−½, ½) px.
    model = {"magnitude": magnitude, "R_sersic": radius, "n_sersic": 1.0, "center_x": 0.0, "center_y": 0.0}
    _, source, _ = api.magnitude2amplitude(kwargs_source_mag=[model])
    image = api.image_model_class({"supersampling_factor": 4, "supersampling_convolution": False})
    clean = image.image(kwargs_source=source)
    rng = np.random.default_rng(0)
    noisy = np.stack([clean + api.noise_for_model(clean, seed=int(rng.integers(2**31))) for _ in range(count)])
    return clean, noisy


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=1000)
    count = options.parse_args().pictures
    for name, magnitude in (("euclid-vis", 21.0), ("des-i", 19.0)):
        print(name)
        a = ours(name, magnitude, count)
        clean, b = theirs(name, magnitude, count)
        sky = np.zeros((SIZE, SIZE), bool)
        sky[:6], sky[-6:] = True, True
        bright = clean > 0.1 * clean.max()
        wanted = 10 ** (0.4 * (PRESETS[name].zero_point - magnitude))
        print(
            f"  light: {a.mean(0).sum() / b.mean(0).sum():.4f}, and of the magnitude's {a.mean(0).sum() / wanted:.4f}"
        )
        print(f"  variance of the sky: {a.var(0)[sky].mean() / b.var(0)[sky].mean():.4f}")
        ratio = a.var(0)[bright].mean() / b.var(0)[bright].mean()
        print(f"  variance in the {bright.sum()} brightest pixels: {ratio:.4f}")
        middle = slice(8, -8)
        difference = np.abs(a.mean(0) - b.mean(0))[middle, middle].max() / clean.max()
        print(f"  mean pictures: largest difference {difference:.4f} of the peak")


if __name__ == "__main__":
    main()
