"""Each line of docs/security.md."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import re
import resource
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hostile import WATCH, chunk, make_model, picture
from safetensors.torch import load_file, save_file

from droulette import datagen, errors, files, parameters, split
from droulette.devices import fabric_on
from droulette.errors import UserError
from droulette.learning import backbones, checkpoint, model_file
from droulette.pipeline.pictures import read_pictures
from droulette.pipeline.scenes import normalise, source_batch
from droulette.pipeline.storage import reader

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("payload-ran"),))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """What each test works in; beside it, a place that nothing may reach."""
    (tmp_path / "work").mkdir()
    (tmp_path / "secret").mkdir()
    picture().save(tmp_path / "secret" / "a.png")
    monkeypatch.chdir(tmp_path / "work")
    Path("images").mkdir()
    return tmp_path / "work"


def refused(read, *words: str) -> str:
    """The one line of a reader that refuses, in which those words stand."""
    with pytest.raises(UserError) as caught:
        read()
    line = str(caught.value)
    assert all(word in line for word in words), line
    return line


def grown(act) -> float:
    """MiB by which the process's peak memory grows."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    act()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def test_the_page_names_these_tests_and_no_others():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named == {name for name in globals() if name.startswith("test_")} - {
        "test_the_page_names_these_tests_and_no_others"
    }


# ---------------------------------------------------------------- models


def test_a_pickle_is_no_model(folder):
    for content in (pickle.dumps(Payload()), b""):
        Path("model.safetensors").write_bytes(content)
        refused(lambda: model_file.load("model.safetensors"), "model.safetensors: not a whole safetensors file")
    torch.save({"a": Payload()}, "model.safetensors")
    refused(lambda: model_file.load("model.safetensors"), "model.safetensors: not a whole safetensors file")
    assert not Path("payload-ran").exists()


def test_weights_with_a_payload_are_refused(folder):
    torch.save({"a": Payload()}, "w.pth")
    Path("p.pth").write_bytes(pickle.dumps(Payload()))
    Path("empty.pth").write_bytes(b"")
    for name in ("w.pth", "p.pth", "empty.pth"):
        refused(lambda name=name: backbones.build("polar_tiny", ["sigma"], name, 16), f"{name}: not a file of weights")
    assert not Path("payload-ran").exists()


def test_a_checkpoint_with_a_payload_is_no_checkpoint(folder):
    network = torch.nn.Linear(1, 1)
    optimiser = torch.optim.SGD(network.parameters())
    state = checkpoint.State(SimpleNamespace(module=network), optimiser, torch.optim.lr_scheduler.ConstantLR(optimiser))
    kept, alone = checkpoint.Checkpoint("m.checkpoint", "key"), fabric_on(torch.device("cpu"))
    torch.save({"key": "key", "epoch": 7, "network": Payload()}, "m.checkpoint")
    kept.restore(state, alone)
    assert state.epoch == 0 and not Path("payload-ran").exists()
    state.epoch = 3
    kept.keep(state)
    state.epoch = 0
    kept.restore(state, alone)
    assert state.epoch == 3


