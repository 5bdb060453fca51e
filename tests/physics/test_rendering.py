"""Pictures against evaluation of every pixel by itself, with no tiles and nothing skipped."""

from __future__ import annotations

import numpy as np
import pytest
from random_scenes import LENSES, SOURCES, Random, numbers

from droulette.physics.amplitudes import amplitudes
from droulette.physics.batches import take
from droulette.physics.lens_equation import apparent_position
from droulette.physics.lenses import SIS
from droulette.physics.mappings import Raytrace, Roulette, convergence_radius
from droulette.physics.rendering import Scenes, centre_of_light, render
from droulette.physics.sources import Image, Picture, Spherical

ROWS = 3


@np.errstate(all="ignore")
def every_pixel(scene: Scenes, size: int, centre_x, centre_y, sampling="exact", sub=1) -> np.ndarray:
    """The whole grid at once: (B, size, size) uint8."""
    total = 0.0
    scene = take(scene, np.arange(len(centre_x)), trailing=2)
    pixel = np.arange(size, dtype=float)
    for sub_y in range(sub):
        for sub_x in range(sub):
            x = pixel + (sub_x + 0.5) / sub - 0.5 - size / 2 + centre_x[:, None, None]
            y = size / 2 - pixel[:, None] - (sub_y + 0.5) / sub + 0.5 + centre_y[:, None, None]
            dx, dy = scene.mapping.offset(x, y)
            if sampling == "nearest":
                column, row = np.floor(dx + size / 2), np.floor(size / 2 - dy)
                levels = scene.source.brightness(column - size / 2, size / 2 - row).clip(0, 255).round()
                levels[(column < 0) | (column >= size) | (row < 0) | (row >= size)] = 0
            else:
                levels = scene.source.brightness(dx, dy).clip(0, 255)
            radius = getattr(scene.mapping, "mask_radius", None)
            if radius is not None:
                levels = levels * (np.hypot(x - scene.mapping.xi_x, y - scene.mapping.xi_y) < radius)
            total = total + levels
    return np.nan_to_num(total / sub**2).round().astype(np.uint8)


def random_scene(lens_kind: str, source_kind: str, model: str, seed: int, nterms=5, mask=False) -> Scenes:
    draw = Random(seed, ROWS)
    lens, eta = draw.lens(lens_kind, (5, 30)), draw.in_disc(1, 30)
    source = draw.source(source_kind)
    if model == "Raytrace":
        return Scenes(Raytrace(lens, *eta), source)
    xi = apparent_position(lens, *eta)
    radius = convergence_radius(lens, *xi) if mask else None
    return Scenes(Roulette.from_amplitudes(*xi, *amplitudes(lens, *xi, nterms), nterms, radius), source)


