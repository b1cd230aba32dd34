"""Loaders that sample as the accountants assume."""
from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any

from .. import ops
from ..tensor import Tensor
from ..utils.data import BatchSampler, DataLoader, IterableDataset
from ..utils.data.collate import default_collate
from .utils.batch_memory_manager import loader_options
from .utils.uniform_sampler import (DistributedUniformWithReplacementSampler,
                                    UniformWithReplacementSampler)

logger = logging.getLogger(__name__)


class CollateFnWithEmpty:
    """A collate function that makes of no samples a batch of size 0, shaped like the first one.

    Args:
        collator_fn: for all other batches; None: lists as they are.
        batch_first: whether the batch is axis 0; else it is axis 1.
        rand_on_empty: a random batch of size 1 instead.
        sample_empty_shapes, dtypes: of the tensors, if the very first batch is empty.

    Raises:
        TypeError: a batch of what is neither tensors nor containers of them.
    """

    def __init__(self, collator_fn, batch_first: bool = True, rand_on_empty: bool = False,
                 sample_empty_shapes=None, dtypes=None):
        self.wrapped_collator_fn = collator_fn
        self.batch_first, self.rand_on_empty = batch_first, rand_on_empty
        self.sample_empty_shapes, self.dtypes = sample_empty_shapes, dtypes
        self.first_batch = None

    def __call__(self, batch: list) -> Any:
        if len(batch) > 0:
            found = self.wrapped_collator_fn(batch) if self.wrapped_collator_fn else batch
            if self.first_batch is None:
                self.first_batch = copy.deepcopy(found)
            return found
        if self.first_batch is not None:
            return self._make_empty_batch(self.first_batch)
        if self.sample_empty_shapes is None or self.dtypes is None:
            logger.warning("First batch is empty: an empty list stands for it.")
            return []
        return [ops.zeros(tuple(shape), dtype=dtype)
                for shape, dtype in zip(self.sample_empty_shapes, self.dtypes)]

    def _make_empty_batch(self, sample):
        if isinstance(sample, Tensor):
            shape = list(sample.shape)
            shape[0 if self.batch_first else 1] = 1 if self.rand_on_empty else 0
            if self.rand_on_empty:
                return ops.randint(0, 2, shape, dtype=sample.dtype)
            return ops.empty(shape, dtype=sample.dtype)
        if isinstance(sample, Mapping):
            return {k: self._make_empty_batch(v) for k, v in sample.items()}
        if isinstance(sample, (list, tuple)):
            return type(sample)([self._make_empty_batch(v) for v in sample])
        raise TypeError(f"Unsupported batch type: {type(sample).__name__}. CollateFnWithEmpty only "
                        "supports batches containing torch.Tensor, dict (Mapping), list, or tuple types.")


def wrap_collate_with_empty(*, collate_fn, batch_first: bool = True, rand_on_empty: bool = False,
                            sample_empty_shapes=None, dtypes=None) -> CollateFnWithEmpty:
    """`collate_fn` that copes with empty batches."""
    return CollateFnWithEmpty(collate_fn, batch_first, rand_on_empty, sample_empty_shapes, dtypes)


def shape_safe(x) -> tuple:
    """`x.shape`, or () of what has none."""
    return tuple(getattr(x, "shape", ()))


def dtype_safe(x):
    """The dtype that a batch of such values has."""
    found = getattr(x, "dtype", None)
    return default_collate([x]).dtype if found is None and isinstance(x, (int, float)) else found


def _parts(sample) -> list:
    if isinstance(sample, Mapping):
        return list(sample.values())
    return list(sample) if isinstance(sample, (list, tuple)) else [sample]


class DPDataLoader(DataLoader):
    """A loader with Poisson sampling, whose batches differ in size and may be empty.

    Args:
        dataset: indexable.
        sample_rate: the probability of each sample to be in each batch.
        collate_fn, generator, ...: see DataLoader; drop_last has no meaning and is ignored.
        batch_first, rand_on_empty: see CollateFnWithEmpty.
    """

    def __init__(self, dataset, *, sample_rate: float, collate_fn=None, drop_last: bool = False,
                 generator=None, distributed: bool = False, batch_first: bool = True,
                 rand_on_empty: bool = False, **kwargs):
        self.sample_rate, self.distributed = sample_rate, distributed
        kind = DistributedUniformWithReplacementSampler if distributed else UniformWithReplacementSampler
        sampler = kind(num_samples=len(dataset), sample_rate=sample_rate, generator=generator)
        if drop_last:
            logger.warning("Ignoring drop_last as it is not compatible with DPDataLoader.")
        parts = _parts(dataset[0])
        collate = wrap_collate_with_empty(
            collate_fn=collate_fn or default_collate, batch_first=batch_first,
            rand_on_empty=rand_on_empty, sample_empty_shapes=[(0, *shape_safe(x)) for x in parts],
            dtypes=[dtype_safe(x) for x in parts])
        super().__init__(dataset, batch_sampler=sampler, collate_fn=collate,
                         generator=_seedable(generator), **kwargs)

    @classmethod
    def from_data_loader(cls, data_loader: DataLoader, *, distributed: bool = False, generator=None,
                         batch_first: bool = True, rand_on_empty: bool = False) -> DPDataLoader:
        """The same data with Poisson sampling at the rate 1 / len(data_loader)."""
        if isinstance(data_loader.dataset, IterableDataset):
            raise ValueError("Uniform sampling is not supported for IterableDataset")
        options = loader_options(data_loader)
        generator = generator or options.pop("generator")
        options.pop("generator", None)
        return cls(data_loader.dataset, sample_rate=1 / len(data_loader), generator=generator,
                   drop_last=data_loader.drop_last, distributed=distributed, batch_first=batch_first,
                   rand_on_empty=rand_on_empty, **options)


def _seedable(generator):
    from .utils.uniform_sampler import SYSTEM
    return None if generator is SYSTEM else generator


def switch_generator(*, data_loader: DataLoader, generator) -> DataLoader:
    """The same loader with another source of randomness."""
    sampler = data_loader.batch_sampler
    inner = sampler.sampler if isinstance(sampler, BatchSampler) else sampler
    if not isinstance(sampler, (BatchSampler, UniformWithReplacementSampler)):
        raise ValueError("Non-batch processing is not supported: private training always assumes one of "
                         "the input dimensions to be batch dimension.")
    if not hasattr(inner, "generator"):
        raise ValueError("Target sampler doesn't have generator attribute: nothing to switch")
    inner.generator = generator
    options = {**loader_options(data_loader), "generator": _seedable(generator)}
    return DataLoader(data_loader.dataset, batch_sampler=sampler, **options)
