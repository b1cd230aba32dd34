"""Recurrent layers; what one direction of a layer computes is in nn/functional/recurrent.py."""
from __future__ import annotations

import math
import numbers
import warnings

from ... import ops
from .. import init
from ..functional.linear_maps import linear
from ..functional.recurrent import STEPS, Weights, layers
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module

__all__ = ["RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"]


_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


class RNNBase(Module):
    """Layers of recurrent cells, in one or both directions."""

    __constants__ = ["mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first",
                     "dropout", "bidirectional", "proj_size"]

    def __init__(self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1,
                 bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
                 bidirectional: bool = False, proj_size: int = 0, device=None, dtype=None) -> None:
        super().__init__()
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers = num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._check_arguments(dropout)
        self._flat_weights_names, self._all_weights = [], []
        for number in range(num_layers):
            for suffix in ("", "_reverse")[:2 if bidirectional else 1]:
                self._make_layer(number, suffix, dict(device=device, dtype=dtype))
        self.reset_parameters()

    def _check_arguments(self, dropout):
        is_number = isinstance(dropout, numbers.Number) and not isinstance(dropout, bool)
        if not is_number or not 0 <= dropout <= 1:
            raise ValueError("dropout should be a number in range [0, 1] representing the "
                             "probability of an element being zeroed")
        if dropout > 0 and self.num_layers == 1:
            warnings.warn("dropout option adds dropout after all but last recurrent layer, so "
                          "non-zero dropout expects num_layers greater than 1, but got "
                          f"dropout={dropout} and num_layers={self.num_layers}", stacklevel=4)
        for name in ("bias", "batch_first"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} should be of type bool, got: {type(getattr(self, name)).__name__}")
        if not isinstance(self.input_size, int):
            raise TypeError(f"input_size should be of type int, got: {type(self.input_size).__name__}")
        if self.input_size <= 0:
            raise ValueError("input_size must be greater than zero")
        if not isinstance(self.hidden_size, int):
            raise TypeError("hidden_size should be of type int, got: "
                            f"{type(self.hidden_size).__name__}")
        if self.hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if self.num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if self.proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable "
                             "projections")
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if self.mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + self.mode)

    def _make_layer(self, number, suffix, made):
        """Register the weights of one direction of one layer, in PyTorch's order."""
        out = self.proj_size or self.hidden_size
        rows = _GATES[self.mode] * self.hidden_size
        inputs = self.input_size if number == 0 else out * (2 if self.bidirectional else 1)
        shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, out)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = [f"{name}_l{number}{suffix}" for name in shapes]
        for name, shape in zip(names, shapes.values()):
            setattr(self, name, Parameter(ops.empty(shape, **made)))
        self._flat_weights_names += names
        self._all_weights.append(names)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each direction of each layer."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self):
        return [getattr(self, name, None) for name in self._flat_weights_names]

    def flatten_parameters(self) -> None:
        """Accepted: weights need not lie in one block here."""

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniform within 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    # -- forward ------------------------------------------------------------------------------
    def forward(self, input, hx=None):
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        self._check_input(input)
        batched = input.dim() == 3
        x = input if batched else input.unsqueeze(1)
        x = x.transpose(0, 1) if self.batch_first and batched else x
        states = self._initial(hx, x.size(1), batched)
        output, states = self._layers(x, states, None)
        output = output.transpose(0, 1) if self.batch_first and batched else output
        if not batched:
            output, states = output.squeeze(1), tuple(s.squeeze(1) for s in states)
        return output, self._joined(states)

    def _forward_packed(self, packed, hx):
        counts = tuple(packed.batch_sizes.tolist())
        states = self._initial(hx, counts[0], True)
        if hx is not None and packed.sorted_indices is not None:
            states = tuple(s.index_select(1, packed.sorted_indices) for s in states)
        output, states = self._layers(packed.data, states, counts)
        if packed.unsorted_indices is not None:
            states = tuple(s.index_select(1, packed.unsorted_indices) for s in states)
        return PackedSequence(output, *packed[1:]), self._joined(states)

    def _joined(self, states):
        return states[0]

    def _split(self, hx):
        return (hx,)

    def _check_input(self, x):
        if x.dim() not in (2, 3):
            raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got {x.dim()}D "
                             "instead")
        if x.dtype != self._flat_weights[0].dtype:
            raise ValueError(f"RNN input dtype ({x.dtype}) does not match weight dtype "
                             f"({self._flat_weights[0].dtype}). Convert input: "
                             f"input.to({self._flat_weights[0].dtype}), "
                             f"or convert model: model.to({x.dtype})")
        if x.size(-1) != self.input_size:
            raise RuntimeError("input.size(-1) must be equal to input_size. Expected "
                               f"{self.input_size}, got {x.size(-1)}")

    def _initial(self, hx, batch, batched):
        """The first states, each (layers * directions, batch, size); None stands for zeros."""
        count = 2 if self.mode == "LSTM" else 1
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)[:count]
        rows = self.num_layers * (2 if self.bidirectional else 1)
        if hx is None:
            return None
        states = self._split(hx)
        self._check_state_rank(states, batched)
        states = states if batched else tuple(s.unsqueeze(1) for s in states)
        for i, (s, size) in enumerate(zip(states, sizes)):
            if tuple(s.shape) != (rows, batch, size):
                name = "hidden size" if len(sizes) == 1 else f"hidden[{i}] size"
                raise RuntimeError(f"Expected {name} {(rows, batch, size)}, got {list(s.shape)}")
        return states

    def _check_state_rank(self, states, batched):
        kind, rank = ("batched", 3) if batched else ("unbatched", 2)
        if all(s.dim() == rank for s in states):
            return
        if len(states) == 2:
            found = ", ".join(f"{s.dim()}-D" for s in states)
            raise RuntimeError(f"For {kind} {rank}-D input, hx and cx should also be {rank}-D but "
                               f"got ({found}) tensors")
        raise RuntimeError(f"For {kind} {rank}-D input, hx should also be {rank}-D but got "
                           f"{states[0].dim()}-D tensor")

    def _layers(self, x, states, counts):
        """All layers over x: outputs and last states."""
        weights = [self._weights_of(i) for i in range(len(self._all_weights))]
        return layers(x, states, weights, self.mode.lower(), 2 if self.bidirectional else 1,
                      self.dropout, self.training, counts)

    def _weights_of(self, i):
        values = [getattr(self, name) for name in self._all_weights[i]]
        project = values.pop() if self.proj_size else None
        return Weights(*values[:2], *(values[2:] or (None, None)), project)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        return text + (f", bidirectional={self.bidirectional}" if self.bidirectional is not False
                       else "")


