"""torch.mps on a machine without one."""
from __future__ import annotations

MISSING = "PyTorch is not linked with support for mps devices: rushlight computes on the CPU only"


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Accepted: there is no device generator to seed."""


def seed() -> None:
    """Accepted: there is no device generator to seed."""


def __getattr__(name):
    """Everything else needs a device."""
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*args, **kwargs):
        raise RuntimeError(f"torch.mps.{name}: {MISSING}")
    return missing
