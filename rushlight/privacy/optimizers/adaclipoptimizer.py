"""Clipping with a bound that follows a quantile of the norms."""
from __future__ import annotations

import math

from ... import ops
from .. import noise
from .optimizer import DPOptimizer


class AdaClipDPOptimizer(DPOptimizer):
    """DPOptimizer whose bound C moves towards a quantile of the samples' norms.

    Source: Andrew et al. 2021, arXiv:1905.03871. After each step
    C <- C exp(-clipbound_learning_rate (b - target_unclipped_quantile)) within the given limits, b
    being the noisy share of samples that were not clipped. By their theorem 1 gradients get noise
    of multiplier (noise_multiplier^-2 - (2 unclipped_num_std)^-2)^(-1/2), so that both together
    cost what `noise_multiplier` says. The share is of the expected batch size, because how many
    samples a Poisson batch has is private as well.

    Raises:
        ValueError: limits that are not in order, or noise_multiplier >= 2 unclipped_num_std.
    """

    def __init__(self, optimizer, *, noise_multiplier: float, target_unclipped_quantile: float,
                 clipbound_learning_rate: float, max_clipbound: float, min_clipbound: float,
                 unclipped_num_std: float, **options):
        super().__init__(optimizer, noise_multiplier=noise_multiplier, **options)
        if max_clipbound <= min_clipbound:
            raise ValueError("max_clipbound must be larger than min_clipbound.")
        if noise_multiplier >= 2 * unclipped_num_std:
            raise ValueError("noise_multiplier must be smaller than 2 * unclipped_num_std. This is a "
                             "requirement stemming from Theorem 1 in arXiv:1905.03871")
        self.target_unclipped_quantile = target_unclipped_quantile
        self.clipbound_learning_rate = clipbound_learning_rate
        self.max_clipbound, self.min_clipbound = max_clipbound, min_clipbound
        self.unclipped_num_std = unclipped_num_std
        self.sample_size, self.unclipped_num = 0, 0.0

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        if not self._is_last_step_skipped:
            self.sample_size, self.unclipped_num = 0, 0.0

    def factors(self, norms):
        c = super().factors(norms)
        self.sample_size += c.numel()
        self.unclipped_num = self.unclipped_num + (c >= 1).sum().float()
        return c

    @property
    def noise_scale(self) -> float:
        if self.noise_multiplier == 0:
            return 0.0
        return (self.noise_multiplier**-2 - (2 * self.unclipped_num_std)**-2)**-0.5

    def add_noise(self) -> None:
        super().add_noise()
        count = ops.as_tensor(self.unclipped_num).reshape(1)
        if self.secure_mode:
            noisy = noise.secure_sum(count, self.unclipped_num_std, 1.0)
        else:
            noisy = count + noise.gaussian(self.unclipped_num_std, count, self.generator)
        self.unclipped_num = noisy.item()

    def update_max_grad_norm(self) -> None:
        """Move the bound."""
        size = self.expected_batch_size or max(self.sample_size, 1)
        excess = self.unclipped_num / size - self.target_unclipped_quantile
        bound = self.max_grad_norm * math.exp(-self.clipbound_learning_rate * excess)
        self.max_grad_norm = min(max(bound, self.min_clipbound), self.max_clipbound)

    def pre_step(self, closure=None) -> bool:
        steps = super().pre_step()
        if steps:
            self.update_max_grad_norm()
        return steps
