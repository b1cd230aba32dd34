"""Contractions: one driver over packers, micro-kernels and finishers, and matrix products by it.

    out[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n]

A unit is a tile of the output. For each block of k the driver has its parts of a and b packed (or
addressed in place), runs the micro-kernels into a private tile, and lets a finisher bring the tile
through the epilogue to memory. What differs between uses (transposition, patches, epilogue) is
a function reached through a word, so all contractions of a dtype share the driver and micro-kernels.

Every element is a sum over k in order within a block, the blocks' sums added in order. Where the
output is too small to occupy threads, k is also cut into parts that `combine` adds in order. Blocks,
tiles and parts follow from the shape alone.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import NamedTuple

from ..compiler.kernel import LANES, Body, Call, Code, Epilogue, Ref, View
from ..dtypes import dtype, float32, float64
from .emit import Function, Value
from .jit import addresses
from .micro import PANEL_BYTES, ROWS, VECTOR_BYTES, micro
from .pack import (Matrix, Packer, copy_call, dynamic_alloca, pack_copy, pack_transpose, pack_view,
                   table_offset)
from .scalar import cast, emit_body, from_memory, to_memory

BLOCK_K = 256           # k of one block; 128 to 1024 are as fast, shorter sums are more exact
BLOCK_ROWS = 256        # rows of a tile; with BLOCK_K a quarter of a megabyte of a
SMALL = 30_000          # multiplications that are not worth waking a thread
FEW_ROWS = 3 * ROWS     # so few rows read b in place
PANELS = 4              # panels of a tile: neighbouring columns are read together
PLENTY = 16             # tiles are not made wider than leaves so many
ENOUGH = 8              # tiles that occupy the threads; with fewer, k is cut into parts
PARTED = 24             # (part, tile) pairs to aim at then
PART_WORK = 500_000     # multiplications that are worth a part of k

Temp = Callable[[int], Ref]


def entry(code: Code) -> int:
    """The address of a function, as a word."""
    return addresses([code])[0]


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


# --- finishing: a tile goes through the epilogue to memory -------------------------------------------

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
    code: Code
    words: tuple


def finisher(sizes: Grid, kind: dtype, body: Body | None, views: list[tuple[View, Grid]], inputs: int) -> Finisher:
    """Stores tiles of `kind` through `body` (None: as they are); grids hold strides in elements."""
    ways = tuple((view.dtype, _way(grid.inner)) for view, grid in views)
    words = [sizes.inner, len(sizes.batch), len(sizes.outer)]
    for view, grid in views:
        words += [view.ref, grid.row * view.itemsize, grid.inner]
    for part in ("outer", "batch"):
        words += _table(getattr(sizes, part), [(v, getattr(g, part)) for v, g in views])
    return Finisher(finish_kernel(kind, body, ways[:inputs], ways[inputs:]), tuple(words))


def _way(stride: int) -> int | None:
    return stride if stride in (0, 1) else None


def _table(sizes, strided) -> list[int]:
    """Rows (size, stride of each view in bytes), innermost first."""
    rows = [[size, *(strides[d] * view.itemsize for view, strides in strided)] for d, size in enumerate(sizes)]
    return [word for row in reversed(rows) for word in row]


@cache
def finish_kernel(kind: dtype, body: Body | None, reads: tuple, writes: tuple) -> Code:
    """Code by the accumulator's dtype, the body, and (dtype, inner stride if 0 or 1) of each view."""
    f = Function("finish", FINISH_PARAMS)
    count = len(reads) + len(writes)
    first, width = F_VIEWS + 3 * count, 1 + count
    rows = [f.mul(f.m0, f.word(F_VIEWS + 3 * v + V_ROW)) for v in range(count)]
    base = table_offset(f, f.batch, f.word(F_BATCHES), f.add(f.mul(f.word(F_OUTERS), width), first), width, rows)
    end = f.add(f.n0, f.cols)
    with f.loop(f.n0, end) as run:
        inner = f.urem(run.index, f.word(F_INNER))
        run.step = f.umin(f.sub(end, run.index), f.sub(f.word(F_INNER), inner))
        offsets = table_offset(f, f.udiv(run.index, f.word(F_INNER)), f.word(F_OUTERS), first, width, base)
        tile = f.at(f.tile, kind.llvm, f.sub(run.index, f.n0))
        Finish(f, kind, body, (*reads, *writes), len(reads)).rows(tile, inner, run.step, offsets)
    return f.code()


