"""Padding and pooling windows."""
from __future__ import annotations

import math

import numpy as np

from .cast_lists import FULL
from .casting import aware
from .. import dtypes
from ..autograd.function import differentiable
from ..autograd.grad_mode import mode
from ..autograd.node import is_tracked, named
from ..compiler.sizes import whole
from ..layout import packed
from ..prims import reduce as r
from ..autograd.recall import lasting, recalled
from ..prims.index import gather
from .create import arange, full, tensor
from .formats import laid_out, like_images
from .index import INDEX_SELECT, flip
from .promote import apply
from .shape import as_strided, cat, expand, slice_


def _pad_gradient(g, _y, _x, *, pad, value):
    for i in range(0, len(pad), 2):
        d = g.dim() - 1 - i // 2
        low, high = max(pad[i], 0), max(pad[i + 1], 0)
        g = slice_(g, d, low, g.shape[d] - high)
    cut = [-min(p, 0) for p in pad]
    return constant_pad(g, cut, 0) if any(cut) else g


@differentiable("ConstantPadNdBackward0", vjp=(_pad_gradient,))
def _constant_pad(x, *, pad, value):
    for i in range(0, len(pad), 2):         # negative amounts crop
        d = x.dim() - 1 - i // 2
        low, high = max(-pad[i], 0), max(-pad[i + 1], 0)
        if low or high:
            x = slice_(x, d, low, x.shape[d] - high)
    if not any(p > 0 for p in pad):
        return x.clone() if x._root is None else x.contiguous().clone()
    shape = list(x.shape)
    for i in range(0, len(pad), 2):
        shape[x.dim() - 1 - i // 2] += max(pad[i], 0) + max(pad[i + 1], 0)
    y = full(shape, value, dtype=x.dtype)
    inner = y
    for i in range(0, len(pad), 2):
        d = x.dim() - 1 - i // 2
        inner = slice_(inner, d, max(pad[i], 0), max(pad[i], 0) + x.shape[d])
    inner.copy_(x)
    return y


def constant_pad_nd(input, pad, value=0):
    """Borders of one value; pairs (before, after) run from the last axis backwards; negative ones crop."""
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    if len(pad) > 2 * input.dim():
        raise RuntimeError("Length of pad should be no more than twice the number of dimensions of the input. Pad length is "
                           f"{len(pad)} while the input has {input.dim()} dimensions.")
    return constant_pad(input, pad, value)


def constant_pad(x, pad, value=0):
    """Borders of one value; pairs (before, after) run from the last axis backwards; negative ones crop."""
    pad = tuple([whole(p) for p in pad])
    for i in range(0, len(pad), 2):
        d = x.dim() - 1 - i // 2
        if x.shape[d] + pad[i] + pad[i + 1] < 0:
            raise RuntimeError(f"The input size {x.shape[d]}, plus negative padding {pad[i]} and {pad[i + 1]} resulted in a "
                               f"negative output size, which is invalid. Check dimension {d} of your input.")
    return _constant_pad(x, pad=pad, value=bool(value) if x.dtype is dtypes.bool else value if x.dtype.rank > 1 else int(value))


@lasting
def border_index(n, low, high, mode):
    """Where each entry of a padded axis comes from, for reflect, replicate and circular borders."""
    i = np.arange(-low, n + high)
    if mode == "replicate":
        at = i.clip(0, n - 1)
    elif mode == "circular":
        at = i % n
    else:
        at = (n - 1) - abs((n - 1) - abs(i))
    return [tensor(at)]


@recalled("input value#")
def pad(input, pad, mode="constant", value=None):
    """Borders around the last axes: constant, reflect, replicate or circular."""
    pad = tuple(pad)
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) // 2 > input.dim():
        raise RuntimeError("Padding length should be less than or equal to two times the input dimension but got padding "
                           f"length {len(pad)} and input of dimension {input.dim()}")
    if mode == "constant":
        return like_images(constant_pad(input, pad, 0 if value is None else value), input)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if len(pad) // 2 not in (input.dim() - 1, input.dim() - 2):
        raise NotImplementedError("Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now")
    if mode == "circular":
        y = _continued(input, pad, mode)
        return laid_out(y, packed(y.layout.shape))
    y = (_continued if mode == "reflect" and len(pad) == 6 else _continued_in_full)(input, pad, mode)
    return like_images(named(y, f"{'Reflection' if mode == 'reflect' else 'Replication'}Pad{len(pad) // 2}DBackward0"), input)


