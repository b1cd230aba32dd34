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
marking = None      # while a thread is in inference mode: marks a new storage of such a thread
INFERENCE = -(1 << 60)      # versions below 0 are those of inference tensors, which count no writes
place = None        # says where a tensor lives, once there are some without values (ops/meta.py)
run_pending = seen_as = snapshot = None     # `flush`, `as_array` and `snapshot` of trace/flush.py, set there
overwritten = []    # since the last flush: (storage, weakly; its value before a write), in case that the next one fails


class Storage:
    __slots__ = ("node", "dtype", "numel", "version", "share", "__weakref__")
    is_conj = is_neg = is_mirrored = False

    def __init__(self, node, dtype, numel):
        self.node, self.dtype, self.numel = node, dtype, numel
        self.version = 0
        self.share = None
        if marking is not None:
            marking(self)

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


class Guise(Storage):
    """The memory of another storage, `under`, seen otherwise.

    It counts as shared, so that reads ask for its value `now` and writes go through `replace`, on to `under`.
    `node` is what was seen last, of the value `of`. How a value is `shown` and `put_back` stands in prims/recast.py.
    """

    __slots__ = ("under", "of")
    share = Foreign()

    def __init__(self, under, dtype, numel):
        self.under, self.node, self.of, self.dtype, self.numel = under, None, nothing, dtype, numel

    @property
    def base(self):
        return self.under.base

    @property
    def version(self):
        return self.under.version

    @version.setter
    def version(self, n):
        self.under.version = n

    def now(self):
        from .layout import packed
        value, _ = snapshot(self.under, packed((self.under.numel,)), 0)
        if self.of() is not value:
            self.node, self.of = self.shown(value), ref(value)
            self.node.owner = ref(self)
        return self.node

    def part(self, layout, offset):
        """The operand (node, offset) that a layout shows."""
        return self.now(), offset

    def replace(self, node):
        """Make a pending node the value; that of `under` is what it looks like there."""
        self.node, there = node, self.put_back(node)
        there.owner = ref(self.under)
        self.under.replace(there)
        self.of = ref(self.under.node)


class Recast(Guise):
    """Elements of another dtype with the same bytes."""

    __slots__ = ()

    def __init__(self, base, dtype):
        super().__init__(base, dtype, base.numel * base.dtype.itemsize // dtype.itemsize)

    def realize(self):
        return self.base.realize()


class Mirrored(Guise):
    """Each element conjugated, or negated, or both."""

    __slots__ = ("is_conj", "is_neg")
    is_mirrored = True

    def __init__(self, under, is_conj, is_neg):
        super().__init__(under, under.dtype, under.numel)
        self.is_conj, self.is_neg = is_conj, is_neg

    def realize(self):
        self.now()
        return super().realize()


def nothing():
    """A reference to no node."""


def recast(storage, dtype) -> Storage:
    """The storage's memory as elements of a dtype."""
    base = storage.base
    return mirrored(base if base.dtype is dtype else Recast(base, dtype), neg=storage.is_neg)


def mirrored(storage, conj=False, neg=False) -> Storage:
    """The storage with elements conjugated or negated; what is so already is plain again."""
    under = plain(storage)
    conj, neg = conj is not storage.is_conj, neg is not storage.is_neg
    return Mirrored(under, conj, neg) if conj or neg else under


def plain(storage) -> Storage:
    """What is mirrored, or the storage itself."""
    return storage.under if storage.is_mirrored else storage


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
