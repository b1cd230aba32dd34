"""Distributions on whole numbers and categories."""
from __future__ import annotations

import math

from .. import dtypes
from .. import ops as o
from ..autograd.grad_mode import no_grad
from ..layout import Size
from ..tensor import Tensor
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .gamma import Gamma
from .utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits


class _TwoWays(Distribution):
    """Given by `probs` or by `logits`; the other one is worked out when it is asked for."""

    is_binary = True
    parameters = ("probs", "logits")

    def _given(self, probs, logits):
        """The parameter that was given, with the batch shape; exactly one may be."""
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        self._param_name = "logits" if probs is None else "probs"
        return logits if probs is None else probs

    def _expand_more(self, old, batch_shape):
        self._param_name = old._param_name

    @property
    def _param(self):
        return getattr(self, self._param_name)

    @lazy_property
    def logits(self):
        return probs_to_logits(self.probs, self.is_binary)

    @lazy_property
    def probs(self):
        return logits_to_probs(self.logits, self.is_binary)

    @property
    def param_shape(self):
        return self._param.size()


def _cross_entropy(logits, value):
    """-log p(value) of Bernoulli trials; gradients flow into both."""
    from ..nn.functional import binary_cross_entropy_with_logits
    return binary_cross_entropy_with_logits(logits, value, reduction="none")


class Bernoulli(_TwoWays, ExponentialFamily):
    """1 with probability `probs`, else 0."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        given = self._given(probs, logits)
        (value,) = broadcast_all(given)
        setattr(self, self._param_name, value)
        super().__init__(value.size() if isinstance(given, Tensor) else Size(),
                         validate_args=validate_args)

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        mode = (self.probs >= 0.5).to(self.probs.dtype)
        return o.where(self.probs == 0.5, math.nan, mode)

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=Size()):
        with no_grad():
            return o.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        self._checked(value)
        logits, value = broadcast_all(self.logits, value)
        return -_cross_entropy(logits, value)

    def entropy(self):
        return _cross_entropy(self.logits, self.probs)

    def enumerate_support(self, expand=True):
        return self._enumerated(o.arange(2, dtype=self._param.dtype), expand)


class Geometric(_TwoWays):
    """The number of failures before the first success."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs=None, logits=None, validate_args=None):
        (value,) = broadcast_all(self._given(probs, logits))
        setattr(self, self._param_name, value)
        super().__init__(value.size(), validate_args=validate_args)
        if self._validate_args and probs is not None and not (self.probs > 0).all():
            raise ValueError(
                f"Expected parameter probs ({type(self.probs).__name__} of shape "
                f"{tuple(self.probs.shape)}) of distribution {self!r} to be positive but found "
                f"invalid values:\n{self.probs[~(self.probs > 0)]}")

    @property
    def mean(self):
        return 1.0 / self.probs - 1.0

    @property
    def mode(self):
        return o.zeros_like(self.probs)

    @property
    def variance(self):
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape=Size()):
        shape, tiny = self._extended_shape(sample_shape), dtypes.finfo(self.probs.dtype).tiny
        with no_grad():
            u = o.empty(shape, dtype=self.probs.dtype).uniform_(tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value):
        self._checked(value)
        value, probs = broadcast_all(value, self.probs)
        certain = (probs == 1) & (value == 0)
        return value * (-o.where(certain, 0.0, probs)).log1p() + self.probs.log()

    def entropy(self):
        return _cross_entropy(self.logits, self.probs) / self.probs


