"""What can be hung on the tape: hooks on saved tensors and on several gradients, edges."""
from __future__ import annotations

from typing import NamedTuple

from . import node
from .node import GradFn as Node       # noqa: F401
from .node import accumulator, grad_fn_of


class saved_tensors_hooks:
    """Within the block what operations save goes through `pack`, and through `unpack` when it is read."""

    def __init__(self, pack_hook, unpack_hook):
        self.hooks = (pack_hook, unpack_hook)

    def __enter__(self):
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
    """Within the block hooks on saved tensors raise an error."""

    def __init__(self, error_message: str):
        def refuse(_):
            raise RuntimeError(error_message)
        self.hooks = (refuse, refuse)

    def __enter__(self):
        self.before, node.SAVE_HOOKS[:] = list(node.SAVE_HOOKS), []

    def __exit__(self, *exc):
        node.SAVE_HOOKS[:] = self.before


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
    """fn(gradients) once those of all tensors are there, or fn(gradient) for the first of them ("any")."""
    found: dict[int, object] = {}
    fired = []

    def hook_of(i):
        def hook(g):
            if mode == "any":
                if not fired:
                    fired.append(True)
                    fn(g)
                return
            found[i] = g
            if len(found) == len(tensors):
                grads = [found[k] for k in range(len(tensors))]
                found.clear()
                fn(grads)
        return hook
    return _Handles([x.register_hook(hook_of(i)) for i, x in enumerate(tensors)])
