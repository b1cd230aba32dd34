"""Passes from graph to graph: what need not be computed, or not twice."""
from __future__ import annotations

from ..layout import expand
from ..prims.contract import matmul
from ..prims.pointwise import mul
from ..trace.graph import Graph, Use, Vertex
from ..trace.record import Signature


def redirect(graph: Graph, to: dict) -> Graph:
    """Every use of a vertex in `to` reads its replacement instead."""
    if to:
        for vertex in graph.vertices:
            vertex.uses = [Use(to[u.source], *u[1:]) if u.source in to else u for u in vertex.uses]
        graph.vertices = [v for v in graph.vertices if v not in to]
    return graph


def drop_copies(graph: Graph) -> Graph:
    """A packed copy of a value that nobody sees otherwise is that value.

    before:  a = mul(x, y);  b = copy(a) -> output        after:  a = mul(x, y) -> output
    """
    to: dict = {}
    for v in graph.vertices:
        if v.prim.name != "copy":
            continue
        use = v.uses[0]
        source = to.get(use.source, use.source)
        if not isinstance(source, Vertex) or not use.layout.packed or use.layout.numel != source.numel or use.offset:
            continue
        if v.is_output and (source.is_output or source.prim.kind == "write"):
            continue
        if v.is_output:
            source.is_output, source.number = True, v.number
        to[v] = source
    return redirect(graph, to)


def outer_products(graph: Graph) -> Graph:
    """A matrix product over a single k is a product of elements: a loop, which others may join.

    before:  c = matmul(a[m, 1], b[1, n])                 after:  c = mul(a[m, n], b[m, n]), strides 0
    """
    for v in graph.vertices:
        if v.prim is matmul and v.uses[0].layout.shape[-1] == 1:
            v.uses = [u._replace(layout=expand(u.layout, v.shape)) for u in v.uses]
            v.sig = Signature(mul, {}, tuple(u.layout for u in v.uses), v.sig.dtypes, v.sig.out, v.dtype, v.sig.out)
            v.prim, v.params = mul, v.sig.params
    return graph


def dedupe(graph: Graph) -> Graph:
    """Equal vertices become one. Numbers bound at run time are never equal, nor are random draws or two outputs."""
    seen: dict = {}
    to: dict = {}
    for v in graph.vertices:
        if v.scalars or v.extra is not None or v.prim.kind in ("write", "random"):
            continue
        key = (v.sig, tuple([to.get(u.source, u.source) for u in v.uses]))
        offsets = [u.offset for u in v.uses]        # compared, not looked up: they are sizes (compiler/sizes.py)
        alike = seen.setdefault(key, [])
        first = next((w for w, others in alike if others == offsets), None)
        if first is None or first.is_output and v.is_output:
            alike.append((v, offsets))
            continue
        if v.is_output:
            first.is_output, first.number = True, v.number
        to[v] = first
    return redirect(graph, to)


def drop_dead(graph: Graph) -> Graph:
    """What no output needs goes; draws stay, because their order is that of the stream."""
    needed: set = set()
    for v in reversed(graph.vertices):
        if v.is_output or v in needed or v.extra is not None or v.prim.may_fail:
            needed.add(v)
            needed.update(u.source for u in v.uses if isinstance(u.source, Vertex))
    graph.vertices = [v for v in graph.vertices if v in needed]
    return graph
