"""The whole pipeline, small, in a fresh clone with real DVC; and DVC's short ``-S`` on ``params.toml``."""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dvc.utils.cli_parse import to_path_overrides
from projects import BOX, OUTPUTS, STAGES, Clone, duplicate, stages_run, start_workers, stop_workers, wait_for_queue

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def reproduced(readme, tmp_path_factory) -> Iterator[tuple[Clone, dict[str, str]]]:
    """A clone after `make repro`, committed and pushed, with the hashes of what was written."""
    folder = tmp_path_factory.mktemp("reproduced")
    clone = duplicate(readme.reproduced, folder)
    clone.dvc("push")
    yield clone, clone.hashes()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def experiment(readme, tmp_path_factory) -> Iterator[tuple[Clone, list[str]]]:
    """A clone after one experiment, typed as users type it, with the stages that it ran."""
    folder = tmp_path_factory.mktemp("experiment")
    yield duplicate(readme.experiment, folder), stages_run(readme.printed[1])
    shutil.rmtree(folder, ignore_errors=True)


def test_make_repro_runs_all_stages_and_prints_the_metrics(readme):
    assert stages_run(readme.printed[0]) == list(STAGES)
    lines = [line for line in readme.printed[0].splitlines() if not line.startswith("make[")]  # under `make test`
    *_, testing, linear, means = lines
    assert [line.split()[0] for line in (testing, linear, means)] == ["testing", "linear", "means"]


def test_repro_again_runs_nothing(reproduced):
    clone, _ = reproduced
    output = clone.dvc("repro")
    assert stages_run(output) == []
    assert "Data and pipelines are up to date." in output


def test_an_edit_of_the_readme_runs_nothing(reproduced):
    clone, _ = reproduced
    with open(clone.path / "README.md", "a") as readme:
        readme.write("\nOne more line.\n")
    assert stages_run(clone.dvc("repro")) == []


def test_repro_leaves_only_committed_or_ignored_files(reproduced):
    """The results in git are few and small: DVC keeps the pictures, tables and weights."""
    clone, _ = reproduced
    in_git = clone.run("git", "ls-files", *OUTPUTS).split()
    drawn = [name for name in in_git if not name.startswith("data/galaxies/")]  # the 24 are an input, not a result
    assert not [name for name in drawn if name.endswith((".png", ".csv", ".safetensors"))]
    assert "metrics/evaluate.json" in in_git
    assert sum((clone.path / name).stat().st_size for name in drawn) < 200_000


def test_a_pull_brings_the_same_bytes_to_a_second_clone(reproduced):
    clone, hashes = reproduced
    second = Clone(clone.path.parent / "second", clone.path.parent / "second-site-cache")
    clone.run("git", "clone", "-q", str(clone.path), str(second.path))
    second.dvc("pull")
    assert second.hashes() == hashes
    assert (second.path / BOX).is_file()
    assert "Data and pipelines are up to date." in second.dvc("status", "dvc.yaml")
    assert second.run("git", "status", "--porcelain") == ""


def test_a_learning_rate_runs_train_evaluate_and_report_only(experiment):
    clone, ran = experiment
    assert ran == ["train", "evaluate", "report"]
    assert tomllib.loads((clone.path / "params.toml").read_text())["hyperparameters"]["learning-rate"] == 3e-4
    assert not (clone.path / "params.yaml").exists()


def test_params_diff_shows_the_learning_rate_alone(experiment):
    clone, _ = experiment
    changed = clone.diff("params")
    assert list(changed) == ["params.toml"]
    assert list(changed["params.toml"]) == ["hyperparameters.learning-rate"]
    assert changed["params.toml"]["hyperparameters.learning-rate"]["new"] == 3e-4


def test_metrics_diff_shows_training_and_evaluation(experiment):
    clone, _ = experiment
    assert set(clone.diff("metrics")) == {"metrics/summary.json", "metrics/train/metrics.json"}


