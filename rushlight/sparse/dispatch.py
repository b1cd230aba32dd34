"""What operations do with sparse tensors: one table, by the name of the operation.

Dense operations come here when they meet a sparse operand (ops/layouts.py). What has no entry is
refused as PyTorch refuses it.
"""
from __future__ import annotations

from .. import dtypes, ops
from ..autograd.node import named
from ..layout import Size, wrap_dim, wrap_dims
from ..ops.layouts import sparse_coo
from ..tensor import Tensor
from . import products
from .convert import flat_places, located, merged, same_pattern, to_dense, to_sparse_coo, to_sparse_csr
from .tensor import Compressed, Coo, SparseTensor, alias, refuse

# Of elements alone, and 0 at 0: of the sums of the entries of a place.
ZERO_TO_ZERO = """abs sign sqrt sin tan asin atan sinh tanh asinh atanh expm1 log1p floor ceil trunc round relu erf erfinv
    deg2rad rad2deg sgn signbit isnan isinf isposinf isneginf nan_to_num frac square threshold leaky_relu"""
RENAMED = {"pow": "pow.Tensor_Scalar", "mean": "mean.dim", "eq": "eq.Tensor", "fill": "fill_.Scalar"}


def answer(name, args, kwargs):
    """The call of an operation in which a tensor is sparse."""
    fn = TABLE.get(name)
    if fn is None:
        refuse(RENAMED.get(name, name), next(x for x in (*args, *kwargs.values()) if isinstance(x, SparseTensor)))
    out = kwargs.pop("out", None)
    y = fn(*args, **kwargs)
    return y if out is None else _into(out, y)


def _into(out, y):
    if isinstance(out, SparseTensor):
        return out.become(y)
    from ..ops.promote import into
    return into(out, y)


# -- elementwise -----------------------------------------------------------------------------------
def _unary(name):
    op = getattr(ops, name)

    def call(input, *args, **kwargs):
        x = input.coalesce() if isinstance(input, Coo) else input
        return x.map(lambda v: op(v, *args, **kwargs))
    return call


def _negated(input):
    return input.map(ops.neg)


def _conjugated(input):
    return input.map(ops.conj_physical)


def _power(input, exponent):
    if isinstance(exponent, SparseTensor) or not isinstance(input, SparseTensor):
        refuse("pow.Tensor_Tensor", exponent if isinstance(exponent, SparseTensor) else input)
    if float(exponent) == 0:
        raise RuntimeError("pow: the exponent 0 would make a sparse tensor dense")
    x = input.coalesce() if isinstance(input, Coo) else input
    return x.map(lambda v: ops.pow(v, exponent))


def _is_scalar(x) -> bool:
    return not isinstance(x, Tensor) or not isinstance(x, SparseTensor) and not x.dim()


def _mul(input, other):
    if _is_scalar(other):
        return input.map(lambda v: ops.mul(v, other))
    if _is_scalar(input):
        return other.map(lambda v: ops.mul(input, v))
    if not isinstance(other, SparseTensor):
        return _times_dense(input, other)
    if not isinstance(input, SparseTensor):
        return _times_dense(other, input)
    _check_sizes("mul", input, other)
    return _intersection(input, other)


def _check_sizes(name, a, b):
    if a.shape != b.shape:
        raise RuntimeError(f"{name}: expected 'self' and 'other' to have same sizes, but {list(a.shape)} != {list(b.shape)}")


def _times_dense(x, dense):
    """Where x stores something: its entries times the dense elements there."""
    y = x.coalesce() if isinstance(x, Coo) else x
    at = y._at if isinstance(y, Coo) else ops.stack(y.coordinates())
    return y.map(lambda v: named(v * dense.expand(x.shape)[tuple(at)], "MulBackward0"))


