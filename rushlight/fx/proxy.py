"""Values that are not there yet: what is done with them becomes nodes."""
from __future__ import annotations

import dis
import operator
import sys

from ..overrides import resolve_name
from ..tensor import Tensor
from .graph import MAGIC


class TraceError(ValueError):
    """The program looks at a value."""


class Proxy:
    """Stands for the value of a node while a program is traced."""

    def __init__(self, node, tracer=None):
        self.node, self.tracer = node, tracer

    def __repr__(self):
        return f"Proxy({self.node.name})"

    def __getattr__(self, name):
        if name in ("node", "tracer") or name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Attribute(self, name)

    def __call__(self, *args, **kwargs):
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self):
        frame = sys._getframe(1)
        at = next((i for i in dis.get_instructions(frame.f_code) if i.offset == frame.f_lasti), None)
        if at is not None and at.opname == "UNPACK_SEQUENCE":
            return (self[i] for i in range(at.argval))
        return self.tracer.iter(self)

    def __bool__(self):
        return self.tracer.to_bool(self)

    def __len__(self):
        raise RuntimeError("'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please "
                           "call torch.fx.wrap('len') at module scope")

    def keys(self):
        return self.tracer.keys(self)

    @classmethod
    def __torch_function__(cls, orig_method, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tracer = next(p.tracer for p in _proxies((args, kwargs)))
        name = resolve_name(orig_method) or ""
        if name.startswith("torch.Tensor."):
            short = orig_method.__name__
            if short == "__get__":
                return tracer.create_proxy("call_function", getattr, (args[0], name.split(".")[-2]), {})
            if short.startswith("__r") and len(args) == 2 and hasattr(operator, short[3:-2]):
                return tracer.create_proxy("call_function", getattr(operator, short[3:-2]), args[::-1], kwargs)
            return tracer.create_proxy("call_method", short, args, kwargs)
        return tracer.create_proxy("call_function", orig_method, args, kwargs)


def _proxies(a):
    if isinstance(a, Proxy):
        yield a
    elif isinstance(a, (tuple, list)):
        for x in a:
            yield from _proxies(x)
    elif isinstance(a, dict):
        yield from _proxies(list(a.values()))


class Attribute(Proxy):
    """An attribute of a value; called, it is a method."""

    def __init__(self, root, attr):
        self.root, self.attr, self.tracer, self._node = root, attr, root.tracer, None

    @property
    def node(self):
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args, **kwargs):
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


def _operator(fn):
    def call(*args):
        return args[0].tracer.create_proxy("call_function", fn, args, {})
    return call


def _reflected(fn):
    def call(self, other):
        return self.tracer.create_proxy("call_function", fn, (other, self), {})
    return call


for _name in (*MAGIC, "abs"):
    setattr(Proxy, f"__{_name.strip('_')}__", _operator(getattr(operator, _name)))
for _name in "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift".split():
    setattr(Proxy, f"__r{_name.strip('_')}__", _reflected(getattr(operator, _name)))
Proxy.__hash__ = object.__hash__
PLAIN = (int, float, complex, bool, str, bytes, type(None), type(...), range)


class TracerBase:
    """Makes nodes of what is done with proxies."""

    graph = None
    proxies: dict

    def create_node(self, kind, target, args, kwargs, name=None, type_expr=None):
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def proxy(self, node) -> Proxy:
        return Proxy(node, self)

    def create_proxy(self, kind, target, args, kwargs, name=None, type_expr=None, proxy_factory_fn=None) -> Proxy:
        """A node for a call, and what stands for its value."""
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name, type_expr)
        return proxy_factory_fn(node) if proxy_factory_fn else self.proxy(node)

    def create_arg(self, a):
        """An argument as nodes know it.

        Raises:
            NotImplementedError: it is of a kind that they do not know.
        """
        if isinstance(a, Proxy):
            return a.node
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return type(a)._make([self.create_arg(x) for x in a])
        if isinstance(a, (tuple, list)):
            return (list if isinstance(a, list) else tuple)(self.create_arg(x) for x in a)
        if isinstance(a, dict):
            return {k: self.create_arg(v) for k, v in a.items()}
        if isinstance(a, slice):
            return slice(*(self.create_arg(x) for x in (a.start, a.stop, a.step)))
        if isinstance(a, (*PLAIN, Tensor)) or callable(a) or repr(a).startswith("torch.") or type(a).__name__ == "device":
            return a
        raise NotImplementedError(f"argument of type: {type(a)}")

    def to_bool(self, obj) -> bool:
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj):
        raise TraceError("Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args "
                         "or **kwargs function argument.")

    def keys(self, obj):
        return Attribute(obj, "keys")()


class GraphAppendingTracer(TracerBase):
    """A tracer that adds to a graph that is there."""

    def __init__(self, graph):
        self.graph = graph
