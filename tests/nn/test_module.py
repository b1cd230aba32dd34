"""Modules: registration, hooks, states, conversion, printing."""
from __future__ import annotations

import copy
import io
import pickle
from collections import OrderedDict

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn.modules import module as global_hooks


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
        self.register_buffer("count", torch.zeros(2))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)
        self.scale = nn.Parameter(torch.ones(1))
        self.nothing = None

    def forward(self, x, times=1):
        return self.rest(self.first(x)) * self.scale * times


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


# -- registries -------------------------------------------------------------------------------------------
def test_names(net):
    names = [n for n, _ in net.named_parameters()]
    assert names == ["scale", "first.weight", "first.bias", "rest.1.weight", "rest.1.bias"]
    assert [n for n, _ in net.named_buffers()] == ["count", "scratch"]
    assert [n for n, _ in net.named_children()] == ["first", "rest"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [n for n, _ in net.named_modules(prefix="a")][1] == "a.first"
    assert [n for n, _ in net.named_parameters("p", recurse=False)] == ["p.scale"]


def test_shared_modules_count_once():
    layer = nn.Linear(2, 2)
    shared = nn.ModuleList([layer] * 3)
    assert len(list(shared.parameters())) == 2
    assert len(list(shared.named_parameters(remove_duplicate=False))) == 6
    assert len(list(shared.modules())) == 2
    assert list(shared.state_dict()) == [f"{i}.{n}" for i in range(3) for n in ("weight", "bias")]


def test_assignment_moves_between_registries(net):
    net.scale = None
    assert "scale" in net._parameters and net.scale is None
    del net.scale
    net.scale = torch.ones(2)
    assert "scale" in net.__dict__
    net.scale = nn.Parameter(torch.ones(2))
    assert "scale" not in net.__dict__ and net.scale.requires_grad
    net.first = None
    assert net._modules["first"] is None and "first" not in dict(net.named_children())
    net.fresh = nn.Buffer(torch.ones(1), persistent=False)
    assert "fresh" in net._buffers and "fresh" not in net.state_dict()


def test_before_init():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)
    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__\(\) call"):
        Forgetful()


def test_lookup(net):
    assert net.get_submodule("rest.1") is net.rest[1]
    assert net.get_parameter("rest.1.bias") is net.rest[1].bias
    assert net.get_buffer("count") is net.count
    net.set_submodule("rest.0", nn.Tanh())
    assert isinstance(net.rest[0], nn.Tanh)
    with pytest.raises(AttributeError, match="no attribute `x`"):
        net.get_submodule("rest.x")


def test_call_super_init():
    class Mixin:
        def __init__(self, tag="none"):
            self.tag = tag

    class Both(nn.Module, Mixin):
        call_super_init = True
    assert Both(tag="here").tag == "here"


# -- modes and conversion ---------------------------------------------------------------------------------
def test_modes(net):
    net.eval()
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_conversion_changes_the_module_itself(net):
    weight = net.first.weight
    assert net.double() is net
    assert net.first.weight is weight and weight.dtype is torch.float64 and net.count.dtype is torch.float64
    assert net.to(None) is net
    assert net.to("cpu", torch.float32).first.bias.dtype is torch.float32
    assert net.to(torch.ones(1, dtype=torch.float16)).scale.dtype is torch.float16
    assert net.half().bfloat16().scale.dtype is torch.bfloat16
    bn = nn.BatchNorm1d(2).double()
    assert bn.num_batches_tracked.dtype is torch.int64


def test_gradients_are_converted_and_forgotten(net):
    net(torch.ones(2, 3)).sum().backward()
    net.double()
    assert net.first.weight.grad.dtype is torch.float64
    net.zero_grad(set_to_none=False)
    assert net.first.weight.grad.abs().sum().item() == 0
    net.zero_grad()
    assert net.first.weight.grad is None


def test_apply_visits_children_first(net):
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "ReLU", "Linear", "Sequential", "Net"]


def test_copies(net):
    other = copy.deepcopy(net)
    assert other.first.weight is not net.first.weight
    assert torch.equal(other.first.weight, net.first.weight)
    other.first.weight.data.zero_()
    assert net.first.weight.abs().sum().item() > 0
    loaded = pickle.loads(pickle.dumps(net))
    assert torch.equal(loaded.rest[1].bias, net.rest[1].bias) and loaded.scale.requires_grad
    assert type(loaded.scale) is nn.Parameter


# -- printing ---------------------------------------------------------------------------------------------
def test_printing(net):
    assert repr(net) == """Net(
  (first): Linear(in_features=3, out_features=4, bias=True)
  (rest): Sequential(
    (0): ReLU()
    (1): Linear(in_features=4, out_features=2, bias=True)
  )
)"""
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
    assert repr(nn.Dropout(0.5)) == "Dropout(p=0.5, inplace=False)"
    alike = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])
    assert repr(alike) == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
    assert repr(nn.Parameter(torch.ones(2))) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"


