"""`droulette`: its subcommands, what completes them, the doctor, and hints where a user stumbles."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clones import SMALL, Clone
from dvc.exceptions import InvalidArgumentError
from dvc.utils.hydra import apply_overrides

import droulette
from droulette import __main__ as command
from droulette import completion, datagen, doctor, files, parameters
from droulette.errors import UserError

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tools'}", "COLUMNS": "200"}
ONE_SCENE = """
[simulator]
model = "Raytrace"
imagesize = 64
[lens]
mode = "SIE"
einsteinradius = 10
ellipseratio = 0.34
orientation = 107
[source]
mode = "SersicSphere"
sigma = 4
position = "cartesian"
n_sersic = 4
luminosity = 16
[position]
x = 3.01
y = 0.31
"""


def run(*arguments: str, folder: Path | str = ROOT, **variables: str) -> subprocess.CompletedProcess:
    command_line = [sys.executable, "-m", "droulette", *arguments]
    return subprocess.run(command_line, cwd=folder, env=ENVIRONMENT | variables, capture_output=True, text=True)


# ---------------------------------------------------------------- the command


def test_help_is_short_and_at_once():
    started = time.perf_counter()
    done = run("--help")
    assert time.perf_counter() - started < 0.3 * 3  # machines differ; 0.05 s where it was written
    assert done.returncode == 0 and len(done.stdout.splitlines()) < 25
    listed = re.findall(r"^  (\w+) ", done.stdout, flags=re.MULTILINE)
    assert {"generate", "split", "train", "evaluate", "predict", "report", "metrics", "doctor"} <= set(listed)
    assert listed == list(command.COMMANDS)


def test_help_imports_no_command():
    code = (
        "import sys\nfrom droulette.__main__ import main\nmain(['--help'])\n"
        "print([n for n in sys.modules if n.startswith('droulette.')], 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    modules = {"droulette.__main__", "droulette.commands", "droulette.errors"}
    assert done.stdout.splitlines()[-1].endswith("False")
    assert set(re.findall(r"'(droulette\.\w+)'", done.stdout.splitlines()[-1])) == modules


@pytest.mark.parametrize("name", list(command.COMMANDS))
def test_each_command_explains_itself_as_it_was_typed(name):
    done = run(name, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: droulette {name} ")
    examples = done.stdout.split("examples:")[1]
    assert f"droulette {name}" in examples and "python -m" not in examples


def test_a_misspelt_command_is_answered_with_the_nearest(capsys):
    assert command.main(["trian"]) == 2
    assert capsys.readouterr().err == "error: droulette: found 'trian', expected train\n"
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"droulette {droulette.__version__}\n"


def test_the_console_script_is_declared():
    import tomllib

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["droulette"].partition(":")
    assert module == "droulette.__main__" and callable(getattr(command, function))


def test_generate_draws_what_datagen_draws(tmp_path):
    (tmp_path / "d.toml").write_text("[simulator]\nsize = 3\nimagesize = 48\n[lens]\neinstein-max = 12\n")
    options = ["--toml", "d.toml", "--csvfile", "d.csv", "--directory"]
    assert run("generate", *options, "new", folder=tmp_path).returncode == 0
    table = (tmp_path / "d.csv").read_bytes()
    subprocess.run(
        [sys.executable, "-m", "droulette.datagen", *options, "old"], cwd=tmp_path, env=ENVIRONMENT, check=True
    )
    assert (tmp_path / "d.csv").read_bytes() == table
    for picture in (tmp_path / "old").iterdir():
        assert (tmp_path / "new" / picture.name).read_bytes() == picture.read_bytes()
    assert len(list((tmp_path / "old").iterdir())) == 3


def test_train_and_evaluate_are_the_stages_of_a_folder(tmp_path):
    import torch

    torch.set_num_threads(1)
    from small import draw_parts

    (tmp_path / "data").mkdir()
    draw_parts(tmp_path / "data", 24, 8, 8)
    (tmp_path / "params.toml").write_text(
        "[simulator]\nnterms = 2\nimagesize = 96\ncropsize = 48\ncentred = true\nsize = 40\n"
        '[settings]\nmodel = "polar_tiny"\ndevice = "cpu"\nprecision = "32-true"\n'
        "[training]\nnum-epochs = 1\nsymmetries = 1\n[evaluation]\nresimulations = 0\nexamples = 0\n"
        '[dataset]\ndirectory = "data/images"\n'
        + "".join(f'[dataset.{n}]\nfilename = "data/{n}.csv"\n' for n in ("training", "validation", "testing"))
    )
    trained = run("train", "-C", str(tmp_path), "-q")
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "models/model.safetensors").stat().st_size > 10_000
    measured = run("evaluate", "-C", str(tmp_path))
    assert measured.returncode == 0 and "testing" in measured.stdout, measured.stderr
    assert "r2" in json.loads((tmp_path / "metrics/evaluate.json").read_text())["testing"]
    missing = run("train", "-C", str(tmp_path / "data"))
    assert missing.returncode == 2 and missing.stderr == "error: params.toml: no such file\n"


# ---------------------------------------------------------------- completion


def completed(script: Path, *words: str) -> set[str]:
    """What bash offers behind these words."""
    line = " ".join(words)
    code = (
        f"source {script}; COMP_WORDS=({' '.join(words[:-1])} '{words[-1]}'); COMP_CWORD={len(words) - 1}; "
        f"COMP_LINE='{line}'; COMP_POINT={len(line)}; "
        "function_name=$(complete -p droulette | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        '$function_name; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, cwd=script.parent, check=True)
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_files(tmp_path):
    done = run("completion", "bash")
    assert done.returncode == 0
    (tmp_path / "complete.sh").write_text(done.stdout)
    (tmp_path / "distribution.toml").touch()
    script = tmp_path / "complete.sh"
    assert completed(script, "droulette", "pre") == {"predict"}
    assert completed(script, "droulette", "") >= set(command.COMMANDS)
    assert completed(script, "droulette", "predict", "--pix") == {"--pixel-scale"}
    assert completed(script, "droulette", "generate", "--sampling", "") == {"exact", "nearest"}
    assert "distribution.toml" in completed(script, "droulette", "generate", "--toml", "dis")


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_shell_gets_all_commands(shell, capsys):
    assert completion.main([shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in command.COMMANDS) and "pixel-scale" in script


# ---------------------------------------------------------------- the doctor


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    """The working tree as a git repository, with small parameters and without dvc.lock."""
    return Clone.make(tmp_path_factory.mktemp("doctor") / "clone", {"simulator": SMALL["simulator"] | {"size": 12}})


def ask(clone: Clone, *options: str) -> tuple[int, dict[str, tuple[str, str]], str]:
    """Its exit status, each line's mark and text by its label, and what to type next."""
    done = run("doctor", *options, folder=clone.path, **{k: v for k, v in clone.environment.items() if "DVC" in k})
    *lines, last = done.stdout.splitlines()
    found = {line[4:16].strip(): (line[:3].strip(), line[16:]) for line in lines}
    assert last.startswith("next: "), done.stdout + done.stderr
    return done.returncode, found, last.removeprefix("next: ")


