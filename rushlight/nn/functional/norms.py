"""Normalisations: subtract a mean, divide by a deviation, scale and shift.

Batch, layer, group and instance normalisation differ only in the axes that the statistics run
over and in the shape of weight and bias; `_normalise` is what they share.
"""
from __future__ import annotations

import math

from ... import dtypes, ops
from ...autograd.engine import sum_to
from ...autograd.function import differentiable
from ...autograd.grad_mode import is_grad_enabled, no_grad
from ...autograd.node import named
from ...autograd.recall import recalled
from ...tensor import Tensor
from ...ops.precision import is_half
from ...ops.shape import channels_last, channels_last_3d


def _mean(x, dims, groups=None):
    """The mean over `dims`, which are kept with size 1, or of these means over groups of channels."""
    mean = x.mean(dims, keepdim=True) if dims else x
    if groups is None:
        return mean
    parts = mean.reshape(len(x), groups, -1)
    return parts.mean(2, keepdim=True).expand_as(parts).reshape(mean.shape)


def _moments(x, dims, groups=None):
    """Mean and biased variance over `dims`, which are kept with size 1."""
    mean = _mean(x, dims, groups)
    centred = x - mean
    return mean, _mean(centred * centred, dims, groups)


def _statistics(x, mean, rstd, dims, eps, groups):
    """The given mean and 1 / deviation, or taped ones for a gradient of the gradient."""
    if not is_grad_enabled():
        return mean, rstd
    mean, var = _moments(x, dims, groups)
    return mean, ops.rsqrt(var + eps)


def _plain_rule(g, _y, x, mean, rstd, *, dims, eps, groups=None):
    mean, rstd = _statistics(x, mean, rstd, dims, eps, groups)
    normed = (x - mean) * rstd
    return rstd * (g - _mean(g, dims, groups) - normed * _mean(g * normed, dims, groups))


def _alike(w, dims):
    """Those of the axes `dims` along which a weight is one number."""
    return tuple(d for d in dims if w.shape[d] == 1)


def _sums(g, x, mean, rstd, axes):
    """g times the normalised x, and g, added up over `axes`: weights, biases and x need the same ones."""
    products = g * ((x - mean) * rstd)
    return [t.sum(axes, keepdim=True) if axes else t for t in (products, g)]


def _input_rule(g, _y, x, mean, rstd, w, *_b, dims, eps, groups=None):
    mean, rstd = _statistics(x, mean, rstd, dims, eps, groups)
    alike = _alike(w, dims)
    if alike:
        rest = tuple(d for d in dims if d not in alike)
        sums = [s * w for s in _sums(g, x, mean, rstd, alike)]
        sums = [s.sum(rest, keepdim=True) for s in sums] if rest else sums
    else:
        sums = _sums(g * w, x, mean, rstd, dims)
    n = math.prod(x.shape[d] for d in dims)
    means = [_mean(s / n, (), groups) for s in sums]
    return rstd * (g * w - means[1] - (x - mean) * rstd * means[0])


def _weight_rule(g, _y, x, mean, rstd, w, *_b, dims, eps, groups=None):
    mean, rstd = _statistics(x, mean, rstd, dims, eps, groups)
    return sum_to(_sums(g, x, mean, rstd, _alike(w, dims))[0], w.shape)


def _bias_rule(g, _y, _x, _mean, _rstd, _w, b, *, dims, eps, groups=None):
    axes = _alike(b, dims)
    return sum_to(g.sum(axes, keepdim=True) if axes else g, b.shape)


def _normalise(x, mean, rstd, w=None, b=None, *, dims, eps, groups=None):
    y = (x - mean) * rstd
    y = y if w is None else y * w
    return y if b is None else y + b


_RULES = {3: (_plain_rule, None, None), 4: (_input_rule, None, None, _weight_rule),
          5: (_input_rule, None, None, _weight_rule, _bias_rule)}      # by the number of tensors
_NAMES = ("NativeBatchNormBackward0", "NativeLayerNormBackward0", "NativeGroupNormBackward0")
_batch, _layer, _group = ({n: differentiable(name, vjp=rules)(_normalise)
                           for n, rules in _RULES.items()} for name in _NAMES)


