"""Do to the pipeline what machines do to it, and see what is left: `python tools/faults.py [GROUP …]`

Works in a temporary folder, on copies of the working tree with small parameters, and prints a Markdown table. A fault
is survived if the next undisturbed run ends with the hashes of a run that never was disturbed; where something is the
user's to mend, a run must have said so in one line with status 2. Full disks and read-only folders are real file
systems where this user may mount them (root), else a limit on the size of files, and folders without permission.

Single stages run in processes forked after the imports, so that the random moments fall into their work; `dvc repro`
and the stages with another clock or locale are started as a user starts them.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from clones import Clone, Done, Forked, finished, preload  # noqa: E402

from droulette.pipeline import pictures as reading  # noqa: E402

STAGES = ("generate", "split", "train", "evaluate")
LONG = ("generate", "train", "evaluate")  # those that take long enough to be hit
FOLDERS = {"generate": "data", "train": "models", "evaluate": "metrics"}  # where they write


class Harness:
    """A clone, what an undisturbed run of it wrote, and how long each stage took."""

    def __init__(self, folder: Path, kills: int, quick: bool, seed: int) -> None:
        self.folder, self.kills, self.quick, self.random = folder, kills, quick, random.Random(seed)
        preload()
        self.clone = Clone.make(folder / "clone")
        self.some = LONG[:2] if quick else LONG
        self.seconds: dict[str, float] = {}
        self.rows: list[tuple[str, int, int, str]] = []
        run = STAGES[:3] if quick else STAGES
        for stage in (*run, *run):  # the second time, files and compiled kernels are warm
            start = time.monotonic()
            done = self.clone.stage(stage)
            self.seconds[stage] = time.monotonic() - start
            if done.status:
                raise SystemExit(f"{stage} failed undisturbed:\n{done.output}")
        self.expected = {stage: self.clone.hashes([stage]) for stage in run}

    def note(self, fault: str, outcomes: list[str | None], remark: str = "") -> None:
        """Outcomes: None for each fault survived, else what was lost."""
        lost = [outcome for outcome in outcomes if outcome]
        self.rows.append((fault, len(outcomes), len(lost), remark))
        print(f"{fault}: {len(outcomes)} injected, {len(lost)} lost {lost[:3]}", file=sys.stderr, flush=True)

    def again(self, stage: str) -> str | None:
        """Run a stage undisturbed: None if it ends as it did the first time, else what is wrong."""
        done = self.clone.stage(stage)
        if done.status:
            return f"{stage} ended with {done.status}: {done.lines[-1:]}"
        return self.compare(stage)

    def compare(self, stage: str) -> str | None:
        found, expected = self.clone.hashes([stage]), self.expected[stage]
        if found != expected:
            return f"{stage} wrote {sorted(set(found.items()) ^ set(expected.items()))[:2]}"
        if left := self.clone.left_behind():
            return f"{stage} left {left}"
        return None

    def halves(self, stage: str) -> str | None:
        """What looks finished after a run was stopped, and is not."""
        whole = self.expected[stage]
        for name, found in self.clone.hashes([stage]).items():
            # DVCLive's curves grow with each epoch, and are part of nothing until the model is there.
            unfinished = name.startswith("metrics/train/") or name.endswith(".partial")
            if found != whole.get(name) and not unfinished:
                return f"{name} looks finished and is not"
        return None


def kill(process: subprocess.Popen | Forked, number: int = signal.SIGKILL) -> Done:
    """Send a signal to a process and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    return finished(process)


# ---------------------------------------------------------------- faults


def kills(harness: Harness) -> None:
    """SIGKILL at random moments of each stage."""
    for stage in harness.some:
        outcomes = []
        while len(outcomes) < harness.kills:
            harness.clone.remove(stage)
            process = harness.clone.fork(stage)
            time.sleep(harness.random.uniform(0.02, 1) * harness.seconds[stage])
            if kill(process).status != -signal.SIGKILL:  # it had ended already: that is no fault
                harness.seconds[stage] *= 0.9
                continue
            outcomes.append(harness.halves(stage) or harness.again(stage))
        harness.note(f"SIGKILL at {len(outcomes)} random moments of `{stage}`", outcomes, "run again: the same hashes")


