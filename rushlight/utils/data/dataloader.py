"""The data loader: a dataset, in a sampler's order, as batches."""
from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any, Generic, TypeVar

from rushlight.runtime.limits import available_cores
from rushlight.trace.flush import boundary
from rushlight.utils.data.collate import default_collate, default_convert
from rushlight.utils.data.dataset import Dataset, IterableDataset
from rushlight.utils.data.fetch import Fetching, Pace
from rushlight.utils.data.sampler import (
    BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed,
)

T_co = TypeVar("T_co", covariant=True)
FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
_collate_fn_t, _worker_init_fn_t = Callable[[list], Any], Callable[[int], None]     # names that packages import

PREFETCH = 2            # batches that each worker makes ahead, by default


def get_worker_info():
    """In a worker process: its `id`, `num_workers`, `seed` and `dataset`; None in the main process."""
    worker = sys.modules.get("rushlight.utils.data.worker")
    return worker.info if worker else None


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
        generator: where orders and the workers' seeds are drawn from; by default the global one.
        num_workers: processes that make batches; 0 makes them in this one.
        worker_init_fn: called in each worker with its number, after it was seeded.
        multiprocessing_context: how workers start: "fork", "spawn", "forkserver", or a context.
        prefetch_factor: batches that each worker makes ahead, 2 by default.
        persistent_workers: keep the workers for the next pass.
        timeout: seconds to wait for a batch of a worker; 0 waits for ever.
        in_order: give batches in the sampler's order, not as they come.
        pin_memory, pin_memory_device: accepted; there is no accelerator to copy to.

    Raises:
        ValueError, TypeError: options that contradict each other, as in PyTorch.
        RuntimeError: while iterating, when a worker was killed or did not answer in time. What a
            worker raises is raised again here, of the same type, with its traceback as text.
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
        self.num_workers = num_workers
        self.prefetch_factor = PREFETCH if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers, self.worker_init_fn = persistent_workers, worker_init_fn
        self.multiprocessing_context = context_named(multiprocessing_context)
        self.timeout, self._iterator = timeout, None
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.in_order, self._announced_length, self._pace = in_order, None, Pace()
        warn_of_workers(num_workers)
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

    @property
    def _fetching(self) -> Fetching:
        return Fetching(self.dataset, self.collate_fn, self._auto_collation, self.drop_last,
                        self._pace)

    def __iter__(self) -> Iterator:
        if not self.num_workers:
            return LoaderIterator(self)
        from rushlight.utils.data.workers import WorkerIterator
        if not self.persistent_workers:
            return WorkerIterator(self)
        if self._iterator is None:
            self._iterator = WorkerIterator(self)
        else:
            self._iterator.begin_pass()
        return self._iterator

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
        self.start()

    def start(self):
        self.fetch = self.loader._fetching.function()

    def __iter__(self):
        return self

    def __next__(self):
        boundary()      # a program that asks for its next batch has ended a step
        data = self.next_batch()
        self.yielded += 1
        self.warn_of_surplus()
        return data

    def next_batch(self):
        return self.fetch(next(self.keys))

    def __len__(self) -> int:
        return len(self.loader._index_sampler)

    def warn_of_surplus(self):
        announced = self.loader._announced_length
        if announced is not None and self.yielded > announced:
            warnings.warn(
                f"Length of IterableDataset {self.loader.dataset} was reported to be {announced}"
                f"(when accessing len(dataloader)), but {self.yielded} samples have been fetched. "
                + self.surplus_hint(), stacklevel=3)

    def surplus_hint(self) -> str:
        return ""


def context_named(context):
    """The multiprocessing context that an option names: None, a start method or the context itself."""
    if context is None:
        return None
    import multiprocessing
    methods = multiprocessing.get_all_start_methods()
    if isinstance(context, str):
        if context not in methods:
            raise ValueError("multiprocessing_context option should specify a valid start method in "
                             f"{methods!r}, but got multiprocessing_context={context!r}")
        return multiprocessing.get_context(context)
    if not isinstance(context, multiprocessing.context.BaseContext):
        raise TypeError("multiprocessing_context option should be a valid context object or a string "
                        f"specifying the start method, but got multiprocessing_context={context}")
    return context


def warn_of_workers(number):
    """PyTorch's warning where there are more workers than cores to run them."""
    cores = available_cores()
    if number > cores:
        warnings.warn(f"This DataLoader will create {number} worker processes in total. Our suggested "
                      f"max number of worker in current system is {cores}, which is smaller than what "
                      "this DataLoader is going to create: they will wait for each other.", stacklevel=4)


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


def __getattr__(name):
    """The iterators by the names under which packages look them up."""
    if name == "_BaseDataLoaderIter":
        return LoaderIterator
    if name == "_MultiProcessingDataLoaderIter":
        from .workers import WorkerIterator
        return WorkerIterator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