def _edges(n, low, high, mode):
    """(first, how many) of the entries of an axis that its two borders are made of."""
    if mode == "circular":
        return (n - low, low), (0, high)
    if mode == "reflect":
        return (1, low), (n - 1 - high, high)
    return (0, 1), (n - 1, 1)


def _bordered_gradient(g, _y, _x, *, d, low, high, mode):
    n = g.shape[d] - low - high
    h = g.narrow(d, low, n).contiguous().clone()
    for (first, count), at, width in zip(_edges(n, low, high, mode), (0, low + n), (low, high)):
        border = g.narrow(d, at, width)
        h.narrow(d, first, count).add_(border.sum(d, keepdim=True) if mode == "replicate" else
                                       flip(border, d) if mode == "reflect" else border)
    return h


@differentiable("PadBackward0", vjp=(_bordered_gradient,))
def _bordered(x, *, d, low, high, mode):
    """One axis continued: what is at its ends, what is inside, joined."""
    parts = [x.narrow(d, *edge) for edge in _edges(x.shape[d], low, high, mode)]
    if mode == "replicate":
        parts = [part.expand(*part.shape[:d], width, *part.shape[d + 1:]) for part, width in zip(parts, (low, high))]
    elif mode == "reflect":
        parts = [flip(part, d) for part in parts]
    return cat([parts[0], x, parts[1]], d)


def _check_borders(size, pad, mode):
    for i in range(0, len(pad), 2):
        d = len(size) - 1 - i // 2
        low, high, n = pad[i], pad[i + 1], size[d]
        if mode == "reflect" and max(low, high) >= n:
            raise RuntimeError("Argument #4: Padding size should be less than the corresponding input dimension, but got: "
                               f"padding ({low}, {high}) at dimension {d} of input {list(size)}")
        if mode == "circular" and max(low, high) > n:
            raise RuntimeError("Padding value causes wrapping around more than once.")


def _cropped(x, pad):
    """x without what negative amounts take away, and the amounts that remain."""
    for i in range(0, len(pad), 2):
        d = x.dim() - 1 - i // 2
        if min(pad[i], pad[i + 1]) < 0:
            x = slice_(x, d, max(-pad[i], 0), x.shape[d] - max(-pad[i + 1], 0))
    return x, tuple(max(p, 0) for p in pad)


def _continued(input, pad, mode):
    """Borders that repeat what is inside; what is cropped can still be reflected and replicated."""
    _check_borders(input.layout.shape, pad, mode)
    if mode == "circular" and min(pad) < 0:
        input, pad = _cropped(input, pad)
    size = tuple(input.layout.shape)
    shape, coords, indices = list(size), list(range(len(size))), []
    for i in range(0, len(pad), 2):
        d = len(size) - 1 - i // 2
        low, high, n = pad[i], pad[i + 1], size[d]
        if low or high:
            shape[d], coords[d] = low + n + high, -1 - len(indices)
            indices.append(border_index(n, low, high, mode)[0].reshape([-1] + [1] * (len(size) - 1 - d)))
    if not indices:
        return input.contiguous().clone()
    if len(indices) == 1 and min(pad) >= 0:
        d = next(d for d, e in enumerate(coords) if e < 0)
        i = 2 * (len(size) - 1 - d)
        return _bordered(input, d=d, low=pad[i], high=pad[i + 1], mode=mode)
    lined = [expand(at, tuple(shape)) for at in indices]
    params = dict(coords=tuple(coords), shape=tuple(shape), size=size, wrap=False, error="gather")
    return apply(gather, (input, *lined), params, INDEX_SELECT)


_continued_in_full = aware(_continued, FULL)        # what autocast does not compute in 16 bits


