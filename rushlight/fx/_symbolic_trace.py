"""Running a program on values that are not there, to see what it does."""
from __future__ import annotations

import builtins
import functools
import inspect
import sys
from contextlib import contextmanager

from ..nn.modules.module import Module
from ..ops.overriding import arm, disarm
from ..tensor import Tensor
from .graph import Graph
from .graph_module import GraphModule
from .proxy import Proxy, TracerBase, _proxies

_wrapped: list = []     # (globals, name) of functions that are not traced into


def wrap(fn_or_name):
    """Let a function be one call in graphs: a decorator, or called at module level with the name of a global or built-in one."""
    space = sys._getframe(1).f_globals
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    if not isinstance(fn_or_name, str) and not callable(fn_or_name):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    _wrapped.append((space, name))
    return fn_or_name


def _recording(fn):
    """fn, which becomes a node if it is called with a proxy."""
    @functools.wraps(fn)
    def call(*args, **kwargs):
        found = next(_proxies((args, kwargs)), None)
        return fn(*args, **kwargs) if found is None else found.tracer.create_proxy("call_function", fn, args, kwargs)
    return call


class Tracer(TracerBase):
    """Traces modules and functions; subclasses say which modules are not looked into.

    Args:
        autowrap_modules, autowrap_functions: whose functions become nodes.
    """

    def __init__(self, autowrap_modules=(), autowrap_functions=(), param_shapes_constant=False):
        self.autowrap_modules, self.autowrap_functions = autowrap_modules, autowrap_functions
        self.root = self.graph = None

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a module's call is one node: by default those of torch.nn are, Sequential excepted."""
        return m.__module__.startswith(("torch.nn", "rushlight.nn")) and type(m).__name__ not in ("Sequential", "Module")

    def path_of_module(self, mod: Module) -> str:
        """The name of a part of the root.

        Raises:
            NameError: it is none.
        """
        found = next((name for name, part in self.root.named_modules() if part is mod), None)
        if found is None:
            raise NameError("module is not installed as a submodule")
        return found

    def call_module(self, m: Module, forward, args, kwargs):
        """What a call of a module gives: a proxy if it is a leaf, else what its `forward` gives."""
        name = self.path_of_module(m)
        if self.is_leaf_module(m, name):
            return self.create_proxy("call_module", name, args, kwargs)
        return forward(*args, **kwargs)

    def getattr(self, attr: str, attr_val, parameter_proxy_cache: dict):
        """What a module's attribute is within the program: a proxy for a parameter."""
        if not isinstance(attr_val, Tensor) or isinstance(attr_val, Proxy):
            return attr_val
        name = next((n for n, p in self.root.named_parameters() if p is attr_val), None)
        if name is None:
            return attr_val
        if name not in parameter_proxy_cache:
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {})
        return parameter_proxy_cache[name]

    def create_arg(self, a):
        if isinstance(a, Tensor):
            return self.create_node("get_attr", self._name_of(a), (), {})
        if isinstance(a, Module):
            return self.create_node("get_attr", self.path_of_module(a), (), {})
        return super().create_arg(a)

    def _name_of(self, tensor) -> str:
        """The name of a tensor within the root, which gets those that it does not have."""
        for n, x in (*self.root.named_parameters(), *self.root.named_buffers()):
            if x is tensor:
                return n
        for prefix, module in self.root.named_modules():
            for n, x in vars(module).items():
                if x is tensor:
                    return f"{prefix}.{n}" if prefix else n
        number = sum(n.startswith("_tensor_constant") for n in vars(self.root))
        setattr(self.root, f"_tensor_constant{number}", tensor)
        return f"_tensor_constant{number}"

    def create_args_for_root(self, root_fn, is_module: bool, concrete_args=None):
        """The arguments that a function is traced with: proxies and constants."""
        args, kwargs, concrete = [], {}, concrete_args or {}
        parameters = list(inspect.signature(root_fn).parameters.values())[is_module:]
        for p in parameters:
            if p.name in concrete:      # it stays an argument, which is not looked at
                value = concrete[p.name]
                self.create_proxy("placeholder", f"{p.name}_1", () if p.default is p.empty else (p.default,), {})
            elif p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                raise NotImplementedError("symbolic_trace: *args and **kwargs")
            else:
                default = () if p.default is p.empty else (p.default,)
                value = self.create_proxy("placeholder", p.name, default, {})
            (kwargs.__setitem__(p.name, value) if p.kind is p.KEYWORD_ONLY else args.append(value))
        return args, kwargs

    def trace(self, root, concrete_args: dict | None = None) -> Graph:
        """The graph of a module or function.

        Args:
            concrete_args: values of arguments, which are constants then.
        """
        is_module = isinstance(root, Module)
        self.root, fn = (root, type(root).forward) if is_module else (Module(), root)
        self.traced_func_name = fn.__name__
        self.graph = Graph(tracer_cls=type(self))
        args, kwargs = self.create_args_for_root(fn, is_module, concrete_args)
        with self._patched():
            result = fn(root, *args, **kwargs) if is_module else fn(*args, **kwargs)
            self.create_node("output", "output", (self.create_arg(result),), {})
        return self.graph

    @contextmanager
    def _patched(self):
        """Calls of modules, attributes and wrapped functions come here; public functions ask proxies."""
        call, attribute, cache = Module.__call__, Module.__getattr__, {}
        spaces = [(space, name, space.get(name, "absent"), space.get(name) or getattr(builtins, name))
                  for space, name in _wrapped]
        spaces += [(f.__globals__, f.__name__, f, f) for f in self.autowrap_functions]
        Module.__call__ = lambda m, *args, **kwargs: self.call_module(m, functools.partial(call, m), args, kwargs)
        Module.__getattr__ = lambda m, name: self.getattr(name, attribute(m, name), cache)
        arm(self)
        try:
            for space, name, _, fn in spaces:
                space[name] = _recording(fn)
            yield
        finally:
            disarm(self)
            Module.__call__, Module.__getattr__ = call, attribute
            for space, name, before, _ in spaces:
                space.pop(name) if before == "absent" else space.__setitem__(name, before)


def symbolic_trace(root, concrete_args: dict | None = None) -> GraphModule:
    """A module or function as a module whose graph can be changed."""
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else root.__name__
    return GraphModule(tracer.root, graph, name)
