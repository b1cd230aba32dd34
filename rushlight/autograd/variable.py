"""`Variable`, which every tensor is; kept for programs older than tensors with gradients."""
from __future__ import annotations

from ..errors import warn_once


class VariableMeta(type):
    """`isinstance(x, Variable)` asks whether x is a tensor."""

    def __instancecheck__(cls, other) -> bool:
        from ..tensor import Tensor
        return isinstance(other, Tensor)


class Variable(metaclass=VariableMeta):
    """`Variable(data)` is a tensor on the memory of `data`, a leaf that requires gradients if so wished."""

    def __new__(cls, data, requires_grad: bool = False, volatile: bool = False):
        if volatile:
            warn_once("volatile was removed and now has no effect. Use `with torch.no_grad():` instead.")
        y = data.detach()
        return y.requires_grad_() if requires_grad else y
