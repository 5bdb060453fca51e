"""What `dvc add`, `status`, `push` and `pull` cost for a dataset kept as PNG files and as Parquet shards.

    python benchmarks/storage.py [--pictures 100000] [--shard-size 1000] [--side 64] [--cache-type copy]

For each storage, one after the other: draw the pictures, add them in a fresh project, ask for its status with what DVC
remembers of the files and without, push to a folder, pull in a clone with a cache of its own; then draw a tenth more,
add and push again. All lies in a temporary folder (--folder: where), removed as it goes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TOML = """
[simulator]
size = {rows}
nterms = 0
imagesize = {canvas}
cropsize = {side}
storage = "{storage}"
shard-size = {shard}
[lens]
mode = "SIE"
einstein-min = {small}
einstein-max = {large}
[source]
mode = "SersicSphere"
sigma-min = {small}
sigma-max = {large}
position = "relative"
"""
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Cost:
    step: str
    seconds: float
    processor: float  # seconds of it; a loaded machine changes these little
    peak_mib: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f}, {self.processor:.1f}, {self.peak_mib:.0f}"


@dataclass(frozen=True)
class Size:
    """What lies below a folder: files, their bytes, and the bytes of the blocks that hold them."""

    files: int
    mb: float
    blocks_mb: float

    @classmethod
    def of(cls, folder: Path) -> Size:
        files = size = blocks = 0  # no list: what this process holds counts as its children's peak
        for entry in folder.rglob("*"):
            if entry.is_file() and not entry.is_symlink():
                found = entry.stat()
                files, size, blocks = files + 1, size + found.st_size, blocks + found.st_blocks
        return cls(files, size / 1e6, blocks * 512 / 1e6)


class Project:
    """A DVC project whose programs are timed, with memories (`site_cache_dir`) of its own."""

    def __init__(self, path: Path) -> None:
        self.path, self.memory = path, path.with_name(f"{path.name}-memory")
        self.environment = os.environ | {
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": str(self.memory),
            "DVC_NO_ANALYTICS": "1",
        }

    def run(self, *command: str) -> tuple[float, float, float]:
        """Seconds, seconds of the processor and peak MiB of a command. Its output is shown if it fails."""
        start = time.perf_counter()
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                command, cwd=self.path, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                raise SystemExit(f"{' '.join(command)} failed: {output.read()[-2000:].decode(errors='replace')}")
        return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

    def cost(self, step: str, *command: str) -> Cost:
        return Cost(step, *self.run(*command))

    def forget(self) -> None:
        shutil.rmtree(self.memory, ignore_errors=True)


def fill(project: Project, rows: int, storage: str, args: argparse.Namespace) -> None:
    """Random files in place of pictures: as many, and each 900 bytes a picture, about what one of 64² takes."""
    images = project.path / "images"
    images.mkdir(exist_ok=True)
    each = 1 if storage == "png" else args.shard_size
    for first in range(0, rows, each):
        path = images / (f"image-{first + 1:06}.png" if storage == "png" else f"{first + 1:09}.parquet")
        count = min(each, rows - first)
        if not path.exists() or path.stat().st_size != 900 * count:
            path.write_bytes(os.urandom(900 * count))


def draw(project: Project, rows: int, storage: str, args: argparse.Namespace) -> Cost | None:
    if args.random:
        return fill(project, rows, storage, args)
    side = args.side
    shape = {"canvas": 2 * side, "side": side, "small": side / 16, "large": side / 4}
    toml = project.path / "dataset.toml"
    toml.write_text(TOML.format(rows=rows, storage=storage, shard=args.shard_size, **shape))
    command = "python -m droulette.datagen -C --toml dataset.toml --csvfile dataset.csv --directory images"
    return project.cost(f"generate {rows:,}", *command.split())


def measure(folder: Path, storage: str, args: argparse.Namespace) -> tuple[list[Cost], dict[str, Size]]:
    project, remote = Project(folder / "project"), folder / "remote"
    project.path.mkdir()
    for command in (
        "git init -q",
        "dvc init -q",
        f"dvc config cache.type {args.cache_type}",
        f"dvc remote add -q -d storage {remote}",
    ):
        project.run(*command.split())

    if not args.random:
        draw(project, 1, storage, args)  # compiles, the first time
    costs = list(filter(None, [draw(project, args.pictures, storage, args)]))
    costs.append(project.cost("dvc add", "dvc", "add", "images"))
    costs.append(project.cost("dvc status", "dvc", "status"))
    project.forget()
    costs.append(project.cost("dvc status, nothing remembered", "dvc", "status"))
    costs.append(project.cost("dvc push", "dvc", "push"))
    costs.append(project.cost("dvc push, nothing new", "dvc", "push"))
    sizes = {"workspace": Size.of(project.path / "images"), "cache": Size.of(project.path / ".dvc/cache")}
    sizes |= {"remote": Size.of(remote), "what DVC remembers": Size.of(project.memory)}

    project.run("git", "add", "--all")
    project.run("git", "-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", "images")
    clone = Project(folder / "clone")
    project.run("git", "clone", "-q", ".", str(clone.path))
    costs.append(clone.cost("dvc pull", "dvc", "pull"))
    if Size.of(clone.path / "images") != sizes["workspace"] and args.cache_type == "copy":
        raise SystemExit("the clone pulled other files than were pushed")
    shutil.rmtree(clone.path)

    more = args.pictures // 10
    draw(project, args.pictures + more, storage, args)
    costs.append(project.cost(f"dvc add, {more:,} more pictures", "dvc", "add", "images"))
    costs.append(project.cost(f"dvc push, {more:,} more pictures", "dvc", "push"))
    sizes["remote, a tenth more"] = Size.of(remote)
    return costs, sizes


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=100_000)
    options.add_argument("--shard-size", type=int, default=1000)
    options.add_argument("--side", type=int, default=64, help="of a picture, px")
    options.add_argument("--cache-type", default="copy", help="DVC's cache.type: copy, hardlink, symlink, reflink")
    options.add_argument("--storage", nargs="+", choices=["png", "parquet"], default=["png", "parquet"])
    options.add_argument("--random", action="store_true", help="files of random bytes, not drawn: DVC costs the same")
    options.add_argument("--folder", help="where the temporary folder is made")
    args = options.parse_args()

    costs, sizes = {}, {}
    for storage in args.storage:
        with tempfile.TemporaryDirectory(prefix="droulette-storage-", dir=args.folder) as folder:
            costs[storage], sizes[storage] = measure(Path(folder), storage, args)

    print(
        f"{args.pictures:,} pictures of {args.side}², `cache.type = {args.cache_type}`, a remote in a directory. "
        "For larger datasets see [scale.md](scale.md)."
    )
    print(f"\n| seconds, of the processor, peak MiB | {' | '.join(args.storage)} |\n|---{'|---' * len(args.storage)}|")
    for row in zip(*costs.values(), strict=True):
        print(f"| {row[0].step} | {' | '.join(map(str, row))} |")
    print(f"\n| files, MB, MB of blocks | {' | '.join(args.storage)} |\n|---{'|---' * len(args.storage)}|")
    for place in sizes[args.storage[0]]:
        found = [sizes[storage][place] for storage in args.storage]
        print(f"| {place} | {' | '.join(f'{s.files:,}, {s.mb:,.1f}, {s.blocks_mb:,.1f}' for s in found)} |")


if __name__ == "__main__":
    main()
