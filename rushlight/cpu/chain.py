"""A chain: several kernels run after one another on a few rows at a time, so that what one leaves
to the next stays in cache and never becomes an array.

                                            attention, forward          its gradient
    batch steps                             k and v are packed          so are q, k, v and the gradient
    for block of rows:
        for tile of the block's rows:
            tile steps                      scores, softmax, output     the same, dP, dS, dq
        block steps                                                     dk, dv add the block's part

A step is a kernel of the usual kind and gets the units that belong to these rows, and its args
block: a private copy in which a few words are set anew each time (`Patch`). Kernels are the same
that run alone, so no bit changes.

Where a mask hides all columns from some number on from all rows of a tile, steps are told to end
there. That is allowed if everything behind would have been an exact zero: weights are, unless their
row is not finite, and so is their product with what is finite. Both are looked at (`probes`, `tame`).
"""
from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

from ..compiler.kernel import Call, Code, Ref
from .contract import N_TILES, ceil_div
from .emit import SIZES, Function, Value, constant, same_width_int, vector
from .micro import PANEL_BYTES, VECTOR_BYTES, VECTORS
from .pack import dynamic_alloca, table_offset

(PIECES, PER_PIECE, BLOCKS, ROWS, BLOCK_ROWS, TILE_ROWS, LENGTH, GRANULE, PITCH, SCRATCH, BYTES,
 TEMPLATE, BATCH_STEPS, BATCH_COUNT, TILE_STEPS, TILE_COUNT, BLOCK_STEPS, BLOCK_COUNT, MASK_KIND, MASK, MASK_ROW, MASK_DIMS,
 MASK_TABLE, FILLS, FILL_COUNT, TAMED, TAMED_COUNT, PROBES, PROBE_COUNT) = range(29)
HEADER = 29
NO_MASK, TRUE_HIDES, FALSE_HIDES, ADDED = range(4)
BY_ROWS, BY_TILES, BY_COLUMNS, BY_BATCH = range(4)      # how a step's units follow from the rows
ALWAYS, FIRST, LATER = range(3)                 # the blocks for which a block step runs
SCRATCH_AT, BATCH_AT, BLOCK_AT, TILE_AT, STARTED_AT, PANEL_AT, LIMIT, START, COUNT = range(9)
VARIABLES = 9
MOST_TILES = 64         # of a block
STEP_WORDS, PATCH_WORDS, TAMED_WORDS = 7, 5, 6
CHUNK = 64              # columns of a mask that are looked at together
TAME = {"float": 2.0 ** 50, "double": 2.0 ** 500}    # sums of products of such numbers stay finite
SLACK = 64


class Patch(NamedTuple):
    """word = (start + variable * factor) / divisor."""
    word: int
    variable: int
    start: object = 0
    factor: int = 1
    divisor: int = 1


class Step(NamedTuple):
    """`factor`: units of a row (BY_ROWS), tiles of rows or of columns, units of a batch (BY_BATCH).

    `when`: for which blocks, or by how many bytes what a batch makes would lie apart.
    """
    call: Call
    kind: int
    factor: int
    patches: tuple
    when: int = ALWAYS


class Mask(NamedTuple):
    """What hides columns: strides in bytes; `fills` are words of numbers and what they must be."""
    kind: int = NO_MASK
    ref: object = 0
    row: int = 0
    batch: tuple = ()           # (size, stride), outermost first
    fills: tuple = ()           # (word, -inf or 0)
    probes: tuple = ()          # (where in scratch memory, 1 if that is for a block's rows)


class Tamed(NamedTuple):
    """Packed panels that must hold finite numbers only, in memory or (`inside`) at such an offset."""
    ref: object
    batch: int
    columns: int
    panel: int
    k: int
    inside: int = 0


