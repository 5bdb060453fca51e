"""Files of our own encoder are decoded without Pillow, to the same pictures; any other file is left to Pillow."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from droulette.errors import UserError
from droulette.pipeline import pictures, png
from droulette.pipeline.pictures import read_pictures

RNG = np.random.default_rng(0)
PICTURES = {
    "noise": RNG.integers(0, 256, (37, 37)).astype(np.uint8),
    "black": np.zeros((37, 37), np.uint8),
    "white": np.full((37, 37), 255, np.uint8),
    "one pixel": np.array([[200]], np.uint8),
    "slope": np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8),
}


def unpacked(data: bytes, size: int) -> np.ndarray | None:
    differences = np.empty((1, size, size), np.uint8)
    return png.add_up(differences)[0] if png.unpack(data, differences[0]) else None


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def file_of(lines: bytes, width: int, height: int, more: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines) + more), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("name", PICTURES)
def test_a_file_of_the_encoder_gives_its_picture(name):
    picture = PICTURES[name]
    data = png.encode(picture)
    np.testing.assert_array_equal(unpacked(data, len(picture)), picture)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), picture)
    assert len(data) < png.longest(len(picture))


def test_a_file_with_any_byte_changed_is_left_to_pillow():
    data = png.encode(PICTURES["slope"][:16, :16])
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        assert unpacked(bytes(changed), 16) is None, place


def test_other_files_are_left_to_pillow():
    data = png.encode(PICTURES["noise"])
    pillow = io.BytesIO()
    Image.fromarray(PICTURES["noise"]).save(pillow, "PNG")
    lines = b"".join(b"\2" + bytes(8) for _ in range(8))
    assert unpacked(file_of(lines, 8, 8), 8) is not None
    others = {
        "Pillow's": (pillow.getvalue(), 37),
        "another size": (data, 36),
        "cut": (data[:-1], 37),
        "longer": (data + b"\0", 37),
        "empty": (b"", 37),
        "another filter": (file_of(b"\1" + lines[1:], 8, 8), 8),
        "too few lines": (file_of(lines[:-9], 8, 8), 8),
        "too many lines": (file_of(lines + lines, 8, 8), 8),
        "something after the stream": (file_of(lines, 8, 8, b"more"), 8),
        "no stream": (file_of(lines, 8, 8)[:41] + bytes(4) + file_of(lines, 8, 8)[45:], 8),
    }
    assert [name for name, (content, size) in others.items() if unpacked(content, size) is not None] == []


def test_a_folder_with_files_of_both_kinds_is_read_in_order(tmp_path, monkeypatch):
    """Pillow is asked for its own files alone."""
    made = RNG.integers(0, 256, (70, 8, 8)).astype(np.uint8)
    names = [f"{k}.png" for k in range(len(made))]
    for k, (name, picture) in enumerate(zip(names, made, strict=True)):
        if k % 5:
            (tmp_path / name).write_bytes(png.encode(picture))
        else:
            Image.fromarray(picture).save(tmp_path / name)
    monkeypatch.setattr(pictures, "AT_ONCE", 48)  # so that the last batch is not full
    asked, decode = [], pictures._decode
    monkeypatch.setattr(pictures, "_decode", lambda *args: asked.append(args[2]) or decode(*args))
    np.testing.assert_array_equal(read_pictures(tmp_path, names, table="t.csv", size=8, workers=3), made)
    assert sorted(asked) == sorted(names[::5])


def test_a_damaged_file_of_the_encoder_is_an_error_of_its_row(tmp_path):
    (tmp_path / "a.png").write_bytes(png.encode(PICTURES["noise"]))
    (tmp_path / "b.png").write_bytes(png.encode(PICTURES["noise"])[:-40])
    with pytest.raises(UserError, match=r"t\.csv: row 2: found b\.png damaged"):
        read_pictures(tmp_path, ["a.png", "b.png", "c.png"], table="t.csv")
