"""The graph that the compiler gets: what was recorded, without the tensors it was recorded for.

    Graph  := vertices in order, inputs, outputs
    Vertex := a signature, uses of earlier vertices or inputs, scalars, is it an output
    Use    := (vertex or Input, layout, offset, dtype)        how one operand is seen

`describe` walks pending nodes once and gives the key under which a plan of this graph is kept,
and what a plan is bound to: buffers, offsets, numbers. The key holds no size-independent data:
signatures are interned, so it is a flat tuple of objects and small integers.
"""
from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from ..layout import Layout
from .record import Compound


class Input:
    """The n-th distinct (buffer, offset) that the graph reads; the offset is part of its address."""

    __slots__ = ("number", "leaf", "donated")

    def __init__(self, number: int, leaf: int, donated: int):
        self.number = number
        self.leaf = leaf            # which buffer
        self.donated = donated      # its size in bytes if nobody needs that buffer after this graph, else 0

    def __repr__(self):
        return f"input{self.number}"


class Use(NamedTuple):
    source: object      # Vertex or Input
    layout: Layout
    offset: int
    dtype: object


class Vertex:
    """One primitive application."""

    __slots__ = ("sig", "prim", "params", "shape", "dtype", "numel", "uses", "scalars", "is_output", "number", "extra",
                 "where", "id")

    def __init__(self, sig, uses, scalars, number, extra, where):
        self.sig, self.prim, self.params = sig, sig.prim, sig.params
        self.shape, self.dtype, self.numel = sig.shape, sig.dtype, sig.numel
        self.uses, self.scalars = uses, scalars
        self.number, self.extra, self.where = number, extra, where
        self.id = number        # of its node; `number` may change to that of another node with this value
        self.is_output = False

    def __repr__(self):
        return f"v{self.number}:{self.sig}"


class Description:
    """One pass over pending nodes: the key and the binding."""

    __slots__ = ("nodes", "key", "leaves", "inputs", "scalars", "extras", "outputs", "donated", "places",
                 "chosen")      # offsets that are not in the key (see `choose`)


def describe(nodes) -> Description:
    if found_chosen:
        tell_chosen()
    key: list = []
    add = key.append
    first: dict = {}            # leaf -> (offset, complement of the input's number) where it was met first
    places: dict = {}           # (leaf, offset) -> the complement of its input's number, for other offsets
    leaves, inputs, scalars, extras, outputs, chosen, has_compounds = [], [], [], [], [], [], False
    for i, node in enumerate(nodes):
        node.index = i
        sig = node.sig
        add(sig)
        if type(sig) is Compound:
            has_compounds = True
        if sig.chosen is None:
            operands = iter(node.operands)
        else:
            operands = iter(())
            wire_chosen(node, key, chosen, first, places, inputs, leaves)
        for source in operands:
            if source.buffer is None:
                add(source.index)
                add(next(operands))
                continue
            offset, met = next(operands), first.get(source)
            if met is None:
                number = ~len(inputs)
                first[source] = offset, number
                inputs.append((len(leaves), offset))
                leaves.append(source)
            elif met[0] == offset:
                number = met[1]
            elif (number := places.get((source, offset))) is None:
                number = places[source, offset] = ~len(inputs)
                inputs.append((inputs[~met[1]][0], offset))
            add(number)
        if node.scalars:
            scalars += node.scalars
        if node.extra is not None:
            extras.append(node.extra)
        owner = node.owner
        if type(owner) is tuple:
            alive = node.is_alive()
        else:
            storage = owner()
            alive = storage is not None and storage.node is node
        add(alive)
        if alive:
            outputs.append(node)
    d = Description()
    d.nodes = Steps(nodes) if has_compounds else nodes
    d.donated, d.chosen = donated(leaves), chosen
    add(d.donated)
    add(tuple([leaf for leaf, _ in inputs]))
    d.key, d.leaves, d.inputs, d.scalars, d.extras, d.outputs = tuple(key), leaves, inputs, scalars, extras, outputs
    return d


CHOSEN = -1             # in a key, in place of an offset that is chosen
choices: dict = {}      # kind of signature -> its operands whose offsets are chosen
found_chosen: list = [] # (signature, operands): told at the next description, because one is to have one meaning


