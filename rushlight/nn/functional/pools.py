"""Pooling: maxima, means and power means over windows."""
from __future__ import annotations

import math

import numpy as np

from ... import ops
from ...autograd.node import named
from ...autograd.recall import lasting, recalled
from ...compiler.sizes import whole
from ...ops.formats import keeps_format, like_images
from ...tensor import Tensor


def _tuple(value, n, name):
    if isinstance(value, int):
        return (value,) * n
    values = tuple([whole(v) for v in value])
    if len(values) not in (1, n):
        raise RuntimeError(f"{name} must either be a single int, or a tuple of {n} ints")
    return values * n if len(values) == 1 else values


def _window(n, kernel_size, stride, padding):
    """(kernel, stride, padding) as tuples; the stride is the kernel unless given."""
    kernel = _tuple(kernel_size, n, "kernel_size")
    stride = (kernel if stride is None or stride == [] or stride == ()
              else _tuple(stride, n, "stride"))
    padding = _tuple(padding, n, "padding")
    if min(stride) <= 0:
        raise RuntimeError("stride should not be zero")
    if min(kernel) <= 0:
        raise RuntimeError(f"kernel size should be greater than zero, but got {kernel}")
    if any(p > k // 2 or p < 0 for p, k in zip(padding, kernel)):
        raise RuntimeError("pad should be at most half of effective kernel size, but got "
                           f"pad={max(padding)}, kernel_size={min(kernel)} and dilation=1"
                           if min(padding) >= 0
                           else f"pad must be non-negative, but got pad: {min(padding)}")
    return kernel, stride, padding


def _batched(x, n, name):
    if x.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"{name}: non-empty {n + 1}D or {n + 2}D (batch mode) tensor expected "
                           f"for input, but got {list(x.shape)}")
    return x if x.dim() == n + 2 else x.unsqueeze(0)


def _check_sizes(x, sizes):
    if min(sizes) < 1:
        given = "x".join(map(str, x.shape[1:]))
        raise RuntimeError(f"Given input size: ({given}). Calculated output size: "
                           f"({'x'.join(map(str, (x.shape[1], *sizes)))}). Output size is too "
                           "small")


def _called(n, name):
    """What the tape says of a pool of n axes; PyTorch makes those of lines from those of images."""
    return "SqueezeBackward1" if n == 1 else name.format(n=n) + "Backward0"


# -- maxima ----------------------------------------------------------------------------------------
def _max_pool(name, n, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    kernel, stride, padding = _window(n, kernel_size, stride, padding)
    dilation = _tuple(dilation, n, "dilation")
    x = _batched(input, n, name)
    _check_sizes(x, [ops.pool_size(m, *w, ceil_mode)
                     for m, *w in zip(x.shape[2:], kernel, stride, padding, dilation)])
    values, indices = ops.max_pool(x, kernel, stride, padding, dilation, bool(ceil_mode))
    values = named(values, _called(n, "MaxPool{n}DWithIndices"))
    if x is not input:
        values, indices = values.squeeze(0), indices.squeeze(0)
    return (values, indices) if return_indices else values


@recalled("input")
def max_pool1d(input: Tensor, kernel_size, stride=None, padding=0, dilation=1,
               ceil_mode: bool = False, return_indices: bool = False) -> Tensor:
    """Maxima over windows of (N, C, L)."""
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode,
                     return_indices)


