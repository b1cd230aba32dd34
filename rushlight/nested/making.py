"""Nested tensors from lists, from packed values, and as padded tensors."""
from __future__ import annotations

from .. import ops
from ..nn import functional as F
from ..ops.layouts import jagged, strided
from ..tensor import Tensor
from .tensor import NestedTensor, made
import itertools


def _layout(x):
    return strided if x is None else x


def _checked(parts):
    if not isinstance(parts, (list, tuple)):
        raise TypeError("Only lists (List[Tensor] and List[List...[Scalar]]) are accepted in nested_tensor")
    parts = [p if isinstance(p, Tensor) else ops.tensor(p) for p in parts]
    for i, p in enumerate(parts):
        if p.dim() != parts[0].dim():
            raise RuntimeError("All Tensors given to nested_tensor must have the same dimension. Found dimension "
                               f"{p.dim()} for Tensor at index {i} and dimension {parts[0].dim()} for Tensor at "
                               "index 0.")
    return parts


def _ragged(parts, layout) -> int:
    """The dimension of the batch in which sizes differ."""
    if not parts:
        return 1
    differ = [d + 1 for d in range(parts[0].dim()) if len({p.size(d) for p in parts}) > 1]
    if layout is jagged and len(differ) > 1:
        raise RuntimeError("No support for 3D or higher-order raggedness: nested tensors with layout=torch.jagged have "
                           f"one ragged dimension, found {differ}")
    return differ[0] if differ else 1


def nested_tensor(tensor_list, *, dtype=None, layout=None, device=None, requires_grad: bool = False,
                  pin_memory: bool = False) -> NestedTensor:
    """A leaf with copies of tensors (or nested lists of numbers) of one number of dimensions.

    Args:
        layout: torch.strided, with any sizes, or torch.jagged, where one dimension differs.
    """
    parts = [p.detach().clone() if dtype is None else p.detach().to(dtype, copy=True) for p in _checked(tensor_list)]
    parts = [p.requires_grad_() for p in parts] if requires_grad else parts
    return made(parts, _layout(layout), _ragged(parts, layout))


def as_nested_tensor(ts, dtype=None, device=None, layout=None) -> NestedTensor:
    """The same of tensors that stay on the tape, or of the entries of a batch."""
    if isinstance(ts, NestedTensor):
        return ts
    parts = _checked(list(ts.unbind(0)) if isinstance(ts, Tensor) else ts)
    parts = parts if dtype is None else [p.to(dtype) for p in parts]
    return made(parts, _layout(layout), _ragged(parts, layout))


def nested_tensor_from_jagged(values: Tensor, offsets: Tensor | None = None, lengths: Tensor | None = None,
                              jagged_dim: int | None = None, min_seqlen=None, max_seqlen=None) -> NestedTensor:
    """Entry i is values[offsets[i]:offsets[i + 1]], or `lengths[i]` of it.

    Args:
        jagged_dim: the dimension of the batch that is ragged; 1.
    """
    if offsets is None:
        if lengths is None:
            raise RuntimeError("nested_tensor_from_jagged(): At least one of offsets or lengths is required.")
        ends = [0, *lengths.cumsum(0).tolist()]
        lengths = None
    else:
        ends = offsets.tolist()
    sizes = [b - a for a, b in itertools.pairwise(ends)] if lengths is None else lengths.tolist()
    dim = 1 if jagged_dim is None else jagged_dim
    parts = [values.narrow(dim - 1, a, n) for a, n in zip(ends, sizes)]
    return made(parts, jagged, dim, values if lengths is None else None)


def narrow(tensor: Tensor, dim: int, start, length, layout=strided) -> NestedTensor:
    """Entry i is `length[i]` elements from `start[i]` on, along dimension 1 of a batch; numbers hold for all."""
    if dim != 1:
        raise RuntimeError("jagged layout only supports dim=1")
    starts, sizes = (x.tolist() if isinstance(x, Tensor) else [x] * tensor.size(0) for x in (start, length))
    return made([x.narrow(0, a, n) for x, a, n in zip(tensor, starts, sizes)], layout, 1)


def masked_select(tensor: Tensor, mask: Tensor) -> NestedTensor:
    """Entry i is tensor[i][mask[i]]."""
    mask = mask.expand(tensor.shape)
    return made([x[m] for x, m in zip(tensor, mask)], jagged, 1)


def to_padded_tensor(input: NestedTensor, padding: float, output_size=None, out=None) -> Tensor:
    """(B, largest sizes) with `padding` behind the entries; or of `output_size`.

    Raises:
        RuntimeError: an entry that is larger.
    """
    parts = input._parts
    largest = [max(p.size(d) for p in parts) for d in range(parts[0].dim())]
    sizes = largest if output_size is None else list(output_size)[1:]
    if any(n < m for n, m in zip(sizes, largest)):
        raise RuntimeError("Value in output_size is less than NestedTensor padded size. Truncation is not supported.")
    return ops.stack([F.pad(p, [n for d in reversed(range(p.dim())) for n in (0, sizes[d] - p.size(d))],
                            value=padding) for p in parts])
