"""Tensors without values, on the device "meta": they have shapes, dtypes and strides, and take part in operations.

The node of one is as good as one that has failed: what depends on it is recorded, gets its layout, and is left out
when pending work is run. Whoever looks at a value is told that there is none. Writes change nothing.
"""
from __future__ import annotations

from weakref import ref

from .. import storage as storages
from ..layout import extent, packed
from ..storage import Foreign, Storage
from ..tensor import CPU, META, Tensor, device, wrap
from ..trace.flush import LEAF, failed
from ..trace.record import Node
from .layouts import Unstrided

NO_DATA = "Cannot copy out of meta tensor; no data!"


class MetaStorage(Storage):
    """A storage that stays without a value. It counts as shared, so that no quick path reads or writes it."""

    __slots__ = ("base",)
    share = Foreign()

    def __init__(self, base):
        self.base, self.node, self.dtype, self.numel, self.version = base, base.node, base.dtype, base.numel, 0

    def part(self, layout, offset):
        return self.now(), offset

    def replace(self, node):
        self.version += 1


def without_values(x) -> Tensor:
    """A tensor as x is, on the device "meta"."""
    storages.place = place
    numel = max(extent(x.layout), 0)
    node = Node(LEAF, (), (), None)
    memory = Storage(node, x.dtype, numel)
    node.owner = ref(memory)
    failed[node] = NotImplementedError, (NO_DATA,)
    return wrap(Tensor, MetaStorage(memory), x.layout if x.layout.numel else packed(x.layout.shape), 0)


def has_no_values(x) -> bool:
    """Whether x is on the device "meta", or what an operation made of such a tensor."""
    if isinstance(x, Unstrided):         # sparse tensors are made of others
        return False
    storage = x.storage
    if type(storage) is MetaStorage:
        return True
    waiting, seen = [storage.now()], set()
    while waiting:
        node = waiting.pop()
        if node in failed:
            return failed[node][1] == (NO_DATA,)
        if node not in seen and node.buffer is None:
            seen.add(node)
            waiting += node.operands[::2]
    return False


def place(x) -> device:
    """Where a tensor lives, asked once there are tensors without values."""
    return META if has_no_values(x) else CPU


def refuse(x) -> None:
    """NotImplementedError if x is to be brought to the CPU and has no values."""
    if storages.place is not None and has_no_values(x):
        raise NotImplementedError(NO_DATA)
