"""One scalar instruction, or a body, run over NumPy arrays: for tests, measurements and curiosity.

    probe.apply("exp", dtypes.float32, x)               # x: an array of any length, one axis
"""
from __future__ import annotations

import ctypes

import numpy as np

from ..compiler.kernel import LANES, Code
from ..dtypes import DTYPES, dtype
from . import jit
from .emit import Function
from .scalar import emit_instr, from_memory, to_memory

SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def kernel(op: str, made: dtype, taken: tuple[dtype, ...], lanes: int = LANES, turns: int = 1) -> Code:
    """out[i] = op(in0[i], in1[i], ...) for i in [lo, hi), `turns` times over."""
    f = Function(f"probe_{op}")
    with f.loop(0, turns), f.loop(f.lo, f.hi, lanes) as loop:
        inputs = [_read(f, i, kind, loop.index, lanes) for i, kind in enumerate(taken)]
        result = to_memory(f, made, emit_instr(f, op, made, taken[-1], inputs, lanes=lanes))
        f.store(result, f.at(f.word(len(taken), "ptr"), made.llvm, loop.index))
    return f.code()


def _read(f: Function, word: int, kind: dtype, index, lanes: int):
    place = f.at(f.word(word, "ptr"), kind.llvm, index)
    return from_memory(f, kind, f.load_vector(kind.llvm, place, lanes))


def apply(op: str, made: dtype, *arrays: np.ndarray, lanes: int = LANES) -> np.ndarray:
    """The instruction on arrays of equal length; the result has the dtype `made`."""
    code = kernel(op, made, tuple(dtype_of(a) for a in arrays), lanes)
    count = -(-len(arrays[0]) // LANES) * LANES
    padded = [np.resize(a, count) for a in arrays]
    out = np.empty(count, made.numpy)
    call(code, *padded, out, hi=count)
    return out[:len(arrays[0])]


def dtype_of(array: np.ndarray) -> dtype:
    return next(kind for kind in DTYPES if kind.numpy == array.dtype)


def call(code: Code, *arrays: np.ndarray, lo: int = 0, hi: int) -> None:
    """Runs a kernel whose words are the addresses of `arrays`."""
    words = np.array([a.ctypes.data for a in arrays], np.int64)
    SIGNATURE(jit.address(code))(words.ctypes.data, lo, hi)
