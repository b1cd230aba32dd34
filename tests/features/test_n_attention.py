"""N: attention, masks, padding, sequences as numbers."""
import math

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


def attention(query, key, value, mask=None, dropout=None):
    """Scaled dot-product attention as the note writes it."""
    d_k = query.size(-1)
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(d_k)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    p_attn = F.softmax(scores, dim=-1)
    if dropout is not None:
        p_attn = dropout(p_attn)
    return torch.matmul(p_attn, value), p_attn


def words():
    return torch.rand(30, 8, 10, 64), torch.rand(30, 8, 11, 64), torch.rand(30, 8, 11, 64)


def test_n01_scaled_dot_product_attention():
    q, k, v = words()
    output, p_attn = attention(q, k, v)
    assert p_attn.shape == (30, 8, 10, 11) and output.shape == (30, 8, 10, 64)
    assert torch.allclose(output, F.scaled_dot_product_attention(q, k, v), atol=1e-6)


def test_n02_weights_are_returned_too():
    _, p_attn = attention(*words())
    assert torch.allclose(p_attn.sum(-1), torch.ones(30, 8, 10), atol=1e-5)
    heads = nn.MultiheadAttention(16, 4, batch_first=True)
    x = torch.rand(2, 5, 16)
    assert heads(x, x, x, need_weights=True)[1].shape == (2, 5, 5) and heads(x, x, x, need_weights=False)[1] is None
    assert heads(x, x, x, average_attn_weights=False)[1].shape == (2, 4, 5, 5)


def test_n03_masked_scores():
    q, k, v = words()
    mask = torch.rand(10, 11) > 0.5
    mask[:, 0] = True
    output, p_attn = attention(q, k, v, mask)
    assert p_attn.masked_select(~mask).eq(0).all()
    assert torch.allclose(output, F.scaled_dot_product_attention(q, k, v, attn_mask=mask), atol=1e-6)


def test_n04_dropout_on_the_weights():
    q, k, v = words()
    _, p_attn = attention(q, k, v, dropout=nn.Dropout(0.5))
    assert 0.4 < (p_attn == 0).float().mean() < 0.6
    assert torch.equal(attention(q, k, v, dropout=nn.Dropout(0.5).eval())[0], attention(q, k, v)[0])


def test_n05_axes_of_multi_head_attention():
    batch, heads, target, source, numbers = 30, 8, 10, 11, 64
    layer = nn.MultiheadAttention(heads * numbers, heads, batch_first=True)
    y, weights = layer(torch.rand(batch, target, heads * numbers), *[torch.rand(batch, source, heads * numbers)] * 2)
    assert y.shape == (batch, target, heads * numbers) and weights.shape == (batch, target, source)


def padding_mask(lengths, longest):
    return torch.arange(longest) < torch.as_tensor(lengths)[:, None]


def test_n06_padding_mask():
    assert padding_mask([3, 5], 5).tolist() == [[True, True, True, False, False], [True] * 5]


def sequence_mask(n):
    return torch.from_numpy(np.triu(np.ones((1, n, n)), k=1).astype("uint8")) == 0


def test_n07_sequence_mask():
    mask = sequence_mask(4)
    assert mask.dtype == torch.bool and torch.equal(mask[0], torch.ones(4, 4).tril().bool())
    hidden = nn.Transformer.generate_square_subsequent_mask(4)
    assert torch.equal(hidden == 0, mask[0]) and hidden[0, 1] == -torch.inf


def test_n08_both_masks():
    both = padding_mask([2, 4], 4).unsqueeze(-2) & sequence_mask(4)
    assert both.shape == (2, 4, 4) and both[0, 3].tolist() == [True, True, False, False]
    assert both[1].tolist() == sequence_mask(4)[0].tolist()
    layer, x = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True).eval(), torch.rand(2, 4, 8)
    y = layer(x, x, tgt_mask=~sequence_mask(4)[0], tgt_key_padding_mask=~padding_mask([2, 4], 4))
    other = x.clone()
    other[1, 3] += 1
    z = layer(other, x, tgt_mask=~sequence_mask(4)[0], tgt_key_padding_mask=~padding_mask([2, 4], 4))
    assert torch.allclose(y[1, :3], z[1, :3], atol=1e-6) and not torch.allclose(y[1, 3], z[1, 3])


