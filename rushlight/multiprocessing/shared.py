"""Tensors in shared memory: one that is moved there is seen, and may be written, by other processes."""
from __future__ import annotations

import os

import numpy as np

from ..runtime.memory import SLACK, Buffer
from ..storage import Share, Storage
from .segments import Segment, anonymous_file, segment_size


class SharedMemory(Segment):
    """A segment that other processes may write at any time; keeps its descriptor, to be handed on."""

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int, size: int):
        self.descriptor = descriptor
        super().__init__(0, size, descriptor)

    @classmethod
    def fresh(cls, nbytes: int) -> SharedMemory:
        size = segment_size(nbytes)
        return cls(anonymous_file(size), size)

    def __del__(self, close=os.close):
        super().__del__()
        close(self.descriptor)

    def node_of(self, storage: Storage, nbytes: int):
        from ..trace.flush import leaf
        return leaf(Buffer(self.address + SLACK, nbytes, self), storage)


def memory_of(storage: Storage) -> SharedMemory | None:
    """The shared memory that a storage lies in, if it does."""
    owner = storage.share.owner if storage.share is not None else None
    return owner if isinstance(owner, SharedMemory) else None


def share(storage: Storage) -> SharedMemory:
    """Move a storage to shared memory, unless it is there.

    Raises:
        RuntimeError: other memory is shared already (a NumPy array sees it).
    """
    memory = memory_of(storage)
    if memory is not None:
        return memory
    buffer = storage.realize()
    if storage.share is not None and storage.share.is_live():
        raise RuntimeError("share_memory_: the tensor's memory belongs to a NumPy array; clone() it first")
    memory = SharedMemory.fresh(buffer.nbytes)
    storage.node = memory.node_of(storage, buffer.nbytes)
    bytes_of(storage.node.buffer)[...] = bytes_of(buffer)
    storage.share = Share(memory)
    return memory


def bytes_of(buffer: Buffer) -> np.ndarray:
    return buffer.as_numpy(np.uint8, (buffer.nbytes,))


def storage_over(memory: SharedMemory, dtype, numel: int) -> Storage:
    """The storage of a tensor that another process has sent."""
    storage = Storage(None, dtype, numel)
    storage.node = memory.node_of(storage, numel * dtype.itemsize)
    storage.share = Share(memory)
    return storage
