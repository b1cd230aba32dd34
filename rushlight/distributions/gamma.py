"""Gamma and what is made of it: chi-squared, beta, Dirichlet, Student's t, Fisher-Snedecor."""
from __future__ import annotations

import math

from .. import dtypes
from .. import ops as o
from ..layout import Size
from ..ops.special import gammainc
from ..ops.variates import sample_dirichlet, standard_gamma
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .utils import broadcast_all, standard_normal


class Gamma(ExponentialFamily):
    """Density rate^a x^(a - 1) exp(-rate x) / Gamma(a), a the concentration."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    parameters = ("concentration", "rate")

    def __init__(self, concentration, rate, validate_args=None):
        self._broadcast(validate_args, concentration=concentration, rate=rate)

    @property
    def mean(self):
        return self.concentration / self.rate

    @property
    def mode(self):
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self):
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        value = standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        value.detach().clamp_(min=dtypes.finfo(value.dtype).tiny)
        return value

    def log_prob(self, value):
        self._checked(value)
        return (o.xlogy(self.concentration, self.rate) + o.xlogy(self.concentration - 1, value)
                - self.rate * value - o.lgamma(self.concentration))

    def entropy(self):
        a = self.concentration
        return a - o.log(self.rate) + o.lgamma(a) + (1.0 - a) * o.digamma(a)

    def cdf(self, value):
        return gammainc(self.concentration, self.rate * self._checked(value))


class Chi2(Gamma):
    """The sum of the squares of df normal deviates."""

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df, validate_args=None):
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)

    @property
    def df(self):
        return self.concentration * 2


class Dirichlet(ExponentialFamily):
    """Probability vectors (the last axis) with density prod x_i^(a_i - 1) / B(a)."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True
    parameters = ("concentration",)

    def __init__(self, concentration, validate_args=None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    def rsample(self, sample_shape=()):
        return sample_dirichlet(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        a = self.concentration
        return (o.xlogy(a - 1.0, self._checked(value)).sum(-1) + o.lgamma(a.sum(-1))
                - o.lgamma(a).sum(-1))

    @property
    def mean(self):
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        less = (self.concentration - 1).clamp(min=0.0)
        corner = o.one_hot(less.argmax(-1), less.shape[-1]).to(less.dtype)
        outside = (self.concentration < 1).all(-1, keepdim=True)
        return o.where(outside, corner, less / less.sum(-1, True))

    @property
    def variance(self):
        total, a = self.concentration.sum(-1, True), self.concentration
        return a * (total - a) / (total.pow(2) * (total + 1))

    def entropy(self):
        a, k = self.concentration, self.concentration.size(-1)
        total = a.sum(-1)
        return (o.lgamma(a).sum(-1) - o.lgamma(total) - (k - total) * o.digamma(total)
                - ((a - 1.0) * o.digamma(a)).sum(-1))


class Beta(ExponentialFamily):
    """Density x^(a - 1) (1 - x)^(b - 1) / B(a, b) on [0, 1]."""

    arg_constraints = {"concentration1": constraints.positive,
                       "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1, concentration0, validate_args=None):
        if isinstance(concentration1, (int, float)) and isinstance(concentration0, (int, float)):
            pair = o.tensor([float(concentration1), float(concentration0)])
        else:
            pair = o.stack(broadcast_all(concentration1, concentration0), -1)
        self._dirichlet = Dirichlet(pair, validate_args=validate_args)
        super().__init__(self._dirichlet._batch_shape, validate_args=validate_args)

    def _expand_more(self, old, batch_shape):
        self._dirichlet = old._dirichlet.expand(batch_shape)

    @property
    def concentration1(self):
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self):
        return self._dirichlet.concentration[..., 1]

    @property
    def mean(self):
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self):
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self):
        a, b = self.concentration1, self.concentration0
        return a * b / ((a + b).pow(2) * (a + b + 1))

    def rsample(self, sample_shape=()):
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value):
        self._checked(value)
        return self._dirichlet.log_prob(o.stack([value, 1.0 - value], -1))

    def entropy(self):
        return self._dirichlet.entropy()


class StudentT(Distribution):
    """A normal deviate over the root of an independent chi-squared one over df."""

    arg_constraints = {"df": constraints.positive, "loc": constraints.real,
                       "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    parameters = ("df", "loc", "scale")

    def __init__(self, df, loc=0.0, scale=1.0, validate_args=None):
        self._broadcast(validate_args, df=df, loc=loc, scale=scale)
        self._chi2 = Chi2(self.df)

    def _expand_more(self, old, batch_shape):
        self._chi2 = old._chi2.expand(batch_shape)

    @property
    def mean(self):
        return o.where(self.df <= 1, math.nan, self.loc)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        spread = self.scale.pow(2) * self.df / (self.df - 2)
        return o.where(self.df <= 1, math.nan, o.where(self.df > 2, spread, math.inf))

    def rsample(self, sample_shape=Size()):
        x = standard_normal(self._extended_shape(sample_shape), self.df.dtype)
        z = self._chi2.rsample(sample_shape)
        return self.loc + self.scale * (x * o.rsqrt(z / self.df))

    def log_prob(self, value):
        y, df = (self._checked(value) - self.loc) / self.scale, self.df
        norm = (self.scale.log() + 0.5 * df.log() + 0.5 * math.log(math.pi)
                + o.lgamma(0.5 * df) - o.lgamma(0.5 * (df + 1.0)))
        return -0.5 * (df + 1.0) * o.log1p(y ** 2.0 / df) - norm

    def entropy(self):
        df = self.df
        log_beta = o.lgamma(0.5 * df) + math.lgamma(0.5) - o.lgamma(0.5 * (df + 1))
        return (self.scale.log() + 0.5 * (df + 1) * (o.digamma(0.5 * (df + 1))
                                                     - o.digamma(0.5 * df))
                + 0.5 * df.log() + log_beta)


class FisherSnedecor(Distribution):
    """The ratio of two chi-squared deviates over their degrees of freedom."""

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True
    parameters = ("df1", "df2")

    def __init__(self, df1, df2, validate_args=None):
        self._broadcast(validate_args, df1=df1, df2=df2)
        self._gamma1 = Gamma(self.df1 * 0.5, self.df1)
        self._gamma2 = Gamma(self.df2 * 0.5, self.df2)

    def _expand_more(self, old, batch_shape):
        self._gamma1, self._gamma2 = (g.expand(batch_shape) for g in (old._gamma1, old._gamma2))

    @property
    def mean(self):
        return o.where(self.df2 <= 2, math.nan, self.df2 / (self.df2 - 2))

    @property
    def mode(self):
        peak = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return o.where(self.df1 <= 2, math.nan, peak)

    @property
    def variance(self):
        a, b = self.df1, self.df2
        y = 2 * b.pow(2) * (a + b - 2) / (a * (b - 2).pow(2) * (b - 4))
        return o.where(b <= 4, math.nan, y)

    def rsample(self, sample_shape=Size()):
        tiny = dtypes.finfo(self.df1.dtype).tiny
        x1, x2 = (g.rsample(sample_shape).view(self._extended_shape(sample_shape))
                  for g in (self._gamma1, self._gamma2))
        x2.clamp_(min=tiny)
        y = x1 / x2
        y.clamp_(min=tiny)
        return y

    def log_prob(self, value):
        self._checked(value)
        a, b = self.df1 * 0.5, self.df2 * 0.5
        ratio = self.df1 / self.df2
        return ((a + b).lgamma() - a.lgamma() - b.lgamma() + a * ratio.log()
                + (a - 1) * o.log(value) - (a + b) * o.log1p(ratio * value))
