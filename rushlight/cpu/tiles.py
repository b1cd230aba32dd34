"""The transforms of Winograd's F(4x4, 3x3) and F(4x4, 2x2): to where products are taken and back.

A tile is 4x4 of the output, what it reads of the image (6x6 or 5x5), or, in a weight gradient, 4x4
of the output's gradient. Polynomials are evaluated at some points and infinity along both sides;
xi counts the pairs of points:

    read_tiles      v[xi][tile][channel] from an image: B d B', or A g A' from a gradient
    read_weights    u[xi][panel of outputs][channel][32] from weights: G w G'
    write_tiles     A' m A of m[xi][tile][output], through a finisher
    write_weights   G' d G of d[xi][channel][output], through a finisher

Lanes are channels (or outputs), so any size of image fills them, and all arithmetic is between
whole vectors; images and weights are transposed on their way in, results on their way out.
"""
from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple

from ..compiler.kernel import LANES, Code
from .emit import Function, Value, constant
from .image import Along
from .micro import PANEL_BYTES, VECTOR_BYTES
from .pack import call_word, transposed_quads

TILE = 4                            # outputs of a tile along a side
RUN = 8                             # neighbouring tiles that are transformed together
VECTOR = "<16 x float>"
Matrix = tuple[tuple[float, ...], ...]


# --- along one side -------------------------------------------------------------------------------

class Method(NamedTuple):
    """For so many taps along a side: the points, 0 first if it is one, then p and -p in pairs.

    Rows of all matrices stand for points, the last one for infinity; that of -p is that of p with
    the odd columns negated.
    """
    taps: int
    points: tuple[float, ...]

    @property
    def side(self) -> int:
        return TILE + self.taps - 1

    @property
    def xi(self) -> int:
        return self.side ** 2

    @property
    def pairs(self) -> range:
        """The rows of positive points."""
        return range(len(self.points) % 2, len(self.points), 2)

    @property
    def image(self) -> Matrix:
        """B: row i is the product of (x - point) over the other points, infinity's over all."""
        rows = [_product(self.others(i)) + (0.0,) for i in range(len(self.points))]
        for i in self.pairs:
            rows[i + 1] = tuple(-c if n % 2 else c for n, c in enumerate(rows[i]))
        return *rows, _product(self.points)

    @property
    def weight(self) -> Matrix:
        """G: powers of each point over the product of its distances from the others."""
        scales = []
        for i, p in enumerate(self.points):
            scales.append(1.0)
            for q in self.others(i):
                scales[i] *= p - q
        for i in self.pairs:
            scales[i + 1] = scales[i]
        rows = zip(self.powers(self.taps), [*scales, 1.0], strict=True)
        return tuple(tuple(c / scale for c in row) for row, scale in rows)

    @property
    def output(self) -> Matrix:
        """A: powers of each point."""
        return self.powers(TILE)

    def powers(self, count: int) -> Matrix:
        infinity = (0.0,) * (count - 1) + (1.0,)
        return *(tuple(p ** n for n in range(count)) for p in self.points), infinity

    def others(self, i: int) -> tuple[float, ...]:
        return self.points[:i] + self.points[i + 1:]


def _product(roots: tuple[float, ...]) -> tuple[float, ...]:
    """The coefficients of the product of (x - root), the constant first."""
    made = (1.0,)
    for root in roots:
        made = tuple(low - root * high
                     for low, high in zip((0.0, *made), (*made, 0.0), strict=True))
    return made


def _mirrored(*points: float) -> tuple[float, ...]:
    return tuple(q for p in points for q in (p, -p))


METHODS = {     # points that give few rounding errors, tried out
    3: Method(3, (0.0, *_mirrored(2 / 3, 3 / 2))),
    2: Method(2, _mirrored(0.4, 1.2)),
}


def _dot(f: Function, coefficients, values: list[Value]) -> Value:
    """Their sum of products; ones first, they cost no multiplication."""
    terms = [(c, v) for c, v in zip(coefficients, values, strict=True) if abs(c) > 1e-9]
    terms.sort(key=lambda term: not _is_one(term[0]))
    (c, total), *rest = terms
    total = total if _is_one(c) else f.fmul(total, c)
    for c, v in rest:
        total = f.fadd(total, v) if _is_one(c) else f.fma(_splat(c), v, total)
    return total


def _is_one(number: float) -> bool:
    return abs(number - 1) < 1e-9


