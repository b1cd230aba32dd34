"""Calls on sizes that they never had, replayed by a pattern: the same as the calls themselves, in every bit."""
from __future__ import annotations

import numpy as np
import pytest

import rushlight as T
from rushlight import config, nn
from rushlight.autograd import recall, sized
from rushlight.layout import Size, layout, packed
from rushlight.trace import record

F = nn.functional
SIZES = (5, 7, 6, 9, 8, 3, 12, 4, 10, 2, 1, 16, 17, 33)


def given(*shape):
    n = int(np.prod(shape))
    return T.sin(T.arange(n, dtype=T.float32) * 0.7 + n).reshape(shape).clone().requires_grad_()


LAYERS = dict(norm=nn.LayerNorm(16), lstm=nn.LSTM(8, 16), gru=nn.GRU(8, 16, batch_first=True),
              attention=nn.MultiheadAttention(16, 4, batch_first=True), batch=nn.BatchNorm2d(3),
              linear=nn.Linear(16, 24), conv=nn.Conv2d(3, 4, 3, padding=1, stride=2))
CALLS = {
    "layer norm": lambda n: LAYERS["norm"](given(2, n, 16)),
    "linear": lambda n: LAYERS["linear"](given(2, n, 16)),
    "gelu": lambda n: F.gelu(given(n, 3)),
    "softmax": lambda n: T.softmax(given(2, n), -1),
    "attention": lambda n: F.scaled_dot_product_attention(given(2, n, 8), given(2, n, 8), given(2, n, 8), is_causal=True),
    "attention layer": lambda n: LAYERS["attention"](*[given(2, n, 16)] * 3)[0],
    "cross entropy": lambda n: F.cross_entropy(given(n, 10), T.arange(n) % 10),
    "mean": lambda n: given(n, 10).mean(),
    "product": lambda n: given(3, n, 4) @ given(3, 4, n),
    "cat": lambda n: T.cat([given(2, n), given(2, 1)], 1),
    "stack": lambda n: T.stack([given(2, n), given(2, n)], 1),
    "list": lambda n: T.stack([given(3) for _ in range(n)]),
    "convolution": lambda n: LAYERS["conv"](given(1, 3, n + 1, n + 3)),
    "maximum pool": lambda n: F.max_pool2d(given(1, 3, n + 1, n + 3), 2),
    "mean pool": lambda n: F.avg_pool2d(given(1, 3, n + 1, n + 3), 2),
    "one mean": lambda n: F.adaptive_avg_pool2d(given(1, 3, n, n + 2), 1),
    "embedding": lambda n: F.embedding(T.arange(n) % 7, given(10, 4)),
    "sum": lambda n: given(n, 10).sum(1),
    "batch norm": lambda n: LAYERS["batch"](given(2, 3, n + 1, n)),
    "LSTM": lambda n: LAYERS["lstm"](given(n, 2, 8))[0],
    "GRU": lambda n: LAYERS["gru"](given(1, n, 8))[0],
    "norm": lambda n: given(2, n).norm(dim=1),
    "cumulative sum": lambda n: given(2, n).cumsum(1),
    "triangle": lambda n: given(n, n).tril(),
    "einsum": lambda n: T.einsum("bti,bsi->bts", given(2, n, 4), given(2, n, 4)),
    "mask": lambda n: given(2, n, n).masked_fill(T.ones(n, n).tril() == 0, -1.0),
    "gather": lambda n: given(n, 5).gather(1, (T.arange(n) % 5)[:, None]),
    "rows": lambda n: given(n, 5)[T.arange(n)],
    "part": lambda n: given(40, 5)[:n] * 2,
    "front columns": lambda n: given(n, n + 2)[..., :2],
    "other columns": lambda n: given(n, n + 2)[..., 2:],
    "columns by sizes": lambda n: T.cat([given(n, 9)[..., n % 4:], given(n, 9)[..., :n % 4]], -1),
    "second gradient of qr": lambda n: second(T.linalg.qr(given(n, 3) + 3 * T.eye(n, 3))),
    "second gradient of svd": lambda n: second(T.linalg.svd(given(3, n) + T.eye(3, n), full_matrices=False)[:2]),
    "sort": lambda n: given(2, n).sort()[0],
    "variance": lambda n: given(n + 1, 2).var(0),
    "padding": lambda n: F.pad(given(2, n), (1, 2)),
    "dropout": lambda n: F.dropout(given(2, n), 0.5),
    "noise": lambda n: T.randn(n, 3) * given(n, 1),
    "where": lambda n: T.where(given(n) > 0, given(n), 0.0),
    "turned": lambda n: (given(n, 3).t() + given(3, n)).relu(),
    "squared": lambda n: F.mse_loss(given(n, 3), T.zeros(n, 3)),
    "other axes": lambda n: F.softmax(given(n, n + 1, 2), n % 3).sum(n % 2),
    "written to": lambda n: F.relu(given(n, 3) * 2, inplace=True),
}


