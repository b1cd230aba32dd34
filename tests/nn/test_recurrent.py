"""Recurrent layers: what does not need PyTorch to compare with."""
from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import rushlight as T
from rushlight import nn
from rushlight.autograd import recall
from rushlight.compiler import plan, recipe
from rushlight.cpu import jit
from rushlight.nn.functional.recurrent import COMPOSED, STEPS, Weights, gated, layer, steps
from rushlight.prims.recurrent import CELLS
from rushlight.trace.flush import flush


def drawn(*shape, dtype=T.float64, seed=0):
    return T.tensor(np.random.default_rng(seed).uniform(-1, 1, shape), dtype=dtype)


def operands(kind, count=4, batch=3, inputs=5, hidden=6, dtype=T.float64):
    """x, weights and first states of one direction."""
    rows = CELLS[kind].gates * hidden
    shapes = [(count, batch, inputs), (rows, inputs), (rows, hidden), (rows,), (rows,)]
    shapes += [(batch, hidden)] * (1 + CELLS[kind].inner)
    return [drawn(*s, dtype=dtype, seed=k).requires_grad_() for k, s in enumerate(shapes)]


def whole(way, kind, reverse):
    return lambda x, a, b, c, d, *states: way(x, states, Weights(a, b, c, d), kind, reverse)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", STEPS)
def test_gradients_agree_with_differences(kind, reverse):
    xs = operands(kind, 2, 1, 1, 2)
    assert T.autograd.gradcheck(whole(layer, kind, reverse), xs)
    assert T.autograd.gradgradcheck(lambda x, *rest: whole(layer, kind, reverse)(x, *rest)[0], xs)


@pytest.mark.parametrize("kind", COMPOSED)
def test_a_gated_step_is_its_composition(kind):
    rows, xs = CELLS[kind].gates * 3, []
    for k, shape in enumerate([(2, rows), (2, rows), (2, 3)]):
        xs.append(drawn(*shape, seed=k).requires_grad_())
    for a, b in zip(gated(kind, *xs), COMPOSED[kind](*xs), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)
    assert T.autograd.gradcheck(lambda *xs: gated(kind, *xs), xs)
    assert T.autograd.gradgradcheck(lambda *xs: gated(kind, *xs)[0], xs)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", STEPS)
def test_all_steps_at_once_are_the_single_steps(kind, reverse):
    xs = operands(kind, 5, 70, 3, 40)
    h, *c = whole(layer, kind, reverse)(*xs)
    want, *cs = whole(steps, kind, reverse)(*xs)
    last = [one[0 if reverse else -1] for one in cs]
    for a, b in zip((h, *c), (want, *last), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-12)
    got = T.autograd.grad(sum(y.pow(2).sum() for y in (h, *c)), xs)
    for a, b in zip(got, T.autograd.grad(sum(y.pow(2).sum() for y in (want, *last)), xs), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-10)


def trained(kind, threads):
    before = T.get_num_threads()
    T.set_num_threads(threads)
    try:
        T.manual_seed(0)
        net = getattr(nn, kind)(40, 200, 2, bidirectional=True)
        optimizer = T.optim.SGD(net.parameters(), lr=0.1)
        for k in range(3):
            optimizer.zero_grad()
            net(drawn(6, 70, 40, dtype=T.float32, seed=k))[0].pow(2).sum().backward()
            optimizer.step()
        return [p.detach().numpy().copy() for p in net.parameters()]
    finally:
        T.set_num_threads(before)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_threads_change_no_bit(kind):
    one = trained(kind, 1)
    for threads in (2, 4):
        assert all(np.array_equal(a, b) for a, b in zip(one, trained(kind, threads), strict=True))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_new_lengths_and_batches_call_no_llvm(kind):
    net = getattr(nn, kind)(8, 24)
    optimizer = T.optim.SGD(net.parameters(), lr=0.1)

    def step(count, batch):
        optimizer.zero_grad()
        net(drawn(count, batch, 8, dtype=T.float32))[0].pow(2).sum().backward()
        optimizer.step()
        flush()
    for size in ((6, 20), (6, 20), (6, 20), (7, 21)):
        step(*size)
    before = jit.compilations, jit.loads
    for size in ((9, 20), (6, 23), (10, 22)):
        step(*size)
    assert (jit.compilations, jit.loads) == before


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_new_lengths_are_bound_without_the_passes(kind):
    net = getattr(nn, kind)(8, 24)
    found = []
    for count in (9, 12, 15, 20, 21, 23):
        before = recipe.bound
        net.zero_grad()
        flush()
        net(T.zeros(count, 8, 8))[0].sum().backward()
        flush()
        found.append(recipe.bound - before)
    assert found[-1] == 1


