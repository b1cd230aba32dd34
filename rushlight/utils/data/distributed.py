"""The sampler that gives each process of a group its own share of a dataset."""
from __future__ import annotations

import math
from collections.abc import Iterator

import rushlight
from rushlight.utils.data.sampler import Sampler


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index, starting at `rank`.

    The dataset is cut (`drop_last`), or continued from its start, so that all shares are equal.
    Unless given, `num_replicas` and `rank` are those of the default process group.
    `set_epoch` before each pass gives each pass another order, the same one in all processes.
    """

    def __init__(self, dataset, num_replicas: int | None = None, rank: int | None = None,
                 shuffle: bool = True, seed: int = 0, drop_last: bool = False) -> None:
        if num_replicas is None or rank is None:
            from rushlight import distributed
            num_replicas = distributed.get_world_size() if num_replicas is None else num_replicas
            rank = distributed.get_rank() if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval "
                             f"[0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        self.num_samples = (len(dataset) // num_replicas if drop_last
                            else math.ceil(len(dataset) / num_replicas))
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        order = self.order()
        repeats = math.ceil(self.total_size / max(len(order), 1))
        return iter((order * repeats)[self.rank:self.total_size:self.num_replicas])

    def order(self) -> list[int]:
        if not self.shuffle:
            return list(range(len(self.dataset)))
        generator = rushlight.Generator()
        generator.manual_seed(self.seed + self.epoch)
        return rushlight.randperm(len(self.dataset), generator=generator).tolist()

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
