"""The drawing of tables: seeded, each row and each quantity for itself, and full."""

import io
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from droulette.parameters import parse
from droulette.parameters.reading import Distribution
from droulette.pipeline.draw import draw_table
from droulette.pipeline.streams import Streams, sample

LENS = ["einsteinradius", "ellipseratio", "orientation"]
SOURCE = ["source", "R", "phi", "sigma", "sigma2", "theta", "n_sersic", "luminosity", "x", "y", "chi"]


def table(size=1000, **tables):
    simulator = {"size": size} | tables.pop("simulator", {})
    return draw_table(parse({"simulator": simulator} | tables))


def cluster_of(text):
    return [(mode, *map(float, numbers)) for mode, *numbers in (part.split("/") for part in text.split(";"))]


# ---------------------------------------------------------------- columns


def test_columns_are_those_of_the_specification():
    frame = table(3)
    assert list(frame) == ["index", "filename", "model", "lens", *LENS, *SOURCE]
    assert frame["index"].tolist() == [1, 2, 3]
    assert frame["filename"].tolist() == ["image-000001.png", "image-000002.png", "image-000003.png"]


def test_a_config_is_written_with_what_it_names():
    frame = table(simulator={"configs": ["raysie", "rs", "fs"]}, lens={"chi": 50})
    assert list(frame)[2:5] == ["config", "model", "lens"]
    named = {"raysie": ("Raytrace", "SIE"), "rs": ("Raytrace", "SIS"), "fs": ("Roulette", "SIS")}
    assert set(frame["config"]) == set(named)
    assert all(named[row.config] == (row.model, row.lens) for row in frame.itertuples())


def test_sampled_configs_are_marked():
    frame = table(simulator={"configs": ["raysie", "sraysie"]})
    assert (frame["sampled"] == (frame["config"] == "sraysie")).all()
    assert table(5, simulator={"sampled": True})["sampled"].all()


@pytest.mark.parametrize("mode", ["PM", "SIS", "SIE"])
def test_every_lens_has_a_full_set_of_parameters(mode):
    frame = table(lens={"mode": mode})
    assert frame.notna().all(axis=None)
    assert frame["ellipseratio"].between(0.3, 0.9).all() and frame["orientation"].between(0, 180).all()


def test_the_row_alone_survives_csv():
    frame = table(200, cluster={"count": 3}, lens={"modes": ["SIE", "PM"]})
    again = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    assert all((again[name] == frame[name]).all() for name in frame)


# ---------------------------------------------------------------- seeds

MANY = {
    "lens": {"modes": ["SIE", "SIS"]},
    "source": {"modes": ["s", "e", "SersicSphere"], "position": "relative"},
    "cluster": {"count": 2},
}


@pytest.mark.parametrize("tables", [{}, MANY, {"source": {"position": "polar"}}], ids=["default", "cluster", "polar"])
def test_row_i_does_not_depend_on_size(tables):
    pd.testing.assert_frame_equal(table(10, **tables), table(1000, **tables).head(10))


def test_the_same_seed_draws_the_same_and_another_seed_another():
    pd.testing.assert_frame_equal(table(50), table(50))
    other = table(50, simulator={"seed": 1})
    assert not (other["einsteinradius"] == table(50)["einsteinradius"]).any()


def test_the_streams_are_fixed():
    # A change of these numbers would draw every shared dataset anew.
    row = table(1).iloc[0]
    assert row["einsteinradius"] == 38.01803986782589 and row["x"] == 29.39148599881503


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("value, rate", [(0.0, 0.0), (-3.0, 2.0), (7.0, -1.0)])
def test_one_value_is_what_its_distribution_gives_for_every_number(value, rate, whole):
    streams, only = Streams(1, 0, 1000), Distribution(low=value, high=value, rate=rate, whole=whole)
    np.testing.assert_array_equal(streams.draw("x", only), sample(only, streams.uniform("x")), strict=True)


@pytest.mark.parametrize("of_choices", [(4.0,), (4.0, 9.0)])
def test_choices_are_drawn_whatever_the_bounds(of_choices):
    drawn = Streams(1, 0, 1000).draw("x", Distribution(low=5.0, high=5.0, choices=of_choices))
    assert set(drawn) == set(of_choices)


