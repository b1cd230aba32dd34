"""Families of special functions on the host, in float64: orthogonal polynomials, Bessel functions, zeta.

Bessel functions of small arguments are means of Bessel's integral over equidistant angles, which converge
faster than any power; far out they are Hankel's expansion (Abramowitz and Stegun 9.1, 9.2).
"""
from __future__ import annotations

import math

import numpy as np

from .pointwise import erfc
from .samples import draws
from .special import _special

FLOATS = (np.float32, np.float64)
EULER = 0.5772156649015329
FAR, ANGLES = 25.0, 128


# -- orthogonal polynomials: p0 = 1, p1, and p[k + 1] from p[k] and p[k - 1] ------------------------
FIRST = {"t": lambda x: x, "u": lambda x: 2 * x, "v": lambda x: 2 * x - 1, "w": lambda x: 2 * x + 1,
         "h": lambda x: 2 * x, "he": lambda x: x, "l": lambda x: 1 - x, "p": lambda x: x}
NEXT = {"h": lambda k, x, p, q: 2 * x * p - 2 * k * q, "he": lambda k, x, p, q: x * p - k * q,
        "l": lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1),
        "p": lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1)}


def _chebyshev(_k, x, p, q):
    return 2 * x * p - q


def _polynomial(x, n, *, kind):
    """The polynomial of degree n (its whole part) at x; 0 for negative degrees."""
    n = np.trunc(np.where(np.isnan(n), -1, n))
    before, now = np.ones_like(x), FIRST[kind](x)
    y = np.where(n == 0, before, np.where(n == 1, now, 0.0))
    for k in range(1, int(n.max(initial=0))):
        before, now = now, NEXT.get(kind, _chebyshev)(k, x, now, before)
        y = np.where(n == k + 1, now, y)
    return y


def _degrees(rng):
    return [((rng.uniform(-1, 1, s).astype(d), rng.integers(-1, 9, s).astype(d)), {"kind": kind})
            for s in ((5,), (3, 17)) for d in FLOATS for kind in FIRST]


polynomial = _special("orthogonal_polynomial", _polynomial, (None, None), _degrees)


# -- Bessel functions of the first and second kind -------------------------------------------------
def _waves(x):
    """cos and sin of x sin(angle), and the angles."""
    angles = np.arange(ANGLES) * (2 * math.pi / ANGLES)
    along = x[..., None] * np.sin(angles)
    return np.cos(along), np.sin(along), angles


def _mean(x, weights):
    """The sum of w J_m(x) over (m, w) in `weights`."""
    c, s, angles = _waves(x)
    even = sum(w * np.cos(m * angles) for m, w in weights)
    odd = sum(w * np.sin(m * angles) for m, w in weights)
    return (c @ even + s @ odd) / ANGLES


def _hankel(x, order):
    """P and Q of Hankel's expansion."""
    p, q, term = np.ones_like(x), np.zeros_like(x), np.ones_like(x)
    for k in range(1, 24):
        term = term * (4 * order * order - (2 * k - 1) ** 2) / (8 * k * x)
        sign = -1 if k % 4 in (2, 3) else 1
        p, q = (p + sign * term, q) if k % 2 == 0 else (p, q + sign * term)
    return p, q


def _far(x, order, second):
    p, q = _hankel(x, order)
    c, s = np.cos(x), np.sin(x)
    c, s = ((c + s, s - c) if order == 0 else (s - c, -s - c))      # times sqrt(1/2): of the phase
    wave = p * s + q * c if second else p * c - q * s
    return wave / np.sqrt(math.pi * x)


def _first_kind(x, *, order):
    size = np.abs(x)
    near = np.where(size < FAR, size, 0)
    y = np.where(size < FAR, _mean(near, [(order, 1.0)]),
                 _far(np.where(np.isinf(size), 1e300, np.maximum(size, FAR)), order, False))
    y = np.where(np.isinf(size), 0.0, y)
    return np.where(np.isnan(x), x, y * np.sign(x) if order else y)


