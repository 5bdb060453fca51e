"""Data shared by a directory, SSH, WebDAV and S3: real servers, real DVC, and connections cut in the middle."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from projects import Clone, project_copy, stages_run
from proxy import Proxy
from servers import SERVERS, Nginx, Server, hashes

OTHER_SEED = ("seed = 1\n\n[dataset]", "seed = 2\n\n[dataset]")  # of [problem]
LOGIN = ".dvc/config.local"


@dataclass
class Finished:
    """A clone whose pictures are drawn, and shared out twice: on the branch main, and on `other` by another seed."""

    clone: Clone
    main: dict[str, str]  # SHA-256 of what the pipeline wrote, by path in the clone
    other: dict[str, str]

    @property
    def cache(self) -> Path:
        return self.clone.path / ".dvc" / "cache"

    @property
    def objects(self) -> dict[str, str]:
        """SHA-256 of all that the cache keeps, which is what a remote should hold after a push."""
        return hashes(self.cache)

    @property
    def size(self) -> int:
        return sum(file.stat().st_size for file in self.cache.rglob("*") if file.is_file())


def change_seed(clone: Clone) -> None:
    params = clone.path / "params.toml"
    text = params.read_text()
    assert OTHER_SEED[0] in text
    params.write_text(text.replace(*OTHER_SEED))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("finished")
    clone = project_copy(folder)
    assert stages_run(clone.dvc("repro", "split")) == ["generate", "split"]
    clone.commit("drawn and split")
    main = clone.hashes()
    clone.run("git", "checkout", "-q", "-b", "other")
    change_seed(clone)
    assert stages_run(clone.dvc("repro", "split")) == ["split"]
    clone.commit("another seed")
    other = clone.hashes()
    clone.run("git", "checkout", "-q", "main")
    yield Finished(clone, main, other)
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Remote:
    """A server, and the proxy by which the clones reach it where there is a connection to cut."""

    server: Server
    proxy: Proxy | None
    folder: Path

    def add(self, clone: Clone) -> None:
        """As docs/sharing.md says; the login stays out of git."""
        port = self.proxy and self.proxy.port
        clone.dvc("remote", "add", "-q", "--default", "--force", "storage", self.server.url(port))
        for key, value in self.server.public(port).items():
            clone.dvc("remote", "modify", "storage", key, value)
        for key, value in self.server.secret.items():
            clone.dvc("remote", "modify", "--local", "storage", key, value)
        clone.commit("remote")

    def clone(self, of: Clone, name: str) -> Clone:
        """A clone with a cache and memories of its own, and the login of the first."""
        clone = Clone(self.folder / name, self.folder / f"{name}-site-cache")
        of.run("git", "clone", "-q", str(of.path), str(clone.path))
        if (of.path / LOGIN).exists():
            shutil.copy(of.path / LOGIN, clone.path / LOGIN)
        return clone


@pytest.fixture(scope="module", params=SERVERS)
def remote(request, tmp_path_factory) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "server").mkdir()
    server = SERVERS[request.param](folder / "server")
    proxy = Proxy(server.port) if server.port else None
    yield Remote(server, proxy, folder)
    if proxy:
        proxy.close()
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


# DVC's and its clients' own repeats only prolong a cut: what is tested is the next command that is typed.
ONE_TRY = {"AWS_MAX_ATTEMPTS": "1"}


@pytest.fixture(autouse=True, scope="module")
def one_try():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ONE_TRY.items():
            patch.setenv(name, value)
        yield


def cut(remote: Remote, clone: Clone, direction: str, count: float, *command: str, fetched: int = 0) -> None:
    """Type a command whose connections are cut when `count` bytes have passed and so many new files are in the
    clone; it says so and fails."""

    def files() -> int:
        return sum(len(names) for _, _, names in os.walk(clone.path))

    enough = files() + fetched
    with (
        remote.proxy.cut_after(int(count), direction, lambda: files() >= enough),
        pytest.raises(AssertionError) as failure,
    ):
        clone.run(*command)
    said = str(failure.value)
    assert "ERROR" in said, said
    assert "Traceback" not in said


@dataclass
class Pushed:
    clone: Clone
    objects_when_cut: dict[str, str]


@pytest.fixture(scope="module")
def pushed(remote, finished) -> Pushed:
    """A clone that pushed its data, cut in the middle of the pictures and then typed again."""
    clone = remote.clone(finished.clone, "first")
    shutil.copytree(finished.cache, clone.path / ".dvc" / "cache")
    remote.add(clone)
    clone.run("git", "checkout", "-q", "other")
    clone.run("git", "cherry-pick", "main")  # a branch's data go to the remote that the branch names
    clone.run("git", "checkout", "-q", "main")
    command = ["dvc", "push", "--run-cache", "--all-branches"]
    when_cut = {}
    if remote.proxy:
        cut(remote, clone, "up", finished.size / 2, *command, "--jobs", "2")
        when_cut = remote.server.objects()
    clone.run(*command)
    return Pushed(clone, when_cut)


def test_a_push_stores_each_file_once_and_whole_also_after_a_cut(pushed, remote, finished):
    assert remote.server.objects() == finished.objects
    if remote.proxy:
        assert 0 < len(pushed.objects_when_cut) < len(finished.objects)
        assert pushed.objects_when_cut.items() <= finished.objects.items()


def test_a_pull_in_another_clone_brings_the_same_bytes_also_after_a_cut(pushed, remote, finished):
    clone = remote.clone(pushed.clone, "second")
    if remote.proxy:
        cut(remote, clone, "down", 1, "dvc", "pull", "--allow-missing", "--jobs", "2", fetched=20)
        assert 0 < len(hashes(clone.path / ".dvc" / "cache")) < len(finished.objects)
    clone.dvc("pull", "--allow-missing")  # train and evaluate have not run
    assert clone.hashes() == finished.main
    # Over WebDAV a cut may leave a file that is not whole in the cache; DVC sees it and fetches it again.
    known = finished.objects | hashes(clone.path / "box")  # whose model the pull brought too
    assert hashes(clone.path / ".dvc" / "cache").items() <= known.items()


def test_a_pull_over_plain_http_brings_the_same_bytes(pushed, remote, finished):
    if not isinstance(remote.server, Nginx):
        pytest.skip("not a web server")
    clone = remote.clone(pushed.clone, "reader")
    login = {"auth": "basic"} | remote.server.secret
    settings = "".join(f"    {key} = {value}\n" for key, value in login.items())
    (clone.path / LOGIN).write_text(f"['remote \"public\"']\n    url = {remote.server.http_url}\n{settings}")
    clone.dvc("pull", "--allow-missing", "--remote", "public")
    assert clone.hashes() == finished.main


def test_an_import_into_a_third_project_brings_the_same_pictures_also_after_a_cut(pushed, remote, finished):
    third = Clone(remote.folder / "third", remote.folder / "third-site-cache")
    third.path.mkdir()
    third.run("git", "init", "-q")
    third.dvc("init", "-q")
    command = ["dvc", "import", str(pushed.clone.path), "data/images"]
    if remote.server.secret:
        command += ["--remote-config", *(f"{key}={value}" for key, value in remote.server.secret.items())]
    if remote.proxy:
        cut(remote, third, "down", 1, *command, fetched=20)
        assert not (third.path / "images.dvc").exists()
    third.run(*command, "--force")  # what came before the cut is in the way
    images = {path: hash for path, hash in finished.main.items() if path.startswith("data/images/")}
    assert {f"data/images/{path}": hash for path, hash in hashes(third.path / "images").items()} == images


def test_repro_pull_fetches_what_somebody_else_computed_also_after_a_cut(pushed, remote, finished):
    clone = remote.clone(pushed.clone, "fourth")
    change_seed(clone)
    command = ["dvc", "repro", "--pull", "--allow-missing", "split"]
    if remote.proxy:
        cut(remote, clone, "down", finished.size / 20, *command)
    said = clone.run(*command)
    assert "Stage 'generate' didn't change, skipping" in said
    assert "Stage 'split' is cached - skipping run, checking out outputs" in said
    assert stages_run(said) == []
    assert not (clone.path / "data" / "images").exists()  # `split` reads the table alone
    parts = ("data/training.csv", "data/validation.csv", "data/testing.csv")
    assert [clone.hashes()[part] for part in parts] == [finished.other[part] for part in parts]
    assert finished.other != finished.main


def test_a_changed_listing_is_refused(pushed, remote):
    listings = list((remote.folder / "server").rglob("*.dir"))
    if not listings:
        pytest.skip("a server whose objects are not files")
    clone = remote.clone(pushed.clone, "fifth")
    stored = {path: path.read_bytes() for path in listings}
    for path, listing in stored.items():
        path.chmod(0o644)
        path.write_bytes(listing.replace(b"image-000001.png", b"image-999999.png"))
    with pytest.raises(AssertionError, match="not what its name says"):
        clone.dvc("pull", "data/images")
    assert not (clone.path / "data" / "images").exists()
    for path, listing in stored.items():
        path.write_bytes(listing)
    clone.dvc("pull", "data/images")
    assert (clone.path / "data" / "images" / "image-000001.png").exists()
