"""Activation functions. Each rule is the derivative in the notation of the function above it."""
from __future__ import annotations

import math
import warnings

from ... import dtypes, ops
from ...autograd.engine import sum_to
from ...autograd.function import differentiable
from ...autograd.inplace import assign
from ...autograd.node import named
from ...autograd.recall import recalled
from ...errors import warn
from ...ops.support import legacy_name, refuse
from ...tensor import Tensor
from ...ops.precision import rounded_once

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def in_place(input, compute):
    """Put `compute(input)` into `input`; its gradient is taken at the value before."""
    y = compute(input.clone() if input.requires_grad else input)
    if y._grad_fn is not None:
        kind = type(y._grad_fn).__name__
        named(y, IN_PLACE.get(kind, kind))
    return assign(input, y)


IN_PLACE = {f"{name}Backward0": f"{name}Backward1" for name in ("LeakyRelu", "Elu", "Threshold")}     # PyTorch's names


# -- piecewise linear ------------------------------------------------------------------------------
@recalled("input")
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, x)."""
    return input.relu_() if inplace else ops.relu(input)


@recalled("input")
def relu_(input: Tensor) -> Tensor:
    """In-place `relu`."""
    return input.relu_()


@differentiable("LeakyReluBackward0",
                vjp=(lambda g, _y, x, *, slope: ops.where(x > 0, g, g * slope),))
def _leaky_relu(x, *, slope):
    return ops.where(x > 0, x, x * slope)


@recalled("input")
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, `negative_slope` x elsewhere."""
    compute = lambda x: _leaky_relu(x, slope=negative_slope)
    return in_place(input, compute) if inplace else compute(input)


@differentiable("HardtanhBackward0", vjp=(
    lambda g, _y, x, *, low, high: ops.where((x > low) & (x < high), g, ops.zeros_like(g)),))
def _hardtanh(x, *, low, high):
    return x.clamp(low, high)


@recalled("input")
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0,
             inplace: bool = False) -> Tensor:
    """x cut to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input.dtype.rank < 2:
        min_val, max_val = int(min_val), int(max_val)
    compute = lambda x: _hardtanh(x, low=min_val, high=max_val)
    return in_place(input, compute) if inplace else compute(input)


@recalled("input")
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x cut to [0, 6]."""
    return hardtanh(input, 0.0, 6.0, inplace)


@differentiable("ThresholdBackward0", vjp=(
    lambda g, _y, x, *, threshold, value: ops.where(x > threshold, g, ops.zeros_like(g)),))
def _threshold(x, *, threshold, value):
    return ops.where(x <= threshold, ops.full_like(x, value), x)


@recalled("input")
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where above `threshold`, `value` elsewhere."""
    compute = lambda x: _threshold(x, threshold=threshold, value=value)
    return in_place(input, compute) if inplace else compute(input)


@differentiable("HardsigmoidBackward0", vjp=(
    lambda g, _y, x: ops.where((x > -3) & (x < 3), g * (1 / 6), ops.zeros_like(g)),))
@rounded_once
def _hardsigmoid(x):
    return (x + 3).clamp(0, 6) / 6


@recalled("input")
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    return in_place(input, _hardsigmoid) if inplace else _hardsigmoid(input)


@differentiable("HardswishBackward0",
                vjp=(lambda g, _y, x: ops.where(x <= -3, ops.zeros_like(g),
                                                ops.where(x < 3, g * (x / 3 + 0.5), g)),))
@rounded_once
def _hardswish(x):
    return x * (x + 3).clamp(0, 6) / 6


@recalled("input")
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x hardsigmoid(x)."""
    return in_place(input, _hardswish) if inplace else _hardswish(input)


@differentiable("HardshrinkBackward0", vjp=(
    lambda g, _y, x, *, lambd: ops.where((x >= -lambd) & (x <= lambd), ops.zeros_like(g), g),))
def _hardshrink(x, *, lambd):
    return ops.where((x >= -lambd) & (x <= lambd), ops.zeros_like(x), x)


@recalled("input")
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, 0 elsewhere."""
    return _hardshrink(input, lambd=lambd)


@differentiable("SoftshrinkBackward0", vjp=(
    lambda g, _y, x, *, lambd: ops.where((x >= -lambd) & (x <= lambd), ops.zeros_like(g), g),))
def _softshrink(x, *, lambd):
    return ops.where(x > lambd, x - lambd, ops.where(x < -lambd, x + lambd, x * 0))


@recalled("input")
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved by lambd towards 0, and 0 where |x| <= lambd."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    return _softshrink(input, lambd=lambd)


@differentiable("PreluKernelBackward0", vjp=(
    lambda g, _y, x, w: ops.where(x > 0, g, g * w),
    lambda g, _y, x, w: sum_to(ops.where(x > 0, ops.zeros_like(g), g * x), w.shape)))
def _prelu(x, w):
    return ops.where(x > 0, x, x * w)


@recalled("input weight")
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, weight x elsewhere; one weight, or one for each channel (axis 1)."""
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {legacy_name(input.dtype)} and {legacy_name(weight.dtype)}")
    if weight.numel() != 1:
        channels = input.size(1) if input.dim() > 1 else 1
        if input.dim() == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        if weight.numel() != channels:
            raise RuntimeError("Mismatch of parameter numbers and input channel size. Found "
                               "parameter numbers = "
                               f"{weight.numel()} and channel size = {channels}.")
    if weight.dim() > 1:
        raise RuntimeError("prelu: Expected `weight` to be a scalar or 1D tensor, but got: "
                           f"ndim = {weight.dim()}")
    shape = [1] * input.dim()
    if input.dim() > 1:
        shape[1] = weight.numel()
    return _prelu(input, weight.reshape(shape))


