"""Measures against scikit-learn's, whole and batch by batch."""
import numpy as np
import pytest

import rushlight as torch
from rushlight import metrics as m

sk = pytest.importorskip("sklearn.metrics")
RNG = np.random.default_rng(7)
TRUTH = RNG.integers(0, 4, 200)
GUESS = np.where(RNG.random(200) < 0.6, TRUTH, RNG.integers(0, 4, 200))
SCORES = RNG.normal(size=(200, 4)).round(1) + np.eye(4)[TRUTH]
X = RNG.normal(size=(50, 3)) + 1e4
Y = X + RNG.normal(size=(50, 3))


def t(x):
    return torch.tensor(np.asarray(x))


def both_ways(cls, preds, target, **options):
    """The value of the whole; that of batches, and of two objects merged, has to be the same."""
    whole = cls(**options).update(t(preds), t(target)).compute()
    parts, other = cls(**options), cls(**options)
    for i in range(0, len(target), 17):
        (parts if i < 100 else other).update(t(preds[i:i + 17]), t(target[i:i + 17]))
    parts.merge(other)
    torch.testing.assert_close(parts.compute(), whole, rtol=1e-12, atol=1e-12)
    return whole.numpy()


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize("ours, theirs", [(m.Precision, sk.precision_score), (m.Recall, sk.recall_score),
                                          (m.F1, sk.f1_score), (m.Dice, sk.f1_score), (m.IoU, sk.jaccard_score)])
def test_scores_of_classes(ours, theirs, average):
    found = both_ways(ours, GUESS, TRUTH, average=average)
    np.testing.assert_allclose(found, theirs(TRUTH, GUESS, average=average), rtol=1e-12)


@pytest.mark.parametrize("ours, theirs", [(m.precision, sk.precision_score), (m.recall, sk.recall_score),
                                          (m.f1, sk.f1_score), (m.iou, sk.jaccard_score)])
def test_binary_scores_with_a_threshold(ours, theirs):
    truth, scores = TRUTH > 1, RNG.random(200)
    found = ours(t(scores), t(truth), average="binary", threshold=0.3)
    assert float(found) == pytest.approx(theirs(truth, scores >= 0.3), rel=1e-12)


def test_accuracy_of_scores_and_of_images():
    assert float(m.accuracy(t(SCORES), t(TRUTH))) == sk.accuracy_score(TRUTH, SCORES.argmax(1))
    image = t(SCORES.reshape(2, 10, 10, 4)).permute(0, 3, 1, 2)
    assert float(m.accuracy(image, t(TRUTH.reshape(2, 10, 10)))) == sk.accuracy_score(TRUTH, SCORES.argmax(1))
    macro = m.accuracy(t(GUESS), t(TRUTH), average="macro")
    assert float(macro) == pytest.approx(sk.balanced_accuracy_score(TRUTH, GUESS))


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_confusion_matrix(normalize):
    found = both_ways(m.ConfusionMatrix, GUESS, TRUTH, normalize=normalize)
    np.testing.assert_allclose(found, sk.confusion_matrix(TRUTH, GUESS, normalize=normalize), rtol=1e-12)


def test_table_grows_ignores_and_refuses():
    gathered = m.ConfusionMatrix().update(t([0, 0]), t([0, 1])).update(t([3]), t([2]))
    assert gathered.compute().tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert m.confusion_matrix(t([0, 1, 1]), t([0, 255, 1]), 2, ignore_index=255).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match="class 2 is out of range for 2 classes"):
        m.confusion_matrix(t([0, 2]), t([0, 1]), 2)
    with pytest.raises(ValueError, match="same shape"):
        m.accuracy(t([0, 2]), t([0, 1, 1]))
    with pytest.raises(ValueError, match="average should be"):
        m.F1(average="mean")


