"""Depthwise convolutions with channels in lanes: right for any size of image.

A unit is a few rows of the output of 16 channels in one image. The lines of the image that it
reads are transposed (or, where channels are adjacent in memory, copied) to [column][16 channels]
with zeros at their ends; rows that do not exist are skipped. Some columns of the output at a time
are then summed in registers, over tap rows, then tap columns; and transposed on the way out.

The weight gradient adds up a vector for each tap, row by row of the output's gradient, so that no
chain of sums is long. What a strided input gradient reads has zeros between its columns.
"""
from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Code, Ref, View
from ..compiler.sizes import larger, smaller
from ..dtypes import float32
from .contract import Cut, Temp, balanced, ceil_div, in_parts
from .depthwise import Weights, dispatch
from .emit import Function, Value, constant
from .finish import Finisher
from .image import H, Image, W
from .micro import VECTOR_BYTES
from .pack import call_word, dynamic_alloca, transposed_quads, turn

COLS = 8                # of the output in registers
TAPS = 7                # columns of taps that code is unrolled for
TILE_BYTES = 1 << 16    # of a unit's output
MOST_BYTES = 1 << 19    # of what a unit holds
WIDE = 64               # columns of the output from which few taps are quicker along columns
FEW = 9
PARTED = 32             # (part, channels) pairs to aim at in a weight gradient
VECTOR = "<16 x float>"


class Kernel(NamedTuple):
    """What code is made for: columns of taps, and columns from position to position, tap to tap."""
    taps: int
    move: int
    step: int


class Lines(NamedTuple):
    """Lines of an image: where they are, and how they are laid out in a unit's memory."""
    ref: Ref
    batch: int
    channel: int
    row: int
    col: int
    height: int
    width: int
    start: int              # the column that the first place stands for
    places: int
    spread: int             # places from column to column

    @property
    def bytes(self) -> int:
        """Of a line; some more are written."""
        return (self.places + 4 * self.spread) * VECTOR_BYTES

    @property
    def way(self) -> str:
        return "columns" if self.col == 4 else "channels"

    @property
    def words(self) -> tuple:
        return *self, self.bytes


class Plan(NamedTuple):
    image: Image
    lines: Lines
    kernel: Kernel
    rows: Cut               # of the output
    channels: int
    spread: int             # rows of positions from row to row of the image

    @property
    def held(self) -> int:
        """Lines that a unit may need."""
        return smaller(self.image.along[H].size, self.image.along[H].span(self.rows.tile))

    @property
    def blocks(self) -> int:
        return ceil_div(self.channels, LANES)


def is_wide(image: Image) -> bool:
    """Whether lines are so long, and taps so few, that transposing would take most of the time."""
    return image.along[W].out >= WIDE and image.taps <= FEW and image.along[W].move == 1


