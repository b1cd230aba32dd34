"""Indexed reads and writes, joining.

`gather` and `scatter` share one description of where an element lies: `coords` has one entry for
each axis of the indexed array; an entry e >= 0 takes axis e of the iteration, an entry -1 - k
takes index operand k. torch.gather, index_select, embedding and advanced indexing are all this.
The iteration of a gather is its result, of a scatter its source; index operands have its shape.
"""
from __future__ import annotations

import builtins

import numpy as np

from .. import dtypes, errors
from .. import ops as o
from .samples import FLOATS
from .table import ONE, Primitive, Variadic, pointwise, same_dtype

copy = pointwise("copy", numpy=np.copy, slope=ONE, body=lambda k, x: x,
                 samples=lambda rng: [((rng.uniform(-1, 1, s).astype(d),), {}) for d in FLOATS for s in [(), (3, 17)]])
copy.gradient.name = "CloneBackward0"


def places(coords, shape, indices, size, wrap, error):
    """Index arrays, one for each axis of the indexed array, checked."""
    grid = np.indices(shape, sparse=True)
    out = []
    for axis, e in enumerate(coords):
        if e >= 0:
            out.append(grid[e])
            continue
        at = indices[-1 - e]
        low = -size[axis] if wrap else 0
        bad = (at < low) | (at >= size[axis])
        if bad.any():
            raise errors.index_error(error, int(at[bad][0]), axis, size[axis])
        out.append(np.where(at < 0, at + size[axis], at))
    return tuple(out)


def _by_int64(first):
    """The dtype rule: that of what is indexed. `first` is the first operand that is an index, of which kernels read int64."""
    def dtype(ds, **_):
        if any(d is not dtypes.int64 for d in ds[first:]):
            raise TypeError(f"indices must be int64 here, got {[d.name for d in ds[first:]]}")
        return ds[0]
    return dtype


def _gather_reference(x, *indices, coords, shape, size, wrap, error):
    if not coords:
        return np.broadcast_to(x, shape).copy()
    got = x[places(coords, shape, indices, size, wrap, error)]
    return np.array(np.broadcast_to(got, shape))


def _batched_coords(coords):
    return (0, *(e + 1 if e >= 0 else e for e in coords))


def _indices(size, xs, batched):
    return [x if on else x.unsqueeze(0).expand(size, *x.shape) for x, on in zip(xs, batched)]


def _gather_batch(prim, n, xs, batched, /, *, coords, shape, size, **params):
    x, idx = xs[0], _indices(n, xs[1:], batched[1:])
    coords = _batched_coords(coords) if batched[0] else tuple(e + 1 if e >= 0 else e for e in coords)
    return gather(x, *idx, coords=coords, shape=(n, *shape), size=(n, *size) if batched[0] else size, **params)


def _gather_samples(rng):
    def case(x, idx, coords, shape):
        return (x, *idx), dict(coords=coords, shape=shape, size=x.shape, wrap=True, error="index")
    x = rng.uniform(-1, 1, (5, 7))
    rows = rng.integers(-5, 5, (4, 1)) + np.zeros((4, 7), np.int64)
    both = rng.integers(0, 5, (3, 33)), rng.integers(0, 7, (3, 33))
    return [case(x.astype(d), (rows,), (-1, 1), (4, 7)) for d in FLOATS] + \
           [case(x.astype(d), both, (-1, -2), (3, 33)) for d in (np.float32, np.float64)] + \
           [case(x.astype(np.float32), (rng.integers(0, 7, (5, 3)),), (0, -1), (5, 3))]


def _gather_raises(rng):
    x = np.zeros((5, 7), np.float32)
    bad = np.full((2, 7), 5)
    params = dict(coords=(-1, 1), shape=(2, 7), size=(5, 7), wrap=True, error="index")
    return [((x, bad), params, IndexError, "index 5 is out of bounds for dimension 0 with size 5")]


gather = Primitive(
    "gather", "gather", _gather_reference, lambda shapes, *, shape, **_: shape, _by_int64(1),
    (lambda g, _y, _x, *idx, coords, shape, size, wrap, error: scatter(
        o.zeros(size, dtype=g.dtype), g, *idx, coords=coords, mode="add", wrap=wrap, error=error),),
    lambda ts, y, x, *idx, **p: None if ts[0] is None else gather(ts[0], *idx, **p),
    _gather_batch, samples=_gather_samples, raises=_gather_raises, may_fail=True)
gather.gradient.uses = (frozenset({-2}),)       # -2: every operand from position 2 on


