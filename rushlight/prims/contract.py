"""Contractions: batched matrix product and convolution with its two gradients.

Each is bilinear, so each one's gradients are the other members of its family:
convolution y = x * w has dx = conv_input_grad(g, w) and dw = conv_weight_grad(g, x).
Sources: the transposes follow from the sum y[n,o,p] = sum_{c,k} x[n,c,p s + k d - pad] w[o,c,k].
"""
from __future__ import annotations

import numpy as np

from .table import Primitive, bilinear_tangent, same_dtype


def _floats(x):
    """Contractions of narrow floats accumulate in float32."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x


# -- matmul: [..., m, k] @ [..., k, n], equal batch axes ------------------------------------------------
def _matmul_shape(shapes):
    a, b = shapes
    return (*a[:-1], b[-1])


def _matmul_reference(a, b):
    if a.dtype == bool:
        return (a.astype(np.int64) @ b.astype(np.int64)).astype(bool)
    return (_floats(a) @ _floats(b)).astype(a.dtype)


def _matmul_batch(prim, size, xs, batched):
    """One product with the batch axis among the rows where only one operand has it, else one for each entry."""
    a, b = xs
    if not batched[1] and b.dim() == 2:
        return matmul(a.flatten(0, 1), b).unflatten(0, (size, -1))
    if not batched[0] and a.dim() == 2 and b.shape[-1] == 1:
        return matmul(b.flatten(1), a.mT).unsqueeze(-1)
    a, b = (x if on else x.unsqueeze(0).expand(size, *x.shape) for x, on in zip(xs, batched))
    return a * b if a.shape[-1] == 1 else matmul(a, b)


def _matmul_samples(rng):
    shapes = [((3, 4), (4, 5)), ((1, 17), (17, 1)), ((2, 3, 5), (2, 5, 4)), ((33, 70), (70, 19)), ((2, 0), (0, 3)),
              ((64, 300), (300, 33))]
    return [(tuple(rng.uniform(-1, 1, s).astype(d) for s in pair), {}) for d in (np.float32, np.float64) for pair in shapes]


matmul = Primitive("matmul", "contract", _matmul_reference, _matmul_shape, same_dtype,
                   (lambda g, _y, _a, b: g @ b.mH, lambda g, _y, a, _b: a.mH @ g),
                   bilinear_tangent(lambda a, b: matmul(a, b)), _matmul_batch, samples=_matmul_samples, ulp=64)


# -- convolution ------------------------------------------------------------------------------------------
def out_size(n, k, stride, padding, dilation):
    return (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1


def _windows(x, kernel, stride, padding, dilation):
    """The padded image seen as [n, c, *out, *kernel], without a copy beyond the padding."""
    x = np.pad(x, [(0, 0), (0, 0)] + [(p, p) for p in padding])
    out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]
    strides = [b * s for b, s in zip(x.strides[2:], stride)] + [b * d for b, d in zip(x.strides[2:], dilation)]
    return np.lib.stride_tricks.as_strided(x, (*x.shape[:2], *out, *kernel), (*x.strides[:2], *strides), writeable=False)


def _conv_shape(shapes, stride, padding, dilation, groups):
    x, w = shapes
    return (x[0], w[0], *map(out_size, x[2:], w[2:], stride, padding, dilation))


def _conv_reference(x, w, *, stride, padding, dilation, groups):
    nd = x.ndim - 2
    cols = _windows(_floats(x), w.shape[2:], stride, padding, dilation)
    cols = cols.reshape(x.shape[0], groups, x.shape[1] // groups, *cols.shape[2:])
    ws = _floats(w).reshape(groups, w.shape[0] // groups, *w.shape[1:])
    spatial = list(range(3 + nd, 3 + 2 * nd))
    parts = [np.tensordot(cols[:, g], ws[g], axes=([1] + [a - 1 for a in spatial], list(range(1, nd + 2))))
             for g in range(groups)]                                            # [n, *out, o]
    return np.moveaxis(np.concatenate(parts, -1), -1, 1).astype(x.dtype)


def _input_grad_shape(shapes, *, size, **_):
    return (shapes[0][0], *size)


def _input_grad_reference(g, w, *, size, stride, padding, dilation, groups):
    """Scatter each window's product back: x[n, c, p s + k d - pad] += sum_o g[n, o, p] w[o, c, k]."""
    n, kernel = g.shape[0], w.shape[2:]
    full = np.zeros((n, size[0], *(m + 2 * p for m, p in zip(size[1:], padding))), _floats(g).dtype)
    gs = _floats(g).reshape(n, groups, -1, *g.shape[2:])
    ws = _floats(w).reshape(groups, w.shape[0] // groups, *w.shape[1:])
    for at in np.ndindex(*kernel):
        part = np.einsum("ngo...,goc->ngc...", gs, ws[(slice(None),) * 3 + at]).reshape(n, size[0], *g.shape[2:])
        where = tuple(slice(k * d, k * d + (m - 1) * s + 1, s) for k, d, m, s in zip(at, dilation, g.shape[2:], stride))
        full[(slice(None), slice(None)) + where] += part
    crop = tuple(slice(p, p + m) for p, m in zip(padding, size[1:]))
    return full[(slice(None), slice(None)) + crop].astype(g.dtype)


def _weight_grad_shape(shapes, *, size, groups, **_):
    g, x = shapes
    return (g[1], x[1] // groups, *size)


def _weight_grad_reference(g, x, *, size, stride, padding, dilation, groups):
    cols = _windows(_floats(x), size, stride, padding, dilation)
    cut = (slice(None), slice(None)) + tuple(slice(0, m) for m in g.shape[2:])
    cols = cols[cut].reshape(x.shape[0], groups, -1, *g.shape[2:], *size)
    gs = _floats(g).reshape(g.shape[0], groups, -1, *g.shape[2:])
    axes = [0] + list(range(2, g.ndim))
    return np.concatenate([np.tensordot(gs[:, k], cols[:, k], axes=(axes, axes)) for k in range(groups)]).astype(g.dtype)


def geometry(stride, padding, dilation, groups):
    return dict(stride=stride, padding=padding, dilation=dilation, groups=groups)


def _conv_batch(prim, n, xs, batched, /, *, groups, **params):
    """Fold the batch axis into images (x batched) or into groups (both, or only the second batched)."""
    a, b = xs
    if not batched[1]:
        return prim(a.flatten(0, 1), b, groups=groups, **params).unflatten(0, (n, -1))
    a = a if batched[0] else a.unsqueeze(0).expand(n, *a.shape)
    return _grouped(prim, n, a, b, groups, params)


def _grouped(prim, n, a, b, groups, params):
    """One convolution of n x groups: the batch axis stands before the channels of both operands."""
    if prim is conv:
        y = conv(a.movedim(0, 1).flatten(1, 2), b.flatten(0, 1), groups=groups * n, **params)
        return y.unflatten(1, (n, -1)).movedim(1, 0)
    if prim is conv_input_grad:
        channels, *spatial = params["size"]
        y = conv_input_grad(a.movedim(0, 1).flatten(1, 2), b.flatten(0, 1), groups=groups * n,
                            **{**params, "size": (channels * n, *spatial)})
        return y.unflatten(1, (n, -1)).movedim(1, 0)
    y = conv_weight_grad(a.movedim(0, 1).flatten(1, 2), b.movedim(0, 1).flatten(1, 2), groups=groups * n, **params)
    return y.unflatten(0, (n, -1))


def _weight_grad_batch(prim, n, xs, batched, /, *, groups, **params):
    a, b = (x if on else x.unsqueeze(0).expand(n, *x.shape) for x, on in zip(xs, batched))
    return _grouped(prim, n, a, b, groups, params)


_CASES = [  # x shape, w shape, stride, padding, dilation, groups
    ((2, 3, 8, 9), (4, 3, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((2, 4, 9, 7), (6, 2, 3, 2), (2, 1), (1, 1), (1, 2), 2),
    ((1, 4, 11), (4, 1, 5), (2,), (2,), (1,), 4),
    ((2, 2, 4, 5, 6), (3, 2, 2, 3, 2), (1, 2, 1), (1, 0, 1), (1, 1, 2), 1),
    ((3, 16, 6, 6), (32, 16, 1, 1), (1, 1), (0, 0), (1, 1), 1)]


def _conv_samples(make):
    return lambda rng: [make(rng, d, *case) for d in (np.float32, np.float64) for case in _CASES]


def _draw(rng, d, *shapes):
    return tuple(rng.uniform(-1, 1, s).astype(d) for s in shapes)


def _case_conv(rng, d, x, w, *geo):
    return _draw(rng, d, x, w), geometry(*geo)


def _case_input(rng, d, x, w, *geo):
    y = _conv_shape((x, w), *geo)
    return _draw(rng, d, y, w), dict(size=x[1:], **geometry(*geo))


def _case_weight(rng, d, x, w, *geo):
    y = _conv_shape((x, w), *geo)
    return _draw(rng, d, y, x), dict(size=w[2:], **geometry(*geo))


def _cut(y, like):
    """The leading places of each axis of an image: a large output padding has room for more windows."""
    for d in range(2, y.dim()):
        y = y if y.shape[d] == like.shape[d] else y.narrow(d, 0, like.shape[d])
    return y


conv = Primitive(
    "conv", "contract", _conv_reference, _conv_shape, same_dtype,
    (lambda g, _y, x, w, **geo: conv_input_grad(g, w.conj(), size=tuple(x.shape[1:]), **geo),
     lambda g, _y, x, w, **geo: conv_weight_grad(g, x.conj(), size=tuple(w.shape[2:]), **geo)),
    bilinear_tangent(lambda x, w, **geo: conv(x, w, **geo)), _conv_batch, samples=_conv_samples(_case_conv), ulp=64)

conv_input_grad = Primitive(
    "conv_input_grad", "contract", _input_grad_reference, _input_grad_shape, same_dtype,
    (lambda t, _y, g, w, *, size, **geo: _cut(conv(t, w.conj(), **geo), g),
     lambda t, _y, g, w, *, size, **geo: conv_weight_grad(g.conj(), t, size=tuple(w.shape[2:]), **geo)),
    bilinear_tangent(lambda g, w, **p: conv_input_grad(g, w, **p)),
    _conv_batch,
    samples=_conv_samples(_case_input), ulp=64)

conv_weight_grad = Primitive(
    "conv_weight_grad", "contract", _weight_grad_reference, _weight_grad_shape, same_dtype,
    (lambda t, _y, g, x, *, size, **geo: _cut(conv(x.conj(), t, **geo), g),
     lambda t, _y, g, x, *, size, **geo: conv_input_grad(g.conj(), t, size=tuple(x.shape[1:]), **geo)),
    bilinear_tangent(lambda g, x, **p: conv_weight_grad(g, x, **p)), _weight_grad_batch,
    samples=_conv_samples(_case_weight), ulp=64)
CONTRACTIONS = (matmul, conv, conv_input_grad, conv_weight_grad)
