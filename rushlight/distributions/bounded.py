"""Distributions on an interval: continuous Bernoulli, Kumaraswamy, generalised Pareto; von Mises on the circle."""
from __future__ import annotations

import math

from .. import dtypes
from .. import ops as o
from ..autograd.grad_mode import no_grad
from ..layout import Size
from . import constraints
from .continuous import Uniform
from .distribution import LOG_2PI, Distribution, ExponentialFamily, Located
from .transformed import EULER, _Named
from .transforms import AffineTransform, PowerTransform
from .utils import broadcast_all, clamp_probs, lazy_property, logits_to_probs, probs_to_logits


class ContinuousBernoulli(ExponentialFamily):
    """Density proportional to probs^x (1 - probs)^(1 - x) on [0, 1] (Loaiza-Ganem and Cunningham 2019).

    Args:
        probs, logits: one of them.
        lims: between these `probs` counts as near 1/2, where formulas are replaced by Taylor series.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    parameters = ("probs", "logits")

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
            if validate_args is not None and not constraints.unit_interval.check(self.probs).all():
                raise ValueError("The parameter probs has invalid values")
            self.probs = clamp_probs(self.probs)
        else:
            (self.logits,) = broadcast_all(logits)
        self._lims = lims
        super().__init__(self._param.size(), validate_args=validate_args)

    @property
    def _param(self):
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]

    @property
    def param_shape(self):
        return self._param.size()

    def _expand_more(self, old, batch_shape):
        self._lims = old._lims

    @lazy_property
    def logits(self):
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self):
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _far(self):
        """Where the formulas hold their digits."""
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _safe(self):
        """probs, but the lower limit near 1/2."""
        return o.where(self._far(), self.probs, self._lims[0])

    def _cont_bern_log_norm(self):
        """The log of the factor that makes the density integrate to 1."""
        p, x = self._safe(), (self.probs - 0.5) ** 2
        exact = (o.log1p(-p) - o.log(p)).abs().log() - (1 - 2 * p).abs().log()
        return o.where(self._far(), exact, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self):
        p, x = self._safe(), self.probs - 0.5
        exact = p / (2 * p - 1) + 1 / (o.log1p(-p) - o.log(p))
        return o.where(self._far(), exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x ** 2) * x)

    @property
    def variance(self):
        p, x = self._safe(), (self.probs - 0.5) ** 2
        exact = p * (p - 1) / (1 - 2 * p) ** 2 + 1 / (o.log1p(-p) - o.log(p)) ** 2
        return o.where(self._far(), exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape=Size()):
        return self.icdf(o.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def log_prob(self, value):
        logits, value = broadcast_all(self.logits, self._checked(value))
        from ..nn.functional import binary_cross_entropy_with_logits
        return -binary_cross_entropy_with_logits(logits, value, reduction="none") + self._cont_bern_log_norm()

    def cdf(self, value):
        p, value = self._safe(), self._checked(value)
        exact = (p ** value * (1 - p) ** (1 - value) + p - 1) / (2 * p - 1)
        inside = o.where(self._far(), exact, value)
        return o.where(value <= 0, 0.0, o.where(value >= 1, 1.0, inside)).to(inside.dtype)

    def icdf(self, value):
        p = self._safe()
        exact = (o.log1p(-p + value * (2 * p - 1)) - o.log1p(-p)) / (o.log(p) - o.log1p(-p))
        return o.where(self._far(), exact, value)

    def entropy(self):
        low, high = o.log1p(-self.probs), o.log(self.probs)
        return self.mean * (low - high) - self._cont_bern_log_norm() - low


class Kumaraswamy(_Named):
    """(1 - (1 - u)^(1 / b))^(1 / a) of a uniform u; a is concentration1, b concentration0."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    parameters = ("concentration1", "concentration0")

    def __init__(self, concentration1, concentration0, validate_args=None):
        self.concentration1, self.concentration0 = a, b = broadcast_all(concentration1, concentration0)
        base = Uniform(o.zeros_like(b), o.ones_like(b), validate_args=validate_args)
        steps = [PowerTransform(b.reciprocal()), AffineTransform(1.0, -1.0), PowerTransform(a.reciprocal())]
        super().__init__(base, steps, validate_args=validate_args)

    def _moment(self, n):
        shifted, b = 1 + n / self.concentration1, self.concentration0
        return b * o.exp(o.lgamma(shifted) + o.lgamma(b) - o.lgamma(shifted + b))

    @property
    def mean(self):
        return self._moment(1)

    @property
    def mode(self):
        a, b = self.concentration1, self.concentration0
        log_mode = b.reciprocal() * (-b).log1p() - (-b * a).log1p()
        return o.where((b < 1) | (a < 1), math.nan, log_mode).exp()

    @property
    def variance(self):
        return self._moment(2) - self.mean ** 2

    def entropy(self):
        a, b = self.concentration1, self.concentration0
        harmonic = o.digamma(b + 1) + EULER
        return 1 - b.reciprocal() + (1 - a.reciprocal()) * harmonic - o.log(a) - o.log(b)


