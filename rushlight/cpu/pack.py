"""Readers and packers: bring a block of an operand into the shape that micro-kernels read.

    read(desc, dst, row table, k table, batch, r0, rows, k0, kc) -> ptr    A: fills the tables
    pack(desc, dst, batch, r0, rows, k0, kc) -> ptr                        B: [panel][k][bytes]

All share these signatures, so one driver serves matmul and convolution; `desc` points at the
function's own words. They may read up to 63 bytes past an operand. Here are those for matrices:

    read_matrix       A of any strides where it lies
    read_packed       A through a packer of B
    pack_view         B where it lies
    pack_copy         B whose columns are adjacent in memory
    pack_transpose    B whose k are adjacent, 16 bytes of k at a time; k may be (outer, inner)
    pack_pairs        B of 2-byte elements whose columns are adjacent: pairs of neighbouring k
    pack_odd          B of pairs by another packer, where the last k has no neighbour
"""
from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Code, Ref, View
from ..compiler.sizes import larger, smaller, times
from ..dtypes import dtype
from .emit import SIZES, Function, Value, iota, vector
from .micro import PANEL_BYTES, VECTOR_BYTES, VECTORS

BLOCK_PARAMS = (("i64", "batch"), ("i64", "r0"), ("i64", "rows"), ("i64", "k0"), ("i64", "kc"))
PACK_PARAMS = (("ptr", "args"), ("ptr", "dst"), *BLOCK_PARAMS)
READ_PARAMS = (("ptr", "args"), ("ptr", "dst"), ("ptr", "row_table"), ("ptr", "k_table"),
               *BLOCK_PARAMS)


# --- operands that are matrices -------------------------------------------------------------------

STRIP = 8               # k that pack_copy takes through all panels: as many streams to foresee

POINTER, ROW, STEP, INNER, OUTER, PANEL, DIMS, TABLE = range(8)


class Matrix(NamedTuple):
    """element (batch, r, k) of an operand; strides in bytes; k = outer * inner count + inner."""
    ref: Ref
    row: int
    step: int
    inner: int              # how many k lie `step` apart
    outer: int              # the stride from one such run to the next
    batch: tuple[tuple[int, int], ...] = ()         # (size, stride), outermost first

    def words(self, panel: int = 0) -> tuple:
        table = [word for pair in reversed(self.batch) for word in pair]
        return (self.ref, self.row, self.step, self.inner, self.outer, panel, len(self.batch),
                *table)


def split(f: Function, index, size) -> tuple[Value, Value]:
    """index // size, index % size; a division only where neither is plain to see."""
    with f.either(f.icmp("ult", index, size)) as either:
        with either.yes:
            either.give(0, index)
        with either.no:
            with f.either(f.icmp("eq", size, 1)) as whole:
                with whole.yes:
                    whole.give(index, 0)
                with whole.no:
                    whole.give(f.udiv(index, size), f.urem(index, size))
            either.give(*whole.results)
    return tuple(either.results)


def table_offset(f: Function, rest, count, first: int, width: int, offsets: list) -> list:
    """Adds index * stride of `count` dimensions to each offset; rows are (size, stride, ...)."""
    with f.loop(0, count, carried=[rest, *offsets]) as loop:
        rest, *offsets = loop.values
        row = f.at(f.args, "i64", f.add(f.mul(loop.index, width), first))
        size = f.load("i64", row)
        rest, index = split(f, rest, size)
        moved = [f.add(offset, f.mul(index, f.load("i64", f.at(row, "i64", 1 + n))))
                 for n, offset in enumerate(offsets)]
        loop.next(rest, *moved)
    return loop.results[1:]


def _start(f: Function) -> Value:
    """The address of (batch, r0, k = 0)."""
    offset, = table_offset(f, f.batch, f.word(DIMS), TABLE, 2, [f.value(0)])
    return f.at(f.word(POINTER, "ptr"), "i8", f.add(offset, f.mul(f.r0, f.word(ROW))))


@cache
def read_matrix() -> Code:
    f = Function("read_matrix", READ_PARAMS, "ptr")
    fill_table(f, f.row_table, f.rows, f.value(0), f.word(ROW))
    fill_table(f, f.k_table, f.kc, f.value(0), f.word(STEP))
    f.give_back(f.at(_start(f), "i8", f.mul(f.k0, f.word(STEP))))
    return f.code()


