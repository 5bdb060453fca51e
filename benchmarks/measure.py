"""Run a command as a process of its own; its time, its peak memory, and the seconds it reports of itself."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    seconds: float  # of the whole process
    own_seconds: float  # what the program measured, its imports left out
    peak_mib: float


def run(script: str, *arguments: str) -> Run:
    """Run Python code that prints `{"seconds": …}` as its last line."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    output, errors = process.stdout.read(), ""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        errors = process.stderr.read()
        raise SystemExit(f"a benchmarked program failed: {errors[-2000:]}")
    return Run(seconds, json.loads(output.strip().splitlines()[-1])["seconds"], usage.ru_maxrss / 1024)


def median(runs: list[Run], field: str) -> float:
    return statistics.median(getattr(run, field) for run in runs)


def machine() -> str:
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {os.cpu_count()} cores"
