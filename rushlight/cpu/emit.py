"""Emitter of one LLVM function as text: typed values, folding integers, loops that read like loops.

    f = Function("scale")                                   # void @scale_<hash>(ptr args, i64 lo, i64 hi)
    x, y, n = f.word(0, "ptr"), f.word(1, "ptr"), f.word(2)
    with f.loop(0, n, 16) as loop:
        mask = f.lane_mask(f.sub(n, loop.index))
        value = f.masked_load("float", f.at(x, "float", loop.index), mask)
        f.masked_store(f.fmul(value, 2.0), f.at(y, "float", loop.index), mask)
    code = f.code()                                         # Code(symbol, ir)

A value is a `Value`: its SSA name or constant text (a str), with `.type`. Python numbers are operands
too: an int alone is an i64 known now, and helpers fold; beside a Value it takes that value's type.
"""
from __future__ import annotations

import hashlib
import re
import struct
from contextlib import contextmanager

import ml_dtypes
import numpy as np

from ..compiler.kernel import LANES, Code

KERNEL_PARAMS = (("ptr", "args"), ("i64", "lo"), ("i64", "hi"))
SIZES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "i128": 16, "half": 2, "bfloat": 2, "float": 4, "double": 8,
         "ptr": 8}
MANGLED = {"half": "f16", "bfloat": "bf16", "float": "f32", "double": "f64", "ptr": "p0"}
MASK64 = (1 << 64) - 1


class Value(str):
    """An SSA name or constant text that knows its LLVM type."""

    __slots__ = ("type",)

    def __new__(cls, text: str, type: str):
        value = super().__new__(cls, text)
        value.type = type
        return value

    @property
    def typed(self) -> str:
        return f"{self.type} {self}"


# --- types and constants --------------------------------------------------------------------------

