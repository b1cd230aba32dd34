"""The whole stack in seconds: what must work before anything else is looked at."""
from __future__ import annotations

import numpy as np
import pytest

import rushlight as T
from rushlight import config, nn, optim

F = nn.functional


def test_arithmetic():
    x = T.arange(6.0).reshape(2, 3)
    assert ((x + 1) * 2 - x / 2).tolist() == [[2.0, 3.5, 5.0], [6.5, 8.0, 9.5]]


def test_reduction():
    x = T.arange(24).reshape(2, 3, 4)
    assert x.sum().item() == 276
    assert x.sum((0, 2)).tolist() == [60, 92, 124]
    assert x.float().mean(-1).tolist() == [[1.5, 5.5, 9.5], [13.5, 17.5, 21.5]]
    assert x.max(1).indices.tolist() == [[2] * 4] * 2


def test_views_share_memory():
    x = T.zeros(3, 4)
    x.t()[1] = 5
    x[::2, 2:] += 1
    assert x.tolist() == [[0, 5, 1, 1], [0, 5, 0, 0], [0, 5, 1, 1]]


def test_matmul():
    a, b = T.arange(6.0).reshape(2, 3), T.arange(12.0).reshape(3, 4)
    assert (a @ b).tolist() == (a.numpy() @ b.numpy()).tolist()
    assert (b.t() @ a.t()).tolist() == (a.numpy() @ b.numpy()).T.tolist()


def test_convolution():
    y = F.conv2d(T.ones(1, 2, 5, 5), T.ones(3, 2, 3, 3), padding=1)
    assert y.shape == (1, 3, 5, 5) and y[0, 0].tolist()[0] == [8, 12, 12, 12, 8]


def test_indexing():
    x = T.arange(20).reshape(4, 5)
    rows = T.tensor([3, -1, 0])
    assert x[rows, 2].tolist() == [17, 17, 2]
    x[x > 17] = 0
    assert x.sum().item() == 190 - 18 - 19
    assert T.zeros(3).index_add(0, T.tensor([1, 1, 2]), T.ones(3)).tolist() == [0, 2, 1]


def test_gradient():
    x = T.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x.pow(3).sum() + (x * 2).exp().log().sum()).backward()
    assert x.grad.tolist() == pytest.approx([5.0, 14.0, 29.0])
    (g,) = T.autograd.grad((x ** 3).sum(), x, create_graph=True)
    assert T.autograd.grad(g.sum(), x)[0].tolist() == pytest.approx([6.0, 12.0, 18.0])


def test_dtypes():
    assert (T.arange(3) + 0.5).dtype is T.float32
    assert (T.arange(3, dtype=T.uint8) + T.tensor(1)).dtype is T.uint8
    assert (T.ones(2, dtype=T.bfloat16) * 3).float().tolist() == [3, 3]
    assert (T.arange(3) // 2 == T.tensor([0, 0, 1])).all().item()


def test_random_numbers_are_those_of_pytorch():
    T.manual_seed(0)
    assert T.rand(3).tolist() == pytest.approx([0.4962565899, 0.7682217956, 0.0884774327], rel=1e-6)


def test_training():
    T.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = optim.Adam(net.parameters(), lr=0.05)
    x = T.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = T.tensor([[0.0], [1.0], [1.0], [0.0]])
    for _ in range(150):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(net(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert (net(x) > 0).tolist() == [[False], [True], [True], [False]]


def test_numpy_shares_memory():
    a = np.arange(4.0, dtype=np.float32)
    x = T.from_numpy(a)
    x *= 2
    a += 1
    assert x.tolist() == [1, 3, 5, 7] and a.tolist() == [1, 3, 5, 7]


def test_errors_come_at_the_line():
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        T.ones(2, 3) @ T.ones(2, 3)
    with pytest.raises(IndexError, match="out of bounds"):
        T.ones(3)[T.tensor([4])].tolist()


def test_reference_agrees():
    def program():
        x = T.linspace(-2, 2, 60).reshape(3, 20)
        y = F.softmax(x.t() @ x, -1).cumsum(0)
        return (y[1:] - y[:-1]).sum(1).sort().values.tolist()
    compiled = program()
    with config.backend.override("reference"):
        assert program() == pytest.approx(compiled, rel=1e-4, abs=1e-6)


def test_save_and_load(tmp_path):
    net = nn.Linear(3, 2)
    T.save(net.state_dict(), tmp_path / "net.pt")
    other = nn.Linear(3, 2)
    other.load_state_dict(T.load(tmp_path / "net.pt"))
    assert other.weight.tolist() == net.weight.tolist()
