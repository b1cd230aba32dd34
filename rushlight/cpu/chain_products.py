"""Matrix products as steps of a chain: their rows in the chain's tiles, B packed ahead as a whole."""
from __future__ import annotations

from math import prod
from typing import NamedTuple

from ..compiler.kernel import Body, Call, Epilogue, Instr, Ref, View
from ..compiler.sizes import larger, times
from ..dtypes import float32, float64
from .chain import (ALWAYS, BATCH_AT, BLOCK_AT, BY_BATCH, BY_COLUMNS, BY_ROWS, BY_TILES, COUNT, FIRST,
                    LATER, LIMIT, PANEL_AT, SCRATCH_AT, START, STARTED_AT, TILE_AT, Patch, Step, Tamed)
from .contract import (BLOCK_K, HEADER, K_BLOCKS, K_IMAGE, K_TILES, N, N_TILES, Contraction, Cut,
                       Left, Right, Temp, balanced, ceil_div, columns_of, cut_columns,
                       driver_call, whole_panels)
from .gemm import (adjacent, finish_matrix, is_vector, packed, packed_rows, packer, planned, read_left,
                   turned, turned_epilogue)
from .micro import PANEL_BYTES
from .pack import (DIMS, POINTER, R_HEADER, W_HEADER, W_OUT, Matrix, pack_view, pack_whole)

TILES = (64, 48, 32, 16)


class Whole(Contraction):
    """A contraction whose k is not cut into parts."""

    @property
    def part_blocks(self) -> int:
        return larger(1, self.k.pieces)


class Product(NamedTuple):
    """The call of a product and how it is cut."""
    call: Call
    shape: Contraction


class Packed(NamedTuple):
    """B, packed ahead."""
    right: Right
    panels: Tamed


def is_whole(a: View, b: View) -> bool:
    """Whether the kernel that computes this product alone adds up all of k in one part."""
    return not is_vector(a, b) and planned(a, b).parts == 1


def block_of(k: int) -> Cut:
    """How a sum over k is cut into blocks."""
    return balanced(k, BLOCK_K, 16)


def product(out: View, a: View, b: Packed, rows: Cut, epilogue: Epilogue | None,
            temp: Temp, before: list[Call]) -> Product:
    """out = a @ b through the epilogue, in tiles of the given rows."""
    c = _shape(out, rows, block_of(a.shape[-1]))
    return _driven(c, out, a, read_left(before, c, a, temp), b, epilogue)


def _driven(c: Contraction, out: View, a: View, left: Left, b: Packed,
            epilogue: Epilogue | None) -> Product:
    note = times((*out.shape[:-1], a.shape[-1], out.shape[-1]))
    if c.turned:
        out, epilogue = turned(out), turned_epilogue(epilogue)
    result = finish_matrix(c.kind, out, epilogue, False)
    return Product(driver_call(c, left, b.right, result, note), c)


def _shape(out: View, rows: Cut, k: Cut) -> Contraction:
    *batch, _, n = out.shape
    kind, batches = float64 if out.dtype is float64 else float32, prod(batch)
    columns = cut_columns(kind, 8 * rows.pieces * batches, n)
    return Whole(kind, batches, rows, columns, k, out.strides[-2] == 1 != out.strides[-1])


def pack(out: View, b: View, temp: Temp, before: list[Call]) -> Packed:
    """All of b of a product with this result, for any rows, ahead of the chain."""
    b, c = _packable(out, b, temp, before)
    code, _ = packer(before, c, b, 0, temp)
    right = whole_panels(before, c, code, lambda panel: packer(before, c, b, panel, temp)[1], temp)
    apart = right.words[-1] if right.words[DIMS] else 0
    return Packed(right, Tamed(right.words[POINTER], apart, out.shape[-1], right.panel, c.k.total))


