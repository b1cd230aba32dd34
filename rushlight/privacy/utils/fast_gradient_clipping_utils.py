"""Losses for ghost clipping: one value for each sample, whose backward pass leaves clipped sums."""
from __future__ import annotations

from ...tensor import Tensor


class DPTensorFastGradientClipping:
    """The losses (n) of a batch, standing for their mean or sum.

    `backward()` puts the sum of the clipped gradients into `p.grad`.
    """

    def __init__(self, module, optimizer, loss_per_sample: Tensor, loss_reduction: str = "mean"):
        if loss_reduction not in ("mean", "sum"):
            raise ValueError(f"loss_reduction = {loss_reduction}. Only 'sum' and 'mean' losses are "
                             "supported")
        self.module, self.optimizer = module, optimizer
        self.loss_per_sample, self.loss_reduction = loss_per_sample, loss_reduction
        self._reduced = None

    def reduced(self) -> Tensor:
        if self._reduced is None:
            values = self.loss_per_sample
            self._reduced = values.mean() if self.loss_reduction == "mean" else values.sum()
        return self._reduced

    def detach(self) -> Tensor:
        """The reduced loss."""
        return self.reduced().detach()

    def item(self) -> float:
        """The reduced loss as a number."""
        return self.detach().item()

    def backward(self) -> None:
        """p.grad = sum_i min(1, C / |g_i|) g_i"""
        self.optimizer.zero_grad()
        self.reduced().backward()
        self.module.put_clipped_sums()

    def _with(self, values) -> DPTensorFastGradientClipping:
        return DPTensorFastGradientClipping(self.module, self.optimizer, values, self.loss_reduction)

    def _other(self, other):
        if not isinstance(other, DPTensorFastGradientClipping):
            return other
        if other.loss_reduction != self.loss_reduction:
            raise ValueError("Cannot add losses with different reductions: "
                             f"{self.loss_reduction} vs {other.loss_reduction}")
        return other.loss_per_sample

    def __add__(self, other):
        return self._with(self.loss_per_sample + self._other(other))

    def __sub__(self, other):
        return self._with(self.loss_per_sample - self._other(other))

    def __rsub__(self, other):
        return self._with(other - self.loss_per_sample)

    def __mul__(self, other):
        return self._with(self.loss_per_sample * other)

    def __truediv__(self, other):
        return self._with(self.loss_per_sample / other)

    def __neg__(self):
        return self._with(-self.loss_per_sample)

    __radd__, __rmul__ = __add__, __mul__

    def __repr__(self) -> str:
        return (f"DPTensorFastGradientClipping(loss_reduction={self.loss_reduction}, "
                f"shape={tuple(self.loss_per_sample.shape)})")


class DPLossFastGradientClipping:
    """A criterion that gives one loss for each sample, wrapped for ghost clipping.

    Args:
        module: looked after in ghost mode.
        optimizer: DPOptimizerFastGradientClipping.
        criterion: a loss with an attribute `reduction`.
        loss_reduction: "mean" or "sum", the same for all of them.

    `shape=(batch, length)` at a call: the criterion saw batch * length rows, whose losses belong to
    `batch` samples; those that `ignore_index` names do not count in a mean.
    """

    def __init__(self, module, optimizer, criterion, loss_reduction: str = "mean"):
        if not hasattr(criterion, "reduction"):
            criterion.reduction = module.loss_reduction
        found = (criterion.reduction, module.loss_reduction, optimizer.loss_reduction)
        if loss_reduction not in ("mean", "sum") or set(found) != {loss_reduction}:
            raise AssertionError("loss_reduction should be the same across GradSampleModule, Optimizer, "
                                 f"Criterion, and loss_reduction, got {(*found, loss_reduction)}")
        self.module, self.optimizer = module, optimizer
        self.criterion, self.loss_reduction = criterion, loss_reduction

    def __call__(self, *args, shape=None, **kwargs) -> DPTensorFastGradientClipping:
        before, self.criterion.reduction = self.criterion.reduction, "none"
        try:
            losses = self.criterion(*args, **kwargs)
        finally:
            self.criterion.reduction = before
        if shape is not None and losses.shape[0] == shape[0] * shape[1]:
            target = kwargs.get("target", args[1] if len(args) > 1 else None)
            losses = self._by_sequence(losses.view(shape[0], shape[1]), target)
        elif losses.dim() > 1:
            losses = losses.flatten(1).mean(1) if self.loss_reduction == "mean" else losses.flatten(1).sum(1)
        return DPTensorFastGradientClipping(self.module, self.optimizer, losses, self.loss_reduction)

    def _by_sequence(self, losses, target):
        if self.loss_reduction == "sum":
            return losses.sum(1)
        ignored = getattr(self.criterion, "ignore_index", None)
        if ignored is None or target is None:
            return losses.mean(1)
        counted = (target.view(losses.shape) != ignored).sum(1).clamp(min=1)
        return losses.sum(1) / counted
