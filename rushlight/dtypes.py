"""Data types: what an element is, how types promote, and their limits."""
from __future__ import annotations

import builtins
import math

import ml_dtypes
import numpy as np


class dtype:
    """The type of a tensor's elements. `torch.float32` and its siblings are the only instances."""

    __slots__ = ("name", "alias", "numpy", "itemsize", "is_floating_point", "is_complex", "is_signed", "rank", "llvm")

    def __init__(self, name, alias, numpy_dtype, kind, rank, llvm):
        self.name, self.alias, self.numpy = name, alias, np.dtype(numpy_dtype)
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = kind == "f"
        self.is_complex = kind == "c"
        self.is_signed = kind in "ifc"
        self.rank = rank        # category: 0 bool, 1 integer, 2 floating point, 3 complex
        self.llvm = llvm        # the LLVM element type in memory; kernels only move complex numbers

    def __repr__(self):
        return f"torch.{self.name}"

    def __reduce__(self):
        return self.name        # pickled by name: identity survives copies and processes

    def to_complex(self):
        return {float16: complex64, bfloat16: complex64, float32: complex64, float64: complex128}.get(self, self)

    def to_real(self):
        return {complex64: float32, complex128: float64}.get(self, self)


def _make(name, alias, numpy_dtype, kind, rank, llvm):
    globals()[name] = made = dtype(name, alias, numpy_dtype, kind, rank, llvm)
    return made


DTYPES = tuple(_make(*row) for row in [
    ("bool",       "bool",   np.bool_,            "b", 0, "i8"),
    ("uint8",      "uint8",  np.uint8,            "u", 1, "i8"),
    ("int8",       "int8",   np.int8,             "i", 1, "i8"),
    ("int16",      "short",  np.int16,            "i", 1, "i16"),
    ("int32",      "int",    np.int32,            "i", 1, "i32"),
    ("int64",      "long",   np.int64,            "i", 1, "i64"),
    ("uint16",     "uint16", np.uint16,           "u", 1, "i16"),
    ("uint32",     "uint32", np.uint32,           "u", 1, "i32"),
    ("uint64",     "uint64", np.uint64,           "u", 1, "i64"),
    ("float16",    "half",   np.float16,          "f", 2, "half"),
    ("bfloat16",   "bfloat16", ml_dtypes.bfloat16, "f", 2, "bfloat"),
    ("float32",    "float",  np.float32,          "f", 2, "float"),
    ("float64",    "double", np.float64,          "f", 2, "double"),
    ("complex64",  "cfloat", np.complex64,        "c", 3, "i64"),
    ("complex128", "cdouble", np.complex128,      "c", 3, "i128"),
])

ALIASES = {"half": float16, "float": float32, "double": float64, "short": int16, "int": int32, "long": int64,
           "chalf": None, "cfloat": complex64, "cdouble": complex128}
globals().update({name: it for name, it in ALIASES.items() if it is not None and name not in ("float", "int")})

BY_NUMPY = {it.numpy: it for it in DTYPES}
# Python's own number types (`bool` is a dtype in this module) and their category of promotion.
PYTHON_TYPES = {builtins.bool: bool, int: int64, float: float64, complex: complex128}
WEAK = {builtins.bool: 0, int: 1, float: 2, complex: 3}

default = float32       # what set_default_dtype changes; read it as dtypes.default


def as_dtype(x) -> dtype | None:
    """A dtype from a dtype or one of Python's bool, int, float, complex; None stays None."""
    if x is None or isinstance(x, dtype):
        return x
    try:
        return PYTHON_TYPES[x]
    except (KeyError, TypeError):
        raise TypeError(f"dtype must be torch.dtype, not {type(x).__name__}") from None


def from_numpy(d) -> dtype:
    try:
        return BY_NUMPY[np.dtype(d)]
    except KeyError:
        raise TypeError(f"can't convert np.ndarray of type {d}. The only supported types are: float64, float32, "
                        "float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool."
                        ) from None


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest dtype that both fit in by PyTorch's lattice (docs: Tensor Attributes, type promotion)."""
    if a is b:
        return a
    if a.rank != b.rank:
        low, high = (a, b) if a.rank < b.rank else (b, a)
        return complex128 if high.rank == 3 and low is float64 else high
    if a.rank == 1:
        return _promote_integers(a, b)
    small, large = (a, b) if a.itemsize < b.itemsize else (b, a)
    return float32 if small.itemsize == large.itemsize else large


def _promote_integers(a, b):
    if a.is_signed == b.is_signed:
        if not a.is_signed:
            raise RuntimeError("Promotion for uint16, uint32, uint64 types is not supported, "
                               f"attempted to promote {a.name} and {b.name}")
        return a if a.itemsize > b.itemsize else b
    signed, unsigned = (a, b) if a.is_signed else (b, a)
    if unsigned is not uint8:
        raise RuntimeError("Promotion for uint16, uint32, uint64 types is not supported, "
                           f"attempted to promote {a.name} and {b.name}")
    return int16 if signed is int8 else signed


def weak_result(d: dtype, rank: int) -> dtype:
    """The dtype of an expression of a `d` tensor and a Python number (or 0-d tensor) of category `rank`."""
    if rank <= d.rank:
        return d
    return {1: int64, 2: default, 3: default.to_complex()}[rank] if rank < 3 or not d.is_floating_point else d.to_complex()


class finfo:
    """Limits of a floating point dtype: bits, eps, max, min, tiny, smallest_normal, resolution."""

    def __init__(self, type: dtype | None = None):
        type = default if type is None else type
        if not (type.is_floating_point or type.is_complex):
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{type!r}'")
        info = ml_dtypes.finfo(type.to_real().numpy)
        self.bits, self.dtype = info.bits, type.to_real().name
        self.resolution = float(f"1e-{math.floor(info.nmant * math.log10(2))}")
        for name in ("eps", "max", "min", "tiny", "smallest_normal"):
            setattr(self, name, float(getattr(info, name)))

    def __repr__(self):
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})")


class iinfo:
    """Limits of an integer dtype: bits, min, max."""

    def __init__(self, type: dtype):
        if type.rank != 1:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type!r}'")
        info = np.iinfo(type.numpy)
        self.bits, self.min, self.max, self.dtype = info.bits, int(info.min), int(info.max), type.name

    def __repr__(self):
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
