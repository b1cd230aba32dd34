"""Pointwise operations of the public namespace."""
from __future__ import annotations

import math
import operator
import warnings

import numpy as np

from .. import dtypes
from .. import layout as L
from ..autograd.function import differentiable
from ..autograd.grad_mode import mode
from ..autograd.node import named, taping
from ..autograd.recall import recalled
from ..errors import warn_once
from ..prims import pointwise as p
from ..prims.index import copy
from ..prims.table import Gradient, conjugate
from ..tensor import Tensor, wrap
from ..trace.record import alias, pending
from . import layouts
from .create import full_like, ones_like, zeros_like
from .precision import is_half, rounded_once
from .promote import apply, elementwise, into, pointwise, result_type
from .support import as_element, legacy_name, need

_SAME = "add mul neg abs sign maximum minimum remainder fmod floor ceil trunc"
_FLOAT = ("div exp exp2 expm1 log log2 log10 log1p tanh sin cos tan asin acos atan sinh cosh asinh acosh atanh "
          "atan2 erf erfc erfinv lgamma digamma trigamma sqrt rsqrt reciprocal copysign")
_TEST = "eq ne lt le gt ge isnan signbit"
_BITS = "bitwise_and bitwise_or bitwise_xor bitwise_not shift_left shift_right"

_base = {name: elementwise(getattr(p, name)) for name in (_SAME + " " + _TEST + " " + _BITS + " sub").split()}
_base |= {name: elementwise(getattr(p, name), "float") for name in _FLOAT.split()}
_operator = {name: elementwise(getattr(p, name), "float" if name == "div" else "same", operator=True) for name in
             ("add sub mul div remainder pow bitwise_and bitwise_or bitwise_xor shift_left shift_right "
              "eq ne lt le gt ge").split()}

_DOCS = "Elementwise {name}; PyTorch's torch.{name}. Integers become the default float where the result is not whole."


def _public(name):
    """An op under its public name."""
    op = _base[name]
    op.__name__ = op.__qualname__ = name
    op.__module__ = __name__
    op.__doc__ = _DOCS.format(name=name)
    return op


for _name in _base:
    globals()[_name] = _public(_name)
absolute, negative, arctan, arcsin, arccos, arctan2 = abs, neg, atan, asin, acos, atan2  # noqa: F821
arcsinh, arccosh, arctanh, fix, not_equal = asinh, acosh, atanh, trunc, ne               # noqa: F821
greater, greater_equal, less, less_equal = gt, ge, lt, le                                # noqa: F821
bitwise_left_shift, bitwise_right_shift = shift_left, shift_right                        # noqa: F821
_eq, _ne, _lt, _le, _gt, _ge = (_base[n] for n in "eq ne lt le gt ge".split())
_add, _sub, _mul, _div, _neg = (_base[n] for n in "add sub mul div neg".split())
_abs, _exp, _log = _base["abs"], _base["exp"], _base["log"]


# -- arithmetic with a scale: add(a, b, alpha=2) is a + 2 b --------------------------------------------------
def _scaled(input, other, alpha):
    """alpha * other in the dtype of the result."""
    if alpha == 1:
        return other
    if isinstance(other, layouts.Unstrided) or isinstance(input, layouts.Unstrided):
        return _mul(other, alpha)
    d = result_type((input, other))
    if d.rank < 2 and isinstance(alpha, float):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    return _mul(other.to(d), alpha).to(d) if isinstance(other, Tensor) else other * alpha


def _older(name, factor, last):
    """(last, factor): the arguments of a call in the older order, factor first."""
    warn_once(f"This overload of {name} is deprecated: give the factor by name, behind the tensors.")
    return last, factor


def add(input, other, last=None, *, alpha=1, out=None):
    """input + alpha * other."""
    if last is not None:
        other, alpha = _older("add", other, last)
    y = _add(input, _scaled(input, other, alpha))
    return y if out is None else into(out, y)


