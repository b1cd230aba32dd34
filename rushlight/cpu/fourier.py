"""Discrete Fourier transforms along one axis: 16 transforms at a time, one in each lane.

    unit = a place on the outer axes, 16 neighbours on one axis:
        load        elements 0..n of each into scratch memory, a vector of real and one of imaginary parts each
        stages      decimation in frequency, in place: n = r1 r2 ..., butterflies of radix r between n / r apart
        store       result k from where the stages leave it

Backwards is forwards with real and imaginary parts exchanged at both ends. Roots of unity and places of
results are tables that a kernel of its own makes first. Rows are turned where transforms lie side by side.
"""
from __future__ import annotations

import math
import struct
from functools import cache
from math import prod
from typing import NamedTuple

from .. import dtypes
from ..compiler.kernel import LANES, TILE, Call, Code
from ..compiler.sizes import larger, times
from ..layout import packed_strides
from .emit import Function, Value, constant, iota, vector
from .pack import dynamic_alloca
from .scalar import emit_instr
from .turned import join_lanes, load_turned

RADICES = (4, 2, 3, 5, 7)
STAGES = 32             # words for radices
SCRATCH = 1 << 19       # bytes of stack that 16 transforms may take
FEW = 4                 # fewer transforms leave lanes empty
SMALL = 32768           # elements that one thread does alone
TRANSFORMS = ("fft_c2c", "fft_r2c", "fft_c2r")
X, Y, ROOTS, PLACES, N, GIVEN, TAKEN, SCALE, ROOM, ALONG, LANE, COUNT, BLOCKS, RADIX = range(14)
ALTERNATING = [LANES * (k % 2) + k // 2 for k in range(2 * LANES)]      # lanes of two vectors by turns
OUTER = RADIX + STAGES  # two strides are at ALONG, LANE and at the words that follow all others


class Structure(NamedTuple):
    kind: dtypes.dtype      # of the parts
    source: str             # complex, real, or half: what the conjugates of follow
    target: str             # complex, real
    forward: bool
    outer: int              # axes around
    reads: str              # how operand and result lie: lanes side by side ("across"), elements ("along"), or neither ("any")
    writes: str


@cache
def transform_code(s: Structure) -> Code:
    """One kernel for each structure."""
    return Emitter(s).code()


class Emitter:
    def __init__(self, s: Structure):
        self.s, self.f = s, Function(f"fourier_{s.source}_{s.target}")
        self.part, self.type = s.kind.llvm, vector(s.kind.llvm)

    def code(self) -> Code:
        f = self.f
        self.scratch = dynamic_alloca(f, f.word(ROOM))
        with f.loop(f.lo, f.hi) as unit:
            first = f.mul(f.urem(unit.index, f.word(BLOCKS)), LANES)
            self.rest = f.sub(f.word(COUNT), first)
            xs, ys = self.starts(f.udiv(unit.index, f.word(BLOCKS)), first)
            self.read(xs)
            self.stages()
            self.write(ys)
        return f.code()

    # -- memory ------------------------------------------------------------------------------------
    def starts(self, row, first):
        """Where the transforms of a unit start: one address if they lie side by side, else one of each."""
        f, s = self.f, self.s
        strides = OUTER + s.outer
        x, y = f.word(X, "ptr"), f.word(Y, "ptr")
        for axis in reversed(range(s.outer)):
            at = f.urem(row, f.word(OUTER + axis)) if axis else row
            row = f.udiv(row, f.word(OUTER + axis)) if axis else 0
            x = f.at(x, "i8", f.mul(at, f.word(strides + 2 * axis)))
            y = f.at(y, "i8", f.mul(at, f.word(strides + 2 * axis + 1)))
        return self.lines(x, first, LANE, s.reads), self.lines(y, first, self.own(LANE), s.writes)

    def own(self, word) -> int:
        """The result's stride that belongs to a stride of the operand."""
        return OUTER + 3 * self.s.outer + (word == LANE)

    def lines(self, start, first, stride, way):
        f = self.f
        if way == "across":
            return [f.at(start, "i8", f.mul(first, f.word(stride)))]
        last = f.sub(f.word(COUNT), 1)
        return [f.at(start, "i8", f.mul(f.umin(f.add(first, k), last), f.word(stride))) for k in range(LANES)]

    def place(self, j, imaginary=0) -> Value:
        """Where scratch memory has a part of element j."""
        return self.f.at(self.scratch, self.type, self.f.add(self.f.mul(j, 2), imaginary))

    def keep(self, j, re, im):
        """Element j into scratch memory, its parts exchanged if the transform runs backwards."""
        re, im = (re, im) if self.s.forward else (im, re)
        self.f.store(re, self.place(j))
        self.f.store(im, self.place(j, 1))

    # -- what comes in -----------------------------------------------------------------------------
    def read(self, xs):
        f, s = self.f, self.s
        parts = 1 if s.source == "real" else 2
        if s.reads == "across":
            with f.loop(0, f.word(GIVEN)) as j:
                start = f.at(xs[0], "i8", f.mul(j.index, f.word(ALONG)))
                self.element(j.index, *self.across(start, parts))
        else:
            self.read_lines(xs, parts)
        if s.source == "half":
            self.drop_imaginary()

    def read_lines(self, xs, parts):
        """Elements of each line; some at a time if they are neighbours."""
        f, s = self.f, self.s
        item, width = item_of(self.part, parts)
        many = TILE // width
        whole = 0
        if s.reads == "along":
            whole = f.sub(f.word(GIVEN), f.urem(f.word(GIVEN), many))
            with f.loop(0, whole, many) as j:
                lines = [f.at(x, item, f.mul(j.index, width)) for x in xs]
                turned = load_turned(f, item, lines, TILE)
                for k in range(many):
                    self.element(f.add(j.index, k), *self.parts(turned[k * width:][:width], parts))
        with f.loop(whole, f.word(GIVEN)) as j:
            places = [f.at(x, "i8", f.mul(j.index, f.word(ALONG))) for x in xs]
            items = [join_lanes(f, item, [f.at(p, item, k) for p in places]) for k in range(width)]
            self.element(j.index, *self.parts(items, parts))

    def parts(self, items, parts):
        """(real, imaginary) vectors of what memory has of one element."""
        f = self.f
        if parts == 1:
            return items[0], constant(self.type, 0)
        if len(items) == 2:
            return items
        both = f.let(vector(self.part, 2 * LANES), f"bitcast {items[0].typed} to {vector(self.part, 2 * LANES)}")
        return parted(f, both, None)

    def across(self, start, parts):
        """Neighbours in memory are neighbouring lanes."""
        f = self.f
        low, *high = [f.masked_load(self.part, f.at(start, self.part, LANES * k), self.mask(parts, k)) for k in range(parts)]
        if not high:
            return low, constant(self.type, 0)
        return parted(f, low, high[0])

    def mask(self, parts, k):
        return self.f.lane_mask(self.f.smax(self.f.sub(self.f.mul(self.rest, parts), LANES * k), 0))

    def element(self, j, re, im):
        f = self.f
        if self.s.source == "half":         # this one first: at 0 and in the middle they are the same
            self.keep(f.urem(f.sub(f.word(N), j), f.word(N)), re, f.fneg(im))
        self.keep(j, re, im)

    def drop_imaginary(self):
        """What is its own conjugate is real."""
        f = self.f
        zero, slot = constant(self.type, 0), int(self.s.forward)
        f.store(zero, self.place(0, slot))
        with f.when(f.icmp("eq", f.urem(f.word(N), 2), 0)):
            f.store(zero, self.place(f.udiv(f.word(N), 2), slot))

    # -- the stages --------------------------------------------------------------------------------
    def stages(self):
        """All radices in turn; the last stage needs no roots, for its butterflies are whole transforms."""
        f = self.f
        with f.repeat([f.value(0), f.value(f.word(N))]) as stage:
            number, size = stage.values
            radix = f.load("i64", f.at(f.at(f.args, "i64", RADIX), "i64", number))
            part = f.udiv(size, radix)
            last = f.icmp("eq", part, 1)
            for r in RADICES:
                with f.when(f.icmp("eq", radix, r)):
                    with f.either(last) as either:
                        with either.yes, f.loop(0, f.word(N), r) as at:
                            self.butterfly(r, at.index, 1, [])
                        with either.no:
                            self.with_roots(r, size, part)
            stage.again(f.not_(last), f.add(number, 1), part)

    def with_roots(self, r, size, part):
        """Blocks one after the other, and in each its butterflies, so that memory is walked forwards."""
        f = self.f
        apart = f.udiv(f.word(N), size)
        with f.loop(0, f.word(N), size) as block, f.loop(0, part) as j:
            step = f.mul(j.index, apart)
            at = [f.at(f.word(ROOTS, "ptr"), self.part, f.mul(step, 2 * q)) for q in range(1, r)]
            roots = [tuple(f.load_splat(self.part, f.at(a, self.part, k)) for k in range(2)) for a in at]
            self.butterfly(r, f.add(block.index, j.index), part, roots)

    def butterfly(self, r, first, part, roots):
        """Of r elements, `part` apart from the first."""
        f = self.f
        places = [f.add(first, f.mul(part, q)) for q in range(r)]
        values = [(f.load(self.type, self.place(p)), f.load(self.type, self.place(p, 1))) for p in places]
        made = butterfly(f, values)
        made = [made[0], *(multiplied(f, v, w) for v, w in zip(made[1:], roots, strict=True))] if roots else made
        for p, (re, im) in zip(places, made, strict=True):
            f.store(re, self.place(p))
            f.store(im, self.place(p, 1))

    # -- what goes out -----------------------------------------------------------------------------
    def result(self, k):
        """The parts of result k."""
        f, s = self.f, self.s
        p = f.load("i64", f.at(f.word(PLACES, "ptr"), "i64", k))
        scale = f.splat(f.word(SCALE, self.part))
        parts = [f.fmul(f.load(self.type, self.place(p, slot if s.forward else 1 - slot)), scale) for slot in range(2)]
        return parts[:1] if s.target == "real" else parts

    def write(self, ys):
        f, s = self.f, self.s
        parts = 1 if s.target == "real" else 2
        if s.writes == "across":
            with f.loop(0, f.word(TAKEN)) as k:
                self.put_across(f.at(ys[0], "i8", f.mul(k.index, f.word(self.own(ALONG)))), self.result(k.index))
            return
        item, width = item_of(self.part, parts)
        many, whole = TILE // width, 0
        if s.writes == "along":
            whole = f.sub(f.word(TAKEN), f.urem(f.word(TAKEN), many))
            with f.loop(0, whole, many) as k:
                items = [v for n in range(many) for v in self.items(self.result(f.add(k.index, n)))]
                store_turned(f, items, [f.at(y, item, f.mul(k.index, width)) for y in ys])
        with f.loop(whole, f.word(TAKEN)) as k:
            places = [f.at(y, "i8", f.mul(k.index, f.word(self.own(ALONG)))) for y in ys]
            for n, v in enumerate(self.items(self.result(k.index))):
                for lane, place in backwards(places):
                    f.store(f.extract(v, lane), f.at(place, item, n))

    def items(self, parts):
        """What memory has of one element, from its parts."""
        f = self.f
        if len(parts) == 1 or self.part == "double":
            return parts
        both = f.shuffle(*parts, ALTERNATING)
        return [f.let(vector("double"), f"bitcast {both.typed} to {vector('double')}")]

    def put_across(self, start, parts):
        f = self.f
        if len(parts) == 2:
            parts = alternating(f, *parts)
        for k, v in enumerate(parts):
            f.masked_store(v, f.at(start, self.part, LANES * k), self.mask(len(parts), k))


def item_of(part: str, parts: int):
    """(what is moved as one, how many of it an element has): two floats are moved as one double."""
    return ("double", 1) if part == "float" and parts == 2 else (part, parts)


def alternating(f: Function, a: Value, b: Value) -> list[Value]:
    """Two vectors of what both have, by turns."""
    return [f.shuffle(a, b, ALTERNATING[:LANES]), f.shuffle(a, b, ALTERNATING[LANES:])]


def parted(f: Function, a: Value, b: Value | None) -> tuple[Value, ...]:
    """What stands by turns, apart again."""
    return tuple(f.shuffle(a, b, list(range(k, 2 * LANES, 2))) for k in range(2))


def store_turned(f: Function, rows: list[Value], places: list[Value]) -> None:
    """Lane l of TILE vectors to place l, one after the other."""
    def zipped(a, b, width):
        lanes = range(2 * LANES)
        order = [(k // width % 2) * LANES + k // (2 * width) * width + k % width for k in lanes]
        return [f.shuffle(a, b, order[:LANES]), f.shuffle(a, b, order[LANES:])]
    pairs = list(zip(zipped(rows[0], rows[1], 1), zipped(rows[2], rows[3], 1), strict=True))
    whole = [v for a, b in pairs for v in zipped(a, b, 2)]
    for lane, place in backwards(places):
        at = TILE * (lane % (LANES // TILE))
        f.store(f.shuffle(whole[lane * TILE // LANES], None, list(range(at, at + TILE))), place)


def backwards(places):
    """Lanes too many write where the last transform goes: before it does."""
    return reversed(list(enumerate(places)))


# -- butterflies: small transforms of (real, imaginary) pairs --------------------------------------
def plus(f, a, b):
    return f.fadd(a[0], b[0]), f.fadd(a[1], b[1])


def minus(f, a, b):
    return f.fsub(a[0], b[0]), f.fsub(a[1], b[1])


def turned_back(a, b, f):
    """a - i b."""
    return f.fadd(a[0], b[1]), f.fsub(a[1], b[0])


def turned_on(a, b, f):
    """a + i b."""
    return f.fsub(a[0], b[1]), f.fadd(a[1], b[0])


def multiplied(f, a, w):
    return (f.fma(a[0], w[0], f.fneg(f.fmul(a[1], w[1]))), f.fma(a[0], w[1], f.fmul(a[1], w[0])))


def butterfly(f, x):
    """The transform of 2, 4, or an odd number of values."""
    if len(x) == 2:
        return [plus(f, *x), minus(f, *x)]
    if len(x) == 4:
        (a, b), (c, d) = butterfly(f, x[::2]), butterfly(f, x[1::2])
        return [plus(f, a, c), turned_back(b, d, f), minus(f, a, c), turned_on(b, d, f)]
    return odd_butterfly(f, x)


def odd_butterfly(f, x):
    """Values q and r - q share their sum and their difference."""
    r, half = len(x), range(1, len(x) // 2 + 1)
    sums, gaps = [plus(f, x[j], x[r - j]) for j in half], [minus(f, x[j], x[r - j]) for j in half]
    whole = x[0]
    for s in sums:
        whole = plus(f, whole, s)
    made = {0: whole}
    for q in half:
        level, slope = x[0], (constant(x[0][0].type, 0),) * 2
        for j, s, d in zip(half, sums, gaps, strict=True):
            cos, sin = (constant(x[0][0].type, g(2 * math.pi * (q * j % r) / r)) for g in (math.cos, math.sin))
            level = tuple(f.fma(a, cos, b) for a, b in zip(s, level))
            slope = tuple(f.fma(a, sin, b) for a, b in zip(d, slope))
        made[q], made[r - q] = turned_back(level, slope, f), turned_on(level, slope, f)
    return [made[q] for q in range(r)]


# -- tables ----------------------------------------------------------------------------------------
@cache
def table_code(kind: dtypes.dtype) -> Code:
    """Roots of unity exp(-2 pi i k / n), and where the stages leave result k."""
    f = Function("fourier_tables")
    with f.loop(f.lo, f.hi):
        with f.loop(0, f.word(N), LANES) as k:
            root(f, kind, k.index)
        results(f)
    return f.code()


def root(f: Function, kind, first):
    """16 of them; the angle is taken from the nearest quarter of a turn, so that it is small and exact."""
    n, double = f.splat(f.word(N)), dtypes.float64
    k = f.binary("add", f.splat(f.value(first)), iota(vector("i64")))
    quarter = f.binary("udiv", f.binary("add", f.binary("shl", k, 3), n), f.binary("shl", n, 1))
    over = f.binary("sub", f.binary("shl", k, 2), f.binary("mul", quarter, n))
    angle = f.fdiv(f.fmul(f.cast("sitofp", over, "double"), math.pi / 2), f.cast("sitofp", n, "double"))
    cos, sin = (emit_instr(f, name, double, double, [angle], lanes=LANES) for name in ("cos", "sin"))
    odd = f.icmp("ne", f.binary("and", quarter, 1), 0)
    re, im = f.select(odd, f.fneg(sin), cos), f.select(odd, cos, sin)
    back = f.icmp("ne", f.binary("and", quarter, 2), 0)
    re, im = f.select(back, f.fneg(re), re), f.select(back, im, f.fneg(im))
    if kind is not double:
        re, im = (f.cast("fptrunc", v, kind.llvm) for v in (re, im))
    place = f.at(f.word(ROOTS, "ptr"), kind.llvm, f.mul(first, 2))
    for half, v in enumerate(alternating(f, re, im)):
        f.store(v, f.at(place, kind.llvm, LANES * half))


def results(f: Function):
    """From the last stage to the first: result q + r k' of r parts is result k' of part q. In place, from the end."""
    places = f.word(PLACES, "ptr")
    f.store(f.value(0), places)
    with f.repeat([f.value(f.sub(f.word(COUNT), 1)), f.value(1)]) as stage:
        number, size = stage.values
        radix = f.load("i64", f.at(f.at(f.args, "i64", RADIX), "i64", number))
        with f.loop(0, size) as back:
            k = f.sub(f.sub(size, 1), back.index)
            place, start = f.load("i64", f.at(places, "i64", k)), f.mul(k, radix)
            with f.loop(0, radix) as turn:
                q = f.sub(f.sub(radix, 1), turn.index)
                f.store(f.add(place, f.mul(q, size)), f.at(places, "i64", f.add(start, q)))
        stage.again(f.icmp("ne", number, 0), f.sub(number, 1), f.mul(size, radix))


# -- lowering --------------------------------------------------------------------------------------
def radices_of(n) -> list[int] | None:
    """The stages of a transform of n elements; None if a prime factor is too large."""
    found = []
    for r in RADICES:
        while n > 1 and n % r == 0:
            found.append(r)
            n //= r
    return found if n == 1 and found else None


def can_transform(v) -> bool:
    """Whether all axes have small prime factors and fit into a thread's stack, and there are lanes to fill."""
    if v.prim.name not in TRANSFORMS or v.numel == 0:
        return False
    p, shape = v.params, list(v.uses[0].layout.shape)
    if not (has_kernel(v.uses[0].dtype, v.prim.name != "fft_r2c") and has_kernel(v.dtype, v.prim.name != "fft_c2r")):
        return False
    if v.prim.name == "fft_c2r":
        if shape[p["dims"][-1]] != p["n"] // 2 + 1:
            return False
        shape[p["dims"][-1]] = p["n"]
    item = 2 * LANES * v.dtype.to_real().itemsize
    return all(shape[d] * item <= SCRATCH and prod(shape) >= FEW * shape[d] and radices_of(shape[d]) is not None
               for d in p["dims"])


def has_kernel(dtype, is_complex) -> bool:
    return dtype.is_complex is is_complex and dtype.to_real() in (dtypes.float32, dtypes.float64)


def lower_transform(v, out, view, temp) -> list[Call]:
    """Calls of a transform, an axis after the other: numbers become complex first, and real last."""
    p, name = v.params, v.prim.name
    dims, n = list(p["dims"]), p.get("n")
    kind, shape = v.dtype.to_real(), list(view[2])
    if name != "fft_c2r":
        dims.reverse()
    calls, forward = [], p.get("forward", False)
    for turn, d in enumerate(dims):
        last = turn == len(dims) - 1
        source = "real" if name == "fft_r2c" and not turn else "half" if name == "fft_c2r" and last else "complex"
        made = list(shape)
        if source == "half":
            made[d] = n
        elif source == "real" and p["half"]:
            made[d] = shape[d] // 2 + 1
        whole = made[d] if source == "half" else shape[d]
        target = "real" if source == "half" else "complex"
        ref = out if last or name != "fft_c2r" else temp(2 * prod(made) * kind.itemsize) if not turn else view[0]
        scale = p["scale"] if last else 1.0
        calls += axis_calls(Structure(kind, source, target, forward, 0, "", ""), view, ref, made, d, whole, scale, temp)
        view = (ref, None, made, packed_strides(made))
        shape = made
    return calls


def axis_calls(s, view, out, made, d, whole, scale, temp) -> list[Call]:
    """The tables, then the transforms along axis d."""
    ref, _, shape, strides = view
    size = s.kind.itemsize
    wide, own = size * (1 + (s.source != "real")), size * (1 + (s.target != "real"))
    axes = [(n, a * wide, b * own) for n, a, b in zip(shape, strides, packed_strides(made), strict=True)]
    _, along, result = axes[d]
    around = [axis for k, axis in enumerate(axes) if k != d and axis[0] != 1] or [(1, 0, 0)]
    lane = max(range(len(around)), key=lambda k: (around[k][0] >= LANES and around[k][2] == own, around[k][0], k))
    count, lane_x, lane_y = around.pop(lane)
    way = lambda beside, ahead, item: "across" if beside == item else "along" if ahead == item else "any"
    s = s._replace(outer=len(around), reads=way(lane_x, along, wide), writes=way(lane_y, result, own))
    radices = radices_of(whole)
    stages = [*radices, *[0] * (STAGES - len(radices))]
    roots, places = temp(2 * (whole + LANES) * size), temp(8 * whole)
    bits, = struct.unpack("<q", struct.pack("<d", scale) if size == 8 else struct.pack("<f", scale) + bytes(4))
    blocks = -(-count // LANES)
    words = [ref, out, roots, places, whole, shape[d], made[d], bits, 2 * LANES * size * whole, along, lane_x, count, blocks,
             *stages, *(n for n, _, _ in around), *(stride for axis in around for stride in axis[1:]), result, lane_y]
    tables = [ref, out, roots, places, whole, 0, 0, 0, 0, 0, 0, len(radices), 0, *stages]
    units, note = prod(n for n, _, _ in around) * blocks, f"fourier {times(made)} along {d}"
    return [Call(table_code(s.kind), tuple(tables), 1, 1, f"tables of fourier {whole}"),
            Call(transform_code(s), tuple(words), units, larger(1, SMALL // (LANES * whole)), note, prod(made),
                 2 * prod(made) * own)]
