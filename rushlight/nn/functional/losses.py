"""Loss functions. `reduction` is 'none', 'mean' or 'sum' everywhere."""
from __future__ import annotations

import math
import warnings

from ...ops.casting import listed
from ... import dtypes, ops
from ...autograd.function import differentiable
from ...autograd.node import named, taping
from ...autograd.recall import recalled
from ...ops.support import check_subtraction, legacy_name as dtype_name, refuse
from ...layout import broadcast_shapes
from ...prims.index import gather
from ...prims.lattice import lattice, lowest
from ...tensor import Tensor
from ...trace.record import pending
from .activations import _log_softmax, log_softmax, logsigmoid
from .distances import pairwise_distance
from .linear_maps import linear
from ...ops.precision import is_half


def legacy_reduction(size_average, reduce, emit_warning: bool = True) -> str:
    """The reduction that the old pair of arguments means."""
    size_average = True if size_average is None else size_average
    reduce = True if reduce is None else reduce
    reduction = "none" if not reduce else "mean" if size_average else "sum"
    if emit_warning:
        warnings.warn("size_average and reduce args will be deprecated, please use "
                      f"reduction='{reduction}' instead.", stacklevel=3)
    return reduction


def _mode(size_average, reduce, reduction):
    if size_average is not None or reduce is not None:
        return legacy_reduction(size_average, reduce)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean, the sum or the losses themselves."""
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def _scaled(g, x, reduction):
    """The gradient of one element's loss, from that of the reduced loss."""
    return g / x.numel() if reduction == "mean" else g


def _same_shape(input, target, name):
    """Both broadcast to one shape, with PyTorch's warning when they differ."""
    if input.shape == target.shape:
        return input, target
    warnings.warn(f"Using a target size ({target.size()}) that is different to the input size "
                  f"({input.size()}). This will likely lead to incorrect results due to "
                  "broadcasting. Please ensure they have the same size.", stacklevel=3)
    return ops.broadcast_tensors(input, target)


def _promoted(*tensors):
    dtype = tensors[0].dtype
    for t in tensors[1:]:
        dtype = dtypes.promote_types(dtype, t.dtype)
    return tuple(t if t.dtype == dtype else t.to(dtype) for t in tensors)


# -- regression ------------------------------------------------------------------------------------
def _difference_loss(name, loss, slope):
    """A loss of x - t with a gradient rule.

    The target's gradient is the negative of the input's.
    """
    def toward(g, x, t, params):
        return _scaled(g, x, params["reduction"]) * slope(x - t, **_own(params))

    rules = (lambda g, _y, x, t, **params: toward(g, x, t, params),
             lambda g, _y, x, t, **params: -toward(g, x, t, params))

    @differentiable(name, vjp=rules)
    def function(x, t, *, reduction, **params):
        if is_half(x):
            return reduced(loss(x.to(dtypes.float32) - t.to(dtypes.float32), **params),
                           reduction).to(x.dtype)
        return reduced(loss(x - t, **params), reduction)
    return function


def _own(params):
    return {k: v for k, v in params.items() if k != "reduction"}


_squared = _difference_loss("MseLossBackward0", lambda d: d * d, lambda d: d * 2)
_absolute = _difference_loss("L1LossBackward0", lambda d: d.abs(), lambda d: ops.sgn(d))
_huber = _difference_loss(
    "HuberLossBackward0",
    lambda d, delta: ops.where(d.abs() <= delta, 0.5 * d * d, delta * (d.abs() - 0.5 * delta)),
    lambda d, delta: d.clamp(-delta, delta))
_smooth = _difference_loss(
    "SmoothL1LossBackward0",
    lambda d, beta: ops.where(d.abs() < beta, 0.5 * d * d / beta, d.abs() - 0.5 * beta),
    lambda d, beta: ops.where(d.abs() < beta, d / beta, ops.sign(d)))


def _weighted_mean(loss, weight, reduction):
    """Element weights; the mean divides by their sum."""
    if weight.shape != loss.shape:
        raise ValueError("Inputs and weights must have the same size.")
    loss = loss * weight
    return loss.sum() / weight.sum() if reduction == "mean" else reduced(loss, reduction)


def _regression(function, name, input, target, weight, reduction, **params):
    x, t = _promoted(*_same_shape(input, target, name))
    if x.dtype.is_complex and function is not _absolute:
        refuse(name.replace("_loss", "_cpu"), x.dtype)
    if weight is not None:
        return _weighted_mean(function(x, t, reduction="none", **params), weight, reduction)
    return function(x, t, reduction=reduction, **params)


