"""Making tensors: from data, from sizes, like another tensor."""
from __future__ import annotations

import builtins
import math
import struct
import warnings

import numpy as np

from .. import dtypes, storage as storages
from ..compiler.sizes import whole
from ..errors import warn_once
from ..layout import is_dense, packed, permute
from ..prims.pointwise import full as full_p, iota
from ..tensor import CPU, META, Tensor, check_device, defaults, is_meta_device, wrap
from ..trace.flush import from_array, from_bytes, share_array
from ..trace.record import emit
from . import layouts
from .formats import ORDERS
from .promote import known as known_of, output_order, remember, source
from .support import as_element, need


def sizes(args, name="empty") -> tuple[int, ...]:
    """A shape given as numbers or as one sequence."""
    if len(args) == 1 and not isinstance(args[0], (int, np.integer, Tensor)):
        if not isinstance(args[0], (tuple, list)) and not hasattr(args[0], "__iter__") or isinstance(args[0], str):
            raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(args[0]).__name__}")
        args = args[0]
    shape = []
    for i, n in enumerate(args):
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"{name}(): argument 'size' failed to unpack the object at pos {i + 1} with error \"type must be "
                            f"tuple of ints,but got {type(n).__name__}\"")
        shape.append(whole(n))
    if any(n < 0 for n in shape):
        raise RuntimeError("zeros: Dimension size must be non-negative." if name == "zeros" else
                           f"Trying to create tensor with negative dimension {min(shape)}: {shape}")
    return tuple(shape)


def check_dtype(name, dtype):
    if dtype is not None and not isinstance(dtype, (dtypes.dtype, type)):
        raise TypeError(f"{name}(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")


def check_place(device):
    """RuntimeError unless a factory knows the device: the CPU, or that of tensors without values."""
    if device is not None and device is not CPU and not is_meta_device(device):
        check_device(device)


def lacks_values(device) -> bool:
    """Whether what a factory makes has no values: by the device asked for, else by the default."""
    wanted = defaults[-1] if device is None else device
    return wanted is not CPU and is_meta_device(wanted)


def finished(x, requires_grad=False, device=None):
    """A factory's last step."""
    if lacks_values(device):
        x = on_meta(x)
    if requires_grad and x.dtype.rank < 2:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return x.requires_grad_() if requires_grad else x


def place_of(x, device):
    """Where something like x is made: on the device asked for, else where x is."""
    if device is not None:
        return device
    return META if storages.place is not None and x.is_meta else None if defaults[-1] is CPU else CPU


def on_meta(x):
    """The same without values."""
    from .meta import without_values
    return without_values(x)


def filled(shape, value, dtype) -> Tensor:
    """A tensor of one value; recorded, so that nothing is written before it is needed."""
    value = value.item() if isinstance(value, (Tensor, np.generic)) else value
    kind = dtypes.PYTHON_TYPES.get(type(value))
    if kind is None:
        raise TypeError(f"full(): argument 'fill_value' (position 2) must be Number, not {type(value).__name__}")
    value = as_element(value, dtype)
    shape = tuple(shape)
    sig = known_of(_filled, (shape, dtype))
    if sig is None:
        sig = remember(_filled, (shape, dtype), full_p.signature([None], (dtype,), dict(shape=shape, dtype=dtype)))
    return emit(sig, (), (value,))


_filled: dict = {}          # signatures by shape and dtype


def _check_fits(value, dtype):
    if dtype is not dtypes.bool:
        info = np.iinfo(dtype.numpy)
        if not info.min <= value <= info.max:
            raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")


def _check_all_fit(array, dtype):
    """The same for Python numbers in an array; negative integers wrap around to an unsigned dtype's."""
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            _check_fits(math.inf, dtype)
    elif array.dtype.kind in "iu":
        if np.iinfo(dtype.numpy).min == 0:
            array = np.abs(array)
    else:
        return
    _check_fits(array.min(), dtype)
    _check_fits(array.max(), dtype)


