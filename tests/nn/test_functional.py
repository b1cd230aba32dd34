"""nn.functional and layers by their formulas."""
from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.trace import record
from rushlight.trace.flush import flush


def tensor(*shape, seed=0, low=-2.0, high=2.0, grad=False):
    a = np.random.default_rng(seed).uniform(low, high, shape)
    return torch.tensor(a).requires_grad_(grad)


def close(a, b, tolerance=1e-9):
    np.testing.assert_allclose(np.asarray(a.detach().numpy()), np.asarray(b), rtol=tolerance, atol=tolerance)


def slope_of(function, x, h=1e-6):
    """Central differences of the sum of `function`."""
    a = x.detach().numpy().copy()
    out = np.zeros_like(a)
    for i in np.ndindex(a.shape):
        up, down = a.copy(), a.copy()
        up[i] += h
        down[i] -= h
        out[i] = (function(torch.tensor(up)).sum().item() - function(torch.tensor(down)).sum().item()) / (2 * h)
    return out


SMOOTH = {name: getattr(F, name) for name in
          "elu celu selu silu mish gelu softplus logsigmoid tanhshrink softsign hardswish leaky_relu".split()}
SMOOTH["gelu tanh"] = lambda x: F.gelu(x, approximate="tanh")
SMOOTH["softmax"] = lambda x: F.softmax(x, -1) * torch.arange(x.shape[-1])
SMOOTH["log_softmax"] = lambda x: F.log_softmax(x, 0) * torch.arange(x.shape[-1])
SMOOTH["layer_norm"] = lambda x: F.layer_norm(x, (4,)) ** 3
SMOOTH["batch_norm"] = lambda x: F.batch_norm(x, None, None, training=True) ** 3
SMOOTH["normalize"] = lambda x: F.normalize(x) ** 3


@pytest.mark.parametrize("name", SMOOTH)
def test_slopes(name):
    function, x = SMOOTH[name], tensor(3, 4, grad=True)
    function(x).sum().backward()
    close(x.grad, slope_of(function, x), 1e-6)


@pytest.mark.parametrize("name", [n for n in SMOOTH if n != "leaky_relu"])
def test_second_slopes(name):
    function = SMOOTH[name]

    def slope(x):
        x = x if x.requires_grad else x.requires_grad_()
        return torch.autograd.grad(function(x).sum(), x, create_graph=True)[0] ** 2
    x = tensor(3, 4, seed=1, grad=True)
    slope(x).sum().backward()
    close(x.grad, slope_of(slope, x), 2e-5)


def test_values():
    x = torch.tensor([-1.0, 0.0, 2.0])
    e = math.e
    close(F.elu(x), [1 / e - 1, 0, 2], 1e-6)
    close(F.softplus(x), [math.log(1 + math.exp(v)) for v in (-1, 0, 2)], 1e-6)
    close(F.gelu(x), [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in (-1, 0, 2)], 1e-6)
    close(F.hardswish(x), [v * min(max(v + 3, 0), 6) / 6 for v in (-1, 0, 2)], 1e-6)
    close(F.softmax(torch.tensor([1000.0, 1000.0]), 0), [0.5, 0.5])
    close(F.log_softmax(torch.tensor([0.0, 1000.0]), 0), [-1000.0, 0.0])
    close(F.logsigmoid(torch.tensor([-1000.0, 1000.0])), [-1000.0, 0.0])


def test_large_inputs_have_finite_slopes():
    for name in ("elu", "celu", "selu", "softplus", "silu", "mish", "gelu", "logsigmoid"):
        x = torch.tensor([-1e4, 1e4], requires_grad=True)
        getattr(F, name)(x).sum().backward()
        assert torch.isfinite(x.grad).all(), name


