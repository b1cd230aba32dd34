"""Tensors that a Module registers when they are assigned to it."""
from __future__ import annotations

from collections import OrderedDict

from .. import ops
from ..autograd.grad_mode import no_grad
from ..ops.overriding import disabled
from ..tensor import Tensor, wrap

__all__ = ["Parameter", "Buffer", "UninitializedParameter", "UninitializedBuffer", "is_lazy"]


def _sharing(cls, data, requires_grad):
    """A leaf of this class on the memory of `data`."""
    made = wrap(cls, data.storage, data.layout, data.offset)
    return made.requires_grad_() if requires_grad else made


class _ParameterMeta(type(Tensor)):
    """`isinstance(t, Parameter)` also holds for tensors of other classes that carry `_is_param`."""

    def __instancecheck__(self, instance):
        if super().__instancecheck__(instance):
            return True
        return (self is Parameter and isinstance(instance, Tensor)
                and getattr(instance, "_is_param", False))


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that is a parameter of the module it is assigned to; shares memory with `data`."""

    __torch_function__ = disabled

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True):
        data = ops.empty(0) if data is None else data
        if type(data) is Tensor or isinstance(data, Parameter):
            return _sharing(cls, data, requires_grad)
        own = data.detach().requires_grad_(requires_grad)
        own._is_param = True
        return own

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return memo[id(self)]

    def __repr__(self, *, tensor_contents=None):
        return "Parameter containing:\n" + super().__repr__()

    def __reduce_ex__(self, _protocol):
        from ..io.rebuild import public_state
        state = public_state(self)
        if state:
            return _rebuild_parameter_with_state, (self.data, self.requires_grad, OrderedDict(),
                                                   state)
        return _rebuild_parameter, (self.data, self.requires_grad, OrderedDict())


def _rebuild_parameter(data, requires_grad, backward_hooks):
    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data, requires_grad, backward_hooks, state):
    parameter = Parameter(data, requires_grad)
    parameter.__dict__.update(state)
    return parameter


class _BufferMeta(type(Tensor)):
    def __instancecheck__(self, instance):
        if super().__instancecheck__(instance):
            return True
        return (self is Buffer and isinstance(instance, Tensor)
                and getattr(instance, "_is_buffer", False))


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that is registered as a buffer of the module it is assigned to."""

    __torch_function__ = disabled

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True):
        data = ops.empty(0) if data is None else data
        own = data.detach().requires_grad_(data.requires_grad)
        own.persistent, own._is_buffer = persistent, True
        return own


class _Uninitialized:
    """A parameter or buffer whose shape is not known yet; `materialize` gives it one."""

    def materialize(self, shape, device=None, dtype=None) -> None:
        """Allocate memory of this shape; the object becomes an ordinary one."""
        with no_grad():
            self.data = ops.empty(shape, dtype=dtype or self.dtype, device=device)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise RuntimeError("Can't access the shape of an uninitialized parameter or buffer. This "
                           "error usually happens in `load_state_dict` when trying to load an "
                           "uninitialized parameter into an initialized one. Call `forward` to "
                           "initialize the parameters before accessing their attributes.")

    def share_memory_(self):
        raise RuntimeError("Can't share memory on an uninitialized parameter or buffer. Call "
                           "`forward` to initialize "
                           "the parameters before calling `module.share_memory()`.")

    def __repr__(self, *, tensor_contents=None):
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(dtype=self.dtype)
        return memo[id(self)]


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter without shape, of lazy modules."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device=None, dtype=None):
        return _sharing(cls, ops.empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, dtype=self.dtype)
        return memo[id(self)]

    def __reduce_ex__(self, _protocol):
        return UninitializedParameter, (self.requires_grad, None, self.dtype)


class UninitializedBuffer(_Uninitialized, Tensor):
    """A buffer without shape, of lazy modules."""

    __torch_function__ = disabled

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device=None, dtype=None, persistent: bool = True):
        made = _sharing(cls, ops.empty(0, device=device, dtype=dtype), requires_grad)
        made.persistent, made._is_buffer = persistent, True
        return made


def is_lazy(parameter) -> bool:
    """Whether a parameter or buffer still waits for its shape."""
    return isinstance(parameter, _Uninitialized)