def pack_inside(out: View, b: View, offset: int, temp: Temp,
                before: list[Call]) -> tuple[Packed, Step, int]:
    """The same, batch by batch into scratch memory: what is packed, the step, and how many bytes."""
    b, c = _packable(out, b, temp, before)
    columns, panel = columns_of(c.kind), (c.k.total + 4) * PANEL_BYTES
    panels = ceil_div(c.n.total, columns)
    code, words = packer(before, c, b, panel, temp)
    head = (code, W_HEADER, 0, panels, columns, c.n.total, c.k.total, panel)
    call = Call(pack_whole(), (*head, *words), c.batches * panels, 1)
    step = Step(call, BY_BATCH, panels, (Patch(W_OUT, BATCH_AT, offset),), panels * panel)
    view = Matrix(Ref(PANEL_SLOT, offset), panel // columns, PANEL_BYTES, 1, 0).words()
    tamed = Tamed(offset, 0, out.shape[-1], panel, c.k.total, 1)
    return Packed(Right(pack_view(), view, panel, PANEL_BYTES), tamed), step, panels * panel


def _packable(out: View, b: View, temp: Temp, before: list[Call]) -> tuple[View, Contraction]:
    if not (adjacent(b, -1) or adjacent(b, -2)):
        b = packed(before, b.dtype, b, temp)
    return b, _shape(out, Cut(1, 1, 1), Cut(b.shape[-2], 1, b.shape[-2]))


def tile_step(p: Product, ends_columns: bool, ends_k: bool) -> Step:
    """A step for each tile; the limit ends its columns or its k."""
    patches = _pointers(p.call)
    if ends_columns:
        patches += [Patch(N, LIMIT), _rounded(N_TILES, p.shape.n.tile)]
    if ends_k:
        patches += [Patch(K_IMAGE, LIMIT), _rounded(K_BLOCKS, p.shape.k.tile),
                    _rounded(K_TILES, p.shape.k.tile)]
    return Step(p.call, BY_TILES, p.shape.m.pieces, tuple(patches))


def _rounded(word: int, tile: int) -> Patch:
    """ceil(limit / tile)."""
    return Patch(word, LIMIT, tile - 1, 1, tile)


def row_step(call: Call, rows: int, length: int | None) -> Step:
    """A loop nest whose units are rows, or several to a row; word `length` is ended by the limit."""
    ends = [Patch(length, LIMIT)] if length is not None else []
    return Step(call, BY_ROWS, call.units // rows, (*_pointers(call), *ends))


def _pointers(call: Call) -> list[Patch]:
    """Words that point into scratch memory hold an offset there."""
    return [Patch(n, BASES[w.slot], w.offset)
            for n, w in enumerate(call.words) if isinstance(w, Ref) and w.slot < 0]


TILE_SLOT, BLOCK_SLOT, PANEL_SLOT = -2, -3, -4      # scratch for rows of a tile, of a block, for panels
BASES = {TILE_SLOT: TILE_AT, BLOCK_SLOT: BLOCK_AT, PANEL_SLOT: SCRATCH_AT}


def column_steps(out: View, a: View, b: Packed, granule: int, block: int, temp: Temp,
                 before: list[Call]) -> list[Step]:
    """out = a @ b where k counts the chain's rows: a step for the first block, one that adds."""
    rows, k = Cut(out.shape[-2], ceil_div(out.shape[-2], granule), granule), Cut(block, 1, block)
    c = _shape(out, rows, k)
    left = packed_rows(before, c, a, temp)          # from rows that are far apart
    make = lambda epilogue, when: _column_step(_driven(c, out, a, left, b, epilogue), a, when)
    if block >= a.shape[-1]:
        return [make(None, ALWAYS)]
    add = Body((out.dtype, out.dtype), (Instr("add", out.dtype, (0, 1)),), (2,))
    return [make(None, FIRST), make(Epilogue(add, (out,), (out,)), LATER)]


def _column_step(p: Product, a: View, when: int) -> Step:
    call, at_b = p.call, p.call.words[4]
    at_a = HEADER + R_HEADER + POINTER
    pointer = call.words[at_a]
    if isinstance(pointer, Ref) and pointer.slot < 0:
        rows = Patch(at_a, STARTED_AT, pointer.offset)
    else:
        rows = Patch(at_a, START, pointer, a.strides[-1] * a.itemsize)
    start = call.words[at_b + POINTER]
    if isinstance(start, Ref) and start.slot < 0:
        panels = Patch(at_b + POINTER, PANEL_AT, start.offset)
    else:
        panels = Patch(at_b + POINTER, START, start, PANEL_BYTES)
    counts = Patch(K_IMAGE, COUNT), Patch(K_BLOCKS, COUNT, 1, 0), Patch(K_TILES, COUNT, 1, 0)
    return Step(call, BY_COLUMNS, p.shape.m.pieces, (rows, panels, *counts), when)
