"""Alignments (prims/lattice.py): a unit is a sample, which walks its steps with 16 states in lanes.

    for t in steps (from the last one in reverse):
        for 16 states: log of the sum of exp of what came from the state itself, its neighbour and,
            where `skip` allows, the one beyond;  plus emit, at least `lowest`

What came lies in the result, one row before or behind; lanes that reach over an end find `lowest`.
"""
from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Code, Ref, View
from ..compiler.sizes import larger, times
from ..dtypes import dtype, float32, float64
from ..prims.lattice import lowest
from .emit import Function, Value, iota, vector
from .gemm import packed
from .lanes import FUNCTIONS, Lanes, at_least, select

SMALL = 1024            # states of all steps that one thread does alone

# Words; steps are in bytes.
(EMIT, EMIT_STEP, EMIT_ROW, SKIP, SKIP_ROW, FRAMES, FRAMES_ROW, ENDS, ENDS_ROW, OUT, OUT_STEP, OUT_ROW, STEPS,
 STATES) = range(14)


class Structure(NamedTuple):
    kind: dtype
    reverse: bool


@cache
def lattice_code(s: Structure) -> Code:
    """One kernel for each dtype and direction."""
    return Emitter(s).code()


class Emitter:
    def __init__(self, s: Structure):
        self.s, self.f = s, Function(f"lattice_{s.kind.name}")
        self.element, self.low = s.kind.llvm, lowest(s.kind.numpy)
        self.steps, self.states = self.f.word(STEPS), self.f.word(STATES)

    def code(self) -> Code:
        f = self.f
        with f.loop(f.lo, f.hi) as unit:
            self.emit, self.skip, self.frames, self.ends, self.out = (
                f.at(f.word(base, "ptr"), "i8", f.mul(unit.index, f.word(row)))
                for base, row in ((EMIT, EMIT_ROW), (SKIP, SKIP_ROW), (FRAMES, FRAMES_ROW),
                                  (ENDS, ENDS_ROW), (OUT, OUT_ROW)))
            self.frames, self.ends = f.load("i64", self.frames), f.load("i64", self.ends)
            with f.loop(0, self.steps, nonempty=True) as turn:
                self.turn(turn.index)
        return f.code()

    def turn(self, number: Value) -> None:
        f, reverse = self.f, self.s.reverse
        t = f.sub(f.sub(self.steps, 1), number) if reverse else number
        self.scores, self.row = (f.at(base, "i8", f.mul(t, f.word(step)))
                                 for base, step in ((self.emit, EMIT_STEP), (self.out, OUT_STEP)))
        step = f.word(OUT_STEP) if reverse else f.sub(0, f.word(OUT_STEP))
        self.before = f.at(self.row, "i8", step)
        alive = f.icmp("sgt", self.frames, f.add(t, 1) if reverse else t)
        with f.either(f.and_(f.icmp("sgt", number, 0), alive)) as either:
            with either.yes:
                self.each_vector(self.arrived)
            with either.no:
                self.end(t) if reverse else self.begin(number)

    def begin(self, number: Value) -> None:
        """The first step starts in one of two states; a sample that is over stays."""
        f = self.f
        with f.either(f.icmp("eq", number, 0)) as either:
            with either.yes:
                last = f.smin(self.ends, 1)
                self.each_vector(lambda at, inside: self.started(at, inside, f.value(0), last))
            with either.no:
                self.each_vector(lambda at, inside: self.load(self.before, at, inside))

    def end(self, t: Value) -> None:
        """A sample's last step ends in one of two states, none is reached later."""
        f = self.f
        last = f.select(f.icmp("eq", self.frames, f.add(t, 1)), self.ends, f.value(-1))
        self.each_vector(lambda at, inside: self.started(at, inside, f.sub(self.ends, 1), last))

    def each_vector(self, values) -> None:
        """Store values(first state, mask) for 16 states at a time."""
        f = self.f
        with f.loop(0, self.states, LANES, nonempty=True) as loop:
            inside = f.lane_mask(f.sub(self.states, loop.index))
            found = values(loop.index, inside)
            f.masked_store(found.value, f.at(self.row, self.element, loop.index), inside)

    def load(self, row: Value, at: Value, mask: Value, otherwise: float = 0.0) -> Lanes:
        f = self.f
        return Lanes(f, f.masked_load(self.element, f.at(row, self.element, at), mask, otherwise))

    def started(self, at: Value, inside: Value, first: Value, last: Value) -> Lanes:
        """The step's own where the state is one of first to last."""
        f = self.f
        numbers = Lanes(f, f.add(f.splat(at), iota(vector("i64"))))
        chosen = (numbers >= f.splat(first)) & (numbers <= f.splat(last))
        return select(chosen, self.load(self.scores, at, inside), self.low)

    def arrived(self, at: Value, inside: Value) -> Lanes:
        f = self.f
        stayed = self.load(self.before, at, inside)
        came, left_out = (self.from_beyond(at, distance) for distance in (1, 2))
        left_out = select(Lanes(f, self.may_skip(at)), left_out, self.low)
        most = select(came > stayed, came, stayed)
        most = select(left_out > most, left_out, most)
        total, *more = (self.function("exp", x - most) for x in (stayed, came, left_out))
        total = self.function("log", total + more[0] + more[1]) + most
        return at_least(total + self.load(self.scores, at, inside), self.low)

    def function(self, name: str, x: Lanes) -> Lanes:
        return x.of(FUNCTIONS[name](self.f, x.value))

    def reach(self, at: Value, distance: int) -> tuple[Value, Value]:
        """The first of 16 states that are so far away, and which of them there are."""
        f = self.f
        if self.s.reverse:
            start = f.add(at, distance)
            return start, f.lane_mask(f.smax(f.sub(self.states, start), 0))
        start = f.sub(at, distance)
        numbers = Lanes(f, f.add(f.splat(start), iota(vector("i64"))))
        return start, ((numbers >= 0) & (numbers < f.splat(self.states))).value

    def from_beyond(self, at: Value, distance: int) -> Lanes:
        start, there = self.reach(at, distance)
        return self.load(self.before, start, there, self.low)

    def may_skip(self, at: Value) -> Value:
        """Whether a way that leaves out a state ends in this one, or in reverse begins here."""
        f = self.f
        start, there = self.reach(at, 2) if self.s.reverse else (at, self.reach(at, 0)[1])
        return f.icmp("ne", f.masked_load("i8", f.at(self.skip, "i8", start), there), 0)


# -- lowering --------------------------------------------------------------------------------------

def can_align(v) -> bool:
    """Whether there is a kernel for these alignments."""
    return v.prim.name == "lattice" and v.dtype in (float32, float64)


def lower_lattice(v, out: Ref, views, temp) -> list[Call]:
    """The call of a lattice; `out` is packed."""
    if 0 in v.shape:
        return []
    calls: list[Call] = []
    emit, skip, frames, ends = (View(*view) for view in views)
    emit, skip = (x if x.strides[-1] == 1 else packed(calls, x.dtype, x, temp) for x in (emit, skip))
    steps, rows, states = v.shape
    size = v.dtype.itemsize
    words = (emit.ref, emit.strides[0] * size, emit.strides[1] * size, skip.ref, skip.strides[0],
             frames.ref, frames.strides[0] * 8, ends.ref, ends.strides[0] * 8,
             out, rows * states * size, states * size, steps, states)
    code = lattice_code(Structure(v.dtype, v.params["reverse"]))
    call = Call(code, words, rows, larger(1, SMALL // (steps * states)), f"lattice {times(v.shape)}",
                bytes=2 * size * steps * rows * states)
    return [*calls, call]
