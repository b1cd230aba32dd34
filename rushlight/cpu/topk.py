"""The first few of an order: a row is walked once, beside a sorted list of the best so far.

    for row in units:
        items = the first k, sorted by insertion           as in cpu/sort.py
        for 16 elements at a time:
            if one of their keys is below the last item's: insert those that are

Keys are those of cpu/sort.py. Few elements pass the test, unless a row is sorted the other way.
"""
from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Code
from ..compiler.sizes import larger, times
from ..dtypes import dtype
from ..layout import packed_strides
from .emit import Function, Value
from .scan import Axis, merged, numbers_of
from .sort import Emitter as Sorter, Items

MOST = 64               # items of a list
SMALL = 16384           # elements that one thread does alone
X, Y, K, HEADER = range(4)


class Structure(NamedTuple):
    dtype: dtype
    descending: bool
    outer: int
    step: str           # how the operand moves along the row: "1" or "s"

    @property
    def is_wide(self) -> bool:
        """Whether a number does not fit into one word with its key."""
        return self.dtype.itemsize == 8


@cache
def topk_code(s: Structure) -> Code:
    """One kernel for each structure."""
    return Emitter(s).code()


class Emitter(Sorter):
    def __init__(self, s: Structure):
        self.s, self.f, axes = s, Function("argtopk"), s.outer + 1
        self.sizes, self.strides, self.results = (range(HEADER + k * axes, HEADER + (k + 1) * axes) for k in range(3))
        arrays = [self.f.at(self.f.alloca("i64", MOST + 8), "i64", 8) for _ in range(1 + s.is_wide)]
        self.items = Items(*arrays, *[None] * (not s.is_wide))
        self.lane = "i64" if s.is_wide else "i32"
        self.lanes = self.f.alloca(self.lane, LANES)

    def code(self) -> Code:
        f = self.f
        f.store(f.value(0), f.at(self.items.keys, "i64", -1))       # ends every search
        with f.loop(f.lo, f.hi) as unit:
            self.row(unit.index)
        return f.code()

    def row(self, row) -> None:
        f, s, k = self.f, self.s, self.f.word(K)
        x, y = f.word(X, "ptr"), f.word(Y, "ptr")
        for axis in reversed(range(s.outer)):
            at = f.urem(row, f.word(self.sizes[axis])) if axis else row
            row = f.udiv(row, f.word(self.sizes[axis])) if axis else 0
            x = f.at(x, s.dtype.llvm, f.mul(at, f.word(self.strides[axis])))
            y = f.at(y, "i64", f.mul(at, f.word(self.results[axis])))
        n = f.word(self.sizes[-1])
        with f.loop(0, k, nonempty=True) as loop:
            self.insert_one(self.key_at(x, loop.index), loop.index, loop.index)
        whole = f.sub(n, f.urem(f.sub(n, k), LANES))
        with f.loop(k, whole, LANES) as loop:
            self.look(x, loop.index)
        with f.loop(whole, n) as loop:
            self.offer(self.key_at(x, loop.index), loop.index)
        self.write(self.items, y, k)

    def result_step(self):
        return self.f.word(self.results[-1])

    def step(self):
        return 1 if self.s.step == "1" else self.f.word(self.strides[-1])

    def key_at(self, x, at) -> Value:
        f, bits = self.f, f"i{8 * self.s.dtype.itemsize}"
        return f.cast("zext", self.key(f.load(bits, f.at(x, bits, f.mul(at, self.step())))), "i64")

    def look(self, x, at) -> None:
        """16 elements, of which mostly none is good enough."""
        f, bits = self.f, f"i{8 * self.s.dtype.itemsize}"
        found = f.load_strided(bits, f.at(x, bits, f.mul(at, self.step())), self.step())
        keys = f.cast("zext", self.key(found), self.lane)
        good = f.icmp("ult", keys, f.splat(f.cast("trunc", self.worst(), self.lane)))
        with f.when(f.call("i1", "llvm.vector.reduce.or.v16i1", good)):
            f.store(keys, self.lanes)
            with f.loop(0, LANES, nonempty=True) as lane:
                key = f.cast("zext", f.load(self.lane, f.at(self.lanes, self.lane, lane.index)), "i64")
                self.offer(key, f.add(at, lane.index))

    def worst(self) -> Value:
        """The key of the last item."""
        f = self.f
        key, _ = self.get(self.items, f.sub(f.word(K), 1))
        return key if self.s.is_wide else f.lshr(key, 32)

    def offer(self, key, number) -> None:
        with self.f.when(self.f.icmp("ult", key, self.worst())):
            self.insert_one(key, number, self.f.sub(self.f.word(K), 1))

    def insert_one(self, key, number, last) -> None:
        """Into the items before `last`, whose own is lost."""
        f = self.f
        item = key if self.s.is_wide else f.or_(f.shl(key, 32), number)
        with f.when(self.is_above(self.items, last, item), otherwise=[f.value(last)]) as branch:
            with f.repeat([f.value(last)]) as search:
                at = search.values[0]
                below = f.sub(at, 1)
                self.put(self.items, at, *self.get(self.items, below))
                search.again(self.is_above(self.items, below, item), below)
            branch.give(*search.results)
        self.put(self.items, branch.results[0], item, number)


# -- lowering --------------------------------------------------------------------------------------

def can_select(v) -> bool:
    """Whether there is a kernel for this."""
    kind = v.uses[0].dtype if v.uses else None
    return v.prim.name == "argtopk" and not kind.is_complex and v.params["k"] <= MOST


def lower_topk(v, out, view) -> list[Call]:
    """The call of an argtopk; `view` is (ref, dtype, shape, strides) of its operand."""
    ref, kind, shape, strides = view
    d, k = v.params["dim"], v.params["k"]
    if 0 in shape or k == 0:
        return []
    result = packed_strides([*shape[:d], k, *shape[d + 1:]])
    axes = [Axis(*a) for a in zip(shape, strides, result, strict=True)]
    outer = merged(axes[:d] + axes[d + 1:])
    rows, n = prod(a.size for a in outer), axes[d].size
    s = Structure(kind, v.params["descending"], len(outer), "1" if axes[d].stride == 1 else "s")
    words = [ref, out, k, *numbers_of([*outer, axes[d]])]
    return [Call(topk_code(s), tuple(words), rows, larger(1, SMALL // n), f"argtopk {times(shape)} along {d}", 0,
                 rows * n * kind.itemsize)]
