"""exp, log, atan, … from +, −, ×, ÷, √ and the bits of a float64 alone.

IEEE 754 rounds these in one way only, so that each function gives the same bits on every processor, in a batch of
any size, in NumPy, in PyTorch on CPU and CUDA, and in compiled loops. Libraries' own differ in the last digit, which
now and then decides a grey level or a column of a table. All are within 2 units in the last place. Where PyTorch is to
derive something from a result, its own functions take their place.

Reductions as in Muller, *Elementary Functions*, 3rd ed., ch. 10 and 11; the polynomials are near-minimax fits
(`mpmath.chebyfit`) to less than 1e-17 of the result. Arguments are float64 arrays.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from droulette.physics.arrays import Array, is_tensor, namespace

MAGIC = 6755399441055744.0  # 1.5·2⁵²: added to a float64, it rounds it to a whole number in the lowest bits
MAGIC_BITS = 0x4338000000000000
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
LOG2_E = 1.4426950408889634
LN_2_HIGH, LN_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # the first with 21 bits to spare
SQRT_2 = 1.4142135623730951
TAN_EIGHTH = 0.41421356237309503  # tan(π/8)

EXP = (
    2.510037583256132e-08,
    2.762007587998348e-07,
    2.7557268480310024e-06,
    2.4801521322368692e-05,
    0.00019841269863040545,
    0.0013888888917196719,
    0.008333333333330065,
    0.041666666666624164,
    0.16666666666666669,
    0.5000000000000001,
)
ATANH = (
    0.14616449685043406,
    0.15331721600556042,
    0.18182889125261723,
    0.2222221113479508,
    0.28571428625975487,
    0.39999999999899505,
    0.666666666666667,
)
ATAN = (
    -0.01917688711896928,
    0.03923165829550329,
    -0.050854497379370145,
    0.05858148912801507,
    -0.06664511447381855,
    0.07692183190826078,
    -0.09090904578123901,
    0.11111111015256361,
    -0.14285714284666542,
    0.1999999999999552,
    -0.3333333333333333,
)
SINE = (
    1.591812929486638e-10,
    -2.505113184500362e-08,
    2.755731610255244e-06,
    -0.00019841269836758574,
    0.008333333333330948,
    -0.16666666666666666,
)
COSINE = (
    -1.1367998654022327e-11,
    2.087588673804705e-09,
    -2.7557315566341895e-07,
    2.480158729369346e-05,
    -0.0013888888888880775,
    0.04166666666666664,
    -0.5,
)
STIRLING = (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)

# ---------------------------------------------------------------- what a kind of number brings


def bits(x: Array) -> Array:
    """The 64 bits of each float64, as int64."""
    return x.view(namespace(x).int64)


def from_bits(x: Array) -> Array:
    return x.view(namespace(x).float64)


def where(condition: Array, a: Array | float, b: Array | float) -> Array:
    xp = namespace(condition)
    if isinstance(a, float) and isinstance(b, float) and is_tensor(condition):  # of two numbers it would make float32
        a = xp.asarray(a, dtype=xp.float64)
    return xp.where(condition, a, b)


def sqrt(x: Array) -> Array:
    if is_tensor(x) and x.device.type == "cpu" and not is_differentiated(x):
        # There PyTorch's own is off by a last digit in 1 % of cases.
        return namespace(x).asarray(np.sqrt(x.numpy()))
    return namespace(x).sqrt(x)


def is_differentiated(*numbers: Array) -> bool:
    """Whether PyTorch derives something from one of them: the bits of a number have no derivative."""
    return any(is_tensor(x) and (x.requires_grad or _is_transformed(x)) for x in numbers)


def _is_transformed(x: Array) -> bool:
    """Whether `torch.func` (grad, jvp, vmap) or forward-mode differentiation works on it."""
    import torch

    transformed = torch._C._functorch.is_functorch_wrapped_tensor(x)
    return transformed or torch.autograd.forward_ad.unpack_dual(x).tangent is not None


def differentiable(in_torch: Callable) -> Callable:
    """Give a function made of bits PyTorch's own form of it, for numbers of which derivatives are asked."""

    def give(function: Callable) -> Callable:
        @functools.wraps(function)
        def either(*numbers):
            if is_differentiated(*numbers):
                return in_torch(*numbers)
            return function(*numbers)

        return either

    return give


# ---------------------------------------------------------------- the functions


def polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """The highest power first, by Estrin's scheme: half of the time goes into waiting for one term before the next."""
    terms = list(reversed(coefficients))
    while len(terms) > 1:
        pairs = [terms[k] + terms[k + 1] * x for k in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[len(terms) - len(terms) % 2 :]
        x = x * x
    return terms[0]


def rint(x: Array) -> Array:
    """The nearest whole number, the even one of two; |x| < 2⁵¹."""
    return (x + MAGIC) - MAGIC


@differentiable(lambda x: x.clamp(-708.0, 709.0).exp())
def exp(x: Array) -> Array:
    """e^x; arguments are clamped to [−708, 709]."""
    x = where(x < -708.0, -708.0, x)
    x = where(x > 709.0, 709.0, x)
    t = x * LOG2_E + MAGIC
    n = t - MAGIC
    r = (x - n * LN_2_HIGH) - n * LN_2_LOW
    return (1.0 + (r + r * r * polynomial(EXP, r))) * from_bits((bits(t) + 1023) << 52)


@differentiable(lambda x: x.log())
def log(x: Array) -> Array:
    """ln x of x > 0; about −709 for 0 and 710 for infinity."""
    pattern = bits(x)
    k = (pattern - SQRT_HALF_BITS) >> 52
    f = from_bits(pattern - (k << 52)) - 1.0  # x = 2^k (1 + f), 1 + f from √½ to √2
    n = from_bits(k + MAGIC_BITS) - MAGIC
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    return n * LN_2_HIGH - ((half - (s * (half + z * polynomial(ATANH, z)) + n * LN_2_LOW)) - f)


@differentiable(lambda a, b: (a / b).atan())
def atan_ratio(a: Array, b: Array) -> Array:
    """atan(a / b) of b > 0, with a single division."""
    size = abs(a)
    low, high = size < TAN_EIGHTH * b, size * TAN_EIGHTH > b
    t = where(low, size, where(high, -b, size - b)) / where(low, b, where(high, size, size + b))
    z = t * t
    angle = where(low, 0.0, where(high, math.pi / 2, math.pi / 4)) + (t + t * (z * polynomial(ATAN, z)))
    return where(a < 0.0, -angle, angle)


@differentiable(lambda a, b: (a / b).atanh())
def atanh_ratio(a: Array, b: Array) -> Array:
    """atanh(a / b) of b > |a|, with a single division: ½ ln p/q, p = b + a and q = b − a, by powers of 2."""
    p, q = b + a, b - a
    k = (bits(p) - bits(q)) >> 52
    q = q * from_bits((k + 1023) << 52)
    n = from_bits(k + MAGIC_BITS) - MAGIC
    above = p > SQRT_2 * q
    n, q = where(above, n + 1.0, n), where(above, 2.0 * q, q)
    near = n == 0.0  # where a is small, b + a has lost its last digits
    s = where(near, a, p - q) / where(near, b, p + q)
    z = s * s
    return (0.5 * LN_2_HIGH) * n + ((s + s * (z * (0.5 * polynomial(ATANH, z)))) + (0.5 * LN_2_LOW) * n)


def log1p(x: Array) -> Array:
    """ln(1 + x) of x > −1."""
    small = abs(x) < 0.5
    near = where(small, x, 0.0)
    return where(small, 2.0 * atanh_ratio(near, 2.0 + near), log(1.0 + x))


def atan(x: Array) -> Array:
    return atan_ratio(x, x * 0.0 + 1.0)


def asinh(x: Array) -> Array:
    root = sqrt(1.0 + x * x)
    small = abs(x) < 1.0
    near = atanh_ratio(where(small, x, 0.0), where(small, root, 1.0))
    far = log(abs(x) + root)
    return where(small, near, where(x < 0.0, -far, far))


@differentiable(lambda degrees: (degrees.deg2rad().cos(), degrees.deg2rad().sin()))
def cosine_and_sine(degrees: Array) -> tuple[Array, Array]:
    """cos and sin of an angle in degrees, exact at multiples of 90; |degrees| < 10⁹."""
    t = degrees * (1 / 90) + MAGIC
    x = (degrees - 90.0 * (t - MAGIC)) * (math.pi / 180)
    z = x * x
    sine = x + x * (z * polynomial(SINE, z))
    cosine = 1.0 + z * polynomial(COSINE, z)
    quarter = bits(t) & 3
    odd = (quarter & 1) == 1
    a, b = where(odd, sine, cosine), where(odd, cosine, sine)
    return where((quarter == 1) | (quarter == 2), -a, a), where(quarter > 1, -b, b)


def angle_in_degrees(x: Array, y: Array) -> Array:
    """The direction of (x, y) in [0, 360), counter-clockwise from x; 0 for the origin."""
    a, b = abs(y), abs(x)
    steep = a > b
    low, high = where(steep, b, a), where(steep, a, b)
    angle = atan_ratio(low, where(high == 0.0, 1.0, high)) * (180 / math.pi)
    angle = where(steep, 90.0 - angle, angle)
    angle = where(x < 0.0, 180.0 - angle, angle)
    return where((y < 0.0) & (angle > 0.0), 360.0 - angle, angle)


@differentiable(lambda x: x.lgamma())
def log_gamma(x: Array) -> Array:
    """ln Γ(x) of x > 0: the recurrence up to 10, and Stirling's series from there."""
    product = x * 0.0 + 1.0
    for _ in range(10):
        small = x < 10.0
        product, x = where(small, product * x, product), where(small, x + 1.0, x)
    inverse = 1.0 / x
    tail = polynomial(STIRLING, inverse * inverse) * inverse
    return (x - 0.5) * log(x) - x + (0.5 * math.log(2 * math.pi) + tail) - log(product)
