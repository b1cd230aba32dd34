"""Chains -> one call each: its steps are lowered as if alone, with rows of scratch memory between them.

What is read by a later step only is a row of scratch: of a tile's rows, or of a block's rows if sums
over rows read it. Everything else is in memory as always.
"""
from __future__ import annotations

from math import prod

from ..cpu import chain as native
from ..cpu import chain_products as products
from ..cpu.gemm import turned, turned_epilogue
from ..layout import packed_strides
from .kernel import Call, NestWords, Ref, View
from .chains import facing_of, is_value
from .hidden import hiding
from .rows import RowGroup
from .sizes import larger, smaller, times
from .schedule import MAP_BLOCK, Access, LoopGroup, make_epilogue, view_of

CACHED = 1 << 18  # bytes of a value's rows in a tile
GRAIN = 1 << 21         # multiplications that are worth claiming
SEVERAL = 16            # batches that are shared out as they are: each packs its operands for itself
PIECES = 16             # units are not made coarser than leaves so many pieces


def chain_calls(chain, builder) -> list[Call]:
    """The calls that pack operands, and the chain's own."""
    return ChainCalls(chain, builder).calls()


class Rows(LoopGroup):
    """Loads and stores of values that are rows of scratch memory."""

    length_word = None

    def load(self, use, is_index: bool = False) -> int:
        if use.source not in self.builder.scratch:
            return super().load(use, is_index)
        return self.add_load(self.builder.access(use.source, len(self.space)), is_index)

    def target(self, v) -> Access:
        return self.builder.access(v, len(self.space)) if v in self.builder.scratch else super().target(v)