class Frame(NamedTuple):
    """The rows of a chain: `rows` for each batch, in blocks of tiles; `together`: a unit is a batch."""
    element: str
    batches: int
    rows: int
    block: int
    tile: int
    length: int
    granule: int
    pitch: int                  # bytes between rows of scratch memory
    scratch: int                # bytes
    together: bool

    @property
    def blocks(self) -> int:
        return ceil_div(self.rows, self.block)

    @property
    def units(self) -> int:
        return self.batches * (1 if self.together else self.blocks)


def chain_call(frame: Frame, batches: list[Step], tiles: list[Step], blocks: list[Step],
               mask: Mask, tamed: list[Tamed], grain: int, note: str) -> Call:
    """One call that runs the steps: once for a batch, for each tile of rows, for each block of them."""
    steps = [*batches, *tiles, *blocks]
    at, table = _cumulated(len(s.call.words) for s in steps)
    dims = [word for pair in reversed(mask.batch) for word in pair]
    fills = [word for number, wanted in mask.fills for word in (number, int(wanted != 0))]
    steps_at = HEADER + len(dims) + len(fills)
    patches_at = steps_at + STEP_WORDS * len(steps)
    first, total = _cumulated(PATCH_WORDS * len(s.patches) for s in steps)
    tamed_at = patches_at + total
    template = tamed_at + TAMED_WORDS * len(tamed) + 2 * len(mask.probes)
    per = frame.blocks if frame.together else 1
    header = (frame.blocks // per, per, frame.blocks, frame.rows, frame.block, frame.tile,
              frame.length, frame.granule, frame.pitch, frame.scratch + 4 * SLACK, 8 * table, template,
              steps_at, len(batches), steps_at + STEP_WORDS * len(batches), len(tiles),
              steps_at + STEP_WORDS * (len(batches) + len(tiles)), len(blocks), mask.kind,
              mask.ref, mask.row, len(mask.batch), HEADER, HEADER + len(dims), len(mask.fills),
              tamed_at, len(tamed), template - 2 * len(mask.probes), len(mask.probes))
    words = [*header, *dims, *fills]
    for n, s in enumerate(steps):
        words += [s.call.code, at[n], s.kind, s.factor, s.when, patches_at + first[n],
                  len(s.patches)]
    for s in steps:
        for p in s.patches:
            words += p
    lanes = VECTOR_BYTES // SIZES[frame.element]
    words += [word for t in tamed for word in (t.ref, t.batch, ceil_div(t.columns, lanes),
                                                   t.panel, t.k, t.inside)]
    words += [word for probe in mask.probes for word in probe]
    for s in steps:
        words += [0 if isinstance(w, Ref) and w.slot < 0 else w for w in s.call.words]
    return Call(chain(frame.element), tuple(words), frame.units, grain, note,
                sum(s.call.flops for s in steps), sum(s.call.bytes for s in steps))


def _cumulated(sizes) -> tuple[list[int], int]:
    """Where each of so many things starts, and where the last one ends."""
    starts, total = [], 0
    for size in sizes:
        starts.append(total)
        total += size
    return starts, total


# --- the kernel -----------------------------------------------------------------------------------

class Memory(NamedTuple):
    """What a call of the kernel works on."""
    scratch: Value
    words: Value                # private copy of the steps' args blocks
    variables: Value
    limits: Value               # of each tile of a block
    known: Value                # (the batch that was looked at, whether it is tame)


@cache
def chain(element: str) -> Code:
    """One kernel for all chains: what a chain consists of are words."""
    f = Function(f"chain_{element}")
    words = dynamic_alloca(f, f.word(BYTES))
    held = f.call("ptr", "malloc", f.word(SCRATCH))
    known = f.alloca("i64", 2)
    f.store(constant("i64", -1), known)
    memory = Memory(_aligned(f, held), words, f.alloca("i64", VARIABLES),
                    f.alloca("i64", MOST_TILES), known)
    _set(f, memory, SCRATCH_AT, f.cast("ptrtoint", memory.scratch, "i64"))
    source = f.at(f.args, "i64", f.word(TEMPLATE))
    with f.loop(0, f.word(BYTES), 8) as loop:
        f.store(f.load("i64", f.at(source, "i8", loop.index)), f.at(words, "i8", loop.index))
    with f.loop(f.lo, f.hi) as unit:
        batch, piece = f.udiv(unit.index, f.word(PIECES)), f.urem(unit.index, f.word(PIECES))
        _batch_steps(f, memory, batch)
        skips = _may_skip(f, element, memory, batch)
        first = f.mul(piece, f.word(PER_PIECE))
        with f.loop(first, f.umin(f.add(first, f.word(PER_PIECE)), f.word(BLOCKS))) as block:
            _block(f, element, memory, batch, block.index, skips)
    f.call("void", "free", held)
    return f.code()


