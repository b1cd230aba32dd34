"""Statistics, integrals and distances of the public namespace."""
from __future__ import annotations

import math

from .casting import listed
from .. import dtypes
from ..autograd.function import differentiable
from ..autograd.node import named
from ..errors import warn_once
from ..layout import broadcast_shapes, wrap_dim
from ..tensor import Tensor
from ..trace.record import pending
from .create import tensor, zeros
from .complex import complex, real_part
from .pointwise import where
from .promote import into
from .support import legacy_name, need


def histc(input, bins=100, min=0, max=0):
    """How many elements fall into each of equal bins between min and max (the data's own if both are 0)."""
    need("histogram_cpu", input.dtype, {2})
    x = input.detach().reshape(-1)
    low, high = (x.min().item(), x.max().item()) if min == max and x.numel() else (float(min), float(max))
    if low == high:
        low, high = low - 1, high + 1
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if not math.isfinite(low) or not math.isfinite(high):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    kind = x.dtype.numpy.type
    return _counts(x, kind(low), kind(high), bins)


def _counts(x, low, high, bins):
    """How many elements fall into each bin; the last one has both its borders."""
    span = float(high - low)
    inside = (x >= float(low)) & (x <= float(high))
    at = where(inside, (x - float(low)) * bins / span, 0.0).to(dtypes.int64).clamp(max=bins - 1)
    return zeros(bins, dtype=dtypes.int64).scatter_add(0, at, inside.to(dtypes.int64)).to(x.dtype)


def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """The q-th quantiles of all elements or of an axis; q is a number or a vector in [0, 1]."""
    y = _quantile(input, q, dim, keepdim, interpolation, skip_nan=False)
    return y if out is None else into(out, y, "quantile() out tensor must be same dtype as the input tensor")


def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """Quantiles of the elements that are not nan."""
    y = _quantile(input, q, dim, keepdim, interpolation, skip_nan=True)
    return y if out is None else into(out, y, "quantile() out tensor must be same dtype as the input tensor")


def _quantile(x, q, dim, keepdim, interpolation, skip_nan):
    if x.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if not isinstance(q, Tensor) and not 0 <= q <= 1:
        raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q:g}")
    if not x.numel():
        raise RuntimeError("quantile() input tensor must be non-empty")
    q = q if isinstance(q, Tensor) else tensor(float(q), dtype=x.dtype)
    if q.dtype is not x.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    if pending.capture is None and bool(((q < 0) | (q > 1)).any()):
        raise RuntimeError("quantile() q values must be in the range [0, 1]")
    ndim, d = x.dim(), 0 if dim is None else wrap_dim(dim, x.dim())
    lined = (x.reshape(-1) if dim is None or not ndim else x.movedim(d, -1)).sort(-1).values
    y = _interpolated(lined, q.reshape(-1), interpolation, skip_nan)            # (*, q)
    y = y.movedim(-1, 0) if q.dim() else y.squeeze(-1)
    if not keepdim:
        return y
    kept = [1] * ndim if dim is None else [1 if k == d else n for k, n in enumerate(x.shape)]
    return y.reshape([*q.shape, *kept])


def _interpolated(x, q, interpolation, skip_nan):
    """The elements of the sorted last axis at the ranks that belong to q, between neighbours."""
    from .index import gather
    from .pointwise import isnan, where
    shape = (*x.shape[:-1], q.numel())
    nans = isnan(x).sum(-1, keepdim=True)
    last = (x.shape[-1] - 1 - nans).clamp(min=0) if skip_nan else (nans * 0 + (x.shape[-1] - 1))
    rank = (q * last).expand(shape)
    if not skip_nan:
        rank = where(nans > 0, last.to(rank.dtype), rank)
    picks = {"lower": lambda r: r.floor(), "higher": lambda r: r.ceil(), "nearest": lambda r: r.round()}
    if interpolation in picks:
        return gather(x, -1, picks[interpolation](rank).to(dtypes.int64))
    floor = rank.detach().floor()
    below = gather(x, -1, floor.to(dtypes.int64))
    above = gather(x, -1, rank.ceil().to(dtypes.int64))
    if interpolation == "midpoint":
        return (below + above) / 2
    if interpolation != "linear":
        raise RuntimeError("quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
                           f"{interpolation}")
    return below.lerp(above, rank - floor)


def trapezoid(y, x=None, *, dx=1, dim=-1):
    """The integral along an axis by the trapezoidal rule."""
    return _trapezia(y, x, dx, dim).sum(dim)


trapz = trapezoid


def cumulative_trapezoid(y, x=None, *, dx=1, dim=-1):
    """The running integral along an axis."""
    return _trapezia(y, x, dx, dim).cumsum(dim)


def _trapezia(y, x, dx, dim):
    d = wrap_dim(dim, y.dim())
    n = y.shape[d]
    both = (y.narrow(d, 1, n - 1) + y.narrow(d, 0, n - 1)) / 2
    if x is None:
        return both * dx
    if x.dim() == 1:
        x = x.reshape([-1 if k == d else 1 for k in range(y.dim())])
    return both * x.diff(dim=d)


