"""Transforms made of others along an axis, of a distribution's probabilities, and onto correlation matrices."""
from __future__ import annotations

import math

from .. import dtypes
from .. import ops as o
from . import constraints
from .transforms import Transform
from .utils import sum_rightmost

__all__ = ["CatTransform", "CorrCholeskyTransform", "CumulativeDistributionTransform", "StackTransform"]


class StackTransform(Transform):
    """A transform of its own for each slice of an axis."""

    def __init__(self, tseq, dim=0, cache_size=0):
        if not all(isinstance(t, Transform) for t in tseq):
            raise AssertionError("All elements of tseq must be Transform instances")
        super().__init__(cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq] if cache_size else list(tseq)
        self.dim = dim

    def with_cache(self, cache_size=1):
        return self if self._cache_size == cache_size else type(self)(*self._arguments(), cache_size)

    def _arguments(self):
        return self.transforms, self.dim

    def _cut(self, x):
        if not -x.dim() <= self.dim < x.dim():
            raise AssertionError(f"dim {self.dim} out of range for tensor with {x.dim()} dimensions")
        if x.shape[self.dim] != len(self.transforms):
            raise AssertionError(f"x.size({self.dim}) = {x.shape[self.dim]} must equal len(transforms) "
                                 f"{len(self.transforms)}")
        return x.unbind(self.dim)

    def _join(self, parts):
        return o.stack(parts, self.dim)

    def _call(self, x):
        return self._join([t(part) for t, part in zip(self.transforms, self._cut(x))])

    def _inverse(self, y):
        return self._join([t.inv(part) for t, part in zip(self.transforms, self._cut(y))])

    def log_abs_det_jacobian(self, x, y):
        return self._join(self._sizes(x, y))

    def _sizes(self, x, y):
        return [t.log_abs_det_jacobian(a, b) for t, a, b in zip(self.transforms, self._cut(x), self._cut(y))]

    @property
    def bijective(self):
        return all(t.bijective for t in self.transforms)

    @property
    def domain(self):
        return self._constraint([t.domain for t in self.transforms])

    @property
    def codomain(self):
        return self._constraint([t.codomain for t in self.transforms])

    def _constraint(self, parts):
        return constraints.stack(parts, self.dim)


class CatTransform(StackTransform):
    """A transform of its own for each stretch of an axis; `lengths` of 1 if not given."""

    def __init__(self, tseq, dim=0, lengths=None, cache_size=0):
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(f"lengths ({len(self.lengths)}) must match transforms ({len(self.transforms)})")

    def _arguments(self):
        return self.transforms, self.dim, self.lengths

    @property
    def event_dim(self):
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self):
        return sum(self.lengths)

    def _cut(self, x):
        if not -x.dim() <= self.dim < x.dim():
            raise AssertionError(f"dim {self.dim} out of range for tensor with {x.dim()} dimensions")
        if x.shape[self.dim] != self.length:
            raise AssertionError(f"x.size({self.dim}) = {x.shape[self.dim]} must equal length {self.length}")
        return x.split(self.lengths, self.dim)

    def _join(self, parts):
        return o.cat(parts, self.dim)

    def log_abs_det_jacobian(self, x, y):
        """Side by side where the axis is one of the batch, added up where it is one of the event."""
        sizes = [sum_rightmost(size, self.event_dim - t.event_dim) for t, size in zip(self.transforms, self._sizes(x, y))]
        axis = (self.dim if self.dim < 0 else self.dim - x.dim()) + self.event_dim
        return o.cat(sizes, axis) if axis < 0 else sum(sizes[1:], sizes[0])

    def _constraint(self, parts):
        return constraints.cat(parts, self.dim, self.lengths)


class CumulativeDistributionTransform(Transform):
    """The cdf of a distribution, onto the unit interval."""

    bijective, codomain, sign = True, constraints.unit_interval, +1

    def __init__(self, distribution, cache_size=0):
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self):
        return self.distribution.support

    def _call(self, x):
        return self.distribution.cdf(x)

    def _inverse(self, y):
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x, y):
        return self.distribution.log_prob(x)

    def with_cache(self, cache_size=1):
        return self if self._cache_size == cache_size else type(self)(self.distribution, cache_size)


class CorrCholeskyTransform(Transform):
    """n (n - 1) / 2 numbers to the Cholesky factor of a correlation matrix: tanh, then stick breaking of each row."""

    domain, codomain, bijective = constraints.real_vector, constraints.corr_cholesky, True

    def _call(self, x):
        eps = dtypes.finfo(x.dtype).eps
        r = _lower(o.tanh(x).clamp(min=-1 + eps, max=1 - eps))
        left = (1 - r ** 2).sqrt().cumprod(-1)
        return (r + o.eye(r.shape[-1], dtype=r.dtype)) * _shifted(left)

    def _inverse(self, y):
        left = _shifted(1 - (y * y).cumsum(-1))
        t = _below(y, -1) / _below(left, -1).sqrt()
        return (t.log1p() - (-t).log1p()) / 2

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        from ..nn.functional import softplus
        left = 1 - (y * y).cumsum(-1)
        breaking = 0.5 * _below(left, -2).log().sum(-1)
        return breaking - 2 * (x + softplus(-2 * x) - math.log(2.0)).sum(-1)

    def forward_shape(self, shape):
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        n = shape[-1]
        d = round((0.25 + 2 * n) ** 0.5 + 0.5)
        if d * (d - 1) // 2 != n:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return (*shape[:-1], d, d)

    def inverse_shape(self, shape):
        if len(shape) < 2:
            raise ValueError("Too few dimensions on input")
        if shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        return (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)


def _lower(x):
    """(*, n (n - 1) / 2) as the elements below the diagonal of (*, n, n), row by row."""
    n = round((0.25 + 2 * x.shape[-1]) ** 0.5 + 0.5)
    at = o.tensor([i * n + j for i in range(n) for j in range(i)])
    flat = o.zeros(*x.shape[:-1], n * n, dtype=x.dtype).index_add(-1, at, x)
    return flat.reshape(*x.shape[:-1], n, n)


def _below(matrix, diagonal):
    """The elements on and below a diagonal, row by row."""
    n = matrix.shape[-1]
    at = o.tensor([i * n + j for i in range(n) for j in range(n) if j - i <= diagonal], dtype=dtypes.int64)
    return matrix.reshape(*matrix.shape[:-2], n * n).index_select(-1, at)


def _shifted(x):
    """The last axis moved on by one, a 1 in front."""
    return o.cat([o.ones_like(x[..., :1]), x[..., :-1]], -1)
