"""What a legal graph is; checked in tests always and for users with RUSHLIGHT_CHECK=1."""
from __future__ import annotations

from ..layout import behind, extent
from .graph import Graph, Input


def verify(graph: Graph) -> None:
    """RuntimeError naming the first vertex that breaks a rule, with its neighbourhood."""
    seen: set = set()
    for v in graph.vertices:
        for fault in faults(v, seen):
            from .show import show_graph
            raise RuntimeError(f"illegal graph: {v}: {fault}\n{show_graph(graph)}")
        seen.add(v)


def faults(v, seen):
    """The rules: operands come first, views stay inside their source, shapes follow from the rule."""
    tensors = [(l, d) for l, d in zip(v.sig.layouts, v.sig.dtypes) if l is not None]
    if len(tensors) != len(v.uses):
        yield f"{len(v.uses)} operands where the signature has {len(tensors)}"
    for use, (layout, dtype) in zip(v.uses, tensors):
        if not isinstance(use.source, Input):
            if use.source not in seen:
                yield f"operand {use.source} comes later"
            if layout.numel and not behind(layout) <= use.offset <= use.source.numel - extent(layout):
                yield f"operand {use.source} is read beyond its end"
            if use.source.dtype is not dtype:
                yield f"operand {use.source} is read as {dtype.name}"
        if use.layout is not layout:
            yield "an operand's layout is not its signature's"
    shapes = [l.shape if l is not None else () for l in v.sig.layouts]
    if tuple(v.prim.shape(shapes, **v.params)) != tuple(v.shape):
        yield "its shape is not what its rule says"
