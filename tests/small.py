"""A small dataset of real pictures for the tests of the pipeline."""

from pathlib import Path

import torch

from droulette import files, parameters
from droulette.pipeline.draw import draw_table
from droulette.pipeline.evaluation import evaluate
from droulette.pipeline.generate import Drawing, generate
from droulette.pipeline.splitting import split_file

torch.set_num_threads(1)  # networks this small lose more by sharing than they gain

SIMULATION = {
    "simulator": {"nterms": 2, "imagesize": 96, "cropsize": 48, "centred": True},
    "lens": {"mode": "SIE", "einstein-min": 4, "einstein-max": 12, "ellipseratio-min": 0.4},
    "source": {"mode": "Spherical", "sigma-min": 2, "sigma-max": 5, "position": "relative"},
    "position": {"r-min": 0, "r-relativemax": 1.2},
}


def draw(folder: Path, size: int, seed: int = 0):
    """Draw `size` pictures into folder/images, write folder/dataset.csv and folder/roulette.csv; return the latter."""
    tables = SIMULATION | {"simulator": SIMULATION["simulator"] | {"size": size, "seed": seed}}
    params = parameters.parse(tables)
    drawing = Drawing(nterms=2, imagesize=96, cropsize=48, centred=True)
    (folder / "images").mkdir(parents=True)
    rows = draw_table(params)
    files.write_csv(rows, folder / "dataset.csv")
    table = generate(rows, drawing, folder / "images")
    files.write_csv(table, folder / "roulette.csv")
    return table


def draw_parts(folder: Path, training: int, validation: int, testing: int, **options) -> dict[str, Path]:
    """Draw pictures and split them; give the parts' CSVs by name."""
    draw(folder, training + validation + testing)
    sizes = {"training": training, "validation": validation, "testing": testing}
    parts = {name: folder / f"{name}.csv" for name in sizes}
    options = {"variables": ["sigma", "xiX", "xiY"], "nterms": (0, 1)} | options
    split_file(folder / "roulette.csv", {n: (parts[n], sizes[n]) for n in sizes}, **options)
    return parts


TRAINING = {
    "model": "polar_tiny",
    "device": "cpu",
    "precision": "32-true",
    "learning_rate": 1e-3,
    "batch_size": 16,
    "weight_decay": 1e-4,
    "num_epochs": 1,
    "patience": 5,
}


TABLE_OF = {
    "settings": ("model", "weights", "device", "precision", "seed"),
    "hyperparameters": ("learning_rate", "batch_size", "weight_decay"),
}


def parameters_of(training, validation, directory, tables=None, **options):
    """Parameters of a training of these files. options: keys of [settings], [hyperparameters] and [training]."""
    made = {"settings": {}, "hyperparameters": {}, "training": {}} | (tables or {})
    for name, value in (TRAINING | options).items():
        table = next((table for table, names in TABLE_OF.items() if name in names), "training")
        made[table][name.replace("_", "-")] = value
    files = {"training": {"filename": str(training)}, "validation": {"filename": str(validation)}}
    return parameters.parse(made | {"dataset": files | {"directory": str(directory)}})


def train(training, validation, directory, output, *, log=None, progress=None, say=None, **options):
    """A model trained on these files."""
    from droulette.pipeline import training as pipeline

    given = {"log": log, "progress": progress, "say": say}
    given = {name: value for name, value in given.items() if value is not None}
    return pipeline.train(parameters_of(training, validation, directory, **options), output, **given)


def evaluate_parts(
    parts: dict[str, Path],
    images: str | Path,
    model: str | Path,
    output: str | Path,
    roulette: str | Path | None = None,
    fit: dict | None = None,
    **evaluation,
) -> dict:
    """Evaluate a model on the CPU as TOML with these files and the keys `evaluation` would."""
    tables = {
        "simulator": SIMULATION["simulator"],
        "dataset": {"directory": str(images)} | {name: {"filename": str(path)} for name, path in parts.items()},
        "settings": {"device": "cpu", "precision": "32-true"},
        "evaluation": {key: str(value) if key == "lenses" else value for key, value in evaluation.items()},
        "fit": fit or {},
    }
    params = parameters.parse(tables)
    return evaluate(
        params.dataset,
        params.evaluation,
        params.simulator,
        params.settings,
        model_path=model,
        output=output,
        roulette=roulette,
        fit=params.fit,
        say=lambda line: None,
    )