def interrupts(harness: Harness) -> None:
    """Ctrl-C at random moments."""
    for stage in harness.some:
        outcomes = []
        for share in (0.5,) if harness.quick else (0.25, 0.5, 0.75):
            harness.clone.remove(stage)
            process = harness.clone.fork(stage)
            time.sleep(share * harness.seconds[stage])
            done = kill(process, signal.SIGINT)
            bad = "Traceback" in done.output or done.status not in (130, 0)
            said = f"status {done.status}: {done.lines[-1:]}" if bad else None
            outcomes.append(said or harness.halves(stage) or harness.again(stage))
        harness.note(f"Ctrl-C in the middle of `{stage}`", outcomes, "`interrupted`, status 130")


def disks(harness: Harness) -> None:
    """A disk that gets full, and a folder that is read-only."""
    outcomes: list[str | None] = []
    for stage in harness.some:
        harness.clone.remove(stage)
        folder = harness.clone.path / FOLDERS[stage]
        with small_disk(folder, kib=48) as limit:
            done = harness.clone.stage(stage, limit)
            outcomes.append(None if done.one_line else f"{stage}: status {done.status}: {done.lines[-3:]}")
            outcomes[-1] = outcomes[-1] or harness.halves(stage)
        outcomes[-1] = outcomes[-1] or harness.again(stage)
    how = "tmpfs of 48 KiB" if may_mount() else "RLIMIT_FSIZE of 48 KiB, since nothing could be mounted"
    harness.note("full disk under the outputs of each stage", outcomes, f"{how}: one line, status 2")

    outcomes = []
    with small_disk(harness.folder / "tmp", kib=64) as limit:
        harness.clone.remove("train")
        with patch.object(reading, "MOST_OF_MEMORY", 0.0):  # as if they were too many for the memory
            done = harness.clone.stage("train", limit, TMPDIR=str(harness.folder / "tmp"))
        outcomes.append(None if done.one_line else f"status {done.status}: {done.lines[-3:]}")
    outcomes[-1] = outcomes[-1] or harness.again("train")
    harness.note("full disk under `TMPDIR` while training", outcomes, "one line, status 2")

    if not may_mount() and os.geteuid() == 0:
        print("read-only folder: left out, since nothing can be mounted and root may write anywhere", file=sys.stderr)
        return
    outcomes = []
    for stage in harness.some:
        harness.clone.remove(stage)
        with read_only(harness.clone.path / FOLDERS[stage]):
            done = harness.clone.stage(stage)
            outcomes.append(None if done.one_line else f"{stage}: status {done.status}: {done.lines[-3:]}")
        outcomes[-1] = outcomes[-1] or harness.again(stage)
    harness.note("read-only output folder of each stage", outcomes, "one line, status 2")


def may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True)
        return done.returncode == 0 and subprocess.run(["umount", folder]).returncode == 0


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[int | None]:
    """Mount a small tmpfs with the folder's files; or give the size that no file may be larger than."""
    folder.mkdir(parents=True, exist_ok=True)
    if not may_mount():
        yield kib * 1024
        return
    kept = Path(tempfile.mkdtemp(dir=folder.parent))
    shutil.copytree(folder, kept, dirs_exist_ok=True)
    size = kib + sum(file.stat().st_size + 4096 for file in kept.rglob("*")) // 1024
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", str(folder)], check=True)
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield None
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(kept)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    if may_mount():
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
    else:
        folder.chmod(0o555)
    try:
        yield
    finally:
        if may_mount():
            subprocess.run(["umount", str(folder)], check=True)
        else:
            folder.chmod(0o755)


