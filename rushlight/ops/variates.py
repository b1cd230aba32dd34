"""Samples made by rejection: gamma, Dirichlet, binomial. The stream is read as PyTorch reads it.

How many numbers a sample takes is known only when it is made, so these run at the call.
"""
from __future__ import annotations

import math

import numpy as np

from .. import random as streams
from ..autograd.function import differentiable
from ..autograd.grad_mode import no_grad
from ..dtypes import float16, bfloat16, float32, float64, finfo
from ..prims.implicit import dirichlet_slope, gamma_slope
from .create import tensor
from .sampling import check_floating, refused, require, undifferentiated
from .shape import broadcast_tensors

AHEAD = 1024            # uniform numbers read ahead at a time
THIRD, SQUEEZE = float(np.float32(1) / np.float32(3)), float(np.float32(0.0331))


class Reader:
    """Uniform and normal deviates one by one; the generator goes on behind the last one read."""

    def __init__(self, generator):
        self.generator = generator or streams.default_generator

    def __enter__(self):
        streams.lock.acquire()
        self.ahead = self.generator.clone_state()
        self.normal_left = self.generator._normal
        self.ready, self.used = [], 0
        return self

    def uniform(self) -> float:
        if not self.ready:
            self.ready = streams.doubles(self.ahead.take(2 * AHEAD)).tolist()[::-1]
        self.used += 1
        return self.ready.pop()

    def normal(self) -> float:
        if self.normal_left is not None:
            value, self.normal_left = self.normal_left, None
            return value
        angle, radius = self.uniform(), self.uniform()
        value, self.normal_left = streams._pair(angle, radius)
        return value

    def __exit__(self, *_):
        self.generator.take(2 * self.used)
        self.generator._normal = self.normal_left
        streams.lock.release()


def _gamma(alpha, add, reader) -> float:
    """Marsaglia and Tsang 2000; `add` rounds sums with alpha as alpha's dtype does."""
    scale = 1.0
    if alpha < 1:
        if alpha == 0:
            return 0.0
        scale = (1 - reader.uniform()) ** _inverse(alpha, add)
        alpha = add(1.0, alpha)
    d = add(-THIRD, alpha)
    c = 1 / math.sqrt(9 * d)
    while True:
        y = 0.0
        while y <= 0:
            x = reader.normal()
            y = 1 + c * x
        v, u, xx = y * y * y, 1 - reader.uniform(), x * x
        if u < 1 - SQUEEZE * xx * xx or math.log(u) < 0.5 * xx + d * (1 - v + math.log(v)):
            return scale * d * v


def _inverse(alpha, add):
    return float(np.float32(1) / np.float32(alpha)) if add is _sum_single else 1 / alpha


def _sum_single(a, b):
    return float(np.float32(a) + np.float32(b))


def _sum_double(a, b):
    return a + b


def _gammas(alpha: np.ndarray, add, least, generator):
    with Reader(generator) as reader:
        return [max(least, _gamma(a, add, reader)) for a in alpha.ravel().tolist()]


def _standard_gamma_values(alpha, generator):
    check_floating(alpha.dtype, "gamma_cpu")
    if alpha.dtype in (float16, bfloat16):
        raise NotImplementedError(f"standard gamma samples of {alpha.dtype}")
    add = _sum_single if alpha.dtype is float32 else _sum_double
    made = _gammas(alpha.detach()._array(), add, finfo(alpha.dtype).tiny, generator)
    return tensor(np.array(made).reshape(alpha.shape).astype(alpha.dtype.numpy))


@differentiable("StandardGammaBackward0",
                vjp=(lambda g, y, alpha, *, generator: g * gamma_slope(alpha.contiguous(), y),))
def _standard_gamma_op(alpha, *, generator):
    return _standard_gamma_values(alpha, generator)


def standard_gamma(alpha, generator=None):
    """Gamma deviates of rate 1, one for each shape parameter; differentiable in it."""
    return _standard_gamma_op(alpha, generator=generator)


