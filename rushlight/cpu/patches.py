"""Patches of an image as B of a contraction: a column for each position, k = (channel, tap).

Every tap of every position is copied, zero in the padding. The right thing where few outputs share
them; otherwise image.py reads positions as rows without copying taps.
"""
from __future__ import annotations

from functools import cache

from ..compiler.kernel import Code
from ..compiler.sizes import larger
from .emit import SIZES, Function, Value, constant, iota, lanes_of, vector
from .image import (A_MOVE, A_OUT, A_SIZE, A_START, A_STEP, A_STRIDE, A_TAPS, BATCH, CHANNEL,
                    GROUP, HEADER, IMAGE, TAPS, D, H, Image, W, along, gather_bytes)
from .micro import PANEL_BYTES, VECTOR_BYTES, VECTORS
from .pack import PACK_PARAMS, dynamic_alloca

PANEL, TABLE_BYTES = HEADER, HEADER + 1


def patch_words(image: Image, panel: int) -> tuple:
    return *image.words(), panel, 16 * larger(1, image.taps)


def patch_way(image: Image, itemsize: int) -> str:
    """How neighbouring positions lie in memory: adjacent, every second, or anyhow."""
    width = image.along[W]
    step = width.stride * width.move
    return "adjacent" if step == itemsize else "second" if step == 2 * itemsize else "gather"


@cache
def pack_patches(element: str, way: str) -> Code:
    f = Function(f"pack_patches_{way}_{element}", PACK_PARAMS, "ptr")
    lanes = VECTOR_BYTES // SIZES[element]
    patch = Patch(f, element, way)
    with f.loop(0, f.ceil_div(f.rows, lanes)) as vectors:
        first = f.mul(vectors.index, lanes)
        place = f.add(f.mul(f.udiv(vectors.index, VECTORS), f.word(PANEL)),
                      f.mul(f.urem(vectors.index, VECTORS), VECTOR_BYTES))
        patch.vector(f.at(f.dst, "i8", place), f.add(f.r0, first),
                     f.umin(f.sub(f.rows, first), lanes))
    f.give_back(f.dst)
    return f.code()


