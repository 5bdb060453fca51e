"""On a machine with a CUDA card: drawing on it and on the processor, and training's pictures a second.

    python benchmarks/card.py [--rows 4000] [--cases polar:256 polar_large:256 resnet50:96] [--steps 60]

Needs no peer, and no DVC. A training case is a network and its batch; each is trained as `fit` does it, as written and
compiled (`droulette/learning/compilation.py`). The card is busy while a kernel of a step runs; a step's kernels are
timed by PyTorch's profiler after the steps that the clock is for.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import scenes
import torch
from measure import Run, median, report, run, say

from droulette.devices import choose_precision, fabric_on
from droulette.learning import backbones, compilation, fit, metrics
from droulette.learning.scaling import SCALINGS
from droulette.learning.symmetry import Group, Laws
from droulette.pipeline.generate import amplitude_columns

DRAW = """
import hashlib, json, sys, time
from pathlib import Path
import pandas as pd
from droulette.pipeline.generate import Drawing, generate
table, device, top = pd.read_pickle(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
drawing = Drawing(512, 256, centred=True, nterms=4)
for name, rows in (("first", table.head(300)), ("all", table)):
    (top / name).mkdir()
    start = time.perf_counter()
    generate(rows, drawing, top / name, device=device)
    seconds = time.perf_counter() - start
found = hashlib.md5()
for path in sorted((top / "all").iterdir()):
    found.update(path.read_bytes())
print(json.dumps({"seconds": seconds, "bytes": found.hexdigest()}))
"""
FIRST, PROFILED = 20, 10  # steps before the clock runs, and after it


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=4000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--cases", nargs="*", default=["polar:256", "polar_large:256", "resnet50:96"])
    options.add_argument("--steps", type=int, default=60)
    args = options.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device")
    if args.rows:
        drawing(args.rows, args.repeats)
    if args.cases:
        training([(name, int(batch)) for name, batch in (case.split(":") for case in args.cases)], args.steps)


def card() -> str:
    return f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"


def drawing(rows: int, repeats: int) -> None:
    runs: dict[str, list[Run]] = {"cuda": [], "cpu": []}
    with tempfile.TemporaryDirectory() as top:
        scenes.table(rows).to_pickle(f"{top}/table.pkl")
        for number in range(repeats):
            for device, found in runs.items():
                folder = Path(top) / f"{device}{number}"
                folder.mkdir()
                found.append(run(DRAW, f"{top}/table.pkl", device, str(folder)))
                say(f"{device}: {rows / found[-1].own_seconds:.0f} pictures/s")
    hashes = {run.found["bytes"] for found in runs.values() for run in found}
    report(
        "Drawing on a card",
        ["device", "pictures/s", "peak MiB of the process"],
        [
            [device, f"{rows / median(found, 'own_seconds'):.0f}", f"{median(found, 'peak_mib'):.0f}"]
            for device, found in runs.items()
        ],
        f"{rows} rows, canvas 512, crop 256, centred, PNG files, amplitudes to order 4. Bytes of all pictures: "
        f"{'the same' if len(hashes) == 1 else 'NOT THE SAME'}. {card()}.",
    )


def training(cases: list[tuple[str, int]], steps: int) -> None:
    rows = []
    for name, batch in cases:
        for compile_it in (False, True):
            found = speed(name, batch, steps, compile_it)
            rows.append([name, batch, "yes" if compile_it else "no", *found])
            say(str(rows[-1]))
    report(
        "Training on a card",
        ["network", "batch", "compiled", "pictures/s", "card busy", "card's memory, GiB", "first steps, s"],
        rows,
        f"256², {choose_precision('auto', torch.device('cuda'))}. {card()}.",
    )


class Done(Exception):
    """All steps that were asked for are done."""


def speed(name: str, batch: int, steps: int, compile_it: bool) -> list[str]:
    """Pictures a second, the share of time that the card is busy, its memory, and how long the first steps took."""
    compilation.STEPS = 0 if compile_it else 10**12
    columns = ["sigma", "xiX", "xiY", *(c for c in amplitude_columns(4) if c not in ("beta[1][0]", "beta[3][0]"))]
    device, rng = torch.device("cuda"), np.random.default_rng(0)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(0)
    network = backbones.build(name, columns).to(device)
    count, eye, laws = batch * (FIRST + steps + PROFILED), network.eye, Laws.of(columns)
    views = (rng.random((batch, *eye.shape)) * (255 if eye.dtype == np.uint8 else 1)).astype(eye.dtype)
    part = fit.Part(np.tile(views, (count // batch, *(1,) * len(eye.shape))), rng.normal(size=(count, len(columns))))
    judge = metrics.Judge(part.targets, SCALINGS["radial"].fit(part.targets, columns))
    few = fit.Part(part.views[:8], part.targets[:8])
    marks, profiler = [time.perf_counter()], torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
    done = 0

    def seen(pictures: int) -> None:
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

    recipe = fit.Recipe(1, 1, 1e-4, batch, 1e-2, "onecycle")
    group = Group.of(laws, eye.turns, eye.zooms)
    try:
        with fit.reproducible(0):
            fabric = fabric_on(device, choose_precision("auto", device))
            fit.fit(network, part, few, judge, laws, group, recipe, fabric, seen=seen)
    except Done:
        pass
    step = (marks[2] - marks[1]) / steps
    memory = torch.cuda.max_memory_allocated() / 2**30
    busy = busy_seconds(profiler) / PROFILED / step
    return [f"{batch / step:.0f}", f"{min(busy, 1):.0%}", f"{memory:.1f}", f"{marks[1] - marks[0]:.0f}"]


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
