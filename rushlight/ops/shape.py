"""Views (layout arithmetic, nothing is recorded) and joining."""
from __future__ import annotations

import functools
import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .. import dtypes, storage as storages
from .. import layout as L
from ..autograd.grad_mode import mode
from ..autograd.inplace import AS_STRIDED, add_part, embed
from ..autograd.recall import recalled
from ..autograd.node import Cuts, attach, attach_parts, edge_to, entry, is_tracked, named
from ..compiler.sizes import whole
from ..errors import warn_once
from ..layout import packed, wrap_dim, wrap_dims
from ..prims.index import concat as concat_p, copy
from ..prims.table import Gradient, Variadic
from ..tensor import Tensor, wrap
from ..trace import record
from .formats import ORDERS, common_order, copied, laid_out
from .joining import at_once, joined_shape, stacked_shape
from .layouts import Unstrided, answered
from .numpy_names import renamed
from .overriding import answer_one
from .promote import apply, in_order, into, known, output_order, remember, result_type
from .support import legacy_name


_new = object.__new__


class memory_format:
    """How the axes of a dense tensor lie in memory."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"torch.{self.name}"

    def __reduce__(self):
        return self.name


contiguous_format, preserve_format = memory_format("contiguous_format"), memory_format("preserve_format")
channels_last, channels_last_3d = memory_format("channels_last"), memory_format("channels_last_3d")


class View(NamedTuple):
    """What a view operation comes to for one layout: where the elements lie, and how gradients flow back."""
    layout: L.Layout
    at: int             # from the first element of what is viewed
    gradient: Gradient
    params: dict

    __hash__, __eq__ = object.__hash__, object.__eq__       # it is its tape entry's token


_known: dict = {}
KNOWN_LIMIT = 20000


def remembered(fn):
    """A view operation whose View is worked out once for each layout and each set of arguments.

    fn(input, *args) returns (layout, offset change, gradient, params).
    """
    @functools.wraps(fn)
    def op(input, *args, **kwargs):
        try:
            found = _known[fn, input.layout, input.dtype, args, *kwargs.values()]
        except (KeyError, TypeError, AttributeError) as error:
            if isinstance(input, Unstrided):
                return answered(fn.__name__, (input, *args), kwargs)
            if not isinstance(input, Tensor):
                return answer_one(op, (input, *args), None)
            found = View(*fn(input, *args, **renamed(kwargs)))
            if type(error) is KeyError:
                remember(_known, (fn, input.layout, input.dtype, args, *kwargs.values()), found)
        return show(input, found)
    return op


def show(x, view: View) -> Tensor:
    """A tensor on x's memory; taped with a rule that undoes the layout change."""
    y = _new(Tensor)
    y.storage, y.layout, y.offset, y.dtype = x.storage, view.layout, x.offset + view.at, x.dtype
    y._root = x if x._root is None else x._root
    if x._is_data:
        y._is_data = True
    if mode.enabled:
        base = x._view_of
        y._view_of, y._view_version = x if base is None else base, x.storage.version
        if x._requires_grad or base is not None and base._requires_grad:
            gradient = view.gradient
            y._requires_grad = True
            y._grad_fn = entry(gradient.node_class, gradient, view.params, [edge_to(x)], (),
                               record.override or record.user_line(3), view)
    return y


def view_of(x, layout, offset, gradient, params) -> Tensor:
    """A view by its parts."""
    return show(x, View(layout, offset - x.offset, gradient, params))


def views_of(x, cuts: Cuts) -> tuple:
    """Several views of x, taped as one function."""
    storage, base, outs = x.storage, x._view_of if mode.enabled else None, []
    root = x if x._root is None else x._root
    for l, at in cuts.places:
        y = _new(Tensor)
        y.storage, y.layout, y.offset, y.dtype = storage, l, x.offset + at, x.dtype
        y._root = root
        if x._is_data:
            y._is_data = True
        if mode.enabled:
            y._view_of, y._view_version = x if base is None else base, storage.version
        outs.append(y)
    if outs and mode.enabled and is_tracked(x):
        attach_parts(outs, cuts, x, record.override or record.user_line())
    return tuple(outs)


def _known_cuts(key, make) -> Cuts:
    """Cuts by what they follow from."""
    try:
        return known(_known, key) or remember(_known, key, make())
    except TypeError:
        return make()


def _rule(name, fn):
    return Gradient(name, (fn,))


