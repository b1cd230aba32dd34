"""The table of primitives: one record holds a primitive's name, meaning, rules, body and samples.

A public operation is a composition of these; every rule (shape, gradient, batching, lowering)
of a primitive is an attribute of its record, so "where is the gradient of X" is one grep. The
declaring helpers name the class of a primitive and supply what follows from it:

    pointwise   elements of equal shapes to one element; gradient from `slope`
    reducer     some axes folded away by an associative operation
    linear      its own derivative; needs only its transpose
    bilinear    linear in each of two arguments

Conventions: operands are positional, parameters keyword. Rules work on tensors through public
operations, so that they are differentiable, batchable and fused themselves. In a gradient rule
`rule(g, y, *xs, **params)` a parameter whose name begins with "_" is not used and is not saved.
"""
from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, field
from collections.abc import Callable
from types import FunctionType

from .. import dtypes
from ..layout import FreeLayout, packed
from ..trace.record import Signature

SIGNATURES = 20000          # kept of one primitive
PRIMITIVES: dict[str, "Primitive"] = {}
memos: list[dict] = []      # of replays (autograd/recall.py), to be forgotten together


class Memo(dict):
    """Replays of the calls of one function, and kinds of calls with theirs for all sizes (autograd/sized.py)."""

    __slots__ = ("kinds",)

    def __init__(self):
        self.kinds = {}

    def clear(self) -> None:
        super().clear()
        self.kinds.clear()


@dataclass(eq=False)
class Primitive:
    name: str
    kind: str                           # how it is scheduled: pointwise, reduce, contract, gather, ...
    reference: Callable                 # the meaning: NumPy arrays in, one NumPy array out
    shape: Callable                     # (shapes, **params) -> shape
    dtype: Callable                     # (dtypes, **params) -> dtype
    vjp: tuple = ()                     # per operand: rule(g, y, *xs, **params) -> gradient, or None
    jvp: Callable | None = None         # rule(ts, y, *xs, **params) -> tangent; ts holds None where zero
    batch: Callable | None = None       # rule(prim, n, xs, batched, **params) -> result; n batch axes are first
    body: Callable | None = None        # (k, *values, **params) -> value, in scalar instructions
    samples: Callable | None = None     # rng -> list of (arrays, params): what tests and fuzzing feed it
    ulp: float = 0                      # how far compiled may be from the meaning
    raises: Callable | None = None      # rng -> list of (arrays, params, exception, phrase)
    identity: object = None             # of a reducer
    may_fail: bool = False              # depends on values: checked while the plan runs
    failure: Callable | None = None     # (what a kernel reports, ndim of the first operand, **params) -> exception
    without: str = ""                   # why it has no rules of gradient and batching
    memo: dict = field(default_factory=dict)
    signatures: dict = field(default_factory=dict)
    gradient: "Gradient" = None

    def __post_init__(self):
        if self.name in PRIMITIVES:
            raise ValueError(f"primitive {self.name} is declared twice")
        PRIMITIVES[self.name] = self
        self.gradient = Gradient(CALLED.get(self.name, camel(self.name)) + "Backward0", self.vjp)

    def __repr__(self):
        return self.name

    def signature(self, layouts, dtypes_, params, result=None) -> Signature:
        shapes = [l.shape if l is not None else () for l in layouts]
        if dtypes_ and dtypes_[0].is_complex:
            from ..ops.support import check_real
            check_real(self.name, dtypes_[0])
        out = packed(tuple(self.shape(shapes, **params)))
        return self.interned(params, tuple(layouts), tuple(dtypes_), out, self.dtype(dtypes_, **params), result or out)

    def interned(self, params, layouts, dtypes_, out, dtype, result) -> Signature:
        """The one signature of these: the compiler knows equal vertices by it."""
        key = layouts, dtypes_, result, *params.items()
        try:
            found = self.signatures.get(key)
        except TypeError:               # of parameters without a hash
            return Signature(self, params, layouts, dtypes_, out, dtype, result)
        if found is None:
            found = Signature(self, params, layouts, dtypes_, out, dtype, result)
            if FreeLayout not in (type(out), *map(type, layouts)):
                if len(self.signatures) > SIGNATURES:
                    self.signatures.clear()
                self.signatures[key] = found
        return found

    def __call__(self, *xs, **params):
        """Record this primitive on tensors of exactly the dtypes and shapes it takes; taped."""
        from ..ops.promote import apply
        return apply(self, xs, params)


# What PyTorch calls an operation where that is another name.
CALLED = {"bessel_i0": "I0", "bessel_i0e": "SpecialI0E", "bessel_i1": "SpecialI1", "bessel_i1e": "SpecialI1E",
          "erfcx": "SpecialErfcx", "eigvals": "LinalgEig"}


def camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