class RNN(RNNBase):
    """h' = tanh(W x + b + U h + c), or relu.

    (T, B, I) to (T, B, H) and the last h (layers, B, H).
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1,
                 nonlinearity: str = "tanh", bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, device=None,
                 dtype=None) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or "
                             "'relu'.")
        self.__dict__["nonlinearity"] = nonlinearity
        super().__init__("RNN_" + nonlinearity.upper(), input_size, hidden_size, num_layers, bias,
                         batch_first, dropout, bidirectional, device=device, dtype=dtype)


class LSTM(RNNBase):
    """Long short-term memory: (T, B, I) to (T, B, H) and the last (h, c)."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
                 proj_size: int = 0, device=None, dtype=None) -> None:
        super().__init__("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, proj_size, device, dtype)

    def _joined(self, states):
        return states

    def _split(self, hx):
        return tuple(hx)


class GRU(RNNBase):
    """Gated recurrent unit: (T, B, I) to (T, B, H) and the last h (layers, B, H)."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
                 device=None, dtype=None) -> None:
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, device=device, dtype=dtype)


class RNNCellBase(Module):
    """The weights of one recurrent cell."""

    __constants__ = ["input_size", "hidden_size", "bias"]

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device=None,
                 dtype=None) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        made, rows = dict(device=device, dtype=dtype), num_chunks * hidden_size
        self.weight_ih = Parameter(ops.empty((rows, input_size), **made))
        self.weight_hh = Parameter(ops.empty((rows, hidden_size), **made))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(ops.empty(rows, **made)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniform within 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _step(self, step, input, states, count):
        if input.dim() not in (1, 2):
            raise ValueError(f"{self._get_name()}: Expected input to be 1D or 2D, got "
                             f"{input.dim()}D instead")
        if input.size(-1) != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {input.size(-1)} expected "
                               f"{self.input_size}")
        shape = (*input.shape[:-1], self.hidden_size)
        if states is None:
            states = (ops.zeros(shape, dtype=input.dtype),) * count
        for s in states:
            if s.dim() not in (1, 2):
                raise ValueError(f"{self._get_name()}: Expected hidden to be 1D or 2D, got "
                                 f"{s.dim()}D instead")
        return step(linear(input, self.weight_ih, self.bias_ih), states, self.weight_hh,
                    self.bias_hh)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        return text + ("" if self.bias is True else f", bias={self.bias}")


class RNNCell(RNNCellBase):
    """One step of RNN: (B, I), (B, H) to (B, H)."""

    __constants__ = ["input_size", "hidden_size", "bias", "nonlinearity"]

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True,
                 nonlinearity: str = "tanh", device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        step = STEPS["rnn_" + self.nonlinearity]
        return self._step(step, input, None if hx is None else (hx,), 1)[0]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh"
                                       else f", nonlinearity={self.nonlinearity}")


class LSTMCell(RNNCellBase):
    """One step of LSTM: (B, I), ((B, H), (B, H)) to ((B, H), (B, H))."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None,
                 dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        return self._step(STEPS["lstm"], input, None if hx is None else tuple(hx), 2)


class GRUCell(RNNCellBase):
    """One step of GRU: (B, I), (B, H) to (B, H)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None,
                 dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self._step(STEPS["gru"], input, None if hx is None else (hx,), 1)[0]
