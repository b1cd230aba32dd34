"""Borders with the outside: NumPy, copies, pickles, conversion, methods that ops lack."""
from __future__ import annotations

import functools
from weakref import ref

import numpy as np

from .. import dtypes, storage as storages
from ..autograd.inplace import assign, check_writable
from ..autograd.node import named
from ..prims.index import copy as clone_p
from ..errors import warn_once
from ..storage import Share, Storage, recast
from ..tensor import Tensor, check_device, device, is_meta_device, wrap
from .formats import ORDERS, copied, dense, laid_out, order_of
from .pointwise import cast, clone


class Exporter:
    """Stands between an exported array and its buffer: alive as long as any view of the array is."""

    __slots__ = ("buffer", "__array_interface__", "__weakref__")

    def __init__(self, buffer, dtype, shape, strides, offset):
        self.buffer = buffer
        self.__array_interface__ = {"version": 3, "typestr": np.dtype(dtype).str, "shape": shape, "strides": strides,
                                    "data": (buffer.address + offset, False)}


def to_numpy(x, force=False) -> np.ndarray:
    """The elements as an array on the same memory; from now on that memory is read and written at the call."""
    if x.requires_grad:
        if not force:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        x = x.detach()
    if x.storage.is_mirrored:
        x = readable(x, force)
    if x.dtype is dtypes.bfloat16:
        raise TypeError("Got unsupported ScalarType BFloat16")
    storage, l = x.storage.base, x.layout
    buffer = own_buffer(storage)
    size = x.dtype.itemsize
    if not l.numel:
        return np.empty(l.shape, x.dtype.numpy)
    exporter = Exporter(buffer, x.dtype.numpy, tuple(l.shape), tuple(s * size for s in l.strides), x.offset * size)
    if storage.share is None:
        storage.share = Share()
    storage.share.exports.append(ref(exporter))
    return np.asarray(exporter)


def readable(x, force):
    """A copy of a tensor that shows its memory conjugated or negated; RuntimeError, if no copy may be made."""
    if not force:
        kind, name = ("conjugate", "conj") if x.storage.is_conj else ("negative", "neg")
        raise RuntimeError(f"Can't call numpy() on Tensor that has {kind} bit set. Use tensor.resolve_{name}().numpy() instead.")
    return clone(x)


def own_buffer(storage):
    """The realised buffer of a storage that no other storage shows: safe to hand out."""
    from ..trace.flush import storage_of
    from ..runtime import memory
    storage = storage.base
    buffer = storage.realize()
    node = storage.node
    owners = node.owner if type(node.owner) is tuple else (node.owner,)
    if any((s := r()) is not None and s is not storage and s.node is node for r in owners) or _saved_elsewhere(node):
        copy = memory.allocate(buffer.nbytes)
        copy.as_numpy(np.uint8, (buffer.nbytes,))[...] = buffer.as_numpy(np.uint8, (buffer.nbytes,))
        fresh = storage_of(copy, storage.dtype, storage.numel).node
        fresh.owner = ref(storage)
        storage.node, buffer = fresh, copy
    return buffer


def _saved_elsewhere(node):
    """Whether pending nodes still read this value: they must not see what is written from outside."""
    from ..trace.record import pending
    return any((n := r()) is not None and node in n.operands for r in pending.nodes)


def deepcopy_tensor(x, memo):
    """A copy for copy.deepcopy: leaves only, with its gradient and attributes."""
    if id(x) in memo:
        return memo[id(x)]
    if not x.is_leaf:
        raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at "
                           "the moment.  If you were attempting to deepcopy a module, this may be because of a "
                           "torch.nn.utils.weight_norm usage, see https://github.com/pytorch/pytorch/pull/103001")
    y = clone(x.detach())
    y.__class__ = type(x)
    y._requires_grad = x._requires_grad
    memo[id(x)] = y
    if x._grad is not None:
        y._grad = deepcopy_tensor(x._grad, memo)
    for name, value in x.__dict__.items():
        if name not in y.__dict__ and not name.startswith("_"):
            import copy
            y.__dict__[name] = copy.deepcopy(value, memo)
    return y


def rebuild_tensor(cls, array, dtype_name, requires_grad):
    """A leaf that holds a copy of an array, in another process."""
    from .create import tensor
    d = getattr(dtypes, dtype_name)
    y = tensor(array, dtype=d)
    y.__class__ = cls
    y._requires_grad = requires_grad
    return y


def share_memory_(x):
    """Move x's storage to memory that processes started from here, or sent x, see and may write.

    Raises:
        RuntimeError: a NumPy array has the storage's memory.
    """
    from ..multiprocessing.shared import share
    share(storages.plain(x.storage))
    return x


