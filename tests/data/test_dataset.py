import pytest

import rushlight
from rushlight.utils.data import (
    ChainDataset, ConcatDataset, Dataset, IterableDataset, StackDataset, Subset, TensorDataset,
    random_split,
)


class Numbers(IterableDataset):
    def __init__(self, *range_arguments):
        self.range = range(*range_arguments)

    def __iter__(self):
        return iter(self.range)

    def __len__(self):
        return len(self.range)


class Letters(Dataset):
    def __getitem__(self, i):
        return "abcdef"[i]

    def __len__(self):
        return 6


def test_a_dataset_must_say_what_its_samples_are():
    with pytest.raises(NotImplementedError):
        Dataset()[0]


def test_tensor_dataset():
    x, y = rushlight.arange(6).view(3, 2), rushlight.arange(3)
    dataset = TensorDataset(x, y)
    assert len(dataset) == 3
    assert [t.tolist() for t in dataset[1]] == [[2, 3], 1]
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        TensorDataset(x, y[:2])


def test_concatenation_counts_through_its_parts():
    both = Letters() + Subset(Letters(), [5, 0])
    assert isinstance(both, ConcatDataset)
    assert "".join(both[i] for i in range(8)) == "abcdeffa"
    assert both[-1] == "a" and both[-8] == "a"
    assert both.cumulative_sizes == [6, 8]
    with pytest.raises(ValueError, match="absolute value of index"):
        both[-9]
    with pytest.raises(AssertionError, match="should not be an empty iterable"):
        ConcatDataset([])
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        ConcatDataset([Numbers(3)])


def test_chaining_streams():
    chain = Numbers(2) + Numbers(5, 7)
    assert isinstance(chain, ChainDataset)
    assert list(chain) == [0, 1, 5, 6] and len(chain) == 4
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(ChainDataset([Letters()]))


def test_datasets_side_by_side():
    assert StackDataset(Letters(), range(6))[2] == ("c", 2)
    named = StackDataset(letter=Letters(), number=Subset(range(10), range(6)))
    assert named[1] == {"letter": "b", "number": 1}
    assert named.__getitems__([0, 3]) == [{"letter": "a", "number": 0},
                                          {"letter": "d", "number": 3}]
    with pytest.raises(ValueError, match="Size mismatch between datasets"):
        StackDataset(Letters(), range(5))
    with pytest.raises(ValueError, match="At least one dataset"):
        StackDataset()
    with pytest.raises(ValueError, match="both types are given"):
        StackDataset(Letters(), a=Letters())


class Batched(Letters):
    def __getitems__(self, keys):
        return ["".join("abcdef"[k] for k in keys)] * len(keys)


def test_a_subset_asks_for_batches_where_the_dataset_gives_them():
    assert Subset(Batched(), [3, 1])[0] == "d"
    assert Subset(Batched(), [3, 1, 0]).__getitems__([0, 2]) == ["da", "da"]
    assert Subset(Subset(Letters(), [3, 1, 0]), [2, 0]).__getitems__([1]) == ["d"]


def test_a_subset_class_that_changes_one_way_must_change_both():
    class Half(Subset):
        def __getitem__(self, i):
            return 0

    with pytest.raises(NotImplementedError, match="Half overrides __getitem__"):
        Half(Letters(), [1])


def test_random_split_is_a_partition_that_the_seed_decides():
    def parts(seed, lengths):
        split = random_split(range(11), lengths, rushlight.Generator().manual_seed(seed))
        return [list(part) for part in split]

    assert parts(1, [4, 7]) == parts(1, [4, 7]) != parts(2, [4, 7])
    assert sorted(sum(parts(1, [4, 7]), [])) == list(range(11))
    assert [len(part) for part in parts(3, [0.3, 0.3, 0.4])] == [4, 3, 4]


def test_random_split_refuses_what_does_not_add_up():
    with pytest.raises(ValueError, match="Sum of input lengths does not equal"):
        random_split(range(10), [3, 3])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        random_split(range(10), [1.5, -0.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(range(2), [0.9, 0.1])
