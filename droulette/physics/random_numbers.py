"""Random numbers by counter: number k of row i depends on the seed, i and k alone, on every device and in any order.

Philox2x32-10 of Salmon et al. 2011 (SC'11, doi:10.1145/2063384.2063405): multiplications and exclusive ors of 32-bit
numbers, held in int64. Formulas of arrays, for every engine (see `engines/formulas.py`).
"""

from __future__ import annotations

from droulette.physics.arrays import Array
from droulette.physics.elementary import cosine_and_sine, from_bits, log, sqrt

MULTIPLIER = 0xD256D193
WEYL = 0x9E3779B9
ROUNDS = 10
LOW = 0xFFFFFFFF
LOW_24 = 0xFFFFFF
ONE_BITS = 0x3FF0000000000000  # of 1.0


def philox(low: Array, high: Array, key: Array) -> tuple[Array, Array]:
    """Two random numbers of 32 bits from a counter of two, and a key. All int64."""
    for _ in range(ROUNDS):
        product = (low & LOW) * MULTIPLIER
        low, high = (product >> 32) ^ key ^ high, product & LOW
        key = (key + WEYL) & LOW
    return low & LOW, high


def uniform(number: Array) -> Array:
    """A number of 32 bits → the middle of its 2⁻³² of (0, 1)."""
    return (from_bits((number << 20) | ONE_BITS) - 1.0) + 0.5**33


def normals(first: Array, second: Array) -> tuple[Array, Array]:
    """Two standard normal numbers of two uniform ones (Box & Muller 1958, Ann. Math. Stat. 29, 610); |z| < 6.8."""
    length = sqrt(-2.0 * log(first))
    cos, sin = cosine_and_sine(360.0 * second)
    return length * cos, length * sin


def pair(stream: int, number: Array, row: Array, seed: Array) -> tuple[Array, Array]:
    """Two uniform numbers in (0, 1) of a stream: those of this number. All int64.

    stream: 0 to 3, at the bits 24 and 25 of the counter. number: below 2³⁰. row, seed: below 2³².
    """
    counter = (number & LOW_24) | (stream << 24) | ((number >> 24) << 26)
    first, second = philox(counter, row, seed)
    return uniform(first), uniform(second)
