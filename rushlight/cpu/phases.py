"""The phases of a strided input gradient: which taps meet, and how results are put together.

Image indices i with equal i % stride meet the same taps, `tap_step` apart. Each phase is an
ordinary convolution into its own packed result; `interleave` passes over the image once, takes
every line from its phases and hands it to the finisher.
"""
from __future__ import annotations

from functools import cache
from math import gcd, prod
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Code, View
from ..compiler.sizes import larger, smaller
from ..dtypes import dtype
from .contract import SMALL, ceil_div
from .emit import SIZES, Function, Value, constant
from .finish import Finisher
from .image import Along
from .pack import call_word, dynamic_alloca


class Phase(NamedTuple):
    """Every stride-th image index of one dimension, and the taps that they all meet."""
    tap: int
    tap_step: int
    along: Along


def phases(size: int, positions: int, g_stride: int, kernel: int, stride: int, pad: int, step: int):
    """A Phase for each residue of the stride."""
    every_tap = stride // gcd(stride, step)
    for first in range(min(stride, size)):
        taps = [k for k in range(kernel) if (first + pad - k * step) % stride == 0]
        tap = taps[0] if taps else 0
        yield Phase(tap, every_tap, Along(
            g_stride, ceil_div(size - first, stride), positions, 1,
            (first + pad - tap * step) // stride, -(every_tap * step // stride), len(taps)))


(I_FINISH, I_FINISH_WORDS, I_CHANNELS, I_CHANNEL_TILE, I_CHANNEL_TILES, I_ROW_TILE, I_ROW_TILES,
 I_COL_TILE, I_COL_TILES, I_ROW, I_BUFFER, I_DEPTH, I_HEIGHT, I_WIDTH, I_PHASES_D, I_PHASES_H,
 I_PHASES_W, I_PHASE) = range(18)
PHASE_WORDS = 5         # address or 0, then bytes between images, channels, planes, rows
GATHERED = 64           # channels of a unit
GATHERED_COLS = 512     # positions of a unit


def interleave(out: View, kind: dtype, parts: list[View | None], counts: list[int],
               result: Finisher, note: str) -> Call:
    """One pass over out: lines are put together from the phases and go through the finisher."""
    size = kind.itemsize
    depth, height, width = (1,) * (5 - len(out.shape)) + out.shape[2:]
    cols = width if width <= GATHERED_COLS else larger(1, GATHERED_COLS // counts[-1]) * counts[-1]
    rows = smaller(height, GATHERED_COLS // width) if width <= GATHERED_COLS else 1
    channels = smaller(out.shape[1], GATHERED)
    tiles = ceil_div(out.shape[1], channels), ceil_div(height, rows), ceil_div(width, cols)
    row = (rows * cols + 2 * LANES) * size
    head = (result.code, I_PHASE + PHASE_WORDS * len(parts), out.shape[1], channels,
            tiles[0], rows, tiles[1], cols, tiles[2], row, row * channels, depth, height, width,
            *[1] * (3 - len(counts)), *counts)
    words = (*head, *(word for part in parts for word in _phase_words(part)), *result.words)
    units = out.shape[0] * depth * prod(tiles)
    grain = smaller(units, larger(1, SMALL // (channels * rows * cols)))
    return Call(interleave_kernel(kind.llvm), words, units, grain,
                f"{note}, {len(parts)} phases", bytes=2 * prod(out.shape) * size)


def _phase_words(part: View | None) -> tuple:
    if part is None:
        return (0,) * PHASE_WORDS
    image, channel, *inner = (s * part.itemsize for s in part.strides)
    plane, row = ([0, 0, *inner][-3:])[:2]
    return part.ref, image, channel, plane, row


@cache
def interleave_kernel(element: str) -> Code:
    """A unit is (image, plane, rows, columns, channels) of the result."""
    f = Function(f"interleave_{element}")
    buffer = dynamic_alloca(f, f.word(I_BUFFER))
    with f.loop(f.lo, f.hi) as unit:
        rest, c0, channels = _tile(f, unit.index, I_CHANNEL_TILE, I_CHANNELS)
        rest, w0, cols = _tile(f, rest, I_COL_TILE, I_WIDTH)
        plane, h0, rows = _tile(f, rest, I_ROW_TILE, I_HEIGHT)
        with f.loop(0, channels) as channel:
            dst = f.at(buffer, "i8", f.mul(channel.index, f.word(I_ROW)))
            _interleave_rows(f, element, dst, (plane, f.add(c0, channel.index), h0, rows, w0, cols))
        position = f.add(f.mul(f.add(f.mul(plane, f.word(I_HEIGHT)), h0), f.word(I_WIDTH)), w0)
        words = f.at(f.args, "i64", f.word(I_FINISH_WORDS))
        call_word(f, "void", I_FINISH, [words, buffer, f.word(I_ROW), 0, c0, channels, position,
                                        f.mul(rows, cols)])
    return f.code()


def _tile(f: Function, index, tile: int, total: int):
    """(rest of the index, start and size of the tile); the word after `tile` counts the tiles."""
    rest, number = f.udiv(index, f.word(tile + 1)), f.urem(index, f.word(tile + 1))
    start = f.mul(number, f.word(tile))
    return rest, start, f.umin(f.word(tile), f.sub(f.word(total), start))


def _interleave_rows(f: Function, element: str, dst: Value, place) -> None:
    plane, channel, h0, rows, w0, cols = place
    number, depth = f.udiv(plane, f.word(I_DEPTH)), f.urem(plane, f.word(I_DEPTH))
    phase_d = f.mul(f.urem(depth, f.word(I_PHASES_D)), f.word(I_PHASES_H))
    skip = f.mul(f.udiv(w0, f.word(I_PHASES_W)), SIZES[element])
    with f.loop(0, rows) as row:
        h = f.add(h0, row.index)
        phase = f.mul(f.add(phase_d, f.urem(h, f.word(I_PHASES_H))), f.word(I_PHASES_W))
        line = f.at(dst, element, f.mul(row.index, cols))
        index = number, channel, f.udiv(depth, f.word(I_PHASES_D)), f.udiv(h, f.word(I_PHASES_H))
        first = f.at(f.args, "i64", f.add(f.mul(phase, PHASE_WORDS), I_PHASE))
        with f.either(f.icmp("eq", f.word(I_PHASES_W), 2)) as either:
            with either.yes:
                _zip_pair(f, element, first, index, skip, cols, line)
            with either.no, f.loop(0, f.word(I_PHASES_W)) as w:
                place = f.at(first, "i64", f.mul(w.index, PHASE_WORDS))
                _spread(f, element, _line(f, place, index, skip), _width(f, cols, w.index),
                        f.at(line, element, w.index))


def _width(f: Function, cols: Value, phase):
    """Elements of a line of a phase."""
    return f.ceil_div(f.sub(cols, phase), f.word(I_PHASES_W))


def _line(f: Function, phase: Value, index, skip: Value) -> tuple[Value, Value]:
    """(address of a line of a phase, lanes that are all set if there is one)."""
    start = f.load("ptr", phase)
    live = f.icmp("ne", start, constant("ptr", 0))
    source = f.at(start, "i8", skip)
    for n, at in enumerate(index, 1):
        source = f.at(source, "i8", f.mul(at, f.load("i64", f.at(phase, "i64", n))))
    return f.select(live, source, f.args), f.splat(live)      # masked loads from nowhere are slow


def _spread(f: Function, element: str, line, count: Value, dst: Value) -> None:
    """A line goes to every so many-th element of the result; zeros if there is none."""
    (source, live), step = line, f.word(I_PHASES_W)
    offsets = f.strided_offsets(step)
    with f.loop(0, count, LANES) as t:
        mask = f.lane_mask(f.sub(count, t.index))
        value = f.masked_load(element, f.at(source, element, t.index), f.and_(mask, live))
        f.scatter(value, f.at(dst, element, f.mul(t.index, step)), offsets, mask)


def _zip_pair(f: Function, element: str, first: Value, index, skip, cols, dst: Value) -> None:
    """Two lines, element by element in turns; whole vectors are stored, the rest comes later."""
    lines = [_line(f, f.at(first, "i64", n * PHASE_WORDS), index, skip) for n in range(2)]
    zipped = [n // 2 + LANES * (n % 2) for n in range(2 * LANES)]
    with f.loop(0, _width(f, cols, 0), LANES) as t:
        a, b = (f.masked_load(element, f.at(source, element, t.index),
                              f.and_(live, f.lane_mask(f.sub(_width(f, cols, n), t.index))))
                for n, (source, live) in enumerate(lines))
        for half in range(2):
            lanes = zipped[half * LANES:(half + 1) * LANES]
            place = f.add(f.mul(t.index, 2), half * LANES)
            f.store(f.shuffle(a, b, lanes), f.at(dst, element, place))
