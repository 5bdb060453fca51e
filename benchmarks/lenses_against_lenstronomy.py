"""Lens models beside lenstronomy's: deflection, convergence and shear, pictures, and pictures per second.

    python benchmarks/lenses_against_lenstronomy.py [--scenes 1000] [--pictures 3] [--repeats 3] [LENS…]

For each lens, the largest difference over random scenes of 20 points each: of the deflection, relative to its length,
and of κ, γ₁ and γ₂, relative to |κ| + |γ|. Where lenstronomy takes its second derivatives from differences, they are
put together from its own deflections and densities instead: the column `second derivatives` says so. Points within 1 %
of the scale radius of an NFW or Hernquist lens are left out: lenstronomy's κ loses up to 9 digits there.

Flexion is compared in the median only. lenstronomy 1.14.2 has third derivatives of no lens in closed form, but for
the constants of its `FLEXION`: its `flexion` takes differences of second derivatives, and so does this, over 2·10⁻³ px.
What the column shows is their error. droulette's own is below 10⁻⁹ of an order's largest amplitude, against mpmath's of
each lens: tests/physics/test_lens_models.py and test_amplitudes.py.

Pictures: the largest difference of a grey level, with 16 × 16 rays a pixel. Time: pictures of 256² of a Gaussian
source, one core.
"""

from __future__ import annotations

import argparse
import math
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from measure import in_turn, peers, report

from droulette.physics.amplitudes import amplitudes, convergence_and_shear, orders
from droulette.physics.batches import take
from droulette.physics.halos import alpha_at_scale_radius, hernquist_sigma0, pjaffe_sigma0
from droulette.physics.lenses import LENSES, Lens
from droulette.physics.mappings import Raytrace
from droulette.physics.rendering import render
from droulette.physics.scene import Scenes
from droulette.physics.sources import Spherical

