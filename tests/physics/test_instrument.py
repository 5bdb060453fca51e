"""Pictures as an instrument takes them: each step beside its formula, and the same bits however they are drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from psfs import moffat_kernel
from scipy.signal import fftconvolve

from droulette.physics import instrument as module
from droulette.physics.arrays import to_numpy
from droulette.physics.batches import move
from droulette.physics.batches import take as rows_of
from droulette.physics.convolution import Moffat, gaussian_kernels
from droulette.physics.engines import programs
from droulette.physics.instrument import FINEST_FRAME, Instrument, Kernel, LensLight, frame, observable, take
from droulette.physics.lenses import SIE, SIS
from droulette.physics.mappings import Raytrace, Unlensed
from droulette.physics.noise import Noise
from droulette.physics.rendering import render
from droulette.physics.scene import Scenes
from droulette.physics.sources import Constellation, Ellipsoid, SersicSphere, Spherical

SIZE, CANVAS = 40, 72


def full(count: int, value: float) -> np.ndarray:
    return np.full(count, float(value))


def scenes(count: int = 1, luminosity: float = 5.0, n_sersic: float = 1.5) -> Scenes:
    """SIEs before Sérsic sources, of different shapes."""
    rng = np.random.default_rng(4)
    lens = SIE(rng.uniform(7, 12, count), rng.uniform(0.4, 0.9, count), rng.uniform(0, 180, count))
    source = SersicSphere(rng.uniform(2, 5, count), full(count, n_sersic), full(count, luminosity))
    return Scenes(Raytrace(lens, rng.uniform(-5, 5, count), rng.uniform(-5, 5, count)), source)


def camera(count: int = 1, psf=0.0, deviation=0.0, electrons=0.0, background=0.0, pedestal=0.0, **more) -> Instrument:
    if isinstance(psf, float):
        psf = full(count, psf)
    noise = Noise(full(count, deviation), full(count, electrons), np.arange(count) + 1.0, full(count, 7))
    more = {k: full(count, v) if isinstance(v, (int, float)) else v for k, v in more.items()}
    return Instrument(psf, full(count, background), full(count, pedestal), noise, **more)


def lens_light(count: int = 1, sigma=8.0, sigma2=5.0, theta=30.0, n_sersic=1.0, luminosity=10.0) -> LensLight:
    return LensLight(*(full(count, value) for value in (sigma, sigma2, theta, n_sersic, luminosity)))


def centres(count: int = 1) -> np.ndarray:
    return frame(np.random.default_rng(8).uniform(-6, 6, (2, count)))


def picture_of(scene: Scenes, instrument: Instrument, middle=None, size: int = SIZE, canvas: int = CANVAS, **options):
    middle = centres(len(instrument.background)) if middle is None else middle
    return take(scene, instrument, size, *middle, canvas=canvas, **options)[0]


def points(size: int, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    place = np.arange(size) - size / 2
    return np.meshgrid(place + x, y - place)


def sersic(r: np.ndarray, sigma: float, n: float, luminosity: float) -> np.ndarray:
    from math import exp, gamma, pi

    b = 1.992 * n - 0.3271
    middle = 1000 * luminosity * b ** (2 * n) / (2 * pi * sigma**2 * n * exp(b) * gamma(2 * n))
    return middle * np.exp(-b * ((r / sigma) ** (1 / n) - 1))


def psf_kernel(width: float) -> np.ndarray:
    kernels, _ = gaussian_kernels(np.array([width]))
    line = np.concatenate([kernels[0, :0:-1], kernels[0]])
    return np.outer(line, line)


# ---------------------------------------------------------------- light


def sis_by_hand(size: int, x: float, y: float, canvas: int | None = None) -> np.ndarray:
    """An SIS before a Sérsic source, in NumPy. canvas: what lies outside is dark."""
    px, py = points(size, x, y)
    r = np.hypot(px, py)
    r[r == 0] = 1e-9
    light = sersic(np.hypot(px - 9 * px / r - 3, py - 9 * py / r - 2), 4.0, 1.5, 20.0)
    if canvas:
        light[(np.abs(px - x + 0.5) > canvas / 2) | (np.abs(py - y - 0.5) > canvas / 2)] = 0
    return light


def sis_scene() -> Scenes:
    mapping = Raytrace(SIS(full(1, 9)), full(1, 3), full(1, 2))
    return Scenes(mapping, SersicSphere(full(1, 4), full(1, 1.5), full(1, 20)))


def test_light_is_neither_clipped_nor_rounded():
    found = picture_of(sis_scene(), camera(), np.full((2, 1), 0.25), size=64, canvas=64)[0]
    expected = sis_by_hand(64, 0.25, 0.25)
    assert expected.max() > 500
    expected[expected < module.FAINT_WITHOUT_NOISE] = 0
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=module.FAINT_WITHOUT_NOISE * 1e-6)


def test_a_constellation_is_the_sum_of_its_parts_unclipped():
    """`Constellation.brightness` clips each part to 255, which an instrument must not."""
    part = Spherical(full(1, 6))
    both = Constellation((part, part), (full(1, 0), full(1, 1)), (full(1, 0), full(1, 0)))
    zero = np.zeros((2, 1))
    found = picture_of(Scenes(Unlensed(), both), camera(factor=2.0), zero)[0]
    assert found.max() > 900
    on_device = move(Scenes(Unlensed(), both), "cpu")
    tensors = picture_of(on_device, move(camera(factor=2.0), "cpu"), torch.from_numpy(zero))[0]
    np.testing.assert_array_equal(tensors.numpy(), found)


@pytest.mark.parametrize("psf", ["gaussian", "kernel"])
def test_light_then_psf_then_background_then_subtraction(psf):
    """By hand, with SciPy's convolution of the whole canvas."""
    width, factor, background, pedestal, share = 3.0, 2.5, 12.0, 4.0, 0.3
    x, y = 2.5, -1.25
    light = lens_light()
    kernel = psf_kernel(width)
    instrument = camera(
        psf=width if psf == "gaussian" else Kernel(kernel),
        background=background,
        pedestal=pedestal,
        factor=factor,
        light=light,
        share=share,
    )
    found = picture_of(sis_scene(), instrument, np.array([[x], [y]]))[0]

    px, py = points(CANVAS, x, y)
    angle = np.radians(30)
    u = (px * np.cos(angle) + py * np.sin(angle)) / 5
    v = (py * np.cos(angle) - px * np.sin(angle)) / 8
    own = sersic(np.sqrt(40 * (u**2 + v**2) + module.LIGHT_CORE**2), np.sqrt(40), 1.0, 10.0)
    border = (CANVAS - SIZE) // 2
    inner = slice(border, border + SIZE)

    def seen(levels: np.ndarray) -> np.ndarray:
        return fftconvolve(levels, kernel, mode="same")[inner, inner]

    expected = factor * (seen(sis_by_hand(CANVAS, x, y)) + share * seen(own)) + pedestal
    np.testing.assert_allclose(found, expected, rtol=0, atol=factor * module.FAINT_WITHOUT_NOISE)


