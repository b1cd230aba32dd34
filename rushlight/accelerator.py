"""torch.accelerator on a machine without one."""
from __future__ import annotations

MISSING = ("Cannot access accelerator device when none is available: rushlight computes on the CPU "
           "only")


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def current_accelerator(check_available: bool = False):
    """None: there is none."""


def _refuse(*_, **__):
    raise RuntimeError(MISSING)


def current_device_index() -> int:
    """Raises: no device is current."""
    _refuse()


def current_device_idx() -> int:
    """Raises: no device is current."""
    _refuse()


def set_device_index(device) -> None:
    """Raises: there is no device to choose."""
    _refuse()


def set_device_idx(device) -> None:
    """Raises: there is no device to choose."""
    _refuse()


def synchronize(device=None) -> None:
    """Raises: there is no device to wait for."""
    _refuse()


class device_index:
    """A context manager that makes a device current; None changes nothing."""

    def __init__(self, device: int | None) -> None:
        self.device = device

    def __enter__(self):
        if self.device is not None:
            _refuse()

    def __exit__(self, *_):
        return None
