"""How many requests `dvc push` and `dvc pull` send to WebDAV (nginx) and S3 (Ceph), by number of files.

    python benchmarks/remote_requests.py [--files 5 500] [--remotes webdav s3]

The servers are the tests' own, on loopback, and their logs are counted. The files are random bytes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "remotes"))

from servers import SERVERS, Server  # noqa: E402

LOGS = {"webdav": "access.log", "s3": "client.rgw.log"}
REQUEST = re.compile(r'"([A-Z]+) (\S+) HTTP/1\.1" (\d+)')


def requests(server: Server, name: str) -> Counter[str]:
    """Requests so far, by method; a list of objects, which S3 also asks for by GET, is called LIST."""
    found = REQUEST.findall((server.folder / LOGS[name]).read_text(errors="replace"))
    return Counter("LIST" if "list-type=" in path else method for method, path, status in found if status != "401")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--files", type=int, nargs="+", default=[5, 500])
    options.add_argument("--remotes", nargs="+", choices=LOGS, default=list(LOGS))
    args = options.parse_args()

    print("| remote | files | dvc push | dvc push, nothing new | dvc pull |\n|---|---|---|---|---|")
    for name in args.remotes:
        for count in args.files:
            with tempfile.TemporaryDirectory(prefix="droulette-requests-") as folder:
                cells = [str(sent) for sent in measure(Path(folder), name, count)]
            print(f"| {name} | {count} | {' | '.join(cells)} |", flush=True)


def measure(folder: Path, name: str, count: int) -> list[str]:
    project = folder / "project"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(folder / "memory"),
        "DVC_NO_ANALYTICS": "1",
    }

    def dvc(*command: str) -> None:
        subprocess.run(["dvc", *command], cwd=project, env=environment, check=True, stdout=subprocess.DEVNULL)

    (project / "images").mkdir(parents=True)
    for number in range(count):
        (project / "images" / f"{number}.png").write_bytes(os.urandom(800))
    (folder / "server").mkdir()
    server = SERVERS[name](folder / "server")
    try:
        dvc("init", "-q", "--no-scm")
        dvc("remote", "add", "-q", "-d", "storage", server.url(server.port))
        for key, value in (server.public(server.port) | server.secret).items():
            dvc("remote", "modify", "-q", "storage", key, value)
        dvc("add", "-q", "images")
        sent = []
        for command in (["push"], ["push"], ["pull"]):
            if command == ["pull"]:
                for made in (project / "images", project / ".dvc" / "cache", folder / "memory"):
                    shutil.rmtree(made)
            before = requests(server, name)
            dvc(*command, "-q")
            new = requests(server, name) - before
            sent.append(f"{new.total()}: " + ", ".join(f"{n} {method}" for method, n in sorted(new.items())))
        return sent
    finally:
        server.stop()


if __name__ == "__main__":
    main()
