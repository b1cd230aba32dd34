"""Hooks of modules: the global registries, and the call of a module that has hooks."""
from __future__ import annotations

import functools
import warnings
from collections import OrderedDict

from ...autograd.grad_mode import is_grad_enabled
from ...errors import warn
from ...tensor import Tensor
from ...utils.hooks import BackwardHook, RemovableHandle

forward_pre_hooks: OrderedDict = OrderedDict()
forward_hooks: OrderedDict = OrderedDict()
forward_hooks_with_kwargs: OrderedDict = OrderedDict()
forward_hooks_always_called: OrderedDict = OrderedDict()
backward_pre_hooks: OrderedDict = OrderedDict()
backward_hooks: OrderedDict = OrderedDict()
buffer_hooks: OrderedDict = OrderedDict()
parameter_hooks: OrderedDict = OrderedDict()
module_hooks: OrderedDict = OrderedDict()

_CALL_HOOKS = (forward_pre_hooks, forward_hooks, backward_pre_hooks, backward_hooks)
_backward_is_full: bool | None = None


class any_global:
    """`any_global.now`: whether a global hook that a call must run is registered."""

    now = False


class CallHandle(RemovableHandle):
    """The handle of a global hook that is run by module calls."""

    def remove(self) -> None:
        super().remove()
        any_global.now = any(_CALL_HOOKS)


