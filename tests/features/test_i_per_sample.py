"""Rows I of the notes' features: per-sample gradients and private training."""
import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import nn
from rushlight.func import functional_call, grad, jacrev, vjp, vmap


def problem(n=6):
    gen = torch.Generator().manual_seed(1)
    model = nn.Linear(3, 1)
    return model, torch.randn(n, 3, generator=gen), torch.randn(n, 1, generator=gen)


def by_loop(model, x, y):
    losses = [F.mse_loss(model(x[i:i + 1]), y[i:i + 1]) for i in range(len(x))]
    each = [torch.autograd.grad(loss, list(model.parameters())) for loss in losses]
    return [torch.stack(same) for same in zip(*each)]


def test_i01_update_is_the_mean_of_per_sample_gradients():
    model, x, y = problem()
    before = model.weight.detach().clone()
    per_sample = by_loop(model, x, y)[0]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    F.mse_loss(model(x), y).backward()
    optimizer.step()
    assert torch.allclose(model.weight, before - 0.1 / len(x) * per_sample.sum(0), atol=1e-6)


def test_i02_loop_over_samples_is_the_reference():
    model, x, y = problem()
    weight, bias = by_loop(model, x, y)
    assert weight.shape == (6, 1, 3) and bias.shape == (6, 1)
    assert torch.allclose(weight[2], 2 * (model(x[2]) - y[2]).unsqueeze(1) * x[2], atol=1e-6)


def test_i03_hooks_give_the_numbers_of_the_loop():
    model, x, y = problem()
    weight, bias = by_loop(model, x, y)
    kept = {}
    model.register_forward_hook(lambda m, inputs, out: kept.update(x=inputs[0].detach()))
    model.register_full_backward_hook(lambda m, ins, outs: kept.update(g=outs[0]))
    F.mse_loss(model(x), y, reduction="sum").backward()
    assert torch.allclose(kept["g"].unsqueeze(2) * kept["x"].unsqueeze(1), weight, atol=1e-6)
    assert torch.allclose(kept["g"], bias, atol=1e-6)


def test_i04_finished_engine_wraps_module_optimizer_and_loader():
    privacy = pytest.importorskip("rushlight.privacy")
    model, x, y = problem()
    reference = by_loop(model, x, y)
    wrapped = privacy.GradSampleModule(model, loss_reduction="sum")
    F.mse_loss(wrapped(x), y, reduction="sum").backward()
    for p, each in zip(model.parameters(), reference):
        assert torch.allclose(p.grad_sample, each, atol=1e-6)
    fresh = nn.Linear(3, 1)
    private, optimizer, loader = privacy.PrivacyEngine().make_private(
        module=fresh, optimizer=torch.optim.SGD(fresh.parameters(), lr=0.1),
        data_loader=torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=3),
        noise_multiplier=1.0, max_grad_norm=1.0)
    assert isinstance(private, privacy.GradSampleModule)
    for inputs, targets in loader:
        optimizer.zero_grad()
        F.mse_loss(private(inputs), targets).backward()
        optimizer.step()


def test_i05_private_step_clips_each_sample_then_adds_noise():
    privacy = pytest.importorskip("rushlight.privacy")
    model, x, y = problem()
    weight, bias = by_loop(model, x, y)
    wrapped = privacy.GradSampleModule(model)
    optimizer = privacy.optimizers.DPOptimizer(
        torch.optim.SGD(model.parameters(), lr=1.0), noise_multiplier=0.0, max_grad_norm=0.5,
        expected_batch_size=len(x))
    before = model.weight.detach().clone()
    F.mse_loss(wrapped(x), y).backward()
    optimizer.step()
    norms = (weight.flatten(1).square().sum(1) + bias.square().sum(1)).sqrt()
    clipped = weight * (0.5 / norms).clamp(max=1).view(-1, 1, 1)
    assert torch.allclose(before - model.weight, clipped.mean(0), atol=1e-5)


def test_i06_vmap_makes_the_batched_function():
    x, w = torch.randn(5, 3), torch.randn(3)
    assert torch.allclose(vmap(torch.dot, in_dims=(0, None))(x, w), x @ w)
    assert torch.allclose(torch.vmap(torch.dot, in_dims=(1, None))(x.T, w), x @ w)
    assert torch.vmap(lambda a: a * 2, out_dims=1)(x).shape == (3, 5)


def test_i07_vmap_of_a_gradient():
    assert torch.equal(vmap(grad(lambda x: (x ** 2).sum()))(torch.ones(3, 2)), torch.full((3, 2), 2.))


def test_i08_autograd_inside_vmap_is_refused_and_func_stands_in():
    def inside(x):
        return torch.autograd.grad((x ** 2).sum(), x)[0]
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad and does not "
                                           "have a grad_fn"):
        vmap(inside)(torch.ones(3, 2))
    assert vmap(jacrev(torch.sin))(torch.zeros(3, 2)).tolist() == [[[1, 0], [0, 1]]] * 3
    assert vmap(lambda x: vjp(torch.sin, x)[1](x)[0])(torch.zeros(3, 2)).tolist() == [[0, 0]] * 3


def test_i09_per_sample_gradients_of_a_module():
    model, x, y = problem()

    def loss(parameters, sample, target):
        out = functional_call(model, parameters, (sample.unsqueeze(0),))
        return F.mse_loss(out, target.unsqueeze(0))
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    for each, expected in zip(found.values(), by_loop(model, x, y)):
        assert torch.allclose(each, expected, atol=1e-6)