class MapRows(Rows):
    """A map whose last axis stays one, so that its units are rows."""

    def map(self, stores, values):
        accesses = self.loads + stores
        *outer, last = range(len(self.space))
        merged = self.axes(accesses, outer) + self.axes(accesses, [last])
        n, lines = self.space[-1], merged[-2][0]
        block = n if n <= 2 * MAP_BLOCK else MAP_BLOCK
        blocks = -(-n // block)
        nest = self.nest("map", merged, 0, stores, values, [])
        if block is n:
            self.length_word = NestWords(nest).sizes[-1]
        fill = self.words(nest, merged, stores, block, blocks, 1, lines)
        return [self.call(nest, fill, prod(self.space[:-1]) * blocks, 1)]


class FoldedRows(Rows, RowGroup):
    def row_call(self, nest, fill) -> Call:
        self.length_word = NestWords(nest).sizes[-1]
        return super().row_call(nest, fill)


class ChainCalls:
    """Stands in for the builder while a chain's parts are lowered."""

    def __init__(self, chain, builder):
        self.chain, self.outer = chain, builder
        self.part = {v: p for p in (*chain.parts, *chain.columns) for v in p.vertices}
        self.batches, self.rows, self.length = chain.space
        self.cut = products.block_of(self.rows)
        self.tile = self.tile_rows()
        self.block = self.cut.tile if chain.columns else self.tile
        self.granule = 64 if self.tile >= 64 else 32
        self.place_scratch()
        self.together = bool(chain.columns) or self.batches >= SEVERAL
        self.before: list[Call] = []
        self.packing: list = []
        self.tamed: dict = {}

    def __getattr__(self, name):
        return getattr(self.outer, name)

    # -- memory ---------------------------------------------------------------------------------------
    def tile_rows(self) -> int:
        """Rows of a tile: a part of a block, few enough for the cache, a quarter of all at most."""
        return next((t for t in products.TILES if self.cut.tile % t == 0 and 4 * t * self.length <= CACHED
                     and (4 * t <= self.rows or t <= 32)), 16)

    def place_scratch(self) -> None:
        """Where in scratch memory each value lies that only later parts read."""
        self.scratch: dict = {}
        inner = [v for v in self.part if self.is_inner(v)]
        size = max((v.dtype.itemsize for v in inner), default=4)
        self.pitch = -(-self.length * size // 64) * 64 + 64
        end = 0
        for v in inner:
            summed = any(self.part[user] in self.chain.columns for user, _ in self.outer.users.get(v, ()))
            slot, rows = (products.BLOCK_SLOT, self.block) if summed else (products.TILE_SLOT, self.tile)
            self.scratch[v] = Ref(slot, end)
            end += rows * self.pitch + 64
        self.scratch_bytes = end

    def is_inner(self, v) -> bool:
        users = self.outer.users.get(v, ())
        return is_value(v, self.chain.space) and not v.is_output and \
            all(user in self.part for user, _ in users) and any(self.part[u] is not self.part[v] for u, _ in users)

    def access(self, v, ndim) -> Access:
        return Access(self.scratch[v], v.dtype, (0,) * (ndim - 2) + (self.pitch // v.dtype.itemsize, 1))

    def is_needed(self, v, group) -> bool:
        return v.is_output or any(self.part.get(user) is not group for user, _ in self.users.get(v, ()))

    # -- steps ------------------------------------------------------------------------------------------
    def calls(self) -> list[Call]:
        tiles = [self.step(part) for part in self.chain.parts]
        sums = [step for part in self.chain.columns for step in self.sums(part)]
        mask = hiding(self)
        frame = native.Frame(self.kind(), self.batches, self.rows, self.block, self.tile, self.length,
                             self.granule, self.pitch, self.scratch_bytes, self.together)
        work = sum(s.call.flops for s in (*tiles, *sums)) // (2 * frame.units)
        grain = larger(1, smaller(frame.units // PIECES, GRAIN // larger(work, 1)))
        names = " ".join(v.prim.name for v in self.part)
        made = native.chain_call(frame, self.packing, tiles, sums, mask, list(self.tamed.values()), grain,
                                 f"chain {times(self.chain.space)}: {names}")
        return [*self.before, made]

    def kind(self) -> str:
        return next(p.vertices[0].dtype.llvm for p in self.chain.parts if p.kind == "contract")

    def step(self, part):
        if part.kind == "contract":
            return self.product(part)
        nest = (FoldedRows if part.passes else MapRows)(part, self)
        call, = nest.calls()
        return products.row_step(call, self.batches * self.rows, nest.length_word)

    def product(self, part):
        """A product that makes rows, or that multiplies them."""
        v = part.vertices[0]
        a, b = (self.view(u) for u in v.uses)
        epilogue = make_epilogue(part, self, Rows(part, self)) if len(part.vertices) > 1 else None
        out = self.result_view(part) if epilogue is None else \
            View(Ref(0), v.dtype, tuple(v.shape), packed_strides(v.shape))
        multiplied = self.multiplied(v)
        if multiplied == 1:
            out, a, b, epilogue = turned(out), turned(b), turned(a), turned_epilogue(epilogue)
        packed = self.pack(v, 1 - (multiplied or 0), out, b)
        rows = products.Cut(self.rows, -(-self.rows // self.tile), self.tile)
        made = products.product(out, a, packed, rows, epilogue, self.temp, self.before)
        return products.tile_step(made, multiplied is None, multiplied is not None)

    def sums(self, part) -> list:
        """A product that adds over the rows."""
        v = part.vertices[0]
        a, b = (self.view(u) for u in v.uses)
        out, multiplied = self.result_view(part), self.multiplied(v)
        if multiplied == 1:
            out, a, b = turned(out), turned(b), turned(a)
        packed = self.pack(v, 1 - multiplied, out, b)
        return products.column_steps(out, a, packed, self.granule, self.block, self.temp, self.before)

    def pack(self, v, operand, out, b):
        if self.together:
            packed, step, size = products.pack_inside(out, b, self.scratch_bytes, self.temp, self.before)
            self.packing.append(step)
            self.scratch_bytes += size + 64
        else:
            packed = products.pack(out, b, self.temp, self.before)
        self.tamed[v, operand] = packed.panels
        return packed

    def multiplied(self, v) -> int | None:
        """Which operand is a value of the chain's rows; None for a product that makes one."""
        return self.chain.multiplies.get(v)

    def result_view(self, part) -> View:
        v = part.vertices[0]
        access = Rows(part, self).target(v)
        return View(access.ref, v.dtype, tuple(v.shape), access.strides)

    def view(self, use) -> View:
        if use.source not in self.scratch:
            return view_of(use, self)
        shape = tuple(use.layout.shape)
        straight = facing_of(use, self.chain.space) == "straight"
        access = self.access(use.source, len(shape))
        view = View(access.ref, use.dtype, shape if straight else (*shape[:-2], shape[-1], shape[-2]), access.strides)
        return view if straight else turned(view)
