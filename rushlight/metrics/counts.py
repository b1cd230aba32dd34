"""Measures of classes, all worked out from one table: how often each true class was predicted as which.

With TP, FP, FN of a class, the diagonal, the rest of its column and the rest of its row:

    precision TP / (TP + FP)        recall TP / (TP + FN)       F1 2 TP / (2 TP + FP + FN)
    IoU TP / (TP + FP + FN)         Dice, the same number as F1, of pixels

Sources: van Rijsbergen, Information Retrieval, 1979 (precision, recall, F); Jaccard 1912 (IoU);
Dice, Ecology 26, 1945; averages as in Sokolova and Lapalme, Information Processing and Management 45, 2009.
"""
from __future__ import annotations

from .. import ops
from ..dtypes import float64, int64
from ..tensor import Tensor
from .base import Metric, check_same_shape

AVERAGES = ("macro", "micro", "weighted", "binary", "none")


def classes_of(preds: Tensor, target: Tensor, threshold: float) -> Tensor:
    """Class indices in the shape of `target`, of indices, of scores along axis 1, or of scores for class 1."""
    if preds.ndim == target.ndim + 1:
        wanted = preds.shape[:1] + preds.shape[2:]
        if tuple(wanted) != tuple(target.shape):
            raise ValueError(f"preds of shape {tuple(preds.shape)}, with classes along axis 1, "
                             f"do not fit a target of shape {tuple(target.shape)}")
        if preds.shape[1] == 1:
            raise ValueError("preds have one score for each element along axis 1; for two classes by a threshold "
                             "give them in the shape of the target, preds.squeeze(1)")
        return preds.argmax(1)
    check_same_shape("metrics", preds, target)
    return (preds >= threshold).to(int64) if preds.is_floating_point() else preds.to(int64)


def grown(table: Tensor, n: int) -> Tensor:
    """The table with at least n classes."""
    missing = n - table.shape[0]
    if missing <= 0:
        return table
    return ops.cat([ops.cat([table, table.new_zeros(len(table), missing)], 1), table.new_zeros(missing, n)])


class ConfusionMatrix(Metric):
    """Entry [i, j]: how many elements of class i were predicted as j; int64, (C, C).

    Args:
        num_classes: C; without it the table grows with the classes that are met.
        threshold: from which score on an element is of class 1, if there is one score for each.
        ignore_index: true class whose elements do not count.
        normalize: None, "true" (rows add up to 1), "pred" (columns) or "all".

    ValueError for a class outside of the table.
    """

    def __init__(self, num_classes: int | None = None, *, threshold: float = 0.5, ignore_index: int | None = None,
                 normalize: str | None = None):
        if normalize not in (None, "true", "pred", "all"):
            raise ValueError(f"normalize should be None, 'true', 'pred' or 'all', but found {normalize!r}")
        self.num_classes, self.threshold = num_classes, threshold
        self.ignore_index, self.normalize = ignore_index, normalize
        super().__init__()

    def reset(self) -> None:
        self.state = ops.zeros(self.num_classes or 0, self.num_classes or 0, dtype=int64)

    def gather(self, preds: Tensor, target: Tensor) -> None:
        guesses, truth = classes_of(preds, target, self.threshold).flatten(), target.flatten().to(int64)
        if self.ignore_index is not None:
            counted = truth != self.ignore_index
            guesses, truth = guesses[counted], truth[counted]
        if truth.numel():
            n = self.size_for(guesses, truth)
            table = ops.bincount(truth * n + guesses, minlength=n * n).reshape(n, n)
            self.state = grown(self.state, n) + table

    def size_for(self, guesses: Tensor, truth: Tensor) -> int:
        """How many classes the table has with this batch."""
        both = ops.stack([guesses, truth])
        least, most = int(both.min()), int(both.max())
        if least < 0 or self.num_classes is not None and most >= self.num_classes:
            raise ValueError(f"class {least if least < 0 else most} is out of range for "
                             f"{self.num_classes or 'any number of'} classes")
        return max(len(self.state), most + 1)

    def merge(self, other: ConfusionMatrix) -> None:
        n = max(len(self.state), len(other.state))
        self.state = grown(self.state, n) + grown(other.state, n)

    def compute(self) -> Tensor:
        if self.normalize is None:
            return self.state
        table = self.state.to(float64)
        whole = {"true": lambda: table.sum(1, keepdim=True), "pred": lambda: table.sum(0, keepdim=True),
                 "all": table.sum}[self.normalize]()
        return ratio(table, whole, 0.0)


def ratio(above: Tensor, below: Tensor, otherwise: float) -> Tensor:
    """above / below in float64, and `otherwise` where nothing stands below."""
    above, below = above.to(float64), below.to(float64)
    return ops.where(below == 0, otherwise, above / ops.where(below == 0, 1.0, below))


