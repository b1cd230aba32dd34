"""The note "Code Toolbox" (2023): random numbers, per-sample gradients, a module template.

    rushlight run examples/notes/code_toolbox.py

Everything in it that is code, with what it states asserted; its links, shell commands and the button
of an editor are not. `opacus` is rushlight's own differential privacy unless opacus is installed.
"""
import cProfile
import os
import pstats
import random
import tempfile
from types import SimpleNamespace as Config

import torch
from opacus import PrivacyEngine
from opacus.grad_sample import GradSampleModule
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import DataLoader, TensorDataset


def integers():
    two = torch.randint(1, 5, [2])
    assert two.shape == (2,) and two.dtype == torch.int64
    assert torch.randint(1, 5, [1000]).unique().tolist() == [1, 2, 3, 4]
    row = torch.randint(5, [1, 2])
    assert row.shape == (1, 2) and 0 <= row.min() and row.max() <= 4
    print("torch.randint(5, [1, 2]) gives, for instance,", row)

    assert {random.randint(-1, 2) for _ in range(200)} == {-1, 0, 1, 2}
    numbers = random.choices(range(101), k=10)
    assert len(numbers) == 10 and all(0 <= n <= 100 for n in numbers)
    assert len(set(random.sample(range(101), 10))) == 10
    items = list(range(1, 6))
    random.shuffle(items)
    k = 3
    assert len(items[:k]) == k and sorted(items) == [1, 2, 3, 4, 5]
    assert len(torch.arange(1, 6)[torch.randperm(5)[:k]].unique()) == k


def reals():
    uniform = torch.rand(2, 3)
    assert uniform.shape == (2, 3) and uniform.min() >= 0 and uniform.max() < 1
    assert torch.randn(2, 3).shape == (2, 3)
    many = torch.randn(10_000)
    assert abs(many.mean()) < 0.05 and abs(many.std() - 1) < 0.05
    normal = torch.distributions.Normal(torch.tensor([0.0, 5.0]), torch.tensor([1.0, 0.1]))
    assert normal.sample((100,)).shape == (100, 2)


def data(n=6):
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    return net, torch.randn(n, 4), torch.randn(n, 1)


def squared_error(output, target):
    return (output - target).square().sum(-1)


def by_loop(net, x, y):
    """One sample after the other: correct and slow."""
    rows = [torch.autograd.grad(squared_error(net(a[None]), b[None]).sum(), list(net.parameters()))
            for a, b in zip(x, y)]
    return [torch.stack(column) for column in zip(*rows)]


def by_hooks(net, x, y):
    """Each linear layer's input times the gradient of its output, in one backward pass."""
    inputs, grads, handles = {}, {}, []

    def forward_hook(module, args, output):
        inputs[module] = args[0].detach()

    def backward_hook(module, grad_input, grad_output):
        outer = grad_output[0][:, :, None] * inputs[module][:, None, :]
        grads[module] = [outer, grad_output[0]]

    layers = [m for m in net if isinstance(m, nn.Linear)]
    for layer in layers:
        handles += [layer.register_forward_hook(forward_hook),
                    layer.register_full_backward_hook(backward_hook)]
    squared_error(net(x), y).sum().backward()
    for handle in handles:
        handle.remove()
    return [g for layer in layers for g in grads[layer]]


def by_vmap(net, x, y):
    """A function of the gradient, mapped over samples."""
    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def loss(parameters, a, b):
        return squared_error(functional_call(net, parameters, (a[None],)), b[None]).sum()

    return list(vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y).values())


def by_opacus(net, x, y):
    wrapped = GradSampleModule(net, loss_reduction="sum")
    squared_error(wrapped(x), y).sum().backward()
    return [p.grad_sample.detach() for p in wrapped.parameters()]


