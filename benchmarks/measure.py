"""What the benchmarks share: to time and to report, the peers, and what the machine can do at most."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".peers"


# ---------------------------------------------------------------- time and memory


@dataclass(frozen=True)
class Run:
    seconds: float  # of the whole process
    own_seconds: float  # what the program measured, its imports left out
    cpu_seconds: float  # of all cores, of the whole process
    peak_mib: float
    found: dict  # all that it printed


def run(script: str, *arguments: str, cwd: str | Path | None = None, environment: dict[str, str] | None = None) -> Run:
    """Run Python code that prints `{"seconds": …}` as its last line."""
    return run_command([sys.executable, "-c", script, *arguments], cwd, environment, own=True)


def run_command(
    command: Sequence[str], cwd: str | Path | None = None, environment: dict[str, str] | None = None, own: bool = False
) -> Run:
    """Run a command; `own`: its last line of output is `{"seconds": …}`."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        environment = os.environ | (environment or {})
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=cwd, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace").strip()
    if process.returncode:
        raise SystemExit(f"failed: {shlex.join(command)[:200]}\n{text[-2000:]}")
    found = json.loads(text.splitlines()[-1]) if own else {}
    cpu = usage.ru_utime + usage.ru_stime
    return Run(seconds, found.get("seconds", seconds), cpu, usage.ru_maxrss / 1024, found)


def in_turn(cases: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each case. Each is called once before; then in turn, so that all meet the same machine."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(repeats + 1):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if repeat:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def median(runs: list[Run], field: str) -> float:
    return statistics.median(getattr(run, field) for run in runs)


# ---------------------------------------------------------------- reports


def report(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *notes: str) -> None:
    """Print a part of docs/performance.md: heading, command, table, and what limits it."""
    command = ["python", str(Path(sys.argv[0]).resolve().relative_to(ROOT)), *sys.argv[1:]]
    print(f"## {title}\n\n`{shlex.join(command)}`\n")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")
    for note in notes:
        print(f"\n{note}")
    print(flush=True)


def say(text: str) -> None:
    """Progress, which is no part of the report."""
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    with open("/proc/cpuinfo") as lines:
        found = dict(line.split(":", 1) for line in lines if ":" in line)
    found = {key.strip(): value.strip() for key, value in found.items()}
    kind = (
        f"{found.get('model name', 'unknown processor')}, family {found.get('cpu family')} model {found.get('model')}"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{kind}, {os.cpu_count()} cores, {memory:.0f} GiB"


# ---------------------------------------------------------------- peers


def peers(*names: str) -> None:
    """Let the peers be imported, after everything else: one of them is an older droulette."""
    missing = [name for name in names if not (PEERS / name).is_dir()]
    if missing:
        raise SystemExit(f"{PEERS} has no {', '.join(missing)}: run `make .peers`")
    sys.path.append(str(PEERS))


# ---------------------------------------------------------------- limits


def copying_speed() -> float:
    """Bytes a second that one core copies, of blocks as large as a picture that leaves a core's own memory."""
    source, copy = np.ones(2**26, np.uint8), np.empty(2**26, np.uint8)
    return len(source) / in_turn({"": lambda: np.copyto(copy, source)}, 5)[""]


def disk_speed(folder: str | Path, size: int) -> float:
    """Bytes a second at which `size` bytes reach the disk as one file."""
    block, path = os.urandom(2**20), Path(folder) / "written"
    start = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(max(1, size // len(block))):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    path.unlink()
    return max(1, size // len(block)) * len(block) / seconds


def arithmetic_speed(kind: str = "float64") -> float:
    """Floating-point operations a second of one core: of matrix products, where they are most."""
    from threadpoolctl import threadpool_limits

    a = np.random.default_rng(1).random((1024, 1024)).astype(kind)
    with threadpool_limits(1):
        return 2 * 1024**3 / in_turn({"": lambda: a @ a}, 5)[""]


class Counted(np.ndarray):
    """Numbers that count the operations on them."""

    operations = 0
    COUNTED = (np.add, np.subtract, np.multiply, np.divide, np.sqrt, np.abs, np.negative, np.maximum, np.minimum)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [np.asarray(x) if isinstance(x, Counted) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(x) if isinstance(x, Counted) else x for x in out)
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc in self.COUNTED and result.dtype == np.float64:
            Counted.operations += result.size
        return result.view(Counted) if isinstance(result, np.ndarray) else result


@contextmanager
def counting():
    """Counts the operations on `Counted` arrays in the block: call what it gives."""
    Counted.operations = 0
    yield lambda: Counted.operations
