"""The idea of rushlight in one file: record, differentiate, fuse, compile, run.

    python docs/from_scratch.py

It needs NumPy and llvmlite and runs from top to bottom. What does not serve the idea is left out: all
values are float64 matrices, there are seven operations, one thread and no vectors. At the end a small
network is trained, and what rushlight claims is asserted.
"""
from ctypes import CFUNCTYPE, c_int64, c_void_p
from functools import cache
from itertools import count

import llvmlite.binding as llvm
import numpy as np

# == 1. Recording ===========================================================================================
# An operation does nothing. It appends a node: which operation, on which operands, of which shape.
# A node that has a value is there already, or has been computed.

class Node:
    def __init__(self, op, shape, inputs=(), value=None):
        self.op, self.shape, self.inputs, self.value = op, shape, inputs, value
        self.readers = 0
        for node, _ in inputs:
            node.readers += 1


# A tensor is a node seen through a layout. Here a layout is one bit: as it lies, or transposed. So
# transposing records nothing and moves nothing. `tape` and `age` are for section 3.

ages = count()


class Tensor:
    def __init__(self, node, flipped=False):
        self.node, self.flipped = node, flipped
        self.tape, self.age = [], next(ages)

    @property
    def shape(self):
        return self.node.shape[::-1] if self.flipped else self.node.shape

    @property
    def T(self):
        y = Tensor(self.node, not self.flipped)
        y.tape = [(self, lambda g: g.T)]
        return y

    def numpy(self):
        """Looking at a value is what makes it be computed."""
        run(self.node)
        return self.node.value.T if self.flipped else self.node.value

    def item(self):
        return self.numpy().item()

    def __add__(self, other): return pointwise("add", self, other)
    def __sub__(self, other): return pointwise("sub", self, other)
    def __mul__(self, other): return pointwise("mul", self, other)
    def __truediv__(self, other): return pointwise("div", self, other)
    def __rsub__(self, other): return pointwise("sub", other, self)
    def __rtruediv__(self, other): return pointwise("div", other, self)
    def __neg__(self): return 0.0 - self
    def __matmul__(self, other): return matmul(self, other)
    __radd__, __rmul__ = __add__, __mul__


def tensor(x):
    """A matrix of given values. A number is a 1x1 matrix: an argument of kernels, never part of their code."""
    if isinstance(x, Tensor):
        return x
    value = np.array(x, np.float64, ndmin=2, order="C")
    return Tensor(Node("value", value.shape, value=value))


def record(op, shape, *xs):
    return Tensor(Node(op, shape, [(x.node, x.flipped) for x in xs]))


# == 2. Primitives: one table ===============================================================================
# A record holds what a primitive means (in NumPy: that is the definition, and what compiled code is
# tested against), its instruction in kernels, and its gradient rules, written in public operations.

class Primitive:
    def __init__(self, meaning, instruction, *rules):
        self.meaning, self.instruction, self.rules = meaning, instruction, rules


POINTWISE = {
    "add": Primitive(np.add, "fadd double {}, {}", lambda g, y, a, b: g, lambda g, y, a, b: g),
    "sub": Primitive(np.subtract, "fsub double {}, {}", lambda g, y, a, b: g, lambda g, y, a, b: -g),
    "mul": Primitive(np.multiply, "fmul double {}, {}", lambda g, y, a, b: g * b, lambda g, y, a, b: g * a),
    "div": Primitive(np.divide, "fdiv double {}, {}", lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b),
    "exp": Primitive(np.exp, "call double @llvm.exp.f64(double {})", lambda g, y, x: g * y),
}
MEANINGS = {op: p.meaning for op, p in POINTWISE.items()} | {
    "sum": lambda x: x.sum(1, keepdims=True),       # the one reduction: [m, n] -> [m, 1]
    "matmul": lambda a, b: a @ b,                   # runs by its meaning: a host primitive
}


def pointwise(op, *xs):
    xs = [tensor(x) for x in xs]
    y = record(op, np.broadcast_shapes(*[x.shape for x in xs]), *xs)
    y.tape = [(x, pulled(rule, y, xs, x.shape)) for x, rule in zip(xs, POINTWISE[op].rules)]
    return y


def pulled(rule, y, xs, shape):
    return lambda g: unbroadcast(rule(g, y, *xs), shape)


def row_sums(x):
    y = record("sum", (x.shape[0], 1), x)
    y.tape = [(x, lambda g: g + tensor(np.zeros(x.shape)))]
    return y


def matmul(a, b):
    y = record("matmul", (a.shape[0], b.shape[1]), a, b)
    y.tape = [(a, lambda g: g @ b.T), (b, lambda g: a.T @ g)]
    return y


# Everything else is a composition. Fusion (section 4) makes compositions cheap, so they are kept plain.

def exp(x): return pointwise("exp", x)
def tanh(x): return 1.0 - 2.0 / (exp(2.0 * x) + 1.0)
def total(x): return row_sums(row_sums(x).T)
def mean(x): return total(x) / (x.shape[0] * x.shape[1])


