"""torch.fx: the same graphs, code and results under PyTorch and rushlight."""
import copy
import importlib
import math
import operator
import pickle

import pytest

torch = pytest.importorskip("torch")
import rushlight                # noqa: E402

ROOMS = {"torch": torch, "rushlight": rushlight}
for _T in ROOMS.values():
    importlib.import_module(f"{_T.__name__}.fx").wrap("outside")


def outside(x):
    """Looks at values, so it cannot be traced."""
    return x * 2 if math.isfinite(float(x.sum())) else x


def block(T):
    class Block(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = T.nn.Sequential(T.nn.Linear(4, 5), T.nn.ReLU())
            self.w = T.nn.Parameter(T.ones(5))
            self.register_buffer("b", T.ones(5))
            self.k = T.ones(5)

        def forward(self, x, y=2, *, flag=None):
            z = self.layers(x) + self.w * y - self.b / self.k
            z = T.relu(z)[:, 1:3]
            n, _ = z.shape
            z -= 1
            return {"out": z.sum(dim=-1).clamp(min=0.0), "n": [n, -z, 3 - z, 2 ** z, T.cat([z, z], 1), z.T, abs(z)]}
    T.manual_seed(0)
    return Block()


def shown(value):
    if isinstance(value, dict):
        return {k: shown(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(v) for v in value]
    return [round(v, 4) for v in value.flatten().tolist()] if hasattr(value, "flatten") else value


def traced(T):
    m = block(T)
    g = T.fx.symbolic_trace(m)
    x = T.ones(3, 4)
    return g.code, str(g.graph), type(g).__name__, shown(g(x)) == shown(m(x)), shown(g(x)), sorted(g.state_dict()), \
        [(n.op, n.name, sorted(map(str, n.users))) for n in g.graph.nodes]


def functions(T):
    def f(x, y):
        a = (x @ y.T).reshape(-1)
        c, d = a.split(2)
        return T.add(c, d), T.exp(a), (a > 1) & (a < 3), outside(a), abs(x), x[..., None, 1:], [y.mT, {"a": 1.5, "b": None}]
    g = T.fx.symbolic_trace(f)
    h = T.fx.symbolic_trace(f, concrete_args={"y": T.ones(2, 2)})
    x = T.tensor([[1., 2.], [3., 4.]])
    return g.code.split("def")[1], shown(g(x, x)), [n.op for n in h.graph.nodes][:3]


def refused(T):
    def branch(x):
        return x if x.sum() > 0 else -x

    def loop(x):
        return list(x)
    found = []
    for f in (branch, loop, lambda x: len(x), lambda x: x + object()):
        try:
            T.fx.symbolic_trace(f)
        except Exception as error:
            found.append((type(error).__name__, str(error)[:40]))
    return found


def leaves(T):
    class Whole(T.fx.Tracer):
        def is_leaf_module(self, m, name):
            return name == "layers" or super().is_leaf_module(m, name)
    m = block(T)
    g = T.fx.GraphModule(m, Whole().trace(m))
    return str(g.graph), g.code, shown(g(T.ones(1, 4)))


def edited(T):
    g = T.fx.symbolic_trace(lambda x, y: T.relu(x + y) * 2)
    for node in g.graph.nodes:
        if node.op == "call_function" and node.target is operator.add:
            with g.graph.inserting_after(node):
                new = g.graph.call_function(T.sub, node.args)
                node.replace_all_uses_with(new)
            g.graph.erase_node(node)
    g.graph.lint()
    g.recompile()
    dead = T.fx.symbolic_trace(lambda x: (x + 1, x * 3)[0])
    removed = dead.graph.eliminate_dead_code()
    dead.recompile()
    with pytest.raises(RuntimeError, match="still had 1 users"):
        g.graph.erase_node(new)
    graph = T.fx.Graph()
    a = graph.placeholder("a")
    graph.output(graph.call_method("neg", (graph.call_function(T.exp, (a,)),)))
    made = T.fx.GraphModule({}, graph)
    return g.code, g(T.ones(1), T.zeros(1)).tolist(), removed, dead.code, made.code, shown(made(T.zeros(1))), \
        [n.name for n in reversed(graph.nodes)], len(graph.nodes)


def replaced(T):
    def f(x, y):
        a = T.relu(x) + T.relu(y)
        b = T.relu(a) + T.relu(x)
        return b.sum() + T.relu(T.relu(y))
    g = T.fx.symbolic_trace(f)
    one = len(T.fx.replace_pattern(g, lambda a, b: T.relu(a) + T.relu(b), lambda a, b: T.maximum(a, b)))
    two = len(T.fx.replace_pattern(g, lambda v: T.relu(v), lambda v: T.sigmoid(v)))
    return one, two, g.code, shown(g(T.ones(2), T.ones(2) * 2))


def interpreted(T):
    seen = []

    class Log(T.fx.Interpreter):
        def run_node(self, n):
            seen.append(n.name)
            return super().run_node(n)

        def call_function(self, target, args, kwargs):
            return super().call_function(T.sigmoid if target is T.relu else target, args, kwargs)

    class Other(T.fx.Transformer):
        def call_function(self, target, args, kwargs):
            return T.tanh(*args) if target is T.relu else super().call_function(target, args, kwargs)
    g = T.fx.symbolic_trace(block(T))
    x = T.ones(1, 4)
    importlib.import_module(f"{T.__name__}.fx.passes.shape_prop").ShapeProp(g).propagate(x)
    shapes = [(n.name, tuple(n.meta["tensor_meta"].shape)) for n in g.graph.nodes if hasattr(n.meta.get("tensor_meta"), "shape")]
    return shown(Log(g).run(x)), seen, Other(g).transform().code, shapes


def copied(T):
    g = T.fx.symbolic_trace(block(T))
    h = copy.deepcopy(g)
    with T.no_grad():
        h.w.zero_()
    small = T.fx.symbolic_trace(T.nn.Sequential(T.nn.Linear(2, 2), T.nn.ReLU()))
    again = pickle.loads(pickle.dumps(small))
    return g.w.tolist(), h.w.tolist(), h.code == g.code, shown(again(T.ones(1, 2))) == shown(small(T.ones(1, 2))), \
        [n.target for n in again.graph.nodes], small.print_readable(print_output=False).startswith("class ")


def trained(T):
    g = T.fx.symbolic_trace(block(T))
    o = T.optim.SGD(g.parameters(), 0.1)
    losses = []
    for _ in range(3):
        loss = g(T.ones(2, 4))["out"].sum()
        o.zero_grad()
        loss.backward()
        o.step()
        losses.append(round(loss.item(), 4))
    g.add_submodule("extra.one", T.nn.Linear(1, 1))
    found = [n for n, _ in g.named_modules()]
    g.delete_all_unused_submodules()
    return losses, found, [n for n, _ in g.named_modules()]


PROGRAMS = (traced, functions, refused, leaves, edited, replaced, interpreted, copied, trained)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_same_answers(program):
    assert program(rushlight) == program(torch)


def test_table_of_nodes(capsys):
    rushlight.fx.symbolic_trace(lambda x: x.sum(0) + 1).graph.print_tabular()
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["opcode", "name", "target", "args", "kwargs"]
    assert [r.split()[0] for r in rows] == ["placeholder", "call_method", "call_function", "output"]


def test_tracing_leaves_no_guards_behind():
    from rushlight.nn import Module
    call = Module.__call__
    rushlight.fx.symbolic_trace(block(rushlight))
    assert Module.__call__ is call