def _is_plain(args) -> bool:
    """Whether sizes can be looked up as they are: numbers, or one tuple of them."""
    for n in args[0] if len(args) == 1 and isinstance(args[0], tuple) else args:
        if type(n) is not int:
            return False
    return True


def _factory(value, name):
    known: dict = {}
    def make(*args, size=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False, out=None,
             memory_format=None):
        if device is out is size is memory_format is layout is None:
            found = known.get((args, dtype, dtypes.default)) if _is_plain(args) else None
            if found is not None:
                return finished(emit(*found), requires_grad)
        check_place(device)
        check_dtype(name, dtype)
        d = dtypes.as_dtype(dtype) or (out.dtype if out is not None else dtypes.default)
        shape = sizes(args if size is None else (size,), name)
        if layout is not None and layout != layouts.strided:
            return layouts.answered("filled", (shape, value, d, layout)).requires_grad_(requires_grad)
        y = _in_order(filled, shape, None if memory_format is None else ORDERS.get(memory_format.name), d, value)
        if out is not None:
            from .promote import MATCH, into
            return into(out, y, MATCH)
        if device is memory_format is None and _is_plain(args) and args:
            scalar = bool(value) if d is dtypes.bool else int(value) if d.rank < 2 else value
            remember(known, (args, dtype, dtypes.default), (_filled[shape, d], (), (scalar,)))
        return finished(y, requires_grad, device)

    def like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None):
        device = place_of(input, device)
        if device is dtype is memory_format is layout is None and input.layout.packed:
            y = filled(input.layout.shape, value, input.dtype)
            if y.layout is not input.layout:
                y.layout = input.layout
            return finished(y, requires_grad)
        check_place(device)
        if layout is not None and layout != input.layout:
            return make(input.shape, dtype=dtype or input.dtype, layout=layout, requires_grad=requires_grad)
        y = _laid_out(filled, input, dtypes.as_dtype(dtype) or input.dtype, value, memory_format)
        return finished(y, requires_grad, device)
    make.__name__, like.__name__ = name, f"{name}_like"
    make.__doc__ = f"A tensor of the given sizes filled with {value}."
    like.__doc__ = f"A tensor of another one's shape and dtype filled with {value}."
    return make, like


def _laid_out(fill, x, dtype, value, memory_format=None):
    """Filled in x's shape; unless a memory format says otherwise axes lie in the order of x's."""
    l = x.layout
    if l.__class__ is layouts.layout:
        return layouts.answered("full_like", (x, value), {"dtype": dtype})
    name = "preserve_format" if memory_format is None else memory_format.name
    if name == "preserve_format" and is_dense(l):
        y = fill(l.shape, value, dtype)
        y.layout = l
        return y
    else:
        order = output_order([l], l.shape) if name == "preserve_format" else ORDERS.get(name)
    return _in_order(fill, l.shape, order, dtype, value)


def _in_order(fill, shape, order, dtype, value):
    """Filled with axes lying in memory in a given order, outermost first."""
    if order is None:
        return fill(shape, value, dtype)
    y = fill(tuple(shape[d] for d in order), value, dtype)
    y.layout = permute(y.layout, [order.index(d) for d in builtins.range(len(order))])
    return y


zeros, zeros_like = _factory(0, "zeros")
ones, ones_like = _factory(1, "ones")
empty, empty_like = _factory(0, "empty")      # memory is never handed out unwritten: runs stay reproducible


def full(size, fill_value, *, dtype=None, layout=None, device=None, requires_grad=False, out=None, pin_memory=False):
    """A tensor of one value; the dtype follows the value unless given."""
    check_place(device)
    value = fill_value.item() if isinstance(fill_value, (Tensor, np.generic)) else fill_value
    if dtype is None and out is not None:
        dtype = out.dtype
    d = dtypes.as_dtype(dtype) or {bool: dtypes.bool, int: dtypes.int64, complex: dtypes.default.to_complex()}.get(
        type(value), dtypes.default)
    y = filled(sizes((size,)), value, d)
    if out is not None:
        from .promote import MATCH, into
        return into(out, y, MATCH)
    return finished(y, requires_grad, device)


