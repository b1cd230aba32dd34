"""The batching interpreter: a function's recorded nodes, replayed with one more axis.

Recording makes vmap a replay. The function is called once on placeholders, which stand for one
entry of a batch and never get a value; what it records goes to a list of its own. Of that list
the nodes that do not depend on a placeholder join the others as they are, and each of those
that do is replayed by its primitive's `batch` rule.

An operand (node, offset, layout) of a batched value is one view of it: the batch axis in front,
then the layout's axes over the axes that the value has. The replay is not taped; what the function
itself has taped is kept instead, and its gradients are batched in the same way (`Batched`).
"""
from __future__ import annotations

import sys
from contextlib import contextmanager
from weakref import WeakKeyDictionary, WeakSet, ref

from .. import storage as storages
from ..autograd.grad_mode import mode
from ..autograd.node import GradFn, attach, edge_to, is_tracked
from ..layout import extent, layout as make_layout, packed, packed_strides, view as view_layout
from ..prims.rng import random_words
from ..prims.table import Gradient
from ..storage import Storage
from ..tensor import Tensor, wrap
from ..trace import flush, record
from ..trace.record import Node, Signature, pending
from .tape import Stretch, accumulator, moment, place

PLACEHOLDER = Signature.__new__(Signature)      # of a value that is only known by its shape
PLACEHOLDER.prim = None
ENTRY = Gradient("BatchedEntryBackward0", (lambda g, _y, _x: g,))
MEMO_LIMIT = 20000


def placeholder(shape, dtype) -> Tensor:
    """A tensor of which only shape and dtype are known."""
    l = packed(tuple(shape))
    storage = Storage(Node(PLACEHOLDER, (), (), None), dtype, l.numel)
    storage.node.owner = ref(storage)
    return wrap(Tensor, storage, l, 0)


