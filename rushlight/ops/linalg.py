"""Dense linear algebra: the functions of torch.linalg.

Those that fail on some values (inv, solve, cholesky, lu_factor) compute at once, as PyTorch waits
for them: `except torch.linalg.LinAlgError` works where the call stands.
"""
from __future__ import annotations

import math

from .casting import listed
from .. import dtypes
from .. import ops as o
from ..autograd.function import differentiable
from ..autograd.node import is_tracked, named
from ..errors import LinAlgError as LinAlgError
from ..layout import broadcast_shapes, packed as row_by_row, transpose, wrap_dim
from ..prims import linalg as p
from ..tensor import Tensor
from ..trace.record import pending
from .formats import laid_out
from .promote import SAME, into
from ..return_types import return_type
from .reduce import vector_norm as vector_norm
from .shape import contiguous_format
from .support import legacy_name, refuse

FULL = (dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128)


# -- what can be refused before anything runs ------------------------------------------------------

def check_matrix(a, name, kernel=None, arg="A"):
    """Floating point of full width and at least two axes."""
    if a.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor {arg} must have at least 2 dimensions.")
    if a.dtype.rank < 2:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got "
                           f"{legacy_name(a.dtype)}")
    if a.dtype not in FULL:
        if kernel is not None:
            refuse(kernel, a.dtype)
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got "
                           f"{legacy_name(a.dtype)}")


def check_square(a, name, kernel=None):
    if a.dim() >= 2 and a.shape[-1] != a.shape[-2]:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are "
                           f"{a.shape[-2]} by {a.shape[-1]} matrices")
    check_matrix(a, name, kernel)


def check_same_dtype(a, b, name):
    if a.dtype is not b.dtype:
        raise RuntimeError(f"{name}: Expected A and B to have the same dtype, but found A of type "
                           f"{legacy_name(a.dtype)} and B of type {legacy_name(b.dtype)} instead")


def has_values() -> bool:
    """Whether tensors can be looked at; inside of vmap they stand for many."""
    return pending.capture is None


def settled(y, out=None):
    """Computed now, so that what fails, fails at the call; inside of vmap there is no value yet."""
    if has_values():
        y._array()
    return y if out is None else into(out, y, SAME)


def placed(y, out):
    return y if out is None else into(out, y, SAME)


def converted(y, out):
    """Put where `out` says, which may be of a wider dtype."""
    return y if out is None else into(out, y)


def several(name, fields, parts, backward=None, out=None):
    """A named tuple of results."""
    if backward is not None:
        parts = [named(x, backward) for x in parts]
    if out is not None:
        parts = [into(where, x, SAME) for where, x in zip(out, parts, strict=True)]
    return return_type(name, fields)(*parts)


def unpacked(packed, shapes):
    """The results of a factorisation, each with memory of its own."""
    return [columns(x.clone()) if len(shape) > 1 else x.clone(memory_format=contiguous_format)
            for x, shape in zip(p.take_apart(packed, *shapes), shapes)]


def columns(y):
    """y, a fresh result, with its matrices column by column, as LAPACK leaves them."""
    if not has_values():
        return y
    *batch, m, n = y.layout.shape
    return laid_out(y, transpose(row_by_row((*batch, n, m)), y.layout.ndim - 2, y.layout.ndim - 1))


# -- inverses and equations ------------------------------------------------------------------------

def inv(A, *, out=None):
    """The inverse of square matrices (*, n, n); LinAlgError if one is singular."""
    check_square(A, "linalg.inv")
    return settled(columns(p.inv(A, said="linalg.inv")), out)


def inv_ex(A, *, check_errors=False, out=None):
    """(inverse, info): info is the place of a zero pivot, 0 where there is an inverse."""
    check_square(A, "linalg.inv")
    info = p.first_zero_pivot(A.detach()).to(dtypes.int32)
    if check_errors or has_values() and not bool((info != 0).any()):
        return several("linalg_inv_ex", ("inverse", "info"), [inv(A), info], out=out)
    bad = (info != 0).unsqueeze(-1).unsqueeze(-1)
    safe = o.where(bad, o.eye(A.shape[-1], dtype=A.dtype), A)
    y = o.where(bad, math.nan, p.inv(safe, said="linalg.inv"))
    return several("linalg_inv_ex", ("inverse", "info"), [columns(y), info], out=out)