def evaluate(f: Function, method: Method, matrix: Matrix, x: list[Value]) -> list[Value]:
    """matrix @ x."""
    results = [_dot(f, matrix[n], x) for n in range(method.pairs.start)]
    for row in (matrix[n] for n in method.pairs):
        even = _dot(f, row[::2], x[::2])
        scale = [c for c in row[1::2] if abs(c) > 1e-9][-1]
        odd = _dot(f, [c / scale for c in row[1::2]], x[1::2])
        results += [f.fma(_splat(scale), odd, even), f.fma(_splat(-scale), odd, even)]
    return [*results, _dot(f, matrix[-1], x)]


def gather(f: Function, method: Method, matrix: Matrix, m: list[Value]) -> list[Value]:
    """matrix' @ m."""
    sums = [(f.fadd(*m[n:n + 2]), f.fsub(*m[n:n + 2])) for n in method.pairs]
    single = [*range(method.pairs.start), len(m) - 1]
    results = []
    for col in range(len(matrix[0])):
        rows, values = [*method.pairs, *single], [pair[col % 2] for pair in sums]
        results.append(_dot(f, [matrix[row][col] for row in rows],
                            values + [m[n] for n in single]))
    return results


def _both_sides(f: Function, way, method: Method, matrix: Matrix,
                columns: list[list[Value]]) -> list[list[Value]]:
    """matrix @ x @ matrix' as rows (or with matrix' and matrix), x given by columns."""
    half = [way(f, method, matrix, column) for column in columns]
    return [way(f, method, matrix, list(row)) for row in zip(*half, strict=True)]


def _splat(number: float) -> Value:
    return constant(VECTOR, number)


# --- where tiles are ------------------------------------------------------------------------------

def _run(f: Function, tile: Value, left: Value, high: int, wide: int):
    """((image, tile row, tile column), neighbours from there on); `high`, `wide`: words."""
    col, rest = f.urem(tile, f.word(wide)), f.udiv(tile, f.word(wide))
    length = f.umin(f.umin(f.sub(f.word(wide), col), left), RUN)
    return (f.udiv(rest, f.word(high)), f.urem(rest, f.word(high)), col), length


# --- tiles of an image ----------------------------------------------------------------------------

READ_PARAMS = (("ptr", "args"), ("ptr", "dst"), ("i64", "row"), ("i64", "xi"), ("i64", "t0"),
               ("i64", "tiles"), ("i64", "c0"), ("i64", "channels"))
(X, X_BATCH, X_CHANNEL, X_ROW, X_COL, X_CHANNELS, HEIGHT, WIDTH, START_H, START_W, HIGH, WIDE,
 X_DEEP, OUT_D, MOVE_D, FIRST_D, DEPTH) = range(17)
LINE = TILE * RUN + max(METHODS) - 1 + 4    # pixels of a line: those of a run, and overrun


