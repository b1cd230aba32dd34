"""Contractions: one driver over readers, packers, micro-kernels and finishers.

A unit is a tile of the output. For each block of k the driver has its part of a read and its part
of b packed, runs the micro-kernels into a private tile (or the result itself), and lets a finisher
bring the tile through the epilogue to memory. What differs between uses (transposition, images,
epilogue) is a function reached through a word, so all contractions share the driver, and all of a
dtype the micro-kernels.

Every element is a sum over k in order within a block, the blocks' sums added in order. Where the
output is too small to occupy threads, k is also cut into parts, which are added in order. Blocks,
tiles and parts follow from the shape alone.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Code, Ref, View
from ..compiler.sizes import larger, plain, smaller, times
from ..dtypes import dtype
from .emit import Function, Value
from .finish import C_HEADER, Finisher, Grid, combine, finisher
from .micro import PANEL_BYTES, ROWS, VECTOR_BYTES, micro
from .pack import W_HEADER, Matrix, call_word, dynamic_alloca, pack_view, pack_whole, split, turn

BLOCK_K = 192           # k of one block; 128 to 1024 are as fast, shorter sums are more exact
BLOCK_ROWS = 256        # rows of a tile; with BLOCK_K a quarter of a megabyte of a
PIECE_ROWS = 128        # rows that are finished together; with a panel's columns they fit into L1
LEAST_ROWS = 128        # rows that are worth packing b once more
SMALL = 30_000          # multiplications that are not worth waking a thread
PANELS = 4              # panels of a tile: neighbouring columns are read together
PLENTY = 8              # tiles are not made wider than leaves so many
ENOUGH = 8              # tiles that occupy the threads; with fewer, k is cut into parts
PARTED = 24             # (part, tile) pairs to aim at then
PART_WORK = 500_000     # multiplications that are worth a part of k

Temp = Callable[[int], Ref]


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


# --- the driver -----------------------------------------------------------------------------------

(MICRO, READ_A, A_WORDS, PACK_B, B_WORDS, FINISH, FINISH_WORDS, TURN, B_STEP, B_PANEL, COLUMNS,
 M_IMAGE, M_BLOCKS, M_TILE, M_TILES, N, N_TILE, N_TILES, K_IMAGE, K_BLOCKS, K_TILE, K_TILES,
 BATCHES, PART_BLOCKS, A_BYTES, B_BYTES, TILE_BYTES, TURNED_BYTES, ROW_TABLE, K_TABLE, TABLE_SLACK,
 TILE_ROW, TURNED_ROW, LOCATE, TARGET_ROW, PIECE) = range(36)
HEADER = 36


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
    arrays = [dynamic_alloca(f, f.word(w))
              for w in (A_BYTES, B_BYTES, TILE_BYTES, TURNED_BYTES, ROW_TABLE, K_TABLE)]
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
            final = f.icmp("eq", f.add(block.index, 1), last)
            _block(f, buffers, tile, place, number, block.index,
                   f.icmp("eq", block.index, first), final)
    return f.code()


class Tile(NamedTuple):
    """Where sums are made: address, bytes between rows, and whether each has a place of its own."""
    start: Value
    row: Value
    spread: Value


def _tile(f: Function, buffers: Buffers, batch, m0, rows, n0, cols) -> Tile:
    """The result if it can be located; else private memory, as little as there are blocks of k."""
    with f.either(f.icmp("ne", f.word(LOCATE), 0)) as either:
        with either.yes:
            place = call_word(f, "ptr", LOCATE,
                              [_words(f, FINISH_WORDS), f.args, batch, m0, rows, n0, cols])
            either.give(place, f.word(TARGET_ROW), 1)
        with either.no:
            several = f.icmp("ugt", f.word(PART_BLOCKS), 1)
            row = f.select(several, f.word(TILE_ROW), f.value(PANEL_BYTES))
            either.give(buffers.tile, row, f.cast("zext", several, "i64"))
    return Tile(*either.results)


def _split(f: Function, index, word: int):
    return split(f, index, f.word(word))


def _extent(f: Function, index: Value, cut: int):
    """Where piece `index` of the `Cut` at word `cut` starts, and its size."""
    image, block = _split(f, index, cut + 1)
    inner = f.mul(block, f.word(cut + 2))
    size = f.umin(f.word(cut + 2), f.sub(f.word(cut), inner))
    return f.add(f.mul(image, f.word(cut)), inner), size


def _block(f: Function, buffers: Buffers, tile: Tile, place, number, block: Value, is_first: Value,
           is_last: Value) -> None:
    """Brings one block of k, multiplies it into the tile piece by piece, finishes in the last one."""
    batch, m0, rows, n0, cols = place
    k0, kc = _extent(f, block, K_IMAGE)
    tables = [buffers.row_table, buffers.k_table]
    a = call_word(f, "ptr", READ_A,
                  [_words(f, A_WORDS), buffers.a, *tables, batch, m0, rows, k0, kc])
    b = call_word(f, "ptr", PACK_B, [_words(f, B_WORDS), buffers.b, batch, n0, cols, k0, kc])
    first = f.cast("zext", is_first, "i64")
    finishes = f.and_(f.icmp("eq", f.word(LOCATE), 0), is_last)
    with f.loop(0, cols, f.word(COLUMNS), carried=[b, tile.start]) as panel:
        width = f.umin(f.word(COLUMNS), f.sub(cols, panel.index))
        vectors = f.add(f.cast("zext", f.icmp("ugt", width, f.lshr(f.word(COLUMNS), 1)), "i64"), 1)
        b, c = panel.values
        with f.loop(0, rows, f.word(PIECE)) as piece:
            count = f.umin(f.sub(rows, piece.index), f.word(PIECE))
            to = f.at(c, "i8", f.mul(f.mul(piece.index, tile.row), tile.spread))
            call_word(f, "void", MICRO, [a, f.at(tables[0], "i64", piece.index), tables[1], b,
                                         f.word(B_STEP), kc, to, tile.row, first, count, vectors])
            with f.when(finishes):
                _finish(f, buffers, (to, tile.row), number, f.add(m0, piece.index), count,
                        f.add(n0, panel.index), width)
        panel.next(f.at(b, "i8", f.word(B_PANEL)), f.at(c, "i8", f.mul(tile.spread, PANEL_BYTES)))


def _finish(f: Function, buffers: Buffers, tile, batch, m0, rows, n0, cols) -> None:
    """A piece of the tile, transposed if there is a function for that, goes to the finisher."""
    turned, words = (buffers.turned, f.word(TURNED_ROW)), _words(f, FINISH_WORDS)
    with f.either(f.icmp("eq", f.word(TURN), 0)) as either:
        with either.yes:
            call_word(f, "void", FINISH, [words, *tile, batch, m0, rows, n0, cols])
        with either.no:
            call_word(f, "void", TURN, [*tile, rows, cols, *turned])
            call_word(f, "void", FINISH, [words, *turned, batch, n0, cols, m0, rows])


def _words(f: Function, word: int) -> Value:
    """The address of a descriptor inside the args block."""
    return f.at(f.args, "i64", f.word(word))


# --- planning -------------------------------------------------------------------------------------

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
    pieces = larger(1, ceil_div(total, most))
    tile = larger(step, ceil_div(ceil_div(total, pieces), step) * step)
    return Cut(total, larger(1, ceil_div(total, tile)), tile)


class Left(NamedTuple):
    """How A is read: a reader of pack.py or image.py, its words, what memory it needs."""
    code: Code
    words: tuple
    size: int = 0           # bytes of scratch
    slack: int = 0          # entries that it may write before and after a table's own


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
    dots: bool = False      # k counts pairs of bfloat16
    together: int = 0       # blocks of k in a part, if it is not for the tiles to say

    @property
    def work(self) -> int:
        """Multiplications, a pair of them counted once."""
        return self.batches * self.m.total * self.n.total * self.k.total

    @property
    def tiles(self) -> int:
        return self.batches * self.m.pieces * self.n.pieces

    @property
    def part_blocks(self) -> int:
        """Blocks of k in a part: all, or fewer where there are too few tiles."""
        wanted = PARTED // self.tiles if self.tiles < ENOUGH else 1
        parts = larger(1, smaller(wanted, self.work // PART_WORK))
        return self.together or ceil_div(self.k.pieces, parts)

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
    panels = larger(1, smaller(panels, strips * ceil_div(n, columns) // PLENTY))
    return balanced(n, panels * columns, columns)


def cut_rows(kind: dtype, batches: int, m: int, n: int) -> Cut:
    """Tiles of up to BLOCK_ROWS rows, fewer where else there were too few tiles."""
    panels = batches * ceil_div(n, columns_of(kind))
    wanted = larger(larger(1, ceil_div(m, BLOCK_ROWS)), smaller(ceil_div(PLENTY, panels), m // LEAST_ROWS))
    return balanced(m, ceil_div(m, wanted), ROWS)


def contract(c: Contraction, a: Left, b: Right, result: Finisher, temp: Temp,
             note: str) -> list[Call]:
    """The calls of a contraction: the driver, and `combine` if k is cut into parts."""
    if c.parts == 1:
        return [driver_call(c, a, b, result, note)]
    keep, add = in_parts(c.kind, c.parts, c.batches, *c.result, result, temp, note)
    return [driver_call(c, a, b, keep, note), add]


def in_parts(kind: dtype, parts: int, batches: int, rows: int, cols: int, result: Finisher,
             temp: Temp, note: str) -> tuple[Finisher, Call]:
    """A finisher that keeps parts, its batch being (part, batch), and the call that adds them."""
    part = batches * rows * cols * kind.itemsize
    kept = View(temp(parts * part), kind, (parts * batches, rows, cols), (rows * cols, cols, 1))
    keep = finisher(Grid((parts * batches,), rows, (), cols), kind, None,
                    [(kept, Grid((rows * cols,), cols, (), 1))], 0)
    head = (kept.ref, parts, part, rows, cols, result.code, C_HEADER)
    units, grain = batches * rows, larger(1, SMALL // (cols * parts))
    return keep, Call(combine(kind.llvm), (*head, *result.words), units, grain,
                      f"{note}, adding {plain(parts)} parts", bytes=parts * part)


def whole_panels(before: list[Call], c: Contraction, code: Code, words: Callable[[int], tuple],
                 temp: Temp) -> Right:
    """All of B packed ahead by `code`; `words(panel)` describes it for panels of so many bytes."""
    columns, panels = columns_of(c.kind), ceil_div(c.n.total, columns_of(c.kind))
    panel = (c.k.total + 4) * PANEL_BYTES           # packers may overrun by up to 3 of k
    out = temp(c.batches * panels * panel)
    if c.k.total:
        head = (code, W_HEADER, out, panels, columns, c.n.total, c.k.total, panel)
        units, grain = c.batches * panels, larger(1, SMALL // (columns * c.k.total))
        before.append(Call(pack_whole(), (*head, *words(panel)), units, grain,
                           f"pack {times((c.k.total, c.n.total))}", bytes=2 * units * panel))
    view = Matrix(out, panel // columns, PANEL_BYTES, 1, 0, ((c.batches, panels * panel),)).words()
    return Right(pack_view(), view, panel, PANEL_BYTES)


def driver_call(c: Contraction, a: Left, b: Right, result: Finisher, note: str) -> Call:
    size, target = c.kind.itemsize, None if c.turned else result.target
    finish, finish_words = (pack_view(), target[0]) if target else (result.code, result.words)
    at_b = HEADER + len(a.words)
    slack = ceil_div(8 * a.slack, VECTOR_BYTES) * VECTOR_BYTES
    piece = balanced(c.m.tile, PIECE_ROWS, ROWS).tile
    row, turned_row = c.n.tile * size, (ceil_div(piece, LANES) + 1) * LANES * size
    tables = [8 * cut.tile + 2 * slack + VECTOR_BYTES for cut in (c.m, c.k)]
    whole = (c.m.tile + LANES) * row if c.part_blocks > 1 else (piece + LANES) * PANEL_BYTES
    tile_bytes = 0 if target else whole, c.turned * columns_of(c.kind) * turned_row
    head = (micro(c.kind, c.dots), a.code, HEADER, b.code, at_b, finish,
            at_b + len(b.words), turn(c.kind.llvm) if c.turned else 0,
            b.step, b.panel, columns_of(c.kind),
            *c.m[:3], c.m.pieces, c.n.total, c.n.tile, c.n.pieces, *c.k[:3], c.k.pieces,
            c.batches, c.part_blocks, a.size, b.size, *tile_bytes, *tables, slack, row, turned_row,
            finish if target else 0, target[1] if target else 0, piece)
    units = c.parts * c.tiles
    grain = smaller(units, larger(1, units * SMALL // larger(c.work, 1)))
    return Call(driver(), (*head, *a.words, *b.words, *finish_words), units, grain, note,
                flops=2 * c.work << c.dots)
