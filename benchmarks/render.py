"""Pictures as arrays, 256², exact sampling, SIE and Sérsic source: droulette, lenstronomy and caustics in turn.

    python benchmarks/render.py [--pictures 256] [--repeats 5] [--accuracy 6]

No files, no centring. Each computes one ray a pixel. Each is compared with the mean of 16 × 16 rays a pixel, cut off at
255 ray by ray: ours with our own, and both peers with lenstronomy's, since our Sérsic profile has CosmoSim's constant
1.992 where theirs have 1.9992.
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import scenes
from measure import Counted, arithmetic_speed, counting, in_turn, peers, report, say

from droulette.physics import rendering
from droulette.physics.lenses import SIE
from droulette.physics.sources import SersicSphere

SIZE, BATCH, FINE, STRIP = 256, 16, 16, 16


def to_grey(levels: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(levels, 0, 255))


def rows_of(frame, name: str) -> np.ndarray:
    return frame[name].to_numpy(float)


class Ours:
    def __init__(self, frame, threads: int):
        self.parts = [frame.iloc[k : k + BATCH] for k in range(0, len(frame), BATCH)]
        self.pool = ThreadPoolExecutor(threads)

    def draw_all(self) -> np.ndarray:
        return np.concatenate(list(self.pool.map(draw_ours, self.parts)))


def draw_ours(frame, rays: int = 1) -> np.ndarray:
    zero = np.zeros(len(frame))
    return rendering.render(scenes.scene(frame), SIZE, zero, zero, supersampling=rays)


class Lenstronomy:
    """Its SIE has our normalisation and the axis of its mass where ours has that of its potential's other one."""

    def __init__(self, frame):
        from lenstronomy.LensModel.lens_model import LensModel
        from lenstronomy.LightModel.light_model import LightModel
        from lenstronomy.Util.param_util import phi_q2_ellipticity

        self.lens, self.light, self.rows = LensModel(["SIE"]), LightModel(["SERSIC"]), []
        for row in frame.itertuples():
            e1, e2 = phi_q2_ellipticity(math.radians(row.orientation + 90), row.ellipseratio)
            lens = {"theta_E": row.einsteinradius, "e1": e1, "e2": e2, "center_x": 0, "center_y": 0}
            light = {"amp": peak(row), "R_sersic": row.sigma, "n_sersic": row.n_sersic}
            self.rows.append(([lens], [light | {"center_x": row.x, "center_y": row.y}]))
        self.x, self.y = map(np.ravel, grid(SIZE, 1))

    def draw(self, number: int, x=None, y=None) -> np.ndarray:
        lens, light = self.rows[number]
        x, y = (self.x, self.y) if x is None else (x, y)
        return self.light.surface_brightness(*self.lens.ray_shooting(x, y, lens), light)

    def fine(self, number: int) -> np.ndarray:
        picture = np.empty((SIZE, SIZE))
        x, y = grid(SIZE, FINE)
        for top in range(0, SIZE, STRIP):
            part = slice(top * FINE, (top + STRIP) * FINE)
            levels = self.draw(number, x[part].ravel(), y[part].ravel()).clip(0, 255)
            picture[top : top + STRIP] = levels.reshape(STRIP, FINE, SIZE, FINE).mean((1, 3))
        return picture


_lenstronomy: Lenstronomy | None = None


def draw_share(share: range) -> None:
    """In a process of its own: its pictures stay there."""
    for number in share:
        _lenstronomy.draw(number)


class Caustics:
    def __init__(self, frame, dtype):
        import caustics
        import torch

        lens = caustics.SIE(caustics.FlatLambdaCDM(name="c"), name="lens", z_l=0.5, z_s=1.0, x0=0.0, y0=0.0)
        source = caustics.Sersic(name="source", q=1.0, phi=0.0)
        half = {"x0": -0.5, "y0": 0.5}  # our pixels' middles
        self.coarse = caustics.LensSource(lens, source, 1.0, SIZE, **half, name="coarse")
        for parameter in (lens.q, lens.phi, lens.Rein, source.x0, source.y0, source.n, source.Re, source.Ie):
            parameter.to_dynamic()
        values = [
            rows_of(frame, "ellipseratio"),
            np.radians(rows_of(frame, "orientation") + 90),
            rows_of(frame, "einsteinradius"),
            rows_of(frame, "x"),
            rows_of(frame, "y"),
            rows_of(frame, "n_sersic"),
            rows_of(frame, "sigma"),
            [peak(row) for row in frame.itertuples()],
        ]
        self.coarse.to(dtype=dtype)
        self.rows = torch.tensor(np.stack(values, 1), dtype=dtype)
        self.batched = torch.vmap(self.coarse)

    def draw_singly(self, threads: int) -> None:
        self.threads(threads)
        for row in self.rows:
            self.coarse(row)

    def draw_batched(self, threads: int, batch: int = 8) -> None:
        self.threads(threads)
        for rows in self.rows.split(batch):
            self.batched(rows)

    def threads(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)


def peak(row) -> float:
    """The brightness at one effective radius, as the peers want it; see `SersicSphere`."""
    n, b = row.n_sersic, 1.992 * row.n_sersic - 0.3271
    return 1000 * row.luminosity * b ** (2 * n) / (2 * math.pi * row.sigma**2 * n * math.exp(b) * math.gamma(2 * n))


