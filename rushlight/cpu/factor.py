"""Factorisations and equations of small matrices: LU with pivots, substitution, Cholesky, Householder's QR.

    unit = 16 matrices, one in each lane, or one matrix, its rows in lanes (cpu/grid.py):
        read        the operands into grids
        algorithm   the textbook's; the order of its sums follows from sizes alone
        write       the result, packed

Which of the two ways, and up to which size at all, follows from shapes. What LAPACK reports as `info` (a zero pivot, a
minor that is not positive) is a number of each matrix; a kernel of its own finds the first one and fails.
"""
from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

from .. import dtypes
from ..compiler.kernel import LANES, Call, Code
from ..compiler.sizes import larger, smaller, times
from .emit import Function, Value, constant, vector
from .grid import Bench, Grid
from .pack import dynamic_alloca, merged
from .scalar import emit_instr

SCRATCH = 1 << 19       # bytes of stack that a unit may take
LINE_BYTES = 64
ITEM = 8                # bytes of a number: also of float32 matrices, as in NumPy
PANEL = 32              # columns that are eliminated before those behind them
NARROW = 24             # wider matrices are quicker one by one
LARGE = {"lu": 768, "solve_triangular": 768, "cholesky": 256}       # rows up to which memory of the plan is used
MOST = 1 << 25          # bytes of it
SMALL = 20000           # steps that one thread does alone
COUNT, OUT, INFO, ROOM, LINE, M, N, K, A_ROW, B_ROW, B_AT, PIVOTS_AT, MEMORY, A = range(14)
OPERAND = 3             # words of an operand: address, strides of its lines and of their elements
AXES = A + 2 * OPERAND


class Operand(NamedTuple):
    is_along: bool          # its lines are contiguous
    is_turned: bool         # its lines are columns


class Structure(NamedTuple):
    name: str               # of the primitive
    memory: dtypes.dtype
    is_lanes: bool
    outer: int              # axes of the batch
    operands: tuple[Operand, ...]
    flags: tuple = ()       # of a triangle: upper, with ones on its diagonal
    is_large: bool = False      # scratch memory is no stack, but the plan's


@cache
def factor_code(s: Structure) -> Code:
    """One kernel for each structure."""
    return Emitter(s).code()


