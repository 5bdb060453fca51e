"""How many pictures are drawn together."""

from __future__ import annotations

PICTURES_AT_ONCE = 32  # by a thread of the processor: more leave other threads idle at the end
MOST_OBSERVED = 16  # pictures that an instrument takes: more leave other threads idle at the end
PIXELS_OBSERVED = 1 << 20  # of these, float64
PIXELS_AT_ONCE = 1 << 22
PICTURES_ON_A_CARD = 4096
BYTES_ON_A_CARD = 192 << 20  # 2,048 pictures of 256² on a canvas of 512²


def pictures_at_once(size: int, canvas: int, device: str) -> int:
    """Pictures to draw in one call, of size × size pixels, cropped from canvas × canvas."""
    if device == "cpu":
        return max(1, min(PICTURES_AT_ONCE, PIXELS_AT_ONCE // size**2))
    tiles = canvas**2 // 8  # bytes of the lists of a canvas's tiles that may hold light
    return max(1, min(PICTURES_ON_A_CARD, BYTES_ON_A_CARD // (size**2 + tiles)))


def observed_at_once(size: int) -> int:
    """Pictures of size × size pixels that an instrument takes in one call, by a thread of the processor."""
    return max(1, min(MOST_OBSERVED, PIXELS_OBSERVED // size**2))


def slices(count: int, at_once: int) -> list[slice]:
    """The rows 0…count − 1 in parts of at most `at_once`."""
    return [slice(start, min(start + at_once, count)) for start in range(0, count, at_once)]
