"""The globals that a checkpoint may name when it is read with weights_only=True.

Each is a function that checks its arguments, so that what a file says can build data and no more.
"""
from __future__ import annotations

import codecs
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from pickle import UnpicklingError

import rushlight
from rushlight.dtypes import DTYPES
from rushlight.io import rebuild
from rushlight.io.machine import Constructor, Keys
from rushlight.io.storages import DTYPE_OF, LoadedStorage, StorageType

added: dict[str, object] = {}       # what the user allows: name in files -> function or class


# Arguments are shown in no message before it is sure that they are short: a tuple of tuples that are all
# the same is endless.

class Kind:
    """What an argument must be: of exactly one of some types, or what a test lets pass."""

    def __init__(self, name: str, *types: type, test: Callable | None = None) -> None:
        self.name, self.types, self.test = name, types, test

    def __call__(self, x) -> bool:
        return self.test(x) if self.test else type(x) in self.types


def are_whole(x) -> bool:
    return type(x) in (tuple, list, rushlight.Size) and all(type(i) is int for i in x)


TEXT, FLAG, WHOLE, NUMBER = Kind("text", str), Kind("a bool", bool), Kind("an int", int), Kind("a number", int, float)
SIZES = Kind("a tuple of ints", test=are_whole)
ITEMS = Kind("a container", tuple, list, set, frozenset)
PAIRS = Kind("a dict or pairs", tuple, list, dict, OrderedDict, Counter)
HOOKS = Kind("a dict or None", dict, OrderedDict, type(None))
STATE = Kind("a dict, or two", test=lambda x: all(map(HOOKS, x)) if type(x) is tuple else HOOKS(x))
STORAGE, DTYPE = Kind("a storage", LoadedStorage), Kind("a dtype", rushlight.dtype)
LAYOUT = Kind("a layout", type(rushlight.strided))
TENSOR = Kind("a tensor", test=lambda x: isinstance(x, rushlight.Tensor))
TENSOR_CLASS = Kind("a class of tensors", test=lambda x: isinstance(x, type) and issubclass(x, rushlight.Tensor))
CONTENT = Kind("bytes, text or a list of ints", test=lambda x: type(x) in (bytes, bytearray, str) or are_whole(x))
REBUILDER = Kind("a function of torch._utils", test=lambda x: any(x is known for known in TAKES))
TUPLE = Kind("a tuple", tuple)
TAKES = {                           # the arguments of what rebuilds tensors; those after None may be left out
    rebuild._rebuild_tensor: (STORAGE, WHOLE, SIZES, SIZES),
    rebuild._rebuild_tensor_v2: (STORAGE, WHOLE, SIZES, SIZES, FLAG, HOOKS, None, HOOKS),
    rebuild._rebuild_tensor_v3: (STORAGE, WHOLE, SIZES, SIZES, FLAG, HOOKS, DTYPE, None, HOOKS),
    rebuild._rebuild_parameter: (TENSOR, FLAG, HOOKS),
    rebuild._rebuild_parameter_with_state: (TENSOR, FLAG, HOOKS, STATE),
    rebuild._rebuild_sparse_tensor: (LAYOUT, TUPLE),
}


def given(function: Callable, *kinds: Kind | None) -> Callable:
    """`function`, called only with arguments of these kinds; those after None may be left out."""
    least = kinds.index(None) if None in kinds else len(kinds)
    kinds = [kind for kind in kinds if kind]

    def call(*arguments):
        if not least <= len(arguments) <= len(kinds):
            raise TypeError(f"{len(arguments)} arguments, where {least} to {len(kinds)} belong")
        for number, (x, kind) in enumerate(zip(arguments, kinds), 1):
            if not kind(x):
                raise TypeError(f"argument {number} is a {type(x).__name__}, not {kind.name}")
        return function(*arguments)
    return call


