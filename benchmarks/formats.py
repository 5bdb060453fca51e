"""How well deflections and light agree with lenstronomy's, PyAutoLens's and COOLEST's: the largest relative difference.

    PYTHONPATH=.peers python benchmarks/formats.py --scenes 1000

`from`: theirs converted to ours. `to`: ours converted to theirs. Packages that are not installed are left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "formats")]
import format_fixtures as packages  # noqa: E402
from helpers import SCALE, brightness, deflections, error, random_lens, random_source  # noqa: E402

from droulette.formats import Component, Description, coolest, lenstronomy, pyautolens  # noqa: E402
from droulette.physics.sources import SOURCES  # noqa: E402

POINTS = 20
SYNONYMS = ("PM", "dPIE", "EllipticaldPIE")
LIGHTS = ("Spherical", "Ellipsoid", "SersicSphere", "SersicEllipsoid")
FAINT = 1e-6  # of a scene's brightest point: below, numbers are all rounding
Random = np.random.Generator
Said = Callable[[np.ndarray, np.ndarray], Any]  # deflections or brightness at x and y, arcsec
Case = tuple[
    str, str, Callable[[Random], tuple[Component, Said]]
]  # profile, way, a random one with what the package says


def difference(part: Component, say: Said, rng: Random) -> float:
    if part.name not in SOURCES:
        x, y = packages.points(rng, POINTS)
        return error(deflections([part], x[None], y[None])[:, 0], np.stack(say(x, y)))
    x, y = rng.uniform(-1.5, 1.5, (2, POINTS))
    found, said = brightness([part], x[None], y[None])[0], say(x, y)
    bright = said > FAINT * said.max()
    return float(np.max(np.abs(found - said)[bright] / said[bright]))


def part_of(name: str, rng: Random) -> Component:
    """A random one; Shear is at the origin, where all packages can have it."""
    part = random_source(name, rng) if name in SOURCES else random_lens(name, rng)
    return Component(name, 0.0, 0.0, part.parameters) if name in coolest.FIELDS else part


def theirs(draws: Mapping, convert: Callable, evaluate: Callable) -> Iterator[Case]:
    """convert(name, arguments) -> Component; evaluate(name, arguments, x, y)."""

    def case(name: str, rng: Random) -> tuple[Component, Said]:
        given = draws[name](rng)
        return convert(name, given), lambda x, y: evaluate(name, given, x, y)

    for name in draws:
        yield name, "from", lambda rng, name=name: case(name, rng)


def ours(names: tuple[str, ...], convert: Callable, evaluate: Callable) -> Iterator[Case]:
    """convert(part) -> (name, arguments)."""

    def case(name: str, rng: Random) -> tuple[Component, Said]:
        part = part_of(name, rng)
        other, given = convert(part)
        return part, lambda x, y: evaluate(other, given, x, y)

    for name in names:
        if name not in SYNONYMS:
            yield name, "to", lambda rng, name=name: case(name, rng)


def of_lenstronomy() -> Iterator[Case]:
    def only(converted: tuple[list, list]) -> tuple[str, dict]:
        (name,), (given,) = converted
        return name, given

    def light(*given: Any) -> np.ndarray:
        return packages.lenstronomy_brightness(*given) * SCALE**2  # a pixel has the light of its area

    bend = packages.lenstronomy_deflection
    yield from theirs(packages.LENSTRONOMY, lambda n, given: lenstronomy.to_lens([n], [given], SCALE)[0], bend)
    yield from ours(tuple(lenstronomy.OURS), lambda part: only(lenstronomy.from_lens([part], SCALE)), bend)
    yield from theirs(
        packages.LENSTRONOMY_LIGHT, lambda n, given: lenstronomy.to_sources([n], [given], SCALE)[0], light
    )
    yield from ours(LIGHTS, lambda part: only(lenstronomy.from_sources([part], SCALE)), light)


def of_pyautolens() -> Iterator[Case]:
    bend, light = packages.pyautolens_deflection, packages.pyautolens_brightness
    yield from theirs(packages.PYAUTOLENS, lambda *given: pyautolens.to_lens([given], SCALE)[0], bend)
    yield from ours(tuple(pyautolens.OURS), lambda part: pyautolens.from_lens([part], SCALE)[0], bend)
    yield from theirs(packages.PYAUTOLENS_LIGHT, lambda *given: pyautolens.to_sources([given], SCALE)[0], light)
    yield from ours(LIGHTS, lambda part: pyautolens.from_sources([part], SCALE)[0], light)


def of_coolest() -> Iterator[Case]:
    """By files: `to` compares the scene that is written with what coolest reads, `from` the one that is read back."""
    from coolest.template.json import JSONSerializer

    def case(name: str, way: str, rng: Random) -> tuple[Component, Said]:
        part = part_of(name, rng)
        other = part_of("SIE" if name in SOURCES else "Spherical", rng)
        lenses, sources = ((other,), (part,)) if name in SOURCES else ((part,), (other,))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "scene.json"
            coolest.write(Description(lenses, sources, SCALE, 64), file)
            read = coolest.read(file)
            said = JSONSerializer(str(file.with_suffix("")), check_external_files=False).load(verbose=False)
        if way == "from":
            (part,) = read.sources if name in SOURCES else read.lenses
        if name in SOURCES:
            return part, lambda x, y: packages.coolest_brightness(said, x, y) * SCALE**2
        return part, lambda x, y: packages.coolest_deflection(said, x, y)

    for name in (*coolest.OURS, *LIGHTS):
        for way in ("from", "to"):
            yield name, way, lambda rng, name=name, way=way: case(name, way, rng)


PACKAGES = {"lenstronomy": of_lenstronomy, "autogalaxy": of_pyautolens, "coolest": of_coolest}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scenes", type=int, default=1000)
    options.add_argument("--package", choices=PACKAGES, action="append", help="all by default")
    args = options.parse_args()
    print("| package | profile | way | largest relative difference |\n|---|---|---|---|")
    for package in args.package or PACKAGES:
        if find_spec(package) is None:
            print(f"{package} is not installed", file=sys.stderr)
            continue
        for profile, way, draw in PACKAGES[package]():
            rng = np.random.default_rng(1)
            worst = max(difference(*draw(rng), rng) for _ in range(args.scenes))
            print(f"| {package} | {profile} | {way} | {worst:.1e} |", flush=True)


if __name__ == "__main__":
    main()
