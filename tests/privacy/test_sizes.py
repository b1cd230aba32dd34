"""Poisson batches vary in size from step to step: none of them calls LLVM, an empty one is noise only."""
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.privacy.grad_sample import prepare_module
from rushlight.privacy.optimizers import get_optimizer_class
from rushlight.privacy.utils import DPLossFastGradientClipping
from rushlight.trace import periods
from tests.test_invariants import Counted


class Small(nn.Module):
    """The network of Opacus' MNIST example."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 8, 2, padding=3), nn.Conv2d(16, 32, 4, 2)
        self.fc1, self.fc2 = nn.Linear(512, 32), nn.Linear(32, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2, 1)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2, 1)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Sentences(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(50, 16), nn.Linear(16, 10)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)

    def forward(self, x):
        return self.out(self.layer(self.table(x)).mean(1))


KINDS = {"cnn": (Small, lambda n: torch.randn(n, 1, 28, 28)),
         "mlp": (lambda: nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10)), lambda n: torch.randn(n, 20)),
         "transformer": (Sentences, lambda n: torch.randint(0, 50, (n, 8)))}


def private_step(kind, mode):
    torch.manual_seed(0)
    make, data = KINDS[kind]
    inner = make()
    model = prepare_module(inner, mode, **(dict(max_grad_norm=1.0) if mode == "ghost" else {}))
    optimizer = get_optimizer_class("flat", False, mode)(
        torch.optim.SGD(inner.parameters(), lr=0.1), noise_multiplier=1.0, max_grad_norm=1.0, expected_batch_size=64)
    criterion = nn.CrossEntropyLoss()
    if mode == "ghost":
        criterion = DPLossFastGradientClipping(model, optimizer, criterion)

    def step(n):
        x, y = data(n), torch.randint(0, 10, (n,))
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        loss.item()
        assert not any(p.isnan().any().item() for p in inner.parameters())
    return step


@pytest.mark.parametrize("mode", ["hooks", "ghost"])
@pytest.mark.parametrize("kind", KINDS)
def test_new_sizes_call_no_llvm(kind, mode):
    periods.begun.clear()           # each of these programs begins at the same line
    periods.growing.clear()
    step = private_step(kind, mode)
    for n in (64, 64, 51, 0, 70):
        step(n)
    compiled = {}
    for n in (63, 0, 49, 77, 58):
        with Counted() as count:
            step(n)
        compiled[n] = count.compiled
    assert not any(compiled.values()), compiled


def test_many_sizes_are_no_growing_program():
    periods.begun.clear()
    periods.growing.clear()
    step = private_step("cnn", "ghost")
    for n in (64, 64, 51, 8, 98, 57, 40, 39):     # from 84 on, a bias's sum is cut in two: other kernels
        step(n)
    with Counted() as count:
        for n in range(41, 100, 3):
            step(n)
    assert not periods.growing and count.compiled == 0