def sub(input, other, last=None, *, alpha=1, out=None):
    """input - alpha * other."""
    if last is not None:
        other, alpha = _older("sub", other, last)
    y = _sub(input, _scaled(input, other, alpha))
    return y if out is None else into(out, y)


def rsub(input, other, *, alpha=1):
    """other - alpha * input."""
    return named(sub(other, input, alpha=alpha), "RsubBackward0" if isinstance(other, Tensor) else "RsubBackward1")


negative = neg                                                          # noqa: F821
subtract = sub


def positive(input):
    """+input."""
    if input.dtype is dtypes.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def _no_gradient(name):
    def rule(g, _y, _a, _b):
        raise RuntimeError(f"derivative for aten::{name} is not implemented")
    return Gradient("NotImplemented", (rule, rule))


_FLAT = Gradient("DivBackward2", (lambda g, _y, _a, _b: _mul(g, 0), lambda g, _y, _a, _b: _mul(g, 0)))
_floor_divide = elementwise(p.floor_divide, gradient=_no_gradient("floor_divide"))
_floored, _truncated = elementwise(p.floor_divide, gradient=_FLAT), elementwise(p.trunc_divide, gradient=_FLAT)


def div(input, other, *, rounding_mode=None, out=None):
    """input / other, rounded towards zero ('trunc') or down ('floor') if asked for."""
    if rounding_mode is None:
        y = _div(input, other)
    elif rounding_mode == "floor":
        y = _divide_whole(_floored, input, other)
    elif rounding_mode == "trunc":
        y = _divide_whole(_truncated, input, other)
    else:
        raise RuntimeError("div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                           f"'{rounding_mode}'")
    return y if out is None else into(out, y)


divide = true_divide = div


def _divide_whole(op, a, b):
    if type(b) in (int, bool) and b == 0 and isinstance(a, Tensor) and a.dtype.rank < 2:
        raise RuntimeError("ZeroDivisionError")
    if isinstance(b, Tensor) and b.dtype.rank < 2 and (type(a) in (int, bool) or isinstance(a, Tensor) and a.dtype.rank < 2):
        return _divided_whole(a, b, op=op)
    return op(a, b)


def _divided_whole(a, b, *, op):
    """Whole numbers divided by whole numbers, which a kernel has to look at: there is no infinity among them."""
    from .index import good
    y = op(a, b)
    return good(y, (b == 0).any(), "division") if isinstance(y, Tensor) and b.numel() else y


def floor_divide(input, other, *, out=None):
    """The quotient rounded down."""
    y = _divide_whole(_floor_divide, input, other)
    return y if out is None else into(out, y)


def remainder(input, other, *, out=None):
    """What is left of input after floored division; it has the sign of other."""
    y = _divide_whole(_base["remainder"], input, other)
    return y if out is None else into(out, y)


def fmod(input, other, *, out=None):
    """What is left of input after truncated division; it has the sign of input."""
    y = _divide_whole(_base["fmod"], input, other)
    return y if out is None else into(out, y)


def _modulo_operator(a, b):
    """a % b."""
    return _divide_whole(_operator["remainder"], a, b)


multiply = mul  # noqa: F821


@recalled("input")
def sigmoid(input, *, out=None):
    """1 / (1 + exp(-x))."""
    y = _sigmoid(_as_float(input))
    return y if out is None else into(out, y)


@differentiable("SigmoidBackward0", vjp=(rounded_once(lambda g, y, _x: g * conjugate(y * (1 - y))),))
@rounded_once
def _sigmoid(x):
    return 1 / (1 + _exp(-x))


def _as_float(x):
    return x if x.dtype.rank >= 2 else x.to(dtypes.default)


@recalled("input")
def square(input, *, out=None):
    """x * x."""
    y = pow(input, 2)
    return y if out is None else into(out, y)


_pow = elementwise(p.pow)


@differentiable("PowBackward0", vjp=(lambda g, _y, x, *, e: g * conjugate(e * _power(x, e - 1)) if e else g * 0,))
def _pow_number(x, *, e):
    return _power(x, e)


def _power(x, e):
    """x ** e for a Python number: by multiplication and square root where that is what PyTorch does."""
    if e == 0:
        return ones_like(x)
    if e == 1:
        return clone(x)
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


@recalled("x e#")
def _tensor_power(x, e):
    if isinstance(e, np.generic):
        e = e.item()
    if x.dtype.rank < 2:
        if isinstance(e, (float, complex)):
            x = x.to(dtypes.default)
        elif e < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        elif x.dtype is dtypes.bool and not isinstance(e, bool):
            x = x.to(dtypes.int64)
    return _pow_number(x, e=e)


def _power_operator(a, b):
    """a ** b."""
    return _operator["pow"](a, b) if isinstance(b, Tensor) or not isinstance(b, (int, float, complex, np.generic)) \
        else _tensor_power(a, b)


def float_power(input, exponent):
    """input ** exponent in float64, or complex128 if either is complex."""
    wide = dtypes.complex128 if result_type((input, exponent)).is_complex else dtypes.float64
    number = complex if wide.is_complex else float
    a, b = (x.to(wide) if isinstance(x, Tensor) else number(x) for x in (input, exponent))
    return pow(a, b)


@recalled("input min?# max?#")
def clamp(input, min=None, max=None, *, out=None):
    """Elements limited to [min, max]; either bound may be a number, a tensor or None."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    d = result_type([x for x in (input, min, max) if x is not None])
    not_complex("clamp", d)
    need("clamp_cpu", d, {1, 2})
    if any(isinstance(b, Tensor) for b in (min, max)):
        low, high = (b if b is None or isinstance(b, Tensor) else full_like(input, b) for b in (min, max))
        y = _clamp_between(*(x if x is None else x.to(d) for x in (input, low, high)))
    else:
        low, high = (b if b is None else as_element(b, d) for b in (min, max))
        y = _clamp(_fit_bounds(input, min, max), low=low, high=high)
    return y if out is None else into(out, y)


def _low_bound_gradient(g, _y, x, low, high):
    return where(_lt(x, low) if high is None else _lt(x, low) & _lt(low, high), g, 0)


def _high_bound_gradient(g, _y, x, low, high):
    return where(_gt(x, high) if low is None else _gt(x, high) | _lt(high, low), g, 0)


@differentiable("ClampBackward0", vjp=(lambda g, _y, x, low, high: where(_inside(x, low, high), g, 0),
                                       _low_bound_gradient, _high_bound_gradient))
def _clamp_between(x, low, high):
    x = x if low is None else _base["maximum"](x, low)
    return x if high is None else _base["minimum"](x, high)


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


def clamp_min(input, min, *, out=None):
    """Elements not below min."""
    if input.dtype is dtypes.bool and isinstance(min, Tensor):
        return maximum(input, min, out=out)                             # noqa: F821
    return named(clamp(input, min=min, out=out), "ClampMinBackward" + "01"[isinstance(min, Tensor)])


def clamp_max(input, max, *, out=None):
    """Elements not above max."""
    if input.dtype is dtypes.bool and isinstance(max, Tensor):
        return minimum(input, max, out=out)                             # noqa: F821
    return named(clamp(input, max=max, out=out), "ClampMaxBackward" + "01"[isinstance(max, Tensor)])


@recalled("input")
def relu(input):
    """max(x, 0), with gradient 0 at 0; nan stays nan."""
    if input.dtype is dtypes.bool:
        raise RuntimeError("Boolean inputs not supported for relu")
    not_complex("clamp", input.dtype)
    return _relu(input)


@differentiable("ReluBackward0", vjp=(lambda g, y, _x: where(_le(y, 0), 0, g),))
def _relu(x):
    return _base["maximum"](x, 0)


_round = elementwise(p.round)


def round(input, *, decimals=0, out=None):
    """To the nearest whole number (or `decimals` places), halves to even."""
    need("round_vml_cpu", input.dtype, {1, 2})
    if decimals == 0:
        y = _round(input) if input.dtype.rank >= 2 else input.clone()
    else:
        need("round_cpu", input.dtype, {2})
        scale = 10.0 ** builtins_abs(decimals)
        y = _round(input * scale) / scale if decimals > 0 else _round(input / scale) * scale
        named(y, "RoundBackward1")
    return y if out is None else into(out, y)


builtins_abs = operator.abs


def frac(input):
    """The part behind the point, with the sign of x."""
    need("frac_cpu", input.dtype, {2})
    return named(input - trunc(input).detach(), "FracBackward0")        # noqa: F821


def sinc(input):
    """sin(pi x) / (pi x), 1 at 0."""
    x = math.pi * input
    return named(where(input == 0, 1.0, sin(x) / where(input == 0, 1.0, x)), "SincBackward0")   # noqa: F821


@recalled("input tensor1 tensor2 value#")
def addcmul(input, tensor1, tensor2, last=None, *, value=1, out=None):
    """input + value * tensor1 * tensor2."""
    if last is not None:
        tensor1, (tensor2, value) = tensor2, _older("addcmul", tensor1, last)
    need("addcmul_cpu_out", result_type((input, tensor1, tensor2)), {1, 2, 3})
    y = _in_one(p.addcmul, input, tensor1, tensor2, value)
    if y is None:
        kind = result_type((input, tensor1, tensor2))
        if kind.rank == 1:                      # a number joins whole ones as a whole one
            input, tensor1, tensor2, value = input.to(kind), tensor1.to(kind), tensor2.to(kind), int(value)
        t = _mul(tensor1, tensor2) if value == 1 else _mul(_mul(tensor1, value), tensor2)
        y = named(_add(input, t), "AddcmulBackward0")
    return y if out is None else into(out, y)


@recalled("input tensor1 tensor2 value#")
def addcdiv(input, tensor1, tensor2, last=None, *, value=1, out=None):
    """input + value * tensor1 / tensor2."""
    if last is not None:
        tensor1, (tensor2, value) = tensor2, _older("addcdiv", tensor1, last)
    if tensor1.dtype.rank < 2 and tensor2.dtype.rank < 2:
        raise RuntimeError("Integer division with addcdiv is no longer supported, and in a future  release addcdiv will "
                           "perform a true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented "
                           "as (input + value * torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as "
                           "(input + value * tensor1 / tensor2) for float inputs. The future addcdiv behavior is just the "
                           "latter implementation: (input + value * tensor1 / tensor2), for all dtypes.")
    y = _in_one(p.addcdiv, input, tensor1, tensor2, value)
    if y is None:
        y = named(_add(input, _div(tensor1 if value == 1 else _mul(tensor1, value), tensor2)), "AddcdivBackward0")
    return y if out is None else into(out, y)


@recalled("input end weight?#")
def lerp(input, end, weight, *, out=None):
    """input + weight * (end - input), computed from the nearer end as PyTorch does."""
    for name, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and x.dtype is not input.dtype:
            raise RuntimeError(f"expected dtype {MASK_NAMES.get(input.dtype.name, input.dtype.name)} for `{name}` but got "
                               f"dtype {MASK_NAMES.get(x.dtype.name, x.dtype.name)}")
    need("lerp_kernel_" + ("tensor" if isinstance(weight, Tensor) else "scalar"), input.dtype, {2, 3})
    if is_half(input):
        wide = [x.to(dtypes.float32) if isinstance(x, Tensor) else x for x in (input, end, weight)]
        y = _lerp(*wide).to(input.dtype)
    else:
        y = _lerp(input, end, weight)
    named(y, "LerpBackward" + "01"[isinstance(weight, Tensor)])
    return y if out is None else into(out, y)


def _in_one(prim, *xs):
    """One node for floats of one dtype and a number; None if the operands are of another kind."""
    *tensors, number = xs
    d = tensors[0].dtype
    if d.rank != 2 or type(number) not in (int, float) or any(not isinstance(x, Tensor) or x.dtype is not d for x in tensors):
        return None
    return pointwise(prim, (*tensors, float(number)))


def _lerp(input, end, weight):
    if not isinstance(weight, Tensor):
        return _lerp_number(input, end, weight)
    gap = _sub(end, input)
    return where(_lt(_abs(weight), 0.5), _add(input, _mul(weight, gap)), _sub(end, _mul(gap, _sub(1, weight))))


def _lerp_number(input, end, weight):
    near = builtins_abs(weight) < 0.5
    y = _in_one(p.lerp_near if near else p.lerp_far, input, end, weight if near else 1 - weight)
    if y is not None:
        return y
    gap = _sub(end, input)
    return _add(input, _mul(gap, weight)) if builtins_abs(weight) < 0.5 else _sub(end, _mul(gap, 1 - weight))


@recalled("input other")
def logaddexp(input, other, *, out=None):
    """log(exp(a) + exp(b)) without overflow."""
    d = result_type((input, other))
    need("logaddexp_cpu", d, {2, 3})
    y = named((_logaddexp_complex if d.rank == 3 else _logaddexp)(input.to(d), other.to(d)), "LogaddexpBackward0")
    return y if out is None else into(out, y)


@rounded_once
def _logaddexp(a, b):
    m = maximum(a, b).detach()                                          # noqa: F821
    m = where(isinf(m), 0.0, m)
    return log(exp(a - m) + exp(b - m)) + m                             # noqa: F821


def _logaddexp_complex(a, b):
    """The same by the larger real part."""
    from .complex import real_part
    first = _ge(real_part(a), real_part(b))
    big, small = where(first, a, b), where(first, b, a)
    infinite = isinf(real_part(big).detach())
    usual = big + log1p(exp(where(infinite, 0, small - big)))           # noqa: F821
    a, b = (exp(where(infinite, x, 0)) for x in (a, b))                 # noqa: F821
    return where(infinite, log(a + b), usual)                           # noqa: F821


def logaddexp2(input, other, *, out=None):
    """log2(2^a + 2^b) without overflow."""
    d = result_type((input, other))
    need("logaddexp2_cpu", d, {2})
    y = named(_logaddexp2(input.to(d), other.to(d)), "Logaddexp2Backward0")
    return y if out is None else into(out, y)


@rounded_once
def _logaddexp2(a, b):
    return _logaddexp(a * p.LN2, b * p.LN2) / p.LN2


@recalled("input")
def logit(input, eps=None):
    """log(x / (1 - x))."""
    need("logit_cpu", input.dtype, {0, 1, 2})
    return _logit(_as_float(input), eps=eps)


def _logit_gradient(g, _y, x, *, eps):
    slope = g / (x * (1 - x))
    if eps is None:
        return where((x < 0) | (x > 1), math.nan, slope)
    return where((x < eps) | (x > 1 - eps), 0, slope)


@differentiable("LogitBackward0", vjp=(_logit_gradient,))
def _logit(x, *, eps):
    x = x if eps is None else clamp(x, eps, 1 - eps)
    return _log(x / (1 - x))


@differentiable("HypotBackward0", vjp=(lambda g, y, a, _b: (g * (a / y)).sum_to_size(a.shape),
                                       lambda g, y, _a, b: (g * (b / y)).sum_to_size(b.shape)))
@rounded_once
def _hypot(a, b):
    """The larger one is taken out, so that no square overflows."""
    a, b = _abs(a), _abs(b)
    large, small = maximum(a, b), minimum(a, b)                         # noqa: F821
    ratio = small / where((large == 0) | isinf(large), 1.0, large)
    return large * sqrt(1 + where(isinf(large), 0.0, ratio * ratio))    # noqa: F821


def hypot(input, other, *, out=None):
    """sqrt(a^2 + b^2)."""
    d = result_type((input, other))
    need("hypot_cpu", d, {2})
    y = _hypot(input.to(d), other.to(d))
    return y if out is None else into(out, y)


def xlogy(input, other):
    """x log(y), 0 where x is 0 (unless y is nan); either may be a number."""
    kind = result_type((input, other))
    need("xlogy_cpu", kind, {0, 1, 2})
    if kind.rank == 2:
        input, other = (x.to(kind) if isinstance(x, Tensor) else x for x in (input, other))
    y = input * (log(other) if isinstance(other, Tensor) else _log_number(other))       # noqa: F821
    zero = input == 0
    if isinstance(other, Tensor):
        defined = ~isnan(other)                                                         # noqa: F821
        zero = zero & defined if isinstance(zero, Tensor) else defined if zero else ~defined & False
    return named(where(zero, 0.0, y), "XlogyBackward1" if not isinstance(input, Tensor) else
                 "XlogyBackward0" if isinstance(other, Tensor) else "XlogyBackward2")


def _log_number(x):
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def _as_angle(x, name):
    if x.dtype.is_complex:
        raise RuntimeError(f"{name} is not supported for complex tensors.")
    return _as_float(x)


def deg2rad(input):
    """Degrees as radians."""
    return named(_as_angle(input, "deg2rad") * (math.pi / 180), "Deg2RadBackward0")


def rad2deg(input):
    """Radians as degrees."""
    return named(_as_angle(input, "rad2deg") * (180 / math.pi), "Rad2DegBackward0")


def fmax(input, other):
    """The larger element; a number wins over nan."""
    return _over_nan(maximum, input, other, "FmaxBackward0")            # noqa: F821


def fmin(input, other):
    """The smaller element; a number wins over nan."""
    return _over_nan(minimum, input, other, "FminBackward0")            # noqa: F821


def _over_nan(pick, a, b, name):
    if result_type((a, b)).is_complex:
        raise RuntimeError(f"{name[:4].lower()} not implemented for complex tensors.")
    if result_type((a, b)).rank < 2:
        return pick(a, b)
    larger = pick is maximum                                            # noqa: F821
    with_a = (_ge(a, b) if larger else _le(a, b)) | isnan(b)            # noqa: F821
    return named(where(with_a, a, b), name)


def heaviside(input, values):
    """0 for negative elements, 1 for positive ones, `values` at 0."""
    if not isinstance(values, Tensor):
        raise TypeError(f"heaviside(): argument 'values' (position 2) must be Tensor, not {type(values).__name__}")
    if input.dtype.is_complex:
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return where(input == 0, values, (input > 0).to(input.dtype)).detach()


def ldexp(input, other):
    """input * 2 ** other, in the dtype of input if that has fractions and other is whole."""
    if input.dtype.rank != 2 or not isinstance(other, Tensor) or other.dtype.rank != 1:
        return named(input * pow(2.0, other), "LdexpBackward0")
    wide = dtypes.float64 if input.dtype is dtypes.float64 else dtypes.float32
    return named((input.to(wide) * pow(2.0, other.to(wide))).to(input.dtype), "LdexpBackward0")


@differentiable("PolygammaBackward0", vjp=(lambda g, _y, x, *, n: g * polygamma(n + 1, x),))
def _polygamma(x, *, n):
    from ..prims.families import zeta
    wide = x if x.dtype.itemsize >= 4 else x.to(dtypes.float32)
    return (zeta(full_like(wide, n + 1), wide) * ((-1) ** (n + 1) * math.factorial(n))).to(x.dtype)


def polygamma(n, input, *, out=None):
    """The n-th derivative of digamma: a multiple of Hurwitz' zeta function at n + 1 if n > 1."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    x = _as_float(input)
    if n == 0:
        y = digamma(x)                                                  # noqa: F821
    else:
        y = named(trigamma(x), "PolygammaBackward0") if n == 1 else _polygamma(x, n=n)      # noqa: F821
    return y if out is None else into(out, y)


def mvlgamma(input, p):
    """The logarithm of the multivariate gamma function of order p."""
    steps = [lgamma(input - i / 2) for i in range(p)]                   # noqa: F821
    total = steps[0]
    for s in steps[1:]:
        total = total + s
    return named(total + p * (p - 1) / 4 * math.log(math.pi), "MvlgammaBackward0")


# -- tests and logic -----------------------------------------------------------------------------------------
@recalled("input")
def isinf(input):
    """Whether plus or minus infinity."""
    return _eq(_abs(input), math.inf) if input.dtype.rank >= 2 else _false(input)


@recalled("input")
def isfinite(input):
    """Whether neither infinite nor nan."""
    return _lt(_abs(input), math.inf) if input.dtype.rank >= 2 else ~_false(input)


def not_complex(name, d) -> None:
    """NotImplementedError for a complex dtype."""
    if d.is_complex:
        raise NotImplementedError(f"{name} is not supported for complex types")


def real_only(name, x) -> None:
    """RuntimeError for a complex tensor."""
    if x.dtype.is_complex:
        raise RuntimeError(f"{name} does not support complex inputs.")


def _false(x):
    return zeros_like(x, dtype=dtypes.bool)


def isposinf(input):
    real_only("isposinf", input)
    return _eq(input, math.inf)


def isneginf(input):
    real_only("isneginf", input)
    return _eq(input, -math.inf)


@recalled("input nan# posinf# neginf#")
def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    """Replace nan and the infinities (by default by 0 and the largest finite numbers)."""
    if input.dtype.rank < 2:
        return input.clone()
    if input.dtype.is_complex:
        from .complex import complex
        if taping(input):
            raise RuntimeError("nan_to_num does not support automatic differentiation for outputs with complex dtype.")
        parts = (nan_to_num(x, nan, posinf, neginf) for x in (input.real, input.imag))
        return complex(*parts)
    limits = dtypes.finfo(input.dtype)
    y = where(isnan(input), 0.0 if nan is None else nan, input)         # noqa: F821
    y = where(isposinf(input), limits.max if posinf is None else posinf, y)
    return named(where(isneginf(input), limits.min if neginf is None else neginf, y), "NanToNumBackward0")


def truth(x):
    """x != 0 as bool."""
    if not isinstance(x, Tensor):
        raise TypeError(f"argument 'other' (position 2) must be Tensor, not {type(x).__name__}")
    return x if x.dtype is dtypes.bool else _ne(x, 0)


@recalled("input")
def logical_not(input, *, out=None):
    y = _base["bitwise_not"](truth(input))
    return y if out is None else into(out, y)


@recalled("input other")
def logical_and(input, other, *, out=None):
    y = _base["bitwise_and"](truth(input), truth(other))
    return y if out is None else into(out, y)


@recalled("input other")
def logical_or(input, other, *, out=None):
    y = _base["bitwise_or"](truth(input), truth(other))
    return y if out is None else into(out, y)


@recalled("input other")
def logical_xor(input, other, *, out=None):
    y = _base["bitwise_xor"](truth(input), truth(other))
    return y if out is None else into(out, y)


def isclose(input, other, rtol=1e-5, atol=1e-8, equal_nan=False):
    """|a - b| <= atol + rtol |b|, or both nan if asked for."""
    if not isinstance(other, Tensor):
        raise TypeError(f"isclose(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
    for name, size in (("rtol", rtol), ("atol", atol)):
        if size < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {size}")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{legacy_name(input.dtype)} did not match {legacy_name(other.dtype)}")
    if input.dtype is dtypes.bool:
        return input == other
    close = (input == other) | ((input - other).abs() <= atol + rtol * other.abs()) & isfinite(other)
    return close | (isnan(input) & isnan(other)) if equal_nan else close    # noqa: F821


def allclose(input, other, rtol=1e-5, atol=1e-8, equal_nan=False) -> bool:
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


def equal(input, other) -> bool:
    """Same shape and all elements equal."""
    return input.shape == other.shape and bool(_eq(input, other).all().item())


# -- choice, copies, conversion --------------------------------------------------------------------------------
@recalled("condition input?# other?#")
def where(condition, input=None, other=None, *, out=None):
    """input where condition, else other; with the condition alone: indices of its true elements."""
    if input is None and other is None:
        from .index import nonzero
        return nonzero(condition, as_tuple=True)
    if not isinstance(condition, Tensor):
        raise TypeError(f"where(): argument 'condition' (position 1) must be Tensor, not {type(condition).__name__}")
    if condition.dtype is dtypes.uint8:
        warnings.warn("where received a uint8 condition tensor. This behavior is deprecated and will be removed in a "
                      "future version of PyTorch. Use a boolean condition instead.")
        condition = condition != 0
    if condition.dtype is not dtypes.bool:
        raise RuntimeError("where expected condition to be a boolean tensor, but got a tensor with dtype "
                           f"{legacy_name(condition.dtype)}")
    y = pointwise(p.where, (condition, _number(input), _number(other)), "where")
    return y if out is None else into(out, y)


def _number(x):
    return x.item() if isinstance(x, np.generic) else x


@recalled("input mask value?#")
def masked_fill(input, mask, value):
    """input with `value` where mask is True; the result has input's dtype."""
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype "
                           f"{MASK_NAMES.get(mask.dtype.name, mask.dtype.name)}")
    if isinstance(value, Tensor) and value.dim() > 0:
        raise RuntimeError("masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                           f"{value.dim()} dimension(s).")
    if isinstance(value, Tensor):
        return _masked(input, mask, value.to(input.dtype))
    return named(_masked_number(input, mask, value=as_element(value, input.dtype)), "MaskedFillBackward0")


MASK_NAMES = {"int64": "long int", "int32": "int", "int16": "short int", "uint8": "unsigned char",
              "int8": "signed char", "float32": "float", "float64": "double", "float16": "c10::Half",
              "bfloat16": "c10::BFloat16"}


def _masked(input, mask, value):
    y = where(mask, value, input)
    return named(y if y.layout.packed else apply(copy, (y,), {}), "MaskedFillBackward1")


@differentiable("MaskedFillBackward0", vjp=(lambda g, _y, _x, mask, *, value: where(mask, 0, g), None))
def _masked_number(x, mask, *, value):
    y = pointwise(p.where, (mask, value, x), "where")
    return y if y.layout.packed else apply(copy, (y,), {})


def cast(x, dtype):
    """x in another dtype; x itself if it has it already."""
    if x.dtype is dtype:
        return x
    return _cast(x, dtype)


@recalled("x")
def _cast(x, dtype):
    return pointwise(p.cast, (x,), "cast", CAST, {"dtype": dtype})


CAST = Gradient("ToCopyBackward0", (lambda g, _y, _x, *, dtype: g,))
CLONE = copy.gradient


@recalled("input")
def clone(input, *, memory_format=None):
    """A copy with memory of its own that stays on the tape; dense tensors keep their memory order."""
    if memory_format is not None and memory_format.name not in ("preserve_format", "contiguous_format"):
        from .formats import copied
        return copied(input, memory_format)
    x, l = input, input.layout
    if l.__class__ is layouts.layout:
        return layouts.answered("clone", (x,))
    keeps = memory_format is None or memory_format.name == "preserve_format"
    whole = l.numel == x.storage.numel and (l.packed or keeps)
    from ..layout import is_dense
    in_vmap = pending.capture is not None and pending.capture.is_vmap    # which tells new memory by its node
    if whole and x.storage.share is None and (l.packed or is_dense(l)) and not in_vmap:
        y = wrap(Tensor, alias(x.storage), l if keeps else L.packed(l.shape), 0)
        if mode.enabled and x.requires_grad:
            from ..autograd.node import attach
            attach(y, CLONE, (x,), {})
        return y
    return pointwise(copy, (x,)) if keeps else apply(copy, (x,), {})


