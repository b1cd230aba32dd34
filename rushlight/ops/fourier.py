"""Discrete Fourier transforms: the functions of torch.fft.

`norm` says which direction is divided by the number of points: "backward" (the default), "forward", or "ortho",
both by its root. Real input is taken as what it is; whole numbers and bools become the default dtype.
"""
from __future__ import annotations

import math

from .casting import listed
from .. import dtypes
from ..autograd.function import differentiable
from ..autograd.node import named
from ..layout import wrap_dim
from ..prims import fourier as p
from ..tensor import Tensor
from .complex import conj
from .create import arange, finished
from .index import roll
from .pad import constant_pad
from .pointwise import into
from .shape import narrow, permute
from .support import legacy_name, need

NORMS = {None: (0.0, 1.0), "backward": (0.0, 1.0), "ortho": (0.5, 0.5), "forward": (1.0, 0.0)}
FULL = (dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128)


# -- arguments ---------------------------------------------------------------------------------------------
def scale_of(norm, sizes, forward: bool) -> float:
    """What a transform over axes of these sizes is multiplied by."""
    if norm not in NORMS:
        raise RuntimeError(f"Invalid normalization mode: \"{norm}\"")
    return float(math.prod(sizes)) ** -NORMS[norm][not forward]


def check_input(name: str, x) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"fft_{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")


def promoted(x, complex=False):
    """A floating point or complex tensor of full width."""
    x = x.to(dtypes.default) if x.dtype.rank < 2 else x
    if x.dtype not in FULL:
        raise RuntimeError(f"Unsupported dtype {legacy_name(x.dtype)}")
    return x.to(x.dtype.to_complex()) if complex else x


def check_points(n) -> None:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")


def axis(x, dim) -> int:
    if not x.dim():
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return wrap_dim(dim, x.dim())


def resized(x, dims, sizes):
    """Axes cut or filled up with zeros to these sizes."""
    pad = [0] * (2 * x.dim())
    for d, n in zip(dims, sizes):
        if n < x.shape[d]:
            x = narrow(x, d, 0, n)
        pad[2 * (x.dim() - 1 - d) + 1] = max(n - x.shape[d], 0)
    return constant_pad(x, pad) if any(pad) else x


def axes_and_sizes(x, s, dim, last=None) -> tuple[list, list]:
    """The axes of a transform in several and their sizes, however they were given.

    Of a real result `last` gives the size of its last axis from that of the input.
    """
    s = (s,) if isinstance(s, int) else s
    if dim is None:
        if s is not None and len(s) > x.dim():
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {x.dim()} dimensions.")
        dims = list(range(x.dim() - len(s), x.dim())) if s is not None else list(range(x.dim()))
    else:
        dims = [wrap_dim(d, x.dim()) for d in ((dim,) if isinstance(dim, int) else dim)]
        if s is not None and len(s) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    if len(set(dims)) < len(dims):
        raise RuntimeError("FFT dims must be unique")
    usual = [x.shape[d] for d in dims]
    if last is not None and dims:
        usual[-1] = last(usual[-1])
    sizes = usual if s is None else [old if n == -1 else n for n, old in zip(s, usual)]
    for n in sizes:
        check_points(n)
    return dims, sizes


# -- transforms, lying as PyTorch's do: transformed axes innermost, both kinds in the order of the input -------------
def _arranged(prim, x, dims, last=None, **how):
    rest = [d for d in range(x.dim()) if d not in dims]
    strides = x.layout.strides
    order = [*sorted(rest, key=lambda d: -strides[d]), *(sorted(dims, key=lambda d: -strides[d]) if last is None else
             [*sorted(dims[:-1], key=lambda d: -strides[d]), last])]
    y = prim(permute(x, order), dims=tuple(order.index(d) for d in dims), **how)
    return permute(y, [order.index(d) for d in range(x.dim())])


@differentiable("FftC2CBackward0", vjp=(
    lambda g, _y, _x, *, dims, scale, forward: _c2c(g, dims=dims, scale=scale, forward=not forward),))
def _c2c(x, *, dims, scale, forward):
    return _arranged(p.c2c, x, dims, scale=scale, forward=forward)


@differentiable("FftR2CBackward0", vjp=(lambda g, y, x, **how: p.r2c.vjp[0](g, y, x, **how),))
def _r2c(x, *, dims, scale, forward, half):
    return _arranged(p.r2c, x, dims, dims[-1] if half else None, scale=scale, forward=forward, half=half)