def solve(A, B, *, left=True, out=None):
    """X with A X = B (left) or X A = B; B (*, n, k), or vectors (*, n); LinAlgError if singular."""
    check_same_dtype(A, B, "linalg.solve")
    check_square(A, "linalg.solve")
    return placed(_solved(A, B, left), out)


def _solved(a, b, left):
    is_vector = b.dim() == 1 or a.dim() - 1 == b.dim() and a.shape[:-1] == b.shape
    if not is_vector and b.dim() < 2:
        raise RuntimeError("linalg.solve: The input tensor B must have at least 2 dimensions.")
    if is_vector:
        return _solved(a, b.unsqueeze(-1), True).squeeze(-1)
    if not left:
        return _solved(a.mT, b.mT, True).mT
    a, b = _aligned(a, b, "linalg.solve")
    return settled(columns(p.solve(a, b, said="torch.linalg.solve")))


def _aligned(a, b, name, left=True):
    """Leading axes broadcast against each other."""
    rows = b.shape[-2] if left else b.shape[-1]
    if rows != a.shape[-1]:
        equation = "AX = B" if left else "XA = B"
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {equation} "
                           f"({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})")
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (x if x.shape[:-2] == batch else x.expand(*batch, *x.shape[-2:]) for x in (a, b))


def solve_ex(A, B, *, left=True, check_errors=False, out=None):
    """(result, info): info is the place of a zero pivot, 0 where A is regular."""
    check_square(A, "linalg.solve")
    info = p.first_zero_pivot(A.detach()).to(dtypes.int32)
    if not check_errors and has_values() and bool((info != 0).any()):
        raise NotImplementedError("linalg.solve_ex: the result for singular matrices")
    return several("linalg_solve_ex", ("result", "info"), [solve(A, B, left=left), info], out=out)


def solve_triangular(A, B, *, upper, left=True, unitriangular=False, out=None):
    """X with A X = B (left) or X A = B, of which only one triangle of A is read."""
    check_same_dtype(A, B, "linalg.solve_triangular")
    for x, arg in ((A, "A"), (B, "B")):
        if x.dim() < 2:
            raise RuntimeError(f"linalg.solve_triangular: The input tensor {arg} must have at "
                               "least 2 dimensions.")
    if A.dtype not in FULL:
        refuse("triangular_solve_cpu", A.dtype)
    check_square(A, "linalg.solve_triangular")
    a, b = _aligned(A, B, "linalg.solve_triangular", left)
    if left:
        y = columns(p.solve_triangular(a, b, upper=bool(upper), unitriangular=bool(unitriangular)))
    else:
        y = p.solve_triangular(a.mT, b.mT, upper=not upper, unitriangular=bool(unitriangular)).mT
    return placed(y, out)


def lstsq(A, B, rcond=None, *, driver=None):
    """Least squares min |A X - B|: (solution, residuals, rank, singular_values).

    Args:
        A, B: (*, m, n) and (*, m, k), or vectors (*, m).
        rcond: singular values at most rcond times the largest count as zero.
        driver: 'gelsy' (default), 'gels', 'gelsd' or 'gelss'; says which results are given.
    """
    name, driver = "torch.linalg.lstsq", driver or "gelsy"
    if A.dim() < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if A.dtype is not B.dtype:
        raise RuntimeError(f"{name}: Expected input and other to have the same dtype, but got "
                           f"input's dtype {legacy_name(A.dtype)} and other's dtype "
                           f"{legacy_name(B.dtype)}")
    if driver not in ("gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, "
                           f"gelss)")
    check_matrix(A, name, "linalg_lstsq_cpu")
    m, n = A.shape[-2:]
    is_vector = B.dim() == 1 or A.dim() - 1 == B.dim() and A.shape[:-1] == B.shape
    b = B.unsqueeze(-1) if is_vector else B
    rtol = dtypes.finfo(A.dtype).eps * max(m, n) if rcond is None else float(rcond)
    back = _pinv_of_full_rank(A, rtol)
    x = o.matmul(p.pinv(A, rtol=rtol, atol=0.0) if back is None else back, b)
    x = columns(named(x, "LinalgLstsqBackward0"))
    return return_type("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))(
        x.squeeze(-1) if is_vector else x, *_fit(A, b, x, rtol, driver, back is not None))