class Poisson(ExponentialFamily):
    """Counts with the mean `rate`."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    parameters = ("rate",)

    def __init__(self, rate, validate_args=None):
        self._broadcast(validate_args, rate=rate)

    @property
    def mean(self):
        return self.rate

    @property
    def mode(self):
        return self.rate.floor()

    @property
    def variance(self):
        return self.rate

    def sample(self, sample_shape=Size()):
        with no_grad():
            return o.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        self._checked(value)
        rate, value = broadcast_all(self.rate, value)
        return o.xlogy(value, rate) - rate - (value + 1).lgamma()


class Binomial(_TwoWays):
    """How many of `total_count` trials succeed."""

    arg_constraints = {"total_count": constraints.nonnegative_integer,
                       "probs": constraints.unit_interval, "logits": constraints.real}
    has_enumerate_support = True
    parameters = ("total_count", "probs", "logits")

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        given = self._given(probs, logits)
        count, value = broadcast_all(total_count, given)
        self.total_count = count.type_as(value)
        setattr(self, self._param_name, value)
        super().__init__(value.size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self):
        return self.total_count * self.probs

    @property
    def mode(self):
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return o.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value):
        self._checked(value)
        n, logits = self.total_count, self.logits
        ways = o.lgamma(n + 1) - o.lgamma(value + 1) - o.lgamma(n - value + 1)
        clamped = (logits.clamp(min=0) + logits - logits.clamp(max=0)) / 2
        return (value * logits + ways - n * clamped
                - n * o.log1p(o.exp(-o.abs(logits))))

    def entropy(self):
        n = int(self.total_count.max().item())
        if not float(self.total_count.min()) == n:
            raise NotImplementedError("Inhomogeneous total count not supported by `entropy`.")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(o.exp(log_prob) * log_prob).sum(0)

    def enumerate_support(self, expand=True):
        n = int(self.total_count.max().item())
        if not float(self.total_count.min()) == n:
            raise NotImplementedError("Inhomogeneous total count not supported by "
                                      "`enumerate_support`.")
        return self._enumerated(o.arange(1 + n, dtype=self._param.dtype), expand)


class NegativeBinomial(_TwoWays):
    """Successes before `total_count` failures."""

    arg_constraints = {"total_count": constraints.greater_than_eq(0),
                       "probs": constraints.half_open_interval(0.0, 1.0),
                       "logits": constraints.real}
    support = constraints.nonnegative_integer
    parameters = ("total_count", "probs", "logits")

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        count, value = broadcast_all(total_count, self._given(probs, logits))
        self.total_count = count.type_as(value)
        setattr(self, self._param_name, value)
        super().__init__(value.size(), validate_args=validate_args)

    @property
    def mean(self):
        return self.total_count * o.exp(self.logits)

    @property
    def mode(self):
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self):
        return self.mean / o.sigmoid(-self.logits)

    @lazy_property
    def _gamma(self):
        return Gamma(self.total_count, o.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape=Size()):
        with no_grad():
            return o.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value):
        from ..nn.functional import logsigmoid
        self._checked(value)
        n = self.total_count
        weights = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        ways = -o.lgamma(n + value) + o.lgamma(1.0 + value) + o.lgamma(n)
        return weights - ways.masked_fill(n + value == 0.0, 0.0)


class Categorical(_TwoWays):
    """Categories 0 .. K - 1; the last axis of `probs` or `logits` holds their weights."""

    is_binary = False
    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        value = self._given(probs, logits)
        if value.dim() < 1:
            raise ValueError(f"`{self._param_name}` parameter must be at least one-dimensional.")
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
        self._num_events = value.shape[-1]
        super().__init__(value.shape[:-1], validate_args=validate_args)

    def _expand_more(self, old, batch_shape):
        super()._expand_more(old, batch_shape)
        self._num_events = old._num_events

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self):
        return o.full(self._extended_shape(), math.nan, dtype=self.probs.dtype)

    @property
    def mode(self):
        return self.probs.argmax(-1)

    @property
    def variance(self):
        return o.full(self._extended_shape(), math.nan, dtype=self.probs.dtype)

    def sample(self, sample_shape=Size()):
        sample_shape = Size(tuple(sample_shape))
        rows = self.probs.detach().reshape(-1, self._num_events)
        drawn = o.multinomial(rows, math.prod(sample_shape), True)
        return drawn.T.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value):
        self._checked(value)
        at = value.long().unsqueeze(-1)
        shape = o.broadcast_shapes(at.shape[:-1], self.logits.shape[:-1])
        logits = self.logits.expand(*shape, self._num_events)
        return logits.gather(-1, at.expand(*shape, 1)).squeeze(-1)

    def entropy(self):
        logits = self.logits.clamp(min=dtypes.finfo(self.logits.dtype).min)
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand=True):
        return self._enumerated(o.arange(self._num_events), expand)


class _OnCategories(Distribution):
    """Events over the categories of a Categorical, their own last axis."""

    def _over(self, probs, logits, validate_args):
        self._categorical = Categorical(probs, logits)
        shape = self._categorical
        Distribution.__init__(self, shape.batch_shape, shape.param_shape[-1:], validate_args)

    def _expand_more(self, old, batch_shape):
        self._categorical = old._categorical.expand(batch_shape)

    @property
    def logits(self):
        return self._categorical.logits

    @property
    def probs(self):
        return self._categorical.probs

    @property
    def param_shape(self):
        return self._categorical.param_shape


class OneHotCategorical(_OnCategories):
    """One-hot vectors of categories."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        self._over(probs, logits, validate_args)

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        return self._one_hot(self.probs.argmax(-1))

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def _one_hot(self, index):
        return o.one_hot(index, self.event_shape[0]).to(self.probs.dtype)

    def sample(self, sample_shape=Size()):
        return self._one_hot(self._categorical.sample(sample_shape))

    def log_prob(self, value):
        return self._categorical.log_prob(self._checked(value).max(-1)[1])

    def entropy(self):
        return self._categorical.entropy()

    def enumerate_support(self, expand=True):
        n = self.event_shape[0]
        values = o.eye(n, dtype=self.probs.dtype).reshape(n, *[1] * len(self.batch_shape), n)
        return values.expand(n, *self.batch_shape, n) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """One-hot samples whose gradient is that of the probabilities."""

    has_rsample = True

    def rsample(self, sample_shape=Size()):
        samples, probs = self.sample(sample_shape), self.probs
        return samples + (probs - probs.detach())