# -- same elements, other axes ------------------------------------------------------------------------------
_PERMUTE = _rule("PermuteBackward0", lambda g, _y, _x, *, dims: permute(g, L_inverse(dims)))
_TRANSPOSE = _rule("TransposeBackward0", lambda g, _y, _x, *, a, b: transpose(g, a, b))
_T = _rule("TBackward0", lambda g, _y, _x, *, a, b: transpose(g, a, b))
_T0 = _rule("TBackward0", lambda g, _y, _x: g)
_EXPAND = _rule("ExpandBackward0", lambda g, _y, _x: g)
_SQUEEZE = _rule("SqueezeBackward1", lambda g, _y, _x, *, shape: g.reshape(shape))
_SQUEEZE_ALL, _SQUEEZE_SOME = _SQUEEZE.named("SqueezeBackward0"), _SQUEEZE.named("SqueezeBackward2")
_UNSQUEEZE = _rule("UnsqueezeBackward0", lambda g, _y, _x, *, shape: g.reshape(shape))
_VIEW = _rule("ViewBackward0", lambda g, _y, _x, *, shape: g.reshape(shape))
_RESHAPED, _COPIED = _VIEW.named("ReshapeAliasBackward0"), _VIEW.named("UnsafeViewBackward0")
_ALIAS = _rule("AliasBackward0", lambda g, _y, _x: g)


def L_inverse(dims):
    return tuple(sorted(range(len(dims)), key=dims.__getitem__))


def _sizes(args):
    """Sizes given as numbers or as one sequence."""
    if len(args) == 1 and not isinstance(args[0], (int, Tensor, np.integer)):
        args = args[0]
    for i, n in enumerate(args):
        if isinstance(n, (float, str)):
            raise TypeError(f"argument 'size' must be tuple of ints, but found element of type {type(n).__name__} at pos {i}")
    return tuple([whole(n) for n in args])


def _shape_of(other, name):
    if not hasattr(other, "shape"):
        raise TypeError(f"{name}(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}")
    return other.shape


@remembered
def permute(input, *dims):
    """Axes in another order."""
    given = _sizes(dims)
    if len(given) != input.layout.ndim:
        raise RuntimeError("permute(sparse_coo): number of dimensions in the tensor input does not match the length of "
                           f"the desired ordering of dimensions i.e. input.dim() = {input.dim()} is not equal to "
                           f"len(dims) = {len(given)}")
    try:
        order = wrap_dims(given, input.layout.ndim)
    except RuntimeError:
        raise RuntimeError("permute(): duplicate dims are not allowed.") from None
    return L.permute(input.layout, order), 0, _PERMUTE, {"dims": order}


@remembered
def transpose(input, dim0, dim1, _gradient=_TRANSPOSE):
    """Swap two axes."""
    n = input.layout.ndim
    a, b = wrap_dim(dim0, n), wrap_dim(dim1, n)
    return L.transpose(input.layout, a, b), 0, _gradient, {"a": a, "b": b}


swapaxes = swapdims = transpose


def t(input):
    """The transpose of a matrix; vectors and scalars as they are."""
    n = input.dim()
    if n > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {n}D")
    return transpose(input, 0, 1, _T) if n == 2 else view_of(input, input.layout, input.offset, _T0, {})


def numpy_T(input):
    """Axes reversed (`Tensor.T`)."""
    if input.dim() != 2:
        warn_once("The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated: `x.mT` "
                  "transposes matrices, `x.permute(*range(x.ndim)[::-1])` reverses all axes.")
    return permute(input, tuple(range(input.dim()))[::-1])


def mT(input):
    """The last two axes swapped (`Tensor.mT`)."""
    n = input.dim()
    if not n:
        return view_of(input, input.layout, input.offset, _ALIAS, {})
    if n < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {input.dim()}-D tensor.")
    return transpose(input, -2, -1)


def adjoint(input):
    """The last two axes swapped, of complex tensors conjugated (`Tensor.mH`)."""
    return mT(input).conj()


def H(input):
    """The conjugate transpose of a matrix (`Tensor.H`)."""
    if input.layout.ndim not in (0, 2):
        raise RuntimeError("tensor.H is only supported on matrices (2-D tensors). Got "
                           f"{input.dim()}-D tensor." + (" For batches of matrices, consider using tensor.mH"
                                                         if input.layout.ndim > 2 else ""))
    return adjoint(input) if input.layout.ndim else input.conj()


