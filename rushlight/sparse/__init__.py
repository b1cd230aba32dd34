"""torch.sparse: tensors that store only some of their elements, and functions of them."""
from __future__ import annotations

from .. import dtypes as _dtypes, ops as _ops
from ..autograd.node import named as _named
from ..layout import Size as _Size
from ..tensor import Tensor as _Tensor
from . import dispatch as _dispatch, products as _products
from .convert import (
    check_sparse_tensor_invariants as check_sparse_tensor_invariants,
    sparse_coo_tensor as _coo,
)
from .legacy import TYPES as _TYPES
from .products import sampled_addmm as sampled_addmm
from .tensor import SparseTensor as _SparseTensor

__all__ = ["addmm", "as_sparse_gradcheck", "check_sparse_tensor_invariants", "log_softmax", "mm", "sampled_addmm",
           "softmax", "spdiags", "sum"]
globals().update(_TYPES)


def mm(sparse, dense, reduce=None):
    """Sparse (n, k) times dense or sparse (k, m).

    Args:
        reduce: "sum", "mean", "amax" or "amin" over the entries of a row of a CSR matrix.
    """
    if reduce is not None:
        return _products.reduced_mm(sparse, dense, reduce)
    y = _ops.mm(sparse, dense)
    return y if isinstance(y, _SparseTensor) else _named(y, "SparseAddmmBackward0")


def addmm(mat, mat1, mat2, *, beta=1.0, alpha=1.0):
    """beta * mat + alpha * (mat1 @ mat2) with a sparse mat1."""
    return _products.addmm(mat, mat1, mat2, beta=beta, alpha=alpha)


def sum(input, dim=None, dtype=None):
    """Sum of a sparse tensor, over everything or over some axes; differentiable."""
    if not input.is_sparse:
        input.coalesce()            # says what was expected
    return _dispatch.total(input, dim, dtype=_dtypes.as_dtype(dtype))


def softmax(input, dim, *, dtype=None):
    """softmax along an axis over the stored elements."""
    return _dispatch._softmax(input, dim, _dtypes.as_dtype(dtype))


def log_softmax(input, dim, *, dtype=None):
    """The logarithm of softmax along an axis over the stored elements."""
    return _dispatch._log_softmax(input, dim, _dtypes.as_dtype(dtype))


def spdiags(diagonals, offsets, shape, layout=None):
    """A sparse matrix with the rows of `diagonals` on the diagonals `offsets`, elements aligned by column."""
    values = diagonals.unsqueeze(0) if diagonals.dim() == 1 else diagonals
    given = offsets.reshape(-1).tolist()
    if len(given) != len(set(given)):
        raise RuntimeError("Offset tensor contains duplicate values")
    if len(given) != values.shape[0]:
        raise RuntimeError(f"Number of diagonals ({values.shape[0]}) does not match the number of offsets ({len(given)})")
    rows, cols = shape
    at, parts = [], []
    for k, offset in enumerate(given):
        first, last = max(offset, 0), min(cols, rows + offset, values.shape[1])
        columns = _ops.arange(first, max(last, first))
        at.append(_ops.stack([columns - offset, columns]))
        parts.append(values[k, first:max(last, first)])
    made = _coo(_ops.cat(at, 1), _ops.cat(parts), _Size(shape))
    return made if layout is None else made.to_sparse(layout=layout)


def as_sparse_gradcheck(gradcheck):
    """gradcheck for functions of sparse tensors: derivatives with respect to, and of, the elements that are stored."""
    def check(func, inputs, **kwargs):
        kwargs.pop("masked", None)
        given = (inputs,) if isinstance(inputs, _Tensor) else tuple(inputs)

        def of_values(*values):
            made = [x.with_values(v) if isinstance(x, _SparseTensor) else v for x, v in zip(given, values)]
            outs = func(*made)
            outs = outs if isinstance(outs, (tuple, list)) else (outs,)
            return tuple(y._data if isinstance(y, _SparseTensor) else y for y in outs)
        values = tuple(x._data.detach().requires_grad_(x.requires_grad) if isinstance(x, _SparseTensor) else x for x in given)
        return gradcheck(of_values, values, **kwargs)
    return check
