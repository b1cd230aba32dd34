"""Adam and its family: running means of the gradient and of its square."""
from __future__ import annotations

from .. import ops
from ..autograd.recall import repeated
from .optimizer import (Optimizer, ParamState, check_at_least_zero, check_betas, floats, number, put,
                        tensors_of)
from .rounding import single
from ..tensor import Tensor

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]


def _decayed(p, g, shrink, decays, decoupled):
    """The gradient with weight decay, or the parameter itself made smaller."""
    if decays and decoupled:
        put(p, p.mul(shrink))
    return g.add(p, alpha=shrink) if decays and not decoupled else g


def _move(m, v, g, mean, beta2, rest):
    """Move the running means towards g and g^2."""
    put(m, m.lerp(g, mean))
    put(v, v.mul(beta2).addcmul(g, g, value=rest))


@repeated
def _adam(tensors, numbers, decays, decoupled, amsgrad):
    p, g, m, v, *largest = tensors
    shrink, mean, beta2, rest, scale, eps, rate = numbers
    g = _decayed(p, g, shrink, decays, decoupled)
    _move(m, v, g, mean, beta2, rest)
    if amsgrad:
        v = put(largest[0], ops.maximum(largest[0], v))
    put(p, p.addcdiv(m, v.sqrt().div(scale).add(eps), value=rate))


class _Adaptive(Optimizer):
    """Zeros for both means and a step counter."""

    def _fresh(self, param, group):
        return ParamState({"step": 0.0}, exp_avg=ops.zeros_like(param),
                          exp_avg_sq=ops.zeros_like(param))

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for name in ("amsgrad", "maximize", "capturable", "differentiable",
                         "decoupled_weight_decay"):
                if name in self.defaults:
                    group.setdefault(name, self.defaults[name])
            for name in ("foreach", "fused"):
                group.setdefault(name, None)


SAID = "is not supported for capturable=False and foreach=True"


def _check_rate(lr, many) -> None:
    """ValueError for a learning rate as a tensor where PyTorch's implementations do not take it."""
    if isinstance(lr, Tensor):
        if many:
            raise ValueError(f"lr as a Tensor {SAID}")
        if lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")


