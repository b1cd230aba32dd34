"""Products with a sparse matrix: rows of the dense one are gathered, scaled and added where they belong.

The entries are walked a piece at a time, so that what was gathered stays in cache; each element of
the result is added up in the order of the entries.
"""
from __future__ import annotations

from .. import dtypes, ops
from ..autograd.function import differentiable
from ..autograd.node import named
from ..autograd.recall import recalled
from ..layout import Size
from ..ops.support import legacy_name
from .convert import coordinates_of, flat_places, merged, to_sparse_coo, to_sparse_csr
from .tensor import Compressed, Coo, SparseTensor

PIECE = 1 << 18         # elements that are gathered at a time


def _pieces(n, width):
    step = max(PIECE // max(width, 1), 1)
    return [(k, min(step, n - k)) for k in range(0, n, step)]


@recalled("data x rows cols")
def _spread(data, x, rows, cols, n):
    """sum over entries e of data[e] x[cols[e]], added to row rows[e] of n: (n, width)."""
    y = ops.zeros(n, x.shape[1], dtype=x.dtype)
    for start, length in _pieces(data.shape[0], x.shape[1]):
        part = ops.index_select(x, 0, cols.narrow(0, start, length)) * data.narrow(0, start, length).unsqueeze(1)
        y = y.index_add(0, rows.narrow(0, start, length), part)
    return y


@recalled("g x rows cols")
def _sampled(g, x, rows, cols):
    """g[rows[e]] . x[cols[e]] for each entry e."""
    parts = []
    for start, length in _pieces(rows.shape[0], x.shape[1]):
        a = ops.index_select(g, 0, rows.narrow(0, start, length))
        parts.append((a * ops.index_select(x, 0, cols.narrow(0, start, length))).sum(1))
    return ops.cat(parts) if parts else ops.zeros(0, dtype=x.dtype)


@differentiable("MmBackward0", vjp=(
    lambda g, _y, data, x, rows, cols, *, n: sampled(g, x, rows, cols),
    lambda g, _y, data, x, rows, cols, *, n: spread(data, g, cols, rows, n=x.shape[0]), None, None))
def spread(data, x, rows, cols, *, n):
    """The product of the sparse matrix of these entries, which has n rows, and x; rounded once."""
    if x.dtype.is_floating_point and x.dtype.itemsize < 4:
        return _spread(data.to(dtypes.float32), x.to(dtypes.float32), rows, cols, n).to(x.dtype)
    return _spread(data, x, rows, cols, n)


@differentiable("SampledMmBackward0", vjp=(
    lambda d, _y, g, x, rows, cols: spread(d, x, rows, cols, n=g.shape[0]),
    lambda d, _y, g, x, rows, cols: spread(d, g, cols, rows, n=x.shape[0]), None, None))
def sampled(g, x, rows, cols):
    """The elements of g x^T at the places of some entries."""
    return _sampled(g, x, rows, cols)


# -- operands --------------------------------------------------------------------------------------
def entries(a):
    """(rows, columns, values) of a sparse matrix."""
    rows, cols = (a._at[0], a._at[1]) if isinstance(a, Coo) else a.coordinates()
    return rows, cols, a._data


def check_matrices(a, b, name="addmm") -> None:
    """PyTorch's errors for shapes and dtypes that do not fit."""
    for x, what in ((a, "mat1"), (b, "mat2")):
        if x.dim() != 2:
            raise RuntimeError(f"{name}: 2-D matrices expected, got {x.dim()}D tensor for {what}")
        if isinstance(x, SparseTensor) and x.dense_dim():
            raise RuntimeError(f"{name}: Argument: 2-D matrices expected, got hybrid sparse {what}")
    if a.shape[1] != b.shape[0]:
        if isinstance(a, SparseTensor) and not isinstance(b, SparseTensor) and isinstance(a, Coo):
            raise RuntimeError(f"addmm: Argument #3 (dense): Expected dim 0 size {a.shape[1]}, got {b.shape[0]}")
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and "
                           f"{b.shape[0]}x{b.shape[1]})")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {legacy_name(a.dtype)} != "
                           f"{legacy_name(b.dtype)}")


def mm(input, mat2, *, out=None):
    """Sparse times dense, dense times sparse (both dense), or sparse times sparse (sparse)."""
    check_matrices(input, mat2)
    a, b = isinstance(input, SparseTensor), isinstance(mat2, SparseTensor)
    if a and b:
        return sparse_times_sparse(input, mat2)
    rows, cols, data = entries(input if a else mat2)
    if a:
        y = spread(data, mat2, rows, cols, n=input.shape[0])
    else:
        y = spread(data, input.t(), cols, rows, n=mat2.shape[1]).t()
    return named(y, "MmBackward0") if out is None else ops.promote.into(out, y)


spmm = dsmm = mm


def mv(input, vec, *, out=None):
    if input.dim() != 2 or vec.dim() != 1:
        raise RuntimeError(f"mv: two tensor dim should be 2 and 1, but got SparseTensor Dim: {input.dim()} "
                           f"Tensor Dim: {vec.dim()}")
    if input.shape[1] != vec.shape[0]:
        raise RuntimeError(f"mv: expected self.size(-1) == vec.size(-1), but got {input.shape[1]} and {vec.shape[0]}")
    return mm(input, vec.unsqueeze(1), out=out).squeeze(1)