def movedim(input, source, destination):
    """Axes moved to new places, the others in order."""
    n = input.layout.ndim
    src = wrap_dims((source,) if isinstance(source, int) else source, n)
    dst = wrap_dims((destination,) if isinstance(destination, int) else destination, n)
    rest = iter(d for d in range(n) if d not in src)
    at = dict(zip(dst, src))
    return permute(input, tuple(at[d] if d in at else next(rest) for d in range(n)))


moveaxis = movedim


@remembered
def unsqueeze(input, dim):
    """A new axis of size 1 before `dim`."""
    n = input.layout.ndim
    if not -n - 1 <= dim <= n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n - 1}, {n}], but got {dim})")
    l = L.unsqueeze(input.layout, dim % (n + 1))
    return l, 0, _UNSQUEEZE, {"shape": input.layout.shape}


@remembered
def squeeze(input, dim=None):
    """Axes of size 1 removed: all, or those of `dim` that have it."""
    n = input.layout.ndim
    dims = range(n) if dim is None else wrap_dims((dim,) if isinstance(dim, int) else dim, n)
    gradient = _SQUEEZE_ALL if dim is None else _SQUEEZE if isinstance(dim, int) else _SQUEEZE_SOME
    return L.squeeze(input.layout, dims), 0, gradient, {"shape": input.layout.shape}


@remembered
def expand(input, *sizes, implicit=False):
    """Axes of size 1 stretched (stride 0) and new leading axes; -1 keeps a size."""
    given = _sizes(sizes)
    shape = input.layout.shape
    new = len(given) - len(shape)
    if new < 0:
        raise RuntimeError(f"expand(torch.{_type(input)}{{{list(shape)}}}, size={list(given)}): the number of sizes "
                           f"provided ({len(given)}) must be greater or equal to the number of dimensions in the "
                           f"tensor ({len(shape)})")
    full = []
    for i, n in enumerate(given):
        old = shape[i - new] if i >= new else None
        if n == -1 and old is None:
            raise RuntimeError("expand(torch." + _type(input) + f"{{{list(shape)}}}, size={list(given)}): The expanded size "
                               f"of the tensor (-1) isn't allowed in a leading, non-existing dimension {i}")
        if old not in (None, 1, n) and n != -1:
            raise RuntimeError(f"The expanded size of the tensor ({n}) must match the existing size ({old}) at "
                               f"non-singleton dimension {i}.  Target sizes: {list(given)}.  Tensor sizes: {list(shape)}")
        full.append(old if n == -1 else n)
    return L.expand(input.layout, tuple(full)), 0, _EXPAND, {}


def _type(x):
    from ..autograd.node import type_name
    return type_name(x.dtype).removeprefix("torch.")


def expand_as(input, other):
    return expand(input, _shape_of(other, "expand_as"))


def broadcast_to(input, *size):
    """The tensor expanded to a shape, given as numbers or as one sequence."""
    return expand(input, *size)


def broadcast_tensors(*tensors):
    """All tensors expanded to their common shape."""
    shape = ()
    for x in tensors:
        shape = L.broadcast_shapes(shape, x.layout.shape)
    return tuple(x if x.layout.shape == shape else expand(x, shape) for x in tensors)


def broadcast_shapes(*shapes):
    shape = ()
    for s in shapes:
        shape = L.broadcast_shapes(shape, (s,) if isinstance(s, int) else tuple(s))
    return L.Size(shape)


