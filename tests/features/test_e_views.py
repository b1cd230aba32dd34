"""E: views, strides, contiguity, and who shares memory with whom."""
import pytest

import rushlight as torch
from rushlight import nn, optim


def pair():
    a = torch.arange(12).reshape(3, 4)
    return a, a.transpose(0, 1)


def test_e01_is_contiguous():
    a, b = pair()
    assert a.is_contiguous() and not b.is_contiguous() and b.contiguous().is_contiguous()


def test_e02_transposed_shares_storage():
    a, b = pair()
    assert a.data_ptr() == b.data_ptr() == a.permute(1, 0).data_ptr()
    b[0, 1] = 100
    assert a[1, 0] == 100


def test_e03_contiguous():
    a, b = pair()
    c = b.contiguous()
    assert c.data_ptr() != b.data_ptr() and c.shape == b.shape and c.stride() != b.stride() and torch.equal(b, c)
    assert a.contiguous() is a and a.contiguous(memory_format=torch.contiguous_format) is a


def test_e04_stride():
    a, b = pair()
    assert a.stride() == (4, 1) and b.stride() == (1, 4) and b.contiguous().stride() == (3, 1)
    assert a.stride(0) == 4 and a.stride(-1) == 1


def test_e05_rule_of_contiguity():
    assert torch.ones(1, 5).t().is_contiguous() and torch.ones(3, 1, 2).transpose(0, 1).is_contiguous()
    assert not torch.ones(2, 5)[:, :3].is_contiguous() and torch.ones(2, 5)[:1, :3].is_contiguous()
    assert torch.ones(2, 0).t().is_contiguous() and torch.ones(()).is_contiguous()


def is_contiguous(x):
    expected = 1
    for d in range(x.dim() - 1, -1, -1):
        if x.size(d) != 1:
            if x.stride(d) != expected:
                return False
            expected *= x.size(d)
    return True


def test_e06_is_contiguous_by_hand():
    x = torch.zeros(2, 3, 1, 4)
    views = [x, x.transpose(0, 2), x.permute(3, 0, 1, 2), x[:, 1:], x[1:], x[..., ::2], x.transpose(1, 2), x.expand(2, 3, 5, 4)]
    assert [is_contiguous(v) for v in views] == [v.is_contiguous() for v in views]


def test_e07_view_needs_compatible_strides():
    with pytest.raises(RuntimeError, match=r"view size is not compatible with input tensor's size and stride \(at least one dimension "
                                           r"spans across two contiguous subspaces\). Use .reshape\(...\) instead."):
        pair()[1].view(12)


def test_e08_reshape_copies_only_if_it_must():
    a, b = pair()
    assert a.reshape(2, 6).data_ptr() == a.data_ptr() and b.reshape(4, 3).data_ptr() == b.data_ptr()
    assert b.reshape(12).data_ptr() != b.data_ptr()
    assert torch.equal(b.reshape(12), b.contiguous().view(12))


def test_e09_what_breaks_contiguity():
    a = torch.zeros(2, 3, 4)
    assert a.view(6, 4).is_contiguous() and a.view(-1).is_contiguous() and not a.permute(0, 2, 1).is_contiguous()
    assert a.permute(0, 1, 2).is_contiguous()


def test_e10_detach_shares_memory():
    y = torch.ones(3, requires_grad=True) * 1
    y.detach()[0] = 5
    y.detach().numpy()[1] = 6
    assert y.tolist() == [5, 6, 1] and not y.detach().requires_grad


def test_e11_clone_is_safe_to_write():
    ids = torch.tensor([1, 2, 3])
    labels = ids.clone().detach()
    labels[0] = -100
    assert ids.tolist() == [1, 2, 3] and labels.data_ptr() != ids.data_ptr()


def test_e12_strided_storage():
    x = torch.zeros(2, 3)
    assert x.layout == torch.strided and str(x.layout) == "torch.strided"
    assert x.untyped_storage().nbytes() == 24 and x[1:].storage_offset() == 3
    assert x.to_sparse().layout == torch.sparse_coo


def test_e13_accounts_of_memory():
    from rushlight.utils import memory_report
    net = nn.Linear(8, 16, bias=False)
    optimizer = optim.Adam(net.parameters())
    net(torch.rand(4, 8)).sum().backward()
    optimizer.step()
    report = memory_report(net, optimizer)
    assert report.parameters.bytes == report.gradients.bytes == 4 * 8 * 16
    assert report.optimizer_state.bytes >= 2 * 4 * 8 * 16 and "dynamic" in str(report)
