"""A model as a graph for TensorBoard: what one forward pass records, in the scopes of its modules."""
from __future__ import annotations

from collections import Counter
from contextlib import contextmanager

from ... import storage as storages
from ...autograd import recall
from ...autograd.grad_mode import no_grad
from ...nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from ...tensor import Tensor
from ...trace import record
from .events import entry, part, shape, whole


def graph_def(model, inputs, verbose: bool = False) -> bytes:
    """A GraphDef of the primitives that `model(*inputs)` records in evaluation mode."""
    arguments = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    drawing = Drawing(model)
    drawing.name_leaves(model, tensors_in(arguments))
    with evaluated(model), no_grad(), drawing.watched():
        results = model(*arguments)
        drawing.look()
    drawing.end(tensors_in(results))
    if verbose:
        print("\n".join(drawing.lines))
    return b"".join(part(1, node) for node in drawing.nodes) + part(4, whole(1, 22))


def tensors_in(x) -> list:
    """The tensors in nested containers, in order."""
    if isinstance(x, Tensor):
        return [x]
    inner = x.values() if isinstance(x, dict) else x if isinstance(x, (tuple, list)) else ()
    return [t for part in inner for t in tensors_in(part)]


@contextmanager
def evaluated(model):
    """Evaluation mode for a while; each module gets back the mode that it had."""
    before = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


class Drawing:
    """The graph so far: names of nodes by what was recorded, and the scope that is open."""

    def __init__(self, model):
        self.titles = titles(model)
        self.open, self.names, self.used = [], {}, Counter()
        self.nodes, self.lines, self.kept = [], [], []

    # -- what is there before ---------------------------------------------------------------------
    def name_leaves(self, model, inputs):
        for prefix, module in model.named_modules(remove_duplicate=False):
            for name, x in (*module._parameters.items(), *module._buffers.items()):
                if x is not None:
                    self.leaf(x, f"{self.titles.get(prefix) or self.titles['']}/{name}", "Parameter")
        for k, x in enumerate(inputs):
            self.leaf(x, f"input/input.{k}", "IO Node", is_shown=True)

    def leaf(self, x, name, kind, is_shown=False):
        node = x.storage.now()
        self.kept.append(node)
        self.names[id(node)] = (name, kind, tuple(x.shape))
        if is_shown:
            self.shown(node)

    def shown(self, node) -> str:
        """The name of a node's vertex; leaves are drawn when somebody reads them."""
        found = self.names.get(id(node))
        if found is None:
            found = self.unknown(node)
        if isinstance(found, tuple):
            name, kind, sizes = found
            self.names[id(node)] = found = self.add(name, kind, (), sizes)
        return found

    def unknown(self, node):
        """A value from before that is neither an input nor a parameter: a constant."""
        self.kept.append(node)
        sizes = (node.buffer.size,) if hasattr(node.buffer, "size") else ()
        return f"{self.scope()}/constant", "Constant", sizes

    # -- what is recorded -------------------------------------------------------------------------
    @contextmanager
    def watched(self):
        """Look at what was recorded whenever a module begins or ends, and before a flush."""
        record.pending.flush()
        flush = record.pending.flush

        def look_first():
            self.look()
            flush()
        handles = [register_module_forward_pre_hook(self.enter),
                   register_module_forward_hook(self.leave, always_call=True)]
        record.pending.flush = storages.run_pending = look_first
        self.seen = set()
        recall.paused.append(self)
        try:
            yield
        finally:
            recall.paused.remove(self)
            record.pending.flush = storages.run_pending = flush
            for handle in handles:
                handle.remove()

    def enter(self, module, args):
        self.look()
        self.open.append(module)

    def leave(self, module, args, output):
        self.look()
        self.open.pop()

    def scope(self) -> str:
        """The innermost module's title; modules from elsewhere go by their types."""
        for module in reversed(self.open):
            return self.titles.get(module) or f"{self.titles['']}/{type(module).__name__}"
        return self.titles[""]

    def look(self):
        """Draw what has been recorded since the last look."""
        for weak in record.pending.nodes:
            node = weak()
            if node is not None and node.buffer is None and id(node) not in self.seen:
                self.seen.add(id(node))
                self.kept.append(node)
                self.draw(node)

    def draw(self, node):
        operands = [self.shown(x) for x in node.operands[::2]]
        steps = getattr(node.sig, "steps", None)
        prims = [node.sig.prim] if steps is None else [sig.prim for sig, *_ in steps]
        name = "_".join(p.name for p in prims[:3])
        self.names[id(node)] = self.add(f"{self.scope()}/{name}", name, operands, node.sig.shape)

    def end(self, results):
        for k, x in enumerate(results, 1):
            self.add(f"output/output.{k}", "IO Node", [self.shown(x.storage.now())], tuple(x.shape))

    def add(self, name, kind, operands, sizes) -> str:
        """Append a NodeDef; the n-th of a name is numbered."""
        self.used[name] += 1
        name = name if self.used[name] == 1 else f"{name}_{self.used[name] - 1}"
        output = part(1, part(7, shape(sizes)))
        self.nodes.append(part(1, name) + part(2, kind) + b"".join(part(3, x) for x in operands)
                          + entry(5, "_output_shapes", output))
        self.lines.append(f"{name}: {list(sizes)} = {kind}({', '.join(operands)})")
        return name


def titles(model) -> dict:
    """The scope of each module, by the module and by its path: Net/Sequential[layers]/Linear[0]."""
    found = {}
    for path, module in model.named_modules(remove_duplicate=False):
        outer, _, name = path.rpartition(".")
        title = type(module).__name__
        found[path] = f"{found[outer]}/{title}[{name}]" if path else title
        found.setdefault(module, found[path])
    return found
