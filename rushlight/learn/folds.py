"""Cross-validation: each part of the data judges once what was fitted to the others.

    for setting in settings:
        for train, valid in k_fold(data, 5):
            metrics.append(evaluate(fit(train, setting), valid))

`search` is this loop with all that goes round it: mean and deviation for each setting, the best
one, the model refitted to all data, and its value on data that had no part in the choice.
Stone, Cross-Validatory Choice and Assessment of Statistical Predictions, JRSS B 36, 1974.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..tensor import Tensor


def part(data, indices):
    """Rows of a tensor or an array, of each of a tuple of them, or a Subset of a dataset."""
    if isinstance(data, tuple):
        return tuple(part(x, indices) for x in data)
    if isinstance(data, (Tensor, np.ndarray)):
        return data[indices.tolist()]
    from ..utils.data import Subset
    return Subset(data, indices.tolist())


def length(data) -> int:
    """How many samples there are; ValueError if the parts of a tuple differ."""
    sizes = {len(x) for x in data} if isinstance(data, tuple) else {len(data)}
    if len(sizes) != 1:
        raise ValueError(f"k_fold: all parts should have as many samples, but found {sorted(sizes)}")
    return sizes.pop()


def order(n: int, seed: int | None):
    return np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)


def bounds(n: int, k: int) -> list[int]:
    """Where each of k parts begins, and the end; the first n % k are longer by one.

    ValueError if k is below 2 or there are fewer samples.
    """
    if not 2 <= k <= n:
        raise ValueError(f"k_fold: k should be between 2 and the number of samples, {n}, but found {k}")
    return [i * (n // k) + min(i, n % k) for i in range(k + 1)]


def cv_split(index: int, k: int, data, *, seed: int | None = None):
    """(train, valid) with the index-th of k parts to validate on.

    `data` is a tensor, an array, a tuple of such, or a map-style dataset. Samples keep their order, unless
    there is a seed to shuffle by, which has to be the same for all folds.
    """
    if not 0 <= index < k:
        raise IndexError(f"cv_split: there are {k} folds, but found index {index}")
    n = length(data)
    cuts, places = bounds(n, k), order(n, seed)
    begin, end = cuts[index], cuts[index + 1]
    return part(data, np.concatenate([places[:begin], places[end:]])), part(data, places[begin:end])


def k_fold(data, k: Any = 5, *, seed: int | None = None, y=None, groups=None) -> Iterator[tuple]:
    """(train, valid) for each fold.

    Args:
        data: a tensor, an array, a tuple of such, or a map-style dataset.
        k: how many folds, or a splitter of scikit-learn (anything with `split(X, y, groups)`).
        seed: shuffles by it before cutting; without it samples keep their order.
        y, groups: what a splitter needs; y is the last of a tuple if it is not given.
    """
    if not hasattr(k, "split"):
        bounds(length(data), k)
        return (cv_split(i, k, data, seed=seed) for i in range(k))
    if seed is not None:
        raise ValueError("k_fold: a splitter shuffles for itself, so seed should be None")
    labels = data[-1] if y is None and isinstance(data, tuple) else y
    pairs = k.split(np.zeros((length(data), 1)), as_array(labels), as_array(groups))
    return ((part(data, train), part(data, valid)) for train, valid in pairs)


def as_array(x):
    return None if x is None else np.asarray(x)


class Trial(NamedTuple):
    """A setting, its metric in each fold, their mean and standard deviation (divided by k)."""
    setting: Any
    metrics: tuple
    mean: float
    std: float


class Search(NamedTuple):
    """What `search` found: the best trial, all of them, the refitted model, its metric on test data or None."""
    best: Trial
    trials: tuple
    model: Any
    test: float | None


def cross_validate(fit: Callable, evaluate: Callable, data, setting=None, k: Any = 5, **how) -> Trial:
    """Fit on all folds but one, evaluate on that, for each fold.

    Args:
        fit: fit(train, setting) gives a model.
        evaluate: evaluate(model, valid) gives a number or a tensor of one.
        k, how: as for `k_fold`.
    """
    metrics = tuple(float(evaluate(fit(train, setting), valid)) for train, valid in k_fold(data, k, **how))
    return Trial(setting, metrics, float(np.mean(metrics)), float(np.std(metrics)))


def search(fit: Callable, evaluate: Callable, data, settings: Iterable, k: Any = 5, *, test=None,
           larger_is_better: bool = True, **how) -> Search:
    """Cross-validate each setting, refit the best one to all data, and evaluate that once on `test`.

    The metric on test data approximates the error on new data; the best trial's does not, for it was
    chosen. Of equal means the first setting wins, and NaN never does. ValueError without a setting, and
    if all means are NaN.
    """
    trials = tuple(cross_validate(fit, evaluate, data, s, k, **how) for s in settings)
    sound = [t for t in trials if t.mean == t.mean]
    if not sound:
        raise ValueError("search: no setting has a metric that is a number")
    best = (max if larger_is_better else min)(sound, key=lambda t: t.mean)
    model = fit(data, best.setting)
    return Search(best, trials, model, None if test is None else float(evaluate(model, test)))
