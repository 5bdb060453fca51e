"""A model's answers to mock observations that lenstronomy draws: how often the truth lies within its intervals.

    python benchmarks/mock_observations.py [--model models/telescope.safetensors] [--observations 100] [--fit]

For HST, Euclid and a ground-based telescope: SIE, SIE in a shear, or power law in a shear, an elliptical Sérsic source,
in a third of them the lens's own light, PSF, sky and Poisson noise. Each becomes FITS files (picture, noise map, PSF),
which are read as a user's. Seven true values each: ξ, deflection, convergence and shear there, by lenstronomy too.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from measure import ROOT, peers

from droulette.learning import model_file
from droulette.pipeline.user_predictions import predict_pictures

ITERATIONS = 5000  # of ξ ← η + α(ξ)
SOLVED = 1e-8  # arcsec; other scenes are left out


@dataclass(frozen=True)
class Telescope:
    """size: px. scale: arcsec a pixel. fwhm: arcsec, least and greatest. moffat: β, or None for a Gaussian.
    sky: electrons a second in a pixel. exposure: s.
    """

    size: int
    scale: float
    fwhm: tuple[float, float]
    moffat: float | None
    sky: float
    exposure: float


TELESCOPES = {
    "HST": Telescope(121, 0.05, (0.08, 0.12), None, 0.6, 2000),
    "Euclid": Telescope(81, 0.1, (0.15, 0.19), None, 1.1, 2260),
    "ground": Telescope(61, 0.2, (0.6, 0.9), 3.0, 30, 900),
}
FAMILIES = (["SIE"], ["SIE", "SHEAR"], ["EPL", "SHEAR"])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, default=ROOT / "models" / "telescope.safetensors")
    options.add_argument("--observations", type=int, default=100, help="of each telescope")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--fit", action="store_true", help="fit scenes too; half a minute each")
    options.add_argument("--neighbour", action="store_true", help="another galaxy beside the lens, in every picture")
    args = options.parse_args()
    model = model_file.load(args.model)
    peers("lenstronomy")
    print("| telescope | observations | 68 % hold | 95 % hold | median error of κ | its 95 % interval | warned of |")
    print("|---|---|---|---|---|---|---|")
    for name, telescope in TELESCOPES.items():
        rng = np.random.default_rng(args.seed)
        rows, warned = [], []
        while len(rows) < args.observations:
            with tempfile.TemporaryDirectory() as folder:
                true = observe(telescope, rng, Path(folder), args.neighbour)
                if true is None:
                    continue
                found, said = answer(Path(folder), telescope, model, args.fit)
            rows.append(compared(found, true, telescope))
            warned.append(said)
        show(name, np.array(rows), np.array(warned))


def observe(telescope: Telescope, rng: np.random.Generator, folder: Path, neighbour: bool = False) -> dict | None:
    """Write a mock observation into the folder, and give the truth, in arcsec; None: no reference point was found.

    neighbour: whether another galaxy lies 0.36 to 0.47 of the picture's side from its middle.
    """
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    family = FAMILIES[rng.integers(len(FAMILIES))]
    radius, angle, ratio = rng.uniform(0.9, 1.9), rng.uniform(0, np.pi), rng.uniform(0.6, 0.95)
    e1, e2 = phi_q2_ellipticity(angle, ratio)
    centre = dict(zip(("center_x", "center_y"), rng.uniform(-0.03, 0.03, 2), strict=True))
    lens = {"theta_E": radius, "e1": e1, "e2": e2} | centre
    if family[0] == "EPL":
        lens["gamma"] = rng.uniform(1.8, 2.2)
    shear = {"gamma1": rng.uniform(-0.06, 0.06), "gamma2": rng.uniform(-0.06, 0.06)}
    bending = LensModel(family)
    lenses = [lens, shear][: len(family)]
    away, direction = radius * rng.uniform(0.05, 0.6), rng.uniform(0, 2 * np.pi)
    eta = np.array([centre["center_x"] + away * np.cos(direction), centre["center_y"] + away * np.sin(direction)])
    s1, s2 = phi_q2_ellipticity(rng.uniform(0, np.pi), rng.uniform(0.6, 1))
    source = {
        "amp": 1.0, "R_sersic": rng.uniform(0.12, 0.45), "n_sersic": rng.uniform(0.7, 2.5), "e1": s1, "e2": s2,
        "center_x": eta[0], "center_y": eta[1],
    }  # fmt: skip

    size, scale = telescope.size, telescope.scale
    start = -scale * (size - 1) / 2
    frame = ImageData(
        np.zeros((size, size)), ra_at_xy_0=start, dec_at_xy_0=start, transform_pix2angle=scale * np.eye(2)
    )
    width = rng.uniform(*telescope.fwhm)
    kernel = point_spread(width / scale, telescope.moffat)
    psf = PSF("PIXEL", kernel_point_source=kernel)
    sharp = {"supersampling_factor": 3, "supersampling_convolution": False}

    def drawn(galaxy: dict, bending=None, lenses=None) -> np.ndarray:
        model = ImageModel(frame, psf, bending, LightModel(["SERSIC_ELLIPSE"]), kwargs_numerics=sharp)
        return model.image(lenses, [galaxy])

    def shining(galaxy: dict, ratio: float) -> np.ndarray:
        glow = drawn(galaxy)
        return glow * ratio * arcs.sum() / glow.sum()

    arcs = drawn(source, bending, lenses)
    background = np.sqrt(telescope.sky / telescope.exposure)
    arcs *= rng.uniform(20, 150) * background / np.sqrt((arcs**2).sum())
    light = arcs
    if rng.random() < 1 / 3:
        galaxy = {"amp": 1.0, "R_sersic": radius * rng.uniform(0.4, 1), "n_sersic": 4.0, "e1": e1, "e2": e2} | centre
        light = arcs + shining(galaxy, rng.uniform(1, 8))
    if neighbour:
        place, far = rng.uniform(0, 2 * np.pi), size * scale * rng.uniform(0.36, 0.47)
        other = source | {
            "R_sersic": rng.uniform(0.15, 0.4), "center_x": far * np.cos(place), "center_y": far * np.sin(place),
        }  # fmt: skip
        light = light + shining(other, rng.uniform(0.3, 1.5))
    electrons = rng.poisson((light + telescope.sky) * telescope.exposure)
    data = electrons / telescope.exposure - telescope.sky
    noise = np.sqrt(background**2 + np.maximum(data, 0) / telescope.exposure)
    header = fits.Header(
        {
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": (size + 1) / 2, "CRPIX2": (size + 1) / 2,
            "CRVAL1": 150.1, "CRVAL2": 2.2, "CD1_1": -scale / 3600, "CD2_2": scale / 3600, "CD1_2": 0.0, "CD2_1": 0.0,
        }
    )  # fmt: skip
    fits.writeto(folder / "data.fits", data.astype(np.float32), header)
    fits.writeto(folder / "noise_map.fits", noise.astype(np.float32))
    fits.writeto(folder / "psf.fits", kernel.astype(np.float32))
    return truth(bending, lenses, eta)


def point_spread(fwhm: float, beta: float | None) -> np.ndarray:
    """(25, 25), of sum 1. fwhm: px."""
    k = np.arange(-12, 13)
    r2 = k**2 + k[:, None] ** 2
    if beta is None:
        kernel = np.exp(-4 * np.log(2) * r2 / fwhm**2)
    else:
        kernel = (1 + r2 * 4 * (2 ** (1 / beta) - 1) / fwhm**2) ** -beta
    return kernel / kernel.sum()


def truth(bending, lenses: list[dict], eta: np.ndarray) -> dict[str, float] | None:
    xi = eta
    for _ in range(ITERATIONS):
        last, xi = xi, eta + np.array(bending.alpha(*xi, lenses))
    if np.abs(xi - last).max() > SOLVED:
        return None
    deflection = xi - eta
    gamma1, gamma2 = bending.gamma(*xi, lenses)
    return {
        "xiX": xi[0], "xiY": xi[1], "alpha[0][1]": -deflection[0], "beta[0][1]": -deflection[1],
        "alpha[1][0]": -bending.kappa(*xi, lenses), "alpha[1][2]": -gamma1, "beta[1][2]": -gamma2,
    }  # fmt: skip


def answer(folder: Path, telescope: Telescope, model, fit: bool):
    """The row of the answer's table, and whether a warning came with it."""
    warned: list[str] = []
    table = predict_pictures(
        [folder / "data.fits"], model, noise=folder / "noise_map.fits", psf=folder / "psf.fits",
        fit=fit or None, warn=warned.append, device="cpu",
    )  # fmt: skip
    return table.iloc[0], bool(warned)