def damage(picture: Path) -> dict[str, Callable[[], object]]:
    """Ways to spoil a picture."""
    whole = picture.read_bytes()
    with Image.open(picture) as opened:
        grey = opened.copy()
    side = grey.width
    return {
        "truncated": lambda: picture.write_bytes(whole[: len(whole) // 2]),
        "empty": lambda: picture.write_bytes(b""),
        "of another size": lambda: grey.resize((side + 2, side + 2)).save(picture),
        "not square": lambda: grey.resize((side, side + 2)).save(picture),
        "of another mode": lambda: Image.fromarray(np.asarray(grey, np.uint16) * 257).save(picture),
        "no PNG": lambda: grey.save(picture, format="BMP"),
        "text": lambda: picture.write_text("not a picture\n"),
        "missing": lambda: picture.unlink(),
        "a folder": lambda: (picture.unlink(), picture.mkdir()),
    }


def pictures(harness: Harness) -> None:
    """A damaged picture: said before any long work by training and by evaluation."""
    outcomes = []
    with open(harness.clone.path / "data/training.csv") as table:
        name = table.read().splitlines()[5].split(",")[0]
    picture = harness.clone.path / "data/images" / name
    whole = picture.read_bytes()
    ways = damage(picture)
    for way in list(ways)[::2] if harness.quick else ways:
        ways[way]()
        for stage in ("train",) if harness.quick else ("train", "evaluate"):
            done = harness.clone.stage(stage)
            said = done.one_line and name in done.output and "training.csv: row 5" in done.output
            outcomes.append(None if said else f"{way}: {done.lines[-3:]}")
        if picture.is_dir():
            picture.rmdir()
        picture.write_bytes(whole)
    if not harness.quick:
        outcomes[-1] = outcomes[-1] or harness.again("train") or harness.again("evaluate")
    harness.note(f"picture {', '.join(ways)}, for `train` and `evaluate`", outcomes, "one line names the row; status 2")


ALL = "; ".join(["import sys", *(f"from stages import {stage}" for stage in STAGES)])
ALL += f"; sys.exit(any(stage.main([]) for stage in ({', '.join(STAGES)})))"


def surroundings(harness: Harness) -> None:
    """Another clock, time zone, language and hash seed."""
    settings = [
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
        {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
        {"PYTHONHASHSEED": "1", "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ]
    faked = shutil.which("faketime") is not None
    commands = [[], [], [], ["faketime", "1999-12-31 23:59:50"], ["faketime", "2038-01-19 03:14:00"]]
    outcomes = []
    for command, changed in zip(commands, [*settings, {}, {}], strict=True):
        if command and not faked:
            continue
        for stage in STAGES:
            harness.clone.remove(stage)
        done = harness.clone.run(*command, sys.executable, "-c", ALL, **changed)
        said = f"{command}{changed}: {done.lines[-2:]}" if done.status else None
        outcomes.append(said or whole(harness))
    clock = "clock at 1999-12-31 and 2038-01-19 (faketime)" if faked else "no faketime here, so not the clock"
    harness.note("three locales and time zones; " + clock, outcomes, "the same hashes")


def side_by_side(harness: Harness) -> None:
    """The same stage twice at once, without DVC's lock."""
    outcomes = []
    for stage in LONG:
        harness.clone.remove(stage)
        both = [harness.clone.fork(stage) for _ in range(2)]
        ended = [finished(process) for process in both]
        wrong = [done.lines[-2:] for done in ended if done.status and not done.one_line]
        outcomes.append((str(wrong) if wrong else None) or harness.again(stage))
    harness.note("the same stage twice at once in one clone, without DVC", outcomes, "the same hashes")


# ---------------------------------------------------------------- faults of DVC's runs


def forget(clone: Clone) -> None:
    """Remove all that `dvc repro` has made, its cache of runs too."""
    for stage in STAGES:
        clone.remove(stage)
    shutil.rmtree(clone.path / ".dvc/cache", ignore_errors=True)
    (clone.path / "dvc.lock").unlink(missing_ok=True)


def whole(harness: Harness) -> str | None:
    return next(filter(None, map(harness.compare, STAGES)), None)


def pipelines(harness: Harness) -> None:
    """Kills of `dvc repro`, with its stage and without; Ctrl-C; two at once."""
    clone = harness.clone
    forget(clone)
    start = time.monotonic()
    done = clone.run("dvc", "repro")
    seconds = time.monotonic() - start
    harness.note("none: an undisturbed `dvc repro`", [(done.output if done.status else None) or whole(harness)])

    def rerun() -> str | None:
        done = clone.run("dvc", "repro")
        return (f"dvc repro ended with {done.status}: {done.lines[-2:]}" if done.status else None) or whole(harness)

    outcomes = []
    for _ in range(5):
        forget(clone)
        process = clone.start("dvc", "repro")
        time.sleep(harness.random.uniform(0.05, 1) * seconds)
        kill(process)
        outcomes.append(rerun())
    harness.note("SIGKILL at 5 random moments of `dvc repro`", outcomes, "`dvc repro` goes on")

    forget(clone)
    process = clone.start("dvc", "repro")
    time.sleep(0.6 * seconds)
    os.kill(process.pid, signal.SIGKILL)  # its stage goes on alone, and keeps the pipe open until it ends
    finished(process)
    harness.note("SIGKILL of `dvc` alone, while its stage goes on", [rerun()], "`dvc repro` goes on")

    forget(clone)
    process = clone.start("dvc", "repro")
    time.sleep(0.6 * seconds)
    done = kill(process, signal.SIGINT)
    harness.note(
        "Ctrl-C in the middle of `dvc repro`", [rerun()], f"ends with status {done.status}; `dvc repro` goes on"
    )

    forget(clone)
    first = clone.start("dvc", "repro")
    time.sleep(0.4 * seconds)
    second = clone.run("dvc", "repro")
    ended = finished(first)
    said = second.status == 0 or (len(second.lines) < 10 and "Traceback" not in second.output)
    bad = ended.status or not said
    outcome = f"{ended.lines[-2:]}; {second.lines[-2:]}" if bad else rerun()
    lines = [line for line in second.lines if line.startswith("ERROR")]
    harness.note("two `dvc repro` at once in one clone", [outcome], f"the second says: {' '.join(lines)[:160]}")


def cache(harness: Harness) -> None:
    """An object of DVC's cache that is no longer what its name says."""
    clone = harness.clone
    clone.run("dvc", "repro")
    outcomes, said = [], []
    for how in ("a picture, truncated", "the model, one byte turned"):
        wanted = clone.path / ("models/model.safetensors" if "model" in how else "data/images/image-000007.png")
        data = wanted.read_bytes()
        files = (path for path in (clone.path / ".dvc/cache/files").rglob("*") if path.is_file())
        stored = next(path for path in files if path.read_bytes() == data)
        spoilt = data[: len(data) // 2] if "picture" in how else data[:-1] + bytes([data[-1] ^ 1])
        stored.chmod(0o644)
        stored.write_bytes(spoilt)
        stored.chmod(0o444)
        clone.remove("generate" if "picture" in how else "train")
        checkout = clone.run("dvc", "checkout")
        again = clone.run("dvc", "repro")
        outcome = whole(harness)
        said.append(f"{how}: `dvc checkout` {checkout.status}, `dvc repro` {again.status}")
        if outcome:
            said[-1] += f" ({outcome})"
        outcomes.append(outcome)
        if outcome:
            forget(clone)
            clone.run("dvc", "repro")
    harness.note("corrupted object in DVC's cache", outcomes, "; ".join(said))


def queue(harness: Harness) -> None:
    """A queue of experiments of which one fails."""
    clone = harness.clone
    clone.run("dvc", "repro")
    clone.run("git", "add", "-A")
    clone.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "reproduced")
    before = clone.hashes()
    clone.run("dvc", "exp", "run", "--queue", "-S", "training.num-epochs=1,0,2")
    clone.run("dvc", "exp", "run", "--queue", "-S", "settings.model=no_such_model")
    clone.run("dvc", "queue", "start", "-j", "1")
    for _ in range(150):
        status = clone.run("dvc", "queue", "status").output
        if not any(word in status for word in ("Queued", "Running")):
            break
        time.sleep(2)
    failed, good = status.count("Failed"), status.count("Success")
    outcome = None if (failed, good) == (2, 2) else status
    clone.run("dvc", "queue", "stop", "--kill")
    if clone.hashes() != before:
        outcome = "the workspace has changed"
    harness.note("queue of four experiments, two of which fail", [outcome], f"{good} succeed, {failed} failed")


GROUPS = (kills, interrupts, disks, pictures, surroundings, side_by_side, pipelines, cache, queue)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(group.__name__ for group in GROUPS))
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs of each stage (default: 20)")
    parser.add_argument("--quick", action="store_true", help="fewer of the others too, and not evaluate: for the tests")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    args = parser.parse_args()
    unknown = set(args.groups) - {group.__name__ for group in GROUPS}
    if unknown:
        parser.error(f"unknown group {unknown.pop()}")
    with tempfile.TemporaryDirectory(prefix="droulette-faults-") as folder:
        harness = Harness(Path(folder), args.kills, args.quick, args.seed)
        for group in GROUPS:
            if not args.groups or group.__name__ in args.groups:
                try:
                    group(harness)
                except Exception as error:  # of this harness: the other faults are still worth injecting
                    harness.note(f"`{group.__name__}`, which broke off", [repr(error)])
    print("| fault | injected | survived | lost | what happens |\n|---|---|---|---|---|")
    for fault, injected, lost, remark in harness.rows:
        print(f"| {fault} | {injected} | {injected - lost} | {lost} | {remark.replace('|', '/')} |")
    total, gone = (sum(row[k] for row in harness.rows) for k in (1, 2))
    print(f"| all | {total} | {total - gone} | {gone} | |")
    return 1 if gone else 0


if __name__ == "__main__":
    sys.exit(main())
