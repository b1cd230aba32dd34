"""Linear and bilinear maps of the last axis."""
from __future__ import annotations

from ... import ops
from ...autograd.function import differentiable
from ...autograd.recall import recalled
from ...ops.support import legacy_name as dtype_name, native_name
from ...tensor import Tensor

def _rows(x):
    return x if x.dim() == 2 else x.reshape(-1, x.size(-1))


_INPUT = lambda g, _y, _x, w, *_b: g @ w.conj()
_WEIGHT = lambda g, _y, x, _w, *_b: _rows(g).t() @ _rows(x).conj()
_BIAS = lambda g, _y, _x, _w, _b: _rows(g).sum(0)


@differentiable("AddmmBackward0", vjp=(_INPUT, _WEIGHT, _BIAS))
def _affine(x, w, b):
    return ops.matmul(x, w.t()) + b


@differentiable("MmBackward0", vjp=(_INPUT, _WEIGHT))
def _linear(x, w):
    return ops.matmul(x, w.t())


@recalled("input weight bias?")
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x w^T + b: (*, in) with weight (out, in) and bias (out) to (*, out)."""
    if input.dtype is not weight.dtype and input.dtype != weight.dtype:
        raise RuntimeError("mat1 and mat2 must have the same dtype, but got "
                           f"{dtype_name(input.dtype)} and {dtype_name(weight.dtype)}")
    if bias is not None and bias.dtype is not input.dtype:
        raise RuntimeError("self and mat2 must have the same dtype, but got "
                           f"{dtype_name(bias.dtype)} and {dtype_name(input.dtype)}")
    if weight.dim() != 2 or input.dim() == 0 or bias is not None and bias.dim() != 1:
        return _odd_linear(input, weight, bias)
    return _linear(input, weight) if bias is None else _affine(input, weight, bias)


def _odd_linear(input, weight, bias):
    """A vector as weight, or a bias that broadcasts."""
    if bias is not None and weight.dim() < 2:
        raise RuntimeError(f"mat2 must be a matrix, got {weight.dim()}-D tensor")
    if weight.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.dim()}D")
    y = ops.matmul(input, weight.t() if weight.dim() == 2 else weight)
    return y if bias is None else y + bias


@recalled("input1 input2 weight bias?")
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x1^T W_k x2 + b_k for each k: (*, in1), (*, in2) with weight (out, in1, in2) to (*, out)."""
    if input1.dim() != input2.dim():
        raise RuntimeError("bilinear(): input dimensions do not match: got "
                           f"{input1.dim()} and {input2.dim()}")
    for i, (x, name) in enumerate(((input1, "input1"), (input2, "input2"))):
        if x.size(-1) != weight.size(i + 1):
            raise RuntimeError(f"bilinear(): {name} size does not match weight size: got "
                               f"{x.size(-1)} but expected {weight.size(i + 1)}")
    given = dict(input1=input1, input2=input2, weight=weight) | ({} if bias is None else {"bias": bias})
    if len({t.dtype for t in given.values()}) > 1:
        found = ", ".join(f"{name}: {native_name(t.dtype)}" for name, t in given.items())
        raise RuntimeError(f"All tensors must have the same dtype, got {found}")
    if bias is not None and bias.size(0) != weight.size(0):
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {bias.size(0)} but expected {weight.size(0)}")
    a, b = _rows(input1), _rows(input2)
    left = a @ weight.permute(1, 0, 2).reshape(weight.size(1), -1)
    left = left.view(-1, weight.size(0), weight.size(2))
    y = (left * b.unsqueeze(1)).sum(-1).reshape(*input1.shape[:-1], weight.size(0))
    return y if bias is None else y + bias


def grouped_mm(mat_a: Tensor, mat_b: Tensor, *, offs: Tensor | None = None, bias: Tensor | None = None,
               out_dtype=None) -> Tensor:
    """A product for each group: what mixtures of experts compute.

    (T, K) with (G, K, N) to (T, N), (G, M, K) with (K, T) to (M, T): the groups are runs of T.
    (M, T) with (T, N) to (G, M, N): each product is over the run of a group. (G, M, K) with (G, K, N)
    are single matrices, without `offs`.

    Args:
        offs: (G,) integers, where the runs end; what lies behind the last gives zeros, or nothing.

    Raises:
        RuntimeError: operands that are not matrices or stacks of them, or `offs` for two stacks.
    """
    for name, m in (("mat_a", mat_a), ("mat_b", mat_b)):
        if m.dim() not in (2, 3):
            raise RuntimeError(f"{name} has to be 2 or 3d")
    stacked = mat_a.dim() == 3, mat_b.dim() == 3
    if (offs is None) != all(stacked):
        raise RuntimeError("Have to provide offsets if there is a 2d matrix, and no offset if both matrices are 3d")
    y = ops.bmm(mat_a, mat_b) if offs is None else _GROUPED[stacked](mat_a, mat_b, offs.tolist())
    y = y if bias is None else y + bias
    return y if out_dtype is None else y.to(out_dtype)


def _grouped_rows(a, stack, ends):
    parts = [a[begin:end] @ m for begin, end, m in zip([0, *ends], ends, stack)]
    return ops.cat([*parts, a.new_zeros(a.size(0) - ends[-1], stack.size(2))])


def _grouped_columns(stack, b, ends):
    parts = [m @ b[:, begin:end] for begin, end, m in zip([0, *ends], ends, stack)]
    return ops.cat([*parts, b.new_zeros(stack.size(1), b.size(1) - ends[-1])], 1)


def _grouped_sums(a, b, ends):
    return ops.stack([a[:, begin:end] @ b[begin:end] for begin, end in zip([0, *ends], ends)])


_GROUPED = {(False, True): _grouped_rows, (True, False): _grouped_columns, (False, False): _grouped_sums}
