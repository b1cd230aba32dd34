"""The scalar instructions of a kernel and what they are in LLVM: one table, `SCALARS`.

A value of a dtype is `lanes` elements: <16 x float>, or plain float for one lane. In registers a
bool is i1 and a bfloat16 is `bfloat`, which only moves: the 16-bit floats are computed in float32
and rounded after every instruction. `from_memory` and `to_memory` stand at the borders.

An entry is `emit(f, made, taken, *args)`: the dtype of the result, the dtype of the operands (the
last one's, so that `select` names its branches), the operands. `emit_instr` widens and narrows round it.
"""
from __future__ import annotations

from collections.abc import Callable

from .. import dtypes
from ..compiler.kernel import LANES, Body, Instr
from ..dtypes import dtype
from . import circular, gamma, special     # noqa: F401    their functions enter the table
from .emit import Function, Value, constant, element_of, like, vector
from .lanes import FUNCTIONS

NARROW = (dtypes.float16, dtypes.bfloat16)
MOVES = {"select", "bitcast", "cast", "copysign"}           # instructions that take 16-bit floats as they are


# --- values of a dtype ----------------------------------------------------------------------------

def element(kind: dtype) -> str:
    """The LLVM type of one element in a register."""
    return "i1" if kind is dtypes.bool else kind.llvm


def value_type(kind: dtype, lanes: int = LANES) -> str:
    return vector(element(kind), lanes)


def literal_value(kind: dtype, number, lanes: int = LANES) -> Value:
    """A constant in every lane."""
    number = bool(number) if kind is dtypes.bool else number if kind.is_floating_point else int(number)
    return constant(value_type(kind, lanes), number)


def from_memory(f: Function, kind: dtype, stored: Value) -> Value:
    """What a load gives (a bool is a byte there) as a value."""
    return f.icmp("ne", stored, 0) if kind is dtypes.bool else stored


def to_memory(f: Function, kind: dtype, value: Value) -> Value:
    return f.cast("zext", value, "i8") if kind is dtypes.bool else value


def from_word(f: Function, index: int, kind: dtype, lanes: int = LANES) -> Value:
    """A Scalar word, which holds the bits of `kind` in its low bytes, in every lane."""
    if kind in NARROW:          # LLVM would keep a lone 16-bit float as a float and convert it in every turn
        return f.cast("bitcast", f.splat(f.word(index, "i16"), lanes), kind.llvm)
    return f.splat(from_memory(f, kind, f.word(index, kind.llvm)), lanes)


# --- 16-bit floats --------------------------------------------------------------------------------

def widened(f: Function, kind: dtype, a: Value) -> Value:
    """A 16-bit float as float32, exactly."""
    if kind is dtypes.float16:
        return f.cast("fpext", a, "float")
    return f.cast("bitcast", f.shl(f.cast("zext", bits_of(f, a), "i32"), 16), "float")


def bits_of(f: Function, a: Value) -> Value:
    """`f.bits`, past LLVM 22's abort on the sign of a lone bfloat: as a vector of one it has none."""
    if a.type != "bfloat":
        return f.bits(a)
    one = f.let("<1 x bfloat>", f"insertelement <1 x bfloat> poison, {a.typed}, i64 0")
    return f.let("i16", f"bitcast {one.typed} to i16")


def narrowed(f: Function, kind: dtype, a: Value) -> Value:
    """A float32 rounded to nearest even; bfloat16 in integers, since hardware flushes denormals there."""
    if kind is dtypes.float16:
        return f.cast("fptrunc", a, "half")
    bits = f.bits(a)
    tie = f.and_(f.lshr(bits, 16), 1)
    rounded = f.lshr(f.add(f.add(bits, tie), 0x7FFF), 16)
    kept = f.select(f.fcmp("uno", a, a), 0x7FC0, rounded)
    return f.cast("bitcast", f.cast("trunc", kept, "i16"), "bfloat")


# --- casts ----------------------------------------------------------------------------------------

def cast(f: Function, made: dtype, taken: dtype, a: Value) -> Value:
    """PyTorch's conversion; a float outside of an integer's range is no error and no poison."""
    if made is taken:
        return a
    if made in NARROW or taken in NARROW:
        return _cast_narrow(f, made, taken, a)
    if made is dtypes.bool:
        return f.fcmp("une", a, 0.0) if taken.is_floating_point else f.icmp("ne", a, 0)
    if taken is dtypes.bool:
        return f.select(a, constant(like(a.type, element(made)), 1), 0)
    if taken.is_floating_point:
        return _cast_from_float(f, made, taken, a)
    if made.is_floating_point:
        return f.cast("sitofp" if taken.is_signed else "uitofp", a, made.llvm)
    return _resized(f, made, taken.is_signed, a)


