"""Gradients of convolutions by themselves."""
from __future__ import annotations

from .. import ops
from ..autograd import enable_grad, grad
from ..autograd.grad_mode import is_grad_enabled
from ..tensor import Tensor


def _gradient(convolve, input, weight, wanted, grad_output, geometry):
    """The gradient of one operand, itself on the tape; the convolution is recorded, but never run."""
    taped = is_grad_enabled() and (input if wanted is weight else weight).requires_grad | grad_output.requires_grad
    with enable_grad():
        output = convolve(input, weight, None, *geometry)
        return grad(output, wanted, grad_output, create_graph=bool(taped))[0]


def _input(convolve, size, weight, grad_output, *geometry):
    input = ops.zeros(1, dtype=weight.dtype).expand(*size).requires_grad_()
    return _gradient(convolve, input, weight, input, grad_output, geometry)


def _weight(convolve, input, size, grad_output, *geometry):
    weight = ops.zeros(1, dtype=input.dtype).expand(*size).requires_grad_()
    return _gradient(convolve, input, weight, weight, grad_output, geometry)


def conv1d_input(input_size, weight: Tensor, grad_output: Tensor, stride=1, padding=0, dilation=1,
                 groups: int = 1) -> Tensor:
    """The gradient of conv1d's input, of shape `input_size`."""
    return _input(ops.conv1d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv1d_weight(input: Tensor, weight_size, grad_output: Tensor, stride=1, padding=0, dilation=1,
                  groups: int = 1) -> Tensor:
    """The gradient of conv1d's weight, of shape `weight_size`."""
    return _weight(ops.conv1d, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv2d_input(input_size, weight: Tensor, grad_output: Tensor, stride=1, padding=0, dilation=1,
                 groups: int = 1) -> Tensor:
    """The gradient of conv2d's input, of shape `input_size`."""
    return _input(ops.conv2d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv2d_weight(input: Tensor, weight_size, grad_output: Tensor, stride=1, padding=0, dilation=1,
                  groups: int = 1) -> Tensor:
    """The gradient of conv2d's weight, of shape `weight_size`."""
    return _weight(ops.conv2d, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv3d_input(input_size, weight: Tensor, grad_output: Tensor, stride=1, padding=0, dilation=1,
                 groups: int = 1) -> Tensor:
    """The gradient of conv3d's input, of shape `input_size`."""
    return _input(ops.conv3d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv3d_weight(input: Tensor, weight_size, grad_output: Tensor, stride=1, padding=0, dilation=1,
                  groups: int = 1) -> Tensor:
    """The gradient of conv3d's weight, of shape `weight_size`."""
    return _weight(ops.conv3d, input, weight_size, grad_output, stride, padding, dilation, groups)
