"""The order in which `std::sort` leaves equal elements: PyTorch's, where it sorts without keeping their order.

Quicksort by the median of three, until pieces have 16 elements or the recursion is too deep, where a heap sorts
the piece; then insertion. Libstdc++'s steps, because which equal element comes first follows from them (D. Musser,
"Introspective sorting and selection algorithms", 1997). Pieces do not touch each other, so their order is free.
"""
from __future__ import annotations

from ..prims.introsort import PIECE
from .emit import constant

DEPTH = 80              # pieces that wait: at most two for each halving of 2**32


class Introsort:
    """All steps but the last insertion, on items that `get(at)` reads, `put(at, *item)` writes and `rank(item)` compares."""

    def __init__(self, f, get, put, rank):
        self.f, self.get, self.put, self.rank = f, get, put, rank
        self.waiting = f.alloca("i64", 3 * DEPTH)

    def split(self, n) -> None:
        f = self.f
        zeros = f.call("i64", "llvm.ctlz.i64", n, constant("i1", False))
        self.push(0, 0, n, f.mul(2, f.sub(63, zeros)))
        with f.repeat([1]) as todo:
            top = f.sub(todo.values[0], 1)
            first, last, depth = (f.load("i64", self.place(top, k)) for k in range(3))
            with f.when(f.icmp("sgt", f.sub(last, first), PIECE), otherwise=[top]) as long:
                with f.either(f.icmp("eq", depth, 0)) as way:
                    with way.yes:
                        self.sort_by_heap(first, last)
                        way.give(top)
                    with way.no:
                        cut, depth = self.partition(first, last), f.sub(depth, 1)
                        self.push(top, cut, last, depth)
                        self.push(f.add(top, 1), first, cut, depth)
                        way.give(f.add(top, 2))
                long.give(*way.results)
            todo.again(f.icmp("sgt", long.results[0], 0), long.results[0])

    def place(self, at, k):
        return self.f.at(self.waiting, "i64", self.f.add(self.f.mul(at, 3), k))

    def push(self, at, *piece) -> None:
        for k, n in enumerate(piece):
            self.f.store(self.f.value(n), self.place(at, k))

    # -- halves -------------------------------------------------------------------------------------

    def rank_at(self, at):
        return self.rank(self.get(at))

    def is_less(self, a, b):
        return self.f.icmp("ult", a, b)

    def swap(self, i, j) -> None:
        a, b = self.get(i), self.get(j)
        self.put(i, *b)
        self.put(j, *a)

    def median(self, first, last):
        """Which of the second, the middle and the last element lies between the others."""
        f = self.f
        x, y, z = f.add(first, 1), f.add(first, f.lshr(f.sub(last, first), 1)), f.sub(last, 1)
        a, b, c = map(self.rank_at, (x, y, z))
        return f.select(self.is_less(a, b), f.select(self.is_less(b, c), y, f.select(self.is_less(a, c), z, x)),
                        f.select(self.is_less(a, c), x, f.select(self.is_less(b, c), z, y)))

    def partition(self, first, last):
        """Where the upper half begins."""
        f = self.f
        self.swap(first, self.median(first, last))
        pivot = self.rank_at(first)
        with f.repeat([f.add(first, 1), last]) as halves:
            with f.repeat([halves.values[0]]) as up:
                at = up.values[0]
                up.again(self.is_less(self.rank_at(at), pivot), f.add(at, 1))
            with f.repeat([halves.values[1]]) as down:
                below = f.sub(down.values[0], 1)
                down.again(self.is_less(pivot, self.rank_at(below)), below)
            low, high = f.sub(up.results[0], 1), down.results[0]
            more = f.icmp("slt", low, high)
            with f.when(more):
                self.swap(low, high)
            halves.again(more, f.add(low, 1), high)
        return low

    # -- a heap -------------------------------------------------------------------------------------

    def sort_by_heap(self, first, last) -> None:
        f = self.f
        n = f.sub(last, first)
        with f.repeat([f.lshr(f.sub(n, 2), 1)]) as make:
            parent = make.values[0]
            self.sift(first, parent, n, self.get(f.add(first, parent)))
            make.again(f.icmp("sgt", parent, 0), f.sub(parent, 1))
        with f.repeat([n]) as shrink:
            n = f.sub(shrink.values[0], 1)
            item = self.get(f.add(first, n))
            self.put(f.add(first, n), *self.get(first))
            self.sift(first, f.value(0), n, item)
            shrink.again(f.icmp("sgt", n, 1), n)

    def sift(self, first, hole, n, item) -> None:
        """Let larger children rise into the hole down to a leaf, then the item from there."""
        f, top = self.f, hole
        limit = f.lshr(f.sub(n, 1), 1)
        with f.when(f.icmp("slt", hole, limit), otherwise=[hole]) as inner:
            with f.repeat([hole]) as walk:
                right = f.mul(2, f.add(walk.values[0], 1))
                left = f.sub(right, 1)
                child = f.select(self.is_less(self.at(first, right), self.at(first, left)), left, right)
                self.move(first, child, walk.values[0])
                walk.again(f.icmp("slt", child, limit), child)
            inner.give(*walk.results)
        hole = inner.results[0]
        is_lone = f.and_(f.icmp("eq", f.and_(n, 1), 0), f.icmp("eq", hole, f.sdiv(f.sub(n, 2), 2)))
        with f.when(is_lone, otherwise=[hole]) as lone:
            child = f.add(f.mul(2, hole), 1)
            self.move(first, child, hole)
            lone.give(child)
        self.put(f.add(first, self.raised(first, lone.results[0], top, item)), *item)

    def raised(self, first, hole, top, item):
        """Where an item stops that rises from a hole past smaller parents."""
        f = self.f

        def rises(at):
            return f.and_(f.icmp("sgt", at, top), self.is_less(self.at(first, self.parent(at)), self.rank(item)))
        with f.when(rises(hole), otherwise=[hole]) as any_:
            with f.repeat([hole]) as rise:
                parent = self.parent(rise.values[0])
                self.move(first, parent, rise.values[0])
                rise.again(rises(parent), parent)
            any_.give(*rise.results)
        return any_.results[0]

    def parent(self, at):
        """Of the root: itself."""
        return self.f.sdiv(self.f.sub(at, 1), 2)

    def at(self, first, place):
        return self.rank_at(self.f.add(first, place))

    def move(self, first, source, target) -> None:
        f = self.f
        self.put(f.add(first, target), *self.get(f.add(first, source)))