def add_hook(hooks, hook, *, prepend=False, extra=(), make=RemovableHandle) -> RemovableHandle:
    """Register a hook, first if `prepend`; `extra` are dictionaries that flag it by its id."""
    handle = make(hooks, extra_dict=list(extra))
    hooks[handle.id] = hook
    for flags in extra:
        flags[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _add_global(hooks, hook, extra=()):
    any_global.now = True
    return add_hook(hooks, hook, extra=extra, make=CallHandle)


def register_module_forward_pre_hook(hook) -> RemovableHandle:
    """Call `hook(module, args)` before each forward of every module."""
    return _add_global(forward_pre_hooks, hook)


def register_module_forward_hook(hook, *, with_kwargs: bool = False,
                                 always_call: bool = False) -> RemovableHandle:
    """Call `hook(module, args, output)` after each forward of every module."""
    flags = [d
             for d, on in ((forward_hooks_with_kwargs, with_kwargs),
                           (forward_hooks_always_called, always_call)) if on]
    return _add_global(forward_hooks, hook, flags)


def _set_backward_kind(full):
    global _backward_is_full
    if backward_hooks and _backward_is_full is not full:
        raise RuntimeError("Cannot use both regular backward hooks and full backward hooks as a "
                           "global Module hook. Please use only one of them.")
    _backward_is_full = full


def register_module_backward_hook(hook) -> RemovableHandle:
    """The old form of `register_module_full_backward_hook`: sees the last operation only."""
    _set_backward_kind(False)
    return _add_global(backward_hooks, hook)


def register_module_full_backward_pre_hook(hook) -> RemovableHandle:
    """Call `hook(module, grad_output)` before the gradients of every module are computed."""
    return _add_global(backward_pre_hooks, hook)


def register_module_full_backward_hook(hook) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` when a module's input gradients are known."""
    _set_backward_kind(True)
    return _add_global(backward_hooks, hook)


def register_module_buffer_registration_hook(hook) -> RemovableHandle:
    """Call `hook(module, name, buffer)` whenever a buffer is registered."""
    return add_hook(buffer_hooks, hook)


def register_module_module_registration_hook(hook) -> RemovableHandle:
    """Call `hook(module, name, submodule)` whenever a module is registered."""
    return add_hook(module_hooks, hook)


def register_module_parameter_registration_hook(hook) -> RemovableHandle:
    """Call `hook(module, name, parameter)` whenever a parameter is registered."""
    return add_hook(parameter_hooks, hook)


def registered(hooks, module, name, value):
    """What the registration hooks make of `value`."""
    for hook in hooks.values():
        changed = hook(module, name, value)
        value = value if changed is None else changed
    return value


# -- the call ---------------------------------------------------------------------------------

def call_with_hooks(module, args, kwargs):
    """`module.forward` with every hook that applies, in PyTorch's order."""
    done = set()
    try:
        return _call(module, args, kwargs, done)
    except Exception:
        _run_always_called(module, args, kwargs, done)
        raise


def _call(module, args, kwargs, done):
    if module._forward_pre_hooks or forward_pre_hooks:
        args, kwargs = _run_pre_hooks(module, args, kwargs)
    looks_back = module._backward_hooks or module._backward_pre_hooks or backward_hooks or backward_pre_hooks
    gate = _backward_gate(module) if looks_back else None
    if gate is not None:
        args = gate.setup_input_hook(args)
    result = module.forward(*args, **kwargs)
    if module._forward_hooks or forward_hooks:
        result = _run_hooks(module, args, kwargs, result, done)
    if gate is not None:
        result = gate.setup_output_hook(result)
    if looks_back:
        _attach_old_backward_hooks(module, args, result)
    return result


def _run_hooks(module, args, kwargs, result, done):
    for key, hook, with_kwargs, _ in _forward_hooks_of(module):
        done.add(key)
        changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        result = result if changed is None else changed
    return result


def _run_pre_hooks(module, args, kwargs):
    for key, hook in (*forward_pre_hooks.items(), *module._forward_pre_hooks.items()):
        if key in module._forward_pre_hooks_with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                args, kwargs = _checked_pair(changed)
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


def _checked_pair(changed):
    if isinstance(changed, tuple) and len(changed) == 2:
        return changed
    raise RuntimeError("forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                       f"but got {changed}.")


def _forward_hooks_of(module):
    """(key, hook, with_kwargs, always_called) of each forward hook, global ones first."""
    for key, hook in (*forward_hooks.items(), *module._forward_hooks.items()):
        yield (key, hook,
               key in forward_hooks_with_kwargs or key in module._forward_hooks_with_kwargs,
               key in forward_hooks_always_called or key in module._forward_hooks_always_called)


def _run_always_called(module, args, kwargs, done):
    """After an error: the always-called hooks that have not run yet, whose own errors only warn."""
    for key, hook, with_kwargs, always in _forward_hooks_of(module):
        if not always or key in done:
            continue
        try:
            hook(module, args, kwargs, None) if with_kwargs else hook(module, args, None)
        except Exception as error:
            warnings.warn("module forward hook with ``always_call=True`` raised an exception that "
                          f"was silenced as another error was raised in forward: {error}",
                          stacklevel=2)


def _backward_gate(module):
    pre = [*backward_pre_hooks.values(), *module._backward_pre_hooks.values()]
    full = list(backward_hooks.values()) if _backward_is_full else []
    full += module._backward_hooks.values() if module._is_full_backward_hook is not False else ()
    return BackwardHook(module, full, pre) if full or pre else None


def _attach_old_backward_hooks(module, args, result):
    hooks = list(backward_hooks.values()) if _backward_is_full is False else []
    hooks += module._backward_hooks.values() if module._is_full_backward_hook is False else ()
    if not hooks or not is_grad_enabled():
        return
    node = _first_tensor(result).grad_fn
    _warn_of_missed_gradients(args, result, node)
    for hook in hooks if node is not None else ():
        wrapper = functools.partial(hook, module)
        functools.update_wrapper(wrapper, hook)
        node.register_hook(wrapper)


def _warn_of_missed_gradients(args, result, node) -> None:
    """Tell where an older backward hook does not see the gradients of the module's inputs (or outputs)."""
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    if not all(isinstance(x, Tensor) for x in outputs):
        missing = "that does not return a single Tensor or a tuple of Tensors"
    elif not all(isinstance(x, Tensor) for x in args):
        missing = "that does not take as input a single Tensor or a tuple of Tensors"
    elif len({id(x.grad_fn) for x in outputs if x.grad_fn is not None}) > 1:
        missing = "when outputs are generated by different autograd Nodes"
    elif node is None or {fn for fn, _ in node.next_functions} == {x.grad_fn for x in args if x.grad_fn is not None}:
        return
    else:
        missing = "when the forward contains multiple autograd Nodes"
    warn(f"Using a non-full backward hook {missing} is deprecated; it does not see all gradients. "
         "Please use register_full_backward_hook to get the documented behavior.", FutureWarning)


def _first_tensor(result):
    while not isinstance(result, Tensor):
        result = (next(v for v in result.values() if isinstance(v, Tensor))
                  if isinstance(result, dict) else result[0])
    return result