def test_a_header_that_lies_costs_no_memory(folder):
    make_model(Path("m.safetensors"))
    whole = Path("m.safetensors").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    huge = 1 << 30  # bytes, of a file with a hole
    name = next(name for name in header if name.startswith("network."))

    def lie(change) -> None:
        table = json.loads(json.dumps(header))
        change(table)
        text = json.dumps(table).encode()
        with open("lie.safetensors", "wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text + whole[8 + length :])
            if any(entry.get("data_offsets", [0, 0])[1] > huge for entry in table.values()):
                stream.truncate(8 + len(text) + end + huge)

    end = max(entry["data_offsets"][1] for entry in header.values() if "data_offsets" in entry)
    tensor = {"dtype": "F32", "shape": [huge // 4], "data_offsets": [end, end + huge]}
    lies = [
        lambda table: table.update({name: table[name] | {"shape": [1 << 50]}}),
        lambda table: table.update({name: table[name] | {"data_offsets": [0, 1 << 60]}}),
        lambda table: table.update({"network.extra": tensor}),
        lambda table: table.update({"scaling.extra": tensor}),
        lambda table: table.update({"calibration.widths": tensor}),
    ]
    for change in lies:
        lie(change)
        assert grown(lambda: refused(lambda: model_file.load("lie.safetensors"), "lie.safetensors: not a ")) < 200
    Path("lie.safetensors").write_bytes((1 << 62).to_bytes(8, "little") + whole[8:])
    refused(lambda: model_file.load("lie.safetensors"), "not a whole safetensors file")
    lie(lambda table: table.update({"elsewhere": tensor}))  # what nobody asks for is not read
    assert grown(lambda: model_file.load("lie.safetensors")) < 200


@pytest.mark.parametrize(
    "about",
    [
        {"columns": [f"c{k}" for k in range(100_000)]},
        {"input_size": 10**9},
        {"backbone": "os.system"},
        {"symmetries": 10**9},
        {"scaling": "pickle"},
        {"columns": ["alpha[" + "9" * 5000 + "][1]"]},
    ],
)
def test_metadata_cannot_ask_for_an_absurd_network(folder, about):
    make_model(Path("m.safetensors"))
    with io.BytesIO(Path("m.safetensors").read_bytes()) as stream:
        length = int.from_bytes(stream.read(8), "little")
        known = json.loads(json.loads(stream.read(length))["__metadata__"]["droulette"])
    tensors = load_file("m.safetensors")
    save_file(tensors, "m.safetensors", metadata={"droulette": json.dumps(known | about)})

    line = "m.safetensors: not a droulette model"
    assert grown(lambda: refused(lambda: model_file.load("m.safetensors"), line)) < 300


# ---------------------------------------------------------------- pictures


def read(name: str) -> np.ndarray:
    return read_pictures("images", [name], table="t.csv", workers=1)


def header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def test_a_png_bomb_is_not_decoded(folder):
    pixels = zlib.compress(bytes(30_001 * 1000))
    Path("images/a.png").write_bytes(header(30_000, 30_000) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    assert grown(lambda: refused(lambda: read("a.png"), "t.csv: row 1", "too large to decode")) < 100


def test_what_is_packed_in_a_png_stays_small(folder):
    packed = zlib.compress(bytes(400_000_000), 9)
    image, end = chunk(b"IDAT", zlib.compress(bytes(13 * 12))), chunk(b"IEND", b"")
    for bomb in (chunk(b"zTXt", b"a\0\0" + packed), chunk(b"iCCP", b"a\0\0" + packed)):
        for parts in ((bomb, image), (image, bomb)):
            Path("images/a.png").write_bytes(header(12, 12) + b"".join(parts) + end)

            def look() -> None:
                try:
                    assert read("a.png").shape == (1, 12, 12)
                except UserError as error:
                    assert "t.csv: row 1" in str(error)

            assert grown(look) < 150
    Path("images/a.png").write_bytes(header(12, 12) + chunk(b"IDAT", packed) + end)
    assert grown(lambda: read("a.png")) < 100


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "GIF", "TIFF", "EPS"])
def test_only_png_is_decoded(folder, kind):
    picture().convert("RGB").save("images/a.png", format=kind)
    refused(lambda: read("a.png"), "t.csv: row 1", "expected a PNG")


NAMES = ["../../secret/a.png", "{}/secret/a.png", "linked/a.png", "..\\a.png", "a\0.png", "", ".", "..", "/dev/zero"]


@pytest.mark.parametrize("name", NAMES)
def test_no_file_name_leads_outside(folder, name):
    name = name.format(folder.parent)
    Path("images/linked").symlink_to(folder.parent / "secret")
    refused(lambda: read(name), "t.csv: row 1", "filename")
    row = "Raytrace,SIS,3,Spherical,2,1,1\n"
    Path("d.csv").write_text(f"filename,model,lens,einsteinradius,source,sigma,x,y\na.png,{row}{name},{row}")
    before = sorted(folder.parent.rglob("*"))
    assert datagen.main(["-i", "d.csv", "-D", "images", "-Z", "8", "-n", "1", "--device", "cpu"]) == 2
    assert sorted(folder.parent.rglob("*")) == before


def test_a_source_picture_stays_below_the_folder(folder):
    picture().save("mine.png")
    Path("link.png").symlink_to(folder.parent / "secret" / "a.png")
    Path("linked").symlink_to(folder.parent / "secret")
    picture().convert("RGB").save("program.png", format="EPS")

    def source(name: str):
        frame = pd.DataFrame({"source": ["Image"], "image": [name], "lens": ["SIS"], "x": [1], "y": [1], "theta": [0]})
        from droulette.pipeline.scenes import groups

        frame = normalise(frame, "d.csv")
        ((kind, _),) = groups(frame, "d.csv")
        return source_batch(frame, kind, "d.csv")

    source("mine.png")
    for name in ("../secret/a.png", str(folder.parent / "secret/a.png"), "link.png", "linked/a.png", "/dev/zero"):
        refused(lambda name=name: source(name), "d.csv", "column image", "below the working folder")
    with WATCH.inside(folder, folder.parent / "secret"):  # which sees programs that are started
        refused(lambda: source("program.png"), "program.png: not a readable picture")


def test_galaxies_stay_below_the_folder(folder):
    np.save("mine.npy", np.pad(np.full((8, 8), 255.0), 8))
    Path("link.png").symlink_to(folder.parent / "secret" / "a.png")
    Path("linked").symlink_to(folder.parent / "secret")
    np.save("pickled.npy", np.array([print], object), allow_pickle=True)

    def source(name: str):
        numbers = {"x": 1, "y": 1, "theta": 0, "sigma": 3, "luminosity": 5, "mirror": 0}
        frame = normalise(pd.DataFrame({"source": ["Galaxy"], "galaxy": [name], "lens": ["SIS"], **numbers}), "d.csv")
        from droulette.pipeline.scenes import groups

        ((kind, _),) = groups(frame, "d.csv")
        return source_batch(frame, kind, "d.csv")

    source("mine.npy")
    for name in ("../secret/a.png", str(folder.parent / "secret/a.png"), "link.png", "linked/a.png", "linked/a.fits#1"):
        refused(lambda name=name: source(name), "d.csv", "column galaxy", "below the working folder")
    refused(lambda: source("pickled.npy"), "pickled.npy: not a NPY file that can be read")


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"filename,a\n" + b"x" * 1_100_000 + b",1\n", "not a CSV table: found a line of more than"),
        (b"filename,a\n" + b'"' + b"x\n" * 600_000, "not a CSV table: found a line of more than"),
        (b"filename," + b",".join(b"c%d" % k for k in range(11_000)) + b"\n", "expected at most 10000"),
        (b"filename,a,a\n1,2,3\n", "column 'a' twice"),
        (b"filename,a\nx.png,1,2\ny.png,1,2\n", "more cells in a row than columns"),
    ],
)
def test_an_absurd_table_is_refused(folder, content, said):
    Path("t.csv").write_bytes(content)
    assert grown(lambda: refused(lambda: files.read_csv("t.csv"), "t.csv: ", said)) < 100


