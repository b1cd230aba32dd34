"""Order of elements along an axis: radix sort on keys whose unsigned order is the dtype's.

A key is the element's bits, turned so that they compare as unsigned integers: a float's sign bit
flips and, if it was set, all others too; -0 counts as 0 and every nan as the greatest. Descending
order takes the complement, so that equal elements keep their order either way.

    for row in unit:
        items = key << 32 | number          in one word; 64-bit keys have an array for numbers
        short rows: insertion
        else, for each byte of the key from the lowest, unless it is the same everywhere:
            count, sum up, move items to the other array
        numbers -> result

Bytes are counted in the pass that makes the keys. One row is one thread's work.

This order is stable. If another one is asked for, rows in which elements are equal are ordered again (introsort.py).
"""
from __future__ import annotations

from functools import cache, partial
from math import prod
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Code
from ..compiler.sizes import larger, smaller, times
from ..dtypes import dtype
from .emit import Function, Value, constant, vector
from .introsort import Introsort
from .scan import merged, numbers_of, scan_axes

SHORT = 80              # longer rows go by radix
DIRECT = 1024           # and these, if equal elements need not keep their order, in which they are ordered again
UNITS = 16              # pieces of the rows, each with working memory of its own
SMALL = 4096            # elements that one thread does alone
SLACK = 64              # bytes before the first item, for a least one
BUCKETS = 256
INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000,
            "float64": 0x7FF0000000000000}


class Structure(NamedTuple):
    dtype: dtype
    descending: bool
    stable: bool
    outer: int

    @property
    def is_wide(self) -> bool:
        """Whether a number does not fit into one word with its key."""
        return self.dtype.itemsize == 8


class Words:
    """Where each run-time number stands in the args block; the sorted axis comes last."""

    def __init__(self, s: Structure):
        self.x, self.y, self.room, self.room_bytes, self.array_bytes, self.rows, self.per = range(7)
        axes = s.outer + 1
        self.sizes, self.strides, self.result = (
            range(7 + k * axes, 7 + (k + 1) * axes) for k in range(3))


class Items(NamedTuple):
    """Arrays of keys (with numbers in the low half, or with numbers in an array of their own)."""
    keys: Value
    numbers: Value | None


@cache
def sort_code(s: Structure) -> Code:
    """One kernel for each structure."""
    return Emitter(s).code()