# -- losses -----------------------------------------------------------------------------------------------
def test_cross_entropy():
    x, t = tensor(4, 3), torch.tensor([0, 2, 1, 1])
    p = np.exp(x.numpy()) / np.exp(x.numpy()).sum(1, keepdims=True)
    each = -np.log(p[np.arange(4), t.numpy()])
    close(F.cross_entropy(x, t, reduction="none"), each)
    close(F.cross_entropy(x, t), each.mean())
    w = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    scale = w.numpy()[t.numpy()]
    close(F.cross_entropy(x, t, w), (each * scale).sum() / scale.sum())
    close(F.cross_entropy(x, t, ignore_index=1), each[:2].mean())
    assert math.isnan(F.cross_entropy(x, torch.full((4,), -100)).item())
    close(F.cross_entropy(torch.tensor([[1.0, 2, 3]]), torch.tensor([0]), label_smoothing=0.1), 2.3076, 1e-4)
    assert F.cross_entropy(torch.ones(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64), reduction="none").shape == (2, 4, 4)


def test_target_out_of_range_names_it():
    loss = F.cross_entropy(torch.ones(2, 2), torch.tensor([0, 2]))
    with pytest.raises(IndexError, match="Target 2 is out of bounds"):
        loss.item()


def test_broadcast_targets_warn():
    with pytest.warns(UserWarning, match=r"Using a target size \(torch.Size\(\[3\]\)\)"):
        F.mse_loss(torch.ones(2, 3), torch.ones(3))


def test_legacy_reduction_arguments():
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        assert nn.MSELoss(size_average=False).reduction == "sum"


# -- normalisation ----------------------------------------------------------------------------------------
def test_batch_norm_statistics():
    bn = nn.BatchNorm1d(2)
    y = bn(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    close(y, [[-1, -1], [1, 1]], 1e-4)
    close(bn.running_mean, [0.2, 0.4], 1e-6)
    close(bn.running_var, [1.1, 1.7], 1e-6)
    assert bn.num_batches_tracked.item() == 1
    bn.eval()
    close(bn(torch.tensor([[0.2, 0.4]])), [[0, 0]], 1e-6)
    assert bn.num_batches_tracked.item() == 1


def test_batch_norm_refuses_single_values():
    with pytest.raises(ValueError, match=r"Expected more than 1 value per channel when training, got input size "
                                         r"torch.Size\(\[1, 3\]\)"):
        nn.BatchNorm1d(3)(torch.ones(1, 3))


def test_old_checkpoints_without_a_counter():
    bn = nn.BatchNorm1d(2)
    state = bn.state_dict()
    del state["num_batches_tracked"], state._metadata
    bn.load_state_dict(state)


# -- convolution arithmetic ---------------------------------------------------------------------------------
@pytest.mark.parametrize("n, f, p, s, d", [(7, 3, 0, 1, 1), (7, 3, 1, 2, 1), (9, 3, 2, 3, 2), (8, 5, 2, 1, 1)])
def test_convolution_sizes(n, f, p, s, d):
    y = F.conv2d(torch.ones(1, 1, n, n), torch.ones(1, 1, f, f), None, s, p, d)
    assert y.shape[2] == (n + 2 * p - (d * (f - 1) + 1)) // s + 1


def test_translation_moves_the_result():
    conv = nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular").double()
    x = tensor(1, 1, 6, 6)
    close(conv(x.roll((1, 2), (2, 3))), conv(x).roll((1, 2), (2, 3)).detach().numpy(), 1e-12)


def test_transposed_convolution_in_three_steps():
    """Zeros between the entries, k - p - 1 round them, a flipped kernel, stride 1."""
    x, w, s, p, k = tensor(1, 2, 4, 4), tensor(2, 3, 3, 3, seed=1), 2, 1, 3
    spread = torch.zeros(1, 2, 7, 7, dtype=torch.float64)
    spread[:, :, ::s, ::s] = x
    y = F.conv2d(F.pad(spread, (k - p - 1,) * 4), w.flip(2, 3).transpose(0, 1))
    close(F.conv_transpose2d(x, w, None, s, p), y.numpy(), 1e-12)


def test_unfold_is_the_matrix_of_a_convolution():
    x, w = tensor(2, 3, 5, 6), tensor(4, 3, 2, 3, seed=1)
    product = w.reshape(4, -1) @ F.unfold(x, (2, 3))
    close(product.reshape(2, 4, 4, 4), F.conv2d(x, w).numpy(), 1e-12)
    close(F.fold(F.unfold(torch.ones(1, 1, 3, 3), 2), (3, 3), 2), [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]])


