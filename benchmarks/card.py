"""On a machine with a CUDA card: drawing on it, as arrays and into shards, and training's pictures a second.

    python benchmarks/card.py [--rows 100000] [--cases polar:256 polar_large:256 resnet50:96] [--steps 600]
    python benchmarks/card.py --arrays --rows 0 --cases --fresh experiments/telescope/cuda.toml

Needs no peer, and no DVC. Pictures as arrays stay on the card; a second process shows what the kernels kept on disk
save. A training case is a network and its batch; each is trained as `fit` does it, compiled
(`droulette/learning/compilation.py`), on pictures in memory and on pictures drawn anew; of a file's distribution, such
as one with noise, drawing is timed by itself too. The card is busy while a kernel
of a step runs; a step's kernels are timed by PyTorch's profiler after the steps that the clock is for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scenes
import torch
from measure import report, run_command, say

from droulette import parameters
from droulette.devices import choose_precision, cores, fabric_on
from droulette.learning import backbones, compilation, fit, metrics
from droulette.learning.scaling import SCALINGS
from droulette.learning.symmetry import Group, Laws
from droulette.physics.batches import move, take
from droulette.physics.lenses import SIS, Array, CentredLens, Cluster
from droulette.physics.mappings import Raytrace
from droulette.physics.rendering import centre_of_light, render
from droulette.physics.scene import Scenes
from droulette.physics.series import sqrt
from droulette.pipeline.draw import draw_table
from droulette.pipeline.fresh import FreshPictures
from droulette.pipeline.generate import Drawing, draw_in_memory
from droulette.quantities import amplitude_columns

PICTURES, REPEATS, COMPARED = 4096, 8, 256
FIRST, PROFILED = 200, 40  # steps before the clock runs, and after it


@dataclass(frozen=True)
class Softened(CentredLens):
    """The lens of docs/own-lens.md: its potential alone."""

    einstein_radius: Array
    core: Array

    def potential(self, x, y):
        return self.einstein_radius * sqrt(x * x + y * y + self.core**2)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=100_000, help="to draw into shards")
    options.add_argument("--cases", nargs="*", default=["polar:256", "polar_large:256", "resnet50:96"])
    options.add_argument("--steps", type=int, default=600)
    options.add_argument("--arrays", nargs="*", default=["SIE", "SIS", "own lens", "cluster of two"])
    options.add_argument("--fresh", nargs="*", default=[], help="TOML files: their network, their pictures drawn anew")
    options.add_argument("--second", action="store_true", help=argparse.SUPPRESS)
    args = options.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device")
    if args.second:
        print(json.dumps(draw_arrays("SIE")))
        return
    if args.arrays:
        arrays(args.arrays)
    if args.rows:
        shards(args.rows)
    if args.cases:
        training([(name, int(batch)) for name, batch in (case.split(":") for case in args.cases)], args.steps)
    if args.fresh:
        fresh_of_files(args.fresh, args.steps)


def card() -> str:
    return f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"


# ---------------------------------------------------------------- drawing


def scene_of(kind: str) -> Scenes:
    frame = scenes.table(PICTURES)
    scene = scenes.scene(frame)
    radius = scene.mapping.lens.einstein_radius
    if kind == "SIE":
        return scene
    two = (scene.mapping.lens, SIS(0.5 * radius))
    lens = {
        "SIS": SIS(radius),
        "own lens": Softened(radius, np.linspace(1, 5, PICTURES)),
        "cluster of two": Cluster(two, (0.3 * radius, -0.5 * radius), (0.1 * radius, 0.1 * radius)),
    }[kind]
    return Scenes(Raytrace(lens, scene.mapping.eta_x, scene.mapping.eta_y), scene.source)


def draw_arrays(kind: str) -> dict:
    """Pictures a second, seconds until the first are there, and whether some are the processor's."""
    scene = scene_of(kind)
    there, start = move(scene, "cuda"), time.perf_counter()

    def draw(scene):
        return render(scene, 256, *centre_of_light(scene, 512), canvas=512)

    pictures = draw(there)
    torch.cuda.synchronize()
    first, start = time.perf_counter() - start, time.perf_counter()
    for _ in range(REPEATS):
        pictures = draw(there)
    torch.cuda.synchronize()
    rate = PICTURES * REPEATS / (time.perf_counter() - start)
    same = np.array_equal(pictures[:COMPARED].cpu().numpy(), draw(take(scene, slice(0, COMPARED))))
    memory = torch.cuda.max_memory_allocated() / 2**30
    return {"rate": rate, "first": first, "same": bool(same), "memory": memory}


