"""Mixtures of distributions of one family."""
from __future__ import annotations

from .. import ops as o
from ..autograd.grad_mode import no_grad
from ..layout import Size
from . import constraints
from .discrete import Categorical
from .distribution import Distribution


class MixtureSameFamily(Distribution):
    """A mixture over the last batch axis of `component_distribution`, weighted by a Categorical."""

    arg_constraints: dict = {}
    has_rsample = False

    def __init__(self, mixture_distribution, component_distribution, validate_args=None):
        mixture, component = mixture_distribution, component_distribution
        if not isinstance(mixture, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of "
                             "torch.distributions.Categorical")
        if not isinstance(component, Distribution):
            raise ValueError("The Component distribution need to be an instance of "
                             "torch.distributions.Distribution")
        batch = component.batch_shape[:-1]
        for a, b in zip(reversed(mixture.batch_shape), reversed(batch)):
            if a != 1 and b != 1 and a != b:
                raise ValueError(f"`mixture_distribution.batch_shape` ({mixture.batch_shape}) is "
                                 "not compatible with `component_distribution.batch_shape`"
                                 f"({component.batch_shape})")
        km, kc = mixture.logits.shape[-1], component.batch_shape[-1]
        if km != kc:
            raise ValueError(f"`mixture_distribution component` ({km}) does not equal "
                             f"`component_distribution.batch_shape[-1]` ({kc})")
        self._mixture_distribution, self._component_distribution = mixture, component
        self._num_component, self._event_ndims = km, len(component.event_shape)
        super().__init__(batch, component.event_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new, batch_shape = self._new(_instance), Size(batch_shape)
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._component_distribution = self._component_distribution.expand(
            batch_shape + Size((self._num_component,)))
        new._num_component, new._event_ndims = self._num_component, self._event_ndims
        new._batch_shape, new._event_shape = batch_shape, self.event_shape
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property
    def support(self):
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self):
        return self._mixture_distribution

    @property
    def component_distribution(self):
        return self._component_distribution

    def _pad_mixture_dimensions(self, x):
        """Weights with axes for the event behind them."""
        more = len(self.batch_shape) - len(self.mixture_distribution.batch_shape)
        shape = self.mixture_distribution.batch_shape
        return x.reshape(*shape, *[1] * more, x.shape[-1], *[1] * self._event_ndims)

    def _over_components(self, x):
        return x.unsqueeze(-1 - self._event_ndims)

    @property
    def mean(self):
        probs = self._pad_mixture_dimensions(self.mixture_distribution.probs)
        return (probs * self.component_distribution.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self):
        probs = self._pad_mixture_dimensions(self.mixture_distribution.probs)
        at, parts = -1 - self._event_ndims, self.component_distribution
        within = (probs * parts.variance).sum(at)
        return within + (probs * (parts.mean - self._over_components(self.mean)).pow(2.0)).sum(at)

    def cdf(self, x):
        parts = self.component_distribution.cdf(self._over_components(x))
        return (parts * self.mixture_distribution.probs).sum(-1)

    def log_prob(self, x):
        self._checked(x)
        parts = self.component_distribution.log_prob(self._over_components(x))
        weights = o.log_softmax(self.mixture_distribution.logits, -1)
        return o.logsumexp(parts + weights, -1)

    def sample(self, sample_shape=Size()):
        with no_grad():
            sample_shape = Size(tuple(sample_shape))
            at = len(sample_shape) + len(self.batch_shape)
            which = self.mixture_distribution.sample(sample_shape)
            values = self.component_distribution.sample(sample_shape)
            index = which.reshape(*which.shape, *[1] * (self._event_ndims + 1))
            shape = (*values.shape[:at], 1, *values.shape[at + 1:])
            return o.gather(values, at, index.expand(shape)).squeeze(at)

    def __repr__(self):
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  " \
               f"{self.component_distribution})"
