"""Making sparse tensors: from indices and values, from dense tensors, from one layout to another."""
from __future__ import annotations

from itertools import pairwise
from math import prod

from .. import dtypes, ops
from ..autograd.node import named
from ..layout import Size
from ..ops.layouts import layout as layout_type, sparse_coo, sparse_csc, sparse_csr
from ..tensor import Tensor, check_device
from .tensor import Compressed, Coo, SparseTensor, alias, empty_coo, expected


class check_sparse_tensor_invariants:
    """Whether constructors look at the values of indices: a switch, a context manager and a decorator."""

    enabled = False

    def __init__(self, enable=True):
        self.wanted, self.before = enable, []

    @classmethod
    def is_enabled(cls) -> bool:
        return cls.enabled

    @staticmethod
    def enable() -> None:
        check_sparse_tensor_invariants.enabled = True

    @staticmethod
    def disable() -> None:
        check_sparse_tensor_invariants.enabled = False

    def __enter__(self):
        self.before.append(self.enabled)
        check_sparse_tensor_invariants.enabled = self.wanted

    def __exit__(self, *exc):
        check_sparse_tensor_invariants.enabled = self.before.pop()

    def __call__(self, fn):
        def call(*args, **kwargs):
            with type(self)(self.wanted):
                return fn(*args, **kwargs)
        return call


def _checks(check_invariants) -> bool:
    return check_sparse_tensor_invariants.enabled if check_invariants is None else check_invariants


# -- coordinates -----------------------------------------------------------------------------------
def sparse_coo_tensor(indices=None, values=None, size=None, *, dtype=None, device=None, pin_memory=False,
                      requires_grad=False, check_invariants=None, is_coalesced=None):
    """A COO tensor of indices (sparse dimensions, n) and values (n, *dense dimensions).

    sparse_coo_tensor(size) stores nothing. Without a size the least that holds all indices is taken.
    """
    check_device(device)
    if values is None:
        return empty_coo(Size(indices if size is None else size), dtypes.as_dtype(dtype)).requires_grad_(requires_grad)
    at, data = _indices_tensor(indices), _values_tensor(values, dtype)
    if at.dim() != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(at.shape)}")
    if not data.dim() and at.shape[1] != 1:
        data = data.expand(at.shape[1])
    data = data.reshape(1) if not data.dim() else data
    if at.shape[1] != data.shape[0]:
        raise RuntimeError(f"indices and values must have same nnz, but got nnz from indices: {at.shape[1]}, nnz from "
                           f"values: {data.shape[0]}")
    y = Coo(at, _placed(data, requires_grad), _sizes_of(at, data, size), bool(is_coalesced))
    if size is not None and _checks(check_invariants):
        check_coordinates(y)
    return y


def _placed(data, requires_grad):
    """The values on the tape: as the operation that made them a sparse tensor, or as a leaf."""
    if requires_grad and not data.requires_grad:
        return data.detach().requires_grad_()
    return named(alias(data), "SparseCooTensorWithDimsAndTensorsBackward0")


def _indices_tensor(x):
    x = x if isinstance(x, Tensor) else ops.tensor(x)
    if x.dtype.rank >= 2 and x.numel():
        raise TypeError("expected indices to be of an integral dtype, but got " + repr(x.dtype)) \
            if x.dim() == 2 else RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(x.shape)}")
    return x.to(dtypes.int64).detach()


def _values_tensor(x, dtype):
    x = x if isinstance(x, Tensor) else ops.tensor(x, dtype=dtype)
    return x if dtype is None else x.to(dtypes.as_dtype(dtype))


