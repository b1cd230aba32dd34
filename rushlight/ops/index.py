"""Reading and writing by index: x[...], gather, scatter, index_*, sorting."""
from __future__ import annotations

import builtins
import functools

import numpy as np

from .casting import listed
from .. import dtypes
from .. import layout as L
from ..autograd.function import differentiable
from ..autograd.grad_mode import mode as grad
from ..autograd.inplace import assign, check_writable, is_plain, write_signature
from ..autograd.node import is_tracked, named, type_name
from ..autograd.recall import recalled
from ..compiler.sizes import Number, whole
from ..errors import warn_once
from ..layout import broadcast_shapes, layout, packed, wrap_dim
from ..prims.host import argsort as argsort_p, argtopk as argtopk_p
from ..prims.index import copy, gather as gather_p, scatter as scatter_p
from ..prims.introsort import PIECE
from ..prims.pointwise import full as full_p
from ..storage import Storage
from ..return_types import return_type
from ..tensor import Tensor, wrap
from ..trace.flush import from_array
from ..trace.record import compound, pending, record_write
from .create import arange, tensor, triu_indices, zeros
from .formats import laid_out
from .overriding import stranger
from .pointwise import where
from .promote import SAME, apply, cast_layout, in_order, into, operand, output_order, remember
from .shape import _ALIAS as ALIAS
from .support import as_element, beyond, legacy_name, need, refuse
from .shape import entry_of, expand, permute, select, slice_, unsqueeze, view_of


# -- x[index] ------------------------------------------------------------------------------------------------
def _entries(index):
    """The index as a list; lists of numbers count as arrays, lists of anything else as tuples."""
    if isinstance(index, list) and len(index) < 32 and any(
            i is None or i is Ellipsis or isinstance(i, (slice, Tensor, list, tuple, np.ndarray)) for i in index):
        index = tuple(index)
    elif not isinstance(index, tuple):
        index = (index,)
    return [_entry(i) for i in index]


def _entry(i):
    if isinstance(i, Tensor):
        is_number = not i.layout.ndim and i.dtype.rank == 1 and pending.capture is None    # vmap has no values to read
        return int(i.item()) if is_number else i
    if i is None or i is Ellipsis or isinstance(i, slice) or type(i) in (int, bool):
        return i
    if isinstance(i, np.ndarray):
        return tensor(i)
    if isinstance(i, (list, builtins.range, tuple)):
        return tensor(list(i)) if len(i) else tensor([], dtype=dtypes.int64)
    if isinstance(i, np.bool_):
        return bool(i)
    if hasattr(i, "__index__"):
        return i.__index__()
    if isinstance(i, str):
        raise TypeError("new(): invalid data type 'str'")
    raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                    f"(got {type(i).__name__})")


def _consumed(i) -> int:
    if i is None or i is Ellipsis or isinstance(i, bool):
        return 0
    return i.dim() if isinstance(i, Tensor) and i.dtype in (dtypes.bool, dtypes.uint8) else 1


def _expanded(entries, ndim):
    """The ellipsis (or the missing tail) replaced by full slices."""
    dots = [k for k, i in enumerate(entries) if i is Ellipsis]
    entries = [i for k, i in enumerate(entries) if i is not Ellipsis or k == dots[0]]
    used = sum(map(_consumed, entries))
    if not ndim and len(entries) == 1 and isinstance(entries[0], slice):
        _bounds(entries[0], 0)
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if used > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    fill = [slice(None)] * (ndim - used)
    if dots:
        return entries[:dots[0]] + fill + entries[dots[0] + 1:]
    return entries + fill


def _basic(x, entries):
    """Apply numbers, slices and None as views; what remains are index tensors by axis."""
    dim, arrays = 0, {}
    for i in entries:
        if i is None:
            x = unsqueeze(x, dim)
            dim += 1
        elif isinstance(i, bool):
            x = unsqueeze(x, dim)
            arrays[dim] = tensor([i])
            dim += 1
        elif isinstance(i, slice):
            start, stop, step = _bounds(i, x.shape[dim])
            if (start, stop, step) != (0, x.shape[dim], 1):
                x = slice_(x, dim, start, stop, step)
            dim += 1
        elif isinstance(i, Tensor):
            if not i.layout.ndim and i.dtype is dtypes.bool:
                x, i = unsqueeze(x, dim), i.reshape(1)
            arrays[dim] = i
            dim += _consumed(i)
        else:
            x = _pick(x, dim, i)
    return x, arrays


def _bounds(s, n):
    start, stop, step = s.indices(n) if type(n) is int and not _has_sizes(s) else _indices(s, n)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    return start, max(stop, start), step


def _has_sizes(s) -> bool:
    return Number in (type(s.start), type(s.stop), type(s.step))


def _indices(s, n):
    """s.indices(n) of sizes that may vary, for steps forward."""
    def inside(i, default):
        if i is None:
            return default
        return max(i + n, 0) if i < 0 else min(i, n)
    return inside(s.start, 0), inside(s.stop, n), 1 if s.step is None else s.step


def _pick(x, dim, i):
    n = x.shape[dim]
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for dimension {dim} with size {n}")
    return select(x, dim, i)


def _index_arrays(x, arrays):
    """Integer index tensors by axis: masks become the places of their true elements."""
    out = {}
    for dim, i in arrays.items():
        if i.dtype in (dtypes.bool, dtypes.uint8):
            if i.dtype is dtypes.uint8:
                warn_once("indexing with dtype torch.uint8 is now deprecated, use torch.bool.")
            _check_mask(x, i, dim)
            for k, places in enumerate(nonzero(i, as_tuple=True) if i.dim() else _scalar_mask(i)):
                out[dim + k] = places
        elif i.dtype is dtypes.int64 or i.dtype is dtypes.int32:
            out[dim] = i if i.dtype is dtypes.int64 else i.to(dtypes.int64)
        else:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return out


def _scalar_mask(i):
    return nonzero(i.reshape(1), as_tuple=True)


def _check_mask(x, mask, dim):
    for k, n in enumerate(mask.shape):
        if x.shape[dim + k] != n:
            raise IndexError(f"The shape of the mask {list(mask.shape)} at index {k} does not match the shape of the "
                             f"indexed tensor {list(x.shape)} at index {dim + k}")


def _prepare(x, index):
    """(view, axes, index tensors): the view after basic indexing and what is left to gather."""
    entries = _entries(index)
    if not x.layout.ndim and len(entries) == 1 and type(entries[0]) is int:
        return getitem(x, entries[0]), (), ()
    view, arrays = _basic(x, _expanded(entries, x.layout.ndim))
    if not arrays:
        return view, (), ()
    found = _index_arrays(view, arrays)
    axes = tuple(sorted(found))
    return view, axes, tuple(found[a] for a in axes)


def _coordinates(view, axes, indices):
    """(coords, iteration shape, expanded index tensors) of an advanced index.

    The axes of the index stand where the indexed axes stood if those are neighbours, else first.
    """
    try:
        common = ()
        for i in indices:
            common = broadcast_shapes(common, i.layout.shape)
    except RuntimeError:
        raise IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                         + ", ".join(str(list(i.shape)) for i in indices)) from None
    n = view.layout.ndim
    adjacent = axes[-1] - axes[0] == len(axes) - 1
    before = axes[0] if adjacent else 0
    rest = [d for d in range(n) if d not in axes]
    head = [view.shape[d] for d in rest[:before]]
    tail = [view.shape[d] for d in rest[before:]]
    shape = (*head, *common, *tail)
    place = {d: k if k < before else k + len(common) for k, d in enumerate(rest)}
    coords = tuple(-1 - axes.index(d) if d in axes else place[d] for d in range(n))
    lined = [expand(i.reshape(*i.shape, *[1] * len(tail)), shape) for i in indices]
    return coords, shape, lined


