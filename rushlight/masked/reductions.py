"""What is hidden takes no part: it is replaced by what changes nothing.

`mask` is True where an element counts, and broadcasts to the input; None counts all. `dim` is a
dimension or several, None for all. A MaskedTensor is its own mask, and gives a MaskedTensor.
"""
from __future__ import annotations

import functools
import math

from .. import dtypes, linalg, ops
from ..layout import wrap_dim
from ..nn import functional as F


def _for_masked(function):
    """A function of tensors that takes MaskedTensors, too: what has no element that counts is hidden."""
    @functools.wraps(function)
    def call(input, *args, mask=None, dtype=None, **kwargs):
        if not hasattr(input, "_masked_mask"):
            mask = None if mask is None else ops.broadcast_to(mask, input.shape)
            input = input if dtype is None else input.to(dtype)
            return function(input, *args, mask=mask, **kwargs)
        from .maskedtensor import made
        own = input._masked_mask
        found = call(input._masked_data, *args, mask=own if mask is None else own & mask, dtype=dtype, **kwargs)
        return made(found, own if found.shape == own.shape else _any(own, found, args, kwargs))
    return call


def _any(mask, found, args, kwargs):
    dims = [a for a in (*args, kwargs.get("dim")) if isinstance(a, (int, tuple, list)) and not isinstance(a, bool)]
    return _reduced(mask, dims[-1] if dims else None, kwargs.get("keepdim", False)).reshape(found.shape)


def _reduced(mask, dim, keepdim):
    return mask.to(dtypes.int32).amax(_dims(mask, dim), keepdim).bool() if mask.dim() else mask


def _dims(x, dim):
    return tuple(range(x.dim())) if dim is None or dim == () else dim if isinstance(dim, (tuple, list)) else (dim,)


def _filled(x, mask, value):
    return x if mask is None else ops.where(mask, x, ops.tensor(value, dtype=x.dtype))


def _lowest(x):
    return -math.inf if x.is_floating_point() or x.is_complex() else x.dtype is not dtypes.bool and dtypes.iinfo(x.dtype).min


def _highest(x):
    return math.inf if x.is_floating_point() else x.dtype is dtypes.bool or dtypes.iinfo(x.dtype).max


def _count(x, mask, dim, keepdim):
    ones = ops.ones(x.shape, dtype=dtypes.int64)
    return _filled(ones, mask, 0).sum(_dims(x, dim), keepdim)


@_for_masked
def sum(input, dim=None, *, keepdim=False, mask=None):
    """The sum of what counts; 0 of nothing."""
    return _filled(input, mask, 0).sum(_dims(input, dim), keepdim)


@_for_masked
def prod(input, dim=None, *, keepdim=False, mask=None):
    """The product of what counts; 1 of nothing."""
    x = _filled(input, mask, 1)
    for d in sorted((wrap_dim(d, input.dim()) for d in _dims(input, dim)), reverse=True):
        x = x.prod(d, keepdim)
    return x if x.is_floating_point() or x.is_complex() else x.to(dtypes.int64)


@_for_masked
def amax(input, dim=None, *, keepdim=False, mask=None):
    """The largest; -inf of nothing."""
    return _filled(input, mask, _lowest(input)).amax(_dims(input, dim), keepdim)


@_for_masked
def amin(input, dim=None, *, keepdim=False, mask=None):
    """The smallest; inf of nothing."""
    return _filled(input, mask, _highest(input)).amin(_dims(input, dim), keepdim)


@_for_masked
def argmax(input, dim=None, *, keepdim=False, mask=None):
    """Where the largest is, in the dtype of the input."""
    return _filled(input, mask, _lowest(input)).argmax(dim, keepdim).to(input.dtype)


@_for_masked
def argmin(input, dim=None, *, keepdim=False, mask=None):
    """Where the smallest is, in the dtype of the input."""
    return _filled(input, mask, _highest(input)).argmin(dim, keepdim).to(input.dtype)


@_for_masked
def mean(input, dim=None, *, keepdim=False, mask=None):
    """The mean of what counts; nan of nothing."""
    if not (input.is_floating_point() or input.is_complex()):
        raise ValueError("mean(): Could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
                         f"Got: {input.dtype}")
    return sum(input, dim, keepdim=keepdim, mask=mask) / _count(input, mask, dim, keepdim)


@_for_masked
def median(input, dim=-1, *, keepdim=False, mask=None):
    """The lower median of what counts; nan of nothing."""
    if not input.is_floating_point():
        raise ValueError(f"masked median expects no fully masked out rows if dtype is not floating point: {input.dtype}")
    return _filled(input, mask, math.nan).nanmedian(dim, keepdim).values


@_for_masked
def logsumexp(input, dim=None, *, keepdim=False, mask=None):
    """log(sum(exp(what counts))); -inf of nothing."""
    return _filled(input, mask, _lowest(input)).logsumexp(_dims(input, dim), keepdim).to(input.dtype)


@_for_masked
def norm(input, ord=2.0, dim=None, *, keepdim=False, mask=None):
    """The vector norm of what counts."""
    return linalg.vector_norm(_filled(input, mask, 0 if ord > 0 else math.inf), ord, _dims(input, dim), keepdim)


@_for_masked
def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, mask=None):
    """The variance of what counts: squares over the count less `correction` (1, or 0 without `unbiased`)."""
    correction = (1 if unbiased is None else int(unbiased)) if correction is None else correction
    input = input if input.is_floating_point() or input.is_complex() else input.to(dtypes.default)
    apart = input - mean(input, dim, keepdim=True, mask=mask)
    squares = sum(apart * apart.conj(), dim, keepdim=keepdim, mask=mask)
    return squares / (_count(input, mask, dim, keepdim) - correction).clamp(min=0)


@_for_masked
def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, mask=None):
    """The square root of var."""
    return var(input, dim, unbiased, correction=correction, keepdim=keepdim, mask=mask).sqrt()


@_for_masked
def softmax(input, dim, *, mask=None):
    """Softmax over what counts; 0 elsewhere, nan where nothing counts."""
    return F.softmax(_filled(input, mask, -math.inf), dim)


@_for_masked
def log_softmax(input, dim, *, mask=None):
    """The logarithm of softmax."""
    return F.log_softmax(_filled(input, mask, -math.inf), dim)


@_for_masked
def softmin(input, dim, *, mask=None):
    """Softmax of the negative input."""
    return F.softmin(_filled(input, mask, math.inf), dim)


@_for_masked
def normalize(input, ord, dim, *, eps=1e-12, mask=None):
    """What counts over its norm, at least eps; 0 elsewhere."""
    length = norm(input, ord, dim, keepdim=True, mask=mask)
    return _filled(input, mask, 0) / length.clamp(min=eps)


@_for_masked
def cumsum(input, dim, *, mask=None):
    """Sums of what counts up to each element."""
    return _filled(input, mask, 0).cumsum(dim)


@_for_masked
def cumprod(input, dim, *, mask=None):
    """Products of what counts up to each element."""
    return _filled(input, mask, 1).cumprod(dim)


def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    """log(exp(a) + exp(b)), where what is hidden adds nothing."""
    x, y = (t if dtype is None else t.to(dtype) for t in (input, other))
    return ops.logaddexp(_filled(x, input_mask, -math.inf), _filled(y, other_mask, -math.inf))
