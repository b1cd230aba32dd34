"""Pointwise operations of the public namespace."""
from __future__ import annotations

import math
import operator

import numpy as np

from .. import dtypes
from ..autograd.function import differentiable
from ..autograd.grad_mode import mode
from ..prims import pointwise as p
from ..prims.index import copy
from ..prims.table import Gradient
from ..tensor import Tensor, wrap
from ..trace.record import alias
from .promote import apply, elementwise, pointwise, result_type

_SAME = "add mul neg abs sign maximum minimum remainder fmod floor ceil trunc"
_FLOAT = ("div exp exp2 expm1 log log2 log10 log1p tanh sin cos tan asin acos atan sinh cosh asinh acosh atanh "
          "atan2 erf erfc erfinv lgamma digamma trigamma sqrt rsqrt reciprocal copysign")
_TEST = "eq ne lt le gt ge isnan signbit"
_BITS = "bitwise_and bitwise_or bitwise_xor bitwise_not shift_left shift_right"

_base = {name: elementwise(getattr(p, name)) for name in (_SAME + " " + _TEST + " " + _BITS + " sub").split()}
_base |= {name: elementwise(getattr(p, name), "float") for name in _FLOAT.split()}

_DOCS = "Elementwise {name}; PyTorch's torch.{name}. Integers become the default float where the result is not whole."


def _public(name):
    """The op with `out=`; the plain call stays on the hot path."""
    base = _base[name]

    def op(*args, out=None, **kwargs):
        y = base(*args, **kwargs)
        return y if out is None else into(out, y)
    op.__name__ = op.__qualname__ = name
    op.__doc__ = _DOCS.format(name=name)
    return op


def into(out, y):
    """Put a result into the tensor given as `out`, resized if its shape differs."""
    if not isinstance(out, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if mode.enabled and (y.requires_grad or out.requires_grad):
        raise RuntimeError("functions with out=... arguments don't support automatic differentiation, "
                           "but one of the arguments requires grad.")
    if not _can_cast(y.dtype, out.dtype):
        raise RuntimeError(f"result type {_scalar_name(y.dtype)} can't be cast to the desired output type "
                           f"{_scalar_name(out.dtype)}")
    if out.shape != y.shape:
        fresh = y.new_empty(y.shape, dtype=out.dtype)
        out.storage, out.layout, out.offset = fresh.storage, fresh.layout, 0
    return out.copy_(y)


def _can_cast(a, b):
    return a.rank <= b.rank


def _scalar_name(d):
    return {"float32": "Float", "float64": "Double", "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char",
            "uint8": "Byte", "bool": "Bool", "float16": "Half", "bfloat16": "BFloat16"}.get(d.name, d.name)


for _name in _base:
    globals()[_name] = _public(_name)
absolute, negative, arctan, arcsin, arccos, arctan2 = abs, neg, atan, asin, acos, atan2  # noqa: F821
arcsinh, arccosh, arctanh, fix, not_equal = asinh, acosh, atanh, trunc, ne               # noqa: F821
greater, greater_equal, less, less_equal = gt, ge, lt, le                                # noqa: F821
bitwise_left_shift, bitwise_right_shift = shift_left, shift_right                        # noqa: F821
_eq, _ne, _lt, _le, _gt, _ge = (_base[n] for n in "eq ne lt le gt ge".split())
_add, _sub, _mul, _div, _neg = (_base[n] for n in "add sub mul div neg".split())
_abs, _exp, _log = _base["abs"], _base["exp"], _base["log"]


def _no_bool(name, *xs):
    if any(isinstance(x, Tensor) and x.dtype is dtypes.bool for x in xs):
        if name == "neg":
            raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
                               "invert a mask, use the `~` or `logical_not()` operator instead.")
        if all(isinstance(x, Tensor) and x.dtype is dtypes.bool for x in xs):
            raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                               "`logical_xor()` operator instead.")
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to "
                           "invert a mask, use the `~` or `logical_not()` operator instead.")


# -- arithmetic with a scale: add(a, b, alpha=2) is a + 2 b --------------------------------------------------
def add(input, other, *, alpha=1, out=None):
    """input + alpha * other."""
    y = _add(input, other if alpha == 1 else _mul(other, alpha))
    return y if out is None else into(out, y)


def sub(input, other, *, alpha=1, out=None):
    """input - alpha * other."""
    _no_bool("sub", input, other)
    y = _sub(input, other if alpha == 1 else _mul(other, alpha))
    return y if out is None else into(out, y)


