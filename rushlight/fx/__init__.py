"""torch.fx: programs as graphs of calls, which can be looked at, changed, and run or written out as Python again."""
from .graph import Graph as Graph
from .graph_module import GraphModule as GraphModule
from .interpreter import Interpreter as Interpreter, Transformer as Transformer
from .node import Node as Node, has_side_effect as has_side_effect, map_arg as map_arg
from .proxy import Proxy as Proxy, TraceError as TraceError
from .subgraph_rewriter import replace_pattern as replace_pattern
from ._symbolic_trace import Tracer as Tracer, symbolic_trace as symbolic_trace, wrap as wrap
