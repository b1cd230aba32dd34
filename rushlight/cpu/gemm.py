"""Matrix products as contractions.

    out[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n]

Rows of a are read where they lie; columns of b are packed into panels, unless they lie well as is.
Where it is cheaper the two change places and tiles are transposed on the way out.
"""
from __future__ import annotations

from math import prod

from ..compiler.kernel import LANES, Call, Code, Epilogue, View
from ..compiler.sizes import is_about, larger, smaller, times
from ..dtypes import bfloat16, dtype, float32, float64, int32, int64
from .contract import (BLOCK_K, BLOCK_ROWS, PANELS, PLENTY, Contraction, Cut, Left, Right, Temp, balanced,
                       ceil_div, columns_of, contract, cut_columns, cut_rows)
from .features import host
from .finish import Finisher, Grid, finisher
from .micro import PANEL_BYTES, ROWS
from .pack import (O_HEADER, R_HEADER, Matrix, copy_call, pack_copy, pack_odd, pack_pairs,
                   pack_transpose, pack_view, read_matrix, read_packed)
from .vector import COLUMNS, LEAST_BLOCKS, MOST, lower_vector

WIDE = 2 * PANELS       # panels of a tile of dot products: their rows may be packed for each tile
FEW_ROWS = 3 * ROWS     # so few rows read b in place
WIDE_ENOUGH = 2         # panels of a tile for which it pays to pack rows whose k are far apart:
FAR = 2048              # so many bytes,
LARGE = 2 ** 20         # in a matrix of so many
MATRIX = 4096           # elements that are dearer to pack than to read for each of a few rows
SWAP_GAIN = 1.08        # what b's columns as rows must save to be worth transposing tiles


def lower_matmul(out: View, a: View, b: View, temp: Temp,
                 epilogue: Epilogue | None = None) -> list[Call]:
    """out[..., m, n] = sum over k of a[..., m, k] * b[..., k, n], then the epilogue.

    Batch dimensions are equal in number and size (stride 0 broadcasts). With an epilogue only its
    outputs are written. float16 and bfloat16 are summed in float32 and rounded once.
    Integers wrap.
    """
    *batch, m, n = out.shape
    k = a.shape[-1]
    if prod(out.shape) == 0:
        return []
    if is_vector(a, b) and n < m:
        return lower_matmul(turned(out), turned(b), turned(a), temp, turned_epilogue(epilogue))
    c, before = planned(a, b), []
    note = f"matmul {a.dtype.name} {times((*batch, m, k, n))} {_letter(a)}{_letter(b)}"
    if is_vector(a, b):
        return _vector(before, a, b, finish_matrix(c.kind, out, epilogue), temp, note)
    result = finish_matrix(c.kind, out, epilogue, c.dots)
    if c.turned:
        a, b = turned(b), turned(a)
    left, right = read_left(before, c, a, temp), _right(before, c, b, temp)
    return before + contract(c, left, right, result, temp, note)


def planned(a: View, b: View) -> Contraction:
    """How a product is cut; `turned` where it is cheaper with b's columns as rows."""
    plan = _cut(a, b.shape[-1])
    if not _pays_to_swap(a, b):
        return plan
    swapped = _cut(turned(b), a.shape[-2])
    return swapped._replace(turned=True, together=plan.part_blocks)     # the order of sums stays


def _cut(a: View, n: int) -> Contraction:
    *batch, m, k = a.shape
    kind, dots = accumulator(a.dtype), has_dots(a.dtype)
    rows = cut_rows(kind, prod(batch), m, n)
    strips = prod(batch) * rows.pieces
    columns = cut_columns(kind, strips, n, WIDE if dots else PANELS)
    columns = columns if dots else _evened(columns, strips, columns_of(kind))
    depth = balanced(ceil_div(k, 2) if dots else k, BLOCK_K, 16)
    return Contraction(kind, prod(batch), rows, columns, depth, dots=dots)


def _evened(columns: Cut, strips: int, panel: int) -> Cut:
    """Narrower tiles for a small odd number: one thread's last keeps the others waiting."""
    tiles = strips * columns.blocks
    if columns.tile == panel or tiles > 2 * PLENTY or tiles % 2 == 0:
        return columns
    return balanced(columns.total, columns.tile - panel, panel)


