"""Reductions, scans and statistics of the public namespace."""
from __future__ import annotations

import builtins
import math
from collections import namedtuple

from .. import dtypes
from ..autograd.function import differentiable
from ..layout import wrap_dim, wrap_dims
from ..prims import reduce as p
from ..tensor import Tensor
from .pointwise import into, truth


def axes(x, dim) -> tuple[int, ...]:
    """The sorted axes that `dim` names: all for None or ()."""
    if dim is None or dim == ():
        return tuple(range(x.layout.ndim))
    if isinstance(dim, int):
        return (wrap_dim(dim, x.layout.ndim),) if x.layout.ndim else ()
    if x.layout.ndim == 0:
        wrap_dims(dim, 0)
        return ()
    return tuple(sorted(wrap_dims(dim, x.layout.ndim)))


def fold(prim, x, dim, keepdim):
    """One reduction primitive over `dim`, with the axes put back if asked for."""
    dims = axes(x, dim)
    y = prim(x, dims=dims)
    if keepdim and dims:
        for d in dims:
            y = y.unsqueeze(d)
    return y


def _named_dim(dim, kwargs):
    return kwargs.pop("axis") if "axis" in kwargs else dim


def sum(input, dim=None, keepdim=False, *, dtype=None, out=None, axis=None):
    """Sum over `dim` (all axes if None); bool and integers add up in int64."""
    dim = axis if axis is not None else dim
    target = dtypes.as_dtype(dtype) or (dtypes.int64 if input.dtype.rank < 2 else input.dtype)
    y = _sum(input if input.dtype is target else input.to(target), dims=axes(input, dim), keepdim=bool(keepdim))
    return y if out is None else into(out, y)


def sum_to_size(input, *size):
    """Summed down to a shape that broadcasts to input's."""
    from ..autograd.engine import sum_to
    from .create import sizes
    return sum_to(input, sizes(size))


def _put_back(y, dims, keepdim):
    if keepdim:
        for d in dims:
            y = y.unsqueeze(d)
    return y


def _spread(g, shape, dims, keepdim):
    return (g if keepdim else _put_back(g, dims, True)).expand(shape)


def _shaped(name):
    """A gradient that spreads over the input's shape, which it keeps in the parameters."""
    def decorate(fn):
        op = differentiable(name, vjp=(lambda g, _y, _x, *, dims, keepdim, shape: _spread(g, shape, dims, keepdim),))(fn)
        return lambda x, *, dims, keepdim: op(x, dims=dims, keepdim=keepdim, shape=x.layout.shape)
    return decorate


@_shaped("SumBackward1")
def _sum(x, *, dims, keepdim, shape):
    return _put_back(p.sum(x, dims=dims), dims, keepdim)


def mean(input, dim=None, keepdim=False, *, dtype=None, out=None, axis=None):
    """Mean over `dim`."""
    dim = axis if axis is not None else dim
    d = dtypes.as_dtype(dtype)
    x = input if d is None else input.to(d)
    if x.dtype.rank < 2:
        raise RuntimeError("mean(): could not infer output dtype. Input dtype must be either a floating point or "
                           f"complex dtype. Got: {_scalar_type(x.dtype)}")
    y = _mean(x, dims=axes(x, dim), keepdim=bool(keepdim))
    return y if out is None else into(out, y)


def _scalar_type(d):
    return {"int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool"}[d.name]


def _count(shape, dims):
    return math.prod(shape[d] for d in dims)


def _mean(x, *, dims, keepdim):
    return _mean_op(x, dims=dims, keepdim=keepdim, shape=x.layout.shape)


@differentiable("MeanBackward1", vjp=(lambda g, _y, _x, *, dims, keepdim, shape:
                                      _spread(g / builtins.max(_count(shape, dims), 1), shape, dims, keepdim),))
def _mean_op(x, *, dims, keepdim, shape):
    n = _count(shape, dims)
    return _put_back(p.sum(x, dims=dims) / (n if n else math.nan), dims, keepdim)