def plan_of(image: Image, channels: int, kind, spread: tuple[int, int] = (1, 1)) -> Plan | None:
    """How to do it so; None where that is not possible. Sizes alone decide.

    `image` has upright taps; with `spread` its sizes are those with zeros between.
    """
    deep, high, wide = image.along
    plain = (deep.out, deep.taps, deep.size, deep.start) == (1, 1, 1, 0)
    if kind is not float32 or not plain or channels < LANES or 0 in (high.out, wide.out):
        return None
    known = wide.taps <= TAPS and wide.move <= 2 and wide.step <= 2 and high.step >= 1
    if not known or image.taps < 2 or spread != (1, 1) and (high.step, wide.step) != (1, 1):
        return None
    lines = Lines(image.ref, image.batch, image.channel, high.stride, wide.stride,
                  ceil_div(high.size, spread[0]), ceil_div(wide.size, spread[1]), wide.start,
                  wide.span(wide.out), spread[1])
    rows = balanced(high.out, larger(1, TILE_BYTES // (wide.out * VECTOR_BYTES)), 1)
    made = Plan(image, lines, Kernel(int(wide.taps), int(wide.move), int(wide.step)), rows, channels,
                spread[0])
    return made if made.held * lines.bytes <= MOST_BYTES else None


# --- lines ----------------------------------------------------------------------------------------

LINE_PARAMS = (("ptr", "args"), ("ptr", "dst"), ("i64", "image"), ("i64", "c0"), ("i64", "channels"),
               ("i64", "first"), ("i64", "last"))
(X, X_BATCH, X_CHANNEL, X_ROW, X_COL, HEIGHT, WIDTH, START, PLACES, SPREAD, LINE) = range(11)


@cache
def read_lines(way: str) -> Code:
    """Lines first to last of the image, end to end."""
    f = Function(f"read_lines_{way}", LINE_PARAMS)
    pointers = f.alloca("ptr", LANES)
    start = f.at(f.word(X, "ptr"), "i8", f.mul(f.image, f.word(X_BATCH)))
    for n in range(LANES):
        channel = f.add(f.c0, f.umin(n, f.sub(f.channels, 1)))
        f.store(f.at(start, "i8", f.mul(channel, f.word(X_CHANNEL))), f.at(pointers, "ptr", n))
    begin = f.ceil_div(f.smax(f.word(START), 0), f.word(SPREAD))
    limit = f.smax(f.add(f.word(START), f.word(PLACES)), 0)
    end = f.smax(begin, f.umin(f.word(WIDTH), f.ceil_div(limit, f.word(SPREAD))))
    places = (f.smin(f.smax(f.sub(f.mul(x, f.word(SPREAD)), f.word(START)), 0), f.word(PLACES))
              for x in (begin, end))
    low, high = places
    with f.loop(f.first, f.last, carried=[f.dst]) as line:
        dst = line.values[0]
        with f.when(f.icmp("ne", f.word(SPREAD), 1)):
            _fill_zeros(f, dst, low, high)
        source = f.mul(line.index, f.word(X_ROW))
        (_copy if way == "channels" else _transpose)(f, dst, pointers, source, begin, end)
        _fill_zeros(f, dst, 0, low)
        _fill_zeros(f, dst, high, f.word(PLACES))
        line.next(f.at(dst, "i8", f.word(LINE)))
    return f.code()


def _fill_zeros(f: Function, dst: Value, first, last) -> None:
    with f.loop(first, last) as place:
        f.store(constant(VECTOR, 0), f.at(dst, "i8", f.mul(place.index, VECTOR_BYTES)))


def _place(f: Function, dst: Value, column: Value) -> Value:
    """Where a column of the image goes."""
    place = f.sub(f.mul(column, f.word(SPREAD)), f.word(START))
    return f.at(dst, "i8", f.mul(place, VECTOR_BYTES))


def _transpose(f: Function, dst, pointers, source, begin, end) -> None:
    """Four columns at a time; what is stored past the last one is overwritten."""
    with f.loop(begin, end, 4) as quad:
        at = f.add(source, f.mul(quad.index, 4))
        rows = [f.at(f.load("ptr", f.at(pointers, "ptr", n)), "i8", at) for n in range(LANES)]
        place, step = _place(f, dst, quad.index), f.mul(f.word(SPREAD), VECTOR_BYTES)
        for column in transposed_quads(f, "float", rows):
            f.store(column, place)
            place = f.at(place, "i8", step)


def _copy(f: Function, dst, pointers, source, begin, end) -> None:
    start = f.load("ptr", pointers)
    with f.loop(begin, end) as column:
        at = f.add(source, f.mul(column.index, f.word(X_COL)))
        f.store(f.load(VECTOR, f.at(start, "i8", at)), _place(f, dst, column.index))


# --- forward and input gradient -------------------------------------------------------------------

(READ, READ_WORDS, TURN, FINISH, FINISH_WORDS, F_HEIGHT, OUT_H, OUT_W, ROWS, ROW_TILES, CHANNELS,
 BLOCKS, MOVE_H, START_H, STEP_H, TAPS_H, SPREAD_H, F_LINE, LINES_BYTES, TAP_COUNT, RESULT,
 RESULT_ROW) = range(22)
OWN = 22                # then the words of one kernel
WEIGHTS, W_CHANNEL, W_FIRST, W_STEP, TILE, TAPS_BYTES = range(OWN, OWN + 6)
HEADER = OWN + 6


def _words(p: Plan, header: int, result: Finisher, result_row: int) -> tuple:
    """The words that both kernels share; those of the lines come after the header."""
    _, high, wide = p.image.along
    return (read_lines(p.lines.way), header, turn("float"), result.code,
            header + len(p.lines.words), p.lines.height, high.out, wide.out, p.rows.tile,
            p.rows.pieces, p.channels, p.blocks, high.move, high.start, high.step, high.taps,
            p.spread, p.lines.bytes, p.held * p.lines.bytes + VECTOR_BYTES, p.image.taps,
            LANES * result_row, result_row)


def tap_step(w: Weights, image: Image) -> int | None:
    """Bytes from tap to tap if all lie side by side, forwards or backwards."""
    _, high, wide = image.along
    row, col = (int(s) for s in w.strides[3:])
    step = col if wide.taps > 1 else row
    fits = abs(step) == 4 and (wide.taps == 1 or high.taps == 1 or row == wide.taps * col)
    return step if fits else None


def over_channels(p: Plan, w: Weights, images: int, result: Finisher, note: str) -> Call:
    """out[n, channel, position] = sum over taps, through a finisher whose rows are channels."""
    taps, pixels = p.image.taps, p.rows.tile * p.image.along[W].out
    step = tap_step(w, p.image)
    flipped = step < 0
    start = Ref(w.ref.slot, w.ref.offset + (taps - 1) * step) if flipped else w.ref
    own = (start, w.strides[0], (taps - 1) * VECTOR_BYTES if flipped else 0,
           step // 4 * VECTOR_BYTES, (pixels + LANES) * VECTOR_BYTES, (taps + 8) * VECTOR_BYTES)
    words = _words(p, HEADER, result, _padded(pixels))
    work = images * p.channels * p.image.positions * taps
    return Call(forward_kernel(p.kernel), (*words, *own, *p.lines.words, *result.words),
                images * p.blocks * p.rows.pieces, 1, f"{note}, by channels", flops=2 * work)


def _padded(count: int) -> int:
    """Bytes of so many numbers that are stored as whole vectors, not a power of two."""
    return (ceil_div(count, LANES) + 1) * VECTOR_BYTES


@cache
def forward_kernel(kernel: Kernel) -> Code:
    """A unit is (image, 16 channels, tile of rows)."""
    f = Function("depthwise_channels")
    lines, tile, result, taps = (dynamic_alloca(f, f.word(n)) for n in (
        LINES_BYTES, TILE, RESULT, TAPS_BYTES))
    with f.loop(f.lo, f.hi) as unit:
        r0, rows = _piece(f, f.urem(unit.index, f.word(ROW_TILES)), ROWS, OUT_H)
        rest = f.udiv(unit.index, f.word(ROW_TILES))
        image, c0 = f.udiv(rest, f.word(BLOCKS)), f.mul(f.urem(rest, f.word(BLOCKS)), LANES)
        channels = f.umin(f.sub(f.word(CHANNELS), c0), LANES)
        _read_taps(f, taps, c0, channels)
        first, last = _lines_of(f, r0, rows)
        call_word(f, "void", READ, [f.at(f.args, "i64", f.word(READ_WORDS)), lines, image, c0,
                                    channels, first, last])
        with f.loop(0, rows, carried=[tile], nonempty=True) as row:
            _row(f, kernel, lines, taps, row.values[0], f.add(r0, row.index), first)
            row.next(f.at(row.values[0], "i8", f.mul(f.word(OUT_W), VECTOR_BYTES)))
        pixels = f.mul(rows, f.word(OUT_W))
        call_word(f, "void", TURN, [tile, VECTOR_BYTES, pixels, LANES, result, f.word(RESULT_ROW)])
        position = f.mul(f.add(f.mul(image, f.word(OUT_H)), r0), f.word(OUT_W))
        call_word(f, "void", FINISH, [f.at(f.args, "i64", f.word(FINISH_WORDS)), result,
                                      f.word(RESULT_ROW), 0, c0, channels, position, pixels])
    return f.code()


def _piece(f: Function, number, tile: int, total: int):
    start = f.mul(number, f.word(tile))
    return start, f.umin(f.word(tile), f.sub(f.word(total), start))


def _read_taps(f: Function, dst: Value, c0: Value, channels: Value) -> None:
    """The taps of 16 channels in the order in which they are met, [tap][channel]."""
    start = f.at(f.word(WEIGHTS, "ptr"), "i8", f.mul(c0, f.word(W_CHANNEL)))
    rows = [f.at(start, "i8", f.mul(f.umin(n, f.sub(channels, 1)), f.word(W_CHANNEL)))
            for n in range(LANES)]
    step = f.word(W_STEP)
    with f.loop(0, f.word(TAP_COUNT), 4, nonempty=True) as quad:
        place = f.at(dst, "i8", f.add(f.word(W_FIRST), f.mul(quad.index, step)))
        place = f.at(place, "i8", 4 * VECTOR_BYTES)         # the last quad may stand out below
        at = f.mul(quad.index, 4)
        for tap in transposed_quads(f, "float", [f.at(row, "i8", at) for row in rows]):
            f.store(tap, place)
            place = f.at(place, "i8", step)


def _lines_of(f: Function, r0: Value, rows: Value):
    """First and last + 1 of the image's rows that rows r0 to r0 + rows may meet."""
    first = f.add(f.mul(r0, f.word(MOVE_H)), f.word(START_H))
    span = f.add(f.mul(f.sub(rows, 1), f.word(MOVE_H)),
                 f.add(f.mul(f.sub(f.word(TAPS_H), 1), f.word(STEP_H)), 1))
    low, high = (f.umin(f.ceil_div(f.smax(at, 0), f.word(SPREAD_H)), f.word(F_HEIGHT))
                 for at in (first, f.add(first, span)))
    return low, high


def _tap_rows(f: Function, row: Value):
    """(first tap that meets a row of the image, first that is past it, taps between two, row)."""
    top = f.add(f.mul(row, f.word(MOVE_H)), f.word(START_H))
    every = f.word(SPREAD_H)
    low = f.ceil_div(f.smax(f.sub(0, top), 0), f.word(STEP_H))
    met = f.add(top, f.mul(low, f.word(STEP_H)))
    low = f.add(low, f.sub(f.mul(f.ceil_div(met, every), every), met))
    beyond = f.smax(f.sub(f.mul(f.word(F_HEIGHT), every), top), 0)
    high = f.umin(f.word(TAPS_H), f.ceil_div(beyond, f.word(STEP_H)))
    line = f.udiv(f.add(top, f.mul(low, f.word(STEP_H))), every)
    return low, high, line


ROW_PARAMS = (("ptr", "source"), ("i64", "line_step"), ("ptr", "taps"), ("i64", "tap_step"),
              ("i64", "number"), ("ptr", "out"))


def _row(f: Function, kernel: Kernel, lines, taps, out, row: Value, first: Value) -> None:
    """A row of the output, balanced groups of columns at a time."""
    low, high, line = _tap_rows(f, row)
    every = f.word(SPREAD_H)
    count = f.udiv(f.add(f.smax(f.sub(high, low), 0), f.sub(every, 1)), every)
    source = f.at(lines, "i8", f.mul(f.sub(line, first), f.word(F_LINE)))
    line_step = f.mul(f.word(STEP_H), f.word(F_LINE))
    start = f.at(f.at(taps, "i8", 4 * VECTOR_BYTES), "i8",
                 f.mul(low, kernel.taps * VECTOR_BYTES))
    tap_step = f.mul(every, kernel.taps * VECTOR_BYTES)
    groups = f.ceil_div(f.word(OUT_W), COLS)
    small, larger_ones = f.udiv(f.word(OUT_W), groups), f.urem(f.word(OUT_W), groups)
    with f.loop(0, groups, carried=[source, out], nonempty=True) as group:
        cols = f.add(small, f.cast("zext", f.icmp("ult", group.index, larger_ones), "i64"))
        dispatch(f, cols, range(1, COLS + 1), lambda n: _columns(kernel, n), "columns",
                 [group.values[0], line_step, start, tap_step, count, group.values[1]])
        group.next(f.at(group.values[0], "i8", f.mul(cols, kernel.move * VECTOR_BYTES)),
                   f.at(group.values[1], "i8", f.mul(cols, VECTOR_BYTES)))


def _columns(kernel: Kernel, cols: int) -> Function:
    """Some columns of the output, summed over tap rows, then tap columns."""
    f = Function(f"columns{cols}", ROW_PARAMS)
    zeros = [constant(VECTOR, 0)] * cols
    with f.loop(0, f.number, carried=[f.source, f.taps, *zeros]) as tap:
        line, weights, *sums = tap.values
        _add_taps(f, kernel, line, weights, sums)
        tap.next(f.at(line, "i8", f.line_step), f.at(weights, "i8", f.tap_step), *sums)
    for n, value in enumerate(tap.results[2:]):
        f.store(value, f.at(f.out, "i8", n * VECTOR_BYTES))
    return f


def _add_taps(f: Function, kernel: Kernel, line: Value, weights: Value, sums: list) -> None:
    """One row of taps; each place of the line is loaded once."""
    taps = [f.load(VECTOR, f.at(weights, "i8", t * VECTOR_BYTES)) for t in range(kernel.taps)]
    for place, users in _users(kernel, len(sums)):
        value = f.load(VECTOR, f.at(line, "i8", place * VECTOR_BYTES))
        for col, tap in users:
            sums[col] = f.fma(value, taps[tap], sums[col])


def _users(kernel: Kernel, cols: int):
    """For each place that so many columns meet: the (column, tap) pairs."""
    pairs = [(c, t) for c in range(cols) for t in range(kernel.taps)]
    for place in range((cols - 1) * kernel.move + (kernel.taps - 1) * kernel.step + 1):
        users = [(c, t) for c, t in pairs if c * kernel.move + t * kernel.step == place]
        if users:
            yield place, users


# --- weight gradient ------------------------------------------------------------------------------

G_READ, G_READ_WORDS, G_LINE, G_LINES_BYTES, IMAGES, PART_IMAGES, SUMS_BYTES = range(OWN, OWN + 7)
G_HEADER = OWN + 7
BLOCK = 4               # columns of the output's gradient at a time


def grad_over_channels(p: Plan, g: View, result: Finisher, temp: Temp, note: str) -> list[Call]:
    """dw[channel, tap] = sum over (n, position), through a finisher whose rows are channels."""
    images, (batch, channel, *inner) = g.shape[0], (s * g.itemsize for s in g.strides)
    wide, taps = p.image.along[W], p.image.taps
    row, col = (0, *inner)[-2:]
    lines = Lines(g.ref, batch, channel, row, col, p.image.along[H].out, wide.out, 0, wide.out, 1)
    each = larger(1, ceil_div(images, ceil_div(PARTED, p.blocks)))
    parts, keep, after = ceil_div(images, each), result, []
    if parts > 1:
        keep, add = in_parts(float32, parts, 1, p.channels, taps, result, temp, note)
        after.append(add)
    words = _words(p, G_HEADER, keep, _padded(taps))
    own = (read_lines(lines.way), G_HEADER + len(p.lines.words) + len(keep.words), lines.bytes,
           p.rows.tile * lines.bytes + VECTOR_BYTES, images, each, (taps + LANES) * VECTOR_BYTES)
    work = images * p.channels * p.image.positions * taps
    return [Call(grad_kernel(p.kernel), (*words, *own, *p.lines.words, *keep.words, *lines.words),
                 parts * p.blocks, 1, f"{note}, by channels", flops=2 * work), *after]


@cache
def grad_kernel(kernel: Kernel) -> Code:
    """A unit is (part of the images, 16 channels)."""
    f = Function("depthwise_channels_grad")
    lines, gradients, sums, result = (dynamic_alloca(f, f.word(n)) for n in (
        LINES_BYTES, G_LINES_BYTES, SUMS_BYTES, RESULT))
    with f.loop(f.lo, f.hi) as unit:
        part, c0 = f.udiv(unit.index, f.word(BLOCKS)), f.urem(unit.index, f.word(BLOCKS))
        c0 = f.mul(c0, LANES)
        channels = f.umin(f.sub(f.word(CHANNELS), c0), LANES)
        _fill_zeros(f, sums, 0, f.word(TAP_COUNT))
        start, count = _piece(f, part, PART_IMAGES, IMAGES)
        with f.loop(start, f.add(start, count)) as image, f.loop(0, f.word(ROW_TILES)) as tile:
            r0, rows = _piece(f, tile.index, ROWS, OUT_H)
            first, last = _lines_of(f, r0, rows)
            for read, words, dst, low, high in (
                    (READ, READ_WORDS, lines, first, last),
                    (G_READ, G_READ_WORDS, gradients, r0, f.add(r0, rows))):
                call_word(f, "void", read, [f.at(f.args, "i64", f.word(words)), dst, image.index,
                                            c0, channels, low, high])
            _add_rows(f, kernel, lines, gradients, sums, r0, rows, first)
        call_word(f, "void", TURN, [sums, VECTOR_BYTES, f.word(TAP_COUNT), LANES, result,
                                    f.word(RESULT_ROW)])
        call_word(f, "void", FINISH, [f.at(f.args, "i64", f.word(FINISH_WORDS)), result,
                                      f.word(RESULT_ROW), part, c0, channels, 0,
                                      f.word(TAP_COUNT)])
    return f.code()


def _add_rows(f: Function, kernel: Kernel, lines, gradients, sums, r0, rows, first) -> None:
    """Every row of the gradient with every row of the image that it meets."""
    add = f.helper("add_row", lambda: _add_row(kernel))
    with f.loop(0, rows, carried=[gradients], nonempty=True) as row:
        low, high, line = _tap_rows(f, f.add(r0, row.index))
        source = f.at(lines, "i8", f.mul(f.sub(line, first), f.word(F_LINE)))
        width = kernel.taps * VECTOR_BYTES
        with f.loop(low, high, carried=[source, f.at(sums, "i8", f.mul(low, width))]) as tap:
            f.line(f"call void @{add.name}({tap.values[0].typed}, {row.values[0].typed}, "
                   f"{f.word(OUT_W).typed}, {tap.values[1].typed})")
            tap.next(f.at(tap.values[0], "i8", f.mul(f.word(STEP_H), f.word(F_LINE))),
                     f.at(tap.values[1], "i8", width))
        row.next(f.at(row.values[0], "i8", f.word(G_LINE)))


def _add_row(kernel: Kernel) -> Function:
    """sums[tap] += sum over columns of g[column] * source[column * move + tap * step]."""
    f = Function("add_row", (("ptr", "source"), ("ptr", "g"), ("i64", "cols"), ("ptr", "sums")))
    chains = 2 if kernel.taps < BLOCK else 1        # the fma units want more than three
    state = [f.source, f.g, *[constant(VECTOR, 0)] * (kernel.taps * chains)]
    many = f.sub(f.cols, f.urem(f.cols, BLOCK))
    for first, last, step in ((0, many, BLOCK), (many, f.cols, 1)):
        with f.loop(first, last, step, carried=state) as block:
            source, g, *sums = block.values
            _add_products(f, kernel, source, g, step, sums)
            block.next(f.at(source, "i8", step * kernel.move * VECTOR_BYTES),
                       f.at(g, "i8", step * VECTOR_BYTES), *sums)
        state = block.results
    for t in range(kernel.taps):
        total, place = state[2 + t], f.at(f.sums, "i8", t * VECTOR_BYTES)
        for chain in range(1, chains):
            total = f.fadd(total, state[2 + chain * kernel.taps + t])
        f.store(f.fadd(f.load(VECTOR, place), total), place)
    return f


def _add_products(f: Function, kernel: Kernel, source, g, cols: int, sums: list) -> None:
    gradients = [f.load(VECTOR, f.at(g, "i8", n * VECTOR_BYTES)) for n in range(cols)]
    for place, users in _users(kernel, cols):
        value = f.load(VECTOR, f.at(source, "i8", place * VECTOR_BYTES))
        for col, tap in users:
            at = (tap + kernel.taps * col) % len(sums)
            sums[at] = f.fma(value, gradients[col], sums[at])
