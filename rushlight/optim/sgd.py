"""Stochastic gradient descent."""
from __future__ import annotations

from .optimizer import Optimizer, check_at_least_zero, number, put

__all__ = ["SGD"]


class SGD(Optimizer):
    """p -= lr b, where b = momentum b + (1 - dampening) g, or g itself without momentum.

    Args:
        nesterov: step along g + momentum b.
        weight_decay: added to the gradient as weight_decay p.
        foreach, fused, differentiable: accepted; the compiler fuses updates anyway.
    """

    counters = ()

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
        lr, momentum, decay = number(group["lr"]), group["momentum"], number(group["weight_decay"])
        for p, g, state in todo:
            if decay != 0:
                g = g.add(p, alpha=decay)
            if momentum != 0:
                g = self._with_momentum(g, state, momentum, group)
            put(p, p.add(g, alpha=-lr))

    def _with_momentum(self, g, state, momentum, group):
        buffer = state.get("momentum_buffer")
        if buffer is None:
            buffer = state["momentum_buffer"] = g.detach().clone()
        else:
            put(buffer, buffer.mul(momentum).add(g, alpha=1 - group["dampening"]))
        return g.add(buffer, alpha=momentum) if group["nesterov"] else buffer
