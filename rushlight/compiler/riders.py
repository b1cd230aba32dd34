"""Sums across rows ride on the nest that passes over these rows.

    rows     dx of x, g and their row sums              rows    dx of x, g and their row sums,
    columns  dw = sum of g * (x - mean) * rstd    ->            parts of dw and db on the way
             db = sum of g                              few     parts added up

What both load is loaded once. The sums keep the order and the parts that they have alone (`riding` in
compiler/rows.py), so no bit changes; a unit of the new nest is all rows of a part.
"""
from __future__ import annotations

from math import prod
from operator import itemgetter

from ..layout import view
from ..trace.graph import Use, Vertex
from .group import GROUP_LIMIT, Group, Groups, is_same_walk, uses_index
from .rows import is_row_value, is_spread, riding, row_axis

MOST_SUMS = 4           # that ride on a nest
LARGE = 1 << 20         # elements; fewer are in cache for the next kernel


def ride(groups: Groups) -> Groups:
    """After chains, whose nests go by their own few rows at a time."""
    nests = [g for g in groups.groups if g.kind == "loop" and g.passes]
    pairs = [(shared, g, s) for s in groups.groups if nests and is_sum(s) for g in nests
             if may_ride(s, g) and (shared := walks_shared(s, g))]
    if pairs:
        groups.close(groups.ordered())
    for _, g, s in sorted(pairs, key=itemgetter(0), reverse=True):
        if s in groups.groups and may_ride(s, g) and groups.is_legal([g, s]):
            merge(g, s, groups)
    return groups


def is_sum(g: Group) -> bool:
    """A nest that does nothing but pointwise steps and sums of floats."""
    return g.kind == "loop" and g.dims is not None and not g.passes and all(
        v.prim.kind == "pointwise" and not uses_index(v) or v.prim.name == "sum" and v.dtype.is_floating_point
        for v in g.vertices)


def may_ride(s: Group, g: Group) -> bool:
    """Whether such sums can be added up row by row, on top of those that ride already."""
    if tuple(s.space) != tuple(g.space) or prod(g.space) < LARGE or len(s.vertices) + len(g.vertices) > GROUP_LIMIT:
        return False
    sums = [v for w in (g, s) for v in w.vertices if v.prim.kind == "reduce" and v.params["dims"] != g.dims]
    return len(sums) <= MOST_SUMS and all(v.params["dims"] == s.dims for v in sums) and \
        riding(g.space, row_axis(g.space, g.dims), s.dims) is not None


def walks_shared(s: Group, g: Group) -> int:
    """How many of the values that s walks g walks, too; 0 if one of them reads of the other what is not at hand in a row."""
    first, made, mine = row_axis(g.space, g.dims), set(g.vertices), set(s.vertices)
    walked = {u.source for v in g.vertices for u in v.uses if is_whole(u, g.space)} | made
    uses = [u for v in s.vertices for u in v.uses]
    if any(u.source in made and not is_at_hand(u, g, first) for u in uses) or \
            any(u.source in mine for v in g.vertices for u in v.uses):
        return 0
    return len({u.source for u in uses if u.source in walked and is_whole(u, g.space)})


def is_at_hand(use: Use, g: Group, first) -> bool:
    """Whether a value that g makes is read element by element, or a number of the row along it."""
    v = use.source
    if not is_row_value(v, g.space, first):
        return is_same_walk(use)
    return (v.prim.kind != "reduce" or v.params["dims"] == g.dims) and is_spread(use, g.space, first)


def is_whole(use: Use, space) -> bool:
    """Whether there is an element for each of the space."""
    layout = use.layout if tuple(use.layout.shape) == tuple(space) else view(use.layout, space)
    return layout is not None and all(n == 1 or s for n, s in zip(layout.shape, layout.strides))


def merge(g: Group, s: Group, groups: Groups) -> None:
    """The steps of s into g, but for copies of what g computes anyway."""
    gone, bit = 1 << s.number, 1 << g.number
    twins: dict = {}
    for v in s.vertices:
        v.uses = [Use(twins.get(u.source, u.source), *u[1:]) for u in v.uses]
        twin = next((w for w in g.vertices if is_twin(v, w)), None)
        if twin is not None:
            twins[v] = twin
            del groups.home[v]
        else:
            g.vertices.append(v)
            groups.home[v] = g
    g.vertices.sort(key=groups.place_of.__getitem__)
    g.before = (g.before | s.before) & ~(gone | bit)
    groups.groups.remove(s)
    groups.graph.vertices = [v for v in groups.graph.vertices if v not in twins]
    for other in groups.groups:
        if other is not g and other.before & (gone | bit):
            other.before = other.before & ~gone | bit | g.before


def is_twin(v: Vertex, w: Vertex) -> bool:
    """Whether v, that nobody else reads, is the same step on the same operands."""
    return v.sig is w.sig and v.prim.kind == "pointwise" and not v.is_output and v.scalars == w.scalars and all(
        a.source is b.source and a.layout is b.layout and a.offset == b.offset for a, b in zip(v.uses, w.uses))
