"""torch.fft: discrete Fourier transforms."""
from .ops import fourier as _bodies

for _name in _bodies.NAMES:
    globals()[_name] = getattr(_bodies, _name)
