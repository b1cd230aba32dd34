"""Gaussian differential privacy: exact for one Gaussian, a limit theorem for many samples.

Sources: Dong, Roth and Su 2019, arXiv:1905.02383 (mu-GDP, corollary 2.13: delta of epsilon); Bu et al.
2020, arXiv:1911.11607 (the limits for Poisson and for uniform samples).
"""
from __future__ import annotations

import math

from .special import SQRT2


def _phi(x: float) -> float:
    return math.erfc(-x / SQRT2) / 2


def compute_mu_poisson(*, steps: int, noise_multiplier: float, sample_rate: float) -> float:
    """mu = q sqrt(T (exp(1 / s^2) - 1)), for q sqrt(T) fixed and T large."""
    return math.sqrt(math.expm1(noise_multiplier**-2) * steps) * sample_rate


def compute_mu_uniform(*, steps: int, noise_multiplier: float, sample_rate: float) -> float:
    """The same for batches of fixed size."""
    s = noise_multiplier
    inner = math.exp(s**-2) * _phi(1.5 / s) + 3 * _phi(-0.5 / s) - 2
    return SQRT2 * sample_rate * math.sqrt(steps) * math.sqrt(inner)


def compute_mu_full(*, steps: int, noise_multiplier: float) -> float:
    """Every sample in every step: mu = sqrt(T) / s, exactly."""
    return math.sqrt(steps) / noise_multiplier


def delta_eps_mu(*, eps: float, mu: float) -> float:
    """delta = Phi(-e / mu + mu / 2) - exp(e) Phi(-e / mu - mu / 2)"""
    upper, lower = _phi(-eps / mu + mu / 2), _phi(-eps / mu - mu / 2)
    return upper - (math.exp(eps + math.log(lower)) if lower > 0 else 0.0)


def eps_from_mu(*, mu: float, delta: float) -> float:
    """The epsilon at which delta_eps_mu is `delta`, by bisection, rounded up."""
    if mu == 0 or delta_eps_mu(eps=0.0, mu=mu) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while delta_eps_mu(eps=high, mu=mu) > delta:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if delta_eps_mu(eps=middle, mu=mu) > delta:
            low = middle
        else:
            high = middle
    return high


def compute_eps_poisson(*, steps: int, noise_multiplier: float, sample_rate: float, delta: float) -> float:
    """epsilon of Poisson samples by the limit."""
    mu = compute_mu_poisson(steps=steps, noise_multiplier=noise_multiplier, sample_rate=sample_rate)
    return eps_from_mu(mu=mu, delta=delta)


def compute_eps_uniform(*, steps: int, noise_multiplier: float, sample_rate: float, delta: float) -> float:
    """epsilon of batches of fixed size by the limit."""
    mu = compute_mu_uniform(steps=steps, noise_multiplier=noise_multiplier, sample_rate=sample_rate)
    return eps_from_mu(mu=mu, delta=delta)