def dict_like(kind, keys):
    def make(items=()):
        pairs = items.items() if isinstance(items, dict) else items
        if not all(type(pair) in (tuple, list) and len(pair) == 2 for pair in pairs):
            raise UnpicklingError("a dict of what are no pairs")
        return kind({keys(key): value for key, value in pairs})
    return Constructor(given(make, None, PAIRS), means=kind)


def bytes_of(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes: as text in latin-1."""
    if encoding not in ("latin1", "latin-1"):
        raise UnpicklingError("_codecs.encode with an encoding that is not latin-1")
    return text.encode("latin-1")


def bytearray_of(content: bytes | str | list = b"", encoding: str = "") -> bytearray:
    """From bytes, or from text and its encoding; never from a size."""
    return bytearray(bytes_of(content, encoding) if type(content) is str else content)


def device_of(name: str, *index: int):
    if len(name) > 20:
        raise UnpicklingError("torch.device of what is no name of a device")
    return rushlight.device(name, *index)


def parameter_of(data, requires_grad: bool = True):
    from rushlight.nn.parameter import Parameter
    return Parameter(data, requires_grad)


def from_type(function, kind, arguments, state):
    return rebuild._rebuild_from_type_v2(given(function, *TAKES[function]), kind, arguments, state)


def tensor_class(*arguments):
    raise UnpicklingError("torch.Tensor(): tensors are rebuilt by torch._utils only")


def serialization_layout(name: str):
    from rushlight.serialization import _get_layout
    return _get_layout(name)


def table(keys: Keys) -> dict[str, object]:
    from rushlight.nn.parameter import Parameter
    known = {
        "collections.OrderedDict": dict_like(OrderedDict, keys),
        "collections.Counter": dict_like(Counter, keys),
        "_codecs.encode": Constructor(given(bytes_of, TEXT, TEXT), means=codecs.encode),
        "torch.Size": Constructor(given(rushlight.Size, None, SIZES), means=rushlight.Size),
        "torch.device": Constructor(given(device_of, TEXT, None, WHOLE), means=rushlight.device),
        "torch.serialization._get_layout": Constructor(given(serialization_layout, TEXT), means=serialization_layout),
        "torch.Tensor": Constructor(tensor_class, means=rushlight.Tensor),
        "torch.nn.parameter.Parameter": Constructor(given(parameter_of, TENSOR, None, FLAG), means=Parameter),
        "torch._tensor._rebuild_from_type_v2":
            Constructor(given(from_type, REBUILDER, TENSOR_CLASS, TUPLE, STATE), means=rebuild._rebuild_from_type_v2),
    }
    known |= {
        "builtins.set": Constructor(given(lambda items=(): set(map(keys, items)), None, ITEMS), means=set),
        "builtins.frozenset":
            Constructor(given(lambda items=(): frozenset(map(keys, items)), None, ITEMS), means=frozenset),
        "builtins.bytes": Constructor(given(bytes), means=bytes),
        "builtins.bytearray": Constructor(given(bytearray_of, None, CONTENT, TEXT), means=bytearray),
        "builtins.complex": Constructor(given(complex, NUMBER, NUMBER), means=complex),
    }
    known |= {f"torch._utils.{f.__name__}": Constructor(given(f, *kinds), means=f) for f, kinds in TAKES.items()}
    known |= {f"torch.{name}": StorageType(name) for name in DTYPE_OF}
    known["torch.storage.UntypedStorage"] = StorageType("UntypedStorage")
    known |= {f"torch.{dtype.name}": dtype for dtype in DTYPES}
    return known


class Allowed:
    """Looks a name up: the table, then what the user allows. `sparse` are the sparse tensors that were made."""

    def __init__(self) -> None:
        self.keys, self.sparse = Keys(), []
        self.known = table(self.keys)
        name = "torch._utils._rebuild_sparse_tensor"
        self.known[name] = Constructor(given(self.sparse_tensor, *TAKES[rebuild._rebuild_sparse_tensor]),
                                       means=rebuild._rebuild_sparse_tensor)

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


