"""Which vertices become one kernel, and why.

A vertex joins the group of one of its operands if
  - both walk the same elements in the same order: the operand is seen packed, by its own number of
    elements (a reshape of a packed value is the same walk),
  - the group is still open: it folds nothing, or the vertex folds the same axes,
  - no other operand depends on the group by way of another group (that would be a cycle).
A contraction opens a group that pointwise vertices join as its epilogue. Everything else is a
group of its own. This is the only place that decides fusion.
"""
from __future__ import annotations

import heapq
from math import prod

from ..layout import view
from ..trace.graph import Graph, Input, Use, Vertex
from .kernel import NARROW
from .rows import is_row_value, is_spread, row_axis
from .sizes import are_same

EPILOGUE_LIMIT = 6          # vertices that a contraction takes along
WITHOUT_EPILOGUE = {"conv_weight_grad"}     # its results are small, and summed from parts
SCATTERED = {"gather", "write"}     # their memory need not be walked in lanes, as a reduction must
GROUP_LIMIT = 64            # accesses of one loop nest
SIBLINGS = 16               # vertices of a reduction that others join
RECENT = 12                 # groups that are asked


class Group:
    """Vertices of one kernel. `space` is the shape that it walks, `dims` the axes that it folds."""

    __slots__ = ("kind", "space", "dims", "vertices", "number", "before", "passes")

    def __init__(self, kind, space, vertex, number):
        self.kind, self.space, self.dims = kind, space, None
        self.vertices, self.number = [vertex], number
        self.before = 0         # bit set of the groups that must run earlier
        self.passes = False     # whether it passes over its rows again with what it folded (compiler/rows.py)

    def __repr__(self):
        fold = f" folding {self.dims}" if self.dims else ""
        return f"group {self.number} {self.kind} over {tuple(self.space)}{fold}: " + " ".join(map(str, self.vertices))


