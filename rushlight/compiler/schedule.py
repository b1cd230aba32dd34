"""Groups -> calls: which loops run, in which order, in what pieces.

All choices that could change a bit (which axis carries the lanes, how long a part of a reduction
is) follow from shapes and folded axes alone; how work is cut for threads does not change bits.
"""
from __future__ import annotations

from itertools import pairwise
from math import prod

from .. import dtypes
from ..layout import is_packed, packed_strides, view
from ..trace.graph import Use, Vertex
from .bodies import BodyBuilder, compute
from .kernel import (
    LANES, NARROW, TILE, TILE_BLOCK, Call, Epilogue, Fold, Load, Nest, NestWords, Ref, Scalar, Store, View, written,
)
from .sizes import larger, smaller, times

ROW_PART = 16384        # elements that one part of a row reduction folds
COLUMN_PART = 256       # steps that one part of a column reduction folds
SHORT_ROW = 8           # shorter folded runs are walked step by step, with the lanes on kept axes
MAP_BLOCK = 4096        # elements of a long row that one unit of a map takes
SHARING_ROWS = 16       # rows of a map that look at their common indices once
COLUMN_BLOCK = 4 * LANES
TILED_INSTRS = 24       # longer bodies are not repeated for each row of a tile
GRAIN = 16384           # elements that are worth handing to another thread
ARGS = ("argmax", "argmin")
FREE = (*ARGS, "amax", "amin", "any", "all")        # to be taken in any order


class Access:
    """One operand or result of a loop nest: where it starts and its stride along each axis of the space."""

    __slots__ = ("ref", "dtype", "strides", "indices", "wrap", "checks")

    def __init__(self, ref, dtype, strides, indices=(), wrap=False, checks=()):
        self.ref, self.dtype, self.strides = ref, dtype, tuple(strides)
        self.indices, self.wrap, self.checks = indices, wrap, checks

    def key(self):
        """What is equal for equal accesses; sizes are compared, not looked up (compiler/sizes.py)."""
        return self.ref.slot, self.dtype, self.indices

    def is_like(self, other) -> bool:
        return self.ref.offset == other.ref.offset and self.strides == other.strides


