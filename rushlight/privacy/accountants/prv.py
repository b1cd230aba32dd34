"""The accountant by numerical composition."""
from __future__ import annotations

import math

from .accountant import IAccountant, without_noise
from .analysis import prv as analysis


class PRVAccountant(IAccountant):
    """Privacy losses composed by Fourier transforms (analysis/prv.py): an upper bound within eps_error."""

    def get_epsilon(self, delta: float, *, eps_error: float = 0.01, delta_error: float | None = None,
                    **_) -> float:
        """epsilon at `delta`.

        Args:
            delta: the target.
            eps_error: how much too large epsilon may be.
            delta_error: how much of delta the composition may use up; by default a thousandth.

        Raises:
            ValueError: a delta so small that rounding errors would decide.
        """
        history = [(s, q, n) for s, q, n in self.history if q > 0 and n > 0]
        if not history:
            return 0.0
        if without_noise(history) or delta <= 0:
            return math.inf
        delta_error = delta / 1000 if delta_error is None else delta_error
        return max(analysis.epsilon_of(history, delta, eps_error, delta_error, removed)
                   for removed in (True, False))

    @classmethod
    def mechanism(cls) -> str:
        return "prv"
