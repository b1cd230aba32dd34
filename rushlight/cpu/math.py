"""exp, log, powers and their kind as emitted code; docs/accuracy.md tells how exact each is.

Hot functions on float32 are float32 arithmetic throughout. The rarer ones are computed in float64
and rounded (`in_double`, goal "mixed"), with polynomials just good enough for that. No function
calls libm, so results are the same bits on every machine with fused multiply-add.

Arguments are reduced after Cody & Waite (Software Manual for the Elementary Functions, 1980).
Polynomials and split constants are in coefficients.py, made by tools/fit_polynomials.py.
circular.py and special.py hold the rest of the functions.
"""
from __future__ import annotations

from math import inf, nan

from .coefficients import SPLIT
from .emit import Function, Value, lanes_of
from .features import host
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
    parts,
    select,
    sqrt,
    trunc,
    two_product,
)

DIGITS = {"float": 23, "double": 52}                        # stored bits of a significand
MAGIC = {"float": 1.5 * 2.0 ** 23, "double": 1.5 * 2.0 ** 52}     # x + MAGIC: the integer in the low bits
MAGIC_BITS = {"float": 0x4B400000, "double": 0x4338 << 48}
ONE_BITS = {"float": 127 << 23, "double": 1023 << 52}
ROOT_HALF_BITS = {"float": 0x3F3504F3, "double": 0x3FE6A09E667F3BCD}
LEAST_NORMAL = {"float": 2.0 ** -126, "double": 2.0 ** -1022}
LN2 = SPLIT["ln2", "double"][0]


# --- exponentials ---------------------------------------------------------------------------------

RANGE = {"float": (-104.0, 89.0), "double": (-746.0, 711.0)}      # beyond: 0 and inf, even if halved


