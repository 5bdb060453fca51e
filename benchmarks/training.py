"""Pictures a second of training: droulette and droulette 0.2.1 in turn, and our default recipe.

    python benchmarks/training.py [--models resnet50 shufflenet_v2_x1_0] [--steps 5] [--recipe-steps 40] [--repeats 3]

Batches of 32 pictures of 256² and 23 columns; each process trains one epoch, of which the first step is not counted.
droulette 0.2.1 would download weights first; its networks are given random ones, as ours are.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import tomllib
from pathlib import Path

import scenes
from measure import PEERS, ROOT, Run, arithmetic_speed, median, peers, report, run, say

from droulette.datagen import main as generate
from droulette.pipeline.splitting import split_file

BATCH = 32
OURS = """
import json, os, sys, time, tomllib
os.chdir(sys.argv[1])
from droulette import parameters
from droulette.pipeline import training
params = parameters.load(sys.argv[2], json.loads(sys.argv[3]))
ends = []
def progress(total, doing):
    return (lambda done: ends.append((time.perf_counter(), done))) if doing == "training" else (lambda done: None)
training.train(params, "model.safetensors", progress=progress, say=lambda text: None)
os.remove("model.safetensors")
seconds = ends[-1][0] - ends[0][0]
print(json.dumps({"seconds": seconds, "pictures": sum(done for _, done in ends[1:])}))
"""
PEER = """
import json, os, sys, time
os.chdir(sys.argv[1])
import torchvision
from droulette import model
model.getmodel = lambda name: torchvision.models.get_model(name, weights=None)
parts = {name: {"filename": f"{name}.csv"} for name in ("validation", "testing")}
parts["training"] = {"filename": sys.argv[3]}
config = model.ModelConfig({
    "settings": {"device": "cpu", "model": sys.argv[2]},
    "hyperparameters": {"batch-size": 32, "learning-rate": 1e-4, "weight-decay": 1e-4},
    "training": {"num-epochs": 1},
    "dataset": {"directory": "images"} | parts,
    "output": {"directory": "peer"},
})
config.best_loss = float("inf")
ends, step = [], config.optimizer.step
def timed(*args, **options):
    step(*args, **options)
    ends.append(time.perf_counter())
config.optimizer.step = timed
config.runepoch(0)
print()
print(json.dumps({"seconds": ends[-1] - ends[0], "pictures": 32 * (len(ends) - 1)}))
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--models", nargs="+", default=["resnet50", "shufflenet_v2_x1_0"])
    options.add_argument("--steps", type=int, default=5)
    options.add_argument("--recipe-steps", type=int, default=40)
    options.add_argument("--repeats", type=int, default=3)
    args = options.parse_args()
    peers("droulette")
    recipe = ROOT / "params.toml"
    tables = tomllib.loads(recipe.read_text())
    batch = tables["hyperparameters"]["batch-size"]

    runs: dict[tuple[str, str], list[Run]] = {}
    with tempfile.TemporaryDirectory() as top:
        draw(Path(top), {"few": args.steps * BATCH, "many": args.recipe_steps * batch})

        def ours(model: str | None) -> Run:
            changes = {
                "training.num-epochs": 1,
                "settings.device": "cpu",
                "dataset.directory": "images",
                "dataset.training.filename": "few.csv" if model else "many.csv",
                "dataset.validation.filename": "validation.csv",
            }
            if model:
                changes |= {"settings.model": model, "hyperparameters.batch-size": BATCH, "training.symmetries": 1}
            return run(OURS, top, str(recipe), dumps(changes))

        def peer(model: str) -> Run:
            return run(PEER, top, model, "few.csv", environment={"PYTHONPATH": str(PEERS)})

        for _ in range(args.repeats):
            for model in args.models:
                for name, case in (("ours", ours), ("peer", peer)):
                    runs.setdefault((name, model), []).append(case(model))
                    say(f"{name}, {model}: {speed(runs[name, model][-1:]):.1f}/s")
            runs.setdefault(("ours", "recipe"), []).append(ours(None))
            say(f"default recipe: {speed(runs['ours', 'recipe'][-1:]):.0f}/s")
    lines = []
    for model in args.models:
        mine, theirs = runs["ours", model], runs["peer", model]
        lines.append(
            [
                model,
                f"{speed(mine):.1f}",
                f"{speed(theirs):.1f}",
                f"**{speed(mine) / speed(theirs):.1f}**",
                f"{median(mine, 'peak_mib'):.0f}, {median(theirs, 'peak_mib'):.0f}",
            ]
        )
    mine, slow = runs["ours", "recipe"], runs["peer", args.models[0]]
    name = tables["settings"]["model"]
    lines.append(
        [
            f"`{name}`, the default recipe, batch {batch}",
            f"{speed(mine):.0f}",
            f"{speed(slow):.1f} ({args.models[0]})",
            f"**{speed(mine) / speed(slow):.0f}**",
            f"{median(mine, 'peak_mib'):.0f}, {median(slow, 'peak_mib'):.0f}",
        ]
    )
    operations = {model: step_operations(model) for model in args.models}
    shares = ", ".join(
        f"{model} {count / 1e9:.1f} GFLOP a picture, {count * speed(runs['ours', model]) / 1e9:.0f} GFLOP/s"
        for model, count in operations.items()
    )
    report(
        "A step of training",
        ["network", "droulette, pictures/s", "droulette 0.2.1, pictures/s", "ratio", "peak MiB"],
        lines,
        f"256², batch {BATCH}, {BATCH} × {args.steps - 1} pictures a run, on the processor. Precision: "
        f'{precision()} here (`settings.precision = "auto"`), float32 in droulette 0.2.1.',
        f"Limit: the forward and backward passes take {shares}; float32 matrix products reach "
        f"{arithmetic_speed('float32') / 1e9:.0f} GFLOP/s on one core.",
    )


def draw(top: Path, parts: dict[str, int]) -> None:
    """The pictures, and CSVs of each part, named so, and of a small validation and testing part."""
    sizes = {"validation": 16, "testing": 16} | parts
    (top / "d.toml").write_text(scenes.toml(sum(sizes.values())))
    files = ["--outfile", str(top / "roulette.csv"), "--directory", str(top / "images")]
    assert generate(["--toml", str(top / "d.toml"), *files]) == 0
    places = {name: (top / f"{name}.csv", size) for name, size in sizes.items()}
    with contextlib.redirect_stdout(sys.stderr):
        split_file(top / "roulette.csv", places, variables=["sigma", "xiX", "xiY"], nterms=(0, 4))


def dumps(values: dict) -> str:
    import json

    return json.dumps(values)


def speed(runs: list[Run]) -> float:
    """Pictures a second."""
    return runs[0].found["pictures"] / median(runs, "own_seconds")


def step_operations(model: str) -> float:
    """Floating-point operations of one picture's step: PyTorch's count of products and sums."""
    import torch
    import torchvision
    from torch.utils.flop_counter import FlopCounterMode

    network = torchvision.models.get_model(model, weights=None)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 3, 256, 256)).sum().backward()
    return counter.get_total_flops() / 2


def precision() -> str:
    import torch

    from droulette.devices import choose_precision

    return choose_precision("auto", torch.device("cpu"))


if __name__ == "__main__":
    main()