def _aligned(f: Function, held: Value) -> Value:
    """The first whole cache line with a readable one before it."""
    number = f.and_(f.add(f.cast("ptrtoint", held, "i64"), 2 * SLACK - 1), -SLACK)
    return f.let("ptr", f"inttoptr {number.typed} to ptr")


def _set(f: Function, memory: Memory, variable: int, value) -> None:
    f.store(f.value(value), f.at(memory.variables, "i64", variable))


def _block(f: Function, element: str, memory: Memory, batch, block, skips) -> None:
    start = f.mul(block, f.word(BLOCK_ROWS))
    rows = f.umin(f.word(BLOCK_ROWS), f.sub(f.word(ROWS), start))
    scratch = f.cast("ptrtoint", memory.scratch, "i64")
    _set(f, memory, BLOCK_AT, f.sub(scratch, f.mul(start, f.word(PITCH))))
    with f.loop(0, rows, f.word(TILE_ROWS), carried=[0]) as tile:
        first = f.add(start, tile.index)
        count = f.umin(f.word(TILE_ROWS), f.sub(rows, tile.index))
        _set(f, memory, TILE_AT, f.sub(scratch, f.mul(first, f.word(PITCH))))
        limit = _limit(f, batch, first, count, tile.values[0], skips)
        with f.repeat([limit]) as turn:
            _set(f, memory, LIMIT, turn.values[0])
            _tile_steps(f, memory, batch, first, count)
            poisoned = _is_poisoned(f, element, memory, tile.index, count,
                                    turn.values[0])
            turn.again(poisoned, f.select(poisoned, f.word(LENGTH), turn.values[0]))
        number = f.udiv(tile.index, f.word(TILE_ROWS))
        f.store(turn.results[0], f.at(memory.limits, "i64", number))
        tile.next(turn.results[0])
    _block_steps(f, memory, batch, start, rows, scratch)


# --- steps ----------------------------------------------------------------------------------------

class Fields(NamedTuple):
    code: Value
    at: Value
    kind: Value
    factor: Value
    when: Value
    patches: Value
    count: Value


def _fields(f: Function, table: int, index) -> Fields:
    row = f.at(f.args, "i64", f.add(f.word(table), f.mul(index, STEP_WORDS)))
    return Fields(*(f.load("ptr" if n == 0 else "i64", f.at(row, "i64", n))
                    for n in range(STEP_WORDS)))


def _batch_steps(f: Function, memory: Memory, batch) -> None:
    """What is made once for a batch lies in scratch memory as if it were that of all batches."""
    with f.loop(0, f.word(BATCH_COUNT)) as loop:
        step = _fields(f, BATCH_STEPS, loop.index)
        scratch = f.cast("ptrtoint", memory.scratch, "i64")
        _set(f, memory, BATCH_AT, f.sub(scratch, f.mul(batch, step.when)))
        _patch(f, memory, step)
        _run(f, memory, step, f.mul(batch, step.factor), step.factor)


