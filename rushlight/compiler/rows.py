"""Groups that pass over a row several times -> row nests.

    softmax:   stage 0   fold max of x                       after: m
               stage 1   e = exp(x - m); fold sum of e       after: s
               stage 2   store exp(x - m) / s                (instructions again, the row from cache)

What is dear, as an exponential, is not done again but waits in the row of a result until that is made.

A vertex walks the row, or it is a number of the row ("row value"): a reduction's result or made
of such. A stage holds what can be computed once the row values of the stages before it are known.
Sums across rows may ride along (compiler/riders.py): their operands are outputs of a stage's body.
"""
from __future__ import annotations

from math import prod
from typing import NamedTuple

from ..layout import packed_strides, view
from ..trace.graph import Use
from .bodies import BodyBuilder
from .kernel import (
    LANES, OWN_ROW, Own, Call, Fold, Load, NestWords, RowNest, Scalar, Stage, Store, written,
)
from .prices import price
from .sizes import larger, smaller, times
from .schedule import COLUMN_PART, GRAIN, ROW_PART, SHORT_ROW, Access, LoopGroup, accumulator, add_parts, rows_beside, way

LONG_ROW = 4096         # rows longer than this are worth it only if there are some to share out
FEW_ROWS = 8
OWN_ROWS = 4            # that a kernel keeps on its stack
DEAR = 0.2              # nanoseconds of steps that are rather stored than done again for the same row
FEW_PARTS = 4           # units that are too few to be shared out: sums across rows are kernels of their own


class Riding(NamedTuple):
    """How sums across rows are cut: `parts` of `steps` rows, for each of `others` places."""
    steps: int
    parts: int
    others: int


