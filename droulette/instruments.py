"""Presets of telescopes and surveys, each number with its source, and the noise that follows from them.

docs/instruments.md is made from this by droulette/parameters/presets_reference.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

LENSTRONOMY = "lenstronomy 1.14.2, SimulationAPI/ObservationConfig"
GALCHEAT = "galcheat 1.1.3"
NUMBERS = (
    "pixel_scale", "psf", "psf_fwhm", "moffat_beta", "exposure", "exposures", "gain", "read_noise", "dark",
    "zero_point", "sky_brightness",
)  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """A camera, a filter and the exposures of one survey.

    pixel_scale: arcseconds.
    psf: "gaussian" or "moffat".
    psf_fwhm: arcseconds; a (low, high) pair where it varies.
    moffat_beta: exponent of the Moffat profile; None for a Gaussian.
    exposure: seconds of one exposure.
    exposures: number of exposures that are added up.
    gain: electrons per count.
    read_noise: electrons per pixel and exposure.
    zero_point: AB magnitude of one count per second.
    sky_brightness: AB magnitudes per square arcsecond.
    source: the reference of each number, by the number's name.
    dark: dark current, electrons per second and pixel.
    """

    pixel_scale: float
    psf: str
    psf_fwhm: float | tuple[float, float]
    moffat_beta: float | None
    exposure: float
    exposures: int
    gain: float
    read_noise: float
    zero_point: float
    sky_brightness: float
    source: dict[str, str] = field(hash=False, repr=False)
    dark: float = 0.0

    @property
    def total_exposure(self) -> float:
        """Seconds of all exposures together."""
        return self.exposure * self.exposures

    @property
    def typical_fwhm(self) -> float:
        """The full width at half maximum in arcseconds, in the middle of its range."""
        if isinstance(self.psf_fwhm, tuple):
            return sum(self.psf_fwhm) / 2
        return self.psf_fwhm


@dataclass(frozen=True)
class Depth:
    """A published depth: AB magnitude at this many sigma.

    aperture: diameter in arcseconds; None for a point source that is weighted by its PSF.
    """

    magnitude: float
    sigma: float
    aperture: float | None
    source: str


# ---------------------------------------------------------------- noise


def counts_per_second(magnitude: float, zero_point: float) -> float:
    """Counts per second of an AB magnitude."""
    return 10 ** (0.4 * (zero_point - magnitude))


def sky_per_pixel(preset: Preset) -> float:
    """The sky's counts per second in one pixel."""
    return counts_per_second(preset.sky_brightness, preset.zero_point) * preset.pixel_scale**2


def background_noise(preset: Preset) -> float:
    """Standard deviation of a pixel without sources, in counts per second: sky, dark current and read noise."""
    light = (sky_per_pixel(preset) * preset.gain + preset.dark) * preset.total_exposure
    read = preset.exposures * preset.read_noise**2
    return math.sqrt(light + read) / (preset.gain * preset.total_exposure)


def limiting_magnitude(preset: Preset, sigma: float = 5, aperture: float | None = None) -> float:
    """AB magnitude that the background noise hides up to `sigma`.

    aperture: diameter in arcseconds, whose flux counts in full; None for the best weight of a Gaussian point source,
    whose noise is that of 4π (FWHM/2.3548)² square arcseconds.
    """
    if aperture is None:
        area = 4 * math.pi * (preset.typical_fwhm / math.sqrt(8 * math.log(2))) ** 2
    else:
        area = math.pi * (aperture / 2) ** 2
    noise = background_noise(preset) * math.sqrt(area) / preset.pixel_scale
    return preset.zero_point - 2.5 * math.log10(sigma * noise)


# ---------------------------------------------------------------- the numbers

ELECTRONS = "counts are electrons, and the zero point is that of one electron per second"
GAUSSIAN = "approximation; the FWHM is what is published"
TRUJILLO = "Trujillo et al. 2001, MNRAS 328, 977: turbulence theory's profile is fitted by beta = 4.765"
NO_DARK = "not modelled: small beside the sky"