def getitem(x, index):
    """x[index] as PyTorch: numbers, slices, None, ..., masks and integer arrays in any mixture."""
    kind = type(index)
    if kind is Tensor and not index.layout.ndim and index.dtype is dtypes.int64 and pending.capture is None:
        index, kind = index.item(), int
    if kind is int:
        found = entry_of(x, index)
        if found is not None:
            return found
        if not x.layout.ndim:
            if index:
                raise IndexError(f"index {index} is out of bounds for dimension 0 with size 0")
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in "
                             "C++ to convert a 0-dim tensor to a number")
        return _pick(x, 0, index)
    if pending.capture is None and not (x._requires_grad or x._view_of is not None and is_tracked(x)):
        spot = _spot(x, index)
        if spot is not None:
            return _shown(x, *spot)
    try:
        spelled = _spelled(x, index)
        return _getitem(x, index) if spelled is None else _indexed(x, *spelled)
    except IndexError:
        found = stranger(getitem, (x, index), {})
        if found is None:
            raise
        return found[0]


_spots: dict = {}           # (layout, entries of an index without its numbers) -> (layout, offset change)
_BOUND = (int, type(None))


def _spot(x, index):
    """(layout, offset) of what x[index] shows, if that is numbers and slices; None if not, or if something is wrong.

    Numbers are not looked up but added to the offset: a loop over them meets the same entry.
    """
    l, at, entries, axis = x.layout, x.offset, [], 0
    shape, strides = l.shape, l.strides
    for i in index if type(index) is tuple else (index,):
        kind = type(i)
        if kind is int:
            if axis == l.ndim or not -shape[axis] <= i < shape[axis]:
                return None
            at += (i if i >= 0 else i + shape[axis]) * strides[axis]
            entries.append(int)
        elif kind is slice and type(i.start) in _BOUND and type(i.stop) in _BOUND and type(i.step) in _BOUND:
            entries.append((i.start, i.stop, i.step))
        elif kind is Tensor and not i.layout.ndim and i.dtype is dtypes.int64:
            return _spot(x, tuple(map(_entry, index)) if type(index) is tuple else _entry(index))
        else:
            return None
        axis += 1
    key = l, tuple(entries)
    found = _spots.get(key) or remember(_spots, key, _first_spot(l, entries))
    return found[0], at + found[1]


def _first_spot(l, entries):
    """(layout, offset change) of an index whose numbers are all 0."""
    bare = wrap(Tensor, Storage(None, dtypes.float32, 0), l, 0)
    view, _ = _basic(bare, _expanded([0 if e is int else slice(*e) for e in entries], l.ndim))
    return view.layout, view.offset


def _shown(x, l, offset):
    """Part of x, which nobody tracks."""
    y = wrap(Tensor, x.storage, l, offset)
    y._root = x if x._root is None else x._root
    if x._is_data:
        y._is_data = True
    if grad.enabled:
        y._view_of, y._view_version = x if x._view_of is None else x._view_of, x.storage.version
    return y


_TENSOR = ("tensor",)


def _spelled(x, index):
    """(parts that can be looked up, index tensors), or None if it takes more to understand the index."""
    if type(index) is Tensor and index.dtype is dtypes.bool:
        return _masked(x, index)
    parts, tensors = [], []
    for i in index if type(index) is tuple else (index,):
        kind = type(i)
        if kind is slice:
            part = (i.start, i.stop, i.step)
            if any(type(n) is not int and n is not None for n in part):
                return None
            parts.append(part)
        elif kind is int or i is None or i is Ellipsis:
            parts.append(i)
        elif kind is Tensor and i.layout.ndim and i.dtype is dtypes.int64:
            parts.append(_TENSOR)
            tensors.append(i)
        else:
            return None
    return tuple(parts), tensors


def _masked(x, mask):
    """x[mask] spelled out: where the mask is true, a tensor for each of its axes."""
    n = mask.layout.ndim
    if not n or pending.capture is not None or mask.shape != x.shape[:n]:
        return None
    return (_TENSOR,) * n, nonzero(mask, as_tuple=True)


@recalled("x tensors*")
def _indexed(x, parts, tensors):
    return _getitem(x, _index_of(parts, tensors))


def _index_of(parts, tensors) -> tuple:
    """The index that `_spelled` took apart."""
    rest = iter(tensors)
    return tuple([next(rest) if p is _TENSOR else slice(*p) if type(p) is tuple else p for p in parts])


def _getitem(x, index):
    view, axes, indices = _prepare(x, index)
    if axes:
        coords, shape, lined = _coordinates(view, axes, indices)
        y = apply(gather_p, (view, *lined), dict(coords=coords, shape=shape, size=tuple(view.shape), wrap=True,
                                                 error="index"), INDEX)
        return y if view.layout.packed and all(i.layout.packed for i in indices) else _picked_in_order(y, view, coords, lined)
    return view if view is not x else view_of(x, x.layout, x.offset, ALIAS, {})


def _picked_in_order(y, view, coords, lined):
    """y lies as the axes that were not indexed do, then as the indices (PyTorch walks all of them together)."""
    shape, strides = y.layout.shape, [0] * y.layout.ndim
    for e, step in zip(coords, view.layout.strides):
        if e >= 0:
            strides[e] = step
    order = output_order([L.layout(shape, strides), *[i.layout for i in lined]], shape)
    return y if order is None else laid_out(y, in_order(shape, order))


def setitem(x, index, value):
    """x[index] = value, in place."""
    if type(value) in _WRITABLE and is_plain(x) and (spot := _spot(x, index)) is not None and _put_part(x.storage, *spot, value):
        return
    check_value(x, value)
    if not isinstance(value, Tensor) and beyond(value, x.dtype):
        value = float(np.asarray(value).astype(x.dtype.numpy))
    if isinstance(index, bool):
        if index:
            _put(x.unsqueeze(0), value)
        return
    if isinstance(index, Tensor) and index.dtype is dtypes.bool and _is_number(value) and index.shape == x.shape:
        x.masked_fill_(index, value)
        return
    spelled = _spelled(x, index) if x.layout.ndim else None
    if spelled is not None and not spelled[1]:
        view = _indexed(x, *spelled)
        if view.layout is not x.layout:
            _put(view, value)
            return
    if spelled is not None and spelled[1]:
        _put_at(x, *spelled, _as_tensor(value, x.dtype))
        return
    view, axes, indices = _prepare(x, index)
    if not axes:
        _put(view, value)
        return
    _index_put(view, axes, indices, _as_tensor(value, x.dtype), "set")


def _as_tensor(value, d):
    return value if isinstance(value, Tensor) else tensor(as_element(value, d), dtype=d)


@recalled("x tensors* value")
def _put_at(x, parts, tensors, value):
    view, axes, indices = _prepare(x, _index_of(parts, tensors))
    _index_put(view, axes, indices, value, "set")