class Multinomial(_OnCategories):
    """How often each category is drawn in `total_count` draws."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._over(probs, logits, validate_args)
        self._binomial = Binomial(total_count=total_count, probs=self.probs)

    def _expand_more(self, old, batch_shape):
        super()._expand_more(old, batch_shape)
        self.total_count, self._binomial = old.total_count, old._binomial

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        return constraints.multinomial(self.total_count)

    @property
    def mean(self):
        return self.probs * self.total_count

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=Size()):
        sample_shape = Size(tuple(sample_shape))
        drawn = self._categorical.sample(Size((self.total_count,)) + sample_shape)
        drawn = drawn.movedim(0, -1)
        counts = o.zeros(self._extended_shape(sample_shape), dtype=drawn.dtype)
        counts = counts.scatter_add(-1, drawn, o.ones_like(drawn))
        return counts.type_as(self.probs)

    def log_prob(self, value):
        self._checked(value)
        logits, value = broadcast_all(self.logits, value)
        logits = o.where((value == 0) & (logits == -math.inf), 0.0, logits)
        ways = o.lgamma(value.sum(-1) + 1) - o.lgamma(value + 1).sum(-1)
        return ways + (logits * value).sum(-1)

    def entropy(self):
        n = o.tensor(self.total_count)
        support = self._binomial.enumerate_support(expand=False)[1:]
        weights = (o.exp(self._binomial.log_prob(support)) * o.lgamma(support + 1)).sum((0, -1))
        return self.total_count * self._categorical.entropy() - o.lgamma(n + 1) + weights


__all__ = ["Bernoulli", "Geometric", "Poisson", "Binomial", "NegativeBinomial", "Categorical",
           "OneHotCategorical", "OneHotCategoricalStraightThrough", "Multinomial"]