def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None):
    """Variance over `dim` with n - correction in the denominator (1 by default)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = correction if correction is not None else 1 if unbiased is None or unbiased else 0
    y = _var(input, dims=axes(input, dim), keepdim=bool(keepdim), correction=correction)
    return y if out is None else into(out, y)


def _centre(x, dims):
    return x - _mean(x, dims=dims, keepdim=True)


@differentiable("VarBackward0", vjp=(lambda g, _y, x, *, dims, keepdim, correction:
                                     (2 / _freedom(x.shape, dims, correction)) *
                                     (g if keepdim else _put_back(g, dims, True)) * _centre(x, dims),))
def _var(x, *, dims, keepdim, correction):
    c = _centre(x, dims)
    return _put_back(p.sum(c * c, dims=dims) / _freedom(x.shape, dims, correction), dims, keepdim)


def _freedom(shape, dims, correction):
    n = _count(shape, dims) - correction
    return n if n > 0 else math.nan if n == 0 and _count(shape, dims) <= 1 else builtins.max(n, 0) or math.nan


def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None):
    """Square root of the variance."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = correction if correction is not None else 1 if unbiased is None or unbiased else 0
    y = _std(input, dims=axes(input, dim), keepdim=bool(keepdim), correction=correction)
    return y if out is None else into(out, y)


def _std_gradient(g, y, x, *, dims, keepdim, correction):
    g, y = (g, y) if keepdim else (_put_back(g, dims, True), _put_back(y, dims, True))
    from .pointwise import where
    return where(y == 0, 0.0, g / (y * _freedom(x.shape, dims, correction))) * _centre(x, dims)


@differentiable("StdBackward0", vjp=(_std_gradient,))
def _std(x, *, dims, keepdim, correction):
    return _var(x, dims=dims, keepdim=keepdim, correction=correction).sqrt()


def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, None if isinstance(dim, bool) else dim, keepdim)


def prod(input, dim=None, keepdim=False, *, dtype=None):
    """Product over `dim` (all axes if None)."""
    target = dtypes.as_dtype(dtype) or (dtypes.int64 if input.dtype.rank < 2 else input.dtype)
    return fold(p.prod, input.to(target), dim, keepdim)


# -- extremes ------------------------------------------------------------------------------------------------
def return_type(name, fields):
    """A named tuple that prints as torch.return_types.NAME."""
    made = namedtuple(name, fields)
    made.__module__ = "torch.return_types"
    made.__repr__ = lambda self: f"torch.return_types.{name}(\n" + ",\n".join(
        f"{f}={v!r}" for f, v in zip(fields, self)) + ")"
    return made


Max, Min = return_type("max", ("values", "indices")), return_type("min", ("values", "indices"))


def _check_nonempty(x, dim, name):
    if dim is None:
        if not x.layout.numel:
            raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                               "reduction dim with the 'dim' argument.")
    elif not builtins.all(x.shape[d] for d in axes(x, dim)):
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")


def _extreme(x, dim, keepdim, arg, name, kind):
    """Values and indices along one axis; the values are picked by the indices, as their gradient is."""
    _check_nonempty(x, dim, name)
    if not x.layout.ndim:
        wrap_dim(dim, 0)
        return kind(x.clone(), x.new_zeros((), dtype=dtypes.int64))
    d = wrap_dim(dim, x.layout.ndim)
    at = arg(x.detach(), dims=(d,)).unsqueeze(d)
    values = x.gather(d, at)
    return kind(values, at) if keepdim else kind(values.squeeze(d), at.squeeze(d))


def max(input, dim=None, keepdim=False, *, out=None):
    """The largest element; with a dim (values, indices) along it; with a tensor the elementwise maximum."""
    return _max_or_min(input, dim, keepdim, out, "max")