def _tile_steps(f: Function, memory: Memory, batch, first, count) -> None:
    with f.loop(0, f.word(TILE_COUNT)) as loop:
        step = _fields(f, TILE_STEPS, loop.index)
        _patch(f, memory, step)
        with f.either(f.icmp("eq", step.kind, BY_ROWS)) as either:
            with either.yes:
                row = f.add(f.mul(batch, f.word(ROWS)), first)
                either.give(f.mul(row, step.factor), f.mul(count, step.factor))
            with either.no:
                columns = f.load("i64", f.at(memory.words, "i64", f.add(step.at, N_TILES)))
                tile = f.add(f.mul(batch, step.factor), f.udiv(first, f.word(TILE_ROWS)))
                either.give(f.mul(tile, columns), columns)
        _run(f, memory, step, *either.results)


def _block_steps(f: Function, memory: Memory, batch, start, rows, scratch) -> None:
    """Each tile of columns starts at the first rows that see it."""
    with f.loop(0, f.word(BLOCK_COUNT)) as loop:
        step = _fields(f, BLOCK_STEPS, loop.index)
        is_first = f.cast("zext", f.icmp("eq", start, 0), "i64")
        with f.when(f.not_(_is_off(f, step.when, is_first))):
            with f.loop(0, step.factor) as tile:
                seen = _first_seeing(f, memory, f.mul(tile.index, f.word(GRANULE)), rows)
                _set(f, memory, STARTED_AT, f.add(scratch, f.mul(seen, f.word(PITCH))))
                _set(f, memory, START, f.add(start, seen))
                panels = f.mul(f.add(start, seen), PANEL_BYTES)
                _set(f, memory, PANEL_AT, f.add(scratch, panels))
                _set(f, memory, COUNT, f.sub(rows, seen))
                _patch(f, memory, step)
                columns = f.load("i64", f.at(memory.words, "i64", f.add(step.at, N_TILES)))
                unit = f.add(f.mul(batch, step.factor), tile.index)
                _run(f, memory, step, f.mul(unit, columns), columns)


def _is_off(f: Function, when, is_first) -> Value:
    """Whether a step for the first block meets another one, or the reverse."""
    wrong_first = f.binary("and", f.icmp("eq", when, FIRST), f.icmp("eq", is_first, 0))
    wrong_later = f.binary("and", f.icmp("eq", when, LATER), f.icmp("eq", is_first, 1))
    return f.binary("or", wrong_first, wrong_later)


def _first_seeing(f: Function, memory: Memory, column, rows) -> Value:
    """The first row of the block whose tile has a limit beyond `column`; limits only grow."""
    seen = f.value(0)
    with f.loop(0, rows, f.word(TILE_ROWS), carried=[seen]) as tile:
        number = f.udiv(tile.index, f.word(TILE_ROWS))
        limit = f.load("i64", f.at(memory.limits, "i64", number))
        after = f.umin(f.add(tile.index, f.word(TILE_ROWS)), rows)
        tile.next(f.select(f.icmp("ule", limit, column), after, tile.values[0]))
    return tile.results[0]


def _patch(f: Function, memory: Memory, step: Fields) -> None:
    with f.loop(0, step.count) as loop:
        row = f.at(f.args, "i64", f.add(step.patches, f.mul(loop.index, PATCH_WORDS)))
        word, variable, start, factor, divisor = (f.load("i64", f.at(row, "i64", n))
                                                  for n in range(PATCH_WORDS))
        value = f.add(start, f.mul(f.load("i64", f.at(memory.variables, "i64", variable)), factor))
        with f.when(f.icmp("ne", divisor, 1), otherwise=[value]) as branch:
            branch.give(f.udiv(value, divisor))
        place = f.at(memory.words, "i64", f.add(step.at, word))
        f.store(branch.results[0], place)


def _run(f: Function, memory: Memory, step: Fields, first, count) -> None:
    words = f.at(memory.words, "i64", step.at)
    last = f.add(first, count)
    f.line(f"call void {step.code}({words.typed}, {f.value(first).typed}, {last.typed})")


# --- what a mask hides ----------------------------------------------------------------------------

