"""Functions that users hang on tensors."""
from __future__ import annotations

from collections import OrderedDict
from weakref import ref

from ..utils.hooks import RemovableHandle
from .node import AccumulateGrad, grad_fn_of, is_tracked, type_name


def _add(x, slot, hook):
    if getattr(x, slot) is None:
        setattr(x, slot, OrderedDict())
    table = getattr(x, slot)
    handle = RemovableHandle(table)
    table[handle.id] = hook
    return handle


def checked(hook, result, g):
    """What a hook made of a gradient, which keeps its shape and dtype."""
    name = getattr(hook, "__name__", hook)
    if not hasattr(result, "dtype") or not hasattr(result, "layout"):
        raise TypeError(f"expected Variable, but hook returned '{type(result).__name__}'")
    if g is None:
        raise RuntimeError("can't replace a None gradient with a non-None value")
    if result.dtype is not g.dtype:
        raise RuntimeError(f"hook '{name}' has changed the type of value (was {type_name(g.dtype)} got "
                           f"{type_name(result.dtype)})")
    if tuple(result.shape) != tuple(g.shape):
        raise RuntimeError(f"hook '{name}' has changed the size of value: expected {list(g.shape)}, found "
                           f"{list(result.shape)}")
    return result


def all_checked(hook, results, grads) -> tuple:
    """The same of a function's hook, which gives as many as it was given, or one alone."""
    if hasattr(results, "layout"):
        results = (results,)
    if not isinstance(results, (tuple, list)):
        raise TypeError(f"expected tuple, but hook returned '{type(results).__name__}'")
    if len(results) != len(grads):
        raise RuntimeError(f"hook '{getattr(hook, '__name__', hook)}' has returned an incorrect number of values "
                           f"(got {len(results)}, but expected {len(grads)})")
    return tuple([r if r is None else checked(hook, r, g) for r, g in zip(results, grads)])


def register_tensor_hook(x, hook):
    """hook(grad) -> Tensor or None when the gradient of x is computed."""
    if not is_tracked(x):
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    fn = grad_fn_of(x)
    if fn is None:
        return _add(x, "_hooks", hook)
    nr = x._output_nr

    def pre_hook(grads):
        if grads[nr] is None:
            return None
        result = hook(grads[nr])
        if result is None:
            return None
        return (*grads[:nr], checked(hook, result, grads[nr]), *grads[nr + 1:])
    handle = fn.register_prehook(pre_hook)
    if x._retains_grad:                 # what is retained is the gradient after all hooks
        fn.pre_hooks.move_to_end(x._retain_handle.id)
    return handle


def register_post_accumulate(x, hook):
    """hook(x) after .grad of the leaf x was accumulated."""
    if not is_tracked(x):
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if grad_fn_of(x) is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return _add(x, "_accumulate_hooks", hook)


def retain_grad(x) -> None:
    """Keep the gradient of a non-leaf in `.grad`; nothing to do for a leaf."""
    if not is_tracked(x):
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    fn = grad_fn_of(x)
    if fn is None or x._retains_grad or type(fn) is AccumulateGrad:
        return
    x._retains_grad = True
    weak, nr = ref(x), x._output_nr

    def keep(grads):
        target = weak()
        if target is not None and grads[nr] is not None:
            g = grads[nr].clone()       # its graph too, if there is to be one
            target._grad = g if target._grad is None else target._grad + g
    x._retain_handle = fn.register_prehook(keep)
