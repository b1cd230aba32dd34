"""Convolutions with 3x3 taps and stride 1 by Winograd's F(4x4, 3x3): 36 products for 144.

A 4x4 tile of the output follows from 6x6 of the image. With polynomials evaluated at 0, a, -a, b,
-b and infinity, an output tile is A (sum over channels of (G w G') * (B d B')) A', the product
element by element: so 36 small matrix products over channels, for which the micro-kernels serve.

    transform_weights   u[xi][16 outputs][channel][16], once per call
    winograd            a unit is a block of tiles by a block of outputs; for each block of channels
                        the tiles of the image are transformed to v[xi][channel][tile] and
                        multiplied; then m[xi][output][tile] is transformed back and finished

Lanes are neighbouring tiles of an image row. Rounding errors are larger than those of sums over
taps, see docs; so gradients keep to the latter, and `RUSHLIGHT_WINOGRAD=off` all convolutions.
"""
from __future__ import annotations

from functools import cache

from .. import config
from ..compiler.kernel import LANES, Call, Code
from ..compiler.sizes import larger, smaller, times
from ..dtypes import float32
from .contract import SMALL, Cut, Temp, balanced, ceil_div
from .depthwise import Weights
from .emit import Function, Value, constant, iota, vector
from .finish import Finisher
from .image import Image
from .micro import PANEL_BYTES, micro
from .pack import call_word, dynamic_alloca

POINT_A, POINT_B = 0.5 ** 0.5, 2 ** 0.5     # polynomials are evaluated at these; few errors
XI = 36
TILE = 4                # outputs of a tile along a side
LEAST_CHANNELS = 32
LEAST_TILES = 64        # that are worth transforming the weights
LEAST_USE = 0.5         # of the outputs in all tiles
LEAST_WIDE = 4          # tiles in a row: they are the lanes of the transforms
MOST = 128              # channels, and outputs, of a block
BLOCK = 8192            # tiles * (channels + outputs) of a block; 36 of it stay in the cache
MOST_TILES = 128
PLENTY = 8              # units that there should be
VECTOR = "<16 x float>"


def suits(image: Image, channels: int, outputs: int, images: int, groups: int, kind) -> bool:
    """Whether tiles are possible and faster; follows from sizes alone, and the switch."""
    deep, high, wide = image.along
    plain = (deep.out, deep.taps, deep.size, deep.start) == (1, 1, 1, 0)
    three = all((a.taps, a.step, a.move) == (3, 1, 1) for a in (high, wide))
    if not (config.winograd.value and kind is float32 and groups == 1 and plain and three):
        return False
    tiles = ceil_div(high.out, TILE) * ceil_div(wide.out, TILE)
    return wide.out > TILE * (LEAST_WIDE - 1) and smaller(channels, outputs) >= LEAST_CHANNELS \
        and images * tiles >= LEAST_TILES \
        and high.out * wide.out >= LEAST_USE * tiles * TILE * TILE


# --- planning -------------------------------------------------------------------------------------

(FINISH, FINISH_WORDS, MICRO, X, X_BATCH, X_CHANNEL, X_ROW, HEIGHT, WIDTH, START_H, START_W, OUT_H,
 OUT_W, HIGH, WIDE, TILES, BLOCK_TILES, OUTPUTS, BLOCK_OUTPUTS, OUTPUT_BLOCKS, CHANNELS,
 BLOCK_CHANNELS, U, U_XI, U_BLOCK, V_ROW, V_XI, M_XI, V_BYTES, M_BYTES, RESULT_BYTES,
 ROW_TABLE_BYTES, K_TABLE_BYTES) = range(33)
HEADER = 33
(T_W, T_OUTPUT, T_CHANNEL, T_ROW, T_COL, T_OUTPUTS, T_CHANNELS, T_U, T_XI) = range(9)
RESULT_ROW = 4 * 4 * LANES              # bytes of one row of 16 tiles


