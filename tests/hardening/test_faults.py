"""A few of the faults of `tools/faults.py`, which tells how many there were and that none did harm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "faults.py"
GROUPS = ("kills", "interrupts", "disks", "pictures")


@pytest.fixture(scope="module")
def table() -> list[list[str]]:
    """Rows of fault, injected, survived, lost, remark."""
    command = [sys.executable, str(TOOL), "--quick", "--kills", "1", *GROUPS]
    done = subprocess.run(command, capture_output=True, text=True)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    assert rows[:1] == [["fault", "injected", "survived", "lost", "what happens"]], done.stderr
    assert (done.returncode == 0) == (rows[-1][3] == "0")
    return [[*row, done.stderr] for row in rows[2:-1]]


@pytest.mark.parametrize(
    ("fault", "kinds", "each"),
    [
        ("SIGKILL", 2, 1),
        ("Ctrl-C", 2, 1),
        ("full disk under the outputs", 1, 2),
        ("full disk under `TMPDIR`", 1, 1),
        ("read-only", 1, 2),
        ("picture", 1, 5),
    ],
)
def test_after_a_fault_the_next_run_ends_as_an_undisturbed_one(table, fault, kinds, each):
    rows = [row for row in table if row[0].startswith(fault)]
    if fault == "read-only" and not rows:
        pytest.skip("nothing can be mounted here, and root may write anywhere")
    assert rows, f"no fault {fault}"
    assert [row[1:4] for row in rows] == [[str(each), str(each), "0"]] * kinds, rows[0][-1]


def test_what_a_killed_run_left_is_removed_by_the_next_and_what_another_writes_is_not(tmp_path):
    from droulette import files

    (tmp_path / ".a.csv.dead.partial").write_text("half")
    (tmp_path / ".images.dead.partial").mkdir()
    (tmp_path / ".b.csv.other.partial").write_text("another file's")
    with files.atomic_write(tmp_path / "a.csv") as first, files.atomic_write(tmp_path / "a.csv") as second:
        first.write_text("first")
        second.write_text("second")
        assert first.exists() and not (tmp_path / ".a.csv.dead.partial").exists()
    with files.atomic_folder(tmp_path / "images") as partial:
        (partial / "x.png").write_bytes(b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.csv.other.partial", "a.csv", "images"]
    assert (tmp_path / "a.csv").read_text() == "first"