def full_like(input, fill_value, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None):
    """A tensor of another one's shape filled with one value."""
    device = place_of(input, device)
    check_place(device)
    y = _laid_out(filled, input, dtypes.as_dtype(dtype) or input.dtype, fill_value, memory_format)
    return finished(y, requires_grad, device)


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor with the given strides over fresh memory."""
    from ..layout import extent, layout as make_layout
    check_place(device)
    l = make_layout(size, stride)
    y = filled((extent(l),), 0, dtypes.as_dtype(dtype) or dtypes.default)
    y.layout = l
    return finished(y, requires_grad, device)


def arange(start, end=None, step=1, *, dtype=None, layout=None, device=None, requires_grad=False, out=None,
           pin_memory=False):
    """start, start + step, ... before end; arange(n) counts from 0."""
    if end is dtype is device is out is None and type(start) is int and start >= 0 and step == 1:
        return finished(_counted(0, 1, start, dtypes.int64), requires_grad)
    check_place(device)
    if end is None:
        start, end = 0, start
    start, end, step = (v.item() if isinstance(v, (Tensor, np.generic)) else v for v in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not all(isinstance(v, int) or math.isfinite(v) for v in (start, end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    is_whole = all(isinstance(v, int) for v in (start, end, step))
    d = dtypes.as_dtype(dtype) or (out.dtype if out is not None else dtypes.int64 if is_whole else dtypes.default)
    need("arange_cpu", d, {1, 2})
    if not d.is_floating_point:
        start, end, step, is_whole = whole(start), whole(end), whole(step), True
        if step == 0:
            raise ValueError("step must be nonzero")
    n = max(0, -(-(end - start) // step)) if is_whole else max(0, math.ceil((end - start) / step))
    y = _counted(start, step, whole(n), d)
    if out is not None:
        from .promote import MATCH, into
        return into(out, y, MATCH)
    return finished(y, requires_grad, device)


def _counted(start, step, n, d):
    """start + i * step, computed in float64 for floats and rounded once, as PyTorch does."""
    if d.rank >= 2 and d is not dtypes.float64:
        return source(iota, dict(n=n, dtype=dtypes.float64), (float(start), float(step)), (dtypes.float64,) * 2).to(d)
    kind = dtypes.float64 if d is dtypes.float64 else dtypes.int64
    number = float if d is dtypes.float64 else int
    y = source(iota, dict(n=n, dtype=kind), (number(start), number(step)), (kind,) * 2)
    return y if d is kind else y.to(d)


def range(start, end, step=1, **kwargs):
    """As arange but with the end included; floats by default."""
    warnings.warn("torch.range is deprecated and will be removed in a future release because its behavior is "
                  "inconsistent with Python's range builtin. Instead, use torch.arange, which produces values in "
                  "[start, end).", UserWarning, stacklevel=2)
    kwargs.setdefault("dtype", dtypes.default)
    whole = isinstance(end, int) and isinstance(step, int)
    return arange(start, end + (step > 0) - (step < 0) if whole else end + step * 0.5, step, **kwargs)


MANY = 4096             # numbers that are worth a kernel


def linspace(start, end, steps, *, dtype=None, layout=None, device=None, requires_grad=False, out=None):
    """`steps` evenly spaced numbers, both ends included; computed from the nearer end."""
    check_place(device)
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    d = dtypes.as_dtype(dtype) or (dtypes.default if out is None else out.dtype)
    if complex in (type(start), type(end)) or d.is_complex:
        return _complex_linspace(start, end, steps, d if d.is_complex else dtypes.as_dtype(dtype), requires_grad, out,
                                 device)
    if not d.is_floating_point:
        start, end = int(start), int(end)
    kind = np.dtype(np.float32 if d.is_floating_point and d.itemsize <= 4 else np.float64).type
    first, last = kind(start), kind(end)
    step = (last - first) / kind(steps - 1) if steps > 1 else kind(0)
    if steps >= MANY and d.is_floating_point and d.itemsize >= 4:
        y = _long_linspace(float(first), float(last), float(step), steps, d, device)
    elif steps == 1:
        y = tensor([start], dtype=d, device=device)
    else:
        y = tensor(_short_linspace(first, last, step, steps).astype(d.numpy), dtype=d, device=device)
    return _handed(y, requires_grad, out, device)


def _short_linspace(first, last, step, steps):
    """first + i * step in the first half, counted from the last in the other, rounded once."""
    i = np.arange(steps)
    i, step, start = np.where(i < steps // 2, (i, i * 0 + step, i * 0 + first), (steps - 1 - i, i * 0 - step, i * 0 + last))
    return _fused(i, step, start).astype(type(first))


def _fused(a, b, c):
    """a * b + c in float64, rounded once (but for ties): the error of the product by Dekker, that of the sum by Knuth."""
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    product = a * b
    lost = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    total = product + c
    back = total - product
    return total + ((product - (total - back)) + (c - back) + lost)


def _halves(x):
    """x as a sum of two numbers of 26 bits."""
    scaled = x * (2.0 ** 27 + 1)
    high = scaled - (scaled - x)
    return high, x - high


def _long_linspace(first, last, step, steps, d, device):
    """The same by a kernel."""
    from .pointwise import where
    i = arange(steps, dtype=dtypes.float64, device=device)
    return where(i < steps // 2, first + i * step, last - ((steps - 1) - i) * step).to(d)


def _complex_linspace(start, end, steps, dtype, requires_grad, out, device):
    """The same for both parts."""
    from .complex import complex as join
    d = dtype or (dtypes.default.to_complex() if out is None else out.dtype)
    if not d.is_complex:
        raise RuntimeError(f"torch.linspace(): inferred dtype {dtypes.default.to_complex()!r} can't be safely cast to "
                           f"passed dtype {d!r}")
    parts = ((complex(start).real, complex(end).real), (complex(start).imag, complex(end).imag))
    return _handed(join(*(linspace(*ends, steps, dtype=d.to_real(), device=device) for ends in parts)), requires_grad, out,
                   device)


def _handed(y, requires_grad, out, device):
    """y itself, or `out` with its values."""
    if out is None:
        return finished(y, requires_grad, device)
    from .promote import MATCH, into
    return into(out, y, MATCH)


def logspace(start, end, steps, base=10.0, *, dtype=None, layout=None, device=None, requires_grad=False,
             pin_memory=False, out=None):
    """base ** linspace(start, end, steps)."""
    check_place(device)
    d = dtypes.as_dtype(dtype) or (dtypes.default if out is None else out.dtype)
    need("logspace_cpu", d, {1, 2, 3})
    if d.rank == 1:                     # ends are converted, exponents are floats
        start, end = (int(v) for v in (start, end))
    wide = dtypes.float32 if d.rank == 1 else dtypes.float64
    y = (base ** linspace(start, end, steps, dtype=wide, device=device).to(dtypes.float64)).to(d)
    if out is not None:
        from .promote import MATCH, into
        return into(out, y, MATCH)
    return finished(y, requires_grad, device)


def eye(n, m=None, *, dtype=None, layout=None, device=None, requires_grad=False, out=None):
    """Ones on the diagonal."""
    check_place(device)
    m = n if m is None else m
    for name, size in (("n", n), ("m", m)):
        if size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    y = (arange(n, device=device)[:, None] == arange(m, device=device)[None, :]).to(
        dtypes.as_dtype(dtype) or (dtypes.default if out is None else out.dtype))
    if out is not None:
        from .promote import MATCH, into
        return into(out, y, MATCH)
    return finished(y, requires_grad, device)


# -- from data ----------------------------------------------------------------------------------------------------
def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A new leaf from numbers, nested sequences, arrays or a tensor; the data are copied."""
    if device is not None:
        check_place(device)
    d = None if dtype is None else dtypes.as_dtype(dtype)
    made = few_numbers(data, d)
    if made is not None:
        return finished(made, requires_grad, device)
    if isinstance(data, Tensor):
        import warnings
        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
                      stacklevel=2)
        y = data.detach().clone()
        y._root = None
        return finished(y if d is None else y.to(d), requires_grad, device)
    if type(data) in (list, tuple) and data and isinstance(data[0], np.ndarray):
        warn_once("Creating a tensor from a list of numpy.ndarrays is extremely slow: make one array of them with numpy.array().")
    array = to_array(data)
    d = d or _inferred(data, array)
    if d.rank == 1 and array.size and not isinstance(data, (np.generic, np.ndarray)):
        _check_all_fit(array, d)
    with np.errstate(all="ignore"):
        made = from_array(array.astype(d.numpy) if array.dtype != d.numpy else array, d)
    return finished(wrap(Tensor, made, packed(tuple(array.shape)), 0), requires_grad, device)


