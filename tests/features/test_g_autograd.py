"""Rows G of the notes' features: the rules of autograd."""

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.autograd import Variable


def leaf(*values):
    return torch.tensor(values, requires_grad=True)


def test_g01_requires_grad_in_place_returns_the_leaf():
    data = torch.arange(15, dtype=torch.float64).view(5, 3)
    assert data.requires_grad_(True) is data
    assert data.is_leaf and data.requires_grad and data.grad_fn is None


def test_g02_backward_from_a_scalar_fills_leaves():
    x = leaf(1., 2.)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4]
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (x * x).backward()


def test_g03_grad_of_a_non_leaf_is_none_and_warns():
    y = leaf(1.) * 2
    y.sum().backward()
    with pytest.warns(UserWarning, match="not a leaf Tensor"):
        assert y.grad is None


def test_g04_leaf_that_requires_grad_is_not_changed_in_place():
    x = leaf(1., 2.)
    with pytest.raises(RuntimeError, match="^a leaf Variable that requires grad is being used in an "
                                           "in-place operation."):
        x += 1
    with pytest.raises(RuntimeError, match="^a view of a leaf Variable that requires grad is being "
                                           "used in an in-place operation."):
        x[0] = 1
    y = x * 2
    y += 1                                      # not a leaf, and no saved value is lost
    assert "grad_fn=<AddBackward0>" in repr(y)
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_g05_change_of_a_saved_value_is_found_at_backward():
    x = leaf(1., 2.)
    y = x.exp()
    y += 1
    with pytest.raises(RuntimeError, match=(
            r"one of the variables needed for gradient computation has been modified by an inplace "
            r"operation: \[torch.FloatTensor \[2\]\], which is output 0 of Exp, is at version 1; "
            r"expected version 0 instead. Hint: ")):
        y.sum().backward()


def test_g06_numpy_of_a_tensor_that_requires_grad():
    with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad. "
                                           r"Use tensor.detach\(\).numpy\(\) instead."):
        leaf(1.).numpy()
    assert leaf(1.).detach().numpy() == [1]


def test_g07_detach_shares_storage_outside_of_the_graph():
    y = leaf(1., 2.) * 2
    out = y.detach()
    assert not out.requires_grad and out.is_leaf and out.data_ptr() == y.data_ptr()
    out[0] = 7
    assert y.tolist() == [7, 4]


def test_g08_detach_in_place():
    y = leaf(1., 2.) * 2
    assert y.detach_() is y and y.is_leaf and not y.requires_grad
    with pytest.raises(RuntimeError, match=r"Can't detach views in-place. Use detach\(\) instead."):
        (leaf(1., 2.) * 2)[0].detach_()


def test_g09_clone_has_its_own_memory_and_passes_gradients():
    x = leaf(1., 2.)
    y = x.clone()
    assert y.data_ptr() != x.data_ptr() and "CloneBackward0" in repr(y)
    (y * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_g10_variable_is_a_plain_tensor():
    assert type(Variable(torch.ones(1))) is torch.Tensor
    assert Variable(torch.ones(1), requires_grad=True).requires_grad


def test_g11_data_is_the_tensor_inside():
    x = leaf(1., 2.)
    assert not x.data.requires_grad and x.data.data_ptr() == x.data_ptr()
    x.data *= 2
    assert x.tolist() == [2, 4] and x.requires_grad


def test_g12_no_grad_records_no_graph():
    x = leaf(1.)
    with torch.no_grad():
        y = x * 2
    assert not y.requires_grad and y.grad_fn is None


def test_g13_gradients_accumulate():
    x = leaf(1., 2.)
    for _ in range(2):
        (x * 3).sum().backward()
    assert x.grad.tolist() == [6, 6]


def test_g14_graph_is_freed_after_backward():
    y = leaf(1.).exp().sum()
    y.backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.backward()


def test_g15_names_of_grad_fn_in_the_repr():
    x = leaf(1., 2.)
    assert repr(x * 2) == "tensor([2., 4.], grad_fn=<MulBackward0>)"
    assert repr(x + 2) == "tensor([3., 4.], grad_fn=<AddBackward0>)"
    out = nn.BatchNorm1d(3)(torch.randn(4, 3))
    assert "grad_fn=<NativeBatchNormBackward0>" in repr(out)


def test_g16_gradient_of_a_batch_is_the_sum_over_its_samples():
    layer, x = nn.Linear(3, 2), torch.randn(5, 3)
    seen = []
    y = layer(x)
    y.register_hook(seen.append)                # dL/dL_i dL_i/dy_i, by sample
    (y ** 2).sum(1).mean().backward()
    by_sample = seen[0].unsqueeze(2) * x.unsqueeze(1)
    assert torch.allclose(layer.weight.grad, by_sample.sum(0), atol=1e-6)


def test_g17_gradient_of_a_masked_sum_is_the_mask():
    data = torch.arange(15, dtype=torch.float64).view(5, 3).requires_grad_(True)
    mask = data <= 6
    (data * mask).sum().backward()
    assert torch.equal(data.grad, mask.double())


def test_g18_gradients_of_equal_minibatches_have_the_mean_of_the_whole():
    w, x = leaf(1., -2., 3.), torch.randn(12, 3, generator=torch.Generator().manual_seed(0))

    def gradient(rows):
        return torch.autograd.grad(((rows @ w) ** 2).mean(), w)[0]
    parts = torch.stack([gradient(part) for part in x.split(4)])
    assert torch.allclose(parts.mean(0), gradient(x), rtol=1e-5)


def test_g19_tensors_between_borders_of_numpy():
    seen = np.array([0.5, -1.5])                # what a simulator says
    model = nn.Linear(2, 2).double()
    action = model(torch.from_numpy(seen)).detach().numpy()
    assert isinstance(action, np.ndarray) and action.dtype == np.float64


def test_g20_relu_does_not_saturate_where_sigmoid_does():
    x = leaf(-1., 0.5, 50.)
    x.relu().sum().backward()
    assert x.grad.tolist() == [0, 1, 1]
    far = leaf(50.)
    far.sigmoid().sum().backward()
    assert far.grad.item() < 1e-20