R_PACK, R_WORDS, R_PANEL, R_COLUMNS, R_SIZE = range(5)
R_HEADER = 5


@cache
def read_packed() -> Code:
    """Rows of a come as columns of panels: worth it where reading them in place thrashes the cache."""
    f = Function("read_packed", READ_PARAMS, "ptr")
    block = [f.parameters[n] for n in range(4, 9)]
    start = call_word(f, "ptr", R_PACK, [f.at(f.args, "i64", f.word(R_WORDS)), f.dst, *block])
    with f.loop(0, f.rows, f.word(R_COLUMNS), carried=[f.value(0)]) as panel:
        count = f.umin(f.word(R_COLUMNS), f.sub(f.rows, panel.index))
        fill_table(f, f.at(f.row_table, "i64", panel.index), count, panel.values[0], f.word(R_SIZE))
        panel.next(f.add(panel.values[0], f.word(R_PANEL)))
    fill_table(f, f.k_table, f.kc, f.value(0), PANEL_BYTES)
    f.give_back(start)
    return f.code()


def fill_table(f: Function, table: Value, count, first: Value, step) -> None:
    """first, first + step, ... ; may write a vector past the end."""
    lanes = VECTOR_BYTES // 8
    start = f.add(f.splat(first, lanes),
                  f.mul(f.splat(f.value(step), lanes), iota(vector("i64", lanes))))
    stride = f.splat(f.mul(step, lanes), lanes)
    with f.loop(0, count, lanes, carried=[start]) as loop:
        f.store(loop.values[0], f.at(table, "i64", loop.index))
        loop.next(f.add(loop.values[0], stride))


@cache
def pack_view() -> Code:
    f = Function("pack_view", PACK_PARAMS, "ptr")
    f.give_back(f.at(_start(f), "i8", f.mul(f.k0, f.word(STEP))))
    return f.code()


@cache
def pack_copy(element: str) -> Code:
    f = Function(f"pack_copy_{element}", PACK_PARAMS, "ptr")
    start = f.at(_start(f), "i8", f.mul(f.k0, f.word(STEP)))
    with f.loop(0, f.kc, STRIP, carried=[start, f.dst]) as strip:
        source, dst = strip.values
        _copy_strip(f, element, f.umin(STRIP, f.sub(f.kc, strip.index)), source, dst)
        strip.next(f.at(source, "i8", f.mul(f.word(STEP), STRIP)),
                   f.at(dst, "i8", STRIP * PANEL_BYTES))
    f.give_back(f.dst)
    return f.code()


def _copy_strip(f: Function, element: str, count: Value, source: Value, dst: Value) -> None:
    """A few k of all panels."""
    lanes = VECTOR_BYTES // SIZES[element]
    with f.loop(0, f.rows, VECTORS * lanes, carried=[source, dst]) as panel:
        source, dst = panel.values
        with f.either(f.icmp("sgt", f.sub(f.rows, panel.index), lanes)) as either:
            for arm, vectors in ((either.yes, 2), (either.no, 1)):
                with arm:
                    _copy_panel(f, element, count, source, dst, vectors)
        panel.next(f.at(source, "i8", PANEL_BYTES), f.at(dst, "i8", f.word(PANEL)))


