"""Flux and noise of presets, computed here and by lenstronomy's SimulationAPI from the same numbers.

python benchmarks/simulation_api.py [--magnitude 22] [PRESET…]

No timing. The presets' own numbers go into lenstronomy's SimAPI as electrons; the dark current, which it does not know,
is left out on both sides. The picture is a mean one: a Sérsic galaxy of the given magnitude, blurred by a Gaussian.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np
from measure import peers

from droulette.instruments import ALIASES, PRESETS, Preset, background_noise, counts_per_second

SIZE = 201  # pixels: the galaxy's light ends inside


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("presets", nargs="*", metavar="PRESET", default=["hst-acs-f814w", "rubin-i"])
    options.add_argument("--magnitude", type=float, default=22)
    args = options.parse_args()
    names = [ALIASES.get(name, name) for name in args.presets]
    if unknown := set(names) - set(PRESETS):
        options.error(f"found {', '.join(sorted(unknown))}, expected some of {', '.join(PRESETS)}")
    try:
        import lenstronomy  # noqa: F401
    except ImportError:
        peers("lenstronomy")
    print("| preset | quantity | droulette | lenstronomy | ratio |\n|---|---|---|---|---|")
    for name in names:
        preset = dataclasses.replace(PRESETS[name], dark=0)
        found, theirs = ours(preset, args.magnitude), lenstronomys(preset, args.magnitude)
        for quantity, value in found.items():
            print(f"| `{name}` | {quantity} | {value:.6g} | {theirs[quantity]:.6g} | {value / theirs[quantity]:.5f} |")


def ours(preset: Preset, magnitude: float) -> dict[str, float]:
    """The formulas of docs/instruments.md, in counts per second."""
    flux = counts_per_second(magnitude, preset.zero_point)
    background = background_noise(preset)
    return {
        "flux of the magnitude": flux,
        "flux of the picture": flux,
        "background noise": background,
        "variance of the picture": background**2 * SIZE**2 + flux / (preset.gain * preset.total_exposure),
    }


def lenstronomys(preset: Preset, magnitude: float) -> dict[str, float]:
    """The same from SimAPI, which works in electrons: divided by the gain."""
    from lenstronomy.SimulationAPI.sim_api import SimAPI

    band = {
        "pixel_scale": preset.pixel_scale,
        "exposure_time": preset.exposure,
        "num_exposures": preset.exposures,
        "read_noise": preset.read_noise,
        "ccd_gain": preset.gain,
        "seeing": preset.typical_fwhm,
        "psf_type": "GAUSSIAN",
        "sky_brightness": preset.sky_brightness,
        "magnitude_zero_point": preset.zero_point + 2.5 * np.log10(preset.gain),
        "data_count_unit": "e-",
    }
    api = SimAPI(SIZE, band, {"source_light_model_list": ["SERSIC"]})
    galaxy = {"magnitude": magnitude, "R_sersic": 5 * preset.pixel_scale, "n_sersic": 1, "center_x": 0, "center_y": 0}
    _, source, _ = api.magnitude2amplitude(kwargs_source_mag=[galaxy])
    picture = api.image_model_class({"supersampling_factor": 5}).image(kwargs_source=source)
    variance = api.background_noise**2 + api.flux_noise(picture) ** 2
    return {
        "flux of the magnitude": api.magnitude2cps(magnitude) / preset.gain,
        "flux of the picture": picture.sum() / preset.gain,
        "background noise": api.background_noise / preset.gain,
        "variance of the picture": variance.sum() / preset.gain**2,
    }


if __name__ == "__main__":
    main()