def rsub(input, other, *, alpha=1):
    """other - alpha * input."""
    return sub(other, input, alpha=alpha)


def neg(input, *, out=None):
    """-input."""
    _no_bool("neg", input)
    y = _neg(input)
    return y if out is None else into(out, y)


negative = neg
subtract = sub


def positive(input):
    """+input."""
    return input


_floor_divide, _trunc_divide = elementwise(p.floor_divide), elementwise(p.trunc_divide)


def div(input, other, *, rounding_mode=None, out=None):
    """input / other, rounded towards zero ('trunc') or down ('floor') if asked for."""
    if rounding_mode is None:
        y = _div(input, other)
    elif rounding_mode == "floor":
        y = floor_divide(input, other)
    elif rounding_mode == "trunc":
        y = _divide_whole(_trunc_divide, input, other)
    else:
        raise RuntimeError("div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                           f"'{rounding_mode}'")
    return y if out is None else into(out, y)


divide = true_divide = div


def _divide_whole(op, a, b):
    if type(b) in (int, bool) and b == 0 and isinstance(a, Tensor) and a.dtype.rank < 2:
        raise RuntimeError("ZeroDivisionError")
    return op(a, b)


def floor_divide(input, other, *, out=None):
    """The quotient rounded down."""
    y = _divide_whole(_floor_divide, input, other)
    return y if out is None else into(out, y)


multiply = mul  # noqa: F821


def sigmoid(input, *, out=None):
    """1 / (1 + exp(-x))."""
    y = _sigmoid(_as_float(input))
    return y if out is None else into(out, y)


@differentiable("SigmoidBackward0", vjp=(lambda g, y, _x: g * (y * (1 - y)),))
def _sigmoid(x):
    return 1 / (1 + _exp(-x))


def _as_float(x):
    return x if x.dtype.rank >= 2 else x.to(dtypes.default)


def square(input, *, out=None):
    """x * x."""
    y = pow(input, 2)
    return y if out is None else into(out, y)


_pow = elementwise(p.pow)


@differentiable("PowBackward0", vjp=(lambda g, _y, x, *, e: g * (e * _power(x, e - 1)),))
def _pow_number(x, *, e):
    return _power(x, e)


def _power(x, e):
    """x ** e for a Python number: by multiplication and square root where that is what PyTorch does."""
    if e == 0:
        return x.new_ones(()).expand(x.shape).clone() if not x.requires_grad else x * 0 + 1
    if e == 1:
        return x
    if e == 2:
        return _mul(x, x)
    if e == 3:
        return _mul(_mul(x, x), x)
    if x.dtype.rank >= 2:
        special = {0.5: _base["sqrt"], -0.5: _base["rsqrt"], -1: _base["reciprocal"]}.get(e)
        if special is not None:
            return special(x)
        if e == -2:
            return _base["reciprocal"](_mul(x, x))
    return _pow(x, e)


def pow(input, exponent, *, out=None):
    """input ** exponent; either may be a Python number."""
    if isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        y = _tensor_power(input, exponent)
    else:
        y = _pow(input, exponent)
    return y if out is None else into(out, y)


def _tensor_power(x, e):
    if isinstance(e, np.generic):
        e = e.item()
    if x.dtype.rank < 2:
        if isinstance(e, float):
            x = x.to(dtypes.default)
        elif e < 0 and x.dtype is not dtypes.bool:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        elif x.dtype is dtypes.bool:
            x = x.to(dtypes.int64)
    return _pow_number(x, e=e)


float_power = lambda input, exponent: pow(input.to(dtypes.float64), exponent)   # noqa: E731


def clamp(input, min=None, max=None, *, out=None):
    """Elements limited to [min, max]; either bound may be a number, a tensor or None."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if any(isinstance(b, Tensor) for b in (min, max)):
        y = input if min is None else maximum(input, min)               # noqa: F821
        y = y if max is None else minimum(y, max)                       # noqa: F821
    else:
        y = _clamp(_fit_bounds(input, min, max), low=min, high=max)
    return y if out is None else into(out, y)


def _fit_bounds(x, *bounds):
    d = result_type([x, *[b for b in bounds if b is not None]])
    return x if x.dtype is d else x.to(d)


@differentiable("ClampBackward1", vjp=(lambda g, _y, x, *, low, high: where(_inside(x, low, high), g, 0),))
def _clamp(x, *, low, high):
    x = x if low is None else _base["maximum"](x, low)
    return x if high is None else _base["minimum"](x, high)


def _inside(x, low, high):
    if low is None:
        return _le(x, high)
    return _ge(x, low) if high is None else _base["bitwise_and"](_ge(x, low), _le(x, high))


clip = clamp


def clamp_min(input, min):
    return clamp(input, min=min)


def clamp_max(input, max):
    return clamp(input, max=max)


def relu(input):
    """max(x, 0), with gradient 0 at 0; nan stays nan."""
    return _relu(input)


@differentiable("ReluBackward0", vjp=(lambda g, y, _x: where(_gt(y, 0), g, 0),))
def _relu(x):
    return _base["maximum"](x, 0)


_round = elementwise(p.round)


def round(input, *, decimals=0, out=None):
    """To the nearest whole number (or `decimals` places), halves to even."""
    if decimals == 0:
        y = _round(input) if input.dtype.rank >= 2 else input.clone()
    else:
        scale = 10.0 ** builtins_abs(decimals)
        y = _round(input * scale) / scale if decimals > 0 else _round(input / scale) * scale
    return y if out is None else into(out, y)


builtins_abs = operator.abs


def frac(input):
    """The part behind the point, with the sign of x."""
    return input - trunc(input)     # noqa: F821


def sinc(input):
    """sin(pi x) / (pi x), 1 at 0."""
    x = math.pi * input
    return where(input == 0, 1.0, sin(x) / where(input == 0, 1.0, x))   # noqa: F821


def addcmul(input, tensor1, tensor2, *, value=1, out=None):
    """input + value * tensor1 * tensor2."""
    t = _mul(tensor1, tensor2) if value == 1 else _mul(_mul(tensor1, value), tensor2)
    y = _add(input, t)
    return y if out is None else into(out, y)


def addcdiv(input, tensor1, tensor2, *, value=1, out=None):
    """input + value * tensor1 / tensor2."""
    y = _add(input, _div(tensor1 if value == 1 else _mul(tensor1, value), tensor2))
    return y if out is None else into(out, y)


def lerp(input, end, weight, *, out=None):
    """input + weight * (end - input), computed from the nearer end as PyTorch does."""
    if not isinstance(weight, Tensor):
        y = _lerp_number(input, end, weight)
    else:
        gap = _sub(end, input)
        y = where(_lt(_abs(weight), 0.5), _add(input, _mul(weight, gap)), _sub(end, _mul(gap, _sub(1, weight))))
    return y if out is None else into(out, y)


def _lerp_number(input, end, weight):
    gap = _sub(end, input)
    return _add(input, _mul(gap, weight)) if builtins_abs(weight) < 0.5 else _sub(end, _mul(gap, 1 - weight))


def logaddexp(input, other):
    """log(exp(a) + exp(b)) without overflow."""
    m = maximum(input, other).detach()                                  # noqa: F821
    m = where(isinf(m), 0.0, m)
    return log(exp(input - m) + exp(other - m)) + m                     # noqa: F821


def logit(input, eps=None):
    """log(x / (1 - x))."""
    x = input if eps is None else clamp(input, eps, 1 - eps)
    return log(x / (1 - x))                                             # noqa: F821


def hypot(input, other):
    """sqrt(a^2 + b^2)."""
    return sqrt(input * input + other * other)                          # noqa: F821


def xlogy(input, other):
    """x log(y), 0 where x is 0."""
    y = input * log(other)                                              # noqa: F821
    return where((input == 0) & ~isnan(other), 0.0, y) if isinstance(other, Tensor) else where(input == 0, 0.0, y)  # noqa: F821


def deg2rad(input):
    return input * (math.pi / 180)


def rad2deg(input):
    return input * (180 / math.pi)


# -- tests and logic -----------------------------------------------------------------------------------------
def isinf(input):
    """Whether plus or minus infinity."""
    return _eq(_abs(input), math.inf) if input.dtype.rank >= 2 else _false(input)


def isfinite(input):
    """Whether neither infinite nor nan."""
    return _lt(_abs(input), math.inf) if input.dtype.rank >= 2 else ~_false(input)


def _false(x):
    return x.new_zeros(x.shape, dtype=dtypes.bool)


def isposinf(input):
    return _eq(input, math.inf)


def isneginf(input):
    return _eq(input, -math.inf)


def isreal(input):
    return ~_false(input)


def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    """Replace nan and the infinities (by default by 0 and the largest finite numbers)."""
    if input.dtype.rank < 2:
        return input.clone()
    limits = dtypes.finfo(input.dtype)
    y = where(isnan(input), 0.0 if nan is None else nan, input)         # noqa: F821
    y = where(isposinf(input), limits.max if posinf is None else posinf, y)
    return where(isneginf(input), limits.min if neginf is None else neginf, y)


def truth(x):
    """x != 0 as bool."""
    return x if x.dtype is dtypes.bool else _ne(x, 0)


def logical_not(input, *, out=None):
    y = _base["bitwise_not"](truth(input))
    return y if out is None else into(out, y)


def logical_and(input, other, *, out=None):
    y = _base["bitwise_and"](truth(input), truth(other))
    return y if out is None else into(out, y)


def logical_or(input, other, *, out=None):
    y = _base["bitwise_or"](truth(input), truth(other))
    return y if out is None else into(out, y)


def logical_xor(input, other, *, out=None):
    y = _base["bitwise_xor"](truth(input), truth(other))
    return y if out is None else into(out, y)


def isclose(input, other, rtol=1e-5, atol=1e-8, equal_nan=False):
    """|a - b| <= atol + rtol |b|, or both nan if asked for."""
    close = (input == other) | ((input - other).abs() <= atol + rtol * other.abs()) & isfinite(other)
    return close | (isnan(input) & isnan(other)) if equal_nan else close    # noqa: F821


def allclose(input, other, rtol=1e-5, atol=1e-8, equal_nan=False) -> bool:
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


def equal(input, other) -> bool:
    """Same shape and all elements equal."""
    return input.shape == other.shape and bool(_eq(input, other).all().item())


# -- choice, copies, conversion --------------------------------------------------------------------------------
def where(condition, input=None, other=None, *, out=None):
    """input where condition, else other; with the condition alone: indices of its true elements."""
    if input is None and other is None:
        from .index import nonzero
        return nonzero(condition, as_tuple=True)
    if not isinstance(condition, Tensor) or condition.dtype is not dtypes.bool:
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype "
                           f"{getattr(condition, 'dtype', type(condition).__name__)}")
    y = pointwise(p.where, (condition, _number(input), _number(other)), "where")
    return y if out is None else into(out, y)


def _number(x):
    return x.item() if isinstance(x, np.generic) else x


def masked_fill(input, mask, value):
    """input with `value` where mask is True; the result has input's dtype."""
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {_long_name(mask.dtype)}")
    if isinstance(value, Tensor) and value.dim() > 0:
        raise RuntimeError("masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                           f"{value.dim()} dimension(s).")
    if isinstance(value, Tensor):
        return _masked(input, mask, value.to(input.dtype))
    if isinstance(value, float) and input.dtype.rank < 2:
        if value != int(value):
            raise RuntimeError(f"value cannot be converted to type {_long_name(input.dtype)} without overflow")
        value = int(value)
    return _masked(input, mask, value)


def _masked(input, mask, value):
    return _masked_number(input, mask, value=value) if not isinstance(value, Tensor) else where(mask, value, input)


@differentiable("MaskedFillBackward0", vjp=(lambda g, _y, _x, mask, *, value: where(mask, 0, g), None))
def _masked_number(x, mask, *, value):
    return pointwise(p.where, (mask, value, x), "where")


def _long_name(d):
    return {"int64": "long int", "int32": "int", "int16": "short int", "uint8": "unsigned char", "int8": "signed char",
            "float32": "float", "float64": "double"}.get(d.name, d.name)


def cast(x, dtype):
    """x in another dtype; x itself if it has it already."""
    if x.dtype is dtype:
        return x
    return pointwise(p.cast, (x,), "cast", CAST, {"dtype": dtype})


CAST = Gradient("ToCopyBackward0", (lambda g, _y, _x, *, dtype: g,))
CLONE = copy.gradient


def clone(input, *, memory_format=None):
    """A copy with memory of its own that stays on the tape; dense tensors keep their memory order."""
    if memory_format is not None and memory_format.name not in ("preserve_format", "contiguous_format"):
        from .shape import contiguous
        return contiguous(input, memory_format=memory_format) if not input.is_contiguous(memory_format) else clone(input)
    x, l = input, input.layout
    whole = l.numel == x.storage.numel and (l.packed or memory_format is None or memory_format.name == "preserve_format")
    from ..layout import is_dense
    if whole and x.storage.share is None and is_dense(l):
        y = wrap(Tensor, alias(x.storage), l, 0)
        if mode.enabled and x.requires_grad:
            from ..autograd.node import attach
            attach(y, CLONE, (x,), {})
        return y
    if memory_format is not None and memory_format.name == "contiguous_format":
        return apply(copy, (x,), {})
    return pointwise(copy, (x,))


