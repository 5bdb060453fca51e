"""Ours against CosmoSim 3.3.0, row by row."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import peer
import pytest
from peer import IMAGESIZE, Results

import droulette as dr
from droulette.physics.amplitudes import orders
from droulette.pipeline.scenes import groups, lens_batch, source_batch

ROUND = ("Spherical", "SersicSphere")
ROTATED = ("Ellipsoid", "SersicEllipsoid")
EDGE = 1e-6  # px: rays this close to a rounding edge may fall on either side of it
STOP = 0.02  # px: a step shorter than this ends CosmoSim's iteration for ξ


@dataclass
class Comparison:
    rows: pd.DataFrame
    ours: Results
    theirs: Results


@pytest.fixture(scope="module")
def raytraced() -> Comparison:
    """PM, SIS, SIE and clusters of SIS and SIE × round sources."""
    rows = peer.random_rows(200, 1, ROUND)
    return Comparison(rows, peer.ours(rows), peer.theirs(rows))


@pytest.fixture(scope="module")
def roulettes() -> Comparison:
    """PM, SIS and SIE × round sources, ours about CosmoSim's ξ."""
    rows = peer.random_rows(48, 3, ROUND, ("PM", "SIS", "SIE"), "Roulette")
    theirs = peer.theirs(rows)
    return Comparison(rows, peer.ours(rows, theirs.xi), theirs)


def row_by_row(rows: pd.DataFrame):
    """(position, lens, source, kind) of each row, the lens and the source a batch of one."""
    for kind, of_kind in groups(rows, "random rows"):
        for i in of_kind:
            one = rows.iloc[[i]]
            yield i, lens_batch(one, kind, "random rows"), source_batch(one, kind, "random rows")


def assert_differs_only_at_edges(comparison: Comparison, considered: np.ndarray) -> None:
    """Of the pixels considered, (n, N, N): ≥ 99.99 % equal, each other that of a ray within EDGE of ours."""
    different = (comparison.ours.pictures != comparison.theirs.pictures) & considered
    assert different.sum() <= 1e-4 * considered.sum()
    for i, lens, source in row_by_row(comparison.rows):
        lines, columns = np.nonzero(different[i])
        if not len(lines):
            continue
        x, y = columns - IMAGESIZE / 2, IMAGESIZE / 2 - lines
        xi = comparison.theirs.xi[i][:, None]
        mapping = peer.mapping(comparison.rows.iloc[[i]], lens, xi)
        dx, dy = mapping.offset(x, y)
        found = comparison.theirs.pictures[i][lines, columns]
        reached = np.zeros(found.shape, bool)
        for edge_x, edge_y in itertools.product((-EDGE, 0, EDGE), repeat=2):
            level = source.brightness(np.floor(dx + edge_x), -np.floor(-dy - edge_y)).clip(0, 255).round()
            reached |= found == level
        assert reached.all()


def inside_convergence_circles(rows: pd.DataFrame, xi: np.ndarray) -> np.ndarray:
    """(n, N, N): nearer to ξ than the lens centre, which is the origin."""
    x = np.arange(IMAGESIZE) - IMAGESIZE / 2
    distance = np.hypot(x - xi[:, 0, None, None], -x[:, None] - xi[:, 1, None, None])
    return distance < np.hypot(*xi.T)[:, None, None]


def test_raytraced_pictures_equal_cosmosims_except_at_rounding_edges(raytraced):
    clusters = raytraced.rows["cluster"].dropna()
    assert {"SIS", "SIE"} == {part.split("/")[0] for text in clusters for part in text.split(";")}
    lit = raytraced.theirs.pictures > 0
    assert (lit.sum((1, 2)) > 100).sum() >= 195  # most pictures are not all black
    assert_differs_only_at_edges(raytraced, np.ones(lit.shape, bool))


def test_pictures_of_rotated_sources_agree_within_a_grey_level():
    rows = peer.random_rows(40, 2, ROTATED)
    difference = peer.ours(rows).pictures.astype(int) - peer.theirs(rows).pictures
    assert (np.abs(difference) <= 1).mean() >= 0.99


def test_roulette_pictures_equal_cosmosims_inside_the_convergence_circle(roulettes):
    inside = inside_convergence_circles(roulettes.rows, roulettes.theirs.xi)
    assert ((roulettes.theirs.pictures > 0) & inside).sum() > 48 * 1000
    assert_differs_only_at_edges(roulettes, inside)


def test_centre_of_light_is_cosmosims_within_a_twentieth_of_a_pixel(raytraced):
    assert np.abs(raytraced.ours.centre - raytraced.theirs.centre).max() < 0.05


def test_reference_point_differs_from_cosmosims_only_by_its_stopping_rule(raytraced):
    distance = np.hypot(*(raytraced.ours.xi - raytraced.theirs.xi).T)
    assert (distance < 0.05).mean() >= 0.95
    for i, lens, _ in row_by_row(raytraced.rows):
        if distance[i] < 0.05:
            continue
        x, y = raytraced.theirs.xi[i][:1], raytraced.theirs.xi[i][1:]
        eta_x, eta_y = raytraced.rows["x"][i], raytraced.rows["y"][i]
        for step in range(100_000):
            dx, dy = lens.deflection(x, y)
            length = np.hypot(eta_x + dx - x, eta_y + dy - y).item()
            assert step or length < STOP  # CosmoSim stopped here
            x, y = eta_x + dx, eta_y + dy
            if length < 1e-12:
                break
        assert np.hypot(x.item() - raytraced.ours.xi[i, 0], y.item() - raytraced.ours.xi[i, 1]) < 1e-6


def test_amplitudes_to_order_4_equal_cosmosims_at_its_own_reference_point(roulettes):
    m = np.array([m for m, _ in orders(peer.NTERMS)])
    for ours, theirs in (
        (roulettes.ours.alpha, roulettes.theirs.alpha),
        (roulettes.ours.beta, roulettes.theirs.beta),
    ):
        for order in range(peer.NTERMS + 1):
            here = m == order
            largest = np.maximum(np.abs(roulettes.theirs.alpha[:, here]), np.abs(roulettes.theirs.beta[:, here])).max(
                1, keepdims=True
            )
            # Where the exact value is 0 there is nothing to be relative to but the order's largest.
            zero = np.abs(ours[:, here]) < 1e-12 * largest
            allowed = 1e-6 * np.where(zero, largest, np.abs(ours[:, here]))
            assert (np.abs(ours[:, here] - theirs[:, here]) <= allowed).all()


def test_a_scene_of_the_api_is_cosmosims_picture(raytraced):
    for k, row in raytraced.rows.head(12).iterrows():
        scene = dr.Scene.from_row(row, sampling="nearest")
        equal = scene.picture(IMAGESIZE) == raytraced.theirs.pictures[k]
        assert equal.mean() > 0.9999
        assert np.hypot(*(np.array(scene.reference_point) - raytraced.theirs.xi[k])) < 1
