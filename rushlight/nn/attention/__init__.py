"""Choosing how attention is computed: accepted, since the compiler decides here."""
from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(IntEnum):
    """PyTorch's implementations of scaled dot product attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: list[SDPBackend] | SDPBackend, set_priority: bool = False):
    """Name the implementations that may be used inside; there is one, and it is always allowed."""
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError("Backend must be an instance of SDPBackend or a list of SDPBackend "
                             "instances")
    yield


def __getattr__(name):
    if name in ("bias", "flex_attention"):
        from importlib import import_module
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'torch.nn.attention' has no attribute {name!r}")