def tile_words(ref, batch: int, channel: int, along: tuple[Along, Along, Along],
               channels: int) -> tuple:
    """The words of `read_tiles`: strides in bytes, sizes, and how tiles cover the positions."""
    deep, high, wide = along
    return (ref, batch, channel, high.stride, wide.stride, channels, high.size, wide.size,
            high.start, wide.start, -(-high.out // TILE), -(-wide.out // TILE), deep.stride,
            deep.out, deep.move, deep.start, deep.size)


@cache
def read_tiles(taps: int, of: str, way: str) -> Code:
    """of: "image" or "gradient"; way: columns are adjacent in memory, every second, or channels."""
    f = Function(f"read_{of}_tiles{taps}_{way}", READ_PARAMS)
    side = METHODS[taps].side if of == "image" else TILE
    lines = f.alloca("float", side * LINE * LANES)
    pointers = f.alloca("ptr", LANES)
    with f.loop(0, f.tiles, nonempty=True) as run:
        (plane, *place), length = _run(f, f.add(f.t0, run.index), f.sub(f.tiles, run.index), HIGH,
                                       WIDE)
        run.step = length
        pixels = f.add(f.mul(length, TILE), side - TILE)
        dst = f.at(f.dst, "i8", f.mul(run.index, f.row))
        image, height = _plane(f, plane)
        with f.loop(0, f.channels, LANES, nonempty=True) as block:
            _point_at_channels(f, pointers, image, f.add(f.c0, block.index))
            _fill_lines(f, side, way, lines, pointers, (*place, height), pixels)
            _transform_run(f, METHODS[taps], of, lines, length, f.at(dst, "float", block.index))
    return f.code()


def _plane(f: Function, number: Value):
    """(address of the plane that this one of the output meets, its height: none if there is none)."""
    index = f.add(f.mul(f.urem(number, f.word(OUT_D)), f.word(MOVE_D)), f.word(FIRST_D))
    offset = f.add(f.mul(f.udiv(number, f.word(OUT_D)), f.word(X_BATCH)),
                   f.mul(index, f.word(X_DEEP)))
    height = f.select(f.icmp("ult", index, f.word(DEPTH)), f.word(HEIGHT), 0)
    return f.at(f.word(X, "ptr"), "i8", offset), height


def _point_at_channels(f: Function, pointers: Value, image: Value, first: Value) -> None:
    """Past the last channel they point at the last one again."""
    last = f.sub(f.word(X_CHANNELS), 1)
    for n in range(LANES):
        channel = f.mul(f.umin(f.add(first, n), last), f.word(X_CHANNEL))
        f.store(f.at(image, "i8", channel), f.at(pointers, "ptr", n))


def _fill_lines(f: Function, side: int, way: str, lines, pointers, place, pixels) -> None:
    """The lines of a run, [pixel][channel]; zeros where there is no image."""
    row, col, height = place
    x0 = f.add(f.mul(col, TILE), f.word(START_W))
    first = f.smin(f.smax(f.sub(0, x0), 0), pixels)
    with f.loop(0, side, carried=[lines], nonempty=True) as line:
        y = f.add(f.add(f.mul(row, TILE), f.word(START_H)), line.index)
        inside = f.icmp("ult", y, height)
        end = f.smin(f.sub(f.word(WIDTH), x0), pixels)
        last = f.select(inside, f.smax(end, first), first)
        source = f.add(f.mul(y, f.word(X_ROW)), f.mul(x0, f.word(X_COL)))
        dst = line.values[0]
        if way == "channels":
            _copy_line(f, dst, pointers, source, first, last)
        else:
            _transpose_line(f, 1 + (way == "second"), dst, pointers, source, first, last)
        for lo, hi in ((0, first), (last, pixels)):
            with f.loop(lo, hi) as pixel:
                f.store(_splat(0), f.at(dst, "i8", f.mul(pixel.index, VECTOR_BYTES)))
        line.next(f.at(dst, "float", LINE * LANES))


def _transpose_line(f: Function, every: int, dst, pointers, source, first, last) -> None:
    """Four pixels of 16 channels at a time; what is stored past the last one is overwritten."""
    with f.loop(first, last, 4) as quad:
        at = f.add(source, f.mul(quad.index, 4 * every))
        rows = [f.at(f.load("ptr", f.at(pointers, "ptr", n)), "i8", at) for n in range(LANES)]
        place = f.at(dst, "i8", f.mul(quad.index, VECTOR_BYTES))
        for n, pixel in enumerate(transposed_quads(f, "float", rows, every)):
            f.store(pixel, f.at(place, "i8", n * VECTOR_BYTES))


def _copy_line(f: Function, dst, pointers, source, first, last) -> None:
    start = f.load("ptr", pointers)
    with f.loop(first, last) as pixel:
        at = f.add(source, f.mul(pixel.index, f.word(X_COL)))
        f.store(f.load(VECTOR, f.at(start, "i8", at)),
                f.at(dst, "i8", f.mul(pixel.index, VECTOR_BYTES)))


def _transform_run(f: Function, method: Method, of: str, lines, length, dst) -> None:
    matrix, side = (method.image, method.side) if of == "image" else (method.output, TILE)
    with f.loop(0, length, carried=[lines, dst], nonempty=True) as tile:
        pixels, place = tile.values
        columns = [[f.load(VECTOR, f.at(pixels, "float", (row * LINE + col) * LANES))
                    for row in range(side)] for col in range(side)]
        _store_all(f, _both_sides(f, evaluate, method, matrix, columns), place, f.xi)
        tile.next(f.at(pixels, "float", TILE * LANES), f.at(tile.values[1], "i8", f.row))


def _store_all(f: Function, rows: list[list[Value]], place: Value, step) -> None:
    for row in rows:
        for value in row:
            f.store(value, place)
            place = f.at(place, "i8", step)


def _load_all(f: Function, method: Method, place: Value) -> list[list[Value]]:
    """Columns of what is stored for all xi."""
    values = []
    for _ in range(method.xi):
        values.append(f.load(VECTOR, place))
        place = f.at(place, "i8", f.xi)
    return [values[n::method.side] for n in range(method.side)]


# --- weights --------------------------------------------------------------------------------------

WEIGHT_PARAMS = (("ptr", "args"), ("ptr", "dst"), ("i64", "panel"), ("i64", "xi"), ("i64", "o0"),
                 ("i64", "outputs"), ("i64", "c0"), ("i64", "channels"))
W, W_OUTPUT, W_CHANNEL, W_OUTPUTS = range(4)


@cache
def read_weights(picked: tuple[int, ...]) -> Code:
    """picked: how many floats after the first one of its (output, channel) each tap lies."""
    method = METHODS[round(len(picked) ** 0.5)]
    f = Function(f"read_weights{method.taps}", WEIGHT_PARAMS)
    pointers, last = f.alloca("ptr", LANES), f.sub(f.word(W_OUTPUTS), 1)
    start = f.at(f.word(W, "ptr"), "i8", f.mul(f.c0, f.word(W_CHANNEL)))
    with f.loop(0, f.outputs, LANES, nonempty=True) as block:
        for n in range(LANES):
            output = f.umin(f.add(f.add(f.o0, block.index), n), last)
            f.store(f.at(start, "i8", f.mul(output, f.word(W_OUTPUT))), f.at(pointers, "ptr", n))
        number = f.lshr(block.index, 4)
        dst = f.at(f.at(f.dst, "i8", f.mul(f.lshr(number, 1), f.panel)), "i8",
                   f.mul(f.and_(number, 1), VECTOR_BYTES))
        with f.loop(0, f.channels, carried=[dst], nonempty=True) as channel:
            taps = _taps(f, pointers, f.mul(channel.index, f.word(W_CHANNEL)), picked)
            columns = [taps[n::method.taps] for n in range(method.taps)]
            _store_all(f, _both_sides(f, evaluate, method, method.weight, columns),
                       channel.values[0], f.xi)
            channel.next(f.at(channel.values[0], "i8", PANEL_BYTES))
    return f.code()


def _taps(f: Function, pointers: Value, offset: Value, picked) -> list[Value]:
    """The taps of one channel, lanes are outputs; may read three more."""
    rows = [f.at(f.load("ptr", f.at(pointers, "ptr", n)), "i8", offset) for n in range(LANES)]
    taps: list[Value] = []
    for quad in range(max(picked) // 4 + 1):
        taps += transposed_quads(f, "float", [f.at(row, "i8", 16 * quad) for row in rows])
    return [taps[n] for n in picked]


# --- tiles of the result --------------------------------------------------------------------------

WRITE_PARAMS = (("ptr", "args"), ("ptr", "m"), ("i64", "row"), ("i64", "xi"), ("i64", "t0"),
                ("i64", "tiles"), ("i64", "o0"), ("i64", "outputs"))
FINISH, TURN, OUT_H, OUT_W, Y_HIGH, Y_WIDE = range(6)
Y_WORDS = 6                         # then those of the finisher
GROUP = 64                          # outputs that are finished together
RESULT = TILE * TILE * RUN + 2 * LANES      # floats of an output, and overrun


@cache
def write_tiles(taps: int) -> Code:
    f = Function(f"write_tiles{taps}", WRITE_PARAMS)
    pixels = f.alloca("float", (TILE * TILE * RUN + LANES) * LANES)
    result = f.alloca("float", GROUP * RESULT)
    with f.loop(0, f.tiles, nonempty=True) as run:
        place, length = _run(f, f.add(f.t0, run.index), f.sub(f.tiles, run.index), Y_HIGH, Y_WIDE)
        run.step = length
        source = f.at(f.m, "i8", f.mul(run.index, f.row))
        with f.loop(0, f.outputs, GROUP, nonempty=True) as group:
            count = f.umin(f.sub(f.outputs, group.index), GROUP)
            _write_group(f, METHODS[taps], pixels, result, f.at(source, "float", group.index),
                         place, length, f.add(f.o0, group.index), count)
    return f.code()


def _write_group(f: Function, method, pixels, result, source, place, length, first,
                 count) -> None:
    """Lines of a run; one piece if they are all of the image's width."""
    image, row, col = place
    row, col, width = f.mul(row, TILE), f.mul(col, TILE), f.mul(length, TILE)
    rows = f.umin(f.sub(f.word(OUT_H), row), TILE)
    cols = f.umin(f.sub(f.word(OUT_W), col), width)
    whole = f.icmp("eq", cols, f.word(OUT_W))
    dense = f.and_(whole, f.icmp("eq", cols, width))
    every = f.mul(rows, cols)
    with f.loop(0, count, LANES, carried=[source, result], nonempty=True) as block:
        _results(f, method, pixels, block.values[0], length)
        _turn_lines(f, pixels, block.values[1], width, cols, f.select(dense, 1, rows),
                    f.select(dense, every, cols))
        block.next(f.at(block.values[0], "i8", VECTOR_BYTES),
                   f.at(block.values[1], "float", LANES * RESULT))
    position = f.add(f.mul(f.add(f.mul(image, f.word(OUT_H)), row), f.word(OUT_W)), col)
    pieces, size = f.select(whole, 1, rows), f.select(whole, every, cols)
    words = f.at(f.args, "i64", Y_WORDS)
    with f.loop(0, pieces, carried=[result, position], nonempty=True) as piece:
        line, at = piece.values
        call_word(f, "void", FINISH, [words, line, 4 * RESULT, 0, first, count, at, size])
        piece.next(f.at(line, "float", cols), f.add(at, f.word(OUT_W)))


def _results(f: Function, method: Method, pixels: Value, source: Value, length: Value) -> None:
    """pixels[line][column][16 outputs] of a run, its lines end to end."""
    line = f.mul(length, TILE * VECTOR_BYTES)
    with f.loop(0, length, carried=[source, pixels], nonempty=True) as tile:
        columns, start = _load_all(f, method, tile.values[0]), tile.values[1]
        for row in _both_sides(f, gather, method, method.output, columns):
            for n, value in enumerate(row):
                f.store(value, f.at(start, "i8", n * VECTOR_BYTES))
            start = f.at(start, "i8", line)
        tile.next(f.at(tile.values[0], "i8", f.row), f.at(tile.values[1], "float", TILE * LANES))


def _turn_lines(f: Function, pixels, result, width, cols, lines, size) -> None:
    """result[output][pixel]; what is stored past a line's end is overwritten by the next one."""
    with f.loop(0, lines, carried=[pixels, result], nonempty=True) as line:
        source, dst = line.values
        call_word(f, "void", TURN, [source, VECTOR_BYTES, size, LANES, dst, 4 * RESULT])
        line.next(f.at(source, "i8", f.mul(width, VECTOR_BYTES)), f.at(dst, "float", cols))


# --- gradients of weights -------------------------------------------------------------------------

GRAD_PARAMS = (("ptr", "args"), ("ptr", "d"), ("i64", "row"), ("i64", "xi"), ("i64", "phase"),
               ("i64", "part"), ("i64", "c0"), ("i64", "channels"), ("i64", "o0"),
               ("i64", "outputs"))
G_FINISH, G_TURN = range(2)
G_WORDS = 2                         # then those of the finisher


@cache
def write_weights(taps: int, every: int, deep: int) -> Code:
    """The finisher gets rows of outputs, columns of (channel, tap); `part` is its batch.

    Each of `deep` planes of taps has sums of its own, `phase` bytes apart, and if `every` is 2 so
    has every second row and column of them.
    """
    f = Function(f"write_weights{taps}_{every}_{deep}", GRAD_PARAMS)
    depth = deep * (taps * every) ** 2
    depths = LANES * depth + LANES
    kernel, result = f.alloca("float", depths * LANES), f.alloca("float", depths * LANES)
    words = f.at(f.args, "i64", G_WORDS)
    with f.loop(0, f.outputs, LANES, nonempty=True) as block:
        rows = f.umin(f.sub(f.outputs, block.index), LANES)
        start = f.at(f.d, "float", block.index)
        with f.loop(0, f.channels, LANES, nonempty=True) as chunk:
            count = f.umin(f.sub(f.channels, chunk.index), LANES)
            first = f.at(start, "i8", f.mul(chunk.index, f.row))
            _gather_weights(f, METHODS[taps], (deep, every), kernel, first, count)
            cols = f.mul(count, depth)
            call_word(f, "void", G_TURN, [kernel, VECTOR_BYTES, cols, LANES, result, 4 * depths])
            call_word(f, "void", G_FINISH, [
                words, result, 4 * depths, f.part, f.add(f.o0, block.index), rows,
                f.mul(f.add(f.c0, chunk.index), depth), cols])
    return f.code()


def _gather_weights(f: Function, method, phases, kernel, source: Value, count: Value) -> None:
    """kernel[channel][tap][16 outputs]."""
    deep, every = phases
    width = method.taps * every
    with f.loop(0, count, carried=[source, kernel], nonempty=True) as channel:
        place, dst = channel.values
        for plane, a, b in product(range(deep), range(every), range(every)):
            rows = _both_sides(f, gather, method, method.weight, _load_all(f, method, place))
            for (i, row), j in product(enumerate(rows), range(method.taps)):
                tap = (plane * width + i * every + a) * width + j * every + b
                f.store(row[j], f.at(dst, "float", tap * LANES))
            place = f.at(place, "i8", f.phase)
        channel.next(f.at(channel.values[0], "i8", f.row),
                     f.at(dst, "float", deep * width * width * LANES))
