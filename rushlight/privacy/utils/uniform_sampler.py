"""Poisson sampling: every sample is in the batch with a probability of its own, independently."""
from __future__ import annotations

import math
import os
from collections.abc import Iterator

import numpy as np

from ... import ops
from ...utils.data import Sampler


class UniformWithReplacementSampler(Sampler):
    """Batches of indices, each index in each batch with probability `sample_rate`.

    Batches differ in size and may be empty. The decisions are those of Opacus under the same
    generator state: torch.rand(num_samples) < sample_rate; a `generator` that is `SYSTEM` decides
    by 53 random bits of the system instead.

    Args:
        num_samples: the size of the data set.
        sample_rate: the probability.
        generator: source of the random numbers.
        steps: how many batches; by default int(1 / sample_rate).
    """

    def __init__(self, *, num_samples: int, sample_rate: float, generator=None,
                 steps: int | None = None):
        if num_samples <= 0:
            raise ValueError("num_samples should be a positive integer value, but got "
                             f"num_samples={num_samples}")
        if not 0 < sample_rate <= 1:
            raise ValueError(f"sample_rate should be in (0, 1], but got sample_rate={sample_rate}")
        self.num_samples, self.sample_rate, self.generator = num_samples, sample_rate, generator
        self.steps = int(1 / sample_rate) if steps is None else steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(self.steps):
            yield np.flatnonzero(self.uniform() < self.sample_rate).tolist()

    @property
    def probability(self) -> float:
        """What `sample_rate` really is: float32 numbers below it are multiples of 2^-24."""
        if self.generator is SYSTEM:
            return math.ceil(self.sample_rate * 2.0**53) * 2.0**-53
        return min(1.0, math.ceil(float(np.float32(self.sample_rate)) * 2.0**24) * 2.0**-24)

    def uniform(self) -> np.ndarray:
        if self.generator is SYSTEM:
            words = np.frombuffer(os.urandom(8 * self.num_samples), np.uint64)
            return (words >> np.uint64(11)) * 2.0**-53
        return ops.rand(self.num_samples, generator=self.generator).numpy()


class DistributedUniformWithReplacementSampler(Sampler):
    """Poisson sampling over processes."""

    def __init__(self, **_):
        raise NotImplementedError("rushlight.privacy: distributed Poisson sampling")


class _System:
    """The system's random numbers in the place of a generator."""

    def __repr__(self):
        return "SYSTEM"


SYSTEM = _System()
