"""The gamma function's logarithm and its derivatives, as emitted code.

What float64 needs is computed in pairs of numbers, high + low: sums of such pairs cancel near the functions'
zeros, and products of ten factors would lose ten roundings. float32 is computed in plain float64.
"""
from __future__ import annotations

from math import inf, nan, pi

from .circular import cosine_from, quarter_turns, sine_from
from .lanes import Lanes, copysign, fabs, fast_two_sum, floor, fma, horner, in_double, polynomial, select, two_product
from .math import log, log_in_two

# Asymptotic series in 1/x^2 (Abramowitz & Stegun 6.1.40, 6.3.18, 6.4.12); enough from x = 8 on, the first 8 terms from 10.
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160,
           43867 / 14364, -174611 / 6600)
TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510,
            43867 / 798, -174611 / 330, 854513 / 138)
HALF_LOG_TWO_PI = 0.9189385332046727
TINY, HUGE = 1e-20, 1e17        # outside, one term is all there is

Pair = tuple[Lanes, Lanes]


# --- pairs ------------------------------------------------------------------------------------------
def two_sum(a, b) -> Pair:
    """a + b = sum + error exactly (Knuth)."""
    total = a + b
    from_b = total - a
    return total, (a - (total - from_b)) + (b - from_b)


def times(a: Pair, b: Pair) -> Pair:
    product, rest = two_product(a[0], b[0])
    return fast_two_sum(product, rest + fma(a[0], b[1], a[1] * b[0]))


def over(a: Pair, b: Pair) -> Pair:
    quotient = a[0] / b[0]
    return quotient, (fma(-quotient, b[0], a[0]) + fma(-quotient, b[1], a[1])) / b[0]


def chosen(mask: Lanes, yes: Pair, no: Pair) -> Pair:
    return select(mask, yes[0], no[0]), select(mask, yes[1], no[1])


def number(x: Lanes, value: float) -> Pair:
    return x.const(value), x.const(0.0)


def mirror(x: Lanes, mask: Lanes) -> Pair:
    """1 - x where asked for, else x."""
    return chosen(mask, two_sum(x.const(1.0), -x), (x, x.const(0.0)))


