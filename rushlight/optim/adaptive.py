"""Optimisers that divide by running sizes of the gradient; Rprop and ASGD."""
from __future__ import annotations

from .. import ops
from ..autograd.recall import repeated
from .optimizer import Optimizer, ParamState, add_rows, check_at_least_zero, floats, number, put, tensors_of
from .rounding import single

__all__ = ["Adadelta", "Adagrad", "RMSprop", "Rprop", "ASGD"]


def _decayed(p, g, group):
    decay = group["weight_decay"]
    return g if decay == 0 else g.add(p, alpha=decay)


def both(param, x):
    """A number, in both parts for a complex parameter."""
    return complex(x, x) if param.dtype.is_complex else x


class Adadelta(Optimizer):
    """p -= lr d with d = g sqrt(a + eps) / sqrt(v + eps); v, a: running means of g^2, d^2."""

    def __init__(self, params, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6,
                 weight_decay: float = 0, foreach: bool | None = None, *, capturable: bool = False,
                 maximize: bool = False, differentiable: bool = False) -> None:
        check_at_least_zero(lr=lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_at_least_zero(eps=eps, weight_decay=weight_decay)
        super().__init__(params,
                         dict(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize,
                              capturable=capturable, foreach=foreach,
                              differentiable=differentiable))

    def _fresh(self, param, group):
        return ParamState({"step": 0.0}, square_avg=ops.zeros_like(param),
                          acc_delta=ops.zeros_like(param))

    def _update(self, todo, group):
        rho, decay = group["rho"], number(group["weight_decay"])
        numbers = floats(decay, rho, 1 - rho, group["eps"], -number(group["lr"]))
        for p, g, state in todo:
            state.advance()
            _adadelta((p, g, *tensors_of(state, "square_avg", "acc_delta")), numbers, decay != 0)


@repeated
def _adadelta(tensors, numbers, decays):
    p, g, v, a = tensors
    decay, rho, rest, eps, rate = numbers
    g = g.add(p, alpha=decay) if decays else g
    put(v, v.mul(rho).addcmul(g, g, value=rest))
    change = a.add(eps).sqrt().div(v.add(eps).sqrt()).mul(g)
    put(a, a.mul(rho).addcmul(change, change, value=rest))
    put(p, p.add(change, alpha=rate))


class Adagrad(Optimizer):
    """p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps), where s sums g^2."""

    _skips_sparse = False

    def __init__(self, params, lr: float = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10,
                 foreach: bool | None = None, *, maximize: bool = False,
                 differentiable: bool = False, fused: bool | None = None) -> None:
        check_at_least_zero(lr=lr, lr_decay=lr_decay, weight_decay=weight_decay,
                            initial_accumulator_value=initial_accumulator_value, eps=eps)
        super().__init__(params,
                         dict(lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay,
                              initial_accumulator_value=initial_accumulator_value, foreach=foreach,
                              maximize=maximize, differentiable=differentiable, fused=fused))
        for group in self.param_groups:     # this state is there before the first step
            for p in group["params"]:
                self.state[p] = self._fresh(p, group)

    def _fresh(self, param, group):
        return ParamState({"step": 0.0},
                          sum=ops.full_like(param, both(param, group["initial_accumulator_value"])))

    def share_memory(self) -> None:
        """Let other processes see the sums."""
        for state in self.state.values():
            state["sum"].share_memory_()

    def _update(self, todo, group):
        lr, decay = number(group["lr"]), number(group["weight_decay"])
        if decay != 0 and any(g.is_sparse for _, g, _ in todo):
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        for p, g, state in todo:
            rate = lr / (1 + (state.advance() - 1) * group["lr_decay"])
            _adagrad((p, g, *tensors_of(state, "sum")), floats(decay, group["eps"], -rate), decay != 0)


@repeated
def _adagrad(tensors, numbers, decays):
    p, g, total = tensors
    decay, eps, rate = numbers
    if g.is_sparse:
        return _adagrad_of_rows(p, g.coalesce(), total, eps, rate)
    g = g.add(p, alpha=decay) if decays else g
    put(total, total.addcmul(g, g))
    put(p, p.addcdiv(g, total.sqrt().add(eps), value=rate))


def _adagrad_of_rows(p, g, total, eps, rate):
    """The same where the gradient stores something."""
    values = g._values()
    squares = values.pow(2)
    sums = total.sparse_mask(g)._values() + squares
    add_rows(g, (total, squares), (p, values / (sums.sqrt() + eps) * rate))


class RMSprop(Optimizer):
    """p -= lr g / (sqrt(v) + eps); v: the running mean of g^2, or variance if `centered`."""

    def __init__(self, params, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
                 weight_decay: float = 0, momentum: float = 0, centered: bool = False,
                 capturable: bool = False, foreach: bool | None = None, maximize: bool = False,
                 differentiable: bool = False) -> None:
        check_at_least_zero(lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay,
                            alpha=alpha)
        super().__init__(params,
                         dict(lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered,
                              weight_decay=weight_decay, capturable=capturable, foreach=foreach,
                              maximize=maximize, differentiable=differentiable))

    def _fresh(self, param, group):
        state = ParamState({"step": 0.0}, square_avg=ops.zeros_like(param))
        if group["momentum"] > 0:
            state["momentum_buffer"] = ops.zeros_like(param)
        if group["centered"]:
            state["grad_avg"] = ops.zeros_like(param)
        return state

    def _update(self, todo, group):
        alpha, momentum, decay = group["alpha"], group["momentum"], number(group["weight_decay"])
        keys = ["square_avg"] + ["grad_avg"] * group["centered"] + ["momentum_buffer"] * (momentum > 0)
        numbers = floats(decay, alpha, 1 - alpha, group["eps"], momentum, -number(group["lr"]))
        for *_, state in todo:
            state.advance()
        calls = [((p, g, *tensors_of(state, *keys)), numbers) for p, g, state in todo]
        _rmsprop.each(calls, decay != 0, group["centered"], momentum > 0)


@repeated
def _rmsprop(tensors, numbers, decays, centered, moves):
    p, g, v, *more = tensors
    decay, alpha, rest, eps, momentum, rate = numbers
    g = g.add(p, alpha=decay) if decays else g
    size = put(v, v.mul(alpha).addcmul(g, g, value=rest))
    if centered:
        mean = put(more[0], more[0].lerp(g, rest))
        size = v.addcmul(mean, mean, value=-1)
    size = size.sqrt().add(eps)
    if moves:
        put(p, p.add(put(more[-1], more[-1].mul(momentum).addcdiv(g, size)), alpha=rate))
    else:
        put(p, p.addcdiv(g, size, value=rate))


class Rprop(Optimizer):
    """p -= sign(g) s.

    Each element's step s grows while the sign stays and shrinks when it changes.
    """

    def __init__(self, params, lr: float = 1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *,
                 capturable: bool = False, foreach: bool | None = None, maximize: bool = False,
                 differentiable: bool = False) -> None:
        check_at_least_zero(lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params,
                         dict(lr=lr, etas=etas, step_sizes=step_sizes, foreach=foreach,
                              maximize=maximize, differentiable=differentiable,
                              capturable=capturable))

    def _fresh(self, param, group):
        return ParamState({"step": 0.0}, prev=ops.zeros_like(param),
                          step_size=ops.full_like(param, both(param, number(group["lr"]))))

    def _update(self, todo, group):
        (shrink, grow), (least, most) = group["etas"], group["step_sizes"]
        for p, g, state in todo:
            state.advance()
            before, size = state["prev"], state["step_size"]
            agreement = g * before
            factor = ops.where(agreement > 0, grow,
                               ops.where(agreement < 0, shrink, ops.ones_like(g)))
            put(size, size.mul(factor).clamp(least, most))
            g = ops.where(agreement < 0, 0.0, g)
            put(p, p.addcmul(g.sign(), size, value=-1))
            put(before, g.clone())


class ASGD(Optimizer):
    """Descent with a falling rate, and the average `ax` of the parameters from step t0 on."""

    counters = ("step", "eta", "mu")

    def __init__(self, params, lr: float = 1e-2, lambd: float = 1e-4, alpha: float = 0.75,
                 t0: float = 1e6, weight_decay: float = 0, foreach: bool | None = None,
                 maximize: bool = False, differentiable: bool = False,
                 capturable: bool = False) -> None:
        check_at_least_zero(lr=lr, weight_decay=weight_decay)
        super().__init__(params,
                         dict(lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay,
                              foreach=foreach, maximize=maximize, differentiable=differentiable,
                              capturable=capturable))

    def _fresh(self, param, group):
        return ParamState({"step": 0.0, "eta": single(number(group["lr"])), "mu": 1.0},
                          ax=ops.zeros_like(param))

    def _update(self, todo, group):
        lr, lambd = number(group["lr"]), group["lambd"]
        for p, g, state in todo:
            step = state.advance()
            eta, mu, average = state.number("eta"), state.number("mu"), state["ax"]
            g = _decayed(p, g, group)
            put(p, p.mul(1 - lambd * eta).add(g, alpha=-eta))
            put(average, p.clone() if mu == 1 else average.add(p.sub(average).mul(mu)))
            state["eta"] = single(lr / (1 + lambd * lr * step) ** group["alpha"])
            state["mu"] = single(1 / max(1, step - group["t0"]))