def _hst_f814w() -> Preset:
    cosmos = "Koekemoer et al. 2007, ApJS 172, 196 (COSMOS)"
    guide = "ACS Instrument Handbook, table 3.1"
    return Preset(
        pixel_scale=0.05,
        psf="gaussian",
        psf_fwhm=0.095,
        moffat_beta=None,
        exposure=507,
        exposures=4,
        gain=1,
        read_noise=4.7,
        dark=0.0161,
        zero_point=25.94,
        sky_brightness=22.0,
        source={
            "pixel_scale": f"{guide}: about 0.05 (COSMOS is drizzled to 0.03)",
            "psf": GAUSSIAN,
            "psf_fwhm": f"{cosmos}, section 5",
            "exposure": f"{cosmos}, section 2.2: 2028 s in four exposures",
            "exposures": f"{cosmos}, section 2.2",
            "gain": ELECTRONS,
            "read_noise": f"{guide}: 3.75 to 5.65, the middle",
            "dark": f"{guide}: 0.0161, of April 2025",
            "zero_point": f"{GALCHEAT}, COSMOS; GalSim's COSMOS catalogue",
            "sky_brightness": f"{GALCHEAT}, COSMOS",
        },
    )


def _hst_f160w() -> Preset:
    handbook = "WFC3 Instrument Handbook, section 9.6"
    return Preset(
        pixel_scale=0.08,
        psf="gaussian",
        psf_fwhm=0.15,
        moffat_beta=None,
        exposure=2700,
        exposures=2,
        gain=1,
        read_noise=12,
        zero_point=25.9463,
        sky_brightness=22.3,
        source={
            "pixel_scale": f"{LENSTRONOMY}/HST: drizzled",
            "psf": GAUSSIAN,
            "psf_fwhm": "Windhorst et al. 2011, ApJS 193, 27",
            "exposure": f"{LENSTRONOMY}/HST: about 2700 s in an orbit",
            "exposures": f"{LENSTRONOMY}/HST: two orbits, 5400 s",
            "gain": ELECTRONS,
            "read_noise": f"{handbook}: the effective read noise of a ramp of 16 reads",
            "dark": NO_DARK,
            "zero_point": f"{LENSTRONOMY}/HST, TDLMC; STScI's WFC3/IR zero points",
            "sky_brightness": f"{LENSTRONOMY}/HST",
        },
    )


def _euclid() -> Preset:
    table = f"{LENSTRONOMY}/Euclid"
    return Preset(
        pixel_scale=0.1,
        psf="gaussian",
        psf_fwhm=0.16,
        moffat_beta=None,
        exposure=566,
        exposures=4,
        gain=1,
        read_noise=4.2,
        zero_point=25.72,
        sky_brightness=22.3,
        source={
            "pixel_scale": "Laureijs et al. 2011, arXiv:1110.3193; mosaics are distributed at 0.1",
            "psf": GAUSSIAN,
            "psf_fwhm": "Euclid Quick Data Release Q1: VIS processing and data products, 2025",
            "exposure": f"{table}: Euclid Wide Survey",
            "exposures": f"{table}: Euclid Wide Survey",
            "gain": ELECTRONS,
            "read_noise": table,
            "dark": NO_DARK,
            "zero_point": f"{table}: arXiv:2405.13496",
            "sky_brightness": f"{table}: arXiv:2405.13496, table 2",
        },
    )


def _rubin(fwhm: tuple[float, float], exposures: int, zero_point: float, sky_brightness: float) -> Preset:
    table = f"{LENSTRONOMY}/LSST"
    ivezic = "Ivezić et al. 2019, ApJ 873, 111"
    return Preset(
        pixel_scale=0.2,
        psf="moffat",
        psf_fwhm=fwhm,
        moffat_beta=4.765,
        exposure=15,
        exposures=exposures,
        gain=1,
        read_noise=10,
        zero_point=zero_point,
        sky_brightness=sky_brightness,
        source={
            "pixel_scale": f"{ivezic}, table 1",
            "psf": "ground seeing has wings that a Gaussian lacks",
            "psf_fwhm": f"{ivezic}, table 2: median at the zenith, and times 1.2^0.6 at airmass 1.2 ({GALCHEAT}, LSST)",
            "moffat_beta": TRUJILLO,
            "exposure": f"{ivezic}, section 2: a visit is two exposures of 15 s",
            "exposures": f"{table}: twice the visits of ten years, {ivezic}, table 1",
            "gain": ELECTRONS,
            "read_noise": f"{table}: a requirement, reached with less",
            "dark": NO_DARK,
            "zero_point": table,
            "sky_brightness": f"{ivezic}, table 2",
        },
    )