def choose(sig, operand: int) -> None:
    """Where a program sees this operand follows from data (`x[k] = 1`, k read from a file): each turn were another
    graph, so from now on the offset is no part of a key, but bound like a number (`Plan.move`)."""
    found_chosen.append((sig, {operand}))
    if sig.prim is not None and sig.prim.kind == "write":       # of any size
        kind = sig.told[0]
        choices[kind] = choices.get(kind, frozenset()) | {operand}


def tell_chosen() -> None:
    for sig, operands in found_chosen:
        sig.chosen = (sig.chosen or frozenset()) | operands
    found_chosen.clear()


def wire_chosen(node, key, offsets, first, places, inputs, leaves) -> None:
    """What `describe` does with operands, of which some are chosen: offsets into pending values go to a list of
    their own, places in realised ones are told apart from those that the program sees anyway."""
    for k, (source, offset) in enumerate(zip(node.operands[::2], node.operands[1::2])):
        is_chosen = k in node.sig.chosen
        if source.buffer is None:
            key += source.index, CHOSEN if is_chosen else offset
            offsets += [offset] * is_chosen
            continue
        met = first.get(source)
        if met is None:
            leaf = len(leaves)
            leaves.append(source)
            first[source] = (None if is_chosen else offset), ~len(inputs)
        elif met[0] == offset and not is_chosen:
            key.append(met[1])
            continue
        else:
            leaf = inputs[~met[1]][0]
        place = (source, offset, CHOSEN) if is_chosen else (source, offset)
        if place not in places:
            places[place] = ~len(inputs)
            inputs.append((leaf, offset))
        key.append(places[place])


def donated(leaves) -> tuple:
    """The size of each realised value that nobody needs after the graph, 0 for the others."""
    sizes = []
    for leaf in leaves:
        owner, buffer = leaf.owner, leaf.buffer
        if type(owner) is tuple:
            alive = leaf.is_alive()
        else:
            storage = owner()
            alive = storage is not None and storage.node is leaf
        sizes.append(0 if alive or buffer.shared else buffer.nbytes)
    return tuple(sizes)


class Step:
    """One application, taken from a node: what compilers and errors need of a node."""

    __slots__ = ("sig", "operands", "scalars", "extra", "where", "buffer", "origin", "is_last", "index", "chosen")

    def __init__(self, sig, operands, scalars, extra, origin, is_last, chosen):
        self.sig, self.operands, self.scalars, self.extra, self.chosen = sig, operands, scalars, extra, chosen
        self.where, self.buffer, self.origin, self.is_last = origin.where, None, origin, is_last


def expand(nodes) -> list[Step]:
    """The applications that nodes stand for, in order."""
    steps: list[Step] = []
    last: dict = {}             # node -> the step that makes its value
    for node in nodes:
        operands = list(node.operands)
        operands[::2] = [last.get(source, source) for source in operands[::2]]
        if type(node.sig) is Compound:
            steps += _parts(node, operands)
        else:
            steps.append(Step(node.sig, operands, node.scalars, node.extra, node, True, node.sig.chosen))
        last[node] = steps[-1]
    return steps


def _parts(node, given):
    """The steps of a compound node; `given` are its operands."""
    made, numbers, at, chosen = [], iter(node.scalars), 0, node.sig.chosen
    for sig, wiring, wanted in node.sig.steps:
        operands: list = []
        first = at // 2
        for w in wiring:
            if w is None:
                operands += given[at:at + 2]
                at += 2
            else:
                operands += made[w[0]], w[1]
        scalars = tuple(islice(numbers, wanted)) if wanted else ()
        made.append(Step(sig, operands, scalars, None, node, False, chosen and within(wiring, first, chosen)))
    made[-1].is_last = True
    return made


def within(wiring, first: int, chosen) -> set:
    """Which operands of an application are chosen ones of its bundle, whose next operand is number `first`."""
    given = [k for k, w in enumerate(wiring) if w is None]
    return {k for n, k in enumerate(given, first) if n in chosen}


