"""Maps walk their axes in whatever order is cheapest: the same elements, wherever they lie."""
import numpy as np
import pytest

import rushlight as torch

DTYPES = ["float32", "float64", "bfloat16", "float16", "int64", "int32", "int16", "uint8", "bool"]
SHAPES = [(16, 16), (17, 35), (64, 5), (4, 200), (3, 70, 33), (2, 40, 16, 3), (1000, 33)]


def numbers(shape, dtype):
    return (torch.arange(int(np.prod(shape))).reshape(shape) % 251).to(getattr(torch, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_turned_operands_are_read_in_place(dtype, shape):
    x = numbers(shape, dtype)
    wanted = np.array(x.float().numpy())
    for i in range(len(shape)):
        for j in range(i):
            y = x.transpose(i, j).contiguous()
            assert np.array_equal(y.float().numpy(), np.swapaxes(wanted, i, j))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_sum_of_a_tensor_and_its_transpose(dtype):
    for n in (4, 16, 37, 130):
        x = numbers((n, n), dtype)
        a = x.numpy().copy()
        assert np.array_equal((x + x.t()).numpy(), a + a.T)
        assert np.array_equal((x.t() * 3 + x - x.t() + x * 2 - 1).numpy(), 3 * a.T + a - a.T + 2 * a - 1)
        x += x.t().clone()
        assert np.array_equal(x.numpy(), a + a.T)


def test_short_rows_and_strided_ones():
    for shape in ((5000, 4), (3, 700, 3), (33, 2, 31, 2, 5)):
        x = numbers(shape, "float32")
        a = x.numpy().copy()
        assert np.array_equal((x + x[0]).numpy(), a + a[0])
        assert np.array_equal((x[..., ::2] * 2).numpy(), a[..., ::2] * 2)
        y = torch.zeros(shape[::-1])
        y.permute(*range(len(shape))[::-1]).copy_(x)
        assert np.array_equal(y.numpy(), a.transpose())