def _des(fwhm: float, zero_point: float, sky_brightness: float) -> Preset:
    abbott = "Abbott et al. 2018, ApJS 239, 18 (DES DR1)"
    return Preset(
        pixel_scale=0.263,
        psf="moffat",
        psf_fwhm=fwhm,
        moffat_beta=4.765,
        exposure=90,
        exposures=10,
        gain=1,
        read_noise=7,
        zero_point=zero_point,
        sky_brightness=sky_brightness,
        source={
            "pixel_scale": f"{abbott}: 0.263",
            "psf": "ground seeing has wings that a Gaussian lacks",
            "psf_fwhm": f"{abbott}, table 1: median",
            "moffat_beta": TRUJILLO,
            "exposure": f"{abbott}, section 2.2",
            "exposures": f"{abbott}, section 2.2: ten in the full survey",
            "gain": ELECTRONS,
            "read_noise": f"{LENSTRONOMY}/DES",
            "dark": NO_DARK,
            "zero_point": f"{LENSTRONOMY}/DES",
            "sky_brightness": f"{abbott}, table 1",
        },
    )


def _hsc(fwhm: float, exposure: float, exposures: int, zero_point: float, sky_brightness: float) -> Preset:
    camera = "Subaru Telescope, HSC instrument parameters"
    aihara = "Aihara et al. 2022, PASJ 74, 247 (PDR3), table 1, Wide"
    return Preset(
        pixel_scale=0.168,
        psf="moffat",
        psf_fwhm=fwhm,
        moffat_beta=4.765,
        exposure=exposure,
        exposures=exposures,
        gain=1,
        read_noise=4.5,
        zero_point=zero_point,
        sky_brightness=sky_brightness,
        source={
            "pixel_scale": "HSC-SSP, survey page",
            "psf": "ground seeing has wings that a Gaussian lacks",
            "psf_fwhm": f"{aihara} ({GALCHEAT}, HSC)",
            "moffat_beta": TRUJILLO,
            "exposure": "Aihara et al. 2018, PASJ 70, S4: 150 s in g and r, 200 s in i",
            "exposures": f"{aihara}: 10 min in g and r, 20 min in i",
            "gain": ELECTRONS,
            "read_noise": camera,
            "dark": NO_DARK,
            "zero_point": f"{GALCHEAT}, HSC: from the throughput at airmass 1.2",
            "sky_brightness": f"{GALCHEAT}, HSC: Suprime-Cam exposure times, Subaru Telescope",
        },
    )


def _cfhtls(fwhm: float, exposure: float, exposures: int, zero_point: float, sky_brightness: float) -> Preset:
    page = "CFHT, MegaPrime/MegaCam general information"
    return Preset(
        pixel_scale=0.187,
        psf="moffat",
        psf_fwhm=fwhm,
        moffat_beta=4.765,
        exposure=exposure,
        exposures=exposures,
        gain=1,
        read_noise=5,
        zero_point=zero_point,
        sky_brightness=sky_brightness,
        source={
            "pixel_scale": page,
            "psf": "ground seeing has wings that a Gaussian lacks",
            "psf_fwhm": f"CFHTLS T0007, figure 25 ({GALCHEAT}, CFHTLS)",
            "moffat_beta": TRUJILLO,
            "exposure": f"CFHTLS T0007, table 31 ({GALCHEAT}, CFHTLS), shared out over the exposures",
            "exposures": "Erben et al. 2013, MNRAS 433, 2545",
            "gain": ELECTRONS,
            "read_noise": "Boulade et al. 2003, SPIE 4841, 72: less than 5, the upper bound",
            "dark": NO_DARK,
            "zero_point": f"{page} ({GALCHEAT}, CFHTLS)",
            "sky_brightness": f"{page}: grey sky ({GALCHEAT}, CFHTLS)",
        },
    )