FEW = 1024              # numbers up to which packing them one by one beats going through NumPy
PACKED = {float: {dtypes.float32: "f", dtypes.float64: "d"},
          bool: {dtypes.bool: "?"},
          int: {dtypes.int64: "q", dtypes.int32: "i", dtypes.float32: "f", dtypes.float64: "d"}}


def few_numbers(data, dtype) -> Tensor | None:
    """A tensor of one number, or of a list of numbers of one type, the quick way; None for all else."""
    kind, count = type(data), None
    if kind is list or kind is tuple:
        kinds, count = set(map(type, data)), len(data)
        if len(kinds) != 1:
            return None
        kind, = kinds
    known = _packers.get((kind, count, dtype, dtypes.default)) or _packer(kind, count, dtype)
    if known is None:
        return None
    pack, layout, dtype = known
    try:
        numbers = pack(data) if count is None else pack(*data)
    except (struct.error, OverflowError):
        return None
    return wrap(Tensor, from_bytes(numbers, dtype), layout, 0)


_packers: dict[tuple, tuple] = {}       # by kind, count, dtype and default dtype; there are not more than FEW counts


def _packer(kind, count, dtype):
    """(what packs so many numbers of a kind, their layout and dtype), kept; None if they are not packed."""
    found = dtype or (dtypes.default if kind is float else dtypes.PYTHON_TYPES.get(kind))
    code = PACKED.get(kind, {}).get(found)
    if code is None or count is not None and count > FEW:
        return None
    layout = packed(() if count is None else (count,))
    made = _packers[kind, count, dtype, dtypes.default] = struct.Struct(f"{layout.numel}{code}").pack, layout, found
    return made


