"""Every scalar instruction on every dtype against NumPy."""
import itertools
import math

import numpy as np
import pytest

from rushlight import dtypes as d
from rushlight.compiler.kernel import Body, Instr
from rushlight.cpu import probe
from rushlight.cpu.emit import Function
from rushlight.cpu.scalar import SCALARS, emit_body, emit_instr, literal_value

FLOATS = [d.float16, d.bfloat16, d.float32, d.float64]
INTS = [d.uint8, d.int8, d.int16, d.int32, d.int64, d.uint16, d.uint32, d.uint64]
SIGNED = [k for k in INTS if k.is_signed]
REALS = FLOATS + INTS
ALL = [d.bool, *REALS]
FLOAT_SPECIALS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 7.25, -100.0, 65504.0, 1e-7,
                  math.inf, -math.inf, math.nan]


def values(kind):
    """Special values and some random ones."""
    rng = np.random.default_rng(7)
    if kind is d.bool:
        return np.array([False, True])
    if kind.is_floating_point:
        return np.array([*FLOAT_SPECIALS, *rng.normal(0, 10, 15)]).astype(kind.numpy)
    info = np.iinfo(kind.numpy)
    return np.array([0, 1, 2, 3, 5, 7, 100, info.max, info.max - 1, info.min, info.min + 1,
                     *rng.integers(info.min, info.max, 12, dtype=kind.numpy)], kind.numpy)


def pairs(kind):
    found = values(kind)
    a, b = np.meshgrid(found, found)
    return a.ravel(), b.ravel()


def wide(x):
    """What a 16-bit float is computed in."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x


def check(op, made, *arrays, reference):
    with np.errstate(all="ignore"):
        expected = np.asarray(reference(*map(wide, arrays))).astype(made.numpy)
    assert_same(probe.apply(op, made, *arrays), expected)


def assert_same(got, expected):
    """Equal bits, except that one nan is like another."""
    got, expected = map(wide, (got, expected))
    if got.dtype.kind == "f":
        nans = np.isnan(expected)
        assert np.array_equal(nans, np.isnan(got))
        got, expected = got[~nans], expected[~nans]
        assert np.array_equal(np.signbit(got), np.signbit(expected))
    assert np.array_equal(got, expected), (got[got != expected], expected[got != expected])


each = pytest.mark.parametrize


@each("kind", REALS, ids=repr)
@each("op, reference", [("add", np.add), ("sub", np.subtract), ("mul", np.multiply)])
def test_arithmetic(op, reference, kind):
    check(op, kind, *pairs(kind), reference=reference)


@each("kind", FLOATS, ids=repr)
def test_float_arithmetic(kind):
    check("div", kind, *pairs(kind), reference=np.divide)
    check("copysign", kind, *pairs(kind), reference=np.copysign)
    check("sqrt", kind, values(kind), reference=np.sqrt)
    check("truncdiv", kind, *pairs(kind), reference=lambda a, b: np.trunc(a / b))


def test_fma_rounds_once():
    x = np.array([1 + 2.0 ** -12] * 16, np.float32)
    assert (probe.apply("fma", d.float32, x, x, -x * x) == np.float32(2.0 ** -24)).all()


@each("kind", REALS, ids=repr)
def test_unary(kind):
    x = values(kind)
    check("neg", kind, x, reference=lambda a: -a if kind.is_floating_point else 0 - a)
    check("abs", kind, x, reference=np.abs)
    check("signbit", d.bool, x, reference=np.signbit if kind.is_floating_point else lambda a: a < 0)
    check("isnan", d.bool, x, reference=np.isnan)


@each("kind", REALS, ids=repr)
@each("op, reference", [("floor", np.floor), ("ceil", np.ceil), ("trunc", np.trunc), ("round", np.rint)])
def test_rounding(op, reference, kind):
    same = reference if kind.is_floating_point else (lambda a: a)
    check(op, kind, values(kind), reference=same)


@each("kind", REALS, ids=repr)
def test_min_max_keep_nan(kind):
    a, b = pairs(kind)
    zeros = (a == 0) & (b == 0)         # the sign of min(0, -0) is free
    a, b = a[~zeros], b[~zeros]
    check("min", kind, a, b, reference=np.minimum)
    check("max", kind, a, b, reference=np.maximum)


@each("kind", ALL, ids=repr)
@each("op, reference", [("lt", np.less), ("le", np.less_equal), ("eq", np.equal), ("ne", np.not_equal),
                        ("gt", np.greater), ("ge", np.greater_equal)])
def test_compare(op, reference, kind):
    check(op, d.bool, *pairs(kind), reference=reference)


@each("kind", ALL, ids=repr)
def test_select(kind):
    a, b = pairs(kind)
    cond = np.arange(len(a)) % 3 == 0
    check("select", kind, cond, a, b, reference=np.where)


@each("kind", [d.bool, *INTS], ids=repr)
def test_bits(kind):
    for op, reference in ("and_", np.bitwise_and), ("or_", np.bitwise_or), ("xor", np.bitwise_xor):
        check(op, kind, *pairs(kind), reference=reference)
    check("not_", kind, values(kind), reference=np.invert)


@each("kind", [d.bool], ids=repr)
def test_bool_arithmetic(kind):
    check("add", kind, *pairs(kind), reference=np.logical_or)
    check("mul", kind, *pairs(kind), reference=np.logical_and)


def python(rule):
    """A reference for integers, element by element in unbounded integers, wrapped to the dtype."""
    def call(*arrays):
        bits = arrays[0].dtype.itemsize * 8
        unsigned = [rule(*map(int, row)) % 2 ** bits for row in zip(*arrays, strict=True)]
        return np.array(unsigned, f"u{bits // 8}").view(arrays[0].dtype)
    return call


def toward_zero(a, b):
    return 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


@each("kind", INTS, ids=repr)
@each("op, rule", [
    ("truncdiv", toward_zero),
    ("floordiv", lambda a, b: 0 if b == 0 else a // b),
    ("fmod", lambda a, b: 0 if b == 0 else a - b * toward_zero(a, b)),
    ("remainder", lambda a, b: 0 if b == 0 else a % b),
])
def test_integer_division_never_traps(op, rule, kind):
    check(op, kind, *pairs(kind), reference=python(rule))


def python_remainder(a, b):
    rest = np.fmod(a, b)
    return np.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)


def floor_division(a, b):
    """PyTorch's, element by element."""
    rest = np.fmod(a, b)
    q = (a - rest) / b
    q = np.where((rest != 0) & ((rest < 0) != (b < 0)), q - 1, q)
    low = np.floor(q)
    low = np.where(q - low > 0.5, low + 1, low)
    low = np.where(q == 0, np.copysign(np.zeros_like(q), a / b), low)
    return np.where(b == 0, a / b, low)


