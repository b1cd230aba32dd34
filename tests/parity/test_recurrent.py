"""Recurrent layers against PyTorch: values, gradients and gradients of gradients, in both precisions."""
from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight                    # noqa: E402
from tests.parity import oracle     # noqa: E402

KINDS = ("LSTM", "GRU", "RNN", "ReLU")
OPTIONS = ({}, {"batch_first": True, "bias": False}, {"bidirectional": True, "num_layers": 2})
SIZES = ((7, 3, 5, 4), (2, 1, 3, 17), (4, 40, 6, 35))           # steps, batch, inputs, hidden


def draw(*shape):
    return np.random.default_rng(len(shape) + sum(shape)).uniform(-1, 1, shape)


def made(T, kind, sizes, options, dtype):
    more = {"nonlinearity": "relu"} if kind == "ReLU" else {}
    T.manual_seed(1)
    net = getattr(T.nn, "RNN" if kind == "ReLU" else kind)(*sizes[2:], **options, **more)
    return net.to(getattr(T, dtype))


def operands(T, kind, sizes, options, dtype):
    """The input and the first states, leaves all of them."""
    steps, batch, inputs, hidden = sizes
    rows = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    shapes = [(batch, steps, inputs) if options.get("batch_first") else (steps, batch, inputs)]
    shapes += [(rows, batch, hidden)] * (2 if kind == "LSTM" else 1)
    return [T.tensor(draw(*s), dtype=getattr(T, dtype)).requires_grad_() for s in shapes]


def outputs(net, x, states):
    out, last = net(x, tuple(states) if len(states) > 1 else states[0] if states else None)
    return [out, *(last if isinstance(last, tuple) else (last,))]


def weighted(T, outs):
    return sum((y * oracle.weights(T, y, i)).sum() for i, y in enumerate(outs))


def run(T, kind, sizes, options, dtype, given, used):
    net = made(T, kind, sizes, options, dtype)
    x, *states = operands(T, kind, sizes, options, dtype)
    outs = outputs(net, x, states if given else [])
    weighted(T, [y for k, y in enumerate(outs) if used in ("all", k)]).backward()
    leaves = [x, *(states if given else []), *net.parameters()]
    with T.no_grad():
        bare = outputs(net, x, states if given else [])
    return [oracle.to_array(y) for y in outs + bare], [oracle.to_array(t.grad) for t in leaves]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients(kind, options, dtype):
    for sizes, given in itertools.product(SIZES, (True, False)):
        found, wanted = (run(T, kind, sizes, options, dtype, given, "all") for T in (rushlight, torch))
        agree(found, wanted, 1e-10 if dtype == "float64" else 2e-4)


@pytest.mark.parametrize("used", [0, 1, 2])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradient_of_one_output_alone(used, reverse):
    options = {"bidirectional": reverse}
    found, wanted = (run(T, "LSTM", SIZES[0], options, "float64", True, used) for T in (rushlight, torch))
    agree(found, wanted, 1e-10)