def to_array(data) -> np.ndarray:
    """An array from nested data; ValueError for ragged sequences, as PyTorch."""
    if isinstance(data, np.ndarray):
        return data
    if isinstance(data, (list, tuple)):
        data = _without_tensors(data)
        _check_rectangular(data)
    if isinstance(data, str) or isinstance(data, list) and _first(data, str) is not None:
        raise TypeError("new(): invalid data type 'str'") if isinstance(data, str) or len(data) != 1 else \
            ValueError("too many dimensions 'str'")
    try:
        array = np.array(data)
    except OverflowError:
        raise ValueError("Overflow when unpacking long long") from None
    if array.dtype == object:
        bad = _first_foreign(data)
        if isinstance(bad, int):
            raise ValueError("Overflow when unpacking long long")
        raise RuntimeError(f"Could not infer dtype of {type(bad).__name__}")
    return array


def _first(data, kind):
    """The first element of a kind in nested lists, or None."""
    for x in data:
        found = _first(x, kind) if isinstance(x, list) else x if isinstance(x, kind) else None
        if found is not None:
            return found
    return None


def _without_tensors(data):
    if isinstance(data, (list, tuple)):
        return [_without_tensors(x) for x in data]
    if isinstance(data, Tensor):
        if data.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return data.item()
    return data


