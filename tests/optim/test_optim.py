"""Optimisers and schedules by their formulas; groups, states, hooks."""
from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn, optim
from rushlight.optim import lr_scheduler
from rushlight.optim.optimizer import register_optimizer_step_post_hook

ALL = {"SGD": dict(lr=0.1, momentum=0.9), "Adam": dict(lr=0.1), "AdamW": dict(lr=0.1), "Adamax": dict(lr=0.1), "NAdam": dict(lr=0.1),
       "RAdam": dict(lr=0.5), "Adadelta": dict(lr=30.0), "Adagrad": dict(lr=0.5), "RMSprop": dict(lr=0.05), "Rprop": dict(lr=0.05), "ASGD": dict(lr=0.1)}


def parameter(*values):
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def step_with(optimiser, p, *grad):
    p.grad = torch.tensor(grad, dtype=torch.float64)
    optimiser.step()
    return p.tolist()


@pytest.mark.parametrize("name", ALL)
def test_all_find_the_bottom(name):
    p = parameter(3.0, -2.0)
    optimiser = getattr(optim, name)([p], **ALL[name])
    for _ in range(150):
        optimiser.zero_grad()
        ((p - 1) ** 2).sum().backward()
        optimiser.step()
    np.testing.assert_allclose(p.tolist(), [1, 1], atol=0.1)


def test_lbfgs_on_a_banana():
    p = parameter(-1.2, 1.0)
    optimiser = optim.LBFGS([p], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss
    assert optimiser.step(closure).item() == pytest.approx(24.2)
    np.testing.assert_allclose(p.tolist(), [1, 1], atol=1e-3)


def test_lbfgs_with_a_growing_history_meets_its_plans_again():
    from rushlight.compiler import plan
    p = parameter(*(0.1 * i for i in range(30)))
    optimiser = optim.LBFGS([p], lr=1e-3, max_iter=1, tolerance_grad=0, tolerance_change=0)

    def closure():
        optimiser.zero_grad()
        loss = (p.sin() * p).sum() + (p**2).sum()
        loss.backward()
        return loss
    for _ in range(20):
        optimiser.step(closure)
    before, history = plan.misses, len(optimiser.state[p]["old_dirs"])
    for _ in range(16):
        optimiser.step(closure)
    assert plan.misses == before and len(optimiser.state[p]["old_dirs"]) == history + 16


def test_sgd_formulas():
    p = parameter(1.0)
    o = optim.SGD([p], lr=0.1, momentum=0.5, weight_decay=0.1)
    assert step_with(o, p, 2.0) == pytest.approx([1 - 0.1 * 2.1])
    g = 2.0 + 0.1 * p.item()
    assert step_with(o, p, 2.0) == pytest.approx([0.79 - 0.1 * (0.5 * 2.1 + g)])


def test_adam_formula():
    p = parameter(1.0)
    o = optim.Adam([p], lr=0.1, betas=(0.8, 0.9), eps=1e-3)
    m = v = 0.0
    x = 1.0
    for t, g in enumerate((2.0, -1.0, 0.5), 1):
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        x -= 0.1 * (m / (1 - 0.8 ** t)) / ((v / (1 - 0.9 ** t)) ** 0.5 + 1e-3)
        assert step_with(o, p, g) == pytest.approx([x])


def test_steps_are_tensors_to_who_looks():
    p = parameter(1.0)
    o = optim.Adam([p])
    step_with(o, p, 1.0)
    state = o.state[p]
    assert list(state) == ["step", "exp_avg", "exp_avg_sq"]
    assert state["step"].dtype is torch.float32 and state["step"].shape == () and state["step"].item() == 1
    assert dict(state)["step"].item() == 1 and [v.dim() for v in state.values()] == [0, 1, 1]
    state["step"] += 4
    step_with(o, p, 1.0)
    assert o.state_dict()["state"][0]["step"].item() == 6
    assert pickle.loads(pickle.dumps(o.state_dict()))["state"][0]["step"].item() == 6


@pytest.mark.parametrize("name", ALL)
def test_state_survives_a_round_trip(name):
    def run(o, p, n):
        return [step_with(o, p, 0.3 * i, 1.0)[0] for i in range(n)]
    p = parameter(1.0, 2.0)
    o = getattr(optim, name)([p], **ALL[name])
    run(o, p, 3)
    q = nn.Parameter(p.detach().clone())
    other = getattr(optim, name)([q], lr=7.0)
    other.load_state_dict(pickle.loads(pickle.dumps(o.state_dict())))
    assert other.param_groups[0]["lr"] == ALL[name]["lr"]
    assert run(o, p, 3) == run(other, q, 3)


def test_loaded_state_takes_the_parameters_dtype():
    p = parameter(1.0)
    o = optim.Adam([p])
    step_with(o, p, 1.0)
    half = nn.Parameter(torch.ones(1, dtype=torch.float32))
    other = optim.Adam([half])
    other.load_state_dict(o.state_dict())
    assert other.state[half]["exp_avg"].dtype is torch.float32


def test_deepcopy():
    p = parameter(1.0)
    o = optim.SGD([p], lr=0.1, momentum=0.9)
    step_with(o, p, 1.0)
    other = copy.deepcopy(o)
    assert other.param_groups[0]["params"][0] is not p


# -- groups -----------------------------------------------------------------------------------------------
def test_groups_have_options_of_their_own():
    p, q = parameter(1.0), parameter(1.0)
    o = optim.SGD([{"params": p, "lr": 1.0}], lr=0.1)
    o.add_param_group({"params": [q]})
    p.grad, q.grad = torch.ones_like(p), torch.ones_like(q)
    o.step()
    assert p.item() == 0 and q.item() == pytest.approx(0.9)
    assert [g["lr"] for g in o.param_groups] == [1.0, 0.1]


def test_parameters_without_a_gradient_are_left_alone():
    p, q = parameter(1.0), parameter(1.0)
    o = optim.Adam([p, q])
    step_with(o, p, 1.0)
    assert q.item() == 1 and q not in o.state


def test_duplicates_warn():
    p = parameter(1.0)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([p, p], lr=0.1)


def test_zero_grad():
    p = parameter(1.0)
    o = optim.SGD([p], lr=0.1)
    p.grad = torch.ones_like(p)
    o.zero_grad(set_to_none=False)
    assert p.grad.item() == 0
    o.zero_grad()
    assert p.grad is None


def test_closure():
    p = parameter(2.0)
    o = optim.SGD([p], lr=0.1)

    def closure():
        o.zero_grad()
        loss = (p ** 2).sum()
        loss.backward()
        return loss
    with torch.no_grad():
        assert o.step(closure).item() == 4
    assert p.item() == pytest.approx(1.6)


def test_the_users_own_optimiser():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, dict(lr=lr))

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["step"] = state.get("step", 0) + 1
                    p.data.add_(p.grad.sign(), alpha=-group["lr"])
    p = parameter(1.0)
    o = Sign([p], 0.25)
    seen = []
    o.register_step_post_hook(lambda opt, args, kwargs: seen.append(opt.state[p]["step"]))
    assert step_with(o, p, 5.0) == [0.75] and seen == [1]
    assert o.state_dict()["state"][0] == {"step": 1}