@differentiable("FftC2RBackward0", vjp=(lambda g, y, x, **how: p.c2r.vjp[0](g, y, x, **how),))
def _c2r(x, *, dims, n, scale):
    return _arranged(p.c2r, x, dims, dims[-1], n=n, scale=scale)


def _to_complex(x, dims, norm, forward):
    """Of real or complex numbers, all of it."""
    if not dims:
        return promoted(x, complex=True)
    scale, dims = scale_of(norm, [x.shape[d] for d in dims], forward), tuple(dims)
    if x.dtype.is_complex:
        return _c2c(x, dims=dims, scale=scale, forward=forward)
    y = _r2c(x, dims=dims, scale=scale, forward=forward, half=False)
    return y if forward else named(y, "ConjBackward0")


def _placed(name, y, out):
    if out is None:
        return y
    if out.dtype.is_complex != y.dtype.is_complex:
        kind = "complex" if y.dtype.is_complex else "floating point"
        raise RuntimeError(f"{name} expects a {kind} output tensor, but got {legacy_name(out.dtype)}")
    return into(out, y)


# -- one axis ------------------------------------------------------------------------------------------------------
def _along(name, x, n, dim, norm, forward, out):
    check_input(name, x)
    x = promoted(x)
    d = axis(x, dim)
    n = x.shape[d] if n is None else n
    check_points(n)
    return _placed(name, _to_complex(resized(x, (d,), (n,)), (d,), norm, forward), out)


def fft(input, n=None, dim=-1, norm=None, *, out=None):
    """The transform of n points along `dim`: y[k] = sum of x[m] exp(-2 pi i k m / n), complex."""
    return _along("fft", input, n, dim, norm, True, out)


def ifft(input, n=None, dim=-1, norm=None, *, out=None):
    """The inverse of fft."""
    return _along("ifft", input, n, dim, norm, False, out)


def _half(name, x, n, dim, norm, forward):
    """Of real numbers, the first n // 2 + 1 results."""
    check_input(name, x)
    if x.dtype.is_complex:
        raise RuntimeError(f"{name} expects a real input tensor, but got {legacy_name(x.dtype)}")
    x = promoted(x)
    d = axis(x, dim)
    n = x.shape[d] if n is None else n
    check_points(n)
    return _r2c(resized(x, (d,), (n,)), dims=(d,), scale=scale_of(norm, (n,), forward), forward=True, half=True)


def rfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The first half, n // 2 + 1, of the transform of real numbers; the rest are its conjugates."""
    return _placed("rfft", _half("rfft", input, n, dim, norm, True), out)


def ihfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The inverse of hfft: the first half of the inverse transform of real numbers."""
    return _placed("ihfft", conj(_half("ihfft", input, n, dim, norm, False)), out)


def _real(name, x, n, dim, norm, forward):
    check_input(name, x)
    x = promoted(x, complex=True)
    d = axis(x, dim)
    n = 2 * (x.shape[d] - 1) if n is None else n
    check_points(n)
    x = resized(x, (d,), (n // 2 + 1,))
    return _c2r(conj(x) if forward else x, dims=(d,), n=n, scale=scale_of(norm, (n,), forward))


def irfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The inverse of rfft: n real numbers, 2 (m - 1) of m unless given."""
    return _placed("irfft", _real("irfft", input, n, dim, norm, False), out)


def hfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The transform, real, of numbers of which the first half is given and the rest are its conjugates."""
    return _placed("hfft", _real("hfft", input, n, dim, norm, True), out)


# -- several axes ------------------------------------------------------------------------------------------------------
def _over(name, x, s, dim, norm, forward, out):
    check_input(name, x)
    x = promoted(x)
    dims, sizes = axes_and_sizes(x, s, dim)
    return _placed(name, _to_complex(resized(x, dims, sizes), dims, norm, forward), out)


def fftn(input, s=None, dim=None, norm=None, *, out=None):
    """fft over the axes `dim` (all, or the last len(s)), cut or filled up to the sizes s."""
    return _over("fftn", input, s, dim, norm, True, out)


def ifftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of fftn."""
    return _over("ifftn", input, s, dim, norm, False, out)


def _check_real(name, x) -> None:
    check_input(name, x)
    if x.dtype.is_complex:
        raise RuntimeError(f"{name} expects a real-valued input tensor, but got {legacy_name(x.dtype)}")


def _some(name, dims) -> None:
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")


