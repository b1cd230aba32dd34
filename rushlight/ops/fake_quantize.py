"""Fake quantisation: values rounded to what an integer grid can hold, gradients passed straight through inside of it."""
from __future__ import annotations

from .. import dtypes
from ..autograd.function import differentiable
from ..tensor import Tensor
from .create import tensor
from .pointwise import clamp, isnan, where


def _steps(x, scale, zero_point):
    """Steps of the grid that the values are rounded to, unbounded; nan is the least of all."""
    q = zero_point + (x * (1 / scale)).round()
    return where(isnan(x), float("-inf"), q)


def _is_inside(x, scale, zero_point, low, high):
    q = _steps(x, scale, zero_point)
    return (q >= low) & (q <= high)


def _rounded(x, scale, zero_point, *, low, high):
    return ((clamp(_steps(x, scale, zero_point), low, high) - zero_point) * scale).to(x.dtype)


def _straight_through(g, _y, x, scale, zero_point, *, low, high):
    return g * _is_inside(x, scale, zero_point, low, high)


_per_tensor = differentiable("FakeQuantizePerTensorAffineCachemaskBackward0", vjp=(_straight_through, None, None))(_rounded)
_per_channel = differentiable("FakeQuantizePerChannelAffineCachemaskBackward0", vjp=(_straight_through, None, None))(_rounded)


def fake_quantize_per_tensor_affine(input, scale, zero_point, quant_min, quant_max):
    """round(input / scale) + zero_point, bounded by [quant_min, quant_max], and back again.

    `scale` and `zero_point` are numbers or tensors of one element. The gradient is 1 where the bounds do not
    bind, else 0. RuntimeError for bounds in the wrong order or without the zero point.
    """
    _check(quant_min, quant_max)
    if not isinstance(zero_point, Tensor) and not quant_min <= zero_point <= quant_max:
        raise RuntimeError("`zero_point` must be between `quant_min` and `quant_max`.")
    return _per_tensor(input, _float32(scale), _float32(zero_point), low=quant_min, high=quant_max)


def fake_quantize_per_channel_affine(input, scale, zero_point, axis, quant_min, quant_max):
    """The same with a scale and a zero point for each entry of `axis`: 1-d tensors.

    RuntimeError if their sizes are not that of the axis.
    """
    _check(quant_min, quant_max)
    if scale.dim() != 1 or zero_point.dim() != 1:
        raise RuntimeError("scale and zero point should be a 1-D tensor")
    if scale.shape != zero_point.shape:
        raise RuntimeError("scale and zero-point need to have the same dimensions")
    if scale.shape[0] != input.shape[axis]:
        raise RuntimeError("dimensions of scale and zero-point are not consistent with input tensor")
    across = [-1 if d == axis % input.dim() else 1 for d in range(input.dim())]
    return _per_channel(input, _float32(scale).reshape(across), _float32(zero_point).reshape(across),
                        low=quant_min, high=quant_max)


def _check(quant_min, quant_max):
    if quant_min > quant_max:
        raise RuntimeError("`quant_min` should be less than or equal to `quant_max`.")


def _float32(x):
    return x.detach().to(dtypes.float32) if isinstance(x, Tensor) else tensor(x, dtype=dtypes.float32)
