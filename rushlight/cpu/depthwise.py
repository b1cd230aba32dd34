"""Convolutions of few channels per group, depthwise above all, straight from lines of the image.

A unit is a tile of positions of one group in one image. The lines that it reads are copied with
their borders, columns parted by the stride; then a few rows of the output at a time are summed in
registers, vectors along the columns, every line loaded once for all rows that it meets, weights in
all lanes. An output is one chain of fma over (channel, tap plane, tap column, tap row). Volumes are
images of as many channels as a position meets planes.

The weight gradient holds a vector of sums for each tap while it walks the rows of an image; lanes,
images and parts of the batch are added in an order that follows from the shape.
"""
from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from ..compiler.kernel import Call, Code, Ref, View
from ..compiler.sizes import larger, smaller
from ..dtypes import dtype
from .contract import SMALL, Cut, Temp, balanced, ceil_div
from .emit import SIZES, Function, Value, constant, iota, vector
from .finish import Finisher
from .image import D, H, Image, W, gather_bytes
from .micro import VECTOR_BYTES
from .pack import call_word, dynamic_alloca

FEW = 4                 # channels and outputs of a group that are worth it
ROWS = 8                # of the output in registers
SUMS = 21               # vectors of sums in registers
GRAD_ROWS = 4           # of the output's gradient in registers
TAPS = 7                # rows of taps that code is unrolled for
LINE_BYTES = 1 << 15    # of a tile's lines, one channel: it should stay in the first-level cache
MOST_LINES = 1 << 19
MOST_COLS = 512         # of a tile
LEAST_COLS = 6          # narrower images leave too many lanes empty
MOST_SPREAD = 4         # by how much zeros between elements may multiply work
PARTED = 32             # (part, group) pairs to aim at in a weight gradient

(FINISH, FINISH_WORDS, X, X_BATCH, X_GROUP, X_CHANNEL, X_ROW, X_COL, HEIGHT, WIDTH, START_H,
 START_W, MOVE_H, MOVE_W, SPAN_H, INNER, OUTPUTS, OUT_H, OUT_W, TILE_ROWS, ROW_TILES, TILE_COLS,
 COL_TILES, GROUPS, LINE_PLANE, LINE_ROW, LINE_PHASE, PHASES, LINES_BYTES, ENTRIES, ROW_STEP,
 GROUP_STEP, SPREAD_H, SPREAD_W, OUT_D, MOVE_D, START_D, STEP_D, TAPS_D, DEPTH, X_PLANE) = range(41)
FIRST = 41              # the words of one kernel


class Kernel(NamedTuple):
    """What code is made for: rows of taps, and rows from position to position, tap to tap."""
    taps: int
    move: int
    step: int

    @property
    def unrolled(self) -> bool:
        return self.taps <= TAPS and self.move <= 2 and self.step <= 2

    def lines(self, rows: int) -> list[list[tuple[int, int]]]:
        """For each line of the image that so many rows meet: the (row, tap) pairs."""
        pairs = [(r, t) for r in range(rows) for t in range(self.taps)]
        count = (rows - 1) * self.move + (self.taps - 1) * self.step + 1
        return [[(r, t) for r, t in pairs if r * self.move + t * self.step == line]
                for line in range(count)]


class Weights(NamedTuple):
    """[group, output, channel, tap row, tap column] anywhere in memory; strides in bytes."""
    ref: Ref
    strides: tuple[int, int, int, int, int]
    deep: int = 0           # the stride from one plane of taps to the next


