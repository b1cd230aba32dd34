"""Kullback-Leibler divergences, looked up by the classes of both distributions."""
from __future__ import annotations

import math

from .. import ops as o
from .continuous import Cauchy, Exponential, Laplace, Normal, Uniform
from .discrete import Bernoulli, Binomial, Categorical, Geometric, OneHotCategorical, Poisson
from .distribution import Distribution
from .gamma import Beta, Dirichlet, Gamma
from .independent import Independent
from .multivariate import MultivariateNormal, half_log_det, squared_lengths
from .transformed import Gumbel, HalfNormal, LogNormal, Pareto, TransformedDistribution
from .utils import sum_rightmost

RULES: dict = {}
FOUND: dict = {}
EULER = 0.57721566490153286060


def register_kl(type_p, type_q):
    """A decorator: the function is the divergence from `type_p` to `type_q`, and of subclasses."""
    for side, type_ in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(type_, type) or not issubclass(type_, Distribution):
            raise TypeError(f"Expected {side} to be a Distribution subclass but got {type_}")

    def decorate(rule):
        RULES[type_p, type_q] = rule
        FOUND.clear()
        return rule
    return decorate


def _rule(type_p, type_q):
    """The most specific rule; None if there is none."""
    ranked = [(type_p.__mro__.index(p) + type_q.__mro__.index(q), k, RULES[p, q])
              for k, (p, q) in enumerate(RULES) if issubclass(type_p, p) and issubclass(type_q, q)]
    return min(ranked)[2] if ranked else None


def kl_divergence(p, q):
    """KL(p || q), the mean of log p(x) - log q(x) over samples of p, of the shape of the batch.

    Raises:
        NotImplementedError: no rule for these classes is registered.
    """
    key = type(p), type(q)
    if key not in FOUND:
        FOUND[key] = _rule(*key)
    if FOUND[key] is None:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type {type(p).__name__} and "
                                  f"q type {type(q).__name__}")
    return FOUND[key](p, q)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    from ..nn.functional import softplus
    hit = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    miss = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    hit = o.where(q.probs == 0, math.inf, hit)
    miss = o.where(q.probs == 1, math.inf, miss)
    return o.where(p.probs == 0, 0.0, hit) + o.where(p.probs == 1, 0.0, miss)


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not "
                                  "implemented")
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p()
                          - (-q.probs).log1p())
    return o.where(p.total_count > q.total_count, math.inf, kl)


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    t = p.probs * (p.logits - q.logits)
    t = o.where((q.probs == 0).expand(t.shape), math.inf, t)
    return o.where((p.probs == 0).expand(t.shape), 0.0, t).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p, q):
    return _categorical(p._categorical, q._categorical)


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - o.log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(HalfNormal, HalfNormal)
@register_kl(LogNormal, LogNormal)
def _by_base(p, q):
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, off = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + off / q.scale + ratio * o.exp(-off / p.scale) - 1


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    return (((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
            - (4 * p.scale * q.scale).log())


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    inside = (q.low <= p.low) & (q.high >= p.high)
    return o.where(inside, ((q.high - q.low) / (p.high - p.low)).log(), math.inf)


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    a, b = p.concentration, q.concentration
    return (b * (p.rate / q.rate).log() + o.lgamma(b) - o.lgamma(a) + (a - b) * o.digamma(a)
            + (q.rate - p.rate) * (a / p.rate))


@register_kl(Beta, Beta)
def _beta(p, q):
    a1, b1, a2, b2 = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    n1, n2 = a1 + b1, a2 + b2
    return (a2.lgamma() + b2.lgamma() + n1.lgamma() - (a1.lgamma() + b1.lgamma() + n2.lgamma())
            + (a1 - a2) * o.digamma(a1) + (b1 - b2) * o.digamma(b1) + (n2 - n1) * o.digamma(n1))


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    weights = ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)
    return (total.lgamma() - b.sum(-1).lgamma()) - (a.lgamma() - b.lgamma()).sum(-1) + weights


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio, off = p.scale / q.scale, q.loc / q.scale
    rest = ratio * (-p.loc / p.scale) + off
    tail = o.exp(rest + (1 + ratio).lgamma()) - (1 + EULER)
    return -ratio.log() - off + p.loc / q.scale + ratio * EULER + tail


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio, alphas = p.scale / q.scale, q.alpha / p.alpha
    kl = q.alpha * ratio.log() - alphas.log() + alphas - 1
    return o.where(p.scale < q.scale, math.inf, kl)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError("KL-divergence between two Multivariate Normals with different event "
                         "shapes cannot be computed")
    a, b, n = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril, p.event_shape[0]
    columns = squared_lengths(b.unsqueeze(-3), a.mT).sum(-1)
    return half_log_det(b) - half_log_det(a) \
        + 0.5 * (columns + squared_lengths(b, q.loc - p.loc) - n)


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    more = len(p.event_shape) - len(p.base_dist.event_shape)
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), more)


# -- of two families -------------------------------------------------------------------------------

@register_kl(Uniform, Normal)
def _uniform_normal(p, q):
    width = p.high - p.low
    off = ((p.high + p.low - 2 * q.loc) / 2).pow(2)
    return (math.sqrt(2 * math.pi) * q.scale / width).log() \
        + 0.5 * (width.pow(2) / 12 + off) / q.scale.pow(2)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p, q):
    ratio = q.rate / p.rate
    return (-q.concentration * ratio.log() + ratio + q.concentration.lgamma()
            + q.concentration * EULER - (1 + EULER))


@register_kl(Gamma, Exponential)
def _gamma_exponential(p, q):
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Exponential, Normal)
def _exponential_normal(p, q):
    spread, back = q.scale.pow(2), p.rate.reciprocal()
    return (0.5 * (p.rate.pow(2) * spread * 2 * math.pi).log() - 1
            + (back.pow(2) - q.loc * back + q.loc.pow(2) / 2) / spread)


@register_kl(Laplace, Normal)
def _laplace_normal(p, q):
    spread = q.scale.pow(2)
    ratio = p.scale.pow(2) / spread
    return (-0.5 * o.log(2 * ratio / math.pi) + ratio + 0.5 * p.loc.pow(2) / spread
            - p.loc * q.loc / spread + 0.5 * q.loc.pow(2) / spread - 1)


@register_kl(Normal, Laplace)
def _normal_laplace(p, q):
    off, root = p.loc - q.loc, math.sqrt(2) * p.scale
    mean = math.sqrt(2 / math.pi) * p.scale * o.exp(-(off / root).pow(2)) + off * o.erf(off / root)
    return -0.5 - 0.5 * (2 * math.pi * p.scale.pow(2)).log() + (2 * q.scale).log() + mean / q.scale


@register_kl(Normal, Gumbel)
def _normal_gumbel(p, q):
    m, s = p.loc / q.scale, (p.scale / q.scale).pow(2)
    off = q.loc / q.scale
    return m - off + o.exp(off - m + 0.5 * s) - 0.5 * (1 + s.log() + math.log(2 * math.pi))
