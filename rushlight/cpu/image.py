"""Images as operands of a contraction: (channel, taps) by (image, positions), zeros at the edges.

    read_image      A where either side is rows and the other k. Without padding it lies in the
                    image itself; else the lines that a block needs are copied with their borders
"""
from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

from ..compiler.kernel import Code, Ref
from ..compiler.sizes import larger, smaller
from .emit import SIZES, Function, Value, constant, iota, lanes_of, vector
from .micro import VECTOR_BYTES
from .pack import READ_PARAMS, fill_table

IMAGE, GROUP, BATCH, CHANNEL, TAPS = range(5)
ALONG = 5               # then for each of depth, height, width: the fields of `Along`
A_STRIDE, A_OUT, A_SIZE, A_MOVE, A_START, A_STEP, A_TAPS = range(7)
HEADER = 26             # then the words of one function
D, H, W = range(3)


class Along(NamedTuple):
    """One dimension: position p and tap t meet index p * move + start + t * step of `size`."""
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
        return smaller(0, (self.taps - 1) * self.step)

    def span(self, positions: int) -> int:
        """How many indices so many neighbouring positions touch."""
        return (positions - 1) * self.move + abs(larger(0, self.taps - 1) * self.step) + 1

    @property
    def inside(self) -> bool:
        """Whether no tap of any position is in the padding."""
        first = self.start + self.low
        return first >= 0 and first + self.span(self.out) <= self.size


class Image(NamedTuple):
    """[batch, channel, depth, height, width] and how windows move over it; strides in bytes."""
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
        return (self.ref, self.group, self.batch, self.channel, larger(1, self.taps),
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


# --- A: read where it is, or lines with borders ---------------------------------------------------

(POSITIONS_ARE_K, SLOT, SLOT_CHANNEL, SLOT_PLANE, SLOT_ROW, ROWS, COLS, LOW_H, LOW_W,
 ORIGIN) = range(HEADER, HEADER + 10)


class Lines(NamedTuple):
    """Bordered lines [plane][channel][depth tap][row][column] of the largest block."""
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
    return (*image.words(), int(positions_are_k), *lines.strides, lines.rows, lines.cols,
            high.low, wide.low, -high.low * row - wide.low * size)


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
        end = f.add(self.ck0, self.cks)
        self.channels = f.udiv(self.ck0, f.word(TAPS)), f.ceil_div(end, f.word(TAPS))
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
        return total(f, f.mul(number, f.word(BATCH)), f.mul(depth, reach(f, D, A_MOVE)),
                     f.mul(row, down), f.mul(column, right))

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
        f, size = self.f, SIZES[self.element]
        return f.mul(along(f, H, A_MOVE), f.word(SLOT_ROW)), f.mul(along(f, W, A_MOVE), size)

    def tap_steps(self):
        f = self.f
        return (f.word(SLOT_CHANNEL), f.word(SLOT_PLANE),
                f.mul(along(f, H, A_STEP), f.word(SLOT_ROW)),
                f.mul(along(f, W, A_STEP), self.size))

    def place(self, plane: Value, row: Value, column: Value) -> Value:
        f, (down, right) = self.f, self.steps()
        places = zip((plane, row, column), self.origin, strict=True)
        plane, row, column = (f.sub(at, first) for at, first in places)
        return total(f, f.mul(plane, f.word(SLOT)), f.mul(row, down), f.mul(column, right))

    def copy_planes(self) -> None:
        f = self.f
        plane0 = self.origin[0]
        end = f.ceil_div(f.add(self.first, self.count),
                         f.mul(along(f, H, A_OUT), along(f, W, A_OUT)))
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
        depth = self.index(D, depth, f.mul(tap, along(f, D, A_STEP)))
        row = self.index(H, self.origin[1], f.word(LOW_H))
        column = self.index(W, self.origin[2], f.word(LOW_W))
        inner = (f.mul(at, along(f, dim, A_STRIDE)) for dim, at in enumerate((depth, row, column)))
        place = total(f, f.mul(number, f.word(BATCH)), f.mul(channel, f.word(CHANNEL)), *inner)
        height = f.select(f.icmp("ult", depth, along(f, D, A_SIZE)), along(f, H, A_SIZE), 0)
        arguments = [dst, f.at(self.image, "i8", place), f.word(SLOT_ROW), along(f, H, A_STRIDE),
                     along(f, W, A_STRIDE), f.word(ROWS), f.word(COLS), height, row,
                     along(f, W, A_SIZE), column]
        copy = f.helper(f"copy_lines_{self.way}", self.copier)
        f.line(f"call void @{copy.name}({', '.join(a.typed for a in arguments)})")

    def index(self, dim: int, position: Value, beyond: Value) -> Value:
        """The index of the image that a position meets first, and `beyond`."""
        f = self.f
        return total(f, f.mul(position, along(f, dim, A_MOVE)), along(f, dim, A_START), beyond)

    def copier(self) -> Function:
        """rows x cols from (row, column) on of an image where [0, height) x [0, width) exists."""
        numbers = ("to_row", "from_row", "from_col", "rows", "cols", "height", "row", "width",
                   "column")
        g = Function(f"copy_lines_{self.way}",
                     (("ptr", "dst"), ("ptr", "source"), *(("i64", name) for name in numbers)))
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