def _put_part(storage, l, offset, value) -> bool:
    """Write a tensor or number that fits into part of a memory as one node; False if more is to be thought of."""
    d, kind = storage.dtype, type(value)
    if not l.numel or l.numel == storage.numel or 0 in l.strides:
        return False
    if kind is Tensor:
        if value.layout.shape != l.shape or value.dtype is not d or grad.enabled and is_tracked(value):
            return False
        if value.storage is storage and value.offset == offset and value.layout is l:
            storage.version += 1        # what `x[i] += y` ends with
            return True
        record_write(storage, write_signature(storage, l, value.layout), (storage.node, offset, *operand(value)))
        return True
    if d.rank != 2 or kind is not float and kind is not int:
        return False
    key = l, storage.numel, d
    sig = _numbers.get(key) or remember(_numbers, key, _number_written(storage, l))
    record_write(storage, sig, (storage.node, offset), (value,))
    return True


_WRITABLE = {Tensor, float, int}
_numbers: dict = {}         # signatures of numbers that are written, by where and into what


def _number_written(storage, l):
    """A constant and its being written, as one node."""
    d = storage.dtype
    made = full_p.signature([None], (d,), dict(shape=tuple(l.shape), dtype=d))
    return compound(((made, (), 1), (write_signature(storage, l, made.out), (None, (0, 0)), 0)))


def check_value(x, value):
    """What is written by index is a tensor or a number."""
    if not isinstance(value, (Tensor, int, float, complex, np.generic)):
        raise TypeError(f"can't assign a {type(value).__module__ + '.' if isinstance(value, np.ndarray) else ''}"
                        f"{type(value).__name__} to a {type_name(x.dtype)}")


def _is_number(value):
    return not isinstance(value, Tensor)


def _put(view, value):
    if not isinstance(value, Tensor):
        return view.fill_(value)
    while value.dim() > view.dim() and value.shape[0] == 1:
        value = value[0]
    view.copy_(value)


def _index_put(view, axes, indices, value, mode):
    coords, shape, lined = _coordinates(view, axes, indices)
    try:
        src = expand(value, shape)
    except RuntimeError:
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing "
                           f"result of shape {list(shape)}") from None
    if value.dtype is not view.dtype:
        raise RuntimeError("Index put requires the source and destination dtypes match, got "
                           f"{legacy_name(view.dtype)} for the destination and {legacy_name(value.dtype)} for the source.")
    check_writable(view)
    y = apply(scatter_p, (view, src, *lined), dict(coords=coords, mode=mode, wrap=True, error="index"))
    assign(view, named(y, "IndexPutBackward0"))


def index_put_(input, indices, values, accumulate=False):
    """input[indices] = values (or += with accumulate, deterministically)."""
    view, axes, found = _prepare(input, tuple(slice(None) if i is None else i for i in indices))
    _index_put(view, axes, found, values, "add" if accumulate else "set")
    return input


def index_put(input, indices, values, accumulate=False):
    return named(index_put_(input.clone(), indices, values, accumulate), "IndexPutBackward0")


# -- along one axis ---------------------------------------------------------------------------------------------
def _check_index(name, index, position=3):
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument 'index' (position {position}) must be Tensor, not {type(index).__name__}")
    if index.dtype not in (dtypes.int64, dtypes.int32) and index.numel():
        raise RuntimeError(f"{'gather' if name == 'gather' else 'scatter'}(): Expected dtype int32/int64 for index")
    return index if index.dtype is dtypes.int64 else index.to(dtypes.int64)


def _along(n, d):
    return tuple(-1 if k == d else k for k in range(n))


@recalled("input index")
def gather(input, dim, index, *, sparse_grad=False, out=None):
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on; out has index's shape."""
    index = _check_index("gather", index)
    n = input.layout.ndim
    if index.layout.ndim != n and (n > 1 or index.layout.ndim > 1):
        if not index.layout.numel:
            return named(input.reshape(-1)[:0].reshape(index.shape), "GatherBackward0")
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    d = wrap_dim(dim, n)
    if not n:
        input = input.reshape(1)
    at = index if index.dim() else index.reshape(1)
    for k in range(max(n, 1)):
        if k != d and at.shape[k] > input.shape[k]:
            raise RuntimeError(f"Size does not match at dimension {k} expected index {list(index.shape)} to be no larger "
                               f"than self {list(input.shape)} apart from dimension {d}")
    y = apply(gather_p, (input, at), dict(coords=_along(max(n, 1), d), shape=tuple(at.shape), size=tuple(input.shape),
                                          wrap=False, error="gather"), GATHER)
    y = y if index.dim() else y.reshape(())
    if out is None:
        return y
    return into(out, y, SAME)


GATHER, INDEX_SELECT, EMBEDDING, INDEX = (gather_p.gradient.named(name + "Backward0") for name in
                                         ("Gather", "IndexSelect", "Embedding", "Index"))


@recalled("input indices")
def take_along_dim(input, indices, dim=None):
    """gather with broadcasting; over the flat input without a dim."""
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {legacy_name(indices.dtype)}")
    if dim is None:
        return gather(input.reshape(-1), 0, _from_start(indices.reshape(-1), input.numel()))
    if input.dim() != indices.dim():
        raise RuntimeError("torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
                           f"{input.dim()} dimensions for input, and {indices.dim()} dimensions for indices")
    d = wrap_dim(dim, input.dim())
    indices = _from_start(indices, input.shape[d])
    shape = broadcast_shapes(_without(input.shape, d), _without(indices.shape, d))
    fit = lambda x: expand(x, (*shape[:d], x.shape[d], *shape[d + 1:]))
    return gather(fit(input), d, fit(indices))


def _without(shape, d):
    return (*shape[:d], 1, *shape[d + 1:])


def rows(input, dim, index, error, gradient):
    """Entries of one axis picked by an index tensor of any shape, which takes the axis' place."""
    d = wrap_dim(dim, input.layout.ndim)
    s, k = tuple(input.layout.shape), index.layout.ndim
    shape = (*s[:d], *index.layout.shape, *s[d + 1:])
    lined = expand(index.reshape(*index.shape, *[1] * (len(s) - d - 1)), shape)
    coords = tuple(-1 if a == d else a if a < d else a + k - 1 for a in range(len(s)))
    return apply(gather_p, (input, lined), dict(coords=coords, shape=shape, size=s, wrap=False, error=error), gradient)


def good(x, code, error):
    """x, if one code is 0; for any other one the flush raises INDEX_ERRORS[error]."""
    if x.dim():
        from .create import zeros
        return x + good(zeros((), dtype=dtypes.bool), code, error)
    at = code.to(dtypes.int64).reshape(1)
    return gather_p(x.reshape(1), at, coords=(-1,), shape=(1,), size=(1,), wrap=False, error=error).reshape(())


@recalled("input index")
def index_select(input, dim, index, *, out=None):
    """Entries of one axis in the order of a 1-d index tensor."""
    if index.dim() > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if not input.dim():
        if index.numel() != 1:
            raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {index.numel()} value(s)")
        y = rows(input.reshape(1), 0, index.to(dtypes.int64).reshape(-1), "select", INDEX_SELECT).reshape(())
    else:
        y = rows(input, dim, index.to(dtypes.int64).reshape(-1), "select", INDEX_SELECT)
    if out is None:
        return y
    return into(out, y, "index_select(): self and result must have the same scalar type")


