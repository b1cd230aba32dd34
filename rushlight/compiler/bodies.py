"""From vertices to straight-line scalar code: a Body that a loop nest or an epilogue runs."""
from __future__ import annotations

from functools import cache

from .. import dtypes
from .kernel import Body, Instr

REDUCERS = {"sum", "prod", "amax", "amin", "any", "all", "argmax", "argmin"}


class BodyBuilder:
    """The `k` of a primitive's body rule: k.add(a, b) appends an instruction and gives its value."""

    def __init__(self, inputs=()):
        self.inputs, self.instrs = list(inputs), []
        self.flat_index = None

    def input(self, d) -> int:
        """One more input; only before the first instruction."""
        self.inputs.append(d)
        return len(self.inputs) - 1

    def emit(self, op, d, *args, literal=None) -> int:
        self.instrs.append(Instr(op, d, args, literal))
        return len(self.inputs) + len(self.instrs) - 1

    def dtype(self, value) -> dtypes.dtype:
        n = len(self.inputs)
        return self.inputs[value] if value < n else self.instrs[value - n].dtype

    def is_bool(self, value) -> bool:
        return self.dtype(value) is dtypes.bool

    def const(self, number, d) -> int:
        return self.emit("const", d, literal=number)

    def cast(self, value, d) -> int:
        return value if self.dtype(value) is d else self.emit("cast", d, value)

    def index(self) -> int:
        """The number of the element in row-major order, int64."""
        if self.flat_index is None:
            raise LookupError("this kernel has no element number")
        return self.flat_index

    def __getattr__(self, op):
        if op.startswith("__"):
            raise AttributeError(op)
        return lambda *args: self.emit(op, result_dtype(op, [self.dtype(a) for a in args]), *args)

    def body(self, outputs) -> Body:
        return Body(tuple(self.inputs), tuple(self.instrs), tuple(outputs))


def result_dtype(op, kinds):
    return dtypes.bool if op in ("lt", "le", "eq", "ne", "gt", "ge", "isnan", "signbit") else kinds[-1]


@cache
def _native_ops() -> frozenset:
    from ..cpu.scalar import SCALARS
    return frozenset(SCALARS) | {"const"}


MOVING = ("copy", "concat")       # pointwise primitives that do no arithmetic


def is_native(v) -> bool:
    """Whether scalar instructions for this vertex exist in these dtypes; its signature remembers."""
    try:
        return v.sig.native
    except AttributeError:
        v.sig.native = _is_native(v)
        return v.sig.native


def _is_native(v) -> bool:
    if any(d.is_complex for d in v.sig.dtypes) or v.dtype.is_complex:
        return v.prim.kind in ("gather", "write") or v.prim.name in MOVING
    if v.prim.kind == "reduce":
        return v.prim.name in REDUCERS
    if v.prim.kind in ("gather", "write"):
        return True
    return _compiles(v.prim, v.sig.dtypes, _key(v.params))


def _key(params):
    return tuple(sorted((k, d) for k, d in params.items() if isinstance(d, dtypes.dtype)))


@cache
def _compiles(prim, kinds, params) -> bool:
    k = BodyBuilder(kinds)
    k.flat_index = k.input(dtypes.int64)
    try:
        _apply(prim, k, range(len(kinds)), dict(params))
    except (LookupError, NotImplementedError):
        return False
    return all(i.op in _native_ops() for i in k.instrs)


def _apply(prim, k, values, params):
    if prim.name == "iota":
        return prim.body(k, *values, n=None, dtype=params["dtype"])
    if prim.name == "full":
        return prim.body(k, *values, shape=None, dtype=params["dtype"])
    return prim.body(k, *values, **params)


def compute(v, k: BodyBuilder, values) -> int:
    """Append the instructions of a pointwise vertex; its operands are values of k in signature order."""
    made = _apply(v.prim, k, values, dict(_key(v.params)))
    return k.cast(made, v.dtype)
