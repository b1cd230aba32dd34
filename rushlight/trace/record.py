"""Recording: one primitive application becomes one Node, appended to what is pending.

This is the hot path of every operation, so it holds nothing that can be worked out once: what
depends only on layouts, dtypes and parameters lives in a Signature, which the caller looks up.
"""
from __future__ import annotations

import os
import sys
import threading
from weakref import ref

from ..layout import Layout, packed
from ..storage import Storage

LIMIT = 16000           # pending nodes after which a repeated line cuts the trace (see `record`)
HARD_LIMIT = 64000      # and after which it is cut wherever it stands


class Signature:
    """Everything about a node but its operands: shared by all nodes that are recorded alike.

    `layouts` and `dtypes` describe the operands; a Python scalar has the layout None. The output
    is packed in `shape`.
    """

    __slots__ = ("prim", "params", "layouts", "dtypes", "shape", "dtype", "numel", "out", "result")

    def __init__(self, prim, params, layouts, dtypes, shape, dtype, result: Layout | None = None):
        self.prim, self.params, self.layouts, self.dtypes = prim, params, layouts, dtypes
        self.shape, self.dtype = shape, dtype
        self.out = packed(shape)
        self.numel = self.out.numel
        self.result = self.out if result is None else result    # how the tensor sees the output

    def __repr__(self):
        return f"{self.prim.name}{list(self.shape)}:{self.dtype.name}"


class Node:
    """A recorded application (pending) or a realised value (`buffer` is set, `operands` is empty).

    `operands` is flat: node, offset, node, offset, ...; `scalars` holds the Python numbers in order;
    `extra` is what a host primitive needs at run time (a random ticket). `owner` is the storage
    whose value this node was recorded as (weak; a tuple if several storages show it).
    """

    __slots__ = ("sig", "operands", "scalars", "extra", "buffer", "owner", "where", "index", "__weakref__")

    def __init__(self, sig, operands, scalars, extra):
        self.sig, self.operands, self.scalars, self.extra = sig, operands, scalars, extra
        self.buffer = None

    def is_alive(self) -> bool:
        """Whether a storage still shows this value."""
        owner = self.owner
        if type(owner) is tuple:
            return any(s is not None and s.node is self for s in [r() for r in owner])
        owner = owner()
        return owner is not None and owner.node is self

    def add_owner(self, storage) -> None:
        """One more storage shows this value: values never change, so a clone costs nothing."""
        owners = self.owner if type(self.owner) is tuple else (self.owner,)
        self.owner = (*[r for r in owners if (s := r()) is not None and s.node is self], ref(storage))


class Pending:
    """What has been recorded and not run: weak references in recording order."""

    __slots__ = ("nodes", "first", "limit", "again", "flush", "capture")

    def __init__(self):
        self.nodes, self.first, self.limit = [], None, LIMIT
        self.again = None       # the line of the last cut, until the next trace begins
        self.flush = None       # trace.flush.flush, set there (recording must not import the compiler)
        self.capture = None     # the innermost vmap whose function is running (func/batching.py)


pending = Pending()
lock = threading.RLock()    # held while recording and flushing: a node that a flush has not seen waits for its end
_frame = sys._getframe
_internal: dict[str, bool] = {}
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _is_internal(filename: str) -> bool:
    found = _internal[filename] = os.path.abspath(filename).startswith(_ROOT)
    return found


def user_line():
    """(code, line number) of the innermost frame outside of rushlight."""
    frame = _frame(2)
    get = _internal.get
    while True:
        name = frame.f_code.co_filename
        inside = get(name)
        if inside is None:
            inside = _is_internal(name)
        if not inside or frame.f_back is None:
            return frame.f_code, frame.f_lineno
        frame = frame.f_back


def record(sig: Signature, operands: tuple, scalars: tuple = (), extra=None) -> Storage:
    """Append a node; returns the new storage that holds its value."""
    global latest
    node = Node(sig, operands, scalars, extra)
    storage = Storage(node, sig.dtype, sig.numel)
    node.owner = ref(storage)
    node.where = latest = override or user_line()
    with lock:
        nodes = pending.nodes
        nodes.append(ref(node))
        if not 1 < len(nodes) <= pending.limit:
            _at_the_ends()
    return storage


def record_write(storage: Storage, sig: Signature, operands: tuple, scalars: tuple = (), extra=None) -> None:
    """Append a node whose value replaces that of an existing storage (before a cut: else it were dead)."""
    global latest
    node = Node(sig, operands, scalars, extra)
    node.owner = ref(storage)
    node.where = latest = override or user_line()
    with lock:
        pending.nodes.append(ref(node))
        storage.replace(node)
        if not 1 < len(pending.nodes) <= pending.limit:
            _at_the_ends()


def alias(storage: Storage) -> Storage:
    """Another storage of the same value."""
    copy = Storage(storage.node, storage.dtype, storage.numel)
    storage.node.add_owner(copy)
    return copy


def _at_the_ends():
    """The first pending node says where a cut may fall; too many are cut."""
    if len(pending.nodes) == 1:
        pending.first, pending.limit, pending.again = pending.again or latest, LIMIT, None
    elif len(pending.nodes) > pending.limit:
        _cut(latest)


def _cut(where):
    """Keep pending work bounded, cutting a loop at the same line in every turn.

    Cutting every N nodes would cut at another place each time and never meet the same graph
    again; so beyond the limit the trace is cut where the line that began it comes by once more,
    or, if that line stood before the loop, another one. The next cut is sought at the same line:
    a trace that began one line later each time would be another graph each time.
    """
    n = len(pending.nodes)
    if where == pending.first or n > HARD_LIMIT:
        pending.again = where
        pending.flush()
    elif n == pending.limit + 1:
        alive = [r for r in pending.nodes if r() is not None]
        pending.nodes[:] = alive
        pending.limit = max(LIMIT, len(alive) + LIMIT // 2)
        if len(alive) > LIMIT:
            pending.first = where


latest = None       # the line of the node recorded last
override = None     # set while the backward pass records: the line of the forward operation


def set_line(where):
    """Attribute what is recorded from now on to `where` (None: to the caller); returns the former value."""
    global override
    before, override = override, where
    return before
