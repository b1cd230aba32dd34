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
