"""Chains: groups that run a few rows at a time, so that what is between them stays in cache.

    scores = q @ k.mT * scale        [batch..., rows, length]    a product
    weights = softmax(mask(scores))                              loop nests over its rows
    out = weights @ v                                            a product that reads rows

All three become one call (compiler/chain_calls.py), which never has the scores of all rows in
memory. The gradient is a chain, too: dP = g @ v.mT, dS from P and dP, dq = dS @ k; and dk = dS.mT @ q
and dv = P.mT @ g, which add over rows. What it needs of the forward chain it computes again. Nothing
here knows attention: it is any product whose rows are walked and multiplied.
"""
from __future__ import annotations

from math import prod

from ..dtypes import float32, float64
from ..layout import transpose
from ..trace.graph import Use, Vertex
from .group import Group, Groups, is_same_walk
from .rows import is_row_value, is_spread, row_axis

LEAST_ROWS = 32         # of a chain, and
LEAST_LENGTH = 32       # columns
LARGE = 160 * 160       # elements of a batch: smaller ones are in cache anyway, and what is not stored is made again
LARGE_MASKED = 64 * 64  # where columns may be left out
LEAST_BATCHES = 4       # where sums over rows keep a batch on one thread


class Chain(Group):
    """`parts` in order; those that sum over rows come last (`columns`).

    `multiplies`: of products that read a value of the chain's rows, which operand that is.
    """

    __slots__ = ("parts", "columns", "multiplies")

    def __init__(self, space, number):
        self.kind, self.space, self.dims, self.vertices = "chain", space, None, []
        self.number, self.before, self.passes = number, 0, False
        self.parts, self.columns, self.multiplies = [], [], {}

    def add(self, part, sums_rows: bool) -> None:
        (self.columns if sums_rows else self.parts).append(part)
        self.vertices = [v for p in (*self.parts, *self.columns) for v in p.vertices]


def chain(groups: Groups) -> Groups:
    """After everything is in its group: whole groups are strung together."""
    return Finder(groups).found() if any(map(is_producer, groups.groups)) else groups