def riding(space, first, dims) -> Riding | None:
    """How sums over `dims` ride on rows, in the order and parts that they have alone; None if they do not."""
    kept, run = ([d for d in axes if space[d] != 1] for axes in (range(first), range(first, len(space))))
    over = [d for d in kept if d in dims]
    if not over or over != kept[:len(over)] or any(d in dims for d in run):
        return None
    if prod(space[d] for d in run) > LONG_ROW or rows_beside(space, kept[len(over):] + run, over) > 1:
        return None
    rows, others = prod(space[d] for d in over), prod(space[d] for d in kept if d not in over)
    steps = smaller(COLUMN_PART, rows)
    parts = -(-rows // steps)
    return Riding(steps, parts, others) if parts * others >= FEW_PARTS else None


def row_axis(space, dims):
    """The first folded axis if the folded axes are the last ones and rows have a fitting length, else None."""
    first = len(space) - len(dims)
    if not dims or tuple(dims) != tuple(range(first, len(space))):
        return None
    length, rows = prod(space[first:]), prod(space[:first])
    if not SHORT_ROW <= length <= ROW_PART or length > LONG_ROW and rows < FEW_ROWS:
        return None
    return first


def is_row_value(v, space, first) -> bool:
    """Whether a vertex of such a group is a number of each row."""
    return v.prim.kind == "reduce" or v.numel == prod(space[:first]) and v.numel != prod(space)


def is_spread(use: Use, space, first) -> bool:
    """A row value seen along its row: stride 0 on folded axes, packed on the others."""
    if use.layout.numel != prod(space) or use.offset:
        return False
    seen = use.layout if use.layout.shape == tuple(space) else view(use.layout, space)
    if seen is None:
        return False
    expected = packed_strides(space[:first]) + (0,) * (len(space) - first)
    return all(n == 1 or s == e for n, s, e in zip(space, seen.strides, expected))


class RowGroup(LoopGroup):
    """Works out the row nest of one group."""

    def __init__(self, group, builder):
        super().__init__(group, builder)
        self.first = row_axis(self.space, self.dims)
        self.kept_shape = self.space[:self.first]
        self.riders = [v for v in group.vertices if v.prim.kind == "reduce" and v.params["dims"] != group.dims]
        self.over = self.riders[0].params["dims"] if self.riders else ()

    def is_value(self, v) -> bool:
        return v not in self.riders and is_row_value(v, self.space, self.first)

    def is_folded(self, d):
        """What neighbouring axes must have in common to be walked as one."""
        return d in self.dims, d in self.over

    # -- collecting -----------------------------------------------------------------------------------
    def collect(self):
        self.values, self.readers = {}, {}
        for v in self.group.vertices:
            self.per_row = v.prim.kind != "reduce" and self.is_value(v)
            tensors, scalars = iter(v.uses), iter(v.scalars)
            for i, (layout, d) in enumerate(zip(v.sig.layouts, v.sig.dtypes)):
                self.values[v, i] = self.scalar(next(scalars), d) if layout is None else self.operand(next(tensors))

    def load(self, use: Use, is_index: bool = False) -> int:
        shape = self.kept_shape if self.per_row else self.space
        l = use.layout if use.layout.shape == shape else view(use.layout, shape)
        strides = l.strides + (0,) * (len(self.space) - len(shape))
        return self.add_load(Access(self.builder.ref(use.source, use.offset, use.dtype), use.dtype, strides), is_index)

    def stages(self) -> list[list]:
        """Vertices by stage."""
        stage: dict = {}
        for v in self.group.vertices:
            value = self.is_value(v) and v.prim.kind != "reduce"
            stage[v] = max((stage[u.source] + (self.is_value(u.source) and not value)
                            for u in v.uses if u.source in self.members), default=0)
        return [[v for v in self.group.vertices if stage[v] == s] for s in range(max(stage.values()) + 1)]

    # -- bodies ------------------------------------------------------------------------------------------
    def body(self, targets, number_of):
        """(body over what the targets need, loads, scalars, row values read).

        Earlier row steps are done again, but for those that wait in memory.
        """
        steps, stops = self.needed(targets, number_of.keys() | self.waiting.keys())
        rows, waiting = [v for v in stops if v in number_of], [v for v in stops if v in self.waiting]
        sources = [self.values[v, i] for v in steps for i in range(len(v.sig.layouts))]
        loads = sorted({n for kind, n in sources if kind == "load"} | {self.waiting[v] for v in waiting})
        scalars = sorted({n for kind, n in sources if kind == "scalar"})
        read = sorted({number_of[r] for r in rows})
        by_number = {number_of[r]: r for r in rows}
        k = BodyBuilder([self.loads[i].dtype for i in loads] + [self.scalars[i][1] for i in scalars] +
                        [by_number[n].dtype for n in read])
        place = {("load", i): n for n, i in enumerate(loads)}
        place |= {("scalar", i): len(loads) + n for n, i in enumerate(scalars)}
        made = {by_number[r]: len(loads) + len(scalars) + n for n, r in enumerate(read)}
        made |= {v: place["load", self.waiting[v]] for v in waiting}
        for v in steps:
            made[v] = self.vertex(v, k, place, made)
        outs, operands = [], {}
        for v in targets:
            if v.prim.kind == "reduce":         # what is folded is the operand
                source = self.values[v, 0]
                operands[v] = made[source[1]] if source[0] == "value" else place[source]
            else:
                operands[v] = made[v]
            outs.append(operands[v])
        return k, k.body(outs), (tuple(loads), tuple(scalars), tuple(read)), [k.dtype(o) for o in outs]

    def needed(self, targets, known):
        """Vertices to compute for the targets, in order, and what is known that they start from."""
        todo, steps, stops = list(targets), set(), set()
        while todo:
            v = todo.pop()
            if v in steps:
                continue
            steps.add(v)
            for use in v.uses:
                if use.source in self.members:
                    if use.source in known:
                        stops.add(use.source)
                    else:
                        todo.append(use.source)
        return [v for v in self.group.vertices if v in steps], stops

    def vertex(self, v, k, place, made) -> int:
        return 0 if v.prim.kind == "reduce" else super().vertex(v, k, place, made)

    # -- the nest ------------------------------------------------------------------------------------------
    def calls(self) -> list[Call]:
        self.collect()
        run = [d for d in range(self.first, len(self.space)) if self.space[d] != 1]
        lines = self.axes(self.loads, run)
        whole = len(lines) == 2 and lines[-1][0] % LANES == 0
        self.straighten(run, whole)
        number_of: dict = {}
        stages, stores, puts = [], [], []
        levels = self.stages()
        self.waiting, hosts = {}, self.hosts(levels)
        for members in levels:
            stages.append(self.stage(members, hosts, number_of, stores, puts))
        accesses = self.loads + [a for a, _ in stores] + [a for a, _ in puts]
        kept = self.axes(accesses, [d for d in range(self.first) if self.space[d] != 1])
        merged = kept + self.axes(accesses, run)
        ways = lambda n: tuple(way(strides[n], d == len(merged) - 1) for d, (_, strides, _) in enumerate(merged))
        own = lambda a: a.ref.number if type(a.ref) is Own else -1
        made = len(self.loads)
        folds, targets = self.sums(merged)
        nest = RowNest(len(kept), tuple(Load(a.dtype, ways(i), own=own(a)) for i, a in enumerate(self.loads)),
                       tuple(d for _, d in self.scalars), tuple(stages),
                       tuple(Store(a.dtype, ways(made + i), 0, own(a)) for i, (a, _) in enumerate(stores)),
                       tuple(Store(a.dtype, ways(made + len(stores) + i), r) for i, (a, r) in enumerate(puts)),
                       len(merged) - len(kept), sum(is_over for _, _, (_, is_over) in kept), folds)
        call = self.row_call(nest, self.row_words(nest, merged, accesses, targets))
        return [call, *self.added(folds, targets)]

    def sums(self, merged) -> tuple[tuple, list]:
        """The folds across rows, and for each (where its parts go, strides there, elements of a part)."""
        if not self.riders:
            return (), []
        cut = riding(self.space, self.first, self.over)
        sizes = [1 if is_over else n for n, _, (_, is_over) in merged]
        strides = [0 if is_over else s for s, (_, _, (_, is_over)) in zip(packed_strides(sizes), merged)]
        width, folds, targets = prod(sizes), [], []
        ways = tuple(way(s, d == len(merged) - 1) for d, s in enumerate(strides))
        for n, v in enumerate(self.riders):
            kind = accumulator(v)
            folds.append(Fold(v.prim.name, kind, kind, n, ways))
            targets.append((self.builder.temp(cut.parts * width * kind.itemsize), strides, width))
        return tuple(folds), targets

    def added(self, folds, targets) -> list[Call]:
        """Calls that add up the parts of sums across rows."""
        calls = []
        for v, fold, (ref, _, width) in zip(self.riders, folds, targets):
            parts = riding(self.space, self.first, self.over).parts
            calls += add_parts(self.builder, fold.op, fold.dtype, v.dtype, ref, parts, width, self.builder.result(v))
        return calls

    def hosts(self, levels) -> dict:
        """Dear steps that a later stage needs again: each waits where a result will be, until that is made, or on the stack."""
        own, short, taken = 0, prod(self.space[self.first:]) <= OWN_ROW, self.builder.taken
        goals = [self.goals(members) for members in levels]
        known, found = {v for v in self.group.vertices if self.is_value(v)}, {}
        for s, targets in enumerate(goals):
            for v in reversed(self.needed(targets, known | found.keys())[0]):
                if self.is_value(v) or sum(map(price, self.needed([v], known | found.keys())[0])) < DEAR:
                    continue
                later = [t for t in range(s + 1, len(goals))
                         if v in self.needed(goals[t], known | found.keys())[0]]
                free = (h for t in range(max(later, default=len(goals)), len(goals)) for h in goals[t]
                        if h.prim.kind != "reduce" and h.dtype is v.dtype and h not in found.values() and h not in taken)
                host = next(free, None)
                if host is None and later and own < OWN_ROWS and short:
                    host, own = Own(own), own + 1
                if host is not None and host is not v:
                    found[v] = host
        return found

    def goals(self, members) -> list:
        """What a stage folds and what it stores."""
        return [v for v in members if v.prim.kind == "reduce"] + [
            v for v in members if v.prim.kind != "reduce" and not self.is_value(v) and self.builder.is_needed(v, self.group)]

    def stage(self, members, hosts, number_of, stores, puts) -> Stage:
        needed = lambda v: self.builder.is_needed(v, self.group)
        goals = self.goals(members)
        riders = [v for v in goals if v in self.riders]
        folds = [v for v in goals if v.prim.kind == "reduce" and v not in riders]
        kept = [v for v in goals if v.prim.kind != "reduce"]
        steps, _ = self.needed(goals, number_of.keys() | self.waiting.keys())
        wait = [v for v in steps if v in hosts]
        _, body, (loads, scalars, rows), kinds = self.body(folds + kept + wait + riders, number_of)
        structure = tuple(self.fold_of(v, kind, i) for i, (v, kind) in enumerate(zip(folds, kinds)))
        saved = []
        for i, v in enumerate(kept + wait, len(folds)):
            saved.append((len(stores), i))
            stores.append((self.waits(v, hosts[v]) if i >= len(folds) + len(kept) else self.target(v), v))
        self.waiting.update((v, self.add_load(self.waits(v, hosts[v]))) for v in wait)
        for v in folds:
            number_of[v] = len(number_of)
        values = [v for v in members if self.is_value(v) and v.prim.kind != "reduce"]
        _, after, (after_loads, after_scalars, after_rows), _ = self.body(values, number_of)
        for v in values:
            number_of[v] = len(number_of)
        strides = packed_strides(self.kept_shape) + (0,) * (len(self.space) - self.first)
        for v in folds + values:
            if needed(v):
                puts.append((Access(self.builder.result(v), v.dtype, strides), number_of[v]))
        rides = tuple((self.riders.index(v), i) for i, v in enumerate(riders, len(folds) + len(kept) + len(wait)))
        return Stage(body, loads, scalars, rows, structure, tuple(saved), after, after_loads, after_scalars, after_rows, rides)

    def waits(self, v, host) -> Access:
        if type(host) is not Own:
            return self.target(host)
        return Access(host, v.dtype, (0,) * self.first + packed_strides(self.space[self.first:]))

    @staticmethod
    def fold_of(v, kind, i) -> Fold:
        return Fold(v.prim.name, accumulator(v), v.dtype, i, ())

    def row_words(self, nest, merged, accesses, targets):
        w = NestWords(nest)
        fill = [0] * w.count
        for at, (n, _, _) in zip(w.sizes, merged):
            fill[at] = n
        for n, (a, (pointer, strides, _)) in enumerate(zip(accesses, w.loads + w.stores + w.puts)):
            fill[pointer] = 0 if type(a.ref) is Own else a.ref
            for axis, at in strides.items():
                fill[at] = merged[axis][1][n]
        for (number, d), at in zip(self.scalars, w.scalars):
            fill[at] = Scalar(number, d)
        if self.riders:
            fill[w.fold_block], fill[w.parts], *_ = riding(self.space, self.first, self.over)
        self.place_folds(fill, w, targets)
        return fill

    def row_call(self, nest, fill) -> Call:
        rows, length = prod(self.kept_shape), prod(self.space[self.first:])
        names = " ".join(v.prim.name for v in self.group.vertices)
        work = length * len(nest.stages)
        nbytes = sum(prod(n for n, s in zip(self.space, a.strides) if s) * a.dtype.itemsize for a in self.loads)
        units, grain = rows, smaller(larger(1, GRAIN // work), larger(rows, 1))
        if self.riders:
            _, parts, others = riding(self.space, self.first, self.over)
            units, grain = parts * others, 1
        return Call(self.builder.backend.rows(nest), tuple(fill), units, grain,
                    f"row {times(self.space)} {len(nest.stages)} stages: {names}",
                    rows * length * sum(len(s.body.instrs) for s in nest.stages), nbytes,
                    rows * work, written(nest))