@differentiable("LinalgPinvBackward0", vjp=(lambda g, y, A: p.pinv.vjp[0](g, y, A),))
def _pinv_by_reflections(A):
    """(1 / R) Q' of matrices of full rank with no more columns than rows."""
    q, r = p.take_apart(p.qr(A, mode="reduced"), *p.qr_shapes(*A.shape[-2:], "reduced"))
    return p.solve_triangular(r, q.mH, upper=True, unitriangular=False)


def _pinv_of_full_rank(A, rtol):
    """The pseudo-inverse by QR; None if a singular value may count as zero: all exceed 1 / |pinv|, and none exceeds |A|."""
    if not has_values() or not A.numel():
        return None
    y = _pinv_by_reflections(A) if A.shape[-2] >= A.shape[-1] else _pinv_by_reflections(A.mH).mH
    spread = vector_norm(y.detach(), 2, (-2, -1)) * vector_norm(A.detach(), 2, (-2, -1))
    return y if bool((spread * rtol < 1).all()) else None


def _fit(a, b, x, rtol, driver, is_full):
    """residuals, rank and singular values, as far as PyTorch's driver gives them."""
    m, n = a.shape[-2:]
    none = a.detach().abs().new_zeros((0,))
    s = none if is_full and driver in ("gels", "gelsy") else svdvals(a.detach())
    rank = o.full(a.shape[:-2], min(m, n), dtype=dtypes.int64) if is_full else _rank(a, s, rtol)
    has_rest = m > n and driver != "gelsy" and (driver == "gels" or bool((rank == n).all()))
    residuals = (o.matmul(a, x) - b).abs().square().sum(-2) if has_rest else none
    return (residuals, none.long() if driver == "gels" else rank,
            s if driver in ("gelsd", "gelss") else none)


def _rank(a, s, rtol):
    """How many singular values exceed rtol times the largest."""
    return (s > rtol * s[..., :1]).sum(-1) if min(a.shape[-2:]) else a.new_zeros(a.shape[:-2]).long()


def pinv(A, *, atol=None, rtol=None, hermitian=False, rcond=None, out=None):
    """The Moore-Penrose inverse; singular values up to max(atol, rtol * largest) count as zero."""
    if A.dim() < 2 or A.dtype not in FULL:
        raise RuntimeError(f"linalg.pinv({legacy_name(A.dtype)}{{{list(A.shape)}}}): expected a "
                           "tensor with 2 or more dimensions of float, double, cfloat or cdouble "
                           "types")
    atol, rtol = _tolerances(A, atol, rtol if rcond is None else rcond)
    if hermitian:
        A = _from_triangle(A)
    each = isinstance(atol, Tensor) or isinstance(rtol, Tensor)
    return converted(_pinv_of_each(A, atol, rtol) if each else p.pinv(A, rtol=rtol, atol=atol), out)


def _pinv_of_each(A, atol, rtol):
    """With tolerances (*, 1), one for each matrix."""
    atol, rtol = (o.broadcast_to(o.as_tensor(t), (*A.shape[:-2], 1)).flatten().tolist() for t in (atol, rtol))
    matrices = A.reshape(-1, *A.shape[-2:])
    return o.stack([p.pinv(a, rtol=r, atol=t) for a, t, r in zip(matrices, atol, rtol, strict=True)]).reshape(A.mT.shape)


