"""The error function, the gamma function and what belongs to them, as emitted code."""
from __future__ import annotations

from math import inf, nan, pi

from .lanes import (
    Lanes,
    at_least,
    at_most,
    copysign,
    exported,
    fabs,
    fast_two_sum,
    fma,
    horner,
    in_double,
    select,
    sqrt,
    two_product,
)
from .math import exp, exp_polynomial_in_two, exp_reduced, exp_within, log1p, scaled

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
