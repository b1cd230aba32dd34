"""Dense linear algebra on the host: NumPy's LAPACK, batched over leading axes.

A factorisation with several results is one primitive: its results lie one behind the other in the
last axis and are taken apart by views, so that one rule sees the gradients of all of them.
Rules: Giles 2008, "Collected matrix derivative results"; Seeger et al. 2017, "Auto-differentiating
linear algebra"; Golub and Pereyra 1973 (pseudo-inverse); Najfeld and Havel 1995 (exponential).
"""
from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from .. import dtypes
from .. import ops as o
from . import lapack
from ..errors import LinAlgError
from .complex import COMPLEX, drawn
from .table import Primitive, int64_dtype, same_dtype

CLOSE = 200             # units in the last place of the largest element, between kernels and LAPACK on well-conditioned samples
KINDS = (np.float32, np.float64, *COMPLEX)


# -- declaring -------------------------------------------------------------------------------------

def _same_shape(shapes, **_):
    return shapes[0]


def _batch_shape(shapes, **_):
    return shapes[0][:-2]


def _to_real(ds, **_):
    return ds[0].to_real()


def _to_complex(ds, **_):
    return ds[0].to_complex()


def _adjoint(a):
    return np.conj(np.swapaxes(a, -1, -2))


def _batch(prim, size, xs, batched, **params):
    return prim(*[x if on else x.unsqueeze(0).expand(size, *x.shape)
                  for x, on in zip(xs, batched, strict=True)], **params)


def _host(name, reference, shape, vjp, jvp, samples, backward, *, dtype=same_dtype, **more):
    prim = Primitive(name, "host", lapack.on_few_threads(reference), shape, dtype, vjp, jvp, _batch,
                     samples=samples, **more)
    prim.gradient.name = backward
    return prim


def regular(rng, *shape):
    """Well-conditioned square matrices."""
    return drawn(rng, shape, np.complex128, -1, 1) + 2 * np.eye(shape[-1])


def definite(rng, *shape):
    a = drawn(rng, shape, np.complex128, -1, 1)
    return a @ _adjoint(a) + np.eye(shape[-1])


def _as(a, d):
    """Complex samples, or what is real of them."""
    return (a if d in COMPLEX else a.real).astype(d)


SQUARES = ((3, 3), (2, 4, 4), (2, 0, 0), (1, 1))
TALL = ((4, 3), (2, 3, 5), (2, 2))


def _squares(make=regular, **params):
    return lambda rng: [((_as(make(rng, *s), d),), params) for d in KINDS for s in SQUARES]


def _oblongs(**params):
    return lambda rng: [((_as(drawn(rng, s, np.complex128, -1, 1), d),), params) for d in KINDS for s in TALL]


def _pairs(**params):
    def samples(rng):
        return [((_as(regular(rng, *s), d), rng.uniform(-1, 1, (*s[:-1], 2)).astype(d)), params)
                for d in KINDS for s in SQUARES]
    return samples


# -- failures --------------------------------------------------------------------------------------

def _element(at, ndim):
    """PyTorch's words for the matrix that failed, first in a batch."""
    return f"(Batch element {at}): " if ndim > 2 else ""


def first_failure(x, leading_minor):
    """(matrix, order) of the first matrix that a test of leading minors refuses."""
    for at, matrix in enumerate(x.reshape(-1, *x.shape[-2:])):
        order = leading_minor(matrix)
        if order:
            return at, order
    return 0, x.shape[-1]


ORDER = (1 << 32) - 1


def reported(at, order) -> int:
    """A matrix and an order in one number, as kernels report them."""
    return at << 32 | order


def zero_pivot(matrix) -> int:
    """1-based place of the first zero on the diagonal of U; 0 if there is none."""
    return _first_zero(eliminated(matrix)[0])


def _first_zero(lu) -> int:
    zeros = np.flatnonzero(np.diagonal(lu) == 0)
    return int(zeros[0]) + 1 if zeros.size else 0


def indefinite_minor(matrix) -> int:
    """The order of the first leading minor that is not positive; 0 if all are."""
    if has_factor(matrix):
        return 0
    return bisect_left(range(1, len(matrix)), True, key=lambda n: not has_factor(matrix[:n, :n])) + 1