# -- hooks ------------------------------------------------------------------------------------------------
def test_step_hooks():
    p = parameter(1.0)
    o = optim.SGD([p], lr=0.1)
    seen = []
    o.register_step_pre_hook(lambda opt, args, kwargs: seen.append("before"))
    with register_optimizer_step_post_hook(lambda opt, args, kwargs: seen.append("after")):
        step_with(o, p, 1.0)
    step_with(o, p, 1.0)
    assert seen == ["before", "after", "before"]


def test_state_dict_hooks():
    o = optim.SGD([parameter(1.0)], lr=0.1)
    o.register_state_dict_post_hook(lambda opt, state: {**state, "more": 1})
    assert o.state_dict()["more"] == 1
    seen = []
    o.register_load_state_dict_pre_hook(lambda opt, state: seen.append("pre"))
    o.register_load_state_dict_post_hook(lambda opt: seen.append("post"))
    o.load_state_dict(o.state_dict())
    assert seen == ["pre", "post"]


# -- schedules --------------------------------------------------------------------------------------------
def rates(make, epochs, **options):
    o = optim.SGD([parameter(1.0)], lr=1.0, **options)
    s = make(o)
    found = [o.param_groups[0]["lr"]]
    for _ in range(epochs):
        o.step()
        s.step()
        found.append(o.param_groups[0]["lr"])
    return found