@recalled("input target weight?")
def mse_loss(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean",
             weight: Tensor | None = None) -> Tensor:
    """(x - t)^2."""
    return _regression(_squared, "mse_loss", input, target, weight,
                       _mode(size_average, reduce, reduction))


@recalled("input target weight?")
def l1_loss(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean",
            weight: Tensor | None = None) -> Tensor:
    """|x - t|."""
    reduction = _mode(size_average, reduce, reduction)
    names = {"mean": "MeanBackward0", "sum": "SumBackward0", "none": "AbsBackward0"}
    return named(_regression(_absolute, "l1_loss", input, target, weight, reduction), names[reduction])


@recalled("input target")
def smooth_l1_loss(input: Tensor, target: Tensor, size_average=None, reduce=None,
                   reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """(x - t)^2 / (2 beta) where |x - t| < beta, |x - t| - beta / 2 elsewhere."""
    reduction = _mode(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return _regression(_smooth, "smooth_l1_loss", input, target, None, reduction, beta=beta)


@recalled("input target weight?")
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
               weight: Tensor | None = None) -> Tensor:
    """(x - t)^2 / 2 where |x - t| <= delta, delta (|x - t| - delta / 2) elsewhere."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    return _regression(_huber, "huber_loss", input, target, weight, _mode(None, None, reduction),
                       delta=delta)


@recalled("input target")
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
                     size_average=None, eps: float = 1e-8, reduce=None,
                     reduction: str = "mean") -> Tensor:
    """exp(x) - t x, or x - t log(x + eps); `full` adds Stirling's approximation of log t!."""
    reduction = _mode(size_average, reduce, reduction)
    loss = ops.exp(input) - target * input if log_input else input - target * ops.log(input + eps)
    if full:
        stirling = target * ops.log(target) - target + 0.5 * ops.log(2 * math.pi * target)
        loss = loss + ops.where(target <= 1, ops.zeros_like(stirling), stirling)
    return reduced(loss, reduction)


@recalled("input target var?")
def gaussian_nll_loss(input: Tensor, target: Tensor, var: Tensor | float, full: bool = False,
                      eps: float = 1e-6, reduction: str = "mean") -> Tensor:
    """(log var + (x - t)^2 / var) / 2, with var at least eps."""
    if isinstance(var, float):
        var = var * ops.ones_like(input)
    if var.size() != input.size():
        if input.size()[:-1] == var.size():
            var = var.unsqueeze(-1)
        elif not _broadcasts(var, input):
            raise ValueError("var is of incorrect size")
    _mode(None, None, reduction)
    if pending.capture is not None:         # within vmap nobody can look at a value
        var = ops.good(var, ops.any(var < 0), "variance")
    elif ops.any(var < 0):
        raise ValueError("var has negative entry/entries")
    bounded = var + (var.detach().clamp(min=eps) - var.detach())
    loss = 0.5 * (ops.log(bounded) + (input - target) ** 2 / bounded)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def _broadcasts(a, b):
    return a.dim() == b.dim() and all(n in (1, m) for n, m in zip(a.shape, b.shape))


@recalled("input target")
def kl_div(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean",
           log_target: bool = False) -> Tensor:
    """t (log t - x) for log-probabilities x; 'batchmean' divides the sum by the batch size."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    elif reduction == "mean":
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the "
                      "support size.'batchmean' divides only by the batch size, and aligns with "
                      "the KL div math definition.'mean' will be changed to behave the same as "
                      "'batchmean' in the next major release.", stacklevel=2)
    if input.dtype.rank != 2 or target.dtype.rank != 2:
        kind = "Complex" if input.dtype.is_complex or target.dtype.is_complex else "Integral"
        raise RuntimeError(f"kl_div: {kind} inputs not supported.")
    loss = (ops.exp(target) * (target - input) if log_target
            else ops.xlogy(target, target) - target * input)
    if reduction == "batchmean":
        return loss.sum() / input.size(0) if input.dim() else loss.sum()
    return reduced(loss, _mode(None, None, reduction))


# -- classification --------------------------------------------------------------------------------
def _class_mask(target, classes):
    """Where along axis 1 the target stands: a comparison, which fuses with what follows."""
    places = ops.arange(classes).reshape(1, -1, *[1] * (target.dim() - 1))
    return places == target.unsqueeze(1)


def _nll_rule(g, _y, _x, target, scale, *, reduction, classes):
    share = g * scale / scale.sum() if reduction == "mean" else g * scale
    return ops.where(_class_mask(target, classes), -share.unsqueeze(1), 0.0)


@differentiable("NllLossBackward0", vjp=(_nll_rule, None, None))
def _negative_picked(x, target, scale, *, reduction, classes):
    """-scale x[target] along axis 1; the mean divides by the sum of scales."""
    losses = -(_picked(x, target) * scale)
    if reduction == "none":
        return losses
    return losses.sum() / scale.sum() if reduction == "mean" else losses.sum()


def _picked(x, target):
    """x at the target class (axis 1); a target out of range is an error when it is run."""
    at = target.unsqueeze(1)
    coords = tuple(-1 if axis == 1 else axis for axis in range(x.dim()))
    return gather(x, at, coords=coords, shape=tuple(at.shape), size=tuple(x.shape), wrap=False,
                  error="target").squeeze(1)


def _check_classes(input, target, weight):
    if input.dim() < 1:
        raise ValueError(f"Expected 1 or more dimensions (got {input.dim()})")
    if input.dim() <= 2 and target.dim() > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    batch = target.size(0) if target.dim() else 0
    if input.dim() == 1 and target.numel() != 1:
        raise ValueError(f"For 1D input, 1D target must have size 1, but got target size: {batch}")
    if input.dim() != 1 and input.size(0) != batch:
        raise ValueError(f"Expected input batch_size ({input.size(0)}) to match target batch_size ({batch}).")
    kind = dtype_name(target.dtype)
    if kind not in ("Long", "Byte"):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {kind}")
    if input.dim() > 2:
        _check_places(list(input.shape), list(target.shape))
    classes = input.size(0 if input.dim() == 1 else 1)
    if weight is not None and (weight.dim() != 1 or weight.numel() != classes):
        raise RuntimeError(f"weight tensor should be defined either for all {classes} classes or "
                           f"no classes but got weight tensor of shape: {list(weight.shape)}")
    if weight is not None and weight.dtype is not input.dtype:
        raise RuntimeError(f"expected scalar type {dtype_name(input.dtype)} but found {dtype_name(weight.dtype)}")


def _check_places(shape, target):
    """The target has a class for each place of (N, C, ...)."""
    if len(shape) == 4 and len(target) != 3:
        raise RuntimeError("only batches of spatial targets supported (3D tensors) but got targets of dimension: "
                           f"{len(target)}")
    expected = [shape[0], *shape[2:]]
    if len(shape) == 4 and target != expected:
        raise RuntimeError(f"size mismatch (got input: {shape} , target: {target}")
    if target != expected:
        raise RuntimeError(f"Expected target size {expected}, got {target}")


def _nll(x, target, weight, ignore_index, reduction):
    """Negative log-likelihood of (N, C, ...) at (N, ...)."""
    target = target if target.dtype == dtypes.int64 else target.to(dtypes.int64)
    counts = target != ignore_index
    safe = ops.where(counts, target, 0)
    scale = (counts.to(x.dtype) if weight is None
             else ops.where(counts, _picked_weight(weight, safe), 0.0))
    return _negative_picked(x, safe, scale, reduction=reduction, classes=x.size(1))


def _picked_weight(weight, target):
    return weight.index_select(0, target.reshape(-1)).reshape(target.shape)


@recalled("input target weight?")
def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average=None,
             ignore_index: int = -100, reduce=None, reduction: str = "mean") -> Tensor:
    """-weight[t] x[t] for log-probabilities (N, C, ...) and classes (N, ...).

    The mean is over weights.
    """
    reduction = _mode(size_average, reduce, reduction)
    _check_classes(input, target, weight)
    if input.dim() == 1:
        losses = _nll(input.unsqueeze(0), target.reshape(1), weight, ignore_index, reduction)
        return losses.reshape(()) if reduction == "none" else losses
    return _nll(input, target, weight, ignore_index, reduction)


def _check_probabilities(target, ignore_index):
    if not target.is_floating_point():
        raise RuntimeError("Expected floating point type for target with class probabilities, got "
                           f"{dtype_name(target.dtype)}")
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")


@recalled("input target weight?")
def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average=None,
                  ignore_index: int = -100, reduce=None, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:
    """-log softmax(x)[t] for logits (N, C, ...) and classes (N, ...) or their probabilities."""
    reduction = _mode(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.dim() == 0:
        raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got 1)")
    dim = 0 if input.dim() == 1 else 1
    if input.shape == target.shape:
        _check_probabilities(target, ignore_index)
        return _probability_loss(input, target, weight, reduction, label_smoothing, dim)
    _check_classes(input, target, weight)
    log_p = log_softmax(input, dim)
    if label_smoothing == 0:
        return nll_loss(log_p, target, weight, None, ignore_index, None, reduction)
    return _smoothed(log_p, target, weight, ignore_index, reduction, label_smoothing, dim)


def linear_cross_entropy(input: Tensor, linear_weight: Tensor, target: Tensor, *,
                         linear_bias: Tensor | None = None, weight: Tensor | None = None,
                         reduction: str = "mean", ignore_index: int | None = None,
                         label_smoothing: float = 0.0, options=None) -> Tensor:
    """cross_entropy of the logits input @ linear_weight^T + linear_bias.

    Args:
        input: (in,) or (N, in).
        linear_weight: (C, *d, in) for logits (N, C, *d); linear_bias: (C, *d).
        target: classes (N, *d), or probabilities of the logits' shape, for which there is no ignore_index.
        options: accepted (nn.LinearCrossEntropyOptions); PyTorch's chunks change no result.
    """
    shape = _logits_shape(input, linear_weight, linear_bias)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    rows = math.prod(linear_weight.shape[:-1])
    bias = None if linear_bias is None else linear_bias.reshape(rows)
    logits = linear(input, linear_weight.reshape(rows, input.shape[-1]), bias).reshape(shape)
    return cross_entropy(logits, target, weight, None, -100 if ignore_index is None else ignore_index, None, reduction,
                         label_smoothing)


def _logits_shape(input, linear_weight, linear_bias):
    """(*N, C, *d), or PyTorch's error for arguments that do not fit."""
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError("expected equal input and linear_weight last dimensions (in_features), got "
                           f"{input.shape[-1]} and {linear_weight.shape[-1]}, respectively")
    rows = tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != rows:
        raise RuntimeError(f"expected linear_bias shape {rows}, got {tuple(linear_bias.shape)}")
    if len(rows) > 1 and input.dim() == 1:
        raise RuntimeError(f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires "
                           f"batched input, (N, {input.shape[-1]}), got unbatched input with shape {tuple(input.shape)}")
    return (*input.shape[:-1], *rows)


def _smoothed(log_p, target, weight, ignore_index, reduction, epsilon, dim):
    """(1 - epsilon) NLL + epsilon / C times the sum over all classes."""
    classes = log_p.size(dim)
    counts = target != ignore_index
    weighted = log_p if weight is None else log_p * _class_weights(weight, log_p, dim)
    everywhere = ops.where(counts, -weighted.sum(dim), 0.0)
    picked = nll_loss(log_p, target, weight, None, ignore_index, None, reduction)
    if reduction == "mean":
        scale = counts.to(log_p.dtype)
        if weight is not None:
            safe = ops.where(counts, target, 0)
            scale = _picked_weight(weight, safe) * scale
        everywhere = everywhere.sum() / scale.sum()
    else:
        everywhere = reduced(everywhere, reduction)
    return (1 - epsilon) * picked + everywhere * (epsilon / classes)


def _class_weights(weight, x, dim):
    shape = [1] * x.dim()
    shape[dim] = -1
    return weight.reshape(shape)


def _probability_loss(input, target, weight, reduction, epsilon, dim):
    if not input.is_floating_point():
        refuse("log_softmax_lastdim_kernel_impl", input.dtype)
    if weight is not None and (weight.dim() != 1 or weight.numel() != input.size(dim)):
        raise RuntimeError(f"cross_entropy: weight tensor should be defined either for all {input.size(dim)} classes or no "
                           f"classes but got weight tensor of shape: {list(weight.shape)}")
    log_p = _log_softmax(input, dim=dim)
    if epsilon > 0:
        target = target * (1 - epsilon) + epsilon / input.size(dim)
    loss = log_p * target
    loss = -(loss if weight is None else loss * _class_weights(weight, loss, dim))
    if reduction == "none":
        return loss.sum(dim)
    total = loss.sum()
    return total / (input.numel() // input.size(dim)) if reduction == "mean" else total


def _bce_slope(x, t):
    return (x - t) / ((1 - x) * x).clamp(min=1e-12)


@differentiable("BinaryCrossEntropyBackward0", vjp=(
    lambda g, _y, x, t: g * _bce_slope(x, t),
    lambda g, _y, x, t: g * (ops.log(1 - x).clamp(min=-100) - ops.log(x).clamp(min=-100))))
def _bce(x, t):
    return (t - 1) * ops.log1p(-x).clamp(min=-100) - t * ops.log(x).clamp(min=-100)


@differentiable("BinaryCrossEntropyBackward0", vjp=(lambda g, _y, _loss, _x, _t: g, None, None))
def _of_probabilities(loss, x, t):
    """The loss; the flush raises an error if x or t is not between 0 and 1 somewhere."""
    wrong = ops.where((x >= 0) & (x <= 1), ops.where((t >= 0) & (t <= 1), 0.0, 1.0), 2.0)
    return ops.good(loss, wrong.amax(), "probability") if x.numel() else loss.clone()


@recalled("input target weight?")
def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None,
                         size_average=None, reduce=None, reduction: str = "mean") -> Tensor:
    """-t log x - (1 - t) log(1 - x) for probabilities x; logarithms are cut at -100."""
    reduction = _mode(size_average, reduce, reduction)
    if target.size() != input.size():
        raise ValueError(f"Using a target size ({target.size()}) that is different to the input "
                         f"size ({input.size()}) is "
                         "deprecated. Please ensure they have the same size.")
    if input.dtype != target.dtype:
        raise RuntimeError(f"Found dtype {dtype_name(target.dtype)} but expected "
                           f"{dtype_name(input.dtype)}")
    loss = _bce(input, target)
    loss = reduced(loss if weight is None else loss * weight, reduction)
    return _of_probabilities(loss, input, target)


@differentiable("BinaryCrossEntropyWithLogitsBackward0", vjp=(
    lambda g, _y, x, t: g * (ops.sigmoid(x) - t), lambda g, _y, x, _t: -g * x))
def _bce_logits(x, t):
    return (1 - t) * x - logsigmoid(x)


@recalled("input target weight? pos_weight?")
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                     size_average=None, reduce=None, reduction: str = "mean",
                                     pos_weight: Tensor | None = None) -> Tensor:
    """`binary_cross_entropy` of sigmoid(x), stably; `pos_weight` weighs the positive term."""
    reduction = _mode(size_average, reduce, reduction)
    if target.size() != input.size():
        raise ValueError(f"Target size ({target.size()}) must be the same as input size "
                         f"({input.size()})")
    _check_cast(input, target)
    x, t = _promoted(input, target)
    if pos_weight is None:
        loss = _bce_logits(x, t)
    else:
        loss = (1 - t) * x - ((pos_weight - 1) * t + 1) * logsigmoid(x)
    return named(reduced(loss if weight is None else loss * weight, reduction), "BinaryCrossEntropyWithLogitsBackward0")


