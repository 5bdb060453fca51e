"""The presets of telescopes: possible, sourced, and equal to lenstronomy's tables but for stated differences."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from droulette.instruments import (
    ALIASES,
    NUMBERS,
    PRESETS,
    PUBLISHED,
    background_noise,
    computed_depth,
    counts_per_second,
    limiting_magnitude,
    sky_per_pixel,
)
from droulette.parameters.presets_reference import page

ROOT = Path(__file__).parents[1]

# Our names in lenstronomy's words: the module and class, and the band.
COUNTERPARTS = {
    "hst-wfc3-f160w": ("HST", {"band": "WFC3_F160W"}),
    "euclid-vis": ("Euclid", {"band": "VIS"}),
    **{f"rubin-{band}": ("LSST", {"band": band}) for band in "gri"},
    **{f"des-{band}": ("DES", {"band": band}) for band in "gri"},
    **{f"jwst-nircam-f{band}w": ("JWST", {"band": f"F{band}W"}) for band in (115, 150, 277, 444)},
    **{f"roman-f{band}": ("Roman", {"band": f"F{band}"}) for band in (106, 129, 158)},
}
THEIR_NAMES = {
    "pixel_scale": "pixel_scale",
    "psf_fwhm": "seeing",
    "exposure": "exposure_time",
    "exposures": "num_exposures",
    "gain": "ccd_gain",
    "read_noise": "read_noise",
    "zero_point": "magnitude_zero_point",
    "sky_brightness": "sky_brightness",
}
GAIN = "counts are electrons here; lenstronomy's zero points are too, whatever its gain"
AIRMASS = "the seeing at the zenith is the lower end of the range"
IN_A_PIXEL = "lenstronomy gives the sky in a pixel, here it is per square arcsecond"
MJY_SR = "the zero point is of MJy/sr, so the gain is electrons per MJy/sr"
# For each preset whose numbers differ from lenstronomy's: which, and why.
DIFFERENCES = {
    "hst-wfc3-f160w": {
        "psf_fwhm": "lenstronomy takes the pixel's size",
        "exposure": "two orbits are two exposures, of the same time in all",
        "exposures": "as above",
        "gain": GAIN,
        "read_noise": "WFC3 Instrument Handbook: 12 for a ramp",
        "zero_point": "lenstronomy's own TDLMC table has 25.9463",
    },
    "euclid-vis": {"pixel_scale": "mosaics are distributed at 0.1", "gain": GAIN},
    **{f"rubin-{band}": {"gain": GAIN, "psf_fwhm": AIRMASS} for band in "gri"},
    **{f"des-{band}": {"gain": GAIN} for band in "gri"},
    **{f"jwst-nircam-f{band}w": {"gain": MJY_SR, "sky_brightness": IN_A_PIXEL} for band in (115, 150, 277, 444)},
}


def theirs(name: str) -> dict:
    """lenstronomy's numbers for one of our presets."""
    folder, before = ROOT / ".peers", list(sys.path)
    if folder.is_dir():
        sys.path.append(str(folder))
    try:
        pytest.importorskip("lenstronomy", reason="the peer is only in .peers: run `make .peers`")
        module_name, options = COUNTERPARTS[name]
        module = importlib.import_module(f"lenstronomy.SimulationAPI.ObservationConfig.{module_name}")
        return getattr(module, module_name)(psf_type="GAUSSIAN", **options).kwargs_single_band()
    finally:
        sys.path[:] = before


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_a_preset_has_lenstronomys_numbers_but_for_stated_differences(name):
    found, preset = theirs(name), PRESETS[name]
    different = {
        ours for ours, their in THEIR_NAMES.items() if getattr(preset, ours) != pytest.approx(found[their], rel=1e-9)
    }
    assert different == set(DIFFERENCES.get(name, {}))


@pytest.mark.parametrize("name", [name for name in COUNTERPARTS if name.startswith("jwst")])
def test_nircams_sky_is_lenstronomys_sky_in_a_pixel(name):
    found, preset = theirs(name), PRESETS[name]
    in_pixel = counts_per_second(found["sky_brightness"], found["magnitude_zero_point"])
    assert sky_per_pixel(preset) == pytest.approx(in_pixel, rel=0.01)


@pytest.mark.parametrize("name", [name for name in COUNTERPARTS if name.startswith("rubin")])
def test_rubins_seeing_begins_at_the_zenith(name):
    assert PRESETS[name].psf_fwhm[0] == theirs(name)["seeing"]