class Gradient:
    """The vector-Jacobian products of an operation, one per tensor argument, and what they save."""

    def __init__(self, name: str, rules: tuple):
        self.name, self.rules = name, tuple(rules)
        self.uses = tuple(_uses(r) for r in rules)      # per rule: positions read; 0 is y, 1.. are inputs
        self.plans: dict[int, tuple] = {}       # what was saved for which inputs
        self.memo = Memo()                      # replays of the rules (autograd/recall.py)
        self.add = None                         # adds to a sum of gradients without making one of its size
        memos.append(self.memo)

    @functools.cached_property
    def node_class(self) -> type:
        """The class of this operation's GradFn: its name is what users see."""
        from ..autograd.node import GradFn
        return type(self.name, (GradFn,), {"__slots__": ()})

    def named(self, name: str) -> "Gradient":
        """The same rules under another name."""
        other = Gradient(name, self.rules)
        other.uses, other.memo, other.add = self.uses, self.memo, self.add
        return other

    def rule(self, i: int):
        return self.rules[i]

    def saves(self, mask: int) -> tuple[int, ...]:
        """The positions to save if exactly the inputs in `mask` need gradients: a one, then a bit for each input."""
        needed = format(mask, "b")[1:]
        read = set().union(*(self._reads(i, len(needed)) for i, bit in enumerate(needed) if bit == "1"))
        found = self.plans[mask] = tuple(sorted(read))
        return found

    def _reads(self, i, arity):
        """Positions that rule i reads; -p in `uses` stands for every position from p on."""
        uses = self.uses[i] if i < len(self.uses) else ()
        return {q for p in uses for q in ((p,) if p >= 0 else range(-p, arity + 1))}


class Variadic(Gradient):
    """One rule for every argument: rule(g, i, y, *xs, **params) is the gradient of argument i."""

    def __init__(self, name: str, rule, uses=frozenset()):
        super().__init__(name, ())
        self.each, self.uses = rule, (uses,)

    def rule(self, i: int):
        return lambda g, *values, **params: self.each(g, i, *values, **params)

    def _reads(self, i, arity):
        return super()._reads(0, arity)


def _uses(rule) -> frozenset[int]:
    if rule is None:
        return frozenset()
    declared = getattr(rule, "uses", None)
    if declared is not None:
        return declared
    names = _positional(rule)
    return frozenset(i - 1 for i, n in enumerate(names) if i >= 1 and not n.startswith("_"))


def _positional(rule) -> tuple[str, ...]:
    """The names of a function's positional parameters; `inspect` takes 15 times as long, for 290 rules at import."""
    if type(rule) is FunctionType and not hasattr(rule, "__wrapped__"):
        return rule.__code__.co_varnames[:rule.__code__.co_argcount]
    return tuple(p.name for p in inspect.signature(rule).parameters.values()
                 if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))


# -- declaring helpers ------------------------------------------------------------------------

def same_dtype(ds, **_):
    return ds[0]


def last_dtype(ds, **_):
    return ds[-1]


def bool_dtype(_ds, **_):
    return dtypes.bool


def int64_dtype(_ds, **_):
    return dtypes.int64


def elementwise_shape(shapes, **_):
    return max(shapes, key=len)         # a Python scalar counts as ()


ONE, MINUS_ONE = object(), object()     # constant slopes, so that no multiplication is recorded
NONDIFFERENTIABLE = object()            # written, never implied


def pointwise(name, *, numpy, slope=None, vjp=None, body=None, dtype=same_dtype, arity=None,
              samples=None, ulp=0, jvp=None) -> Primitive:
    """Equal shapes in, the same shape out. `slope`: d out / d in per argument, in public operations."""
    slopes = slope if isinstance(slope, tuple) else (slope,)
    arity = arity or len(slopes)
    if slope is NONDIFFERENTIABLE:
        slopes, jvp = (None,) * arity, jvp or (lambda ts, y, *xs, **_: None)
    if vjp is None:
        vjp = tuple(_slope_rule(s, i) for i, s in enumerate(slopes))
    instruction = body or (lambda k, *xs, **_: getattr(k, name)(*xs))
    return Primitive(name, "pointwise", numpy, elementwise_shape, dtype, vjp,
                     jvp or _slope_tangent(slopes), _batch_pointwise, instruction, samples, ulp)


def _slope_rule(slope, i):
    if slope is None:
        return None
    if slope is ONE:
        return lambda g, _y, *_xs: g
    if slope is MINUS_ONE:
        return lambda g, _y, *_xs: -g
    rule = lambda g, y, *xs, **params: g * conjugate(slope(y, *xs, **params))
    rule.uses = frozenset(n for n in _positions(slope))
    return rule


def conjugate(x):
    """x itself if it is real; a number or a tensor."""
    kind = getattr(x, "dtype", None)
    return x.conjugate() if type(x) is complex else x if kind is None or not kind.is_complex else x.conj_physical()


def _positions(slope):
    """Positions a slope reads: its first parameter is y (0), the others the inputs."""
    names = list(inspect.signature(slope).parameters)
    return (i for i, n in enumerate(names) if not n.startswith("_"))


def _slope_tangent(slopes):
    def tangent(ts, y, *xs, **params):
        total = None
        for t, s in zip(ts, slopes):
            if t is None or s is None:
                continue
            term = t if s is ONE else -t if s is MINUS_ONE else t * s(y, *xs, **params)
            total = term if total is None else total + term
        return total
    return tangent


def _batch_pointwise(prim, size, xs, batched, **params):
    """The same over one more axis, which unbatched operands share; numbers stay."""
    return prim(*[x if on or not hasattr(x, "expand") else x.expand(size, *x.shape) for x, on in zip(xs, batched)],
                **params)


def linear_tangent(prim_call):
    """The tangent of a linear map of its first operand is the map of the tangent."""
    return lambda ts, y, *xs, **params: None if ts[0] is None else prim_call(ts[0], *xs[1:], **params)


def bilinear_tangent(call):
    def tangent(ts, y, a, b, **params):
        parts = [call(t, b, **params) if i == 0 else call(a, t, **params)
                 for i, t in enumerate(ts) if t is not None]
        return None if not parts else parts[0] if len(parts) == 1 else parts[0] + parts[1]
    return tangent


def lookup(name: str) -> Primitive:
    return PRIMITIVES[name]
