"""Memory seen otherwise: as elements of another dtype, conjugated or negated."""
from __future__ import annotations

from weakref import ref

import numpy as np

from .. import dtypes
from .. import ops as o
from ..layout import behind, extent, is_dense, packed
from ..storage import Mirrored, Recast
from ..trace.flush import snapshot
from ..trace.record import Signature, pending, record
from .complex import conj
from .pointwise import neg
from .table import Primitive


def _bytes(x):
    return np.ascontiguousarray(x).reshape(-1).view(np.uint8)


def _recast(x, *, dtype, n):
    return _bytes(x)[:n * dtype.itemsize].view(dtype.numpy)


def _patch(old, new):
    """The bytes of `new` in place of the first ones of `old`."""
    out, fresh = _bytes(old).copy(), _bytes(new)
    out[:len(fresh)] = fresh
    return out.view(old.dtype)


def _recast_samples(rng):
    x = rng.uniform(-1, 1, 12)
    return [((x.astype(d),), dict(dtype=to, n=12 * d().itemsize // to.itemsize))
            for d in (np.float32, np.float64, np.complex64) for to in (dtypes.uint8, dtypes.float32, dtypes.complex128)]


def _patch_samples(rng):
    return [((rng.uniform(-1, 1, 3).astype(np.float32), rng.uniform(-1, 1, 1)), {})]


def _each(prim, size, xs, batched, **params):
    """One storage after the other."""
    return o.stack([prim(*(x[i] if on else x for x, on in zip(xs, batched)), **params) for i in range(size)])


WHY = "views carry the rules: it is only recorded on whole storages, untaped"
recast = Primitive("recast", "host", _recast, lambda shapes, *, dtype, n: (n,), lambda ds, *, dtype, n: dtype,
                   batch=_each, samples=_recast_samples, without=WHY)
patch = Primitive("patch", "host", _patch, lambda shapes: shapes[0], lambda ds: ds[0], batch=_each,
                  samples=_patch_samples, without=WHY)


def _signature(prim, key, numels, kinds, params) -> Signature:
    sig = prim.memo.get(key)
    if sig is None:
        sig = prim.memo[key] = prim.signature([packed((n,)) for n in numels], kinds, params)
    return sig


def _recorded(node, storage, dtype, n):
    """The elements of a storage with this value, as n of another dtype."""
    params = dict(dtype=dtype, n=n)
    sig = _signature(recast, (storage.numel, storage.dtype, dtype, n), (storage.numel,), (storage.dtype,), params)
    return record(sig, (node, 0)).node


def _shown(view, value):
    """What a Recast shows of a value of its base."""
    return _recorded(value, view.base, view.dtype, view.numel)


def _put_back(view, value):
    """The value of a Recast's base, given a new one of the Recast."""
    base = view.base
    if view.numel * view.dtype.itemsize == base.numel * base.dtype.itemsize:
        return _recorded(value, view, base.dtype, base.numel)
    key = (base.numel, base.dtype, view.numel, view.dtype)
    sig = _signature(patch, key, (base.numel, view.numel), (base.dtype, view.dtype), {})
    return record(sig, (base.node, 0, value, 0)).node


Recast.shown, Recast.put_back = _shown, _put_back


# -- mirrors ---------------------------------------------------------------------------------------
def _mirrored(view, node, offset, lies):
    """A part of the value of what a Mirrored shows, or the other way round, as it lies in memory."""
    for prim, is_on in ((conj, view.is_conj), (neg, view.is_neg)):
        if is_on:
            node, offset = record(prim.signature((lies,), (view.dtype,), {}), (node, offset)).node, 0
            pending.loose.append(ref(node))
    return node


def _whole(view, value):
    return _mirrored(view, value, 0, packed((view.numel,)))


def _part(view, layout, offset):
    """The operand (node, offset) that a layout shows: no more is computed than lies between its ends."""
    node, at = snapshot(view.under, layout, offset)
    before = behind(layout)
    lies = packed(_in_order(layout) if is_dense(layout) else (before + extent(layout),))
    return _mirrored(view, node, at - before, lies), before


def _in_order(layout) -> tuple:
    """The sizes of a dense layout's axes, from the outermost to the innermost in memory."""
    return tuple(n for _, _, n in sorted((-s, d, n) for d, (s, n) in enumerate(zip(layout.strides, layout.shape))))


Mirrored.shown = Mirrored.put_back = _whole
Mirrored.part = _part