@differentiable("LinalgPinvBackward0", vjp=(lambda g, _y, A: (g + g.mH) / 2,))
def _from_triangle(A):
    """The symmetric matrices whose lower triangles are A's, real on the diagonal; the gradient is symmetric, too."""
    below, diagonal = A.tril(-1), A.diagonal(0, -2, -1)
    return below + below.mH + o.diag_embed(diagonal.real.to(A.dtype) if A.dtype.is_complex else diagonal)


def _tolerances(a, atol, rtol):
    """Numbers, or columns with one for each matrix; by default eps times the longer side, unless an absolute one is given."""
    atol, rtol = (t if t is None else t.unsqueeze(-1) if isinstance(t, Tensor) and t.dim() else float(t) for t in (atol, rtol))
    if rtol is None:
        default = dtypes.finfo(a.dtype).eps * max(a.shape[-2:])
        rtol = o.where(atol > 0, 0.0, default) if isinstance(atol, Tensor) else 0.0 if atol else default
    return 0.0 if atol is None else atol, rtol


# -- determinants ----------------------------------------------------------------------------------

def det(A, *, out=None):
    """Determinants of (*, n, n)."""
    check_square(A, "linalg.det", "lu_cpu")
    return placed(p.det(A), out)


def slogdet(A, *, out=None):
    """(sign, logabsdet): det = sign * exp(logabsdet); sign 0 and -inf for singular matrices."""
    check_square(A, "linalg.slogdet")
    return several("linalg_slogdet", ("sign", "logabsdet"), [p.sign_of_det(A), p.log_abs_det(A)], out=out)


# -- factorisations --------------------------------------------------------------------------------

def cholesky(A, *, upper=False, out=None):
    """L with A = L L' of positive-definite matrices (upper: U with A = U' U); else LinAlgError."""
    check_square(A, "linalg.cholesky", "cholesky_cpu")
    return placed(cholesky_factor(A, upper, "linalg.cholesky"), out)


@differentiable("LinalgCholeskyExBackward0", vjp=(lambda g, _y, _a: g,))
def _by_upper_triangle(a):
    """The adjoint, which is the same matrix: its gradient is the matrix's."""
    return a.mH


def cholesky_factor(a, upper, said, check=True):
    a = _by_upper_triangle(a) if upper else a
    y = settled(p.cholesky(a, said=said, check=check))
    return columns(y.mH.clone() if upper else y)


def cholesky_ex(A, *, upper=False, check_errors=False, out=None):
    """(L, info): info is the order of the first minor that is not positive, or 0."""
    check_square(A, "linalg.cholesky", "cholesky_cpu")
    a = A.mH if upper else A
    info = p.first_indefinite_minor(a.detach()).to(dtypes.int32)
    y = cholesky_factor(A, upper, "linalg.cholesky_ex", check_errors)
    return several("linalg_cholesky_ex", ("L", "info"), [y, info], out=out)


def qr(A, mode="reduced", *, out=None):
    """(Q, R) with A = Q R: mode 'reduced', 'complete' (Q is square) or 'r' (Q is empty)."""
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' "
                           "(default), 'r', or 'complete'")
    check_matrix(A, "linalg.qr", "geqrf_cpu")
    if mode == "r" and is_tracked(A):
        raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when "
                           "mode='r'. Please use linalg.qr(A, mode='reduced') if you are going to "
                           "require gradients.")
    kind = "reduced" if mode == "r" else mode
    q, r = unpacked(p.qr(A, mode=kind), p.qr_shapes(*A.shape[-2:], kind))
    q = A.new_empty((0,)) if mode == "r" else q
    return several("linalg_qr", ("Q", "R"), [q, r], "LinalgQrBackward0", out)


def _lower(uplo):
    if uplo.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {uplo}")
    return uplo.upper() == "L"


def _check_symmetric(a):
    if a.dim() >= 2 and a.dtype not in FULL:
        refuse("linalg_eigh_cpu", a.dtype)
    check_square(a, "linalg.eigh")


