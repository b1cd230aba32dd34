"""Samplers: in which order a data loader visits the elements of a dataset.

Orders for a given seed are PyTorch's: the same draws, from the same generator, in the same order.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Generic, TypeVar

import rushlight
from rushlight.random import WideIntegers, default_generator

T_co = TypeVar("T_co", covariant=True)
DRAWN_AT_ONCE = 32      # sampling with replacement draws so many indices from the generator
SEEDS = WideIntegers(0, 1 << 63)


def draw_seed(generator=None) -> int:
    """A seed below 2**63 from the generator, by default the global one."""
    return int((generator or default_generator).take(1, SEEDS)[0])


def is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def check_count(name: str, value) -> None:
    if not is_count(value):
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


class Sampler(Generic[T_co]):
    """Base of all samplers: `__iter__` gives indices, or lists of them; `__len__` is optional."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """0, 1, ... len(data_source) - 1."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices in random order.

    Without replacement: permutations of the dataset, one after the other, until `num_samples`
    (by default the dataset's length) are drawn. With replacement: independent draws.
    Without a generator, each pass seeds one of its own from the global generator.
    """

    def __init__(self, data_source: Sized, replacement: bool = False,
                 num_samples: int | None = None, generator=None) -> None:
        self.data_source, self.replacement = data_source, replacement
        self._num_samples, self.generator = num_samples, generator
        if not isinstance(replacement, bool):
            raise TypeError("replacement should be a boolean value, "
                            f"but got replacement={replacement}")
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError("num_samples should be a positive integer value, "
                             f"but got num_samples={self.num_samples}")

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator = self.generator
        if generator is None:
            generator = rushlight.Generator()
            generator.manual_seed(draw_seed())
        draws = self.independent if self.replacement else self.permutations
        yield from draws(len(self.data_source), generator)

    def independent(self, n, generator):
        whole, rest = divmod(self.num_samples, DRAWN_AT_ONCE)
        for count in [DRAWN_AT_ONCE] * whole + [rest]:
            yield from rushlight.randint(high=n, size=(count,), dtype=rushlight.int64,
                                         generator=generator).tolist()

    def permutations(self, n, generator):
        whole, rest = divmod(self.num_samples, n)
        for count in [n] * whole + [rest]:
            yield from rushlight.randperm(n, generator=generator).tolist()[:count]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order, each once."""

    def __init__(self, indices: Sequence[int], generator=None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for i in rushlight.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, drawn in proportion to `weights`, a 1-d sequence of numbers >= 0."""

    def __init__(self, weights: Sequence[float], num_samples: int,
                 replacement: bool = True, generator=None) -> None:
        check_count("num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError("replacement should be a boolean value, "
                             f"but got replacement={replacement}")
        self.weights = rushlight.as_tensor(weights, dtype=rushlight.float64)
        if self.weights.dim() != 1:
            raise ValueError("weights should be a 1d sequence but given "
                             f"weights have shape {tuple(self.weights.shape)}")
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        yield from rushlight.multinomial(self.weights, self.num_samples, self.replacement,
                                         generator=self.generator).tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices from another sampler; the last is shorter, or dropped."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        check_count("batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)
