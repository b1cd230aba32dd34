"""Convolutions in one to three dimensions, transposed ones, and windows as columns."""
from __future__ import annotations

import math

from ...ops.casting import listed
from ... import ops
from ...autograd.function import differentiable
from ...ops.matmul import each
from ...ops.matmul import (conv1d as conv1d, conv2d as conv2d, conv3d as conv3d,
                           conv_transpose1d as conv_transpose1d,
                           conv_transpose2d as conv_transpose2d,
                           conv_transpose3d as conv_transpose3d)
from ...tensor import Tensor


# -- windows as columns ----------------------------------------------------------------------------
def _columns(x, *, size, kernel, dilation, padding, stride):
    windows = ops.windows(x, kernel, stride, padding, dilation, False, 0)
    return windows.permute(0, 1, 4, 5, 2, 3).reshape(x.size(0), x.size(1) * math.prod(kernel),
                                                     math.prod(windows.shape[2:4]))


def _one_hot_kernels(channels, kernel, dtype):
    """For each channel one kernel per place in the window, which picks that place."""
    places = math.prod(kernel)
    kernels = ops.eye(places, dtype=dtype).reshape(places, 1, *kernel)
    return kernels.repeat(channels, *[1] * (len(kernel) + 1))


def _image(columns, *, size, kernel, dilation, padding, stride):
    channels = columns.size(1) // math.prod(kernel)
    reach = [m + 2 * p - d * (k - 1) - 1 for m, p, d, k in zip(size, padding, dilation, kernel)]
    windows = [r // s + 1 for r, s in zip(reach, stride)]
    return ops.conv_transpose2d(columns.reshape(*columns.shape[:2], *windows),
                                _one_hot_kernels(channels, kernel, columns.dtype), None, stride,
                                padding, tuple(r % s for r, s in zip(reach, stride)), channels,
                                dilation)


@differentiable("Im2ColBackward0", vjp=(lambda g, _y, _x, **geometry: _fold(g, **geometry),))
def _unfold(x, **geometry):
    return _columns(x, **geometry)


@differentiable("Col2ImBackward0", vjp=(lambda g, _y, _x, **geometry: _unfold(g, **geometry),))
def _fold(columns, **geometry):
    return _image(columns, **geometry)


def _geometry(size, kernel_size, dilation, padding, stride):
    return dict(size=tuple(size), kernel=each(kernel_size, 2, "kernel_size"),
                dilation=each(dilation, 2, "dilation"), padding=each(padding, 2, "padding"),
                stride=each(stride, 2, "stride"))


def unfold(input: Tensor, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Windows of (N, C, H, W) as columns: (N, C KH KW, windows)."""
    if input.dim() not in (3, 4):
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and "
                           f"other non-zero dimensions for input, but got: {list(input.shape)}")
    x = input if input.dim() == 4 else input.unsqueeze(0)
    columns = _unfold(x, **_geometry(x.shape[2:], kernel_size, dilation, padding, stride))
    return columns if input.dim() == 4 else columns.squeeze(0)


def fold(input: Tensor, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The transpose of `unfold`: columns are added into an image of `output_size`."""
    if input.dim() not in (2, 3):
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch "
                           f"size and non-zero dimensions for input, but got: {list(input.shape)}")
    x = input if input.dim() == 3 else input.unsqueeze(0)
    geometry = _geometry(each(output_size, 2, "output_size"), kernel_size, dilation, padding,
                         stride)
    _check_fold(x, **geometry)
    image = _fold(x, **geometry)
    return image if input.dim() == 3 else image.squeeze(0)


def _check_fold(x, *, size, kernel, dilation, padding, stride):
    if x.size(1) % math.prod(kernel):
        raise RuntimeError("Expected size of input's dimension 1 to be divisible by the product of "
                           "kernel_size, but got "
                           f"input.size(1)={x.size(1)} and kernel_size=({kernel[0]}, {kernel[1]}).")
    h, w = ((m + 2 * p - d * (k - 1) - 1) // s + 1
            for m, p, d, k, s in zip(size, padding, dilation, kernel, stride))
    if x.size(2) != h * w:
        given = ", ".join(f"{name}=({a}, {b})"
                           for name, (a, b) in dict(output_size=size, kernel_size=kernel,
                                                    dilation=dilation, padding=padding,
                                                    stride=stride).items())
        raise RuntimeError(f"Given {given}, expected size of input's dimension 2 to match the "
                           f"calculated number of sliding blocks {h} * {w} = {h * w}, but got "
                           f"input.size(2)={x.size(2)}.")


listed(globals())
