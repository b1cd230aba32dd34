"""Reductions, scans and statistics of the public namespace."""
from __future__ import annotations

import builtins
import math

from .casting import listed
from .. import dtypes
from ..autograd.function import differentiable
from ..autograd.node import named
from ..autograd.recall import recalled
from ..errors import warn_once
from ..layout import wrap_dim, wrap_dims
from ..prims import reduce as p
from ..return_types import return_type
from ..tensor import Tensor
from .complex import real_part
from .pointwise import into, truth
from .promote import SAME
from .precision import rounded_once
from .support import legacy_name, native_name, need


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


def one_axis(name, dim):
    """TypeError unless `dim` names one axis."""
    if not hasattr(dim, "__index__"):
        raise TypeError(f"{name}(): argument 'dim' must be int, not {type(dim).__name__}")


def fold(prim, x, dim, keepdim):
    """One reduction primitive over `dim`, with the axes put back if asked for."""
    dims = axes(x, dim)
    return _put_back(prim(x, dims=dims), dims, keepdim)


@recalled("input")
def sum(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Sum over `dim` (all axes if None); bool and integers add up in int64."""
    target = _dtype_of_fold(input, dtype, out)
    y = (_sum_all if dim is None else _sum)(input if input.dtype is target else input.to(target), dims=axes(input, dim),
                                            keepdim=bool(keepdim))
    return y if out is None else into(out, y)


def _dtype_of_fold(input, dtype, out):
    """The dtype that elements have when they are folded: that asked for, or out's, or theirs, int64 for whole numbers."""
    if dtype is None:
        return out.dtype if isinstance(out, Tensor) else dtypes.int64 if input.dtype.rank < 2 else input.dtype
    target = dtypes.as_dtype(dtype)
    if isinstance(out, Tensor) and out.dtype is not target:
        raise RuntimeError(f"Expected out tensor to have dtype {native_name(target)}, but got {native_name(out.dtype)} instead")
    return target


def sum_to_size(input, *size):
    """Summed down to a shape that broadcasts to input's."""
    from ..autograd.engine import sum_to
    from .create import sizes
    size = sizes(size)
    if input.shape == size and size:
        return input
    return named(sum_to(input, size) if size else sum(input), "SumBackward1")


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


def _sums(x, *, dims, keepdim, shape):
    return _put_back(p.sum(x, dims=dims), dims, keepdim)


_sum, _sum_all = _shaped("SumBackward1")(_sums), _shaped("SumBackward0")(_sums)


@recalled("input")
def mean(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Mean over `dim`."""
    floats = isinstance(out, Tensor) and out.dtype.rank >= 2 and input.dtype.rank >= 2
    d = dtypes.as_dtype(dtype) or (out.dtype if floats else None)
    x = input if d is None else input.to(d)
    if x.dtype.rank < 2:
        raise RuntimeError("mean(): could not infer output dtype. Input dtype must be either a floating point or "
                           f"complex dtype. Got: {legacy_name(x.dtype)}")
    y = _mean(x, dims=axes(x, dim), keepdim=bool(keepdim))
    if dim is None:
        named(y, "MeanBackward0")
    return y if out is None else into(out, y)


def _count(shape, dims):
    return math.prod(shape[d] for d in dims)


def _mean(x, *, dims, keepdim):
    return _mean_op(x, dims=dims, keepdim=keepdim, shape=x.layout.shape)


@differentiable("MeanBackward1", vjp=(lambda g, _y, _x, *, dims, keepdim, shape:
                                      _spread(g / builtins.max(_count(shape, dims), 1), shape, dims, keepdim),))
@rounded_once
def _mean_op(x, *, dims, keepdim, shape):
    n = _count(shape, dims)
    return _put_back(p.sum(x, dims=dims) / (n if n else math.nan), dims, keepdim)


@recalled("input")
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None):
    """Variance over `dim` with n - correction in the denominator (1 by default)."""
    y = _var(input, **_statistic("var", input, dim, unbiased, keepdim, correction))
    return y if out is None else into(out, y)


def _statistic(said, x, dim, unbiased, keepdim, correction, name="std and var only"):
    """The parameters of a variance however they were given."""
    if x.dtype.rank < 2:
        raise RuntimeError(f"{name} support floating point and complex dtypes")
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = correction if correction is not None else 1 if unbiased is None or unbiased else 0
    dims = axes(x, dim)
    if _count(x.layout.shape, dims) <= correction and x.layout.numel:
        warn_once(f"{said}(): degrees of freedom is <= 0. The correction should be less than the number of elements.")
    return dict(dims=dims, keepdim=bool(keepdim), correction=correction)


def _centre(x, dims):
    return x - _mean(x, dims=dims, keepdim=True)


@differentiable("VarBackward0", vjp=(lambda g, _y, x, *, dims, keepdim, correction:
                                     (2 / _freedom(x.shape, dims, correction)) *
                                     (g if keepdim else _put_back(g, dims, True)) * _centre(x, dims),))
@rounded_once
def _var(x, *, dims, keepdim, correction):
    c = _centre(x, dims)
    square = real_part(c * c.conj()) if c.dtype.is_complex else c * c
    return _put_back(p.sum(square, dims=dims) / _freedom(x.shape, dims, correction), dims, keepdim)


def _freedom(shape, dims, correction):
    n = _count(shape, dims) - correction
    return n if n > 0 else math.nan if n == 0 and _count(shape, dims) <= 1 else builtins.max(n, 0) or math.nan


@recalled("input")
def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None):
    """Square root of the variance."""
    y = _std(input, **_statistic("std", input, dim, unbiased, keepdim, correction))
    return y if out is None else into(out, y)


def _std_gradient(g, y, x, *, dims, keepdim, correction):
    g, y = (g, y) if keepdim else (_put_back(g, dims, True), _put_back(y, dims, True))
    from .pointwise import where
    return where(y == 0, 0.0, g / (y * _freedom(x.shape, dims, correction))) * _centre(x, dims)


@differentiable("StdBackward0", vjp=(_std_gradient,))
@rounded_once
def _std(x, *, dims, keepdim, correction):
    return _var(x, dims=dims, keepdim=keepdim, correction=correction).sqrt()


@recalled("input")
def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Variance and mean over `dim`."""
    how = _statistic("var_mean", input, dim, unbiased, keepdim, correction, "var_mean only")
    return (named(_var(input, **how), "VarMeanBackward0"),
            named(_mean(input, dims=how["dims"], keepdim=how["keepdim"]), "VarMeanBackward0"))


@recalled("input")
def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Standard deviation and mean over `dim`."""
    how = _statistic("std_mean", input, dim, unbiased, keepdim, correction, "std_mean only")
    return (named(_std(input, **how), "StdMeanBackward0"),
            named(_mean(input, dims=how["dims"], keepdim=how["keepdim"]), "StdMeanBackward0"))


@recalled("input")
def prod(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """Product over one axis (all axes if None)."""
    target = _dtype_of_fold(input, dtype, out)
    if dim is not None:
        one_axis("prod", dim)
    y = named(fold(p.prod, input.to(target), dim, keepdim), "ProdBackward0" if dim is None else "ProdBackward1")
    return y if out is None else into(out, y)


# -- extremes ------------------------------------------------------------------------------------------------
Max, Min = return_type("max", ("values", "indices")), return_type("min", ("values", "indices"))


def _check_nonempty(x, dim, name):
    if dim is None or dim == ():
        if not x.layout.numel:
            raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                               "reduction dim with the 'dim' argument.")
    elif not builtins.all(x.shape[d] for d in axes(x, dim)):
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")


def _extreme(x, dim, keepdim, arg, name, kind):
    """Values and indices along one axis; the values are picked by the indices, as their gradient is."""
    one_axis(name, dim)
    wrap_dim(dim, x.layout.ndim)
    _check_nonempty(x, dim, name)
    if not x.layout.ndim:
        return kind(named(x.clone(), name.capitalize() + "Backward0"), x.new_zeros((), dtype=dtypes.int64))
    d = wrap_dim(dim, x.layout.ndim)
    at = arg(x.detach(), dims=(d,))
    return picked(x, d, at, keepdim, kind, name.capitalize() + "Backward0")


def picked(x, d, at, keepdim, kind, gradient):
    """(values, indices): one element of each row along axis d."""
    values = x.gather(d, at.unsqueeze(d))
    if keepdim:
        return kind(named(values, gradient), at.unsqueeze(d))
    return kind(named(values.squeeze(d), gradient), at)


@recalled("input dim? other?")
def max(input, dim=None, keepdim=False, *, out=None, other=None):
    """The largest element; with a dim (values, indices) along it; with a tensor the elementwise maximum."""
    return _max_or_min(input, dim if other is None else other, keepdim, out, "max")


@recalled("input dim? other?")
def min(input, dim=None, keepdim=False, *, out=None, other=None):
    """The smallest element; with a dim (values, indices) along it; with a tensor the elementwise minimum."""
    return _max_or_min(input, dim if other is None else other, keepdim, out, "min")


def _max_or_min(x, dim, keepdim, out, name):
    from .pointwise import maximum, minimum
    if isinstance(dim, Tensor):
        return (maximum if name == "max" else minimum)(x, dim, out=out)
    if x.dtype.is_complex and dim is not None:
        raise RuntimeError(f"{name}(): does not support complex input")
    if dim is None:
        _check_nonempty(x, None, name)
        need(name + "_all", x.dtype, {0, 1, 2})
        y = (_largest if name == "max" else _smallest)(x)
        return y if out is None else into(out, y)
    result = _extreme(x, dim, keepdim, p.argmax if name == "max" else p.argmin, name, Max if name == "max" else Min)
    if out is None:
        return result
    return type(result)(*(into(to, y, SAME) for to, y in zip(out, result, strict=True)))


def _evenly(g, y, x):
    """Shared between all elements that equal the result (or are nan as it is)."""
    from .pointwise import isnan
    hit = ((x == y) | (isnan(x) & isnan(y))).to(g.dtype)
    return hit * (g / hit.sum())


_largest = differentiable("MaxBackward1", vjp=(_evenly,))(lambda x: p.amax(x, dims=axes(x, None)))
_smallest = differentiable("MinBackward1", vjp=(_evenly,))(lambda x: p.amin(x, dims=axes(x, None)))


@recalled("input")
def amax(input, dim=(), keepdim=False, *, out=None):
    """Largest elements over `dim`; equal ones share the gradient."""
    axes(input, dim)
    _check_nonempty(input, dim, "amax")
    y = named(fold(p.amax, input, dim, keepdim), "AmaxBackward0")
    return y if out is None else into(out, y, "Expected the dtype for input and out to match, but got {Wanted} for "
                                              "input's dtype and {Given} for out's dtype.")


@recalled("input")
def amin(input, dim=(), keepdim=False, *, out=None):
    """Smallest elements over `dim`; equal ones share the gradient."""
    axes(input, dim)
    _check_nonempty(input, dim, "amin")
    y = named(fold(p.amin, input, dim, keepdim), "AminBackward0")
    return y if out is None else into(out, y, "Expected the dtype for input and out to match, but got {Wanted} for "
                                              "input's dtype and {Given} for out's dtype.")


def aminmax(input, *, dim=None, keepdim=False):
    """The smallest and the largest elements."""
    need("aminmax_cpu", input.dtype, {0, 1, 2})
    if dim is not None:
        one_axis("aminmax", dim)
    elif not input.numel():
        raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    where = () if dim is None else dim
    return return_type("aminmax", ("min", "max"))(*(named(f(input, where, keepdim), "AminmaxBackward0")
                                                    for f in (amin, amax)))


@recalled("input")
def argmax(input, dim=None, keepdim=False, *, out=None):
    """Index of the largest element, over all elements or along `dim`."""
    return _arg(p.argmax, "argmax", input, dim, keepdim, out)


@recalled("input")
def argmin(input, dim=None, keepdim=False, *, out=None):
    """Index of the smallest element, over all elements or along `dim`."""
    return _arg(p.argmin, "argmin", input, dim, keepdim, out)


def _arg(prim, name, x, dim, keepdim, out):
    if dim is not None:
        one_axis(name, dim)
    if x.dtype is dtypes.bool:
        raise RuntimeError(f"{name}(): does not support bool input")
    axes(x, dim)
    if dim is None and not x.layout.numel:
        raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
    _check_nonempty(x, dim, name)
    y = fold(prim, x.detach(), dim, keepdim)
    return y if out is None else into(out, y, SAME)


@recalled("input")
def any(input, dim=None, keepdim=False, *, out=None):
    """Whether any element is true."""
    return _logical(p.any, input, dim, keepdim, out)


@recalled("input")
def all(input, dim=None, keepdim=False, *, out=None):
    """Whether every element is true."""
    return _logical(p.all, input, dim, keepdim, out)


def _logical(prim, x, dim, keepdim, out):
    y = prim(truth(x), dims=()) if dim == () else fold(prim, truth(x), dim, keepdim)
    y = y.to(dtypes.uint8) if dtypes.uint8 in (x.dtype, getattr(out, "dtype", None)) else y
    return y if out is None else into(out, y, prim.name + " only supports bool tensor for result, got: {Given}")


@recalled("input")
def count_nonzero(input, dim=None):
    return sum(truth(input), dim)


@recalled("input")
def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """Sum of the elements that are not nan."""
    from .pointwise import isnan, where
    if input.dtype.is_complex:
        raise RuntimeError("nansum on CPU does not support complex inputs")
    x = input if input.dtype.rank < 2 else where(isnan(input), 0, input)
    return named(sum(x, dim, keepdim, dtype=dtype), "NansumBackward0")


@recalled("input")
def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """Mean of the elements that are not nan."""
    from .pointwise import isnan
    if input.dtype.rank < 2:
        raise RuntimeError("nanmean(): expected input to have floating point or complex dtype but got "
                           f"{legacy_name(input.dtype)}")
    return nansum(input, dim, keepdim, dtype=dtype) / (~isnan(input)).sum(dim, keepdim)


@recalled("input")
def logsumexp(input, dim, keepdim=False, *, out=None):
    """log of the sum of exp over `dim`, without overflow."""
    if dim is None:
        raise TypeError("logsumexp(): argument 'dim' must be tuple of ints, not NoneType")
    x = input if input.dtype.rank >= 2 else input.to(dtypes.default)
    y = _logsumexp(x, dims=axes(x, dim), keepdim=bool(keepdim))
    return y if out is None else into(out, y)


def _logsumexp_gradient(g, y, x, *, dims, keepdim):
    if not keepdim:
        g, y = _put_back(g, dims, True), _put_back(y, dims, True)
    return g * (x - y).exp().conj()


@differentiable("LogsumexpBackward0", vjp=(_logsumexp_gradient,))
def _logsumexp(x, *, dims, keepdim):
    from .pointwise import isinf, where
    m = _put_back(p.amax(real_part(x), dims=dims), dims, True) if x.numel() else x.new_zeros(())
    m = where(isinf(m), 0.0, m)
    y = p.sum((x - m).exp(), dims=dims).log()
    return _put_back(y, dims, True) + m if keepdim else y + (m.squeeze(dims) if m.dim() else m)


@recalled("input")
def norm(input, p="fro", dim=None, keepdim=False, *, dtype=None, out=None):
    """The vector p-norm over `dim` (all elements if None); 'fro' is the 2-norm."""
    if p == "nuc":
        from .linalg import matrix_norm
        return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    y = vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)
    return y if out is None else into(out, y, SAME)


@recalled("x")
def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """(sum |x|^ord)^(1/ord); inf, -inf and 0 as limits."""
    x = x if dtype is None else x.to(dtypes.as_dtype(dtype))
    if x.dtype.rank < 2:
        raise RuntimeError("linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
                           f"{legacy_name(x.dtype)}")
    y = _norm(x, dims=axes(x, dim), keepdim=bool(keepdim), ord=float(ord))
    return y if out is None else into(out, y, SAME)


def _norm_gradient(g, y, x, *, dims, keepdim, ord):
    from .pointwise import where
    g, y = (g, y) if keepdim else (_put_back(g, dims, True), _put_back(y, dims, True))
    zero = y == 0                           # there the gradient is 0, and so are its own
    if ord == 2:
        return where(zero, 0.0, g) / where(zero, 1.0, y) * x
    if ord == 1:
        return g * x.sgn()
    if ord == 0:
        return g.expand(x.shape) * 0
    if math.isinf(ord):
        hit = (x.abs() == y).to(y.dtype)
        return g * x.sgn() * hit / hit.sum(dims, keepdim=True)
    share = where(x == 0, 1.0, x.abs() / where(zero, 1.0, y))
    return where(zero, 0.0, g) * x.sgn() * share ** (ord - 1)


@differentiable("LinalgVectorNormBackward0", vjp=(_norm_gradient,))
@rounded_once
def _norm(x, *, dims, keepdim, ord):
    x = x.abs() if x.dtype.is_complex else x
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
@recalled("input")
def cumsum(input, dim, *, dtype=None, out=None):
    """Running sum along `dim`."""
    target = dtypes.as_dtype(dtype) or (out.dtype if out is not None else dtypes.int64 if input.dtype.rank < 2 else input.dtype)
    d = wrap_dim(dim, input.dim())
    need("cumsum_out_cpu", target, {1, 2, 3})
    y = p.cumsum(input.to(target), dim=d) if input.dim() else named(input.to(target).clone(), "CumsumBackward0")
    return y if out is None else into(out, y, SAME)


@recalled("input")
def cumprod(input, dim, *, dtype=None, out=None):
    """Running product along `dim`."""
    target = dtypes.as_dtype(dtype) or (out.dtype if out is not None else dtypes.int64 if input.dtype.rank < 2 else input.dtype)
    d = wrap_dim(dim, input.dim())
    need("cumprod_out_cpu", target, {1, 2, 3})
    y = p.cumprod(input.to(target), dim=d) if input.dim() else named(input.to(target).clone(), "CumprodBackward0")
    return y if out is None else into(out, y, SAME)


def _running(x, dim, prim, name):
    d = wrap_dim(dim, x.dim())
    at = prim(x.detach(), dim=d) if x.dim() else x.new_zeros((), dtype=dtypes.int64)
    return return_type(name, ("values", "indices"))(named(x.gather(d, at), name.capitalize() + "Backward0"), at)


def cummax(input, dim):
    """Running maximum and where it stood."""
    return _running(input, dim, p.argcummax, "cummax")


def cummin(input, dim):
    """Running minimum and where it stood."""
    return _running(input, dim, p.argcummin, "cummin")


@recalled("input")
def logcumsumexp(input, dim, *, out=None):
    """log of the running sum of exp along `dim`."""
    need("logcumsumexp_out_cpu", input.dtype, {2, 3})
    y = named(_logcumsumexp(input, dim=wrap_dim(dim, input.dim())), "LogcumsumexpBackward0")
    return y if out is None else into(out, y, "expected scalar_type {Wanted} but found {Given}")


@rounded_once
def _logcumsumexp(x, *, dim):
    """Each round adds what ends 1, 2, 4, ... places before: no common maximum that would drown the first ones."""
    from .pointwise import logaddexp
    from .shape import cat
    n, k = x.shape[dim] if x.dim() else 1, 1
    y = x.clone()
    while k < n:
        y = cat([y.narrow(dim, 0, k), logaddexp(y.narrow(dim, k, n - k), y.narrow(dim, 0, n - k))], dim)
        k *= 2
    return y


def _check_diff(x, n, dim, *more):
    if not x.dim():
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    wrap_dim(dim, x.dim())
    for t in more:
        if t is not None and t.dim() != x.dim():
            raise RuntimeError("diff expects prepend or append to be the same dimension as input")


def sum_of_sizes(tensors, dim) -> int:
    """How many entries tensors have along an axis, taken together."""
    return builtins.sum(t.shape[dim] for t in tensors if t is not None)


def diff(input, n=1, dim=-1, prepend=None, append=None):
    """Differences of neighbours, n times."""
    from .shape import cat
    _check_diff(input, n, dim, prepend, append)
    n = builtins.min(n, input.shape[dim] + sum_of_sizes((prepend, append), dim))
    if n == 0:
        return input.clone()
    parts = [t for t in (prepend, input, append) if t is not None]
    x = cat(parts, dim) if len(parts) > 1 else input
    for _ in range(n):
        size = x.shape[dim]
        a, b = x.narrow(dim, 1, builtins.max(size - 1, 0)), x.narrow(dim, 0, builtins.max(size - 1, 0))
        x = a ^ b if x.dtype is dtypes.bool else a - b
    return x


listed(globals())