def agree(found, wanted, tolerance):
    for a, b in zip(itertools.chain(*found), itertools.chain(*wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(initial=1) / 10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS[1:], ids=str)
def test_gradients_of_gradients(kind, options):
    results = []
    for T in (rushlight, torch):
        net = made(T, kind, SIZES[0], options, "float64")
        leaves = [*operands(T, kind, SIZES[0], options, "float64"), *net.parameters()]
        states = leaves[1:3] if kind == "LSTM" else leaves[1:2]
        loss = weighted(T, outputs(net, leaves[0], states))
        grads = T.autograd.grad(loss, leaves, create_graph=True)
        again = T.autograd.grad(weighted(T, [g * g for g in grads]), leaves)
        results.append([oracle.to_array(g) for g in (*grads, *again)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "ReLU"])
@pytest.mark.parametrize("given", [True, False])
def test_packed(kind, given):
    results, options = [], {"bidirectional": True, "num_layers": 2}
    for T in (rushlight, torch):
        net = made(T, kind, (6, 5, 3, 4), options, "float64")
        x, *states = operands(T, kind, (6, 5, 3, 4), options, "float64")
        packed = T.nn.utils.rnn.pack_padded_sequence(x, T.tensor([2, 6, 4, 1, 6]), enforce_sorted=False)
        out, last = net(packed, None if not given else tuple(states) if kind == "LSTM" else states[0])
        outs = [out.data, *(last if isinstance(last, tuple) else (last,))]
        weighted(T, outs).backward()
        leaves = [x, *(states if given else ()), *net.parameters()]
        results.append([oracle.to_array(t) for t in outs] + [oracle.to_array(t.grad) for t in leaves])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("lengths", [[5, 3, 1], [4, 4, 4], [3, 3, 0]])
def test_padding_and_packing(first, side, lengths):
    results = []
    for T in (rushlight, torch):
        rows = [T.tensor(draw(n, 2)).requires_grad_() for n in lengths]
        found, tools = [], T.nn.utils.rnn
        padded = tools.pad_sequence(rows, batch_first=first, padding_side=side, padding_value=-1.5)
        found.append(padded)
        if 0 not in lengths:
            packed = tools.pack_padded_sequence(padded, lengths, batch_first=first)
            again, sizes = tools.pad_packed_sequence(packed, batch_first=first, padding_value=2.5, total_length=6)
            found += [packed.data, again, sizes]
        grads = T.autograd.grad(sum((y ** 2).sum() for y in found), rows)
        results.append([(oracle.to_array(y), y.stride(), str(y.dtype)[-7:]) for y in (*found, *grads)])
    for (a, *how), (b, *expected) in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
        assert how == expected


def test_padding_takes_the_dtype_of_the_first():
    for T in (rushlight, torch):
        y = T.nn.utils.rnn.pad_sequence([T.ones(2, dtype=T.int64), T.full((3,), 2.7)])
        assert y.dtype is T.int64 and y.tolist() == [[1, 2], [1, 2], [0, 2]]
        with pytest.raises(RuntimeError, match="received an empty list of sequences"):
            T.nn.utils.rnn.pad_sequence([])


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_states_that_go_on(kind):
    """Truncated back-propagation: the last states, detached, are the next piece's first ones."""
    results = []
    for T in (rushlight, torch):
        net, states, seen = made(T, kind, (5, 3, 4, 6), {}, "float64"), None, []
        optimizer = T.optim.SGD(net.parameters(), lr=0.5)
        for k in range(3):
            out, states = net(T.tensor(draw(5, 3, 4) * (k + 1)), states)
            optimizer.zero_grad()
            out.pow(2).mean().backward()
            optimizer.step()
            states = tuple(s.detach() for s in states) if kind == "LSTM" else states.detach()
            seen.append(oracle.to_array(out))
        results.append(seen + [oracle.to_array(p) for p in net.parameters()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_no_steps():
    for T in (rushlight, torch):
        with pytest.raises(RuntimeError, match="Expected sequence length to be larger than 0 in RNN"):
            T.nn.GRU(3, 4)(T.zeros(0, 2, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_no_sequences(kind):
    found, wanted = (run(T, kind, (5, 0, 3, 4), {}, "float64", True, "all") for T in (rushlight, torch))
    agree(found, wanted, 0)


# -- layers and cells as functions of their weights ------------------------------------------------
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_functions_of_all_weights(kind, options):
    results, name = [], {"RNN": "rnn_tanh", "ReLU": "rnn_relu"}.get(kind, kind.lower())
    for T in (rushlight, torch):
        weights = list(made(T, kind, SIZES[0], options, "float64").parameters())
        x, *states = operands(T, kind, SIZES[0], options, "float64")
        hx = tuple(states) if kind == "LSTM" else states[0]
        rest = (options.get("bias", True), options.get("num_layers", 1), 0.0, True,
                options.get("bidirectional", False))
        outs = [*getattr(T, name)(x, hx, weights, *rest, options.get("batch_first", False))]
        first = x.transpose(0, 1) if options.get("batch_first") else x
        outs += getattr(T, name)(first[:3].flatten(0, 1), T.tensor([3, 3, 3]), hx, weights, *rest)
        weighted(T, outs).backward()
        results.append([oracle.to_array(t) for t in [*outs, x.grad, *(w.grad for w in weights)]])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_cells_as_functions(name, bias):
    results = []
    for T in (rushlight, torch):
        gates = {"lstm": 4, "gru": 3}.get(name, 1)
        shapes = [(2, 3), (2, 5), (gates * 5, 3), (gates * 5, 5), *[(gates * 5,)] * (2 * bias)]
        x, h, *weights = leaves = [T.tensor(draw(*s) / (k + 1)).requires_grad_() for k, s in enumerate(shapes)]
        y = getattr(T, name + "_cell")(x, (h, h * 2) if name == "lstm" else h, *weights)
        outs = list(y) if name == "lstm" else [y]
        weighted(T, outs).backward()
        results.append([oracle.to_array(t) for t in [*outs, *(t.grad for t in leaves)]])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("text", [
    "T.lstm(x, (h,), w, True, 1, 0.0, False, False, False)",
    "T.gru(x, h, w[:3], True, 1, 0.0, False, False, False)",
    "T.lstm_cell(x[0, :, :2], (h[0], h[0]), *w)"])
def test_errors_of_functions(text):
    said = []
    for T in (torch, rushlight):
        w, x, h = list(T.nn.LSTM(3, 4).parameters()), T.zeros(5, 2, 3), T.zeros(1, 2, 4)
        with pytest.raises(RuntimeError) as caught:
            eval(text, {"T": T, "w": w, "x": x, "h": h})
        said.append(str(caught.value))
    assert said[0].splitlines()[0] == said[1].splitlines()[0]
