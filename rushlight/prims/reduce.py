"""Reductions and scans.

A reduction folds the axes `dims` (sorted, distinct) away; the result has the other axes.
Its order of summation is a function of the shape alone (compiler/schedule.py says which), so that
neither fusion nor the number of threads changes a bit.
"""
from __future__ import annotations

import math

import numpy as np

from .. import dtypes
from .. import ops as o
from ..autograd.grad_mode import mode
from .samples import FLOATS, INTS, whole
from .table import Primitive, bool_dtype, conjugate, int64_dtype, same_dtype


def kept(shape, dims):
    return tuple(n for i, n in enumerate(shape) if i not in dims)


def _reduced_shape(shapes, dims):
    return kept(shapes[0], dims)


def _wide(x):
    """Sums of narrow floats accumulate in float32 (float64 for float32) and are rounded once."""
    if x.dtype == np.complex64:
        return x.astype(np.complex128)
    return x.astype(np.float64 if x.dtype == np.float32 else np.float32) if x.dtype.itemsize < 8 and \
        x.dtype.kind not in "iub" else x


def spread(x, shape, dims):
    """Put reduced axes back: a tensor of the kept axes seen in the full shape."""
    for d in dims:
        x = x.unsqueeze(d)
    return x.expand(shape)


def _batch_reduce(prim, size, xs, batched, *, dims, **params):
    return prim(xs[0], dims=tuple(d + 1 for d in dims), **params)


def _reduce_samples(floats=FLOATS, ints=INTS, low=-2, high=2):
    cases = [((7,), (0,)), ((3, 17), (1,)), ((3, 17), (0,)), ((4, 5, 33), (0, 2)), ((2, 3, 4), (0, 1, 2)),
             ((5, 0), (0,)), ((300, 3), (0,)), ((2, 1000), (1,)), ((), ())]

    def samples(rng):
        out = [((rng.uniform(low, high, s).astype(d),), dict(dims=dims)) for d in floats for s, dims in cases]
        return out + [((whole(rng, s, d, -2, 3),), dict(dims=dims)) for d in ints for s, dims in cases[:5]]
    return samples


def _nonempty_samples(**kw):
    return lambda rng: [c for c in _reduce_samples(**kw)(rng) if c[0][0].size]


def reducer(name, reference, *, identity, vjp, jvp, dtype=same_dtype, samples=None, ulp=0):
    return Primitive(name, "reduce", reference, _reduced_shape, dtype, (vjp,), jvp, _batch_reduce,
                     samples=samples or _reduce_samples(), ulp=ulp, identity=identity)


sum = reducer("sum", lambda x, *, dims: np.add.reduce(_wide(x), axis=dims).astype(x.dtype), identity=0,
              vjp=lambda g, _y, x, *, dims: spread(g, x.shape, dims), ulp=64,
              jvp=lambda ts, y, x, *, dims: sum(ts[0], dims=dims))


prod = reducer("prod", lambda x, *, dims: np.multiply.reduce(_wide(x), axis=dims).astype(x.dtype), identity=1, ulp=64,
               samples=_reduce_samples(low=0.5, high=1.5),
               vjp=lambda g, y, x, *, dims: _prod_gradient(g, y, x, dims),
               jvp=lambda ts, y, x, *, dims: sum(ts[0] * conjugate(_prod_gradient(o.ones_like(y), y, x, dims)), dims=dims))


def _prod_gradient(g, y, x, dims):
    """Product of the others: y / x where no factor is zero, else by exclusive products from both sides."""
    if not (mode.enabled or x.dtype.is_complex):        # nobody will differentiate this
        zero = x == 0
        rest = prod(o.where(zero, 1, x), dims=dims)
        zeros = sum(zero.to(dtypes.int64), dims=dims)
        lone, none = (spread(o.where(zeros == n, g * rest, 0), x.shape, dims) for n in (1, 0))
        return o.where(zero, lone, none / x)
    order = [d for d in range(x.dim()) if d not in dims] + list(dims)
    flat = x.permute(order).reshape(*kept(x.shape, dims), math.prod(x.shape[d] for d in dims))
    before = o.cumprod(o.cat([o.ones_like(flat[..., :1]), flat[..., :-1]], -1), -1)
    after = o.cumprod(o.cat([o.ones_like(flat[..., :1]), flat.flip(-1)[..., :-1]], -1), -1).flip(-1)
    back = [order.index(d) for d in range(x.dim())]
    others = (before * after).reshape([x.shape[d] for d in order]).permute(back)
    return spread(g, x.shape, dims) * conjugate(others)