def _intersection(a, b):
    """Products where both store something."""
    back = to_sparse_csr if isinstance(a, Compressed) else lambda y: y
    if isinstance(a, Compressed) and same_pattern(a, b):
        return a.with_values(a._data * b._data)
    a, b = to_sparse_coo(a).coalesce(), to_sparse_coo(b).coalesce()
    if a._at is b._at or same_pattern(a, b):
        return back(a.with_values(a._data * b._data))
    sizes = a.shape[:a.sparse_dim()]
    if not b._nnz() or not a._nnz():
        return back(Coo(a._at[:, :0], a._data[:0] * b._data[:0], a.shape, True))
    found, hit = located(flat_places(b._at, sizes), flat_places(a._at, sizes))
    mine = hit.nonzero().reshape(-1)
    return back(Coo(a._at[:, mine], a._data[mine] * b._data[found[mine]], a.shape, True))


def _div(input, other):
    if not isinstance(input, SparseTensor) or not _is_scalar(other):
        raise RuntimeError("Sparse division requires a scalar or zero-dim dense tensor divisor (got shape "
                           f"{list(other.shape)} for divisor)")
    return input.map(lambda v: ops.div(v, other))


def _floor_divide(input, other):
    if not isinstance(input, SparseTensor) or not _is_scalar(other):
        raise RuntimeError("Sparse floor division requires a scalar or zero-dim dense tensor divisor")
    return input.map(lambda v: ops.floor_divide(v, other))


def _add(input, other):
    if isinstance(input, SparseTensor) and isinstance(other, SparseTensor):
        _check_sizes("add", input, other)
        return _union(input, other)
    if isinstance(input, Coo):
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    x, dense = (input, other) if isinstance(input, SparseTensor) else (other, input)
    if not isinstance(dense, Tensor):
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    return named(_onto(dense, to_sparse_coo(x)), "AddBackward0")


def _onto(dense, x):
    """Entries added to a dense tensor of the same shape."""
    _check_sizes("add", dense, x)
    dtype = dtypes.promote_types(dense.dtype, x.dtype)
    n = x.sparse_dim()
    flat = dense.to(dtype).reshape(-1, *x.shape[n:])
    return flat.index_add(0, flat_places(x._at, x.shape[:n]), x._data.to(dtype)).reshape(x.shape)


def _union(a, b):
    """Sums: by entries if both store the same places, else of what either stores."""
    if a.layout is b.layout and same_pattern(a, b):
        return a.with_values(a._data + b._data)
    back = to_sparse_csr if isinstance(a, Compressed) else lambda y: y
    a, b = to_sparse_coo(a), to_sparse_coo(b)
    dtype = dtypes.promote_types(a.dtype, b.dtype)
    both = Coo(ops.cat([a._at, b._at], 1), ops.cat([a._data.to(dtype), b._data.to(dtype)]), a.shape)
    return back(both.coalesce()) if a._coalesced and b._coalesced else both


def _sub(input, other):
    if isinstance(other, Tensor):
        return _add(input, -other)
    raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")


# -- shape -----------------------------------------------------------------------------------------
def _transpose(input, dim0, dim1, _gradient=None):
    order = list(range(input.dim()))
    a, b = wrap_dim(dim0, input.dim()), wrap_dim(dim1, input.dim())
    order[a], order[b] = order[b], order[a]
    y = _permute(input, order)
    named(y._data, _gradient.name if _gradient is not None else "TransposeBackward0")
    return y


def _permute(input, *dims):
    dims = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    order = wrap_dims(dims, input.dim())
    if isinstance(input, Compressed):
        return _turned(input) if tuple(order) == (1, 0) else input.map(alias)
    k = input.sparse_dim()
    sparse, dense = order[:k], order[k:]
    if any(d >= k for d in sparse):
        raise RuntimeError("transpose of a sparse tensor: sparse and dense dimensions cannot be exchanged")
    data = input._data.permute(0, *(d - k + 1 for d in dense)) if dense else alias(input._data)
    y = Coo(input._at[list(sparse)], data, [input.shape[d] for d in order],
            input._coalesced and tuple(sparse) == tuple(range(k)) or input._nnz() < 2)
    return y


