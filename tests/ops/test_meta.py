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


FACTORIES = """
    randn(3) | rand(2, 3) | randint(3, (2,)) | randperm(4) | normal(0., 1., (2,)) | randn_like(x) | rand_like(x, dtype=torch.float64)
    randint_like(x, 4) | arange(3) | arange(1., 2., 0.25) | eye(3) | full((2,), 3.) | linspace(0, 1, 3) | logspace(0, 1, 3) | tensor([1., 2.])
    tensor(1) | as_tensor([1.]) | empty_strided((2, 2), (1, 2)) | zeros_like(x) | full_like(x, 2) | hann_window(4) | kaiser_window(4)
    scalar_tensor(2.) | empty_permuted((2, 3), (1, 0)) | zeros(2, dtype=torch.int64) | randn(2, requires_grad=True)
"""


@pytest.mark.parametrize("call", [c.strip() for line in FACTORIES.split("\n") for c in line.split("|") if c.strip()])
def test_factories_make_tensors_on_the_device_asked_for(call):
    """Nothing is drawn for what has no values; "cpu" counts where another device is the default."""
    x = torch.ones(3)
    make = lambda device: eval(f"torch.{call[:-1]}, device={device!r})", dict(torch=torch, x=x))
    real = make("cpu")
    torch.manual_seed(0)
    state = torch.get_rng_state()
    y = make("meta")
    with torch.device("meta"):
        here, there = make("cpu"), make(None)
    assert (real.device.type, y.device.type, here.device.type) == ("cpu", "meta", "cpu")
    assert there.device.type == ("cpu" if "x" in call.split("(", 1)[1] else "meta")
    kind = lambda t: (t.shape, t.dtype, t.stride(), t.requires_grad)
    assert kind(real) == kind(y) == kind(here) and torch.equal(here.isnan(), real.isnan())
    torch.manual_seed(0)
    make("meta")
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_made_like_a_tensor_is_where_it_is():
    x = torch.empty(3, device="meta")
    made = x.new_zeros(2), x.new_tensor([1.0]), x.new_full((2,), 1.0), torch.randn_like(x), torch.full_like(x, 2)
    assert {y.device.type for y in made} == {"meta"}
    assert torch.randn_like(x, device="cpu").device.type == x.new_ones(2, device="cpu").device.type == "cpu"
    with torch.device("meta"):
        assert torch.ones(2, device="cpu").new_ones(2).device.type == "cpu"
    torch.set_default_device("meta")
    try:
        assert torch.randn(2).is_meta and not torch.get_rng_state().is_meta
    finally:
        torch.set_default_device(None)


def test_initialisation_is_skipped_without_a_draw():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    layer = nn.utils.skip_init(nn.Linear, 3, 2)
    nn.init.trunc_normal_(torch.empty(3, 3, device="meta"))
    nn.init.orthogonal_(torch.empty(3, 3, device="meta"))
    assert layer.weight.device.type == "cpu" and torch.equal(torch.get_rng_state(), state)
