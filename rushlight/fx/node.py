"""A step of a graph: a call, an argument, an attribute, the result."""
from __future__ import annotations

import builtins
import operator
from types import FunctionType

from ..overrides import resolve_name

_side_effects: set = set()


def has_side_effect(fn):
    """Calls of fn are kept where nobody uses their results."""
    _side_effects.add(fn)
    return fn


def map_arg(a, fn):
    """Arguments with fn(node) in place of each node."""
    return map_aggregate(a, lambda x: fn(x) if isinstance(x, Node) else x)


def map_aggregate(a, fn):
    """Arguments, which may be nested, with fn of each leaf."""
    if isinstance(a, tuple):
        parts = [map_aggregate(x, fn) for x in a]
        return type(a)._make(parts) if hasattr(a, "_fields") else tuple(parts)
    if isinstance(a, list):
        return [map_aggregate(x, fn) for x in a]
    if isinstance(a, dict):
        return {k: map_aggregate(v, fn) for k, v in a.items()}
    if isinstance(a, slice):
        return slice(*(map_aggregate(x, fn) for x in (a.start, a.stop, a.step)))
    return fn(a)


def qualified_name(fn) -> str:
    """How a program names a function."""
    if getattr(builtins, getattr(fn, "__name__", ""), None) is fn:
        return fn.__name__
    found = resolve_name(fn)
    if found is not None:
        return found
    if isinstance(fn, FunctionType) and fn.__name__ == "<lambda>":
        return fn.__name__
    module = getattr(fn, "__module__", None) or ""
    return f"{module}.{fn.__name__}" if module and hasattr(fn, "__name__") else str(fn)


class Node:
    """op is placeholder, get_attr, call_function, call_method, call_module or output; target says of what."""

    def __init__(self, graph, name, op, target, args, kwargs, type_expr=None):
        self.graph, self.name, self.op, self.target, self.type = graph, name, op, target, type_expr
        self.users, self._input_nodes, self.meta = {}, {}, {}
        self._prev = self._next = self
        self._erased = False
        self.stack_trace = None
        self._set(args, kwargs)

    def __repr__(self):
        return self.name

    # -- arguments -------------------------------------------------------------------------------------
    def _set(self, args, kwargs):
        for used in self._input_nodes:
            used.users.pop(self, None)
        self._args, self._kwargs, self._input_nodes = args, kwargs, {}
        map_arg((args, kwargs), lambda n: self._input_nodes.setdefault(n))
        for used in self._input_nodes:
            used.users[self] = None

    args = property(lambda self: self._args, lambda self, args: self._set(tuple(args), self._kwargs))
    kwargs = property(lambda self: self._kwargs, lambda self, kwargs: self._set(self._args, dict(kwargs)))
    all_input_nodes = property(lambda self: list(self._input_nodes))

    def update_arg(self, idx: int, arg) -> None:
        self.args = (*self.args[:idx], arg, *self.args[idx + 1:])

    def insert_arg(self, idx: int, arg) -> None:
        self.args = (*self.args[:idx], arg, *self.args[idx:])

    def update_kwarg(self, key: str, arg) -> None:
        self.kwargs = {**self.kwargs, key: arg}

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Use another node wherever old_input is an argument."""
        swap = lambda n: new_input if n is old_input else n
        self._set(map_arg(self._args, swap), map_arg(self._kwargs, swap))

    def replace_all_uses_with(self, replace_with: Node, delete_user_cb=lambda user: True, *, propagate_meta=False) -> list:
        """Let everybody who uses this node use another one; returns them."""
        found = [u for u in self.users if delete_user_cb(u)]
        for user in found:
            user.replace_input_with(self, replace_with)
        return found

    def is_impure(self) -> bool:
        """Whether it is kept where nobody uses it."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            return self.target in _side_effects or getattr(self.target, "__name__", "").endswith("_") and \
                not self.target.__name__.startswith("__")
        return self.op == "call_method" and self.target.endswith("_") and not self.target.startswith("__")

    # -- place -----------------------------------------------------------------------------------------
    next = property(lambda self: self._next)
    prev = property(lambda self: self._prev)

    def _remove(self):
        self._prev._next, self._next._prev = self._next, self._prev

    def prepend(self, x: Node) -> None:
        """Put x before this node."""
        if x is self:
            return
        x._remove()
        before = self._prev
        before._next, x._prev, x._next, self._prev = x, before, self, x

    def append(self, x: Node) -> None:
        """Put x behind this node."""
        self._next.prepend(x)

    # -- text ------------------------------------------------------------------------------------------
    def _pretty_print_target(self, target) -> str:
        if isinstance(target, str):
            return target
        if getattr(builtins, getattr(target, "__name__", ""), None) is target:
            return f"builtins.{target.__name__}"
        if getattr(operator, getattr(target, "__name__", ""), None) is target:
            return f"operator.{target.__name__}"
        return qualified_name(target)

    def format_node(self) -> str:
        """The node as a line."""
        head = f"%{self.name} : [num_users={len(self.users)}] = {self.op}[target={self._pretty_print_target(self.target)}]"
        if self.op == "placeholder":
            return head + (f"(default={self.args[0]})" if self.args else "")
        if self.op == "get_attr":
            return head
        if self.op == "output":
            return f"return {self.args[0]}"
        return head + f"(args = {_shown(self.args)}, kwargs = {_shown(self.kwargs)})"


def _shown(a) -> str:
    if isinstance(a, list):
        return "[" + ", ".join(map(_shown, a)) + "]"
    if type(a) is tuple:
        return "(" + ", ".join(map(_shown, a)) + "," * (len(a) == 1) + ")"
    if isinstance(a, dict):
        return "{" + ", ".join(f"{k}: {_shown(v)}" for k, v in a.items()) + "}"
    if isinstance(a, slice):
        return f"slice({', '.join(map(_shown, (a.start, a.stop, a.step)))})"
    return f"%{a}" if isinstance(a, Node) else str(a)