@recalled("input")
@keeps_format
def max_pool2d(input: Tensor, kernel_size, stride=None, padding=0, dilation=1,
               ceil_mode: bool = False, return_indices: bool = False) -> Tensor:
    """Maxima over windows of (N, C, H, W).

    With `return_indices` also their places in each H W plane.
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode,
                     return_indices)


@recalled("input")
@keeps_format
def max_pool3d(input: Tensor, kernel_size, stride=None, padding=0, dilation=1,
               ceil_mode: bool = False, return_indices: bool = False) -> Tensor:
    """Maxima over windows of (N, C, D, H, W)."""
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode,
                     return_indices)


def max_pool1d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                            return_indices=False):
    """`max_pool1d` with the places of the maxima."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                            return_indices=False):
    """`max_pool2d` with the places of the maxima."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                            return_indices=False):
    """`max_pool3d` with the places of the maxima."""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def _unpooled_size(x, kernel, stride, padding, output_size):
    default = [(m - 1) * s - 2 * p + k for m, s, p, k in zip(x.shape[2:], stride, padding, kernel)]
    if output_size is None:
        return default
    sizes = list(output_size)[-len(kernel):]
    for d, (size, m, s) in enumerate(zip(sizes, default, stride)):
        if not m - s < size < m + s:
            raise ValueError(f"invalid output_size {sizes} (dim {d} must be between {m - s} and "
                             f"{m + s})")
    return sizes


def _max_unpool(n, input, indices, kernel_size, stride, padding, output_size):
    kernel = _tuple(kernel_size, n, "kernel_size")
    stride = kernel if stride is None else _tuple(stride, n, "stride")
    padding = _tuple(padding, n, "padding")
    if input.shape != indices.shape:
        raise RuntimeError("Expected shape of indices to be same as that of the input tensor "
                           f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}")
    x, places = (t if t.dim() == n + 2 else t.unsqueeze(0) for t in (input, indices))
    size = _unpooled_size(x, kernel, stride, padding, output_size)
    plane = ops.zeros(*x.shape[:2], math.prod(size), dtype=x.dtype)
    y = ops.unpooled(plane, places.flatten(2), x.flatten(2)).reshape(*x.shape[:2], *size)
    y = named(y, f"MaxUnpool{max(n, 2)}DBackward0")
    return y if x is input else y.squeeze(0)


@recalled("input indices")
def max_unpool1d(input: Tensor, indices: Tensor, kernel_size, stride=None, padding=0,
                 output_size=None) -> Tensor:
    """Put maxima back to their places, zeros elsewhere."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


@recalled("input indices")
@keeps_format
def max_unpool2d(input: Tensor, indices: Tensor, kernel_size, stride=None, padding=0,
                 output_size=None) -> Tensor:
    """Put maxima back to their places, zeros elsewhere."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


@recalled("input indices")
def max_unpool3d(input: Tensor, indices: Tensor, kernel_size, stride=None, padding=0,
                 output_size=None) -> Tensor:
    """Put maxima back to their places, zeros elsewhere."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


# -- means -----------------------------------------------------------------------------------------
def _counts(m, size, kernel, stride, padding, include_pad):
    """How many elements each window of an axis counts."""
    if not padding and (size - 1) * stride + kernel <= m:
        return [kernel]         # all of them alike
    low, high = (-padding, m + padding) if include_pad else (0, m)
    starts = [i * stride - padding for i in range(size)]
    return [min(s + kernel, high) - max(s, low) for s in starts]


