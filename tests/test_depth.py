"""Pictures of more than 8 bits: what is written is read, by other tools too; foreign or damaged files are refused."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zlib

import numpy as np
import pytest
import small
from PIL import Image, PngImagePlugin

from droulette.errors import UserError
from droulette.pipeline import depth, png
from droulette.pipeline.depth import About, decode, encode_png, encode_tiff
from droulette.pipeline.pictures import is_observed, read_pictures

RNG = np.random.default_rng(0)
SIZE = 21
ABOUT = About(background=1.5, noise=3.0, poisson=0.05, psf_fwhm=2.5, pixel_scale=0.1, white=700.0)


def noisy(size: int = SIZE, noise: float = 3.0, light: float = 500.0) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    return light * np.exp(-(x**2 + y**2) / 30) + RNG.normal(0, noise, (size, size))


def known(noise: float = 3.0) -> About:
    return About(**(vars(ABOUT) | {"noise": noise}))


PICTURES = {
    "noise": (noisy(), known()),
    "negative": (noisy() - 1e4, known()),
    "bright": (noisy(light=1e9), known()),
    "faint": (noisy(noise=1e-9, light=1e-7), known(1e-9)),
    "far from 0": (noisy() + 1e9, known()),
    "no noise": (noisy(noise=0), known(0)),
    "black": (np.zeros((SIZE, SIZE)), known(0)),
    "one value": (np.full((SIZE, SIZE), -7.3), known(0)),
    "one pixel": (np.array([[200.25]]), known(0)),
}


def read(data: bytes, size: int = SIZE) -> tuple[np.ndarray, About | None]:
    into = np.full((size, size), np.nan, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return into, decode(data, into)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def chunks_of(data: bytes) -> dict[bytes, bytes]:
    """A PNG file's chunks, by Python's own library."""
    found, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert data[place : place + 12 + length] == chunk(name, body)
        found[name] = body
        place += 12 + length
    return found


def png_of(text: bytes | str | None, size: int = SIZE, lines: bytes | None = None, key: bytes = b"droulette") -> bytes:
    """A 16-bit PNG file of zeros with a text."""
    header = struct.pack(">IIBBBBB", size, size, 16, 0, 0, 0, 0)
    lines = bytes(size * (2 * size + 1)) if lines is None else lines
    text = text.encode() if isinstance(text, str) else text
    about = b"" if text is None else chunk(b"tEXt", key + b"\0" + text)
    data = chunk(b"IDAT", zlib.compress(lines))
    return b"".join([png.SIGNATURE, chunk(b"IHDR", header), about, data, chunk(b"IEND", b"")])


def told(**changes) -> str:
    return json.dumps({"step": 0.25, "zero": -40} | vars(ABOUT) | changes)


def step_and_zero(data: bytes) -> tuple[float, int]:
    text = json.loads(chunks_of(data)[b"tEXt"].split(b"\0")[1])
    return text["step"], text["zero"]


# ---------------------------------------------------------------- what is written is read


@pytest.mark.parametrize("name", PICTURES)
def test_png_gives_its_picture_to_half_a_step_and_what_is_known(name):
    picture, about = PICTURES[name]
    data = encode_png(picture, about)
    into, found = read(data, len(picture))
    step, _ = step_and_zero(data)
    spacing = np.spacing(np.abs(picture).max().astype(np.float32))  # of what is read as float32
    assert np.abs(into - picture).max() <= step / 2 + spacing
    assert found == about
    assert len(data) < depth.longest(len(picture))


@pytest.mark.parametrize("strategy", [zlib.Z_HUFFMAN_ONLY, zlib.Z_DEFAULT_STRATEGY])
@pytest.mark.parametrize("name", PICTURES)
def test_compressed_files_of_earlier_versions_are_read_to_equal_pixels(name, strategy):
    picture, about = PICTURES[name]
    data = encode_png(picture, about)
    found = chunks_of(data)
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 8, strategy)
    packed = packer.compress(zlib.decompress(found[b"IDAT"])) + packer.flush()
    assert len(packed) < len(found[b"IDAT"])
    parts = [chunk(key, packed if key == b"IDAT" else body) for key, body in found.items()]
    (new, known), (old, known_then) = read(data, len(picture)), read(png.SIGNATURE + b"".join(parts), len(picture))
    assert (new == old).all() and known == known_then


@pytest.mark.parametrize("name", PICTURES)
def test_steps_are_as_fine_as_the_noise_or_16_bits_allow(name):
    picture, about = PICTURES[name]
    step, zero = step_and_zero(encode_png(picture, about))
    assert np.log2(step) % 1 == 0
    coarse = (picture.max() - picture.min()) / 65_000
    wanted = max(about.noise / 8, coarse)
    assert max(wanted / 2, coarse) <= step < 2 * wanted or (wanted == 0 and step == 1)
    assert isinstance(zero, int)


@pytest.mark.parametrize("name", PICTURES)
def test_tiff_gives_its_picture_and_what_is_known(name):
    picture, about = PICTURES[name]
    data = encode_tiff(picture, about)
    into, found = read(data, len(picture))
    np.testing.assert_array_equal(into, picture.astype(np.float32))
    assert found == about
    assert len(data) < depth.longest(len(picture))


def test_random_pictures_survive_png():
    for _ in range(100):
        light, noise, offset = 10 ** RNG.uniform(-6, 9, 3)
        picture = noisy(9, noise, light) + offset * RNG.choice([-1, 1])
        data = encode_png(picture, known(noise))
        into, found = read(data, 9)
        spacing = np.spacing(np.abs(picture).max().astype(np.float32))
        assert np.abs(into - picture).max() <= step_and_zero(data)[0] / 2 + spacing
        assert found.noise == noise


def test_the_noise_below_the_background_is_kept():
    picture, about = PICTURES["noise"]
    into, _ = read(encode_png(picture, about))
    assert (into < 0).sum() == pytest.approx((picture < 0).sum(), abs=3)
    assert (into - picture).std() < about.noise / 16


def test_a_step_adds_a_thousandth_to_the_variance_of_the_noise():
    noise = RNG.normal(0, 3.9, (300, 300))
    into, _ = read(encode_png(noise, known(3.9)), 300)
    assert into.var() / noise.var() == pytest.approx(1, abs=2e-3)


def test_files_of_equal_pictures_are_equal():
    picture, about = PICTURES["noise"]
    for encode in (encode_png, encode_tiff):
        assert encode(picture, about) == encode(picture.copy(), about)


@pytest.mark.parametrize("name", PICTURES)
def test_other_tools_read_the_png_file_as_plain_16_bit_grey(name):
    picture, about = PICTURES[name]
    data = encode_png(picture, about)
    step, zero = step_and_zero(data)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode in ("I;16", "I")
        levels = np.asarray(opened).astype(np.int64)
    into, _ = read(data, len(picture))
    np.testing.assert_array_equal(((levels + zero) * step).astype(np.float32), into)
    matplotlib = pytest.importorskip("matplotlib.image")
    np.testing.assert_allclose(matplotlib.imread(io.BytesIO(data)) * 65535, levels, atol=0.01)
    lines = np.frombuffer(zlib.decompress(chunks_of(data)[b"IDAT"]), np.uint8).reshape(len(picture), -1)
    np.testing.assert_array_equal(np.ascontiguousarray(lines[:, 1:]).view(">u2"), levels)


def test_other_tools_read_the_tiff_file_as_floats():
    picture, about = PICTURES["noise"]
    with Image.open(io.BytesIO(encode_tiff(picture, about))) as opened:
        assert opened.mode == "F"
        np.testing.assert_array_equal(np.asarray(opened), picture.astype(np.float32))


def test_files_that_pillow_wrote_again_keep_picture_and_text():
    """Other filters, other compression, the text behind the picture or packed."""
    picture, about = PICTURES["noise"]
    data = encode_png(picture, about)
    expected, _ = read(data)
    for add in (PngImagePlugin.PngInfo.add_text, PngImagePlugin.PngInfo.add_itxt):
        info, again = PngImagePlugin.PngInfo(), io.BytesIO()
        with Image.open(io.BytesIO(data)) as opened:
            add(info, "droulette", opened.info["droulette"])
            opened.save(again, "PNG", pnginfo=info)
        assert png.decode16(again.getvalue(), SIZE, depth.TEXT) is None or add is PngImagePlugin.PngInfo.add_text
        into, found = read(again.getvalue())
        np.testing.assert_array_equal(into, expected)
        assert found == about


def test_start_of_a_file_tells_its_kind():
    picture, about = PICTURES["noise"]
    for encode in (encode_png, encode_tiff):
        assert depth.is_observed(encode(picture, about)[: depth.LONGEST_HEAD])
    for other in (png.encode(np.zeros((9, 9), np.uint8)), b"", b"II", b"\x89PNG", b"JFIF" * 9):
        assert not depth.is_observed(other)


def test_what_is_known_of_many_is_a_table():
    table = np.arange(12.0).reshape(2, 6)
    about = About.of(table)
    np.testing.assert_array_equal(about.table(), table)
    assert about.one(1) == About(6.0, 7.0, 8.0, 9.0, 10.0, 11.0)
    np.testing.assert_array_equal(about.rows(slice(1, 2)).table(), table[1:])


def test_grey_levels_are_shown_from_background_to_white():
    pictures = np.array([[[1.5, 701.5], [-50.0, 1e9]], [[0.0, 255.0], [1.0, 2.0]]])
    facts = np.stack([ABOUT.table()[0], [0, 1, 0, 0, 0, 255.0]])
    np.testing.assert_array_equal(depth.shown(pictures, facts), [[[0, 255], [0, 255]], [[0, 255], [1, 2]]])
    assert not depth.shown(pictures * 0, facts * 0).any()


# ---------------------------------------------------------------- foreign and damaged files


def test_a_file_that_is_cut_short_is_refused():
    picture, about = PICTURES["noise"]
    for data in (encode_png(picture, about), encode_tiff(picture, about)):
        for length in (*range(0, 60), *range(60, len(data), 37)):
            if length < len(data) - 12:
                assert read(data[:length])[1] is None, length


def test_a_png_file_with_any_byte_changed_is_refused_or_left_to_pillow():
    picture, about = PICTURES["noise"]
    data = encode_png(picture[:5, :5], about)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        assert png.decode16(bytes(changed), 5, depth.TEXT) is None, place
        read(bytes(changed), 5)  # no error


@pytest.mark.filterwarnings("ignore")  # Pillow's own, of what it does not understand
def test_a_tiff_file_with_any_byte_changed_gives_no_error():
    data = encode_tiff(PICTURES["noise"][0][:3, :3], ABOUT)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x81
        decode(bytes(changed), np.empty((3, 3), np.float32))


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no JSON",
        "[1, 2]",
        "3",
        "null",
        "{}",
        "[" * 5000,
        json.dumps({"step": 1}),
        told(step=0),
        told(step=-1),
        told(step="wide"),
        told(step=None),
        told(step=float("nan")),
        told(zero=float("inf")),
        told(zero=10**400),
        told(noise=-1),
        told(noise=float("nan")),
        told(poisson=-0.1),
        told(psf_fwhm=-2),
        told(white=[1]),
        told(step=1e300, zero=1e9),
        told() + " " * depth.MAX_TEXT,
        b"\xff\xfe",
    ],
)
def test_texts_that_do_not_tell_what_is_known_are_refused(text):
    assert read(png_of(text))[1] is None


def test_a_text_that_does_is_read():
    into, about = read(png_of(told()))
    assert about == ABOUT
    np.testing.assert_array_equal(into, -10)


OTHERS = {
    "another key": png_of(told(), key=b"comment"),
    "another size": png_of(told(), 22),
    "8 bits": png.encode(np.zeros((SIZE, SIZE), np.uint8)),
    "not a picture": b"hello" * 100,
    "empty": b"",
    "huge text": png_of(told() + " " * 30_000_000),
    "huge data": png_of(told(), lines=bytes(200_000_000)),
    "too little data": png_of(told(), lines=bytes(30)),
    "unknown filter": png_of(told(), lines=bytes([9] * (SIZE * (2 * SIZE + 1)))),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_refused(name):
    found = read(OTHERS[name])[1]
    # Pillow reads what it needs of the data, and no more.
    assert found is None or (name == "huge data" and found == ABOUT)


def test_no_more_is_unpacked_than_a_picture_has(monkeypatch):
    sizes = []
    unpacked = png.zlib.decompressobj

    class Watched:
        def __init__(self) -> None:
            self.stream = unpacked()

        def decompress(self, data: bytes, most: int) -> bytes:
            sizes.append(most)
            return self.stream.decompress(data, most)

        def __getattr__(self, name: str):
            return getattr(self.stream, name)

    monkeypatch.setattr(png.zlib, "decompressobj", Watched)
    assert png.decode16(OTHERS["huge data"], SIZE, depth.TEXT) is None
    assert sizes == [SIZE * (2 * SIZE + 1) + 1]


def test_a_packed_text_that_fills_the_memory_is_refused():
    packed = chunk(b"zTXt", b"droulette\0\0" + zlib.compress(b" " * 100_000_000))
    data = png_of(None)
    assert read(data[:33] + packed + data[33:])[1] is None


def test_tiff_files_of_other_kinds_are_refused():
    def tiff(array: np.ndarray, text: str | None = told()) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, "TIFF", tiffinfo={} if text is None else {270: text})
        return stream.getvalue()

    zeros = np.zeros((SIZE, SIZE), np.float32)
    assert read(tiff(zeros))[1] == ABOUT
    assert read(tiff(zeros, None))[1] is None
    assert read(tiff(zeros, "made by another tool"))[1] is None
    assert read(tiff(np.zeros((SIZE, SIZE, 3), np.uint8)))[1] is None
    assert read(tiff(np.zeros((SIZE, 20), np.float32)))[1] is None
    for value in (np.nan, np.inf):
        bad = zeros.copy()
        bad[3, 4] = value
        assert read(tiff(bad))[1] is None


# ---------------------------------------------------------------- where pictures are read


def test_pictures_of_a_folder_are_read_as_they_are_shown(tmp_path):
    pictures = [noisy(light=light) for light in (0.0, 300.0, 700.0)]
    for number, picture in enumerate(pictures):
        encode = encode_png if number else encode_tiff
        (tmp_path / f"{number}.png").write_bytes(encode(picture, ABOUT))
    names = ["1.png", "2.png"]
    assert is_observed(tmp_path, names[0], "t.csv")
    found = read_pictures(tmp_path, names, table="t.csv")
    expected = depth.shown(np.stack(pictures[1:]), np.repeat(ABOUT.table(), 2, axis=0))
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_training_refuses_16_bit_pictures_of_other_tools_in_one_line(tmp_path):
    parts = small.draw_parts(tmp_path, training=8, validation=4, testing=4)
    for path in (tmp_path / "images").iterdir():
        with Image.open(path) as picture:
            levels = np.asarray(picture).astype(np.uint16) * 200
        Image.fromarray(levels).save(path)
    with pytest.raises(UserError) as caught:
        small.train(parts["training"], parts["validation"], tmp_path / "images", tmp_path / "model")
    line = str(caught.value)
    assert "\n" not in line and "training.csv: row 1" in line and "found" in line and "expected" in line
    assert not (tmp_path / "model").exists()


def test_16_bit_pictures_of_other_tools_among_8_bit_ones_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(png.encode(np.zeros((SIZE, SIZE), np.uint8)))
    Image.fromarray(np.full((SIZE, SIZE), 1000, np.uint16)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"t\.csv: row 2: found .*b\.png of mode I;16, expected 8-bit grey or colour"):
        read_pictures(tmp_path, ["a.png", "b.png"], table="t.csv")


def test_one_8_bit_picture_among_others_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(noisy(), ABOUT))
    (tmp_path / "b.png").write_bytes(png.encode(np.zeros((SIZE, SIZE), np.uint8)))
    with pytest.raises(UserError, match=r"t\.csv: row 2: found b\.png"):
        read_pictures(tmp_path, ["a.png", "b.png"], table="t.csv")
    with pytest.raises(UserError, match=r"t\.csv: row 2: found .*a\.png"):
        read_pictures(tmp_path, ["b.png", "a.png"], table="t.csv")
