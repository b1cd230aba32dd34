"""torch.xpu on a machine without one."""
from __future__ import annotations

from .errors import absent


def is_available() -> bool:
    return False


def is_initialized() -> bool:
    return False


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Accepted: there is no device generator to seed."""


manual_seed_all = manual_seed


def seed() -> None:
    """Accepted: there is no device generator to seed."""


seed_all = seed


def empty_cache() -> None:
    """Accepted: nothing is cached on devices."""


def is_bf16_supported(including_emulation: bool = True) -> bool:
    return False


__getattr__ = absent("torch.xpu", AssertionError, "Torch not compiled with XPU enabled")
