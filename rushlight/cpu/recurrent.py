"""Recurrences: a step is a turn of one call (runtime/turns.py), and shares its work among threads.

A unit is a tile of hidden units and rows of the batch. The state before is multiplied by the
weights of the tile's gates, which were packed once for all steps and lie in cache; then the gates
are computed where the products stand, a vector at a time, and everything goes to its plane
(`Planes` in prims/recurrent.py). The way back does the same in reverse: the gradient of the gates
of one step, times the weights, is what comes down to the state before.

    forward     tile[row, gate, unit] = h w^T;  h', c', gates = cell(x + tile, h, c)
    backward    tile[row, unit] = dx' w;        dx = cell'(g + tile, gates, c)

Sums over k are made as in contractions, in blocks; tiles follow from the shape alone.
"""
from __future__ import annotations

from functools import cache
from math import prod
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Code, Ref, View
from ..compiler.sizes import larger, smaller, times
from ..dtypes import dtype, float32, float64
from ..prims.recurrent import CELLS, Planes, back_planes
from ..runtime.turns import in_turns
from .contract import (BLOCK_K, SMALL, Contraction, Cut, Temp, balanced, ceil_div, columns_of,
                       whole_panels)
from .emit import Function, Value, constant, vector
from .gemm import packed
from .lanes import FUNCTIONS, Lanes, select
from .micro import PANEL_BYTES, ROWS, VECTOR_BYTES, micro
from .pack import (Matrix, call_word, copy_call, dynamic_alloca, fill_table, pack_copy,
                   pack_transpose)

TILE_ROWS = 32          # of the batch in a unit: its tile stays in the first-level cache
UNITS = 16              # that occupy the threads, if the batch allows for so many
FUNCTION = 16           # multiplications that a gate costs by itself
NAMES = ("recurrence", "recurrence_grad", "cell", "cell_grad")

# Words; addresses are those of the first turn, a step in bytes leads to the next one's.
(TURN, FIRST, PANELS, PANEL, GATE_PANELS, MICRO, HIDDEN, BATCH, ROW_TILE, ROW_TILES, BLOCK,
 TILE_BYTES, ROW_TABLE, K_TABLE, X, X_STEP, X_ROW, STEP, BEFORE, AFTER, C_BEFORE, C_AFTER, C_STEP,
 KEPT, KEPT_GATE) = range(25)
BIAS, PRODUCTS, PRODUCTS_ROW = range(25, 28)
OUT, OUT_STEP, Q, CARRY, CELL, CELL_STEP, CELL_ROW, CELL_TURNS = range(25, 33)


class Structure(NamedTuple):
    """What code is made for. `more`: gates are kept; on the way back, c has a gradient.

    `single`: one step, whose products are given.
    """
    mode: str
    kind: dtype
    more: bool
    bias: bool = False
    single: bool = False


# --- what both ways share -------------------------------------------------------------------------

