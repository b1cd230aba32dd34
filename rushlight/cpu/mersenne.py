"""The words of mt19937, 624 at a time: twisted and tempered 16 lanes wide.

The recurrence reaches 624, 623 and 227 words back, so 16 neighbours never need each other and a
block is 39 vector steps. Unrolled in memory it needs no wrapping: the old block lies in
state[0:624], the new one grows behind it and is moved to the front at the end.
"""
from __future__ import annotations

from ..compiler.kernel import LANES, Code
from .emit import Function, Value, vector
from .rng import BLOCK

MIDDLE = 397
UPPER, LOWER, MATRIX = 0x80000000, 0x7FFFFFFF, 0x9908B0DF


def block_generator() -> Code:
    """Kernel: args = (state, out); unit b writes out[624 b : 624 (b + 1)]; one thread only."""
    f = Function("mersenne")
    make_blocks(f, f.word(0, "ptr"), f.word(1, "ptr"), f.lo, f.hi)
    return f.code()


def make_blocks(f: Function, state: Value, out: Value, lo, hi) -> None:
    """The next words, to out[624 lo : 624 hi]."""
    with f.loop(lo, hi) as block:
        target = f.at(out, "i32", f.mul(block.index, BLOCK))
        with f.loop(0, BLOCK, LANES, nonempty=True) as word:
            new = twisted(f, f.at(state, "i32", word.index))
            f.store(tempered(f, new), f.at(target, "i32", word.index))
        with f.loop(0, BLOCK, LANES, nonempty=True) as word:
            here = f.at(state, "i32", word.index)
            f.store(f.load(vector("i32"), f.at(here, "i32", BLOCK)), here)


def twisted(f: Function, here: Value) -> Value:
    """The next 16 raw words, stored one block behind `here`."""
    old, following, middle = (f.load(vector("i32"), f.at(here, "i32", k)) for k in (0, 1, MIDDLE))
    mixed = f.or_(f.and_(old, UPPER), f.and_(following, LOWER))
    odd = f.sub(f.value(0, mixed.type), f.and_(following, 1))
    new = f.xor(f.xor(middle, f.lshr(mixed, 1)), f.and_(odd, MATRIX))
    f.store(new, f.at(here, "i32", BLOCK))
    return new


def tempered(f: Function, y: Value) -> Value:
    y = f.xor(y, f.lshr(y, 11))
    y = f.xor(y, f.and_(f.shl(y, 7), 0x9D2C5680))
    y = f.xor(y, f.and_(f.shl(y, 15), 0xEFC60000))
    return f.xor(y, f.lshr(y, 18))


def permuter() -> Code:
    """Kernel: args = (order, words); one thread only.

    Step i of [lo, hi - 1) swaps order[i] with order[i + words[i] % (hi - i)].
    """
    f = Function("permute")
    order, words = f.word(0, "ptr"), f.word(1, "ptr")
    with f.loop(f.lo, f.sub(f.hi, 1)) as step:
        left = f.cast("trunc", f.sub(f.hi, step.index), "i32")
        drawn = f.urem(f.load("i32", f.at(words, "i32", step.index)), left)
        here = f.at(order, "i64", step.index)
        there = f.at(here, "i64", f.cast("zext", drawn, "i64"))
        a, b = f.load("i64", here), f.load("i64", there)
        f.store(b, here)
        f.store(a, there)
    return f.code()
