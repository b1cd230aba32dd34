"""Rows that lie side by side are folded as they lie, if nothing passes over them again.

before:  rows: sum of x, / n    (x is packed for that)      after:  columns: sum of x, 16 rows in the lanes
                                                                    map: / n

A nest that computes numbers of a row needs its rows one by one; a fold does not (`across` in compiler/schedule.py).
"""
from __future__ import annotations

from ..layout import view
from .group import Group, Groups
from .kernel import LANES
from .rows import is_row_value, row_axis


def sideways(groups: Groups) -> Groups:
    """After rematerialise, which asks for the numbers of rows in such groups."""
    for g in [g for g in groups.groups if g.kind == "loop" and g.passes]:
        first = row_axis(g.space, g.dims)
        numbers = [v for v in g.vertices if v.prim.kind != "reduce" and is_row_value(v, g.space, first)]
        if passes_once(g, first, groups) and lies_sideways(g, first):
            g.passes = False
            if numbers:
                split(g, numbers, groups)
    return groups


def passes_once(g: Group, first, groups: Groups) -> bool:
    """Whether no step walks the rows with what was folded, or is needed elsewhere."""
    inside = set(g.vertices)
    steps = {v for v in g.vertices if not is_row_value(v, g.space, first)}
    if any(v.is_output for v in steps) or any(u.source in inside and u.source not in steps
                                              for v in g.vertices if v in steps or v.prim.kind == "reduce" for u in v.uses):
        return False
    return not any(u.source in steps for h in groups.groups if h is not g for v in h.vertices for u in v.uses)


def lies_sideways(g: Group, first) -> bool:
    """Whether all operands of its steps are neighbours on one of the kept axes, and far apart along the rows."""
    inside, space = set(g.vertices), tuple(g.space)
    walked = [u.layout if tuple(u.layout.shape) == space else view(u.layout, space)
              for v in g.vertices if v.prim.kind == "reduce" or not is_row_value(v, g.space, first)
              for u in v.uses if u.source not in inside]
    last = max(d for d in range(len(space)) if space[d] != 1)
    return any(l.strides[last] >= LANES for l in walked) and any(
        space[d] >= LANES and all(l.strides[d] in (0, 1) for l in walked) for d in range(first))


def split(g: Group, numbers, groups: Groups) -> None:
    """Numbers of rows into a group of their own, behind the folds."""
    late = Group("loop", tuple(g.space[:row_axis(g.space, g.dims)]), numbers[0], groups.made)
    groups.made += 1
    late.vertices, late.before = numbers, g.before | 1 << g.number
    g.vertices = [v for v in g.vertices if v not in numbers]
    for v in numbers:
        groups.home[v] = late
    for other in groups.groups:
        if other.before >> g.number & 1:
            other.before |= 1 << late.number
    groups.groups.append(late)
