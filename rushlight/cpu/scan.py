"""Scans: running sums, products and extremes along one axis, in order from its first element.

Sums and products of 16-bit floats accumulate in float32, of float32 in float64, and are rounded
where they are stored. If other axes lie inside of the scanned one, lanes are neighbours on the
innermost of them ("columns") if it is not too short; else lanes would have to wait for each other, and several rows are
walked side by side instead ("rows").

    columns     unit = a place on the outer axes, a piece of the inner axis:
                    for i in axis:  4 vectors of 16 running values
    rows        unit = 4 rows:
                    for i in axis:  4 running values

In reverse the axis is walked from its end.
"""
from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

from .. import dtypes
from ..compiler.kernel import LANES, Call, Code, Ref
from ..compiler.sizes import larger, times
from ..layout import packed_strides
from .emit import Function, Value, constant, vector
from .loops import LIMITS
from .scalar import NARROW, cast, emit_instr, from_memory, literal_value, to_memory

STEPS = {"cumsum": ("add", 0), "cumprod": ("mul", 1)}
EXTREMES = {"argcummax": ("ge", "lowest"), "argcummin": ("le", "highest")}
SCANS = (*STEPS, *EXTREMES)
ABREAST = 4             # rows, or vectors of columns, that are walked side by side
NARROW_COLUMNS = 8      # so few neighbours leave too many lanes empty: they are rows, too
SMALL = 16384           # elements that one thread does alone


class Structure(NamedTuple):
    """Axes: the outer ones, then the scanned one, then for "columns" the one that lanes walk."""
    name: str
    dtype: dtypes.dtype
    columns: bool
    outer: int
    step: str               # how the operand (a row's result, too) moves along the last axis: "1" or "s"
    abreast: int            # rows of a unit
    kind: dtypes.dtype      # in which a sum or product accumulates


class Words:
    """Where each run-time number stands in the args block."""

    def __init__(self, s: Structure):
        axes = s.outer + 1 + s.columns
        self.x, self.y, self.block, self.blocks = range(4)
        self.sizes = list(range(4, 4 + axes))
        self.strides = list(range(4 + axes, 4 + 2 * axes))              # of the operand
        self.result = list(range(4 + 2 * axes, 4 + 3 * axes))           # of the result
        self.count = 4 + 3 * axes


def wide(d: dtypes.dtype) -> dtypes.dtype:
    """In which a sum or product accumulates."""
    return dtypes.float32 if d in NARROW else dtypes.float64 if d is dtypes.float32 else d


@cache
def scan_code(s: Structure) -> Code:
    """One kernel for each structure."""
    return Emitter(s).code()


