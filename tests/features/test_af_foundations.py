"""Rows AF: what the notes rest on without naming it."""
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn


@pytest.mark.parametrize("call, kind, words", [
    (lambda: torch.arange(6).reshape(4, 2), RuntimeError, "shape '[4, 2]' is invalid for input of size 6"),
    (lambda: torch.ones(2).item(), RuntimeError, "a Tensor with 2 elements cannot be converted to Scalar"),
    (lambda: torch.ones(2).backward(), RuntimeError, "element 0 of tensors does not require grad"),
    (lambda: torch.ones(2, 3) @ torch.ones(2, 3), RuntimeError,
     "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"),
    (lambda: torch.ones(2) + torch.ones(3), RuntimeError,
     "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0"),
    (lambda: torch.ones(2).sum(1), IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 1)"),
    (lambda: torch.ones(2)[2], IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
    (lambda: torch.arrange(5), AttributeError, "has no attribute 'arrange'"),
    (lambda: torch.randn_like(torch.ones(1), low=0), TypeError, "randn_like"),
])
def test_af01_types_and_texts_of_errors(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)


def test_af02_default_dtypes():
    assert torch.tensor([1.0]).dtype is torch.get_default_dtype() is torch.float32
    assert torch.tensor([1]).dtype is torch.int64 and torch.tensor([True]).dtype is torch.bool
    assert torch.tensor(np.ones(1)).dtype is torch.float64
    assert torch.from_numpy(np.ones(1, np.int16)).dtype is torch.int16


def test_af03_type_promotion():
    mask, x = torch.tensor([True, False]), torch.tensor([2., 3.], dtype=torch.float64)
    assert (mask * x).dtype is torch.float64
    assert (torch.tensor([1]) / torch.tensor([2])).dtype is torch.float32
    assert torch.result_type(torch.tensor([1]), 2.5) is torch.float32


def test_af04_underscore_means_in_place():
    x = torch.zeros(3)
    index, ones = torch.tensor([1]), torch.ones(1)
    assert x.scatter(0, index, ones).tolist() == [0, 1, 0] and x.tolist() == [0, 0, 0]
    assert x.scatter_(0, index, ones) is x and x.tolist() == [0, 1, 0]
    y = torch.ones(1, requires_grad=True) * 2
    assert y.detach().is_leaf and not y.is_leaf and y.detach_() is y and y.is_leaf


def test_af05_parameters_are_drawn_in_order():
    torch.manual_seed(0)
    linear, conv = nn.Linear(16, 8), nn.Conv2d(4, 8, 3)
    torch.manual_seed(0)
    for layer, fan_in in ((linear, 16), (conv, 36)):
        bound = 1 / math.sqrt(fan_in)
        for p in (layer.weight, layer.bias):        # weight, then bias
            assert torch.equal(p, torch.empty_like(p).uniform_(-bound, bound))


def test_af06_reads_force_values():
    x = torch.arange(3.) * 2
    assert repr(x) == "tensor([0., 2., 4.])" and (x + 1)[2].item() == 5
    assert (x + 2).numpy().tolist() == [2, 4, 6]
    assert "yes" == ("yes" if (x + 3).sum() > 14 else "no")


def test_af07_hash_seed_is_for_child_processes(monkeypatch):
    before = hash("rushlight")
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    assert hash("rushlight") == before
    hashes = {subprocess.run([sys.executable, "-c", "print(hash('rushlight'))"], env=os.environ,
                             capture_output=True, check=True).stdout for _ in range(2)}
    assert len(hashes) == 1
