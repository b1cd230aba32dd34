"""Matrix products as contractions.

    out[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n]

Rows of a are read where they lie; columns of b are packed into panels, unless they lie well as is.
Where it is cheaper the two change places and tiles are transposed on the way out.
"""
from __future__ import annotations

from math import prod

from ..compiler.kernel import LANES, Call, Epilogue, View
from ..compiler.sizes import larger, times
from ..dtypes import dtype, float32, float64
from .contract import (BLOCK_K, BLOCK_ROWS, Contraction, Left, Right, Temp, balanced, ceil_div,
                       columns_of, contract, cut_columns, cut_rows)
from .finish import Finisher, Grid, finisher
from .micro import PANEL_BYTES, ROWS
from .pack import Matrix, copy_call, pack_copy, pack_transpose, pack_view, read_matrix

FEW_ROWS = 3 * ROWS     # so few rows read b in place
SWAP_GAIN = 1.08        # what b's columns as rows must save to be worth transposing tiles


def lower_matmul(out: View, a: View, b: View, temp: Temp,
                 epilogue: Epilogue | None = None) -> list[Call]:
    """out[..., m, n] = sum over k of a[..., m, k] * b[..., k, n], then the epilogue.

    Batch dimensions are equal in number and size (stride 0 broadcasts). With an epilogue only its
    outputs are written. float16 and bfloat16 are summed in float32 and rounded once.
    """
    *batch, m, n = out.shape
    k = a.shape[-1]
    if prod(out.shape) == 0:
        return []
    if n == 1 < m:
        return lower_matmul(turned(out), turned(b), turned(a), temp, turned_epilogue(epilogue))
    kind = float64 if a.dtype is float64 else float32
    note = f"matmul {a.dtype.name} {times((*batch, m, k, n))} {_letter(a)}{_letter(b)}"
    result, before = _finish_matrix(kind, out, epilogue), []
    straight, crossed = _cycles(m, n, k, _adjacent(b, -1)), _cycles(n, m, k, _adjacent(a, -2))
    swap = n > 1 and SWAP_GAIN * crossed < straight
    if swap:
        a, b, m, n = turned(b), turned(a), n, m
    rows = cut_rows(kind, prod(batch), m, n)
    columns = cut_columns(kind, prod(batch) * rows.pieces, n)
    c = Contraction(kind, prod(batch), rows, columns, balanced(k, BLOCK_K, 16), swap)
    left, right = _left(before, kind, a, temp), _right(before, c, b, temp)
    return before + contract(c, left, right, result, temp, note)


def _cycles(m: int, n: int, k: int, adjacent: bool) -> int:
    """A guess of the time with m as rows: vectors multiplied, and packed once for each row tile."""
    vectors, tiles = ceil_div(n, LANES) * k, ceil_div(m, BLOCK_ROWS)
    return vectors * (m + tiles * (0 if adjacent and m <= FEW_ROWS else 4 if adjacent else 7))


def turned(x: View) -> View:
    """The last two dimensions exchanged."""
    (*batch, m, n), (*strides, row, step) = x.shape, x.strides
    return x._replace(shape=(*batch, n, m), strides=(*strides, step, row))


def turned_epilogue(epilogue: Epilogue | None) -> Epilogue | None:
    return epilogue and Epilogue(epilogue.body,
                                 *(tuple(map(turned, views)) for views in epilogue[1:]))


def _letter(x: View) -> str:
    return "t" if x.strides[-2] == 1 and x.strides[-1] != 1 and x.shape[-1] > 1 else "n"


def _left(before: list[Call], kind: dtype, a: View, temp: Temp) -> Left:
    if a.dtype is not kind:
        a = packed(before, kind, a, temp)
    row, step = (s * a.itemsize for s in a.strides[-2:])
    return Left(read_matrix(), Matrix(a.ref, row, step, 1, 0, batch_table(a)).words())


def _right(before: list[Call], c: Contraction, b: View, temp: Temp) -> Right:
    if b.dtype is not c.kind or not (_adjacent(b, -1) or _adjacent(b, -2)):
        b = packed(before, c.kind, b, temp)
    step, column = (s * b.itemsize for s in b.strides[-2:])
    panel, table = c.k.tile * PANEL_BYTES, batch_table(b)
    size = ceil_div(c.n.tile, columns_of(c.kind)) * panel + 4 * PANEL_BYTES
    if not _adjacent(b, -1):
        words = Matrix(b.ref, column, step, larger(1, b.shape[-2]), 0, table).words(panel)
        return Right(pack_transpose(c.kind.llvm), words, panel, PANEL_BYTES, size)
    words = Matrix(b.ref, b.itemsize, step, 1, 0, table).words(panel)
    if c.m.total <= FEW_ROWS:
        return Right(pack_view(), words, PANEL_BYTES, step)
    return Right(pack_copy(c.kind.llvm), words, panel, PANEL_BYTES, size)


def _adjacent(x: View, dim: int) -> bool:
    return x.strides[dim] == 1 or x.shape[dim] == 1


def batch_table(x: View) -> tuple[tuple[int, int], ...]:
    return tuple((n, s * x.itemsize) for n, s in zip(x.shape[:-2], x.strides[:-2], strict=True))


def packed(before: list[Call], kind: dtype, x: View, temp: Temp) -> View:
    """x as `kind` in scratch memory, row-major; the call that copies it joins `before`."""
    strides = tuple(prod(x.shape[d + 1:]) for d in range(len(x.shape)))
    out = View(temp(larger(1, prod(x.shape)) * kind.itemsize), kind, x.shape, strides)
    if prod(x.shape):
        before.append(copy_call(out.ref, kind, x))
    return out


def _finish_matrix(kind: dtype, out: View, epilogue: Epilogue | None) -> Finisher:
    *batch, m, n = out.shape
    views = [out] if epilogue is None else [*epilogue.inputs, *epilogue.outputs]
    grids = [(v, Grid(v.strides[:-2], v.strides[-2], (), v.strides[-1])) for v in views]
    body, inputs = (None, 0) if epilogue is None else (epilogue.body, len(epilogue.inputs))
    return finisher(Grid(tuple(batch), m, (), n), kind, body, grids, inputs)