def test_exp_show_lists_the_experiment_with_its_results(experiment):
    clone, _ = experiment
    rows = list(csv.DictReader(clone.dvc("exp", "show", "--csv").splitlines()))
    named = [row for row in rows if row["typ"] == "branch_base"]
    assert len(named) == 1
    assert float(named[0]["hyperparameters.learning-rate"]) == 3e-4
    first = list(named[0])[5:11]  # after the experiment's names and date
    assert first == ["r2_quantile", "r2", "picture_error", "mae", "coverage68", "coverage95"]
    summary = json.loads((clone.path / "metrics" / "summary.json").read_text())
    assert float(named[0]["r2_quantile"]) == pytest.approx(summary["r2_quantile"], rel=1e-4)


def test_plots_diff_draws_curves_and_pictures_of_both(experiment):
    clone, _ = experiment
    clone.dvc("plots", "diff", "--out", "plots")
    page = (clone.path / "plots" / "index.html").read_text()
    assert "metrics/train/plots/metrics" in page
    assert "datum.part == 'testing'" in page  # the template of .dvc/plots
    pictures = {picture.name for picture in (clone.path / "plots" / "static").iterdir()}
    names = ["columns.png", "predicted_against_true.png", "calibration.png", "gallery.png"]
    assert pictures == {f"{rev}_metrics_plots_{name}" for rev in ("workspace", "HEAD") for name in names}
    shutil.rmtree(clone.path / "plots")


def test_a_report_compares_the_workspace_with_a_commit_and_with_an_experiment(experiment):
    clone, _ = experiment
    name = clone.dvc("exp", "list", "--name-only").split()[0]
    clone.run("python", "-m", "droulette.report", "--compare", "HEAD", "--compare", name)
    page = (clone.path / "metrics" / "comparison.html").read_text()
    learning_rate = page.partition("<code>hyperparameters.learning-rate</code>")[2].partition("</tr>")[0]
    assert re.findall("<td>(.*?)</td>", learning_rate) == ["0.0003", "0.002", "0.0003"]
    assert f"quantile scale, {name}" in page and "quantile scale, HEAD" in page
    read = "from droulette.reporting.comparison import read; import pathlib as p; "
    show = "print(*read('HEAD', 'params.toml', p.Path('metrics')).curves)"
    assert "validation/r2" in clone.run("python", "-c", read + show).split()
    failed = subprocess.run(
        [sys.executable, "-m", "droulette.report", "--compare", "none"], cwd=clone.path, capture_output=True, text=True
    )
    assert failed.returncode == 2 and failed.stderr.startswith("error: --compare: found no 'none', expected")


def test_a_registered_model_is_got_from_a_clone_by_its_name(reproduced):
    clone, hashes = reproduced
    folder = clone.path.parent
    clone.run("gto", "register", "roulette", "--version", "v1.0.0")
    clone.run("gto", "assign", "roulette", "--version", "v1.0.0", "--stage", "prod")
    clone.run("git", "clone", "-q", str(clone.path), str(folder / "registry"))  # with the tags, and without a cache
    for version in ([], ["--rev", "v1.0.0"], ["--stage", "prod"]):
        got = folder / "-".join(["got", *version])
        clone.dvc("artifacts", "get", str(folder / "registry"), "roulette", "--out", str(got), *version)
        assert hashlib.sha256(got.read_bytes()).hexdigest() == hashes["models/model.safetensors"]
    about = yaml.safe_load((clone.path / "dvc.yaml").read_text())["artifacts"]["roulette"]
    assert about["type"] == "model" and about["desc"]


def test_a_sweep_runs_side_by_side_and_ends_with_the_metrics_of_each(experiment):
    clone, _ = experiment
    clone.dvc("exp", "run", "--queue", "-S", "settings.model=resnet18,regnet_y_400mf")
    try:
        start_workers(clone, 2)
        wait_for_queue(clone)
    finally:
        stop_workers(clone)
    rows = {row["settings.model"]: row for row in csv.DictReader(clone.dvc("exp", "show", "--csv").splitlines())}
    measured = {}
    for model in ("resnet18", "regnet_y_400mf"):
        measured[model] = float(rows[model]["r2_quantile"])
    assert measured["resnet18"] != measured["regnet_y_400mf"]


