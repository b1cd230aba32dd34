"""torch.linalg and the older names against PyTorch: values, gradients to second order, errors."""
from __future__ import annotations

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from rushlight import config     # noqa: E402
from tests.parity.oracle import Input, check     # noqa: E402

torch.set_num_threads(1)
RNG = np.random.default_rng(7)
SQUARE = RNG.uniform(-1, 1, (2, 3, 3)) + 2 * np.eye(3)
TALL, WIDE = RNG.uniform(-1, 1, (2, 5, 3)), RNG.uniform(-1, 1, (2, 3, 5))
RIGHT, VECTOR = RNG.uniform(-1, 1, (2, 3, 2)), RNG.uniform(-1, 1, (3,))


def definite(a):
    return a @ a.mT + 1


def symmetric(a):
    return a + a.mT


def parts_of(factors):
    """What does not depend on the signs that LAPACK chose."""
    return [x.abs() for x in factors]


UNARY = {
    "inv": lambda T, a: T.linalg.inv(a), "inverse": lambda T, a: T.inverse(a),
    "Tensor.inverse": lambda T, a: a.inverse(), "det": lambda T, a: T.det(a),
    "Tensor.det": lambda T, a: a.det(), "slogdet": lambda T, a: T.linalg.slogdet(a)[1],
    "sign": lambda T, a: T.slogdet(a).sign.detach(), "logdet": lambda T, a: T.logdet(definite(a)),
    "cholesky": lambda T, a: T.linalg.cholesky(definite(a)),
    "cholesky upper": lambda T, a: T.linalg.cholesky(definite(a), upper=True),
    "torch.cholesky": lambda T, a: T.cholesky(definite(a)),
    "cholesky_ex": lambda T, a: T.linalg.cholesky_ex(definite(a)),
    "cholesky_inverse": lambda T, a: T.cholesky_inverse(T.linalg.cholesky(definite(a))),
    "qr": lambda T, a: T.linalg.qr(a), "torch.qr": lambda T, a: T.qr(a),
    "qr complete": lambda T, a: T.linalg.qr(a, mode="complete"),
    "eigh": lambda T, a: parts_of(T.linalg.eigh(symmetric(a))),
    "eigh U": lambda T, a: T.linalg.eigh(a, UPLO="U")[0].detach(),
    "eigvalsh": lambda T, a: T.linalg.eigvalsh(symmetric(a)),
    "svd": lambda T, a: parts_of(T.linalg.svd(a)), "svdvals": lambda T, a: T.linalg.svdvals(a),
    "torch.svd": lambda T, a: parts_of(T.svd(a)),
    "pinv": lambda T, a: T.linalg.pinv(a), "pinverse": lambda T, a: T.pinverse(a),
    "pinv hermitian": lambda T, a: T.linalg.pinv(symmetric(a), hermitian=True),
    "matrix_exp": lambda T, a: T.matrix_exp(a), "exp large": lambda T, a: T.linalg.matrix_exp(4 * a),
    "matrix_power": lambda T, a: T.linalg.matrix_power(a, 3),
    "torch.matrix_power -3": lambda T, a: T.matrix_power(a, -3),
    "matrix_power -2": lambda T, a: T.linalg.matrix_power(a, -2),
    "matrix_rank": lambda T, a: T.linalg.matrix_rank(a),
    "matrix_rank tol": lambda T, a: T.linalg.matrix_rank(a, tol=1.5),
    "matrix_rank hermitian": lambda T, a: T.linalg.matrix_rank(symmetric(a), hermitian=True),
    "cond": lambda T, a: T.linalg.cond(a), "cond 1": lambda T, a: T.linalg.cond(a, 1).detach(),
    "cond -2": lambda T, a: T.linalg.cond(a, -2), "cond fro": lambda T, a: T.linalg.cond(a.detach(), "fro"),
    "multi_dot": lambda T, a: T.linalg.multi_dot([a[0], a[1], a[0, 0]]),
    "lu_factor": lambda T, a: T.linalg.lu_factor(a), "lu": lambda T, a: T.linalg.lu(a),
    "lu_unpack": lambda T, a: T.lu_unpack(*T.linalg.lu_factor(a)),
    "tensorinv": lambda T, a: T.linalg.tensorinv(a[0].reshape(3, 3, 1), ind=1),
    "inv_ex": lambda T, a: T.linalg.inv_ex(a), "diagonal": lambda T, a: T.linalg.diagonal(a),
}
TALL_ONES = ("qr", "torch.qr", "svdvals", "torch.svd", "pinv", "pinverse", "matrix_rank", "cond",
             "diagonal")
