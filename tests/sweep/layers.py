"""Cases from PyTorch's table of modules (`module_db`): made, shown, called in training and in evaluation."""
from __future__ import annotations

import random
import warnings

import torch
from torch.nn.utils.rnn import PackedSequence
from torch.testing._internal.common_modules import ModuleErrorEnum

from .cases import Case, Left, compare
from .frozen import Freezer, Unsupported
from .operations import pick
from .translate import counterpart

DTYPES = ("float32", "float64")


def name_of(info):
    return f"nn.{info.module_cls.__name__}"


def _class(T, info):
    """The class of a module in library T: of torch.nn, by its public name."""
    return info.module_cls if T is torch else counterpart(f"torch.nn.{info.module_cls.__name__}")


def _frozen(made):
    """The arguments of the constructor and of the call in one sample."""
    given, called = made.constructor_input, made.forward_input
    parts = (tuple(given.args), dict(given.kwargs), tuple(called.args) if called else (), dict(called.kwargs) if called else {})
    if any(isinstance(x, (PackedSequence, torch.nn.Module)) or callable(x) for part in parts
           for x in (part.values() if isinstance(part, dict) else part)):
        raise Unsupported("modules, functions and packed sequences as arguments")
    return Freezer().sample(parts, {})


def _program(info, training, dtype, forward=True):
    """A function of library T: makes the module, calls it; shows its results, text and state."""
    def call(T):
        cls = _class(T, info)

        def run(thawed, args, kwargs, inputs, named):
            module = cls(*args, **kwargs).to(getattr(T, dtype))
            module.train(training)
            result = module(*inputs, **named) if forward else None
            thawed.leaves.extend(p for p in module.parameters() if p.requires_grad)
            state = module.state_dict()
            return result, repr(module), list(state), [v for v in state.values() if hasattr(v, "stride")]
        return run
    return call


def cases(info, limit, seed):
    """(case, differences or Left) for the configurations of one module."""
    if info.module_cls.__module__.split(".")[1] != "nn":
        yield Case(name_of(info), "module", "", 0, ""), Left("internal: quantisation")
        return
    flags = (True, False) if info.train_and_eval_differ else (True,)
    for dtype in DTYPES:
        if getattr(torch, dtype) not in info.dtypes:
            continue
        for training in flags:
            for i, made in _draw(info, dtype, training, limit, seed):
                case = Case(name_of(info), "training" if training else "evaluation", dtype, i, made.desc)
                try:
                    frozen = _frozen(made)
                except Unsupported as error:
                    yield case, Left(f"unsupported: {error}")
                else:
                    order = 2 if dtype == "float64" and info.supports_gradgrad else 1
                    yield case, compare(_program(info, training, dtype), frozen, dtype, order)


def _draw(info, dtype, training, limit, seed):
    rng = random.Random(f"{name_of(info)}-{dtype}-{seed}")
    torch.manual_seed(rng.getrandbits(32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = info.module_inputs_func(info, "cpu", getattr(torch, dtype), True, training)
        return list(enumerate(pick(made, limit, rng)))


def errors(info):
    """(case, differences or Left) for what must fail."""
    if not info.module_error_inputs_func or info.module_cls.__module__.split(".")[1] != "nn":
        return
    for i, bad in enumerate(info.module_error_inputs_func(info, "cpu", torch.float32, False, True)):
        case = Case(name_of(info), "error", "", i, str(bad.error_regex)[:100])
        try:
            frozen = _frozen(bad.module_error_input)
        except Unsupported as error:
            yield case, Left(f"unsupported: {error}")
        else:
            forward = bad.error_on == ModuleErrorEnum.FORWARD_ERROR
            yield case, compare(_program(info, True, "float32", forward), frozen, "float32")