def _check_rectangular(data, dim=0):
    lengths = [len(x) if isinstance(x, (list, tuple, np.ndarray)) else None for x in data]
    if not lengths or all(n is None for n in lengths):
        return
    for n in lengths:
        if n is None:
            raise TypeError("not a sequence")
        if n != lengths[0]:
            raise ValueError(f"expected sequence of length {lengths[0]} at dim {dim + 1} (got {n})")
    for x in data:
        if isinstance(x, list):
            _check_rectangular(x, dim + 1)


def _first_foreign(data):
    while isinstance(data, (list, tuple)) and data:
        data = next((x for x in data if isinstance(x, (list, tuple)) or not isinstance(x, (int, float, bool))),
                    max(data, key=lambda x: x if isinstance(x, int) else 0))
    return data


def _inferred(data, array):
    if isinstance(data, (np.ndarray, np.generic)):
        return dtypes.from_numpy(array.dtype)
    if array.dtype.kind == "f":
        return dtypes.default if not _holds_numpy(data) else dtypes.from_numpy(array.dtype)
    if array.dtype.kind == "c":
        return dtypes.default.to_complex()
    return dtypes.from_numpy(array.dtype) if array.size or array.dtype.kind != "f" else dtypes.default


def _holds_numpy(data):
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (np.ndarray, np.generic))


def from_numpy(array):
    """A tensor on the memory of an array; writes to either show in both."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    if not array.flags.writeable:
        warn_once("The given NumPy array is not writable, and PyTorch does not support non-writable tensors: writing to this one "
                  "has no defined result. Copy the array, or make it writable.")
    return _shown_in_place(array)


def _shown_in_place(array):
    key = array.dtype, array.shape, array.strides
    d, l, numel = _kinds_of_arrays.get(key) or _kind_of_array(array, key)
    return wrap(Tensor, share_array(array, d, numel), l, 0)


_kinds_of_arrays: dict[tuple, tuple] = {}       # by dtype, shape and strides in bytes


def _kind_of_array(array, key):
    """Dtype and layout of an array as a tensor, and how many elements it reaches over; kept."""
    d = dtypes.from_numpy(array.dtype)
    if any(s < 0 for s in array.strides):
        raise ValueError("At least one stride in the given numpy array is negative, and tensors with negative strides "
                         "are not currently supported. (You can probably work around this by making a copy of your "
                         "array  with array.copy().) ")
    if any(s % array.itemsize for s in array.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size. Copy the numpy array to "
                         "reallocate the memory.")
    from ..layout import extent, layout
    l = layout(array.shape, [s // array.itemsize for s in array.strides]) if array.size else packed(tuple(array.shape))
    if len(_kinds_of_arrays) > 1000:
        _kinds_of_arrays.clear()
    made = _kinds_of_arrays[key] = d, l, extent(l)
    return made


def as_tensor(data, dtype=None, device=None):
    """Data as a tensor, without a copy if it is a tensor or array of that dtype already."""
    check_place(device)
    d = dtypes.as_dtype(dtype)
    if isinstance(data, Tensor):
        return data.to(device, d or data.dtype) if device is not None else data if d is None else data.to(d)
    if isinstance(data, np.ndarray) and not is_meta_device(device) and all(s >= 0 for s in data.strides):
        y = from_numpy(data)
        return y if d is None or d is y.dtype else y.to(d)
    return tensor(data, dtype=d, device=device)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """as_tensor, which also sees the bytes of a storage as a dtype; `copy` says whether to copy for sure, or to share or fail."""
    from .interop import UntypedStorage
    if isinstance(obj, UntypedStorage):
        obj = obj._bytes().view(dtypes.as_dtype(dtype) or dtypes.int64)
    y = as_tensor(obj, dtype, device)
    is_shared = y is obj or y.storage.share is not None
    if copy is False and not is_shared:
        raise ValueError("can't alias arbitrary sequence into a tensor.")
    return finished(y.clone() if copy and is_shared else y, requires_grad, device)


def scalar_tensor(value, *, dtype=None, device=None, requires_grad=False):
    return tensor(value, dtype=dtype or dtypes.default, device=device, requires_grad=requires_grad)


class _Capsule:
    """A DLPack capsule of the CPU as the object that it comes from."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack__(self, **kwargs):
        return self.capsule

    def __dlpack_device__(self):
        return 1, 0


