"""Computing a value again where that is cheaper than keeping it.

before:  A: y = tanh(x) -> memory            after:  A: ...
         B: loads x and y, g * (1 - y * y)           B: loads x, y = tanh(x), g * (1 - y * y)

The backward pass is full of this: what it needs of the forward pass is often a few pointwise steps
from something that it reads anyway. So are epilogues: of a product y that is kept, y * y need not be.
Instructions are the same wherever they stand, so no bit changes.
"""
from __future__ import annotations

from ..trace.graph import Use, Vertex
from .group import GROUP_LIMIT, Groups, is_same_walk
from .prices import price
from .rows import is_row_value, row_axis

MOVE = 0.4              # nanoseconds to move 4 bytes
SPREAD = 0.25           # of that, where a value is the same along an axis


def rematerialise(groups: Groups) -> Groups:
    """After grouping, because only borders between kernels cost memory."""
    order = groups.ordered()
    position = {g: i for i, g in enumerate(order)}
    last = last_readers(groups, position)
    for group in order:
        for source in sources(group, groups, ("loop",)):
            recompute(group, source, groups, position, last)
    tidy(groups)
    readers = readers_of(groups)
    for group in order:
        for source in sources(group, groups, ("loop", "contract")):
            for v in loaded(group, source, groups):
                recompute_last_steps(v, group, source, groups, position, readers)
    tidy(groups)
    return groups


def tidy(groups) -> None:
    """Drop what nobody reads any more, and list the copies among the graph's vertices."""
    used: set = set()
    for group in reversed(groups.ordered()):
        for v in reversed(group.vertices):
            if v in used or v.is_output or v.extra is not None or v.prim.may_fail:
                used.update(u.source for u in v.uses)
            else:
                group.vertices.remove(v)
                del groups.home[v]
    groups.groups = [g for g in groups.groups if g.vertices]
    constants = [v for v in groups.graph.vertices if is_constant(v) and v not in groups.home]
    homed = [v for g in groups.groups for v in g.vertices]
    groups.graph.vertices = sorted(constants + homed, key=groups.place_of.__getitem__)


def readers_of(groups) -> dict:
    """The groups that read each vertex from memory."""
    readers: dict = {}
    for g in groups.groups:
        for v in g.vertices:
            for use in v.uses:
                if groups.home.get(use.source) is not g:
                    readers.setdefault(use.source, set()).add(g)
    return readers


def last_readers(groups, position) -> dict:
    """The position of the last group that reads each vertex from memory."""
    return {x: max(position[g] for g in found) for x, found in readers_of(groups).items()}


def sources(group, groups, kinds) -> list:
    """The groups of these kinds whose values a loop group loads."""
    found = []
    for v in group.vertices if group.kind == "loop" else ():
        for use in v.uses:
            home = groups.home.get(use.source)
            if home is not None and home is not group and home.kind in kinds and home not in found:
                found.append(home)
    return found


def recompute(group, source, groups, position, last) -> None:
    """Replace loads from `source` by its instructions if that moves less than it computes."""
    if group.dims is not None and any(v.prim.kind == "gather" for v in group.vertices):
        return
    wanted = loaded(group, source, groups)
    trees = {v: tree(v, source, groups) for v in wanted}
    wanted = [v for v in wanted if trees[v] is not None and fits(v, trees[v], group, groups)]
    if not wanted:
        return
    steps = {w for v in wanted for w in trees[v]}
    leaves = {u.source for w in steps for u in w.uses if u.source not in steps}
    present = {u.source for v in group.vertices for u in v.uses if groups.home.get(u.source) is not group}
    at = position[group]
    new = [x for x in leaves if x not in present and not is_constant(x)]
    if any(isinstance(x, Vertex) and not x.is_output and last.get(x, -1) < at and share(x, steps) == 1
           for x in new):
        return                      # something big would have to live longer
    gain = MOVE * sum(v.dtype.itemsize / 4 * (1 + (not v.is_output)) for v in wanted)
    cost = MOVE * sum(share(x, steps) for x in new) + sum(price(w) for w in steps)
    if cost < gain and len(group.vertices) + len(steps) <= GROUP_LIMIT:
        copy_steps(group, wanted, sorted(steps, key=groups.place_of.__getitem__), groups)