def test_what_would_be_divided_by_nothing():
    truth, guess = [0, 0, 1], [0, 1, 1]
    for zero in (0.0, 1.0):
        found = m.precision(t(guess), t(truth), 3, average=None, zero_division=zero)
        wanted = sk.precision_score(truth, guess, labels=[0, 1, 2], average=None, zero_division=zero)
        np.testing.assert_allclose(found.numpy(), wanted)
    assert float(m.mean_iou(t(guess), t(truth), 3)) == pytest.approx(0.5)      # class 2 is nowhere


def test_area_under_the_curve_with_ties():
    scores, truth = SCORES[:, 1], TRUTH == 1
    assert both_ways(m.ROCAUC, scores, truth) == pytest.approx(sk.roc_auc_score(truth, scores), rel=1e-12)
    wanted = [sk.roc_auc_score(TRUTH == c, SCORES[:, c]) for c in range(4)]
    np.testing.assert_allclose(m.roc_auc(t(SCORES), t(TRUTH), average=None).numpy(), wanted, rtol=1e-12)
    weights = np.bincount(TRUTH) / len(TRUTH)
    assert float(m.roc_auc(t(SCORES), t(TRUTH), average="weighted")) == pytest.approx(np.dot(wanted, weights))
    with pytest.raises(ValueError, match="only one class"):
        m.roc_auc(t([0.1, 0.2]), t([1, 1]))


def test_curve():
    for ours, theirs in zip(m.roc_curve(t(SCORES[:, 1]), t(TRUTH == 1)),
                            sk.roc_curve(TRUTH == 1, SCORES[:, 1], drop_intermediate=False)):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_hits_among_the_best(k):
    scores = RNG.normal(size=(200, 4)) + np.eye(4)[TRUTH]
    found = both_ways(m.TopKAccuracy, scores, TRUTH, k=k)
    assert found == pytest.approx(sk.top_k_accuracy_score(TRUTH, scores, k=k))


def test_equal_scores_count_once():
    assert float(m.top_k_accuracy(torch.zeros(4, 4), torch.arange(4), k=2)) == 0.5


def test_errors_of_numbers():
    assert both_ways(m.MAE, X, Y) == pytest.approx(sk.mean_absolute_error(Y, X), rel=1e-12)
    assert both_ways(m.MSE, X, Y) == pytest.approx(sk.mean_squared_error(Y, X), rel=1e-12)
    found = m.mse(t(X), t(Y), per_column=True)
    np.testing.assert_allclose(found.numpy(), sk.mean_squared_error(Y, X, multioutput="raw_values"), rtol=1e-12)


def test_correlation():
    assert both_ways(m.PearsonCorrelation, X, Y) == pytest.approx(np.corrcoef(X.ravel(), Y.ravel())[0, 1], rel=1e-9)
    assert float(m.pearson(t([1., 2., 3.]), t([1., 2., 4.]))) == pytest.approx(0.98198, abs=1e-5)


def test_value_of_a_batch_reset_and_nothing():
    measure = m.Accuracy()
    with pytest.raises(RuntimeError, match="before update"):
        measure.compute()
    measure.update(t([0, 1]), t([0, 1]))
    assert float(measure(t([0, 0]), t([1, 1]))) == 0
    assert float(measure.compute()) == 0.5
    measure.reset()
    assert float(measure.update(t([1]), t([1])).compute()) == 1


def test_no_gradient_and_no_change_of_what_is_given():
    x = torch.randn(8, 3, requires_grad=True)
    assert not m.mse(x, torch.zeros(8, 3)).requires_grad
    kept = torch.rand(8)
    measure = m.ROCAUC().update(kept, t([0, 1] * 4))
    before = float(measure.compute())
    kept.zero_()
    assert float(measure.compute()) == before


def test_what_would_be_silently_wrong_is_refused():
    with pytest.raises(ValueError, match="one score for each"):
        m.accuracy(torch.rand(4, 1), t([0, 1, 1, 0]))
    for scores, target, words in [([0.1, float("nan")], [0, 1], "NaN"), ([0.1, 0.2], [1, 2], "0 or 1"),
                                  ([[0.1, 0.2]] * 2, [0, 2], "from 0 to 1")]:
        with pytest.raises(ValueError, match=words):
            m.roc_auc(t(scores), t(target))