def _vector(before: list[Call], a: View, b: View, result: Finisher, temp: Temp,
            note: str) -> list[Call]:
    """A few rows: the matrix is read where it lies."""
    (k, n), kind = b.shape[-2:], accumulator(a.dtype)
    if a.dtype is not kind or not adjacent(a, -1):
        a = packed(before, kind, a, temp)
    if not (adjacent(b, -1) or adjacent(b, -2)):
        b = packed(before, b.dtype, b, temp)
    m = a.shape[-2]
    c = Contraction(kind, prod(b.shape[:-2]), Cut(m, 1, m), balanced(n, COLUMNS, LANES),
                    balanced(k, BLOCK_K, 16))
    c = c._replace(together=larger(LEAST_BLOCKS, c.part_blocks))
    return before + lower_vector(c, a, b, result, temp, note)


def is_vector(a: View, b: View) -> bool:
    """Whether the product has so few rows or columns that its sums are added in another order."""
    (m, k), n = a.shape[-2:], b.shape[-1]
    few = smaller(m, n)
    if k == 0 or few > MOST:
        return False
    return few == 1 or not has_dots(a.dtype) and larger(m, n) * k >= MATRIX


def accumulator(kind: dtype) -> dtype:
    """In which dtype sums of this one are made; integers wrap as in their own."""
    if kind.is_floating_point:
        return float64 if kind is float64 else float32
    return int64 if kind.itemsize == 8 else int32


def has_dots(kind: dtype) -> bool:
    """Whether products of this dtype are the CPU's dot products of pairs."""
    return kind is bfloat16 and host().has_bf16_dot


def _pays_to_swap(a: View, b: View) -> bool:
    (m, k), n = a.shape[-2:], b.shape[-1]
    if has_dots(a.dtype):
        k = ceil_div(k, 2)
        straight = _pair_cycles(m, n, k, adjacent(b, -1), _lies_in_pairs(a))
        crossed = _pair_cycles(n, m, k, adjacent(a, -2), _lies_in_pairs(turned(b)))
    else:
        straight, crossed = _cycles(m, n, k, adjacent(b, -1)), _cycles(n, m, k, adjacent(a, -2))
    return n > 1 and not is_about(straight, SWAP_GAIN * crossed)


def _cycles(m: int, n: int, k: int, adjacent: bool) -> int:
    """A guess of the time with m as rows: vectors multiplied, and packed once for each row tile."""
    vectors, tiles = ceil_div(n, LANES) * k, ceil_div(m, BLOCK_ROWS)
    return vectors * (m + tiles * (0 if adjacent and is_about(m, FEW_ROWS) else 4 if adjacent else 7))


def _pair_cycles(m: int, n: int, k: int, adjacent: bool, in_place: bool) -> int:
    """The same for pairs: rows that do not lie in pairs are packed for each column tile."""
    columns = ceil_div(n, LANES) * k * (m + ceil_div(m, BLOCK_ROWS) * (4 if adjacent else 7))
    return columns + (0 if in_place else 4 * ceil_div(m, LANES) * k * ceil_div(n, WIDE * 2 * LANES))


def turned(x: View) -> View:
    """The last two dimensions exchanged."""
    (*batch, m, n), (*strides, row, step) = x.shape, x.strides
    return x._replace(shape=(*batch, n, m), strides=(*strides, step, row))


def turned_epilogue(epilogue: Epilogue | None) -> Epilogue | None:
    return epilogue and Epilogue(epilogue.body,
                                 *(tuple(map(turned, views)) for views in epilogue[1:]))


def _letter(x: View) -> str:
    return "t" if x.strides[-2] == 1 and x.strides[-1] != 1 and x.shape[-1] > 1 else "n"


