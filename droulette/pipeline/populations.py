"""What fits know of a distribution: its families of scenes, and drawn scenes of each, among which fits begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from droulette import parameters
from droulette.errors import UserError
from droulette.fitting.coordinates import PIXELS
from droulette.fitting.family import Family
from droulette.fitting.observation import Observation
from droulette.fitting.optimise import Prior
from droulette.fitting.starts import Library
from droulette.physics.lenses import LENSES
from droulette.physics.mappings import Raytrace
from droulette.physics.scene import Scenes
from droulette.physics.sources import SOURCES
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, generate_chunks
from droulette.pipeline.scenes import Kind, groups, lens_batch, normalise, source_batch

if TYPE_CHECKING:
    from droulette.parameters import Parameters

DRAWN = 5000  # scenes of the distribution, among which starts are looked for
LEAST_DRAWN = 5  # scenes of a family for each of its parameters: of fewer nothing is known
CANDIDATES = 100  # scenes that look most like a picture, which are lit to be compared with it
SKETCH = 4  # px that pixels are wide, in which they are compared
MAGNIFIED = 5.0  # times that a lensed source is brighter, where the lens's light is given in terms of it
LEAST_LIGHT = 1e-2  # of the lens over that of the lensed source: fainter is none
UNKNOWN_BRIGHTNESS = 3.0  # deviation of ln(luminosity), where an observation's unit of light is its own
UNKNOWN_MIDDLE = 3.0  # px, deviation of the middle of an observation from where it should be
UNKNOWN_SKY = 3.0  # grey levels
FIXED = 1e-3  # of a coordinate, deviation of what does not vary
ABSENT = -40.0  # ln(luminosity) of no light
DOUBT = 0.3  # share of the light that is no evidence: bright cores are wrong first
ROUNDS = 20  # of brightnesses, one after the other
DIMMEST = 1e-3  # times as bright as it was
BRIGHTNESSES = ("source.luminosity", "light.luminosity")


Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Population:
    """Scenes of a distribution, of one kind: their family, coordinates (n, P), roulette table, and sketches."""

    family: Family
    coordinates: np.ndarray
    table: pd.DataFrame
    library: Library

    def prior(self, brightness_known: bool) -> Prior:
        """What is known before a picture is seen. Of an observation less is: its unit of light, its middle, its sky."""
        covariance = np.cov(self.coordinates.T)
        if np.linalg.matrix_rank(covariance) < len(covariance):  # where the distribution leaves a parameter fixed
            covariance += FIXED**2 * np.eye(len(covariance))
        mean = self.coordinates.mean(axis=0)
        if brightness_known:
            return Prior(mean, np.linalg.inv(covariance))
        for axis in (".x", ".y"):  # all places move together
            places = np.array([name.endswith(axis) for name in self.family.names]) * UNKNOWN_MIDDLE / PIXELS
            covariance += np.outer(places, places)
        unknown = {name: UNKNOWN_BRIGHTNESS for name in BRIGHTNESSES} | {"sky": UNKNOWN_SKY}
        for place, name in enumerate(self.family.names):
            covariance[place, place] += unknown.get(name, 0.0) ** 2
        return Prior(mean, np.linalg.inv(covariance))

    def starts(self, observation: Observation, count: int, brightness_known: bool) -> np.ndarray:
        """(B, count, P): where fits begin, the likeliest first."""
        if brightness_known:
            return self.library.nearest(observation, count)
        return self.lit(observation, self.library.nearest(observation, CANDIDATES))[:, :count]

    def lit(self, observation: Observation, starts: np.ndarray) -> np.ndarray:
        """Scenes (B, S, P) with the brightnesses that fit the pictures, those nearest to these first."""
        count, number, size = starts.shape
        about = observation.binned(SKETCH)
        seen = about.weights > 0
        variance = 1 / np.where(seen, about.weights, 1.0) ** 2 + (DOUBT * about.pictures) ** 2
        weights = np.where(seen, variance**-0.5, 0.0).reshape(count, 1, -1)

        def drawn(flat: np.ndarray) -> np.ndarray:
            light = np.concatenate([light for _, light in about.drawn(self.family, flat, number)])
            return light.reshape(count, number, -1) * weights

        flat = starts.reshape(-1, size).copy()
        whole = drawn(flat)
        missing = about.pictures.reshape(count, 1, -1) * weights - whole
        places = [self.family.names.index(name) for name in BRIGHTNESSES if name in self.family.names]
        parts = []
        for place in places:
            dark = flat.copy()
            dark[:, place] = ABSENT
            parts.append(whole - drawn(dark))
        factors = np.ones((len(parts), count, number))
        for _ in range(ROUNDS if parts else 0):
            for k, part in enumerate(parts):
                wanted = (part * missing).sum(axis=2) / ((part**2).sum(axis=2) + 1e-300)
                change = np.maximum(factors[k] + wanted, DIMMEST) - factors[k]
                factors[k] += change
                missing = missing - change[:, :, None] * part
        for place, factor in zip(places, factors, strict=True):
            flat[:, place] += np.log(factor.ravel())
        order = np.argsort((missing**2).sum(axis=2), axis=1, kind="stable")
        return np.take_along_axis(flat.reshape(starts.shape), order[:, :, None], axis=1)


def populations(params: Parameters, name: str, size: int) -> list[Population]:
    """The kinds of scenes of a distribution: of its first rows. size: N of the pictures that will be fitted.

    name: of the distribution, for messages.

    Raises:
        UserError: a distribution of scenes that are not described by numbers, or of pictures of another size.
    """
    drawing = Drawing.of(params.simulator)
    if drawing.size != size:
        found = f"{name}: found pictures of {drawing.size}×{drawing.size} pixels"
        raise UserError(f"{found}, expected {size}×{size}, which are to be fitted")
    if params.instrument.given:  # only for the lens's light: a telescope's files need not be here
        params = params.model_copy(update={"instrument": type(params.instrument).model_validate({"noise": 1.0})})
    rows = draw_table(params, 0, DRAWN).reset_index(drop=True)
    for kind, _ in groups(normalise(rows, name), name):
        _check(kind, name)
    rows = rows.drop(columns="psf", errors="ignore")  # without it, no instrument takes them
    (table,) = generate_chunks([rows], drawing, None, name=name)
    found = []
    for places, family, coordinates in families(rows, table, name):
        if "lightradius" in rows:
            family, coordinates = with_light(family, coordinates, rows.iloc[places])
        if len(places) >= LEAST_DRAWN * family.size:
            some = table.iloc[places].reset_index(drop=True)
            found.append(Population(family, coordinates, some, Library.of(family, coordinates, size)))
    if not found:
        raise UserError(f"{name}: found too many kinds of lens and source, expected a few, to be fitted as families")
    return found


def with_light(family: Family, coordinates: np.ndarray, rows: pd.DataFrame) -> tuple[Family, np.ndarray]:
    """The family with the lens's own light, and coordinates of which rows give that light."""
    lit = replace(family, light=True)
    values = family.values(coordinates)
    root = rows["lightaxisratio"].to_numpy() ** 0.5
    ratio = np.maximum(rows["lightratio"].to_numpy() * rows["lightshare"].to_numpy(), LEAST_LIGHT)
    values |= {
        "light.sigma": rows["lightradius"].to_numpy() / root,
        "light.sigma2": rows["lightradius"].to_numpy() * root,
        "light.theta": rows["lightorientation"].to_numpy(np.float64),
        "light.n_sersic": rows["lightsersic"].to_numpy(np.float64),
        "light.luminosity": ratio * MAGNIFIED * values.get("source.luminosity", 1.0),
        "sky": np.zeros(len(rows)),
    }
    return lit, lit.coordinates(values)