def has_factor(matrix) -> bool:
    """Whether it is positive definite."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def _size(x):
    """What LAPACK compares pivots by."""
    return np.abs(x.real) + np.abs(x.imag) if np.iscomplexobj(x) else np.abs(x)


PANEL = 32              # columns that are eliminated one by one, before a product does the same to those behind


def eliminated(matrix):
    """Gauss: (L below and U above the diagonal, the row that each step swapped with)."""
    lu, (m, n) = matrix.copy(), matrix.shape
    many = min(m, n)
    pivots = np.arange(many)
    for first in range(0, many, PANEL):
        last = min(first + PANEL, many)
        for k in range(first, last):
            pivots[k] = _eliminate_column(lu, k, last)
        if last < n:
            right = _solve_triangular(lu[first:last, first:last], lu[first:last, last:], upper=False, unitriangular=True)
            lu[first:last, last:] = right
            lu[last:, last:] -= lu[last:, first:last] @ right
    return lu, pivots


def _eliminate_column(lu, k, last) -> int:
    """Step k, in the columns before `last`; the row that is swapped with."""
    at = k + int(np.argmax(_size(lu[k:, k])))
    if at != k:
        lu[[k, at]] = lu[[at, k]]
    if lu[k, k] != 0:
        lu[k + 1:, k] /= lu[k, k]
        lu[k + 1:, k + 1:last] -= np.outer(lu[k + 1:, k], lu[k, k + 1:last])
    return at


# -- solving ---------------------------------------------------------------------------------------

def _solve(a, b, *, said):
    try:
        return lapack.solve(a, b)
    except np.linalg.LinAlgError:
        raise _no_solution(reported(*first_failure(a, zero_pivot)), a.ndim, said=said) from None


def _no_solution(report, ndim, *, said):
    return LinAlgError(f"{said}: {_element(report >> 32, ndim)}The solver failed because the input "
                       "matrix is singular.")


def _left_gradient(g, y, a, _b, *, said):
    return -o.matmul(solve(a.mH, g, said=said), y.mH)


def _solve_tangent(ts, y, a, b, *, said):
    da, db = ts
    right = db if da is None else -o.matmul(da, y) if db is None else db - o.matmul(da, y)
    return solve(a, right, said=said)


solve = _host("solve", _solve, lambda shapes, **_: shapes[1],
              (_left_gradient, lambda g, _y, a, _b, *, said: solve(a.mH, g, said=said)),
              _solve_tangent, _pairs(said="solve"), "LinalgSolveExBackward0", ulp=CLOSE, may_fail=True, failure=_no_solution,
              raises=lambda rng: [((np.zeros((2, 2)), np.ones((2, 1))), dict(said="solve"),
                                   LinAlgError, "The solver failed because")])


def _triangle(a, upper, unit):
    a = np.triu(a) if upper else np.tril(a)
    if unit:
        a = a * (1 - np.eye(a.shape[-1], dtype=a.dtype)) + np.eye(a.shape[-1], dtype=a.dtype)
    return a


def _solve_triangular(a, b, *, upper, unitriangular):
    """An upper triangle needs no pivots, so that LAPACK's solver substitutes backwards only."""
    a = _triangle(a, upper, unitriangular)
    if not upper:
        a, b = a[..., ::-1, ::-1], b[..., ::-1, :]
    try:
        x = _by_halves(a, b)
    except np.linalg.LinAlgError:
        x = _substituted(a, b)
    return x if upper else x[..., ::-1, :]


BASE = 32               # rows of an upper triangle that LAPACK factors, though it is factored already
WIDE = 400              # right-hand sides from which on it takes longer to hand them to LAPACK than to substitute


