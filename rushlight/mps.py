"""torch.mps on a machine without one."""
from __future__ import annotations

from .errors import absent


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Accepted: there is no device generator to seed."""


def seed() -> None:
    """Accepted: there is no device generator to seed."""


__getattr__ = absent("torch.mps", RuntimeError, "PyTorch is not linked with support for mps devices")
