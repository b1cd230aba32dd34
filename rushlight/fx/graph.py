"""A program as a list of nodes, and as Python."""
from __future__ import annotations

import builtins
import keyword
import operator
import re
from collections import defaultdict
from contextlib import contextmanager
from typing import NamedTuple

from .node import Node, map_arg, qualified_name

MAGIC = {"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "truediv": "{} / {}", "floordiv": "{} // {}", "mod": "{} % {}",
         "pow": "{} ** {}", "matmul": "{} @ {}", "eq": "{} == {}", "ne": "{} != {}", "lt": "{} < {}", "gt": "{} > {}",
         "le": "{} <= {}", "ge": "{} >= {}", "and_": "{} & {}", "or_": "{} | {}", "xor": "{} ^ {}", "lshift": "{} << {}",
         "rshift": "{} >> {}", "neg": "-{}", "pos": "+{}", "invert": "~{}", "getitem": "{}[{}]"}
IN_PLACE = {"iadd": "+=", "isub": "-=", "imul": "*=", "itruediv": "/=", "imatmul": "@=", "ipow": "**="}


class PythonCode(NamedTuple):
    """Text, and what its names mean."""
    src: str
    globals: dict


class _Names:
    """Names that are free."""

    def __init__(self):
        self.used: set = set()
        self.count: defaultdict = defaultdict(int)

    def create_name(self, candidate: str) -> str:
        candidate = re.sub(r"[^0-9a-zA-Z_]+", "_", candidate) or "_unnamed"
        candidate = "_" + candidate if candidate[0].isdigit() else candidate
        found = re.match(r"(.*)_(\d+)$", candidate)
        base, number = (found[1], int(found[2])) if found else (candidate, None)
        if number is None:
            number = self.count.get(base, 0)
            candidate = base if not number else f"{base}_{number}"
        while candidate in self.used or keyword.iskeyword(candidate) or candidate in vars(builtins) or candidate == "torch":
            number += 1
            candidate = f"{base}_{number}"
        self.used.add(candidate)
        self.count[base] = max(number, self.count.get(base, 0))
        return candidate


