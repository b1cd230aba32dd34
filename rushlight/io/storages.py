"""Between tensors and what a checkpoint holds: flat storages of one element type.

The last section is all that the file format knows of rushlight's tensors.
"""
from __future__ import annotations

import sys

import numpy as np

from rushlight import dtypes
from rushlight.storage import plain, recast

DTYPE_OF = {
    "FloatStorage": dtypes.float32, "DoubleStorage": dtypes.float64,
    "HalfStorage": dtypes.float16, "BFloat16Storage": dtypes.bfloat16,
    "LongStorage": dtypes.int64, "IntStorage": dtypes.int32, "ShortStorage": dtypes.int16,
    "CharStorage": dtypes.int8, "ByteStorage": dtypes.uint8, "BoolStorage": dtypes.bool,
    "ComplexFloatStorage": dtypes.complex64, "ComplexDoubleStorage": dtypes.complex128,
    "UntypedStorage": dtypes.uint8,
}
NAME_OF = {dtype: name for name, dtype in DTYPE_OF.items() if name != "UntypedStorage"}


class StorageType:
    """One of PyTorch's storage classes, as far as files name them."""

    def __init__(self, name: str) -> None:
        self.name, self.dtype = name, DTYPE_OF[name]

    @property
    def module(self) -> str:
        return "torch.storage" if self.name == "UntypedStorage" else "torch"

    def __reduce__(self):
        return StorageType, (self.name,)


def storage_type(dtype) -> StorageType:
    """How PyTorch files call a storage of this element type."""
    return StorageType(NAME_OF.get(dtype, "UntypedStorage"))


class SavedStorage:
    """A tensor's storage on its way into a file: known by `key`, written once."""

    def __init__(self, key, dtype, array: np.ndarray) -> None:
        self.key, self.dtype, self.array = key, dtype, array
        self.type = storage_type(dtype)

    @property
    def numel(self) -> int:
        return self.array.nbytes // self.type.dtype.itemsize


class LoadedStorage:
    """A storage out of a file: its bytes, and the core's storage that is made of them once."""

    def __init__(self, dtype, array: np.ndarray, shared: bool = False) -> None:
        self.dtype, self.array, self.shared = dtype, array, shared
        self.made = {}

    def nbytes(self) -> int:
        return self.array.nbytes

    def core(self, dtype):
        if dtype not in self.made:
            base = next((s for d, s in self.made.items() if dtypes.bool not in (d, dtype)), None)
            flat = self.elements(dtype)
            self.made[dtype] = share_storage(flat, dtype) if self.shared else make_storage(flat, dtype) \
                if base is None else recast(base, dtype)
        return self.made[dtype]

    def elements(self, dtype) -> np.ndarray:
        return self.array != 0 if dtype is dtypes.bool else self.array.view(dtype.numpy)

    def view(self, dtype, offset, shape, strides):
        """A tensor over the storage; ValueError where it would reach beyond it."""
        check_view(self.nbytes() // dtype.itemsize, offset, shape, strides)
        return make_tensor(self.core(dtype), offset, shape, strides)

    def fill(self, data: np.ndarray) -> None:
        """Set all bytes, also of tensors that were already made on this storage."""
        self.array = data
        for dtype, storage in self.made.items():
            if storage is storage.base:
                write_storage(storage, data.view(dtype.numpy))

    def cpu(self):
        return self

    def __reduce__(self):
        return LoadedStorage.from_bytes, (self.dtype, self.array.tobytes())

    @classmethod
    def from_bytes(cls, dtype, data: bytes) -> LoadedStorage:
        return cls(dtype, np.frombuffer(data, np.uint8))


def check_view(numel, offset, shape, strides):
    integers = (offset, *shape, *strides)
    if not all(type(i) is int and 0 <= i < 2**62 for i in integers):
        raise ValueError("shape, strides or offset of a tensor are no whole numbers")
    if len(shape) != len(strides):
        raise ValueError(f"no view has shape {shape}, strides {strides} and offset {offset}")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides))
    if 0 not in shape and last >= numel:
        raise ValueError(f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage "
                         f"offset {offset} are out of bounds for a storage of {numel} elements")


def native(array: np.ndarray, dtype, byteorder: str) -> np.ndarray:
    """Bytes of a file in this machine's order."""
    if byteorder == sys.byteorder or dtype.itemsize == 1:
        return array
    width = dtype.itemsize // (2 if dtype.is_complex else 1)
    return array.reshape(-1, width)[:, ::-1].reshape(-1)


# -- the core -----------------------------------------------------------------------------------
def saved_storage(tensor) -> SavedStorage:
    """The whole storage under a tensor; equal keys are equal memory."""
    from rushlight.layout import packed
    storage = plain(tensor.storage)
    flat = storage.array(packed((storage.numel,)), 0)
    return SavedStorage(storage.base, storage.dtype, np.ascontiguousarray(flat).view(np.uint8))


def make_storage(array: np.ndarray, dtype):
    """A storage that owns a copy of a flat array."""
    from rushlight.trace.flush import from_array
    return from_array(array, dtype)


def share_storage(array: np.ndarray, dtype):
    """A storage on the memory of a flat array."""
    from rushlight.trace.flush import share_array
    return share_array(array, dtype, array.size)


def write_storage(storage, array: np.ndarray) -> None:
    from rushlight.layout import packed
    storage.array(packed((storage.numel,)), 0)[...] = array


def make_tensor(storage, offset, shape, strides):
    from rushlight.layout import layout
    from rushlight.tensor import Tensor, wrap
    return wrap(Tensor, storage, layout(shape, strides), offset)
