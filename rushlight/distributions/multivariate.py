"""The multivariate normal distribution."""
from __future__ import annotations

from .. import ops as o
from ..layout import Size
from ..ops import linalg
from . import constraints
from .distribution import LOG_2PI, Located
from .utils import lazy_property, standard_normal


def times_vectors(matrices, vectors):
    return o.matmul(matrices, vectors.unsqueeze(-1)).squeeze(-1)


def squared_lengths(tril, vectors):
    """Of L^-1 x for batches of L (*b, n, n) and x (*s, *b, n)."""
    x = linalg.solve_triangular(tril, vectors.unsqueeze(-1), upper=False)
    return x.squeeze(-1).pow(2).sum(-1)


def tril_of_precision(precision):
    """The factor of the covariance, by way of the flipped matrix, whose factor is upper."""
    flipped = linalg.cholesky(precision.flip((-2, -1)))
    upper = flipped.flip((-2, -1)).mT
    return linalg.solve_triangular(upper, o.eye(precision.shape[-1], dtype=precision.dtype),
                                   upper=False)


def half_log_det(tril):
    return tril.diagonal(0, -2, -1).log().sum(-1)


class MultivariateNormal(Located):
    """The normal distribution of vectors.

    Args:
        loc: the mean (*, n).
        covariance_matrix, precision_matrix, scale_tril: (*, n, n), exactly one of them; scale_tril
            is the lower triangular factor of the covariance.
    """

    arg_constraints = {"loc": constraints.real_vector,
                       "covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite,
                       "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    has_rsample = True
    parameters = ("loc", "covariance_matrix", "precision_matrix", "scale_tril")

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None,
                 validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {"scale_tril": scale_tril, "covariance_matrix": covariance_matrix,
                 "precision_matrix": precision_matrix}
        given = {name: x for name, x in given.items() if x is not None}
        if len(given) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril "
                             "may be specified.")
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading "
                             "batch dimensions")
        batch = o.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand(*batch, *matrix.shape[-2:]))
        self.loc = loc.expand(*batch, loc.shape[-1])
        super().__init__(batch, loc.shape[-1:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = matrix if name == "scale_tril" else \
            linalg.cholesky(matrix) if name == "covariance_matrix" else tril_of_precision(matrix)

    def _expand_more(self, old, batch_shape):
        self._unbroadcasted_scale_tril = old._unbroadcasted_scale_tril

    @lazy_property
    def scale_tril(self):
        n = self._event_shape[0]
        return self._unbroadcasted_scale_tril.expand(*self._batch_shape, n, n)

    @lazy_property
    def covariance_matrix(self):
        tril, n = self._unbroadcasted_scale_tril, self._event_shape[0]
        return o.matmul(tril, tril.mT).expand(*self._batch_shape, n, n)

    @lazy_property
    def precision_matrix(self):
        n = self._event_shape[0]
        inverse = o.cholesky_inverse(self._unbroadcasted_scale_tril)
        return inverse.expand(*self._batch_shape, n, n)

    @property
    def variance(self):
        y = self._unbroadcasted_scale_tril.pow(2).sum(-1)
        return y.expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape=Size()):
        eps = standard_normal(self._extended_shape(sample_shape), self.loc.dtype)
        return self.loc + times_vectors(self._unbroadcasted_scale_tril, eps)

    def log_prob(self, value):
        off = self._checked(value) - self.loc
        length = squared_lengths(self._unbroadcasted_scale_tril, off)
        return (-0.5 * (self._event_shape[0] * LOG_2PI + length)
                - half_log_det(self._unbroadcasted_scale_tril))

    def entropy(self):
        half = half_log_det(self._unbroadcasted_scale_tril)
        return (0.5 * self._event_shape[0] * (1.0 + LOG_2PI) + half).expand(self._batch_shape)
