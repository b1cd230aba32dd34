"""torch._utils: what libraries take from there."""
from __future__ import annotations

from .io.rebuild import *       # noqa: F403
from .io.rebuild import (        # noqa: F401
    _rebuild_from_type_v2, _rebuild_parameter, _rebuild_parameter_with_state, _rebuild_sparse_tensor, _rebuild_tensor,
    _rebuild_tensor_v2, _rebuild_tensor_v3)


def _flatten_dense_tensors(tensors):
    """The elements of tensors, one after the other, as one flat tensor."""
    from . import cat
    return cat([t.contiguous().view(-1) for t in tensors])


def _unflatten_dense_tensors(flat, tensors) -> tuple:
    """A flat tensor's elements in the shapes of tensors."""
    parts = flat.split([t.numel() for t in tensors])
    return tuple(part.view(t.shape) for part, t in zip(parts, tensors))


def _take_tensors(tensors, size_limit):
    """Groups of tensors of one dtype, of at most so many bytes each."""
    groups: dict = {}
    for t in tensors:
        group = groups.setdefault(t.dtype, [])
        if group and sum(x.nbytes for x in group) + t.nbytes > size_limit:
            yield group
            groups[t.dtype] = group = []
        group.append(t)
    yield from groups.values()


def _get_device_index(device, optional=False, allow_cpu=False) -> int:
    return -1 if allow_cpu or optional else 0