class Finder:
    def __init__(self, groups: Groups):
        self.groups, self.home = groups, groups.home
        self.order = groups.ordered()
        self.users: dict = {}
        for v in groups.graph.vertices:
            for use in v.uses:
                self.users.setdefault(use.source, []).append(v)
        groups.close(self.order)
        self.chains: list[Chain] = []

    def found(self) -> Groups:
        for g in self.order:
            if is_producer(g) and self.home[g.vertices[0]] is g:
                self.grow(g)
        for g in self.order:
            self.join_late(g)
        for c in self.chains:
            self.compute_again(c)
        return self.groups

    # -- growing ------------------------------------------------------------------------------------
    def grow(self, seed) -> None:
        """A chain from one product on, if rows of it are walked and multiplied."""
        made = Chain(space_of(seed), self.groups.made)
        self.groups.made += 1
        members = [seed]
        for g in self.order[self.order.index(seed) + 1:]:
            if self.home[g.vertices[0]] is g and self.follows(g, made, members) \
                    and self.groups.is_legal([*members, g]):
                members.append(g)
        sums = self.sums(made, members)
        if is_large(members, made.space) and any(m.kind == "loop" for m in members) and \
                (sums or any(m.kind == "contract" for m in members[1:])):
            self.chains.append(made)
            for m in members:
                self.split(m, members)
                self.absorb(made, m, False)
            for m in sums:
                self.absorb(made, m, True)

    def split(self, part, members) -> None:
        """What a nest makes of no product, if others need all of it (dropout's draws), is a kernel of its own."""
        own = {v for m in members for v in m.vertices}
        comes: set = set()
        for m in members:
            comes.update(v for v in m.vertices if m.kind == "contract")
        for v in part.vertices:
            if any(u.source in comes or u.source in own and u.source not in part.vertices for u in v.uses):
                comes.add(v)
        apart = [v for v in part.vertices if v not in comes]
        if part.kind != "loop" or part.dims is not None or \
                not any(w not in own for v in apart for w in self.users.get(v, ())):
            return
        group = Group("loop", part.space, apart[0], self.groups.made)
        self.groups.made += 1
        group.vertices, part.vertices = apart, [v for v in part.vertices if v in comes]
        for v in apart:
            self.home[v] = group
            self.groups.depend(group, v)
        self.groups.groups.append(group)
        part.before |= group.before | 1 << group.number
        for g in self.groups.groups:
            if g.before >> part.number & 1:
                g.before |= part.before

    def follows(self, g, made, members) -> bool:
        """A nest over the members' rows, or a product that multiplies them."""
        values = {v for m in members for v in m.vertices if is_value(v, made.space) and m is members[0]
                  or m.kind == "loop" and is_value(v, made.space)}
        if g.kind == "loop":
            return any(u.source in values for v in g.vertices for u in v.uses) and \
                is_walker(g, made.space) and self.reads_rows(g, made, members)
        return is_product(g) and self.multiplies(g, values, made, "rows") and self.reads_rows(g, made, members)

    def multiplies(self, g, values, made, way) -> bool:
        """Whether a product reads one of the values in such a way."""
        found = way_of(g, values, made.space)
        if found is None or found[1] != way:
            return False
        made.multiplies[g.vertices[0]] = found[0]
        return True

    def sums(self, made, members) -> list:
        """Products that sum over the rows, for a chain that computes another one's values again."""
        if made.space[0] < LEAST_BATCHES:
            return []
        values = {v for m in members for v in m.vertices if is_value(v, made.space)}
        other = {u.source for m in members for v in m.vertices for u in v.uses if self.is_chained(u.source)}
        if not other:
            return []
        origins = {self.home[v] for v in other}
        values |= {v for c in origins for v in c.vertices if is_value(v, c.space)}
        found = []
        for g in self.order:
            if self.home[g.vertices[0]] is g and is_product(g) and self.is_sum(g, values, made) \
                    and self.reads_rows(g, made, [*members, *found]) and self.groups.is_legal([*members, *found, g]):
                found.append(g)
        return found

    def is_sum(self, g, values, made) -> bool:
        return len(g.vertices) == 1 and self.multiplies(g, values, made, "columns")

    def join_late(self, g) -> None:
        """A sum over rows that no gradient chain took: the chain that makes its operand may."""
        if self.home.get(g.vertices[0]) is not g or not is_product(g):
            return
        for c in self.chains:
            values = {v for v in c.vertices if is_value(v, c.space)}
            if c.space[0] >= LEAST_BATCHES and self.is_sum(g, values, c) and self.reads_rows(g, c, [c]) \
                    and self.groups.is_legal([c, g]):
                return self.absorb(c, g, True)

    def is_chained(self, source) -> bool:
        """A value of another chain, of the same rows."""
        home = self.home.get(source)
        return isinstance(home, Chain) and is_value(source, home.space)

    def reads_rows(self, g, made, members) -> bool:
        """Whether all that g reads of such rows belongs to the row that it makes.

        That is what members make, and what another chain makes, which may have to be made again.
        """
        own = {v for m in members for v in m.vertices}
        for v in g.vertices:
            for n, use in enumerate(v.uses):
                foreign = self.is_chained(use.source) and is_value(use.source, made.space)
                if (use.source in own or foreign) and made.multiplies.get(v) != n \
                        and not is_row_by_row(v, use, g, made.space):
                    return False
        return True

    # -- fusing -------------------------------------------------------------------------------------
    def absorb(self, made: Chain, part, sums_rows: bool) -> None:
        gone, bit = 1 << part.number, 1 << made.number
        made.add(part, sums_rows)
        made.before = (made.before | part.before) & ~(gone | bit)
        for v in part.vertices:
            self.home[v] = made
        groups = self.groups.groups
        groups.remove(part)
        if made not in groups:
            groups.append(made)
        for g in groups:
            if g is not made and g.before & (gone | bit):
                g.before = g.before & ~gone | bit | made.before

    # -- computing again ----------------------------------------------------------------------------
    def compute_again(self, c: Chain) -> None:
        """What the chain reads of another one's rows it makes itself, unless it is in memory anyway."""
        wanted = {u.source for v in c.vertices for u in v.uses if self.is_read_again(u.source, c)}
        for origin in {self.home[v] for v in wanted}:
            self.copy(c, origin, {v for v in wanted if self.home[v] is origin})

    def is_read_again(self, source, c) -> bool:
        home = self.home.get(source)
        if not isinstance(home, Chain) or home is c or source.is_output or not is_value(source, home.space):
            return False
        return self.comes_of_product(source, home) and self.is_read_by_chains(source)

    def is_read_by_chains(self, source) -> bool:
        return all(isinstance(self.home.get(w), Chain) for w in self.users.get(source, ()))

    def comes_of_product(self, source, home) -> bool:
        """Else it is a draw or a mask, which stays in memory."""
        todo, seen = [source], set()
        while todo:
            v = todo.pop()
            if v.prim.kind == "contract":
                return True
            for use in v.uses:
                if self.home.get(use.source) is home and use.source not in seen:
                    seen.add(use.source)
                    todo.append(use.source)
        return False

    def copy(self, c: Chain, origin: Chain, wanted) -> None:
        steps = self.ancestors(origin, wanted)
        twins: dict = {}
        parts = []
        for part in origin.parts:
            mine = [v for v in part.vertices if v in steps]
            if mine:
                parts.append(self.twin(part, mine, twins, c))
        for v in c.vertices:
            v.uses = [Use(twins.get(u.source, u.source), *u[1:]) for u in v.uses]
        c.parts = parts + c.parts
        c.vertices = [v for p in (*c.parts, *c.columns) for v in p.vertices]
        graph = self.groups.graph
        graph.vertices = sorted([*graph.vertices, *twins.values()], key=self.groups.place_of.__getitem__)

    def ancestors(self, origin, wanted) -> set:
        """What of the origin must be computed again: not what is in memory, as numbers of rows are."""
        steps, todo = set(), list(wanted)
        while todo:
            v = todo.pop()
            if v in steps:
                continue
            steps.add(v)
            todo += [u.source for u in v.uses if self.home.get(u.source) is origin
                     and is_value(u.source, origin.space) and not self.is_kept(u.source, origin)]
        return steps

    def is_kept(self, v, origin) -> bool:
        """In memory: an output, or read by others and no product's."""
        if v.is_output:
            return True
        if all(self.home.get(w) is origin for w in self.users.get(v, ())):
            return False
        return not (self.comes_of_product(v, origin) and self.is_read_by_chains(v))

    def twin(self, part, vertices, twins, c) -> Group:
        copy = Group(part.kind, part.space, vertices[0], part.number)
        copy.vertices = []
        for v in vertices:
            uses = [Use(twins.get(u.source, u.source), *u[1:]) for u in v.uses]
            twins[v] = w = Vertex(v.sig, uses, v.scalars, v.number, None, v.where)
            self.home[w], self.groups.place_of[w] = c, self.groups.place_of[v]
            copy.vertices.append(w)
            for u in uses:
                home = self.home.get(u.source)
                if home is not None and home is not c:
                    c.before |= home.before | 1 << home.number
        return copy