def min(input, dim=None, keepdim=False, *, out=None):
    """The smallest element; with a dim (values, indices) along it; with a tensor the elementwise minimum."""
    return _max_or_min(input, dim, keepdim, out, "min")


def _max_or_min(x, dim, keepdim, out, name):
    from .pointwise import maximum, minimum
    if isinstance(dim, Tensor):
        return (maximum if name == "max" else minimum)(x, dim, out=out)
    if dim is None:
        _check_nonempty(x, None, name)
        return fold(p.amax if name == "max" else p.amin, x, None, False)
    result = _extreme(x, dim, keepdim, p.argmax if name == "max" else p.argmin, name, Max if name == "max" else Min)
    if out is None:
        return result
    return type(result)(into(out[0], result[0]), into(out[1], result[1]))


def amax(input, dim=(), keepdim=False, *, out=None):
    """Largest elements over `dim`; equal ones share the gradient."""
    _check_nonempty(input, dim or None, "amax")
    y = fold(p.amax, input, dim, keepdim)
    return y if out is None else into(out, y)


def amin(input, dim=(), keepdim=False, *, out=None):
    """Smallest elements over `dim`; equal ones share the gradient."""
    _check_nonempty(input, dim or None, "amin")
    y = fold(p.amin, input, dim, keepdim)
    return y if out is None else into(out, y)


def aminmax(input, *, dim=None, keepdim=False):
    return return_type("aminmax", ("min", "max"))(amin(input, dim or (), keepdim) if dim is not None else min(input),
                                                  amax(input, dim or (), keepdim) if dim is not None else max(input))


def argmax(input, dim=None, keepdim=False):
    """Index of the largest element, over all elements or along `dim`."""
    _check_nonempty(input, dim, "argmax")
    return fold(p.argmax, input, dim, keepdim)


def argmin(input, dim=None, keepdim=False):
    """Index of the smallest element, over all elements or along `dim`."""
    _check_nonempty(input, dim, "argmin")
    return fold(p.argmin, input, dim, keepdim)


def any(input, dim=None, keepdim=False, *, out=None):
    """Whether any element is true."""
    y = fold(p.any, truth(input), dim, keepdim)
    return y if out is None else into(out, y)


def all(input, dim=None, keepdim=False, *, out=None):
    """Whether every element is true."""
    y = fold(p.all, truth(input), dim, keepdim)
    return y if out is None else into(out, y)


def count_nonzero(input, dim=None):
    return sum(truth(input), dim)


def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """Sum of the elements that are not nan."""
    from .pointwise import isnan, where
    x = input if input.dtype.rank < 2 else where(isnan(input), 0, input)
    return sum(x, dim, keepdim, dtype=dtype)


def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """Mean of the elements that are not nan."""
    from .pointwise import isnan
    return nansum(input, dim, keepdim, dtype=dtype) / (~isnan(input)).sum(dim, keepdim)


def logsumexp(input, dim, keepdim=False, *, out=None):
    """log of the sum of exp over `dim`, without overflow."""
    x = input if input.dtype.rank >= 2 else input.to(dtypes.default)
    y = _logsumexp(x, dims=axes(x, dim), keepdim=bool(keepdim))
    return y if out is None else into(out, y)


def _logsumexp_gradient(g, y, x, *, dims, keepdim):
    if not keepdim:
        g, y = _put_back(g, dims, True), _put_back(y, dims, True)
    return g * (x - y).exp()


@differentiable("LogsumexpBackward0", vjp=(_logsumexp_gradient,))
def _logsumexp(x, *, dims, keepdim):
    from .pointwise import isinf, where
    m = _put_back(p.amax(x, dims=dims), dims, True) if x.numel() else x.new_zeros(())
    m = where(isinf(m), 0.0, m)
    y = p.sum((x - m).exp(), dims=dims).log()
    return _put_back(y, dims, True) + m if keepdim else y + (m.squeeze(dims) if m.dim() else m)