class Emitter:
    def __init__(self, s: Structure):
        self.s, self.w, self.f = s, Words(s), Function(s.name)
        self.result = s.dtype if s.name in STEPS else dtypes.int64

    def code(self) -> Code:
        f = self.f
        with f.loop(f.lo, f.hi) as unit:
            self.columns(unit.index) if self.s.columns else self.rows(unit.index)
        return f.code()

    def places(self, row):
        """Where a row starts: in the operand, in the result."""
        f, w, s = self.f, self.w, self.s
        x, y = f.word(w.x, "ptr"), f.word(w.y, "ptr")
        for axis in reversed(range(s.outer)):
            at = f.urem(row, f.word(w.sizes[axis])) if axis else row
            row = f.udiv(row, f.word(w.sizes[axis])) if axis else 0
            x = f.at(x, s.dtype.llvm, f.mul(at, f.word(w.strides[axis])))
            y = f.at(y, self.result.llvm, f.mul(at, f.word(w.result[axis])))
        return x, y

    # -- columns -----------------------------------------------------------------------------------

    def columns(self, unit) -> None:
        f, w = self.f, self.w
        x, y = self.places(f.udiv(unit, f.word(w.blocks)))
        first = f.mul(f.urem(unit, f.word(w.blocks)), f.word(w.block))
        last = f.umin(f.add(first, f.word(w.block)), f.word(w.sizes[-1]))
        together = ABREAST * LANES
        many = f.sub(last, f.urem(f.sub(last, first), together))
        whole = f.sub(last, f.urem(f.sub(last, first), LANES))
        with f.loop(first, many, together) as loop:
            self.down(x, y, [f.add(loop.index, k * LANES) for k in range(ABREAST)])
        with f.loop(many, whole, LANES) as loop:
            self.down(x, y, [loop.index])
        rest = f.sub(last, whole)
        with f.when(f.icmp("ne", rest, 0)):
            self.down(x, y, [whole], f.lane_mask(rest))

    def down(self, x, y, columns, mask=None) -> None:
        """Walk the scanned axis for vectors of columns."""
        f, s, w = self.f, self.s, self.w
        step = 1 if s.step == "1" else f.word(w.strides[-1])
        xs = [f.at(x, s.dtype.llvm, f.mul(c, step)) for c in columns]
        ys = [f.at(y, self.result.llvm, c) for c in columns]
        start = [v for _ in columns for v in self.start(LANES)]
        with f.loop(0, f.word(w.sizes[s.outer]), nonempty=True, carried=start) as loop:
            ahead = f.mul(loop.index, f.word(w.strides[s.outer]))
            down = f.mul(loop.index, f.word(w.result[s.outer]))
            state, width = [], len(start) // len(columns)
            for k, (px, py) in enumerate(zip(xs, ys, strict=True)):
                new = f.load_strided(s.dtype.llvm, f.at(px, s.dtype.llvm, ahead), step, mask=mask)
                state += self.next(loop.values[k * width:][:width], new, loop.index, LANES)
                place = f.at(py, self.result.llvm, down)
                f.store_strided(self.stored(state[-width:]), place, 1, mask)
            loop.next(*state)

    # -- rows --------------------------------------------------------------------------------------

    def rows(self, unit) -> None:
        """Where rows run out the last one is walked more than once, to the same end."""
        f, s, w = self.f, self.s, self.w
        first, end = f.mul(unit, s.abreast), f.sub(f.word(w.blocks), 1)
        rows = [self.places(f.umin(f.add(first, k), end)) for k in range(s.abreast)]
        start = [v for _ in rows for v in self.start(1)]
        step, down = (1, 1) if s.step == "1" else (f.word(w.strides[-1]), f.word(w.result[-1]))
        with f.loop(0, f.word(w.sizes[-1]), nonempty=True, carried=start) as loop:
            state, width = [], len(start) // len(rows)
            here, there = f.mul(loop.index, step), f.mul(loop.index, down)
            for k, (x, y) in enumerate(rows):
                new = f.load(s.dtype.llvm, f.at(x, s.dtype.llvm, here))
                state += self.next(loop.values[k * width:][:width], new, loop.index, 1)
                f.store(self.stored(state[-width:]), f.at(y, self.result.llvm, there))
            loop.next(*state)

    # -- one step ----------------------------------------------------------------------------------

    def start(self, lanes: int) -> list[Value]:
        """What the scan carries before the first element."""
        s = self.s
        if s.name in STEPS:
            return [literal_value(s.kind, STEPS[s.name][1], lanes)]
        worst = LIMITS[EXTREMES[s.name][1]](s.dtype)
        return [literal_value(s.dtype, worst, lanes), constant(vector("i64", lanes), 0)]

    def next(self, state, stored: Value, number, lanes: int) -> list[Value]:
        f, s = self.f, self.s
        new = from_memory(f, s.dtype, stored)
        if s.name in STEPS:
            kind = s.kind
            new = cast(f, kind, s.dtype, new)
            return [emit_instr(f, STEPS[s.name][0], kind, kind, [state[0], new], lanes=lanes)]
        relation = EXTREMES[s.name][0]
        wins = emit_instr(f, relation, dtypes.bool, s.dtype, [new, state[0]], lanes=lanes)
        if s.dtype.is_floating_point:
            wins = f.or_(wins, emit_instr(f, "isnan", dtypes.bool, s.dtype, [new], lanes=lanes))
        if lanes > 1:
            numbers = f.splat(f.value(number), lanes)
            return [f.select(wins, new, state[0]), f.select(wins, numbers, state[1])]
        with f.when(wins, otherwise=state) as branch:       # mostly foreseen by the CPU
            branch.give(new, number)
        return branch.results

    def stored(self, state) -> Value:
        f, s = self.f, self.s
        if s.name not in STEPS:
            return state[1]
        return to_memory(f, s.dtype, cast(f, s.dtype, s.kind, state[0]))


