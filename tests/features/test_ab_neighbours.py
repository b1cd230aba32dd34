"""Rows AB of the notes' features: nearest neighbours."""
import pytest

import rushlight as torch
import rushlight.learn as learn

POINTS = torch.tensor([[0., 0], [0, 1], [5, 5], [5, 6]])
QUERY = torch.tensor([[0., 0.4], [5, 5.4]])
LABELS, VALUES = torch.tensor([0, 0, 1, 1]), torch.tensor([1., 3., 10., 20.])


def nearest(algorithm, points=POINTS, query=QUERY, k=2):
    return learn.NearestNeighbors(k, algorithm=algorithm).fit(points).kneighbors(query)


def agree(algorithm, dimensions):
    pytest.importorskip("sklearn")
    gen = torch.Generator().manual_seed(0)
    points, query = (torch.randn(n, dimensions, generator=gen) for n in (50, 7))
    (d, i), (e, j) = (nearest(a, points, query, 3) for a in (algorithm, "brute"))
    assert torch.allclose(d, e, atol=1e-4) and torch.equal(i, j)


def test_ab01_brute_force_by_all_distances():
    distance, index = torch.cdist(QUERY, POINTS).topk(2, largest=False)
    assert index.tolist() == [[0, 1], [2, 3]]
    found = nearest("brute")
    assert torch.allclose(found[0], distance) and torch.equal(found[1], index)


def test_ab02_kd_tree():
    agree("kd_tree", 8)


def test_ab03_trees_of_two_and_three_dimensions():
    agree("kd_tree", 2)
    agree("kd_tree", 3)


def test_ab04_ball_tree():
    agree("ball_tree", 8)


def test_ab05_neighbours_by_number():
    assert nearest("brute", k=3)[1].shape == (2, 3)


def test_ab06_neighbours_by_distance():
    found = learn.NearestNeighbors(radius=1.0, algorithm="brute").fit(POINTS).radius_neighbors(QUERY)
    assert [sorted(i.tolist()) for i in found[1]] == [[0, 1], [2, 3]]
    assert (torch.cdist(QUERY, POINTS) < 1).sum(1).tolist() == [2, 2]


def test_ab07_classification_by_majority():
    assert learn.KNeighborsClassifier(3).fit(POINTS, LABELS).predict(QUERY).tolist() == [0, 1]


def test_ab08_regression_by_average():
    assert learn.KNeighborsRegressor(2).fit(POINTS, VALUES).predict(QUERY).tolist() == [2, 15]


def test_ab09_distances_become_alike_in_many_dimensions():
    def spread(dimensions):
        points = torch.rand(100, dimensions, generator=torch.Generator().manual_seed(0))
        distance = torch.pdist(points)
        return (distance.max() / distance.min()).item()
    assert spread(2) > 20 > 2 > spread(1000)


def test_ab10_markov_chain_monte_carlo():
    gen, x, chain = torch.Generator().manual_seed(0), torch.zeros(200, 5), []
    for _ in range(200):                    # 200 walkers after a normal density of 5 dimensions
        step = x + 0.9 * torch.randn(200, 5, generator=gen)
        accept = torch.rand(200, generator=gen).log() < (x.square() - step.square()).sum(1) / 2
        x = torch.where(accept.unsqueeze(1), step, x)
        chain.append(x)
    drawn = torch.stack(chain[100:])
    assert drawn.mean().abs() < 0.1 and (drawn.std() - 1).abs() < 0.1