def test_outside_of_a_repository_the_doctor_says_what_works(tmp_path):
    status, found, step = ask(types.SimpleNamespace(path=tmp_path, environment={}))
    assert status == 0 and step == "droulette --help"
    assert found["repository"][0] == "!" and "no DVC repository" in found["repository"][1]
    assert found["droulette"] == ("ok", f"droulette {droulette.__version__} in {ROOT / 'droulette'}, Python "
                                  + sys.version.split()[0])  # fmt: skip
    import torch

    assert found["torch"][1].startswith(torch.__version__) and found["DVC"][0] == "ok"


def lock(clone: Clone, model: bytes | None) -> None:
    """A dvc.lock whose one stage made the model."""
    import hashlib

    text = "schema: '2.0'\nstages:\n  train:\n    cmd: python -m stages.train\n    outs:\n"
    md5 = hashlib.md5(model or b"").hexdigest()
    text += (
        f"    - path: models/model.safetensors\n      hash: md5\n      md5: {md5}\n      size: {len(model or b'')}\n"
    )
    (clone.path / "dvc.lock").write_text(text)


def test_the_doctor_follows_a_model_from_missing_to_pulled_to_changed(clone, tmp_path):
    model = clone.path / "models/model.safetensors"
    content = b"weights"
    lock(clone, content)
    remote = tmp_path / "storage"
    (clone.path / ".dvc/config.local").write_text(f"['remote \"storage\"']\n    url = {remote}\n")
    status, found, step = ask(clone)
    box = "models/telescope.safetensors"
    assert status == 0 and step == f"dvc pull {box}"
    assert found["box"] == ("!", f"{box}: missing; `dvc pull {box}` brings it")
    assert found["models/"] == ("!", "missing: models/model.safetensors")
    assert found["remote"] == ("!", f"storage: the folder {remote} is not there: nothing to pull")

    import hashlib

    md5 = hashlib.md5(content).hexdigest()
    stored = remote / "files/md5" / md5[:2] / md5[2:]
    stored.parent.mkdir(parents=True)
    stored.write_bytes(content)
    for options in ((), ("--remote",)):
        status, found, step = ask(clone, *options)
        assert (status, step) == (0, "dvc pull models/model.safetensors"), found
    clone.run(*step.split())
    assert model.read_bytes() == content
    status, found, step = ask(clone)
    assert found["models/"] == ("ok", "there, as dvc.lock says")

    model.chmod(0o644)
    model.unlink()
    assert ask(clone)[2] == "dvc checkout models/model.safetensors"
    model.write_bytes(b"other weights")
    assert ask(clone)[1]["models/"] == ("!", "not as dvc.lock says: models/model.safetensors")
    model.unlink()