def compared(row, true: dict[str, float], telescope: Telescope) -> np.ndarray:
    """(7, 3): errors, and half 68 % and 95 % intervals, of lengths in training pixels."""
    middle = (telescope.size - 1) / 2
    # Rows of the answer are counted from the top, those of the file from below.
    frame = {"xiX": row["middle_column"] - middle, "xiY": middle - row["middle_row"]}
    found = []
    for name, value in true.items():
        if name.startswith(("xi", "alpha[0]", "beta[0]")):
            value = value / telescope.scale - frame.get(name, 0.0)
        found.append([row[name] - value, row[f"std:{name}"], row[f"half95:{name}"]])
    return np.array(found)


def show(name: str, rows: np.ndarray, warned: np.ndarray) -> None:
    error = np.abs(rows[:, :, 0])
    for which, some in (("", np.full(len(rows), True)), (", without a warning", ~warned)):
        if not some.any():
            continue
        inside = [(error[some] <= rows[some, :, k]).mean() for k in (1, 2)]
        kappa = np.median(error[some, 4]), np.median(rows[some, 4, 2])
        figures = [*(f"{share:.1%}" for share in inside), f"{kappa[0]:.3f}", f"± {kappa[1]:.3f}"]
        print("|", " | ".join([name + which, str(some.sum()), *figures, f"{warned[some].mean():.0%}"]), "|", flush=True)


if __name__ == "__main__":
    main()
