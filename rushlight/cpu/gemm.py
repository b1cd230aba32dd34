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
from .pack import (
    Matrix,
    call_word,
    copy_call,
    dynamic_alloca,
    pack_copy,
    pack_transpose,
    pack_view,
    pack_whole,
    read_matrix,
    table_offset,
    turn,
)
from .scalar import cast, emit_body, from_memory, to_memory

BLOCK_K = 256           # k of one block; 128 to 1024 are as fast, shorter sums are more exact
BLOCK_ROWS = 256        # rows of a tile; with BLOCK_K a quarter of a megabyte of a
LEAST_ROWS = 128        # rows that are worth packing b once more
SMALL = 30_000          # multiplications that are not worth waking a thread
FEW_ROWS = 3 * ROWS     # so few rows read b in place
PANELS = 4              # panels of a tile: neighbouring columns are read together
PLENTY = 8              # tiles are not made wider than leaves so many
ENOUGH = 8              # tiles that occupy the threads; with fewer, k is cut into parts
PARTED = 24             # (part, tile) pairs to aim at then
PART_WORK = 500_000     # multiplications that are worth a part of k

ALIASING = 4096         # rows this far apart fight for the same few cache lines
SWAP_GAIN = 1.08        # what b's columns as rows must save to be worth transposing tiles

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
    """A finisher's code and words; `target`: words of `pack_view` and the row stride if tiles may be made in place."""
    code: Code
    words: tuple
    target: tuple[tuple, int] | None = None


def finisher(sizes: Grid, kind: dtype, body: Body | None, views: list[tuple[View, Grid]], inputs: int) -> Finisher:
    """Stores tiles of `kind` through `body` (None: as they are); grids hold strides in elements."""
    ways = tuple((view.dtype, _way(grid.inner)) for view, grid in views)
    words = [sizes.inner, len(sizes.batch), len(sizes.outer)]
    for view, grid in views:
        words += [view.ref, grid.row * view.itemsize, grid.inner]
    for part in ("outer", "batch"):
        words += _table(getattr(sizes, part), [(v, getattr(g, part)) for v, g in views])
    target = _target(sizes, kind, *views[0]) if body is None else None
    return Finisher(finish_kernel(kind, body, ways[:inputs], ways[inputs:]), tuple(words), target)


def _target(sizes: Grid, kind: dtype, view: View, grid: Grid) -> tuple[tuple, int] | None:
    """Where the result lies, if whole vectors of it may be stored and its rows share the cache well."""
    size = kind.itemsize
    if view.dtype is not kind or grid.inner != 1 or sizes.outer or sizes.inner * size % VECTOR_BYTES:
        return None
    if sizes.row > 1 and grid.row * size % ALIASING == 0:
        return None
    batch = tuple((n, s * size) for n, s in zip(sizes.batch, grid.batch, strict=True))
    return Matrix(view.ref, grid.row * size, size, 1, 0, batch).words(), grid.row * size


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

(MICRO, READ_A, A_WORDS, PACK_B, B_WORDS, FINISH, FINISH_WORDS, TURN, B_STEP, B_PANEL, COLUMNS,
 M_IMAGE, M_BLOCKS, M_TILE, M_TILES, N, N_TILE, N_TILES, K_IMAGE, K_BLOCKS, K_TILE, K_TILES,
 BATCHES, PART_BLOCKS, A_BYTES, B_BYTES, TILE_BYTES, TURNED_BYTES, TILE_ROW, TURNED_ROW, ROW_TABLE, K_TABLE,
 TABLE_SLACK, LOCATE, TARGET_ROW) = range(35)
HEADER = 35


class Buffers(NamedTuple):
    """Private memory of a driver call."""
    a: Value
    b: Value
    tile: Value
    turned: Value
    row_table: Value
    k_table: Value


@cache
def driver() -> Code:
    """One unit is (part of k, batch, row tile, column tile), the last running fastest."""
    f = Function("contract")
    arrays = [dynamic_alloca(f, f.word(w)) for w in (A_BYTES, B_BYTES, TILE_BYTES, TURNED_BYTES, ROW_TABLE, K_TABLE)]
    tables = [f.at(table, "i8", f.word(TABLE_SLACK)) for table in arrays[4:]]
    buffers = Buffers(*arrays[:4], *tables)
    with f.loop(f.lo, f.hi) as unit:
        rest, column = _split(f, unit.index, N_TILES)
        rest, row = _split(f, rest, M_TILES)
        part, batch = _split(f, rest, BATCHES)
        n0 = f.mul(column, f.word(N_TILE))
        place = batch, *_extent(f, row, M_IMAGE), n0, f.umin(f.word(N_TILE), f.sub(f.word(N), n0))
        first = f.mul(part, f.word(PART_BLOCKS))
        last = f.umin(f.add(first, f.word(PART_BLOCKS)), f.word(K_TILES))
        number = f.add(f.mul(part, f.word(BATCHES)), batch)
        tile = _tile(f, buffers, number, *place[1:])
        with f.loop(first, last) as block:
            _block(f, buffers, tile, place, block.index, f.icmp("eq", block.index, first))
        with f.when(f.icmp("eq", f.word(LOCATE), 0)):
            _finish(f, buffers, number, *place[1:])
    return f.code()


