"""The first few of an order, gradients of products and running products, even bags, distances."""
import numpy as np
import pytest

import rushlight as torch

F = torch.nn.functional


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "uint8", "int64", "float64"])
@pytest.mark.parametrize("largest", [True, False])
def test_topk_is_the_beginning_of_a_stable_order(dtype, largest):
    x = torch.tensor(np.random.default_rng(3).integers(0, 40, (90, 70))).to(getattr(torch, dtype))
    for dim in (0, 1):
        whole = x.argsort(dim, descending=largest, stable=True)
        for k in (1, 7, 64):
            values, at = x.topk(k, dim, largest)
            assert torch.equal(at, whole.narrow(dim, 0, k))
            assert torch.equal(values, x.gather(dim, at))


def test_topk_of_nan_and_sorted_rows():
    rows = np.stack([np.arange(500.0), np.arange(500.0)[::-1], np.full(500, np.nan), np.full(500, -np.inf)])
    rows[0, 77] = np.nan
    for largest in (True, False):
        x = torch.tensor(rows.astype(np.float32))
        assert torch.equal(x.topk(20, 1, largest)[1], x.argsort(1, descending=largest, stable=True)[:, :20])


@pytest.mark.parametrize("zeros", [0, 1, 2])
@pytest.mark.parametrize("name", ["prod", "cumprod"])
def test_quick_gradients_are_those_that_can_be_differentiated(name, zeros):
    a = np.random.default_rng(zeros).uniform(0.5, 1.5, (4, 9))
    a[0, :zeros] = a[1, 3:3 + zeros] = a[2, 9 - zeros:] = 0
    x = torch.tensor(a, requires_grad=True)
    y = getattr(x, name)(1)
    seed = torch.randn(y.shape, dtype=torch.float64)
    quick, = torch.autograd.grad(y, x, seed, retain_graph=True)
    exact, = torch.autograd.grad(y, x, seed, create_graph=True)
    assert np.allclose(quick.numpy(), exact.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("padding", [None, 2])
def test_even_bags_are_bags(mode, padding):
    weight = torch.randn(11, 19, requires_grad=True)
    index = torch.randint(0, 11, (13, 5))
    even = F.embedding_bag(index, weight, mode=mode, padding_idx=padding)
    cut = F.embedding_bag(index.reshape(-1), weight, torch.arange(0, 65, 5), mode=mode, padding_idx=padding)
    assert np.allclose(even.detach().numpy(), cut.detach().numpy(), atol=1e-6)
    grads = [torch.autograd.grad(y.square().sum(), weight)[0].numpy() for y in (even, cut)]
    assert np.allclose(*grads, atol=1e-5)


def test_distances_by_product_and_by_differences():
    a, b = (torch.randn(n, 6, dtype=torch.float64, requires_grad=True) for n in (30, 26))
    made = [torch.cdist(a, b, compute_mode=m) for m in ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")]
    assert np.allclose(*(y.detach().numpy() for y in made))
    for x in (a, b):
        assert np.allclose(*(torch.autograd.grad(y.sin().sum(), x, retain_graph=True)[0].numpy() for y in made))
    same = torch.cdist(a, a)
    assert np.isfinite(torch.autograd.grad(same.sum(), a)[0].numpy()).all()


def test_rolls_back():
    x = torch.randn(5, 7, requires_grad=True)
    seed = torch.randn(5, 7)
    x.roll((2, -3), (0, 1)).backward(seed)
    assert torch.equal(x.grad, seed.roll((-2, 3), (0, 1)))


def test_dear_steps_of_a_row_wait_and_change_no_bit():
    for n in (9, 64, 100, 4096, 5000):
        x = torch.randn(12, n)
        y = torch.tanh(x) * torch.exp(-x * x)
        fused = ((y - y.mean(1, keepdim=True)) * y.sin()).square().mean(1)
        z = torch.tanh(x) * torch.exp(-x * x)
        z.tolist()
        mean, sine = z.mean(1, keepdim=True), z.sin()
        mean.tolist(), sine.tolist()
        assert torch.equal(fused, ((z - mean) * sine).square().mean(1))


def test_distances_of_pairs_with_equal_rows():
    x = torch.randn(7, 4, dtype=torch.float64)
    x[5] = x[2]
    x.requires_grad_()
    seed = torch.randn(21, dtype=torch.float64)
    i, j = torch.triu_indices(7, 7, 1)
    made = F.pdist(x), torch.linalg.vector_norm(x[i] - x[j], 2, -1)
    assert torch.equal(*made)
    assert np.allclose(*(torch.autograd.grad(y, x, seed)[0].numpy() for y in made), rtol=1e-13)


def test_gradients_of_distances_far_from_zero():
    """Whole numbers, whose distances are exact: where rows lie costs no digits of the gradient either."""
    a, b = (torch.randint(-8, 8, (40, 5)).float() for _ in range(2))
    seed = torch.randn(40, 40)
    def gradient(x, y):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(torch.cdist(x, y), x, seed)[0].numpy()
    assert np.allclose(gradient(a + 1000, b + 1000), gradient(a, b), rtol=1e-4, atol=1e-4)
