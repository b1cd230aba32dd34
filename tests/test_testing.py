"""assert_close and make_tensor."""
import numpy as np
import pytest

import rushlight as torch
from rushlight.testing import assert_close, make_tensor


@pytest.mark.parametrize("a, b", [
    (torch.ones(2), torch.ones(2) + 1e-7), (torch.tensor(3), torch.tensor(3)), (1.0, 1.0 + 1e-9), ([1, 2.5], [1, 2.5]),
    ({"a": torch.ones(2)}, {"a": torch.ones(2)}), (np.ones(2), np.ones(2)), (torch.tensor([True]), torch.tensor([True])),
    (torch.empty(0), torch.empty(0)), (torch.tensor(float("inf")), torch.tensor(float("inf")))])
def test_close(a, b):
    assert_close(a, b)


@pytest.mark.parametrize("a, b, phrase", [
    (torch.ones(2), torch.ones(2) + 1e-3, "Mismatched elements: 2 / 2"), (torch.ones(2), torch.ones(3), "'shape' do not match"),
    (torch.ones(2), torch.ones(2).double(), "'dtype' do not match"), (torch.tensor([1, 2]), torch.tensor([1, 3]), "not equal"),
    ([1, 2], [1], "length of the sequences"), ({"a": 1}, {"b": 1}, "keys of the mappings"), (1.0, 1.1, "Scalars are not close"),
    (torch.tensor(float("nan")), torch.tensor(float("nan")), "not close"), ([torch.ones(1)], [torch.zeros(1)], r"item \[0\]"),
    (torch.tensor(float("inf")), torch.tensor(1.0), "not close")])
def test_not_close(a, b, phrase):
    with pytest.raises(AssertionError, match=phrase):
        assert_close(a, b)


def test_options():
    nan = torch.tensor([float("nan"), 1.0])
    assert_close(nan, nan, equal_nan=True)
    assert_close(torch.ones(2), torch.ones(2).double(), check_dtype=False)
    assert_close(torch.tensor(1.0), torch.tensor(1.5), rtol=1, atol=0)
    with pytest.raises(ValueError, match="both be specified"):
        assert_close(1.0, 1.0, rtol=1)
    with pytest.raises(AssertionError, match="^mine$"):
        assert_close(1.0, 2.0, msg="mine")
    with pytest.raises(AssertionError, match="stride"):
        assert_close(torch.ones(2, 3), torch.ones(3, 2).t(), check_stride=True)
    with pytest.raises(TypeError, match="comparison pair"):
        assert_close("a", "a")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_make_tensor(dtype):
    x = make_tensor(3, 4, dtype=dtype)
    assert x.shape == (3, 4) and x.dtype is dtype
    assert make_tensor((2, 3), dtype=dtype, noncontiguous=True).stride() == (6, 2)
    if dtype.is_floating_point:
        assert make_tensor((5,), dtype=dtype, low=1, high=2, requires_grad=True).requires_grad
    else:
        with pytest.raises(ValueError, match="requires_grad"):
            make_tensor(3, dtype=dtype, requires_grad=True)
    assert bool((make_tensor(50, dtype=dtype, low=0, high=2, exclude_zero=True) != 0).all())
