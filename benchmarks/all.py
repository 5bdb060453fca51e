"""Run the benchmarks and write their tables into docs/performance.md: `make bench`.

    python benchmarks/all.py [--write docs/performance.md] [NAME…]

Names are those of the files; by default all. A part that is not run keeps what the page had of it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from measure import ROOT, machine

FOLDER = Path(__file__).resolve().parent
NAMES = ["generate", "parts", "processes", "render", "amplitudes", "png", "flat", "startup", "training", "storage"]
BEGIN, END = "<!-- {name}: as benchmarks/all.py wrote it -->", "<!-- end of {name} -->"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    options.add_argument("--write", metavar="FILE", help="page whose parts are replaced")
    args = options.parse_args()
    known = [name for name in NAMES if (FOLDER / f"{name}.py").is_file()]
    if unknown := set(args.names) - set(known):
        options.error(f"found {', '.join(sorted(unknown))}, expected some of {', '.join(known)}")
    failed = []
    for name in args.names or known:
        print(f"{name}.py", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py")], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        print(done.stdout, flush=True)
        if done.returncode:
            failed.append(name)
        elif args.write:
            page = Path(args.write)
            page.write_text(with_part(page.read_text(), name, done.stdout))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def with_part(page: str, name: str, text: str) -> str:
    """The page, its part between the marks of that name replaced."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    found = re.search(re.escape(begin) + ".*?" + re.escape(end), page, re.DOTALL)
    if not found:
        raise SystemExit(f"no part {begin} … {end} in the page")
    if not text.startswith("#"):  # a benchmark that prints no heading
        text = f"## {name.capitalize()}\n\n`python benchmarks/{name}.py`\n\n{text}"
    part = f"{begin}\n{text.strip()}\n\nMeasured on: {machine()}.\n{end}"
    return page[: found.start()] + part + page[found.end() :]


if __name__ == "__main__":
    main()
