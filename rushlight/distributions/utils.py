"""What distributions share: broadcasting, probabilities and logits, lazy attributes."""
from __future__ import annotations

import numbers

from .. import dtypes
from .. import ops as o
from ..autograd.grad_mode import enable_grad
from ..tensor import Tensor


def broadcast_all(*values):
    """Numbers and tensors as tensors of one shape; numbers take the dtype of the tensors."""
    if not all(isinstance(v, (Tensor, numbers.Number)) for v in values):
        raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects "
                         "implementing __torch_function__.")
    tensors = [v for v in values if isinstance(v, Tensor)]
    dtype = tensors[0].dtype if tensors else dtypes.default
    return tuple(o.broadcast_tensors(*[v if isinstance(v, Tensor) else o.tensor(v, dtype=dtype)
                                       for v in values]))


def standard_normal(shape, dtype):
    return o.empty(shape, dtype=dtype).normal_()


def sum_rightmost(value, dim):
    """The last `dim` axes summed."""
    return value.reshape(*value.shape[:value.dim() - dim], -1).sum(-1) if dim else value


def clamp_probs(probs):
    """Away from 0 and 1 by the dtype's eps."""
    eps = dtypes.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def logits_to_probs(logits, is_binary=False):
    return o.sigmoid(logits) if is_binary else o.softmax(logits, -1)


def probs_to_logits(probs, is_binary=False):
    clamped = clamp_probs(probs)
    return o.log(clamped) - o.log1p(-clamped) if is_binary else o.log(clamped)


class lazy_property:
    """An attribute worked out when it is first asked for."""

    def __init__(self, wrapped):
        self.wrapped, self.__doc__ = wrapped, wrapped.__doc__

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.name, value)
        return value


def is_identically_one(x) -> bool:
    return isinstance(x, numbers.Number) and x == 1
