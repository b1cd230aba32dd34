import random

import pytest

import rushlight
from rushlight.compiler import plan
from rushlight.utils.data import (
    DataLoader, Dataset, IterableDataset, RandomSampler, Subset, TensorDataset, get_worker_info,
)

X, Y = rushlight.arange(20).view(10, 2), rushlight.arange(10)


class Rows(Dataset):
    def __getitem__(self, i):
        return X[i], Y[i]

    def __len__(self):
        return 10


class Stream(IterableDataset):
    def __init__(self, size, announced=None):
        self.size, self.announced = size, announced

    def __iter__(self):
        return iter(range(self.size))

    def __len__(self):
        return self.announced or self.size


def lists(loader):
    return [[t.tolist() for t in batch] if isinstance(batch, list) else batch.tolist()
            for batch in loader]


def test_batches_in_order():
    batches = lists(DataLoader(Rows(), batch_size=4))
    assert [labels for _, labels in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches[2][0] == [[16, 17], [18, 19]]


@pytest.mark.parametrize("drop_last, count", [(False, 3), (True, 2)])
def test_length_is_the_number_of_batches(drop_last, count):
    loader = DataLoader(Rows(), batch_size=4, drop_last=drop_last)
    assert len(loader) == len(iter(loader)) == len(list(loader)) == count


def test_rows_of_tensors_are_taken_at_once_with_the_same_result():
    whole = TensorDataset(X, Y)
    nested = Subset(Subset(whole, [9, 3, -1, 0]), [2, 0, 1])
    for dataset in (whole, nested):
        fast = lists(DataLoader(dataset, batch_size=2))
        slow = lists(DataLoader(dataset, batch_size=2, collate_fn=lambda samples: [
            rushlight.stack(column) for column in zip(*samples)]))
        assert fast == slow
    with pytest.raises(IndexError, match="index 10 is out of bounds for dimension 0 with size 10"):
        list(DataLoader(whole, batch_sampler=[[0, 10]]))


def test_shuffling_changes_with_each_pass_and_follows_the_seed():
    def passes():
        rushlight.manual_seed(5)
        loader = DataLoader(Rows(), batch_size=10, shuffle=True)
        return [lists(loader)[0][1] for _ in range(2)]

    first, second = passes()
    assert first != second and sorted(first) == sorted(second) == list(range(10))
    assert passes() == [first, second]


def test_a_generator_of_ones_own_leaves_the_global_one_alone():
    def values_after(**options):
        rushlight.manual_seed(1)
        list(DataLoader(Rows(), shuffle=True, **options))
        return rushlight.rand(2).tolist()

    rushlight.manual_seed(1)
    untouched = rushlight.rand(2).tolist()
    assert values_after(generator=rushlight.Generator().manual_seed(3)) == untouched
    assert values_after() != untouched


def test_samplers_and_collation_given_by_the_caller():
    assert lists(DataLoader(Rows(), 2, sampler=[3, 1, 2]))[0][1] == [3, 1]
    assert [b[1] for b in lists(DataLoader(Rows(), batch_sampler=[[1], [2, 3]]))] == [[1], [2, 3]]
    assert list(DataLoader(range(4), 2, collate_fn=tuple)) == [(0, 1), (2, 3)]
    sampler = RandomSampler(range(10), replacement=True, num_samples=33)
    assert sum(len(batch) for batch in DataLoader(range(10), 8, sampler=sampler)) == 33


def test_without_batches():
    samples = list(DataLoader(Rows(), batch_size=None))
    assert len(samples) == 10 and samples[3][1].item() == 3
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]


@pytest.mark.parametrize("size, drop_last, batches", [
    (7, False, [[0, 1, 2], [3, 4, 5], [6]]), (7, True, [[0, 1, 2], [3, 4, 5]]),
    (6, False, [[0, 1, 2], [3, 4, 5]]), (0, False, []),
])
def test_streams(size, drop_last, batches):
    loader = DataLoader(Stream(size), batch_size=3, drop_last=drop_last)
    assert lists(loader) == lists(loader) == batches
    assert len(loader) == len(batches)


def test_a_stream_that_gives_more_than_it_said():
    loader = DataLoader(Stream(5, announced=3), batch_size=None)
    assert len(loader) == 3
    with pytest.warns(UserWarning, match="was reported to be 3"):
        list(loader)


def test_an_exception_of_the_dataset_reaches_the_caller():
    class Broken(Rows):
        def __getitem__(self, i):
            raise KeyError("sample 0 is broken")

    with pytest.raises(KeyError, match="sample 0 is broken"):
        next(iter(DataLoader(Broken())))


def test_attributes_are_fixed_once_made():
    loader = DataLoader(Rows())
    loader.anything = 1
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader"):
        loader.batch_size = 3


def test_this_is_the_main_process():
    assert get_worker_info() is None


@pytest.mark.parametrize("options, kind, message", [
    (dict(num_workers=-1), ValueError, "num_workers option should be non-negative"),
    (dict(timeout=-1), ValueError, "timeout option should be non-negative"),
    (dict(prefetch_factor=2), ValueError, "prefetch_factor option could only be specified"),
    (dict(persistent_workers=True), ValueError, "persistent_workers option needs num_workers > 0"),
    (dict(multiprocessing_context="fork"), ValueError, "multiprocessing_context can only be used"),
    (dict(batch_size=0), ValueError, "batch_size should be a positive integer"),
    (dict(batch_size=2.5), ValueError, "batch_size should be a positive integer"),
    (dict(sampler=[1], shuffle=True), ValueError, "mutually exclusive with shuffle"),
    (dict(batch_sampler=[[1]], batch_size=3), ValueError, "batch_sampler option is mutually"),
    (dict(batch_size=None, drop_last=True), ValueError, "mutually exclusive with drop_last"),
])
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        DataLoader(Rows(), **options)


@pytest.mark.parametrize("option", [dict(shuffle=True), dict(sampler=[1]), dict(batch_sampler=[1])])
def test_a_stream_has_its_own_order(option):
    with pytest.raises(ValueError, match=f"expected unspecified {next(iter(option))} option"):
        DataLoader(Stream(3), **option)


class TurnedRows(Dataset):
    """Samples that are recorded in one of eight ways each."""

    def __init__(self):
        self.ways = random.Random(0)

    def __getitem__(self, i):
        x = X[i].float() * 2
        x = x.flip(0) if self.ways.random() < 0.5 else x
        x = x + 1 if self.ways.random() < 0.5 else x
        return (x * x if self.ways.random() < 0.5 else x) - 1

    def __len__(self):
        return 10


@pytest.mark.parametrize("kind", ["mapped", "part", "stream"])
def test_samples_that_are_recorded_in_many_ways_meet_known_plans(kind):
    class Streamed(IterableDataset):
        def __iter__(self):
            rows = TurnedRows()
            return (rows[i % 10] for i in range(240))
    dataset = {"mapped": TurnedRows, "part": lambda: Subset(TurnedRows(), range(10)), "stream": Streamed}[kind]()
    loader = DataLoader(dataset, 10)
    counts, sums = [], []
    for _ in range(1 if kind == "stream" else 24):
        for batch in loader:
            sums.append(batch.sum().item())
            counts.append(plan.misses)
    assert counts[-1] == counts[11]     # eight ways of a sample, one of a batch
    rows = TurnedRows()
    assert sums == [sum(rows[i].sum().item() for i in range(10)) for _ in range(24)]


def test_samples_that_are_recorded_alike_run_as_batches():
    loader = DataLoader(Rows(), 5)
    for _ in range(8):
        lists(loader)
    assert not loader._pace.single
