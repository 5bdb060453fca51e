"""Sums of lenses by name, and subhaloes: keys, columns, what is drawn of them, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from droulette.errors import UserError
from droulette.parameters import parse
from droulette.physics.amplitudes import amplitudes
from droulette.physics.lenses import LENSES, SIE, SIS, Cluster
from droulette.pipeline.draw import draw_table
from droulette.pipeline.scenes import einstein_radii, groups, lens_batch, normalise


def table(size=200, **tables):
    return draw_table(parse({"simulator": {"size": size}} | tables))


def lenses(frame):
    """Each kind's rows with its lenses."""
    frame = normalise(frame, "dataset.csv")
    for kind, rows in groups(frame, "dataset.csv"):
        yield frame.iloc[rows], lens_batch(frame.iloc[rows], kind, "dataset.csv")


def deflection(text, x, y):
    """Of the lenses of a text `SIS/x/y/θ_E;SIE/…`, from their closed formulas, one after the other."""
    total = np.zeros(2)
    for name, *numbers in (part.split("/") for part in text.split(";") if part):
        cx, cy, *parameters = map(float, numbers)
        lens = {"SIS": SIS, "SIE": SIE}[name](*parameters)
        total += np.concatenate(lens.deflection(np.array([x - cx]), np.array([y - cy])))
    return total


# ---------------------------------------------------------------- names


def test_a_sum_has_the_parameters_of_its_parts_each_once():
    assert [q.column for q in LENSES["SIE+SIS"].parameters] == [
        "einsteinradius", "ellipseratio", "orientation", "SIS.einsteinradius",
    ]  # fmt: skip
    assert [q.column for q in LENSES["SIS+SIS+SIS"].parameters] == [
        "einsteinradius", "SIS2.einsteinradius", "SIS3.einsteinradius",
    ]  # fmt: skip


def test_a_sum_is_known_by_its_parts_other_names_too():
    frame = table(3, lens={"mode": " PointMass + SIE"})
    assert set(frame["lens"]) == {"PM+SIE"}


@pytest.mark.parametrize("name", ["SIE+", "SIE+Nothing", "+", "SIE + + SIS", "+".join(["SIS"] * 21)])
def test_a_sum_of_what_is_no_lens_is_refused(name):
    with pytest.raises(UserError, match=r"lens.mode: found '.*', expected one or a list of PM, .*sum of them"):
        parse({"lens": {"mode": name}})


def test_a_part_has_its_own_range():
    frame = table(lens={"mode": "SIE+SIS", "einstein": 20, "SIS": {"einstein-min": 1, "einstein-max": 2}})
    assert (frame["einsteinradius"] == 20).all()
    assert frame["SIS.einsteinradius"].between(1, 2).all() and frame["SIS.einsteinradius"].nunique() == len(frame)


@pytest.mark.parametrize(
    "lens, line",
    [
        ({"mode": "SIE+SIS", "SIS": {"einstein": 0}}, "lens.SIS.einstein: found 0, expected a number in (0, "),
        ({"mode": "SIE+SIS", "SIS": {"slope": 2}}, "lens.SIS.slope: found an unknown key, expected one of einstein"),
        ({"mode": "SIE+SIS", "SIE": {"einstein": 1}}, "lens.SIE: found an unknown table, expected"),
        ({"mode": "SIS", "SIS": {"einstein": 1}}, "lens.SIS: found an unknown table, expected"),
    ],
)  # fmt: skip
def test_a_key_of_no_part_is_refused(lens, line):
    with pytest.raises(UserError) as error:
        parse({"lens": lens})
    assert line in str(error.value)


# ---------------------------------------------------------------- what they are


def test_the_amplitudes_of_a_sum_are_the_sums_of_its_parts():
    frame = table(lens={"mode": "SIE+SIS", "SIS": {"einstein": 7}}, source={"position": "polar"})
    x, y = frame["x"].to_numpy(), frame["y"].to_numpy()
    ((_, lens),) = lenses(frame)
    both = amplitudes(lens, x, y, 6)
    sie = amplitudes(SIE(*(frame[c].to_numpy() for c in ("einsteinradius", "ellipseratio", "orientation"))), x, y, 6)
    sis = amplitudes(SIS(np.full(len(frame), 7.0)), x, y, 6)
    for whole, one, other in zip(both, sie, sis, strict=True):
        np.testing.assert_allclose(whole, one + other, rtol=1e-13, atol=1e-16)


