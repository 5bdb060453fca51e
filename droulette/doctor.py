"""What is installed, what is missing, and what to type next: `droulette doctor`"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from droulette import commands
from droulette.commands import speaking
from droulette.default_model import BOX
from droulette.default_model import PIPELINE as MODEL
from droulette.errors import cli, leave, one_line, styled

EXAMPLES = """
python -m droulette.doctor
python -m droulette.doctor --remote
"""
NOTES = "Exit status 0: usable; 1: something is broken, marked with an x."
FINE, NOTE, BROKEN = "ok", "!", "x"
COLOURS = {FINE: "32", NOTE: "33", BROKEN: "1;31"}
FOLDERS = ("data", "models", "metrics")
OWN_MODELS = "droulette/physics/own/"
COMPILED = ("draw", "settle")  # the loops that every drawing needs
PATIENCE = 120  # seconds for a command of git or DVC


@dataclass(frozen=True)
class Finding:
    """One line. cure: what mends it, a command."""

    mark: str
    label: str
    text: str
    cure: str = ""


@dataclass
class State:
    """What the checks found out that decides what to type next."""

    root: Path | None = None
    outs: dict[str, str] = field(default_factory=dict)  # path: md5 in dvc.lock
    changed: dict[str, str] = field(default_factory=dict)  # outs that are not as dvc.lock says, in DVC's words
    stages: list[str] = field(default_factory=list)  # whose code, parameters or data changed
    remote: Path | None = None  # the remote's folder, where it is one
    in_remote: set[str] | None = None  # outs that are missing here and that the remote has, once it was asked
    box: str | None = None  # of the repository's own model: there, missing, or changed; None: it has none


def parser() -> argparse.ArgumentParser:
    options = commands.parser("doctor", "What is installed, what is missing, and what to type next.", EXAMPLES, NOTES)
    options.add_argument("--remote", action="store_true", help="ask DVC's remote too, which may need the network")
    options.add_argument("-C", "--directory", metavar="FOLDER", default=".", help="of the repository (default: here)")
    return options


@cli
def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    found = []
    with speaking(args, prints_result=True), contextlib.chdir(args.directory):
        state = State(root=_root(Path.cwd()))
        for finding in findings(state, args.remote):
            mark = styled(f"{finding.mark:>3}", COLOURS[finding.mark], sys.stdout)
            print(f"{mark} {finding.label:12}{one_line(finding.text)}", flush=True)
            found.append(finding)
        print(f"next: {next_step(found, state)}")
    return int(any(finding.mark == BROKEN for finding in found))


def findings(state: State, ask_remote: bool) -> Iterator[Finding]:
    yield _python()
    yield from _torch()
    yield _compiled()
    yield _dvc()
    if state.root is None:
        yield Finding(NOTE, "repository", "no DVC repository here: drawing and prediction work, the pipeline does not")
        return
    with contextlib.chdir(state.root):
        yield _git()
        yield _pipeline(state)
        yield from _folders(state)
        yield from _box(state)
        yield _remote(state, ask_remote)


def next_step(found: list[Finding], state: State) -> str:
    """The one command to type."""
    for finding in found:
        if finding.mark == BROKEN:
            return finding.cure
    if state.root is None:
        return "droulette --help"
    here = _status(state, MODEL)
    if here == "deleted":
        return f"dvc checkout {MODEL}"
    if here in ("not in cache", "missing"):
        if _is_in_remote(state, MODEL):
            return f"dvc pull {MODEL}"
        return {"missing": f"dvc pull {BOX}", "there": "droulette predict PICTURE"}.get(state.box, "dvc repro")
    if state.stages:
        return "dvc repro"
    return "droulette predict PICTURE"


# ---------------------------------------------------------------- what is installed


def _python() -> Finding:
    from droulette import __file__ as package
    from droulette import __version__

    text = f"droulette {__version__} in {Path(package).parent}, Python {sys.version.split()[0]}"
    return Finding(FINE, "droulette", text)


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except Exception as error:  # of a wheel for another machine, of any family
        text = f"PyTorch cannot be imported: {type(error).__name__}: {error}"
        yield Finding(BROKEN, "torch", text, "pip install -r requirements.txt")
        return
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for processors alone"
    yield Finding(FINE, "torch", f"{torch.__version__}, {built}")
    yield _device(torch)


def _device(torch) -> Finding:
    driver = _driver()
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        more = f", and {torch.cuda.device_count() - 1} more" if torch.cuda.device_count() > 1 else ""
        return Finding(FINE, "device", f"CUDA: {about.name}, {about.total_memory / 2**30:.0f} GiB{more}")
    from droulette.devices import cores

    processor = f"the processor, {cores()} cores"
    if driver is None:
        return Finding(FINE, "device", f"{processor}; no NVIDIA driver on this machine")
    if not torch.version.cuda:
        why = "this PyTorch is built for processors alone: docs/cuda.md installs another"
    else:
        try:
            torch.cuda.init()
            why = "PyTorch does not say why it sees no card"
        except Exception as error:  # its own errors and the driver's
            why = str(error).splitlines()[0]
    return Finding(NOTE, "device", f"{processor}. NVIDIA driver {driver} is here, but the card is not used: {why}")


def _driver() -> str | None:
    """The version of the NVIDIA driver."""
    with contextlib.suppress(OSError, IndexError):
        return Path("/proc/driver/nvidia/version").read_text().split("Module")[1].split()[0]
    if shutil.which("nvidia-smi"):
        done = _run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
        if done is not None and done.returncode == 0 and done.stdout.strip():
            return done.stdout.split()[0]
    return None


def _compiled() -> Finding:
    from droulette.physics.engines import machine

    missing = [name for name in COMPILED if not machine.is_stored(name)]
    if missing:
        return Finding(
            NOTE, "loops", f"not compiled yet ({', '.join(missing)}): the first drawing takes some seconds more"
        )
    return Finding(FINE, "loops", "compiled for this processor")


def _dvc() -> Finding:
    try:
        return Finding(FINE, "DVC", importlib.metadata.version("dvc"))
    except importlib.metadata.PackageNotFoundError:
        return Finding(BROKEN, "DVC", "not installed in this environment", "pip install -r requirements.txt")


# ---------------------------------------------------------------- the repository


def _root(folder: Path) -> Path | None:
    return next((path for path in (folder, *folder.parents) if (path / ".dvc").is_dir()), None)


def _run(command: list[str]) -> subprocess.CompletedProcess | None:
    """A command's output; None where there is no such program or it takes too long."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE)
    return None