def exp_reduced(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """x = n ln 2 + r, |r| <= ln 2 / 2: n in the low bits of an integer, n, r."""
    high, low, *_ = parts(x, "ln2")
    shifted = fma(x, parts(x, "log2e")[0], MAGIC[x.element])
    n = shifted - MAGIC[x.element]
    return shifted.bits(), n, fma(n, -low, fma(n, -high, x))


def exp_polynomial(r: Lanes) -> Lanes:
    """exp(r) near 1."""
    return fma(r * r, horner(r, "exp"), r) + 1.0


def exp_polynomial_in_two(r: Lanes, low: Lanes) -> Lanes:
    """exp(r + low)."""
    r, low = fast_two_sum(r, low)
    return (fma(r * r, horner(r, "exp"), low) + r) + 1.0


def scaled_within(x: Lanes, bits: Lanes) -> Lanes:
    """x * 2^n for results that are surely normal; n in the low bits of `bits`."""
    return (x.bits() + (bits << DIGITS[x.element])).as_float(x.element)


def power_of_two(bits: Lanes, element: str) -> Lanes:
    return ((bits << DIGITS[element]) + ONE_BITS[element]).as_float(element)


def scaled(x: Lanes, bits: Lanes, n: Lanes) -> Lanes:
    """x * 2^n, rounded once: n in the low bits of `bits` and as a float."""
    if host().has("avx512f") and lanes_of(x.type) == 16:
        return _scaled_by_hardware(x, n)
    count = bits - MAGIC_BITS[x.element]
    half = count >> 1
    return x * power_of_two(half, x.element) * power_of_two(count - half, x.element)


def _scaled_by_hardware(x: Lanes, n: Lanes) -> Lanes:
    """vscalef, a register of 64 bytes at a time; the same bits as two multiplications."""
    if x.element == "float":
        return x.of(_scalef(x.f, "ps", x.value, n.value))
    f, half = x.f, 8
    low, high = ([f.shuffle(v.value, None, list(range(k, k + half))) for v in (x, n)] for k in (0, half))
    return x.of(f.shuffle(_scalef(f, "pd", *low), _scalef(f, "pd", *high), list(range(16))))


def _scalef(f: Function, kind: str, x: Value, n: Value) -> Value:
    width = lanes_of(x.type)
    return f.call(x.type, f"llvm.x86.avx512.mask.scalef.{kind}.512", x, n, x,
                  f.value(-1, f"i{width}"), f.value(4, "i32"))


@exported
def exp(x):
    low, high = RANGE[x.element]
    x = at_least(at_most(x, high), low)
    bits, n, r = exp_reduced(x)
    return scaled(exp_polynomial(r), bits, n)


def exp_half(x):
    """exp(x) / 2, finite as long as it is."""
    bits, n, r = exp_reduced(at_most(x, RANGE[x.element][1]))
    return scaled(exp_polynomial(r), bits - 1, n - 1.0)


def exp_within(x):
    """exp for arguments whose result is surely normal."""
    bits, _, r = exp_reduced(x)
    return scaled_within(exp_polynomial(r), bits)


@exported
def exp2(x):
    low, high = {"float": (-151.0, 129.0), "double": (-1076.0, 1025.0)}[x.element]
    x = at_least(at_most(x, high), low)
    n = x.call("roundeven")
    r = x - n
    return scaled(fma(r, horner(r, "exp2"), 1.0), (n + MAGIC[x.element]).bits(), n)


@exported
def expm1(x):
    """2^n (exp(r) - 1) + (2^n - 1), in halves so that 2^n does not overflow before the result does."""
    high = RANGE[x.element][1]
    capped = at_least(at_most(x, high), -40.0)
    bits, n, r = exp_reduced(capped)
    half = power_of_two(bits - 1 - MAGIC_BITS[x.element], x.element)
    rest = r * r * horner(r, "exp")
    total = fma(rest, half, fma(r, half, half - 0.5))
    exact = select(n.equals(0.0), rest + r, total + total)
    return copysign(select(x > high - 0.2, x * inf, exact), x)


@exported
def tanh(x):
    """1 - 2 / (exp(2|x|) + 1), near 0 a polynomial."""
    a = fabs(x)
    square = x * x
    near = fma(x * square, horner(square, "tanh"), x)
    far = 1.0 - 2.0 / (exp_within(at_most(a + a, 40.0)) + 1.0)
    return copysign(select(a > 0.625, far, near), x)


@in_double
def sinh(x):
    a, square = fabs(x), x * x
    half = exp_half(a)
    near = fma(x * square, horner(square, "sinh"), x)
    return select(a > 1.0, copysign(half - 0.25 / half, x), near)


@in_double
def cosh(x):
    half = exp_half(fabs(x))
    return half + 0.25 / half


# --- logarithms -----------------------------------------------------------------------------------

def log_reduced(x: Lanes, normal: bool = False) -> tuple[Lanes, Lanes, Lanes]:
    """x = 2^e (1 + f), 1 + f between the roots of 1/2 and 2: e, f, and e in the upper bits."""
    element, digits = x.element, DIGITS[x.element]
    lift = 0.0
    if not normal:
        tiny = x < LEAST_NORMAL[element]
        x = select(tiny, x * 2.0 ** (digits + 1), x)
        lift = select(tiny, x.const(-float(digits + 1)), 0.0)
    bits = x.bits() - ROOT_HALF_BITS[element]
    m = ((bits & ((1 << digits) - 1)) + ROOT_HALF_BITS[element]).as_float(element)
    e = (bits >> digits).cast("trunc", "i32").cast("sitofp", element)
    return e if normal else e + lift, m - 1.0, bits & -(1 << digits)


def log_of_reduced(e: Lanes, f: Lanes) -> Lanes:
    """e ln 2 + log(1 + f)."""
    high, low, *_ = parts(f, "ln2")
    if f.goal == "float":
        square = f * f
        tail = fma(f * square, horner(f, "log"), e * low)
        return fma(e, high, fma(square, -0.5, tail) + f)
    half_square = f * f * 0.5
    return fma(e, high, f - (half_square - fma(*_by_s(f, half_square), e * low)))


def _by_s(f, half_square):
    """log(1 + f) = f - f^2/2 + s (f^2/2 + z R(z)), s = f / (2 + f), z = s^2, from log = 2 atanh(s)."""
    s = f / (f + 2.0)
    z = s * s
    return s, fma(z, horner(z, "log_s"), half_square)


def log_specials(x: Lanes, y: Lanes, at_zero: Lanes | None = None) -> Lanes:
    """inf and nan give themselves, 0 minus infinity, less than 0 nan; `at_zero` is 0 where x is log's 0."""
    at_zero = at_zero or x
    y = select(x < inf, y, x)
    wrong = select(at_zero.equals(0.0), x.const(-inf), nan)
    return select(at_zero <= 0.0, wrong, y)


@exported
def log(x):
    e, f, _ = log_reduced(x)
    return log_specials(x, log_of_reduced(e, f))


@exported
def log1p(x):
    """log(u), u = 1 + x, with f = x 2^-e + (2^-e - 1): one rounding where u - 1 would lose x's bits."""
    u = x + 1.0
    e, f, upper = log_reduced(u, normal=True)
    scale = (ONE_BITS[x.element] - upper).as_float(x.element)
    f = select(x > 2.0 ** 60, f, fma(x, scale, scale - 1.0))
    return copysign(log_specials(x, log_of_reduced(e, f), u), x)


def log_times(x: Lanes, factor: str, of_two: tuple) -> Lanes:
    """log(x) * factor in two parts, e * of_two + log(1 + f) * factor: exact for powers of the base."""
    e, f, _ = log_reduced(x)
    half_square = f * f * 0.5
    s, tail = _by_s(f, half_square)
    if x.goal == "mixed":
        return log_specials(x, fma(e, of_two[0], (f - (half_square - s * tail)) * parts(x, factor)[0]))
    lost = fma(f, f * 0.5, -half_square)
    high = f - half_square
    low = ((f - high) - half_square) + (s * tail - lost)
    c, c_low, *_ = parts(x, factor)
    product, error = two_product(high, c)
    error = error + fma(high, c_low, low * c)
    base, base_error = two_product(e, of_two[0])
    total, rest = fast_two_sum(base, product)
    return log_specials(x, total + (rest + (error + fma(e, of_two[1], base_error))))


@in_double
def log2(x):
    return log_times(x, "log2e", (1.0, 0.0))


@in_double
def log10(x):
    return log_times(x, "log10e", parts(x, "log10_2"))


@in_double
def asinh(x):
    """log1p(a + a^2 / (1 + sqrt(1 + a^2))); log(a) + ln 2 once a^2 is all there is."""
    a = fabs(x)
    big = a > 2.0 ** 60
    small = select(big, 1.0, a)
    square = small * small
    grown = select(big, a, small + square / (sqrt(square + 1.0) + 1.0))
    return copysign(log1p(grown) + select(big, x.const(LN2), 0.0), x)


@in_double
def acosh(x):
    """log1p(t + sqrt(2t + t^2)), t = x - 1."""
    big = x > 2.0 ** 60
    t = select(big, 1.0, x - 1.0)
    grown = select(big, x, t + sqrt(fma(t, t, t + t)))
    return select(x < 1.0, nan, log1p(grown) + select(big, x.const(LN2), 0.0))


@in_double
def atanh(x):
    a = fabs(x)
    return copysign(log1p((a + a) / (1.0 - a)) * 0.5, x)


# --- powers ---------------------------------------------------------------------------------------

def log_in_two(x: Lanes) -> tuple[Lanes, Lanes]:
    """log(x) for x > 0 as high + low, to about 2^-64: 2 atanh(s) with s and s^3 in two parts."""
    e, f, _ = log_reduced(x)
    whole = f + 2.0
    lost = f - (whole - 2.0)
    inverse = 1.0 / whole
    s = f * inverse
    s_low = (fma(-s, whole, f) - s * lost) * inverse
    z, z_low = two_product(s, s)
    z_low = fma(s + s, s_low, z_low)
    cube, cube_low = two_product(z, s)
    cube_low = cube_low + fma(z_low, s, z * s_low)
    third, third_low = two_product(cube, 2 / 3)
    third_low = third_low + fma(cube, TWO_THIRDS_LOW, cube_low * (2 / 3))
    high, low = fast_two_sum(s + s, third)
    low = low + (fma(z * cube, horner(z, "log_tail"), third_low) + (s_low + s_low))
    return _add_exponent(e, high, low)


TWO_THIRDS_LOW = 2.0 ** -54 * (2 / 3)       # binary 0.101010...: what rounding cut off repeats it


def _add_exponent(e, high, low):
    ln2, ln2_low, *_ = parts(e, "ln2")
    base, base_low = two_product(e, ln2)
    total, rest = fast_two_sum(base, high)
    return fast_two_sum(total, rest + (low + fma(e, ln2_low, base_low)))


def exp_in_two(high: Lanes, low: Lanes) -> Lanes:
    """exp(high + low); a low that comes with an extreme high means nothing."""
    bottom, top = RANGE[high.element]
    low = select(fabs(high) < 1000.0, low, 0.0)
    capped = at_least(at_most(high, top), bottom)
    bits, n, r = exp_reduced(capped)
    return scaled(exp_polynomial_in_two(r, low), bits, n)


def _positive_power(a: Lanes, y: Lanes) -> Lanes:
    """a^y for a >= 0."""
    if a.goal == "mixed":
        return exp(log(a) * y)
    high, low = log_in_two(a)
    inside = (a > 0.0) & (a < inf)
    high = select(inside, high, select(a > 0.0, a, select(a.equals(0.0), a.const(-inf), a)))
    low = select(inside, low, 0.0)
    product, rest = two_product(high, y)
    return exp_in_two(product, fma(low, y, rest))


@in_double
def pow(x, y):
    """|x|^y with the sign of an odd y; C's special cases (ISO C, F.10.4.4)."""
    a = fabs(x)
    size = _positive_power(a, y)
    whole = trunc(y).equals(y)
    odd = whole & trunc(y * 0.5).differs(y * 0.5)
    below = x.bits() < 0
    signed = select(below & odd, -size, size)
    signed = select((x < 0.0) & (x > -inf) & ~whole & (fabs(y) < inf), nan, signed)
    one = y.equals(0.0) | x.equals(1.0) | (a.equals(1.0) & fabs(y).equals(inf))
    return select(one, 1.0, signed)


@exported
def rsqrt(x):
    return 1.0 / sqrt(x)


# --- remainders -----------------------------------------------------------------------------------

@exported
def fmod(a, b):
    """C's fmod, exact: each turn takes off trunc(r / b) b, which fma leaves exact, until |r| < |b|.

    A quotient rounded up leaves an r of the other sign, which the next turn or the end takes back.
    """
    f, divisor = a.f, fabs(b)
    huge = 2.0 ** (100 if a.element == "float" else 1000)
    start = fabs(a)
    runs = (start >= divisor) & (start < inf) & (divisor > 0.0)
    rest = _fmod_turns(f, start, divisor, runs, huge)
    rest = select(rest < 0.0, rest + divisor, rest)
    rest = select(runs, rest, start)
    legal = (start < inf) & divisor.differs(0.0) & divisor.equals(divisor)
    return select(legal, copysign(rest, a), nan)


def enlarged(divisor: Lanes, rest: Lanes, huge: float) -> Lanes:
    larger = divisor * huge
    return select(rest >= larger, larger, divisor)


def _fmod_turns(f, start, divisor, runs, huge):
    """Lanes that do not run are 0; a divisor far below r is enlarged, so that r / b stays finite."""
    first = select(runs, start, 0.0)
    with f.when(runs.any(), otherwise=[first.value]) as branch:
        with f.repeat([first.value]) as loop:
            rest = start.of(loop.values[0])
            step = enlarged(enlarged(divisor, fabs(rest), huge), fabs(rest), huge)
            left = select(runs, fma(trunc(rest / step), -step, rest), 0.0)
            loop.again(((fabs(left) >= divisor) & runs).any(), left.value)
        branch.give(loop.results[0])
    return start.of(branch.results[0])
