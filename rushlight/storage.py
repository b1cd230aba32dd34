"""Storage: n elements of one dtype, and the node that is their current value.

A write replaces the node (single static assignment underneath, mutation on top). Memory that
is shared with the outside is read and written at the call, never later: such a storage has a
`share`, and every access to it goes through `snapshot` and `replace`.
"""
from __future__ import annotations

import sys
from weakref import ref

written = None      # inside of vmap: [(storage, its value before a write)]
reader = None       # while a step is recorded for replay: told of each storage that is read
item_reader = None  # and asked for the number of a tensor that becomes a Python float
place = None        # says where a tensor lives, once there are some without values (ops/meta.py)
run_pending = seen_as = None    # `flush` and `as_array` of trace/flush.py, set there
overwritten = []    # since the last flush: (storage, weakly; its value before a write), in case that the next one fails


class Storage:
    __slots__ = ("node", "dtype", "numel", "version", "share", "__weakref__")

    def __init__(self, node, dtype, numel):
        self.node, self.dtype, self.numel = node, dtype, numel
        self.version = 0
        self.share = None

    @property
    def base(self):
        """The storage whose memory this is."""
        return self

    def now(self):
        """The node of the value now, recorded if need be."""
        return self.node

    def __call__(self):
        """What users get from `tensor.storage()`."""
        from .ops.interop import TypedStorage
        return TypedStorage(self)

    def replace(self, node):
        """Make a pending node the value; counts as one write."""
        self.version += 1
        if written is not None:
            written.append((self, self.node))
        overwritten.append((ref(self), self.node))
        if self.share is not None and is_shared(self):
            _write_through(self, node)
        else:
            self.node = node

    def realize(self):
        """The buffer of the value; runs what is pending if need be."""
        if reader is not None:
            reader(self)
        node = self.node
        if node.buffer is None:
            run_pending()
            if self.node.buffer is None:
                from .trace.flush import unreadable
                raise unreadable(self.node)
        return self.node.buffer

    def array(self, layout, offset):
        """The elements that a layout shows, as a NumPy array on the same memory."""
        return seen_as(self.realize(), self.dtype, layout, offset)


class Share:
    """Memory known outside of the framework: by an exporter that we watch or an owner that we hold."""

    __slots__ = ("exports", "owner")
    OURS = 3        # references to the owner: this one, the buffer's, and the question's own

    def __init__(self, owner=None):
        self.exports, self.owner = [], owner

    def is_live(self) -> bool:
        if self.owner is not None and (self.owner_is_view() or sys.getrefcount(self.owner) > self.OURS):
            return True
        self.exports = [r for r in self.exports if r() is not None]
        return bool(self.exports)

    def owner_is_view(self) -> bool:
        return getattr(self.owner, "base", None) is not None or not hasattr(self.owner, "base")


class Foreign:
    """In place of a Share: memory that another storage holds."""

    owner = None

    def is_live(self) -> bool:
        return True


class Recast(Storage):
    """The memory of another storage seen as elements of another dtype.

    It counts as shared, so that reads ask for its value `now` and writes go through `replace`, on to the base.
    `node` is what was seen last, of the base's value `of`.
    """

    __slots__ = ("base", "of")
    share = Foreign()

    def __init__(self, base, dtype):
        self.base, self.node, self.of, self.dtype = base, None, nothing, dtype
        self.numel = base.numel * base.dtype.itemsize // dtype.itemsize

    @property
    def version(self):
        return self.base.version

    @version.setter
    def version(self, n):
        self.base.version = n

    def now(self):
        base = self.base
        if base.share is not None and is_shared(base):
            from .prims.recast import seen
            from .trace.flush import from_array
            from .layout import packed
            self.node, self.of = seen(self, from_array(base.array(packed((base.numel,)), 0), base.dtype).node), nothing
        elif self.of() is not base.node:
            from .prims.recast import seen
            self.node, self.of = seen(self, base.node), ref(base.node)
        return self.node

    def replace(self, node):
        """Make a pending node of this dtype the value; the base's is the same bytes."""
        from .prims.recast import put_back
        self.node = node
        put_back(self, node)
        self.of = ref(self.base.node)

    def realize(self):
        return self.base.realize()


def nothing():
    """A reference to no node."""


def recast(storage, dtype) -> Storage:
    """The storage's memory as elements of a dtype."""
    base = storage.base
    return base if base.dtype is dtype else Recast(base, dtype)


def is_shared(storage) -> bool:
    """Whether somebody outside may see this memory; forgets the share once nobody does."""
    if storage.share.is_live():
        return True
    if storage.share.owner is None:
        storage.share = None
    return False


def _write_through(storage, node):
    """Run the pending write at once and put its result into the shared memory."""
    buffer = storage.node.buffer
    storage.node = node
    try:
        storage.realize()
        result = node.buffer
    finally:
        storage.node = _leaf(storage, buffer)
    n = storage.numel
    buffer.as_numpy(storage.dtype.numpy, (n,))[...] = result.as_numpy(storage.dtype.numpy, (n,))


def _leaf(storage, buffer):
    from .trace.flush import leaf
    return leaf(buffer, storage)


def __getattr__(name):
    """What programs see of a storage (`torch.storage`) stands in ops/interop.py."""
    if name in ("TypedStorage", "UntypedStorage"):
        from .ops import interop
        return getattr(interop, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