def vector(element: str, lanes: int = LANES) -> str:
    """`<lanes x element>`; one lane is the plain element."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def element_of(type: str) -> str:
    return type[1:-1].split(" x ")[1] if type[0] == "<" else type


def alignment(element: str) -> int:
    """Complex numbers of 16 bytes lie wherever their parts may."""
    return min(SIZES[element], 8)


def lanes_of(type: str) -> int:
    return int(type[1:].split(" x ")[0]) if type[0] == "<" else 1


def like(type: str, element: str) -> str:
    """`element` with as many lanes as `type`."""
    return vector(element, lanes_of(type))


def mangle(type: str) -> str:
    element = element_of(type)
    name = MANGLED.get(element, element)
    return f"v{lanes_of(type)}{name}" if type[0] == "<" else name


def element_text(element: str, number) -> str:
    """The text of a constant; floats are rounded to the type first and printed by their bits."""
    if element == "float":
        return f"0x{struct.unpack('<Q', struct.pack('<d', _as_float32(number)))[0]:016X}"
    if element == "double":
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(number)))[0]:016X}"
    if element == "half":
        return f"0xH{int(_rounded(np.float16, number).view(np.uint16)):04X}"
    if element == "bfloat":
        return f"0xR{int(_rounded(ml_dtypes.bfloat16, number).view(np.uint16)):04X}"
    if element == "i1":
        return "true" if number else "false"
    if element == "ptr":
        return "null"
    return str(_wrapped(int(number), int(element[1:])))


def _rounded(kind, number):
    with np.errstate(over="ignore"):
        return np.array(number, np.float64).astype(kind)


def _as_float32(number) -> float:
    return float(_rounded(np.float32, number))


def _wrapped(number: int, bits: int) -> int:
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def constant(type: str, number) -> Value:
    """A constant; over all lanes if `type` is a vector, or lane by lane from a list of numbers."""
    element = element_of(type)
    if isinstance(number, (list, tuple)):
        return Value(f"<{', '.join(f'{element} {element_text(element, n)}' for n in number)}>", type)
    text = element_text(element, number)
    return Value(text if type[0] != "<" else f"splat ({element} {text})", type)


def poison(type: str) -> Value:
    return Value("poison", type)


def iota(type: str) -> Value:
    """Lane numbers 0, 1, 2, ... of a vector type."""
    lanes = lanes_of(type)
    return constant(type, 0 if lanes == 1 else list(range(lanes)))


def _signed(number: int) -> int:
    return _wrapped(number, 64)


FOLDS = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "udiv": lambda a, b: (a & MASK64) // (b & MASK64), "urem": lambda a, b: (a & MASK64) % (b & MASK64),
    "sdiv": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
    "srem": lambda a, b: abs(a) % abs(b) * (1 if a >= 0 else -1),
    "and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b, "lshr": lambda a, b: (a & MASK64) >> b, "ashr": lambda a, b: a >> b,
}
RIGHT_IDENTITY = {"add": 0, "sub": 0, "mul": 1, "udiv": 1, "sdiv": 1, "or": 0, "xor": 0, "shl": 0,
                  "lshr": 0, "ashr": 0}
COMMUTES = {"add", "mul", "and", "or", "xor"}
COMPARE = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b,
    "slt": lambda a, b: a < b, "sle": lambda a, b: a <= b,
    "sgt": lambda a, b: a > b, "sge": lambda a, b: a >= b,
    "ult": lambda a, b: a & MASK64 < b & MASK64, "ule": lambda a, b: a & MASK64 <= b & MASK64,
    "ugt": lambda a, b: a & MASK64 > b & MASK64, "uge": lambda a, b: a & MASK64 >= b & MASK64,
}
BITS = {"half": "i16", "bfloat": "i16", "float": "i32", "double": "i64"}


def same_width_int(type: str) -> str:
    """The integer type with the bits of a float type."""
    element = element_of(type)
    return like(type, BITS.get(element, element))


# --- one function ---------------------------------------------------------------------------------

class Function:
    """Lines of one LLVM function. `self.args`, `self.lo`, `self.hi` are the kernel's parameters."""

    def __init__(self, name: str, params=KERNEL_PARAMS, returns: str = "void"):
        self.name, self.params, self.returns = name, params, returns
        self.lines: list[str] = []
        self.head: list[str] = []           # words and allocas: computed once, before everything
        self.declared: dict[str, str] = {}
        self.data: dict[str, bytes] = {}    # constant tables of the module
        self.helpers: dict[str, Function] = {}
        self.words: dict[tuple, Value] = {}
        self.block = "entry"
        self.count = 0
        self.parameters = tuple(Value(f"%{name}", type) for type, name in params)
        for value, (_, name) in zip(self.parameters, params, strict=True):
            setattr(self, name, value)

    # names and lines

    def fresh(self, stem: str = "v") -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def let(self, type: str, text: str) -> Value:
        """One instruction with a result."""
        value = Value(f"%{self.fresh()}", type)
        self.line(f"{value} = {text}")
        return value

    def comment(self, text: str) -> None:
        self.line(f"; {text}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def jump(self, name: str) -> None:
        self.line(f"br label %{name}")

    def jump_if(self, cond, yes: str, no: str) -> None:
        if isinstance(cond, bool):
            return self.jump(yes if cond else no)
        self.line(f"br i1 {cond}, label %{yes}, label %{no}")

    # operands

    def value(self, operand, type: str = "i64") -> Value:
        """A Python number as a constant of `type`; a Value as it is."""
        return operand if isinstance(operand, Value) else constant(type, operand)

    def together(self, *operands) -> list[Value]:
        """Operands of one type: Python numbers take the type of the first Value (i64 if there is none)."""
        type = next((o.type for o in operands if isinstance(o, Value)), "i64")
        return [self.value(o, type) for o in operands]

    def binary(self, op: str, a, b) -> Value:
        a, b = self.together(a, b)
        return self.let(a.type, f"{op} {a.typed}, {b}")

    def integer(self, op: str, a, b):
        """An integer operation; Python ints and neutral elements fold."""
        if isinstance(a, int) and isinstance(b, int):
            return _signed(FOLDS[op](a, b))
        if isinstance(b, int) and b == RIGHT_IDENTITY.get(op):
            return a
        if isinstance(a, int) and op in COMMUTES and a == RIGHT_IDENTITY.get(op):
            return b
        if op == "mul" and (isinstance(a, int) and a == 0 or isinstance(b, int) and b == 0):
            return 0 if (a if isinstance(a, Value) else b).type == "i64" else self.zero_like(a, b)
        return self.binary(op, a, b)

    def zero_like(self, *operands) -> Value:
        return constant(next(o.type for o in operands if isinstance(o, Value)), 0)

    def add(self, a, b): return self.integer("add", a, b)
    def sub(self, a, b): return self.integer("sub", a, b)
    def mul(self, a, b): return self.integer("mul", a, b)
    def udiv(self, a, b): return self.integer("udiv", a, b)
    def urem(self, a, b): return self.integer("urem", a, b)
    def sdiv(self, a, b): return self.integer("sdiv", a, b)
    def srem(self, a, b): return self.integer("srem", a, b)
    def and_(self, a, b): return self.integer("and", a, b)
    def or_(self, a, b): return self.integer("or", a, b)
    def xor(self, a, b): return self.integer("xor", a, b)
    def shl(self, a, b): return self.integer("shl", a, b)
    def lshr(self, a, b): return self.integer("lshr", a, b)
    def ashr(self, a, b): return self.integer("ashr", a, b)

    def fadd(self, a, b): return self.binary("fadd", a, b)
    def fsub(self, a, b): return self.binary("fsub", a, b)
    def fmul(self, a, b): return self.binary("fmul", a, b)
    def fdiv(self, a, b): return self.binary("fdiv", a, b)

    # floats or integers

    def plus(self, a: Value, b: Value) -> Value:
        return self.binary("fadd" if element_of(a.type) in BITS else "add", a, b)

    def times(self, a: Value, b: Value) -> Value:
        return self.binary("fmul" if element_of(a.type) in BITS else "mul", a, b)

    def times_plus(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c; a float is rounded once."""
        return self.fma(a, b, c) if element_of(a.type) in BITS else self.plus(self.times(a, b), c)

    def fneg(self, a: Value) -> Value:
        return self.let(a.type, f"fneg {a.typed}")

    def fma(self, a, b, c) -> Value:
        return self.intrinsic("fma", a, b, c)

    def not_(self, a):
        return not a if isinstance(a, bool) else self.xor(a, -1)

    def ceil_div(self, a, b):
        return self.udiv(self.add(a, self.sub(b, 1)), b)

    def umin(self, a, b): return self._extreme("umin", min, a, b)
    def umax(self, a, b): return self._extreme("umax", max, a, b)
    def smin(self, a, b): return self._extreme("smin", min, a, b)
    def smax(self, a, b): return self._extreme("smax", max, a, b)

    def _extreme(self, name, fold, a, b):
        if isinstance(a, int) and isinstance(b, int):
            return fold(a, b)
        return self.intrinsic(name, a, b)

    def icmp(self, relation: str, a, b):
        """i1 (or a vector of them); a Python bool if both are known."""
        if isinstance(a, int) and isinstance(b, int):
            return COMPARE[relation](a, b)
        a, b = self.together(a, b)
        return self.let(like(a.type, "i1"), f"icmp {relation} {a.typed}, {b}")

    def fcmp(self, relation: str, a, b) -> Value:
        a, b = self.together(a, b)
        return self.let(like(a.type, "i1"), f"fcmp {relation} {a.typed}, {b}")

    def select(self, cond, yes, no):
        """`yes` where `cond`; a cond known now costs nothing."""
        if isinstance(cond, bool):
            return yes if cond else no
        if not isinstance(yes, Value) and yes == no and isinstance(no, int):
            return yes
        yes, no = self.together(yes, no)
        return self.let(yes.type, f"select {cond.typed}, {yes.typed}, {no.typed}")

    def cast(self, op: str, a: Value, element: str) -> Value:
        """zext, sext, trunc, sitofp, fpext, bitcast, ... lane by lane to `element`."""
        to = like(a.type, element)
        return a if a.type == to else self.let(to, f"{op} {a.typed} to {to}")

    def bits(self, a: Value) -> Value:
        """A float value's bits as an integer."""
        return self.cast("bitcast", a, element_of(same_width_int(a.type)))

    def float_bits(self, a: Value, element: str) -> Value:
        return self.cast("bitcast", a, element)

    # calls

    def call(self, returns: str, name: str, *args: Value) -> Value | None:
        """A call of `@name`, declared by the way. Arguments may carry attributes: (value, "align 4")."""
        pairs = [(a, "") if isinstance(a, Value) else a for a in args]
        self.declared[name] = f"declare {returns} @{name}({', '.join(v.type for v, _ in pairs)})"
        actual = ", ".join(f"{v.type} {extra + ' ' if extra else ''}{v}" for v, extra in pairs)
        text = f"call {returns} @{name}({actual})"
        return self.line(text) if returns == "void" else self.let(returns, text)

    def intrinsic(self, name: str, *args) -> Value:
        """`llvm.name` on one type, lane by lane: fma, sqrt, floor, ctpop, umin ..."""
        args = self.together(*args)
        return self.call(args[0].type, f"llvm.{name}.{mangle(args[0].type)}", *args)

    def helper(self, name: str, make) -> Function:
        """An internal function of the module, made by `make()` when it is first asked for."""
        if name not in self.helpers:
            self.helpers[name] = make()
        return self.helpers[name]

    def call_helper(self, helper: Function, *args: Value) -> Value:
        actual = ", ".join(a.typed for a in args)
        return self.let(helper.returns, f"call {helper.returns} @{helper.name}({actual})")

    def table(self, name: str, content: bytes) -> Value:
        """The address of constant bytes in the module."""
        self.data[name] = content
        return Value(f"@{name}", "ptr")

    # memory

    def word(self, index: int, type: str = "i64") -> Value:
        """Word `index` of the args block as `type`; loaded once, at the function's entry."""
        key = (index, type)
        if key not in self.words:
            value, address = Value(f"%word{index}.{mangle(type)}", type), f"%at{index}.{mangle(type)}"
            self.head += [f"  {address} = getelementptr i8, ptr {self.args}, i64 {8 * index}",
                          f"  {value} = load {type}, ptr {address}, align 8, !invariant.load !0"]
            self.words[key] = value
        return self.words[key]

    def alloca(self, element: str, count: int, align: int = 64) -> Value:
        """A small array on the stack, made at entry."""
        value = Value(f"%{self.fresh('array')}", "ptr")
        self.head.append(f"  {value} = alloca [{count} x {element}], align {align}")
        return value

    def at(self, pointer: Value, element: str, index) -> Value:
        """The address of `pointer[index]`, counted in `element`s ("i8" for bytes)."""
        if isinstance(index, int) and index == 0:
            return pointer
        index = self.value(index)
        return self.let(like(index.type, "ptr"), f"getelementptr {element}, {pointer.typed}, {index.typed}")

    def load(self, type: str, pointer: Value, align: int = 0) -> Value:
        """A scalar or vector load, aligned to its element unless told more."""
        align = align or alignment(element_of(type))
        return self.let(type, f"load {type}, ptr {pointer}, align {align}")

    def store(self, value: Value, pointer: Value, align: int = 0) -> None:
        align = align or alignment(element_of(value.type))
        self.line(f"store {value.typed}, ptr {pointer}, align {align}")

    def load_vector(self, element: str, pointer: Value, lanes: int = LANES) -> Value:
        return self.load(vector(element, lanes), pointer)

    def load_splat(self, element: str, pointer: Value, lanes: int = LANES) -> Value:
        return self.splat(self.load(element, pointer), lanes)

    def masked_load(self, element: str, pointer: Value, mask: Value, otherwise=0) -> Value:
        """Lanes where `mask` is set; the rest is `otherwise` and is not touched in memory."""
        type = like(mask.type, element)
        return self.call(type, f"llvm.masked.load.{mangle(type)}.p0", self._aligned(pointer, element),
                         mask, self.value(otherwise, type))

    def masked_store(self, value: Value, pointer: Value, mask: Value) -> None:
        self.call("void", f"llvm.masked.store.{mangle(value.type)}.p0", value,
                  self._aligned(pointer, element_of(value.type)), mask)

    def prefetch(self, pointer: Value, to_write: bool = False) -> None:
        """Begin to bring the line at `pointer` into the second-level cache; any address will do."""
        self.call("void", "llvm.prefetch.p0", pointer,
                  *(self.value(n, "i32") for n in (int(to_write), 2, 1)))

    def gather(self, element: str, pointer: Value, offsets: Value, mask: Value | None = None,
               otherwise=0) -> Value:
        """Lane l is `pointer[offsets[l]]`, offsets an integer vector counted in elements."""
        type = like(offsets.type, element)
        if mask is None:
            return self._one_by_one(element, [self.at(pointer, element, self.extract(offsets, lane))
                                              for lane in range(lanes_of(type))])
        return self.call(type, f"llvm.masked.gather.{mangle(type)}.{mangle(like(type, 'ptr'))}",
                         self._aligned(self.at(pointer, element, offsets), element), mask,
                         self.value(otherwise, type))

    def scatter(self, value: Value, pointer: Value, offsets: Value, mask: Value | None = None) -> None:
        """`pointer[offsets[l]] = value[l]`, in lane order."""
        type, element = value.type, element_of(value.type)
        mask = mask or constant(like(type, "i1"), True)
        self.call("void", f"llvm.masked.scatter.{mangle(type)}.{mangle(like(type, 'ptr'))}", value,
                  self._aligned(self.at(pointer, element, offsets), element), mask)

    def load_strided(self, element: str, pointer: Value, stride, lanes: int = LANES,
                     mask: Value | None = None) -> Value:
        """Lane l is `pointer[l * stride]`; strides 0, 1, 2 and -1 known now need no gather."""
        if isinstance(stride, int) and stride == 1:
            return self.masked_load(element, pointer, mask) if mask else \
                self.load_vector(element, pointer, lanes)
        if isinstance(stride, int) and stride == 0:
            return self.load_splat(element, pointer, lanes)
        if isinstance(stride, int) and stride == 2 and mask is None:
            return self._every_second(element, pointer, lanes)
        if isinstance(stride, int) and stride == -1:
            return self._backwards(element, pointer, lanes, mask)
        if mask is None and lanes > 1:
            return self._one_by_one(element, self._places(element, pointer, stride, lanes))
        return self.gather(element, pointer, self.strided_offsets(stride, lanes), mask)

    def _one_by_one(self, element: str, places: list[Value]) -> Value:
        """By as many loads, which take some CPUs a fifth of a gather's time."""
        value = Value("poison", vector(element, len(places)))
        for lane, place in enumerate(places):
            value = self.insert(value, self.load(element, place), lane)
        return value

    def _store_one_by_one(self, value: Value, pointer: Value, stride) -> None:
        element, lanes = element_of(value.type), lanes_of(value.type)
        for lane, place in enumerate(self._places(element, pointer, stride, lanes)):
            self.store(self.extract(value, lane), place)

    def _places(self, element: str, pointer: Value, stride, lanes: int) -> list[Value]:
        """Addresses of strided elements, those of four counted from one pointer."""
        found = []
        for lane in range(lanes):
            if lane % 4 == 0 and lane:
                pointer = self.at(pointer, element, self.mul(stride, 4))
            found.append(self.at(pointer, element, self.mul(stride, lane % 4)))
        return found

    def _backwards(self, element: str, pointer: Value, lanes: int, mask: Value | None) -> Value:
        """The elements before the pointer, nearest first; nothing before the last one wanted is touched."""
        back = list(range(lanes - 1, -1, -1))
        start = self.at(pointer, element, 1 - lanes)
        loaded = self.load_vector(element, start, lanes) if mask is None else \
            self.masked_load(element, start, self.shuffle(mask, None, back))
        return self.shuffle(loaded, None, back)

    def _every_second(self, element: str, pointer: Value, lanes: int) -> Value:
        """Nothing behind the last element is touched."""
        low = self.load_vector(element, pointer, lanes)
        high = self.masked_load(element, self.at(pointer, element, lanes), self.lane_mask(lanes - 1, lanes))
        return self.shuffle(low, high, list(range(0, 2 * lanes, 2)))

    def store_strided(self, value: Value, pointer: Value, stride, mask: Value | None = None) -> None:
        if isinstance(stride, int) and stride == 1:
            return self.masked_store(value, pointer, mask) if mask else self.store(value, pointer)
        if mask is None:
            return self._store_one_by_one(value, pointer, stride)
        self.scatter(value, pointer, self.strided_offsets(stride, lanes_of(value.type)), mask)

    def strided_offsets(self, stride, lanes: int = LANES) -> Value:
        type = vector("i64", lanes)
        if isinstance(stride, int):
            return constant(type, [lane * stride for lane in range(lanes)])
        return self.binary("mul", self.splat(stride, lanes), iota(type))

    def _aligned(self, pointer: Value, element: str):
        return pointer, f"align {alignment(element)}"

    # lanes

    def splat(self, scalar, lanes: int = LANES, element: str = "i64") -> Value:
        """A scalar in every lane."""
        if not isinstance(scalar, Value):
            return constant(vector(element, lanes), scalar)
        if lanes == 1:
            return scalar
        type = vector(scalar.type, lanes)
        if scalar[0] != "%":
            return Value(f"splat ({scalar.typed})", type)
        first = self.let(type, f"insertelement {type} poison, {scalar.typed}, i64 0")
        return self.let(type, f"shufflevector {type} {first}, {type} poison, "
                              f"<{lanes} x i32> zeroinitializer")

    def extract(self, a: Value, lane) -> Value:
        return self.let(element_of(a.type), f"extractelement {a.typed}, {self.value(lane).typed}")

    def insert(self, a: Value, scalar: Value, lane) -> Value:
        return self.let(a.type, f"insertelement {a.typed}, {scalar.typed}, {self.value(lane).typed}")

    def shuffle(self, a: Value, b: Value | None, lanes: list[int]) -> Value:
        """Lanes picked from a (0..) and b (after a's); -1 leaves a lane undefined."""
        picked = ", ".join("i32 poison" if lane < 0 else f"i32 {lane}" for lane in lanes)
        return self.let(vector(element_of(a.type), len(lanes)),
                        f"shufflevector {a.typed}, {(b or poison(a.type)).typed}, "
                        f"<{len(lanes)} x i32> <{picked}>")

    def lane_mask(self, count, lanes: int = LANES) -> Value:
        """i1 lanes that are set for lane < count (an i64, may exceed the lanes; negative counts as many)."""
        type = vector("i32", lanes)
        if isinstance(count, int):
            return constant(vector("i1", lanes), [lane < count for lane in range(lanes)])
        few = self.cast("trunc", self.umin(count, lanes), "i32")
        return self.let(vector("i1", lanes), f"icmp ult {iota(type).typed}, {self.splat(few, lanes)}")

    def fold_lanes(self, a: Value, combine) -> Value:
        """One scalar from all lanes: `combine(upper half with lower half)` until one is left."""
        while (lanes := lanes_of(a.type)) > 1:
            half = lanes // 2
            a = combine(self._lanes(a, 0, half), self._lanes(a, half, lanes))
        return a

    def _lanes(self, a: Value, first: int, last: int) -> Value:
        one = last - first == 1
        return self.extract(a, first) if one else self.shuffle(a, None, list(range(first, last)))

    # control flow

    @contextmanager
    def loop(self, lo, hi, step=1, carried=(), nonempty: bool = False):
        """`for index in range(lo, hi, step)`, tested at the bottom; step > 0.

        `carried` values enter as `loop.values`; `loop.next(*values)` hands them on; `loop.results` are
        theirs after the loop. A guard skips the loop when lo >= hi unless that is known or promised.
        """
        entered = True if nonempty else self.icmp("slt", lo, hi)
        guard = None if entered is True else self.value(entered, "i1")
        loop = Loop(self, lo, hi, step, [self.value(c) for c in carried], guard)
        yield loop
        loop.close()

    @contextmanager
    def repeat(self, carried):
        """A loop that runs once and as long as asked: `loop.again(cond, *values)` ends its body."""
        loop = Repeat(self, [self.value(c) for c in carried])
        yield loop
        loop.close()

    @contextmanager
    def when(self, cond, otherwise=()):
        """The body runs only if `cond`; `branch.give(*values)` replaces `otherwise` in `branch.results`."""
        branch = Branch(self, cond, [self.value(o) for o in otherwise])
        yield branch
        branch.close()

    @contextmanager
    def either(self, cond):
        """Two bodies: `with either.yes:` and `with either.no:`, each with `either.give(*values)`."""
        either = Either(self, cond)
        yield either
        either.close()

    def phi(self, type: str, *arms: tuple[Value, str]) -> Value:
        if len({str(value) for value, _ in arms}) == 1:
            return arms[0][0]
        return self.let(type, f"phi {type} " + ", ".join(f"[ {v}, %{b} ]" for v, b in arms))

    # assembly

    def text(self, symbol: str, linkage: str = "") -> str:
        """The function's definition under `symbol`; a missing return is added."""
        params = ", ".join(f"{type} %{name}" for type, name in self.params)
        body = [*self.head, *self.lines]
        if self.returns == "void":
            body.append("  ret void")
        return "\n".join([f"define {linkage}{self.returns} @{symbol}({params}) nounwind {{", "entry:",
                          *body, "}"])

    def give_back(self, value: Value) -> None:
        """`ret value`, for functions that return something."""
        self.line(f"ret {value.typed}")

    def code(self) -> Code:
        """The module: this function, its helpers and tables, all declarations."""
        return assemble(self)


def assemble(main: Function) -> Code:
    """Code whose symbol holds a hash of everything in the module."""
    helpers = all_helpers(main)
    functions = [main, *helpers.values()]
    declared = {line for f in functions for line in f.declared.values()}
    data = {name: content for f in functions for name, content in f.data.items()}
    text = "\n".join([
        main.text("KERNEL"), "", *(h.text(name, "internal ") + "\n" for name, h in helpers.items()),
        *(table_text(name, content) for name, content in sorted(data.items())), *sorted(declared),
        "!0 = !{}", ""])
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    symbol = f"{re.sub(r'[^A-Za-z0-9_]', '_', main.name)}_{digest}"
    return Code(symbol, text.replace("@KERNEL(", f"@{symbol}(", 1))


def all_helpers(main: Function) -> dict[str, Function]:
    """Helpers and their helpers, each once."""
    found: dict[str, Function] = {}
    waiting = [main]
    while waiting:
        for name, helper in waiting.pop().helpers.items():
            if name not in found:
                found[name] = helper
                waiting.append(helper)
    return found


def table_text(name: str, content: bytes) -> str:
    escaped = "".join(f"\\{byte:02X}" for byte in content)
    return f'@{name} = internal constant [{len(content)} x i8] c"{escaped}", align 64'


class Loop:
    """An open loop: `index`, `values`; `next(*values)` at the end of the body; `results` afterwards."""

    def __init__(self, f: Function, lo, hi, step, carried: list[Value], guard):
        self.f, self.hi, self.step, self.carried, self.guard = f, hi, step, carried, guard
        self.head, self.exit = f.fresh("loop"), f.fresh("done")
        self.handed: list[Value] | None = None
        self.lo = f.value(lo)
        self.before = f.block
        if guard is None:
            f.jump(self.head)
        else:
            f.jump_if(guard, self.head, self.exit)
        f.label(self.head)
        self.index = Value(f"%{f.fresh('i')}", self.lo.type)
        self.values = [Value(f"%{f.fresh('c')}", c.type) for c in carried]
        self.place = len(f.lines)
        f.lines += [""] * (1 + len(carried))

    def __iter__(self):
        return iter((self.index, self.values))

    def next(self, *values) -> None:
        self.handed = [self.f.value(v, c.type) for v, c in zip(values, self.carried, strict=True)]

    def close(self) -> None:
        f, handed = self.f, self.handed if self.handed is not None else self.values
        following = f.add(self.index, self.step)
        again = f.icmp("slt", following, self.hi)
        latch = f.block
        rows = [(self.index, self.lo, following), *zip(self.values, self.carried, handed, strict=True)]
        for k, (name, first, then) in enumerate(rows):
            f.lines[self.place + k] = (f"  {name} = phi {name.type} [ {first}, %{self.before} ], "
                                       f"[ {then}, %{latch} ]")
        f.jump_if(again, self.head, self.exit)
        f.label(self.exit)
        self.results = handed if self.guard is None else [
            f.phi(c.type, (c, self.before), (h, latch))
            for c, h in zip(self.carried, handed, strict=True)]


class Repeat:
    """An open `repeat`: `values` in this turn, `again(cond, *values)`, `results` of the last turn."""

    def __init__(self, f: Function, carried: list[Value]):
        self.f, self.carried, self.before, self.head = f, carried, f.block, f.fresh("turn")
        f.jump(self.head)
        f.label(self.head)
        self.values = [Value(f"%{f.fresh('c')}", c.type) for c in carried]
        self.place = len(f.lines)
        f.lines += [""] * len(carried)

    def again(self, cond: Value, *values) -> None:
        self.cond, self.results = cond, list(values)

    def close(self) -> None:
        f, done = self.f, self.f.fresh("done")
        rows = zip(self.values, self.carried, self.results, strict=True)
        for k, (name, first, then) in enumerate(rows):
            f.lines[self.place + k] = (f"  {name} = phi {name.type} [ {first}, %{self.before} ], "
                                       f"[ {then}, %{f.block} ]")
        f.jump_if(self.cond, self.head, done)
        f.label(done)


class Branch:
    """An open `when`; a condition known now leaves the body in place or drops it."""

    def __init__(self, f: Function, cond, otherwise: list[Value]):
        self.f, self.cond, self.otherwise, self.given = f, cond, otherwise, None
        self.before, self.start, self.results = f.block, len(f.lines), otherwise
        if isinstance(cond, bool):
            return
        self.body, self.exit = f.fresh("then"), f.fresh("end")
        f.jump_if(cond, self.body, self.exit)
        f.label(self.body)

    def give(self, *values) -> None:
        self.given = [self.f.value(v, o.type) for v, o in zip(values, self.otherwise, strict=True)]

    def close(self) -> None:
        f, given = self.f, self.given if self.given is not None else self.otherwise
        if self.cond is True:
            self.results = given
        elif self.cond is False:
            del f.lines[self.start:]
            f.block = self.before
        else:
            self._join(given)

    def _join(self, given) -> None:
        f, last = self.f, self.f.block
        f.jump(self.exit)
        f.label(self.exit)
        self.results = [f.phi(g.type, (g, last), (o, self.before))
                        for g, o in zip(given, self.otherwise, strict=True)]


class Either:
    """An open `either`: two arms that meet again; `results` are phis of what the arms gave."""

    def __init__(self, f: Function, cond):
        self.f = f
        self.arms: list[tuple[list[Value], str]] = []
        self.labels, self.exit = (f.fresh("yes"), f.fresh("no")), f.fresh("end")
        f.jump_if(cond, *self.labels)

    @property
    def yes(self):
        return self._arm(self.labels[0])

    @property
    def no(self):
        return self._arm(self.labels[1])

    @contextmanager
    def _arm(self, label: str):
        self.f.label(label)
        self.given: list[Value] = []
        yield
        self.arms.append((self.given, self.f.block))
        self.f.jump(self.exit)

    def give(self, *values) -> None:
        self.given = [self.f.value(v) for v in values]

    def close(self) -> None:
        f, ((first, a), (second, b)) = self.f, self.arms
        f.label(self.exit)
        self.results = [f.phi(x.type, (x, a), (y, b)) for x, y in zip(first, second, strict=True)]
