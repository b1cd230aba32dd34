"""Optimisers and schedules against PyTorch: parameters after every step, states, learning rates."""
from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

OPTIMISERS = [
    "SGD(p, 0.1)", "SGD(p, 0.1, momentum=0.9)", "SGD(p, 0.1, 0.9, 0.3, 0.01)", "SGD(p, 0.1, 0.9, nesterov=True, weight_decay=0.1)", "SGD(p, 0.1, maximize=True)", "SGD(p, 0.1, foreach=True)",
    "Adam(p)", "Adam(p, 0.1, (0.8, 0.95), 1e-6, 0.1)", "Adam(p, 0.1, amsgrad=True)", "Adam(p, 0.1, maximize=True)", "Adam(p, 0.1, weight_decay=0.1, decoupled_weight_decay=True)", "Adam(p, T.tensor(0.1))",
    "AdamW(p)", "AdamW(p, 0.1, weight_decay=0.3)", "AdamW(p, 0.1, amsgrad=True)", "Adamax(p, 0.1)", "Adamax(p, 0.1, weight_decay=0.1, maximize=True)", "NAdam(p, 0.1)", "NAdam(p, 0.1, weight_decay=0.1)",
    "NAdam(p, 0.1, weight_decay=0.1, decoupled_weight_decay=True)", "RAdam(p, 0.1)", "RAdam(p, 0.1, (0.5, 0.6))", "RAdam(p, 0.1, weight_decay=0.1, decoupled_weight_decay=True)", "RAdam(p, 0.1, weight_decay=0.1)",
    "Adadelta(p)", "Adadelta(p, 0.5, 0.8, 1e-4, 0.1)", "Adadelta(p, maximize=True)", "Adagrad(p, 0.1)", "Adagrad(p, 0.1, 0.1, 0.1, 0.2)", "RMSprop(p)", "RMSprop(p, 0.1, 0.9, 1e-6, 0.1, 0.8, True)", "RMSprop(p, 0.1, centered=True)",
    "RMSprop(p, 0.1, momentum=0.5)", "Rprop(p)", "Rprop(p, 0.1, (0.4, 1.3), (1e-3, 2))", "ASGD(p, 0.1)", "ASGD(p, 0.1, t0=2, weight_decay=0.1, lambd=0.1)",
    "LBFGS(p, 0.5, 3)", "LBFGS(p, 0.3, max_iter=4, history_size=3)", "LBFGS(p, line_search_fn='strong_wolfe')", "LBFGS(p, max_iter=5, line_search_fn='strong_wolfe', history_size=2)",
    "SGD([{'params': p[:1], 'lr': 0.2}, {'params': p[1:]}], 0.1, momentum=0.5)", "Adam([{'params': p[:1], 'betas': (0.5, 0.9)}, {'params': p[1:], 'lr': 0.2}])", "Adam([('a', p[0]), ('b', p[1])])",
]
RNG = np.random.default_rng(0)
FIRST = RNG.uniform(-1, 1, (3, 4)), RNG.uniform(-1, 1, (3,))
DATA = RNG.uniform(-1, 1, (6, 4)), RNG.uniform(-1, 1, (6, 3))


class Run:
    """A small regression in library T."""

    def __init__(self, T, text, dtype="float64"):
        kind = getattr(T, dtype)
        self.T = T
        self.params = [T.tensor(a, dtype=kind).requires_grad_() for a in FIRST]
        self.x, self.y = (T.tensor(a, dtype=kind) for a in DATA)
        self.optimiser = self.make(text)

    def make(self, text):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return eval("optim." + text, {"T": self.T, "optim": self.T.optim, "p": self.params})

    def closure(self):
        self.optimiser.zero_grad()
        w, b = self.params
        loss = (((self.x @ w.t() + b).tanh() - self.y) ** 2).mean()
        loss.backward()
        return loss

    def steps(self, n):
        for _ in range(n):
            if type(self.optimiser).__name__ == "LBFGS":
                self.optimiser.step(self.closure)
            else:
                self.closure()
                self.optimiser.step()
            yield [np.array(p.detach().numpy()) for p in self.params]


@pytest.fixture
def rl():
    import rushlight
    return rushlight


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize("text", OPTIMISERS)
def test_trajectory(rl, text, dtype, tolerance):
    if "LBFGS" in text and dtype == "float32":
        tolerance = 2e-2
    if "(0.1)" in text and dtype == "float64":
        tolerance = 1e-7        # a learning rate that was a float32 tensor
    for a, b in zip(Run(rl, text, dtype).steps(8), Run(torch, text, dtype).steps(8)):
        for x, y in zip(a, b):
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return (np.array(value.detach().numpy()), str(value.dtype)) if hasattr(value, "detach") else value


