"""The data loader: a dataset, in a sampler's order, as batches."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Generic, TypeVar

import rushlight
from rushlight.trace.flush import boundary
from rushlight.utils.data.collate import (
    collate_tensor_fn, default_collate, default_collate_fn_map, default_convert,
)
from rushlight.utils.data.dataset import Dataset, IterableDataset, Subset, TensorDataset, get_items
from rushlight.utils.data.sampler import (
    BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed,
)

T_co = TypeVar("T_co", covariant=True)
FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


def get_worker_info():
    """What worker process this is: None, for batches are made in the main process."""


class InfiniteSampler(Sampler):
    """None for ever: what stands for indices where the dataset is a stream."""

    def __iter__(self):
        return repeat(None)


class DataLoader(Generic[T_co]):
    """Iterates over a dataset in batches.

    Args:
        dataset: a map-style `Dataset` (or anything with `__getitem__` and `__len__`) or an
            `IterableDataset`.
        batch_size: samples in a batch; None gives the samples one by one, not collated.
        shuffle: a new random order in each pass.
        sampler, batch_sampler: the order, or the batches, given by the caller.
        collate_fn: list of samples -> batch; by default `default_collate`.
        drop_last: leave out a last batch that is not full.
        generator: where orders are drawn from; by default the global generator.
        pin_memory, timeout, worker_init_fn, prefetch_factor, persistent_workers, in_order: accepted
            and checked as PyTorch does; they concern accelerators and worker processes.

    Raises:
        NotImplementedError: `num_workers > 0`: there are no worker processes yet.
    """

    __initialized = False

    def __init__(self, dataset: Dataset[T_co], batch_size: int | None = 1,
                 shuffle: bool | None = None, sampler: Iterable | None = None,
                 batch_sampler: Iterable[list] | None = None, num_workers: int = 0,
                 collate_fn: Callable | None = None, pin_memory: bool = False,
                 drop_last: bool = False, timeout: float = 0,
                 worker_init_fn: Callable | None = None, multiprocessing_context=None,
                 generator=None, *, prefetch_factor: int | None = None,
                 persistent_workers: bool = False, pin_memory_device: str = "",
                 in_order: bool = True) -> None:
        check_workers(num_workers, timeout, prefetch_factor, persistent_workers,
                      multiprocessing_context)
        streams = isinstance(dataset, IterableDataset)
        if streams:
            check_stream_options(shuffle, sampler, batch_sampler)
        check_order(batch_size, shuffle, sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        if sampler is None:
            sampler = (InfiniteSampler() if streams
                       else RandomSampler(dataset, generator=generator) if shuffle
                       else SequentialSampler(dataset))
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset, self.generator = dataset, generator
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.collate_fn = collate_fn or (default_collate if self._auto_collation
                                         else default_convert)
        self.num_workers, self.prefetch_factor = num_workers, prefetch_factor
        self.persistent_workers, self.worker_init_fn = persistent_workers, worker_init_fn
        self.multiprocessing_context, self.timeout = multiprocessing_context, timeout
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.in_order, self._announced_length = in_order, None
        self.__initialized = True

    def __setattr__(self, name, value):
        if self.__initialized and name in FIXED:
            raise ValueError(f"{name} attribute should not be set after "
                             f"{type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Iterable:
        return self.batch_sampler if self._auto_collation else self.sampler

    def __iter__(self) -> Iterator:
        return LoaderIterator(self)

    def __len__(self) -> int:
        if not isinstance(self.dataset, IterableDataset):
            return len(self._index_sampler)
        length = self._announced_length = len(self.dataset)
        if self.batch_size is None:
            return length
        whole, rest = divmod(length, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)


class LoaderIterator:
    """One pass over a loader's dataset, in this process."""

    def __init__(self, loader: DataLoader) -> None:
        self.loader, self.yielded = loader, 0
        self.keys = iter(loader._index_sampler)
        self.seed = draw_seed(loader.generator)     # PyTorch draws it for workers, always
        streams = isinstance(loader.dataset, IterableDataset)
        self.fetch = Stream(loader) if streams else fetcher(loader)

    def __iter__(self):
        return self

    def __next__(self):
        boundary()      # a program that asks for its next batch has ended a step
        data = self.fetch(next(self.keys))
        self.yielded += 1
        self.warn_of_surplus()
        return data

    def __len__(self) -> int:
        return len(self.loader._index_sampler)

    def warn_of_surplus(self):
        announced = self.loader._announced_length
        if announced is not None and self.yielded > announced:
            warnings.warn(
                f"Length of IterableDataset {self.loader.dataset} was reported to be {announced}"
                f"(when accessing len(dataloader)), but {self.yielded} samples have been fetched. ",
                stacklevel=3)


class Stream:
    """Takes the next samples of an iterable dataset, as many as the batch has keys."""

    def __init__(self, loader):
        self.loader, self.samples = loader, iter(loader.dataset)
        self.ended = False

    def __call__(self, keys):
        if self.ended:
            raise StopIteration
        if not self.loader._auto_collation:
            return self.loader.collate_fn(next(self.samples))
        batch = [sample for _, sample in zip(keys, self.samples)]
        self.ended = len(batch) < len(keys)
        if not batch or (self.loader.drop_last and self.ended):
            raise StopIteration
        return self.loader.collate_fn(batch)


def fetcher(loader) -> Callable:
    """The function from keys to a batch for a map-style dataset."""
    dataset, collate_fn = loader.dataset, loader.collate_fn
    if not loader._auto_collation:
        return lambda key: collate_fn(dataset[key])
    if gathers(dataset, collate_fn):
        return lambda keys: gather(dataset, keys)
    return lambda keys: collate_fn(get_items(dataset, keys))


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


def check_workers(num_workers, timeout, prefetch_factor, persistent_workers, context):
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; "
                         "use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if prefetch_factor is not None and num_workers == 0:
        raise ValueError("prefetch_factor option could only be specified in multiprocessing."
                         "let num_workers > 0 to enable multiprocessing, "
                         "otherwise set prefetch_factor to None.")
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if context is not None and num_workers == 0:
        raise ValueError("multiprocessing_context can only be used with multi-process loading "
                         f"(num_workers > 0), but got num_workers={num_workers}")
    if num_workers > 0:
        raise NotImplementedError(f"DataLoader: num_workers={num_workers}: rushlight has no worker "
                                  "processes yet; num_workers=0 loads in this one")


def check_stream_options(shuffle, sampler, batch_sampler):
    given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
    for option, value in given.items():
        if value is not None:
            raise ValueError("DataLoader with IterableDataset: expected unspecified "
                             f"{option} option, but got {option}={value}")


def check_order(batch_size, shuffle, sampler, batch_sampler, drop_last):
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None
                                      or drop_last):
        raise ValueError("batch_sampler option is mutually exclusive "
                         "with batch_size, shuffle, sampler, and drop_last")
    if batch_sampler is None and batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching "
                         "and is mutually exclusive with drop_last")
