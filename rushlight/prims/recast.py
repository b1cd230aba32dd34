"""Memory seen as elements of another dtype: the bytes of a storage, flat."""
from __future__ import annotations

from weakref import ref

import numpy as np

from .. import dtypes
from .. import ops as o
from ..layout import packed
from ..trace.record import Signature, record
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


def seen(view, value):
    """What a Recast shows of a value of its base."""
    node = _recorded(value, view.base, view.dtype, view.numel)
    node.owner = ref(view)
    return node


def put_back(view, value) -> None:
    """A new value of a Recast, written to its base."""
    base = view.base
    if view.numel * view.dtype.itemsize == base.numel * base.dtype.itemsize:
        node = _recorded(value, view, base.dtype, base.numel)
    else:
        key = (base.numel, base.dtype, view.numel, view.dtype)
        sig = _signature(patch, key, (base.numel, view.numel), (base.dtype, view.dtype), {})
        node = record(sig, (base.node, 0, value, 0)).node
    node.owner = ref(base)
    base.replace(node)
