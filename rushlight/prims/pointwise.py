"""Pointwise primitives: equal shapes in, the same shape out.

A slope is d out / d in, written as slope(y, *inputs) in public operations; what it does not
read is named with a leading underscore and is not saved. Operands have equal dtypes unless said
otherwise; promotion has happened before.
"""
from __future__ import annotations

import cmath
import math

import numpy as np

from .. import dtypes
from .. import ops as o
from .samples import booleans, draws, integers, pairs, numbers
from .table import MINUS_ONE, NONDIFFERENTIABLE, ONE, bool_dtype, conjugate, last_dtype, pointwise

def _acosh_slope(_y, x):
    """Of complex numbers by two roots, which have the cut of acosh."""
    return o.rsqrt(x - 1) * o.rsqrt(x + 1) if x.dtype.is_complex else o.rsqrt(x * x - 1)


TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)
LN2, LN10 = math.log(2), math.log(10)


def _quiet(f):
    """The meaning at the borders of a domain is inf or nan, not a warning."""
    def call(*xs, **params):
        with np.errstate(all="ignore"):
            return f(*xs, **params)
    return call


def _wide(f):
    """The meaning of several steps on halves: in float32, rounded once."""
    def call(*xs, **params):
        if xs[0].dtype.itemsize == 2 and xs[0].dtype.kind not in "iu":
            return np.asarray(f(*(x.astype(np.float32) for x in xs), **params)).astype(xs[0].dtype)
        return f(*xs, **params)
    return call


# -- arithmetic -------------------------------------------------------------------------------
add = pointwise("add", numpy=_quiet(np.add), slope=(ONE, ONE), samples=pairs(),
                body=lambda k, a, b: k.or_(a, b) if k.is_bool(a) else k.add(a, b))
sub = pointwise("sub", numpy=_quiet(np.subtract), slope=(ONE, MINUS_ONE), samples=pairs(bools=False))
mul = pointwise("mul", numpy=_quiet(np.multiply), samples=pairs(),
                slope=(lambda _y, _a, b: b, lambda _y, a, _b: a),
                body=lambda k, a, b: k.and_(a, b) if k.is_bool(a) else k.mul(a, b))
div = pointwise("div", numpy=_quiet(np.true_divide), samples=pairs(floats=True),
                vjp=(lambda g, _y, _a, b: g / conjugate(b), lambda g, _y, a, b: -g * conjugate((a / b) / b)),
                jvp=lambda ts, y, a, b: _sum(None if ts[0] is None else ts[0] / b,
                                             None if ts[1] is None else -ts[1] * (y / b)), arity=2)
neg = pointwise("neg", numpy=np.negative, slope=MINUS_ONE, samples=numbers(bools=False))
abs = pointwise("abs", numpy=np.abs, dtype=lambda ds: ds[0].to_real(), vjp=(lambda g, _y, x: g * o.sgn(x),),
                jvp=lambda ts, y, x: o.real_part(ts[0] * conjugate(o.sgn(x))), arity=1, samples=numbers(bools=False))
sign = pointwise("sign", numpy=lambda x: np.where(x != x, 0, np.sign(x)) if x.dtype != bool else x, samples=numbers(bools=False),
                 slope=lambda _y, x: o.zeros_like(x),
                 body=lambda k, x: k.select(k.isnan(x), k.const(0, k.dtype(x)), _sign(k, x)))
reciprocal = pointwise("reciprocal", numpy=_quiet(lambda x: (np.ones((), x.dtype) / x).astype(x.dtype)),
                       slope=lambda y, _x: -y * y,
                       samples=draws(0.2, 4), body=lambda k, x: k.div(k.const(1, k.dtype(x)), x))
sqrt = pointwise("sqrt", numpy=_quiet(np.sqrt), vjp=(lambda g, y, _x: g / (2 * conjugate(y)),), samples=draws(0.1, 9),
                 jvp=lambda ts, y, x: ts[0] / (2 * y))