def _tile(f: Function, buffers: Buffers, batch, m0, rows, n0, cols) -> list[Value]:
    """Address and row stride of where the tile is made: in the result, if it can be located, or privately."""
    with f.either(f.icmp("ne", f.word(LOCATE), 0)) as either:
        with either.yes:
            place = call_word(f, "ptr", LOCATE, [_words(f, FINISH_WORDS), f.args, batch, m0, rows, n0, cols])
            either.give(place, f.word(TARGET_ROW))
        with either.no:
            either.give(buffers.tile, f.word(TILE_ROW))
    return either.results


def _split(f: Function, index, word: int):
    return f.udiv(index, f.word(word)), f.urem(index, f.word(word))


def _extent(f: Function, index: Value, cut: int):
    """Where piece `index` of the `Cut` at word `cut` starts, and its size."""
    image, block = _split(f, index, cut + 1)
    inner = f.mul(block, f.word(cut + 2))
    return f.add(f.mul(image, f.word(cut)), inner), f.umin(f.word(cut + 2), f.sub(f.word(cut), inner))


def _block(f: Function, buffers: Buffers, tile, place, block: Value, is_first: Value) -> None:
    """Brings one block of k and multiplies it into the tile, panel by panel."""
    batch, m0, rows, n0, cols = place
    k0, kc = _extent(f, block, K_IMAGE)
    a = call_word(f, "ptr", READ_A, [_words(f, A_WORDS), buffers.a, buffers.row_table, buffers.k_table,
                                     batch, m0, rows, k0, kc])
    b = call_word(f, "ptr", PACK_B, [_words(f, B_WORDS), buffers.b, batch, n0, cols, k0, kc])
    first = f.cast("zext", is_first, "i64")
    with f.loop(0, cols, f.word(COLUMNS), carried=[b, tile[0]]) as panel:
        wide = f.icmp("ugt", f.sub(cols, panel.index), f.lshr(f.word(COLUMNS), 1))
        vectors = f.add(f.cast("zext", wide, "i64"), 1)
        call_word(f, "void", MICRO, [a, buffers.row_table, buffers.k_table, panel.values[0], f.word(B_STEP), kc,
                                     panel.values[1], tile[1], first, rows, vectors])
        panel.next(f.at(panel.values[0], "i8", f.word(B_PANEL)), f.at(panel.values[1], "i8", PANEL_BYTES))


def _finish(f: Function, buffers: Buffers, batch, m0, rows, n0, cols) -> None:
    """The tile, transposed if there is a function for that, goes to the finisher."""
    with f.either(f.icmp("eq", f.word(TURN), 0)) as either:
        with either.yes:
            call_word(f, "void", FINISH, [_words(f, FINISH_WORDS), buffers.tile, f.word(TILE_ROW), batch, m0, rows,
                                          n0, cols])
        with either.no:
            call_word(f, "void", TURN, [buffers.tile, f.word(TILE_ROW), rows, cols, buffers.turned, f.word(TURNED_ROW)])
            call_word(f, "void", FINISH, [_words(f, FINISH_WORDS), buffers.turned, f.word(TURNED_ROW), batch, n0, cols,
                                          m0, rows])


def _words(f: Function, word: int) -> Value:
    """The address of a descriptor inside the args block."""
    return f.at(f.args, "i64", f.word(word))


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
            call_word(f, "void", C_FINISH, [_words(f, C_FINISH_WORDS), tile, 0, batch, m, 1, chunk.index, cols])
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

class Cut(NamedTuple):
    """A dimension as images of equal size, each cut into blocks of `tile`, the last one smaller."""
    image: int
    blocks: int
    tile: int
    images: int = 1

    @property
    def total(self) -> int:
        return self.image * self.images

    @property
    def pieces(self) -> int:
        return self.blocks * self.images


def balanced(total: int, most: int, step: int) -> Cut:
    """Pieces of at most `most`, as equal as multiples of `step` can be."""
    pieces = max(1, ceil_div(total, most))
    tile = max(step, ceil_div(ceil_div(total, pieces), step) * step)
    return Cut(total, max(1, ceil_div(total, tile)), tile)


