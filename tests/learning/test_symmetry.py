"""The laws of rotation, mirror and enlargement, against the conventions of the coordinates and the simulator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from droulette.learning.symmetry import Group, Laws, Motions

AMPLITUDES = [f"{kind}[{m}][{s}]" for m in range(5) for s in range((m + 1) % 2, m + 2, 2) for kind in ("alpha", "beta")]
COLUMNS = ["sigma", "xiX", "xiY", *AMPLITUDES]
LAWS = Laws.of(COLUMNS)


def motion(degrees: float, mirror: bool = False, zoom: float = 1.0) -> Motions:
    return Motions(np.array([degrees]), np.array([mirror]), np.array([zoom]))


def moved(x, y, degrees: float, mirror: bool, zoom: float = 1.0):
    """(x, y), mirrored in the x axis, then turned counter-clockwise, then enlarged."""
    point = complex(x, -y if mirror else y) * np.exp(1j * np.deg2rad(degrees)) * zoom
    return point.real, point.imag


values = st.lists(st.floats(-10, 10), min_size=len(COLUMNS), max_size=len(COLUMNS))
motions = st.tuples(st.floats(-360, 360), st.booleans(), st.floats(0.5, 2))


@given(values, motions)
def test_targets_follow_the_laws(values, one):
    degrees, mirror, zoom = one
    old = dict(zip(COLUMNS, values, strict=True)) | {f"beta[{m}][0]": 0.0 for m in (1, 3)}
    table = np.array([[old[column] for column in COLUMNS]])
    new = dict(zip(COLUMNS, LAWS.move(table, motion(*one))[0], strict=True))
    assert new["sigma"] == pytest.approx(old["sigma"] * zoom)
    np.testing.assert_allclose((new["xiX"], new["xiY"]), moved(old["xiX"], old["xiY"], *one), atol=1e-9)
    for m in range(5):
        for s in range((m + 1) % 2, m + 2, 2):
            a, b = old[f"alpha[{m}][{s}]"], (-1 if mirror else 1) * old[f"beta[{m}][{s}]"]
            expected = (a + 1j * b) * np.exp(1j * s * np.deg2rad(degrees)) * zoom ** (1 - m)
            found = new[f"alpha[{m}][{s}]"] + 1j * new[f"beta[{m}][{s}]"]
            np.testing.assert_allclose(found, expected, atol=1e-9)


@given(values, st.floats(-360, 360), st.booleans())
def test_turning_back_undoes_a_turn(values, degrees, mirror):
    table, one = np.array([values]), motion(degrees, mirror)
    np.testing.assert_allclose(LAWS.turn_back(LAWS.turn(table, one), one), table, atol=1e-9)


@pytest.mark.parametrize("one", [(90.0, False, 1.0), (37.5, False, 1.5), (0.0, True, 0.8), (211.0, True, 1.3)])
def test_moving_the_scene_moves_the_simulators_targets(one, tmp_path):
    """A lens, source and position moved, solved afresh; without centring, so that no pixel plays a part."""
    import pandas as pd

    from droulette.pipeline.generate import Drawing, generate

    degrees, mirror, zoom = one
    flip, (x, y) = -1 if mirror else 1, moved(5.0, 3.0, *one)
    scene = {"model": "Raytrace", "lens": "SIE", "ellipseratio": 0.6, "source": "Ellipsoid"}
    before = {
        "einsteinradius": 9.0,
        "sigma": 4.0,
        "sigma2": 2.0,
        "orientation": 25.0,
        "theta": 70.0,
        "x": 5.0,
        "y": 3.0,
    }
    after = {name: zoom * before[name] for name in ("einsteinradius", "sigma", "sigma2")} | {"x": x, "y": y}
    after |= {name: flip * before[name] + degrees for name in ("orientation", "theta")}
    rows = [scene | row | {"filename": f"{k}.png", "R": 6.0, "phi": 0.0} for k, row in enumerate((before, after))]
    table = generate(pd.DataFrame(rows), Drawing(nterms=4, imagesize=8), tmp_path)[COLUMNS].to_numpy()
    np.testing.assert_allclose(table[1:], LAWS.move(table[:1], motion(*one)), rtol=1e-9, atol=1e-12)


def test_variances_turn_with_their_components():
    rng = np.random.default_rng(0)
    deviations = np.array([2.0, 0.5])
    draws = rng.normal(size=(200_000, 2)) * deviations
    laws = Laws.of(["xiX", "xiY"])
    turned = laws.turn(draws, motion(30.0).repeat(len(draws)))
    np.testing.assert_allclose(turned.var(axis=0), laws.mix(deviations[None] ** 2, motion(30.0))[0], rtol=0.02)


def turns_of(columns, turns: int = 4) -> list[tuple[float, bool]]:
    group = Group.of(Laws.of(columns), turns).turns
    return list(zip(group.degrees.tolist(), group.mirror.tolist(), strict=True))


def test_only_what_is_defined_on_the_columns_is_used():
    assert len(turns_of(COLUMNS, 128)) == 256
    assert len(turns_of([c for c in COLUMNS if c not in ("beta[1][0]", "beta[3][0]")])) == 8  # always 0
    # A quarter turn would need beta[0][1].
    assert turns_of(["sigma", "alpha[0][1]"]) == [(0, False), (180, False), (0, True), (180, True)]
    assert turns_of(["sigma", "theta"]) == [(0, False)]
    zooms = (0.9, 1.0, 1.1)
    assert Group.of(LAWS, 4, zooms).zooms.tolist() == list(zooms)
    assert Group.of(Laws.of(["sigma", "theta"]), 4, zooms).zooms.tolist() == [1]
    identity = Laws.of(["theta", "sigma"]).move(np.array([[1.0, 2.0]]), motion(0.0))
    np.testing.assert_array_equal(identity, [[1.0, 2.0]])


def test_some_of_a_group_are_spread_evenly_and_begin_with_the_identity():
    group = Group.of(LAWS, 128)
    some = group.some(8)
    assert list(zip(some.degrees, some.mirror, strict=True)) == [
        (degrees, mirror) for mirror in (False, True) for degrees in (0, 90, 180, 270)
    ]
    assert len(group.some(1000)) == 256
    assert (group.some(1).degrees[0], group.some(1).mirror[0]) == (0, False)