rsqrt = pointwise("rsqrt", numpy=_quiet(_wide(lambda x: (np.ones((), x.dtype) / np.sqrt(x)).astype(x.dtype))),
                  slope=lambda y, _x: -0.5 * y * y * y, samples=draws(0.1, 9), ulp=1,
                  body=lambda k, x: k.div(k.const(1, k.dtype(x)), k.sqrt(x)))


# -- what optimisers are made of: one node each ---------------------------------------------------
addcmul = pointwise("addcmul", numpy=_quiet(lambda a, b, c, v: a + b * v * c), samples=draws(-2, 2, 4),
                    slope=(ONE, lambda _y, _a, _b, c, v: c * v, lambda _y, _a, b, _c, v: b * v, None),
                    body=lambda k, a, b, c, v: k.add(a, k.mul(k.mul(b, v), c)))
addcdiv = pointwise("addcdiv", numpy=_quiet(lambda a, b, c, v: a + b * v / c), samples=draws(0.5, 2, 4),
                    slope=(ONE, lambda _y, _a, _b, c, v: v / c, lambda _y, _a, b, c, v: -(b * v) / (c * c), None),
                    body=lambda k, a, b, c, v: k.add(a, k.div(k.mul(b, v), c)))
lerp_near = pointwise("lerp_near", numpy=_quiet(lambda a, b, w: a + (b - a) * w), samples=draws(-2, 2, 3),
                      slope=(lambda _y, _a, _b, w: 1 - w, lambda _y, _a, _b, w: w, None),
                      body=lambda k, a, b, w: k.add(a, k.mul(k.sub(b, a), w)))
lerp_far = pointwise("lerp_far", numpy=_quiet(lambda a, b, v: b - (b - a) * v), samples=draws(-2, 2, 3),
                     slope=(lambda _y, _a, _b, v: v, lambda _y, _a, _b, v: 1 - v, None),
                     body=lambda k, a, b, v: k.sub(b, k.mul(k.sub(b, a), v)))


def _sign(k, x):
    zero, one = k.const(0, k.dtype(x)), k.const(1, k.dtype(x))
    less = k.const(-1, k.dtype(x)) if k.dtype(x).is_signed else zero
    return k.select(k.gt(x, zero), one, k.select(k.lt(x, zero), less, zero))


def _sum(a, b):
    return b if a is None else a if b is None else a + b


def _pow(a, b):
    if a.dtype.kind in "iu":
        with np.errstate(all="ignore"):
            return np.where(b < 0, np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b & 1), 0)),
                            np.power(a, np.where(b < 0, 0, b))).astype(a.dtype)
    with np.errstate(all="ignore"):
        return np.power(a, b)


def _pow_base_slope(_y, a, b):
    """b a^(b-1), 0 where b is 0; either may be a number."""
    if isinstance(b, (int, float, complex)):
        return b * a ** (b - 1) if b else a * 0
    return o.where(b == 0, 0.0, b * a ** (b - 1))


def _pow_exponent_slope(y, a, b):
    """y log(a), 0 where 0 is raised to what is not negative."""
    if y.dtype.is_complex:
        return _complex_exponent_slope(y, a, b)
    if not isinstance(a, (int, float)):
        return o.where((a == 0) & (b >= 0), 0.0, y * o.log(a))
    if a == 0:
        return o.where(b >= 0, 0.0, -y)
    return y * (math.log(a) if a > 0 else math.nan)


def _complex_exponent_slope(y, a, b):
    """The same for complex numbers, one of which may be real."""
    if not isinstance(a, (int, float, complex)):
        return o.where((a == 0) & (o.real(b) >= 0), 0.0, y * o.log(a.to(y.dtype)))
    return o.where(o.real(b) >= 0, 0.0, y * complex(math.nan, math.nan)) if a == 0 else y * cmath.log(a)


pow = pointwise("pow", numpy=_pow, ulp=4, samples=pairs(floats=True, low=0.2, high=3),
                slope=(_pow_base_slope, _pow_exponent_slope))
pow.gradient.name = "PowBackward1"


