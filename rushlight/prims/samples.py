"""Sample makers: what the table's tests, the fuzzer and the docs feed a primitive."""
from __future__ import annotations

import ml_dtypes
import numpy as np

FLOATS = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)
INTS = (np.uint8, np.int8, np.int16, np.int32, np.int64)
SHAPES = ((), (5,), (3, 17), (2, 0, 4), (4, 33))


def draws(low, high, n=1, dtypes=FLOATS):
    """n float arrays of equal shape and dtype, uniform on [low, high)."""
    def samples(rng):
        return [(tuple(rng.uniform(low, high, shape).astype(d) for _ in range(n)), {})
                for d in dtypes for shape in SHAPES]
    return samples


def whole(rng, shape, dtype, low=-6, high=7, nonzero=False):
    low = max(low, 0) if np.dtype(dtype).kind == "u" else low
    x = rng.integers(low, high, shape)
    return (np.where(x == 0, 1, x) if nonzero else x).astype(dtype)


def numbers(bools=True, cast=False, n=1, low=-4, high=4, nonzero=False):
    """n arrays of equal shape over every dtype."""
    def samples(rng):
        out = list(draws(low, high, n)(rng))
        kinds = INTS + ((np.bool_,) if bools else ())
        for d in kinds:
            for shape in SHAPES[:3]:
                out.append((tuple(whole(rng, shape, d, nonzero=nonzero) if d is not np.bool_
                                  else rng.random(shape) < 0.5 for _ in range(n)), {}))
        return _with_targets(out) if cast else out
    return samples


def _with_targets(cases):
    from .. import dtypes
    targets = [d for d in dtypes.DTYPES if d.rank < 3 and d.name not in ("uint16", "uint32", "uint64")]
    return [((np.abs(x),) if t is dtypes.uint8 else (x,), {"dtype": t}) for (x,), _ in cases for t in targets]


def pairs(floats=False, bools=True, low=-3, high=3, nonzero=False):
    return draws(low, high, 2) if floats else numbers(bools=bools, n=2, nonzero=nonzero)


def integers(low=-6, high=7, n=2, bools=True):
    def samples(rng):
        out = [(tuple(whole(rng, s, d, low, high) for _ in range(n)), {}) for d in INTS for s in SHAPES[:3]]
        return out + ([(tuple(rng.random((3, 17)) < 0.5 for _ in range(n)), {})] if bools else [])
    return samples


def booleans():
    """A condition and two branches."""
    def samples(rng):
        return [((rng.random(xs[0].shape) < 0.5, *xs), {}) for xs, _ in numbers(n=2)(rng)]
    return samples
