"""Kernels of small matrices, in lanes and in rows: as exact as LAPACK, alike on all threads, the same failures."""
import numpy as np
import pytest

import rushlight as torch

SHAPES = [(1, 1), (3, 3), (5, 4, 4), (20, 3, 3), (17, 8, 8), (2, 3, 5, 5), (40, 20, 20), (3, 33, 33), (64, 64)]
OBLONG = [(7, 3), (3, 7), (20, 5, 3), (20, 3, 5), (50, 20), (20, 50), (9, 33, 20)]
KINDS = [np.float32, np.float64]


def drawn(*shape, kind=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(kind)


def definite(*shape, kind=np.float32):
    a = drawn(*shape, kind=kind)
    return a @ a.swapaxes(-1, -2) + shape[-1] * np.eye(shape[-1], dtype=kind)


def lying(a):
    """The same matrices, by rows, by columns, and with gaps."""
    turned = np.ascontiguousarray(a.swapaxes(-1, -2))
    return [torch.tensor(a), torch.tensor(turned).mT, torch.tensor(np.repeat(a, 2, -1))[..., ::2]]


def alike(results):
    first, *others = (r.numpy() for r in results)
    assert all(np.array_equal(first, x) for x in others)
    return first


def near(got, exact, lapack, of=None):
    """Not further from what is exact than a few times LAPACK's result in the same dtype, or the condition of a float64 matrix allows."""
    worst = np.linalg.cond(of).max() if of is not None and of.dtype == np.float64 else 30
    limit = 4 * np.abs(lapack - exact).max() + max(worst, 30) * np.finfo(got.dtype).eps * np.abs(exact).max()
    assert np.abs(got - exact).max() <= limit


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_square_matrices(shape, kind):
    a, b = drawn(*shape, kind=kind), drawn(*shape[:-1], 3, kind=kind, seed=1)
    wide, xs = a.astype(np.float64), lying(a)
    near(alike([torch.linalg.inv(x) for x in xs]), np.linalg.inv(wide), np.linalg.inv(a), a)
    near(alike([torch.linalg.solve(x, torch.tensor(b)) for x in xs]), np.linalg.solve(wide, b), np.linalg.solve(a, b), a)
    sign, size = torch.linalg.slogdet(torch.tensor(a))
    np.testing.assert_array_equal(sign.numpy(), np.linalg.slogdet(wide)[0])
    near(size.numpy(), np.linalg.slogdet(wide)[1], np.linalg.slogdet(a)[1], a)
    if shape[-1] < 30:
        near(alike([torch.linalg.det(x) for x in xs]), np.linalg.det(wide), np.linalg.det(a), a)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_definite_matrices(shape, kind):
    a, b = definite(*shape, kind=kind), drawn(*shape[:-1], 5, kind=kind, seed=1)
    wide = a.astype(np.float64)
    a = a + np.triu(np.full(shape, np.nan, kind), 1)                 # only the lower triangle is read
    factor = alike([torch.linalg.cholesky(x) for x in lying(a)])
    near(factor, np.linalg.cholesky(wide), np.linalg.cholesky(a))
    assert not np.triu(factor, 1).any()
    lower = np.linalg.cholesky(wide)
    for upper in (False, True):
        half = (lower.swapaxes(-1, -2) if upper else lower).astype(kind)
        got = alike([torch.linalg.solve_triangular(x, torch.tensor(b), upper=upper) for x in lying(half)])
        near(got, np.linalg.solve(half.astype(np.float64), b), np.linalg.solve(half, b))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES + OBLONG)
def test_orthogonal_factors(shape, kind):
    a = drawn(*shape, kind=kind)
    for mode in ("reduced", "complete"):
        exact, lapack = np.linalg.qr(a.astype(np.float64), mode), np.linalg.qr(a, mode)
        for got, want, theirs in zip(torch.linalg.qr(torch.tensor(a), mode), exact, lapack, strict=True):
            near(got.numpy(), want, theirs)


def test_reflections_of_columns_that_are_zero_or_nearly():
    """LAPACK leaves a column alone that is zero below, and turns the sign where it is hardly more."""
    a = np.eye(4, dtype=np.float32)
    a[2, 1], a[0, 0], a[:, 3] = 1e-30, -2, 0
    for x in (a, np.stack([a] * 20)):
        for got, want in zip(torch.linalg.qr(torch.tensor(x)), np.linalg.qr(x), strict=True):
            np.testing.assert_allclose(got.numpy(), want, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES + OBLONG + [(400, 400), (390, 70)])