def test_the_short_form_works_in_a_subfolder(experiment):
    clone, _ = experiment
    clone.dvc("exp", "run", "--queue", "-S", "simulator.seed=7", folder="stages")
    rows = list(csv.DictReader(clone.dvc("exp", "show", "--csv").splitlines()))
    clone.dvc("queue", "remove", "--all")
    assert "7" in {row["simulator.seed"] for row in rows if row["State"] == "Queued"}


@pytest.mark.parametrize(
    ("files", "folder", "typed", "file"),
    [
        (["params.toml"], ".", "a.b=1", "params.toml"),
        (["params.toml"], ".", "+a.b=x:y", "params.toml"),
        (["params.toml"], "deep/er", "a.b=1", "../../params.toml"),
        (["params.toml"], ".", "other.toml:a.b=1", "other.toml"),
        (["params.toml", "params.yaml"], ".", "a.b=1", "params.yaml"),
        (["params.yaml"], ".", "a.b=1", "params.yaml"),
        ([], ".", "a.b=1", "params.yaml"),
    ],
)
def test_an_override_without_a_file_goes_to_params_toml_where_that_is_the_file(
    files, folder, typed, file, tmp_path, monkeypatch
):
    for name in [".dvc", "deep/er"]:
        (tmp_path / name).mkdir(parents=True)
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / folder)
    assert to_path_overrides([typed]) == {file: [typed.removeprefix("other.toml:")]}


def imported_files(file: Path, package: str = "droulette", last: frozenset[str] = frozenset()) -> set[str]:
    """The package's files that a Python file imports, within functions too, and through others but those in `last`."""
    found: set[str] = set()
    todo = [file]
    while todo:
        file = todo.pop()
        folder = file.relative_to(ROOT).parent.parts
        names = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = folder[: len(folder) - node.level + 1] if node.level else ()
                base = ".".join([*above, *filter(None, [node.module])])
                names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        for name in list(names):  # a module's packages are imported with it
            steps = name.split(".")
            names |= {".".join(steps[:k]) for k in range(1, len(steps))}
        for name in names:
            path = ROOT.joinpath(*name.split("."))
            for candidate in (path.with_suffix(".py"), path / "__init__.py"):
                relative = candidate.relative_to(ROOT).as_posix()
                if name.split(".")[0] == package and candidate.is_file() and relative not in found:
                    found.add(relative)
                    todo += [] if relative in last else [candidate]
    return found


# Names, messages and progress. A stage reads its own tables: the checks of the others decide nothing for it.
DECIDES_NO_OUTPUT = {
    "droulette/__init__.py",
    "droulette/commands.py",
    "droulette/errors.py",
    "droulette/pipeline/__init__.py",
    "droulette/parameters/learning.py",
    "droulette/parameters/simulation.py",
}


