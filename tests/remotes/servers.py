"""Real servers for DVC's remotes: on loopback, unprivileged, each in a temporary folder, ended by its process id."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

IS_ROOT = os.geteuid() == 0


def program(name: str, package: str) -> str:
    """Where a server's program lies; the test is skipped where it is not installed."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed (Debian's package {package})")
    return path


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, by its path below the folder; not of the partial uploads that a cut leaves over SSH."""
    paths = (p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".tmp"))
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


class Server:
    """What DVC is told: `url(port)`, `public(port)` for .dvc/config and `secret` for .dvc/config.local."""

    port: int | None = None
    secret: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stored = folder / "stored"
        self.stored.mkdir()
        self.processes: list[subprocess.Popen] = []
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None: ...

    def url(self, port: int | None) -> str:
        raise NotImplementedError

    def public(self, port: int | None) -> dict[str, str]:
        return {}

    def objects(self) -> dict[str, str]:
        """SHA-256 of each file that DVC has stored, by its path in the remote."""
        return hashes(self.stored)

    def run(self, *command: str) -> None:
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=60)

    def serve(self, *command: str, until: Callable[[], bool], seconds: float = 180) -> None:
        """Start a program of the server and wait until it serves."""
        log = self.folder / f"{Path(command[0]).name}.output"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )  # fmt: skip
        self.processes.append(process)
        end = time.monotonic() + seconds
        while not until():
            said = log.read_text(errors="replace")[-2000:]
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}:\n{said}"
            assert time.monotonic() < end, f"{command[0]} does not serve after {seconds} s:\n{said}"
            time.sleep(0.05)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Directory(Server):
    def url(self, port: int | None) -> str:
        return str(self.stored)


class OpenSSH(Server):
    def start(self) -> None:
        sshd, keygen = program("sshd", "openssh-server"), program("ssh-keygen", "openssh-client")
        for name in ("host", "user"):
            self.run(keygen, "-q", "-t", "ed25519", "-N", "", "-f", name)
        self.port = free_port()
        self.secret = {"keyfile": str(self.folder / "user")}
        (self.folder / "sshd_config").write_text(f"""