def test_n09_other_kinds_of_masks():
    tokens, mask_token = torch.arange(1, 9).reshape(2, 4), 0
    hidden = torch.tensor([[False, True, False, False], [True, False, False, True]])
    assert tokens.masked_fill(hidden, mask_token).tolist() == [[1, 0, 3, 4], [0, 6, 7, 0]]
    order = torch.tensor([2, 0, 3, 1])
    rank = torch.argsort(order)
    permuted = rank[:, None] > rank
    assert permuted.sum() == 6 and not permuted.diagonal().any() and permuted[1].tolist() == [True, False, True, True]


def padded(sequence, target_length):
    """A one-hot sequence of (length, 20), zeros below."""
    n = target_length - len(sequence)
    if n < 0:
        raise ValueError(f"Cannot set a negative amount of padding. Sequence length was {len(sequence)}, target_length was {target_length}.")
    return np.pad(sequence, [[0, n], [0, 0]], mode="constant")


def test_n10_np_pad():
    sequence = torch.rand(4, 20)
    assert padded(sequence.numpy(), 7).shape == (7, 20)
    assert np.array_equal(padded(sequence.numpy(), 7), F.pad(sequence, (0, 0, 0, 3)).numpy())


def test_n11_padded_minibatch():
    sequences = [torch.rand(n, 20) for n in (3, 5, 2)]
    batch = nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    assert batch.shape == (3, 5, 20) and batch[0, 3:].eq(0).all() and torch.equal(batch[1], sequences[1])


def test_n12_negative_padding_refused():
    with pytest.raises(ValueError, match="Cannot set a negative amount of padding. Sequence length was 8, target_length was 7."):
        padded(np.zeros((8, 20)), 7)


ALPHABET = "ACDEFGHIKLMNPQRSTVWY"


def test_n13_one_hot_of_a_protein():
    protein = "MKTAYW"
    letters = torch.tensor([ALPHABET.index(a) for a in protein])
    hot = torch.zeros(len(protein), 20, dtype=torch.float64).scatter_(1, letters.view(-1, 1), 1)
    assert len(ALPHABET) == 20 and hot.dtype == torch.float64
    assert torch.equal(hot, F.one_hot(letters, 20).double())
    assert "".join(ALPHABET[i] for i in hot.argmax(1)) == protein


def test_n14_samples_of_different_length():
    net, samples = nn.Linear(3, 1), [torch.rand(depth, 3) for depth in (2, 7, 4)]
    for sample in samples:
        net(sample).mean().backward()
    one_by_one = net.weight.grad.clone()
    net.zero_grad()
    sum(net(s).mean() for s in samples).backward()
    assert torch.allclose(one_by_one, net.weight.grad, atol=1e-6)


def test_n15_encoder_decoder():
    net = nn.Transformer(16, 2, 1, 1, 32, dropout=0.0, batch_first=True)
    source, target = torch.rand(2, 7, 16), torch.rand(2, 4, 16)
    y = net(source, target)
    assert y.shape == (2, 4, 16)
    assert torch.allclose(y, net.decoder(target, net.encoder(source)), atol=1e-6)
    assert not torch.allclose(y, net(source + 1 * torch.rand_like(source), target))


def test_n16_masks_in_rnns():
    rnn, batch, lengths = nn.GRU(3, 4, batch_first=True), torch.rand(2, 5, 3), torch.tensor([5, 2])
    packed = nn.utils.rnn.pack_padded_sequence(batch, lengths, batch_first=True)
    output, given = nn.utils.rnn.pad_packed_sequence(rnn(packed)[0], batch_first=True)
    assert torch.equal(given, lengths) and output[1, 2:].eq(0).all()
    assert torch.allclose(output[1, :2], rnn(batch[1:, :2])[0][0], atol=1e-6)