def test_light_from_outside_the_picture_comes_in_and_from_outside_the_canvas_none():
    source = Scenes(Unlensed(), Spherical(full(1, 2.0)))
    just_outside = np.array([[-SIZE / 2 - 3.0], [0.0]])  # the source is 3 px beyond the right border
    plain, blurred = (picture_of(source, camera(psf=psf), just_outside)[0] for psf in (0.0, 6.0))
    assert blurred[:, -1].sum() > plain[:, -1].sum() * 1.5
    far = np.array([[-CANVAS / 2 - 8.0], [0.0]])
    assert not picture_of(source, camera(psf=6.0), far).any()
    kernel = Kernel(psf_kernel(6.0))
    assert not picture_of(source, camera(psf=kernel), far).any()
    np.testing.assert_allclose(picture_of(source, camera(psf=kernel), just_outside)[0], blurred, atol=1e-4)


def test_the_picture_is_the_middle_of_the_whole_canvas():
    for psf in (3.0, Kernel(moffat_kernel(3.0, 3.0, 9))):
        whole = picture_of(scenes(), camera(psf=psf), size=CANVAS)[0]
        border = (CANVAS - SIZE) // 2
        found = picture_of(scenes(), camera(psf=psf))[0]
        tolerance = 0 if isinstance(psf, float) else 1e-6 * whole.max()
        np.testing.assert_allclose(found, whole[border:-border, border:-border], rtol=0, atol=tolerance)


