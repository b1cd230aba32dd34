"""Convolutions by Winograd's F(4x4, 3x3), 36 products for 144, and F(4x4, 2x2), 25 for 64.

A 4x4 tile of the output is A' (sum over channels of (G w G') * (B d B')) A, the product element by
element: for each xi a small matrix product over channels, for which the micro-kernels serve. The
gradient of the weights is G' (sum over tiles of (A g A') * (B d B')) G. The transforms are in
tiles.py. What is a sum of such convolutions has phases: with 4x4 taps and stride 2 every second row
and column of the image and of the taps, in three dimensions each plane of the taps.

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
from itertools import product
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
from .tiles import (METHODS, TILE, read_tiles, read_weights, tile_words, write_tiles,
                    write_weights)

LEAST_CHANNELS = 16
LEAST_TILES = 16        # that are worth transforming the weights
LEAST_USE = 0.35       # of the outputs in all tiles
FEW_TILES = 128         # weights are transformed by the units that need them
MOST_CHANNELS = 128     # of a block
MOST_OUTPUTS = 256
CHAIN = 32              # channels that are summed in a row: rounding errors grow with it
BLOCK = 8192            # tiles * (channels + outputs) of a block; 36 of it stay near
TILES = 32, 64          # of a block
PANEL = PANEL_BYTES // 4
PLENTY = 8              # units that there should be
GRAD_BLOCK = 128, 64    # channels and outputs whose products a unit of the gradient adds up
SHARED = 2              # units that need the same tiles: more are worth making them ahead
MOST_DEEP = 4           # planes of taps
NEAR = 16               # floats among which the taps of a channel must be


class Way(NamedTuple):
    """The method's taps along a side, the step of a phase's positions and taps, planes of taps."""
    taps: int
    every: int
    deep: int

    @property
    def phases(self) -> list[tuple[int, int, int]]:
        """(plane, first row, first column) of taps."""
        return list(product(range(self.deep), range(self.every), range(self.every)))

    @property
    def xi(self) -> int:
        return METHODS[self.taps].xi

    @property
    def depth(self) -> int:
        """Taps of the whole kernel."""
        return self.deep * (self.taps * self.every) ** 2


def way_of(image: Image) -> Way | None:
    deep, high, wide = image.along
    if not 1 <= deep.taps <= MOST_DEEP:
        return None
    for taps, every in ((3, 1), (2, 1), (2, 2)):
        if all((a.taps, a.step, a.move) == (taps * every, 1, every) for a in (high, wide)):
            return Way(taps, every, int(deep.taps))
    return None


def suits(image: Image, channels: int, outputs: int, images: int, groups: int, kind) -> bool:
    """Whether tiles are possible and faster; follows from sizes alone, and the switch."""
    if not config.winograd.value or kind is not float32 or groups != 1 or way_of(image) is None:
        return False
    deep, high, wide = image.along
    tiles = ceil_div(high.out, TILE) * ceil_div(wide.out, TILE)
    return smaller(channels, outputs) >= LEAST_CHANNELS \
        and images * deep.out * tiles >= LEAST_TILES \
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

    def bytes(self, way: Way) -> int:
        return way.xi * self.xi + PANEL_BYTES


def block(rows: int, lanes: int) -> Block:
    row = ceil_div(lanes, PANEL) * PANEL_BYTES
    return Block(rows, row + 64 if row % 512 == 0 else row)


class Tiles(NamedTuple):
    """The reader of an image's tiles and its words, a row for each phase; how many there are."""
    code: Code
    words: list[tuple]
    total: int
    channels: int

    @property
    def all_words(self) -> tuple:
        return tuple(word for words in self.words for word in words)


def _tiles(way: Way, image: Image, channels: int, images: int, of: str = "image") -> Tiles:
    words, (deep, *sides) = [], image.along
    for plane, *taps in way.phases:
        (down, high), (right, wide) = (_phase(along, way.every, n)
                                       for along, n in zip(sides, taps, strict=True))
        met = deep._replace(start=deep.start + plane * deep.step)
        ref = Ref(image.ref.slot, image.ref.offset + down + right)
        words.append(tile_words(ref, image.batch, image.channel, (met, high, wide), channels))
    lie = {4: "columns", 8: "second"}.get(int(wide.stride), "channels")
    total = images * deep.out * ceil_div(high.out, TILE) * ceil_div(wide.out, TILE)
    return Tiles(read_tiles(way.taps, of, lie), words, total, channels)


