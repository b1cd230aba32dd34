"""Keeping gradients small."""
from __future__ import annotations

import math
import warnings

from ... import ops
from ...autograd.grad_mode import no_grad
from ...autograd.recall import repeated
from ...tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_norm", "clip_grad_value_", "clip_grads_with_norm_",
           "get_total_norm"]


def _listed(parameters):
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


@repeated
def _norm(tensors, _numbers, order):
    """The norm of all elements together."""
    x, = tensors
    x = x.abs() if x.dtype.is_complex else x
    if order == math.inf:
        return x.abs().max()
    return ops.sqrt((x * x).sum()) if order == 2 else ops.vector_norm(x, order)


def get_total_norm(tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False,
                   foreach: bool | None = None) -> Tensor:
    """The norm of the norms of all tensors: a 0-d tensor."""
    tensors, order = _listed(tensors), float(norm_type)
    if not tensors:
        return ops.tensor(0.0)
    with no_grad():
        norms = ops.stack(_norm.each([((t,), ()) for t in tensors], order))
        total = _norm((norms,), (), order)
    if error_if_nonfinite and bool(ops.logical_or(total.isnan(), total.isinf())):
        raise RuntimeError(f"The total norm of order {order} for gradients from `parameters` is "
                           "non-finite, so it cannot be clipped. To disable this error and scale "
                           "the gradients by the non-finite norm anyway, set "
                           "`error_if_nonfinite=False`")
    return total


def clip_grads_with_norm_(parameters, max_norm: float, total_norm: Tensor,
                          foreach: bool | None = None) -> None:
    """Scale gradients by max_norm / total_norm where that is below 1."""
    with no_grad():
        scale = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        _scale.each([((p.grad, scale), ()) for p in _listed(parameters) if p.grad is not None])


@repeated
def _scale(tensors, _numbers):
    tensors[0].mul_(tensors[1])


def clip_grad_norm_(parameters, max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """Scale all gradients together so that their norm is at most `max_norm`.

    Returns the norm before.
    """
    parameters = _listed(parameters)
    grads = [p.grad for p in parameters if p.grad is not None]
    if any(hasattr(p, "sharding") for p in parameters):
        from ...distributed.sharded import total_norm
        total = total_norm(parameters, float(norm_type))
    else:
        total = get_total_norm(grads, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_norm(parameters, max_norm: float, norm_type: float = 2.0,
                   error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """The old name of `clip_grad_norm_`."""
    warnings.warn("`torch.nn.utils.clip_grad_norm` is now deprecated in favor of "
                  "`torch.nn.utils.clip_grad_norm_`.", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite)


def clip_grad_value_(parameters, clip_value: float, foreach: bool | None = None) -> None:
    """Cut every element of every gradient to [-clip_value, clip_value]."""
    bound = float(clip_value)
    with no_grad():
        for p in _listed(parameters):
            if p.grad is not None:
                p.grad.clamp_(min=-bound, max=bound)