def _second_kind(x, *, order):
    """By Neumann's series below, Hankel's expansion above; nan for negative x."""
    near = np.where((x > 0) & (x < FAR), x, 1.0)
    log = np.log(near / 2) + EULER
    if order == 0:
        tail = _mean(near, [(2 * k, (-1) ** k / k) for k in range(1, 32)])
        y = 2 / math.pi * log * _mean(near, [(0, 1.0)]) - 4 / math.pi * tail
    else:
        tail = _mean(near, [(m, (-1) ** k / k * sign) for k in range(1, 32) for m, sign in ((2 * k - 1, 1), (2 * k + 1, -1))])
        j0, j1 = (_mean(near, [(m, 1.0)]) for m in (0, 1))          # minus the slope of the other series
        y = 2 / math.pi * (log * j1 + tail - j0 / near)
    far = _far(np.where(np.isinf(x), 1e300, np.maximum(x, FAR)), order, True)
    y = np.where(np.isinf(x), 0.0, np.where(x < FAR, y, far))
    return np.where(x == 0, -np.inf, np.where((x < 0) | np.isnan(x), np.nan, y))


def _orders(low, high):
    return lambda rng: [(xs, {"order": n}) for xs, _ in draws(low, high, 1, FLOATS)(rng) for n in (0, 1)]


bessel_j = _special("bessel_j", _first_kind, (None,), _orders(-40, 40))
bessel_y = _special("bessel_y", _second_kind, (None,), _orders(0.1, 40))


# -- modified Bessel functions of the second kind --------------------------------------------------
STEP, STEPS = 0.1, 400


def _modified(x, *, order, scaled):
    """The integral of exp(-x cosh t) cosh(n t), by the trapezoidal rule; far out Hankel's expansion."""
    t = np.arange(STEPS) * STEP
    weights = np.cosh(order * t)
    weights[0] /= 2
    near = np.where((x > 0) & (x < FAR), x, 1.0)
    y = np.exp(-near[..., None] * (np.cosh(t) - 1)) @ weights * STEP
    far = np.where(np.isinf(x), 1e300, np.maximum(x, FAR))
    term = total = np.ones_like(far)
    for k in range(1, 24):
        term = term * (4 * order * order - (2 * k - 1) ** 2) / (8 * k * far)
        total = total + term
    y = np.where(x < FAR, y, total * np.sqrt(math.pi / (2 * far)))
    y = y if scaled else y * np.exp(-np.where(x > 0, x, 1.0))
    return np.where(x == 0, np.inf, np.where((x < 0) | np.isnan(x), np.nan, np.where(np.isinf(x), 0.0, y)))


def _modified_samples(rng):
    return [(xs, {**how, "scaled": s}) for xs, how in _orders(0.05, 30)(rng) for s in (False, True)]


bessel_k = _special("bessel_k", _modified, (None,), _modified_samples)


# -- zeta, and quantiles of the normal distribution --------------------------------------------------
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def _zeta(s, q):
    """Hurwitz' zeta: some terms, then Euler and Maclaurin's sum."""
    good = (s > 1) & ((q > 0) | (s == np.floor(s)) & (q != np.floor(q)))
    e, at = np.where(good, s, 2.0), np.where(good, q, 1.0)
    total = np.zeros_like(e * at)
    for _ in range(int(np.ceil(max(0.0, 12 - at.min(initial=12.0))))):
        total, at = np.where(at < 12, total + at ** -e, total), np.where(at < 12, at + 1, at)
    total = total + at ** (1 - e) / (e - 1) + at ** -e / 2
    rising = e
    for j, b in enumerate(BERNOULLI, 1):
        total = total + at ** (-e - 2 * j + 1) * (b / math.factorial(2 * j)) * rising
        rising = rising * (e + 2 * j - 1) * (e + 2 * j)
    y = np.where(good, total, np.nan)
    infinite = (s == 1) | (s > 1) & (q <= 0) & (q == np.floor(q))
    return np.where(infinite & ~np.isnan(q), np.inf, np.where(np.isnan(s + q), np.nan, y))


