"""Models cut down to what leads to some of their inner values, which they return by name."""
from __future__ import annotations

import copy
import inspect
import math
import re
import warnings
from collections import Counter

from rushlight import fx, nn
from rushlight.fx.graph_module import _copied
from rushlight.vision import ops
from rushlight.vision.models.swin_transformer import ShiftedWindowAttention
from rushlight.vision.models.vision_transformer import of_size

CHOICE = "either `return_nodes`, or `train_return_nodes` and `eval_return_nodes` together, should be specified"


class NodePathTracer(fx.Tracer):
    """A tracer that knows where in the hierarchy of modules each node comes from.

    `node_to_qualname` is in the order of execution; a path that comes again gets a number.
    """

    def __init__(self, *args, leaf_modules=(), **options):
        super().__init__(*args, **options)
        self.leaf_modules, self.inside = tuple(leaf_modules), ""
        self.node_to_qualname, self.seen = {}, Counter()

    def is_leaf_module(self, m, module_qualified_name):
        return isinstance(m, self.leaf_modules) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m, forward, args, kwargs):
        outside, self.inside = self.inside, self.path_of_module(m)
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self.inside = outside

    def create_proxy(self, kind, target, args, kwargs, *rest, **options):
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **options)
        path = self.inside if kind == "call_module" else f"{self.inside}.{proxy.node}".lstrip(".")
        path = re.sub(r"(?<=.)_[0-9]+$", "", path)
        self.node_to_qualname[proxy.node] = f"{path}_{self.seen[path]}" if self.seen[path] else path
        self.seen[path] += 1
        return proxy


def traced(model, is_training, options, concrete_args):
    """(graph, {node: path}) of a model in one of its modes."""
    options = dict(options or {})
    layers = [kind for _, kind in inspect.getmembers(ops, inspect.isclass) if issubclass(kind, nn.Module)]
    options["leaf_modules"] = [*options.get("leaf_modules", ()), *layers, ShiftedWindowAttention]
    options["autowrap_functions"] = (*options.get("autowrap_functions", ()), of_size)
    options["autowrap_modules"] = (*options.get("autowrap_modules", ()), math, ops)
    tracer, before = NodePathTracer(**options), model.training
    try:
        return tracer.trace(model.train(is_training), concrete_args), tracer.node_to_qualname
    finally:
        model.train(before)


def get_graph_node_names(model, tracer_kwargs=None, suppress_diff_warning=False, concrete_args=None):
    """The names of a model's inner values, in order: in training mode, and in evaluation mode."""
    names = [list(traced(model, mode, tracer_kwargs, concrete_args)[1].values()) for mode in (True, False)]
    if not suppress_diff_warning:
        warn_of_difference(*names)
    return tuple(names)


def warn_of_difference(train_names, eval_names):
    """A warning where names of one mode are no names of the other."""
    if train_names == eval_names:
        return
    first, second = set(train_names), set(eval_names)
    kind = "train mode are a subsequence of those of eval mode" if first <= second else \
        "eval mode are a subsequence of those of train mode" if second <= first else \
        "train mode are different to those of eval mode"
    warnings.warn(f"The nodes of the model in {kind}. When choosing nodes for feature extraction, you may need "
                  "to specify output nodes for train and eval mode separately.", stacklevel=3)


class DualGraphModule(fx.GraphModule):
    """A module with one graph for training and one for evaluation; `train` and `eval` change between them."""

    def __init__(self, root, train_graph: fx.Graph, eval_graph: fx.Graph, class_name: str = "GraphModule"):
        super().__init__(root, train_graph, class_name)
        self.__dict__.update(train_graph=train_graph, eval_graph=eval_graph)
        for name in dict.fromkeys(n.target for n in eval_graph.nodes if n.op in ("get_attr", "call_module")):
            _copied(root, self, name)
        self.train(root.training)

    def train(self, mode=True):
        self.graph = self.train_graph if mode else self.eval_graph
        return super().train(mode)

    def __deepcopy__(self, memo):
        graphs = "_graph", "_code", "train_graph", "eval_graph"
        parts = nn.Module()
        parts.__dict__.update(copy.deepcopy({k: v for k, v in vars(self).items() if k not in graphs}, memo))
        return DualGraphModule(parts, copy.deepcopy(self.train_graph), copy.deepcopy(self.eval_graph), type(self).__name__)


def create_feature_extractor(model, return_nodes=None, train_return_nodes=None, eval_return_nodes=None,
                             tracer_kwargs=None, suppress_diff_warning=False, concrete_args=None):
    """A module that returns inner values of a model; what does not lead to them is left out.

    Args:
        return_nodes: names of values (or modules, for what they give), or {name: key in the result}.
        train_return_nodes, eval_return_nodes: the same for each mode by itself.
        tracer_kwargs: of NodePathTracer: `leaf_modules` are classes of modules that are not looked into.

    Returns:
        A module: inputs of the model -> {key: tensor}. Parameters are the model's own.

    Raises:
        ValueError: a name that there is not, or no names.

    Example:
        >>> features = create_feature_extractor(resnet18(), {"layer1": "low", "layer4": "high"})
        >>> [x.shape for x in features(torch.rand(1, 3, 64, 64)).values()]
        [torch.Size([1, 64, 16, 16]), torch.Size([1, 512, 2, 2])]
    """
    wishes = train_return_nodes, eval_return_nodes
    if (return_nodes is None) == (wishes == (None, None)) or any(w is None for w in wishes) and wishes != (None, None):
        raise ValueError(CHOICE)
    wishes = wishes if return_nodes is None else (return_nodes, return_nodes)
    found = [traced(model, mode, tracer_kwargs, concrete_args) for mode in (True, False)]
    if not suppress_diff_warning:
        warn_of_difference(*[list(paths.values()) for _, paths in found])
    graphs = [cut(graph, paths, by_name(wish)) for (graph, paths), wish in zip(found, wishes)]
    return DualGraphModule(model, *graphs, type(model).__name__)


def by_name(wish) -> dict[str, str]:
    pairs = wish.items() if isinstance(wish, dict) else [(name, name) for name in wish]
    return {str(name): str(key) for name, key in pairs}


def cut(graph, paths, wish: dict[str, str]):
    """The graph whose output is a dict of the last values under the wished paths."""
    outputs = {}
    for node, path in paths.items():
        parts = path.split(".")
        for name, key in wish.items():
            if ".".join(parts[:name.count(".") + 1]) == name:
                outputs.pop(key, None)
                outputs[key] = node         # in the order of execution
    missing = next((name for name, key in wish.items() if key not in outputs), None)
    if missing is not None:
        raise ValueError(f"node: '{missing}' is not present in model. Hint: use `get_graph_node_names` to make sure "
                         "the `return_nodes` you specified are present. It may even be that you need to specify "
                         "`train_return_nodes` and `eval_return_nodes` separately.")
    graph.erase_node(graph.output_node())
    graph.output(outputs)
    graph.eliminate_dead_code()
    return graph