def same(a, b):
    assert type(a) is type(b)
    if isinstance(b, dict):
        assert list(a) == list(b)
        for k in b:
            same(a[k], b[k])
    elif isinstance(b, list):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    elif isinstance(b, tuple):
        assert a[1] == b[1]
        np.testing.assert_allclose(a[0], b[0], rtol=1e-5, atol=1e-6)
    elif isinstance(b, float):
        assert abs(a - b) < 1e-6
    else:
        assert a == b


@pytest.mark.parametrize("text", [t for t in OPTIMISERS if "LBFGS" not in t])
def test_state_dict(rl, text):
    ours, theirs = Run(rl, text, "float32"), Run(torch, text, "float32")
    for run in (ours, theirs):
        list(run.steps(3))
    same(plain(ours.optimiser.state_dict()), plain(theirs.optimiser.state_dict()))
    assert repr(ours.optimiser) == repr(theirs.optimiser)
    for a, b in zip(ours.params, theirs.params):
        assert list(ours.optimiser.state[a]) == list(theirs.optimiser.state[b])
        same(plain(dict(ours.optimiser.state[a])), plain(dict(theirs.optimiser.state[b])))


@pytest.mark.parametrize("text", [t for t in OPTIMISERS if "LBFGS" not in t])
def test_pytorch_state_goes_on_here(rl, text):
    theirs = Run(torch, text, "float32")
    list(theirs.steps(3))
    ours = Run(rl, text, "float32")
    ours.params[:] = [rl.tensor(p.detach().numpy()).requires_grad_() for p in theirs.params]
    ours.optimiser = ours.make(text)
    ours.optimiser.load_state_dict(translated(rl, theirs.optimiser.state_dict()))
    for a, b in zip(ours.steps(3), theirs.steps(3)):
        for x, y in zip(a, b):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def translated(rl, value):
    if isinstance(value, dict):
        return {k: translated(rl, v) for k, v in value.items()}
    if isinstance(value, list):
        return [translated(rl, v) for v in value]
    return rl.tensor(value.detach().numpy()) if isinstance(value, torch.Tensor) else value


ERRORS = [
    "SGD([], 0.1)", "SGD(T.ones(2), 0.1)", "SGD([1], 0.1)", "SGD([T.ones(2, requires_grad=True) * 2], 0.1)", "SGD(p, -1)", "SGD(p, 0.1, -1)", "SGD(p, 0.1, nesterov=True)", "Adam(p, -1)", "Adam(p, betas=(1, 0))", "Adam(p, betas=(0, 0.9))", "Adam(p, betas=(0.9,))", "AdamW(p, betas=(T.tensor(0.9), 0.99))",
    "Adam(p, fused=True, foreach=True)", "SGD(p, fused=True, differentiable=True)", "RAdam(p, betas=(0.5,))",
    "Adam(p, betas=(0, 1.5))", "Adam(p, eps=-1)", "Adam(p, weight_decay=-1)", "Adadelta(p, rho=2)", "Adagrad(p, lr_decay=-1)", "RMSprop(p, alpha=-1)", "Rprop(p, etas=(2, 1))", "NAdam(p, momentum_decay=-1)",
    "SGD({'params': p}, 0.1)", "SGD([{'params': {1, 2}}], 0.1)", "SGD([{'params': p}, {'params': p[:1]}], 0.1)", "SGD(p, 0.1).add_param_group(3)", "SGD(p, 0.1).load_state_dict({'param_groups': [], 'state': {}})",
    "SGD(p, 0.1).load_state_dict({'param_groups': [{'params': [1]}], 'state': {}})", "LBFGS([{'params': p[:1]}, {'params': p[1:]}])", "SGD([('a', p[0]), p[1]])",
    "lr_scheduler.StepLR(3, 1)", "lr_scheduler.StepLR(SGD(p, 0.1), 1, last_epoch=3)", "lr_scheduler.LambdaLR(SGD(p, 0.1), [len, len])", "lr_scheduler.ConstantLR(SGD(p, 0.1), 2)", "lr_scheduler.LinearLR(SGD(p, 0.1), 0)",
    "lr_scheduler.OneCycleLR(SGD(p, 0.1), 1)", "lr_scheduler.OneCycleLR(SGD(p, 0.1, 0.9), 1, 3, anneal_strategy='x')", "lr_scheduler.CyclicLR(Adadelta(p), 0.1, 1)", "lr_scheduler.CyclicLR(SGD(p, 0.1, 0.9), 0.1, 1, mode='x')",
    "lr_scheduler.ReduceLROnPlateau(SGD(p, 0.1), factor=2)", "lr_scheduler.ReduceLROnPlateau(SGD(p, 0.1), 'x')", "lr_scheduler.ReduceLROnPlateau(SGD(p, 0.1), min_lr=[1, 2])", "lr_scheduler.SequentialLR(SGD(p, 0.1), [], [])",
    "lr_scheduler.CosineAnnealingWarmRestarts(SGD(p, 0.1), 0)", "lr_scheduler.ChainedScheduler([])",
]