def test_a_sum_may_be_part_of_a_cluster():
    text = "SIE+SIS/3/-2/20/0.5/30/4;SIS/-10/8/6"
    row = pd.DataFrame({"cluster": [text], "source": "Spherical", "sigma": 2.0, "x": 1.0, "y": 2.0})
    ((_, lens),) = lenses(row)
    got = np.concatenate(lens.deflection(np.array([9.0]), np.array([-4.0])))
    np.testing.assert_allclose(got, deflection("SIE/3/-2/20/0.5/30;SIS/3/-2/4;SIS/-10/8/6", 9.0, -4.0), rtol=1e-14)
    assert len(lens.parts()) == 3


def test_the_einstein_radius_of_a_sum_is_the_sum():
    frame = table(5, lens={"mode": ["SIE+SIS", "SIS"], "einstein": 20, "SIS": {"einstein": 3}})
    assert einstein_radii(frame).tolist() == [23.0 if lens == "SIE+SIS" else 20.0 for lens in frame["lens"]]


# ---------------------------------------------------------------- subhaloes


def test_subhaloes_are_added_to_the_lens():
    frame = table(50, subhaloes={"count": 3, "mode": ["SIS", "SIE"]}, lens={"mode": "SIE"})
    seen = 0
    for rows, lens in lenses(frame):
        for place, (_, row) in enumerate(rows.iterrows()):
            point = np.full(len(rows), 12.0), np.full(len(rows), 5.0)
            got = np.array([part[place] for part in lens.deflection(*point)])
            main = f"SIE/0/0/{row['einsteinradius']}/{row['ellipseratio']}/{row['orientation']}"
            np.testing.assert_allclose(got, deflection(f"{main};{row['subhaloes']}", 12.0, 5.0), rtol=1e-13)
            seen += 1
    assert seen == 50


def test_subhaloes_of_clusters_too():
    frame = table(4, subhaloes={"count": 2, "poisson": False}, cluster={"count": 2})
    for rows, lens in lenses(frame):
        assert isinstance(lens, Cluster) and len(lens.parts()) == 4
        assert (rows["subhaloes"].str.count(";") == 1).all()


def test_their_number_is_poissons_and_their_masses_follow_the_power_law():
    settings = {"count": 4, "mass-min": 0.001, "mass-max": 0.1, "mass-slope": 1.9, "radius": 1.5}
    frame = table(4000, subhaloes=settings, lens={"einstein": 30})
    texts = [text.split(";") if text else [] for text in frame["subhaloes"]]
    counts = np.array([len(text) for text in texts])
    expected = [stats.poisson.pmf(k, 4) * len(frame) for k in range(9)]
    observed = [np.sum(counts == k) for k in range(9)]
    assert (
        stats.chisquare([*observed, len(frame) - sum(observed)], [*expected, len(frame) - sum(expected)]).pvalue > 1e-3
    )
    numbers = np.array([part.split("/")[1:] for text in texts for part in text], dtype=float)
    mass = (numbers[:, 2] / 30) ** 2
    assert mass.min() >= 0.001 and mass.max() <= 0.1 * (1 + 1e-12)

    def below(m):
        return (m**-0.9 - 0.001**-0.9) / (0.1**-0.9 - 0.001**-0.9)

    assert stats.kstest(mass, below).pvalue > 1e-3
    distance = np.hypot(numbers[:, 0], numbers[:, 1]) / 45
    assert stats.kstest(distance, lambda r: r**2).pvalue > 1e-3


def test_more_subhaloes_leave_the_first_ones_as_they_are():
    few, many = (table(20, subhaloes={"count": n, "poisson": False})["subhaloes"] for n in (2, 5))
    assert all(more.startswith(text + ";") for text, more in zip(few, many, strict=True))


@pytest.mark.parametrize("column, text, message", [
    ("subhaloes", "SIS/1/2", "expected SIS and 3 numbers"),
    ("subhaloes", "Nothing/1/2/3", "found 'Nothing', expected one of"),
    ("subhaloes", "SIS/1/2/-3", "found einsteinradius -3"),
])  # fmt: skip
def test_texts_that_are_no_subhaloes_are_refused(column, text, message):
    frame = table(1)
    frame[column] = [text]
    with pytest.raises(UserError, match=message):
        list(lenses(frame))


def test_impossible_masses_are_refused():
    with pytest.raises(UserError, match=r"subhaloes.mass-min: found 0.5, expected at most mass-max = 0.1"):
        parse({"subhaloes": {"mass-min": 0.5}})
