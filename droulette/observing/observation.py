"""`observe`: a FITS picture with its noise, PSF and mask, made into arrays that a model can be shown."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from droulette.errors import UserError
from droulette.observing import fits_files
from droulette.observing.coordinates import SQUARE, pixel_scale, read_wcs
from droulette.observing.fits_files import NOISES, PICTURE, PSF, QUALITY, WEIGHT, Plane
from droulette.observing.masks import read_mask
from droulette.observing.psf import prepare_psf, read_psf

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from droulette.observing.light import Light, Objects

AGREES = 1.5  # factor between given and measured noise
ERRORS = 3.0  # standard errors from which a background is subtracted
BRIGHT = 5.0  # times the noise: pixels that tell the noise of the light itself
AROUND = 3  # px by which the object's patches are widened for its centre of light, and the neighbours' for the mask
MUCH_BAD = 0.1  # share of the object's light
LITTLE_BACKGROUND = 0.1  # share of the pixels
ROUNDING = 1e-9  # of the brightest pixel: what is less is no noise
FLAT = 5  # pixels at the very same greatest value are saturated
EMPTY = 0.01  # share of the picture that, 0 throughout and at the rim, is taken for no data
ELECTRONS = {"ELECTRON", "ELECTRONS", "E", "E-", "ELEC", "PHOTON", "PHOTONS"}
COUNTS = {"COUNT", "COUNTS", "ADU", "DN", "CTS"}
PER_SECOND = ("/S", "/SEC", "/SECOND", " S-1", ".S-1", "*S-1", " S**-1", " S^-1")


@dataclass
class Observation:
    """A picture of one object. Rows count from above: y is down.

    values: (H, W) float64, without background; bad pixels inside the object are interpolated, others are 0.
    bad: (H, W) bool: flagged, masked, without a finite value or noise, or light of neighbours.
    noise_map: (H, W) float64, 1-sigma, where one was given. noise: 1-sigma of the background.
    poisson: variance for each unit of light, so that noise_i² = noise² + poisson · max(value, 0).
    psf: (h, w) float64, odd sides, sum 1. psf_fwhm: px. pixel_scale: arcsec.
    wcs: celestial, of the FITS array, whose rows count from below.
    centre: (column, row) in `values`, from 0 at the middle of the first pixel, of the object's centre of light.
    signal_to_noise: of the object's detected pixels together.
    object_pixels, neighbour_pixels: (H, W) bool: where light was detected.
    outlying_pixels: those that are in doubt, see `light.Objects`.
    whole: (H, W) float64: `values` with the light of neighbours.
    middle: (column, row) where the object was looked for.
    """

    name: str
    values: np.ndarray
    bad: np.ndarray
    noise_map: np.ndarray | None
    noise: float
    poisson: float
    psf: np.ndarray | None
    psf_fwhm: float | None
    pixel_scale: float | None
    wcs: WCS | None
    centre: tuple[float, float]
    signal_to_noise: float
    steps: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    object_pixels: np.ndarray | None = None
    neighbour_pixels: np.ndarray | None = None
    outlying_pixels: np.ndarray | None = None
    whole: np.ndarray | None = None
    middle: tuple[float, float] | None = None


def observe(
    picture: str | Path | np.ndarray,
    *,
    noise: str | Path | None = None,
    psf: str | Path | None = None,
    mask: str | Path | None = None,
    at: tuple[float, float] | None = None,
    outlying: bool | None = None,
    name: str | None = None,
) -> Observation:
    """Read a FITS picture and what belongs to it, and find the object in it.

    picture, noise, psf, mask: FITS files, also packed by gzip or fpack, with an extension as in `file.fits[SCI,2]`.
    picture may be an array (H, W), rows from above, and `name` what messages call it.
    noise: standard deviations, or what the extension's name says: VAR, IVAR, WHT. mask: not 0 where bad, or a DS9
    region file. at: (column, row) of the object in `Observation.values`, by default the picture's middle.
    outlying: whether light between a third and half of the picture's side from there is the object's; None: if it has a
    counter image, see `light.share_out`.
    What is not given is taken from the picture's own file, where extensions of one set hold it.

    Raises:
        UserError: what cannot be read, does not fit, or holds no light.
    """
    if isinstance(picture, np.ndarray):
        planes = {PICTURE: fits_files.plane_of(picture[::-1], name or "picture")}
    else:
        planes = fits_files.read_set(picture)
    if noise is not None:
        planes = {role: plane for role, plane in planes.items() if role not in NOISES}
        given = fits_files.read_plane(noise, NOISES)
        planes[given.role if given.role in NOISES else NOISES[0]] = given
    if psf is not None:
        planes[PSF] = read_psf(psf)
    reading = _Reading(name or str(picture), planes)
    if not isinstance(picture, np.ndarray):
        reading.steps.append("rows turned over (FITS counts them from below)")
    return reading.observation(mask, at, outlying)


class _Reading:
    """What is known so far of a picture; each method adds to it."""

    def __init__(self, name: str, planes: dict[str, Plane]):
        self.name = name
        self.planes = planes
        self.steps: list[str] = []
        self.warnings: list[str] = []
        self.plane = planes[PICTURE]
        found = "×".join(map(str, self.plane.array.shape[::-1]))
        if self.plane.array.ndim != 2 or min(self.plane.array.shape) < 2:
            raise UserError(f"{self.plane.label}: found {found} numbers, expected one picture of rows × columns")
        self.values = self.plane.array.astype(np.float64)[::-1].copy()
        self.shape = self.values.shape
        if len(planes) > 1 or self.plane.number:
            roles = ", ".join(f"{role} {plane.label}" for role, plane in planes.items())
            self.steps.append(f"read {roles}")

    def observation(
        self, mask: str | Path | None, at: tuple[float, float] | None, outlying: bool | None
    ) -> Observation:
        # Only now: photutils takes a second to import, which pictures without it need not wait for.
        from droulette.observing.light import share_out

        middle = self._middle(at)
        wcs, scale = self._coordinates()
        self.bad = self._bad(mask, wcs)
        kernel, psf_fwhm = self._psf()
        noise_map = self._noise_map()
        light, noise_map = self._background(noise_map, psf_fwhm)
        found = share_out(light, middle, outlying)
        if not found.object.any():
            column, row = middle
            raise UserError(
                f"{self.name}: found no light above 3 sigma near column {column:g}, row {row:g}, expected a galaxy"
            )
        noise, poisson, noise_map = self._noise(noise_map, light, found)
        flagged, before = self.bad.copy(), self.values.copy()
        self._mask_neighbours(found)
        self._fill(found)
        whole = np.where(self.bad & ~flagged, before, self.values)
        centre = self._centre(found)
        errors = noise_map if noise_map is not None else np.sqrt(noise**2 + poisson * np.maximum(self.values, 0))
        seen = found.object & ~self.bad
        ratio = float(np.sqrt(np.sum((self.values[seen] / errors[seen]) ** 2)))
        self.steps.append(f"object of {int(seen.sum())} pixels, signal to noise {ratio:.0f}")
        return Observation(
            self.name, self.values, self.bad, noise_map, noise, poisson, kernel, psf_fwhm, scale, wcs, centre, ratio,
            self.steps, self.warnings, found.object, found.neighbours, found.outlying, whole, middle,
        )  # fmt: skip

    def _middle(self, at: tuple[float, float] | None) -> tuple[float, float]:
        height, width = self.shape
        if at is None:
            return (width - 1) / 2, (height - 1) / 2
        column, row = at
        if not (-0.5 <= column <= width - 0.5 and -0.5 <= row <= height - 0.5):
            raise UserError(f"{self.name}: found no pixel at column {column:g}, row {row:g}: it has {width}×{height}")
        return column, row

    def _coordinates(self) -> tuple[WCS | None, float | None]:
        wcs = read_wcs(self.plane.header)
        if wcs is None:
            self.steps.append("no world coordinates")
            return None, None
        scale, ratio = pixel_scale(wcs)
        self.steps.append(f"pixel scale {scale:.4g} arcsec")
        if ratio > 1 + SQUARE:
            self.warnings.append(f"its pixels are not square: one side is {ratio - 1:.1%} longer")
        return wcs, scale

    def _bad(self, mask: str | Path | None, wcs: WCS | None) -> np.ndarray:
        parts = {"that are no finite number": ~np.isfinite(self.values)}
        if QUALITY in self.planes:
            parts["flagged"] = self._fitting(QUALITY) != 0
        if WEIGHT in self.planes:
            values = self._fitting(WEIGHT)
            parts["of no weight"] = ~(np.isfinite(values) & (values > 0))
        for role in NOISES[:3]:
            if role in self.planes:
                values = self._fitting(role)
                parts["without a finite noise above 0"] = ~(np.isfinite(values) & (values > 0))
        if mask is not None:
            masked, said = read_mask(mask, self.shape, wcs)
            parts["masked"] = masked[::-1]
            self.warnings += said
        if not any(role in self.planes for role in NOISES):
            parts["without data, exactly 0"] = self._empty(parts["that are no finite number"])
        bad = np.zeros(self.shape, bool)
        for what, part in parts.items():
            if part.any():
                self.steps.append(f"{int(part.sum()):,} pixels {what}")
            bad |= part
        if bad.all():
            raise UserError(f"{self.name}: found no pixel with data: all are masked, flagged or no finite number")
        self.values[bad] = 0
        return bad

    def _fitting(self, role: str) -> np.ndarray:
        """A plane beside the picture, of its shape, rows from above."""
        plane = self.planes[role]
        if plane.array.shape != self.shape:
            found, expected = ("×".join(map(str, shape[::-1])) for shape in (plane.array.shape, self.shape))
            raise UserError(f"{plane.label}: found {role} of {found} pixels, expected {expected} as {self.plane.label}")
        return plane.array[::-1].astype(np.float64)

    def _empty(self, lost: np.ndarray) -> np.ndarray:
        """Regions at the rim that are 0 throughout, as surveys fill what they did not see."""
        zero = (self.values == 0) & ~lost
        none = np.zeros(self.shape, bool)
        rest = self.values[~lost & ~zero]
        if not zero.any() or not rest.size or np.array_equal(rest, np.rint(rest)):  # counts may well be 0
            return none
        if not (rest < 0).any() and rest.min() < 0.1 * np.median(rest):  # light without noise, that ends at 0
            return none
        labels, count = ndimage.label(zero)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        at_rim = np.unique(rim[rim > 0])
        large = at_rim[sizes[at_rim] > EMPTY * zero.size]
        return np.isin(labels, large)

    def _psf(self) -> tuple[np.ndarray | None, float | None]:
        if PSF not in self.planes:
            return None, None
        kernel, width, steps, warned = prepare_psf(self.planes[PSF])
        self.steps += steps
        self.warnings += warned
        return kernel, width

    def _noise_map(self) -> np.ndarray | None:
        """1-sigma from whatever kind of noise there is; where bad, the median. A weight's as if it were 1/variance."""
        role = next((role for role in NOISES if role in self.planes), None)
        if role is None:
            return None
        values = np.where(self.bad, 1.0, self._fitting(role))
        if role == "sigma":
            found = values
        elif role == "variance":
            found = np.sqrt(values)
        else:
            found = 1 / np.sqrt(values)
        self.noise_role = role
        return np.where(self.bad, np.median(found[~self.bad]), found)

    def _background(self, noise_map: np.ndarray | None, psf_fwhm: float | None) -> tuple[Light, np.ndarray | None]:
        """Measure background and noise, and subtract the background; a weight becomes a noise map."""
        from droulette.observing.light import measure

        assumed = np.ones(self.shape) if noise_map is None else noise_map
        light = measure(self.values, ~self.bad, assumed, psf_fwhm)
        typical = float(np.median(assumed[light.background]))
        measured = light.factor * typical
        said = f"background {light.level:.4g}, noise {measured:.4g} measured from {light.pixels:,} pixels"
        standard_error = max(measured, 0 if noise_map is None else typical) * 1.2533 / np.sqrt(light.pixels)
        if abs(light.level) > ERRORS * standard_error:
            self.values[~self.bad] -= light.level
            said += ": background subtracted"
        self.steps.append(said)
        if light.pixels < LITTLE_BACKGROUND * self.values.size:
            share = light.pixels / self.values.size
            self.warnings.append(f"only {share:.0%} of its pixels are background: cut out a larger picture")
        agrees = 1 / AGREES <= light.factor <= AGREES
        if noise_map is None:
            if not measured > ROUNDING * np.abs(self.values).max():
                raise UserError(f"{self.name}: found no noise in its background, expected some, or a noise map")
        elif self.noise_role == WEIGHT:
            if agrees:
                self.steps.append("weights taken as 1/variance, with which the measured noise agrees")
            elif light.factor > 0:
                noise_map = noise_map * light.factor
                self.steps.append("weights taken as relative, scaled by the measured noise")
        elif not agrees:
            self.warnings.append(
                f"its noise map says {typical:.4g} where the noise of its background measures {measured:.4g}"
            )
        return light, noise_map

    def _noise(
        self, noise_map: np.ndarray | None, light: Light, found: Objects
    ) -> tuple[float, float, np.ndarray | None]:
        """(noise of the background, variance for each unit of light, noise map)."""
        by_header, why = self._poisson_of_header()
        if noise_map is None:
            self.steps.append(f"noise of the light itself {why}")
            return light.factor, by_header, None
        noise = float(np.median(noise_map[light.background]))
        poisson = self._fitted_poisson(noise_map, noise, light, found)
        if self.noise_role == WEIGHT and poisson < 0.1 * by_header:
            # Weights of drizzled pictures count exposure and sky, not the light of what is seen.
            detected = np.where(light.segments > 0, np.maximum(light.smooth, 0), 0)
            noise_map = np.sqrt(noise_map**2 + by_header * detected)
            self.steps.append(f"noise of the light itself, which weights leave out, {why}")
            poisson = by_header
        self.steps.append(f"noise {noise:.4g} and {poisson:.4g} of variance for each unit of light, by the noise map")
        return noise, poisson, noise_map

    def _fitted_poisson(self, noise_map: np.ndarray, noise: float, light: Light, found: Objects) -> float:
        """Slope of the map's variance over the light, both smoothed alike so that the light's noise matters less."""
        variance = ndimage.uniform_filter(noise_map**2, AROUND)
        value = ndimage.uniform_filter(self.values, AROUND)
        lit = (found.object | found.neighbours) & ~ndimage.binary_dilation(self.bad)
        bright = lit & (value > min(BRIGHT * noise, np.quantile(value[lit], 0.75) if lit.any() else 0)) & (value > 0)
        if not bright.any():
            return 0.0
        slope = np.sum((variance[bright] - noise**2) * value[bright]) / np.sum(value[bright] ** 2)
        return max(float(slope), 0.0)

    def _poisson_of_header(self) -> tuple[float, str]:
        unit = str(self.plane.card("BUNIT") or "").strip().upper()
        exposure = _positive(self.plane.card("EXPTIME", "TEXPTIME", "EXPOSURE"))
        gain = _positive(self.plane.card("GAIN", "EGAIN", "CCDGAIN"))
        is_rate = unit.endswith(PER_SECOND)
        base = unit
        for ending in PER_SECOND:
            base = base.removesuffix(ending)
        base = base.strip()
        unknown = "is not known from its header and taken as 0"
        if base in ELECTRONS:
            per_unit = 1.0
        elif base in COUNTS and gain:
            per_unit = gain
        else:
            return 0.0, unknown
        if is_rate and not exposure:
            return 0.0, unknown
        seconds = exposure if is_rate else 1.0
        cards = f"BUNIT {unit.lower()}"
        if base in COUNTS:
            cards += f", GAIN {gain:g}"
        if is_rate:
            cards += f", EXPTIME {exposure:g}"
        found = 1 / (per_unit * seconds)
        return found, f"{found:.4g} of variance for each unit, by {cards}"

    def _mask_neighbours(self, found: Objects) -> None:
        if not found.count:
            return
        around = ndimage.binary_dilation(found.neighbours, iterations=AROUND)
        around &= ~ndimage.binary_dilation(found.object)
        around |= found.neighbours
        self.bad |= around
        self.values[around] = 0
        neighbours = "neighbour" if found.count == 1 else "neighbours"
        self.steps.append(f"{found.count} {neighbours} masked, over {found.radius:.0f} px from the middle")

    def _fill(self, found: Objects) -> None:
        """Interpolate bad pixels inside the object."""
        zone = ndimage.binary_dilation(found.object, iterations=AROUND)
        holes = self.bad & zone & ~found.neighbours
        saturated = self._saturated(found)
        if saturated:
            self.warnings.append(f"{saturated} of the object's pixels are saturated")
        count = int(holes.sum())
        if not count:
            return
        from astropy.convolution import Gaussian2DKernel, interpolate_replace_nans

        rows, columns = np.nonzero(zone)
        window = (
            slice(max(rows.min() - AROUND, 0), rows.max() + AROUND + 1),
            slice(max(columns.min() - AROUND, 0), columns.max() + AROUND + 1),
        )
        part = np.where(holes[window], np.nan, self.values[window])
        with warnings.catch_warnings(action="ignore"):  # of holes larger than the kernel, filled by the next one
            for width in (1, 2, 4, 8):
                part = interpolate_replace_nans(part, Gaussian2DKernel(width), boundary="extend")
                if np.isfinite(part).all():
                    break
        self.values[window] = np.nan_to_num(part)
        self.steps.append(f"{count} bad pixels inside the object interpolated")
        light = np.maximum(self.values, 0)
        share = light[holes & found.object].sum() / max(light[found.object].sum(), 1e-300)
        if share > MUCH_BAD:
            self.warnings.append(f"{share:.0%} of the object's light lies in bad pixels and is interpolated")

    def _saturated(self, found: Objects) -> int:
        """The object's pixels at the header's limit, or, several, at the very same greatest value."""
        values = self.plane.array[::-1][found.object]
        values = values[np.isfinite(values)]
        if not values.size:
            return 0
        limit = _positive(self.plane.card("SATURATE", "SATLEVEL"))
        if limit:
            return int((values >= limit).sum())
        count = int((values == values.max()).sum())
        is_faint = values.dtype.kind in "bui" and values.max() < 100  # few counts are the same by chance
        return 0 if count < FLAT or is_faint else count

    def _centre(self, found: Objects) -> tuple[float, float]:
        zone = ndimage.binary_dilation(found.object, iterations=AROUND) & ~self.bad
        values = np.where(zone, self.values, 0)
        if not values.sum() > 0:
            values = np.where(found.object, np.maximum(self.values, 0), 0)
        row, column = ndimage.center_of_mass(values)
        rim = np.concatenate([found.object[0], found.object[-1], found.object[:, 0], found.object[:, -1]])
        if rim.any():
            self.warnings.append("the object reaches the picture's edge: cut out a larger picture")
        return float(column), float(row)


def _positive(card: object) -> float | None:
    try:
        found = float(card)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) and found > 0 else None
