"""Measures of how scores order things: the ROC curve, the area under it, hits among the best k."""
from __future__ import annotations

from .. import ops
from ..dtypes import float64, int64
from ..tensor import Tensor
from .base import Metric, check_same_shape
from .counts import ratio


def roc_curve(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(false positive rates, true positive rates, thresholds), from no positives to all.

    `target` (N,) is 1 or True for what `scores` (N,) should be large for. A point for each
    different score; the first threshold is infinite. Fawcett, Pattern Recognition Letters 27, 2006.
    """
    check_same_shape("roc_curve", scores, target)
    check_ranked(scores, target)
    thresholds, inverse = ops.unique(scores.flatten().to(float64), return_inverse=True)
    hit = target.flatten().to(float64)
    hits, misses = (ops.zeros(len(thresholds), dtype=float64).index_add(0, inverse, x).flip(0).cumsum(0)
                    for x in (hit, 1 - hit))
    check_both(hits[-1], misses[-1])
    start = hits.new_zeros(1)
    return (ops.cat([start, misses / misses[-1]]), ops.cat([start, hits / hits[-1]]),
            ops.cat([start + float("inf"), thresholds.flip(0)]))


def check_ranked(scores, target) -> None:
    if bool(scores.isnan().any()):
        raise ValueError("ROC AUC: scores contain NaN")
    if not bool(((target == 0) | (target == 1)).all()):
        raise ValueError("ROC AUC: for one score each, target should be 0 or 1")


def check_both(positives, negatives) -> None:
    if not float(positives) or not float(negatives):
        raise ValueError("ROC AUC is not defined in that case: only one class is present in target")


def area(scores: Tensor, target: Tensor) -> Tensor:
    """The chance that something positive scores higher than something negative, ties counted by half:
    (sum of the positives' ranks - P (P + 1) / 2) / (P N). Hanley and McNeil, Radiology 143, 1982."""
    check_ranked(scores, target)
    _, inverse, counts = ops.unique(scores, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0).to(float64) - (counts.to(float64) - 1) / 2)[inverse]
    hit = target.to(float64)
    positives = hit.sum()
    negatives = len(hit) - positives
    check_both(positives, negatives)
    return ((ranks * hit).sum() - positives * (positives + 1) / 2) / (positives * negatives)


class ROCAUC(Metric):
    """Area under the ROC curve, exact: all scores are kept.

    preds (N,) scores for class 1, or (N, C) scores of classes, of which each is compared with
    the others. average: "macro", "weighted" by how often classes are true, or None for (C,).
    ValueError if a class or its contrary is not there at all, for NaN and for unknown classes.
    """

    def __init__(self, average: str | None = "macro"):
        if average not in ("macro", "weighted", None):
            raise ValueError(f"average should be 'macro', 'weighted' or None, but found {average!r}")
        self.average = average
        super().__init__()

    def reset(self) -> None:
        self.state = []

    def gather(self, preds: Tensor, target: Tensor) -> None:
        if preds.ndim not in (1, 2) or preds.shape[:1] != target.shape:
            raise ValueError("ROCAUC: expected scores (N,) or (N, C) and target (N,), "
                             f"but found {tuple(preds.shape)} and {tuple(target.shape)}")
        self.state = [*self.state, (preds.clone(), target.clone())]

    def merge(self, other: ROCAUC) -> None:
        self.state = self.state + other.state

    def compute(self) -> Tensor:
        self.check_filled(self.state)
        scores, target = (ops.cat(parts) for parts in zip(*self.state))
        if scores.ndim == 1:
            return area(scores, target)
        if not bool(((target >= 0) & (target < scores.shape[1])).all()):
            raise ValueError(f"ROC AUC: target should be from 0 to {scores.shape[1] - 1}, for so many scores")
        areas = ops.stack([area(scores[:, c], target == c) for c in range(scores.shape[1])])
        if self.average is None:
            return areas
        weights = ops.bincount(target.to(int64), minlength=len(areas)).to(float64)
        return areas.mean() if self.average == "macro" else (areas * weights).sum() / weights.sum()


def roc_auc(preds: Tensor, target: Tensor, *, average: str | None = "macro") -> Tensor:
    """Area under the ROC curve; see `ROCAUC`."""
    return ROCAUC(average).update(preds, target).compute()


class TopKAccuracy(Metric):
    """Which part of preds (N, C) has the true class, target (N,), among its k largest scores.

    Of equal scores those of smaller class count first. Russakovsky et al., IJCV 115, 2015 (k = 5).
    """

    def __init__(self, k: int = 5):
        if k < 1:
            raise ValueError(f"k should be at least 1, but found {k}")
        self.k = k
        super().__init__()

    def reset(self) -> None:
        self.state = ops.zeros(2, dtype=int64)          # hits, all

    def gather(self, preds: Tensor, target: Tensor) -> None:
        if preds.ndim != 2 or preds.shape[:1] != target.shape:
            raise ValueError("TopKAccuracy: expected scores (N, C) and target (N,), "
                             f"but found {tuple(preds.shape)} and {tuple(target.shape)}")
        index = target.to(int64)[:, None]
        own = preds.gather(1, index)
        classes = ops.arange(preds.shape[1])
        better = (preds > own) | ((preds == own) & (classes < index))
        hits = (better.sum(1) < self.k) & ~own[:, 0].isnan()
        self.state = self.state + ops.stack([hits.sum(), ops.tensor(len(target))])

    def merge(self, other: TopKAccuracy) -> None:
        self.state = self.state + other.state

    def compute(self) -> Tensor:
        self.check_filled(int(self.state[1]))
        return ratio(self.state[0], self.state[1], 0.0)


def top_k_accuracy(preds: Tensor, target: Tensor, k: int = 5) -> Tensor:
    """Which part has the true class among the k largest scores; see `TopKAccuracy`."""
    return TopKAccuracy(k).update(preds, target).compute()