def test_supersampling_is_the_mean_of_rays():
    instrument, middle = camera(), centres()
    fine = picture_of(scenes(), instrument, middle, supersampling=2)[0]
    shifted = [
        picture_of(scenes(), instrument, middle + np.array([[i], [j]])) for i in (-0.25, 0.25) for j in (-0.25, 0.25)
    ]
    np.testing.assert_allclose(fine, np.mean(shifted, axis=0)[0], atol=module.FAINT_WITHOUT_NOISE)


# ---------------------------------------------------------------- the same bits

MOFFATS = Moffat(np.array([0.5, 1.0, 1.5, 2.0]), full(4, 3.0))

CAMERAS = {
    "plain": lambda: camera(4),
    "gaussians": lambda: camera(4, psf=np.array([0.0, 1.0, 2.5, 6.0]), deviation=2.0, electrons=3.0, background=9.0),
    "kernel": lambda: camera(4, psf=Kernel(moffat_kernel(3.0, 2.5, 12)), deviation=2.0),
    "kernels": lambda: camera(4, psf=MOFFATS, electrons=30.0, background=5.0),
    "signal-to-noise": lambda: camera(4, psf=2.0, deviation=2.0, signal_to_noise=np.array([10.0, 50.0, 1e4, 1.0])),
    "lens light": lambda: camera(4, psf=2.0, electrons=4.0, counts=900.0, light=lens_light(4), share=0.4),
    "light elsewhere": lambda: camera(
        4, psf=MOFFATS, light=lens_light(4), share=1.0, factor=3.0, light_x=1.5, light_y=np.arange(4) * -2.0
    ),
    "neighbours": lambda: camera(
        4, psf=3.0, deviation=2.0, factor=3.0, light=lens_light(4), share=0.5,
        neighbours=Constellation(
            (lens_light(4, n_sersic=2.5), lens_light(4, sigma=3.0, theta=80.0)),
            (np.arange(4) * 4.3, full(4, -20.1)), (full(4, 17.7), np.arange(4) * -6.9),
        ),
    ),
}  # fmt: skip


def one_row(instrument: Instrument, row: slice) -> Instrument:
    psf = instrument.psf if isinstance(instrument.psf, Kernel) else instrument.psf[row]
    return replace(rows_of(replace(instrument, psf=None), row), psf=psf)


@pytest.mark.parametrize("name", CAMERAS)
def test_a_row_alone_has_the_bits_that_it_has_among_others(name):
    scene, instrument, middle = scenes(4, luminosity=40), CAMERAS[name](), centres(4)
    together = picture_of(scene, instrument, middle)
    for number in range(4):
        row = slice(number, number + 1)
        alone = picture_of(rows_of(scene, row), one_row(instrument, row), middle[:, row])
        np.testing.assert_array_equal(alone[0], together[number])
        part = picture_of(scene, instrument, middle[:, row], rows=row)
        np.testing.assert_array_equal(part[0], together[number])


@pytest.mark.parametrize("name", CAMERAS)
def test_tensors_have_the_bits_of_compiled_loops(name):
    scene, instrument, middle = scenes(4, luminosity=40), CAMERAS[name](), centres(4)
    found, factor = take(scene, instrument, SIZE, *middle, canvas=CANVAS)
    tensors, factors = take(
        move(scene, "cpu"), move(instrument, "cpu"), SIZE, *torch.from_numpy(middle), canvas=CANVAS
    )  # fmt: skip
    np.testing.assert_array_equal(to_numpy(tensors), found)
    np.testing.assert_array_equal(to_numpy(factors), factor)


@pytest.mark.parametrize("name", CAMERAS)
def test_a_card_takes_pictures_of_the_same_bits(name, cuda):
    scene, instrument, middle = scenes(4, luminosity=40), CAMERAS[name](), centres(4)
    expected = picture_of(scene, instrument, middle)
    with cuda:
        found = picture_of(move(scene, "cuda"), move(instrument, "cuda"), move(middle, "cuda"))
        assert found.device.type == "cuda"
        found = to_numpy(found)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", CAMERAS)