def is_shared(x) -> bool:
    """Whether x lies in shared memory."""
    if x.storage.share is None:
        return False
    from ..multiprocessing.shared import memory_of
    return memory_of(storages.plain(x.storage)) is not None


# -- conversion ------------------------------------------------------------------------------------------------
CLONED_BY_TO = clone_p.gradient.named("ToCopyBackward0")


def to(x, *args, dtype=None, device=None, non_blocking=False, copy=False, memory_format=None):
    """x as another dtype (or on another device: only the CPU); x itself if nothing changes."""
    flags = [a for a in args if isinstance(a, bool)]        # non_blocking, copy
    copy = copy or len(flags) > 1 and flags[1]
    for a in args:
        if isinstance(a, dtypes.dtype):
            dtype = a
        elif isinstance(a, Tensor):
            dtype = a.dtype
        elif isinstance(a, bool):
            continue
        elif a is not None:
            device = a
    y = x if dtype is None else cast(x, dtypes.as_dtype(dtype))
    if x.dtype.is_complex and not y.dtype.is_complex and y.dtype is not dtypes.bool:
        warn_once("Casting complex values to real discards the imaginary part")
    if is_meta_device(device):
        from .meta import without_values
        return x if y is x and x.is_meta else without_values(y)
    if device is not None:
        check_device(device)
        refuse_meta(x)
    if memory_format is not None and memory_format.name != "preserve_format":
        if y is not x:
            return laid_out(y, dense(y.layout.shape, memory_format))
        if copy or order_of(x.layout) is not ORDERS.get(memory_format.name):
            return copied(x, memory_format, CLONED_BY_TO)
        return x
    return named(clone(y), "ToCopyBackward0") if copy and y is x else y


def refuse_meta(x):
    """NotImplementedError for a tensor without values."""
    if storages.place is not None:
        from .meta import refuse
        refuse(x)


def type_(x, dtype=None, non_blocking=False):
    """The tensor type's name, or x converted to a type."""
    from ..autograd.node import type_name
    if dtype is None:
        return type_name(x.dtype)
    from .legacy import type_named
    return cast(x, dtypes.PYTHON_TYPES.get(dtype) or type_named(dtype))


def cuda(x, *args, **kwargs):
    check_device("cuda")


def copy_(x, src, non_blocking=False):
    """Overwrite x with src, broadcast and converted."""
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
    if src is x:
        check_writable(x)
        return x
    if src.layout.shape != x.layout.shape:
        from .shape import expand
        src = expand(src, x.layout.shape)
    return assign(x, named(_fresh(src, x), "CopyBackwards"), "CopyBackwards")


def _fresh(src, x):
    """A value of x's dtype that may be adopted as x's own."""
    y = cast(src, x.dtype)
    return y if y is not src else clone(src) if src.layout is x.layout else _plain(src)


def _plain(src):
    from .shape import view_of, _ALIAS
    return view_of(src, src.layout, src.offset, _ALIAS, {})


def fill_(x, value):
    """Every element of x one value."""
    check_writable(x)
    from .create import filled
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.dim()} dimensions.")
        return assign(x, named(value.to(x.dtype).expand(x.shape).clone(), "FillBackward3"), "FillBackward3")
    return assign(x, filled(x.layout.shape, value, x.dtype), "FillBackward2")


def zero_(x):
    """Every element of x zero."""
    check_writable(x)
    from .create import filled
    return assign(x, filled(x.layout.shape, 0, x.dtype), "ZeroBackward0")


def set_data(x, source):
    x.data = source
    return x


def new(kind):
    """x.new_zeros(sizes) and its like: the factory in x's dtype."""
    from . import create
    make = getattr(create, kind)

    def method(self, *args, dtype=None, device=None, requires_grad=False, **kwargs):
        device = create.place_of(self, device)
        if kind == "full":
            return make(args[0], args[1] if len(args) > 1 else kwargs["fill_value"], dtype=dtype or self.dtype,
                        device=device, requires_grad=requires_grad)
        return make(*args, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad, **kwargs)
    method.__name__ = f"new_{kind}"
    return method


def new_like(x, *args, device=None):
    """x.new(sizes...) or x.new(data): an old way to make a tensor of x's dtype."""
    from .create import legacy_tensor
    return legacy_tensor(Tensor, *args, dtype=x.dtype, device=device)


def is_tensor(obj) -> bool:
    return isinstance(obj, Tensor)


def numel(input) -> int:
    return input.numel()


def is_floating_point(input) -> bool:
    return input.dtype.is_floating_point


def is_complex(input) -> bool:
    return input.dtype.is_complex