class Graph:
    """Nodes in the order in which they run.

    Args:
        owning_module: the module whose parts `get_attr` and `call_module` name.
    """

    def __init__(self, owning_module=None, tracer_cls=None, tracer_extras=None):
        self._root = Node(self, "", "root", "", (), {})
        self._names = _Names()
        self._insert = self._root.prepend
        self.owning_module, self._tracer_cls = owning_module, tracer_cls

    # -- nodes -----------------------------------------------------------------------------------------
    @property
    def nodes(self):
        return _NodeList(self)

    def create_node(self, op: str, target, args=None, kwargs=None, name: str | None = None, type_expr=None) -> Node:
        """A node where nodes are inserted now: at the end, or within `inserting_before` and `inserting_after`."""
        node = Node(self, self._names.create_name(name or self._candidate(op, target)), op, target, tuple(args or ()),
                    dict(kwargs or {}), type_expr)
        self._insert(node)
        return node

    def _candidate(self, op, target) -> str:
        text = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
        text = text.replace(".", "_") if op != "placeholder" else text.replace("*", "")
        if text.startswith("__") and text.endswith("__"):
            text = text[2:-2]
        return re.sub(r"(?<!^)(?<![A-Z_])(?=[A-Z])", "_", text).lower() if op != "placeholder" else text

    def placeholder(self, name: str, type_expr=None, default_value=...) -> Node:
        return self.create_node("placeholder", name, () if default_value is ... else (default_value,), type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr=None) -> Node:
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(self, module_name: str, args=None, kwargs=None, type_expr=None) -> Node:
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(self, method_name: str, args=None, kwargs=None, type_expr=None) -> Node:
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(self, the_function, args=None, kwargs=None, type_expr=None, name=None) -> Node:
        return self.create_node("call_function", the_function, args, kwargs, name=name, type_expr=type_expr)

    def output(self, result, type_expr=None) -> Node:
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def node_copy(self, node: Node, arg_transform=lambda x: x) -> Node:
        """A node of another graph, its arguments as arg_transform gives them."""
        made = self.create_node(node.op, node.target, map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform),
                                node.name, node.type)
        made.meta = dict(node.meta)
        return made

    def graph_copy(self, g: Graph, val_map: dict, return_output_node: bool = False):
        """All nodes of another graph but its output; returns what that gives back."""
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                found = map_arg(node.args[0], lambda n: val_map[n])
                return (found, node) if return_output_node else found
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    def erase_node(self, to_erase: Node) -> None:
        """Take a node out.

        Raises:
            RuntimeError: somebody uses it.
        """
        if to_erase.users:
            raise RuntimeError(f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: "
                               f"{to_erase.users}!")
        to_erase._set((), {})
        to_erase._remove()
        to_erase._erased = True

    def find_nodes(self, *, op: str, target=None, sort: bool = True) -> list:
        return [n for n in self.nodes if n.op == op and (target is None or n.target == target)]

    def output_node(self) -> Node:
        return next(n for n in reversed(self.nodes) if n.op == "output")

    @contextmanager
    def _inserting(self, where):
        before, self._insert = self._insert, where
        try:
            yield
        finally:
            self._insert = before

    def inserting_before(self, n: Node | None = None):
        """Within the block new nodes stand before n (at the beginning, if there is none)."""
        return self._inserting((n or self._root.next).prepend if n is not None else self._root.append)

    def inserting_after(self, n: Node | None = None):
        """Within the block new nodes stand behind n (at the end, if there is none)."""
        if n is None:
            return self._inserting(self._root.prepend)
        at = [n]

        def behind(made):
            at[0].append(made)
            at[0] = made
        return self._inserting(behind)

    def eliminate_dead_code(self, is_impure_node=None) -> bool:
        """Take out calls whose results nobody uses; whether there were any."""
        keeps, changed = is_impure_node or Node.is_impure, False
        for node in reversed(list(self.nodes)):
            if not node.users and not keeps(node):
                self.erase_node(node)
                changed = True
        return changed

    def lint(self) -> None:
        """Check that names are unique, and nodes stand before those that use them.

        Raises:
            RuntimeError: they are not.
        """
        seen: dict = {}
        for node in self.nodes:
            for used in node.all_input_nodes:
                if used.graph is not self or used.name not in seen:
                    raise RuntimeError(f"Argument '{used}' of Node '{node}' was used before it has been defined! Please check "
                                       "that Nodes in the graph are topologically ordered")
            if node.name in seen:
                raise RuntimeError(f"Node redefined name {node.name}!")
            seen[node.name] = node
            if self.owning_module is not None and node.op in ("call_module", "get_attr"):
                _part(self.owning_module, node)

    def __deepcopy__(self, memo=None):
        made, places = Graph(tracer_cls=self._tracer_cls), {}
        found = made.graph_copy(self, places, return_output_node=True)
        if found is not None:
            made.output(found[0], found[1].type)
        return made

    # -- text ------------------------------------------------------------------------------------------
    def __str__(self):
        lines = [n.format_node() for n in self.nodes]
        return "graph():" + "".join(f"\n    {line}" for line in lines)

    def print_tabular(self) -> None:
        """Print the nodes as a table."""
        rows = [("opcode", "name", "target", "args", "kwargs")]
        rows += [(n.op, n.name, str(n.target), str(n.args), str(n.kwargs)) for n in self.nodes]
        widths = [max(len(r[i]) for r in rows) for i in range(5)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
        print("\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]]))

    def python_code(self, root_module: str = "self", verbose: bool = False) -> PythonCode:
        """The graph as a function `forward`."""
        return _Printer(self, root_module).code()


def _part(module, node):
    for name in node.target.split("."):
        if not hasattr(module, name):
            raise RuntimeError(f"Node {node} target {node.target} references nonexistent attribute {name} of the module")
        module = getattr(module, name)


class _NodeList:
    """The nodes of a graph in order."""

    def __init__(self, graph):
        self.graph = graph

    def __iter__(self):
        at = self.graph._root._next
        while at is not self.graph._root:
            following = at._next
            if not at._erased:
                yield at
            at = following if at._erased else at._next

    def __reversed__(self):
        return reversed(list(self))

    def __len__(self):
        return sum(1 for _ in self)


class _Printer:
    """Writes a graph as Python."""

    def __init__(self, graph, root):
        import rushlight
        self.graph, self.root, self.globals = graph, root, {"torch": rushlight}
        self.last: dict = defaultdict(list)
        seen: set = set()
        for node in reversed(list(graph.nodes)):
            for used in node.all_input_nodes:
                if used not in seen:
                    seen.add(used)
                    self.last[node].append(used)

    def code(self) -> PythonCode:
        free, lines = [self.root], []
        for node in self.graph.nodes:
            if node.op == "placeholder":
                free.append(node.target + (f" = {self.show(node.args[0])}" if node.args else ""))
                if node.name != node.target.lstrip("*"):
                    lines.append(f"{node.name} = {node.target.lstrip('*')}")
            elif node.op == "output":
                lines.append(f"return {self.show(node.args[0])}")
            else:
                lines.append(self.line(node) + self.gone(node))
        body = "".join(f"    {line}\n" for line in lines or ["return None"])
        return PythonCode(f"\n\n\ndef forward({', '.join(free)}):\n{body}    ", self.globals)

    def gone(self, node) -> str:
        """What nobody reads from here on is let go."""
        names = [n.name for n in self.last[node]] + ([] if node.users else [node.name])
        return f";  {' = '.join(names)} = None" if names else ""

    def line(self, node) -> str:
        if node.op == "get_attr":
            return f"{node.name} = {self.attribute(node.target)}"
        if node.op == "call_module":
            return f"{node.name} = {self.attribute(node.target)}({self.arguments(node.args, node.kwargs)})"
        if node.op == "call_method":
            return f"{node.name} = {self.show(node.args[0])}.{node.target}({self.arguments(node.args[1:], node.kwargs)})"
        return f"{node.name} = {self.called(node)}"

    def called(self, node) -> str:
        name = getattr(node.target, "__name__", "")
        args = list(map(self.show, node.args))
        if getattr(operator, name, None) is node.target and not node.kwargs:
            if name in MAGIC:
                return MAGIC[name].format(*args)
            if name in IN_PLACE:
                return f"{args[0]} {IN_PLACE[name][:-1]} {args[1]}"
        if node.target is getattr and isinstance(node.args[1], str) and node.args[1].isidentifier() and len(args) == 2:
            return f"{args[0]}.{node.args[1]}"
        return f"{self.named(node.target)}({self.arguments(node.args, node.kwargs)})"

    def named(self, fn) -> str:
        """The name of an object outside of the graph."""
        name = qualified_name(fn)
        if name.startswith("torch.") or name in vars(builtins):
            return name
        name = re.sub(r"[^0-9a-zA-Z_]", "_", name)
        while self.globals.get(name, fn) is not fn:
            name += "_1"
        self.globals[name] = fn
        return name

    def arguments(self, args, kwargs) -> str:
        return ", ".join([*map(self.show, args), *(f"{k} = {self.show(v)}" for k, v in kwargs.items())])

    def attribute(self, target) -> str:
        text = self.root
        for part in target.split("."):
            text = f"{text}.{part}" if part.isidentifier() else f'getattr({text}, "{part}")'
        return text

    def show(self, a) -> str:
        if isinstance(a, Node):
            return a.name
        if isinstance(a, tuple):
            inside = ", ".join(map(self.show, a)) + "," * (len(a) == 1)
            return f"{self.named(type(a))}({inside})" if hasattr(a, "_fields") else f"({inside})"
        if isinstance(a, list):
            return "[" + ", ".join(map(self.show, a)) + "]"
        if isinstance(a, dict):
            return "{" + ", ".join(f"{k!r}: {self.show(v)}" for k, v in a.items()) + "}"
        if isinstance(a, slice):
            return f"slice({self.show(a.start)}, {self.show(a.stop)}, {self.show(a.step)})"
        if isinstance(a, float) and (a != a or a in (float("inf"), float("-inf"))):
            return f"float('{a}')"
        if isinstance(a, (int, float, complex, str, bytes, type(None), type(...))):
            return repr(a)
        text = repr(a)
        return text if text.startswith("torch.") else self.named(a) if hasattr(a, "__name__") else self.kept(a)

    def kept(self, value) -> str:
        name = f"_constant_{len(self.globals)}"
        self.globals[name] = value
        return name