class Capture:
    """One vmap: what its function records, and the batched values of it.

    `values` maps nodes to tensors (size, *shape of the node's value); `waiting` holds, in order
    and weakly, the nodes that have not been replayed; `leaves` the outer edges of placeholders; `shown`
    which of the function's storages a batched value's own storage stands for: others get a copy;
    `kept` shows values common to the batch that only nodes to be replayed still need.
    """

    is_vmap = True

    def __init__(self, size: int, randomness: str = "error"):
        self.size, self.randomness, self.start = size, randomness, moment()
        self.values: dict = {}
        self.waiting: list = []
        self.leaves: dict = {}
        self.shown: dict = {}
        self.kept: list = []
        self.outer = self.nodes = self.before = None
        self.made = WeakSet()       # of what was recorded here before recording went `outside`

    # -- recording ---------------------------------------------------------------------------------
    def enter(self, x: Tensor) -> Tensor:
        """The placeholder of one entry of x along its first axis."""
        y = placeholder(x.layout.shape[1:], x.dtype)
        self.values[y.storage.node] = x
        self.shown[y.storage.node] = y.storage
        if mode.enabled and is_tracked(x):
            y._requires_grad = True
            self.leaves[accumulator(y)] = edge_to(x)
            if x.grad_fn is not None:       # a leaf could not be written to
                y = attach(wrap(Tensor, y.storage, y.layout, 0), ENTRY, (y,), {})
        return y

    @contextmanager
    def recording(self):
        """What is recorded inside goes to this capture; then it is sorted into batched and common."""
        with record.lock:
            self.before = pending.nodes, pending.first, pending.limit, pending.capture, storages.written
            self.made = WeakSet()
            self.outer, self.nodes = pending.capture, pending.nodes
            pending.nodes, pending.limit, pending.capture, storages.written = [], sys.maxsize, self, []
            line = record.override
            try:
                yield
                failed = False
            except BaseException:
                failed = True
                raise
            finally:
                recorded, writes = pending.nodes, storages.written
                pending.nodes, pending.first, pending.limit, pending.capture, storages.written = self.before
                record.set_line(line)
                self._settle(recorded, writes, failed)
                self.outer = self.nodes = self.before = None

    @contextmanager
    def outside(self):
        """Inside, recording goes on around this vmap, where batched values have values."""
        recorded, writes = pending.nodes, storages.written
        pending.nodes, pending.first, pending.limit, pending.capture, storages.written = self.before
        try:
            self._settle(recorded, writes, False)
            self.made.update(n for r in recorded if (n := r()) is not None)
            yield
        finally:
            self.before = pending.nodes, pending.first, pending.limit, pending.capture, storages.written
            self.nodes = pending.nodes
            pending.nodes, pending.limit, pending.capture, storages.written = [], sys.maxsize, self, []

    def _settle(self, recorded, writes, failed):
        """Common nodes join what was pending before; writes of batched values to captured tensors fail."""
        nodes = [n for r in recorded if (n := r()) is not None and n.buffer is None]
        own = {*self.made, *(n for r in recorded if (n := r()) is not None)}
        batched = self._barred()
        for n in nodes:
            if self._depends(n, batched):
                batched.add(n)
                self.waiting.append(ref(n))
                self._keep(n.operands[::2], batched)
            else:
                _pend(n)
        foreign = [(s, node) for s, node in writes if node not in own and node not in self.values]
        spoilt = [(s, node) for s, node in reversed(foreign) if s.node in batched]
        for s, node in spoilt:
            s.node = node
        if storages.written is not None:
            storages.written.extend(foreign)
        if spoilt and not failed:
            raise RuntimeError(IN_PLACE)

    def _keep(self, operands, batched):
        """A flush before the replay would pass over a value that no storage shows, or none any more by then."""
        for n in operands:
            if n.buffer is None and n not in batched and n.sig is not PLACEHOLDER:
                self.kept.append(storage := Storage(n, n.sig.dtype, n.sig.numel))
                n.add_owner(storage)

    def _barred(self) -> set:
        """Nodes without a value of their own so far."""
        return {*self.values, *(n for r in self.waiting if (n := r()) is not None)}

    def _depends(self, node, batched) -> bool:
        if node.sig.prim is random_words:
            return self.randomness == "different"
        return any(s in batched for s in node.operands[::2])

    def check_random(self) -> None:
        """Raise if random numbers are not to be drawn."""
        if self.randomness == "error":
            raise RuntimeError("vmap: called random operation while in randomness error mode. "
                               "Please either use the 'same' or 'different' randomness flags on "
                               "vmap or perform the randomness operation out of vmap")

    def reserve(self, generator, n, draws):
        """A reservation of random numbers, if any may be drawn."""
        self.check_random()
        return generator.reserve(n, draws)

    def runnable(self) -> list:
        """What is pending and depends on no placeholder, at this level and those around it."""
        captures, lists = [], [pending.nodes]
        level = self
        while level is not None:
            captures.insert(0, level)
            lists.insert(0, level.nodes)
            level = level.outer
        barred = {n for c in captures for n in c._barred()}
        return [n for level, nodes in zip([None, *captures], lists) for n in _free(level, nodes, barred)]

    # -- replaying ---------------------------------------------------------------------------------
    def batched(self, tensors) -> list:
        """For each tensor its batched value (size, *shape), or None if it is common to the batch."""
        self._replay([x.storage.node for x in tensors])
        return [None if (value := self.values.get(x.storage.node)) is None else seen(value, x.layout, x.offset)
                for x in tensors]

    def _replay(self, roots):
        waiting = [n for r in self.waiting if (n := r()) is not None and n not in self.values]
        wanted = set(roots)
        for n in reversed(waiting):
            if n in wanted:
                wanted.update(n.operands[::2])
        before, line = mode.enabled, record.override
        mode.enabled = mode.allows(False)
        try:
            for n in waiting:
                if n in wanted:
                    record.override = n.where
                    self.values[n] = self._replayed(n)
                    n.operands = ()         # its value is known: what it was made of may go
        finally:
            mode.enabled = before
            record.set_line(line)
        left = [n for n in waiting if n not in wanted]
        self.waiting = [ref(n) for n in left]
        needed = {n for reader in left for n in reader.operands[::2]}
        self.kept = [storage for storage in self.kept if storage.node in needed]

    def _replayed(self, node) -> Tensor:
        prim = node.sig.prim
        if prim.kind == "pointwise":
            return self._pointwise(node)
        if prim is random_words:
            return prim.batch(prim, self.size, (), (), ticket=node.extra, **node.sig.params)
        xs, on = self._operands(node)
        if prim.kind == "write":
            return prim.batch(prim, self.size, [self._whole(node), xs[1]], (True, on[1]), offset=node.operands[1],
                              **node.sig.params)
        return prim.batch(prim, self.size, xs, on, **node.sig.params)

    def _operands(self, node):
        """The operands as tensors and numbers in their order, and which of them are batched."""
        sources, numbers, xs, on = iter(zip(node.operands[::2], node.operands[1::2])), iter(node.scalars), [], []
        for layout, dtype in zip(node.sig.layouts, node.sig.dtypes):
            if layout is None:
                xs.append(next(numbers))
                on.append(False)
                continue
            source, offset = next(sources)
            value = self.values.get(source)
            xs.append(common(source, dtype, layout, offset) if value is None else seen(value, layout, offset))
            on.append(value is not None)
        return xs, tuple(on)

    def _pointwise(self, node) -> Tensor:
        """The same primitive over one more axis; the numbers among its operands keep their dtypes."""
        sig, size = node.sig, self.size
        operands, layouts, k = [], [], 0
        for layout in sig.layouts:
            if layout is None:
                layouts.append(None)
                continue
            source, offset = node.operands[k], node.operands[k + 1]
            k += 2
            value = self.values.get(source)
            if value is None:
                layouts.append(spread(layout, size))
            else:
                layout, offset, value = _view(value, layout, offset)
                if value.storage.share is not None:
                    source, offset = flush.snapshot(value.storage, layout, offset)
                else:
                    source = value.storage.node
                layouts.append(layout)
            operands += source, offset
        return recorded(_signature(sig, tuple(layouts)), tuple(operands), node.scalars)

    def _whole(self, node) -> Tensor:
        """The flat old value of a write, packed and on its own."""
        source, n, dtype = node.operands[0], node.sig.numel, node.sig.dtype
        value = self.values.get(source)
        if value is None:
            return common(source, dtype, packed((n,)), 0).expand(self.size, n).contiguous()
        flat = seen(value, packed((n,)), 0).contiguous()
        return flat if flat.offset == 0 and flat.storage.numel == self.size * n else flat.clone()

    # -- results -----------------------------------------------------------------------------------
    def results(self, outs) -> list:
        """Batched values of the outputs; None where one is common to the batch and not taped."""
        tracked = [x for x in outs if is_tracked(x)]
        stretch = Stretch(tracked, self.start)
        tracked = tracked if stretch.ends else []
        places = [(place(x), x.dtype) for x in tracked]
        values = self.batched(outs)
        if not tracked:
            return [v if v is None else self._untaped(x, v) for x, v in zip(outs, values)]
        self._replay([n for r in self.waiting if (n := r()) is not None and n.is_alive()])      # saved on the tape
        self._keep_only_alive()
        fn, taped = Batched.of(self, stretch, places), {id(x) for x in tracked}
        values = [own(v) if v is not None else own(spread_over(x, self.size)) if id(x) in taped else None
                  for x, v in zip(outs, values)]
        return [fn.link(v) if id(x) in taped else v for x, v in zip(outs, values)]

    def _untaped(self, x, value):
        """The value of an output: in memory of its own if that of its batched value is another tensor's."""
        return value if self.shown.setdefault(x.storage.node, x.storage) is x.storage else own(value)

    def _keep_only_alive(self):
        """From here on a batched value lives as long as the tape needs it, and cannot be written to."""
        for node, x in list(self.values.items()):
            if node.sig is PLACEHOLDER:
                self.values[node] = own(x)
        self.values, self.shown = WeakKeyDictionary(self.values), {}


