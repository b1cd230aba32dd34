"""Normal deviates from random words, eight or sixteen pairs at a time, in the bits of PyTorch's AVX2 kernel.

Sixteen words make sixteen values: u1 from the first eight, u2 from the last eight; values l and
l + 8 are radius * cos(angle) and radius * sin(angle) of pair l. Logarithm, sine and cosine are the
single precision polynomials of Moshier's Cephes with fused multiply-adds; they need no care for
special values because u1 is in [2**-24, 1] and the angle in [0, 2 pi).
"""
from __future__ import annotations

import math

import numpy as np

from ..compiler.kernel import Code
from ..dtypes import float64
from .emit import Function, Value, vector
from .mersenne import make_blocks
from .rng import BLOCK as WORDS
from .rng import NORMAL_BLOCK as BLOCK
from .rng import STREAM_BLOCKS, STREAM_GRAIN
from .scalar import emit_instr

PAIRS = 8
MANTISSA24 = 0xFFFFFF
LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
       -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
QUARTER_PI = (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)


def normal_blocks() -> Code:
    """Kernel: args = (words, out, mean, std); unit b makes float out[16 b : 16 (b + 1)]."""
    f = Function("normal_blocks")
    make_normals(f, f.word(0, "ptr"), f.word(1, "ptr"), f.word(2, "float"), f.word(3, "float"), f.lo, f.hi)
    return f.code()


def normal_stream() -> Code:
    """Kernel of turns that make words and deviates in their place at once.

    args = (turn, out, mean, std, state, lead, blocks): `lead` words are in `out` already; unit 0 of turn
    t makes up to STREAM_BLOCKS blocks of mt19937's words more, the others deviates of those that were
    there before. So turn 0 begins with words alone, and the last of blocks / STREAM_BLOCKS + 1 makes none.
    """
    f = Function("normal_stream")
    turn, out, mean, std = f.word(0), f.word(1, "ptr"), f.word(2, "float"), f.word(3, "float")
    state, lead, blocks = f.word(4, "ptr"), f.word(5), f.word(6)
    made, more = (f.smin(f.mul(f.add(turn, k), STREAM_BLOCKS), blocks) for k in (0, 1))
    last = f.mul(f.smax(f.sub(turn, 1), 0), STREAM_BLOCKS)
    done = f.select(f.icmp("eq", turn, 0), 0, f.lshr(f.add(lead, f.mul(last, WORDS)), 4))
    ready = f.lshr(f.add(lead, f.mul(made, WORDS)), 4)
    with f.loop(f.lo, f.hi) as unit:
        with f.when(f.icmp("eq", unit.index, 0)):
            make_blocks(f, state, f.at(out, "i32", lead), made, more)
        first = f.add(done, f.mul(f.sub(unit.index, 1), STREAM_GRAIN))
        stop = f.smax(f.smin(f.add(first, STREAM_GRAIN), ready), first)
        with f.when(f.icmp("ne", unit.index, 0)):
            make_normals(f, out, out, mean, std, first, stop)
    return f.code()


def wide_normal_blocks() -> Code:
    """Kernel: args = (words, out, mean, std); unit b makes double out[16 b : 16 (b + 1)] from 32 words."""
    f = Function("wide_normal_blocks")
    mean, std = (f.splat(f.word(k, "double"), PAIRS) for k in (2, 3))
    with f.loop(f.lo, f.hi) as block:
        words = f.at(f.word(0, "ptr"), "i64", f.mul(block.index, BLOCK))
        u1, u2 = (wide_uniform(f, f.load_vector("i64", f.at(words, "i64", k), PAIRS)) for k in (0, PAIRS))
        instr = lambda name, x: emit_instr(f, name, float64, float64, [x], lanes=PAIRS)
        radius = f.intrinsic("sqrt", f.fmul(instr("log", f.fsub(f.value(1, u1.type), u1)), -2))
        angle = f.fmul(u2, 2 * math.pi)
        out = f.at(f.word(1, "ptr"), "double", f.mul(block.index, BLOCK))
        for k, name in ((0, "cos"), (PAIRS, "sin")):
            f.store(f.fma(f.fmul(radius, instr(name, angle)), std, mean), f.at(out, "double", k))
    return f.code()


