"""Sparse tensors: dense index tensors and a dense tensor of values.

The values carry everything that a tensor has besides its pattern: dtype, place on the tape, gradient.
So an operation on a sparse tensor is one on its values, gathered and scattered by ordinary
operations, and gradients of any order follow. The gradient of a sparse leaf is that of its values,
shown with the leaf's own pattern.
"""
from __future__ import annotations

from math import prod

from .. import dtypes, ops
from ..autograd.grad_mode import mode
from ..autograd.node import named
from ..layout import Size, wrap_dim
from ..ops import inplace
from ..ops.layouts import Unstrided, in_use, sparse_coo, sparse_csc, sparse_csr
from ..ops.support import legacy_name
from ..tensor import Tensor

in_use.append(True)
SPOKEN = {"strided": "Strided", "sparse_coo": "Sparse", "sparse_csr": "SparseCsr", "sparse_csc": "SparseCsc"}


class NoStorage(NotImplementedError, AttributeError):
    """A sparse tensor has no memory of its own; an AttributeError too, so that replays make way."""


def refuse(name: str, x):
    """PyTorch's error for an operation that sparse tensors do not have."""
    backend = "SparseCPU" if x.layout is sparse_coo else "SparseCsrCPU"
    raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the '{backend}' backend.")


def expected(x, name: str, what: str):
    """PyTorch's error for a question to a tensor of another layout."""
    raise RuntimeError(f"{name} expected {what} tensor layout but got {SPOKEN[str(x.layout)[6:]]}")


def check_leaf(x) -> None:
    if mode.enabled and x.requires_grad and x.is_leaf:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def alias(x):
    """The same memory and place on the tape, but another tensor: never a leaf that is x itself."""
    return x.view_as(x) if x.requires_grad else x.detach()