def eigh(A, UPLO="L", *, out=None):
    """(eigenvalues, eigenvectors) of symmetric matrices, ascending; one triangle is read."""
    _check_symmetric(A)
    w, v = unpacked(p.eigh(A, lower=_lower(UPLO)), p.eigh_shapes(*A.shape[-2:]))
    parts = [o.real_part(w), v]
    return several("linalg_eigh", ("eigenvalues", "eigenvectors"), parts, "LinalgEighBackward0",
                   out)


def eigvalsh(A, UPLO="L", *, out=None):
    """Eigenvalues of symmetric matrices, ascending."""
    _check_symmetric(A)
    lower = _lower(UPLO)
    if not is_tracked(A):
        return placed(p.eigvalsh(A, lower=lower), out)
    packed = _eigh_for_values(A, lower=lower)
    w = o.real_part(unpacked(packed, p.eigh_shapes(*A.shape[-2:]))[0])
    return placed(named(w, "LinalgEighBackward0"), out)


def _eigenvalue_gradient(g, y, A, *, lower):
    """By the vectors that are there; by new ones if they are to be differentiated."""
    shapes = p.eigh_shapes(*A.shape[-2:])
    v = p.take_apart(p.eigh(A, lower=lower) if is_tracked(A) else y, *shapes)[1]
    return o.matmul(v * p.take_apart(g, *shapes)[0].unsqueeze(-2), v.mH)


@differentiable("LinalgEighBackward0", vjp=(_eigenvalue_gradient,))
def _eigh_for_values(A, *, lower):
    return p.eigh(A, lower=lower)


def eig(A, *, out=None):
    """(eigenvalues, eigenvectors) of square matrices, both complex; vectors are columns of length 1."""
    _check_eig(A)
    parts = unpacked(p.eig(A), p.eig_shapes(*A.shape[-2:]))
    return several("linalg_eig", ("eigenvalues", "eigenvectors"), parts, "LinalgEigBackward0", out)


def _check_eig(a):
    check_square(a, "linalg.eig", "linalg_eig")
    if has_values() and not bool(o.isfinite(a.detach()).all()):
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")


def eigvals(A, *, out=None):
    """Eigenvalues of square matrices, complex."""
    _check_eig(A)
    return placed(p.eigvals(A), out)


def svd(A, full_matrices=True, *, driver=None, out=None):
    """(U, S, Vh) with A = U diag(S) Vh, S descending; square U and Vh if full_matrices."""
    check_matrix(A, "linalg.svd", "linalg_svd_cpu")
    full = bool(full_matrices)
    u, s, vh = unpacked(p.svd(A, full=full), p.svd_shapes(*A.shape[-2:], full))
    parts = [u, o.real_part(s), vh]
    return several("linalg_svd", ("U", "S", "Vh"), parts, "LinalgSvdBackward0", out)


def svdvals(A, *, driver=None, out=None):
    """Singular values, descending."""
    check_matrix(A, "linalg.svd", "linalg_svd_cpu")
    if not is_tracked(A):
        return placed(p.svdvals(A), out)
    s = o.real_part(unpacked(_svd_for_values(A), p.svd_shapes(*A.shape[-2:], False))[1])
    return placed(named(s, "LinalgSvdBackward0"), out)


def _singular_value_gradient(g, y, A):
    """By the vectors that are there; by new ones if they are to be differentiated."""
    shapes = p.svd_shapes(*A.shape[-2:], False)
    u, _, vh = p.take_apart(p.svd(A, full=False) if is_tracked(A) else y, *shapes)
    return o.matmul(u * p.take_apart(g, *shapes)[1].unsqueeze(-2), vh)


@differentiable("LinalgSvdBackward0", vjp=(_singular_value_gradient,))
def _svd_for_values(A):
    return p.svd(A, full=False)


