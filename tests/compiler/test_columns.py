"""Reductions of operands that lie along the folded axis: turned in registers, with the bits of packed ones."""
import numpy as np
import pytest

import rushlight as torch

DTYPES = ["float32", "float64", "bfloat16", "float16", "int64", "int32", "uint8"]
FOLDS = {
    "sum": lambda x, d: x.sum(d),
    "amax": lambda x, d: x.amax(d),
    "argmax": lambda x, d: x.argmax(d),
    "exponentials": lambda x, d: (x.float() * 0.001).exp().sum(d),
    "softmax": lambda x, d: x.float().softmax(d),
}


def same_bits(x, folded, fold):
    assert torch.equal(fold(x.contiguous(), folded), fold(x, folded))


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_over_contiguous_lines(dtype, fold):
    numbers = np.random.default_rng(0).integers(0, 250, 70 * 611)
    for shape in ((16, 16), (33, 35), (70, 611), (20, 4)):
        x = (torch.tensor(numbers[:np.prod(shape)]).reshape(shape) / 3).to(getattr(torch, dtype))
        same_bits(x.t(), 0, FOLDS[fold])


def test_several_folded_axes():
    x = torch.tensor(np.random.default_rng(0).standard_normal((20, 7, 32), dtype=np.float32))
    for dims in ((0, 1), (0,), (1,)):
        for order in ((1, 2, 0), (2, 1, 0), (2, 0, 1)):
            same_bits(x.permute(order), dims, FOLDS["sum"])
            same_bits(x.permute(order), dims, FOLDS["amax"])


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64"])
def test_rows_that_lie_side_by_side(dtype):
    numbers = torch.tensor(np.random.default_rng(0).standard_normal(33000 * 17) * 100).to(getattr(torch, dtype))
    for shape in ((16, 32), (611, 70), (33000, 17)):
        x = numbers[:shape[0] * shape[1]].reshape(shape)
        same_bits(x.t(), 1, FOLDS["sum"])
        same_bits(x.t(), 1, lambda x, d: x.prod(d))
        same_bits(x.t(), 1, lambda x, d: (x * 2 + 1).sum(d))


def test_images_with_channels_last():
    x = torch.tensor(np.random.default_rng(0).standard_normal((5, 40, 13, 18), dtype=np.float32))
    y = x.to(memory_format=torch.channels_last)
    for dims in ((2, 3), (0, 2, 3), (1,), (0,), (1, 2, 3), (3,)):
        assert torch.equal(x.sum(dims), y.sum(dims))
        assert torch.equal(x.var(dims), y.var(dims))


def test_windows_and_resizing_with_channels_last():
    x = torch.tensor(np.random.default_rng(0).standard_normal((3, 20, 12, 18), dtype=np.float32))
    y = x.to(memory_format=torch.channels_last)
    F = torch.nn.functional
    for fn in (lambda x: F.max_pool2d(x, 2), lambda x: F.max_pool2d(x, 3, 2, 1), lambda x: F.avg_pool2d(x, (2, 3)),
               lambda x: F.interpolate(x, scale_factor=2), lambda x: F.interpolate(x, (7, 30), mode="bilinear"),
               lambda x: F.interpolate(x, (12, 18), mode="bilinear"), lambda x: F.interpolate(x, (5, 18), mode="bicubic")):
        assert torch.equal(fn(x), fn(y)) and fn(y).is_contiguous(memory_format=torch.channels_last)
        a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
        fn(a).square().sum().backward()
        fn(b).square().sum().backward()
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_rows_at_a_time_have_the_bits_of_rows_alone(dtype):
    """Some rows, or parts of one, are added up side by side; what is left is added up alone."""
    numbers = torch.tensor(np.random.default_rng(0).standard_normal(200_000) * 100).to(getattr(torch, dtype))
    for length in (8, 16, 20, 71):
        x = numbers[:200 * length].reshape(200, length)
        one_by_one = torch.stack([row.sum() for row in x])
        for rows in (1, 3, 64, 67, 200):
            assert torch.equal(x[:rows].sum(1), one_by_one[:rows])
            assert torch.equal((x[:rows] * 2).sum(1), torch.stack([(row * 2).sum() for row in x[:rows]]))
    whole = numbers[:16384 * 9]             # parts of 16384 are added in order
    if dtype != "bfloat16":
        wide = torch.float64 if dtype == "float32" else torch.int64
        parts = torch.stack([part.sum(dtype=wide) for part in whole.split(16384)])
        assert torch.equal(whole.sum(), parts.unsqueeze(1).sum(0)[0].to(whole.dtype))