NOISY = "RreluWithNoiseBackward0"


@recalled("input")
def rrelu(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False,
          inplace: bool = False) -> Tensor:
    """`leaky_relu` with slopes drawn from [lower, upper) in training, their mean otherwise."""
    if not training:
        return named(leaky_relu(input if inplace else input.contiguous(), (lower + upper) / 2, inplace), NOISY)
    slopes = _random_slopes(input.detach() <= 0, lower, upper).to(input.dtype)
    compute = lambda x: named(x.contiguous() * slopes, NOISY)
    return in_place(input, compute) if inplace else compute(input)


def _random_slopes(negative, lower, upper):
    """A draw for each negative element in turn, 1 for the others, which draw nothing."""
    draws = ops.empty(int(negative.sum()), dtype=dtypes.float64).uniform_(lower, upper)
    return ops.ones(negative.shape, dtype=dtypes.float64).masked_scatter(negative, draws)


# -- exponential -----------------------------------------------------------------------------------
def _elu_slope(x, alpha, scale, input_scale):
    return ops.exp((x * input_scale).clamp(max=0)) * (alpha * scale * input_scale)


@differentiable("EluBackward0", vjp=(
    lambda g, _y, x, *, alpha, scale, input_scale:
        g * ops.where(x > 0, ops.full_like(x, scale), _elu_slope(x, alpha, scale, input_scale)),))
@rounded_once
def _elu(x, *, alpha, scale, input_scale):
    return ops.where(x > 0, x * scale, ops.expm1((x * input_scale).clamp(max=0)) * (alpha * scale))


@recalled("input")
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha (exp(x) - 1) elsewhere."""
    compute = lambda x: _elu(x, alpha=alpha, scale=1.0, input_scale=1.0)
    return in_place(input, compute) if inplace else compute(input)


@recalled("input")
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """`elu` with the constants that keep mean 0 and variance 1."""
    compute = lambda x: _elu(x, alpha=SELU_ALPHA, scale=SELU_SCALE, input_scale=1.0)
    return in_place(input, compute) if inplace else compute(input)


@recalled("input")
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha (exp(x / alpha) - 1) elsewhere."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    compute = lambda x: named(_elu(x, alpha=alpha, scale=1.0, input_scale=1.0 / alpha), "CeluBackward0")
    return in_place(input, compute) if inplace else compute(input)


@recalled("input")
def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return ops.sigmoid(input)


@recalled("input")
def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return ops.tanh(input)


@differentiable("LogSigmoidBackward0", vjp=(lambda g, _y, x: g * ops.sigmoid(-x),))
@rounded_once
def _logsigmoid(x):
    x = ops.contiguous(x)
    return x.clamp(max=0) - ops.log1p(ops.exp(-x.abs()))


@recalled("input")
def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow."""
    return _logsigmoid(input)


def _softplus_rule(g, _y, x, *, beta, threshold):
    return ops.where(x * beta > threshold, g, g * ops.sigmoid(x * beta))


@differentiable("SoftplusBackward0", vjp=(_softplus_rule,))
@rounded_once
def _softplus(x, *, beta, threshold):
    t = x * beta
    return ops.where(t > threshold, x, ops.log1p(ops.exp(t)) / beta)


@recalled("input")
def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """log(1 + exp(beta x)) / beta, and x where beta x > threshold."""
    return _softplus(input, beta=beta, threshold=threshold)


@rounded_once
def _silu_rule(g, _y, x):
    s = ops.sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


@differentiable("SiluBackward0", vjp=(_silu_rule,))
@rounded_once
def _silu(x):
    return x * ops.sigmoid(x)


@recalled("input")
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x)."""
    return in_place(input, _silu) if inplace else _silu(input)


@rounded_once
def _mish_rule(g, _y, x):
    t = ops.tanh(_softplus(x, beta=1, threshold=20))
    return g * (t + x * ops.sigmoid(x) * (1 - t * t))


@differentiable("MishBackward0", vjp=(_mish_rule,))
@rounded_once
def _mish(x):
    return x * ops.tanh(_softplus(x, beta=1, threshold=20))


@recalled("input")
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(softplus(x))."""
    return in_place(input, _mish) if inplace else _mish(input)