def _by_halves(a, b):
    """The lower half of x, then the upper one of what that leaves: most of it is a product."""
    n = a.shape[-1]
    if n <= BASE:
        return np.linalg.solve(a, b) if b.shape[-1] < WIDE else _substituted(a, b)
    low = _by_halves(a[..., n // 2:, n // 2:], b[..., n // 2:, :])
    rest = b[..., :n // 2, :] - a[..., :n // 2, n // 2:] @ low
    return np.concatenate([_by_halves(a[..., :n // 2, :n // 2], rest), low], -2)


def _substituted(a, b):
    """Backward substitution with inf and nan where the diagonal is zero."""
    x = np.array(b)
    with np.errstate(all="ignore"):
        for k in reversed(range(a.shape[-1])):
            rest = a[..., k, None, k + 1:] @ x[..., k + 1:, :]
            x[..., k, :] = (x[..., k, :] - rest[..., 0, :]) / a[..., k, k, None]
    return x


def _part(a, upper, unit):
    """What of a full matrix a triangular one holds."""
    return a.triu(int(unit)) if upper else a.tril(-int(unit))


def _triangular_left(g, y, a, _b, *, upper, unitriangular):
    back = solve_triangular(a.mH, g, upper=not upper, unitriangular=unitriangular)
    return _part(-o.matmul(back, y.mH), upper, unitriangular)


def _triangular_tangent(ts, y, a, b, **kinds):
    da, db = ts
    if da is not None:
        moved = -o.matmul(_part(da, *kinds.values()), y)
        db = moved if db is None else db + moved
    return solve_triangular(a, db, **kinds)


solve_triangular = _host(
    "solve_triangular", _solve_triangular, lambda shapes, **_: shapes[1],
    (_triangular_left, lambda g, _y, a, _b, *, upper, unitriangular: solve_triangular(
        a.mH, g, upper=not upper, unitriangular=unitriangular)), _triangular_tangent,
    lambda rng: [c for up in (False, True) for unit in (False, True)
                 for c in _pairs(upper=up, unitriangular=unit)(rng)],
    "LinalgSolveTriangularBackward0", ulp=CLOSE)


def _inv(a, *, said):
    try:
        return lapack.inv(a)
    except np.linalg.LinAlgError:
        raise _no_inverse(reported(*first_failure(a, zero_pivot)), a.ndim, said=said) from None


def _no_inverse(report, ndim, *, said):
    return LinAlgError(f"{said}: {_element(report >> 32, ndim)}The diagonal element {report & ORDER} is zero, "
                       "the inversion could not be completed because the input matrix is singular.")


inv = _host("inv", _inv, _same_shape,
            (lambda g, y, _a, *, said: -o.matmul(o.matmul(y.mH, g), y.mH),),
            lambda ts, y, a, *, said: -o.matmul(o.matmul(y, ts[0]), y), _squares(said="inv"),
            "LinalgInvExBackward0", ulp=CLOSE, may_fail=True, failure=_no_inverse,
            raises=lambda rng: [((np.zeros((2, 2)),), dict(said="inv"), LinAlgError,
                                 "The diagonal element 1 is zero")])


# -- determinants ----------------------------------------------------------------------------------

def _over(g, matrix):
    """Numbers as factors of matrices."""
    return g.unsqueeze(-1).unsqueeze(-1) * matrix


def _inner(a, b):
    return (a * b).sum((-2, -1))


det = _host("det", lapack.det, _batch_shape,
            (lambda g, _y, a: _over(g, cofactors(a).conj()),),
            lambda ts, y, a: _inner(cofactors(a), ts[0]), _squares(), "LinalgDetBackward0", ulp=CLOSE)


WELL = {4: 1e6, 8: 1e4}         # condition up to which an inverse in float64 is as exact as asked for


def _cofactors(a):
    """The gradient of det: det times the inverse, or by singular values, which do for singular matrices too."""
    wide = a.astype(np.result_type(a, np.float64))
    found, well = _by_inverses(wide, WELL[max(a.real.dtype.itemsize, 4)])
    if not well.all():
        found[~well] = _by_singular_values(wide[~well])
    return found.astype(a.dtype)


def _by_inverses(a, worst):
    """Cofactors, and of which matrices these are right."""
    with np.errstate(all="ignore"):
        size = np.linalg.det(a)
        may = np.isfinite(size) & (size != 0)
        back = np.linalg.inv(np.where(may[..., None, None], a, np.eye(a.shape[-1])))
        found = np.asarray(size[..., None, None] * np.swapaxes(back, -1, -2))
        spread = np.linalg.norm(a, axis=(-2, -1)) * np.linalg.norm(back, axis=(-2, -1))
        return found, may & (spread < worst) & np.isfinite(found).all((-2, -1))


def _by_singular_values(a):
    u, s, vh = np.linalg.svd(a)
    n = s.shape[-1]
    others = np.prod(np.where(np.eye(n, dtype=bool), 1, s[..., None, :]), axis=-1)
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return sign[..., None, None] * ((np.conj(u) * others[..., None, :]) @ np.conj(vh))


def _cofactors_gradient(g, y, a):
    x, y = inv(a, said="linalg.det").mH, y.conj()
    return _over(_inner(g, x), y) - o.matmul(o.matmul(y, g.mT), x)


def _cofactors_tangent(ts, y, a):
    x = inv(a, said="linalg.det").mT
    return _over(_inner(x, ts[0]), y) - o.matmul(o.matmul(y, ts[0].mT), x)


cofactors = _host("cofactors", _cofactors, _same_shape, (_cofactors_gradient,), _cofactors_tangent,
                  _squares(), "CofactorsBackward0", ulp=CLOSE)


def _sign_gradient(g, y, a):
    """Only the phase of a complex sign moves."""
    if not y.dtype.is_complex:
        return o.zeros_like(a)
    return _over(o.times_i(o.imag_part(g * y.conj())), inv(a, said="linalg.slogdet").mH)


def _sign_tangent(ts, y, a):
    if not y.dtype.is_complex:
        return None
    return y * o.times_i(o.imag_part(_inner(inv(a, said="linalg.slogdet").mT, ts[0])))


sign_of_det = _host("sign_of_det", lambda a: lapack.slogdet(a)[0], _batch_shape, (_sign_gradient,),
                    _sign_tangent, _squares(), "LinalgSlogdetBackward0")
log_abs_det = _host("log_abs_det", lambda a: lapack.slogdet(a)[1], _batch_shape,
                    (lambda g, _y, a: _over(g, inv(a, said="linalg.slogdet").mH),),
                    lambda ts, y, a: o.real_part(_inner(inv(a, said="linalg.slogdet").mT, ts[0])),
                    _squares(), "LinalgSlogdetBackward0", dtype=_to_real, ulp=CLOSE)


# -- factorisations --------------------------------------------------------------------------------

def pack(*arrays):
    """Results one behind the other in the last axis; each is (array, its own axes)."""
    flat = [a.reshape(*a.shape[:a.ndim - own], math.prod(a.shape[a.ndim - own:]))
            for a, own in arrays]
    return np.concatenate(flat, -1)


def packed_tensors(*parts):
    return o.cat([x.flatten(-own) if own > 1 else x for x, own in parts], -1)


def take_apart(packed, *shapes):
    """Views of the results, by their own shapes."""
    out, at = [], 0
    for shape in shapes:
        size = math.prod(shape)
        part = packed.narrow(-1, at, size)
        out.append(part.reshape(*packed.shape[:-1], *shape) if len(shape) > 1 else part)
        at += size
    return out


def _cholesky(a, *, said, check):
    try:
        return lapack.cholesky(a)
    except np.linalg.LinAlgError:
        if not check:
            return _cholesky_as_far(a)
        raise _no_factor(reported(*first_failure(a, indefinite_minor)), a.ndim, said=said) from None


def _no_factor(report, ndim, *, said, **_):
    return LinAlgError(f"{said}: {_element(report >> 32, ndim)}The factorization could not be completed "
                       "because the input is not positive-definite (the leading minor of order "
                       f"{report & ORDER} is not positive-definite).")


def _cholesky_as_far(a):
    """The factors of those matrices that have one; of the others, nan."""
    out = np.full_like(a, np.nan)
    for at in np.ndindex(a.shape[:-2]):
        if not indefinite_minor(a[at]):
            out[at] = np.linalg.cholesky(a[at])
    return np.tril(out)


def _lower_half(x):
    """The lower triangle with half its diagonal."""
    return x.tril() - o.diag_embed(x.diagonal(0, -2, -1) / 2)


def _by_lower(l, x):
    return solve_triangular(l, x, upper=False, unitriangular=False)


def _by_upper(r, x):
    return solve_triangular(r, x, upper=True, unitriangular=False)


def _cholesky_gradient(g, y, _a, *, said, check):
    p = o.matmul(y.mH, g)
    left = _by_upper(y.mH, (p.tril() + p.tril(-1).mH) / 2)
    return _by_upper(y.mH, left.mH).mH


def _cholesky_tangent(ts, y, a, *, said, check):
    inner = _by_lower(y, _by_lower(y, ts[0]).mH)
    return o.matmul(y, _lower_half(inner))


cholesky = _host("cholesky", _cholesky, _same_shape, (_cholesky_gradient,), _cholesky_tangent,
                 _squares(definite, said="cholesky", check=True), "LinalgCholeskyExBackward0",
                 ulp=CLOSE, may_fail=True, failure=_no_factor,
                 raises=lambda rng: [((-np.eye(2),), dict(said="cholesky", check=True), LinAlgError,
                                      "the leading minor of order 1 is not positive-definite")])


def qr_shapes(m, n, mode):
    k = m if mode == "complete" else min(m, n)
    return (m, k), (k, n)


def packed_shape(shapes_of):
    def shape(shapes, **params):
        *batch, m, n = shapes[0]
        return *batch, sum(math.prod(s) for s in shapes_of(m, n, **params))
    return shape


def _qr(a, *, mode):
    q, r = np.linalg.qr(a, mode)
    return pack((q, 2), (r, 2))


def _qr_gradient(g, y, a, *, mode):
    m, n = a.shape[-2:]
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and "
                           "nrows > ncols.")
    shapes = qr_shapes(m, n, mode)
    (gq, gr), (q, r) = take_apart(g, *shapes), take_apart(y, *shapes)
    if m >= n:
        return _qr_gradient_tall(gq, gr, q, r)
    left = _qr_gradient_tall(gq + o.matmul(a[..., m:], gr[..., m:].mH), gr[..., :m], q, r[..., :m])
    return o.cat([left, o.matmul(q, gr[..., m:])], -1)


def _hermitian(x):
    """The hermitian matrix with this lower triangle; the diagonal of R is real."""
    low = x.tril(-1)
    return low + low.mH + o.diag_embed(o.real_part(x.diagonal(0, -2, -1)))


def _turning(x):
    """What turns Q: skew-hermitian, with x's lower triangle."""
    low = x.tril(-1)
    turn = low - low.mH
    return turn + o.diag_embed(o.times_i(o.imag_part(x.diagonal(0, -2, -1)))) if x.dtype.is_complex else turn


def _qr_gradient_tall(gq, gr, q, r):
    inner = o.matmul(r, gr.mH) - o.matmul(gq.mH, q)
    both = _hermitian(inner) if inner.dtype.is_complex else inner.tril() + inner.tril(-1).mT
    return _by_upper(r, (gq + o.matmul(q, both)).mH).mH


def _qr_tangent(ts, y, a, *, mode):
    m, n = a.shape[-2:]
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and "
                           "nrows > ncols.")
    q, r = take_apart(y, *qr_shapes(m, n, mode))
    k = min(m, n)
    d, head = ts[0], r[..., :k]
    moved = _by_lower(head.mT, d[..., :k].mT).mT                # dA / R
    inner = o.matmul(q.mH, moved)
    turn = _turning(inner)
    dq = moved - o.matmul(q, inner - turn)
    dr = o.matmul(inner - turn, head)
    if m < n:
        dr = o.cat([dr, o.matmul(q.mH, d[..., k:] - o.matmul(dq, r[..., k:]))], -1)
    return packed_tensors((dq, 2), (dr, 2))


qr = _host("qr", _qr, packed_shape(qr_shapes), (_qr_gradient,), _qr_tangent,
           lambda rng: [c for mode in ("reduced", "complete") for c in _oblongs(mode=mode)(rng)],
           "LinalgQrBackward0", ulp=CLOSE)


def reflectors_shapes(m, n):
    return (m, n), (min(m, n),)


def _reflectors(a):
    """LAPACK's geqrf: R above, the vectors of the reflections below the diagonal; their factors."""
    h, tau = np.linalg.qr(a, "raw")
    return pack((np.swapaxes(h, -1, -2), 2), (tau, 1))


reflectors = Primitive("reflectors", "host", _reflectors, packed_shape(reflectors_shapes), same_dtype, (None,),
                       lambda ts, y, a: None, _batch, samples=_oblongs(), ulp=CLOSE)


def eigh_shapes(n, _n, **_):
    return (n,), (n, n)


def _eigh(a, *, lower):
    w, v = lapack.eigh(a, lower)
    return pack((w, 1), (v, 2))


def gaps(w):
    """1 / (w_j - w_i), zero on the diagonal."""
    d = w.unsqueeze(-2) - w.unsqueeze(-1)
    same = o.eye(w.shape[-1], dtype=dtypes.bool)
    return o.where(same, 0.0, 1 / o.where(same, 1.0, d))


def _eigh_gradient(g, y, a, *, lower):
    shapes = eigh_shapes(*a.shape[-2:])
    (gw, gv), (w, v) = take_apart(g, *shapes), take_apart(y, *shapes)
    turn = o.matmul(v.mH, gv)
    inner = (turn - turn.mH) / 2 * gaps(o.real_part(w)) + o.diag_embed(o.real_part(gw))
    return o.matmul(o.matmul(v, inner), v.mH)


def _eigh_tangent(ts, y, a, *, lower):
    w, v = take_apart(y, *eigh_shapes(*a.shape[-2:]))
    inner = o.matmul(o.matmul(v.mH, ts[0]), v)
    turn = inner * gaps(o.real_part(w))
    return packed_tensors((o.real_part(inner.diagonal(0, -2, -1)).to(v.dtype), 1), (o.matmul(v, turn), 2))


def _symmetric(rng, *shape):
    a = drawn(rng, shape, np.complex128, -1, 1)
    return a + _adjoint(a) + np.diag(np.arange(shape[-1]) * 3.0)


eigh = _host("eigh", _eigh, packed_shape(eigh_shapes), (_eigh_gradient,), _eigh_tangent,
             _squares(_symmetric, lower=True), "LinalgEighBackward0")


def _vectors(a, lower):
    return take_apart(eigh(a, lower=lower), *eigh_shapes(*a.shape[-2:]))[1]


def _eigvalsh_gradient(g, _y, a, *, lower):
    v = _vectors(a, lower)
    return o.matmul(v * g.unsqueeze(-2), v.mH)


def _eigvalsh_tangent(ts, y, a, *, lower):
    v = _vectors(a, lower)
    return o.real_part((o.matmul(ts[0], v) * v.conj()).sum(-2))


eigvalsh = _host("eigvalsh", lambda a, *, lower: lapack.eigvalsh(a, lower),
                 lambda shapes, **_: shapes[0][:-1], (_eigvalsh_gradient,), _eigvalsh_tangent,
                 _squares(_symmetric, lower=True), "LinalgEighBackward0", dtype=_to_real)


# Of general matrices: complex values, and vectors of length 1 whose phase is LAPACK's.
def eig_shapes(n, _n):
    return (n,), (n, n)


def _eig(a):
    w, v = np.linalg.eig(a)
    return pack((w, 1), (v, 2)).astype(_complex_kind(a), copy=False)


def _complex_kind(a):
    """NumPy gives real eigenvalues where all are real."""
    return np.result_type(a.dtype, np.complex64)


def _differences(w):
    """w_j - w_i, with ones on the diagonal."""
    same = o.eye(w.shape[-1], dtype=dtypes.bool)
    return o.where(same, 1, w.unsqueeze(-2) - w.unsqueeze(-1))


def _eig_gradient(g, y, a):
    shapes = eig_shapes(*a.shape[-2:])
    (gw, gv), (w, v) = take_apart(g, *shapes), take_apart(y, *shapes)
    inner = o.matmul(v.mH, gv)
    along = o.real_part(inner.diagonal(0, -2, -1)).unsqueeze(-2)
    inner = (inner - o.matmul(v.mH, v) * along) / _differences(w).conj()
    return solve(v.mH, o.matmul(_with_diagonal(inner, gw), v.mH), said="linalg.eig")


def _with_diagonal(x, d):
    return o.where(o.eye(x.shape[-1], dtype=dtypes.bool), o.diag_embed(d), x)


def _eig_tangent(ts, y, a):
    w, v = take_apart(y, *eig_shapes(*a.shape[-2:]))
    inner = solve(v, o.matmul(ts[0].to(v.dtype), v), said="linalg.eig")
    moved = o.matmul(v, _with_diagonal(inner / _differences(w), o.zeros_like(w)))
    moved = moved - v * o.real_part((v.conj() * moved).sum(-2)).unsqueeze(-2)
    return packed_tensors((inner.diagonal(0, -2, -1), 1), (moved, 2))


def _apart(rng, *shape):
    """Not symmetric, with eigenvalues apart."""
    return _symmetric(rng, *shape) + rng.uniform(-0.3, 0.3, shape)


eig = _host("eig", _eig, packed_shape(eig_shapes), (_eig_gradient,), _eig_tangent,
            _squares(_apart), "LinalgEigBackward0", dtype=_to_complex)


def _eigvals_gradient(g, _y, a):
    v = take_apart(eig(a), *eig_shapes(*a.shape[-2:]))[1]
    return solve(v.mH, g.unsqueeze(-1) * v.mH, said="linalg.eigvals")


def _eigvals_tangent(ts, y, a):
    v = take_apart(eig(a), *eig_shapes(*a.shape[-2:]))[1]
    return solve(v, o.matmul(ts[0].to(v.dtype), v), said="linalg.eigvals").diagonal(0, -2, -1)


eigvals = _host("eigvals", lambda a: np.linalg.eigvals(a).astype(_complex_kind(a)),
                lambda shapes: shapes[0][:-1], (_eigvals_gradient,), _eigvals_tangent,
                _squares(_apart), "LinalgEigvalsBackward0", dtype=_to_complex)


def svd_shapes(m, n, full):
    k = min(m, n)
    return ((m, m), (k,), (n, n)) if full else ((m, k), (k,), (k, n))


def _svd(a, *, full):
    u, s, vh = lapack.svd(a, full)
    return pack((u, 2), (s, 1), (vh, 2))


def _thin(packed, a, full):
    k = min(a.shape[-2:])
    u, s, vh = take_apart(packed, *svd_shapes(*a.shape[-2:], full))
    return u[..., :k], s, vh[..., :k, :]


def _skew(x):
    return x - x.mH


def _phases(x, s):
    """What changes the phases of both singular vectors, half of it each; nothing of real ones."""
    return o.diag_embed(o.times_i(o.imag_part(x.diagonal(0, -2, -1)) / (2 * s)))


def _svd_gradient(g, y, a, *, full):
    (gu, gs, gvh), (u, s, vh) = _thin(g, a, full), _thin(y, a, full)
    s, gs = o.real_part(s), o.real_part(gs)
    m, n, f = *a.shape[-2:], gaps(s * s)
    row, column = s.unsqueeze(-2), s.unsqueeze(-1)
    turn = o.matmul(u.mH, gu)
    inner = _skew(turn) * f * row + column * (f * _skew(o.matmul(vh, gvh.mH))) + o.diag_embed(gs)
    if a.dtype.is_complex:
        inner = inner + 2 * _phases(turn, s)
    out = o.matmul(o.matmul(u, inner), vh)
    if m > n:
        rest = gu / row
        out = out + o.matmul(rest - o.matmul(u, o.matmul(u.mH, rest)), vh)
    if m < n:
        rest = gvh / column
        out = out + o.matmul(u, rest - o.matmul(o.matmul(rest, vh.mH), vh))
    return out


def _svd_tangent(ts, y, a, *, full):
    if full and a.shape[-1] != a.shape[-2]:
        raise NotImplementedError("svd: forward derivatives with full_matrices=True")
    (u, s, vh), d, (m, n) = _thin(y, a, full), ts[0], a.shape[-2:]
    s = o.real_part(s)
    row, column = s.unsqueeze(-2), s.unsqueeze(-1)
    p, f = o.matmul(o.matmul(u.mH, d), vh.mH), gaps(s * s)
    left, right = f * (p * row + (p * row).mH), (f * (column * p + (column * p).mH)).mH
    if a.dtype.is_complex:
        left, right = left + _phases(p, s), right + _phases(p, s)
    du, dvh = o.matmul(u, left), o.matmul(right, vh)
    if m > n:
        rest = o.matmul(d, vh.mH) / row
        du = du + rest - o.matmul(u, o.matmul(u.mH, rest))
    if m < n:
        rest = o.matmul(u.mH, d) / column
        dvh = dvh + rest - o.matmul(o.matmul(rest, vh.mH), vh)
    return packed_tensors((du, 2), (o.real_part(p.diagonal(0, -2, -1)).to(a.dtype), 1), (dvh, 2))


svd = _host("svd", _svd, packed_shape(svd_shapes), (_svd_gradient,), _svd_tangent,
            lambda rng: [c for full in (False, True) for c in _oblongs(full=full)(rng)],
            "LinalgSvdBackward0")


def _singular_vectors(a):
    u, _, vh = take_apart(svd(a, full=False), *svd_shapes(*a.shape[-2:], False))
    return u, vh


def _svdvals_gradient(g, _y, a):
    u, vh = _singular_vectors(a)
    return o.matmul(u * g.unsqueeze(-2), vh)


def _svdvals_tangent(ts, y, a):
    u, vh = _singular_vectors(a)
    return o.real_part((o.matmul(u.mH, ts[0]) * vh.conj()).sum(-1))


svdvals = _host("svdvals", lapack.svdvals,
                lambda shapes: (*shapes[0][:-2], min(shapes[0][-2:])), (_svdvals_gradient,),
                _svdvals_tangent, _oblongs(), "LinalgSvdBackward0", dtype=_to_real)


# -- pseudo-inverse and exponential ----------------------------------------------------------------

def _pinv(a, *, rtol, atol):
    u, s, vh = lapack.svd(a, False)
    floor = np.maximum(atol, rtol * s.max(-1, initial=0, keepdims=True))
    with np.errstate(divide="ignore"):
        back = np.where(s > floor, 1 / s, 0).astype(s.dtype)
    return _adjoint((u * back[..., None, :]) @ vh)


def _pinv_gradient(g, y, a, **_):
    first = o.matmul(o.matmul(y, y.mH), g)                      # Y Y' g: (n, m)
    first = first - o.matmul(o.matmul(first, a), y)
    second = o.matmul(g, o.matmul(y.mH, y))                     # g Y' Y: (n, m)
    second = second - o.matmul(y, o.matmul(a, second))
    return (first + second).mH - o.matmul(o.matmul(y.mH, g), y.mH)


def _pinv_tangent(ts, y, a, **_):
    d = ts[0]
    first = o.matmul(o.matmul(y, y.mH), d.mH)
    first = first - o.matmul(o.matmul(first, a), y)
    second = o.matmul(d.mH, o.matmul(y.mH, y))
    second = second - o.matmul(y, o.matmul(a, second))
    return first + second - o.matmul(o.matmul(y, d), y)


pinv = _host("pinv", _pinv, lambda shapes, **_: (*shapes[0][:-2], *shapes[0][:-3:-1]),
             (_pinv_gradient,), _pinv_tangent, _oblongs(rtol=1e-6, atol=0.0), "LinalgPinvBackward0")


PADE = (64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000,
        10559470521600, 670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1)
PADE7 = (17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1)
LARGE_EXP = 128         # rows from which on float64 takes too long


class Moving(NamedTuple):
    """Matrices and how they change; products by the rule of products."""
    value: np.ndarray
    change: np.ndarray

    def __add__(self, other):
        return Moving(self.value + other.value, self.change + other.change)

    def __sub__(self, other):
        return Moving(self.value - other.value, self.change - other.change)

    def __rmul__(self, number):
        return Moving(number * self.value, number * self.change)

    def __matmul__(self, other):
        return Moving(self.value @ other.value, self.change @ other.value + self.value @ other.change)

    def over(self, below):
        """below^-1 self."""
        back = lapack.inv(below.value)
        value = back @ self.value
        return Moving(value, back @ (self.change - below.change @ value))


def _matrix_exp(a):
    return _exponential(a, None).astype(a.dtype)


def _moved_exp(a, direction):
    """The derivative of exp at a."""
    return _exponential(a, direction).change.astype(a.dtype)


def _exponential(a, direction):
    """Scaling and squaring with a Pade approximant (Higham 2005): of order 13 in float64, 7 for large float32 matrices."""
    is_single = a.real.dtype == np.float32 and a.shape[-1] >= LARGE_EXP
    kind, pade, norm_of_pade = (a.dtype, _pade7, 3.92) if is_single else (np.result_type(a, np.float64), _pade, 5.37)
    if not a.size:
        return a if direction is None else Moving(a, a)
    x = a.astype(kind)
    norm = np.abs(x).sum(-2).max(-1)
    with np.errstate(all="ignore"):
        halvings = np.maximum(0, np.ceil(np.log2(norm / norm_of_pade))) * (norm > 0)
    halvings = np.where(np.isfinite(halvings), halvings, 0).astype(int)
    scale, one = (0.5 ** halvings)[..., None, None].astype(kind), np.eye(x.shape[-1], dtype=kind)
    if direction is None:
        y = pade(x * scale, one, lambda above, below: lapack.solve(below, above))
    else:
        y = pade(Moving(x * scale, direction.astype(kind) * scale), Moving(one, 0 * one), Moving.over)
    for k in range(int(halvings.max(initial=0))):
        y = _where((halvings > k)[..., None, None], y @ y, y)
    return y


def _where(mask, yes, no):
    return Moving(*(np.where(mask, a, b) for a, b in zip(yes, no))) if type(no) is Moving else np.where(mask, yes, no)


def _pade(x, one, quotient):
    b = [float(c) for c in PADE]
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x4 @ x2
    odd = x @ (x6 @ (b[13] * x6 + b[11] * x4 + b[9] * x2) + b[7] * x6 + b[5] * x4 + b[3] * x2
               + b[1] * one)
    even = (x6 @ (b[12] * x6 + b[10] * x4 + b[8] * x2) + b[6] * x6 + b[4] * x4 + b[2] * x2
            + b[0] * one)
    return quotient(even + odd, even - odd)


def _pade7(x, one, quotient):
    b = [float(c) for c in PADE7]
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x4 @ x2
    odd = x @ (b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * one)
    even = b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * one
    return quotient(even + odd, even - odd)


matrix_exp = _host("matrix_exp", _matrix_exp, _same_shape, (lambda g, _y, a: moved_exp(a.mH, g),),
                   lambda ts, y, a: moved_exp(a, ts[0]), _squares(), "LinalgMatrixExpBackward0")


def _moved_twice(a, first, second):
    """The second derivative of exp at a: the corner of the derivative at a block triangle."""
    n, none = a.shape[-1], o.zeros_like(a)
    triangle = o.cat([o.cat([a, first], -1), o.cat([none, a], -1)], -2)
    turned = o.cat([o.cat([second, none], -1), o.cat([none, second], -1)], -2)
    return moved_exp(triangle, turned)[..., :n, n:]


def _moved_tangent(ts, y, a, direction):
    da, dd = ts
    parts = [_moved_twice(a, direction, da)] if da is not None else []
    parts += [moved_exp(a, dd)] if dd is not None else []
    return sum(parts[1:], parts[0])


def _square_pairs(rng):
    return [((_as(regular(rng, *s), d), _as(regular(rng, *s), d)), {}) for d in KINDS for s in SQUARES]


moved_exp = _host("moved_exp", _moved_exp, _same_shape,
                  (lambda g, _y, a, direction: _moved_twice(a.mH, g, direction.mH),
                   lambda g, _y, a, _direction: moved_exp(a.mH, g)), _moved_tangent, _square_pairs, "MovedExpBackward0")


# -- elimination -----------------------------------------------------------------------------------

def _each(fn, a, shape, dtype):
    out = np.empty((*a.shape[:-2], *shape), dtype)
    for at in np.ndindex(a.shape[:-2]):
        out[at] = fn(a[at])
    return out


def lu_shapes(m, n):
    """L and U in one matrix, the row (from 0) that each one was swapped with, and the place of the first zero pivot or 0."""
    return (m, n), (min(m, n),), (1,)


def _lu(a):
    def packed(x):
        both, swaps = eliminated(x)
        return np.concatenate([both.ravel(), swaps, [_first_zero(both)]])
    return _each(packed, a, (sum(map(math.prod, lu_shapes(*a.shape[-2:]))),), a.dtype)


def _rows_after(swaps, *, n):
    """order[k] is the row of A that swaps put at row k."""
    each = swaps.reshape(math.prod(swaps.shape[:-1]), swaps.shape[-1])
    order, at = np.tile(np.arange(n), (len(each), 1)), np.arange(len(each))
    for k, others in enumerate(each.T):
        order[at, k], order[at, others] = order[at, others], order[at, k]
    return order.reshape(*swaps.shape[:-1], n)


def _swaps_of(rng):
    return [((k + rng.integers(0, n - k),), dict(n=n)) for n, count in ((4, 4), (5, 3), (1, 1), (6, 0), (20, 19))
            for k in (np.arange(count), np.tile(np.arange(count), (2, 3, 1)))]


rows_after = Primitive("rows_after", "host", _rows_after, lambda shapes, *, n: (*shapes[0][:-1], n), int64_dtype, (None,),
                       lambda ts, y, a, **_: None, _batch, samples=_swaps_of)


def order_of(packed, m, n):
    """The order of A's rows in L U, from the factors."""
    swaps = take_apart(packed.detach(), *lu_shapes(m, n))[1]
    return rows_after(o.real_part(swaps).to(dtypes.int64), n=m)


def lower_factor(lu):
    m, n = lu.shape[-2:]
    k = min(m, n)
    return lu[..., :k].tril(-1) + o.eye(m, k, dtype=lu.dtype)


def _lu_parts(y):
    """(k, L, U) of the leading k rows and columns, k the lesser side."""
    k = min(y.shape[-2:])
    corner = y[..., :k, :k]
    return k, lower_factor(corner), corner.triu()


def _whole_of(square, right, below):
    """A square joined with what is right of it or below it, one of which is empty."""
    return o.cat([square, right], -1) if right.shape[-1] else o.cat([square, below], -2)


def _lu_gradient(g, y, a):
    """P' L^-T (tril(L' gL, -1) + triu(gU U')) U^-T of the leading square, P by the order of rows.

    What lies right of it is L^-1 A, what lies below it A U^-1: their gradients, and what they give to L and to U.
    """
    m, n = a.shape[-2:]
    back = o.argsort(order_of(y, m, n), -1)
    g, y = (take_apart(x, *lu_shapes(m, n))[0] for x in (g, y))
    k, lower, upper = _lu_parts(y)
    to_lower, to_upper = g[..., :k, :k].tril(-1), g[..., :k, :k].triu()
    right = solve_triangular(lower.mH, g[..., :k, k:], upper=True, unitriangular=True)
    below = _by_lower_of_upper(upper, g[..., k:, :k])
    if y.shape[-1] > k:
        to_lower = to_lower - o.matmul(right, y[..., :k, k:].mH).tril(-1)
    if y.shape[-2] > k:
        to_upper = to_upper - o.matmul(y[..., k:, :k].mH, below).triu()
    inner = o.matmul(lower.mH, to_lower).tril(-1) + o.matmul(to_upper, upper.mH).triu()
    left = solve_triangular(lower.mH, inner, upper=True, unitriangular=True)
    rows = _whole_of(_by_lower_of_upper(upper, left), right, below)
    return rows.gather(-2, back.unsqueeze(-1).expand(rows.shape))


def _by_lower_of_upper(upper, x):
    """x U^-T, for complex matrices its conjugate."""
    return _by_upper(upper, x.mH).mH


def _lu_tangent(ts, y, a):
    m, n = a.shape[-2:]
    order = order_of(y, m, n).unsqueeze(-1).expand(a.shape)
    y, *rest = take_apart(y, *lu_shapes(m, n))
    k, lower, upper = _lu_parts(y)
    t = ts[0].gather(-2, order)
    inner = solve_triangular(lower, t[..., :k, :k], upper=False, unitriangular=True)
    inner = _by_lower(upper.mT, inner.mT).mT
    of_lower, of_upper = o.matmul(lower, inner.tril(-1)), o.matmul(inner.triu(), upper)
    right = solve_triangular(lower, t[..., :k, k:] - o.matmul(of_lower, y[..., :k, k:]), upper=False, unitriangular=True)
    below = _by_lower(upper.mT, (t[..., k:, :k] - o.matmul(y[..., k:, :k], of_upper)).mT).mT
    moved = _whole_of(of_lower + of_upper, right, below)
    return packed_tensors((moved, 2), *((o.zeros_like(x), 1) for x in rest))


lu = _host("lu", _lu, packed_shape(lu_shapes), (_lu_gradient,), _lu_tangent, _squares(),
           "LinalgLuFactorExBackward0", ulp=CLOSE)


def _whole(name, reference, shape):
    return Primitive(name, "host", reference, shape, int64_dtype, (None,), lambda ts, y, a: None,
                     _batch, samples=_squares())


def _minors(a):
    return _each(indefinite_minor, a, (), np.int64)


def _zero_pivots(a):
    return _each(zero_pivot, a, (), np.int64)


first_zero_pivot = _whole("first_zero_pivot", _zero_pivots, _batch_shape)
first_indefinite_minor = _whole("first_indefinite_minor", _minors, _batch_shape)
