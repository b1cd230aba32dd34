"""Fits the polynomials of rushlight/cpu/math.py and writes them to rushlight/cpu/coefficients.py.

    python tools/fit_polynomials.py            needs mpmath

Each row: the smooth function that is left when the argument is reduced, its interval, its weight (what an
absolute error of it does to the result, relative to the result) and the degree for each goal. A fit
is weighted least squares on Chebyshev nodes, pulled towards the minimax fit by Lawson's reweighting.
The first coefficients are rounded before the rest is fitted, so that the rest makes up for it.
"""
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 60
TARGET = Path(__file__).parent.parent / "rushlight" / "cpu" / "coefficients.py"
GOALS = {"float": 24, "mixed": 53, "double": 53}        # bits of a coefficient


def series(*terms):
    """A function whose formula loses everything near 0: its Taylor polynomial there."""
    return lambda x: mp.fsum(t * x ** k for k, t in enumerate(terms))


def near_zero(formula, taylor, radius=mp.mpf("1e-6")):
    return lambda x: taylor(x) if abs(x) < radius else formula(x)


def in_square(formula, *terms):
    """g(z) with z = x^2, from a formula in x."""
    return near_zero(lambda z: formula(mp.sqrt(z)), series(*map(mp.mpf, terms)), mp.mpf("1e-10"))


HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.0001")
EIGHTH = mp.tan(mp.pi / 8) ** 2 * mp.mpf("1.0001")
QUARTER = (mp.pi / 4) ** 2 * mp.mpf("1.0001")
ROOT = mp.sqrt(2)
S_MAX = ((ROOT - 1) / (ROOT + 1)) ** 2 * mp.mpf("1.0001")


def _erfcx(t):
    return (1 + 2 * t) * mp.exp(t * t) * mp.erfc(t)


def _erfcx_reduced(s):
    t = mp.mpf("3.75") * (1 + s) / (1 - s)
    return _erfcx(t)


def _erfinv(w):
    """erfinv(x) / x at x = sqrt(1 - exp(-w))."""
    if w < mp.mpf("1e-30"):
        return mp.sqrt(mp.pi) / 2
    x = mp.sqrt(-mp.expm1(-w))
    return mp.erfinv(x) / x


def _bessel_near(order):
    """I(x), divided by x / 2 for order 1, at t = x^2 / 4: all terms of its series are positive."""
    return lambda t: mp.besseli(order, 2 * mp.sqrt(t)) / mp.sqrt(t) ** order if t > mp.mpf("1e-30") else mp.mpf(1)


def _bessel_far(order):
    """sqrt(x) exp(-x) I(x) at x = 16 / (1 + s); its limit is reached before s = -1."""
    def g(s):
        if s < mp.mpf("-0.99999"):
            s = mp.mpf("-0.99999")
        x = 16 / (1 + s)
        return mp.sqrt(x) * mp.exp(-x) * mp.besseli(order, x)
    return g


