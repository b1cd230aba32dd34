"""Tensors on the device "meta": everything but values."""
import copy

import pytest

import rushlight as torch
from rushlight import nn


def test_operations_give_shapes_and_no_values():
    a, b = torch.empty(4, 3, device="meta"), torch.ones(3, 5)
    y = (a @ b).relu().to(torch.bfloat16)
    assert y.shape == (4, 5) and y.dtype is torch.bfloat16 and y.device.type == "meta" and y.is_meta
    assert b.device.type == "cpu" and not b.is_meta and a.t().stride() == (1, 3)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
        y.sum().item()
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
        a.to("cpu")
    assert b.sum().item() == 15 and (b + 1).sum().item() == 30


def test_modules_are_made_moved_and_filled():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with torch.device("meta"):
        big = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    assert torch.equal(torch.get_rng_state(), state), "nothing is drawn for what has no values"
    assert {p.device.type for p in (*big.parameters(), *big.buffers())} == {"meta"}
    real = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    big.load_state_dict(real.state_dict(), assign=True)
    x = torch.randn(2, 3)
    assert torch.equal(big(x), real(x))
    assert nn.Linear(3, 4, device="meta").to_empty(device="cpu").weight.device.type == "cpu"


def test_functional_call_on_a_module_without_values():
    model = nn.Linear(3, 2)
    base, x = copy.deepcopy(model).to("meta"), torch.randn(5, 3)
    assert torch.equal(torch.func.functional_call(base, dict(model.named_parameters()), (x,)), model(x))


def test_it_is_printed_and_copied():
    x = torch.empty(2, 3, device="meta", dtype=torch.int64)
    assert repr(x) == "tensor(..., device='meta', size=(2, 3), dtype=torch.int64)"
    assert copy.deepcopy(x).is_meta and torch.zeros_like(x).is_meta and not torch.zeros_like(x, device="cpu").is_meta
    x.fill_(3)
    assert x.is_meta


def test_others_say_where_they_are_all_the_same():
    x = torch.empty(2, device="meta")
    assert torch.eye(2).to_sparse().device.type == "cpu" and "indices" in repr(torch.eye(2).to_sparse()) and x.is_meta
