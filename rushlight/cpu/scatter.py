"""Scatters: dst[coordinates] (op)= src, for sources of any layout, as loops over the source.

An axis of the source that is an axis of the destination too ("free") never meets itself: places
along it differ. Threads share out the free axes; the others ("bound", walked by index operands)
run in row-major order inside of a unit. So what one element of the destination accumulates comes
in the order of the source, whoever adds it. The last free axis may be cut into pieces:

    for unit in lo..hi:             a place on the outer free axes, a piece of the cut one
        for i in bound axes:        load indices, check them
            for j in piece:         dst[...] (op)= src[...], 16 lanes where both lie in rows

Where rows are too short to be cut, each unit takes a range of the destination instead, looks at all
indices and works on those in its range. Values are rounded to the dtype at each step.
"""
from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from math import prod
from typing import NamedTuple

from .. import dtypes
from ..compiler.kernel import LANES, Call, Code
from ..compiler.sizes import larger, plain, smaller, times
from .emit import Function, Value, lanes_of, mangle
from .scalar import emit_instr, from_memory, from_word, to_memory

MODES = {"set": None, "add": "add", "multiply": "mul", "amax": "max", "amin": "min"}
CHECK = "check"
ON_BOOLS = {"add": "or", "multiply": "and", "amax": "or", "amin": "and"}
PIECE = 64              # the least columns of a row that one unit takes
SHORT = 16              # the same where elements are walked one by one
ENOUGH = 8              # units that keep threads busy
SMALL = 16384           # elements that one thread does alone


class Structure(NamedTuple):
    """Axes are the outer free ones, the bound ones, then the cut one if `cut`."""
    mode: str                   # CHECK: only look at the indices
    dtype: dtypes.dtype
    lanes: int                  # 16: rows in vectors; 1: element by element
    outer: int
    bound: int
    cut: bool
    step: str                   # how the source moves along the innermost axis: "0", "1" or "s"
    walk: str                   # how index operands do: "0" not at all, "1" all by one, else "s"
    near: tuple[bool, ...]      # which index operands count single elements of the destination
    wrap: bool
    parted: bool                # units are ranges of the first index, too
    filled: bool                # each unit first fills its part of the destination


class Words:
    """Where each run-time number stands in the args block."""

    def __init__(self, s: Structure):
        self.count = 0
        axes = s.outer + s.bound + s.cut
        self.sizes = self.take(axes)
        self.block, self.blocks, self.width, self.parts, self.error = self.take(5)
        self.fill, self.region = self.take(2)
        self.dst = self.take(1 + s.outer + s.cut)       # pointer, strides of the free axes
        self.src = self.take(1 + axes)                  # pointer, strides
        self.indices = [self.take(1 + axes + 3) for _ in s.near]    # the same, then stride in dst,
                                                                    # size, number of the check

    def take(self, n: int) -> list[int]:
        first, self.count = self.count, self.count + n
        return list(range(first, first + n))


# -- the kernel ------------------------------------------------------------------------------------

@cache
def scatter_code(s: Structure) -> Code:
    """One kernel for each structure."""
    return Emitter(s).code()


