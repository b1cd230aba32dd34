"""The graph that the compiler gets: what was recorded, without the tensors it was recorded for.

    Graph  := vertices in order, inputs, outputs
    Vertex := a signature, uses of earlier vertices or inputs, scalars, is it an output
    Use    := (vertex or Input, layout, offset, dtype)        how one operand is seen

`describe` walks pending nodes once and gives the key under which a plan of this graph is kept,
and what a plan is bound to: buffers, offsets, numbers. The key holds no size-independent data:
signatures are interned, so it is a flat tuple of objects and small integers.
"""
from __future__ import annotations

from typing import NamedTuple

from ..layout import Layout


class Input(NamedTuple):
    """The n-th distinct (buffer, offset) that the graph reads; the offset is part of its address."""
    number: int
    leaf: int           # which buffer
    donated: int        # its size in bytes if nobody needs that buffer after this graph, else 0


class Use(NamedTuple):
    source: object      # Vertex or Input
    layout: Layout
    offset: int
    dtype: object


class Vertex:
    """One primitive application."""

    __slots__ = ("sig", "uses", "scalars", "is_output", "number", "extra", "where", "id")

    def __init__(self, sig, uses, scalars, number, extra, where):
        self.sig, self.uses, self.scalars = sig, uses, scalars
        self.number, self.extra, self.where = number, extra, where
        self.id = number        # of its node; `number` may change to that of another node with this value
        self.is_output = False

    prim = property(lambda self: self.sig.prim)
    params = property(lambda self: self.sig.params)
    shape = property(lambda self: self.sig.shape)
    dtype = property(lambda self: self.sig.dtype)
    numel = property(lambda self: self.sig.numel)

    def __repr__(self):
        return f"v{self.number}:{self.sig}"


class Description:
    """One pass over pending nodes: the key and the binding."""

    __slots__ = ("nodes", "key", "leaves", "inputs", "scalars", "extras", "outputs", "donated")


def describe(nodes) -> Description:
    key: list = []
    add = key.append
    found: dict = {}            # leaf -> number
    places: dict = {}           # (leaf number, offset) -> input number
    leaves, inputs, scalars, extras, outputs = [], [], [], [], []
    for i, node in enumerate(nodes):
        node.index = i
        add(node.sig)
        operands = node.operands
        for j in range(0, len(operands), 2):
            source, offset = operands[j], operands[j + 1]
            if source.buffer is None:
                add(source.index)
                add(offset)
                continue
            leaf = found.get(source)
            if leaf is None:
                leaf = found[source] = len(leaves)
                leaves.append(source)
            number = places.get((leaf, offset))
            if number is None:
                number = places[leaf, offset] = len(inputs)
                inputs.append((leaf, offset))
            add(~number)
        if node.scalars:
            scalars.extend(node.scalars)
        if node.extra is not None:
            extras.append(node.extra)
        if node.is_alive():
            add(True)
            outputs.append(node)
        else:
            add(False)
    d = Description()
    d.nodes = nodes
    d.donated = tuple([0 if leaf.is_alive() or leaf.buffer.shared else leaf.buffer.nbytes for leaf in leaves])
    add(d.donated)
    add(tuple([leaf for leaf, _ in inputs]))
    d.key, d.leaves, d.inputs, d.scalars, d.extras, d.outputs = tuple(key), leaves, inputs, scalars, extras, outputs
    return d


class Graph:
    __slots__ = ("vertices", "inputs", "extras")

    def __init__(self, vertices, inputs):
        self.vertices, self.inputs = vertices, inputs


def build(nodes, d: Description) -> Graph:
    """The graph of pending nodes (numbered by `describe`)."""
    numbers = {source: k for k, source in enumerate(d.leaves)}
    places = {place: k for k, place in enumerate(d.inputs)}
    inputs = [Input(k, leaf, d.donated[leaf]) for k, (leaf, _) in enumerate(d.inputs)]
    vertices: list[Vertex] = []
    alive = set(d.outputs)              # asked once: another thread may drop a tensor meanwhile
    next_scalar = next_extra = 0
    for node in nodes:
        sig, uses, operands = node.sig, [], iter(zip(node.operands[::2], node.operands[1::2]))
        for layout, dtype in zip(sig.layouts, sig.dtypes):
            if layout is None:
                continue
            source, offset = next(operands)
            if source.buffer is None:
                uses.append(Use(vertices[source.index], layout, offset, dtype))
            else:
                uses.append(Use(inputs[places[numbers[source], offset]], layout, 0, dtype))
        scalars = tuple(range(next_scalar, next_scalar + len(node.scalars)))
        next_scalar += len(scalars)
        extra = None
        if node.extra is not None:
            extra, next_extra = next_extra, next_extra + 1
        vertex = Vertex(sig, uses, scalars, node.index, extra, node.where)
        vertex.is_output = node in alive
        vertices.append(vertex)
    return Graph(vertices, inputs)