def lu_factor(A, *, pivot=True, out=None):
    """(LU, pivots): both factors in one matrix, and the row (from 1) that each row swapped with."""
    lu, pivots, info = lu_factor_ex(A, pivot=pivot)
    info = info.reshape(-1).tolist() if has_values() and bool(info.any()) else []
    at = next((i for i, n in enumerate(info) if n), None)
    if at is not None:
        place = info[at]
        which = p._element(at, A.dim())
        raise RuntimeError(f"torch.linalg.lu_factor: {which}U[{place},{place}] is zero and using "
                           "it on lu_solve would result in a division by zero. If you still want "
                           "to perform the factorization, consider calling linalg.lu(A, pivot) or "
                           "linalg.lu_factor_ex(A, pivot)")
    return several("linalg_lu_factor", ("LU", "pivots"), [lu, pivots], out=out)


def lu_factor_ex(A, *, pivot=True, check_errors=False, out=None):
    """(LU, pivots, info): as lu_factor, with the place of a zero pivot instead of an error."""
    if A.dim() < 2:
        raise RuntimeError("torch.lu_factor: Expected tensor with 2 or more dimensions. Got size: "
                           f"{list(A.shape)} instead")
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    if A.dtype not in FULL:
        refuse("lu_cpu", A.dtype)
    packed = p.lu(A)
    both, swaps, info = p.take_apart(packed, *p.lu_shapes(*A.shape[-2:]))
    swaps, info = (o.real_part(x.detach()).to(dtypes.int32) for x in (swaps, info))
    return several("linalg_lu_factor_ex", ("LU", "pivots", "info"), [columns(both.clone()), swaps + 1, info.squeeze(-1)],
                   "LinalgLuFactorExBackward0", out)


def lu(A, *, pivot=True, out=None):
    """(P, L, U) with A = P L U."""
    check_matrix(A, "linalg.lu", "lu_cpu")
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    m, n = A.shape[-2:]
    packed, k = p.lu(A), min(m, n)
    both, rows = p.take_apart(packed, *p.lu_shapes(m, n))[0], p.order_of(packed, m, n)
    factors = [named(y, "LinalgLuBackward0") for y in (p.lower_factor(both), both[..., :k, :].triu())]
    parts = [row_order(rows, A.dtype), *factors]
    return several("linalg_lu", ("P", "L", "U"), parts, out=out)


def row_order(rows, dtype):
    """The permutation matrix that puts row k of a matrix where rows[k] says."""
    return (o.arange(rows.shape[-1]).unsqueeze(-1) == rows.unsqueeze(-2)).to(dtype)


def order_of(pivots, n):
    """The order of n rows after swaps (counted from 1)."""
    return p.rows_after(pivots.detach().to(dtypes.int64) - 1, n=n)


def lu_solve(LU, pivots, B, *, left=True, adjoint=False, out=None):
    """X with A X = B (X A = B, A' X = B), A given by lu_factor."""
    if not left:
        return placed(lu_solve(LU, pivots, B.mH, adjoint=not adjoint).mH, out)
    rows = order_of(pivots, LU.shape[-1])
    lu, b = _aligned(LU, B, "linalg.lu_solve")
    if adjoint:
        y = p.solve_triangular(lu.mH, b, upper=False, unitriangular=False)
        y = p.solve_triangular(lu.mH, y, upper=True, unitriangular=True)
        return placed(columns(o.matmul(row_order(rows, y.dtype), y)), out)
    y = o.matmul(row_order(rows, b.dtype).mT, b)
    y = p.solve_triangular(lu, y, upper=False, unitriangular=True)
    return placed(columns(p.solve_triangular(lu, y, upper=True, unitriangular=False)), out)


def householder_product(A, tau, *, out=None):
    """The first n columns of the product of reflections I - tau v v', v below the diagonal of A."""
    check_matrix(A, "linalg.householder_product", "orgqr_cpu")
    m, n = A.shape[-2:]
    v = A.tril(-1) + o.eye(m, n, dtype=A.dtype)
    y = o.eye(m, n, dtype=A.dtype).expand(A.shape)
    for k in reversed(range(tau.shape[-1])):
        column = v[..., k:k + 1]
        y = y - o.matmul(tau[..., k, None, None] * column, o.matmul(column.mH, y))
    return converted(columns(named(y, "LinalgHouseholderProductBackward0")), out)


