"""The names of linear algebra in the main namespace: torch.inverse, torch.det, torch.svd ..."""
from __future__ import annotations

import math

from .casting import listed
from .. import ops as o
from ..autograd.function import differentiable
from ..autograd.node import named
from ..errors import warn_once
from ..prims import linalg as p
from . import linalg as _l
from .linalg import order_of, row_order
from .promote import SAME, into
from ..return_types import return_type


def inverse(input, *, out=None):
    """The inverse of square matrices; linalg.inv."""
    return _l.inv(input, out=out)


def pinverse(input, rcond=1e-15):
    """The Moore-Penrose inverse; linalg.pinv."""
    return _l.pinv(input, rcond=rcond)


def det(input):
    """Determinants of square matrices; linalg.det."""
    return _l.det(input)


def slogdet(input, *, out=None):
    """(sign, logabsdet); linalg.slogdet."""
    return _l.slogdet(input, out=out)


def lobpcg(A, k=None, B=None, X=None, n=None, iK=None, niter=None, tol=None, largest=None, **options):
    """(eigenvalues, eigenvectors) of the k largest (least) eigenvalues; see ops/symmetric.py."""
    from .symmetric import lobpcg as pairs
    return pairs(A, k, B, X, n, iK, niter, tol, largest, **options)


def logdet(input):
    """log of the determinant; nan where it is negative."""
    sign, size = _l.slogdet(input)
    if sign.dtype.is_complex:
        return sign.log() + size
    return o.where(sign < 0, math.nan, size)


def _warn_of(old, new) -> None:
    warn_once(f"torch.{old} is deprecated in favor of torch.{new} and will be removed in a future PyTorch release.")


def cholesky(input, upper=False, *, out=None):
    """The triangular factor of positive-definite matrices; linalg.cholesky."""
    _warn_of("cholesky", "linalg.cholesky")
    _l.check_square(input, "cholesky", "cholesky_cpu")
    y = named(_l.cholesky_factor(input, upper, "cholesky"), "CholeskyBackward0")
    return y if out is None else into(out, y)


def _solve_rules():
    """A change of L is one of A = L L'; PyTorch does not cut its gradient to the triangle."""
    def right(g, _y, _b, L, *, upper):
        return cholesky_solve(g, L, upper)

    def factor(g, y, _b, L, *, upper):
        both = cholesky_solve(g, L, upper) @ y.mH
        both = both + both.mH
        return -(L @ both if upper else both @ L)
    return right, factor


@differentiable("CholeskySolveBackward0", vjp=_solve_rules())
def _cholesky_solve(b, L, *, upper):
    solve = _l.solve_triangular
    lower = L.mH if upper else L
    return solve(lower.mH, solve(lower, b, upper=False), upper=True)


def cholesky_solve(input, L, upper=False, *, out=None):
    """X with A X = input, A given by its triangular factor."""
    y = _l.columns(_cholesky_solve(input, L, upper=bool(upper)))
    return y if out is None else into(out, y)


def _inverse_rule(g, y, L, *, upper):
    both = y @ ((g + g.mH) @ y)
    return -(L @ both if upper else both @ L)


@differentiable("CholeskyInverseBackward0", vjp=(_inverse_rule,))
def _cholesky_inverse(L, *, upper):
    return _cholesky_solve(o.eye(L.shape[-1], dtype=L.dtype), L, upper=upper)


def cholesky_inverse(L, upper=False, *, out=None):
    """The inverse of the matrix whose triangular factor is given."""
    y = _l.columns(_cholesky_inverse(L, upper=bool(upper)))
    return y if out is None else into(out, y)


def qr(input, some=True, *, out=None):
    """(Q, R); linalg.qr."""
    _warn_of("qr", "linalg.qr")
    return return_type("qr", ("Q", "R"))(*_l.qr(input, "reduced" if some else "complete", out=out))


def svd(input, some=True, compute_uv=True, *, out=None):
    """(U, S, V) with input = U diag(S) V'; linalg.svd."""
    if not compute_uv:
        m, n = input.shape[-2:]
        shapes = [(*input.shape[:-2], k, k) for k in (m, n)]
        u, v = (input.new_zeros(s) for s in shapes)
        parts = u, _l.svdvals(input), v
    else:
        u, s, vh = _l.svd(input, full_matrices=not some)
        parts = u, s, vh.mH
    parts = parts if out is None else [into(t, x, SAME) for t, x in zip(out, parts, strict=True)]
    return return_type("svd", ("U", "S", "V"))(*parts)


