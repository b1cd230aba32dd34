"""L-BFGS: steps along an estimate of the inverse Hessian times the gradient.

The estimate is built from the last steps and gradient changes (Nocedal and Wright, Numerical
Optimization, algorithms 7.4, 3.5 and 3.6). A closure that computes the loss again is needed.
"""
from __future__ import annotations

from typing import NamedTuple

from .. import ops
from ..autograd.grad_mode import enable_grad, no_grad
from ..trace.flush import boundary
from .optimizer import Optimizer, check_at_least_zero, in_reals, number

__all__ = ["LBFGS"]

PIECE = 8       # entries of the history whose work is one graph


class Point(NamedTuple):
    """A place along the search direction.

    Step length, loss, gradient, slope along the direction.
    """

    t: float
    loss: float
    gradient: object
    slope: float


class LBFGS(Optimizer):
    """Limited-memory BFGS; `step(closure)` runs up to `max_iter` iterations.

    Args:
        line_search_fn: None for steps of length lr, or 'strong_wolfe'.
    """

    counters = ()

    def __init__(self, params, lr: float = 1, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9,
                 history_size: int = 100, line_search_fn: str | None = None) -> None:
        check_at_least_zero(lr=lr)
        max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        super().__init__(params,
                         dict(lr=lr, max_iter=max_iter, max_eval=max_eval,
                              tolerance_grad=tolerance_grad, tolerance_change=tolerance_change,
                              history_size=history_size, line_search_fn=line_search_fn))
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    # -- all parameters as one vector ---------------------------------------------------------
    def _flat_gradient(self):
        return ops.cat([in_reals(ops.zeros_like(p) if p.grad is None else p.grad.to_dense()).reshape(-1)
                        for p in self._params])

    def _move(self, t, direction):
        """p += t direction."""
        at = 0
        for p in self._params:
            p = in_reals(p)
            n = p.numel()
            p.add_(direction[at:at + n].view_as(p), alpha=t)
            at += n

    def _evaluate_at(self, closure, start, t, direction):
        """(loss, gradient) at start + t direction; the parameters are put back."""
        self._move(t, direction)
        loss = float(closure())
        gradient = self._flat_gradient()
        for p, value in zip(self._params, start):
            p.copy_(value)
        return loss, gradient

    # -- the step -----------------------------------------------------------------------------
    def step(self, closure):
        """Minimise `closure`, which computes the loss and its gradients; returns the first loss."""
        with no_grad():
            return self._minimise(enable_grad()(closure), self.param_groups[0])

    def _minimise(self, closure, group):
        state = self.state[self._params[0]]
        for name in ("func_evals", "n_iter"):
            state.setdefault(name, 0)
        first = closure()
        loss, gradient, evaluations = float(first), self._flat_gradient(), 1
        state["func_evals"] += 1
        if _largest(gradient) <= group["tolerance_grad"]:
            return first
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, gradient, group["history_size"])
            before = loss
            state["prev_flat_grad"], state["prev_loss"] = gradient.clone(), loss
            t = state["t"] = self._first_length(state, gradient, group)
            slope = gradient.dot(direction).item()
            if slope > -group["tolerance_change"]:
                break
            last = iteration == group["max_iter"]
            loss, gradient, t, count = self._advance(closure, group,
                                                     Point(t, loss, gradient, slope), direction,
                                                     group["max_eval"] - evaluations, last)
            state["t"] = t
            evaluations += count
            state["func_evals"] += count
            if last or evaluations >= group["max_eval"]:
                break
            if self._is_done(group, gradient, direction, t, loss - before):
                break
        return first

    def _first_length(self, state, gradient, group):
        lr = number(group["lr"])
        return min(1.0, 1.0 / gradient.abs().sum().item()) * lr if state["n_iter"] == 1 else lr

    def _advance(self, closure, group, here, direction, budget, last):
        """Move the parameters; (loss, gradient, step length, evaluations) of where they are now."""
        if group["line_search_fn"] is None:
            self._move(here.t, direction)
            if last:
                return here.loss, here.gradient, here.t, 0
            return float(closure()), self._flat_gradient(), here.t, 1
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        start = [p.clone() for p in self._params]
        search = WolfeSearch(lambda t: self._evaluate_at(closure, start, t, direction), direction,
                             here, budget)
        found = search.run()
        self._move(found.t, direction)
        return found.loss, found.gradient, found.t, search.evaluations

    @staticmethod
    def _is_done(group, gradient, direction, t, change):
        return (_largest(gradient) <= group["tolerance_grad"]
                or _largest(direction * t) <= group["tolerance_change"]
                or abs(change) < group["tolerance_change"])

    # -- the direction ------------------------------------------------------------------------
    def _direction(self, state, gradient, history_size):
        """-H g, by the two loops over the remembered changes."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1, al=[None] * history_size)
            state["d"] = gradient.neg()
            return state["d"]
        self._remember(state, gradient, history_size)
        changes, steps, scales = (self._padded(name, state[name])
                                  for name in ("old_dirs", "old_stps", "ro"))
        factors: list = [None] * len(changes)
        d = gradient.neg()
        boundary()
        for i in reversed(range(len(changes))):
            factors[i] = steps[i].dot(d) * scales[i]
            d = d - changes[i] * factors[i]
            cut_at(i)
        d = d * state["H_diag"]
        for i in range(len(changes)):
            d = d + steps[i] * (factors[i] - changes[i].dot(d) * scales[i])
            cut_at(i + 1)
        state["d"], state["al"][:len(state["ro"])] = d, factors[:len(state["ro"])]
        return d

    def _padded(self, name, history) -> list:
        """Whole pieces of it: behind its end stand zeros, which change nothing."""
        if not history:
            return []
        zeros, kind = self.__dict__.setdefault("_zeros", {}), (name, history[0].dtype)
        if kind not in zeros:
            zeros[kind] = [ops.zeros_like(history[0]) for _ in range(PIECE - 1)]
            boundary()
        return history + zeros[kind][:-len(history) % PIECE]

    @staticmethod
    def _remember(state, gradient, history_size):
        change, step = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        product = change.dot(step)
        if product.item() <= 1e-10:
            return
        if len(state["old_dirs"]) == history_size:
            for name in ("old_dirs", "old_stps", "ro"):
                state[name].pop(0)
        state["old_dirs"].append(change)
        state["old_stps"].append(step)
        state["ro"].append(1.0 / product)
        state["H_diag"] = product / change.dot(change)


def cut_at(i):
    """A history that grows would be another graph each time; in pieces it is the same three."""
    if i % PIECE == 0:
        boundary()


def _largest(x) -> float:
    return x.abs().max().item()


class WolfeSearch:
    """A step length that satisfies the strong Wolfe conditions: bracket one, then zoom in."""

    C1, C2, SMALLEST = 1e-4, 0.9, 1e-9

    def __init__(self, evaluate, direction, here: Point, budget: int = 25):
        self.evaluate, self.direction, self.budget = evaluate, direction, budget
        self.origin = Point(0.0, here.loss, here.gradient, here.slope)
        self.first, self.evaluations, self.tries = here.t, 0, 0

    def run(self) -> Point:
        found, bracket = self._bracket()
        return found if found is not None else self._zoom(bracket)

    def _at(self, t):
        loss, gradient = self.evaluate(t)
        self.evaluations += 1
        return Point(t, loss, gradient, gradient.dot(self.direction).item())

    def _is_too_high(self, p):
        return p.loss > self.origin.loss + self.C1 * p.t * self.origin.slope

    def _is_flat(self, p):
        return abs(p.slope) <= -self.C2 * self.origin.slope

    def _bracket(self):
        """(a point that will do, None), or (None, two points with one between them)."""
        before, now = self.origin, self._at(self.first)
        while self.tries < self.budget:
            if self._is_too_high(now) or self.tries > 1 and now.loss >= before.loss:
                return None, [before, now]
            if self._is_flat(now):
                return now, None
            if now.slope >= 0:
                return None, [before, now]
            t = interpolated(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
            before, now = now, self._at(t)
            self.tries += 1
        return None, [self.origin, now]

    def _zoom(self, bracket):
        low, high = sorted(bracket, key=lambda p: p.loss)
        ends = bracket          # the order of the two does not matter to the cubic
        size, stuck = _largest(self.direction), False
        while self.tries < self.budget and abs(ends[1].t - ends[0].t) * size >= self.SMALLEST:
            t, stuck = self._trial(ends, stuck)
            now = self._at(t)
            self.tries += 1
            if self._is_too_high(now) or now.loss >= low.loss:
                ends = [low, now]
                low, high = sorted(ends, key=lambda p: p.loss)
                continue
            if self._is_flat(now):
                return now
            if now.slope * (high.t - low.t) >= 0:
                high = low
            low, ends = now, [now, high]
        return low

    def _trial(self, ends, stuck):
        """Where to look next.

        The cubic's minimum, kept away from the ends if it creeps towards one.
        """
        a, b = min(p.t for p in ends), max(p.t for p in ends)
        t = interpolated(ends[0], ends[1], a, b)
        margin = 0.1 * (b - a)
        if min(b - t, t - a) >= margin:
            return t, False
        if not stuck and a < t < b:
            return t, True
        return (b - margin if abs(t - b) < abs(t - a) else a + margin), False


def interpolated(p: Point, q: Point, least: float, most: float) -> float:
    """The minimum of the cubic through two points with their slopes, within bounds.

    Else their middle.
    """
    a = p.slope + q.slope - 3 * (p.loss - q.loss) / (p.t - q.t)
    square = a * a - p.slope * q.slope
    if square < 0:
        return (least + most) / 2.0
    root = square ** 0.5
    if p.t > q.t:
        p, q = q, p
    t = q.t - (q.t - p.t) * ((q.slope + root - a) / (q.slope - p.slope + 2 * root))
    return min(max(t, least), most)
