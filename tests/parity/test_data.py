"""Loaders visit a dataset in PyTorch's order and draw from the generator as often as PyTorch."""
import pytest

import rushlight

torch = pytest.importorskip("torch")
if torch is rushlight:
    pytest.skip("needs PyTorch itself", allow_module_level=True)

PASSES = {
    "shuffled": lambda t, d: d.DataLoader(range(25), 4, shuffle=True),
    "shuffled, last dropped": lambda t, d: d.DataLoader(range(25), 4, True, drop_last=True),
    "in order": lambda t, d: d.DataLoader(range(25), 4),
    "one by one": lambda t, d: d.DataLoader(range(25), None, shuffle=True),
    "rows of tensors": lambda t, d: d.DataLoader(d.TensorDataset(t.arange(25)), 3, shuffle=True),
    "own generator": lambda t, d: d.DataLoader(
        range(25), 4, shuffle=True, generator=t.Generator().manual_seed(3)),
    "replacement": lambda t, d: d.DataLoader(
        range(25), 7, sampler=d.RandomSampler(range(25), replacement=True, num_samples=70)),
    "more than once": lambda t, d: d.DataLoader(
        range(25), 7, sampler=d.RandomSampler(range(25), num_samples=70)),
    "weighted": lambda t, d: d.DataLoader(
        range(3), 2, sampler=d.WeightedRandomSampler([0.1, 0.4, 0.5], 20)),
    "weighted, once": lambda t, d: d.DataLoader(
        range(3), 2, sampler=d.WeightedRandomSampler([0.1, 0.4, 0.5], 3, replacement=False)),
    "subset": lambda t, d: d.DataLoader(range(25), 2, sampler=d.SubsetRandomSampler([9, 1, 5])),
    "split": lambda t, d: d.DataLoader(d.random_split(range(25), [20, 5])[0], 6, shuffle=True),
    "fractions": lambda t, d: d.random_split(range(25), [0.5, 0.3, 0.2])[1],
    "distributed": lambda t, d: d.DistributedSampler(range(25), 3, 1, seed=7),
}


def plain(batch):
    if isinstance(batch, (list, tuple)):
        return [plain(item) for item in batch]
    return batch.tolist() if hasattr(batch, "tolist") else batch


def visit(t, make):
    t.manual_seed(11)
    loader = make(t, t.utils.data)
    passes = [[plain(batch) for batch in loader] for _ in range(2)]
    return passes, t.rand(3).tolist()


@pytest.mark.parametrize("name", PASSES)
def test_order_and_draws(name):
    import rushlight.utils.data
    assert visit(rushlight, PASSES[name]) == visit(torch, PASSES[name])


def worker_draws(t, workers, persistent=False):
    import random

    import numpy as np

    class Draws(t.utils.data.Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, i):
            info = t.utils.data.get_worker_info()
            return i, info.id, info.seed, random.random(), float(np.random.rand()), t.rand(())

    t.manual_seed(5)
    loader = t.utils.data.DataLoader(Draws(), 2, shuffle=True, num_workers=workers,
                                     persistent_workers=persistent)
    return [[plain(batch) for batch in loader] for _ in range(2)], t.rand(2).tolist()


@pytest.mark.parametrize("workers, persistent", [(1, False), (2, False), (2, True)])
def test_workers_are_seeded_alike(workers, persistent):
    assert worker_draws(rushlight, workers, persistent) == worker_draws(torch, workers, persistent)


def stream_order(t, size, workers, batch_size, drop_last):
    class Shard(t.utils.data.IterableDataset):
        def __iter__(self):
            info = t.utils.data.get_worker_info()
            return iter(range(info.id, size + info.id, info.num_workers))

    loader = t.utils.data.DataLoader(Shard(), batch_size, num_workers=workers, drop_last=drop_last)
    return [plain(batch) for batch in loader]


@pytest.mark.parametrize("case", [(7, 2, 2, False), (9, 2, 3, True), (4, 2, 1, False)])
def test_streams_of_workers_come_in_the_same_order(case):
    assert stream_order(rushlight, *case) == stream_order(torch, *case)
