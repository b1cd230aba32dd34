"""A vector, or a few, times a matrix, bound by how fast the matrix comes: it is read where it lies.

    out[batch, m, n] = sum over k of x[batch, m, k] * b[batch, k, n], m from 1 to 3

Products are added in groups of 16 neighbours of k: halves of the 16 are added, 8, 4, 2, 1; then
groups in order within a block of k, then blocks. That suits both ways in which b can lie:

    along     its columns are adjacent: 16 rows of b at a time, a lane for each column
    across    its k are adjacent: two groups of 8 columns at a time, a lane for each k; halves of
              two vectors are added by one addition, so that 16 vectors become one of 16 sums
"""
from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Code, View
from ..compiler.sizes import larger, smaller
from ..dtypes import dtype
from .contract import SMALL, Contraction, Cut, Temp, balanced, in_parts
from .emit import SIZES, Function, Value, constant, vector
from .finish import Finisher
from .pack import call_word, table_offset
from .scalar import cast, from_memory

COLUMNS = 1024          # of a tile, for the decision how k is cut into parts
LEAST_BLOCKS = 4        # of a part: long reads where k are adjacent
LONG, SHORT = 4096, 32  # columns of a tile where they are adjacent, and where they are not
TOGETHER = 8            # columns taken together there: reads of 8 rows keep memory busy
SINGLY = 2              # so few are taken one by one
AT_ONCE = 4             # vectors of neighbouring columns of a row
MOST = 3                # rows of x: with more, packing b pays
PLACE = LONG + LANES    # elements from one row's sums to the next one's

(X, B, STEP, COLUMN, N, N_TILE, N_TILES, K, K_TILE, K_TILES, PART_BLOCKS, BATCHES, FINISH,
 FINISH_WORDS, ROWS, X_ROW, DIMS, TABLE) = range(18)


def lower_vector(c: Contraction, x: View, b: View, result: Finisher, temp: Temp,
                 note: str) -> list[Call]:
    """x [..., m, k] of the accumulator's dtype, k adjacent; b [..., k, n] that widens to it."""
    along = b.strides[-1] == 1 or b.shape[-1] == 1 and b.strides[-2] != 1
    cut = balanced(c.n.total, _columns(c) if along else SHORT, LANES)
    if c.parts == 1:
        return [_call(c, cut, along, x, b, result, note)]
    keep, add = in_parts(c.kind, c.parts, c.batches, c.m.total, c.n.total, result, temp, note)
    return [_call(c, cut, along, x, b, keep, note), add]


def _columns(c: Contraction) -> int:
    """Columns of a tile: long reads, but several tiles."""
    tiles = c.parts * c.batches
    return LONG if tiles >= 4 else LONG // 8 if tiles * c.n.total >= LONG else LONG // 32


