"""Finishers: a tile of a contraction goes through the epilogue to memory.

    finish(desc, tile, row stride of the tile, batch, m0, rows, n0, cols)

What n counts may be several dimensions of a view, as (image, position) of a convolution: a tile is
cut where the innermost one ends. `combine` adds up the parts of a contraction that was cut along k,
and then finishes.
"""
from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ..compiler.kernel import LANES, Body, Code, View
from ..dtypes import bfloat16, dtype
from .emit import Function, Value
from .micro import VECTOR_BYTES, round_pairs
from .pack import Matrix, call_word, split, table_offset
from .scalar import cast, emit_body, from_memory, to_memory

SHORT_BODY = 24         # instructions of an epilogue that are worth emitting twice
ALIASING = 4096         # rows this far apart fight for the same few cache lines

FINISH_PARAMS = (("ptr", "args"), ("ptr", "tile"), ("i64", "ts"), ("i64", "batch"), ("i64", "m0"),
                 ("i64", "rows"), ("i64", "n0"), ("i64", "cols"))
F_INNER, F_BATCHES, F_OUTERS, F_VIEWS = range(4)
V_POINTER, V_ROW, V_STEP = range(3)     # words of a view; the step in elements, the rest in bytes


class Grid(NamedTuple):
    """How a view of the result is walked: (batch dims, m, outer dims and inner dim of n)."""
    batch: tuple[int, ...]
    row: int
    outer: tuple[int, ...]
    inner: int


class Finisher(NamedTuple):
    """A finisher and its words, and the target: where tiles may be made in the result itself."""
    code: Code
    words: tuple
    target: tuple[tuple, int] | None = None     # words of `pack_view`, bytes between rows


def finisher(sizes: Grid, kind: dtype, body: Body | None, views: list[tuple[View, Grid]],
             inputs: int, dots: bool = False) -> Finisher:
    """Stores tiles of `kind` through `body` (None: as they are); grids hold strides in elements.

    `dots`: the tile was made by the CPU's dot products, and is rounded as the CPU does it, too.
    """
    ways = tuple((view.dtype, _way(grid.inner)) for view, grid in views)
    words = [sizes.inner, len(sizes.batch), len(sizes.outer)]
    for view, grid in views:
        words += [view.ref, grid.row * view.itemsize, grid.inner]
    for part in ("outer", "batch"):
        words += _table(getattr(sizes, part), [(v, getattr(g, part)) for v, g in views])
    target = _target(sizes, kind, *views[0]) if body is None else None
    code = finish_kernel(kind, body, ways[:inputs], ways[inputs:], dots)
    return Finisher(code, tuple(words), target)


def _target(sizes: Grid, kind: dtype, view: View, grid: Grid) -> tuple[tuple, int] | None:
    """Where the result lies, if whole vectors may be stored and its rows share the cache well."""
    size = kind.itemsize
    whole = view.dtype is kind and grid.inner == 1 and sizes.inner * size % VECTOR_BYTES == 0
    if not whole or sizes.outer or sizes.row > 1 and grid.row * size % ALIASING == 0:
        return None
    batch = tuple((n, s * size) for n, s in zip(sizes.batch, grid.batch, strict=True))
    return Matrix(view.ref, grid.row * size, size, 1, 0, batch).words(), grid.row * size


def _way(stride: int) -> int | None:
    return 0 if stride == 0 else 1 if stride == 1 else None


def _table(sizes, strided) -> list[int]:
    """Rows (size, stride of each view in bytes), innermost first."""
    rows = [[size, *(strides[d] * view.itemsize for view, strides in strided)]
            for d, size in enumerate(sizes)]
    return [word for row in reversed(rows) for word in row]


@cache
def finish_kernel(kind: dtype, body: Body | None, reads: tuple, writes: tuple,
                  dots: bool = False) -> Code:
    """Code by the accumulator's dtype, body, and (dtype, inner stride if 0 or 1) of each view."""
    f = Function("finish", FINISH_PARAMS)
    count = len(reads) + len(writes)
    first, width = F_VIEWS + 3 * count, 1 + count
    rows = [f.mul(f.m0, f.word(F_VIEWS + 3 * v + V_ROW)) for v in range(count)]
    base = table_offset(f, f.batch, f.word(F_BATCHES),
                        f.add(f.mul(f.word(F_OUTERS), width), first), width, rows)
    end = f.add(f.n0, f.cols)
    with f.loop(f.n0, end) as run:
        outer, inner = split(f, run.index, f.word(F_INNER))
        run.step = f.umin(f.sub(end, run.index), f.sub(f.word(F_INNER), inner))
        offsets = table_offset(f, outer, f.word(F_OUTERS), first,
                               width, base)
        tile = f.at(f.tile, kind.llvm, f.sub(run.index, f.n0))
        Finish(f, kind, body, (*reads, *writes), len(reads), dots).rows(tile, inner, run.step, offsets)
    return f.code()


