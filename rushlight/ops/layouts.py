"""Where calls on tensors that are not strided (sparse ones) leave the dense operations.

Nothing on the way of a dense call looks out for such tensors. They have no memory of their own and
another kind of layout, so no memo knows them and they arrive where a call that is new is worked
out: there `answered` asks for them. What becomes of the call is said in one place, sparse/dispatch.py.
"""
from __future__ import annotations

import functools

from ..tensor import Tensor
from .overriding import disabled


class layout:
    """How a tensor's elements are stored: torch.strided, torch.sparse_coo, torch.sparse_csr, ..."""

    packed = False      # in memory, as the fast paths of strided tensors ask

    def __init__(self, name):
        self._name = name

    def __repr__(self):
        return f"torch.{self._name}"

    def __reduce__(self):
        from ..serialization import _get_layout
        return _get_layout, (repr(self),)

    def __eq__(self, other):
        return self is other or self._name == "strided" and type(other).__name__ == "Layout"

    def __hash__(self):
        return hash(self._name)


strided = Tensor.layout = layout("strided")
jagged = layout("jagged")
sparse_coo, sparse_csr, sparse_csc = layout("sparse_coo"), layout("sparse_csr"), layout("sparse_csc")


class Unstrided(Tensor):
    """Base of tensors whose elements do not lie in one storage."""

    __torch_function__ = disabled


in_use: list = []       # not empty once such tensors may exist


def is_other(x) -> bool:
    """Whether x is, or a sequence x holds, a tensor that is not strided."""
    return isinstance(x, Unstrided) or type(x) in (list, tuple) and any(isinstance(y, Unstrided) for y in x)


def answered(name: str, args, kwargs=None):
    """The call of an operation on such tensors."""
    from ..sparse.dispatch import answer
    return answer(name, args, kwargs or {})


def by_layout(fn):
    """fn for strided tensors; calls with others are answered elsewhere."""
    @functools.wraps(fn)
    def call(*args, **kwargs):
        if in_use and any(is_other(x) for x in (*args, *kwargs.values())):
            return answered(fn.__name__, args, kwargs)
        return fn(*args, **kwargs)
    return call