def _call(c: Contraction, cut: Cut, along: bool, x: View, b: View, result: Finisher,
          note: str) -> Call:
    step, column = (s * b.itemsize for s in b.strides[-2:])
    table = [word for size, one, other in zip(b.shape[:-2], x.strides, b.strides, strict=False)
             for word in (other * b.itemsize, one * x.itemsize, size)][::-1]
    words = (x.ref, b.ref, step, column, c.n.total, cut.tile, cut.pieces, c.k.total, c.k.tile,
             c.k.pieces, c.part_blocks, c.batches, result.code, TABLE + len(table),
             c.m.total, x.strides[-2] * x.itemsize, len(table) // 3, *table, *result.words)
    units = c.parts * c.batches * cut.pieces
    grain = smaller(units, larger(1, units * SMALL // (c.work + 1)))
    return Call(vector_kernel(c.kind, b.dtype, along), words, units, grain, note, 2 * c.work,
                c.work // c.m.total * b.itemsize)


@cache
def vector_kernel(kind: dtype, element: dtype, along: bool) -> Code:
    """A unit is (part of k, batch, column tile)."""
    f = Function(f"vector_{'along' if along else 'across'}_{element.name}")
    tile, sums = (f.alloca(kind.llvm, MOST * PLACE) for _ in range(2))
    with f.loop(f.lo, f.hi) as unit:
        rest, column = f.udiv(unit.index, f.word(N_TILES)), f.urem(unit.index, f.word(N_TILES))
        part, batch = f.udiv(rest, f.word(BATCHES)), f.urem(rest, f.word(BATCHES))
        n0 = f.mul(column, f.word(N_TILE))
        cols = f.umin(f.word(N_TILE), f.sub(f.word(N), n0))
        at_x, at_b = table_offset(f, batch, f.word(DIMS), TABLE, 3, [f.value(0), f.value(0)])
        b = f.at(f.word(B, "ptr"), "i8", f.add(at_b, f.mul(n0, f.word(COLUMN))))
        x = f.at(f.word(X, "ptr"), "i8", at_x)
        first = f.mul(part, f.word(PART_BLOCKS))
        last = f.umin(f.add(first, f.word(PART_BLOCKS)), f.word(K_TILES))
        sweep = Sweep(f, kind, element, x, b, first, last, tile, sums, cols)
        (sweep.along if along else sweep.across)()
        number = f.add(f.mul(part, f.word(BATCHES)), batch)
        call_word(f, "void", FINISH, [f.at(f.args, "i64", f.word(FINISH_WORDS)), tile,
                                      PLACE * kind.itemsize, number, 0, f.word(ROWS), n0, cols])
    return f.code()


class Row(NamedTuple):
    """A row of x, and where its sums over a block and over all blocks are."""
    x: Value
    sums: Value
    tile: Value


class Sweep:
    """Emits the sums of blocks `first` to `last` into `tile`, column by column."""

    def __init__(self, f: Function, kind: dtype, element: dtype, x: Value, b: Value, first: Value,
                 last: Value, tile: Value, sums: Value, cols: Value):
        self.f, self.kind, self.element, self.x, self.b = f, kind, element, x, b
        self.first, self.last, self.cols = first, last, cols
        self.tile, self.sums = tile, sums

    @contextmanager
    def each_row(self):
        """A loop over the rows of x."""
        f, llvm = self.f, self.kind.llvm
        with f.loop(0, f.word(ROWS), nonempty=True) as loop:
            sums, tile = (f.at(place, llvm, f.mul(loop.index, PLACE)) for place in (self.sums, self.tile))
            yield Row(f.at(self.x, "i8", f.mul(loop.index, f.word(X_ROW))), sums, tile)

    def extent(self, block: Value) -> tuple[Value, Value]:
        """Where a block of k starts and ends."""
        f, k = self.f, self.f.mul(block, self.f.word(K_TILE))
        return k, f.umin(f.add(k, f.word(K_TILE)), f.word(K))

    def read(self, pointer: Value, mask: Value | None) -> Value:
        """16 neighbours of b as the accumulator's dtype."""
        f, llvm = self.f, self.element.llvm
        value = f.masked_load(llvm, pointer, mask) if mask else f.load_vector(llvm, pointer)
        return cast(f, self.kind, self.element, from_memory(f, self.element, value))

    # 16 rows of b at a time

    def along(self) -> None:
        f = self.f
        with f.loop(self.first, self.last) as block:
            start, end = self.extent(block.index)
            whole = f.add(start, f.and_(f.sub(end, start), -LANES))
            with self.each_row() as row:
                self.clear(row)
            with f.loop(start, whole, LANES) as group, self.each_row() as row:
                self.rows(row, group.index, None)
            with f.when(f.icmp("ult", whole, end)), self.each_row() as row:
                self.rows(row, whole, f.sub(end, whole))
            with self.each_row() as row:
                self.add(row, f.icmp("eq", block.index, self.first))

    def add(self, row: Row, is_first: Value) -> None:
        """tile = sums in the first block, then tile += sums."""
        f, llvm = self.f, self.kind.llvm
        with f.loop(0, self.cols, LANES, nonempty=True) as at:
            place = f.at(row.tile, llvm, at.index)
            made = f.load_vector(llvm, f.at(row.sums, llvm, at.index))
            total = f.plus(f.load_vector(llvm, place), made)
            f.store(f.select(is_first, made, total), place)

    def clear(self, row: Row) -> None:
        """Minus zero: what is added to it keeps its sign."""
        with self.f.loop(0, self.cols, LANES, nonempty=True) as at:
            self.f.store(constant(vector(self.kind.llvm), -0.0),
                         self.f.at(row.sums, self.kind.llvm, at.index))

    def rows(self, row: Row, k: Value, few: Value | None) -> None:
        """Rows k .. k + 16 times their x go to the sums; `few` says how many there are, if fewer."""
        f, whole = self.f, self.f.and_(self.cols, -AT_ONCE * LANES)
        x = self.multipliers(row, k, few)
        starts = [f.at(self.b, "i8", f.mul(f.add(k, n), f.word(STEP))) for n in range(LANES)]
        valid = [None if few is None else f.icmp("ult", n, few) for n in range(LANES)]
        if few is None:
            with f.loop(0, whole, AT_ONCE * LANES) as at:
                columns = [f.add(at.index, v * LANES) for v in range(AT_ONCE)]
                self.add_rows(row, x, starts, columns, [None] * LANES)
        with f.loop(whole if few is None else 0, self.cols, LANES) as at:
            mask = f.lane_mask(f.sub(self.cols, at.index))
            none = constant(mask.type, 0)
            masks = [mask if few is None else f.select(v, mask, none) for v in valid]
            self.add_rows(row, x, starts, [at.index], masks)

    def multipliers(self, row: Row, k: Value, few: Value | None) -> Callable[[int], Value]:
        f, llvm, start = self.f, self.kind.llvm, self.f.at(row.x, self.kind.llvm, k)
        if few is None:
            return lambda n: f.load_splat(llvm, f.at(start, llvm, n))
        x = f.masked_load(llvm, start, f.lane_mask(few))
        return lambda n: f.shuffle(x, None, [n] * LANES)

    def add_rows(self, row: Row, x, starts, columns: list[Value], masks) -> None:
        """Products of all rows with each vector of columns, added and added to the sums."""
        f = self.f

        def added(rows: list[int]) -> list[Value]:
            if len(rows) == 1:
                n, = rows
                return [f.times(x(n), self.read(f.at(starts[n], self.element.llvm, column), masks[n]))
                        for column in columns]
            return list(map(f.plus, *(added(some) for some in (rows[::2], rows[1::2]))))
        for column, total in zip(columns, added(list(range(LANES))), strict=True):
            place = f.at(row.sums, self.kind.llvm, column)
            f.store(f.plus(f.load(total.type, place), total), place)

    # some columns of b at a time, and as many groups of each as make 16 vectors

    def across(self) -> None:
        f = self.f
        with f.either(f.icmp("ule", self.cols, SINGLY)) as either:
            with either.yes:
                with f.loop(0, self.cols, nonempty=True) as column, self.each_row() as row:
                    self.columns(row, [column.index], column.index)
            with either.no:
                last = f.sub(self.cols, 1)
                with f.loop(0, self.cols, TOGETHER, nonempty=True) as column:
                    places = [f.umin(f.add(column.index, n), last) for n in range(TOGETHER)]
                    with self.each_row() as row:
                        self.columns(row, places, column.index)

    def columns(self, row: Row, places: list[Value], column: Value) -> None:
        """Sums of one column or several."""
        f = self.f
        starts = [f.at(self.b, "i8", f.mul(place, f.word(COLUMN))) for place in places]
        nothing = constant(vector(self.kind.llvm, len(places)), -0.0)
        with f.loop(self.first, self.last, carried=[nothing]) as block:
            made = self.block(row, starts, block.index, nothing)
            block.next(f.plus(block.values[0], made))
        f.store(block.results[0], f.at(row.tile, self.kind.llvm, column))

    def block(self, row: Row, starts: list[Value], block: Value, nothing: Value) -> Value:
        f, groups = self.f, 1 if len(starts) == 1 else LANES // len(starts)
        (start, end), step = self.extent(block), groups * LANES
        whole = f.add(start, f.and_(f.sub(end, start), -step))
        with f.loop(start, whole, step, carried=[nothing]) as run:
            run.next(self.groups(row, run.values[0], starts, run.index, [None] * groups))
        with f.when(f.icmp("ult", whole, end), run.results) as rest:
            few = [f.smax(f.sub(f.sub(end, whole), LANES * n), 0) for n in range(groups)]
            rest.give(self.groups(row, run.results[0], starts, whole, few))
        return rest.results[0]

    def groups(self, row: Row, total: Value, starts: list[Value], k: Value, few: list) -> Value:
        """Adds groups of 16 products of each column; `few`: how many there are of each."""
        f, llvm = self.f, self.kind.llvm
        ks = [f.add(k, n * LANES) for n in range(len(few))]
        masks = [None if n is None else f.lane_mask(n) for n in few]
        x = [f.masked_load(llvm, f.at(row.x, llvm, k), mask) if mask else
             f.load_vector(llvm, f.at(row.x, llvm, k)) for k, mask in zip(ks, masks, strict=True)]

        def products(n: int) -> Value:
            group, column = divmod(n, len(starts))
            place = f.at(starts[column], self.element.llvm, ks[group])
            return f.times(x[group], self.read(place, masks[group]))
        if len(starts) == 1:
            return f.plus(total, f.fold_lanes(products(0), f.plus))
        sums = fold_columns(f, products, SIZES[llvm])
        for group, left in enumerate(few):
            lanes = range(group * len(starts), (group + 1) * len(starts))
            more = f.plus(total, f.shuffle(sums, None, list(lanes)))
            total = more if left is None else f.select(f.icmp("ne", left, 0), more, total)
        return total


def fold_columns(f: Function, column: Callable[[int], Value], size: int) -> Value:
    """Lane n is the sum of the lanes of `column(n)`, halves added as `fold_lanes` does it."""
    def folded(columns: list[int], width: int) -> Value:
        """A vector with `width` lanes of each column."""
        if width == LANES:
            return column(columns[0])
        half = len(columns) // 2
        a, b = (folded(some, 2 * width) for some in (columns[:half], columns[half:]))
        low = _low_halves(width, size)
        return f.plus(f.shuffle(a, b, low), f.shuffle(a, b, [lane + width for lane in low]))

    order = _order(list(range(LANES)), 1, size)
    return folded([order.index(n) for n in range(LANES)], 1)


def _low_halves(width: int, size: int) -> list[int]:
    """Of two vectors with 2 * width lanes a column the first halves, within 16 bytes if they fit."""
    block = LANES if width * size >= 16 else 16 // size
    return [vector + start + segment + lane for start in range(0, LANES, block)
            for vector in (0, LANES) for segment in range(0, block, 2 * width)
            for lane in range(width)]


def _order(columns: list[int], width: int, size: int) -> list[int]:
    """Which column each segment of `folded(columns, width)` belongs to."""
    if width == LANES:
        return columns
    half = len(columns) // 2
    both = [_order(some, 2 * width, size) for some in (columns[:half], columns[half:])]
    return [both[lane // LANES][lane % LANES // (2 * width)]
            for lane in _low_halves(width, size)[::width]]