def test_the_range_of_one_quantity_moves_no_other():
    before, after = table(100), table(100, source={"sigma-max": 30})
    assert (before.drop(columns="sigma") == after.drop(columns="sigma")).all(axis=None)
    assert not (before["sigma"] == after["sigma"]).all()


def test_quantities_are_independent():
    frame = table(20_000, source={"position": "relative"})
    numbers = frame[[*LENS, "phi", "sigma", "sigma2", "theta", "n_sersic", "luminosity"]]
    correlation = np.corrcoef(numbers.to_numpy().T) - np.eye(numbers.shape[1])
    assert abs(correlation).max() < 0.03


# ---------------------------------------------------------------- positions


def test_cartesian_angles_are_degrees_from_x_towards_y():
    frame = table()
    assert np.allclose(frame["R"] * np.cos(np.deg2rad(frame["phi"])), frame["x"])
    assert np.allclose(frame["R"] * np.sin(np.deg2rad(frame["phi"])), frame["y"])
    assert frame["phi"].between(0, 360, inclusive="left").all()
    fixed = table(1, position={"x": 0, "y": 2}).iloc[0]
    assert (fixed["R"], fixed["phi"]) == (2, 90)


def test_polar_runs_from_the_einstein_radius_to_two_and_a_half():
    frame = table(source={"position": "polar"})
    ratio = frame["R"] / frame["einsteinradius"]
    assert ratio.between(1, 2.5).all() and ratio.max() > 2.4 and ratio.min() < 1.1
    assert np.allclose(np.hypot(frame["x"], frame["y"]), frame["R"])


def test_polar_bounds_are_numbers_or_the_einstein_radius():
    position = {"r-min": "einsteinR", "r-max": 100}
    frame = table(source={"position": "polar"}, position=position)
    assert (frame["R"] >= frame["einsteinradius"]).all() and frame["R"].between(90, 100).any()
    frame = table(source={"position": "polar"}, position={"r-min": 0, "r-max": "einsteinR"})
    assert (frame["R"] <= frame["einsteinradius"]).all()
    assert (table(source={"position": "polar"}, position={"r": 7})["R"] == 7).all()
    frame = table(source={"position": "polar"}, position={"r": [7, "einsteinR"]})
    assert ((frame["R"] == 7) | (frame["R"] == frame["einsteinradius"])).all() and (frame["R"] == 7).any()


def test_relative_runs_from_one_pixel_to_a_share_of_the_einstein_radius():
    frame = table(source={"position": "relative"}, position={"r-relativemax": 0.5})
    assert (frame["R"] <= 0.5 * frame["einsteinradius"]).all() and (frame["R"] >= 1).all()


def test_the_least_distance_gives_way_to_the_greatest():
    frame = table(source={"position": "relative"}, lens={"einstein-min": 0.1, "einstein-max": 2})
    limit = 1.2 * frame["einsteinradius"]
    assert (frame["R"] <= limit).all() and (frame["R"] >= np.minimum(1, limit)).all()


def test_critical_asks_for_the_critical_curve_at_phi(monkeypatch):
    asked = {}

    def critical_radii(frame, phi):
        asked["columns"], asked["phi"] = list(frame), phi
        return 2 * frame["einsteinradius"].to_numpy()

    monkeypatch.setattr("droulette.pipeline.draw.critical_radii", critical_radii)
    frame = table(source={"position": "critical"}, lens={"mode": "SIE"})
    assert {"lens", *LENS} <= set(asked["columns"]) and (asked["phi"] == frame["phi"]).all()
    assert (frame["R"] <= 2.4 * frame["einsteinradius"]).all()
    assert (frame["R"] > 2.2 * frame["einsteinradius"]).any()


def test_the_origin_is_drawn_only_where_it_is_fixed():
    frame = table(position={"x": [0, 10], "y": [0, 10]})
    assert (frame["R"] > 0).all() and len(frame.groupby(["x", "y"])) == 3
    assert (table(5, position={"x": 0, "y": 0})["R"] == 0).all()
    assert (table(5, position={"x": 0, "y": [0, 4]})["y"] == 4).all()


# ---------------------------------------------------------------- clusters