WIDE_ONES = TALL_ONES + ("qr complete",)
NORMS = {f"norm {order} {dim} {keep}": lambda T, a, order=order, dim=dim, keep=keep:
         T.linalg.norm(a, order, dim, keep)
         for order, dim in [(None, None), (2, 1), (1, -1), (float("inf"), 0), (3, 2), ("fro", None),
                            ("nuc", None), (1, (-2, -1)), (-1, (0, 1)), (2, (1, 2)), (-2, (2, 0)),
                            (float("inf"), (1, 2)), (-float("inf"), (2, 1))]
         for keep in (False, True)}
BINARY = {
    "solve": (lambda T, a, b: T.linalg.solve(a, b), SQUARE, RIGHT),
    "solve broadcast": (lambda T, a, b: T.linalg.solve(a, b), SQUARE[0], RIGHT),
    "solve vector": (lambda T, a, b: T.linalg.solve(a, b), SQUARE, VECTOR),
    "solve right": (lambda T, a, b: T.linalg.solve(a, b, left=False), SQUARE, WIDE[:, :2, :3]),
    "solve_triangular": (lambda T, a, b: T.linalg.solve_triangular(a, b, upper=False), SQUARE,
                         RIGHT),
    "solve_triangular upper": (lambda T, a, b: T.linalg.solve_triangular(a, b, upper=True), SQUARE,
                               RIGHT),
    "solve_triangular unit": (lambda T, a, b: T.linalg.solve_triangular(
        a, b, upper=True, unitriangular=True), SQUARE, RIGHT),
    "solve_triangular right": (lambda T, a, b: T.linalg.solve_triangular(
        a, b, upper=False, left=False), SQUARE, WIDE[:, :2, :3]),
    "triangular_solve": (lambda T, a, b: T.triangular_solve(b, a)[0], SQUARE, RIGHT),
    "cholesky_solve": (lambda T, a, b: T.cholesky_solve(b, T.linalg.cholesky(definite(a))), SQUARE,
                       RIGHT),
    "lu_solve": (lambda T, a, b: T.linalg.lu_solve(*T.linalg.lu_factor(a), b), SQUARE, RIGHT),
    "lu_solve adjoint": (lambda T, a, b: T.linalg.lu_solve(*T.linalg.lu_factor(a), b,
                                                           adjoint=True), SQUARE, RIGHT),
    "lstsq": (lambda T, a, b: T.linalg.lstsq(a, b).solution, TALL, RNG.uniform(-1, 1, (2, 5, 2))),
    "lstsq wide": (lambda T, a, b: T.linalg.lstsq(a, b).solution, WIDE, RIGHT),
    "lstsq gelsd": (lambda T, a, b: tuple(x.detach() for x in T.linalg.lstsq(
        a, b, driver="gelsd")), TALL, RNG.uniform(-1, 1, (2, 5, 2))),
    "cross": (lambda T, a, b: T.linalg.cross(a, b), SQUARE, SQUARE[::-1].copy()),
    "vecdot": (lambda T, a, b: T.linalg.vecdot(a, b), SQUARE, SQUARE[::-1].copy()),
    "tensorsolve": (lambda T, a, b: T.linalg.tensorsolve(a, b), SQUARE[0].reshape(3, 3, 1),
                    VECTOR[:, None]),
    "householder_product": (lambda T, a, b: T.linalg.householder_product(a, b), TALL,
                            RNG.uniform(0.5, 1.5, (2, 3))),
}
VALUES = {"float64": 1e-8, "float32": 2e-3}


def differences(program, *arrays, dtype="float64", grads=2):
    inputs = [Input(a, dtype) for a in arrays]
    found = check(program, *inputs, grads=grads, names=False, strides=False,
                  tolerance=VALUES[dtype])
    return [d for d in found if not re.search(r"requires_grad", d)]