def _remainder(a, b):
    with np.errstate(all="ignore"):
        if a.dtype.kind == "f" or a.dtype.kind == "V":
            r = np.fmod(a, b)
            return np.where((r != 0) & ((r < 0) != (b < 0)), r + b, r).astype(a.dtype)
        return np.remainder(a, b)


remainder = pointwise("remainder", numpy=_wide(_remainder), samples=pairs(bools=False, nonzero=True),
                      slope=(ONE, lambda _y, a, b: -o.div(a, b, rounding_mode="floor")))
fmod = pointwise("fmod", numpy=_quiet(np.fmod), samples=pairs(bools=False, nonzero=True),
                 slope=(ONE, lambda _y, a, b: -o.div(a, b, rounding_mode="trunc")))

remainder.gradient.name, fmod.gradient.name = "RemainderBackward1", "FmodBackward1"


def _floor_div(a, b):
    with np.errstate(all="ignore"):
        if a.dtype.kind in "iu":
            return np.floor_divide(a, b)
        exact = a / b
        q = (a - _remainder(a, b)) / b
        near = np.floor(q)
        near = np.where(q - near > 0.5, near + 1, near)
        return np.where((b == 0) | ~np.isfinite(exact), exact, near).astype(a.dtype)


floor_divide = pointwise("floor_divide", numpy=_wide(_floor_div), slope=NONDIFFERENTIABLE, arity=2,
                         samples=pairs(bools=False, nonzero=True),
                         body=lambda k, a, b: k.floordiv(a, b))
trunc_divide = pointwise("trunc_divide", numpy=_quiet(_wide(
    lambda a, b: np.trunc(a / b).astype(a.dtype) if a.dtype.kind not in "iu"
    else (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype))), slope=NONDIFFERENTIABLE, arity=2,
    samples=pairs(bools=False, nonzero=True),
    body=lambda k, a, b: k.truncdiv(a, b))

maximum = pointwise("maximum", numpy=np.maximum, samples=pairs(),
                    body=lambda k, a, b: k.or_(a, b) if k.is_bool(a) else k.max(a, b),
                    slope=(lambda _y, a, b: o.where(a == b, 0.5, (a > b).to(a.dtype)),
                           lambda _y, a, b: o.where(a == b, 0.5, (b > a).to(a.dtype))))
minimum = pointwise("minimum", numpy=np.minimum, samples=pairs(),
                    body=lambda k, a, b: k.and_(a, b) if k.is_bool(a) else k.min(a, b),
                    slope=(lambda _y, a, b: o.where(a == b, 0.5, (a < b).to(a.dtype)),
                           lambda _y, a, b: o.where(a == b, 0.5, (b < a).to(a.dtype))))

# -- exponential and friends ---------------------------------------------------------------------
exp = pointwise("exp", numpy=_quiet(np.exp), slope=lambda y, _x: y, samples=draws(-3, 3), ulp=2)
exp2 = pointwise("exp2", numpy=_quiet(np.exp2), slope=lambda y, _x: y * LN2, samples=draws(-3, 3), ulp=2)
expm1 = pointwise("expm1", numpy=_quiet(np.expm1), slope=lambda y, _x: y + 1, samples=draws(-3, 3), ulp=3)
log = pointwise("log", numpy=_quiet(np.log), vjp=(lambda g, _y, x: g / conjugate(x),), jvp=lambda ts, y, x: ts[0] / x,
                samples=draws(0.1, 9), ulp=2)
