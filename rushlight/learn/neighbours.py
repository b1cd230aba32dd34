"""Nearest neighbours: the k nearest samples or all within a radius, to look up, to vote, to average.

    algorithm       work to build, to ask once      when
    "brute"         nothing, O(N D)                 always right; the only one that high dimensions leave as quick
    "kd_tree"       O(D N log N), O(D log N)        few dimensions: boxes, cut axis by axis (Bentley 1975)
    "ball_tree"     O(D N log N), O(D log N)        spheres in place of boxes (Omohundro 1989)

In many dimensions distances become alike, trees have to look at everything, and brute force is the
quicker. It runs on tensors, a piece of the questions at a time; trees are scikit-learn's.
Cover and Hart, Nearest Neighbor Pattern Classification, IEEE Transactions on Information Theory 13, 1967.
"""
from __future__ import annotations

import numpy as np

from .. import ops
from ..autograd.grad_mode import no_grad
from ..dtypes import int64
from ..tensor import Tensor

PIECE = 1 << 22         # distances worked out at a time
ALGORITHMS = ("brute", "kd_tree", "ball_tree")


def as_samples(x) -> Tensor:
    """(N, D) of floats; ValueError for anything else."""
    x = ops.as_tensor(x).detach()
    if x.ndim != 2:
        raise ValueError(f"expected samples as (N, D), but found {tuple(x.shape)}")
    return x if x.is_floating_point() else x.double()


