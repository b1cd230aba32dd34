"""Clipping with a bound for each parameter."""
from __future__ import annotations

import math

from ..grad_sample.clipping import Batches, clip_factors, norms_of, weighted_sums
from .optimizer import DPOptimizer


class DPPerLayerOptimizer(DPOptimizer):
    """DPOptimizer that clips each parameter's gradient by itself.

    `max_grad_norm` is a list with one bound for each parameter; noise is for their root of squares.
    """

    def __init__(self, optimizer, *, max_grad_norm: list[float], **options):
        self.max_grad_norms = list(max_grad_norm)
        super().__init__(optimizer, max_grad_norm=math.hypot(*self.max_grad_norms), **options)
        if len(self.max_grad_norms) != len(self.params):
            raise ValueError(f"per-layer clipping needs one max_grad_norm for each of the "
                             f"{len(self.params)} trainable parameters, got {len(self.max_grad_norms)}")

    def clip_and_accumulate(self) -> None:
        for p, bound in zip(self.params, self.max_grad_norms):
            batches = Batches([p])
            for batch in batches.each():
                c = clip_factors(norms_of(batch), bound)
                self.add_sum(p, weighted_sums(batch, c)[0])
            self.accumulated = len(batches.found)
            if not self.keeps_grad_sample:
                batches.spend()
