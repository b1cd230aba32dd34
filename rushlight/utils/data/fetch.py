"""Fetching: from the keys of a batch to the batch."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import rushlight
from rushlight.trace.flush import boundary
from rushlight.utils.data.collate import collate_tensor_fn, default_collate, default_collate_fn_map
from rushlight.utils.data.dataset import IterableDataset, Subset, TensorDataset, get_items


NEW = 3         # batches of new graphs after which samples run one by one


class Pace:
    """Whether what samples record runs sample by sample.

    A sample is recorded in one of a few ways, turned round or not, cropped here or there; a batch
    of such samples in a new way each time. Where most batches were graphs that nobody had seen,
    samples are what comes again.
    """

    def __init__(self):
        self.batches = self.new = 0
        self.single = False

    def samples(self, found: Iterable) -> list:
        samples = []
        for sample in found:
            if self.single:
                boundary()
            samples.append(sample)
        return samples

    def batch(self, data):
        """The batch, computed: its graph is known before other work joins it."""
        if not self.single:
            from rushlight.compiler import plan     # not before somebody makes a batch
            known = plan.misses
            boundary()
            self.batches += 1
            self.new += plan.misses > known
            self.single = self.new >= NEW and 2 * self.new > self.batches
        return data


class Fetching(NamedTuple):
    """How a loader makes batches: all that a worker needs of it."""
    dataset: Any
    collate_fn: Callable
    batches: bool           # whether keys are lists: automatic batching
    drop_last: bool
    pace: Pace

    @property
    def streams(self) -> bool:
        return isinstance(self.dataset, IterableDataset)

    def function(self) -> Callable:
        """The function from keys to a batch, for one pass over the dataset."""
        if self.streams:
            return Stream(self)
        dataset, collate_fn = self.dataset, self.collate_fn
        if not self.batches:
            return lambda key: collate_fn(dataset[key])
        if gathers(dataset, collate_fn):
            return lambda keys: gather(dataset, keys)
        return lambda keys: self.pace.batch(collate_fn(self.samples(keys)))

    def samples(self, keys) -> list:
        if self.pace.single and not has_batches(self.dataset):
            return self.pace.samples(self.dataset[key] for key in keys)
        return get_items(self.dataset, keys)


class Stream:
    """Takes the next samples of an iterable dataset, as many as the batch has keys."""

    def __init__(self, fetching: Fetching):
        self.fetching, self.samples = fetching, iter(fetching.dataset)
        self.ended = False

    def __call__(self, keys):
        if self.ended:
            raise StopIteration
        if not self.fetching.batches:
            return self.fetching.collate_fn(next(self.samples))
        pace = self.fetching.pace
        batch = pace.samples(sample for _, sample in zip(keys, self.samples))
        self.ended = len(batch) < len(keys)
        if not batch or (self.fetching.drop_last and self.ended):
            raise StopIteration
        return pace.batch(self.fetching.collate_fn(batch))


def has_batches(dataset) -> bool:
    """Whether the dataset makes the samples of a batch together, in a way of its own."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return callable(getattr(dataset, "__getitems__", None))


def gathers(dataset, collate_fn) -> bool:
    """Whether stacking the samples is taking the rows `keys` of the dataset's tensors at once."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return (type(dataset) is TensorDataset
            and all(type(tensor) is rushlight.Tensor for tensor in dataset.tensors)
            and collate_fn is default_collate
            and default_collate_fn_map[rushlight.Tensor] is collate_tensor_fn)


def gather(dataset, keys) -> list:
    while type(dataset) is Subset:
        keys = [dataset.indices[key] for key in keys]
        dataset = dataset.dataset
    if not all(type(key) is int for key in keys):
        return default_collate(get_items(dataset, keys))
    check_keys(keys, len(dataset))
    rows = rushlight.tensor(keys)
    return [tensor[rows] for tensor in dataset.tensors]


def check_keys(keys, size):
    for key in keys:
        if not -size <= key < size:
            raise IndexError(f"index {key} is out of bounds for dimension 0 with size {size}")
