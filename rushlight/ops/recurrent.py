"""`torch.lstm` and its kind: recurrent layers and cells as functions of all their weights.

The rooms of `nn.functional` are entered when one is called.
"""
from __future__ import annotations

from ..tensor import Tensor


def lstm(*args, **kwargs):
    """Layers of an LSTM: (input, (h0, c0), params, has_biases, num_layers, dropout, train,
    bidirectional, batch_first) to (output, h, c).

    `params` lists weight_ih, weight_hh[, bias_ih, bias_hh][, weight_hr] of each direction of each
    layer. Packed: (data, batch_sizes, (h0, c0), params, ...), without batch_first.
    """
    return _called("lstm", args, kwargs)


def gru(*args, **kwargs):
    """Layers of a GRU; see `lstm`, but with one state h0: to (output, h)."""
    return _called("gru", args, kwargs)


def rnn_tanh(*args, **kwargs):
    """Layers of an RNN with tanh; see `gru`."""
    return _called("rnn_tanh", args, kwargs)


def rnn_relu(*args, **kwargs):
    """Layers of an RNN with relu; see `gru`."""
    return _called("rnn_relu", args, kwargs)


def _called(kind, args, kwargs):
    packed = "batch_sizes" in kwargs or len(args) > 3 and isinstance(args[3], (list, tuple))
    return (_packed if packed else _whole)(kind, *args, **kwargs)


def _whole(kind, input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
           batch_first):
    x = input.transpose(0, 1) if batch_first else input
    y, *states = _layers(kind, x, None, hx, params, has_biases, num_layers, dropout, train,
                         bidirectional)
    return y.transpose(0, 1) if batch_first else y, *states


def _packed(kind, data, batch_sizes, hx, params, has_biases, num_layers, dropout, train,
            bidirectional):
    return _layers(kind, data, tuple(batch_sizes.tolist()), hx, params, has_biases, num_layers,
                   dropout, train, bidirectional)


def _layers(kind, x, counts, hx, params, has_biases, num_layers, dropout, train, bidirectional):
    from ..nn.functional import recurrent
    states = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    if len(states) != 1 + (kind == "lstm"):
        raise RuntimeError("lstm expects two hidden states" if kind == "lstm" else
                           f"{kind} expects one hidden state")
    directions = 2 if bidirectional else 1
    projected = kind == "lstm" and states[0].size(2) != states[1].size(2)
    each = 2 + 2 * has_biases + projected
    if len(params) != each * num_layers * directions:
        raise RuntimeError("got an incorrect number of RNN parameters")
    weights = [_weights(params[k:k + each], has_biases) for k in range(0, len(params), each)]
    y, last = recurrent.layers(x, states, weights, kind, directions, dropout, train, counts)
    return y, *last


def _weights(params, has_biases):
    from ..nn.functional.recurrent import Weights
    biases, rest = (params[2:4], params[4:]) if has_biases else ((None, None), params[2:])
    return Weights(*params[:2], *biases, *rest)


# -- cells -----------------------------------------------------------------------------------------
def lstm_cell(input: Tensor, hx, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
              b_hh: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: (B, I), ((B, H), (B, H)) to ((B, H), (B, H))."""
    if len(hx) != 2:
        raise RuntimeError("lstm_cell expects two hidden states")
    return _step("lstm", input, tuple(hx), w_ih, w_hh, b_ih, b_hh)


def gru_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
             b_hh: Tensor | None = None) -> Tensor:
    """One step of a GRU: (B, I), (B, H) to (B, H)."""
    return _step("gru", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def rnn_tanh_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor,
                  b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Tensor:
    """One step of an RNN with tanh: (B, I), (B, H) to (B, H)."""
    return _step("rnn_tanh", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def rnn_relu_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor,
                  b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Tensor:
    """One step of an RNN with relu: (B, I), (B, H) to (B, H)."""
    return _step("rnn_relu", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def _step(kind, x, states, w_ih, w_hh, b_ih, b_hh):
    from ..nn.functional.linear_maps import linear
    from ..nn.functional.recurrent import STEPS
    if x.size(-1) != w_ih.size(1):
        raise RuntimeError(f"input has inconsistent input_size: got {x.size(-1)} expected "
                           f"{w_ih.size(1)}")
    return STEPS[kind](linear(x, w_ih, b_ih), states, w_hh, b_hh)
