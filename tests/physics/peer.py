"""CosmoSim 3.3.0 beside ours: the same random rows through both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from droulette.physics.amplitudes import amplitudes, orders
from droulette.physics.lens_equation import apparent_position
from droulette.physics.lenses import Lens
from droulette.physics.mappings import Mapping, Raytrace, Roulette
from droulette.physics.rendering import Scenes, centre_of_light, render
from droulette.pipeline.scenes import groups, lens_batch, normalise, source_batch

pytest.importorskip("CosmoSim", reason="the peer is a test dependency: pip install -r requirements-test.txt")

IMAGESIZE = 512
NTERMS = 4


def random_rows(count: int, seed: int, sources, lenses=("PM", "SIS", "SIE", "cluster"), model="Raytrace"):
    """A dataset table, lenses × sources, unrounded."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        lens = lenses[i % len(lenses)]
        theta = rng.uniform(5, 60)
        radius, angle = theta * rng.uniform(0.2, 1.5), rng.uniform(0, 2 * np.pi)
        row = {
            "filename": f"image-{i + 1:06}.png",
            "model": model,
            "lens": lens if lens != "cluster" else "SIS",
            "einsteinradius": theta,
            "ellipseratio": rng.uniform(0.1, 0.95),
            "orientation": rng.uniform(0, 180),
            "cluster": cluster(rng, theta) if lens == "cluster" else None,
            "source": sources[(i // len(lenses)) % len(sources)],
            "sigma": rng.uniform(3, 40),
            "sigma2": rng.uniform(3, 40),
            "theta": rng.uniform(0, 180),
            "n_sersic": rng.uniform(1, 5),
            "luminosity": rng.uniform(20, 80),
            "x": radius * np.cos(angle),
            "y": radius * np.sin(angle),
        }
        rows.append(row)
    return normalise(pd.DataFrame(rows), "random rows")


def cluster(rng: np.random.Generator, theta: float) -> str:
    """Two or three constituents; clusters of one kind only and mixed ones."""
    parts = []
    for kind in rng.choice(["SIS", "SIE"], size=rng.integers(2, 4)):
        t = theta * rng.uniform(0.3, 0.6)
        x, y = rng.uniform(-1, 1, 2) * t
        tail = f"/{rng.uniform(0.2, 0.9)!r}/{rng.uniform(0, 180)!r}" if kind == "SIE" else ""
        parts.append(f"{kind}/{float(x)!r}/{float(y)!r}/{float(t)!r}{tail}")
    return ";".join(parts)


@contextmanager
def silence() -> Iterator[None]:
    """CosmoSim writes to file descriptor 1, past Python's sys.stdout."""
    kept, devnull = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(devnull)


def run(row: pd.Series, **simulator):
    """CosmoSim's own simulation of one row."""
    from CosmoSim import Parameters
    from CosmoSim.CLI import Arguments
    from CosmoSim.CLI.SimImage import SimImage

    # Its defaults are one dictionary that every row writes into: a cluster would stay for the rows after it.
    for table in Arguments.skel.values():
        table.pop("cluster", None)
    param = Parameters({"simulator": {"imagesize": IMAGESIZE, "nterms": NTERMS, "centred": True} | simulator})
    param.setRow(row.dropna())
    return SimImage(param, verbose=0)


@dataclass
class Results:
    """Pictures (n, N, N) uint8; ξ and centre of light (n, 2) px; amplitudes (n, len(orders(NTERMS)))."""

    pictures: np.ndarray
    xi: np.ndarray
    centre: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray

    @classmethod
    def empty(cls, count: int) -> Results:
        terms = len(orders(NTERMS))
        return cls(
            np.zeros((count, IMAGESIZE, IMAGESIZE), np.uint8),
            *(np.zeros((count, width)) for width in (2, 2, terms, terms)),
        )


def theirs(rows: pd.DataFrame) -> Results:
    """CosmoSim's results for each row."""
    results = Results.empty(len(rows))
    with silence():
        for i, row in rows.iterrows():
            simulation = run(row)
            results.pictures[i] = simulation.image
            results.centre[i] = simulation.centrepoint
            results.xi[i] = np.ravel(simulation.sim.getNu())
            table = simulation.getData()
            results.alpha[i] = [table[f"alpha[{m}][{s}]"] for m, s in orders(NTERMS)]
            results.beta[i] = [table[f"beta[{m}][{s}]"] for m, s in orders(NTERMS)]
    return results


def mapping(rows: pd.DataFrame, lens: Lens, xi: np.ndarray) -> Mapping:
    """Ours, of rows that all have one kind; Roulette about the given ξ₀, (2, n)."""
    if rows["model"].iloc[0] == "Raytrace":
        return Raytrace(lens, rows["x"].to_numpy().copy(), rows["y"].to_numpy().copy())
    return Roulette.from_amplitudes(*xi, *amplitudes(lens, *xi, NTERMS), NTERMS)


def ours(rows: pd.DataFrame, xi: np.ndarray | None = None) -> Results:
    """Our results, about our own reference points or about the given ones, (n, 2)."""
    results = Results.empty(len(rows))
    for kind, of_kind in groups(rows, "random rows"):
        for here in np.array_split(of_kind, -(-len(of_kind) // 8)):
            part = rows.iloc[here]
            lens, source = lens_batch(part, kind, "random rows"), source_batch(part, kind, "random rows")
            if xi is None:
                eta = (part[axis].to_numpy().copy() for axis in ("x", "y"))
                at = np.stack(apparent_position(lens, *eta))
            else:
                at = xi[here].T.copy()
            scene = Scenes(mapping(part, lens, at), source)
            zero = np.zeros(len(here))
            results.pictures[here] = render(scene, IMAGESIZE, zero, zero, sampling="nearest")
            results.centre[here] = np.stack(centre_of_light(scene, IMAGESIZE, sampling="nearest"), 1)
            results.xi[here] = at.T
            alpha, beta = amplitudes(lens, *at, NTERMS)
            results.alpha[here], results.beta[here] = alpha.T, beta.T
    return results
