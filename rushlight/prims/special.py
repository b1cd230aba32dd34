"""Special functions, in float64 whatever the dtype: Bessel; on the host incomplete gamma, erfcx."""
from __future__ import annotations

import inspect
import math

import numpy as np

from .. import ops as o
from .pointwise import erfc, lgamma
from .samples import draws
from .table import Primitive, _slope_tangent, elementwise_shape, pointwise, same_dtype
from .table import _batch_pointwise as _batch

ASYMPTOTIC, NODES, TERMS = 40.0, 128, 10_000


def _in_float64(reference):
    def meaning(*xs, **params):
        with np.errstate(all="ignore"):
            wide = reference(*[x.astype(np.float64) for x in xs], **params)
        return np.asarray(wide).astype(xs[0].dtype)
    return meaning


def _special(name, reference, slopes, samples):
    rules = tuple(s and _rule(s) for s in slopes)
    return Primitive(name, "host", _in_float64(reference), elementwise_shape, same_dtype, rules,
                     _slope_tangent(slopes), _batch, samples=samples)


def _rule(slope):
    rule = lambda g, y, *xs, **params: g * slope(y, *xs, **params)
    names = [n for n, q in inspect.signature(slope).parameters.items() if q.kind != q.KEYWORD_ONLY]
    rule.uses = frozenset(i for i, n in enumerate(names) if not n.startswith("_"))
    return rule


# -- modified Bessel functions of the first kind ---------------------------------------------------

def _bessel(x, *, order, scaled):
    """exp(-|x|) I_n: by the trapezoidal rule on Bessel's integral, for large x by the series."""
    size = np.abs(x)
    angles = np.arange(NODES) * (math.pi / NODES)
    weights = np.cos(order * angles) / NODES
    weights[0] /= 2
    near = np.where(size < ASYMPTOTIC, size, 0)
    y = np.exp(near[..., None] * (np.cos(angles) - 1)) @ weights
    y = y + (-1) ** order * np.exp(-2 * near) / (2 * NODES)     # the node at pi
    y = np.where(size < ASYMPTOTIC, y, _bessel_far(np.maximum(size, ASYMPTOTIC), order))
    y = np.where(size < 1, _bessel_near(np.minimum(size, 1), order) * np.exp(-size), y)
    y = y if scaled else y * np.exp(size)
    y = np.where(np.isnan(x), x, y)
    return y if order == 0 else np.copysign(1, x) * np.where(x == 0, 0, y)


def _bessel_near(x, order):
    return (x / 2) ** order * sum((x * x / 4) ** k / (math.factorial(k) * math.factorial(k + order))
                                  for k in range(12))


def _bessel_far(x, order):
    term, total = np.ones_like(x), np.ones_like(x)
    for k in range(1, 25):
        term = -term * (4 * order ** 2 - (2 * k - 1) ** 2) / (8 * k * x)
        total = total + term
    return total / np.sqrt(2 * math.pi * x)


def _bessel_slope(order, scaled):
    def slope(_y, x):
        one = bessel[1, scaled](x)
        below = bessel[0, scaled](x) - o.where(x == 0, 0.5, one / o.where(x == 0, 1.0, x)) if order else one
        return below - x.sign() * bessel[order, True](x) if scaled else below
    return slope


def _bessel_meaning(order, scaled):
    return _in_float64(lambda x: _bessel(x, order=order, scaled=scaled))


def _bessel_samples(rng):
    return [pair for pair in draws(-60, 60)(rng) if pair[0][0].dtype in (np.float32, np.float64)]


bessel = {(order, scaled): pointwise(
    f"bessel_i{order}{'e' * scaled}", numpy=_bessel_meaning(order, scaled), slope=_bessel_slope(order, scaled),
    samples=_bessel_samples, ulp=4) for order in (0, 1) for scaled in (False, True)}


# -- incomplete gamma functions --------------------------------------------------------------------

def _incomplete(a, x, *, upper):
    """P(a, x) by its series for x < a + 1, else Q(a, x) by Legendre's continued fraction."""
    weight = np.exp(a * np.log(x) - x - lgamma.reference(a))
    small = x < a + 1
    low = weight * _lower_series(a, np.where(small, x, 0))
    high = weight / _fraction(a, np.where(small, a + 2, x))
    y = np.where(small, 1 - low if upper else low, high if upper else 1 - high)
    y = np.where(x == 0, float(upper), np.where(np.isinf(x), float(not upper), y))
    y = np.where((a == 0) & (x > 0), float(not upper), y)
    return np.where((x < 0) | (a < 0) | np.isnan(a + x) | (a == 0) & (x == 0), np.nan, y)


def _lower_series(a, x):
    term = total = 1 / a
    for n in range(1, TERMS):
        term = term * x / (a + n)
        total = total + term
        if not np.any(term > 1e-17 * total):
            break
    return total


def _fraction(a, x):
    """The continued fraction's reciprocal, from its start (modified Lentz)."""
    b = x + 1 - a
    y, c, d = b, b, np.zeros_like(b)
    for n in range(1, TERMS):
        step, b = n * (a - n), b + 2
        d = 1 / (b + step * d)
        c = b + step / c
        y = y * c * d
        if not np.any(np.abs(c * d - 1) > 1e-16):
            break
    return y


def incomplete_density(_y, a, x, *, upper):
    y = ((a - 1) * x.log() - x - a.lgamma()).exp()
    return -y if upper else y


def _gamma_samples(rng):
    return [((rng.uniform(0.1, 20, s).astype(d), rng.uniform(0, 40, s).astype(d)),
             dict(upper=upper)) for s in ((), (5,), (3, 17)) for d in (np.float32, np.float64)
            for upper in (False, True)]


incomplete_gamma = _special("incomplete_gamma", _incomplete, (None, incomplete_density), _gamma_samples)


# -- the scaled error function ---------------------------------------------------------------------

def _erfcx(x):
    far = 1 / np.maximum(np.abs(x), 8) ** 2
    term, total = np.ones_like(x), np.ones_like(x)
    for k in range(1, 25):
        term = -term * (k - 0.5) * far
        total = total + term
    series = total / (np.maximum(x, 8) * math.sqrt(math.pi))
    return np.where(x < 8, np.exp(x * x) * erfc.reference(np.minimum(x, 8)), series)


erfcx = _special("erfcx", _erfcx, (lambda y, x: 2 * x * y - 2 / math.sqrt(math.pi),),
                 draws(-3, 20, dtypes=(np.float32, np.float64)))