# -- dropout, embeddings ----------------------------------------------------------------------------------
def test_dropout():
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    y = F.dropout(x, 0.5)
    assert set(y.tolist()) == {0.0, 2.0} and 400 < (y == 0).sum().item() < 600
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert F.dropout(x, 0.5, training=False) is x
    z = torch.ones(4)
    assert F.dropout(z, 1.0, inplace=True) is z and z.sum().item() == 0
    channels = F.dropout2d(torch.ones(2, 50, 3, 3))
    assert set(channels.sum((2, 3)).flatten().tolist()) == {0.0, 18.0}


def test_embedding():
    table = nn.Embedding(5, 3, padding_idx=0)
    assert table.weight[0].abs().sum().item() == 0
    table(torch.tensor([[0, 1], [1, 4]])).sum().backward()
    assert table.weight.grad[:, 0].tolist() == [0, 2, 0, 0, 1]
    fixed = nn.Embedding.from_pretrained(torch.ones(2, 3))
    assert not fixed.weight.requires_grad
    short = nn.Embedding(3, 2, max_norm=1.0)
    short.weight.data.fill_(5.0)
    assert short(torch.tensor([1])).norm().item() == pytest.approx(1, abs=1e-4)
    assert short.weight[0, 0].item() == 5
    with pytest.raises(IndexError, match="index out of range in self"):
        table(torch.tensor([7])).sum().item()


def test_one_hot_and_shuffles():
    assert F.one_hot(torch.tensor([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    x = torch.arange(16.0).reshape(1, 4, 2, 2)
    assert torch.equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), x)
    assert F.channel_shuffle(x, 2)[0, :, 0, 0].tolist() == [0, 8, 4, 12]


# -- pooling, resizing, padding ---------------------------------------------------------------------------
def test_pooling():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert F.max_pool2d(x, 2).flatten().tolist() == [5, 7, 13, 15]
    values, places = F.max_pool2d(x, 2, return_indices=True)
    assert places.flatten().tolist() == [5, 7, 13, 15]
    assert F.max_unpool2d(values, places, 2).sum().item() == values.sum().item()
    assert F.avg_pool2d(x, 2).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)[0, 0, 0, 0].item() == 2.5
    assert F.adaptive_avg_pool2d(x, 1).item() == 7.5
    assert F.adaptive_avg_pool2d(torch.ones(1, 1, 2, 2), 7).shape == (1, 1, 7, 7)


def test_interpolation():
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    y = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    close(y[0, 0, 0], [0, 1 / 3, 2 / 3, 1], 1e-6)
    assert F.interpolate(x, scale_factor=2)[0, 0, 0].tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="either size or scale_factor should be defined"):
        F.interpolate(x)


def test_padding():
    x = torch.arange(3.0).reshape(1, 1, 3)
    assert F.pad(x, (1, 2)).flatten().tolist() == [0, 0, 1, 2, 0, 0]
    assert F.pad(x, (2, 1), "reflect").flatten().tolist() == [2, 1, 0, 1, 2, 1]
    assert F.pad(x, (2, 1), "replicate").flatten().tolist() == [0, 0, 0, 1, 2, 2]
    assert F.pad(x, (2, 1), "circular").flatten().tolist() == [1, 2, 0, 1, 2, 0]
    assert F.pad(x, (-1, 0)).flatten().tolist() == [1, 2]


# -- attention --------------------------------------------------------------------------------------------
def test_attention_weights():
    q, k, v = tensor(2, 8, 10, 4), tensor(2, 8, 11, 4, seed=1), tensor(2, 8, 11, 4, seed=2)
    scores = q.numpy() @ np.swapaxes(k.numpy(), -1, -2) / 2
    p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    close(F.scaled_dot_product_attention(q, k, v), p @ v.numpy())


