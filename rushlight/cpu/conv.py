"""Convolutions in 1, 2 and 3 dimensions as contractions; patches are packed as they are needed.

Forward: out[o, (n, p)] = sum over (c, taps) of w[o, (c, taps)] * patch of x, a tile of positions at a time.
Input gradient: for each phase of the stride, the image positions that meet the same taps, the same
    contraction with patches of g, w[(o, taps), c] copied to rows of c, and those taps walked backwards.
Weight gradient: dw[(c, taps), o] = sum over (n, p) of patch of x * g[o, (n, p)], g transposed block by
    block; where there are few weights, (n, p) is cut into parts of fixed size added in order.
"""
from __future__ import annotations

from itertools import product
from math import gcd, prod
from typing import NamedTuple

from ..compiler.kernel import Call, Epilogue, Ref, View
from ..dtypes import dtype, float32, float64
from .gemm import (PANELS, Contraction, Finisher, Grid, Operand, Temp, Tiling, ceil_div, contract,
                   finisher, packed, tiling)
from .micro import PANEL_BYTES, VECTOR_BYTES
from .pack import Along, Matrix, Packer, Patches, merged, pack_patches, pack_transpose, pack_view

GRAD_ROWS = 128         # weight gradient: both sides of a tile are packed, in half of L2
LITTLE = 2048           # weights; with fewer, tiles are wide to be worth their overhead
MOST_PANELS = 8


