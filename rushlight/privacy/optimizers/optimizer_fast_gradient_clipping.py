"""The optimiser of ghost clipping."""
from __future__ import annotations

from .optimizer import DPOptimizer


class DPOptimizerFastGradientClipping(DPOptimizer):
    """DPOptimizer whose `p.grad` holds the clipped sum already; the criterion's backward put it there."""

    @property
    def accumulated_iterations(self) -> int:
        return 1

    def accumulate(self) -> None:
        """Add `p.grad` to `p.summed_grad`."""
        for p in self.params:
            if p.grad is None:
                raise ValueError(
                    "Per sample gradient is not initialized. Not updated in backward pass? In ghost "
                    "mode the loss is made by the criterion that make_private returns")
            self.add_sum(p, p.grad)

    def collect(self) -> None:
        self.accumulate()