def distribution_to_fit(
    toml: str | Path | None, family: str | None, trained_on: Tables | None, size: int, observed: bool
) -> tuple[Parameters, str]:
    """The distribution of which scenes are fitted, and its name for messages.

    toml: a file that describes it. family: `LENS` or `LENS,SOURCE`, SIE+Shear for example, in place of those of the
    distribution; or a TOML file. trained_on: the tables that a model was trained on. size: N of the pictures.
    observed: whether a telescope took them.

    Raises:
        UserError: neither says what to fit, or what is wrong in it.
    """
    if family is not None and family.lower().endswith(".toml"):
        toml, family = family, None
    if toml is not None:
        name, params = str(toml), parameters.load(toml)
        tables = parameters.distribution(params) or {}
    elif trained_on is not None:
        name, tables = "the model's distribution", trained_on
        params = parameters.parse(tables, name)
    elif family is not None:
        name, tables, params = "--family", usual(size, observed), None
    else:
        raise UserError(
            "--fit: this model does not say what it was trained on, expected --family LENS,SOURCE or --fit TOML"
        )
    if family is None:
        return params, name
    lens, comma, source = (part.strip() for part in family.partition(","))
    changed = {key: dict(table) for key, table in tables.items() if key not in ("cluster", "subhaloes")}
    changed["lens"] = changed.get("lens", {}) | {"mode": lens}
    if comma:
        changed["source"] = changed.get("source", {}) | {"mode": source}
    for key in ("model", "config", "sampled"):
        changed.get("simulator", {}).pop(key, None)
    return parameters.parse(changed, f"--family {family}"), f"--family {family}"


