"""What the compiler asks of a machine: loop nests, contractions, scatters."""
from __future__ import annotations

from ..compiler.kernel import View
from .factor import can_factor, lower_factor
from .fourier import can_transform, lower_transform
from .lattice import can_align, lower_lattice
from .loops import nest_code as nest, row_nest_code as rows
from .recurrent import can_recur, lower_recurrence
from .runs import copy_pieces, small_piece
from .scan import can_scan, lower_scan
from .scatter import can_fill, can_scatter, check_scatter, lower_scatter
from .sort import can_sort, lower_sort
from .topk import can_select, lower_topk


def contract(name, params, out, operands, temp, epilogue) -> list:
    """Calls of a contraction primitive."""
    if name == "matmul":
        from .gemm import lower_matmul
        return lower_matmul(out, *operands, temp, epilogue)
    from . import conv
    geometry = (params["stride"], params["padding"], params["dilation"], params["groups"], temp)
    if name == "conv":
        return conv.lower_conv(out, *operands, *geometry, epilogue)
    if name == "conv_input_grad":
        return conv.lower_conv_input_grad(out, *operands, *geometry, epilogue)
    return conv.lower_conv_weight_grad(out, *operands, *geometry)


def is_whole_product(vertex) -> bool:
    """Whether a matrix product adds up all of k in one part."""
    from .chain_products import is_whole
    return is_whole(*(View(None, vertex.dtype, tuple(u.layout.shape), u.layout.strides) for u in vertex.uses))


KERNELS = (can_scan, can_recur, can_align, can_sort, can_select, can_transform, can_factor)


def is_native(vertex) -> bool:
    """Whether a scatter, scan, recurrence, sort, Fourier transform or factorisation has a kernel; else its NumPy meaning runs."""
    kind = vertex.prim.kind
    if kind == "scatter":
        return can_scatter(vertex)
    return kind == "host" and any(can(vertex) for can in KERNELS)


def native(vertex, out, views, temp, failing) -> list:
    """Calls of a scan, recurrence, Fourier transform, factorisation or sort; `failing` as in `lower_factor`."""
    if can_scan(vertex):
        return lower_scan(vertex, out, *views)
    if can_recur(vertex):
        return lower_recurrence(vertex, out, views, temp)
    if can_align(vertex):
        return lower_lattice(vertex, out, views, temp)
    if can_transform(vertex):
        return lower_transform(vertex, out, *views, temp)
    if can_factor(vertex):
        return lower_factor(vertex, out, views, temp, failing)
    if can_select(vertex):
        return lower_topk(vertex, out, *views)
    return lower_sort(vertex, out, *views, temp)


__all__ = ["can_fill", "check_scatter", "contract", "copy_pieces", "is_native", "lower_scatter",
           "native", "nest", "rows", "small_piece"]
