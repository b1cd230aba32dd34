"""Modules whose parameters take their shape from the first input."""
from __future__ import annotations

from ..parameter import is_lazy
from .module_hooks import add_hook

__all__ = ["LazyModuleMixin"]


class LazyModuleMixin:
    """Before a Module class: initialises parameters in the first call, then the class changes.

    Subclasses name `cls_to_become` and define `initialize_parameters(*inputs)`.
    """

    cls_to_become: type | None = None

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(_shape_from(self))
        self._initialize_hook = add_hook(self._forward_pre_hooks, _infer,
                                         extra=[self._forward_pre_hooks_with_kwargs])

    def initialize_parameters(self, *args, **kwargs) -> None:
        """Give every parameter its shape, from the first inputs."""
        raise NotImplementedError("initialize_parameters is not implemented for "
                                  f"{self.__class__.__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer still waits for its shape."""
        return any(is_lazy(t) for t in (*self._parameters.values(), *self._buffers.values()))

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        for name, tensor in self._local_state():
            destination[prefix + name] = tensor if is_lazy(tensor) or keep_vars else tensor.detach()


def _shape_from(module):
    """A load hook: parameters without shape take that of the loaded ones."""
    def hook(state_dict, prefix, *_):
        for name, tensor in module._local_state():
            given = state_dict.get(prefix + name)
            if is_lazy(tensor) and given is not None and not is_lazy(given):
                tensor.materialize(given.shape)
    return hook


def _infer(module, args, kwargs):
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(f"module {module._get_name()} has not been fully initialized")
    module._initialize_hook.remove()
    module._load_hook.remove()
    del module._initialize_hook, module._load_hook
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become