def test_a_table_larger_than_memory_is_refused(folder):
    with open("t.csv", "wb") as stream:
        stream.write(b"filename,a\nx.png,1\n")
        stream.truncate(1 << 42)
    start = time.monotonic()
    refused(lambda: files.read_csv("t.csv"), "t.csv: found a table of 4398.0 GB", "memory")
    refused(lambda: list(files.read_csv_chunks("t.csv", 100)), "t.csv: not a CSV table: found a line of more than")
    assert time.monotonic() - start < 10


def test_a_packed_table_is_not_unpacked(folder):
    Path("t.csv.gz").write_bytes(gzip.compress(b"filename,a\nx.png,1\n"))
    refused(lambda: files.read_csv("t.csv.gz"), "t.csv.gz: not a CSV table")


def test_a_cluster_of_thousands_is_refused(folder):
    row = "a.png,Raytrace,{},{},2,1,1,3,0.5\n"
    table = "filename,model,cluster,source,sigma,x,y,sigma2,theta\n"
    for cluster, source in ((";".join(["SIS/1/1/1"] * 5000), "Spherical"), ("SIS/1/1/1", ";".join(["s/1/1/2"] * 5000))):
        Path("d.csv").write_text(table + row.format(cluster, source))
        arguments = ["-i", "d.csv", "-D", "images", "-Z", "8", "-n", "1", "--device", "cpu"]
        refused(lambda arguments=arguments: datagen.main.__wrapped__(arguments), "d.csv: row 1", "5000 constituents")