def arrays(kinds: list[str]) -> None:
    rows = []
    for kind in kinds:
        found = draw_arrays(kind)
        rows.append([kind, f"{found['rate']:,.0f}", f"{found['first']:.1f}", "yes" if found["same"] else "NO"])
        say(f"{rows[-1]} {found['memory']:.1f} GiB")
    second = subprocess.run([sys.executable, __file__, "--second"], capture_output=True, text=True, check=True)
    found = json.loads(second.stdout.splitlines()[-1])
    rows.append(
        ["SIE, the next process", f"{found['rate']:,.0f}", f"{found['first']:.1f}", "yes" if found["same"] else "NO"]
    )
    report(
        "Pictures as arrays on a card",
        ["lens", "pictures/s", "seconds until the first", "the processor's bytes"],
        rows,
        f"SersicSphere, canvas 512, crop 256, centred, {PICTURES} at a time. {card()}.",
    )


def shards(rows: int) -> None:
    """`datagen` into Parquet shards in memory, whole processes: on the card twice, since the first may compile."""
    found = []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as top:
        toml = Path(top, "p.toml")
        toml.write_text(scenes.toml(rows))
        for number, device in enumerate(("cuda", "cuda", "cpu")):
            folder = Path(top, str(number))
            files = ("--csvfile", f"{folder}.csv", "--outfile", f"{folder}-roulette.csv", "-D", str(folder))
            command = [sys.executable, "-m", "droulette.datagen", "--toml", str(toml), *files]
            seconds = run_command([*command, "--storage", "parquet", "--device", device]).seconds
            content = hashlib.md5()
            for path in (*sorted(folder.iterdir()), Path(f"{folder}-roulette.csv")):
                content.update(path.read_bytes())
            found.append([device, f"{seconds:.1f}", f"{rows / seconds:,.0f}", content.hexdigest()])
            say(str(found[-1]))
    same = len({row.pop() for row in found}) == 1
    report(
        "Shards by a card",
        ["device", "seconds", "pictures/s"],
        found,
        f"{rows} rows, whole process, tables and amplitudes to order 4, shards of 1,000 in memory. Bytes of all files: "
        f"{'the same' if same else 'NOT THE SAME'}. {card()}.",
    )


# ---------------------------------------------------------------- training


def training(cases: list[tuple[str, int]], steps: int) -> None:
    rows = []
    for name, batch in cases:
        for fresh in (False, True):
            found = speed(name, batch, steps, simple() if fresh else None)
            rows.append([name, batch, "drawn anew" if fresh else "in memory", *found])
            say(str(rows[-1]))
    report(
        "Training on a card",
        ["network", "batch", "pictures", "pictures/s", "card busy", "card's memory, GiB", "first steps, s"],
        rows,
        f"256², compiled, {choose_precision('auto', torch.device('cuda'))}. {card()}.",
    )


def fresh_of_files(paths: list[str], steps: int) -> None:
    rows = []
    for path in paths:
        params = parameters.load(path)
        name, batch = params.settings.model, params.hyperparameters.batch_size
        rows.append([path, name, batch, f"{drawn_alone(params, steps):,.0f}", *speed(name, batch, steps, params)])
        say(str(rows[-1]))
    report(
        "Training on pictures drawn anew, by files",
        ["file", "network", "batch", "drawn alone/s", "trained/s", "card busy", "card's memory, GiB", "first steps, s"],
        rows,
        f"Compiled, {choose_precision('auto', torch.device('cuda'))}. {card()}.",
    )


class Done(Exception):
    """All steps that were asked for are done."""