IN_PLACE = ("vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a "
            "Tensor `other` in extra_args that has more elements than `self`. This happened due "
            "to `other` being vmapped over but `self` not being vmapped over in a vmap. Please "
            "try to use out-of-place operators instead of inplace arithmetic. If said operator is "
            "being called inside the PyTorch framework, please file a bug report instead.")


def _pend(node):
    if not pending.nodes:
        pending.first = node.where
    pending.nodes.append(ref(node))


def _free(capture, nodes, barred):
    """What can be run of a list of pending nodes; the others are added to `barred`."""
    free = []
    for r in nodes:
        n = r()
        if n is None or n.buffer is not None:
            continue
        if any(s in barred for s in n.operands[::2]) or capture is not None and capture._depends(n, barred):
            barred.add(n)
        else:
            free.append(n)
    return free


# -- views of batched values -----------------------------------------------------------------------
_views: dict = {}
_signatures: dict = {}


def _remember(memo, key, value):
    if len(memo) > MEMO_LIMIT:
        memo.clear()
    memo[key] = value
    return value


def _signature(sig, layouts) -> Signature:
    key = (sig, layouts)
    found = _signatures.get(key)
    if found is None:
        found = _remember(_signatures, key, sig.prim.signature(layouts, sig.dtypes, sig.params))
    return found


