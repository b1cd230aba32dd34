"""Copies of many small pieces in one command: each piece is rows of contiguous bytes, and a unit.

    for piece in lo..hi:                    six words in the args block
        for row in rows:
            64 bytes at a time, then 32, 16, 8, 4, 2, 1 of what is left
"""
from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ..compiler.kernel import Call, Code, Ref
from ..compiler.sizes import larger, smaller
from .emit import Function, vector
from .pack import merged

FIELDS = 6
CHUNK = 64              # bytes of one turn
LIMIT = 1 << 16         # bytes of a piece that is small
SMALL = 1 << 16         # bytes that one thread copies alone


class Piece(NamedTuple):
    """Strides and run in bytes."""
    source: Ref
    target: Ref
    rows: int
    run: int
    source_stride: int
    target_stride: int


@cache
def runs_code() -> Code:
    f = Function("runs")
    with f.loop(f.lo, f.hi) as piece:
        at = f.at(f.args, "i64", f.mul(piece.index, FIELDS))
        source, target = (f.load("ptr", f.at(at, "i64", k)) for k in range(2))
        rows, run, ahead, down = (f.load("i64", f.at(at, "i64", k)) for k in range(2, FIELDS))
        with f.loop(0, rows) as row:
            here = f.at(source, "i8", f.mul(row.index, ahead))
            _copy(f, here, f.at(target, "i8", f.mul(row.index, down)), run)
    return f.code()


def _copy(f: Function, source, target, run) -> None:
    whole = f.and_(run, -CHUNK)
    with f.loop(0, whole, CHUNK) as loop:
        _move(f, source, target, loop.index, CHUNK)
    at, size = whole, CHUNK // 2
    while size:
        with f.when(f.icmp("ne", f.and_(run, size), 0), otherwise=[at]) as branch:
            _move(f, source, target, at, size)
            branch.give(f.add(at, size))
        at, size = branch.results[0], size // 2


def _move(f: Function, source, target, at, size: int) -> None:
    kind = vector("i8", size)
    f.store(f.load(kind, f.at(source, "i8", at)), f.at(target, "i8", at))


def small_piece(source: Ref, layout, target: Ref, strides, itemsize: int) -> Piece | None:
    """A piece of a concatenation as rows of bytes, if it is small and lies so in both memories, else None."""
    if layout.numel * itemsize > LIMIT:
        return None
    axes = merged(layout.shape, [layout.strides, strides])
    run = axes.pop()[0] if axes[-1][1] == (1, 1) else 1
    if len(axes) > 1:
        return None
    rows, (ahead, down) = axes[0] if axes else (1, (0, 0))
    return Piece(source, target, rows, *(n * itemsize for n in (run, ahead, down)))


def copy_pieces(pieces: list[Piece]) -> list[Call]:
    """One call that copies all of them."""
    if not pieces:
        return []
    size = sum(p.rows * p.run for p in pieces)
    words = [word for piece in pieces for word in piece]
    grain = smaller(larger(1, SMALL * len(pieces) // larger(size, 1)), len(pieces))
    note = f"runs of {len(pieces)} pieces"
    return [Call(runs_code(), tuple(words), len(pieces), grain, note, 0, size)]
