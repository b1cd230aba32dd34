"""torch.xpu on a machine without one."""
from __future__ import annotations

MISSING = "Torch not compiled with XPU enabled: rushlight computes on the CPU only"


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


def __getattr__(name):
    """Everything else needs a device."""
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*args, **kwargs):
        raise AssertionError(f"torch.xpu.{name}: {MISSING}")
    return missing