def _turned(x):
    """The same parts, rows taken for columns."""
    from ..ops.layouts import sparse_csc, sparse_csr
    y = Compressed(sparse_csc if x.layout is sparse_csr else sparse_csr, x._starts, x._plain, alias(x._data),
                   x.shape[::-1])
    y._rows = x._rows
    return y


def _unsqueeze(input, dim):
    x, n, k = to_sparse_coo(input), input.dim(), to_sparse_coo(input).sparse_dim()
    d = dim % (n + 1)
    size = (*x.shape[:d], 1, *x.shape[d:])
    if d > k:
        return Coo(x._at, x._data.unsqueeze(d - k + 1), size, x._coalesced)
    row = ops.zeros(1, x._nnz(), dtype=dtypes.int64)
    return Coo(ops.cat([x._at[:d], row, x._at[d:]]), x._data, size, x._coalesced)


def select(input, dim, index):
    """One entry of an axis; dense if no sparse dimension is left."""
    x = to_sparse_coo(input)
    d, k = wrap_dim(dim, x.dim()), x.sparse_dim()
    n = x.shape[d]
    if not -n <= index < n:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(x.shape)} at dimension {d}")
    size = (*x.shape[:d], *x.shape[d + 1:])
    if d >= k:
        return Coo(x._at, x._data.select(d - k + 1, index), size, x._coalesced)
    mine = (x._at[d] == index % n).nonzero().reshape(-1)
    if k == 1:
        return x._data[mine].sum(0)
    return Coo(x._at[[i for i in range(k) if i != d]][:, mine], x._data[mine], size, x._coalesced)


def _index_select(input, dim, index):
    """Entries of an axis, in the order of an index."""
    x = to_sparse_coo(input)
    d, k = wrap_dim(dim, x.dim()), x.sparse_dim()
    size = (*x.shape[:d], index.numel(), *x.shape[d + 1:])
    if d >= k:
        return Coo(x._at, x._data.index_select(d - k + 1, index), size, x._coalesced)
    hits = (x._at[d].unsqueeze(0) == index.unsqueeze(1)).nonzero()
    places, mine = hits[:, 0], hits[:, 1]
    at = x._at[:, mine]
    at = ops.cat([at[:d], places.unsqueeze(0), at[d + 1:]])
    order = ops.argsort(flat_places(at, size[:k]), stable=True)
    return Coo(at[:, order], x._data[mine[order]], size, x._coalesced)


def narrow(input, dim, start, length):
    """`length` entries of an axis from `start` on."""
    return _index_select(input, dim, ops.arange(start, start + length))


def unbind(input, dim=0):
    """All entries of an axis, one by one."""
    return tuple(select(input, dim, i) for i in range(input.shape[dim]))


def getitem(input, index):
    """x[i], x[i, j], x[:, i], x[tensor]: numbers, full slices and vectors of indices."""
    dim, x = 0, input
    for i in index if isinstance(index, tuple) else (index,):
        if isinstance(i, slice) and isinstance(x, SparseTensor):
            start, stop, step = i.indices(x.shape[dim])
            if (start, stop, step) != (0, x.shape[dim], 1):
                x = _index_select(x, dim, ops.arange(start, stop, step))
            dim += 1
        elif isinstance(i, Tensor) and i.dim() == 1 and i.dtype.rank == 1:
            x = ops.index_select(x, dim, i)
            dim += 1
        elif hasattr(i, "__index__"):
            x = select(x, dim, int(i)) if isinstance(x, SparseTensor) else x.select(dim, int(i))
        else:
            raise NotImplementedError(f"indexing a sparse tensor with {type(i).__name__}")
    return x