class Plan(NamedTuple):
    """A tiling, the lines of its tiles and the code's parameters."""
    image: Image
    inner: int
    outputs: int
    rows: Cut
    cols: Cut
    kernel: Kernel
    itemsize: int
    spread: tuple[int, int]     # zeros stand between rows and columns: every so many-th is there

    @property
    def phases(self) -> int:
        wide = self.image.along[W]
        return larger(1, smaller(wide.move, (wide.taps - 1) * wide.step + 1))

    @property
    def phase_bytes(self) -> int:
        wide = self.image.along[W]
        far = (wide.taps - 1) * wide.step // wide.move * self.itemsize
        return ceil_div(self.cols.tile * self.itemsize + far, VECTOR_BYTES) * VECTOR_BYTES \
            + VECTOR_BYTES

    @property
    def plane_bytes(self) -> int:
        return self.image.along[H].span(self.rows.tile) * self.phases * self.phase_bytes

    @property
    def unrolled(self) -> Kernel:
        return Kernel(*map(int, self.kernel)) if self.kernel.unrolled else Kernel(1, 1, 1)

    @property
    def planes(self) -> int:
        """That a position meets, of all channels."""
        return self.inner * self.image.along[D].taps

    def entries(self, planes: int) -> list[tuple[int, int, int, int]]:
        """(byte offset in the lines, plane, tap row, tap column) of what the code walks over."""
        high, wide = self.image.along[H:]
        rows = range(1) if self.kernel.unrolled else range(high.taps)
        return [(i * self.plane_bytes + h * high.step * self.phases * self.phase_bytes
                 + w * wide.step % wide.move * self.phase_bytes
                 + w * wide.step // wide.move * self.itemsize, i, h, w)
                for i in range(planes) for h in rows for w in range(wide.taps)]

    def words(self, finish: Finisher, first: int, groups: int, entries: int) -> tuple:
        """The words that all kernels share."""
        image, (deep, high, wide) = self.image, self.image.along
        row = self.phases * self.phase_bytes
        unrolled = self.kernel.unrolled
        return (finish.code, first, image.ref, image.batch, image.group, image.channel,
                high.stride, wide.stride, high.size, wide.size, high.start, wide.start, high.move,
                wide.move, high.span(0), self.planes, self.outputs, high.out, wide.out,
                self.rows.tile, self.rows.pieces, self.cols.tile, self.cols.pieces,
                groups, self.plane_bytes, row, self.phase_bytes, self.phases,
                self.planes * self.plane_bytes + self.phase_bytes, entries,
                row if unrolled else row * high.move, row * high.move, *self.spread,
                deep.out, deep.move, deep.start, deep.step, deep.taps, deep.size, deep.stride)

    @property
    def way(self) -> str:
        """How neighbouring columns of lines are read."""
        wide = self.image.along[W]
        if self.spread != (1, 1):
            return "spread"
        known = {1: "adjacent", 2: "second"} if wide.stride == self.itemsize else {}
        return known.get(wide.move, "gather")


def direct(image: Image, inner: int, outputs: int, itemsize: int,
           spread: tuple[int, int] = (1, 1)) -> Plan | None:
    """How to do it directly; None where that is not possible or not worth it."""
    deep, high, wide = image.along
    if deep.taps < 1 or deep.step < 1 or not 1 <= inner <= FEW or outputs > FEW or wide.out < LEAST_COLS:
        return None
    if image.taps < 2 or 0 in (deep.out, high.out) or smaller(high.step, wide.step) < 1:
        return None
    cols = balanced(wide.out, MOST_COLS, VECTOR_BYTES // itemsize)
    cols = cols if cols.pieces > 1 else Cut(wide.out, 1, wide.out)
    made = Plan(image, inner, outputs, Cut(high.out, 1, 1), cols,
                Kernel(high.taps, high.move, high.step), itemsize, spread)
    row = made.phases * made.phase_bytes
    most = larger(ROWS, (LINE_BYTES // (row * deep.taps) - high.span(0)) // high.move)
    made = made._replace(rows=balanced(high.out, most, smaller(ROWS, high.out)))
    return made if made.planes * made.plane_bytes <= MOST_LINES else None


def may_spread(stride) -> tuple[int, int] | None:
    """Strides of an input gradient that zeros between what it reads are cheap enough for."""
    pair = (1, *stride)[-2:]
    fits = len(stride) <= 2 and all(s in (1, 2, 4) for s in pair)
    return pair if fits and 1 < pair[0] * pair[1] <= MOST_SPREAD else None


def upright(image: Image, w: Weights) -> tuple[Image, Weights]:
    """The same with taps that walk forwards through the image."""
    along, strides, offset = list(image.along), [*w.strides, w.deep], 0
    for dim, tap in ((D, 5), (H, 3), (W, 4)):
        a = along[dim]
        if a.step < 0 or a.taps < 2:
            last = larger(0, a.taps - 1)
            along[dim] = a._replace(start=a.start + last * a.step, step=larger(1, abs(a.step)))
            offset, strides[tap] = offset + last * strides[tap], -strides[tap]
    return (image._replace(along=(*along,)),
            Weights(Ref(w.ref.slot, w.ref.offset + offset), (*strides[:5],), strides[5]))


def _grain(units: int, work: int) -> int:
    return smaller(units, larger(1, units * SMALL // larger(1, work)))


# --- forward and input gradient -------------------------------------------------------------------

WEIGHTS, W_GROUP, W_OUTPUT, W_ROW, TILE_BYTES, TILE_STRIDE, TABLE = range(FIRST, FIRST + 7)


def over_planes(p: Plan, w: Weights, images: int, groups: int, kind: dtype, result: Finisher,
                note: str) -> Call:
    """out[n, (group, output), position] = sum over (channel, taps), through the finisher."""
    (group, output, inner, row, col), deep = w.strides, p.image.along[D]
    table = [word for at, i, h, t in p.entries(p.planes)
             for word in (at, i // deep.taps * inner + i % deep.taps * w.deep + h * row + t * col)]
    tile = p.rows.tile * p.cols.tile * p.itemsize
    own = (w.ref, group, output, row, p.outputs * tile + VECTOR_BYTES, tile, *table)
    words = p.words(result, FIRST + len(own), groups, len(table) // 2)
    units = images * deep.out * groups * p.rows.pieces * p.cols.pieces
    work = images * groups * p.inner * p.outputs * p.image.positions * p.image.taps
    return Call(forward_kernel(kind.llvm, p.way, p.unrolled), (*words, *own, *result.words), units,
                _grain(units, work), f"{note}, direct", flops=2 * work)


@cache
def forward_kernel(element: str, way: str, kernel: Kernel) -> Code:
    """A unit is (image, group, tile of rows, tile of columns)."""
    f = Function(f"depthwise_{element}")
    lines, tile = (dynamic_alloca(f, f.word(w)) for w in (LINES_BYTES, TILE_BYTES))
    with f.loop(f.lo, f.hi) as unit:
        rest, w0, cols = _piece(f, unit.index, COL_TILES, TILE_COLS, OUT_W)
        rest, h0, rows = _piece(f, rest, ROW_TILES, TILE_ROWS, OUT_H)
        image, group = f.udiv(rest, f.word(GROUPS)), f.urem(rest, f.word(GROUPS))
        _copy_lines(f, element, way, lines, (image, group, h0, rows, w0))
        start = f.at(f.word(WEIGHTS, "ptr"), "i8", f.mul(group, f.word(W_GROUP)))
        with f.loop(0, f.word(OUTPUTS), carried=[start, tile], nonempty=True) as output:
            _all_rows(f, element, kernel, lines, *output.values, rows, cols)
            output.next(f.at(output.values[0], "i8", f.word(W_OUTPUT)),
                        f.at(output.values[1], "i8", f.word(TILE_STRIDE)))
        _finish(f, element, tile, group, image, h0, rows, w0, cols)
    return f.code()


def _piece(f: Function, index, tiles: int, tile: int, total: int):
    """(rest of the index, start and size of the piece)."""
    start = f.mul(f.urem(index, f.word(tiles)), f.word(tile))
    return f.udiv(index, f.word(tiles)), start, f.umin(f.word(tile), f.sub(f.word(total), start))


def _finish(f: Function, element: str, tile: Value, group, image, h0, rows, w0, cols) -> None:
    """The tile goes to the finisher: at once if its rows lie end to end, else row by row."""
    words = f.at(f.args, "i64", f.word(FINISH_WORDS))
    whole = f.icmp("eq", f.word(COL_TILES), 1)
    count, length = f.select(whole, 1, rows), f.select(whole, f.mul(rows, cols), cols)
    first = f.mul(f.add(f.mul(image, f.word(OUT_H)), h0), f.word(OUT_W))
    with f.loop(0, count, carried=[tile, f.add(first, w0)], nonempty=True) as run:
        call_word(f, "void", FINISH, [words, run.values[0], f.word(TILE_STRIDE), group, 0,
                                      f.word(OUTPUTS), run.values[1], length])
        run.next(f.at(run.values[0], element, length), f.add(run.values[1], f.word(OUT_W)))


ROWS_PARAMS = (("ptr", "image"), ("i64", "row"), ("ptr", "places"), ("i64", "entries"),
               ("ptr", "weights"), ("i64", "down"), ("ptr", "out"), ("i64", "cols"))


def _all_rows(f: Function, element: str, kernel: Kernel, lines, weights, tile, rows, cols) -> None:
    """Rows in balanced groups of at most ROWS."""
    groups = f.ceil_div(rows, ROWS)
    small, larger = f.udiv(rows, groups), f.urem(rows, groups)
    table = f.at(f.args, "i64", TABLE)
    with f.loop(0, groups, carried=[lines, tile], nonempty=True) as group:
        line, out = group.values
        count = f.add(small, f.cast("zext", f.icmp("ult", group.index, larger), "i64"))
        dispatch(f, count, range(1, ROWS + 1), lambda n: _rows(element, kernel, n), "rows",
                  [line, f.word(ROW_STEP), table, f.word(ENTRIES), weights, f.word(W_ROW), out,
                   cols])
        group.next(f.at(line, "i8", f.mul(count, f.word(GROUP_STEP))),
                   f.at(out, element, f.mul(count, cols)))


def dispatch(f: Function, key: Value, cases, make, name: str, arguments) -> None:
    """Calls the helper made for the case that `key` is."""
    stem, done = f.fresh("case"), f.fresh("called")
    labels = " ".join(f"i64 {n}, label %{stem}.{n}" for n in cases)
    f.line(f"switch {key.typed}, label %{done} [ {labels} ]")
    for n in cases:
        f.label(f"{stem}.{n}")
        helper = f.helper(f"{name}{n}", lambda n=n: make(n))
        f.line(f"call void @{helper.name}({', '.join(f.value(a).typed for a in arguments)})")
        f.jump(done)
    f.label(done)


def _rows(element: str, kernel: Kernel, rows: int) -> Function:
    """`rows` rows of the output, a vector of columns of each at a time."""
    f = Function(f"rows{rows}", ROWS_PARAMS)
    size = SIZES[element]
    lanes = VECTOR_BYTES // size
    with f.loop(0, f.cols, lanes, nonempty=True) as col:
        source = f.at(f.image, element, col.index)
        zeros = [constant(vector(element, lanes), 0)] * rows
        with f.loop(0, f.entries, carried=[f.places, *zeros], nonempty=True) as loop:
            place, *sums = loop.values
            _add_taps(f, element, kernel, source, place, sums)
            loop.next(f.at(place, "i64", 2), *sums)
        mask = f.lane_mask(f.sub(f.cols, col.index), lanes)
        out = f.at(f.out, element, col.index)
        for value in loop.results[1:]:
            f.masked_store(value, out, mask)
            out = f.at(out, element, f.cols)
    return f


def _add_taps(f: Function, element: str, kernel: Kernel, source: Value, place: Value, sums) -> None:
    """One column of taps, every line loaded once."""
    lanes = VECTOR_BYTES // SIZES[element]
    line = f.at(source, "i8", f.load("i64", place))
    weight, weights = f.at(f.weights, "i8", f.load("i64", f.at(place, "i64", 1))), []
    for _ in range(kernel.taps):
        weights.append(f.load_splat(element, weight, lanes))
        weight = f.at(weight, "i8", f.down)
    for users in kernel.lines(len(sums)):
        value = f.load_vector(element, line, lanes) if users else None
        for row, tap in users:
            sums[row] = f.fma(value, weights[tap], sums[row])
        line = f.at(line, "i8", f.row)


# --- lines ----------------------------------------------------------------------------------------

COPY_PARAMS = (("ptr", "dst"), ("ptr", "source"), *(("i64", name) for name in (
    "to_row", "to_phase", "from_row", "from_col", "rows", "bytes", "phases", "move", "height",
    "row", "width", "column")))


def _copy_lines(f: Function, element: str, way: str, lines: Value, place) -> None:
    """What a tile reads of all channels of its group, zero where there is no image."""
    if way == "spread":
        return _spread_lines(f, element, lines, place)
    image, group, h0, rows, w0 = place
    row = f.add(f.mul(h0, f.word(MOVE_H)), f.word(START_H))
    col = f.add(f.mul(w0, f.word(MOVE_W)), f.word(START_W))
    count = f.add(f.mul(rows, f.word(MOVE_H)), f.word(SPAN_H))
    start = f.at(_image_start(f, image, group), "i8",
                 f.add(f.mul(row, f.word(X_ROW)), f.mul(col, f.word(X_COL))))
    copy = f.helper(f"copy_lines_{way}", lambda: _copier(element, way))
    with _each_plane(f, image, lines, start) as (to, source, height):
        arguments = [to, source, *map(f.word, (LINE_ROW, LINE_PHASE, X_ROW, X_COL)), count,
                     f.word(LINE_PHASE), f.word(PHASES), f.word(MOVE_W), height, row,
                     f.word(WIDTH), col]
        f.line(f"call void @{copy.name}({', '.join(a.typed for a in arguments)})")


def _image_start(f: Function, image, group) -> Value:
    """Where the channels of a group begin; an image is a plane of positions."""
    batch = f.mul(f.udiv(image, f.word(OUT_D)), f.word(X_BATCH))
    return f.at(f.word(X, "ptr"), "i8", f.add(batch, f.mul(group, f.word(X_GROUP))))


@contextmanager
def _each_plane(f: Function, image, lines: Value, start: Value):
    """Yields (lines, source, height) for each plane that is met; outside of the image it has no rows."""
    front = f.add(f.mul(f.urem(image, f.word(OUT_D)), f.word(MOVE_D)), f.word(START_D))
    with f.loop(0, f.word(INNER), carried=[lines], nonempty=True) as plane:
        depth = f.add(front, f.mul(f.urem(plane.index, f.word(TAPS_D)), f.word(STEP_D)))
        channel = f.mul(f.udiv(plane.index, f.word(TAPS_D)), f.word(X_CHANNEL))
        height = f.select(f.icmp("ult", depth, f.word(DEPTH)), f.word(HEIGHT), 0)
        yield (plane.values[0], f.at(start, "i8", f.add(channel, f.mul(depth, f.word(X_PLANE)))), height)
        plane.next(f.at(plane.values[0], "i8", f.word(LINE_PLANE)))


def _copier(element: str, way: str) -> Function:
    """Rows from (row, column) on of an image where [0, height) x [0, width) exists, by phases."""
    g = Function(f"copy_lines_{way}", COPY_PARAMS)
    apart = g.mul(g.move, g.from_col)
    with g.loop(0, g.rows, carried=[g.dst, g.source], nonempty=True) as row:
        live = g.select(g.icmp("ult", g.add(g.row, row.index), g.height), g.width, 0)
        copy = _copy_pairs if way == "second" else _copy_phases
        copy(g, element, way, *row.values, live, apart)
        row.next(g.at(row.values[0], "i8", g.to_row), g.at(row.values[1], "i8", g.from_row))
    return g


def _copy_phases(g: Function, element: str, way: str, dst, source, live, apart) -> None:
    """One line, a phase at a time."""
    lanes = VECTOR_BYTES // SIZES[element]
    with g.loop(0, g.phases, carried=[dst, source, g.column], nonempty=True) as phase:
        dst, source, column = phase.values
        with g.loop(0, g.bytes, VECTOR_BYTES, carried=[source, column], nonempty=True) as col:
            value = _read_columns(g, element, way, *col.values, live, apart)
            g.store(value, g.at(dst, "i8", col.index))
            col.next(g.at(col.values[0], "i8", g.mul(apart, lanes)),
                     g.add(col.values[1], g.mul(g.move, lanes)))
        phase.next(g.at(dst, "i8", g.to_phase), g.at(source, "i8", g.from_col), g.add(column, 1))


def _copy_pairs(g: Function, element: str, way: str, dst, source, live, apart) -> None:
    """One line, both phases; a second one that nobody wants is overwritten by the next line."""
    lanes = VECTOR_BYTES // SIZES[element]
    with g.loop(0, g.bytes, VECTOR_BYTES, carried=[source, g.column], nonempty=True) as col:
        both = _read_columns(g, element, way, *col.values, live, apart)
        for phase, place in enumerate((dst, g.at(dst, "i8", g.to_phase))):
            value = g.shuffle(both, None, list(range(phase, 2 * lanes, 2)))
            g.store(value, g.at(place, "i8", col.index))
        col.next(g.at(col.values[0], "i8", 2 * VECTOR_BYTES), g.add(col.values[1], 2 * lanes))


def _read_columns(g: Function, element: str, way: str, source, column, live, apart) -> Value:
    lanes = VECTOR_BYTES // SIZES[element]
    touched = lanes * (2 if way == "second" else 1)
    numbers = iota(vector("i32", touched))
    if way == "gather":
        numbers = g.mul(numbers, g.splat(g.cast("trunc", g.move, "i32"), lanes))
    columns = g.add(numbers, g.splat(g.cast("trunc", column, "i32"), touched))
    mask = g.icmp("ult", columns, g.splat(g.cast("trunc", live, "i32"), touched))
    if way == "gather":
        offsets = g.mul(iota(vector("i64", lanes)), g.splat(apart, lanes))
        return gather_bytes(g, element, source, offsets, mask)
    return g.masked_load(element, source, mask)


SPREAD_PARAMS = (("ptr", "dst"), ("ptr", "source"), *(("i64", name) for name in (
    "to_row", "from_row", "rows", "bytes", "height", "row", "width", "column", "high", "wide")))


def _spread_lines(f: Function, element: str, lines: Value, place) -> None:
    """The same where rows and columns of the image have zeros between them."""
    image, group, h0, rows, w0 = place
    spread = f.helper("spread_lines", lambda: _spreader(element))
    with _each_plane(f, image, lines, _image_start(f, image, group)) as (to, source, height):
        arguments = [to, source, f.word(LINE_ROW), f.word(X_ROW),
                     f.add(rows, f.word(SPAN_H)), f.word(LINE_PHASE), height,
                     f.add(h0, f.word(START_H)), f.word(WIDTH), f.add(w0, f.word(START_W)),
                     f.word(SPREAD_H), f.word(SPREAD_W)]
        f.line(f"call void @{spread.name}({', '.join(a.typed for a in arguments)})")


def _spreader(element: str) -> Function:
    """Lines of an image of which every high-th row and wide-th column is there."""
    g = Function("spread_lines", SPREAD_PARAMS)
    lanes = VECTOR_BYTES // SIZES[element]
    between = g.splat(g.cast("trunc", g.sub(g.wide, 1), "i32"), lanes)
    with g.loop(0, g.rows, carried=[g.dst], nonempty=True) as row:
        at = g.add(g.row, row.index)
        live = g.and_(g.icmp("ult", at, g.height), g.icmp("eq", g.urem(at, g.high), 0))
        line = g.at(g.source, "i8", g.mul(g.select(live, g.udiv(at, g.high), 0), g.from_row))
        width = g.splat(g.cast("trunc", g.select(live, g.width, 0), "i32"), lanes)
        with g.loop(0, g.bytes, VECTOR_BYTES, carried=[g.column], nonempty=True) as col:
            column = col.values[0]
            columns = g.add(iota(vector("i32", lanes)),
                            g.splat(g.cast("trunc", column, "i32"), lanes))
            mask = g.and_(g.icmp("ult", columns, width),
                          g.icmp("eq", g.and_(columns, between), 0))
            first = g.ceil_div(g.smax(column, 0), g.wide)
            g.store(_expanded(g, element, g.at(line, element, first), mask),
                    g.at(row.values[0], "i8", col.index))
            col.next(g.add(column, lanes))
        row.next(g.at(row.values[0], "i8", g.to_row))
    return g


def _expanded(g: Function, element: str, source: Value, mask: Value) -> Value:
    """Neighbours in memory go to the lanes that are set, zeros to the others."""
    lanes = VECTOR_BYTES // SIZES[element]
    type = vector(element, lanes)
    return g.call(type, f"llvm.masked.expandload.v{lanes}f{8 * SIZES[element]}", source, mask,
                  constant(type, 0))


# --- weight gradient ------------------------------------------------------------------------------

(SUMS_AT, G, G_BATCH, G_PLANE, G_GROUP, G_CHANNEL, G_ROW, IMAGES, PART_IMAGES, CHANNEL_SUMS, SUM_ROW,
 CHUNK, OFFSETS) = range(FIRST, FIRST + 13)
(R_FINISH, R_WORDS, R_SUMS, R_PARTS, R_PART, R_GROUP, R_OUTPUTS, R_DEPTH, R_TILE) = range(9)
R_HEADER = 9


def weight_grad(p: Plan, g: View, images: int, groups: int, kind: dtype, result: Finisher,
                temp: Temp, note: str) -> list[Call]:
    """dw[(group, output), (channel, taps)] = sum over (n, position); g has packed rows."""
    taps, size, deep = p.image.taps, kind.itemsize, p.image.along[D]
    depth, offsets = p.inner * taps, [at for at, *_ in p.entries(1)]
    images *= deep.out
    images_each = larger(1, ceil_div(images, ceil_div(PARTED, groups)))
    parts, group = larger(1, ceil_div(images, images_each)), p.outputs * depth * VECTOR_BYTES
    sums = temp(parts * groups * group)
    batch, channel, *inner = (s * size for s in g.strides)
    plane, row, _ = (0, 0, *inner)[-3:]
    kernel = p.unrolled
    own = (sums, g.ref, batch, plane, p.outputs * channel, channel, row, images, images_each,
           taps // deep.taps * VECTOR_BYTES, len(offsets) * VECTOR_BYTES,
           ceil_div(len(offsets), ceil_div(len(offsets), SUMS // kernel.taps)), *offsets)
    words = p.words(result, 0, groups, len(offsets))
    work = images // deep.out * groups * p.outputs * p.inner * p.image.positions * taps
    units = parts * groups
    head = (result.code, R_HEADER, sums, parts, groups * group, group, p.outputs, depth,
            p.outputs * depth * size + VECTOR_BYTES)
    return [Call(grad_kernel(kind.llvm, p.way, kernel), (*words, *own), units,
                 _grain(units, work), f"{note}, direct", flops=2 * work),
            Call(fold_kernel(kind.llvm), (*head, *result.words), groups,
                 larger(1, SMALL // (16 * parts * p.outputs * depth)), f"{note}, adding lanes")]


@cache
def grad_kernel(element: str, way: str, kernel: Kernel) -> Code:
    """A unit is (part of the images, group)."""
    f = Function(f"depthwise_grad_{element}")
    lines = dynamic_alloca(f, f.word(LINES_BYTES))
    with f.loop(f.lo, f.hi) as unit:
        part, group = f.udiv(unit.index, f.word(GROUPS)), f.urem(unit.index, f.word(GROUPS))
        pairs = f.mul(f.word(OUTPUTS), f.word(INNER))
        size = f.mul(pairs, f.word(CHANNEL_SUMS))
        sums = f.at(f.word(SUMS_AT, "ptr"), "i8", f.mul(unit.index, size))
        with f.loop(0, size, VECTOR_BYTES) as at:
            lanes = VECTOR_BYTES // SIZES[element]
            f.store(constant(vector(element, lanes), 0), f.at(sums, "i8", at.index))
        first = f.mul(part, f.word(PART_IMAGES))
        last = f.umin(f.add(first, f.word(PART_IMAGES)), f.word(IMAGES))
        tiles = f.mul(f.word(ROW_TILES), f.word(COL_TILES))
        with f.loop(first, last) as image, f.loop(0, tiles) as tile:
            _grad_tile(f, element, way, kernel, lines, sums, image.index, group, tile.index)
    return f.code()


def _grad_tile(f: Function, element, way, kernel, lines, sums, image, group, tile) -> None:
    """What one tile of positions gives to all pairs of channels."""
    rest, w0, cols = _piece(f, tile, COL_TILES, TILE_COLS, OUT_W)
    _, h0, rows = _piece(f, rest, ROW_TILES, TILE_ROWS, OUT_H)
    _copy_lines(f, element, way, lines, (image, group, h0, rows, w0))
    n, plane = f.udiv(image, f.word(OUT_D)), f.urem(image, f.word(OUT_D))
    at = f.add(f.add(f.mul(n, f.word(G_BATCH)), f.mul(plane, f.word(G_PLANE))),
               f.add(f.mul(group, f.word(G_GROUP)), f.mul(h0, f.word(G_ROW))))
    place = f.at(f.at(f.word(G, "ptr"), "i8", at), element, w0)
    with f.loop(0, f.word(OUTPUTS), carried=[place, sums], nonempty=True) as output:
        with f.loop(0, f.word(INNER), carried=[lines, output.values[1]], nonempty=True) as inner:
            _grad_chunks(f, element, kernel, *inner.values, output.values[0], rows, cols)
            inner.next(f.at(inner.values[0], "i8", f.word(LINE_PLANE)),
                       f.at(inner.values[1], "i8", f.word(CHANNEL_SUMS)))
        output.next(f.at(output.values[0], "i8", f.word(G_CHANNEL)), inner.results[1])


GRAD_PARAMS = (("ptr", "image"), ("i64", "row"), ("i64", "group"), ("ptr", "offsets"), ("ptr", "g"),
               ("i64", "g_row"), ("i64", "rows"), ("i64", "cols"), ("ptr", "sums"),
               ("i64", "down"))


def _grad_chunks(f: Function, element, kernel, lines, sums, g, rows, cols) -> None:
    """A few columns of taps at a time, whose sums are in registers."""
    with f.loop(0, f.word(ENTRIES), f.word(CHUNK), nonempty=True) as chunk:
        count = f.umin(f.word(CHUNK), f.sub(f.word(ENTRIES), chunk.index))
        offsets = f.at(f.at(f.args, "i64", OFFSETS), "i64", chunk.index)
        place = f.at(sums, "i8", f.mul(chunk.index, VECTOR_BYTES))
        dispatch(f, count, range(1, SUMS // kernel.taps + 1),
                  lambda n: _grad_rows(element, kernel, n), "taps",
                  [lines, f.word(ROW_STEP), f.word(GROUP_STEP), offsets, g, f.word(G_ROW), rows,
                   cols, place, f.word(SUM_ROW)])


def _grad_rows(element: str, kernel: Kernel, taps: int) -> Function:
    """The sums of `taps` columns of taps over a tile, added to those in memory."""
    f = Function(f"taps{taps}", GRAD_PARAMS)
    lanes = VECTOR_BYTES // SIZES[element]
    offsets = [f.load("i64", f.at(f.offsets, "i64", t)) for t in range(taps)]
    sums = [constant(vector(element, lanes), 0)] * (taps * kernel.taps)
    many = f.sub(f.rows, f.urem(f.rows, GRAD_ROWS))
    with f.loop(0, f.cols, lanes, carried=sums, nonempty=True) as col:
        mask = f.lane_mask(f.sub(f.cols, col.index), lanes)
        state = [f.at(f.image, element, col.index), f.at(f.g, element, col.index), *col.values]
        for first, last, step in ((0, many, GRAD_ROWS), (many, f.rows, 1)):
            with f.loop(first, last, step, carried=state) as row:
                row.next(*_add_products(f, element, kernel, offsets, step, mask, row.values))
            state = row.results
        col.next(*state[2:])
    _add_to_sums(f, col.results, kernel.taps, taps)
    return f


def _add_products(f: Function, element, kernel, offsets, rows: int, mask, state) -> list[Value]:
    """The next few rows; masked lanes are zero on both sides, whatever the image holds there."""
    line, g, *sums = state
    after, wide, gradients = f.at(line, "i8", f.mul(f.group, rows)), len(offsets), []
    for _ in range(rows):
        gradients.append(f.masked_load(element, g, mask))
        g = f.at(g, "i8", f.g_row)
    for users in kernel.lines(rows):
        for t, offset in enumerate(offsets if users else ()):
            value = f.masked_load(element, f.at(line, "i8", offset), mask)
            for row, tap in users:
                at = tap * wide + t
                sums[at] = f.fma(value, gradients[row], sums[at])
        line = f.at(line, "i8", f.row)
    return [after, g, *sums]


def _add_to_sums(f: Function, values, rows: int, cols: int) -> None:
    place = f.sums
    for row in range(rows):
        for col in range(cols):
            value, at = values[row * cols + col], f.at(place, "i8", col * VECTOR_BYTES)
            f.store(f.fadd(f.load(value.type, at), value), at)
        place = f.at(place, "i8", f.down)


@cache
def fold_kernel(element: str) -> Code:
    """A unit is a group: parts are added in order, then lanes by halves; then to the finisher."""
    f = Function(f"depthwise_fold_{element}")
    tile, type = dynamic_alloca(f, f.word(R_TILE)), vector(element, VECTOR_BYTES // SIZES[element])
    with f.loop(f.lo, f.hi) as unit:
        start = f.at(f.word(R_SUMS, "ptr"), "i8", f.mul(unit.index, f.word(R_GROUP)))
        with f.loop(0, f.mul(f.word(R_OUTPUTS), f.word(R_DEPTH)), nonempty=True) as at:
            first = f.at(start, "i8", f.mul(at.index, VECTOR_BYTES))
            with f.loop(1, f.word(R_PARTS), carried=[f.load(type, first), first]) as part:
                place = f.at(part.values[1], "i8", f.word(R_PART))
                part.next(f.fadd(part.values[0], f.load(type, place)), place)
            f.store(f.fold_lanes(part.results[0], f.fadd), f.at(tile, element, at.index))
        row = f.mul(f.word(R_DEPTH), SIZES[element])
        call_word(f, "void", R_FINISH, [f.at(f.args, "i64", f.word(R_WORDS)), tile, row, unit.index,
                                        0, f.word(R_OUTPUTS), 0, f.word(R_DEPTH)])
    return f.code()