# -- what fits ------------------------------------------------------------------------------------------
def is_product(g) -> bool:
    v = g.vertices[0]
    return g.kind == "contract" and v.prim.name == "matmul" and v.dtype in (float32, float64) and \
        all(u.dtype is v.dtype for u in v.uses)


def space_of(g) -> tuple:
    """(batches, rows, length)."""
    shape = g.vertices[0].shape
    return prod(shape[:-2]), shape[-2], shape[-1]


def is_producer(g) -> bool:
    """A product with rows that are worth a chain."""
    if not is_product(g):
        return False
    batches, rows, length = space_of(g)
    return batches > 1 and rows >= LEAST_ROWS and length >= LEAST_LENGTH and is_whole(g)


def is_large(members, space) -> bool:
    masked = any(v.prim.name == "where" for m in members for v in m.vertices)
    return space[1] * space[2] >= (LARGE_MASKED if masked else LARGE)


def is_whole(g) -> bool:
    """Whether its sums over k are in one part, as a chain adds them."""
    from ..cpu import backend
    return backend.is_whole_product(g.vertices[0])


def is_value(v, space) -> bool:
    """A value of all rows, not one number a row."""
    return isinstance(v, Vertex) and v.numel == prod(space) and tuple(v.shape[-2:]) == space[1:]


def is_walker(g, space) -> bool:
    """A loop nest over such rows, one row after the other."""
    shape = tuple(g.space)
    if len(shape) < 2 or shape[-2:] != space[1:] or prod(shape) != prod(space):
        return False
    if any(v.prim.kind not in ("pointwise", "reduce") or v.prim.may_fail for v in g.vertices):
        return False
    if g.dims is None:
        return all(is_value(v, space) for v in g.vertices)
    first = row_axis(g.space, g.dims)
    return g.passes and first == len(shape) - 1 and \
        all(is_value(v, space) or is_row_value(v, shape, first) for v in g.vertices)


def is_row_by_row(v, use, g, space) -> bool:
    """Whether an element of a row is read for the same element, or a number of a row along that row."""
    if v is g.vertices[0] and g.kind == "contract":
        return False
    if is_value(use.source, space) and (is_value(v, space) or v.prim.kind == "reduce"):
        return is_same_walk(use)
    return use.source.numel == space[0] * space[1] and \
        (is_same_walk(use) and v.numel == use.source.numel or is_spread(use, tuple(g.space), len(g.space) - 1))


def way_of(g, values, space) -> tuple | None:
    """(operand, how a product reads it: its "rows" one by one, or in sums over "columns"), or None."""
    found = [(n, u) for n, u in enumerate(g.vertices[0].uses) if u.source in values]
    if len(found) != 1 or not is_whole(g):
        return None
    (n, use), = found
    facing = facing_of(use, space)
    return None if facing is None else (n, "rows" if (facing == "straight") == (n == 0) else "columns")


def facing_of(use, space) -> str | None:
    """"straight" if a matrix is seen as rows x length, "turned" if it is transposed."""
    layout = use.layout
    shape = tuple(layout.shape)
    if len(shape) < 2 or layout.numel != use.source.numel or use.offset:
        return None
    if shape[-2:] == space[1:] and layout.packed:
        return "straight"
    return "turned" if shape[-2:] == (space[2], space[1]) and transpose(layout, -2, -1).packed else None