def test_a_cluster_has_constituents_like_the_lens_near_the_origin():
    frame = table(lens={"modes": ["SIE", "SIS", "PM"]}, cluster={"count": 3, "maxrelativelocation": 0.5})
    assert list(frame) == ["index", "filename", "model", "cluster", *SOURCE]
    seen = set()
    for text in frame["cluster"]:
        constituents = cluster_of(text)
        assert len(constituents) == 3
        for mode, x, y, einstein, *shape in constituents:
            seen.add(mode)
            assert np.hypot(x, y) <= 0.5 * einstein * (1 + 1e-12) and 10 <= einstein <= 50
            assert len(shape) == (2 if mode == "SIE" else 0)
    assert seen == {"SIE", "SIS", "PointMass"}


def test_the_reach_of_a_cluster_stands_for_its_einstein_radius():
    frame = table(cluster={"count": 2}, source={"position": "relative"}, position={"r-min": "einsteinR"})
    reach = [max(np.hypot(x, y) + theta for _, x, y, theta in cluster_of(text)) for text in frame["cluster"]]
    ratio = frame["R"] / np.array(reach)
    assert ratio.between(1 - 1e-12, 1.2 + 1e-12).all() and ratio.max() > 1.15


def test_a_further_constituent_leaves_the_others_in_place():
    two, three = table(20, cluster={"count": 2}), table(20, cluster={"count": 3})
    assert all(b.startswith(a + ";") for a, b in zip(two["cluster"], three["cluster"], strict=True))


def test_counts_may_be_drawn_and_one_is_a_displaced_lens():
    counts = table(cluster={"count": [1, 4]})["cluster"].str.count(";") + 1
    assert set(counts) == {1, 4}


def test_a_config_names_the_constituents_of_a_cluster():
    frame = table(20, simulator={"config": "rousie"}, cluster={"count": 2})
    assert (frame["model"] == "Roulette").all() and "config" not in frame
    assert all(part[0] == "SIE" for text in frame["cluster"] for part in cluster_of(text))


# ---------------------------------------------------------------- sources


def test_sources_are_drawn_from_the_list_constellations_included():
    constellation = "s/1/2/3/4/5/6/7;SersicSphere/-1/0/3/4/5/1/7"
    frame = table(source={"modes": ["s", "t", constellation]})
    assert set(frame["source"]) == {"Spherical", "Triangle", constellation}


def test_light_profile_turns_the_sources_of_cosmosim():
    assert set(table(5, source={"mode": "e", "lightprofile": "Sersic"})["source"]) == {"SersicEllipsoid"}


# ---------------------------------------------------------------- properties


def span(name, low, high):
    return st.tuples(st.floats(low, high), st.floats(low, high)).map(
        lambda ends: {f"{name}-min": min(ends), f"{name}-max": max(ends)}
    )


@settings(max_examples=50, deadline=None)
@given(
    lens=st.builds(dict.__or__, span("einstein", 0.01, 500), span("ellipseratio", 0.01, 1)),
    source=st.builds(dict.__or__, span("sigma", 0.01, 500), span("luminosity", 0.01, 1e4)),
    position=span("x", -300, 300),
    count=st.integers(0, 3),
    kind=st.sampled_from(["cartesian", "polar", "relative"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_drawn_number_is_finite_and_in_its_range(lens, source, position, count, kind, seed):
    frame = table(
        20,
        simulator={"seed": seed},
        lens=lens,
        source=source | {"position": kind},
        position=position,
        cluster={"count": count},
    )
    assert np.isfinite(frame.select_dtypes("number")).all(axis=None)
    ranges = {"sigma": ("sigma", source), "luminosity": ("luminosity", source)}
    if not count:
        ranges |= {"einsteinradius": ("einstein", lens), "ellipseratio": ("ellipseratio", lens)}
    if kind == "cartesian":
        ranges["x"] = ("x", position)
    for column, (name, given_) in ranges.items():
        assert frame[column].between(given_[f"{name}-min"], given_[f"{name}-max"]).all()
    assert np.allclose(np.hypot(frame["x"], frame["y"]), frame["R"])


def test_a_hundred_thousand_rows_take_no_time():
    start = time.process_time()
    table(100_000, source={"position": "relative"})
    assert time.process_time() - start < 2


def test_drawing_needs_no_torch():
    code = "import sys, droulette.pipeline.draw, droulette.parameters; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
