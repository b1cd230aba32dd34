"""torch.signal.windows: weights (M,) that fade towards both ends.

`sym` says whether a window is symmetric, or one period of M + 1 points without the last, as spectra want it.
"""
from __future__ import annotations

import functools
import math

from .. import dtypes, ops
from ..ops import special

__all__ = ["bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming",
           "hann", "kaiser", "nuttall"]


def _window(weigh):
    """A window by the function that weighs points: checks, and the windows of no and of one point."""
    @functools.wraps(weigh)
    def window(M, *args, sym=True, dtype=None, layout=None, device=None, requires_grad=False, **kwargs):
        kind = dtypes.as_dtype(dtype) or dtypes.default
        name = weigh.__name__
        if M < 0:
            raise ValueError(f"{name} requires non-negative window length, got M={M}")
        if kind not in (dtypes.float32, dtypes.float64):
            raise ValueError(f"{name} expects float32 or float64 dtypes, got: {kind}")
        if layout is not None and str(layout) != "torch.strided":
            raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
        y = weigh(M, *args, sym=sym, dtype=kind, device=device, **kwargs)
        y = ops.ones(M, dtype=kind, device=device) if M < 2 else y
        return y.requires_grad_() if requires_grad else y
    return window


def _points(M, first, step, dtype, device):
    """M numbers from `first` in steps."""
    return ops.linspace(first, first + (M - 1) * step, M, dtype=dtype, device=device)


def _period(M, sym) -> int:
    return max(M - 1 if sym else M, 1)


def _middle(M, sym) -> float:
    return (M if not sym and M > 1 else M - 1) / 2


@_window
def general_cosine(M, *, a, sym, dtype, device):
    """a[0] - a[1] cos(t) + a[2] cos(2 t) - ... over a turn of t."""
    if not isinstance(a, (list, tuple)) or not a:
        raise (TypeError if not isinstance(a, (list, tuple)) else ValueError)(
            "Coefficients must be a list/tuple" if not isinstance(a, (list, tuple)) else "Coefficients cannot be empty")
    t = _points(M, 0.0, 2 * math.pi / _period(M, sym), dtype, device)
    return functools.reduce(lambda total, term: total + term, [(-1) ** i * c * (i * t).cos() for i, c in enumerate(a)])


@_window
def general_hamming(M, *, alpha=0.54, sym, dtype, device):
    """alpha - (1 - alpha) cos(t)."""
    return general_cosine(M, a=[alpha, 1 - alpha], sym=sym, dtype=dtype, device=device)


@_window
def hamming(M, *, sym, dtype, device):
    """0.54 - 0.46 cos(t)."""
    return general_hamming(M, sym=sym, dtype=dtype, device=device)


@_window
def hann(M, *, sym, dtype, device):
    """(1 - cos(t)) / 2."""
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, device=device)


@_window
def blackman(M, *, sym, dtype, device):
    """0.42 - 0.5 cos(t) + 0.08 cos(2 t)."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, device=device)


@_window
def nuttall(M, *, sym, dtype, device):
    """Nuttall's window of four terms (IEEE Trans. ASSP 29, 1981)."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, dtype=dtype, device=device)


@_window
def bartlett(M, *, sym, dtype, device):
    """A triangle: 1 - |t| for t from -1 to 1."""
    return 1 - _points(M, -1.0, 2 / _period(M, sym), dtype, device).abs()


@_window
def cosine(M, *, sym, dtype, device):
    """Half a period of a sine, at the middles of M intervals."""
    step = math.pi / (M if sym else M + 1) if M else 0.0
    return _points(M, step / 2, step, dtype, device).sin()


@_window
def exponential(M, *, center=None, tau=1.0, sym, dtype, device):
    """exp(-|n - center| / tau)."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    center = _middle(M, sym) if center is None else center
    return (-_points(M, -center / tau, 1 / tau, dtype, device).abs()).exp()


@_window
def gaussian(M, *, std=1.0, sym, dtype, device):
    """exp(-(n - middle)^2 / (2 std^2))."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    scale = 1 / (std * math.sqrt(2))
    return (-_points(M, -_middle(M, sym) * scale, scale, dtype, device) ** 2).exp()


@_window
def kaiser(M, *, beta=12.0, sym, dtype, device):
    """I0(beta sqrt(1 - t^2)) / I0(beta) for t from -1 to 1."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    step = 2 * beta / _period(M, sym)
    t = ops.linspace(-beta, min(beta, -beta + (M - 1) * step), M, dtype=dtype, device=device)
    height = ops.tensor(float(beta), dtype=dtype)
    return special.i0((height * height - t * t).clamp(min=0).sqrt()) / special.i0(height)
