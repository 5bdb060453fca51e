"""A point-spread function: of odd sides, about its middle, of sum 1, and how wide it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.optimize import least_squares

from droulette.errors import UserError
from droulette.observing.fits_files import PSF, Plane, read_plane

LARGEST = 101  # px, side above which the rim is cut off
KEPT = 0.9999  # of the light, then
OFF = 0.5  # px between centre of light and middle that is worth a warning
CORE = 0.05  # of the peak: pixels above that make the centre of light, since a rim's noise has a long lever
GAUSSIAN = 50.0  # a Moffat function of this power is a Gaussian


def read_psf(text: str | Path) -> Plane:
    return read_plane(text, (PSF,))


def prepare_psf(plane: Plane) -> tuple[np.ndarray, float, list[str], list[str]]:
    """(kernel (h, w) with y down, its FWHM in px, steps, warnings). Raises UserError for what is no PSF."""
    steps: list[str] = []
    warned: list[str] = []
    kernel = plane.array.astype(np.float64)[::-1]
    found = f"{plane.label}: found {'×'.join(map(str, kernel.shape[::-1]))} numbers"
    if kernel.ndim != 2:
        raise UserError(f"{found}, expected a PSF's rows × columns")
    if lost := int((~np.isfinite(kernel)).sum()):
        warned.append(f"PSF: {lost} pixels are no finite number and were made 0")
        kernel = np.where(np.isfinite(kernel), kernel, 0.0)
    if not kernel.sum() > 0:
        raise UserError(f"{found} whose sum is {kernel.sum():g}, expected a PSF's, above 0")
    sides = kernel.shape
    if any(side % 2 == 0 for side in sides):
        kernel = _odd(kernel)
        steps.append(f"PSF of {_size(sides)} px made {_size(kernel.shape)}, its centre of light in the middle")
    if max(kernel.shape) > LARGEST:
        before = kernel.shape
        kernel = _cropped(kernel)
        if kernel.shape != before:
            steps.append(f"PSF of {_size(before)} px cropped to {_size(kernel.shape)}, {KEPT:.2%} of its light")
    off = np.hypot(*_off(kernel))
    if off > OFF:
        warned.append(f"PSF: its centre of light is {off:.1f} px from its middle: the model's light will be shifted")
    kernel = kernel / kernel.sum()
    width = fwhm(kernel)
    steps.append(f"PSF of {_size(kernel.shape)} px, FWHM {width:.2f} px")
    return kernel, width, steps, warned


def fwhm(kernel: np.ndarray) -> float:
    """Full width at half maximum, px, of the Moffat function that fits best, which may be all but a Gaussian.

    A fit, since the half-maximum contour of a kernel of 2 px depends on how one interpolates.
    """
    row, column = np.unravel_index(np.argmax(kernel), kernel.shape)
    area = np.count_nonzero(kernel > kernel.max() / 2)
    rough = 2 * np.sqrt(area / np.pi)
    reach = int(np.ceil(1.5 * rough)) + 1
    core = np.pad(kernel, reach)[row : row + 2 * reach + 1, column : column + 2 * reach + 1] / kernel.max()
    up, across = np.indices(core.shape) - reach

    def difference(parameters: np.ndarray) -> np.ndarray:
        peak, middle_up, middle_across, width, power = parameters
        squared = ((up - middle_up) ** 2 + (across - middle_across) ** 2) / (width / 2) ** 2
        return (peak * (1 + (2 ** (1 / power) - 1) * squared) ** -power - core).ravel()

    lower = [0.5, -1, -1, 0.1, 1.05]
    upper = [5, 1, 1, 4 * rough + 1, GAUSSIAN]
    found = least_squares(difference, [1, 0, 0, rough, 4], bounds=(lower, upper))
    return float(found.x[3])


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[0]}"


def _off(kernel: np.ndarray) -> tuple[float, float]:
    """(rows, columns) from the middle to the centre of light."""
    core = np.where(kernel > CORE * kernel.max(), kernel, 0)
    row, column = ndimage.center_of_mass(core)
    return row - (kernel.shape[0] - 1) / 2, column - (kernel.shape[1] - 1) / 2


def _odd(kernel: np.ndarray) -> np.ndarray:
    """Padded to odd sides, and moved by a part of a pixel where the centre of light lies between pixels."""
    padded = np.pad(kernel, [(0, 1 - side % 2) for side in kernel.shape])
    # A border of 0, so that nothing comes back in at the other side.
    border = 1 + int(np.ceil(np.abs(_off(padded)).max()))
    wide = np.pad(padded, border)
    shift = [-one for one in _off(wide)]
    whole = np.rint(shift)
    wide = np.roll(wide, whole.astype(int), axis=(0, 1))
    rest = shift - whole
    if np.abs(rest).max() > 0.01:
        wide = np.fft.ifftn(ndimage.fourier_shift(np.fft.fftn(wide), rest)).real
    return wide[border:-border, border:-border]


def _cropped(kernel: np.ndarray) -> np.ndarray:
    """The smallest square about the middle, of odd side, that holds KEPT of the light."""
    rows, columns = (side // 2 for side in kernel.shape)
    total = kernel.sum()
    for reach in range(1, max(rows, columns) + 1):
        part = kernel[max(rows - reach, 0) : rows + reach + 1, max(columns - reach, 0) : columns + reach + 1]
        if part.sum() >= KEPT * total:
            return part
    return kernel