def _may_skip(f: Function, element: str, memory: Memory, batch) -> Value:
    """Whether columns may be left out in this batch: known after the first look."""
    with f.when(f.icmp("ne", f.word(MASK_KIND), NO_MASK), otherwise=[constant("i1", False)]) as skip:
        with f.when(f.icmp("ne", f.load("i64", memory.known), batch)):
            helper = f.helper("tame", lambda: _tame(element))
            table = f.at(f.args, "i64", f.word(TAMED))
            scratch = f.cast("ptrtoint", memory.scratch, "i64")
            f.store(f.call_helper(helper, table, f.word(TAMED_COUNT), batch, scratch),
                    f.at(memory.known, "i64", 1))
            f.store(batch, memory.known)
        tame = f.icmp("ne", f.load("i64", f.at(memory.known, "i64", 1)), 0)
        skip.give(f.binary("and", tame, _are_as_wanted(f, element)))
    return skip.results[0]


def _are_as_wanted(f: Function, element: str) -> Value:
    """Whether hidden scores become -inf, and what is filled in behind them is 0."""
    with f.loop(0, f.word(FILL_COUNT), carried=[constant("i1", True)]) as loop:
        pair = f.at(f.args, "i64", f.add(f.word(FILLS), f.mul(loop.index, 2)))
        lowest = f.icmp("ne", f.load("i64", f.at(pair, "i64", 1)), 0)
        wanted = f.select(lowest, constant(element, -math.inf), constant(element, 0))
        right = f.fcmp("oeq", f.load(element, pair), wanted)
        loop.next(f.binary("and", loop.values[0], right))
    return loop.results[0]


def _tame(element: str) -> Function:
    """1 if all numbers of the panels of this batch are of a size whose products stay finite."""
    f = Function("tame", (("ptr", "table"), ("i64", "entries"), ("i64", "batch"), ("i64", "scratch")), "i64")
    lanes = VECTOR_BYTES // SIZES[element]
    kind = same_width_int(vector(element, lanes))
    integer = same_width_int(element)
    magnitude = constant(kind, (1 << 8 * SIZES[element] - 1) - 1)
    with f.loop(0, f.entries, carried=[constant(kind, 0)]) as entry:
        row = f.at(f.table, "i64", f.mul(entry.index, TAMED_WORDS))
        start = f.load("ptr", row)
        apart, vectors, panel, k, inside = (f.load("i64", f.at(row, "i64", n)) for n in range(1, 6))
        start = f.at(start, "i8", f.add(f.mul(f.batch, apart), f.mul(inside, f.scratch)))
        with f.loop(0, vectors, carried=entry.values) as column:
            place = f.add(f.mul(f.udiv(column.index, VECTORS), panel),
                          f.mul(f.urem(column.index, VECTORS), VECTOR_BYTES))
            with f.loop(0, k, carried=[f.at(start, "i8", place), *column.values]) as line:
                bits = f.and_(f.load(kind, line.values[0]), magnitude)
                line.next(f.at(line.values[0], "i8", PANEL_BYTES), f.umax(line.values[1], bits))
            column.next(line.results[1])
        entry.next(column.results[0])
    most = f.call(integer, f"llvm.vector.reduce.umax.v{lanes}{integer}", entry.results[0])
    limit = f.bits(constant(element, TAME[element]))
    f.give_back(f.cast("zext", f.icmp("ult", most, limit), "i64"))
    return f


def _limit(f: Function, batch, first, count, low, skips) -> Value:
    """How many columns the tile's rows see, in whole granules, and not fewer than the tile before."""
    with f.when(skips, otherwise=[f.word(LENGTH)]) as branch:
        offset, = table_offset(f, batch, f.word(MASK_DIMS), f.word(MASK_TABLE), 2,
                               [f.mul(first, f.word(MASK_ROW))])
        start = f.at(f.word(MASK, "ptr"), "i8", offset)
        places = start, count, f.word(MASK_ROW), f.word(LENGTH)
        with f.either(f.icmp("eq", f.word(MASK_KIND), ADDED)) as either:
            with either.yes:
                either.give(f.call_helper(_seen(f, f.name.removeprefix("chain_")), *places,
                                          constant("i64", 0)))
            with either.no:
                flip = f.sub(0, f.cast("zext", f.icmp("eq", f.word(MASK_KIND), TRUE_HIDES), "i64"))
                either.give(f.call_helper(_seen(f, "i8"), *places, flip))
        seen = f.umax(low, either.results[0])
        whole = f.mul(f.ceil_div(seen, f.word(GRANULE)), f.word(GRANULE))
        branch.give(f.umin(whole, f.word(LENGTH)))
    return branch.results[0]