def test_schedules():
    assert rates(lambda o: lr_scheduler.StepLR(o, 2, 0.5), 4) == [1, 1, 0.5, 0.5, 0.25]
    assert rates(lambda o: lr_scheduler.MultiStepLR(o, [1, 3], 0.5), 4) == [1, 0.5, 0.5, 0.25, 0.25]
    assert rates(lambda o: lr_scheduler.ExponentialLR(o, 0.5), 3) == [1, 0.5, 0.25, 0.125]
    assert rates(lambda o: lr_scheduler.LambdaLR(o, lambda e: 1 / (e + 1)), 3) == [1, 1 / 2, 1 / 3, 1 / 4]
    np.testing.assert_allclose(rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 4), 4),
                               [(1 + np.cos(np.pi * e / 4)) / 2 for e in range(5)], atol=1e-12)
    np.testing.assert_allclose(rates(lambda o: lr_scheduler.PolynomialLR(o, 4), 5), [1, 0.75, 0.5, 0.25, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rates(lambda o: lr_scheduler.LinearLR(o, 0.5, 1, 4), 5), [0.5, 0.625, 0.75, 0.875, 1, 1])


def test_one_cycle_moves_momentum_the_other_way():
    o = optim.SGD([parameter(1.0)], lr=1.0, momentum=0.9)
    s = lr_scheduler.OneCycleLR(o, 1.0, 10)
    seen = []
    for _ in range(9):
        o.step()
        s.step()
        seen.append((o.param_groups[0]["lr"], o.param_groups[0]["momentum"]))
    top = max(range(9), key=lambda i: seen[i][0])
    assert seen[top][0] == pytest.approx(1) and seen[top][1] == pytest.approx(0.85) and seen[-1][0] < 1e-4


def test_plateau():
    o = optim.SGD([parameter(1.0)], lr=1.0)
    s = lr_scheduler.ReduceLROnPlateau(o, patience=1, factor=0.5)
    for metric in (1.0, 1.0, 1.0, torch.tensor(0.5), 0.5, 0.5):
        s.step(metric)
    assert s.get_last_lr() == [0.25]


def test_order_of_calls_is_watched():
    o = optim.SGD([parameter(1.0)], lr=1.0)
    s = lr_scheduler.StepLR(o, 1)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        s.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        o.step()
        s.step()


def test_schedule_states():
    o = optim.SGD([parameter(1.0)], lr=1.0)
    s = lr_scheduler.StepLR(o, 2, 0.5)
    o.step()
    s.step()
    state = s.state_dict()
    assert state["last_epoch"] == 1 and "optimizer" not in state
    other = lr_scheduler.StepLR(optim.SGD([parameter(1.0)], lr=1.0), 9)
    other.load_state_dict(state)
    assert other.step_size == 2


def test_a_learning_rate_that_is_a_tensor():
    p = parameter(1.0)
    o = optim.SGD([p], lr=torch.tensor(0.5))
    s = lr_scheduler.StepLR(o, 1, 0.5)
    assert step_with(o, p, 1.0) == [0.5]
    s.step()
    assert o.param_groups[0]["lr"].item() == 0.25


REPLAYED = [("SGD", {}), ("SGD", dict(momentum=0.9, weight_decay=0.1, nesterov=True)), ("Adam", {}),
            ("Adam", dict(amsgrad=True, weight_decay=0.1)), ("AdamW", {}), ("Adamax", {}), ("NAdam", {}), ("RAdam", {}),
            ("Adadelta", {}), ("Adagrad", dict(lr_decay=0.1)), ("RMSprop", dict(centered=True, momentum=0.5))]


@pytest.mark.parametrize("name,options", REPLAYED)
def test_replayed_steps_are_the_steps(name, options):
    """Bit for bit, with a rate that changes, for whole parameters and for parts of one memory."""
    from rushlight.autograd import recall

    def run():
        memory = torch.arange(24.0) / 10 - 1
        parameters = [memory[:8].requires_grad_(), (torch.arange(6.0).reshape(2, 3) - 2).requires_grad_(), memory[12:].requires_grad_()]
        optimizer = getattr(torch.optim, name)(parameters, lr=0.1, **options)
        for turn in range(7):
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + turn)
            for i, p in enumerate(parameters):
                p.grad = (p.detach() * 3 + i + turn).sin()
            optimizer.step()
        return [memory.numpy().tobytes(), *[p.detach().numpy().tobytes() for p in parameters],
                *[p._version for p in parameters]]
    recall.paused.append("test")
    try:
        expected = run()
    finally:
        recall.paused.pop()
    assert run() == expected


def test_lbfgs_without_curvature_goes_down_the_gradient():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([x], lr=0.5, max_iter=3)

    def closure():
        optimizer.zero_grad()
        loss = (x * torch.tensor([1.0, -2.0])).sum()
        loss.backward()
        return loss
    optimizer.step(closure)
    assert x[0] < 1 and x[1] > 2 and not optimizer.state[x]["old_dirs"]