# -- lowering --------------------------------------------------------------------------------------

def can_scan(v) -> bool:
    """Whether there is a kernel for this scan."""
    return v.prim.name in SCANS and not v.uses[0].dtype.is_complex and \
        not (v.prim.name in STEPS and v.dtype is dtypes.bool)


class Axis(NamedTuple):
    size: int
    stride: int             # in the operand
    result: int             # in the result


def lower_scan(v, out, view) -> list[Call]:
    """Calls of a scan; `view` is (ref, dtype, shape, strides) of its operand, `out` is packed."""
    ref, dtype, shape, strides = view
    if 0 in shape:
        return []
    axes = scan_axes(shape, strides)
    d = v.params["dim"]
    if v.params.get("reverse"):
        last = axes[d].size - 1
        ref, out = (Ref(r.slot, r.offset + last * step * kind.itemsize)
                    for r, step, kind in ((ref, axes[d].stride, dtype), (out, axes[d].result, v.dtype)))
        axes[d] = Axis(axes[d].size, -axes[d].stride, -axes[d].result)
    outer, inner = merged(axes[:d]), merged(axes[d + 1:])
    around, lanes = outer + inner[:-1], inner[-1:]
    if lanes and lanes[0].size <= NARROW_COLUMNS:
        around, lanes = around + lanes, []
    rows = prod(a.size for a in around)
    if lanes:
        block = columns_of_a_unit(rows, lanes[0].size)
        pieces = -(-lanes[0].size // block)
        units, words, step, abreast = rows * pieces, [block, pieces], lanes[0].stride, 0
    else:
        abreast = next(k for k in (ABREAST, 2, 1) if rows >= k)
        units, words = -(-rows // abreast), [0, rows]
        step = axes[d].stride if axes[d].result == 1 else 0
    way = "1" if step == 1 else "s"
    kind = wide(dtype) if v.params.get("wide", True) else dtype
    s = Structure(v.prim.name, dtype, bool(lanes), len(around), way, abreast, kind)
    words = [ref, out, *words, *numbers_of([*around, axes[d], *lanes])]
    size, note = prod(shape), f"{v.prim.name} {times(shape)} along {d}"
    return [Call(scan_code(s), tuple(words), units, larger(1, SMALL * units // size), note, size,
                 2 * size * dtype.itemsize)]


def scan_axes(shape, strides) -> list[Axis]:
    """All axes, of an operand with these strides and a packed result; one if there is none."""
    axes = [Axis(*a) for a in zip(shape, strides, packed_strides(shape), strict=True)]
    return axes or [Axis(1, 1, 1)]


def numbers_of(axes: list[Axis]) -> list[int]:
    """Words: all sizes, then all strides, then all strides of the result."""
    return [number for numbers in zip(*axes, strict=True) for number in numbers]


def columns_of_a_unit(rows: int, columns: int) -> int:
    """Vectors side by side, unless that leaves threads without work."""
    together = ABREAST * LANES
    return together if rows * columns >= 2 * together else LANES


def merged(axes: list[Axis]) -> list[Axis]:
    """Axes longer than 1, neighbours that both sides walk as one joined."""
    done: list[Axis] = []
    for axis in axes:
        last = done[-1] if done else None
        if axis.size == 1:
            continue
        if last and last[1:] == (axis.stride * axis.size, axis.result * axis.size):
            done[-1] = Axis(last.size * axis.size, axis.stride, axis.result)
        else:
            done.append(axis)
    return done