def _run_dvc(*options: str) -> tuple[Any, str]:
    """What `dvc … --json` prints, or None and its error in one line."""
    done = _run([sys.executable, "-m", "dvc", *options, "--json"])
    if done is None:
        return None, f"dvc {options[0]} did not end within {PATIENCE} s"
    with contextlib.suppress(ValueError):
        if done.returncode == 0:
            return json.loads(done.stdout), ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    return None, lines[0].removeprefix("ERROR: ") if lines else f"dvc {options[0]} ended with {done.returncode}"


def _git() -> Finding:
    done = _run(["git", "status", "--porcelain", "--branch", "--untracked-files=all"])
    if done is None:
        return Finding(BROKEN, "git", "not installed", "install git")
    if done.returncode:
        return Finding(BROKEN, "git", "no git repository here, which DVC's experiments need", "git init")
    branch, *lines = done.stdout.splitlines()
    text = branch.removeprefix("## ").split("...")[0]
    text += f", {len(lines)} files changed" if lines else ", nothing changed"
    own = [line[3:] for line in lines if line.startswith(f"?? {OWN_MODELS}")]
    if own:
        return Finding(
            NOTE, "git", f"{text}; untracked models, which `dvc exp run --queue` leaves out: {', '.join(own)}"
        )
    return Finding(FINE, "git", text)


def _pipeline(state: State) -> Finding:
    """Read dvc.lock, and ask DVC what is not as it says."""
    damaged = _read_lock(state)
    if damaged is None and not state.outs:
        return Finding(NOTE, "pipeline", "no dvc.lock: nothing was run yet")
    status, error = _run_dvc("status")
    if damaged is not None or status is None:
        cure = "git checkout dvc.lock" if damaged is not None else "dvc status"
        return Finding(BROKEN, "pipeline", damaged or error, cure)
    own = {stage: reasons for stage, reasons in status.items() if ":" not in stage}  # experiments have their own
    for stage, reasons in own.items():
        for reason in reasons:
            parts = reason.items() if isinstance(reason, dict) else [(reason, {})]
            for kind, paths in parts:
                if kind == "changed outs":
                    state.changed |= paths
                elif stage not in state.stages and any(path not in state.outs for path in paths or [kind]):
                    state.stages.append(stage)
    if state.stages:
        return Finding(
            NOTE, "pipeline", f"code or parameters have changed since the last run of {', '.join(state.stages)}"
        )
    return Finding(FINE, "pipeline", "code and parameters are those of dvc.lock")


