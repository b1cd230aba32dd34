"""Weights as length times direction, by a hook before `forward`: the older way of parametrizations.weight_norm.

T. Salimans and D. P. Kingma, Weight Normalization, 2016.
"""
from __future__ import annotations

import warnings

from ... import ops
from ..modules.module import Module
from ..parameter import Parameter, UninitializedParameter
from .computed import remove_hook

__all__ = ["WeightNorm", "weight_norm", "remove_weight_norm"]


def lengths(v, dim: int):
    """|v| for each index of `dim`, the other axes of size 1; one number if it is -1."""
    if dim == -1:
        return v.norm(2)
    others = [d for d in range(v.dim()) if d != dim % v.dim()]
    return ops.norm(v, 2, others, keepdim=True) if others else v.abs()


def scaled(v, g, dim: int):
    """g v / |v|."""
    return v * (g / lengths(v, dim))


class WeightNorm:
    """The hook: computes a weight from its length `NAME_g` and direction `NAME_v`."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Module):
        return scaled(getattr(module, self.name + "_v"), getattr(module, self.name + "_g"),
                      self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Put a hook on a module."""
        warnings.warn("`torch.nn.utils.weight_norm` is deprecated in favor of "
                      "`torch.nn.utils.parametrizations.weight_norm`.", FutureWarning,
                      stacklevel=3)
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError("Cannot register two weight_norm hooks on the same parameter "
                                   + name)
        made, weight = WeightNorm(name, dim), getattr(module, name)
        if isinstance(weight, UninitializedParameter):
            raise ValueError("The module passed to `WeightNorm` can't have uninitialized "
                             "parameters. Make sure to run the dummy forward before applying "
                             "weight normalization")
        del module._parameters[name]
        module.register_parameter(name + "_g", Parameter(lengths(weight, made.dim).detach()))
        module.register_parameter(name + "_v", Parameter(weight.detach()))
        setattr(module, name, made.compute_weight(module))
        module.register_forward_pre_hook(made)
        return made

    def remove(self, module: Module) -> None:
        """Leave the present weight as the parameter."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"], module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Let w = g v / |v| be computed before each `forward`, g for each index of `dim`."""
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo `weight_norm`.

    Raises:
        ValueError: the tensor has none.
    """
    return remove_hook(module, WeightNorm, name, "weight_norm")
