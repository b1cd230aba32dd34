"""Arithmetic notation for emitted values: cpu/math.py is written in it.

A `Lanes` is a Value together with the function that it is emitted into, so that `a * b + 1.0` emits
two instructions. No operation is contracted: a fused multiply-add is written `fma`.
`goal` says how exact the result has to be: "float" or "double" (all of the type's bits), or "mixed":
arithmetic in double for a result that will be rounded to float.
"""
from __future__ import annotations

from collections.abc import Callable

from .coefficients import POLYNOMIALS, SPLIT
from .emit import Function, Value, constant, element_of, lanes_of, like


class Lanes:
    __slots__ = ("f", "goal", "value")

    def __init__(self, f: Function, value: Value, goal: str = ""):
        self.f, self.value, self.goal = f, value, goal or element_of(value.type)

    @property
    def type(self) -> str:
        return self.value.type

    @property
    def element(self) -> str:
        return element_of(self.value.type)

    @property
    def is_float(self) -> bool:
        return self.element in ("float", "double")

    def of(self, value: Value) -> Lanes:
        return Lanes(self.f, value, self.goal)

    def const(self, number, element: str = "") -> Lanes:
        """A constant beside this value."""
        return self.of(constant(like(self.type, element or self.element), number))

    def _pair(self, op: str, int_op: str, a, b) -> Lanes:
        f = self.f
        return self.of(f.binary(op if self.is_float else int_op, plain(a), plain(b)))

    def __add__(self, b): return self._pair("fadd", "add", self, b)
    def __radd__(self, b): return self._pair("fadd", "add", b, self)
    def __sub__(self, b): return self._pair("fsub", "sub", self, b)
    def __rsub__(self, b): return self._pair("fsub", "sub", b, self)
    def __mul__(self, b): return self._pair("fmul", "mul", self, b)
    def __rmul__(self, b): return self._pair("fmul", "mul", b, self)
    def __truediv__(self, b): return self._pair("fdiv", "udiv", self, b)
    def __rtruediv__(self, b): return self._pair("fdiv", "udiv", b, self)
    def __and__(self, b): return self.of(self.f.binary("and", self.value, plain(b)))
    def __or__(self, b): return self.of(self.f.binary("or", self.value, plain(b)))
    def __xor__(self, b): return self.of(self.f.binary("xor", self.value, plain(b)))
    def __lshift__(self, b): return self.of(self.f.binary("shl", self.value, plain(b)))
    def __rshift__(self, b): return self.of(self.f.binary("ashr", self.value, plain(b)))
    def __neg__(self): return self.of(self.f.fneg(self.value))
    def __invert__(self): return self.of(self.f.not_(self.value))

    def _compare(self, floats: str, ints: str, b) -> Lanes:
        test = self.f.fcmp if self.is_float else self.f.icmp
        return self.of(test(floats if self.is_float else ints, self.value, plain(b)))

    def __lt__(self, b): return self._compare("olt", "slt", b)
    def __le__(self, b): return self._compare("ole", "sle", b)
    def __gt__(self, b): return self._compare("ogt", "sgt", b)
    def __ge__(self, b): return self._compare("oge", "sge", b)
    def equals(self, b): return self._compare("oeq", "eq", b)
    def differs(self, b): return self._compare("une", "ne", b)

    def cast(self, op: str, element: str) -> Lanes:
        return self.of(self.f.cast(op, self.value, element))

    def bits(self) -> Lanes:
        return self.of(self.f.bits(self.value))

    def as_float(self, element: str) -> Lanes:
        """These bits as a float."""
        return self.of(self.f.cast("bitcast", self.value, element))

    def call(self, name: str, *args) -> Lanes:
        return self.of(self.f.intrinsic(name, self.value, *map(plain, args)))

    def any(self) -> Value:
        """Whether one lane of a mask is set."""
        f, mask = self.f, self.value
        if lanes_of(mask.type) == 1:
            return mask
        return f.call("i1", f"llvm.vector.reduce.or.v{lanes_of(mask.type)}i1", mask)


def plain(operand):
    return operand.value if isinstance(operand, Lanes) else operand


def _first(*operands) -> Lanes:
    return next(o for o in operands if isinstance(o, Lanes))


def fma(a, b, c) -> Lanes:
    """a * b + c, rounded once."""
    first = _first(a, b, c)
    return first.of(first.f.fma(plain(a), plain(b), plain(c)))


def select(mask: Lanes, yes, no) -> Lanes:
    like_this = _first(*(o for o in (yes, no) if isinstance(o, Lanes)), mask)
    return like_this.of(mask.f.select(mask.value, plain(yes), plain(no)))


def fabs(x: Lanes) -> Lanes: return x.call("fabs")
def sqrt(x: Lanes) -> Lanes: return x.call("sqrt")
def trunc(x: Lanes) -> Lanes: return x.call("trunc")
def floor(x: Lanes) -> Lanes: return x.call("floor")
def copysign(x: Lanes, sign: Lanes) -> Lanes: return x.call("copysign", sign)


def at_most(x: Lanes, bound: float) -> Lanes:
    """min(x, bound); a nan stays."""
    return select(x > bound, bound, x)


def at_least(x: Lanes, bound: float) -> Lanes:
    return select(x < bound, bound, x)


def horner(x: Lanes, name: str) -> Lanes:
    """The fitted polynomial `name` at x; where none is fitted for "mixed", float64's own."""
    return polynomial(x, POLYNOMIALS.get((name, x.goal)) or POLYNOMIALS[name, "double"])


def polynomial(x: Lanes, coefficients) -> Lanes:
    """Coefficients lowest first, by Horner's rule in fused multiply-adds."""
    *rest, total = coefficients
    for c in reversed(rest):
        total = fma(total, x, c)
    return total


def fast_two_sum(a, b) -> tuple[Lanes, Lanes]:
    """a + b = sum + error exactly, if a is 0 or exceeds b (Dekker)."""
    total = a + b
    return total, b - (total - a)


def two_product(a, b) -> tuple[Lanes, Lanes]:
    product = a * b
    return product, fma(a, b, -product)


# --- instructions ---------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable] = {}


def exported(function: Callable) -> Callable:
    """An instruction on float32 and float64, computed in the type itself."""
    def emit(f: Function, *args: Value) -> Value:
        return function(*(Lanes(f, a) for a in args)).value
    FUNCTIONS[function.__name__] = emit
    return function


def in_double(function: Callable) -> Callable:
    """An instruction whose float32 form is computed in float64 with goal "mixed"."""
    def emit(f: Function, *args: Value) -> Value:
        if element_of(args[0].type) == "double":
            return function(*(Lanes(f, a) for a in args)).value
        wide = [Lanes(f, f.cast("fpext", a, "double"), "mixed") for a in args]
        return f.cast("fptrunc", function(*wide).value, "float")
    FUNCTIONS[function.__name__] = emit
    return function


def parts(x: Lanes, name: str) -> tuple[float, ...]:
    return SPLIT[name, x.element]
