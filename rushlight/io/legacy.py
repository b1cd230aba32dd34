"""Checkpoints from before the zip container: five pickles, then the bytes of each storage."""
from __future__ import annotations

from pickle import UnpicklingError

import numpy as np

from rushlight.io.storages import StorageType

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


def load(stream, run, make_storage):
    """Read one such file.

    Args:
        run: (bytes, position, load_storage) -> (object, position after it): runs one pickle.
        make_storage: (storage type, location, array of bytes) -> the storage to use.

    The object comes before its bytes in the file: storages are made empty and filled afterwards.
    """
    data = stream.read()
    magic, at = run(data, 0, no_storage)
    version, at = run(data, at, no_storage)
    if magic != MAGIC or version != VERSION:
        raise UnpicklingError("this is no file that torch.save has written")
    _, at = run(data, at, no_storage)
    storages, available = {}, len(data)

    def load_storage(name):
        nonlocal available
        kind, key, location, numel, view = checked_name(name)
        if view is not None:
            raise NotImplementedError("storages that are views of others, "
                                      "as PyTorch before 0.4 wrote them")
        if key not in storages:
            empty = np.zeros(checked_size(numel, kind, available), np.uint8)
            available -= empty.nbytes
            storages[key] = make_storage(kind, location, empty)
        return storages[key]

    value, at = run(data, at, load_storage)
    keys, at = run(data, at, no_storage)
    if type(keys) is not list or not all(type(key) is str for key in keys) or set(keys) != set(storages):
        raise UnpicklingError("the storages of the file are not those of its tensors: the file is damaged")
    for key in keys:
        at = fill(storages[key], data, at)
    return value


def checked_name(name) -> tuple:
    """What a persistent id says of a storage."""
    if not (isinstance(name, tuple) and len(name) == 6 and name[0] == "storage" and isinstance(name[1], StorageType)
            and isinstance(name[2], str) and isinstance(name[3], str) and type(name[4]) is int):
        raise UnpicklingError("Only persistent_load of storage is allowed")
    return name[1:]


def no_storage(name):
    raise UnpicklingError("a storage where the header of a file should be")


def checked_size(numel, kind, available) -> int:
    size = numel * kind.dtype.itemsize
    if not 0 <= size <= available:
        raise UnpicklingError(f"a storage of {size} bytes in a file of {available}")
    return size


def fill(storage, data: bytes, at: int) -> int:
    """Read a storage's element count and bytes; returns where they end."""
    start, size = at + 8, storage.nbytes()
    count = int.from_bytes(data[at:start], "little")
    if count * storage.dtype.itemsize != size or start + size > len(data):
        raise UnpicklingError("the bytes of a storage are missing: the file is damaged")
    storage.fill(np.frombuffer(data, np.uint8, size, start))
    return start + size