class Emitter:
    def __init__(self, s: Structure):
        self.s, self.w = s, Words(s)
        self.f = Function(f"scatter_{s.mode}")

    def code(self) -> Code:
        f = self.f
        with f.loop(f.lo, f.hi) as unit:
            self.unit(unit.index)
        return f.code()

    def unit(self, number) -> None:
        f, s, w = self.f, self.s, self.w
        if s.parted:
            self.low = f.mul(f.urem(number, f.word(w.parts)), f.word(w.width))
            number = f.udiv(number, f.word(w.parts))
        if s.cut:
            piece, number = f.urem(number, f.word(w.blocks)), f.udiv(number, f.word(w.blocks))
            self.first = f.mul(piece, f.word(w.block))
            self.last = f.umin(f.add(self.first, f.word(w.block)), f.word(w.sizes[-1]))
        dst = f.word(w.dst[0], "ptr")
        if s.filled:
            dst = f.at(dst, s.dtype.llvm, f.mul(number, f.word(w.region)))
            self.fill(dst)
        self.place(number, dst)

    def place(self, number, dst) -> None:
        """Everything moved to the unit's place on the outer axes."""
        f, s, w = self.f, self.s, self.w
        pointers = [f.word(words[0], "ptr") for words in (w.src, *w.indices)]
        for axis in reversed(range(s.outer)):
            at = f.urem(number, f.word(w.sizes[axis])) if axis else number
            number = f.udiv(number, f.word(w.sizes[axis])) if axis else 0
            if not s.filled:
                dst = f.at(dst, s.dtype.llvm, f.mul(at, f.word(w.dst[1 + axis])))
            pointers = self.moved(pointers, axis, at)
        self.dst = dst
        self.bound(s.outer, pointers)

    def moved(self, pointers, axis: int, at) -> list[Value]:
        f, w = self.f, self.w
        kinds = [self.s.dtype.llvm] + ["i64"] * len(w.indices)
        return [f.at(p, kind, f.mul(at, f.word(words[1 + axis])))
                for p, kind, words in zip(pointers, kinds, (w.src, *w.indices), strict=True)]

    def bound(self, axis: int, pointers) -> None:
        """Loops over the bound axes from `axis` on; the innermost axis of all is a line."""
        f, s = self.f, self.s
        inside = s.outer + s.bound
        if axis < inside - (not s.cut):
            with f.loop(0, f.word(self.w.sizes[axis]), nonempty=True) as loop:
                self.bound(axis + 1, self.moved(pointers, axis, loop.index))
        elif axis < inside:
            self.first, self.last = 0, f.word(self.w.sizes[axis])
            self.line(*pointers)
        elif not s.cut:
            self.at_indices(pointers[1:], lambda dst: self.element(dst, pointers[0]))
        elif s.walk == "0":
            self.at_indices(pointers[1:], lambda dst: self.row(dst, pointers[0]))
        else:
            self.line(*pointers)

    def line(self, src, *indices) -> None:
        """Elements that each have their own place; indices side by side are checked 16 at once."""
        f = self.f
        if self.s.walk != "1":
            return self.slowly(self.first, self.last, src, indices)
        whole = f.sub(self.last, f.urem(f.sub(self.last, self.first), LANES))
        with f.loop(self.first, whole, LANES) as loop:
            with f.either(self.sound(indices, loop.index)) as both:
                with both.yes:
                    self.quickly(loop.index, src, indices)
                with both.no:
                    self.slowly(loop.index, f.add(loop.index, LANES), src, indices)
        self.slowly(whole, self.last, src, indices)

    def sound(self, pointers, at) -> Value:
        """Whether the indices of the next 16 elements are all in range."""
        f, w, bad = self.f, self.w, None
        for pointer, words in zip(pointers, w.indices, strict=True):
            index = f.load_vector("i64", f.at(pointer, "i64", at))
            wrong = f.icmp("uge", self.wrapped(index, words[-2]), f.splat(f.word(words[-2])))
            bad = wrong if bad is None else f.or_(bad, wrong)
        return f.not_(f.call("i1", f"llvm.vector.reduce.or.{mangle(bad.type)}", bad))

    def quickly(self, start, src, indices) -> None:
        """16 elements whose indices are in range."""
        f, w = self.f, self.w
        if self.s.mode == CHECK:
            return
        turn = 4 if self.s.dtype.itemsize > 2 or not self.s.dtype.is_floating_point else 1
        with f.loop(start, f.add(start, LANES), turn, nonempty=True) as loop:
            for k in range(turn):
                here = f.add(loop.index, k)
                found = [self.wrapped(f.load("i64", f.at(p, "i64", here)), words[-2])
                         for p, words in zip(indices, w.indices, strict=True)]
                self.one(here, self.located(found), src)

    def slowly(self, first, last, src, indices) -> None:
        f, w, s = self.f, self.w, self.s
        axis = s.outer + s.bound - (not s.cut)
        with f.loop(first, last) as loop:
            here = [f.at(p, "i64", f.mul(loop.index, f.word(words[1 + axis])))
                    for p, words in zip(indices, w.indices, strict=True)]
            self.at_indices(here, lambda dst: self.one(loop.index, dst, src))

    def one(self, at, dst, src) -> None:
        """Element `at` of a line."""
        f, s = self.f, self.s
        if s.cut:
            dst = f.at(dst, s.dtype.llvm, f.mul(at, f.word(self.w.dst[-1])))
        self.element(dst, f.at(src, s.dtype.llvm, f.mul(at, self.source_step())))

    def source_step(self):
        s = self.s
        return int(s.step) if s.step in "01" else self.f.word(self.w.src[-1])

    # -- indices -----------------------------------------------------------------------------------

    def at_indices(self, pointers, work) -> None:
        """`work(dst)` at the place the indices name; a bad one is reported and nothing is done."""
        f, s, w = self.f, self.s, self.w
        if not pointers:
            return work(self.dst)
        found = [f.load("i64", p) for p in pointers]
        at = [self.wrapped(i, words[-2]) for i, words in zip(found, w.indices, strict=True)]
        good = [f.icmp("ult", i, f.word(words[-2])) for i, words in zip(at, w.indices, strict=True)]
        all_good = good[0]
        for one in good[1:]:
            all_good = f.and_(all_good, one)
        with f.either(all_good) as both:
            with both.yes, ExitStack() as stack:
                if s.parted:
                    mine = f.icmp("ult", f.sub(at[0], self.low), f.word(w.width))
                    stack.enter_context(f.when(mine))
                work(self.located(at))
            with both.no:
                self.report(found, good)

    def wrapped(self, index, size_word):
        f = self.f
        if not self.s.wrap:
            return index
        size = f.splat(f.word(size_word), lanes_of(index.type))
        return f.select(f.icmp("slt", index, 0), f.add(index, size), index)

    def located(self, at) -> Value:
        f, dst = self.f, self.dst
        for index, words, near in zip(at, self.w.indices, self.s.near, strict=True):
            dst = f.at(dst, self.s.dtype.llvm, index if near else f.mul(index, f.word(words[-3])))
        return dst

    def report(self, found, good) -> None:
        """The plan's error record: which check failed, and the index."""
        f, error = self.f, self.f.word(self.w.error, "ptr")
        for index, sound, words in zip(found, good, self.w.indices, strict=True):
            with f.when(f.not_(f.value(sound, "i1"))):
                f.store(index, f.at(error, "i64", 1))
                f.store(f.word(words[-1]), error)

    # -- elements ----------------------------------------------------------------------------------

    def element(self, dst, src, lanes: int = 1) -> None:
        f, s = self.f, self.s
        if s.mode == CHECK:
            return
        new = from_memory(f, s.dtype, f.load(s.dtype.llvm, src))
        old = None if s.mode == "set" else from_memory(f, s.dtype, f.load(s.dtype.llvm, dst))
        f.store(to_memory(f, s.dtype, combined(f, s, old, new, lanes)), dst)

    def row(self, dst, src) -> None:
        """Elements of a piece whose place along the row is the destination's own."""
        f, s = self.f, self.s
        if s.lanes == 1:
            with f.loop(self.first, self.last) as loop:
                self.one(loop.index, dst, src)
            return
        whole = f.sub(self.last, f.urem(f.sub(self.last, self.first), LANES))
        with f.loop(self.first, whole, LANES) as loop:
            self.vector(dst, src, loop.index, None)
        rest = f.sub(self.last, whole)
        with f.when(f.icmp("ne", rest, 0)):
            self.vector(dst, src, whole, f.lane_mask(rest))

    def vector(self, dst, src, at, mask) -> None:
        f, s, step = self.f, self.s, self.source_step()
        dst = f.at(dst, s.dtype.llvm, at)
        src = f.at(src, s.dtype.llvm, f.mul(at, step))
        new = from_memory(f, s.dtype, f.load_strided(s.dtype.llvm, src, step, mask=mask))
        old = None
        if s.mode != "set":
            old = from_memory(f, s.dtype, f.load_strided(s.dtype.llvm, dst, 1, mask=mask))
        f.store_strided(to_memory(f, s.dtype, combined(f, s, old, new, LANES)), dst, 1, mask)

    def fill(self, dst) -> None:
        f, s = self.f, self.s
        value = to_memory(f, s.dtype, from_word(f, self.w.fill, s.dtype))
        region = f.word(self.w.region)
        whole = f.sub(region, f.urem(region, LANES))
        with f.loop(0, whole, LANES) as loop:
            f.store(value, f.at(dst, s.dtype.llvm, loop.index))
        f.masked_store(value, f.at(dst, s.dtype.llvm, whole), f.lane_mask(f.sub(region, whole)))


