"""Reductions of the segments of an axis: gathers and scatters by the number of each element's segment."""
from __future__ import annotations

import math

from .. import dtypes
from ..autograd.function import differentiable
from ..layout import wrap_dim
from .create import arange, full, ones_like, zeros, zeros_like
from .index import gather, scatter_reduce, searchsorted
from .pointwise import isnan, where
from .sampling import not_implemented
from .shape import cat

EMPTY = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "amax": -math.inf, "amin": math.inf}
RENAMED = {"max": "amax", "min": "amin"}


def segment_reduce(data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None):
    """The sum, mean, max, min or prod of each segment of an axis.

    Args:
        data: floating, [*batch, n, *rest]; the axis is `axis`.
        lengths: whole numbers, [*batch, segments].
        offsets: in place of lengths: where segments begin and the last one ends, [*batch, segments + 1].
        unsafe: do not look whether lengths fit the axis.
        initial: what each segment's reduction begins with.

    Returns:
        [*batch, segments, *rest]; of an empty segment without `initial`: 0, nan, -inf, inf and 1.
    """
    kind = RENAMED.get(reduce, reduce)
    if kind not in EMPTY:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    axis = wrap_dim(axis, data.dim())
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    if not data.dtype.is_floating_point:
        raise not_implemented("_segment_reduce_cpu", data.dtype)
    if offsets is None:
        offsets = _offsets(lengths, axis, data.shape[axis], unsafe)
    elif offsets.dim() - 1 != axis:
        raise RuntimeError(f"segment_reduce(): Expected axis to be the last dimension of offsets but got {axis}.")
    return _reduced(data, offsets.to(dtypes.int64), kind=kind, axis=axis, initial=initial)


def _offsets(lengths, axis, n, unsafe):
    """Where segments of these lengths begin, and the last one ends."""
    if lengths.dim() - 1 != axis:
        raise RuntimeError(f"segment_reduce(): Expected axis to be the last dimension of lengths but got {axis}.")
    if lengths.dtype not in (dtypes.int64, dtypes.int32):
        raise not_implemented("_segment_reduce_lengths_cpu_kernel1", lengths.dtype)
    lengths = lengths.to(dtypes.int64)
    if not unsafe:
        if (lengths < 0).any().item():
            raise RuntimeError("lengths contains negative value!")
        if (lengths.sum(-1) != n).any().item():
            raise RuntimeError("segment_reduce(): Expected all rows of lengths along axis to sum to "
                               "data.size(lengths.dim()-1) when !unsafe.")
    return cat([lengths.new_zeros((*lengths.shape[:-1], 1)), lengths.cumsum(-1)], -1)


class Segments:
    """Where the elements of a tensor belong; those of no segment to one more behind the last."""

    def __init__(self, data, offsets, axis):
        n, self.count = data.shape[axis], offsets.shape[-1] - 1
        at = searchsorted(offsets, arange(n).expand(*offsets.shape[:-1], n).contiguous(), right=True) - 1
        at = where((at < 0) | (at >= self.count), self.count, at)
        self.at = at.reshape(*at.shape, *[1] * (data.dim() - axis - 1)).expand(data.shape)
        self.axis, self.shape = axis, (*data.shape[:axis], offsets.shape[-1], *data.shape[axis + 1:])

    def total(self, x, kind="sum", first=0):
        """The reduction of each segment, that behind the last included."""
        return scatter_reduce(full(self.shape, first, dtype=x.dtype), self.axis, self.at, x, kind)

    def spread(self, x):
        """The segment's value at each of its elements."""
        return gather(x, self.axis, self.at)

    def widened(self, x):
        """Zeros in place of the value behind the last segment."""
        return cat([x, zeros_like(x.narrow(self.axis, 0, 1))], self.axis) if self.count else zeros(self.shape, dtype=x.dtype)


def _first(kind, initial):
    return EMPTY[kind] if initial is None else initial


def _slope_of_prod(part, g, y, data, first):
    """Of an element the product of all others, whatever of them is zero."""
    is_zero = data == 0
    zeros_in = part.spread(part.total(is_zero.to(data.dtype)))
    others = part.spread(part.total(where(is_zero, 1, data), "prod", first))
    return g * where(zeros_in == 0, others / where(is_zero, 1, data), where(is_zero & (zeros_in == 1), others, 0))


def _gradient(g, y, data, offsets, *, kind, axis, initial):
    part = Segments(data, offsets, axis)
    g, y = part.spread(part.widened(g)), part.spread(part.widened(y))
    if kind == "mean":
        return g / part.spread(part.total(ones_like(data)))
    if kind == "prod":
        return _slope_of_prod(part, g, y, data, _first(kind, initial))
    if kind == "sum":
        return where(part.at < part.count, g, 0)
    is_taken = ((data == y) | isnan(data)).to(data.dtype)
    return g * is_taken / part.spread(part.total(is_taken)).clamp(min=1)


@differentiable("SegmentReduceBackward0", vjp=(_gradient, None))
def _reduced(data, offsets, *, kind, axis, initial):
    part = Segments(data, offsets, axis)
    y = part.total(data, "sum" if kind == "mean" else kind, _first(kind, initial))
    if kind == "mean":
        n = part.total(ones_like(data))
        y = where(n > 0, y / n, math.nan if initial is None else initial)
    return y.narrow(axis, 0, part.count).contiguous()
