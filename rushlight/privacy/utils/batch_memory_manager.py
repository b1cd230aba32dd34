"""Large batches in parts that fit into memory."""
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ...utils.data import BatchSampler, DataLoader, Sampler
from .uniform_sampler import UniformWithReplacementSampler


class BatchSplittingSampler(Sampler):
    """Batches of another sampler in parts; the optimiser is told which of them ends a batch."""

    def __init__(self, *, sampler: Sampler, max_batch_size: int, optimizer):
        self.sampler, self.max_batch_size, self.optimizer = sampler, max_batch_size, optimizer

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.sampler:
            count = max(1, math.ceil(len(batch) / self.max_batch_size))
            parts = [part.tolist() for part in np.array_split(np.asarray(batch, np.int64), count)]
            for i, part in enumerate(parts):
                self.optimizer.signal_skip_step(do_skip=i + 1 < count)
                yield part

    def __len__(self) -> int:
        if isinstance(self.sampler, BatchSampler):
            expected = self.sampler.batch_size
        elif isinstance(self.sampler, UniformWithReplacementSampler):
            expected = self.sampler.sample_rate * self.sampler.num_samples
        else:
            return len(self.sampler)
        return math.ceil(len(self.sampler) * expected / self.max_batch_size)


def wrap_data_loader(*, data_loader: DataLoader, max_batch_size: int, optimizer) -> DataLoader:
    """A loader like `data_loader` whose batches have at most `max_batch_size` samples."""
    sampler = BatchSplittingSampler(sampler=data_loader.batch_sampler, max_batch_size=max_batch_size,
                                    optimizer=optimizer)
    return DataLoader(data_loader.dataset, batch_sampler=sampler, **loader_options(data_loader))


def loader_options(loader: DataLoader) -> dict:
    """The options of a loader that have nothing to do with which samples are in a batch."""
    names = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn",
             "multiprocessing_context", "generator", "prefetch_factor", "persistent_workers")
    return {name: getattr(loader, name) for name in names}


class BatchMemoryManager:
    """A context in which a loader's batches come in parts of at most `max_physical_batch_size`.

    `optimizer.step()` and `optimizer.zero_grad()` are called after every part as usual; only after
    the last part of a batch is there noise and a step.

    Example:
        >>> with BatchMemoryManager(data_loader=loader, max_physical_batch_size=64,
        ...                         optimizer=optimizer) as parts:
        ...     for x, y in parts:
        ...         optimizer.zero_grad()
        ...         criterion(model(x), y).backward()
        ...         optimizer.step()
    """

    def __init__(self, *, data_loader: DataLoader, max_physical_batch_size: int, optimizer):
        self.data_loader, self.optimizer = data_loader, optimizer
        self.max_physical_batch_size = max_physical_batch_size

    def __enter__(self) -> DataLoader:
        return wrap_data_loader(data_loader=self.data_loader, optimizer=self.optimizer,
                                max_batch_size=self.max_physical_batch_size)

    def __exit__(self, *_):
        return None