class Emitter:
    """One unit of one turn: its product and the addresses of its elements."""

    tile_gates = 1          # panels of the tile

    def __init__(self, name: str, s: Structure):
        self.f = f = Function(f"{name}_{s.mode}_{s.kind.name}")
        self.s, self.element, self.size = s, s.kind.llvm, s.kind.itemsize
        self.cell, self.turn = CELLS[s.mode], f.word(TURN)
        self.row_bytes = f.mul(f.word(HIDDEN), self.size)
        self.tile, self.row_table, self.k_table = (
            dynamic_alloca(f, f.word(w)) for w in (TILE_BYTES, ROW_TABLE, K_TABLE))
        self.bases: dict[int, Value] = {}

    def base(self, pointer: int, step: int, turn=None) -> Value:
        """Where this turn's part of an array starts."""
        f = self.f
        turn = self.turn if turn is None else turn
        return f.at(f.word(pointer, "ptr"), "i8", f.mul(turn, f.word(step)))

    def code(self) -> Code:
        f, columns = self.f, columns_of(self.s.kind)
        self.find_bases()
        if not self.s.single:
            fill_table(f, self.k_table, f.word(BLOCK), f.value(0), self.size)
        with f.loop(f.lo, f.hi) as unit:
            number = f.udiv(unit.index, f.word(ROW_TILES))
            self.first = f.mul(f.urem(unit.index, f.word(ROW_TILES)), f.word(ROW_TILE))
            self.rows = f.umin(f.word(ROW_TILE), f.sub(f.word(BATCH), self.first))
            self.column = f.mul(number, columns)
            self.width = f.umin(columns, f.sub(f.word(HIDDEN), self.column))
            if not self.s.single:
                self.make_products(number)
            self.each_vector()
        return f.code()

    def make_products(self, number: Value) -> None:
        f = self.f
        panels = f.at(f.word(PANELS, "ptr"), "i8", f.mul(number, f.word(PANEL)))
        with f.either(f.icmp("slt", self.turn, f.word(FIRST))) as either:
            with either.yes:
                self.clear()
            with either.no:
                self.fetch()
                self.multiply(panels)

    def fetch(self) -> None:
        """Begin to load what the functions will read, so that it comes while the product is made."""
        f = self.f
        with f.loop(0, self.rows, nonempty=True) as row:
            self.row = f.add(self.first, row.index)
            for line in range(0, PANEL_BYTES, VECTOR_BYTES):
                self.across = f.add(f.mul(self.column, self.size), line)
                for stream in self.streams():
                    f.prefetch(self.place(*stream))

    def fetch_row(self, number: Value) -> None:
        """The same for one row, and for what will be written: it must be at hand for that, too."""
        self.row = self.f.add(self.first, number)
        for stream in self.streams():
            self.f.prefetch(self.place(*stream))
        for stream in self.targets():
            self.f.prefetch(self.place(*stream), to_write=True)

    def clear(self) -> None:
        """No product in this turn."""
        f, zero = self.f, constant(vector("i64", 8), 0)
        with f.loop(0, f.mul(self.rows, self.tile_gates * PANEL_BYTES), VECTOR_BYTES) as loop:
            f.store(zero, f.at(self.tile, "i8", loop.index))

    def multiply(self, panels: Value) -> None:
        f = self.f
        half = f.icmp("ugt", self.width, columns_of(self.s.kind) // 2)
        vectors = f.add(f.cast("zext", half, "i64"), 1)
        for a, row, start, count in self.factors():
            fill_table(f, self.row_table, self.rows, f.value(0), row)
            a = f.at(a, "i8", f.mul(self.first, row))
            for gate in range(self.tile_gates):
                b = f.at(panels, "i8", f.mul(f.word(GATE_PANELS), gate))
                self.product(a, b, gate, start, count, vectors)

    def product(self, a: Value, b: Value, gate: int, start, count, vectors: Value) -> None:
        """k from `start` on of one gate's panel, in blocks."""
        f = self.f
        with f.loop(0, count, f.word(BLOCK)) as block:
            k = f.add(block.index, start)
            kc = f.umin(f.word(BLOCK), f.sub(count, block.index))
            call_word(f, "void", MICRO, [
                f.at(a, "i8", f.mul(block.index, self.size)), self.row_table, self.k_table,
                f.at(b, "i8", f.mul(k, PANEL_BYTES)), PANEL_BYTES, kc,
                f.at(self.tile, "i8", gate * PANEL_BYTES), self.tile_gates * PANEL_BYTES,
                f.cast("zext", f.icmp("eq", k, 0), "i64"), self.rows, vectors])

    def each_vector(self) -> None:
        f = self.f
        with f.loop(0, self.rows, nonempty=True) as row:
            self.line = f.at(self.tile, "i8", f.mul(row.index, self.tile_gates * PANEL_BYTES))
            with f.loop(0, self.width, LANES, nonempty=True) as lanes:
                self.mask = f.lane_mask(f.sub(self.width, lanes.index))
                self.inside = f.mul(lanes.index, self.size)
                self.across = f.mul(f.add(self.column, lanes.index), self.size)
                self.fetch_row(f.umin(f.add(row.index, 1), f.sub(self.rows, 1)))
                self.row = f.add(self.first, row.index)
                self.compute()

    # elements of the current vector

    def products(self, gate: int = 0) -> Lanes:
        f = self.f
        place = f.at(self.line, "i8", f.add(self.inside, gate * PANEL_BYTES))
        return Lanes(f, f.load_vector(self.element, place))

    def place(self, base: Value, row=None, gate: int = 0) -> Value:
        """The vector's address in an array with `row` bytes between rows, gates side by side."""
        f = self.f
        row = self.row_bytes if row is None else row
        across = f.add(self.across, f.mul(self.row_bytes, gate))
        return f.at(base, "i8", f.add(f.mul(self.row, row), across))

    def load(self, base: Value, row=None, gate: int = 0, mask: Value | None = None) -> Lanes:
        f = self.f
        return Lanes(f, f.masked_load(self.element, self.place(base, row, gate), mask or self.mask))

    def store(self, x: Lanes, base: Value, row=None, gate: int = 0) -> None:
        self.f.masked_store(x.value, self.place(base, row, gate), self.mask)

    def kept(self, number: int) -> Value:
        """The plane of a gate that is kept."""
        f = self.f
        return f.at(self.bases[KEPT], "i8", f.mul(f.word(KEPT_GATE), number))

    def kept_planes(self) -> list[Value]:
        return [self.kept(number) for number in range(self.cell.kept if KEPT in self.bases else 0)]

    def apply(self, name: str, x: Lanes) -> Lanes:
        return x.of(FUNCTIONS[name](self.f, x.value))

    def tanh(self, x: Lanes) -> Lanes:
        return self.apply("tanh", x)

    def sigmoid(self, x: Lanes) -> Lanes:
        return 1.0 / (self.apply("exp", -x) + 1.0)


# --- forward --------------------------------------------------------------------------------------

class Forward(Emitter):
    def __init__(self, s: Structure):
        super().__init__("recurrence", s)
        self.tile_gates = self.cell.gates

    def find_bases(self) -> None:
        steps = {X: X_STEP, BEFORE: STEP, AFTER: STEP}
        steps |= {C_BEFORE: C_STEP, C_AFTER: C_STEP} if self.cell.inner else {}
        steps |= {KEPT: STEP} if self.s.more and self.cell.kept else {}
        self.bases = {at: self.base(at, step) for at, step in steps.items()}

    def streams(self):
        """(address, bytes between rows, gate) of what comes from far."""
        return [(self.bases[X], self.f.word(X_ROW), gate) for gate in range(self.cell.gates)]

    def targets(self):
        """The same of what is written."""
        planes = [self.bases[at] for at in (AFTER, C_AFTER) if at in self.bases]
        return [(x, self.row_bytes, 0) for x in (*planes, *self.kept_planes())]

    def factors(self):
        return [(self.bases[BEFORE], self.row_bytes, 0, self.f.word(HIDDEN))]

    def inputs(self) -> list[Lanes]:
        return [self.load(self.bases[X], self.f.word(X_ROW), gate)
                for gate in range(self.cell.gates)]

    def products(self, gate: int = 0) -> Lanes:
        if not self.s.single:
            return super().products(gate)
        return self.load(self.f.word(PRODUCTS, "ptr"), self.f.word(PRODUCTS_ROW), gate)

    def sums(self) -> list[Lanes]:
        return [x + self.products(gate) for gate, x in enumerate(self.inputs())]

    def compute(self) -> None:
        h, *gates = getattr(self, self.s.mode)()
        self.store(h, self.bases[AFTER])
        for number, gate in enumerate(gates if self.s.more else ()):
            self.store(gate, self.kept(number))

    def rnn_tanh(self):
        return [self.tanh(self.sums()[0])]

    def rnn_relu(self):
        x, = self.sums()
        return [select(x < 0.0, 0.0, x)]        # a nan stays

    def lstm(self):
        i, f, g, o = self.sums()
        i, f, g, o = self.sigmoid(i), self.sigmoid(f), self.tanh(g), self.sigmoid(o)
        c = f * self.load(self.bases[C_BEFORE]) + i * g
        self.store(c, self.bases[C_AFTER])
        return [o * self.tanh(c), i, f, g, o]

    def gru(self):
        hidden = [self.products(gate) for gate in range(3)]
        if self.s.bias:
            bias = self.f.word(BIAS, "ptr")
            hidden = [q + self.load(bias, 0, gate) for gate, q in enumerate(hidden)]
        (xr, xz, xn), (hr, hz, q) = self.inputs(), hidden
        r, z = self.sigmoid(xr + hr), self.sigmoid(xz + hz)
        n = self.tanh(xn + r * q)
        return [(self.load(self.bases[BEFORE]) - n) * z + n, r, z, n, q]


# --- backward -------------------------------------------------------------------------------------

class Backward(Emitter):
    def __init__(self, s: Structure):
        super().__init__("recurrence_grad", s)
        self.out_row = self.f.mul(self.row_bytes, self.cell.gates)

    def find_bases(self) -> None:
        steps = {X: X_STEP, BEFORE: STEP, AFTER: STEP, OUT: OUT_STEP}
        steps |= {C_BEFORE: STEP, C_AFTER: STEP} if self.cell.inner else {}
        steps |= {KEPT: STEP} if self.cell.kept else {}
        steps |= {Q: STEP} if self.s.mode == "gru" else {}
        steps |= {CELL: CELL_STEP} if self.s.more else {}
        self.bases = {at: self.base(at, step) for at, step in steps.items()}
        ago = self.f.sub(self.turn, 1)
        self.came = [self.base(at, steps[at], ago) for at in (OUT, Q) if at in steps]

    def streams(self):
        """(address, bytes between rows, gate) of what comes from far."""
        before = self.bases[C_BEFORE if self.cell.inner else BEFORE]
        planes = [(x, self.row_bytes, 0) for x in (before, *self.kept_planes())]
        return [(self.bases[X], self.f.word(X_ROW), 0), *planes]

    def targets(self):
        """The same of what is written."""
        return [(self.bases[OUT], self.out_row, gate) for gate in range(self.cell.gates)]

    def factors(self):
        """The gradient of the gates one turn ago; that of q stands in for n's in a gru."""
        f, out, *q = self.f, *self.came
        gates = self.cell.gates - len(q)
        count = f.mul(f.word(HIDDEN), gates)
        return [(out, self.out_row, 0, count),
                *((x, self.row_bytes, count, f.word(HIDDEN)) for x in q)]

    def compute(self) -> None:
        came = self.load(self.bases[X], self.f.word(X_ROW))
        came = came if self.s.single else came + self.products()
        for gate, x in enumerate(getattr(self, self.s.mode)(came)):
            self.store(x, self.bases[OUT], self.out_row, gate)

    def carried(self) -> Lanes:
        """What the turn before left for this one."""
        f = self.f
        later = f.splat(f.icmp("ne", self.turn, 0))
        return self.load(f.word(CARRY, "ptr"), mask=f.and_(self.mask, later))

    def carry(self, x: Lanes) -> None:
        self.store(x, self.f.word(CARRY, "ptr"))

    def rnn_tanh(self, dh):
        h = self.load(self.bases[AFTER])
        return [dh * (1.0 - h * h)]

    def rnn_relu(self, dh):
        return [select(self.load(self.bases[AFTER]) <= 0.0, 0.0, dh)]

    def lstm(self, dh):
        i, f, g, o = (self.load(self.kept(number)) for number in range(4))
        tanh = self.tanh(self.load(self.bases[C_AFTER]))
        dc = self.carried() + dh * o * (1.0 - tanh * tanh)
        if self.s.more:
            dc = dc + self.cell_gradient()
        self.carry(dc * f)
        return [dc * g * i * (1.0 - i), dc * self.load(self.bases[C_BEFORE]) * f * (1.0 - f),
                dc * i * (1.0 - g * g), dh * tanh * o * (1.0 - o)]

    def cell_gradient(self) -> Lanes:
        f = self.f
        given = f.splat(f.icmp("slt", self.turn, f.word(CELL_TURNS)))
        return self.load(self.bases[CELL], f.word(CELL_ROW), mask=f.and_(self.mask, given))

    def gru(self, dh):
        dh = dh + self.carried()
        r, z, n, q = (self.load(self.kept(number)) for number in range(4))
        dn = dh * (1.0 - z) * (1.0 - n * n)
        dr, dz = dn * q * r * (1.0 - r), dh * (self.load(self.bases[BEFORE]) - n) * z * (1.0 - z)
        for gate, x in enumerate((dr, dz, dn * r) if self.s.single else ()):
            self.store(x, self.bases[Q], self.out_row, gate)
        if not self.s.single:
            self.store(dn * r, self.bases[Q])
        self.carry(dh * z)
        return [dr, dz, dn]


@cache
def forward_code(s: Structure) -> Code:
    return Forward(s).code()


@cache
def backward_code(s: Structure) -> Code:
    return Backward(s).code()


# --- lowering -------------------------------------------------------------------------------------

class Sizes(NamedTuple):
    """What words of sizes follow from."""
    mode: str
    kind: dtype
    steps: int
    batch: int
    hidden: int
    reverse: bool

    @property
    def gates(self) -> int:
        return CELLS[self.mode].gates

    @property
    def plane(self) -> int:
        """Bytes of one plane."""
        return self.batch * self.hidden * self.kind.itemsize

    @property
    def rows(self) -> Cut:
        """Of the batch: fewer in a unit where there were too few units to share out."""
        pieces = smaller(self.batch // ROWS, ceil_div(UNITS, self.tiles))
        most = ceil_div(self.batch, larger(1, pieces))
        return balanced(self.batch, smaller(TILE_ROWS, most), ROWS)

    @property
    def tiles(self) -> int:
        return -(-self.hidden // columns_of(self.kind))

    @property
    def math(self) -> int:
        """What the functions of a step cost, in multiplications."""
        return FUNCTION * self.batch * self.hidden * self.gates

    def words(self, backward: bool, first: int = 0, panels: tuple = (0, 0, 0)) -> tuple:
        """The words before X."""
        rows, block = self.rows, balanced(self.hidden, BLOCK_K, 1).tile
        pitch = PANEL_BYTES * (1 if backward else self.gates)
        rows_of_tile = rows.tile + ROWS
        tables = (8 * n + VECTOR_BYTES for n in (rows_of_tile, block))
        return (0, first, *panels, micro(self.kind), self.hidden, self.batch, rows.tile,
                rows.pieces, block, rows_of_tile * pitch, *tables)

    def call(self, code: Code, words: tuple, note: str) -> Call:
        """A turn for each step."""
        work = self.batch * self.hidden * self.hidden * self.gates
        size = times((self.steps, self.batch, self.hidden))
        return in_turns(self.turn(code, words, work, f"{note} {size}"), self.steps)

    def turn(self, code: Code, words: tuple, work: int, note: str) -> Call:
        """One turn of so many multiplications."""
        units = self.tiles * self.rows.pieces
        grain = smaller(units, larger(1, units * SMALL // work))
        return Call(code, words, units, grain, f"{note} {self.mode} {self.kind.name}",
                    flops=2 * work)


def can_recur(v) -> bool:
    """Whether there is a kernel for this recurrence."""
    return v.prim.name in NAMES and v.dtype in (float32, float64)


def lower_recurrence(v, out: Ref, views, temp: Temp) -> list[Call]:
    """Calls of a recurrence or its gradient; `out` is packed."""
    operands = [View(*view) for view in views]
    if any(0 in x.shape for x in operands):
        return [] if 0 in v.shape else [clear_call(out, v.numel * v.dtype.itemsize)]
    return LOWER[v.prim.name](v, out, operands, temp)


def _adjacent(before: list[Call], x: View, temp: Temp) -> View:
    """x with its last axis walked one by one."""
    return x if x.strides[-1] == 1 or x.shape[-1] == 1 else packed(before, x.dtype, x, temp)


def _bytes(x: View) -> list[int]:
    return [s * x.itemsize for s in x.strides]


def _ahead(ref: Ref, step: int, sizes: Sizes, backward: bool) -> tuple[Ref, int]:
    """Where the first turn's part of an array lies that has one for each step, and the way on."""
    at_end = sizes.reverse != backward
    return (Ref(ref.slot, ref.offset + (sizes.steps - 1) * step), -step) if at_end else (ref, step)


def _panels(before: list[Call], sizes: Sizes, gates: int, m: Matrix, k: int, code: Code,
            temp: Temp) -> tuple:
    """All weights packed: (address, bytes of a panel, bytes of a gate's panels)."""
    c = Contraction(sizes.kind, gates, Cut(0, 1, 1), Cut(sizes.hidden, 1, sizes.hidden),
                    Cut(k, 1, k))
    right = whole_panels(before, c, code, m.words, temp)
    return right.words[0], right.panel, right.panel * sizes.tiles


def _lower_forward(v, out: Ref, operands: list[View], temp: Temp) -> list[Call]:
    mode, keep, bias = (v.params[name] for name in ("mode", "keep", "bias"))
    calls: list[Call] = []
    x, w, *others = (_adjacent(calls, x, temp) for x in operands)
    sizes = Sizes(mode, v.dtype, *x.shape[:2], w.shape[1], v.params["reverse"])
    planes, plane = Planes(mode, sizes.steps, sizes.reverse, keep), sizes.plane
    at = lambda number: Ref(out.slot, out.offset + number * plane)
    states = others[bias:]
    inner = planes.cell.inner
    starts = [planes.first, *([planes.c + keep * planes.first] if inner else ())]
    for slot, state in zip(starts, states or [None] * len(starts), strict=False):
        calls.append(copy_call(at(slot), v.dtype, state) if state else clear_call(at(slot), plane))
    across = _bytes(w)
    m = Matrix(w.ref, across[0], across[1], sizes.hidden, 0,
               ((sizes.gates, sizes.hidden * across[0]),))
    panels = _panels(calls, sizes, sizes.gates, m, sizes.hidden, pack_transpose(v.dtype.llvm), temp)
    x_step, x_row, _ = _bytes(x)
    ahead = lambda ref, step=plane: _ahead(ref, step, sizes, False)
    c_step = plane if keep else 0
    c = [ahead(at(planes.c + keep * side), c_step) for side in (planes.before, planes.after)]
    words = (*sizes.words(False, int(not states), panels), *ahead(x.ref, x_step), x_row,
             ahead(out)[1], ahead(at(planes.before))[0], ahead(at(planes.after))[0],
             *((c[0][0], c[1][0], c[0][1]) if inner else (0, 0, 0)),
             *((ahead(at(planes.kept))[0], sizes.steps * plane) if keep else (0, 0)),
             others[0].ref if bias else 0)
    code = forward_code(Structure(mode, v.dtype, keep, bias))
    return [*calls, sizes.call(code, words, v.prim.name)]


def _lower_backward(v, out: Ref, operands: list[View], temp: Temp) -> list[Call]:
    mode, cells = v.params["mode"], v.params["cells"]
    calls: list[Call] = []
    g, y, w, *gc = (_adjacent(calls, x, temp) for x in operands)
    y = _dense(calls, y, temp)
    sizes = Sizes(mode, v.dtype, *g.shape, v.params["reverse"])
    planes, plane = Planes(mode, sizes.steps, sizes.reverse, True), sizes.plane
    q, carry, _ = back_planes(mode, sizes.steps)
    at = lambda ref, number: Ref(ref.slot, ref.offset + number * plane)
    k = sizes.gates * sizes.hidden
    m = Matrix(w.ref, w.itemsize, _bytes(w)[0], 1, 0, ((1, 0),))
    panels = _panels(calls, sizes, 1, m, k, pack_copy(v.dtype.llvm), temp)
    ahead = lambda ref, step=plane: _ahead(ref, step, sizes, True)
    inner, (g_step, g_row, _) = planes.cell.inner, _bytes(g)
    c = [ahead(at(y.ref, planes.c + side))[0] if inner else 0
         for side in (planes.before, planes.after)]
    words = (*sizes.words(True, 1, panels), *ahead(g.ref, g_step), g_row, ahead(out)[1],
             ahead(at(y.ref, planes.before))[0], ahead(at(y.ref, planes.after))[0], *c, 0,
             ahead(at(y.ref, planes.kept))[0], sizes.steps * plane,
             *ahead(out, sizes.gates * plane), ahead(at(out, q))[0], at(out, carry),
             *_cell_words(sizes, cells, gc))
    code = backward_code(Structure(mode, v.dtype, bool(cells)))
    return [*calls, sizes.call(code, words, v.prim.name)]


def _cell_words(sizes: Sizes, cells: str, gc: list[View]) -> tuple:
    """Address, step, row and turns of the gradient of c."""
    if not cells:
        return 0, 0, 0, 0
    if cells == "last":
        return gc[0].ref, 0, _bytes(gc[0])[0], 1
    step, row, _ = _bytes(gc[0])
    return *_ahead(gc[0].ref, step, sizes, True), row, sizes.steps


# --- one step -------------------------------------------------------------------------------------

def _lower_cell(v, out: Ref, operands: list[View], temp: Temp) -> list[Call]:
    calls: list[Call] = []
    x, s, before = (_adjacent(calls, x, temp) for x in operands)
    before = _dense(calls, before, temp)
    sizes = Sizes(v.params["mode"], v.dtype, 1, *before.shape, False)
    inner = CELLS[sizes.mode].inner
    at = lambda number: Ref(out.slot, out.offset + number * sizes.plane)
    words = (*sizes.words(False), x.ref, 0, _bytes(x)[0], 0, before.ref, out, before.ref, at(1), 0,
             at(1 + inner), sizes.plane, 0, s.ref, _bytes(s)[0])
    code = forward_code(Structure(sizes.mode, v.dtype, True, single=True))
    return [*calls, sizes.turn(code, words, sizes.math, f"cell {times(before.shape)}")]


def _lower_cell_grad(v, out: Ref, operands: list[View], temp: Temp) -> list[Call]:
    calls: list[Call] = []
    *grads, y, before = (_adjacent(calls, x, temp) for x in operands)
    y, before = _dense(calls, y, temp), _dense(calls, before, temp)
    sizes = Sizes(v.params["mode"], v.dtype, 1, *before.shape, False)
    at = lambda ref, number: Ref(ref.slot, ref.offset + number * sizes.plane)
    inner, gates = CELLS[sizes.mode].inner, sizes.gates
    cell = (grads[1].ref, 0, _bytes(grads[1])[0], 1) if inner else (0, 0, 0, 0)
    words = (*sizes.words(True), grads[0].ref, 0, _bytes(grads[0])[0], 0, before.ref, y.ref,
             before.ref, at(y.ref, 1), 0, at(y.ref, 1 + inner), sizes.plane, out, 0, at(out, gates),
             at(out, gates if inner else 2 * gates), *cell)
    code = backward_code(Structure(sizes.mode, v.dtype, inner, single=True))
    return [*calls, sizes.turn(code, words, sizes.math, f"cell_grad {times(before.shape)}")]


def _dense(before: list[Call], x: View, temp: Temp) -> View:
    """x packed in row-major order."""
    dense = tuple(prod(x.shape[d + 1:]) for d in range(len(x.shape)))
    return x if x.strides == dense else packed(before, x.dtype, x, temp)


LOWER = {"recurrence": _lower_forward, "recurrence_grad": _lower_backward, "cell": _lower_cell,
         "cell_grad": _lower_cell_grad}


# --- memory that starts as zero -------------------------------------------------------------------

@cache
def clear_kernel() -> Code:
    """A unit is a vector, the last one a part of it."""
    f = Function("clear")
    with f.loop(f.lo, f.hi) as unit:
        start = f.mul(unit.index, VECTOR_BYTES)
        mask = f.lane_mask(f.sub(f.word(1), start), VECTOR_BYTES)
        f.masked_store(constant(vector("i8", VECTOR_BYTES), 0), f.at(f.word(0, "ptr"), "i8", start),
                       mask)
    return f.code()


def clear_call(ref: Ref, nbytes: int) -> Call:
    """Zeros at `ref`."""
    units = -(-nbytes // VECTOR_BYTES)
    return Call(clear_kernel(), (ref, nbytes), units, max(1, SMALL // LANES), "clear", bytes=nbytes)