class Finish:
    """Emits the rows of one run of columns."""

    def __init__(self, f: Function, kind: dtype, body: Body | None, ways: tuple, inputs: int):
        self.f, self.kind, self.body, self.ways, self.inputs = f, kind, body, ways, inputs

    def rows(self, tile: Value, inner: Value, run: Value, offsets: list) -> None:
        f = self.f
        starts = [f.at(f.word(F_VIEWS + 3 * v, "ptr"), "i8", offset) for v, offset in enumerate(offsets)]
        starts = [f.at(p, way[0].llvm, f.mul(inner, self.step(v)))
                  for v, (p, way) in enumerate(zip(starts, self.ways, strict=True))]
        with f.loop(0, f.rows, carried=[tile, *starts]) as row:
            with f.loop(0, run, LANES) as chunk:
                self.chunk(row.values, chunk.index, f.lane_mask(f.sub(run, chunk.index)))
            row.next(f.at(row.values[0], "i8", f.ts), *(
                f.at(p, "i8", f.word(F_VIEWS + 3 * v + V_ROW)) for v, p in enumerate(row.values[1:])))

    def step(self, v: int):
        known = self.ways[v][1]
        return self.f.word(F_VIEWS + 3 * v + V_STEP) if known is None else known

    def chunk(self, pointers, index: Value, mask: Value) -> None:
        f = self.f
        tile, *views = [f.at(p, kind.llvm, f.mul(index, step)) for p, (kind, step) in
                        zip(pointers, [(self.kind, 1), *((w[0], self.step(v)) for v, w in enumerate(self.ways))],
                            strict=True)]
        value = f.load_vector(self.kind.llvm, tile)
        reads = [self.load(v, views[v], mask) for v in range(self.inputs)]
        for v, out in enumerate(self.apply(value, reads), self.inputs):
            f.store_strided(to_memory(f, self.ways[v][0], out), views[v], self.step(v), mask)

    def load(self, v: int, pointer: Value, mask: Value) -> Value:
        kind = self.ways[v][0]
        return from_memory(self.f, kind, self.f.load_strided(kind.llvm, pointer, self.step(v), mask=mask))

    def apply(self, value: Value, reads: list[Value]) -> list[Value]:
        """The accumulator is rounded to the result's dtype before anything else sees it."""
        result = self.ways[-1][0] if self.body is None else self.body.inputs[0]
        value = cast(self.f, result, self.kind, value)
        return [value] if self.body is None else emit_body(self.f, self.body, [value, *reads])


# --- the driver --------------------------------------------------------------------------------------

(MICRO, PACK_A, A_WORDS, PACK_B, B_WORDS, FINISH, FINISH_WORDS, A_ROW, A_STEP, B_STEP, B_PANEL, M, N, K,
 TILE_M, TILE_N, KC, ROW_TILES, COL_TILES, BATCHES, PART_BLOCKS, A_BYTES, B_BYTES, TILE_BYTES, TILE_ROW,
 COLUMNS) = range(26)
HEADER = 26


@cache
def driver() -> Code:
    """One unit is (part of k, batch, row tile, column tile), the last running fastest."""
    f = Function("contract")
    buffers = [dynamic_alloca(f, f.word(size)) for size in (A_BYTES, B_BYTES, TILE_BYTES)]
    with f.loop(f.lo, f.hi) as unit:
        rest, column = _split(f, unit.index, COL_TILES)
        rest, row = _split(f, rest, ROW_TILES)
        part, batch = _split(f, rest, BATCHES)
        m0, rows = _extent(f, row, TILE_M, M)
        n0, cols = _extent(f, column, TILE_N, N)
        first = f.mul(part, f.word(PART_BLOCKS))
        last = f.umin(f.add(first, f.word(PART_BLOCKS)), f.umax(f.ceil_div(f.word(K), f.word(KC)), 1))
        with f.loop(first, last) as block:
            _block(f, buffers, (batch, m0, rows, n0, cols), block.index, f.icmp("eq", block.index, first))
        _call(f, "void", FINISH, [_words(f, FINISH_WORDS), buffers[2], f.word(TILE_ROW),
                                  f.add(f.mul(part, f.word(BATCHES)), batch), m0, rows, n0, cols])
    return f.code()