@each("kind", FLOATS, ids=repr)
@each("op, reference", [("fmod", np.fmod), ("remainder", python_remainder), ("floordiv", floor_division)])
def test_float_remainders(op, reference, kind):
    check(op, kind, *pairs(kind), reference=reference)


@each("kind", [d.float32, d.float64], ids=repr)
def test_fmod_of_any_size(kind):
    rng = np.random.default_rng(1)
    a, b = ((rng.normal(size=4096) * np.exp(rng.uniform(-80, 80, 4096))).astype(kind.numpy) for _ in "ab")
    info = np.finfo(kind.numpy)
    ends = np.array([info.max, info.tiny, info.smallest_subnormal * 3, info.max / 3], kind.numpy)
    more = map(np.ravel, np.meshgrid(ends, ends))
    a, b = (np.concatenate(two) for two in zip((a, b), more, strict=True))
    check("fmod", kind, a, b, reference=np.fmod)


@each("kind", INTS, ids=repr)
def test_shifts(kind):
    width = kind.itemsize * 8
    a, b = pairs(kind)
    b = np.where(np.arange(len(b)) % 2 == 0, b, b % kind.numpy.type(width + 2))
    inside = lambda n: 0 <= n < width
    check("shl", kind, a, b, reference=python(lambda a, n: a << n if inside(n) else 0))
    most = width - 1 if kind.is_signed else width
    check("shr", kind, a, b, reference=python(lambda a, n: a >> (n if inside(n) else most)))


@each("kind", INTS, ids=repr)
def test_integer_power(kind):
    def power(a, n):
        if n >= 0:
            return pow(a, n, 2 ** 64)
        return 1 if a == 1 else (1 if n % 2 == 0 else -1) if a == -1 else 0
    a = np.array([0, 1, 2, 3, 7, 10, *([-1, -1, -2, -3] if kind.is_signed else [])], kind.numpy)
    b = np.array([0, 1, 2, 3, 5, 63, 64, 100, *([-1, -2, -3] if kind.is_signed else [])], kind.numpy)
    a, b = map(np.ravel, np.meshgrid(a, b))
    check("pow", kind, a, b, reference=python(power))


# --- casts ----------------------------------------------------------------------------------------

def x86_integer(x, kind):
    """Truncation; nan and what does not fit become the least 32- or 64-bit integer, then wrap."""
    if kind is d.uint64:
        return np.array([_to_uint64(v) for v in x.astype(np.float64)], np.uint64)
    wide = 64 if kind in (d.int64, d.uint32) else 32
    whole = [int(v) if abs(v) < 2.0 ** (wide - 1) else -2 ** (wide - 1) for v in x.astype(np.float64)]
    bits = kind.itemsize * 8
    return np.array([w % 2 ** bits for w in whole], f"u{bits // 8}").view(kind.numpy)


def _to_uint64(v):
    if math.isnan(v) or abs(v) >= 2.0 ** 64 or v <= -2.0 ** 63:
        return 2 ** 63 if not v >= 2.0 ** 63 else 0
    return int(v) % 2 ** 64


