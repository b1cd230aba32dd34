"""Short-time Fourier transforms: of windows that move along a signal, and back."""
from __future__ import annotations

import warnings

from .casting import listed
from ..autograd.node import type_name
from ..errors import warn_once
from .complex import view_as_real
from .create import arange, ones, zeros
from .fourier import fft, ifft, irfft, rfft
from .pad import constant_pad
from .shape import as_strided, narrow


def _words(name, x, window, n_fft, hop, win, **rest):
    """How PyTorch begins what it says of bad arguments."""
    kind = type_name(x.dtype) if name == "stft" else "CPU" + type_name(x.dtype).removeprefix("torch.").replace("Tensor", "Type")
    seen = "None" if window is None else f"{type_name(window.dtype)}{{{list(window.shape)}}}"
    said = ", ".join(f"{k}={int(v) if isinstance(v, bool) else v}" for k, v in rest.items())
    return f"{name}({kind}{list(x.shape)}, n_fft={n_fft}, hop_length={hop}, win_length={win}, window={seen}, {said}) "


def _ask(ok, words, said) -> None:
    if not ok:
        raise RuntimeError(words + ": " + said)


def _window(window, win, n_fft, x):
    """The window in the middle of n_fft points."""
    if window is None:
        window = ones(win, dtype=x.dtype.to_real())
    before = (n_fft - win) // 2
    return constant_pad(window, (before, n_fft - win - before)) if win < n_fft else window


def stft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False,
         onesided=None, return_complex=None, align_to_window=None):
    """Transforms of windows of a signal (time) or of several (batch, time): (batch?, frequencies, windows).

    Args:
        n_fft: points of each transform.
        hop_length: from one window to the next; n_fft // 4 unless given.
        window: factors (win_length), in the middle of the n_fft points; ones unless given.
        center: window k has its middle at k hop_length: the signal is continued by `pad_mode` at both ends.
        normalized: divide by the root of n_fft.
        onesided: only the frequencies up to n_fft // 2; True unless signal or window are complex.
        return_complex: False gives (..., 2) real numbers.
        align_to_window: without `center`, windows of win_length points begin where the signal does.
    """
    hop, win = n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    x = _continued(input, n_fft // 2, pad_mode) if center else input
    _warn_of_rectangle(window)
    words = _words("stft", x, window, n_fft, hop, win, normalized=bool(normalized), onesided=onesided,
                   return_complex=return_complex, align_to_window=align_to_window)
    is_complex = x.dtype.is_complex or window is not None and window.dtype.is_complex
    _check_stft(x, window, n_fft, hop, win, words)
    if return_complex is None and not is_complex:
        raise RuntimeError("stft requires the return_complex parameter be given for real inputs, and will further require "
                           "that return_complex=True in a future PyTorch release.")
    if onesided and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if align_to_window and win < n_fft:
        before = (n_fft - win) // 2
        x = constant_pad(x, (before, n_fft - win - before))
    y = _transformed(_frames(x.unsqueeze(0) if x.dim() == 1 else x, n_fft, hop), window, win, n_fft, normalized,
                     onesided if onesided is not None else not is_complex)
    y = y.squeeze(0) if input.dim() == 1 else y
    return y if return_complex or return_complex is None else _in_reals(y)


def _warn_of_rectangle(window) -> None:
    if window is None:
        warn_once("A window was not provided. A rectangular window will be applied, whose frequencies leak into others.")


def _check_stft(x, window, n_fft, hop, win, words) -> None:
    length = x.shape[-1] if x.dim() else 0
    _ask(x.dtype.rank >= 2, words, "expected a tensor of floating point or complex values")
    _ask(x.dim() in (1, 2), words, "expected a 1D or 2D tensor")
    _ask(0 < n_fft <= length, words, f"expected 0 < n_fft < {length}, but got n_fft={n_fft}")
    _ask(hop > 0, words, f"expected hop_length > 0, but got hop_length={hop}")
    _ask(0 < win <= n_fft, words, f"expected 0 < win_length <= n_fft, but got win_length={win}")
    _ask(window is None or window.shape == (win,), words, "expected a 1D window tensor of size equal to "
         f"win_length={win}, but got window with size {list(window.shape) if window is not None else ''}")


def _continued(x, n, mode):
    from ..nn.functional import pad
    shape = [1] * (3 - x.dim()) + list(x.shape)
    return pad(x.view(shape), (n, n), mode).view(*x.shape[:-1], -1)


def _frames(x, n_fft, hop):
    """(batch, windows, n_fft), a view."""
    l = x.layout
    n = 1 + (l.shape[1] - n_fft) // hop
    return as_strided(x, (l.shape[0], n, n_fft), (l.strides[0], hop * l.strides[1], l.strides[1]), x.offset)


def _transformed(frames, window, win, n_fft, normalized, onesided):
    if window is not None or win < n_fft:
        frames = frames * _window(window, win, n_fft, frames)
    norm = "ortho" if normalized else None
    return (rfft if onesided else fft)(frames, norm=norm).transpose(1, 2)


def _in_reals(y):
    warnings.warn("stft with return_complex=False is deprecated. In a future pytorch release, stft will return complex "
                  "tensors for all inputs, and return_complex=False will raise an error.", stacklevel=3)
    return view_as_real(y)


def istft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None,
          length=None, return_complex=False):
    """The signal whose stft is nearest to (batch?, frequencies, windows): windows are added up where they lie.

    Args:
        onesided: whether only half of the frequencies are given; seen from the shape unless given.
        length: how long the signal is to be.
        return_complex: whether it is complex.
    """
    win = n_fft if win_length is None else win_length
    hop = win // 4 if hop_length is None else hop_length
    _warn_of_rectangle(window)
    words = _words("istft", input, window, n_fft, hop, win, center=bool(center), normalized=bool(normalized),
                   onesided=onesided, length=length, return_complex=bool(return_complex))
    if not input.dtype.is_complex:
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from stft with "
                           "return_complex=True.")
    onesided = _check_istft(input, window, n_fft, hop, win, onesided, return_complex, words)
    x = (input if input.dim() == 3 else input.unsqueeze(0)).transpose(1, 2)
    y, envelope = _added_up(x, n_fft, hop, _window(window, win, n_fft, x), normalized, onesided, return_complex)
    y = _trimmed(y, envelope, n_fft, center, length, words)
    return y if input.dim() == 3 else y.squeeze(0)


