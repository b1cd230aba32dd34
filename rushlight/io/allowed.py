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
from rushlight.io.machine import Constructor, checked_key
from rushlight.io.storages import DTYPE_OF, StorageType

added: dict[str, object] = {}       # what the user allows: name in files -> function or class


def dict_like(kind):
    def make(items=()):
        pairs = items.items() if isinstance(items, dict) else items
        return kind({checked_key(key): value for key, value in pairs})
    return Constructor(make, means=kind)


def set_of(items=()):
    return set(map(checked_key, items))


def bytes_of(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes: as text in latin-1."""
    if encoding not in ("latin1", "latin-1"):
        raise UnpicklingError(f"_codecs.encode with encoding {encoding!r}")
    return text.encode("latin-1")


def bytearray_of(*arguments) -> bytearray:
    """From bytes, or from text and an encoding; never from a size."""
    if any(isinstance(argument, int) for argument in arguments):
        raise UnpicklingError("bytearray of a number")
    return bytearray(*arguments)


def from_type(function, kind, arguments, state):
    if function not in rebuild.REBUILDERS:
        raise UnpicklingError(f"a tensor cannot be rebuilt by {function!r}")
    if not (isinstance(kind, type) and issubclass(kind, rushlight.Tensor)):
        raise UnpicklingError(f"{kind!r} is no class of tensors")
    return rebuild._rebuild_from_type_v2(function, kind, arguments, state)


def tensor_class(*arguments):
    raise UnpicklingError("torch.Tensor(): tensors are rebuilt by torch._utils only")


def serialization_layout(name: str):
    from rushlight.serialization import _get_layout
    return _get_layout(name)


def table() -> dict[str, object]:
    from rushlight.nn.parameter import Parameter
    known = {
        "collections.OrderedDict": dict_like(OrderedDict),
        "collections.Counter": dict_like(Counter),
        "_codecs.encode": Constructor(bytes_of, means=codecs.encode),
        "torch.Size": Constructor(rushlight.Size),
        "torch.device": Constructor(rushlight.device),
        "torch.serialization._get_layout": Constructor(serialization_layout),
        "torch.Tensor": Constructor(tensor_class, means=rushlight.Tensor),
        "torch.nn.parameter.Parameter": Constructor(Parameter),
        "torch._tensor._rebuild_from_type_v2":
            Constructor(from_type, means=rebuild._rebuild_from_type_v2),
    }
    known |= {
        "builtins.set": Constructor(set_of, means=set),
        "builtins.frozenset": Constructor(lambda items=(): frozenset(set_of(items)), frozenset),
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
    """Looks a name up: the table, then what the user allows."""

    def __init__(self) -> None:
        self.known = table()

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