@pytest.mark.parametrize("text", ERRORS)
def test_errors(rl, text):
    def outcome(T):
        scope = {"T": T, "p": [T.ones(2, requires_grad=True), T.ones(3, requires_grad=True)], **vars(T.optim)}
        try:
            return "none", repr(eval(text, scope))
        except Exception as error:
            return type(error).__name__, str(error)
    ours, theirs = outcome(rl), outcome(torch)
    assert ours[0] == theirs[0], (ours, theirs)
    words = theirs[1].split("\\n")[0].split()
    assert sum(w in ours[1].split() for w in words) >= 0.75 * len(words), (ours, theirs)


SCHEDULES = [
    "LambdaLR(o, lambda e: 0.9 ** e)", "LambdaLR(o, [lambda e: 0.9 ** e, lambda e: 1 / (e + 1)])", "MultiplicativeLR(o, lambda e: 0.95)", "StepLR(o, 3)", "StepLR(o, 2, 0.5)", "MultiStepLR(o, [2, 5, 5], 0.5)",
    "ConstantLR(o, 0.5, 4)", "LinearLR(o, 0.25, 0.75, 6)", "ExponentialLR(o, 0.9)", "PolynomialLR(o, 6, 2.0)", "CosineAnnealingLR(o, 5)", "CosineAnnealingLR(o, 4, 0.01)", "CosineAnnealingWarmRestarts(o, 3)",
    "CosineAnnealingWarmRestarts(o, 2, 2, 0.01)", "OneCycleLR(o, 1.0, 20)", "OneCycleLR(o, [1.0, 0.5], epochs=4, steps_per_epoch=5, anneal_strategy='linear', three_phase=True)", "CyclicLR(o, 0.1, 1.0, 3)",
    "CyclicLR(o, 0.1, 1.0, 3, 5, 'triangular2')", "CyclicLR(o, 0.1, 1.0, 3, mode='exp_range', gamma=0.9)", "CyclicLR(o, 0.1, 1.0, 3, scale_fn=lambda x: 1 / x, cycle_momentum=False)",
    "SequentialLR(o, [S.ConstantLR(o, 0.1, 3), S.ExponentialLR(o, 0.9)], [4])", "SequentialLR(o, [S.LinearLR(o, 0.1), S.CosineAnnealingLR(o, 5), S.StepLR(o, 2)], [3, 7])",
    "ChainedScheduler([S.ConstantLR(o, 0.1, 2), S.ExponentialLR(o, 0.9)])", "ReduceLROnPlateau(o, patience=1)", "ReduceLROnPlateau(o, 'max', 0.5, 0, threshold=0.1, threshold_mode='abs', cooldown=1, min_lr=0.05)",
]
METRICS = [1.0, 0.9, 0.95, 0.97, 0.96, 0.5, 0.5, 0.51, 0.7, 0.6, 0.55, 0.5, 0.4, 0.41, 0.45]


def schedule(T, text, kind="SGD"):
    """(optimiser, schedule) with two groups."""
    p = [T.ones(2, requires_grad=True), T.ones(3, requires_grad=True)]
    groups = [{"params": p[:1]}, {"params": p[1:], "lr": 0.3}]
    o = T.optim.SGD(groups, 0.2, momentum=0.9) if kind == "SGD" else T.optim.Adam(groups, 0.2)
    S = T.optim.lr_scheduler
    return o, eval(text, {"o": o, "S": S, **vars(S)})


def options(o):
    return [[g[k] for k in ("lr", "momentum", "betas") if k in g] for g in o.param_groups]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("text", SCHEDULES)
def test_schedule(rl, text, kind):
    found = []
    for T in (rl, torch):
        o, s = schedule(T, text, kind)
        rates = [options(o)]
        for metric in METRICS:
            o.step()
            s.step(*([metric] if "Plateau" in text else []))
            rates.append((options(o), s.get_last_lr()))
        found.append((rates, {k: v for k, v in s.state_dict().items() if isinstance(v, (int, float, list))}))
    assert str(found[0][0]) == str(found[1][0])
    ours, theirs = found[0][1], found[1][1]
    assert {k: str(v) for k, v in ours.items() if k in theirs} == {k: str(v) for k, v in theirs.items()}


@pytest.mark.parametrize("text", [t for t in SCHEDULES if t.split("(")[0] in (
    "StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts")])
def test_schedule_at_an_epoch(rl, text):
    found = []
    for T in (rl, torch):
        o, s = schedule(T, text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for epoch in (3, 1, 7):
                s.step(epoch)
                found.append(options(o))
    np.testing.assert_allclose(np.array(found[:3]), np.array(found[3:]), rtol=1e-12)