class GeneralizedPareto(Distribution):
    """The distribution of excesses: survival (1 + concentration z)^(-1 / concentration), z = (x - loc) / scale."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True
    parameters = ("loc", "scale", "concentration")

    def __init__(self, loc, scale, concentration, validate_args=None):
        self._broadcast(validate_args, loc=loc, scale=scale, concentration=concentration)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        end = self.loc - self.scale / self.concentration
        return constraints.interval(self.loc, o.where(self.concentration < 0, end, math.inf))

    def _shape(self):
        """(where the concentration is 0, the concentration or 1 there)."""
        zero = o.isclose(self.concentration, o.zeros_like(self.concentration))
        return zero, o.where(zero, 1.0, self.concentration).to(self.concentration.dtype)

    def _z(self, x):
        return (x - self.loc) / self.scale

    def rsample(self, sample_shape=Size()):
        return self.icdf(o.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    def log_prob(self, value):
        z, (zero, k) = self._z(self._checked(value)), self._shape()
        power = 1 / k + o.ones_like(z)
        return -self.scale.log() - o.where(zero, z, o.where(power == 0, power, power * o.log1p(k * z)))

    def log_survival_function(self, value):
        """log of the probability of more than `value`."""
        z, (zero, k) = self._z(self._checked(value)), self._shape()
        return o.where(zero, -z, -o.log1p(k * z) / k)

    def log_cdf(self, value):
        return o.log1p(-o.exp(self.log_survival_function(value)))

    def cdf(self, value):
        return o.exp(self.log_cdf(value))

    def icdf(self, value):
        log_survival, (zero, k) = o.log1p(-value), self._shape()
        return o.where(zero, self.loc - self.scale * log_survival,
                       self.loc + self.scale / k * o.expm1(-k * log_survival))

    @property
    def mean(self):
        k = o.where(self.concentration < 1, self.concentration, 0.5)
        return o.where(self.concentration < 1, self.loc + self.scale / (1 - k), math.nan)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        k = o.where(self.concentration < 0.5, self.concentration, 0.25)
        return o.where(self.concentration < 0.5, self.scale ** 2 / ((1 - k) ** 2 * (1 - 2 * k)), math.nan)

    def entropy(self):
        return (o.log(self.scale) + self.concentration + 1).expand(self._batch_shape)


# Polynomials in (x / 3.75)^2 below 3.75 and in 3.75 / x above (Abramowitz and Stegun 9.8.1 to 9.8.4).
BELOW = ((1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.360768e-1, 0.45813e-2),
         (0.5, 0.87890594, 0.51498869, 0.15084934, 0.2658733e-1, 0.301532e-2, 0.32411e-3))
ABOVE = ((0.39894228, 0.1328592e-1, 0.225319e-2, -0.157565e-2, 0.916281e-2, -0.2057706e-1, 0.2635537e-1,
          -0.1647633e-1, 0.392377e-2),
         (0.39894228, -0.3988024e-1, -0.362018e-2, 0.163801e-2, -0.1031555e-1, 0.2282967e-1, -0.2895312e-1,
          0.1787654e-1, -0.420059e-2))


def _polynomial(x, coefficients):
    value = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        value = c + x * value
    return value


def log_bessel(x, order):
    """The log of the modified Bessel function I_order for order 0 or 1."""
    small = _polynomial((x / 3.75) ** 2, BELOW[order])
    small = (x.abs() * small if order else small).log()
    large = x - 0.5 * x.log() + _polynomial(3.75 / x, ABOVE[order]).log()
    return o.where(x < 3.75, small, large)


class VonMises(Located):
    """Angles in [-pi, pi) with density proportional to exp(concentration cos(x - loc))."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    parameters = ("loc", "concentration")

    def __init__(self, loc, concentration, validate_args=None):
        self._broadcast(validate_args, loc=loc, concentration=concentration)

    @lazy_property
    def variance(self):
        """The circular variance."""
        return 1 - (log_bessel(self.concentration, 1) - log_bessel(self.concentration, 0)).exp()

    def log_prob(self, value):
        turned = self.concentration * o.cos(self._checked(value) - self.loc)
        return turned - LOG_2PI - log_bessel(self.concentration, 0)

    def _proposal(self, k):
        """The parameter of the wrapped Cauchy distribution that samples are proposed from."""
        tau = 1 + (1 + 4 * k ** 2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * k)
        return o.where(k < 1e-5, 1 / k + k, (1 + rho ** 2) / (2 * rho))

    def sample(self, sample_shape=Size()):
        """By rejection in float64 (Best and Fisher 1979)."""
        with no_grad():
            loc, k = self.loc.to(dtypes.float64), self.concentration.to(dtypes.float64)
            shape, r = self._extended_shape(sample_shape), self._proposal(k)
            x, done = o.zeros(shape, dtype=dtypes.float64), o.zeros(shape, dtype=dtypes.bool)
            while not done.all():
                u1, u2, u3 = o.rand((3, *shape), dtype=dtypes.float64).unbind()
                z = o.cos(math.pi * u1)
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                accept = (c * (2 - c) - u2 > 0) | ((c / u2).log() + 1 - c >= 0)
                x, done = o.where(accept, (u3 - 0.5).sign() * f.acos(), x), done | accept
            return ((x + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)


__all__ = ["ContinuousBernoulli", "Kumaraswamy", "GeneralizedPareto", "VonMises"]
