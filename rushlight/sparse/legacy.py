"""torch.sparse.FloatTensor and its like, from before tensors had dtypes."""
from __future__ import annotations

from ..ops.legacy import TYPES as DENSE
from .convert import sparse_coo_tensor
from .tensor import Coo, empty_coo


class SparseType(type):
    """A class whose instances are all COO tensors of one dtype."""

    def __instancecheck__(cls, x):
        return isinstance(x, Coo) and x.dtype is cls.dtype


def _make(name, d):
    def new(cls, *args, device=None):
        if all(isinstance(n, int) for n in args):
            return empty_coo(args, d) if args else empty_coo((0,), d)
        return sparse_coo_tensor(*args, dtype=d, device=device) if len(args) > 1 else empty_coo(args[0], d)
    return SparseType(name, (), {"dtype": d, "__new__": new, "__module__": "torch.sparse",
                                 "__doc__": f"COO tensor of dtype {d!r}: (indices, values, size) or sizes."})


TYPES = {name: _make(name, made.dtype) for name, made in DENSE.items() if name != "BoolTensor"}
