"""8-bit grey PNG files, fast: Pillow spends nine tenths of its time on choosing a filter for each line."""

from __future__ import annotations

import struct

import numpy as np

try:
    from zlib_ng import zlib_ng as zlib
except ImportError:  # the same bytes in twice the time
    import zlib

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
    head = SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return [b"".join([head, _chunk(b"IDAT", _compress(picture)), END]) for picture in lines]


def _compress(lines: np.ndarray) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, 15, 8, zlib.Z_RLE)
    return compressor.compress(lines) + compressor.flush()


def _chunk(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(data, zlib.crc32(name))
    return b"".join([len(data).to_bytes(4, "big"), name, data, check.to_bytes(4, "big")])


SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = _chunk(b"IEND", b"")
