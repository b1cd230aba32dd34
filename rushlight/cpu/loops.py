"""Loop nests -> LLVM: pointwise maps, reductions over rows and columns, gathers.

Emitted shape of a map (units are pieces of rows, claimed by threads):

    for unit in lo..hi:                     row, piece = unit / blocks, unit % blocks
        offsets of all accesses at (row)
        for i in piece, 16 at a time:       loads -> body -> stores; the last one under a mask

A "rows" nest puts the folded axes where the piece was and folds the lanes at the end; a "columns"
nest walks the folded axes for each vector of kept elements. The order of every reduction follows
from the sizes alone: 16 lanes, parts of fixed length, each part from the identity.
"""
from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import NamedTuple

from .. import dtypes
from ..compiler.kernel import LANES, OWN_ROW, Code, Nest, NestWords, RowNest
from .emit import Function, Value, constant, iota, lanes_of, mangle, vector
from .scalar import bits_of, cast, emit_body, emit_instr, from_memory, from_word, literal_value, to_memory
from .picked import pick, pick_span
from .turned import load_turned


class Found(NamedTuple):
    """Where a load by index finds its elements, in elements from its start."""
    one: Value | int
    lanes: Value | None = None
    low: Value | None = None        # the least lane
    reach: Value | None = None      # how many elements from there to the greatest
    near: Value | None = None       # whether they are neighbours, in order


NOWHERE = Found(0)
ROWS_ABREAST = 4        # whose sums are added up at a time
STEPS = {"0": 0, "1": 1, "2": 2, "r": -1}      # ways that are known when a nest is emitted


@cache
def nest_code(nest: Nest) -> Code:
    """The machine-independent text of a nest; one for each structure."""
    return Emitter(nest).code()


