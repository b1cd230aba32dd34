"""`save` and `load` in PyTorch's checkpoint format; files go both ways between the two.

Tensors that share memory when saved share it when loaded. Reading verifies checksums and, unless
`weights_only=False` is said, interprets the file as data: it can build tensors, containers and what
the program has allowed, and call nothing else.
"""
from __future__ import annotations

import contextlib
import io
import os
import pickle
import sys
from collections.abc import Callable, Iterable

import numpy as np

from rushlight.io import allowed, legacy, pickling
from rushlight.io.archive import DAMAGED, Reader, Writer, replacing
from rushlight.io.machine import Machine
from rushlight.io.rebuild import check_sparse
from rushlight.io.storages import LoadedStorage, StorageType, native

DEFAULT_PROTOCOL = 2
ZIP_START = b"PK\x03\x04"
WAY_OUT = ("Weights only load failed. {}\n\nIf you trust whoever made the file, torch.load(..., "
           "weights_only=False) reads it; that can run any code that the file contains.")


def save(obj, f, pickle_module=None, pickle_protocol: int = DEFAULT_PROTOCOL,
         _use_new_zipfile_serialization: bool = True) -> None:
    """Write an object with all tensors in it to a file.

    Args:
        obj: tensors, modules' state dicts, containers, or anything that pickle can take.
        f: a path, which is replaced in one step once all is written, or a binary file to write to.
        pickle_module: a module with another Pickler, for objects that Python's cannot take.
        pickle_protocol: 2, which every PyTorch reads, or a later one.

    Raises:
        RuntimeError: the folder does not exist, or one memory has tensors of two dtypes.
        AttributeError: `f` is neither a path nor a file.
    """
    if not _use_new_zipfile_serialization:
        raise NotImplementedError("torch.save: writing the format from before PyTorch 1.6")
    data, storages = pickling.dump(obj, pickle_protocol, pickle_module)
    if isinstance(f, (str, os.PathLike)):
        path = os.fspath(f)
        with replacing(path) as stream:
            write(stream, os.path.splitext(os.path.basename(path))[0], data, storages)
    elif hasattr(f, "write"):
        write(f, "archive", data, storages)
    else:
        raise AttributeError("expected 'f' to be string, path, or a file-like object with "
                             "a 'write' attribute")


def write(stream, name, data, storages):
    with Writer(stream, name) as file:
        file.write("data.pkl", data)
        file.write_marks()
        for place, storage in enumerate(storages):
            file.write(f"data/{place}", storage.array)


def load(f, map_location=None, pickle_module=None, *, weights_only: bool | None = None,
         mmap: bool | None = None, **pickle_load_args):
    """Read an object that `save`, here or in PyTorch, has written.

    Args:
        f: a path or a binary file that can seek.
        map_location: where tensors go: a device or its name, a dict from names in the file to
            names, or a function of (storage, name) that returns a storage or None.
        pickle_module: another module with an Unpickler; needs `weights_only=False`.
        weights_only: interpret the file as data (default), or let Python's unpickler run it.
        mmap: map a file's storages instead of reading them; changes stay private to the process.

    Raises:
        pickle.UnpicklingError: the file names something that is not allowed, or is no checkpoint.
        RuntimeError: it is damaged, or its tensors live on a device that is not there.
    """
    weights_only = pickle_module is None if weights_only is None else weights_only
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    run = AsData() if weights_only else running(pickle_module, pickle_load_args)
    try:
        with opened(f) as stream:
            value = load_stream(stream, Restore(map_location), run, mapped_path(f, mmap))
        if weights_only:
            run.check()
        return value
    except pickle.UnpicklingError as error:
        if not weights_only:
            raise
        raise pickle.UnpicklingError(WAY_OUT.format(error)) from None


def mapped_path(f, mmap) -> str | None:
    if not mmap:
        return None
    if not isinstance(f, (str, os.PathLike)):
        raise ValueError("f must be a file path in order to use the mmap argument")
    return os.fspath(f)


@contextlib.contextmanager
def opened(f):
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as stream:
            yield stream
        return
    missing = [name for name in ("read", "seek", "tell") if not hasattr(f, name)]
    if missing:
        raise AttributeError(f"{type(f).__name__!r} object has no attribute {missing[0]!r}. "
                             "You can only torch.load from a file that is seekable. Please pre-load the "
                             "data into a buffer like io.BytesIO and try to load from it instead.")
    yield f


def load_stream(stream, restore, run, path):
    start = stream.tell()
    head = stream.read(len(ZIP_START))
    stream.seek(start)
    if not head:
        raise EOFError("the file is empty")
    if head == ZIP_START:
        return load_zip(Reader(stream), restore, run, path)
    if path is not None:
        raise RuntimeError("mmap can only be used with files saved with "
                           "`torch.save(_use_new_zipfile_serialization=True)`")
    return legacy.load(stream, run, lambda kind, location, array:
                       restore(LoadedStorage(kind.dtype, array), location))


