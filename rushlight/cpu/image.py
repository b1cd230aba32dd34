"""Images as operands of a contraction: (channel, taps) by (image, positions), zeros around the edges.

    read_image      A where either side is rows and the other k. Without padding it lies in the image
                    itself; else the lines that a block needs are copied with their borders
    pack_patches    B whose columns are positions: every tap of every position is copied
"""
from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

from ..compiler.kernel import Code, Ref
from .emit import SIZES, Function, Value, constant, iota, lanes_of, vector
from .micro import PANEL_BYTES, VECTOR_BYTES, VECTORS
from .pack import PACK_PARAMS, READ_PARAMS, dynamic_alloca, fill_table

IMAGE, GROUP, BATCH, CHANNEL, TAPS = range(5)
ALONG = 5               # then for each of depth, height, width: the fields of `Along`
A_STRIDE, A_OUT, A_SIZE, A_MOVE, A_START, A_STEP, A_TAPS = range(7)
HEADER = 26             # then the words of one function
D, H, W = range(3)


class Along(NamedTuple):
    """One spatial dimension: position p and tap t read index p * move + start + t * step, if in [0, size)."""
    stride: int             # of the image, in bytes
    out: int                # number of positions
    size: int
    move: int
    start: int
    step: int
    taps: int

    @property
    def low(self) -> int:
        """The least of the taps' distances from the first one."""
        return min(0, (self.taps - 1) * self.step)

    def span(self, positions: int) -> int:
        """How many indices so many neighbouring positions touch."""
        return (positions - 1) * self.move + abs(max(0, self.taps - 1) * self.step) + 1

    @property
    def inside(self) -> bool:
        """Whether no tap of any position is in the padding."""
        first = self.start + self.low
        return first >= 0 and first + self.span(self.out) <= self.size


class Image(NamedTuple):
    """A tensor [batch, channel, depth, height, width] and how windows move over it; strides in bytes."""
    ref: Ref
    group: int
    batch: int
    channel: int
    along: tuple[Along, Along, Along]

    @property
    def taps(self) -> int:
        return prod(a.taps for a in self.along)

    @property
    def positions(self) -> int:
        """Of one image."""
        return prod(a.out for a in self.along)

    def words(self) -> tuple:
        return (self.ref, self.group, self.batch, self.channel, max(1, self.taps),
                *(field for along in self.along for field in along))


def along(f: Function, dim: int, field: int) -> Value:
    return f.word(ALONG + 7 * dim + field)


def reach(f: Function, dim: int, field: int) -> Value:
    """Bytes in the image from one position (A_MOVE), tap (A_STEP) or the first index (A_START)."""
    return f.mul(along(f, dim, field), along(f, dim, A_STRIDE))


def total(f: Function, *terms):
    """Their sum."""
    result = 0
    for term in terms:
        result = f.add(result, term)
    return result


# --- A: read where it is, or lines with borders ------------------------------------------------------

POSITIONS_ARE_K, SLOT, SLOT_CHANNEL, SLOT_PLANE, SLOT_ROW, ROWS, COLS, LOW_H, LOW_W, ORIGIN = range(HEADER, HEADER + 10)


