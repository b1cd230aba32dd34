"""Recurrences: all steps of one direction of a recurrent layer, and the way back through them.

    recurrence        x (T, B, G H), w (G H, H)[, b (G H)][, h0, c0 (B, H)]: see `Planes`
    recurrence_grad   gradient of h (T, B, H), a recurrence, w[, gradient of c]: see `back_planes`
    cell              one step: x, s (B, G H), c0 or of a gru h0: h'[, c'], gates
    cell_grad         gradients of h'[, c'], a cell, c0 or h0: of x, of a gru's s, of c0 or h0

x holds the products of the inputs and their biases, s those of the states, b what is added to them
(only where it cannot be part of x); without h0 and c0 they are zero. Gates are PyTorch's, in order:

    rnn    h' = tanh(x + w h), or relu
    lstm   i, f, o = sigmoid, g = tanh;  c' = f c + i g;  h' = o tanh(c')
    gru    r, z = sigmoid;  q = w_n h + b_n;  n = tanh(x_n + r q);  h' = (h - n) z + n

Every value of interest is a plane (B, H) of one result, so that a primitive keeps its one output.
Source of the gradients: back-propagation through time (Werbos 1990), written out for each cell.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import ops as o
from .table import Primitive, same_dtype


class Cell(NamedTuple):
    gates: int          # planes of x for each step
    kept: int           # planes for each step that only the way back needs
    inner: bool         # whether there is a second state, c


CELLS = {"rnn_tanh": Cell(1, 0, False), "rnn_relu": Cell(1, 0, False),
         "lstm": Cell(4, 4, True), "gru": Cell(3, 4, False)}


class Planes:
    """Which planes of a recurrence hold what.

    h lies in T + 1 slots: the first state and one for each step, in the order of time, the first
    state behind the others if time runs backwards. So `before` and `after` are slices of the slots.
    c follows, likewise; one plane, overwritten in every step, unless the way back is kept. Then
    come the gates (lstm i, f, g, o; gru r, z, n, q), each T planes.
    """

    def __init__(self, mode: str, steps: int, reverse: bool, keep: bool):
        self.cell, self.steps, self.reverse, self.keep = CELLS[mode], steps, reverse, keep
        self.before, self.after = int(reverse), int(not reverse)
        self.c = steps + 1
        slots = (steps + 1 if keep else 1) if self.cell.inner else 0
        self.kept = self.c + slots
        self.count = self.kept + (self.cell.kept * steps if keep else 0)

    @property
    def order(self) -> range:
        """Steps as they are taken."""
        return range(self.steps)[::-1] if self.reverse else range(self.steps)

    @property
    def first(self) -> int:
        """The slot of the first state."""
        return self.steps if self.reverse else 0

    @property
    def last(self) -> int:
        """The slot of the last state."""
        return self.steps - self.first

    @property
    def last_c(self) -> int:
        return self.c + (self.last if self.keep else 0)


def back_planes(mode: str, steps: int) -> tuple[int, int, int]:
    """Where planes of a recurrence's gradient start: of q (gru), of the first state, and their number.

    The gradient of x, (T, B, G H), lies in the first T G planes. The last plane is the gradient of
    c0 (lstm), or that part of h0's that does not pass through w (gru); rnn has none.
    """
    cell = CELLS[mode]
    q = steps * cell.gates
    carry = q + (steps if mode == "gru" else 0)
    return q, carry, carry + (mode in ("lstm", "gru"))


# -- the meaning -----------------------------------------------------------------------------------

def _sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _lstm_step(x, s, h, c, b):
    i, f, g, z = np.split(x + s, 4, -1)
    i, f, g, z = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(z)
    c = f * c + i * g
    return z * np.tanh(c), c, (i, f, g, z)


def _gru_step(x, s, h, c, b):
    (xr, xz, xn), (sr, sz, q) = np.split(x, 3, -1), np.split(s if b is None else s + b, 3, -1)
    r, z = _sigmoid(xr + sr), _sigmoid(xz + sz)
    n = np.tanh(xn + r * q)
    return (h - n) * z + n, c, (r, z, n, q)


STEPS = {"rnn_tanh": lambda x, s, h, c, b: (np.tanh(x + s), c, ()),
         "rnn_relu": lambda x, s, h, c, b: (np.maximum(x + s, 0), c, ()),
         "lstm": _lstm_step, "gru": _gru_step}


def _split(operands, bias):
    """(bias, states) of the operands that follow w."""
    return (operands[0], operands[1:]) if bias else (None, operands)


def _recurrence(x, w, *others, mode, reverse, keep, bias):
    steps, batch, hidden = *x.shape[:2], w.shape[1]
    at = Planes(mode, steps, reverse, keep)
    b, states = _split(others, bias)
    y = np.zeros((at.count, batch, hidden), x.dtype)
    h, c = (*states, np.zeros((batch, hidden), x.dtype))[:2] if states else y[:1].repeat(2, 0)
    y[at.first] = h
    if at.cell.inner:
        y[at.c + (at.first if keep else 0)] = c
    for t in at.order:
        h, c, kept = STEPS[mode](x[t], h @ w.T, h, c, b)
        y[t + at.after] = h
        if at.cell.inner:
            y[at.c + (t + at.after if keep else 0)] = c
        for k, plane in enumerate(kept if keep else ()):
            y[at.kept + k * steps + t] = plane
    return y


def _lstm_back(dh, carry, i, f, g, z, *, c, c_before):
    tanh = np.tanh(c)
    dc = carry + dh * z * (1 - tanh * tanh)
    gates = (dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g),
             dh * tanh * z * (1 - z))
    return gates, dc * f


def _gru_back(dh, r, z, n, q, *, h_before):
    dn = dh * (1 - z) * (1 - n * n)
    return (dn * q * r * (1 - r), dh * (h_before - n) * z * (1 - z), dn), dn * r, dh * z


def _recurrence_grad(g, y, w, *gc, mode, reverse, cells):
    steps, batch, hidden = g.shape
    at, (q, carry_at, count) = Planes(mode, steps, reverse, True), back_planes(mode, steps)
    out = np.zeros((count, batch, hidden), g.dtype)
    dx = out[:q].reshape(steps, batch, -1)
    gates = y[at.kept:].reshape(at.cell.kept, steps, batch, hidden)
    through, carry = np.zeros_like(g[0]), np.zeros_like(g[0])
    for t in reversed(at.order):
        dh, kept = g[t] + through, gates[:, t]
        if mode == "lstm":
            if cells == "all" or cells == "last" and t + at.after == at.last:
                carry = carry + (gc[0][t] if cells == "all" else gc[0])
            parts, carry = _lstm_back(dh, carry, *kept, c=y[at.c + t + at.after],
                                      c_before=y[at.c + t + at.before])
        elif mode == "gru":
            parts, out[q + t], carry = _gru_back(dh + carry, *kept, h_before=y[t + at.before])
        else:
            h = y[t + at.after]
            parts = (dh * (1 - h * h) if mode == "rnn_tanh" else np.where(h <= 0, 0, dh),)
        dx[t] = np.concatenate(parts, -1)
        through = (np.concatenate([*parts[:2], out[q + t]], -1) if mode == "gru" else dx[t]) @ w
    if count > carry_at:
        out[carry_at] = carry
    return out


def _cell(x, s, before, *, mode):
    h, c, kept = STEPS[mode](x, s, before, before, None)
    return np.stack([h, *([c] if CELLS[mode].inner else []), *kept])


def _cell_grad(*operands, mode):
    *grads, y, before = operands
    if mode == "lstm":
        parts, carry = _lstm_back(*grads, *y[2:], c=y[1], c_before=before)
        found = [parts]
    else:
        parts, q, carry = _gru_back(*grads, *y[1:], h_before=before)
        found = [parts, (*parts[:2], q)]
    flat = [np.concatenate(gates, -1).reshape(-1, *before.shape) for gates in found]
    return np.concatenate([*flat, carry[None]])


# -- batching --------------------------------------------------------------------------------------
# A batch of sequences is more sequences, unless each has weights of its own.

def _each(prim, size, xs, batched, params):
    """One call for each entry."""
    return o.stack([prim(*[x[k] if on else x for x, on in zip(xs, batched, strict=True)], **params)
                    for k in range(size)])


def _among_rows(x, on, size):
    """(*, B, H) with a batch axis in front to (*, size B, H)."""
    x = x if on else x.unsqueeze(0).expand(size, *x.shape)
    return x.movedim(0, -3).flatten(-3, -2)


def _batch(prim, size, xs, batched, *, mode, reverse, keep, bias):
    params = dict(mode=mode, reverse=reverse, keep=keep, bias=bias)
    if any(batched[1:2 + bias]):
        return _each(prim, size, xs, batched, params)
    rows = [x if k in range(1, 2 + bias) else _among_rows(x, on, size)
            for k, (x, on) in enumerate(zip(xs, batched, strict=True))]
    return prim(*rows, **params).unflatten(1, (size, -1)).movedim(1, 0)


def _grad_batch(prim, size, xs, batched, *, mode, reverse, cells):
    params = dict(mode=mode, reverse=reverse, cells=cells)
    if batched[2]:
        return _each(prim, size, xs, batched, params)
    (g, y, w, *gc), on = xs, (*batched[:2], *batched[3:])
    steps, hidden = g.shape[-3], w.shape[1]
    g, y, *gc = (_among_rows(x, b, size) for x, b in zip((g, y, *gc), on, strict=True))
    out, q = prim(g, y, w, *gc, **params), back_planes(mode, steps)[0]
    dx = out[:q].reshape(steps, size, -1).movedim(1, 0).reshape(size, q, -1, hidden)
    return o.cat([dx, out[q:].unflatten(1, (size, -1)).movedim(1, 0)], 1)


def _cell_over_rows(prim, size, xs, batched, mode):
    return prim(*[_among_rows(x, on, size) for x, on in zip(xs, batched, strict=True)], mode=mode)


def _cell_batch(prim, size, xs, batched, *, mode):
    out = _cell_over_rows(prim, size, xs, batched, mode)
    return out.unflatten(1, (size, -1)).movedim(1, 0)


def _cell_grad_batch(prim, size, xs, batched, *, mode):
    """Gates lie side by side in a row, so what belongs to an entry is one piece of each part."""
    out, hidden = _cell_over_rows(prim, size, xs, batched, mode), xs[-1].shape[-1]
    gates = CELLS[mode].gates
    parts = [out[k:k + gates] for k in range(0, len(out) - 1, gates)] + [out[-1:]]
    return o.cat([part.reshape(size, len(part), -1, hidden) for part in parts], 1)


# -- the records -----------------------------------------------------------------------------------

REVERSED = {"rnn_tanh": False, "rnn_relu": True, "lstm": False, "gru": True}
SIZES = ((3, 2, 5), (1, 1, 1), (4, 9, 40), (2, 35, 18), (3, 1, 70), (2, 3, 300))


def _draws(rng, d, *shapes):
    return tuple(rng.uniform(-1, 1, s).astype(d) for s in shapes)


def _operands(rng, d, mode, sizes, states, bias):
    (steps, batch, hidden), cell = sizes, CELLS[mode]
    x, w, b = _draws(rng, d, (steps, batch, cell.gates * hidden), (cell.gates * hidden, hidden),
                     (cell.gates * hidden,))
    first = _draws(rng, d, *[(batch, hidden)] * (1 + cell.inner)) if states else ()
    return (x, w / hidden ** 0.5, *([b] if bias else []), *first)


def _samples(rng):
    return [(_operands(rng, d, mode, sizes, states, bias),
             dict(mode=mode, reverse=REVERSED[mode] != states, keep=keep, bias=bias))
            for d in (np.float32, np.float64) for mode in CELLS for k, sizes in enumerate(SIZES)
            for bias in ((False, True) if mode == "gru" else (False,))
            for states, keep in (((True, True), (False, False)), ((False, True), (True, False)))[k % 2]]


def _grad_samples(rng):
    found = []
    for xs, params in _samples(rng):
        mode, (steps, batch, _), w = params["mode"], xs[0].shape, xs[1]
        if not params["keep"]:
            continue
        y, hidden = _recurrence(*xs, **params), w.shape[1]
        g, last, each = _draws(rng, w.dtype, (steps, batch, hidden), (batch, hidden),
                               (steps, batch, hidden))
        gc = {"": (), "last": (last,), "all": (each,)}
        for cells in gc if mode == "lstm" else ("",):
            found.append(((g, y, w, *gc[cells]),
                          dict(mode=mode, reverse=params["reverse"], cells=cells)))
    return found


def _shape(shapes, *, mode, reverse, keep, **_):
    (steps, batch, _), (_, hidden) = shapes[:2]
    return (Planes(mode, steps, reverse, keep).count, batch, hidden)


def _grad_shape(shapes, *, mode, **_):
    steps, batch, hidden = shapes[0]
    return (back_planes(mode, steps)[2], batch, hidden)


def _cell_shape(shapes, *, mode):
    cell = CELLS[mode]
    return (1 + cell.inner + cell.kept, *shapes[2])


def _cell_grad_shape(shapes, *, mode):
    return (CELLS[mode].gates * (1 if mode == "lstm" else 2) + 1, *shapes[-1])


CELL_SIZES = ((2, 5), (1, 1), (40, 33), (9, 70))


def _cell_samples(rng):
    return [(_draws(rng, d, *[(batch, CELLS[mode].gates * hidden)] * 2, (batch, hidden)),
             dict(mode=mode)) for d in (np.float32, np.float64) for mode in ("lstm", "gru")
            for batch, hidden in CELL_SIZES]


def _cell_grad_samples(rng):
    found = []
    for (x, s, before), params in _cell_samples(rng):
        grads = _draws(rng, x.dtype, *[before.shape] * (1 + CELLS[params["mode"]].inner))
        found.append(((*grads, _cell(x, s, before, **params), before), params))
    return found


TAPED = "recurrent layers are taped as a whole (nn/functional/recurrent.py)"

recurrence = Primitive("recurrence", "host", _recurrence, _shape, same_dtype, batch=_batch,
                       samples=_samples, ulp=64, without=TAPED)
recurrence_grad = Primitive("recurrence_grad", "host", _recurrence_grad, _grad_shape, same_dtype,
                            batch=_grad_batch, samples=_grad_samples, ulp=256, without=TAPED)
cell = Primitive("cell", "host", _cell, _cell_shape, same_dtype, batch=_cell_batch,
                 samples=_cell_samples, ulp=64, without=TAPED)
cell_grad = Primitive("cell_grad", "host", _cell_grad, _cell_grad_shape, same_dtype,
                      batch=_cell_grad_batch, samples=_cell_grad_samples, ulp=64, without=TAPED)