def _sizes_of(at, data, size):
    dense = tuple(data.shape[1:])
    if size is None:
        if not at.shape[1]:
            return (0,) * at.shape[0] + dense
        low, high = at.amin(1).tolist(), at.amax(1).tolist()
        for d, n in enumerate(low):
            if n < 0:
                raise RuntimeError(f"found negative index {n} for dim {d}")
        return tuple(n + 1 for n in high) + dense
    if len(size) != at.shape[0] + len(dense):
        raise RuntimeError(f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, "
                           f"sparse_dim = {at.shape[0]}, dense_dim = {len(dense)}")
    if tuple(size[at.shape[0]:]) != dense:
        raise RuntimeError(f"values has incorrect size, expected {[data.shape[0], *size[at.shape[0]:]]}, got "
                           f"{list(data.shape)}")
    return size


def check_coordinates(x: Coo) -> None:
    """RuntimeError for an index that does not fit the size."""
    if not x._nnz():
        return
    for d, (low, high) in enumerate(zip(x._at.amin(1).tolist(), x._at.amax(1).tolist())):
        if low < 0:
            raise RuntimeError(f"found negative index {low} for dim {d}")
        if high >= x.shape[d]:
            raise RuntimeError(f"size is inconsistent with indices: for dim {d}, size is {x.shape[d]} but found index {high}")


# -- compressed rows or columns --------------------------------------------------------------------
def sparse_compressed_tensor(compressed_indices, plain_indices, values, size=None, *, dtype=None, layout=None,
                             device=None, pin_memory=False, requires_grad=False, check_invariants=None):
    """A CSR or CSC tensor: where each row (column) begins, the other coordinate of each entry, values."""
    check_device(device)
    if layout not in (sparse_csr, sparse_csc):
        raise NotImplementedError(f"sparse_compressed_tensor: layout={layout}")
    starts, plain = (x.detach() if isinstance(x, Tensor) else ops.tensor(x) for x in (compressed_indices, plain_indices))
    data = _values_tensor(values, dtype)
    if starts.dim() != 1 or plain.dim() != 1 or data.dim() != 1:
        raise NotImplementedError("batches and dense dimensions of compressed sparse tensors")
    if size is None:
        n, m = starts.numel() - 1, int(plain.max()) + 1 if plain.numel() else 0
        size = (n, m) if layout == sparse_csr else (m, n)
    y = Compressed(layout, starts, plain, _placed(data, requires_grad), size)
    if _checks(check_invariants):
        check_compressed(y)
    return y


def check_compressed(x: Compressed) -> None:
    """RuntimeError for parts that do not fit each other."""
    long, short = ("crow", "col") if x.layout is sparse_csr else ("ccol", "row")
    n, m = x.shape if x.layout is sparse_csr else x.shape[::-1]
    starts, plain = x._starts.tolist(), x._plain.tolist()
    if len(starts) != n + 1:
        raise RuntimeError(f"{long}_indices.shape[-1] must be equal to the number of "
                           f"{'rows' if long == 'crow' else 'columns'} + 1 (={n + 1}), but got {len(starts)}")
    if len(plain) != x._nnz() or starts[0] != 0 or starts[-1] != len(plain):
        raise RuntimeError(f"`{long}_indices[..., 0] == 0` and `{long}_indices[..., -1] == nnz` are not satisfied.")
    if any(a > b for a, b in pairwise(starts)):
        raise RuntimeError(f"`0 <= {long}_indices[..., 1:] - {long}_indices[..., :-1] <= "
                           f"{'ncols' if long == 'crow' else 'nrows'}` is not satisfied.")
    if any(not 0 <= k < m for k in plain):
        raise RuntimeError(f"`0 <= {short}_indices < {'ncols' if long == 'crow' else 'nrows'}` is not satisfied.")


def sparse_csr_tensor(crow_indices, col_indices, values, size=None, *, dtype=None, layout=None, device=None,
                      pin_memory=False, requires_grad=False, check_invariants=None):
    """A matrix by rows."""
    return sparse_compressed_tensor(crow_indices, col_indices, values, size, dtype=dtype, layout=sparse_csr,
                                    device=device, requires_grad=requires_grad, check_invariants=check_invariants)


