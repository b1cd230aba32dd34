"""Recurrent layers: one direction of one layer over all steps, and one step of a cell.

The inputs of all steps are multiplied by their weights in one product; then a primitive takes the
steps (prims/recurrent.py). The layer is taped as a whole: its gradient is the primitive's
counterpart and a product for each weight. If that is to be differentiated itself, the layer is
composed step by step of public operations (`steps`), which also serve where there is no primitive:
projected states and 16-bit floats.
"""
from __future__ import annotations

from functools import cache, cached_property
from typing import NamedTuple

import numpy as np

from ... import dtypes, ops
from ...autograd import engine
from ...autograd.function import Function
from ...autograd.grad_mode import mode
from ...autograd.node import taping
from ...autograd.recall import recalled
from ...ops import casting
from ...ops.cast_lists import LOWER
from ...prims.recurrent import (CELLS, Planes, back_planes, cell, cell_grad, recurrence,
                                recurrence_grad)
from ...tensor import Tensor, wrap
from ...trace import record
from .dropouts import dropout as drop
from .linear_maps import linear


class Weights(NamedTuple):
    """Of one direction of one layer, as PyTorch names them: (G H, I), (G H, H), biases (G H)."""
    ih: Tensor
    hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    hr: Tensor | None = None


# -- one step: (product of the input, states, hidden weight and bias) -> states --------------------
def _tanh_step(x, states, w, b):
    return (ops.tanh(x + linear(states[0], w, b)),)


def _relu_step(x, states, w, b):
    return (ops.relu(x + linear(states[0], w, b)),)


def _lstm_step(x, states, w, b):
    return gated("lstm", x, linear(states[0], w, b), states[1])


def _gru_step(x, states, w, b):
    return gated("gru", x, linear(states[0], w, b), states[0])


STEPS = {"rnn_tanh": _tanh_step, "rnn_relu": _relu_step, "lstm": _lstm_step, "gru": _gru_step}


def gated(kind: str, x: Tensor, s: Tensor, before: Tensor) -> tuple:
    """Both products of a step (B, G H), and c or of a GRU h before (B, H), to (h, c) or (h,)."""
    operands = x, s, before
    if x.dim() != 2 or not _has_kernel(operands) or not x.size(0) == s.size(0) == before.size(0):
        return COMPOSED[kind](*operands)
    if taping(*operands):
        return Gated.apply(kind, *operands)
    return _cell(*operands, kind)[1:]