def test_a_small_unrounded_picture_is_the_middle_of_a_large_one():
    """Small ones are drawn without tests for darkness, large ones with them."""
    mapping = Raytrace(SIS(numbers(9.0, 4.0)), *numbers([3.0, 20.0], [1.0, 10.0]))
    scene = Scenes(mapping, Spherical(numbers(1.0, 1.5)), numbers(2.0**-6, 2.0**-6))
    zero = numbers(0.0, 0.0)
    small, large = (render(scene, size, zero, zero) for size in (32, 96))
    assert small[0].any() and (small == 0).mean() > 0.5
    np.testing.assert_array_equal(small, large[:, 32:64, 32:64])


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("model", ["Raytrace", "Roulette"])
def test_skipping_black_tiles_changes_no_pixel(lens, source, model):
    seed = LENSES.index(lens) * 10 + SOURCES.index(source)
    scene = random_scene(lens, source, model, seed)
    centred = centre_of_light(scene, 100)
    zero = np.zeros(ROWS)
    # Sizes that tiles do and do not divide; off the lens centre, where CosmoSim's rule for it plays no part.
    for size, (x, y), sampling in (
        (100, centred, "exact"),
        (96, (zero, zero), "exact"),
        (75, (zero, zero), "nearest"),
    ):
        drawn = render(scene, size, x, y, sampling=sampling)
        expected = every_pixel(scene, size, x, y, sampling)
        if sampling == "nearest":
            expected[:, size // 2, size // 2] = drawn[:, size // 2, size // 2]
        np.testing.assert_array_equal(drawn, expected)
    assert render(scene, 100, *centred).max() > 0


@pytest.mark.parametrize("model", ["Raytrace", "Roulette"])
@pytest.mark.parametrize("side", [1, 2, 15, 17, 200])
def test_pictures_of_any_size_are_right(model, side):
    scene = random_scene("SIE", "SersicSphere", model, 3)
    zero = np.zeros(ROWS)
    drawn = render(scene, side, zero, zero)
    np.testing.assert_array_equal(drawn, every_pixel(scene, side, zero, zero))


@pytest.mark.parametrize("sub", [2, 3])
def test_supersampling_is_the_mean_over_sub_pixels(sub):
    for model in ("Raytrace", "Roulette"):
        scene = random_scene("SIE", "Triangle", model, 4)
        centre = np.stack(centre_of_light(scene, 90, supersampling=sub))
        drawn = render(scene, 90, *centre, supersampling=sub)
        np.testing.assert_array_equal(drawn, every_pixel(scene, 90, *centre, sub=sub))
        assert (drawn != render(scene, 90, *centre)).any()


def test_pixel_row_i_column_j_is_the_point_j_minus_half_x_half_minus_i_y():
    for size in (20, 33):
        point = Scenes(Raytrace(SIS(numbers(1e-12)), numbers(6.0), numbers(-3.0)), Spherical(numbers(0.3)))
        if size % 2:
            point = Scenes(Raytrace(SIS(numbers(1e-12)), numbers(6.5), numbers(-3.5)), Spherical(numbers(0.3)))
        picture = render(point, size, numbers(0.0), numbers(0.0))[0]
        expected = (16 - -4, 23) if size % 2 else (10 - -3, 16)
        assert np.argwhere(picture > 200).tolist() == [list(expected)]


def test_picture_of_the_source_alone_is_the_users_own_picture():
    levels = np.random.default_rng(1).integers(0, 256, (40, 40), dtype=np.uint8)
    source = Image(numbers(0.0), Picture(levels))
    scene = Scenes(Raytrace(SIS(numbers(1e-13)), numbers(0.0), numbers(0.0)), source)
    np.testing.assert_array_equal(render(scene, 40, numbers(0.0), numbers(0.0))[0], levels)


def test_nearest_draws_black_beyond_the_border_of_the_source_picture():
    scene = Scenes(Raytrace(SIS(numbers(1e-12)), numbers(-30.5), numbers(0.5)), Spherical(numbers(1e6)))
    picture = render(scene, 64, numbers(0.0), numbers(0.0), sampling="nearest")[0]
    # x + 30.5 stays below 32 up to x = 1, column 33. The lens centre is black, as in CosmoSim.
    assert picture[32, 32] == 0
    picture[32, 32] = 255
    assert (picture[:, :34] == 255).all()
    assert (picture[:, 34:] == 0).all()


@pytest.mark.parametrize("lens", LENSES)
def test_roulette_converges_to_raytrace_inside_half_its_radius_as_nterms_grows(lens):
    draw = Random(11, ROWS)
    lenses = draw.lens(lens, (15, 30), (0.3, 1))
    eta = draw.in_disc(10, 30)
    xi = apparent_position(lenses, *eta)
    radius = convergence_radius(lenses, *xi)
    angle, share = draw.uniform(0, 6.3), draw.uniform(0, 0.5)
    errors = []
    for nterms in (2, 4, 8, 16):
        mapping = Roulette.from_amplitudes(*xi, *amplitudes(lenses, *xi, nterms), nterms)
        worst = 0.0
        for k in range(200):
            r, phi = radius * ((share + k / 400) % 0.5), angle + 2.399963 * k
            x, y = xi[0] + r * np.cos(phi), xi[1] + r * np.sin(phi)
            exact, series = Raytrace(lenses, *eta).offset(x, y), mapping.offset(x, y)
            miss = np.hypot(exact[0] - series[0], exact[1] - series[1])
            worst = max(worst, miss.max().item())
        errors.append(worst)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * errors[0]


@pytest.mark.parametrize("lens", LENSES)
def test_roulette_pictures_approach_the_raytraced_one_inside_half_the_radius(lens):
    draw = Random(12, ROWS)
    lenses, eta = draw.lens(lens, (15, 30), (0.3, 1)), draw.in_disc(10, 30)
    source = Spherical(draw.uniform(3, 8))
    xi = apparent_position(lenses, *eta)
    exact = render(Scenes(Raytrace(lenses, *eta), source), 100, *xi).astype(float)
    pixel = np.arange(100) - 50.0
    inside = np.hypot(pixel, pixel[:, None]) < 0.5 * convergence_radius(lenses, *xi)[:, None, None]
    errors = []
    for nterms in (2, 4, 8, 16):
        mapping = Roulette.from_amplitudes(*xi, *amplitudes(lenses, *xi, nterms), nterms)
        difference = (render(Scenes(mapping, source), 100, *xi).astype(float) - exact)[inside]
        errors.append(abs(difference).mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0
    assert errors[-1] < 0.01


def test_mask_blanks_a_roulette_picture_outside_its_convergence_circle_only():
    masked, plain = (random_scene("SIE", "SersicSphere", "Roulette", 5, mask=mask) for mask in (True, False))
    zero = np.zeros(ROWS)
    drawn, whole = (render(scene, 150, zero, zero) for scene in (masked, plain))
    pixel = np.arange(150) - 75.0
    radius = masked.mapping.mask_radius[:, None, None]
    xi_x, xi_y = masked.mapping.xi_x[:, None, None], masked.mapping.xi_y[:, None, None]
    inside = np.hypot(pixel - xi_x, -pixel[:, None] - xi_y) < radius
    np.testing.assert_allclose(radius.flatten(), np.hypot(xi_x, xi_y).flatten())
    drawn[:, 75, 75] = whole[:, 75, 75] = 0  # the lens centre lies on the circle itself
    assert np.array_equal(drawn, whole * inside)
    assert whole[~inside].any()


@pytest.mark.parametrize("sampling, sub", [("exact", 1), ("exact", 2), ("nearest", 1)])
@pytest.mark.parametrize("size", [64, 101])
def test_centre_of_light_is_the_weighted_mean_of_the_drawn_canvas(sampling, sub, size):
    for model in ("Raytrace", "Roulette"):
        scene = random_scene("SIE", "Ellipsoid", model, 6)
        zero = np.zeros(ROWS)
        canvas = render(scene, size, zero, zero, sampling=sampling, supersampling=sub).astype(float)
        pixel = np.arange(size) - size / 2
        expected = [
            (canvas * pixel).sum((1, 2)) / canvas.sum((1, 2)),
            (canvas * -pixel[:, None]).sum((1, 2)) / canvas.sum((1, 2)),
        ]
        found = np.stack(centre_of_light(scene, size, sampling=sampling, supersampling=sub))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_black_canvas_has_its_centre_of_light_at_the_origin():
    far_and_near = Raytrace(SIS(numbers(5.0, 5.0)), numbers(500.0, 3.0), numbers(0.0, 2.0))
    x, y = centre_of_light(Scenes(far_and_near, Spherical(numbers(2.0, 2.0))), 64)
    assert (x[0].item(), y[0].item()) == (0, 0)
    assert x[1].item() != 0


def test_picture_of_a_row_does_not_depend_on_the_rows_beside_it():
    for model in ("Raytrace", "Roulette"):
        scene = random_scene("cluster", "constellation", model, 7)
        centre = np.stack(centre_of_light(scene, 80))
        together = render(scene, 80, *centre)
        for row in range(ROWS):
            alone = take(scene, np.array([row]))
            own = np.stack(centre_of_light(alone, 80))
            assert np.array_equal(own[:, 0], centre[:, row])
            assert np.array_equal(render(alone, 80, *own)[0], together[row])


@pytest.mark.parametrize("source", ["constellation", "Image"])  # which are drawn by compiled loops, and by arrays
def test_some_rows_of_the_scenes_are_drawn_as_they_are_among_all(source):
    for model in ("Raytrace", "Roulette"):
        scene = random_scene("cluster", source, model, 8)
        centre = np.stack(centre_of_light(scene, 80))
        pictures = render(scene, 80, *centre)
        for rows in (slice(1, None), slice(0, 2), slice(-1, None)):
            assert np.array_equal(np.stack(centre_of_light(scene, 80, rows=rows)), centre[:, rows])
            assert np.array_equal(render(scene, 80, *centre[:, rows], rows=rows), pictures[rows])


def test_rows_without_a_centre_each_are_refused():
    scene, zero = random_scene("SIE", "Spherical", "Raytrace", 9), np.zeros(2)
    for rows in (slice(None), slice(2, None)):
        with pytest.raises(ValueError, match="2 centres"):
            render(scene, 80, zero, zero, rows=rows)
    with pytest.raises(ValueError, match="step of 2"):
        render(scene, 80, zero, zero, rows=slice(0, 3, 2))
