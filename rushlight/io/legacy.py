"""Checkpoints from before the zip container: five pickles, then the bytes of each storage."""
from __future__ import annotations

from pickle import UnpicklingError

import numpy as np

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
    storages = {}

    def load_storage(name):
        _, kind, key, location, numel, view = name
        if view is not None:
            raise NotImplementedError("storages that are views of others, "
                                      "as PyTorch before 0.4 wrote them")
        if key not in storages:
            empty = np.zeros(checked_size(numel, kind, len(data)), np.uint8)
            storages[key] = make_storage(kind, location, empty)
        return storages[key]

    value, at = run(data, at, load_storage)
    keys, at = run(data, at, no_storage)
    for key in keys:
        at = fill(storages[key], data, at)
    return value


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