def numpy_cast(x, made):
    x = wide(x)
    if made is d.bool:
        return x != 0
    if x.dtype.kind == "f" and made.rank == 1:
        return x86_integer(x, made)
    if made in (d.float16, d.bfloat16):
        x = x.astype(np.float32)
    return x.astype(made.numpy)


@each("taken, made", list(itertools.product(ALL, ALL)), ids=repr)
def test_cast(taken, made):
    x = values(taken)
    if taken.is_floating_point and made.rank == 1:
        x = np.concatenate([x, np.array([1e9, -1e9, 3e9, 1e19, -3e9, 255.9, 256.5, -1.5, -129.0], np.float64)
                            .clip(-6e4 if taken is d.float16 else -1e30, 6e4 if taken is d.float16 else 1e30)
                            .astype(taken.numpy)])
    check("cast", made, x, reference=lambda a: numpy_cast(a, made))


def test_bfloat16_rounds_to_even_and_keeps_denormals():
    bits = np.arange(0, 2 ** 32, 65521 * 7, dtype=np.uint64).astype(np.uint32)
    x = np.concatenate([bits, np.array([0x3F808000, 0x3F818000, 0x00008001, 0x7F7FFFFF], np.uint32)])
    check("cast", d.bfloat16, x.view(np.float32), reference=lambda a: a.astype(d.bfloat16.numpy))


def test_narrow_floats_round_after_every_instruction():
    x = np.array([2048.0, 2048.0], np.float16)
    body = Body((d.float16,), (Instr("const", d.float16, (), 1.0), Instr("add", d.float16, (0, 1)),
                               Instr("sub", d.float16, (2, 0))), (3,))
    assert (run_body(body, d.float16, x) == 0).all()        # 2049 is 2048 in float16


def test_bitcast():
    x = values(d.float32)
    check("bitcast", d.int32, x, reference=lambda a: a.view(np.int32))
    check("bitcast", d.bfloat16, values(d.int16), reference=lambda a: a.view(d.bfloat16.numpy))


# --- bodies ---------------------------------------------------------------------------------------

def run_body(body, made, *arrays):
    f = Function("body")
    inputs = [f.load_vector(kind.llvm, f.word(i, "ptr")) for i, kind in enumerate(body.inputs)]
    (result,) = emit_body(f, body, inputs)
    f.store(result, f.word(len(arrays), "ptr"))
    out = np.empty(16, made.numpy)
    probe.call(f.code(), *(np.resize(a, 16) for a in arrays), out, hi=0)
    return out


def test_body_numbers_its_values():
    body = Body((d.float32, d.float32), (Instr("mul", d.float32, (0, 1)), Instr("const", d.float32, (), 0.5),
                                         Instr("add", d.float32, (2, 3)), Instr("gt", d.bool, (4, 0)),
                                         Instr("select", d.float32, (5, 4, 1))), (6,))
    x, y = np.linspace(-2, 2, 16, dtype=np.float32), np.linspace(1, 3, 16, dtype=np.float32)
    z = x * y + np.float32(0.5)
    assert_same(run_body(body, d.float32, x, y), np.where(z > x, z, y))


@each("kind", ALL, ids=repr)
def test_literals(kind):
    number = True if kind is d.bool else 1.25 if kind.is_floating_point else 77
    f = Function("literal")
    value = literal_value(kind, number)
    f.store(f.cast("zext", value, "i8") if kind is d.bool else value, f.word(0, "ptr"))
    out = np.zeros(16, kind.numpy)
    probe.call(f.code(), out, hi=0)
    assert (out == np.array(number).astype(kind.numpy)).all()


@each("op", ["add", "remainder", "cast", "exp", "pow", "sin", "fmod", "floordiv"])
@each("kind", [d.float32, d.float64, d.float16], ids=repr)
def test_one_lane_gives_the_bits_of_sixteen(op, kind):
    n = 2 if op in ("add", "remainder", "pow", "fmod", "floordiv") else 1
    arrays = pairs(kind)[:n]
    made = d.int32 if op == "cast" else kind
    assert_same(probe.apply(op, made, *arrays, lanes=1), probe.apply(op, made, *arrays))


def test_unknown_instruction_is_named():
    with pytest.raises(NotImplementedError, match="frobnicate"):
        emit_instr(Function("f"), "frobnicate", d.float32, d.float32, [])


def test_what_integers_lack_is_named():
    for op in "sqrt", "exp", "and_":
        kind = d.float32 if op == "and_" else d.int32
        with pytest.raises(NotImplementedError, match=f"{kind.name}|and"):
            probe.kernel(op, kind, (kind,) * (2 if op == "and_" else 1))


def test_table_is_closed():
    assert {"add", "select", "cast", "exp", "pow", "erf"} <= set(SCALARS)
