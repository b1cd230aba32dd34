"""Measures cpu/math.py against mpmath, beside NumPy, and writes docs/accuracy.md.

    python tools/measure_accuracy.py [function ...]         needs mpmath; names print without writing

An error is counted in units of the last place of the correctly rounded result (ulp): 0.5 is the best that
there is. Every function is measured on several intervals with NumPy's generator, seed 0.
"""
import math
import sys
import time
from pathlib import Path

import mpmath as mp
import numpy as np

from rushlight import dtypes
from rushlight.cpu import jit, probe

mp.mp.prec = 200
TARGET = Path(__file__).parent.parent / "docs" / "accuracy.md"
SAMPLES = {np.float32: 4000, np.float64: 1500}
KINDS = {np.float32: dtypes.float32, np.float64: dtypes.float64}


def uniform(low, high):
    return lambda rng, n, kind: rng.uniform(low, high, n)


def exponential(rng, n, kind):
    """Positive numbers of every size."""
    info = np.finfo(kind)
    return np.exp(rng.uniform(math.log(float(info.tiny)), math.log(float(info.max)) - 1, n))


def either_sign(rng, n, kind):
    return exponential(rng, n, kind) * rng.choice([-1, 1], n)


def near_one(rng, n, kind):
    return 1 - np.exp(rng.uniform(-16 if kind is np.float32 else -36, 0, n))


def by_type(single, double):
    return lambda rng, n, kind: (single if kind is np.float32 else double)(rng, n, kind)


def power_pairs(rng, n, kind):
    x = np.exp(rng.uniform(-3, 3, n))
    top = 87 if kind is np.float32 else 700
    return x, rng.uniform(-top, top, n) / np.maximum(abs(np.log(x)), 0.01)


def plane(rng, n, kind):
    return tuple(rng.normal(size=n) * np.exp(rng.uniform(-5, 5, n)) for _ in "yx")


SMALL, UNIT = uniform(-1e-3, 1e-3), uniform(-1, 1)
WIDE = by_type(uniform(-87, 88), uniform(-708, 709))
TURNS = (uniform(-10, 10), uniform(-1e6, 1e6), either_sign)
CASES = {       # name: NumPy's, mpmath's, the intervals
    "exp": (np.exp, mp.exp, (by_type(uniform(-104, 89), uniform(-745, 710)), UNIT)),
    "exp2": (np.exp2, lambda x: mp.mpf(2) ** x, (by_type(uniform(-149, 128), uniform(-1074, 1024)), UNIT)),
    "expm1": (np.expm1, mp.expm1, (WIDE, uniform(-20, 20), UNIT, SMALL)),
    "log": (np.log, mp.log, (exponential, uniform(0.5, 2))),
    "log1p": (np.log1p, mp.log1p, (exponential, uniform(-1, 2), SMALL)),
    "log2": (np.log2, lambda x: mp.log(x) / mp.log(2), (exponential, uniform(0.5, 2))),
    "log10": (np.log10, mp.log10, (exponential, uniform(0.5, 2))),
    "pow": (np.power, mp.power, (power_pairs,)),
    "rsqrt": (lambda x: 1 / np.sqrt(x), lambda x: 1 / mp.sqrt(x), (exponential,)),
    "tanh": (np.tanh, mp.tanh, (uniform(-10, 10), UNIT, SMALL)),
    "sinh": (np.sinh, mp.sinh, (WIDE, uniform(-2, 2))),
    "cosh": (np.cosh, mp.cosh, (WIDE, uniform(-2, 2))),
    "asinh": (np.arcsinh, mp.asinh, (either_sign, uniform(-3, 3))),
    "acosh": (np.arccosh, mp.acosh, (uniform(1, 3), uniform(1, 1e6))),
    "atanh": (np.arctanh, mp.atanh, (UNIT, uniform(-0.01, 0.01))),
    "sin": (np.sin, mp.sin, TURNS), "cos": (np.cos, mp.cos, TURNS), "tan": (np.tan, mp.tan, TURNS),
    "asin": (np.arcsin, mp.asin, (UNIT,)), "acos": (np.arccos, mp.acos, (UNIT,)),
    "atan": (np.arctan, mp.atan, (either_sign, uniform(-5, 5))),
    "atan2": (np.arctan2, mp.atan2, (plane,)),
    "erf": (None, mp.erf, (uniform(-6, 6), UNIT)),
    "erfc": (None, mp.erfc, (by_type(uniform(-6, 9), uniform(-6, 26)), UNIT)),
    "erfinv": (None, mp.erfinv, (UNIT, near_one)),
    "lgamma": (None, lambda x: mp.loggamma(x).real, (uniform(0.01, 3), uniform(2.5, 1e5))),
    "digamma": (None, mp.digamma, (uniform(0.01, 1.3), uniform(1.6, 1e3))),
    "trigamma": (None, lambda x: mp.polygamma(1, x), (uniform(0.01, 3), uniform(2.5, 1e3))),
    "bessel_i0": (np.i0, lambda x: mp.besseli(0, x), (uniform(-9, 9), by_type(uniform(0, 90), uniform(0, 710)))),
    "bessel_i0e": (None, lambda x: mp.besseli(0, x) * mp.exp(-abs(x)), (uniform(-9, 9), uniform(0, 1e3))),
    "bessel_i1": (None, lambda x: mp.besseli(1, x), (uniform(-9, 9), by_type(uniform(0, 90), uniform(0, 710)))),
    "bessel_i1e": (None, lambda x: mp.besseli(1, x) * mp.exp(-abs(x)), (uniform(-9, 9), uniform(0, 1e3))),
}