# -- states -----------------------------------------------------------------------------------------------
def test_state_dict(net):
    state = net.state_dict()
    assert isinstance(state, OrderedDict) and "scratch" not in state and "count" in state
    assert not state["first.weight"].requires_grad
    assert state["first.weight"].data_ptr() == net.first.weight.data_ptr()
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    assert state._metadata[""] == {"version": 1} and "rest.1" in state._metadata
    assert list(net.rest.state_dict(prefix="r."))[0] == "r.1.weight"


def test_load_state_dict(net):
    other = Net()
    assert str(other.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    assert torch.equal(other.first.weight, net.first.weight)
    state = net.state_dict()
    del state["scale"]
    state["more"] = torch.ones(1)
    with pytest.raises(RuntimeError) as error:
        other.load_state_dict(state)
    text = str(error.value)
    assert text.startswith("Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: \"scale\". ")
    assert 'Unexpected key(s) in state_dict: "more". ' in text
    keys = other.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["scale"] and keys.unexpected_keys == ["more"]


def test_sizes_that_differ_are_told_even_if_not_strict(net):
    with pytest.raises(RuntimeError, match=r"size mismatch for first.weight: copying a param with shape "
                                           r"torch.Size\(\[2, 2\]\) from checkpoint, the shape in current model is"):
        net.load_state_dict({"first.weight": torch.ones(2, 2)}, strict=False)


def test_assign(net):
    given = torch.ones(4, 3, dtype=torch.float64)
    net.load_state_dict({"first.weight": given}, strict=False, assign=True)
    assert net.first.weight.dtype is torch.float64 and isinstance(net.first.weight, nn.Parameter)


def test_extra_state():
    class Counting(nn.Module):
        n = 3

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]
    a, b = Counting(), Counting()
    a.n = 7
    b.load_state_dict(a.state_dict())
    assert b.n == 7
    with pytest.raises(RuntimeError, match="_extra_state"):
        b.load_state_dict({})


def test_state_hooks(net):
    calls = []
    net.register_state_dict_pre_hook(lambda m, prefix, keep: calls.append(("pre", prefix)))
    net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.pop("scale") and None)
    assert "scale" not in net.state_dict() and calls == [("pre", "")]
    other = Net()
    other.register_load_state_dict_pre_hook(lambda m, state, *rest: state.setdefault("scale", torch.full((1,), 5.0)))
    other.register_load_state_dict_post_hook(lambda m, keys: calls.append(keys.missing_keys))
    other.load_state_dict(net.state_dict())
    assert other.scale.item() == 5 and calls[-1] == []


# -- hooks of calls ---------------------------------------------------------------------------------------
def test_forward_hooks(net):
    seen = []
    handle = net.register_forward_hook(lambda m, args, out: seen.append((len(args), tuple(out.shape))))
    net.register_forward_pre_hook(lambda m, args: (args[0] * 0,))
    x = torch.ones(2, 3)
    y = net(x)
    assert seen == [(1, (2, 2))]
    handle.remove()
    net(x)
    assert len(seen) == 1
    net.register_forward_hook(lambda m, args, out: out * 0 + 9)
    assert net(x).unique().tolist() == [9.0]
    assert y.shape == (2, 2)


def test_hooks_with_keywords(net):
    net.register_forward_pre_hook(lambda m, args, kwargs: (args, {"times": 0}), with_kwargs=True)
    seen = []
    net.register_forward_hook(lambda m, args, kwargs, out: seen.append(kwargs), with_kwargs=True)
    assert net(torch.ones(1, 3), times=5).abs().sum().item() == 0
    assert seen == [{"times": 0}]
    net.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="forward pre-hook must return None or a tuple"):
        net(torch.ones(1, 3))


def test_order_of_hooks(net):
    seen = []
    net.register_forward_hook(lambda *_: seen.append("b"))
    net.register_forward_hook(lambda *_: seen.append("a"), prepend=True)
    with global_hooks.register_module_forward_hook(lambda m, *_: seen.append("all") if m is net else None):
        net(torch.ones(1, 3))
    net(torch.ones(1, 3))
    assert seen == ["all", "a", "b", "a", "b"]


def test_always_called_hooks_see_failures():
    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("no")
    seen = []
    broken = Broken()
    broken.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    broken.register_forward_hook(lambda m, args, out: seen.append("never"))
    with pytest.raises(ValueError):
        broken(1)
    assert seen == [None]