def combined(f: Function, s: Structure, old, new, lanes: int) -> Value:
    """What the destination holds after one more source element."""
    if s.mode == "set":
        return new
    if s.dtype is dtypes.bool:
        return f.binary(ON_BOOLS[s.mode], old, new)
    return emit_instr(f, MODES[s.mode], s.dtype, s.dtype, [old, new], lanes=lanes)


# -- lowering --------------------------------------------------------------------------------------

def check_scatter(v, views, checks, error_ref) -> list[Call]:
    """Calls that look at all indices before anything is written."""
    if 0 in views[0][2] or not checks:
        return []
    moving = [a._replace(dst=None) for a in source_axes(v, views) if any(a.strides[1:])]
    axes = merge([a._replace(strides=(0, *a.strides[1:])) for a in moving])
    s, shares = choose(v, [], axes, [], named_axes(v), False)
    fields = Filler(s._replace(mode=CHECK, dtype=dtypes.uint8), axes, shares)
    fields.start(v, 0, views, error_ref, None)
    fields.all_indices(v, views, checks)
    size = prod(a.size for a in axes)
    note = f"check {plain(size)} indices"
    return [Call(scatter_code(fields.s), tuple(fields.words), 1, 1, note, 0, 8 * size)]


def named_axes(v) -> list[tuple[int, int]]:
    """(axis of the destination, number of the index operand) where an index says the place."""
    return [(axis, -1 - e) for axis, e in enumerate(v.params["coords"]) if e < 0]