def unbroadcast(g, shape):
    """Sum a gradient over the axes along which its operand was repeated."""
    if shape[1] == 1 and g.shape[1] > 1:
        g = row_sums(g)
    if shape[0] == 1 and g.shape[0] > 1:
        g = row_sums(g.T).T
    return g


# == 3. Gradients are operations like any other ============================================================
# The tape is walked from young to old. Rules call public operations, so a backward pass is recorded,
# fused and compiled like a forward pass, and can be differentiated again.

def gradients(y, inputs):
    grads = {id(y): tensor(1.0)}
    for x in sorted(ancestors(y), key=lambda x: -x.age):
        for parent, rule in x.tape:
            part, known = rule(grads[id(x)]), grads.get(id(parent))
            grads[id(parent)] = part if known is None else known + part
    return [grads[id(x)] for x in inputs]


def ancestors(y):
    found, todo = {}, [y]
    while todo:
        x = todo.pop()
        if id(x) not in found:
            found[id(x)] = x
            todo += [parent for parent, _ in x.tape]
    return found.values()


# == 4. From nodes to kernels ===============================================================================
# A kernel computes one node and what can be computed on the way: an operand is fused if it is pointwise,
# still pending, has the shape that the kernel walks and no other reader. Everything else is a leaf, in
# memory. What the kernel does is an expression over leaves without a single size in it: its key.

def expression(node):
    """A kernel for `node` as nested tuples, like ("sum", ("mul", 0, 0)), and its leaves [(node, flipped)]."""
    leaves, space = [], walked(node)

    def see(n, flipped):
        shape = n.shape[::-1] if flipped else n.shape
        if n.op in POINTWISE and n.value is None and n.readers == 1 and shape == space:
            return inside(n, flipped)
        if (n, flipped) not in leaves:
            leaves.append((n, flipped))
        return leaves.index((n, flipped))

    def inside(n, flipped):
        return (n.op, *[see(m, f ^ flipped) for m, f in n.inputs])

    return inside(node, False), leaves


def walked(node):
    """The shape whose elements a kernel visits: a reduction's operand, else the result."""
    if node.op != "sum":
        return node.shape
    (source, flipped), = node.inputs
    return source.shape[::-1] if flipped else source.shape


# == 5. From expressions to LLVM ============================================================================
# Text is the quickest way. Sizes, strides and addresses are words in `args`: [result, columns, then
# address, row stride, column stride of each leaf]. To broadcast is to have stride 0. The call does the
# rows [lo, hi), so threads could share them; each row is summed in order, so that would not change a bit.

MODULE = """
declare double @llvm.exp.f64(double)
define void @kernel(ptr %args, i64 %lo, i64 %hi) {{
entry:
{words}
  br label %rows
rows:
  %i = phi i64 [%lo, %entry], [%i.next, %row.end]
  %row.left = icmp slt i64 %i, %hi
  br i1 %row.left, label %columns, label %done
columns:
  %j = phi i64 [0, %rows], [%j.next, %element]
  %sum = phi double [0.0, %rows], [%sum.next, %element]
  %column.left = icmp slt i64 %j, %n
  br i1 %column.left, label %element, label %row.end
element:
{element}
  %j.next = add i64 %j, 1
  br label %columns
row.end:
{row_end}
  %i.next = add i64 %i, 1
  br label %rows
done:
  ret void
}}"""


class Emitter:
    """Straight-line code with numbered values."""

    def __init__(self):
        self.lines = []

    def __call__(self, instruction):
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def value(self, tree):
        """The element (i, j) of an expression."""
        if isinstance(tree, int):
            return self(f"load double, ptr {self.place(tree)}")
        return self(POINTWISE[tree[0]].instruction.format(*[self.value(t) for t in tree[1:]]))

    def place(self, leaf):
        row, column = self(f"mul i64 %i, %row{leaf}"), self(f"mul i64 %j, %column{leaf}")
        return self(f"getelementptr double, ptr %leaf{leaf}, i64 {self(f'add i64 {row}, {column}')}")


def emit(tree, leaf_count):
    words = load_words(["ptr %out", "i64 %n"] + [
        f"{kind} %{name}{k}" for k in range(leaf_count) for kind, name in
        (("ptr", "leaf"), ("i64", "row"), ("i64", "column"))])
    e = Emitter()
    if tree[0] == "sum":
        e.lines.append(f"  %sum.next = fadd double %sum, {e.value(tree[1])}")
        row_end = "  %place = getelementptr double, ptr %out, i64 %i\n  store double %sum, ptr %place"
    else:
        value, at = e.value(tree), e(f"add i64 {e('mul i64 %i, %n')}, %j")
        place = e(f"getelementptr double, ptr %out, i64 {at}")
        e.lines += [f"  store double {value}, ptr {place}", "  %sum.next = fadd double %sum, 0.0"]
        row_end = ""
    return MODULE.format(words=words, element="\n".join(e.lines), row_end=row_end)


def load_words(names):
    lines = []
    for k, word in enumerate(names):
        kind, name = word.split()
        lines += [f"  %at{k} = getelementptr i64, ptr %args, i64 {k}", f"  {name} = load {kind}, ptr %at{k}"]
    return "\n".join(lines)


llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
engines = []                    # machine code lives as long as these


@cache
def compiled(tree, leaf_count):
    """Machine code for an expression; made once for each structure, whatever the sizes."""
    module = llvm.parse_assembly(emit(tree, leaf_count))
    machine = llvm.Target.from_default_triple().create_target_machine(opt=1)
    engines.append(llvm.create_mcjit_compiler(module, machine))
    engines[-1].finalize_object()
    return CFUNCTYPE(None, c_void_p, c_int64, c_int64)(engines[-1].get_function_address("kernel"))


# == 6. Running =============================================================================================
# A kernel runs when somebody looks at its result. Leaves come first; then addresses and strides of the
# moment are bound to the kernel. A node that is computed forgets its inputs: memory goes by itself.

def run(node):
    if node.value is not None:
        return
    if node.op == "matmul":
        node.value = by_meaning(node, run)
    else:
        tree, leaves = expression(node)
        for leaf, _ in leaves:
            run(leaf)
        node.value = call(compiled(tree, len(leaves)), node, leaves)
    node.inputs = ()


def call(kernel, node, leaves):
    out, space = np.empty(node.shape), walked(node)
    words = [out.ctypes.data, space[1]]
    for leaf, flipped in leaves:
        words += [leaf.value.ctypes.data, *strides(leaf.value.T if flipped else leaf.value)]
    args = np.array(words, np.int64)
    kernel(args.ctypes.data, 0, space[0])
    return out


def strides(array):
    """In elements; 0 along an axis that is repeated."""
    return [s // 8 if n > 1 else 0 for s, n in zip(array.strides, array.shape)]


def by_meaning(node, prepare):
    arrays = []
    for n, flipped in node.inputs:
        prepare(n)
        arrays.append(n.value.T if flipped else n.value)
    return np.ascontiguousarray(MEANINGS[node.op](*arrays))


def reference(node):
    """The definition: any graph by the NumPy meanings of its nodes, nothing fused, nothing compiled."""
    if node.value is None:
        node.value = by_meaning(node, reference)


# == 7. It works ============================================================================================

def build_loss(x, target, w1, b1, w2):
    hidden = tanh(x @ w1 + b1)
    error = hidden @ w2 - target
    return mean(error * error)


def draw(rng, *shape):
    return tensor(rng.normal(size=shape))


def same_expression_twice():
    """Compiled and reference agree; a new size compiles nothing; fusion leaves one kernel for four operations."""
    rng = np.random.default_rng(0)
    before = len(engines)
    for rows in (5, 70):
        data = rng.normal(size=(rows, 3)), rng.normal(size=(3, rows))
        (a, b), (c, d) = [[tensor(x) for x in data] for _ in range(2)]
        y, z = (row_sums(exp(u * v.T) + 2.0) for u, v in ((a, b), (c, d)))
        reference(z.node)
        assert np.allclose(y.numpy(), z.numpy(), rtol=1e-14)
    assert len(engines) == before + 1, "one kernel, for both sizes"
    print("a kernel for", expression(row_sums(exp(a * b.T) + 2.0).node)[0])


def gradients_are_right():
    """Against finite differences, and a second derivative."""
    rng = np.random.default_rng(1)
    x, t, w1, b1, w2 = draw(rng, 6, 3), draw(rng, 6, 2), draw(rng, 3, 4), draw(rng, 1, 4), draw(rng, 4, 2)
    exact = gradients(build_loss(x, t, w1, b1, w2), [b1])[0].numpy()[0, 2]
    step = np.zeros((1, 4))
    step[0, 2] = 1e-6
    up, down = (build_loss(x, t, w1, tensor(b1.numpy() + s), w2).item() for s in (step, -step))
    assert abs(exact - (up - down) / 2e-6) < 1e-8
    p = tensor(0.3)
    first, = gradients(tanh(p), [p])
    second, = gradients(first, [p])
    assert abs(second.item() - -2 * np.tanh(0.3) * (1 - np.tanh(0.3) ** 2)) < 1e-12
    print("gradients agree with finite differences, the second derivative of tanh with mathematics")


def training():
    """A network learns a product of two inputs. After the second step, no step compiles anything."""
    rng = np.random.default_rng(2)
    data = rng.uniform(-1, 1, (200, 2))
    x, target = tensor(data), tensor(data[:, :1] * data[:, 1:])
    parameters = [draw(rng, 2, 16), draw(rng, 1, 16), draw(rng, 16, 1) * 0.2]
    losses, kernels = [], []
    for step in range(400):
        loss = build_loss(x, target, *parameters)
        rate = 0.2 / (1 + step / 400)           # changes in every step: a word, not code
        parameters = [Tensor((p - g * rate).node) for p, g in zip(parameters, gradients(loss, parameters))]
        losses.append(loss.item())
        kernels.append(len(engines))
    assert losses[-1] < 0.2 * losses[0] and kernels[-1] == kernels[2]
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f} in {len(losses)} steps by {kernels[-1]} kernels")


if __name__ == "__main__":
    same_expression_twice()
    gradients_are_right()
    training()