def _check_cast(input, target):
    """PyTorch writes 1 - t times x into the memory of 1 - t, so t is to hold floats."""
    if target.dtype is dtypes.bool:
        check_subtraction((target, target))
    if target.dtype.rank < input.dtype.rank:
        raise RuntimeError(f"result type {dtype_name(input.dtype)} can't be cast to the desired output type "
                           f"{dtype_name(target.dtype)}")


# -- margins ---------------------------------------------------------------------------------------
@recalled("input target")
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, size_average=None,
                         reduce=None, reduction: str = "mean") -> Tensor:
    """x where t = 1, max(0, margin - x) where t = -1."""
    reduction = _mode(size_average, reduce, reduction)
    distant = ops.where(target != 1, (margin - input).clamp(min=0), 0.0)
    return reduced(distant + ops.where(target != -1, input, 0.0), reduction)


@recalled("input target")
def soft_margin_loss(input: Tensor, target: Tensor, size_average=None, reduce=None,
                     reduction: str = "mean") -> Tensor:
    """log(1 + exp(-t x))."""
    together = broadcast_shapes(tuple(input.shape), tuple(target.shape))
    if together != tuple(input.shape):
        raise RuntimeError(f"output with shape {list(input.shape)} doesn't match the broadcast shape {list(together)}")
    if input.dtype.rank < 2 or target.dtype.rank > input.dtype.rank:
        raise RuntimeError(f"result type {dtype_name(target.dtype if input.dtype.rank > 1 else dtypes.float32)} can't be cast to "
                           f"the desired output type {dtype_name(input.dtype)}")
    loss = ops.log1p(ops.exp(-input * target))
    return named(reduced(loss, _mode(size_average, reduce, reduction)), "SoftMarginLossBackward0")