def grid(size: int, rays: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the rays, (size · rays, size · rays), each pixel's about its middle."""
    at = (np.arange(size * rays) + 0.5) / rays - 0.5
    return np.meshgrid(at - size / 2, size / 2 - at)


def operations(frame) -> float:
    """Floating-point operations of one lit pixel, by our formulas."""
    scene = scenes.scene(frame.iloc[:1])
    with counting() as count:
        x, y = (np.array([value]).view(Counted) for value in (31.0, -17.0))
        scene.source.brightness(*scene.mapping.offset(x, y))
        return count()


def difference(coarse, fine) -> tuple[float, float]:
    """Largest and mean, grey levels."""
    differences = [np.abs(a - b) for a, b in zip(coarse, fine, strict=True)]
    return max(d.max() for d in differences), float(np.mean(differences))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=256, help="of ours; a fourth of them of the peers'")
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--accuracy", type=int, default=6, help="pictures that are compared with 16 × 16 rays")
    args = options.parse_args()
    peers("lenstronomy", "caustics")

    global _lenstronomy
    frame = scenes.table(args.pictures)
    few = frame.iloc[: args.pictures // 4]
    _lenstronomy = Lenstronomy(few)
    shares = [range(k, len(few), 2) for k in range(2)]
    processes = ProcessPoolExecutor(2)
    list(processes.map(draw_share, shares))  # before PyTorch has threads
    import torch

    caustics = Caustics(few, torch.float32)
    ours = {threads: Ours(frame, threads) for threads in (1, 2)}
    lit = float((draw_ours(frame) > 0).sum((1, 2)).mean())
    most = arithmetic_speed()
    limit = most / (operations(frame) * lit)
    same_lens(few, caustics)

    names = ("droulette", "lenstronomy", "caustics, vmap", "caustics, singly")
    speeds: dict[int, dict[str, float]] = {}
    for threads in (1, 2):
        cases = {
            names[0]: ours[threads].draw_all,
            names[1]: (lambda: draw_share(range(len(few))))
            if threads == 1
            else lambda: list(processes.map(draw_share, shares)),
            names[2]: lambda threads=threads: caustics.draw_batched(threads),
            names[3]: lambda threads=threads: caustics.draw_singly(threads),
        }
        seconds = in_turn(cases, args.repeats)
        speeds[threads] = {name: (args.pictures if name == names[0] else len(few)) / seconds[name] for name in names}
        say(f"{threads} threads: {speeds[threads]}")

    count = args.accuracy
    theirs = caustics.batched(caustics.rows[:count]).numpy()[:, ::-1]  # its rows go up
    mine = (draw_ours(frame.iloc[:count], rays).astype(float) for rays in (1, FINE))
    fine = [to_grey(_lenstronomy.fine(k)) for k in range(count)]
    accuracy = {
        names[0]: difference(*mine),
        names[1]: difference([to_grey(_lenstronomy.draw(k)).reshape(SIZE, SIZE) for k in range(count)], fine),
        names[2]: difference(to_grey(theirs), fine),
    }
    accuracy[names[3]] = accuracy[names[2]]
    lines = [
        [name, *(f"{speeds[t][name]:.0f}" for t in (1, 2)), f"{accuracy[name][0]:.0f}", f"{accuracy[name][1]:.4f}"]
        for name in names
    ]
    ratios = [speeds[t][names[0]] / max(speeds[t][name] for name in names[1:]) for t in (1, 2)]
    report(
        "Pictures as arrays",
        ["", "pictures/s, one thread", "two", "largest difference from 16 × 16 rays a pixel, grey levels", "mean"],
        lines,
        f"droulette is **{ratios[0]:.1f}** times as fast as the faster peer on one thread, **{ratios[1]:.1f}** on two "
        "(lenstronomy has no threads: it runs in two processes, which keep their pictures). caustics computes in "
        "float32, the others in float64. All pictures are rounded to 8 bits before the comparison.",
        f"Limit: a lit pixel takes {operations(frame):.0f} floating-point operations, and a picture has {lit:,.0f} lit "
        f"pixels. One core does {most / 1e9:.0f} GFLOP/s in matrix products, which would give {limit:,.0f} pictures/s. "
        "Divisions and square roots cost more than products, and the search for lit pixels takes time too.",
    )


def same_lens(frame, caustics: Caustics) -> None:
    """Stop unless the three deflect alike."""
    row = frame.iloc[0]
    x, y = np.array([10.0, -20.0, 33.0, 5.0]), np.array([4.0, 15.0, -22.0, 50.0])
    same = [np.full(len(x), row[name]) for name in ("einsteinradius", "ellipseratio", "orientation")]
    mine = np.stack(SIE(*same).deflection(x, y))
    theirs = np.stack(_lenstronomy.lens.alpha(x, y, _lenstronomy.rows[0][0]))
    np.testing.assert_allclose(theirs, mine, rtol=1e-6)
    import torch
    from caustics.lenses.func import reduced_deflection_angle_sie

    q, phi, radius = (caustics.rows[0, k].double() for k in range(3))
    theirs = reduced_deflection_angle_sie(0.0, 0.0, q, phi, radius, torch.tensor(x), torch.tensor(y))
    np.testing.assert_allclose(np.stack([a.numpy() for a in theirs]), mine, rtol=1e-4)
    level = SersicSphere(*(np.array([row[name]]) for name in ("sigma", "n_sersic", "luminosity")))
    np.testing.assert_allclose(level.brightness(np.array([row["sigma"]]), np.array([0.0])), peak(row), rtol=1e-9)


if __name__ == "__main__":
    main()