@pytest.fixture(params=["cpu", "reference"], autouse=True)
def backend(request):
    with config.backend.override(request.param):
        yield


@pytest.mark.parametrize("name", UNARY)
def test_of_one_matrix(name):
    shapes = [SQUARE] + [TALL] * (name in TALL_ONES) + [WIDE] * (name in WIDE_ONES)
    for a in shapes:
        assert not differences(UNARY[name], a)
        assert not differences(UNARY[name], a, dtype="float32", grads=1)


@pytest.mark.parametrize("name", NORMS)
def test_norms(name):
    a = SQUARE if not name.startswith(("norm fro N", "norm nuc N")) else TALL
    assert not differences(NORMS[name], a, grads=1)


@pytest.mark.parametrize("name", BINARY)
def test_of_two_tensors(name):
    program, a, b = BINARY[name]
    assert not differences(program, a, b, grads=1 if name == "tensorsolve" else 2)


@pytest.mark.parametrize("name", ["inv", "det", "cholesky", "qr", "eigvalsh", "svdvals",
                                  "matrix_exp"])
def test_empty_and_single(name):
    for shape in ((0, 3, 3), (1, 1)):
        assert not differences(UNARY[name], np.ones(shape) * 2, grads=0)


REFUSED = "cholesky inv det slogdet qr eigh eigvalsh svd svdvals matrix_exp cond matrix_norm pinv " \
          "matrix_rank lu_factor cholesky_ex".split()
MATRICES = {"zeros": (np.zeros((2, 2)), "float32"), "one of two": (
    np.stack([np.eye(2), np.zeros((2, 2))]), "float32"), "wide": (np.ones((2, 3)), "float32"),
    "vector": (np.ones(3), "float32"), "whole": (np.ones((2, 2)), "int64"),
    "half": (np.eye(2), "float16")}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", MATRICES)
def test_words_of_errors(name, kind):
    array, dtype = MATRICES[kind]
    found = check(lambda T, a: not getattr(T.linalg, name)(a), Input(array, dtype), grads=0,
                  tolerance=1e-5)
    assert not [d for d in found if "instead of RuntimeError: Boolean value" not in d], found


@pytest.mark.parametrize("program", [
    lambda T, a: T.linalg.solve(a, T.ones(2)), lambda T, a: T.linalg.solve(a * 0, T.ones(3)),
    lambda T, a: T.linalg.solve(a, T.ones(3).double()), lambda T, a: T.linalg.qr(a, mode="x"),
    lambda T, a: T.linalg.matrix_norm(a, 3), lambda T, a: T.linalg.eigh(a, UPLO="x"),
    lambda T, a: T.linalg.multi_dot([a]), lambda T, a: T.linalg.cond(a, "x"),
    lambda T, a: T.linalg.solve_triangular(a, T.ones(2, 2), upper=True),
    lambda T, a: T.linalg.norm(a[None], 2)])
def test_words_of_wrong_arguments(program):
    assert not check(program, Input(np.eye(3), "float32"), grads=0)


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("size", [33, 130])
def test_large_triangles_are_solved_by_halves(size, upper):
    import rushlight
    a = np.random.default_rng(3).uniform(-1, 1, (2, size, size)) / size + 2 * np.eye(size)
    b = np.random.default_rng(4).uniform(-1, 1, (2, size, 5))
    ours, theirs = (m.linalg.solve_triangular(m.tensor(a), m.tensor(b), upper=upper).numpy() for m in (rushlight, torch))
    assert np.allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_cofactors_of_matrices_of_every_rank():
    """Those that an inverse does for and those that it does not, in one batch; PyTorch errs in one of them."""
    import rushlight
    a = np.random.default_rng(5).uniform(-1, 1, (6, 4, 4))
    a[1] = 0
    a[2, 1] = a[2, 0]
    a[3, 1:3] = a[3, 0]
    a[4, 1] = a[4, 0] * (1 + 1e-12)
    x = rushlight.tensor(a, requires_grad=True)
    found = rushlight.autograd.grad(rushlight.linalg.det(x).sum(), x)[0].numpy()
    for (k, i, j), value in np.ndenumerate(found):
        minor = np.linalg.det(np.delete(np.delete(a[k], i, 0), j, 1))
        assert abs(value - (-1) ** (i + j) * minor) < 1e-13
