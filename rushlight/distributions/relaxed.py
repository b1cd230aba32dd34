"""Continuous relaxations of categories (Jang, Gu, Poole 2017; Maddison, Mnih, Teh 2017)."""
from __future__ import annotations


from .. import ops as o
from ..layout import Size
from . import constraints
from .discrete import _OnCategories, _TwoWays
from .transformed import TransformedDistribution
from .transforms import ExpTransform, SigmoidTransform
from .utils import broadcast_all, clamp_probs


class LogitRelaxedBernoulli(_TwoWays):
    """The logit of a RelaxedBernoulli sample."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self.temperature = temperature
        (value,) = broadcast_all(self._given(probs, logits))
        setattr(self, self._param_name, value)
        super().__init__(value.size(), validate_args=validate_args)

    def _expand_more(self, old, batch_shape):
        super()._expand_more(old, batch_shape)
        self.temperature = old.temperature

    def rsample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        u = clamp_probs(o.rand(shape, dtype=probs.dtype))
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value):
        self._checked(value)
        logits, value = broadcast_all(self.logits, value)
        off = logits - value.mul(self.temperature)
        return o.log(o.as_tensor(self.temperature, dtype=off.dtype)) + off \
            - 2 * off.exp().log1p()


class ExpRelaxedCategorical(_OnCategories):
    """The log of a RelaxedOneHotCategorical sample."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self.temperature = temperature
        self._over(probs, logits, validate_args)

    def _expand_more(self, old, batch_shape):
        super()._expand_more(old, batch_shape)
        self.temperature = old.temperature

    def rsample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        u = clamp_probs(o.rand(shape, dtype=self.logits.dtype))
        scores = (self.logits - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, True)

    def log_prob(self, value):
        n = self._categorical._num_events
        self._checked(value)
        logits, value = broadcast_all(self.logits, value)
        t = o.as_tensor(self.temperature, dtype=value.dtype)
        scale = o.full_like(t, float(n)).lgamma() - t.log().mul(-(n - 1))
        score = logits - value.mul(t)
        return (score - score.logsumexp(-1, True)).sum(-1) + scale


class _Relaxed(TransformedDistribution):
    has_rsample = True

    @property
    def temperature(self):
        """What the samples approach zeros and ones with, as it goes to 0."""
        return self.base_dist.temperature

    @property
    def logits(self):
        return self.base_dist.logits

    @property
    def probs(self):
        return self.base_dist.probs


class RelaxedBernoulli(_Relaxed):
    """Numbers in (0, 1) near 0 or 1, the nearer the lower the temperature."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        super().__init__(LogitRelaxedBernoulli(temperature, probs, logits), SigmoidTransform(),
                         validate_args=validate_args)


class RelaxedOneHotCategorical(_Relaxed):
    """Points of the simplex near its corners, the nearer the lower the temperature."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        super().__init__(ExpRelaxedCategorical(temperature, probs, logits), ExpTransform(),
                         validate_args=validate_args)