@recalled("input1 input2 target")
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0,
                        size_average=None, reduce=None, reduction: str = "mean") -> Tensor:
    """max(0, -t (x1 - x2) + margin)."""
    reduction = _mode(size_average, reduce, reduction)
    if input1.dim() != input2.dim() or input1.dim() != target.dim():
        raise RuntimeError("margin_ranking_loss : All input tensors should have same dimension "
                           f"but got sizes: input1: {input1.size()}, input2: {input2.size()}, "
                           f"target: {target.size()} ")
    return reduced((-target * (input1 - input2) + margin).clamp(min=0), reduction)


@recalled("input1 input2 target")
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0,
                          size_average=None, reduce=None, reduction: str = "mean") -> Tensor:
    """1 - cos where t = 1, max(0, cos - margin) where t = -1."""
    reduction = _mode(size_average, reduce, reduction)
    if target.dim() not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input1.dim() != target.dim() + 1 or input2.dim() != target.dim() + 1:
        raise RuntimeError(f"{target.dim()}D target tensor expects {target.dim() + 1}D input "
                           "tensors, but found inputs "
                           f"with sizes {list(input1.shape)} and {list(input2.shape)}.")
    eps = 1e-12
    cos = (input1 * input2).sum(-1) / ops.sqrt(((input1 * input1).sum(-1) + eps)
                                               * ((input2 * input2).sum(-1) + eps))
    near = ops.where(target == 1, 1 - cos, 0.0)
    return reduced(near + ops.where(target == -1, (cos - margin).clamp(min=0), 0.0), reduction)


