"""torch.utils._python_dispatch: modes that see operations. They are seen as the program calls them, not in parts."""
from __future__ import annotations

from .._ops import OpOverload, overload_of
from ..overrides import TorchFunctionMode

__all__ = ["BaseTorchDispatchMode", "TorchDispatchMode", "is_traceable_wrapper_subclass", "return_and_correct_aliasing"]


class TorchDispatchMode(TorchFunctionMode):
    """A context manager whose `__torch_dispatch__(self, func, types, args, kwargs)` answers all operations in its block.

    func is an entry of `torch.ops.aten`: that of the public function which the program calls. What this is composed of,
    and what a backward pass does, is not seen.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        raise NotImplementedError

    def __torch_function__(self, func, types, args=(), kwargs=None):
        op = overload_of(func)
        if not isinstance(op, OpOverload):
            return func(*args, **(kwargs or {}))
        return self.__torch_dispatch__(op, types, args, kwargs or {})


class BaseTorchDispatchMode(TorchDispatchMode):
    """A mode that lets all operations pass."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def is_traceable_wrapper_subclass(t) -> bool:
    """Whether a tensor says how it is taken apart and put together."""
    return hasattr(t, "__tensor_flatten__") and hasattr(type(t), "__tensor_unflatten__")


def return_and_correct_aliasing(func, args, kwargs, out):
    """What an operation on a wrapper returns: the argument itself if it was written to."""
    return args[0] if func.overloadpacket.__name__.endswith("_") else out
