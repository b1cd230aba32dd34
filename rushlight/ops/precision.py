"""Half precision: what is computed in float32 inside and rounded once at the end, as in PyTorch."""
from __future__ import annotations

from functools import wraps

from .. import dtypes


def is_half(x) -> bool:
    return x.dtype.itemsize == 2 and x.dtype.is_floating_point


def rounded_once(body):
    """Run a body of several operations on float32 copies of half precision tensors."""
    @wraps(body)
    def wrapped(x, *tensors, **params):
        if not is_half(x):
            return body(x, *tensors, **params)
        wide = [t.to(dtypes.float32) if t is not None and is_half(t) else t for t in (x, *tensors)]
        return body(*wide, **params).to(x.dtype)
    return wrapped