def wide_uniform(f: Function, pairs: Value) -> Value:
    """double in [0, 1) from the low 53 bits of two words each, the high one first."""
    bits = f.binary("or", f.binary("shl", pairs, 32), f.binary("lshr", pairs, 32))
    return f.fmul(f.cast("sitofp", f.binary("and", bits, (1 << 53) - 1), "double"), 2.0**-53)


def make_normals(f: Function, words: Value, out: Value, mean: Value, std: Value, lo, hi) -> None:
    """out[16 lo : 16 hi] from the words at the same places, which may be the same memory."""
    pairs = f.add(lo, f.and_(f.sub(hi, lo), -2))
    for first, last, count in ((lo, pairs, 2), (pairs, hi, 1)):     # two blocks fill a vector
        scale, shift = (f.splat(x, count * PAIRS) for x in (std, mean))
        with f.loop(first, last, count) as block:
            start = f.mul(block.index, BLOCK)
            values = deviates(f, f.at(words, "i32", start), count)
            for k, value in zip((0, PAIRS), values):
                store_halves(f, f.fma(value, scale, shift), f.at(f.at(out, "float", start), "float", k), count)


def deviates(f: Function, words: Value, count: int) -> tuple[Value, Value]:
    """The first and the second halves of `count` blocks, each in one vector."""
    u1, u2 = (uniform(f, load_halves(f, f.at(words, "i32", k), count)) for k in (0, PAIRS))
    radius = f.intrinsic("sqrt", f.fmul(logarithm(f, f.fsub(f.value(1, u1.type), u1)), -2))
    sine, cosine = sine_cosine(f, f.fmul(u2, 2 * math.pi))
    return f.fmul(radius, cosine), f.fmul(radius, sine)


def load_halves(f: Function, address: Value, count: int) -> Value:
    """Eight words here and, of two blocks, eight words a block later."""
    parts = [f.load(vector("i32", PAIRS), f.at(address, "i32", k * BLOCK)) for k in range(count)]
    return parts[0] if count == 1 else f.shuffle(*parts, list(range(2 * PAIRS)))


def store_halves(f: Function, value: Value, address: Value, count: int) -> None:
    for k in range(count):
        lanes = list(range(k * PAIRS, (k + 1) * PAIRS))
        part = value if count == 1 else f.shuffle(value, None, lanes)
        f.store(part, f.at(address, "float", k * BLOCK))


def uniform(f: Function, words: Value) -> Value:
    bits = f.and_(words, MANTISSA24)
    return f.fmul(f.cast("uitofp", bits, "float"), 2.0**-24)


def logarithm(f: Function, x: Value) -> Value:
    bits = f.bits(x)
    exponent = f.fadd(f.cast("sitofp", f.sub(f.lshr(bits, 23), 127), "float"), 1)
    x = f.float_bits(f.or_(f.and_(bits, 0x7FFFFF), 0x3F000000), "float")        # in [1/2, 1)
    small = f.fcmp("olt", x, math.sqrt(0.5))
    exponent = f.fsub(exponent, f.select(small, f.value(1, x.type), 0))
    x = f.fadd(f.fsub(x, 1), f.select(small, x, 0))
    square = f.fmul(x, x)
    y = f.fmul(polynomial(f, LOG, x), x)
    y = f.fma(y, square, f.fmul(exponent, LN2_LOW))
    y = f.fsub(y, f.fmul(square, 0.5))
    return f.fma(exponent, LN2_HIGH, f.fadd(x, y))