def sparse_csc_tensor(ccol_indices, row_indices, values, size=None, *, dtype=None, layout=None, device=None,
                      pin_memory=False, requires_grad=False, check_invariants=None):
    """A matrix by columns."""
    return sparse_compressed_tensor(ccol_indices, row_indices, values, size, dtype=dtype, layout=sparse_csc,
                                    device=device, requires_grad=requires_grad, check_invariants=check_invariants)


# -- places ----------------------------------------------------------------------------------------
def flat_places(at, sizes):
    """Coordinates (k, n) as places in the row-major order of the sizes."""
    if not len(sizes):
        return ops.zeros(at.shape[1], dtype=dtypes.int64)
    place = at[0]
    for d in range(1, len(sizes)):
        place = place * sizes[d] + at[d]
    return place


def coordinates_of(places, sizes):
    """The other way round."""
    if not len(sizes):
        return ops.zeros(0, places.numel(), dtype=dtypes.int64)
    rows = []
    for n in reversed(sizes[1:]):
        rows.append(places % n if n else places)
        places = ops.div(places, max(n, 1), rounding_mode="floor")
    return ops.stack([places, *rows[::-1]])


def coalesced(x: Coo) -> Coo:
    """Entries in row-major order of their places, those of one place added in their order."""
    sizes = x.shape[:x.sparse_dim()]
    places, inverse = ops.unique(flat_places(x._at, sizes), return_inverse=True)
    data = merged(x._data, inverse, places.numel())
    return Coo(coordinates_of(places, sizes), named(data, "CoalesceBackward0"), x.shape, True)


def merged(data, groups, n):
    """Values added up by group."""
    if data.dtype is dtypes.bool:
        return merged(data.to(dtypes.int64), groups, n) != 0
    return ops.zeros(n, *data.shape[1:], dtype=data.dtype).index_add(0, groups, data)


def same_pattern(a, b) -> bool:
    """Whether two tensors are known to store the same places in the same order."""
    return a.layout is b.layout and a.shape == b.shape and all(
        p is q or p.shape == q.shape and bool((p == q).all()) for p, q in zip(a.pattern(), b.pattern())) \
        and a._data.dim() == b._data.dim()


# -- conversions, which are methods ----------------------------------------------------------------
def to_dense(self, dtype=None, *, masked_grad=None):
    """Zeros where nothing is stored."""
    if not isinstance(self, SparseTensor):
        return self if dtype is None else self.to(dtype)
    x = to_sparse_coo(self)
    sizes = x.shape[:x.sparse_dim()]
    flat = merged(x._data, flat_places(x._at, sizes), prod(sizes))
    y = named(flat.reshape(x.shape), "ToDenseBackward0")
    return y if dtype is None else y.to(dtype)


def to_sparse(self, sparse_dim=None, *, layout=None, blocksize=None, dense_dim=None):
    """As another layout; a dense tensor's elements that are not zero (`sparse_dim`: whole slices of the rest)."""
    if isinstance(sparse_dim, layout_type):
        sparse_dim, layout = None, sparse_dim
    if layout is not None and layout not in (sparse_coo, sparse_csr, sparse_csc):
        raise NotImplementedError(f"to_sparse: layout={layout}")
    if layout == sparse_csr:
        return to_sparse_csr(self, dense_dim)
    if layout == sparse_csc:
        return to_sparse_csc(self, dense_dim)
    if isinstance(self, SparseTensor):
        return to_sparse_coo(self)
    n = self.dim() if sparse_dim is None else sparse_dim
    if not 0 < n <= self.dim() and self.dim():
        raise RuntimeError(f"sparse_dim argument must be in >=0 for scalar tensor input and in [1,{self.dim()}] for "
                           f"non-scalar tensor input, but got {n}")
    used = self.detach() != 0
    at = (used if n == self.dim() else used.flatten(n).any(n)).nonzero().t().contiguous()
    data = self[tuple(at)] if n else self.reshape(1)
    return Coo(at, named(data, "ToSparseBackward0"), self.shape, True)