@recalled("input target weight?")
def multi_margin_loss(input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0,
                      weight: Tensor | None = None, size_average=None, reduce=None,
                      reduction: str = "mean") -> Tensor:
    """Sum over classes i != t of max(0, margin - x[t] + x[i])^p, over the number of classes."""
    reduction = _mode(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    samples, classes = (1, input.numel()) if input.dim() < 2 else (input.size(0), input.size(1))
    if target.dim() > 1 or target.numel() != samples:
        raise RuntimeError("multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples "
                           f"(batch size). Expected target size [{samples}], but got {list(target.shape)}. Input has shape "
                           f"{list(input.shape)}.")
    if weight is not None and weight.numel() != classes:
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight.shape)}")
    x, t = (input, target) if input.dim() == 2 else (input.reshape(1, -1), target.reshape(1))
    excess = (margin - x.gather(1, t.unsqueeze(1)) + x).clamp(min=0)
    excess = excess if p == 1 else excess * excess
    excess = excess if weight is None else excess * weight.index_select(0, t).unsqueeze(1)
    losses = ops.where(_class_mask(t, x.size(1)), 0.0, excess).sum(1) / x.size(1)
    return named(reduced(losses if input.dim() == 2 else losses.squeeze(0), reduction), "MultiMarginLossBackward0")