# --- what all three share -----------------------------------------------------------------------------
def pi_turns(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """`quarter_turns` of pi x, up to a multiple of pi."""
    return quarter_turns((x - x.call("roundeven")) * pi)


def whole_up_to_zero(x: Lanes) -> Lanes:
    """The poles of the gamma function."""
    return (x <= 0.0) & floor(x).equals(x)


def shifted_up(x: Lanes, power: int) -> tuple[Lanes, Lanes]:
    """x + n >= 10 and the sum of 1 / (x + k)^power for k < n, as one fraction."""
    top, bottom = x.const(0.0), x.const(1.0)
    for _ in range(10):
        small = x < 10.0
        factor = x if power == 1 else x * x
        top = select(small, fma(top, factor, bottom), top)
        bottom = select(small, bottom * factor, bottom)
        x = select(small, x + 1.0, x)
    return x, top / bottom


def shifted_up_in_two(x: Pair, power: int) -> tuple[Pair, Pair]:
    """The same for pairs, up to 8."""
    top, bottom, far = number(x[0], 0.0), number(x[0], 1.0), x
    for k in range(8):
        small = far[0] < 8.0
        factor = far if power == 1 else times(far, far)
        top = chosen(small, _times_plus(top, factor, bottom), top)
        bottom = chosen(small, times(bottom, factor), bottom)
        total, rest = two_sum(x[0], k + 1.0)
        far = chosen(small, (total, rest + x[1]), far)
    return far, over(top, bottom)


def _times_plus(a: Pair, b: Pair, c: Pair) -> Pair:
    """a b + c."""
    product, lost = two_product(a[0], b[0])
    total, rest = two_sum(product, c[0])
    return fast_two_sum(total, rest + (lost + fma(a[0], b[1], fma(a[1], b[0], c[1]))))


# --- log |gamma| -----------------------------------------------------------------------------------------
def lowered(x: Lanes) -> tuple[Pair, Lanes]:
    """gamma(x) = product gamma(2 + t) for x from 1.5 to 8, with |t| <= 1/2."""
    product, down = number(x, 1.0), x
    for _ in range(6):
        lower = down - 1.0
        high = down > 2.5
        longer = times(product, (lower, x.const(0.0))) if x.goal == "double" else (product[0] * lower, product[1])
        product, down = chosen(high, longer, product), select(high, lower, down)
    return product, down - 2.0


def lgamma_above(x: Lanes) -> Lanes:
    """lgamma(x) for x >= 1/2: Stirling from 8 on, else the product that leads to 2 + t, |t| <= 1/2."""
    (product, _), t = lowered(x)
    low, large = x < 1.5, x >= 8.0
    t = select(low, x - 1.0, t)
    logarithm = log(select(low | large, x, product))
    near = fma(t, horner(t, "lgamma"), select(low, -logarithm, logarithm))
    return select(large, fma(x - 0.5, logarithm, stirling(x) - x), near)


def stirling(x: Lanes) -> Lanes:
    inverse = 1.0 / x
    return polynomial(inverse * inverse, STIRLING) * inverse + HALF_LOG_TWO_PI


def lgamma_above_in_two(x: Lanes) -> Lanes:
    """lgamma(x) for x > 0; below 1/2 as that of 2 + x, less log(x (1 + x))."""
    product, t = lowered(x)
    lowest, low, large = x < 0.5, x < 1.5, x >= 8.0
    t = select(lowest, x, select(low, x - 1.0, t))
    square = two_product(x, x)
    at = chosen(low | large, (x, x.const(0.0)), product)
    at = chosen(lowest, two_sum(x, square[0]), at)
    high, rest = log_in_two(at[0])
    rest = rest + at[1] / at[0]
    high, rest = chosen(low, (-high, -rest), (high, rest))
    return select(large, _stirling_in_two(x, high, rest), _near_two(t, high, rest))


def _near_two(t, high, rest):
    slope, lost = two_product(t, horner(t, "lgamma"))
    total, error = two_sum(high, slope)
    return total + (error + (lost + rest))


def _stirling_in_two(x, high, rest):
    a = x - 0.5
    product, lost = two_product(a, high)
    total, error = two_sum(product, -x)
    y = total + (error + (lost + fma(a, rest, stirling(x))))
    return select(x > 1e300, fma(a, log(x), -x), y)


@in_double
def lgamma(x):
    """log |gamma(x)|; where that is not done above, by reflection, log(pi / |sin(pi x)|) - lgamma(1 - x)."""
    is_double = x.goal == "double"
    below = x <= 0.0 if is_double else x < 0.5
    above = (lgamma_above_in_two if is_double else lgamma_above)(select(below, 1.0 - x, x))
    mirrored = log(pi / fabs(sine_from(*pi_turns(x)))) - above
    y = select(below, mirrored, above)
    if is_double:
        y = select(fabs(x) < TINY, -log(fabs(x)), y)
    return select(whole_up_to_zero(x) | fabs(x).equals(inf), inf, y)


# --- its derivatives -----------------------------------------------------------------------------------
def digamma_above(x: Lanes) -> Lanes:
    """log(x) - 1/(2x) - series, from x >= 10."""
    far, skipped = shifted_up(x, 1)
    inverse = 1.0 / far
    square = inverse * inverse
    return log(far) - fma(square, polynomial(square, DIGAMMA[:8]), fma(inverse, 0.5, skipped))


def digamma_above_in_two(x: Pair) -> Lanes:
    far, skipped = shifted_up_in_two(x, 1)
    inverse = over(number(x[0], 1.0), far)
    square = inverse[0] * inverse[0]
    high, low = log_in_two(far[0])
    small = fma(-square, polynomial(square, DIGAMMA), fma(far[1], inverse[0], low))
    total, rest = two_sum(high, -skipped[0])
    total, more = two_sum(total, inverse[0] * -0.5)
    y = total + ((rest + more) + (small - fma(inverse[1], 0.5, skipped[1])))
    return select(far[0] > HUGE, log(far[0]), y)


@in_double
def digamma(x):
    """The derivative of lgamma; for numbers that are not done above digamma(1 - x) - pi / tan(pi x)."""
    is_double = x.goal == "double"
    below = x <= 0.0 if is_double else x < 0.5
    above = digamma_above_in_two(mirror(x, below)) if is_double else digamma_above(select(below, 1.0 - x, x))
    turns = pi_turns(x)
    y = select(below, above - pi * cosine_from(*turns) / sine_from(*turns), above)
    if is_double:
        y = select(fabs(x) < TINY, -1.0 / x, y)
    y = select(whole_up_to_zero(x), nan, y)
    return select(x.equals(0.0), copysign(x.const(inf), -x), select(x.equals(-inf), nan, y))


def trigamma_series(inverse: Lanes) -> Lanes:
    """What follows 1/x: 1/(2 x^2) + 1/(6 x^3) - ..."""
    square = inverse * inverse
    return fma(square * inverse, polynomial(square, TRIGAMMA), square * 0.5)


def trigamma_above_in_two(x: Pair) -> Lanes:
    far, skipped = shifted_up_in_two(x, 2)
    inverse = over(number(x[0], 1.0), far)
    total, rest = two_sum(skipped[0], inverse[0])
    y = total + (rest + (skipped[1] + (inverse[1] + trigamma_series(inverse[0]))))
    return select(far[0] > HUGE, inverse[0], y)


def trigamma_above(x: Lanes) -> Lanes:
    far, skipped = shifted_up(x, 2)
    inverse = 1.0 / far
    square = inverse * inverse
    return fma(square * inverse, polynomial(square, TRIGAMMA[:8]), fma(square, 0.5, inverse)) + skipped


@in_double
def trigamma(x):
    """The derivative of digamma; where that is not done above (pi / sin(pi x))^2 - trigamma(1 - x)."""
    is_double = x.goal == "double"
    below = x <= 0.0 if is_double else x < 0.5
    above = trigamma_above_in_two(mirror(x, below)) if is_double else trigamma_above(select(below, 1.0 - x, x))
    sine = pi / sine_from(*pi_turns(x))
    y = select(below, sine * sine - above, above)
    if is_double:
        y = select(fabs(x) < TINY, (1.0 / x) * (1.0 / x), y)
    return select(whole_up_to_zero(x), select(x.equals(-inf), x.const(nan), inf), y)