class NearestNeighbors:
    """Finds the samples next to others.

    Args:
        k: how many, for `kneighbors`.
        radius: how far, for `radius_neighbors`.
        algorithm: "brute", "kd_tree" or "ball_tree" (the trees need scikit-learn).
        p: distances are sum(|x - y|^p)^(1/p); 2 is Euclid's, inf the largest difference.
    """

    def __init__(self, k: int = 5, radius: float = 1.0, *, algorithm: str = "brute", p: float = 2.0):
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm should be one of {', '.join(ALGORITHMS)}, but found {algorithm!r}")
        self.k, self.radius, self.algorithm, self.p = k, radius, algorithm, float(p)
        self.samples = self.tree = None

    def fit(self, x) -> NearestNeighbors:
        """Take samples (N, D) to look among."""
        self.samples = as_samples(x)
        if self.algorithm != "brute":
            self.tree = self.make_tree()
        return self

    def make_tree(self):
        from sklearn import neighbors
        kind = {"kd_tree": neighbors.KDTree, "ball_tree": neighbors.BallTree}[self.algorithm]
        return kind(self.samples.double().numpy(), metric="minkowski", p=self.p)

    def asked(self, x) -> Tensor:
        if self.samples is None:
            raise RuntimeError(f"{type(self).__name__}: call fit first")
        x = as_samples(x).to(self.samples.dtype)
        if x.shape[1] != self.samples.shape[1]:
            raise ValueError(f"expected samples of {self.samples.shape[1]} features, but found {x.shape[1]}")
        return x

    def distances(self, x: Tensor):
        """Distances to all samples, for a piece of x at a time."""
        rows = max(1, PIECE // max(1, len(self.samples)))
        for piece in x.split(rows):
            yield ops.cdist(piece, self.samples, p=self.p, compute_mode="donot_use_mm_for_euclid_dist")

    @no_grad()
    def kneighbors(self, x, k: int | None = None) -> tuple[Tensor, Tensor]:
        """(distances, indices) of the k nearest samples, nearest first, each (M, k) for x (M, D).

        ValueError if there are not so many samples.
        """
        x, k = self.asked(x), self.k if k is None else k
        if not 1 <= k <= len(self.samples):
            raise ValueError(f"expected 1 <= k <= {len(self.samples)}, the number of samples, but found {k}")
        if self.tree is not None:
            far, index = self.tree.query(x.double().numpy(), k)
            return ops.tensor(far, dtype=x.dtype), ops.tensor(index, dtype=int64)
        found = [d.topk(k, largest=False, sorted=True) for d in self.distances(x)]
        if not found:
            return x.new_empty(0, k), ops.empty(0, k, dtype=int64)
        return tuple(ops.cat(parts) for parts in zip(*found))

    @no_grad()
    def radius_neighbors(self, x, radius: float | None = None) -> tuple[list, list]:
        """(distances, indices) of all samples within the radius, nearest first: lists of M tensors each."""
        x, radius = self.asked(x), self.radius if radius is None else radius
        if self.tree is not None:
            index, far = self.tree.query_radius(x.double().numpy(), radius, return_distance=True, sort_results=True)
            return [ops.tensor(d, dtype=x.dtype) for d in far], [ops.tensor(i, dtype=int64) for i in index]
        found = [within(row, radius) for d in self.distances(x) for row in d.numpy()]
        return [ops.tensor(d) for d, _ in found], [ops.tensor(i, dtype=int64) for _, i in found]


def within(distances: np.ndarray, radius: float) -> tuple:
    """The distances up to the radius in order, and where they stand."""
    near = np.flatnonzero(distances <= radius)
    near = near[np.argsort(distances[near], kind="stable")]
    return distances[near], near


class Taught(NearestNeighbors):
    """Neighbours that have a label or a value.

    weights: "uniform", or "distance" for 1 / distance (what lies on a sample has its target).
    """

    def __init__(self, k: int = 5, radius: float = 1.0, *, weights: str = "uniform", algorithm: str = "brute",
                 p: float = 2.0):
        if weights not in ("uniform", "distance"):
            raise ValueError(f"weights should be 'uniform' or 'distance', but found {weights!r}")
        super().__init__(k, radius, algorithm=algorithm, p=p)
        self.weights = weights

    def fit(self, x, y) -> Taught:
        """Take samples (N, D) and what is known of them, (N,) or for regression (N, ...)."""
        self.targets = ops.as_tensor(y).detach()
        super().fit(x)
        if len(self.targets) != len(self.samples):
            raise ValueError(f"{len(self.samples)} samples have {len(self.targets)} targets")
        return self

    def weigh(self, distances: Tensor) -> Tensor:
        """Weights in float64; rows with zero distances count these alone."""
        d = distances.double()
        if self.weights == "uniform":
            return ops.ones_like(d)
        on = d == 0
        return ops.where(on.any(-1, keepdim=True), on.double(), 1 / ops.where(on, 1.0, d))

    def joined(self, indices: Tensor, weights: Tensor) -> Tensor:
        """What a row of neighbours comes to, from indices (..., k) and their weights."""
        raise NotImplementedError(f"{type(self).__name__}.joined")

    def predict(self, x) -> Tensor:
        """What the k nearest say of each sample of x (M, D)."""
        distances, indices = self.kneighbors(x)
        return self.joined(indices, self.weigh(distances))

    def predict_within(self, x, lonely) -> Tensor:
        """What all within the radius say; `lonely` gives a row for who has no neighbour."""
        rows = [self.joined(i, self.weigh(d)) if len(i) else lonely() for d, i in zip(*self.radius_neighbors(x))]
        return ops.stack(rows) if rows else lonely().new_empty(0, *lonely().shape)


class Votes(Taught):
    """The class with most votes; of equally many the smallest. `predict_proba` gives parts of the votes."""

    def fit(self, x, y):
        self.classes, inverse = ops.unique(ops.as_tensor(y), return_inverse=True)
        return super().fit(x, inverse)

    def joined(self, indices, weights):
        votes = weights.new_zeros(*indices.shape[:-1], len(self.classes))
        votes = votes.scatter_add(-1, self.targets[indices], weights)
        return votes / votes.sum(-1, keepdim=True)

    @no_grad()
    def predict_proba(self, x) -> Tensor:
        """Parts of the votes (M, C) in float64, in the order of `classes`."""
        return super().predict(x)

    def predict(self, x) -> Tensor:
        """The class (M,) of each sample of x (M, D)."""
        return self.classes[self.predict_proba(x).argmax(-1)]


class Means(Taught):
    """The mean of the neighbours' values, in float64."""

    @no_grad()
    def predict(self, x) -> Tensor:
        """The value of each sample of x (M, D): (M,), or (M, ...) for values with more axes."""
        return super().predict(x)

    def joined(self, indices, weights):
        values = self.targets[indices].double()
        weights = weights.reshape(*weights.shape, *[1] * (values.ndim - weights.ndim))
        axis = indices.ndim - 1
        return (values * weights).sum(axis) / weights.sum(axis)


class KNeighborsClassifier(Votes):
    """The majority vote of the k nearest samples."""


class KNeighborsRegressor(Means):
    """The average of the k nearest samples' values."""


class RadiusNeighborsClassifier(Votes):
    """The majority vote of all samples within the radius.

    ValueError if one has no neighbour, unless `outlier_label` says what it is then.
    """

    def __init__(self, radius: float = 1.0, *, outlier_label=None, **how):
        super().__init__(radius=radius, **how)
        self.outlier_label = outlier_label

    @no_grad()
    def predict_proba(self, x) -> Tensor:
        """Parts of the votes (M, C); zeros for who has no neighbour."""
        return self.predict_within(x, lambda: ops.zeros(len(self.classes)).double())

    def predict(self, x) -> Tensor:
        """The class (M,) of each sample of x (M, D)."""
        parts = self.predict_proba(x)
        alone = parts.sum(-1) == 0
        found = self.classes[parts.argmax(-1)]
        if not bool(alone.any()):
            return found
        if self.outlier_label is None:
            raise ValueError("no neighbours within the radius for samples "
                             f"{alone.nonzero().flatten().tolist()}; give an outlier_label")
        return ops.where(alone, ops.tensor(self.outlier_label, dtype=found.dtype), found)


class RadiusNeighborsRegressor(Means):
    """The average of all samples within the radius; NaN where there is none."""

    def __init__(self, radius: float = 1.0, **how):
        super().__init__(radius=radius, **how)

    @no_grad()
    def predict(self, x) -> Tensor:
        """The value of each sample of x (M, D)."""
        return self.predict_within(x, lambda: ops.full(self.targets.shape[1:], float("nan")).double())
