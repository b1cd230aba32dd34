"""Stochastic gradient descent."""
from __future__ import annotations

from ..autograd.recall import repeated
from .optimizer import Optimizer, check_at_least_zero, floats, number, put

__all__ = ["SGD"]


class SGD(Optimizer):
    """p -= lr b, where b = momentum b + (1 - dampening) g, or g itself without momentum.

    Args:
        nesterov: step along g + momentum b.
        weight_decay: added to the gradient as weight_decay p.
        foreach, fused, differentiable: accepted; the compiler fuses updates anyway.
    """

    counters, _skips_sparse, _is_linear = (), False, True

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0, dampening: float = 0,
                 weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, differentiable: bool = False,
                 fused: bool | None = None) -> None:
        check_at_least_zero(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params,
                         dict(lr=lr, momentum=momentum, dampening=dampening,
                              weight_decay=weight_decay, nesterov=nesterov, maximize=maximize,
                              foreach=foreach, differentiable=differentiable, fused=fused))

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for name in ("nesterov", "maximize", "differentiable"):
                group.setdefault(name, False)
            for name in ("foreach", "fused"):
                group.setdefault(name, None)

    def _fresh(self, param, group):
        return {} if group["momentum"] != 0 else None

    def _update(self, todo, group):
        momentum, decay, dampening = group["momentum"], number(group["weight_decay"]), group["dampening"]
        numbers = floats(decay, momentum, 1 - dampening, -number(group["lr"]))
        if momentum == 0:
            calls = [((p, g), numbers) for p, g, _ in todo]
        else:
            buffers = [state.get("momentum_buffer") for *_, state in todo]
            calls = [((p, g) if b is None else (p, g, b), numbers) for (p, g, _), b in zip(todo, buffers)]
        made = _sgd.each(calls, decay != 0, momentum != 0, group["nesterov"], dampening != 0)
        for (*_, state), new in zip(todo, made):
            if new is not None:
                state["momentum_buffer"] = new


@repeated
def _sgd(tensors, numbers, decays, has_momentum, nesterov, dampened):
    """One step; returns the momentum if this was the first."""
    p, g, *moved = tensors
    decay, momentum, rest, rate = numbers
    first = None
    if decays:
        g = g.add(p, alpha=decay)
    if has_momentum:
        if moved:
            buffer = put(moved[0], moved[0].mul(momentum).add(g, alpha=rest if dampened else 1))
        else:
            buffer = first = g.detach().clone()
        g = g.add(buffer, alpha=momentum) if nesterov else buffer
    put(p, p.add(g, alpha=rate))
    return first
