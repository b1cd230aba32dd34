"""Whole numbers and the digits of floats: gcd, lcm, nextafter, frexp; histograms, slopes, low ranks."""
from __future__ import annotations

import builtins

import numpy as np

from .. import dtypes
from ..autograd.function import differentiable
from ..prims import exact as p
from ..layout import wrap_dims
from ..tensor import Tensor
from .create import arange, tensor, zeros_like
from .matmul import matmul
from .pointwise import where
from .promote import elementwise, into, result_type
from ..return_types import return_type
from .support import need

_gcd, _lcm, _nextafter = (elementwise(prim) for prim in (p.gcd, p.lcm, p.nextafter))


def _together(name, rank, *xs):
    """The operands in the dtype of the result, which has to be of this rank."""
    kind = result_type(xs)
    need(name, kind, {rank})
    return [x.to(kind) if isinstance(x, Tensor) else x for x in xs]


def _of_kind(op, name, rank):
    def checked(input, other, *, out=None):
        return op(*_together(name, rank, input, other), out=out)
    return checked


_whole_gcd, _whole_lcm = _of_kind(_gcd, "gcd_cpu", 1), _of_kind(_lcm, "lcm_cpu", 1)


def _step_rule(g, _y, x, towards):
    return where(x == towards, 0.0, g).sum_to_size(x.shape)


@differentiable("NextafterBackward0", vjp=(_step_rule, lambda g, _y, _x, towards: zeros_like(towards)))
def _next(x, y):
    return _nextafter(x, y)


def gcd(input, other, *, out=None):
    """The greatest common divisor, not negative; 0 of two zeros."""
    return _whole_gcd(input, other, out=out)


def lcm(input, other, *, out=None):
    """The least common multiple, not negative; 0 if one is."""
    return _whole_lcm(input, other, out=out)


def nextafter(input, other, *, out=None):
    """The next number of the dtype from input towards other."""
    y = _next(*_together("nextafter_cpu", 2, input, other))
    return y if out is None else into(out, y)


@differentiable("FrexpBackward0", vjp=(lambda g, _y, x, e: g * (-e).to(g.dtype).exp2(), None))
def _mantissa(x, _exponent):
    return p.mantissa(x)


def frexp(input, *, out=None):
    """(mantissa, exponent) with input = mantissa 2^exponent and 0.5 <= |mantissa| < 1; exponents are int32."""
    if input.dtype.rank != 2:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    e = p.exponent(input.detach()).to(dtypes.int32)
    both = return_type("frexp", ("mantissa", "exponent"))(_mantissa(input, e), e)
    if out is None:
        return both
    said = "torch.frexp() expects mantissa to have dtype {wanted} but got {given}", \
        "torch.frexp() expects exponent to have int dtype but got {given}"
    return type(both)(*[into(to, y, words) for to, y, words in zip(out, both, said, strict=True)])


# -- histograms --------------------------------------------------------------------------------------------------
def histogram(input, bins, *, range=None, weight=None, density=False):
    """(hist, bin_edges): counts, or sums of weights, of the values between neighbouring edges.

    Args:
        bins: how many equal ones, or their edges.
        range: the outer edges; by default the least and the largest value.
        density: over the total and the width.
    """
    need("histogram_cpu", input.dtype, {2})
    hist, edges = _counted(input.reshape(-1, 1), [bins], range, weight, density)
    return return_type("histogram", ("hist", "bin_edges"))(hist, edges[0])


def histogramdd(input, bins, *, range=None, weight=None, density=False):
    """(hist, bin_edges) of points (*, D) in D dimensions: edges for each, counts of their products."""
    flat = input.reshape(-1, input.shape[-1])
    bins = [bins] * flat.shape[1] if isinstance(bins, int) else list(bins)
    hist, edges = _counted(flat, bins, range, weight, density)
    edges = tuple(edges)
    return return_type("histogramdd", ("hist", "bin_edges"))(hist, edges)