def test_full_backward_hooks():
    layer = nn.Linear(2, 3)
    seen = {}
    layer.register_full_backward_pre_hook(lambda m, grad_output: (grad_output[0] * 2,))
    layer.register_full_backward_hook(lambda m, gi, go: seen.update(gi=gi, go=go) or (gi[0] * 10,))
    x = torch.ones(4, 2, requires_grad=True)
    layer(x).sum().backward()
    plain = layer.weight.sum(0)
    assert torch.allclose(seen["go"][0], torch.full((4, 3), 2.0))
    assert torch.allclose(seen["gi"][0], 2 * plain.expand(4, 2))
    assert torch.allclose(x.grad, 20 * plain.expand(4, 2))


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_backward_hook_without_input_gradient():
    layer = nn.Linear(2, 3)
    seen = []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].shape)))
    layer(torch.ones(4, 2)).sum().backward()
    assert seen == [((None,), (4, 3))]


def test_per_sample_gradients_from_hooks():
    layer = nn.Linear(3, 2)
    kept = {}
    layer.register_forward_hook(lambda m, args, out: kept.update(x=args[0]))
    layer.register_full_backward_hook(lambda m, gi, go: kept.update(g=go[0]))
    x = torch.randn(5, 3, requires_grad=True)
    layer(x).pow(2).sum().backward()
    each = torch.einsum("no,ni->noi", kept["g"], kept["x"])
    assert torch.allclose(each.sum(0), layer.weight.grad, atol=1e-5)


def test_kinds_of_backward_hooks_do_not_mix(net):
    net.register_full_backward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks"):
        net.register_backward_hook(lambda *_: None)


def test_registration_hooks():
    seen = []
    with global_hooks.register_module_parameter_registration_hook(lambda m, name, p: seen.append(name)):
        nn.Linear(1, 1)
    nn.Linear(1, 1)
    assert seen == ["weight", "bias"]


# -- containers -------------------------------------------------------------------------------------------
def test_sequential():
    net = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU()))
    assert net.a is net[0] and len(net[:1]) == 1 and isinstance(net[-1], nn.ReLU)
    net.append(nn.Tanh())
    assert list(net._modules) == ["a", "b", "2"]
    both = nn.Sequential(nn.ReLU()) + nn.Sequential(nn.Tanh())
    assert [type(m).__name__ for m in both] == ["ReLU", "Tanh"]
    assert len(both * 3) == 6
    both.insert(1, nn.Sigmoid())
    del both[0]
    assert list(both._modules) == ["0", "1"] and both(torch.zeros(1)).item() == pytest.approx(0.46211717)
    assert isinstance(both.pop(0), nn.Sigmoid)


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.Linear(1, 1) for _ in range(3)])
    layers += [nn.ReLU()]
    layers.insert(0, nn.Tanh())
    layers[1] = nn.Identity()
    del layers[2:4]
    assert [type(m).__name__ for m in layers] == ["Tanh", "Identity", "ReLU"]
    with pytest.raises(IndexError, match="index 7 is out of range"):
        layers[7]
    named = nn.ModuleDict({"b": nn.ReLU()})
    named.update([("a", nn.Tanh())])
    assert list(named) == ["b", "a"] and "a" in named and isinstance(named.pop("a"), nn.Tanh)


def test_parameter_containers():
    values = nn.ParameterList([torch.ones(2), 3, nn.Parameter(torch.zeros(1))])
    assert len(list(values.parameters())) == 2 and values[1] == 3
    named = nn.ParameterDict({"x": torch.ones(1)})
    named["y"] = nn.Parameter(torch.ones(2))
    assert list(named.state_dict()) == ["x", "y"] and named.get("z") is None
    assert len(named | {"z": torch.ones(1)}) == 3 and len(named) == 2


# -- lazy modules -----------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_layers():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    assert net(torch.ones(2, 3, 5, 5)).shape == (2, 2)
    assert type(net[0]) is nn.Conv2d and type(net[1]) is nn.BatchNorm2d and type(net[3]) is nn.Linear
    assert net[3].weight.shape == (2, 36) and net[0].in_channels == 3


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_layers_load():
    lazy = nn.LazyLinear(2)
    assert "Uninitialized" in repr(lazy.weight)
    with pytest.raises(RuntimeError, match="uninitialized parameter"):
        lazy.weight.shape
    lazy.load_state_dict(nn.Linear(3, 2).state_dict())
    assert lazy(torch.ones(1, 3)).shape == (1, 2)


def test_saving(net, tmp_path):
    path = tmp_path / "net.pt"
    torch.save(net.state_dict(), path)
    other = Net()
    other.load_state_dict(torch.load(path))
    assert torch.equal(other.first.weight, net.first.weight)
    buffer = io.BytesIO()
    torch.save(net.first.weight, buffer)
    buffer.seek(0)
    assert isinstance(torch.load(buffer), nn.Parameter)
