"""Instruments by name: what a preset of `[instrument]` stands for.

`python -m droulette.instruments > docs/instruments.md` makes the page of them.
Counts are electrons: the zero point is the AB magnitude of one electron a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Preset:
    """pixel_scale, psf_fwhm: arcsec; psf_fwhm a range where it changes with the weather. exposure: s, of each of
    `exposures`. read_noise: electrons of one exposure. zero_point, magnitude: AB. sky_brightness: mag/arcsec².
    moffat_beta: None for a Gaussian. source: where the numbers come from. note: what to know of them.
    """

    title: str
    pixel_scale: float
    psf_fwhm: float | tuple[float, float]
    exposure: float
    exposures: int
    read_noise: float
    zero_point: float
    sky_brightness: float
    source: str
    moffat_beta: float | None = None
    note: str = ""

    def background(self) -> float:
        """Sky, electrons a second in a pixel."""
        return counts_of(self.sky_brightness, self.zero_point) * self.pixel_scale**2

    def noise(self) -> float:
        """Standard deviation of the background in a pixel, electrons a second."""
        seconds = self.exposure * self.exposures
        return sqrt(self.background() / seconds + self.exposures * self.read_noise**2 / seconds**2)


def counts_of(magnitude: float, zero_point: float) -> float:
    """Counts a second: 10^(0.4 (zero point − m))."""
    return 10 ** (0.4 * (zero_point - magnitude))


LENSTRONOMY = "lenstronomy 1.14.2, SimulationAPI/ObservationConfig"
SEEING = (0.6, 1.0)
_RUBIN = f"{LENSTRONOMY}/LSST.py: 10 years of visits of 2 × 15 s, and its camera; LSST Science Book, table 2.1"
_DES = f"{LENSTRONOMY}/DES.py and its camera; Abbott et al. 2018, ApJS 239, 18"
_JWST = f"{LENSTRONOMY}/JWST.py, COSMOS-Web; PSF and read noise of JDox, NIRCam"
_JWST_SKY = (
    "lenstronomy's sky (28 to 31) agrees with the ETC's 0.1 to 0.2 electrons a second in a pixel only if it is the "
    "magnitude of a pixel; here it is that of a square arcsecond"
)
_ROUND = "zero point and sky are round numbers of the observatory's pages, good to some 0.2 mag, not of a table"
_HSC = "Aihara et al. 2018, PASJ 70, S4 (exposures, seeing, pixel); Komiyama et al. 2018, PASJ 70, S2 (read noise)"
_CFHT = "CFHTLS T0007 (Hudelot et al. 2012): exposures, seeing, pixel; MegaCam handbook: read noise, zero points, sky"
_MEGACAM = (_CFHT, 3.0, _ROUND)
_ROMAN = f"{LENSTRONOMY}/Roman.py, high-latitude wide-area survey"

PRESETS: dict[str, Preset] = {
    "hst-acs-f814w": Preset(
        "HST ACS/WFC F814W, drizzled", 0.05, 0.10, 507, 4, 4.2, 25.94, 22.1,
        "COSMOS: Koekemoer et al. 2007, ApJS 172, 196 (exposures, PSF, drizzled to 0.05″); ACS Data Handbook (zero "
        "point, read noise); ACS Instrument Handbook, table 9.3 (sky, average zodiacal light)",
        note="drizzled noise is correlated between pixels; here it is not",
    ),
    "hst-acs-f606w": Preset(
        "HST ACS/WFC F606W, drizzled", 0.05, 0.10, 530, 4, 4.2, 26.49, 22.5,
        "ACS Data Handbook (zero point, read noise); ACS Instrument Handbook, table 9.3 (sky)",
    ),
    "hst-wfc3-f160w": Preset(
        "HST WFC3/IR F160W, drizzled", 0.08, 0.15, 5400, 1, 4, 25.96, 22.3,
        f"{LENSTRONOMY}/HST.py and its camera; PSF before drizzling: Windhorst et al. 2011, ApJS 193, 27",
        note="lenstronomy's table has a PSF of 0.08″, its pixel; the optics give 0.15″",
    ),
    "euclid-vis": Preset(
        "Euclid VIS", 0.1, 0.16, 566, 4, 4.2, 25.72, 22.3,
        f"{LENSTRONOMY}/Euclid.py; Cropper et al. 2025, A&A 697, A2",
        note="lenstronomy's pixel is the detector's 0.101″; stacked pictures have 0.1″",
    ),
    "rubin-g": Preset(
        "Rubin LSSTCam g, ten years", 0.2, SEEING, 15, 200, 10, 28.30, 22.26, _RUBIN, 3.0
    ),
    "rubin-r": Preset("Rubin LSSTCam r, ten years", 0.2, SEEING, 15, 460, 10, 28.13, 21.2, _RUBIN, 3.0),
    "rubin-i": Preset("Rubin LSSTCam i, ten years", 0.2, SEEING, 15, 460, 10, 27.79, 20.48, _RUBIN, 3.0),
    "des-g": Preset("DES DECam g", 0.263, (0.9, 1.3), 90, 10, 7, 26.58, 22.01, _DES, 3.0),
    "des-r": Preset("DES DECam r", 0.263, (0.8, 1.1), 90, 10, 7, 26.78, 21.15, _DES, 3.0),
    "des-i": Preset("DES DECam i", 0.263, (0.7, 1.1), 90, 10, 7, 26.75, 19.89, _DES, 3.0),
    "jwst-nircam-f115w": Preset("JWST NIRCam F115W", 0.031, 0.040, 257, 8, 15.77, 28.02, 23.42, _JWST, note=_JWST_SKY),
    "jwst-nircam-f150w": Preset("JWST NIRCam F150W", 0.031, 0.050, 257, 8, 15.77, 28.02, 22.42, _JWST, note=_JWST_SKY),
    "jwst-nircam-f277w": Preset("JWST NIRCam F277W", 0.063, 0.092, 257, 8, 13.25, 26.49, 22.96, _JWST, note=_JWST_SKY),
    "jwst-nircam-f444w": Preset("JWST NIRCam F444W", 0.063, 0.145, 257, 8, 13.25, 26.49, 22.15, _JWST, note=_JWST_SKY),
    "hsc-g": Preset("Subaru HSC g, wide layer", 0.168, (0.6, 0.95), 150, 4, 4.5, 29.0, 22.1, _HSC, 3.0, _ROUND),
    "hsc-r": Preset("Subaru HSC r, wide layer", 0.168, (0.55, 0.9), 150, 4, 4.5, 29.0, 21.1, _HSC, 3.0, _ROUND),
    "hsc-i": Preset("Subaru HSC i, wide layer", 0.168, (0.5, 0.75), 200, 6, 4.5, 28.7, 20.0, _HSC, 3.0, _ROUND),
    "cfht-megacam-g": Preset("CFHT MegaCam g, wide", 0.187, (0.7, 1.0), 500, 5, 5, 26.96, 21.9, *_MEGACAM),
    "cfht-megacam-r": Preset("CFHT MegaCam r, wide", 0.187, (0.6, 0.9), 500, 2, 5, 26.47, 20.9, *_MEGACAM),
    "cfht-megacam-i": Preset("CFHT MegaCam i, wide", 0.187, (0.55, 0.85), 615, 7, 5, 26.24, 20.0, *_MEGACAM),
    "roman-f158": Preset("Roman WFI F158", 0.11, 0.128, 107, 5, 16, 26.3760, 23.10, _ROMAN),
}  # fmt: skip
SHORT = {
    "hst": "hst-acs-f814w",
    "euclid": "euclid-vis",
    "rubin": "rubin-i",
    "lsst": "rubin-i",
    "des": "des-i",
    "jwst": "jwst-nircam-f150w",
    "hsc": "hsc-i",
    "cfht": "cfht-megacam-i",
    "roman": "roman-f158",
}


def keys_of(name: str) -> dict[str, object]:
    """The keys of [instrument] that a preset stands for. Raises KeyError, with the known names, if there is none."""
    preset = PRESETS.get(SHORT.get(name, name))
    if preset is None:
        raise KeyError(", ".join([*SHORT, *PRESETS]))
    keys: dict[str, object] = {
        "pixel-scale": preset.pixel_scale,
        "psf": "moffat" if preset.moffat_beta else "gaussian",
        "psf-unit": "arcsec",
        "sky-brightness": preset.sky_brightness,
        "exposure": preset.exposure,
        "exposures": preset.exposures,
        "read-noise": preset.read_noise,
        "zero-point": preset.zero_point,
    }
    if preset.moffat_beta:
        keys["moffat-beta"] = preset.moffat_beta
    if isinstance(preset.psf_fwhm, tuple):
        keys |= {"psf-fwhm-min": preset.psf_fwhm[0], "psf-fwhm-max": preset.psf_fwhm[1]}
    else:
        keys["psf-fwhm"] = preset.psf_fwhm
    return keys


HEAD = """\
# Instruments

