"""Python's pickler and unpickler for checkpoints: names in files are PyTorch's."""
from __future__ import annotations

import io
import pickle

import rushlight
from rushlight.impersonate import is_torch, our_name
from rushlight.io.rebuild import reduce_tensor
from rushlight.io.storages import DTYPE_OF, SavedStorage, StorageType

MODULE_IN_FILES = {"rushlight.io.rebuild": "torch._utils", "rushlight.tensor": "torch._tensor"}
FUNCTION_IN_FILES = {           # functions whose module differs from PyTorch's
    "_rebuild_from_type_v2": "torch._tensor",
    "_rebuild_parameter": "torch._utils",
    "_rebuild_parameter_with_state": "torch._utils",
}


def name_in_files(value, name: str) -> tuple[str, str] | None:
    """(module, name) under which PyTorch knows something of rushlight's; None for other things."""
    if isinstance(value, StorageType):
        return value.module, value.name
    module = getattr(value, "__module__", None) or ""
    if module.partition(".")[0] != "rushlight":
        return None
    if getattr(rushlight, name, None) is value:
        return "torch", name
    module = FUNCTION_IN_FILES.get(name) or MODULE_IN_FILES.get(module)\
        or "torch" + module.removeprefix("rushlight")
    return module, name


class Pickler(pickle._Pickler):
    """Writes a pickle in which storages are persistent ids and names are PyTorch's."""

    def __init__(self, stream, protocol, persistent_id) -> None:
        super().__init__(stream, protocol)
        self.persistent_id = persistent_id

    def reducer_override(self, value):
        if isinstance(value, StorageType):
            return value.name
        if isinstance(value, rushlight.Tensor) and keeps_its_reduce(value):
            return reduce_tensor(value, storage_of=lambda saved: saved)
        return NotImplemented

    def save_global(self, obj, name=None):
        name = name or getattr(obj, "__qualname__", None) or obj.__name__
        names = name_in_files(obj, name)
        if names is None:
            super().save_global(obj, name)
            return
        self.write_global(*names)
        self.memoize(obj)

    def write_global(self, module, name):
        if self.proto >= 4:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())

    dispatch = dict(pickle._Pickler.dispatch)
    dispatch[type(lambda: None)] = save_global      # the table holds functions, not names

    def save_type(self, obj):
        if obj in (type(None), type(NotImplemented), type(...)):
            super().save_type(obj)
        else:
            self.save_global(obj)

    dispatch[type] = save_type


def keeps_its_reduce(tensor) -> bool:
    """Whether a tensor's class has not said itself how it is pickled."""
    return type(tensor).__reduce_ex__ is rushlight.Tensor.__reduce_ex__


def dump(value, protocol: int, module=None) -> tuple[bytes, list[SavedStorage]]:
    """The pickle of a value, and the storages that it names by their place in the list."""
    stream, storages, places = io.BytesIO(), [], {}

    def persistent_id(item):
        if not isinstance(item, SavedStorage):
            return None
        place = places.setdefault(id(item.key), len(storages))
        if place == len(storages):
            storages.append(item)
        elif storages[place].dtype is not item.dtype:
            raise RuntimeError("Cannot save multiple tensors or storages that "
                               "view the same data as different types")
        return "storage", item.type, str(place), "cpu", item.numel

    pickler(module)(stream, protocol, persistent_id).dump(value)
    return stream.getvalue(), storages


def pickler(module):
    """Ours, or one on another module's Pickler, such as dill's, whose files only rushlight reads."""
    if module in (None, pickle):
        return Pickler

    class Foreign(module.Pickler):
        def __init__(self, stream, protocol, persistent_id):
            super().__init__(stream, protocol=protocol)
            self.make_id = persistent_id

        def persistent_id(self, item):
            return self.make_id(item)

        def reducer_override(self, value):
            if isinstance(value, rushlight.Tensor) and keeps_its_reduce(value):
                return reduce_tensor(value, storage_of=lambda saved: saved)
            return NotImplemented

    return Foreign


def load(stream, load_storage, module=None, **options):
    """Python's unpickler, which runs what the pickle says: for trusted files only."""
    return unpickler(module or pickle, load_storage)(stream, **options).load()


def unpickler(module, load_storage):
    class Unpickler(module.Unpickler):
        def persistent_load(self, name):
            return load_storage(name)

        def find_class(self, module_name, name):
            if module_name in ("torch", "torch.storage") and name in DTYPE_OF:
                return StorageType(name)
            here = our_name(module_name) if is_torch(module_name) else module_name
            return super().find_class(here, name)

    return Unpickler
