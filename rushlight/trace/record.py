"""Recording: one primitive application becomes one Node, appended to what is pending.

This is the hot path of every operation, so it holds nothing that can be worked out once: what
depends only on layouts, dtypes and parameters lives in a Signature, which the caller looks up.
"""
from __future__ import annotations

import os
import sys
from weakref import ref

from ..layout import Layout
from ..runtime.forking import recording as lock     # a node that a flush has not seen waits for its end
from ..storage import Storage
from ..tensor import Tensor
from . import periods

LIMIT = 16000           # pending nodes after which a repeated line cuts the trace (see `record`)
HARD_LIMIT = 64000      # and after which it is cut wherever it stands


class Signature:
    """Everything about a node but its operands: shared by all nodes that are recorded alike.

    `layouts` and `dtypes` describe the operands; a Python scalar has the layout None. The output
    is packed in `shape`.
    """

    __slots__ = ("prim", "params", "layouts", "dtypes", "shape", "dtype", "numel", "out", "result",
                 "native",      # whether kernels can compute it: set by compiler/bodies.py
                 "told",        # what of it are sizes: set by trace/form.py
                 "chosen")      # operands seen at offsets that follow from data: set by trace/graph.py

    def __init__(self, prim, params, layouts, dtypes, out: Layout, dtype, result: Layout):
        self.prim, self.params, self.layouts, self.dtypes = prim, params, layouts, dtypes
        self.shape, self.numel, self.out, self.dtype = out.shape, out.numel, out, dtype
        self.result = result            # how the tensor sees the output
        self.told = self.chosen = None

    def __repr__(self):
        return f"{self.prim.name}{list(self.shape)}:{self.dtype.name}"


class Compound:
    """The signature of several applications that are recorded as one node; the last one's value is its value.

    `steps` are (signature, wiring, how many numbers); a wiring says for each operand where it comes from:
    None, the node's next operand, or (earlier step, offset). Compilers see the steps (`expand` in graph.py).
    """

    __slots__ = ("steps", "prim", "params", "shape", "dtype", "numel", "out", "result", "told", "chosen")

    def __init__(self, steps: tuple):
        self.steps, self.told, self.chosen, last = steps, None, None, steps[-1][0]
        self.prim, self.params, self.out, self.result = None, {}, last.out, last.result
        self.shape, self.dtype, self.numel = last.shape, last.dtype, last.numel

    def __repr__(self):
        return " ".join(str(sig) for sig, _, _ in self.steps)


BUNDLES = 20000         # signatures of bundles kept
compounds: dict = {}        # signatures of bundles, by their steps


def compound(steps: tuple) -> Compound:
    """The one signature of these steps."""
    try:
        found = compounds.get(steps)
    except TypeError:       # sizes that may vary have no hash
        return Compound(steps)
    if found is None:
        if len(compounds) > BUNDLES:
            compounds.clear()
        found = compounds[steps] = Compound(steps)
    return found


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

    def is_shown_once(self) -> bool:
        """Whether just one storage shows this value."""
        if type(self.owner) is tuple:
            living = [r for r in self.owner if (s := r()) is not None and s.node is self]
            if len(living) != 1:
                return False
            self.owner = living[0]
        return True

    def add_owner(self, storage) -> None:
        """One more storage shows this value: values never change, so a clone costs nothing."""
        owners = self.owner if type(self.owner) is tuple else (self.owner,)
        self.owner = (*[r for r in owners if (s := r()) is not None and s.node is self], ref(storage))


class Pending:
    """What has been recorded and not run: weak references in recording order."""

    __slots__ = ("nodes", "first", "limit", "again", "pieces", "mark", "flush", "capture", "turn",
                 "loose")

    def __init__(self):
        self.nodes, self.first, self.limit = [], None, LIMIT
        self.pieces = None      # if it is cut into periods: how long these are (trace/periods.py)
        self.mark = None        # what comes by once in a period
        self.again = None       # the line of the last cut, until the next trace begins
        self.flush = None       # trace.flush.flush, set there (recording must not import the compiler)
        self.turn = 0           # how often something was run
        self.loose: list = []   # nodes that are held, by no storage (weak references; trace/flush.py)
        self.capture = None     # the innermost vmap whose function is running (func/batching.py)


pending = Pending()
_frame, _new = sys._getframe, object.__new__
_internal: dict[str, bool] = {}
_is_known_internal = _internal.get
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PROGRAMS = tuple(os.path.join(_ROOT, place) for place in (os.path.join("optim", "lbfgs.py"), "learn" + os.sep))


