"""Packers: bring a block of an operand into the shape that micro-kernels read.

    pack(desc, dst, batch, r0, rows, k0, kc) -> ptr

All packers share this signature, so one driver serves matmul and convolution; `desc` points at the
packer's own words. For A the result holds element (r, k) at r * row stride + k * k stride; for B it is
a row of panels, [panel][k][PANEL_BYTES]. Packers may read up to 63 bytes past their operand.

    view       nothing is copied: the address inside the operand
    copy       B whose columns are adjacent in memory
    transpose  B whose k are adjacent, in registers, 16 bytes of k at a time; k may be (outer, inner)
    patches    image patches of a convolution, [channel, taps] x [image, positions], zeros for padding
"""
from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Code, Ref, View
from ..dtypes import dtype
from .emit import SIZES, Function, Value, constant, iota, lanes_of, vector
from .micro import PANEL_BYTES, VECTOR_BYTES, VECTORS

PACK_PARAMS = (("ptr", "args"), ("ptr", "dst"), ("i64", "batch"), ("i64", "r0"), ("i64", "rows"),
               ("i64", "k0"), ("i64", "kc"))


class Packer(NamedTuple):
    """A pack function and the words of its descriptor."""
    code: Code
    words: tuple


# --- operands that are matrices ----------------------------------------------------------------------

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
        return (self.ref, self.row, self.step, self.inner, self.outer, panel, len(self.batch), *table)


def table_offset(f: Function, rest, count, first: int, width: int, offsets: list) -> list:
    """Adds index * stride of `count` dimensions to each offset; a table row is (size, stride, ...)."""
    with f.loop(0, count, carried=[rest, *offsets]) as loop:
        rest, *offsets = loop.values
        row = f.at(f.args, "i64", f.add(f.mul(loop.index, width), first))
        size = f.load("i64", row)
        index = f.urem(rest, size)
        moved = [f.add(offset, f.mul(index, f.load("i64", f.at(row, "i64", 1 + n))))
                 for n, offset in enumerate(offsets)]
        loop.next(f.udiv(rest, size), *moved)
    return loop.results[1:]


def _start(f: Function) -> Value:
    """The address of (batch, r0, k = 0)."""
    offset, = table_offset(f, f.batch, f.word(DIMS), TABLE, 2, [f.value(0)])
    return f.at(f.word(POINTER, "ptr"), "i8", f.add(offset, f.mul(f.r0, f.word(ROW))))


@cache
def pack_view() -> Code:
    f = Function("pack_view", PACK_PARAMS, "ptr")
    f.give_back(f.at(_start(f), "i8", f.mul(f.k0, f.word(STEP))))
    return f.code()


@cache
def pack_copy(element: str) -> Code:
    f = Function(f"pack_copy_{element}", PACK_PARAMS, "ptr")
    lanes = VECTOR_BYTES // SIZES[element]
    start = f.at(_start(f), "i8", f.mul(f.k0, f.word(STEP)))
    with f.loop(0, f.rows, VECTORS * lanes, carried=[start, f.dst]) as panel:
        source, dst = panel.values
        with f.either(f.icmp("sgt", f.sub(f.rows, panel.index), lanes)) as either:
            for arm, vectors in ((either.yes, 2), (either.no, 1)):
                with arm:
                    _copy_panel(f, element, source, dst, vectors)
        panel.next(f.at(source, "i8", PANEL_BYTES), f.at(dst, "i8", f.word(PANEL)))
    f.give_back(f.dst)
    return f.code()