@pytest.mark.parametrize("name", [name for name in COUNTERPARTS if not name.startswith("jwst")])
def test_background_noise_is_lenstronomys_for_the_same_numbers(name):
    theirs(name)
    folder, before = ROOT / ".peers", list(sys.path)
    sys.path.append(str(folder))
    try:
        from lenstronomy.SimulationAPI.observation_api import SingleBand
    finally:
        sys.path[:] = before
    preset = dataclasses.replace(PRESETS[name], dark=0)
    numbers = {their: getattr(preset, ours) for ours, their in THEIR_NAMES.items()}
    numbers["seeing"] = preset.typical_fwhm
    band = SingleBand(data_count_unit="e-", **numbers)
    assert background_noise(preset) == pytest.approx(band.background_noise, rel=1e-9)
    assert counts_per_second(23.0, preset.zero_point) == pytest.approx(band.magnitude2cps(23.0), rel=1e-9)


# ---------------------------------------------------------------- without a peer


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_numbers_are_possible(name):
    preset = PRESETS[name]
    low, high = preset.psf_fwhm if isinstance(preset.psf_fwhm, tuple) else (preset.psf_fwhm, preset.psf_fwhm)
    assert name == name.lower() and "_" not in name
    assert 0.02 <= preset.pixel_scale <= 0.3 and 0.03 <= low <= high <= 1.5
    assert high >= preset.pixel_scale * 0.7
    assert preset.psf == ("gaussian" if preset.moffat_beta is None else "moffat")
    assert preset.moffat_beta is None or preset.moffat_beta > 1
    assert 10 <= preset.exposure <= 3000 and 1 <= preset.exposures <= 500 and isinstance(preset.exposures, int)
    assert 0.1 <= preset.gain <= 10 and 1 <= preset.read_noise <= 20 and 0 <= preset.dark <= 0.1
    assert 24 <= preset.zero_point <= 30 and 19 <= preset.sky_brightness <= 24


@pytest.mark.parametrize("name", PRESETS)
def test_each_number_has_a_source(name):
    preset = PRESETS[name]
    given = {number for number in NUMBERS if getattr(preset, number) is not None}
    assert set(preset.source) == given
    assert all(len(text) > 10 for text in preset.source.values())


def test_aliases_lead_to_presets_and_hide_none():
    assert set(ALIASES.values()) <= set(PRESETS) and not set(ALIASES) & set(PRESETS)


def test_depths_belong_to_presets_and_are_met_within_a_magnitude():
    assert set(PUBLISHED) <= set(PRESETS)
    off = {name: computed_depth(name) - depth.magnitude for name, depth in PUBLISHED.items()}
    assert all(abs(difference) < 1 for difference in off.values())
    far = {name for name, difference in off.items() if abs(difference) >= 0.5}
    named = {name.split("-")[0] for name in far}
    assert named <= {"hst", "cfhtls", "jwst"}, "docs/instruments.md explains these only"


@pytest.mark.parametrize("name", ["hst-acs-f814w", "des-g", "jwst-nircam-f277w", "roman-f158"])
def test_background_noise_is_that_of_drawn_pixels(name):
    preset, rng = PRESETS[name], np.random.default_rng(1)
    count, time = 200_000, preset.exposure * preset.exposures
    sky = 10 ** (0.4 * (preset.zero_point - preset.sky_brightness)) * preset.pixel_scale**2
    electrons = rng.poisson((sky * preset.gain + preset.dark) * time, count).astype(float)
    electrons += rng.normal(0, preset.read_noise, (preset.exposures, count)).sum(0)
    pixels = electrons / (preset.gain * time)
    assert background_noise(preset) == pytest.approx(pixels.std(), rel=0.01)


def test_a_point_source_of_the_limiting_magnitude_is_five_sigma():
    """Its flux fitted with its own Gaussian, on a fine grid."""
    preset = dataclasses.replace(PRESETS["rubin-i"], psf_fwhm=2.0)
    steps = (np.arange(101) - 50) * preset.pixel_scale
    sigma = preset.psf_fwhm / np.sqrt(8 * np.log(2))
    light = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * sigma**2))
    light *= 1 / light.sum()
    error = background_noise(preset) / np.sqrt((light**2).sum())
    assert counts_per_second(limiting_magnitude(preset), preset.zero_point) == pytest.approx(5 * error, rel=1e-3)


def test_the_page_is_not_stale():
    assert (ROOT / "docs/instruments.md").read_text(encoding="utf-8") == page()