def _extreme_gradient(g, y, x, *, dims):
    """Shared evenly between equal extremes, as PyTorch's amax and amin do."""
    hit = (x == spread(y, x.shape, dims)).to(g.dtype)
    return hit * spread(g / sum(hit, dims=dims), x.shape, dims)


def _extreme_tangent(ts, y, x, *, dims):
    hit = (x == spread(y, x.shape, dims)).to(y.dtype)
    return sum(ts[0] * hit, dims=dims) / sum(hit, dims=dims)


amax = reducer("amax", lambda x, *, dims: np.maximum.reduce(x, axis=dims), identity="lowest",
               vjp=_extreme_gradient, jvp=_extreme_tangent, samples=_nonempty_samples())
amin = reducer("amin", lambda x, *, dims: np.minimum.reduce(x, axis=dims), identity="highest",
               vjp=_extreme_gradient, jvp=_extreme_tangent, samples=_nonempty_samples())


def _bools(rng):
    return [((rng.random(s) < p,), dict(dims=d)) for s, d in [((3, 17), (1,)), ((300, 3), (0,)), ((2, 3, 4), (0, 2))]
            for p in (0.0, 0.05, 0.95, 1.0)]


any = reducer("any", lambda x, *, dims: np.logical_or.reduce(x, axis=dims), identity=False, samples=_bools,
              vjp=None, jvp=lambda ts, y, x, *, dims: None, dtype=bool_dtype)
all = reducer("all", lambda x, *, dims: np.logical_and.reduce(x, axis=dims), identity=True, samples=_bools,
              vjp=None, jvp=lambda ts, y, x, *, dims: None, dtype=bool_dtype)


def _arg(pick):
    """Index of the first extreme over `dims`, counted row-major over them; nan counts as extreme."""
    def reference(x, *, dims):
        order = [d for d in range(x.ndim) if d not in dims] + list(dims)
        flat = np.transpose(x, order).reshape(*kept(x.shape, dims), math.prod(x.shape[d] for d in dims))
        if x.dtype.kind not in "iubf":
            flat = flat.astype(np.float32)      # bfloat16: NumPy's argmax does not know its nan
        return np.asarray(pick(flat, axis=-1), np.int64)
    return reference


argmax = reducer("argmax", _arg(np.argmax), identity="lowest", vjp=None, jvp=lambda ts, y, x, *, dims: None,
                 dtype=int64_dtype, samples=_nonempty_samples())
argmin = reducer("argmin", _arg(np.argmin), identity="highest", vjp=None, jvp=lambda ts, y, x, *, dims: None,
                 dtype=int64_dtype, samples=_nonempty_samples())

REDUCERS = (sum, prod, amax, amin, any, all, argmax, argmin)


# -- scans: running reductions along one axis ----------------------------------------------------
def _same_shape(shapes, **_):
    return shapes[0]


def _batch_scan(prim, size, xs, batched, *, dim, **params):
    return prim(xs[0], dim=dim + 1, **params)


def _scan_samples(floats=FLOATS, ints=INTS, low=-2, high=2):
    cases = [((7,), 0), ((3, 17), 1), ((3, 17), 0), ((2, 5, 3), 1), ((4, 0), 1)]

    def samples(rng):
        return [((rng.uniform(low, high, s).astype(d),), dict(dim=dim)) for d in floats for s, dim in cases] + \
               [((whole(rng, s, d, -2, 3),), dict(dim=dim)) for d in ints for s, dim in cases[:3]]
    return samples