def _cast_narrow(f, made, taken, a):
    """Everything to and from a 16-bit float goes by way of float32, as in PyTorch."""
    if taken in NARROW:
        return cast(f, made, dtypes.float32, widened(f, taken, a))
    return narrowed(f, made, cast(f, dtypes.float32, taken, a))


def _resized(f, made, signed, a):
    old, new = int(element_of(a.type)[1:]), made.itemsize * 8
    return f.cast("trunc" if new <= old else "sext" if signed else "zext", a, made.llvm)


def _cast_from_float(f, made, taken, a):
    if made.is_floating_point:
        return f.cast("fpext" if made is dtypes.float64 else "fptrunc", a, made.llvm)
    if made is dtypes.uint64:
        return _to_uint64(f, a)
    wide = made in (dtypes.int64, dtypes.uint32)
    return _resized(f, made, True, to_integer(f, a, "i64" if wide else "i32"))


def to_integer(f: Function, a: Value, element: str) -> Value:
    """Truncated to a signed integer; nan and what does not fit become the least one, as on x86."""
    bits = int(element[1:])
    bound = 2.0 ** (bits - 1)
    fits = f.fcmp("olt", f.intrinsic("fabs", a), bound)
    least = constant(like(a.type, element), -(1 << bits - 1))
    return f.select(fits, f.cast("fptosi", a, element), least)


def _to_uint64(f, a):
    """Below 2^63 as a signed number, else shifted down by 2^63 first."""
    high = f.fcmp("oge", a, 2.0 ** 63)
    shifted = f.select(high, f.fsub(a, 2.0 ** 63), a)
    return f.xor(to_integer(f, shifted, "i64"), f.select(high, constant(like(a.type, "i64"), -(1 << 63)), 0))


# --- arithmetic -----------------------------------------------------------------------------------

def by_kind(floats: str | None = None, signed: str | None = None, unsigned: str | None = None,
            bools: str | None = None) -> Callable:
    """A binary instruction with a name for each class of dtype."""
    def emit(f, made, taken, a, b):
        name = (floats if taken.is_floating_point else bools if taken is dtypes.bool
                else signed if taken.is_signed else unsigned or signed)
        if name is None:
            raise NotImplementedError(f"scalar instruction {floats or signed} on {taken.name}")
        return f.binary(name, a, b)
    return emit


def on_floats(name: str, emit: Callable) -> Callable:
    """An instruction that integers and bools do not have; LLVM would abort the process on them."""
    def checked(f, made, taken, *args):
        if not taken.is_floating_point:
            raise NotImplementedError(f"scalar instruction {name} on {taken.name}")
        return emit(f, *args)
    return checked


def intrinsic(name: str) -> Callable:
    return on_floats(name, lambda f, *args: f.intrinsic(name, *args))


def rounding(name: str) -> Callable:
    """Integers are round already."""
    return lambda f, made, taken, a: f.intrinsic(name, a) if taken.is_floating_point else a


def neg(f, made, taken, a):
    if taken is dtypes.bool:
        raise NotImplementedError("scalar instruction neg on bool")
    return f.fneg(a) if taken.is_floating_point else f.sub(0, a)


def absolute(f, made, taken, a):
    if taken.is_floating_point:
        return f.intrinsic("fabs", a)
    if not taken.is_signed:
        return a
    return f.select(f.icmp("slt", a, 0), f.sub(0, a), a)


def extreme(float_relation: str, signed: str, unsigned: str) -> Callable:
    """min and max; a nan on either side is the result."""
    def emit(f, made, taken, a, b):
        if not taken.is_floating_point:
            return f.intrinsic(signed if taken.is_signed else unsigned, a, b)
        other = f.select(f.fcmp(float_relation, a, b), a, b)      # b if unordered
        return f.select(f.fcmp("uno", a, a), a, other)
    return emit


def compare(floats: str, ints: str) -> Callable:
    def emit(f, made, taken, a, b):
        if taken.is_floating_point:
            return f.fcmp(floats, a, b)
        sign = "" if ints in ("eq", "ne") else "s" if taken.is_signed else "u"
        return f.icmp(sign + ints, a, b)
    return emit


def isnan(f, made, taken, a):
    return f.fcmp("uno", a, a) if taken.is_floating_point else constant(like(a.type, "i1"), False)


def copysign(f, made, taken, a, b):
    """a, turned where the signs differ."""
    own = bits_of(f, a)
    differs = f.icmp("slt", f.xor(own, bits_of(f, b)), 0)
    turned = f.select(differs, f.xor(own, -(1 << 8 * taken.itemsize - 1)), own)
    return f.cast("bitcast", turned, made.llvm)


