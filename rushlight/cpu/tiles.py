"""The transforms of Winograd's F(4x4, 3x3): images, results and weights to 6x6 products and back.

A tile is 4x4 of the output, the 6x6 of the image that it reads, or, in a weight gradient, 4x4 of
the output's gradient. Polynomials are evaluated at 0, a, -a, b, -b and infinity along both sides:

    read_tiles      v[xi][tile][channel] from an image: B d B', or A g A' from a gradient
    read_weights    u[xi][panel of outputs][channel][32] from weights: G w G'
    write_tiles     A' m A of m[xi][tile][output], through a finisher
    write_weights   G' d G of d[xi][channel][output], through a finisher

Lanes are channels (or outputs), so any size of image fills them, and all arithmetic is between
whole vectors; images and weights are transposed on their way in, results on their way out.
"""
from __future__ import annotations

from functools import cache

from ..compiler.kernel import LANES, Code
from .emit import Function, Value, constant
from .image import Along
from .micro import PANEL_BYTES, VECTOR_BYTES
from .pack import call_word, transposed_quads

SQUARE_A, SQUARE_B = 0.5, 1.75      # of the points; these two give few rounding errors
TILE, TAPS = 4, 3                   # outputs of a tile and taps, along a side
SIDE = TILE + TAPS - 1
XI = SIDE * SIDE
RUN = 8                             # neighbouring tiles that are transformed together
VECTOR = "<16 x float>"


# --- along one side -------------------------------------------------------------------------------

def _points() -> list[float]:
    a, b = SQUARE_A ** 0.5, SQUARE_B ** 0.5
    return [0.0, a, -a, b, -b]


def _powers(count: int) -> list[list[float]]:
    """Row i holds the powers of point i: a polynomial of `count` coefficients is evaluated."""
    infinity = [0.0] * (count - 1) + [1.0]
    return [[p ** j for j in range(count)] for p in _points()] + [infinity]


def _image_matrix() -> list[list[float]]:
    """B: row i is the product of (x - point) over all other points, infinity's over all points."""
    points = _points()
    rows = [_product(points[:i] + points[i + 1:]) + [0.0] for i in range(len(points))]
    return [[round(c, 12) for c in row] for row in [*rows, _product(points)]]


def _product(roots: list[float]) -> list[float]:
    """The coefficients of the product of (x - root), the constant first."""
    made = [1.0]
    for root in roots:
        made = [low - root * high for low, high in zip([0.0, *made], [*made, 0.0], strict=True)]
    return made


def _weight_matrix() -> list[list[float]]:
    """G: powers of each point over the product of its distances from the others."""
    points, scales = _points(), []
    for i, p in enumerate(points):
        scale = 1.0
        for q in points[:i] + points[i + 1:]:
            scale *= p - q
        scales.append(scale)
    return [[c / s for c in row] for row, s in zip(_powers(TAPS), [*scales, 1.0], strict=True)]


IMAGE, WEIGHT, OUTPUT = _image_matrix(), _weight_matrix(), _powers(TILE)


def _dot(f: Function, coefficients: list[float], values: list[Value]) -> Value:
    """Their sum of products; ones first, they cost no multiplication."""
    terms = [(c, v) for c, v in zip(coefficients, values, strict=True) if abs(c) > 1e-9]
    terms.sort(key=lambda term: abs(term[0] - 1) > 1e-9)
    (c, v), *rest = terms
    total = v if abs(c - 1) < 1e-9 else f.fmul(v, c)
    for c, v in rest:
        total = f.fadd(total, v) if abs(c - 1) < 1e-9 else f.fma(_splat(c), v, total)
    return total


def evaluate(f: Function, matrix: list[list[float]], x: list[Value]) -> list[Value]:
    """matrix @ x; rows 1 and 2, and 3 and 4, are those of a point and its negative."""
    results = [_dot(f, matrix[0], x)]
    for row in (matrix[1], matrix[3]):
        even = _dot(f, row[::2], x[::2])
        scale = [c for c in row[1::2] if abs(c) > 1e-9][-1]
        odd = _dot(f, [c / scale for c in row[1::2]], x[1::2])
        results += [f.fma(_splat(scale), odd, even), f.fma(_splat(-scale), odd, even)]
    return [*results, _dot(f, matrix[5], x)]