def recorded(sig, operands, scalars=()) -> Tensor:
    return wrap(Tensor, record.record(sig, operands, scalars), sig.result, 0)


def spread(layout, size):
    """A layout with the batch axis in front that every entry shares."""
    return make_layout((size, *layout.shape), (0, *layout.strides))


def spread_over(x, size) -> Tensor:
    """A tensor that every entry of a batch shares."""
    return wrap(Tensor, x.storage, spread(x.layout, size), x.offset)


def own(x) -> Tensor:
    """The same elements, untaped, such that writes to either do not reach the other."""
    if x.storage.share is not None:
        return x.detach().clone()
    return wrap(Tensor, record.alias(x.storage), x.layout, x.offset)


def common(node, dtype, layout, offset) -> Tensor:
    """A view of a value that is common to the batch."""
    return wrap(Tensor, Storage(node, dtype, offset + extent(layout)), layout, offset)


def seen(value, layout, offset) -> Tensor:
    """The view (layout, offset) of each entry's packed value, with the batch axis in front."""
    layout, offset, value = _view(value, layout, offset)
    return wrap(Tensor, value.storage, layout, offset)


def _view(value, layout, offset):
    key = (value.layout, layout, offset)
    found = _views.get(key)
    if found is None:
        found = _remember(_views, key, composed(value.layout, layout, offset) or ())
    if not found:
        return _view(value.contiguous(), layout, offset)
    return found[0], value.offset + found[1], value


def composed(value, layout, offset):
    """(layout, offset) of a packed view of each entry in terms of the batched value's strides, or None.

    Each axis of the view must stay inside one axis of the entry; then its stride is that axis' stride
    times the step along it.
    """
    size, step = value.shape[0], value.strides[0]
    entry = make_layout(value.shape[1:], value.strides[1:])
    if not layout.numel:
        return make_layout((size, *layout.shape), (step, *layout.strides)), 0
    if offset == 0 and layout is packed(tuple(entry.shape)):
        return value, 0
    if entry.packed:
        return make_layout((size, *layout.shape), (step, *layout.strides)), offset
    if offset == 0 and layout.packed and (flat := view_layout(entry, layout.shape)) is not None:
        return make_layout((size, *layout.shape), (step, *flat.strides)), 0
    strides = _along_axes(entry, layout, offset)
    return None if strides is None else (make_layout((size, *layout.shape), (step, *strides[0])), strides[1])