def signbit(f, made, taken, a):
    if not taken.is_signed:
        return constant(like(a.type, "i1"), False)
    return f.icmp("slt", f.bits(a) if taken.is_floating_point else a, 0)


def select(f, made, taken, cond, a, b):
    return f.select(cond, a, b)


def bitwise_not(f, made, taken, a):
    return f.not_(a)


def shift(op: str) -> Callable:
    """A count outside of the width leaves nothing; a signed right shift leaves the sign."""
    def emit(f, made, taken, a, count):
        width = taken.itemsize * 8
        sound = f.icmp("ult", count, width)
        arithmetic = op == "shr" and taken.is_signed
        if arithmetic:
            return f.ashr(a, f.select(sound, count, width - 1))
        moved = f.binary("shl" if op == "shl" else "lshr", a, f.select(sound, count, 0))
        return f.select(sound, moved, 0)
    return emit


def bitcast(f, made, taken, a):
    return f.cast("bitcast", a, element(made))


# --- division -------------------------------------------------------------------------------------

def quotient(f: Function, kind: dtype, a: Value, b: Value) -> Value:
    """Integer a / b toward zero, 0 where b is 0; never traps.

    Up to 32 bits a float quotient is exact enough: q = a / b differs from the next integer by at
    least 1 / b, rounding moves it by less than that (|a| < 2^32 in float64, 2^16 in float32).
    """
    safe = f.select(f.icmp("eq", b, 0), 1, b)
    if kind.itemsize == 8:
        return _long_quotient(f, kind, a, b, safe)
    wide = dtypes.float64 if kind.itemsize == 4 else dtypes.float32
    q = f.fdiv(cast(f, wide, kind, a), cast(f, wide, kind, safe))
    whole = f.cast("fptosi", q, "i64" if kind.itemsize == 4 else "i32")
    return f.select(f.icmp("eq", b, 0), 0, f.cast("trunc", whole, kind.llvm))


def _long_quotient(f, kind, a, b, safe):
    """The hardware's division, kept away from 0 and from least / -1."""
    if not kind.is_signed:
        return f.select(f.icmp("eq", b, 0), 0, f.binary("udiv", a, safe))
    minus = f.icmp("eq", b, -1)
    q = f.binary("sdiv", a, f.select(minus, 1, safe))
    return f.select(f.icmp("eq", b, 0), 0, f.select(minus, f.sub(0, a), q))


def truncdiv(f, made, taken, a, b):
    if taken.is_floating_point:
        return f.intrinsic("trunc", f.fdiv(a, b))
    return quotient(f, taken, a, b)


FMOD = FUNCTIONS["fmod"]


def fmod(f, made, taken, a, b):
    """C's remainder: the sign of a. An integer modulo 0 is 0."""
    if taken.is_floating_point:
        return FMOD(f, a, b)
    rest = f.sub(a, f.mul(quotient(f, taken, a, b), b))
    return f.select(f.icmp("eq", b, 0), 0, rest)


def _disagrees(f, taken, rest, b):
    """Where Python's remainder is one divisor further than C's: rest is not 0 and signs differ."""
    if taken.is_floating_point:
        differs = f.xor(f.fcmp("olt", rest, 0.0), f.fcmp("olt", b, 0.0))
        return f.and_(f.fcmp("une", rest, 0.0), differs)
    return f.and_(f.icmp("ne", rest, 0), f.icmp("slt", f.xor(rest, b), 0))


def remainder(f, made, taken, a, b):
    """Python's remainder: the sign of b."""
    rest = fmod(f, made, taken, a, b)
    if not taken.is_signed:
        return rest
    onward = f.fadd(rest, b) if taken.is_floating_point else f.add(rest, b)
    return f.select(_disagrees(f, taken, rest, b), onward, rest)


def floordiv(f, made, taken, a, b):
    if taken.is_floating_point:
        return _float_floordiv(f, taken, a, b)
    q = quotient(f, taken, a, b)
    if not taken.is_signed:
        return q
    down = _disagrees(f, taken, f.sub(a, f.mul(q, b)), b)
    down = f.and_(down, f.icmp("ne", b, 0))
    return f.select(down, f.sub(q, 1), q)


def _float_floordiv(f, taken, a, b):
    """From the exact remainder, as Python and PyTorch do: floor(a / b) itself can round up."""
    exact = f.fdiv(a, b)
    rest = FMOD(f, a, b)
    q = f.fdiv(f.fsub(a, rest), b)
    q = f.select(_disagrees(f, taken, rest, b), f.fsub(q, 1.0), q)
    low = f.intrinsic("floor", q)
    low = f.select(f.fcmp("ogt", f.fsub(q, low), 0.5), f.fadd(low, 1.0), low)
    zero = f.intrinsic("copysign", constant(a.type, 0.0), exact)
    low = f.select(f.fcmp("oeq", q, 0.0), zero, low)
    return f.select(f.fcmp("oeq", b, 0.0), exact, low)