def _split(f: Function, index, word: int):
    return f.udiv(index, f.word(word)), f.urem(index, f.word(word))


def _extent(f: Function, index: Value, tile: int, total: int):
    start = f.mul(index, f.word(tile))
    return start, f.umin(f.word(tile), f.sub(f.word(total), start))


def _block(f: Function, buffers, place, block: Value, is_first: Value) -> None:
    """Packs one block of k and multiplies it into the tile, panel by panel."""
    batch, m0, rows, n0, cols = place
    k0, kc = _extent(f, block, KC, K)
    a = _call(f, "ptr", PACK_A, [_words(f, A_WORDS), buffers[0], batch, m0, rows, k0, kc])
    b = _call(f, "ptr", PACK_B, [_words(f, B_WORDS), buffers[1], batch, n0, cols, k0, kc])
    first = f.cast("zext", is_first, "i64")
    with f.loop(0, cols, f.word(COLUMNS), carried=[b, buffers[2]]) as panel:
        wide = f.icmp("ugt", f.sub(cols, panel.index), f.lshr(f.word(COLUMNS), 1))
        vectors = f.add(f.cast("zext", wide, "i64"), 1)
        _call(f, "void", MICRO, [a, f.word(A_ROW), f.word(A_STEP), panel.values[0], f.word(B_STEP), kc,
                                 panel.values[1], f.word(TILE_ROW), first, rows, vectors])
        panel.next(f.at(panel.values[0], "i8", f.word(B_PANEL)), f.at(panel.values[1], "i8", PANEL_BYTES))


def _words(f: Function, word: int) -> Value:
    """The address of a descriptor inside the args block."""
    return f.at(f.args, "i64", f.word(word))


def _call(f: Function, returns: str, word: int, arguments) -> Value | None:
    """A call through a word."""
    actual = ", ".join(f.value(a).typed for a in arguments)
    text = f"call {returns} {f.word(word, 'ptr')}({actual})"
    return f.line(text) if returns == "void" else f.let(returns, text)


# --- adding up the parts of k ------------------------------------------------------------------------

C_PARTS, C_COUNT, C_STRIDE, C_M, C_N, C_ROW_TILES, C_FINISH, C_FINISH_WORDS = range(8)
COMBINE_COLS = 512


@cache
def combine(element: str) -> Code:
    """A unit is a few rows of one batch: the sums of its parts, in order, go to the finisher."""
    f = Function(f"combine_{element}")
    tile = f.alloca(element, COMBINE_COLS + LANES)
    with f.loop(f.lo, f.hi) as unit:
        m = f.urem(unit.index, f.word(C_M))
        batch = f.udiv(unit.index, f.word(C_M))
        row = f.at(f.word(C_PARTS, "ptr"), element, f.mul(unit.index, f.word(C_N)))
        with f.loop(0, f.word(C_N), COMBINE_COLS) as chunk:
            cols = f.umin(f.sub(f.word(C_N), chunk.index), COMBINE_COLS)
            _add_parts(f, element, f.at(row, element, chunk.index), tile, cols)
            _call(f, "void", C_FINISH, [_words(f, C_FINISH_WORDS), tile, 0, batch, m, 1, chunk.index, cols])
    return f.code()


def _add_parts(f: Function, element: str, row: Value, tile: Value, cols: Value) -> None:
    with f.loop(0, cols, LANES, nonempty=True) as at:
        mask = f.lane_mask(f.sub(cols, at.index))
        start = f.at(row, element, at.index)
        with f.loop(1, f.word(C_COUNT), carried=[f.masked_load(element, start, mask), start]) as part:
            place = f.at(part.values[1], "i8", f.word(C_STRIDE))
            part.next(f.fadd(part.values[0], f.masked_load(element, place, mask)), place)
        f.store(part.results[0], f.at(tile, element, at.index))


# --- planning ----------------------------------------------------------------------------------------

class Tiling(NamedTuple):
    """Rows and columns of a tile, k of a block, blocks of a part, parts."""
    rows: int
    cols: int
    kc: int
    part_blocks: int
    parts: int