class Steps:
    """The nodes of a description one application at a time, worked out when somebody asks."""

    def __init__(self, nodes):
        self.nodes, self.list = nodes, None

    def all(self) -> list[Step]:
        if self.list is None:
            self.list = expand(self.nodes)
        return self.list

    def __iter__(self):
        return iter(self.all())

    def __len__(self):
        return len(self.all())

    def __getitem__(self, i):
        return self.all()[i]


def spelled_out(d: Description) -> Description:
    """The same description of applications: what compilers get.

    Here inputs are told apart by their layouts, too: whether a part of a tensor begins where the whole
    does depends on an offset, and the form of the graph is not to.
    """
    found = {source: k for k, source in enumerate(d.leaves)}
    places: dict = {}
    e = Description()
    kept = set(d.outputs)
    e.outputs = [s for s in d.nodes if s.is_last and s.origin in kept] if type(d.nodes) is Steps else d.outputs
    key: list = []
    alive = set(e.outputs)
    for i, step in enumerate(d.nodes):
        step.index = i
        key.append(step.sig)
        for source, offset, view, is_chosen in seen_operands(step):
            if source.buffer is None:
                key.append(source.index)
                key.append(offset)
            else:
                key.append(~places.setdefault((found[source], offset, view, is_chosen), len(places)))
        key.append(step in alive)
    e.nodes, e.leaves, e.scalars, e.extras, e.donated, e.chosen = d.nodes, d.leaves, d.scalars, d.extras, d.donated, []
    e.inputs, e.places = [place[:2] for place in places], places
    e.key = (*key, d.donated, tuple([leaf for leaf, _ in e.inputs]))
    return e


def seen_operands(step) -> list:
    """(source, offset, layout, whether it is chosen) of each operand of an application, or of a node that is one."""
    chosen = (step.chosen if type(step) is Step else step.sig.chosen) or ()
    views = [view for view in step.sig.layouts if view is not None]
    return [(source, offset, view, k in chosen)
            for k, (source, offset, view) in enumerate(zip(step.operands[::2], step.operands[1::2], views))]


class Graph:
    """`retold`: with sizes of compiler/sizes.py; nothing that is made of it may be kept for other graphs."""

    __slots__ = ("vertices", "inputs", "retold")

    def __init__(self, vertices, inputs, retold=False):
        self.vertices, self.inputs, self.retold = vertices, inputs, retold


def build(nodes, d: Description, retold=None) -> Graph:
    """The graph of pending nodes (numbered by `describe`); `retold` says it with other sizes (trace/form.py)."""
    numbers = {source: k for k, source in enumerate(d.leaves)}
    donated, leaves = (retold.donated, retold.leaves) if retold else (d.donated, [leaf for leaf, _ in d.inputs])
    signatures, offsets, looks = map(iter, (retold.signatures, retold.offsets, retold.inputs) if retold else ((), (), ()))
    inputs = [Input(k, leaf, donated[leaf]) for k, leaf in enumerate(leaves)]
    vertices: list[Vertex] = []
    alive = set(d.outputs)              # asked once: another thread may drop a tensor meanwhile
    next_scalar = next_extra = 0
    for node in nodes:
        sig = next(signatures) if retold else node.sig
        uses, operands = [], iter(seen_operands(node))
        for view, dtype in zip(sig.layouts, sig.dtypes):
            if view is None:
                continue
            source, offset, before, is_chosen = next(operands)
            if source.buffer is None:
                uses.append(Use(vertices[source.index], view, next(offsets) if retold else offset, dtype))
            else:
                place = next(looks) if retold else d.places[numbers[source], offset, before, is_chosen]
                uses.append(Use(inputs[place], view, 0, dtype))
        scalars = tuple(range(next_scalar, next_scalar + len(node.scalars))) if node.scalars else ()
        next_scalar += len(scalars)
        extra = None
        if node.extra is not None:
            extra, next_extra = next_extra, next_extra + 1
        vertex = Vertex(sig, uses, scalars, node.index, extra, node.where)
        vertex.is_output = node in alive
        vertices.append(vertex)
    return Graph(vertices, inputs, retold is not None)