def embedding_rows(weight, index):
    """weight[index] for an integer tensor of any shape: (*,) -> (*, columns)."""
    return rows(weight, 0, index if index.dtype is dtypes.int64 else index.to(dtypes.int64), "embedding", EMBEDDING)


def take(input, index):
    """Elements of the flat input; negative indices count from the end."""
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {legacy_name(index.dtype)}")
    return _taken(input, index, "take", "TakeBackward0")


def _taken(input, index, error, name):
    return named(rows(input.reshape(-1), 0, _from_start(index, input.numel()), error, INDEX_SELECT), name)


def _from_start(index, n):
    """Negative indices of an axis of n as others."""
    return where(index < 0, index + n, index)


_MODES = {None: "set", "add": "add", "multiply": "multiply", "sum": "add", "prod": "multiply", "amax": "amax",
          "amin": "amin"}


def unpooled(plane, index, src):
    """src at the places of index along the last axis of zeros; the flush names what lies outside."""
    return _scatter("max_unpool", plane, -1, index, src, "set", "unpool")


def _scatter(name, input, dim, index, src, mode, error="gather"):
    index = _check_index(name, index)
    n = input.layout.ndim
    d = wrap_dim(dim, n)
    if not isinstance(src, Tensor):
        src = expand(_as_tensor(src, input.dtype), index.layout.shape)
    elif src.dtype is not input.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    x = input if n else input.reshape(1)
    at, src = (v if v.dim() else v.reshape(1) for v in (index, src))
    if at.dim() != x.dim():
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if src.dim() != x.dim():
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    if at.numel() == 0:
        return input.clone()
    for k, m in enumerate(at.shape):
        if m > src.shape[k] or k != d and m > x.shape[k]:
            raise RuntimeError(f"Expected index {list(at.shape)} to be no larger than self {list(x.shape)} apart from "
                               f"dimension {d} and to be no larger size than src {list(src.shape)}")
        if m < src.shape[k]:
            src = slice_(src, k, 0, m)
    y = apply(scatter_p, (x, src, at), dict(coords=_along(max(n, 1), d), mode=mode, wrap=False, error=error),
              SCATTER if mode == "set" else SCATTER_ADD)
    return y if n else y.reshape(())


SCATTER, SCATTER_ADD = (scatter_p.gradient.named(name) for name in ("ScatterBackward0", "ScatterAddBackward0"))


def scatter(input, dim, index, src=None, value=None, *, reduce=None):
    """input with out[index[i][j]][j] = src[i][j] for dim 0, and so on; `src` may be a number."""
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    src = value if src is None else src
    return named(_scatter("scatter", input, dim, index, src, _MODES[reduce]),
                 "ScatterBackward0" if isinstance(src, Tensor) else "ScatterBackward1")


@recalled("input index src")
def scatter_add(input, dim, index, src):
    """input with src added at the places of index."""
    return _scatter("scatter_add", input, dim, index, src, "add")


def scatter_reduce(input, dim, index, src, reduce, *, include_self=True):
    """input with src combined at the places of index by sum, prod, mean, amax or amin."""
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    x = input
    if not include_self:
        x = _scatter("scatter", x, dim, index, _neutral(reduce, x.dtype), "set")
    if reduce in ("prod", "amax", "amin"):
        if src.dtype is not input.dtype:
            raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
        src = src[tuple(builtins.slice(n) for n in index.shape)] if src.shape != index.shape else src
        return _combined(x, src, index, dim=wrap_dim(dim, x.dim()), how=_MODES[reduce])
    y = _scatter("scatter", x, dim, index, src, "add")
    if reduce != "mean":
        return named(y, "ScatterReduceBackward0")
    from .create import ones_like, zeros_like
    start = ones_like(input) if include_self else zeros_like(input)
    count = _scatter("scatter_reduce", start, dim, index, ones_like(src), "add")
    count = count.clamp(min=1)
    return named(y / count if y.dtype.rank >= 2 else y.div(count, rounding_mode="floor"), "ScatterReduceBackward0")


def _neutral(reduce, d):
    """What a reduction starts from."""
    if reduce in ("sum", "mean", "prod"):
        return 1 if reduce == "prod" else 0
    if d.rank == 2:
        return float("-inf") if reduce == "amax" else float("inf")
    if d is dtypes.bool:
        return reduce == "amin"
    return dtypes.iinfo(d).min if reduce == "amax" else dtypes.iinfo(d).max


def _shares(g, y, x, src, at, dim):
    """Whether x and src are the extreme y of their place, and the gradient for each that is."""
    mine, theirs = (x == y).to(g.dtype), (src == gather(y, dim, at)).to(g.dtype)
    return mine, theirs, g / scatter_add(mine, dim, at, theirs)


def _combined_gradient(g, y, x, src, at, *, dim, how):
    if how == "multiply":
        from .create import ones_like
        return g * _combined(ones_like(x), src, at, dim=dim, how=how)
    mine, _, share = _shares(g, y, x, src, at, dim)
    return mine * share


def _combined_gradient_of_source(g, y, x, src, at, *, dim, how):
    if how != "multiply":
        _, theirs, share = _shares(g, y, x, src, at, dim)
        return theirs * gather(share, dim, at)
    zero = src == 0
    zeros = gather(scatter_add((x * 0).detach(), dim, at, zero.to(x.dtype)), dim, at)
    others = _combined(x, where(zero, 1.0, src).to(src.dtype), at, dim=dim, how=how)
    plain = gather(g * y, dim, at) / where(zero, 1.0, src).to(src.dtype)
    return where(zero & (zeros == 1), gather(g * others, dim, at), where(zero, 0.0, plain).to(src.dtype))


@differentiable("ScatterReduceBackward0", vjp=(_combined_gradient, _combined_gradient_of_source, None))
def _combined(x, src, at, *, dim, how):
    return _scatter("scatter", x, dim, at, src, how)


def _index_write(input, dim, index, source, mode, alpha=1):
    d = wrap_dim(dim, input.dim())
    n = input.dim()
    name = "index_add_" if mode == "add" else "index_copy_"
    if index.dtype is not dtypes.int64:
        _check_vector(name, index.dtype, mode)
    if index.dim() > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector" + (", but got dim: " + str(index.dim()) +
                         " with type: Long and size: " + str(list(index.shape)) if mode == "add" else ""))
    if isinstance(source, Tensor) and source.dtype is not input.dtype:
        raise RuntimeError(f"{name}(): self ({legacy_name(input.dtype)}) and source ({legacy_name(source.dtype)}) must have "
                           "the same scalar type")
    if isinstance(source, Tensor) and n and d < source.dim() and source.shape[d] != index.numel():
        raise (RuntimeError if mode == "add" else IndexError)(
            f"{name}(): Number of indices ({index.numel()}) should be equal to source.size(dim): "
            f"({source.shape[d]}), for dim: {d}")
    if not isinstance(source, Tensor):
        shape = (*input.shape[:d], index.numel(), *input.shape[d + 1:])
        source = expand(_as_tensor(source, input.dtype), shape)
    if not n:
        return _index_write(input.reshape(1), 0, index.reshape(-1), source.reshape(1), mode, alpha).reshape(())
    if mode == "set" and not source.dim():
        source = source.reshape([1] * n)
    _check_slices(name, input.shape, source.shape, d)
    source = source if alpha == 1 else (source * alpha).to(source.dtype)
    at = expand(index.to(dtypes.int64).reshape(-1, *[1] * (n - d - 1)), source.layout.shape)
    return apply(scatter_p, (input, source, at), dict(coords=_along(n, d), mode=mode, wrap=False, error="gather"))


