"""Kernel IR: what the scheduler hands to a back end. Nothing here knows shapes at compile time.

    Code   := symbol, LLVM module text defining `void @symbol(ptr args, i64 lo, i64 hi)`
    Call   := Code, words, units, grain     one entry of a plan: units [0, units) are claimed in grains
    word   := int | Ref | Scalar | Code     every word is 8 bytes in the args block; a Code is its address
    View   := Ref, dtype, shape, strides    an operand of a kernel, strides in elements
    Body   := inputs, instrs, outputs       a straight-line scalar expression over 16-lane values
    Epilogue := Body, Views in, Views out   applied to a contraction's accumulator before it is stored

A kernel's code depends on structure only; sizes, strides and Python scalars come in as words.
"""
from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ..dtypes import dtype

LANES = 16      # logical lanes of every vector value; each CPU maps them to its own registers
TILE = 4        # rows that a tiled map walks together, LANES if it hardly computes
NARROW = 8      # so many columns are few: their fold walks rows side by side
OWN_ROW = 4096  # elements of a row that a kernel keeps on its stack
TILE_BLOCK = 128        # rows and columns of a unit of a tiled map


class Code(NamedTuple):
    symbol: str
    ir: str


class Ref(NamedTuple):
    """The address of a plan slot plus a byte offset; known when the plan is bound."""
    slot: int
    offset: int = 0


class Own(NamedTuple):
    """A row that a kernel keeps on its stack."""
    number: int
    offset = 0

    @property
    def slot(self):
        return "own", self.number


class Scalar(NamedTuple):
    """A Python scalar recorded in the graph; its word holds the bits of `dtype` in the low bytes."""
    index: int
    dtype: dtype


class View(NamedTuple):
    ref: Ref
    dtype: dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize


class Call(NamedTuple):
    code: Code
    words: tuple
    units: int
    grain: int
    note: str = ""          # what RUSHLIGHT_DEBUG=2 prints: the kernel in words
    flops: int = 0
    bytes: int = 0
    work: int = 0           # elements that a loop nest walks
    writes: tuple = ()      # which words are addresses of what it writes; none if it may fail, or is no nest


class Instr(NamedTuple):
    """`op` of cpu/scalar.py, the dtype of the result, arguments: indices of earlier values or a literal.

    Values are numbered: first the body's inputs, then one per instruction.
    """
    op: str
    dtype: dtype
    args: tuple
    literal: object = None


class Body(NamedTuple):
    inputs: tuple[dtype, ...]
    instrs: tuple[Instr, ...]
    outputs: tuple[int, ...]


class Epilogue(NamedTuple):
    """body.inputs[0] is the accumulator; inputs[1:] come from `inputs`; body.outputs go to `outputs`.

    Every View has the shape of the contraction's result; broadcasting is stride 0.
    """
    body: Body
    inputs: tuple[View, ...]
    outputs: tuple[View, ...]


# -- loop nests ------------------------------------------------------------------------------------
# A Nest walks `kept` axes (outermost first) and then `folded` axes that reductions fold away. One axis
# is walked in vectors of 16 lanes: the last kept one (style "map", and "columns", where each lane folds
# its own column), or the last folded one (style "rows", where the lanes are folded at the end). All
# other axes are plain loops. How each access moves along each axis is part of the structure only as a
# way: "0" stays, "1" moves by one element, "2" by two, "r" by one backwards,
# "s" by a stride that is a word. A tiled map takes `tile`
# neighbours on the last but one axis together, a tiled "columns" nest so many lines of its last folded axis:
# loads that are contiguous there ("1") are turned in registers.

class Load(NamedTuple):
    """One value per element; a gather adds index[k] * stride[k] for each of its index loads."""
    dtype: dtype
    ways: tuple[str, ...]
    indices: tuple[int, ...] = ()       # which loads hold the indices (they are loads of int64)
    wrap: bool = False                  # negative indices count from the end
    own: int = -1                       # in a row nest: which of the kernel's own rows, not memory of the plan


class Store(NamedTuple):
    dtype: dtype
    ways: tuple[str, ...]
    value: int                          # which of the body's outputs
    own: int = -1