@rounded_once
def _gelu_rule(g, _y, x):
    cdf = 0.5 * (1 + ops.erf(x * math.sqrt(0.5)))
    return g * (cdf + x * (ops.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))))


@differentiable("GeluBackward0", vjp=(_gelu_rule,))
@rounded_once
def _gelu(x):
    return x * 0.5 * (1 + ops.erf(x * math.sqrt(0.5)))


_BETA, _KAPPA = math.sqrt(2 / math.pi), 0.044715


@rounded_once
def _gelu_tanh_rule(g, _y, x):
    t = ops.tanh(_BETA * (x + _KAPPA * x * x * x))
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * (_BETA * (1 + 3 * _KAPPA * x * x)))


@differentiable("GeluBackward0", vjp=(_gelu_tanh_rule,))
@rounded_once
def _gelu_tanh(x):
    return 0.5 * x * (1 + ops.tanh(_BETA * (x + _KAPPA * x * x * x)))


@recalled("input")
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x; `approximate` is 'none' or 'tanh'."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return _gelu(input) if approximate == "none" else _gelu_tanh(input)


@recalled("input")
def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


@recalled("input")
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - input.tanh()


@recalled("input")
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b), where a and b are the halves of the input along `dim`."""
    if input.dim() == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    size = input.size(dim)
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim % input.dim()} is "
                           f"size {size}")
    a, b = input.chunk(2, dim)
    return named(a * ops.sigmoid(b), "GluBackward0")


# -- softmax and its relatives ---------------------------------------------------------------------
@differentiable("SoftmaxBackward0", vjp=(
    lambda g, y, _x, *, dim: y * (g - (g * y).sum(dim, keepdim=True)),))
@rounded_once
def _softmax(x, *, dim):
    x = ops.contiguous(x)
    e = ops.exp(x - x.amax(dim, keepdim=True))
    return e / e.sum(dim, keepdim=True)


@differentiable("LogSoftmaxBackward0", vjp=(
    lambda g, y, _x, *, dim: g - ops.exp(y) * g.sum(dim, keepdim=True),))
@rounded_once
def _log_softmax(x, *, dim):
    x = ops.contiguous(x)
    shifted = x - x.amax(dim, keepdim=True)
    return shifted - ops.log(ops.exp(shifted).sum(dim, keepdim=True))


def _implicit_dim(name, ndim, stacklevel):
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to "
                  "include dim=X as an argument.", stacklevel=stacklevel + 1)
    return 0 if ndim in (0, 1, 3) else 1


def _along(rule, input, dim, dtype):
    x = input if dtype is None else input.to(dtype)
    if not x.is_floating_point():
        name = ("softmax_lastdim_kernel_impl" if rule is _softmax
                else "log_softmax_lastdim_kernel_impl")
        refuse(name, x.dtype)
    ndim = max(x.dim(), 1)
    if not -ndim <= dim < ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-ndim}, "
                         f"{ndim - 1}], but got {dim})")
    if x.numel() == 0:
        return x.clone()
    return rule(x, dim=dim % ndim)


@recalled("input")
def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None) -> Tensor:
    """exp(x) over its sum along `dim`; cast to `dtype` first if given."""
    dim = _implicit_dim("softmax", input.dim(), _stacklevel) if dim is None else dim
    return _along(_softmax, input, dim, dtype)


@recalled("input")
def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None) -> Tensor:
    """softmax(-x)."""
    dim = _implicit_dim("softmin", input.dim(), _stacklevel) if dim is None else dim
    return _along(_softmax, -input, dim, dtype)


@recalled("input")
def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype=None) -> Tensor:
    """log(softmax(x)), stably; cast to `dtype` first if given."""
    dim = _implicit_dim("log_softmax", input.dim(), _stacklevel) if dim is None else dim
    return _along(_log_softmax, input, dim, dtype)


@recalled("logits")
def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10,
                   dim: int = -1) -> Tensor:
    """A sample of the Gumbel-softmax distribution; one-hot going forward if `hard`."""
    if eps != 1e-10:
        warn("`eps` parameter is deprecated and has no effect.")
    gumbels = -ops.empty(logits.shape, dtype=logits.dtype).exponential_().log()
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    one_hot = ops.zeros(logits.shape, dtype=logits.dtype).scatter_(dim, index, 1.0)
    return one_hot - soft.detach() + soft


def _in_place_form(function):
    """The function that overwrites its input: `elu_` of `elu`."""
    def overwriting(input, *args, **kwargs):
        return function(input, *args, **kwargs, inplace=True)
    overwriting.__name__ = function.__name__ + "_"
    overwriting.__doc__ = f"In-place `{function.__name__}`."
    return overwriting


leaky_relu_, hardtanh_, threshold_ = map(_in_place_form, (leaky_relu, hardtanh, threshold))
elu_, selu_, celu_, rrelu_ = map(_in_place_form, (elu, selu, celu, rrelu))