def _check_vector(name, d, mode):
    """What may index entries of an axis: int32 for sums only."""
    if mode == "add" and d is not dtypes.int32:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index but got: {legacy_name(d)}")
    if mode == "set":
        raise RuntimeError(f"{name}(): Expected a long tensor for index, but got {legacy_name(d)}")


def _check_slices(name, shape, source, d):
    """Source and destination agree on all axes but d."""
    if len(source) == len(shape) and _without(source, d) == _without(shape, d):
        return
    if name == "index_add_":
        raise RuntimeError("source tensor shape must match self tensor shape, excluding the specified dimension. "
                           f"Got self.shape = {list(shape)} source.shape = {list(source)}")
    if len(source) != len(shape):
        raise IndexError(f"{name}(): When source and destination are not scalars, their dimensionality must match. Source "
                         f"dimensionality ({len(source)}), destination dimensionality ({len(shape)})")
    mine, theirs = (" ".join(str(n) for k, n in enumerate(s) if k != d) for s in (shape, source))
    raise RuntimeError(f"{name}(): Source/destination tensor must have same slice shapes. Destination slice shape: {mine} "
                       f"at dimension {d} and source slice shape: {theirs} at dimension 0.")


@recalled("input index source")
def index_add(input, dim, index, source, *, alpha=1):
    """input with alpha * source[i] added to entry index[i] of an axis."""
    return named(_index_write(input, dim, index, source, "add", alpha), "IndexAddBackward0")


def index_reduce(input, dim, index, source, reduce, *, include_self=True):
    """input with entry index[i] of an axis combined with source[i] by prod, mean, amax or amin."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either prod, mean, amax or amin, got {reduce}.")
    d = wrap_dim(dim, input.dim())
    if index.dim() > 1:
        raise IndexError(f"index_reduce_(): Index is supposed to be a vector, but got dim: {index.dim()}")
    if index.dtype is not dtypes.int64:
        _check_vector("index_reduce_", index.dtype, "add")
    shape = [-1 if k == d else 1 for k in range(input.dim())]
    places = index.reshape(shape).expand(source.shape)
    return named(scatter_reduce(input, d, places, source, reduce, include_self=include_self), "IndexReduceBackward0")


def index_copy(input, dim, index, source):
    """input with entry index[i] of an axis replaced by source[i]."""
    return named(_index_write(input, dim, index, source, "set"), "IndexCopyBackward0")


def index_fill(input, dim, index, value):
    """input with the entries index of an axis replaced by one value."""
    if index.dtype is not dtypes.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.dim()} "
                               "dimension(s).")
        d = wrap_dim(dim, input.dim())
        value = value.to(input.dtype)
        if is_tracked(value):               # a place that is named twice is filled once
            index = unique(index)
        value = value.expand(*input.shape[:d], index.numel(), *input.shape[d + 1:])
    y = named(_index_write(input, dim, index, value, "set"), "IndexFillBackward0")
    return laid_out(y, cast_layout(input.layout))


def masked_select(input, mask):
    """The elements where mask is True, as a vector."""
    if mask.dtype is not dtypes.bool:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(input.layout.shape, mask.layout.shape)
    y = getitem(expand(input, shape), expand(mask, shape))
    return named(y if y.dim() == 1 else y.reshape(-1), "MaskedSelectBackward0")


def masked_scatter(input, mask, source):
    """input with its masked elements replaced, in order, by those of source."""
    if source.dtype is not input.dtype:
        raise RuntimeError("masked_scatter: expected self and source to have same dtypes but got"
                           f"{legacy_name(input.dtype)} and {legacy_name(source.dtype)}")
    if mask.dtype is not dtypes.bool:
        raise RuntimeError("masked_scatter_ only supports boolean masks, but got mask with dtype "
                           f"{legacy_name(mask.dtype)}")
    shape = broadcast_shapes(input.layout.shape, mask.layout.shape)
    x, m = expand(input, shape).contiguous(), expand(mask, shape).contiguous()
    if not source.numel():
        return named(good(x.clone(), m.any(), "source"), "MaskedScatterBackward0") if x.numel() else x.clone()
    order = (m.reshape(-1).to(dtypes.int64).cumsum(0) - 1).clamp(min=0).reshape(shape)
    return named(where(m, _taken(source, order, "source", "TakeBackward0"), x), "MaskedScatterBackward0")


def nonzero(input, *, as_tuple=False):
    """Indices of the elements that are not zero, one row each (or one tensor for each axis)."""
    array = input._array()
    found = _true_places(array if array.ndim else array.reshape(1))
    if as_tuple:
        return tuple([wrap(Tensor, from_array(i, dtypes.int64), packed(i.shape), 0) for i in found])
    n, axes = len(found[0]), input.dim()
    places = np.stack(found) if axes else np.zeros((0, n), np.int64)
    return wrap(Tensor, from_array(places, dtypes.int64), layout((n, axes), (1, n)), 0)


def _true_places(array) -> list:
    """np.nonzero's arrays, from the places in the flat array: those NumPy finds four times as fast."""
    place, found = np.flatnonzero(array if array.dtype == bool else array != 0), []
    for n in array.shape[:0:-1]:
        row = place // max(n, 1)
        found.append(place - row * n)
        place = row
    return [place, *reversed(found)]


def nonzero_static(input, *, size, fill_value=-1):
    """The first `size` rows of nonzero(input); rows that do not exist are filled."""
    found = nonzero(input)[:size]
    y = found.new_full((size, input.dim()), fill_value)
    y[:len(found)] = found
    return y


def put(input, index, source, accumulate=False):
    """A copy whose elements at places of the flat input are those of source, or have them added."""
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {legacy_name(index.dtype)}")
    if source.dtype is not input.dtype:
        raise RuntimeError("put_(): self and source expected to have the same dtype, but got self.dtype = "
                           f"{legacy_name(input.dtype)} and source.dtype = {legacy_name(source.dtype)}")
    y = index_put(input.reshape(-1), (index.reshape(-1),), source.reshape(-1), accumulate)
    return named(y.reshape(input.shape), "PutBackward0")


def argwhere(input):
    return nonzero(input)


# -- order -----------------------------------------------------------------------------------------------------
def flip(input, *axes, dims=None):
    """Axes in reverse order (a copy)."""
    from .shape import _sizes
    axes = axes if dims is None else (dims,)
    given = L.wrap_dims(_sizes(axes) if axes else (), input.dim())
    return named(in_memory_order(_flipped, input, given), "FlipBackward0")


@differentiable("FlipBackward0", vjp=(lambda g, _y, _x, *, dims: _turned(g, dims=dims),))
def _turned(x, *, dims):
    """A copy that walks some axes from their ends."""
    l = x.layout
    if not l.numel:
        return x.clone()
    strides = [-s if d in dims else s for d, s in enumerate(l.strides)]
    last = builtins.sum((l.shape[d] - 1) * l.strides[d] for d in dims)
    return apply(copy, (wrap(Tensor, x.storage, L.layout(l.shape, strides), x.offset + last),), {})