def test_kernels_take_pictures_of_the_same_bits(name, kernels):
    scene, instrument, middle = scenes(4, luminosity=40), CAMERAS[name](), centres(4)
    expected = picture_of(scene, instrument, middle)
    device = kernels()
    found = picture_of(move(scene, device), move(instrument, device), move(middle, device))
    np.testing.assert_array_equal(to_numpy(found), expected)


@pytest.mark.parametrize("name", CAMERAS)
def test_array_operations_have_the_bits_of_compiled_loops(name, monkeypatch):
    middle = centres(4)
    found = picture_of(scenes(4), CAMERAS[name](), middle)
    monkeypatch.setattr(programs, "of_noise", lambda *_: None)
    monkeypatch.setattr(programs, "of_scene", lambda *_: None)
    np.testing.assert_array_equal(picture_of(scenes(4), CAMERAS[name](), middle), found)


def test_frames_are_multiples_of_the_finest_step():
    middle = frame(np.array([0.1, -7.3, 1e4 + 1 / 3]))
    np.testing.assert_array_equal(middle % FINEST_FRAME, 0)
    np.testing.assert_allclose(middle, [0.1, -7.3, 1e4 + 1 / 3], atol=FINEST_FRAME)


def test_very_bright_cusps_have_the_same_factor_in_numpy_and_torch():
    """Squares of their light are no longer whole numbers that a float64 holds."""
    source = Scenes(Unlensed(), SersicSphere(full(1, 20.0), full(1, 6.0), full(1, 1e6)))
    instrument = camera(deviation=1.0, signal_to_noise=50.0)
    middle = frame(np.full((2, 1), 1e-3))
    found, factor = take(source, instrument, SIZE, *middle)
    tensors, factors = take(move(source, "cpu"), move(instrument, "cpu"), SIZE, *torch.from_numpy(middle))
    assert factor[0] == factors[0].item()
    light = take(source, replace(instrument, signal_to_noise=None), SIZE, *middle, noisy=False)[0]
    whole = [round(level * 64) for level in light.ravel().tolist()]
    assert factor[0] == pytest.approx(50 / (sum(level**2 for level in whole) ** 0.5 / 64), rel=1e-9)
    np.testing.assert_array_equal(tensors.numpy(), found)


def test_negative_weights_of_a_kernel_do_not_let_other_rows_decide_the_noise():
    kernel = np.zeros((7, 7))
    kernel[3, 3], kernel[3, 0] = 1.5, -0.5
    scene, middle = scenes(2, luminosity=40), centres(2)
    instrument = replace(camera(2, psf=Kernel(kernel), electrons=1.0), background=np.array([12.5, 3.0]))
    together = picture_of(scene, instrument, middle)
    alone = picture_of(rows_of(scene, slice(0, 1)), one_row(instrument, slice(0, 1)), middle[:, :1])
    np.testing.assert_array_equal(alone[0], together[0])


# ---------------------------------------------------------------- brightness


@pytest.mark.parametrize("psf", [0.0, 4.0])
def test_signal_to_noise_is_reached(psf):
    wanted = np.array([5.0, 50.0, 2000.0])
    instrument = camera(3, psf=psf, deviation=3.0, electrons=2.0, background=8.0, signal_to_noise=wanted)
    source = picture_of(scenes(3), instrument, noisy=False)
    deviation = np.sqrt(3.0**2 + 8.0 / 2.0)
    np.testing.assert_allclose(instrument.deviation(), deviation, rtol=1e-12)
    found = np.sqrt(((source / deviation) ** 2).sum(axis=(1, 2)))
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_lens_light_does_not_count_as_signal():
    options = {"deviation": 3.0, "signal_to_noise": 50.0}
    _, plain = take(scenes(), camera(**options), SIZE, *centres())
    _, lit = take(scenes(), camera(**options, light=lens_light(), share=1.0), SIZE, *centres())
    assert plain[0] == lit[0]


def test_a_dark_picture_has_no_signal_to_noise_and_stays_dark():
    far = Scenes(Unlensed(), Spherical(full(1, 2.0)))
    found, factor = take(far, camera(deviation=1.0, signal_to_noise=50.0), SIZE, *np.full((2, 1), 500.0), noisy=False)
    assert not found.any() and factor[0] == 1