log2 = pointwise("log2", numpy=_quiet(np.log2), slope=lambda _y, x: 1 / (x * LN2), samples=draws(0.1, 9), ulp=3)
log10 = pointwise("log10", numpy=_quiet(np.log10), slope=lambda _y, x: 1 / (x * LN10), samples=draws(0.1, 9), ulp=3)
log1p = pointwise("log1p", numpy=_quiet(np.log1p), slope=lambda _y, x: 1 / (x + 1), samples=draws(-0.8, 5), ulp=3)
log1p.gradient.name = "Log1PBackward0"
tanh = pointwise("tanh", numpy=np.tanh, slope=lambda y, _x: 1 - y * y, samples=draws(-3, 3), ulp=3)
sin = pointwise("sin", numpy=_quiet(np.sin), slope=lambda _y, x: o.cos(x), samples=draws(-6, 6), ulp=3)
cos = pointwise("cos", numpy=_quiet(np.cos), slope=lambda _y, x: -o.sin(x), samples=draws(-6, 6), ulp=3)
tan = pointwise("tan", numpy=_quiet(np.tan), slope=lambda y, _x: 1 + y * y, samples=draws(-1, 1), ulp=4)
asin = pointwise("asin", numpy=_quiet(np.arcsin), slope=lambda _y, x: o.rsqrt(1 - x * x), samples=draws(-0.9, 0.9), ulp=4)
acos = pointwise("acos", numpy=_quiet(np.arccos), slope=lambda _y, x: -o.rsqrt(1 - x * x), samples=draws(-0.9, 0.9), ulp=4)
atan = pointwise("atan", numpy=np.arctan, slope=lambda _y, x: 1 / (1 + x * x), samples=draws(-5, 5), ulp=4)
sinh = pointwise("sinh", numpy=_quiet(np.sinh), slope=lambda _y, x: o.cosh(x), samples=draws(-3, 3), ulp=4)
cosh = pointwise("cosh", numpy=_quiet(np.cosh), slope=lambda _y, x: o.sinh(x), samples=draws(-3, 3), ulp=4)
asinh = pointwise("asinh", numpy=np.arcsinh, slope=lambda _y, x: o.rsqrt(x * x + 1), samples=draws(-5, 5), ulp=4)
acosh = pointwise("acosh", numpy=_quiet(np.arccosh), slope=_acosh_slope, samples=draws(1.2, 5), ulp=4)
atanh = pointwise("atanh", numpy=_quiet(np.arctanh), slope=lambda _y, x: 1 / (1 - x * x), samples=draws(-0.9, 0.9), ulp=4)
atan2 = pointwise("atan2", numpy=np.arctan2, samples=pairs(floats=True, low=0.2, high=3), ulp=4,
                  slope=(lambda _y, a, b: b / (a * a + b * b), lambda _y, a, b: -a / (a * a + b * b)))


def _elementwise(f):
    """A scalar function of the standard library over an array (for rare functions that NumPy lacks)."""
    def call(x):
        wide = np.vectorize(f, otypes=[np.float64])(x.astype(np.float64)) if x.size else x.astype(np.float64)
        return wide.astype(x.dtype)
    return call


def _lgamma(x):
    if math.isnan(x) or math.isinf(x):
        return math.nan if math.isnan(x) else math.inf
    return math.inf if x <= 0 and x == math.floor(x) else math.lgamma(x)


erf = pointwise("erf", numpy=_elementwise(math.erf), samples=draws(-3, 3), ulp=3,
                slope=lambda _y, x: TWO_OVER_SQRT_PI * o.exp(-x * x))
erfc = pointwise("erfc", numpy=_elementwise(math.erfc), samples=draws(-3, 3), ulp=4,
                 slope=lambda _y, x: -TWO_OVER_SQRT_PI * o.exp(-x * x))
lgamma = pointwise("lgamma", numpy=_elementwise(_lgamma), samples=draws(0.3, 5), ulp=64,
                   slope=lambda _y, x: o.digamma(x))


def _polygamma0(x):
    """Digamma by recurrence to x >= 6 and its asymptotic series (Abramowitz & Stegun 6.3.5, 6.3.18)."""
    if math.isnan(x):
        return x
    if x == 0:
        return -math.copysign(math.inf, x)
    if math.isinf(x):
        return x if x > 0 else math.nan
    if x < 0:
        return math.nan if x == math.floor(x) else _polygamma0(1 - x) - math.pi / math.tan(math.pi * (x % 1))
    shift = 0.0
    while x < 10:
        shift, x = shift - 1 / x, x + 1
    s = 1 / (x * x)
    series = s * (1/12 - s * (1/120 - s * (1/252 - s * (1/240 - s * (1/132 - s * (691/32760 - s / 12))))))
    return shift + math.log(x) - 0.5 / x - series


