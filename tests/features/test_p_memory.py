"""P: checkpointing, mixed precision, and what memory is spent on."""
import warnings

import pytest

import rushlight as torch
from rushlight import nn, optim
from rushlight.utils.checkpoint import checkpoint


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2))


def gradients(run, reentrant=None):
    model = net()
    x = torch.ones(3, 4, requires_grad=True)
    torch.manual_seed(1)
    run(model, x).sum().backward()
    return [x.grad, *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("reentrant", [True, False])
def test_p01_checkpoint(reentrant):
    plain = gradients(lambda model, x: model(x))
    again = gradients(lambda model, x: checkpoint(model, x, use_reentrant=reentrant, preserve_rng_state=True))
    assert all(torch.equal(a, b) for a, b in zip(plain, again))


def test_p02_forward_without_graph():
    seen = []

    def function(x):
        seen.append(torch.is_grad_enabled())
        return x * 2
    x = torch.ones(2, requires_grad=True)
    checkpoint(function, x, use_reentrant=True).sum().backward()
    assert seen == [False, True] and x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("reentrant", [True, False])
def test_p03_recomputation_in_backward(reentrant):
    calls = []

    def function(x):
        calls.append(1)
        return x.sin().sin()
    x = torch.ones(2, requires_grad=True)
    y = checkpoint(function, x, use_reentrant=reentrant)
    assert len(calls) == 1
    y.sum().backward()
    assert len(calls) == 2


def test_p04_rng_state():
    def mask(preserve):
        masks = []

        def function(x):
            y = nn.functional.dropout(x, 0.5)
            masks.append(y.detach() == 0)
            return y * x
        x = torch.ones(100, requires_grad=True)
        y = checkpoint(function, x, use_reentrant=False, preserve_rng_state=preserve)
        torch.rand(3)
        y.sum().backward()
        return torch.equal(*masks)
    assert mask(True) and not mask(False)


def test_p05_outputs_that_are_not_tensors():
    x = torch.ones(2, requires_grad=True)
    y, text, number = checkpoint(lambda a: (a * 3, "text", 5), x, use_reentrant=True)
    y.sum().backward()
    assert (text, number) == ("text", 5) and x.grad.tolist() == [3, 3]
    inside = checkpoint(lambda a: {"y": a * 3}, x, use_reentrant=True)["y"]
    assert not inside.requires_grad
    assert checkpoint(lambda a: {"y": a * 3}, x, use_reentrant=False)["y"].requires_grad


def test_p06_submodule():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 2)

        def forward(self, x):
            return checkpoint(self.net, x, use_reentrant=False)
    outer = Outer()
    outer(torch.rand(3, 2)).sum().backward()
    assert torch.equal(outer.net.bias.grad, torch.full((2,), 3.0))


def test_p07_warnings():
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint(torch.sin, torch.ones(2, requires_grad=True))
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True. Gradients will be None"):
        checkpoint(torch.sin, torch.ones(2), use_reentrant=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint(torch.sin, torch.ones(2), use_reentrant=False)


def test_p08_mixed_precision():
    model, x = net(), torch.rand(3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.bfloat16 and model[0].weight.dtype == torch.float32
    scaler, optimizer = torch.amp.GradScaler("cpu", init_scale=1024.0), optim.SGD(model.parameters(), lr=0.1)
    scaler.scale(y.float().sum()).backward()
    assert model[3].bias.grad.tolist() == [3 * 1024.0] * 2
    before = model[3].bias.detach().clone()
    scaler.step(optimizer)
    scaler.update()
    assert torch.allclose(model[3].bias, before - 0.1 * 3, atol=1e-6)


def test_p09_a_batch_in_parts():
    model, x = net().eval(), torch.rand(8, 4)
    model(x).sum().backward()
    whole = model[0].weight.grad.clone()
    model.zero_grad()
    for part in x.chunk(4):
        model(part).sum().backward()
    assert torch.allclose(whole, model[0].weight.grad, atol=1e-5)


def test_p10_what_costs_memory():
    from rushlight.utils import memory_report
    model = nn.Linear(100, 100, bias=False)
    optimizer = optim.Adam(model.parameters())

    def step():
        model(torch.rand(64, 100)).tanh().sum().backward()
        optimizer.step()
    report = memory_report(model, optimizer, step)
    assert report.parameters.bytes == 40_000 and report.gradients.bytes == 40_000
    assert report.optimizer_state.bytes >= 80_000 and report.activations.bytes >= 64 * 100 * 4
