"""The accountant by Renyi divergences."""
from __future__ import annotations

from .accountant import IAccountant
from .analysis import rdp as analysis


class RDPAccountant(IAccountant):
    """Moments of the privacy loss at many orders, the best of which counts (analysis/rdp.py).

    A sound upper bound, somewhat above the truth.
    """

    DEFAULT_ALPHAS = [1 + x / 10.0 for x in range(1, 100)] + list(range(12, 64))

    def get_privacy_spent(self, *, delta: float, alphas=None) -> tuple[float, float]:
        """(epsilon, the order that gave it)."""
        if not self.history:
            return 0.0, 0.0
        alphas = self.DEFAULT_ALPHAS if alphas is None else alphas
        total = sum(analysis.compute_rdp(q=q, noise_multiplier=s, steps=n, orders=alphas)
                    for s, q, n in self.history)
        return analysis.get_privacy_spent(orders=alphas, rdp=total, delta=delta)

    def get_epsilon(self, delta: float, alphas=None, **_) -> float:
        """epsilon at `delta`; `alphas` are the orders to try."""
        return self.get_privacy_spent(delta=delta, alphas=alphas)[0]

    @classmethod
    def mechanism(cls) -> str:
        return "rdp"
