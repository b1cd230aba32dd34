"""LDL^T and LOBPCG against PyTorch."""
from __future__ import annotations

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
if torch is rushlight:
    pytest.skip("needs PyTorch itself", allow_module_level=True)

BOTH = (torch, rushlight)
RNG = np.random.default_rng(4)


def matrices(*shape, zeros=False):
    a = RNG.standard_normal((*shape, shape[-1]))
    a = a + np.swapaxes(a, -1, -2)
    if zeros:
        a[..., range(shape[-1]), range(shape[-1])] = 0       # pivots of size 2
    return a


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (7,), (33,), (4, 5), (2, 3, 6)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ldl(shape, zeros, dtype):
    a, b = matrices(*shape, zeros=zeros and shape[-1] > 1), RNG.standard_normal((*shape, 3))
    out = []
    for T in BOTH:
        m, rhs = T.tensor(a, dtype=getattr(T, dtype)), T.tensor(b, dtype=getattr(T, dtype))
        ld, pivots = T.linalg.ldl_factor(m)
        ex = T.linalg.ldl_factor_ex(m)
        assert (ex.LD == ld).all() and not ex.info.any()
        out.append((ld.numpy(), pivots.numpy(), T.linalg.ldl_solve(ld, pivots, rhs).numpy()))
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    for x, y in zip(*out, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(y, x, tolerance, tolerance)


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("shape", [(2,), (7,), (20,), (2, 3, 6)])
def test_ldl_of_complex_matrices(shape, zeros, hermitian):
    a = RNG.standard_normal((*shape, shape[-1])) + 1j * RNG.standard_normal((*shape, shape[-1]))
    back = np.swapaxes(a, -1, -2)
    a, b = a + (back.conj() if hermitian else back), a[..., :2]
    if zeros:
        a[..., range(shape[-1]), range(shape[-1])] = 0
    out = []
    for T in BOTH:
        ld, pivots = T.linalg.ldl_factor(T.tensor(a), hermitian=hermitian)
        x = T.linalg.ldl_solve(ld, pivots, T.tensor(b), hermitian=hermitian).numpy()
        np.testing.assert_allclose(a @ x, b, 1e-8, 1e-8)
        out.append((ld.numpy(), pivots.numpy()))
    for x, y in zip(*out, strict=True):
        np.testing.assert_allclose(y, x, 1e-8, 1e-8)


def test_ldl_of_a_singular_matrix():
    infos = [int(T.linalg.ldl_factor_ex(T.zeros(2, 2)).info) for T in BOTH]
    assert infos[0] == infos[1] == 1
    for T in BOTH:
        with pytest.raises(RuntimeError, match="torch.linalg.ldl_factor"):
            T.linalg.ldl_factor(T.zeros(2, 2))
        with pytest.raises(RuntimeError, match="must be batches of square matrices"):
            T.linalg.ldl_factor(T.zeros(2, 3))
        with pytest.raises(RuntimeError, match="LU without pivoting is not implemented on the CPU"):
            T.linalg.lu(T.eye(2), pivot=False)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_lobpcg(largest, general, batch):
    a = RNG.standard_normal((*batch, 20, 20))
    a = a @ np.swapaxes(a, -1, -2)
    b = np.eye(20) + 0.1 * np.ones((20, 20))
    out = []
    for T in BOTH:
        T.manual_seed(0)
        A, B = T.tensor(a), T.tensor(np.broadcast_to(b, a.shape).copy()) if general else None
        e, x = T.lobpcg(A, 3, B, largest=largest, niter=200, tol=1e-9)
        out.append(e.numpy())
        residual = A @ x - (x if B is None else B @ x) * e.unsqueeze(-2)
        assert float(residual.abs().max()) < 1e-4
    np.testing.assert_allclose(out[1], out[0], 1e-5, 1e-7)


def test_lobpcg_of_a_sparse_matrix_and_its_gradient():
    d = np.diag(np.arange(1.0, 31))
    s = rushlight.tensor(d).to_sparse()
    e, _ = rushlight.lobpcg(s, k=2, niter=300)
    np.testing.assert_allclose(e.numpy(), [30, 29], 1e-5)
    grads = []
    for T in BOTH:
        A = T.tensor(d, requires_grad=True)
        T.manual_seed(1)
        T.lobpcg(A, k=1, niter=300)[0].sum().backward()
        grads.append(A.grad.numpy())
    np.testing.assert_allclose(grads[1], grads[0], atol=1e-3)
    with pytest.raises(ValueError, match="LOBPCG algorithm is not applicable"):
        rushlight.lobpcg(rushlight.eye(5), k=2)