class Score(ConfusionMatrix):
    """A measure of each class and its average.

    Args:
        average: "macro" (mean over the classes that are true or predicted somewhere), "weighted" (by how
            often each is true), "micro" (counts of all classes added up first), "binary" (of class
            `pos_label` alone) or None: one value for each class.
        zero_division: the value of a class for which nothing would be divided by.
    """
    average_by_default = "macro"

    def __init__(self, num_classes: int | None = None, *, average: str | None = "default", threshold: float = 0.5,
                 ignore_index: int | None = None, zero_division: float = 0.0, pos_label: int = 1):
        average = self.average_by_default if average == "default" else average or "none"
        if average not in AVERAGES:
            raise ValueError(f"average should be one of {', '.join(AVERAGES)} or None, but found {average!r}")
        self.average, self.zero_division, self.pos_label = average, zero_division, pos_label
        super().__init__(num_classes, threshold=threshold, ignore_index=ignore_index)

    @staticmethod
    def parts(hits, guessed, true):
        """What is divided by what, from TP, TP + FP and TP + FN."""
        raise NotImplementedError("Score.parts")

    def compute(self) -> Tensor:
        """float64: a number, or (C,) with average=None."""
        table = self.state
        self.check_filled(len(table))
        hits, guessed, true = table.diagonal(), table.sum(0), table.sum(1)
        if self.average == "micro":
            hits, guessed, true = hits.sum(), guessed.sum(), true.sum()
        scores = ratio(*self.parts(hits, guessed, true), self.zero_division)
        return self.averaged(scores, guessed, true)

    def averaged(self, scores: Tensor, guessed: Tensor, true: Tensor) -> Tensor:
        if self.average == "macro":
            return ratio(ops.where(guessed + true > 0, scores, 0.0).sum(), (guessed + true > 0).sum(), self.zero_division)
        if self.average == "weighted":
            return ratio((scores * true).sum(), true.sum(), self.zero_division)
        if self.average == "binary":
            return scores[self.pos_label] if self.pos_label < len(scores) else scores.new_tensor(self.zero_division)
        return scores


class Accuracy(Score):
    """Which part was predicted as it is: sum of TP / n ("micro").

    average=None gives the accuracy in each class, its recall; "macro" their mean, the balanced accuracy.
    """
    average_by_default = "micro"

    @staticmethod
    def parts(hits, guessed, true):
        return hits, true

    def averaged(self, scores, guessed, true):
        if self.average == "macro":
            return ratio(ops.where(true > 0, scores, 0.0).sum(), (true > 0).sum(), self.zero_division)
        return super().averaged(scores, guessed, true)


class Precision(Score):
    """Which part of what was predicted as a class is of it: TP / (TP + FP)."""

    @staticmethod
    def parts(hits, guessed, true):
        return hits, guessed


class Recall(Score):
    """Which part of a class was predicted as it: TP / (TP + FN)."""

    @staticmethod
    def parts(hits, guessed, true):
        return hits, true


class F1(Score):
    """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)."""

    @staticmethod
    def parts(hits, guessed, true):
        return 2 * hits, guessed + true


class Dice(F1):
    """Twice the common part over both: 2 |A and B| / (|A| + |B|)."""


class IoU(Score):
    """The common part over the union: |A and B| / |A or B|; with "macro", the mean IoU (mIoU)."""

    @staticmethod
    def parts(hits, guessed, true):
        return hits, guessed + true - hits


def confusion_matrix(preds: Tensor, target: Tensor, num_classes: int | None = None, **options) -> Tensor:
    """Entry [i, j]: how many elements of class i were predicted as j; see `ConfusionMatrix`."""
    return ConfusionMatrix(num_classes, **options).update(preds, target).compute()


def accuracy(preds: Tensor, target: Tensor, num_classes: int | None = None, **options) -> Tensor:
    """Which part was predicted as it is; see `Accuracy`."""
    return Accuracy(num_classes, **options).update(preds, target).compute()


def precision(preds: Tensor, target: Tensor, num_classes: int | None = None, **options) -> Tensor:
    """TP / (TP + FP); see `Precision`."""
    return Precision(num_classes, **options).update(preds, target).compute()


def recall(preds: Tensor, target: Tensor, num_classes: int | None = None, **options) -> Tensor:
    """TP / (TP + FN); see `Recall`."""
    return Recall(num_classes, **options).update(preds, target).compute()


def f1(preds: Tensor, target: Tensor, num_classes: int | None = None, **options) -> Tensor:
    """2 TP / (2 TP + FP + FN); see `F1`."""
    return F1(num_classes, **options).update(preds, target).compute()


def dice(preds: Tensor, target: Tensor, num_classes: int | None = None, **options) -> Tensor:
    """2 |A and B| / (|A| + |B|); see `Dice`."""
    return Dice(num_classes, **options).update(preds, target).compute()


def iou(preds: Tensor, target: Tensor, num_classes: int | None = None, *, average: str | None = None,
        **options) -> Tensor:
    """|A and B| / |A or B| of each class; see `IoU`."""
    return IoU(num_classes, average=average, **options).update(preds, target).compute()


def mean_iou(preds: Tensor, target: Tensor, num_classes: int | None = None, **options) -> Tensor:
    """The mean over classes of |A and B| / |A or B|; classes that occur nowhere are left out."""
    return iou(preds, target, num_classes, average="macro", **options)