def cov(input, *, correction=1, fweights=None, aweights=None):
    """Covariances of the rows of a matrix of observations (columns)."""
    if input.dim() > 2:
        raise RuntimeError("cov(): expected input to have two or fewer dimensions but got an input with "
                           f"{input.dim()} dimensions")
    x = input if input.dtype.rank >= 2 else input.to(dtypes.default)
    x = x.reshape(1, -1) if x.dim() < 2 else x
    w = fweights if aweights is None else aweights if fweights is None else fweights * aweights
    total = x.shape[1] if w is None else w.sum()
    mean = x.mean(1, keepdim=True) if w is None else (x * w).sum(1, keepdim=True) / total
    if w is None or aweights is None or correction == 0:
        free = total - correction
    else:
        free = total - correction * (w * aweights).sum() / total
    c = x - mean
    y = (c if w is None else c * w) @ c.t().conj() / (free.clamp(min=0) if isinstance(free, Tensor) else max(free, 0))
    return y.squeeze()


def corrcoef(input):
    """Correlations of the rows of a matrix of observations."""
    c = cov(input)
    if not c.dim():
        return c / c
    spread = real_part(c.diagonal()).sqrt()
    y = c / spread.unsqueeze(1) / spread.unsqueeze(0)
    return complex(y.real.clamp(-1, 1), y.imag.clamp(-1, 1)) if y.dtype.is_complex else y.clamp(-1, 1)


def dist(input, other, p=2):
    """The p-norm of the difference."""
    x = input - other
    if x.dtype.rank < 2:
        raise RuntimeError("norm(): input dtype should be either floating point or complex. Got "
                           f"{legacy_name(x.dtype)} instead.")
    return named(x.norm(p), "DistBackward0")


def renorm(input, p, dim, maxnorm):
    """Slices along an axis scaled down to a p-norm of at most maxnorm."""
    from .pointwise import where
    from .reduce import vector_norm
    if input.dim() < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.dim()} dimensions")
    d = wrap_dim(dim, input.dim())
    size = vector_norm(input, p, tuple(k for k in range(input.dim()) if k != d), True)
    return named(input * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0).to(input.dtype), "RenormBackward0")


def _euclidean_gradient(side):
    """g (a - b) / |a - b|, 0 where they are equal, summed by a product as in PyTorch.

    Rows are counted from the others' mean, so that where all of them lie costs no digits.
    """
    def rule(g, y, a, b):
        scale = where(y == 0, 0, g / y)
        here, there = (a, b) if side == -2 else (b, a)
        scale = scale if side == -2 else scale.transpose(-2, -1)
        middle = there.detach().mean(-2, keepdim=True)
        return (here - middle) * scale.sum(-1, keepdim=True) - scale @ (there - middle)
    return rule


@differentiable("CdistBackward0", vjp=(_euclidean_gradient(-2), _euclidean_gradient(-3)))
def _euclidean(a, b):
    """|a|^2 + |b|^2 - 2 a b, as a product: less exact for neighbours far from 0, as in PyTorch."""
    one, other = (x.square().sum(-1, keepdim=True) for x in (a, b))
    return (one + other.transpose(-2, -1) - 2 * (a @ b.transpose(-2, -1))).clamp(min=0).sqrt()


FEW_ROWS = 25           # for more of them distances come from a matrix product, as in PyTorch


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """p-norms of the differences of all rows of x1 (*, n, k) and x2 (*, m, k): (*, n, m)."""
    for name, x in (("X1", x1), ("X2", x2)):
        if x.dtype.rank != 2:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {legacy_name(x.dtype)}")
        if x.dim() < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.dim()}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    batch = tuple(broadcast_shapes(x1.shape[:-2], x2.shape[:-2]))
    a, b = (x.expand(*batch, *x.shape[-2:]) for x in (x1, x2))
    few = max(x1.shape[-2], x2.shape[-2]) <= FEW_ROWS
    if p == 2 and (compute_mode == "use_mm_for_euclid_dist" or not few and compute_mode != "donot_use_mm_for_euclid_dist"):
        return _euclidean(a, b)
    from .reduce import vector_norm
    return named(vector_norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, -1), "CdistBackward0")


def cross(input, other, *, dim=None):
    """Cross products of vectors of three along an axis (the first axis of size 3 if none is given)."""
    need("cross", input.dtype, {1, 2, 3})
    if input.dtype is not other.dtype:
        found, expected = (legacy_name(x.dtype) for x in (other, input))
        raise RuntimeError(f"expected scalar type {expected} but found {found}")
    shape = tuple(broadcast_shapes(input.shape, other.shape))
    if dim is None:
        if 3 not in shape:
            raise RuntimeError("no dimension of size 3 in input")
        warn_once("Using torch.cross without specifying the dim arg is deprecated: its default is the first axis of size 3, "
                  "that of torch.linalg.cross the last axis.")
        dim = shape.index(3)
    d = wrap_dim(dim, len(shape))
    a, b = input.expand(shape), other.expand(shape)
    if shape[d] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {d} must have length 3. Got {shape[d]} and {shape[d]}")
    y = a.roll(-1, d) * b.roll(-2, d) - a.roll(-2, d) * b.roll(-1, d)
    return named(y, "LinalgCrossBackward0")


listed(globals())
