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