ListenAddress 127.0.0.1
Port {self.port}
HostKey {self.folder}/host
AuthorizedKeysFile {self.folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
""")
        if IS_ROOT:  # where sshd's unprivileged half lives; an ordinary user's sshd has none
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.serve(sshd, "-D", "-e", "-f", str(self.folder / "sshd_config"), until=lambda: answers(self.port))

    def url(self, port: int | None) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{port}{self.stored}"


class Nginx(Server):
    """WebDAV, and the same files by plain HTTP."""

    secret: ClassVar[dict[str, str]] = {"user": "team", "password": "lenses"}
    MODULE = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")

    def start(self) -> None:
        nginx = program("nginx", "nginx-light")
        if not self.MODULE.is_file():
            pytest.skip("nginx has no PROPFIND (Debian's package libnginx-mod-http-dav-ext)")
        self.port = free_port()
        (self.folder / "passwords").write_text("{user}:{{PLAIN}}{password}\n".format(**self.secret))
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (self.folder / name).mkdir()
        (self.stored / "store").mkdir()
        (self.folder / "nginx.conf").write_text(f"""
{"user root;" if IS_ROOT else ""}
daemon off;
pid {self.folder}/pid;
error_log stderr;
load_module {self.MODULE};
events {{}}
http {{
    access_log {self.folder}/access.log;
    client_body_temp_path {self.folder}/body;
    proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/fastcgi;
    uwsgi_temp_path {self.folder}/uwsgi;
    scgi_temp_path {self.folder}/scgi;
    server {{
        listen 127.0.0.1:{self.port};
        root {self.stored};
        auth_basic "DVC";
        auth_basic_user_file {self.folder}/passwords;
        client_max_body_size 0;
        location / {{
            dav_methods PUT DELETE MKCOL COPY MOVE;
            dav_ext_methods PROPFIND OPTIONS;
            create_full_put_path on;
        }}
    }}
}}
""")
        self.serve(nginx, "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder),
                   until=lambda: answers(self.port))  # fmt: skip

    def url(self, port: int | None) -> str:
        return f"webdav://127.0.0.1:{port}/store"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/store"

    def objects(self) -> dict[str, str]:
        return hashes(self.stored / "store")


class Ceph(Server):
    """Ceph's S3 gateway with one monitor and one storage daemon, which keeps its objects in memory.

    By itself the monitor ends (28, ENOSPC) where less than 5% of the disk is free, however many GB those are.
    """

    secret: ClassVar[dict[str, str]] = {"access_key_id": "team", "secret_access_key": "lenses"}

    def start(self) -> None:
        names = ("ceph-mon", "ceph-osd", "radosgw")
        monitor, storage, gateway = (program(name, name) for name in names)
        tools = [program(name, "ceph-common") for name in ("monmaptool", "ceph", "radosgw-admin")]
        monmaptool, ceph, admin = tools
        mon_port, self.port = free_port(), free_port()
        cluster, disk, conf = str(uuid.uuid4()), str(uuid.uuid4()), str(self.folder / "ceph.conf")
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir()
        Path(conf).write_text(f"""
[global]
fsid = {cluster}
mon host = [v1:127.0.0.1:{mon_port}]
auth cluster required = none
auth service required = none
auth client required = none
run dir = {self.folder}
log file = {self.folder}/$name.log
admin socket =
pid file =
keyring = {self.folder}/keyring
mon data = {self.folder}/mon
osd data = {self.folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 500
rgw data = {self.folder}/rgw
[mon]
mon data avail crit = 0
mon data avail warn = 0
paxos propose interval = 0.05
paxos min wait = 0.01
[osd]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
""")
        self.run(monmaptool, "--create", "--fsid", cluster, "--addv", "a", f"[v1:127.0.0.1:{mon_port}]", "monmap")
        self.run(monitor, "-i", "a", "--mkfs", "--monmap", "monmap", "-c", conf)
        self.serve(monitor, "-f", "-i", "a", "-c", conf, until=lambda: answers(mon_port))
        self.ask_monitor(ceph, "-c", conf, "osd", "new", disk)
        self.run(storage, "-i", "0", "--mkfs", "--osd-uuid", disk, "-c", conf)
        self.serve_storage(storage, "-f", "-i", "0", "-c", conf, up=[ceph, "-c", conf, "osd", "stat", "-f", "json"])
        frontend = f"beast endpoint=127.0.0.1:{self.port}"
        self.serve(gateway, "-f", "-n", "client.rgw", "-c", conf, "--rgw-frontends", frontend,
                   until=lambda: answers(self.port))  # fmt: skip
        self.run(admin, "-n", "client.rgw", "-c", conf, "user", "create", "--uid", "team", "--display-name", "Team",
                 "--access-key", self.secret["access_key_id"],
                 "--secret-key", self.secret["secret_access_key"])  # fmt: skip
        self.client.create_bucket(Bucket="lenses")

    def ask_monitor(self, *command: str, tries: int = 20) -> bytes:
        """What the monitor answers; asked again where it refuses, as it does now and then while it elects itself."""
        for attempt in range(tries):
            asked = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=60)
            if asked.returncode == 0:
                break
            assert attempt < tries - 1 and b"EPERM" in asked.stderr, asked.stderr.decode(errors="replace")
            time.sleep(0.2)
        return asked.stdout

    def serve_storage(self, *command: str, up: list[str], tries: int = 10) -> None:
        """Start the storage daemon, again where it ends: it may ask before it knows the cluster's id."""

        def is_up() -> bool:
            return json.loads(self.ask_monitor(*up))["num_up_osds"] == 1

        for last in [False] * (tries - 1) + [True]:
            try:
                return self.serve(*command, until=is_up)
            except AssertionError:
                if last or self.processes[-1].poll() is None:
                    raise

    @property
    def client(self):
        import botocore.session

        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=self.secret["access_key_id"],
            aws_secret_access_key=self.secret["secret_access_key"],
        )

    def url(self, port: int | None) -> str:
        return "s3://lenses/store"

    def public(self, port: int | None) -> dict[str, str]:
        return {"endpointurl": f"http://127.0.0.1:{port}", "region": "us-east-1"}

    def objects(self) -> dict[str, str]:
        client, found = self.client, {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="lenses", Prefix="store/"):
            for item in page.get("Contents", []):
                body = client.get_object(Bucket="lenses", Key=item["Key"])["Body"].read()
                found[item["Key"].removeprefix("store/")] = hashlib.sha256(body).hexdigest()
        return found


SERVERS = {"directory": Directory, "ssh": OpenSSH, "webdav": Nginx, "s3": Ceph}
