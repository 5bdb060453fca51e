"""The page of presets: `python -m droulette.parameters.presets_reference > docs/instruments.md`."""

from __future__ import annotations

from collections.abc import Iterator

from droulette.instruments import (
    ALIASES,
    PRESETS,
    PUBLISHED,
    Preset,
    background_noise,
    computed_depth,
    limiting_magnitude,
)

HEAD = """\
# Instruments

<!-- Made by `python -m droulette.parameters.presets_reference > docs/instruments.md`; edit those modules instead. -->

A preset is a camera, a filter and the exposures of one survey: the numbers from which pixels, blur and noise
follow. Each number has a source, listed below. A preset is typical of a survey; single images differ from it.
"""

NOISE = """
## Noise

A magnitude `m` is `10^(0.4 (zero_point - m))` counts per second. The sky gives each pixel
`10^(0.4 (zero_point - sky_brightness)) pixel_scale²` counts per second. Let `c` be the counts per second of a pixel:
source, lens and sky together. Then the pixel of an image is drawn as

```text
T         = exposure * exposures                              seconds
electrons = Poisson((c * gain + dark) * T) + Normal(0, sqrt(exposures) * read_noise)
pixel     = electrons / (gain * T)                            counts per second
```

Images are usually distributed with the mean of sky and dark current subtracted. Where there is no source, the standard
deviation is

```text
background = sqrt((sky * gain + dark) * T + exposures * read_noise²) / (gain * T)
```

in counts per second. The column *background* gives it, computed by `droulette.instruments.background_noise`.
The column *5σ* is the magnitude of a point source whose flux is five times its error, where the background alone
makes the error and each pixel is weighted by a Gaussian of the preset's FWHM.

With a gain of 1, counts are electrons. The gain of a camera's own electronics (4 electrons per count for DES, 3.1
for Euclid) changes neither flux nor noise of an image in electrons; it is left out, because the published zero points
are those of one electron per second. The counts of NIRCam are MJy/sr, as in the pipeline's images.

`python benchmarks/simulation_api.py` puts flux and noise beside those of lenstronomy's SimulationAPI: with the same
numbers they are equal within 1e-4.
"""

DEPTH = """## Check against published depths

The published depth beside the same depth computed from the preset: same number of sigma, same aperture (its diameter;
*PSF* is a weighted point source). Loss of light outside the aperture is not computed.
"""

WHY = """
Most agree within 0.5 mag. These are computed 0.5 mag or more too deep; the likely reasons:

* HST F814W: the aperture of 0.24 holds only part of a point source's light.
* CFHTLS: the presets assume all exposures to be at the zenith under a grey sky. Airmass, brighter nights and the noise
  that resampling correlates are not modelled. For CFHTLenS's noise, make the sky brighter.
* JWST F277W and F444W: the aperture of 0.3 loses light, and flat-field and 1/f noise are not modelled.
"""

CHOICES = """
## Where tables differ

* Euclid: the detector's pixels are 0.101, mosaics are distributed with 0.1. The FWHM is 0.16 on sky (Q1); 0.18 was
  the requirement before launch, and galcheat has 0.17. galcheat's zero point, from the throughput before launch, is
  25.91; lenstronomy's 25.72 is of the first observations.
* Rubin: galcheat's zero points are 28.26, 28.10 and 27.78, at airmass 1.2.
* DES: galcheat computes zero points of 26.72, 26.99 and 26.86 from the throughput; lenstronomy's are used.
* HST F160W: lenstronomy's FWHM of 0.08 is the pixel's size, and its read noise of 4 electrons is less than the 12 of
  the WFC3 Instrument Handbook. Its time of 5400 s is two exposures here, one an orbit.
* NIRCam: lenstronomy's zero points are those of MJy/sr, though it calls them electrons, and its sky magnitudes belong
  to a pixel, though it calls them per square arcsecond: taken as they are called, the sky would be 28 to 31 mag per
  square arcsecond. The presets use the same numbers in their own units.
* Ground-based PSFs are Moffat profiles here and Gaussians in lenstronomy.

HST F606W and WFC3/UVIS have no preset: no published sky brightness for them was at hand.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *_numbers(), *_aliases(), NOISE, DEPTH, *_depths(), WHY, CHOICES, *_sources(), ""])


def _numbers() -> Iterator[str]:
    yield "## Numbers\n"
    yield "FWHM and pixels in arcseconds, exposures in seconds, read noise in electrons, dark current in electrons"
    yield "per second, zero point and sky in AB magnitudes (the sky's per square arcsecond), background in counts per"
    yield "second and pixel.\n"
    yield "| preset | pixel | PSF | FWHM | exposures | gain | read noise | dark | zero point | sky | background | 5σ |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    yield from (_row(name, preset) for name, preset in PRESETS.items())


def _row(name: str, preset: Preset) -> str:
    psf = preset.psf if preset.moffat_beta is None else f"{preset.psf}, β = {preset.moffat_beta}"
    fwhm = preset.psf_fwhm
    cells = [
        f"`{name}`",
        preset.pixel_scale,
        psf,
        f"{fwhm[0]} to {fwhm[1]}" if isinstance(fwhm, tuple) else fwhm,
        f"{preset.exposures} × {preset.exposure:g}",
        preset.gain,
        preset.read_noise,
        preset.dark,
        preset.zero_point,
        preset.sky_brightness,
        f"{background_noise(preset):.4f}",
        f"{limiting_magnitude(preset):.2f}",
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _aliases() -> Iterator[str]:
    yield "\nShort names: " + ", ".join(f"`{alias}` is `{name}`" for alias, name in ALIASES.items()) + "."


def _depths() -> Iterator[str]:
    yield "| preset | σ | aperture | published | computed | difference | published in |"
    yield "|---|---|---|---|---|---|---|"
    for name, depth in PUBLISHED.items():
        aperture = "PSF" if depth.aperture is None else f"{depth.aperture}″"
        computed = computed_depth(name)
        yield (
            f"| `{name}` | {depth.sigma} | {aperture} | {depth.magnitude} | {computed:.2f} "
            f"| {computed - depth.magnitude:+.2f} | {depth.source} |"
        )


def _sources() -> Iterator[str]:
    yield "## Sources"
    for names, source in _shared_sources():
        yield f"\n{', '.join(f'`{name}`' for name in names)}:\n"
        yield from (f"* `{number}`: {text}" for number, text in source.items())


def _shared_sources() -> list[tuple[list[str], dict[str, str]]]:
    """Presets beside each other that share all sources stand together."""
    shared: list[tuple[list[str], dict[str, str]]] = []
    for name, preset in PRESETS.items():
        if shared and shared[-1][1] == preset.source:
            shared[-1][0].append(name)
        else:
            shared.append(([name], preset.source))
    return shared


if __name__ == "__main__":
    print(page(), end="")
