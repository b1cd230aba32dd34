"""When pending work is run, and what of it is still alive.

A flush runs everything pending that is alive, not only what was asked for: otherwise a read of
the loss would run the forward pass and a later one run it again. Boundaries: reading a value,
`optimizer.step()`, the data loader's next batch, memory shared with the outside, and the bound on
pending work in `record`.
"""
from __future__ import annotations

import threading
from _signal import SIGINT, getsignal, signal as set_handler    # the enums of `signal` cost microseconds
from ctypes import memmove
from weakref import WeakKeyDictionary, ref

import numpy as np

from .. import config
from ..layout import behind, extent, packed
from ..runtime import memory
from .. import storage as storages
from ..storage import Share, Storage, overwritten
from . import record
from .record import Node, Signature, pending


def flush() -> None:
    """Run all pending nodes that something still needs. If it fails nothing has changed.

    A node that cannot be computed is given up, and what depends on it: it raises the same again
    when it is looked at, and storages that it was written to have their former values back. All
    else is still pending.
    """
    with record.lock:
        if pending.capture is not None:     # inside of vmap: what does not depend on the batch
            nodes = pending.capture.runnable()
            return _run(nodes) if nodes else None
        taken = len(pending.nodes)
        if not taken:
            return
        pending.turn += 1
        writes = len(overwritten)
        nodes = [n for r in pending.nodes[:taken] if (n := r()) is not None and n.buffer is None]
        if failed:
            nodes = spread_failure(nodes)
        try:
            if nodes:
                _run(nodes)
        except Exception as error:
            give_up(error, nodes)
            raise
        del pending.nodes[:taken], overwritten[:writes]
        if pending.loose:
            nodes = n = None
            keep_loose()


pending.flush = storages.run_pending = flush


def keep_loose() -> None:
    """What was recorded for an operation whose next operand asked for this flush is shown by no storage, but held."""
    pending.loose[:] = [r for r in pending.loose if (n := r()) is not None and n.buffer is None]
    pending.nodes[:0] = pending.loose


# -- what cannot be computed ---------------------------------------------------------------------------
failed: WeakKeyDictionary = WeakKeyDictionary()     # node -> (exception type, arguments)


def give_up(error, nodes) -> None:
    """Take the node that an error blames, and all that depend on it, out of what is pending."""
    node = error.__dict__.pop("node", None)
    if node is None:
        return
    failed[node] = type(error), error.args
    spread_failure(nodes)
    for storage, value in reversed(overwritten):
        storage = storage()
        if storage is not None and storage.node in failed:
            storage.node = value
    pending.nodes[:] = [r for r in pending.nodes if (n := r()) is not None and n not in failed]


def spread_failure(nodes) -> list:
    """The nodes that can still be computed; the others fail as what they depend on."""
    good = []
    for node in nodes:
        cause = next((failed[n] for n in node.operands[::2] if n in failed), None)
        if cause is not None:
            failed[node] = cause
        elif node not in failed:
            good.append(node)
    return good


def unreadable(node) -> Exception:
    """Why a flush leaves a value without a buffer."""
    if node in failed:
        type_, args = failed[node]
        return type_(*args)
    from ..func.batching import unreadable
    return unreadable()


def boundary() -> None:
    """A place where a program repeats itself: the end of an optimiser's step, the next batch."""
    if pending.nodes:
        flush()


def synchronize() -> None:
    """Wait for all recorded work: what a timer should do before it looks at the clock."""
    flush()


def _run(nodes):
    if config.backend.value == "reference":
        from ..reference.interpreter import run
        to_its_end(run, nodes)
    else:
        _compiled(nodes)
    for node in nodes:          # a chain of values goes with its last reader, not with its first
        if node.buffer is not None:
            node.operands = node.scalars = ()
            node.extra = None


def _compiled(nodes):
    """The compiler's `run`, found when it is first needed."""
    global _compiled
    from ..compiler.plan import run as _compiled
    _compiled(nodes)


def to_its_end(run, nodes):
    """Ctrl-C waits until a plan is done: what has taken over its operands' memory cannot be computed again."""
    if threading.current_thread() is not threading.main_thread() or getsignal(SIGINT) is None:
        return run(nodes)
    waiting = []
    before = set_handler(SIGINT, lambda *args: waiting.append(args))
    try:
        return run(nodes)
    finally:
        set_handler(SIGINT, before)
        if waiting and callable(before):
            before(*waiting[0])


# -- realised values -----------------------------------------------------------------------------------
LEAF = Signature.__new__(Signature)     # the signature of a realised value: it has no primitive
LEAF.prim = None


def leaf(buffer, storage) -> Node:
    node = Node(LEAF, (), (), None)
    node.buffer, node.owner = buffer, ref(storage)
    return node


def storage_of(buffer, dtype, numel) -> Storage:
    """A storage whose value is realised."""
    node = Node(LEAF, (), (), None)
    storage = Storage(node, dtype, numel)
    node.buffer, node.owner = buffer, ref(storage)
    return storage


def from_array(array: np.ndarray, dtype) -> Storage:
    """A storage that owns a packed copy of an array."""
    if array.nbytes <= FEW and array.dtype == dtype.numpy:
        return from_bytes(array.tobytes(), dtype)
    buffer = memory.allocate(array.size * dtype.itemsize)
    buffer.as_numpy(dtype.numpy, array.shape)[...] = array
    return storage_of(buffer, dtype, array.size)


FEW = 4096              # bytes that are copied quicker than seen as an array


def from_bytes(data: bytes, dtype) -> Storage:
    """A storage that owns a copy of elements."""
    buffer = memory.allocate(len(data))
    memmove(buffer.address, data, len(data))
    return storage_of(buffer, dtype, len(data) // dtype.itemsize)


def share_array(array: np.ndarray, dtype, numel: int) -> Storage:
    """A storage over the memory of a caller's array, seen from its first element on."""
    buffer = memory.Buffer.wrap(array, numel * dtype.itemsize)
    storage = storage_of(buffer, dtype, numel)
    storage.share = Share(array)
    return storage


def as_array(buffer, dtype, layout, offset) -> np.ndarray:
    """The elements of a layout over a buffer; shares memory."""
    if not layout.numel:
        return np.empty(tuple(layout.shape), dtype.numpy)       # it may begin behind the end
    size = dtype.itemsize
    return buffer.as_numpy(dtype.numpy, tuple(layout.shape), tuple(s * size for s in layout.strides), offset * size)


storages.seen_as = as_array


def snapshot(storage: Storage, layout, offset) -> tuple[Node, int]:
    """An operand that reads shared memory now: later writes by others do not change it."""
    from ..storage import is_shared
    if storage.base is not storage:
        return storage.part(layout, offset)
    if storage.share is None or not is_shared(storage):
        return storage.node, offset
    before = behind(layout)
    copy = from_array(storage.array(packed((before + extent(layout),)), offset - before), storage.dtype)
    return copy.node, before


storages.snapshot = snapshot
