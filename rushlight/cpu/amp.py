"""`torch.cpu.amp`, the older names of `torch.amp` for the CPU."""
from __future__ import annotations

from .. import dtypes
from ..amp import GradScaler as _GradScaler
from ..amp import autocast as _autocast
from ..amp.older import warn_of as _warn_of

__all__ = ["autocast", "GradScaler"]


class autocast(_autocast):
    """`torch.amp.autocast("cpu", ...)`."""

    def __init__(self, enabled: bool = True, dtype=dtypes.bfloat16,
                 cache_enabled: bool = True) -> None:
        _warn_of("torch.cpu.amp.autocast(args...)", "torch.amp.autocast('cpu', args...)")
        super().__init__("cpu", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(_GradScaler):
    """`torch.amp.GradScaler("cpu", ...)`."""

    def __init__(self, *args, **kwargs) -> None:
        _warn_of("torch.cpu.amp.GradScaler(args...)", "torch.amp.GradScaler('cpu', args...)")
        super().__init__("cpu", *args, **kwargs)