def _read_lock(state: State) -> str | None:
    """Fill in `outs`. Returns what is wrong with dvc.lock."""
    from ruamel.yaml import YAML, YAMLError

    try:
        stages = YAML(typ="safe").load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
        state.outs = {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}
    except FileNotFoundError:
        return None
    except (YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return f"dvc.lock cannot be read: {type(error).__name__} {str(error).splitlines()[-1].strip()}"
    return None


def _status(state: State, path: str) -> str:
    """Of an out: "" as dvc.lock says, else DVC's word, or "missing" where dvc.lock does not know it."""
    if path not in state.outs:
        return "" if Path(path).exists() else "missing"
    return state.changed.get(path, "")


def _folders(state: State) -> Iterator[Finding]:
    for folder in FOLDERS:
        outs = [path for path in state.outs if path.startswith(f"{folder}/")]
        gone = [path for path in outs if not Path(path).exists()]
        other = [path for path in outs if path not in gone and path in state.changed]
        if not outs:
            continue
        parts = [f"missing: {', '.join(gone)}"] if gone else []
        parts += [f"not as dvc.lock says: {', '.join(other)}"] if other else []
        text = "; ".join(parts) or "there, as dvc.lock says"
        yield Finding(NOTE if parts else FINE, f"{folder}/", text)


def _box(state: State) -> Iterator[Finding]:
    """The model that the repository brings: whether it is here, and the one that git knows."""
    from ruamel.yaml import YAML, YAMLError

    record = Path(f"{BOX}.dvc")
    if not record.is_file():
        return
    try:
        md5 = YAML(typ="safe").load(record.read_text(encoding="utf-8"))["outs"][0]["md5"]
    except (YAMLError, OSError, ValueError, TypeError, KeyError, IndexError) as error:
        text = f"{record} cannot be read: {type(error).__name__} {str(error).splitlines()[-1].strip()}"
        yield Finding(BROKEN, "box", text, f"git checkout {record}")
        return
    state.box, mark, text = "there", FINE, f"{BOX}: there, as {record.name} says"
    if not Path(BOX).is_file():
        state.box, mark, text = "missing", NOTE, f"{BOX}: missing; `dvc pull {BOX}` brings it"
    elif hashlib.md5(Path(BOX).read_bytes(), usedforsecurity=False).hexdigest() != md5:
        state.box, mark = "changed", NOTE
        text = f"{BOX}: not as {record.name} says; to share it: docs/box.md; to undo it: `dvc checkout {BOX}`"
    yield Finding(mark, "box", text)


def _remote(state: State, ask: bool) -> Finding:
    name, url = _default_remote()
    if name is None:
        return Finding(NOTE, "remote", "none is set: docs/sharing.md")
    if "://" not in url:
        path = Path(url).expanduser()
        state.remote = path if path.is_absolute() else (Path(".dvc") / path).resolve()
        if not state.remote.is_dir():
            return Finding(NOTE, "remote", f"{name}: the folder {state.remote} is not there: nothing to pull")
    missing = [path for path in state.outs if not Path(path).exists()]
    if not ask:
        held = [path for path in missing if _is_in_remote(state, path)]
        text = f"{name}: {state.remote or url}"
        if state.remote is None:
            return Finding(FINE, "remote", f"{text} (not asked; --remote asks)")
        of = f"; it has {len(held)} of the {len(missing)} outputs that are missing here" if missing else ""
        return Finding(NOTE if len(held) < len(missing) else FINE, "remote", text + of)
    status, error = _run_dvc("status", "--cloud")
    if status is None:
        return Finding(BROKEN, "remote", f"{name}: {url}: {error}", "droulette doctor")
    state.in_remote = {path for path in missing if status.get(path) == "deleted"}
    lacking = [path for path, word in status.items() if word in ("missing", "new")]
    text = (
        f"{name}: {url}: reached; it lacks {len(lacking)} files of dvc.lock" if lacking else f"{name}: {url}: complete"
    )
    return Finding(NOTE if lacking else FINE, "remote", text)


def _default_remote() -> tuple[str | None, str]:
    """Name and URL in DVC's configuration of this repository."""
    config = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
        config.read([".dvc/config", ".dvc/config.local"], encoding="utf-8")
    name = config.get("core", "remote", fallback=None)
    for section in (f"'remote \"{name}\"'", f'remote "{name}"'):
        if config.has_option(section, "url"):
            return name, config.get(section, "url")
    return None, ""


def _is_in_remote(state: State, path: str) -> bool:
    """Whether the remote is known to have an out: it was asked, or it is a folder of this machine."""
    if state.in_remote is not None:
        return path in state.in_remote
    md5 = state.outs.get(path)
    return bool(state.remote and md5 and (state.remote / "files" / "md5" / md5[:2] / md5[2:]).is_file())


if __name__ == "__main__":
    leave(main())