zeta = _special("zeta", _zeta, (None, None), lambda rng: [
    ((rng.uniform(1.1, 9, n).astype(d), rng.uniform(0.2, 9, n).astype(d)), {}) for n in ((5,), (3, 4)) for d in FLOATS])


def _quantile(p):
    """x with normal cdf p: Newton's method on the logarithm of the cdf, in the lower half."""
    low = np.minimum(p, 1 - p)
    good = np.where((low > 0) & (low <= 0.5), low, 0.5)
    x = -np.sqrt(np.maximum(-2 * np.log(2 * good), 0))
    for _ in range(12):
        cdf = np.maximum(erfc.reference(-x * math.sqrt(0.5)) / 2, 1e-320)
        density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        x = x - (np.log(cdf) - np.log(good)) * cdf / np.maximum(density, 1e-320)
    x = np.where(low == 0, -np.inf, np.where(good == 0.5, 0.0, x))
    return np.where((p < 0) | (p > 1) | np.isnan(p), np.nan, np.where(p > 0.5, -x, x))


ndtri = _special("ndtri", _quantile, (None,), draws(0.001, 0.999, 1, FLOATS))


# -- Airy's function ---------------------------------------------------------------------------------
AIRY_STEP = 0.25
AIRY_NODES = np.arange(25) * AIRY_STEP
AIRY_NEAR = 2.0              # below, Maclaurin's series keeps its digits
AI0, SLOPE0 = 0.355028053887817239, 0.258819403792806798        # Ai(0), -Ai'(0)


def _airy_far(z):
    """Ai(z) for complex z with |arg z| < 2 pi / 3, away from 0: sqrt(z / 3) K(zeta) / pi of order 1/3.

    K is the integral of exp(-zeta cosh t) cosh(t / 3), by the trapezoidal rule over s with
    s^2 = 2 zeta sinh(t / 2)^2, where the integrand is a normal density times what hardly varies.
    """
    zeta = 2 / 3 * z * np.sqrt(z)
    root = np.sqrt(2 * zeta)[..., None]
    s = AIRY_NODES / root
    terms = np.exp(-AIRY_NODES ** 2) * np.cosh(2 / 3 * np.arcsinh(s)) / (root * np.sqrt(1 + s * s))
    terms[..., 0] /= 2
    return np.sqrt(z / 3) / math.pi * np.exp(-zeta) * terms.sum(-1) * 2 * AIRY_STEP


def _airy_near(x):
    """Two series in x^3 (Abramowitz and Stegun 10.4.2)."""
    cube, f, g = x ** 3, np.ones_like(x), x.copy()
    a, b = f.copy(), g.copy()
    for k in range(1, 25):
        f = f * cube / ((3 * k - 1) * (3 * k))
        g = g * cube / ((3 * k) * (3 * k + 1))
        a, b = a + f, b + g
    return AI0 * a - SLOPE0 * b


def _airy(x):
    x64 = np.asarray(x, np.float64)
    size = np.clip(np.abs(x64), AIRY_NEAR, 1e150)
    turn = np.exp(1j * math.pi / 3)
    y = np.where(x64 > 0, _airy_far(np.minimum(size, 200.0) + 0j).real, 2 * (turn * _airy_far(size * turn)).real)
    y = np.where(np.abs(x64) < AIRY_NEAR, _airy_near(np.clip(x64, -AIRY_NEAR, AIRY_NEAR)), y)
    return np.where(np.isfinite(x64), y, np.nan).astype(np.asarray(x).dtype)


airy_ai = _special("airy_ai", _airy, (None,), draws(-12, 12))
