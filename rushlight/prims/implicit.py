"""How samples move with their parameters: implicit derivatives (Figurnov, Mohamed, Mnih 2018).

A sample x of a distribution with cdf F(x; a) moves by dx/da = -(dF/da) / (dF/dx); both are summed
from the series of the incomplete gamma and beta functions, divided by the density term by term.
"""
from __future__ import annotations

import numpy as np

from .pointwise import digamma
from .table import Primitive, elementwise_shape, same_dtype
from .table import _batch_pointwise as _batch

TERMS = 100_000         # far more than any series here takes


def _series(first, ratio, slope, next_slope):
    """sum of t_n s_n with t_n+1 = t_n ratio(n), s_n+1 = s_n + next_slope(n), until terms vanish."""
    term, total = first, np.zeros_like(first)
    with np.errstate(all="ignore"):
        for n in range(TERMS):
            part = term * slope
            total = total + part
            quotient = ratio(n)
            if not np.any((np.abs(part) > 1e-17 * np.abs(total)) | (quotient >= 0.99)):
                break
            term, slope = term * quotient, slope + next_slope(n)
    return total


def _psi(x):
    return digamma.reference(x)


def _gamma_slope(alpha, x):
    a, x64 = alpha.astype(np.float64), x.astype(np.float64)
    with np.errstate(all="ignore"):
        first = np.log(x64) - _psi(a + 1)
    y = -_series(x64 / a, lambda n: x64 / (a + n + 1), first, lambda n: -1 / (a + n + 1))
    return y.astype(alpha.dtype)


def _dirichlet_slope(x, alpha, total):
    """-(d/da F) / density / (1 - x), F the cdf of Beta(a, total - a)."""
    x64, a, t = (v.astype(np.float64) for v in np.broadcast_arrays(x, alpha, total))
    slopes, is_low = np.empty(x64.shape), x64 <= 0.5
    for side, of in ((is_low, _left_slope), (~is_low, _right_slope)):      # each series converges on its side
        if side.any():
            slopes[side] = of(x64[side], a[side], t[side])
    return slopes.astype(x.dtype)


def _left_slope(x, a, t):
    with np.errstate(all="ignore"):
        first = np.log(x) + _psi(t) - _psi(a + 1)
    return -_series(x / a, lambda n: x * (t + n) / (a + n + 1), first, lambda n: 1 / (t + n) - 1 / (a + n + 1))


def _right_slope(x, a, t):
    b = t - a
    with np.errstate(all="ignore"):
        first = np.log(x) + _psi(t) - _psi(a)
    return _series(x / b, lambda n: (1 - x) * (t + n) / (b + n + 1), first, lambda n: 1 / (t + n))


def _undefined(name):
    def tangent(ts, y, *xs):
        raise NotImplementedError(f"derivative for {name} is not implemented")
    return tangent


def _refused(name, arity):
    def rule(g, _y, *_xs):
        raise RuntimeError(f"derivative for aten::{name} is not implemented")
    return (rule,) * arity


def _samples(*ranges):
    def samples(rng):
        return [(tuple(rng.uniform(*r, s).astype(d) for r in ranges), {})
                for d in (np.float32, np.float64) for s in ((), (5,), (3, 17), (0,))]
    return samples


gamma_slope = Primitive("gamma_slope", "host", _gamma_slope, elementwise_shape, same_dtype,
                        _refused("_standard_gamma_grad", 2), _undefined("gamma_slope"), _batch,
                        samples=_samples((0.2, 20), (0.1, 30)))
dirichlet_slope = Primitive("dirichlet_slope", "host", _dirichlet_slope, elementwise_shape,
                            same_dtype, _refused("_dirichlet_grad", 3),
                            _undefined("dirichlet_slope"), _batch,
                            samples=_samples((0.05, 0.95), (0.3, 5), (6, 9)))
