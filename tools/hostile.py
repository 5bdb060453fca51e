"""What strangers' files may hold, as hypothesis strategies; and what each reader of files must do with them.

A check reads one input in a folder of its own, in this process, and returns "taken" or "refused". It raises
`AssertionError` where a reader ends in anything else than a result or one printable line that names the place, takes
longer than TIME_LIMIT, starts a program, or opens a file outside the folder in which it was told to work.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import struct
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from PIL import Image

from droulette import datagen, files, parameters, split
from droulette.errors import UserError

ROOT = Path(__file__).parents[1]
TIME_LIMIT = 60  # s, on a machine that does other things too
PARAMS = (ROOT / "params.toml").read_bytes()


# ---------------------------------------------------------------- watching


class Watch:
    """Notes what this process opens for writing, renames, removes or starts outside a folder, and what it reads there.

    An audit hook stays for the life of the process, so there is one.
    """

    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    CHANGING = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.truncate")
    STARTING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "pickle.find_class")

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] = ()
        self.forbidden = self.nameless = ""  # the first is not even to be read
        self.found: list[str] = []
        self.on = True
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple) -> None:
        if not self.allowed:
            return
        if event == "open" and isinstance(args[0], str | bytes):
            path, flags = os.fsdecode(args[0]), args[2] or 0
            real = os.path.realpath(path) if "\0" not in path else path
            if flags & self.WRITING and not real.startswith(self.allowed) and real != self.nameless:
                self.found.append(f"opened {path!r} for writing")
            if real.startswith(self.forbidden):
                self.found.append(f"opened {path!r}")
        elif event in self.CHANGING and isinstance(args[0], str | bytes):
            place = os.path.realpath(os.path.dirname(os.fsdecode(args[0])) or ".")
            if not f"{place}/".startswith(self.allowed):
                self.found.append(f"{event} {args[0]!r}")
        elif event in self.STARTING:
            self.found.append(f"{event} {args[:2]!r}"[:200])

    @contextlib.contextmanager
    def inside(self, folder: Path, forbidden: Path) -> Iterator[None]:
        temporary = str(Path(tempfile.gettempdir()).resolve())
        self.found, self.forbidden = [], f"{forbidden.resolve()}/"
        self.allowed = (f"{folder.resolve()}/", f"{temporary}/tmp", "/dev/null")
        self.nameless = temporary  # where files without a name are made
        try:
            yield
        finally:
            self.allowed = ()
        assert not (self.found and self.on), self.found

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        self.on = False
        yield
        self.on = True


WATCH = Watch()


class Folder:
    """Where the checks work: `work`, this process's folder; and `secret` beside it, which nothing may read."""

    def __init__(self, path: Path) -> None:
        self.work, self.secret = path / "work", path / "secret"
        self.work.mkdir()
        self.secret.mkdir()
        picture().save(self.secret / "image-000001.png")
        (self.secret / "t.csv").write_text("filename,a\nimage-000001.png,1\n")
        self.images = self.work / "images"
        self.images.mkdir()
        for k in (1, 2, 3):
            picture(k).save(self.images / f"image-{k:06}.png")
        (self.images / "outside").symlink_to(self.secret)
        os.chdir(self.work)

    def check(self, read: Callable[[], object], *names: str) -> str:
        """Run a reader: "taken", or "refused" with one line that holds one of the names."""
        try:
            with WATCH.inside(self.work, self.secret), time_limit(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
        except UserError as error:
            assert any(name in str(error) for name in names), f"no place is named: {error}"
            return "refused"
        return "taken"

    def command(self, main: Callable[[list[str]], int], arguments: list[str], *names: str) -> str:
        """The same of a command: status 0, or 2 and one line on stderr."""
        errors = io.StringIO()
        quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors)
        with WATCH.inside(self.work, self.secret), time_limit(), warnings.catch_warnings(), quiet[0], quiet[1]:
            warnings.simplefilter("ignore")
            status = main(arguments)
        said = errors.getvalue()
        if status == 0:
            return "taken"
        assert status == 2, (status, said)
        assert said.startswith("error: ") and said.count("\n") == 1 and said[:-1].isprintable(), said
        assert any(name in said for name in names), f"no place is named: {said}"
        return "refused"


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    def late(*_: object) -> None:
        raise AssertionError(f"not done after {TIME_LIMIT} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(TIME_LIMIT if WATCH.on else 0)
    try:
        yield
    finally:
        signal.alarm(0)


# ---------------------------------------------------------------- strategies


def changed(data: bytes) -> st.SearchStrategy[bytes]:
    """Bytes cut, doubled, overwritten and added to."""
    odd = st.sampled_from(
        [b"\0", b"\xff", b'"', b"\n", b"\r", b",", b"=", b"[", b"]", b"\xef\xbb\xbf", b"1e999", b"nan"]
    )
    some = odd | st.binary(min_size=1, max_size=8) | st.integers(0, 2**64 - 1).map(lambda n: n.to_bytes(8, "little"))
    place = st.floats(0, 1)

    def apply(changes: list) -> bytes:
        result = data
        for kind, where, length, new in changes:
            start = int(where * len(result))
            stop = start + (int(length * 16) if length < 0.9 else int(length * len(result)))
            part = result[start:stop]
            result = result[:start] + {"cut": b"", "double": part * 2, "put": new}.get(kind, new + part) + result[stop:]
            if kind == "end":
                result = result[:start]
        return result[: 1 << 20]

    kinds = st.sampled_from(["cut", "double", "put", "add", "end"])
    return st.lists(st.tuples(kinds, place, place, some), min_size=1, max_size=4).map(apply)


NUMBERS = (
    st.sampled_from(
        ["0", "-0", "-1", "1e308", "1e400", "-1e400", "nan", "inf", "1" * 400, "5e-324", "0x10", "1_0", "9" * 400, "٣"]
    )
    | st.floats(width=64).map(repr)
    | st.integers(-(10**30), 10**30).map(str)
)
TEXTS = st.sampled_from(
    [
        "",
        " ",
        "NA",
        "None",
        "true",
        "é",
        "\0",
        "\x1b[31m",
        '"',
        "'",
        "a,b",
        "a\nb",
        "=1+1",
        "x" * 5000,
        "\udcff",
        "alpha[99][2]",
        "beta[0][1]",
        "alpha[1][0]",
        "filename",
        "std:sigma",
    ]
) | st.text(max_size=8)
NAMES = st.sampled_from(
    [
        "image-000001.png", "image-000002.png", "IMAGE-000001.PNG", "image-9.png", ".png", "a/b.png", "..", ".", "/",
        "../secret/image-000001.png", "outside/image-000001.png", "/etc/passwd", "/dev/zero", "images/../../x.png",
        "C:\\x.png", "..\\x.png", "a\0.png", "n" * 300 + ".png", "~/x.png", "$HOME.png", "|ls.png", "file:///etc/passwd",
    ]
)  # fmt: skip
LENSES = st.sampled_from(
    [
        "SIS/1/2/3;SIE/1/1/3/0.5/20", "SIS", "SIS/1/2", "SIS/nan/0/1", "SIS/1e300/0/1", "SIE/0/0/1/0/0", ";", "/",
        "SIS/0/0/1;", "SIS/0/0/0", "PM/0/0/1", "X/1/1/1", "SIS/1/1/1;" * 3000 + "SIS/1/1/1", "SIS/0/0/1e-300",
        "SIS/0/0/1_0",
    ]
)  # fmt: skip
SOURCES = st.sampled_from(
    [
        "s/1/1/2/2/0/1/1", "s/1/1/2", "s/1e300/0/2/2/0/1/1;t/0/0/1/1/0/1/1", "SersicSphere/0/0/1/1/0/0.1/1", "Image",
        "Triangle", "SersicSphere", "SersicEllipsoid", "Ellipsoid", "s", "s/" * 3000, "Image/0/0/1/1/0/1/1",
        "SersicSphere/0/0/1/1/0/1/1",
    ]
)  # fmt: skip
CELLS = NUMBERS | TEXTS | NAMES | LENSES | SOURCES


def cells(frame: pd.DataFrame) -> st.SearchStrategy[bytes]:
    """The table with cells, columns and headings changed, as CSV; or with its bytes changed."""
    rows = [list(map(str, frame.columns)), *([str(x) for x in row] for row in frame.itertuples(index=False))]
    whole = frame.to_csv(index=False, lineterminator="\n").encode()
    place = st.integers(0, 10**6)

    def apply(changes: list) -> bytes:
        table = [list(row) for row in rows]
        for kind, row, column, text in changes:
            i, j = row % len(table), column % max(len(table[0]), 1)
            if kind == "cell" and j < len(table[i]):
                table[max(i, 1) if len(table) > 1 else i][j : j + 1] = [text]
            elif kind == "head" and table[0]:
                table[0][j] = text
            elif kind == "drop":
                for line in table:
                    del line[j : j + 1]
            elif kind == "twice":
                for line in table:
                    line.append(line[j] if j < len(line) else "")
            elif kind == "more":
                table[i].append(text)
            elif kind == "less":
                del table[i][j:]
            elif kind == "column":
                for k, line in enumerate(table):
                    line.append(text if k else ["cluster", "config", "image", "sampled", "model", "lens"][row % 6])
            elif kind == "row":
                table.append(list(table[i]))
        lines = (",".join(_quoted(cell) for cell in line) for line in table)
        return "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n"

    kinds = st.sampled_from(["cell"] * 6 + ["head", "drop", "twice", "more", "less", "column", "row"])
    return st.lists(st.tuples(kinds, place, place, CELLS), min_size=1, max_size=4).map(apply) | changed(whole)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\n\r') else cell


VALUES = st.recursive(
    st.none().map(lambda _: "''")
    | st.booleans().map(lambda b: "true" if b else "false")
    | st.integers(-(10**40), 10**40).map(str)
    | st.sampled_from(["nan", "inf", "-inf", "1e400", "0x" + "f" * 400, "1" * 5000, "1979-05-27", "07:32:00", "1.0.0"])
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | (TEXTS | NAMES | SOURCES | LENSES).map(lambda text: json.dumps(text, ensure_ascii=True).replace("\\ud", "\\u0")),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | inner.map(lambda item: f"{{a = {item}}}")
    ),
    max_leaves=6,
)