@recalled("input target")
def multilabel_margin_loss(input: Tensor, target: Tensor, size_average=None, reduce=None,
                           reduction: str = "mean") -> Tensor:
    """Sum over labels j and non-labels i of max(0, 1 - x[j] + x[i]), over the number of classes.

    Each row of `target` lists labels up to the first -1.
    """
    reduction = _mode(size_average, reduce, reduction)
    x, t = (input, target) if input.dim() == 2 else (input.reshape(1, -1), target.reshape(1, -1))
    listed = ops.cumsum((t < 0).to(dtypes.int64), 1) == 0
    safe = ops.where(listed, t, 0)
    is_label = ((ops.arange(x.size(1)) == safe.unsqueeze(2)) & listed.unsqueeze(2)).any(1)
    excess = (1 - x.gather(1, safe).unsqueeze(2) + x.unsqueeze(1)).clamp(min=0)
    counted = listed.unsqueeze(2) & ~is_label.unsqueeze(1)
    losses = ops.where(counted, excess, 0.0).sum((1, 2)) / x.size(1)
    return named(reduced(losses if input.dim() == 2 else losses.squeeze(0), reduction), "MultilabelMarginLossBackward0")


@recalled("input target weight?")
def multilabel_soft_margin_loss(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                size_average=None, reduce=None, reduction: str = "mean") -> Tensor:
    """The mean over classes of -t log sigmoid(x) - (1 - t) log sigmoid(-x)."""
    reduction = _mode(size_average, reduce, reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    loss = loss if weight is None else loss * weight
    return reduced(loss.sum(-1) / input.size(-1), reduction)


@recalled("anchor positive negative")
def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0,
                        p: float = 2, eps: float = 1e-6, swap: bool = False, size_average=None,
                        reduce=None, reduction: str = "mean") -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin) with distances of order p."""
    reduction = _mode(size_average, reduce, reduction)
    return triplet_margin_with_distance_loss(
        anchor, positive, negative, margin=margin, swap=swap, reduction=reduction,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps))


def triplet_margin_with_distance_loss(anchor: Tensor, positive: Tensor, negative: Tensor, *,
                                      distance_function=None, margin: float = 1.0,
                                      swap: bool = False, reduction: str = "mean") -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin); `swap` takes the smaller of d(a, n) and d(p, n)."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the "
                           f"same number of dimensions, but got: anchor {anchor.dim()}D, positive "
                           f"{positive.dim()}D, and negative {negative.dim()}D inputs")
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduced((margin + near - far).clamp(min=0), _mode(None, None, reduction))


# -- sequences -------------------------------------------------------------------------------------
def ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths, target_lengths, blank: int = 0,
             reduction: str = "mean", zero_infinity: bool = False) -> Tensor:
    """Connectionist temporal classification: -log of the summed probability of all alignments.

    log_probs (T, N, C) or (T, C); targets (N, S), or one row of all targets one after the other.
    """
    batched = log_probs.dim() == 3
    if not batched:
        log_probs, targets = log_probs.unsqueeze(1), targets.reshape(1, -1)
    steps, n, classes = log_probs.shape
    frames, lengths = _lengths(input_lengths, n), _lengths(target_lengths, n)
    _check_lengths(frames, lengths, steps, n, targets)
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range: found {blank}, with {classes} classes")
    labels = _padded_targets(targets, lengths, n)
    alive = ops.arange(steps).unsqueeze(1) < ops.tensor(frames)             # (T, N)
    found = _alignments(log_probs, labels, ops.tensor(frames).unsqueeze(1), ops.tensor(lengths).unsqueeze(1), blank)
    if zero_infinity:
        alive = alive & (found > -float("inf"))
    losses = _as_if_normal(-found, log_probs, alive)
    if zero_infinity:
        losses = ops.where(losses == float("inf"), 0.0, losses)
    if reduction == "mean":
        return (losses / ops.tensor([max(k, 1) for k in lengths], dtype=losses.dtype)).mean()
    return losses.sum() if reduction == "sum" else losses if batched else losses.squeeze(0)


def _as_if_normal_rule(g, _y, losses, log_probs, alive):
    wasted = ops.where(losses == float("inf"), float("nan"), g)
    return ops.where(alive, wasted, 0.0).unsqueeze(2) * log_probs.exp()


@differentiable("CtcLossBackward0", vjp=(lambda g, *_: g, _as_if_normal_rule, None))
def _as_if_normal(losses, log_probs, _alive):
    """The losses; their gradient counts on log_probs being log_softmax of something, as PyTorch's does."""
    return losses