def test_a_damaged_lock_is_broken_and_git_has_it_whole(clone):
    (clone.path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  train: [\n<<<<<<< HEAD\n")
    status, found, step = ask(clone)
    assert status == 1 and step == "git checkout dvc.lock"
    assert found["pipeline"][0] == "x" and found["pipeline"][1].startswith("dvc.lock cannot be read: ")
    (clone.path / "dvc.lock").unlink()


def test_a_folder_without_git_is_broken(tmp_path):
    (tmp_path / ".dvc").mkdir()
    status, found, step = ask(types.SimpleNamespace(path=tmp_path, environment={}))
    assert status == 1 and step == "git init" and found["git"][0] == "x"


def test_a_pytorch_that_cannot_be_imported_is_broken(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (found,) = doctor._torch()
    assert found.mark == "x" and found.text.startswith("PyTorch cannot be imported: ") and "pip" in found.cure


@pytest.mark.parametrize(
    ("built", "raised", "said"),
    [
        (None, None, "this PyTorch is built for processors alone"),
        (
            "13.2",
            "The NVIDIA driver on your system is too old (found version 11040).\nPlease",
            "too old (found version",
        ),
    ],
)
def test_a_card_that_is_not_used_is_named_with_the_reason(built, raised, said, monkeypatch):
    def init():
        raise RuntimeError(raised)

    cuda = types.SimpleNamespace(is_available=lambda: False, init=init)
    torch = types.SimpleNamespace(cuda=cuda, version=types.SimpleNamespace(cuda=built))
    monkeypatch.setattr(doctor, "_driver", lambda: "470.1")
    found = doctor._device(torch)
    assert found.mark == "!" and "NVIDIA driver 470.1 is here" in found.text and said in found.text
    assert "Please" not in found.text
    monkeypatch.setattr(doctor, "_driver", lambda: None)
    assert doctor._device(torch).mark == "ok"


def test_loops_that_are_not_compiled_are_a_note(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = doctor._compiled()
    assert found.mark == "!" and "draw, settle" in found.text


# ---------------------------------------------------------------- stumbles


def test_a_file_in_which_nothing_varies_is_one_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("one.toml").write_text(ONE_SCENE)
    assert datagen.main(["--toml", "one.toml", "--csvfile", "d.csv", "--directory", "images", "-q"]) == 0
    assert len(pd.read_csv("d.csv")) == 1 and len(list(Path("images").iterdir())) == 1
    assert datagen.main(["--toml", "one.toml", "--csvfile", "d.csv", "--size", "3", "--no-pictures", "-q"]) == 0
    assert len(pd.read_csv("d.csv")) == 3


@pytest.mark.parametrize(
    ("old", "new", "size"),
    [
        ("", "", 1),
        ("imagesize = 64", "imagesize = 64\nsize = 7", 7),
        ("einsteinradius = 10", "einstein-min = 10\neinstein-max = 11", 10_000),
        ("einsteinradius = 10", "einsteinradius = [10, 11]", 10_000),
        ("einsteinradius = 10", "einsteinradius = [10]", 1),
        ('mode = "SIE"', 'mode = ["SIE", "SIS"]', 10_000),
        ('mode = "SIE"', 'mode = "SIE+Shear"', 10_000),
        ('mode = "SIE"', 'mode = "SIE+Shear"\ngamma1 = 0\ngamma2 = 0.1', 1),
        ("orientation = 107", "", 10_000),
        ("x = 3.01", "", 10_000),
        ('position = "cartesian"', 'position = "polar"', 10_000),
        ("luminosity = 16", "luminosity = 16\n[cluster]\ncount = 2", 10_000),
        ("luminosity = 16", "luminosity = 16\n[subhaloes]\ncount = 2", 10_000),
        ("[position]", '[instrument]\npreset = "euclid"\n[position]', 1),
        ("[position]", '[instrument]\npreset = "rubin"\n[position]', 10_000),
        ("[position]", '[instrument]\npreset = "euclid"\ncentring-error = 1\n[position]', 10_000),
        ("[position]", '[instrument]\npreset = "euclid"\n[lens_light]\nflux-ratio = 1\n[position]', 10_000),
    ],
)
def test_only_where_nothing_varies_and_no_size_stands(old, new, size):
    import tomllib

    assert parameters.parse(tomllib.loads(ONE_SCENE.replace(old, new, 1))).simulator.size == size


TABLE = "filename,lens,einsteinradius,source,sigma,x,y\na.png,SIS,9.5,Spherical,3,1,2\nb.png,SIS,7,Spherical,2,-1,0.5\n"


@pytest.mark.parametrize("separator", [";", "\t", ", ", " , ", " ;", ";  "])
def test_tables_of_other_separators_are_read(separator, tmp_path):
    (tmp_path / "plain.csv").write_text(TABLE)
    (tmp_path / "other.csv").write_text(TABLE.replace(",", separator))
    (tmp_path / "bom.csv").write_text("\ufeff" + TABLE.replace(",", separator))
    plain = files.read_csv(tmp_path / "plain.csv")
    for name in ("other.csv", "bom.csv"):
        pd.testing.assert_frame_equal(files.read_csv(tmp_path / name, ["filename"]), plain)


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path):
    (tmp_path / "plain.csv").write_text(TABLE)
    (tmp_path / "other.csv").write_text(TABLE.replace(",", ";").replace("9.5", "9,5").replace("0.5", "0,5"))
    read = files.read_csv(tmp_path / "other.csv")
    pd.testing.assert_frame_equal(read, files.read_csv(tmp_path / "plain.csv"))
    assert read["einsteinradius"].tolist() == [9.5, 7.0]


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--toml", "d.csv"], "--csvfile takes a table"), (["--csvfile", "d.toml"], "--toml takes a distribution")],
)
def test_a_table_in_the_place_of_a_distribution_is_told_its_place(options, said, capsys):
    assert datagen.main(options) == 2
    assert said in capsys.readouterr().err


def test_a_text_that_begins_with_a_space_is_kept_where_the_header_has_none(tmp_path):
    table = pd.DataFrame({"filename": [" a.png", "b.png"], "x": [1.5, 2.5]})
    files.write_csv(table, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(files.read_csv(tmp_path / "t.csv"), table)


@pytest.mark.parametrize(("separator", "name"), [("|", "vertical bars"), (" ", "spaces")])
def test_a_separator_that_is_not_read_is_named(separator, name, tmp_path):
    (tmp_path / "t.csv").write_text(TABLE.replace(",", separator))
    with pytest.raises(UserError, match=f"found a header separated by {name}, expected commas, semicolons or tabs"):
        files.read_csv(tmp_path / "t.csv", ["filename"])


def test_a_cluster_in_a_table_of_semicolons_names_the_separator(tmp_path):
    text = "filename;cluster\na.png;SIS/0/0/9;SIS/1/1/9\n"
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match="more cells in a row than columns, which semicolons separate"):
        files.read_csv(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text('filename;cluster\na.png;"SIS/0/0/9;SIS/1/1/9"\n')
    assert files.read_csv(tmp_path / "t.csv")["cluster"].tolist() == ["SIS/0/0/9;SIS/1/1/9"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("hyperparameters.learning_rate=3e-3", "hyperparameters.learning-rate"),
        ("hyperparametrs.learning-rate=1", "hyperparameters.learning-rate"),
        ("simulator.sise=3", "simulator.size"),
    ],
)
def test_a_misspelt_key_of_an_experiment_is_answered_with_the_nearest(typed, expected, tmp_path):
    path = tmp_path / "params.toml"
    path.write_bytes((ROOT / "params.toml").read_bytes())
    with pytest.raises(InvalidArgumentError) as raised:
        apply_overrides(path, [typed])
    assert str(raised.value) == f"{path}: found no key {typed.partition('=')[0]!r}, expected {expected!r}"
    assert path.read_bytes() == (ROOT / "params.toml").read_bytes()


def test_keys_that_are_right_go_through_and_new_ones_are_left_to_dvc(tmp_path):
    path = tmp_path / "params.toml"
    path.write_bytes((ROOT / "params.toml").read_bytes())
    apply_overrides(path, ["hyperparameters.learning-rate=0.5", "+lens.einstein=30"])
    assert "learning-rate = 0.5" in path.read_text() and "einstein = 30" in path.read_text()
    with pytest.raises(InvalidArgumentError, match="Invalid `--set-param` value"):
        apply_overrides(path, ["lens.chi=3"])


def test_an_untracked_model_that_a_copy_of_dvc_lacks_is_named(clone):
    """A real experiment, in a copy as the queue makes them."""
    own = clone.path / "droulette/physics/own/softened.py"
    page = (ROOT / "docs/own-lens.md").read_text()
    own.write_text(page.split("```python droulette/physics/own/softened.py\n")[1].split("```")[0])
    try:
        done = clone.run("dvc", "exp", "run", "--temp", "-S", "lens.mode=Softened", "generate", PYTHONPATH="")
    finally:
        own.unlink()
    assert done.status != 0
    (line,) = [line for line in done.lines if line.startswith("error: ")]
    assert "lens.mode: found 'Softened'" in line
    assert line.endswith(
        "The queue's copies have tracked files only: `git add droulette/physics/own/softened.py`, and queue it again"
    )
    assert np.all([("Traceback" not in line) for line in done.lines])