def balanced(total: int, most: int, step: int) -> int:
    """The size of equal pieces of at most `most`, rounded up to `step`."""
    pieces = max(1, ceil_div(total, most))
    return max(step, ceil_div(ceil_div(total, pieces), step) * step)


def tiling(batches: int, m: int, n: int, k: int, columns: int, rows=BLOCK_ROWS, panels=PANELS) -> Tiling:
    """Tiles of about equal size; k is cut into parts where there are too few of them."""
    tile_m, kc = balanced(m, rows, ROWS), balanced(k, BLOCK_K, 16)
    strips = batches * ceil_div(m, tile_m)
    panels = max(1, min(panels, strips * ceil_div(n, columns) // PLENTY))
    tile_n, blocks = balanced(n, panels * columns, columns), max(1, ceil_div(k, kc))
    tiles = strips * ceil_div(n, tile_n)
    wanted = PARTED // tiles if tiles < ENOUGH else 1
    part_blocks = ceil_div(blocks, max(1, min(wanted, batches * m * n * k // PART_WORK)))
    return Tiling(tile_m, tile_n, kc, part_blocks, ceil_div(blocks, part_blocks))


class Operand(NamedTuple):
    """A packer and the strides, in bytes, of what it returns; `size`: scratch it packs into."""
    packer: Packer
    row: int            # A: between rows; B: between panels
    step: int           # between k
    size: int


class Contraction(NamedTuple):
    kind: dtype
    batches: int
    m: int
    n: int
    k: int
    tiling: Tiling

    @property
    def units(self) -> int:
        t = self.tiling
        return t.parts * self.batches * ceil_div(self.m, t.rows) * ceil_div(self.n, t.cols)


def contract(c: Contraction, a: Operand, b: Operand, result: Finisher, temp: Temp, note: str) -> list[Call]:
    """The calls of a contraction: the driver, and `combine` if k is cut into parts."""
    t, size = c.tiling, c.kind.itemsize
    if t.parts == 1:
        return [_driver_call(c, a, b, result, note)]
    parts = temp(t.parts * c.batches * c.m * c.n * size)
    between = View(parts, c.kind, (t.parts * c.batches, c.m, c.n), (c.m * c.n, c.n, 1))
    keep = finisher(Grid((t.parts * c.batches,), c.m, (), c.n), c.kind, None,
                    [(between, Grid((c.m * c.n,), c.n, (), 1))], 0)
    head = (parts, t.parts, c.batches * c.m * c.n * size, c.m, c.n, 0, entry(result.code), 8)
    units = c.batches * c.m
    grain = max(1, SMALL // (c.n * t.parts))
    return [_driver_call(c, a, b, keep, note),
            Call(combine(c.kind.llvm), (*head, *result.words), units, grain, f"{note}, adding {t.parts} parts",
                 bytes=t.parts * c.batches * c.m * c.n * size)]


def _driver_call(c: Contraction, a: Operand, b: Operand, result: Finisher, note: str) -> Call:
    t, size = c.tiling, c.kind.itemsize
    at_b = HEADER + len(a.packer.words)
    at_finish = at_b + len(b.packer.words)
    head = (entry(micro(c.kind)), entry(a.packer.code), HEADER, entry(b.packer.code), at_b,
            entry(result.code), at_finish, a.row, a.step, b.step, b.row, c.m, c.n, c.k, t.rows, t.cols, t.kc,
            ceil_div(c.m, t.rows), ceil_div(c.n, t.cols), c.batches, t.part_blocks, a.size, b.size,
            t.rows * t.cols * size, t.cols * size, PANEL_BYTES // size)
    work = c.batches * c.m * c.n * c.k
    grain = max(1, c.units * SMALL // max(work, 1))
    return Call(driver(), (*head, *a.packer.words, *b.packer.words, *result.words), c.units,
                min(grain, c.units), note, flops=2 * work)


# --- matrix products ---------------------------------------------------------------------------------

def lower_matmul(out: View, a: View, b: View, temp: Temp, epilogue: Epilogue | None = None) -> list[Call]:
    """out[..., m, n] = sum over k of a[..., m, k] * b[..., k, n], then the epilogue.

    Batch dimensions are equal in number and size (stride 0 broadcasts). With an epilogue only its
    outputs are written. float16 and bfloat16 are summed in float32 and rounded once.
    """
    *batch, m, n = out.shape
    k = a.shape[-1]
    if prod(out.shape) == 0:
        return []
    if n == 1 < m:
        return lower_matmul(turned(out), turned(b), turned(a), temp, turned_epilogue(epilogue))
    kind = float64 if a.dtype is float64 else float32
    columns = PANEL_BYTES // kind.itemsize
    t = tiling(prod(batch), m, n, k, columns)
    note = f"matmul {a.dtype.name} {'x'.join(map(str, (*batch, m, k, n)))} {_letter(a)}{_letter(b)}"
    before: list[Call] = []
    left = _left(before, kind, a, temp)
    right = _right(before, kind, b, t, m, temp)
    result = _finish_matrix(kind, out, epilogue)
    return before + contract(Contraction(kind, prod(batch), m, n, k, t), left, right, result, temp, note)


def turned(x: View) -> View:
    """The last two dimensions exchanged."""
    (*batch, m, n), (*strides, row, step) = x.shape, x.strides
    return x._replace(shape=(*batch, n, m), strides=(*strides, step, row))


def turned_epilogue(epilogue: Epilogue | None) -> Epilogue | None:
    return epilogue and Epilogue(epilogue.body, *(tuple(map(turned, views)) for views in epilogue[1:]))


def _letter(x: View) -> str:
    return "t" if x.strides[-2] == 1 and x.strides[-1] != 1 and x.shape[-1] > 1 else "n"


def _left(before: list[Call], kind: dtype, a: View, temp: Temp) -> Operand:
    if a.dtype is not kind:
        a = packed(before, kind, a, temp)
    row, step = (s * a.itemsize for s in a.strides[-2:])
    return Operand(Packer(pack_view(), Matrix(a.ref, row, step, 1, 0, batch_table(a)).words()), row, step, 0)


def _right(before: list[Call], kind: dtype, b: View, t: Tiling, rows: int, temp: Temp) -> Operand:
    if b.dtype is not kind or not (_adjacent(b, -1) or _adjacent(b, -2)):
        b = packed(before, kind, b, temp)
    step, column = (s * b.itemsize for s in b.strides[-2:])
    panel = t.kc * PANEL_BYTES
    size = (ceil_div(t.cols * kind.itemsize, PANEL_BYTES) * t.kc + 4) * PANEL_BYTES
    table = batch_table(b)
    if not _adjacent(b, -1):
        words = Matrix(b.ref, column, step, max(1, b.shape[-2]), 0, table).words(panel)
        return Operand(Packer(pack_transpose(kind.llvm), words), panel, PANEL_BYTES, size)
    words = Matrix(b.ref, kind.itemsize, step, 1, 0, table).words(panel)
    if rows <= FEW_ROWS:
        return Operand(Packer(pack_view(), words), PANEL_BYTES, step, 0)
    return Operand(Packer(pack_copy(kind.llvm), words), panel, PANEL_BYTES, size)


def _adjacent(x: View, dim: int) -> bool:
    return x.strides[dim] == 1 or x.shape[dim] == 1


def batch_table(x: View) -> tuple[tuple[int, int], ...]:
    return tuple((n, s * x.itemsize) for n, s in zip(x.shape[:-2], x.strides[:-2], strict=True))


def packed(before: list[Call], kind: dtype, x: View, temp: Temp) -> View:
    """x as `kind` in scratch memory, row-major; the call that copies it joins `before`."""
    strides = tuple(prod(x.shape[d + 1:]) for d in range(len(x.shape)))
    out = View(temp(max(1, prod(x.shape)) * kind.itemsize), kind, x.shape, strides)
    if prod(x.shape):
        before.append(copy_call(out.ref, kind, x))
    return out


def _finish_matrix(kind: dtype, out: View, epilogue: Epilogue | None) -> Finisher:
    *batch, m, n = out.shape
    views = [out] if epilogue is None else [*epilogue.inputs, *epilogue.outputs]
    grids = [(v, Grid(v.strides[:-2], v.strides[-2], (), v.strides[-1])) for v in views]
    body = None if epilogue is None else epilogue.body
    return finisher(Grid(tuple(batch), m, (), n), kind, body, grids, len(epilogue.inputs) if epilogue else 0)