class Lines(NamedTuple):
    """Bordered lines of a block: [plane][channel][depth tap][row][column], sizes for the largest block."""
    planes: int
    channels: int
    depths: int
    rows: int
    cols: int
    itemsize: int

    @property
    def strides(self) -> tuple[int, int, int, int]:
        row = -(-self.cols * self.itemsize // VECTOR_BYTES) * VECTOR_BYTES
        plane = (row * self.rows // VECTOR_BYTES | 1) * VECTOR_BYTES
        return plane * self.depths * self.channels, plane * self.depths, plane, row

    @property
    def bytes(self) -> int:
        return self.planes * self.strides[0]


def image_words(image: Image, positions_are_k: bool, lines: Lines | None) -> tuple:
    """The words of `read_image`; lines None: in place."""
    if lines is None:
        return (*image.words(), int(positions_are_k), *[0] * 9)
    _, high, wide = image.along
    row, size = lines.strides[3], lines.itemsize
    return (*image.words(), int(positions_are_k), *lines.strides, lines.rows, lines.cols, high.low, wide.low,
            -high.low * row - wide.low * size)


def image_way(image: Image, itemsize: int) -> str:
    if all(a.inside for a in image.along):
        return "place"
    return "adjacent" if image.along[W].stride == itemsize else "gather"


@cache
def read_image(element: str, way: str) -> Code:
    """way: "place", or how the columns of copied lines lie in the image, "adjacent" or "gather"."""
    f = Function(f"read_image_{way}_{element}", READ_PARAMS, "ptr")
    reader = (InPlace if way == "place" else Bordered)(f, element, way)
    reader.fill_positions()
    reader.fill_taps()
    f.give_back(reader.base())
    return f.code()


class InPlace:
    """Emits a reader that only fills the tables."""

    def __init__(self, f: Function, element: str, way: str):
        self.f, self.element, self.way = f, element, way
        swap = f.icmp("ne", f.word(POSITIONS_ARE_K), 0)
        self.first, self.count = f.select(swap, f.k0, f.r0), f.select(swap, f.kc, f.rows)
        self.position_table = f.select(swap, f.k_table, f.row_table)
        self.ck0, self.cks = f.select(swap, f.r0, f.k0), f.select(swap, f.rows, f.kc)
        self.tap_table = f.select(swap, f.row_table, f.k_table)
        self.channels = f.udiv(self.ck0, f.word(TAPS)), f.ceil_div(f.add(self.ck0, self.cks), f.word(TAPS))
        self.image = f.at(f.word(IMAGE, "ptr"), "i8", f.mul(f.batch, f.word(GROUP)))
        self.column_step = self.steps()[1]

    def base(self) -> Value:
        f = self.f
        starts = [reach(f, dim, A_START) for dim in (D, H, W)]
        return f.at(self.image, "i8", total(f, f.mul(self.channels[0], f.word(CHANNEL)), *starts))

    def steps(self):
        """Bytes between rows and between columns of positions."""
        return reach(self.f, H, A_MOVE), reach(self.f, W, A_MOVE)

    def tap_steps(self):
        """Bytes between channels and between taps."""
        return self.f.word(CHANNEL), *(reach(self.f, dim, A_STEP) for dim in (D, H, W))

    def place(self, plane: Value, row: Value, column: Value) -> Value:
        f, (down, right) = self.f, self.steps()
        number, depth = f.udiv(plane, along(f, D, A_OUT)), f.urem(plane, along(f, D, A_OUT))
        return total(f, f.mul(number, f.word(BATCH)), f.mul(depth, reach(f, D, A_MOVE)), f.mul(row, down),
                     f.mul(column, right))

    def split(self, position: Value):
        """(plane, row, column) of a position."""
        f = self.f
        column, rest = f.urem(position, along(f, W, A_OUT)), f.udiv(position, along(f, W, A_OUT))
        return f.udiv(rest, along(f, H, A_OUT)), f.urem(rest, along(f, H, A_OUT)), column

    def fill_positions(self) -> None:
        """A run of the table for each row of positions."""
        f = self.f
        with f.loop(0, self.count) as run:
            plane, row, column = self.split(f.add(self.first, run.index))
            length = f.umin(f.sub(along(f, W, A_OUT), column), f.sub(self.count, run.index))
            table = f.at(self.position_table, "i64", run.index)
            fill_table(f, table, length, self.place(plane, row, column), self.column_step)
            run.step = length

    def fill_taps(self) -> None:
        """All taps of every channel in the block; the first and last channel may stick out."""
        f, (channel, deep, down, right) = self.f, self.tap_steps()
        first, last = self.channels
        table = f.at(self.tap_table, "i64", f.sub(f.mul(first, f.word(TAPS)), self.ck0))
        with f.loop(first, last, carried=[table, 0]) as c:
            with f.loop(0, along(f, D, A_TAPS), carried=[c.values[0], c.values[1]]) as d:
                with f.loop(0, along(f, H, A_TAPS), carried=[d.values[0], d.values[1]]) as h:
                    fill_table(f, h.values[0], along(f, W, A_TAPS), h.values[1], right)
                    h.next(f.at(h.values[0], "i64", along(f, W, A_TAPS)), f.add(h.values[1], down))
                d.next(h.results[0], f.add(d.values[1], deep))
            c.next(d.results[0], f.add(c.values[1], channel))


class Bordered(InPlace):
    """Emits a reader that copies the lines of its block first, zero where there is no image."""

    def __init__(self, f: Function, element: str, way: str):
        super().__init__(f, element, way)
        self.lanes, self.size = VECTOR_BYTES // SIZES[element], SIZES[element]
        self.origin = self.split(self.first)
        self.copy_planes()

    def base(self) -> Value:
        return self.f.at(self.f.dst, "i8", self.f.word(ORIGIN))

    def steps(self):
        f = self.f
        return f.mul(along(f, H, A_MOVE), f.word(SLOT_ROW)), f.mul(along(f, W, A_MOVE), SIZES[self.element])

    def tap_steps(self):
        f = self.f
        return (f.word(SLOT_CHANNEL), f.word(SLOT_PLANE), f.mul(along(f, H, A_STEP), f.word(SLOT_ROW)),
                f.mul(along(f, W, A_STEP), self.size))

    def place(self, plane: Value, row: Value, column: Value) -> Value:
        f, (down, right) = self.f, self.steps()
        plane, row, column = (f.sub(a, b) for a, b in zip((plane, row, column), self.origin, strict=True))
        return total(f, f.mul(plane, f.word(SLOT)), f.mul(row, down), f.mul(column, right))

    def copy_planes(self) -> None:
        f = self.f
        plane0 = self.origin[0]
        end = f.ceil_div(f.add(self.first, self.count), f.mul(along(f, H, A_OUT), along(f, W, A_OUT)))
        with f.loop(plane0, end, carried=[f.dst]) as plane:
            with f.loop(*self.channels, carried=[plane.values[0]]) as channel:
                with f.loop(0, along(f, D, A_TAPS)) as tap:
                    dst = f.at(channel.values[0], "i8", f.mul(tap.index, f.word(SLOT_PLANE)))
                    self.copy_plane(plane.index, channel.index, tap.index, dst)
                channel.next(f.at(channel.values[0], "i8", f.word(SLOT_CHANNEL)))
            plane.next(f.at(plane.values[0], "i8", f.word(SLOT)))

    def copy_plane(self, plane: Value, channel: Value, tap: Value, dst: Value) -> None:
        f = self.f
        number, depth = f.udiv(plane, along(f, D, A_OUT)), f.urem(plane, along(f, D, A_OUT))
        depth = total(f, f.mul(depth, along(f, D, A_MOVE)), along(f, D, A_START), f.mul(tap, along(f, D, A_STEP)))
        row, column = (total(f, f.mul(at, along(f, dim, A_MOVE)), along(f, dim, A_START), f.word(low))
                       for at, dim, low in zip(self.origin[1:], (H, W), (LOW_H, LOW_W), strict=True))
        places = (f.mul(number, f.word(BATCH)), f.mul(channel, f.word(CHANNEL)),
                  *(f.mul(at, along(f, dim, A_STRIDE)) for dim, at in ((D, depth), (H, row), (W, column))))
        source = f.at(self.image, "i8", total(f, *places))
        copy = f.helper(f"copy_lines_{self.way}", self.copier)
        arguments = [dst, source, f.word(SLOT_ROW), along(f, H, A_STRIDE), along(f, W, A_STRIDE), f.word(ROWS),
                     f.word(COLS), f.select(f.icmp("ult", depth, along(f, D, A_SIZE)), along(f, H, A_SIZE), 0), row,
                     along(f, W, A_SIZE), column]
        f.line(f"call void @{copy.name}({', '.join(a.typed for a in arguments)})")

    def copier(self) -> Function:
        """rows x cols of an image from (row, column) on, of which only [0, height) x [0, width) exists."""
        g = Function(f"copy_lines_{self.way}", (
            ("ptr", "dst"), ("ptr", "source"), ("i64", "to_row"), ("i64", "from_row"), ("i64", "from_col"),
            ("i64", "rows"), ("i64", "cols"), ("i64", "height"), ("i64", "row"), ("i64", "width"), ("i64", "column")))
        offsets = g.mul(g.splat(g.from_col, self.lanes), iota(vector("i64", self.lanes)))
        with g.loop(0, g.rows, carried=[g.dst, g.source]) as row:
            live = g.select(g.icmp("ult", g.add(g.row, row.index), g.height), g.width, 0)
            limit = g.splat(g.cast("trunc", live, "i32"), self.lanes)
            with g.loop(0, g.cols, self.lanes, carried=row.values) as col:
                at = g.cast("trunc", g.add(g.column, col.index), "i32")
                columns = g.add(iota(vector("i32", self.lanes)), g.splat(at, self.lanes))
                mask = g.icmp("ult", columns, limit)
                g.store(self.load(g, col.values[1], offsets, mask), col.values[0])
                col.next(g.at(col.values[0], "i8", VECTOR_BYTES),
                         g.at(col.values[1], "i8", g.mul(g.from_col, self.lanes)))
            row.next(g.at(row.values[0], "i8", g.to_row), g.at(row.values[1], "i8", g.from_row))
        return g

    def load(self, g: Function, source: Value, offsets: Value, mask: Value) -> Value:
        if self.way == "adjacent":
            return g.masked_load(self.element, source, mask)
        return gather_bytes(g, self.element, source, offsets, mask)


def gather_bytes(f: Function, element: str, source: Value, offsets: Value, mask: Value) -> Value:
    """Lane l is at source + offsets[l] bytes, zero where `mask` is not set."""
    lanes, size = lanes_of(mask.type), SIZES[element]
    kind = vector(element, lanes)
    return f.call(kind, f"llvm.masked.gather.v{lanes}f{8 * size}.v{lanes}p0",
                  (f.at(source, "i8", offsets), f"align {size}"), mask, constant(kind, 0))


# --- B: patches --------------------------------------------------------------------------------------

PANEL, TABLE_BYTES = HEADER, HEADER + 1


def patch_words(image: Image, panel: int) -> tuple:
    return *image.words(), panel, 16 * max(1, image.taps)


def patch_way(image: Image, itemsize: int) -> str:
    """How neighbouring positions lie in memory: adjacent, every second, or anyhow."""
    width = image.along[W]
    return {itemsize: "adjacent", 2 * itemsize: "second"}.get(width.stride * width.move, "gather")


@cache
def pack_patches(element: str, way: str) -> Code:
    f = Function(f"pack_patches_{way}_{element}", PACK_PARAMS, "ptr")
    lanes = VECTOR_BYTES // SIZES[element]
    patch = Patch(f, element, way)
    with f.loop(0, f.ceil_div(f.rows, lanes)) as vectors:
        first = f.mul(vectors.index, lanes)
        place = f.add(f.mul(f.udiv(vectors.index, VECTORS), f.word(PANEL)),
                      f.mul(f.urem(vectors.index, VECTORS), VECTOR_BYTES))
        patch.vector(f.at(f.dst, "i8", place), f.add(f.r0, first), f.umin(f.sub(f.rows, first), lanes))
    f.give_back(f.dst)
    return f.code()


class Patch:
    """Emits one vector of positions for all (channel, tap) rows of a block.

    What is left after an output row ends is another segment. For each segment a table of
    (offset, mask) by tap is made first, then the rows are walked in memory order.
    """

    def __init__(self, f: Function, element: str, way: str):
        self.f, self.element, self.way = f, element, way
        self.image = f.at(f.word(IMAGE, "ptr"), "i8", f.mul(f.batch, f.word(GROUP)))
        self.lanes = VECTOR_BYTES // SIZES[element]
        self.iota = iota(vector("i32", self.lanes))
        self.width = self.lanes * (2 if way == "second" else 1)     # elements that a load may touch
        self.table = dynamic_alloca(f, f.word(TABLE_BYTES))
        self.channel = f.mul(f.udiv(f.k0, f.word(TAPS)), f.word(CHANNEL))
        self.first_tap = f.urem(f.k0, f.word(TAPS))

    def vector(self, dst: Value, position: Value, count: Value) -> None:
        """Cuts the vector where an output row ends."""
        f = self.f
        with f.loop(0, count, nonempty=True) as cut:
            at = f.add(position, cut.index)
            column, rest = f.urem(at, along(f, W, A_OUT)), f.udiv(at, along(f, W, A_OUT))
            run = f.umin(f.sub(along(f, W, A_OUT), column), f.sub(count, cut.index))
            own = self.between(f.sub(self.iota, self.splat(cut.index)), run)
            number = self.fill_table(cut.index, own, column, rest)
            self.fill_rows(dst, own, f.at(self.image, "i8", f.mul(number, f.word(BATCH))))
            cut.step = run

    def fill_table(self, lane: Value, own: Value, column: Value, rest: Value) -> Value:
        """(offset, mask) for each tap of the positions from `lane` on; gives the number of their image."""
        f = self.f
        row, rest = f.urem(rest, along(f, H, A_OUT)), f.udiv(rest, along(f, H, A_OUT))
        depth, number = f.urem(rest, along(f, D, A_OUT)), f.udiv(rest, along(f, D, A_OUT))
        start = [self.first_index(dim, at) for dim, at in enumerate((depth, row, column))]
        start[W] = f.sub(start[W], f.mul(lane, along(f, W, A_MOVE)))
        spread = f.mul(self.iota, self.splat(along(f, W, A_MOVE)))
        with f.loop(0, along(f, D, A_TAPS), carried=[self.table, start[D]]) as d:
            with f.loop(0, along(f, H, A_TAPS), carried=[d.values[0], start[H]]) as h:
                inside = f.and_(self.inside(D, d.values[1]), self.inside(H, h.values[1]))
                live = f.and_(own, f.splat(inside, self.lanes))
                line = f.add(self.offset(D, d.values[1]), self.offset(H, h.values[1]))
                with f.loop(0, along(f, W, A_TAPS), carried=[h.values[0], start[W]]) as w:
                    place, index = w.values
                    columns = f.add(spread, self.splat(index))
                    mask = f.and_(live, self.between(columns, along(f, W, A_SIZE)))
                    f.store(f.add(line, self.offset(W, index)), place)
                    f.store(self.mask_bits(mask), f.at(place, "i64", 1))
                    w.next(f.at(place, "i64", 2), f.add(index, along(f, W, A_STEP)))
                h.next(w.results[0], f.add(h.values[1], along(f, H, A_STEP)))
            d.next(h.results[0], f.add(d.values[1], along(f, D, A_STEP)))
        return number

    def fill_rows(self, dst: Value, own: Value, image: Value) -> None:
        f, taps = self.f, self.f.word(TAPS)
        walk = f.helper(f"walk_{self.way}", self.walker)
        end = f.at(self.table, "i8", f.mul(taps, 16))
        begin = f.at(self.table, "i8", f.mul(self.first_tap, 16))
        step = f.mul(along(f, W, A_STRIDE), along(f, W, A_MOVE))
        arguments = [self.table, end, begin, f.at(image, "i8", self.channel), f.word(CHANNEL), dst,
                     f.value(PANEL_BYTES), f.kc, as_bits(f, own), step]
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
        return lambda source, mask: gather_bytes(w, element, source, offsets, mask)

    def splat(self, number: Value) -> Value:
        return self.f.splat(self.f.cast("trunc", number, "i32"), self.lanes)

    def between(self, numbers: Value, count: Value) -> Value:
        """Lanes whose number is in [0, count)."""
        return self.f.icmp("ult", numbers, self.splat(count))

    def first_index(self, dim: int, position: Value) -> Value:
        f = self.f
        return f.add(f.mul(position, along(f, dim, A_MOVE)), along(f, dim, A_START))

    def inside(self, dim: int, index: Value) -> Value:
        return self.f.icmp("ult", index, along(self.f, dim, A_SIZE))

    def offset(self, dim: int, index: Value) -> Value:
        return self.f.mul(index, along(self.f, dim, A_STRIDE))


def _prefetch(f: Function, pointer: Value) -> None:
    """Asks for a line in the second-level cache; any address will do."""
    f.declared["llvm.prefetch.p0"] = "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"
    f.line(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 2, i32 1)")


def as_bits(f: Function, mask: Value) -> Value:
    return f.let(f"i{lanes_of(mask.type)}", f"bitcast {mask.typed} to i{lanes_of(mask.type)}")


def as_mask(f: Function, bits: Value) -> Value:
    return f.let(f"<{bits.type[1:]} x i1>", f"bitcast {bits.typed} to <{bits.type[1:]} x i1>")
