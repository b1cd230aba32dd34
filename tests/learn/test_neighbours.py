"""Neighbours against scikit-learn's."""
import numpy as np
import pytest

import rushlight as torch
from rushlight import learn
from rushlight.learn import neighbours

sk = pytest.importorskip("sklearn.neighbors")
RNG = np.random.default_rng(5)
X, Q = RNG.normal(size=(60, 3)), RNG.normal(size=(9, 3))
LABELS, VALUES = RNG.integers(0, 3, 60) * 10, RNG.normal(size=60)


def t(x):
    return torch.tensor(x)


@pytest.mark.parametrize("algorithm", learn.neighbours.ALGORITHMS)
@pytest.mark.parametrize("p", [1.0, 2.0])
def test_same_neighbours(algorithm, p):
    ours = learn.NearestNeighbors(4, 0.9, algorithm=algorithm, p=p).fit(t(X))
    theirs = sk.NearestNeighbors(n_neighbors=4, radius=0.9, p=p).fit(X)
    for a, b in zip(ours.kneighbors(t(Q)), theirs.kneighbors(Q)):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-12)
    for a, b in zip(ours.radius_neighbors(t(Q)), theirs.radius_neighbors(Q, sort_results=True)):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x.numpy(), y, rtol=1e-12)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("questions", [Q, X], ids=["new", "same"])
def test_votes_and_averages(weights, questions):
    for ours, theirs, y in [(learn.KNeighborsClassifier(5, weights=weights), sk.KNeighborsClassifier(5, weights=weights), LABELS),
                            (learn.KNeighborsRegressor(5, weights=weights), sk.KNeighborsRegressor(5, weights=weights), VALUES),
                            (learn.RadiusNeighborsClassifier(2.5, weights=weights), sk.RadiusNeighborsClassifier(2.5, weights=weights), LABELS),
                            (learn.RadiusNeighborsRegressor(2.5, weights=weights), sk.RadiusNeighborsRegressor(2.5, weights=weights), VALUES)]:
        ours.fit(t(X), t(y)), theirs.fit(X, y)
        np.testing.assert_allclose(ours.predict(t(questions)).numpy(), theirs.predict(questions), rtol=1e-9)
        if hasattr(ours, "predict_proba"):
            np.testing.assert_allclose(ours.predict_proba(t(questions)).numpy(), theirs.predict_proba(questions), rtol=1e-9)


def test_values_with_more_axes():
    y = RNG.normal(size=(60, 2))
    for weights in ("uniform", "distance"):
        ours = learn.KNeighborsRegressor(3, weights=weights).fit(t(X), t(y)).predict(t(Q))
        np.testing.assert_allclose(ours.numpy(), sk.KNeighborsRegressor(3, weights=weights).fit(X, y).predict(Q), rtol=1e-9)


def test_nobody_near():
    far = t(np.full((1, 3), 99.0))
    assert learn.RadiusNeighborsRegressor(1.0).fit(t(X), t(VALUES)).predict(far).isnan().all()
    votes = learn.RadiusNeighborsClassifier(1.0).fit(t(X), t(LABELS))
    with pytest.raises(ValueError, match="outlier_label"):
        votes.predict(far)
    votes.outlier_label = -1
    assert votes.predict(far).tolist() == [-1]


def test_pieces_change_nothing(monkeypatch):
    ours = learn.NearestNeighbors(3).fit(t(X))
    whole = ours.kneighbors(t(Q))
    monkeypatch.setattr(neighbours, "PIECE", 130)
    for a, b in zip(ours.kneighbors(t(Q)), whole):
        assert torch.equal(a, b)


def test_errors():
    with pytest.raises(RuntimeError, match="call fit first"):
        learn.NearestNeighbors().kneighbors(t(Q))
    ours = learn.NearestNeighbors().fit(t(X))
    with pytest.raises(ValueError, match="1 <= k <= 60"):
        ours.kneighbors(t(Q), 61)
    with pytest.raises(ValueError, match="3 features"):
        ours.kneighbors(t(Q[:, :2]))
    with pytest.raises(ValueError, match="algorithm should be"):
        learn.NearestNeighbors(algorithm="octree")
