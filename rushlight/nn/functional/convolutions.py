"""Convolutions in one to three dimensions, transposed ones, and windows as columns."""
from __future__ import annotations

import math

from ...ops.casting import listed
from ... import ops
from ...autograd.function import differentiable
from ...autograd.recall import recalled
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


def _runs(kernel, dilation, stride):
    """Taps of an axis in runs (first, how many): those of a run never fall on the same place."""
    together = stride if dilation == 1 else 1
    return [(a, min(together, kernel - a)) for a in range(0, kernel, together)]


def _image(columns, *, size, kernel, dilation, padding, stride):
    """Run by run the columns are added to where they lie in the padded image."""
    channels = columns.size(1) // math.prod(kernel)
    full = [m + 2 * p for m, p in zip(size, padding)]
    windows = [(m - d * (k - 1) - 1) // s + 1
               for m, d, k, s in zip(full, dilation, kernel, stride)]
    image = columns.new_zeros(columns.size(0), channels, *full)
    parts = columns.reshape(columns.size(0), channels, *kernel, *windows)
    steps = [step for counts in (dilation, stride)
             for step in (counts[0] * full[1], counts[1])]
    for a, rows in _runs(kernel[0], dilation[0], stride[0]):
        for b, columns in _runs(kernel[1], dilation[1], stride[1]):
            part = parts.narrow(2, a, rows).narrow(3, b, columns)
            place = ops.as_strided(image, part.shape, (*image.stride()[:2], *steps),
                                   a * steps[0] + b * steps[1])
            place.add_(part) if a or b else place.copy_(part)
    for d, (m, p) in enumerate(zip(size, padding)):
        image = image.narrow(2 + d, p, m)
    return image.contiguous()


@differentiable("Im2ColBackward0", vjp=(lambda g, _y, _x, **geometry: _fold(g, **geometry),))
def _unfold(x, **geometry):
    return _columns(x, **geometry)


@differentiable("Col2ImBackward0", vjp=(lambda g, _y, _x, **geometry: _unfold(g, **geometry),))
def _fold(columns, **geometry):
    return _image(columns, **geometry)


def _check_window(name, value, short, least):
    if not isinstance(value, int) and len(value) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(value)}")
    h, w = each(value, 2, name)
    if min(h, w) < least:
        raise RuntimeError(f"{name.replace('_', ' ')} should be {'greater than zero' if least else 'non-negative'}, but got "
                           f"{short}_height: {h} {short}_width: {w}")


def _geometry(size, kernel_size, dilation, padding, stride):
    _check_window("kernel_size", kernel_size, "kernel", 1)
    _check_window("dilation", dilation, "dilation", 1)
    _check_window("padding", padding, "pad", 0)
    _check_window("stride", stride, "stride", 1)
    return dict(size=tuple(size), kernel=each(kernel_size, 2, "kernel_size"),
                dilation=each(dilation, 2, "dilation"), padding=each(padding, 2, "padding"),
                stride=each(stride, 2, "stride"))


@recalled("input")
def unfold(input: Tensor, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Windows of (N, C, H, W) as columns: (N, C KH KW, windows)."""
    if input.dim() not in (3, 4):
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and "
                           f"other non-zero dimensions for input, but got: {list(input.shape)}")
    x = input if input.dim() == 4 else input.unsqueeze(0)
    columns = _unfold(x, **_geometry(x.shape[2:], kernel_size, dilation, padding, stride))
    return columns if input.dim() == 4 else columns.squeeze(0)


@recalled("input")
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
