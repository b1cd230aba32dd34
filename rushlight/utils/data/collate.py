"""Collation: a list of samples becomes one batch of the same structure."""
from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence

import numpy as np

import rushlight
from rushlight import Tensor
from rushlight.layout import packed
from rushlight.runtime.copies import copy_equal
from rushlight.runtime.memory import allocate
from rushlight.storage import Storage
from rushlight.tensor import wrap
from rushlight.trace.flush import storage_of

NOT_NUMBERS = "SaUO"        # kinds of NumPy arrays that hold text or objects
UNSUPPORTED = ("default_collate: batch must contain tensors, numpy arrays, numbers, "
               "dicts or lists; found {}")


def is_namedtuple(value) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def is_text_array(array) -> bool:
    return any(kind in array.dtype.str for kind in NOT_NUMBERS)


def like_mapping(original, items: dict):
    """A mapping of the original's type with other values; a dict where the type cannot do that."""
    try:
        if isinstance(original, MutableMapping):
            made = copy.copy(original)
            made.update(items)
            return made
        return type(original)(items)
    except TypeError:
        return items


def like_sequence(original, items: list):
    """A sequence of the original's type with other items; a list where the type cannot do that."""
    try:
        if isinstance(original, MutableSequence):
            made = copy.copy(original)
            for i, item in enumerate(items):
                made[i] = item
            return made
        return type(original)(items)
    except TypeError:
        return items


def default_convert(data):
    """NumPy arrays, at any depth of lists, tuples and dicts, become tensors; the rest stays."""
    kind = type(data)
    if isinstance(data, Tensor):
        return data
    if kind.__module__ == "numpy" and kind.__name__ not in ("str_", "bytes_"):
        return data if isinstance(data, np.ndarray) and is_text_array(data) \
            else rushlight.as_tensor(data)
    if isinstance(data, Mapping):
        return like_mapping(data, {key: default_convert(data[key]) for key in data})
    if is_namedtuple(data):
        return kind(*map(default_convert, data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return like_sequence(data, [default_convert(item) for item in data])
    return data


def collate(batch, *, collate_fn_map: dict | None = None):
    """Collate samples by the functions given for types, and containers item by item."""
    first = batch[0]
    collate_fn = function_for(first, collate_fn_map or {})
    if collate_fn is not None:
        return collate_fn(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        return like_mapping(first, {key: collate([sample[key] for sample in batch],
                                                 collate_fn_map=collate_fn_map) for key in first})
    if is_namedtuple(first):
        return type(first)(*collate_columns(batch, collate_fn_map))
    if isinstance(first, Sequence):
        return collate_sequences(batch, collate_fn_map)
    raise TypeError(UNSUPPORTED.format(type(first)))


def function_for(value, collate_fn_map) -> Callable | None:
    if type(value) in collate_fn_map:
        return collate_fn_map[type(value)]
    return next((function for kind, function in collate_fn_map.items()
                 if isinstance(value, kind)), None)


def collate_columns(batch, collate_fn_map) -> list:
    return [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch)]


def collate_sequences(batch, collate_fn_map):
    first = batch[0]
    if any(len(sample) != len(first) for sample in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    columns = collate_columns(batch, collate_fn_map)
    return columns if isinstance(first, tuple) else like_sequence(first, columns)


def collate_tensor_fn(batch, *, collate_fn_map=None):
    worker = sys.modules.get("rushlight.utils.data.worker")
    in_worker = worker is not None and worker.info is not None
    if can_be_copied(batch, pending_too=in_worker):
        return stacked(batch, worker.shared_buffer if in_worker else allocate)
    return rushlight.stack(batch, 0)


def can_be_copied(batch, pending_too: bool) -> bool:
    """Whether a stack is no more than a copy of tensors' memory."""
    layout, dtype = batch[0].layout, batch[0].dtype
    for x in batch:
        if (type(x) is not Tensor or x.dtype is not dtype or x.layout is not layout and x.layout.shape != layout.shape
                or x._requires_grad or x._view_of is not None and x.requires_grad
                or type(x.storage) is not Storage or not pending_too and x.storage.node.buffer is None):
            return False
    return True


def stacked(batch, allocate) -> Tensor:
    """The tensors one after the other in memory from `allocate`."""
    first = batch[0]
    shape = (len(batch), *first.layout.shape)
    size = first.layout.numel * first.dtype.itemsize
    buffer = allocate(len(batch) * size)
    if all(x.layout.packed for x in batch):
        width = first.dtype.itemsize
        copy_equal(buffer.address, [x.storage.realize().address + x.offset * width for x in batch], size)
    else:
        np.stack([x._array() for x in batch], out=buffer.as_numpy(first.dtype.numpy, shape))
    storage = storage_of(buffer, first.dtype, len(batch) * first.layout.numel)
    return wrap(Tensor, storage, packed(shape), 0)


def collate_numpy_array_fn(batch, *, collate_fn_map=None):
    if is_text_array(batch[0]):
        raise TypeError(UNSUPPORTED.format(batch[0].dtype))
    return collate([rushlight.as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch, *, collate_fn_map=None):
    return rushlight.as_tensor(batch)


def collate_float_fn(batch, *, collate_fn_map=None):
    return rushlight.tensor(batch, dtype=rushlight.float64)


def collate_int_fn(batch, *, collate_fn_map=None):
    return rushlight.tensor(batch)


def collate_str_fn(batch, *, collate_fn_map=None):
    return batch


default_collate_fn_map: dict[type | tuple[type, ...], Callable] = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_collate(batch):
    """Make one batch of a list of samples, with a new first dimension.

    Tensors and NumPy arrays are stacked; numbers become a tensor (floats float64); strings stay
    lists; mappings, named tuples, tuples and lists are collated item by item.
    Users may extend `default_collate_fn_map` for types of their own.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