def _dirichlet_values(alpha, generator):
    check_floating(alpha.dtype, "dirichlet")
    array = alpha.detach()._array().astype(np.float64)
    made = _gammas(array, _sum_double, finfo(float64).tiny, generator)
    made = np.array(made).reshape(alpha.shape)
    dtype = alpha.dtype.numpy
    share = (made / made.sum(-1, keepdims=True)).astype(dtype)
    top = np.nextafter(np.ones((), dtype), np.zeros((), dtype))
    return tensor(np.clip(share, np.asarray(finfo(alpha.dtype).tiny, dtype), top))


def _dirichlet_gradient(g, y, alpha, *, generator):
    total = alpha.sum(-1, keepdim=True).expand(alpha.shape)
    slope = dirichlet_slope(y, alpha.contiguous(), total.contiguous())
    return slope * (g - (y * g).sum(-1, keepdim=True))


@differentiable("DirichletBackward", vjp=(_dirichlet_gradient,))
def _dirichlet_op(alpha, *, generator):
    return _dirichlet_values(alpha, generator)


def sample_dirichlet(alpha, generator=None):
    """Dirichlet deviates along the last axis of the concentrations; differentiable in them."""
    return _dirichlet_op(alpha, generator=generator)


# -- binomial --------------------------------------------------------------------------------------

def binomial(count, prob, generator=None):
    """How many of `count` trials of probability `prob` succeed; both broadcast.

    Args:
        count, prob: floating tensors of one dtype.
        generator: the source; None is the default one.
    """
    require(count.dtype is prob.dtype, "Expected count and prob to have the same dtype")
    check_floating(count.dtype, "binomial_cpu")
    counts, probs = broadcast_tensors(count.detach(), prob.detach())
    n, p = (x.contiguous()._array().astype(np.float64) for x in (counts, probs))
    with Reader(generator) as reader, no_grad():
        made = [_binomial(*at, reader) for at in zip(n.ravel().tolist(), p.ravel().tolist())]
        y = tensor(np.array(made, np.float64).reshape(n.shape)).to(count.dtype)
    return undifferentiated(y, "NotImplemented", count, prob, rule=refused("binomial"))


def _binomial(count, prob, reader) -> float:
    if count <= 0 or prob <= 0:
        return 0.0
    if prob >= 1:
        return count
    if prob > 0.5:
        return count - _successes(count, 1 - prob, reader)
    return _successes(count, prob, reader) if prob <= 0.5 else math.nan


def _successes(count, prob, reader) -> float:
    draw = _transformed_rejection if count * prob >= 10 else _by_waiting
    return draw(count, prob, reader)


def _by_waiting(count, prob, reader) -> float:
    """Trials up to each success are geometric."""
    successes, trials, rate = 0.0, 0.0, math.log1p(-prob)
    while True:
        u = reader.uniform()
        trials += math.ceil(math.log(u) / rate) if u else math.inf
        if trials > count:
            return successes
        successes += 1


def _stirling_rest(k):
    """log k! less Stirling's formula at k + 1."""
    return math.lgamma(k + 1) - ((k + 0.5) * math.log(k + 1) - (k + 1) + math.log(2 * math.pi) / 2)


def _transformed_rejection(count, prob, reader) -> float:
    """W. Hoermann, The generation of binomial random variates, 1993."""
    spread = math.sqrt(count * prob * (1 - prob))
    b = 1.15 + 2.53 * spread
    a, c = -0.0873 + 0.0248 * b + 0.01 * prob, count * prob + 0.5
    v_r, alpha = 0.92 - 4.2 / b, (2.83 + 5.1 / b) * spread
    while True:
        u, v = reader.uniform() - 0.5, reader.uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + c)
        if us >= 0.07 and v <= v_r:
            return float(k)
        if 0 <= k <= count and math.log(v * alpha / (a / (us * us) + b)) <= _bound(k, count, prob):
            return float(k)


def _bound(k, n, prob):
    """log of the probability of k successes over that of the most likely number."""
    m, odds = math.floor((n + 1) * prob), prob / (1 - prob)
    return ((m + 0.5) * math.log((m + 1) / (odds * (n - m + 1)))
            + (n + 1) * math.log((n - m + 1) / (n - k + 1))
            + (k + 0.5) * math.log(odds * (n - k + 1) / (k + 1))
            + _stirling_rest(m) + _stirling_rest(n - m) - _stirling_rest(k) - _stirling_rest(n - k))
