"""nn.utils against PyTorch: parametrisations, weight and spectral norm, fused layers."""
from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402


def trained(T, make, shape, steps=3):
    """Losses, state and gradients of a few steps of a layer."""
    T.manual_seed(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = make(T, T.nn.utils)
    opt = T.optim.SGD(layer.parameters(), 0.1)
    x, seen = T.linspace(-1, 1, int(np.prod(shape))).reshape(shape), []
    for _ in range(steps):
        opt.zero_grad()
        loss = layer(x).pow(2).mean()
        loss.backward()
        opt.step()
        seen.append(loss.item())
    layer.eval()
    seen.append(layer(x).detach().numpy())
    names = list(layer.state_dict())
    return names, [*seen, *[v.numpy() for v in layer.state_dict().values()]], repr(layer), layer


def old(called, kind, **how):
    return lambda T, u: getattr(u, called)(kind(T.nn), **how)


def new(called, kind, **how):
    return lambda T, u: getattr(u.parametrizations, called)(kind(T.nn), **how)


LINEAR, TALL, SQUARE = (lambda nn: nn.Linear(4, 3)), (lambda nn: nn.Linear(3, 5)), (lambda nn: nn.Linear(4, 4))
CONV, BACK = (lambda nn: nn.Conv2d(2, 3, 3)), (lambda nn: nn.ConvTranspose2d(2, 3, 3))
CASES = {
    "weight": (old("weight_norm", LINEAR), (2, 4)), "weight all": (old("weight_norm", LINEAR, dim=None), (2, 4)),
    "weight conv": (new("weight_norm", CONV, dim=1), (1, 2, 5, 5)), "weight new": (new("weight_norm", LINEAR), (2, 4)),
    "spectral": (old("spectral_norm", LINEAR), (2, 4)), "spectral back": (old("spectral_norm", BACK), (1, 2, 4, 4)),
    "spectral new": (new("spectral_norm", CONV, n_power_iterations=2), (1, 2, 5, 5)),
    "spectral bias": (new("spectral_norm", LINEAR, name="bias"), (2, 4)),
    "orthogonal exp": (new("orthogonal", SQUARE), (2, 4)),
    "orthogonal cayley": (new("orthogonal", SQUARE, orthogonal_map="cayley"), (2, 4)),
    "orthogonal tall": (new("orthogonal", TALL), (2, 3)), "orthogonal wide": (new("orthogonal", LINEAR), (2, 4)),
    "orthogonal reflections": (new("orthogonal", SQUARE, orthogonal_map="householder", use_trivialization=False), (2, 4)),
    "orthogonal wide reflections": (new("orthogonal", LINEAR, orthogonal_map="householder", use_trivialization=False),
                                    (2, 4)),
    "orthogonal wide exp": (new("orthogonal", LINEAR, orthogonal_map="matrix_exp"), (2, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_layers(name):
    make, shape = CASES[name]
    ours, theirs = trained(rushlight, make, shape), trained(torch, make, shape)
    assert ours[0] == theirs[0]
    assert ours[2] == theirs[2]
    for a, b in zip(ours[1], theirs[1]):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
    if hasattr(ours[3], "weight_u") or hasattr(ours[3], "weight_g"):
        return                          # PyTorch does not copy these either
    other = copy.deepcopy(ours[3])
    assert type(other) is type(ours[3]) and list(other.state_dict()) == ours[0]


def removed(T):
    u, seen = T.nn.utils, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for put, remove in ((u.weight_norm, u.remove_weight_norm), (u.spectral_norm, u.remove_spectral_norm)):
            T.manual_seed(1)
            layer = put(T.nn.Linear(3, 2))
            layer(T.ones(1, 3))
            seen.append(list(remove(layer).state_dict()))
            seen.append(layer.weight.detach().numpy())
            with pytest.raises(ValueError) as error:
                remove(layer)
            seen.append(str(error.value))
    return seen


def test_removing():
    for a, b in zip(removed(rushlight), removed(torch)):
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, rtol=1e-4)
        else:
            assert a == b


def parametrised(T):
    nn, p, seen = T.nn, T.nn.utils.parametrize, []

    class Symmetric(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

        def right_inverse(self, a):
            return a.triu()

    class Sum(nn.Module):
        def forward(self, a, b):
            return a + b

        def right_inverse(self, x):
            return x * 0.25, x * 0.75

    class Twice(nn.Module):
        def forward(self, x):
            seen.append("run")
            return 2 * x

    class Wrong(nn.Module):
        def forward(self, x):
            return x[:1]
    T.manual_seed(0)
    layer = nn.Linear(3, 3)
    parameter = layer.weight
    p.register_parametrization(layer, "weight", Symmetric())
    p.register_parametrization(layer, "weight", Twice())
    seen += [type(layer).__name__, list(layer.state_dict()), p.is_parametrized(layer), p.is_parametrized(layer, "bias"),
             p.type_before_parametrizations(layer).__name__, layer.parametrizations.weight.original is parameter]
    with p.cached():
        seen += [layer.weight is layer.weight]
    seen.append(layer.weight.detach().numpy())
    layer(T.ones(1, 3)).sum().backward()
    seen.append(parameter.grad.numpy())
    other = nn.Linear(3, 3)
    p.register_parametrization(other, "weight", Sum())
    other.weight = T.eye(3)
    seen += [list(other.state_dict()), other.parametrizations.weight.original0.detach().numpy()]
    for call in (lambda: p.register_parametrization(layer, "nothing", Twice()),
                 lambda: p.register_parametrization(nn.Linear(3, 3), "weight", Wrong()),
                 lambda: setattr(layer, "weight", T.eye(3)), lambda: p.remove_parametrizations(nn.Linear(1, 1), "weight"),
                 lambda: p.remove_parametrizations(other, "weight", leave_parametrized=False),
                 lambda: __import__("pickle").dumps(layer)):
        with pytest.raises((ValueError, RuntimeError)) as error:
            call()
        seen.append((error.type.__name__, str(error.value)[:60]))
    p.remove_parametrizations(layer, "weight")
    p.remove_parametrizations(other, "weight")
    seen += [type(layer).__name__, list(layer.state_dict()), list(other.state_dict()), layer.weight is parameter,
             layer.weight.detach().numpy(), other.weight.detach().numpy()]
    return seen


def test_parametrize():
    ours, theirs = parametrised(rushlight), parametrised(torch)
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, rtol=1e-5)
        else:
            assert a == b


def fused(T):
    u, seen = T.nn.utils, []
    for layer, bn, x in ((T.nn.Conv2d(2, 3, 2), T.nn.BatchNorm2d(3), T.linspace(-1, 1, 50).reshape(1, 2, 5, 5)),
                         (T.nn.ConvTranspose2d(2, 3, 2), T.nn.BatchNorm2d(3), T.linspace(-1, 1, 50).reshape(1, 2, 5, 5)),
                         (T.nn.Linear(4, 3), T.nn.BatchNorm1d(3), T.linspace(-1, 1, 20).reshape(5, 4))):
        bn(layer(x))
        bn.weight.data.uniform_(0.5, 2)
        layer.eval(), bn.eval()
        how = {"transpose": True} if isinstance(layer, T.nn.ConvTranspose2d) else {}
        made = (u.fuse_linear_bn_eval if isinstance(layer, T.nn.Linear) else u.fuse_conv_bn_eval)(layer, bn, **how)
        np.testing.assert_allclose(made(x).detach().numpy(), bn(layer(x)).detach().numpy(), rtol=1e-4, atol=1e-5)
        seen.append(list(made.state_dict()))
    net = u.convert_conv2d_weight_memory_format(T.nn.Sequential(T.nn.Conv2d(4, 3, 2)), T.channels_last)
    return [*seen, net[0].weight.stride()]


def test_fusion_and_memory_format():
    assert fused(rushlight) == fused(torch)