def _trigamma(x):
    """The derivative of digamma (Abramowitz & Stegun 6.4.6, 6.4.12)."""
    if math.isinf(x):
        return 0.0 if x > 0 else math.nan
    if x <= 0:
        if x == math.floor(x):
            return math.inf
        return (math.pi / math.sin(math.pi * x)) ** 2 - _trigamma(1 - x)
    shift = 0.0
    while x < 10:
        shift, x = shift + 1 / (x * x), x + 1
    s = 1 / (x * x)
    series = s * (1/6 - s * (1/30 - s * (1/42 - s * (1/30 - s * (5/66 - s * 691/2730)))))
    return shift + 1 / x + s / 2 + series / x


digamma = pointwise("digamma", numpy=_quiet(_elementwise(_polygamma0)), samples=draws(0.3, 5), ulp=64,
                    slope=lambda _y, x: o.trigamma(x))
trigamma = pointwise("trigamma", numpy=_quiet(_elementwise(_trigamma)), samples=draws(0.3, 5), ulp=32,
                     slope=lambda _y, x: o.polygamma(2, x))


def _erfinv(x):
    """Giles' initial guess (Approximating the erfinv function, 2010) and two Newton steps in float64."""
    if not -1 < x < 1:
        return math.copysign(math.inf, x) if abs_(x) == 1 else math.nan
    w = -math.log((1 - x) * (1 + x))
    c = ((2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
          -0.00417768164, 0.246640727, 1.50140941) if w < 5 else
         (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
          0.00943887047, 1.00167406, 2.83297682))
    w = w - 2.5 if w < 5 else math.sqrt(w) - 3
    p = 0.0
    for a in c:
        p = p * w + a
    y = p * x
    for _ in range(2):
        y -= (math.erf(y) - x) / (TWO_OVER_SQRT_PI * math.exp(-y * y))
    return y


abs_ = math.fabs
erfinv = pointwise("erfinv", numpy=_quiet(_elementwise(_erfinv)), samples=draws(-0.9, 0.9), ulp=4,
                   slope=lambda y, _x: o.exp(y * y) / TWO_OVER_SQRT_PI)

# -- rounding and tests ---------------------------------------------------------------------------
_flat = dict(slope=lambda _y, x: o.zeros_like(x))
floor = pointwise("floor", numpy=np.floor, samples=draws(-4, 4), **_flat)
ceil = pointwise("ceil", numpy=np.ceil, samples=draws(-4, 4), **_flat)
trunc = pointwise("trunc", numpy=np.trunc, samples=draws(-4, 4), **_flat)
round = pointwise("round", numpy=np.rint, samples=draws(-4, 4), **_flat)
copysign = pointwise("copysign", numpy=np.copysign, samples=pairs(floats=True), arity=2,
                     slope=(lambda y, a, _b: o.where(a == 0, 0.0, o.sign(y) * o.sign(a)),
                            lambda _y, _a, b: o.zeros_like(b)))

isnan = pointwise("isnan", numpy=np.isnan, dtype=bool_dtype, slope=NONDIFFERENTIABLE, arity=1, samples=draws(-4, 4))
signbit = pointwise("signbit", numpy=np.signbit, dtype=bool_dtype, slope=NONDIFFERENTIABLE, arity=1,
                    samples=draws(-4, 4))
_test = dict(dtype=bool_dtype, slope=NONDIFFERENTIABLE, arity=2)
eq = pointwise("eq", numpy=np.equal, samples=pairs(), **_test)
ne = pointwise("ne", numpy=np.not_equal, samples=pairs(), **_test)
lt = pointwise("lt", numpy=np.less, samples=pairs(), **_test)
le = pointwise("le", numpy=np.less_equal, samples=pairs(), **_test)
gt = pointwise("gt", numpy=np.greater, samples=pairs(), **_test)
ge = pointwise("ge", numpy=np.greater_equal, samples=pairs(), **_test)