def _check_istft(x, window, n_fft, hop, win, onesided, return_complex, words) -> bool:
    """Whether only half of the frequencies are given."""
    _ask(x.numel() > 0, words, "input tensor cannot be empty.")
    _ask(x.dim() in (2, 3), words, f"expected a tensor with 3 or 4 dimensions, but got {x.dim() + 1}")
    points = x.shape[-2]
    half = points != n_fft if onesided is None else bool(onesided)
    place, needed = "expected the frequency dimension (3rd to the last) of the input tensor to match ", n_fft // 2 + 1
    _ask(not half or points == needed, words, place + f"n_fft / 2 + 1 when onesided=True, but got {points}")
    _ask(half or points == n_fft, words, place + f"n_fft when onesided=False, but got {points}")
    _ask(0 < hop <= win, words, "expected 0 < hop_length <= win_length")
    _ask(0 < win <= n_fft, words, "expected 0 < win_length <= n_fft")
    _ask(window is None or window.shape == (win,), words,
         "Invalid window shape. window has to be 1D and length of `win_length`")
    if return_complex and half:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if not return_complex and window is not None and window.dtype.is_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    return half


def _added_up(x, n_fft, hop, window, normalized, onesided, return_complex):
    """(the sum of all windows where they lie, the sum of their squared factors)."""
    norm = "ortho" if normalized else None
    if return_complex:
        frames = ifft(x, norm=norm)
    else:
        frames = irfft(x if onesided else narrow(x, -1, 0, n_fft // 2 + 1), n_fft, norm=norm)
    n = x.shape[1]
    at = (arange(n).unsqueeze(1) * hop + arange(n_fft)).reshape(-1)
    frames, squares = frames * window, (window * window).expand(1, n, n_fft)
    return tuple(zeros(f.shape[0], n_fft + hop * (n - 1), dtype=f.dtype).index_add(1, at, f.reshape(f.shape[0], -1))
                 for f in (frames, squares))


def _trimmed(y, envelope, n_fft, center, length, words):
    full = y.shape[1]
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else full - n_fft // 2 if center else full
    y, envelope = (t[:, start:min(end, full)] for t in (y, envelope))
    lowest = envelope.detach().abs().min()
    if not bool(lowest > 1e-11):
        raise RuntimeError(f"{words}window overlap add min: {lowest.item():g}")
    y = y / envelope
    if end > full:
        warnings.warn("The length of signal is shorter than the length parameter. Result is being padded with zeros in the "
                      "tail. Please check your center and hop_length settings.", stacklevel=4)
        y = constant_pad(y, (0, end - full))
    return y


listed(globals())
