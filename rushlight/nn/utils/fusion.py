"""Batch normalisation in evaluation put into the layer before it."""
from __future__ import annotations

from copy import deepcopy

from ... import ops
from ..modules.module import Module
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval",
           "fuse_linear_bn_weights"]


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps: float, bn_w, bn_b,
                         transpose: bool = False) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution followed by batch normalisation.

    Args:
        bn_rm, bn_rv: running mean and variance; bn_w and bn_b may be None (1 and 0).
        transpose: of a transposed convolution, whose outputs are axis 1 of the weight.
    """
    b = ops.zeros_like(bn_rm) if conv_b is None else conv_b
    gain = (ops.ones_like(bn_rm) if bn_w is None else bn_w) * ops.rsqrt(bn_rv + bn_eps)
    shift = ops.zeros_like(bn_rm) if bn_b is None else bn_b
    shape = [1] * conv_w.dim()
    shape[1 if transpose else 0] = -1
    w = (conv_w * gain.reshape(shape)).to(conv_w.dtype)
    b = ((b - bn_rm) * gain + shift).to(b.dtype)
    return (Parameter(w, conv_w.requires_grad),
            Parameter(b, conv_b.requires_grad if conv_b is not None else True))


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps: float, bn_w,
                           bn_b) -> tuple[Parameter, Parameter]:
    """The same for a linear layer."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _fused(layer, bn, **how):
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("Only support fusing layers with batch normalisation that has "
                             "running_mean and running_var")
    made = deepcopy(layer)
    made.weight, made.bias = fuse_conv_bn_weights(made.weight, made.bias, bn.running_mean,
                                                  bn.running_var, bn.eps, bn.weight, bn.bias, **how)
    return made


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Module:
    """A copy of a convolution that does what it and the batch normalisation after it do."""
    return _fused(conv, bn, transpose=transpose)


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Module:
    """The same for a linear layer."""
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features "
                             "== 1")
    return _fused(linear, bn)
