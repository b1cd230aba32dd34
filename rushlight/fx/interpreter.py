"""Running a graph node by node, and making another one of it."""
from __future__ import annotations

from ..nn.modules.module import Module
from ..ops.overriding import arm, disarm
from .graph import Graph
from .graph_module import GraphModule
from .node import map_arg
from .proxy import Proxy, TracerBase


class Interpreter:
    """Runs the graph of a module; methods say what each kind of node does.

    Args:
        garbage_collect_values: let values go after their last use.
    """

    def __init__(self, module: Module, garbage_collect_values: bool = True, graph: Graph | None = None):
        self.module, self.graph = module, graph or module.graph
        self.submodules = dict(module.named_modules())
        self.garbage_collect_values, self.env, self.last = garbage_collect_values, {}, {}
        for node in self.graph.nodes if garbage_collect_values else ():
            for used in node.all_input_nodes:
                self.last[used] = node

    def run(self, *args, initial_env: dict | None = None, enable_io_processing: bool = True):
        """The graph's output for these arguments.

        Args:
            initial_env: values of nodes that are not to be computed.
        """
        self.env, self.args_iter = dict(initial_env or {}), iter(args)
        for node in self.graph.nodes:
            if node in self.env:
                continue
            self.env[node] = self.run_node(node)
            if node.op == "output":
                return self.env[node]
            for used in node.all_input_nodes if self.garbage_collect_values else ():
                if self.last[used] is node:
                    self.env.pop(used, None)
        return None

    def boxed_run(self, args_list):
        """`run` of a list, which is emptied."""
        args = tuple(args_list)
        args_list.clear()
        return self.run(*args)

    def run_node(self, n):
        """What one node gives."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        return getattr(self, n.op)(n.target, args, kwargs)

    def placeholder(self, target, args, kwargs):
        """The next argument.

        Raises:
            RuntimeError: there is none, and no default.
        """
        if target.startswith("*"):
            return list(self.args_iter)
        for value in self.args_iter:
            return value
        if args:
            return args[0]
        raise RuntimeError(f"Expected positional argument for parameter {target}, but one was not passed in!")

    def get_attr(self, target, args, kwargs):
        return self.fetch_attr(target)

    def call_function(self, target, args, kwargs):
        return target(*args, **kwargs)

    def call_method(self, target, args, kwargs):
        return getattr(args[0], target)(*args[1:], **kwargs)

    def call_module(self, target, args, kwargs):
        return self.fetch_attr(target)(*args, **kwargs)

    def output(self, target, args, kwargs):
        return args[0]

    def fetch_attr(self, target: str):
        """What stands at a dotted name.

        Raises:
            RuntimeError: nothing does.
        """
        found = self.module
        for i, name in enumerate(target.split(".")):
            if not hasattr(found, name):
                raise RuntimeError(f"Node referenced nonexistent target {'.'.join(target.split('.')[:i + 1])}")
            found = getattr(found, name)
        return found

    def fetch_args_kwargs_from_env(self, n):
        return self.map_nodes_to_values(n.args, n), self.map_nodes_to_values(n.kwargs, n)

    def map_nodes_to_values(self, args, n):
        """Arguments with values in place of nodes.

        Raises:
            RuntimeError: a node was not run.
        """
        def value(used):
            if used not in self.env:
                raise RuntimeError(f"Node {n} referenced nonexistent value {used}! Run Graph.lint() to diagnose such issues")
            return self.env[used]
        return map_arg(args, value)


class TransformerTracer(TracerBase):
    """Adds to the new graph."""

    def __init__(self, graph):
        self.graph = graph


class Transformer(Interpreter):
    """Makes another graph: methods get proxies, and what they do with them is recorded."""

    def __init__(self, module):
        super().__init__(module)
        self.new_graph = Graph()
        self.tracer = TransformerTracer(self.new_graph)

    def placeholder(self, target, args, kwargs):
        return self.tracer.create_proxy("placeholder", target, args, kwargs)

    def get_attr(self, target, args, kwargs):
        return self.tracer.create_proxy("get_attr", target, args, kwargs)

    def call_module(self, target, args, kwargs):
        return self.tracer.create_proxy("call_module", target, args, kwargs)

    def transform(self) -> GraphModule:
        """The module of the new graph."""
        arm(self)
        try:
            result = self.run()
        finally:
            disarm(self)
        node = self.new_graph.output(map_values(result))
        node.type = self.graph.output_node().type
        return GraphModule(self.module, self.new_graph, type(self.module).__name__)


def map_values(result):
    """A result with nodes in place of proxies."""
    from .node import map_aggregate
    return map_aggregate(result, lambda x: x.node if isinstance(x, Proxy) else x)
