"""torch.fft: discrete Fourier transforms."""
from .ops.overridable import caught as _caught
from .ops import fourier as _bodies
from .ops.numpy_names import accepting as _accepting

for _name in _bodies.NAMES:
    globals()[_name] = _accepting(getattr(_bodies, _name))
_caught(globals())
