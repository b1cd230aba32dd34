"""Private training against Opacus: the same batches, the same noise, the same parameters."""
import warnings

import pytest

pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("opacus")

import opacus.accountants
import torch
from opacus.utils.batch_memory_manager import BatchMemoryManager as TheirManager

import rushlight
from rushlight.privacy import PrivacyEngine, accountants
from rushlight.privacy.utils.batch_memory_manager import BatchMemoryManager

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def trained(torch, engine, manager, *, mode="hooks", clipping="flat", parts=False, **options):
    nn, data = torch.nn, torch.utils.data
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 16), nn.Tanh(),
                          nn.Linear(16, 4))
    loader = data.DataLoader(data.TensorDataset(torch.randn(64, 1, 8, 8), torch.randint(0, 4, (64,))), batch_size=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    bound = [0.3] * 8 if clipping == "per_layer" else 1.0
    made = engine.make_private(module=model, optimizer=optimizer, data_loader=loader, noise_multiplier=0.7,
                               max_grad_norm=bound, grad_sample_mode=mode, clipping=clipping, **options)
    model, optimizer, loader = made[0], made[1], made[-1]
    criterion = made[2] if mode == "ghost" else nn.CrossEntropyLoss()
    sizes = []

    def epoch(loader):
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
            sizes.append(len(x))
    for _ in range(2):
        if parts:
            with manager(data_loader=loader, max_physical_batch_size=5, optimizer=optimizer) as pieces:
                epoch(pieces)
        else:
            epoch(loader)
    return sizes, [p.detach().numpy() for p in model.parameters()], engine.get_epsilon(1e-5)


@pytest.mark.parametrize("how", [
    dict(), dict(mode="functorch"), dict(mode="ghost"), dict(clipping="per_layer"), dict(parts=True),
    dict(mode="ghost", parts=True), dict(poisson_sampling=False)], ids=str)
def test_training_is_theirs(how):
    mine = trained(rushlight, PrivacyEngine(accountant="rdp"), BatchMemoryManager, **how)
    theirs = trained(torch, opacus.PrivacyEngine(accountant="rdp"), TheirManager, **how)
    assert mine[0] == theirs[0]
    for a, b in zip(mine[1], theirs[1], strict=True):
        assert abs(a - b).max() < 1e-4
    assert mine[2] == pytest.approx(theirs[2], rel=1e-4)


@pytest.mark.parametrize("history", [[(1.5, 0.04, 500)], [(0.8, 0.3, 20)], [(1.5, 0.04, 100), (1.0, 0.02, 300)]], ids=str)
@pytest.mark.parametrize("kind", ["rdp", "prv"])
def test_accounts_are_theirs(kind, history):
    mine, theirs = accountants.create_accountant(kind), opacus.accountants.create_accountant(kind)
    mine.history = theirs.history = history
    assert mine.get_epsilon(1e-5) == pytest.approx(theirs.get_epsilon(1e-5), abs=1e-5)
