"""torch.utils._pytree: nested containers as lists of leaves and a structure, and back."""
from __future__ import annotations

import functools
import json
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..func import pytree
from ..func.pytree import Registered, Spec as TreeSpec, opened, registered

__all__ = ["PyTree", "Context", "FlattenFn", "UnflattenFn", "DumpableContext", "ToDumpableContextFn",
           "FromDumpableContextFn", "PyTreeSpec", "TreeSpec", "LeafSpec", "keystr", "key_get", "register_pytree_node",
           "tree_is_leaf", "tree_flatten", "tree_flatten_with_path", "tree_unflatten", "tree_iter", "tree_leaves",
           "tree_leaves_with_path", "tree_structure", "tree_map", "tree_map_with_path", "tree_map_", "tree_map_only",
           "tree_map_only_", "tree_all", "tree_any", "tree_all_only", "tree_any_only", "treespec_dumps", "treespec_loads",
           "treespec_pprint", "is_namedtuple", "is_namedtuple_class", "is_namedtuple_instance", "is_structseq",
           "is_structseq_class", "is_structseq_instance"]
PyTree = Context = DumpableContext = Any
FlattenFn = UnflattenFn = ToDumpableContextFn = FromDumpableContextFn = Callable
PyTreeSpec = TreeSpec


def LeafSpec() -> TreeSpec:
    """The structure of a leaf."""
    return pytree.LEAF


# -- keys of paths -------------------------------------------------------------------------------------
class MappingKey(NamedTuple):
    """An entry of a dict."""
    key: Any

    def __str__(self):
        return f"[{self.key!r}]"

    def get(self, mapping):
        return mapping[self.key]


class SequenceKey(NamedTuple):
    """An entry of a list or tuple."""
    idx: int

    def __str__(self):
        return f"[{self.idx!r}]"

    def get(self, sequence):
        return sequence[self.idx]


class GetAttrKey(NamedTuple):
    """An attribute."""
    name: str

    def __str__(self):
        return f".{self.name}"

    def get(self, obj):
        return getattr(obj, self.name)


def keystr(kp) -> str:
    """A path as it is written behind a name."""
    return "".join(map(str, kp))


def key_get(obj, kp):
    """What stands at a path."""
    for key in kp:
        obj = key.get(obj)
    return obj


# -- classes of the user's -------------------------------------------------------------------------------
def register_pytree_node(cls, flatten_fn, unflatten_fn, *, serialized_type_name=None, to_dumpable_context=None,
                         from_dumpable_context=None, flatten_with_keys_fn=None) -> None:
    """Take instances of cls for containers.

    Args:
        flatten_fn: instance -> (list of entries, context).
        unflatten_fn: (entries, context) -> instance.
        flatten_with_keys_fn: instance -> (list of (key, entry), context), for paths.

    Raises:
        ValueError: cls is registered, or a container already.
    """
    if cls in registered or cls in (list, tuple, dict, OrderedDict, defaultdict, deque):
        raise ValueError(f"{cls} is already registered as pytree node.")
    registered[cls] = Registered(flatten_fn, lambda entries, context: unflatten_fn(entries, context), flatten_with_keys_fn)
    _names[cls] = serialized_type_name, to_dumpable_context, from_dumpable_context


_register_pytree_node = register_pytree_node
_names: dict = {}


def _deregister_pytree_node(cls) -> None:
    del registered[cls], _names[cls]


def is_namedtuple_class(cls) -> bool:
    """Whether cls was made by collections.namedtuple or typing.NamedTuple."""
    return isinstance(cls, type) and issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def is_namedtuple_instance(obj) -> bool:
    return is_namedtuple_class(type(obj))


def is_namedtuple(obj) -> bool:
    """Whether obj is a named tuple, or a class of them."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def is_structseq_class(cls) -> bool:
    """Whether cls is a named tuple of the interpreter's, such as time.struct_time."""
    return isinstance(cls, type) and cls.__bases__ == (tuple,) and hasattr(cls, "n_sequence_fields")


def is_structseq_instance(obj) -> bool:
    return is_structseq_class(type(obj))


def is_structseq(obj) -> bool:
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


# -- trees -----------------------------------------------------------------------------------------------
def tree_is_leaf(tree, is_leaf=None) -> bool:
    """Whether a tree is a leaf: no container, or one that `is_leaf` takes for a leaf."""
    return is_leaf is not None and is_leaf(tree) or opened(tree) is None


def tree_flatten(tree, is_leaf=None) -> tuple[list, TreeSpec]:
    """(leaves from left to right, structure)."""
    return pytree.flatten(tree, is_leaf)


def tree_unflatten(leaves, treespec: TreeSpec):
    """The tree of a structure with these leaves.

    Raises:
        TypeError: treespec is none.
        ValueError: the number of leaves is another.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"tree_unflatten(leaves, treespec): Expected `treespec` to be instance of TreeSpec but got item of "
                        f"type {type(treespec)}.")
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree "
                         f"that holds {treespec.num_leaves} items ({treespec}).")
    return pytree.unflatten(leaves, treespec)


def tree_iter(tree, is_leaf=None) -> Iterator:
    yield from tree_leaves(tree, is_leaf)


def tree_leaves(tree, is_leaf=None) -> list:
    return pytree.flatten(tree, is_leaf)[0]


def tree_structure(tree, is_leaf=None) -> TreeSpec:
    return pytree.flatten(tree, is_leaf)[1]


def tree_map(func, tree, *rests, is_leaf=None):
    """func of the leaves of one or more trees; the first one says where leaves are."""
    leaves, spec = pytree.flatten(tree, is_leaf)
    return pytree.unflatten([func(*xs) for xs in zip(leaves, *(spec.flatten_up_to(r) for r in rests))], spec)


def tree_map_(func, tree, *rests, is_leaf=None):
    """func of the leaves, for its effects; returns the tree."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _test(kinds) -> Callable:
    """Whether a leaf is of these types, or passes this test."""
    if isinstance(kinds, (type, tuple)) or type(kinds).__name__ == "UnionType":
        return lambda x: isinstance(x, kinds)
    return kinds