def _nircam(long: bool, fwhm: float, mjy_sr: float, sky_in_pixel: float) -> Preset:
    """mjy_sr: PHOTMJSR, MJy/sr of one DN/s; sky_in_pixel: magnitudes of the sky in one pixel."""
    table = f"{LENSTRONOMY}/JWST"
    pixel_scale = 0.063 if long else 0.031
    detector_gain = 1.82 if long else 2.05
    return Preset(
        pixel_scale=pixel_scale,
        psf="gaussian",
        psf_fwhm=fwhm,
        moffat_beta=None,
        exposure=257,
        exposures=8,
        gain=round(detector_gain / mjy_sr, 4),
        read_noise=13.25 if long else 15.77,
        zero_point=26.49 if long else 28.02,
        sky_brightness=round(sky_in_pixel + 5 * math.log10(pixel_scale), 2),
        source={
            "pixel_scale": "JWST User Documentation, NIRCam Detectors",
            "psf": GAUSSIAN,
            "psf_fwhm": f"JWST User Documentation, NIRCam Point Spread Functions ({table})",
            "exposure": "Casey et al. 2023, ApJ 954, 31 (COSMOS-Web)",
            "exposures": f"{table}, COSMOS-Web",
            "gain": f"{detector_gain} electrons per DN ({table}) / PHOTMJSR {mjy_sr} MJy/sr per DN/s "
            "(jwst_1293.pmap, in grizli's jwst_zeropoints.yml): a count per second is 1 MJy/sr, as in *_i2d.fits",
            "read_noise": f"{table}: of two correlated reads, so an upper bound for a ramp",
            "dark": NO_DARK,
            "zero_point": "JWST User Documentation, NIRCam Absolute Flux Calibration and Zeropoints: "
            f"-6.10 - 2.5 log10(pixel in sr) ({table})",
            "sky_brightness": f"{table} (from the exposure time calculator): {sky_in_pixel} in one pixel",
        },
    )


def _roman(fwhm: float, zero_point: float, sky_brightness: float) -> Preset:
    table = f"{LENSTRONOMY}/Roman"
    return Preset(
        pixel_scale=0.11,
        psf="gaussian",
        psf_fwhm=fwhm,
        moffat_beta=None,
        exposure=107,
        exposures=6,
        gain=1,
        read_noise=8.5,
        dark=0.015,
        zero_point=zero_point,
        sky_brightness=sky_brightness,
        source={
            "pixel_scale": f"{table}; galsim.roman 2.8.5",
            "psf": GAUSSIAN,
            "psf_fwhm": f"{table}: roman.gsfc.nasa.gov, WFI technical",
            "exposure": f"{table}: High Latitude Wide Area Survey, medium tier",
            "exposures": f"{table}: High Latitude Wide Area Survey, medium tier",
            "gain": ELECTRONS,
            "read_noise": f"{table}; galsim.roman 2.8.5",
            "dark": "galsim.roman 2.8.5",
            "zero_point": f"{table}: Roman-STScI-000825, table 3",
            "sky_brightness": f"{table}: least zodiacal light, WFI technical",
        },
    )


PRESETS: dict[str, Preset] = {
    "hst-acs-f814w": _hst_f814w(),
    "hst-wfc3-f160w": _hst_f160w(),
    "euclid-vis": _euclid(),
    "rubin-g": _rubin((0.77, 0.86), 200, 28.30, 22.26),
    "rubin-r": _rubin((0.73, 0.81), 460, 28.13, 21.2),
    "rubin-i": _rubin((0.71, 0.79), 460, 27.79, 20.48),
    "des-g": _des(1.12, 26.58, 22.01),
    "des-r": _des(0.96, 26.78, 21.15),
    "des-i": _des(0.88, 26.75, 19.89),
    "hsc-g": _hsc(0.79, 150, 4, 28.90, 21.4),
    "hsc-r": _hsc(0.75, 150, 4, 28.86, 20.6),
    "hsc-i": _hsc(0.61, 200, 6, 28.61, 19.7),
    "cfhtls-g": _cfhtls(0.84, 500, 5, 27.11, 21.30),
    "cfhtls-r": _cfhtls(0.73, 500, 4, 26.74, 20.80),
    "cfhtls-i": _cfhtls(0.66, 615, 7, 26.22, 20.30),
    "jwst-nircam-f115w": _nircam(False, 0.04, 3.360, 30.96),
    "jwst-nircam-f150w": _nircam(False, 0.05, 2.447, 29.96),
    "jwst-nircam-f277w": _nircam(True, 0.092, 0.420, 28.96),
    "jwst-nircam-f444w": _nircam(True, 0.145, 0.371, 28.15),
    "roman-f106": _roman(0.087, 26.3546, 22.99),
    "roman-f129": _roman(0.106, 26.3531, 22.99),
    "roman-f158": _roman(0.128, 26.3760, 23.10),
}