def usual(size: int, observed: bool) -> dict[str, dict[str, Any]]:
    """A distribution for pictures of `size` pixels of which nothing is known but that they show a lensed galaxy.

    observed: whether a telescope took them; then the lens may have light of its own.
    """
    tables: dict[str, dict[str, Any]] = {
        "simulator": {"imagesize": size + size // 2, "cropsize": size, "centred": True},
        "lens": {
            "mode": "SIE",
            "einstein-min": size / 30,
            "einstein-max": size / 3,
            "ellipseratio-min": 0.4,
            "ellipseratio-max": 1.0,
        },
        "source": {
            "mode": "SersicEllipsoid",
            "sigma-min": size / 80,
            "sigma-max": size / 12,
            "sigma2-min": size / 80,
            "sigma2-max": size / 12,
            "n_sersic-min": 0.5,
            "n_sersic-max": 4.0,
            "position": "relative",
        },
        "position": {"r-relativemax": 0.8},
    }
    light = {"flux-ratio-min": 0.0, "flux-ratio-max": 12.0}
    return tables | ({"instrument": {"noise": 1.0}, "lens_light": light} if observed else {})


def families(rows: pd.DataFrame, roulette: pd.DataFrame, name: str) -> list[tuple[np.ndarray, Family, np.ndarray]]:
    """The places of the rows of each kind of a dataset table, their family, and their coordinates (n, P) in the frames
    of their pictures.

    roulette: the rows of their roulette table, which says where the middles of the pictures are.

    Raises:
        UserError: rows that no family describes.
    """
    frame = normalise(rows.drop(columns="neighbours", errors="ignore"), name)
    found = []
    for kind, places in groups(frame, name):
        _check(kind, name)
        some = frame.iloc[places]
        lens, source = lens_batch(some, kind, name), source_batch(some, kind, name)
        scene = Scenes(Raytrace(lens, *some[["x", "y"]].to_numpy(np.float64).T), source)
        family = Family.of(scene)
        middle = roulette[["centreX", "centreY"]].to_numpy(np.float64)[places].T
        found.append((places, family, family.coordinates(family.values_of(scene, *middle))))
    return found


def family_and_coordinates(rows: pd.DataFrame, roulette: pd.DataFrame, name: str) -> tuple[Family, np.ndarray]:
    """The family and the coordinates of rows that are all of one kind.

    Raises:
        UserError: rows of several kinds of lens or source, for which there is no one family; see also `families`.
    """
    found = families(rows, roulette, name)
    if len(found) != 1:
        raise UserError(f"{name}: found {len(found)} kinds of lens and source, expected one, to be fitted as a family")
    return found[0][1:]


def _check(kind: Kind, name: str) -> None:
    """Raises UserError: scenes that are not described by numbers alone."""
    if kind.sampled or kind.model != "Raytrace":
        raise UserError(f"{name}: found a sampled lens or roulettes, expected raytraced pictures, to be fitted")
    if kind.constellation:
        raise UserError(f"{name}: found a constellation of sources, expected a single source, to be fitted")
    for model in (*(LENSES[lens] for lens in kind.lenses), *(SOURCES[source] for source in kind.sources)):
        if model.not_numbers:
            found = f"found {model.names[0]}, which needs files"
            raise UserError(f"{name}: {found}, expected a {model.kind} described by numbers alone, to be fitted")