def _is_internal(filename: str) -> bool:
    """Whether a file is ours; those that go by what they compute, as programs do, count as programs."""
    path = os.path.abspath(filename)
    found = _internal[filename] = path.startswith(_ROOT) and not path.startswith(_PROGRAMS)
    return found


def user_line(depth: int = 2):
    """(code, offset of the instruction) of the innermost frame outside of rushlight; see `line_of`.

    Line numbers are looked up when they are shown: that walks a table as long as the function.
    """
    frame = _frame(depth)
    while True:
        code = frame.f_code
        inside = _is_known_internal(code.co_filename)
        if inside is None:
            inside = _is_internal(code.co_filename)
        if not inside or frame.f_back is None:
            return code, frame.f_lasti
        frame = frame.f_back


def line_of(where) -> int:
    """The line number of a place that `user_line` gave."""
    code, at = where
    found = code.co_firstlineno
    for start, end, line in code.co_lines():
        if line is not None and start <= at < end:
            return line
    return found


def emit(sig: Signature, operands: tuple, scalars: tuple = ()) -> Tensor:
    """Append a node; returns a new tensor that shows its value: `record` and `wrap` in one frame."""
    global latest
    node, storage, tensor = _new(Node), _new(Storage), _new(Tensor)
    node.sig, node.operands, node.scalars = sig, operands, scalars
    node.extra = node.buffer = None
    storage.node, storage.dtype, storage.numel = node, sig.dtype, sig.numel
    storage.version, storage.share = 0, None
    if marking is not None:
        marking(storage)
    tensor.storage, tensor.layout, tensor.offset, tensor.dtype = storage, sig.result, 0, sig.dtype
    node.owner = ref(storage)
    where = override
    if where is None:
        frame = _frame(2)       # whoever calls this is one of ours; most often the program called that
        code = frame.f_code
        where = (code, frame.f_lasti) if _is_known_internal(code.co_filename) is False else user_line(3)
    node.where = latest = where
    lock.acquire()
    try:
        nodes = pending.nodes
        nodes.append(ref(node))
        if not 1 < len(nodes) <= pending.limit:
            _at_the_ends()
    finally:
        lock.release()
    return tensor


def pend(nodes: tuple, where) -> None:
    """Append nodes that were made elsewhere (weak references), recorded at one place."""
    global latest
    latest = where
    with lock:
        first = not pending.nodes
        pending.nodes += nodes
        if first:
            _begin()
        if len(pending.nodes) > pending.limit:
            _cut(where)


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
        _begin()
    elif len(pending.nodes) > pending.limit:
        _cut(latest)


def _begin():
    """A new trace."""
    again, pending.again = pending.again, None
    pending.first = again or latest
    if pending.capture is not None:
        pending.limit = LIMIT
        return
    if again is None:
        pending.pieces, pending.mark = periods.pieces_of(latest), None
    pending.limit = LIMIT if pending.pieces is None else pending.pieces.limit


def _cut(where):
    """Keep pending work bounded, cutting a loop at the same line in every turn.

    Cutting every N nodes would cut at another place each time and never meet the same graph
    again; so beyond the limit the trace is cut where the line that began it comes by once more,
    or, if that line stood before the loop, another one. The next cut is sought at the same line:
    a trace that began one line later each time would be another graph each time.
    """
    n = len(pending.nodes)
    if pending.pieces is not None and pending.capture is None:
        _cut_period(where, n)
    elif where == pending.first or n > HARD_LIMIT:
        pending.again = where
        pending.flush()
    else:
        alive = [r for r in pending.nodes if r() is not None]
        pending.nodes[:] = alive
        pending.limit = min(max(LIMIT, len(alive) + LIMIT // 2), HARD_LIMIT)
        if len(alive) > LIMIT:
            pending.first = where


def _cut_period(where, n):
    """Cut where the operation comes again that was recorded when there was enough; look for another one after long."""
    sig = pending.nodes[-1]().sig
    mark = where, sig.prim or sig.steps[0][0].prim
    if mark == pending.mark:
        pending.again = where
        pending.flush()
    elif pending.mark is None or n > 8 * pending.limit:
        pending.mark, pending.limit = mark, n


def end_of_periods(is_last: bool) -> None:
    """The backward pass begins, or ends (`is_last`): a trace of periods is cut there."""
    if pending.pieces is None or pending.capture is not None:
        return
    if pending.nodes:
        pending.flush()
    pending.again, pending.mark = None if is_last else pending.first, None
    if is_last:
        pending.pieces = None


marking = None      # as in storage.py
latest = None       # the line of the node recorded last
override = None     # set while the backward pass records: the line of the forward operation


def set_line(where):
    """Attribute what is recorded from now on to `where` (None: to the caller); returns the former value."""
    global override
    before, override = override, where
    return before