def _lengths(given, n):
    values = (given.tolist() if isinstance(given, Tensor) else list(given)
              if not isinstance(given, int) else given)
    return [int(v) for v in (values if isinstance(values, list) else [values] * n)]


def _check_lengths(frames, lengths, steps, n, targets):
    for name, given in (("input_lengths", frames), ("target_lengths", lengths)):
        if len(given) != n:
            raise RuntimeError(f"{name} must be of size batch_size: found {len(given)}, expected {n}")
        if min(given, default=0) < 0:
            raise RuntimeError(f"Expected {name} to have value at least 0, but got value {min(given)}")
    if max(frames, default=0) > steps:
        raise RuntimeError(f"Expected input_lengths to have value at most {steps}, but got value {max(frames)}")
    if targets.dim() == 1:
        if targets.numel() != sum(lengths):
            raise RuntimeError(f"Expected tensor to have size {sum(lengths)} at dimension 0, but got size "
                               f"{targets.numel()} for argument #2 'targets'")
    elif targets.size(0) != n or targets.size(1) < max(lengths, default=0):
        raise RuntimeError(f"Expected tensor to have size {n} at dimension 0 and size at least "
                           f"{max(lengths, default=0)} at dimension 1, but got size {list(targets.shape)} for "
                           "argument #2 'targets'")


def _padded_targets(targets, lengths, n):
    if targets.dim() == 2:
        labels = targets.to(dtypes.int64)[:, :max(max(lengths), 1)]
        return ops.where(ops.arange(labels.size(1)) < ops.tensor(lengths).unsqueeze(1), labels, 0)
    rows, start = [], 0
    flat = targets.tolist()
    for k in lengths:
        rows.append(flat[start:start + k])
        start += k
    width = max(max(lengths), 1)
    return ops.tensor([row + [0] * (width - len(row)) for row in rows], dtype=dtypes.int64)


