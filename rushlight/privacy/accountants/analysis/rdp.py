"""Renyi differential privacy of Gaussian noise on Poisson samples.

Source: Mironov, Talwar and Zhang 2019, arXiv:1908.10530 ("SGM"). With rate q, noise s and order a the
divergence is log(A) / (a - 1), A the a-th moment of the ratio of N(0, s^2) mixed with N(1, s^2) to
N(0, s^2); section 3.3 gives A as a sum for whole a and as a series for others. To (epsilon, delta):
Balle et al. 2020, arXiv:1905.09982, theorem 21; Canonne, Kamath and Steinke 2020, proposition 12.
"""
from __future__ import annotations

import math
import warnings
from functools import lru_cache

import numpy as np

from .special import log_add, log_erfc, log_sub

SERIES_END = -30.0      # logarithm of terms that end the series


def _whole(q: float, sigma: float, alpha: int) -> float:
    """log A = log sum_k binom(a, k) (1 - q)^(a - k) q^k exp((k^2 - k) / (2 s^2))"""
    total = -math.inf
    for k in range(alpha + 1):
        term = math.lgamma(alpha + 1) - math.lgamma(k + 1) - math.lgamma(alpha - k + 1)
        term += k * math.log(q) + (alpha - k) * math.log1p(-q) + (k * k - k) / (2 * sigma**2)
        total = log_add(total, term)
    return total


def _broken(q: float, sigma: float, alpha: float) -> float:
    """log A as two series: the integral below and above z0, where both densities are alike."""
    below, above = -math.inf, -math.inf
    z0 = sigma**2 * math.log(1 / q - 1) + 0.5
    scale = math.sqrt(2) * sigma
    log_binomial, sign, i = 0.0, 1, 0
    while True:
        j = alpha - i
        first = log_binomial + i * math.log(q) + j * math.log1p(-q) + (i * i - i) / (2 * sigma**2) \
            + math.log(0.5) + log_erfc((i - z0) / scale)
        second = log_binomial + j * math.log(q) + i * math.log1p(-q) + (j * j - j) / (2 * sigma**2) \
            + math.log(0.5) + log_erfc((z0 - j) / scale)
        join = log_add if sign > 0 else log_sub
        below, above = join(below, first), join(above, second)
        if max(first, second) < SERIES_END:
            return log_add(below, above)
        log_binomial += math.log(abs(j)) - math.log(i + 1)      # binom(a, i + 1), its sign apart
        sign, i = sign * (1 if j > 0 else -1), i + 1


@lru_cache(4096)
def _one(q: float, sigma: float, alpha: float) -> float:
    """The divergence of one step."""
    if q == 0:
        return 0.0
    if sigma == 0 or math.isinf(alpha):
        return math.inf
    if q == 1.0:
        return alpha / (2 * sigma**2)       # the Gaussian mechanism, Mironov 2017, arXiv:1702.07476
    whole = float(alpha).is_integer()
    log_a = _whole(q, sigma, int(alpha)) if whole else _broken(q, sigma, alpha)
    return max(log_a, 0.0) / (alpha - 1)


def compute_rdp(*, q: float, noise_multiplier: float, steps: int, orders):
    """The divergence of `steps` steps at each order (a number for a number)."""
    if isinstance(orders, (int, float)):
        return _one(float(q), float(noise_multiplier), float(orders)) * steps
    found = [_one(float(q), float(noise_multiplier), float(a)) for a in orders]
    return np.array(found) * steps


def get_privacy_spent(*, orders, rdp, delta: float) -> tuple[float, float]:
    """(epsilon, the order that gives it); epsilon is never negative.

    Raises:
        ValueError: as many orders as divergences are needed.
    """
    orders, rdp = np.atleast_1d(orders).astype(float), np.atleast_1d(rdp).astype(float)
    if len(orders) != len(rdp):
        raise ValueError("Input lists must have the same length.\n"
                         f"\torders_vec = {orders}\n\trdp_vec = {rdp}\n")
    with np.errstate(divide="ignore", invalid="ignore"):
        epsilons = rdp - (math.log(delta) + np.log(orders)) / (orders - 1) + np.log1p(-1 / orders)
    if np.isnan(epsilons).all():
        return math.inf, math.nan
    best = int(np.nanargmin(epsilons))
    if best in (0, len(epsilons) - 1):
        which = "smallest" if best == 0 else "largest"
        warnings.warn(f"Optimal order is the {which} alpha. Please consider expanding the range of alphas "
                      "to get a tighter privacy bound.")
    return max(0.0, float(epsilons[best])), float(orders[best])