# -- norms and ranks -------------------------------------------------------------------------------

def norm(A, ord=None, dim=None, keepdim=False, *, dtype=None, out=None):
    """A matrix norm if dim names two axes, or of a matrix with an ord; a vector norm else."""
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype, out=out)
    if dim is None and A.dim() not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D "
                           f"or 2D. Got {A.dim()}D.")
    if isinstance(ord, str):
        return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    dim = tuple(range(A.dim())) if dim is None else dim
    dim = (dim,) if isinstance(dim, int) else tuple(dim)
    call = matrix_norm if len(dim) == 2 else vector_norm
    return call(A, ord, dim, keepdim, dtype=dtype, out=out)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """Norms of matrices on two axes: 'fro', 'nuc', inf, -inf, 1, -1, 2, -2."""
    name = "linalg.matrix_norm"
    if isinstance(ord, str) and ord not in ("fro", "nuc"):
        raise RuntimeError(f"{name}: Order {ord} not supported.")
    a = A if dtype is None else A.to(dtypes.as_dtype(dtype))
    if a.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if a.dtype.rank < 2:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got "
                           f"{legacy_name(a.dtype)}")
    if isinstance(dim, int) or len(dim) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {dim}")
    rows, columns = (wrap_dim(d, a.dim()) for d in dim)
    if rows == columns:
        raise RuntimeError(f"{name}: dims must be different. Got ({rows}, {columns})")
    if ord not in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise RuntimeError(f"{name}: Order {ord} not supported.")
    return placed(_matrix_norm(a, ord, rows, columns, keepdim), out)


def _matrix_norm(a, ord, rows, columns, keepdim):
    if ord == "fro":
        return vector_norm(a, 2, (rows, columns), keepdim)
    if ord in ("nuc", 2, -2):
        s = svdvals(a.movedim((rows, columns), (-2, -1)))
        y = s.sum(-1) if ord == "nuc" else s.amax(-1) if ord == 2 else s.amin(-1)
        return y.unsqueeze(min(rows, columns)).unsqueeze(max(rows, columns)) if keepdim else y
    folded, rest = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = vector_norm(a, 1, folded, True)
    y = sums.amax(rest, True) if ord > 0 else sums.amin(rest, True)
    return y if keepdim else y.squeeze((rows, columns))


def cond(A, p=None, *, out=None):
    """Condition numbers: the norm of A times that of its inverse (2-norm by default)."""
    if A.dim() < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if p in (None, 2, -2):
        s = svdvals(A)
        y = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
        return converted(y, out)
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    check_square(A, f"linalg.cond(ord={p})")
    back, info = inv_ex(A)
    y = matrix_norm(A, p) * matrix_norm(back, p)
    return converted(o.where(info != 0, math.inf, y) if not has_values() or bool((info != 0).any()) else y, out)


def matrix_rank(A, *, atol=None, rtol=None, hermitian=False, tol=None, out=None):
    """How many singular values exceed max(atol, rtol * largest), int64 (*)."""
    if A.dim() < 2:
        raise RuntimeError("torch.linalg.matrix_rank: The input tensor input must have at least 2 "
                           "dimensions.")
    if A.dtype not in FULL:
        raise RuntimeError("This function doesn't handle types other than float and double")
    s = eigvalsh(A).abs() if hermitian else svdvals(A)
    if tol is not None:
        return converted((s > tol).sum(-1), out)
    atol, rtol = _tolerances(A, atol, rtol)
    largest = s.amax(-1, True) if s.shape[-1] else s.sum(-1, True)
    return converted((s > (largest * rtol).clamp(min=atol)).sum(-1), out)


# -- products and functions ------------------------------------------------------------------------

def matrix_exp(A):
    """The exponential of square matrices."""
    check_square(A if A.dtype.rank != 2 else A.detach().to(dtypes.float32), "linalg.matrix_exp")
    return p.matrix_exp(A)


