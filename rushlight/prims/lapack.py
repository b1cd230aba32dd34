"""NumPy's LAPACK in the precision of the matrices, and on as many threads as these are worth.

`np.linalg` computes all of float32 in float64, in twice the time.

Matrices of fewer than SINGLE rows are computed in float64 all the same, as kernels do (cpu/factor.py).
The loops are an inner part of NumPy; where one is missing or has no float32, `np.linalg` answers.
"""
from __future__ import annotations

import ctypes
import functools

import numpy as np

from ..runtime.threads import get_num_threads

SINGLE = 32
SHARED = 512            # rows up to which threads of OpenBLAS wait longer for each other than they compute
LOOPS = getattr(np.linalg, "_umath_linalg", None)
PREFIXES = (("scipy_openblas_", "64_"), ("openblas_", "64_"), ("openblas_", ""))


@functools.cache
def _threads_of_blas():
    """(get, set) of the number of threads of NumPy's OpenBLAS; None if it has another library."""
    try:
        library = ctypes.CDLL(LOOPS.__file__)
    except (AttributeError, OSError):
        return None
    for before, after in PREFIXES:
        names = [f"{before}{verb}_num_threads{after}" for verb in ("get", "set")]
        if all(hasattr(library, name) for name in names):
            return tuple(getattr(library, name) for name in names)
    return None


def on_few_threads(fn):
    """A function of matrices, on one thread unless they are large, on no more than kernels may have."""
    @functools.wraps(fn)
    def call(a, *more, **params):
        of_blas = _threads_of_blas()
        if of_blas is None:
            return fn(a, *more, **params)
        get, put = of_blas
        before = get()
        put(min(before, get_num_threads() if max(a.shape[-2:]) >= SHARED else 1))
        try:
            return fn(a, *more, **params)
        finally:
            put(before)
    return call


def _refuse(_error, _flag):
    raise np.linalg.LinAlgError


def _loop(name, kinds, *arrays):
    """The results of a loop on large float32 or complex64 matrices, None if there is no such loop; `kinds` as in 'f->ff'."""
    a, loop = arrays[0], getattr(LOOPS, name, None)
    if a.dtype not in (np.float32, np.complex64) or max(a.shape[-2:]) < SINGLE:
        return None
    kinds = kinds.replace("x", a.dtype.char)
    if kinds not in getattr(loop, "types", ()):
        return None
    with np.errstate(call=_refuse, invalid="call", over="ignore", divide="ignore", under="ignore"):
        return loop(*arrays, signature=kinds)


def inv(a):
    found = _loop("inv", "x->x", a)
    return np.linalg.inv(a) if found is None else found


def solve(a, b):
    found = _loop("solve", "xx->x", a, b)
    return np.linalg.solve(a, b) if found is None else found


def det(a):
    found = _loop("det", "x->x", a)
    return np.linalg.det(a) if found is None else found


def slogdet(a):
    found = _loop("slogdet", "x->xf", a)
    return np.linalg.slogdet(a) if found is None else found


def cholesky(a):
    found = _loop("cholesky_lo", "x->x", a)
    return np.linalg.cholesky(a) if found is None else found


def eigh(a, lower: bool):
    found = _loop("eigh_lo" if lower else "eigh_up", "x->fx", a)
    return np.linalg.eigh(a, "L" if lower else "U") if found is None else found


def eigvalsh(a, lower: bool):
    found = _loop("eigvalsh_lo" if lower else "eigvalsh_up", "x->f", a)
    return np.linalg.eigvalsh(a, "L" if lower else "U") if found is None else found


def svd(a, full: bool):
    found = _loop("svd_f" if full else "svd_s", "x->xfx", a)
    return np.linalg.svd(a, full) if found is None else found


def svdvals(a):
    found = _loop("svd", "x->f", a)
    return np.linalg.svd(a, compute_uv=False) if found is None else found
