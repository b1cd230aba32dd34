"""F: broadcasting, products, reductions, nan."""
import math

import numpy as np
import pytest

import rushlight as torch
from rushlight.nn import functional as F

nan, inf = math.nan, math.inf


def test_f01_broadcasting_rule():
    a, b, c, d = torch.zeros(5, 1), torch.zeros(1, 6), torch.zeros(6), torch.tensor(1.0)
    assert (a + b + c + d).shape == (5, 6) == torch.broadcast_shapes((5, 1), (1, 6), (6,), ())
    wide = a.expand(5, 6)
    assert wide.stride() == (1, 0) and wide.data_ptr() == a.data_ptr()


def test_f02_broadcasting_error():
    with pytest.raises(RuntimeError, match=r"The size of tensor a \(3\) must match the size of tensor b \(4\) at non-singleton dimension 1"):
        torch.zeros(2, 3) + torch.zeros(2, 4)


TENS, ONES = torch.tensor([0, 10, 20, 30]), torch.tensor([1, 2, 3])


def test_f03_outer_sum():
    assert (TENS[:, None] + ONES).tolist() == [[1, 2, 3], [11, 12, 13], [21, 22, 23], [31, 32, 33]]


def test_f04_outer_product():
    expected = [[0, 0, 0], [10, 20, 30], [20, 40, 60], [30, 60, 90]]
    assert (TENS.reshape(-1, 1) * ONES).tolist() == torch.outer(TENS, ONES).tolist() == expected


def test_f05_msa_to_pairs():
    s, r, c_m, c_z = 4, 5, 3, 2
    msa, project = torch.rand(s, r, c_m), torch.rand(c_m * c_m, c_z)
    pairs = torch.einsum("sia,sjb->ijab", msa, msa).reshape(r, r, -1) / s @ project
    i, j = 1, 3
    by_hand = (msa[:, i].reshape(s, 1, c_m) * msa[:, j].reshape(s, c_m, 1)).mean(0)
    assert pairs.shape == (r, r, c_z)
    assert torch.allclose(pairs[i, j], by_hand.t().reshape(-1) @ project)


def test_f06_targets_to_pairs():
    left, right = torch.rand(1, 5, 2), torch.rand(5, 1, 2)
    assert (left + right).shape == (5, 5, 2)


def test_f07_vectorising():
    x, w = torch.rand(10, 3), torch.rand(3)
    loop = torch.stack([row @ w for row in x])
    assert torch.allclose(x @ w, loop) and torch.allclose(torch.vmap(torch.dot, (0, None))(x, w), loop)


def test_f08_max():
    found = torch.max(torch.tensor([[1, 5], [7, 2]]), 1)
    assert found.values.tolist() == [5, 7] and found.indices.tolist() == [1, 0]
    assert found[0] is found.values and len(found) == 2
    assert repr(found) == "torch.return_types.max(\nvalues=tensor([5, 7]),\nindices=tensor([1, 0]))"
    assert torch.max(torch.tensor([3, 9])) == 9
    with pytest.raises(RuntimeError, match="Expected reduction dim to be specified for input.numel\\(\\) == 0"):
        torch.max(torch.zeros(0))


def test_f09_mean_keeps_the_axis():
    x = torch.arange(6.0).reshape(2, 3)
    assert x.mean(-1, keepdim=True).tolist() == [[1], [4]] and x.mean().item() == 2.5
    with pytest.raises(RuntimeError, match=r"mean\(\): could not infer output dtype"):
        torch.arange(3).mean()


def test_f10_std():
    x = torch.arange(4.0)
    assert abs(x.std().item() - 1.2909944) < 1e-6 and abs(x.std(unbiased=False).item() - 1.1180340) < 1e-6
    assert x.reshape(2, 2).std(-1, keepdim=True).shape == (2, 1)


