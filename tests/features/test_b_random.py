"""B: random numbers and seeds: ranges, dtypes and errors; the streams themselves are in tests/parity/test_random.py."""
import os
import random

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn


def test_b01_randint_between_bounds():
    x = torch.randint(1, 5, [2])
    assert x.shape == (2,) and x.dtype == torch.int64
    assert set(torch.randint(1, 5, (1000,)).tolist()) == {1, 2, 3, 4}
    with pytest.raises(RuntimeError, match="random_ expects 'from' to be less than 'to', but got from=5 >= to=5"):
        torch.randint(5, 5, (2,))


def test_b02_randint_below_a_bound():
    assert torch.randint(5, [1, 2]).shape == (1, 2)
    assert set(torch.randint(5, (1000,)).tolist()) == {0, 1, 2, 3, 4}


def test_b03_randint_like():
    x = torch.randint_like(torch.zeros(40, 3), low=2, high=7)
    assert x.shape == (40, 3) and x.dtype == torch.float32
    assert set(x.flatten().tolist()) == {2.0, 3.0, 4.0, 5.0, 6.0}
    assert torch.randint_like(torch.zeros(3, dtype=torch.int8), 5).dtype == torch.int8


def test_b04_rand():
    x = torch.rand(2, 3, 40, 50)
    assert x.shape == (2, 3, 40, 50) and x.dtype == torch.float32
    assert 0 <= x.min() and x.max() < 1 and abs(x.mean() - 0.5) < 0.02


def test_b05_randn():
    x = torch.randn(100, 100)
    assert x.dtype == torch.float32 and abs(x.mean()) < 0.05 and abs(x.std() - 1) < 0.05


def test_b06_randn_like():
    x = torch.randn_like(torch.zeros(2, 3, dtype=torch.float64))
    assert x.shape == (2, 3) and x.dtype == torch.float64
    with pytest.raises(TypeError, match="low"):
        torch.randn_like(torch.zeros(2), low=0, high=1)


def test_b07_randperm():
    x = torch.randperm(10)
    assert x.dtype == torch.int64 and sorted(x.tolist()) == list(range(10))
    assert torch.randperm(0).shape == (0,)


def test_b08_distributions():
    from rushlight import distributions as D
    torch.manual_seed(0)
    assert D.Normal(0.0, 2.0).sample((3,)).shape == (3,)
    assert torch.allclose(D.Normal(0.0, 1.0).log_prob(torch.tensor(0.0)), torch.tensor(-0.9189385))
    assert set(D.Categorical(torch.tensor([0.5, 0.0, 0.5])).sample((50,)).tolist()) == {0, 2}
    assert D.kl_divergence(D.Bernoulli(0.5), D.Bernoulli(0.5)).item() == 0


def test_b09_multinomial_by_row():
    weights = torch.tensor([[1.0, 0.0, 3.0], [0.0, 10.0, 0.0]])
    drawn = torch.multinomial(weights, 20, replacement=True)
    assert drawn.shape == (2, 20) and drawn.dtype == torch.int64
    assert set(drawn[0].tolist()) == {0, 2} and set(drawn[1].tolist()) == {1}
    assert torch.multinomial(torch.ones(4), 2).shape == (2,)


def test_b10_multinomial_without_replacement():
    drawn = torch.multinomial(torch.tensor([0.0, 1.0, 0.0, 3.0]), 4).tolist()
    assert set(drawn[:2]) == {1, 3} and set(drawn[2:]) == {0, 2}
    with pytest.raises(RuntimeError, match=r"cannot sample n_sample > prob_dist.size\(-1\) samples without replacement"):
        torch.multinomial(torch.ones(3), 4)


@pytest.mark.parametrize("weight", [-1.0, torch.nan, torch.inf])
def test_b11_multinomial_errors(weight):
    with pytest.raises(RuntimeError, match="probability tensor contains either `inf`, `nan` or element < 0"):
        torch.multinomial(torch.tensor([1.0, weight]), 1, replacement=True).tolist()
    with pytest.raises(RuntimeError, match=r"invalid multinomial distribution \(sum of probabilities <= 0\)"):
        torch.multinomial(torch.zeros(2, 3), 1, replacement=True).tolist()


def test_b12_seeding():
    def draws():
        torch.manual_seed(3)
        return [torch.rand(5), nn.Linear(4, 3).weight, nn.functional.dropout(torch.ones(50))]
    assert all(torch.equal(a, b) for a, b in zip(draws(), draws()))
    assert torch.manual_seed(3).initial_seed() == torch.initial_seed() == 3


def test_b13_seeding_cuda():
    assert torch.cuda.manual_seed(1) is None and torch.cuda.manual_seed_all(1) is None


def test_b14_seeding_everything():
    def all_seed(env, seed):
        env.seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        torch.manual_seed(seed)
        torch.cuda.manual_seed(seed)
        os.environ["PYTHONHASHSEED"] = str(seed)

    class Env(random.Random):
        pass

    def draws():
        env = Env()
        all_seed(env, 7)
        return env.random(), np.random.rand(), random.random(), torch.rand(1).item(), os.environ["PYTHONHASHSEED"]
    kept = os.environ.get("PYTHONHASHSEED")
    assert draws() == draws() and draws()[-1] == "7"
    os.environ.pop("PYTHONHASHSEED") if kept is None else os.environ.update(PYTHONHASHSEED=kept)


def test_b15_deterministic_switches():
    cudnn = torch.backends.cudnn
    defaults = cudnn.deterministic, cudnn.benchmark, cudnn.enabled
    assert defaults == (False, False, True)
    cudnn.deterministic, cudnn.benchmark, cudnn.enabled = True, False, False
    assert (cudnn.deterministic, cudnn.benchmark, cudnn.enabled) == (True, False, False)
    cudnn.deterministic, cudnn.benchmark, cudnn.enabled = defaults


def test_b16_random_randint():
    assert {random.randint(-1, 2) for _ in range(200)} == {-1, 0, 1, 2}
    assert set(torch.randint(-1, 3, (200,)).tolist()) == {-1, 0, 1, 2}


def test_b17_random_choices():
    picked = random.choices(torch.arange(101), k=10)
    assert len(picked) == 10 and all(0 <= x <= 100 for x in picked)


def test_b18_random_sample():
    assert len(set(random.sample(range(101), 10))) == 10
    assert len(set(random.sample(torch.arange(101).tolist(), 10))) == 10


def test_b19_shuffle_and_slice():
    items = list(range(1, 6))
    random.shuffle(items)
    assert sorted(items) == [1, 2, 3, 4, 5] and len(items[:3]) == 3
    x = torch.arange(1, 6)
    kept = x[torch.randperm(5)[:3]]
    assert len(set(kept.tolist())) == 3 and set(kept.tolist()) <= set(x.tolist())


def test_b20_draws_of_numpy():
    y, xy = np.random.rand(100), np.random.rand(100, 2)
    assert torch.from_numpy(xy).shape == (100, 2) and torch.tensor(y).dtype == torch.float64
    assert 0 <= torch.tensor(np.random.random()) < 1
