"""Dropout: random zeros in training, scaled so that the expectation stays."""
from __future__ import annotations

import math
import warnings

from ... import ops
from ...autograd.recall import recalled
from ...tensor import Tensor
from .activations import in_place

ALPHA = 1.7580993408473766      # SELU's limit for large negative inputs, negated


def _check(p):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _kept(input, p, per_channel):
    """1 with probability 1 - p, else 0: one draw per element or per channel of a sample."""
    if not per_channel:
        return ops.empty_like(input).bernoulli_(1 - p)
    if input.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    shape = (*input.shape[:2], *[1] * (input.dim() - 2))
    return ops.empty(shape, dtype=input.dtype).bernoulli_(1 - p)


def _dropped(input, p, training, inplace, per_channel=False):
    if p == 0 or not training or input.numel() == 0:
        return input
    noise = ops.zeros_like(input) if p == 1 else _kept(input, p, per_channel).div_(1 - p)
    return input.mul_(noise) if inplace else input * noise


def _alpha_dropped(input, p, training, inplace, per_channel=False):
    """Zeros become SELU's limit; mean and variance stay."""
    if p == 0 or not training or input.numel() == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    kept = _kept(input, p, per_channel)
    a = 1 / math.sqrt((ALPHA * ALPHA * p + 1) * (1 - p))
    shift = (kept - 1) * (ALPHA * a) + ALPHA * a * p
    compute = lambda x: x * (kept * a) + shift
    return in_place(input, compute) if inplace else compute(input)


@recalled("input")
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability p, scale the others by 1 / (1 - p)."""
    _check(p)
    return _dropped(input, p, training, inplace)


@recalled("input")
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False,
                  inplace: bool = False) -> Tensor:
    """Dropout for `selu`."""
    _check(p)
    return _alpha_dropped(input, p, training, inplace)


@recalled("input")
def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False,
                          inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels."""
    _check(p)
    return _alpha_dropped(input, p, training, inplace, per_channel=True)


@recalled("input")
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True,
              inplace: bool = False) -> Tensor:
    """Dropout of whole channels of (N, C, L) or (C, L)."""
    return _channels(input, p, training, inplace, "dropout1d", 1)


@recalled("input")
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True,
              inplace: bool = False) -> Tensor:
    """Dropout of whole channels of (N, C, H, W); a 3-D input counts as (N, C, L)."""
    _check(p)
    if input.dim() not in (3, 4):
        warnings.warn(f"dropout2d: Received a {input.dim()}-D input to dropout2d, which is "
                      "deprecated and will result in an error in a future release. To retain the "
                      "behavior and silence this warning, please use dropout instead. Note that "
                      "dropout2d exists to provide channel-wise dropout on inputs with 2 spatial "
                      "dimensions, a channel dimension, and an optional batch dimension (i.e. 3D "
                      "or 4D inputs).", stacklevel=2)
    if input.dim() == 3:
        warnings.warn("dropout2d: Received a 3D input to dropout2d and assuming that channel-wise "
                      "1D dropout behavior is desired - input is interpreted as shape (N, C, L), "
                      "where C is the channel dim. This behavior will change in a future release "
                      "to interpret the input as one without a batch dimension, i.e. shape (C, H, "
                      "W). To maintain the 1D channel-wise dropout behavior, please switch to "
                      "using dropout1d instead.", stacklevel=2)
    return _dropped(input, p, training, inplace, per_channel=True)


@recalled("input")
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True,
              inplace: bool = False) -> Tensor:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _channels(input, p, training, inplace, "dropout3d", 3)


def _channels(input, p, training, inplace, name, spatial):
    _check(p)
    if input.dim() not in (spatial + 1, spatial + 2):
        raise RuntimeError(f"{name}: Expected {spatial + 1}D or {spatial + 2}D input, but received "
                           f"a {input.dim()}D input.")
    if input.dim() == spatial + 2:
        return _dropped(input, p, training, inplace, per_channel=True)
    return _dropped(input.unsqueeze(0), p, training, inplace, per_channel=True).squeeze(0)


@recalled("input")
def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Dropout of whole channels: `torch.feature_dropout`."""
    return _dropped(input, p, train, False, per_channel=True)


@recalled("input")
def dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """In-place `dropout`."""
    return dropout(input, p, train, True)


@recalled("input")
def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """In-place `alpha_dropout`."""
    return alpha_dropout(input, p, train, True)