def map_only(type_or_types_or_pred):
    """A decorator: the function is called for leaves of these types alone."""
    passes = _test(type_or_types_or_pred)
    return lambda func: functools.wraps(func)(lambda x: func(x) if passes(x) else x)


def tree_map_only(type_or_types_or_pred, func, tree, is_leaf=None):
    """func of the leaves of these types, or that pass a test; others stay."""
    return tree_map(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_map_only_(type_or_types_or_pred, func, tree, is_leaf=None):
    return tree_map_(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_all(pred, tree, is_leaf=None) -> bool:
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred, tree, is_leaf=None) -> bool:
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all_only(type_or_types, pred, tree, is_leaf=None) -> bool:
    return all(pred(x) for x in tree_leaves(tree, is_leaf) if isinstance(x, type_or_types))


def tree_any_only(type_or_types, pred, tree, is_leaf=None) -> bool:
    return any(pred(x) for x in tree_leaves(tree, is_leaf) if isinstance(x, type_or_types))


def arg_tree_leaves(*args, **kwargs) -> list:
    """The leaves of arguments."""
    return [x for tree in (*args, *kwargs.values()) for x in tree_leaves(tree)]


# -- paths -------------------------------------------------------------------------------------------------
def tree_leaves_with_path(tree, is_leaf=None) -> list:
    """(path, leaf) pairs."""
    return list(_paths(tree, (), is_leaf))


def _paths(tree, path, is_leaf):
    if tree_is_leaf(tree, is_leaf):
        yield path, tree
        return
    for key, entry in _keyed(tree):
        yield from _paths(entry, (*path, key), is_leaf)


def _keyed(tree):
    kind, _, entries = opened(tree)
    if kind in registered:
        if registered[kind].flatten_with_keys is None:
            raise ValueError(f"Did not find a flatten_with_keys_fn for type: {kind}. Please pass a flatten_with_keys_fn "
                             "argument to register_pytree_node.")
        return registered[kind].flatten_with_keys(tree)[0]
    if isinstance(tree, dict):
        return [(MappingKey(k), v) for k, v in tree.items()]
    if is_namedtuple_instance(tree):
        return [(GetAttrKey(name), v) for name, v in zip(tree._fields, entries)]
    return [(SequenceKey(i), v) for i, v in enumerate(entries)]


def tree_flatten_with_path(tree, is_leaf=None):
    """((path, leaf) pairs, structure)."""
    return tree_leaves_with_path(tree, is_leaf), tree_structure(tree, is_leaf)


def tree_map_with_path(func, tree, *rests, is_leaf=None):
    """func(path, leaf, ...) of the leaves."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    return pytree.unflatten([func(path, *xs) for (path, x), *rest in zip(pairs, *(spec.flatten_up_to(r) for r in rests))
                             for xs in [(x, *rest)]], spec)


# -- structures as text ----------------------------------------------------------------------------------
BUILTIN = {f"{c.__module__}.{c.__qualname__}": c for c in (list, tuple, dict, OrderedDict, defaultdict, deque)}


def treespec_dumps(treespec: TreeSpec, protocol=None) -> str:
    """A structure as JSON."""
    return json.dumps([1, _dumped(treespec)])


def _dumped(spec):
    if spec.is_leaf():
        return None
    name, dump, _ = _names.get(spec.kind, (None, None, None))
    if spec.kind not in BUILTIN.values() and name is None:
        raise NotImplementedError(f"Serializing {spec.kind} in pytree is not registered.")
    if spec.kind is defaultdict and spec.what[0] is not None and spec.what[0].__module__ != "builtins":
        raise NotImplementedError(f"Serializing the default factory {spec.what[0]}")
    context = [getattr(spec.what[0], "__name__", None), spec.what[1]] if spec.kind is defaultdict else spec.what
    return {"type": name or f"{spec.kind.__module__}.{spec.kind.__qualname__}", "context": dump(context) if dump else context,
            "children_spec": [_dumped(c) for c in spec.parts]}


def treespec_loads(serialized: str) -> TreeSpec:
    """The structure of `treespec_dumps`."""
    return _loaded(json.loads(serialized)[1])


def _loaded(found):
    if found is None:
        return pytree.LEAF
    kind, context = BUILTIN.get(found["type"]), found["context"]
    if kind is None:
        kind = next(c for c, (name, _, _) in _names.items() if name == found["type"])
        load = _names[kind][2]
        context = load(context) if load else context
    if kind is defaultdict:
        import builtins
        context = context[0] and getattr(builtins, context[0]), context[1]
    return TreeSpec(kind, context, [_loaded(c) for c in found["children_spec"]])


def treespec_pprint(treespec: TreeSpec) -> str:
    """A structure as the container that it is, with * for leaves."""
    return repr(pytree.unflatten([_Star()] * treespec.num_leaves, treespec))


class _Star:
    def __repr__(self):
        return "*"


def treespec_leaf() -> TreeSpec:
    return pytree.LEAF


def treespec_tuple(iterable=()) -> TreeSpec:
    return TreeSpec(tuple, None, list(iterable))


def treespec_list(iterable=()) -> TreeSpec:
    return TreeSpec(list, None, list(iterable))


def treespec_dict(mapping=(), **kwargs) -> TreeSpec:
    entries = dict(mapping, **kwargs)
    return TreeSpec(dict, list(entries), list(entries.values()))
