"""torch.nn.parallel.scatter_gather: batches cut up for devices and put together again."""
from __future__ import annotations

from .data_parallel import gather as gather, scatter as scatter


def scatter_kwargs(inputs, kwargs, target_gpus, dim: int = 0) -> tuple[tuple, tuple]:
    """Arguments for each device, as many positional ones as named ones."""
    pieces = scatter(inputs, target_gpus, dim) if inputs else []
    named = scatter(kwargs, target_gpus, dim) if kwargs else []
    n = max(len(pieces), len(named))
    empty = [{} for _ in range(n - len(named))]
    return (*pieces, *[()] * (n - len(pieces))), (*named, *empty)
