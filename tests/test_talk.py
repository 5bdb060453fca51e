"""What all commands say and how: help with examples, quiet and verbose, colours, exit statuses, bars, dry runs."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from wcwidth import wcswidth

from droulette import datagen, split
from droulette.commands import LOG, progress_bar
from droulette.errors import UserError, cli, styled
from droulette.pipeline import estimate
from stages import split as split_stage

ROOT = Path(__file__).parents[1]
COMMANDS = [f"droulette.{name}" for name in ("datagen", "split", "model", "predict", "metrics", "report", "doctor")]
COMMANDS += [f"droulette.{name}" for name in ("train", "evaluate", "explore")]
STAGES = [f"stages.{name}" for name in ("generate", "split", "train", "evaluate", "report")]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
TOML = """
[simulator]
size = 400
imagesize = 64
nterms = 2
[lens]
einstein-min = 3
einstein-max = 20
[source]
mode = ["SersicSphere", "Ellipsoid"]
sigma-min = 2
sigma-max = 12
position = "relative"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("dataset.toml").write_text(TOML)
    return tmp_path


@pytest.mark.parametrize("command", [*COMMANDS, *STAGES])
def test_help_has_examples_and_needs_no_heavy_package(command):
    code = (
        f"import sys, runpy; sys.argv[1:] = ['--help']\n"
        f"try: runpy.run_module('{command}', run_name='__main__', alter_sys=True)\n"
        f"except SystemExit: print([n for n in ('torch', 'pandas', 'numpy', 'astropy', 'tqdm') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert "examples:" in done.stdout and f"python -m {command}" in done.stdout.split("examples:")[1]
    assert "--quiet" in done.stdout and "--verbose" in done.stdout
    assert done.stdout.endswith("[]\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert styled("error: ", "1;31", Terminal()) == "\x1b[1;31merror: \x1b[0m"
    assert styled("error: ", "1;31", io.StringIO()) == "error: "
    monkeypatch.setenv("TERM", "dumb")
    assert styled("error: ", "1;31", Terminal()) == "error: "
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert styled("error: ", "1;31", Terminal()) == "error: "


def raising(error: BaseException):
    @cli
    def main() -> None:
        raise error

    return main


def test_exit_statuses_are_those_that_shells_know(capsys):
    assert raising(UserError("a: found b, expected c"))() == 2
    assert raising(KeyboardInterrupt())() == 130
    assert capsys.readouterr().err == "error: a: found b, expected c\ninterrupted\n"
    code = "from droulette.errors import cli, leave\n@cli\ndef main(): raise ZeroDivisionError\nleave(main())"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
    code = "from droulette.errors import cli, leave\n@cli\ndef main(): raise BrokenPipeError\nleave(main())"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (141, "", "")


def test_quiet_says_nothing_and_verbose_says_what_and_where(folder, capfd):
    assert datagen.main(["--toml", "dataset.toml", "--size", "9", "-o", "r.csv", "-D", "images", "--quiet"]) == 0
    Path("p.toml").write_text(
        '[problem]\nfilename = "r.csv"\nnterms = 1\n'
        '[dataset]\ntraining = {filename = "t.csv", size = 5}\nvalidation = {filename = "v.csv"}\n'
    )
    assert split.main(["p.toml", "-q"]) == 0
    assert capfd.readouterr() == ("", "")
    assert Path("t.csv").is_file()
    assert split.main(["p.toml", "-v"]) == 0
    out, err = capfd.readouterr()
    assert "t.csv: 5 rows" in out
    assert re.search(r"^\[ *\d+\.\d\d s\] Python 3", err) and "Traceback" not in err
    Path("p.toml").write_text("[problem]\n")
    assert split.main(["p.toml", "-v"]) == 2
    err = capfd.readouterr().err
    assert "Traceback" in err and err.splitlines()[-1].startswith("error: p.toml")
    assert split.main(["p.toml"]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as caught:
        split.main(["p.toml", "-q", "-v"])
    assert caught.value.code == 2


def test_stages_too_are_quiet_and_verbose_and_then_the_log_is_as_before(folder, capfd):
    assert datagen.main(["--toml", "dataset.toml", "--size", "9", "-o", "r.csv", "--no-pictures", "-q"]) == 0
    Path("params.toml").write_text(
        '[problem]\nfilename = "r.csv"\nnterms = 1\n[dataset]\ntraining = {filename = "t.csv"}\n'
    )
    before = LOG.level, LOG.propagate, list(LOG.handlers)
    assert split_stage.main(["--quiet"]) == 0
    assert capfd.readouterr() == ("", "")
    assert split_stage.main(["-v"]) == 0
    out, err = capfd.readouterr()
    assert "t.csv: 9 rows" in out and re.search(r"^\[ *\d+\.\d\d s\] Python 3", err)
    Path("params.toml").write_text("[problem]\n")
    assert split_stage.main(["-v"]) == 2
    err = capfd.readouterr().err
    assert "Traceback" in err and err.splitlines()[-1].startswith("error: params.toml")
    assert (LOG.level, LOG.propagate, LOG.handlers) == before


def on_terminal(code: str, columns: int) -> str:
    """What a program writes to a terminal so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = ENVIRONMENT | {"COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            some = os.read(ours, 4096)
        except OSError:  # Linux's end of a terminal
            break
        if not some:
            break
        written += some
    os.close(ours)
    assert process.wait() == 0
    return written.decode()


DRAWING = (
    "import time; from droulette.commands import progress_bar\n"
    "with progress_bar(1000, 'resimulating') as bar:\n"
    "    for _ in range(4): bar.update(250); time.sleep(0.12)"
)


@pytest.mark.parametrize("columns", [20, 59, 120])
def test_a_bar_stays_on_one_line_however_narrow_the_terminal(columns):
    states = [state for state in re.split(r"[\r\n]+", on_terminal(DRAWING, columns)) if state.strip()]
    assert len(states) >= 3
    assert max(wcswidth(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", state)) for state in states) <= columns
    assert "100%" in states[-1] and re.search(r"\d\d:\d\d", states[-1])
    assert ("resimulating" in states[-1]) == (columns == 120)


def test_a_bar_is_silent_where_there_is_no_terminal(capfd):
    with progress_bar(3, "drawing") as bar:
        bar.update(3)
    assert capfd.readouterr() == ("", "")


SIZES = re.compile(r"\(pictures ([\d.]+) (\w+), tables ([\d.]+) (\w+)\) and ([\d.e+]+) s with")


def foretold(capsys) -> tuple[float, float]:
    """Bytes of the pictures and of the tables that a dry run has said."""
    found = SIZES.search(capsys.readouterr().out)
    units = {"bytes": 1, "kB": 1e3, "MB": 1e6}
    assert float(found[5]) > 0
    return float(found[1]) * units[found[2]], float(found[3]) * units[found[4]]


@pytest.mark.parametrize("storage", ["png", "parquet"])
def test_a_dry_run_says_within_a_quarter_what_the_files_will_take_and_writes_nothing(
    folder, capsys, monkeypatch, storage
):
    monkeypatch.setattr(estimate, "SAMPLE", 128)
    options = ["--toml", "dataset.toml", "-i", "d.csv", "-o", "r.csv", "-D", "images", "--storage", storage]
    assert datagen.main([*options, "--dry-run"]) == 0
    assert [path.name for path in folder.iterdir()] == ["dataset.toml"]
    pictures, tables = foretold(capsys)
    assert datagen.main(options) == 0
    assert pictures == pytest.approx(sum(path.stat().st_size for path in Path("images").iterdir()), rel=0.25)
    assert tables == pytest.approx(sum(Path(name).stat().st_size for name in ("d.csv", "r.csv")), rel=0.05)
    assert datagen.main(["-i", "d.csv", "-o", "r2.csv", "-Z", "64", "-n", "2", "--no-pictures", "--dry-run"]) == 0
    pictures, tables = foretold(capsys)
    assert pictures == 0 and not Path("r2.csv").exists()
    assert tables == pytest.approx(Path("r.csv").stat().st_size, rel=0.05)


def test_the_sample_of_a_dry_run_comes_from_all_over_a_table(folder, capsys, monkeypatch):
    assert datagen.main(["--toml", "dataset.toml", "-i", "d.csv", "--no-pictures", "--size", "9"]) == 0
    sampled = []

    def generate_chunks(chunks, *args, **options):
        sampled.append(chunks[0].index.tolist())
        return estimated(chunks, *args, **options)

    estimated = estimate.generate_chunks
    monkeypatch.setattr(estimate, "generate_chunks", generate_chunks)
    monkeypatch.setattr(estimate, "SAMPLE", 4)
    assert datagen.main(["-i", "d.csv", "-Z", "64", "--dry-run"]) == 0
    assert sampled[-1] == [0, 3, 6]