def _flipped(x, *dims):
    return _turned(x, dims=dims) if x.dim() and dims else x.clone()


def in_memory_order(op, x, dims):
    """op(x, *dims) done in the order of x's memory, so that the result lies as x does."""
    l = x.layout
    if l.packed or l.ndim < 2 or not L.is_dense(l):
        return op(x, *dims)
    order = sorted(builtins.range(l.ndim), key=lambda d: (-l.strides[d], d))
    y = op(permute(x, order), *[order.index(d) for d in dims])
    back = [order.index(d) for d in builtins.range(l.ndim)]
    return tuple(permute(v, back) for v in y) if isinstance(y, tuple) else permute(y, back)


def fliplr(input):
    return flip(input, 1)


def flipud(input):
    """The first axis in reverse order."""
    if not input.dim():
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


def roll(input, shifts, dims=None):
    """Elements moved along axes, those that fall off come in at the other end."""
    if (dims is None or dims == ()) and shifts != ():
        return named(roll(input.reshape(-1), shifts, 0).reshape(input.shape), "RollBackward0")
    shifts, dims = ((v,) if isinstance(v, int) else tuple(v) for v in (shifts, dims))
    if not shifts:
        raise RuntimeError("`shifts` required")
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    return _rolled(input, shifts=shifts, dims=dims)


@differentiable("RollBackward0", vjp=(lambda g, _y, _x, *, shifts, dims: _rolled(
    g, shifts=tuple(-s for s in reversed(shifts)), dims=dims[::-1]),))
def _rolled(x, *, shifts, dims):
    from .shape import cat
    if not x.dim() or not x.numel():
        return x.clone()
    y = x
    for s, d in zip(shifts, dims):
        n = y.shape[wrap_dim(d, y.dim())]
        # What stays where it was comes out in the order of its axes, too.
        y = cat([y.narrow(d, n - s % n, s % n), y.narrow(d, 0, n - s % n)], d) if s % n else y.contiguous()
    return y.clone() if y is x else y