def _phase(along: Along, every: int, tap: int) -> tuple[int, Along]:
    """(bytes to what tap `tap` and each `every`th after it meet, that as an image)."""
    start = along.start + tap
    skip = start % every
    return skip * along.stride, along._replace(
        stride=along.stride * every, size=ceil_div(along.size - skip, every), start=start // every)


class Ahead(NamedTuple):
    """Where transformed tiles are, or 0: units transform them; and their strides."""
    ref: Ref | int
    row: int
    xi: int


def _ahead(before: list[Call], way: Way, tiles: Tiles, temp: Temp, note: str) -> Ahead:
    """All tiles transformed by a call of its own."""
    whole, cut = block(tiles.total, tiles.channels), balanced(tiles.total, TILES[0], 1)
    channels, nbytes = balanced(tiles.channels, MOST_CHANNELS, LANES), whole.bytes(way)
    ref = temp(nbytes)
    words = (tiles.code, A_HEADER, ref, whole.row, whole.xi, tiles.total, cut.tile, tiles.channels,
             channels.tile, channels.pieces, *tiles.words[0])
    before.append(Call(transform_ahead(), words, cut.pieces * channels.pieces, 1, f"{note}, tiles",
                       bytes=nbytes))
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

(MICRO, READ, READ_WORDS, READ_STEP, PHASES, WEIGHTS, WEIGHTS_WORDS, WRITE, WRITE_WORDS, N_TILES,
 N_TILE, CHANNELS, CHANNEL, OUTPUTS, OUTPUT, OUTPUT_BLOCKS, U, U_PANEL, U_XI, V, V_ROW, V_XI, M_ROW,
 M_XI, U_BYTES, V_BYTES, M_BYTES, ROW_TABLE, K_TABLE, N_XI) = range(30)
HEADER = 30


def winograd(image: Image, w: Weights, channels: int, outputs: int, images: int, result: Finisher,
             temp: Temp, note: str) -> list[Call]:
    """The convolution of `image` with w, through the finisher."""
    way, before, (_, high, wide) = way_of(image), [], image.along
    tiles = _tiles(way, image, channels, images)
    few = len(way.phases) == 1 and tiles.total <= FEW_TILES
    depth = balanced(channels, MOST_CHANNELS, 1)
    cut_t, cut_o = _cut(tiles.total, outputs, depth, few)
    v, m = block(cut_t.tile, depth.tile), block(cut_t.tile, cut_o.tile)
    given = _ahead(before, way, tiles, temp, note) if few else Ahead(0, v.row, v.xi)
    u = _some_of(w, way, depth.tile, cut_o.tile, outputs) if few else \
        _all_weights(before, w, way, channels, outputs, temp)
    at = HEADER + len(tiles.all_words)
    write = (result.code, turn("float"), high.out, wide.out, ceil_div(high.out, TILE),
             ceil_div(wide.out, TILE), *result.words)
    words = (micro(float32, chain=CHAIN), tiles.code, HEADER, len(tiles.words[0]),
             len(tiles.words), u.code, at, write_tiles(way.taps), at + len(u.words), tiles.total,
             cut_t.tile, channels, depth.tile, outputs, cut_o.tile, cut_o.pieces, u.ref, u.panel,
             u.xi, *given, m.row, m.xi, u.nbytes, 0 if few else v.bytes(way), m.bytes(way),
             8 * cut_t.tile + 64, 8 * depth.tile + 64, way.xi, *tiles.all_words, *u.words, *write)
    flops = 2 * images * image.positions * way.depth * channels * outputs
    return [*before, Call(multiply(), words, cut_t.pieces * cut_o.pieces, 1, f"{note}, Winograd",
                          flops=flops)]


def _cut(total: int, outputs: int, channels: Cut, few: bool) -> tuple[Cut, Cut]:
    """Blocks of tiles and outputs that fit into the cache but leave enough units."""
    if few:
        return Cut(total, 1, total), balanced(outputs, PANEL, LANES)
    least, most = TILES
    each = outputs * balanced(total, least, 1).pieces // PLENTY // PANEL * PANEL
    cut = balanced(outputs, larger(PANEL, smaller(MOST_OUTPUTS, each)), PANEL)
    fits = smaller(BLOCK // (channels.tile + cut.tile), total * cut.pieces // PLENTY)
    return balanced(total, larger(least, smaller(most, fits)), 1), cut


class Transformed(NamedTuple):
    """Weights at `ref`, or what units read them with into so many bytes."""
    ref: Ref | int
    panel: int
    xi: int
    code: Code | int = 0
    words: tuple = ()
    nbytes: int = 0


def picked(w: Weights, way: Way) -> list[int]:
    """How many floats after each other the taps of a phase lie."""
    row, col = (int(s) * way.every // 4 for s in w.strides[3:])
    places = [i * row + j * col for i in range(way.taps) for j in range(way.taps)]
    return [place - min(places) for place in places]


def are_near(w: Weights, way: Way) -> bool:
    """Whether the taps of a channel lie side by side, forwards or backwards."""
    return max(picked(w, way)) < NEAR


def _reader(w: Weights, way: Way, phase: tuple[int, int, int], outputs: int) -> tuple[Code, tuple]:
    """What reads the weights of a phase, and its words."""
    _, output, channel, row, col = w.strides
    taps = picked(w, way)
    skip = phase[0] * w.deep + phase[1] * row + phase[2] * col - 4 * taps[0]
    return read_weights(tuple(taps)), (Ref(w.ref.slot, w.ref.offset + skip), output, channel,
                                       outputs)


def _some_of(w: Weights, way: Way, channels: int, block_outputs: int, outputs: int) -> Transformed:
    """Weights that each unit transforms for itself."""
    panel, (code, words) = channels * PANEL_BYTES, _reader(w, way, (0, 0, 0), outputs)
    xi = Block(ceil_div(block_outputs, PANEL), panel).xi
    return Transformed(0, panel, xi, code, words, way.xi * xi + PANEL_BYTES)


(U_READ, U_WORDS, U_DST, U_D_PANEL, U_D_XI, U_CHANNELS, U_OUTPUTS, U_BLOCKS) = range(8)
U_HEADER = 8


def _all_weights(before: list[Call], w: Weights, way: Way, channels: int, outputs: int,
                 temp: Temp) -> Transformed:
    """Weights transformed by calls of their own, the channels of all phases one after the other."""
    panels, blocks = ceil_div(outputs, PANEL), ceil_div(channels, LANES)
    panel = channels * len(way.phases) * PANEL_BYTES
    xi = Block(panels, panel).xi
    ref = temp(way.xi * xi + PANEL_BYTES)
    for n, phase in enumerate(way.phases):
        code, words = _reader(w, way, phase, outputs)
        head = (code, U_HEADER, Ref(ref.slot, ref.offset + n * channels * PANEL_BYTES), panel, xi,
                channels, outputs, blocks)
        before.append(Call(weights_ahead(), (*head, *words), panels * blocks, 1,
                           f"transform weights {times((outputs, channels))}", bytes=way.xi * xi))
    return Transformed(ref, panel, xi)


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
        with f.loop(0, f.word(PHASES), nonempty=True) as phase:
            with f.loop(0, f.word(CHANNELS), f.word(CHANNEL), nonempty=True) as k:
                count = f.umin(f.word(CHANNEL), f.sub(f.word(CHANNELS), k.index))
                where = V, V_ROW, V_XI, READ, f.at(_words(f, READ_WORDS), "i64",
                                                   f.mul(phase.index, f.word(READ_STEP)))
                left = _some_tiles(f, where, v, tiles, Span(k.index, count))
                k0 = f.add(k.index, f.mul(phase.index, f.word(CHANNELS)))
                right = _some_weights(f, u, outputs, Span(k0, count))
                first = f.cast("zext", f.icmp("eq", k0, 0), "i64")
                _multiply(f, left, right, m, (row_table, k_table), tiles, outputs, count, first)
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
            call_word(f, "void", read, [words, scratch, f.word(row), f.word(xi), *tiles, *channels])
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


def _multiply(f: Function, v, u, m, tables, tiles, outputs, count, first) -> None:
    """m[xi] (+)= v[xi] u[xi] for every xi."""
    with f.loop(0, f.word(N_XI), carried=[v, u, m], nonempty=True) as xi:
        a, b, c = xi.values
        with f.loop(0, outputs.count, PANEL, carried=[b, c], nonempty=True) as panel:
            wide = f.icmp("ugt", f.sub(outputs.count, panel.index), LANES)
            vectors = f.add(f.cast("zext", wide, "i64"), 1)
            call_word(f, "void", MICRO, [a, *tables, panel.values[0], PANEL_BYTES, count,
                                         panel.values[1], f.word(M_ROW), first, tiles.count,
                                         vectors])
            panel.next(f.at(panel.values[0], "i8", f.word(U_PANEL)),
                       f.at(panel.values[1], "i8", PANEL_BYTES))
        xi.next(f.at(a, "i8", f.word(V_XI)), f.at(b, "i8", f.word(U_XI)),
                f.at(c, "i8", f.word(M_XI)))


# --- weight gradient ------------------------------------------------------------------------------

(G_MICRO, G_READ, G_READ_WORDS, G_READ_STEP, G_PHASES, H_READ, H_READ_WORDS, G_WRITE,
 G_WRITE_WORDS, G_TILES, G_TILE, G_PART, G_CHANNELS, G_CHANNEL, G_CHANNEL_BLOCKS, G_OUTPUTS,
 G_OUTPUT, G_OUTPUT_BLOCKS, G_V, G_V_ROW, G_V_XI, G_H, G_H_ROW, G_H_XI, D_ROW, D_XI, D_PHASE,
 G_V_BYTES, G_H_BYTES, D_BYTES, G_ROW_TABLE, G_K_TABLE, G_XI) = range(33)
G_HEADER = 33


class Factor(NamedTuple):
    """One side of the products of a weight gradient: where its tiles are, or scratch for them."""
    given: Ahead
    scratch: int


def winograd_weight_grad(image: Image, g: View, channels: int, result: Finisher, temp: Temp,
                         note: str) -> list[Call]:
    """The gradient in weights of a convolution of `image`, from g [n, o, *p]."""
    (images, outputs), way, before, after = g.shape[:2], way_of(image), [], []
    x, y = _tiles(way, image, channels, images), _tiles(Way(way.taps, 1, 1), _as_image(g),
                                                        outputs, images, "gradient")
    cut_c, cut_o = (balanced(n, most // d, LANES) for n, most, d in zip(
        (channels, outputs), GRAD_BLOCK, (len(way.phases), 1), strict=True))
    blocks, cut_t = cut_c.pieces * cut_o.pieces, balanced(x.total, TILES[0], 1)
    per_part = ceil_div(cut_t.pieces, larger(1, PLENTY // blocks))
    parts, keep = ceil_div(cut_t.pieces, per_part), result
    v = _factor(before, way, x, cut_t, cut_c, len(way.phases) == 1 and cut_o.pieces > SHARED, temp,
                note)
    h = _factor(before, way, y, cut_t, cut_o, cut_c.pieces > SHARED, temp, note)
    if parts > 1:
        keep, add = in_parts(float32, parts, 1, outputs, channels * way.depth, result, temp, note)
        after.append(add)
    d, at = block(cut_c.tile, cut_o.tile), G_HEADER + len(x.all_words)
    write = (keep.code, turn("float"), *keep.words)
    words = (micro(float32), x.code, G_HEADER, len(x.words[0]), len(x.words), y.code, at,
             write_weights(*way), at + len(y.all_words), x.total, cut_t.tile,
             per_part * cut_t.tile, channels, cut_c.tile, cut_c.pieces, outputs, cut_o.tile,
             cut_o.pieces, *v.given, *h.given, d.row, d.xi, d.bytes(way), v.scratch, h.scratch,
             d.bytes(way) * len(x.words), 8 * cut_c.tile + 64, 8 * cut_t.tile + 64, way.xi,
             *x.all_words, *y.all_words, *write)
    flops = 2 * images * image.positions * way.depth * channels * outputs
    return [*before, Call(grad(), words, parts * blocks, 1, f"{note}, Winograd", flops=flops),
            *after]


def _factor(before: list[Call], way: Way, tiles: Tiles, cut_t: Cut, cut_c: Cut, is_shared: bool,
            temp: Temp, note: str) -> Factor:
    if is_shared:
        return Factor(_ahead(before, way, tiles, temp, note), 0)
    own = block(cut_t.tile, cut_c.tile)
    return Factor(Ahead(0, own.row, own.xi), own.bytes(way))


def _as_image(g: View) -> Image:
    batch, channel, *inner = (s * g.itemsize for s in g.strides)
    along = [Along(s, n, n, 1, 0, 1, 1) for s, n in zip(inner, g.shape[2:], strict=True)]
    plain = Along(0, 1, 1, 1, 0, 1, 1)
    return Image(g.ref, 0, batch, channel, (*[plain] * (3 - len(along)), *along))


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
            first = f.cast("zext", f.icmp("eq", k.index, 0), "i64")
            _add_block(f, (v, h, d), (row_table, k_table), tiles, channels, outputs, first)
        call_word(f, "void", G_WRITE, [_words(f, G_WRITE_WORDS), d, f.word(D_ROW), f.word(D_XI),
                                       f.word(D_PHASE), part, *channels, *outputs])
    return f.code()


def _add_block(f: Function, scratch, tables, tiles, channels, outputs, first) -> None:
    """A block of tiles, for every phase."""
    v, h, d = scratch
    where = G_H, G_H_ROW, G_H_XI, H_READ, _words(f, H_READ_WORDS)
    right = _some_tiles(f, where, h, tiles, outputs)
    with f.loop(0, f.word(G_PHASES), carried=[_words(f, G_READ_WORDS), d], nonempty=True) as phase:
        words, sums = phase.values
        left = _some_tiles(f, (G_V, G_V_ROW, G_V_XI, G_READ, words), v, tiles, channels)
        _add_products(f, left, right, sums, tables, tiles, outputs, channels, first)
        phase.next(f.at(words, "i64", f.word(G_READ_STEP)), f.at(sums, "i8", f.word(D_PHASE)))


def _add_products(f: Function, v, h, d, tables, tiles, outputs, channels, first) -> None:
    """d[xi] (+)= v[xi]' h[xi] for every xi."""
    with f.loop(0, f.word(G_XI), carried=[v, h, d], nonempty=True) as xi:
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
