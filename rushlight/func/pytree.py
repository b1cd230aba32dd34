"""Nested containers: arguments and results as flat lists of leaves and a structure, and back."""
from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any, NamedTuple
from collections.abc import Callable


class Spec:
    """The structure of a nested container: its kind, what rebuilds it, and the specs of its entries."""

    __slots__ = ("kind", "what", "parts", "num_leaves")

    def __init__(self, kind, what, parts):
        self.kind, self.what, self.parts = kind, what, parts
        self.num_leaves = sum(c.num_leaves for c in parts) if kind is not None else 1

    def __eq__(self, other):
        return isinstance(other, Spec) and (self.kind, self.what, self.parts) == (other.kind, other.what, other.parts)

    def __hash__(self):
        return hash((self.kind, len(self.parts), self.num_leaves))

    def __repr__(self, indent=0):
        if self.kind is None:
            return "*"
        inside = (",\n" + " " * (indent + 2)).join(c.__repr__(indent + 2) for c in self.parts)
        return f"TreeSpec({self.type.__name__}, {self.context}, [{inside}])"

    def brief(self) -> str:
        """The structure as a person writes it."""
        if self.kind is None:
            return "*"
        inside = [c.brief() for c in self.parts]
        if self.kind in (dict, OrderedDict, defaultdict):
            return "{" + ", ".join(f"{k!r}: {v}" for k, v in zip(keys_of(self), inside)) + "}"
        return ("[{}]" if self.kind is list else "({},)" if len(inside) == 1 else "({})").format(", ".join(inside))

    # -- as torch.utils._pytree shows it ---------------------------------------------------------------
    type = property(lambda self: namedtuple if self.kind is not None and _is_namedtuple(self.kind) else self.kind)
    num_children = property(lambda self: len(self.parts))
    num_nodes = property(lambda self: 1 + sum(c.num_nodes for c in self.parts))

    @property
    def context(self):
        if self.kind is defaultdict:
            return list(self.what)
        return self.kind if self.type is namedtuple else self.what

    def is_leaf(self) -> bool:
        return self.kind is None

    def children(self) -> list:
        return list(self.parts)

    def child(self, index: int) -> Spec:
        return self.parts[index]

    def unflatten(self, leaves):
        """The tree of this structure with these leaves."""
        return unflatten(leaves, self)

    def flatten_up_to(self, tree) -> list:
        """What stands in a tree at the leaves of this structure, whatever it is.

        Raises:
            ValueError: the tree has another structure above them.
        """
        if self.kind is None:
            return [tree]
        kind, what, entries = opened(tree) or (None, None, ())
        if kind is not self.kind:
            raise ValueError(f"Node type mismatch; expected {self.type!r}, but got {type(tree)!r}.")
        if len(entries) != len(self.parts):
            raise ValueError(f"Node arity mismatch; expected {len(self.parts)}, but got {len(entries)}.")
        if what != self.what and kind in (dict, OrderedDict):
            if set(what) != set(self.what):
                raise ValueError(f"Node keys mismatch; expected {self.what!r}, but got {what!r}.")
            entries = [tree[k] for k in self.what]
        return [x for part, entry in zip(self.parts, entries) for x in part.flatten_up_to(entry)]


class Registered(NamedTuple):
    """How a class of the user's is taken apart and put together."""
    flatten: Callable
    unflatten: Callable
    flatten_with_keys: Callable | None


registered: dict[type, Registered] = {}
LEAF = Spec(None, None, ())


def keys_of(spec):
    return spec.what[1] if spec.kind is defaultdict else spec.what


def _is_namedtuple(kind) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def opened(tree):
    """(kind, context, entries) of a container, None of a leaf."""
    kind = type(tree)
    if kind in (tuple, list) or _is_namedtuple(kind):
        return kind, None, list(tree)
    if kind in (dict, OrderedDict):
        return kind, list(tree), list(tree.values())
    if kind is defaultdict:
        return kind, (tree.default_factory, list(tree)), list(tree.values())
    if kind is deque:
        return kind, tree.maxlen, list(tree)
    found = registered.get(kind)
    if found is not None:
        entries, context = found.flatten(tree)
        return kind, context, list(entries)
    return None


def flatten(tree, is_leaf: Callable | None = None) -> tuple[list, Spec]:
    """The leaves of a tree from left to right, and its structure."""
    leaves: list = []
    return leaves, _flatten(tree, leaves, is_leaf)


def first(kind: type, *trees):
    """The first leaf of a kind from left to right, or None."""
    args = trees[0]
    if type(args) is tuple and args and isinstance(args[0], kind):
        return args[0]
    return next((x for x in flatten(trees)[0] if isinstance(x, kind)), None)


def _flatten(tree, leaves, is_leaf):
    node = opened(tree) if is_leaf is None or not is_leaf(tree) else None
    if node is None:
        leaves.append(tree)
        return LEAF
    kind, context, entries = node
    return Spec(kind, context, [_flatten(e, leaves, is_leaf) for e in entries])


def unflatten(leaves, spec: Spec):
    """The tree of this structure with these leaves."""
    return _build(iter(leaves), spec)


def _build(leaves, spec):
    kind = spec.kind
    if kind is None:
        return next(leaves)
    entries = [_build(leaves, c) for c in spec.parts]
    if kind is dict or kind is OrderedDict:
        return kind(zip(spec.what, entries))
    if kind is defaultdict:
        return defaultdict(spec.what[0], zip(spec.what[1], entries))
    if kind is deque:
        return deque(entries, maxlen=spec.what)
    if kind in registered:
        return registered[kind].unflatten(entries, spec.what)
    return kind(*entries) if _is_namedtuple(kind) else kind(entries)


def mapped(fn: Callable, tree) -> Any:
    """The tree with fn of each leaf."""
    leaves, spec = flatten(tree)
    return unflatten([fn(x) for x in leaves], spec)


def spread(prefix, spec: Spec) -> list | None:
    """One entry for each leaf of `spec` from a tree that may end earlier; None if it does not fit."""
    node = opened(prefix)
    if node is None:
        return [prefix] * spec.num_leaves
    kind, context, entries = node
    if kind is not spec.kind or context != spec.what or len(entries) != len(spec.parts):
        return None
    parts = [spread(e, c) for e, c in zip(entries, spec.parts)]
    return None if any(p is None for p in parts) else [leaf for p in parts for leaf in p]