def recompute_last_steps(v, group, source, groups, position, readers) -> None:
    """Replace loads of v by its last steps, made of what is in memory anyway."""
    if group.dims is not None and any(w.prim.kind == "gather" for w in group.vertices):
        return
    kept = {x for x in source.vertices if x is not v and (x.is_output or readers.get(x, ()))}
    steps = tree(v, source, groups, kept)
    if steps is None or not fits(v, steps, group, groups) or len(group.vertices) + len(steps) > GROUP_LIMIT:
        return
    spares = not v.is_output and readers[v] == {group}
    leaves = {u.source for w in steps for u in w.uses if u.source not in steps and not is_constant(u.source)}
    new = [x for x in leaves if group not in readers.get(x, ())]
    longer = [x for x in new if isinstance(x, Vertex) and not x.is_output and share(x, steps) == 1 and
              all(position[g] < position[group] for g in readers.get(x, ()))]
    gain = MOVE * v.dtype.itemsize / 4 * (1 + spares)
    cost = MOVE * sum(share(x, steps) for x in new) + sum(price(w) for w in steps)
    if cost < gain and len(longer) <= spares:
        copy_steps(group, [v], sorted(steps, key=groups.place_of.__getitem__), groups)
        readers[v].discard(group)
        for x in leaves:
            readers.setdefault(x, set()).add(group)


def share(leaf, steps) -> float:
    """How much of a load for each element a leaf is: what is spread is seldom fetched."""
    seen = [u.layout for w in steps for u in w.uses if u.source is leaf]
    return 1.0 if any(all(l.strides[d] for d in range(l.ndim) if l.shape[d] != 1) for l in seen) else SPREAD


def loaded(group, source, groups) -> list:
    """Vertices of `source` that `group` loads, all of its loads walking as it does."""
    found: dict = {}
    for v in group.vertices:
        for use in v.uses:
            if groups.home.get(use.source) is source:
                good = is_same_walk(use) and v.prim.kind in ("pointwise", "reduce") and use.source.prim.kind == "pointwise"
                found[use.source] = found.get(use.source, True) and good
    return [v for v, good in found.items() if good]


def tree(v, source, groups, kept=()):
    """The vertices of `source` that v is made of, but for those that are kept; None if one of them is no pointwise step."""
    found, todo = {v}, [v]
    while todo:
        for use in todo.pop().uses:
            w = use.source
            if groups.home.get(w) is not source or is_number_of_rows(w, source) or w in kept:
                continue
            if w.prim.kind != "pointwise" or w.prim.name == "iota" or not is_same_walk(use):
                return None
            if w not in found:
                found.add(w)
                todo.append(w)
    return found if v.prim.name != "iota" else None


def is_number_of_rows(w, source) -> bool:
    """Whether a group that passes over its rows again has w once for each of them: it is cheap to keep."""
    return source.passes and is_row_value(w, source.space, row_axis(source.space, source.dims))


def fits(v, steps, group, groups) -> bool:
    """Whether these steps can walk the group's space."""
    return all(groups.fits_space(w, group.space) for w in steps)


def is_constant(x) -> bool:
    return isinstance(x, Vertex) and x.prim.name == "full" and not x.dtype.is_complex


def copy_steps(group, wanted, steps, groups) -> None:
    """Put copies of the steps before the group's own vertices."""
    copies: dict = {}
    for w in steps:
        uses = [Use(copies.get(u.source, u.source), *u[1:]) for u in w.uses]
        twin = copies[w] = Vertex(w.sig, uses, w.scalars, w.number, None, w.where)
        groups.home[twin] = group
        groups.place_of[twin] = groups.place_of[w]
    replaced = {v: copies[v] for v in wanted}
    for v in group.vertices:
        v.uses = [Use(replaced.get(u.source, u.source), *u[1:]) for u in v.uses]
    group.vertices = list(copies.values()) + group.vertices
    before = 0
    for v in copies.values():
        for use in v.uses:
            home = groups.home.get(use.source)
            if home is not None and home is not group:
                before |= home.before | 1 << home.number
    group.before |= before
