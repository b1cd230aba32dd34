"""Distributions of matrices and of vectors with structured covariances: Wishart, LKJ, low rank, logistic normal."""
from __future__ import annotations

import math
import numbers
import warnings

from .. import dtypes
from .. import ops as o
from ..autograd.grad_mode import no_grad
from ..layout import Size
from ..ops import linalg
from . import constraints
from .continuous import Normal
from .distribution import LOG_2, LOG_2PI, LOG_PI, Distribution, ExponentialFamily, Located
from .gamma import Beta, Chi2
from .multivariate import half_log_det, squared_lengths, times_vectors, tril_of_precision
from .transformed import TransformedDistribution
from .transforms import StickBreakingTransform
from .utils import broadcast_all, lazy_property, standard_normal


class LowRankMultivariateNormal(Located):
    """The normal distribution of vectors with covariance W W^T + diag(d).

    Args:
        loc: the mean (*, n).
        cov_factor: W, (*, n, m).
        cov_diag: d, (*, n), positive.
    """

    arg_constraints = {"loc": constraints.real_vector, "cov_factor": constraints.independent(constraints.real, 2),
                       "cov_diag": constraints.independent(constraints.positive, 1)}
    support = constraints.real_vector
    has_rsample = True
    parameters = ("loc", "cov_diag", "cov_factor")

    def __init__(self, loc, cov_factor, cov_diag, validate_args=None):
        self._check_sizes(loc, cov_factor, cov_diag)
        n = loc.shape[-1:]
        try:
            batch = o.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError:
            raise ValueError(f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, "
                             f"cov_diag {cov_diag.shape}") from None
        self.loc, self.cov_diag = loc.expand(batch + n), cov_diag.expand(batch + n)
        self.cov_factor = cov_factor.expand(batch + cov_factor.shape[-2:])
        self._w, self._d = cov_factor, cov_diag
        self._inner_tril = linalg.cholesky(o.matmul(self._scaled_back(), cov_factor) + _identity(cov_factor, -1))
        super().__init__(batch, n, validate_args=validate_args)

    @staticmethod
    def _check_sizes(loc, cov_factor, cov_diag):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2] != loc.shape[-1]:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {loc.shape[-1]} x m")
        if cov_diag.shape[-1] != loc.shape[-1]:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {loc.shape[-1:]}")

    def _scaled_back(self):
        """W^T D^-1."""
        return self._w.mT / self._d.unsqueeze(-2)

    def _expand_more(self, old, batch_shape):
        self._w, self._d, self._inner_tril = old._w, old._d, old._inner_tril
        shape = (*batch_shape, *old.event_shape)
        self.loc, self.cov_diag = old.loc.expand(shape), old.cov_diag.expand(shape)
        self.cov_factor = old.cov_factor.expand(*shape, old.cov_factor.shape[-1])

    def half_log_det(self):
        """Half the log of the covariance's determinant, by the matrix determinant lemma."""
        return half_log_det(self._inner_tril) + 0.5 * self._d.log().sum(-1)

    def squared_lengths(self, x):
        """x^T C^-1 x, by the Woodbury identity."""
        return (x ** 2 / self._d).sum(-1) - squared_lengths(self._inner_tril, times_vectors(self._scaled_back(), x))

    def _whitened(self):
        """A with C^-1 = D^-1 - A^T A."""
        return linalg.solve_triangular(self._inner_tril, self._scaled_back(), upper=False)

    @lazy_property
    def variance(self):
        return (self._w.pow(2).sum(-1) + self._d).expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self):
        root = self._d.sqrt().unsqueeze(-1)
        w = self._w / root
        return (root * linalg.cholesky(o.matmul(w, w.mT) + _identity(w, -2))).expand(self._matrices())

    @lazy_property
    def covariance_matrix(self):
        return (o.matmul(self._w, self._w.mT) + o.diag_embed(self._d)).expand(self._matrices())

    @lazy_property
    def precision_matrix(self):
        a = self._whitened()
        return (o.diag_embed(self._d.reciprocal()) - o.matmul(a.mT, a)).expand(self._matrices())

    def _matrices(self):
        return self._batch_shape + self._event_shape + self._event_shape

    def rsample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        few = standard_normal(shape[:-1] + self.cov_factor.shape[-1:], self.loc.dtype)
        many = standard_normal(shape, self.loc.dtype)
        return self.loc + times_vectors(self._w, few) + self._d.sqrt() * many

    def log_prob(self, value):
        length = self.squared_lengths(self._checked(value) - self.loc)
        return -0.5 * (self._event_shape[0] * LOG_2PI + length) - self.half_log_det()

    def entropy(self):
        return (0.5 * self._event_shape[0] * (1 + LOG_2PI) + self.half_log_det()).expand(self._batch_shape)


