"""Attention against PyTorch's: masks of all kinds, dropout, grouped heads, lengths; values and gradients."""
from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight                                                                     # noqa: E402

MASKS = {
    "none": lambda T, l, s: None,
    "causal": lambda T, l, s: T.ones(l, s, dtype=T.bool).tril(),
    "padding": lambda T, l, s: (T.arange(s) < s - 21).reshape(1, 1, 1, s),
    "padding of each sample": lambda T, l, s: (T.arange(s) < T.tensor([[[[s - 40]]], [[[s - 3]]]])),
    "band": lambda T, l, s: T.ones(l, s, dtype=T.bool).tril(3).triu(-20),
    "rows that see nothing": lambda T, l, s: T.ones(l, s, dtype=T.bool).tril(-30),
    "added": lambda T, l, s: T.sin(T.arange(l * s, dtype=T.float32)).reshape(l, s),
    "added, -inf": lambda T, l, s: T.zeros(l, s).masked_fill(T.ones(l, s, dtype=T.bool).triu(1), -math.inf),
    "added, rows that see nothing": lambda T, l, s: T.zeros(l, s).masked_fill(T.ones(l, s, dtype=T.bool).triu(-30), -math.inf),
    "added to each head": lambda T, l, s: T.cos(T.arange(4 * l * s, dtype=T.float32)).reshape(1, 4, l, s),
}
LENGTHS = [(64, 64), (100, 100), (33, 70), (130, 48), (7, 9), (300, 300), (1, 90)]


def compare(program, *shapes, tolerance=2e-5):
    """Values and gradients of a program of (library, tensors)."""
    arrays = [np.random.default_rng(n).standard_normal(s).astype(np.float32) for n, s in enumerate(shapes)]
    found = []
    for T in (torch, rushlight):
        T.manual_seed(5)
        inputs = [T.from_numpy(a.copy()).requires_grad_() for a in arrays]
        out = program(T, *inputs)
        (out * T.linspace(-1, 1, out.numel()).reshape(out.shape)).sum().backward()
        found.append([t.detach().numpy() for t in (out, *(x.grad for x in inputs))])
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_array_equal(np.isnan(theirs), np.isnan(ours))
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * max(1.0, np.nanmax(np.abs(theirs))))


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("mask", MASKS)
def test_masks(mask, lengths):
    l, s = lengths
    compare(lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v, MASKS[mask](T, l, s)),
            (2, 4, l, 24), (2, 4, s, 24), (2, 4, s, 24))


@pytest.mark.parametrize("lengths", LENGTHS)
def test_causal(lengths):
    l, s = lengths
    compare(lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True),
            (2, 4, l, 24), (2, 4, s, 24), (2, 4, s, 32))


@pytest.mark.parametrize("causal", [False, True])
def test_grouped_heads(causal):
    compare(lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True),
            (2, 8, 64, 16), (2, 2, 64, 16), (2, 2, 64, 16))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("masked", [False, True])
def test_dropout_by_hand(p, masked):
    def program(T, q, k, v):
        scores = q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1]))
        if masked:
            scores = scores.masked_fill(T.ones(64, 64).tril() == 0, -math.inf)
        return T.nn.functional.dropout(T.softmax(scores, -1), p) @ v
    compare(program, *[(2, 5, 64, 16)] * 3)


def test_dropout_of_a_function_draws_as_pytorch_does():
    mask = lambda T: T.ones(64, 64, dtype=T.bool).tril()
    compare(lambda T, q, k, v: T.nn.functional.scaled_dot_product_attention(q, k, v, mask(T), 0.3), *[(2, 5, 64, 16)] * 3)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_multi_head_attention(need_weights, masked):
    def program(T, x):
        layer = T.nn.MultiheadAttention(48, 4, dropout=0.2, batch_first=True)
        mask = T.nn.Transformer.generate_square_subsequent_mask(64) if masked else None
        return layer(x, x, x, need_weights=need_weights, attn_mask=mask)[0]
    compare(program, (3, 64, 48))


def test_a_transformer_with_padding():
    def program(T, x):
        layer = T.nn.TransformerEncoderLayer(48, 4, 64, batch_first=True, dropout=0.1)
        return layer(x, src_key_padding_mask=T.arange(70).expand(3, 70) >= 50)
    compare(program, (3, 70, 48), tolerance=1e-4)


def test_second_derivatives():
    def program(T, q, k, v):
        out = T.softmax(q @ k.mT, -1) @ v
        g, = T.autograd.grad(out.square().sum(), q, create_graph=True)
        return g
    compare(program, *[(2, 4, 40, 8)] * 3, tolerance=1e-4)
