"""Which leading minor of a matrix is not positive; matrices that are computed in float32."""
import pytest

import rushlight as torch


@pytest.mark.parametrize("order", range(8))
def test_info_is_the_order_of_the_first_minor_that_is_not_positive(order):
    diagonal = torch.ones(7)
    if order:
        diagonal[order - 1:] = -1.0
    assert torch.linalg.cholesky_ex(torch.diag(diagonal)).info.item() == order


@pytest.mark.parametrize("size", [0.01, 0.3])
def test_large_exponentials_in_their_own_precision(size):
    a = torch.randn(130, 130, dtype=torch.float64) * size
    weights = torch.randn(130, 130, dtype=torch.float64)
    found = []
    for kind in (torch.float32, torch.float64):
        x = a.to(kind).requires_grad_()
        y = torch.linalg.matrix_exp(x)
        (y * weights.to(kind)).sum().backward()
        found += [y.detach().double(), x.grad.double()]
    for got, wanted in zip(found[:2], found[2:], strict=True):
        assert (got - wanted).abs().max() < 3e-5 * wanted.abs().max()