def _identity(x, axis):
    return o.eye(x.shape[axis], dtype=x.dtype)


class LogisticNormal(TransformedDistribution):
    """Points of the simplex: stick breaking of normal deviates (*, n) to (*, n + 1)."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, loc, scale, validate_args=None):
        base = Normal(loc, scale, validate_args=validate_args)
        base = base if base.batch_shape else base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    @property
    def loc(self):
        return self.base_dist.base_dist.loc

    @property
    def scale(self):
        return self.base_dist.base_dist.scale


class LKJCholesky(Distribution):
    """Lower Cholesky factors of correlation matrices M with density proportional to det(M)^(concentration - 1).

    Samples are made by the onion method (Lewandowski, Kurowicka and Joe 2009).
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    parameters = ("concentration",)

    def __init__(self, dim, concentration=1.0, validate_args=None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        row = o.cat([o.zeros(1), o.arange(dim - 1.0)]).to(self.concentration.dtype)
        rest = (self.concentration + 0.5 * (dim - 2)).unsqueeze(-1) - 0.5 * row
        self._beta = Beta(row + 0.5, rest)
        super().__init__(self.concentration.size(), (dim, dim), validate_args)

    def _expand_more(self, old, batch_shape):
        self.dim, self._beta = old.dim, old._beta.expand((*batch_shape, old.dim))

    def sample(self, sample_shape=Size()):
        with no_grad():
            y = self._beta.sample(sample_shape).unsqueeze(-1)
            normal = o.randn(self._extended_shape(sample_shape), dtype=y.dtype).tril(-1)
            on_sphere = normal / normal.norm(dim=-1, keepdim=True)
            on_sphere[..., 0, :] = 0.0
            w = y.sqrt() * on_sphere
            rest = (1 - (w ** 2).sum(-1)).clamp(min=dtypes.finfo(w.dtype).tiny).sqrt()
            return w + o.diag_embed(rest)

    def log_prob(self, value):
        n = self.dim - 1
        diagonal = self._checked(value).diagonal(0, -1, -2)[..., 1:]
        powers = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - o.arange(2, self.dim + 1)
        alpha = self.concentration + 0.5 * n
        normaliser = 0.5 * n * LOG_PI + o.mvlgamma(alpha - 0.5, n) - o.lgamma(alpha) * n
        return (powers * diagonal.log()).sum(-1) - normaliser


class Wishart(ExponentialFamily):
    """Sums of outer products of df normal vectors; df > n - 1 need not be whole.

    Args:
        df: degrees of freedom (*).
        covariance_matrix, precision_matrix, scale_tril: of the vectors, (*, n, n), exactly one of them.
    """

    support = constraints.positive_definite
    has_rsample = True
    parameters = ("df",)

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix,
                 "scale_tril": scale_tril}
        given = {name: x for name, x in given.items() if x is not None}
        if len(given) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        n = matrix.shape[-1]
        if isinstance(df, numbers.Number):
            self.df, batch = o.tensor(df, dtype=matrix.dtype), Size(matrix.shape[:-2])
        else:
            batch = o.broadcast_shapes(matrix.shape[:-2], df.shape)
            self.df = df.expand(batch)
        self._check_df(df, n)
        setattr(self, name, matrix.expand(*batch, n, n))
        super().__init__(batch, (n, n), validate_args=validate_args)
        self._tril = matrix if name == "scale_tril" else \
            linalg.cholesky(matrix) if name == "covariance_matrix" else tril_of_precision(matrix)
        self._make_chi2()

    def _check_df(self, df, n):
        if (self.df <= n - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        if (self.df < n).any():
            warnings.warn("Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < "
                          "ndim.", stacklevel=3)

    def _make_chi2(self):
        n = self._event_shape[-1] if hasattr(self, "_event_shape") else self._tril.shape[-1]
        self._chi2 = Chi2(self.df.unsqueeze(-1) - o.arange(n, dtype=self._tril.dtype).expand(*self._batch_shape, n))

    @property
    def arg_constraints(self):
        return {"covariance_matrix": constraints.positive_definite, "precision_matrix": constraints.positive_definite,
                "scale_tril": constraints.lower_cholesky, "df": constraints.greater_than(self.event_shape[-1] - 1)}

    def _expand_more(self, old, batch_shape):
        shape = (*batch_shape, *old.event_shape)
        self._tril, self._batch_shape, self._event_shape = old._tril.expand(shape), Size(batch_shape), old.event_shape
        for name in ("covariance_matrix", "precision_matrix", "scale_tril"):
            if name in old.__dict__:
                setattr(self, name, old.__dict__[name].expand(shape))
        self._make_chi2()

    @lazy_property
    def scale_tril(self):
        return self._tril.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def covariance_matrix(self):
        return o.matmul(self._tril, self._tril.mT).expand(self._batch_shape + self._event_shape)

    @lazy_property
    def precision_matrix(self):
        return o.cholesky_inverse(self._tril).expand(self._batch_shape + self._event_shape)

    def _df_of_matrices(self, df):
        return df.reshape(*self._batch_shape, 1, 1)

    @property
    def mean(self):
        return self._df_of_matrices(self.df) * self.covariance_matrix

    @property
    def mode(self):
        factor = self.df - self._event_shape[-1] - 1
        return self._df_of_matrices(o.where(factor <= 0, math.nan, factor)) * self.covariance_matrix

    @property
    def variance(self):
        v = self.covariance_matrix
        d = v.diagonal(0, -2, -1)
        return self._df_of_matrices(self.df) * (v ** 2 + d.unsqueeze(-1) * d.unsqueeze(-2))

    def _bartlett(self, sample_shape):
        """A sample by Bartlett's decomposition."""
        n = self._event_shape[-1]
        diagonal = self._chi2.rsample(sample_shape).sqrt()
        diagonal = diagonal.clamp(min=dtypes.finfo(diagonal.dtype).eps)
        below = o.randn((*sample_shape, *self._batch_shape, n * (n - 1) // 2), dtype=diagonal.dtype)
        factor = o.matmul(self._tril, o.diag_embed(diagonal) + _strictly_lower(below, n))
        return o.matmul(factor, factor.mT)

    def rsample(self, sample_shape=Size(), max_try_correction=None):
        """A sample; as in PyTorch, what is positive definite at first is drawn a second time."""
        sample = self._bartlett(tuple(sample_shape))
        flat, again = sample.reshape(-1, *self._batch_shape, *self._event_shape), None
        for _ in range(10 if max_try_correction is None else max_try_correction):
            if again is None:
                index = self._any(self.support.check(flat)).nonzero().reshape(-1)
            else:
                index = index[again]
            if not index.numel():
                break
            new = self._bartlett((index.numel(),))
            flat = flat.index_copy(0, index, new)
            again = self._any(~self.support.check(new))
        return flat.reshape(sample.shape)

    @staticmethod
    def _any(flags):
        return flags.reshape(flags.shape[0], -1).any(1)

    def log_prob(self, value):
        self._checked(value)
        nu, n = self.df, self._event_shape[-1]
        trace = o.cholesky_solve(value, self._tril).diagonal(0, -2, -1).sum(-1)
        return (-nu * (n * LOG_2 / 2 + half_log_det(self._tril)) - o.mvlgamma(nu / 2, n)
                + (nu - n - 1) / 2 * linalg.slogdet(value).logabsdet - trace / 2)

    def entropy(self):
        nu, n = self.df, self._event_shape[-1]
        return ((n + 1) * (n * LOG_2 / 2 + half_log_det(self._tril)) + o.mvlgamma(nu / 2, n)
                - (nu - n - 1) / 2 * multivariate_digamma(nu / 2, n) + nu * n / 2)


def multivariate_digamma(x, n):
    """The derivative of mvlgamma."""
    return o.digamma(x.unsqueeze(-1) - o.arange(n, dtype=x.dtype) / 2).sum(-1)


def _strictly_lower(values, n):
    """Matrices whose elements below the diagonal are the last axis of `values`, row by row."""
    if n == 1:
        return values.new_zeros((*values.shape[:-1], 1, 1))
    rows, cols = (o.tensor(k) for k in zip(*[(i, j) for i in range(n) for j in range(i)]))
    place = rows * n + cols
    flat = o.zeros(*values.shape[:-1], n * n, dtype=values.dtype).index_copy(-1, place, values)
    return flat.reshape(*values.shape[:-1], n, n)


__all__ = ["LowRankMultivariateNormal", "LogisticNormal", "LKJCholesky", "Wishart"]