def _check_kinds(betas, many) -> None:
    """ValueError unless both are floats, or both tensors where PyTorch's implementations take these."""
    if not any(all(isinstance(betas[k], kind) for k in (0, 1)) for kind in (float, Tensor)):
        raise ValueError("betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas):
        if isinstance(beta, Tensor) and many:
            raise ValueError(f"betas[{i}] as a Tensor {SAID}")
        if isinstance(beta, Tensor) and beta.numel() != 1:
            raise ValueError(f"Tensor betas[{i}] must be 1-element")


class Adam(_Adaptive):
    """p -= lr m' / (sqrt(v') + eps) with the means m, v of g, g^2 corrected for their start at
    zero.

    Args:
        betas: how slowly m and v move.
        amsgrad: use the largest v so far.
        weight_decay: added to the gradient; with `decoupled_weight_decay` it shrinks p instead.
        foreach, capturable, differentiable, fused: accepted; the compiler fuses updates anyway.
    """

    _refusal = "Adam does not support sparse gradients, please consider SparseAdam instead"

    def __init__(self, params, lr: float = 1e-3, betas=(0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None, decoupled_weight_decay: bool = False) -> None:
        many = foreach and not capturable
        _check_rate(lr, many)
        check_at_least_zero(lr=lr, eps=eps)
        check_betas(betas)
        check_at_least_zero(weight_decay=weight_decay)
        _check_kinds(betas, many)
        super().__init__(params,
                         dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
                              amsgrad=amsgrad, maximize=maximize, foreach=foreach,
                              capturable=capturable, differentiable=differentiable, fused=fused,
                              decoupled_weight_decay=decoupled_weight_decay))

    def _fresh(self, param, group):
        state = super()._fresh(param, group)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = ops.zeros_like(param)
        return state

    def _update(self, todo, group):
        beta1, beta2 = map(number, group["betas"])
        lr, decay, eps = number(group["lr"]), number(group["weight_decay"]), group["eps"]
        amsgrad, decoupled = group["amsgrad"], group["decoupled_weight_decay"]
        keys = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[:3 if amsgrad else 2]
        mean, shrink = 1 - beta1, 1 - lr * decay if decoupled else decay
        known, numbers, calls = None, None, []
        for p, g, state in todo:
            step = state.advance()
            if step != known:
                known, rate = step, -lr / (1 - beta1 ** step)
                numbers = floats(shrink, mean, beta2, 1 - beta2, (1 - beta2 ** step) ** 0.5, eps, rate)
            calls.append(((p, g, *tensors_of(state, *keys)), numbers))
        _adam.each(calls, decay != 0, decoupled, amsgrad)


class AdamW(Adam):
    """Adam with weight decay that shrinks the parameters."""

    def __init__(self, params, lr: float = 1e-3, betas=(0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, capturable: bool = False,
                 differentiable: bool = False, fused: bool | None = None) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach,
                         maximize=maximize, capturable=capturable, differentiable=differentiable,
                         fused=fused, decoupled_weight_decay=True)

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


class Adamax(Optimizer):
    """p -= lr m' / u with u the running maximum of |g|."""

    def __init__(self, params, lr: float = 2e-3, betas=(0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False,
                 differentiable: bool = False, capturable: bool = False) -> None:
        check_at_least_zero(lr=lr, eps=eps)
        check_betas(betas)
        check_at_least_zero(weight_decay=weight_decay)
        super().__init__(params,
                         dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
                              foreach=foreach, maximize=maximize, differentiable=differentiable,
                              capturable=capturable))

    def _fresh(self, param, group):
        return ParamState({"step": 0.0}, exp_avg=ops.zeros_like(param),
                          exp_inf=ops.zeros_like(param))

    def _update(self, todo, group):
        beta1, beta2 = group["betas"]
        lr, decay = number(group["lr"]), number(group["weight_decay"])
        for p, g, state in todo:
            rate = -lr / (1 - beta1 ** state.advance())
            _adamax((p, g, *tensors_of(state, "exp_avg", "exp_inf")), floats(decay, 1 - beta1, beta2, group["eps"], rate),
                    decay != 0)


@repeated
def _adamax(tensors, numbers, decays):
    p, g, m, u = tensors
    decay, mean, beta2, eps, rate = numbers
    g = g.add(p, alpha=decay) if decays else g
    put(m, m.lerp(g, mean))
    put(u, ops.maximum(u.mul(beta2), g.abs().add(eps)))
    put(p, p.addcdiv(m, u, value=rate))


class NAdam(_Adaptive):
    """Adam with Nesterov momentum mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)."""

    counters = ("step", "mu_product")

    def __init__(self, params, lr: float = 2e-3, betas=(0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, momentum_decay: float = 4e-3,
                 decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False,
                 differentiable: bool = False) -> None:
        check_at_least_zero(lr=lr, eps=eps)
        check_betas(betas)
        check_at_least_zero(weight_decay=weight_decay, momentum_decay=momentum_decay)
        super().__init__(params,
                         dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
                              momentum_decay=momentum_decay,
                              decoupled_weight_decay=decoupled_weight_decay, maximize=maximize,
                              foreach=foreach, capturable=capturable,
                              differentiable=differentiable))

    def _fresh(self, param, group):
        return ParamState({"step": 0.0, "mu_product": 1.0}, exp_avg=ops.zeros_like(param),
                          exp_avg_sq=ops.zeros_like(param))

    def _update(self, todo, group):
        beta1, beta2 = group["betas"]
        lr, decay, eps = number(group["lr"]), number(group["weight_decay"]), group["eps"]
        decoupled = group["decoupled_weight_decay"]
        shrink = 1 - lr * decay if decoupled else decay
        for p, g, state in todo:
            step = state.advance()
            mu, mu_next = (beta1 * (1.0 - 0.5 * 0.96 ** (t * group["momentum_decay"]))
                           for t in (step, step + 1))
            product = single(state.number("mu_product") * single(mu))
            state["mu_product"] = product
            numbers = floats(shrink, 1 - beta1, beta2, 1 - beta2, 1 - beta2 ** step, eps,
                             -lr * (1.0 - mu) / (1.0 - product), -lr * mu_next / (1.0 - product * mu_next))
            _nadam((p, g, *tensors_of(state, "exp_avg", "exp_avg_sq")), numbers, decay != 0, decoupled)


@repeated
def _nadam(tensors, numbers, decays, decoupled):
    p, g, m, v = tensors
    shrink, mean, beta2, rest, scale, eps, rate, rate_of_mean = numbers
    g = _decayed(p, g, shrink, decays, decoupled)
    _move(m, v, g, mean, beta2, rest)
    spread = v.div(scale).sqrt().add(eps)
    put(p, p.addcdiv(g, spread, value=rate).addcdiv(m, spread, value=rate_of_mean))


class RAdam(_Adaptive):
    """Adam whose adaptive rate is used only once its variance is tractable, and then rectified."""

    def __init__(self, params, lr: float = 1e-3, betas=(0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, decoupled_weight_decay: bool = False, *,
                 foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
                 differentiable: bool = False) -> None:
        check_at_least_zero(lr=lr, eps=eps)
        check_betas(betas)
        check_at_least_zero(weight_decay=weight_decay)
        super().__init__(params,
                         dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
                              maximize=maximize, foreach=foreach, capturable=capturable,
                              decoupled_weight_decay=decoupled_weight_decay,
                              differentiable=differentiable))

    def _update(self, todo, group):
        beta1, beta2 = group["betas"]
        lr, decay, decoupled = number(group["lr"]), number(group["weight_decay"]), group["decoupled_weight_decay"]
        shrink = 1 - lr * decay if decoupled else decay
        for p, g, state in todo:
            step = state.advance()
            factor = _rectification(step, beta2)
            numbers = floats(shrink, 1 - beta1, beta2, 1 - beta2, 1 - beta1 ** step, lr, (1 - beta2 ** step) ** 0.5,
                             group["eps"], 1.0 if factor is None else factor)
            _radam((p, g, *tensors_of(state, "exp_avg", "exp_avg_sq")), numbers, decay != 0, decoupled, factor is not None)


@repeated
def _radam(tensors, numbers, decays, decoupled, rectified):
    p, g, m, v = tensors
    shrink, mean, beta2, rest, bias, lr, scale, eps, factor = numbers
    g = _decayed(p, g, shrink, decays, decoupled)
    _move(m, v, g, mean, beta2, rest)
    change = m.div(bias).mul(lr)
    if rectified:
        change = change * (scale / v.sqrt().add(eps)) * factor
    put(p, p.add(change, alpha=-1.0))


def _rectification(step, beta2):
    """The factor of the rectified rate; None while the variance of the rate is not tractable."""
    most = 2 / (1 - beta2) - 1
    now = most - 2 * step * beta2 ** step / (1 - beta2 ** step)
    if now <= 5.0:
        return None
    return ((now - 4) * (now - 2) * most / ((most - 4) * (most - 2) * now)) ** 0.5