class Fold(NamedTuple):
    """A reduction of one of the body's outputs; `op` is the reducer's name."""
    op: str
    dtype: dtype                        # in which it accumulates
    out: dtype                          # in which it is stored
    value: int
    ways: tuple[str, ...]               # of the stored result, along the kept axes


class Nest(NamedTuple):
    style: str                          # map, columns, rows
    kept: int
    folded: int
    loads: tuple[Load, ...]
    scalars: tuple[dtype, ...]
    body: Body                          # inputs: loads that are not indices, scalars, then the flat index
    stores: tuple[Store, ...]
    folds: tuple[Fold, ...]
    flat_index: bool = False
    nested: bool = False                # columns: a loop for each folded axis, no parts
    spread: bool = False                # columns: line k of the last axis in lane k % 16, as a row's elements
    tile: int = 0                       # rows that are walked together, 0: one by one


class NestWords:
    """Where each run-time number of a nest stands in its args block."""

    def __init__(self, nest: Nest | RowNest):
        self.count = 0
        axes = nest.kept + nest.folded
        self.sizes = self._take(axes)
        self.block, self.blocks = self._take(2)         # of the vector axis: elements in a unit, units
        self.fold_block, self.parts = self._take(2)     # of the (outer) folded axes: steps in a part, parts
        self.error = self._take(1)[0]
        self.loads = [self._access(a.ways, len(a.indices)) for a in nest.loads]
        self.stores = [self._access(a.ways, 0) for a in nest.stores]
        self.folds = [self._access(a.ways, 1) for a in nest.folds]      # the extra stride: from part to part
        self.puts = [self._access(a.ways, 0) for a in getattr(nest, "puts", ())]
        self.scalars = self._take(len(nest.scalars))

    def _take(self, n):
        first, self.count = self.count, self.count + n
        return list(range(first, first + n))

    def _access(self, ways, indices):
        """(pointer, strides of the "s" axes by axis, per index: stride and size and check id)."""
        pointer = self._take(1)[0]
        strides = {d: self._take(1)[0] for d, way in enumerate(ways) if way == "s"}
        return pointer, strides, [self._take(3) for _ in range(indices)]


@cache
def written(nest: Nest | RowNest) -> tuple[int, ...]:
    """The words of a nest that are addresses of its results; none if an index of it may be out of range."""
    if any(load.indices for load in nest.loads):
        return ()
    w = NestWords(nest)
    return tuple(pointer for pointer, *_ in (*w.stores, *w.folds, *w.puts))


# -- row nests --------------------------------------------------------------------------------------
# A row nest keeps one row of the folded axis in cache and passes over it several times: stage by stage
# its folds feed numbers of the row (a mean, a maximum) into the next stage's body. Softmax, layer norm
# and their gradients are one kernel this way. A row value is numbered in the order in which stages make
# them: first a stage's folds, then what its `after` body computes from row values, once per row.
#
# Sums across rows (`folds`) ride along: the first `over` kept axes are added up. Then a unit is a part of such a
# sum, for one place on the other kept axes: it passes over its rows in order, and each of their elements is added
# to where the part goes.

class Stage(NamedTuple):
    body: Body                          # inputs: `loads`, `scalars`, then `rows` (row values, in every lane)
    loads: tuple[int, ...]
    scalars: tuple[int, ...]
    rows: tuple[int, ...]
    folds: tuple[Fold, ...]             # `value` is an output of body
    stores: tuple[tuple[int, int], ...]     # (store, output of body)
    after: Body                         # inputs likewise, one number each
    after_loads: tuple[int, ...]
    after_scalars: tuple[int, ...]
    after_rows: tuple[int, ...]
    rides: tuple[tuple[int, int], ...] = ()     # (sum across rows, output of body)


class RowNest(NamedTuple):
    kept: int                           # axes before the folded ones
    loads: tuple[Load, ...]
    scalars: tuple[dtype, ...]
    stages: tuple[Stage, ...]
    stores: tuple[Store, ...]           # `value` is unused: stages say what they store
    puts: tuple[Store, ...]             # one number per row; `value` is a row value
    folded: int = 1                     # 2: a row is several lines of whole vectors
    over: int = 0                       # kept axes that sums across rows add up
    folds: tuple[Fold, ...] = ()        # these sums
