"""What programs ask about the device called "cpu": the functions of PyTorch's `torch.cpu`."""
from __future__ import annotations

from contextlib import contextmanager

from .. import storage


def synchronize(device=None) -> None:
    """Run all recorded work: a timer calls this before it looks at the clock."""
    storage.run_pending()


def is_available() -> bool:
    """True: there is always a CPU."""
    return True


def is_initialized() -> bool:
    """True: there is nothing to initialise."""
    return True


def device_count() -> int:
    """1: all cores together are one device."""
    return 1


def current_device() -> str:
    """The name of the device that is in use, "cpu"."""
    return "cpu"


def set_device(device) -> None:
    """Accepted and without effect, as in PyTorch: there is one CPU."""


class Stream:
    """An order of work on a device. The CPU has one; it exists so that programs can name it."""

    def wait_stream(self, stream) -> None:
        """Nothing to wait for: work runs in the order in which it was recorded."""


_stream = Stream()


def current_stream(device=None) -> Stream:
    """The one stream of the CPU."""
    return _stream


@contextmanager
def stream(stream):
    """Use a stream inside a `with` block; without effect."""
    yield
