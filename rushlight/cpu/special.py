"""The error function, the gamma function and what belongs to them, as emitted code."""
from __future__ import annotations

from math import inf, nan, pi

from .circular import cosine_from, quarter_turns, sine_from
from .lanes import (
    Lanes,
    at_least,
    at_most,
    copysign,
    exported,
    fabs,
    fast_two_sum,
    floor,
    fma,
    horner,
    in_double,
    polynomial,
    select,
    sqrt,
    two_product,
)
from .math import exp, exp_polynomial_in_two, exp_reduced, exp_within, log, log1p, scaled

# --- the error function ---------------------------------------------------------------------------

def erf_near(x: Lanes) -> Lanes:
    """erf(x) for |x| <= 1."""
    return fma(x, horner(x * x, "erf"), x)


def erfc_far(a: Lanes) -> Lanes:
    """erfc(a), a >= 0: exp(-a^2) q((a - k) / (a + k)) / (1 + 2a), with a^2 in two parts."""
    a = at_most(a, 28.0)
    square, lost = two_product(a, a)
    bits, n, r = exp_reduced(-square)
    over, under = horner((a - 3.75) / (a + 3.75), "erfcx"), fma(a, 2.0, 1.0)
    ratio = over / under
    if a.goal != "double":
        return scaled(exp_polynomial_in_two(r, -lost) * ratio, bits, n)
    rounded = fma(a, 2.0, 1.0 - under)          # what `under` lost, and then what the quotient did
    rest = (fma(-ratio, under, over) - ratio * rounded) / under
    r, low = fast_two_sum(r, -lost)
    power, low = fast_two_sum(1.0, fma(r * r, horner(r, "exp"), low) + r)
    return scaled(fma(power, ratio, fma(low, ratio, power * rest)), bits, n)


@exported
def erf(x):
    a = fabs(x)
    if x.goal == "float":
        capped = at_most(a, 4.0)
        far, edge = 1.0 - exp_within(-(capped * horner(capped, "erf_tail"))), 0.92
    else:
        far, edge = 1.0 - erfc_far(a), 1.0
    return select(a > edge, copysign(far, x), erf_near(x))


@in_double
def erfc(x):
    a = fabs(x)
    far = erfc_far(a)
    return select(a < 0.5, 1.0 - erf_near(x), select(x < 0.0, 2.0 - far, far))


@in_double
def erfinv(x):
    """x P(w), w = -log(1 - x^2), and for float64 one Newton step, on the tail's side above 1/2."""
    w = -log1p(-(x * x))
    far = w > 6.25
    with_goal = Lanes(w.f, w.value, "mixed")
    tail = Lanes(w.f, sqrt(w).value, "mixed")
    y = x * select(far, horner(tail, "erfinv_tail"), horner(with_goal, "erfinv"))
    if x.goal == "double":
        y = _newton_erfinv(x, y)
    return select(fabs(x) < 1.0, y, select(fabs(x).equals(1.0), x * inf, nan))


def _newton_erfinv(x, y):
    a, size = fabs(x), fabs(y)
    near = fma(size, horner(size * size, "erf"), size - a)
    rest = select(a > 0.75, (1.0 - a) - erfc_far(size), near)
    slope = exp(-(size * size)) * (2 / pi ** 0.5)
    return copysign(size - rest / slope, x)


# --- the gamma function and its derivatives -------------------------------------------------------

# Asymptotic series in 1/x^2 (Abramowitz & Stegun 6.1.40, 6.3.18, 6.4.12); enough from x = 8 and 10 on.
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)
TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
HALF_LOG_TWO_PI = 0.9189385332046727


