"""Module: the base class of everything that has parameters."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from ... import dtypes, ops
from ...autograd.grad_mode import no_grad
from ...dtypes import dtype as dtype_type
from ...tensor import Tensor
from ...utils.hooks import RemovableHandle
from ..parameter import Buffer, Parameter
from . import module_hooks as hooks
from .module_hooks import (add_hook, any_global, register_module_backward_hook,
                           register_module_buffer_registration_hook, register_module_forward_hook,
                           register_module_forward_pre_hook, register_module_full_backward_hook,
                           register_module_full_backward_pre_hook,
                           register_module_module_registration_hook,
                           register_module_parameter_registration_hook)
from .module_state import Stateful, _IncompatibleKeys      # noqa: F401

__all__ = ["Module", "register_module_forward_pre_hook", "register_module_forward_hook",
           "register_module_backward_hook", "register_module_full_backward_pre_hook",
           "register_module_full_backward_hook", "register_module_buffer_registration_hook",
           "register_module_module_registration_hook",
           "register_module_parameter_registration_hook"]


def typename(value) -> str:
    """A type's name as it stands in error messages."""
    if isinstance(value, Tensor):
        return value.type()
    kind = value if isinstance(value, type) else type(value)
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", None) else f"{module}.{kind.__qualname__}"


_HOOK_DICTS = ("_backward_pre_hooks", "_backward_hooks", "_forward_hooks",
               "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
               "_forward_pre_hooks_with_kwargs", "_state_dict_hooks", "_state_dict_pre_hooks",
               "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")