def _copy_panel(f: Function, element: str, count: Value, source: Value, dst: Value,
                vectors: int) -> None:
    type = vector(element, VECTOR_BYTES // SIZES[element])
    with f.loop(0, count, carried=[source, dst]) as loop:
        source, dst = loop.values
        for v in range(vectors):
            f.store(f.load(type, f.at(source, "i8", v * VECTOR_BYTES)),
                    f.at(dst, "i8", v * VECTOR_BYTES))
        loop.next(f.at(source, "i8", f.word(STEP)), f.at(dst, "i8", PANEL_BYTES))


@cache
def pack_pairs() -> Code:
    """Two rows of b become one of 32 bits for each column: the row of the even k in the low half."""
    f = Function("pack_pairs", PACK_PARAMS, "ptr")
    start = f.at(_start(f), "i8", f.mul(f.k0, f.word(STEP)))
    with f.loop(0, f.rows, VECTORS * LANES, carried=[start, f.dst]) as panel:
        with f.loop(0, f.kc, carried=panel.values) as pair:
            _interleave(f, *pair.values)
            pair.next(f.at(pair.values[0], "i8", f.word(STEP)), f.at(pair.values[1], "i8", PANEL_BYTES))
        source, dst = panel.values
        panel.next(f.at(source, "i8", PANEL_BYTES // 2), f.at(dst, "i8", f.word(PANEL)))
    f.give_back(f.dst)
    return f.code()


def _interleave(f: Function, source: Value, dst: Value) -> None:
    columns = VECTORS * LANES
    even, odd = (f.load_vector("i16", row, columns)
                 for row in (source, f.at(source, "i8", f.lshr(f.word(STEP), 1))))
    for v in range(VECTORS):
        pairs = [n for column in range(v * LANES, (v + 1) * LANES) for n in (column, columns + column)]
        f.store(f.shuffle(even, odd, pairs), f.at(dst, "i8", v * VECTOR_BYTES))


O_PACK, O_WORDS, O_LAST, O_PANEL = range(4)
O_HEADER = 4


@cache
def pack_odd() -> Code:
    """Zero instead of what lies behind the last k, in the high halves of pair `O_LAST`."""
    f = Function("pack_odd", PACK_PARAMS, "ptr")
    block = [f.parameters[n] for n in range(1, 7)]
    start = call_word(f, "ptr", O_PACK, [f.at(f.args, "i64", f.word(O_WORDS)), *block])
    last = f.sub(f.word(O_LAST), f.k0)
    with f.when(f.icmp("slt", last, f.kc)):
        pair = f.at(start, "i8", f.mul(last, PANEL_BYTES))
        with f.loop(0, f.rows, VECTORS * LANES, carried=[pair]) as panel:
            for v in range(VECTORS):
                place = f.at(panel.values[0], "i8", v * VECTOR_BYTES)
                f.store(f.and_(f.load_vector("i32", place), f.splat(f.value(0xFFFF, "i32"))), place)
            panel.next(f.at(panel.values[0], "i8", f.word(O_PANEL)))
    f.give_back(start)
    return f.code()


@cache
def pack_transpose(element: str) -> Code:
    """A vector of columns at a time; stores may overrun in k, the next columns repair that."""
    f = Function(f"pack_transpose_{element}", PACK_PARAMS, "ptr")
    lanes = VECTOR_BYTES // SIZES[element]
    columns = f.alloca("ptr", lanes)
    start = _start(f)
    with f.loop(0, f.rows, lanes) as group:
        _column_addresses(f, columns, start, group.index, lanes)
        number = f.udiv(group.index, lanes)
        place = f.add(f.mul(f.udiv(number, VECTORS), f.word(PANEL)),
                      f.mul(f.urem(number, VECTORS), VECTOR_BYTES))
        _transpose_runs(f, element, columns, f.at(f.dst, "i8", place))
    f.give_back(f.dst)
    return f.code()


def _column_addresses(f: Function, columns: Value, start: Value, first: Value, lanes: int) -> None:
    """Columns past the last one read the last one again."""
    last = f.sub(f.rows, 1)
    for n in range(lanes):
        column = f.umin(f.add(first, n), last)
        f.store(f.at(start, "i8", f.mul(column, f.word(ROW))), f.at(columns, "ptr", n))


def _transpose_runs(f: Function, element: str, columns: Value, dst: Value) -> None:
    """k0 .. k0 + kc in runs that do not cross from one outer k to the next."""
    end = f.add(f.k0, f.kc)
    with f.loop(f.k0, end) as run:
        outer, inner = f.udiv(run.index, f.word(INNER)), f.urem(run.index, f.word(INNER))
        count = f.umin(f.sub(end, run.index), f.sub(f.word(INNER), inner))
        offset = f.add(f.mul(outer, f.word(OUTER)), f.mul(inner, SIZES[element]))
        place = f.at(dst, "i8", f.mul(f.sub(run.index, f.k0), PANEL_BYTES))
        _transpose_run(f, element, columns, offset, count, place)
        run.step = count


def _transpose_run(f: Function, element: str, columns: Value, offset, count, dst: Value) -> None:
    lanes, quad = VECTOR_BYTES // SIZES[element], 16 // SIZES[element]
    ahead = f.mul(f.word(ROW), lanes)
    with f.loop(0, count, quad, carried=[f.value(offset), dst]) as loop:
        offset, dst = loop.values
        _fetch_next_group(f, columns, lanes // 4, f.udiv(loop.index, quad), f.add(offset, ahead))
        rows = [f.at(f.load("ptr", f.at(columns, "ptr", n)), "i8", offset) for n in range(lanes)]
        transpose_lines(f, element, rows, dst, PANEL_BYTES)
        loop.next(f.add(offset, 16), f.at(dst, "i8", quad * PANEL_BYTES))


def _fetch_next_group(f: Function, columns: Value, rows: int, turn: Value, offset: Value) -> None:
    """A quarter of the next columns' lines in each turn: a line is four turns long.

    So many short streams are more than the CPU foresees.
    """
    first = f.mul(f.and_(turn, 3), rows)
    for n in range(rows):
        row = f.load("ptr", f.at(columns, "ptr", f.add(first, n)))
        f.prefetch(f.at(row, "i8", offset))


def transpose_lines(f: Function, element: str, rows: list[Value], dst: Value, stride) -> None:
    """16 bytes of each row become columns of as many vectors, `stride` bytes apart."""
    for column in transposed_quads(f, element, rows):
        f.store(column, dst)
        dst = f.at(dst, "i8", stride)


def transposed_quads(f: Function, element: str, rows: list[Value], every: int = 1) -> list[Value]:
    """16 bytes of each row, or `every` second element of more, as columns."""
    quad = 16 // SIZES[element]
    pieces = [f.load(vector(element, quad * every), row) for row in rows]
    if every > 1:
        pieces = [f.shuffle(x, None, list(range(0, quad * every, every))) for x in pieces]
    return transpose_quads(f, [join(f, pieces[n::quad]) for n in range(quad)])


@cache
def turn(element: str) -> Code:
    """Transposes a tile; writes whole vectors and quads, so both sides need slack."""
    f = Function(f"turn_{element}",
                 (("ptr", "tile"), ("i64", "ts"), ("i64", "rows"), ("i64", "cols"),
                                     ("ptr", "dst"), ("i64", "ds")))
    size = SIZES[element]
    lanes, quad = VECTOR_BYTES // size, 16 // size
    with f.loop(0, f.rows, lanes) as group:
        first = f.at(f.tile, "i8", f.mul(group.index, f.ts))
        start = f.at(f.dst, "i8", f.mul(group.index, size))
        with f.loop(0, f.cols, quad, carried=[first, start]) as column:
            source, dst = column.values
            rows = [source]
            for _ in range(lanes - 1):
                rows.append(f.at(rows[-1], "i8", f.ts))
            transpose_lines(f, element, rows, dst, f.ds)
            column.next(f.at(source, "i8", 16), f.at(dst, "i8", f.mul(f.ds, quad)))
    return f.code()


def join(f: Function, parts: list[Value]) -> Value:
    """Vectors end to end."""
    while len(parts) > 1:
        lanes = int(parts[0].type[1:].split()[0])
        both = list(range(2 * lanes))
        parts = [f.shuffle(a, b, both) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def transpose_quads(f: Function, rows: list[Value]) -> list[Value]:
    """The len(rows) x len(rows) transpose inside every 16 bytes."""
    quad, lanes = len(rows), 4 * len(rows)
    low = [q + n // 2 + lanes * (n % 2) for q in range(0, lanes, quad) for n in range(quad)]
    if quad == 2:
        return [f.shuffle(*rows, low), f.shuffle(*rows, [i + 1 for i in low])]
    high = [i + 2 for i in low]
    firsts = [(f.shuffle(a, b, low), f.shuffle(a, b, high)) for a, b in (rows[:2], rows[2:])]
    pair = [q + n % 2 + lanes * (n // 2) for q in range(0, lanes, quad) for n in range(quad)]
    return [f.shuffle(firsts[0][k // 2], firsts[1][k // 2], [i + 2 * (k % 2) for i in pair])
            for k in range(4)]


def dynamic_alloca(f: Function, size: Value) -> Value:
    """Stack memory of a size that is a word."""
    value = Value(f"%{f.fresh('scratch')}", "ptr")
    f.head.append(f"  {value} = alloca i8, i64 {size}, align 64")
    return value


# --- whole operands -------------------------------------------------------------------------------

W_PACK, W_WORDS, W_OUT, W_PANELS, W_COLUMNS, W_N, W_K, W_PANEL = range(8)
W_HEADER = 8


@cache
def pack_whole() -> Code:
    """All of a B: a unit is one panel of one batch."""
    f = Function("pack_whole")
    with f.loop(f.lo, f.hi) as unit:
        batch, panel = f.udiv(unit.index, f.word(W_PANELS)), f.urem(unit.index, f.word(W_PANELS))
        column = f.mul(panel, f.word(W_COLUMNS))
        count = f.umin(f.word(W_COLUMNS), f.sub(f.word(W_N), column))
        dst = f.at(f.word(W_OUT, "ptr"), "i8", f.mul(unit.index, f.word(W_PANEL)))
        call_word(f, "ptr", W_PACK, [f.at(f.args, "i64", f.word(W_WORDS)), dst, batch, column,
                                     count, 0, f.word(W_K)])
    return f.code()


def call_word(f: Function, returns: str, word: int, arguments) -> Value | None:
    """A call of the function whose address is a word."""
    actual = ", ".join(f.value(a).typed for a in arguments)
    text = f"call {returns} {f.word(word, 'ptr')}({actual})"
    return f.line(text) if returns == "void" else f.let(returns, text)


def copy_call(out: Ref, kind: dtype, x: View) -> Call:
    """Copies x to packed, row-major memory at `out`, converted to `kind`."""
    dims = merged(x.shape, [x.strides])
    while len(dims) < 2:
        dims.insert(0, (1, (0,)))
    *outer, (runs, (apart,)), (inner, (stride,)) = dims
    table = [word for n, (s,) in reversed(outer) for word in (n, s * x.itemsize)]
    words = (x.ref, out, inner, stride, runs, apart * x.itemsize, len(outer), *table)
    widen = "fpext" if kind.is_floating_point else "sext" if x.dtype.is_signed else "zext"
    code = copy_kernel(x.dtype.llvm, kind.llvm, widen, "adjacent" if stride == 1 else "gather")
    units, work = prod(n for n, _ in outer), larger(1, runs * inner)
    return Call(code, words, units, smaller(units, larger(1, COPY_GRAIN // work)),
                f"copy {times(x.shape)}",
                bytes=units * work * (x.itemsize + kind.itemsize))


COPY_GRAIN = 8192       # elements that are not worth waking a thread


def merged(sizes, strides) -> list[tuple[int, tuple[int, ...]]]:
    """(size, stride in each layout) of dimensions, joined where all layouts allow; no size 1."""
    dims: list[tuple[int, tuple[int, ...]]] = []
    for n, *steps in zip(sizes, *strides, strict=True):
        if n == 1:
            continue
        if dims and dims[-1][1] == tuple(n * step for step in steps):
            n *= dims.pop()[0]
        dims.append((n, tuple(steps)))
    return dims or [(1, tuple(1 for _ in strides))]


@cache
def copy_kernel(source: str, target: str, widen: str, way: str) -> Code:
    """A unit is one step of the outer dimensions: some runs of the last one."""
    f = Function(f"copy_{source}_{target}_{way}")
    with f.loop(f.lo, f.hi) as unit:
        offset, = table_offset(f, unit.index, f.word(6), 7, 2, [f.value(0)])
        written = f.mul(unit.index, f.mul(f.word(2), f.word(4)))
        places = f.at(f.word(0, "ptr"), "i8", offset), f.at(f.word(1, "ptr"), target, written)
        with f.loop(0, f.word(4), carried=places) as run:
            _copy_run(f, source, target, widen, way, *run.values)
            run.next(f.at(run.values[0], "i8", f.word(5)), f.at(run.values[1], target, f.word(2)))
    return f.code()


def _copy_run(f: Function, source: str, target: str, widen: str, way: str, read: Value,
              write: Value) -> None:
    stride = 1 if way == "adjacent" else f.word(3)
    with f.loop(0, f.word(2), LANES) as loop:
        mask = f.lane_mask(f.sub(f.word(2), loop.index))
        place = f.at(read, source, f.mul(loop.index, stride))
        value = f.load_strided(source, place, stride, mask=mask)
        if source != target:
            value = f.cast(widen, value, target)
        f.masked_store(value, f.at(write, target, loop.index), mask)