class Emitter:
    def __init__(self, s: Structure):
        self.s, self.f = s, Function(s.name)
        self.b = Bench(self.f, s.memory, s.is_lanes)

    def code(self) -> Code:
        f, s = self.f, self.s
        scratch = None if s.is_large else dynamic_alloca(f, f.word(ROOM))
        self.places = [f.alloca("ptr", LANES) for _ in range(1 + len(s.operands))]
        if scratch:
            self.lay_out(scratch)
        with f.loop(f.lo, f.hi) as unit:
            if s.is_large:
                self.lay_out(f.at(f.word(MEMORY, "ptr"), "i8", f.mul(unit.index, f.word(ROOM))))
            self.out, *operands = self.starts(unit.index)
            for n, (operand, starts) in enumerate(zip(s.operands, operands, strict=True)):
                self.read(n, operand, starts)
            ALGORITHMS[s.name](self)
        return f.code()

    # -- memory ------------------------------------------------------------------------------------
    def lay_out(self, scratch) -> None:
        """The grids' places in scratch memory."""
        f = self.f
        self.a = Grid(scratch, f.word(A_ROW))
        self.x = Grid(f.at(scratch, "i8", f.word(B_AT)), f.word(B_ROW))
        self.pivots = f.at(scratch, "i8", f.word(PIVOTS_AT))
        if not self.s.is_lanes:
            self.clear(scratch)

    def clear(self, scratch) -> None:
        """What rows are padded with is to be harmless."""
        f = self.f
        with f.loop(0, f.word(ROOM), LINE_BYTES) as at:
            f.store(constant(vector("i64", LINE_BYTES // 8), 0), f.at(scratch, "i8", at.index))

    def starts(self, unit):
        """Where the result and the operands of each matrix start."""
        f, s = self.f, self.s
        self.first = f.mul(unit, LANES) if s.is_lanes else unit
        lanes = LANES if s.is_lanes else 1
        with f.loop(0, lanes, nonempty=True) as lane:
            at = f.umin(f.add(self.first, lane.index), f.sub(f.word(COUNT), 1))
            found = [f.at(f.word(OUT, "ptr"), "i8", f.mul(at, f.word(LINE)))]
            for place, where in zip(self.places, [*found, *self.operands_at(at)], strict=True):
                f.store(where, f.at(place, "ptr", lane.index))
        return [[f.load("ptr", f.at(place, "ptr", lane)) for lane in range(lanes)] for place in self.places]

    def operands_at(self, at):
        f, s = self.f, self.s
        found = [f.word(A + n * OPERAND, "ptr") for n in range(len(s.operands))]
        for axis in reversed(range(s.outer)):
            index = f.urem(at, f.word(AXES + axis)) if axis else at
            at = f.udiv(at, f.word(AXES + axis)) if axis else at
            for n, x in enumerate(found):
                found[n] = f.at(x, "i8", f.mul(index, f.word(AXES + (n + 1) * s.outer + axis)))
        return found

    def read(self, n: int, operand: Operand, starts) -> None:
        f = self.f
        rows, columns = (f.word(M), f.word(N)) if n == 0 else (f.word(N), f.word(K))
        outer, inner = (columns, rows) if operand.is_turned else (rows, columns)
        strides = [f.word(A + n * OPERAND + k) for k in (1, 2)]
        self.b.read(self.x if n else self.a, starts, outer, inner, strides, *operand)

    def report(self, info: Value) -> None:
        """What went wrong with each matrix, by its number in the batch."""
        f = self.f
        place = f.at(f.word(INFO, "ptr"), "i64", self.first)
        if not self.s.is_lanes:
            f.store(info, place)
            return
        f.masked_store(f.cast("sext", info, "i64"), place, f.lane_mask(f.sub(f.word(COUNT), self.first)))

    def write_numbers(self, value: Value) -> None:
        """One number of each matrix."""
        self.b.write_number(value, self.out)

    def write_whole(self, value: Value) -> None:
        """One integer of each matrix, as int64."""
        self.write_numbers(self.f.cast("sext", value, "i64") if self.s.is_lanes else value)

    # -- LU ----------------------------------------------------------------------------------------
    def pivot(self, k) -> Value:
        """Where a step's pivot is kept."""
        return self.f.at(self.pivots, self.b.count, k)

    def eliminate(self):
        """Gauss with row pivots: L below and U above the diagonal; (parity of the swaps, info).

        Some columns at a time; what they do to those behind them is added up before it is stored.
        """
        f, b = self.f, self.b
        m, n = f.word(M), f.word(N)
        many = f.umin(m, n)
        with f.loop(0, many, PANEL, carried=[b.one, b.whole(0)]) as panel:
            first, last = panel.index, f.umin(f.add(panel.index, PANEL), many)
            with f.loop(first, last, carried=panel.values) as step:
                step.next(*self.eliminate_column(step.index, last, *step.values))
            with f.loop(first, last) as t:
                self.subtract_rows(t.index, f.add(t.index, 1), last, n, first, t.index)
            self.subtract_rows(last, m, last, n, first, last)
            panel.next(*step.results)
        return panel.results

    def eliminate_column(self, k, last, parity, info):
        """A step in the columns before `last`; (parity, info) after it."""
        f, b = self.f, self.b
        m, n = f.word(M), f.word(N)
        chosen = self.largest(k)
        f.store(chosen, self.pivot(k))
        b.where_chosen(chosen, f.add(k, 1), m, lambda i, mask: b.swap_rows(self.a, i, k, mask, n))
        is_zero = self.clear_below(k, last)
        is_first = f.binary("and", is_zero, f.icmp("eq", info, b.whole(0)))
        return self.turned(parity, chosen, k), f.select(is_first, b.whole(f.add(k, 1)), info)

    def subtract_rows(self, lo, hi, column, end, first, last) -> None:
        """Rows lo..hi, from a column on, lose their factors in columns first..last times rows first..last."""
        self.b.along(column, end, lambda columns: self.subtract_block(lo, hi, columns, first, last, lambda i, s: (i, s)))

    def subtract_block(self, lo, hi, columns, first, last, at) -> None:
        """The same in some columns; at(i, s) is where the factor of row s in row i is."""
        f, b = self.f, self.b
        with f.loop(lo, hi) as i:
            with f.loop(first, last, carried=[b.line(self.a, i.index, j) for j in columns]) as s:
                factor = f.fneg(b.spread(b.get(self.a, *at(i.index, s.index))))
                s.next(*(f.fma(factor, b.line(self.a, s.index, j), v) for j, v in zip(columns, s.values, strict=True)))
            for j, v in zip(columns, s.results, strict=True):
                b.set_line(v, self.a, i.index, j)

    def clear_below(self, k, last) -> Value:
        """Multiples of row k from the rows below it, in the columns before `last`; where the pivot is zero."""
        f, b = self.f, self.b
        pivot = b.get(self.a, k, k)
        is_zero = f.fcmp("oeq", pivot, b.zero)
        divisor = f.select(is_zero, b.one, pivot)
        with f.loop(f.add(k, 1), f.word(M)) as i:
            factor = f.fdiv(b.get(self.a, i.index, k), divisor)
            b.put(factor, self.a, i.index, k)
            b.subtract_row(self.a, i.index, k, factor, f.add(k, 1), last)
        return is_zero

    def turned(self, parity, chosen, k) -> Value:
        f = self.f
        return f.select(f.icmp("eq", chosen, self.b.whole(k)), parity, f.fneg(parity))

    def largest(self, k) -> Value:
        """The first row from k on whose element in column k is the largest."""
        f, b = self.f, self.b
        with f.loop(f.add(k, 1), f.word(M), carried=[b.size(b.get(self.a, k, k)), b.whole(k)]) as i:
            size = b.size(b.get(self.a, i.index, k))
            is_more = f.fcmp("ogt", size, i.values[0])
            i.next(f.select(is_more, size, i.values[0]), f.select(is_more, b.whole(i.index), i.values[1]))
        return i.results[1]

    def permute(self) -> None:
        """The right-hand sides' rows in the order of the pivots."""
        f, b = self.f, self.b
        n = f.word(N)
        with f.loop(0, n) as k:
            chosen = f.load(b.count, self.pivot(k.index))
            swap = lambda i, mask: b.swap_rows(self.x, i, k.index, mask, f.word(K))
            b.where_chosen(chosen, f.add(k.index, 1), n, swap)

    def substitute(self, upper: bool, unit: bool) -> None:
        """The right-hand sides become solutions of the triangle: forwards of a lower one, backwards of an upper one.

        Some rows at a time; what they take from those behind them is added up before it is stored.
        """
        f, b = self.f, self.b
        n = f.word(N)
        row = lambda t: f.sub(f.sub(n, 1), t) if upper else t
        with f.loop(0, n, PANEL) as panel:
            first, last = panel.index, f.umin(f.add(panel.index, PANEL), n)
            with f.loop(first, last) as t:
                divisor = None if unit else b.spread(b.get(self.a, row(t.index), row(t.index)))
                self.substitute_row(t.index, first, t.index, row, divisor)
            with f.loop(last, n) as t:
                self.substitute_row(t.index, first, last, row, None)

    def substitute_row(self, t, first, last, row, divisor) -> None:
        """Solution t loses what solutions first..last take, before it is divided."""
        f, b = self.f, self.b
        i = row(t)

        def emit(columns):
            with f.loop(first, last, carried=[b.line(self.x, i, j) for j in columns]) as s:
                r = row(s.index)
                factor = f.fneg(b.spread(b.get(self.a, i, r)))
                s.next(*(f.fma(factor, b.line(self.x, r, j), v) for j, v in zip(columns, s.values, strict=True)))
            for j, v in zip(columns, s.results, strict=True):
                b.set_line(v if divisor is None else f.fdiv(v, divisor), self.x, i, j)
        b.along(0, f.word(K), emit)

    def solve(self) -> None:
        self.report(self.eliminate()[1])
        self.permute()
        self.substitute(False, True)
        self.substitute(True, False)
        self.b.write(self.x, self.out, self.f.word(N), self.f.word(K))

    def invert(self) -> None:
        self.b.fill(self.x, self.f.word(N), self.f.word(N), self.b.unit)
        self.solve()

    def solve_triangle(self) -> None:
        self.substitute(*self.s.flags)
        self.b.write(self.x, self.out, self.f.word(N), self.f.word(K))

    def diagonal(self, first, step):
        """step(number, element) along the diagonal."""
        f, b = self.f, self.b
        with f.loop(0, f.word(N), carried=[first]) as k:
            k.next(step(k.values[0], b.get(self.a, k.index, k.index)))
        return k.results[0]

    def determinant(self) -> None:
        parity, _ = self.eliminate()
        self.write_numbers(self.b.narrowed(self.diagonal(parity, self.f.fmul)))

    def sign(self) -> None:
        f, b = self.f, self.b
        parity, _ = self.eliminate()

        def step(sign, x):
            turned = f.intrinsic("copysign", b.one, x)
            return f.fmul(sign, f.select(f.fcmp("oeq", x, b.zero), b.zero, f.select(f.fcmp("uno", x, x), x, turned)))
        self.write_numbers(b.narrowed(self.diagonal(parity, step)))

    def logarithm(self) -> None:
        f, b, double = self.f, self.b, dtypes.float64
        self.eliminate()
        lanes = LANES if self.s.is_lanes else 1
        step = lambda total, x: f.fadd(total, emit_instr(f, "log", double, double, [b.size(x)], lanes=lanes))
        self.write_numbers(b.narrowed(self.diagonal(b.zero, step)))

    def factors(self) -> None:
        """Both factors, the swaps and info, all of them floats."""
        f, b = self.f, self.b
        m, n = f.word(M), f.word(N)
        _, info = self.eliminate()
        b.write(self.a, self.out, m, n)
        after, count = f.mul(m, n), f.umin(m, n)
        with f.loop(0, count) as k:
            swap = f.load(b.count, self.pivot(k.index))
            b.write_number(f.cast("sitofp", swap, b.memory), self.behind(f.add(after, k.index)))
        b.write_number(f.cast("sitofp", info, b.memory), self.behind(f.add(after, count)))

    def zero_pivot(self) -> None:
        self.write_whole(self.eliminate()[1])

    # -- cofactors ---------------------------------------------------------------------------------
    def cofactors(self) -> None:
        """The transpose of det A / A, by pivots of the whole rest: only the last one may be small where the result is not.

        P A Q = L U, adj A = Q adj(U) (1 / L) P with the parity's sign.
        """
        f, b = self.f, self.b
        n = f.word(N)
        with f.loop(0, n, carried=[b.one]) as k:
            k.next(self.eliminate_wholly(k.index, k.values[0]))
        b.fill(self.x, n, n, b.unit)
        self.permute()
        self.substitute(False, True)
        with f.loop(0, f.sub(n, 1), carried=[k.results[0]]) as at:
            at.next(f.fmul(at.values[0], b.get(self.a, at.index, at.index)))
        self.adjugate_of_upper(at.results[0])
        with f.loop(0, n) as back:
            at = f.sub(f.sub(n, 1), back.index)
            chosen = f.load(b.count, self.column(at))
            b.where_chosen(chosen, f.add(at, 1), n, lambda i, mask: b.swap_rows(self.x, i, at, mask, n))
        b.write(self.x, self.out, n, n, is_turned=True)

    def column(self, k) -> Value:
        """Where a step's column is kept."""
        return self.pivot(self.f.add(k, self.f.word(N)))

    def eliminate_wholly(self, k, parity) -> Value:
        """A step with the largest element of the rest as its pivot; the parity after it."""
        f, b = self.f, self.b
        n, after = f.word(N), f.add(k, 1)
        row, column = self.largest_of_all(k)
        f.store(row, self.pivot(k))
        f.store(column, self.column(k))
        b.where_chosen(row, after, n, lambda i, mask: b.swap_rows(self.a, i, k, mask, n))
        b.where_chosen(column, after, n, lambda j, mask: b.swap_columns(self.a, j, k, mask, n))
        self.clear_below(k, n)
        return self.turned(self.turned(parity, row, k), column, k)

    def largest_of_all(self, k):
        """(row, column) of the first element from row and column k on that is the largest."""
        f, b = self.f, self.b
        with f.loop(k, f.word(N), carried=[b.zero, b.whole(k), b.whole(k)]) as i:
            with f.loop(k, f.word(N), carried=i.values) as j:
                size = b.size(b.get(self.a, i.index, j.index))
                is_more = f.fcmp("ogt", size, j.values[0])
                found = [size, b.whole(i.index), b.whole(j.index)]
                j.next(*(f.select(is_more, a, c) for a, c in zip(found, j.values, strict=True)))
            i.next(*j.results)
        return i.results[1:]

    def adjugate_of_upper(self, others) -> None:
        """The right-hand sides times adj(U); `others` is the product of all pivots but the last."""
        f, b = self.f, self.b
        n = f.word(N)
        last = f.sub(n, 1)
        whole = f.fmul(others, b.get(self.a, last, last))
        with f.loop(0, n) as t:
            i = f.sub(last, t.index)
            is_last = f.icmp("eq", t.index, 0)
            scale = b.spread(f.select(is_last, others, whole))
            divisor = f.select(is_last, b.one, b.get(self.a, i, i))
            is_zero = f.fcmp("oeq", divisor, b.zero)
            divisor = b.spread(f.select(is_zero, b.one, divisor))

            def emit(columns, i=i, scale=scale, divisor=divisor, is_zero=is_zero):
                with f.loop(f.add(i, 1), n, carried=[f.fmul(scale, b.line(self.x, i, j)) for j in columns]) as r:
                    factor = f.fneg(b.spread(b.get(self.a, i, r.index)))
                    r.next(*(f.fma(factor, b.line(self.x, r.index, j), v) for j, v in zip(columns, r.values, strict=True)))
                for j, v in zip(columns, r.results, strict=True):
                    b.set_line(f.select(is_zero, constant(b.wide, 0), f.fdiv(v, divisor)), self.x, i, j)
            b.along(0, n, emit)

    # -- Householder -------------------------------------------------------------------------------
    def reflections(self) -> None:
        """R above, the vectors of the reflections below the diagonal; their factors where pivots are kept."""
        f = self.f
        with f.loop(0, f.umin(f.word(M), f.word(N))) as k:
            factor = self.reflection(k.index)
            f.store(factor, self.factor(k.index))
            self.reflect(self.a, k.index, factor, f.add(k.index, 1), f.word(N))

    def factor(self, k) -> Value:
        return self.f.at(self.pivots, self.b.number, k)

    def reflection(self, k) -> Value:
        """I - factor v v', with 1 on top of v, turns column k from row k on into its length with the other sign.

        A column that is zero below is left as it is, as LAPACK leaves it.
        """
        f, b = self.f, self.b
        head = b.get(self.a, k, k)
        tail = self.greatest(k)
        is_flat = f.fcmp("oeq", tail, b.zero)
        greatest = f.intrinsic("maxnum", tail, b.size(head))
        scale = f.select(f.fcmp("oeq", greatest, b.zero), b.one, greatest)
        part = f.fdiv(head, scale)
        with f.loop(f.add(k, 1), f.word(M), carried=[f.fmul(part, part)]) as i:
            part = f.fdiv(b.get(self.a, i.index, k), scale)
            i.next(f.fma(part, part, i.values[0]))
        length = f.fmul(scale, f.intrinsic("sqrt", i.results[0]))
        made = f.select(is_flat, head, f.fneg(f.intrinsic("copysign", length, head)))
        divisor = f.select(is_flat, b.one, f.fsub(head, made))
        with f.loop(f.add(k, 1), f.word(M)) as i:
            b.put(f.fdiv(b.get(self.a, i.index, k), divisor), self.a, i.index, k)
        b.put(made, self.a, k, k)
        return f.select(is_flat, b.zero, f.fdiv(f.fsub(made, head), made))

    def greatest(self, k) -> Value:
        """The size of the greatest element below the diagonal."""
        f, b = self.f, self.b
        with f.loop(f.add(k, 1), f.word(M), carried=[b.zero]) as i:
            i.next(f.intrinsic("maxnum", b.size(b.get(self.a, i.index, k)), i.values[0]))
        return i.results[0]

    def reflect(self, g: Grid, k, factor, lo, hi) -> None:
        """Columns lo..hi of a grid, reflected by vector k."""
        f, b = self.f, self.b
        factor = b.spread(factor)

        def emit(columns):
            heads = [b.line(g, k, j) for j in columns]
            with f.loop(f.add(k, 1), f.word(M), carried=heads) as i:
                v = b.spread(b.get(self.a, i.index, k))
                i.next(*(f.fma(v, b.line(g, i.index, j), s) for j, s in zip(columns, i.values, strict=True)))
            sums = [f.fmul(factor, s) for s in i.results]
            for j, head, s in zip(columns, heads, sums, strict=True):
                b.set_line(f.fsub(head, s), g, k, j)
            with f.loop(f.add(k, 1), f.word(M)) as i:
                v = b.spread(b.get(self.a, i.index, k))
                for j, s in zip(columns, sums, strict=True):
                    b.set_line(b.minus_product(v, s, b.line(g, i.index, j)), g, i.index, j)
        b.along(lo, hi, emit)

    def orthogonal(self) -> None:
        """Q from the unit matrix by all reflections, the last one first; then R."""
        f, b = self.f, self.b
        m, n, many = f.word(M), f.word(N), f.word(K)
        self.reflections()
        b.fill(self.x, m, many, b.unit)
        count = f.umin(m, n)
        with f.loop(0, count) as back:
            k = f.sub(f.sub(count, 1), back.index)
            self.reflect(self.x, k, f.load(b.number, self.factor(k)), k, many)
        b.write(self.x, self.out, m, many)
        with f.loop(1, many) as i, f.loop(0, f.umin(i.index, n)) as j:
            b.put(b.zero, self.a, i.index, j.index)
        b.write(self.a, self.behind(f.mul(m, many)), many, n)

    def behind(self, count) -> list[Value]:
        """Where the next result starts, after so many elements."""
        return [self.f.at(y, self.b.memory, count) for y in self.out]

    def vectors(self) -> None:
        f, b = self.f, self.b
        m, n = f.word(M), f.word(N)
        self.reflections()
        b.write(self.a, self.out, m, n)
        with f.loop(0, f.umin(m, n)) as k:
            value = f.load(b.number, self.factor(k.index))
            b.write_number(b.narrowed(value), self.behind(f.add(f.mul(m, n), k.index)))

    # -- Cholesky ----------------------------------------------------------------------------------
    def triangle(self) -> Value:
        """The upper factor of a grid whose upper half is the matrix's, some rows at a time; info."""
        f, b = self.f, self.b
        n = f.word(N)
        with f.loop(0, n, PANEL, carried=[b.whole(0)]) as panel:
            first, last = panel.index, f.umin(f.add(panel.index, PANEL), n)
            with f.loop(first, last, carried=panel.values) as i:
                i.next(self.finish_row(i.index, first, i.values[0]))

            def emit(columns, first=first, last=last):
                end = f.umin(f.add(columns[-1], b.step), n)
                self.subtract_block(last, end, columns, first, last, lambda i, s: (s, i))
            b.along(last, n, emit)
            panel.next(*i.results)
        return panel.results[0]

    def finish_row(self, i, first, info) -> Value:
        """Row i without the products of rows first..i, over its root; info after it."""
        f, b = self.f, self.b
        square = self.minus_products(i, first, [i], b.get, lambda x: x)[0]
        is_bad = f.binary("or", f.fcmp("ole", square, b.zero), f.fcmp("uno", square, square))
        root = f.intrinsic("sqrt", square)
        b.put(root, self.a, i, i)
        divisor = b.spread(root)

        def emit(columns):
            for j, v in zip(columns, self.minus_products(i, first, columns, b.line, b.spread), strict=True):
                b.set_line(f.fdiv(v, divisor), self.a, i, j)
        b.along(f.add(i, 1), f.word(N), emit)
        is_first = f.binary("and", is_bad, f.icmp("eq", info, b.whole(0)))
        return f.select(is_first, b.whole(f.add(i, 1)), info)

    def minus_products(self, i, first, columns, take, spread):
        """Row i, in some columns, without the products of column i with them in rows first..i."""
        f, b = self.f, self.b
        with f.loop(first, i, carried=[take(self.a, i, j) for j in columns]) as k:
            factor = f.fneg(spread(b.get(self.a, k.index, i)))
            k.next(*(f.fma(factor, take(self.a, k.index, j), v) for j, v in zip(columns, k.values, strict=True)))
        return k.results

    def cholesky(self) -> None:
        f, b = self.f, self.b
        info = self.triangle()
        is_bad = f.icmp("ne", info, b.whole(0))
        nan = constant(b.number, float("nan"))
        with f.loop(0, f.word(N)) as i, f.loop(0, f.word(N)) as j:
            value = f.select(is_bad, nan, b.get(self.a, i.index, j.index))
            b.put(f.select(f.icmp("slt", j.index, i.index), b.zero, value), self.a, i.index, j.index)
        b.write(self.a, self.out, f.word(N), f.word(N), is_turned=True)
        self.report(info)

    def minor(self) -> None:
        self.write_whole(self.triangle())


ALGORITHMS = {
    "solve": Emitter.solve, "inv": Emitter.invert, "solve_triangular": Emitter.solve_triangle,
    "det": Emitter.determinant, "sign_of_det": Emitter.sign, "log_abs_det": Emitter.logarithm,
    "lu": Emitter.factors, "first_zero_pivot": Emitter.zero_pivot,
    "cofactors": Emitter.cofactors, "qr": Emitter.orthogonal, "reflectors": Emitter.vectors,
    "cholesky": Emitter.cholesky, "first_indefinite_minor": Emitter.minor,
}
FAILING = ("solve", "inv", "cholesky")


@cache
def first_failure_code() -> Code:
    """The first matrix whose info is not zero, as number << 32 | info, into the error record."""
    f = Function("first_failure")
    info, count, error, check = f.word(0, "ptr"), f.word(1), f.word(2, "ptr"), f.word(3)
    with f.loop(f.lo, f.hi), f.loop(0, count) as back:
        at = f.sub(f.sub(count, 1), back.index)
        found = f.load("i64", f.at(info, "i64", at))
        with f.when(f.icmp("ne", found, 0)):
            f.store(f.or_(f.shl(at, 32), found), f.at(error, "i64", 1))
            f.store(check, error)
    return f.code()


@cache
def order_code() -> Code:
    """Swaps of rows to the order that they make, one list after the other."""
    f = Function("rows_after")
    count, n = f.word(2), f.word(3)
    with f.loop(f.lo, f.hi) as unit:
        swaps = f.at(f.word(0, "ptr"), "i64", f.mul(unit.index, count))
        order = f.at(f.word(1, "ptr"), "i64", f.mul(unit.index, n))
        with f.loop(0, n) as k:
            f.store(k.index, f.at(order, "i64", k.index))
        with f.loop(0, count) as k:
            here, there = f.at(order, "i64", k.index), f.at(order, "i64", f.load("i64", f.at(swaps, "i64", k.index)))
            mine, other = f.load("i64", here), f.load("i64", there)
            f.store(other, here)
            f.store(mine, there)
    return f.code()


# -- lowering --------------------------------------------------------------------------------------
def can_factor(v) -> bool:
    """Whether there is a kernel for these matrices, and it is quicker than LAPACK."""
    if v.prim.name == "rows_after":
        return v.numel != 0 and v.uses[0].layout.packed
    if v.prim.name not in ALGORITHMS or v.numel == 0:
        return False
    kind, shape = v.uses[0].dtype, v.uses[0].layout.shape
    return kind in (dtypes.float32, dtypes.float64) and 0 not in shape and has_room(v, shape)


def has_room(v, shape) -> bool:
    """On a stack; or for what LAPACK as NumPy has it is slow at, in memory of the plan."""
    room, limit = ways_of(v, shape).room, LARGE.get(v.prim.name, 0)
    return bool(room <= SCRATCH) or bool(larger(*shape[-2:]) <= limit) and bool(prod(shape[:-2]) * room <= MOST)


class Ways(NamedTuple):
    """How the matrices of a batch lie in scratch memory."""
    is_lanes: bool
    rows: tuple             # numbers from row to row of both grids
    places: tuple           # bytes before the second grid, and before the pivots
    room: int


def ways_of(v, shape) -> Ways:
    """Lanes for batches of small matrices; some may be empty if the matrices are very small."""
    m, n = shape[-2:]
    rows, k = second_grid(v, m, n)
    is_lanes = bool(n <= NARROW) and bool(n <= prod(shape[:-2]))
    pad = lambda columns: columns if is_lanes else (columns + 2 * LANES - 1) // LANES * LANES
    item = ITEM * LANES if is_lanes else ITEM
    a, b = item * m * pad(n), item * rows * pad(k)
    return Ways(is_lanes, (pad(n), pad(k)), (a, a + b), a + b + 2 * ITEM * LANES * (n + 1))


def second_grid(v, m, n) -> tuple:
    """(rows, columns) of the grid of right-hand sides, or of Q."""
    if len(v.uses) > 1:
        return n, v.uses[1].layout.shape[-1]
    if v.prim.name == "qr":
        return m, m if v.params["mode"] == "complete" else smaller(m, n)
    return (n, n) if v.prim.name in ("inv", "cofactors") else (0, 0)


def lower_factor(v, out, views, temp, failing) -> list[Call]:
    """The call of a kernel; `failing()` is (the error record, the number of a check) where a matrix may be refused."""
    if v.prim.name == "rows_after":
        return [order_call(v, out, *views[0])]
    shape, name, ways = views[0][2], v.prim.name, ways_of(v, views[0][2])
    (m, n), count = shape[-2:], prod(shape[:-2])
    batch = merged(shape[:-2], [x[3][:-2] for x in views])
    operands = [lines_of(x, name in ("cholesky", "first_indefinite_minor")) for x in views]
    info = temp(8 * count) if name in FAILING else out
    s = structure_of(v, views[0][1], ways, batch, [o for o, _ in operands])
    memory = temp(count * ways.room) if s.is_large else out
    words = [count, out, info, ways.room, v.dtype.itemsize * (v.numel // count), m, n, second_grid(v, m, n)[1], *ways.rows,
             *ways.places, memory, *words_of(views, operands, batch)]
    units = -(-count // LANES) if ways.is_lanes else count
    steps = m * n * larger(m, n) * (LANES if ways.is_lanes else 1) // LANES
    calls = [Call(factor_code(s), tuple(words), units, larger(1, SMALL // larger(steps, 1)), f"{name} {times(shape)}")]
    if name in FAILING and v.params.get("check", True):
        calls.append(Call(first_failure_code(), (info, count, *failing()), 1, 1, f"check {name}"))
    return calls


def order_call(v, out, ref, _dtype, shape, _strides) -> Call:
    n = v.params["n"]
    return Call(order_code(), (ref, out, shape[-1], n), v.numel // n, larger(1, SMALL // n), f"order after swaps {times(shape)}")


def structure_of(v, kind, ways, batch, operands) -> Structure:
    flags = tuple(v.params[name] for name in ("upper", "unitriangular") if name in v.params)
    return Structure(v.prim.name, kind, ways.is_lanes, len(batch), tuple(operands), flags, bool(ways.room > SCRATCH))


def words_of(views, operands, batch) -> list:
    """Address and strides of each operand, then sizes and strides of the batch."""
    size = views[0][1].itemsize
    words = []
    for view, (_, strides) in zip(views, operands, strict=True):
        words += [view[0], *(size * x for x in strides)]
    words += [0] * (2 * OPERAND - len(words)) + [n for n, _ in batch]
    for at in range(len(views)):
        words += [size * steps[at] for _, steps in batch]
    return words


def lines_of(view, is_turned: bool):
    """(how the lines of an operand lie, their stride and that of their elements)."""
    rows, columns = view[3][-2:]
    by_columns = bool(rows == 1 and columns != 1)
    strides = (columns, rows) if by_columns else (rows, columns)
    return Operand(bool(strides[1] == 1), by_columns is not is_turned), strides
