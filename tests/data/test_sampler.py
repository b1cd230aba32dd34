import pytest

import rushlight
from rushlight.utils.data import (
    BatchSampler, DistributedSampler, RandomSampler, Sampler, SequentialSampler,
    SubsetRandomSampler, WeightedRandomSampler,
)


def seeded(seed=0):
    return rushlight.Generator().manual_seed(seed)


def test_sequential():
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    assert len(SequentialSampler("abc")) == 3


def test_random_is_a_permutation():
    sampler = RandomSampler(range(20), generator=seeded())
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert first == list(RandomSampler(range(20), generator=seeded()))


def test_random_follows_the_global_seed():
    def order(seed):
        rushlight.manual_seed(seed)
        return list(RandomSampler(range(20)))

    assert order(1) == order(1) != order(2)


@pytest.mark.parametrize("count", [1, 19, 20, 21, 45])
@pytest.mark.parametrize("replacement", [False, True])
def test_random_gives_as_many_as_asked(count, replacement):
    drawn = list(RandomSampler(range(20), replacement, count, seeded()))
    assert len(drawn) == count and set(drawn) <= set(range(20))
    if not replacement:
        assert len(set(drawn[:20])) == min(count, 20)


def test_random_follows_a_dataset_that_grows():
    data = [1]
    sampler = RandomSampler(data)
    data += [2, 3]
    assert len(sampler) == 3 and sorted(sampler) == [0, 1, 2]


def test_subset_random():
    assert sorted(SubsetRandomSampler([7, 3, 9])) == [3, 7, 9]


def test_weighted():
    assert set(WeightedRandomSampler([0, 1, 0, 3.0], 50)) == {1, 3}
    assert sorted(WeightedRandomSampler([1, 1, 0, 3.0], 3, replacement=False)) == [0, 1, 3]


@pytest.mark.parametrize("drop_last, batches", [
    (False, [[0, 1, 2], [3, 4, 5], [6]]), (True, [[0, 1, 2], [3, 4, 5]]),
])
def test_batches(drop_last, batches):
    sampler = BatchSampler(range(7), 3, drop_last)
    assert list(sampler) == batches and len(sampler) == len(batches)


def test_distributed_shares_cover_the_dataset():
    shares = [list(DistributedSampler(range(11), 3, rank, seed=4)) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    assert set(sum(shares, [])) == set(range(11))
    cut = [list(DistributedSampler(range(11), 3, r, shuffle=False, drop_last=True))
           for r in range(3)]
    assert cut == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    sampler = DistributedSampler(range(50), 2, 0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first


@pytest.mark.parametrize("make, kind, message", [
    (lambda: RandomSampler([]), ValueError, "num_samples should be a positive integer"),
    (lambda: RandomSampler([1], num_samples=0), ValueError, "positive integer value"),
    (lambda: RandomSampler([1], replacement=1), TypeError, "should be a boolean value"),
    (lambda: WeightedRandomSampler([1], True), ValueError, "num_samples=True"),
    (lambda: WeightedRandomSampler([1], 1, 0), ValueError, "replacement=0"),
    (lambda: WeightedRandomSampler([[1]], 1), ValueError, r"weights have shape \(1, 1\)"),
    (lambda: BatchSampler([1], 0, False), ValueError, "batch_size=0"),
    (lambda: BatchSampler([1], 2, None), ValueError, "drop_last=None"),
    (lambda: DistributedSampler([1], 2, 2), ValueError, r"interval \[0, 1\]"),
    (lambda: DistributedSampler([1]), ValueError, "Default process group has not been initialized"),
    (lambda: list(Sampler()), NotImplementedError, "^$"),
])
def test_bad_arguments(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
