"""Pointwise steps that a reduction sees with their axes in another order are written in its order.

before:  a = sub(x, m) [n, h, w, c]                       after:  a = sub(x, m) [n, c, h, w]
         s = sum(a seen as [n, c, h, w], dims=(0, 2, 3))          s = sum(a, dims=(0, 2, 3))

Results of elementwise operations lie as their operands do, so this is what images with their channels last
come to. One kernel can make both: a nest walks its space in the order that suits the memory, whatever that
of the axes is.
"""
from __future__ import annotations

from functools import lru_cache

from ..layout import layout, packed, packed_strides, view
from ..trace.graph import Graph, Use, Vertex
from ..trace.record import Signature
from .prices import price
from .schedule import LANES
from .simplify import drop_dead

MOVE = 0.4              # nanoseconds: what is dearer is made once, for all its readers
STEPS = 8               # that are written anew for a reduction


def rewalk(graph: Graph) -> Graph:
    """After dedupe and drop_dead, which know all readers; before grouping, so that the steps can join."""
    if any(v.prim.kind == "reduce" and not v.uses[0].layout.packed for v in graph.vertices):
        return Rewalk(graph).done()
    return graph


class Rewalk:
    def __init__(self, graph: Graph):
        self.graph, self.made, self.twins = graph, [], {}
        self.place = {v: at for at, v in enumerate(graph.vertices)}
        self.readers: dict = {}
        for v in graph.vertices:
            for use in v.uses:
                self.readers.setdefault(use.source, []).append(v)

    def done(self) -> Graph:
        for v in self.graph.vertices:
            if v.prim.kind == "reduce" and not v.uses[0].layout.packed:
                self.fold(v)
            self.made.append(v)
        self.graph.vertices = self.made
        return drop_dead(self.graph)

    def fold(self, v) -> None:
        """The operand of a reduction in its own order, with the steps that lead to it."""
        use = v.uses[0]
        axes = axes_of(use)
        if axes is None or len(steps := self.steps(use.source)) > STEPS or \
                sum(map(price, steps)) > MOVE and self.readers[use.source] != [v] or any(map(self.is_tied, steps)):
            return
        for w in steps:
            if (w, use.layout) not in self.twins and not self.twin(w, use.source.shape, use.layout, axes):
                return
        straight = packed(use.layout.shape)
        v.uses = [Use(self.twins[use.source, use.layout], straight, 0, use.dtype)]
        v.sig = signature(self.graph, v.sig, (straight,), v.sig.out, v.sig.result)

    def steps(self, w) -> list:
        """w and what it is made of by steps that have no place in memory, operands first."""
        found: list = []
        todo = [w]
        while todo:
            x = todo.pop()
            if x not in found:
                found.append(x)
                todo += [u.source for u in x.uses if self.is_step(u)]
        return sorted(found, key=self.place.__getitem__)

    def is_step(self, use) -> bool:
        """Whether an operand is seen element by element and is not in memory for the sake of others."""
        w = use.source
        return isinstance(w, Vertex) and w.prim.kind == "pointwise" and w.prim.name != "iota" and not w.is_output \
            and use.layout.packed and use.layout.numel == w.numel and not use.offset \
            and all(r.prim.kind in ("pointwise", "reduce") for r in self.readers[w])

    def is_tied(self, w) -> bool:
        """Whether a step had better stay with what makes its operand: a product's epilogue, say."""
        return any(isinstance(u.source, Vertex) and u.source.prim.kind != "pointwise" and u.source.numel == w.numel
                   for u in w.uses)

    def twin(self, w, shape, seen, axes) -> bool:
        """The same step over the axes of `shape` as they are `seen`; False where an operand does not show them."""
        uses = []
        for u in w.uses:
            known = self.twins.get((u.source, seen)) if self.is_step(u) else None
            l = packed(seen.shape) if known is not None else turned(u.layout, shape, seen, axes)
            if l is None:
                return False
            uses.append(Use(known or u.source, l, 0 if known is not None else u.offset, u.dtype))
        straight, layouts = packed(seen.shape), iter([u.layout for u in uses])
        sig = signature(self.graph, w.sig, tuple([l and next(layouts) for l in w.sig.layouts]), straight, straight)
        twin = self.twins[w, seen] = Vertex(sig, uses, w.scalars, w.number, None, w.where)
        self.made.append(twin)
        return True


def axes_of(use) -> list | None:
    """Which axis of a value each axis of a reduction's operand is, None for those of size 1; None if it is seen otherwise."""
    w, l = use.source, use.layout
    if not isinstance(w, Vertex) or w.prim.kind != "pointwise" or w.prim.name == "iota" or w.is_output or use.offset \
            or l.numel != w.numel or l.numel < LANES:
        return None
    real = [d for d in range(len(w.shape)) if w.shape[d] != 1]
    inwards = sorted((d for d in range(l.ndim) if l.shape[d] != 1), key=lambda d: -l.strides[d])
    strides = packed_strides(w.shape)
    if len(real) != len(inwards) or any(l.shape[d] != w.shape[a] or l.strides[d] != strides[a]
                                        for d, a in zip(inwards, real)):
        return None
    place = dict(zip(inwards, real))
    return [place.get(d) for d in range(l.ndim)]


def turned(l, shape, seen, axes):
    """The layout of an operand of a step, its axes in the other order."""
    l = l if tuple(l.shape) == tuple(shape) else view(l, shape)
    return l and layout(seen.shape, tuple([0 if a is None else l.strides[a] for a in axes]))


def signature(graph, sig, layouts, out, result) -> Signature:
    """The signature of the same step on other layouts; one for all graphs, so that equal kernels show."""
    make = _signature.__wrapped__ if graph.retold else _signature
    return make(sig, layouts, out, result)


@lru_cache(4096)
def _signature(sig, layouts, out, result) -> Signature:
    return Signature(sig.prim, sig.params, layouts, sig.dtypes, out, sig.dtype, result)
