"""Distributions on the real line, sampled by inverting or moving simple ones."""
from __future__ import annotations

import math

from .. import dtypes
from .. import ops as o
from ..autograd.grad_mode import no_grad
from ..layout import Size
from . import constraints
from .distribution import LOG_2PI, Distribution, ExponentialFamily, Located
from .utils import standard_normal


class _LocScale(Located):
    """A standard distribution moved by loc and stretched by scale."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    parameters = ("loc", "scale")

    def __init__(self, loc, scale, validate_args=None):
        self._broadcast(validate_args, loc=loc, scale=scale)

    def _standard(self, value):
        return (self._checked(value) - self.loc) / self.scale


class Normal(_LocScale, ExponentialFamily):
    """The normal distribution with mean `loc` and standard deviation `scale`."""

    @property
    def stddev(self):
        return self.scale

    @property
    def variance(self):
        return self.stddev.pow(2)

    def sample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return o.normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        return self.loc + standard_normal(shape, self.loc.dtype) * self.scale

    def log_prob(self, value):
        self._checked(value)
        return (-((value - self.loc) ** 2) / (2 * self.scale ** 2) - self.scale.log()
                - math.log(math.sqrt(2 * math.pi)))

    def cdf(self, value):
        return 0.5 * (1 + o.erf((self._checked(value) - self.loc) * self.scale.reciprocal()
                                / math.sqrt(2)))

    def icdf(self, value):
        return self.loc + self.scale * o.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self):
        return 0.5 + 0.5 * LOG_2PI + o.log(self.scale)


class Laplace(_LocScale):
    """Density exp(-|x - loc| / scale) / (2 scale)."""

    @property
    def stddev(self):
        return 2 ** 0.5 * self.scale

    @property
    def variance(self):
        return 2 * self.scale.pow(2)

    def rsample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        u = o.empty(shape, dtype=self.loc.dtype).uniform_(dtypes.finfo(self.loc.dtype).eps - 1, 1)
        return self.loc - self.scale * u.sign() * o.log1p(-u.abs())

    def log_prob(self, value):
        return -o.log(2 * self.scale) - o.abs(self._checked(value) - self.loc) / self.scale

    def cdf(self, value):
        off = self._checked(value) - self.loc
        return 0.5 - 0.5 * off.sign() * o.expm1(-off.abs() / self.scale)

    def icdf(self, value):
        term = value - 0.5
        return self.loc - self.scale * term.sign() * o.log1p(-2 * term.abs())

    def entropy(self):
        return 1 + o.log(2 * self.scale)


class Cauchy(_LocScale):
    """The ratio of two normal deviates, moved and stretched."""

    @property
    def mean(self):
        return o.full(self._extended_shape(), math.nan, dtype=self.loc.dtype)

    @property
    def variance(self):
        return o.full(self._extended_shape(), math.inf, dtype=self.loc.dtype)

    def rsample(self, sample_shape=Size()):
        eps = o.empty(self._extended_shape(sample_shape), dtype=self.loc.dtype).cauchy_()
        return self.loc + eps * self.scale

    def log_prob(self, value):
        return -math.log(math.pi) - self.scale.log() - self._standard(value).pow(2).log1p()

    def cdf(self, value):
        return o.atan(self._standard(value)) / math.pi + 0.5

    def icdf(self, value):
        return o.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self):
        return math.log(4 * math.pi) + self.scale.log()


class Uniform(Distribution):
    """Uniform on [low, high)."""

    has_rsample = True
    parameters = ("low", "high")

    def __init__(self, low, high, validate_args=None):
        self._broadcast(validate_args, low=low, high=high)

    @property
    def arg_constraints(self):
        return {"low": constraints.less_than(self.high), "high": constraints.greater_than(self.low)}

    @constraints.dependent_property
    def support(self):
        return constraints.interval(self.low, self.high)

    @property
    def mean(self):
        return (self.high + self.low) / 2

    @property
    def mode(self):
        return math.nan * self.high

    @property
    def stddev(self):
        return (self.high - self.low) / 12 ** 0.5

    @property
    def variance(self):
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape=Size()):
        u = o.rand(self._extended_shape(sample_shape), dtype=self.low.dtype)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value):
        self._checked(value)
        inside = self.low.le(value).type_as(self.low) * self.high.gt(value).type_as(self.low)
        return o.log(inside) - o.log(self.high - self.low)

    def cdf(self, value):
        return ((self._checked(value) - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value):
        return value * (self.high - self.low) + self.low

    def entropy(self):
        return o.log(self.high - self.low)


class Exponential(ExponentialFamily):
    """Density rate exp(-rate x) on x >= 0."""

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    parameters = ("rate",)

    def __init__(self, rate, validate_args=None):
        self._broadcast(validate_args, rate=rate)

    @property
    def mean(self):
        return self.rate.reciprocal()

    @property
    def mode(self):
        return o.zeros_like(self.rate)

    @property
    def stddev(self):
        return self.rate.reciprocal()

    @property
    def variance(self):
        return self.rate.pow(-2)

    def rsample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        return o.empty(shape, dtype=self.rate.dtype).exponential_() / self.rate

    def log_prob(self, value):
        return self.rate.log() - self.rate * self._checked(value)

    def cdf(self, value):
        return 1 - o.exp(-self.rate * self._checked(value))

    def icdf(self, value):
        return -o.log1p(-value) / self.rate

    def entropy(self):
        return 1 - o.log(self.rate)