def matrix_power(A, n, *, out=None):
    """A multiplied by itself n times; negative n: powers of the inverse."""
    if A.dim() < 2:
        raise RuntimeError("linalg.matrix_power: The input tensor A must have at least 2 "
                           "dimensions.")
    if A.shape[-1] != A.shape[-2]:
        check_square(A, "linalg.matrix_power")
    return converted(o.matrix_power(A, n), out)


def multi_dot(tensors, *, out=None):
    """The product of two or more matrices in the cheapest order; the ends may be vectors."""
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    for k, x in enumerate(tensors):
        allowed = (1, 2) if k in (0, len(tensors) - 1) else (2,)
        if x.dim() not in allowed:
            needed = "1D or 2D" if len(allowed) > 1 else "2D"
            raise RuntimeError(f"multi_dot(): tensor {k} must be {needed} but got {x.dim()}D")
    is_row, is_column = tensors[0].dim() == 1, tensors[-1].dim() == 1
    if is_row:
        tensors[0] = tensors[0].unsqueeze(0)
    if is_column:
        tensors[-1] = tensors[-1].unsqueeze(1)
    y = o.chain_matmul(*tensors)
    y = y.squeeze(-1) if is_column else y
    return placed(y.squeeze(0) if is_row else y, out)


def cross(input, other, *, dim=-1, out=None):
    """Cross products of vectors of three along `dim`."""
    if input.dim() != other.dim():
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    wrap_dim(dim, input.dim())
    if input.shape[dim] != 3 or other.shape[dim] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got "
                           f"{input.shape[dim]} and {other.shape[dim]}")
    return placed(o.cross(input, other, dim=dim), out)


def vecdot(x, y, *, dim=-1, out=None):
    """Dot products along `dim`."""
    return placed((x.conj() * y).sum(dim), out)


def diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """Diagonals of matrices (the last two axes), as a view."""
    return o.diagonal(A, offset, dim1, dim2)


def matmul(input, other, *, out=None):
    """The matrix product; torch.matmul."""
    return placed(o.matmul(input, other), out)


def vander(x, N=None):
    """Powers 0 .. N - 1 of the elements of x (*, n): (*, n, N)."""
    x = x.reshape(1) if x.dim() == 0 else x
    n = x.shape[-1] if N is None else N
    if n <= 1 and N is not None:
        raise RuntimeError("N must be greater than 1.")
    wide = x.unsqueeze(-1)
    return o.cat([o.ones_like(wide), wide.expand(*x.shape, n - 1).cumprod(-1).to(x.dtype)], -1) \
        if n > 1 else o.ones_like(wide)


def tensorsolve(A, B, dims=None, *, out=None):
    """X with tensordot(A, X, X.dim()) = B."""
    if dims is not None:
        axes = [wrap_dim(d, A.dim()) for d in dims]
        A = A.movedim(axes, tuple(range(-len(axes), 0)))
    shape = A.shape[B.dim():]
    if math.prod(shape) != math.prod(A.shape[:B.dim()]):
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[other.ndim:]) "
                           f"== prod(self.shape[:other.ndim]), but got {math.prod(shape)} != "
                           f"{math.prod(A.shape[:B.dim()])}")
    y = solve(A.reshape(math.prod(shape), -1), B.reshape(-1))
    return converted(y.reshape(shape), out)


def tensorinv(A, ind=2, *, out=None):
    """The inverse of the map that tensordot with A is, of its first `ind` axes."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    rows, columns = A.shape[:ind], A.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[ind:]) == "
                           f"prod(self.shape[:ind]), but got {math.prod(columns)} != "
                           f"{math.prod(rows)}")
    y = inv(A.reshape(math.prod(rows), -1))
    return converted(y.reshape(*columns, *rows), out)


listed(globals())


from .symmetric import ldl_factor as ldl_factor, ldl_factor_ex as ldl_factor_ex, ldl_solve as ldl_solve     # noqa: E402
