"""Host primitives: run by their NumPy meaning inside a plan. Breadth never waits for the compiler."""
from __future__ import annotations

import numpy as np

from .introsort import std_sort
from .samples import FLOATS, INTS, whole
from .table import Primitive, int64_dtype


def _orderable(x):
    return x.astype(np.float32) if x.dtype.kind not in "iubf" else x


def _argsort(x, *, dim, descending, stable=True):
    """nan is the largest, as in PyTorch. If it need not be stable equal elements stand as `std::sort` leaves them."""
    x = _orderable(x)
    if not stable:
        rows = np.moveaxis(x, dim, -1)
        order = np.empty(rows.shape, np.int64)
        for at in np.ndindex(rows.shape[:-1]):
            order[at] = std_sort(ranks(rows[at], descending))
        return np.moveaxis(order, -1, dim)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    back = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return np.flip(x.shape[dim] - 1 - back, dim)


def ranks(row, descending):
    """Whole numbers that compare as the elements of a row do; nan is the largest and equals nan."""
    order = _argsort(row, dim=0, descending=descending)
    found = row[order]
    new = (found[1:] != found[:-1]) & ~((found[1:] != found[1:]) & (found[:-1] != found[:-1]))
    numbers = np.empty(len(row), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(new)])[:len(row)]
    return numbers


def _argsort_samples(rng):
    return [((rng.uniform(-1, 1, s).astype(d),), dict(dim=dim, descending=down, stable=True)) for d in FLOATS
            for s, dim in [((9,), 0), ((3, 17), 1), ((3, 17), 0)] for down in (False, True)] + \
           [((whole(rng, (3, 17), d),), dict(dim=1, descending=True, stable=True)) for d in INTS] + \
           [((rng.integers(0, 5, s).astype(d),), dict(dim=1, descending=down, stable=False))
            for d in (*FLOATS, *INTS) for s in [(3, 17), (2, 90)] for down in (False, True)]


argsort = Primitive("argsort", "host", _argsort, lambda shapes, **_: shapes[0], int64_dtype, (None,),
                    lambda ts, y, x, **_: None,
                    lambda prim, size, xs, batched, *, dim, **p: prim(xs[0], dim=dim + 1, **p),
                    samples=_argsort_samples)


def _argtopk_samples(rng):
    return [((rng.integers(-9, 9, s).astype(d),), dict(dim=dim, k=k, descending=down))
            for d in (*FLOATS, *INTS) for s, dim, k in [((9,), 0, 9), ((3, 70), 1, 4), ((40, 3), 0, 11)]
            for down in (False, True)]


argtopk = Primitive("argtopk", "host", lambda x, *, dim, k, descending: np.take(
                        _argsort(x, dim=dim, descending=descending), np.arange(k), dim),
                    lambda shapes, *, dim, k, **_: (*shapes[0][:dim], k, *shapes[0][dim + 1:]), int64_dtype, (None,),
                    lambda ts, y, x, **_: None,
                    lambda prim, size, xs, batched, *, dim, **p: prim(xs[0], dim=dim + 1, **p),
                    samples=_argtopk_samples)
