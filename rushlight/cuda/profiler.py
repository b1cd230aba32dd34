"""torch.cuda.profiler without a device."""
from ..errors import absent
from . import NOT_COMPILED

__all__ = ["profile", "start", "stop"]

profile, start, stop = map(absent("torch.cuda.profiler", RuntimeError, NOT_COMPILED), __all__)
