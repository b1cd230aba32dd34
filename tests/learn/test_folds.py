"""Folds and the search over settings."""
import numpy as np
import pytest

import rushlight as torch
from rushlight import learn
from rushlight.utils.data import TensorDataset


def test_folds_are_scikit_learns():
    sk = pytest.importorskip("sklearn.model_selection")
    x = torch.arange(11)
    for (train, valid), (i, j) in zip(learn.k_fold(x, 4), sk.KFold(4).split(np.arange(11)), strict=True):
        assert train.tolist() == i.tolist() and valid.tolist() == j.tolist()


@pytest.mark.parametrize("seed", [None, 3])
def test_every_sample_validates_once(seed):
    x = torch.arange(11)
    folds = [learn.cv_split(i, 3, x, seed=seed) for i in range(3)]
    assert sorted(n for _, valid in folds for n in valid.tolist()) == list(range(11))
    for train, valid in folds:
        assert sorted(train.tolist() + valid.tolist()) == list(range(11))
    assert (folds[0][1].tolist() == [0, 1, 2, 3]) is (seed is None)


def test_datasets_tuples_and_splitters():
    sk = pytest.importorskip("sklearn.model_selection")
    x, y = torch.randn(12, 2), torch.tensor([0, 1] * 6)
    for (a, b), (c, d) in learn.k_fold((x, y), sk.StratifiedKFold(3)):
        assert len(a) == len(b) == 8 and d.sum() == 2 and len(c) == 4
    train, valid = next(learn.k_fold(TensorDataset(x, y), 3))
    assert len(train) == 8 and torch.equal(valid[3][0], x[3])
    train, valid = next(learn.k_fold(x, sk.GroupKFold(2), groups=[0] * 5 + [1] * 7))
    assert {len(train), len(valid)} == {5, 7}


@pytest.mark.parametrize("k", [1, 12])
def test_impossible_folds(k):
    with pytest.raises(ValueError, match="k should be between 2"):
        learn.k_fold(torch.arange(11), k)


def test_search_is_the_loop_of_the_template():
    data = torch.randn(40, generator=torch.Generator().manual_seed(1)) + 5
    train, test = data[:30], data[30:]
    fit = lambda x, shrink: x.mean() * shrink
    evaluate = lambda model, x: (x - model).square().mean()
    found = learn.search(fit, evaluate, train, [0.5, 1.0, 2.0], 3, test=test, larger_is_better=False)
    metrics = [float(evaluate(fit(*f), v)) for t, v in learn.k_fold(train, 3) for f in [(t, 1.0)]]
    assert found.best.setting == 1.0 and found.best.metrics == tuple(metrics)
    assert found.best.mean == np.mean(metrics) and found.best.std == np.std(metrics)
    assert float(found.model) == float(train.mean())
    assert found.test == float(evaluate(train.mean(), test)) and len(found.trials) == 3


def test_nan_never_wins():
    fit, evaluate = lambda x, s: s, lambda model, x: model
    assert learn.search(fit, evaluate, torch.arange(4), [float("nan"), 1.0, 2.0], 2).best.setting == 2.0
    with pytest.raises(ValueError, match="no setting"):
        learn.search(fit, evaluate, torch.arange(4), [float("nan")], 2)