def _lstm_composed(x, s, c):
    i, f, g, o = (x + s).chunk(4, -1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(c), c


def _gru_composed(x, s, h):
    (xr, xz, xn), (hr, hz, hn) = x.chunk(3, -1), s.chunk(3, -1)
    r, z = ops.sigmoid(xr + hr), ops.sigmoid(xz + hz)
    n = ops.tanh(xn + r * hn)
    return ((h - n) * z + n,)


COMPOSED = {"lstm": _lstm_composed, "gru": _gru_composed}


@recalled("x s before")
def _cell(x, s, before, kind):
    """A cell, and its h and c as values of their own; untaped."""
    y = cell(x, s, before, mode=kind)
    return y, *(_own(y[k]) for k in range(1 + CELLS[kind].inner))


@recalled("y x before gh gc?")
def _cell_gradients(y, x, before, gh, gc, kind):
    """Gradients of x, s and what was before."""
    grads = (gh,) if gc is None else (gh, gc)
    out, gates = cell_grad(*grads, y, before, mode=kind), CELLS[kind].gates
    ofs = [out[k:k + gates].view(x.shape) for k in range(0, len(out) - 1, gates)]
    return ofs[0], ofs[-1], out[-1]


class Gated(Function):
    """A gated cell's entry on the tape."""

    @staticmethod
    def forward(ctx, kind, *operands):
        y, *shown = _cell(*operands, kind)
        ctx.kind = kind
        ctx.save_for_backward(y, *operands)
        return tuple(shown)

    @staticmethod
    def backward(ctx, *grads):
        y, *operands = ctx.saved_tensors
        if mode.enabled:
            composed = COMPOSED[ctx.kind]
            return None, *_composed(composed, operands, ctx.needs_input_grad[1:], grads)
        return None, *_cell_gradients(y, operands[0], operands[2], *(*grads, None)[:2], ctx.kind)


def _composed(function, operands, needed, grads):
    """Taped gradients of a function of operands, those that are needed."""
    fresh = [x if x is None else x.view_as(x) for x in operands]
    pairs = [(y, g) for y, g in zip(function(*fresh), grads, strict=True) if g is not None]
    wanted = [x for x, on in zip(fresh, needed, strict=True) if on]
    found = iter(engine.grad([y for y, _ in pairs], wanted, [g for _, g in pairs],
                             create_graph=True, allow_unused=True))
    return [next(found) if on else None for on in needed]


def steps(x: Tensor, states: tuple, w: Weights, kind: str, reverse: bool) -> tuple:
    """The layer step by step: (h, c) of all steps, each (T, B, H); without c for one state."""
    b_ih, b_hh = _biases(w, kind)
    products, found = linear(x, w.ih, b_ih).unbind(0), []
    for product in reversed(products) if reverse else products:
        states = STEPS[kind](product, states, w.hh, b_hh)
        if w.hr is not None:
            states = linear(states[0], w.hr), states[1]
        found.append(states)
    return tuple(ops.stack(parts[::-1] if reverse else parts) for parts in zip(*found, strict=True))


def _biases(w, kind):
    """What is added to the products of the inputs and of the states: as much as may be to those."""
    if w.b_ih is None or kind == "gru":
        return w.b_ih, w.b_hh
    return w.b_ih + w.b_hh, None


# -- one direction of a layer ----------------------------------------------------------------------
def layer(x: Tensor, states: tuple | None, w: Weights, kind: str, reverse: bool,
          every: bool = False) -> tuple:
    """One direction of a layer: x (T, B, I) to (h, c), h (T, B, H) of all steps.

    `states` are the first ones, (B, H) each; None stands for zeros. RNNs and GRUs have no c; of
    an LSTM it is that of the last step, (B, H), or with `every` those of all, (T, B, H).
    """
    if x.size(0) == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    if mode.casting is not None and kind == "lstm":         # the one layer that is in the cast lists
        return casting.under(layer, LOWER, (x, states, w, kind, reverse, every), {})
    operands = (x, *w[:4], *(states or ()))
    if x.size(0) == 1 or w.hr is not None or not _has_kernel(operands):
        h, *c = steps(x, states or _zeros(x, w, kind), w, kind, reverse)
        return h, *(c if every else (one[0 if reverse else -1] for one in c))
    if taping(*(t for t in operands if t is not None)):
        return Recurrent.apply(kind, reverse, every, *operands)
    return _run(*_padded(operands), kind, reverse, every and CELLS[kind].inner, every)[1:]


def _has_kernel(operands):
    """Whether all are of one dtype that has a kernel, and products are of it, too."""
    kinds = {t.dtype for t in operands if t is not None}
    return mode.casting is None and len(kinds) == 1 and kinds <= {dtypes.float32, dtypes.float64}


def _zeros(x, w, kind):
    """First states of a layer that was given none."""
    sizes = w.hh.size(1), w.hh.size(0) // CELLS[kind].gates
    return tuple(ops.zeros(x.size(1), n, dtype=x.dtype) for n in sizes[:1 + CELLS[kind].inner])


@recalled("x w_ih w_hh b_ih? b_hh? h? c?")
def _run(x, w_ih, w_hh, b_ih, b_hh, h, c, kind, reverse, keep, every):
    """The recurrence of a layer, and what of it is shown; untaped."""
    b_ih, b_hh = _biases(Weights(w_ih, w_hh, b_ih, b_hh), kind)
    products = linear(_rows(x), w_ih, b_ih).to(x.dtype).view(*x.shape[:2], w_ih.size(0))
    others = (t for t in (b_hh, h, c) if t is not None)
    y = recurrence(products, w_hh, *others, mode=kind, reverse=reverse, keep=keep,
                   bias=b_hh is not None)
    return y, *_shown(y, kind, x.size(0), reverse, keep, every)


def _padded(operands):
    """Operands of a layer, None for states that are not there."""
    return *operands, *[None] * (7 - len(operands))


def _rows(x):
    """(T, B, H) as (T B, H)."""
    return x.flatten(0, 1)


def _shown(y, kind, count, reverse, keep, every):
    """h and c as values of their own: what is written to them does not reach the recurrence."""
    at = Planes(kind, count, reverse, keep)
    h = _own(y[at.after:at.after + count])
    if not at.cell.inner:
        return (h,)
    c = y[at.c + at.after:at.c + at.after + count] if every else y[at.last_c]
    return h, _own(c)


def _own(x):
    return wrap(Tensor, record.alias(x.storage), x.layout, x.offset)


class Recurrent(Function):
    """A layer's entry on the tape."""

    @staticmethod
    def forward(ctx, kind, reverse, every, x, *operands):
        y, *shown = _run(*_padded((x, *operands)), kind, reverse, True, every)
        ctx.options = kind, reverse, every
        ctx.save_for_backward(y, x, *operands)
        ctx.set_materialize_grads(False)
        return tuple(shown)

    @staticmethod
    def backward(ctx, *grads):
        options = len(ctx.options)
        needed = ctx.needs_input_grad[options:]
        if all(g is None for g in grads):
            return (None,) * len(ctx.needs_input_grad)
        y, *operands = ctx.saved_tensors
        if mode.enabled:
            found = _composed(_by_steps(*ctx.options), operands, needed, grads)
        else:
            found = _gradients(y, *_padded(operands), *(*grads, None)[:2], *ctx.options, needed)
        return *[None] * options, *found


# -- all layers ------------------------------------------------------------------------------------
def layers(x: Tensor, states: tuple | None, weights: list[Weights], kind: str, directions: int,
           dropout: float, train: bool, counts: tuple | None = None) -> tuple:
    """Layers of one or two directions, whose outputs stand side by side, with dropout between them.

    `weights` holds those of every direction of every layer, as do `states`, (N, B, H) each, or
    None for zeros. x is (T, B, I), or with `counts` packed; gives outputs and last states.
    """
    last: list[tuple] = []
    for number in range(0, len(weights), directions):
        outputs = []
        for i in range(number, number + directions):
            first = states and tuple(s[i] for s in states)
            y, *end = _direction(x, first, weights[i], kind, i % directions == 1, counts)
            outputs.append(y)
            last.append(end)
        x = outputs[0] if directions == 1 else ops.cat(outputs, -1)
        if dropout and number + directions < len(weights):
            x = drop(x, dropout, train)
    return x, tuple(ops.stack(parts) for parts in zip(*last, strict=True))


def _direction(x, first, w, kind, reverse, counts):
    """Outputs, then the last states."""
    if counts is not None:
        return packed_layer(x, counts, first, w, kind, reverse)
    y, *c = layer(x, first, w, kind, reverse)
    return y, y[0 if reverse else -1], *c


# -- sequences of different lengths ----------------------------------------------------------------
def packed_layer(x: Tensor, counts: tuple, states: tuple | None, w: Weights, kind: str,
                 reverse: bool) -> tuple:
    """The same over packed steps x (sum of counts, I), of which each holds the first sequences.

    Gives h of all of them, (sum of counts, H), and the last states of each sequence, (B, H).
    """
    rows = len(counts), counts[0]
    if kind == "rnn_relu" or w.hr is not None or not _has_kernel((x, *w[:4], *(states or ()))):
        states = states or _zeros(x.new_empty(1, counts[0], 0), w, kind)
        return _packed_steps(x, counts, states, w, kind, reverse)
    there, back, last = (ops.tensor(index) for index in _places(counts, reverse))
    padded = x.index_select(0, there).view(*rows, -1)       # what follows an end is not looked at
    found = [_rows(part) for part in layer(padded, states, w, kind, False, True)]
    return found[0].index_select(0, back), *(part.index_select(0, last) for part in found)


@cache
def _places(counts, reverse):
    """Numbers of rows: packed ones in a padded array, padded ones in order, the last of each.

    In reverse each sequence is turned round, so that all of them begin together.
    """
    counts, batch = np.array(counts), np.arange(counts[0])
    lengths = (counts[:, None] > batch).sum(0)
    times = np.arange(len(counts))[:, None]
    inside, turned = times < lengths, lengths - 1 - times if reverse else times + 0 * batch
    starts = np.cumsum(counts) - counts
    there = np.where(inside, starts[np.where(inside, turned, 0)] + batch, 0)
    return there.reshape(-1), (turned * len(batch) + batch)[inside], (lengths - 1) * len(batch) + batch


def _packed_steps(x, counts, states, w, kind, reverse):
    b_ih, b_hh = _biases(w, kind)
    products, found = linear(x, w.ih, b_ih).split(counts), [None] * len(counts)
    for t in reversed(range(len(counts))) if reverse else range(len(counts)):
        n = counts[t]
        new = STEPS[kind](products[t], tuple(s[:n] for s in states), w.hh, b_hh)
        if w.hr is not None:
            new = linear(new[0], w.hr), new[1]
        found[t] = new[0]
        states = tuple(a if n == s.size(0) else ops.cat([a, s[n:]])
                       for a, s in zip(new, states, strict=True))
    return ops.cat(found), *states


def _by_steps(kind, reverse, every):
    """What a layer computes, as a function of its operands that is composed of single steps."""
    def function(x, w_ih, w_hh, b_ih, b_hh, *states):
        w = Weights(w_ih, w_hh, b_ih, b_hh)
        h, *c = steps(x, states or _zeros(x, w, kind), w, kind, reverse)
        return h, *(c if every else (one[0 if reverse else -1] for one in c))
    return function


# -- the way back ----------------------------------------------------------------------------------
@recalled("y x w_ih w_hh b_ih? b_hh? h? c? gh? gc?")
def _gradients(y, x, w_ih, w_hh, b_ih, b_hh, h, c, gh, gc, kind, reverse, every, needed):
    """Gradients of a layer's operands from those of what it shows; None where none is needed."""
    return _Gradients(y, x, w_ih, w_hh, h, gh, gc, kind, reverse, every).of(needed)


class _Gradients:
    """Gradients of a layer's operands from that of its gates."""

    def __init__(self, y, x, w_ih, w_hh, h, gh, gc, kind, reverse, every):
        self.x, self.w_ih, self.w_hh, self.kind, self.reverse = x, w_ih, w_hh, kind, reverse
        count, batch, hidden = *x.shape[:2], w_hh.size(1)
        if gh is None:
            gh = ops.zeros(count, batch, hidden, dtype=y.dtype)
        out = recurrence_grad(gh, y, w_hh, *([] if gc is None else [gc]), mode=kind,
                              reverse=reverse,
                              cells="" if gc is None else "all" if every else "last")
        q, carry, _ = back_planes(kind, count)
        self.gates = out[:q].view(count * batch, w_hh.size(0))
        self.q = out[q:carry]           # of a gru: what takes n's place for the states
        self.carry = out[carry:]
        at = Planes(kind, count, reverse, True)
        first, rest = slice(0, batch), slice(batch, None)
        if reverse:
            first, rest = slice((count - 1) * batch, None), slice(0, (count - 1) * batch)
        self.start = first
        self.later = rest if h is None else slice(0, None)      # than a state of zeros
        self.before = _rows(y[at.before:at.before + count])[self.later]

    def of(self, needed) -> list:
        """In the order of the operands; None where none is needed."""
        rules = (self.inputs, self.input_weight, self.state_weight, self.input_bias,
                 self.state_bias, self.first_state, self.first_cell)
        return [rule() if on else None for rule, on in zip(rules, needed, strict=False)]

    def inputs(self):
        return (self.gates @ self.w_ih).view(self.x.shape)

    def input_weight(self):
        return self.gates.t() @ _rows(self.x)

    def state_weight(self):
        return self.joined([part[self.later].t() @ self.before for part in self.parts()], 0)

    @cached_property
    def sums(self):
        return self.gates.sum(0)

    def input_bias(self):
        return self.sums

    def state_bias(self):
        """The input's, but for q."""
        if self.kind != "gru":
            return self.sums
        return ops.cat([self.sums[:-self.q.size(-1)], _rows(self.q).sum(0)])

    def first_state(self):
        gates = self.joined([part[self.start] for part in self.parts()], 1)
        g = gates @ self.w_hh
        return g + self.carry[0] if self.kind == "gru" else g

    def first_cell(self):
        return self.carry[0]

    def parts(self):
        """The gates as the states see them."""
        if self.kind != "gru":
            return [self.gates]
        q = _rows(self.q)
        return [self.gates[:, :2 * q.size(1)], q]

    def joined(self, parts, dim):
        return parts[0] if len(parts) == 1 else ops.cat(parts, dim)