def _normalised(normalise, x, w, b, mean, rstd, dims, eps, groups=None):
    """Call with as many tensors as there are; a bias alone is added outside."""
    if w is None and b is not None:
        return normalise[3](x, mean, rstd, dims=dims, eps=eps, groups=groups) + b
    tensors = [t for t in (x, mean, rstd, w, b) if t is not None]
    return normalise[len(tensors)](*tensors, dims=dims, eps=eps, groups=groups)


def _in_a_format(x):
    """x with its channels last, if they are, else packed: results lie as PyTorch's do."""
    last = x.layout.packed or any(ops.is_channels_last(x.layout, f) for f in (channels_last, channels_last_3d))
    return x if last else x.contiguous()


def _wide(*tensors):
    """float32 copies of half precision tensors: everything here is rounded once, at the end."""
    return [t.to(dtypes.float32) if t is not None and is_half(t) else t for t in tensors]


# -- batch normalisation ---------------------------------------------------------------------------
def _check_batch(size):
    count = size[0] * math.prod(size[2:])
    if count == 1:
        raise ValueError("Expected more than 1 value per channel when training, got input size "
                         f"{size}")


def _per_channel(t, ndim):
    return None if t is None else t.reshape(1, -1, *[1] * (ndim - 2))


def _update_running(running, batch, momentum, unbiased=0):
    """running = (1 - momentum) running + momentum batch.

    A variance of n values is made unbiased first.
    """
    if running is not None:
        share = momentum * unbiased / (unbiased - 1) if unbiased else momentum
        running.mul_(1 - momentum).add_(batch.reshape(running.shape).to(running.dtype), alpha=share)


def _check_channels(input, **vectors):
    for name, v in vectors.items():
        if v is not None and v.numel() != input.size(1):
            raise RuntimeError(f"{name} should contain {input.size(1)} elements not {v.numel()}")


def _check_running(running_mean, running_var, eps):
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    if eps <= 0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")


@recalled("input running_mean? running_var? weight? bias?")
def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
               weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
               momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """Normalise each channel (axis 1) over all other axes, or by the running statistics.

    In training the running statistics move by `momentum` towards the batch's mean and unbiased
    variance.
    """
    if training:
        _check_batch(input.size())
        _check_running(running_mean, running_var, eps)
    _check_channels(input, running_mean=running_mean, running_var=running_var, weight=weight,
                    bias=bias)
    x, w, b = _wide(_in_a_format(input), weight, bias)
    w, b = _per_channel(w, x.dim()), _per_channel(b, x.dim())
    if not training:
        mean, var = _wide(running_mean, running_var)
        if mean is None or var is None:
            raise RuntimeError("running_mean must be defined in evaluation mode")
        rstd = ops.rsqrt(_per_channel(var, x.dim()) + eps)
        y = _normalise(x, _per_channel(mean, x.dim()), rstd, w, b, dims=None, eps=eps)
        return named(y.to(input.dtype), "NativeBatchNormBackward0")
    dims = (0, *range(2, x.dim()))
    with no_grad():
        mean, var = _moments(x.detach(), dims)
        if x.numel():                       # nothing is known of an empty batch
            _update_running(running_mean, mean, momentum)
            _update_running(running_var, var, momentum, unbiased=x.numel() // x.size(1))
        rstd = ops.rsqrt(var + eps)
    return _normalised(_batch, x, w, b, mean, rstd, dims, eps).to(input.dtype)


@recalled("input running_mean? running_var? weight? bias?")
def instance_norm(input: Tensor, running_mean: Tensor | None = None,
                  running_var: Tensor | None = None, weight: Tensor | None = None,
                  bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1,
                  eps: float = 1e-5) -> Tensor:
    """Normalise each channel of each sample over its spatial axes."""
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError("Expected more than 1 spatial element when training, got input size "
                         f"{input.size()}")
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    _check_channels(input, running_mean=running_mean, running_var=running_var, weight=weight,
                    bias=bias)
    x, w, b = _wide(input.contiguous(), weight, bias)
    dims = tuple(range(2, x.dim()))
    with no_grad():
        mean, var = _moments(x.detach(), dims)
        _update_running(running_mean, mean.mean(0), momentum)
        _update_running(running_var, var.mean(0), momentum, unbiased=math.prod(x.shape[2:]))
        rstd = ops.rsqrt(var + eps)
    w, b = _per_channel(w, x.dim()), _per_channel(b, x.dim())
    return _normalised(_batch, x, w, b, mean, rstd, dims, eps).to(input.dtype)


# -- normalisation within a sample -----------------------------------------------------------------
def _check_normalized_shape(input, shape):
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., "
                           "containing at least one element, but got normalized_shape = []")
    if input.dim() < len(shape) or tuple(input.shape[input.dim() - len(shape):]) != shape:
        expected = ", ".join(map(str, ("*", *shape)))
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape "
                           f"[{expected}], but got input of size{list(input.shape)}")