def read_left(before: list[Call], c: Contraction, a: View, temp: Temp) -> Left:
    if not c.dots and a.dtype is not c.kind:
        a = converted(before, c.kind, a, temp)
    if c.dots and not _lies_in_pairs(a):
        return packed_rows(before, c, a, temp)
    if not c.dots and _is_far_apart(a) and c.n.tile >= WIDE_ENOUGH * columns_of(c.kind):
        return packed_rows(before, c, a, temp)
    row, step = (s * a.itemsize for s in a.strides[-2:])
    words = Matrix(a.ref, row, 4 if c.dots else step, 1, 0, batch_table(a)).words()
    return Left(read_matrix(), words)


def _is_far_apart(a: View) -> bool:
    """Whether k's neighbours are on other pages, in a matrix that is too large to be at hand."""
    m, k = a.shape[-2:]
    step = a.strides[-1] * a.itemsize
    return adjacent(a, -2) and step >= FAR and m * k * a.itemsize >= LARGE

def _lies_in_pairs(a: View) -> bool:
    """Whether neighbours of k are neighbours in memory, and none is alone."""
    return a.strides[-1] == 1 and a.shape[-1] % 2 == 0


def packed_rows(before: list[Call], c: Contraction, a: View, temp: Temp) -> Left:
    """Rows of a, packed as columns of b are."""
    panel = c.k.tile * PANEL_BYTES
    code, words = packer(before, c, turned(a), panel, temp)
    head = (code, R_HEADER, panel, columns_of(c.kind), c.kind.itemsize)
    return Left(read_packed(), (*head, *words), _packed_bytes(c, c.m))


def _right(before: list[Call], c: Contraction, b: View, temp: Temp) -> Right:
    panel = c.k.tile * PANEL_BYTES
    if not c.dots and b.dtype is not c.kind:
        b = converted(before, c.kind, b, temp)
    if not c.dots and is_about(c.m.total, FEW_ROWS) and adjacent(b, -1):
        step = b.strides[-2] * b.itemsize
        words = Matrix(b.ref, b.itemsize, step, 1, 0, batch_table(b)).words(panel)
        return Right(pack_view(), words, PANEL_BYTES, step)
    return Right(*packer(before, c, b, panel, temp), panel, PANEL_BYTES, _packed_bytes(c, c.n))


def _packed_bytes(c: Contraction, cut: Cut) -> int:
    """Panels of a block, and what packers may overrun."""
    return (ceil_div(cut.tile, columns_of(c.kind)) * c.k.tile + 4) * PANEL_BYTES


def packer(before: list[Call], c: Contraction, b: View, panel: int,
            temp: Temp) -> tuple[Code, tuple]:
    """What packs the columns of b, and its words."""
    if not (adjacent(b, -1) or adjacent(b, -2)):
        b = packed(before, b.dtype, b, temp)
    (step, column), table = (s * b.itemsize for s in b.strides[-2:]), batch_table(b)
    if not adjacent(b, -1):
        code = pack_transpose(c.kind.llvm)
        words = Matrix(b.ref, column, step << c.dots, larger(1, c.k.total), 0, table).words(panel)
    else:
        code = pack_pairs() if c.dots else pack_copy(c.kind.llvm)
        words = Matrix(b.ref, b.itemsize, step << c.dots, 1, 0, table).words(panel)
    if c.dots and b.shape[-2] % 2:
        return pack_odd(), (code, O_HEADER, c.k.total - 1, panel, *words)
    return code, words


def adjacent(x: View, dim: int) -> bool:
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


def converted(before: list[Call], kind: dtype, x: View, temp: Temp) -> View:
    """x as `kind`, packed with its columns adjacent if they are so in x, else its rows."""
    if adjacent(x, -2) and not adjacent(x, -1):
        return turned(packed(before, kind, turned(x), temp))
    return packed(before, kind, x, temp)


def finish_matrix(kind: dtype, out: View, epilogue: Epilogue | None,
                  dots: bool = False) -> Finisher:
    *batch, m, n = out.shape
    views = [out] if epilogue is None else [*epilogue.inputs, *epilogue.outputs]
    grids = [(v, Grid(v.strides[:-2], v.strides[-2], (), v.strides[-1])) for v in views]
    body, inputs = (None, 0) if epilogue is None else (epilogue.body, len(epilogue.inputs))
    return finisher(Grid(tuple(batch), m, (), n), kind, body, grids, inputs, dots)