def from_dlpack(other):
    """A tensor on the memory of any object that speaks DLPack."""
    if isinstance(other, Tensor):
        return other
    return from_numpy(np.from_dlpack(other if hasattr(other, "__dlpack__") else _Capsule(other)))


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A tensor on the memory of an object with a buffer."""
    array = np.frombuffer(buffer, dtypes.as_dtype(dtype).numpy, count, offset)
    if not array.flags.writeable:
        warn_once("The given buffer is not writable, and PyTorch does not support non-writable tensors: writing to this one has "
                  "no defined result. Copy the buffer first.")
    return finished(_shown_in_place(array), requires_grad)


def legacy_tensor(cls, *args, dtype=None, device=None, requires_grad=False):
    """Tensor(sizes...) is uninitialised (here: zero), Tensor(data) copies, always in the default dtype."""
    d = dtype or dtypes.default
    if len(args) == 1 and isinstance(args[0], Tensor):
        y = args[0].detach() if args[0].dtype is d else args[0].detach().to(d)
    elif len(args) == 1 and not isinstance(args[0], (int, np.integer)) and not type(args[0]).__name__ == "Size":
        y = tensor(args[0], dtype=d)
    else:
        y = filled(sizes(args) if args else (0,), 0, d)
    if cls is not Tensor:
        y.__class__ = cls
    return y



def to_dlpack(x):
    """A DLPack capsule on a tensor's memory."""
    return x.__dlpack__()


def _window(name, shape_of):
    def make(window_length, periodic=True, *args, dtype=None, layout=None, device=None, requires_grad=False, **kwargs):
        check_place(device)
        d = dtypes.as_dtype(dtype) or dtypes.default
        n = window_length + (1 if periodic and window_length > 1 else 0)
        t = np.arange(n) / builtins.max(n - 1, 1)
        values = np.ones(n) if n == 1 else shape_of(t, *args, **kwargs)
        return tensor(values[:window_length], dtype=d, device=device, requires_grad=requires_grad)
    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"The {name.removesuffix('_window')} window of a length; a period of it, or symmetric."
    return make


hann_window = _window("hann_window", lambda t: 0.5 - 0.5 * np.cos(2 * np.pi * t))
hamming_window = _window("hamming_window", lambda t, alpha=0.54, beta=0.46: alpha - beta * np.cos(2 * np.pi * t))
bartlett_window = _window("bartlett_window", lambda t: 1 - np.abs(2 * t - 1))
blackman_window = _window("blackman_window",
                          lambda t: 0.42 - 0.5 * np.cos(2 * np.pi * t) + 0.08 * np.cos(4 * np.pi * t))
kaiser_window = _window("kaiser_window", lambda t, beta=12.0: np.i0(beta * np.sqrt(1 - (2 * t - 1) ** 2)) / np.i0(beta))