def _seen(f: Function, element: str) -> Function:
    return f.helper(f"seen_{element}", lambda: _make_seen(element))


def _make_seen(element: str) -> Function:
    """1 + the last column that some row sees; all columns if a row sees none."""
    f = Function(f"seen_{element}", (("ptr", "start"), ("i64", "rows"), ("i64", "apart"),
                                     ("i64", "length"), ("i64", "flip")), "i64")
    with f.loop(0, f.rows, carried=[f.start, 0]) as row:
        place, most = row.values
        with f.repeat([f.length]) as turn:
            first = f.smax(f.sub(turn.values[0], CHUNK), 0)
            bits = f.xor(_visible(f, element, place, first), f.flip)
            inside = f.sub(turn.values[0], first)
            bits = f.and_(bits, f.lshr(constant("i64", -1), f.sub(CHUNK, inside)))
            zeros = f.call("i64", "llvm.ctlz.i64", bits, constant("i1", False))
            found = f.sub(f.add(first, CHUNK), zeros)
            nothing = f.icmp("eq", bits, 0)
            again = f.binary("and", nothing, f.icmp("ne", first, 0))
            turn.again(again, f.select(nothing, f.select(again, first, f.length), found))
        row.next(f.at(place, "i8", f.apart), f.umax(most, turn.results[0]))
    f.give_back(row.results[1])
    return f


def _visible(f: Function, element: str, row: Value, first) -> Value:
    """A bit for each of 64 columns: a byte that is not 0, or a number that is not -inf."""
    if element == "i8":
        seen = f.icmp("ne", f.load(vector("i8", CHUNK), f.at(row, "i8", first)), 0)
        return f.let("i64", f"bitcast {seen.typed} to i64")
    total, lanes = f.value(0), VECTOR_BYTES // SIZES[element]
    for n in range(0, CHUNK, lanes):
        place = f.at(row, element, f.add(first, n))
        seen = f.fcmp("une", f.load(vector(element, lanes), place), -math.inf)
        bits = f.let(f"i{lanes}", f"bitcast {seen.typed} to i{lanes}")
        total = f.or_(total, f.shl(f.cast("zext", bits, "i64"), n))
    return total


def _is_poisoned(f: Function, element: str, memory: Memory, tile, count, limit) -> Value:
    """Whether a row that was cut short begins with no finite number: then nothing in it is a zero."""
    with f.when(f.icmp("ne", limit, f.word(LENGTH)), otherwise=[constant("i1", False)]) as branch:
        with f.loop(0, f.word(PROBE_COUNT), carried=[constant("i1", False)]) as probe:
            pair = f.at(f.args, "i64", f.add(f.word(PROBES), f.mul(probe.index, 2)))
            offset, in_block = (f.load("i64", f.at(pair, "i64", n)) for n in range(2))
            before = f.mul(f.mul(tile, in_block), f.word(PITCH))
            start = f.at(memory.scratch, "i8", f.add(offset, before))
            with f.loop(0, count, carried=[start, *probe.values]) as row:
                number = f.load(element, row.values[0])
                bad = f.fcmp("uno", f.fsub(number, number), number)
                row.next(f.at(row.values[0], "i8", f.word(PITCH)), f.binary("or", row.values[1], bad))
            probe.next(row.results[1])
        branch.give(probe.results[0])
    return branch.results[0]
