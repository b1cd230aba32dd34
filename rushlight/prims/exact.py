"""Operations on whole numbers and on digits that run by their NumPy meaning: gcd, lcm, nextafter, frexp."""
from __future__ import annotations

import numpy as np

from .samples import draws, integers
from .table import Primitive, _batch_pointwise, _slope_tangent, elementwise_shape, same_dtype

FLOATS = (np.float32, np.float64)


def _exact(name, arity, reference, samples):
    """A host primitive without a derivative."""
    def meaning(*xs):
        with np.errstate(all="ignore"):
            return np.asarray(reference(*xs)).astype(xs[0].dtype)
    flat = (None,) * arity
    return Primitive(name, "host", meaning, elementwise_shape, same_dtype, flat,
                     _slope_tangent(flat), _batch_pointwise, samples=samples)


gcd = _exact("gcd", 2, np.gcd, integers(-40, 41, 2, False))
lcm = _exact("lcm", 2, np.lcm, integers(-9, 10, 2, False))
nextafter = _exact("nextafter", 2, lambda x, y: np.nextafter(x, y), draws(-2, 2, 2, FLOATS))
mantissa = _exact("mantissa", 1, lambda x: np.frexp(x.astype(np.float64))[0],
                  draws(-9, 9, 1, FLOATS))
exponent = _exact("exponent", 1, lambda x: np.frexp(x.astype(np.float64))[1],
                  draws(-9, 9, 1, FLOATS))