# -- pooling -----------------------------------------------------------------------------------------------------
def pool_size(n, k, s, p, d, ceil_mode):
    """Number of windows along an axis; in ceil mode the last must start inside the image or its left padding."""
    span = n + 2 * p - d * (k - 1) - 1
    out = (-(-span // s) if ceil_mode else span // s) + 1
    return out - 1 if ceil_mode and (out - 1) * s >= n + p else out


def windows(x, kernel, stride, padding, dilation, ceil_mode, border):
    """x (*, spatial) seen as (*, out, kernel): a view of x, bordered by `border` where windows leave it."""
    n = len(kernel)
    spatial = x.shape[-n:]
    out = [pool_size(*a, ceil_mode) for a in zip(spatial, kernel, stride, padding, dilation)]
    if any(o <= 0 for o in out):
        raise RuntimeError(f"Given input size: ({'x'.join(map(str, x.shape[-n - 1:]))}). Calculated output size: "
                           f"({'x'.join(map(str, [x.shape[-n - 1], *out]))}). Output size is too small")
    need = [(o - 1) * s + d * (k - 1) + 1 - p - m
            for o, s, d, k, p, m in zip(out, stride, dilation, kernel, padding, spatial)]
    if any(padding) or any(m > 0 for m in need):
        x = constant_pad(x, [v for p, m in zip(reversed(padding), reversed(need)) for v in (p, max(m, 0))], border)
    lead, inner = x.stride()[:-n], x.stride()[-n:]
    size = (*x.shape[:-n], *out, *kernel)
    strides = (*lead, *[a * s for a, s in zip(inner, stride)], *[a * d for a, d in zip(inner, dilation)])
    return as_strided(x, size, strides, x.storage_offset())


def window_index(at, spatial, kernel, stride, padding, dilation):
    """Flat image index of the element number `at` (row-major) of each window."""
    n = len(kernel)
    flat, rest = None, at
    for a in reversed(range(n)):
        rest, k = _divmod(rest, kernel[a], math.prod(kernel)) if a else (None, rest)
        start = arange(at.shape[at.dim() - n + a]).mul(stride[a]).sub(padding[a])
        place = k * dilation[a] + start.reshape([-1] + [1] * (n - 1 - a))
        scale = math.prod(spatial[a + 1:])
        flat = place * scale if flat is None else flat + place * scale
    return flat


def _divmod(x, k, bound):
    """(x // k, x % k) of whole numbers 0 <= x < bound, by a multiplication where that is exact.

    With m = ceil(2^16 / k) the error x (m k - 2^16) / (2^16 k) stays below 1 / k while x k < 2^16.
    """
    if bound * k <= 1 << 16:
        q = (x * -(-(1 << 16) // k)) >> 16
    else:
        q = x.div(k, rounding_mode="floor")
    return q, x - q * k


def _max_pool_gradient(g, _y, _x, at, *, shape, n, **_):
    flat = g.flatten(-n)
    return g.new_zeros((*shape[:-n], math.prod(shape[-n:]))).scatter_add(-1, at.reshape(flat.shape), flat).reshape(shape)


@differentiable("MaxPoolWithIndicesBackward0", vjp=(_max_pool_gradient, None))
def _pick(x, at, *, shape, n):
    return x.flatten(-n).gather(-1, at.flatten(-n)).reshape(at.shape)


def max_pool(x, kernel, stride, padding, dilation, ceil_mode):
    """(values, indices) of the largest element of each window; indices count in the flat image."""
    n, shape = len(kernel), x.layout.shape
    for name, values in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
        if min(values) <= 0:
            raise RuntimeError(f"max_pool{n}d() {name} must be greater than zero, but got {min(values)}")
    lowest = float("-inf") if x.dtype.rank == 2 else dtypes.iinfo(x.dtype).min
    seen = windows(x.detach(), kernel, stride, padding, dilation, ceil_mode, lowest)
    dims = tuple(range(seen.dim() - n, seen.dim()))
    at = window_index(r.argmax(seen, dims=dims), shape[-n:], kernel, stride, padding, dilation)
    if not (mode.enabled and is_tracked(x)):        # mostly nobody looks at the indices, and they are not computed
        return r.amax(seen, dims=dims), at
    return _pick(x, at, shape=shape, n=n), at