def _along_axes(entry, layout, offset):
    counted = packed_strides(entry.shape)
    axes = [d for d, n in enumerate(entry.shape) if n > 1]
    at, rest = {}, offset
    for d in axes:
        at[d], rest = divmod(rest, counted[d])
    start, strides = sum(at[d] * entry.strides[d] for d in axes), []
    for n, s in zip(layout.shape, layout.strides):
        d = next((d for d in axes if s and s >= counted[d]), None)
        if n == 1 or s == 0:
            strides.append(0)
            continue
        if d is None or s % counted[d]:
            return None
        at[d] += (n - 1) * (s // counted[d])
        strides.append(s // counted[d] * entry.strides[d])
    return None if any(at[d] >= entry.shape[d] for d in axes) else (strides, start)


# -- gradients -------------------------------------------------------------------------------------
class Batched(GradFn):
    """The tape's entry of a vmap: its gradients are those of the function's own tape, batched."""

    __slots__ = ("capture", "stretch", "places", "wanted", "outputs")

    @classmethod
    def of(cls, capture, stretch, places):
        fn = cls()
        fn.gradient, fn.params, fn.saved = None, {}, ()
        fn.capture, fn.stretch, fn.places, fn.outputs = capture, stretch, places, 0
        fn.wanted = list(stretch.ends)
        fn.edges = tuple(capture.leaves.get(p[0], e) for p, e in stretch.ends.items())
        fn.positions, fn.where = (), record.latest
        return fn

    def name(self):
        return "VmapBackward0"

    def link(self, y):
        y._requires_grad, y._grad_fn, y._output_nr = True, self, self.outputs
        self.outputs += 1
        return y

    def release(self):
        self.capture = self.stretch = None

    def pull(self, grads):
        capture = self.capture
        if capture is None:
            raise RuntimeError("Trying to backward through the graph a second time (or directly "
                               "access saved tensors after they have already been freed). Specify "
                               "retain_graph=True if you need to backward through the graph a "
                               "second time.")
        with capture.recording():
            seeds: dict = {}
            for (p, dtype), g in zip(self.places, grads):
                if g is not None:
                    seed = capture.enter(g if g.dtype is dtype else g.to(dtype))
                    seeds[p] = seed if p not in seeds else seeds[p] + seed
            got = self.stretch.pull(seeds, self.wanted, mode.enabled)
        values = iter(capture.results([g for g in got if g is not None]))
        return [None if g is None else self._outer(p[0], g, next(values)) for p, g in zip(self.wanted, got)]

    def _outer(self, fn, g, value):
        """A batched argument's gradient as it is; that of a captured tensor summed over the batch."""
        if value is None:
            value = g.expand(self.capture.size, *g.shape)
        return value if fn in self.capture.leaves else value.sum(0)


# -- values that do not exist ----------------------------------------------------------------------
DYNAMIC = {"nonzero", "unique", "unique_consecutive", "bincount", "masked_select", "argwhere", "repeat_interleave"}


def unreadable() -> RuntimeError:
    """Why a value cannot be read inside of vmap, in PyTorch's words."""
    if pending.capture is None:
        return RuntimeError("vmap: this Tensor stands for one entry of a batch and has no value "
                            "of its own: it left the function that was vmapped over other than by "
                            "being returned")
    frame, names = sys._getframe(1), set()
    while frame is not None and record._is_internal(frame.f_code.co_filename):
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return RuntimeError(_reason(names))


def _reason(names):
    if "__bool__" in names or "__contains__" in names:
        return ("vmap: It looks like you're attempting to use a Tensor in some data-dependent "
                "control flow. We don't support that yet, please file an issue at "
                "https://github.com/pytorch/pytorch/issues .")
    if "item" in names:
        return ("vmap: It looks like you're calling .item() on a Tensor. We don't support vmap "
                "over calling .item() on a Tensor, please try to rewrite what you're doing with "
                "other operations. If error is occurring somewhere inside PyTorch internals, "
                "please file a bug report.")
    if "getitem" in names:
        return ("vmap: We do not support batching operators that can support dynamic shape. "
                "Attempting to batch over indexing with a boolean mask.")
    dynamic = sorted(names & DYNAMIC)
    if dynamic:
        return ("vmap: We do not support batching operators that can output dynamic shape. "
                f"Attempted to vmap over aten::{dynamic[0]}. Please file an issue at "
                "https://github.com/pytorch/pytorch/issues if you need this feature.")
    return "vmap: Cannot access data pointer of Tensor that doesn't have storage"
