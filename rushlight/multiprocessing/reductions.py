"""How Python's multiprocessing takes tensors to other processes."""
from __future__ import annotations

# Python would import the first and the last while a queue's thread pickles: a process forked just then waits for ever.
import hmac     # noqa: F401
from multiprocessing import reduction, resource_sharer  # noqa: F401

import rushlight
from rushlight.io.rebuild import mirrored, public_state, with_state
from rushlight.io.storages import make_tensor
from rushlight.storage import plain

from .channel import NON_LEAF
from .shared import SharedMemory, share, storage_over


def init_reductions() -> None:
    """Tell multiprocessing's pickler about tensors."""
    for kind in (rushlight.Tensor, rushlight.nn.Parameter):
        reduction.ForkingPickler.register(kind, reduce_tensor)


def reduce_tensor(tensor):
    """A tensor as its shared memory and what it shows of it.

    Raises:
        RuntimeError: the tensor is a result on the tape.
    """
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(NON_LEAF)
    storage = plain(tensor.storage)
    memory = share(storage)
    return rebuild_tensor, (
        type(tensor), reduction.DupFd(memory.descriptor), memory.size, storage.dtype, storage.numel,
        tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), tensor.requires_grad,
        public_state(tensor), tensor.is_conj(), tensor.is_neg())


def rebuild_tensor(kind, descriptor, size, dtype, numel, shape, strides, offset, requires_grad, state, is_conj, is_neg):
    """The same memory, seen from this process."""
    storage = storage_over(SharedMemory(descriptor.detach(), size), dtype, numel)
    tensor = mirrored(make_tensor(storage, offset, shape, strides), is_conj, is_neg)
    tensor = kind(tensor, requires_grad) if kind is rushlight.nn.Parameter \
        else tensor.requires_grad_(requires_grad)
    return with_state(tensor, state) if state else tensor