def is_same_size(input, other) -> bool:
    """Whether two tensors have the same sizes."""
    return input.shape == other.shape


def is_nonzero(input) -> bool:
    return bool(input)


def is_signed(input) -> bool:
    return input.dtype.is_signed


def is_inference(input) -> bool:
    return input.is_inference()


def get_device(input) -> int:
    return -1


def detach(input):
    """The same memory outside of the tape."""
    return input.detach()


def fill(input, value):
    """A tensor of input's shape and dtype filled with one value."""
    if not isinstance(input, Tensor):
        raise TypeError(f"fill(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input.clone().fill_(value)


def record_stream(x, stream):
    """Accepted: there are no streams on the CPU."""


def as_subclass(x, cls):
    """The same memory and history as an instance of a subclass of Tensor."""
    from .shape import _ALIAS, view_of
    y = view_of(x, x.layout, x.offset, _ALIAS, {})
    y.__class__ = cls
    return y


class UntypedStorage:
    """The bytes behind a tensor and its views; new ones of a number of bytes, or of their values."""

    def __init__(self, source=0):
        self._storage = storages.plain(source) if isinstance(source, Storage) else _storage_of_bytes(source)

    @classmethod
    def from_file(cls, filename, shared=False, nbytes=0):
        """The first bytes of a file: mapped, so that only what is looked at is read."""
        return FileStorage(_mapped(filename, shared, nbytes))

    def _bytes(self):
        """A flat tensor on the memory."""
        from ..layout import packed
        return wrap(Tensor, recast(self._storage, dtypes.uint8), packed((self.nbytes(),)), 0)

    def data_ptr(self) -> int:
        return own_buffer(self._storage).address if self._storage.numel else 0

    def nbytes(self) -> int:
        return self._storage.numel * self._storage.dtype.itemsize

    size = __len__ = nbytes

    def element_size(self) -> int:
        return 1

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.nbytes()

    def tolist(self) -> list:
        return self._bytes().tolist()

    def __getitem__(self, i):
        found = self._bytes()[i]
        return UntypedStorage(found.clone().storage) if isinstance(i, slice) else found.item()

    def __setitem__(self, i, value):
        self._bytes()[i] = value

    def __iter__(self):
        return iter(self.tolist())

    def clone(self):
        return UntypedStorage(self._bytes().clone().storage)

    def untyped(self):
        return self

    def cpu(self):
        return self

    def __repr__(self):
        return "".join(f" {v}\n" for v in self) + f"[torch.storage.{type(self).__name__}(device=cpu) of size {len(self)}]"

    def __eq__(self, other):
        return isinstance(other, UntypedStorage) and self._storage is other._storage

    def __hash__(self):
        return id(self._storage)

    device = property(lambda self: device("cpu"))
    is_cuda = is_sparse = False


class FileStorage(UntypedStorage):
    """The bytes of a file that is mapped into memory."""

    def __init__(self, array):
        self._array = array

    @functools.cached_property
    def _storage(self):
        from ..trace.flush import share_array
        return share_array(self._array, dtypes.uint8, len(self._array))

    def nbytes(self) -> int:
        return len(self._array)

    size = __len__ = nbytes

    def __getitem__(self, i):
        return UntypedStorage(self._array[i]) if isinstance(i, slice) else int(self._array[i])


def _mapped(filename, shared, nbytes):
    return np.memmap(filename, np.uint8, "r+" if shared else "c", shape=(nbytes,)) if nbytes else np.empty(0, np.uint8)


def _storage_of_bytes(source):
    """A new storage of a number of zeros, or of values from 0 to 255."""
    from ..trace.flush import from_bytes
    return from_bytes(bytes(source) if isinstance(source, int) else np.asarray(source, np.uint8).tobytes(), dtypes.uint8)


class TypedStorage(UntypedStorage):
    """The elements behind a tensor and its views."""

    dtype = property(lambda self: self._storage.dtype)

    def element_size(self) -> int:
        return self.dtype.itemsize

    def size(self) -> int:
        return self._storage.numel

    __len__ = size

    def tolist(self) -> list:
        return storage_of_elements(self._storage).tolist()

    def __getitem__(self, i):
        found = storage_of_elements(self._storage)[i]
        return found.item() if found.dim() == 0 else found.tolist()

    def untyped(self) -> UntypedStorage:
        return UntypedStorage(self._storage)


def storage_of_elements(storage):
    """A flat tensor on a storage."""
    from ..layout import packed
    return wrap(Tensor, storage, packed((storage.numel,)), 0)


def storage_of(x):
    """The flat storage as a tensor of its own layout (`untyped_storage` of PyTorch shows bytes)."""
    return storage_of_elements(x.storage)