def _cat(tensors, dim=0):
    """Entries one after another, moved along the axis."""
    if not all(isinstance(x, SparseTensor) for x in tensors):
        raise RuntimeError("Concatenating sparse tensors, but a dense tensor was found")
    xs = [to_sparse_coo(x) for x in tensors]
    d, k = wrap_dim(dim, xs[0].dim()), xs[0].sparse_dim()
    if d >= k:
        raise NotImplementedError("cat of sparse tensors along a dense dimension")
    at, start = [], 0
    for x in xs:
        shift = ops.tensor([start if i == d else 0 for i in range(k)]).unsqueeze(1)
        at.append(x._at + shift)
        start += x.shape[d]
    size = (*xs[0].shape[:d], start, *xs[0].shape[d + 1:])
    return Coo(ops.cat(at, 1), ops.cat([x._data for x in xs]), size, not d and all(x._coalesced for x in xs))


def _stack(tensors, dim=0):
    return _cat([_unsqueeze(x, dim) for x in tensors], dim)


def _refused_view(name):
    def call(input, *args, **kwargs):
        if name == "expand":
            raise RuntimeError("expand is unsupported for Sparse tensors")
        if name in ("reshape", "flatten", "ravel"):
            raise RuntimeError("reshape is not implemented for sparse tensors")
        refuse(name, input)
    return call


# -- reductions ------------------------------------------------------------------------------------
def total(input, dim=None, keepdim=False, *, dtype=None, axis=None):
    """Sums: over everything (dense), over some axes (sparse while a sparse dimension is left)."""
    dim = axis if dim is None else dim
    x = input if dtype is None else input.to(dtype)
    if dim is None:
        return named(x._data.sum(), "SumBackward0")
    if isinstance(input, Compressed):
        return _rows_or_columns(x, dim, keepdim)
    dims = wrap_dims((dim,) if isinstance(dim, int) else dim, x.dim())
    k = x.sparse_dim()
    gone = [d - k + 1 for d in dims if d >= k]
    data = x._data.sum(gone) if gone else x._data
    keep = [d for d in range(k) if d not in dims]
    size = [n for d, n in enumerate(x.shape) if d not in dims]
    if not keep:
        return _kept(data.sum(0), x.shape, dims, keepdim)
    if len(keep) == k:
        return Coo(x._at, data, size, x._coalesced)
    return Coo(x._at[keep], data, size).coalesce()


def _kept(y, shape, dims, keepdim):
    return y.reshape([1 if d in dims else n for d, n in enumerate(shape)]) if keepdim else y


def _rows_or_columns(x, dim, keepdim):
    if not keepdim:
        raise RuntimeError("reduction operations on CSR tensors with keepdim=False is unsupported")
    dims = wrap_dims((dim,) if isinstance(dim, int) else dim, 2)
    return to_sparse_csr(to_dense(x).sum(dims, keepdim=True))


def _norm(input, p="fro", dim=None, keepdim=False, *, dtype=None):
    x = input.coalesce() if isinstance(input, Coo) else input
    if dim is not None:
        raise NotImplementedError("norm of a sparse tensor over some axes")
    return ops.norm(x._data, p)


def _any(input, dim=None, keepdim=False, axis=None):
    if dim is not None:
        raise NotImplementedError("any of a sparse tensor over some axes")
    return input._data.any()


def _softmax(input, dim, dtype=None):
    return _normalised(input, dim, dtype, "softmax")


def _log_softmax(input, dim, dtype=None):
    return _normalised(input, dim, dtype, "log_softmax")