def test_factors_with_pivots(shape):
    a = drawn(*shape)
    p, lower, upper = torch.linalg.lu(torch.tensor(a))
    assert np.abs((p @ lower @ upper).numpy() - a).max() < 1e-4
    assert np.abs(lower.numpy()).max() == 1
    both, pivots = torch.linalg.lu_factor(torch.tensor(a))
    for got, want in zip(torch.lu_unpack(both, pivots), (p, lower, upper), strict=True):
        assert torch.equal(got, want)


def test_the_first_of_equal_pivots():
    a = torch.tensor([[1.0, 2.0], [-1.0, 5.0]])
    for x in (a, a.expand(40, 2, 2)):
        assert (torch.linalg.lu_factor(x).pivots[..., 0] == 1).all()


@pytest.mark.parametrize("shape", [(3, 3), (40, 4, 4), (2, 20, 20)])
def test_cofactors_of_singular_matrices(shape):
    a = drawn(*shape, kind=np.float64)
    a[..., -1, :] = a[..., 0, :]
    x = torch.tensor(a, requires_grad=True)
    torch.det(x).sum().backward()
    minors = np.empty(shape)
    for i, j in np.ndindex(shape[-2:]):
        rest = np.delete(np.delete(a, i, -2), j, -1)
        minors[..., i, j] = (-1) ** (i + j) * np.linalg.det(rest)
    np.testing.assert_allclose(x.grad.numpy(), minors, atol=1e-12 * np.abs(minors).max())
    x = torch.tensor(np.where(np.arange(shape[-1])[:, None] < shape[-1] - 3, a, 1), requires_grad=True)
    torch.det(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 0, atol=1e-12 * np.abs(minors).max())    # rank n - 2 has none


@pytest.mark.parametrize("shape", [(40, 3, 3), (3, 40, 40)])
def test_failures_name_the_first_matrix(shape):
    last = shape[0] - 1
    regular = np.tile(2 * np.eye(shape[-1], dtype=np.float32), (shape[0], 1, 1))
    a = regular.copy()
    a[1:, 1, 1] = 0
    for call, phrase in ((torch.linalg.inv, r"\(Batch element 1\): The diagonal element 2 is zero"),
                         (lambda x: torch.linalg.solve(x, x), r"\(Batch element 1\): The solver failed"),
                         (lambda x: torch.linalg.cholesky(-x), r"\(Batch element 0\): .* leading minor of order 1 ")):
        with pytest.raises(torch.linalg.LinAlgError, match=phrase):
            call(torch.tensor(a))
    info = torch.linalg.inv_ex(torch.tensor(a)).info
    assert info.tolist() == [0] + last * [2]
    factor, info = torch.linalg.cholesky_ex(torch.tensor(a - np.diag([1] + (shape[-1] - 1) * [0]).astype(np.float32)))
    assert info.tolist() == [0] + last * [2]
    assert not factor[0].isnan().any() and factor[1:].tril().isnan().any((-1, -2)).all()


def test_zero_diagonals_give_infinite_solutions():
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    y = torch.linalg.solve_triangular(a, torch.ones(2, 1), upper=False)
    assert y[0].item() == 1 and y[1].isnan().item()
    assert torch.linalg.det(a).item() == 0 and torch.linalg.slogdet(a).logabsdet.item() == -np.inf


def test_matrices_do_not_know_of_each_other():
    a = drawn(40, 6, 6)
    whole = torch.linalg.inv(torch.tensor(a)).numpy()
    a[3], a[20] = np.nan, 1e30 * a[20]
    changed = torch.linalg.inv(torch.tensor(a)).numpy()
    others = [k for k in range(40) if k not in (3, 20)]
    assert np.array_equal(whole[others], changed[others]) and np.isnan(changed[3]).all()


def test_matrices_of_a_batch_that_is_broadcast():
    a, b = drawn(5, 1, 4, 4), drawn(6, 4, 3, seed=1)
    got = torch.linalg.solve(torch.tensor(a), torch.tensor(b)).numpy()
    near(got, np.linalg.solve(a.astype(np.float64), b), np.linalg.solve(a, b))


@pytest.mark.parametrize("shape", [(300, 6, 6), (7, 48, 48)])
def test_threads_change_no_bit(shape):
    x, threads, found = torch.tensor(definite(*shape)), torch.get_num_threads(), []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        parts = [torch.linalg.inv(x), torch.linalg.cholesky(x), torch.linalg.qr(x).R, torch.linalg.slogdet(x)[1]]
        found.append([p.numpy().tobytes() for p in parts])
    torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]
