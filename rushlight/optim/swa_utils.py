"""Averages of a model's parameters over training: equal weights (SWA) or exponentially decaying ones (EMA).

P. Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

from .. import dtypes, ops
from ..autograd.grad_mode import no_grad
from ..nn.modules.batchnorm import _BatchNorm
from ..nn.modules.module import Module
from .lr_scheduler import LRScheduler
from .optimizer import Optimizer

__all__ = ["AveragedModel", "update_bn", "SWALR", "get_ema_multi_avg_fn", "get_swa_multi_avg_fn",
           "get_ema_avg_fn", "get_swa_avg_fn"]


def _check_decay(decay):
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] "
                         "range.")


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """f(average, parameter, count) = decay average + (1 - decay) parameter."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param
    return ema_update


def get_swa_avg_fn() -> Callable:
    """f(average, parameter, count): the mean of one parameter more."""
    @no_grad()
    def swa_update(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)
    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """The same in place, for lists of averages and parameters."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param_list, current_param_list, _):
        for average, p in zip(ema_param_list, current_param_list):
            if average.is_floating_point():
                average.lerp_(p, 1 - decay)
            else:
                average.copy_(average * decay + p * (1 - decay))
    return ema_update


def get_swa_multi_avg_fn() -> Callable:
    """The same in place, for lists of averages and parameters, with equal weights."""
    @no_grad()
    def swa_update(averaged_param_list, current_param_list, num_averaged):
        for average, p in zip(averaged_param_list, current_param_list):
            if average.is_floating_point():
                average.lerp_(p, (1 / (num_averaged + 1)).to(average.dtype))
            else:
                average.add_(ops.div(p - average, num_averaged + 1, rounding_mode="trunc"))
    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages over the calls of `update_parameters`.

    Args:
        avg_fn: f(average, parameter, count) -> average; by default the mean.
        multi_avg_fn: the same in place on lists: `get_ema_multi_avg_fn(0.999)`.
        use_buffers: average buffers, too; else they are copied.

    Attributes:
        module: the copy. n_averaged: how many were averaged, an int64 tensor.
    """

    def __init__(self, model: Module, device=None, avg_fn: Callable | None = None,
                 multi_avg_fn: Callable | None = None, use_buffers: bool = False) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", ops.tensor(0, dtype=dtypes.int64))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of `model` into the averages; the first are copied."""
        ours, theirs = ([x.detach() for x in self._averaged(m)] for m in (self.module, model))
        if self.n_averaged == 0:
            for average, p in zip(ours, theirs):
                average.copy_(p)
        elif self.avg_fn is None:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            for mine, others in _by_dtype(ours, theirs):
                update(mine, others, self.n_averaged)
        else:
            for average, p in zip(ours, theirs):
                average.copy_(self.avg_fn(average, p, self.n_averaged))
        if not self.use_buffers:
            for mine, other in zip(self.module.buffers(), model.buffers()):
                mine.detach().copy_(other.detach())
        self.n_averaged += 1

    def _averaged(self, model):
        return chain(model.parameters(), model.buffers() if self.use_buffers else ())


def _by_dtype(ours, theirs):
    """Pairs of lists, one for each dtype."""
    kinds: dict = {}
    for a, b in zip(ours, theirs):
        mine, others = kinds.setdefault((a.dtype, b.dtype), ([], []))
        mine.append(a)
        others.append(b)
    return kinds.values()


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device=None) -> None:
    """Compute the running statistics of all batch normalisations anew, as means over a loader.

    Args:
        loader: gives batches, of tuples and lists the first entry.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not layers:
        return
    momenta, was_training = [m.momentum for m in layers], model.training
    for m in layers:
        m.reset_running_stats()
        m.momentum = None
    model.train()
    for batch in loader:
        batch = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(batch if device is None else batch.to(device))
    for m, momentum in zip(layers, momenta):
        m.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the present learning rate to `swa_lr` in `anneal_epochs` steps, then constant.

    Args:
        swa_lr: one for all groups, or a list.
        anneal_strategy: "cos" or "linear".

    Raises:
        ValueError: another strategy, or a negative or fractional number of epochs.
    """

    def __init__(self, optimizer: Optimizer, swa_lr, anneal_epochs: int = 10,
                 anneal_strategy: str = "cos", last_epoch: int = -1) -> None:
        groups = optimizer.param_groups
        rates = swa_lr if isinstance(swa_lr, (list, tuple)) else [swa_lr] * len(groups)
        if len(rates) != len(groups):
            raise ValueError("swa_lr must have the same length as optimizer.param_groups. swa_lr "
                             f"has {len(rates)} values, param_groups has {len(groups)}.")
        for rate, group in zip(rates, groups):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError("anneal_strategy must be one of 'cos' or 'linear', instead got "
                             f"{anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError("anneal_epochs must be equal or greater than 0, got "
                             f"{anneal_epochs}")
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t: float) -> float:
        """How far the way is gone at time t of [0, 1]."""
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list:
        """The next rates: one step further on the way from where the present ones show that it began."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = (self.anneal_func(max(0, min(1, s / max(1, self.anneal_epochs))))
                       for s in (step - 1, step))
        return [self._between(group["lr"], group["swa_lr"], before, now)
                for group in self.optimizer.param_groups]

    @staticmethod
    def _between(lr, swa_lr, before, now):
        first = swa_lr if before == 1 else (lr - before * swa_lr) / (1 - before)
        return swa_lr * now + first * (1 - now)