def tomls() -> st.SearchStrategy[bytes]:
    """params.toml with values, keys and tables changed, or with its bytes changed."""
    lines = PARAMS.decode().splitlines()
    keys = [k for k, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    name = st.sampled_from(["size", "mode", "einstein-min", "count", "phi", "filename", "", "é", "a.b", "x" * 3000])

    def apply(changes: list) -> bytes:
        table = list(lines)
        for kind, place, value, key in changes:
            k = keys[place % len(keys)]
            if kind == "value":
                table[k] = f"{table[k].split(' = ')[0] or key} = {value}"
            elif kind == "key":
                table[k] = f"{json.dumps(key)} = {value}"
            elif kind == "drop":
                table[k] = ""
            elif kind == "add":
                table[k] += f"\n{json.dumps(key)} = {value}"
            else:
                table[k] += f"\n[{key or 'a'}]"
        return "\n".join(table).encode("utf-8", "surrogatepass")

    kinds = st.sampled_from(["value"] * 5 + ["key", "drop", "add", "table"])
    changes = st.lists(st.tuples(kinds, st.integers(0, 10**6), VALUES, name), min_size=1, max_size=4)
    return changes.map(apply) | changed(PARAMS) | st.binary(max_size=200)


# ---------------------------------------------------------------- good files to begin with


def picture(seed: int = 0, side: int = 12) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8))


