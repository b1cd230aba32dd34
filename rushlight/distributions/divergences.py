"""Divergences between families: minus the entropy of p, minus the mean of log q under p.

For each q the mean of log q needs a few moments of p; which families have them, the tables say.
"""
from __future__ import annotations

import math

from .. import ops as o
from ..ops import linalg
from .bounded import ContinuousBernoulli
from .continuous import Exponential, Laplace, Normal, Uniform
from .discrete import Bernoulli, Binomial, Poisson
from .distribution import LOG_2PI
from .gamma import Beta, Gamma
from .kl import register_kl
from .matrices import LowRankMultivariateNormal, Wishart, multivariate_digamma
from .multivariate import MultivariateNormal, half_log_det, squared_lengths
from .transformed import Gumbel, Pareto


def _rules(q, *ps):
    """A decorator: the divergences from each of some families to q."""
    def decorate(rule):
        for p in ps:
            register_kl(p, q)(rule)
        return rule
    return decorate


def _mean_log(p):
    """E log x."""
    if isinstance(p, Beta):
        return o.digamma(p.concentration1) - o.digamma(p.concentration1 + p.concentration0)
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return (o.xlogy(p.high, p.high) - o.xlogy(p.low, p.low)) / (p.high - p.low) - 1


def _mean_log_rest(p):
    """E log(1 - x) of a uniform distribution."""
    a, b = 1 - p.high, 1 - p.low
    return (o.xlogy(b, b) - o.xlogy(a, a)) / (p.high - p.low) - 1


def _mean_exp(p, t):
    """E exp(-t x)."""
    if isinstance(p, Uniform):
        return (o.exp(-t * p.low) - o.exp(-t * p.high)) / (t * (p.high - p.low))
    concentration = p.concentration if isinstance(p, Gamma) else 1
    return (p.rate / (p.rate + t)) ** concentration


def _unless(bad, kl):
    return o.where(bad, math.inf, kl)


@_rules(Normal, Beta, ContinuousBernoulli, Gamma, Gumbel)
def _to_normal(p, q):
    spread = (p.variance + (p.mean - q.loc) ** 2) / (2 * q.scale ** 2)
    return -p.entropy() + 0.5 * LOG_2PI + q.scale.log() + spread


@_rules(Normal, Pareto)
def _pareto_to_normal(p, q):
    return _unless(p.alpha <= 2, _to_normal(p, q))


@_rules(Exponential, Beta, ContinuousBernoulli)
def _to_exponential(p, q):
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@_rules(Exponential, Pareto)
def _pareto_to_exponential(p, q):
    return _unless(p.alpha <= 1, _to_exponential(p, q))


@_rules(Exponential, Uniform)
def _uniform_to_exponential(p, q):
    return _unless(p.low < 0, _to_exponential(p, q))


@_rules(Gamma, Beta)
def _to_gamma(p, q):
    a = q.concentration
    return -p.entropy() + a.lgamma() - a * q.rate.log() - (a - 1) * _mean_log(p) + q.rate * p.mean


@_rules(Gamma, Pareto)
def _pareto_to_gamma(p, q):
    return _unless(p.alpha <= 1, _to_gamma(p, q))


@_rules(Gamma, Uniform)
def _uniform_to_gamma(p, q):
    return _unless(p.low < 0, _to_gamma(p, q))


@_rules(Gumbel, Exponential, Gamma, Uniform)
def _to_gumbel(p, q):
    tail = o.exp(q.loc / q.scale) * _mean_exp(p, q.scale.reciprocal())
    return -p.entropy() + q.scale.log() + (p.mean - q.loc) / q.scale + tail


@_rules(Uniform, Beta)
def _beta_to_uniform(p, q):
    return _unless((q.low > 0) | (q.high < 1), -p.entropy() + (q.high - q.low).log())


@_rules(Uniform, ContinuousBernoulli)
def _continuous_bernoulli_to_uniform(p, q):
    return _unless((q.low >= 0) | (q.high <= 1), -p.entropy() + (q.high - q.low).log())