def rot90(input, k=1, dims=(0, 1)):
    """Rotated by k quarter turns in the plane of two axes."""
    a, b = (wrap_dim(d, input.dim()) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    turned = (lambda: input.clone(), lambda: flip(input, b).transpose(a, b), lambda: flip(input, a, b),
              lambda: flip(input, a).transpose(a, b))
    return named(turned[k % 4](), "Rot90Backward0")


def argsort(input, dim=-1, descending=False, stable=False):
    """Indices that sort an axis."""
    return sort(input.detach(), dim, descending, stable=stable)[1]


COUNTED = 1 << 15       # so many whole numbers of one dimension keep their order: PyTorch sorts them by their digits


def _order(x, dim, descending, stable=True):
    if not x.dim():
        return x.new_zeros((), dtype=dtypes.int64)
    n, descending = x.shape[dim], bool(descending)
    if n <= PIECE or n >= COUNTED and x.dim() == 1 and not descending and x.dtype.rank == 1:
        stable = True
    return apply(argsort_p, (x.detach(),), dict(dim=dim, descending=descending, stable=bool(stable)))


def sort(input, dim=-1, descending=False, *, stable=None, out=None):
    """Sorted values and where they stood; equal elements keep their order if it is to be `stable`, else they stand as
    in PyTorch, where `std::sort` leaves them."""
    made = _sort(input, dim, descending, stable)
    return made if out is None else type(made)(*map(_into, out, made))


@recalled("input")
def _sort(input, dim, descending, stable):
    d = wrap_dim(dim, input.dim())
    values, at = in_memory_order(lambda x, k: _sorted(x, k, descending, stable), input, (d,))
    return return_type("sort", ("values", "indices"))(
        named(values, "SortBackward0" if stable is None else "SortBackward1"), at)


def _sorted(x, d, descending, stable):
    at = _order(x, d, descending, stable)
    return gather(x, d, at), at


def _into(out, y):
    return into(out, y, SAME)


def msort(input):
    """Sorted along the first axis."""
    return sort(input, 0).values


FEW = 64                # for more of them a row is sorted


def topk(input, k, dim=-1, largest=True, sorted=True, *, out=None):
    """The k largest (or smallest) values of an axis, in order, and where they stood."""
    made = _topk(input, k, dim, largest)
    return made if out is None else type(made)(*map(_into, out, made))


@recalled("input")
def _topk(input, k, dim, largest):
    d = wrap_dim(dim, input.dim())
    if not 0 <= k <= (input.shape[d] if input.dim() else 1):
        raise RuntimeError("selected index k out of range")
    if input.dim() and k <= FEW:
        at = apply(argtopk_p, (input.detach(),), dict(dim=d, k=k, descending=bool(largest)))
    else:
        at = _order(input, d, largest)
        at = at.narrow(d, 0, k).contiguous() if input.dim() else at
    return return_type("topk", ("values", "indices"))(named(gather(input, d, at), "TopkBackward0"), at)


def kthvalue(input, k, dim=-1, keepdim=False):
    """The k-th smallest value of an axis and its index."""
    need("kthvalue_cpu", input.dtype, {0, 1, 2})
    d = wrap_dim(dim, input.dim())
    if not 1 <= k <= (input.shape[d] if input.dim() else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}")
    kind = return_type("kthvalue", ("values", "indices"))
    return _kth(input, _order(input, d, False), k - 1, d, keepdim, kind, "KthvalueBackward0")


def _kth(x, order, k, d, keepdim, kind, gradient):
    """The element of each row whose place in the order of axis d is k (a number, or one for each row)."""
    from .reduce import picked
    if not x.dim():
        return kind(named(x.clone(), gradient), order)
    at = order.select(d, k) if isinstance(k, int) else gather(order, d, k.unsqueeze(d)).squeeze(d)
    return picked(x, d, at.contiguous(), keepdim, kind, gradient)


def median(input, dim=None, keepdim=False):
    """The lower median of all elements, or with its index along an axis; nan if there is one."""
    return _median(input, dim, keepdim, "median", _lower_middle)


def nanmedian(input, dim=None, keepdim=False):
    """The lower median of the elements that are not nan."""
    return _median(input, dim, keepdim, "nanmedian", _lower_middle_of_numbers)


def _median(x, dim, keepdim, name, place):
    from .reduce import one_axis
    need("median_cpu" if dim is None else "median_out", x.dtype, {1, 2})
    kind = return_type(name, ("values", "indices"))
    if dim is None:
        flat = x.reshape(-1)
        if not flat.numel():
            worst = float("nan") if x.dtype.rank == 2 else dtypes.iinfo(x.dtype).min
            return named((flat.sum() * 0 + worst).to(x.dtype), name.capitalize() + "Backward0")
        return _shared_median(name)(flat.reshape(x.shape), place=place)
    one_axis(name, dim)
    d = wrap_dim(dim, x.dim())
    if x.dim() and not x.shape[d]:
        raise IndexError(f"median(): Expected reduction dim {dim} to have non-zero size.")
    return _pick_median(x, d, keepdim, kind, place, name.capitalize() + "Backward1")


@functools.cache
def _shared_median(name):
    from .reduce import _evenly
    rule = lambda g, y, x, *, place: _evenly(g, y, x)
    pick = lambda x, *, place: _kth(x.reshape(-1), _order(x.reshape(-1), 0, False), place(x.reshape(-1), 0), 0,
                                    False, lambda values, at: values, "")
    return differentiable(name.capitalize() + "Backward0", vjp=(rule,))(pick)


def _pick_median(x, d, keepdim, kind, place, gradient):
    order = _order(x, d, False)
    return _kth(x, order, place(x.detach(), d) if x.dim() else 0, d, keepdim, kind, gradient)


def _nans(x, d):
    from .pointwise import isnan
    return isnan(x).to(dtypes.int64).sum(d)


def _lower_middle(x, d):
    """(n - 1) // 2, or where the first nan stands in order."""
    n = x.shape[d]
    if x.dtype.rank < 2:
        return (n - 1) // 2
    nans = _nans(x, d)
    return where(nans > 0, n - nans, (n - 1) // 2)


def _lower_middle_of_numbers(x, d):
    n = x.shape[d]
    return (n - 1) // 2 if x.dtype.rank < 2 else ((n - _nans(x, d) - 1).clamp(min=0)).div(2, rounding_mode="floor")


def mode(input, dim=-1, keepdim=False):
    """The most frequent value of an axis (the smallest of several) and where the last of them stands when the axis is
    sorted as `sort` does."""
    from .reduce import cummax, one_axis, picked
    from .shape import cat
    need("mode_cpu", input.dtype, {0, 1, 2})
    one_axis("mode", dim)
    d = wrap_dim(dim, input.dim())
    kind = return_type("mode", ("values", "indices"))
    if not input.dim():
        return kind(named(input.clone(), "ModeBackward0"), input.new_zeros((), dtype=dtypes.int64))
    if not input.shape[d]:
        raise IndexError(f"mode(): Expected reduction dim {dim} to have non-zero size.")
    x = input.detach().movedim(d, -1)
    order = apply(argsort_p, (x,), dict(dim=x.dim() - 1, descending=False, stable=False))
    values, places = gather(x, -1, order), arange(x.shape[-1])
    is_first = cat([values[..., :1] == values[..., :1], values[..., 1:] != values[..., :-1]], -1)
    lengths = places - cummax(where(is_first, places, 0), -1).values     # of the runs of equal values, less one
    at = gather(order, -1, lengths.argmax(-1, keepdim=True)).squeeze(-1)
    return picked(input, d, at, keepdim, kind, "ModeBackward0")


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """Distinct values in order, with the place of each element among them and their counts if asked for."""
    need("unique", input.dtype, {0, 1, 2})
    if dim is None and return_inverse and input.dtype.rank:
        return _unique_of_sorted(input.detach(), return_counts)
    a = input.detach()._array()
    wanted = dict(return_inverse=return_inverse, return_counts=return_counts)      # either takes a second sort
    if dim is not None:
        dim = wrap_dim(dim, a.ndim)
    values, *rest = np.unique(a, axis=dim, equal_nan=False, **wanted) if any(wanted.values()) \
        else [np.unique(a, axis=dim, equal_nan=False)]
    inverse = rest[0].reshape(-1 if dim is not None else a.shape) if return_inverse else None
    counts = rest[-1] if return_counts else None
    return _distinct(values.astype(a.dtype), inverse, counts, input.dtype, return_inverse, return_counts, dim)


def _unique_of_sorted(input, return_counts):
    """What `unique` gives, from the elements in order and where they were."""
    values, order = (x._array() for x in sort(input.reshape(-1), stable=True))
    new = np.ones(len(values), bool)
    new[1:] = values[1:] != values[:-1]
    starts, inverse = np.flatnonzero(new), np.empty(len(values), np.int64)
    inverse[order] = np.cumsum(new) - 1
    return _distinct(values[starts], inverse.reshape(tuple(input.shape)), np.diff(starts, append=len(values)), input.dtype,
                     True, return_counts)


def _distinct(values, inverse, counts, dtype, return_inverse, return_counts, dim=None):
    """The results asked for; slices of an axis lie one after the other."""
    out = [tensor(np.moveaxis(values, dim, 0), dtype=dtype).movedim(0, dim) if dim else tensor(values, dtype=dtype)]
    out += [tensor(inverse.astype(np.int64))] if return_inverse else []
    out += [tensor(counts.astype(np.int64))] if return_counts else []
    return out[0] if len(out) == 1 else tuple(out)


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """Runs of equal values (or slices of an axis) as one, with the run of each element and the runs' lengths."""
    need("unique", input.dtype, {0, 1, 2})
    a = input.detach()._array()
    lined = a.reshape(-1) if dim is None else np.moveaxis(a, dim, 0)
    n = len(lined)
    new = np.ones(n, bool)
    if n > 1:
        differs = lined[1:] != lined[:-1]
        new[1:] = differs if differs.ndim == 1 else differs.reshape(n - 1, -1).any(1)
    starts = np.flatnonzero(new)
    values = lined[starts] if dim is None else np.moveaxis(lined[starts], 0, dim)
    inverse = np.cumsum(new).reshape(a.shape if dim is None else n) - 1 if return_inverse else None
    return _distinct(values, inverse, np.diff(starts, append=n), input.dtype,
                     return_inverse, return_counts, None if dim is None else wrap_dim(dim, a.ndim))


def bincount(input, weights=None, minlength=0):
    """How often each whole number occurs (or the sum of its weights)."""
    need("bincount_cpu", input.dtype, (1,))
    a = input._array()
    if a.ndim != 1 or a.size and a.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and weights.shape != input.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    if weights is None:
        return tensor(np.bincount(a, None, minlength))
    dtype = dtypes.float32 if weights.dtype is dtypes.float32 else dtypes.float64
    return tensor(np.bincount(a, weights.detach()._array(), minlength), dtype=dtype)


def searchsorted(sorted_sequence, values, *, right=False, side=None, out_int32=False, sorter=None):
    """Where values would be inserted into a last axis that is sorted, or is when its elements are taken as `sorter` says."""
    side = side or ("right" if right else "left")
    _check_boundaries(sorted_sequence, values)
    sequence = sorted_sequence if sorter is None else gather(sorted_sequence, -1, sorter)
    if not isinstance(values, Tensor):
        fits = sequence.dtype.is_floating_point or not isinstance(values, float)
        values = tensor(values, dtype=sequence.dtype if fits else dtypes.float64)
    kind = dtypes.promote_types(sequence.dtype, values.dtype)
    found = _places(sequence.detach().to(kind), values.detach().to(kind), side == "right")
    return found.to(dtypes.int32) if out_int32 else found


@recalled("sequence values")
def _places(sequence, values, right):
    """The last axis of `sequence` is searched for those of `values`: whoever has one axis is for all."""
    n, shape = sequence.shape[-1], values.shape
    if not n or not values.numel():
        return zeros(shape, dtype=dtypes.int64)
    rows = sequence.reshape(-1, n)
    return count_before(rows, values.reshape(len(rows), -1), right).reshape(shape)


@recalled("rows values")
def count_before(rows, values, or_equal=False):
    """How many elements of each sorted row are less than each value (or equal); a nan is more than all numbers.

    The length of what is left to search is halved in every step.
    """
    n, found = rows.shape[-1], zeros(values.shape, dtype=dtypes.int64)
    step = 1 << n.bit_length() >> 1
    while step:
        further = found + step
        seen = rows.gather(-1, further.clamp(max=n) - 1)
        found = where((further <= n) & _is_before(seen, values, or_equal), further, found)
        step >>= 1
    return found


def _is_before(seen, values, or_equal):
    before = seen <= values if or_equal else seen < values
    if not seen.dtype.is_floating_point:
        return before
    return before | (values != values) & (or_equal or seen == seen)


def _check_boundaries(boundaries, values):
    """A row of boundaries for all values, or one for each row of values."""
    shape = list(values.shape) if isinstance(values, Tensor) else []
    if boundaries.dim() != 1 and not shape:
        raise RuntimeError("torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we "
                           f"got boundaries tensor dim({boundaries.dim()}) and input value's dim(0) numel(1)")
    if boundaries.dim() != 1 and list(boundaries.shape[:-1]) != shape[:-1]:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
                           "boundaries tensor and input value tensor must match, but we got boundaries tensor "
                           f"{list(boundaries.shape)} and input value tensor {shape}")


def bucketize(input, boundaries, *, right=False, out_int32=False):
    """The bucket of each element between sorted boundaries."""
    if boundaries.dim() != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.dim()})")
    return searchsorted(boundaries, input, right=right, out_int32=out_int32)