def dataset() -> pd.DataFrame:
    from droulette.pipeline.draw import draw_table

    tables = {"simulator": {"size": 3}, "lens": {"mode": "SIE", "einstein": 3}, "source": {"mode": "SersicEllipsoid"}}
    return draw_table(parameters.parse(tables))


def roulette() -> pd.DataFrame:
    from droulette.pipeline.generate import Drawing, generate_chunks

    (table,) = generate_chunks([dataset()], Drawing(imagesize=8, nterms=1), None, workers=1)
    return table


def targets() -> pd.DataFrame:
    names = [f"image-{k:06}.png" for k in (1, 2, 3)]
    return pd.DataFrame(
        {"filename": names, "sigma": [1.0, 2.5, 3.0], "xiX": [0.5, -1.0, 2.0], "alpha[1][0]": [1, 2, 3]}
    )


def chunk(name: bytes, data: bytes, length: int | None = None) -> bytes:
    length = len(data) if length is None else length
    return struct.pack(">I", length & 0xFFFFFFFF) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pngs() -> st.SearchStrategy[bytes]:
    """A PNG with its bytes changed, or put together from odd chunks."""
    stream = io.BytesIO()
    picture().save(stream, format="PNG")
    sizes = st.sampled_from([0, 1, 12, 13, 255, 20_000, 2**31 - 1, 2**32 - 1])
    header = st.builds(
        lambda w, h, depth, kind, more: struct.pack(">IIBBBBB", w, h, depth, kind, *more),
        sizes | st.just(12), sizes | st.just(12), st.sampled_from([1, 2, 4, 8, 16, 7, 255]),
        st.sampled_from([0, 2, 3, 4, 6, 1, 255]), st.sampled_from([(0, 0, 0), (0, 0, 1), (1, 1, 1)]),
    )  # fmt: skip
    names = st.sampled_from(
        [b"tRNS", b"PLTE", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"acTL",
         b"fcTL", b"fdAT", b"bKGD", b"IEND", b"IHDR", b"abcd", b"CgBI"]
    )  # fmt: skip
    bomb = zlib.compress(bytes(5_000_000), 9)
    data = (
        st.binary(max_size=30)
        | st.just(b"a\0\0" + bomb)
        | st.just(b"a\0\0\0\0\0" + bomb)
        | st.just(struct.pack(">II", 5, 0))
    )
    lengths = st.none() | st.sampled_from([0, 1, 2**31 - 1, 2**32 - 1])
    odd = st.builds(chunk, names, data, st.none() | lengths)
    pixels = st.sampled_from(
        [zlib.compress(bytes(13 * 12)), zlib.compress(bytes(5_000_000)), b"", b"\x78\x9c", bytes(50)]
    )

    def build(head: bytes, before: list[bytes], body: bytes, after: list[bytes]) -> bytes:
        parts = [chunk(b"IHDR", head), *before, chunk(b"IDAT", body), *after, chunk(b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

    built = st.builds(build, header, st.lists(odd, max_size=3), pixels, st.lists(odd, max_size=2))
    return built | changed(stream.getvalue())


def models(path: Path) -> st.SearchStrategy[bytes]:
    """A small model's file with its bytes, its header, its metadata or its tensors' shapes changed."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, body = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    odd = st.recursive(
        st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats() | TEXTS
        | st.sampled_from(["polar", "resnet18", "os.system", "mse", "radial", "standard", 2**40, -1, 0, 10**5]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=4,
    )  # fmt: skip
    key, tensor = (
        st.sampled_from(sorted(json.loads(header["__metadata__"]["droulette"]))),
        st.sampled_from(sorted(header)),
    )
    part = st.sampled_from(["dtype", "shape", "data_offsets"])
    kinds = st.sampled_from(["about", "about", "tensor", "drop", "name", "length"])

    def apply(changes: list) -> bytes:
        table, size = json.loads(json.dumps(header)), None
        for kind, about_key, name, field, value in changes:
            if kind == "about" and isinstance(table.get("__metadata__"), dict):
                about = json.loads(table["__metadata__"]["droulette"])
                about[about_key] = value
                table["__metadata__"] = {"droulette": json.dumps(about)}
            elif kind == "tensor" and isinstance(table.get(name), dict) and name != "__metadata__":
                table[name][field] = value
            elif kind == "drop":
                table.pop(name, None)
            elif kind == "name" and name in table and name != "__metadata__":
                table[f"{name}{value}"[:200]] = table.pop(name)
            elif kind == "length" and isinstance(value, int):
                size = value % 2**64
        text = json.dumps(table).encode()
        return (len(text) if size is None else size).to_bytes(8, "little") + text + body

    changes = st.lists(st.tuples(kinds, key, tensor, part, odd), min_size=1, max_size=3)
    return changes.map(apply) | changed(whole)


def shards() -> st.SearchStrategy[bytes]:
    return changed(whole_shard())


def whole_shard() -> bytes:
    stream, png = io.BytesIO(), io.BytesIO()
    picture().save(png, format="PNG")
    names = [f"image-{k:06}.png" for k in (1, 2, 3)]
    pd.DataFrame({"filename": names, "png": [png.getvalue()] * 3}).to_parquet(stream)
    return stream.getvalue()


# ---------------------------------------------------------------- the checks


def make_model(path: Path) -> None:
    import torch

    from droulette.learning import model_file
    from droulette.learning.backbones import build
    from droulette.learning.scaling import SCALINGS

    columns = ("sigma", "xiX", "xiY")
    scaling = SCALINGS["radial"].fit(np.random.default_rng(0).normal(size=(20, 3)), columns)
    network = build("polar_tiny", columns, input_size=16).eval()
    model_file.save(model_file.Model(network, "polar_tiny", columns, scaling, "mse", 16, 1, torch.device("cpu")), path)


def checks(folder: Folder) -> dict[str, tuple[st.SearchStrategy[bytes], Callable[[bytes], str]]]:
    """What is read, by name: the strategy of its bytes, and the check of them."""
    make_model(folder.work / "m.safetensors")
    (folder.work / "shards").mkdir()

    def written(name: str, data: bytes) -> str:
        Path(name).write_bytes(data)
        return name

    def toml(data: bytes) -> str:
        written("p.toml", data)
        # A value of the file may name another: those that are missing are named too.
        return folder.check(lambda: parameters.load("p.toml"), "p.toml")

    def split_toml(data: bytes) -> str:
        written("p.toml", data)
        return folder.check(lambda: parameters.load("p.toml", {"settings.device": "cpu"}), "p.toml", "command line")

    def drawn(data: bytes) -> str:
        written("d.csv", data)
        shutil.rmtree("drawn", ignore_errors=True)
        options = ["-Z", "8", "-n", "1", "-C", "--workers", "1", "--device", "cpu", "-D", "drawn", "-o", "r.csv"]
        return folder.command(datagen.main, ["-i", "d.csv", *options], "d.csv", "column", "picture")

    def shared_out(data: bytes) -> str:
        written("r.csv", data)
        Path("s.toml").write_text(
            '[problem]\nfilename = "r.csv"\nvariables = ["sigma", "xiX"]\nnterms = 1\n[dataset.training]\n'
            'filename = "a.csv"\nsize = 2\n[dataset.testing]\nfilename = "b.csv"\n'
        )
        return folder.command(split.main, ["s.toml"], "r.csv")

    def learnt(data: bytes) -> str:
        from droulette.learning.scaling import SCALINGS
        from droulette.learning.symmetry import Laws
        from droulette.pipeline.pictures import read_pictures
        from droulette.pipeline.targets import read_targets

        written("t.csv", data)

        def read() -> None:
            table = read_targets("t.csv")
            columns = list(table.columns[1:])
            Laws.of(columns)
            SCALINGS["radial"].fit(table[columns].to_numpy(), columns)
            read_pictures("images", list(table["filename"]), table="t.csv", workers=1)

        return folder.check(read, "t.csv")

    def resimulated(data: bytes) -> str:
        from droulette.pipeline.resimulate import resimulate
        from droulette.pipeline.scenes import normalise

        written("r.csv", data)

        def read() -> None:
            table = files.read_csv("r.csv", required=["filename"])
            resimulate(normalise(table, "r.csv", default_lens="SIS"), 8, name="r.csv", workers=1)

        return folder.check(read, "r.csv", "amplitude columns")

    def lenses(data: bytes) -> str:
        from droulette.pipeline.scenes import einstein_radii

        written("d.csv", data)
        return folder.check(lambda: einstein_radii(files.read_csv("d.csv", ["filename"]), "d.csv"), "d.csv")

    def seen(data: bytes) -> str:
        from droulette.pipeline.pictures import read_pictures

        written("images/image-000002.png", data)
        names = ["image-000001.png", "image-000002.png"]
        try:
            return folder.check(lambda: read_pictures("images", names, table="t.csv", workers=1), "t.csv: row 2")
        finally:
            picture(2).save("images/image-000002.png")

    def own(data: bytes) -> str:
        from droulette.pipeline.user_pictures import read

        written("own.png", data)
        return folder.check(lambda: read("own.png"), "own.png")

    def model(data: bytes) -> str:
        from droulette.learning import model_file

        written("other.safetensors", data)
        return folder.check(lambda: model_file.load("other.safetensors"), "other.safetensors")

    def shard(data: bytes) -> str:
        from droulette.pipeline.pictures import read_pictures

        written("shards/images-000000001-000000003.parquet", data)
        names = ["image-000001.png", "image-000003.png"]
        return folder.check(lambda: read_pictures("shards", names, table="t.csv", workers=1), "images-", "t.csv")

    found = {
        "TOML: parameters": (tomls(), toml),
        "TOML: parameters under options": (tomls(), split_toml),
        "CSV: dataset, drawn": (cells(dataset()), drawn),
        "CSV: dataset, its lenses": (cells(dataset()), lenses),
        "CSV: roulette, split": (cells(roulette()), shared_out),
        "CSV: roulette, resimulated": (cells(roulette()), resimulated),
        "CSV: targets and predictions": (cells(targets()), learnt),
        "picture: of a dataset": (pngs(), seen),
        "picture: a user's own": (pngs(), own),
        "model": (models(folder.work / "m.safetensors"), model),
        "Parquet shard": (shards(), shard),
    }
    for name, whole in {
        "TOML: parameters": PARAMS,
        "CSV: dataset, drawn": dataset().to_csv(index=False).encode(),
        "CSV: roulette, split": roulette().to_csv(index=False).encode(),
        "CSV: roulette, resimulated": roulette().to_csv(index=False).encode(),
        "CSV: targets and predictions": targets().to_csv(index=False).encode(),
        "picture: of a dataset": Path("images/image-000003.png").read_bytes(),
        "model": Path("m.safetensors").read_bytes(),
        "Parquet shard": whole_shard(),
    }.items():
        with WATCH.off():  # formulas may be compiled and kept in the user's cache
            assert found[name][1](whole) == "taken", name
    return found