def _check_affine(shape, **tensors):
    for name, t in tensors.items():
        if t is not None and tuple(t.shape) != shape:
            raise RuntimeError(f"Expected {name} to be of same shape as normalized_shape, but got "
                               f"{name} of shape "
                               f"{list(t.shape)} and normalized_shape = {list(shape)}")


@recalled("input weight? bias?")
def layer_norm(input: Tensor, normalized_shape, weight: Tensor | None = None,
               bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Normalise over the last axes, whose shape is `normalized_shape`."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    _check_normalized_shape(input, shape)
    _check_affine(shape, weight=weight, bias=bias)
    x, w, b = _wide(input.contiguous(), weight, bias)
    dims = tuple(range(-len(shape), 0))
    with no_grad():
        mean, var = _moments(x.detach(), dims)
        rstd = ops.rsqrt(var + eps)
    return _normalised(_layer, x, w, b, mean, rstd, dims, eps).to(input.dtype)


@recalled("input weight? bias?")
def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None,
               bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Normalise over groups of channels (axis 1) of each sample."""
    if input.dim() < 2:
        raise RuntimeError("Expected at least 2 dimensions for input tensor but received "
                           f"{input.dim()}")
    n, channels = input.shape[:2]
    if channels % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, "
                           "but got input of shape "
                           f"{list(input.shape)} and num_groups={num_groups}")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and (t.dim() != 1 or t.numel() != channels):
            raise RuntimeError(f"Expected {name} to be a vector of size equal to the number of "
                               f"channels in input, but got {name} of shape {list(t.shape)} and "
                               f"input of shape {list(input.shape)}")
    x, w, b = _wide(_in_a_format(input), weight, bias)
    length = math.prod(input.shape[2:])
    if x.layout.packed:                     # groups are rows
        x, one, dims, groups = x.reshape(n, num_groups, channels // num_groups, length), (1, num_groups, -1, 1), (2, 3), None
    else:                                   # channels lie side by side: their sums come first
        x, one, dims, groups = x.reshape(n, channels, length), (1, -1, 1), (2,), num_groups
    with no_grad():
        mean, var = _moments(x.detach(), dims, groups)
        rstd = ops.rsqrt(var + eps)
    w, b = (None if t is None else t.reshape(one) for t in (w, b))
    y = _normalised(_group, x, w, b, mean, rstd, dims, eps, groups)
    return named(y.reshape(input.shape).to(input.dtype), "NativeGroupNormBackward0")


@recalled("input weight?")
def rms_norm(input: Tensor, normalized_shape, weight: Tensor | None = None,
             eps: float | None = None) -> Tensor:
    """Divide by the root of the mean square over the last axes."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if input.dim() < len(shape):
        raise ValueError(f"Input tensor must have at least {len(shape)} dimensions, but got {input.dim()}")
    _check_normalized_shape(input, shape)
    _check_affine(shape, weight=weight)
    x, w = _wide(input.contiguous(), weight)
    eps = dtypes.finfo(x.dtype).eps if eps is None else eps
    y = x * ops.rsqrt((x * x).mean(tuple(range(-len(shape), 0)), keepdim=True) + eps)
    return (y if w is None else y * w).to(input.dtype)


@recalled("input")
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75,
                        k: float = 1.0) -> Tensor:
    """Divide by (k + alpha mean of squares over `size` neighbouring channels) to the power beta."""
    if input.dim() < 3:
        raise ValueError("Expected 3D or higher dimensionality                          input "
                         f"(got {input.dim()} dimensions)")
    if input.numel() == 0:
        return input
    squares = (input * input).movedim(1, -1)
    padded = ops.pad(squares, (size // 2, (size - 1) // 2))
    total = padded.unfold(-1, size, 1).sum(-1).movedim(-1, 1)
    return input / (total / size * alpha + k) ** beta