def test_a_shard_cannot_grow(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"image-{k:06}.png" for k in range(1000)]
    Path("shards").mkdir()
    path = "shards/images-000000001-000001000.parquet"
    large = bytes(20_000_000)
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([large], pa.binary()))
    pq.write_table(pa.table({"filename": names, "png": once}), path, compression="zstd")
    assert Path(path).stat().st_size < 50_000
    refused(lambda: reader("shards"), "not a shard", "unpacks to")
    pq.write_table(pa.table({"filename": names, "png": once}), path, compression="none")

    def look() -> None:
        assert len(reader("shards").open(names[7]).read()) == len(large)

    assert grown(look) < 400  # and not 20 GB
    many = pa.table({"filename": ["a"] * 1_000_001, "png": [b""] * 1_000_001})
    pq.write_table(many, path)
    refused(lambda: reader("shards"), "not a shard", "1000001 rows")


# ---------------------------------------------------------------- TOML


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\n" * 200_000, "more than 1 MiB"),
        ("a." * 200_000 + "a = 1", "more than 100 parts"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("[simulator]\nsize = 0x" + "f" * 100_000, "more than 30 digits"),
        ("[simulator]\nsize = " + "9" * 100_000, "not TOML"),
    ],
)
def test_an_absurd_toml_is_refused(folder, text, said):
    Path("p.toml").write_text(text)
    start = time.process_time()
    refused(lambda: parameters.load("p.toml"), "p.toml", said)
    assert time.process_time() - start < 1


def test_an_error_line_cannot_drive_a_terminal(folder, capsys):
    @errors.cli
    def main() -> None:
        raise UserError("t.csv: found \x1b[2J\x07\u202e" + "x" * 100_000)

    assert main() == 2
    said = capsys.readouterr().err
    assert said.startswith("error: t.csv: found \\x1b[2J\\x07\\u202e") and said.count("\n") == 1
    assert said[:-1].isprintable() and len(said) < 1100


def test_paths_of_a_toml_are_taken_at_their_word(folder):
    elsewhere = folder.parent / "elsewhere"
    rows = "".join(f"{k}.png,{k}\n" for k in range(4))
    Path("r.csv").write_text("filename,sigma\n" + rows)
    toml = '[problem]\nfilename = "r.csv"\nvariables = ["sigma"]\n[dataset.training]\nfilename = "{}"\nsize = 2\n'
    Path("p.toml").write_text(toml.format(elsewhere / "a.csv"))
    assert split.main(["p.toml"]) == 0
    assert (elsewhere / "a.csv").is_file()
    Path("p.toml").write_text(toml.format("./images/../r.csv"))
    assert split.main(["p.toml"]) == 2
    assert Path("r.csv").read_text() == "filename,sigma\n" + rows


def test_modules_of_a_toml_run_and_lie_below_the_folder(folder):
    Path("mine.py").write_text("from pathlib import Path\nPath('was_run').touch()\n")
    parameters.parse({"extensions": {"modules": ["mine.py"]}})
    assert Path("was_run").exists()
    Path("../theirs.py").write_text("raise SystemExit('it was run')\n")
    with pytest.raises(UserError, match="files below the working folder"):
        parameters.parse({"extensions": {"modules": ["../theirs.py"]}})


# ---------------------------------------------------------------- DVC

GUARDED = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("guard", sys.argv[1])
guard = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guard)
guard.install()
from dvc.cli import main
for command in json.loads(sys.argv[2]):
    print("status", main(command), flush=True)
"""


def dvc(folder: Path, *commands: str) -> str:
    """Run DVC commands in one process with the project's addition, as it is in this working tree."""
    environment = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site-cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    arguments = [str(ROOT / "tools" / "droulette_dvc.py"), json.dumps([command.split() for command in commands])]
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def stranger(folder) -> Path:
    """A repository with a remote beside it that has one file's object; nothing in it is pulled yet."""
    repository = folder / "stranger"
    repository.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    (repository / ".dvc").mkdir()
    (repository / ".dvc/config").write_text(f"['remote \"r\"']\n    url = {folder}/remote\n[core]\n    remote = r\n")
    return repository