class Emitter:
    def __init__(self, s: Structure):
        self.s, self.w, self.f = s, Words(s), Function("argsort")
        self.counts = self.f.alloca("i32", BUCKETS * s.dtype.itemsize)

    def code(self) -> Code:
        f, w = self.f, self.w
        with f.loop(f.lo, f.hi) as unit:
            room = f.at(f.word(w.room, "ptr"), "i8", f.mul(unit.index, f.word(w.room_bytes)))
            first = f.mul(unit.index, f.word(w.per))
            last = f.umin(f.add(first, f.word(w.per)), f.word(w.rows))
            with f.loop(first, last) as row:
                self.row(row.index, room)
        return f.code()

    def row(self, row, room) -> None:
        f, w, s = self.f, self.w, self.s
        x, y = f.word(w.x, "ptr"), f.word(w.y, "ptr")
        for axis in reversed(range(s.outer)):
            at = f.urem(row, f.word(w.sizes[axis])) if axis else row
            row = f.udiv(row, f.word(w.sizes[axis])) if axis else 0
            x = f.at(x, s.dtype.llvm, f.mul(at, f.word(w.strides[axis])))
            y = f.at(y, "i64", f.mul(at, f.word(w.result[axis])))
        n, (items, other) = f.word(w.sizes[-1]), self.arrays(room)
        with f.either(f.icmp("sle", n, SHORT if s.stable else DIRECT)) as both:
            with both.yes:
                both.give(constant("i1", True))
            with both.no:
                self.clear_counts()
                self.make_items(x, n, items, counted=True)
                done = self.radix(items, other, n)
                self.write(done, y, n)
                both.give(constant("i1", False) if s.stable else self.has_equal(done, n))
        with f.when(both.results[0]):
            self.make_items(x, n, items, counted=False)
            if not s.stable:
                Introsort(f, partial(self.get, items), partial(self.put, items), lambda item: self.rank(item[0])).split(n)
            self.insert(items, n)
            self.write(items, y, n)

    def has_equal(self, items: Items, n):
        """Whether neighbours in sorted items are equal."""
        f = self.f
        with f.repeat([1]) as search:
            at = search.values[0]
            here, before = (self.rank(self.get(items, k)[0]) for k in (at, f.sub(at, 1)))
            found = f.icmp("eq", here, before)
            then = f.add(at, 1)
            search.again(f.and_(f.not_(found), f.icmp("slt", then, n)), then)
        return found

    def rank(self, key):
        """What of an item's word is compared."""
        return key if self.s.is_wide else self.f.lshr(key, 32)

    def arrays(self, room) -> list[Items]:
        f, is_wide = self.f, self.s.is_wide
        at = [f.at(room, "i8", f.add(SLACK, f.mul(f.word(self.w.array_bytes), k)))
              for k in range(4 if is_wide else 2)]
        return [Items(at[k], at[2 + k] if is_wide else None) for k in range(2)]

    # -- keys --------------------------------------------------------------------------------------

    def make_items(self, x, n, items: Items, counted: bool) -> None:
        f, s = self.f, self.s
        with f.loop(0, n, nonempty=True) as loop:
            at = f.mul(loop.index, f.word(self.w.strides[-1]))
            bits = f.load(f"i{8 * s.dtype.itemsize}", f.at(x, f"i{8 * s.dtype.itemsize}", at))
            key = f.cast("zext", self.key(bits), "i64")
            item = key if s.is_wide else f.or_(f.shl(key, 32), loop.index)
            self.put(items, loop.index, item, loop.index)
            for byte in range(s.dtype.itemsize if counted else 0):
                digit = f.and_(f.lshr(key, 8 * byte), BUCKETS - 1)
                place = f.at(self.counts, "i32", f.add(digit, BUCKETS * byte))
                f.store(f.add(f.load("i32", place), 1), place)

    def key(self, bits) -> Value:
        f, d, s = self.f, self.s.dtype, self.s
        sign = 1 << 8 * d.itemsize - 1
        if d.is_floating_point:
            size = f.and_(bits, sign - 1)
            bits = f.select(f.icmp("eq", size, 0), f.zero_like(bits), bits)
            turned = f.select(f.icmp("slt", bits, 0), f.xor(bits, -1), f.xor(bits, sign))
            key = f.select(f.icmp("ugt", size, INFINITY[d.name]), constant(bits.type, -1), turned)
        else:
            key = f.xor(bits, sign) if d.is_signed else bits
        return f.xor(key, -1) if s.descending else key

    def put(self, items: Items, at, key, number) -> None:
        f = self.f
        f.store(key, f.at(items.keys, "i64", at))
        if items.numbers is not None:
            f.store(number, f.at(items.numbers, "i64", at))

    def get(self, items: Items, at):
        f = self.f
        key = f.load("i64", f.at(items.keys, "i64", at))
        return key, None if items.numbers is None else f.load("i64", f.at(items.numbers, "i64", at))

    def write(self, items: Items, y, n) -> None:
        f = self.f
        with f.loop(0, n, nonempty=True) as loop:
            key, number = self.get(items, loop.index)
            number = f.and_(key, 0xFFFFFFFF) if number is None else number
            f.store(number, f.at(y, "i64", f.mul(loop.index, self.result_step())))

    def result_step(self) -> Value:
        return self.f.word(self.w.result[-1])

    # -- short rows --------------------------------------------------------------------------------

    def insert(self, items: Items, n) -> None:
        """Insertion sort; a least item before the first ends every search."""
        f = self.f
        f.store(f.value(0), f.at(items.keys, "i64", -1))
        with f.loop(1, n) as loop:
            key, number = self.get(items, loop.index)
            with f.when(self.is_above(items, loop.index, key)):
                with f.repeat([loop.index]) as search:
                    at = search.values[0]
                    below = f.sub(at, 1)
                    self.put(items, at, *self.get(items, below))
                    search.again(self.is_above(items, below, key), below)
                self.put(items, search.results[0], key, number)

    def is_above(self, items: Items, at, key):
        """Whether the item before `at` belongs behind `key`."""
        f = self.f
        return f.icmp("ugt", self.rank(f.load("i64", f.at(items.keys, "i64", f.sub(at, 1)))), self.rank(key))

    # -- long rows ---------------------------------------------------------------------------------

    def clear_counts(self) -> None:
        f, many = self.f, BUCKETS * self.s.dtype.itemsize
        with f.loop(0, many, LANES, nonempty=True) as loop:
            f.store(constant(vector("i32"), 0), f.at(self.counts, "i32", loop.index))

    def radix(self, items: Items, other: Items, n) -> Items:
        """Where the items are in the end."""
        f, s = self.f, self.s
        carried = [v for v in (*items, *other) if v is not None]
        with f.loop(0, s.dtype.itemsize, nonempty=True, carried=carried) as byte:
            source, target = self.paired(byte.values)
            counts = f.at(self.counts, "i32", f.mul(byte.index, BUCKETS))
            shift = f.add(f.mul(byte.index, 8), 0 if s.is_wide else 32)
            first = self.digit(f.load("i64", source.keys), shift)
            count = f.cast("zext", f.load("i32", f.at(counts, "i32", first)), "i64")
            alike = f.icmp("eq", count, n)
            with f.when(f.not_(alike), otherwise=byte.values) as different:
                self.sum_up(counts)
                self.move(source, target, counts, shift, n)
                different.give(*(v for v in (*target, *source) if v is not None))
            byte.next(*different.results)
        return self.paired(byte.results)[0]

    def paired(self, values) -> tuple[Items, Items]:
        if self.s.is_wide:
            return Items(*values[:2]), Items(*values[2:])
        return Items(values[0], None), Items(values[1], None)

    def digit(self, key, shift):
        return self.f.and_(self.f.lshr(key, shift), BUCKETS - 1)

    def sum_up(self, counts) -> None:
        """Counts become the place of the first item of each bucket."""
        f = self.f
        with f.loop(0, BUCKETS, nonempty=True, carried=[constant("i32", 0)]) as loop:
            place = f.at(counts, "i32", loop.index)
            count = f.load("i32", place)
            f.store(loop.values[0], place)
            loop.next(f.add(loop.values[0], count))

    def move(self, source: Items, target: Items, counts, shift, n) -> None:
        f = self.f
        with f.loop(0, n, nonempty=True) as loop:
            key, number = self.get(source, loop.index)
            place = f.at(counts, "i32", self.digit(key, shift))
            at = f.load("i32", place)
            f.store(f.add(at, 1), place)
            self.put(target, f.cast("zext", at, "i64"), key, number)


# -- lowering --------------------------------------------------------------------------------------

def can_sort(v) -> bool:
    """Whether there is a kernel for this order."""
    return v.prim.name == "argsort" and not v.uses[0].dtype.is_complex and v.numel < 1 << 32


def lower_sort(v, out, view, temp) -> list[Call]:
    """Calls of an argsort; `view` is (ref, dtype, shape, strides) of its operand."""
    ref, kind, shape, strides = view
    if 0 in shape:
        return []
    axes = scan_axes(shape, strides)
    d = v.params["dim"]
    outer = merged(axes[:d] + axes[d + 1:])
    s = Structure(kind, v.params["descending"], v.params.get("stable", True), len(outer))
    n, rows = axes[d].size, prod(a.size for a in outer)
    units = smaller(rows, UNITS)
    array = 8 * n + 2 * SLACK
    room = (4 if s.is_wide else 2) * array
    per = -(-rows // units)
    words = [ref, out, temp(units * room), room, array, rows, per, *numbers_of([*outer, axes[d]])]
    note = f"argsort {times(shape)} along {d}"
    units = -(-rows // per)
    return [Call(sort_code(s), tuple(words), units, larger(1, SMALL // (per * n)), note, 0,
                 16 * rows * n)]