def test_fully_hidden_rows_are_zero():
    q = torch.ones(1, 2, 3)
    y = F.scaled_dot_product_attention(q, q, q, torch.tensor([[True, True], [False, False]]))
    assert y[0, 1].tolist() == [0, 0, 0]


def test_later_positions_do_not_matter_under_a_causal_mask():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True).eval()
    x = torch.randn(1, 5, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    y = layer(x, src_mask=mask)
    x2 = x.clone()
    x2[:, 3:] = 0
    assert torch.allclose(layer(x2, src_mask=mask)[:, :3], y[:, :3], atol=1e-6)


# -- recurrent layers -------------------------------------------------------------------------------------
def test_lstm_is_its_cell_in_a_loop():
    torch.manual_seed(0)
    lstm, cell = nn.LSTM(3, 4), nn.LSTMCell(3, 4)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in lstm.state_dict().items()})
    x = torch.randn(5, 2, 3)
    out, (h, c) = lstm(x)
    state = None
    for t in range(5):
        state = cell(x[t], state)
        assert torch.allclose(out[t], state[0], atol=1e-6)
    assert torch.allclose(h[0], state[0], atol=1e-6) and torch.allclose(c[0], state[1], atol=1e-6)


def test_packed_sequences_stop_where_they_end():
    rnn = nn.GRU(2, 3, bidirectional=True)
    rows = [torch.randn(n, 2) for n in (4, 2, 3)]
    packed = nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
    out, sizes = nn.utils.rnn.pad_packed_sequence(rnn(packed)[0])
    assert sizes.tolist() == [4, 2, 3]
    for i, row in enumerate(rows):
        alone = rnn(row.unsqueeze(1))[0][:, 0]
        assert torch.allclose(out[:len(row), i], alone, atol=1e-6)
    again = nn.utils.rnn.unpack_sequence(packed)
    assert all(torch.equal(a, b) for a, b in zip(again, rows))


# -- utilities --------------------------------------------------------------------------------------------
def test_clipping():
    p, q = (nn.Parameter(torch.zeros(2)) for _ in range(2))
    p.grad, q.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert nn.utils.clip_grad_norm_([p, q], 1.0).item() == 5
    close(p.grad, [0.6, 0], 1e-5)
    nn.utils.clip_grad_value_(q, 0.5)
    close(q.grad, [0, 0.5], 1e-5)


def test_parameters_as_a_vector():
    net = nn.Linear(2, 3)
    flat = nn.utils.parameters_to_vector(net.parameters())
    assert flat.shape == (9,)
    nn.utils.vector_to_parameters(torch.arange(9.0), net.parameters())
    assert net.bias.tolist() == [6, 7, 8]


def test_initialisation_bounds():
    torch.manual_seed(0)
    assert nn.Linear(100, 50).weight.abs().max().item() <= 0.1
    assert nn.Conv2d(4, 8, 5).bias.abs().max().item() <= 0.1
    w = nn.init.orthogonal_(torch.empty(4, 6))
    close(w @ w.t(), np.eye(4), 1e-5)
    with pytest.warns(FutureWarning, match="deprecated in favor of `nn.init.normal_`"):
        nn.init.normal(torch.empty(2))


def all_alignments(log_probs, target):
    """The probability of a target, path by path: repetitions merge, then blanks (0) go."""
    steps, classes = log_probs.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        merged = [c for c, _ in itertools.groupby(path) if c]
        if merged == target:
            total = total + torch.stack([log_probs[t, c] for t, c in enumerate(path)]).sum().exp()
    return total


