"""The accountant by Gaussian differential privacy."""
from __future__ import annotations

import math
import warnings

from .accountant import IAccountant, without_noise
from .analysis import gdp as analysis
from .prv import PRVAccountant


class GaussianAccountant(IAccountant):
    """A limit theorem for many steps (analysis/gdp.py), which alone would promise too much.

    The limit may lie below the true epsilon (Gopi et al. 2021, arXiv:2106.02848, section 1). So what
    is returned is not less than the PRV accountant's bound; `asymptotic=True` asks for the limit itself,
    as Opacus returns it. With every sample in every step it is no limit, but exact.
    """

    def step(self, *, noise_multiplier: float, sample_rate: float) -> None:
        """One more step; ValueError if it is not like the others."""
        if self.history and self.history[-1][:2] != (noise_multiplier, sample_rate):
            raise ValueError("Noise multiplier and sample rate have to stay constant in GaussianAccountant.")
        super().step(noise_multiplier=noise_multiplier, sample_rate=sample_rate)

    def get_epsilon(self, delta: float, poisson: bool = True, asymptotic: bool = False, **_) -> float:
        """epsilon at `delta`; `poisson=False` is for batches of fixed size and has no bound below it."""
        if not self.history:
            return 0.0
        if without_noise(self.history):
            return math.inf
        sigma, rate, steps = self.history[-1]
        if rate == 1:
            return analysis.eps_from_mu(mu=analysis.compute_mu_full(steps=steps, noise_multiplier=sigma),
                                        delta=delta)
        compute = analysis.compute_eps_poisson if poisson else analysis.compute_eps_uniform
        limit = compute(steps=steps, noise_multiplier=sigma, sample_rate=rate, delta=delta)
        if asymptotic or not poisson:
            warnings.warn("GDP accounting by the limit theorem can underestimate privacy expenditure. Proceed "
                          "with caution. More details: https://arxiv.org/pdf/2106.02848.pdf")
            return limit
        bound = PRVAccountant()
        bound.history = self.history
        return max(limit, bound.get_epsilon(delta))

    @classmethod
    def mechanism(cls) -> str:
        return "gdp"
