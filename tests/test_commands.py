"""What all commands share: one line for what a user can mend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from droulette import metrics
from droulette.errors import cli

ROOT = Path(__file__).parents[1]


def test_a_package_that_is_not_installed_is_one_line_that_names_the_environment(capsys):
    @cli
    def main() -> None:
        import no_such_package  # noqa: F401

    assert main() == 2
    error = capsys.readouterr().err
    beginning = f"error: {sys.executable} has no package 'no_such_package': `. .venv/bin/activate` after `make repro`, "
    assert error.startswith(beginning) and error.count("\n") == 1


def test_a_module_of_our_own_that_is_not_there_is_a_fault_of_ours():
    @cli
    def main() -> None:
        import droulette.no_such_module  # noqa: F401

    with pytest.raises(ModuleNotFoundError):
        main()


def test_leaving_at_once_loses_no_output_and_no_status():
    code = "from droulette.errors import leave; print('out'); import sys; print('err', file=sys.stderr); leave(2)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (2, "out\n", "err\n")


def test_metrics_are_printed_with_the_baselines_under_them(tmp_path, capsys):
    baseline, linear = {"r2": -0.1, "r2_quantile": -0.3, "mae": 4.0}, {"r2": 0.1, "r2_quantile": 0.2, "mae": 3.0}
    values = {"r2": 0.5, "r2_quantile": 0.75, "mae": 2.0, "baseline": baseline, "linear": linear}
    (tmp_path / "evaluate.json").write_text(json.dumps({"testing": values}))
    assert metrics.main([str(tmp_path / "evaluate.json")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        ["testing", "0.5000", "0.7500", "2.0000", "-", "-", "-"],
        ["linear", "model", "0.1000", "0.2000", "3.0000", "-", "-", "-"],
        ["means", "-0.1000", "-0.3000", "4.0000", "-", "-", "-"],
    ]


@pytest.mark.parametrize("content", [None, "", "[1]", '{"testing": 3}', '{"testing": {"r2": 1}}'])
def test_metrics_of_no_evaluation_are_one_line(content, tmp_path, capsys):
    path = tmp_path / "evaluate.json"
    if content is not None:
        path.write_text(content)
    assert metrics.main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ") and error.count("\n") == 1