def _counted(points, bins, limits, weight, density):
    x, dtype = points.detach()._array().astype(np.float64), points.dtype
    bounds = _bounds(x, limits)
    edges = [_edges(b, low, high) for b, (low, high) in zip(bins, bounds)]
    weights = None if weight is None else weight.detach()._array().reshape(-1).astype(np.float64)
    hist, _ = np.histogramdd(x, edges, weights=weights)
    if density:
        width = 1.0
        for d, e in enumerate(edges):
            width = width * np.diff(e).reshape([-1 if k == d else 1 for k in builtins.range(len(edges))])
        hist = hist / hist.sum() / width
    return tensor(hist, dtype=dtype), [tensor(e, dtype=dtype) for e in edges]


def _bounds(x, limits):
    """Least and largest value of each dimension, apart if they are one."""
    if limits is not None:
        return list(zip(limits[::2], limits[1::2]))
    found = [(c.min(), c.max()) if len(c) else (0.0, 1.0) for c in x.T]
    return [(a, b) if a != b else (a - 0.5, b + 0.5) for a, b in found]


def _edges(bins, low, high):
    if isinstance(bins, Tensor):
        return bins.detach()._array().astype(np.float64)
    return np.linspace(low, high, bins + 1)


# -- slopes ------------------------------------------------------------------------------------------------------
def gradient(input, *, spacing=None, dim=None, edge_order=1):
    """Slopes along axes by differences of second order inside, of `edge_order` at both ends.

    Args:
        spacing: the distance between points, one for each axis, or a tensor of coordinates for each.
        dim: the axes; all by default.

    Returns:
        a tuple with a tensor like input for each axis.
    """
    axes = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    wrap_dims(axes, input.dim())
    spacing = 1 if spacing is None else spacing
    steps = [spacing] * len(axes) if isinstance(spacing, (int, float)) else list(spacing)
    if len(steps) != len(axes):
        raise RuntimeError(f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length {len(axes)}, "
                           f"but got a list of length {len(steps)}")
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    for d in axes:
        if input.shape[d] < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    x = input if input.dtype.rank >= 2 else input.to(dtypes.default)
    return tuple(_slope(x.movedim(d, -1), h, edge_order).movedim(-1, d).contiguous() for d, h in zip(axes, steps))


def _slope(x, spacing, order):
    n = x.shape[-1]
    at = spacing.to(x.dtype) if isinstance(spacing, Tensor) else arange(n, dtype=x.dtype.to_real()) * spacing
    h = at[1:] - at[:-1]
    steps = (x[..., 1:] - x[..., :-1]) / h
    a, b = h[:-1], h[1:]
    inside = (steps[..., :-1] * b + steps[..., 1:] * a) / (a + b)
    if order == 1 or n < 3:
        first, last = steps[..., :1], steps[..., -1:]
    else:
        first = steps[..., :1] + (steps[..., :1] - steps[..., 1:2]) * (a[:1] / (a[:1] + b[:1]))
        last = steps[..., -1:] + (steps[..., -1:] - steps[..., -2:-1]) * (b[-1:] / (a[-1:] + b[-1:]))
    from .shape import cat
    return cat([first, inside, last], -1)


# -- low ranks ---------------------------------------------------------------------------------------------------
def _range_of(a, q, niter):
    """Orthonormal columns that nearly span those of a: Halko, Martinsson, Tropp, 2009, algorithm 4.4."""
    from .linalg import qr
    from .random import randn
    found = qr(matmul(a, randn(a.shape[-1], q, dtype=a.dtype)))[0]
    for _ in range(niter):
        found = qr(matmul(a.mH, found))[0]
        found = qr(matmul(a, found))[0]
    return found


def svd_lowrank(A, q=6, niter=2, M=None):
    """(U, S, V) of q singular values of A (less M), nearly the largest, by random projections."""
    from .linalg import svd
    a = A if M is None else A - M.expand(A.shape)
    wide = a.shape[-2] < a.shape[-1]
    a = a.mH if wide else a
    basis = _range_of(a, q, niter)
    u, s, vh = svd(matmul(basis.mH, a), full_matrices=False)
    u, v = matmul(basis, u), vh.mH
    return (v, s, u) if wide else (u, s, v)


def pca_lowrank(A, q=None, center=True, niter=2):
    """svd_lowrank of a matrix whose columns have their means taken off."""
    most = min(A.shape[-2:])
    q = min(6, most) if q is None else q
    if not 0 <= q <= most:
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={most}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(dim=-2, keepdim=True) if center else A, q, niter=niter)