class SparseTensor(Unstrided):
    """Base of the sparse layouts: `_size` and `_data`, the values."""

    offset = 0
    is_sparse = False

    # -- what it is ------------------------------------------------------------------------------
    dtype = property(lambda self: self._data.dtype)
    shape = property(lambda self: self._size)

    @property
    def storage(self):
        raise NoStorage("Cannot access storage of SparseTensorImpl")

    def is_inference(self) -> bool:
        return False

    def size(self, dim=None):
        return self._size if dim is None else self._size[wrap_dim(dim, len(self._size))]

    def stride(self, dim=None):
        return (0,) * len(self._size) if dim is None else 0

    def dim(self) -> int:
        return len(self._size)

    ndim = property(dim)
    ndimension = dim

    def numel(self) -> int:
        return prod(self._size)

    nelement = numel

    def is_contiguous(self, memory_format=None) -> bool:
        return False

    def data_ptr(self):
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def contiguous(self, memory_format=None):
        raise RuntimeError("unsupported memory format option Contiguous")

    def _array(self):
        raise TypeError("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.")

    def numpy(self, *, force=False):
        self._array()

    def tolist(self):
        self.data_ptr()

    def item(self):
        """The one element as a number."""
        if self.numel() != 1:
            raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
        return self.to_dense().item()

    def type(self, dtype=None, non_blocking=False):
        if dtype is None:
            return f"torch.sparse.{legacy_name(self.dtype)}Tensor"
        from ..ops.legacy import type_named
        return self.to(type_named(dtype))

    def __len__(self):
        return self._size[0]

    def __iter__(self):
        return iter(self.unbind(0))

    def _nnz(self) -> int:
        """How many elements are stored."""
        return self._data.shape[0]

    def dense_dim(self) -> int:
        return self._data.dim() - 1

    def sparse_dim(self) -> int:
        return self.dim() - self.dense_dim()

    def __hash__(self):
        return id(self)

    def __repr__(self, *, tensor_contents=None):
        from .show import show
        return show(self)

    # -- other values on the same pattern --------------------------------------------------------
    def map(self, fn):
        """The same pattern with other values."""
        return self.with_values(fn(self._data))

    def become(self, other):
        """Take the pattern and values of another tensor of this layout."""
        if other.layout is not self.layout:
            raise RuntimeError(f"a {self.layout} tensor cannot hold a {other.layout} result")
        if dtypes.promote_types(other.dtype, self.dtype) is not self.dtype and other.dtype.rank > self.dtype.rank:
            raise RuntimeError(f"result type {legacy_name(other.dtype)} can't be cast to the desired output type "
                               f"{legacy_name(self.dtype)}")
        if all(mine is theirs for mine, theirs in zip(self.pattern(), other.pattern())) \
                and self._data.shape == other._data.shape:
            self._data.copy_(other._data)           # in its memory: others may show it, too
            return self
        check_leaf(self._data)
        own = self.dtype
        self.__dict__.update(other.__dict__)
        if self._data.dtype is not own:
            self._data = self._data.to(own)
        return self

    def pattern(self):
        """The tensors that say where the values are."""
        return [x for x in self.parts()[:-1] if isinstance(x, Tensor)][:-1]

    def detach(self):
        return self.map(lambda v: v.detach())

    data = property(detach)

    def clone(self, *, memory_format=None):
        return self.copied(lambda x: x.clone())

    def to(self, *args, **kwargs):
        return self.map(lambda v: v.to(*args, **kwargs))

    def cpu(self, memory_format=None):
        return self

    def __deepcopy__(self, memo):
        from copy import deepcopy
        return self.copied(lambda x: deepcopy(x, memo))

    def __copy__(self):
        return self.map(lambda v: v)

    def __reduce_ex__(self, protocol):
        from ..io.rebuild import _rebuild_sparse_tensor
        return _rebuild_sparse_tensor, (self.layout, self.parts())

    # -- its place on the tape: that of its values -----------------------------------------------
    _view_of = _root = None
    _requires_grad = property(lambda self: self._data.requires_grad)
    _grad_fn = property(lambda self: self._data._grad_fn)
    grad_fn = property(lambda self: self._data.grad_fn)
    requires_grad = property(lambda self: self._data.requires_grad,
                             lambda self, flag: self.requires_grad_(flag) and None)

    def requires_grad_(self, requires_grad=True):
        self._data.requires_grad_(requires_grad)
        return self

    def _get_grad(self):
        g = self._data._grad
        return None if g is None else self.with_values(g)

    def _set_grad(self, g):
        if g is not None and not isinstance(g, SparseTensor):
            g = g.sparse_mask(self)
        self._data.grad = None if g is None else g.at_pattern_of(self)

    def _del_grad(self):
        self._data._grad = None

    grad = _grad = property(_get_grad, _set_grad, _del_grad)

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Gradients from one of this tensor's shape, sparse or dense."""
        seed = gradient if gradient is None or isinstance(gradient, SparseTensor) else gradient.sparse_mask(self)
        self._data.backward(seed if seed is None else seed.at_pattern_of(self), retain_graph, create_graph, inputs)

    def register_hook(self, hook):
        def on_values(g):
            result = hook(self.with_values(g))
            return None if result is None else result.at_pattern_of(self)
        return self._data.register_hook(on_values)

    def register_post_accumulate_grad_hook(self, hook):
        return self._data.register_post_accumulate_grad_hook(lambda _: hook(self))

    def retain_grad(self):
        self._data.retain_grad()

    def detach_(self):
        self._data = self._data.detach()
        return self

    def at_pattern_of(self, other):
        """This tensor's values where other stores its own, zeros where this one has none."""
        from .convert import same_pattern, sparse_mask
        return self._data if same_pattern(self, other) else sparse_mask(self, other)._data

    def new_zeros(self, *size, dtype=None, **kwargs):
        return self.make_empty(Size(ops.create.sizes(size)), dtype)

    new_empty = new_zeros


class Coo(SparseTensor):
    """Coordinates: indices (sparse dimensions, n) and values (n, *dense dimensions)."""

    layout, is_sparse = sparse_coo, True

    def __new__(cls, indices, data, size, coalesced=False):
        self = object.__new__(cls)
        self._at, self._data, self._size, self._coalesced = indices, data, Size(size), bool(coalesced)
        return self

    def with_values(self, data):
        return Coo(self._at, data, self._size, self._coalesced)

    def copied(self, copy):
        return Coo(copy(self._at), copy(self._data), self._size, self._coalesced)

    def parts(self):
        return self._at, self._data.detach(), self._size, self._coalesced

    def make_empty(self, size, dtype=None):
        return empty_coo(size, dtype or self.dtype)

    def is_coalesced(self) -> bool:
        return self._coalesced

    def _coalesced_(self, flag):
        self._coalesced = bool(flag)
        return self

    def coalesce(self):
        """Sorted by coordinates, entries of the same place added up."""
        if self._coalesced:
            return self
        from .convert import coalesced
        return coalesced(self)

    def _indices(self):
        return self._at

    def _values(self):
        return self._data.detach()

    def indices(self):
        self._need_coalesced("indices")
        return self._at

    def values(self):
        self._need_coalesced("values")
        return named(alias(self._data), "ValuesBackward0")

    def _need_coalesced(self, what):
        if not self._coalesced:
            raise RuntimeError(f"Cannot get {what} on an uncoalesced tensor, please call .coalesce() first")

    def sparse_resize_(self, size, sparse_dim, dense_dim):
        """Another size; the entries stay."""
        if self._nnz() and (sparse_dim, dense_dim) != (self.sparse_dim(), self.dense_dim()):
            raise RuntimeError("changing the number of sparse dimensions on a non-empty sparse tensor is not supported")
        if not self._nnz():
            return self.become(empty_coo(Size(size), self.dtype, sparse_dim))
        self._size = Size(size)
        return self

    def sparse_resize_and_clear_(self, size, sparse_dim, dense_dim):
        return self.become(empty_coo(Size(size), self.dtype, sparse_dim))

    def zero_(self):
        return self.become(empty_coo(self._size, self.dtype, self.sparse_dim()))


