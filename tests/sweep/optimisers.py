"""Cases from PyTorch's table of optimisers (`optim_db`): steps, states, schedules and what must fail."""
from __future__ import annotations

import warnings

import numpy as np
import torch
from torch.testing._internal.common_optimizers import OptimizerErrorEnum

from .cases import Case, Left, compare
from .frozen import Freezer, Unsupported
from .translate import counterpart, translate

DTYPES = ("float32", "float64")
STEPS = 6
FLAGS = ({}, {"foreach": True}, {"foreach": False}, {"maximize": True})


def name_of(info):
    return f"optim.{info.optim_cls.__name__}"


def _class(T, info):
    return info.optim_cls if T is torch else counterpart(f"torch.optim.{info.optim_cls.__name__}")


def _parameters(T, dtype):
    rng = np.random.RandomState(7)
    return [T.nn.Parameter(T.tensor(rng.randn(*shape), dtype=getattr(T, dtype))) for shape in ((3, 4), (4, 1), (2, 2))]


def _loss(T, params):
    return sum(((p - 0.5) ** 2 * (i + 1)).sum() + (p * 3).sin().sum() for i, p in enumerate(params))


def _state(optimizer):
    """The state dictionary as nested lists of names, numbers and tensors."""
    saved = optimizer.state_dict()
    per = [[k, sorted((n, v) for n, v in state.items() if not isinstance(v, (list, dict)))]
           for k, state in sorted(saved["state"].items(), key=lambda kv: str(kv[0]))]
    groups = [sorted((k, v) for k, v in group.items() if k != "params") for group in saved["param_groups"]]
    return per, groups


def _trained(info, dtype):
    """A function of library T: some steps by an optimiser with these arguments; shows parameters and state."""
    def call(T):
        cls = _class(T, info)

        def run(_thawed, kwargs):
            params = _parameters(T, dtype)
            optimizer = cls(params, **kwargs)
            for _ in range(STEPS):
                optimizer.step(_closure(T, optimizer, params)) if info.step_requires_closure else \
                    _plain_step(T, optimizer, params)
            return [p.detach().clone() for p in params], _state(optimizer), repr(optimizer)
        return run
    return call


def _closure(T, optimizer, params):
    def closure():
        optimizer.zero_grad()
        loss = _loss(T, params)
        loss.backward()
        return loss
    return closure


def _plain_step(T, optimizer, params):
    _closure(T, optimizer, params)()
    optimizer.step()


def cases(info):
    """(case, differences or Left) for the configurations of one optimiser."""
    if info.only_supports_sparse_grads:
        yield Case(name_of(info), "steps", "", 0, ""), Left("unsupported: sparse gradients")
        return
    for dtype in DTYPES:
        for i, made in enumerate(info.optim_inputs_func("cpu")):
            for flags in FLAGS:
                if any(k not in _known_arguments(info) for k in flags):
                    continue
                case = Case(name_of(info), f"steps {flags or ''}".strip(), dtype, i, made.desc)
                yield case, _compared(_trained(info, dtype), ({**made.kwargs, **flags},), dtype)
    for i, made in enumerate(info.scheduler_inputs):
        yield Case(name_of(info), "schedule", "float64", i, ""), _compared(_scheduled(info, made), (), "float64")


def _known_arguments(info):
    return info.optim_cls.__init__.__code__.co_varnames


def _compared(program, args, dtype):
    try:
        return compare(program, Freezer().sample(args, {}), dtype)
    except Unsupported as error:
        return Left(f"unsupported: {error}")


def _scheduled(info, makers):
    """Learning rates of some epochs under these schedules."""
    def call(T):
        cls = _class(T, info)
        made = makers if T is torch else translate(list(makers))

        def run(_thawed):
            params = _parameters(T, "float64")
            optimizer = cls(params) if info.optim_cls.__name__ != "SGD" else cls(params, lr=0.1)
            schedules = [make(optimizer) for make in made]
            rates = []
            for _ in range(12):
                optimizer.step(_closure(T, optimizer, params))
                for schedule in schedules:
                    schedule.step(1.0) if type(schedule).__name__ == "ReduceLROnPlateau" else schedule.step()
                rates.append([float(group["lr"]) for group in optimizer.param_groups])
            return rates, [type(s).__name__ for s in schedules]
        return run
    return call


def errors(info):
    """(case, differences or Left) for arguments that must fail."""
    if not info.optim_error_inputs_func or info.only_supports_sparse_grads:
        return
    for i, bad in enumerate(info.optim_error_inputs_func("cpu", torch.float32)):
        made = bad.optimizer_error_input
        case = Case(name_of(info), "error", "", i, made.desc)
        yield case, _compared(_failing(info, bad.error_on == OptimizerErrorEnum.STEP_ERROR, bad.error_type),
                              (made.params, made.kwargs), "float32")


def _failing(info, in_step, kind):
    def call(T):
        cls = _class(T, info)

        def run(_thawed, params, kwargs):
            params = _parameters(T, "float32") if params is None else params
            with warnings.catch_warnings():
                if issubclass(kind, Warning):
                    warnings.simplefilter("error")
                optimizer = cls(params, **kwargs)
                if in_step:
                    _plain_step(T, optimizer, params)
            return type(optimizer).__name__
        return run
    return call
