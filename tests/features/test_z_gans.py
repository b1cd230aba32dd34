"""Z: two nets that train against each other."""
import math

import rushlight as torch
from rushlight import nn, optim


def pair():
    torch.manual_seed(0)
    generator = nn.Linear(2, 3)
    discriminator = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
    return generator, discriminator, torch.rand(5, 3), torch.rand(5, 2)


def test_z01_two_optimisers():
    G, D, _, z = pair()
    optimizers = {net: optim.SGD(net.parameters(), lr=0.1) for net in (G, D)}
    before = {net: [p.detach().clone() for p in net.parameters()] for net in (G, D)}
    nn.BCELoss()(D(G(z)), torch.ones(5, 1)).backward()
    optimizers[G].step()
    assert all(torch.equal(p, q) for p, q in zip(D.parameters(), before[D]))
    assert not any(torch.equal(p, q) for p, q in zip(G.parameters(), before[G]))


def test_z02_discriminator_objective():
    G, D, real, z = pair()
    objective = D(real).log().mean() + (1 - D(G(z))).log().mean()
    loss = nn.BCELoss()(D(real), torch.ones(5, 1)) + nn.BCELoss()(D(G(z)), torch.zeros(5, 1))
    assert torch.allclose(objective, -loss)
    half = torch.full((5, 1), 0.5)
    assert abs((half.log().mean() + (1 - half).log().mean()).item() + 2 * math.log(2)) < 1e-6


def test_z03_discriminator_loss():
    G, D, real, z = pair()
    total = nn.BCELoss(reduction="sum")
    assert torch.allclose(total(D(real), torch.ones(5, 1)), -D(real).log().sum())
    assert torch.allclose(total(D(G(z)), torch.zeros(5, 1)), -(1 - D(G(z))).log().sum())


def test_z04_generator_objective():
    G, D, _, z = pair()
    minimise, = torch.autograd.grad((1 - D(G(z))).log().mean(), G.bias)
    maximise, = torch.autograd.grad(D(G(z)).log().mean(), G.bias)
    assert torch.dot(minimise, maximise) < 0


def test_z05_generator_loss():
    G, D, _, z = pair()
    assert torch.allclose(nn.BCELoss(reduction="sum")(D(G(z)), torch.ones(5, 1)), -D(G(z)).log().sum())


def test_z06_detach_between_the_two():
    G, D, _, z = pair()
    nn.BCELoss()(D(G(z).detach()), torch.zeros(5, 1)).backward()
    assert G.weight.grad is None and D[0].weight.grad is not None


def test_z07_gradient_of_an_expectation():
    torch.manual_seed(0)
    x, w = torch.randn(1000, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    f = lambda x: (w * x).sin()
    whole, = torch.autograd.grad(f(x).mean(), w)
    parts = torch.stack([torch.autograd.grad(f(part).mean(), w)[0] for part in x.chunk(10)])
    assert torch.allclose(whole, parts.mean())