class Module(Stateful):
    """Base class of layers and networks.

    Subclasses call `super().__init__()`, assign parameters, buffers and other modules as
    attributes (which registers them), and define `forward`. A module is used by calling it, which
    runs `forward` and the hooks.
    """

    training: bool
    call_super_init: bool = False
    _compiled_call_impl = None

    def __init__(self, *args, **kwargs) -> None:
        if not self.call_super_init and (kwargs or args):
            given = f"unexpected keyword argument '{next(iter(kwargs))}'" if kwargs else \
                f"takes 1 positional argument but {len(args) + 1} were given"
            middle = "got an " if kwargs else ""
            raise TypeError(f"{type(self).__name__}.__init__() {middle}{given}")
        fields = self.__dict__
        fields["training"] = True
        fields["_parameters"], fields["_buffers"] = {}, {}
        fields["_non_persistent_buffers_set"] = set()
        fields["_is_full_backward_hook"] = None
        for name in _HOOK_DICTS:
            fields[name] = OrderedDict()
        fields["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *input: Any) -> None:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required '
                                  '"forward" function')

    def _call_impl(self, *args, **kwargs):
        if (self._forward_hooks or self._forward_pre_hooks or self._backward_hooks
            or self._backward_pre_hooks or any_global.now):
            return hooks.call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    _wrapped_call_impl = _call_impl
    __call__: Callable[..., Any] = _call_impl

    def compile(self, *args, **kwargs) -> None:
        """Accepted: every call is recorded and compiled as a whole anyway."""

    # -- attributes ---------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__
        if "_parameters" in fields:
            if name in fields["_parameters"]:
                return fields["_parameters"][name]
            if name in fields["_modules"]:
                return fields["_modules"][name]
            if name in fields["_buffers"]:
                return fields["_buffers"][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _registered(self, kind: str, *names: str) -> list:
        """Parameters or buffers by name, without the detour of `__getattr__` that costs a call each."""
        table = self.__dict__[kind]
        try:
            return [table[name] for name in names]
        except KeyError:        # another attribute stands in the place of one
            return [getattr(self, name) for name in names]

    def __setattr__(self, name: str, value) -> None:
        fields = self.__dict__
        if isinstance(value, Parameter):
            _check_initialised(fields, "parameters")
            _forget(fields, name, keep="_parameters")
            self.register_parameter(name, value)
        elif name in fields.get("_parameters", ()):
            if value is not None:
                raise TypeError(f"cannot assign '{typename(value)}' as parameter '{name}' "
                                "(torch.nn.Parameter or None expected)")
            self.register_parameter(name, None)
        elif isinstance(value, Module):
            _check_initialised(fields, "module")
            _forget(fields, name, keep="_modules")
            fields["_modules"][name] = hooks.registered(hooks.module_hooks, self, name, value)
        elif name in fields.get("_modules", ()):
            if value is not None:
                raise TypeError(f"cannot assign '{typename(value)}' as child module '{name}' "
                                "(torch.nn.Module or None expected)")
            fields["_modules"][name] = hooks.registered(hooks.module_hooks, self, name, None)
        elif isinstance(value, Tensor) or name in fields.get("_buffers", ()):
            self._set_tensor(fields, name, value)
        else:
            super().__setattr__(name, value)

    def _set_tensor(self, fields, name, value):
        """A Buffer or a new value of a buffer is registered.

        Any other tensor is a plain attribute.
        """
        if isinstance(value, Buffer):
            _check_initialised(fields, "buffer")
            _forget(fields, name, keep="_buffers")
            self.register_buffer(name, value, value.persistent)
        elif name not in fields.get("_buffers", ()):
            super().__setattr__(name, value)
        elif value is not None and not isinstance(value, Tensor):
            raise TypeError(f"cannot assign '{typename(value)}' as buffer '{name}' "
                            "(torch.nn.Buffer, torch.Tensor or None expected)")
        else:
            fields["_buffers"][name] = hooks.registered(hooks.buffer_hooks, self, name, value)

    def __delattr__(self, name: str) -> None:
        for registry in (self._parameters, self._buffers, self._modules):
            if name in registry:
                self._non_persistent_buffers_set.discard(name)
                del registry[name]
                return
        super().__delattr__(name)

    def __dir__(self):
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._modules,
                 *self._buffers}
        return sorted(n for n in names if not n[:1].isdigit())

    def __setstate__(self, state) -> None:
        self.__dict__.update(state)
        self.__dict__.setdefault("_non_persistent_buffers_set", set())
        self.__dict__.setdefault("_is_full_backward_hook", None)
        for name in _HOOK_DICTS:
            self.__dict__.setdefault(name, OrderedDict())

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "_compiled_call_impl"}

    # -- registration -------------------------------------------------------------------------

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter; saved by `state_dict` if `persistent`."""
        _check_initialised(self.__dict__, "buffer")
        self._check_name(name, "buffer", self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{typename(tensor)}' object to buffer '{name}' "
                            "(torch Tensor or None required)")
        self._buffers[name] = hooks.registered(hooks.buffer_hooks, self, name, tensor)
        (self._non_persistent_buffers_set.discard if persistent
         else self._non_persistent_buffers_set.add)(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name(name, "parameter", self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"cannot assign '{typename(param)}' object to parameter '{name}' "
                            "(torch.nn.Parameter or None required)")
        if param is not None and param.grad_fn is not None:
            raise ValueError(f"Cannot assign non-leaf Tensor to parameter '{name}'. Model "
                             f"parameters must be created explicitly. To express '{name}' as a "
                             "function of another Tensor, compute the value in the forward() "
                             "method.")
        self._parameters[name] = hooks.registered(hooks.parameter_hooks, self, name, param)

    def _check_name(self, name, what, registry):
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {typename(name)}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and name not in registry:
            raise KeyError(f"attribute '{name}' already exists")

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name."""
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{typename(module)} is not a Module subclass")
        if not isinstance(name, str):
            raise TypeError(f"module name should be a string. Got {typename(name)}")
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'module name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError('module name can\'t be empty string ""')
        self._modules[name] = hooks.registered(hooks.module_hooks, self, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as `add_module`."""
        self.add_module(name, module)

    # -- lookup by dotted name ----------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name; '' is this module. AttributeError if there is none."""
        found = self
        for item in target.split(".") if target else ():
            if not hasattr(found, item):
                raise AttributeError(f"{found._get_name()} has no attribute `{item}`")
            found = getattr(found, item)
            if not isinstance(found, Module):
                raise AttributeError(f"`{item}` is not an nn.Module")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted name; with `strict` there must be one to replace."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def _get_tensor(self, target, kind, is_kind):
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        found = getattr(module, name)
        if not is_kind(module, name, found):
            raise AttributeError(f"`{name}` is not {kind}")
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name."""
        return self._get_tensor(target, "an nn.Parameter",
                                lambda _m, _n, value: isinstance(value, Parameter))

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of a dotted name."""
        return self._get_tensor(target, "a buffer", lambda module, name, _: name in module._buffers)

    # -- walks --------------------------------------------------------------------------------

    def named_modules(self, memo: set | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module and all below, each once unless told otherwise."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, prefix + ("." if prefix else "") + name,
                                                remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly below."""
        memo = set()
        for name, module in self._modules.items():
            if module is not None and module not in memo:
                memo.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below."""
        for _, module in self.named_children():
            yield module

    def _named_members(self, members_of, prefix="", recurse=True, remove_duplicate=True):
        """(dotted name, member) of what `members_of(module)` lists, over a walk of the modules."""
        seen = set()
        modules = (self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse
                   else ((prefix, self),))
        for path, module in modules:
            for name, value in members_of(module):
                if value is None or value in seen:
                    continue
                if remove_duplicate:
                    seen.add(value)
                yield f"{path}.{name}" if path else name, value

    def named_parameters(self, prefix: str = "", recurse: bool = True,
                         remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter) of this module and, if `recurse`, all below."""
        return self._named_members(lambda m: m._parameters.items(), prefix, recurse,
                                   remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and, if `recurse`, all below."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix: str = "", recurse: bool = True,
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer) of this module and, if `recurse`, all below."""
        return self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and, if `recurse`, all below."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def apply(self, fn: Callable[[Module], None]):
        """Call `fn(module)` on every module below and then on this one; returns this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # -- conversion ---------------------------------------------------------------------------

    def _apply(self, fn, recurse=True):
        """Replace the data of every parameter, gradient and buffer by `fn` of it."""
        for module in self.children() if recurse else ():
            module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with no_grad():
                parameter.data = fn(parameter)
                if parameter.grad is not None:
                    parameter.grad.data = fn(parameter.grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def _cast(self, kind):
        return self._apply(lambda t: t.to(kind) if t.is_floating_point() else t)

    def float(self):
        """Cast floating point parameters and buffers to float32."""
        return self._cast(dtypes.float32)

    def double(self):
        """Cast floating point parameters and buffers to float64."""
        return self._cast(dtypes.float64)

    def half(self):
        """Cast floating point parameters and buffers to float16."""
        return self._cast(dtypes.float16)

    def bfloat16(self):
        """Cast floating point parameters and buffers to bfloat16."""
        return self._cast(dtypes.bfloat16)

    def type(self, dst_type):
        """Cast all parameters and buffers."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self):
        """Move everything to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device=None):
        """Move everything to a GPU; raises where there is none."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self, *, device, recurse: bool = True):
        """Move everything to a device without copying the values."""
        return self._apply(lambda t: ops.empty_like(t, device=device), recurse=recurse)

    def share_memory(self):
        """Let other processes see the parameters."""
        return self._apply(lambda t: t.share_memory_())

    def to(self, *args, **kwargs):
        """Move and/or cast: `to(device=None, dtype=None, non_blocking=False)`, `to(dtype)`,
        `to(tensor)`,
        `to(memory_format=...)`.

        Only floating point tensors are cast. The module itself changes and is returned.
        """
        device, dtype, memory_format = _parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError("nn.Module.to only accepts floating point or complex dtypes, but got "
                            f"desired dtype={dtype}")

        def convert(t):
            wanted = dtype if t.is_floating_point() or t.is_complex() else None
            if memory_format is not None and t.dim() in (4, 5):
                return t.to(device=device, dtype=wanted, memory_format=memory_format)
            return t.to(device=device, dtype=wanted)
        return self._apply(convert)

    # -- modes --------------------------------------------------------------------------------

    def train(self, mode: bool = True):
        """Set training mode here and below (dropout, batch norm); returns this module."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Set evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True):
        """Set `requires_grad` of every parameter."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget (or set to zero) the gradient of every parameter."""
        for parameter in self.parameters():
            if parameter._grad is not None:
                parameter._grad = None if set_to_none else ops.zeros_like(parameter._grad)

    # -- hooks --------------------------------------------------------------------------------

    def register_forward_pre_hook(self, hook, *, prepend: bool = False,
                                  with_kwargs: bool = False) -> RemovableHandle:
        """Call `hook(module, args)` before each forward; what it returns replaces the arguments."""
        extra = [self._forward_pre_hooks_with_kwargs] if with_kwargs else []
        return add_hook(self._forward_pre_hooks, hook, prepend=prepend, extra=extra)

    def register_forward_hook(self, hook, *, prepend: bool = False, with_kwargs: bool = False,
                              always_call: bool = False) -> RemovableHandle:
        """Call `hook(module, args, output)` after each forward.

        What it returns replaces the output.
        """
        extra = [self._forward_hooks_with_kwargs] if with_kwargs else []
        extra += [self._forward_hooks_always_called] if always_call else []
        return add_hook(self._forward_hooks, hook, prepend=prepend, extra=extra)

    def register_full_backward_pre_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's gradients are computed."""
        return add_hook(self._backward_pre_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook) -> RemovableHandle:
        """The older form of `register_full_backward_hook`.

        Sees the output's last operation only.
        """
        self._set_backward_kind(False)
        return add_hook(self._backward_hooks, hook)

    def register_full_backward_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the inputs' gradients are known.

        What it returns replaces `grad_input`.
        """
        self._set_backward_kind(True)
        return add_hook(self._backward_hooks, hook, prepend=prepend)

    def _set_backward_kind(self, full):
        if self._is_full_backward_hook is (not full):
            raise RuntimeError("Cannot use both regular backward hooks and full backward hooks on "
                               "a single Module. Please use only one of them.")
        self._is_full_backward_hook = full

    # -- printing -----------------------------------------------------------------------------

    def _get_name(self):
        return self.__class__.__name__

    def extra_repr(self) -> str:
        """What stands between the brackets when the module is printed."""
        return ""

    def __repr__(self):
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        children = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        if not children and len(extra) <= 1:
            return f"{self._get_name()}({''.join(extra)})"
        return f"{self._get_name()}(\n  " + "\n  ".join(extra + children) + "\n)"

    def _replicate_for_data_parallel(self):
        """A copy with its own registries over the same tensors."""
        replica = self.__new__(type(self))
        replica.__dict__ = self.__dict__.copy()
        for name in ("_parameters", "_buffers", "_modules"):
            replica.__dict__[name] = getattr(self, name).copy()
        return replica


def _indent(text):
    return text.replace("\n", "\n  ")


def _check_initialised(fields, what):
    if "_modules" not in fields:
        raise AttributeError(f"cannot assign {what} before Module.__init__() call")


def _forget(fields, name, keep):
    """A name stands in one registry only."""
    fields.pop(name, None)
    for registry in ("_parameters", "_buffers", "_modules"):
        if registry != keep:
            fields[registry].pop(name, None)
    if keep != "_buffers":
        fields["_non_persistent_buffers_set"].discard(name)


def _parse_to(*args, device=None, dtype=None, non_blocking=False, copy=False, memory_format=None,
              tensor=None, other=None):
    """(device, dtype, memory format) of the argument forms of `Module.to`."""
    like = tensor if tensor is not None else other
    for value in args:
        if isinstance(value, Tensor):
            like = value
        elif isinstance(value, dtype_type):
            dtype = value
        elif value is not None and not isinstance(value, bool):
            device = value
    if like is not None:
        device, dtype = like.device, like.dtype
    return device, dtype, memory_format