def norm(input, p="fro", dim=None, keepdim=False, *, dtype=None, out=None):
    """The vector p-norm over `dim` (all elements if None); 'fro' is the 2-norm."""
    y = vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)
    return y if out is None else into(out, y)


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """(sum |x|^ord)^(1/ord); inf, -inf and 0 as limits."""
    x = x if dtype is None else x.to(dtypes.as_dtype(dtype))
    if x.dtype.rank < 2:
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {_scalar_type(x.dtype)}")
    y = _norm(x, dims=axes(x, dim), keepdim=bool(keepdim), ord=float(ord))
    return y if out is None else into(out, y)


def _norm_gradient(g, y, x, *, dims, keepdim, ord):
    from .pointwise import where
    g, y = (g, y) if keepdim else (_put_back(g, dims, True), _put_back(y, dims, True))
    if ord == 2:
        return where(y == 0, 0.0, g / y) * x
    if ord == 1:
        return g * x.sign()
    if ord == 0:
        return x * 0
    if math.isinf(ord):
        hit = (x.abs() == y).to(x.dtype)
        return g * x.sign() * hit / hit.sum(dims, keepdim=True)
    return where(y == 0, 0.0, g * x.sign() * (x.abs() / y) ** (ord - 1))


@differentiable("LinalgVectorNormBackward0", vjp=(_norm_gradient,))
def _norm(x, *, dims, keepdim, ord):
    if ord == 2:
        y = p.sum(x * x, dims=dims).sqrt()
    elif ord == 1:
        y = p.sum(x.abs(), dims=dims)
    elif ord == 0:
        y = p.sum((x != 0).to(x.dtype), dims=dims)
    elif math.isinf(ord):
        y = (p.amax if ord > 0 else p.amin)(x.abs(), dims=dims)
    else:
        y = p.sum(x.abs() ** ord, dims=dims) ** (1 / ord)
    return _put_back(y, dims, keepdim)


# -- scans ------------------------------------------------------------------------------------------------------
def cumsum(input, dim, *, dtype=None, out=None):
    """Running sum along `dim`."""
    target = dtypes.as_dtype(dtype) or (dtypes.int64 if input.dtype.rank < 2 else input.dtype)
    d = wrap_dim(dim, input.dim())
    y = p.cumsum(input.to(target), dim=d) if input.dim() else input.to(target).clone()
    return y if out is None else into(out, y)


def cumprod(input, dim, *, dtype=None, out=None):
    """Running product along `dim`."""
    target = dtypes.as_dtype(dtype) or (dtypes.int64 if input.dtype.rank < 2 else input.dtype)
    d = wrap_dim(dim, input.dim())
    y = p.cumprod(input.to(target), dim=d) if input.dim() else input.to(target).clone()
    return y if out is None else into(out, y)


def _running(x, dim, prim, name):
    d = wrap_dim(dim, x.dim())
    at = prim(x.detach(), dim=d)
    return return_type(name, ("values", "indices"))(x.gather(d, at), at)


def cummax(input, dim):
    """Running maximum and where it stood."""
    return _running(input, dim, p.argcummax, "cummax")


def cummin(input, dim):
    """Running minimum and where it stood."""
    return _running(input, dim, p.argcummin, "cummin")


def logcumsumexp(input, dim):
    m = input.amax(dim, keepdim=True).detach()
    return (input - m).exp().cumsum(dim).log() + m


def diff(input, n=1, dim=-1, prepend=None, append=None):
    """Differences of neighbours, n times."""
    from .shape import cat
    parts = [t for t in (prepend, input, append) if t is not None]
    x = cat(parts, dim) if len(parts) > 1 else input
    for _ in range(n):
        size = x.shape[dim]
        a, b = x.narrow(dim, 1, builtins.max(size - 1, 0)), x.narrow(dim, 0, builtins.max(size - 1, 0))
        x = a ^ b if x.dtype is dtypes.bool else a - b
    return x