@_rules(Beta, Uniform)
def _uniform_to_beta(p, q):
    a, b = q.concentration1, q.concentration0
    norm = a.lgamma() + b.lgamma() - (a + b).lgamma()
    kl = -p.entropy() + norm - (a - 1) * _mean_log(p) - (b - 1) * _mean_log_rest(p)
    return _unless((p.high > 1) | (p.low < 0), kl)


@_rules(Pareto, Uniform)
def _uniform_to_pareto(p, q):
    kl = -p.entropy() - q.alpha.log() - q.alpha * q.scale.log() + (q.alpha + 1) * _mean_log(p)
    return _unless(p.low < q.scale, kl)


@_rules(ContinuousBernoulli, Beta)
def _to_continuous_bernoulli(p, q):
    return -p.entropy() - p.mean * q.logits - o.log1p(-q.probs) - q._cont_bern_log_norm()


@_rules(ContinuousBernoulli, Uniform)
def _uniform_to_continuous_bernoulli(p, q):
    return _unless((p.high >= 1) | (p.low <= 0), _to_continuous_bernoulli(p, q))


@_rules(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p, q):
    return p.mean * (p.logits - q.logits) + p._cont_bern_log_norm() + o.log1p(-p.probs) \
        - q._cont_bern_log_norm() - o.log1p(-q.probs)


@_rules(Poisson, Bernoulli)
def _bernoulli_to_poisson(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


# -- normal vectors and their outer products -------------------------------------------------------
def _check_events(p, q, kind):
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two {kind} Multivariate Normals with different event shapes cannot be "
                         "computed")


def _squares(x):
    return x.pow(2).flatten(-2).sum(-1)


def _trace(q, factor):
    """The trace of C^-1 F F^T with the low-rank covariance C of q."""
    inner = o.matmul(q._whitened(), factor)
    return _squares(factor * q._d.rsqrt().unsqueeze(-1)) - _squares(inner)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _low_rank(p, q):
    _check_events(p, q, "Low Rank")
    diagonal = (p._d / q._d).sum(-1) - _squares(q._whitened() * p._d.sqrt().unsqueeze(-2))
    return q.half_log_det() - p.half_log_det() \
        + 0.5 * (diagonal + _trace(q, p._w) + q.squared_lengths(q.loc - p.loc) - p.event_shape[0])


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _to_low_rank(p, q):
    _check_events(p, q, "(Low Rank)")
    tril = p._unbroadcasted_scale_tril
    return q.half_log_det() - half_log_det(tril) \
        + 0.5 * (_trace(q, tril) + q.squared_lengths(q.loc - p.loc) - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _from_low_rank(p, q):
    _check_events(p, q, "(Low Rank)")
    tril = q._unbroadcasted_scale_tril
    parts = [linalg.solve_triangular(tril, x, upper=False) for x in (p._w, o.diag_embed(p._d.sqrt()))]
    return half_log_det(tril) - p.half_log_det() \
        + 0.5 * (_squares(parts[0]) + _squares(parts[1]) + squared_lengths(tril, q.loc - p.loc) - p.event_shape[0])


@register_kl(Wishart, Wishart)
def _wishart(p, q):
    n, half = p.event_shape[-1], p.df / 2
    trace = _squares(linalg.solve_triangular(q._tril, p._tril, upper=False))
    return (q.df * (half_log_det(q._tril) - half_log_det(p._tril)) + half * (trace - n)
            + o.mvlgamma(q.df / 2, n) - o.mvlgamma(half, n) + (half - q.df / 2) * multivariate_digamma(half, n))


# -- where p has mass that q has not ---------------------------------------------------------------
NOWHERE = {Beta: (Pareto,), ContinuousBernoulli: (Pareto,), Exponential: (Beta, ContinuousBernoulli, Pareto, Uniform),
           Gamma: (Beta, ContinuousBernoulli, Pareto, Uniform),
           Gumbel: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
           Laplace: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
           Normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
           Pareto: (Beta, ContinuousBernoulli, Uniform), Poisson: (Bernoulli, Binomial)}


def _infinite(p, q):
    return o.full_like(p.mean, math.inf)


for _p, _qs in NOWHERE.items():
    for _q in _qs:
        register_kl(_p, _q)(_infinite)
