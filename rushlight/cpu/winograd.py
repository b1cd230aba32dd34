"""Convolutions with 3x3 taps and stride 1 by Winograd's F(4x4, 3x3): 36 products for 144.

A 4x4 tile of the output is A' (sum over channels of (G w G') * (B d B')) A, the product element by
element: 36 small matrix products over channels, for which the micro-kernels serve. The gradient of
the weights is G' (sum over tiles of (A g A') * (B d B')) G. The transforms are in tiles.py.

    multiply    m[xi][tile][output] (+)= v[xi][tile][channel] u[xi][channel][output]; a unit is a
                block of tiles by a block of outputs
    grad        d[xi][channel][output] (+)= v[xi][tile][channel]' h[xi][tile][output]; a unit is a
                part of the tiles by a block of channels by a block of outputs

What a unit needs of v, u and h is transformed by the unit, in the cache; or, where several units
need the same, ahead of them.

Rounding errors are two to three times those of sums over taps; `RUSHLIGHT_WINOGRAD=off` keeps to
the latter.
"""
from __future__ import annotations

from functools import cache
from typing import NamedTuple

from .. import config
from ..compiler.kernel import LANES, Call, Code, Ref, View
from ..compiler.sizes import larger, smaller, times
from ..dtypes import float32
from .contract import Cut, Temp, balanced, ceil_div, in_parts
from .depthwise import Weights
from .emit import Function, Value
from .finish import Finisher
from .image import Along, Image
from .micro import PANEL_BYTES, micro
from .pack import call_word, dynamic_alloca, fill_table, turn
from .tiles import (SIDE, TAPS, TILE, XI, read_tiles, read_weights, tile_words, write_tiles,
                    write_weights)

LEAST_CHANNELS = 16
LEAST_TILES = 16        # that are worth transforming the weights
LEAST_USE = 0.5         # of the outputs in all tiles
FEW_TILES = 128         # weights are transformed by the units that need them
MOST_CHANNELS = 128     # of a block
MOST_OUTPUTS = 256
CHAIN = 16              # channels that are summed in a row: rounding errors grow with it
BLOCK = 8192            # tiles * (channels + outputs) of a block; 36 of it stay near
TILES = 32, 64          # of a block
PANEL = PANEL_BYTES // 4
PLENTY = 8              # units that there should be
GRAD_BLOCK = 128, 64    # channels and outputs whose products a unit of the gradient adds up
SHARED = 2              # units that need the same tiles: more are worth making them ahead


def suits(image: Image, channels: int, outputs: int, images: int, groups: int, kind) -> bool:
    """Whether tiles are possible and faster; follows from sizes alone, and the switch."""
    deep, high, wide = image.along
    plain = (deep.out, deep.taps, deep.size, deep.start) == (1, 1, 1, 0)
    three = all((a.taps, a.step, a.move) == (TAPS, 1, 1) for a in (high, wide))
    if not (config.winograd.value and kind is float32 and groups == 1 and plain and three):
        return False
    tiles = ceil_div(high.out, TILE) * ceil_div(wide.out, TILE)
    return smaller(channels, outputs) >= LEAST_CHANNELS and images * tiles >= LEAST_TILES \
        and high.out * wide.out >= LEAST_USE * tiles * TILE * TILE


# --- what is multiplied ---------------------------------------------------------------------------