_COMBINE = {"set": None, "add": np.add, "multiply": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _scatter_reference(dst, src, *indices, coords, mode, wrap, error):
    at = places(coords, src.shape, indices, dst.shape, wrap, error)
    out = dst.copy()
    if not coords:
        return np.asarray(src if mode == "set" else _COMBINE[mode](out, src)).astype(dst.dtype)
    at = np.broadcast_arrays(*at, np.empty(src.shape))[:-1]
    if mode == "set":
        out[at] = src
    else:
        _COMBINE[mode].at(out, at, src)
    return out


def _scatter_src_vjp(g, _y, _dst, _src, *idx, coords, mode, wrap, error):
    if mode not in ("set", "add"):
        raise NotImplementedError(f"the gradient of scatter with mode {mode!r}")
    return gather(g, *idx, coords=coords, shape=tuple(_shape_of(idx, g, coords)), size=tuple(g.shape), wrap=wrap, error=error)


def _shape_of(idx, g, coords):
    return idx[0].shape if idx else g.shape


def _scatter_dst_vjp(g, _y, _dst, _src, *idx, coords, mode, wrap, error):
    if mode == "add":
        return g
    if mode != "set":
        raise NotImplementedError(f"the gradient of scatter with mode {mode!r}")
    return scatter(g, o.zeros(_shape_of(idx, g, coords), dtype=g.dtype), *idx, coords=coords, mode="set", wrap=wrap, error=error)


def _scatter_tangent(ts, y, dst, src, *idx, **p):
    t, s = ts[0], ts[1]
    return scatter(o.zeros_like(dst) if t is None else t, o.zeros_like(src) if s is None else s, *idx, **p)


def _scatter_batch(prim, size, xs, batched, *, coords, **params):
    dst, src, *idx = _indices(size, xs, batched)
    return scatter(dst, src, *idx, coords=_batched_coords(coords), **params)


def _scatter_samples(rng):
    def case(dst, src, idx, coords, mode):
        return (dst, src, *idx), dict(coords=coords, mode=mode, wrap=True, error="index")
    dst, src = rng.uniform(-1, 1, (5, 7)), rng.uniform(-1, 1, (9, 7))
    rows = rng.integers(-5, 5, (9, 1)) + np.zeros((9, 7), np.int64)
    distinct = rng.permutation(35)[:30].reshape(2, 15)
    out = [case(dst.astype(d), src.astype(d), (rows,), (-1, 1), "add") for d in (np.float32, np.float64)]
    out += [case(dst.astype(np.float32), src[:2, :1].astype(np.float32) + np.zeros((2, 15), np.float32),
                 (distinct // 7, distinct % 7), (-1, -2), mode) for mode in _COMBINE]
    return out + [case(rng.integers(0, 9, (5, 7)), rng.integers(0, 9, (9, 7)), (rows,), (-1, 1), m) for m in ("add", "amax")]


def _scatter_raises(rng):
    params = dict(coords=(-1, 1), mode="add", wrap=False, error="gather")
    arrays = np.zeros((5, 7), np.float32), np.ones((2, 7), np.float32), np.full((2, 7), -1)
    return [(arrays, params, RuntimeError, "index -1 is out of bounds for dimension 0 with size 5")]


scatter = Primitive(
    "scatter", "scatter", _scatter_reference, lambda shapes, **_: shapes[0], _by_int64(2),
    (_scatter_dst_vjp, _scatter_src_vjp), _scatter_tangent, _scatter_batch,
    samples=_scatter_samples, raises=_scatter_raises, may_fail=True)
scatter.gradient.uses = (frozenset({-3}), frozenset({-3}))


# -- write: a storage's next value, equal to the last but where a view is overwritten ---------------------
# Operand 0 is the overwritten view of the old value, operand 1 what is put there. The result is the
# whole storage, flat; so `reference` gets the flat old value and places the view itself.
def _write_reference(flat, src, *, layout, offset, n):
    out = flat.copy()
    view = np.lib.stride_tricks.as_strided(out[offset:], layout.shape, [s * out.itemsize for s in layout.strides])
    view[...] = src
    return out


def _write_samples(rng):
    from ..layout import layout
    cases = [((12,), layout((3, 2), (4, 1)), 1), ((60,), layout((20,), (3,)), 2), ((35,), layout((5, 7), (7, 1)), 0)]
    return [((rng.uniform(-1, 1, n).astype(d), rng.uniform(-1, 1, l.shape).astype(d)), dict(layout=l, offset=at, n=n[0]))
            for d in (np.float32, np.float64) for n, l, at in cases]


def _write_batch(prim, size, xs, batched, *, layout, n, offset):
    """The flat storages of all entries one after another, the views one storage apart."""
    from ..autograd.inplace import write_signature
    from ..layout import layout as make_layout
    from ..ops.promote import operand
    from ..tensor import Tensor, wrap
    from ..trace.record import record
    flat, src = xs[0], _indices(size, xs[1:], batched[1:])[0]
    view = make_layout((size, *layout.shape), (n, *layout.strides))
    sig = write_signature(flat.storage, view, src.layout)
    return wrap(Tensor, record(sig, (flat.storage.node, offset, *operand(src))), sig.result, 0).view(size, n)


write = Primitive("write", "write", _write_reference, lambda shapes, *, n, **_: (n,), same_dtype,
                  batch=_write_batch, samples=_write_samples,
                  without="a write is taped as an operation on tensors (autograd/inplace.py)")


# -- concat: sizes are the operands' along `dim` -----------------------------------------------------------
def _concat_shape(shapes, dim, sizes):
    return (*shapes[0][:dim], builtins.sum(sizes), *shapes[0][dim + 1:])


def _concat_tangent(ts, y, *xs, **params):
    return concat(*[o.zeros_like(x) if t is None else t for t, x in zip(ts, xs)], **params)


def _concat_batch(prim, size, xs, batched, *, dim, sizes):
    return concat(*_indices(size, xs, batched), dim=dim + 1, sizes=sizes)


def _concat_gradient(g, i, _y, *_xs, dim, sizes):
    return g.narrow(dim, builtins.sum(sizes[:i]), sizes[i])


def _concat_samples(rng):
    return [(tuple(rng.uniform(-1, 1, (3, n, 5)).astype(d) for n in (2, 0, 17)), dict(dim=1, sizes=(2, 0, 17)))
            for d in FLOATS] + [((rng.integers(0, 9, 4), rng.integers(0, 9, 30)), dict(dim=0, sizes=(4, 30)))]


concat = Primitive("concat", "concat", lambda *xs, dim, sizes: np.concatenate(xs, dim), _concat_shape, same_dtype,
                   (), _concat_tangent, _concat_batch, samples=_concat_samples)
concat.gradient = Variadic("CatBackward0", _concat_gradient)