class Left(NamedTuple):
    """How A is read: a reader of pack.py or image.py, its words, the scratch and table slack it needs."""
    code: Code
    words: tuple
    size: int = 0
    slack: int = 0          # entries that the reader may write before and after a table's own


class Right(NamedTuple):
    """How B is packed; bytes between panels, between k, and of scratch."""
    code: Code
    words: tuple
    panel: int
    step: int
    size: int = 0


class Contraction(NamedTuple):
    """What the driver is told about sizes. `turned`: the finisher gets (n, m) instead of (m, n)."""
    kind: dtype
    batches: int
    m: Cut
    n: Cut
    k: Cut
    turned: bool = False

    @property
    def work(self) -> int:
        return self.batches * self.m.total * self.n.total * self.k.total

    @property
    def tiles(self) -> int:
        return self.batches * self.m.pieces * self.n.pieces

    @property
    def part_blocks(self) -> int:
        """Blocks of k in a part: all, or fewer where there are too few tiles."""
        wanted = PARTED // self.tiles if self.tiles < ENOUGH else 1
        return ceil_div(self.k.pieces, max(1, min(wanted, self.work // PART_WORK)))

    @property
    def parts(self) -> int:
        return ceil_div(self.k.pieces, self.part_blocks)

    @property
    def result(self) -> tuple[int, int]:
        """Rows and columns that the finisher sees."""
        return (self.n.total, self.m.total) if self.turned else (self.m.total, self.n.total)


def columns_of(kind: dtype) -> int:
    """Columns of a full panel."""
    return PANEL_BYTES // kind.itemsize


def cut_columns(kind: dtype, strips: int, n: int, panels: int = PANELS) -> Cut:
    """Tiles of up to `panels` panels where `strips` rows of tiles leave enough of them."""
    columns = columns_of(kind)
    panels = max(1, min(panels, strips * ceil_div(n, columns) // PLENTY))
    return balanced(n, panels * columns, columns)


def cut_rows(kind: dtype, batches: int, m: int, n: int) -> Cut:
    """Tiles of up to BLOCK_ROWS rows, fewer where else there were too few tiles."""
    panels = batches * ceil_div(n, columns_of(kind))
    wanted = max(1, ceil_div(m, BLOCK_ROWS), min(ceil_div(PLENTY, panels), m // LEAST_ROWS))
    return balanced(m, ceil_div(m, wanted), ROWS)


def contract(c: Contraction, a: Left, b: Right, result: Finisher, temp: Temp, note: str) -> list[Call]:
    """The calls of a contraction: the driver, and `combine` if k is cut into parts."""
    if c.parts == 1:
        return [_driver_call(c, a, b, result, note)]
    (rows, cols), size = c.result, c.kind.itemsize
    batches, part = c.parts * c.batches, c.batches * rows * cols * size
    parts = View(temp(c.parts * part), c.kind, (batches, rows, cols), (rows * cols, cols, 1))
    keep = finisher(Grid((batches,), rows, (), cols), c.kind, None,
                    [(parts, Grid((rows * cols,), cols, (), 1))], 0)
    head = (parts.ref, c.parts, part, rows, cols, 0, entry(result.code), 8)
    units, grain = c.batches * rows, max(1, SMALL // (cols * c.parts))
    return [_driver_call(c, a, b, keep, note),
            Call(combine(c.kind.llvm), (*head, *result.words), units, grain, f"{note}, adding {c.parts} parts",
                 bytes=c.parts * part)]


def whole_panels(before: list[Call], c: Contraction, code: Code, words: Callable[[int], tuple], temp: Temp) -> Right:
    """All of B packed ahead by `code`; `words(panel)` describes it for panels of so many bytes."""
    columns, panels = columns_of(c.kind), ceil_div(c.n.total, columns_of(c.kind))
    panel = (c.k.total + 4) * PANEL_BYTES           # packers may overrun by up to 3 of k
    out = temp(c.batches * panels * panel)
    if c.k.total:
        head = (entry(code), 8, out, panels, columns, c.n.total, c.k.total, panel)
        units = c.batches * panels
        before.append(Call(pack_whole(), (*head, *words(panel)), units, max(1, SMALL // (columns * c.k.total)),
                           f"pack {c.k.total}x{c.n.total}", bytes=2 * units * panel))
    view = Matrix(out, panel // columns, PANEL_BYTES, 1, 0, ((c.batches, panels * panel),)).words()
    return Right(pack_view(), view, panel, PANEL_BYTES)


def _driver_call(c: Contraction, a: Left, b: Right, result: Finisher, note: str) -> Call:
    size, at_b = c.kind.itemsize, HEADER + len(a.words)
    slack = ceil_div(8 * a.slack, VECTOR_BYTES) * VECTOR_BYTES
    row, turned_row = c.n.tile * size, (ceil_div(c.m.tile, LANES) + 1) * LANES * size
    tables = [8 * cut.tile + 2 * slack + VECTOR_BYTES for cut in (c.m, c.k)]
    target = None if c.turned else result.target
    finish = entry(pack_view() if target else result.code)
    head = (entry(micro(c.kind)), entry(a.code), HEADER, entry(b.code), at_b, finish, at_b + len(b.words),
            entry(turn(c.kind.llvm)) if c.turned else 0, b.step, b.panel, columns_of(c.kind),
            *c.m[:3], c.m.pieces, c.n.total, c.n.tile, c.n.pieces, *c.k[:3], c.k.pieces,
            c.batches, c.part_blocks, a.size, b.size, 0 if target else (c.m.tile + LANES) * row, c.turned * c.n.tile * turned_row,
            row, turned_row, *tables, slack, finish if target else 0, target[1] if target else 0)
    units = c.parts * c.tiles
    return Call(driver(), (*head, *a.words, *b.words, *(target[0] if target else result.words)), units,
                min(units, max(1, units * SMALL // max(c.work, 1))), note, flops=2 * c.work)


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
    note = f"matmul {a.dtype.name} {'x'.join(map(str, (*batch, m, k, n)))} {_letter(a)}{_letter(b)}"
    result, before = _finish_matrix(kind, out, epilogue), []
    swap = n > 1 and SWAP_GAIN * _cycles(n, m, k, _adjacent(a, -2)) < _cycles(m, n, k, _adjacent(b, -1))
    if swap:
        a, b, m, n = turned(b), turned(a), n, m
    rows = cut_rows(kind, prod(batch), m, n)
    columns = cut_columns(kind, prod(batch) * rows.pieces, n)
    c = Contraction(kind, prod(batch), rows, columns, balanced(k, BLOCK_K, 16), swap)
    left, right = _left(before, kind, a, temp), _right(before, c, b, temp)
    return before + contract(c, left, right, result, temp, note)


def _cycles(m: int, n: int, k: int, adjacent: bool) -> int:
    """A guess of the time with m as rows: vectors multiplied, and packed once for each row tile."""
    vectors, tiles = ceil_div(n, LANES) * k, ceil_div(m, BLOCK_ROWS)
    return vectors * (m + tiles * (0 if adjacent and m <= FEW_ROWS else 4 if adjacent else 7))


def turned(x: View) -> View:
    """The last two dimensions exchanged."""
    (*batch, m, n), (*strides, row, step) = x.shape, x.strides
    return x._replace(shape=(*batch, n, m), strides=(*strides, step, row))


def turned_epilogue(epilogue: Epilogue | None) -> Epilogue | None:
    return epilogue and Epilogue(epilogue.body, *(tuple(map(turned, views)) for views in epilogue[1:]))


def _letter(x: View) -> str:
    return "t" if x.strides[-2] == 1 and x.strides[-1] != 1 and x.shape[-1] > 1 else "n"


def _left(before: list[Call], kind: dtype, a: View, temp: Temp) -> Left:
    if a.dtype is not kind:
        a = packed(before, kind, a, temp)
    row, step = (s * a.itemsize for s in a.strides[-2:])
    return Left(read_matrix(), Matrix(a.ref, row, step, 1, 0, batch_table(a)).words())


def _right(before: list[Call], c: Contraction, b: View, temp: Temp) -> Right:
    if b.dtype is not c.kind or not (_adjacent(b, -1) or _adjacent(b, -2)):
        b = packed(before, c.kind, b, temp)
    step, column = (s * b.itemsize for s in b.strides[-2:])
    panel, table = c.k.tile * PANEL_BYTES, batch_table(b)
    size = ceil_div(c.n.tile, columns_of(c.kind)) * panel + 4 * PANEL_BYTES
    if not _adjacent(b, -1):
        words = Matrix(b.ref, column, step, max(1, b.shape[-2]), 0, table).words(panel)
        return Right(pack_transpose(c.kind.llvm), words, panel, PANEL_BYTES, size)
    words = Matrix(b.ref, b.itemsize, step, 1, 0, table).words(panel)
    if c.m.total <= FEW_ROWS:
        return Right(pack_view(), words, PANEL_BYTES, step)
    return Right(pack_copy(c.kind.llvm), words, panel, PANEL_BYTES, size)


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
