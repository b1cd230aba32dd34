"""Matrices in scratch memory, as algorithms of linear algebra see them: places of numbers, and lines of them.

There are two ways to lie there, and one text of an algorithm serves both:

    lanes       a number is a vector: the elements at one place of 16 matrices. A line goes number by number.
    rows        a number is a scalar of one matrix. A line goes 16 neighbours at a time; rows are padded,
                so that a line may begin anywhere and overrun its end.

Numbers are float64 whatever memory has: float32 matrices are computed as NumPy computes them.

What differs from matrix to matrix, like the row of a pivot, is a number as well (`whole`), and is acted on by masks.
"""
from __future__ import annotations

from typing import NamedTuple

from .. import dtypes
from ..compiler.kernel import LANES, TILE
from .emit import Function, Value, constant, vector
from .fourier import backwards, store_turned
from .turned import join_lanes, load_turned

ABREAST = 4             # steps of a line whose sums are made side by side


class Grid(NamedTuple):
    """A matrix in scratch memory: where it starts, and how many numbers a row takes."""
    base: Value
    row: Value


class Bench:
    """What there is to do with the numbers of grids."""

    def __init__(self, f: Function, memory: dtypes.dtype, is_lanes: bool):
        self.f, self.is_lanes = f, is_lanes
        self.element, self.memory = "double", memory.llvm
        self.wide = vector(self.element)
        self.number = self.wide if is_lanes else self.element
        self.count = vector("i32") if is_lanes else "i64"
        self.step = 1 if is_lanes else LANES
        self.zero, self.one = constant(self.number, 0), constant(self.number, 1)

    # -- numbers -----------------------------------------------------------------------------------
    def place(self, g: Grid, i, j) -> Value:
        f = self.f
        return f.at(g.base, self.number, f.add(f.mul(i, g.row), j))

    def get(self, g: Grid, i, j) -> Value:
        return self.f.load(self.number, self.place(g, i, j))

    def put(self, value: Value, g: Grid, i, j) -> None:
        self.f.store(value, self.place(g, i, j))

    def whole(self, n) -> Value:
        """An integer, the same in all matrices."""
        if not self.is_lanes:
            return self.f.value(n)
        return self.f.splat(self.f.cast("trunc", n, "i32")) if isinstance(n, Value) else constant(self.count, n)

    def any(self, mask: Value) -> Value:
        f = self.f
        return f.icmp("ne", f.let("i16", f"bitcast {mask.typed} to i16"), 0) if self.is_lanes else mask

    def size(self, x: Value) -> Value:
        return self.f.intrinsic("fabs", x)

    def minus_product(self, a: Value, b: Value, c: Value) -> Value:
        """c - a b, rounded once."""
        return self.f.fma(self.f.fneg(a), b, c)

    # -- lines -------------------------------------------------------------------------------------
    def line(self, g: Grid, i, j) -> Value:
        """What one step of a line takes at once."""
        return self.f.load(self.wide, self.place(g, i, j))

    def set_line(self, value: Value, g: Grid, i, j) -> None:
        self.put(value, g, i, j)

    def set_line_before(self, end, value: Value, g: Grid, i, j) -> None:
        """Nothing from column `end` on."""
        if self.is_lanes:
            return self.put(value, g, i, j)
        self.f.masked_store(value, self.place(g, i, j), self.f.lane_mask(self.f.sub(end, j)))

    def spread(self, number: Value) -> Value:
        """A number as a factor of lines."""
        return number if self.is_lanes else self.f.splat(number)

    def along(self, lo, hi, emit) -> None:
        """emit(columns) for some steps of a line at a time, for one at a time where fewer are left."""
        f, many = self.f, ABREAST * self.step
        length = f.sub(hi, lo)
        whole = f.add(lo, f.sub(length, f.urem(f.smax(length, 0), many)))
        with f.loop(lo, whole, many) as at:
            emit([f.add(at.index, k * self.step) for k in range(ABREAST)])
        with f.loop(f.smax(whole, lo), hi, self.step) as at:
            emit([at.index])

    def subtract_row(self, g: Grid, i, k, factor: Value, lo, hi) -> None:
        """Row i loses `factor` times row k."""
        wide = self.spread(factor)

        def emit(columns):
            lines = [self.minus_product(wide, self.line(g, k, j), self.line(g, i, j)) for j in columns]
            for j, v in zip(columns, lines, strict=True):
                self.set_line_before(hi, v, g, i, j)
        self.along(lo, hi, emit)

    def swap_rows(self, g: Grid, i, k, mask: Value, columns) -> None:
        """Rows i and k exchanged in the matrices of the mask; `i` is a place, or a number if matrices are alone."""
        f = self.f

        def emit(at):
            for j in at:
                a, b = self.line(g, i, j), self.line(g, k, j)
                self.set_line(f.select(mask, b, a) if self.is_lanes else b, g, i, j)
                self.set_line(f.select(mask, a, b) if self.is_lanes else a, g, k, j)
        self.along(0, columns, emit)

    def swap_columns(self, g: Grid, j, k, mask: Value, rows) -> None:
        """Columns j and k exchanged, as rows are."""
        f = self.f
        with f.loop(0, rows) as i:
            a, b = self.get(g, i.index, j), self.get(g, i.index, k)
            self.put(f.select(mask, b, a) if self.is_lanes else b, g, i.index, j)
            self.put(f.select(mask, a, b) if self.is_lanes else a, g, i.index, k)

    def where_chosen(self, chosen: Value, lo, hi, act) -> None:
        """act(i, mask) for all lo <= i < hi that are chosen in some matrix."""
        f = self.f
        if not self.is_lanes:
            with f.when(f.icmp("sge", chosen, lo)):
                act(chosen, None)
            return
        with f.loop(lo, hi) as at:
            mask = f.icmp("eq", chosen, self.whole(at.index))
            with f.when(self.any(mask)):
                act(at.index, mask)

    def fill(self, g: Grid, rows, columns, value_at) -> None:
        f = self.f
        with f.loop(0, rows) as i, f.loop(0, columns) as j:
            self.put(value_at(i.index, j.index), g, i.index, j.index)

    def unit(self, i, j) -> Value:
        """The element of the unit matrix."""
        f = self.f
        return f.select(f.icmp("eq", i, j), self.one, self.zero)

    # -- memory ------------------------------------------------------------------------------------
    def widened(self, x: Value) -> Value:
        return self.f.cast("fpext", x, self.element)

    def narrowed(self, x: Value) -> Value:
        return self.f.cast("fptrunc", x, self.memory)

    def read(self, g: Grid, starts, outer, inner, strides, is_along: bool, is_turned: bool) -> None:
        """Lines of memory into a grid, whose columns they are if that is turned; `starts` has one place for each lane."""
        f = self.f
        with f.loop(0, outer) as o:
            lines = [f.at(x, "i8", f.mul(o.index, strides[0])) for x in starts]
            if not self.is_lanes and is_along and not is_turned:
                self.read_row(g, o.index, lines[0], inner)
            else:
                at = lambda n: (n, o.index) if is_turned else (o.index, n)
                self.read_line(g, at, lines, inner, strides[1], is_along)

    def read_line(self, g: Grid, at, lines, count, stride, is_along: bool) -> None:
        """Element n of each line to the place at(n)."""
        f = self.f
        done = self.read_fours(g, at, lines, count) if self.is_lanes and is_along else 0
        with f.loop(done, count) as n:
            places = [f.at(x, "i8", f.mul(n.index, stride)) for x in lines]
            value = join_lanes(f, self.memory, places) if self.is_lanes else f.load(self.memory, places[0])
            self.put(self.widened(value), g, *at(n.index))

    def read_row(self, g: Grid, i, start, columns) -> None:
        f = self.f
        with f.loop(0, columns, LANES) as j:
            value = f.masked_load(self.memory, f.at(start, self.memory, j.index), f.lane_mask(f.sub(columns, j.index)))
            self.set_line(self.widened(value), g, i, j.index)

    def read_fours(self, g: Grid, at, lines, count):
        """Four elements of each line at a time; how many that were."""
        f = self.f
        whole = f.sub(count, f.urem(count, TILE))
        with f.loop(0, whole, TILE) as n:
            for k, v in enumerate(load_turned(f, self.memory, [f.at(x, self.memory, n.index) for x in lines], TILE)):
                self.put(self.widened(v), g, *at(f.add(n.index, k)))
        return whole

    def write(self, g: Grid, starts, rows, columns, is_turned: bool = False) -> None:
        """A grid, or its transpose, into packed memory."""
        f = self.f
        with f.loop(0, rows) as i:
            lines = [f.at(y, self.memory, f.mul(i.index, columns)) for y in starts]
            take = lambda j: self.get(g, j, i.index) if is_turned else self.get(g, i.index, j)
            if self.is_lanes:
                self.write_lanes(take, lines, columns)
            elif is_turned:
                with f.loop(0, columns) as j:
                    f.store(self.narrowed(take(j.index)), f.at(lines[0], self.memory, j.index))
            else:
                self.write_row(g, i.index, lines[0], columns)

    def write_row(self, g: Grid, i, start, columns) -> None:
        f = self.f
        with f.loop(0, columns, LANES) as j:
            mask = f.lane_mask(f.sub(columns, j.index))
            f.masked_store(self.narrowed(self.line(g, i, j.index)), f.at(start, self.memory, j.index), mask)

    def write_lanes(self, take, lines, columns) -> None:
        f = self.f
        whole = f.sub(columns, f.urem(columns, TILE))
        with f.loop(0, whole, TILE) as j:
            values = [self.narrowed(take(f.add(j.index, k))) for k in range(TILE)]
            store_turned(f, values, [f.at(y, self.memory, j.index) for y in lines])
        with f.loop(whole, columns) as j:
            self.write_number(self.narrowed(take(j.index)), [f.at(y, self.memory, j.index) for y in lines])

    def write_number(self, value: Value, places) -> None:
        """A number of each matrix to its place; lanes too many write what the last matrix has, before it does."""
        f = self.f
        for lane, place in backwards(places):
            f.store(f.extract(value, lane) if self.is_lanes else value, place)