# What it draws changes as data/images does, on which the stage depends.
DRAWS_LIKE_THE_DATASET = {"droulette/pipeline/fresh.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_it_imports_and_on_no_other(stage):
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["deps"]
    code = [dep for dep in deps if dep.startswith("droulette")]
    last = frozenset(DECIDES_NO_OUTPUT - set(code) | DRAWS_LIKE_THE_DATASET)
    imported = imported_files(ROOT / "stages" / f"{stage}.py", last=last)

    def covers(dep: str, file: str) -> bool:
        return file == dep or file.startswith(f"{dep}/")

    missing = {file for file in imported - DECIDES_NO_OUTPUT if not any(covers(dep, file) for dep in code)}
    unused = {dep for dep in code if not any(covers(dep, file) for file in imported)}
    assert (missing, unused) == (set(), set())


@pytest.mark.parametrize(("read", "status", "said"), [(True, 255, "connection was cut"), (False, 141, "")])
def test_a_connection_that_was_cut_is_told_from_an_output_that_nobody_reads(read, status, said):
    code = "import sys; from droulette_dvc import with_broken_connections as w; sys.exit(w(lambda argv: 141)())"
    reader, writer = os.pipe()
    if not read:
        os.close(reader)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tools")}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert done.returncode == status
    assert said in done.stderr and bool(said) == bool(done.stderr)
    for end in (writer, *([reader] if read else [])):
        os.close(end)


def test_dvc_itself_says_that_a_connection_was_cut(tmp_path):
    code = (
        "import sys, dvc.cli, dvc.commands.version as v\n"
        "def cut(self): raise BrokenPipeError(32, 'Broken pipe')\n"
        "v.CmdVersion.run = cut\n"
        "sys.exit(dvc.cli.main(['version']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 255
    assert done.stderr.startswith("ERROR: a connection was cut")


def shared(folder: Path) -> tuple[Clone, Clone, Path]:
    """A project with a tracked folder, pushed to a remote; a clone of it; and the folder's listing in the remote."""
    here = Clone(folder / "here", folder / "site-cache")
    here.path.mkdir()
    here.run("git", "init", "-q")
    here.dvc("init", "-q")
    here.dvc("remote", "add", "-q", "-d", "storage", str(folder / "remote"))
    (here.path / "pictures").mkdir()
    for name in "ab":
        (here.path / "pictures" / name).write_text(name)
    here.dvc("add", "-q", "pictures")
    here.dvc("push", "-q")
    here.run("git", "add", "--all")
    here.run("git", *["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "pictures"])
    here.run("git", "clone", "-q", ".", "../there")
    (listing,) = (folder / "remote").rglob("*.dir")
    return here, Clone(folder / "there", folder / "another-site-cache"), listing


def spoil(listing: Path) -> None:
    listing.chmod(0o644)
    listing.write_text(listing.read_text().replace('"relpath": "b"', '"relpath": "c"'))


def test_a_changed_listing_of_a_remote_is_refused(tmp_path):
    here, there, listing = shared(tmp_path)
    spoil(listing)
    with pytest.raises(AssertionError, match="not what its name says"):
        there.dvc("pull")
    assert not (there.path / "pictures").exists()
    here.dvc("push")
    there.dvc("pull")
    assert sorted(path.name for path in (there.path / "pictures").iterdir()) == ["a", "b"]


def test_a_changed_listing_of_the_cache_is_fetched_again(tmp_path):
    _, there, _ = shared(tmp_path)
    there.dvc("pull")
    (listing,) = (there.path / ".dvc/cache").rglob("*.dir")
    spoil(listing)
    shutil.rmtree(there.path / "pictures")
    there.dvc("pull")
    assert sorted(path.name for path in (there.path / "pictures").iterdir()) == ["a", "b"]


@pytest.mark.parametrize("link", ["copy", "hardlink"])
def test_a_spoilt_object_of_the_cache_is_said_and_not_checked_out(tmp_path, link):
    clone = Clone(tmp_path, tmp_path / "site-cache")
    clone.run("git", "init", "-q")
    clone.dvc("init", "-q")
    clone.dvc("config", "cache.type", link)
    (tmp_path / "pictures").mkdir()
    for name in "abc":
        (tmp_path / "pictures" / name).write_text(name)
    clone.dvc("add", "-q", "pictures")
    hash = hashlib.md5(b"b").hexdigest()
    stored = tmp_path / ".dvc/cache/files/md5" / hash[:2] / hash[2:]
    stored.chmod(0o644)
    stored.write_text("B")
    stored.chmod(0o444)
    shutil.rmtree(tmp_path / "pictures")
    with pytest.raises(AssertionError, match="not what its name says, and removed from DVC's cache"):
        clone.dvc("checkout")
    assert not stored.exists()
    stored.write_text("b")
    clone.dvc("checkout")
    assert (tmp_path / "pictures" / "b").read_text() == "b"


@pytest.mark.parametrize(
    "change, name",
    [
        ("change_tree", "Tree.from_list"),
        ("change_links", "Link.__call__"),
        ("change_checkout", "_create_files"),
        ("change_main", "main"),
        ("change_checkout_command", "CmdCheckout.run"),
        ("change_pull", "CmdDataPull.run"),
        ("change_parser", "to_path_overrides"),
    ],
)
def test_a_dvc_without_what_is_protected_is_refused_by_name(change, name):
    import types

    import droulette_dvc

    with pytest.raises(ImportError, match=rf"dvc_other\.{name}.*install dvc=="):
        getattr(droulette_dvc, change)(types.ModuleType("dvc_other"))