def power(f, made, taken, a, b):
    return FUNCTIONS["pow"](f, a, b) if taken.is_floating_point else _integer_power(f, taken, a, b)


def _integer_power(f, taken, a, b):
    """Squaring, for as many turns as the largest exponent has bits; 1 / a^-b truncated if b < 0."""
    one, zero = constant(a.type, 1), constant(a.type, 0)
    negative = f.icmp("slt", b, 0) if taken.is_signed else constant(like(a.type, "i1"), False)
    exponent = f.select(negative, 0, b)
    with f.loop(0, taken.itemsize * 8, 1, carried=[one, a, exponent]) as loop:
        total, square, left = loop.values
        odd = f.icmp("ne", f.and_(left, 1), 0)
        loop.next(f.select(odd, f.mul(total, square), total), f.mul(square, square), f.lshr(left, 1))
    if not taken.is_signed:
        return loop.results[0]
    sign = f.select(f.icmp("eq", f.and_(b, 1), 0), one, -1)
    inverse = f.select(f.icmp("eq", a, 1), one, f.select(f.icmp("eq", a, -1), sign, zero))
    return f.select(negative, inverse, loop.results[0])


# --- the table ------------------------------------------------------------------------------------

def function(name: str) -> Callable:
    """An instruction of cpu/math.py, on float32 or float64."""
    return on_floats(name, FUNCTIONS[name])


SCALARS: dict[str, Callable] = {
    "add": by_kind("fadd", "add", bools="or"),
    "sub": by_kind("fsub", "sub"),
    "mul": by_kind("fmul", "mul", bools="and"),
    "div": by_kind("fdiv"),
    "floordiv": floordiv, "truncdiv": truncdiv, "remainder": remainder, "fmod": fmod,
    "pow": power,
    "neg": neg, "abs": absolute,
    "min": extreme("olt", "smin", "umin"), "max": extreme("ogt", "smax", "umax"),
    "fma": intrinsic("fma"), "sqrt": intrinsic("sqrt"), "copysign": copysign,
    "floor": rounding("floor"), "ceil": rounding("ceil"), "trunc": rounding("trunc"),
    "round": rounding("roundeven"),
    "signbit": signbit, "isnan": isnan,
    "lt": compare("olt", "lt"), "le": compare("ole", "le"), "eq": compare("oeq", "eq"),
    "ne": compare("une", "ne"), "gt": compare("ogt", "gt"), "ge": compare("oge", "ge"),
    "select": select,
    "and_": by_kind(signed="and", bools="and"), "or_": by_kind(signed="or", bools="or"),
    "xor": by_kind(signed="xor", bools="xor"), "not_": bitwise_not,
    "shl": shift("shl"), "shr": shift("shr"),
    "cast": cast, "bitcast": bitcast,
    **{name: function(name) for name in FUNCTIONS if name not in ("pow", "fmod")},
}


def emit_instr(f: Function, op: str, made: dtype, taken: dtype | None, args: list[Value],
               literal=None, lanes: int = LANES) -> Value:
    """One instruction: `made` is the result's dtype, `taken` the operands' (the last one's)."""
    if op == "const":
        return literal_value(made, literal, lanes)
    if op not in SCALARS:
        raise NotImplementedError(f"scalar instruction {op}")
    if op in MOVES or (made not in NARROW and taken not in NARROW):
        return SCALARS[op](f, made, taken, *args)
    wide = [widened(f, taken, a) if element_of(a.type) == taken.llvm else a for a in args]
    result = SCALARS[op](f, dtypes.float32 if made in NARROW else made, dtypes.float32, *wide)
    return narrowed(f, made, result) if made in NARROW else result


def emit_body(f: Function, body: Body, inputs: list[Value], lanes: int = LANES) -> list[Value]:
    """Runs a body on `inputs` (values, one for each of body.inputs) and gives its outputs."""
    values, kinds = list(inputs), list(body.inputs)
    for instr in body.instrs:
        values.append(_step(f, instr, values, kinds, lanes))
        kinds.append(instr.dtype)
    return [values[i] for i in body.outputs]


def _step(f: Function, instr: Instr, values, kinds, lanes) -> Value:
    taken = kinds[instr.args[-1]] if instr.args else None
    return emit_instr(f, instr.op, instr.dtype, taken, [values[i] for i in instr.args],
                      instr.literal, lanes)
