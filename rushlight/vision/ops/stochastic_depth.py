"""Stochastic depth: Huang et al., Deep Networks with Stochastic Depth (2016)."""
from __future__ import annotations

import rushlight as torch
from rushlight import nn


def stochastic_depth(input, p: float, mode: str, training: bool = True):
    """The input with all of it ("batch") or some samples ("row") set to 0, the rest scaled by 1 / (1 - p).

    Raises:
        ValueError: p lies outside of 0 .. 1, or there is no such mode.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")
    if mode not in ("batch", "row"):
        raise ValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
    if not training or p == 0.0:
        return input
    kept = 1.0 - p
    size = [input.shape[0] if mode == "row" else 1] + [1] * (input.dim() - 1)
    noise = torch.empty(size, dtype=input.dtype).bernoulli_(kept)
    return input * (noise.div_(kept) if kept > 0.0 else noise)


class StochasticDepth(nn.Module):
    """`stochastic_depth` in training, nothing in evaluation."""

    def __init__(self, p: float, mode: str):
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, input):
        return stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self):
        return f"{type(self).__name__}(p={self.p}, mode={self.mode})"
