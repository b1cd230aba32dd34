"""Noise for private sums: Gaussian deviates, or exact discrete ones on a grid.

Gaussian deviates in floating point are not real numbers: which values they can take depends on the
sum that they are added to, and that gives it away (Mironov 2012, "On significance of the least
significant bits for differential privacy"). The secure form rounds the sum to a grid and adds a
discrete Gaussian to it, sampled exactly from the system's random numbers (Canonne, Kamath and Steinke
2020, arXiv:2004.00010, algorithms 1 to 3), so its guarantee is that of the mathematics.
"""
from __future__ import annotations

import math
import os
from fractions import Fraction

import numpy as np

from .. import ops
from ..autograd.recall import repeated
from ..ops.sampling import normal_values
from ..tensor import Tensor

STEPS = 1 << 20         # grid steps in a standard deviation
MARGIN = 2.0**-40       # relative error of a probability in float64 is far below
_SQUARE = STEPS * STEPS


def gaussian(std: float, reference: Tensor, generator=None) -> Tensor:
    """Normal deviates like `reference`, the numbers of torch.normal(0, std, size)."""
    if std == 0:
        return ops.zeros(reference.shape, dtype=reference.dtype)
    return normal_values(tuple(reference.shape), reference.dtype, generator, 0.0, float(std))


def gaussian_sums(sums: list[Tensor], std: float, generator=None) -> list[Tensor]:
    """Each sum plus `gaussian` noise of its own."""
    return _noisy.each([((x,), ()) for x in sums], std, generator) if std else sums


@repeated
def _noisy(tensors, _, std, generator):
    """The deviation is a flag, because the numbers of a draw are its replay's own."""
    total, = tensors
    return total + gaussian(std, total, generator)


def secure_sum(total: Tensor, std_per_bound: float, bound: float) -> Tensor:
    """`total` on a grid plus discrete Gaussian noise for sums of vectors of norm <= `bound`.

    Rounding d numbers to steps of width w moves a vector by at most w sqrt(d) more than the change
    of one sample does, so the noise is for bound + w sqrt(d) instead of `bound`.
    """
    if std_per_bound == 0:
        return total
    width = grid_width(std_per_bound, bound, total.numel())
    exact = np.rint(total.detach().double().numpy() / width)
    noise = discrete_gaussian(total.numel()).reshape(exact.shape)
    return ops.tensor((exact + noise) * width).to(total.dtype)


def grid_width(std_per_bound: float, bound: float, size: int) -> float:
    """w with w STEPS = std_per_bound (bound + w sqrt(size))."""
    free = STEPS - std_per_bound * math.sqrt(size)
    if free <= STEPS / 2:
        raise ValueError(f"noise on a grid: {size} numbers under a noise multiplier of "
                         f"{std_per_bound} need a finer grid than {STEPS} steps")
    return std_per_bound * bound / free


# -- exact sampling --------------------------------------------------------------------------------
def bits(n: int) -> np.ndarray:
    """n random 64-bit numbers of the system."""
    return np.frombuffer(os.urandom(8 * n), np.uint64)


def discrete_gaussian(n: int) -> np.ndarray:
    """int64 (n): k with probability proportional to exp(-k^2 / (2 STEPS^2))."""
    out, have = np.empty(n, np.int64), 0
    while have < n:
        y = discrete_laplace(max(16, int((n - have) * 1.5)))
        off = np.abs(y) - STEPS
        y = y[bernoulli_exp(off * off, 2 * _SQUARE)][:n - have]
        out[have:have + len(y)] = y
        have += len(y)
    return out


def discrete_laplace(n: int) -> np.ndarray:
    """About n numbers (those that were not rejected): k with probability ~ exp(-|k| / STEPS)."""
    low = (bits(n) >> np.uint64(44)).astype(np.int64)           # uniform below STEPS
    low = low[bernoulli_exp(low, STEPS)]
    high = np.zeros(len(low), np.int64)
    alive = np.arange(len(low))
    while len(alive):
        alive = alive[bernoulli_exp(np.ones(len(alive), np.int64), 1)]
        high[alive] += 1
    size = low + STEPS * high
    negative = (bits(len(size)) & np.uint64(1)).astype(bool)
    keep = ~(negative & (size == 0))                            # zero has one sign
    return np.where(negative, -size, size)[keep]


def bernoulli_exp(numerator: np.ndarray, denominator: int) -> np.ndarray:
    """True with probability exp(-numerator / denominator), exactly.

    64 random bits are compared with the probability in float64. Where they are closer than its
    error could be, more bits and as many digits as it takes decide.
    """
    p = np.exp(-(numerator / denominator))
    words = bits(len(p))
    u = words.astype(np.float64) * 2.0**-64
    yes = u < p
    for i in np.flatnonzero(np.abs(u - p) <= MARGIN * p + 2.0**-60):
        yes[i] = _below(int(words[i]), Fraction(int(numerator[i]), denominator))
    return yes


def _below(word: int, x: Fraction) -> bool:
    """Whether a uniform number that starts with these 64 bits is below exp(-x)."""
    size = 64
    while True:
        low, high = _exp_bounds(x, size + 64)
        if Fraction(word + 1, 1 << size) <= low:
            return True
        if Fraction(word, 1 << size) >= high:
            return False
        word, size = word << 64 | int.from_bytes(os.urandom(8), "little"), size + 64


def _exp_bounds(x: Fraction, digits: int) -> tuple[Fraction, Fraction]:
    """exp(-x) between two fractions less than 2**-digits apart, by halving and Taylor's series."""
    halvings = max(0, math.ceil(x).bit_length() + 8)
    work = digits + 2 * halvings + 16
    y, unit = x / (1 << halvings), 1 << work
    term = total = Fraction(1)
    k = 0
    while term * unit > 1:
        k += 1
        term = Fraction(round(term * y * unit / k), unit)
        total += term if k % 2 == 0 else -term
    for _ in range(halvings):
        total = Fraction(round(total * total * unit), unit)
    slack = Fraction(1, 1 << digits + 1)
    return total - slack, total + slack
