"""Hooks that compute a tensor of a module before each forward pass."""
from __future__ import annotations


def remove_hook(module, kind: type, name: str, what: str):
    """Take the hook of class `kind` away that computes a tensor, leaving its present value; returns the module.

    Raises:
        ValueError: there is none.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"{what} of '{name}' not found in {module}")
