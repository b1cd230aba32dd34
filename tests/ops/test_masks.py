"""x[mask] and nonzero: masks are places, looked up as other index tensors are."""
import numpy as np
import pytest

import rushlight as torch

X = np.arange(24.0).reshape(4, 3, 2)
MASKS = [np.array(m) for m in ([True, False, True, True], [False] * 4, (X > 7)[..., 0], X > 11, X > 99)]


@pytest.mark.parametrize("mask", MASKS, ids=lambda m: f"{m.shape}-{m.sum()}")
def test_masks_read_and_write_as_in_numpy(mask):
    for _ in range(4):                                      # as it is, traced, replayed
        x, m, y = torch.tensor(X), torch.tensor(mask), X.copy()
        assert np.array_equal(x[m].numpy(), X[mask])
        y[mask] = X[mask] + 100
        x[m] = x[m] + 100
        assert np.array_equal(x.numpy(), y)


@pytest.mark.parametrize("mask", MASKS, ids=lambda m: f"{m.shape}-{m.sum()}")
def test_nonzero_is_a_row_for_each_place(mask):
    found = torch.tensor(mask).nonzero()
    assert np.array_equal(found.numpy(), np.argwhere(mask)) and found.stride() == (1, len(found))
    assert all(map(np.array_equal, torch.nonzero(torch.tensor(mask), as_tuple=True), np.nonzero(mask)))


def test_gradient_of_a_masked_read():
    x, m = torch.ones(3, 2, requires_grad=True), torch.tensor([True, False, True])
    for n in range(1, 5):
        (x[m] * 3).sum().backward()
        assert x.grad.tolist() == [[3.0 * n] * 2, [0.0] * 2, [3.0 * n] * 2]


def test_mask_of_another_shape():
    with pytest.raises(IndexError, match="does not match the shape of the indexed tensor"):
        torch.ones(3, 2)[torch.tensor([True, False])]