class Finish:
    """Emits the rows of one run of columns."""

    def __init__(self, f: Function, kind: dtype, body: Body | None, ways: tuple, inputs: int,
                 dots: bool):
        self.f, self.kind, self.body, self.ways, self.inputs = f, kind, body, ways, inputs
        self.dots, self.in_pairs = dots, body is None or len(body.instrs) <= SHORT_BODY

    def rows(self, tile: Value, inner: Value, run: Value, offsets: list) -> None:
        f = self.f
        starts = [self.at(v, f.at(self.word(v, V_POINTER, "ptr"), "i8", offset), inner)
                  for v, offset in enumerate(offsets)]
        with f.loop(0, f.rows, carried=[tile, *starts]) as row:
            self.row(row.values, run)
            row.next(f.at(row.values[0], "i8", f.ts), *(
                f.at(p, "i8", self.word(v, V_ROW)) for v, p in enumerate(row.values[1:])))

    def row(self, pointers, run: Value) -> None:
        """Two vectors at a time, then what is left."""
        f, whole = self.f, 0
        if self.in_pairs:
            whole = f.and_(run, -2 * LANES)
            with f.loop(0, whole, 2 * LANES) as pair:
                self.chunks(pointers, [pair.index, f.add(pair.index, LANES)], None)
        with f.loop(whole, run, LANES) as chunk:
            self.chunks(pointers, [chunk.index], f.sub(run, chunk.index))

    def word(self, v: int, field: int, type: str = "i64") -> Value:
        return self.f.word(F_VIEWS + 3 * v + field, type)

    def at(self, v: int, pointer: Value, index: Value) -> Value:
        """The address of element `index` of a run of view v."""
        return self.f.at(pointer, self.ways[v][0].llvm, self.f.mul(index, self.step(v)))

    def step(self, v: int):
        known = self.ways[v][1]
        return self.word(v, V_STEP) if known is None else known

    def chunks(self, pointers, places: list[Value], left: Value | None) -> None:
        """Vectors from their places on, all read before one is written; `left` columns if not whole."""
        made = [(self.vector(pointers, place, left), place) for place in places]
        for values, place in made:
            for v, value in enumerate(values, self.inputs):
                pointer = self.at(v, pointers[1 + v], place)
                self.store(v, to_memory(self.f, self.ways[v][0], value), pointer, left)

    def vector(self, pointers, index: Value, left: Value | None) -> list[Value]:
        value = self.f.load_vector(self.kind.llvm, self.f.at(pointers[0], self.kind.llvm, index))
        reads = [self.load(v, self.at(v, pointers[1 + v], index), left) for v in range(self.inputs)]
        return self.apply(value, reads)

    def load(self, v: int, pointer: Value, left: Value | None) -> Value:
        """Only what may lie behind a buffer's slack is masked."""
        kind, step = self.ways[v][0], self.step(v)
        near = isinstance(step, int) and step * kind.itemsize * LANES <= VECTOR_BYTES
        mask = None if near or left is None else self.f.lane_mask(left)
        return from_memory(self.f, kind, self.f.load_strided(kind.llvm, pointer, step, mask=mask))

    def store(self, v: int, value: Value, pointer: Value, left: Value | None) -> None:
        """Masked only where it must be: some CPUs are slow at that."""
        f, step = self.f, self.step(v)
        if left is None:
            f.store_strided(value, pointer, step)
        elif isinstance(step, int) and step == 1 and not self.in_pairs:
            with f.either(f.icmp("sge", left, LANES)) as either:
                with either.yes:
                    f.store(value, pointer)
                with either.no:
                    f.masked_store(value, pointer, f.lane_mask(left))
        else:
            f.store_strided(value, pointer, step, f.lane_mask(left))

    def apply(self, value: Value, reads: list[Value]) -> list[Value]:
        """The accumulator is rounded to the result's dtype before anything else sees it."""
        result = self.ways[-1][0] if self.body is None else self.body.inputs[0]
        value = round_pairs(self.f, value) if self.dots and result is bfloat16 else \
            cast(self.f, result, self.kind, value)
        return [value] if self.body is None else emit_body(self.f, self.body, [value, *reads])


# --- adding up the parts of k ---------------------------------------------------------------------

C_PARTS, C_COUNT, C_STRIDE, C_M, C_N, C_FINISH, C_FINISH_WORDS = range(7)
C_HEADER = 7
COMBINE_COLS = 512


@cache
def combine(element: str) -> Code:
    """A unit is one row of one batch: the sum of its parts, in order, goes to the finisher."""
    f = Function(f"combine_{element}")
    tile = f.alloca(element, COMBINE_COLS + LANES)
    with f.loop(f.lo, f.hi) as unit:
        m = f.urem(unit.index, f.word(C_M))
        batch = f.udiv(unit.index, f.word(C_M))
        row = f.at(f.word(C_PARTS, "ptr"), element, f.mul(unit.index, f.word(C_N)))
        with f.loop(0, f.word(C_N), COMBINE_COLS) as chunk:
            cols = f.umin(f.sub(f.word(C_N), chunk.index), COMBINE_COLS)
            _add_parts(f, element, f.at(row, element, chunk.index), tile, cols)
            call_word(f, "void", C_FINISH, [f.at(f.args, "i64", f.word(C_FINISH_WORDS)), tile, 0,
                                            batch, m, 1, chunk.index, cols])
    return f.code()


def _add_parts(f: Function, element: str, row: Value, tile: Value, cols: Value) -> None:
    with f.loop(0, cols, LANES, nonempty=True) as at:
        mask = f.lane_mask(f.sub(cols, at.index))
        start = f.at(row, element, at.index)
        with f.loop(1, f.word(C_COUNT),
                    carried=[f.masked_load(element, start, mask), start]) as part:
            place = f.at(part.values[1], "i8", f.word(C_STRIDE))
            part.next(f.plus(part.values[0], f.masked_load(element, place, mask)), place)
        f.store(part.results[0], f.at(tile, element, at.index))