def exact(function, *arrays) -> np.ndarray:
    """To 64 bits or more: a long double of two doubles."""
    out = []
    for row in zip(*arrays, strict=True):
        value = function(*(mp.mpf(float(x)) for x in row))
        high = float(value)
        out.append(np.longdouble(high) + np.longdouble(float(value - high)) if math.isfinite(high)
                   else np.longdouble(high))
    return np.array(out)


def ulps(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    kind = got.dtype.type
    with np.errstate(over="ignore"):
        near = wanted.astype(kind)
    unit = np.maximum(np.spacing(np.abs(near)), np.finfo(kind).smallest_subnormal)
    finite = np.isfinite(near) & np.isfinite(got)
    error = np.abs(got[finite].astype(np.longdouble) - wanted[finite]) / unit[finite]
    return np.concatenate([error.astype(float), np.where(got == near, 0, np.inf)[~finite]])


def measure(name: str, kind) -> tuple:
    """(max, mean) of rushlight and of NumPy over all intervals; NumPy's None where it has no such function."""
    numpys, mpmaths, intervals = CASES[name]
    rng, ours, theirs = np.random.default_rng(0), [], []
    for draw in intervals:
        drawn = draw(rng, SAMPLES[kind], kind)
        arrays = [a.astype(kind) for a in (drawn if isinstance(drawn, tuple) else (drawn,))]
        wanted = exact(mpmaths, *arrays)
        ours.append(ulps(probe.apply(name, KINDS[kind], *arrays), wanted))
        if numpys:
            with np.errstate(all="ignore"):
                theirs.append(ulps(numpys(*arrays), wanted))
    return summary(ours), summary(theirs) if theirs else None


def summary(errors) -> tuple[float, float]:
    errors = np.concatenate(errors)
    return errors.max(), errors.mean()


def compile_ms(name: str, kind) -> float:
    """From nothing to an object, with the cache out of the way."""
    count = len(CASES[name][2][0](np.random.default_rng(0), 1, kind)) if name in ("pow", "atan2") else 1
    start = time.perf_counter()
    jit._Compiler().compile(probe.kernel(name, KINDS[kind], (KINDS[kind],) * count))
    return 1e3 * (time.perf_counter() - start)


def cell(pair) -> str:
    return "" if pair is None else f"{pair[0]:.2f} / {pair[1]:.2f}"


NEXT = "## Products and sums"
HEAD = """# Accuracy of the mathematical functions

Written by `tools/measure_accuracy.py`: largest / mean error in units of the last place (0.5 is the best that
there is), against mpmath, over intervals that cover the domain. Results are the same bits on every
machine with fused multiply-add, alone and fused, on one thread and on many.

Special values (infinities, nan, signed zeros, denormals) follow C. `sin`, `cos` and `tan` reduce every
argument exactly: by three parts of pi/2 up to 2^20 (float64: 2^30), by 192 bits of 2/pi beyond.
float16 and bfloat16 are computed in float32 and rounded. `lgamma` and `digamma` have the accuracy below
for positive arguments; near the zeros that they have elsewhere their error is absolute, not relative.

| function | float32 | NumPy | float64 | NumPy |
|---|---|---|---|---|
"""


def row(name: str) -> str:
    cells = [cell(c) for kind in (np.float32, np.float64) for c in measure(name, kind)]
    times = " ".join(f"{compile_ms(name, kind):.1f}" for kind in (np.float32, np.float64))
    print(f"{name:8}", *(f"{c:12}" for c in cells), f"  compiled in {times} ms", flush=True)
    return "| " + " | ".join([name, *cells]) + " |"


def main(names):
    rows = [row(name) for name in names or CASES]
    if not names:
        rest = TARGET.read_text().partition(NEXT)[2]        # what `python -m bench accuracy` writes
        TARGET.write_text(HEAD + "\n".join(rows) + "\n\n" + NEXT + rest)


if __name__ == "__main__":
    main(sys.argv[1:])
