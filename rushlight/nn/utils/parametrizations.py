"""Parametrisations in common use: orthogonal matrices, weights split into length and direction, weights of
largest singular value 1."""
from __future__ import annotations

from ... import linalg, ops
from ...autograd.grad_mode import no_grad
from ...dtypes import finfo
from ...tensor import Tensor
from .. import functional as F
from ..modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..modules.module import Module
from .parametrize import register_parametrization
from .weight_norm import lengths, scaled

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

MAPS = ("matrix_exp", "cayley", "householder")


def _weight_of(module, name) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


# -- orthogonal matrices -------------------------------------------------------------------------
def _is_orthogonal(q) -> bool:
    close = 10.0 * q.size(-2) * finfo(q.dtype).eps
    eye = ops.eye(q.size(-1), dtype=q.dtype)
    return ops.allclose(q.mT @ q, eye.expand(*q.shape[:-2], -1, -1), atol=close)


def _orthogonalised(a):
    """Q of the decomposition A = Q R whose R has no negative number on its diagonal."""
    q, r = linalg.qr(a)
    return q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def _reflections(a):
    """Vectors of the reflections whose product is that Q, below a diagonal of its columns' signs."""
    vectors, tau = ops.geqrf(a)
    signs = vectors.diagonal(dim1=-2, dim2=-1)
    signs.copy_(ops.where(tau == 0, -signs.sign(), signs.sign()))      # no reflection: the column as it is
    return vectors


class _Orthogonal(Module):
    """Any (*, n, k) to one with orthonormal columns, or rows if n < k.

    `base`, if there is one, is multiplied from the left, so that zero means the weight that was there:
    M. Lezcano-Casado, Trivializations for Gradient-Based Optimization on Manifolds, 2019.
    """

    def __init__(self, weight: Tensor, kind: str, *, use_trivialization: bool = True) -> None:
        super().__init__()
        self.shape, self.orthogonal_map = weight.shape, kind
        if weight.is_complex() and kind == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.size(-2) < x.size(-1)
        x = x.mT if wide else x
        q = self._reflected(x) if self.orthogonal_map == "householder" else self._rotated(x)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def _rotated(self, x):
        """exp, or the Cayley map, of the skew-symmetric matrix below whose diagonal stands x."""
        n, k = x.size(-2), x.size(-1)
        x = x.tril()
        if n != k:
            x = ops.cat([x, x.new_zeros(n, n - k).expand(*x.shape[:-2], -1, -1)], dim=-1)
        a = x - x.mH
        if self.orthogonal_map == "matrix_exp":
            return ops.matrix_exp(a)[..., :k]
        eye = ops.eye(n, dtype=a.dtype)
        return linalg.solve(ops.add(eye, a, alpha=-0.5), ops.add(eye, a, alpha=0.5))[..., :k]

    @staticmethod
    def _reflected(x):
        """The product of the reflections at the vectors below the diagonal."""
        a = x.tril(diagonal=-1)
        tau = 2.0 / (1.0 + (a * a).sum(dim=-2))
        q = linalg.householder_product(a, tau)
        return q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)

    @no_grad()
    def right_inverse(self, q: Tensor) -> Tensor:
        if q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a "
                             f"tensor of shape {q.shape}.")
        tall = q.mT if q.size(-2) < q.size(-1) else q
        if not hasattr(self, "base"):
            if self.orthogonal_map != "householder":
                raise NotImplementedError("It is not possible to assign to the matrix exponential or the Cayley "
                                          "parametrizations when use_trivialization=False.")
            return _reflections(tall) if tall is q else _reflections(tall).mT
        zero = ops.zeros(q.shape, dtype=q.dtype)
        zero.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        n, k = tall.shape[-2:]
        if n == k:
            self.base = q.clone() if _is_orthogonal(q) else _orthogonalised(tall)
        else:
            rest = ops.randn(*tall.shape[:-2], n, n - k, dtype=q.dtype)
            self.base = _orthogonalised(ops.cat([tall, rest], dim=-1))
        return zero


def orthogonal(module: Module, name: str = "weight", orthogonal_map: str | None = None, *,
               use_trivialization: bool = True) -> Module:
    """Keep a matrix, or batch of matrices, orthonormal in its columns (in its rows, if it is wide).

    Args:
        orthogonal_map: "matrix_exp" (default of square ones), "cayley" or "householder" (default of others).
        use_trivialization: begin at the weight that is there, orthogonalised.

    Raises:
        ValueError: no such tensor, fewer than two axes, or another map.
    """
    weight = _weight_of(module, name)
    if weight.ndim < 2:
        raise ValueError("Expected a matrix or batch of matrices. Got a tensor of "
                         f"{weight.ndim} dimensions.")
    if orthogonal_map is None:
        square = weight.size(-2) == weight.size(-1)
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError('orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
                         f"Got: {orthogonal_map}")
    made = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)


# -- length and direction ------------------------------------------------------------------------
class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g, weight_v):
        return scaled(weight_v, weight_g, self.dim)

    def right_inverse(self, weight):
        return lengths(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """w = g v / |v| with g for each index of `dim` (None: one for all): Salimans and Kingma, 2016.

    `original0` is g, `original1` is v; state dictionaries with `weight_g` and `weight_v` load as well.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def renamed(state_dict, prefix, *_):
        old = [f"{prefix}{name}_{letter}" for letter in "gv"]
        if all(key in state_dict for key in old):
            for k, key in enumerate(old):
                new = f"{prefix}parametrizations.{name}.original{k}"
                state_dict[new] = state_dict.pop(key)
    module._register_load_state_dict_pre_hook(renamed)
    return module


# -- largest singular value ----------------------------------------------------------------------
class _SpectralNorm(Module):
    """A weight over its largest singular value, found by the power method from where it last ended."""

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0,
                 eps: float = 1e-12) -> None:
        super().__init__()
        n = weight.ndim
        if not -n <= dim < n:
            raise IndexError("Dimension out of range (expected to be in range of "
                             f"[-{n}, {n - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError("Expected n_power_iterations to be positive, but got "
                             f"n_power_iterations={n_power_iterations}")
        self.dim, self.eps, self.n_power_iterations = dim % n, eps, n_power_iterations
        if n > 1:
            matrix = self._matrix(weight)
            for name, size in zip(("_u", "_v"), matrix.shape):
                start = matrix.new_empty(size).normal_(0, 1)
                self.register_buffer(name, F.normalize(start, dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _matrix(self, weight):
        return weight.movedim(self.dim, 0).flatten(1)

    @no_grad()
    def _iterate(self, matrix, times):
        for _ in range(times):
            self._u.copy_(F.normalize(ops.mv(matrix, self._v), dim=0, eps=self.eps))
            self._v.copy_(F.normalize(ops.mv(matrix.mT, self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / ops.vdot(u, ops.mv(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1,
                  eps: float = 1e-12, dim: int | None = None) -> Module:
    """Divide a weight by its largest singular value, estimated by power iterations in training.

    Args:
        dim: the axis of outputs; by default 0, in transposed convolutions 1.
    """
    weight = _weight_of(module, name)
    if dim is None:
        dim = int(isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)))
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, made)
