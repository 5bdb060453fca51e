"""Write each experiment's dvc.yaml after the root's: `python tools/experiments.py`.

An experiment's stages depend on the code that the root's do, and run in the experiment's folder. Its TOML file is a
plain dependency, not parameters, and its results are not metrics: `dvc exp show` of the main pipeline is not to have a
hundred columns of its neighbours. Nor are its outputs cached: a clone without them is to `dvc pull` without an error,
and the pictures are drawn again in seconds.
"""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
STAGES = ("generate", "split", "train", "evaluate")
# What an experiment makes first, by a command in the root: command, the code it runs, its output.
INPUTS = {
    "galaxies": (
        "python tools/make_galaxies.py experiments/galaxies/data/galaxies 10",
        "tools/make_galaxies.py",
        "experiments/galaxies/data/galaxies",
    )
}
DRAWING = ("generate", "evaluate")  # the stages that read it
HEAD = "# Written by tools/experiments.py after the root's dvc.yaml.\n"


def pipeline(name: str) -> dict:
    """The content of experiments/NAME/dvc.yaml."""
    folder = f"experiments/{name}"
    root = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    own = {path for stage in root.values() for path in outputs(stage)}
    stages, made = {}, []
    if name in INPUTS:
        command, code, output = INPUTS[name]
        made = [output]
        stages["inputs"] = {
            "desc": "Make the pictures of galaxies that are lensed",
            "cmd": command,
            "wdir": "../..",
            "deps": [code],
            "outs": [{output: {"cache": False}}],
        }
    for label in STAGES:
        stage = root[label]
        stages[label] = {
            "desc": stage["desc"],
            "cmd": f"{stage['cmd']} -C {folder} --params ${{size}}.toml",
            "wdir": "../..",
            "deps": [
                *(f"{folder}/{path}" if path in own else path for path in stage["deps"]),
                *(made if label in DRAWING else []),
                f"{folder}/${{size}}.toml",
            ],
            "outs": [{f"{folder}/{path}": {"cache": False}} for path in outputs(stage)],
        }
    return {"vars": ["size.toml"], "stages": stages}


def outputs(stage: dict) -> list[str]:
    """Paths of a stage's outputs and metrics."""
    entries = [*stage.get("outs", []), *stage.get("metrics", [])]
    return [path for entry in entries for path in ([entry] if isinstance(entry, str) else entry)]


def text(name: str) -> str:
    """The file experiments/NAME/dvc.yaml."""
    return HEAD + yaml.safe_dump(pipeline(name), sort_keys=False, width=120)


def names() -> list[str]:
    """The experiments there are."""
    return sorted(path.parent.name for path in (ROOT / "experiments").glob("*/size.toml"))


if __name__ == "__main__":
    for name in names():
        (ROOT / "experiments" / name / "dvc.yaml").write_text(text(name))
