"""Random programs as functions: compiled calls against plain ones, on other values at each call."""
from __future__ import annotations

import ast
import warnings

import numpy as np

from .programs import Program, make
from .running import bits, show

CALLS = 6


class Inputs(ast.NodeTransformer):
    """Takes `make(...)` out of a program: its tensors become arguments."""

    def __init__(self):
        self.found: list[ast.Call] = []

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "make":
            self.found.append(node)
            return ast.copy_location(ast.Name(f"m{len(self.found)}", ast.Load()), node)
        return node


def is_replayable(line: str) -> bool:
    """Whether a line neither reads a value nor shows memory to NumPy."""
    return not any(word in line for word in ("out.append", "numpy", "manual_seed", "if a", "n0", "n1", "n2", "n3"))


def function_of(T, program: Program):
    """(the function, specifications of its arguments), or None if the program is not one."""
    if not all(map(is_replayable, program.lines)):
        return None
    tree, inputs = ast.parse("\n".join(program.lines)), Inputs()
    tree = inputs.visit(tree)
    body = ast.unparse(tree)
    names = dict.fromkeys(w for line in program.lines for w in [line.split(" ")[0]] if w.startswith("a") and w.isalnum())
    text = f"def f({', '.join(f'm{k + 1}' for k in range(len(inputs.found)))}):\n"
    text += "".join(f"    {line}\n" for line in body.split("\n"))
    text += "    got = locals()\n    return [got.get(n) for n in " + repr(list(names)) + "]\n"
    space = {"T": T, "F": T.nn.functional}
    exec(compile(text, f"<replay of {program.seed}>", "exec"), space)
    return space["f"], [ast.literal_eval(ast.Tuple(call.args, ast.Load())) for call in inputs.found]


def arguments(T, specs, call, exact):
    return [make(T, shape, *(rest[:1] or ("float32",)), (rest[1] if len(rest) > 1 else 0) + call, exact)
            for shape, *rest in specs]


def call_of(T, f, specs, call, exact):
    """What a call gives and does to its arguments, or its exception."""
    xs = arguments(T, specs, call, exact)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            results = f(*xs)
        except Exception as error:
            return type(error)
    return [show(x) if isinstance(x, T.Tensor) else x for x in [*results, *xs]]


def difference(T, program: Program):
    """(how many calls were replayed, what differed or None); None if the program has nothing to replay."""
    made = function_of(T, program)
    if made is None:
        return None
    f, specs = made
    g = T.compile(f)
    for call in range(CALLS):
        wanted, got = [], []
        for fn, into in ((f, wanted), (g, got)):
            T.manual_seed(call)
            into.append(call_of(T, fn, specs, call, program.exact))
            into.append(T.get_rng_state().tolist())
        if wanted[1] != got[1] or not alike(wanted[0], got[0]):
            return g.replays, f"call {call} of seed {program.seed}:\n{program}\n{T.explain(g)}"
    return g.replays, None


def alike(a, b) -> bool:
    if isinstance(a, type) or isinstance(b, type):
        return a is b
    return all(x is y if x is None or y is None else x[1:] == y[1:] and np.array_equal(bits(x[0]), bits(y[0]))
               for x, y in zip(a, b, strict=True))
