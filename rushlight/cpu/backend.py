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


# Whether there is a kernel, and the calls of (vertex, out, views, temp, failing); `failing` as in `lower_factor`.
KERNELS = (
    (can_scan, lambda v, out, views, temp, failing: lower_scan(v, out, *views)),
    (can_recur, lambda v, out, views, temp, failing: lower_recurrence(v, out, views, temp)),
    (can_align, lambda v, out, views, temp, failing: lower_lattice(v, out, views, temp)),
    (can_transform, lambda v, out, views, temp, failing: lower_transform(v, out, *views, temp)),
    (can_factor, lower_factor),
    (can_select, lambda v, out, views, temp, failing: lower_topk(v, out, *views)),
    (can_sort, lambda v, out, views, temp, failing: lower_sort(v, out, *views, temp)),
)


def is_native(vertex) -> bool:
    """Whether a scatter, scan, recurrence, sort, Fourier transform or factorisation has a kernel; else its NumPy meaning runs."""
    kind = vertex.prim.kind
    if kind == "scatter":
        return can_scatter(vertex)
    return kind == "host" and any(can(vertex) for can, _ in KERNELS)


def native(vertex, out, views, temp, failing) -> list:
    """Calls of a scan, recurrence, Fourier transform, factorisation or sort."""
    return next(lower for can, lower in KERNELS if can(vertex))(vertex, out, views, temp, failing)


__all__ = ["can_fill", "check_scatter", "contract", "copy_pieces", "is_native", "lower_scatter",
           "native", "nest", "rows", "small_piece"]
