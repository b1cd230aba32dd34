"""Fetching: from the keys of a batch to the batch."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import rushlight
from rushlight.utils.data.collate import collate_tensor_fn, default_collate, default_collate_fn_map
from rushlight.utils.data.dataset import IterableDataset, Subset, TensorDataset, get_items


class Fetching(NamedTuple):
    """How a loader makes batches: all that a worker needs of it."""
    dataset: Any
    collate_fn: Callable
    batches: bool           # whether keys are lists: automatic batching
    drop_last: bool

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
        return lambda keys: collate_fn(get_items(dataset, keys))


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
        batch = [sample for _, sample in zip(keys, self.samples)]
        self.ended = len(batch) < len(keys)
        if not batch or (self.fetching.drop_last and self.ended):
            raise StopIteration
        return self.fetching.collate_fn(batch)


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