def _normalised(input, dim, dtype, kind):
    """softmax or its logarithm along an axis over what is stored; the rest counts as minus infinity."""
    x = to_sparse_coo(input).coalesce()
    x = x if dtype is None else x.to(dtype)
    d, k = wrap_dim(dim, x.dim()), x.sparse_dim()
    if d >= k:
        return x.map(lambda v: getattr(ops, kind)(v, d - k + 1))
    if not x._nnz():
        return x.map(lambda v: v)
    groups, n = products.groups_without(x, d)
    shape = (n, *x._data.shape[1:])
    lined = groups.reshape(-1, *[1] * (len(shape) - 1)).expand(x._data.shape)
    top = ops.full(shape, -float("inf"), dtype=x.dtype).scatter_reduce(0, lined, x._data.detach(), "amax")
    shifted = x._data - top[groups]
    sums = merged(shifted.exp(), groups, n)[groups]
    data = shifted.exp() / sums if kind == "softmax" else shifted - sums.log()
    return x.with_values(named(data, f"Sparse{kind.title().replace('_', '')}Backward0"))


# -- others ----------------------------------------------------------------------------------------
def _full_like(input, value, dtype=None):
    if value:
        refuse("fill_.Scalar", input)
    return input.make_empty(Size(input.shape), dtypes.as_dtype(dtype)) if not isinstance(input, Coo) else \
        _nothing(input, dtypes.as_dtype(dtype))


def _filled(shape, value, dtype, layout):
    """zeros and empty by layout; no other value is sparse."""
    from .tensor import empty_coo
    if value:
        raise RuntimeError("full(...) is not implemented for sparse layout")
    if layout == sparse_coo:
        return empty_coo(Size(shape), dtype)
    none = ops.zeros(0, dtype=dtypes.int64)
    return Compressed(layout, none, none, ops.zeros(0, dtype=dtype), Size(shape)).make_empty(Size(shape), dtype)


def _nothing(x, dtype):
    from .tensor import empty_coo
    return empty_coo(x.shape, dtype or x.dtype, x.sparse_dim())


def _clone(input):
    return input.clone()


def _cast(x, dtype):
    return x.to(dtype)


_RELU = _unary("relu")
TABLE = {name: _unary(name) for name in ZERO_TO_ZERO.split() if hasattr(ops, name)}
TABLE |= {
    "neg": _negated, "conj": _conjugated, "pow": _power, "_tensor_power": _power, "mul": _mul, "div": _div,
    "floor_divide": _floor_divide, "add": _add, "sub": _sub,
    "mm": products.mm, "mv": products.mv, "matmul": products.matmul, "bmm": products.bmm, "addmm": products.addmm,
    "linear": products.linear, "transpose": _transpose, "permute": _permute, "unsqueeze": _unsqueeze,
    "index_select": _index_select, "cat": _cat, "stack": _stack,
    "sum": total, "norm": _norm, "any": _any, "full_like": _full_like, "filled": _filled, "clone": _clone, "_cast": _cast}
TABLE["relu"] = lambda input, inplace=False: _RELU(input)
TABLE |= {name: _refused_view(name) for name in ("expand", "reshape", "view", "squeeze")}



def _in_place_if_coalesced(name):
    op = getattr(ops, name)

    def method(self, *args, **kwargs):
        if isinstance(self, Coo) and not self._coalesced:
            raise RuntimeError(f"{name}_ requires coalesced input")
        return self.become(op(self, *args, **kwargs))
    return method


for _name in ZERO_TO_ZERO.split():
    if hasattr(SparseTensor, _name + "_") and _name != "relu":
        setattr(SparseTensor, _name + "_", _in_place_if_coalesced(_name))
SparseTensor.__getitem__ = getitem
for _name in ("reshape", "flatten", "view", "expand", "resize_", "nonzero", "squeeze", "ravel", "unflatten", "repeat",
              "as_strided", "argsort", "sort", "topk", "fill_"):
    setattr(SparseTensor, _name, _refused_view(_name))
SparseTensor.select, SparseTensor.narrow_copy, SparseTensor.narrow, SparseTensor.unbind = select, narrow, narrow, unbind
SparseTensor.is_nonzero = SparseTensor.__bool__ = lambda self: bool(to_dense(self))
SparseTensor.__iter__ = lambda self: iter(unbind(self))
