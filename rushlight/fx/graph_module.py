"""A module whose `forward` is a graph."""
from __future__ import annotations

import copy
import linecache
from itertools import count

from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from ..tensor import Tensor
from .graph import Graph

_numbers = count()


def _copied(source, target, name: str):
    """Give target what stands at a dotted name in source, with the modules on the way."""
    *prefix, last = name.split(".")
    for part in prefix:
        source = getattr(source, part)
        if getattr(target, part, None) is source:
            return
        if not hasattr(target, part):
            target.add_module(part, Module())
        target = getattr(target, part)
    found = getattr(source, last)
    if isinstance(found, Module):
        target.add_module(last, found)
    elif isinstance(found, Tensor) and not isinstance(found, Parameter):
        target.register_buffer(last, found)
    else:
        setattr(target, last, found)


class GraphModule(Module):
    """A module made of a graph and of the parts that it names.

    Args:
        root: the module that has the parts, or a dict of them by name.
        graph: the nodes; `recompile` after changing them.
    """

    def __new__(cls, *args, **kwargs):
        return super().__new__(type(cls.__name__, (cls,), {}))      # each has a `forward` of its own

    def __init__(self, root, graph: Graph, class_name: str = "GraphModule"):
        super().__init__()
        type(self).__name__ = class_name
        names = dict.fromkeys(n.target for n in graph.nodes if n.op in ("get_attr", "call_module"))
        if isinstance(root, Module):
            self.training = root.training
            for name in names:
                _copied(root, self, name)
        else:
            missing = [name for name in names if name not in root]
            if missing:
                raise RuntimeError(f"Node referenced target {missing[0]} but that target was not provided in ``root``!")
            for name in sorted(names, key=lambda n: n.count(".")):
                self._put(name, root[name])
        self.graph = graph

    def _put(self, name, value):
        target = self
        *prefix, last = name.split(".")
        for part in prefix:
            if not hasattr(target, part):
                target.add_module(part, Module())
            target = getattr(target, part)
        setattr(target, last, value)

    @property
    def graph(self) -> Graph:
        return self._graph

    @graph.setter
    def graph(self, graph):
        self.__dict__["_graph"], graph.owning_module = graph, self
        self.recompile()

    def recompile(self):
        """Make `forward` what the graph says now."""
        code = self._graph.python_code()
        names, file = dict(code.globals), f"<eval_with_key>.{next(_numbers)}"
        exec(compile(code.src, file, "exec"), names)
        linecache.cache[file] = len(code.src), None, code.src.splitlines(True), file
        type(self).forward, self.__dict__["_code"] = names["forward"], code.src
        return code

    @property
    def code(self) -> str:
        """`forward` as Python."""
        return self._code

    def print_readable(self, print_output: bool = True, **options) -> str:
        """The module as text, a class with its `forward`."""
        body = "\n".join(("    " + line).rstrip() for line in self.code.strip().splitlines())
        text = f"class {type(self).__name__}(torch.nn.Module):\n{body}\n"
        if print_output:
            print(text)
        return text

    # -- parts -----------------------------------------------------------------------------------------
    def add_submodule(self, target: str, m: Module) -> bool:
        """Add a module under a dotted name; False if something else is in the way."""
        at = self
        *prefix, last = target.split(".")
        for part in prefix:
            if not hasattr(at, part):
                at.add_module(part, Module())
            at = getattr(at, part)
            if not isinstance(at, Module):
                return False
        at.add_module(last, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Remove the module of a dotted name; False if there is none."""
        at = self
        *prefix, last = target.split(".")
        for part in prefix:
            at = getattr(at, part, None)
        if not isinstance(getattr(at, last, None), Module):
            return False
        delattr(at, last)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Remove the modules that no node names."""
        used = set()
        for node in self._graph.nodes:
            if node.op in ("call_module", "get_attr"):
                parts = node.target.split(".")
                used |= {".".join(parts[:i + 1]) for i in range(len(parts))}
                called = self.get_submodule(node.target) if node.op == "call_module" else Module()
                used |= {f"{node.target}.{name}" for name, _ in called.named_modules() if name}
        for name in [n for n, _ in self.named_modules() if n and n not in used]:
            self.delete_submodule(name)

    # -- copies ----------------------------------------------------------------------------------------
    def __deepcopy__(self, memo):
        parts = Module()
        parts.__dict__.update(copy.deepcopy({k: v for k, v in vars(self).items() if k not in ("_graph", "_code")}, memo))
        return _like(self, parts)

    def __copy__(self):
        return _like(self, self)

    def __reduce__(self):
        state = {k: v for k, v in vars(self).items() if k not in ("_graph", "_code")}
        code = self._graph.python_code()
        names = {k: v for k, v in code.globals.items() if k != "torch"}
        return _read, (state, code.src, names, type(self).__name__)

    def __reduce_ex__(self, protocol):
        return self.__reduce__()


def _like(module, parts):
    made = GraphModule(parts, copy.deepcopy(module.graph), type(module).__name__)
    own = ("_graph", "_code", "_modules", "_parameters", "_buffers")
    made.__dict__.update({k: v for k, v in vars(parts).items() if k not in own})
    return made


def _read(state, source, names, class_name):
    """A module that was pickled: its text, traced again with all modules as leaves."""
    import rushlight
    from ._symbolic_trace import Tracer, _wrapped

    class Whole(Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return True
    calls = [n for n, f in names.items() if callable(f)]        # one node each
    names = {"torch": rushlight, **names}
    exec(source, names)
    root = type(class_name, (Module,), {"forward": names["forward"]})()
    root.__dict__.update(state)
    before = _wrapped[:]
    _wrapped.extend((names, n) for n in calls)
    try:
        return GraphModule(root, Whole().trace(root), class_name)
    finally:
        _wrapped[:] = before
