"""Adam for sparse gradients: what a gradient stores moves, the rest stays as it is."""
from __future__ import annotations

from .. import ops
from ..tensor import Tensor
from .optimizer import Optimizer, add_rows, check_betas, number

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam in which moments and parameters change only where the gradient stores something.

    Args:
        lr, betas, eps, maximize: as of Adam.
    """

    counters, _skips_sparse = (), False

    def __init__(self, params, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, maximize: bool = False) -> None:
        if not 0.0 < number(lr):
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, maximize=maximize))
        sparse = [i for group in self.param_groups for i, p in enumerate(group["params"]) if p.is_sparse]
        if sparse:
            raise ValueError(f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors")

    def _fresh(self, param, group):
        return dict(step=0, exp_avg=ops.zeros_like(param), exp_avg_sq=ops.zeros_like(param))

    def _update(self, todo, group):
        (beta1, beta2), lr = group["betas"], number(group["lr"])
        if not all(g.is_sparse for _, g, _ in todo):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        for p, g, state in todo:
            state["step"] += 1
            t = state["step"]
            rate = lr * (1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t)
            g = g.coalesce()
            if g._nnz():
                _update_rows(p, g, state, beta1, beta2, group["eps"], rate)


def _update_rows(p, g, state, beta1, beta2, eps, rate):
    """One step over the stored entries of g."""
    m, v = state["exp_avg"], state["exp_avg_sq"]
    old_m, old_v, values = m.sparse_mask(g)._values(), v.sparse_mask(g)._values(), g._values()
    change_m, change_v = (values - old_m) * (1 - beta1), (values.pow(2) - old_v) * (1 - beta2)
    step = (change_m + old_m) / ((change_v + old_v).sqrt() + eps) * -rate
    add_rows(g, (m, change_m), (v, change_v), (p, step))