class _Lattice:
    """The states of an alignment: blanks and labels by turns. A step stays, goes on, or leaves out a blank."""

    def __init__(self, log_probs, labels, frames, lengths, blank):
        self.steps, (n, width) = log_probs.shape[0], labels.shape
        self.states = ops.full((n, 2 * width + 1), blank, dtype=dtypes.int64)
        self.states[:, 1::2] = labels
        self.skip = ops.zeros(n, 2 * width + 1, dtype=dtypes.bool)
        self.skip[:, 3::2] = labels[:, 1:] != labels[:, :-1]
        self.frames, self.ends, self.at = frames, 2 * lengths, ops.arange(2 * width + 1)
        self.low = lowest(log_probs.dtype.numpy)
        self.wall = ops.full((n, 2), self.low, dtype=log_probs.dtype)
        self.places = self.states.unsqueeze(0).expand(self.steps, -1, -1)
        self.emit = log_probs.gather(2, self.places)

    def arrived(self, ways, t):
        return (ops.logsumexp(ops.stack(ways), 0) + self.emit[t]).clamp(min=self.low)

    def forwards(self):
        """For each step the log-probability of having come to each state; it stays once a sample has ended."""
        return self._forwards_by_steps() if taping(self.emit) else self._at_once(reverse=False)

    def backwards(self):
        """For each step the log-probability of ending well from each state, this step's own included."""
        return self._backwards_by_steps() if taping(self.emit) else self._at_once(reverse=True)

    def _at_once(self, reverse):
        return lattice(self.emit, self.skip, self.frames, self.ends, reverse=reverse)

    def _forwards_by_steps(self):
        alpha = [ops.where((self.at < 2) & (self.at <= self.ends), self.emit[0], self.low)]
        for t in range(1, self.steps):
            padded = ops.cat([self.wall, alpha[-1]], 1)
            jump = ops.where(self.skip, padded[:, :-2], self.low)
            following = self.arrived([alpha[-1], padded[:, 1:-1], jump], t)
            alpha.append(ops.where(self.frames > t, following, alpha[-1]))
        return ops.stack(alpha)

    def _backwards_by_steps(self):
        last = (self.at == self.ends) | (self.at == self.ends - 1)
        skip = ops.cat([self.skip, ops.zeros(self.wall.shape, dtype=dtypes.bool)], 1)[:, 2:]
        beta, following = [], self.low
        for t in reversed(range(self.steps)):
            if beta:
                padded = ops.cat([beta[-1], self.wall], 1)
                jump = ops.where(skip, padded[:, 2:], self.low)
                following = ops.where(self.frames > t + 1, self.arrived([beta[-1], padded[:, 1:-1], jump], t), self.low)
            beta.append(ops.where((self.frames == t + 1) & last, self.emit[t], following))
        return ops.stack(beta[::-1])


def _alignments_rule(g, y, log_probs, labels, frames, lengths, *, blank):
    """How likely each state is at each step, given the target."""
    states = _Lattice(log_probs, labels, frames, lengths, blank)
    y = y.unsqueeze(1)
    counted = (ops.arange(states.steps).reshape(-1, 1, 1) < frames) & (y > -float("inf"))
    share = (states.forwards() + states.backwards() - states.emit - y).exp()
    share = ops.where(counted, share * g.unsqueeze(1), 0.0)
    return ops.zeros_like(log_probs).scatter_add(2, states.places, share)


@recalled("log_probs labels frames lengths")
def _alignments(log_probs, labels, frames, lengths, blank):
    return _log_probability(log_probs, labels, frames, lengths, blank=blank)


@differentiable("CtcLossBackward0", vjp=(_alignments_rule, None, None, None))
def _log_probability(log_probs, labels, frames, lengths, *, blank):
    """Of each sample's target, by all of its alignments."""
    states = _Lattice(log_probs, labels, frames, lengths, blank)
    alpha, ends = states.forwards()[-1], states.ends
    before = ops.where(ends > 0, alpha.gather(1, (ends - 1).clamp(min=0)), states.low)
    total = ops.logsumexp(ops.cat([alpha.gather(1, ends), before], 1), 1)
    return ops.where(total < states.low / 2, -float("inf"), total)


listed(globals())