ROWS = {
    # (exp(r) - 1 - r) / r^2
    "exp": (near_zero(lambda r: (mp.expm1(r) - r) / r ** 2, series(mp.mpf(1) / 2, mp.mpf(1) / 6, mp.mpf(1) / 24)),
            (-HALF_LN2, HALF_LN2), lambda r: r ** 2, dict(float=4, mixed=6, double=9)),
    # (2^r - 1) / r
    "exp2": (near_zero(lambda r: mp.expm1(r * mp.log(2)) / r,
                       series(mp.log(2), mp.log(2) ** 2 / 2, mp.log(2) ** 3 / 6), mp.mpf("1e-12")),
             (mp.mpf("-0.50001"), mp.mpf("0.50001")), lambda r: abs(r) + mp.mpf("0.01"), dict(float=5, double=11)),
    # (log(1 + f) - f + f^2 / 2) / f^3
    "log": (near_zero(lambda f: (mp.log1p(f) - f + f * f / 2) / f ** 3,
                      series(mp.mpf(1) / 3, -mp.mpf(1) / 4, mp.mpf(1) / 5)),
            (1 / ROOT - 1, ROOT - 1), lambda f: f ** 2, dict(float=8)),
    # log(1 + f) = 2 s + s z R(z) with s = f / (2 + f), z = s^2
    "log_s": (in_square(lambda s: (2 * mp.atanh(s) - 2 * s) / s ** 3, mp.mpf(2) / 3, mp.mpf(2) / 5, mp.mpf(2) / 7),
              (0, S_MAX), lambda z: z + mp.mpf("1e-5"), dict(mixed=4, double=7)),
    # the same without its first term, for the logarithm in two parts that pow needs
    "log_tail": (in_square(lambda s: ((2 * mp.atanh(s) - 2 * s) / s ** 3 - mp.mpf(2) / 3) / s ** 2,
                           mp.mpf(2) / 5, mp.mpf(2) / 7, mp.mpf(2) / 9),
                 (0, S_MAX), lambda z: mp.mpf(1), dict(double=8)),
    # (sin r - r) / r^3, (cos r - 1 + r^2 / 2) / r^4, (tan r - r) / r^3
    "sin": (in_square(lambda r: (mp.sin(r) - r) / r ** 3, -mp.mpf(1) / 6, mp.mpf(1) / 120),
            (0, QUARTER), lambda z: z, dict(float=2, double=5)),
    "cos": (in_square(lambda r: (mp.cos(r) - 1 + r * r / 2) / r ** 4, mp.mpf(1) / 24, -mp.mpf(1) / 720),
            (0, QUARTER), lambda z: z * z, dict(float=2, double=5)),
    "tan": (in_square(lambda r: (mp.tan(r) - r) / r ** 3, mp.mpf(1) / 3, mp.mpf(2) / 15),
            (0, QUARTER), lambda z: z, dict(mixed=8, double=14)),
    "atan": (in_square(lambda t: (mp.atan(t) - t) / t ** 3, -mp.mpf(1) / 3, mp.mpf(1) / 5),
             (0, EIGHTH), lambda z: z, dict(mixed=7, double=12)),
    "asin": (in_square(lambda x: (mp.asin(x) - x) / x ** 3, mp.mpf(1) / 6, mp.mpf(3) / 40),
             (0, mp.mpf("0.25001")), lambda z: z, dict(mixed=8, double=13)),
    "sinh": (in_square(lambda x: (mp.sinh(x) - x) / x ** 3, mp.mpf(1) / 6, mp.mpf(1) / 120),
             (0, mp.mpf("1.0001")), lambda z: z, dict(mixed=4, double=7)),
    "tanh": (in_square(lambda x: (mp.tanh(x) - x) / x ** 3, -mp.mpf(1) / 3, mp.mpf(2) / 15),
             (0, mp.mpf("0.391")), lambda z: z, dict(float=4, double=10)),
    # erf(x) / x - 1, for |x| <= 0.92 (float) and 1
    "erf": (in_square(lambda x: mp.erf(x) / x - 1, 2 / mp.sqrt(mp.pi) - 1, -2 / mp.sqrt(mp.pi) / 3),
            (0, mp.mpf("1.0001")), lambda z: mp.mpf(1), dict(float=6, mixed=8, double=12)),
    # -log(erfc(t)) / t: erf(t) = 1 - exp(-t g(t)) above 0.92; by t = 4 nothing of it is left in a float
    "erf_tail": (lambda t: -mp.log(mp.erfc(t)) / t, (mp.mpf("0.919"), mp.mpf("4.01")),
                 lambda t: t * mp.erfc(t), dict(float=6)),
    # (1 + 2 t) exp(t^2) erfc(t) over all t >= 0, in s = (t - 3.75) / (t + 3.75); the substitution of
    # Shepherd & Laframboise, Mathematics of Computation 36 (1981)
    "erfcx": (_erfcx_reduced, (-1, mp.mpf("0.77")), lambda s: mp.mpf(1), dict(mixed=14, double=28)),
    # lgamma(2 + t) / t
    "lgamma": (near_zero(lambda t: mp.loggamma(2 + t) / t,
                         series(1 - mp.euler, (mp.zeta(2) - 1) / 2, (1 - mp.zeta(3)) / 3), mp.mpf("1e-12")),
               (mp.mpf("-0.501"), mp.mpf("0.501")), lambda t: mp.mpf(1), dict(mixed=12, double=19)),
    # erfinv(x) / x in w = -log(1 - x^2), and in sqrt(w) from w = 6.25 on
    "erfinv": (_erfinv, (0, mp.mpf("6.26")), lambda w: mp.mpf(1), dict(mixed=13)),
    "erfinv_tail": (lambda v: _erfinv(v * v), (mp.mpf("2.49"), mp.mpf("6.1")), lambda v: mp.mpf(1),
                    dict(mixed=14)),
    # modified Bessel functions up to 8, and from there on
    "i0": (_bessel_near(0), (0, mp.mpf("16.001")), lambda t: 1 / _bessel_near(0)(t), dict(mixed=10, double=20)),
    "i0_far": (_bessel_far(0), (-1, mp.mpf("1.0001")), lambda s: mp.mpf("2.5"), dict(mixed=8, double=25)),
    "i1": (_bessel_near(1), (0, mp.mpf("16.001")), lambda t: 1 / _bessel_near(1)(t), dict(mixed=10, double=20)),
    "i1_far": (_bessel_far(1), (-1, mp.mpf("1.0001")), lambda s: mp.mpf("2.5"), dict(mixed=8, double=25)),
}