def test_a_layer_is_a_few_nodes_whatever_its_length():
    """The loop over the steps is one call: plans do not grow with it."""
    net = nn.LSTM(3, 4)
    counts = []
    for count in (5, 50):
        net.zero_grad()
        flush()
        net(T.zeros(count, 2, 3))[0].sum().backward()
        flush()
        counts.append(len(list(plan.plans.values())[-1].recipe.steps))
    assert counts[0] == counts[1] < 20


@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("kind", STEPS)
def test_calls_that_come_again_give_the_same(kind, every, states):
    """From the third on they are replayed, as is the way back; without a gradient, too."""
    xs = operands(kind)[:None if states else 5]

    def run():
        call = lambda: layer(xs[0], tuple(xs[5:]) or None, Weights(*xs[1:5]), kind, True, every)
        shown = call()
        grads = T.autograd.grad([y.sum() for y in shown], xs[:2] + xs[3:])
        with T.no_grad():
            return b"".join(t.detach().numpy().tobytes() for t in (*shown, *grads, *call()))
    recall.paused.append("test")
    try:
        expected = run()
    finally:
        recall.paused.pop()
    assert {run() for _ in range(4)} == {expected}


def test_writing_to_outputs_leaves_the_gradient():
    net = nn.GRU(3, 4).double()
    x = drawn(5, 2, 3)
    net(x)[0].mul(2).sum().backward()
    want = net.weight_hh_l0.grad.numpy().copy()
    net.zero_grad()
    out, _ = net(x)
    out.mul_(2)
    out.sum().backward()
    np.testing.assert_allclose(net.weight_hh_l0.grad.numpy(), want, rtol=1e-12)


def test_half_precision_and_other_dtypes_take_single_steps():
    net = nn.LSTM(3, 4)
    want = net(T.ones(5, 2, 3))[0].detach().numpy()
    found = net.bfloat16()(T.ones(5, 2, 3, dtype=T.bfloat16))[0]
    assert found.dtype is T.bfloat16
    np.testing.assert_allclose(found.detach().float().numpy(), want, atol=2e-2)
    with pytest.raises(RuntimeError, match="mat1 and mat2 must have the same dtype"):
        nn.GRU(3, 4)(T.ones(5, 2, 3), T.ones(1, 2, 4).double())


def test_gradients_of_single_sequences():
    """A gradient for each sequence, by vmap, is that of the sequence alone."""
    net = nn.LSTM(3, 4).double()
    weights = dict(net.named_parameters())
    xs = drawn(5, 6, 3)

    def loss(w, x):
        return T.func.functional_call(net, w, (x,))[0].pow(2).sum()
    each = T.func.vmap(T.func.grad(loss), in_dims=(None, 1))(weights, xs)
    for k in range(6):
        alone = T.autograd.grad(net(xs[:, k])[0].pow(2).sum(), list(weights.values()))
        for a, b in zip(each.values(), alone, strict=True):
            np.testing.assert_allclose(a[k].detach().numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_memory_goes_by_reference_counting():
    gc.disable()
    try:
        net = nn.LSTM(3, 4, bidirectional=True)
        out, (h, c) = net(T.ones(5, 2, 3))
        seen = [weakref.ref(out.grad_fn), weakref.ref(h.grad_fn), weakref.ref(c.grad_fn)]
        out.sum().backward()
        del out, h, c
        assert all(r() is None for r in seen)
    finally:
        gc.enable()
