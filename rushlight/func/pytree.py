"""Nested containers: arguments and results as flat lists of leaves and a structure, and back."""
from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from typing import Any
from collections.abc import Callable


class Spec:
    """The structure of a nested container: its kind, what rebuilds it, and the specs of its entries."""

    __slots__ = ("kind", "context", "children", "leaves")

    def __init__(self, kind, context, children):
        self.kind, self.context, self.children = kind, context, children
        self.leaves = sum(c.leaves for c in children) if kind is not None else 1

    def __eq__(self, other):
        return (self.kind, self.context, self.children) == (other.kind, other.context, other.children)

    __hash__ = None

    def __repr__(self):
        if self.kind is None:
            return "*"
        return f"TreeSpec({self.kind.__name__}, {self.context}, [{', '.join(map(repr, self.children))}])"

    def brief(self) -> str:
        """The structure as a person writes it."""
        if self.kind is None:
            return "*"
        inside = [c.brief() for c in self.children]
        if self.kind in (dict, OrderedDict, defaultdict):
            return "{" + ", ".join(f"{k!r}: {v}" for k, v in zip(keys_of(self), inside)) + "}"
        return ("[{}]" if self.kind is list else "({},)" if len(inside) == 1 else "({})").format(", ".join(inside))


LEAF = Spec(None, None, ())


def keys_of(spec):
    return spec.context[1] if spec.kind is defaultdict else spec.context


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
    return None


def flatten(tree) -> tuple[list, Spec]:
    """The leaves of a tree from left to right, and its structure."""
    leaves: list = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree, leaves):
    node = opened(tree)
    if node is None:
        leaves.append(tree)
        return LEAF
    kind, context, entries = node
    return Spec(kind, context, [_flatten(e, leaves) for e in entries])


def unflatten(leaves, spec: Spec):
    """The tree of this structure with these leaves."""
    return _build(iter(leaves), spec)


def _build(leaves, spec):
    kind = spec.kind
    if kind is None:
        return next(leaves)
    entries = [_build(leaves, c) for c in spec.children]
    if kind is dict or kind is OrderedDict:
        return kind(zip(spec.context, entries))
    if kind is defaultdict:
        return defaultdict(spec.context[0], zip(spec.context[1], entries))
    if kind is deque:
        return deque(entries, maxlen=spec.context)
    return kind(*entries) if _is_namedtuple(kind) else kind(entries)


def mapped(fn: Callable, tree) -> Any:
    """The tree with fn of each leaf."""
    leaves, spec = flatten(tree)
    return unflatten([fn(x) for x in leaves], spec)


def spread(prefix, spec: Spec) -> list | None:
    """One entry for each leaf of `spec` from a tree that may end earlier; None if it does not fit."""
    node = opened(prefix)
    if node is None:
        return [prefix] * spec.leaves
    kind, context, entries = node
    if kind is not spec.kind or context != spec.context or len(entries) != len(spec.children):
        return None
    parts = [spread(e, c) for e, c in zip(entries, spec.children)]
    return None if any(p is None for p in parts) else [leaf for p in parts for leaf in p]