class Groups:
    """Groups in an order in which they can run, and where each vertex went."""

    def __init__(self, graph: Graph):
        self.graph, self.groups, self.home = graph, [], {}
        self.place_of = {v: i for i, v in enumerate(graph.vertices)}
        self.made = 0
        for v in graph.vertices:
            self.place(v)

    # -- one vertex ----------------------------------------------------------------------------------
    def place(self, v: Vertex) -> None:
        if v.prim.name == "full" and not v.is_output and has_body(v):
            return                              # a constant: every reader has it at hand
        group = self.joinable(v)
        if group is None:
            group = Group(kind_of(v), walked(v), v, self.made)
            self.made += 1
            group.dims = v.params["dims"] if v.prim.kind == "reduce" else None
            self.groups.append(group)
        else:
            group.vertices.append(v)
            group.passes = group.passes or self.reads_folds(v, group)
            if v.prim.kind == "reduce":
                group.dims = v.params["dims"]
                group.space = v.uses[0].layout.shape
        self.home[v] = group
        self.depend(group, v)

    def joinable(self, v: Vertex):
        """The group that v joins. If several of its operands' groups could take it they become one."""
        if kind_of(v) != "loop" or v.prim.kind == "gather":     # what a gather reads must be in memory
            return None
        found = []
        for use in v.uses:
            group = self.home.get(use.source)
            if group is not None and group not in found and self.may_join(v, use, group):
                found.append(group)
        if not found:
            return self.sibling(v)
        best = max(found, key=lambda g: g.number)
        for rows in found:
            if self.may_follow(best, rows):
                self.merge(rows, best)
                return rows
        for other in found:
            if other is not best and self.may_merge(best, other) and not self.makes_cycle(v, best, other):
                self.merge(best, other)
        return best

    def sibling(self, v):
        """A recent group that folds the same axes of something that v reads, too: what both load is loaded once."""
        if v.prim.kind != "reduce":
            return None
        space, read = tuple(v.uses[0].layout.shape), self.read_by(v)
        for group in self.groups[:-RECENT:-1]:
            if group.kind == "loop" and not group.passes and group.dims == v.params["dims"] \
                    and len(group.vertices) < SIBLINGS and are_same(group.space, space) \
                    and self.shares_walk(v, group) and not self.makes_cycle(v, group) \
                    and any(self.read_by(w) & read for w in group.vertices):
                return group
        return None

    def read_by(self, v) -> set:
        """What v reads, or would if its operands were computed where it is."""
        near = {u.source for u in v.uses}
        far = {u.source for w in near if isinstance(w, Vertex) and w.prim.kind == "pointwise" for u in w.uses}
        return {x.leaf if isinstance(x, Input) else self.home.get(x, x) for x in near | far}

    def may_merge(self, a, b) -> bool:
        """Two loop groups over the same elements, with no third one that must run between them."""
        if a.kind != "loop" or b.kind != "loop" or len(a.vertices) + len(b.vertices) > GROUP_LIMIT:
            return False
        if a.dims is not None or b.dims is not None or tuple(a.space) != tuple(b.space):
            return False
        if any(self.home.get(u.source) in (a, b) and not is_same_walk(u) for g in (a, b) for w in g.vertices for u in w.uses):
            return False
        one, two = 1 << a.number, 1 << b.number
        if not (a.before & two or b.before & one):
            return True
        late, early = (a, two) if a.before & two else (b, one)
        return not any(g.before & early for g in self.groups if late.before >> g.number & 1 and g is not late)

    def may_follow(self, group, rows) -> bool:
        """Whether a group that only loops, over what the rows of another one are made of, can be part of a pass over these."""
        return rows is not group and rows.dims is not None and group.dims is None and group.kind == rows.kind == "loop" \
            and len(group.vertices) + len(rows.vertices) <= GROUP_LIMIT and not group.before >> rows.number & 1 \
            and bool(sources(group) & sources(rows)) and all(self.joins_rows(w, rows) for w in group.vertices)

    def merge(self, into, other) -> None:
        """All of `other` into `into`."""
        gone, bit = 1 << other.number, 1 << into.number
        into.vertices = sorted(into.vertices + other.vertices, key=self.place_of.__getitem__)
        into.before = (into.before | other.before) & ~(gone | bit)
        for v in other.vertices:
            self.home[v] = into
        self.groups.remove(other)
        for g in self.groups:
            if g is not into and g.before & (gone | bit):
                g.before = g.before & ~gone | bit | into.before

    def may_join(self, v, use, group) -> bool:
        if group.kind == "loop" and group.dims is not None and self.joins_rows(v, group):
            return True
        if not is_same_walk(use) or group.kind == "alone":
            return False
        if group.kind == "contract":
            return self.fits_epilogue(v, group)
        if len(group.vertices) >= GROUP_LIMIT or not self.shares_walk(v, group):
            return False
        return not self.makes_cycle(v, group)

    def shares_walk(self, v, group) -> bool:
        """The other operands can be seen in the group's space and do not come out of its own folds."""
        kinds = {w.prim.kind for w in group.vertices}
        if v.prim.kind == "reduce" and kinds & SCATTERED and not folds_whole_rows(v, group):
            return False
        if v.prim.kind == "write" and group.dims is not None:
            return False
        if v.prim.kind == "write" and self.home.get(v.uses[0].source) is group:
            return False
        if v.prim.kind == "reduce":
            if any(w.prim.kind == "reduce" and is_arg(w) != is_arg(v) for w in group.vertices):
                return False        # where an index is carried nothing is cut into parts: sums keep their own cut
            if group.dims is not None and (group.dims != v.params["dims"]
                                           or not are_same(group.space, v.uses[0].layout.shape)):
                return False
            if group.dims is None and not all(self.fits_space(w, v.uses[0].layout.shape) and not uses_index(w)
                                              for w in group.vertices):
                return False
            space = v.uses[0].layout.shape
        else:
            space = group.space
        if not self.fits_space(v, space):
            return False
        if group.dims is not None and uses_index(v):
            return False
        for use in v.uses:
            if self.home.get(use.source) is group:
                if use.source.prim.kind == "reduce" or not is_same_walk(use) or use.source.prim.kind == "write":
                    return False
        return True

    # -- rows that are passed over again ---------------------------------------------------------------
    def joins_rows(self, v, group) -> bool:
        """Whether v can follow the folds of this group in a later pass over the same row."""
        first = row_axis(group.space, group.dims)
        if first is None or v.prim.kind not in ("pointwise", "reduce") or uses_index(v) or is_arg(v) \
                or len(group.vertices) >= GROUP_LIMIT or self.makes_cycle(v, group):
            return False
        if not group.passes and not all(w.prim.kind in ("pointwise", "reduce") and not is_arg(w) and not uses_index(w)
                                        for w in group.vertices):
            return False
        if v.prim.kind == "reduce" and (v.params["dims"] != group.dims or v.uses[0].layout.shape != group.space):
            return False
        space, kept = tuple(group.space), tuple(group.space[:first])
        one_per_row = v.prim.kind != "reduce" and is_row_value(v, space, first)
        seen = kept if one_per_row else space
        if not one_per_row and not self.fits_space(v, space):
            return False
        return all(self.row_use(use, group, space, first, one_per_row) if self.home.get(use.source) is group
                   else use.layout.numel == prod(seen) and view(use.layout, seen) is not None for use in v.uses)

    def reads_folds(self, v, group) -> bool:
        """Whether v needs what the group folds, so that it belongs to a later pass."""
        if group.dims is None:
            return False
        first = row_axis(group.space, group.dims)
        return first is not None and any(self.home.get(u.source) is group and is_row_value(u.source, group.space, first)
                                         for u in v.uses)

    def row_use(self, use, group, space, first, one_per_row) -> bool:
        """A row value is read as one, or spread along its row; a step of the row is read element by element."""
        value = is_row_value(use.source, space, first)
        if one_per_row or not value:
            return value == one_per_row and is_same_walk(use)
        return is_spread(use, space, first)

    def fits_space(self, v, space) -> bool:
        if v.prim.kind == "reduce":
            return v.uses[0].layout.shape == space or v.uses[0].layout.shape == tuple(space)
        if walked(v) == tuple(space):
            return True
        return v.prim.kind == "pointwise" and v.prim.name != "iota" and v.numel == prod(space) and \
            all(view(u.layout, space) is not None for u in v.uses)

    def fits_epilogue(self, v, group) -> bool:
        if v.prim.kind != "pointwise" or v.prim.name == "iota" or len(group.vertices) > EPILOGUE_LIMIT \
                or group.vertices[0].prim.name in WITHOUT_EPILOGUE:
            return False
        if v.dtype.rank < 2 and v.dtype.name != "bool" or not has_body(v):
            return False
        if not all(view(u.layout, group.space) is not None for u in v.uses):
            return False
        inside = [u for u in v.uses if self.home.get(u.source) is group]
        return all(is_same_walk(u) for u in inside) and not self.makes_cycle(v, group)

    # -- order -------------------------------------------------------------------------------------------
    def makes_cycle(self, v, *groups) -> bool:
        """Whether an operand from elsewhere needs one of these groups first."""
        bits = sum(1 << g.number for g in groups)
        for use in v.uses:
            other = self.home.get(use.source)
            if other is not None and other not in groups and other.before & bits:
                return True
        return False

    def depend(self, group, v) -> None:
        new = group.before
        for use in v.uses:
            other = self.home.get(use.source)
            if other is not None and other is not group:
                new |= other.before | 1 << other.number
        if v.prim.kind == "write" or v.extra is not None:
            new |= self.readers_of(v, group)
        added = new & ~group.before
        if not added or len(group.vertices) == 1:       # nothing can wait for what has just been made
            group.before = new
            return
        group.before = new
        bit = 1 << group.number
        for other in self.groups:
            if other.before & bit:
                other.before |= added

    def readers_of(self, v, group) -> int:
        """Random draws keep their order; a write runs after what was recorded before it."""
        if v.extra is None:
            return 0
        return sum(1 << g.number for g in self.groups
                   if g is not group and any(w.extra is not None for w in g.vertices))

    def ordered(self) -> list[Group]:
        """Topological order; of the groups that can run, the one that was recorded first."""
        bits = {g.number: g for g in self.groups}
        waits: dict = {}
        followers: dict = {g: [] for g in self.groups}
        for g in self.groups:
            near = self.direct(g, bits)
            waits[g] = len(near)
            for h in near:
                followers[h].append(g)
        ready = [g.number for g in self.groups if not waits[g]]
        heapq.heapify(ready)
        order = []
        while ready:
            g = bits[heapq.heappop(ready)]
            order.append(g)
            for f in followers[g]:
                waits[f] -= 1
                if not waits[f]:
                    heapq.heappush(ready, f.number)
        return order

    def close(self, order) -> None:
        """`before` of each group: all that must run earlier, not only what is next to it."""
        by_number = {g.number: g for g in order}
        for g in order:
            for h in self.direct(g, by_number):
                g.before |= h.before | 1 << h.number

    def is_legal(self, members) -> bool:
        """Of closed groups: whether no other one needs some of them and is needed by others."""
        own = sum(1 << m.number for m in members)
        needed = 0
        for m in members:
            needed |= m.before
        return not any(needed >> g.number & 1 and g.before & own for g in self.groups if g not in members)

    def direct(self, g, bits) -> set:
        """Groups that g waits for, but not those that one of these waits for: a long chain stays quick."""
        present = bits.keys()
        near = {h for v in g.vertices for u in v.uses
                if (h := self.home.get(u.source)) is not None and h.number in present and g.before >> h.number & 1}
        covered = 0
        for h in near:
            covered |= h.before | 1 << h.number
        return near | {bits[n] for n in _ones(g.before & ~covered) if n in present}


