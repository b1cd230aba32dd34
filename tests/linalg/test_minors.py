"""Which leading minor of a matrix is not positive."""
import pytest

import rushlight as torch


@pytest.mark.parametrize("order", range(8))
def test_info_is_the_order_of_the_first_minor_that_is_not_positive(order):
    diagonal = torch.ones(7)
    if order:
        diagonal[order - 1:] = -1.0
    assert torch.linalg.cholesky_ex(torch.diag(diagonal)).info.item() == order
