"""The globals that a checkpoint may name when it is read with weights_only=True.

Each is a function that checks its arguments, so that what a file says can build data and no more.
"""
from __future__ import annotations

import codecs
from collections import Counter, OrderedDict
from collections.abc import Iterable
from pickle import UnpicklingError

import rushlight
from rushlight.dtypes import DTYPES
from rushlight.io import rebuild
from rushlight.io.machine import Constructor, Keys
from rushlight.io.storages import DTYPE_OF, StorageType

added: dict[str, object] = {}       # what the user allows: name in files -> function or class


# Arguments are shown in no message before it is sure that they are short: a tuple of tuples that are all
# the same is endless.

def dict_like(kind, keys):
    def make(items=()):
        pairs = items.items() if isinstance(items, dict) else items
        return kind({keys(key): value for key, value in pairs})
    return Constructor(make, means=kind)


def bytes_of(text: str, encoding: str = "") -> bytes:
    """How protocol 2 writes bytes: as text in latin-1."""
    if encoding not in ("latin1", "latin-1"):
        raise UnpicklingError("_codecs.encode with an encoding that is not latin-1")
    return text.encode("latin-1")


def bytearray_of(content: bytes | str | list = b"", *encoding: str) -> bytearray:
    """From bytes, or from text and its encoding; never from a size."""
    if isinstance(content, int):
        raise UnpicklingError("bytearray of a number")
    return bytearray(bytes_of(content, *encoding) if isinstance(content, str) else content)


def size_of(items=()):
    if not all(type(item) is int for item in items):
        raise UnpicklingError("torch.Size of what is no number")
    return rushlight.Size(items)


def device_of(name: str, *index: int):
    if not isinstance(name, str) or len(name) > 20 or not all(type(i) is int for i in index):
        raise UnpicklingError("torch.device of what is no name of a device")
    return rushlight.device(name, *index)


def parameter_of(data, requires_grad: bool = True):
    from rushlight.nn.parameter import Parameter
    if not isinstance(data, rushlight.Tensor):
        raise UnpicklingError(f"a Parameter of a {type(data).__name__}")
    return Parameter(data, bool(requires_grad))


def from_type(function, kind, arguments, state):
    if not any(function is known for known in rebuild.REBUILDERS):
        raise UnpicklingError("a tensor is rebuilt by torch._utils only")
    if not (isinstance(kind, type) and issubclass(kind, rushlight.Tensor)):
        raise UnpicklingError("what should be a class of tensors is none")
    return rebuild._rebuild_from_type_v2(function, kind, arguments, state)


def tensor_class(*arguments):
    raise UnpicklingError("torch.Tensor(): tensors are rebuilt by torch._utils only")


def serialization_layout(name: str):
    from rushlight.serialization import _get_layout
    return _get_layout(name if isinstance(name, str) else "")


def table(keys: Keys) -> dict[str, object]:
    from rushlight.nn.parameter import Parameter
    known = {
        "collections.OrderedDict": dict_like(OrderedDict, keys),
        "collections.Counter": dict_like(Counter, keys),
        "_codecs.encode": Constructor(bytes_of, means=codecs.encode),
        "torch.Size": Constructor(size_of, means=rushlight.Size),
        "torch.device": Constructor(device_of, means=rushlight.device),
        "torch.serialization._get_layout": Constructor(serialization_layout),
        "torch.Tensor": Constructor(tensor_class, means=rushlight.Tensor),
        "torch.nn.parameter.Parameter": Constructor(parameter_of, means=Parameter),
        "torch._tensor._rebuild_from_type_v2":
            Constructor(from_type, means=rebuild._rebuild_from_type_v2),
    }
    known |= {
        "builtins.set": Constructor(lambda items=(): set(map(keys, items)), means=set),
        "builtins.frozenset": Constructor(lambda items=(): frozenset(map(keys, items)), means=frozenset),
        "builtins.bytes": Constructor(lambda: b"", means=bytes),
        "builtins.bytearray": Constructor(bytearray_of, means=bytearray),
        "builtins.complex": Constructor(complex),
    }
    known |= {f"torch._utils.{f.__name__}": Constructor(f) for f in rebuild.REBUILDERS}
    known |= {f"torch.{name}": StorageType(name) for name in DTYPE_OF}
    known["torch.storage.UntypedStorage"] = StorageType("UntypedStorage")
    known |= {f"torch.{dtype.name}": dtype for dtype in DTYPES}
    return known


class Allowed:
    """Looks a name up: the table, then what the user allows. `sparse` are the sparse tensors that were made."""

    def __init__(self) -> None:
        self.keys, self.sparse = Keys(), []
        self.known = table(self.keys)
        self.known["torch._utils._rebuild_sparse_tensor"] = Constructor(self.sparse_tensor)

    def sparse_tensor(self, layout, data):
        self.sparse.append(rebuild._rebuild_sparse_tensor(layout, data))
        return self.sparse[-1]

    def __call__(self, name: str):
        if name in self.known:
            return self.known[name]
        if name in added:
            return by_user(added[name])
        raise UnpicklingError(refusal(name))

    def __contains__(self, name: str) -> bool:
        return name in self.known or name in added

    def may_build(self, kind: type) -> bool:
        return any(kind is value for value in added.values())


def by_user(value):
    if not isinstance(value, type):
        return Constructor(value)
    return Constructor(value, new=lambda *arguments: value.__new__(value, *arguments))


def refusal(name: str) -> str:
    short = name.removeprefix("builtins.")
    return (f"Unsupported global: GLOBAL {short} was not an allowed global by default. "
            f"If you trust it, allow it with `torch.serialization.add_safe_globals([{short}])` or "
            f"`with torch.serialization.safe_globals([{short}])`.")


def name_in_files(value) -> str:
    module = value.__module__
    if module.partition(".")[0] == "rushlight":
        module = "torch" + module.removeprefix("rushlight")
    return f"{module}.{value.__qualname__}"


def named(items: Iterable) -> dict[str, object]:
    """Functions and classes, or pairs of one with its name in files, by name."""
    found = {}
    for item in items:
        value, name = item if isinstance(item, tuple) else (item, name_in_files(item))
        if not isinstance(name, str):
            raise TypeError("Expected second item in tuple to be str of callable full path, "
                            f"but got: {type(name)}")
        found[name] = value
    return found


