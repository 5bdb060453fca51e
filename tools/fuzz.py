"""Read what strangers may have written, at random: `python tools/fuzz.py [--cases 24000] [--seed 0] [--only NAME]`

Prints a Markdown table of the inputs tried. Ends with status 1 where a reader did anything else than take an input or
refuse it in one line; the input is kept in a file that the last lines name. With --atheris SECONDS the parsers are
fuzzed under coverage guidance as well, for that long each; it takes `pip install atheris==3.0.0`.
"""

from __future__ import annotations

import argparse
import collections
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
# Of the cases, by what they cost.
SHARES = {
    "TOML: parameters": 5,
    "TOML: parameters under options": 2,
    "CSV: dataset, drawn": 3,
    "CSV: dataset, its lenses": 2,
    "CSV: roulette, split": 2,
    "CSV: roulette, resimulated": 2,
    "CSV: targets and predictions": 3,
    "picture: of a dataset": 4,
    "picture: a user's own": 2,
    "model": 2,
    "Parquet shard": 2,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="names that hold this text")
    parser.add_argument("--atheris", type=int, metavar="SECONDS")
    parser.add_argument("--coverage-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.coverage_of:
        return guided(args.coverage_of, args.atheris)
    import torch
    from hostile import Folder, checks

    torch.set_num_threads(1)
    rows, kept = [], []
    with tempfile.TemporaryDirectory(prefix="droulette-fuzz-") as path:
        found = checks(Folder(Path(path)))
        assert set(found) == set(SHARES)
        for name, (strategy, check) in found.items():
            if args.only and args.only not in name:
                continue
            count = args.cases * SHARES[name] // sum(SHARES.values())
            rows.append((name, *tried(strategy, check, count, args.seed, kept)))
            print(f"{name}: {rows[-1][1:]}", file=sys.stderr, flush=True)
        os.chdir(ROOT)
    print("| input | tried | taken | refused in one line | anything else | longest, s |\n|---|---|---|---|---|---|")
    for name, counts, slowest in rows:
        print(
            f"| {name} | {counts.total()} | {counts['taken']} | {counts['refused']} | {counts['bad']} | {slowest:.1f} |"
        )
    total = sum((counts for _, counts, _ in rows), collections.Counter())
    print(f"| all | {total.total()} | {total['taken']} | {total['refused']} | {total['bad']} | |")
    for line in kept:
        print(line)
    bad = total["bad"]
    if args.atheris:
        print("\n| parser, under coverage guidance | executions | anything else than taken or refused |\n|---|---|---|")
        for name in ("toml", "csv", "png", "safetensors"):
            bad += atheris_row(name, args.atheris)
    return 1 if bad else 0


def tried(strategy, check, count: int, seed: int, kept: list[str]) -> tuple[collections.Counter, float]:
    """Run a check on so many inputs of the strategy."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, given, settings

    counts, slowest = collections.Counter(), 0.0

    def one(data: bytes) -> None:
        nonlocal slowest
        if counts.total() >= count:
            return
        start = time.monotonic()
        try:
            counts[check(data)] += 1
        except Exception as error:  # what no reader should raise: counted, kept, and gone on from
            counts["bad"] += 1
            file = Path(tempfile.gettempdir()) / f"droulette-fuzz-{abs(hash(data)):x}"
            file.write_bytes(data)
            if len(kept) < 40:
                kept.append(f"{file}: {error!r}"[:400])
        slowest = max(slowest, time.monotonic() - start)

    options = {"database": None, "deadline": None, "phases": [Phase.generate], "max_examples": count}
    decorated = settings(**options, suppress_health_check=list(HealthCheck))(given(strategy)(one))
    for again in range(50):  # hypothesis ends early where it thinks it has seen all
        if counts.total() < count:
            hypothesis.seed(seed + again)(decorated)()
    return counts, slowest


# ---------------------------------------------------------------- coverage guidance


def atheris_row(name: str, seconds: int) -> int:
    try:
        import atheris  # noqa: F401
    except ImportError:
        print(f"| {name} | 0: atheris is not installed | |")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--coverage-of", name, "--atheris", str(seconds)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds * 3 + 300)
    runs = [line for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
    count = int(runs[-1].split()[-1]) if runs else 0
    bad = 0 if done.returncode == 0 and count else 1
    if bad:
        print("\n".join(done.stderr.splitlines()[-30:]), file=sys.stderr)
    print(f"| {name} | {count} | {bad} |", flush=True)
    return bad


def guided(name: str, seconds: int) -> int:
    """In a process of its own: atheris, libFuzzer for Python, on one parser until the time is over."""
    import io

    import atheris

    with atheris.instrument_imports(include=["droulette", "tomllib", "PIL", "csv"]):
        import tomllib  # noqa: F401

        from PIL import PngImagePlugin  # noqa: F401

        from droulette import files, parameters
        from droulette.errors import UserError
        from droulette.pipeline import pictures, targets

    corpus = Path("corpus")
    corpus.mkdir()

    def toml(data: bytes) -> None:
        Path("p.toml").write_bytes(data)
        parameters.load("p.toml")

    def csv(data: bytes) -> None:
        Path("t.csv").write_bytes(data)
        targets.read_targets("t.csv")

    def png(data: bytes) -> None:
        Path("images").mkdir(exist_ok=True)
        Path("images/a.png").write_bytes(data)
        pictures.read_pictures("images", ["a.png"], table="t.csv", workers=1)

    def safetensors(data: bytes) -> None:
        from droulette.learning import model_file

        Path("m.safetensors").write_bytes(data)
        model_file.load("m.safetensors")

    import hostile

    stream = io.BytesIO()
    hostile.picture().save(stream, format="PNG")
    if name == "safetensors":
        hostile.make_model(Path("m.safetensors"))
    seeds = {
        "toml": lambda: hostile.PARAMS,
        "csv": lambda: files.Path("t.csv").read_bytes() if files.write_csv(hostile.targets(), "t.csv") is None else b"",
        "png": stream.getvalue,
        "safetensors": lambda: Path("m.safetensors").read_bytes(),
    }
    (corpus / "seed").write_bytes(seeds[name]())
    parser = {"toml": toml, "csv": csv, "png": png, "safetensors": safetensors}[name]

    def one(data: bytes) -> None:
        try:
            parser(data)
        except UserError as error:
            assert "\n" not in str(error).strip()

    options = [
        f"-max_total_time={seconds}",
        "-print_final_stats=1",
        "-max_len=200000",
        "-rss_limit_mb=0",
        "-timeout=60",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
