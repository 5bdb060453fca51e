"""8-bit grey PNG files, fast: Pillow spends nine tenths of its time on choosing a filter for each line."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
from zlib_ng import zlib_ng as zlib

DATA = 33  # where the IDAT chunk starts
UP = 2  # the filter of each line: the difference to the line above, mostly 0


def encode(picture: np.ndarray) -> bytes:
    """The PNG file of a picture, (H, W) uint8."""
    return encode_all(picture[None])[0]


def encode_all(pictures: np.ndarray) -> list[bytes]:
    """The PNG files of pictures, (B, H, W) uint8: a third less work for Python than one by one.

    Runs of equal bytes alone are compressed (zlib's Z_RLE): of a mostly black picture that leaves as much as zlib's
    level 6 does, and whatever library does it, the bytes are the same.
    """
    count, height, width = pictures.shape
    lines = np.empty((count, height, width + 1), np.uint8)
    lines[:, :, 0] = UP
    lines[:, 0, 1:] = pictures[:, 0]
    np.subtract(pictures[:, 1:], pictures[:, :-1], out=lines[:, 1:, 1:])
    return [b"".join([_head(height, width), _chunk(b"IDAT", _compress(picture)), END]) for picture in lines]


def _compress(lines: np.ndarray) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, 15, 8, zlib.Z_RLE)
    return compressor.compress(lines) + compressor.flush()


def unpack(png: bytes, differences: np.ndarray) -> bool:
    """Write each line's difference to the line above, as a file of `encode` holds it. False: it is another file.

    differences: (N, N) uint8, from which `add_up` makes the picture. A file of `encode` has one IDAT chunk, the
    filter UP on each line, right check sums, and nothing after its end.
    """
    size = len(differences)
    if png[:DATA] != _head(size, size) or png[-len(END) :] != END:
        return False
    (length,) = struct.unpack_from(">I", png, DATA)
    if len(png) != DATA + 12 + length + len(END) or png[DATA : DATA + 12 + length] != _chunk(b"IDAT", _data(png)):
        return False
    wanted = size * (size + 1)
    stream = zlib.decompressobj()
    try:
        lines = stream.decompress(_data(png), wanted + 1)  # no more than that, whatever is packed
    except zlib.error:
        return False
    if len(lines) != wanted or not stream.eof or stream.unused_data:
        return False
    lines = np.frombuffer(lines, np.uint8).reshape(size, size + 1)
    if (lines[:, 0] != UP).any():
        return False
    differences[:] = lines[:, 1:]
    return True


def add_up(differences: np.ndarray) -> np.ndarray:
    """(n, N, N) uint8, differences to the line above → the pictures. The argument is used up.

    Sums of 2 lines, of 4, of 8, …: `np.add.accumulate` takes three times as long.
    """
    sums, other = differences, np.empty_like(differences)
    count = 1
    while count < sums.shape[1]:
        other[:, :count] = sums[:, :count]
        np.add(sums[:, count:], sums[:, :-count], out=other[:, count:])
        sums, other = other, sums
        count *= 2
    return sums


def encode16(lines: np.ndarray, key: str, text: str) -> bytes:
    """The PNG file of a picture of 16 bits, with a text chunk.

    lines: (H, 1 + 2 W) uint8, the higher byte of each pixel first; the first column is 0, no filter.

    Not compressed: noise packs to no less than half, and to pack and unpack it took as long as to draw the picture.
    """
    height, width = len(lines), lines.shape[1] // 2
    compressor = zlib.compressobj(0)
    data = compressor.compress(lines) + compressor.flush()
    about = key.encode("latin-1") + b"\0" + text.encode("latin-1")
    return b"".join([_head(height, width, 16), *_pieces(b"tEXt", about), *_pieces(b"IDAT", data), END])


def decode16(data: bytes, size: int, key: str) -> tuple[np.ndarray, str] | None:
    """(N, N) big-endian uint16 and the text, of a file of `encode16` of this size; None: it is another file."""
    start = _head(size, size, 16)
    if data[: len(start)] != start or data[-len(END) :] != END:
        return None
    (length,) = struct.unpack_from(">I", data, len(start))
    place = len(start) + 12 + length
    about = data[len(start) + 8 : place - 4]
    if length > 1 << 16 or data[len(start) : place] != _chunk(b"tEXt", about):
        return None
    mark = key.encode("latin-1") + b"\0"
    if not about.startswith(mark) or len(data) < place + 12 + len(END):
        return None
    (length,) = struct.unpack_from(">I", data, place)
    packed = data[place + 8 : place + 8 + length]
    if len(data) != place + 12 + length + len(END) or data[place : place + 12 + length] != _chunk(b"IDAT", packed):
        return None
    wanted = size * (2 * size + 1)
    stream = zlib.decompressobj()
    try:
        lines = stream.decompress(packed, wanted + 1)
    except zlib.error:
        return None
    if len(lines) != wanted or not stream.eof or stream.unused_data:
        return None
    lines = np.frombuffer(lines, np.uint8).reshape(size, 2 * size + 1)
    if lines[:, 0].any():
        return None
    return np.ascontiguousarray(lines[:, 1:]).view(">u2"), about[len(mark) :].decode("latin-1")


def is_16_bit(start: bytes) -> bool:
    """Whether a file that begins so is a PNG file of 16-bit grey."""
    return start[:8] == SIGNATURE and start[24:26] == bytes([16, 0])


def longest(size: int) -> int:
    """More bytes than `encode` makes of any picture of size²: what cannot be packed takes 5 bytes more a block."""
    return size * (size + 1) * 9 // 8 + 1000


@cache
def _head(height: int, width: int, bits: int = 8) -> bytes:
    about = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", about)


def _data(png: bytes) -> bytes:
    return png[DATA + 8 : -len(END) - 4]


def _chunk(name: bytes, data: bytes) -> bytes:
    return b"".join(_pieces(name, data))


def _pieces(name: bytes, data: bytes) -> list[bytes]:
    check = zlib.crc32(data, zlib.crc32(name))
    return [len(data).to_bytes(4, "big"), name, data, check.to_bytes(4, "big")]


SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = _chunk(b"IEND", b"")