def scan(name, reference, *, vjp, jvp, samples=None, dtype=same_dtype):
    return Primitive(name, "host", reference, _same_shape, dtype, (vjp,), jvp, _batch_scan,
                     samples=samples or _scan_samples())


def _cumsum(x, *, dim, reverse=False, wide=True):
    turned = (lambda a: np.flip(a, dim)) if reverse else np.asarray
    kind = _wide(x).dtype if wide else x.dtype
    return turned(np.cumsum(turned(x.astype(kind)), axis=dim, dtype=kind)).astype(x.dtype)


def _cumsum_samples(rng):
    forward = _scan_samples()(rng)
    narrow = [(xs, params) for xs, params in forward if xs[0].dtype in (np.float32, np.float64)]
    return forward + [(xs, dict(params, reverse=True)) for xs, params in forward] + \
        [(xs, dict(params, wide=False)) for xs, params in narrow]


cumsum = scan("cumsum", _cumsum, samples=_cumsum_samples,
              vjp=lambda g, _y, _x, *, dim, reverse=False, wide=True: cumsum(g, dim=dim, reverse=not reverse),
              jvp=lambda ts, y, x, *, dim, **params: cumsum(ts[0], dim=dim, **params))
cumprod = scan("cumprod", lambda x, *, dim: np.cumprod(_wide(x), axis=dim, dtype=_wide(x).dtype).astype(x.dtype),
               samples=_scan_samples(low=0.5, high=1.5),
               vjp=lambda g, y, x, *, dim: _cumprod_gradient(g, y, x, dim),
               jvp=lambda ts, y, x, *, dim: y * cumsum(ts[0] / x, dim=dim))


def _cumprod_gradient(g, y, x, dim):
    """d y_j / d x_i = y_j / x_i for j >= i: exact where no x is zero, else through the pair table."""
    if not (mode.enabled or x.dtype.is_complex):
        return _cumprod_slope(g, y, x, dim)
    n = x.shape[dim]
    if not x.numel():
        return o.zeros_like(x)
    i = o.arange(n, device=x.device)
    factors = o.where(i[None, :, None] == i[None, None, :], 1, x.movedim(dim, -1).unsqueeze(-1)
                      .expand(*x.movedim(dim, -1).shape, n).reshape(-1, n, n))
    products = o.cumprod(factors, 1)                                    # [rows, j, i]: product of x[:j+1] without i
    reach = (i[:, None] >= i[None, :]).to(x.dtype)
    rows = g.movedim(dim, -1).reshape(-1, n, 1)
    return (rows * conjugate(products) * reach).sum(1).reshape(x.movedim(dim, -1).shape).movedim(-1, dim)


def _cumprod_slope(g, y, x, dim):
    """The same where nobody will differentiate it: up to the first zero by division, there by the products without it."""
    zeros = (x == 0).cumsum(dim)
    first = (zeros == 1) & (x == 0)
    without = o.cumprod(o.where(first, 1, x), dim)
    back = lambda t: cumsum(t, dim=dim, reverse=True)
    return o.where(zeros == 0, back(g * y) / x, o.where(first, back(g * without), 0))


def _running(compare):
    """Index of the running extreme; later equal elements and nans win, as in PyTorch."""
    def reference(x, *, dim):
        lined = np.moveaxis(x, dim, -1)
        best, where = None, np.zeros(lined.shape, np.int64)
        for i in range(lined.shape[-1]):
            now = lined[..., i]
            if best is None:
                best, at = now.copy(), np.zeros(now.shape, np.int64)
            else:
                win = compare(now, best) | (now != now)
                best, at = np.where(win, now, best), np.where(win, i, at)
            where[..., i] = at
        return np.moveaxis(where, -1, dim)
    return reference


argcummax = scan("argcummax", _running(np.greater_equal), vjp=None, jvp=lambda ts, y, x, *, dim: None, dtype=int64_dtype)
argcummin = scan("argcummin", _running(np.less_equal), vjp=None, jvp=lambda ts, y, x, *, dim: None, dtype=int64_dtype)
SCANS = (cumsum, cumprod, argcummax, argcummin)