def gather(f: Function, matrix: list[list[float]], m: list[Value]) -> list[Value]:
    """x of evaluate's transpose: matrix' @ m."""
    first, last = m[0], m[5]
    sums = [(row, f.fadd(x, y), f.fsub(x, y)) for row, x, y in (
        (matrix[1], *m[1:3]), (matrix[3], *m[3:5]))]
    results = []
    for n in range(len(matrix[0])):
        terms = [(matrix[0][n], first), *((row[n], odd if n % 2 else even)
                                          for row, even, odd in sums), (matrix[5][n], last)]
        results.append(_dot(f, *map(list, zip(*terms, strict=True))))
    return results


def _both_sides(f: Function, way, matrix, columns: list[list[Value]]) -> list[list[Value]]:
    """matrix @ x @ matrix' as rows, x given by columns."""
    half = [way(f, matrix, column) for column in columns]
    return [way(f, matrix, list(row)) for row in zip(*half, strict=True)]


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
(X, X_BATCH, X_CHANNEL, X_ROW, X_COL, X_CHANNELS, HEIGHT, WIDTH, START_H, START_W, HIGH,
 WIDE) = range(12)
LINE = TILE * RUN + 2 + 4           # pixels of a line: those of a run, and overrun


def tile_words(ref, batch: int, channel: int, high: Along, wide: Along, channels: int) -> tuple:
    """The words of `read_tiles`: strides in bytes, sizes, and how tiles cover the positions."""
    return (ref, batch, channel, high.stride, wide.stride, channels, high.size, wide.size,
            high.start, wide.start, -(-high.out // TILE), -(-wide.out // TILE))


@cache
def read_tiles(side: int, way: str) -> Code:
    """side: 6 for images, 4 for gradients; way: what is adjacent in memory, columns or channels."""
    f = Function(f"read_tiles{side}_{way}", READ_PARAMS)
    lines = f.alloca("float", side * LINE * LANES)
    pointers = f.alloca("ptr", LANES)
    width = side - TILE
    with f.loop(0, f.tiles, nonempty=True) as run:
        place, length = _run(f, f.add(f.t0, run.index), f.sub(f.tiles, run.index), HIGH, WIDE)
        run.step = length
        pixels = f.add(f.mul(length, TILE), width)
        dst = f.at(f.dst, "i8", f.mul(run.index, f.row))
        with f.loop(0, f.channels, LANES, nonempty=True) as block:
            image = f.at(f.word(X, "ptr"), "i8", f.mul(place[0], f.word(X_BATCH)))
            _point_at_channels(f, pointers, image, f.add(f.c0, block.index))
            _fill_lines(f, side, way, lines, pointers, place, pixels)
            _transform_run(f, side, lines, length, f.at(dst, "float", block.index))
    return f.code()


def _point_at_channels(f: Function, pointers: Value, image: Value, first: Value) -> None:
    """Past the last channel they point at the last one again."""
    last = f.sub(f.word(X_CHANNELS), 1)
    for n in range(LANES):
        channel = f.mul(f.umin(f.add(first, n), last), f.word(X_CHANNEL))
        f.store(f.at(image, "i8", channel), f.at(pointers, "ptr", n))


def _fill_lines(f: Function, side: int, way: str, lines, pointers, place, pixels) -> None:
    """The lines of a run, [pixel][channel]; zeros where there is no image."""
    _, row, col = place
    x0 = f.add(f.mul(col, TILE), f.word(START_W))
    first = f.smax(f.sub(0, x0), 0)
    with f.loop(0, side, carried=[lines], nonempty=True) as line:
        y = f.add(f.add(f.mul(row, TILE), f.word(START_H)), line.index)
        inside = f.icmp("ult", y, f.word(HEIGHT))
        end = f.smin(f.sub(f.word(WIDTH), x0), pixels)
        last = f.select(inside, f.smax(end, first), first)
        source = f.add(f.mul(y, f.word(X_ROW)), f.mul(x0, f.word(X_COL)))
        dst = line.values[0]
        (_transpose_line if way == "columns" else _copy_line)(f, dst, pointers, source, first, last)
        for lo, hi in ((0, first), (last, pixels)):
            with f.loop(lo, hi) as pixel:
                f.store(_splat(0), f.at(dst, "i8", f.mul(pixel.index, VECTOR_BYTES)))
        line.next(f.at(dst, "float", LINE * LANES))


def _transpose_line(f: Function, dst, pointers, source, first, last) -> None:
    """Four pixels of 16 channels at a time; what is stored past the last one is overwritten."""
    with f.loop(first, last, 4) as quad:
        at = f.add(source, f.mul(quad.index, 4))
        rows = [f.at(f.load("ptr", f.at(pointers, "ptr", n)), "i8", at) for n in range(LANES)]
        place = f.at(dst, "i8", f.mul(quad.index, VECTOR_BYTES))
        for n, pixel in enumerate(transposed_quads(f, "float", rows)):
            f.store(pixel, f.at(place, "i8", n * VECTOR_BYTES))


def _copy_line(f: Function, dst, pointers, source, first, last) -> None:
    start = f.load("ptr", pointers)
    with f.loop(first, last) as pixel:
        at = f.add(source, f.mul(pixel.index, f.word(X_COL)))
        f.store(f.load(VECTOR, f.at(start, "i8", at)),
                f.at(dst, "i8", f.mul(pixel.index, VECTOR_BYTES)))


def _transform_run(f: Function, side: int, lines, length, dst) -> None:
    matrix = IMAGE if side == SIDE else OUTPUT
    with f.loop(0, length, carried=[lines, dst], nonempty=True) as tile:
        pixels, place = tile.values
        columns = [[f.load(VECTOR, f.at(pixels, "float", (row * LINE + col) * LANES))
                    for row in range(side)] for col in range(side)]
        for row in _both_sides(f, evaluate, matrix, columns):
            for value in row:
                f.store(value, place)
                place = f.at(place, "i8", f.xi)
        tile.next(f.at(pixels, "float", TILE * LANES), f.at(tile.values[1], "i8", f.row))


# --- weights --------------------------------------------------------------------------------------

WEIGHT_PARAMS = (("ptr", "args"), ("ptr", "dst"), ("i64", "panel"), ("i64", "xi"), ("i64", "o0"),
                 ("i64", "outputs"), ("i64", "c0"), ("i64", "channels"))
W, W_OUTPUT, W_CHANNEL, W_OUTPUTS = range(4)


@cache
def read_weights(flipped: bool) -> Code:
    """Taps lie packed, in order or, flipped, from the last to the first."""
    f = Function("read_weights", WEIGHT_PARAMS)
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
            taps = _taps(f, pointers, f.mul(channel.index, f.word(W_CHANNEL)))
            _store_weights(f, taps[::-1] if flipped else taps, channel.values[0])
            channel.next(f.at(channel.values[0], "i8", PANEL_BYTES))
    return f.code()


def _taps(f: Function, pointers: Value, offset: Value) -> list[Value]:
    """Nine taps of one channel, lanes are outputs; may read three more."""
    rows = [f.at(f.load("ptr", f.at(pointers, "ptr", n)), "i8", offset) for n in range(LANES)]
    taps: list[Value] = []
    for quad in range(3):
        taps += transposed_quads(f, "float", [f.at(row, "i8", 16 * quad) for row in rows])
    return taps[:TAPS * TAPS]


def _store_weights(f: Function, taps: list[Value], place: Value) -> None:
    for row in _both_sides(f, evaluate, WEIGHT, [taps[n::TAPS] for n in range(TAPS)]):
        for value in row:
            f.store(value, place)
            place = f.at(place, "i8", f.xi)


# --- tiles of the result --------------------------------------------------------------------------

WRITE_PARAMS = (("ptr", "args"), ("ptr", "m"), ("i64", "row"), ("i64", "xi"), ("i64", "t0"),
                ("i64", "tiles"), ("i64", "o0"), ("i64", "outputs"))
FINISH, TURN, OUT_H, OUT_W, Y_HIGH, Y_WIDE = range(6)
Y_WORDS = 6                         # then those of the finisher
GROUP = 64                          # outputs that are finished together
RESULT = TILE * TILE * RUN + 2 * LANES      # floats of an output, and overrun


@cache
def write_tiles() -> Code:
    f = Function("write_tiles", WRITE_PARAMS)
    pixels = f.alloca("float", (TILE * TILE * RUN + LANES) * LANES)
    result = f.alloca("float", GROUP * RESULT)
    with f.loop(0, f.tiles, nonempty=True) as run:
        place, length = _run(f, f.add(f.t0, run.index), f.sub(f.tiles, run.index), Y_HIGH, Y_WIDE)
        run.step = length
        source = f.at(f.m, "i8", f.mul(run.index, f.row))
        with f.loop(0, f.outputs, GROUP, nonempty=True) as group:
            count = f.umin(f.sub(f.outputs, group.index), GROUP)
            _write_group(f, pixels, result, f.at(source, "float", group.index), place, length,
                         f.add(f.o0, group.index), count)
    return f.code()


def _write_group(f: Function, pixels, result, source, place, length, first, count) -> None:
    """Lines of a run; one piece if they are all of the image's width."""
    image, row, col = place
    row, col, width = f.mul(row, TILE), f.mul(col, TILE), f.mul(length, TILE)
    rows = f.umin(f.sub(f.word(OUT_H), row), TILE)
    cols = f.umin(f.sub(f.word(OUT_W), col), width)
    whole = f.icmp("eq", cols, f.word(OUT_W))
    dense = f.and_(whole, f.icmp("eq", cols, width))
    every = f.mul(rows, cols)
    with f.loop(0, count, LANES, carried=[source, result], nonempty=True) as block:
        _results(f, pixels, block.values[0], length)
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


def _results(f: Function, pixels: Value, source: Value, length: Value) -> None:
    """pixels[line][column][16 outputs] of a run, its lines end to end."""
    line = f.mul(length, TILE * VECTOR_BYTES)
    with f.loop(0, length, carried=[source, pixels], nonempty=True) as tile:
        place, values = tile.values[0], []
        for _ in range(XI):
            values.append(f.load(VECTOR, place))
            place = f.at(place, "i8", f.xi)
        start = tile.values[1]
        for row in _both_sides(f, gather, OUTPUT, [values[n::SIDE] for n in range(SIDE)]):
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

GRAD_PARAMS = (("ptr", "args"), ("ptr", "d"), ("i64", "row"), ("i64", "xi"), ("i64", "part"),
               ("i64", "c0"), ("i64", "channels"), ("i64", "o0"), ("i64", "outputs"))
G_FINISH, G_TURN = range(2)
G_WORDS = 2                         # then those of the finisher
DEPTH = TAPS * TAPS
DEPTHS = LANES * DEPTH + LANES      # (channel, tap) of a piece, and overrun


@cache
def write_weights() -> Code:
    """The finisher gets rows of outputs, columns of (channel, tap); `part` is its batch."""
    f = Function("write_weights", GRAD_PARAMS)
    taps, result = f.alloca("float", DEPTHS * LANES), f.alloca("float", DEPTHS * LANES)
    words = f.at(f.args, "i64", G_WORDS)
    with f.loop(0, f.outputs, LANES, nonempty=True) as block:
        rows = f.umin(f.sub(f.outputs, block.index), LANES)
        start = f.at(f.d, "float", block.index)
        with f.loop(0, f.channels, LANES, nonempty=True) as chunk:
            count = f.umin(f.sub(f.channels, chunk.index), LANES)
            _gather_weights(f, taps, f.at(start, "i8", f.mul(chunk.index, f.row)), count)
            cols = f.mul(count, DEPTH)
            call_word(f, "void", G_TURN, [taps, VECTOR_BYTES, cols, LANES, result, 4 * DEPTHS])
            call_word(f, "void", G_FINISH, [
                words, result, 4 * DEPTHS, f.part, f.add(f.o0, block.index), rows,
                f.mul(f.add(f.c0, chunk.index), DEPTH), cols])
    return f.code()


def _gather_weights(f: Function, taps: Value, source: Value, count: Value) -> None:
    with f.loop(0, count, carried=[source, taps], nonempty=True) as channel:
        place, values = channel.values[0], []
        for _ in range(XI):
            values.append(f.load(VECTOR, place))
            place = f.at(place, "i8", f.xi)
        dst = channel.values[1]
        for row in _both_sides(f, gather, WEIGHT, [values[n::SIDE] for n in range(SIDE)]):
            for value in row:
                f.store(value, dst)
                dst = f.at(dst, "i8", VECTOR_BYTES)
        channel.next(f.at(channel.values[0], "i8", f.row), dst)
