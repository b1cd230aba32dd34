"""torch.cuda on a machine without one: programs may ask and are told no.

Seeding is accepted, as in PyTorch without a GPU; whatever needs a device raises.
"""
from __future__ import annotations

from ..errors import absent
from . import amp as amp

NOT_COMPILED = "Torch not compiled with CUDA enabled"
_refused = absent("torch.cuda", AssertionError, NOT_COMPILED)


def is_available() -> bool:
    return False


def is_initialized() -> bool:
    return False


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Accepted: there is no device generator to seed."""


def manual_seed_all(seed: int) -> None:
    """Accepted: there is no device generator to seed."""


def seed_all() -> None:
    """Accepted: there is no device generator to seed."""


def empty_cache() -> None:
    """Accepted: nothing is cached on devices."""


def ipc_collect() -> None:
    """Accepted: nothing is shared between devices."""


def memory_allocated(device=None) -> int:
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def reset_peak_memory_stats(device=None) -> None:
    """Accepted: device memory is always 0 bytes."""


def is_bf16_supported(including_emulation: bool = True) -> bool:
    return False


def __getattr__(name):
    """Everything else needs a device."""
    if name in ("comm", "nvtx", "profiler", "random"):
        from importlib import import_module
        return import_module(f"{__name__}.{name}")
    return _refused(name)
