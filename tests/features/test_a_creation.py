"""A: tensors are made, converted and printed as the notes say."""
import math

import numpy as np
import pytest

import rushlight as torch


def test_a01_arange():
    x = torch.arange(5)
    assert x.tolist() == [0, 1, 2, 3, 4] and x.dtype == torch.int64
    assert torch.arange(1, 10, 3).tolist() == [1, 4, 7]
    assert torch.arange(12).reshape(3, 4).shape == (3, 4)
    with pytest.raises(AttributeError, match="module '(torch|rushlight)' has no attribute 'arrange'"):
        torch.arrange(5)
    with pytest.raises(TypeError, match="range"):
        torch.range(12)
    with pytest.warns(UserWarning, match="torch.range is deprecated"):
        assert torch.range(0, 3).tolist() == [0, 1, 2, 3]


def test_a02_keywords_of_factories():
    assert torch.arange(15, dtype=torch.float64).dtype == torch.float64
    for make in (torch.zeros, torch.ones, torch.rand, torch.randn, torch.empty, torch.eye, lambda n, **k: torch.full((n,), 1.0, **k)):
        x = make(3, dtype=torch.float64, device="cpu", requires_grad=True)
        assert x.dtype == torch.float64 and x.device.type == "cpu" and x.requires_grad and x.is_leaf
    with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype can require gradients"):
        torch.arange(5, requires_grad=True)


def test_a03_tensor_from_nested_lists():
    x = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert x.shape == (2, 4) and x.dtype == torch.int64
    assert torch.tensor([1., 2.]).dtype == torch.float32
    assert torch.tensor([]).shape == (0,) and torch.tensor(3).shape == ()
    with pytest.raises(ValueError, match="expected sequence of length 2 at dim 1"):
        torch.tensor([[1, 2], [3]])


def test_a04_tensor_from_an_array():
    labels = np.array([0.5, 1.5])
    x = torch.tensor(labels)
    labels[0] = 9
    assert x.dtype == torch.float64 and x.tolist() == [0.5, 1.5]


def test_a05_from_numpy():
    a = np.array([[0, 7], [255, 0]], dtype=np.uint8)
    x = torch.from_numpy(a)
    a[0, 0] = 1
    assert x.dtype == torch.uint8 and x[0, 0] == 1
    x[1, 1] = 5
    assert a[1, 1] == 5
    zero = torch.from_numpy(np.zeros(2, np.uint8)) == 0
    assert zero.dtype == torch.bool and zero.all()


def test_a06_zeros_ones():
    assert torch.zeros(10, dtype=torch.float).dtype == torch.float32
    assert torch.zeros((2, 3), dtype=float).dtype == torch.float64
    assert torch.ones(4).tolist() == [1, 1, 1, 1]
    assert torch.ones(2, 3).shape == torch.ones((2, 3)).shape == torch.ones([2, 3]).shape == (2, 3)


def test_a07_ones_like():
    index = torch.zeros(2, 3, dtype=torch.int64)
    assert torch.ones_like(index).dtype == torch.int64 and torch.ones_like(index).shape == (2, 3)
    assert torch.ones_like(index, dtype=float).dtype == torch.float64


def test_a08_full():
    assert torch.full((2, 3), 7).tolist() == [[7] * 3] * 2
    assert torch.full((2, 3), 7).dtype == torch.int64
    assert torch.full((2,), 7, dtype=torch.float16, device="cpu").dtype == torch.float16
    assert torch.full((2,), True).dtype == torch.bool and torch.full((2,), 1.5).dtype == torch.float32
    with pytest.raises(TypeError, match="fill"):
        torch.fill((2, 3), 7)
    assert torch.fill(torch.zeros(2), 7).tolist() == [7, 7]


def test_a09_nan_and_inf():
    assert math.isnan(torch.nan) and torch.inf == math.inf and torch.pi == math.pi


def test_a10_dtypes_and_aliases():
    assert torch.double is torch.float64 and torch.float is torch.float32 and torch.half is torch.float16
    assert torch.long is torch.int64 and torch.int is torch.int32 and torch.short is torch.int16
    assert [str(d) for d in (torch.bool, torch.uint8, torch.int32)] == ["torch.bool", "torch.uint8", "torch.int32"]
    assert torch.float64.is_floating_point and not torch.int64.is_floating_point


def test_a11_printing_of_tensors():
    assert repr(torch.ones(2, 3, dtype=torch.float64)) == \
        "tensor([[1., 1., 1.],\n        [1., 1., 1.]], dtype=torch.float64)"
    x = torch.arange(3.0, requires_grad=True)
    assert repr(x) == "tensor([0., 1., 2.], requires_grad=True)"
    assert repr(x * 2) == "tensor([0., 2., 4.], grad_fn=<MulBackward0>)"
    assert repr(torch.tensor([0.12345, 1000.0])) == "tensor([1.2345e-01, 1.0000e+03])"
    assert repr(torch.arange(2001)) == "tensor([   0,    1,    2,  ..., 1998, 1999, 2000])"
    assert repr(torch.zeros(2, 0)) == "tensor([], size=(2, 0))"


def test_a12_printing_of_sizes():
    x = torch.zeros(128, 64)
    assert str(x.shape) == "torch.Size([128, 64])" and x.shape[0] == 128
    assert isinstance(x.size(), tuple) and x.shape == (128, 64) and x.shape.numel() == 8192


def test_a13_item():
    pred, labels = torch.tensor([1, 2, 3]), torch.tensor([1, 0, 3])
    correct = (pred == labels).sum().item()
    assert correct == 2 and type(correct) is int
    assert type(torch.ones(1, 1).item()) is float and torch.tensor(True).item() is True
    with pytest.raises(RuntimeError, match="a Tensor with 2 elements cannot be converted to Scalar"):
        torch.ones(2).item()


def test_a14_to_is_out_of_place():
    a = torch.arange(3)
    assert a.to(torch.float64).dtype == torch.float64 and a.dtype == torch.int64
    assert a.to(torch.int64) is a and a.to(torch.int64, copy=True) is not a
    a = a.to(torch.float64)
    assert a.dtype == torch.float64


def test_a15_numpy():
    x = torch.zeros(3)
    a = x.numpy()
    x[0] = 1
    a[2] = 5
    assert a.tolist() == x.tolist() == [1, 0, 5]
    assert not hasattr(torch, "to_numpy")