class Axis(NamedTuple):
    size: int
    dst: int | None                     # stride in the destination; None: bound
    strides: tuple[int, ...]            # of the source and the index operands


def can_scatter(v) -> bool:
    """Whether there is a kernel for this scatter."""
    return not v.dtype.is_complex and v.params["mode"] in MODES and \
        all(u.dtype is dtypes.int64 for u in v.uses[2:])


def can_fill(v) -> bool:
    """Whether each unit's part of the destination is one run, so that it can fill that itself."""
    coords, dst, src = v.params["coords"], v.shape, v.uses[1].layout.shape
    free = [e for e in coords if e >= 0]
    return bool(free) and src.numel() > 0 and list(coords[:len(free)]) == sorted(set(free)) and \
        all(dst[k] == src[e] for k, e in enumerate(free)) and len(free) < len(coords) and \
        prod(dst[:len(free)]) >= ENOUGH


def lower_scatter(v, out, views, checks, error_ref, fill=None) -> list[Call]:
    """Calls that add the source into `out`, to the old values there or, if given, to `fill`.

    `views` are (ref, dtype, shape, strides) of the source and the index operands, `checks` the
    numbers of the index checks, one for each axis of the destination that an index operand names.
    """
    shape = views[0][2]
    if 0 in shape:
        return []
    axes = merge(source_axes(v, views))
    outer, bound, cut = arrange(axes, fill is not None)
    s, shares = choose(v, outer, bound, cut, named_axes(v), fill is not None)
    fields = Filler(s, [*outer, *bound, *cut], shares)
    fields.start(v, out, views, error_ref, fill)
    fields.all_indices(v, views, checks)
    size = prod(a.size for a in axes)
    units = prod(a.size for a in outer) * shares.blocks * shares.parts
    grain = larger(1, SMALL * units // larger(size * shares.parts, 1))
    source, target = times(shape), times(v.shape)
    note = f"scatter {v.params['mode']} {source} into {target}"
    return [Call(scatter_code(s), tuple(fields.words), units, smaller(grain, units), note, size,
                 3 * size * v.dtype.itemsize)]


def dst_strides(shape) -> list[int]:
    return [prod(shape[k + 1:]) for k in range(len(shape))]


def source_axes(v, views) -> list[Axis]:
    """Axes of the iteration that are longer than 1."""
    strides, axes = dst_strides(v.shape), []
    for d, n in enumerate(views[0][2]):
        if n == 1:
            continue
        own = [strides[axis] for axis, e in enumerate(v.params["coords"]) if e == d]
        axes.append(Axis(n, sum(own) if own else None, tuple(view[3][d] for view in views)))
    return axes


def merge(axes: list[Axis]) -> list[Axis]:
    """Neighbours that everything walks as one."""
    merged: list[Axis] = []
    for axis in axes:
        last = merged[-1] if merged else None
        if last and continues(last, axis):
            merged[-1] = Axis(last.size * axis.size, axis.dst, axis.strides)
        else:
            merged.append(axis)
    return merged


def continues(last: Axis, axis: Axis) -> bool:
    """Whether a step along `last` is a whole walk along `axis`, everywhere."""
    if (last.dst is None) != (axis.dst is None):
        return False
    if axis.dst is not None and last.dst != axis.dst * axis.size:
        return False
    return all(a == b * axis.size for a, b in zip(last.strides, axis.strides, strict=True))


def arrange(axes, whole: bool):
    """(outer free axes, bound axes, the cut one); that lies in rows of dst, or is innermost."""
    free = [a for a in axes if a.dst is not None]
    rows = [a for a in free if a.dst == 1 and a.size >= 4 and not any(a.strides[1:])]
    last = [a for a in axes[-1:] if a.dst is not None]
    cut = [] if whole else rows[-1:] or last
    return [a for a in free if a not in cut], [a for a in axes if a.dst is None], cut


class Shares(NamedTuple):
    """How the work is cut: columns in a piece, pieces, indices in a range, ranges."""
    block: int
    blocks: int
    width: int
    parts: int


def choose(v, outer, bound, cut, named, filled) -> tuple[Structure, Shares]:
    """What follows from the axes; `named` are (axis of the destination, index operand)."""
    rows = bool(cut) and cut[0].dst == 1 and not any(cut[0].strides[1:]) and cut[0].size >= 4
    shares = share(v, outer, bound, cut, named, rows)
    step, *walks = (cut or bound)[-1].strides if cut or bound else (0,)
    s = Structure(
        v.params["mode"], v.dtype, LANES if rows else 1, len(outer), len(bound), bool(cut),
        step=str(step) if step in (0, 1) else "s",
        walk=way([walks[k] for _, k in named] if walks else []),
        near=tuple(prod(v.shape[axis + 1:]) == 1 for axis, _ in named),
        wrap=bool(v.params["wrap"]), parted=shares.parts > 1, filled=filled)
    return s, shares


def share(v, outer, bound, cut, named, rows: bool) -> Shares:
    """Pieces of the cut axis; ranges of the first index if that is too short and there are rows."""
    size = prod(a.size for a in (*outer, *bound, *cut))
    places = prod(a.size for a in outer)
    block = blocks = 1
    if cut:
        wanted = smaller(ENOUGH // places + 1 if size > SMALL else 1,
                     -(-cut[0].size // (PIECE if rows else SHORT)))
        block = -(-cut[0].size // (wanted * LANES)) * LANES
        blocks = -(-cut[0].size // block)
    parts = ranges(places * blocks, size) if rows and named else 1
    return Shares(block, blocks, -(-v.shape[named[0][0]] // parts) if named else 1, parts)


def way(steps) -> str:
    return "0" if not any(steps) else "1" if all(step == 1 for step in steps) else "s"


def ranges(units: int, size: int) -> int:
    """Into how many ranges of the first index the destination is divided; no bit depends on it."""
    from ..runtime.threads import get_num_threads
    return get_num_threads() if units == 1 and size > SMALL else 1


class Filler:
    """Puts numbers in their places in the args block."""

    def __init__(self, s: Structure, axes: list[Axis], shares: Shares):
        self.s, self.at, self.axes, self.shares = s, Words(s), axes, shares
        self.words: list = [0] * self.at.count

    def put(self, places, numbers) -> None:
        for place, number in zip(places, numbers, strict=True):
            self.words[place] = number

    def start(self, v, out, views, error_ref, fill) -> None:
        at = self.at
        self.put(at.sizes, [a.size for a in self.axes])
        self.put([at.block, at.blocks, at.width, at.parts, at.error], [*self.shares, error_ref])
        free = [a.dst for a in self.axes if a.dst is not None]
        self.put(at.dst, [out, *free])
        self.put(at.src, [views[0][0], *(a.strides[0] for a in self.axes)])
        if fill is not None:
            outer = prod(a.size for a in self.axes[:self.s.outer])
            self.put([at.fill, at.region], [fill, v.numel // outer])

    def all_indices(self, v, views, checks) -> None:
        strides = dst_strides(v.shape)
        for places, (axis, k), check in zip(self.at.indices, named_axes(v), checks, strict=True):
            moves = [a.strides[1 + k] for a in self.axes]
            self.put(places, [views[1 + k][0], *moves, strides[axis], v.shape[axis], check])
