"""Complex numbers and their parts.

Gradients follow PyTorch: of a real loss with respect to z = a + ib it is dL/da + i dL/db, so that a holomorphic
function passes g on times the conjugate of its derivative (`slope` in table.py), and a linear map its adjoint.
"""
from __future__ import annotations

import numpy as np

from .. import ops as o
from .samples import SHAPES
from .table import pointwise

COMPLEX = (np.complex64, np.complex128)


def drawn(rng, shape, dtype, low=-2.0, high=2.0):
    """Complex numbers with both parts uniform."""
    return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)


def complexes(n=1):
    return lambda rng: [(tuple(drawn(rng, s, d) for _ in range(n)), {}) for d in COMPLEX for s in SHAPES]


def _real_pairs(rng):
    return [(tuple(rng.uniform(-2, 2, s).astype(d) for _ in range(2)), {}) for d in (np.float32, np.float64)
            for s in SHAPES]


def _to_real(ds, **_):
    return ds[0].to_real()


def _to_complex(ds, **_):
    return ds[0].to_complex()


def _join(a, b):
    y = np.empty(np.broadcast_shapes(np.shape(a), np.shape(b)), np.result_type(a, np.complex64))
    y.real, y.imag = a, b
    return y


def host_only(k, *_):
    """Complex numbers have no scalar instructions."""
    raise NotImplementedError


conj = pointwise("conj", numpy=np.conj, body=host_only, samples=complexes(),
                 vjp=(lambda g, _y, _x: o.conj_physical(g),), jvp=lambda ts, y, x: conj(ts[0]), arity=1)
real = pointwise("real", numpy=np.real, dtype=_to_real, body=host_only, samples=complexes(), arity=1,
                 vjp=(lambda g, _y, _x: g,), jvp=lambda ts, y, x: real(ts[0]))
imag = pointwise("imag", numpy=np.imag, dtype=_to_real, body=host_only, samples=complexes(), arity=1,
                 vjp=(lambda g, _y, _x: o.times_i(g),), jvp=lambda ts, y, x: imag(ts[0]))
join = pointwise("complex", numpy=_join, dtype=_to_complex, body=host_only, samples=_real_pairs,
                 vjp=(lambda g, _y, _a, _b: real(g), lambda g, _y, _a, _b: imag(g)), arity=2,
                 jvp=lambda ts, y, a, b: join(*(o.zeros_like(x) if t is None else t for t, x in zip(ts, (a, b)))))


def _sgn_tangent(t, y, x):
    """How z / |z| moves when z does: what is along z changes nothing."""
    size = o.where(x == 0, 1, x.abs())
    return o.where(x == 0, 0, (t - real(t * o.conj(y)) * y) / size)


sgn = pointwise("sgn", numpy=lambda x: np.sign(x).astype(x.dtype), body=host_only, samples=complexes(), arity=1,
                vjp=(lambda g, y, x: _sgn_tangent(g, y, x),), jvp=lambda ts, y, x: _sgn_tangent(ts[0], y, x))
