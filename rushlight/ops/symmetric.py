"""Symmetric matrices: Bunch and Kaufman's factorisation, and some eigenpairs of large ones."""
from __future__ import annotations

import math

import numpy as np

from .. import dtypes
from .. import ops as o
from ..autograd.node import is_tracked
from .linalg import check_square, columns, placed, several

ALPHA = (1 + math.sqrt(17)) / 8         # the bound that makes one step of size 2 grow as two of size 1


# -- LDL^T -----------------------------------------------------------------------------------------
def ldl_factor(A, *, hermitian=False, out=None):
    """(LD, pivots) with A = P L D L' P', D of blocks of size 1 and 2; see `ldl_solve`.

    L' is the adjoint of L if `hermitian` is given, else its transpose, for complex numbers, too.
    """
    ld, pivots, info = _factored(A, hermitian, "torch.linalg.ldl_factor")
    if (info > 0).any():
        raise RuntimeError(f"torch.linalg.ldl_factor: the block D[{int(info.max())}] is zero: the matrix is singular")
    return several("linalg_ldl_factor", ("LD", "pivots"), [columns(o.tensor(ld)), o.tensor(pivots)], out=out)


def ldl_factor_ex(A, *, hermitian=False, check_errors=False, out=None):
    """(LD, pivots, info): as ldl_factor; info is the place of a zero in D (from 1) instead of an error."""
    ld, pivots, info = _factored(A, hermitian, "torch.linalg.ldl_factor_ex")
    if check_errors and (info > 0).any():
        raise RuntimeError(f"torch.linalg.ldl_factor_ex: the block D[{int(info.max())}] is zero")
    return several("linalg_ldl_factor_ex", ("LD", "pivots", "info"),
                   [columns(o.tensor(ld)), o.tensor(pivots), o.tensor(info)], out=out)


def _factored(A, hermitian, name):
    check_square(A, name if name.endswith("_ex") else name + "_ex", "ldl_factor_cpu")
    a = np.tril(A.detach()._array())
    shape, n = a.shape[:-2], a.shape[-1]
    flat = np.ascontiguousarray(a).reshape(math.prod(shape), n, n)
    done = [factor(m, hermitian) for m in flat]
    pivots = np.array([p for p, _ in done], np.int32).reshape(*shape, n)
    return flat.reshape(*shape, n, n), pivots, np.array([i for _, i in done], np.int32).reshape(shape)


def factor(a, hermitian=False):
    """(pivots, info) of one lower triangle, which becomes L and D, by LAPACK's choice of pivots (sytf2, hetf2)."""
    n, pivots, info, k = len(a), [], 0, 0
    mirrored = _mirror(a, hermitian)
    if mirrored is np.conj:
        np.fill_diagonal(a, a.diagonal().real)
    while k < n:
        step, p, is_zero = _choose(a, k)
        if is_zero:
            info = info or k + 1
        else:
            _swap(a, k, k + step - 1, p, step, mirrored)
            (_eliminate if step == 1 else _eliminate_two)(a, k, mirrored)
        pivots += [p + 1] if step == 1 else [-(p + 1)] * 2
        k += step
    return pivots, info


def _mirror(a, hermitian):
    """What the upper triangle holds of an element of the lower one."""
    return np.conj if hermitian and np.iscomplexobj(a) else np.asarray


def _size(x):
    """LAPACK's measure of pivots."""
    return np.abs(x.real) + np.abs(x.imag) if np.iscomplexobj(x) else np.abs(x)


def _choose(a, k):
    """(size of the step, row to swap with, whether the column is zero)."""
    below = _size(a[k + 1:, k])
    here, largest = _size(a[k, k]), below.max(initial=0)
    if max(here, largest) == 0 or math.isnan(here):
        return 1, k, True
    if here >= ALPHA * largest:
        return 1, k, False
    row = k + 1 + int(below.argmax())
    across = max(_size(a[row, k:row]).max(initial=0), _size(a[row + 1:, row]).max(initial=0))
    if here >= ALPHA * largest * (largest / across):
        return 1, k, False
    return (1 if _size(a[row, row]) >= ALPHA * across else 2), row, False


def _swap(a, k, i, p, step, mirrored):
    """Rows and columns i and p > i of the trailing triangle exchanged."""
    if p == i:
        return
    a[p + 1:, [i, p]] = a[p + 1:, [p, i]]
    a[i + 1:p, i], a[p, i + 1:p] = mirrored(a[p, i + 1:p].copy()), mirrored(a[i + 1:p, i].copy())
    a[p, i] = mirrored(a[p, i])
    a[i, i], a[p, p] = a[p, p], a[i, i]
    if step == 2:
        a[k + 1, k], a[p, k] = a[p, k], a[k + 1, k]


def _eliminate(a, k, mirrored):
    x = a[k + 1:, k].copy()
    scaled = x * (1 / a[k, k])
    a[k + 1:, k + 1:] -= np.tril(np.outer(x, mirrored(scaled)))
    a[k + 1:, k] = scaled


def _eliminate_two(a, k, mirrored):
    pair = a[k + 2:, k:k + 2].copy()
    scaled = np.linalg.solve(_block(a[k:k + 2, k:k + 2], mirrored).T, pair.T).T
    a[k + 2:, k + 2:] -= np.tril(pair @ mirrored(scaled).T)
    a[k + 2:, k:k + 2] = scaled


def _block(lower, mirrored):
    """A block of D from its lower triangle."""
    return np.tril(lower) + mirrored(np.tril(lower, -1)).T


