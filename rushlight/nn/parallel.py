"""torch.nn.parallel on one device: modules run as they are, as in PyTorch without a GPU."""
from __future__ import annotations

from .modules.module import Module

__all__ = ["DataParallel", "data_parallel"]


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
