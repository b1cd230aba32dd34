"""Sparse tensors: what is true of them whatever PyTorch does."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import rushlight as torch
from rushlight.autograd import gradcheck, gradgradcheck

RNG = np.random.default_rng(1)


def matrix(n=6, m=5, stored=11, layout=torch.sparse_coo):
    at = np.stack([RNG.integers(0, n, stored), RNG.integers(0, m, stored)])
    s = torch.sparse_coo_tensor(torch.tensor(at), torch.tensor(RNG.standard_normal(stored)), (n, m))
    return s.coalesce().to_sparse(layout=layout)


LAYOUTS = [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("width", [1, 3, 17, 300])
def test_product_is_that_of_the_dense_matrix(layout, width):
    a, b = matrix(60, 50, 700, layout), torch.tensor(RNG.standard_normal((50, width)))
    np.testing.assert_allclose((a @ b).numpy(), (a.to_dense() @ b).numpy(), 1e-12, 1e-12)
    np.testing.assert_allclose((b.t() @ a.t()).numpy(), (b.t() @ a.to_dense().t()).numpy(), 1e-12, 1e-12)


def test_pieces_of_a_product_add_up(monkeypatch):
    from rushlight.sparse import products
    a, b = matrix(60, 50, 700), torch.tensor(RNG.standard_normal((50, 8)))
    whole = (a @ b).numpy()
    monkeypatch.setattr(products, "PIECE", 100)
    other = torch.sparse_coo_tensor(a.indices(), a.values(), (61, 50))      # another size: not replayed
    assert ((other @ b)[:60].numpy() == whole).all()


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_derivatives_of_products(layout):
    a = matrix(layout=layout)
    at = a.coordinates() if layout == torch.sparse_csr else a.indices()

    def product(values, x):
        made = torch.sparse_coo_tensor(torch.stack(tuple(at)), values, a.shape)
        return torch.sparse.mm(made.to_sparse(layout=layout), x)
    values = a.values().clone().requires_grad_()
    x = torch.tensor(RNG.standard_normal((5, 3)), requires_grad=True)
    assert gradcheck(product, (values, x)) and gradgradcheck(product, (values, x))


def test_gradient_of_a_leaf_is_sparse():
    a = matrix().requires_grad_()
    (a @ torch.ones(5, 2, dtype=torch.float64)).sum().backward()
    assert a.grad.is_sparse and a.grad._nnz() == a._nnz() and (a.grad.values() == 2).all()
    a.grad = None
    assert a.grad is None and a.is_leaf and a.grad_fn is None
    g, = torch.autograd.grad((a * 3).sum(), a)
    assert (g.values() == 3).all()


def test_hooks_see_sparse_gradients():
    a, seen = matrix().requires_grad_(), []
    a.register_hook(lambda g: seen.append(g) or g * 2)
    a.sum().backward()
    assert seen[0].is_sparse and (a.grad.values() == 2).all()


def test_dense_and_sparse_gradients_add_up():
    table = torch.nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1, 1])).sum().backward()
    table.weight.sum().backward()
    assert table.weight.grad.tolist() == [[1, 1], [3, 3], [1, 1], [1, 1]]
    table(torch.tensor([0])).sum().backward()
    assert table.weight.grad.tolist() == [[2, 2], [3, 3], [1, 1], [1, 1]]


def test_in_place_arithmetic_is_seen_by_all_that_share_the_values():
    a = matrix()
    b, before = a.detach(), a.to_dense().numpy().copy()
    b.mul_(2)
    assert (a.to_dense().numpy() == before * 2).all()
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        a.requires_grad_().mul_(2)


def test_copies():
    a = matrix()
    for b in (copy.deepcopy(a), pickle.loads(pickle.dumps(a)), a.clone()):
        assert repr(b) == repr(a)
        b.mul_(2)
        assert repr(b) != repr(a)


def test_a_module_keeps_a_sparse_buffer():
    m = torch.nn.Module()
    m.register_buffer("a", matrix())
    other = copy.deepcopy(m).float()
    assert other.a.dtype is torch.float32 and m.state_dict()["a"].is_sparse and m.a.dtype is torch.float64


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_compiled_step_replays_and_sees_other_values(layout):
    a, x = matrix(layout=layout), torch.ones(5, 2, dtype=torch.float64)

    @torch.compile
    def product():
        return torch.sparse.mm(a, x)
    with torch.no_grad():
        for k in range(8):
            if k == 5:
                a.mul_(3)
            assert (product().numpy() == torch.sparse.mm(a, x).numpy()).all()
    assert "replayed" in torch.explain(product)


@pytest.mark.parametrize("call", [
    lambda s: s.exp(), lambda s: s.reshape(-1), lambda s: s == s, lambda s: torch.sigmoid(s), lambda s: s.max(),
    lambda s: s.numpy(), lambda s: s.storage, lambda s: s + 1, lambda s: s / s, lambda s: torch.softmax(s, 0)])
def test_what_sparse_tensors_do_not_have_is_refused(call):
    with pytest.raises((NotImplementedError, RuntimeError, TypeError)):
        call(matrix())


@pytest.mark.parametrize("bad, words", [
    (lambda: torch.sparse_coo_tensor([[0, 5]], [1., 2.], (3,), check_invariants=True), "size is inconsistent with indices"),
    (lambda: torch.sparse_csr_tensor([0, 2, 1], [0, 1], [1., 2.], (2, 2), check_invariants=True), "not satisfied"),
    (lambda: torch.sparse_csr_tensor([0, 1, 2], [0, 7], [1., 2.], (2, 2), check_invariants=True), "is not satisfied")])
def test_checks_of_indices(bad, words):
    with pytest.raises(RuntimeError, match=words):
        bad()


def test_index_beyond_the_matrix_is_an_error_of_the_product():
    s = torch.sparse_coo_tensor([[0], [9]], [1.], (2, 3))
    with pytest.raises((RuntimeError, IndexError)):
        (s @ torch.ones(3, 2)).tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_products_of_half_precision_are_rounded_once(dtype):
    a, b = matrix(60, 50, 900), torch.tensor(RNG.standard_normal((50, 9)))
    low = a.to(dtype), b.to(dtype)
    found, expected = low[0] @ low[1], low[0].float() @ low[1].float()
    assert found.dtype is dtype and (found == expected.to(dtype)).all()


def test_autocast_takes_sparse_operands():
    a, x = torch.eye(3).to_sparse(), torch.ones(3, 2, requires_grad=True)
    with torch.autocast("cpu"):
        y = torch.sparse.mm(a, x)
        assert y.dtype is (a @ x).dtype is torch.bfloat16
    y.sum().backward()
    assert x.grad.dtype is torch.float32 and (x.grad == 1).all()
