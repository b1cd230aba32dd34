"""The few special functions that the accounts need."""
from __future__ import annotations

import math

import numpy as np

from ....ops import tensor
from ....special import erfc as ops_erfc

SQRT2 = math.sqrt(2.0)


def erfc(x) -> np.ndarray:
    """1 - erf(x), element by element, to the last bits also where it is small."""
    return ops_erfc(tensor(np.asarray(x, np.float64))).numpy()


def normal_cdf(x) -> np.ndarray:
    """Phi(x)"""
    return erfc(-np.asarray(x) / SQRT2) / 2


def log_erfc(x: float) -> float:
    """log erfc(x), for large x by the asymptotic series (Abramowitz and Stegun 7.1.23)."""
    if x < 25:
        return math.log(math.erfc(x))
    series, term = 1.0, 1.0
    for k in range(1, 6):
        term *= -(2 * k - 1) / (2 * x * x)
        series += term
    return -x * x - math.log(x * math.sqrt(math.pi)) + math.log(series)


def log_add(a: float, b: float) -> float:
    """log(e^a + e^b)"""
    low, high = min(a, b), max(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def log_sub(a: float, b: float) -> float:
    """log(e^a - e^b) for a >= b"""
    if b == -math.inf:
        return a
    return -math.inf if b >= a else a + math.log(-math.expm1(b - a))