def sine_cosine(f: Function, x: Value) -> tuple[Value, Value]:
    octant = f.cast("fptosi", f.fmul(x, 4 / math.pi), "i32")
    octant = f.and_(f.add(octant, 1), -2)
    turns = f.cast("sitofp", octant, "float")
    for part in QUARTER_PI:
        x = f.fma(turns, part, x)
    square = f.fmul(x, x)
    cosine = f.fmul(polynomial(f, COSINE, square), square)
    cosine = f.fadd(f.fma(cosine, square, f.fmul(square, -0.5)), 1)
    sine = f.fma(f.fmul(polynomial(f, SINE, square), square), x, x)
    straight = f.icmp("eq", f.and_(octant, 2), 0)
    flip_sine = f.and_(octant, 4)
    flip_cosine = f.xor(f.and_(f.sub(octant, 2), 4), 4)
    return (flipped(f, f.select(straight, sine, cosine), flip_sine),
            flipped(f, f.select(straight, cosine, sine), flip_cosine))


def flipped(f: Function, x: Value, four: Value) -> Value:
    """x with its sign changed in the lanes where `four` is 4 (not 0)."""
    return f.float_bits(f.xor(f.bits(x), f.shl(four, 29)), "float")


def polynomial(f: Function, coefficients: tuple, x: Value) -> Value:
    y = f.value(coefficients[0], x.type)
    for c in coefficients[1:]:
        y = f.fma(y, x, f.value(c, x.type))
    return y


# -- the same in NumPy: float64 holds a product of two float32, so its sum is nearly a fused one ---

def numpy_normal_blocks(words: np.ndarray, mean: float, std: float) -> np.ndarray:
    """float32 like `words`, whose size is a multiple of 16."""
    u = ((words & MANTISSA24) * np.float64(2.0**-24)).astype(np.float32).reshape(-1, 2, PAIRS)
    radius = np.sqrt(np.float32(-2) * _logarithm(np.float32(1) - u[:, 0]))
    sine, cosine = _sine_cosine(np.float32(2 * math.pi) * u[:, 1])
    return _fma(np.stack([radius * cosine, radius * sine], axis=1).ravel(), std, mean)


def _fma(a, b, c) -> np.ndarray:
    return (np.float64(a) * np.float64(_single(b)) + np.float64(_single(c))).astype(np.float32)


def _single(x):
    return np.asarray(x, np.float32)


def _polynomial(coefficients, x):
    y = _single(coefficients[0])
    for c in coefficients[1:]:
        y = _fma(y, x, c)
    return y


def _logarithm(x):
    bits = x.view(np.int32)
    exponent = ((bits >> 23) - 127).astype(np.float32) + _single(1)
    x = (bits & 0x7FFFFF | 0x3F000000).view(np.float32)
    small = x < _single(math.sqrt(0.5))
    exponent = exponent - small.astype(np.float32)
    x = x - _single(1) + np.where(small, x, _single(0))
    square = x * x
    y = _fma(_polynomial(LOG, x) * x, square, exponent * _single(LN2_LOW))
    return _fma(exponent, LN2_HIGH, x + (y - square * _single(0.5)))


def _sine_cosine(x):
    octant = ((x * _single(4 / math.pi)).astype(np.int32) + 1) & -2
    for part in QUARTER_PI:
        x = _fma(octant.astype(np.float32), part, x)
    square = x * x
    cosine = _fma(_polynomial(COSINE, square) * square, square, square * _single(-0.5)) + _single(1)
    sine = _fma(_polynomial(SINE, square) * square, x, x)
    straight = octant & 2 == 0
    s, c = np.where(straight, sine, cosine), np.where(straight, cosine, sine)
    return np.where(octant & 4, -s, s), np.where(octant - 2 & 4, c, -c)


def numpy_wide_blocks(words: np.ndarray, mean: float, std: float) -> np.ndarray:
    """What `wide_normal_blocks` makes."""
    from ..random import doubles, fused, pieces
    uniforms, out = doubles(words), np.empty(len(words) // 2)
    for piece in pieces(len(out)):
        u = uniforms[piece].reshape(-1, 2, PAIRS)
        radius, angle = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]
        values = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        out[piece] = fused(values.ravel(), std, mean)
    return out
