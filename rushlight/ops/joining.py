"""Joins that are made at the call.

A batch is often picked from many small values that are there: frames of a replay memory, samples, crops of a text.
Recorded, each pick would be another graph, because which of them are the same memory is part of a graph's key, and
noting where so many operands come from costs more than copying them. So the bytes are copied.
"""
from __future__ import annotations

import functools

from .. import storage as storages
from ..autograd.grad_mode import mode
from ..autograd.node import is_tracked
from ..layout import packed
from ..runtime.copies import copy_pieces
from ..runtime.memory import allocate
from ..storage import Storage
from ..tensor import Tensor, wrap
from ..trace.flush import storage_of
from ..trace.record import pending

MANY = 8                # operands from which on a join is made at the call
LIMIT = 16 << 20        # bytes of a result up to which it is


def at_once(recorded, result_shape):
    """`recorded`, a public join, but for many values that are there and need no gradient.

    `result_shape(first operand's shape, operands, dim)` is None if the operands are not simply one behind the other.
    """
    @functools.wraps(recorded)
    def join(tensors, dim=0, *, out=None, axis=None):
        if axis is not None:
            dim = axis
        if out is None and (tensors.__class__ is list or tensors.__class__ is tuple) and len(tensors) >= MANY \
                and dim.__class__ is int:
            pieces = pieces_of(tensors)
            if pieces and (shape := result_shape(tensors[0].layout.shape, tensors, dim)):
                return _copied(pieces, tensors[0].dtype, packed(shape))
        return recorded(tensors, dim, out=out)
    return join


def pieces_of(tensors) -> list[int] | None:
    """Where packed values of one dtype lie, None if some are not there yet or somebody is to hear of the join."""
    if storages.reader is not None or pending.capture is not None or tensors[0].__class__ is not Tensor:
        return None
    dtype, taping, pieces = tensors[0].dtype, mode.enabled, []
    size = dtype.itemsize
    for x in tensors:
        if x.__class__ is not Tensor or x.dtype is not dtype or (storage := x.storage).__class__ is not Storage \
                or (buffer := storage.node.buffer) is None or not (layout := x.layout).packed \
                or taping and is_tracked(x):
            return None
        pieces += buffer.address + x.offset * size, layout.numel * size
    return pieces if 0 < sum(pieces[1::2]) <= LIMIT else None


def stacked_shape(first, tensors, dim):
    """The shape of equal shapes on a new first axis."""
    if dim and dim != -1 - len(first):
        return None
    return (len(tensors), *first) if all(s == first for s in _shapes(tensors)) else None


def joined_shape(first, tensors, dim):
    """The shape of an axis joined that has only axes of size 1 before it."""
    rank = len(first)
    d = dim + rank if dim < 0 else dim
    if not 0 <= d < rank or any(n != 1 for n in first[:d]):
        return None
    head, tail, shapes = first[:d], first[d + 1:], _shapes(tensors)
    if any(len(s) != rank or s[:d] != head or s[d + 1:] != tail for s in shapes):
        return None
    size = len(tensors) * first[d] if len(shapes) == 1 else sum([x.layout.shape[d] for x in tensors])
    return (*head, size, *tail)


def _shapes(tensors) -> list:
    return [layout.shape for layout in {x.layout for x in tensors}]


def _copied(pieces, dtype, layout) -> Tensor:
    buffer = allocate(layout.numel * dtype.itemsize)
    copy_pieces(buffer.address, pieces)
    return wrap(Tensor, storage_of(buffer, dtype, layout.numel), layout, 0)