def rfftn(input, s=None, dim=None, norm=None, *, out=None):
    """fftn of real numbers; of the last axis the first half."""
    _check_real("rfftn", input)
    x = promoted(input)
    dims, sizes = axes_and_sizes(x, s, dim)
    _some("rfftn", dims)
    y = _r2c(resized(x, dims, sizes), dims=tuple(dims), scale=scale_of(norm, sizes, True), forward=True, half=True)
    return _placed("rfftn", y, out)


def _doubled(n):
    return 2 * (n - 1)


def irfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of rfftn: real; s[-1] is the size of the result's last axis."""
    check_input("irfftn", input)
    x = promoted(input, complex=True)
    dims, sizes = axes_and_sizes(x, s, dim, _doubled)
    _some("irfftn", dims)
    x = resized(x, dims, [*sizes[:-1], sizes[-1] // 2 + 1])
    return _placed("irfftn", _c2r(x, dims=tuple(dims), n=sizes[-1], scale=scale_of(norm, sizes, False)), out)


def hfftn(input, s=None, dim=None, norm=None, *, out=None):
    """fftn with a real result: of the last axis the first half is given."""
    check_input("hfftn", input)
    x = promoted(input, complex=True)
    dims, sizes = axes_and_sizes(x, s, dim, _doubled)
    _some("hfftn", dims)
    x = resized(x, dims, [*sizes[:-1], sizes[-1] // 2 + 1])
    if len(dims) > 1:
        x = _to_complex(x, dims[:-1], norm, True)
    y = _c2r(conj(x), dims=(dims[-1],), n=sizes[-1], scale=scale_of(norm, sizes[-1:], True))
    return _placed("hfftn", y, out)


def ihfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The inverse of hfftn, of real numbers."""
    _check_real("ihfftn", input)
    x = promoted(input)
    dims, sizes = axes_and_sizes(x, s, dim)
    _some("ihfftn", dims)
    y = _r2c(resized(x, dims, sizes), dims=(dims[-1],), scale=scale_of(norm, sizes[-1:], False), forward=True, half=True)
    y = conj(y)
    return _placed("ihfftn", _to_complex(y, dims[:-1], norm, False) if len(dims) > 1 else y, out)


def fft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """fftn over two axes, the last ones."""
    return fftn(input, s, dim, norm, out=out)


def ifft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """ifftn over two axes."""
    return ifftn(input, s, dim, norm, out=out)


def rfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """rfftn over two axes."""
    return rfftn(input, s, dim, norm, out=out)


def irfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """irfftn over two axes."""
    return irfftn(input, s, dim, norm, out=out)


def hfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """hfftn over two axes."""
    return hfftn(input, s, dim, norm, out=out)


def ihfft2(input, s=None, dim=(-2, -1), norm=None, *, out=None):
    """ihfftn over two axes."""
    return ihfftn(input, s, dim, norm, out=out)


# -- frequencies and order -------------------------------------------------------------------------------------------
def _frequencies(name, k, n, d, out, dtype, requires_grad):
    kind = dtypes.as_dtype(dtype) or dtypes.default
    if kind.rank < 2:
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    need("arange_cpu", kind, {2})
    y = k.to(kind) * (1.0 / (n * d))
    return finished(y, requires_grad) if out is None else into(out, y)


def fftfreq(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of fft's results for samples d apart: 0, 1, ..., -1 over n d."""
    k = arange(n)
    return _frequencies("fftfreq", k - (k >= (n + 1) // 2) * n, n, d, out, dtype, requires_grad)


def rfftfreq(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of rfft's results: 0, 1, ..., n // 2 over n d."""
    return _frequencies("rfftfreq", arange(n // 2 + 1), n, d, out, dtype, requires_grad)


def _rolled(x, dim, shift):
    dims = range(x.dim()) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    return roll(x, tuple(shift(x.shape[d]) for d in dims), tuple(dims)) if x.dim() else x.clone()


def fftshift(input, dim=None):
    """Frequency 0 moved to the middle of the axes."""
    return _rolled(input, dim, lambda n: n // 2)


def ifftshift(input, dim=None):
    """The inverse of fftshift."""
    return _rolled(input, dim, lambda n: (n + 1) // 2)


NAMES = """fft ifft rfft irfft hfft ihfft fft2 ifft2 rfft2 irfft2 hfft2 ihfft2 fftn ifftn rfftn irfftn hfftn ihfftn
    fftfreq rfftfreq fftshift ifftshift""".split()
listed(globals())