def test_f11_sum():
    truth = torch.tensor([[True, False], [True, True]])
    assert truth.sum() == 3 and truth.sum().dtype == torch.int64 and truth.sum(axis=1).tolist() == [1, 2]
    assert torch.ones(2, 3, dtype=torch.uint8).sum().dtype == torch.int64


def test_f12_matmul():
    q, k = torch.rand(30, 8, 10, 64), torch.rand(30, 8, 64, 11)
    y = q @ k
    assert y.shape == (30, 8, 10, 11)
    assert torch.allclose(y[3, 4], torch.matmul(q[3, 4], k[3, 4]))


def test_f13_bmm():
    y = torch.bmm(torch.rand(10, 3, 4), torch.rand(10, 4, 5))
    assert str(y.shape) == "torch.Size([10, 3, 5])"
    assert torch.bmm(torch.ones(10, 3, 4), torch.ones(10, 4, 5), out=y) is y and y[9, 2, 4] == 4


def test_f14_bmm_errors():
    with pytest.raises(RuntimeError, match="batch1 must be a 3D tensor"):
        torch.bmm(torch.zeros(3, 4), torch.zeros(10, 4, 5))
    with pytest.raises(RuntimeError, match=r"Expected size for first two dimensions of batch2 tensor to be: \[9, 4\] but got: \[10, 4\]."):
        torch.bmm(torch.zeros(9, 3, 4), torch.zeros(10, 4, 5))


def test_f15_relu():
    assert torch.relu(torch.tensor([-1.0, 0.0, 2.0])).tolist() == [0, 0, 2]
    assert torch.relu(torch.tensor([-3, 3])).tolist() == [0, 3] and torch.relu(torch.tensor(nan)).isnan()


def test_f16_softmax():
    y = F.softmax(torch.tensor([1, -1e9, 2]), dim=-1)
    assert torch.allclose(y, torch.tensor([0.26894143, 0, 0.7310586])) and y[1] == 0
    assert torch.equal(torch.softmax(torch.tensor([[1e4, 0.0]]), 1), torch.tensor([[1.0, 0.0]]))


def test_f17_nan_is_not_itself():
    x = torch.tensor([nan, 1.0])
    assert (x == x).tolist() == [False, True] and (x != x).tolist() == [True, False] and torch.nan != torch.nan
    assert not torch.equal(x, x.clone()) and torch.allclose(x, x, equal_nan=True)


def test_f18_kinds_of_numbers():
    x = torch.tensor([nan, inf, -inf, 1.0])
    assert torch.isnan(x).tolist() == [True, False, False, False]
    assert torch.isinf(x).tolist() == [False, True, True, False]
    assert torch.isfinite(x).tolist() == [False, False, False, True]
    assert torch.isfinite(torch.tensor([1, 2])).all() and not torch.isnan(torch.tensor([1])).any()


def test_f19_reductions_without_nan():
    x = torch.arange(10.)
    x[3] = nan
    assert x.sum().isnan() and x.nansum() == 42.0 and abs(x.nanmean().item() - 42 / 9) < 1e-6
    assert x.nanmedian() == 5 and x.nanquantile(1.0) == 9 and torch.nan_to_num(x, nan=3.0).sum() == 45
    assert not hasattr(torch, "nanmax") and np.nanmax(x.numpy()) == 9
    assert x.max().isnan() and x.argmax() == 3


def test_f20_in_place_forms():
    x = torch.ones(3)
    same = x.add_(1).mul_(2).clamp_(max=3)
    assert same is x and x.tolist() == [3, 3, 3]
    assert x.requires_grad_() is x and (x * 2).detach_().grad_fn is None
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        torch.ones(2, dtype=torch.int64).add_(1.5)


def test_f21_a_signal():
    x = np.arange(0, 10, 0.1)
    y = torch.arange(0, 10, 0.1, dtype=torch.float64)
    assert y.shape == (100,) and np.allclose(x, y) and np.allclose(np.sin(x), torch.sin(y), atol=1e-15)
