"""Rows AA of the notes' features: metrics and the choice of a model."""
import pytest

import rushlight as torch
import rushlight.learn as learn
import rushlight.metrics as metrics
from rushlight import nn
from rushlight.vision import ops


def test_aa01_intersection_over_union():
    target, prediction = torch.tensor([1, 1, 1, 0]), torch.tensor([0, 1, 1, 1])
    assert ((target & prediction).sum() / (target | prediction).sum()).item() == 0.5
    assert metrics.iou(prediction, target)[1].item() == 0.5
    assert ops.box_iou(torch.tensor([[0., 0, 2, 2]]), torch.tensor([[1., 0, 3, 2]])).item() == pytest.approx(1 / 3)


def test_aa02_correlation_coefficient():
    x, y = torch.tensor([1., 2, 3]), torch.tensor([1., 2, 4])
    assert torch.corrcoef(torch.stack([x, y]))[0, 1].item() == pytest.approx(0.98198, abs=1e-5)
    by_hand = ((x - x.mean()) * (y - y.mean())).mean() / (x.std(correction=0) * y.std(correction=0))
    assert metrics.pearson(x, y).item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_aa03_mean_absolute_error():
    x, y = torch.tensor([1., 5.]), torch.tensor([2., 3.])
    assert nn.L1Loss()(x, y).item() == metrics.mae(x, y).item() == 1.5


def test_aa04_accuracy():
    pred, labels = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2])
    assert (pred == labels).sum().item() == 3
    assert metrics.accuracy(pred, labels).item() == 0.75
    right = [(pred[labels == k] == k).float().mean().item() for k in range(3)]
    assert right == [1, 1, 0.5]


def line(noise=0.1, n=60):
    gen = torch.Generator().manual_seed(0)
    x = torch.rand(n, generator=gen)
    return x, 2 * x + noise * torch.randn(n, generator=gen)


def fit(data, degree):
    x, y = data
    return torch.linalg.lstsq(torch.stack([x ** d for d in range(degree + 1)], 1), y.unsqueeze(1)).solution


def evaluate(model, data):
    x, y = data
    basis = torch.stack([x ** d for d in range(len(model))], 1)
    return ((basis @ model).squeeze(1) - y).abs().mean().item()


def test_aa05_cross_validation():
    data, errors = line(), []
    for train, valid in learn.k_fold(data, 4):
        assert len(train[0]) == 45 and len(valid[0]) == 15
        errors.append(evaluate(fit(train, 1), valid))
    trial = learn.cross_validate(fit, evaluate, data, 1, 4)
    assert trial.mean == pytest.approx(sum(errors) / 4) and trial.std > 0


def test_aa06_hold_out_and_k_fold_for_little_data():
    train, valid = learn.cv_split(0, 5, torch.arange(10))
    assert valid.tolist() == [0, 1] and train.tolist() == list(range(2, 10))
    folds = [valid.tolist() for _, valid in learn.k_fold(torch.arange(10), 5)]
    assert sum(folds, []) == list(range(10))


def test_aa07_search_over_settings():
    x, y = line()
    found = learn.search(fit, evaluate, (x[:48], y[:48]), [0, 1], 4, test=(x[48:], y[48:]),
                         larger_is_better=False)
    assert found.best.setting == 1 and len(found.trials) == 2


def test_aa08_error_on_the_test_data_is_taken_once():
    x, y = line()
    tested = []

    def watched(model, data):
        tested.append(data[0] is test[0])
        return evaluate(model, data)
    test = (x[48:], y[48:])
    found = learn.search(fit, watched, (x[:48], y[:48]), [0, 1], 4, test=test, larger_is_better=False)
    assert sum(tested) == 1 and tested[-1] and found.test == evaluate(found.model, test)


@pytest.mark.skip(reason="a picture: scikit-learn's map of estimators")
def test_aa09_chart_of_algorithms():
    """A picture to look at."""