def empty_permuted(size, physical_layout, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """Memory for a tensor whose axes lie in the order of physical_layout, from outermost to innermost."""
    if sorted(physical_layout) != list(builtins.range(len(size))):
        if len(physical_layout) != len(size):
            raise RuntimeError("Number of dimensions in size does not match the length of the physical_layout; i.e. "
                               f"len(size) = {len(size)} is not equal to len(physical_layout) = {len(physical_layout)}")
        bad = [d for i, d in enumerate(physical_layout) if not 0 <= d < len(size) or d in physical_layout[:i]]
        raise RuntimeError(f"Dimension out of range (expected to be between 0 and {len(size) - 1}, but got {bad[0]} at index "
                           f"{list(physical_layout).index(bad[0])}).  NB: negative dims not currently supported; file an "
                           "issue if you want it." if not 0 <= bad[0] < len(size) else "Duplicate dim not allowed")
    y = empty([size[d] for d in physical_layout], dtype=dtype, layout=layout, device=device)
    back = [list(physical_layout).index(d) for d in builtins.range(len(size))]
    return finished(y.permute(back), requires_grad, device)


def unravel_index(indices, shape):
    """Positions along each axis of elements counted row-major."""
    if indices.dtype.rank != 1:
        raise ValueError("expected 'indices' to be integer dtype, but got " + str(indices.dtype))
    out = []
    for n in reversed(shape if not isinstance(shape, int) else (shape,)):
        out.append(indices.remainder(n))
        indices = indices.div(n, rounding_mode="floor")
    from .shape import stack, unbind
    return unbind(stack(out[::-1], -1), -1) if out else ()


def _below(row, col, offset):
    """(first row, its length, rows up to the first that is full, full rows behind) of a lower triangle."""
    first = min(max(0, -offset), row)
    least = min(max(first + offset + 1, 0), col)
    grow = min(row - first, col - least + 1) if least else 0
    return first, least, grow, (row - first - grow if least else 0)


def _lower_indices(row, col, offset, reverse=False):
    """Numbers of rows and columns of a lower triangle, element by element, or from the last one on.

    Element k of rows that begin with m elements and grow by one is in row j if
    j m + j (j - 1) / 2 <= k, which a square root in float64 tells exactly below 2^49.
    """
    first, least, grow, full = _below(row, col, offset)
    numbers = (lambda n: arange(n - 1, -1, -1)) if reverse else arange
    k = numbers(grow * least + grow * (grow - 1) // 2)
    b = 2 * least - 1
    j = (((8 * k + b * b).to(dtypes.float64).sqrt() - b) * 0.5).to(dtypes.int64)
    parts = [(j + first, k - (j * (j + b) >> 1))]
    if full:
        i, c = numbers(full) + (first + grow), numbers(col)
        parts.append((i.repeat_interleave(col), c.repeat(full)))
    return [_end_to_end(side[::-1] if reverse else side) for side in zip(*parts, strict=True)]


def _end_to_end(parts):
    from .shape import cat
    return cat(parts) if len(parts) > 1 else parts[0]


def _pairs(rows, columns, dtype):
    from .shape import stack
    return stack([rows, columns]).to(dtype or dtypes.int64)


def _check_sides(row, col):
    for name, size in (("row", row), ("col", col)):
        if size < 0:
            raise RuntimeError(f"{name} must be non-negative, got{size}")


def tril_indices(row, col, offset=0, *, dtype=dtypes.int64, device=None, layout=None):
    """Row and column numbers of the lower triangle."""
    _check_sides(row, col)
    return _pairs(*_lower_indices(row, col, offset), dtype)


def triu_indices(row, col, offset=0, *, dtype=dtypes.int64, device=None, layout=None):
    """Row and column numbers of the upper triangle."""
    _check_sides(row, col)
    rows, columns = _lower_indices(row, col, col - row - offset, reverse=True)
    return _pairs(row - 1 - rows, col - 1 - columns, dtype)
