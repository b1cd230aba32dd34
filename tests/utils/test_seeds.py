"""One seed for everything, and the switches of reproducible programs."""
import os
import random

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils import seed_everything


@pytest.fixture(autouse=True)
def put_back(monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    with torch.backends.cudnn.flags(enabled=True):
        yield
    torch.use_deterministic_algorithms(False)


def draws():
    return random.random(), np.random.rand(), torch.rand(3).tolist(), torch.bernoulli(torch.full((5,), 0.5)).tolist()


def test_everything_is_seeded():
    assert seed_everything(3) == 3
    first = draws()
    assert all(a != b for a, b in zip(first[:3], draws()[:3]))
    seed_everything(3)
    assert draws() == first
    assert os.environ["PYTHONHASHSEED"] == "3" and torch.initial_seed() == 3
    cudnn = torch.backends.cudnn
    assert (cudnn.deterministic, cudnn.benchmark, cudnn.enabled) == (True, False, False)


class Old:
    def seed(self, n):
        self.seeded = n


class New:
    def __init__(self):
        self.action_space = Old()

    def reset(self, *, seed):
        self.seeded = seed


def test_environments():
    old, new = Old(), New()
    seed_everything(5, old), seed_everything(6, env=new)
    assert old.seeded == 5 and new.seeded == new.action_space.seeded == 6
    with pytest.raises(TypeError, match="neither seed nor reset"):
        seed_everything(5, object())
    with pytest.raises(ValueError, match="2\\*\\*32 - 1"):
        seed_everything(-1)


def test_switches_are_kept():
    assert not torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    assert not torch.are_deterministic_algorithms_enabled()


def test_debug_mode_is_the_same_switch():
    for number, name in enumerate(["default", "warn", "error"]):
        torch.set_deterministic_debug_mode(name)
        assert torch.get_deterministic_debug_mode() == number
        assert torch.are_deterministic_algorithms_enabled() is (number > 0)
    torch.set_deterministic_debug_mode(1)
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    for bad, error in [("loud", RuntimeError), (3, RuntimeError), (1.0, TypeError)]:
        with pytest.raises(error, match="debug_mode"):
            torch.set_deterministic_debug_mode(bad)
