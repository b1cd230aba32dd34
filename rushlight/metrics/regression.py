"""Measures of numbers: mean absolute and squared error, Pearson's correlation coefficient."""
from __future__ import annotations

from .. import ops
from ..dtypes import float64
from ..tensor import Tensor
from .base import Metric, check_same_shape


class MeanError(Metric):
    """The mean of an error over all elements, or over axis 0 alone with per_column=True; in float64."""

    def __init__(self, *, per_column: bool = False):
        self.per_column = per_column
        super().__init__()

    @staticmethod
    def error(difference: Tensor) -> Tensor:
        """Of one element."""
        raise NotImplementedError("MeanError.error")

    def reset(self) -> None:
        self.state = 0, ops.zeros((), dtype=float64)

    def gather(self, preds: Tensor, target: Tensor) -> None:
        check_same_shape(type(self).__name__, preds, target)
        errors = self.error(preds.to(float64) - target.to(float64))
        total = errors.sum(0) if self.per_column else errors.sum()
        self.add(len(errors) if self.per_column else errors.numel(), total)

    def add(self, count: int, total: Tensor) -> None:
        self.state = self.state[0] + count, self.state[1] + total

    def merge(self, other: MeanError) -> None:
        self.add(*other.state)

    def compute(self) -> Tensor:
        self.check_filled(self.state[0])
        return self.state[1] / self.state[0]


class MAE(MeanError):
    """Mean absolute error: the mean of |prediction - target|."""

    error = staticmethod(ops.abs)


class MSE(MeanError):
    """Mean squared error: the mean of (prediction - target) squared."""

    error = staticmethod(ops.square)


class PearsonCorrelation(Metric):
    """Pearson's correlation coefficient (CC) of all elements: cov(x, y) / (sigma_x sigma_y).

    Means and sums of products of deviations are updated batch by batch as in Chan, Golub and LeVeque,
    Updating formulae and a pairwise algorithm for computing sample variances, 1979. NaN if one of both
    is constant. Pearson, Proceedings of the Royal Society 58, 1895.
    """

    def reset(self) -> None:
        self.state = 0, ops.zeros(2, dtype=float64), ops.zeros(2, 2, dtype=float64)

    def gather(self, preds: Tensor, target: Tensor) -> None:
        check_same_shape("PearsonCorrelation", preds, target)
        both = ops.stack([preds.flatten(), target.flatten()]).to(float64)
        if both.shape[1]:
            means = both.mean(1)
            away = both - means[:, None]
            self.add(both.shape[1], means, (away[:, None] * away).sum(2))

    def add(self, count: int, means: Tensor, products: Tensor) -> None:
        """Join a batch's count, means and sums of products of deviations."""
        before, centre, gathered = self.state
        whole = before + count
        if whole:
            step = means - centre
            apart = step[:, None] * step * (before * count / whole)
            self.state = whole, centre + step * (count / whole), gathered + products + apart

    def merge(self, other: PearsonCorrelation) -> None:
        self.add(*other.state)

    def compute(self) -> Tensor:
        count, _, products = self.state
        self.check_filled(count)
        spread = products.diagonal().sqrt()
        return (products[0, 1] / (spread[0] * spread[1])).clamp(-1, 1)


def mae(preds: Tensor, target: Tensor, **options) -> Tensor:
    """Mean absolute error; see `MAE`."""
    return MAE(**options).update(preds, target).compute()


def mse(preds: Tensor, target: Tensor, **options) -> Tensor:
    """Mean squared error; see `MSE`."""
    return MSE(**options).update(preds, target).compute()


def pearson(preds: Tensor, target: Tensor) -> Tensor:
    """Pearson's correlation coefficient; see `PearsonCorrelation`."""
    return PearsonCorrelation().update(preds, target).compute()