@pytest.mark.parametrize("target", [[], [1], [1, 1], [1, 2], [2, 1, 2]])
def test_ctc_loss_adds_up_all_alignments(target):
    x = tensor(5, 2, 3, grad=True)
    padded = torch.tensor([target + [0] * (3 - len(target))] * 2)
    for frames in ([5, 5], [5, 3]):
        for _ in range(3):
            loss = F.ctc_loss(x.log_softmax(2), padded, torch.tensor(frames), torch.tensor([len(target)] * 2),
                              reduction="none", zero_infinity=True)
            grad, = torch.autograd.grad((loss * torch.tensor([1.0, 2.0])).sum(), x)
        expected = [all_alignments(x[:n, i].log_softmax(1), target) for i, n in enumerate(frames)]
        possible = [k for k, p in enumerate(expected) if isinstance(p, torch.Tensor)]
        slope, = torch.autograd.grad(sum(-(k + 1) * expected[k].log() for k in possible), x)
        close(loss, [-expected[k].log().item() if k in possible else 0.0 for k in range(2)])
        close(grad, slope.numpy())


REMEMBERED = 4          # nodes that a call may save because it was made before


def records(function):
    """How many nodes a call leaves pending."""
    flush()
    kept = function()
    found = len(record.pending.nodes)
    del kept
    return found


def test_ctc_records_as_much_for_long_sequences_as_for_short_ones():
    def step(frames, longest):
        x = torch.ones(frames, 2, 5, requires_grad=True)
        loss = F.ctc_loss(x.log_softmax(2), torch.ones(2, longest, dtype=torch.int64), [frames, 3], [longest, 1])
        return torch.autograd.grad(loss, x)
    assert records(lambda: step(31, 9)) <= records(lambda: step(5, 2)) + REMEMBERED < 100


def test_packing_and_padding_record_as_much_for_long_sequences_as_for_short_ones():
    def step(lengths):
        rows = [torch.ones(n, 3, requires_grad=True) for n in lengths]
        packed = nn.utils.rnn.pack_padded_sequence(nn.utils.rnn.pad_sequence(rows), lengths)
        padded, _ = nn.utils.rnn.pad_packed_sequence(packed)
        return torch.autograd.grad(padded.sum(), rows)
    assert records(lambda: step([40, 17])) <= records(lambda: step([3, 2])) + REMEMBERED < 60


def test_max_unpool_names_an_index_that_lies_outside():
    with pytest.raises(RuntimeError, match="Found an invalid max index: 50"):
        F.max_unpool2d(torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 50), 2).tolist()


@pytest.mark.parametrize("shape", [(7, 3), (150, 20), (401, 5)])
def test_distances_of_all_pairs(shape):
    a = np.random.default_rng(0).standard_normal(shape)
    a[3] = a[1]
    x = torch.tensor(a, dtype=torch.float32, requires_grad=True)
    i, j = np.triu_indices(shape[0], 1)
    a = x.detach().numpy().astype(np.float64)
    wanted = np.sqrt(((a[i] - a[j]) ** 2).sum(1))
    y = F.pdist(x)
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-6)
    y.sum().backward()
    slope = np.where(wanted == 0, 0, 1 / np.where(wanted == 0, 1, wanted))[:, None] * (a[i] - a[j])
    exact = np.zeros(shape)
    np.add.at(exact, i, slope)
    np.add.at(exact, j, -slope)
    np.testing.assert_allclose(x.grad.numpy(), exact, atol=1e-4)


@pytest.mark.parametrize("shape, points, mode", [((1, 2, 3, 4), (1, 2, 2, 2), "bilinear"), ((1, 1, 2, 3, 3), (1, 2, 1, 2, 3), "bilinear"),
                                                 ((1, 1, 3, 4), (1, 1, 2, 2), "bicubic")])
def test_grid_sample_has_second_gradients(shape, points, mode):
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=shape), requires_grad=True)
    grid = torch.tensor(rng.uniform(-.9, .9, points), requires_grad=True)
    sample = lambda x, grid: F.grid_sample(x, grid, mode=mode, align_corners=False)
    assert torch.autograd.gradcheck(sample, (x, grid)) and torch.autograd.gradgradcheck(sample, (x, grid))