def _ones(bits: int):
    """Positions of the ones of a number."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def sources(group) -> set:
    """What its vertices read."""
    return {use.source for v in group.vertices for use in v.uses}


def is_same_walk(use: Use) -> bool:
    """The operand is read element by element in its own order.

    The offset is asked about last: that of a part may be another in the next graph of this form (compiler/sizes.py).
    """
    return use.layout.packed and isinstance(use.source, Vertex) and use.layout.numel == use.source.numel and \
        use.offset == 0 and use.source.prim.kind != "write"


def kind_of(v: Vertex) -> str:
    kind = v.prim.kind
    if kind == "contract" and (v.dtype.is_floating_point or v.prim.name == "matmul" and v.dtype.rank == 1):
        return "contract"
    if kind in ("pointwise", "reduce", "gather", "write") and has_body(v):
        return "loop"
    return "alone"


def has_body(v: Vertex) -> bool:
    """Whether loops can compute it; else it runs by its NumPy meaning."""
    from .bodies import is_native
    return is_native(v)


def folds_whole_rows(v, group) -> bool:
    """Whether a reduction adds up rows that were gathered as a whole, lanes beside each other."""
    last = len(group.space) - 1
    return last not in v.params["dims"] and group.space[last] > NARROW and all(
        w.prim.kind != "write" and (w.prim.kind != "gather" or w.params["coords"][-1:] == (last,) and
                                    all(u.layout.strides[-1] == 0 for u in w.uses[1:])) for w in group.vertices)


def is_arg(v) -> bool:
    return v.prim.name in ("argmax", "argmin")


def uses_index(v) -> bool:
    return v.prim.name == "iota"


def walked(v: Vertex) -> tuple:
    """The shape whose elements a vertex walks: a reduction's and a write's operand, else its result."""
    if v.prim.kind == "reduce":
        return tuple(v.uses[0].layout.shape)
    if v.prim.kind == "write":
        return tuple(v.params["layout"].shape)
    return tuple(v.shape)


def group(graph: Graph) -> Groups:
    """Nodes to kernels: the only place that decides fusion."""
    return Groups(graph)
