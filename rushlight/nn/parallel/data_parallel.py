"""torch.nn.parallel on one device: modules run as they are, as in PyTorch without a GPU."""
from __future__ import annotations

import copy
import warnings

from ... import ops
from ...tensor import Tensor, check_device
from ..modules.module import Module

__all__ = ["DataParallel", "data_parallel", "gather", "parallel_apply", "replicate", "scatter"]


def _check(device_ids):
    if device_ids:
        raise AssertionError("Torch not compiled with CUDA enabled: rushlight computes on the CPU only")


class DataParallel(Module):
    """A module whose batches are split over devices; there are none, so it only passes calls on.

    State dictionaries have the prefix `module.`, as PyTorch's.
    """

    def __init__(self, module: Module, device_ids=None, output_device=None, dim: int = 0) -> None:
        super().__init__()
        _check(device_ids)
        self.module, self.device_ids, self.dim = module, [], dim

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)


def data_parallel(module: Module, inputs, device_ids=None, output_device=None, dim: int = 0,
                  module_kwargs=None):
    """`module` applied to `inputs`, one or a tuple, in one go."""
    _check(device_ids)
    inputs = inputs if isinstance(inputs, tuple) else (inputs,) if inputs is not None else ()
    return module(*inputs, **(module_kwargs or {}))


def scatter(inputs, target_gpus, dim: int = 0):
    """Tensors in nested containers cut into as many parts as devices are given, anything else repeated.

    Returns one structure like `inputs` for each device that gets a part.
    """
    devices = list(target_gpus)
    for d in devices:
        check_device(d)
    return _scattered(inputs, len(devices), dim)


def _scattered(x, n, dim):
    if isinstance(x, Tensor):
        return list(x.chunk(n, dim))
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return [type(x)(*parts) for parts in zip(*(_scattered(item, n, dim) for item in x))]
    if isinstance(x, (tuple, list)) and x:
        return [type(x)(parts) for parts in zip(*(_scattered(item, n, dim) for item in x))]
    if isinstance(x, dict) and x:
        return [type(x)(parts) for parts in zip(*(_scattered(item, n, dim) for item in x.items()))]
    return [x] * n


def gather(outputs, target_device=None, dim: int = 0):
    """Structures of tensors, such as replicas return, as one: tensors side by side along `dim`."""
    if target_device not in (None, -1):
        check_device(target_device)
    first = outputs[0]
    if isinstance(first, Tensor):
        return _joined(outputs, dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if not all(len(out) == len(first) for out in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((k, gather([out[k] for out in outputs], target_device, dim)) for k in first)
    parts = [gather(part, target_device, dim) for part in zip(*outputs)]
    return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)


def _joined(tensors, dim):
    if all(not x.dim() for x in tensors) and dim == 0:
        warnings.warn("Was asked to gather along dimension 0, but all input tensors were scalars; will instead unsqueeze "
                      "and return a vector.", stacklevel=3)
        return ops.stack(list(tensors))
    return ops.cat(list(tensors), dim)


def replicate(network: Module, devices, detach: bool = False) -> list:
    """A copy of a module for each device; parameters and buffers are shared with it (outside of the tape: `detach`)."""
    for d in devices:
        check_device(d)
    shared = [*network.parameters(), *network.buffers()]
    memo = {id(x): x.detach() if detach else x for x in shared}
    return [copy.deepcopy(network, dict(memo)) for _ in devices]


def parallel_apply(modules, inputs, kwargs_tup=None, devices=None) -> list:
    """Each module applied to its inputs (a tuple, or one that is not) and keyword arguments; their results in order."""
    kwargs_tup = kwargs_tup or [{}] * len(modules)
    if len(modules) != len(inputs):
        raise AssertionError(f"The number of modules {len(modules)} is not equal to the number of inputs {len(inputs)}")
    for d in devices or ():
        check_device(d)
    return [m(*(x if isinstance(x, (list, tuple)) else (x,)), **(k or {}))
            for m, x, k in zip(modules, inputs, kwargs_tup, strict=True)]
