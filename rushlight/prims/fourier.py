"""Discrete Fourier transforms: complex to complex, real to complex, and back to real.

Each is linear; `scale` multiplies the result. The gradient of one is another: the adjoint of a transform is
the transform in the other direction.
"""
from __future__ import annotations

import numpy as np

from .. import ops as o
from .complex import COMPLEX, drawn
from .table import Primitive, linear_tangent, same_dtype


def _scaled(y, scale, kind):
    y = y.astype(kind, copy=False)
    return y if scale == 1 else y * np.real(y).dtype.type(scale)


def _c2c(x, *, dims, scale, forward):
    y = np.fft.fftn(x, axes=dims) if forward else np.fft.ifftn(x, axes=dims, norm="forward")
    return _scaled(y, scale, x.dtype)


def _r2c(x, *, dims, scale, forward, half):
    """Of the last axis only the first half, if `half`: the rest are its conjugates."""
    kind = np.result_type(x.dtype, np.complex64)
    if half:
        y = np.fft.rfftn(x, axes=dims)
        return _scaled(y if forward else np.conj(y), scale, kind)
    return _c2c(x.astype(kind), dims=dims, scale=scale, forward=forward)


def _c2r(x, *, dims, n, scale):
    """Backwards; the last axis holds the first half of what n real numbers come from."""
    *others, last = dims
    y = np.fft.ifftn(x, axes=others, norm="forward") if others else x
    return _scaled(np.fft.irfft(y, n, axis=last, norm="forward"), scale, np.real(x).dtype)


def _half(shape, dim):
    return (*shape[:dim], shape[dim] // 2 + 1, *shape[dim + 1:])


def _halved(shapes, *, dims, half, **_):
    return _half(shapes[0], dims[-1]) if half else shapes[0]


def _whole(shapes, *, dims, n, **_):
    return (*shapes[0][:dims[-1]], n, *shapes[0][dims[-1] + 1:])


def _batch(prim, size, xs, batched, *, dims, **params):
    return prim(xs[0], dims=tuple(d + 1 for d in dims), **params)


def _samples(make, **params):
    cases = [((5,), (0,)), ((2, 6), (1,)), ((3, 4), (0, 1)), ((4, 3, 2), (2, 0)), ((7, 2), (0,)), ((19, 12), (1,)),
             ((5, 35, 8), (2, 1))]

    def samples(rng):
        return [((make(rng, shape, d),), dict(dims=dims, scale=scale, **more)) for d in (0, 1) for shape, dims in cases
                for scale in (1.0, 0.5) for more in params.get("each", ({},))]
    return samples


def _complex(rng, shape, wide):
    return drawn(rng, shape, COMPLEX[wide])


def _real(rng, shape, wide):
    return rng.uniform(-2, 2, shape).astype((np.float32, np.float64)[wide])


WAYS = ({"forward": True}, {"forward": False})
c2c = Primitive("fft_c2c", "host", _c2c, lambda shapes, **_: shapes[0], same_dtype,
                (lambda g, _y, _x, *, dims, scale, forward: c2c(g, dims=dims, scale=scale, forward=not forward),),
                linear_tangent(lambda t, **how: c2c(t, **how)), _batch, samples=_samples(_complex, each=WAYS), ulp=256)


def _r2c_gradient(g, _y, x, *, dims, scale, forward, half):
    missing = x.shape[dims[-1]] - g.shape[dims[-1]]
    if missing:
        g = o.cat([g, g.new_zeros(*g.shape[:dims[-1]], missing, *g.shape[dims[-1] + 1:])], dims[-1])
    return o.real_part(c2c(g, dims=dims, scale=scale, forward=not forward))


r2c = Primitive("fft_r2c", "host", _r2c, _halved, lambda ds, **_: ds[0].to_complex(), (_r2c_gradient,),
                linear_tangent(lambda t, **how: r2c(t, **how)), _batch, ulp=256,
                samples=_samples(_real, each=[{**way, "half": half} for way in WAYS for half in (False, True)
                                              if way["forward"] or not half]))


def _c2r_gradient(g, _y, x, *, dims, n, scale):
    """All but the first number, and the middle one if n is even, stand for two."""
    g = r2c(g, dims=dims, scale=scale, forward=True, half=True)
    last, m = dims[-1], g.shape[dims[-1]]
    twice = [2.0 if 0 < k < n - m + 1 else 1.0 for k in range(m)]
    return g * o.tensor(twice, dtype=g.dtype.to_real()).reshape([m if d == last else 1 for d in range(g.dim())])


def _halves(rng):
    cases = [((3,), (0,), 5), ((3,), (0,), 4), ((2, 4), (1,), 6), ((3, 4), (0, 1), 7), ((4, 3, 2), (2, 0), 6), ((1, 2), (0,), 1),
             ((19, 7), (1,), 12), ((5, 14, 4), (1, 2), 6)]
    return [((_complex(rng, shape, wide),), dict(dims=dims, n=n, scale=scale)) for wide in (0, 1)
            for shape, dims, n in cases for scale in (1.0, 0.5)]


c2r = Primitive("fft_c2r", "host", _c2r, _whole, lambda ds, **_: ds[0].to_real(), (_c2r_gradient,),
                linear_tangent(lambda t, **how: c2r(t, **how)), _batch, samples=_halves, ulp=256)
for prim, name in ((c2c, "FftC2CBackward0"), (r2c, "FftR2CBackward0"), (c2r, "FftC2RBackward0")):
    prim.gradient.name = name