# -- bits -------------------------------------------------------------------------------------------
_bits = dict(slope=NONDIFFERENTIABLE, samples=integers())
bitwise_and = pointwise("bitwise_and", numpy=np.bitwise_and, arity=2, body=lambda k, a, b: k.and_(a, b), **_bits)
bitwise_or = pointwise("bitwise_or", numpy=np.bitwise_or, arity=2, body=lambda k, a, b: k.or_(a, b), **_bits)
bitwise_xor = pointwise("bitwise_xor", numpy=np.bitwise_xor, arity=2, body=lambda k, a, b: k.xor(a, b), **_bits)
bitwise_not = pointwise("bitwise_not", numpy=np.invert, arity=1, body=lambda k, a: k.not_(a),
                        slope=NONDIFFERENTIABLE, samples=integers(n=1))
shift_left = pointwise("shift_left", numpy=np.left_shift, arity=2, body=lambda k, a, b: k.shl(a, b),
                       slope=NONDIFFERENTIABLE, samples=integers(low=0, high=6, bools=False))
shift_right = pointwise("shift_right", numpy=np.right_shift, arity=2, body=lambda k, a, b: k.shr(a, b),
                        slope=NONDIFFERENTIABLE, samples=integers(low=0, high=6, bools=False))

# -- choice and conversion ------------------------------------------------------------------------------
where = pointwise("where", numpy=np.where, dtype=last_dtype, arity=3, samples=booleans(),
                  body=lambda k, c, a, b: k.select(c, a, b),
                  vjp=(None, lambda g, _y, c, _a, _b: o.where(c, g, 0), lambda g, _y, c, _a, _b: o.where(c, 0, g)),
                  jvp=lambda ts, y, c, a, b: o.where(c, 0 if ts[1] is None else ts[1], 0 if ts[2] is None else ts[2]))


def _cast(x, *, dtype):
    if dtype is dtypes.bool:
        return x != 0
    with np.errstate(all="ignore"):
        if x.dtype.kind not in "fc" and not np.issubdtype(x.dtype, np.number) and x.dtype != bool:
            x = x.astype(np.float32)        # bfloat16
        if x.dtype.kind == "c" and dtype.rank < 3:
            x = x.real
        if x.dtype.kind == "f" and dtype.rank == 1:
            return x.astype(np.int64).astype(dtype.numpy)   # through int64, as C's conversion wraps
        return x.astype(dtype.numpy)


cast = pointwise("cast", numpy=_cast, dtype=lambda ds, dtype: dtype, samples=numbers(cast=True),
                 vjp=(lambda g, _y, x, *, dtype: g,), jvp=lambda ts, y, x, *, dtype: ts[0].to(dtype),
                 body=lambda k, x, *, dtype: k.cast(x, dtype))
cast.gradient.uses = (frozenset(),)     # the engine casts a gradient to its input's dtype by itself


def _iota(start, step, *, n, dtype):
    return (start + step * np.arange(n).astype(dtype.numpy)).astype(dtype.numpy)


# Sources: no tensor operand, one element for each index.
iota = pointwise("iota", numpy=_iota, arity=2, slope=NONDIFFERENTIABLE, dtype=lambda ds, n, dtype: dtype,
                 samples=lambda rng: [((np.asarray(2), np.asarray(3)), dict(n=7, dtype=dtypes.int64)),
                                      ((np.asarray(0.5), np.asarray(0.25)), dict(n=33, dtype=dtypes.float32))],
                 body=lambda k, start, step, *, n, dtype: k.add(start, k.mul(step, k.cast(k.index(), dtype))))
iota.shape = lambda shapes, n, dtype: (n,)
full = pointwise("full", numpy=lambda value, *, shape, dtype: np.full(shape, value, dtype.numpy), arity=1,
                 slope=NONDIFFERENTIABLE, dtype=lambda ds, shape, dtype: dtype,
                 samples=lambda rng: [((np.asarray(2.5),), dict(shape=(3, 4), dtype=dtypes.float32))],
                 body=lambda k, value, *, shape, dtype: value)
full.shape = lambda shapes, shape, dtype: shape
SOURCES = (iota, full)
for source in SOURCES:
    source.batch = lambda prim, size, xs, batched, **params: prim(*xs, **params)
