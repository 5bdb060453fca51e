"""From a trained model to predictions, metrics and plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from droulette.commands import bar, dataset_of
from droulette.metrics import table

if TYPE_CHECKING:
    from droulette.parameters import Parameters


def evaluate_by(params: Parameters, source: str, model: str | Path, directory: str | Path) -> None:
    """Evaluate as the tables [dataset] and [evaluation], read from the file `source`, say."""
    from droulette.pipeline.evaluation import evaluate

    dataset = dataset_of(params, source, "training", "validation", "testing")
    reached = evaluate(
        {name: part.filename for name, part in dataset.parts.items()},
        dataset.directory,
        model,
        directory,
        prediction_files={name: part.predictionfile for name, part in dataset.parts.items()},
        roulette=params.problem and params.problem.filename,
        lenses=params.evaluation.lenses,
        resimulations=params.evaluation.resimulations,
        examples=params.evaluation.examples,
        sampling=params.simulator.sampling,
        supersampling=params.simulator.supersampling,
        canvas=params.simulator.imagesize,
        device=params.settings.device,
        precision=params.settings.precision,
        progress=bar,
    )
    print(table(reached))