def winograd(image: Image, w: Weights, channels: int, outputs: int, images: int, result: Finisher,
             temp: Temp, note: str) -> list[Call]:
    """The convolution of `image` with w, through the finisher."""
    _, high, wide = image.along
    blocks = ceil_div(outputs, LANES)
    u_block, u_xi = channels * 64, blocks * channels * 64
    u = temp(XI * u_xi)
    _, output, channel, row, col = w.strides
    transform = Call(transform_weights(), (w.ref, output, channel, row, col, outputs, channels, u,
                                           u_xi), blocks * channels,
                     larger(1, SMALL // 1000), f"transform weights {times((outputs, channels))}",
                     bytes=XI * u_xi)
    rows, cols = ceil_div(high.out, TILE), ceil_div(wide.out, TILE)
    cut_k, cut_o = balanced(channels, MOST, 1), balanced(outputs, MOST, LANES)
    tiles = _tiles(images * rows * cols, cut_k, cut_o)
    v_row = 4 * (tiles.tile + LANES)
    v_xi, m_xi = cut_k.tile * v_row, cut_o.tile * v_row
    words = (result.code, HEADER, micro(float32), image.ref, image.batch,
             image.channel, high.stride, high.size, wide.size, high.start, wide.start, high.out,
             wide.out, rows, cols, tiles.total, tiles.tile, outputs, cut_o.tile, cut_o.pieces,
             channels, cut_k.tile, u, u_xi, u_block, v_row, v_xi, m_xi, XI * v_xi, XI * m_xi + 64,
             cut_o.tile * 4 * RESULT_ROW, 8 * cut_o.tile, 8 * cut_k.tile)
    flops = 2 * images * high.out * wide.out * 9 * channels * outputs
    return [transform, Call(driver(), (*words, *result.words), tiles.pieces * cut_o.pieces, 1,
                            f"{note}, Winograd", flops=flops)]


def _tiles(total: int, channels: Cut, outputs: Cut) -> Cut:
    """Blocks of tiles, whole panels, that fill the cache but leave enough units."""
    panel = PANEL_BYTES // 4
    most = smaller(smaller(MOST_TILES, BLOCK // (channels.tile + outputs.tile)),
                   total * outputs.pieces // PLENTY)
    tile = larger(panel, most // panel * panel)
    return Cut(total, ceil_div(total, tile), tile)


# --- the three transforms along one side ----------------------------------------------------------

def splat(number: float) -> Value:
    return constant(VECTOR, number)


def _image_side(f: Function, d: list[Value]) -> list[Value]:
    """B: 6 of the image -> 6, for the points 0, a, -a, b, -b, infinity."""
    a, b = POINT_A, POINT_B
    middle, ends = splat(-(a * a + b * b)), splat(a * a * b * b)
    first = f.fma(middle, d[2], f.fma(ends, d[0], d[4]))
    last = f.fma(middle, d[3], f.fma(ends, d[1], d[5]))
    return [first, *_pair(f, d, a, b), *_pair(f, d, b, a), last]


def _pair(f: Function, d: list[Value], point: float, other: float) -> list[Value]:
    """The values at `point` and at -point."""
    square = splat(-other * other)
    even, odd = f.fma(square, d[2], d[4]), f.fma(square, d[1], d[3])
    return [f.fma(splat(point), odd, even), f.fma(splat(-point), odd, even)]


def _weight_side(f: Function, w: list[Value]) -> list[Value]:
    """G: 3 taps -> 6."""
    a, b = POINT_A, POINT_B
    result = [f.fmul(w[0], 1 / (a * a * b * b))]
    for point, other in ((a, b), (b, a)):
        scale = 1 / (2 * point * point * (point * point - other * other))
        even = f.fmul(f.fma(splat(point * point), w[2], w[0]), scale)
        odd = splat(point * scale)
        result += [f.fma(odd, w[1], even), f.fma(f.fneg(odd), w[1], even)]
    return [*result, w[2]]


def _output_side(f: Function, m: list[Value]) -> list[Value]:
    """A: 6 -> 4 outputs."""
    a, b = POINT_A, POINT_B
    even_a, odd_a = f.fadd(m[1], m[2]), f.fsub(m[1], m[2])
    even_b, odd_b = f.fadd(m[3], m[4]), f.fsub(m[3], m[4])
    return [f.fadd(m[0], f.fadd(even_a, even_b)),
            _both(f, a, odd_a, b, odd_b),
            _both(f, a ** 2, even_a, b ** 2, even_b),
            f.fadd(_both(f, a ** 3, odd_a, b ** 3, odd_b), m[5])]


def _both(f: Function, p: float, x: Value, q: float, y: Value) -> Value:
    return f.fma(splat(p), x, f.fmul(y, q))


def _columns(grid: list[list[Value]]) -> list[list[Value]]:
    return [list(column) for column in zip(*grid, strict=True)]


# --- weights --------------------------------------------------------------------------------------

@cache
def transform_weights() -> Code:
    """A unit is 16 outputs of one channel."""
    f = Function("winograd_weights")
    with f.loop(f.lo, f.hi) as unit:
        block = f.udiv(unit.index, f.word(T_CHANNELS))
        channel = f.urem(unit.index, f.word(T_CHANNELS))
        first = f.mul(block, LANES)
        mask = f.lane_mask(f.sub(f.word(T_OUTPUTS), first))
        start = f.at(f.word(T_W, "ptr"), "i8", f.add(f.mul(first, f.word(T_OUTPUT)),
                                                     f.mul(channel, f.word(T_CHANNEL))))
        offsets = f.mul(iota(vector("i64")), f.splat(f.word(T_OUTPUT)))
        rows = [[_gather(f, start, row, col, offsets, mask) for col in range(3)]
                for row in range(3)]
        half = _columns([_weight_side(f, row) for row in rows])
        place = f.at(f.word(T_U, "ptr"), "i8", f.mul(unit.index, 64))
        for row in _columns([_weight_side(f, column) for column in half]):
            for value in row:
                f.store(value, place)
                place = f.at(place, "i8", f.word(T_XI))
    return f.code()


def _gather(f: Function, start: Value, row: int, col: int, offsets: Value, mask: Value) -> Value:
    place = f.at(start, "i8", f.add(f.mul(f.word(T_ROW), row), f.mul(f.word(T_COL), col)))
    return f.call(VECTOR, "llvm.masked.gather.v16f32.v16p0",
                  (f.at(place, "i8", offsets), "align 4"), mask, splat(0))


# --- the driver -----------------------------------------------------------------------------------

@cache
def driver() -> Code:
    """A unit is (block of tiles, block of outputs)."""
    f = Function("winograd")
    v, m, result, row_table, k_table = (dynamic_alloca(f, f.word(w)) for w in (
        V_BYTES, M_BYTES, RESULT_BYTES, ROW_TABLE_BYTES, K_TABLE_BYTES))
    _fill_tables(f, row_table, k_table)
    nothing = _zeros(f)
    with f.loop(f.lo, f.hi) as unit:
        block = f.udiv(unit.index, f.word(OUTPUT_BLOCKS))
        o0 = f.mul(f.urem(unit.index, f.word(OUTPUT_BLOCKS)), f.word(BLOCK_OUTPUTS))
        outputs = f.umin(f.word(BLOCK_OUTPUTS), f.sub(f.word(OUTPUTS), o0))
        first = f.mul(block, f.word(BLOCK_TILES))
        count = f.umin(f.word(BLOCK_TILES), f.sub(f.word(TILES), first))
        with f.loop(0, f.word(CHANNELS), f.word(BLOCK_CHANNELS), nonempty=True) as channel:
            channels = f.umin(f.word(BLOCK_CHANNELS), f.sub(f.word(CHANNELS), channel.index))
            with f.loop(0, count, nonempty=True) as run:
                place, run.step = _run(f, first, run.index, count)
                _read_run(f, nothing, v, run.index, place, channel.index, channels)
            _multiply(f, v, m, row_table, k_table, o0, outputs, channel.index, channels, count)
        with f.loop(0, count, nonempty=True) as run:
            place, run.step = _run(f, first, run.index, count)
            _write_run(f, m, result, run.index, place, run.step, o0, outputs)
    return f.code()


def _fill_tables(f: Function, row_table: Value, k_table: Value) -> None:
    """Where u[xi] holds an output, 16 side by side, and a channel."""
    with f.loop(0, f.word(BLOCK_OUTPUTS), nonempty=True) as row:
        offset = f.add(f.mul(f.udiv(row.index, LANES), f.word(U_BLOCK)),
                       f.mul(f.urem(row.index, LANES), 4))
        f.store(offset, f.at(row_table, "i64", row.index))
    with f.loop(0, f.word(BLOCK_CHANNELS), nonempty=True) as k:
        f.store(f.mul(k.index, 64), f.at(k_table, "i64", k.index))


def _zeros(f: Function) -> Value:
    """What rows outside of the image read."""
    zeros = f.alloca("float", 5 * LANES)
    for n in range(5):
        f.store(splat(0), f.at(zeros, "float", n * LANES))
    return zeros


def _run(f: Function, first: Value, index: Value, count: Value):
    """((image, tile row, tile column), tiles up to the end of the row), at most 16."""
    tile = f.add(first, index)
    col, rest = f.urem(tile, f.word(WIDE)), f.udiv(tile, f.word(WIDE))
    length = f.umin(f.umin(f.sub(f.word(WIDE), col), f.sub(count, index)), LANES)
    return (f.udiv(rest, f.word(HIGH)), f.urem(rest, f.word(HIGH)), col), length


def _multiply(f: Function, v, m, row_table, k_table, o0, outputs, c0, channels, count) -> None:
    """m[xi] (+)= u[xi] v[xi] for every xi."""
    first = f.cast("zext", f.icmp("eq", c0, 0), "i64")
    a = f.at(f.word(U, "ptr"), "i8", f.add(f.mul(f.udiv(o0, LANES), f.word(U_BLOCK)),
                                           f.mul(c0, 64)))
    with f.loop(0, XI, carried=[a, v, m], nonempty=True) as xi:
        a, b, c = xi.values
        with f.loop(0, count, PANEL_BYTES // 4, carried=[b, c], nonempty=True) as panel:
            wide = f.icmp("ugt", f.sub(count, panel.index), LANES)
            vectors = f.add(f.cast("zext", wide, "i64"), 1)
            call_word(f, "void", MICRO, [a, row_table, k_table, panel.values[0], f.word(V_ROW),
                                         channels, panel.values[1], f.word(V_ROW), first, outputs,
                                         vectors])
            panel.next(*(f.at(p, "i8", PANEL_BYTES) for p in panel.values))
        xi.next(f.at(a, "i8", f.word(U_XI)), f.at(b, "i8", f.word(V_XI)),
                f.at(c, "i8", f.word(M_XI)))


# --- tiles of the image ---------------------------------------------------------------------------

READ_PARAMS = (*(("ptr", f"row{n}") for n in range(6)), *(("i64", f"step{n}") for n in range(6)),
               ("i64", "channels"), ("i64", "column"), ("i64", "width"), ("ptr", "v"),
               ("i64", "v_row"), ("i64", "v_xi"))


def _read_run(f: Function, nothing, v, at, place, c0, channels) -> None:
    """Neighbouring tiles of some channels; rows outside of the image are `nothing`."""
    image, row, col = place
    row = f.add(f.mul(row, TILE), f.word(START_H))
    col = f.add(f.mul(col, TILE), f.word(START_W))
    start = f.at(f.word(X, "ptr"), "i8", f.add(
        f.add(f.mul(image, f.word(X_BATCH)), f.mul(c0, f.word(X_CHANNEL))),
        f.add(f.mul(row, f.word(X_ROW)), f.mul(col, 4))))
    rows, steps = [], []
    for n in range(6):
        live = f.icmp("ult", f.add(row, n), f.word(HEIGHT))
        rows.append(f.select(live, f.at(start, "i8", f.mul(f.word(X_ROW), n)), nothing))
        steps.append(f.select(live, f.word(X_CHANNEL), f.value(0)))
    read = f.helper("read_tiles", _reader)
    arguments = [*rows, *steps, channels, col, f.word(WIDTH), f.at(v, "float", at), f.word(V_ROW),
                 f.word(V_XI)]
    f.line(f"call void @{read.name}({', '.join(a.typed for a in arguments)})")


def _reader() -> Function:
    """16 tiles, channel by channel."""
    f = Function("read_tiles", READ_PARAMS)
    masks = [f.icmp("ult", f.add(iota(vector("i32")), _splat32(f, f.add(f.column, n * LANES))),
                    _splat32(f, f.width)) for n in range(5)]
    steps = [getattr(f, f"step{n}") for n in range(6)]
    rows = [getattr(f, f"row{n}") for n in range(6)]
    with f.loop(0, f.channels, carried=[*rows, f.v], nonempty=True) as loop:
        *rows, place = loop.values
        half = _columns([_image_side(f, _six_columns(f, row, masks)) for row in rows])
        v = place
        for row in _columns([_image_side(f, column) for column in half]):
            for value in row:
                f.store(value, v)
                v = f.at(v, "i8", f.v_xi)
        loop.next(*(f.at(row, "i8", step) for row, step in zip(rows, steps, strict=True)),
                  f.at(place, "i8", f.v_row))
    return f


def _splat32(f: Function, number: Value) -> Value:
    return f.splat(f.cast("trunc", number, "i32"))


def _six_columns(f: Function, row: Value, masks: list[Value]) -> list[Value]:
    """Lane t of column j is row[4 t + j]."""
    parts = [f.masked_load("float", f.at(row, "float", n * LANES), mask)
             for n, mask in enumerate(masks)]
    evens, odds = ([f.shuffle(a, b, [n + odd for n in range(0, 2 * LANES, 2)])
                    for a, b in (parts[:2], parts[2:4])] for odd in (0, 1))
    columns = [f.shuffle(*halves, [n + late for n in range(0, 2 * LANES, 2)])
               for late in (0, 1) for halves in (evens, odds)]
    following = [f.shuffle(columns[j], parts[4], [*range(1, LANES), LANES + j]) for j in range(2)]
    return columns + following


# --- tiles of the output --------------------------------------------------------------------------

WRITE_PARAMS = (("ptr", "m"), ("i64", "m_row"), ("i64", "m_xi"), ("i64", "outputs"),
                ("ptr", "result"))


def _write_run(f: Function, m, result, at, place, length, o0, outputs) -> None:
    """Neighbouring tiles of all outputs; their four rows go to the finisher one by one."""
    write = f.helper("write_tiles", _writer)
    arguments = [f.at(m, "float", at), f.word(V_ROW), f.word(M_XI), outputs, result]
    f.line(f"call void @{write.name}({', '.join(a.typed for a in arguments)})")
    image, row, col = place
    row, col = f.mul(row, TILE), f.mul(col, TILE)
    rows = f.umin(f.sub(f.word(OUT_H), row), TILE)
    cols = f.umin(f.sub(f.word(OUT_W), col), f.mul(length, TILE))
    first = f.add(f.mul(f.add(f.mul(image, f.word(OUT_H)), row), f.word(OUT_W)), col)
    words = f.at(f.args, "i64", f.word(FINISH_WORDS))
    with f.loop(0, rows, carried=[result, first], nonempty=True) as line:
        call_word(f, "void", FINISH, [words, line.values[0], TILE * RESULT_ROW, 0, o0, outputs,
                                      line.values[1], cols])
        line.next(f.at(line.values[0], "i8", RESULT_ROW), f.add(line.values[1], f.word(OUT_W)))


def _writer() -> Function:
    """16 tiles, output by output, as four rows of 64."""
    f = Function("write_tiles", WRITE_PARAMS)
    with f.loop(0, f.outputs, carried=[f.m, f.result], nonempty=True) as loop:
        place, values = loop.values[0], []
        for _ in range(XI):
            values.append(f.load(VECTOR, place))
            place = f.at(place, "i8", f.m_xi)
        grid = [values[n:n + 6] for n in range(0, XI, 6)]
        half = _columns([_output_side(f, column) for column in _columns(grid)])
        for n, row in enumerate(half):
            _store_row(f, _output_side(f, row), f.at(loop.values[1], "i8", n * RESULT_ROW))
        loop.next(f.at(loop.values[0], "i8", f.m_row),
                  f.at(loop.values[1], "i8", TILE * RESULT_ROW))
    return f


def _store_row(f: Function, columns: list[Value], place: Value) -> None:
    """Lane t of column j goes to place[4 t + j]."""
    for half in (0, LANES // 2):
        zipped = [half + n // 2 + LANES * (n % 2) for n in range(LANES)]
        evens, odds = (f.shuffle(*pair, zipped) for pair in (columns[::2], columns[1::2]))
        for part in (0, LANES // 2):
            zipped_again = [part + n // 2 + LANES * (n % 2) for n in range(LANES)]
            f.store(f.shuffle(evens, odds, zipped_again), place)
            place = f.at(place, "float", LANES)