class Patch:
    """Emits one vector of positions for all (channel, tap) rows of a block.

    What is left after an output row ends is another segment. For each segment a table of
    (offset, mask) by tap is made first, then the rows are walked in memory order.
    """

    def __init__(self, f: Function, element: str, way: str):
        self.f, self.element, self.way = f, element, way
        self.image = f.at(f.word(IMAGE, "ptr"), "i8", f.mul(f.batch, f.word(GROUP)))
        self.lanes = VECTOR_BYTES // SIZES[element]
        self.iota = iota(vector("i32", self.lanes))
        self.width = self.lanes * (2 if way == "second" else 1)     # elements that a load may touch
        self.table = dynamic_alloca(f, f.word(TABLE_BYTES))
        self.channel = f.mul(f.udiv(f.k0, f.word(TAPS)), f.word(CHANNEL))
        self.first_tap = f.urem(f.k0, f.word(TAPS))

    def vector(self, dst: Value, position: Value, count: Value) -> None:
        """Cuts the vector where an output row ends."""
        f = self.f
        with f.loop(0, count, nonempty=True) as cut:
            at = f.add(position, cut.index)
            column, rest = f.urem(at, along(f, W, A_OUT)), f.udiv(at, along(f, W, A_OUT))
            run = f.umin(f.sub(along(f, W, A_OUT), column), f.sub(count, cut.index))
            own = self.between(f.sub(self.iota, self.splat(cut.index)), run)
            number = self.fill_table(cut.index, own, column, rest)
            self.fill_rows(dst, own, f.at(self.image, "i8", f.mul(number, f.word(BATCH))))
            cut.step = run

    def fill_table(self, lane: Value, own: Value, column: Value, rest: Value) -> Value:
        """(offset, mask) for each tap of the positions from `lane` on; gives their image."""
        f = self.f
        row, rest = f.urem(rest, along(f, H, A_OUT)), f.udiv(rest, along(f, H, A_OUT))
        depth, number = f.urem(rest, along(f, D, A_OUT)), f.udiv(rest, along(f, D, A_OUT))
        start = [self.first_index(dim, at) for dim, at in enumerate((depth, row, column))]
        start[W] = f.sub(start[W], f.mul(lane, along(f, W, A_MOVE)))
        spread = f.mul(self.iota, self.splat(along(f, W, A_MOVE)))
        with f.loop(0, along(f, D, A_TAPS), carried=[self.table, start[D]]) as d:
            with f.loop(0, along(f, H, A_TAPS), carried=[d.values[0], start[H]]) as h:
                inside = f.and_(self.inside(D, d.values[1]), self.inside(H, h.values[1]))
                live = f.and_(own, f.splat(inside, self.lanes))
                line = f.add(self.offset(D, d.values[1]), self.offset(H, h.values[1]))
                with f.loop(0, along(f, W, A_TAPS), carried=[h.values[0], start[W]]) as w:
                    place, index = w.values
                    columns = f.add(spread, self.splat(index))
                    mask = f.and_(live, self.between(columns, along(f, W, A_SIZE)))
                    f.store(f.add(line, self.offset(W, index)), place)
                    f.store(self.mask_bits(mask), f.at(place, "i64", 1))
                    w.next(f.at(place, "i64", 2), f.add(index, along(f, W, A_STEP)))
                h.next(w.results[0], f.add(h.values[1], along(f, H, A_STEP)))
            d.next(h.results[0], f.add(d.values[1], along(f, D, A_STEP)))
        return number

    def fill_rows(self, dst: Value, own: Value, image: Value) -> None:
        f, taps = self.f, self.f.word(TAPS)
        walk = f.helper(f"walk_{self.way}", self.walker)
        end = f.at(self.table, "i8", f.mul(taps, 16))
        begin = f.at(self.table, "i8", f.mul(self.first_tap, 16))
        step = f.mul(along(f, W, A_STRIDE), along(f, W, A_MOVE))
        arguments = [self.table, end, begin, f.at(image, "i8", self.channel), f.word(CHANNEL), dst,
                     f.kc, as_bits(f, own), step]
        f.line(f"call void @{walk.name}({', '.join(a.typed for a in arguments)})")

    def walker(self) -> Function:
        """All rows of a segment; a function of its own, so that the loop has all registers."""
        w = Function(f"walk_{self.way}", (
            ("ptr", "table"), ("ptr", "end"), ("ptr", "begin"), ("ptr", "source"),
            ("i64", "channel"), ("ptr", "dst"), ("i64", "rows"), (f"i{self.lanes}", "own"),
            ("i64", "step")))
        load, own = self.loader(w), as_mask(w, w.own)
        with w.loop(0, w.rows, carried=[w.dst, w.source, w.begin]) as row:
            dst, source, entry = row.values
            mask = as_mask(w, w.load(f"i{self.width}", w.at(entry, "i64", 1)))
            place = w.at(source, "i8", w.load("i64", entry))
            w.prefetch(w.at(place, "i8", PANEL_BYTES))
            w.masked_store(load(place, mask), dst, own)
            following = w.at(entry, "i8", 16)
            wraps = w.icmp("eq", following, w.end)
            onward = w.at(source, "i8", w.channel)
            row.next(w.at(dst, "i8", PANEL_BYTES), w.select(wraps, onward, source),
                     w.select(wraps, w.table, following))
        return w

    def mask_bits(self, mask: Value) -> Value:
        """The mask of a load as an integer."""
        f, lanes = self.f, self.lanes
        if self.way == "second":
            mask = f.shuffle(mask, constant(mask.type, 0),
                             [n // 2 + lanes * (n % 2) for n in range(2 * lanes)])
        return as_bits(f, mask)

    def loader(self, w: Function):
        """How a vector of neighbouring positions is read, zero where the mask is not set."""
        element = self.element
        if self.way == "adjacent":
            return lambda source, mask: w.masked_load(element, source, mask)
        if self.way == "second":
            return lambda source, mask: w.shuffle(w.masked_load(element, source, mask), None,
                                                  list(range(0, self.width, 2)))
        offsets = w.strided_offsets(w.step, self.lanes)
        return lambda source, mask: gather_bytes(w, element, source, offsets, mask)

    def splat(self, number: Value) -> Value:
        return self.f.splat(self.f.cast("trunc", number, "i32"), self.lanes)

    def between(self, numbers: Value, count: Value) -> Value:
        """Lanes whose number is in [0, count)."""
        return self.f.icmp("ult", numbers, self.splat(count))

    def first_index(self, dim: int, position: Value) -> Value:
        f = self.f
        return f.add(f.mul(position, along(f, dim, A_MOVE)), along(f, dim, A_START))

    def inside(self, dim: int, index: Value) -> Value:
        return self.f.icmp("ult", index, along(self.f, dim, A_SIZE))

    def offset(self, dim: int, index: Value) -> Value:
        return self.f.mul(index, along(self.f, dim, A_STRIDE))


def as_bits(f: Function, mask: Value) -> Value:
    return f.let(f"i{lanes_of(mask.type)}", f"bitcast {mask.typed} to i{lanes_of(mask.type)}")


def as_mask(f: Function, bits: Value) -> Value:
    return f.let(f"<{bits.type[1:]} x i1>", f"bitcast {bits.typed} to <{bits.type[1:]} x i1>")