class Emitter:
    def __init__(self, nest: Nest):
        self.nest, self.words = nest, NestWords(nest)
        self.f = Function(nest.style + "".join("_" + fold.op for fold in nest.folds))
        self.accesses = [(a, w) for group, words in ((nest.loads, self.words.loads), (nest.stores, self.words.stores))
                         for a, w in zip(group, words)]
        self.index_loads = {i for load in nest.loads for i in load.indices}

    def code(self) -> Code:
        f, nest = self.f, self.nest
        first = self.rows_side_by_side() if self.waits_for_sums() else f.lo
        with f.loop(first, f.hi) as unit:
            getattr(self, nest.style)(unit.index)
        return f.code()

    # -- where a unit stands --------------------------------------------------------------------
    def size(self, axis: int) -> Value:
        return self.f.word(self.words.sizes[axis])

    def decode(self, index: Value, axes) -> dict:
        """Coordinates along `axes` (outermost first) of a row-major number."""
        f, at = self.f, {}
        for k, axis in enumerate(reversed(axes)):
            if k == len(axes) - 1:
                at[axis] = index
            else:
                at[axis] = f.urem(index, self.size(axis))
                index = f.udiv(index, self.size(axis))
        return at

    def start(self, access, words, at: dict) -> Value:
        """The address of an access at given coordinates; axes not in `at` count as 0."""
        pointer = words[0]
        f, offset = self.f, 0
        for axis, index in at.items():
            if axis < len(access.ways) and access.ways[axis] != "0":
                offset = f.add(offset, f.mul(index, self.stride(access, words, axis)))
        return f.at(f.word(pointer, "ptr"), access.dtype.llvm if hasattr(access, "dtype") else "i8", offset)

    def stride(self, access, words, axis):
        way = access.ways[axis]
        return STEPS[way] if way in STEPS else self.f.word(words[1][axis])

    # -- the three styles -----------------------------------------------------------------------------
    def map(self, unit):
        """A unit is a piece of the last axis, for some neighbours on the axis before."""
        f, nest, w = self.f, self.nest, self.words
        axis = nest.kept - 1
        rest, piece = f.udiv(unit, f.word(w.blocks)), f.urem(unit, f.word(w.blocks))
        first = f.mul(piece, f.word(w.block))
        last = f.umin(f.add(first, f.word(w.block)), self.size(axis))
        if not axis:
            return self.map_row([self.start(a, words, {}) for a, words in self.accesses], first, last, 0)
        at = self.decode(f.udiv(rest, f.word(w.parts)), list(range(axis - 1)))
        starts = [self.start(a, words, at) for a, words in self.accesses]
        begin = f.mul(f.urem(rest, f.word(w.parts)), f.word(w.fold_block))
        end = f.umin(f.add(begin, f.word(w.fold_block)), self.size(axis - 1))
        if nest.tile:
            begin = self.map_tiles(starts, begin, end, first, last)
        above = f.mul(f.udiv(rest, f.word(w.parts)), self.size(axis - 1))
        if self.shares_indices():
            return self.map_columns(starts, begin, end, first, last, above)
        with f.loop(begin, end) as row:
            here = self.moved(starts, axis - 1, row.index)
            self.map_row(here, first, last, f.mul(f.add(above, row.index), self.size(axis)))

    def shares_indices(self) -> bool:
        """Whether the indices that move along the vectors are the same in all rows."""
        moving = [self.nest.loads[i].ways[-2:] for i in self.index_loads if self.nest.loads[i].ways[-1] != "0"]
        return bool(moving) and all(row == "0" for row, _ in moving)

    def map_columns(self, starts, begin, end, first, last, above):
        """A vector of columns at a time: where its lanes are is looked at once, for all rows."""
        f, axis = self.f, self.nest.kept - 1
        still = {i for i in self.index_loads if self.nest.loads[i].ways[axis] == "0"}
        with self.vectors(first, last) as step:
            for v in step:
                across = self.find(starts, axis, v, self.index_loads - still, often=True)
                with f.loop(begin, end) as row:
                    here = self.moved(starts, axis - 1, row.index)
                    down = self.find(here, axis, v, still)
                    found = {i: across[i]._replace(one=down[i].one) for i in across}
                    flat = f.mul(f.add(above, row.index), self.size(axis))
                    self.element(here, axis, v, flat, self.load_all(here, axis, v, found=found))

    def map_row(self, starts, first, last, flat):
        with self.vectors(first, last) as step:
            for v in step:
                self.element(starts, self.nest.kept - 1, v, flat)

    def map_tiles(self, starts, begin, end, first, last):
        """Full vectors of some rows at a time; gives the first row that is left."""
        tile, f, axis = self.nest.tile, self.f, self.nest.kept - 1
        whole = f.sub(end, f.urem(f.sub(end, begin), tile))
        with f.loop(begin, whole, tile) as row:
            heres = [self.moved(starts, axis - 1, f.add(row.index, r)) for r in range(tile)]
            full = f.sub(last, f.urem(f.sub(last, first), LANES))
            with f.loop(first, full, LANES) as loop:
                self.tile(heres, axis, SimpleNamespace(index=loop.index, mask=None))
            with f.when(f.icmp("ne", full, last)):
                for here in heres:
                    self.map_row(here, full, last, 0)
        return whole

    def tile(self, heres, axis, v):
        """One vector of each row, all loads before all stores."""
        turned = self.all_turned(heres[0], axis, v, axis - 1)
        inputs = [self.load_all(here, axis, v, {i: vectors[r] for i, vectors in turned.items()})
                  for r, here in enumerate(heres)]
        for here, ready in zip(heres, inputs):
            self.element(here, axis, v, inputs=ready)

    def all_turned(self, starts, axis, v, lines) -> dict:
        """Vectors for each line of a tile, of the loads that are contiguous from line to line."""
        return {i: self.turned(i, load, starts[i], axis, v) for i, load in enumerate(self.nest.loads)
                if load.ways[lines] == "1" and load.ways[axis] == "s" and not load.indices and i not in self.index_loads}

    def turned(self, i, load, start, axis, v):
        """A vector for each row of the tile, from lines along the rows' axis."""
        f, element = self.f, load.dtype.llvm
        stride = self.stride(load, self.words.loads[i], axis)
        line = f.at(start, element, f.mul(v.index, stride))
        lines = [line] + [line := f.at(line, element, stride) for _ in range(LANES - 1)]
        return [from_memory(f, load.dtype, stored) for stored in load_turned(f, element, lines, self.nest.tile)]

    def moved(self, starts, axis, index):
        """These addresses, `index` steps along an axis."""
        f, moved = self.f, []
        for (access, words), start in zip(self.accesses, starts):
            step = f.mul(index, self.stride(access, words, axis)) if access.ways[axis] != "0" else 0
            moved.append(f.at(start, access.dtype.llvm, step))
        return moved

    def rows(self, unit):
        f, nest, w = self.f, self.nest, self.words
        axis, outer = nest.kept + nest.folded - 1, list(range(nest.kept, nest.kept + nest.folded - 1))
        row, part = f.udiv(unit, f.word(w.parts)), f.urem(unit, f.word(w.parts))
        at = self.decode(row, list(range(nest.kept)))
        piece, lines = (f.urem(part, f.word(w.blocks)), f.udiv(part, f.word(w.blocks))) if outer else (part, None)
        first = f.mul(piece, f.word(w.block))
        last = f.umin(f.add(first, f.word(w.block)), self.size(axis))
        numbers = f.binary("add", f.splat(f.value(first)), iota(vector("i64")))
        state = [s for fold in nest.folds for s in identity(f, fold, numbers)]
        if outer:
            begin, end = self.lines_of(lines, outer)
            with f.loop(begin, end, carried=state) as line:
                here = at | self.decode(line.index, outer)
                line.next(*self.row(here, axis, first, last, line.values, f.mul(line.index, self.size(axis))))
            state = line.results
        else:
            state = self.row(at, axis, first, last, state, 0)
        self.put_rows(state, at, part)

    def waits_for_sums(self) -> bool:
        """Whether a row's additions, each of which waits for the one before, take longer than all else."""
        nest = self.nest
        return nest.style == "rows" and nest.folded == len(nest.folds) == 1 and nest.folds[0].op == "sum" and \
            not (nest.stores or nest.flat_index or self.index_loads) and len(nest.loads) <= 2 and len(nest.body.instrs) <= 2

    def rows_side_by_side(self):
        """Some units at a time, if all parts are of one length; gives the first unit that is left."""
        f, w, axis, length = self.f, self.words, self.nest.kept, self.f.word(self.words.block)
        whole = f.sub(f.hi, f.urem(f.sub(f.hi, f.lo), ROWS_ABREAST))
        whole = f.select(f.icmp("eq", f.urem(self.size(axis), length), 0), whole, f.lo)
        with f.loop(f.lo, whole, ROWS_ABREAST) as units:
            at, starts, parts, state = [], [], [], []
            for unit in (f.add(units.index, k) for k in range(ROWS_ABREAST)):
                parts.append(f.urem(unit, f.word(w.parts)))
                at.append(self.decode(f.udiv(unit, f.word(w.parts)), list(range(axis))))
                here = at[-1] | {axis: f.mul(parts[-1], length)}
                starts.append([self.start(a, words, here) for a, words in self.accesses])
                state += identity(f, self.nest.folds[0])
            ends = self.fold_vectors(0, length, state, lambda v, now: [
                s for here, old in zip(starts, now) for s in self.folded(here, axis, v, [old], 0)])
            for here, part, end in zip(at, parts, ends):
                self.put_rows([end], here, part)
        return whole

    def lines_of(self, part, axes):
        """Of all steps along these axes, those of a part."""
        f, total = self.f, 1
        for d in axes:
            total = f.mul(total, self.size(d))
        begin = f.mul(part, f.word(self.words.fold_block))
        return begin, f.umin(f.add(begin, f.word(self.words.fold_block)), total)

    def row(self, at, axis, first, last, state, base):
        """Fold one contiguous run of the vector axis into the lanes."""
        starts = [self.start(a, words, at) for a, words in self.accesses]
        return self.fold_vectors(first, last, state, lambda v, now: self.folded(starts, axis, v, now, base))

    def columns(self, unit):
        f, nest, w = self.f, self.nest, self.words
        axis, inner = nest.kept - 1, list(range(nest.kept, nest.kept + nest.folded))
        part, rest = f.urem(unit, f.word(w.parts)), f.udiv(unit, f.word(w.parts))
        row, piece = f.udiv(rest, f.word(w.blocks)), f.urem(rest, f.word(w.blocks))
        at = self.decode(row, list(range(axis)))
        first = f.mul(piece, f.word(w.block))
        last = f.umin(f.add(first, f.word(w.block)), self.size(axis))
        begin, end = self.lines_of(part, inner)
        together = self.abreast() * LANES
        many = f.sub(last, f.urem(f.sub(last, first), together))
        walk = lambda vs: self.down(vs, at, inner, begin, end, part)
        with f.loop(first, many, together) as loop:
            walk([SimpleNamespace(index=f.add(loop.index, k * LANES), mask=None) for k in range(self.abreast())])
        with self.vectors(many, last) as step:
            for v in step:
                walk([v])

    def abreast(self) -> int:
        """Vectors of columns that are walked side by side: additions wait for each other, and lines are longer."""
        nest = self.nest
        size = len(nest.body.instrs) + len(nest.loads)
        if nest.tile:
            return 1
        return 4 if size <= 8 and len(nest.folds) <= 2 else 2 if size <= 24 else 1

    def down(self, vs, at, inner, begin, end, part):
        """Fold the lines begin..end of these vectors of columns."""
        f, axis = self.f, self.nest.kept - 1
        start = [s for _ in vs for fold in self.nest.folds for s in identity(f, fold, f.splat(f.value(begin)))]
        width = len(start) // len(vs)
        step = lambda here, number, state: [
            s for k, v in enumerate(vs) for s in self.folded(here, axis, v, state[k * width:][:width], number, per_lane=True)]
        starts = [self.start(a, words, at) for a, words in self.accesses]
        if self.nest.tile and vs[0].mask is None:
            begin, start = self.tiled(starts, inner, begin, end, start, vs)
        walk = self.spread_out if self.nest.spread else self.nested if self.nest.nested else self.stepped
        results = walk(starts, inner, begin, end, start, step)
        for k, v in enumerate(vs):
            self.put_columns(results[k * width:][:width], at, axis, v, part)

    def tiled(self, starts, inner, begin, end, state, vs):
        """Some lines at a time, in their order, with loads that lie along them turned: (the first line left, state)."""
        f, tile, axis = self.f, self.nest.tile, self.nest.kept - 1
        width = len(state) // len(vs)
        whole = f.sub(end, f.urem(f.sub(end, begin), tile))
        with f.loop(begin, whole, tile, carried=state) as block:
            here, made = starts, []
            for d, index in self.decode(block.index, inner).items():
                here = self.moved(here, d, index)
            lines = [self.moved(here, inner[-1], r) for r in range(tile)]
            for k, v in enumerate(vs):
                turned, now = self.all_turned(here, axis, v, inner[-1]), block.values[k * width:][:width]
                for r, line in enumerate(lines):
                    inputs = self.load_all(line, axis, v, {i: vectors[r] for i, vectors in turned.items()})
                    now = self.folded(line, axis, v, now, f.add(block.index, r), per_lane=True, inputs=inputs)
                made += now
            block.next(*made)
        return whole, block.results

    def stepped(self, starts, inner, begin, end, state, step):
        """The lines begin..end, whose places on several axes are worked out one by one."""
        f = self.f
        with f.loop(begin, end, carried=state) as line:
            here = starts
            for axis, index in self.decode(line.index, inner).items():
                here = self.moved(here, axis, index)
            line.next(*step(here, line.index, line.values))
        return line.results

    def spread_out(self, starts, inner, begin, end, state, step):
        """Line k of a run goes to place k % 16 of a table; then the halves of the table are added, as lanes of a row."""
        f, (*outer, run) = self.f, inner
        tables = [f.alloca(s.type, LANES) for s in state]
        places = lambda k: [f.at(table, s.type, k) for table, s in zip(tables, state)]
        loaded = lambda k: [f.load(s.type, place) for place, s in zip(places(k), state)]
        with f.loop(0, LANES) as place:
            self.store_all(state, places(place.index))
        size = self.size(run)
        with f.loop(f.udiv(begin, size), f.udiv(f.add(end, f.sub(size, 1)), size)) as line:
            base, here = f.mul(line.index, size), starts
            for axis, index in self.decode(line.index, outer).items():
                here = self.moved(here, axis, index)
            with f.loop(f.smax(f.sub(begin, base), 0), f.umin(f.sub(end, base), size)) as k:
                place = f.urem(k.index, LANES)
                self.store_all(step(self.moved(here, run, k.index), k.index, loaded(place)), places(place))
        return self.halved([loaded(k) for k in range(LANES)])

    def store_all(self, values, places):
        for value, place in zip(values, places):
            self.f.store(value, place)

    def halved(self, rows):
        """The sum of all rows of states: those of the second half are added to the first, and again."""
        folds = self.nest.folds * (len(rows[0]) // len(self.nest.folds))
        while len(rows) > 1:
            half = len(rows) // 2
            rows = [[combine(self.f, fold, [a], [b])[0] for fold, a, b in zip(folds, *pair)]
                    for pair in zip(rows[:half], rows[half:])]
        return rows[0]

    def nested(self, starts, inner, _begin, _end, state, step):
        """All lines, a loop for each axis."""
        return self.in_loops(starts, inner, 0, state, step)

    def in_loops(self, starts, inner, number, state, step):
        if not inner:
            return step(starts, number, state)
        f, (axis, *inner) = self.f, inner
        with f.loop(0, self.size(axis), carried=state) as line:
            count = f.add(f.mul(number, self.size(axis)), line.index)
            line.next(*self.in_loops(self.moved(starts, axis, line.index), inner, count, line.values, step))
        return line.results

    # -- vectors of the inner axis ------------------------------------------------------------------------
    def vectors(self, first, last):
        return _Vectors(self.f, first, last)

    def fold_vectors(self, first, last, state, body):
        f = self.f
        full = f.sub(last, f.urem(f.sub(last, first), LANES))
        with f.loop(first, full, LANES, carried=state) as loop:
            loop.next(*body(SimpleNamespace(index=loop.index, mask=None), loop.values))
        rest = f.sub(last, full)
        with f.when(f.icmp("ne", rest, 0), otherwise=loop.results) as tail:
            tail.give(*body(SimpleNamespace(index=full, mask=f.lane_mask(rest)), loop.results))
        return tail.results

    # -- one vector of elements ----------------------------------------------------------------------------
    def element(self, starts, axis, v, flat=None, inputs=None):
        """Loads, body and stores of one vector; returns the body's outputs."""
        f, nest = self.f, self.nest
        inputs = self.load_all(starts, axis, v) if inputs is None else list(inputs)
        inputs += [from_word(f, i, d) for i, d in zip(self.words.scalars, nest.scalars)]
        if nest.flat_index:
            first = f.splat(f.value(f.add(flat, v.index)))
            inputs.append(f.binary("add", first, iota(vector("i64"))))
        outs = emit_body(f, nest.body, inputs)
        for store, words, start in zip(nest.stores, self.words.stores, starts[len(nest.loads):]):
            stride = self.stride(store, words, axis)
            place = f.at(start, store.dtype.llvm, f.mul(v.index, stride))
            value = to_memory(f, store.dtype, outs[store.value])
            if stride == 0:
                f.store(f.extract(value, 0), place)
            else:
                f.store_strided(value, place, stride, v.mask)
        return outs

    def load_all(self, starts, axis, v, turned=(), found=None) -> list[Value]:
        """One vector of each load; those in `turned` are at hand."""
        nest = self.nest
        found = self.find(starts, axis, v, self.index_loads) if found is None else found
        return [turned[i] if i in turned else self.load(i, load, starts[i], axis, v, found.get(i, NOWHERE))
                for i, load in enumerate(nest.loads) if i not in self.index_loads]

    def find(self, starts, axis, v, indices, often=False) -> dict:
        """Where these indices put the lanes of the loads by index; how near they are is asked if that is used often."""
        at = {i: self.load_index(i, starts[i], axis, v) for i in indices}
        return {i: self.found(i, load, axis, v, at, often) for i, load in enumerate(self.nest.loads) if load.indices}

    def load_index(self, i, start, axis, v):
        """Index lanes, or one scalar if the index does not move along the vector axis."""
        f, load = self.f, self.nest.loads[i]
        stride = self.stride(load, self.words.loads[i], axis)
        if stride == 0:
            return f.load("i64", start)
        place = f.at(start, "i64", f.mul(v.index, stride))
        return f.load_strided("i64", place, stride, mask=v.mask)

    def found(self, i, load, axis, v, at, often) -> Found:
        f, words, one, lanes = self.f, self.words.loads[i], 0, None
        for k, extra in zip(load.indices, words[2]):
            if k not in at:
                continue
            offset = f.binary("mul", *self.spread(self.checked(at[k], load, extra, v), f.word(extra[0])))
            if offset.type == "i64":
                one = f.add(one, offset)
            else:
                lanes = offset if lanes is None else f.binary("add", lanes, offset)
        if lanes is None:
            return Found(one)
        stride = self.stride(load, words, axis)
        if stride != 0:
            lanes = f.binary("add", lanes, f.strided_offsets(stride))
        return Found(one, lanes, *(self.nearness(lanes, v.mask) if often else ()))

    def nearness(self, lanes, mask):
        """(the least lane, how far the greatest is from it, whether they are neighbours)."""
        f = self.f
        first = f.extract(lanes, 0)
        lanes = lanes if mask is None else f.select(mask, lanes, f.splat(first))
        least, most = (f.call("i64", f"llvm.vector.reduce.{op}.{mangle(lanes.type)}", lanes) for op in ("smin", "smax"))
        alike = f.icmp("eq", lanes, f.binary("add", f.splat(first), iota(lanes.type)))
        alike = alike if mask is None else f.binary("or", alike, f.not_(mask))
        near = f.call("i1", f"llvm.vector.reduce.and.{mangle(alike.type)}", alike)
        return least, f.add(f.sub(most, least), 1), near

    def load(self, i, load, start, axis, v, found=NOWHERE) -> Value:
        f, words = self.f, self.words.loads[i]
        stride = self.stride(load, words, axis)
        start = f.at(f.at(start, load.dtype.llvm, found.one), load.dtype.llvm, f.mul(v.index, stride))
        if found.lanes is not None:
            stored = self.gathered(load.dtype.llvm, start, found, v.mask)
        else:
            stored = f.load_strided(load.dtype.llvm, start, stride, mask=v.mask)
        return from_memory(f, load.dtype, stored)

    def gathered(self, element, start, found, mask):
        """Lanes from anywhere; neighbours are one load, and what is near is picked out of two."""
        f, lanes = self.f, found.lanes
        if found.near is None:
            return f.gather(element, start, lanes, mask)
        with f.either(found.near) as near:
            with near.yes:
                place = f.at(start, element, found.low)
                near.give(f.load_vector(element, place) if mask is None else f.masked_load(element, place, mask))
            with near.no:
                near.give(self.picked(element, start, found, mask))
        return near.results[0]

    def picked(self, element, start, found, mask):
        f, span = self.f, pick_span(element)
        if not span:
            return f.gather(element, start, found.lanes, mask)
        with f.either(f.icmp("ule", found.reach, span)) as close:
            with close.yes:
                place = f.at(start, element, found.low)
                parts = [f.masked_load(element, f.at(place, element, k), f.lane_mask(f.smax(f.sub(found.reach, k), 0)))
                         for k in range(0, span, LANES)]
                close.give(pick(f, parts, f.binary("sub", found.lanes, f.splat(found.low))))
            with close.no:
                close.give(f.gather(element, start, found.lanes, mask))
        return close.results[0]

    def spread(self, a, b):
        return (a, b) if a.type == "i64" else (a, self.f.splat(b))

    def checked(self, index, load, extra, v):
        """The index with negatives wrapped; one out of range is reported and reads element 0."""
        f = self.f
        scalar = index.type == "i64"
        spread = (lambda x: x) if scalar else f.splat
        size = spread(f.word(extra[1]))
        at = index
        if load.wrap:
            at = f.select(f.icmp("slt", index, 0), f.add(index, size), index)
        bad = f.icmp("uge", at, size)
        if not scalar and v.mask is not None:
            bad = f.binary("and", bad, v.mask)
        any_bad = bad if scalar else f.call("i1", f"llvm.vector.reduce.or.{mangle(bad.type)}", bad)
        with f.when(any_bad):
            self.report(index, bad, extra[2], scalar)
        return f.select(bad, spread(constant("i64", 0)), at)

    def report(self, index, bad, check_word, scalar):
        """Keep the first report: which check, which index."""
        f = self.f
        value = index
        if not scalar:
            picked = f.select(bad, index, f.splat(constant("i64", -(1 << 63))))
            value = f.call("i64", f"llvm.vector.reduce.smax.{mangle(picked.type)}", picked)
        error = f.word(self.words.error, "ptr")
        f.store(value, f.at(error, "i64", 1))
        f.store(f.word(check_word), error)

    # -- folding ------------------------------------------------------------------------------------------
    def folded(self, starts, axis, v, state, base, per_lane=False, inputs=None) -> list[Value]:
        """The state of every fold after one more vector."""
        f, nest = self.f, self.nest
        outs = self.element(starts, axis, v, inputs=inputs)
        state, result = list(state), []
        kinds = body_dtypes(nest.body)
        for fold in nest.folds:
            n = 2 if fold.op in ("argmax", "argmin") else 1
            mine, state = state[:n], state[n:]
            value = cast(f, fold.dtype, kinds[fold.value], outs[fold.value])
            number = None
            if n == 2:
                number = f.splat(f.value(base)) if per_lane else \
                    f.binary("add", f.splat(f.value(f.add(base, v.index))), iota(vector("i64")))
            new = combine(f, fold, mine, [value, number] if n == 2 else [value])
            if v.mask is not None and not per_lane:
                new = [f.select(v.mask, a, b) for a, b in zip(new, mine)]
            result += new
        return result

    def put_rows(self, state, at, part):
        f, state = self.f, list(state)
        for fold, words in zip(self.nest.folds, self.words.folds):
            n = 2 if fold.op in ("argmax", "argmin") else 1
            mine, state = state[:n], state[n:]
            while lanes_of(mine[0].type) > 1:
                half = lanes_of(mine[0].type) // 2
                low, high = ([f._lanes(s, a, b) for s in mine] for a, b in ((0, half), (half, 2 * half)))
                mine = combine(f, fold, low, high, ties=True)
            place = self.result_place(fold, words, at, part)
            f.store(to_memory(f, fold.out, self.result(fold, mine)), place)

    def put_columns(self, state, at, axis, v, part):
        f, state = self.f, list(state)
        for fold, words in zip(self.nest.folds, self.words.folds):
            n = 2 if fold.op in ("argmax", "argmin") else 1
            mine, state = state[:n], state[n:]
            place = self.result_place(fold, words, at, part)
            stride = self.stride(fold, words, axis)
            place = f.at(place, fold.out.llvm, f.mul(v.index, stride))
            value = to_memory(f, fold.out, self.result(fold, mine))
            if stride == 0:
                f.store(f.extract(value, 0), place)
            else:
                f.store_strided(value, place, stride, v.mask)

    def result(self, fold, state):
        return state[1] if len(state) == 2 else cast(self.f, fold.out, fold.dtype, state[0])

    def result_place(self, fold, words, at, part):
        f = self.f
        offset = f.mul(part, f.word(words[2][0][0]))
        for axis, index in at.items():
            if axis < len(fold.ways) and fold.ways[axis] != "0":
                offset = f.add(offset, f.mul(index, self.stride(fold, words, axis)))
        return f.at(f.word(words[0], "ptr"), fold.out.llvm, offset)


class _Vectors:
    """Runs a body twice: in a loop over full vectors and once under a mask for what is left."""

    def __init__(self, f: Function, first, last):
        self.f, self.first, self.last = f, first, last

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return False

    def __iter__(self):
        f = self.f
        full = f.sub(self.last, f.urem(f.sub(self.last, self.first), LANES))
        with f.loop(self.first, full, LANES) as loop:
            yield SimpleNamespace(index=loop.index, mask=None)
        rest = f.sub(self.last, full)
        with f.when(f.icmp("ne", rest, 0)):
            yield SimpleNamespace(index=full, mask=f.lane_mask(rest))


def body_dtypes(body):
    kinds = list(body.inputs) + [i.dtype for i in body.instrs]
    return [kinds[i] for i in body.outputs]


# -- what the reducers do ------------------------------------------------------------------------------------
LIMITS = {"lowest": lambda d: float("-inf") if d.is_floating_point else False if d is dtypes.bool else dtypes.iinfo(d).min,
          "highest": lambda d: float("inf") if d.is_floating_point else True if d is dtypes.bool else dtypes.iinfo(d).max}
START = {"sum": 0, "prod": 1, "any": False, "all": True, "amax": "lowest", "amin": "highest",
         "argmax": "lowest", "argmin": "highest"}
STEP = {"sum": "add", "prod": "mul", "any": "or_", "all": "and_", "amax": "max", "amin": "min"}


def identity(f: Function, fold, number: Value | None = None) -> list[Value]:
    """What a part starts from; an arg-reduction also carries an index, first that of each lane's first element."""
    start = START[fold.op]
    value = literal_value(fold.dtype, LIMITS[start](fold.dtype) if isinstance(start, str) else start)
    return [value, number] if fold.op in ("argmax", "argmin") else [value]


def combine(f: Function, fold, old, new, ties=False) -> list[Value]:
    """One step of a reduction. For arg-reductions the better value wins, of equal ones the lower index.

    Without `ties` the new element is behind the old one.
    """
    d = fold.dtype
    lanes = lanes_of(old[0].type)
    if fold.op not in ("argmax", "argmin"):
        if d is dtypes.bool and fold.op in ("amax", "amin"):
            return [f.binary("or" if fold.op == "amax" else "and", old[0], new[0])]
        if fold.op in ("amax", "amin") and d.is_floating_point:
            return [_extreme_of_floats(f, fold, old[0], new[0])]
        return [emit_instr(f, STEP[fold.op], d, d, [old[0], new[0]], lanes=lanes)]
    take = _better(f, fold, d, new[0], old[0])
    if ties:
        same = f.not_(f.binary("or", take, _better(f, fold, d, old[0], new[0])))
        take = f.binary("or", take, f.binary("and", same, f.icmp("slt", new[1], old[1])))
    return [f.select(take, n, o) for n, o in zip(new, old)]


def _extreme_of_floats(f, fold, old, new):
    """The same in whatever order: of zeros of both signs the positive one is the greater."""
    d, lanes = fold.dtype, lanes_of(old.type)
    taken = emit_instr(f, STEP[fold.op], d, d, [old, new], lanes=lanes)
    same = emit_instr(f, "eq", dtypes.bool, d, [old, new], lanes=lanes)
    both = f.binary("and" if fold.op == "amax" else "or", bits_of(f, old), bits_of(f, new))
    return f.select(same, f.cast("bitcast", both, d.llvm), taken)


def _better(f, fold, d, a, b):
    """a beats b; nan beats everything but nan."""
    if d is dtypes.bool:
        return f.binary("and", a, f.not_(b)) if fold.op == "argmax" else f.binary("and", f.not_(a), b)
    relation = "gt" if fold.op == "argmax" else "lt"
    beats = emit_instr(f, relation, dtypes.bool, d, [a, b], lanes=lanes_of(a.type))
    if not d.is_floating_point:
        return beats
    nan_a, nan_b = (emit_instr(f, "isnan", dtypes.bool, d, [x], lanes=lanes_of(a.type)) for x in (a, b))
    return f.binary("or", beats, f.binary("and", nan_a, f.not_(nan_b)))


# -- rows that are passed over several times ----------------------------------------------------------------
@cache
def row_nest_code(nest: RowNest) -> Code:
    """The text of a row nest; one for each structure."""
    return RowEmitter(nest).code()


class RowEmitter(Emitter):
    """A unit is one row: each stage walks it in vectors, folds the lanes, then computes numbers of the row.

    Where sums across rows ride along it is all rows of a part of such a sum.
    """

    def __init__(self, nest: RowNest):
        self.nest, self.words = nest, NestWords(nest)
        self.f = Function("row" + "".join("_" + fold.op for stage in nest.stages for fold in stage.folds))
        self.accesses = [(a, w) for group, words in ((nest.loads, self.words.loads), (nest.stores, self.words.stores))
                         for a, w in zip(group, words)]
        self.accesses += zip(nest.folds, self.words.folds)
        self.sums: list = []        # where a part of the sums across rows is
        owned = {a.own: a.dtype for a in nest.stores if a.own >= 0}
        self.own = {n: self.f.alloca(d.llvm if d is not dtypes.bool else "i8", OWN_ROW) for n, d in owned.items()}

    def start(self, access, words, at) -> Value:
        own = getattr(access, "own", -1)
        return self.own[own] if own >= 0 else super().start(access, words, at)

    def code(self) -> Code:
        f, nest = self.f, self.nest
        with f.loop(f.lo, f.hi) as unit:
            if nest.over:
                self.part(unit.index)
            else:
                self.one_row(self.decode(unit.index, list(range(nest.kept))))
        return f.code()

    def one_row(self, at):
        f, nest, own = self.f, self.nest, len(self.nest.loads) + len(self.nest.stores)
        starts = [self.start(a, words, at) for a, words in self.accesses[:own]] + self.sums
        rows: list = []         # (dtype, value)
        for stage in nest.stages:
            rows += self.stage(stage, starts, rows)
        for put, words in zip(nest.puts, self.words.puts):
            kind, value = rows[put.value]
            f.store(to_memory(f, kind, value), self.start(put, words, at))

    # -- sums across rows ---------------------------------------------------------------------------------
    def part(self, unit):
        """The rows of a part of the sums, which are added to where that part goes."""
        f, nest = self.f, self.nest
        part, over = f.urem(unit, f.word(self.words.parts)), list(range(nest.over))
        at = self.decode(f.udiv(unit, f.word(self.words.parts)), list(range(nest.over, nest.kept)))
        self.sums = [self.result_place(fold, words, at, part) for fold, words in zip(nest.folds, self.words.folds)]
        self.clear()
        begin, end = self.lines_of(part, over)
        with f.loop(begin, end, nonempty=True) as row:
            self.one_row(at | self.decode(row.index, over))

    def clear(self):
        """Sums begin at their identities."""
        f, nest, n = self.f, self.nest, 1
        for axis in range(nest.kept, nest.kept + nest.folded):
            n = f.mul(n, self.size(axis))
        with self.vectors(0, n) as step:
            for v in step:
                for fold, start in zip(nest.folds, self.sums):
                    f.store_strided(identity(f, fold)[0], f.at(start, fold.dtype.llvm, v.index), 1, v.mask)

    def ride(self, stage, starts, v, outs, kinds):
        """Each element of the row to its sum across rows."""
        f, nest, own = self.f, self.nest, len(self.nest.loads) + len(self.nest.stores)
        for n, value in stage.rides:
            fold = nest.folds[n]
            place = f.at(starts[own + n], fold.dtype.llvm, v.index)
            old = f.load_strided(fold.dtype.llvm, place, 1, mask=v.mask)
            new, = combine(f, fold, [old], [cast(f, fold.dtype, kinds[value], outs[value])])
            f.store_strided(new, place, 1, v.mask)

    def stage(self, stage, starts, rows):
        f = self.f
        spread = [f.splat(rows[r][1]) for r in stage.rows]
        state = [s for fold in stage.folds for s in identity(f, fold)]
        ends = self.walk(starts, state, lambda here, v, now: self.vector(stage, here, v, spread, now))
        made = []
        for fold, s in zip(stage.folds, ends):
            while lanes_of(s.type) > 1:
                half = lanes_of(s.type) // 2
                s, = combine(f, fold, [f._lanes(s, 0, half)], [f._lanes(s, half, 2 * half)])
            made.append((fold.out, cast(f, fold.out, fold.dtype, s)))
        return made + self.after(stage, starts, rows + made)

    def walk(self, starts, state, step):
        """The row in vectors, one after another; of two axes the inner one is whole vectors."""
        f, nest = self.f, self.nest
        if nest.folded == 1:
            return self.fold_vectors(0, self.size(nest.kept), state, lambda v, now: step(starts, v, now))
        with f.loop(0, self.size(nest.kept), nonempty=True, carried=state) as line:
            here = self.moved(starts, nest.kept, line.index)
            with f.loop(0, self.size(nest.kept + 1), LANES, nonempty=True, carried=line.values) as loop:
                loop.next(*step(here, SimpleNamespace(index=loop.index, mask=None), loop.values))
            line.next(*loop.results)
        return line.results

    def vector(self, stage, starts, v, spread, state):
        f, nest = self.f, self.nest
        axis = nest.kept + nest.folded - 1
        inputs = [self.load(i, nest.loads[i], starts[i], axis, v) for i in stage.loads]
        inputs += [from_word(f, self.words.scalars[i], nest.scalars[i]) for i in stage.scalars]
        outs = emit_body(f, stage.body, inputs + spread)
        for number, value in stage.stores:
            store, words = nest.stores[number], self.words.stores[number]
            stride = self.stride(store, words, axis)
            place = f.at(starts[len(nest.loads) + number], store.dtype.llvm, f.mul(v.index, stride))
            f.store_strided(to_memory(f, store.dtype, outs[value]), place, stride, v.mask)
        kinds, result = body_dtypes(stage.body), []
        for fold, old in zip(stage.folds, state):
            new, = combine(f, fold, [old], [cast(f, fold.dtype, kinds[fold.value], outs[fold.value])])
            result.append(new if v.mask is None else f.select(v.mask, new, old))
        self.ride(stage, starts, v, outs, kinds)
        return result

    def after(self, stage, starts, rows):
        """Numbers of the row, by the same instructions on one lane."""
        f, nest = self.f, self.nest
        if not stage.after.outputs:
            return []
        inputs = [from_memory(f, nest.loads[i].dtype, f.load(nest.loads[i].dtype.llvm, starts[i])) for i in stage.after_loads]
        inputs += [from_word(f, self.words.scalars[i], nest.scalars[i], 1) for i in stage.after_scalars]
        inputs += [rows[r][1] for r in stage.after_rows]
        return list(zip(body_dtypes(stage.after), emit_body(f, stage.after, inputs, lanes=1)))