def load_zip(file: Reader, restore, run, path):
    if "constants.pkl" in file:
        raise RuntimeError("this is a TorchScript archive, which rushlight does not run")
    byteorder = file.read("byteorder").decode("ascii", "replace") if "byteorder" in file else "little"
    if byteorder not in ("little", "big"):
        raise RuntimeError(f"Unknown endianness type: {byteorder[:20]}")
    arrays, storages = Arrays(file, path, byteorder), {}

    def load_storage(name):
        kind, key, location, numel = checked_name(name)
        if key not in storages:
            array = arrays.read(f"data/{key}", kind.dtype, numel)
            storages[key] = restore(LoadedStorage(kind.dtype, array, arrays.are_mapped), location)
        return storages[key]

    return run(file.read("data.pkl"), 0, load_storage)[0]


def checked_name(name):
    """What a persistent id says of a storage."""
    if not (isinstance(name, tuple) and len(name) == 5 and name[0] == "storage"
            and isinstance(name[1], StorageType) and isinstance(name[2], str)
            and isinstance(name[3], str) and type(name[4]) is int and name[4] >= 0):
        raise pickle.UnpicklingError("Only persistent_load of storage is allowed, "
                                     f"but got {type(name)}")
    return name[1:]


class Arrays:
    """The bytes of storages: read and verified, or mapped from the file at `path`."""

    def __init__(self, file: Reader, path: str | None, byteorder: str) -> None:
        self.file, self.byteorder = file, byteorder
        self.are_mapped = path is not None and byteorder == sys.byteorder
        self.map = np.memmap(path, np.uint8, "c") if self.are_mapped else None

    def read(self, record, dtype, numel) -> np.ndarray:
        size = numel * dtype.itemsize
        if self.file.size(record) != size:
            raise RuntimeError(f"PytorchStreamReader failed: record {record!r} has "
                               f"{self.file.size(record)} bytes where a tensor needs {size}")
        if self.are_mapped:
            start = self.file.position(record)
            if start + size > len(self.map):
                raise RuntimeError(f"{DAMAGED}record {record!r} reaches beyond the end of the file")
            return self.map[start:start + size]
        return native(self.file.read_array(record), dtype, self.byteorder)


class AsData:
    """Runs pickles in the machine that knows only the allowed globals."""

    def __init__(self) -> None:
        self.find = allowed.Allowed()

    def __call__(self, data, position, load_storage):
        machine = Machine(data, self.find, load_storage, position)
        return machine.run(), machine.position

    def check(self) -> None:
        """What can be told only once all bytes are there: sparse indices that lie outside of their tensor."""
        for tensor in self.find.sparse:
            check_sparse(tensor)


def running(pickle_module, options):
    """The same with Python's unpickler, which can run anything."""
    options.setdefault("encoding", "utf-8")

    def run(data, position, load_storage):
        stream = io.BytesIO(data)
        stream.seek(position)
        value = pickling.load(stream, load_storage, pickle_module, **options)
        return value, stream.tell()

    return run


class Restore:
    """Puts a loaded storage where the file, or `map_location`, says."""

    def __init__(self, map_location) -> None:
        self.map_location = map_location

    def __call__(self, storage: LoadedStorage, location: str) -> LoadedStorage:
        wish = self.map_location
        if isinstance(wish, dict):
            location = wish.get(location, location)
        elif isinstance(wish, Callable):
            chosen = wish(storage, location)
            if chosen is not None:
                return chosen
        elif wish is not None:
            location = wish
        check_device(str(location))
        return storage


def check_device(location: str) -> None:
    kind = location.partition(":")[0]
    if kind == "meta":
        raise NotImplementedError("torch.load: map_location='meta'")
    if kind != "cpu":
        raise RuntimeError(
            f"Attempting to deserialize object on a {kind.upper()} device but "
            f"torch.{kind}.is_available() is False. If you are running on a CPU-only machine, "
            "please use torch.load with map_location=torch.device('cpu') to map your storages "
            "to the CPU.")


def _get_layout(name: str):
    """A layout by the name that files give it, such as 'torch.sparse_coo'."""
    from rushlight.ops import layouts
    known = (layouts.strided, layouts.sparse_coo, layouts.sparse_csr, layouts.sparse_csc)
    return {repr(layout): layout for layout in known}[name]


def add_safe_globals(safe_globals: Iterable) -> None:
    """Allow functions and classes, or pairs of one with its name in files, to be named in files."""
    allowed.added.update(allowed.named(safe_globals))


def get_safe_globals() -> list:
    """What the program has allowed in addition to what is always."""
    return list(allowed.added.values())


def clear_safe_globals() -> None:
    """Forget what `add_safe_globals` has allowed."""
    allowed.added.clear()


@contextlib.contextmanager
def safe_globals(items: Iterable):
    """Allow functions and classes within a `with` block."""
    before = dict(allowed.added)
    add_safe_globals(items)
    try:
        yield
    finally:
        allowed.added.clear()
        allowed.added.update(before)


def get_unsafe_globals_in_checkpoint(f) -> list[str]:
    """The names in a file that `load` would refuse; runs nothing."""
    with opened(f) as stream:
        data = Reader(stream).read("data.pkl")
    known = allowed.Allowed()
    return sorted(name for name in names_in(data) if name not in known)


def names_in(data: bytes) -> set[str]:
    """All globals that a pickle names, found without running it."""
    import pickletools
    names, strings = set(), []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            names.add(argument.replace(" ", ".").replace("__builtin__.", "builtins."))
        elif opcode.name == "STACK_GLOBAL":
            names.add(".".join(strings[-2:]))
        elif isinstance(argument, str):
            strings.append(argument)
    return names