def matmul(input, other, *, out=None):
    """mm, mv or bmm by the numbers of axes."""
    dims = input.dim(), other.dim()
    if dims == (2, 1):
        return mv(input, other, out=out)
    if dims == (1, 2):
        return mv(other.t(), input, out=out)
    if dims == (3, 3):
        return bmm(input, other)
    return mm(input, other, out=out)


def bmm(input, mat2, *, out=None):
    """A batch of sparse matrices times dense ones: one product with the block-diagonal matrix."""
    if not isinstance(input, Coo) or isinstance(mat2, SparseTensor):
        raise NotImplementedError("bmm: only sparse_coo times dense")
    b, n, k = input.shape
    if mat2.shape[0] != b or mat2.shape[1] != k:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{b}, {k}] but got: "
                           f"[{mat2.shape[0]}, {mat2.shape[1]}].")
    batch, rows, cols = input._at
    y = spread(input._data, mat2.reshape(b * k, -1), rows + batch * n, cols + batch * k, n=b * n)
    return named(y.reshape(b, n, -1), "BmmBackward0")


def addmm(input, mat1, mat2, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * (mat1 @ mat2)."""
    product = mm(mat1, mat2)
    product = product if alpha == 1 else product * alpha
    scaled = input if beta == 1 else input * beta
    if isinstance(product, SparseTensor) == isinstance(scaled, SparseTensor):
        y = product + scaled
    else:
        y = scaled + product if isinstance(product, SparseTensor) else product + scaled
    return y if out is None else ops.promote.into(out, y)


def linear(input, weight, bias=None):
    """input @ weight.T + bias."""
    y = mm(input, weight.t())
    return y if bias is None else y + bias


# -- sparse results --------------------------------------------------------------------------------
def sparse_times_sparse(a, b):
    """The product of two sparse matrices: each entry (i, k) of a meets the entries of row k of b."""
    left, right = to_sparse_coo(a).coalesce(), to_sparse_csr(b)
    rows, inner = left._at
    first = right._starts[inner]
    counts = right._starts[inner + 1] - first
    of = ops.repeat_interleave(ops.arange(left._nnz()), counts)
    within = ops.arange(of.numel()) - (counts.cumsum(0) - counts)[of]
    at = first[of] + within
    data = left._data[of] * right._data[at]
    size = Size((a.shape[0], b.shape[1]))
    y = _coalesced_product(ops.stack([rows[of], right._plain[at]]), data, size)
    return y if isinstance(a, Coo) or isinstance(b, Coo) else to_sparse_csr(y)


def _coalesced_product(at, data, size):
    places, inverse = ops.unique(flat_places(at, size), return_inverse=True)
    return Coo(coordinates_of(places, size), named(merged(data, inverse, places.numel()), "SparseSparseMatmulBackward0"),
               size, True)


def smm(input, mat):
    """The product with a dense matrix as a sparse tensor that stores whole rows, element by element."""
    y = hspmm(input, mat)
    (rows,), n, m = y._at, y._nnz(), y.shape[1]
    at = ops.stack([ops.repeat_interleave(rows, m), ops.arange(m).repeat(n)])
    return Coo(at, y._data.reshape(-1), y.shape, True)


def hspmm(mat1, mat2, *, out=None):
    """The product with a dense matrix as a sparse tensor of dense rows."""
    check_matrices(mat1, mat2, "hspmm")
    c = to_sparse_coo(mat1).coalesce()
    rows, inverse = ops.unique(c._at[0], return_inverse=True)
    data = spread(c._data, mat2, inverse, c._at[1], n=rows.numel())
    return Coo(rows.unsqueeze(0), data, (mat1.shape[0], mat2.shape[1]), True)


def sspaddmm(input, mat1, mat2, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * (mat1 @ mat2), all sparse."""
    return (input * beta + smm(mat1, mat2) * alpha).coalesce()


def sampled_addmm(input, mat1, mat2, *, beta=1.0, alpha=1.0, out=None):
    """alpha * (mat1 @ mat2) + beta * input where the CSR tensor `input` stores something."""
    if not isinstance(input, Compressed):
        raise RuntimeError(f"sampled_addmm: Expected self to be Sparse CSR, but got: {str(input.layout)[6:]}")
    rows, cols, data = entries(input)
    return input.with_values(sampled(mat1, mat2.t(), rows, cols) * alpha + data * beta)


def reduced_mm(a, b, reduce):
    """mm whose sums over a row's entries are means, maxima or minima instead."""
    if not isinstance(a, Compressed):
        raise NotImplementedError("Could not run 'aten::_sparse_mm_reduce_impl' with arguments from the 'SparseCPU' backend.")
    check_matrices(a, b)
    if reduce == "sum":
        return mm(a, b)
    if reduce not in ("mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, mean, amax or amin, got {reduce}")
    rows, cols, data = entries(a)
    terms = data.unsqueeze(1) * b[cols]
    zeros = ops.zeros(a.shape[0], b.shape[1], dtype=b.dtype)
    return zeros.scatter_reduce(0, rows.unsqueeze(1).expand(terms.shape), terms, reduce, include_self=False)


def groups_without(x: Coo, dim):
    """For each entry, which line along the sparse dimension `dim` it is on; and how many lines there are."""
    keep = [d for d in range(x.sparse_dim()) if d != dim]
    places = flat_places(x._at[keep], [x.shape[d] for d in keep]) if keep else ops.zeros(x._nnz(), dtype=dtypes.int64)
    lines, inverse = ops.unique(places, return_inverse=True)
    return inverse, lines.numel()
