"""The tour notebook runs from top to bottom, and shows what its text says."""

import ast
import base64
import io
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tour.ipynb"


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> nbformat.NotebookNode:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("tour")
    kept = {name: os.environ.get(name) for name in ("PYTHONPATH", "TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
    os.environ |= {"PYTHONPATH": str(NOTEBOOK.parents[1])} | {name: str(folder) for name in list(kept)[1:]}
    try:
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    if keep := os.environ.get("DROULETTE_KEEP_TOUR"):  # to look at
        nbformat.write(notebook, keep)
    return notebook


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list:
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [out["data"][kind] for cell in cells for out in cell.outputs if kind in out.get("data", {})]


def test_the_notebook_is_stored_without_outputs():
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_the_tour_runs_and_draws_its_pictures(ran):
    pictures = [Image.open(io.BytesIO(base64.b64decode(png))) for png in outputs(ran, "image/png")]
    assert len(pictures) == 5
    assert all(np.asarray(picture.convert("L")).std() > 20 for picture in pictures)


def test_the_roulette_gets_better_with_each_order(ran):
    cell = next(cell for cell in ran.cells if "errors = {}" in cell.source)
    (said,) = [out["data"]["text/plain"] for out in cell.outputs if out.output_type == "execute_result"]
    errors = ast.literal_eval(said)
    assert list(errors) == [1, 2, 4, 12]
    values = list(errors.values())
    assert values == sorted(values, reverse=True) and values[-1] < 0.1 * values[0]


def test_the_tour_ends_with_the_warning_that_it_announces(ran):
    said = "".join(out["text"] for out in ran.cells[-1].outputs if out.output_type == "stream")
    assert "picture-1: unlike anything in the training set" in said
    (table,) = [out["data"]["text/plain"] for out in ran.cells[-1].outputs if "data" in out]
    assert float(re.findall(r"[\d.]+", table)[-1]) > 1
