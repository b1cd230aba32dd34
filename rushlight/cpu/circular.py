"""sin, cos, tan and their inverses as emitted code.

Arguments are reduced after Cody & Waite, far ones after Payne & Hanek (SIGNUM Newsletter 18, 1983).
"""
from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

from .coefficients import SPLIT, TWO_OVER_PI
from .emit import Function, element_of, lanes_of, vector
from .lanes import (
    Lanes,
    copysign,
    exported,
    fabs,
    fast_two_sum,
    fma,
    horner,
    in_double,
    parts,
    select,
    sqrt,
    two_product,
)
from .math import DIGITS, MAGIC

NEAR = {"float": 2.0 ** 20, "double": 2.0 ** 30}        # up to here three parts of pi/2 are enough


def quarter_turns(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """x = n pi/2 + r + low, |r| <= pi/4: n in the low bits of an integer, r, low."""
    first, second, third, _ = parts(x, "half_pi")
    shifted = fma(x, parts(x, "two_over_pi")[0], MAGIC[x.element])
    n = shifted - MAGIC[x.element]
    exact = fma(n, -first, x)               # a multiple of first's last bit below 1: no rounding
    product, error = two_product(n, second)
    r = exact - product
    low = ((exact - r) - product) - fma(n, third, error)
    return shifted.bits(), r, low


def sine_of_turns(turns: Lanes, r: Lanes, low: Lanes) -> Lanes:
    """sin(turns pi/2 + r + low)."""
    square = r * r
    sine = fma(r * square, horner(square, "sin"), low) + r
    cosine = fma(square, fma(square, horner(square, "cos"), -0.5), -(r * low)) + 1.0
    width = DIGITS[r.element] + (9 if r.element == "float" else 12)
    sign = (turns & 2) << (width - 2)
    return (select((turns & 1).differs(0), cosine, sine).bits() ^ sign).as_float(r.element)


def tangent_of_turns(turns: Lanes, r: Lanes, low: Lanes) -> Lanes:
    """tan r for even turns, -1 / tan r for odd."""
    square = r * r
    tail = fma(r * square, horner(square, "tan"), fma(square, low, low))
    tangent = tail + r
    return select((turns & 1).differs(0), _cotangent(tangent, r, tail), tangent)


def _cotangent(tangent, r, tail):
    """-1 / (r + tail), corrected by what rounding their sum lost."""
    lost = tail - (tangent - r)
    y = -1.0 / tangent
    if tangent.goal == "mixed":
        return y
    return fma(y, fma(y, lost, fma(y, tangent, 1.0)), y)


def far_turns(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """`quarter_turns` for one float64 of any size above 2^20: 192 bits of 2/pi meet its significand."""
    f, bits = x.f, x.bits()
    biased = (bits & (0x7FF << 52)) >> 52
    low_bit = (8 * len(TWO_OVER_PI) - 190 + 1075) - biased      # of the window; its top has the weight 2^1
    table = f.table("two_over_pi", TWO_OVER_PI + bytes(24))
    place = f.at(table, "i8", f.lshr(low_bit.value, 3))
    window = x.of(f.lshr(f.load("i256", place, 1), f.cast("zext", (low_bit & 7).value, "i256")))
    significand = (bits & ((1 << 52) - 1)) | (1 << 52)
    product = window.cast("trunc", "i192") * significand.cast("zext", "i192")
    turns = x.of(f.lshr((product + (1 << 189)).value, 190)).cast("trunc", "i64")
    r, low = _times_half_pi(product << 2)
    back = bits < 0
    return select(back, 0 - turns, turns), select(back, -r, r), select(back, -low, low)


def _times_half_pi(fraction: Lanes) -> tuple[Lanes, Lanes]:
    """A signed fraction of 192 bits times pi/2, in two parts."""
    top, second, third = (
        (fraction >> (192 - 48 * (k + 1))).cast("trunc", "i64") & (-1 if k == 0 else (1 << 48) - 1)
        for k in range(3))
    a, b, c = (part.cast("sitofp", "double") * 2.0 ** (-48 * (k + 1))
               for k, part in enumerate((top, second, third)))
    high, low = fast_two_sum(a, b)
    high, low = fast_two_sum(high, low + c)
    half_pi, half_pi_low, *_ = SPLIT["half_pi", "double"]
    product, error = two_product(high, half_pi)
    return fast_two_sum(product, error + fma(high, half_pi_low, low * half_pi))


def sine_from(turns, r, low):
    return sine_of_turns(turns, r, low)


def cosine_from(turns, r, low):
    return sine_of_turns(turns + 1, r, low)


def circular(x: Lanes, name: str, finish: Callable) -> Lanes:
    """`finish` of the reduced argument; lanes that are far away are done one by one, exactly reduced."""
    f = x.f
    fast = finish(*quarter_turns(x))
    beyond = fabs(x) > NEAR[x.element]
    with f.when(beyond.any(), otherwise=[fast.value]) as branch:
        helper = far_helper(f, name, x.type, finish)
        slow = f.call_helper(helper, x.value)
        branch.give(f.select(beyond.value, slow, fast.value))
    return x.of(branch.results[0])


def far_helper(f: Function, name: str, type: str, finish: Callable) -> Function:
    """@far_name: `finish` on each lane whose size asks for far_turns, in float64."""
    lanes = lanes_of(type)
    full = f"far_{name}_{element_of(type)}_{lanes}"
    return f.helper(full, lambda: _make_far(full, element_of(type), lanes, finish))


def _make_far(full: str, element: str, lanes: int, finish: Callable) -> Function:
    g = Function(full, ((vector(element, lanes), "x"),), vector(element, lanes))
    array = g.alloca(element, lanes)
    g.store(g.x, array)
    with g.loop(0, lanes) as loop:
        at = g.at(array, element, loop.index)
        x = Lanes(g, g.cast("fpext", g.load(element, at), "double"))
        size = fabs(x)
        with g.when(((size > NEAR[element]) & (size < inf)).value, [g.value(nan, "double")]) as branch:
            branch.give(finish(*far_turns(x)).value)
        g.store(g.cast("fptrunc", branch.results[0], element), at)
    g.give_back(g.load(vector(element, lanes), array))
    return g


@exported
def sin(x):
    return select(x.equals(0.0), x, circular(x, "sin", sine_from))


@exported
def cos(x):
    return circular(x, "cos", cosine_from)


@in_double
def tan(x):
    return select(x.equals(0.0), x, circular(x, "tan", tangent_of_turns))


# --- their inverses -------------------------------------------------------------------------------

TAN_EIGHTH, TAN_THREE_EIGHTHS = 2.0 ** 0.5 - 1, 2.0 ** 0.5 + 1


def arc(a: Lanes, b) -> Lanes:
    """atan(a / b) for a, b >= 0: with 0, pi/4 or pi/2 taken off, what is left is below tan(pi/8)."""
    high, low, *_ = parts(a, "half_pi")
    steep, middling = a > b * TAN_THREE_EIGHTHS, a > b * TAN_EIGHTH
    above = select(steep, -b, select(middling, a - b, a))
    below = select(steep, a, select(middling, a + b, b))
    below = select(below.equals(0.0), 1.0, below)
    base = select(steep, a.const(high), select(middling, a.const(high / 2), 0.0))
    base_low = select(steep, a.const(low), select(middling, a.const(low / 2), 0.0))
    t = above / below
    square = t * t
    return base + (t + fma(t * square, horner(square, "atan"), base_low))


@in_double
def atan(x):
    return copysign(arc(fabs(x), 1.0), x)


@in_double
def atan2(y, x):
    a, b = fabs(y), fabs(x)
    both = a.equals(inf) & b.equals(inf)
    shrink = select((a > 2.0 ** 1000) | (b > 2.0 ** 1000), a.const(2.0 ** -100), 1.0)
    r = arc(select(both, 1.0, a * shrink), select(both, 1.0, b * shrink))
    high, low, *_ = parts(x, "pi")
    turned = high - (r - low)
    return copysign(select(x.bits() < 0, turned, r), y)


def arcsine_parts(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """asin(t) = t + tail where t is |x|, or above 1/2 sqrt((1 - |x|) / 2): above, t, tail."""
    a = fabs(x)
    above = a > 0.5
    square = select(above, (1.0 - a) * 0.5, a * a)
    t = select(above, sqrt(square), a)
    return above, t, t * square * horner(square, "asin")


@in_double
def asin(x):
    """Above 1/2: pi/2 - 2 asin(sqrt((1 - x) / 2))."""
    above, t, tail = arcsine_parts(x)
    high, low, *_ = parts(x, "half_pi")
    far = (high - (t + t)) - (tail + tail - low)
    return copysign(select(above, far, t + tail), x)


@in_double
def acos(x):
    """pi/2 - asin(x); 2 asin(sqrt((1 - x) / 2)) above 1/2, pi less that of -x below -1/2."""
    above, t, tail = arcsine_parts(x)
    high, low, *_ = parts(x, "half_pi")
    inner = high - (copysign(t, x) - (low - copysign(tail, x)))
    double = (t + t) + (tail + tail)
    turned = (high - (t + (tail - low))) * 2.0
    return select(above, select(x < 0.0, turned, double), inner)