@pytest.mark.parametrize("deviation", [0.0, 0.5])
def test_counts_are_those_of_the_whole_source(deviation):
    sources = {
        "exponential": SersicSphere(full(1, 6), full(1, 1.0), full(1, 3.0)),
        "Gaussian": Spherical(full(1, 5.0)),
        "ellipsoid": Ellipsoid(full(1, 7.0), full(1, 3.0), full(1, 20.0)),
    }
    for name, source in sources.items():
        instrument = camera(counts=5e4, deviation=deviation, psf=2.0)
        found = picture_of(Scenes(Unlensed(), source), instrument, np.zeros((2, 1)), size=160, canvas=200, noisy=False)
        assert found.sum() == pytest.approx(5e4, rel=0.01), name


def test_faint_light_is_left_out_only_far_below_the_noise():
    noisy, still = camera(deviation=4.0), camera()
    with_noise, without = (picture_of(scenes(), instrument, noisy=False) for instrument in (noisy, still))
    difference = np.abs(with_noise - without)
    assert 0 < difference.max() <= module.FAINT * 4.0
    assert observable(scenes(), noisy).faintest[0] == 2.0**-4


# ---------------------------------------------------------------- the lens's light


def own_light(share: float = 1.0, **shape) -> np.ndarray:
    """What the lens's light adds."""
    dark = Scenes(Unlensed(), Spherical(full(1, 1.0)))
    middle = np.full((2, 1), 0.0)
    options = {"size": 200, "canvas": 200, "noisy": False}
    lit = picture_of(dark, camera(light=lens_light(**shape), share=share), middle, **options)
    return (lit - picture_of(dark, camera(), middle, **options))[0]


@pytest.mark.parametrize("theta", [0.0, 30.0, 110.0])
@pytest.mark.parametrize("ratio", [0.4, 0.8])
def test_lens_light_has_its_flux_axis_ratio_and_orientation(theta, ratio):
    picture = own_light(sigma=9 / ratio**0.5, sigma2=9 * ratio**0.5, theta=theta)
    assert picture.sum() == pytest.approx(10_000, rel=0.01)
    x, y = points(200, 0, 0)
    xx, yy, xy = ((picture * product).sum() / picture.sum() for product in (x * x, y * y, x * y))
    values, vectors = np.linalg.eigh([[xx, xy], [xy, yy]])
    assert np.sqrt(values[0] / values[1]) == pytest.approx(ratio, rel=0.02)
    minor = np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0]))
    assert (minor - theta + 90) % 180 - 90 == pytest.approx(0, abs=0.5)
    assert abs((picture * x).sum() / picture.sum()) < 0.02
    assert abs((picture * y).sum() / picture.sum()) < 0.02


def test_minor_axis_of_the_lens_light_is_that_of_the_mass():
    """Both at the same orientation: light along the contours of the lens's convergence."""
    lens = SIE(full(1, 10), full(1, 0.5), full(1, 30))
    angle = np.radians(30)
    x, y = np.array([10 * np.cos(angle), -10 * np.sin(angle)]), np.array([10 * np.sin(angle), 10 * np.cos(angle)])

    def convergence(x, y, h=1e-4):
        along = (lens.deflection(x + h, y)[0] - lens.deflection(x - h, y)[0]) / (2 * h)
        across = (lens.deflection(x, y + h)[1] - lens.deflection(x, y - h)[1]) / (2 * h)
        return (along + across) / 2

    along, across = convergence(x, y)
    light = own_light(sigma=9 / 0.5**0.5, sigma2=9 * 0.5**0.5, theta=30)
    column, line = np.rint(x + 100).astype(int), np.rint(100 - y).astype(int)
    assert (along < across) == (light[line[0], column[0]] < light[line[1], column[1]])


def test_share_of_the_light_is_left_and_the_noise_is_of_all_of_it():
    count = 300
    scene = Scenes(Unlensed(), Spherical(full(count, 2.0)))
    light = lens_light(count, luminosity=60.0)
    middle = np.zeros((2, count))
    all_of_it = camera(count, light=light, share=1.0, electrons=2.0, background=4.0)
    without = replace(all_of_it, share=full(count, 0.0))
    mean = picture_of(scene, all_of_it, middle, noisy=False)[0] + 4.0
    pictures = picture_of(scene, without, middle)
    left = picture_of(Scenes(scene.mapping, scene.source), camera(count), middle, noisy=False)[0]
    ratio = pictures.var(axis=0) / (mean / 2)
    assert ratio.mean() == pytest.approx(1, rel=0.01)
    assert ((pictures.mean(axis=0) - left) / np.sqrt(mean / 2 / count)).std() == pytest.approx(1, rel=0.06)
    taken = picture_of(scene, all_of_it, middle) - pictures
    np.testing.assert_allclose(taken, np.tile(mean - left - 4.0, (count, 1, 1)), atol=1e-6)


