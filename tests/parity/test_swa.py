"""Averaged models, SWALR, Adafactor and Muon against PyTorch."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight     # noqa: E402
import torch.optim.swa_utils     # noqa: E402


def model(T):
    T.manual_seed(3)
    return T.nn.Sequential(T.nn.Linear(4, 6), T.nn.BatchNorm1d(6), T.nn.Tanh(), T.nn.Linear(6, 2))


AVERAGES = {
    "swa": lambda u: {}, "buffers": lambda u: {"use_buffers": True},
    "ema": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9)},
    "ema buffers": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9), "use_buffers": True},
    "ema one": lambda u: {"avg_fn": u.get_ema_avg_fn(0.8)}, "swa one": lambda u: {"avg_fn": u.get_swa_avg_fn()},
    "swa list": lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
    "own": lambda u: {"avg_fn": lambda a, p, n: a * 0.5 + p * 0.5},
}


def averaged(T, name):
    u, net = T.optim.swa_utils, model(T)
    average = u.AveragedModel(net, **AVERAGES[name](u))
    opt = T.optim.SGD(net.parameters(), 0.1)
    xs = [T.linspace(-1, k + 1.0, 20).reshape(5, 4) for k in range(4)]
    for x in xs:
        opt.zero_grad()
        net(x).pow(2).mean().backward()
        opt.step()
        average.update_parameters(net)
    before = {k: v.numpy() + 0 for k, v in average.state_dict().items()}
    average.eval()
    y = average(xs[0]).detach().numpy()
    u.update_bn([(x, None) for x in xs], average)
    return before, y, {k: v.numpy() for k, v in average.state_dict().items()}, average.training


@pytest.mark.parametrize("name", AVERAGES)
def test_averages(name):
    ours, theirs = averaged(rushlight, name), averaged(torch, name)
    assert list(ours[0]) == list(theirs[0]) and ours[3] == theirs[3]
    for a, b in ((ours[0], theirs[0]), (ours[2], theirs[2]), ({0: ours[1]}, {0: theirs[1]})):
        for key in a:
            assert a[key].dtype == b[key].dtype
            np.testing.assert_allclose(a[key], b[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", [{}, {"anneal_strategy": "linear", "anneal_epochs": 4}, {"anneal_epochs": 0}])
def test_learning_rates(how):
    def rates(T):
        ps = [T.nn.Parameter(T.ones(1)) for _ in range(2)]
        opt = T.optim.SGD([{"params": [ps[0]], "lr": 1.0}, {"params": [ps[1]], "lr": 0.2}], 0.1)
        first = T.optim.lr_scheduler.StepLR(opt, 2)
        then = T.optim.swa_utils.SWALR(opt, [0.05, 0.5], **how)
        seen = []
        for k in range(14):
            opt.step()
            (first if k < 3 else then).step()
            seen.append([g["lr"] for g in opt.param_groups])
        for bad in ({"anneal_strategy": "odd"}, {"anneal_epochs": -1}, {"anneal_epochs": 1.5}):
            with pytest.raises(ValueError) as error:
                T.optim.swa_utils.SWALR(opt, 0.1, **bad)
            seen.append(str(error.value))
        return seen
    ours, theirs = rates(rushlight), rates(torch)
    np.testing.assert_allclose(ours[:14], theirs[:14], rtol=1e-12)
    assert ours[14:] == theirs[14:]


OPTIMISERS = [("Adafactor", {}), ("Adafactor", {"weight_decay": 0.1, "d": 1.5, "maximize": True, "beta2_decay": -0.5}),
              ("Adafactor", {"eps": (1e-6, 1e-2), "lr": 0.5}), ("Muon", {}),
              ("Muon", {"nesterov": False, "weight_decay": 0.0, "lr": 0.002}),
              ("Muon", {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 3})]


def steps(T, name, options):
    shapes = [(3, 5), (6, 2), (4, 4)] + ([(5,), (2, 3, 4)] if name == "Adafactor" else [])
    ps = [T.nn.Parameter(T.linspace(-1, 1.5, int(np.prod(s))).reshape(s)) for s in shapes]
    opt = getattr(T.optim, name)(ps, **options)
    for k in range(6):
        opt.zero_grad()
        sum((p * p * (k + 0.3)).sin().sum() for p in ps).backward()
        opt.step()
        if k == 2:
            other = getattr(T.optim, name)(ps, **options)
            other.load_state_dict(opt.state_dict())
            opt = other
    state = opt.state_dict()["state"]
    return [p.detach().numpy() for p in ps], {k: {n: v.numpy() for n, v in s.items()} for k, s in state.items()}


@pytest.mark.parametrize("name, options", OPTIMISERS)
def test_optimisers(name, options):
    (ours, ours_state), (theirs, their_state) = steps(rushlight, name, options), steps(torch, name, options)
    loose = 3e-2 if name == "Muon" else 1e-4        # Muon computes in bfloat16
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=loose, atol=0.3 * options.get("lr", 1e-3) if loose > 1e-3 else 1e-5)
    assert {k: {n: v.dtype for n, v in s.items()} for k, s in ours_state.items()} == \
        {k: {n: v.dtype for n, v in s.items()} for k, s in their_state.items()}
    for k, s in ours_state.items():
        for n, v in s.items():
            np.testing.assert_allclose(v, their_state[k][n], rtol=loose, atol=loose)


@pytest.mark.parametrize("name, options", [("Adafactor", {"lr": -1.0}), ("Adafactor", {"beta2_decay": 1.0}),
                                           ("Adafactor", {"d": 0.5}), ("Adafactor", {"eps": (-1.0, 1.0)}),
                                           ("Muon", {"momentum": -1.0}), ("Muon", {"adjust_lr_fn": "odd"}),
                                           ("Muon", {"weight_decay": -1.0}), ("Muon", {})])
def test_errors(name, options):
    said = []
    for T in (rushlight, torch):
        with pytest.raises(ValueError) as error:
            getattr(T.optim, name)([T.nn.Parameter(T.ones(3))], **options)
        said.append(str(error.value))
    assert said[0] == said[1]