class Block(NamedTuple):
    """Transformed tiles or weights, [xi][row][lane]: bytes between rows and between xi."""
    rows: int
    row: int

    @property
    def xi(self) -> int:
        """An odd number of cache lines, lest all 36 fight for the same ones."""
        return (self.rows * self.row // 64 | 1) * 64

    @property
    def bytes(self) -> int:
        return XI * self.xi + PANEL_BYTES


def block(rows: int, lanes: int) -> Block:
    row = ceil_div(lanes, PANEL) * PANEL_BYTES
    return Block(rows, row + 64 if row % 512 == 0 else row)


class Tiles(NamedTuple):
    """The reader of an image's tiles and its words; how many tiles, how many channels."""
    code: Code
    words: tuple
    total: int
    channels: int


def _tiles(image: Image, channels: int, images: int, side: int) -> Tiles:
    _, high, wide = image.along
    way = "columns" if wide.stride == 4 else "channels"
    words = tile_words(image.ref, image.batch, image.channel, high, wide, channels)
    total = images * ceil_div(high.out, TILE) * ceil_div(wide.out, TILE)
    return Tiles(read_tiles(side, way), words, total, channels)


class Ahead(NamedTuple):
    """Where transformed tiles are, or 0: units transform them; and their strides."""
    ref: Ref | int
    row: int
    xi: int


def _ahead(before: list[Call], tiles: Tiles, temp: Temp, note: str) -> Ahead:
    """All tiles transformed by a call of its own."""
    whole, cut = block(tiles.total, tiles.channels), balanced(tiles.total, TILES[0], 1)
    ref, channels = temp(whole.bytes), balanced(tiles.channels, MOST_CHANNELS, LANES)
    words = (tiles.code, A_HEADER, ref, whole.row, whole.xi, tiles.total, cut.tile,
             tiles.channels, channels.tile, channels.pieces, *tiles.words)
    before.append(Call(transform_ahead(), words, cut.pieces * channels.pieces, 1,
                       f"{note}, tiles", bytes=whole.bytes))
    return Ahead(ref, whole.row, whole.xi)


(A_READ, A_WORDS, A_DST, A_ROW, A_XI, A_TILES, A_TILE, A_CHANNELS, A_BLOCK, A_BLOCKS) = range(10)
A_HEADER = 10


@cache
def transform_ahead() -> Code:
    """A unit is a block of tiles of a block of channels."""
    f = Function("winograd_tiles")
    with f.loop(f.lo, f.hi) as unit:
        t0 = f.mul(f.udiv(unit.index, f.word(A_BLOCKS)), f.word(A_TILE))
        c0 = f.mul(f.urem(unit.index, f.word(A_BLOCKS)), f.word(A_BLOCK))
        dst = f.at(f.word(A_DST, "ptr"), "i8", f.add(f.mul(t0, f.word(A_ROW)), f.mul(c0, 4)))
        call_word(f, "void", A_READ, [
            f.at(f.args, "i64", A_HEADER), dst, f.word(A_ROW), f.word(A_XI),
            t0, f.umin(f.word(A_TILE), f.sub(f.word(A_TILES), t0)),
            c0, f.umin(f.word(A_BLOCK), f.sub(f.word(A_CHANNELS), c0))])
    return f.code()


# --- forward and input gradient: planning ---------------------------------------------------------

(MICRO, READ, READ_WORDS, WEIGHTS, WEIGHTS_WORDS, WRITE, WRITE_WORDS, N_TILES, N_TILE, CHANNELS,
 CHANNEL, OUTPUTS, OUTPUT, OUTPUT_BLOCKS, U, U_PANEL, U_XI, V, V_ROW, V_XI, M_ROW, M_XI, U_BYTES,
 V_BYTES, M_BYTES, ROW_TABLE, K_TABLE) = range(27)
HEADER = 27


def winograd(image: Image, w: Weights, channels: int, outputs: int, images: int, result: Finisher,
             temp: Temp, note: str) -> list[Call]:
    """The convolution of `image` with w, through the finisher."""
    _, high, wide = image.along
    tiles, before = _tiles(image, channels, images, SIDE), []
    few = tiles.total <= FEW_TILES
    depth = balanced(channels, MOST_CHANNELS, 1)
    cut_o = balanced(outputs, PANEL if few else MOST_OUTPUTS, LANES)
    cut_t = _cut_tiles(tiles.total, depth, cut_o, few)
    weights, weight_words = _weights(w, outputs)
    v, m = block(cut_t.tile, depth.tile), block(cut_t.tile, cut_o.tile)
    own = not few
    given = Ahead(0, v.row, v.xi) if own else _ahead(before, tiles, temp, note)
    u = Block(depth.tile if few else channels, PANEL_BYTES)
    panels = ceil_div(cut_o.tile if few else outputs, PANEL)
    u_panel = u.rows * PANEL_BYTES
    u_xi = Block(panels, u_panel).xi
    ref = 0 if few else _weights_ahead(before, weights, weight_words, (channels, outputs, u_panel,
                                                                       u_xi), temp)
    at = HEADER + len(tiles.words)
    write = (result.code, turn("float"), high.out, wide.out,
             ceil_div(high.out, TILE), ceil_div(wide.out, TILE), *result.words)
    words = (micro(float32, chain=CHAIN), tiles.code, HEADER, weights, at,
             write_tiles(), at + len(weight_words), tiles.total, cut_t.tile, channels,
             depth.tile, outputs, cut_o.tile, cut_o.pieces, ref, u_panel, u_xi, given.ref,
             given.row, given.xi, m.row, m.xi, few * (XI * u_xi + PANEL_BYTES), own * v.bytes,
             m.bytes, 8 * cut_t.tile + 64, 8 * depth.tile + 64, *tiles.words, *weight_words, *write)
    flops = 2 * images * high.out * wide.out * TAPS * TAPS * channels * outputs
    return [*before, Call(multiply(), words, cut_t.pieces * cut_o.pieces, 1, f"{note}, Winograd",
                          flops=flops)]


def _cut_tiles(total: int, channels: Cut, outputs: Cut, few: bool) -> Cut:
    """Blocks of tiles that fit into the cache but leave enough units."""
    if few:
        return Cut(total, 1, total)
    least, most = TILES
    fits = smaller(BLOCK // (channels.tile + outputs.tile), total * outputs.pieces // PLENTY)
    return balanced(total, larger(least, smaller(most, fits)), 1)


def _weights(w: Weights, outputs: int) -> tuple[Code, tuple]:
    """The reader of weights and its words."""
    _, output, channel, row, col = w.strides
    flipped = row < 0
    start = Ref(w.ref.slot, w.ref.offset + 2 * (row + col)) if flipped else w.ref
    return read_weights(flipped), (start, output, channel, outputs)


def are_packed(w: Weights) -> bool:
    """Whether the nine taps lie side by side, forwards or backwards."""
    return w.strides[3:] in ((12, 4), (-12, -4))


(U_READ, U_WORDS, U_DST, U_D_PANEL, U_D_XI, U_CHANNELS, U_OUTPUTS, U_BLOCKS) = range(8)
U_HEADER = 8


def _weights_ahead(before: list[Call], code: Code, words: tuple, sizes, temp: Temp) -> Ref:
    channels, outputs, panel, xi = sizes
    ref, blocks = temp(XI * xi + PANEL_BYTES), ceil_div(channels, LANES)
    head = (code, U_HEADER, ref, panel, xi, channels, outputs, blocks)
    before.append(Call(weights_ahead(), (*head, *words), ceil_div(outputs, PANEL) * blocks, 1,
                       f"transform weights {times((outputs, channels))}", bytes=XI * xi))
    return ref


@cache
def weights_ahead() -> Code:
    """A unit is a panel of outputs of 16 channels."""
    f = Function("winograd_weights")
    with f.loop(f.lo, f.hi) as unit:
        panel = f.udiv(unit.index, f.word(U_BLOCKS))
        c0, o0 = f.mul(f.urem(unit.index, f.word(U_BLOCKS)), LANES), f.mul(panel, PANEL)
        dst = f.at(f.word(U_DST, "ptr"), "i8", f.add(f.mul(panel, f.word(U_D_PANEL)),
                                                     f.mul(c0, PANEL_BYTES)))
        call_word(f, "void", U_READ, [
            f.at(f.args, "i64", U_HEADER), dst, f.word(U_D_PANEL), f.word(U_D_XI),
            o0, f.umin(f.sub(f.word(U_OUTPUTS), o0), PANEL),
            c0, f.umin(f.sub(f.word(U_CHANNELS), c0), LANES)])
    return f.code()


# --- forward and input gradient: the driver -------------------------------------------------------

class Span(NamedTuple):
    """First and number of tiles, channels or outputs."""
    first: Value
    count: Value


def _span(f: Function, number, tile: int, total: int) -> Span:
    """Piece `number` of those of word `tile` in word `total`."""
    first = f.mul(number, f.word(tile))
    return Span(first, f.umin(f.word(tile), f.sub(f.word(total), first)))


def _words(f: Function, word: int) -> Value:
    return f.at(f.args, "i64", f.word(word))


@cache
def multiply() -> Code:
    """A unit is (block of tiles, block of outputs)."""
    f = Function("winograd")
    u, v, m, row_table, k_table = (dynamic_alloca(f, f.word(w)) for w in (
        U_BYTES, V_BYTES, M_BYTES, ROW_TABLE, K_TABLE))
    fill_table(f, row_table, f.word(N_TILE), f.value(0), f.word(V_ROW))
    fill_table(f, k_table, f.word(CHANNEL), f.value(0), 4)
    with f.loop(f.lo, f.hi) as unit:
        tiles = _span(f, f.udiv(unit.index, f.word(OUTPUT_BLOCKS)), N_TILE, N_TILES)
        outputs = _span(f, f.urem(unit.index, f.word(OUTPUT_BLOCKS)), OUTPUT, OUTPUTS)
        with f.loop(0, f.word(CHANNELS), f.word(CHANNEL), nonempty=True) as k:
            count = f.umin(f.word(CHANNEL), f.sub(f.word(CHANNELS), k.index))
            channels = Span(k.index, count)
            left = _some_tiles(f, (V, V_ROW, V_XI, READ, READ_WORDS), v, tiles, channels)
            right = _some_weights(f, u, outputs, channels)
            first = f.cast("zext", f.icmp("eq", k.index, 0), "i64")
            _multiply(f, left, right, m, (row_table, k_table), tiles, outputs, channels, first)
        call_word(f, "void", WRITE, [_words(f, WRITE_WORDS), m, f.word(M_ROW), f.word(M_XI),
                                     *tiles, *outputs])
    return f.code()


def _some_tiles(f: Function, where, scratch: Value, tiles: Span, channels: Span) -> Value:
    """Tiles of a block of channels: those made ahead, or made now."""
    given, row, xi, read, words = where
    with f.either(f.icmp("ne", f.word(given), 0)) as either:
        with either.yes:
            offset = f.add(f.mul(tiles.first, f.word(row)), f.mul(channels.first, 4))
            either.give(f.at(f.word(given, "ptr"), "i8", offset))
        with either.no:
            call_word(f, "void", read, [_words(f, words), scratch, f.word(row), f.word(xi),
                                        *tiles, *channels])
            either.give(scratch)
    return either.results[0]


def _some_weights(f: Function, scratch: Value, outputs: Span, channels: Span) -> Value:
    with f.either(f.icmp("ne", f.word(U), 0)) as either:
        with either.yes:
            panel = f.udiv(outputs.first, PANEL)
            offset = f.add(f.mul(panel, f.word(U_PANEL)), f.mul(channels.first, PANEL_BYTES))
            either.give(f.at(f.word(U, "ptr"), "i8", offset))
        with either.no:
            call_word(f, "void", WEIGHTS, [_words(f, WEIGHTS_WORDS), scratch, f.word(U_PANEL),
                                           f.word(U_XI), *outputs, *channels])
            either.give(scratch)
    return either.results[0]


def _multiply(f: Function, v, u, m, tables, tiles, outputs, channels, first) -> None:
    """m[xi] (+)= v[xi] u[xi] for every xi."""
    with f.loop(0, XI, carried=[v, u, m], nonempty=True) as xi:
        a, b, c = xi.values
        with f.loop(0, outputs.count, PANEL, carried=[b, c], nonempty=True) as panel:
            wide = f.icmp("ugt", f.sub(outputs.count, panel.index), LANES)
            vectors = f.add(f.cast("zext", wide, "i64"), 1)
            call_word(f, "void", MICRO, [a, *tables, panel.values[0], PANEL_BYTES, channels.count,
                                         panel.values[1], f.word(M_ROW), first, tiles.count,
                                         vectors])
            panel.next(f.at(panel.values[0], "i8", f.word(U_PANEL)),
                       f.at(panel.values[1], "i8", PANEL_BYTES))
        xi.next(f.at(a, "i8", f.word(V_XI)), f.at(b, "i8", f.word(U_XI)),
                f.at(c, "i8", f.word(M_XI)))


# --- weight gradient ------------------------------------------------------------------------------

(G_MICRO, G_READ, G_READ_WORDS, H_READ, H_READ_WORDS, G_WRITE, G_WRITE_WORDS, G_TILES, G_TILE,
 G_PART, G_CHANNELS, G_CHANNEL, G_CHANNEL_BLOCKS, G_OUTPUTS, G_OUTPUT, G_OUTPUT_BLOCKS, G_V,
 G_V_ROW, G_V_XI, G_H, G_H_ROW, G_H_XI, D_ROW, D_XI, G_V_BYTES, G_H_BYTES, D_BYTES, G_ROW_TABLE,
 G_K_TABLE) = range(29)
G_HEADER = 29


def winograd_weight_grad(image: Image, g: View, channels: int, result: Finisher, temp: Temp,
                         note: str) -> list[Call]:
    """The gradient in weights of a convolution of `image`, from g [n, o, *p]."""
    (images, outputs), before = g.shape[:2], []
    x, y = _tiles(image, channels, images, SIDE), _tiles(_as_image(g), outputs, images, TILE)
    cut_c, cut_o = (balanced(n, most, LANES) for n, most in
                    zip((channels, outputs), GRAD_BLOCK, strict=True))
    blocks = cut_c.pieces * cut_o.pieces
    cut_t = balanced(x.total, TILES[0], 1)
    per_part = ceil_div(cut_t.pieces, larger(1, PLENTY // blocks))
    parts = ceil_div(cut_t.pieces, per_part)
    v, h = (Ahead(0, b.row, b.xi) for b in (block(cut_t.tile, cut_c.tile),
                                            block(cut_t.tile, cut_o.tile)))
    v_bytes, h_bytes = (block(cut_t.tile, cut.tile).bytes for cut in (cut_c, cut_o))
    if cut_o.pieces > SHARED:
        v, v_bytes = _ahead(before, x, temp, note), 0
    if cut_c.pieces > SHARED:
        h, h_bytes = _ahead(before, y, temp, note), 0
    keep, after = result, []
    if parts > 1:
        keep, add = in_parts(float32, parts, 1, outputs, channels * TAPS * TAPS, result, temp, note)
        after.append(add)
    d, at = block(cut_c.tile, cut_o.tile), G_HEADER + len(x.words)
    write = (keep.code, turn("float"), *keep.words)
    words = (micro(float32), x.code, G_HEADER, y.code, at,
             write_weights(), at + len(y.words), x.total, cut_t.tile, per_part * cut_t.tile,
             channels, cut_c.tile, cut_c.pieces, outputs, cut_o.tile, cut_o.pieces, *v, *h, d.row,
             d.xi, v_bytes, h_bytes, d.bytes, 8 * cut_c.tile + 64, 8 * cut_t.tile + 64,
             *x.words, *y.words, *write)
    flops = 2 * g.shape[0] * g.shape[2] * g.shape[3] * TAPS * TAPS * channels * outputs
    return [*before, Call(grad(), words, parts * blocks, 1, f"{note}, Winograd", flops=flops),
            *after]


def _as_image(g: View) -> Image:
    batch, channel, row, col = (s * g.itemsize for s in g.strides)
    high, wide = (Along(s, n, n, 1, 0, 1, 1) for s, n in ((row, g.shape[2]), (col, g.shape[3])))
    return Image(g.ref, 0, batch, channel, (Along(0, 1, 1, 1, 0, 1, 1), high, wide))


@cache
def grad() -> Code:
    """A unit is (part of the tiles, block of channels, block of outputs)."""
    f = Function("winograd_grad")
    v, h, d, row_table, k_table = (dynamic_alloca(f, f.word(w)) for w in (
        G_V_BYTES, G_H_BYTES, D_BYTES, G_ROW_TABLE, G_K_TABLE))
    fill_table(f, row_table, f.word(G_CHANNEL), f.value(0), 4)
    fill_table(f, k_table, f.word(G_TILE), f.value(0), f.word(G_V_ROW))
    with f.loop(f.lo, f.hi) as unit:
        rest = f.udiv(unit.index, f.word(G_OUTPUT_BLOCKS))
        outputs = _span(f, f.urem(unit.index, f.word(G_OUTPUT_BLOCKS)), G_OUTPUT, G_OUTPUTS)
        channels = _span(f, f.urem(rest, f.word(G_CHANNEL_BLOCKS)), G_CHANNEL, G_CHANNELS)
        part = f.udiv(rest, f.word(G_CHANNEL_BLOCKS))
        start, count = _span(f, part, G_PART, G_TILES)
        with f.loop(0, count, f.word(G_TILE), nonempty=True) as k:
            tiles = Span(f.add(start, k.index), f.umin(f.word(G_TILE), f.sub(count, k.index)))
            left = _some_tiles(f, (G_V, G_V_ROW, G_V_XI, G_READ, G_READ_WORDS), v, tiles, channels)
            right = _some_tiles(f, (G_H, G_H_ROW, G_H_XI, H_READ, H_READ_WORDS), h, tiles, outputs)
            first = f.cast("zext", f.icmp("eq", k.index, 0), "i64")
            _add_products(f, left, right, d, (row_table, k_table), tiles, outputs, channels, first)
        call_word(f, "void", G_WRITE, [_words(f, G_WRITE_WORDS), d, f.word(D_ROW), f.word(D_XI),
                                       part, *channels, *outputs])
    return f.code()


def _add_products(f: Function, v, h, d, tables, tiles, outputs, channels, first) -> None:
    """d[xi] (+)= v[xi]' h[xi] for every xi."""
    with f.loop(0, XI, carried=[v, h, d], nonempty=True) as xi:
        a, b, c = xi.values
        with f.loop(0, outputs.count, PANEL, carried=[b, c], nonempty=True) as panel:
            wide = f.icmp("ugt", f.sub(outputs.count, panel.index), LANES)
            vectors = f.add(f.cast("zext", wide, "i64"), 1)
            call_word(f, "void", G_MICRO, [a, *tables, panel.values[0], f.word(G_H_ROW),
                                           tiles.count, panel.values[1], f.word(D_ROW), first,
                                           channels.count, vectors])
            panel.next(*(f.at(p, "i8", PANEL_BYTES) for p in panel.values))
        xi.next(f.at(a, "i8", f.word(G_V_XI)), f.at(b, "i8", f.word(G_H_XI)),
                f.at(c, "i8", f.word(D_XI)))