# ---------------------------------------------------------------- beside lenstronomy


def theirs(canvas: int, width: float) -> np.ndarray:
    """lenstronomy's picture of the scene below, without noise.

    Our κ = θ_E √f / (2 √(u² + f² v²)), with u along the orientation, is theirs with q = f and the major axis along v.
    A Sérsic profile of theirs has another constant b_n: the same brightness has another R_sersic and amp.
    """
    pytest.importorskip("lenstronomy", reason="the peer is not a dependency: make .peers")
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel
    from lenstronomy.LightModel.Profiles.sersic import Sersic
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    data = ImageData(
        image_data=np.zeros((canvas, canvas)),
        ra_at_xy_0=-canvas / 2,
        dec_at_xy_0=canvas / 2,
        transform_pix2angle=np.array([[1.0, 0.0], [0.0, -1.0]]),
    )
    e1, e2 = phi_q2_ellipticity(np.radians(35.0 + 90), 0.6)
    lens = {"theta_E": 11.0, "e1": e1, "e2": e2, "center_x": 0.0, "center_y": 0.0}
    n, b = 1.5, 1.992 * 1.5 - 0.3271
    their_b = float(Sersic().b_n(n))
    radius = 4.0 * (their_b / b) ** n
    middle = sersic(np.zeros(1), 4.0, n, 30.0)[0]
    source = {"amp": middle * np.exp(-their_b), "R_sersic": radius, "n_sersic": n, "center_x": 3.0, "center_y": -2.0}
    psf = PSF(psf_type="GAUSSIAN", fwhm=width, pixel_size=1.0, truncation=6)
    model = ImageModel(data, psf, LensModel(["SIE"]), LightModel(["SERSIC"]))
    return model.image([lens], [source])


def test_mean_and_variance_of_pictures_are_lenstronomys():
    count, width, factor, background, electrons, deviation = 200, 3.0, 0.7, 6.0, 3.0, 1.5
    border = (CANVAS - SIZE) // 2
    light = factor * theirs(CANVAS, width)[border:-border, border:-border]
    lens = SIE(full(count, 11), full(count, 0.6), full(count, 35))
    source = SersicSphere(full(count, 4), full(count, 1.5), full(count, 30))
    scene = Scenes(Raytrace(lens, full(count, 3), full(count, -2)), source)
    instrument = camera(
        count, psf=width, deviation=deviation, electrons=electrons, background=background, factor=factor
    )
    middle = np.zeros((2, count))
    still = picture_of(scene, instrument, middle, noisy=False)[0]
    assert np.abs(still - light).max() < 0.01 * light.max()
    assert still.sum() == pytest.approx(light.sum(), rel=0.002)

    pictures = picture_of(scene, instrument, middle)
    variance = deviation**2 + (light + background) / electrons
    off = (pictures.mean(axis=0) - light) / np.sqrt(variance / count)
    assert pictures.mean(axis=0).sum() == pytest.approx(light.sum(), rel=0.01)
    assert off.std() == pytest.approx(1, rel=0.05)
    assert np.abs(off).max() < 5
    ratio = pictures.var(axis=0, ddof=1) / variance
    assert ratio.mean() == pytest.approx(1, rel=0.01)
    bright = light > np.median(light) * 2
    assert ratio[bright].mean() == pytest.approx(1, rel=0.03)


def test_the_scene_alone_draws_whole_grey_levels_as_before():
    middle = centres(4)
    plain = render(scenes(4), SIZE, *middle, canvas=CANVAS)
    assert plain.dtype == np.uint8
    light = picture_of(scenes(4), camera(4), middle)
    np.testing.assert_array_equal(plain, np.clip(np.rint(light), 0, 255).astype(np.uint8))