def matrix_exp(input):
    """The exponential of square matrices."""
    return _l.matrix_exp(input)


def nuclear_norm(input, dim=(-2, -1), keepdim=False, *, out=None):
    """The sum of singular values."""
    return _l.matrix_norm(input, "nuc", dim, keepdim, out=out)


def frobenius_norm(input, dim, keepdim=False, *, out=None):
    """The square root of the sum of squares over `dim`."""
    return _l.vector_norm(input, 2, dim, keepdim, out=out)


def triangular_solve(input, A, upper=True, transpose=False, unitriangular=False):
    """(solution X with A X = input, copy of A)."""
    _warn_of("triangular_solve", "linalg.solve_triangular")
    a = A.mT if transpose else A
    x = _l.solve_triangular(a, input, upper=upper != transpose, unitriangular=unitriangular)
    parts = named(x, "TriangularSolveBackward0"), _l.columns(A.clone())
    return return_type("triangular_solve", ("solution", "cloned_coefficient"))(*parts)


def lu(A, pivot=True, get_infos=False, out=None):
    """(LU, pivots[, infos]); linalg.lu_factor_ex."""
    _warn_of("lu", "linalg.lu_factor")
    found = tuple(_l.lu_factor_ex(A, pivot=pivot))[:3 if get_infos else 2]
    return found if out is None else tuple(into(where, x) for where, x in zip(out, found, strict=True))


def lu_solve(b, LU_data, LU_pivots, *, out=None):
    """X with A X = b; linalg.lu_solve."""
    return _l.lu_solve(LU_data, LU_pivots, b, out=out)


def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True, *, out=None):
    """(P, L, U) from what lu_factor gave; what is not asked for is empty."""
    none = LU_data.new_empty((0,))
    P, L, U = none, none, none
    if unpack_pivots:
        P = row_order(order_of(LU_pivots, LU_data.shape[-2]), LU_data.dtype)
    if unpack_data:
        L, U = p.lower_factor(LU_data), LU_data[..., :min(LU_data.shape[-2:]), :].triu()
    return return_type("lu_unpack", ("P", "L", "U"))(P, L, U)


def orgqr(input, tau):
    """linalg.householder_product."""
    return _l.householder_product(input, tau)


def _no_rule(g, y, a):
    raise NotImplementedError("the derivative for 'geqrf' is not implemented.")


@differentiable("NotImplemented", vjp=(_no_rule,))
def _reflectors(a):
    return p.reflectors(a)


def geqrf(input, *, out=None):
    """(a, tau): R on and above the diagonal of a, below it the reflections whose product is Q, as LAPACK leaves them."""
    _l.check_matrix(input, "geqrf", "geqrf_cpu")
    parts = _l.unpacked(_reflectors(input), p.reflectors_shapes(*input.shape[-2:]))
    return _l.several("geqrf", ("a", "tau"), parts, out=out)


def ormqr(input, tau, other, left=True, transpose=False, *, out=None):
    """Q other, or other Q, for the square Q that is the product of the reflections (input, tau) of geqrf.

    Args:
        transpose: multiply by the adjoint of Q.
    """
    for name, x in (("input", input), ("tau", tau), ("other", other)):
        if x.dim() < 2 - (name == "tau"):
            raise RuntimeError(f"torch.ormqr: {name} must have at least {2 - (name == 'tau')} dimensions.")
    side = "other.shape[-2]" if left else "other.shape[-1]"
    if tau.shape[-1] > min(other.shape[-2 if left else -1], input.shape[-1]):
        raise RuntimeError(f"torch.ormqr: tau.shape[-1] must be equal to min({side}, input.shape[-1])")
    if not left:
        y = _l.columns(ormqr(input, tau, other.mH, True, not transpose).mH.clone())
        return y if out is None else into(out, y)
    m, k = other.shape[-2], tau.shape[-1]
    if input.shape[-2] != m:
        raise RuntimeError(f"torch.ormqr: other.shape[-2] must be equal to input.shape[-2], found {m} and "
                           f"{input.shape[-2]}")
    v = (input.tril(-1) + o.eye(*input.shape[-2:], dtype=input.dtype))[..., :k]
    y = other
    for i in range(k) if transpose else reversed(range(k)):
        column, factor = v[..., i:i + 1], tau[..., i, None, None]
        y = y - o.matmul((factor.conj() if transpose else factor) * column, o.matmul(column.mH, y))
    y = _l.columns(y if tau.shape[-1] else y.clone())
    return y if out is None else into(out, y)


listed(globals())