def second(ys):
    """The gradient of what some results come to, to be differentiated again."""
    loss = sum((y * y * given(*y.shape).detach()).sum() for y in ys)
    leaf = next(x for x in _leaves(loss.grad_fn, {}).values())
    return T.autograd.grad(loss, leaf, create_graph=True)[0]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(sized, "TURNS", 0)
    monkeypatch.setattr(config.sized, "value", True)
    monkeypatch.setattr(sized, "checking", True)


def outcome(call, n) -> list:
    """What a call and its gradients come to."""
    T.manual_seed(n)
    y = call(n)
    x = given(*y.shape).detach()
    leaves = [g for g in _leaves(y.grad_fn, {}).values() if g.requires_grad]
    grads = T.autograd.grad(y, leaves, x, allow_unused=True)
    return [np.array(v.detach().numpy()) for v in (y, *grads) if v is not None]


def _leaves(fn, found) -> dict:
    if hasattr(fn, "variable"):
        found[id(fn.variable)] = fn.variable
    for edge, _ in fn.next_functions:
        if edge is not None:
            _leaves(edge, found)
    return found


@pytest.mark.parametrize("name", CALLS)
def test_patterns_record_what_calls_record(name):
    call = CALLS[name]
    for n in (*SIZES, *SIZES):
        got = outcome(call, n)
        recall.paused.append(True)
        try:
            wanted = outcome(call, n)
        finally:
            recall.paused.pop()
        assert len(got) == len(wanted)
        for a, b in zip(got, wanted):
            assert a.shape == b.shape and a.tobytes() == b.tobytes(), (name, n)


def test_new_sizes_are_replayed_without_the_calls():
    """After a few lengths another one runs no line of the compositions."""
    layer = LAYERS["norm"]
    for n in (5, 7, 6, 9):
        layer(given(2, n, 16)).sum().backward()
    memo = next(m for m in recall.memos if any(k.found for k in getattr(m, "kinds", {}).values()))
    before = sum(k.missed for k in memo.kinds.values())
    for n in (11, 13, 31):
        layer(given(2, n, 16)).sum().backward()
    assert sum(k.missed for k in memo.kinds.values()) == before


KEYS = [(None, 2), (2, None), (2, 2), ((2,), 2), ((2, 2),), (2, (2,)), ((None, 2, None),), ((2, None, None),), (1,), (True,),
        (1.0,), (np.float64(1),), (np.int64(1),), (1 + 0j,), (0.0,), (-0.0,), (int,), ("1",), (Size((2, 3)),), ((2, 3),),
        (packed((2, 3)),), (layout((2, 3), (3, 2)),), (layout((2, 3), (1, 2)),), (packed((2, 3)), 2), (2, packed((2, 3)))]


def test_form_and_sizes_tell_keys_apart():
    told = [(sized.form_of(key, values := []), values) for key in KEYS]
    for i, one in enumerate(told):
        assert told.index(one) == i, KEYS[i]


def test_a_number_that_was_kept_is_an_error_and_no_stale_size():
    from rushlight.compiler.sizes import Trace
    trace = Trace()
    n = trace.variable(5)
    trace.close()
    with pytest.raises(RuntimeError, match="kept for other sizes"):
        n + 1
    with pytest.raises(RuntimeError, match="kept for other sizes"):
        int(n)


def test_pattern_keeps_no_tensor_alive():
    import weakref
    for n in (5, 7, 6, 9):
        x = given(2, n)
        y = T.softmax(x, -1)
        seen = weakref.ref(x), weakref.ref(y)
        del x, y
        record.pending.flush()
        assert seen[0]() is None and seen[1]() is None