def _copy_panel(f: Function, element: str, source: Value, dst: Value, vectors: int) -> None:
    type = vector(element, VECTOR_BYTES // SIZES[element])
    with f.loop(0, f.kc, carried=[source, dst]) as loop:
        source, dst = loop.values
        for v in range(vectors):
            f.store(f.load(type, f.at(source, "i8", v * VECTOR_BYTES)), f.at(dst, "i8", v * VECTOR_BYTES))
        loop.next(f.at(source, "i8", f.word(STEP)), f.at(dst, "i8", PANEL_BYTES))


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
    size = SIZES[element]
    lanes, quad = VECTOR_BYTES // size, 16 // size
    with f.loop(0, count, quad, carried=[f.value(offset), dst]) as loop:
        offset, dst = loop.values
        pieces = [f.load(vector(element, quad), f.at(f.load("ptr", f.at(columns, "ptr", n)), "i8", offset))
                  for n in range(lanes)]
        stripes = [_join(f, pieces[n::quad]) for n in range(quad)]
        for k, row in enumerate(_transpose_quads(f, stripes)):
            f.store(row, f.at(dst, "i8", k * PANEL_BYTES))
        loop.next(f.add(offset, 16), f.at(dst, "i8", quad * PANEL_BYTES))


def _join(f: Function, parts: list[Value]) -> Value:
    """Vectors end to end."""
    while len(parts) > 1:
        lanes = int(parts[0].type[1:].split()[0])
        parts = [f.shuffle(a, b, list(range(2 * lanes))) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _transpose_quads(f: Function, rows: list[Value]) -> list[Value]:
    """The len(rows) x len(rows) transpose inside every 16 bytes."""
    quad, lanes = len(rows), 4 * len(rows)
    low = [q + n // 2 + lanes * (n % 2) for q in range(0, lanes, quad) for n in range(quad)]
    if quad == 2:
        return [f.shuffle(*rows, low), f.shuffle(*rows, [i + 1 for i in low])]
    high = [i + 2 for i in low]
    firsts = [(f.shuffle(a, b, low), f.shuffle(a, b, high)) for a, b in (rows[:2], rows[2:])]
    pair = [q + n % 2 + lanes * (n // 2) for q in range(0, lanes, quad) for n in range(quad)]
    return [f.shuffle(firsts[0][k // 2], firsts[1][k // 2], [i + 2 * (k % 2) for i in pair]) for k in range(4)]


# --- image patches -----------------------------------------------------------------------------------

(IMAGE, POSITIONS_ARE_K, TO_ROW, TO_PANEL, GROUP, BATCH, CHANNEL, TAPS, TABLE_BYTES) = range(9)
ALONG = 9               # then for each of depth, height, width: the fields of `Along`
(A_STRIDE, A_OUT, A_SIZE, A_MOVE, A_START, A_STEP, A_TAPS) = range(7)


class Along(NamedTuple):
    """One spatial dimension: position p and tap t read index p * move + start + t * step, if in [0, size)."""
    stride: int             # of the image, in bytes
    out: int                # number of positions
    size: int
    move: int
    start: int
    step: int
    taps: int


class Patches(NamedTuple):
    """Row (channel, taps), column (image, positions) of an image operand; strides in bytes."""
    ref: Ref
    group: int
    batch: int
    channel: int
    along: tuple[Along, Along, Along]

    @property
    def taps(self) -> int:
        return prod(a.taps for a in self.along)

    def words(self, positions_are_k: bool, to_row: int, to_panel: int) -> tuple:
        return (self.ref, int(positions_are_k), to_row, to_panel, self.group, self.batch, self.channel,
                max(1, self.taps), 16 * self.taps, *(field for along in self.along for field in along))

    def way(self, itemsize: int) -> str:
        """How neighbouring positions lie in memory: adjacent, every second, or anyhow."""
        width = self.along[2]
        return {itemsize: "adjacent", 2 * itemsize: "second"}.get(width.stride * width.move, "gather")


def _along(f: Function, dim: int, field: int) -> Value:
    return f.word(ALONG + 7 * dim + field)


@cache
def pack_patches(element: str, way: str) -> Code:
    f = Function(f"pack_patches_{way}_{element}", PACK_PARAMS, "ptr")
    swap = f.icmp("ne", f.word(POSITIONS_ARE_K), 0)
    p0, count = f.select(swap, f.k0, f.r0), f.select(swap, f.kc, f.rows)
    rows = f.select(swap, f.r0, f.k0), f.select(swap, f.rows, f.kc)
    image = f.at(f.word(IMAGE, "ptr"), "i8", f.mul(f.batch, f.word(GROUP)))
    lanes = VECTOR_BYTES // SIZES[element]
    patch = Patch(f, element, way, image, rows)
    with f.loop(0, f.ceil_div(count, lanes)) as vectors:
        first = f.mul(vectors.index, lanes)
        place = f.add(f.mul(f.udiv(vectors.index, VECTORS), f.word(TO_PANEL)),
                      f.mul(f.urem(vectors.index, VECTORS), VECTOR_BYTES))
        patch.vector(f.at(f.dst, "i8", place), f.add(p0, first), f.umin(f.sub(count, first), lanes))
    f.give_back(f.dst)
    return f.code()


class Patch:
    """Emits one vector of positions for all (channel, tap) rows of a block.

    What is left after an output row ends is another segment. For each segment a table of
    (offset, mask) by tap is made first, then the rows are walked in memory order.
    """

    def __init__(self, f: Function, element: str, way: str, image: Value, rows):
        self.f, self.element, self.way, self.image = f, element, way, image
        self.row0, self.rows = rows
        self.lanes = VECTOR_BYTES // SIZES[element]
        self.iota = iota(vector("i32", self.lanes))
        self.width = self.lanes * (2 if way == "second" else 1)     # elements that a load may touch
        self.table = dynamic_alloca(f, f.word(TABLE_BYTES))
        self.channel = f.mul(f.udiv(self.row0, f.word(TAPS)), f.word(CHANNEL))
        self.first_tap = f.urem(self.row0, f.word(TAPS))

    def vector(self, dst: Value, position: Value, count: Value) -> None:
        """Cuts the vector where an output row ends."""
        f = self.f
        with f.loop(0, count, nonempty=True) as cut:
            at = f.add(position, cut.index)
            column, rest = f.urem(at, _along(f, 2, A_OUT)), f.udiv(at, _along(f, 2, A_OUT))
            run = f.umin(f.sub(_along(f, 2, A_OUT), column), f.sub(count, cut.index))
            own = self.between(f.sub(self.iota, self.splat(cut.index)), run)
            number = self.fill_table(cut.index, own, column, rest)
            self.fill_rows(dst, own, f.at(self.image, "i8", f.mul(number, f.word(BATCH))))
            cut.step = run

    def fill_table(self, lane: Value, own: Value, column: Value, rest: Value) -> Value:
        """(offset, mask) for each tap of the positions from `lane` on; gives the number of their image."""
        f = self.f
        row, rest = f.urem(rest, _along(f, 1, A_OUT)), f.udiv(rest, _along(f, 1, A_OUT))
        depth, number = f.urem(rest, _along(f, 0, A_OUT)), f.udiv(rest, _along(f, 0, A_OUT))
        start = [self.first_index(dim, at) for dim, at in enumerate((depth, row, column))]
        start[2] = f.sub(start[2], f.mul(lane, _along(f, 2, A_MOVE)))
        spread = f.mul(self.iota, self.splat(_along(f, 2, A_MOVE)))
        with f.loop(0, _along(f, 0, A_TAPS), carried=[self.table, start[0]]) as d:
            with f.loop(0, _along(f, 1, A_TAPS), carried=[d.values[0], start[1]]) as h:
                inside = f.and_(self.inside(0, d.values[1]), self.inside(1, h.values[1]))
                live = f.and_(own, f.splat(inside, self.lanes))
                line = f.add(self.offset(0, d.values[1]), self.offset(1, h.values[1]))
                with f.loop(0, _along(f, 2, A_TAPS), carried=[h.values[0], start[2]]) as w:
                    place, index = w.values
                    columns = f.add(spread, self.splat(index))
                    mask = f.and_(live, self.between(columns, _along(f, 2, A_SIZE)))
                    f.store(f.add(line, self.offset(2, index)), place)
                    f.store(self.mask_bits(mask), f.at(place, "i64", 1))
                    w.next(f.at(place, "i64", 2), f.add(index, _along(f, 2, A_STEP)))
                h.next(w.results[0], f.add(h.values[1], _along(f, 1, A_STEP)))
            d.next(h.results[0], f.add(d.values[1], _along(f, 0, A_STEP)))
        return number

    def fill_rows(self, dst: Value, own: Value, image: Value) -> None:
        f, taps = self.f, self.f.word(TAPS)
        walk = f.helper(f"walk_{self.way}", self.walker)
        end = f.at(self.table, "i8", f.mul(taps, 16))
        begin = f.at(self.table, "i8", f.mul(self.first_tap, 16))
        step = f.mul(_along(f, 2, A_STRIDE), _along(f, 2, A_MOVE))
        arguments = [self.table, end, begin, f.at(image, "i8", self.channel), f.word(CHANNEL), dst,
                     f.word(TO_ROW), self.rows, as_bits(f, own), step]
        f.line(f"call void @{walk.name}({', '.join(a.typed for a in arguments)})")

    def walker(self) -> Function:
        """All rows of a segment; a function of its own, so that the loop has the registers for itself."""
        w = Function(f"walk_{self.way}", (
            ("ptr", "table"), ("ptr", "end"), ("ptr", "begin"), ("ptr", "source"), ("i64", "channel"), ("ptr", "dst"),
            ("i64", "to_row"), ("i64", "rows"), (f"i{self.lanes}", "own"), ("i64", "step")))
        load, own = self.loader(w), as_mask(w, w.own)
        with w.loop(0, w.rows, carried=[w.dst, w.source, w.begin]) as row:
            dst, source, entry = row.values
            mask = as_mask(w, w.load(f"i{self.width}", w.at(entry, "i64", 1)))
            place = w.at(source, "i8", w.load("i64", entry))
            _prefetch(w, w.at(place, "i8", PANEL_BYTES))
            w.masked_store(load(place, mask), dst, own)
            following = w.at(entry, "i8", 16)
            wraps = w.icmp("eq", following, w.end)
            onward = w.at(source, "i8", w.channel)
            row.next(w.at(dst, "i8", w.to_row), w.select(wraps, onward, source), w.select(wraps, w.table, following))
        return w

    def mask_bits(self, mask: Value) -> Value:
        """The mask of a load as an integer."""
        f, lanes = self.f, self.lanes
        if self.way == "second":
            mask = f.shuffle(mask, constant(mask.type, 0), [n // 2 + lanes * (n % 2) for n in range(2 * lanes)])
        return as_bits(f, mask)

    def loader(self, w: Function):
        """How a vector of neighbouring positions is read, zero where the mask is not set."""
        element = self.element
        if self.way == "adjacent":
            return lambda source, mask: w.masked_load(element, source, mask)
        if self.way == "second":
            return lambda source, mask: w.shuffle(w.masked_load(element, source, mask), None,
                                                  list(range(0, self.width, 2)))
        offsets = w.strided_offsets(w.step, self.lanes)
        return lambda source, mask: self.gathered(w, source, offsets, mask)

    def gathered(self, w: Function, source: Value, offsets: Value, mask: Value) -> Value:
        kind, size = vector(self.element, self.lanes), SIZES[self.element]
        return w.call(kind, f"llvm.masked.gather.v{self.lanes}f{8 * size}.v{self.lanes}p0",
                      (w.at(source, "i8", offsets), f"align {size}"), mask, constant(kind, 0))

    def splat(self, number: Value) -> Value:
        return self.f.splat(self.f.cast("trunc", number, "i32"), self.lanes)

    def between(self, numbers: Value, count: Value) -> Value:
        """Lanes whose number is in [0, count)."""
        return self.f.icmp("ult", numbers, self.splat(count))

    def first_index(self, dim: int, position: Value) -> Value:
        f = self.f
        return f.add(f.mul(position, _along(f, dim, A_MOVE)), _along(f, dim, A_START))

    def inside(self, dim: int, index: Value) -> Value:
        return self.f.icmp("ult", index, _along(self.f, dim, A_SIZE))

    def offset(self, dim: int, index: Value) -> Value:
        return self.f.mul(index, _along(self.f, dim, A_STRIDE))


def _prefetch(f: Function, pointer: Value) -> None:
    """Asks for a line in the second-level cache; any address will do."""
    f.declared["llvm.prefetch.p0"] = "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"
    f.line(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 2, i32 1)")


def as_bits(f: Function, mask: Value) -> Value:
    return f.let(f"i{lanes_of(mask.type)}", f"bitcast {mask.typed} to i{lanes_of(mask.type)}")


def as_mask(f: Function, bits: Value) -> Value:
    return f.let(f"<{bits.type[1:]} x i1>", f"bitcast {bits.typed} to <{bits.type[1:]} x i1>")


def dynamic_alloca(f: Function, size: Value) -> Value:
    """Stack memory of a size that is a word."""
    value = Value(f"%{f.fresh('scratch')}", "ptr")
    f.head.append(f"  {value} = alloca i8, i64 {size}, align 64")
    return value


# --- whole operands ----------------------------------------------------------------------------------

def copy_call(out: Ref, kind: dtype, x: View) -> Call:
    """Copies x to packed, row-major memory at `out`, converted to `kind`."""
    dims = merged(x.shape, [x.strides])
    while len(dims) < 2:
        dims.insert(0, (1, (0,)))
    *outer, (runs, (apart,)), (inner, (stride,)) = dims
    table = [word for n, (s,) in reversed(outer) for word in (n, s * x.itemsize)]
    words = (x.ref, out, inner, stride, runs, apart * x.itemsize, len(outer), *table)
    code = copy_kernel(x.dtype.llvm, kind.llvm, "adjacent" if stride == 1 else "gather")
    units, work = prod(n for n, _ in outer), max(1, runs * inner)
    return Call(code, words, units, min(units, max(1, COPY_GRAIN // work)), f"copy {'x'.join(map(str, x.shape))}",
                bytes=units * work * (x.itemsize + kind.itemsize))


COPY_GRAIN = 8192       # elements that are not worth waking a thread


def merged(sizes, strides) -> list[tuple[int, tuple[int, ...]]]:
    """(size, stride in each layout) of dimensions, joined where all layouts allow; none of size 1."""
    dims: list[tuple[int, tuple[int, ...]]] = []
    for n, *steps in zip(sizes, *strides, strict=True):
        if n == 1:
            continue
        if dims and all(before == n * step for before, step in zip(dims[-1][1], steps, strict=True)):
            n *= dims.pop()[0]
        dims.append((n, tuple(steps)))
    return dims or [(1, tuple(1 for _ in strides))]


@cache
def copy_kernel(source: str, target: str, way: str) -> Code:
    """A unit is one step of the outer dimensions: some runs of the last one."""
    f = Function(f"copy_{source}_{target}_{way}")
    with f.loop(f.lo, f.hi) as unit:
        offset, = table_offset(f, unit.index, f.word(6), 7, 2, [f.value(0)])
        written = f.mul(unit.index, f.mul(f.word(2), f.word(4)))
        places = f.at(f.word(0, "ptr"), "i8", offset), f.at(f.word(1, "ptr"), target, written)
        with f.loop(0, f.word(4), carried=places) as run:
            _copy_run(f, source, target, way, *run.values)
            run.next(f.at(run.values[0], "i8", f.word(5)), f.at(run.values[1], target, f.word(2)))
    return f.code()


def _copy_run(f: Function, source: str, target: str, way: str, read: Value, write: Value) -> None:
    stride = 1 if way == "adjacent" else f.word(3)
    with f.loop(0, f.word(2), LANES) as loop:
        mask = f.lane_mask(f.sub(f.word(2), loop.index))
        place = f.at(read, source, f.mul(loop.index, stride))
        value = f.load_strided(source, place, stride, mask=mask)
        if source != target:
            value = f.cast("fpext", value, target)
        f.masked_store(value, f.at(write, target, loop.index), mask)
