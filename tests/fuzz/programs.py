"""A seeded generator of random programs over the public API.

A program is a list of lines of Python over `T` (the library), `np`, `make` (an array of small
numbers as a tensor) and `out` (what the program reads). Each line is tried while the program is
written, on the reference back end, so that it is known to be legal and its shapes are known.

Two kinds: `exact` programs hold small whole numbers in every float, so that every order of summation
gives the same and any difference is an error; `smooth` programs use the transcendental functions and
are compared within a tolerance, so they never branch on a computed value.
"""
from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from rushlight.layout import layout, overlaps_itself

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTS = ("int64", "int32", "uint8", "int16", "int8")
LIMITS = {"float32": 1000, "float64": 4000, "float16": 250, "bfloat16": 100, "int64": 4000, "int32": 4000}
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 32, 33, 40)
BIG = ((16385,), (130, 129), (3, 300), (300, 3), (2, 3000), (3000, 2), (5, 17, 33), (33, 1, 300), (9, 8, 7, 6))
NUMEL = 20000


class Program(NamedTuple):
    seed: int
    exact: bool
    lines: list

    def __str__(self):
        return "\n".join(self.lines)


def make(T, shape, dtype="float32", salt=0, exact=True):
    """A tensor of small numbers that look random; whole ones if `exact`."""
    n = int(np.prod(shape))
    a = (np.arange(n) * 7 + salt * 13 + np.arange(n) // 5 * 3) % 11 % 7 - 3
    if not exact:
        a = np.sin(a * 1.3 + np.arange(n) * 0.37 + salt)
    if dtype == "bool":
        a = a > 0
    elif dtype == "uint8":
        a = np.abs(a)
    a = np.asarray(a).reshape(shape)
    return T.tensor(a, dtype=getattr(T, dtype)) if n else T.zeros(shape, dtype=getattr(T, dtype))


class Writer:
    """Writes one program; `names` holds what its lines have made so far."""

    def __init__(self, T, seed: int, exact: bool):
        self.T, self.rng, self.exact = T, random.Random(seed), exact
        self.lines: list[str] = []
        self.names = namespace(T, exact)
        self.count = 0
        self.sizes = self.rng.sample(SIZES, 3)
        self.autograd = self.rng.random() < 0.4
        self.main = self.rng.choices(FLOATS, (8, 2, 1, 1))[0]

    # -- choices ------------------------------------------------------------------------------------
    def choice(self, options):
        return self.rng.choice(list(options))

    def chance(self, p) -> bool:
        return self.rng.random() < p

    def new(self) -> str:
        self.count += 1
        return f"a{self.count}"

    def tensors(self, wanted=lambda t: True):
        return [k for k, v in self.names.items() if isinstance(v, self.T.Tensor) and wanted(v)]

    def pick(self, wanted=lambda t: True):
        """A tensor's name, recent ones preferred; LookupError if there is none."""
        found = self.tensors(wanted)
        if not found:
            raise LookupError
        return found[-1 - int(len(found) * self.rng.random() ** 1.7)]

    def of(self, name):
        return self.names[name]

    def shape(self):
        if self.chance(0.06):
            return self.choice(BIG)
        if self.chance(0.04):
            return self.choice(((0,), (2, 0), (0, 3)))
        n = self.rng.choices((0, 1, 2, 3, 4), (1, 3, 6, 3, 1))[0]
        return tuple(self.choice((*self.sizes, 1)) if self.chance(0.3) else self.choice(self.sizes) for _ in range(n))

    def dtype(self):
        if not self.exact:
            return self.main
        return self.main if self.chance(0.75) else self.choice(FLOATS + INTS + ("bool",))

    def number(self):
        return self.choice((0, 1, 2, -1, -2, 3)) if self.exact else round(self.rng.uniform(-1.5, 1.5), 3)

    def dim(self, t):
        return self.rng.randrange(-t.dim(), t.dim()) if t.dim() else self.choice((0, -1))

    def partner(self, t, same_dtype=False):
        """A tensor whose shape broadcasts with that of t, or a fresh one."""
        def fits(u):
            return broadcasts(u.shape, t.shape) and (not same_dtype or u.dtype == t.dtype)
        if self.chance(0.85):
            return self.pick(fits)
        return self.fresh(self.narrowed(t.shape), str(t.dtype).split(".")[1])

    def apart(self, name, t):
        """The tensor `name`, copied if it lies in the memory of t: overlapping writes are undefined in PyTorch."""
        u = self.names.get(name)
        return f"{name}.clone()" if u is not None and u.storage is t.storage and u is not t else name

    def narrowed(self, shape):
        """A shape that broadcasts to `shape`."""
        lead = self.rng.randrange(len(shape) + 1) if self.chance(0.3) else 0
        return tuple(1 if self.chance(0.2) else n for n in shape[lead:])

    def fresh(self, shape, dtype):
        return f"make({tuple(shape)}, {dtype!r}, {self.rng.randrange(50)})"

    def index(self, shape, ints=True):
        """The text of a basic index."""
        parts = []
        for n in shape:
            kind = self.rng.random()
            if kind < 0.35 or not n:
                parts.append(":")
            elif kind < 0.5 and ints:
                parts.append(str(self.rng.randrange(-n, n)))
            else:
                a, b = sorted((self.rng.randrange(n + 1), self.rng.randrange(n + 1)))
                step = self.choice(("", "", ":2", ":3"))
                b = b if self.chance(0.9) else b + 3
                parts.append(f"{a if a or self.chance(0.5) else ''}:{b - n if self.chance(0.2) and b < n else b}{step}")
        if len(parts) > 1 and self.chance(0.2):
            parts = parts[:self.rng.randrange(1, len(parts))]
        elif self.chance(0.15):
            parts.insert(self.rng.randrange(len(parts) + 1), "None")
        if self.chance(0.1):
            parts = ["..."] + parts
        return ", ".join(parts) or "..."

    # -- writing ------------------------------------------------------------------------------------
    def write(self, line: str) -> bool:
        """Keep the line if it runs and its results stay small."""
        try:
            exec(line, self.names)
            for name in targets(line):
                self.check(name)
        except Exception:
            self.replay()
            return False
        self.lines.append(line)
        return True

    def replay(self):
        """Back to the state after the last line that was kept."""
        self.T.manual_seed(0)
        self.names = namespace(self.T, self.exact)
        for line in self.lines:
            exec(line, self.names)

    def check(self, name):
        t = self.names.get(name)
        if not isinstance(t, self.T.Tensor):
            return
        if t.numel() > NUMEL:
            raise ValueError("too big")
        a = np.asarray(t.detach().to(self.T.float64).tolist(), np.float64)
        a = a[np.isfinite(a)]
        kind = str(t.dtype).split(".")[1]
        if a.size and np.abs(a).max() > (LIMITS.get(kind, 4000) if self.exact else 50):
            raise ValueError("too large")
        if self.exact and kind in FLOATS and (a * 4 != np.round(a * 4)).any():
            raise ValueError("not exact")

    def program(self, length: int) -> list[str]:
        for _ in range(3):
            self.try_line(create)
        while len(self.lines) < length:
            self.try_line(self.rng.choices(*makers(self.exact, self.autograd))[0])
        return self.lines

    def try_line(self, maker):
        """One more line, if this maker finds what it needs."""
        try:
            line = maker(self)
        except (LookupError, ValueError):
            return
        if line:
            self.write(line)


def namespace(T, exact=True) -> dict:
    """What a program's lines see."""
    return {"T": T, "np": np, "F": T.nn.functional, "out": [], "__builtins__": __builtins__,
            "make": lambda shape, dtype="float32", salt=0: make(T, shape, dtype, salt, exact)}


def broadcasts(a, b) -> bool:
    return all(m == n or m == 1 or n == 1 for m, n in zip(reversed(a), reversed(b)))


def targets(line: str):
    """Names that a line may have changed (a view's base is checked when it is used)."""
    import re
    return dict.fromkeys(re.findall(r"\ba\d+\b", line))


# -- lines ------------------------------------------------------------------------------------------
def create(w):
    kind = w.rng.random()
    shape, dtype = w.shape(), w.dtype()
    if kind < 0.55:
        made = w.fresh(shape, dtype)
        if w.autograd and dtype in FLOATS and w.chance(0.6):
            made += ".requires_grad_()"
    elif kind < 0.7:
        made = f"T.{w.choice(('zeros', 'ones'))}({shape}, dtype=T.{dtype})"
    elif kind < 0.8:
        made = f"T.full({shape}, {w.number()}, dtype=T.{w.main})"
    elif kind < 0.9:
        made = f"T.arange({w.choice(w.sizes)}, dtype=T.{w.main})"
        made += "" if w.exact else " * 0.1"
    else:
        made = f"T.{w.choice(('zeros_like', 'ones_like', 'empty_like'))}({w.pick()})"
        made = made.replace("empty_like", "ones_like")
    return f"{w.new()} = {made}"


def view(w):
    x = w.pick()
    t = w.of(x)
    n, d = t.dim(), w.dim(t)
    e = w.dim(t)
    options = [f"{x}[{w.index(t.shape)}]", f"{x}[{w.index(t.shape)}]", f"{x}.unsqueeze({d})", f"{x}.squeeze()",
               f"{x}.detach()", f"{x}.flatten()", f"{x}.reshape(-1)"]
    if n:
        order = list(range(n))
        w.rng.shuffle(order)
        options += [f"{x}.transpose({d}, {e})", f"{x}.permute({order})", f"{x}.transpose({d}, {e})",
                    f"{x}.movedim({d}, {e})", f"{x}.reshape{tuple(reshaped(w, t.shape))}",
                    f"{x}.view{tuple(reshaped(w, t.shape))}", f"{x}.narrow({d}, 0, {max(t.shape[d] - 1, 0)})",
                    f"{x}.contiguous()"]
        if t.shape[d] > 1:
            options += [f"{x}.unfold({d}, 2, {w.choice((1, 2))})", f"{x}.select({d}, {t.shape[d] - 1})",
                        f"{x}.split({t.shape[d] - 1}, {d})[{w.choice((0, 1))}]", f"{x}.chunk(2, {d})[-1]",
                        f"{x}.unbind({d})[1]"]
    if n >= 2:
        options += [f"{x}.diagonal({w.choice((0, 1, -1))}, {d}, {e})", f"{x}.mT" if n > 1 else x]
    if n < 3:
        options += [f"{x}.expand({w.choice((2, 3))}, {', '.join(['-1'] * n)})" if n else f"{x}.expand(4)"]
    if t.numel() > 8 and t.is_contiguous():
        a, b = w.choice(((1, 2), (2, 1), (1, 1), (3, 1), (0, 1), (1, 0)))
        options += [f"{x}.as_strided((2, 3), ({a}, {b}))", f"{x}.as_strided((3, 2), ({a}, {b}), {x}.storage_offset())"]
    if 1 in t.shape:
        options.append(f"{x}.expand({[w.choice(w.sizes) if m == 1 else m for m in t.shape]})")
    return f"{w.new()} = {w.choice(options)}"


def reshaped(w, shape):
    """Another shape of as many elements: neighbours merged, sizes split."""
    shape = list(shape)
    if len(shape) > 1 and w.chance(0.6):
        i = w.rng.randrange(len(shape) - 1)
        shape[i:i + 2] = [shape[i] * shape[i + 1]]
    i = w.rng.randrange(len(shape))
    for p in (2, 3, 5):
        if shape[i] and shape[i] % p == 0 and w.chance(0.6):
            shape[i:i + 1] = [p, shape[i] // p] if w.chance(0.5) else [shape[i] // p, p]
            break
    return shape if w.chance(0.8) else shape + [1]


EXACT_UNARY = ("-{x}", "{x}.abs()", "{x}.relu()", "{x}.clamp(-2, 3)", "{x} * 2", "{x} + 1", "1 - {x}", "{x} % 5", "{x}.sign()",
               "{x}.clone()", "{x}.flip(0)", "{x} * {x}", "{x}.round()", "T.zeros_like({x}) + {x}", "{x}.clone().detach()",
               "{x}.logical_not()", "{x} > 0", "{x} == 1", "({x} // 2)", "{x}.floor()", "~{x}", "{x} & 3", "{x}.square()",
               "{x}.isnan()", "{x} * 0.5", "{x}.clamp(min=0)", "T.tril({x})", "T.triu({x}, 1)", "{x}.roll(1, 0)", "{x}.repeat(2, 1)")
SMOOTH_UNARY = ("{x}.sin()", "{x}.cos()", "{x}.tanh()", "{x}.sigmoid()", "{x}.erf()", "({x} * {x} + 1).sqrt()", "(-{x} * {x}).exp()",
                "({x} * {x}).log1p()", "F.softplus({x})", "F.gelu({x})", "F.silu({x})", "F.softmax({x}, -1)", "F.log_softmax({x}, 0)",
                "F.softmax({x}, 0)", "{x} * 0.7", "{x} + 0.3", "-{x}", "{x} / 3", "1 / ({x} * {x} + 1)", "{x}.square()", "{x}.clone()",
                "F.layer_norm({x}, {x}.shape[-1:])", "({x} * {x} + 1).rsqrt()", "{x}.atan()", "2.0 ** {x}.tanh()",
                "F.normalize({x} + 2, dim=-1)", "({x} - {x}.mean(-1, keepdim=True))", "{x}.pow(3).tanh()", "{x}.expm1().tanh()")


def unary(w):
    x = w.pick() if w.exact else w.pick(is_float)
    return f"{w.new()} = {w.choice(EXACT_UNARY if w.exact else SMOOTH_UNARY).format(x=x)}"


def written(t) -> bool:
    """Whether writes to it are defined: no two of its elements share memory."""
    return not overlaps_itself(layout(t.shape, t.stride()))


def is_float(t):
    return t.dtype.is_floating_point


def binary(w):
    x = w.pick() if w.exact else w.pick(is_float)
    y = w.partner(w.of(x)) if w.chance(0.85) else str(w.number())
    if w.chance(0.2):
        x, y = y, x
    ops = ("+", "-", "*", "+", "-", "*") + ((">", "<=", "==", "!=", "&", "|") if w.exact else ())
    calls = ("T.maximum", "T.minimum") if w.exact else ("T.add", "T.atan2", "T.add")
    if w.chance(0.12) and w.exact:
        return f"{w.new()} = {w.choice(calls)}({x}, {y})"
    if w.chance(0.15) and not w.exact:
        return f"{w.new()} = {x} / ({y} * {y} + 1)"
    return f"{w.new()} = {x} {w.choice(ops)} {y}"


def chain(w):
    """Several pointwise operations in one line: temporaries that die at once."""
    x = w.pick(is_float)
    y = w.partner(w.of(x))
    pieces = ("({0} + {1}).relu()", "({0} - {1}) * 2 + 1", "T.where({0} > {1}, {0}, {1} - 1)", "({0} * {1}).clamp(-3, 3) - {0}",
              "({0} + {1}).sum(-1, keepdim=True) - {0}", "{0} - ({0} * {1}).amax()", "(({0} + 1) * ({1} - 1)).sum(0)",
              "({0} + {1}).transpose(0, -1) * 2", "(({0} * 2).reshape(-1) + 1).reshape({0}.shape) * {1}") if w.exact else \
        ("({0} + {1}).tanh()", "({0} * {1}).sin() + {0}", "(({0} - {1}) ** 2).mean(-1, keepdim=True) - {0}",
         "F.softmax({0} + {1}, -1) * {1}", "(({0} * {1}).exp() + 1).log()", "({0} + {1}).var(0) + 0.1", "T.lerp({0}, {1}, 0.3)",
         "({0} * {1}).sum(0) / 10", "T.addcmul({0}, {0}, {1}, value=0.5)", "({0} + {1}).logsumexp(-1)")
    return f"{w.new()} = {w.choice(pieces).format(x, y)}"


def reduce(w):
    x = w.pick() if w.exact else w.pick(is_float)
    t = w.of(x)
    n = t.dim()
    dims = w.rng.sample(range(n), w.rng.randrange(1, n + 1)) if n else []
    dims = [d - n if w.chance(0.3) else d for d in dims]
    keep = w.choice((", keepdim=True", ""))
    names = ["sum", "sum", "amax", "amin"] if w.exact else ["sum", "mean", "var", "std", "logsumexp"]
    over = f"{dims}{keep}" if dims else "0"
    options = [f"{x}.{w.choice(names)}({over})" for _ in range(4)] + [f"{x}.sum()"]
    if w.exact and n:
        d = w.dim(t)
        options += [f"{x}.argmax({d}{keep})", f"{x}.argmin({d})", f"{x}.any({d}{keep})", f"{x}.all({d})", f"({x} % 2).double().prod({d})",
                    f"{x}.max({d})[{w.choice((0, 1))}]", f"{x}.min({d}{keep}).values", f"{x}.cumsum({d})", f"{x}.argmax()",
                    f"{x}.max()", f"{x}.min()", f"{x}.detach().sort({d}).values", f"{x}.count_nonzero({d})", f"({x} > 1).sum({d})",
                    f"{x}.cummax({d})[0]"]
    elif n:
        d = w.dim(t)
        options += [f"{x}.cumsum({d}) / 9", f"{x}.norm()", f"{x}.mean()", f"({x} / 9).prod({d})"]
    return f"{w.new()} = {w.choice(options)}"


def join(w):
    x = w.pick()
    t = w.of(x)
    like = w.tensors(lambda u: u.shape == t.shape and u.dtype == t.dtype)
    parts = [w.choice(like) for _ in range(w.choice((2, 3)))]
    kind = w.choice(("cat", "stack", "cat"))
    return f"{w.new()} = T.{kind}([{', '.join(parts)}], {w.dim(t)})"


def select(w):
    x = w.pick()
    t = w.of(x)
    y = w.partner(t)
    if w.exact:
        condition = w.choice((f"{x} > 0", f"{x} <= {y}", f"{y} == 1"))
    else:
        condition = f"make({w.narrowed(t.shape)}, 'bool', {w.rng.randrange(9)})"
    options = [f"T.where({condition}, {x}, {y})", f"T.where({condition}, {x}, {w.number()})",
               f"{x}.masked_fill({condition}, {w.number()})", f"T.where({condition}, {w.number()}, {y})"]
    if w.exact:
        options += [f"{x}[{x} > 0]", f"{x}.nonzero()"]
    return f"{w.new()} = {w.choice(options)}"


def numbers_below(w, n, shape):
    """The text of an index tensor."""
    count = int(np.prod(shape))
    values = [w.rng.randrange(n) for _ in range(count)]
    return f"T.tensor({np.reshape(values, shape).tolist()})" if count else f"T.zeros({tuple(shape)}, dtype=T.int64)"


def gather(w):
    x = w.pick(lambda t: t.dim() > 0 and t.numel() > 0 and t.numel() < 3000)
    t = w.of(x)
    d = w.dim(t)
    n = t.shape[d]
    k = w.choice((1, 2, 3, 5, 17))
    rows = numbers_below(w, n, (k,))
    like = list(t.shape)
    like[d] = k
    options = [f"{x}.index_select({d}, {rows})", f"T.gather({x}, {d}, {rows}.reshape({[-1 if i == d % len(like) else 1 for i in range(len(like))]}).expand({like}))"]
    options += [f"{x}[{numbers_below(w, t.shape[0], (2, 3))}]", f"{x}[{numbers_below(w, t.shape[0], (k,))}]", f"{x}[[0, -1]]",
                f"T.take({x}, {numbers_below(w, t.numel(), (4,))})"]
    if t.dim() > 1:
        a, b = numbers_below(w, t.shape[0], (k,)), numbers_below(w, t.shape[1], (k,))
        options += [f"{x}[{a}, {b}]", f"{x}[:, {b}]", f"{x}[{a}, 0]", f"{x}[{a}, None, {b}]", f"{x}[{a}, 1:]"]
    if t.dim() == 2:
        options.append(f"F.embedding({numbers_below(w, t.shape[0], (2, k))}, {x})")
    return f"{w.new()} = {w.choice(options)}"


def scatter(w):
    x = w.pick(lambda t: t.dim() > 0 and t.numel() > 0 and t.numel() < 3000)
    t = w.of(x)
    d, kind = w.dim(t), str(t.dtype).split(".")[1]
    n = t.shape[d]
    k = w.choice((1, 2, 3, 7))
    like = list(t.shape)
    like[d] = k
    rows = numbers_below(w, n, (k,))
    distinct = f"T.tensor({w.rng.sample(range(n), min(k, n))})"
    few = list(t.shape)
    few[d] = min(k, n)
    full = f"{rows}.reshape({[-1 if i == d % len(like) else 1 for i in range(len(like))]}).expand({like})"
    options = [f"index_add({d}, {rows}, {w.fresh(like, kind)})", f"scatter_add({d}, {full}, {w.fresh(like, kind)})",
               f"index_copy({d}, {distinct}, {w.fresh(few, kind)})", f"index_fill({d}, {rows}, {w.number()})"]
    chosen = w.choice(options)
    if w.chance(0.5) or not written(t):
        return f"{w.new()} = {x}.{chosen}"
    return f"{x}.{chosen.replace('(', '_(', 1)}"


def put(w):
    """Advanced assignment."""
    x = w.pick(lambda t: t.dim() > 0 and 0 < t.numel() < 3000 and written(t))
    t = w.of(x)
    rows = f"T.tensor({w.rng.sample(range(t.shape[0]), min(3, t.shape[0]))})"
    options = [f"{x}[{rows}] = {w.number()}", f"{x}[{rows}] = {x}[{rows}] * 2", f"{x}[{rows}] += 1"]
    if w.exact:
        options += [f"{x}[{x} > 1] = {w.number()}", f"{x}[{x} < 0] += 1"]
    return w.choice(options)


def matmul(w):
    x = w.pick(lambda t: is_float(t) and 1 <= t.dim() <= 3 and t.numel() < 6000)
    t = w.of(x)
    k = t.shape[-1]
    ys = [y for y in w.tensors(lambda u: u.dtype == t.dtype and 1 <= u.dim() <= 3 and u.numel() < 6000)
          if w.of(y).shape[-2 if w.of(y).dim() > 1 else -1] == k or w.of(y).shape[-1] == k]
    y = w.choice(ys) if ys and w.chance(0.7) else w.fresh((k, w.choice((1, *w.sizes))), str(t.dtype).split(".")[1])
    if ys and y in ys and w.of(y).dim() > 1 and w.of(y).shape[-1] == k and (w.of(y).shape[-2] != k or w.chance(0.5)):
        y = f"{y}.mT"
    fold = (lambda s: f"({s} % 3)") if w.exact else (lambda s: f"({s} * 0.3)")
    a, b = (fold(x), fold(y)) if w.chance(0.6) else (x, y)
    tail = w.choice(("", "", "", " + 1", " * 2", ".relu()", " + {z}", ".relu() - {z}", ".sum(0)", ".reshape(-1)", ".mT + {z}"))
    if not w.exact:
        tail = tail.replace(".relu()", ".tanh()").replace(" * 2", " * 0.2")
    z = w.pick(is_float)
    return f"{w.new()} = ({a} @ {b}){tail.format(z=z)}"


def contract(w):
    """linear, convolution, einsum."""
    x = w.pick(lambda t: is_float(t) and t.dim() >= 1 and 0 < t.numel() < 2000)
    t = w.of(x)
    kind = str(t.dtype).split(".")[1]
    if kind in ("float16", "bfloat16"):
        raise LookupError
    n = w.choice((1, 2, 5))
    x, few = (f"{x} % 3", "% 2") if w.exact else (f"{x} * 0.3", "* 0.4")
    if t.dim() == 4 and w.chance(0.7):
        return f"{w.new()} = F.conv2d({x}, {w.fresh((n, t.shape[1], 2, 2), kind)} {few}, padding={w.choice((0, 1))})"
    if t.dim() == 3 and w.chance(0.5):
        return f"{w.new()} = F.conv1d({x}, {w.fresh((n, t.shape[1], 2), kind)} {few}, padding=1)"
    return f"{w.new()} = F.linear({x}, {w.fresh((n, t.shape[-1]), kind)} {few}, {w.fresh((n,), kind)})"


def inplace(w):
    x = w.pick(written)
    t = w.of(x)
    y = w.apart(w.partner(t), t)
    if not w.exact:
        return w.choice((f"{x}.mul_(0.5)", f"{x}.add_({y})", f"{x} += {y}", f"{x}.tanh_()", f"{x} *= {y}", f"{x}.sin_()",
                         f"{x}.add_({y}, alpha=0.3)", f"{x}.copy_({y})", f"{x}.sub_({x})", f"{x}.fill_(0.25)",
                         f"{x}.lerp_({y}, 0.25)", f"{x}.addcmul_({y}, {y}, value=0.1)"))
    return w.choice((f"{x} += {y}", f"{x} -= {y}", f"{x} *= {w.choice((2, -1, y))}", f"{x}.copy_({y})", f"{x}.fill_({w.number()})",
                     f"{x}.zero_()", f"{x}.add_({y}, alpha=2)", f"{x}.clamp_(-2, 2)", f"{x}.neg_()", f"{x}.masked_fill_({x} > 1, 0)",
                     f"{x}.relu_()", f"{x}.add_({x})", f"{x}.mul_({x})", f"{x}.t_()", f"{x}.unsqueeze_(0)", f"{x}.sub_(1)",
                     f"{x}.copy_({x}.clone().flip(0))", f"{x} %= 3", f"{x}.requires_grad_(False)"))


def part(w):
    """Writes into views, often with values computed from the same tensor."""
    x = w.pick(lambda t: t.dim() > 0 and written(t))
    t = w.of(x)
    at = w.index(t.shape, ints=w.chance(0.7))
    z = w.apart(w.pick(), t)
    z = f"{z}.clone()" if z == x else z
    scale = 2 if w.exact else 0.5
    options = [f"{x}[{at}] = {w.number()}", f"{x}[{at}] += {w.number()}", f"{x}[{at}] = {x}[{at}] * {scale} + 1",
               f"{x}[{at}] = {z}", f"{x}[{at}] += {z}", f"{x}[{at}] *= {scale}", f"{x}[{at}].fill_({w.number()})",
               f"{x}[{at}] -= {x}.sum() * 0 + 1", f"{x}.transpose(0, -1)[{w.index(tuple(reversed(t.shape))[:1])}] = {w.number()}",
               f"{x}[{at}] = {x}.flip(0)[{at}]"]
    if t.dim() and t.shape[0] > 2:
        options += [f"{x}[1:] = {x}[:-1] * 1", f"{x}[:-1] = {x}[1:] + 0", f"{x}[::2] = 0", f"{x}[0] = {x}[-1]",
                    f"{x}[1:] = {x}[:-1] + {x}[1:]", f"{x}[0] += {x}[1:].sum(0)", f"{x}[1:] -= {x}[:1].clone()"]
    if t.dim() == 2:
        options += [f"{x}.diagonal().zero_()", f"{x}.t()[0] = {x}.t()[-1].clone()", f"{x}.diagonal().add_(1)", f"{x}[:, 0] = {x}[:, -1]",
                    f"{x}[:, 1:] += {x}[:, :1] * 1"]
    return w.choice(options)


def cast(w):
    if not w.exact:
        return f"{w.new()} = {w.pick(is_float)}.to(T.{w.choice(('float32', 'float64'))})"
    x = w.pick()
    return f"{w.new()} = {x}.{w.choice(('float()', 'long()', 'int()', 'double()', 'bool()', 'to(T.float16)', 'to(T.uint8)', 'to(T.bfloat16)', 'to(T.float32)'))}"


def alias(w):
    x = w.pick()
    return f"{w.new()} = {x}{w.choice(('.detach()', '.clone()', '', '.view_as({0})', '.data', '.contiguous()', '.clone().clone()')).format(x)}"


def read(w):
    x = w.pick()
    t = w.of(x)
    options = [f"out.append({x}.sum().item())", f"out.append({x}.tolist())", f"out.append({x}.flatten()[:1].tolist())",
               f"out.append(float(({x} * 2).sum()))"]
    if w.exact and t.numel():
        options.append(f"{w.new()} = {x} + 1 if {x}.sum() > 0 else {x} - 1")
    return w.choice(options)


def forget(w):
    return f"del {w.pick()}" if len(w.tensors()) > 3 else None


def share(w):
    """NumPy on the same memory, with writes from both sides."""
    arrays = [k for k, v in w.names.items() if isinstance(v, np.ndarray)]
    if arrays and w.chance(0.6):
        n = w.choice(arrays)
        return w.choice((f"{n} += 1", f"{n}[...] = {w.number()}", f"{n}[:1] = 2", f"{n} *= -1", f"out.append({n}.sum())",
                         f"{w.new()} = T.from_numpy({n})", f"{w.new()} = T.from_numpy({n}) * 1", f"del {n}",
                         f"{n}[..., 1:] += 1", f"{w.new()} = T.as_tensor({n})"))
    x = w.pick(lambda t: str(t.dtype) in ("torch.float32", "torch.float64", "torch.int64", "torch.int32") and t.numel())
    return f"n{w.rng.randrange(4)} = {x}.detach().numpy()"


def draw(w):
    shape = w.shape()
    if w.exact:
        options = [f"T.randint(-3, 4, {shape})", f"T.randint(0, 3, {shape}).to(T.{w.main})", f"(T.rand{shape or '(1)'} > 0.5)",
                   f"T.randperm({w.choice(w.sizes)})", f"F.dropout(T.ones({shape}), 0.5)"]
    else:
        options = [f"T.rand({shape})", f"T.randn({shape})", f"F.dropout({w.pick(is_float)}, 0.3)", f"T.rand_like({w.pick(lambda t: is_float(t) and written(t))})"]
    if w.chance(0.15):
        return f"T.manual_seed({w.rng.randrange(9)})"
    return f"{w.new()} = {w.choice(options)}"


def backward(w):
    x = w.pick(lambda t: t.requires_grad and t.grad_fn is not None)
    t = w.of(x)
    weight = w.fresh(tuple(t.shape), str(t.dtype).split(".")[1])
    leaves = w.tensors(lambda u: u.requires_grad and u.is_leaf)
    if w.chance(0.4) and leaves:
        leaf = w.choice(leaves)
        return f"{w.new()} = T.autograd.grad(({x} * {weight}).sum(), {leaf}, retain_graph=True, allow_unused=True)[0]"
    return f"({x} * {weight}).sum().backward({w.choice(('', 'retain_graph=True'))})"


def step(w):
    leaf = w.pick(lambda t: t.requires_grad and t.is_leaf and t.grad is not None)
    rate = 2 if w.exact else 0.1
    with_grad = w.choice((f"{leaf} -= {rate} * {leaf}.grad", f"{leaf}.add_({leaf}.grad, alpha=-{rate})", f"{leaf}.grad.zero_()",
                          f"{leaf}.grad = None", f"{leaf}.mul_(1).sub_({leaf}.grad)", f"{leaf}.copy_({leaf} - {leaf}.grad)"))
    return f"with T.no_grad(): {with_grad}"


WEIGHTS = {create: 5, view: 14, unary: 9, binary: 12, chain: 7, reduce: 8, join: 3, select: 4, gather: 4, scatter: 3, put: 2,
           matmul: 4, contract: 2, inplace: 8, part: 9, cast: 3, alias: 3, read: 3, forget: 6, share: 3, draw: 1}


def makers(exact, autograd):
    weights = dict(WEIGHTS)
    if autograd:
        weights |= {backward: 5, step: 3}
    if not exact:
        weights |= {put: 1, share: 2}
    return list(weights), list(weights.values())


def write(T, seed: int, length: int | None = None) -> Program:
    """The program of a seed."""
    from rushlight import config
    rng = random.Random(seed)
    exact = rng.random() < 0.7
    with config.backend.override("reference"), np.errstate(all="ignore"):
        T.manual_seed(0)
        return Program(seed, exact, Writer(T, seed, exact).program(length or rng.choice((8, 15, 25, 40))))