# -- other shapes --------------------------------------------------------------------------------------------
def fill_in(given, numel) -> tuple[int, ...]:
    """A shape with its -1 worked out; RuntimeError if it does not fit `numel` elements."""
    known = math.prod(n for n in given if n != -1)
    missing = given.count(-1) if isinstance(given, (tuple, list)) else 0
    if missing > 1:
        raise RuntimeError("only one dimension can be inferred")
    if any(n < -1 for n in given):
        raise RuntimeError(f"invalid shape dimension {min(given)}")
    if missing:
        if not known:
            raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(given)} because the unspecified "
                               "dimension size -1 can be any value and is ambiguous")
        if numel % known:
            raise RuntimeError(f"shape '{list(given)}' is invalid for input of size {numel}")
        return tuple(numel // known if n == -1 else n for n in given)
    if known != numel:
        raise RuntimeError(f"shape '{list(given)}' is invalid for input of size {numel}")
    return tuple(given)


def view(input, *shape, dtype=None):
    """The same memory in another shape; a dtype instead of a shape shows the same bytes as it."""
    if dtype is not None or shape and isinstance(shape[0], dtypes.dtype):
        return view_dtype(input, dtype or shape[0])
    return _view(input, *shape)


@remembered
def _view(input, *shape):
    full = fill_in(_sizes(shape), input.layout.numel)
    l = L.view(input.layout, full)
    if l is None:
        raise RuntimeError("view size is not compatible with input tensor's size and stride (at least one dimension "
                           "spans across two contiguous subspaces). Use .reshape(...) instead.")
    return l, 0, _VIEW, {"shape": input.layout.shape}


def view_dtype(input, dtype):
    """The bytes of a tensor as elements of another dtype; sizes of the last axis change with the element's."""
    old, new = input.dtype, dtype
    if input.storage.is_mirrored:
        what = "conjugate view tensors" if input.storage.is_conj else "tensors with negative bit set"
        raise RuntimeError(f"torch.Tensor.view is not supported for {what} when converting to a different dtype.")
    if old is new:
        return view_of(input, input.layout, input.offset, _ALIAS, {})
    l, at = input.layout, input.offset
    if old.itemsize != new.itemsize:
        l, at = (_finer if old.itemsize > new.itemsize else _coarser)(l, at, old, new)
    return recast(input, new, l, at)


def recast(x, dtype, l, offset, gradient=None) -> Tensor:
    """A tensor of another dtype on x's memory; taped if a gradient is given."""
    return seen_through(x, storages.recast(x.storage, dtype), l, offset, gradient)


def seen_through(x, storage, l, offset, gradient=None) -> Tensor:
    """A tensor that shows x's memory through another storage; taped if a gradient is given."""
    seen = wrap(Tensor, storage, l, offset)
    seen._root = x if x._root is None else x._root
    if gradient is None:
        return seen
    if mode.enabled:
        base = x._view_of
        seen._view_of, seen._view_version = x if base is None else base, x.storage.version
        if is_tracked(x):
            seen._requires_grad = True
            seen._grad_fn = entry(gradient.node_class, gradient, {}, [edge_to(x)], (),
                                  record.override or record.user_line(3), None)
    return seen


def _finer(l, at, old, new):
    """Several elements in the place of one."""
    ratio, words = old.itemsize // new.itemsize, f"to view {legacy_name(old)} as {legacy_name(new)} (different element sizes)"
    if not l.ndim:
        raise RuntimeError(f"self.dim() cannot be 0 {words}")
    if l.strides[-1] != 1:
        raise RuntimeError(f"self.stride(-1) must be 1 {words}, but got {l.strides[-1]}")
    strides = (*(s * ratio for s in l.strides[:-1]), 1)
    return L.layout((*l.shape[:-1], l.shape[-1] * ratio), strides), at * ratio


def _coarser(l, at, old, new):
    """One element in the place of several."""
    ratio, words = new.itemsize // old.itemsize, f"to view {legacy_name(old)} as {legacy_name(new)} (different element sizes)"
    if not l.ndim:
        raise RuntimeError(f"self.dim() cannot be 0 {words}")
    checks = [("self.size(-1)", l.shape[-1]), ("self.storage_offset()", at)]
    checks += [(f"self.stride({i})", s) for i, s in enumerate(l.strides[:-1])]
    for what, n in checks:
        if n % ratio:
            raise RuntimeError(f"{what} must be divisible by {ratio} {words}, but got {n}")
    if l.strides[-1] != 1:
        raise RuntimeError(f"self.stride(-1) must be 1 {words}, but got {l.strides[-1]}")
    return L.layout((*l.shape[:-1], l.shape[-1] // ratio), (*(s // ratio for s in l.strides[:-1]), 1)), at // ratio


def view_as(input, other):
    return view(input, _shape_of(other, "view_as"))


def reshape(input, *shape):
    """Another shape: a view where the strides allow it, else a copy."""
    try:
        found = _known[reshape, input.layout, input.dtype, shape]
    except (KeyError, TypeError, AttributeError):
        found = _reshaping(input, shape)
    if found.gradient is not _COPIED:
        return show(input, found)
    y = show(contiguous(input), found)
    y._root = y._view_of = None         # nobody else sees the copy
    return y


def _reshaping(input, shape) -> View:
    if not isinstance(input, Tensor):
        raise TypeError(f"reshape(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    full, old = fill_in(_sizes(shape), input.layout.numel), input.layout.shape
    l = input.layout if full == old else L.view(input.layout, full)
    gradient = _COPIED if l is None else _VIEW if input.layout.packed else _RESHAPED
    found = View(packed(full) if l is None else l, 0, gradient, {"shape": old})
    return remember(_known, (reshape, input.layout, input.dtype, tuple(shape)), found) if _is_plain(shape) else found


def _is_plain(shape) -> bool:
    """Whether sizes can be looked up: numbers, or one tuple of them."""
    return all(type(n) is int for n in (shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape))


def reshape_as(input, other):
    return reshape(input, _shape_of(other, "reshape_as"))


def flatten(input, start_dim=0, end_dim=-1):
    """Axes start_dim..end_dim joined into one."""
    n = input.layout.ndim
    a, b = wrap_dim(start_dim, n), wrap_dim(end_dim, n)
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if n == 0:
        return reshape(input, 1)
    if a == b:
        return input
    s = input.layout.shape
    return reshape(input, (*s[:a], math.prod(s[a:b + 1]), *s[b + 1:]))


def ravel(input):
    """All elements in one packed axis."""
    return reshape(contiguous(input), -1)


def unflatten(input, dim, sizes):
    """One axis split into several."""
    d = wrap_dim(dim, input.layout.ndim)
    s = input.layout.shape
    try:
        sizes = fill_in(tuple(sizes), s[d])
    except RuntimeError:
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {d} ({s[d]}) "
                           "in the input tensor") from None
    return view(input, (*s[:d], *sizes, *s[d + 1:]))


def contiguous(input, memory_format=contiguous_format):
    """The tensor itself if it is packed (in that memory format), else a packed copy."""
    if input.is_contiguous(memory_format):
        return input
    return apply(copy, (input,), {}) if memory_format.name not in ORDERS else copied(input, memory_format)


def dim_order(input, ambiguity_check=False) -> tuple[int, ...]:
    """The axes from the outermost to the innermost in memory.

    Args:
        ambiguity_check: True, or a list of memory formats: RuntimeError unless there is one order alone, or one of the formats.
    """
    if not isinstance(ambiguity_check, (bool, list)) or isinstance(ambiguity_check, list) and not all(
            isinstance(f, memory_format) for f in ambiguity_check):
        raise TypeError("The ambiguity_check argument must be a bool or a list of memory formats.")
    l = input.layout
    if ambiguity_check is not False and (1 in l.shape or any(a == b for a, b in zip(l.strides, l.strides[1:]))):
        formats = ambiguity_check if isinstance(ambiguity_check, list) else []
        if sum(input.is_contiguous(memory_format=f) for f in formats) != 1:
            raise RuntimeError("The tensor does not have unique dim order, or cannot map to exact one of the given memory "
                               "formats.")
    order = output_order([l], l.shape, by_strides=True)
    return tuple(range(l.ndim)) if order is None else tuple(order)


def is_channels_last(l, format) -> bool:
    order = ORDERS.get(format.name, ())
    return l.ndim == len(order) and L.permute(l, order).packed


# -- parts ---------------------------------------------------------------------------------------------------
def _part_gradient(name):
    """Of a view that shows part of its input: zeros with g where the part was."""
    def rule(g, _y, _x, *, shape, cut, args):
        base = packed(tuple(shape))
        view, at = cut(base, *args)
        return embed(g, base, view, at)

    def add(total, g, shape, cut, args):
        base = packed(tuple(shape))
        return add_part(total, g, base, *cut(base, *args))
    made = Gradient(name, (rule,))
    made.add = add
    return made


_SLICE, _SELECT = _part_gradient("SliceBackward0"), _part_gradient("SelectBackward0")
_DIAGONAL, _UNFOLD = _part_gradient("DiagonalBackward0"), _part_gradient("UnfoldBackward0")


def _part(x, cut, args, gradient):
    key = (cut, x.layout, x.dtype, args)
    found = known(_known, key)
    if found is None:
        params = {"shape": x.layout.shape, "cut": cut, "args": args}
        found = remember(_known, key, View(*cut(x.layout, *args), gradient, params))
    return show(x, found)


def entry_of(input, index):
    """input[index], if that is known already."""
    found = _known.get((L.select, input.layout, input.dtype, (0, index)))
    return found and show(input, found)


def narrow(input, dim, start, length):
    """`length` entries of an axis from `start` on."""
    if not input.layout.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, input.layout.ndim)
    n = input.layout.shape[d]
    start, length = whole(start), whole(length)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice_(input, d, start, start + length)


def slice_(input, dim, start, stop, step=1):
    """input[..., start:stop:step, ...] with bounds already in range."""
    return _part(input, L.narrow, (dim, start, max(stop, start), step), _SLICE)


def select(input, dim, index):
    """One entry of an axis; the axis goes."""
    if not input.layout.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, input.layout.ndim)
    n = input.layout.shape[d]
    index = whole(index)
    if not -n <= index < n:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {d}")
    return _part(input, L.select, (d, index % n), _SELECT)


def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of two axes, as the last axis."""
    a, b = (wrap_dim(d, input.layout.ndim) for d in (dim1, dim2))
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _part(input, L.diagonal, (offset, a, b), _DIAGONAL)


def _unfold_cut(l, dim, size, step):
    return L.unfold(l, dim, size, step), 0


def unfold(input, dimension, size, step):
    """Windows of an axis, as a new last axis."""
    d = wrap_dim(dimension, input.layout.ndim)
    n = input.layout.shape[d] if input.layout.ndim else 1
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return _part(input, _unfold_cut, (d, size, step), _UNFOLD)


def as_strided(input, size, stride, storage_offset=None):
    """Any geometry over the same memory, in elements."""
    at = input.offset if storage_offset is None else storage_offset
    l = L.layout(size, stride)
    if l.numel and at + L.extent(l) > input.storage.numel:
        raise RuntimeError(f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {at}, and itemsize "
                           f"{input.dtype.itemsize} requiring a storage size of "
                           f"{(at + L.extent(l)) * input.dtype.itemsize} are out of bounds for storage of size "
                           f"{input.storage.numel * input.dtype.itemsize}")
    return view_of(input, l, at, AS_STRIDED, {"base": input.layout, "view": l, "at": at - input.offset})


def as_strided_scatter(input, src, size, stride, storage_offset=None):
    """A copy of input whose elements at a geometry of its memory are those of src."""
    y = input.clone()
    as_strided(y, size, stride, storage_offset).copy_(src)
    return y


def split(input, split_size_or_sections, dim=0):
    """Parts of given size (the last may be smaller) or sizes along an axis."""
    sizes = split_size_or_sections
    sizes = tuple(sizes) if isinstance(sizes, list) else sizes
    return views_of(input, _known_cuts((split, input.layout, input.dtype, sizes, dim), lambda: _split(input.layout, sizes, dim)))


def _split(l, sizes, dim) -> Cuts:
    if not l.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = wrap_dim(dim, l.ndim)
    n = l.shape[d]
    name = "SplitBackward0" if isinstance(sizes, int) else "SplitWithSizesBackward0"
    if isinstance(sizes, int):
        if sizes == 0 and n:
            raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
        if sizes < 0:
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={sizes}")
        sizes = [min(sizes, n - i) for i in range(0, n, sizes)] if n else [0]
    elif sum(sizes) != n:
        raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
                           f"dimension {d}), but got split_sizes={list(sizes)}")
    cuts, start = [], 0
    for size in sizes:
        cuts.append(L.narrow(l, d, start, start + size))
        start += size
    return Cuts(cuts, name, lambda grads: cat(grads, d))


split_with_sizes = split


def unsafe_split(input, split_size_or_sections, dim=0):
    """`split` whose parts may be written to: the tape does not know that they share memory."""
    return _on_their_own(split(input, split_size_or_sections, dim))


def _on_their_own(parts):
    for y in parts:
        y._view_of = y._root = None
    return parts


unsafe_split_with_sizes = unsafe_split


def chunk(input, chunks, dim=0):
    """At most `chunks` parts of equal size."""
    if chunks <= 0:
        raise RuntimeError("chunk expects `chunks` to be greater than 0, got: " + str(chunks))
    if not input.layout.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    n = input.shape[wrap_dim(dim, input.dim())]
    return split(input, -(-n // chunks), dim) if n else split(input, [0] * chunks, dim)


def unsafe_chunk(input, chunks, dim=0):
    """`chunk` whose parts may be written to: the tape does not know that they share memory."""
    return _on_their_own(chunk(input, chunks, dim))


def tensor_split(input, indices_or_sections, dim=0):
    """Parts of (nearly) equal size, or cut at given places."""
    if not input.layout.ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    d = wrap_dim(dim, input.dim())
    n = input.shape[d]
    cuts = indices_or_sections
    if isinstance(cuts, Tensor):
        cuts = cuts.tolist()
    if isinstance(cuts, (int, np.integer)):
        if cuts <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {cuts}")
        small, extra = divmod(n, cuts)
        sizes = [small + (i < extra) for i in range(cuts)]
        cuts = [sum(sizes[:i]) for i in range(1, len(sizes))]
    edges = [0, *[min(max(c + n if c < 0 else c, 0), n) for c in cuts], n]
    return tuple(slice_(input, d, a, max(a, b)) for a, b in pairwise(edges))


def _split_along(name, least, dim):
    def op(input, indices_or_sections):
        if input.dim() < least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {least} dimension{'s' * (least > 1)}, but got a "
                               f"tensor with {input.dim()} dimensions!")
        d = dim if input.dim() > 1 else 0
        n = input.shape[d]
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or n % indices_or_sections):
            raise RuntimeError(f"torch.{name} attempted to split along dimension {d}, but the size of the dimension {n} is "
                               f"not divisible by the split_size {indices_or_sections}!")
        return tensor_split(input, indices_or_sections, d)
    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"tensor_split along axis {dim}."
    return op


hsplit, vsplit, dsplit = _split_along("hsplit", 1, 1), _split_along("vsplit", 2, 0), _split_along("dsplit", 3, 2)


def unbind(input, dim=0):
    """All entries of an axis."""
    if not input.layout.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return views_of(input, _known_cuts((unbind, input.layout, input.dtype, dim), lambda: _unbind(input.layout, dim)))


def _unbind(l, dim) -> Cuts:
    d = wrap_dim(dim, l.ndim)
    return Cuts([L.select(l, d, i) for i in range(l.shape[d])], "UnbindBackward0", lambda grads: stack(grads, d))


# -- a part replaced ---------------------------------------------------------------------------------------------
def _replaced(input, part, src, name):
    y = input.clone()
    seen = part(y)
    if seen.shape != src.shape:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(src.shape)}, slice "
                           f"size = {list(seen.shape)}")
    seen.copy_(src)
    return named(y, name)


def select_scatter(input, src, dim, index):
    """input with one entry of an axis replaced."""
    return _replaced(input, lambda y: select(y, dim, index), src, "SelectScatterBackward0")


def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    """input with input[..., start:end:step, ...] replaced."""
    d = wrap_dim(dim, input.layout.ndim)
    a, b, c = slice(start, end, step).indices(input.shape[d])
    return _replaced(input, lambda y: slice_(y, d, a, b, c), src, "SliceScatterBackward0")


def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """input with a diagonal replaced."""
    return _replaced(input, lambda y: diagonal(y, offset, dim1, dim2), src, "DiagonalScatterBackward0")


# -- joining ---------------------------------------------------------------------------------------------------
@recalled("tensors*")
def cat(tensors, dim=0, *, out=None):
    """Tensors joined along an axis that exists."""
    if isinstance(tensors, Tensor):
        raise TypeError("cat(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    tensors = list(tensors)
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
    tensors = [x for x in tensors if x.shape != (0,)] or tensors[:1]
    if not tensors[0].layout.ndim:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    d = wrap_dim(dim, tensors[0].layout.ndim)
    _check_joinable(tensors, d)
    to = result_type(tensors)
    xs = [x if x.dtype is to else x.to(to) for x in tensors]
    y = apply(concat_p, xs, {"dim": d, "sizes": tuple(x.layout.shape[d] for x in xs)})
    if out is None:
        order = common_order(tensors)
        return y if order is None else laid_out(y, in_order(y.layout.shape, order))
    if y.dtype.rank > out.dtype.rank:
        raise TypeError(f"torch.cat(): input types can't be cast to the desired output type {legacy_name(out.dtype)}")
    return into(out, y)


cat = at_once(cat, joined_shape)
concatenate = concat = cat


def _check_joinable(tensors, d):
    first = tensors[0].layout.shape
    for i, x in enumerate(tensors[1:], 1):
        s = x.layout.shape
        if len(s) != len(first):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(s)}")
        if any(a != b for k, (a, b) in enumerate(zip(first, s)) if k != d):
            raise RuntimeError(f"Sizes of tensors must match except in dimension {d}. Expected size "
                               f"{next(a for k, (a, b) in enumerate(zip(first, s)) if k != d and a != b)} but got size "
                               f"{next(b for k, (a, b) in enumerate(zip(first, s)) if k != d and a != b)} for tensor "
                               f"number {i} in the list.")


@recalled("tensors*")
def stack(tensors, dim=0, *, out=None):
    """Tensors of equal shape joined along a new axis."""
    if isinstance(tensors, Tensor):
        raise TypeError("stack(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    n = tensors[0].layout.ndim + 1
    d = wrap_dim(dim, n)
    for i, x in enumerate(tensors[1:], 1):
        if x.shape != tensors[0].shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at entry 0 "
                               f"and {list(x.shape)} at entry {i}")
    y = named(cat([unsqueeze(x, d) for x in tensors], d, out=out), "StackBackward0")
    order = common_order(tensors) if d < n - 1 and out is None else None
    if order is None:
        return y
    first = tensors[0].layout.shape         # the axis is split off one that was joined
    joined = in_order((*first[:d], first[d] * len(tensors), *first[d + 1:]), order)
    return laid_out(y, L.view(joined, y.layout.shape))


stack = at_once(stack, stacked_shape)


def hstack(tensors):
    tensors = [x.reshape(1) if not x.dim() else x for x in tensors]
    return cat(tensors, 0 if tensors[0].dim() == 1 else 1)


def vstack(tensors):
    return cat([x.reshape(1, -1) if x.dim() < 2 else x for x in tensors], 0)


row_stack = vstack


def dstack(tensors):
    return cat([x.reshape(1, -1, 1) if x.dim() < 2 else x.unsqueeze(2) if x.dim() == 2 else x for x in tensors], 2)


def column_stack(tensors):
    return hstack([x.reshape(-1, 1) if x.dim() < 2 else x for x in tensors])


def repeat(input, *sizes):
    """The whole tensor tiled."""
    return _repeated(input, tuple(_sizes(sizes)))


@recalled("input")
def _repeated(input, reps):
    if len(reps) < input.layout.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    shape = (1,) * (len(reps) - input.layout.ndim) + tuple(input.layout.shape)
    pairs = [n for r, s in zip(reps, shape) for n in (r, s)]
    lined = reshape(input, [n for s in shape for n in (1, s)])
    y = reshape(expand(lined, pairs).clone(memory_format=contiguous_format), [r * s for r, s in zip(reps, shape)])
    y._root = y._view_of = None
    return named(y, "RepeatBackward0")


def tile(input, *dims):
    reps = _sizes(dims)
    return repeat(input, (1,) * max(0, input.dim() - len(reps)) + reps)


def atleast_1d(*xs):
    """Tensors without axes get one."""
    return _each(xs, lambda x: x.reshape(1) if x.dim() == 0 else x)


def atleast_2d(*xs):
    """New leading axes up to two in all."""
    return _each(xs, lambda x: x.reshape(1, 1) if x.dim() == 0 else x.unsqueeze(0) if x.dim() == 1 else x)


def atleast_3d(*xs):
    """New axes around up to three in all."""
    return _each(xs, lambda x: x.reshape(1, 1, 1) if x.dim() == 0 else x.unsqueeze(0).unsqueeze(-1) if x.dim() == 1 else
                 x.unsqueeze(-1) if x.dim() == 2 else x)


def _each(xs, fn):
    if len(xs) == 1 and not isinstance(xs[0], Tensor):
        xs = xs[0]
        return tuple(fn(x) for x in xs)
    return fn(xs[0]) if len(xs) == 1 else tuple(fn(x) for x in xs)


def block_diag(*tensors):
    """Matrices along the diagonal of a larger one, zero elsewhere."""
    xs = [x.reshape(1, -1) if x.dim() < 2 else x for x in tensors]
    if any(x.dim() > 2 for x in xs):
        raise RuntimeError("torch.block_diag: Input tensors must have 2 or fewer dimensions.")
    to, places, row, column = result_type(xs), [], 0, 0
    for x in xs:
        places.append((row, column, *x.shape))
        row, column = row + x.shape[0], column + x.shape[1]
    before, mode.enabled = mode.enabled, mode.allows(False)
    try:
        y = xs[0].new_zeros(row, column, dtype=to)
        for x, place in zip(xs, places):
            _block(y, place).copy_(x)
    finally:
        mode.enabled = before
    return attach(y, _BLOCKS, xs, {"places": tuple(places)}) if before and any(map(is_tracked, xs)) else y


def _block(y, place):
    row, column, n, m = place
    return y.narrow(0, row, n).narrow(1, column, m)


_BLOCKS = Variadic("BlockDiagBackward0", lambda g, i, _y, *_xs, places: _block(g, places[i]))


def vander(x, N=None, increasing=False):
    """Powers of a vector's elements as columns."""
    if x.dim() != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.numel() if N is None else N
    x = x.to(dtypes.int64) if x.dtype.rank < 2 else x
    if not n:
        return x.new_zeros(x.numel(), 0)
    wide = x.unsqueeze(-1)
    powers = wide.expand(x.numel(), n - 1).cumprod(-1) if n > 1 else None
    ones = wide.new_ones(wide.shape)
    y = cat([ones, powers.to(x.dtype)], 1) if n > 1 else ones
    return y if increasing else y.flip(1)
