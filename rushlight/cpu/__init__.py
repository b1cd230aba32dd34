"""The CPU. Seen by programs, this is PyTorch's `torch.cpu` (device.py); the other files are the
back end, which makes machine code of kernel IR."""
from .device import Stream as Stream, current_device as current_device, current_stream as current_stream
from .device import device_count as device_count, is_available as is_available
from .device import is_initialized as is_initialized, set_device as set_device, stream as stream
from .device import synchronize as synchronize


def __getattr__(name):
    """`torch.cpu.amp` is entered when it is asked for: the back end does not need it."""
    if name == "amp":
        from importlib import import_module
        return import_module(f"{__name__}.amp")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