POINTS = 20  # of each scene
RAYS = 16  # of a pixel, along each axis
SMALL, SIZE = 64, 256  # px: pictures that are compared, and timed
RANGES = {"axis_ratio": (0.3, 0.95), "slope": (1.5, 2.5)}
NAMES = {
    "PM": "POINT_MASS",
    "SIS": "SIS",
    "SIE": "EPL",  # its SIE has a core
    "EPL": "EPL",
    "NFW": "NFW",
    "EllipticalNFW": "NFW_ELLIPSE_POTENTIAL",
    "Hernquist": "HERNQUIST",
    "PJAFFE": "PJAFFE",
    "EllipticalPJAFFE": "PJAFFE_ELLIPSE_POTENTIAL",
    "Shear": "SHEAR",
    "Convergence": "CONVERGENCE",
    "Multipole3": "MULTIPOLE",
    "Multipole4": "MULTIPOLE",
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("lenses", nargs="*", metavar="LENS", default=list(NAMES))
    options.add_argument("--scenes", type=int, default=1000)
    options.add_argument("--pictures", type=int, default=3)
    options.add_argument("--repeats", type=int, default=3)
    arguments = options.parse_args()
    if unknown := set(arguments.lenses) - set(NAMES):
        options.error(f"found {', '.join(sorted(unknown))}, expected some of {', '.join(NAMES)}")
    try:
        import lenstronomy  # noqa: F401
    except ImportError:
        peers("lenstronomy")
    rows = [row(name, arguments) for name in arguments.lenses]
    columns = (
        "lens",
        "deflection",
        "κ, γ",
        "second derivatives",
        "flexion, median",
        "grey levels",
        "pictures/s",
        "lenstronomy",
    )
    report("Lenses beside lenstronomy", (*columns, "ratio"), rows)


def row(name: str, arguments: argparse.Namespace) -> list[str]:
    random = np.random.default_rng(1)
    lens = drawn(name, random, arguments.scenes)
    radius = random.uniform(0.1, 2.5, (POINTS, arguments.scenes)) * random.uniform(10, 50, arguments.scenes)
    angle = random.uniform(0, 2 * math.pi, radius.shape)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    ours = [np.stack(lens.deflection(a, b)) for a, b in zip(x, y, strict=True)]
    derived = [np.stack(convergence_and_shear(lens, a, b)) for a, b in zip(x, y, strict=True)]
    flexion = [flexion_of(lens, a, b) for a, b in zip(x, y, strict=True)]
    ours, derived, flexion = (np.stack(part, 1) for part in (ours, derived, flexion))
    deflections, seconds, thirds = np.empty_like(ours), np.empty_like(derived), np.empty_like(flexion)
    for k in range(arguments.scenes):
        peer = Peer(name, take(lens, slice(k, k + 1)))
        deflections[:, :, k] = peer.deflection(x[:, k].copy(), y[:, k].copy())
        seconds[:, :, k] = peer.convergence_and_shear(x[:, k].copy(), y[:, k].copy())
        thirds[:, :, k] = peer.flexion(x[:, k].copy(), y[:, k].copy())
    fine = np.ones(x.shape, bool)
    if hasattr(lens, "scale_radius"):
        u, v = lens.turned(x, y) if hasattr(lens, "turned") else (x, y)
        fine = abs(np.hypot(u, v) / lens.scale_radius - 1) > 0.01
    whole = abs(derived[0]) + np.hypot(*derived[1:])
    cells = [
        f"{(np.hypot(*(ours - deflections)) / np.hypot(*ours)).max():.0e}",
        f"{(abs(derived - seconds) / whole)[:, fine].max():.0e}",
        peer.origin,
        f"{np.median(abs(flexion - thirds).max(0) / abs(flexion).max(0).clip(1e-12)):.0e}",
        f"{grey_levels(name, arguments.pictures):.0f}",
    ]
    times = speed(name, arguments.repeats)
    return [name, *cells, *(f"{1 / time:.0f}" for time in times), f"{times[1] / times[0]:.1f}"]


def drawn(name: str, random: np.random.Generator, count: int) -> Lens:
    model = LENSES[name]
    return model(*(random.uniform(*RANGES.get(q.name, q.default), count) for q in model.parameters))


def flexion_of(lens: Lens, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """ψ's derivatives by xxx, xxy, xyy and yyy, from the amplitudes of m = 2."""
    alpha, beta = amplitudes(lens, x, y, 2)
    place = {order: k for k, order in enumerate(orders(2))}
    a1, b1, a3, b3 = (kind[place[2, s]] for s in (1, 3) for kind in (alpha, beta))
    # −(r·∇)³ψ / r³ = a₁ cos φ + b₁ sin φ + a₃ cos 3φ + b₃ sin 3φ
    return -np.stack([a1 + a3, (b1 + 3 * b3) / 3, (a1 - 3 * a3) / 3, b1 - b3])


class Peer:
    """One lens in lenstronomy."""

    def __init__(self, name: str, lens: Lens) -> None:
        from lenstronomy.LensModel.lens_model import LensModel
        from lenstronomy.Util.param_util import phi_q2_ellipticity

        values = {q.name: getattr(lens, q.name).item() for q in lens.parameters}
        theta = values.get("einstein_radius", 0.0)
        kwargs = {}
        if "axis_ratio" in values:
            axis = math.radians(values["orientation"] + 90)
            kwargs["e1"], kwargs["e2"] = phi_q2_ellipticity(axis, values["axis_ratio"])
        if name in ("PM", "SIS", "SIE", "EPL"):
            kwargs["theta_E"] = theta
        if name == "EPL":
            kwargs["gamma"] = values["slope"]
        if name == "SIE":
            kwargs["gamma"] = 2.0
        if "NFW" in name:
            scale = values["scale_radius"]
            kwargs |= {"Rs": scale, "alpha_Rs": alpha_at_scale_radius(theta, scale).item()}
        if name == "Hernquist":
            scale = values["scale_radius"]
            kwargs |= {"Rs": scale, "sigma0": hernquist_sigma0(theta, scale).item()}
        if "PJAFFE" in name:
            radii = values["core_radius"], values["cut_radius"]
            kwargs |= dict(zip(("Ra", "Rs"), radii, strict=True)) | {"sigma0": pjaffe_sigma0(theta, *radii).item()}
        if name == "Shear":
            kwargs |= values
        if name == "Convergence":
            kwargs["kappa"] = values["kappa_ext"]
        if name.startswith("Multipole"):
            m = int(name[-1])
            a, b = values[f"a{m}"], values[f"b{m}"]
            kwargs |= {"m": m, "a_m": theta * math.hypot(a, b), "phi_m": math.atan2(b, a) / m}
        self.kwargs, self.name = kwargs, name
        self.model = LensModel([NAMES[name]])
        self.profile = self.model.lens_model.func_list[0]
        turned = name in ("EllipticalNFW", "EllipticalPJAFFE")
        self.origin = "of the round lens, turned" if turned else "density" if name == "Hernquist" else "closed"

    def deflection(self, x, y) -> np.ndarray:
        return np.stack(self.model.alpha(x, y, [self.kwargs]))

    def convergence_and_shear(self, x, y) -> np.ndarray:
        if self.name == "Hernquist":
            return self._from_density(x, y)
        if self.origin == "closed":
            xx, xy, _, yy = self.model.hessian(x, y, [self.kwargs])
        else:
            xx, xy, yy = self._turned(x, y)
        return np.stack([(xx + yy) / 2, (xx - yy) / 2, xy])

    def _from_density(self, x, y) -> np.ndarray:
        """κ from the density, and γ from it and from the mean convergence, |∇ψ| / R."""
        sigma0, scale = self.kwargs["sigma0"], self.kwargs["Rs"]
        square = x * x + y * y
        kappa = self.profile.density_2d(x, y, self.profile.sigma2rho(sigma0, scale), scale)
        dx, dy = self.deflection(x, y)
        gamma = kappa - (dx * x + dy * y) / square
        return np.stack([kappa, gamma * (x * x - y * y) / square, gamma * 2 * x * y / square])

    def _turned(self, x, y):
        """∂²ψ of the round lens in the coordinates in which the elliptical one is round, taken back."""
        from lenstronomy.LensModel.lens_model import LensModel
        from lenstronomy.Util.param_util import ellipticity2phi_q, q2e

        kwargs = dict(self.kwargs)
        phi, q = ellipticity2phi_q(kwargs.pop("e1"), kwargs.pop("e2"))
        a, b = math.sqrt(1 - q2e(q)), math.sqrt(1 + q2e(q))
        cos, sin = math.cos(phi), math.sin(phi)
        round_lens = LensModel([NAMES[self.name.removeprefix("Elliptical")]])
        uu, uv, _, vv = round_lens.hessian((cos * x + sin * y) * a, (cos * y - sin * x) * b, [kwargs])
        uu, uv, vv = uu * a * a, uv * a * b, vv * b * b
        xx = uu * cos**2 - 2 * uv * cos * sin + vv * sin**2
        yy = uu * sin**2 + 2 * uv * cos * sin + vv * cos**2
        return xx, (uu - vv) * cos * sin + uv * (cos**2 - sin**2), yy

    def flexion(self, x, y) -> np.ndarray:
        """Differences of its second derivatives."""
        h = 1e-3
        ends = [self.convergence_and_shear(x + a, y + b) for a, b in ((h, 0), (-h, 0), (0, h), (0, -h))]
        (kappa_x, gamma_x, _), (kappa_y, gamma_y, _) = (ends[0] - ends[1]) / (2 * h), (ends[2] - ends[3]) / (2 * h)
        return np.stack([kappa_x + gamma_x, kappa_y + gamma_y, kappa_x - gamma_x, kappa_y - gamma_y])

    def picture(self, size: int, rays: int, eta: np.ndarray, sigma: float) -> np.ndarray:
        """Grey levels, not rounded, of a Gaussian source."""
        sub = (np.arange(size * rays) + 0.5) / rays - 0.5
        x, y = (axis.flatten() for axis in np.meshgrid(sub - size / 2, size / 2 - sub))
        dx, dy = self.model.ray_shooting(x, y, [self.kwargs])
        levels = 255 * np.exp(-((dx - eta[0]) ** 2 + (dy - eta[1]) ** 2) / (2 * sigma**2))
        return levels.reshape(size, rays, size, rays).mean((1, 3))


def scenes(name: str, count: int, theta: tuple[float, float]) -> tuple[Lens, np.ndarray, np.ndarray, Scenes]:
    random = np.random.default_rng(2)
    lens = drawn(name, random, count)
    if hasattr(lens, "einstein_radius"):
        values = {q.name: getattr(lens, q.name) for q in lens.parameters}
        lens = type(lens)(**(values | {"einstein_radius": random.uniform(*theta, count)}))
    eta, sigma = random.uniform(-0.3, 0.3, (2, count)) * theta[1], random.uniform(2, 6, count)
    return lens, eta, sigma, Scenes(Raytrace(lens, *eta), Spherical(sigma))


def grey_levels(name: str, count: int) -> float:
    """The largest difference of pictures, both rounded."""
    lens, eta, sigma, scene = scenes(name, count, (8, 18))
    zero = np.zeros(count)
    ours = render(scene, SMALL, zero, zero, supersampling=RAYS)
    worst = 0.0
    for k in range(count):
        levels = Peer(name, take(lens, slice(k, k + 1))).picture(SMALL, RAYS, eta[:, k], sigma[k])
        worst = max(worst, abs(ours[k] - np.rint(levels)).max())
    return worst


def speed(name: str, repeats: int) -> tuple[float, float]:
    """Seconds of a picture: ours, lenstronomy's."""
    count = 32
    lens, eta, sigma, scene = scenes(name, count, (20, 50))
    zero = np.zeros(count)
    some = [Peer(name, take(lens, slice(k, k + 1))) for k in range(4)]
    times = in_turn(
        {
            "ours": lambda: render(scene, SIZE, zero, zero),
            "theirs": lambda: [peer.picture(SIZE, 1, eta[:, k], sigma[k]) for k, peer in enumerate(some)],
        },
        repeats,
    )
    return times["ours"] / count, times["theirs"] / len(some)


if __name__ == "__main__":
    main()