@recalled("input")
def tril(input, diagonal=0):
    """The lower triangle of the last two axes, zero elsewhere."""
    return named(_triangle("tril", input, diagonal, lambda i, j, k: j <= i + k), "TrilBackward0")


@recalled("input")
def triu(input, diagonal=0):
    """The upper triangle of the last two axes, zero elsewhere."""
    return named(_triangle("triu", input, diagonal, lambda i, j, k: j >= i + k), "TriuBackward0")


def _triangle(name, x, k, test):
    if x.dim() < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    i, j = arange(x.shape[-2]).unsqueeze(1), arange(x.shape[-1])
    return where(test(i, j, k), x.contiguous(), zero_of(x))


def zero_of(x):
    """The number 0 that does not widen x's dtype."""
    return False if x.dtype is dtypes.bool else 0


def diag(input, diagonal=0):
    """A vector on the diagonal of a matrix, or the diagonal of a matrix as a copy."""
    if input.dim() not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.dim()}D")
    if input.dim() == 1:
        return diag_embed(input, diagonal)
    diagonal = whole(diagonal)
    from ..prims.index import copy
    return named(apply(copy, (input.diagonal(diagonal),), {}), "DiagonalBackward0_copy")


def diagflat(input, offset=0):
    """All elements on the diagonal of a matrix."""
    return diag_embed(input.reshape(-1), offset)


def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """The last axis on the diagonal of two new axes."""
    n = input.shape[-1] + abs(offset)
    a, b = wrap_dim(dim1, input.dim() + 1), wrap_dim(dim2, input.dim() + 1)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    i, j = arange(n).unsqueeze(1), arange(n)
    padded = input.unsqueeze(-1).expand(*input.shape, n)
    rows_ = padded if offset == 0 else _pad_rows(padded, offset, n)
    y = where(j == i + offset, rows_, zero_of(input)).movedim((-2, -1), (a, b))
    return named(y.contiguous(), "DiagEmbedBackward0")


def _pad_rows(x, offset, n):
    from .shape import cat
    zeros = x.new_zeros(*x.shape[:-2], abs(offset), n)
    return cat([x, zeros] if offset > 0 else [zeros, x], -2)


def one_hot(labels, num_classes=-1):
    """(*,) int64 class numbers to (*, classes) with one 1 in each row."""
    if labels.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if labels.numel():
        low, high = labels.min().item(), labels.max().item()
        if low < 0:
            raise RuntimeError("Class values must be non-negative.")
        if num_classes == -1:
            num_classes = high + 1
        elif high >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    elif num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    return (labels.contiguous().unsqueeze(-1) == arange(num_classes)).to(dtypes.int64)


def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Each entry repeated, by one number or one for each entry. Without `repeats`: index i as often as input[i] says."""
    if repeats is None:
        return _places_repeated(input, "repeats", output_size)
    x = input.reshape(-1) if dim is None else input
    d = 0 if dim is None else wrap_dim(dim, x.dim())
    n = x.shape[d]
    if isinstance(repeats, Tensor) and (repeats.numel() != 1 or repeats.dim() > 1):
        if repeats.dim() == 1 and len(repeats) != n:
            raise RuntimeError("repeats must have the same size as input along dim, but got repeats.size(0) = "
                               f"{len(repeats)} and input.size({d}) = {n}")
        at = _places_repeated(repeats, "repeats must be 0-dim or 1-dim tensor", output_size)
    else:
        times = int(repeats)
        if times < 0:
            raise RuntimeError("Repeats must be non-negative")
        at = arange(n).unsqueeze(1).expand(n, times).reshape(-1)
        _check_output_size(at, output_size)
    return index_select(x, d, at)


def _places_repeated(repeats, rank_words, output_size):
    """Index i as often as repeats[i] says."""
    if repeats.dim() != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat" if rank_words == "repeats" else rank_words)
    if repeats.dtype not in (dtypes.int64, dtypes.int32):
        refuse("repeat_interleave_cpu", repeats.dtype)
    counts = repeats.detach()._array()
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    at = tensor(np.repeat(np.arange(len(counts)), counts))
    _check_output_size(at, output_size)
    return at


def _check_output_size(at, size):
    if size is not None and size != len(at):
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {len(at)} but got {size}")


def meshgrid(*tensors, indexing=None):
    """Coordinate grids of vectors."""
    if indexing is None:
        warn_once("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.")
        indexing = "ij"
    xs = tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    xs = list(xs)
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    deep = [x for x in xs if x.dim() > 1]
    if deep:
        raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {deep[0].dim()}D")
    if indexing == "xy" and len(xs) > 1:
        first, second, *rest = meshgrid(xs[1], xs[0], *xs[2:], indexing="ij")
        return (second, first, *rest)
    shape = [x.numel() for x in xs]
    return tuple(x.reshape([-1 if k == i else 1 for k in builtins.range(len(xs))]).expand(shape)
                 for i, x in enumerate(xs))


def cartesian_prod(*tensors):
    if len(tensors) == 1:
        return tensors[0]
    from .shape import stack
    return stack([g.reshape(-1) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input, r=2, with_replacement=False):
    """All choices of r elements of a vector, one row each."""
    import itertools
    import math
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if input.dim() != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    n = input.numel()
    if r == 2:
        return input[triu_indices(n, n, 0 if with_replacement else 1).t().contiguous()]
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    count = math.comb(n + r - 1 if with_replacement and n else n, r)
    at = np.fromiter(itertools.chain.from_iterable(pick(builtins.range(n), r)), np.int64, count * r)
    return input[tensor(at.reshape(count, r))]


def isin(elements, test_elements, *, assume_unique=False, invert=False):
    """Whether each element is among the others; either may be a number."""
    a, b = (x if isinstance(x, Tensor) else tensor(x) for x in (elements, test_elements))
    if a.dtype is dtypes.bool or b.dtype is dtypes.bool:
        raise RuntimeError("Unsupported input type encountered for isin(): Bool")
    if a.dtype.is_complex:
        raise RuntimeError(f"Unsupported input type encountered for isin(): {legacy_name(a.dtype)}")
    found = (a.unsqueeze(-1) == b.reshape(-1)).any(-1)
    return ~found if invert else found


listed(globals())
