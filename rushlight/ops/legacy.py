"""Tensor types named after their dtype, from before tensors had dtypes: FloatTensor, LongTensor, ..."""
from __future__ import annotations

from .. import dtypes
from ..tensor import Tensor
from .support import LEGACY


class TensorType(type):
    """A class whose instances are all tensors of one dtype."""

    def __instancecheck__(cls, x):
        return isinstance(x, Tensor) and x.dtype is cls.dtype

    def __repr__(cls):
        return f"<class 'torch.{cls.__name__}'>"


def _make(d):
    def new(cls, *args, device=None):
        from .create import legacy_tensor
        return legacy_tensor(Tensor, *args, dtype=cls.dtype, device=device)
    name = LEGACY[d.name] + "Tensor"
    doc = f"Tensor of dtype {d!r}: from sizes (zeros) or from data."
    return TensorType(name, (), {"dtype": d, "__new__": new, "__doc__": doc, "__module__": "torch"})


TYPES = {made.__name__: made for made in map(_make, dtypes.DTYPES)
         if made.dtype.rank < 3 and made.dtype.name not in ("uint16", "uint32", "uint64")}


def type_named(t):
    """The dtype of a tensor type given as a class, a dtype or a string; ValueError for anything else."""
    if isinstance(t, str):
        t = TYPES.get(t.removeprefix("torch."), t)
    d = getattr(t, "dtype", t)
    if not isinstance(d, dtypes.dtype):
        raise ValueError(f"invalid type: '{t}'" if isinstance(t, str) else "invalid type object")
    return d


def typename(obj) -> str:
    """The name of an object's type; for tensors that of their tensor type."""
    if isinstance(obj, Tensor):
        return obj.type()
    kind = obj if isinstance(obj, type) else type(obj)
    module = getattr(kind, "__module__", "")
    return kind.__qualname__ if module in ("", "builtins", "__builtin__") else f"{module}.{kind.__qualname__}"


def is_storage(obj) -> bool:
    """Whether an object is a storage as users see it."""
    from .interop import UntypedStorage
    return isinstance(obj, UntypedStorage)