class LoopGroup:
    """Works out the nest of one loop group."""

    def __init__(self, group, builder):
        self.group, self.builder = group, builder
        self.space = tuple(group.space)
        self.dims = tuple(group.dims or ())
        self.loads: list[Access] = []
        self.keys: dict = {}
        self.scalars: list[tuple[int, dtypes.dtype]] = []
        self.members = set(group.vertices)

    # -- collecting ----------------------------------------------------------------------------------
    def collect(self):
        """Loads and scalars first: a body's inputs are numbered before its instructions."""
        self.values = {}            # (vertex, operand) -> ("load", n) | ("scalar", n)
        for v in self.group.vertices:
            if v.prim.kind == "gather":
                self.values[v] = ("load", self.gather(v))
                continue
            tensors = iter(v.uses if v.prim.kind != "write" else v.uses[1:])
            scalars = iter(v.scalars)
            skipped = v.prim.kind == "write"
            for i, (layout, d) in enumerate(zip(v.sig.layouts[skipped:], v.sig.dtypes[skipped:])):
                if layout is None:
                    self.values[v, i] = self.scalar(next(scalars), d)
                else:
                    self.values[v, i] = self.operand(next(tensors))

    def operand(self, use: Use):
        if use.source in self.members:
            return ("value", use.source)
        if self.builder.is_constant(use.source):
            return self.scalar(use.source.scalars[0], use.dtype)
        return ("load", self.load(use))

    def scalar(self, number, d):
        if (number, d) not in self.scalars:
            self.scalars.append((number, d))
        return ("scalar", self.scalars.index((number, d)))

    def add_load(self, access: Access, is_index: bool = False) -> int:
        alike = self.keys.setdefault((access.key(), is_index), [])      # the body sees no loads of indices
        known = next((n for n in alike if self.loads[n].is_like(access)), None)
        if known is None:
            known = len(self.loads)
            alike.append(known)
            self.loads.append(access)
        return known

    def load(self, use: Use, is_index: bool = False) -> int:
        l = use.layout if use.layout.shape == self.space else view(use.layout, self.space)
        return self.add_load(Access(self.builder.ref(use.source, use.offset, use.dtype), use.dtype, l.strides), is_index)

    def gather(self, v) -> int:
        """x at coordinates that are axes of the iteration or index operands."""
        x, *indices = v.uses
        strides, at, checks = [0] * len(self.space), [], []
        for axis, e in enumerate(v.params["coords"]):
            if e >= 0:
                strides[e] += x.layout.strides[axis]
            else:
                at.append(self.load(indices[-1 - e], is_index=True))
                checks.append((x.layout.strides[axis], v.params["size"][axis], self.builder.check(v, axis)))
        return self.add_load(Access(self.builder.ref(x.source, x.offset, x.dtype), x.dtype, strides, tuple(at),
                                    v.params["wrap"], tuple(checks)))

    # -- the body ------------------------------------------------------------------------------------------
    def build_body(self):
        indices = {i for a in self.loads for i in a.indices}
        plain = [i for i in range(len(self.loads)) if i not in indices]
        k = BodyBuilder([self.loads[i].dtype for i in plain] + [d for _, d in self.scalars])
        place = {("load", i): n for n, i in enumerate(plain)}
        place |= {("scalar", i): len(plain) + i for i in range(len(self.scalars))}
        self.flat_index = any(v.prim.name == "iota" for v in self.group.vertices)
        if self.flat_index:
            k.flat_index = k.input(dtypes.int64)
        made: dict[Vertex, int] = {}
        for v in self.group.vertices:
            made[v] = self.vertex(v, k, place, made)
        self.builder_k, self.made = k, made

    def vertex(self, v, k, place, made) -> int:
        where = self.values.get(v)
        if where is not None:
            return place[where]
        inputs = []
        skipped = v.prim.kind == "write"
        for i in range(len(v.sig.layouts) - skipped):
            source = self.values[v, i]
            inputs.append(made[source[1]] if source[0] == "value" else place[source])
        if v.prim.kind in ("reduce", "write"):
            return inputs[0]
        return compute(v, k, inputs)

    # -- results ---------------------------------------------------------------------------------------------
    def results(self):
        """(accesses of stores, body values they store), (reduce vertices)."""
        stores, values, folds = [], [], []
        for v in self.group.vertices:
            if v.prim.kind == "reduce":
                folds.append(v)
            elif v.prim.kind == "write":
                l, at = v.params["layout"], v.uses[0].offset
                stores.append(Access(self.builder.write_target(v, at), v.dtype, l.strides))
                values.append(self.made[v])
            elif self.builder.is_needed(v, self.group):
                stores.append(self.target(v))
                values.append(self.made[v])
        return stores, values, folds

    def target(self, v) -> Access:
        """Where a vertex' values go, element by element of the space."""
        return Access(self.builder.result(v), v.dtype, packed_strides(self.space))

    # -- axes ------------------------------------------------------------------------------------------------
    def axes(self, accesses, order):
        """Merged axes, outermost first: [(size, [stride of each access], folded?)].

        Neighbours in `order` merge where every access allows it and both are folded or kept.
        """
        merged = []
        for d in order:
            n, strides, folded = self.space[d], [a.strides[d] for a in accesses], self.is_folded(d)
            if n == 1:
                continue
            if merged and merged[-1][2] == folded and (n * merged[-1][0] == 0 or all(
                    s == t * n for s, t in zip(merged[-1][1], strides))):
                merged[-1] = (merged[-1][0] * n, strides, folded)
            else:
                merged.append((n, strides, folded))
        return merged

    def is_folded(self, d):
        return d in self.dims

    def calls(self) -> list[Call]:
        self.collect()
        self.build_body()
        stores, values, folds = self.results()
        if not folds:
            return self.map(stores, values)
        return self.fold(stores, values, folds)

    def map(self, stores, values):
        if 0 in self.space:
            return []
        accesses = self.loads + stores
        merged = self.axes(accesses, range(len(self.space))) or [(1, [0] * len(accesses), False)]
        tile = 0
        if not self.flat_index and len(merged) > 1:
            merged, tile = arranged(merged, [a.indices == () and a in self.loads for a in accesses],
                                     len(self.builder_k.instrs))
        n = merged[-1][0]
        block = n if n <= 2 * MAP_BLOCK else MAP_BLOCK
        lines = merged[-2][0] if len(merged) > 1 else 1
        together = larger(1, MAP_BLOCK // block)
        if tile:
            block, together = smaller(n, TILE_BLOCK), TILE_BLOCK
        elif self.shares_indices(merged):
            together = larger(together, SHARING_ROWS)
        together = smaller(together, lines)
        blocks, parts = -(-n // block), -(-lines // together)
        rows = prod(size for size, _, _ in merged[:-2])
        nest = self.nest("map", merged, 0, stores, values, [], tile)
        fill = self.words(nest, merged, stores, block, blocks, together, parts)
        return [self.call(nest, fill, rows * parts * blocks, larger(1, GRAIN // (block * together)))]

    def shares_indices(self, merged) -> bool:
        """Whether all rows are gathered by the same indices along the vectors."""
        moving = [i for i in {i for a in self.loads for i in a.indices} if merged[-1][1][i] != 0]
        return bool(moving) and len(merged) > 1 and all(merged[-2][1][i] == 0 for i in moving)

    # -- reductions ----------------------------------------------------------------------------------------------
    def fold(self, stores, values, folds):
        space, dims = self.space, self.dims
        order = [d for d in range(len(space)) if space[d] != 1]
        if all(v.prim.name in FREE for v in folds) and self.runs_along([d for d in order if d in dims]):
            order.sort(key=lambda d: d in dims)
        run = self.inner_run(order)
        kept = [d for d in order if d not in dims]
        folded = [d for d in order if d in dims]
        rows = bool(run) and (prod(space[d] for d in run) >= SHORT_ROW or not kept)
        if rows and kept and all(v.prim.name in FREE for v in folds):
            rows = self.runs_along(run)
        parts_ok = not any(v.prim.name in ARGS for v in folds)
        length, lines = prod(space[d] for d in run), prod(space[d] for d in folded if d not in run)
        across = self.across(kept, run, length, lines, folds) if rows else None
        if across is not None:
            return self.fold_across(stores, values, folds, kept, [d for d in folded if d not in run], run, across)
        if rows:
            self.straighten(run, self.keeps_lanes(self.axes(self.loads + stores, run), length, lines))
        accesses = self.loads + stores
        keeps = self.axes(accesses, kept)
        if rows:
            outer = self.axes(accesses, [d for d in folded if d not in run])
            *more, inner = self.axes(accesses, run)
            return self.fold_rows(stores, values, folds, keeps, outer + more, inner, length, lines, parts_ok)
        beside = rows_beside(self.space, kept, folded) if parts_ok else 1
        if beside > 1:
            return self.fold_narrow(stores, values, folds, beside)
        places = None
        if (beside := self.neighbours(kept)) is not None:
            keeps, places = self.kept_around(beside, kept, accesses)
        keeps = keeps or [(1, [0] * len(accesses), False)]
        inner = self.axes(accesses, folded) or [(1, [0] * len(accesses), True)]
        return self.fold_columns(stores, values, folds, keeps, inner, parts_ok, places=places)

    def fold_narrow(self, stores, values, folds, beside):
        """A few columns: neighbouring rows are walked side by side, as more columns, and their sums added at the end."""
        width = prod(n for d, n in enumerate(self.space) if d not in self.dims) * beside
        for i, a in enumerate(self.loads):
            if any(a.strides) and not is_packed(self.space, a.strides):
                self.pack(i)
        moves = [1 if any(a.strides) else 0 for a in self.loads + stores]
        keeps = [(width, moves, False)]
        inner = [(prod(self.space) // width, [width * move for move in moves], True)]
        return self.fold_columns(stores, values, folds, keeps, inner, True, beside)

    def pack(self, i):
        """Load i comes from a packed copy."""
        a = self.loads[i]
        ref = self.builder.temp(prod(self.space) * a.dtype.itemsize)
        self.builder.calls += copy_calls(self.builder, a, self.space, ref)
        self.loads[i] = Access(ref, a.dtype, packed_strides(self.space))

    def runs_along(self, run) -> bool:
        """Whether the run is walked in memory; windows, say, are not."""
        *_, (n, strides, _) = self.axes(self.loads, run) or [(1, (), True)]
        return n >= SHORT_ROW and all(s in (0, 1) for s in strides)

    def inner_run(self, order):
        """The folded axes at the end of the walk."""
        run = []
        for d in reversed(order):
            if d not in self.dims:
                break
            run.insert(0, d)
        return run

    def straighten(self, run, keeps_lanes):
        """Loads that would put elements into other lanes, or jump from line to line of cache, are packed first."""
        for i, a in enumerate(self.loads):
            if a.indices or any(i in b.indices for b in self.loads):
                continue
            straight = keeps_lanes or all(a.strides[c] == a.strides[d] * self.space[d] for c, d in pairwise(run))
            if straight and not self.jumps(a, run):
                continue
            self.pack(i)

    def across(self, kept, run, length, lines, folds):
        """A kept axis on which all loads are neighbours, where some of them jump along the run: that is walked in vectors."""
        if length < 2 * LANES or any(a.indices for a in self.loads) or any(v.prim.name in (*FREE, *ARGS) for v in folds):
            return None
        if length > ROW_PART and lines > 1 and length % ROW_PART or len(self.axes(self.loads, run)) > 1:
            return None
        if not any(self.jumps(a, run) for a in self.loads):
            return None
        return self.side_by_side(kept)

    def neighbours(self, kept):
        """A kept axis on which elements of all loads are neighbours, if on the last one they are not."""
        if not kept or all(a.strides[kept[-1]] in (0, 1) for a in self.loads):
            return None
        return self.side_by_side(kept)

    def side_by_side(self, kept):
        """A kept axis on which elements of all loads are neighbours."""
        return next((d for d in kept if self.space[d] >= LANES and all(a.strides[d] in (0, 1) for a in self.loads)), None)

    def kept_around(self, last, kept, accesses):
        """(kept axes with `last` behind the others, the strides of results along them)."""
        strides = dict(zip(kept, packed_strides([self.space[d] for d in kept])))
        result = Access(None, None, [strides.get(d, 0) for d in range(len(self.space))])
        keeps = self.axes([*accesses, result], [d for d in kept if d != last]) + self.axes([*accesses, result], [last])
        return keeps, [s[-1] for _, s, _ in keeps]

    def fold_across(self, stores, values, folds, kept, outer, run, across):
        """Rows that lie side by side, 16 at a time; what was a lane of a row is a place in a table."""
        accesses = self.loads + stores
        keeps, places = self.kept_around(across, kept, accesses)
        inner = self.axes(accesses, outer) + self.axes(accesses, run)
        length, steps = inner[-1][0], prod(n for n, _, _ in inner)
        per = ROW_PART if length > ROW_PART else length * larger(1, ROW_PART // length)
        per = smaller(per, steps)
        n, parts = keeps[-1][0], -(-steps // per)
        block = smaller(COLUMN_BLOCK, n)
        blocks = -(-n // block)
        return self.folded("columns", keeps + inner, len(keeps), stores, values, folds, block, blocks, per,
                           parts, prod(n for n, _, _ in keeps[:-1]) * blocks, block * per,
                           places=places, spread=True)

    def jumps(self, access, run) -> bool:
        """Whether the run is far apart, and other axes, that are neighbours, can be walked instead to pack it."""
        return access.strides[run[-1]] >= LANES and any(
            s == 1 and self.space[d] >= TILE for d, s in enumerate(access.strides) if d != run[-1])

    @staticmethod
    def keeps_lanes(axes, length, lines) -> bool:
        """Whether walking a run as several axes puts each element into the same lane and part as one axis would."""
        width = axes[-1][0]
        if len(axes) == 1:
            return True
        return width % LANES == 0 and (length <= ROW_PART or ROW_PART % width == 0 and
                                       (lines == 1 or length % ROW_PART == 0))

    def fold_rows(self, stores, values, folds, keeps, outer, inner, length, lines, parts_ok):
        """A part is ROW_PART elements of the run of `length`, or as many whole runs as fit into that."""
        width = larger(inner[0], 1)
        piece, runs = larger(length, 1), larger(lines, 1)
        if parts_ok:
            piece = smaller(piece, ROW_PART)
            runs = larger(1, ROW_PART // piece) if lines > 1 else 1
        parts = larger(-(-length // piece), 1) * larger(-(-lines // runs), 1)
        block = smaller(width, piece)
        pieces = larger(-(-inner[0] // block), 1)
        per = larger(piece * runs // width, 1)
        merged = keeps + outer + [inner]
        return self.folded("rows", merged, len(keeps), stores, values, folds, block, pieces, per, parts,
                           prod(n for n, _, _ in keeps), piece * runs)

    def fold_columns(self, stores, values, folds, keeps, inner, parts_ok, beside=1, places=None):
        steps = prod(n for n, _, _ in inner)
        per = smaller(steps, COLUMN_PART) if parts_ok else steps
        parts = -(-steps // per) if steps else 1
        block = larger(smaller(COLUMN_BLOCK, keeps[-1][0]), 1)
        blocks = -(-keeps[-1][0] // block)
        rows = prod(n for n, _, _ in keeps[:-1])
        return self.folded("columns", keeps + inner, len(keeps), stores, values, folds, block, blocks, larger(per, 1),
                           parts, rows * blocks, block * per, beside, places)

    def folded(self, style, merged, kept, stores, values, folds, block, blocks, per, parts, rows, work, beside=1,
               places=None, spread=False):
        """The calls of a reduction: the nest, and where it is cut into parts, what adds the parts up.

        `places`: the strides of results along the kept axes, if these do not lie in the order of the walk.
        """
        k = self.builder_k
        width = prod(n for n, _, _ in merged[:kept])
        strides = places or packed_strides([n for n, _, _ in merged[:kept]])
        structure, targets, after = [], [], []
        for v in folds:
            inside = k.dtype(self.made[v]) if v.prim.name in ARGS else accumulator(v)
            out, ref = v.dtype, self.builder.result(v)
            if parts * beside > 1:
                out, final = inside, ref
                ref = self.builder.temp(parts * width * inside.itemsize)
                after.append((v.prim.name, inside, v.dtype, ref, final))
            ways = tuple(way(s, d == kept - 1 and style == "columns") for d, s in enumerate(strides))
            structure.append(Fold(v.prim.name, inside, out, len(values), ways))
            values.append(self.made[v])
            targets.append((ref, strides, width))
        column = style == "columns" and not spread
        tile = self.lines_together(merged[kept - 1], merged[kept:]) if column else 0
        nested = column and len(merged) - kept > 1 and parts == 1 and not tile
        nest = self.nest(style, merged, len(merged) - kept, stores, values, structure, tile, nested, spread)
        fill = self.words(nest, merged, stores, block, blocks, per, parts, targets)
        grain = larger(1, GRAIN // larger(work, 1))
        if style == "rows":                 # several at a time, where enough are left to share out
            grain = larger(grain, smaller(4, rows * parts // 16))
        calls = [self.call(nest, fill, rows * parts, grain)]
        for op, inside, out, ref, final in after:
            calls += add_parts(self.builder, op, inside, out, ref, parts * beside, width // beside, final)
        return calls

    def lines_together(self, vector, folded) -> int:
        """Lines of a column reduction that are taken at once, because a load is contiguous from line to line."""
        (n, strides, _), (size, along, _) = vector, folded[-1]
        instrs = len(self.builder_k.instrs)
        tile = TILE if instrs > 2 else LANES
        if instrs > TILED_INSTRS or n < LANES or size < tile or len(folded) > 1 and size % tile:
            return 0
        across = (s == 1 and kind_of_move(t) > 1 and not a.indices for a, s, t in zip(self.loads, along, strides))
        return tile if any(across) else 0

    # -- structure and words -----------------------------------------------------------------------------------
    def nest(self, style, merged, folded, stores, values, folds, tile=0, nested=False, spread=False) -> Nest:
        kept = len(merged) - folded
        vector = kept - 1 if style != "rows" else len(merged) - 1
        walked = (vector, vector - 1 if style == "map" else len(merged) - 1) if tile else (vector,)
        ways = lambda n: tuple(way(strides[n], d in walked) for d, (_, strides, _) in enumerate(merged))
        loads = tuple(Load(a.dtype, ways(i), a.indices, a.wrap) for i, a in enumerate(self.loads))
        saved = tuple(Store(a.dtype, ways(len(self.loads) + i), i) for i, a in enumerate(stores))
        return Nest(style, kept, folded, loads, tuple(d for _, d in self.scalars), self.builder_k.body(values),
                    saved, tuple(folds), self.flat_index, nested, spread, tile)

    def words(self, nest, merged, stores, block, blocks, per, parts, targets=()):
        w = NestWords(nest)
        fill = [0] * w.count
        for at, (n, _, _) in zip(w.sizes, merged):
            fill[at] = n
        for at, n in zip((w.block, w.blocks, w.fold_block, w.parts), (block, blocks, per, parts)):
            fill[at] = n
        fill[w.error] = self.builder.error_ref
        for n, (a, place) in enumerate(zip(self.loads + stores, w.loads + w.stores)):
            pointer, strides, indices = place
            fill[pointer] = a.ref
            for axis, at in strides.items():
                fill[at] = merged[axis][1][n]
            for numbers, check in zip(indices, a.checks):
                for at, number in zip(numbers, check):
                    fill[at] = number
        self.place_folds(fill, w, targets)
        for (number, d), at in zip(self.scalars, w.scalars):
            fill[at] = Scalar(number, d)
        return fill

    @staticmethod
    def place_folds(fill, w, targets):
        """Where results of folds go: (start, strides, elements of a part) of each."""
        for (ref, strides, width), (pointer, places, ((step, _, _),)) in zip(targets, w.folds):
            fill[pointer], fill[step] = ref, width
            for axis, at in places.items():
                fill[at] = strides[axis]

    def call(self, nest, fill, units, grain) -> Call:
        note = f"{nest.style} {times(self.space)}" + (f" fold {list(self.dims)}" if self.dims else "")
        names = " ".join(v.prim.name for v in self.group.vertices) if self.group else "copy"
        size = prod(self.space)
        nbytes = sum(prod(n for n, s in zip(self.space, a.strides) if s) * a.dtype.itemsize for a in self.loads)
        return Call(self.builder.backend.nest(nest), tuple(fill), units, smaller(grain, larger(units, 1)), f"{note}: {names}",
                    size * len(nest.body.instrs), nbytes, size, written(nest))


def rows_beside(space, kept, folded) -> int:
    """How many neighbouring rows a fold of a few columns walks as one; follows from the shape alone."""
    if not kept or not folded or max(folded) > min(kept):
        return 1
    width, rows = prod(space[d] for d in kept), prod(space[d] for d in folded)
    if width > NARROW or rows < COLUMN_PART:
        return 1
    return next((n for n in (32, 16, 8, 4, 2) if n * width <= COLUMN_BLOCK and rows % n == 0), 1)


def accumulator(v) -> dtypes.dtype:
    """The dtype a reduction adds up in: the next wider float, rounded once at the end."""
    if v.prim.name in ("sum", "prod") and v.dtype.is_floating_point:
        return dtypes.float32 if v.dtype.itemsize == 2 else dtypes.float64
    return v.dtype


def way(stride, is_vector) -> str:
    """How an access moves along an axis, as structure."""
    if stride == 0:
        return "0"
    if not is_vector:
        return "s"
    return "1" if stride == 1 else "2" if stride == 2 else "r" if stride == -1 else "s"


SIZE_CLASSES = {2: 1, 4: 3, 8: 6, 64: 32}, 256      # below the key: as if it were the value; all others
# What an access costs for an element, by how it moves along the vectors; and each row by itself.
CONTIGUOUS, TURNED, GATHERED, SCATTERED, ROW = 1, 2, 8, 12, 20


def arranged(merged, may_turn, instrs):
    """(axes in the order to walk them, rows of a tile): the last one is walked in vectors.

    Results do not depend on the order in which a map walks, so the cheapest is taken.
    """
    n, strides, _ = merged[-1]
    if n >= 2 * LANES and all(s in (0, 1, -1) for s in strides):
        return merged, 0
    moves = [[kind_of_move(s) for s in strides] for _, strides, _ in merged]
    sizes = [about(n) for n, _, _ in merged]
    plans = [(walk_cost(sizes[v], moves[v], r is not None and moves[r], may_turn), v != len(merged) - 1, v, r)
             for v in range(len(merged)) for r in [None, *range(len(merged))]
             if r != v and (r is None or instrs <= TILED_INSTRS and sizes[r] >= TILE)]
    _, _, v, r = min(plans, key=lambda plan: (plan[0], plan[1], -plan[2], plan[3] is not None))
    tail = [v] if r is None else [r, v]
    tile = 0 if r is None else TILE if instrs > 2 or sizes[r] < 4 * LANES else LANES
    return [merged[d] for d in range(len(merged)) if d not in tail] + [merged[d] for d in tail], tile


def about(n) -> int:
    """A size as the walk of a map is chosen by it: few classes, so that new sizes seldom need new code."""
    classes, large = SIZE_CLASSES
    return next((value for bound, value in classes.items() if n < bound), large)


def kind_of_move(stride) -> int:
    """0 and 1 as they are, 2 for what is near, 3 where each element has a line of cache to itself."""
    return 0 if stride == 0 else 1 if stride in (1, -1) else 2 if -LANES < stride < LANES else 3


def walk_cost(n, moves, across, may_turn) -> float:
    """Of an element, if vectors lie on an axis of about n elements, and loads contiguous `across` are turned."""
    cost = 0
    for k, (move, can) in enumerate(zip(moves, may_turn)):
        if move < 2:
            cost += CONTIGUOUS * move
        elif across and can and across[k] == 1 and n >= LANES:
            cost += TURNED
        else:
            cost += (GATHERED if can else SCATTERED) * (move - 1)
    return cost * (-(-n // LANES) * LANES / n) + ROW / n


class Bare(LoopGroup):
    """A nest without vertices: copies and sums of parts."""

    def __init__(self, builder, space, dims, access):
        self.group, self.builder, self.space, self.dims = None, builder, tuple(space), tuple(dims)
        self.loads, self.scalars, self.flat_index = [access], [], False
        self.builder_k = BodyBuilder([access.dtype])


def copy_calls(builder, access: Access, space, ref, strides=None) -> list[Call]:
    """Elements of one geometry into another."""
    nest = Bare(builder, space, (), access)
    return nest.map([Access(ref, access.dtype, strides or packed_strides(space))], [0])


def add_parts(builder, op, inside, out, ref, parts, width, final) -> list[Call]:
    """Fold the parts of a reduction, in order; many parts are again folded in parts."""
    nest = Bare(builder, (parts, width), (0,), Access(ref, inside, (width, 1)))
    per = smaller(parts, COLUMN_PART)
    groups = -(-parts // per)
    block = smaller(COLUMN_BLOCK, width)
    merged = [(width, [1], False), (parts, [width], True)]
    kind, target = (inside, builder.temp(groups * width * inside.itemsize)) if groups > 1 else (out, final)
    fold = Fold(op, inside, kind, 0, (way(1, True),))
    made = nest.nest("columns", merged, 1, [], [0], [fold])
    fill = nest.words(made, merged, [], block, -(-width // block), per, groups, [(target, (1,), width)])
    calls = [nest.call(made, fill, -(-width // block) * groups, larger(1, GRAIN // (block * per)))]
    return calls + (add_parts(builder, op, inside, out, target, groups, width, final) if groups > 1 else [])


# -- contractions ----------------------------------------------------------------------------------------------
def contract_calls(group, builder) -> list[Call]:
    """A contraction and the pointwise vertices that ride on its result."""
    v = group.vertices[0]
    epilogue = make_epilogue(group, builder) if len(group.vertices) > 1 else None
    out = View(builder.result(v) if epilogue is None else Ref(-1), v.dtype, tuple(v.shape), packed_strides(v.shape))
    operands = [view_of(u, builder) for u in v.uses]
    return builder.backend.contract(v.prim.name, v.params, out, operands, builder.temp, epilogue)


def view_of(use: Use, builder) -> View:
    """An operand in memory."""
    use = builder.stored(use)
    return View(builder.ref(use.source, use.offset, use.dtype), use.dtype, tuple(use.layout.shape), use.layout.strides)


def make_epilogue(group, builder, nest=None) -> Epilogue:
    first, *rest = group.vertices
    nest = nest or LoopGroup(group, builder)
    nest.values = {first: ("acc", 0)}
    for v in rest:
        tensors, scalars = iter(v.uses), iter(v.scalars)
        for i, (layout, d) in enumerate(zip(v.sig.layouts, v.sig.dtypes)):
            nest.values[v, i] = nest.scalar(next(scalars), d) if layout is None else nest.operand(next(tensors))
    k = BodyBuilder([first.dtype] + [a.dtype for a in nest.loads] + [d for _, d in nest.scalars])
    place = {("acc", 0): 0} | {("load", i): 1 + i for i in range(len(nest.loads))}
    place |= {("scalar", i): 1 + len(nest.loads) + i for i in range(len(nest.scalars))}
    made = {}
    for v in group.vertices:
        made[v] = nest.vertex(v, k, place, made)
    needed = [v for v in group.vertices if builder.is_needed(v, group)]
    space = tuple(group.space)
    inputs = [View(a.ref, a.dtype, space, a.strides) for a in nest.loads]
    inputs += [View(builder.scalar_ref(n, d), d, space, (0,) * len(space)) for n, d in nest.scalars]
    outputs = [View(a.ref, a.dtype, space, a.strides) for a in map(nest.target, needed)]
    return Epilogue(k.body([made[v] for v in needed]), tuple(inputs), tuple(outputs))