def lower_conv(out: View, x: View, w: View, stride, padding, dilation, groups: int, temp: Temp,
               epilogue: Epilogue | None = None) -> list[Call]:
    """out [n, o, *p] = convolution of x [n, c, *size] with w [o, c / groups, *taps], then the epilogue."""
    if prod(out.shape) == 0:
        return []
    note = _note("conv", x, w, stride, padding)
    kind, before, (x, w) = _prepare(temp, x, w)
    along = [Along(s * x.itemsize, p, n, move, -pad, step, k) for s, p, n, move, pad, step, k in zip(
        x.strides[2:], out.shape[2:], x.shape[2:], stride, padding, dilation, w.shape[2:], strict=True)]
    if not _is_packed(w, 1):
        w = packed(before, kind, w, temp)
    weights = _rows(w.ref, groups, w.shape[0] // groups, prod(w.shape[1:]), w.strides[0] * w.itemsize, kind)
    return before + _over_positions(out, x, weights, along, groups, temp, epilogue, note)


def lower_conv_input_grad(out: View, g: View, w: View, stride, padding, dilation, groups: int, temp: Temp,
                          epilogue: Epilogue | None = None) -> list[Call]:
    """out [n, c, *size] = gradient of a convolution in its input, from g [n, o, *p]; transposed convolution."""
    if prod(out.shape) == 0:
        return []
    note = _note("conv input grad", g, w, stride, padding)
    kind, before, (g, w) = _prepare(temp, g, w)
    phases = [_phases(*dim) for dim in zip(out.shape[2:], g.shape[2:], g.strides[2:], w.shape[2:], stride,
                                           padding, dilation, strict=True)]
    calls = before
    for phase in product(*phases):
        calls += _input_grad_phase(out, g, w, phase, groups, temp, epilogue, note)
    return calls


class Phase(NamedTuple):
    """Image indices first, first + every, ... of one dimension, and the taps that they meet."""
    first: int
    every: int
    tap: int
    tap_step: int
    along: Along


def _phases(size: int, positions: int, g_stride: int, kernel: int, stride: int, pad: int, step: int):
    every_tap = stride // gcd(stride, step)
    for first in range(min(stride, size)):
        taps = [k for k in range(kernel) if (first + pad - k * step) % stride == 0]
        tap = taps[0] if taps else 0
        yield Phase(first, stride, tap, every_tap, Along(
            g_stride, ceil_div(size - first, stride), positions, 1, (first + pad - tap * step) // stride,
            -(every_tap * step // stride), len(taps)))


def _input_grad_phase(out, g, w, phase, groups, temp, epilogue, note) -> list[Call]:
    out, epilogue = _every(out, phase), epilogue and Epilogue(
        epilogue.body, *(tuple(_every(v, phase) for v in views) for views in epilogue[1:]))
    along = [p.along._replace(stride=p.along.stride * g.itemsize) for p in phase]
    before: list[Call] = []
    rows, inner = w.shape[1], w.shape[0] // groups
    taps = _sliced(w, [p.tap for p in phase], [p.tap_step for p in phase], [p.along.taps for p in phase])
    by_channel = taps._replace(shape=(groups, rows, inner, *taps.shape[2:]),
                               strides=(inner * w.strides[0], w.strides[1], w.strides[0], *taps.strides[2:]))
    copy = packed(before, w.dtype, by_channel, temp)
    depth = prod(by_channel.shape[2:])
    weights = _rows(copy.ref, groups, rows, depth, depth * w.itemsize, w.dtype)
    return before + _over_positions(out, g, weights, along, groups, temp, epilogue, note)


def _sliced(x: View, first, every, count) -> View:
    """The last dimensions of x from `first` on, each `every`th."""
    inner = x.strides[-len(first):]
    offset = sum(f * s for f, s in zip(first, inner, strict=True)) * x.itemsize
    return x._replace(ref=Ref(x.ref.slot, x.ref.offset + offset), shape=(*x.shape[:2], *count),
                      strides=(*x.strides[:2], *(s * e for s, e in zip(inner, every, strict=True))))


def _every(x: View, phase) -> View:
    return _sliced(x, [p.first for p in phase], [p.every for p in phase], [p.along.out for p in phase])


def lower_conv_weight_grad(out: View, g: View, x: View, stride, padding, dilation, groups: int,
                           temp: Temp) -> list[Call]:
    """out [o, c / groups, *taps] = gradient of a convolution in its weight, from g [n, o, *p]."""
    if prod(out.shape) == 0:
        return []
    note = _note("conv weight grad", x, out, stride, padding)
    kind, before, (g, x) = _prepare(temp, g, x)
    along = [Along(s * x.itemsize, p, n, move, -pad, step, k) for s, p, n, move, pad, step, k in zip(
        x.strides[2:], g.shape[2:], x.shape[2:], stride, padding, dilation, out.shape[2:], strict=True)]
    m, n, k = prod(out.shape[1:]), out.shape[0] // groups, g.shape[0] * prod(g.shape[2:])
    t = tiling(groups, m, n, k, PANEL_BYTES // kind.itemsize, GRAD_ROWS)
    if not _is_packed(g, 2):
        g = packed(before, kind, g, temp)
    result = _finish_weights(kind, out, groups)
    return before + contract(Contraction(kind, groups, m, n, k, t), _patch_rows(x, along, groups, t),
                             _positions(g, groups, t), result, temp, note)


def _finish_weights(kind: dtype, out: View, groups: int) -> Finisher:
    """Tiles are [(c, taps), o]; out must be packed in (c, taps)."""
    outputs, depth = out.shape[0] // groups, prod(out.shape[1:])
    if not _is_packed(out, 1):
        raise NotImplementedError("lower_conv_weight_grad: an output that is not packed")
    grid = Grid((outputs * out.strides[0],), 1, (), out.strides[0])
    return finisher(Grid((groups,), depth, (), outputs), kind, None, [(out, grid)], 0)


# --- operands ----------------------------------------------------------------------------------------

def _prepare(temp: Temp, *operands: View) -> tuple[dtype, list[Call], list[View]]:
    """The dtype to compute in, and the operands in it."""
    kind = float64 if operands[0].dtype is float64 else float32
    before: list[Call] = []
    return kind, before, [x if x.dtype is kind else packed(before, kind, x, temp) for x in operands]


def _is_packed(x: View, leading: int) -> bool:
    """Whether the dimensions after `leading` are row-major without gaps."""
    step = 1
    for n, s in zip(reversed(x.shape[leading:]), reversed(x.strides[leading:]), strict=True):
        if n != 1 and s != step:
            return False
        step *= n
    return True


def _rows(ref: Ref, groups: int, rows: int, depth: int, row: int, kind: dtype) -> Operand:
    words = Matrix(ref, row, kind.itemsize, 1, 0, ((groups, rows * row),)).words()
    return Operand(Packer(pack_view(), words), row, kind.itemsize, 0)


def _patches(x: View, along: list[Along], groups: int) -> Patches:
    n, channel = (s * x.itemsize for s in x.strides[:2])
    return Patches(x.ref, x.shape[1] // groups * channel, n, channel, _three(along))


def _three(along: list[Along]) -> tuple[Along, Along, Along]:
    """Depth, height and width; those that a tap of one does not part are joined."""
    dims: list[Along] = []
    for a in along:
        if dims and _joins(dims[-1], a):
            a = a._replace(out=a.out * dims[-1].out, size=a.size * dims.pop().size)
        dims.append(a)
    return (*[Along(0, 1, 1, 1, 0, 1, 1)] * (3 - len(dims)), *dims)


def _joins(outer: Along, inner: Along) -> bool:
    plain = all((a.move, a.start, a.taps, a.out) == (1, 0, 1, a.size) for a in (outer, inner))
    return plain and outer.stride == inner.stride * inner.size


def _patch_panels(x: View, along: list[Along], groups: int, t: Tiling) -> Operand:
    """Patches as B: k = (channel, taps), a column for each position."""
    patches, panel = _patches(x, along, groups), t.kc * PANEL_BYTES
    code = pack_patches(x.dtype.llvm, patches.way(x.itemsize))
    size = ceil_div(t.cols * x.itemsize, PANEL_BYTES) * panel
    return Operand(Packer(code, patches.words(False, PANEL_BYTES, panel)), panel, PANEL_BYTES, size)


def _patch_rows(x: View, along: list[Along], groups: int, t: Tiling) -> Operand:
    """Patches as A: a row for each (channel, taps), k = position."""
    patches, row = _patches(x, along, groups), t.kc * x.itemsize + VECTOR_BYTES
    code = pack_patches(x.dtype.llvm, patches.way(x.itemsize))
    return Operand(Packer(code, patches.words(True, row, PANEL_BYTES)), row, x.itemsize, t.rows * row)


def _positions(g: View, groups: int, t: Tiling) -> Operand:
    """g as B: k = (image, position), a column for each channel."""
    image, channel = (s * g.itemsize for s in g.strides[:2])
    columns, panel = g.shape[1] // groups, t.kc * PANEL_BYTES
    words = Matrix(g.ref, channel, g.itemsize, prod(g.shape[2:]), image, ((groups, columns * channel),)).words(panel)
    size = ceil_div(t.cols * g.itemsize, PANEL_BYTES) * panel + 4 * PANEL_BYTES
    return Operand(Packer(pack_transpose(g.dtype.llvm), words), panel, PANEL_BYTES, size)


def _over_positions(out: View, x: View, weights: Operand, along, groups: int, temp: Temp,
                    epilogue: Epilogue | None, note: str) -> list[Call]:
    """out[n, o, *p] = weights[o, (c, taps)] x patches of x[(c, taps), (n, p)]."""
    if prod(out.shape) == 0:
        return []
    kind = x.dtype
    m, n = out.shape[1] // groups, out.shape[0] * prod(out.shape[2:])
    k = x.shape[1] // groups * prod(a.taps for a in along)
    t = tiling(groups, m, n, k, PANEL_BYTES // kind.itemsize, panels=MOST_PANELS if m * k < LITTLE else PANELS)
    result = _finish_image(kind, out, groups, epilogue)
    return contract(Contraction(kind, groups, m, n, k, t), weights, _patch_panels(x, along, groups, t), result,
                    temp, note)


def _finish_image(kind: dtype, out: View, groups: int, epilogue: Epilogue | None) -> Finisher:
    views = [out] if epilogue is None else [*epilogue.inputs, *epilogue.outputs]
    channels = out.shape[1] // groups
    columns = merged((out.shape[0], *out.shape[2:]), [(v.strides[0], *v.strides[2:]) for v in views])
    sizes = Grid((groups,), channels, tuple(n for n, _ in columns[:-1]), columns[-1][0])
    grids = [(v, Grid((channels * v.strides[1],), v.strides[1], tuple(s[i] for _, s in columns[:-1]), columns[-1][1][i]))
             for i, v in enumerate(views)]
    body, inputs = (None, 0) if epilogue is None else (epilogue.body, len(epilogue.inputs))
    return finisher(sizes, kind, body, grids, inputs)


def _note(what: str, x: View, w: View, stride, padding) -> str:
    sizes = "x".join(map(str, x.shape)), "x".join(map(str, w.shape))
    return f"{what} {x.dtype.name} {sizes[0]} {sizes[1]} s{stride[-1]} p{padding[-1]}"