<!-- Made by `python -m droulette.instruments > docs/instruments.md`; edit droulette/instruments.py instead. -->

`preset = "euclid-vis"` in `[instrument]` stands for the keys of a line of this table; a key that you give takes the
place of the preset's. Counts are electrons. The noise is that of the sky and of reading, in a pixel of the finished
picture: √(sky / T + N r² / T²), where T is the time of all N exposures, and r the read noise.
[Telescopes](telescope.md) says how a picture is made of these numbers. They describe typical pictures: for yours, take
the numbers of its header.

"""
COLUMNS = (
    "preset", "instrument", "pixel, ″", "FWHM, ″", "profile", "exposures, s", "read noise, e⁻", "zero point",
    "sky, mag/″²", "sky, e⁻/s", "noise, e⁻/s",
)  # fmt: skip


def page() -> str:
    """docs/instruments.md."""
    rows, notes, sources = [], [], []
    for name, preset in PRESETS.items():
        width = preset.psf_fwhm
        width = f"{width[0]:g} to {width[1]:g}" if isinstance(width, tuple) else f"{width:g}"
        profile = f"Moffat, β = {preset.moffat_beta:g}" if preset.moffat_beta else "Gaussian"
        cells = [
            f"`{name}`", preset.title, f"{preset.pixel_scale:g}", width, profile,
            f"{preset.exposures} × {preset.exposure:g}", f"{preset.read_noise:g}", f"{preset.zero_point:.2f}",
            f"{preset.sky_brightness:.2f}", f"{preset.background():.3g}", f"{preset.noise():.3g}",
        ]  # fmt: skip
        rows.append(_line(cells))
        sources.append(f"* `{name}`: {preset.source}.")
        if preset.note:
            notes.append(f"* `{name}`: {preset.note}.")
    short = ", ".join(f"`{name}` is `{whole}`" for name, whole in SHORT.items())
    table = "\n".join([_line(COLUMNS), "|" + "---|" * len(COLUMNS), *rows])
    parts = [HEAD + table, f"Short names: {short}."]
    parts += ["## Notes", "\n".join(notes), "## Sources", "\n".join(sources)]
    return "\n\n".join(parts) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print(page(), end="")