def ldl_solve(LD, pivots, B, *, hermitian=False, out=None):
    """X with A X = B, from what ldl_factor, called with the same `hermitian`, made of A."""
    check_square(LD, "torch.linalg.ldl_solve")
    if B.dim() < 2:
        raise RuntimeError("torch.linalg.ldl_solve: Expected B to have at least 2 dimensions, but it has "
                           f"{B.dim()} dimensions instead")
    batch = np.broadcast_shapes(LD.shape[:-2], B.shape[:-2])
    count = math.prod(batch)
    ld, p, b = LD.detach()._array(), pivots.detach()._array(), B.detach()._array()
    n, mirrored = ld.shape[-1], _mirror(ld, hermitian)
    ld = np.broadcast_to(ld, (*batch, n, n)).reshape(count, n, n)
    p = np.broadcast_to(p, (*batch, n)).reshape(count, n)
    x = np.array(np.broadcast_to(b, (*batch, *b.shape[-2:]))).reshape(count, *b.shape[-2:])
    for a, order, y in zip(ld, p.tolist(), x, strict=True):
        _solve(a, order, y, mirrored)
    return placed(columns(o.tensor(x.reshape(*batch, *b.shape[-2:]))), out)


def _solve(a, pivots, x, mirrored):
    """x = A^-1 x in place."""
    k, n, steps = 0, len(a), []
    while k < n:
        step = 1 if pivots[k] > 0 else 2
        steps.append((k, step))
        i, p, rest = k + step - 1, abs(pivots[k]) - 1, k + step
        x[[i, p]] = x[[p, i]]
        x[rest:] -= a[rest:, k:rest] @ x[k:rest]
        block = _block(a[k:rest, k:rest], mirrored)
        x[k:rest] = x[k:rest] / block if step == 1 else np.linalg.solve(block, x[k:rest])
        k = rest
    for k, step in reversed(steps):
        i, p, rest = k + step - 1, abs(pivots[k]) - 1, k + step
        x[k:rest] -= mirrored(a[rest:, k:rest]).T @ x[rest:]
        x[[i, p]] = x[[p, i]]


# -- some eigenpairs -------------------------------------------------------------------------------
def lobpcg(A, k=None, B=None, X=None, n=None, iK=None, niter=None, tol=None, largest=None, method=None, tracker=None,
           ortho_iparams=None, ortho_fparams=None, ortho_bparams=None):
    """(E, X): the k largest (or least) eigenvalues of A X = B X diag(E) and their vectors, by LOBPCG (Knyazev 2001).

    Args:
        A: symmetric (*, m, m), dense or sparse; B: positive definite, the identity if not given.
        X: the first vectors (m, n); normal deviates if not given.
        iK: the preconditioner (m, m).
        niter, tol: at most so many iterations, until residuals are so small.
        method, tracker, ortho_...: accepted.
    """
    m = A.shape[-1]
    k = (1 if X is None else X.shape[-1]) if k is None else k
    n = (k if X is None else X.shape[-1]) if n is None else n
    if m < 3 * n:
        raise ValueError(f"LOBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than 3 x the "
                         f"number of requested eigenpairs (={n})")
    largest = True if largest is None else largest
    if is_tracked(A):
        return _all_of_them(A, B, k, largest)
    X = o.randn(*A.shape[:-2], m, n, dtype=A.dtype) if X is None else X
    if A.dim() == 2:
        return _pairs(A, B, X, k, iK, niter, tol, largest)
    flat = [_pairs(a, b, x, k, iK, niter, tol, largest) for a, b, x in zip(
        A.reshape(-1, m, m), [None] * math.prod(A.shape[:-2]) if B is None else B.expand(A.shape).reshape(-1, m, m),
        X.reshape(-1, m, n), strict=True)]
    return o.stack([e for e, _ in flat]).reshape(*A.shape[:-2], k), \
        o.stack([x for _, x in flat]).reshape(*A.shape[:-2], m, k)


def _all_of_them(A, B, k, largest):
    """By the whole decomposition, which has gradients."""
    from .linalg import cholesky, eigh, solve_triangular
    if B is None:
        e, x = eigh(A)
    else:
        tril = cholesky(B)
        half = solve_triangular(tril, A, upper=False)
        e, x = eigh(solve_triangular(tril, half.mT, upper=False))
        x = solve_triangular(tril.mT, x, upper=True)
    return (e[..., -k:].flip(-1), x[..., -k:].flip(-1)) if largest else (e[..., :k], x[..., :k])


def _pairs(A, B, X, k, iK, niter, tol, largest):
    tol = dtypes.finfo(A.dtype).eps ** 0.5 if tol is None else tol
    times_b = (lambda x: x) if B is None else (lambda x: B @ x)
    scale, P = None, None
    E, X = _ritz(A, times_b, X, X.shape[-1], largest)
    for _ in range(1000 if niter is None or niter < 0 else niter):
        R = A @ X - times_b(X) * E
        scale = float((A @ X).norm()) if scale is None else scale
        if float(R[:, :k].norm(dim=0).max()) <= tol * max(scale, 1e-300):
            break
        W = R if iK is None else iK @ R
        before = X
        E, X = _ritz(A, times_b, o.cat([X, W] if P is None else [X, W, P], 1), X.shape[-1], largest)
        P = X - before @ (before.t() @ times_b(X))
    return E[:k], X[:, :k]


def _ritz(A, times_b, S, n, largest):
    """The best n eigenpairs within the space of S's columns."""
    from .linalg import eigh
    S = S / S.norm(dim=0).clamp(min=1e-300)
    d, v = eigh(S.t() @ times_b(S))
    kept = int((d > d[-1] * dtypes.finfo(S.dtype).eps * 10).sum())
    Q = S @ (v[:, -kept:] / d[-kept:].sqrt())
    e, u = eigh(Q.t() @ (A @ Q))
    e, u = (e.flip(0)[:n], u.flip(1)[:, :n]) if largest else (e[:n], u[:, :n])
    return e, Q @ u
