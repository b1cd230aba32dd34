"""The base of all distributions: shapes, checks, and what follows from a few methods."""
from __future__ import annotations

import functools
import math
import operator

from .. import ops as o
from ..autograd.grad_mode import no_grad
from ..layout import Size
from ..tensor import Tensor
from . import constraints
from .utils import broadcast_all, lazy_property


class Distribution:
    """A batch of distributions of events.

    Subclasses set `arg_constraints` and `support` and define `sample` or `rsample`, `log_prob`.

    Args:
        batch_shape: independent distributions.
        event_shape: the shape of one sample of one of them.
        validate_args: whether parameters and values are checked (on by default).
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: dict = {}
    _validate_args = True

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their arguments from now on."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape=Size(), event_shape=Size(), validate_args=None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()
        super().__init__()

    def _broadcast(self, validate_args, **given):
        """Take parameters of one shape, which is that of the batch."""
        for name, value in zip(given, broadcast_all(*given.values()), strict=True):
            setattr(self, name, value)
        Distribution.__init__(self, value.size(), validate_args=validate_args)

    def _check_parameters(self):
        checks = [(name, constraint, constraint.check(getattr(self, name)).all())
                  for name, constraint in self.arg_constraints.items() if self._is_checked(name, constraint)]
        if len(checks) > 1 and functools.reduce(operator.and_, [ok for *_, ok in checks]):
            return              # one look for all
        for name, constraint, ok in checks:
            if not ok:
                value = getattr(self, name)
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}")

    def _is_checked(self, name, constraint) -> bool:
        """Whether a parameter is one that was given: others follow from those, which are checked."""
        return not constraints.is_dependent(constraint) and (
            name in self.__dict__ or not isinstance(getattr(type(self), name), lazy_property))

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters' batch."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of a single sample."""
        return self._event_shape

    @property
    def support(self):
        """The constraint that samples satisfy."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        raise NotImplementedError(f"{self.__class__} does not implement mode")

    @property
    def variance(self) -> Tensor:
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    def expand(self, batch_shape, _instance=None):
        """A distribution of the same kind with its batch broadcast to `batch_shape`."""
        new, batch_shape = self._new(_instance), Size(batch_shape)
        for name in self.parameters:
            if name in self.__dict__:
                value = self.__dict__[name]
                own = value.dim() - len(self.batch_shape)
                shape = batch_shape + Size(value.shape[value.dim() - own:] if own else ())
                new.__dict__[name] = value.expand(shape)
        new._expand_more(self, batch_shape)
        new._batch_shape, new._event_shape = batch_shape, self.event_shape
        new._validate_args = False if self._validate_args is False else self._validate_args
        return new

    parameters: tuple = ()              # the tensors that `expand` broadcasts

    def _expand_more(self, old, batch_shape):
        """Subclasses carry over what `parameters` does not name."""

    def _new(self, instance):
        return type(self).__new__(type(self)) if instance is None else instance

    def sample(self, sample_shape=Size()) -> Tensor:
        """A sample of shape sample_shape + batch_shape + event_shape, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=Size()) -> Tensor:
        """A sample that the parameters get gradients through."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """n samples; sample((n,))."""
        return self.sample(Size((n,)))

    def rsample_n(self, n: int) -> Tensor:
        """n samples; rsample((n,))."""
        return self.rsample(Size((n,)))

    def log_prob(self, value) -> Tensor:
        """log of the density or probability of each event in `value`."""
        raise NotImplementedError

    def cdf(self, value) -> Tensor:
        raise NotImplementedError

    def icdf(self, value) -> Tensor:
        raise NotImplementedError

    def enumerate_support(self, expand=True) -> Tensor:
        """All values of a discrete distribution, along a new first axis."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """exp of the entropy."""
        return o.exp(self.entropy())

    def _extended_shape(self, sample_shape=Size()) -> Size:
        return Size(tuple(sample_shape)) + self._batch_shape + self._event_shape

    def _enumerated(self, values, expand):
        """Values along a new first axis, expanded over the batch if asked for."""
        values = values.reshape(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values

    def _validate_sample(self, value):
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        at = value.dim() - len(self._event_shape)
        if tuple(value.shape[max(at, 0):]) != tuple(self._event_shape):
            raise ValueError("The right-most size of value must match event_shape: "
                             f"{value.shape} vs {self._event_shape}.")
        expected = self._batch_shape + self._event_shape
        for i, j in zip(reversed(value.shape), reversed(expected)):
            if i != 1 and j != 1 and i != j:
                raise ValueError("Value is not broadcastable with batch_shape+event_shape: "
                                 f"{value.shape} vs {expected}.")
        support = self.support
        if not support.check(value).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
                f"to be within the support ({support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}")

    def _checked(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return value

    def __repr__(self):
        names = [k for k in self.arg_constraints if k in self.__dict__]
        shown = ((n, self.__dict__[n]) for n in names)
        return f"{self.__class__.__name__}(" + ", ".join(
            f"{n}: {v if v.numel() == 1 else v.size()}" for n, v in shown) + ")"


class Located(Distribution):
    """A distribution about `loc`: its mean, and where its density is largest."""

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc


class ExponentialFamily(Distribution):
    """Distributions with densities exp(<t(x), theta> - F(theta) + k(x))."""




LOG_2PI, LOG_PI, LOG_2 = math.log(2 * math.pi), math.log(math.pi), math.log(2)