def rounded(value, bits):
    """To nearest, with `bits` significant bits."""
    if value == 0:
        return mp.mpf(0)
    scale = mp.mpf(2) ** (bits - 1 - mp.floor(mp.log(abs(value), 2)))
    return mp.nint(value * scale) / scale


def nodes(low, high, count):
    angle = [(2 * k + 1) * mp.pi / (2 * count) for k in range(count)]
    return [(low + high) / 2 + (high - low) / 2 * mp.cos(a) for a in angle]


def least_squares(columns, wanted, weights):
    """Solved by the normal equations; 60 digits make up for their condition."""
    n = len(columns)
    left, right = mp.matrix(n, n), mp.matrix(n, 1)
    for i in range(n):
        weighed = [w * c for w, c in zip(weights, columns[i], strict=True)]
        for j in range(i, n):
            left[i, j] = left[j, i] = mp.fdot(weighed, columns[j])
        right[i] = mp.fdot(weighed, wanted)
    return list(mp.lu_solve(left, right))


def fit(g, interval, weight, degree, bits, turns=6, fixed=5):
    """Coefficients, lowest first, rounded to `bits`; and the largest weighted error."""
    xs = nodes(*map(mp.mpf, interval), 4 * (degree + 2))
    values, weigh = [g(x) for x in xs], [weight(x) for x in xs]
    lawson = [mp.mpf(1)] * len(xs)
    known: list = []
    while len(known) <= degree:
        columns = [[x ** k for x in xs] for k in range(len(known), degree + 1)]
        rest = [v - mp.polyval(known[::-1], x) if known else v for v, x in zip(values, xs, strict=True)]
        for _ in range(turns):
            found = least_squares(columns, rest, [a * w * w for a, w in zip(lawson, weigh, strict=True)])
            errors = [abs(w * (r - mp.fdot(found, [c[i] for c in columns])))
                      for i, (r, w) in enumerate(zip(rest, weigh, strict=True))]
            top = max(errors)
            lawson = [a * (e / top + mp.mpf("0.02")) for a, e in zip(lawson, errors, strict=True)]
        known += [rounded(c, bits) for c in found[:1 if len(known) < fixed else None]]
    return known, max(w * abs(v - mp.polyval(known[::-1], x)) for v, w, x in zip(values, weigh, xs, strict=True))


def split(value, bits, parts):
    """A constant as a sum of floats, each the rounded rest of the one before."""
    out = []
    for _ in range(parts):
        out.append(rounded(value, bits))
        value -= out[-1]
    return out


CONSTANTS = {"ln2": mp.log(2), "log2e": 1 / mp.log(2), "log10e": 1 / mp.log(10), "log10_2": mp.log(2, 10),
             "pi": mp.pi, "half_pi": mp.pi / 2, "two_over_pi": 2 / mp.pi}


def wrapped(head, numbers):
    lines, line = [], head + "("
    for n in numbers:
        text = f"{float(n)!r}, "
        if len(line) + len(text) > 98:
            lines, line = [*lines, line.rstrip()], " " * 8
        line += text
    return "\n".join([*lines, line.rstrip(" ") + "),"])


def main():
    out = ['"""Polynomials and split constants of cpu/math.py; written by tools/fit_polynomials.py."""', "",
           "POLYNOMIALS = {        # name, goal: coefficients, lowest first; the largest weighted error"]
    for name, (g, interval, weight, degrees) in ROWS.items():
        for goal, degree in degrees.items():
            found, error = fit(g, interval, weight, degree, GOALS[goal])
            bound = float(mp.log(error, 2))
            print(f"{name:9} {goal:7} degree {degree:2}  2^{bound:.1f}")
            out += [f"    # 2^{bound:.1f}", wrapped(f'    ("{name}", "{goal}"): ', found)]
    out += ["}", "", "SPLIT = {              # name, type: the constant as a sum of floats"]
    for name, value in CONSTANTS.items():
        for type, bits in (("float", 24), ("double", 53)):
            out.append(wrapped(f'    ("{name}", "{type}"): ', split(value, bits, 4)))
    bits = 8 * 184
    with mp.workprec(bits + 200):
        digits = int(mp.floor(2 / mp.pi * mp.mpf(2) ** bits))
    text = digits.to_bytes(bits // 8, "little").hex()
    out += ["}", "", "# floor(2 / pi * 2^1472), lowest byte first", "TWO_OVER_PI = bytes.fromhex("]
    out += [f'    "{text[i:i + 88]}"' for i in range(0, len(text), 88)]
    TARGET.write_text("\n".join([*out, ")", ""]))


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
