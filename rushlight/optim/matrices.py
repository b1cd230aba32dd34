"""Optimisers that see a parameter as a matrix: Adafactor and Muon."""
from __future__ import annotations

import math

from .. import ops
from ..dtypes import finfo
from .optimizer import Optimizer, ParamState, number, put

__all__ = ["Adafactor", "Muon"]


def _check_rate(lr):
    if hasattr(lr, "numel") and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not 0.0 <= number(lr):
        raise ValueError(f"Learning rate should be >= 0 but is: {lr}")


class Adafactor(Optimizer):
    """Adam's second moments as products of a column and a row, steps relative to the parameter's size.

    N. Shazeer and M. Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, 2018, with
    the learning rate as a bound on the step's relative size.

    Args:
        beta2_decay: the mean at step t forgets t ** beta2_decay of itself.
        eps: the least second moment (None: the dtype's epsilon) and the least size of a parameter.
        d: the largest root mean square of an update.
        weight_decay: decoupled, times lr.
    """

    def __init__(self, params, lr: float = 1e-2, beta2_decay: float = -0.8, eps=(None, 1e-3),
                 d: float = 1.0, weight_decay: float = 0.0, *, foreach: bool | None = None,
                 maximize: bool = False) -> None:
        _check_rate(lr)
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        for k, bound in enumerate(eps, 1):
            if bound is not None and not 0.0 <= bound:
                raise ValueError(f"epsilon{k} should be >= 0 but is: {bound}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(params, dict(lr=lr, beta2_decay=beta2_decay, eps=eps, d=d,
                                      weight_decay=weight_decay, foreach=foreach,
                                      maximize=maximize))

    def _fresh(self, param, group):
        g = param.grad
        if g.dim() < 2:
            return ParamState({"step": 0.0}, variance=ops.zeros_like(g))
        *rest, n, m = g.shape
        return ParamState({"step": 0.0}, row_var=g.new_zeros([*rest, n, 1]),
                          col_var=g.new_zeros([*rest, 1, m]))

    def _update(self, todo, group):
        lr, decay, d = number(group["lr"]), group["weight_decay"], group["d"]
        least, size = group["eps"]
        for p, g, state in todo:
            step = state.advance()
            floor = finfo(p.dtype).eps if least is None else least
            rate = (_root_mean_square(p).clamp(min=size)) * min(lr, 1 / step**0.5)
            shrunk = p.mul(1 - lr * decay) if decay != 0 else p
            forgotten = step**group["beta2_decay"]
            moments = _moments if g.dim() > 1 else _vector_moments
            u = moments(g, state, forgotten, floor).clamp(min=floor * floor).rsqrt().mul(g)
            put(p, shrunk.sub(u.mul(rate / (_root_mean_square(u) / d).clamp(min=1.0))))


def _root_mean_square(x):
    return x.norm(2) / x.numel()**0.5


def _moments(g, state, forgotten, floor):
    """Second moments as the product of the means over rows and over columns."""
    found = []
    for name, dim in (("row_var", -1), ("col_var", -2)):
        mean = g.norm(dim=dim, keepdim=True).square().div(g.size(dim))
        found.append(put(state[name], state[name].lerp(mean, forgotten)))
    row, col = found
    return (row @ col).div(row.mean(dim=-2, keepdim=True).clamp(min=floor))


def _vector_moments(g, state, forgotten, floor):
    return put(state["variance"], state["variance"].lerp(g * g, forgotten))


class Muon(Optimizer):
    """Momentum whose matrix is replaced by a nearly orthogonal one: K. Jordan et al., Muon, 2024.

    Args:
        params: matrices only.
        ns_coefficients: a, b, c of the Newton-Schulz step X -> a X + (b S + c S S) X with S = X X^T.
        ns_steps: how many of them, below 100; they compute in bfloat16.
        adjust_lr_fn: "original" (None) scales the rate by sqrt(max(1, rows / columns)),
            "match_rms_adamw" by 0.2 sqrt(max(rows, columns)).

    Raises:
        ValueError: an argument out of range, or a parameter that is no matrix.
    """

    counters = ()

    def __init__(self, params, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
                 nesterov: bool = True, ns_coefficients=(3.4445, -4.775, 2.0315),
                 eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None) -> None:
        _check_rate(lr)
        for what, value in (("momentum", momentum), ("weight decay", weight_decay)):
            if not 0.0 <= value:
                raise ValueError(f"{what} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay, momentum=momentum,
                                      nesterov=nesterov, ns_coefficients=ns_coefficients, eps=eps,
                                      ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn))
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError("Muon only supports 2D parameters whereas we found a parameter "
                                     f"with size: {p.size()}")

    def _fresh(self, param, group):
        return {"momentum_buffer": ops.zeros_like(param.grad)}

    def _update(self, todo, group):
        lr, momentum, decay = number(group["lr"]), group["momentum"], group["weight_decay"]
        for p, g, state in todo:
            buffer = state["momentum_buffer"]
            buffer = put(buffer, buffer.lerp(g, 1 - momentum))
            u = g.lerp(buffer, momentum) if group["nesterov"] else buffer
            u = _orthogonalised(u, group["ns_coefficients"], group["ns_steps"], group["eps"])
            rate = lr * _factor(group["adjust_lr_fn"], *p.shape)
            put(p, p.mul(1 - lr * decay).add(u, alpha=-rate))


def _orthogonalised(g, coefficients, steps, eps):
    """U V^T, roughly, of g = U S V^T: singular values end between 0.5 and 1.5."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = g.size(0) > g.size(1)
    x = g.bfloat16()
    x = x.T if tall else x
    x = x.div(x.norm().clamp(min=eps))
    for _ in range(steps):
        s = x @ x.T
        x = ops.addmm(x, ops.addmm(s, s, s, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def _factor(name, rows, columns) -> float:
    if name == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