def prepared(params, name: str, batch: int, count: int) -> tuple[FreshPictures, torch.nn.Module]:
    """The pictures of a file, `count` an epoch, and the network."""
    device = torch.device("cuda")
    drawing = Drawing.of(params.simulator)
    with ThreadPoolExecutor(cores()) as helpers:
        _, facts, table = draw_in_memory(draw_table(params, 0, 512), drawing, "rows", "cpu", helpers)
    variables = params.problem.variables if params.problem else ["sigma", "xiX", "xiY"]
    columns = [*variables, *(c for c in amplitude_columns(drawing.nterms) if table[c].nunique() > 1)]
    torch.manual_seed(0)
    network = backbones.build(name, columns, "", drawing.size, facts is not None).to(device)
    scaling = SCALINGS["radial"].fit(table[columns].to_numpy(), columns)
    return FreshPictures(params, columns, count, drawing.size, network.preprocessing, scaling, device), network


def drawn_alone(params, steps: int) -> float:
    """Pictures a second that are drawn and seen, when nothing is learnt from them."""
    batch = params.hyperparameters.batch_size
    count = batch * (2 * FIRST + steps)
    pictures, _ = prepared(params, params.settings.model, batch, count)
    marks = []
    for number, _ in enumerate(pictures.batches(0, list(range(0, count, batch)), batch, slice(None))):
        if number in (2 * FIRST, 2 * FIRST + steps - 1):
            torch.cuda.synchronize()
            marks.append(time.perf_counter())
    return batch * (steps - 1) / (marks[1] - marks[0])


def speed(name: str, batch: int, steps: int, params) -> list[str]:
    """Pictures a second, the share of time that the card is busy, its memory, and how long the first steps took.

    params: whose pictures are drawn anew; None: random ones, in memory.
    """
    compilation.STEPS = 0
    device, rng = torch.device("cuda"), np.random.default_rng(0)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    count = batch * (FIRST + steps + PROFILED)
    pictures, network = prepared(params or simple(), name, batch, count)
    preprocessing, columns, scaling = network.preprocessing, pictures.columns, pictures.scaling
    laws = Laws.of(columns)
    group = Group.of(laws, preprocessing.turns, preprocessing.zooms)
    most = 255 if preprocessing.dtype == np.uint8 else 1
    views = (rng.random((batch, *preprocessing.shape)) * most).astype(preprocessing.dtype)
    few = fit.Split(views[:8], rng.normal(size=(8, len(columns))))
    judge = metrics.Judge(rng.normal(size=(100, len(columns))), scaling)
    if params is None:
        every = np.tile(views, (count // batch, *(1,) * len(preprocessing.shape)))
        split = fit.Split(every, rng.normal(size=(count, len(columns))))
        pictures = fit.Stored(split, scaling, laws, group, 0, device)
    marks, profiler = [time.perf_counter()], torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
    done = 0

    def count_pictures(pictures: int) -> None:
        nonlocal done
        done += 1
        if done in (FIRST, FIRST + steps, FIRST + steps + PROFILED):
            torch.cuda.synchronize()
            marks.append(time.perf_counter())
        if done == FIRST + steps:
            profiler.start()
        elif done == FIRST + steps + PROFILED:
            profiler.stop()
            raise Done

    recipe = fit.Recipe(
        epochs=1, patience=1, learning_rate=1e-4, batch_size=batch, weight_decay=1e-2, schedule="onecycle", seed=0
    )
    try:
        with fit.reproducible(0):
            fabric = fabric_on(device, choose_precision("auto", device))
            fit.fit(network, pictures, few, judge, laws, group, recipe, fabric, progress=count_pictures)
    except Done:
        pass
    step = (marks[2] - marks[1]) / steps
    memory = torch.cuda.max_memory_allocated() / 2**30
    busy = busy_seconds(profiler) / (marks[3] - marks[2])
    return [f"{batch / step:,.0f}", f"{min(busy, 1):.0%}", f"{memory:.1f}", f"{marks[1] - marks[0]:.0f}"]


def simple():
    return parameters.parse(tomllib.loads(scenes.toml(1000)))


def busy_seconds(profiler: torch.profiler.profile) -> float:
    """The time in which a kernel or a copy ran."""
    from torch._C._autograd import DeviceType

    events = [event.time_range for event in profiler.events() if event.device_type == DeviceType.CUDA]
    total, end = 0.0, 0.0
    for start, stop in sorted((event.start, event.end) for event in events):
        total, end = total + max(0.0, stop - max(start, end)), max(end, stop)
    return total / 1e6


if __name__ == "__main__":
    main()
