"""The symmetries of the pixel grid, against the conventions of the coordinates and against the simulator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from droulette.learning.symmetry import symmetries

AMPLITUDES = [f"{kind}[{m}][{s}]" for m in range(5) for s in range((m + 1) % 2, m + 2, 2) for kind in ("alpha", "beta")]
COLUMNS = ["sigma", "xiX", "xiY", *AMPLITUDES]
EIGHT = [(turns, mirror) for mirror in (False, True) for turns in range(4)]


def of(columns, turns: int, mirror: bool):
    return next(s for s in symmetries(columns) if (s.turns, s.mirror) == (turns, mirror))


def moved(x, y, turns: int, mirror: bool):
    """(x, y), mirrored in the x axis, then turned counter-clockwise."""
    point = complex(x, -y if mirror else y) * 1j**turns
    return point.real, point.imag


def spot(x: float, y: float, size: int) -> np.ndarray:
    """A round spot at (x, y): pixel (i, j) is the point x = j - N/2, y = N/2 - i."""
    i, j = np.mgrid[:size, :size]
    return np.exp(-((j - size / 2 - x) ** 2 + (size / 2 - i - y) ** 2) / 8)


@pytest.mark.parametrize(("turns", "mirror"), EIGHT)
@pytest.mark.parametrize("size", [16, 17])
@given(x=st.floats(-6, 6), y=st.floats(-6, 6))
def test_a_picture_is_turned_and_mirrored_about_its_origin(turns, mirror, size, x, y):
    picture = of(COLUMNS, turns, mirror).of_picture(spot(x, y, size))
    expected = spot(*moved(x, y, turns, mirror), size)
    np.testing.assert_allclose(picture[1:, 1:], expected[1:, 1:], atol=1e-12)


@pytest.mark.parametrize(("turns", "mirror"), EIGHT)
def test_the_row_without_a_partner_keeps_its_light(turns, mirror):
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    turned = of(COLUMNS, turns, mirror).of_picture(picture)
    assert sorted(turned.ravel()) == sorted(picture.ravel())


@pytest.mark.parametrize(("turns", "mirror"), EIGHT)
@given(values=st.lists(st.floats(-10, 10), min_size=len(COLUMNS), max_size=len(COLUMNS)))
def test_targets_follow_the_laws_of_rotation_and_mirror(turns, mirror, values):
    old = dict(zip(COLUMNS, values, strict=True)) | {f"beta[{m}][0]": 0.0 for m in (1, 3)}
    table = np.array([[old[column] for column in COLUMNS]])
    new = dict(zip(COLUMNS, of(COLUMNS, turns, mirror).of_targets(table)[0], strict=True))
    delta, flip = turns * np.pi / 2, -1 if mirror else 1
    assert new["sigma"] == old["sigma"]
    np.testing.assert_allclose((new["xiX"], new["xiY"]), moved(old["xiX"], old["xiY"], turns, mirror), atol=1e-9)
    for m in range(5):
        for s in range((m + 1) % 2, m + 2, 2):
            a, b = old[f"alpha[{m}][{s}]"], flip * old[f"beta[{m}][{s}]"]
            turned = (a + 1j * b) * np.exp(1j * s * delta)
            found = new[f"alpha[{m}][{s}]"] + 1j * new[f"beta[{m}][{s}]"]
            np.testing.assert_allclose(found, turned, atol=1e-9)


@pytest.mark.parametrize(("turns", "mirror"), EIGHT)
def test_turning_the_scene_turns_picture_and_targets(turns, mirror, tmp_path):
    """The simulator itself: a lens, source and position turned, drawn and solved afresh."""
    import pandas as pd
    from PIL import Image

    from droulette.pipeline.generate import Drawing, generate

    flip = -1 if mirror else 1
    x, y = moved(5.0, 3.0, turns, mirror)
    scene = {"model": "Raytrace", "lens": "SIE", "einsteinradius": 9.0, "ellipseratio": 0.6, "sigma": 4.0}
    scene |= {"source": "Ellipsoid", "sigma2": 2.0}
    before = scene | {"filename": "0.png", "orientation": 25.0, "theta": 70.0, "x": 5.0, "y": 3.0}
    after = scene | {"filename": "1.png", "x": x, "y": y}
    after |= {"orientation": flip * 25.0 + 90 * turns, "theta": flip * 70.0 + 90 * turns}
    for row in (before, after):
        row |= {"R": np.hypot(5, 3), "phi": 0.0}
    table = generate(pd.DataFrame([before, after]), Drawing(nterms=4, imagesize=64), tmp_path)

    symmetry = of(COLUMNS, turns, mirror)
    expected = symmetry.of_targets(table[COLUMNS].to_numpy()[:1])[0]
    np.testing.assert_allclose(table[COLUMNS].to_numpy()[1], expected, atol=1e-9)
    pictures = [np.asarray(Image.open(tmp_path / name), int) for name in ("0.png", "1.png")]
    assert pictures[0].max() > 200
    difference = symmetry.of_picture(pictures[0]) - pictures[1]
    assert np.abs(difference[1:, 1:]).max() <= 1  # rounding to grey levels


def test_only_what_is_defined_on_the_columns_is_used():
    assert len(symmetries(COLUMNS)) == 8
    assert len(symmetries([c for c in COLUMNS if c not in ("beta[1][0]", "beta[3][0]")])) == 8  # always 0
    halved = symmetries(["sigma", "alpha[0][1]"])  # a quarter turn would need beta[0][1]
    assert [(s.turns, s.mirror) for s in halved] == [(0, False), (2, False), (0, True), (2, True)]
    assert [(s.turns, s.mirror) for s in symmetries(["sigma", "theta"])] == [(0, False)]
    identity = symmetries(["theta", "sigma"])[0]
    np.testing.assert_array_equal(identity.of_targets(np.array([[1.0, 2.0]])), [[1.0, 2.0]])
