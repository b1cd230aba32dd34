"""The functions that pickled tensors name, under the names of torch._utils."""
from __future__ import annotations

from collections import OrderedDict

from rushlight import storage as storages
from rushlight.io.storages import LoadedStorage, SavedStorage, saved_storage


def _rebuild_tensor(storage, storage_offset, size, stride):
    return _rebuild_tensor_v2(storage, storage_offset, size, stride, False, None)


def _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks,
                       metadata=None):
    return rebuild(storage, storage.dtype, storage_offset, size, stride, requires_grad, metadata)


def _rebuild_tensor_v3(storage, storage_offset, size, stride, requires_grad, backward_hooks,
                       dtype, metadata=None):
    return rebuild(storage, dtype, storage_offset, size, stride, requires_grad, metadata)


def rebuild(storage, dtype, offset, size, stride, requires_grad, metadata):
    if not isinstance(storage, LoadedStorage):
        raise TypeError(f"a tensor needs a storage, not a {type(storage).__name__}")
    tensor = storage.view(dtype, offset, tuple(size), tuple(stride))
    metadata = metadata or {}
    tensor = mirrored(tensor, conj=metadata.get("conj") is True, neg=metadata.get("neg") is True)
    return tensor.requires_grad_() if requires_grad else tensor


def mirrored(tensor, conj, neg):
    """A leaf on the tensor's memory, conjugated or negated."""
    tensor.storage = storages.mirrored(tensor.storage, conj, neg)
    return tensor


def _rebuild_parameter(data, requires_grad, backward_hooks):
    from rushlight.nn.parameter import Parameter
    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data, requires_grad, backward_hooks, state):
    return with_state(_rebuild_parameter(data, requires_grad, backward_hooks), state)


def with_state(tensor, state):
    """Set a tensor's attributes: a dict, or a pair of a dict and a dict of slots.

    Attributes that all tensors have are not set: they say where its memory is.
    """
    from rushlight import Tensor
    parts = state if isinstance(state, tuple) else (state,)
    for part in parts:
        for name, value in (part or {}).items():
            if not isinstance(name, str) or name in FIELDS or hasattr(Tensor, name):
                raise ValueError(f"a file cannot set a tensor's {name if isinstance(name, str) else 'attributes'}")
            setattr(tensor, name, value)
    return tensor


def _rebuild_from_type_v2(func, new_type, args, state):
    tensor = func(*args)
    tensor = tensor if type(tensor) is new_type else tensor.as_subclass(new_type)
    return with_state(tensor, state)


def _rebuild_sparse_tensor(layout, data):
    """A sparse tensor from its parts: indices, values, size and whether it is coalesced, or the like by rows."""
    from rushlight.sparse.tensor import Compressed, Coo
    from rushlight.ops.layouts import sparse_coo, sparse_csc, sparse_csr
    count = (3, 4) if layout is sparse_coo else (4,) if layout in (sparse_csr, sparse_csc) else ()
    if len(data) not in count:
        raise NotImplementedError("rebuilding sparse tensor for layout "
                                  + (str(layout) if type(layout) is type(sparse_coo) else "that is none"))
    return Coo(*data) if layout is sparse_coo else Compressed(layout, *data)


def check_sparse(x) -> None:
    """RuntimeError where the parts of a sparse tensor do not fit each other."""
    from rushlight import Tensor, dtypes
    from rushlight.sparse.convert import check_compressed, check_coordinates
    from rushlight.sparse.tensor import Coo
    places = (x._at,) if type(x) is Coo else (x._starts, x._plain)
    whole = (dtypes.int64,) if type(x) is Coo else (dtypes.int32, dtypes.int64)
    if not all(type(part) is Tensor for part in (*places, x._data)) or not all(p.dtype in whole for p in places) \
            or not all(type(n) is int and n >= 0 for n in x._size) or not x._data.dim():
        raise RuntimeError("the parts of a sparse tensor are not what they should be")
    if type(x) is not Coo:
        if len(x._size) != 2 or x._data.dim() != 1 or any(p.dim() != 1 for p in places):
            raise RuntimeError("the parts of a sparse tensor have other dimensions than they should")
        return check_compressed(x)
    dense = x._size[x._at.shape[0]:] if x._at.dim() == 2 else None
    if dense is None or x._at.shape[0] > len(x._size) or x._data.shape != (x._at.shape[1], *dense):
        raise RuntimeError("indices, values and size of a sparse tensor do not fit each other")
    check_coordinates(x)


def reduce_tensor(tensor, storage_of=None):
    """How pickle takes a tensor apart; the whole storage goes with it, as in PyTorch.

    Args:
        storage_of: what stands for a tensor's storage; by default a copy of its bytes.
    """
    from rushlight import Tensor
    from rushlight.ops.overriding import switched
    with switched(subclasses=False):
        function, arguments = taken_apart(tensor, storage_of)
    state = public_state(tensor)
    if type(tensor) is Tensor and not state:
        return function, arguments
    return _rebuild_from_type_v2, (function, type(tensor), arguments, state)


def taken_apart(tensor, storage_of):
    """What rebuilds a tensor without its class and attributes, and its arguments."""
    from rushlight import dtypes
    saved = saved_storage(tensor)
    storage = storage_of(saved) if storage_of else loaded(saved)
    function, arguments = _rebuild_tensor_v2, (
        storage, tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()),
        tensor.requires_grad, OrderedDict())
    if saved.type.dtype is dtypes.uint8 and tensor.dtype is not dtypes.uint8:
        function, arguments = _rebuild_tensor_v3, (*arguments, tensor.dtype)
    flags = {name: True for name in ("conj", "neg") if getattr(tensor.storage, f"is_{name}")}
    return function, (*arguments, flags) if flags else arguments


def loaded(saved: SavedStorage) -> LoadedStorage:
    return LoadedStorage(saved.type.dtype, saved.array)


def public_state(tensor) -> dict | None:
    """The attributes that a program has given to a tensor."""
    from rushlight import Tensor
    return {name: value for name, value in vars(tensor).items()
            if name not in FIELDS and not hasattr(Tensor, name)} or None


FIELDS = ("storage", "layout", "offset", "dtype", "_is_param", "_is_buffer")
