"""Operands that are contiguous along another axis than the vectors: 16 lines, a few elements of each.

    lines 0..15, each with elements a b c d       ->      vectors  a0 a1 ... a15,  b0 ... b15,  c..., d...
"""
from __future__ import annotations

from ..compiler.kernel import LANES, TILE
from .emit import SIZES, Function, Value, poison, vector
from .pack import join, transpose_quads

PIECE = 16              # bytes of a line that are loaded at once


def load_turned(f: Function, element: str, lines: list[Value], rows: int) -> list[Value]:
    """`rows` vectors: vector r holds element r of each of the 16 lines."""
    size = SIZES[element]
    if size > 8:
        return [join_lanes(f, element, [f.at(line, element, r) for line in lines]) for r in range(rows)]
    if rows == LANES and size == 4:
        return _whole_lines(f, [f.load(vector(element), line) for line in lines])
    return [v for at in range(0, rows, TILE)
            for v in _few(f, element, [f.at(line, element, at) for line in lines])]


def join_lanes(f: Function, element: str, places: list[Value]) -> Value:
    """One element from each place."""
    made = poison(vector(element))
    for lane, place in enumerate(places):
        made = f.insert(made, f.load(element, place), lane)
    return made


def _whole_lines(f: Function, lines: list[Value]) -> list[Value]:
    """16 x 16: four by four inside of 16 bytes, then 16 bytes as a whole. Each line is touched once."""
    fours = [transpose_quads(f, lines[at:at + 4]) for at in range(0, LANES, 4)]
    turned = [_swap_blocks(f, [four[r] for four in fours]) for r in range(4)]
    return [turned[r % 4][r // 4] for r in range(LANES)]


def _swap_blocks(f: Function, rows: list[Value]) -> list[Value]:
    """The 4 x 4 transpose of blocks of 4 lanes."""
    lanes = lambda *blocks: [4 * block + lane for block in blocks for lane in range(4)]
    pairs = [(f.shuffle(a, b, lanes(0, 2, 4, 6)), f.shuffle(a, b, lanes(1, 3, 5, 7)))
             for a, b in (rows[:2], rows[2:])]
    return [f.shuffle(pairs[0][k % 2], pairs[1][k % 2], lanes(k // 2, 2 + k // 2, 4 + k // 2, 6 + k // 2))
            for k in range(4)]


def _few(f: Function, element: str, lines: list[Value]) -> list[Value]:
    """TILE elements of each line."""
    size = SIZES[element]
    if size < 4:
        return _by_way_of_words(f, element, lines)
    quad = PIECE // size
    pieces = [[f.load(vector(element, quad), f.at(line, element, r)) for r in range(0, TILE, quad)]
              for line in lines]
    return [v for r in range(TILE // quad) for v in _turned(f, [p[r] for p in pieces], 4 * quad)]


def _turned(f: Function, pieces: list[Value], width: int) -> list[Value]:
    """As many vectors as a piece has elements, from `width` lines at a time."""
    quad = width // 4
    parts = [transpose_quads(f, [join(f, pieces[at:at + width][n::quad]) for n in range(quad)])
             for at in range(0, LANES, width)]
    return [join(f, [part[r] for part in parts]) for r in range(quad)]


def _by_way_of_words(f: Function, element: str, lines: list[Value]) -> list[Value]:
    """Small elements are turned as 32-bit words."""
    narrow = f"i{8 * SIZES[element]}"
    pieces = [f.cast("zext", f.load(vector(narrow, TILE), line), "i32") for line in lines]
    words = _turned(f, pieces, LANES)
    return [f.cast("bitcast", f.cast("trunc", w, narrow), element) for w in words]