def _averaged(x, kernel, stride):
    """Sums over windows without padding.

    By reshaping where windows tile the image, else a convolution.
    """
    n = len(kernel)
    if kernel == stride:
        sizes = [m // k for m, k in zip(x.shape[2:], kernel)]
        for d, (size, k) in enumerate(zip(sizes, kernel)):
            x = x.narrow(2 + d, 0, size * k) if size * k != x.size(2 + d) else x
        split = [part for size, k in zip(sizes, kernel) for part in (size, k)]
        return x.reshape(*x.shape[:2], *split).sum(tuple(range(3, 3 + 2 * n, 2)))
    flat = x.reshape(-1, 1, *x.shape[2:])
    y = ops.conv(flat, ops.ones(1, 1, *kernel, dtype=x.dtype), None, stride, n=n)
    return y.reshape(*x.shape[:2], *y.shape[2:])


def _avg_pool(name, n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor):
    kernel, stride, padding = _window(n, kernel_size, stride, padding)
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    x = _batched(input, n, name)
    sizes = [ops.pool_size(m, k, s, p, 1, ceil_mode)
             for m, k, s, p in zip(x.shape[2:], kernel, stride, padding)]
    _check_sizes(x, sizes)
    ends = [max((z - 1) * s + k - m - p, 0)
            for z, s, k, m, p in zip(sizes, stride, kernel, x.shape[2:], padding)]
    sides = [side for p, e in zip(reversed(padding), reversed(ends)) for side in (p, e)]
    total = _averaged(ops.pad(x, sides) if any(sides) else x, kernel, stride)
    counts = [_counts(m, z, k, s, p, count_include_pad)
              for m, z, k, s, p in zip(x.shape[2:], sizes, kernel, stride, padding)]
    y = (total / divisor if divisor else _divided(total, counts)).to(input.dtype)
    y = named(y, _called(n, "AvgPool{n}D"))
    return y if x is input else y.squeeze(0)


def _divided(total, counts):
    """Divide by the product of each axis' counts."""
    if all(len(set(c)) == 1 for c in counts):
        return total / math.prod(c[0] for c in counts)
    for d, c in enumerate(counts):
        shape = [1] * total.dim()
        shape[2 + d] = len(c)
        total = total / ops.tensor(c, dtype=total.dtype).reshape(shape)
    return total


@recalled("input")
def avg_pool1d(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Tensor:
    """Means over windows of (N, C, L)."""
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode,
                     count_include_pad, None)


@recalled("input")
@keeps_format
def avg_pool2d(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """Means over windows of (N, C, H, W)."""
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode,
                     count_include_pad, divisor_override)


@recalled("input")
def avg_pool3d(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """Means over windows of (N, C, D, H, W)."""
    return _avg_pool("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode,
                     count_include_pad, divisor_override)


def _lp_pool(n, avg_pool, input, norm_type, kernel_size, stride, ceil_mode):
    kernel = _tuple(kernel_size, n, "kernel_size")
    means = avg_pool(input.pow(norm_type), kernel, stride, 0, ceil_mode)
    return (ops.sign(means) * ops.relu(ops.abs(means))).mul(math.prod(kernel)).pow(1.0 / norm_type)


@recalled("input")
def lp_pool1d(input: Tensor, norm_type: float, kernel_size, stride=None,
              ceil_mode: bool = False) -> Tensor:
    """(sum of x^p)^(1/p) over windows."""
    return _lp_pool(1, avg_pool1d, input, norm_type, kernel_size, stride, ceil_mode)


@recalled("input")
def lp_pool2d(input: Tensor, norm_type: float, kernel_size, stride=None,
              ceil_mode: bool = False) -> Tensor:
    """(sum of x^p)^(1/p) over windows."""
    return _lp_pool(2, avg_pool2d, input, norm_type, kernel_size, stride, ceil_mode)


@recalled("input")
def lp_pool3d(input: Tensor, norm_type: float, kernel_size, stride=None,
              ceil_mode: bool = False) -> Tensor:
    """(sum of x^p)^(1/p) over windows."""
    return _lp_pool(3, avg_pool3d, input, norm_type, kernel_size, stride, ceil_mode)


# -- windows by output size ------------------------------------------------------------------------
def _output_sizes(n, x, output_size):
    sizes = ((output_size,) * n if isinstance(output_size, int) or output_size is None
             else tuple(output_size))
    if len(sizes) != n:
        raise RuntimeError(f"adaptive pooling: output_size must be {n}, but got {len(sizes)} sizes")
    return [m if s is None else s for s, m in zip(sizes, x.shape[-n:])]


def _bounds(m, size):
    """Where the windows of an axis begin and end: they cover it evenly, overlapping if need be."""
    return [(i * m // size, -(-(i + 1) * m // size)) for i in range(size)]


def _adaptive_mean(x, dim, size):
    m = x.size(dim)
    if size == m:
        return x
    if size and m % size == 0:
        return x.unflatten(dim, (size, m // size)).mean(dim + 1)
    weights, = _mean_weights(m, size, x.dtype)
    return ops.matmul(x.movedim(dim, -1), weights.t()).movedim(-1, dim)


@lasting
def _mean_weights(m, size, dtype):
    weights = [[0.0] * m for _ in range(size)]
    for row, (a, b) in zip(weights, _bounds(m, size)):
        row[a:b] = [1 / (b - a)] * (b - a)
    return [ops.tensor(weights, dtype=dtype)]


def _adaptive_avg_pool(name, n, input, output_size):
    x = _batched(input, n, name)
    sizes = _output_sizes(n, x, output_size)
    if all(s == 1 for s in sizes):
        y = like_images(x.mean(tuple(range(2, 2 + n)), keepdim=True), x)
    else:
        y = x
        for d, size in enumerate(sizes):
            y = _adaptive_mean(y, 2 + d, size)
        y = named(y.clone() if y is x else y.contiguous(), _called(n, "AdaptiveAvgPool{n}D"))
    return y if x is input else y.squeeze(0)


@recalled("input")
def adaptive_avg_pool1d(input: Tensor, output_size) -> Tensor:
    """Means over as many windows as `output_size` says: (N, C, L)."""
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


@recalled("input")
@keeps_format
def adaptive_avg_pool2d(input: Tensor, output_size) -> Tensor:
    """Means over as many windows as `output_size` says; None keeps an axis: (N, C, H, W)."""
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


@recalled("input")
def adaptive_avg_pool3d(input: Tensor, output_size) -> Tensor:
    """Means over as many windows as `output_size` says; None keeps an axis: (N, C, D, H, W)."""
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def _adaptive_max_pool(name, n, input, output_size, return_indices):
    x = _batched(input, n, name)
    sizes = _output_sizes(n, x, output_size)
    if all(s and m % s == 0 for m, s in zip(x.shape[2:], sizes)):
        kernel = tuple(m // s for m, s in zip(x.shape[2:], sizes))
        values, places = ops.max_pool(x, kernel, kernel, (0,) * n, (1,) * n, False)
    else:
        values, places = _uneven_max(x, sizes)
    values = named(values, f"AdaptiveMaxPool{n}DBackward0")
    if x is not input:
        values, places = values.squeeze(0), places.squeeze(0)
    return (values, places) if return_indices else values


def _uneven_max(x, sizes):
    """Maxima over windows of different lengths; short ones repeat their last element."""
    places, = _window_places(tuple(x.shape[2:]), tuple(sizes))
    windows = x.flatten(2)[:, :, places]
    values, which = windows.max(-1)
    return values, places.expand(windows.shape).gather(-1, which.unsqueeze(-1)).squeeze(-1)


@lasting
def _window_places(shape, sizes):
    """The elements of each window, numbered in the flat image: (*sizes, elements)."""
    places, n = np.arange(math.prod(shape)).reshape(shape), len(sizes)
    for d, (m, size) in enumerate(zip(shape, sizes)):
        bounds = _bounds(m, size)
        width = max(b - a for a, b in bounds)
        index = [min(a + k, b - 1) for a, b in bounds for k in range(width)]
        places = places.take(index, 2 * d)
        places = places.reshape(*places.shape[:2 * d], size, width, *places.shape[2 * d + 1:])
    order = (*range(0, 2 * n, 2), *range(1, 2 * n, 2))
    return [ops.tensor(places.transpose(order).reshape(*sizes, -1))]


@recalled("input")
def adaptive_max_pool1d(input: Tensor, output_size, return_indices: bool = False) -> Tensor:
    """Maxima over as many windows as `output_size` says."""
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


@recalled("input")
@keeps_format
def adaptive_max_pool2d(input: Tensor, output_size, return_indices: bool = False) -> Tensor:
    """Maxima over as many windows as `output_size` says; None keeps an axis."""
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


@recalled("input")
def adaptive_max_pool3d(input: Tensor, output_size, return_indices: bool = False) -> Tensor:
    """Maxima over as many windows as `output_size` says; None keeps an axis."""
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)


def _with_indices(function):
    def both(input, output_size, return_indices=False):
        return function(input, output_size, True)
    both.__name__ = function.__name__ + "_with_indices"
    both.__doc__ = f"`{function.__name__}` with the places of the maxima."
    return both


adaptive_max_pool1d_with_indices = _with_indices(adaptive_max_pool1d)
adaptive_max_pool2d_with_indices = _with_indices(adaptive_max_pool2d)
adaptive_max_pool3d_with_indices = _with_indices(adaptive_max_pool3d)
