"""Max pooling over windows of nearly equal distances that chance decides.

B. Graham, Fractional Max-Pooling, 2014: where windows begin follows from one number in [0, 1) for each
plane and axis.
"""
from __future__ import annotations

import numpy as np

from ... import ops
from ...ops.casting import listed
from ...tensor import Tensor

__all__ = ["fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d",
           "fractional_max_pool3d_with_indices"]


def _each(value, n):
    return (value,) * n if isinstance(value, (int, float)) else tuple(value)


def _size(name, x, n, output_size, output_ratio):
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if output_size is not None:
        return _each(output_size, n)
    ratio = _each(output_ratio, n)
    if len(ratio) > n:
        raise ValueError(f"{name} requires output_ratio to either be a single Int or tuple of Ints.")
    return tuple(int(m * r) for m, r in zip(x.shape[-n:], ratio))


def _check(name, x, n, kernel, size):
    if x.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"{name}(): Expected {n + 1}D or {n + 2}D tensor, but got: "
                           f"{list(x.shape)}")
    for axis, m, k, o in zip(("time", "height", "width")[-n:], x.shape[-n:], kernel, size):
        if o + k - 1 > m:
            raise RuntimeError(f"{name}(): pool {axis} {k} too large relative to input {axis} {m}")


def _starts(chance, n, k, count):
    """(N, C) numbers in [0, 1) to the (N, C, count) places where windows of k of n elements begin."""
    kind = np.dtype(chance.dtype.numpy).type
    step = float(kind(n - k) / kind(count - 1)) if count > 1 else 0.0
    chance = chance.unsqueeze(-1)
    at = ops.arange(count, dtype=chance.dtype)
    found = ((at + chance) * step).long() - (chance * step).long()
    last = ops.arange(count) == count - 1
    return ops.where(last, n - k, found)


def _pool(name, n, x, kernel_size, output_size, output_ratio, return_indices, chances):
    kernel, size = _each(kernel_size, n), _size(name, x, n, output_size, output_ratio)
    _check(name, x, n, kernel, size)
    batched = x.dim() == n + 2
    if chances is None:
        chances = ops.rand(x.size(0) if batched else 1, x.size(-n - 1), n, dtype=x.dtype)
    y = x if batched else x.unsqueeze(0)
    chances = chances[:y.size(0)]
    order = (1, 0) if n == 2 else (0, 1, 2)     # of the numbers, as PyTorch takes them
    place = None
    for d, m, k, count in zip(order, y.shape[-n:], kernel, size):
        along = _starts(chances[..., d], m, k, count).unsqueeze(-1) + ops.arange(k)
        place = along if place is None else _crossed(place * m, along)
    flat = place.reshape(*y.shape[:2], -1)
    seen = y.flatten(2).gather(2, flat).reshape(*y.shape[:2], *size, -1)
    best = seen.detach().argmax(-1, keepdim=True)
    index = flat.reshape(seen.shape).gather(-1, best).squeeze(-1)
    value = seen.gather(-1, best).squeeze(-1)
    if not batched:
        value, index = value.squeeze(0), index.squeeze(0)
    return (value, index) if return_indices else value


def _crossed(a, b):
    """Places (N, C, *sizes, k) and (N, C, size, k') of the next axis to (N, C, *sizes, size, k k')."""
    lead, extra = a.shape[:2], a.dim() - 3
    a = a.unsqueeze(-2).unsqueeze(-1)
    b = b.reshape(*lead, *[1] * extra, b.size(2), 1, b.size(3))
    return (a + b).flatten(-2)


def fractional_max_pool2d(input: Tensor, kernel_size, output_size=None, output_ratio=None,
                          return_indices: bool = False, _random_samples=None):
    """(N, C, H, W) or (C, H, W) to images of `output_size`, or `output_ratio` of theirs.

    Args:
        _random_samples: (N, C, 2) numbers in [0, 1), instead of drawn ones.
    """
    return _pool("fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio,
                 return_indices, _random_samples)


def fractional_max_pool3d(input: Tensor, kernel_size, output_size=None, output_ratio=None,
                          return_indices: bool = False, _random_samples=None):
    """(N, C, T, H, W) or (C, T, H, W) to volumes of `output_size`, or `output_ratio` of theirs.

    Args:
        _random_samples: (N, C, 3) numbers in [0, 1), instead of drawn ones.
    """
    return _pool("fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio,
                 return_indices, _random_samples)


def fractional_max_pool2d_with_indices(input: Tensor, kernel_size, output_size=None, output_ratio=None,
                                       return_indices: bool = False, _random_samples=None):
    """(values, indices) of fractional_max_pool2d."""
    return fractional_max_pool2d(input, kernel_size, output_size, output_ratio, True, _random_samples)


def fractional_max_pool3d_with_indices(input: Tensor, kernel_size, output_size=None, output_ratio=None,
                                       return_indices: bool = False, _random_samples=None):
    """(values, indices) of fractional_max_pool3d."""
    return fractional_max_pool3d(input, kernel_size, output_size, output_ratio, True, _random_samples)


listed(globals())
