"""Columns of a table that say what takes its pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from droulette.physics.elementary import cosine_and_sine, exp
from droulette.physics.lenses import LENSES
from droulette.pipeline.picture_files import FITS, files_of
from droulette.pipeline.scenes import NEIGHBOUR, constituent_text
from droulette.pipeline.streams import Streams
from droulette.quantities import LENS_LIGHT, NEIGHBOURS

if TYPE_CHECKING:
    from droulette.parameters.simulation import Instrument, LensLight, Neighbours

LEAST_AXIS_RATIO = 0.1  # of lens light


def observed_columns(
    streams: Streams, instrument: Instrument, light: LensLight, columns: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The columns of [instrument] and [lens_light]. columns: those of the lens."""

    def drawn(name: str, default: float | None = None) -> np.ndarray | None:
        distribution = getattr(instrument, name)
        if distribution is not None:
            return streams.draw(f"instrument.{name}", distribution)
        return None if default is None else np.full(streams.size, default)

    scale, zero_point = drawn("pixel_scale"), drawn("zero_point")
    added = {} if scale is None else {"pixelscale": scale}
    added["psf"] = streams.choose("instrument.psf", _psfs(instrument.psf))
    width = drawn("psf_fwhm", 0.0)
    added["psffwhm"] = width / scale if instrument.psf_unit == "arcsec" and instrument.psf_fwhm else width
    if instrument.psf == "moffat":
        added["moffatbeta"] = drawn("moffat_beta")

    background = drawn("background", 0.0)
    if instrument.sky_brightness is not None:
        background = counts_of(drawn("sky_brightness"), zero_point) * scale**2
    added["background"] = background
    added["pedestal"] = np.zeros(streams.size) if instrument.subtract_background else background
    exposures = drawn("exposures", 1.0)
    electrons = np.zeros(streams.size)
    noise = drawn("noise", 0.0)
    if instrument.exposure is not None:
        electrons = drawn("gain", 1.0) * drawn("exposure") * exposures
        read = drawn("read_noise", 0.0) * np.sqrt(exposures) / electrons
        noise = np.sqrt(noise * noise + read * read)
    added |= {"noise": noise, "electrons": electrons}
    if instrument.magnitude is not None:
        added["counts"] = counts_of(drawn("magnitude"), zero_point)
    if instrument.signal_to_noise is not None:
        added["signaltonoise"] = drawn("signal_to_noise")
    error = drawn("centring_error", 0.0)
    for axis in "XY":
        off = streams.normal(f"instrument.centring{axis}") if error.any() else 0.0
        added[f"centring{axis}"] = error * off
    added["noiseseed"] = np.full(streams.size, streams.seed)
    return added | (_light(streams, light, columns) if light.given else {})


def counts_of(magnitude: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    """Counts a second of a magnitude: 10^(0.4 (zero point − m))."""
    return exp(0.4 * math.log(10) * (zero_point - magnitude))


def _light(streams: Streams, light: LensLight, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The lens's light, whose shape scatters about that of the mass."""
    drawn = {q.name: streams.draw(f"lens_light.{q.name}", getattr(light, q.name)) for q in LENS_LIGHT}
    names = columns["lens"]
    elliptical = {name: any(q.name == "axis_ratio" for q in LENSES[name].parameters) for name in set(names)}
    is_elliptical = np.array([elliptical[name] for name in names])
    ratio = np.where(is_elliptical, columns["ellipseratio"], 1.0)
    ratio = ratio + drawn["axis_ratio_scatter"] * streams.normal("lens_light.axis_ratio")
    turned = drawn["orientation_scatter"] * streams.normal("lens_light.orientation")
    return {
        "lightratio": drawn["flux_ratio"],
        "lightradius": drawn["radius"] * columns["einsteinradius"],
        "lightaxisratio": np.clip(ratio, LEAST_AXIS_RATIO, 1.0),
        "lightorientation": columns["orientation"] + turned,
        "lightsersic": drawn["n_sersic"],
        "lightshare": drawn["share"],
    }


def neighbours_of(streams: Streams, table: Neighbours, einstein: np.ndarray) -> list[str]:
    """The column `neighbours`: texts of galaxies beside the lens, "" where there are none; see `NEIGHBOUR`.

    einstein: "einsteinR" of each row, px.
    """
    count = streams.draw("neighbours.count", table.count)
    if table.poisson:
        count = streams.poisson("neighbours.number", count)
    texts: list[list[str]] = [[] for _ in range(streams.size)]
    nearest = np.full(streams.size, table.distance_min) if isinstance(table.distance_min, float) else einstein
    area = np.maximum(table.distance_max, nearest) ** 2 - nearest**2
    for k in range(1, int(count.max(initial=0)) + 1):
        cos, sin = cosine_and_sine(360 * streams.uniform(f"neighbours.angle#{k}"))
        distance = np.sqrt(nearest**2 + area * streams.uniform(f"neighbours.distance#{k}"))
        ratio, radius, axis_ratio, sersic = (
            streams.draw(f"neighbours.{q.name}#{k}", getattr(table, q.name)) for q in NEIGHBOURS
        )
        orientation = 180 * streams.uniform(f"neighbours.orientation#{k}")
        numbers = np.stack([distance * cos, distance * sin, ratio, radius, axis_ratio, orientation, sersic], axis=1)
        for text, there, row in zip(texts, count >= k, numbers.tolist(), strict=True):
            if there:
                text.append(constituent_text(NEIGHBOUR, row))
    return [";".join(text) for text in texts]


def _psfs(psf: str | None) -> tuple[str, ...]:
    """What a row's column `psf` may say. Raises `UserError`: a file or folder that is not there."""
    if psf in (None, "none", "gaussian", "moffat"):
        return (psf or "none",)
    return files_of(psf, FITS, "instrument.psf", "gaussian, moffat, none, or a FITS file or folder")