def to_sparse_coo(self):
    """As coordinates."""
    if not isinstance(self, SparseTensor):
        return to_sparse(self)
    if isinstance(self, Coo):
        return self
    return Coo(ops.stack(self.coordinates()), self._data, self.shape, self.layout is sparse_csr)


def to_sparse_csr(self, dense_dim=None):
    """By rows."""
    return _compressed(self, sparse_csr)


def to_sparse_csc(self, dense_dim=None):
    """By columns."""
    return _compressed(self, sparse_csc)


def _compressed(x, layout):
    if x.layout is layout:
        return x
    if x.dim() != 2:
        raise RuntimeError(f"tensor dimensionality must be sum of batch, base, and dense dimensionalities (=0 + 2 + 0) "
                           f"but got {x.dim()}")
    c = to_sparse_coo(x).coalesce()
    by_rows = layout is sparse_csr
    places, data = c._at, c._data
    if not by_rows:
        order = ops.argsort(flat_places(places.flip(0), c.shape[::-1]))
        places, data = places[:, order], data[order]
    long, plain = places[0 if by_rows else 1], places[1 if by_rows else 0]
    starts = ops.searchsorted(long.contiguous(), ops.arange(c.shape[0 if by_rows else 1] + 1))
    return Compressed(layout, starts, plain.contiguous(), data, c.shape)


def sparse_mask(self, mask):
    """The elements of self where the sparse tensor `mask` stores something."""
    if not isinstance(mask, SparseTensor):
        raise RuntimeError("sparse_mask: expected a sparse mask")
    if self.shape != mask.shape:
        raise RuntimeError(f"sparse_mask(): operands have incompatible sizes; self has size {list(self.shape)} but mask "
                           f"has size {list(mask.shape)}")
    at = mask._at if isinstance(mask, Coo) else ops.stack(mask.coordinates())
    return mask.with_values(named(values_at(self, at), "SparseMaskBackward0"))


def values_at(x, at):
    """The values of a tensor of any layout at coordinates (k, n); zeros where it stores nothing."""
    if not isinstance(x, SparseTensor):
        return x[tuple(at)]
    c = to_sparse_coo(x).coalesce()
    sizes = c.shape[:c.sparse_dim()]
    if not c._nnz():
        return ops.zeros(at.shape[1], *c.shape[len(sizes):], dtype=c.dtype)
    found, hit = located(flat_places(c._at, sizes), flat_places(at, sizes))
    data = c._data[found]
    return ops.where(hit.reshape(-1, *[1] * (data.dim() - 1)), data, ops.zeros((), dtype=data.dtype))


def located(known, wanted):
    """Where in the sorted `known` each wanted place is, and whether it is there at all."""
    found = ops.searchsorted(known, wanted).clamp(max=known.numel() - 1)
    return found, known[found] == wanted


# -- questions that every tensor has an answer to ----------------------------------------------------
def _asked(name, what):
    return lambda self: expected(self, name, what)


METHODS = {f.__name__: f for f in (to_dense, to_sparse, to_sparse_coo, to_sparse_csr, to_sparse_csc, sparse_mask)}
METHODS |= {name: _asked(name, "sparse coordinate") for name in ("indices", "_indices", "is_coalesced", "coalesce")}
METHODS |= {name: _asked(name, "sparse") for name in ("values", "_values")}
METHODS |= {name: _asked(name, f"sparse {kind} compressed") for name, kind in
            (("crow_indices", "row"), ("col_indices", "row"), ("ccol_indices", "column"), ("row_indices", "column"))}


def _nnz(self):
    raise NotImplementedError("Could not run 'aten::_nnz' with arguments from the 'CPU' backend.")


METHODS["_nnz"] = _nnz