ALIASES: dict[str, str] = {
    "hst": "hst-acs-f814w",
    "euclid": "euclid-vis",
    "rubin": "rubin-i",
    "lsst": "rubin-i",
    "des": "des-i",
    "hsc": "hsc-i",
    "cfht": "cfhtls-i",
    "cfhtls": "cfhtls-i",
    "jwst": "jwst-nircam-f150w",
    "roman": "roman-f129",
}

IVEZIC_DEPTH = "Ivezić et al. 2019, table 1, coadded"
DES_DEPTH = "Abbott et al. 2021, ApJS 255, 20 (DR2)"
HSC_DEPTH = "Aihara et al. 2022 (PDR3), table 1"
ERBEN_DEPTH = "Erben et al. 2013 (CFHTLenS)"
CASEY_DEPTH = "Casey et al. 2023 (COSMOS-Web)"
PUBLISHED: dict[str, Depth] = {
    "hst-acs-f814w": Depth(27.2, 5, 0.24, "Koekemoer et al. 2007"),
    "euclid-vis": Depth(25.6, 10, 1.3, "Euclid Q1: VIS processing and data products, 2025"),
    "rubin-g": Depth(27.4, 5, None, IVEZIC_DEPTH),
    "rubin-r": Depth(27.5, 5, None, IVEZIC_DEPTH),
    "rubin-i": Depth(26.8, 5, None, IVEZIC_DEPTH),
    "des-g": Depth(24.7, 10, 1.95, DES_DEPTH),
    "des-r": Depth(24.4, 10, 1.95, DES_DEPTH),
    "des-i": Depth(23.8, 10, 1.95, DES_DEPTH),
    "hsc-g": Depth(26.5, 5, None, HSC_DEPTH),
    "hsc-r": Depth(26.5, 5, None, HSC_DEPTH),
    "hsc-i": Depth(26.2, 5, None, HSC_DEPTH),
    "cfhtls-g": Depth(25.58, 5, 2.0, ERBEN_DEPTH),
    "cfhtls-r": Depth(24.88, 5, 2.0, ERBEN_DEPTH),
    "cfhtls-i": Depth(24.54, 5, 2.0, ERBEN_DEPTH),
    "jwst-nircam-f115w": Depth(27.45, 5, 0.3, CASEY_DEPTH),
    "jwst-nircam-f150w": Depth(27.66, 5, 0.3, CASEY_DEPTH),
    "jwst-nircam-f277w": Depth(28.28, 5, 0.3, CASEY_DEPTH),
    "jwst-nircam-f444w": Depth(28.17, 5, 0.3, CASEY_DEPTH),
}


def computed_depth(name: str) -> float:
    """The limiting magnitude of a preset at the published depth's sigma and aperture."""
    depth = PUBLISHED[name]
    return limiting_magnitude(PRESETS[name], depth.sigma, depth.aperture)


# ---------------------------------------------------------------- in [instrument]


def keys_of(name: str) -> dict[str, object]:
    """The keys of [instrument] that a preset stands for. Raises KeyError, with the known names, if there is none."""
    preset = PRESETS.get(ALIASES.get(name, name))
    if preset is None:
        raise KeyError(", ".join([*ALIASES, *PRESETS]))
    keys: dict[str, object] = {
        "pixel-scale": preset.pixel_scale,
        "psf": preset.psf,
        "psf-unit": "arcsec",
        "exposure": preset.exposure,
        "exposures": preset.exposures,
        "gain": preset.gain,
        "read-noise": preset.read_noise,
        "zero-point": preset.zero_point,
    }
    if preset.dark:  # a background like the sky's, though not light
        keys["background"] = sky_per_pixel(preset) + preset.dark / preset.gain
    else:
        keys["sky-brightness"] = preset.sky_brightness
    if preset.moffat_beta:
        keys["moffat-beta"] = preset.moffat_beta
    if isinstance(preset.psf_fwhm, tuple):
        return keys | {"psf-fwhm-min": preset.psf_fwhm[0], "psf-fwhm-max": preset.psf_fwhm[1]}
    return keys | {"psf-fwhm": preset.psf_fwhm}
