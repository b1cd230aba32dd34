"""What can be hung on the tape: hooks on saved tensors and on several gradients, edges."""
from __future__ import annotations

import functools
from typing import NamedTuple

from . import grad_mode, node
from .node import GradFn as Node       # noqa: F401
from .node import accumulator, grad_fn_of


class saved_tensors_hooks:
    """Within the block what operations save goes through `pack`, and through `unpack` when it is read.

    Raises: RuntimeError within `disable_saved_tensors_hooks`.
    """

    def __init__(self, pack_hook, unpack_hook):
        self.hooks = (pack_hook, unpack_hook)

    def __enter__(self):
        if disable_saved_tensors_hooks.messages:
            raise RuntimeError(disable_saved_tensors_hooks.messages[-1])
        node.SAVE_HOOKS.append(self.hooks)

    def __exit__(self, *exc):
        node.SAVE_HOOKS.pop()


class save_on_cpu(saved_tensors_hooks):
    """Saved tensors are kept on the CPU, where all are."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda x: x, lambda x: x)


class allow_mutation_on_saved_tensors(saved_tensors_hooks):
    """Within the block what operations have saved may be overwritten: gradients are those of the values then.

    Backward passes belong into the block, too. A saved value costs no copy unless it is overwritten.
    """

    entered = False

    def __init__(self):
        super().__init__(lambda x: x.detach().clone(), self._read)
        self.is_open = False

    def _read(self, x):
        if not self.is_open:
            raise AssertionError("Trying to backward outside of the 'allow_mutation_on_saved_tensors' context in which "
                                 "the graph was originally recorded.")
        return x

    def __enter__(self):
        if allow_mutation_on_saved_tensors.entered:
            raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
        self.is_open = allow_mutation_on_saved_tensors.entered = True
        super().__enter__()
        return self

    def clear(self) -> None:
        """Nothing is kept aside that could be dropped: values go with what saved them."""

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.is_open = allow_mutation_on_saved_tensors.entered = False


class disable_saved_tensors_hooks:
    """Within the block hooks on saved tensors are an error with this message; so is the block within such hooks."""

    messages: list[str] = []        # of the blocks under way, innermost last

    def __init__(self, error_message: str):
        self.message = error_message

    def __enter__(self):
        if node.SAVE_HOOKS:
            raise RuntimeError(self.message)
        self.messages.append(self.message)

    def __exit__(self, *exc):
        self.messages.pop()


class GradientEdge(NamedTuple):
    """Where a gradient arrives: a function of the tape and which of its outputs."""
    node: object
    output_nr: int


def get_gradient_edge(tensor) -> GradientEdge:
    """The edge at which the gradient of a tensor arrives."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(grad_fn_of(tensor) or accumulator(tensor), tensor._output_nr)


def increment_version(tensor) -> None:
    """Count a write that nobody else saw."""
    for x in tensor if isinstance(tensor, (list, tuple)) else (tensor,):
        x.storage.version += 1


class _Handles:
    def __init__(self, handles):
        self.handles = handles

    def remove(self) -> None:
        for h in self.handles:
            h.remove()


def register_multi_grad_hook(tensors, fn, *, mode: str = "all") -> _Handles:
    """Call fn in each backward pass that reaches one of the tensors.

    Args:
        tensors: which require gradients.
        fn: called with the list of their gradients, None for those that the pass does not reach, once all are
            there; under "any" with the first gradient that comes.
        mode: "all" or "any".

    Raises:
        ValueError: another mode.
        RuntimeError: a tensor that requires no gradient.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    hook = _first_of(fn) if mode == "any" else _all_of(tensors, fn)
    return _Handles([x.register_hook(functools.partial(hook, i)) for i, x in enumerate(tensors)])


def _first_of(fn):
    last = [None]           # the pass that it was called in

    def hook(_i, g):
        if last[0] is not grad_mode.mode.reached:
            last[0] = grad_mode.mode.reached
            fn(g)
    return hook


def _all_of(tensors, fn):
    places = [get_gradient_edge(x).node for x in tensors]
    came: dict = {}         # of the passes under way

    def hook(i, g):
        reached = grad_mode.mode.reached
        grads = came.setdefault(id(reached), {})
        grads[i] = g
        if len(grads) == sum(map(reached.runs, places)):
            del came[id(reached)]
            fn([grads.get(k) for k in range(len(tensors))])
    return hook
