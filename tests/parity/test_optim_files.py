"""Training that goes on in the other library: states of optimisers and schedules, through files, both ways."""
from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

import rushlight
from tests.parity.test_optim import METRICS, OPTIMISERS, SCHEDULES, Run, options, schedule

torch = pytest.importorskip("torch")
MORE = ["Adafactor(p, 0.1)", "Adafactor(p, 0.1, weight_decay=0.1, beta2_decay=-0.6)", "Muon([p[0]], 0.1)", "Adam(p, 0.1, foreach=True)", "AdamW(p, 0.1, amsgrad=True, maximize=True)",
        "SGD(p, 0.1, 0.9, fused=True)", "RMSprop(p, 0.1, capturable=False, maximize=True)"]
PAIRS = [(rushlight, torch), (torch, rushlight)]
NAMES = ["to PyTorch", "from PyTorch"]


def carried(source, target, state):
    """A state that one library writes and the other reads."""
    file = io.BytesIO()
    source.save(state, file)
    file.seek(0)
    return target.load(file, weights_only=False)


@pytest.mark.parametrize("source, target", PAIRS, ids=NAMES)
@pytest.mark.parametrize("text", [t for t in OPTIMISERS + MORE if "T.tensor" not in t])
def test_optimiser_goes_on(text, source, target):
    first = Run(source, text)
    list(first.steps(3))
    other = Run(target, text)
    with target.no_grad():
        for a, b in zip(other.params, first.params):
            a.copy_(target.tensor(b.detach().numpy()))
    other.optimiser.load_state_dict(carried(source, target, first.optimiser.state_dict()))
    tolerance = 2e-2 if "Muon" in text else 1e-6 if "Adafactor" in text else 1e-9
    for here, there in zip(first.steps(3), other.steps(3)):
        for x, y in zip(here, there):
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def advanced(schedule, text, optimiser, metrics):
    for metric in metrics:
        optimiser.step()
        schedule.step(*([metric] if "Plateau" in text else []))
        yield str((options(optimiser), [float(f"{lr:.12g}") for lr in schedule.get_last_lr()]))


@pytest.mark.parametrize("source, target", PAIRS, ids=NAMES)
@pytest.mark.parametrize("text", [t for t in SCHEDULES if "lambda" not in t])
def test_schedule_goes_on(text, source, target):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        o, s = schedule(source, text)
        list(advanced(s, text, o, METRICS[:5]))
        other, t = schedule(target, text)
        other.load_state_dict(carried(source, target, o.state_dict()))
        t.load_state_dict(carried(source, target, s.state_dict()))
        assert list(advanced(t, text, other, METRICS[5:])) == list(advanced(s, text, o, METRICS[5:]))


def sparse_steps(T, **options):
    T.manual_seed(2)
    table = T.nn.Embedding(7, 3, sparse=True)
    optimiser = T.optim.SparseAdam(table.parameters(), 0.1, **options)
    for turn in range(6):
        optimiser.zero_grad()
        (table(T.tensor([1, 3, 3, turn])) ** 2).sum().backward()
        optimiser.step()
    return table.weight.detach().numpy(), {k: v if isinstance(v, int) else v.numpy() for k, v in optimiser.state[table.weight].items()}


@pytest.mark.parametrize("options", [{}, {"betas": (0.5, 0.9)}, {"eps": 1e-3}, {"maximize": True}])
def test_sparse_adam(options):
    (ours, state), (theirs, expected) = sparse_steps(rushlight, **options), sparse_steps(torch, **options)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert list(state) == list(expected)
    for key in expected:
        np.testing.assert_allclose(state[key], expected[key], rtol=1e-5, atol=1e-6)
