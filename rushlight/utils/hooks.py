"""Handles of registered hooks, and the gates that run a module's backward hooks."""
from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict

__all__ = ["RemovableHandle", "BackwardHook", "unserializable_hook", "warn_if_has_hooks"]


class RemovableHandle:
    """What a registration returns: `remove()` takes the hook out again; also a context manager."""

    next_id: int = 0

    def __init__(self, hooks_dict, *, extra_dict=None):
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extras = (() if extra_dict is None else extra_dict if isinstance(extra_dict, list)
                  else (extra_dict,))
        self.extra_dict_ref = tuple(weakref.ref(d) for d in extras)

    def remove(self) -> None:
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self):
        return self.hooks_dict_ref(), self.id, tuple(r() for r in self.extra_dict_ref)

    def __setstate__(self, state):
        def reference(hooks):
            return weakref.ref(OrderedDict() if hooks is None else hooks)
        self.hooks_dict_ref, self.id = reference(state[0]), state[1]
        self.extra_dict_ref = tuple(map(reference, state[2] if len(state) > 2 else ()))
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def unserializable_hook(f):
    """Mark a hook so that saving a tensor that carries it warns."""
    f.__torch_unserializable__ = True
    return f


def warn_if_has_hooks(tensor) -> None:
    """Warn that the hooks of a tensor are not saved with it."""
    for hook in (getattr(tensor, "_backward_hooks", None) or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(f"backward hook {hook!r} on tensor will not be serialized.  If this is "
                          "expected, you can decorate the function with "
                          "@torch.utils.hooks.unserializable_hook to suppress this warning",
                          stacklevel=2)


def _gates():
    """The identity whose backward pass reports its gradients.

    Made on first use (it needs autograd).
    """
    global BackwardHookFunction
    if BackwardHookFunction is None:
        from ..autograd.function import Function

        class BackwardHookFunction(Function):
            @staticmethod
            def forward(ctx, report, *tensors):
                ctx.report = report
                ctx.set_materialize_grads(False)
                return tuple(t.view_as(t) for t in tensors)

            @staticmethod
            def backward(ctx, *grads):
                return None, *ctx.report(grads)
    return BackwardHookFunction


BackwardHookFunction = None


class BackwardHook:
    """One call of a module with full backward hooks.

    The inputs and the outputs pass through one gate each. Going back, the output gate keeps what
    becomes `grad_output` (after the pre-hooks), and the input gate calls the hooks with both.
    """

    def __init__(self, module, user_hooks, user_pre_hooks):
        self.module, self.user_hooks, self.user_pre_hooks = module, user_hooks, user_pre_hooks
        self.grad_outputs = None
        self.n_inputs, self.n_outputs = 0, 0
        self.input_at, self.output_at = (), ()
        self.has_input_gate = False

    def setup_input_hook(self, args: tuple) -> tuple:
        args, self.input_at = self._through(args, self._leave)
        self.n_inputs, self.has_input_gate = len(args), bool(self.input_at)
        return args

    def setup_output_hook(self, result):
        single = not isinstance(result, (tuple, list))
        outputs = (result,) if single else result
        gated, self.output_at = self._through(tuple(outputs), self._enter)
        self.n_outputs = len(gated)
        if single:
            return gated[0]
        return type(result)(*gated) if hasattr(result, "_fields") else type(result)(gated)

    def _through(self, values, report):
        """Pass the tensors that need gradients through one gate; (values, their positions)."""
        from ..autograd.grad_mode import is_grad_enabled
        from ..tensor import Tensor
        at = tuple(i for i, v in enumerate(values) if isinstance(v, Tensor))
        if not is_grad_enabled() or not any(values[i].requires_grad for i in at):
            return values, ()
        at = tuple(i for i in at if values[i].requires_grad)
        values = list(values)
        for i, gated in zip(at, _gates().apply(report, *(values[i] for i in at))):
            values[i] = gated
        return tuple(values), at

    def _enter(self, grads):
        grads = self._spread(grads, self.output_at, self.n_outputs)
        for hook in self.user_pre_hooks:
            grads = self._replaced(grads, hook, hook(self.module, grads), "Backward pre hook")
        self.grad_outputs = grads
        if not self.has_input_gate:
            self._call_without_inputs(grads)
        return tuple(grads[i] for i in self.output_at)

    def _call_without_inputs(self, grad_outputs):
        warnings.warn("Full backward hook is firing when gradients are computed with respect to module outputs since no "
                      "inputs require gradients.", stacklevel=2)
        for hook in self.user_hooks:
            result = hook(self.module, (None,) * self.n_inputs, grad_outputs)
            if any(g is not None for g in (result if isinstance(result, tuple) else (result,))):
                raise RuntimeError("Backward hook for Modules where no input requires gradient "
                                   "should always return None or None for all gradients.")

    def _leave(self, grads):
        if self.grad_outputs is None:
            raise RuntimeError("Module backward hook for grad_input is called before the "
                               "grad_output one. This happens because the gradient in your "
                               "nn.Module flows to the Module's input without passing through the "
                               "Module's output. Make sure that the output depends on the input "
                               "and that the loss is computed based on the output.")
        grads = self._spread(grads, self.input_at, self.n_inputs)
        for hook in self.user_hooks:
            grads = self._replaced(grads, hook, hook(self.module, grads, self.grad_outputs),
                                   "Backward hook", "grad_input")
        self.grad_outputs = None
        return tuple(grads[i] for i in self.input_at)

    @staticmethod
    def _spread(grads, at, n):
        full = [None] * n
        for i, g in zip(at, grads):
            full[i] = g
        return tuple(full)

    @staticmethod
    def _replaced(grads, hook, result, what, which="grad_output"):
        from ..autograd.hooks import checked
        if result is None:
            return grads
        result = (result,) if hasattr(result, "layout") else result
        if len(result) != len(grads):
            raise RuntimeError(f"{what} returned an invalid number of {which}, got "
                               f"{len(result)}, but expected {len(grads)}")
        return tuple([r if r is None or g is None else checked(hook, r, g) for r, g in zip(result, grads)])