def put(data: bytes, suffix: str = "") -> str:
    """Store an object in the remote, and give its name."""
    name = hashlib.md5(data).hexdigest() + suffix
    path = Path("remote/files/md5") / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name


def output(path: str, name: str) -> str:
    return f"outs:\n- md5: {name}\n  hash: md5\n  path: {path}\n"


def test_a_listing_cannot_lead_outside(folder, stranger):
    good = put(b"good")
    for name in ("../../evil.txt", str(folder / "evil.txt"), "a/../../../evil.txt", "..\\evil.txt"):
        listing = [{"md5": good, "relpath": "a.txt"}, {"md5": good, "relpath": name}]
        (stranger / "data.dvc").write_text(output("data", put(json.dumps(listing).encode(), ".dir")))
        said = dvc(stranger, "pull")
        assert "names" in said and "expected a file below it" in said and "status 0" not in said, said
    assert not list(folder.parent.rglob("*evil.txt"))
    listing = [{"md5": good, "relpath": "a.txt"}, {"md5": good, "relpath": "b/..c.txt"}]
    (stranger / "data.dvc").write_text(output("data", put(json.dumps(listing).encode(), ".dir")))
    assert "status 0" in dvc(stranger, "pull")
    assert (stranger / "data/b/..c.txt").read_bytes() == b"good"


def test_repro_runs_the_commands_of_dvc_yaml(folder, stranger):
    (stranger / "dvc.yaml").write_text(f"stages:\n  a:\n    cmd: touch {folder}/ran\n")
    dvc(stranger, "repro")
    assert (folder / "ran").exists()


def test_pull_runs_no_command(folder, stranger):
    name = put(b"good")
    stage = f"stages:\n  a:\n    cmd: touch {folder}/ran\n    outs:\n    - a.txt\n"
    (stranger / "dvc.yaml").write_text(stage)
    lock = f"schema: '2.0'\nstages:\n  a:\n    cmd: touch {folder}/ran\n    outs:\n    - path: a.txt\n      hash: md5\n"
    (stranger / "dvc.lock").write_text(f"{lock}      md5: {name}\n      size: 4\n")
    said = dvc(stranger, "fetch", "pull", "checkout", "status")
    assert said.count("status 0") == 4, said
    assert (stranger / "a.txt").read_bytes() == b"good" and not (folder / "ran").exists()


def test_a_strangers_lock_is_hashes_alone(folder, stranger):
    (stranger / "dvc.yaml").write_text("stages:\n  a:\n    cmd: echo true>a.txt\n    outs:\n    - a.txt\n")
    lock = "schema: '2.0'\nstages:\n  a:\n    cmd: touch ran\n    outs:\n    - path: a.txt\n      hash: md5\n"
    (stranger / "dvc.lock").write_text(f"{lock}      md5: {'a' * 32}\n      size: 4\n")
    said = dvc(stranger, "pull", "repro")
    assert said.count("status 0") == 1, said
    assert (stranger / "a.txt").read_text() == "true\n" and not (stranger / "ran").exists()


def test_the_local_configuration_has_the_last_word(folder, stranger):
    name = put(b"good")
    (stranger / "a.txt.dvc").write_text(output("a.txt", name))
    with open(stranger / ".dvc/config", "a") as config:
        config.write(f"[cache]\n    dir = {folder}/elsewhere\n")
    (stranger / ".dvc/config.local").write_text(f"[cache]\n    dir = {folder}/mine\n")
    said = dvc(stranger, "config --list", "pull")
    assert f"cache.dir={folder}/elsewhere" in said and f"remote.r.url={folder}/remote" in said
    assert (folder / "mine").is_dir() and not (folder / "elsewhere").exists()


def test_dvc_writes_through_a_linked_folder(folder, stranger):
    (folder / "outside").mkdir()
    (stranger / "linked").symlink_to(folder / "outside")
    (stranger / "a.dvc").write_text(output("linked/a.txt", put(b"good")))
    dvc(stranger, "pull")
    assert (folder / "outside/a.txt").exists()
