"""Chains: attention a few rows at a time gives the bits of kernels that run one after the other."""
from __future__ import annotations

import math

import numpy as np
import pytest

import rushlight as T
from rushlight import nn
from rushlight.compiler import chains, plan
from rushlight.compiler.group import group
from rushlight.compiler.rematerialise import rematerialise
from rushlight.cpu import jit
from rushlight.runtime import memory

from tests.compiler.graphs import simplified

F = nn.functional
INF = math.inf
SHAPES = [((3, 4, 64, 32), 64), ((2, 5, 100, 24), 100), ((2, 4, 64, 32), 96), ((2, 4, 130, 16), 70), ((1, 9, 600, 32), 600),
          ((8, 300, 64), 300), ((2, 2, 96, 16), 64), ((16, 170, 16), 190)]


def scores_of(q, k):
    return q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1]))


def triangle(q, k):
    return T.ones(q.shape[-2], k.shape[-2]).tril()


def hidden_by_sum(q, k):
    return T.zeros(q.shape[-2], k.shape[-2]).masked_fill(triangle(q, k) == 0, -INF)


WAYS = {
    "by hand": lambda q, k, v: F.softmax(scores_of(q, k).masked_fill(triangle(q, k) == 0, -INF), -1) @ v,
    "a mask of -1e9": lambda q, k, v: F.softmax(scores_of(q, k).masked_fill(triangle(q, k) == 0, -1e9), -1) @ v,
    "an added mask": lambda q, k, v: F.softmax(scores_of(q, k) + hidden_by_sum(q, k), -1) @ v,
    "where": lambda q, k, v: F.softmax(T.where(triangle(q, k) != 0, scores_of(q, k), -INF), -1) @ v,
    "dropout": lambda q, k, v: F.dropout(F.softmax(scores_of(q, k).masked_fill(triangle(q, k) == 0, -INF), -1), 0.2) @ v,
    "division": lambda q, k, v: F.softmax(q @ k.mT / 5, -1) @ v,
    "transposed": lambda q, k, v: (v.mT @ F.softmax(scores_of(q, k), -1).mT).mT,
    "causal": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "plain": F.scaled_dot_product_attention,
    "fully hidden rows": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, triangle(q, k).tril(-40) != 0),
    "padding": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, (T.arange(k.shape[-2]) < 40).expand(1, 1, -1)),
    "sigmoid": lambda q, k, v: T.sigmoid(T.softmax(scores_of(q, k), -1) - 0.5) @ v,
}


def data(shape, length, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    *batch, rows, width = shape
    sizes = [(*batch, rows, width), (*batch, length, width), (*batch, length, width), (*batch, rows, width)]
    return [rng.standard_normal(s).astype(dtype) for s in sizes]


def trained(way, arrays, loss):
    """Output and gradients; with `loss` the gradient depends on the output."""
    T.manual_seed(3)
    *inputs, g = map(T.from_numpy, arrays)
    for x in inputs:
        x.requires_grad_()
    out = way(*inputs)
    if loss:
        (out.sin() * g).sum().backward()
    else:
        out.backward(g)
    return [x.detach().numpy() for x in (out, *(x.grad for x in inputs))]


@pytest.fixture
def alone(monkeypatch):
    """A function that runs something without chains."""
    def run(program, *args):
        with monkeypatch.context() as patch:
            patch.setattr(chains, "is_producer", lambda g: False)
            plan.forget()
            result = program(*args)
        plan.forget()
        return result
    return run


def assert_same_bits(one, other):
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(np.isnan(a), np.isnan(b))
        assert a[~np.isnan(a)].tobytes() == b[~np.isnan(b)].tobytes()


@pytest.mark.parametrize("loss", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_chains_change_no_bit(way, loss, alone):
    for shape, length in SHAPES:
        arrays = data(shape, length)
        assert_same_bits(trained(WAYS[way], arrays, loss), alone(trained, WAYS[way], arrays, loss))


def test_double_precision(alone):
    arrays = data((2, 4, 64, 24), 64, dtype=np.float64)
    program = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert_same_bits(trained(program, arrays, True), alone(trained, program, arrays, True))


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("way", ["by hand", "an added mask", "causal", "padding"])
def test_what_is_hidden_but_not_finite_counts_as_ever(way, bad, which, alone):
    """0 * inf is nan, so columns may be left out only where numbers are finite."""
    for row in (0, 30, 63):
        arrays = data((2, 4, 64, 32), 64)
        arrays[which][1, 2, row, 5] = bad
        with np.errstate(all="ignore"):
            assert_same_bits(trained(WAYS[way], arrays, True), alone(trained, WAYS[way], arrays, True))


def test_number_of_threads_changes_no_bit():
    before = T.get_num_threads()
    arrays = data((3, 4, 100, 32), 100)
    try:
        results = []
        for threads in (1, 2, 3):
            T.set_num_threads(threads)
            results.append(trained(WAYS["by hand"], arrays, True))
    finally:
        T.set_num_threads(before)
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


def kinds(program):
    return [g.kind for g in grouped(program)]


def grouped(program):
    return chains.chain(rematerialise(group(simplified(program)))).groups


def realised(*shapes):
    made = [T.ones(s) for s in shapes]
    T.stack([x.sum() for x in made]).tolist()
    return made


def test_attention_is_one_kernel():
    q, k, v = realised(*[(2, 4, 192, 32)] * 3)
    assert kinds(lambda: [F.scaled_dot_product_attention(q, k, v)]) == ["chain"]


def test_draws_that_the_gradient_needs_are_made_before():
    q, k, v, g = realised(*[(2, 4, 192, 32)] * 4)
    for x in (q, k, v):
        x.requires_grad_()

    def program():
        out = WAYS["dropout"](q, k, v)
        out.backward(g)
        return [out, *(x.grad for x in (q, k, v))]
    found = [g for g in grouped(program) if g.kind == "chain"]
    assert len(found) == 2
    assert not any(v.prim.name.startswith("bitwise") for c in found for v in c.vertices)


def test_weights_that_are_looked_at_are_kept():
    q, k, v = realised(*[(2, 4, 64, 32)] * 3)
    weights = F.softmax(scores_of(q, k), -1)
    out = weights @ v
    expected = np.exp(scores_of(q, k).numpy())
    np.testing.assert_allclose(weights.numpy(), expected / expected.sum(-1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(out.numpy(), 1.0, rtol=1e-5)


def test_small_products_stay_alone():
    q, k, v = realised(*[(2, 4, 96, 8)] * 3)
    assert "chain" not in kinds(lambda: [F.scaled_dot_product_attention(q, k, v)])


def test_new_length_calls_no_llvm():
    def step(length):
        return trained(WAYS["causal"], data((2, 4, length, 32), length), True)
    for length in (64, 96, 250):        # the sums over the longest are cut in two
        step(length)
    before = jit.compilations, jit.loads
    for length in (65, 80, 127, 200):
        step(length)
    assert (jit.compilations, jit.loads) == before


def test_scores_are_never_all_in_memory():
    q, k, v = realised(*[(1, 8, 1024, 16)] * 3)
    F.scaled_dot_product_attention(q, k, v).sum().item()
    memory.reset_peak()
    before = memory.statistics().peak
    F.scaled_dot_product_attention(q, k, v).sum().item()
    assert memory.statistics().peak - before < 8 << 20          # the scores alone were 32 MiB