def per_sample_gradients():
    net, x, y = data()
    expected = by_loop(net, x, y)
    for way in (by_hooks, by_vmap, by_opacus):
        net.zero_grad()
        for found, wanted in zip(way(net, x, y), expected, strict=True):
            torch.testing.assert_close(found, wanted)
    assert vmap(grad(lambda a: (a**2).sum()))(torch.ones(3, 2)).tolist() == [[2.0, 2.0]] * 3
    try:
        vmap(lambda a: torch.autograd.grad((a**2).sum(), a)[0])(torch.ones(3, 2))
    except RuntimeError as error:
        assert "element 0 of tensors does not require grad" in str(error)
    else:
        raise AssertionError("vmap knows no autograd")
    print("per-sample gradients: loop, hooks, vmap and opacus agree")


def private_training():
    """DP-SGD: every sample's gradient clipped, noise added, then a step."""
    net, x, y = data(64)
    net, optimizer, loader = PrivacyEngine().make_private(
        module=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.05),
        data_loader=DataLoader(TensorDataset(x, y), batch_size=16),
        noise_multiplier=1.0, max_grad_norm=1.0)
    before = [p.detach().clone() for p in net.parameters()]
    for a, b in loader:
        optimizer.zero_grad()
        squared_error(net(a), b).mean().backward()
        optimizer.step()
    assert any((p != q).any() for p, q in zip(net.parameters(), before))
    print("trained with differential privacy")


class NetBase(nn.Module):
    """Observations (N, n_channels, height, width) to features (N, hidden_width), in float64."""

    def __init__(self, n_channels, config, name, device=None):
        super().__init__()
        self.n_channels = n_channels
        self.conv_layer = nn.Sequential(    # kernel 3 needs padding 1, kernel 5 padding 2, ...
            nn.Conv2d(n_channels, config.nn.n_filters, config.nn.kernel, config.nn.stride,
                      padding=int((config.nn.kernel - 1) / 2), dtype=torch.double), nn.ReLU())
        obs_vector = config.env.map_height * config.env.map_width * config.nn.n_filters
        self.mlp = nn.Sequential(
            nn.Linear(obs_vector, config.nn.hidden_width, dtype=torch.double), nn.ReLU(),
            nn.Linear(config.nn.hidden_width, config.nn.hidden_width, dtype=torch.double),
            nn.ReLU())
        self.name = name
        folder = os.path.join(config.path.saved_models, config.main.exp_name)
        self.checkpoint_file = os.path.join(folder, name)
        os.makedirs(folder, exist_ok=True)
        self.device = device
        self.to(self.device)

    def forward(self, x):
        return self.mlp(self.conv_layer(x).view(x.shape[0], -1))

    def save_checkpoint(self):
        torch.save(self.state_dict(), self.checkpoint_file)

    def load_checkpoint(self, path=None):
        file = os.path.join(path, self.name) if path else self.checkpoint_file
        self.load_state_dict(torch.load(file, map_location=self.device))


def module_template():
    with tempfile.TemporaryDirectory() as folder:
        config = Config(nn=Config(n_filters=4, kernel=5, stride=1, hidden_width=8),
                        env=Config(map_height=4, map_width=13),
                        path=Config(saved_models=folder), main=Config(exp_name="first"))
        net, other = NetBase(3, config, "net.pt"), NetBase(3, config, "net.pt")
        x = torch.rand(2, 3, 4, 13, dtype=torch.double)
        assert net.conv_layer(x).shape == (2, 4, 4, 13) and net(x).shape == (2, 8)
        net.save_checkpoint()
        assert os.path.exists(os.path.join(folder, "first", "net.pt"))
        other.load_checkpoint()
        assert torch.equal(net(x), other(x))
        other.load_checkpoint(os.path.join(folder, "first"))
        for layer, given in ((net.mlp[0], torch.rand(2, 208)), (net.conv_layer, x.float())):
            try:
                layer(given)
            except RuntimeError as error:
                assert "must have the same dtype" in str(error) or "should be the same" in str(error)
            else:
                raise AssertionError("float32 went into a float64 layer")
    print("module template: saved and loaded")


def profile():
    """Where time goes."""
    with cProfile.Profile() as profiler:
        (torch.rand(200, 200) @ torch.rand(200, 200)).sum().item()
    assert pstats.Stats(profiler).total_calls > 0


def main():
    torch.manual_seed(0)
    integers()
    reals()
    per_sample_gradients()
    private_training()
    module_template()
    profile()


if __name__ == "__main__":
    main()