def pi_turns(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """`quarter_turns` of pi x, up to a multiple of pi."""
    return quarter_turns((x - x.call("roundeven")) * pi)


def whole_up_to_zero(x: Lanes) -> Lanes:
    """The poles of the gamma function."""
    return (x <= 0.0) & floor(x).equals(x)


def lgamma_above(x: Lanes) -> Lanes:
    """lgamma(x) for x >= 1/2: Stirling from 8 on, else the product that leads to 2 + t, |t| <= 1/2."""
    product, down = x.const(1.0), x
    for _ in range(6):
        lower = down - 1.0
        high = down > 2.5
        product, down = select(high, product * lower, product), select(high, lower, down)
    low, large = x < 1.5, x >= 8.0
    t = select(low, x - 1.0, down - 2.0)
    logarithm = log(select(low | large, x, product))
    near = fma(t, horner(t, "lgamma"), select(low, -logarithm, logarithm))
    inverse = 1.0 / x
    series = polynomial(inverse * inverse, STIRLING) * inverse + HALF_LOG_TWO_PI
    return select(large, fma(x - 0.5, logarithm, series - x), near)


@in_double
def lgamma(x):
    """log |gamma(x)|; below 1/2 by reflection, log(pi / |sin(pi x)|) - lgamma(1 - x)."""
    below = x < 0.5
    above = lgamma_above(select(below, 1.0 - x, x))
    mirrored = log(pi / fabs(sine_from(*pi_turns(x)))) - above
    y = select(below, mirrored, above)
    return select(whole_up_to_zero(x) | fabs(x).equals(inf), inf, y)


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


@in_double
def digamma(x):
    """log(x) - 1/(2x) - series, from x >= 10; below 1/2 digamma(1 - x) - pi / tan(pi x)."""
    below = x < 0.5
    far, skipped = shifted_up(select(below, 1.0 - x, x), 1)
    inverse = 1.0 / far
    square = inverse * inverse
    above = log(far) - fma(square, polynomial(square, DIGAMMA), fma(inverse, 0.5, skipped))
    turns = pi_turns(x)
    y = select(below, above - pi * cosine_from(*turns) / sine_from(*turns), above)
    y = select(whole_up_to_zero(x), nan, y)
    return select(x.equals(0.0), copysign(x.const(inf), -x), select(x.equals(-inf), nan, y))


@in_double
def trigamma(x):
    """The derivative of digamma; below 1/2 (pi / sin(pi x))^2 - trigamma(1 - x)."""
    below = x < 0.5
    far, skipped = shifted_up(select(below, 1.0 - x, x), 2)
    inverse = 1.0 / far
    square = inverse * inverse
    series = fma(square * inverse, polynomial(square, TRIGAMMA), fma(square, 0.5, inverse))
    above = series + skipped
    sine = pi / sine_from(*pi_turns(x))
    return select(whole_up_to_zero(x), inf, select(below, sine * sine - above, above))


# --- modified Bessel functions of the first kind --------------------------------------------------

def modified_bessel(x: Lanes, order: int, is_scaled: bool) -> Lanes:
    """I(x), or exp(-|x|) I(x): up to 8 the series in x^2 / 4, then a polynomial in 1/x times exp(x) / sqrt(x)."""
    a = fabs(x)
    capped = at_most(a, 8.0)
    near = horner(capped * capped * 0.25, f"i{order}")
    near = near * (capped * 0.5) if order else near
    far = horner(16.0 / at_least(a, 8.0) - 1.0, f"i{order}_far") / sqrt(a)
    if is_scaled:
        y = select(a > 8.0, far, near * exp(-capped))
    else:
        large = a > 700.0           # I(x) may be there where exp(x) is not
        power = exp(select(large, a * 0.5, a))
        y = far * power
        y = select(a > 8.0, select(a.equals(inf), inf, select(large, y * power, y)), near)
    y = select(a.differs(a), x, y)
    return copysign(y, x) if order else y


@in_double
def bessel_i0(x): return modified_bessel(x, 0, False)


@in_double
def bessel_i0e(x): return modified_bessel(x, 0, True)


@in_double
def bessel_i1(x): return modified_bessel(x, 1, False)


@in_double
def bessel_i1e(x): return modified_bessel(x, 1, True)
