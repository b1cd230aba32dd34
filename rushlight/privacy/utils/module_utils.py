"""Walks over modules that have parameters to train."""
from __future__ import annotations

import io
from collections.abc import Iterator

from ... import nn, serialization
from ...tensor import Tensor


def has_trainable_params(module: nn.Module) -> bool:
    """Whether a parameter of the module itself is to be trained."""
    return any(p.requires_grad for p in module.parameters(recurse=False))


def parametrized_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(name, module) of all modules with parameters of their own."""
    return ((k, m) for k, m in module.named_modules() if any(True for _ in m.parameters(recurse=False)))


def trainable_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(name, module) of all modules with parameters of their own that are to be trained."""
    return ((k, m) for k, m in module.named_modules() if has_trainable_params(m))


def trainable_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """(name, parameter) of all parameters that are to be trained."""
    return ((k, p) for k, p in module.named_parameters() if p.requires_grad)


def requires_grad(module: nn.Module, *, recurse: bool = False) -> bool:
    """Whether the module has parameters and all of them are to be trained."""
    found = list(module.parameters(recurse=recurse))
    return bool(found) and all(p.requires_grad for p in found)


def clone_module(module: nn.Module) -> nn.Module:
    """A copy that shares nothing, by way of a checkpoint in memory."""
    memory = io.BytesIO()
    serialization.save(module, memory)
    memory.seek(0)
    return serialization.load(memory, weights_only=False)


def get_submodule(module: nn.Module, target: str) -> nn.Module:
    """The module of a dotted name; AttributeError if there is none."""
    return module.get_submodule(target)


def are_state_dict_equal(sd1: dict, sd2: dict) -> bool:
    """Whether two state dictionaries hold the same names and values."""
    if sd1.keys() != sd2.keys():
        return False
    return all(bool((a == sd2[k]).all()) if isinstance(a, Tensor) else a == sd2[k]
               for k, a in sd1.items())