def empty_coo(size, dtype=None, sparse_dim=None):
    """Nothing stored."""
    n = len(size) if sparse_dim is None else sparse_dim
    return Coo(ops.zeros(n, 0, dtype=dtypes.int64), ops.zeros(0, *size[n:], dtype=dtype), size, True)


class Compressed(SparseTensor):
    """Rows (CSR) or columns (CSC): where each begins, the other coordinate of each entry, values."""

    def __new__(cls, layout, starts, plain, data, size):
        self = object.__new__(cls)
        self._layout, self._starts, self._plain, self._data, self._size = layout, starts, plain, data, Size(size)
        self._rows = None
        return self

    layout = property(lambda self: self._layout)
    is_sparse_csr = property(lambda self: self._layout is sparse_csr)

    def with_values(self, data):
        y = Compressed(self._layout, self._starts, self._plain, data, self._size)
        y._rows = self._rows
        return y

    def copied(self, copy):
        return Compressed(self._layout, copy(self._starts), copy(self._plain), copy(self._data), self._size)

    def parts(self):
        return self._starts, self._plain, self._data.detach(), self._size

    def make_empty(self, size, dtype=None):
        n = size[0 if self._layout is sparse_csr else 1]
        return Compressed(self._layout, ops.zeros(n + 1, dtype=self._starts.dtype),
                          ops.zeros(0, dtype=self._plain.dtype), ops.zeros(0, dtype=dtype or self.dtype), size)

    def _long(self):
        """The compressed coordinate of each entry; worked out once for what the starts are now."""
        version = self._starts._version
        if self._rows is None or self._rows[0] != version:
            at = ops.arange(self._nnz(), dtype=self._starts.dtype)
            self._rows = version, ops.searchsorted(self._starts, at, right=True) - 1
        return self._rows[1]

    def coordinates(self):
        """(rows, columns) of the entries."""
        a, b = self._long(), self._plain.to(dtypes.int64)
        return (a, b) if self._layout is sparse_csr else (b, a)

    def _need(self, layout, name, what):
        if self._layout is not layout:
            expected(self, name, what)

    def crow_indices(self):
        self._need(sparse_csr, "crow_indices", "sparse row compressed")
        return self._starts

    def col_indices(self):
        self._need(sparse_csr, "col_indices", "sparse row compressed")
        return self._plain

    def ccol_indices(self):
        self._need(sparse_csc, "ccol_indices", "sparse column compressed")
        return self._starts

    def row_indices(self):
        self._need(sparse_csc, "row_indices", "sparse column compressed")
        return self._plain

    def values(self):
        return named(alias(self._data), "ValuesBackward0")

    def indices(self):
        expected(self, "indices", "sparse coordinate")

    def coalesce(self):
        expected(self, "coalesce", "sparse coordinate")

    is_coalesced = _indices = _values = coalesce


def _converted(dtype):
    return lambda self, memory_format=None: self.to(dtype)


def _in_place(op):
    return lambda self, *args, **kwargs: self.become(op(self, *args, **kwargs))


for _name, _dtype in (("float", dtypes.float32), ("double", dtypes.float64), ("half", dtypes.float16),
                      ("bfloat16", dtypes.bfloat16), ("long", dtypes.int64), ("int", dtypes.int32),
                      ("short", dtypes.int16), ("char", dtypes.int8), ("byte", dtypes.uint8), ("bool", dtypes.bool)):
    setattr(SparseTensor, _name, _converted(_dtype))
for _name in inplace.METHODS:
    _op = getattr(ops, _name[:-1], None)
    if _op is not None and _name not in ("zero_", "copy_", "fill_"):
        setattr(SparseTensor, _name, _in_place(_op))
for _name, _op in (("__iadd__", ops.add), ("__isub__", ops.sub), ("__imul__", ops.mul), ("__itruediv__", ops.div)):
    setattr(SparseTensor, _name, _in_place(_op))
SparseTensor.copy_ = lambda self, src, non_blocking=False: self.become(src.clone())
Tensor.is_sparse_csr = False
